"""Values among the numbers and arrays of other libraries: NumPy, SymPy, fractions, decimal, statistics, math.

NumPy's own answer for floats, and differences of it, are the oracle for arrays of Values; SymPy's own derivatives,
in 30 digits, are that for its expressions.
"""

import decimal
import math
import operator
import re
import statistics
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, strategies as st
from strategies import alike
from sympy.codegen import cfunctions
from sympy.printing.pycode import PythonCodePrinter

import autograd
from autograd import OPS, Op, Value, register
from autograd.floats import real

# Arrays of Values

W = np.array([[0.5, -1.0, 2.0, 0.25], [1.5, 0.75, -0.5, 1.0], [-2.0, 0.125, 1.0, 3.0]])
POINT = np.array([0.5, -0.3, 0.8, 0.15])

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "matrix times vector": lambda xs: W @ xs,
    "vector times matrix": lambda xs: xs @ W.T,
    "matmul": lambda xs: np.matmul(W, xs),
    "dot": lambda xs: np.dot(xs, xs),
    "method dot": lambda xs: xs.dot(W.T),
    "inner": lambda xs: np.inner(xs, W),
    "outer": lambda xs: np.outer(xs, xs),
    "vdot": lambda xs: np.vdot(xs, xs * 2),
    "tensordot": lambda xs: np.tensordot(W, xs, 1),
    "einsum": lambda xs: np.einsum("ij,j,k->ik", W, xs, xs),
    "einsum of a path": lambda xs: np.einsum("ij,j,k->ik", W, xs, xs, optimize=True),
    "kron": lambda xs: np.kron(xs, [1.0, 2.0]),
    "cross": lambda xs: np.cross(xs[:3], xs[1:]),
    "convolve": lambda xs: np.convolve(xs, xs),
    "polyval": lambda xs: np.polyval([1.0, -2.0, 3.0], xs),
    "matrix power": lambda xs: np.linalg.matrix_power(xs.reshape(2, 2), 3),
    "trace": lambda xs: np.trace(xs.reshape(2, 2)),
    "norm": np.linalg.norm,
    "norm of residuals": lambda xs: np.linalg.norm(W @ xs - 1.0),
    "sum": lambda xs: xs.sum(),
    "sum by axis": lambda xs: np.sum(np.outer(xs, xs), axis=1),
    "prod": lambda xs: xs.prod(),
    "mean": lambda xs: xs.mean(),
    "average": lambda xs: np.average(xs, weights=[1, 2, 3, 4]),
    "std": np.std,
    "std of a sample": lambda xs: xs.std(ddof=1),
    "var": np.var,
    "median": np.median,
    "cumsum": np.cumsum,
    "cumprod": np.cumprod,
    "diff": np.diff,
    "ptp": np.ptp,
    "max": lambda xs: xs.max(),
    "min": np.min,
    "sort": np.sort,
    "by argsort": lambda xs: xs[np.argsort(xs)] * np.arange(4.0),
    "linspace": lambda xs: np.linspace(xs[0], xs[1], 5),
    "stack": lambda xs: np.stack([xs, xs * xs]),
    "tile": lambda xs: np.tile(xs, 2) * np.arange(8.0),
    "meshgrid": lambda xs: np.multiply(*np.meshgrid(xs, xs)),
    "broadcasting": lambda xs: xs[:, None] * W.T / (1 + xs[:3]),
    "scalars of NumPy": lambda xs: np.float64(2) * xs[0] - np.float32(0.5) / xs[1] + np.int64(3) ** xs[2],
    "arrays without axes": lambda xs: np.array(2.0) * xs[0] - xs[1] / np.array(3),
    "power": lambda xs: np.power(xs, 3),
    "power of a number": lambda xs: np.power(2.0, xs),
    "powers": lambda xs: (xs + 1) ** xs,
    "square": np.square,
    "reciprocal": np.reciprocal,
    "absolute": np.abs,
    "fabs": np.fabs,
    "negative": np.negative,
    "positive": np.positive,
    "conjugate": np.conj,
    "sqrt": lambda xs: np.sqrt(xs + 1),
    "cbrt": np.cbrt,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": lambda xs: np.log(xs + 1),
    "log1p": np.log1p,
    "log2": lambda xs: np.log2(xs + 1),
    "log10": lambda xs: np.log10(xs + 1),
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "arcsin": np.arcsin,
    "arccos": np.arccos,
    "arctan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "arcsinh": np.arcsinh,
    "arccosh": lambda xs: np.arccosh(xs + 2),
    "arctanh": np.arctanh,
    "hypot": lambda xs: np.hypot(xs, xs[::-1] + 1),
    "hypot with numbers": lambda xs: np.hypot(xs, 2.0),
    "arctan2": lambda xs: np.arctan2(xs, xs[::-1] + 1),
    "arctan2 with numbers": lambda xs: np.arctan2(xs, -2.0),
    "maximum": lambda xs: np.maximum(xs, 0.1),
    "minimum of arrays": lambda xs: np.minimum(xs, xs[::-1]),
    "fmax": lambda xs: np.fmax(xs, 0.1),
    "clip": lambda xs: np.clip(xs, -0.1, 0.6),
    "clip from below": lambda xs: xs.clip(0.2, None),
    "where": lambda xs: np.where(xs > 0, xs * xs, -xs),
    "where of a scalar": lambda xs: xs[0] * np.where(xs[1] > xs[2], xs[1], xs[2]),
    "of a scalar": lambda xs: np.exp(xs[0]) * np.hypot(xs[1], xs[2]) + np.arctan(xs[3]),
    "piecewise choice": lambda xs: np.select([xs > 0.4, xs > 0], [xs**2, xs**3], -xs),
    "a loss": lambda xs: np.mean((np.tanh(W @ xs) - np.array([0.1, 0.2, 0.3])) ** 2),
}


