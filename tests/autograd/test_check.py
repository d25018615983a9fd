"""check_gradients: that it refuses no right derivative, and catches every wrong one, for every row of the table."""

import math
import pickle
import random
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings, strategies as st
from strategies import Program, arity, flat, ordinary_points, programs

import autograd
from autograd import OPS, Op, Value, check_gradients, custom, grad, stop_gradient
from autograd.check import Comparison, GradientError
from autograd.differences import extrapolated
from autograd.passes import Linearization

SLIP = 1 / 2000
ROWS = list(OPS.values())
COUNTS = (1, 2)  # of values or pairs that the variadic rows are given
every_row = pytest.mark.parametrize("op", ROWS, ids=lambda op: op.name)
every_operand = pytest.mark.parametrize(
    ("op", "slot"),
    [
        pytest.param(op, slot, id=f"{op.name}-{slot}")
        for op in ROWS
        for slot in range(max([arity(op, count) for count in COUNTS]))
    ],
)
few = settings(max_examples=4, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])


def applied(op: Op) -> Callable[..., Any]:
    """The row as a function of its operands, one by one."""

    def function(*operands: Any) -> Any:
        return Value.apply_op(op, operands)

    function.__name__ = op.name
    return function


def refused(f: Callable[..., Any], *args: Any, order: int = 2) -> GradientError:
    with pytest.raises(GradientError) as caught:
        check_gradients(f, *args, order=order)
    return caught.value


# Twins: rows that are wrong in one place


NAMED: dict[int, Callable[[Any], Any]] = {
    1: lambda f: lambda out, x: f(out, x),
    2: lambda f: lambda out, x, y: f(out, x, y),
    3: lambda f: lambda out, x, y, z: f(out, x, y, z),
}


def twin(op: Op, slot: int, changed: Callable[[Any, Any, Sequence[Any]], Any]) -> Op:
    """The row with another derivative by one operand: changed(derivative, out, operands)."""
    if op.gradient is not None:
        own = op.gradient

        def gradient(out: Any, *operands: Any) -> list[Any]:
            found = list(own(out, *operands))
            found[slot] = changed(found[slot], out, operands)
            return found

        return Op(op.name, op.forward, gather=lambda values: tuple(values), gradient=gradient, limit=op.limit)

    def partial(out: Any, *operands: Any) -> Any:
        return changed(op.partials[slot](out, *operands), out, operands)

    partials = [NAMED[len(op.partials)](partial if i == slot else p) for i, p in enumerate(op.partials)]
    return Op(op.name, op.forward, partials, limit=op.limit)


def off(derivative: Any) -> Any:
    """Off by one part in 2,000; a zero by as much outright."""
    return derivative * (1 + SLIP) if flat(derivative) else derivative + SLIP


def points_of(op: Op, slot: int) -> st.SearchStrategy[tuple[float, ...]]:
    """Ordinary points with an operand in that slot."""
    return st.sampled_from([n for n in COUNTS if arity(op, n) > slot]).flatmap(lambda n: ordinary_points(op, n))


@every_row
@few
@given(data=st.data())
def test_no_row_is_refused(op: Op, data: Any) -> None:
    operands = data.draw(points_of(op, 0))
    assert check_gradients(applied(op), *operands).relative_error < 1e-7


@every_operand
@few
@given(data=st.data())
def test_a_derivative_off_by_one_part_in_2000_is_caught(op: Op, slot: int, data: Any) -> None:
    operands = data.draw(points_of(op, slot))
    error = refused(applied(twin(op, slot, lambda d, out, xs: off(d))), *operands)
    right = op.derivatives(op.evaluate(*operands), operands)[slot]
    worst = error.worst
    assert (worst.order, worst.inputs) == (1, (f"argument[{slot}]",))
    assert worst.expected == pytest.approx(right, rel=1e-6, abs=1e-10)
    assert worst.got == pytest.approx(off(right), rel=1e-12)
    assert worst.relative_error == pytest.approx(SLIP / (1 + SLIP) if right else 1.0, rel=1e-2)
    assert f"of {op.name} by " in str(error)


