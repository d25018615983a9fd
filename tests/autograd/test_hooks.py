"""register_hook: when hooks are called, with what, and what becomes of what they return, as PyTorch has it."""

import copy
import gc
import math
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from strategies import Program, path_sizes, programs, tangled_programs

import autograd
from autograd import AnomalyError, Value, derivative, grad, gradients, hessian, hooks, hvp, jacobian, jvp, vjp


class Watch:
    """A hook that notes what it is called with and gives what it is told to."""

    def __init__(self, gives: Callable[[Any], Any] = lambda g: None) -> None:
        self.seen: list[Any] = []
        self.gives = gives

    def __call__(self, g: Any) -> Any:
        self.seen.append(g)
        return self.gives(g)


# When, and with what


def test_on_leaf_inner_node_and_root() -> None:
    x, y = Value(2.0), Value(5.0)
    a = x * y
    out = a * a
    at_x, at_a, at_out = Watch(), Watch(), Watch()
    for v, watch in ((x, at_x), (a, at_a), (out, at_out)):
        v.register_hook(watch)
    out.backward()
    assert (at_out.seen, at_a.seen, at_x.seen) == ([1.0], [20.0], [100.0])
    out.backward(3.0)
    assert (at_out.seen, at_a.seen, at_x.seen) == ([1.0, 3.0], [20.0, 60.0], [100.0, 300.0])
    assert (x.grad, y.grad, a.grad, out.grad) == (400.0, 160.0, 60.0, 3.0)


def test_a_hook_is_called_once_with_the_sum_over_all_paths_after_those_of_its_results() -> None:
    x = Value(3.0)
    h = x * x
    b, c = h * 2.0, h + x
    order: list[str] = []
    for name, v in (("x", x), ("h", h), ("b", b), ("c", c)):
        v.register_hook(lambda g, name=name: order.append(f"{name} {g}"))
    (b * c + h).backward()
    by_h = 2 * c.data + b.data + 1
    assert sorted(order[:2]) == ["b 12.0", "c 18.0"]
    assert order[2:] == [f"h {by_h}", f"x {6 * by_h + 18.0}"]


def test_a_leaf_sees_the_gradient_of_this_pass_and_not_the_sum() -> None:
    x = Value(3.0)
    x.grad = 100.0
    watch = Watch()
    x.register_hook(watch)
    for _ in range(2):
        (x * x).backward()
    assert watch.seen == [6.0, 6.0]
    assert x.grad == 112.0
    x.register_hook(lambda g: 10 * g)
    (x * x).backward()
    assert x.grad == 112.0 + 60.0  # what was there before is not changed by the hook


def test_a_root_that_is_a_leaf() -> None:
    x = Value(3.0)
    watch = Watch(lambda g: 5.0)
    x.register_hook(watch)
    x.backward(2.0)
    assert (watch.seen, x.grad) == ([2.0], 5.0)
    assert gradients(x, x) == 5.0
    assert gradients([x, x], x, [1.0, 2.0]) == 5.0
    assert watch.seen == [2.0, 1.0, 3.0]


def test_no_hook_is_called_where_no_gradient_comes() -> None:
    x, y = Value(3.0), Value(4.0)
    watch = Watch()
    y.register_hook(watch)
    aside = y * y
    aside.register_hook(watch)
    (x * x).backward()
    assert gradients([x * x, aside], x) == 6.0
    assert watch.seen == []


def test_a_gradient_of_zero_is_a_gradient() -> None:
    x = Value(-3.0)
    watch = Watch()
    x.register_hook(watch)
    autograd.relu(x).backward()
    assert watch.seen == [0.0]
    (x * 0.0).backward()
    assert watch.seen == [0.0, 0.0]


# What they return


def test_a_replacement_goes_on_to_the_operands_and_into_grad() -> None:
    x, y = Value(2.0), Value(5.0)
    a = x * y
    a.register_hook(lambda g: 10 * g)
    (a * 3).backward()
    assert (a.grad, x.grad, y.grad) == (30.0, 150.0, 60.0)
    x.register_hook(lambda g: -1)
    (a * 3).backward()
    assert x.grad == 149.0


