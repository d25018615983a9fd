"""Value: what it holds, what it refuses, how it reads, and what it records."""

import gc
import math
import threading
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import autograd
from autograd import StaleGraphError, Value
from autograd.floats import short

# Holding


def test_a_leaf() -> None:
    v = Value(2, label="v")
    assert (v.data, type(v.data), v.grad, v.label, v.kind, v.op, v.parents) == (
        2.0,
        float,
        0.0,
        "v",
        "variable",
        None,
        (),
    )
    assert v.local_derivatives == ()
    assert Value(1.0, "w").label == "w"
    assert Value(1.0, kind="parameter").kind == "parameter"


def test_a_result() -> None:
    a, b = Value(2.0), Value(3.0)
    c = a * b
    assert (c.data, c.grad, c.label, c.kind, c.op) == (6.0, 0.0, "", "result", autograd.OPS["mul"])
    c.label = "c"
    assert c.label == "c"


def test_parents_keep_order_and_repeats() -> None:
    a, b = Value(2.0), Value(3.0)
    assert (a - b).parents == (a, b)
    assert (b - a).parents == (b, a)
    assert (a * a).parents == (a, a)
    assert (-a).parents == (a,)
    assert autograd.sum([b, a, b]).parents == (b, a, b)
    assert autograd.clamp(a, b, a).parents == (a, b, a)
    assert (a - 1).parents[0] is a
    assert (1 - a).parents[1] is a


def test_local_derivatives() -> None:
    a, b = Value(2.0), Value(3.0)
    assert [d() for d in (a * b).local_derivatives] == [3.0, 2.0]
    assert [d() for d in (a * a).local_derivatives] == [2.0, 2.0]
    assert [d() for d in (a / b).local_derivatives] == [1 / 3, -2 / 9]
    assert [d() for d in a.exp().local_derivatives] == [math.exp(2)]
    assert [d() for d in autograd.affine([a], [b], 1.0).local_derivatives] == [3.0, 2.0, 1.0]
    assert [d() for d in autograd.where(a, b, 5.0).local_derivatives] == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("kind", ["result", "leaf", "", None, "Parameter", 3])
def test_kinds_are_checked(kind: Any) -> None:
    with pytest.raises(ValueError, match="'variable', 'parameter', 'constant'"):
        Value(1.0, kind=kind)
    v = Value(1.0)
    with pytest.raises(ValueError, match="'variable', 'parameter', 'constant'"):
        v.kind = kind
    assert v.kind == "variable"


def test_the_kind_of_a_result_cannot_be_set() -> None:
    with pytest.raises(ValueError, match="a leaf's kind"):
        (Value(1.0) * 2).kind = "parameter"


@pytest.mark.parametrize("label", [3, None, b"x", Value(1.0)])
def test_labels_are_text(label: Any) -> None:
    with pytest.raises(TypeError, match="label must be a str"):
        Value(1.0, label=label)


def test_a_frozen_parameter_gathers_no_gradient() -> None:
    """A parameter made a constant: what it had stays, nothing is added, wherever it stands."""
    p, x = Value(3.0, kind="parameter"), Value(2.0)
    (p * x).backward()
    p.kind = "constant"
    for result in (p * x, x * p, p.exp() * x, autograd.sum([p, x]), p - x):
        result.backward()
        assert p.grad == 2.0
    p.kind = "parameter"
    (p * x).backward()
    assert p.grad == 4.0


# Setting data


def test_data_of_a_leaf_can_be_set() -> None:
    v = Value(2.0)
    v.data = 3
    assert (v.data, type(v.data)) == (3.0, float)
    v.data += 0.5
    assert v.data == 3.5
    assert (v * 2).data == 7.0


def test_data_keeps_every_bit() -> None:
    v = Value(0.0)
    v.data = -0.0
    assert math.copysign(1, v.data) == -1.0
    v.data = math.nan
    assert math.isnan(v.data)
    v.data = 5e-324
    assert v.data == 5e-324


