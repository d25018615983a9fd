"""The table of operations, row by row: every test here iterates over it."""

import copy
import itertools
import math
import operator
import pickle
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from math import inf, isfinite, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from mpmath import mp, mpf
from strategies import (
    EPS,
    EXACT,
    LARGEST,
    NORMAL,
    SPECIALS,
    TINY,
    alike,
    arity,
    difference,
    exact,
    exact_partial,
    flat,
    grid,
    half_up,
    intervals,
    moderate_partial,
    nearest,
    points,
)

import autograd
from autograd import OPS, Op, Value, ops, register
from autograd.floats import IEEE

ROWS = list(OPS.values())
every_row = pytest.mark.parametrize("op", ROWS, ids=lambda op: op.name)


def special_points(op: Op) -> Iterator[tuple[float, ...]]:
    """Every combination of special floats; of a long row, a sample of them."""
    count = arity(op, 1 if op.name in ("dot", "affine") else 2)
    step = 1 if count < 3 else 7
    return itertools.islice(itertools.product(SPECIALS, repeat=count), 0, None, step)


# Values


def test_every_row_has_an_exact_oracle() -> None:
    assert set(EXACT) == {op.name for op in ROWS}


def test_the_table_has_the_promised_rows() -> None:
    promised = """add sub mul div pow neg abs sign exp expm1 exp2 log log1p log2 log10 sqrt cbrt sin cos tan asin acos
        atan atan2 sinh cosh tanh asinh acosh atanh erf erfc hypot sigmoid relu leaky_relu elu selu gelu silu softplus
        logsigmoid maximum minimum clamp where floor ceil sum dot affine logsumexp"""
    assert set(promised.split()) <= set(OPS)
    assert all(OPS[name].name == name for name in OPS)


# How far from the exact result a row may be, in units in the last place; DEFAULT unless stated.
DEFAULT = 4.0
ULPS: dict[str, Callable[..., float]] = {
    "add": lambda x, y: 0.5,
    "sub": lambda x, y: 0.5,
    "mul": lambda x, y: 0.5,
    "div": lambda x, y: 0.5,
    "sum": lambda *values: 0.5,  # rounded once
    # erfc(t) for large t multiplies the relative rounding error of t by 2 t**2; t = -x / sqrt(2)
    "gelu": lambda x: 6.0 if x > -1 else 6 + 2 * x * x,
    # the sigmoid of x < -708 is subnormal, and x multiplies its rounding error
    "silu": lambda x: DEFAULT + (abs(x) if x < -708 else 0),
}


