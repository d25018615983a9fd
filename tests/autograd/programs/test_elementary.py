"""The vector code of every row: right to 4 units in the last place, and the row's own results where it is special."""

import math
import re
import sys
from importlib import import_module
from itertools import product
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llvmlite")
pytest.importorskip("numpy")

import numpy as np
from strategies import LARGEST, NORMAL, SPECIALS, TINY

from autograd import OPS

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
measured: Any = import_module("elementary")

SUMS = {"sum", "dot", "affine"}  # which the kernel adds up
BUILT_IN = [name for name in OPS if name not in SUMS]
WITH_CODE = [name for name in BUILT_IN if name in measured.NAMES]  # a function of Python's runs the others
COARSEST = 4.0
# Numbers at which functions end, bend, overflow or vanish, and those next to them.
ENDS = (NORMAL, 0.25, 0.5, 1.0, 1.5, 2.0, math.pi / 2, 3.0, 20.0, 26.5, 27.3, 38.6, 708.0, 708.4, 709.78, 710.0)
ENDS += (710.475, 745.13, 746.0, 1022.0, 1024.0, 1074.0, 1075.0, 2.0**30, 2.0**52, 2.0**53, 2.0**500, 2.0**1023)
ENDS += (6381956970095103 * 2.0**797,)  # of all doubles the closest to a multiple of pi/2
AROUND = (*ENDS, *[math.nextafter(x, way) for x in ENDS for way in (0.0, inf)])
# The same in float32.
SINGLES = np.float32([0.25, 0.5, 1, 2, 3, 9, 15, 17, 30, 87, 88, 88.5, 89, 103, 104, 120, 150, 2**23, 2**30, 2.0**-126])
SINGLES = np.concatenate([SINGLES, *[np.nextafter(SINGLES, np.float32(way)) for way in (0.0, inf)]])


@pytest.fixture(scope="module")
def compiled() -> Any:
    return measured.Compiled(WITH_CODE)


@pytest.fixture(scope="module")
def compiled_for_float32() -> Any:
    return measured.Compiled(WITH_CODE, 16, np.float32)


def same(a: float, b: float) -> bool:
    """The same float; any nan is like any other."""
    return (a != a and b != b) or (a == b and math.copysign(1, a) == math.copysign(1, b))


def each_alone(compiled: Any, name: str, *operands: Any) -> Any:
    """A vector for each point, so that none is taken along a branch by another."""
    return compiled(name, *[np.repeat(x, compiled.lanes) for x in operands])[:: compiled.lanes]


def test_every_row_has_vector_code() -> None:
    assert WITH_CODE == BUILT_IN


@pytest.mark.parametrize("name", WITH_CODE)
def test_special_operands(compiled: Any, name: str) -> None:
    op, arity = OPS[name], measured.arity(name)
    points = list(product({1: (*SPECIALS, *AROUND, *[-x for x in AROUND])}.get(arity, SPECIALS), repeat=arity))
    results = each_alone(compiled, name, *np.array(points).T).tolist()
    for xs, got in zip(points, results, strict=True):
        expected = op.evaluate(*xs)
        if same(got, expected):
            continue
        assert expected not in (inf, -inf) and expected == expected, (name, xs, got, expected)
        assert not {0.0, inf, -inf}.issuperset(xs), (name, xs, got, expected)
        assert math.copysign(1, got) == math.copysign(1, expected), (name, xs, got, expected)
        assert measured.error(name, got, list(xs)) <= COARSEST, (name, xs, got, expected)


@pytest.mark.parametrize("name", WITH_CODE)
def test_errors(compiled: Any, name: str) -> None:
    for label, arrays in measured.operands(name, seed=1, count=120):
        found, where = measured.largest_error(compiled, name, arrays)
        assert found <= COARSEST, (name, label, where)


@pytest.mark.parametrize("name", WITH_CODE)
def test_special_operands_in_float32(compiled_for_float32: Any, name: str) -> None:
    arity = measured.arity(name)
    with np.errstate(over="ignore"):
        specials = np.float32(SPECIALS)
    points = {1: [*specials, *SINGLES, *-SINGLES]}.get(arity, specials)
    arrays = list(np.array(list(product(points, repeat=arity))).T)
    expected = np.array([OPS[name].evaluate(*xs) for xs in np.array(arrays, dtype=float).T.tolist()])
    got = each_alone(compiled_for_float32, name, *arrays)
    errors = measured.errors_in_float32(got, expected, name, *arrays)
    errors[(np.signbit(got) != np.signbit(expected)) & ~np.isnan(expected)] = inf
    worst = int(errors.argmax())
    assert errors[worst] <= COARSEST, (name, [x[worst] for x in arrays], got[worst], expected[worst])


@pytest.mark.parametrize("name", WITH_CODE)
def test_errors_in_float32(compiled: Any, compiled_for_float32: Any, name: str) -> None:
    arrays = measured.singles(name, seed=1, count=2**14)
    with np.errstate(invalid="ignore"):
        true = compiled(name, *arrays)
    errors = measured.errors_in_float32(compiled_for_float32(name, *arrays), true, name, *arrays)
    worst = int(errors.argmax())
    assert errors[worst] <= COARSEST, (name, [x[worst] for x in arrays])


@pytest.mark.parametrize("name", ["sin", "exp", "log", "pow"])
@pytest.mark.parametrize("lanes", [2, 16])
def test_any_number_of_lanes_gives_the_same(compiled: Any, name: str, lanes: int) -> None:
    other = measured.Compiled([name], lanes)
    for _, arrays in measured.operands(name, seed=2, count=100):
        assert np.array_equal(other(name, *arrays), compiled(name, *arrays), equal_nan=True)


def test_lanes_do_not_see_one_another(compiled: Any) -> None:
    """Though a lane that takes a branch takes the whole vector along."""
    for name in ("exp", "log", "log1p", "sin", "tan"):
        xs = np.linspace(0.1, 3, 8)
        plain = compiled(name, xs)
        for lane, odd in product(range(8), (nan, inf, 1e300, TINY, LARGEST)):
            mixed = xs.copy()
            mixed[lane] = odd
            others = np.arange(8) != lane
            assert np.array_equal(compiled(name, mixed)[others], plain[others]), (name, odd)


def test_no_function_of_the_c_library_is_called(compiled: Any) -> None:
    features = measured.llvm.get_host_cpu_features()
    if not any(features.get(name) for name in ("fma", "neon")):
        pytest.skip("without fma, fma is a call")
    called = set(re.findall(r"\b(?:movabsq[ \t]+\$|callq?[ \t]+|bl[ \t]+)([a-z]\w*)", compiled.assembly))
    assert called <= {"over", "run", "payne_hanek"}