def test_data_of_a_result_cannot_be_set() -> None:
    v = Value(2.0, label="v")
    result = v * 3
    with pytest.raises(ValueError, match=r"Value\(6\.0\).*result of mul.*leaf.*right"):
        result.data = 1.0
    assert result.data == 6.0
    with pytest.raises(AttributeError):
        result.parents = ()  # type: ignore[misc]
    with pytest.raises(AttributeError):
        v.date = 3.0  # type: ignore[attr-defined]


def graphs() -> dict[str, Callable[[Value, Value], Value]]:
    return {
        "binary": lambda x, y: x * y,
        "constant": lambda x, y: x + 1,
        "unary": lambda x, y: x.tanh(),
        "n-ary": lambda x, y: autograd.dot([x, 2.0], [y, y]),
        "choice": lambda x, y: autograd.where(y, x, 1.0),
        "repeated": lambda x, y: x * x,
        "diamond": lambda x, y: (x * y).exp() + (x - y).tanh(),
        "deep": lambda x, y: ((x * y).exp() * y).tanh() + y,
    }


@pytest.mark.parametrize("name", graphs())
def test_a_stale_graph_refuses(name: str) -> None:
    build = graphs()[name]
    x, y = Value(0.5, label="x"), Value(0.25, label="y")
    build(x, y).backward()
    grads = x.grad, y.grad
    z = build(x, y)
    x.data = 0.75
    before = z.data
    with pytest.raises(StaleGraphError, match=r"leaf 'x'.*Wrong.*Right"):
        z.backward()
    assert (x.grad, y.grad, z.data) == (*grads, before)
    fresh = build(x, y)
    x.grad = y.grad = 0.0
    fresh.backward()
    expected = x.grad
    x.grad = 0.0
    build(Value(0.75), y)
    fresh.backward()
    assert x.grad == expected


def test_a_stale_graph_refuses_its_local_derivatives() -> None:
    x = Value(3.0, label="x")
    y = x**2
    derivative = y.local_derivatives[0]
    x.data = 4.0
    with pytest.raises(StaleGraphError, match="'x'"):
        y.local_derivatives  # noqa: B018
    assert derivative() == 6.0  # handed out while it was fresh: at the recorded operand


def test_staleness_is_of_the_graph_alone() -> None:
    x, other = Value(3.0), Value(1.0)
    y = x * x
    other.data = 2.0
    y.backward()  # another leaf changed
    x.data = 3.0  # the same number is no change
    y.backward()
    assert x.grad == 12.0
    later = x * other
    later.backward()
    x.data = 5.0
    x.data = 3.0  # there and back is a change: the graph does not look at numbers
    with pytest.raises(StaleGraphError):
        y.backward()
    unlabelled = Value(7.0)
    z = unlabelled + 1
    unlabelled.data = 8.0
    with pytest.raises(StaleGraphError, match=r"Value\(8\.0\)"):
        z.backward()


def test_a_constant_that_changed_makes_stale_too() -> None:
    x, c = Value(3.0), Value(2.0, label="c", kind="constant")
    y = x * c
    c.data = 5.0
    with pytest.raises(StaleGraphError, match="'c'"):
        y.backward()


# Reading


@pytest.mark.parametrize(
    ("x", "text"),
    [
        *[(0.70710678, "0.7071"), (2.0, "2.0"), (12345.6, "12346.0"), (1e-7, "1e-07"), (0.0, "0.0"), (-0.0, "-0.0")],
        *[(math.inf, "inf"), (-math.inf, "-inf"), (math.nan, "nan"), (1e16, "1e+16"), (100.0, "100.0"), (-1.5, "-1.5")],
        *[
            (9999.6, "10000.0"),
            (99999.0, "99999.0"),
            (1234.5, "1234.0"),
            (0.00012345, "0.0001234"),
            (5e-324, "4.941e-324"),
        ],
    ],
)
def test_short_numbers(x: float, text: str) -> None:
    assert short(x) == text
    assert repr(Value(x)) == f"Value({text})"


