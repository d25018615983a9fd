"""Whatever stands beside a Value: a documented float or a documented error, and after an error nothing has changed.

Each operand of the pools here states what the documentation promises of it, as data: the float that it stands for,
or the error. No promise is computed by the code under test.
"""

import collections
import datetime
import enum
import itertools
import math
import operator
import re
import unittest.mock
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction
from math import inf, nan
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from strategies import SPECIALS, alike, arity

import autograd
from autograd import OPS, Op, Value
from autograd.recording import modes

# NumPy warns where it sees a nan come up.
pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")


# Numbers in disguise, and what they stand for


class Metres(float):
    """A subclass that adds nothing."""


class Stubborn(float):
    """A subclass with operators of its own."""

    def __add__(self, other: object) -> Any:
        return "stubborn"

    __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __add__
    __pow__ = __rpow__ = __lt__ = __le__ = __gt__ = __ge__ = __add__  # type: ignore[assignment]


class Doubled(float):
    """A subclass that is another number when asked."""

    def __float__(self) -> float:
        return 2 * float.__float__(self)


class Count(int):
    def __add__(self, other: object) -> Any:
        return NotImplemented

    __radd__ = __mul__ = __rmul__ = __add__


class Unknown(int):
    def __float__(self) -> float:
        return nan


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 3


def _failing(base: type, answer: Callable[[], Any], name: str) -> Any:
    return type(name, (base,), {"__float__": lambda self: answer()})(1)


def _raise(error: BaseException) -> Any:
    raise error


def _again() -> float:
    return _again()


class OnlyFloat:
    """It has __float__, but does not say that it is a number."""

    def __float__(self) -> float:
        return 2.0