@every_row
@given(data=st.data())
def test_values_match_exact_arithmetic(op: Op, data: Any) -> None:
    operands = data.draw(points(op))
    got, expected = op.evaluate(*operands), exact(op, operands)
    if op.variadic and not isfinite(got):
        terms = [*operands]
        if op.name in ("dot", "affine"):
            paired = len(operands) // 2 * 2
            terms[:paired] = [w * x for w, x in zip(*half_up(operands[:paired]), strict=True)]
        if sum(map(abs, terms)) > LARGEST / 4:
            return  # an intermediate sum overflowed, as in NumPy
    if not isfinite(got):
        assert got == nearest(expected)
        return
    with mp.workdps(800):
        error = abs(mpf(got) - expected)
        unit = mpf(math.ulp(nearest(expected)) if isfinite(nearest(expected)) else math.ulp(LARGEST))
        if op.name in ("dot", "affine"):  # each product is rounded, then the sum once
            ws, xs = half_up(operands[: len(operands) // 2 * 2])
            size = mp.fsum([abs(mpf(w) * mpf(x)) for w, x in zip(ws, xs, strict=True)])
            assert error <= unit + size * EPS + len(ws) * TINY
        elif op.name == "logsumexp":  # the logarithm is as exact as the largest operand, or the spread, is
            size = max(abs(mpf(v)) for v in operands) if len(operands) > 1 else 0
            assert error <= DEFAULT * max(unit, min(size, max(abs(max(operands)), 1)) * EPS)
        else:
            allowed = ULPS[op.name](*operands) if op.name in ULPS else DEFAULT
            assert error <= allowed * unit * (1 + mpf(10) ** -30), float(error / unit)


@pytest.mark.parametrize("divisor", [-1e300, -3.0, -0.1, -1e-300])
def test_division_by_negative_numbers(divisor: float) -> None:
    assert ops.div(0.7, divisor) == 0.7 / divisor
    assert ops.div.derivatives(0.7 / divisor, (0.7, divisor)) == pytest.approx((1 / divisor, -0.7 / divisor / divisor))


@pytest.mark.parametrize("power", [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 5.0])
@pytest.mark.parametrize("base", [-3.0, -1.0, -0.25])
def test_whole_powers_of_negative_numbers(base: float, power: float) -> None:
    out = ops.pow(base, power)
    assert out == base ** int(power)
    d_base, d_power = ops.pow.derivatives(out, (base, power))
    assert d_base == pytest.approx(power * base ** int(power - 1), rel=1e-15)
    assert math.isnan(d_power)


def test_stable_at_the_extremes() -> None:
    close = {"rel": 1e-15, "abs": 0.0}
    assert ops.sigmoid(-1000) == 0.0
    assert ops.sigmoid(1000) == 1.0
    assert ops.sigmoid(-700) == pytest.approx(math.exp(-700), **close)
    assert ops.softplus(1000) == 1000.0
    assert ops.softplus(-50) == pytest.approx(math.exp(-50), **close)
    assert ops.logsigmoid(-1000) == -1000.0
    assert ops.logsigmoid(50) == pytest.approx(-math.exp(-50), **close)
    assert ops.tanh(1e9) == 1.0
    assert ops.expm1(1e-18) == 1e-18
    assert ops.log1p(1e-18) == 1e-18
    assert ops.sum([0.1] * 10) == 1.0
    assert ops.logsumexp([1000.0] * 10_000) == pytest.approx(1000 + math.log(10_000), **close)
    assert ops.logsumexp([-1e4, -1e4]) == pytest.approx(-1e4 + math.log(2), **close)

    def slope(op: Op, x: float) -> float:
        v = Value(x)
        op(v).backward()
        return v.grad

    assert slope(ops.sigmoid, -1000) == 0.0
    assert slope(ops.sigmoid, 1000) == 0.0
    assert slope(ops.sigmoid, -700) == pytest.approx(math.exp(-700), **close)
    assert slope(ops.softplus, 1000) == 1.0
    assert slope(ops.softplus, -700) == pytest.approx(math.exp(-700), **close)
    assert slope(ops.logsigmoid, -1000) == 1.0
    assert slope(ops.tanh, 1e9) == 0.0
    assert slope(ops.expm1, 1e-18) == 1.0
    assert slope(ops.silu, -1000) == 0.0
    assert slope(ops.gelu, -1000) == 0.0
    values = [Value(1000.0) for _ in range(10_000)]
    ops.logsumexp(values).backward()
    assert {round(v.grad, 15) for v in values} == {1e-4}


@pytest.mark.parametrize("x", [-800.0, -50.0, -36.0, -20.0, -1.0])
def test_logsumexp_keeps_what_small_operands_add(x: float) -> None:
    # log(1 + exp(x)) is softplus(x): 1.9e-22 at -50, where log(fsum([1, exp(x)])) gives 0
    assert ops.logsumexp([0.0, x]) == pytest.approx(ops.softplus(x), rel=1e-15, abs=0.0)


@pytest.mark.parametrize("offset", [0.0, 1e6, 1e12, 1e16, -1e16])
def test_derivatives_of_logsumexp_sum_to_one(offset: float) -> None:
    values = [Value(offset) for _ in range(2)]
    ops.logsumexp(values).backward()
    assert [v.grad for v in values] == pytest.approx([0.5, 0.5], rel=1e-12)


# Derivatives

# Two terms that cancel leave an error of about one unit in the last place of the terms: out * (1 - out),
# 1 - out * out and the roots of gelu' and silu'.
FLOORS = {"sigmoid": 2 * EPS, "tanh": 2 * EPS, "gelu": 2 * EPS, "silu": 2 * EPS}


def steps_within_range(op: Op, out: float, operands: tuple[float, ...]) -> bool:
    """Whether what the partials are made of is neither subnormal nor beyond the range of floats."""
    if not isfinite(out) or 0 < abs(out) < NORMAL:
        return False
    if op.name == "pow":  # y * x**(y - 1)
        inner = ops.pow(operands[0], operands[1] - 1)
        return NORMAL <= inner < inf
    return True


@every_row
@given(data=st.data())
@settings(max_examples=40)
def test_derivatives_match_exact_differences(op: Op, data: Any) -> None:
    operands = data.draw(points(op))
    out = op.evaluate(*operands)
    if not steps_within_range(op, out, operands) or operands in op.kinks:
        return
    if op.name == "clamp" and len({*operands}) < 3:
        return  # the rule for ties is tested below
    for slot, got in enumerate(op.derivatives(out, operands)):
        expected = exact_partial(op, operands, slot)
        if expected is None:
            continue
        floor = FLOORS.get(op.name, 0.0) + NORMAL
        if op.name == "logsumexp":  # exp(v - out)
            floor += EPS
        if not isfinite(got):
            assert got == nearest(expected) or abs(expected) > LARGEST / 4, (slot, got, nearest(expected))
        else:
            assert abs(mpf(got) - expected) <= abs(expected) * mpf("1e-12") + floor, (slot, got, nearest(expected))


@every_row
@given(data=st.data())
@settings(max_examples=25)
def test_second_derivatives_match_exact_differences(op: Op, data: Any) -> None:
    """The partials, written once, evaluated on Values and differentiated again."""
    count = data.draw(st.integers(1, 2)) if op.variadic else 0
    operands = data.draw(st.tuples(*map(grid, intervals(op, count))))
    xs = [Value(x) for x in operands]
    out = Value.apply_op(op, xs)
    function = EXACT[op.name]
    for i, partial in enumerate(op.derivatives(out, xs)):
        if moderate_partial(op, operands, i) is None:
            continue
        for x in xs:
            x.grad = 0.0
        if isinstance(partial, Value):
            partial.backward()
        for j, x in enumerate(xs):
            first = lambda *vs, i=i: difference(function, vs, i, step=mpf(10) ** -60, digits=250, at_zero=mpf(1))  # noqa: E731
            expected = difference(first, operands, j, step=mpf(10) ** -25, digits=250, at_zero=mpf(1))
            if expected is None:
                continue
            scale = 1 + abs(out.data) + abs(flat(partial)) + abs(float(expected))
            assert abs(mpf(x.grad) - expected) <= abs(expected) * 1e-10 + 1e-13 * scale, (i, j, x.grad, expected)


@pytest.mark.parametrize("base", [0.015625, 2.0, 1e-100])
def test_the_slope_of_a_power_changes_with_the_exponent_at_0_too(base: float) -> None:
    """d/dy of y * x**(y - 1) at y = 0 is 1/x: a guard on the exponent made it 1."""
    x, y = Value(base), Value(0.0)
    dx = ops.pow.derivatives(x**y, (x, y))[0]
    dx.backward()
    assert (dx.data, y.grad) == (0.0, pytest.approx(1 / base))


@pytest.mark.parametrize("base", [0.0, 5e-324, 1e-310, 1e-200, -1e-310, inf, -2.0])
def test_the_slope_of_a_power_to_0_is_0_however_small_the_base(base: float) -> None:
    assert ops.pow.derivatives(1.0, (base, 0.0))[0] == ops.pow.pullback(1.0, 1.0, base, 0.0)[0] == 0.0


@every_row
def test_partials_give_values_what_they_give_floats(op: Op) -> None:
    """Written once: the same numbers on floats, on IEEE floats and on Values, at the strangest points."""
    for operands in special_points(op):
        out = op.evaluate(*operands)
        on_floats = op.derivatives(out, operands)
        on_ieee = op.derivatives(IEEE(out), [IEEE(x) for x in operands])
        xs = [Value(x) for x in operands]
        on_values = op.derivatives(Value.apply_op(op, xs), xs)
        assert len(on_floats) == len(operands)
        for one, two, three in zip(on_floats, on_ieee, on_values, strict=True):
            assert alike(one, float(two)), operands
            assert alike(one, flat(three)), operands


@every_row
def test_pullback_is_cotangent_times_derivatives(op: Op) -> None:
    for operands in special_points(op):
        out = op.evaluate(*operands)
        derivatives = op.derivatives(out, operands)
        for g in (1.0, -2.5, 0.0, inf, nan):
            try:
                cotangents = op.pullback(g, out, *operands)
            except ArithmeticError:  # the reverse pass then takes the derivatives
                continue
            assert len(cotangents) == len(operands)
            for got, d in zip(cotangents, derivatives, strict=True):
                assert alike(got, g * d), (g, operands)


# Kinks, jumps and ends


@every_row
def test_stated_kinks_are_true(op: Op) -> None:
    for place, partials in op.kinks.items():
        assert len(place) == len(partials) == len(op.operands)
        taken = op.derivatives(op.evaluate(*place), place)
        assert all(alike(a, b) for a, b in zip(taken, partials, strict=True)), (place, taken)
        assert any(moderate_partial(op, place, slot) is None for slot in range(len(place))), (
            f"{op.name} has equal left and right derivatives at {place}"
        )


@every_row
def test_no_kink_is_left_unstated(op: Op) -> None:
    """A row that states no kink has none: the one-sided derivatives agree on a grid that holds the usual ones."""
    if op.kinks:
        return
    ticks = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)
    spans = intervals(op, 1)
    for operands in itertools.product(*[[x for x in ticks if low < x < high] for low, high in spans]):
        for slot in range(len(operands)):
            assert moderate_partial(op, operands, slot) is not None, f"{op.name} has a kink at {operands}, slot {slot}"


KINKS = [  # the rules of PyTorch, operands -> partials; test_oracles.py asks PyTorch itself
    ("relu", (0.0,), (0.0,)),
    ("abs", (0.0,), (0.0,)),
    ("sign", (0.0,), (0.0,)),
    ("maximum", (2.0, 2.0), (0.5, 0.5)),
    ("minimum", (-3.0, -3.0), (0.5, 0.5)),
    ("clamp", (-1.0, -1.0, 1.0), (1.0, 0.0, 0.0)),
    ("clamp", (1.0, -1.0, 1.0), (1.0, 0.0, 0.0)),
    ("clamp", (-2.0, -1.0, 1.0), (0.0, 1.0, 0.0)),
    ("clamp", (2.0, -1.0, 1.0), (0.0, 0.0, 1.0)),
    ("clamp", (0.5, 1.0, 0.0), (0.0, 0.0, 1.0)),
    ("leaky_relu", (0.0, 0.01), (0.01, 0.0)),
    ("elu", (0.0, 1.0), (1.0, 0.0)),
    ("floor", (2.0,), (0.0,)),
    ("ceil", (2.0,), (0.0,)),
    ("pow", (0.0, 0.0), (0.0, 0.0)),
    ("pow", (0.0, 1.0), (1.0, 0.0)),
    ("pow", (0.0, 2.0), (0.0, 0.0)),
    ("pow", (0.0, 0.5), (inf, 0.0)),
    ("pow", (0.0, -1.0), (-inf, -inf)),
    ("sqrt", (0.0,), (inf,)),
    ("cbrt", (0.0,), (inf,)),
    ("log", (0.0,), (inf,)),
    ("asin", (1.0,), (inf,)),
    ("acos", (-1.0,), (-inf,)),
    ("acosh", (1.0,), (inf,)),
    ("atanh", (1.0,), (inf,)),
    ("log1p", (-1.0,), (inf,)),
    ("hypot", (0.0, 0.0), (nan, nan)),
    ("atan2", (0.0, 0.0), (0.0, 0.0)),
    ("where", (0.0, 1.0, 2.0), (0.0, 0.0, 1.0)),
]


@pytest.mark.parametrize(("name", "operands", "partials"), KINKS)
def test_rules_at_kinks_and_ends(name: str, operands: tuple[float, ...], partials: tuple[float, ...]) -> None:
    op = OPS[name]
    assert op.derivatives(op.evaluate(*operands), operands) == pytest.approx(partials, nan_ok=True, rel=1e-15)


@every_row
def test_domain_ends_are_ends(op: Op) -> None:
    """At each finite end of a stated domain the result or a derivative is not finite: it is not drawn too tight."""
    for slot, interval in enumerate(op.domain):
        for end in filter(isfinite, interval):
            others = [-1.0 if op.name == "pow" else 0.5 for _ in op.domain]
            place = (*others[:slot], end, *others[slot + 1 :])
            out = op.evaluate(*place)
            assert not all(map(isfinite, (out, *op.derivatives(out, place))))


@every_row
@given(data=st.data())
def test_finite_inside_the_domain(op: Op, data: Any) -> None:
    """Away from overflow, forward and derivatives are finite wherever the row says that they are."""
    operands = data.draw(st.tuples(*map(grid, intervals(op, 2))))
    if operands in op.kinks or (op.name in ("hypot", "atan2", "cbrt") and not any(operands)):
        return
    out = op.evaluate(*operands)
    assert all(map(isfinite, (out, *op.derivatives(out, operands)))), operands


# IEEE 754

NUMPY: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "pow": np.power,
    "neg": np.negative,
    "abs": np.fabs,
    "exp": np.exp,
    "expm1": np.expm1,
    "exp2": np.exp2,
    "log": np.log,
    "log1p": np.log1p,
    "log2": np.log2,
    "log10": np.log10,
    "sqrt": np.sqrt,
    "cbrt": np.cbrt,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "hypot": np.hypot,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "greater": np.greater,
    "relu": lambda x: np.maximum(x, 0.0),
    "leaky_relu": lambda x, slope: np.where(x > 0, x, slope * x),
    "elu": lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(x)),
    "selu": lambda x: np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)) * 1.0507009873554805,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "softplus": lambda x: np.logaddexp(x, 0.0),
    "logsigmoid": lambda x: -np.logaddexp(-x, 0.0),
    "clamp": lambda x, low, high: np.minimum(np.maximum(x, low), high),
    "where": lambda condition, x, y: np.where(condition != 0, x, y),
    "sum": lambda *values: np.add.reduce(values),
    "dot": lambda *wx: np.dot(*map(np.array, half_up(wx))),
    "affine": lambda *wxb: np.dot(*map(np.array, half_up(wxb[:-1]))) + wxb[-1],
    "logsumexp": lambda *values: np.logaddexp.reduce(values),
}