def test_several_hooks_in_the_order_they_were_registered() -> None:
    x = Value(2.0)
    x.register_hook(lambda g: g + 1)
    silent = Watch()
    x.register_hook(silent)
    x.register_hook(lambda g: g * 10)
    (x * 3).backward()
    assert x.grad == 40.0
    assert silent.seen == [4.0]


@pytest.mark.parametrize("number", [2, 2.0, True, np.float64(2.0), np.float32(2.0), np.array(2.0), math.inf, -0.0])
def test_any_real_number_will_do(number: Any) -> None:
    x = Value(2.0)
    x.register_hook(lambda g: number)
    (x * 3).backward()
    assert (type(x.grad), x.grad) == (float, float(number))
    assert gradients(x * 3, x) == float(number)
    assert gradients(x * 3, x, create_graph=True).data == float(number)


def test_nan_goes_on_as_it_is() -> None:
    x = Value(2.0)
    a = x * 3
    a.register_hook(lambda g: math.nan)
    a.backward()
    assert math.isnan(x.grad)


@pytest.mark.parametrize("wrong", ["2", [2.0], 1j, object(), np.ones(1), {}], ids=lambda x: type(x).__name__)
def test_what_is_no_number_is_refused(wrong: Any) -> None:
    x = Value(2.0, label="x")
    a = x * 3
    a.label = "a"
    a.register_hook(lambda g: wrong)
    x.grad = 7.0
    for use in (a.backward, lambda: gradients(a, x), lambda: gradients(a, x, create_graph=True)):
        with pytest.raises(TypeError, match=r"the hook of .*'a'.*gave .*right: return the gradient") as caught:
            use()
        assert type(wrong).__name__ in str(caught.value)
    assert (x.grad, a._grad) == (7.0, None)


def test_a_value_where_the_pass_is_of_floats_is_refused_with_the_fix() -> None:
    x = Value(2.0)
    x.register_hook(lambda g: Value(2.0))
    with pytest.raises(TypeError) as caught:
        (x * 3).backward()
    assert ".data" in str(caught.value)
    assert "or a Value, got Value" not in str(caught.value)


def test_what_cannot_be_a_hook() -> None:
    x = Value(2.0)
    for wrong in (None, 2.0, "hook", [len]):
        with pytest.raises(TypeError, match=r"wrong: v.register_hook\(.*right: v.register_hook\(lambda g"):
            x.register_hook(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="constant"):
        Value(2.0, kind="constant").register_hook(print)
    with pytest.raises(ValueError, match="constant"):
        x.detach().register_hook(print)
    assert x not in hooks.hooked


# Errors


@pytest.mark.parametrize("error", [LookupError, KeyboardInterrupt])
def test_an_error_in_a_hook_leaves_the_leaves_as_they_were(error: type[BaseException]) -> None:
    x, y = Value(2.0), Value(5.0)
    a = x * y
    out = a * y
    out.backward()
    before = (x.grad, y.grad)

    def fail(g: Any) -> Any:
        raise error("in a hook")

    for v in (out, a, x, y):
        handle = v.register_hook(fail)
        for use in (out.backward, lambda: gradients(out, x), lambda: gradients(out, [x, y], create_graph=True)):
            if v is y and use is not out.backward:
                continue
            with pytest.raises(error, match="in a hook"):
                use()
            assert (x.grad, y.grad) == before
        handle.remove()
    out.backward()
    assert (x.grad, y.grad) == (2 * before[0], 2 * before[1])


def test_an_error_in_the_second_leafs_hook_takes_back_the_first() -> None:
    x, y = Value(2.0), Value(5.0)
    x.grad, y.grad = 1.0, 2.0
    x.register_hook(lambda g: 100.0)
    y.register_hook(lambda g: "wrong")
    with pytest.raises(TypeError):
        (x * y).backward()
    assert (x.grad, y.grad) == (1.0, 2.0)


