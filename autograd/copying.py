"""Copies and pickles of graphs: sharing, labels and gradients kept, however deep the graph.

Python's own way recurses once per node. Here a graph is copied operands first, so that whatever a node
refers to is there when its turn comes; and pickled as a whole, in one array for each thing that nodes
hold, of which a node is a place.
"""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from copy import deepcopy
from copyreg import _slotnames  # type: ignore[attr-defined]
from itertools import count, islice
from threading import get_ident, local
from typing import Any
from weakref import ref

from .collector import gc_paused
from .node import A_CONSTANT, Columns, copy_into, rebuilt, shared, ticking, twin, unknown
from .ops import Op
from .value import Value

_CORE = frozenset(_slotnames(Value))


def copy_node(node: Value) -> Value:
    """copy.copy's protocol: another node, made of the same operands."""
    clone = twin(node, list(node.parents))
    for name, attribute in _own_attributes(node).items():
        setattr(clone, name, attribute)
    return clone  # type: ignore[no-any-return]


@gc_paused()
def deepcopy_graph(root: Value, memo: dict[int, Any]) -> Value:
    """copy.deepcopy's protocol."""
    order = unknown(root, memo)
    copy_into(memo, order)
    for node in order:
        if type(node) is not Value:
            for name, attribute in _own_attributes(node).items():
                setattr(memo[id(node)], name, deepcopy(attribute, memo))
    return memo[id(root)]  # type: ignore[no-any-return]


def reduce_graph(node: Value) -> tuple[Any, ...]:
    """pickle's protocol: a leaf goes alone, another node as a place in a graph, written before the first of them.

    Constants, of which there may be as many as nodes, go with the graph; a subclass's leaves, too, whose attributes
    may be nodes of that graph.
    """
    if _stands_alone(node):
        return _leaf, (node._kind, node._float, node._grad, node._stamp, node._label)
    being_written = _of_thread.being_written
    with being_written:
        place = being_written.places.get(id(node))
        graph = _Graph(node, being_written) if place is None else being_written.graph_of(place)
        return _node_at, (graph, being_written.places[id(node)] - graph.first)


def _stands_alone(node: Value) -> bool:
    return node._rule is None and node._kind != A_CONSTANT and type(node) is Value


def _leaf(kind: int, number: float, cotangent: float | None, stamp: int, label: str) -> Value:
    _not_before(stamp)
    return rebuilt(Value, None, [], kind, number, cotangent, stamp, label)  # type: ignore[no-any-return]


def _not_before(stamp: int) -> None:
    """Set the time to a stamp of another process, whose clock may have been ahead."""
    with ticking:
        shared.now = max(shared.now, stamp)


def _node_at(nodes: Sequence[Value], place: int) -> Value:
    return nodes[place]


class _BeingWritten:
    """The graphs that a thread's picklers hold, so that no node is written twice.

    places   of their nodes, by id: one after the other through all graphs
    graphs   the graphs by their first places; weak, so that they go when the pickler does
    firsts   the first places, in ascending order, of all graphs there have been since there was none
    gone     the nodes, by their first places, of graphs that went while others were looked at, or in another thread
    """

    def __init__(self) -> None:
        self.places: dict[int, int] = {}
        self.graphs: dict[int, ref[_Graph]] = {}
        self.firsts: list[int] = []
        self.next = 0
        self.gone: dict[int, list[Value]] = {}
        self.thread, self.open = get_ident(), 0

    def __enter__(self) -> None:
        if not self.open:
            self.forget()
        self.open += 1

    def __exit__(self, *error: object) -> None:
        self.open -= 1
        if not self.open:
            self.forget()

    def forget(self) -> None:
        """Take out the graphs that are gone."""
        while self.gone:
            first, nodes = self.gone.popitem()
            del self.graphs[first]
            if self.graphs:
                for node in nodes:
                    del self.places[id(node)]
            else:
                self.places.clear()
                self.firsts.clear()

    def graph_of(self, place: int) -> "_Graph":
        graph = self.graphs[self.firsts[bisect_right(self.firsts, place) - 1]]()
        assert graph is not None
        return graph