def test_repr() -> None:
    v = Value(0.70710678, label="o")
    assert repr(v) == "Value(0.7071, label='o')"
    v.grad = 0.5
    assert repr(v) == "Value(0.7071, label='o', grad=0.5)"
    assert repr(Value(1.0, label="it's")) == 'Value(1.0, label="it\'s")'
    x = Value(2.0)
    y = x * 0
    assert repr(x) == "Value(2.0)"
    y.backward()
    assert repr(x) == "Value(2.0, grad=0.0)"  # reached, though the gradient is 0
    assert repr(y) == "Value(0.0, grad=1.0)"
    assert repr(y.parents[1]) == "Value(0.0, kind='constant')"


def test_format() -> None:
    v = Value(2.0 / 3, label="v")
    assert f"{v:.3f}" == "0.667"
    assert f"{v:>8.1f}" == "     0.7"
    assert f"{v}" == str(v) == repr(v)
    assert "%s" % v == repr(v)  # noqa: UP031
    with pytest.raises(ValueError, match="format"):
        f"{v:q}"


def test_comparisons_compare_data() -> None:
    a, b = Value(1.0), Value(2.0)
    assert (a < b, a <= b, a > b, a >= b) == (True, True, False, False)
    assert (a < 1, a <= 1, a > 1, a >= 1) == (False, True, False, True)
    assert (1 < b, 2 <= b, 3 > b, 2 >= b) == (True, True, True, True)  # noqa: SIM300
    assert not any([a < math.nan, a > math.nan, a <= math.nan, a >= math.nan])
    assert max(a, b) is b
    assert sorted([b, a]) == [a, b]
    assert type(a < b) is bool


def test_equality_and_hash_are_identity() -> None:
    a, b = Value(1.0), Value(1.0)
    assert a == a
    assert a != b
    assert a != 1.0
    assert len({a, b, a}) == 2
    h = hash(a)
    a.data = 5.0
    assert hash(a) == h
    assert b not in [a]


@pytest.mark.parametrize(
    ("use", "fix"),
    [
        (lambda v: bool(v), r"v\.data"),
        (lambda v: 1 if v else 0, r"v\.data"),
        (lambda v: v and 1, r"autograd\.where"),
        (lambda v: not v, r"v\.data"),
        (lambda v: float(v), r"autograd\.exp\(v\).*v\.data"),
        (lambda v: math.exp(v), r"autograd\.exp\(v\).*v\.data"),
        (lambda v: math.fsum([v]), r"v\.data"),
        (lambda v: complex(v), r"v\.data"),
    ],
)
def test_what_would_leave_the_graph(use: Callable[[Value], Any], fix: str) -> None:
    for v in (Value(0.0), Value(1.0), Value(1.0) * 2):
        with pytest.raises(TypeError, match=fix):
            use(v)