def test_under_detect_anomaly_what_a_hook_made_infinite_is_found() -> None:
    x = Value(2.0)
    with autograd.detect_anomaly():
        a = x * 3
        out = a * 2
        a.register_hook(lambda g: math.inf)
        for use in (out.backward, lambda: gradients(out, x)):
            with pytest.raises(AnomalyError, match="inf"):
                use()
    assert x.grad == 0.0


# Handles


def test_a_removed_hook_is_not_called() -> None:
    x = Value(2.0)
    first, second = Watch(), Watch()
    handle = x.register_hook(first)
    other = x.register_hook(second)
    (x * 3).backward()
    handle.remove()
    (x * 3).backward()
    handle.remove()
    (x * 3).backward()
    other.remove()
    (x * 3).backward()
    assert (len(first.seen), len(second.seen)) == (1, 3)
    assert x not in hooks.hooked
    again = x.register_hook(first)
    handle.remove()
    (x * 3).backward()
    assert len(first.seen) == 2
    again.remove()


def test_one_function_registered_twice_is_called_twice_and_removed_once() -> None:
    x = Value(2.0)
    watch = Watch(lambda g: 2 * g)
    handles = [x.register_hook(watch) for _ in range(2)]
    (x * 3).backward()
    assert watch.seen == [3.0, 6.0]
    handles[0].remove()
    (x * 3).backward()
    assert watch.seen == [3.0, 6.0, 3.0]


def test_a_handle_outlives_its_value() -> None:
    x = Value(2.0)
    handle = x.register_hook(print)
    del x
    handle.remove()
    handle.remove()


def test_hooks_that_register_and_remove_hooks() -> None:
    """What is changed while the hooks of a node are called holds from the next pass on."""
    x = Value(2.0)
    order: list[str] = []

    def first(g: Any) -> None:
        order.append("first")
        handle.remove()
        x.register_hook(lambda g: order.append("late"))

    handle = x.register_hook(first)
    x.register_hook(lambda g: order.append("second"))
    (x * x).backward()
    assert order == ["first", "second"]
    order.clear()
    (x * x).backward()
    assert order == ["second", "late"]


def test_a_hook_that_removes_the_next_one_of_its_node() -> None:
    """As in PyTorch the hooks of this call are those that there were when it began."""
    x = Value(2.0)
    order: list[str] = []
    x.register_hook(lambda g: (order.append("first"), second.remove())[0])
    second = x.register_hook(lambda g: order.append("second"))
    (x * x).backward()
    (x * x).backward()
    assert order == ["first", "second", "first"]


def test_a_hook_that_hooks_a_node_further_back() -> None:
    """It is called in this very pass, in backward and in gradients alike, or in neither."""
    for root in (lambda out, x: out.backward(), gradients):
        x = Value(2.0)
        x.grad = 100.0
        a = x * 3
        seen: list[Any] = []
        a.register_hook(lambda g, x=x, seen=seen: x.register_hook(seen.append) and None)
        root(a * 2, x)
        assert seen == [6.0]
        if root is not gradients:
            assert x.grad == 106.0


def test_a_hook_that_runs_another_pass() -> None:
    """gradients, and backward over a graph of its own or one that shares leaves."""
    x = Value(2.0)
    a, b = x * x, x * x
    found: list[float] = []
    a.register_hook(lambda g: found.append(gradients(b * b, x)))
    own = Value(5.0)
    a.register_hook(lambda g: (own * own).backward())
    a.register_hook(lambda g: (x * 7).backward())
    (a * 3).backward()
    assert (found, own.grad, x.grad) == ([32.0], 10.0, 12.0 + 7.0)


def test_a_hook_that_runs_backward_over_nodes_of_the_same_pass() -> None:
    x = Value(2.0)
    h = x * x
    z = h * h
    z.register_hook(lambda g: (h * 5).backward())
    (z * h + h).backward()
    assert x.grad == 6 * 32 + 4 + 5 * 4


# gradients, graphs of gradients, and transforms


