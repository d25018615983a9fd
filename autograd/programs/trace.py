"""Tracing: a function is run once on Values that have no numbers, and the graph that it builds is kept.

Which way it went then, it goes for every sample. So a traced Value refuses what would decide that by a number.
"""

import math
import pickle
import random
from _thread import get_ident
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from autograd import recording
from autograd.node import next_moment, operands_of, walk
from autograd.recording import modes
from autograd.structure import Structure
from autograd.value import Value

_GENERATORS: Sequence[tuple[Callable[[], Any], Callable[[Any], None]]] = (
    (random.getstate, random.setstate),
    (lambda: pickle.dumps(np.random.get_state()), lambda state: np.random.set_state(pickle.loads(state))),
)


class TraceError(TypeError):
    """A traced function asked a Value for its number, which it has only when the program runs."""


def _refuse(what: str, fix: str) -> Any:
    def refuse(self: Value, *others: Any) -> Any:
        raise TraceError(
            f"{what} at {recording.source_line()}: under jit a Value stands for every sample's number, and what is "
            f"decided by one would hold for all. {fix}"
        )

    return refuse


_CHOOSE = "Wrong: {}; right: autograd.where(autograd.greater(x, 0), a, b), or autograd.maximum(x, y)"


_DIFFERENTIATE = "Wrong: x.grad, x.backward() within f; right: autograd.gradients(y, x); or program.value_and_grad"


class Traced(Value):
    """A Value whose number is not known yet."""

    __slots__ = ()
    _known = False
    __lt__ = _refuse("a traced Value was compared", _CHOOSE.format("a if x < 0 else b"))
    __le__ = _refuse("a traced Value was compared", _CHOOSE.format("a if x <= 0 else b"))
    __gt__ = _refuse("a traced Value was compared", _CHOOSE.format("a if x > 0 else b"))
    __ge__ = _refuse("a traced Value was compared", _CHOOSE.format("a if x >= 0 else b"))
    __bool__ = _refuse("the truth of a traced Value was asked for", _CHOOSE.format("a if x else b"))
    __float__ = _refuse("float() of a traced Value was asked for", "Wrong: math.exp(x); right: autograd.exp(x)")
    __int__ = __index__ = __round__ = __trunc__ = _refuse(
        "a whole number was made of a traced Value", "Wrong: table[int(x)]; right: autograd.where, for each entry"
    )
    __hash__ = Value.__hash__
    data = property(
        _refuse("the data of a traced Value was asked for", "Wrong: x.data * w; right: x * w"),
        _refuse("the data of a traced Value was set", "Wrong: x.data = 0.0; right: x = 0.0"),
    )
    grad = property(
        _refuse("the grad of a traced Value was asked for", _DIFFERENTIATE),
        _refuse("the grad of a traced Value was set", _DIFFERENTIATE),
    )
    backward = _refuse("a traced Value was passed back from", _DIFFERENTIATE)
    register_hook = _refuse("a hook of a traced Value was asked for", "Hooks of parameters are called")
    local_derivatives = property(_refuse("the local derivatives of a traced Value were asked for", _DIFFERENTIATE))
    __copy__ = __deepcopy__ = __reduce_ex__ = _refuse("a traced Value was copied", "Wrong: copy(x); right: x")

    def __eq__(self, other: object) -> bool:
        if other is self:
            return True
        fix = "Wrong: a if x == 0 else b; right: autograd.where(autograd.sign(x), b, a); of nodes: x is y"
        return _refuse("a traced Value was compared", fix)(self)  # type: ignore[no-any-return]

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __repr__(self) -> str:
        return f"Traced({self.label or (self.op.name if self.op else 'input')})"

    def __format__(self, spec: str) -> str:
        return repr(self)


@contextmanager
def tracing(since: int) -> Iterator[list[Value]]:
    """Within it, in this thread, operations on what is not known make traced Values: inputs, and leaves from before.

    It gives the list to which all that operations make come. What is made of plain numbers alone stays a Value."""
    made: list[Value] = []
    known: set[Value] = set()
    thread = get_ident()

    def keep(node: Value) -> Value:
        if node._rule is None:
            return node
        made.append(node)
        if type(node._x) is Traced or type(node._y) is Traced:  # most are
            node.__class__ = Traced
        else:
            for x in operands_of(node):
                if type(x) is Traced or (x not in known if x._rule is not None else x._stamp < since):
                    node.__class__ = Traced
                    break
            else:
                known.add(node)
        if modes[thread].graph:
            return node
        with recording.record_graph():
            return node.detach()

    with recording.seeing(keep):
        yield made


class Trace:
    """What a function was found to do: its inputs and what it returned, a structure of Values and numbers.

    made  the results of operations, in the order in which they came
    since the time at which it began: leaves that are older were closed over
    drew  whether it drew random numbers from Python's or NumPy's own generator, which will give them once more
    """

    def __init__(self, f: Callable[..., Any], shapes: Sequence[tuple[Any, ...]]) -> None:
        self.since = next_moment()
        self.inputs: list[Value] = []
        args = [self._input(shape, name) for shape, name in zip(shapes, _names(f, len(shapes)), strict=True)]
        states = [state() for state, _ in _GENERATORS]
        with tracing(self.since) as self.made:
            self.returned = f(*args)
        self.drew = states != [state() for state, _ in _GENERATORS]
        for x in (*self.inputs, *self.made):
            if type(x) is Traced:
                x._float = math.nan  # whoever kept it finds no number there
        if self.drew:
            for (_, set_state), state in zip(_GENERATORS, states, strict=True):
                set_state(state)

    def is_like(self, other: "Trace", leaves: Collection[Value]) -> bool:
        """Whether the same was done to the same Values and numbers, and none drawn, by another trace just made.

        leaves are those that this one closed over: their numbers may have been set since."""
        return not other.drew and self._described(0, leaves) == other._described(other.since, ())

    def _described(self, since: int, leaves: Collection[Value]) -> list[Any]:
        """What was done to come to the results, nodes being named by their places, and by their numbers those leaves
        that are as new as that and not among these."""
        results = Structure(self.returned, "the result").numbers
        found = walk([x for x in results if isinstance(x, Value)])
        reached = {*found.inner}
        made = [x for x in self.made if x in reached]
        new = [x for x in found.leaves if x._stamp >= since and x not in leaves]
        names: dict[Value, Any] = {x: repr(x._float) for x in new}
        names |= {x: k for k, x in enumerate([*self.inputs, *made])}
        operands = [(x.op, *operands_of(x)) for x in made]
        return [[*map(names.get, xs, xs)] for xs in [*operands, results]]

    def _input(self, shape: tuple[Any, ...], name: str) -> Any:
        if shape:
            parts = [shape[1:]] * shape[0] if type(shape[0]) is int else shape
            return [self._input(part, f"{name}[{i}]") for i, part in enumerate(parts)]
        x = Traced(0.5, name)
        self.inputs.append(x)
        return x


def _names(f: Callable[..., Any], count: int) -> list[str]:
    code = getattr(f, "__code__", None)
    names = list(code.co_varnames[: code.co_argcount]) if code else []
    return [names[i] if i < len(names) else f"argument[{i}]" for i in range(count)]