@every_operand
@few
@given(data=st.data())
def test_a_second_derivative_off_by_one_part_in_2000_is_caught(op: Op, slot: int, data: Any) -> None:
    """The slope is a row of its own, right as a number, whose own slope is off."""
    operands = data.draw(points_of(op, slot))
    by = data.draw(st.integers(0, len(operands) - 1))

    def slope(*xs: Any) -> Any:
        out = op(*xs) if not op.variadic else applied(op)(*xs) if isinstance(xs[0], Value) else op.evaluate(*xs)
        return op.derivatives(out, xs)[slot] + 0 * xs[0]

    def slopes_of_slope(out: Any, *xs: Any) -> list[Any]:
        found = list(grad(slope, argnums=tuple(range(len(xs))))(*xs))
        found[by] = off(found[by])
        return found

    second = flat(grad(slope, argnums=tuple(range(len(operands))))(*operands)[by])
    assume(second == 0 or abs(second) > 1e-9)  # of a 0 that is but rounded to, a part is nothing to be caught
    wrong = Op("slope", lambda *xs: flat(slope(*xs)), gather=lambda values: tuple(values), gradient=slopes_of_slope)
    f = applied(twin(op, slot, lambda d, out, xs: wrong(list(xs))))
    check_gradients(f, *operands, order=1)
    error = refused(f, *operands, order=2)
    assert error.worst.inputs == (f"argument[{slot}]", f"argument[{by}]")
    assert f"The partial of slope by operand {by} is wrong by itself" in str(error)


@settings(max_examples=60, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow], deadline=None)
@given(program=programs(steps=8).filter(lambda program: program.steps))
def test_no_graph_of_ordinary_steps_is_refused(program: Program) -> None:
    def last(*xs: Any) -> Any:
        return program.run(xs, lambda name, operands: Value.apply_op(OPS[name], operands))[-1]

    assert check_gradients(last, *program.inputs).relative_error < 1e-7


# Each mode by itself


def test_forward_mode_alone_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Linearization.push_forward

    def wrong(self: Linearization, tangents: Sequence[Any]) -> list[Any]:
        return [t if t is None else t * (1 + SLIP) for t in right(self, tangents)]

    monkeypatch.setattr(Linearization, "push_forward", wrong)
    assert refused(autograd.tanh, 0.5).worst.mode == "forward mode"


def test_forward_mode_on_values_alone_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Linearization.push_forward

    def wrong(self: Linearization, tangents: Sequence[Any]) -> list[Any]:
        return [t * (1 + SLIP) if self.create_graph else t for t in right(self, tangents)]

    monkeypatch.setattr(Linearization, "push_forward", wrong)
    assert refused(autograd.tanh, 0.5).worst.mode == "forward mode on Values"


def test_a_wrong_partial_that_divides_by_zero_is_named() -> None:
    op = custom(lambda x: 3 * x, lambda out, x: 1 / (1 / x))
    error = refused(op, 0.0)
    assert error.worst.got == 0.0
    assert "The partial of custom by x is wrong by itself" in str(error)


def test_reverse_mode_alone_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Linearization.pull_back

    def wrong(self: Linearization, cotangents: Sequence[Any]) -> list[Any]:
        return [g if g is None else g * (1 + SLIP) for g in right(self, cotangents)]

    monkeypatch.setattr(Linearization, "pull_back", wrong)
    assert refused(autograd.tanh, 0.5).worst.mode == "reverse mode"


def test_a_wrong_pullback_is_caught() -> None:
    op = Op("square", lambda x: x * x, (lambda out, x: 2 * x,), pullback=lambda g, out, x: (2.001 * x * g,))
    error = refused(applied(op), 3.0)
    assert error.worst.got == pytest.approx(6.003)
    assert "The pullback of square by x is wrong by itself" in str(error)


def test_backward_alone_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Value.backward
    monkeypatch.setattr(Value, "backward", lambda v: right(v, 1 + SLIP))
    assert refused(autograd.tanh, 0.5).worst.mode == "backward()"