@pytest.mark.parametrize("use", [int, round, math.trunc, lambda v: [1, 2][v], lambda v: v // 2, lambda v: v % 2, iter])
def test_what_a_value_is_not(use: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError):
        use(Value(1.0))


def test_plus_is_the_value_itself() -> None:
    v = Value(1.0)
    assert +v is v


def test_in_place_operators_make_new_values() -> None:
    v = w = Value(2.0)
    v += 1
    v *= 3
    assert (v.data, w.data) == (9.0, 2.0)
    v.backward()
    assert w.grad == 3.0


# Leaving the graph


def test_detach() -> None:
    x = Value(3.0, label="x")
    y = x * x
    y.label = "y"
    cut = y.detach()
    assert (cut.data, cut.label, cut.kind, cut.parents, cut.op) == (9.0, "y", "constant", (), None)
    (x * cut).backward()
    assert (x.grad, cut.grad) == (9.0, 0.0)
    with pytest.raises(ValueError, match="constant"):
        cut.backward()


def test_no_grad() -> None:
    x = Value(3.0)
    with autograd.no_grad():
        results = [
            x * x,
            x + 1,
            2 - x,
            x.exp(),
            -x,
            x**2,
            autograd.sum([x, x]),
            autograd.clamp(x, 0, 1),
            autograd.where(x, x, 1),
        ]
    for y in results:
        assert (y.parents, y.op, y.kind) == ((), None, "variable")
        assert y.local_derivatives == ()
    assert results[0].data == 9.0
    y = x * results[0]
    y.backward()
    assert (x.grad, results[0].grad) == (9.0, 3.0)
    results[0].data = 1.0  # a leaf like any other


def test_no_grad_ends_with_its_block() -> None:
    x = Value(3.0)
    with autograd.no_grad():
        with autograd.no_grad():
            pass
        assert (x * x).op is None
    assert (x * x).op is not None
    with pytest.raises(KeyError), autograd.no_grad():
        raise KeyError
    assert (x * x).op is not None


def test_no_grad_as_a_decorator() -> None:
    x = Value(3.0)

    @autograd.no_grad()
    def square(v: Value, again: int = 0) -> Value:
        return square(v, again - 1) if again else v * v

    for _ in range(2):
        assert square(x).op is None
        assert square(x, again=3).op is None
        assert (x * x).op is not None


def test_no_grad_is_of_one_thread() -> None:
    x, seen = Value(3.0), {}
    inside, go = threading.Event(), threading.Event()

    def work() -> None:
        with autograd.no_grad():
            inside.set()
            go.wait(300)
            seen["there"] = (x * x).op

    thread = threading.Thread(target=work)
    thread.start()
    assert inside.wait(300)
    seen["here"] = (x * x).op
    go.set()
    thread.join()
    assert seen["here"] is not None
    assert seen["there"] is None


def test_no_grad_lets_the_graph_go() -> None:
    gc.disable()
    try:
        with autograd.no_grad():
            x = Value(1.0)
            inner = weakref.ref(x * 2)
            assert inner() is None
            mid = x * 2
            watch, out = weakref.ref(mid), mid + 1
            del mid
            assert watch() is None
            assert out.data == 3.0
    finally:
        gc.enable()


# Memory


@pytest.mark.parametrize("use", ["build", "backward", "local_derivatives", "draw order", "twice"])
def test_no_reference_cycles(use: str) -> None:
    x, y = Value(0.5), Value(0.25)
    gc.collect()
    gc.disable()
    try:
        inner = [x * y, x.exp(), autograd.dot([x, y], [y, 2.0]), autograd.clamp(x, y, 3.0), 1 / x, x**2]
        root = autograd.sum([v.tanh() + v for v in inner])
        if use in ("backward", "twice"):
            root.backward()
        if use == "twice":
            root.backward()
        if use == "local_derivatives":
            assert [d() for v in (*inner, root) for d in v.local_derivatives]
        if use == "draw order":
            assert autograd.topological_order(root)[-1] is root
            assert autograd.leaves(root)[0] is x
        watched = [weakref.ref(v) for v in (*inner, root)]
        del inner, root
        assert [w() for w in watched] == [None] * len(watched)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_errors_leave_no_cycles_of_nodes() -> None:
    x = Value(0.5)
    gc.disable()
    try:
        y = x * 2
        x.data = 1.0
        with pytest.raises(StaleGraphError):
            y.backward()
        watch = weakref.ref(y)
    finally:
        gc.enable()
    del y
    gc.collect()
    assert watch() is None


def test_a_node_takes_less_than_250_bytes_and_leaves_none() -> None:
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        y = x = Value(0.5)
        for _ in range(50_000):
            y = y * x + x
        y.backward()
        assert tracemalloc.get_traced_memory()[0] / 100_000 < 250
        del x, y
        assert tracemalloc.get_traced_memory()[0] < 100_000  # a byte a node
    finally:
        tracemalloc.stop()
        gc.enable()