def weighted(out: Any) -> Any:
    """One number of an array's: each element times a weight of its own."""
    flat = np.ravel(out)
    return (flat * (1.0 + np.arange(flat.size) / 7)).sum()


def slopes(f: Callable[[Any], Any], at: np.ndarray) -> list[float]:
    """Differences of the fourth order, exact to some 1e-12 for functions that bend on the scale of 1."""
    h = 1e-3
    steps = np.eye(len(at)) * h
    return [(8 * (f(at + step) - f(at - step)) - (f(at + 2 * step) - f(at - 2 * step))) / (12 * h) for step in steps]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_arrays_of_values_through_numpy(name: str) -> None:
    f = FUNCTIONS[name]
    leaves = [Value(x) for x in POINT]
    out, expected = f(np.array(leaves)), f(POINT)
    assert np.shape(out) == np.shape(expected)
    numbers = [v.data if isinstance(v, Value) else v for v in np.ravel(out)]
    assert numbers == pytest.approx(np.ravel(expected).tolist(), rel=1e-14, abs=1e-15)
    weighted(out).backward()
    assert [v.grad for v in leaves] == pytest.approx(slopes(lambda at: weighted(f(at)), POINT), rel=1e-8, abs=1e-9)


def test_an_array_of_values_and_numbers() -> None:
    x = Value(2.0)
    xs = np.array([x, 1, 3.0])
    assert xs.dtype == object
    total = (W[:, :3] @ xs).sum() + xs.mean()
    total.backward()
    assert x.grad == pytest.approx(W[:, 0].sum() + 1 / 3, rel=1e-14)
    with pytest.raises((TypeError, AttributeError)):  # NumPy asks each element, and a float has no method exp
        np.exp(xs)
    assert np.exp(xs.astype(object) * Value(1.0))[1].data == math.e


def test_comparisons_of_arrays() -> None:
    xs, ys = np.array([Value(x) for x in POINT]), np.array([Value(0.2)] * 4)
    for relation in (operator.lt, operator.le, operator.gt, operator.ge):
        expected = relation(POINT, 0.2).tolist()
        for compared in (relation(xs, 0.2), relation(xs, ys), relation(xs, ys[0])):
            assert compared.dtype == bool
            assert compared.tolist() == expected
    assert (xs == xs).all()
    assert not (xs == POINT).any()  # equality is identity