def test_a_partial_that_is_wrong_on_values_only_is_caught() -> None:
    op = Op("square", lambda x: x * x, (lambda out, x: (2.001 if isinstance(x, Value) else 2) * x,))
    assert check_gradients(applied(op), 3.0, order=1).relative_error < 1e-9
    error = refused(applied(op), 3.0)
    assert (error.worst.order, error.worst.mode) == (1, "reverse mode on Values")


def test_a_partial_that_leaves_the_graph_is_caught_at_order_2() -> None:
    op = Op("cube", lambda x: x**3, (lambda out, x: 3 * flat(x) ** 2,))
    assert check_gradients(applied(op), 2.0, order=1).relative_error < 1e-9
    error = refused(applied(op), 2.0)
    assert (error.worst.order, error.worst.got) == (2, 0.0)
    assert error.worst.expected == pytest.approx(12.0)
    assert "The derivative of order 2 of cube by x is wrong by itself" in str(error)


@pytest.mark.parametrize("f", [lambda x: x * stop_gradient(x), lambda x: x * x.data], ids=["stop_gradient", "data"])
def test_what_leaves_the_graph_is_caught(f: Callable[..., Any]) -> None:
    error = refused(f, 3.0)
    assert error.worst.got == 3.0
    assert error.worst.expected == pytest.approx(6.0)
    assert "Every operation in it is right by itself" in str(error)
    assert "stop_gradient" in str(error)


def test_a_hook_is_caught() -> None:
    def f(x: Any) -> Any:
        y = x * x
        y.register_hook(lambda g: 0.5 * g)
        return 3 * y

    assert refused(f, 2.0).worst.got == 6.0


def test_an_infinite_derivative_is_caught_where_there_is_a_finite_one() -> None:
    worst = refused(custom(lambda x: x * x, lambda out, x: x * inf), 2.0).worst
    assert (worst.got, worst.relative_error) == (inf, inf)


@pytest.mark.parametrize("order", [3, 4])
def test_higher_orders(order: int) -> None:
    def f(x: Any, y: Any) -> Any:
        return autograd.exp(x * y) + x**4

    assert check_gradients(f, 0.7, 0.5, order=order).relative_error < 1e-8

    def slope(n: int) -> Op:
        """exp, whose n-th derivative is off."""
        return custom(math.exp, lambda out, x: (1 + SLIP) * out if n == 1 else slope(n - 1)(x))

    assert check_gradients(slope(order), 0.5, order=order - 1).relative_error < 1e-8
    assert refused(slope(order), 0.5, order=order).worst.order == order


# Kinks, jumps, ends


@pytest.mark.parametrize(
    ("f", "x", "order", "left", "right"),
    [
        (autograd.relu, 0.0, 1, "0.0", "1.0"),
        (autograd.abs, 0.0, 1, "-1.0", "1.0"),  # the central difference is the subgradient 0, with every step
        (lambda x: autograd.maximum(x, 2.0), 2.0, 1, "0.0", "1.0"),
        (lambda x: 5 + x + 1e-3 * abs(x - 3), 3.0, 1, "0.999", "1.001"),
        (lambda x: autograd.relu(x - 1) ** 2, 1.0, 2, "0.0", "2.0"),
        (lambda x: autograd.leaky_relu(x, 0.99), 0.0, 1, "0.99", "1.0"),
    ],
)
def test_a_kink_is_named(f: Callable[..., Any], x: float, order: int, left: str, right: str) -> None:
    error = refused(f, x)
    assert error.worst.order == order
    assert f"slopes    {left} from the left, {right} from the right" in str(error)
    assert str(error).endswith("has a kink or a jump near the point: move the point.")
    assert check_gradients(f, x + 0.01).relative_error < 1e-7


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (autograd.sign, 0.0),
        (autograd.floor, 2.0),
        (autograd.ceil, -3.0),
        (autograd.cbrt, 0.0),
        (lambda x: autograd.where(x, 1.0, 2.0), 0.0),  # a jump at one point, the same on both sides
        (lambda x: x + 1e-7 * (x.data * 1e9 % 1), 0.7),  # noise
    ],
)
def test_a_jump_is_named(f: Callable[..., Any], x: float) -> None:
    error = refused(f, x)
    assert "the differences settle on no derivative of order 1" in str(error)
    assert str(error).endswith("has a kink or a jump near the point: move the point.")