@every_row
def test_special_floats_as_numpy(op: Op) -> None:
    if op.name not in NUMPY:
        assert op.name in ("erf", "erfc", "gelu"), "give the new row a NumPy oracle"
        return
    choice = op.name in ("maximum", "minimum", "clamp", "relu", "greater", "sign", "dot", "affine", "sum")
    # for these, which of the two zeros is not laid down
    with np.errstate(all="ignore"):
        for operands in special_points(op):
            if op.name == "pow" and operands[1] == 0.5 and math.copysign(1, operands[0]) < 0:
                continue  # NumPy takes the square root instead: nan at -inf, where C's pow says inf
            got, expected = op.evaluate(*operands), float(NUMPY[op.name](*map(np.float64, operands)))
            # where NumPy's own formula leaves a limit undecided, as silu's at -inf, both give nan
            assert got == pytest.approx(expected, rel=1e-13, abs=TINY, nan_ok=True), operands
            if got == 0 and expected == 0 and not choice and op.name != "silu":
                assert math.copysign(1, got) == math.copysign(1, expected), operands


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        *[("erf", inf, 1.0), ("erf", -inf, -1.0), ("erf", nan, nan), ("erfc", inf, 0.0), ("erfc", -inf, 2.0)],
        *[("erfc", nan, nan), ("gelu", inf, inf), ("gelu", nan, nan), ("gelu", LARGEST, LARGEST), ("gelu", -1e300, 0)],
        *[("log", 0.0, -inf), ("log", -1.0, nan), ("exp", 1000.0, inf), ("log1p", -1.0, -inf), ("atanh", 1.0, inf)],
        *[("atanh", -1.0, -inf), ("sqrt", -1.0, nan), ("acosh", 0.5, nan), ("asin", 1.5, nan), ("sin", inf, nan)],
    ],
)
def test_special_floats_as_stated(name: str, x: float, expected: float) -> None:
    assert alike(OPS[name](x), expected)
    assert alike(OPS[name](Value(x)).data, expected)