def asked_by_numpy() -> set[str]:
    """The methods that NumPy's functions ask of each object in an array."""
    asked: set[str] = set()
    for function in {f for f in vars(np).values() if isinstance(f, np.ufunc) and f.signature is None}:
        try:
            function(*[np.array([object()], dtype=object)] * function.nin)
        except (TypeError, AttributeError) as error:
            found = re.search(r"no callable (\w+) method|has no attribute '(\w+)'", str(error))
            if found:
                asked.add(found[1] or found[2])
    return asked


def test_values_have_the_methods_that_numpy_asks_for() -> None:
    """All but those that the table has no row for."""
    asked = asked_by_numpy()
    assert {"exp", "arctan", "arctan2", "hypot", "fabs", "conjugate", "sqrt"} <= asked
    without = {"rint", "fmod", "degrees", "radians", "deg2rad", "rad2deg", "bit_count", "logical_xor"}
    assert {name for name in asked if not hasattr(Value, name)} <= without


def test_the_table_says_what_numpy_calls_a_row() -> None:
    asked = asked_by_numpy()
    named = [op for op in OPS.values() if op.numpy]
    assert len(named) == len({op.numpy for op in named}) >= 9
    for op in named:
        assert op.numpy in asked | {"__floor__", "__ceil__"}
        numbers = (0.5, 0.25)[: len(op.operands)] if op.name != "acosh" else (1.5,)
        operands = [Value(x) for x in numbers]
        function = getattr(np, op.numpy.strip("_"))  # NumPy goes by math.floor, which asks for __floor__
        for node in (function(*operands), getattr(operands[0], op.numpy)(*operands[1:])):
            assert node.op is op
            assert node.parents == tuple(operands)
            assert node.data == pytest.approx(float(function(*numbers)), rel=1e-15)


def test_a_method_needs_its_other_operand() -> None:
    with pytest.raises(TypeError, match=r"right: hypot\(x, y\)"):
        Value(1.0).hypot()
    with pytest.raises(TypeError, match=r"right: atan2\(y, x\)"):
        Value(1.0).arctan2()


def test_a_row_of_ones_own_for_numpy() -> None:
    """Registered with NumPy's name, it is what NumPy's function calls."""
    fmod = Op(
        "remainder_of",
        math.fmod,
        (lambda out, x, y: 1.0, lambda out, x, y: -(x - out) / y),
        numpy="fmod",
    )
    try:
        register(fmod)
        xs = np.array([Value(7.5), Value(-7.5)])
        out = np.fmod(xs, 2.0)
        assert [v.data for v in out] == [1.5, -1.5]
        assert {v.op for v in out} == {fmod}
        register(fmod)  # again
        register(Op("remainder_of", math.fmod, fmod.partials))
        assert not hasattr(Value, "fmod")
    finally:
        if "fmod" in vars(Value):
            delattr(Value, "fmod")
    for taken in ("exp", "data", "label", "conjugate"):
        with pytest.raises(ValueError, match=f"attribute '{taken}' already"):
            register(Op("remainder_of", math.fmod, fmod.partials, numpy=taken))
    assert "remainder_of" in OPS
    assert OPS["remainder_of"].numpy == ""


@pytest.mark.parametrize(
    "f",
    [
        np.linalg.inv,
        np.linalg.det,
        np.linalg.eigvalsh,
        np.linalg.svd,
        lambda a: np.linalg.solve(a, a[0]),
        lambda a: np.fft.fft(a[0]),
        lambda a: np.interp(a[0], [0, 1], [0, 1]),
        lambda a: np.logaddexp(a, a),
        lambda a: np.isnan(a),
        lambda a: np.rint(a),
        lambda a: a.astype(float),
        lambda a: a.astype(int),
        lambda a: np.array(a, dtype=np.float32),
        lambda a: np.trunc(a),
        lambda a: np.any(a),
        lambda a: np.nonzero(a),
        lambda a: np.zeros(4).__setitem__(0, a[0, 0]),
        lambda a: np.random.default_rng(0).normal(a[0, 0], 1.0),
        lambda a: a // 2,
        lambda a: np.mod(a, 2),
        lambda a: np.zeros(2).__iadd__(a[0]),
    ],
)
def test_what_numpy_does_on_floats_alone_is_refused(f: Callable[[Any], Any]) -> None:
    """Never computed on numbers cut off from the graph."""
    a = np.array([[Value(2.0), Value(0.5)], [Value(0.25), Value(1.0)]])
    with pytest.raises(TypeError):
        f(a)