class Record(dict[str, Any]):
    """A dict of attributes that fails as a dict does."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


class Shapely:
    """An object whose shape is not that of an array."""

    def shape(self) -> str:
        return "round"

    dtype = None


NUMBERS: list[tuple[Any, float]] = [
    *[(x, x) for x in (inf, -inf, nan, 0.0, -0.0, 5e-324, -1e-310, 1e308, -1e308, 0.1)],
    *[(True, 1.0), (False, 0.0), (3, 3.0), (-(10**308), -1e308), (2**53 + 1, 9007199254740992.0), (10**22 + 1, 1e22)],
    *[(Metres(2.5), 2.5), (Metres(nan), nan), (Doubled(2.5), 5.0), (Count(2), 2.0), (Unknown(7), nan)],
    *[(Fraction(1, 3), 1 / 3), (Fraction(1, 10**400), 0.0), (Fraction(10**400 + 1, 10**400), 1.0), (Level.HIGH, 3.0)],
    *[(np.float64(0.1), 0.1), (np.float32(0.5), 0.5), (np.float16(nan), nan), (np.longdouble(2), 2.0)],
    *[(np.longdouble("1e4000"), inf), (np.int64(-3), -3.0), (np.uint64(2**64 - 1), 2.0**64), (np.bool_(True), 1.0)],
    *[(np.array(0.5), 0.5), (np.array(-2), -2.0), (np.array(True), 1.0)],
]

REFUSED: list[tuple[Any, type[Exception]]] = [
    *[(x, OverflowError) for x in (10**400, -(10**400), 10**5000, Fraction(10**400), Fraction(-(10**400), 3))],
    *[(x, TypeError) for x in ("", "3", "a" * 10_000, b"3", bytearray(b"3"), memoryview(b"3"), None, Ellipsis)],
    *[(x, TypeError) for x in (3j, complex(nan, inf), np.complex128(3), np.complex64(3j))],
    *[(x, TypeError) for x in ([], [1.0], (), (1.0,), {}, {1: 2}, set(), {1}, frozenset({1}), range(2), iter([1.0]))],
    *[(x, TypeError) for x in (collections.Counter("a"), collections.deque([1]), Record(a=1), slice(1), [[[[[]]]]])],
    *[(x, TypeError) for x in (Decimal("0.1"), Decimal("nan"), Decimal("1e400"), Colour.RED, OnlyFloat(), object())],
    *[(x, TypeError) for x in (object, len, math, NotImplemented, KeyError("x"), SimpleNamespace(dtype=3, shape=2))],
    *[(x, TypeError) for x in (Shapely(), unittest.mock.Mock(), datetime.timedelta(1), datetime.date(2020, 1, 1))],
    *[(x, TypeError) for x in (np.timedelta64(3), np.timedelta64(3, "s"), np.timedelta64("NaT"))],
    *[(x, TypeError) for x in (np.str_("3"), np.bytes_(b"3"), np.void(b"3"), np.zeros(1, [("a", float)])[0])],
    *[(x, TypeError) for x in (np.datetime64("2020"), np.dtype(float), np.exp)],
    *[
        (_failing(base, answer, name), TypeError)
        for base in (float, int)
        for name, answer in {
            "Raises": lambda: _raise(RuntimeError("no")),
            "RaisesAttributeError": lambda: _raise(AttributeError("no")),
            "RaisesValueError": lambda: _raise(ValueError("no")),
            "ReturnsText": lambda: "2.0",
            "ReturnsNone": lambda: None,
            "ReturnsInt": lambda: 2,
            "Recurses": _again,
        }.items()
    ],
]

# Beside these, NumPy goes over the elements, or says itself that it cannot.
ARRAYS: list[tuple[Any, type[Exception] | None]] = [
    *[(x, None) for x in (np.array([1.0, nan]), np.zeros((2, 0)), np.array([[True]]), np.array([1, 2], np.int8))],
    *[(x, None) for x in (np.array([], dtype=object), np.array([Value(1.0), 2.0, Fraction(1, 3)], dtype=object))],
    *[(x, TypeError) for x in (np.array(["a"]), np.array([1j]), np.array([None]), np.array(["2020"], "M8[D]"))],
    *[(x, TypeError) for x in (np.array([Decimal(1)]), np.array([3], "m8[s]"), np.zeros(1, [("a", float)]))],
    *[(x, TypeError) for x in (np.array("3"), np.array(3j), np.array(3, "m8[s]"), np.array(None))],
    (np.array([1, 10**400], dtype=object), OverflowError),
]


def shown(x: object) -> str:
    """The id of a case, the same in every process: its type and, where that names no address, its text."""
    if type(x) is int:
        return f"int-{x.bit_length()}-bits"
    text = repr(x)
    return type(x).__name__ + ("" if text.startswith("<") else f"-{text:.30}")


# The graph beside which all this stands, and its state


class Graph:
    """x and y, a result, a constant, and gradients from an earlier pass."""

    def __init__(self) -> None:
        self.x, self.y = Value(0.5, label="x"), Value(0.25, label="y", kind="parameter")
        self.out = autograd.dot([self.x, 2.0], [self.y, self.x]) + self.x.tanh() ** 2
        self.out.label = "out"
        self.out.backward(2.0)
        self.nodes = autograd.topological_order(self.out)

    def state(self) -> Any:
        """All there is to know: of each node, of the table, of Value itself, of what is being recorded."""
        nodes = [
            (v.data.hex(), v.grad.hex(), v.label, v.kind, v.op, [*map(id, v.parents)], v._stamp, v._mark, repr(v))
            for v in self.nodes
        ]
        return nodes, list(OPS.items()), sorted(vars(Value)), dict(modes)

    def gradients(self) -> tuple[float, float]:
        self.x.grad = self.y.grad = 0.0
        self.out.backward()
        return self.x.grad, self.y.grad


@contextmanager
def unchanged(graph: Graph) -> Iterator[None]:
    before = graph.state()
    yield
    assert graph.state() == before


FIX = re.compile(r"right: .*\S|scale it, or write math\.inf|forgets its `return`")
BARE = re.compile(
    "unsupported operand|positional argument|has no attribute|not iterable|ambiguous|recursion depth exceeded$"
)


def refused(call: Callable[[], Any], expected: type[Exception], x: object, graph: Graph) -> None:
    """The call raises the documented error, which names the type and the fix, and leaves all as it was."""
    with unchanged(graph), pytest.raises(expected) as caught:
        call()
    said = str(caught.value)
    assert caught.type is expected, said
    assert type(x).__name__ in said, said
    assert FIX.search(said), said
    assert not BARE.search(said), said
    assert " object at 0x" not in said, said
    assert len(said) < 600


ARITHMETIC = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "pow": operator.pow,
}
ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
ABSENT = [operator.floordiv, operator.mod, divmod, operator.matmul, operator.and_, operator.or_, operator.xor]
ABSENT += [operator.lshift, operator.rshift]


def places(op: Op) -> range:
    """The slots of a row's operands; of a variadic row, for two values or pairs."""
    return range(arity(op, 2))