def test_in_gradients_hooks_act_on_what_lies_between() -> None:
    x, y = Value(2.0), Value(5.0)
    a = x * y
    a.register_hook(lambda g: 10 * g)
    x.register_hook(lambda g: g + 1)
    out = a * 3
    assert gradients(out, [x, y, a]) == [151.0, 60.0, 30.0]
    assert [v.data for v in gradients(out, [x, y, a], create_graph=True)] == [151.0, 60.0, 30.0]
    assert (x.grad, y.grad, a._grad) == (0.0, 0.0, None)
    watch = Watch()
    Value.register_hook(y, watch)
    gradients(out, x)
    assert watch.seen == []  # y is not asked for, and nothing leads over it


def test_with_a_graph_a_hook_is_given_a_value_and_what_it_makes_can_be_differentiated() -> None:
    x = Value(3.0)
    a = x**2
    watch = Watch(lambda g: g * g * x)
    handle = a.register_hook(watch)
    out = a**2
    slope = gradients(out, x, create_graph=True)
    assert isinstance(watch.seen[0], Value)
    assert watch.seen[0].data == 18.0
    # g = 2 a = 2 x**2, then g * g * x * 2 x = 8 x**6
    assert slope.data == 8 * 3.0**6
    handle.remove()
    assert gradients(slope, x) == 48 * 3.0**5


def test_each_hook_of_a_chain_is_given_what_the_pass_is_made_of() -> None:
    x = Value(3.0)
    watch = Watch()
    x.register_hook(lambda g: 2.0)
    x.register_hook(watch)
    slope = gradients(x * x, x, create_graph=True)
    assert isinstance(watch.seen[0], Value)
    assert (slope.data, slope.kind) == (2.0, "constant")


def test_with_a_graph_a_hook_on_the_output_is_given_a_value_too() -> None:
    x, w = Value(3.0), Value(5.0)
    out = x * x
    watch = Watch(lambda g: g * w)
    out.register_hook(watch)
    slope = gradients(out, x, create_graph=True)
    assert [type(g) for g in watch.seen] == [Value]
    assert (slope.data, gradients(slope, w)) == (30.0, 6.0)


def test_a_hook_on_a_slope() -> None:
    x = Value(3.0)
    slope = gradients(x**3, x, create_graph=True)
    watch = Watch(lambda g: 2 * g)
    slope.register_hook(watch)
    (slope * slope).backward()
    assert watch.seen == [54.0]
    assert x.grad == 2 * 54.0 * 18.0


def hooked_square(x: Any) -> Any:
    """x**4, with twice the gradient at x**2."""
    y = x * x
    y.register_hook(lambda g: 2 * g)
    return y * y


def test_the_transforms_that_go_back_call_hooks_and_the_one_that_goes_forward_none() -> None:
    """As in PyTorch: a hook sees cotangents, and forward mode has none."""
    assert grad(hooked_square)(3.0) == 2 * 4 * 27.0
    assert vjp(hooked_square, 3.0)[1](1.0) == (2 * 4 * 27.0,)
    assert jacobian(hooked_square)(3.0) == 2 * 4 * 27.0
    assert jvp(hooked_square, 3.0, 1.0) == (81.0, 4 * 27.0)
    assert derivative(hooked_square)(3.0) == 4 * 27.0


def test_a_jacobian_calls_hooks_whatever_its_shape() -> None:
    tall = jacobian(lambda x: [hooked_square(x), x])(3.0)
    assert tall == [2 * 4 * 27.0, 1.0]


def test_second_derivatives_of_a_function_with_hooks_agree() -> None:
    found = {
        "hessian": hessian(hooked_square)(2.0),
        "hvp": hvp(hooked_square, 2.0, 1.0),
        "grad of grad": grad(grad(hooked_square))(2.0),
    }
    assert len(set(found.values())) == 1, found


def test_hooks_in_a_hessian_are_called_in_each_pass() -> None:
    calls: list[str] = []

    def f(xs: Any) -> Any:
        y = xs[0] * xs[1]
        y.register_hook(lambda g: calls.append(type(g).__name__))
        return y * y

    assert hessian(f)([2.0, 3.0]) == [[18.0, 24.0], [24.0, 8.0]]
    assert calls == ["Value", "float", "float"]