def test_what_leaves_the_graph_element_by_element_says_how_to_stay() -> None:
    xs = np.array([Value(0.5)])
    calls = [lambda: xs.astype(float), lambda: np.float64(xs[0]), lambda: np.array(xs, float)]
    for call in calls:
        with pytest.raises(TypeError, match=r"would leave the graph.*right: autograd\.exp\(v\), or v\.data"):
            call()
    assert np.vectorize(autograd.floor)(xs)[0].op is OPS["floor"]
    assert np.vectorize(autograd.logsigmoid)(xs)[0].op is OPS["logsigmoid"]


# NumPy's scalars


@pytest.mark.parametrize("number", [np.float64(3), np.float32(3), np.int8(3), np.longdouble(3), np.bool_(True)])
def test_scalars_on_the_left_leave_the_work_to_the_value(number: Any) -> None:
    """At once: through an array of one object NumPy takes twice the time, and gives its own bools and errors."""
    v = Value(2.0)
    assert type(number < v) is type(number >= v) is bool
    for f in (operator.floordiv, operator.mod, operator.matmul, divmod, operator.and_):
        with pytest.raises(TypeError, match="a Value is a real number"):
            f(number, v)
    assert Value.__array_priority__ < 0  # or arrays would do the same, and not go over their elements
    assert (np.array([1.0, 2.0]) * v)[1].data == 4.0


def test_a_value_in_an_array_without_axes() -> None:
    """As NumPy's where and asarray give it: it is taken out again."""
    x, y = Value(2.0), Value(3.0)
    boxed = np.asarray(y)
    assert boxed.shape == ()
    for f in (operator.add, operator.sub, operator.mul, operator.truediv, operator.pow):
        assert f(x, boxed).parents == (x, y)
        assert f(boxed, x).parents == (y, x)
    assert bool(x < boxed) is True
    assert bool(boxed < x) is False
    assert np.exp(boxed).parents == (y,)
    with pytest.raises(TypeError, match=r"got ndarray: .*right: v \+ x\.item\(\)"):
        autograd.exp(boxed)
    assert autograd.exp(boxed.item()).parents == (y,)


def test_an_array_is_not_taken_for_what_its_axes_say_it_is_not() -> None:
    """One of one element is no number, and one without axes no sequence."""
    for one in (np.ones(1), np.ones((1, 1), int)):
        with pytest.raises(TypeError, match=r"got ndarray of shape \(1,.*right: \[f\(x\) for x in xs\]"):
            Value(one)
    for f in (autograd.sum, autograd.logsumexp, lambda xs: autograd.dot(xs, [1.0])):
        with pytest.raises(TypeError, match="takes a sequence of operands"):
            f(np.array(2.0))


def test_complex_numbers_of_numpy_are_refused_with_the_real_part() -> None:
    for number in (np.complex64(1.5 + 2j), np.complex128(1.5 + 2j)):
        with pytest.raises(TypeError, match=r"derivatives here are real.*right: v \+ 1\.5$"):
            Value(number)


def test_as_fast_as_ever() -> None:
    """A number of NumPy's needs no array: no more than to see what sort of number it is, as a float shows at once."""
    import sys

    def python_calls(f: Callable[[], Any]) -> int:
        count = 0

        def note(frame: object, event: str, arg: object) -> None:
            nonlocal count
            count += event == "call"

        sys.setprofile(note)
        try:
            f()
        finally:
            sys.setprofile(None)
        return count

    v, number = Value(2.0), np.float64(3)
    assert python_calls(lambda: v * number) <= python_calls(lambda: v * 3.0) + 2
    assert python_calls(lambda: number * v) <= python_calls(lambda: 3.0 * v) + 3