@pytest.mark.parametrize("distance", [0.3, 1e-2, 1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_kink_near_the_point_does_not_matter(distance: float, side: int) -> None:
    x = 1.0 + side * distance
    f = custom(lambda x: abs(x - 1) + x * x, lambda out, x: autograd.sign(x - 1) + 2 * x)
    assert check_gradients(f, x).relative_error < 1e-7
    assert refused(twin(f, 0, lambda d, out, xs: off(d)), x).worst.relative_error == pytest.approx(SLIP, rel=1e-2)


@pytest.mark.parametrize("distance", [0.3, 1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize(
    ("op", "end"),
    [("sqrt", 0.0), ("log", 0.0), ("asin", 1.0), ("acos", -1.0), ("acosh", 1.0), ("atanh", -1.0), ("log1p", -1.0)],
)
def test_near_the_end_of_a_domain(op: str, end: float, distance: float) -> None:
    inside = -distance if op in ("asin",) else distance
    row = OPS[op]
    assert check_gradients(row, end + inside).relative_error < 1e-7
    assert refused(twin(row, 0, lambda d, out, xs: off(d)), end + inside).worst.order == 1


def test_a_function_that_raises_beyond_its_domain() -> None:
    def f(x: Any) -> Any:
        if x.data < 1:
            raise ValueError("below 1")
        return autograd.log(x) * 3

    assert check_gradients(f, 1.0001).relative_error < 1e-7


def test_at_the_end_of_a_domain() -> None:
    error = refused(lambda x: x * autograd.sqrt(x), 0.0)
    assert "finite on one side of the point at most: move the point inside the domain" in str(error)
    with pytest.raises(ValueError, match=r"log gives nan as its result at \(-1.0,\).*move the point inside"):
        check_gradients(autograd.log, -1.0)
    with pytest.raises(ValueError, match="log gives -inf"):
        check_gradients(autograd.log, 0.0)


# Scales


def curved(x: Any, y: Any) -> Any:
    return autograd.tanh(x * y) + x * x * y


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-20, 1e20, 1e200, 1e300])
def test_the_scale_of_the_function_does_not_matter(scale: float) -> None:
    assert check_gradients(lambda x, y: scale * curved(x, y), 0.5, 2.0).relative_error < 1e-9
    slipped = twin(OPS["mul"], 0, lambda d, out, xs: off(d))
    assert refused(lambda x, y: slipped(curved(x, y), scale), 0.5, 2.0).worst.order == 1


@pytest.mark.parametrize("scale", [1e-200, 1e-100, 1e-8, 1e-3, 1e3, 1e8, 1e100])
def test_the_scale_of_the_point_does_not_matter(scale: float) -> None:
    def f(x: Any, y: Any) -> Any:
        return curved(x / scale, y / scale)

    assert check_gradients(f, 0.5 * scale, 2.0 * scale, order=1).relative_error < 1e-9
    wrong = custom(lambda x: x * x, lambda out, x: 2.001 * x)
    assert refused(lambda x, y: f(x, y) + wrong(y / scale), 0.5 * scale, 2.0 * scale).worst.inputs == ("argument[1]",)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (autograd.sin, 1e8),
        (lambda x: x * x, 1e8),
        (autograd.log, 1e8),
        (autograd.sin, 1e-8),
        (autograd.cos, 1e-8),
        (autograd.log, 1e-8),
        (lambda x: 1 / x, 1e-8),
        (lambda x: 1 + x, 1e-15),
        (autograd.sin, 0.0),
        (lambda x: autograd.sin(1e10 * x), 0.0),
        (lambda x: autograd.floor(x) + x, 1e8 + 0.5),
        (lambda x: (1e8 + x) - 1e8, 1.3),
    ],
)
def test_large_and_small_points(f: Callable[..., Any], x: float) -> None:
    assert check_gradients(f, x).relative_error < 1e-7
    slipped = custom(lambda x: x, lambda out, x: 1 + SLIP)
    assert refused(lambda x: f(slipped(x)), x).worst.relative_error == pytest.approx(SLIP, rel=1e-2)


