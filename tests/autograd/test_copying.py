"""copy, deepcopy and pickle: sharing, labels, gradients, kinds and staleness are kept."""

import copy
import gc
import io
import itertools
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from strategies import Program, programs

import autograd
import nn
from autograd import StaleGraphError, Value, custom, gradients, hooks, topological_order

ROOT = Path(autograd.__file__).parents[1]


def through_python(obj: Any) -> Any:
    """By the pickler that is written in Python: PyPy's only one, and the one that dill extends."""
    file = io.BytesIO()
    pickle._Pickler(file).dump(obj)  # type: ignore[attr-defined]
    return pickle.loads(file.getvalue())


WAYS: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    **{f"pickle{n}": lambda obj, n=n: pickle.loads(pickle.dumps(obj, n)) for n in range(pickle.HIGHEST_PROTOCOL + 1)},
    "python": through_python,
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


class Named(Value):
    """A subclass with an attribute, kept in a __dict__."""

    def __init__(self, data: float, note: Any) -> None:
        super().__init__(data)
        self.note = note


class Slotted(Value):
    __slots__ = ("__private", "empty", "extra")

    def __init__(self, data: float, extra: Any) -> None:
        super().__init__(data)
        self.extra = extra
        self.__private = "hidden"

    def private(self) -> str:
        return self.__private


def same(a: Value, b: Value) -> bool:
    return (repr(a), a.data, a._grad, a.label, a.kind, a.op, type(a)) == (
        *(repr(b), b.data, b._grad, b.label, b.kind, b.op, type(b)),
    )


