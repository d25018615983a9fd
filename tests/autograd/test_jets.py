"""Derivatives of any order, against high-precision arithmetic and against derivatives of derivatives."""

import gc
import math
import weakref
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from mpmath import mp, mpf
from strategies import EXACT, Program, ordinary_points, programs

import autograd
from autograd import OPS, Op, StaleGraphError, Value, custom, derivative, grad, gradients
from autograd.jets import nth_derivative

every_row = pytest.mark.parametrize("op", list(OPS.values()), ids=lambda op: op.name)


def nested(f: Any, n: int) -> Any:
    return nested(grad(f), n - 1) if n else f


def close(ours: float, exact: Any, size: float) -> bool:
    """To 1e-11 of the size: that of the derivatives up to this one, each of which the next is made of."""
    return abs(ours - float(exact)) <= 1e-11 * size


@every_row
@given(data=st.data())
@settings(max_examples=8)
def test_every_row_along_a_line_against_exact_arithmetic(op: Op, data: Any) -> None:
    """t -> op(x + t * dx, ...): the first seven derivatives, mixed partials of all orders among them."""
    operands = data.draw(ordinary_points(op))
    slopes = data.draw(st.lists(st.sampled_from([-0.5, 0.25, 1.0]), min_size=len(operands), max_size=len(operands)))

    def exactly(t: Any) -> Any:
        return EXACT[op.name](*[x + t * slope for x, slope in zip(operands, slopes, strict=True)])

    def along(t: Any) -> Any:
        return Value.apply_op(op, [x + t * slope for x, slope in zip(operands, slopes, strict=True)])

    with mp.workdps(120):
        expected = [mp.diff(exactly, mpf(0), n) for n in range(8)]
    size = 1.0
    for n, exact in enumerate(expected):
        ours = derivative(along, n)(0.0)
        size = max(size * 4, abs(float(exact)))
        assert close(ours, exact, size), (n, ours, float(exact))


@given(program=programs(steps=8), n=st.integers(0, 4))
@settings(max_examples=40)
def test_random_graphs_against_derivatives_of_derivatives(program: Program, n: int) -> None:
    def f(t: Any) -> Any:
        inputs = [t + x for x in program.inputs]
        return program.run(inputs, lambda name, xs: Value.apply_op(OPS[name], xs))[-1]

    sizes = [abs(nested(f, k)(0.0)) for k in range(n + 1)]
    assert abs(derivative(f, n)(0.0) - nested(f, n)(0.0)) <= 1e-8 * (1 + max(sizes))


def test_high_orders_have_their_exact_values() -> None:
    assert derivative(autograd.exp, 200)(1.0) == pytest.approx(math.e)
    assert derivative(autograd.sin, 101)(0.5) == pytest.approx(math.cos(0.5), rel=1e-14)
    assert derivative(lambda x: 1 / x, 40)(2.0) == pytest.approx(math.factorial(40) / 2.0**41, rel=1e-13)
    assert derivative(lambda x: x**12, 12)(0.3) == pytest.approx(math.factorial(12), rel=1e-14)
    assert derivative(lambda x: x**12, 13)(0.3) == pytest.approx(0.0, abs=1e-2)
    assert derivative(lambda x: x**3, 3)(0.0) == 6.0
    assert [derivative(lambda x: x**0.5, n)(4.0) for n in range(4)] == pytest.approx([2, 1 / 4, -1 / 32, 3 / 256])


def test_the_cost_grows_with_a_power_of_the_order_not_exponentially(monkeypatch: Any) -> None:
    calls = 0
    evaluate = Op.evaluate

    def counted(self: Op, *operands: float) -> float:
        nonlocal calls
        calls += 1
        return evaluate(self, *operands)

    monkeypatch.setattr(Op, "evaluate", counted)
    made = []
    for n in (8, 16, 32):
        calls = 0
        derivative(lambda x: autograd.log(autograd.sigmoid(x) / (1 + x * x)), n)(0.7)
        made.append(calls)
    assert made[2] <= 5 * made[1] <= 25 * made[0]