def test_special_powers_and_quotients_of_values() -> None:
    assert (Value(1.0) / 0).data == inf
    assert (1 / Value(-0.0)).data == -inf
    assert math.isnan((Value(0.0) / Value(0.0)).data)
    assert math.isnan((Value(-8.0) ** (1 / 3)).data)
    assert (Value(0.0) ** -1).data == inf
    assert (Value(-0.0) ** -1).data == -inf
    assert (Value(-0.0) ** -0.5).data == inf
    assert (Value(1e200) ** 2).data == inf
    assert (Value(-1e200) ** 3).data == -inf
    assert (Value(0.0) ** 0).data == 1.0


@every_row
def test_no_special_float_ever_raises(op: Op) -> None:
    """Forward, local derivatives and backward, each the same on Values as on floats."""
    for operands in special_points(op):
        out = op.evaluate(*operands)
        assert type(out) is float
        xs = [Value(x) for x in operands]
        node = Value.apply_op(op, xs)
        assert type(node.data) is float
        assert alike(node.data, out)
        derivatives = op.derivatives(out, operands)
        assert all(alike(d(), e) for d, e in zip(node.local_derivatives, derivatives, strict=True)), operands
        node.backward()
        assert all(alike(x.grad, d) for x, d in zip(xs, derivatives, strict=True)), operands