@given(program=st.one_of(programs(), tangled_programs()))
def test_hooks_that_change_nothing_change_nothing(program: Program) -> None:
    hooked, plain = program.values(), program.values()
    watches = [Watch() for _ in hooked]
    for v, watch in zip(hooked, watches, strict=True):
        v.register_hook(watch)
    hooked[-1].backward()
    plain[-1].backward()
    reached = set(autograd.topological_order(hooked[-1]))
    places = [i for i, v in enumerate(hooked) if v in reached]
    sizes = path_sizes([hooked[-1]], [hooked[i] for i in places])[0]
    is_twice = any([len(set(v.parents)) < len(v.parents) > 2 for v in reached])
    for i, size in zip(places, sizes, strict=True):  # what an operand gets twice, n-ary nodes add in another order
        assert abs(hooked[i].grad - plain[i].grad) <= (1e-14 * size if is_twice else 0.0)
    assert all(hooked[i]._grad is plain[i]._grad is None for i in set(range(len(hooked))) - set(places))
    for v, watch in zip(hooked, watches, strict=True):
        assert watch.seen == ([v.grad] if v in reached else [])
        watch.seen.clear()
    inputs = [v for v in hooked[: len(program.inputs)] if v in reached]
    found = gradients(hooked[-1], inputs)
    for v, d, size in zip(inputs, found, *path_sizes([hooked[-1]], inputs), strict=True):
        assert abs(d - v.grad) <= 1e-12 * size
    assert all(len(watch.seen) <= 1 for watch in watches)


@given(program=st.one_of(programs(), tangled_programs()), bound=st.sampled_from([0.0, 0.5, 1.0]))
def test_gradients_and_backward_agree_on_clipped_gradients(program: Program, bound: float) -> None:
    tape = program.values()
    for v in tape:
        v.register_hook(lambda g: min(max(g, -bound), bound))
    tape[-1].backward()
    reached = set(autograd.topological_order(tape[-1]))
    inputs = [v for v in tape[: len(program.inputs)] if v in reached]
    found = gradients(tape[-1], inputs)
    for v, d, size in zip(inputs, found, *path_sizes([tape[-1]], inputs), strict=True):
        assert abs(d - v.grad) <= 1e-12 * (size + bound)
    assert all(abs(g) <= bound for g in found)


# Memory and copies


def test_a_graph_with_hooks_is_freed_at_once() -> None:
    gc.collect()
    gc.disable()
    before = len(hooks.hooked)
    try:
        x = Value(2.0)
        y = x
        for _ in range(10):
            y = y * x
            y.register_hook(lambda g: g)
        x.register_hook(lambda g: g)
        y.backward()
        gradients(y, x)
        references = [weakref.ref(v) for v in autograd.topological_order(y)]
        assert len(hooks.hooked) == before + 11
        del x, y
        assert [reference() for reference in references] == [None] * len(references)
        assert len(hooks.hooked) == before
    finally:
        gc.enable()


def test_a_hook_goes_when_its_value_goes() -> None:
    class Owner:
        def hook(self, g: Any) -> None: ...

    owner = Owner()
    reference = weakref.ref(owner)
    x = Value(2.0)
    handle = x.register_hook(owner.hook)
    del owner
    assert reference() is not None
    del x
    assert handle.node() is None
    del handle
    assert reference() is None


@pytest.mark.parametrize(
    "way", [copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))], ids=["copy", "deepcopy", "pickle"]
)
def test_copies_carry_no_hooks(way: Callable[[Any], Any]) -> None:
    x = Value(2.0, label="x")
    y = x * x
    watch = Watch(lambda g: 100.0)
    x.register_hook(watch)
    y.register_hook(watch)
    twin = way(y)
    twin.backward()
    assert twin not in hooks.hooked
    if way is not copy.copy:  # which shares the operands
        assert (watch.seen, twin.parents[0].grad) == ([], 4.0)
        assert twin.parents[0] not in hooks.hooked
    y.backward()
    assert y.grad == 100.0
    twin.register_hook(print).remove()


def test_a_hook_for_the_length_of_a_block() -> None:
    x = Value(3.0)
    with x.register_hook(lambda g: 2 * g):
        assert gradients(x * x, x) == 12.0
    assert gradients(x * x, x) == 6.0
