"""What a traced function may not ask a Value for, and that a trace leaves nothing behind."""

import copy
import linecache
import math
import pickle
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import autograd
from autograd import TraceError, Value, derivative, detect_anomaly, jit, no_grad, recording
from autograd.programs.trace import Traced


@pytest.fixture(autouse=True)
def nothing_is_left_on() -> Iterator[None]:
    yield
    assert not recording.modes
    x = Value(3.0)
    y = x * x + 1
    assert type(y) is Value
    y.backward()
    assert x.grad == 6.0
    assert (y > x, float(y.data)) == (True, 10.0)


def compares_less(x: Any) -> Any:
    return 1.0 if x < 0 else x  # refused


def compares_less_or_equal(x: Any) -> Any:
    return 1.0 if x <= 0 else x  # refused


def compares_greater(x: Any) -> Any:
    return 1.0 if x * 2 > 0 else x  # refused


def compares_greater_or_equal(x: Any) -> Any:
    return 1.0 if x >= 0 else x  # refused


def compares_from_the_right(x: Any) -> Any:
    return 1.0 if 0 < x else x  # refused  # noqa: SIM300


def compares_with_a_number(x: Any) -> Any:
    return 1.0 if x == 0 else x  # refused


def compares_with_what_it_is_not(x: Any) -> Any:
    return 1.0 if x != 0 else x  # refused


def looks_among_numbers(x: Any) -> Any:
    return x if x in (1, 2) else 0.0  # refused


def compares_two(x: Any) -> Any:
    return 1.0 if x == x + 1 else x  # refused


def takes_the_largest(x: Any) -> Any:
    return max(x, 0.0)  # refused


def sorts(x: Any) -> Any:
    return sorted([x, x + 1])[0]  # refused


def asks_for_the_truth(x: Any) -> Any:
    return 1.0 if x + 1 else x  # refused


def negates_the_truth(x: Any) -> Any:
    return not x  # refused


def makes_a_float(x: Any) -> Any:
    return float(x) * 2  # refused


def calls_math(x: Any) -> Any:
    return math.exp(x)  # refused


def makes_an_array_of_floats(x: Any) -> Any:
    return np.array([x, x], dtype=float)  # refused


def makes_an_int(x: Any) -> Any:
    return int(x + 1)  # refused


def indexes(x: Any) -> Any:
    return [1.0, 2.0][x]  # refused


def counts(x: Any) -> Any:
    return range(x)  # refused


def rounds(x: Any) -> Any:
    return round(x)  # refused


def truncates(x: Any) -> Any:
    return math.trunc(x)  # refused


def asks_for_data(x: Any) -> Any:
    return x * (x + 1).data  # refused


def sets_data(x: Any) -> Any:
    x.data = 3.0  # refused
    return x


def asks_for_the_gradient(x: Any) -> Any:
    return x * x.grad  # refused


def asks_for_local_derivatives(x: Any) -> Any:
    return x * (x * x).local_derivatives[0]()  # refused


def passes_back(x: Any) -> Any:
    (x * x).backward()  # refused
    return x


def hooks_on(x: Any) -> Any:
    (x * x).register_hook(lambda g: -g)  # refused
    return x


