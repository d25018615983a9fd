"""The machine of NumPy beside the kernel: the same tables, the same numbers; and every row of the table by itself."""

import math
import warnings
from itertools import product
from typing import Any

import numpy as np
import pytest
from strategies import SPECIALS, TINY

import autograd
from autograd import OPS, Value, custom, jit
from autograd.programs import compilation, numpy_machine
from autograd.programs.numpy_machine import NumpyMachine, vectorized

FEW = (0.0, -0.0, 1.0, -1.0, 0.5, -2.5, math.inf, -math.inf, math.nan, 1e300, -3.0)


@pytest.fixture(autouse=True, params=["native", "numpy"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "numpy":
        monkeypatch.setattr(compilation, "machine", NumpyMachine)
    return request.param


def alike(found: float, expected: float) -> bool:
    """The same special number, zeros with their signs; other numbers to a few units in the last place."""
    if expected == 0 and abs(found) <= TINY:
        return math.copysign(1, found) == math.copysign(1, expected)
    if not math.isfinite(expected) or expected == 0:
        return (found != found and expected != expected) or (
            found == expected and math.copysign(1, found) == math.copysign(1, expected)
        )
    return math.isclose(found, expected, rel_tol=2e-15, abs_tol=TINY)


def called(name: str, xs: Any) -> Any:
    op, half = OPS[name], len(xs) // 2
    if name == "dot":
        return op(xs[:half], xs[half:])
    if name == "affine":
        return op(xs[:half], xs[half:-1], xs[-1])
    return op(xs) if op.variadic else op(*xs)


@pytest.mark.parametrize("name", OPS)
def test_every_row_at_special_operands(name: str) -> None:
    count = {"sum": 2, "dot": 4, "affine": 3, "logsumexp": 2}.get(name, OPS[name].count)
    points = [list(xs) for xs in product({1: SPECIALS, 2: SPECIALS, 3: FEW}.get(count, FEW[:7]), repeat=count)]
    found = jit(lambda x: called(name, x)).map(points).tolist()
    for xs, x in zip(points, found, strict=True):
        expected = OPS[name].evaluate(*xs)
        if name in ("sum", "dot", "affine") and (expected == 0 or abs(expected) > 1e300):
            assert x == expected or not math.isfinite(x), (xs, x, expected)  # signs of zeros, and fused multiplications
        else:
            assert alike(x, expected), (xs, x, expected)


@pytest.mark.parametrize("name", [name for name in OPS if not OPS[name].variadic])
def test_every_row_at_special_operands_in_float32(name: str) -> None:
    """Computed in float64 or in float32, what is special is what it is in the table."""
    points = [list(xs) for xs in product(FEW[:9], repeat=OPS[name].count)]
    found = jit(lambda x: called(name, x), dtype="float32").map(points).tolist()
    for xs, x in zip(points, found, strict=True):
        expected = OPS[name].evaluate(*xs)
        if not math.isfinite(expected) or expected == 0:
            assert alike(x, expected) or abs(x) < 1e-6, (xs, x, expected)
        else:
            assert x == pytest.approx(expected, rel=5e-7), (xs, x, expected)


def net() -> Any:
    w = [[Value(0.1 * i - 0.2 * j) for i in range(4)] for j in range(5)]
    v = [Value(0.3), Value(-0.4), Value(0.5), Value(1.0), Value(-0.6)]

    def loss(x: Any, t: Any) -> Any:
        hidden = [autograd.affine(ws[:3], x, ws[3]).tanh() for ws in w]
        out = autograd.dot(v, hidden)
        return (out - t) ** 2 + autograd.logsumexp([out, x[0], 0.0]) + autograd.maximum(out, x[1]) * x[2]

    return loss


@pytest.mark.parametrize("batch", [1, 1023, 1024, 1025, 2500])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_both_machines_do_the_same(batch: int, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, targets = np.random.default_rng(batch).normal(size=(batch, 3)), np.ones(batch)
    loss = net()
    unit = 1e-13 if dtype == "float64" else 1e-5
    here = jit(loss, dtype=dtype)
    mapped, (value, gradient) = here.map(rows, targets), here.value_and_grad(rows, targets)
    for other in (NumpyMachine, compilation.machine):
        monkeypatch.setattr(compilation, "machine", other)
        there = jit(loss, dtype=dtype)
        assert there.map(rows, targets) == pytest.approx(mapped, rel=unit, abs=unit)
        again, gradient_again = there.value_and_grad(rows, targets)
        assert (again, *gradient_again) == pytest.approx((value, *gradient), rel=unit, abs=unit)


def test_nothing_is_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = jit(lambda x: [1 / x, x.log(), (x * 1e308 * 10).exp(), x.sqrt(), (1 / x) - (1 / x)]).map([0.0, -1.0])
    assert not np.isfinite(found[0, :2]).any()


def test_one_block_after_another(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, targets = np.random.default_rng(0).normal(size=(23, 3)), np.ones(23)
    loss = net()
    whole = jit(loss).value_and_grad(rows, targets)
    monkeypatch.setattr(numpy_machine, "_SAMPLES", 5)
    value, gradient = jit(loss).value_and_grad(rows, targets)
    assert (value, *gradient) == pytest.approx((whole[0], *whole[1]), rel=1e-13)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("batch", [1, 9])
def test_groups_of_any_number_of_rows(batch: int, dtype: str) -> None:
    """A vector may go over rows, the last of which are as many as there are lanes or fewer."""
    unit = 1e-14 if dtype == "float64" else 1e-6
    for count in (1, 2, 7, 8, 9, 15, 16, 17, 33):
        x = np.random.default_rng(count).normal(size=(batch, count)).astype(dtype)
        f = jit(lambda x: [*[v.tanh() + 1 for v in x], *[autograd.where(v, v.exp(), x[0]) for v in x]], dtype=dtype)
        expected = np.concatenate([np.tanh(x) + 1, np.exp(x)], axis=1)
        assert f.map(x) == pytest.approx(expected, rel=unit, abs=unit)


@pytest.mark.parametrize("batch", [1, 9, 100])
def test_sums_of_any_number_of_terms(batch: int) -> None:
    """Of one kind, in any order, some as long as others."""
    x = np.random.default_rng(batch).normal(size=(batch, 6))
    lengths = [3, 1, 2, 6, 1, 2, 2, 5, 1, 4, 3]
    kinds = {
        "sum": (lambda x, k: x[k], x),
        "products": (lambda x, k: x[k] * x[k - 1], x * np.roll(x, 1, axis=1)),
        "weighted": (lambda x, k: (k + 2) * x[k] * x[k - 1], np.arange(2, 8) * x * np.roll(x, 1, axis=1)),
    }
    for term, terms in kinds.values():
        f = jit(lambda x, term=term: [autograd.sum([term(x, k) for k in range(n)]) for n in lengths])
        assert f.map(x) == pytest.approx(np.stack([terms[:, :n].sum(axis=1) for n in lengths], axis=1), rel=1e-12)


def test_only_rows_of_the_table_are_numpys() -> None:
    assert vectorized(OPS["exp"]) is np.exp

    def exp(x: float) -> float:
        return x + 1

    mine = custom(exp, lambda out, x: 1.0)
    assert mine.name == "exp"
    assert vectorized(mine)(np.array([1.0, 2.0])).tolist() == [2.0, 3.0]
    assert jit(mine).map([1.0, 2.0]).tolist() == [2.0, 3.0]


def test_an_operation_of_ones_own_gets_floats_and_keeps_the_element_type() -> None:
    types = set()

    def seen(x: float, y: float) -> float:
        types.add((type(x), type(y)))
        return x * y

    mine = custom(seen, lambda out, x, y: y, lambda out, x, y: x)
    for dtype in ("float64", "float32"):
        found = jit(lambda x: mine(x, 2.0), dtype=dtype).map([1.0, 2.0])
        assert (found.dtype, found.tolist()) == (dtype, [2.0, 4.0])
    assert types == {(float, float)}


def test_more_operands_than_a_function_of_numpy_takes() -> None:
    w = [Value(k / 100) for k in range(100)]
    program = jit(lambda x: autograd.logsumexp([v * x for v in w]))
    assert program.map([1.0, 2.0]) == pytest.approx([autograd.logsumexp([v.data * x for v in w]) for x in (1, 2)])