@every_row
def test_a_constant_beside_a_variable_changes_nothing(op: Op) -> None:
    """Plain numbers as operands, slot by slot: the same gradient for what is left."""
    if arity(op, 2) < 2:
        return
    for operands in itertools.islice(special_points(op), 0, None, 3):
        derivatives = op.derivatives(op.evaluate(*operands), operands)
        for slot, expected in enumerate(derivatives):
            x = Value(operands[slot])
            node = Value.apply_op(op, [*operands[:slot], x, *operands[slot + 1 :]])
            node.backward()
            assert alike(x.grad, expected), (slot, operands)
            assert [p.kind for p in node.parents].count("constant") == len(operands) - 1


# The row as a function, a method, an operator

OPERATORS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "truediv": operator.truediv,
    "pow": operator.pow,
    "neg": operator.neg,
    "abs": operator.abs,
}


def test_operators_are_rows() -> None:
    assert {op.operator for op in ROWS if op.operator} == set(OPERATORS)
    for op in ROWS:
        if not op.operator:
            continue
        python = OPERATORS[op.operator]
        numbers = (3.0, -0.7)[: len(op.operands)]
        expected = op.evaluate(*numbers)
        for as_value in itertools.product([True, False], repeat=len(numbers)):
            if not any(as_value):
                continue
            operands = [Value(x) if v else x for x, v in zip(numbers, as_value, strict=True)]
            node = python(*operands)
            assert node.op is op
            assert node.data == expected
            assert [p.data for p in node.parents] == list(numbers)
            assert all(p is x for p, x in zip(node.parents, operands, strict=True) if isinstance(x, Value))
            assert [p.kind for p in node.parents] == ["variable" if v else "constant" for v in as_value]


@every_row
def test_functions_methods_and_numbers(op: Op) -> None:
    function = getattr(autograd, op.name)
    assert function is op
    if op.variadic:
        return
    low, high = op.domain[0]
    first = 0.4 if low < 0.4 < high else 1.4
    numbers = (first, 0.3, 0.8)[: len(op.operands)]
    out = function(*numbers)
    assert type(out) is float
    assert function(*map(Fraction, numbers)) == out
    assert function(**dict(zip(op.operands, numbers, strict=True))) == out
    node = function(*map(Value, numbers))
    assert (node.op, node.data, node.kind) == (op, out, "result")
    if op.required == 1:
        assert getattr(Value(first), op.name)(*numbers[1:]).data == out
        assert getattr(Value(first), op.name)().data == function(first)
    else:
        assert hasattr(Value, op.name) is (op.numpy == op.name)