@pytest.mark.parametrize("x", [0.5, 1e8 + 0.5, -1e12 + 0.5])
def test_steps_have_derivative_0(x: float) -> None:
    assert check_gradients(autograd.floor, x).got == 0.0
    assert refused(twin(OPS["floor"], 0, lambda d, out, xs: off(d)), x).worst.got == SLIP


@pytest.mark.parametrize("f", [lambda x: autograd.relu(x) ** 2, lambda x: x * autograd.abs(x)])
def test_a_kink_of_the_derivative_does_not_matter_at_order_1(f: Callable[..., Any]) -> None:
    assert check_gradients(f, 0.0, order=1).relative_error <= 1e-7


def test_small_derivatives_beside_large_ones() -> None:
    def f(x: Any, y: Any, z: Any) -> Any:
        return 1e8 * autograd.sin(x) + 1e-12 * y + 0 * z

    assert check_gradients(f, 1.0, 1.0, 0.0).relative_error < 1e-7


@pytest.mark.parametrize("k", [10.0, 100.0, 1000.0])
def test_a_derivative_off_by_three_parts_in_ten_million_is_caught(k: float) -> None:
    """Differences that are less certain than that are not believed at once."""
    slipped = custom(math.sin, lambda out, x: (1 + 3e-7) * autograd.cos(x))
    assert refused(lambda x: slipped(k * x), 1.0, order=1).worst.relative_error == pytest.approx(3e-7, rel=0.1)


def test_a_small_input_beside_a_large_one() -> None:
    """It needs steps of its own size."""
    assert check_gradients(lambda x, y: autograd.log(x) * y, 1e-20, 1.0).relative_error < 1e-7


def test_a_constant_among_the_results() -> None:
    found = check_gradients(lambda x: [x * x, 2.0, Value(3.0, kind="constant")], 1.0)
    assert found.relative_error < 1e-7


def test_too_few_finite_numbers_and_those_that_overflow_make_no_difference() -> None:
    def line(x: float) -> float:
        return 3 * x

    steps = [0.8, 0.4, 0.2, 0.1]
    samples = [(h, line(1 - h), line(1 + h)) for h in steps]
    (value, slope) = line(1.0), 3.0
    for count, expected in ((4, slope), (3, slope), (2, None), (0, None)):
        finite, rest = samples[:count], [(h, math.nan, inf) for h in steps[count:]]
        for found in (extrapolated(value, finite), extrapolated(value, finite + rest)):
            assert (found and found.value) == pytest.approx(expected)
    assert extrapolated(100.0, samples).size == 100.0  # type: ignore[union-attr]
    assert extrapolated(0.0, [(h, -1.7e308, 1.7e308) for h in steps]) is None


def test_a_zero_beside_large_inputs() -> None:
    """A step of the size of 1 would drown in the rounding of the sum."""
    slipped = custom(lambda x: x, lambda out, x: 1 + SLIP)
    assert check_gradients(lambda x, y: x + y, 0.0, 1e12).relative_error < 1e-9
    worst = refused(lambda x, y: slipped(x) + y, 0.0, 1e12).worst
    assert (worst.inputs, worst.got / worst.expected) == (("argument[0]",), pytest.approx(1 + SLIP, rel=1e-7))


def test_derivatives_that_cancel_to_rounding_errors() -> None:
    def f(xs: Any) -> Any:
        return autograd.sum(autograd.softmax(xs))  # 1, whatever the numbers

    assert check_gradients(f, [0.3, -1.2, 2.0]).relative_error <= 1e-7
    slipped = twin(OPS["sum"], 1, lambda d, out, xs: off(d))
    assert refused(lambda xs: slipped(autograd.softmax(xs)), [0.3, -1.2, 2.0]).worst.order == 1


@pytest.mark.parametrize("x", [1e-8, 1e-3, 1.0, 0.0, 7e-20, -1e12])
def test_terms_that_cancel_everywhere(x: float) -> None:
    """0.1 + 0.2 - 0.3 is not 0 in floats: the derivative is as far off as the function."""
    assert check_gradients(lambda x: (0.1 * x + 0.2 * x) - 0.3 * x, x).relative_error <= 1e-7