EQUAL = r"right: autograd.where\(autograd.sign\(x\), b, a\)"
CHOOSES = r"right: autograd.where\(autograd.greater\(x, 0\), a, b\), or autograd.maximum\(x, y\)"
REFUSED: dict[Callable[[Any], Any], str] = {
    compares_less: "was compared .* Wrong: a if x < 0 else b; " + CHOOSES,
    compares_less_or_equal: "was compared .* Wrong: a if x <= 0 else b; " + CHOOSES,
    compares_greater: "was compared .* Wrong: a if x > 0 else b; " + CHOOSES,
    compares_greater_or_equal: "was compared .* Wrong: a if x >= 0 else b; " + CHOOSES,
    compares_from_the_right: "was compared .* " + CHOOSES,
    compares_with_a_number: "was compared .* Wrong: a if x == 0 else b; " + EQUAL,
    compares_with_what_it_is_not: "was compared .* " + EQUAL,
    looks_among_numbers: "was compared .* " + EQUAL,
    compares_two: "was compared .* of nodes: x is y",
    takes_the_largest: "was compared .* " + CHOOSES,
    sorts: "was compared .* " + CHOOSES,
    asks_for_the_truth: "truth of a traced Value .* Wrong: a if x else b; " + CHOOSES,
    negates_the_truth: "truth of a traced Value .* " + CHOOSES,
    makes_a_float: r"float\(\) of a traced Value .* Wrong: math.exp\(x\); right: autograd.exp\(x\)",
    calls_math: r"float\(\) of a traced Value .* Wrong: math.exp\(x\); right: autograd.exp\(x\)",
    makes_an_array_of_floats: r"float\(\) of a traced Value .* right: autograd.exp\(x\)",
    makes_an_int: r"a whole number .* Wrong: table\[int\(x\)\]; right: autograd.where, for each entry",
    indexes: "a whole number .* right: autograd.where, for each entry",
    counts: "a whole number .* right: autograd.where, for each entry",
    rounds: "a whole number .* right: autograd.where, for each entry",
    truncates: "a whole number .* right: autograd.where, for each entry",
    sets_data: "data of a traced Value was set",
    asks_for_the_gradient: r"grad of a traced Value .* right: autograd.gradients\(y, x\)",
    asks_for_local_derivatives: r"local derivatives of .* right: autograd.gradients\(y, x\)",
    passes_back: "passed back from .* or program.value_and_grad",
    hooks_on: "a hook of a traced Value",
    asks_for_data: r"data of a traced Value .* Wrong: x.data \* w; right: x \* w",
}


@pytest.mark.parametrize("f", REFUSED, ids=lambda f: f.__name__)
def test_what_asks_for_a_number_is_refused_where_it_stands(f: Callable[[Any], Any]) -> None:
    program = jit(f)
    for ask in (lambda: program(1.0), lambda: program.map([1.0, 2.0]), lambda: program.mean([1.0])):
        with pytest.raises(TraceError) as raised:
            ask()
        text = str(raised.value)
        assert re.search(REFUSED[f], text, re.DOTALL), text
        line, path = re.search(r" at line (\d+) of (\S+):", text).groups()  # type: ignore[union-attr]
        assert path.endswith("test_trace.py")
        assert "# refused" in linecache.getline(__file__, int(line))


def test_copies_are_refused() -> None:
    for f in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TraceError, match=r"was copied .* Wrong: copy\(x\); right: x"):
            jit(f)(1.0)


def test_a_trace_error_is_a_type_error() -> None:
    assert issubclass(TraceError, TypeError)
    with pytest.raises(TypeError):
        jit(rounds)(1.0)


def test_results_inputs_and_numbers_all_stand_for_every_sample() -> None:
    """What a parameter makes is as unknown as what an input makes."""
    w = Value(2.0)
    with pytest.raises(TraceError):
        jit(lambda x: x if w * w > 1 else w)(1.0)
    with pytest.raises(TraceError):
        jit(lambda x: x if autograd.sum([1.0, w]) > 1 else w)(1.0)


def test_a_leaf_that_is_closed_over_keeps_its_number() -> None:
    """As where it is a setting: what was decided by it is decided."""
    w = Value(2.0)
    assert jit(lambda x: x * 2 if w > 1 else x)(3.0) == 6.0


def test_leaves_are_as_they_were_after_a_refusal() -> None:
    w, x = Value(2.0, label="w"), Value(3.0)
    eager = w * x
    program = jit(lambda a: (w * a + x) if w * a > 0 else w)
    for _ in range(2):
        with pytest.raises(TraceError):
            program(1.0)
    assert (type(w), w.data, w.label, w.grad, w.kind, w.op) == (Value, 2.0, "w", 0.0, "variable", None)
    eager.backward()
    assert (w.grad, x.grad) == (3.0, 2.0)
    assert type(w * 2) is Value


