"""`gradients` over a recorded graph, and the passes under it."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from strategies import Program, alike, path_sizes, programs, tangled_programs

import autograd
from autograd import OPS, StaleGraphError, Value, gradients, topological_order
from autograd.passes import Linearization


class Ends(NamedTuple):
    sum: Any
    product: Any


def grads(*roots: Value) -> list[float | None]:
    return [v._grad for v in topological_order(*roots)]


# By hand


def test_structures() -> None:
    x, y = Value(2.0), Value(5.0)
    a, b = x * y, x + y
    assert gradients(a, x) == 5.0
    assert gradients(a, [x, y]) == [5.0, 2.0]
    assert gradients(a, (y, (x,))) == (2.0, (5.0,))
    assert gradients([a, b], {"x": x, "y": y}) == {"x": 6.0, "y": 3.0}
    assert gradients({"a": a, "b": [b]}, x, {"b": [10.0], "a": 1.0}) == 15.0
    assert gradients(Ends(b, a), Ends(x, y), Ends(100.0, 1.0)) == Ends(105.0, 102.0)
    assert type(gradients(a, Ends(x, y))) is Ends
    found = gradients(np.array([a, b]), np.array([[x], [y]]), np.array([1.0, 10.0]))
    assert found.tolist() == [[15.0], [12.0]]
    assert found.dtype == float
    assert gradients(np.array(a), np.array(x)).shape == ()


def test_inputs_may_be_inner_nodes() -> None:
    x, y = Value(2.0), Value(5.0)
    a = x * y
    b = autograd.sin(a)
    out = b * a + x
    slope = math.sin(10.0) + 10.0 * math.cos(10.0)
    assert gradients(out, a) == pytest.approx(slope, rel=1e-15)
    assert gradients(out, [b, a, x]) == pytest.approx([10.0, slope, 5 * slope + 1], rel=1e-15)
    assert gradients(out, out) == 1.0
    assert gradients([out, a], a, [1.0, 3.0]) == pytest.approx(slope + 3)


def test_the_same_node_twice() -> None:
    x = Value(3.0)
    y = x * x
    assert gradients([y, y], [x, x, y]) == [12.0, 12.0, 2.0]
    assert gradients([y, y], x, [1.0, 10.0]) == 66.0
    twice = gradients([y, y], [x, x], create_graph=True)
    assert [v.data for v in twice] == [12.0, 12.0]
    assert gradients(twice, x) == 8.0


def test_outputs_that_are_inputs_leaves_or_constants() -> None:
    x, c = Value(3.0), Value(4.0, kind="constant")
    y = x * c
    assert gradients([x, y], x) == 5.0
    assert gradients(x, x) == 1.0
    assert gradients([x, c], x) == 1.0
    assert gradients([y, c], x, [1.0, 1e9]) == 4.0
    assert gradients(y, c) == 3.0
    assert gradients(c, c) == 1.0


def test_empty_structures() -> None:
    x = Value(3.0)
    assert gradients([], []) == []
    assert gradients(x * x, []) == []
    assert gradients(x * x, {"a": ()}, create_graph=True) == {"a": ()}
    assert gradients([], {}) == {}


def test_cotangents_weight_the_outputs() -> None:
    x, y, g = Value(2.0), Value(5.0), Value(7.0)
    a = x * x * y
    assert gradients(a, x, 3) == 60.0
    assert gradients(a, x, 0.0) == 0.0
    assert gradients(a, x, np.float64(0.5)) == 10.0
    assert gradients(a, x, g) == 140.0
    assert type(gradients(a, x, g)) is float
    weighted = gradients(a, x, g, create_graph=True)
    assert weighted.data == 140.0
    assert gradients(weighted, [g, x, y]) == [20.0, 70.0, 28.0]
    assert math.isnan(gradients(a, x, math.nan))
    assert gradients(a, x, -math.inf) == -math.inf


def test_create_graph_gives_values_whatever_the_result_depends_on() -> None:
    x, y = Value(2.0), Value(5.0)
    line = gradients(3 * x + y, [x, y], create_graph=True)
    assert [(v.data, v.kind, v.op) for v in line] == [(3.0, "constant", None), (1.0, "constant", None)]
    none = gradients(autograd.floor(x), x, create_graph=True)
    assert (none.data, none.kind) == (0.0, "constant")
    bilinear = gradients(x * y, [x, y], create_graph=True)
    assert bilinear == [y, x]  # the very nodes: nothing is made where nothing is to be said
    for out in (autograd.floor(x) + autograd.sin(x), autograd.sin(x) + autograd.floor(x)):
        slope = gradients(out, x, create_graph=True)
        assert (slope.op, slope.parents) == (OPS["cos"], (x,))  # nor is a 0 added


def test_third_order_by_hand() -> None:
    x, y = Value(2.0), Value(3.0)
    out = x**4 * y**2
    first = gradients(out, x, create_graph=True)
    second = gradients(first, y, create_graph=True)
    assert (first.data, second.data) == (4 * 8 * 9.0, 4 * 8 * 6.0)
    assert gradients(second, [x, y]) == [12 * 4 * 6.0, 4 * 8 * 2.0]
    second.backward()
    assert (x.grad, y.grad) == (12 * 4 * 6.0, 64.0)


def test_the_slopes_of_a_graph_made_by_create_graph_may_be_used_in_new_expressions() -> None:
    """A gradient penalty."""
    w, x = Value(0.5, label="w"), Value(2.0)
    slope = gradients(autograd.tanh(w * x), x, create_graph=True)
    loss = (slope - 1) ** 2
    loss.backward()
    t = math.tanh(1.0)
    by_w = 2 * (0.5 * (1 - t * t) - 1) * ((1 - t * t) + 0.5 * (-2 * t) * (1 - t * t) * 2)
    assert w.grad == pytest.approx(by_w, rel=1e-14)


# Nothing is touched


@given(program=st.one_of(programs(), tangled_programs()), create_graph=st.booleans())
def test_no_grad_is_touched(program: Program, create_graph: bool) -> None:
    tape = program.values()
    inputs = [v for v in tape[: len(program.inputs)] if v in set(topological_order(tape[-1]))]
    before = grads(tape[-1])
    gradients(tape[-1], inputs, create_graph=create_graph)
    assert grads(tape[-1]) == before == [None] * len(before)
    tape[-1].backward()
    before = grads(tape[-1])
    found = gradients([tape[-1]], inputs, [3.0], create_graph=create_graph)
    assert grads(tape[-1]) == before
    for x, d, size in zip(inputs, found, *path_sizes([tape[-1]], inputs), strict=True):
        d = d.data if isinstance(d, Value) else d
        assert abs(d - 3 * x.grad) <= 1e-12 * size


def wrong_structure(x: Value, y: Value) -> Any:
    return gradients([y, y], x, [1.0])


def stale(x: Value, y: Value) -> Any:
    x.data = 9.0
    return gradients(y, x)


def failing_hook(x: Value, y: Value) -> Any:
    def fail(g: Any) -> Any:
        raise LookupError("in a hook")

    handle = y.parents[0].register_hook(fail)
    try:
        return gradients(y, x)
    finally:
        handle.remove()


def anomaly(x: Value, y: Value) -> Any:
    with autograd.detect_anomaly():
        return gradients(y * 1e308 * 1e10, x)


@pytest.mark.parametrize(
    "fail",
    [
        wrong_structure,
        stale,
        failing_hook,
        anomaly,
        lambda x, y: gradients(y, Value(1.0)),
        lambda x, y: gradients(y, x, "1.0"),
        lambda x, y: gradients(y, [x, 2.0]),
        lambda x, y: gradients([y, None], x),
    ],
)
def test_an_error_touches_nothing(fail: Callable[[Value, Value], Any]) -> None:
    x = Value(2.0)
    y = autograd.sin(x) * x
    (3 * y).backward()
    before = grads(y)
    with pytest.raises((TypeError, ValueError, StaleGraphError, LookupError, FloatingPointError)):
        fail(x, y)
    assert grads(y) == before


# Agreement


@settings(max_examples=200, deadline=None)
@given(program=st.one_of(programs(), tangled_programs()), data=st.data())
def test_with_a_graph_and_without_it_is_the_same(program: Program, data: Any) -> None:
    """For several outputs, weighted, by inner nodes and leaves."""
    tape = program.values()
    outputs = data.draw(st.lists(st.sampled_from(tape), min_size=1, max_size=4))
    weights = data.draw(st.lists(st.floats(-4, 4), min_size=len(outputs), max_size=len(outputs)))
    inputs = data.draw(st.lists(st.sampled_from(topological_order(*outputs)), min_size=1, max_size=4))
    plain = gradients(outputs, inputs, weights)
    graph = gradients(outputs, inputs, weights, create_graph=True)
    weighted = gradients(outputs, inputs, [Value(w) for w in weights], create_graph=True)
    one_by_one = [math.fsum([w * _by(out, x) for out, w in zip(outputs, weights, strict=True)]) for x in inputs]
    sizes = path_sizes(outputs, inputs)
    for i, numbers in enumerate(zip(plain, graph, weighted, one_by_one, strict=True)):
        a, b, c, d = [v.data if isinstance(v, Value) else v for v in numbers]
        size = sum([abs(w) * line[i] for w, line in zip(weights, sizes, strict=True)])
        below = 1e-320  # where floats thin out, a unit is more than 1e-12 of what they are
        assert max(abs(a - b), abs(a - c), abs(a - d)) <= 1e-12 * size + below


def _by(out: Value, x: Value) -> float:
    return gradients(out, x) if x in set(topological_order(out)) else 0.0


@given(program=tangled_programs())
def test_local_derivatives_chain(program: Program) -> None:
    """By an inner node and on from there is by the leaf, if all paths lead through the node."""
    tape = program.values()
    inner = autograd.tanh(autograd.sum(tape))
    out = inner * inner.sin()
    inputs = tape[: len(program.inputs)]
    (sizes,) = path_sizes([out], inputs)
    for x, size in zip(inputs, sizes, strict=True):
        steps = gradients(out, inner) * gradients(inner, x)
        assert abs(gradients(out, x) - steps) <= 1e-12 * size


@pytest.mark.parametrize("op", OPS.values(), ids=list(OPS))
@pytest.mark.parametrize("at", [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 1e308, 5e-324])
def test_every_row_with_a_graph_and_without_at_singular_points(op: Any, at: float) -> None:
    count = len(op.operands) if not op.variadic else {"affine": 3}.get(op.name, 2)
    xs = [Value(at) for _ in range(count)]
    out = Value.apply_op(op, xs)
    plain = gradients(out, xs)
    graph = gradients(out, xs, create_graph=True)
    out.backward()
    for d, v, x in zip(plain, graph, xs, strict=True):
        assert alike(d, v.data)
        assert alike(d, x.grad)


def test_constants_go_in_as_numbers_but_nothing_is_lost() -> None:
    """Second derivatives by a constant that is asked for. (Once folded in as a number, it is in no graph any more.)"""
    c, x = Value(3.0, kind="constant"), Value(2.0)
    y = x * x * c
    by_x, by_c = gradients(y, [x, c], create_graph=True)
    assert gradients(by_x, [x, c]) == [6.0, 4.0]
    assert gradients(by_c, x) == 4.0
    with pytest.raises(ValueError, match="not in the graph"):
        gradients(gradients(y, x, create_graph=True), c)


# The parts


def test_a_linearization_is_ready_for_any_number_of_passes() -> None:
    x, y = Value(2.0), Value(5.0)
    a, b = x * y, x / y
    linear = Linearization([a, b], [x, y])
    assert linear.pull_back([1.0, 0.0]) == linear.pull_back([1.0, None]) == [5.0, 2.0]
    assert linear.pull_back([None, 1.0]) == [0.2, -0.08]
    assert linear.push_forward([1.0, None]) == [5.0, 0.2]
    assert linear.push_forward([1.0, 10.0]) == [25.0, pytest.approx(-0.6)]
    assert linear.pull_back([None, None]) == [0.0, 0.0]
    assert linear.push_forward([None, None]) == [0.0, 0.0]
    twice = Linearization([a, a], [x, x])
    assert twice.push_forward([1.0, 10.0]) == [55.0, 55.0]
    assert twice.pull_back([1.0, 10.0]) == [55.0, 55.0]


def test_only_what_lies_between_inputs_and_outputs_is_looked_at() -> None:
    x, y = Value(2.0), Value(5.0)
    aside = autograd.exp(y)
    for _ in range(50):
        aside = aside.sin()
    linear = Linearization([x * x + aside], [x])
    assert len(linear.places) == 3


def test_passes_leave_out_what_no_path_leads_to() -> None:
    xs = [Value(float(k)) for k in range(1, 6)]
    outs = [x * x for x in xs]
    linear = Linearization(outs, xs)
    assert linear.pull_back([1.0, None, None, None, None]) == [2.0, 0.0, 0.0, 0.0, 0.0]
    assert linear.push_forward([None, 1.0, None, None, None]) == [0.0, 4.0, 0.0, 0.0, 0.0]


# Size


def test_a_million_nodes() -> None:
    """By floats and by Values, without recursion, and with nothing left on the nodes."""
    x = y = Value(2.0)
    for _ in range(1_000_000):
        y = y * 1.0000001
    assert gradients(y, x) == pytest.approx(y.data / 2.0, rel=1e-9)
    slope = gradients(y, x, create_graph=True)
    assert slope.data == pytest.approx(y.data / 2.0, rel=1e-9)
    assert set(grads(y)) == {None}


def test_a_gradient_graph_of_many_levels() -> None:
    x = y = Value(0.5)
    for _ in range(20_000):
        y = y * x / 0.5
    slope = gradients(y, x, create_graph=True)
    assert slope.data == pytest.approx(20_001.0, rel=1e-9)
    assert gradients(slope, x) == pytest.approx(20_001 * 20_000 / 0.5, rel=1e-6)


# What is refused


@pytest.mark.parametrize(
    ("call", "error", "texts"),
    [
        (lambda x, y: gradients(y.data, x), TypeError, ("outputs", "4.0", "in no graph", "Wrong: ", "right: ")),
        (lambda x, y: gradients(y, 2.0), TypeError, ("inputs", "2.0", "in no graph", "Wrong: ", "right: ")),
        (lambda x, y: gradients([y, 1.0], x), TypeError, ("outputs", "1.0", "Wrong: ", "right: ")),
        (lambda x, y: gradients(np.ones(2), x), TypeError, ("outputs", "1.0", "Wrong: ", "right: ")),
        (lambda x, y: gradients(None, x), TypeError, ("outputs", "NoneType")),
        (lambda x, y: gradients(y, "x"), TypeError, ("inputs", "str")),
        (lambda x, y: gradients(y, [x, None]), TypeError, ("inputs[1]", "NoneType")),
        (lambda x, y: gradients(y, {x}), TypeError, ("inputs", "set")),
        (lambda x, y: gradients(y, iter([x])), TypeError, ("inputs", "iterator")),
        (
            lambda x, y: gradients(y, Value(2.0, label="other")),
            ValueError,
            ("'other'", "not in the graph", "Wrong: ", "right: "),
        ),
        (lambda x, y: gradients(x, y), ValueError, ("not in the graph", "Wrong: ", "right: ")),
        (lambda x, y: gradients([], x), ValueError, ("'x'", "not in the graph")),
        (lambda x, y: gradients(y.detach(), x), ValueError, ("'x'", "not in the graph")),
        (
            lambda x, y: gradients(y, x, [1.0]),
            ValueError,
            ("cotangents", "expected a number, got a list of 1", "right: "),
        ),
        (lambda x, y: gradients([y, y], x, 1.0), ValueError, ("expected a list of 2, got 1.0", "right: ")),
        (lambda x, y: gradients([y, y], x, [1.0]), ValueError, ("expected a list of 2, got a list of 1", "right: ")),
        (lambda x, y: gradients([y], x, [1.0, 2.0]), ValueError, ("expected a list of 1, got a list of 2", "right: ")),
        (lambda x, y: gradients({"a": y}, x, {"b": 1.0}), ValueError, ("dict of 'a', got a dict of 'b'", "right: ")),
        (lambda x, y: gradients(y, x, "1"), TypeError, ("cotangents", "str")),
        (lambda x, y: gradients([y], x, [None]), TypeError, ("cotangents[0]", "NoneType")),
    ],
)
def test_refusals_show_what_was_given_and_the_fix(call: Any, error: Any, texts: Any) -> None:
    x = Value(2.0, label="x")
    y = x * x
    with pytest.raises(error) as caught:
        call(x, y)
    for text in texts:
        assert text in str(caught.value)


def test_one_cotangent_that_is_an_array_is_refused_in_words() -> None:
    x = Value(2.0)
    for cotangent in (np.ones(3), np.ones(1)):
        with pytest.raises(ValueError, match="expected a number, got an array of shape"):
            gradients(x * x, x, cotangent)


def test_cotangents_may_be_integers() -> None:
    x = Value(2.0)
    assert gradients(np.array([x * x, x]), x, np.array([1, 10])) == 14.0


def test_a_stale_graph_is_refused() -> None:
    x, y = Value(2.0, label="x"), Value(3.0, label="y")
    out = x * y
    slope = gradients(x * x * y, x, create_graph=True)
    y.data = 4.0
    for create_graph in (False, True):
        with pytest.raises(StaleGraphError, match="'y'"):
            gradients(out, x, create_graph=create_graph)
        with pytest.raises(StaleGraphError, match="'y'"):
            gradients(slope, x, create_graph=create_graph)
    y.data = 3.0
    with pytest.raises(StaleGraphError):
        gradients(out, x)
    assert gradients(x * y, x) == 3.0
    zero = Value(0.0)
    out = 1 / zero
    zero.data = -0.0
    with pytest.raises(StaleGraphError):
        gradients(out, zero)


def test_an_input_that_a_slope_does_not_depend_on() -> None:
    """Of x * x * y + y, d/dx does depend on y, and d/dy not: by hand, second derivatives meet the refusal."""
    x, y = Value(3.0), Value(5.0)
    by_x, by_y = gradients(x * x * y + y, [x, y], create_graph=True)
    assert gradients(by_x, [x, y]) == [10.0, 6.0]
    with pytest.raises(ValueError, match="not in the graph"):
        gradients(by_y, [x, y])
    assert gradients([by_y, 0 * y], [x, y]) == [6.0, 0.0]
    assert autograd.hessian(lambda p: p[0] * p[0] * p[1] + p[1])([3.0, 5.0]) == [[10.0, 6.0], [6.0, 0.0]]


def test_under_no_grad_a_graph_that_exists_is_differentiated_and_create_graph_records() -> None:
    x = Value(3.0)
    y = x**3
    with autograd.no_grad():
        assert gradients(y, x) == 27.0
        slope = gradients(y, x, create_graph=True)
        assert slope.data == 27.0
        assert gradients(slope, x) == 18.0


def test_under_no_grad_products_of_slopes_are_recorded_forward_and_in_reverse() -> None:
    x = Value(3.0)
    y = (x**2) ** 2
    with autograd.no_grad():
        linear = Linearization([y], [x], create_graph=True)
        for (slope,) in (linear.pull_back([1.0]), linear.push_forward([1.0])):
            assert slope.data == 4 * 27.0
            assert gradients(slope, x) == 12 * 9.0