def test_terms_that_cancel_beside_small_ones() -> None:
    found = check_gradients(lambda x, y: [1e-30 * x, (0.1 * y + 0.2 * y) - 0.3 * y], 0.5, 1.0)
    assert found.relative_error <= 1e-7


def test_a_kink_so_near_that_rounding_hides_the_slope_beside_it() -> None:
    """Steps short of the kink change nothing but the last digit of a large number."""
    assert check_gradients(lambda x: 1e6 + autograd.abs(x - 1), 1.0 + 1e-9, order=1).relative_error <= 1e-7


def test_rounding_that_hides_the_derivative_is_named() -> None:
    error = refused(lambda x: (1e15 + x) - 1e15, 1.3)
    assert "settle on no derivative of order 1" in str(error)
    assert "Rounding hides it" in str(error)


# Structures


def test_structures_and_arrays() -> None:
    def f(p: Any, xs: Any, b: Any) -> Any:
        hidden = p["W"] @ np.array(p["v"]) + xs
        return {"sum": autograd.sum(hidden), "rest": [autograd.tanh(h) * b for h in hidden]}

    args = ({"W": np.array([[0.5, -1.0], [2.0, 0.25]]), "v": [0.3, -0.7]}, np.array([0.1, 0.2]), 1.5)
    assert check_gradients(f, *args).relative_error < 1e-8

    slipped = custom(math.tanh, lambda out, x: (1 + SLIP) * (1 - out * out))
    error = refused(lambda p, xs, b: {"rest": [0 * b, slipped(p["W"][1, 0]) * p["v"][1]]}, *args)
    assert (error.worst.output, error.worst.inputs) == ("result['rest'][1]", ("argument[0]['W'][1, 0]",))
    assert set(error.worst.point) == {
        *[f"argument[0]['W'][{i}, {j}]" for i in (0, 1) for j in (0, 1)], "argument[0]['v'][0]", "argument[0]['v'][1]",
        "argument[1][0]", "argument[1][1]", "argument[2]",
    }  # fmt: skip
    assert error.worst.point["argument[0]['W'][1, 0]"] == 2.0
    assert ", and 1 more" in str(error)


def test_values_and_integers_stand_for_their_numbers() -> None:
    x = Value(0.5)
    found = check_gradients(lambda x, n: x * n * n, x, 3)
    assert found.point == {"argument[0]": 0.5, "argument[1]": 3.0}
    assert x._grad is None


# The report


def test_the_report() -> None:
    slipped = custom(lambda x: x**3, lambda out, x: 3.0015 * x * x)

    def energy(x: Any, ys: Any) -> Any:
        return slipped(x) * autograd.tanh(ys[0]) + ys[1]

    error = refused(energy, 2.0, [0.5, 1.0])
    lines = str(error).splitlines()
    assert lines[0] == "energy: the derivative of order 1 is wrong in reverse mode."
    assert lines[1] == "    d result / d argument[0]"
    assert lines[2] == "    at        argument[0] = 2.0, argument[1][0] = 0.5, argument[1][1] = 1.0"
    assert float(lines[3].split()[1]) == pytest.approx(12 * math.tanh(0.5), rel=1e-9)
    assert float(lines[4].split()[1]) == pytest.approx(12.006 * math.tanh(0.5), rel=1e-12)
    assert lines[4].endswith("(1.0005 times the expected)")
    assert lines[5] == "1 of 3 derivatives of that order are wrong; this is the worst."
    assert lines[6].startswith(
        "The partial of custom by x is wrong by itself, in reverse mode: at custom(2.0), expected"
    )
    assert lines[6].endswith("got 12.006.")
    assert isinstance(error, AssertionError)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_the_worst_of_several() -> None:
    def slipped(by: float) -> Op:
        return custom(lambda x: x * x, lambda out, x: (2 + by) * x)

    error = refused(lambda x, y, z: [slipped(0.01)(x), slipped(0.03)(y) + slipped(0.02)(z)], 1.0, 1.0, 1.0)
    assert (error.worst.output, error.worst.inputs) == ("result[1]", ("argument[1]",))
    assert "3 of 6 derivatives" in str(error)