# Whole numbers


@pytest.mark.parametrize(
    "use",
    [
        int,
        operator.index,
        lambda v: [1, 2, 3][v],
        lambda v: (1, 2, 3)[v],
        lambda v: "abc"[v],
        lambda v: [1, 2, 3][:v],
        lambda v: [1, 2, 3][v:],
        range,
        lambda v: range(0, 10, v),
        hex,
        chr,
        lambda v: [].insert(v, 0),
        lambda v: (1.0).__round__(v),
        math.factorial,
        lambda v: math.comb(5, v),
        lambda v: math.gcd(v, 2),
        lambda v: np.arange(6).reshape(v, 3),
        lambda v: np.arange(6).item(v),
    ],
)
def test_a_value_is_no_whole_number(use: Callable[[Any], Any]) -> None:
    for v in (Value(1.0), Value(1.0) * 2):
        with pytest.raises(TypeError, match=r"wrong: xs\[v\], range\(v\), int\(v\); right: xs\[int\(v\.data\)\]"):
            use(v)
    assert [1, 2, 3][int(Value(1.0).data)] == 2


@pytest.mark.parametrize("use", [np.zeros, lambda v: np.arange(3)[v], lambda v: np.arange(3)[v:], np.eye])
def test_numpy_refuses_a_value_as_an_index_in_its_own_words(use: Callable[[Any], Any]) -> None:
    with pytest.raises((TypeError, IndexError), match=r"int"):
        use(Value(1.0))


@pytest.mark.parametrize("use", [round, lambda v: round(v, 2), math.trunc])
def test_no_rounding_out_of_the_graph(use: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"wrong: round\(v\).*right: autograd\.floor\(v\), or round\(v\.data\)"):
        use(Value(1.5))


def test_being_no_whole_number_takes_nothing_away() -> None:
    v = Value(2.0)
    assert np.array([v]).dtype == np.asarray(v).dtype == np.array([v, 1]).dtype == object
    assert np.array([v])[0] is v
    assert np.array([[v, 1.0]]).shape == (1, 2)
    assert {v: 1}[v] == 1
    assert f"{v:.1f}" == "2.0"
    assert sum([v, v]).data == 4.0
    assert ["a", v] * 2 == ["a", v, "a", v]


# math, statistics, fractions, decimal


@pytest.mark.parametrize(
    "f",
    [
        *[getattr(math, name) for name in ("exp", "log", "sin", "sqrt", "fabs", "isnan", "erf", "modf")],
        *[math.degrees, lambda v: math.pow(v, 2), lambda v: math.hypot(v, v), lambda v: math.atan2(1.0, v)],
        *[lambda v: math.fsum([v]), lambda v: math.dist([v], [v]), lambda v: math.copysign(1.0, v)],
        *[lambda v: math.isclose(v, v), lambda v: math.ldexp(v, 2), lambda v: statistics.fmean([v, v])],
    ],
)
def test_the_math_module_is_refused_with_the_fix(f: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"wrong: math\.exp\(v\); right: autograd\.exp\(v\), or v\.data"):
        f(Value(0.5))


def test_sums_and_products_of_python() -> None:
    x, y = Value(2.0), Value(3.0)
    (sum([x, y, x]) + math.prod([x, y, x])).backward()
    assert (x.grad, y.grad) == (2 + 2 * 2.0 * 3.0, 1 + 4.0)
    assert sum([x, y], start=1.0).data == 6.0
    assert max([x, y]) is y
    assert sorted([y, x]) == [x, y]