@every_way
@given(program=programs())
def test_random_graphs(way: Callable[[Any], Any], program: Program) -> None:
    tape = program.values()
    for i, v in enumerate(tape):
        v.label = f"v{i}"
    tape[-1].backward()
    tape[0].kind = "parameter"
    roots = [tape[-1], tape[0], tape[len(tape) // 2], tape[-1]]
    clones = way(roots)
    before, after = topological_order(*roots), topological_order(*clones)
    assert len(before) == len(after)
    assert all(same(a, b) and a is not b for a, b in zip(before, after, strict=True))
    place, there = ({v: i for i, v in enumerate(order)} for order in (before, after))
    assert [[place[p] for p in v.parents] for v in before] == [[there[p] for p in v.parents] for v in after]
    assert clones[0] is clones[3]
    clones[0].backward()
    tape[-1].backward()
    assert all(same(a, b) for a, b in zip(before, after, strict=True))


@every_way
def test_sharing_across_roots_in_containers(way: Callable[[Any], Any]) -> None:
    x = Value(2.0, label="x")
    h = x * x
    box = {"losses": [h + 1, h.exp()], "x": x, "again": (h, [x])}
    twin = way(box)
    one, two = twin["losses"]
    assert one.parents[0] is two.parents[0] is twin["again"][0]
    assert twin["x"] is twin["again"][1][0] is twin["again"][0].parents[0]
    assert twin["x"] is not x
    (one + two).backward()
    assert twin["x"].grad > 0
    assert x.grad == 0.0
    twin["x"].data = 3.0
    assert x.data == 2.0


def test_two_copies_share_nothing() -> None:
    x = Value(2.0)
    y = x * 3
    one, two = copy.deepcopy(y), copy.deepcopy(y)
    assert one.parents[0] is not two.parents[0]
    memo: dict[int, Any] = {}
    assert copy.deepcopy(y, memo) is copy.deepcopy(y, memo)


def test_a_shallow_copy_shares_its_operands() -> None:
    x = Value(2.0, label="x")
    y = x * 3
    y.label = "y"
    y.backward()
    clone = copy.copy(y)
    assert clone is not y
    assert same(clone, y)
    assert clone.parents == y.parents
    clone.backward()
    assert x.grad == 6.0
    leaf = copy.copy(x)
    leaf.data = 7.0
    assert (x.data, leaf.label, leaf.grad) == (2.0, "x", 6.0)
    y.backward()


@every_way
def test_leaves_keep_what_they_hold(way: Callable[[Any], Any]) -> None:
    for v in (Value(-0.0), Value(5e-324, "tiny", "parameter"), Value(0.1, kind="constant"), Value(float("inf"))):
        twin = way(v)
        assert same(twin, v)
        twin.grad = 0.25
        assert same(way(twin), twin)
        twin.data = 4.0
        assert twin.data == 4.0
    assert way(Value(1.0, kind="constant") * Value(2.0)).parents[0].kind == "constant"


@every_way
def test_a_kind_that_was_copied_still_works(way: Callable[[Any], Any]) -> None:
    x = Value(2.0)
    y = way([x, x**2, Value(3.0, kind="constant") * x])
    y[1].backward()
    y[2].backward()
    assert y[0].grad == 7.0
    assert y[2].parents[0].grad == 0.0
    with pytest.raises(ValueError, match="constant"):
        y[2].parents[0].backward()


@every_way
def test_a_stale_graph_stays_stale(way: Callable[[Any], Any]) -> None:
    x, y = Value(2.0, label="x"), Value(3.0, label="y")
    z = x * y
    fresh = way([x, z])
    x.data = 5.0
    x2, z2 = way([x, z])
    with pytest.raises(StaleGraphError, match="'x'"):
        z2.backward()
    (x2 * 2).backward()
    assert x2.grad == 2.0
    fresh[1].backward()
    assert fresh[0].grad == 3.0
    fresh[0].data = 9.0
    with pytest.raises(StaleGraphError, match="'x'"):
        fresh[1].backward()


READER = """
import pickle, sys
import autograd
x, y, z, w = pickle.load(sys.stdin.buffer)
try:
    z.backward()
    raise SystemExit("a stale graph ran backward")
except autograd.StaleGraphError as error:
    assert "'x'" in str(error), error
w.backward()
assert (y.grad, x.grad) == (11.0, 0.0), (y.grad, x.grad)
y.data = 8.0
try:
    w.backward()
    raise SystemExit("a graph changed here is not stale")
except autograd.StaleGraphError as error:
    assert "'y'" in str(error), error
fresh = x * y
fresh.backward()
assert x.grad == 8.0, x.grad
x.data = 1.0
try:
    fresh.backward()
    raise SystemExit("a graph built and changed here is not stale")
except autograd.StaleGraphError:
    pass
print("fine")
"""


def test_staleness_goes_into_another_process() -> None:
    x, y = Value(2.0, label="x"), Value(3.0, label="y")
    w = y * 11
    z = x * y
    for step in range(50):
        x.data = 10.0 + step
    text = pickle.dumps([x, y, z, w])
    done = subprocess.run([sys.executable, "-c", READER], input=text, capture_output=True, cwd=ROOT, check=False)
    assert (done.stdout.decode().strip(), done.stderr.decode()) == ("fine", "")


WRITER = """
import pickle, sys
import autograd
x = autograd.Value(2.0, label="x")
for step in range(1000):
    x.data = step
z = x * 3
sys.stdout.buffer.write(pickle.dumps([x, z]))
"""


def test_a_clock_that_was_ahead_in_another_process() -> None:
    done = subprocess.run([sys.executable, "-c", WRITER], capture_output=True, cwd=ROOT, check=True)
    mine = Value(4.0, label="mine")
    x, z = pickle.loads(done.stdout)
    both = z * mine + x
    both.backward()
    assert (x.grad, mine.grad) == (13.0, 2997.0)
    mine.data = 5.0
    with pytest.raises(StaleGraphError, match="'mine'"):
        both.backward()
    x.data = 1.0
    with pytest.raises(StaleGraphError, match="'x'"):
        z.backward()
    (x * mine).backward()


@every_way
@pytest.mark.parametrize("cls", [Named, Slotted])
def test_subclasses_keep_their_attributes(way: Callable[[Any], Any], cls: type[Any]) -> None:
    note = ["shared"]
    v = cls(2.0, note)
    y = v * 3
    v2, y2, note2 = way([v, y, note])
    assert type(v2) is cls
    assert y2.parents[0] is v2
    attribute = v2.note if cls is Named else v2.extra
    assert attribute == ["shared"]
    assert attribute is note2  # copied with what it stands beside, not left behind
    assert attribute is not note
    if cls is Slotted:
        assert v2.private() == "hidden"
        assert not hasattr(v2, "empty")
    y2.backward()
    assert v2.grad == 3.0
    shallow = copy.copy(v)
    assert type(shallow) is cls
    assert (shallow.note if cls is Named else shallow.extra) is note


@every_way
def test_wide_and_long_graphs(way: Callable[[Any], Any]) -> None:
    xs = [Value(float(i)) for i in range(1000)]
    y = autograd.sum(xs)
    z = xs[0]
    for x in xs:
        z = z.tanh() + x
    twin = way([y, z, xs])
    assert twin[0].parents == tuple(twin[2])
    twin[1].backward()
    z.backward()
    assert [x.grad for x in twin[2]] == [x.grad for x in xs]


def test_each_node_is_written_once() -> None:
    """By either pickler: the one in Python takes a thousand items at a time from what it is handed."""
    y = x = Value(0.5)
    for _ in range(600):
        y = y * x
    file = io.BytesIO()
    pickle._Pickler(file).dump(y)  # type: ignore[attr-defined]
    assert len(file.getvalue()) < 1.1 * len(pickle.dumps(y))


@every_way
def test_a_list_of_all_nodes(way: Callable[[Any], Any]) -> None:
    nodes = [Value(0.5)]
    for _ in range(200):
        nodes.append(nodes[-1] * nodes[0])
    twins = way(nodes)
    assert all(b.parents == (a, twins[0]) for a, b in itertools.pairwise(twins))
    assert [v.data for v in twins] == [v.data for v in nodes]


def test_what_cannot_be_pickled_breaks_nothing() -> None:
    x = Value(1.0)
    bad = Named(2.0, note=lambda: None)
    y = x * bad + x.exp()
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(y)
    bad.note = 1
    twin = pickle.loads(pickle.dumps(y))
    assert len(topological_order(twin)) == len(topological_order(y))
    assert twin.parents[0].parents[1].note == 1


def test_a_list_of_every_node_is_deep_copied_in_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [Value(1.0)]
    for _ in range(2000):
        nodes.append(nodes[-1] * 1.5)
    looked_at = 0
    parents = Value.parents.fget

    def counted(node: Value) -> Any:
        nonlocal looked_at
        looked_at += 1
        return parents(node)

    monkeypatch.setattr(Value, "parents", property(counted))
    copy.deepcopy(nodes)
    assert looked_at <= 6 * len(nodes)


def test_a_pickler_that_failed_half_way_leaves_the_graph_as_it_was() -> None:
    x = Value(1.0)
    deep = x
    for _ in range(5000):
        deep = deep * 1.0001

    class Full(io.RawIOBase):
        written = 0

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.written += len(data)
            if self.written > 20_000:
                raise OSError("the disk is full")
            return len(data)

    with pytest.raises(OSError, match="full"):
        pickle.dump(deep, Full())
    assert pickle.loads(pickle.dumps(deep)).data == deep.data


def test_a_pickler_that_lives_on_does_not_make_others_recurse() -> None:
    deep = Value(1.0)
    for _ in range(5000):
        deep = deep * 1.0001
    first = pickle.Pickler(io.BytesIO())
    first.dump(deep)  # its memo keeps all that it has written
    below = deep.parents[0]
    assert pickle.loads(pickle.dumps(below)).data == below.data


# Graphs of gradients, hooks, models, and size


@every_way
@given(program=programs())
def test_graphs_of_gradients(way: Callable[[Any], Any], program: Program) -> None:
    """The copy of a slope is a graph of its own: its derivatives are the same numbers, and touch nothing."""
    tape = program.values()
    reached = topological_order(tape[-1])
    inputs = [x for x in tape[: len(program.inputs)] if x in set(reached)]
    slopes = gradients(tape[-1], inputs, create_graph=True)
    box = {"inputs": inputs, "out": tape[-1], "slopes": slopes}
    twin = way(box)
    before, after = topological_order(tape[-1], *slopes), topological_order(twin["out"], *twin["slopes"])
    assert len(before) == len(after)
    assert all(same(a, b) and a is not b for a, b in zip(before, after, strict=True))
    for slope, copied in zip(slopes, twin["slopes"], strict=True):
        within = set(topological_order(slope))
        places = [i for i, x in enumerate(inputs) if x in within]
        assert gradients(copied, [twin["inputs"][i] for i in places]) == gradients(slope, [inputs[i] for i in places])
    assert gradients(twin["out"], twin["inputs"]) == [slope.data for slope in slopes]
    assert all(v._grad is None for v in (*before, *after))


@every_way
def test_hooks_stay_with_the_original(way: Callable[[Any], Any]) -> None:
    x = Value(2.0, label="x")
    y = x * x
    seen: list[float] = []
    x.register_hook(lambda g: seen.append(g))  # a lambda, which no pickle holds
    handle = y.register_hook(lambda g: 10 * g)
    x2, y2 = way([x, y])
    y2.backward()
    assert (x2.grad, seen) == (4.0, [])
    assert not {x2, y2} & set(hooks.hooked)
    y.backward()
    assert (x.grad, seen) == (40.0, [40.0])
    x2.register_hook(lambda g: -g)
    y2.backward()
    assert (x2.grad, seen) == (0.0, [40.0])
    handle.remove()


def test_a_subclass_with_hooks_of_its_own_name_keeps_them() -> None:
    v = Named(2.0, note=["n"])
    v.register_hook(print)
    twin = copy.deepcopy(v)
    assert (twin.note, hasattr(twin, "_hooks"), twin in hooks.hooked) == (["n"], False, False)


@every_way
def test_models_keep_sharing_labels_and_kinds(way: Callable[[Any], Any]) -> None:
    model = nn.MLP(2, [3, 1])
    every = list(model.parameters())
    for i, p in enumerate(every):
        p.data, p.grad = i / 8, i / 4
    frozen, *parameters = every
    frozen.kind = "constant"
    box = {"model": model, "frozen": frozen, "first": parameters[0], "loss": (model([0.5, -1.0]) - 1) ** 2}
    twin = way(box)
    twins = list(twin["model"].parameters())
    assert type(twin["model"]) is nn.MLP
    for p, q in zip([frozen, *parameters], [twin["frozen"], *twins], strict=True):
        assert p is not q
        assert same(p, q)
    assert twin["first"] is twins[0]
    assert {twin["frozen"], *twins} <= set(topological_order(twin["loss"]))
    twin["loss"].backward()
    assert [p.grad for p in every] == [i / 4 for i in range(len(every))]
    box["loss"].backward()
    assert [p.grad for p in parameters] == [q.grad for q in twins]
    assert any(p.grad != i / 4 for i, p in enumerate(every))
    assert twin["model"]([1.0, 2.0]).data == model([1.0, 2.0]).data
    twin["frozen"].kind = "parameter"
    assert (len(list(twin["model"].parameters())), len(list(model.parameters()))) == (len(every), len(parameters))


def test_a_row_of_ones_own_is_copied_but_pickled_only_if_registered() -> None:
    cube = custom(lambda x: x**3, lambda out, x: 3 * x * x)
    x = Value(2.0)
    y = cube(x)
    x2, y2 = copy.deepcopy([x, y])
    assert y2.op is cube
    assert gradients(y2, x2) == 12.0
    with pytest.raises(pickle.PicklingError, match=r"register\(op\)"):
        pickle.dumps(y)


@pytest.mark.parametrize("way", [copy.deepcopy, WAYS[f"pickle{pickle.HIGHEST_PROTOCOL}"]], ids=["deepcopy", "pickle"])
def test_a_million_nodes_keep_sharing_and_labels(way: Callable[[Any], Any]) -> None:
    """A chain in which every node is used twice, every thousandth has a label, and leaves are shared throughout."""
    a, b = Value(0.5, label="a"), Value(1e-6, label="b")
    y = a
    middle = None
    for k in range(500_000):
        y = y * y + b if k % 2 else y - b
        if k % 1000 == 0:
            y.label = f"y{k}"
        if k == 1234:
            middle = y
    a2, b2, middle2, y2 = way([a, b, middle, y])
    order, twins = topological_order(y), topological_order(y2)
    assert len(order) == len(twins) > 700_000
    assert all(v.data == w.data and v.label == w.label and v.op is w.op for v, w in zip(order, twins, strict=True))
    assert twins[:2] == [a2, b2]
    assert middle2 in twins
    assert twins.index(middle2) == order.index(middle)  # type: ignore[arg-type]
    assert gradients(y2, [a2, b2]) == gradients(y, [a, b])
    gc.disable()  # freed at once, without recursion
    try:
        del twins, y2, middle2
        assert a2.parents == ()
    finally:
        gc.enable()