def test_a_wrong_row_deep_in_a_graph_is_named() -> None:
    slipped = Op("slipped", math.sin, (lambda out, x: (1 + SLIP) * autograd.cos(x),))

    def f(xs: Any) -> Any:
        h = autograd.sum(xs)
        for i in range(200):
            h = autograd.tanh(h + xs[i % 3]) if i != 198 else slipped(h)
        return h

    assert "The partial of slipped by x is wrong by itself" in str(refused(f, [0.1, 0.2, 0.3], order=1))


def test_the_search_for_the_wrong_row_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row at each point is looked at once, and no more than so many of them."""

    def f(x: Any) -> Any:
        y = x * stop_gradient(x)
        for _ in range(9):
            y = y + autograd.sin(y) * 1e-9
        return y

    for most, ending in ((5, "the first 5 are right by themselves."), (1000, "or a hook change a gradient?")):
        monkeypatch.setattr(autograd.check, "AT_MOST", most)
        assert str(refused(f, 3.0, order=1)).endswith(ending)


def test_the_result() -> None:
    found = check_gradients(lambda x: x**3, 2.0)
    assert isinstance(found, Comparison)
    assert str(found).startswith("worst entry: d")
    assert "relative error" in str(found)
    assert "\n" not in str(found)
    assert (found.output, set(found.inputs), found.point) == ("result", {"argument[0]"}, {"argument[0]": 2.0})
    assert found.got == pytest.approx(12.0)
    assert abs(found.got - found.expected) == pytest.approx(found.relative_error * 12, rel=0.1)
    with pytest.raises(AttributeError):
        found.got = 3.0  # type: ignore[misc]


# Surroundings


def test_nothing_is_left_behind() -> None:
    w, h = Value(3.0), Value(2.0)
    product = h * w
    product.backward()
    before = [v._grad for v in (w, h, product)]
    check_gradients(lambda x: [x * w, x * product], 2.0)
    assert [v._grad for v in (w, h, product)] == before


def test_under_no_grad_and_detect_anomaly() -> None:
    with autograd.no_grad():
        check_gradients(curved, 0.5, 2.0)
    with autograd.detect_anomaly():
        check_gradients(autograd.log, 1e-3)


def test_within_another_transform() -> None:
    def f(x: Any) -> Any:
        check_gradients(lambda y: autograd.tanh(x * y), 0.5)
        return x * x

    assert grad(f)(3.0) == 6.0


# Bad input


@pytest.mark.parametrize(
    ("f", "args", "error", "message"),
    [
        (3.0, (2.0,), TypeError, r"expected a function, got 3.0; wrong: .*; right: check_grad"),
        (autograd.sin, (), TypeError, r"wrong: check_gradients\(sin\); right: check_grad"),
        (autograd.sin, ([],), TypeError, "no numbers to differentiate sin by"),
        (lambda x, how: x, (1.0, "mean"), TypeError, r"argument\[1\], 'mean'.*right: .*lambda x"),
        (lambda x, i: x, (np.ones(2), np.array([0])), TypeError, r"argument\[1\], array\(\[0\]\).*right: .*lambda x"),
        (lambda x: None, (1.0,), TypeError, "forgets its `return`"),
        (lambda x: 1.0, (1.0,), TypeError, "is no Value.*right: lambda x: x"),
        (lambda x: x.data, (1.0,), TypeError, "is no Value.*right: lambda x: x"),
        (lambda x: [x] * (2 if x.data == 1.0 else 3), (1.0,), TypeError, "2 numbers at the point and 3 beside it"),
        (autograd.clamp, (0.5, -inf, 1.0), ValueError, r"argument\[1\] is -inf.*right: .*lambda x"),
        (lambda x: x + random.random(), (1.0,), ValueError, "at one point.*right: .*outside"),
    ],
)
def test_bad_input(f: Any, args: tuple[Any, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check_gradients(f, *args)


@pytest.mark.parametrize("order", [0, -1, 1.5, True, "2", None])
def test_bad_orders(order: Any) -> None:
    with pytest.raises(ValueError, match=r"wrong: check_gradients\(sin, ..., order=.*right: order=2"):
        check_gradients(autograd.sin, 1.0, order=order)