def test_statistics() -> None:
    values = [Value(x) for x in (2.0, 3.0, 7.0)]
    for f in (statistics.mean, statistics.stdev, statistics.variance, statistics.pstdev):
        with pytest.raises(TypeError, match=r"wrong: statistics\.mean.*right: autograd\.mean\(vs\), np\.std"):
            f(values)
    assert autograd.mean(values).data == 4.0
    assert np.std(values, ddof=1).data == pytest.approx(statistics.stdev([2.0, 3.0, 7.0]), rel=1e-15)
    assert statistics.median(values) is values[1]
    even = statistics.median([*values, Value(4.0)])
    even.backward()
    assert (even.data, values[1].grad) == (3.5, 0.5)


@given(x=st.fractions(), y=st.floats(-1e3, 1e3))
def test_a_fraction_is_the_nearest_float(x: Fraction, y: float) -> None:
    try:
        nearest = x.numerator / x.denominator
    except OverflowError:
        with pytest.raises(OverflowError, match="the Fraction is beyond the range"):
            real(x)
        return
    assert real(x) == nearest
    v = Value(y)
    for node, slot in ((v - x, 1), (x - v, 0), (v * x, 1), (x * v, 0), (v / x, 1), (autograd.maximum(v, x), 1)):
        assert node.parents[slot].data == nearest
    assert (v < x) is (y < nearest)
    assert (x < v) is (nearest < y)
    if y and x > 0:
        assert alike((x**v).data, OPS["pow"].evaluate(nearest, y))


def test_fractions_are_rounded_once() -> None:
    third = Fraction(1, 3)
    assert (Value(1.0) * third).data == 1 / 3
    assert (Value(0.0) + Fraction(2**53 + 1)).data == 2.0**53
    assert (third ** Value(2.0)).data == (1 / 3) ** 2
    with pytest.raises(TypeError):
        Fraction(Value(1.0))  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [Decimal("0.1"), Decimal("NaN"), Decimal("Infinity"), Decimal(3)])
def test_decimals_are_refused_as_python_refuses_them(number: Decimal) -> None:
    v = Value(2.0)
    for f in (operator.add, operator.sub, operator.mul, operator.truediv, operator.pow):
        for python, ours in (
            (lambda f=f: f(2.0, number), lambda f=f: f(v, number)),
            (lambda f=f: f(number, 2.0), lambda f=f: f(number, v)),
        ):
            with pytest.raises(TypeError):
                python()
            with pytest.raises(TypeError, match=r"got Decimal: .*do not mix.*right: v \+ float\(x\)"):
                ours()
    for call in (lambda: Value(number), lambda: autograd.exp(number), lambda: v < number, lambda: number < v):
        with pytest.raises(TypeError, match=r"got Decimal: .*right: v \+ float\(x\)"):
            call()
    assert alike((v + float(number)).data, 2.0 + float(number))
    with pytest.raises(TypeError):
        decimal.Decimal(v)  # type: ignore[arg-type]
    assert "Decimal" in (real.__doc__ or "")


# SymPy

x, y, z = sympy.symbols("x y z", real=True)