def test_it_nests() -> None:
    assert grad(derivative(lambda x: x**5, 2))(2.0) == pytest.approx(60 * 4)
    assert derivative(grad(lambda x: x**5), 2)(2.0) == pytest.approx(60 * 4)
    assert derivative(derivative(lambda x: autograd.exp(2 * x), 3), 4)(0.0) == pytest.approx(2.0**7)
    mixed = grad(lambda a: derivative(lambda x: autograd.sin(a * x), 3)(0.5))(2.0)  # d/da of -a^3 cos(a/2)
    assert mixed == pytest.approx(-12 * math.cos(1) + 8 * 0.5 * math.sin(1))
    assert derivative(lambda x: x * derivative(lambda y: x * y * y, 2)(1.0), 2)(3.0) == pytest.approx(4.0)


def test_of_a_value_it_is_a_value_of_the_same_graph() -> None:
    w, x = Value(2.0), Value(0.5)
    third = derivative(lambda v: autograd.exp(w * v), 3)(x)
    assert third.data == pytest.approx(8 * math.e)
    by_w, by_x = gradients(third, [w, x])
    assert by_w == pytest.approx((12 + 8 * 0.5) * math.e)
    assert by_x == pytest.approx(16 * math.e)


def test_a_partial_by_what_does_not_move_may_be_nan() -> None:
    """Of x**w by w it is nan where x is negative, which is nothing to d/dx."""
    w, x = Value(3.0), Value(-2.0)
    assert derivative(lambda x: x**w, 2)(-2.0).data == -12.0
    assert nth_derivative(x**w, x, 2) == -12.0


def test_what_nothing_can_change_is_a_constant() -> None:
    w = Value(3.0)
    bend = derivative(lambda x: w * x, 2)(Value(2.0))
    assert (bend.data, bend.kind) == (0.0, "constant")


def test_zero_and_minus_zero_are_two_operands() -> None:
    turn = custom(lambda x: 2 * math.pi * x, lambda out, x: autograd.atan2(0.0, x) - autograd.atan2(-0.0, x) + 0 * x)
    assert derivative(turn)(-1.0) == grad(turn)(-1.0) == 2 * math.pi


def test_on_a_graph_that_is_there() -> None:
    x, w = Value(3.0), Value(2.0)
    y = w * x**3
    assert [nth_derivative(y, x, n) for n in range(5)] == [54.0, 54.0, 36.0, 12.0, 0.0]
    assert nth_derivative(x, x, 0) == 3.0
    assert nth_derivative(x, x, 1) == 1.0
    assert nth_derivative(w, x, 0) == 2.0
    assert nth_derivative(w * 2, x, 1) == 0.0
    assert (x.grad, w.grad, y.grad) == (0.0, 0.0, 0.0)
    w.data = 5.0
    with pytest.raises(StaleGraphError):
        nth_derivative(y, x, 1)


def test_each_of_many_points() -> None:
    import numpy as np

    xs = np.linspace(-1.0, 1.0, 6).reshape(2, 3)
    assert np.allclose(derivative(autograd.tanh)(xs), 1 - np.tanh(xs) ** 2, rtol=1e-14, atol=0)
    assert derivative(lambda x: x * x, 2)({"a": 1.0, "b": [2.0]}) == {"a": 2.0, "b": [2.0]}


def test_a_deep_graph() -> None:
    def f(x: Any) -> Any:
        y = x
        for _ in range(20_000):
            y = y + x
        return y * y

    assert derivative(f, 2)(1.0) == 2 * 20_001.0**2


@pytest.mark.parametrize("n", [-1, 1.0, True, "2", None])
def test_orders_that_are_none(n: Any) -> None:
    with pytest.raises(ValueError, match=r"wrong: derivative\(f, .*right: derivative\(f, 2\)"):
        derivative(autograd.exp, n)


def test_no_node_is_kept_in_a_cycle() -> None:
    x = Value(0.5)
    gc.collect()
    gc.disable()
    try:
        y = x.exp() * x.sin()
        watch = weakref.ref(y)
        fourth = nth_derivative(y, x, 4, create_graph=True)
        inner = weakref.ref(fourth.parents[0])
        del y, fourth
        assert watch() is None
        assert inner() is None
    finally:
        gc.enable()


def test_a_partial_that_fails_leaves_no_cycle() -> None:
    op = autograd.custom(lambda x: x * x, lambda out, x: autograd.exp(x) * object())
    x = Value(0.5)
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            with pytest.raises(TypeError):
                nth_derivative(op(x) * x, x, 3)
        gc.collect()
        y = op(x).sin()
        watch = weakref.ref(y)
        with pytest.raises(TypeError):
            nth_derivative(y, x, 3, create_graph=True)
        del y
        assert watch() is None
    finally:
        gc.enable()