def test_leaves_are_as_they_were_after_a_trace() -> None:
    w = Value(2.0)
    eager = w * 3.0
    program = jit(lambda x: w * x)
    assert program(1.0) == 2.0
    assert (type(w), w.data, w.grad) == (Value, 2.0, 0.0)
    eager.backward()  # a trace makes no graph stale
    assert w.grad == 3.0


def test_an_error_of_the_function_itself_comes_out_and_leaves_nothing_on() -> None:
    def broken(x: Any) -> Any:
        _ = x * 2
        raise ZeroDivisionError("mine")

    program = jit(broken)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="mine"):
            program(1.0)


def test_a_function_may_be_repaired() -> None:
    """A trace that failed is not kept."""
    faults = [True]

    def f(x: Any) -> Any:
        return (x if x > 0 else -x) if faults else autograd.abs(x)

    program = jit(f)
    with pytest.raises(TraceError):
        program(-1.0)
    faults.clear()
    assert program(-1.0) == 1.0


def test_choices_that_are_part_of_the_program() -> None:
    f = jit(lambda x: autograd.where(autograd.greater(x, 0), x, -2 * x))
    assert f.map([1.0, -1.0]).tolist() == [1.0, 2.0]
    assert jit(lambda x: autograd.maximum(x, 0.0)).map([1.0, -1.0]).tolist() == [1.0, 0.0]


def test_what_a_traced_value_looks_like() -> None:
    seen: list[str] = []

    def f(x: Any, ys: Any) -> Any:
        assert isinstance(x, Traced)
        out = x * ys[0][1]
        seen.extend([repr(x), repr(ys[0][1]), f"{out}", f"{out:.3f}"])
        return out

    jit(f)(1.0, [[2.0, 3.0]])
    assert seen == ["Traced(x)", "Traced(ys[0][1])", "Traced(mul)", "Traced(mul)"]


def test_traced_values_are_themselves() -> None:
    def f(x: Any) -> Any:
        assert x == x
        assert (x != x) is False
        assert [x, x + 1].index(x) == 0
        return {x: x}[x]

    assert jit(f)(2.0) == 2.0


def test_a_traced_value_that_was_kept_is_no_number() -> None:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        kept.extend([x, x * 2])
        return kept[-1]

    assert jit(f)(3.0) == 6.0
    assert [math.isnan((v + 1).data) for v in kept] == [True, True]


def test_a_detached_parameter_is_read_at_each_call() -> None:
    w = Value(2.0)
    for f in (lambda x: w.detach() * x * w, lambda x: autograd.stop_gradient([w])[0] * x * w):
        program = jit(f)
        w.data = 2.0
        assert program(3.0) == 12.0
        w.data = 5.0
        assert program(3.0) == 75.0
        assert program.value_and_grad([3.0])[1].tolist() == [15.0]


def test_modes_around_a_trace_do_not_change_it() -> None:
    w = Value(2.0)
    with no_grad():
        program = jit(lambda x: w * x).trace(0.0)
    assert program.value_and_grad([3.0])[1].tolist() == [3.0]
    with detect_anomaly():
        assert jit(lambda x: (x - 1).log() / (x - 1))(1.0) == -math.inf
    assert jit(lambda x: w * x).value_and_grad([3.0])[1].tolist() == [3.0]


def without_a_graph(x: Any, w: Value) -> Any:
    with no_grad():
        scale = autograd.exp(x * w)
    return scale * x * w