EXPRESSIONS: list[tuple[Any, tuple[float, ...]]] = [
    *[(f(x), (0.4,)) for f in (sympy.sin, sympy.cos, sympy.tan, sympy.sinh, sympy.cosh, sympy.tanh, sympy.exp)],
    *[(f(x), (-0.4,)) for f in (sympy.asin, sympy.acos, sympy.atan, sympy.asinh, sympy.atanh, sympy.erf, sympy.erfc)],
    *[(f(x), (1.7,)) for f in (sympy.acosh, sympy.log, sympy.sqrt, sympy.cbrt, sympy.sec, sympy.csc, sympy.cot)],
    *[(f(x), (-1.7,)) for f in (sympy.Abs, sympy.sech, sympy.coth, sympy.sinc)],
    *[(f(x), (0.7,)) for f in (cfunctions.log1p, cfunctions.expm1, cfunctions.exp2, cfunctions.log2)],
    *[(f(x), (0.7,)) for f in (cfunctions.log10, lambda x: sympy.sqrt(x) ** 3)],
    (cfunctions.hypot(x, y), (0.3, -1.2)),
    (sympy.atan2(y, x), (0.3, -1.2)),
    (sympy.log(x, 3), (2.5,)),
    (sympy.log(x, y), (2.5, 1.75)),
    (x**y, (1.5, -0.7)),
    (x**-3, (-1.5,)),
    (2**x, (0.3,)),
    (1 / sympy.sqrt(x), (2.0,)),
    (x ** sympy.Rational(5, 3), (0.8,)),
    (-x, (0.8,)),
    (x - y, (0.8, 0.3)),
    (x / y, (0.8, 0.3)),
    (sympy.pi * x + sympy.E - sympy.GoldenRatio * x**2 + sympy.Rational(1, 3), (0.8,)),
    (sympy.Max(x, y, z), (0.5, 1.5, -2.0)),
    (sympy.Min(x, y**2, sympy.Float(0.75)) * x, (0.5, 1.5)),
    (x * sympy.Heaviside(x - y), (1.5, 0.5)),
    (x * sympy.Heaviside(x - y), (0.5, 1.5)),
    (sympy.Piecewise((x**2, x < 1), (sympy.exp(y), y > 0), (x * y, True)), (0.5, -1.0)),
    (sympy.Piecewise((x**2, x < 1), (sympy.exp(y), y > 0), (x * y, True)), (1.5, 1.0)),
    (sympy.Piecewise((x**2, sympy.And(x > 0, y > 0)), (x * y, sympy.Or(x < -3, y < -3)), (x, True)), (1.5, -4.0)),
    (sympy.Sum(x**z / sympy.factorial(z), (z, 0, 4)).doit(), (0.9,)),
    (sympy.exp(-(x**2) / 2) / sympy.sqrt(2 * sympy.pi) * sympy.erf(y / x), (1.2, 0.4)),
    (sympy.sin(x * y) ** 2 + sympy.log(1 + sympy.exp(-x)) * sympy.atan2(x, y) - sympy.tanh(x / y), (0.6, -1.1)),
    (sympy.diff(sympy.tan(sympy.sqrt(x**2 + y**2)) * sympy.asin(x * y), x, y), (0.3, 0.4)),
    (sympy.simplify(sympy.diff(x * sympy.exp(-x * y) / (1 + x**2), x, 3)), (0.7, 1.3)),
]


def lambdified(expression: Any, modules: Any = autograd) -> tuple[Callable[..., Any], list[Any]]:
    symbols = [s for s in (x, y, z) if s in expression.free_symbols]
    return sympy.lambdify(symbols, expression, modules=modules), symbols


def exact_gradient(expression: Any, symbols: Sequence[Any], numbers: Sequence[float]) -> list[float]:
    at = {s: sympy.Rational(n) for s, n in zip(symbols, numbers, strict=True)}  # the float itself, not its digits
    return [float(sympy.diff(expression, s).doit().subs(at).evalf(30)) for s in symbols]


@pytest.mark.parametrize(("expression", "numbers"), EXPRESSIONS, ids=lambda v: str(v)[:60])
def test_expressions_of_sympy(expression: Any, numbers: tuple[float, ...]) -> None:
    f, symbols = lambdified(expression)
    leaves = [Value(n) for n in numbers]
    out = f(*leaves)
    at = {s: sympy.Rational(n) for s, n in zip(symbols, numbers, strict=True)}
    assert out.data == pytest.approx(float(expression.subs(at).evalf(30)), rel=1e-13)
    assert f(*numbers) == pytest.approx(out.data, rel=1e-15)  # on numbers as well
    out.backward()
    assert [v.grad for v in leaves] == pytest.approx(exact_gradient(expression, symbols, numbers), rel=1e-12, abs=1e-13)


def test_second_derivatives_of_sympy_expressions() -> None:
    expression = sympy.exp(-x * y) * sympy.atan2(x, y) + sympy.erf(x) ** 2
    f, symbols = lambdified(expression)
    leaves = [Value(0.6), Value(1.1)]
    slope = autograd.gradients(f(*leaves), leaves, create_graph=True)
    for first, s in zip(slope, symbols, strict=True):
        expected = exact_gradient(sympy.diff(expression, s), symbols, (0.6, 1.1))
        assert autograd.gradients(first, leaves) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("f", "name"), [(sympy.floor, "floor"), (sympy.ceiling, "ceil")])
