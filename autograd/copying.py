"""Copies and pickles of graphs: sharing, labels and gradients kept, however deep the graph.

Python's own way recurses once per node. Here a graph is written as a list of its nodes, operands
before results, so that whatever a node refers to is already written when its turn comes.
"""

from collections.abc import Sequence
from copy import deepcopy
from copyreg import _slotnames  # type: ignore[attr-defined]
from itertools import chain
from threading import local
from typing import Any
from weakref import WeakSet

from . import value
from .graph import topological_order
from .ops import Op
from .value import KINDS, Value

_CORE = frozenset(Value.__slots__)


def copy_node(node: Value, parents: Sequence[Value]) -> Value:
    """A copy of one node with the parents given."""
    return _rebuild(None, *(*_fields(node), tuple(parents)))


def deepcopy_graph(root: Value, memo: dict[int, Any]) -> Value:
    """copy.deepcopy's protocol, node by node."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) not in memo:
            ahead = [p for p in node.parents if id(p) not in memo]
            if ahead:
                waiting += [node, *reversed(ahead)]
                continue
            memo[id(node)] = twin = copy_node(node, [memo[id(p)] for p in node.parents])
            for name, attribute in _own_attributes(node).items():
                setattr(twin, name, deepcopy(attribute, memo))
    return memo[id(root)]  # type: ignore[no-any-return]


def reduce_graph(node: Value) -> tuple[Any, ...]:
    """pickle's protocol: how to rebuild the node, once the nodes it depends on are written."""
    alone = node.op is None or any([node in operands.nodes for operands in _being_written.each])
    return _rebuild, (None if alone else _Operands(node), *_fields(node), node.parents)


class _BeingWritten(local):
    """The nodes that this thread's pickler is handed operands first, so that each goes alone."""

    def __init__(self) -> None:
        self.each: WeakSet[_Operands] = WeakSet()  # weak: a pickler that fails lets go of them


_being_written = _BeingWritten()


class _Operands:
    """Pickles as the list of all that a node depends on, operands before results."""

    def __init__(self, node: Value) -> None:
        self.order = topological_order(node)[:-1]
        self.nodes = set(self.order)

    def __reduce__(self) -> tuple[Any, ...]:
        _being_written.each.add(self)
        return list, (), None, chain(self.order, [_End(self)])


class _End:
    """Stands behind the last of the nodes: once it is written, they all are."""

    def __init__(self, operands: _Operands) -> None:
        self.operands = operands

    def __reduce__(self) -> tuple[Any, ...]:
        _being_written.each.discard(self.operands)
        return bool, ()


def _fields(node: Value) -> tuple[Any, ...]:
    return type(node), node._kind, node._float, node._grad, node.label, node.op, node._stamp, _own_attributes(node)


def _own_attributes(node: Value) -> dict[str, Any]:
    """What a subclass of Value adds."""
    if type(node) is Value:
        return {}
    slots = [name for name in _slotnames(type(node)) if name not in _CORE and hasattr(node, name)]
    return {name: getattr(node, name) for name in slots} | getattr(node, "__dict__", {})


def _rebuild(
    before: object,
    cls: type[Value],
    kind: str,
    data: float,
    grad: float | None,
    label: str,
    op: Op | None,
    stamp: int,
    attributes: dict[str, Any],
    parents: tuple[Value, ...],
) -> Value:
    node = object.__new__(cls)
    node._float, node._grad, node.label, node.op, node._stamp, node._mark = data, grad, label, op, stamp, 0
    node._kind = KINDS[KINDS.index(kind)]
    if op is None or op.variadic or len(parents) > 2:
        node._x = node._y = None
        node._xs = parents
    else:
        node._x, node._y = parents if len(parents) == 2 else (parents[0], None)
    for name, attribute in attributes.items():
        setattr(node, name, attribute)
    if stamp > value._now:  # it comes from another process, whose clock was ahead
        with value._clock:
            value._now = max(value._now, stamp)
    return node