def apply(op: Op, operands: list[Any]) -> Any:
    """The row called as a person calls it."""
    if op.name == "dot":
        return op(operands[:2], operands[2:])
    if op.name == "affine":
        return op(operands[:2], operands[2:4], operands[4])
    return op(operands) if op.variadic else op(*operands)


NEIGHBOURS = (0.5, 0.25, 0.75, 2.0, 1.25)


def calls(x: Any, graph: Graph) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Everything that takes a number: operators in both orders, rows with x in each place, constructor, setters."""
    v = graph.x
    for name, f in (ARITHMETIC | ORDER).items():
        yield f"v {name} x", lambda f=f: f(v, x)
        if not (name == "pow" and isinstance(x, Fraction)):  # which takes itself for a float first
            yield f"x {name} v", lambda f=f: f(x, v)
    for op in OPS.values():
        for slot in places(op):
            others: list[Any] = [graph.x, *NEIGHBOURS[1:]][: len(places(op)) - 1]
            numbers: list[Any] = list(NEIGHBOURS[: len(places(op)) - 1])
            for beside in (others, numbers):
                yield (
                    f"{op.name}, slot {slot}",
                    lambda op=op, slot=slot, beside=beside: apply(op, [*beside[:slot], x, *beside[slot:]]),
                )
    yield "Value", lambda: Value(x)
    yield "data", lambda: setattr(graph.x, "data", x)
    yield "grad", lambda: setattr(graph.x, "grad", x)
    yield "grad of a result", lambda: setattr(graph.out, "grad", x)
    yield "backward", lambda: graph.out.backward(x)
    yield "clamp", lambda: v.clamp(x, max=x)
    yield "slope", lambda: v.leaky_relu(negative_slope=x)
    yield "mean", lambda: autograd.mean([v, x])
    yield "softmax", lambda: autograd.softmax([v, x])
    yield "sum", lambda: sum([v, x])


@pytest.mark.parametrize(("x", "expected"), REFUSED, ids=shown)
def test_what_is_no_real_number_is_refused_everywhere(x: Any, expected: type[Exception]) -> None:
    graph = Graph()
    for _, call in calls(x, graph):
        refused(call, expected, x, graph)
    assert graph.gradients() == Graph().gradients()


@pytest.mark.parametrize(("x", "expected"), [*NUMBERS, *REFUSED], ids=shown)
def test_results_take_no_data(x: Any, expected: object) -> None:
    graph = Graph()
    with unchanged(graph), pytest.raises(ValueError, match=r"result of add.*leaf.*right"):
        graph.out.data = x


@pytest.mark.parametrize(("x", "number"), NUMBERS, ids=shown)
def test_numbers_in_disguise_are_the_float_they_stand_for(x: Any, number: float) -> None:
    graph = Graph()
    v = graph.x
    with unchanged(graph):
        for op in OPS.values():
            for slot in places(op):
                numbers = list(NEIGHBOURS[: len(places(op)) - 1])
                beside = [Value(n) for n in numbers]
                expected = op.evaluate(*numbers[:slot], number, *numbers[slot:])
                assert alike(apply(op, [*numbers[:slot], x, *numbers[slot:]]), expected), (op, slot)
                node = apply(op, [*beside[:slot], x, *beside[slot:]])
                if not beside:
                    assert type(node) is float
                    continue
                assert alike(node.data, expected), (op, slot)
                leaf = node.parents[slot]
                assert alike(leaf.data, number)
                assert (type(leaf.data), leaf.kind, node.op) == (float, "constant", op)
        for name, f in ARITHMETIC.items():
            for node, slot in ((f(v, x), 1), (f(x, v), 0)):
                pair = (v.data, number) if slot else (number, v.data)
                assert type(node) is Value
                assert alike(node.data, OPS[name].evaluate(*pair)), (name, slot)
                assert alike(node.parents[slot].data, number)
        for f in ORDER.values():
            assert f(v, x) is f(v.data, number)
            assert bool(f(x, v)) is f(number, v.data)
        assert alike(Value(x).data, number)
    graph.x.data = x
    graph.y.grad = x
    assert alike(graph.x.data, number)
    assert alike(graph.y.grad, number)
    out = graph.x + graph.y
    out.backward(x)
    assert alike(out.grad, number)


@pytest.mark.parametrize("x", [Stubborn(2.0), unittest.mock.MagicMock()], ids=["float", "mock"])
def test_operators_of_its_own_come_first_only_on_the_left(x: Any) -> None:
    """Python asks the left operand first, and a Value does not stand in its way."""
    graph = Graph()
    with unchanged(graph):
        for f in ARITHMETIC.values():
            assert not isinstance(f(x, graph.x), Value)
    if isinstance(x, float):
        for name, f in ARITHMETIC.items():
            assert f(graph.x, x).data == OPS[name].evaluate(0.5, 2.0)
            assert apply(OPS[name], [x, graph.x]).data == OPS[name].evaluate(2.0, 0.5)
    else:
        for f in ARITHMETIC.values():
            refused(lambda f=f: f(graph.x, x), TypeError, x, graph)


@pytest.mark.parametrize(("x", "expected"), ARRAYS, ids=lambda x: shown(x) if isinstance(x, np.ndarray) else str(x))
def test_arrays_with_axes(x: Any, expected: type[Exception] | None) -> None:
    """Operators go over the elements; what takes one number takes no array, however few its elements."""
    graph = Graph()
    v = graph.x
    for name, f in (ARITHMETIC | ORDER).items():
        for left in (True, False):
            call = lambda f=f, left=left: f(x, v) if left else f(v, x)  # noqa: E731
            with unchanged(graph):
                if expected is not None:
                    with pytest.raises(expected):  # the element's error, or NumPy's own, which is a TypeError too
                        call()
                    continue
                result = call()
            assert isinstance(result, np.ndarray)
            assert result.shape == x.shape
            if name in ARITHMETIC:
                assert all(isinstance(element, Value) for element in result.flat)
            else:
                assert result.dtype == bool
    for name, call in calls(x, graph):
        alone = name in ("Value", "data", "grad", "grad of a result", "backward", "clamp", "slope")
        if alone or "slot" in name:
            refused(call, TypeError, x, graph)


@pytest.mark.parametrize("f", ABSENT, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "x", [Value(2.0), 2, 2.0, True, np.float64(2), Fraction(2), "2", None, [2], {2}, Decimal(2), object()], ids=shown
)
def test_operators_that_values_lack(f: Callable[..., Any], x: Any) -> None:
    graph = Graph()
    for call in (lambda: f(graph.x, x), lambda: f(x, graph.x)):
        if isinstance(x, str) and f is operator.mod:
            continue  # text is formatted
        with unchanged(graph), pytest.raises(TypeError, match=r"a Value is a real number.*wrong: .+; right: .+"):
            call()


def test_no_complement() -> None:
    with pytest.raises(TypeError, match=r"wrong: ~v.*right: -v"):
        ~Value(1.0)  # type: ignore[operator]


def test_the_fix_for_an_absent_operator_works() -> None:
    x, y = Value(7.5), Value(-2.0)
    assert autograd.floor(x / y).data == 7.5 // -2.0
    remainder = x - y * autograd.floor(x / y)
    assert remainder.data == 7.5 % -2.0
    remainder.backward()
    assert (x.grad, y.grad) == (1.0, 4.0)
    assert autograd.dot([x], [y]).data == -15.0
    assert (x * 2**3).data == 60.0


# Labels and kinds

NAMES: list[Any] = [None, 3, 2.0, b"x", ["x"], {}, object(), Value(1.0), np.array(["x"]), np.array([1, 2]), 10**5000]
NAMES += [Colour.RED, OnlyFloat(), Record(), nan]


@pytest.mark.parametrize("x", NAMES, ids=shown)
def test_labels_and_kinds_are_text(x: Any) -> None:
    graph = Graph()
    for call in (
        lambda: setattr(graph.x, "label", x),
        lambda: setattr(graph.out, "label", x),
        lambda: Value(1.0, label=x),
        lambda: Value(1.0, x),
    ):
        refused(call, TypeError, x, graph)
    for call in (lambda: setattr(graph.x, "kind", x), lambda: Value(1.0, kind=x)):
        with unchanged(graph), pytest.raises(ValueError, match=rf"'variable', 'parameter'.*got {type(x).__name__}"):
            call()


def test_a_kind_is_told_by_its_letters() -> None:
    """Not by the string object: inside, kinds are compared with `is`."""
    x, c = Value(2.0), Value(3.0, kind="".join(["con", "stant"]))
    (x * c).backward()
    assert (x.grad, c.grad, repr(c)) == (3.0, 0.0, "Value(3.0, kind='constant')")
    with pytest.raises(ValueError, match="constant"):
        c.register_hook(print)


def test_text_that_is_no_kind() -> None:
    graph = Graph()
    for text in ("", "result", "Variable", "parameter ", "a" * 100):
        with unchanged(graph), pytest.raises(ValueError, match=f"'constant'; got '{text}'"):
            graph.x.kind = text
    for kind in ("variable", "parameter", "constant"):
        with unchanged(graph), pytest.raises(ValueError, match="a leaf's kind"):
            graph.out.kind = kind


@given(label=st.text())
def test_any_text_is_a_label(label: str) -> None:
    v = Value(1.0)
    v.label = label
    assert (v.label, Value(1.0, label).label) == (label, label)
    assert repr(label) in repr(v) or not label


# Comparing for equality is identity, whatever stands there


@pytest.mark.parametrize("x", [x for x, _ in itertools.chain(NUMBERS, REFUSED)], ids=shown)
def test_equality_never_fails(x: Any) -> None:
    v = Value(0.5)
    assert bool(v == x) is False
    assert bool(v != x) is True
    assert bool(x == v) is False
    assert v not in [x]


# The fuzz run

finite = st.floats(allow_nan=False, allow_infinity=False)
numbers = st.one_of(
    st.floats(),
    st.sampled_from(SPECIALS),
    st.integers(-(2**1023), 2**1023),
    st.booleans(),
    st.floats().map(Metres),
    st.floats().map(np.float64),
    st.floats(width=32).map(np.float32),
    st.floats().map(np.array),
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
    st.fractions(min_value=-(10**300), max_value=10**300),
).map(lambda x: (x, float(x)))
beyond = st.integers(min_value=2**1024).flatmap(lambda n: st.sampled_from([n, -n, Fraction(n)]))
things = st.one_of(
    st.text(),
    st.binary(),
    st.none(),
    st.complex_numbers(),
    st.decimals(),
    st.dates(),
    st.timedeltas(),
    st.uuids(),
    st.lists(st.floats(), max_size=3),
    st.dictionaries(st.text(max_size=2), st.floats(), max_size=2),
    st.sets(st.integers(), max_size=3),
    st.recursive(st.floats().map(lambda x: (x,)), lambda inner: st.lists(inner, max_size=2), max_leaves=4),
    st.from_type(type),
    st.functions(),
)
operands = st.one_of(
    numbers,
    st.integers(0, len(NUMBERS) - 1).map(NUMBERS.__getitem__),
    st.tuples(beyond, st.just(OverflowError)),
    st.tuples(things, st.just(TypeError)),
    st.integers(0, len(REFUSED) - 1).map(REFUSED.__getitem__),
)


@given(data=st.data())
@settings(max_examples=400)
def test_a_long_session_with_hostile_operands(data: st.DataObject) -> None:
    """Calls in any sequence on one graph: each gives a float or its error, and the graph still gives its gradients."""
    graph = Graph()
    for x, expected in data.draw(st.lists(operands, min_size=1, max_size=4)):
        choices = list(calls(x, graph))
        name, call = choices[data.draw(st.integers(0, len(choices) - 1))]
        if isinstance(expected, type):
            refused(call, expected, x, graph)
            continue
        if name in ("data", "grad", "grad of a result", "backward"):
            other = Graph()
            dict(calls(x, other))[name]()  # takes it
            continue
        with unchanged(graph):
            result = call()
        for out in result if isinstance(result, list) else [result]:
            assert isinstance(out, (Value, float, bool, np.bool_))
            if isinstance(out, Value):
                assert type(out.data) is float
    assert graph.gradients() == Graph().gradients()


@given(x=numbers, y=numbers, name=st.sampled_from(sorted(ARITHMETIC)))
@settings(max_examples=200)
def test_any_two_numbers_follow_ieee_754(x: tuple[Any, float], y: tuple[Any, float], name: str) -> None:
    """The same float, whatever either operand comes as, and gradients that are floats."""
    f, expected = ARITHMETIC[name], OPS[name].evaluate(x[1], y[1])
    left, right = Value(x[0]), Value(y[0])
    for node in (f(left, right), f(left, y[0]), f(x[0], right)):
        assert alike(node.data, expected)
        node.backward()
    assert type(left.grad) is type(right.grad) is float


def test_a_masked_element_is_nan_as_numpy_makes_it() -> None:
    with pytest.warns(UserWarning, match="masked element to nan"):
        node = Value(2.0) * np.ma.masked
    assert math.isnan(node.data)
    assert autograd.exp(np.ma.array(0.0)) == 1.0


def test_masked_arrays_stay_in_the_graph() -> None:
    v, half = Value(2.0), np.ma.array([1.0, 2.0], mask=[False, True])
    for product in (v * half, half * v):
        assert v in product[0].parents
        assert product[1] is np.ma.masked


def test_a_time_is_divided_by_its_unit() -> None:
    """As the error says."""
    v, dt = Value(2.0), np.timedelta64(1500, "ms")
    with pytest.raises(
        TypeError, match=r"timedelta64: a time has a unit.*right: v \* \(dt / np.timedelta64\(1, 's'\)\)"
    ):
        v * dt
    assert (v * (dt / np.timedelta64(1, "s"))).data == 3.0


def test_the_error_of_a_float_method_is_told() -> None:
    broken = _failing(float, lambda: _raise(RuntimeError("the sensor is off")), "Sensor")
    with pytest.raises(TypeError, match=r"got Sensor.*the sensor is off.*right: a Sensor\.__float__") as caught:
        Value(1.0) + broken
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_what_stops_a_program_is_let_through() -> None:
    stopped = _failing(float, lambda: _raise(KeyboardInterrupt()), "Stopped")
    graph = Graph()
    with unchanged(graph), pytest.raises(KeyboardInterrupt):
        graph.x + stopped