class _OfThread(local):
    def __init__(self) -> None:
        self.being_written = _BeingWritten()


_of_thread = _OfThread()


class _Graph:
    """What a node depends on and no graph before it has. Pickles as arrays, and comes back as the list of its nodes."""

    def __init__(self, root: Value, among: _BeingWritten) -> None:
        self.nodes: list[Value] = [v for v in unknown(root, among.places) if not _stands_alone(v)]
        self.among, self.first = among, among.next
        among.next += len(self.nodes)
        among.firsts.append(self.first)
        among.graphs[self.first] = ref(self)
        among.places.update(zip(map(id, self.nodes), count(self.first), strict=False))

    def __del__(self) -> None:  # the pickler is done, or has failed
        if not hasattr(self, "first"):
            return
        among = self.among
        among.gone[self.first] = self.nodes
        if not among.open and among.thread == get_ident():
            among.forget()

    @gc_paused()
    def __reduce__(self) -> tuple[Any, ...]:
        nodes, fields = self.nodes, Columns(self.nodes)
        column = array if len(nodes) > _FEW else _small
        classes, class_of = _numbered([type(node) for node in nodes])
        rules, rule_of = _numbered(fields.rules)
        columns = (
            column("q", class_of),
            column("q", rule_of),
            column("b", fields.kinds),
            column("d", fields.numbers),
            column("d", fields.cotangents),
            column("b", fields.reached),
            column("q", fields.stamps),
            column("q", fields.counts),
        )
        rows = [rule and rule.op for rule in rules]
        content = (classes, rows, columns, column("q", fields.operands), fields.others, fields.labels)
        if classes == [Value]:
            return _graph_of, content
        own = {place: _own_attributes(node) for place, node in enumerate(nodes)}
        return _graph_of, content, own, None, None, _set_attributes


def _numbered(things: list[Any]) -> tuple[list[Any], list[int]]:
    """The different ones among them, and the number of each."""
    numbers = {thing: number for number, thing in enumerate(dict.fromkeys(things))}
    return list(numbers), [numbers[thing] for thing in things]


_FEW = 64


def _small(code: str, numbers: list[Any]) -> tuple[Any, ...]:
    """A column of a few nodes, which as an array would take more room."""
    return tuple(numbers)


@gc_paused()
def _graph_of(
    classes: Sequence[type[Value]],
    rows: Sequence[Op | None],
    columns: Sequence[Sequence[Any]],
    operands: Sequence[int],
    others: Sequence[Value],
    labels: dict[int, str],
) -> list[Value]:
    nodes: list[Value] = []
    rules = [row and row.rule for row in rows]
    rest = iter(operands)
    for cls, row, kind, number, cotangent, reached, stamp, size in zip(*columns, strict=True):
        parents = [nodes[place] if place >= 0 else others[-place - 1] for place in islice(rest, size)]
        label = labels.get(len(nodes), "")
        cotangent = cotangent if reached else None
        nodes.append(rebuilt(classes[cls], rules[row], parents, kind, number, cotangent, stamp, label))
    _not_before(max(columns[-2]))
    return nodes


def _set_attributes(nodes: Sequence[Value], own: dict[int, dict[str, Any]]) -> None:
    for place, attributes in own.items():
        for name, attribute in attributes.items():
            setattr(nodes[place], name, attribute)


def _own_attributes(node: Value) -> dict[str, Any]:
    """What a subclass of Value adds."""
    if type(node) is Value:
        return {}
    slots = [name for name in _slotnames(type(node)) if name not in _CORE and hasattr(node, name)]
    return {name: getattr(node, name) for name in slots} | getattr(node, "__dict__", {})