def test_defaults_and_keywords_of_methods() -> None:
    x = Value(-2.0)
    assert x.leaky_relu().data == -0.02
    assert x.leaky_relu(0.5).data == -1.0
    assert x.leaky_relu(negative_slope=0.5).data == -1.0
    assert x.elu(alpha=2.0).data == 2 * math.expm1(-2)
    assert x.clamp(-1).data == -1.0
    assert x.clamp(max=-3).data == -3.0
    assert x.clamp(min=-1, max=1).data == -1.0
    assert x.clamp().data == -2.0
    slope = Value(0.1, label="slope")
    x.leaky_relu(slope).backward()
    assert (x.grad, slope.grad) == (0.1, -2.0)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ops.exp(), r"exp\(\); right: exp\(x\)"),
        (lambda: ops.exp(1, 2), r"exp\(.+,.+\); right: exp\(x\)"),
        (lambda: ops.exp(y=1), r"exp\(y=.*right: exp\(x\)"),
        (lambda: ops.exp(1, x=2), r"exp\(.*x=.*right: exp\(x\)"),
        (lambda: ops.maximum(1), r"right: maximum\(x, y\)"),
        (lambda: ops.clamp(), r"right: clamp\(x, min=-inf, max=inf\)"),
        (lambda: ops.clamp(1, low=2), r"low=.*right: clamp"),
        (lambda: ops.affine([1], [2]), r"right: affine\(.+, .+, b\)"),
        (lambda: ops.sum(1, 2), r"right: sum\("),
        (lambda: Value(1.0).tanh(2), r"right: tanh\(x\)"),
        (lambda: ops.sum(3.0), r"sum.*sequence.*\[a, b"),
        (lambda: ops.sum(Value(3.0)), r"sum.*sequence.*\[a, b"),
    ],
)
def test_wrong_arguments(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        call()


def test_an_error_among_the_operands_is_not_hidden() -> None:
    def mistaken(v: Value) -> Any:
        return v + "a"

    with pytest.raises(TypeError, match="got str"):
        ops.sum(mistaken(v) for v in [Value(1.0)])


def test_variadic_rows_are_one_node() -> None:
    ws, xs, b = [Value(0.5), Value(-1.0), Value(2.0)], [Value(1.0), 3.0, Value(0.25)], Value(0.125)
    node = autograd.affine(ws, xs, b)
    assert node.parents == (*ws, xs[0], node.parents[4], xs[2], b)
    assert (node.parents[4].data, node.parents[4].kind) == (3.0, "constant")
    assert node.data == 0.5 - 3 + 0.5 + 0.125
    node.backward()
    assert [w.grad for w in ws] == [1.0, 3.0, 0.25]
    assert (xs[0].grad, xs[2].grad, b.grad) == (0.5, 2.0, 1.0)
    assert autograd.dot(iter(ws), (x for x in xs)).data == -2.0
    assert autograd.sum(x for x in ws).op is ops.sum
    assert len(autograd.sum(ws * 100).parents) == 300
    assert autograd.sum([ws[0]]).data == 0.5
    assert autograd.sum(values=[1, 2]) == 3.0
    assert autograd.dot([], []) == 0.0
    assert autograd.sum([]) == 0.0
    assert autograd.logsumexp([]) == -inf
    assert autograd.affine([], [], 2) == 2.0
    assert autograd.affine([], [], b).data == 0.125
    repeated = Value(3.0)
    autograd.sum([repeated, repeated, 1.0]).backward()
    assert repeated.grad == 2.0


@pytest.mark.parametrize("op", [op for op in ROWS if op.variadic], ids=lambda op: op.name)
@given(data=st.data(), count=st.integers(1, 4))
def test_a_variadic_row_is_what_it_is_written_as(op: Op, data: st.DataObject, count: int) -> None:
    operands = data.draw(st.tuples(*[grid((-4.0, 4.0))] * arity(op, count)))
    assert op.written is not None
    assert op.written(*operands) == pytest.approx(op.evaluate(*operands), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("row", [ops.dot, lambda ws, xs: ops.affine(ws, xs, 0.0)])
def test_as_many_weights_as_inputs(row: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="2 weights and 1 inputs"):
        row([Value(1.0), 2.0], [3.0])


REALS = [3, True, 3.0, np.float64(3), np.float32(3), np.int64(3), np.uint8(3), np.bool_(True), Fraction(3, 1)]
REALS += [np.array(3.0), np.array(3), np.float16(3)]
NOT_REAL = ["3", b"3", None, 3j, [3.0], (3.0,), {"a": 3.0}, {3.0}, Decimal(3), object(), np.complex128(3)]


def named(x: object) -> str:
    return f"{type(x).__name__}-{getattr(x, 'shape', '')}"


@pytest.mark.parametrize("x", REALS, ids=named)
def test_real_numbers_become_constants(x: Any) -> None:
    for python in (f for n, f in OPERATORS.items() if n not in ("neg", "abs")):
        for left in (False, True):
            node = python(x, Value(2.0)) if left else python(Value(2.0), x)
            assert isinstance(node, Value)
            leaf = node.parents[0 if left else 1]
            assert (leaf.data, leaf.kind, type(leaf.data)) == (float(x), "constant", float)
            node.backward()
            assert leaf.grad == 0.0
    assert autograd.maximum(Value(2.0), x).data == max(2.0, float(x))
    assert autograd.sum([x, Value(2.0)]).data == float(x) + 2
    assert autograd.exp(x) == math.exp(float(x))
    assert Value(x).data == float(x)
    assert (Value(2.0) < x) is (float(x) > 2.0)
    assert bool(x < Value(2.0)) is (float(x) < 2.0)


@pytest.mark.parametrize("x", NOT_REAL, ids=named)
def test_all_else_is_refused_by_name(x: Any) -> None:
    v = Value(2.0, label="v")
    calls: list[Callable[[], Any]] = [lambda: Value(x), lambda: autograd.exp(x), lambda: autograd.maximum(v, x)]
    calls += [lambda: autograd.sum([v, x]), lambda: autograd.where(x, v, v), lambda: v < x, lambda: x >= v]
    calls += [lambda: setattr(v, "data", x), lambda: setattr(v, "grad", x), lambda: (v * v).backward(x)]
    for name, python in OPERATORS.items():
        if name not in ("neg", "abs"):
            calls += [lambda python=python: python(v, x), lambda python=python: python(x, v)]
    for call in calls:
        with pytest.raises(TypeError, match=rf"got {type(x).__name__.removesuffix('128')}\S*:.*(right|forgets)"):
            call()
    assert (v.data, v.grad, repr(v)) == (2.0, 0.0, "Value(2.0, label='v')")


def test_a_value_is_not_a_number() -> None:
    """A Value given where a plain number belongs: the error says to write .data, which works."""
    v = Value(2.0)
    for call in (
        lambda: setattr(v, "data", Value(3.0)),
        lambda: setattr(v, "grad", Value(3.0)),
        lambda: (v * v).backward(Value(1.0)),
        lambda: Value(Value(1.0)),
    ):
        with pytest.raises(TypeError, match=r"Value.*right: .*(\.data|detach)"):
            call()
    assert v.data == 2.0


@pytest.mark.parametrize("x", [10**400, -(10**400), 10**5000, Fraction(10**400)], ids=["400", "-400", "5000", "frac"])
def test_numbers_beyond_floats(x: Any) -> None:
    v = Value(2.0)
    for call in (
        lambda: Value(x),
        lambda: v + x,
        lambda: x * v,
        lambda: autograd.exp(x),
        lambda: setattr(v, "data", x),
    ):
        with pytest.raises(OverflowError, match=r"range of floats.*math\.inf"):
            call()
    assert v.data == 2.0


@pytest.mark.parametrize("name", [name for name in OPERATORS if name not in ("neg", "abs")])
def test_arrays_broadcast(name: str) -> None:
    python = OPERATORS[name]
    for array in (np.array([1.0, 2.0]), np.array([[1, 2], [3, 4]]), np.array([Value(1.0), 2.0], dtype=object)):
        for left in (False, True):
            v = Value(3.0)
            result = python(array, v) if left else python(v, array)
            assert isinstance(result, np.ndarray)
            assert (result.shape, result.dtype) == (array.shape, np.dtype(object))
            for element, x in zip(result.flat, array.flat, strict=True):
                pair = (flat(x), 3.0) if left else (3.0, flat(x))
                assert element.data == python(*pair)
                assert element.parents[1 if left else 0] is v
    assert (Value(1.5) < np.array([1.0, 2.0])).tolist() == [False, True]
    assert (np.array([1.0, 2.0]) < Value(1.5)).tolist() == [True, False]


def test_functions_refuse_arrays_with_axes() -> None:
    with pytest.raises(TypeError, match=r"ndarray of shape \(2,\)"):
        autograd.exp(np.array([1.0, 2.0]))
    with pytest.raises(TypeError, match=r"ndarray of shape \(1,\)"):
        autograd.maximum(Value(1.0), np.array([1.0]))
    with pytest.raises(TypeError, match=r"ndarray of shape \(2,\)"):
        Value(np.array([1.0, 2.0]))


# What is shown


@every_row
def test_a_row_tells_how_it_is_shown(op: Op) -> None:
    assert op.symbol
    assert op.__doc__
    names = {name: f"<{name}>" for name in op.operands}
    latex = op.latex.format(**names)
    assert all(shown in latex for shown in names.values())
    assert latex.count("{") == latex.count("}")
    assert repr(op).startswith(f"<Op {op.name}(")


@every_row
def test_commutative_rows_are_those_whose_operands_can_be_swapped(op: Op) -> None:
    if len(op.operands) == 1 and not op.variadic:
        assert not op.commutative
        return
    numbers = (0.5, 2.0, 1.25, 3.0)[: arity(op, 2)]
    swaps = [op.evaluate(*order) for order in itertools.permutations(numbers)]
    assert op.commutative is (max(swaps) - min(swaps) < 1e-15)


# Rows of one's own


def dx(out: Any, x: Any) -> Any:
    return 2 * x


@pytest.fixture
def own() -> Callable[..., Op]:
    """register, in one call."""
    return lambda *args, **named: register(Op(*args, **named))


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: Op("two words", math.exp, (dx,)), ValueError, "identifier.*'two words'"),
        (lambda: Op("", math.exp, (dx,)), ValueError, "identifier"),
        (lambda: Op(3, math.exp, (dx,)), ValueError, "identifier.*3"),  # type: ignore[arg-type]
        (lambda: Op("f", None, (dx,)), TypeError, "'f'.*function of floats.*None"),  # type: ignore[arg-type]
        (lambda: Op("f", math.exp, (2.0,)), TypeError, "'f'.*2.0"),  # type: ignore[arg-type]
        (lambda: Op("f", math.exp, (dx,), limit=0.0), TypeError, "'f'.*0.0"),  # type: ignore[arg-type]
        (lambda: Op("f", math.exp), ValueError, "'f'.*partials="),
        (lambda: Op("f", math.exp, ()), ValueError, "'f'.*partials="),
        (lambda: Op("f", math.exp, (dx,), gradient=dx, gather=tuple), ValueError, "gather= and gradient="),
        (lambda: Op("f", math.exp, gradient=dx), ValueError, "both gather= and gradient="),
        (lambda: Op("f", math.exp, gather=lambda xs: xs), ValueError, "both gather= and gradient="),
        (lambda: Op("f", math.exp, (math.exp,)), TypeError, "'f'.*lambda or def"),
        (lambda: Op("f", math.exp, (lambda x: x,)), ValueError, r"'f'.*\(out, x\).*got \(x\)"),
        (lambda: Op("f", math.hypot, (dx, dx)), ValueError, r"2 operands.*\(out, x, y\).*\(out, x\), \(out, x\)"),
        (lambda: Op("f", math.exp, (dx,), domain=((0, 1), (0, 1))), ValueError, "'f'.*domain.*1"),
        (lambda: Op("lambda", math.exp, (dx,)), ValueError, "identifier.*'lambda'"),
        (lambda: Op("f", math.exp, (dx,), domain=((1.0, 0.0),)), ValueError, "'f'.*domain"),
        (lambda: Op("f", math.exp, (dx,), domain=(0.0,)), ValueError, "'f'.*domain"),  # type: ignore[arg-type]
        (lambda: Op("f", max, (lambda o, x, y: x, lambda o, y, x: y)), ValueError, "'f'.*different names"),
        (lambda: Op("f", math.exp, dx), (TypeError, ValueError), "'f'.*partials"),  # type: ignore[arg-type]
        (lambda: Op("f", math.exp, (dx,), pullback=3), TypeError, "'f'.*3"),  # type: ignore[arg-type]
        (lambda: Op("f", max, gradient=3, gather=lambda xs: xs), TypeError, "'f'.*3"),  # type: ignore[arg-type]
    ],
)
def test_badly_formed_rows_are_refused(make: Callable[[], Op], error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        make()


def test_a_registered_row_works_everywhere(own: Callable[..., Op]) -> None:
    cube = own("cube", lambda x: x**3, (lambda out, x: 3 * x * x,), latex="{x}^3")
    x = Value(2.0)
    y = x.cube()
    assert (y.op, y.data) == (cube, 8.0)
    assert OPS["cube"] is autograd.cube is cube
    assert "cube" in dir(autograd)
    assert autograd.cube(3) == 27.0
    y.backward()
    assert x.grad == 12.0
    assert y.local_derivatives[0]() == 12.0
    assert pickle.loads(pickle.dumps(y)).op is cube
    assert copy.deepcopy(y).op is cube
    (slope,) = cube.derivatives(y, (x,))
    x.grad = 0.0
    slope.backward()
    assert x.grad == 12.0


def test_registered_rows_of_more_operands(own: Callable[..., Op]) -> None:
    partials = (lambda out, x, y, z=2.0: y * z, lambda out, x, y, z: x * z, lambda out, x, y, z: x * y)
    three = own("three", lambda x, y, z: x * y * z, partials)
    assert (three.operands, three.defaults, three.required) == (("x", "y", "z"), (2.0,), 2)
    a, b = Value(3.0), Value(5.0)
    node = autograd.three(a, b)
    assert node.data == 30.0
    node.backward()
    assert (a.grad, b.grad) == (10.0, 6.0)
    assert not hasattr(Value, "three")
    longest = own("longest", max, gather=lambda xs: tuple(xs), gradient=lambda out, *xs: [1.0 * (x == out) for x in xs])
    node = longest([a, b, 4])
    node.backward()
    assert (node.data, a.grad, b.grad) == (5.0, 10.0, 7.0)


def test_a_row_may_return_any_real_number(own: Callable[..., Op]) -> None:
    own("half", lambda x: Fraction(x) / 2, (lambda out, x: 0.5,))
    own("whole", lambda x: int(x), (lambda out, x: 0.0,))
    own("scalar", lambda x: np.float64(x), (lambda out, x: 1.0,))
    for name in ("half", "whole", "scalar"):
        assert type(getattr(Value(3.0), name)().data) is float
        assert type(OPS[name](3.0)) is float


def test_a_row_that_raises_gives_its_limit(own: Callable[..., Op]) -> None:
    own("inverse", lambda x: 1 / x, (lambda out, x: -1 / x / x,), limit=lambda x: 7.0)
    own("root", lambda x: math.sqrt(x), (lambda out, x: 0.5 / out,))
    assert autograd.inverse(0.0) == 7.0
    assert Value(0.0).inverse().data == 7.0
    assert math.isnan(Value(-1.0).root().data)
    x = Value(0.0)
    x.inverse().backward()
    assert x.grad == -inf


@pytest.mark.parametrize("name", ["tanh", "sum", "where", "data", "backward", "grad", "label", "_x", "detach"])
def test_built_in_names_are_kept(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}.*taken.*my_{name}"):
        register(Op(name, math.exp, (dx,)))
    assert name not in OPS or OPS[name] is getattr(ops, name)


@pytest.mark.parametrize("name", ["mean", "softmax", "Value", "no_grad", "leaves", "register", "draw", "ops"])
def test_public_names_are_kept(name: str, own: Callable[..., Op]) -> None:
    """autograd.NAME is the row for every row, so a row cannot have the name of something else there."""
    with pytest.raises(ValueError, match=f"{name}.*taken"):
        own(name, math.exp, (dx,))


def test_a_row_that_is_no_longer_unary_is_no_longer_a_method(own: Callable[..., Op]) -> None:
    own("changing", lambda x: x, (lambda out, x: 1.0,))
    own("changing", lambda x, y: x + y, (lambda out, x, y: 1.0, lambda out, x, y: 1.0))
    assert not hasattr(Value, "changing")


def test_python_operators_belong_to_the_built_in_rows(own: Callable[..., Op]) -> None:
    with pytest.raises(ValueError, match="operator='mod'"):
        own("remainder", lambda x, y: x, (lambda out, x, y: 1.0, lambda out, x, y: 0.0), operator="mod")
    assert "remainder" not in OPS


def test_own_names_can_be_registered_again(own: Callable[..., Op]) -> None:
    own("twice", lambda x: 2 * x, (lambda out, x: 2.0,))
    assert Value(3.0).twice().data == 6.0
    second = own("twice", lambda x: 2 * x + 1, (lambda out, x: 2.0,))
    assert Value(3.0).twice().data == 7.0
    assert autograd.twice is second


def test_registering_anything_else() -> None:
    with pytest.raises(TypeError, match=r"expected an Op, got function.*right: register"):
        register(dx)  # type: ignore[arg-type]


def test_rows_are_pickled_by_name() -> None:
    for op in ROWS:
        assert pickle.loads(pickle.dumps(op)) is op
        assert copy.deepcopy(op) is op
        assert copy.copy(op) is op


def test_a_row_outside_the_table_cannot_be_pickled(own: Callable[..., Op]) -> None:
    op = Op("loose", math.exp, (lambda out, x: out,))
    node = op(Value(1.0))
    with pytest.raises((pickle.PicklingError, KeyError), match=r"loose.*register"):
        pickle.loads(pickle.dumps(node))
    node.backward()
    assert node.parents[0].grad == math.e
    assert copy.deepcopy(node).op is op
    assert copy.deepcopy([op])[0] is op
    register(op)
    try:
        text = pickle.dumps(node)
        assert pickle.loads(text).op is op
    finally:
        del OPS["loose"]
        del Value.loose  # type: ignore[misc]
    with pytest.raises(KeyError, match=r"no operation 'loose'.*register"):
        pickle.loads(text)


def test_rows_know_no_value() -> None:
    """ops.py is below Value: nothing in it, or in what it imports, refers to one."""
    assert "Value" not in vars(ops)
    assert "Value" not in vars(sys.modules["autograd.floats"])