# Each gives with floats, and with the derivatives, what it gives without jit: none may see a number of the trace.
TRANSFORMS: dict[str, Callable[[Any, Value], Any]] = {
    "derivative": lambda x, w: w * derivative(lambda y: y * y * w)(x),
    "third derivative": lambda x, w: derivative(lambda y: autograd.sin(y * w) * y, 3)(x),
    "hessian": lambda x, w: autograd.hessian(lambda y: autograd.sin(y * w) * y)(x),
    "jacobian": lambda x, w: autograd.jacobian(lambda y: [autograd.sin(y * w), y])(x)[0],
    "vjp": lambda x, w: autograd.vjp(lambda y: autograd.sin(y * w), x)[1](x)[0],
    "jvp": lambda x, w: autograd.jvp(lambda y: autograd.sin(y * w), (x,), (x,))[1],
    "gradients": lambda x, w: autograd.gradients(autograd.sin(w * x) * x, x) * w,
    "gradients at a kink": lambda x, w: autograd.gradients(autograd.relu(w - x) * x, x) * w,
    "gradients by a parameter": lambda x, w: autograd.gradients(x * w * w, w) * x,
    "gradients with a graph": lambda x, w: autograd.gradients(autograd.sin(w * x) * x, x, create_graph=True) * w,
    "gradients times 0": lambda x, w: autograd.gradients(0.0 * x * w, x, create_graph=True) + x * w,
    "detach": lambda x, w: x.detach() * w * x,
    "detach of a parameter's result": lambda x, w: (w * w).detach() * w * x,
    "detach of an infinity": lambda x, w: autograd.maximum(autograd.log(x - x).detach(), 1.0) * x * w,
    "stop_gradient": lambda x, w: autograd.stop_gradient(x * w) * x * w,
    "no_grad": without_a_graph,
    "numbers alone": lambda x, w: x * w * derivative(lambda y: y * y)(3.0),
    "data of numbers alone": lambda x, w: x * w * (Value(2.0) * 3).data,
    "a choice by numbers alone": lambda x, w: x * w if Value(2.0) * 3 > 1 else x,
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_within_a_function(name: str) -> None:
    w = Value(0.7)
    program = jit(lambda x: TRANSFORMS[name](x, w))
    for number in (1.3, -0.4, 0.25):
        x, by_program = Value(number), Value(number)
        autograd.backward.backward(out := TRANSFORMS[name](x, w))
        expected, w.grad = [out.data, w.grad, x.grad], 0.0
        assert program(number) == pytest.approx(out.data, rel=1e-14)
        total = program.sum([by_program])
        total.backward()
        assert [total.data, w.grad, by_program.grad] == pytest.approx(expected, rel=1e-13)
        w.grad = 0.0


def test_a_program_within_a_function_is_its_function() -> None:
    w = Value(2.0)
    inner = jit(lambda x: w * x * x)
    for f in (
        lambda x: inner(x) * x,
        lambda x: inner.sum([x, x]) * x / 2,
        lambda x: inner.mean([x]) * x,
        lambda x: inner.map([x, 1.0])[0] * x,
    ):
        value, gradient = jit(f).value_and_grad([3.0])
        assert (value, gradient.tolist()) == (54.0, [27.0])


def test_what_comes_detached_from_elsewhere_is_a_number() -> None:
    w = Value(2.0)
    program = jit(lambda x: w.detach() * w * x)
    assert program.value_and_grad([3.0])[1].tolist() == [6.0]


def test_a_transform_around_a_program() -> None:
    w = Value(2.0, kind="constant")
    program = jit(lambda x: w * x).trace(0.0)
    assert derivative(lambda x: program.sum([x]) ** 2)(3.0) == 2 * 6.0 * 2.0


def test_a_trace_in_one_thread_is_not_seen_by_another() -> None:
    inside, go = threading.Event(), threading.Event()
    w = Value(2.0)

    def f(x: Any) -> Any:
        inside.set()
        assert go.wait(300)
        return w * x

    program = jit(f)
    thread = threading.Thread(target=lambda: program(1.0))
    thread.start()
    assert inside.wait(300)
    mine = w * 5.0
    assert type(mine) is Value
    assert mine > 1
    go.set()
    thread.join(300)
    assert program.stats()["nodes"] == 3