def test_steps_in_sympy(f: Any, name: str) -> None:
    v = Value(-1.7)
    out = lambdified(x**2 * f(x))[0](v)
    out.backward()
    assert (out.data, v.grad) == (pytest.approx(1.7**2 * OPS[name](-1.7)), pytest.approx(-3.4 * OPS[name](-1.7)))


# What SymPy's printer writes by a name of Python's; it has a rule for sign as well.
WRITTEN = {known.rpartition(".")[2] for known in PythonCodePrinter._kf.values()} | {"sign"}


@pytest.mark.parametrize("op", [op for op in OPS.values() if op.name not in WRITTEN], ids=lambda op: op.name)
def test_rows_that_sympy_has_no_function_for(op: Op) -> None:
    """They are functions of their names: Function("softplus")(x)."""
    operands = sympy.symbols(f"a:{len(op.operands)}")
    f = sympy.lambdify(operands, sympy.Function(op.name)(*operands), modules=autograd)
    args: list[Any] = [Value(n) for n in (0.5, 0.25, 0.75)[: len(operands)]]
    if op.variadic:
        args = [[x, Value(0.75)] if n.endswith("s") else x for n, x in zip(op.operands, args, strict=True)]
    node = f(*args)
    assert node.op is op
    assert args[0] in node.parents or args[0][0] in node.parents


def test_no_row_is_out_of_reach_of_sympy() -> None:
    reached = {"floor", "ceil", "sign"} | set(OPS) - WRITTEN
    for expression, numbers in EXPRESSIONS:
        out = lambdified(expression)[0](*map(Value, numbers))
        reached |= {v.op.name for v in autograd.topological_order(out) if v.op is not None}
    assert reached == set(OPS)


def test_sign_in_sympy() -> None:
    """SymPy writes it as (0.0 if x == 0 else copysign(1, x)), where == is identity: at 0, sign is 1."""
    expression = sympy.sign(x) * x**2
    f, _ = lambdified(expression)
    for number, slope in ((-2.0, 4.0), (0.0, 0.0), (3.0, 6.0)):
        leaf = Value(number)
        out = f(leaf)
        out.backward()
        assert (out.data, leaf.grad) == (math.copysign(number**2, number), slope)


def test_what_sympy_cannot_write_for_the_table() -> None:
    """Refused, never computed on plain numbers."""
    v = Value(1.5)
    for expression, error in (
        (sympy.gamma(x), TypeError),
        (sympy.loggamma(x), TypeError),
        (sympy.factorial(x), TypeError),
        (sympy.Mod(x, 2), TypeError),
        (sympy.frac(x), TypeError),
        (sympy.LambertW(x), NameError),
        (sympy.besselj(0, x), NameError),
        (cfunctions.Cbrt(x), NameError),
    ):
        with pytest.raises(error):
            lambdified(expression)[0](v)


def test_numbers_of_sympy_and_mpmath() -> None:
    v = Value(3.0)
    for number, nearest in ((sympy.Integer(2), 2.0), (sympy.Rational(1, 3), 1 / 3), (sympy.Float("0.1", 50), 0.1)):
        assert (v * number).data == 3.0 * nearest
    assert (mpmath.mpf("0.1") * v).data == (v * mpmath.mpf("0.1")).data == 3.0 * 0.1
    for unknown in (sympy.pi, x, sympy.sqrt(2) + x):
        with pytest.raises(TypeError, match=r"right: v \+ float\(x\)"):
            v * unknown
    for call in (lambda: sympy.Integer(2) * v, lambda: sympy.pi + v, lambda: sympy.sin(v), lambda: x**v):
        with pytest.raises(TypeError, match=r"would leave the graph.*v\.data"):
            call()
    with pytest.raises(TypeError):
        mpmath.sin(v)
    assert (float(sympy.pi) * v).data == math.pi * 3
