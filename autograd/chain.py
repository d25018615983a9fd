"""The graph between two nodes as a chain rule sees it: nodes with names, local derivatives, paths.

    Skeleton(output, *wrts)  the named nodes on the way, the derivative of each by the one before
    Chain(output, wrt)       the same for one derivative, with all its paths: counted, and the largest first
    differentiate(...)       derivatives by the chain rule, in whatever interpreter: floats, symbols

Where nodes on the way are labelled, the others are contracted: their local derivatives are multiplied and
summed. Where none is, every node counts.

>>> from autograd import Value
>>> x = Value(1.0, label="x")
>>> y = x
>>> for _ in range(1000):
...     y = y + y
>>> chain = Chain(y, x)
>>> chain.count == 2**1000, chain.total == 2.0**1000
(True, True)
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from heapq import heappop, heappush, nsmallest
from itertools import count
from math import frexp, inf, isnan, ldexp, log2
from typing import Any, NamedTuple

from .graph import operands_first, walk
from .node import refuse_stale_graph
from .value import Value

_STEPS = 20_000_000  # of contraction: some ten seconds
_IMPOSSIBLE = 2200.0  # times the number of nodes, stands for the logarithm of 0: no sum of logarithms comes near


class Edge(NamedTuple):
    """From an operand (tail) to what is computed from it (head), with d(head)/d(tail).

    slot is the operand's place in head.parents; None if nodes between the two are contracted.
    """

    head: int
    tail: int
    derivative: float
    slot: int | None


class Skeleton:
    """A graph reduced to its named nodes: what is left when the others are contracted.

    nodes       from the leaves asked for to output, operands before results, output last
    contracted  whether these are the labelled nodes only
    cotangents  d(output)/d(node) for each node

    Nodes are told by their places in `nodes`. Raises ValueError if so many nodes without a label lie between so
    many with one that there is no end of it, and as `between` does.
    """

    def __init__(self, output: Value, *wrts: Value) -> None:
        on_the_way = between(output, *wrts)
        ends = {output, *wrts}
        inner = [node for node in on_the_way if node not in ends]
        self.contracted = any([node.label.strip() for node in inner])
        named = {node for node in inner if node.label.strip() or not self.contracted} | ends
        self.nodes = [node for node in on_the_way if node in named]
        self._place = {node: place for place, node in enumerate(self.nodes)}
        self._start, self._tails = array("q", [0]), array("q")
        self._derivatives, self._slots = array("d"), array("q")
        if self.contracted:
            self._contract(on_the_way)
        else:
            for head in self.nodes:
                self._connect(head)

    def is_named(self, node: Value) -> bool:
        """Whether a node of the graph, on the way or beside it, stands by its name."""
        return not self.contracted or bool(node.label.strip()) or node in self._place

    def _connect(self, head: Value) -> None:
        slots = [(slot, self._place[x]) for slot, x in enumerate(head.parents) if x in self._place]
        derivatives = _derivatives(head) if slots else ()
        for slot, tail in slots:
            self._tails.append(tail)
            self._derivatives.append(derivatives[slot])
            self._slots.append(slot)
        self._start.append(len(self._tails))

    def _contract(self, on_the_way: list[Value]) -> None:
        place = {node: i for i, node in enumerate(on_the_way)}
        steps = 0
        for head in self.nodes:
            cotangents, waiting, found = {head: 1.0}, [-place[head]], dict[int, float]()
            while waiting:  # the latest node first: its cotangent is complete
                node = on_the_way[-heappop(waiting)]
                g = cotangents.pop(node)
                if place.keys().isdisjoint(node.parents):  # where we start from
                    continue
                derivatives = _derivatives(node)
                steps += len(derivatives)
                for x, d in zip(node.parents, derivatives, strict=True):
                    if x in self._place:
                        found[self._place[x]] = found.get(self._place[x], 0.0) + g * d
                    elif x in place:
                        if x not in cotangents:
                            heappush(waiting, -place[x])
                        cotangents[x] = cotangents.get(x, 0.0) + g * d
            if steps > _STEPS:
                raise ValueError(
                    f"{len(self.nodes):,} labelled nodes share {len(on_the_way) - len(self.nodes):,} nodes without a "
                    "label between them, too many to contract; right: label the shared ones too, or none"
                )
            for tail, derivative in found.items():
                self._tails.append(tail)
                self._derivatives.append(derivative)
                self._slots.append(-1)
            self._start.append(len(self._tails))

    def operands(self, head: int) -> list[Edge]:
        """The edges into a node."""
        return [self._edge(head, e) for e in range(self._start[head], self._start[head + 1])]

    def arrows(self, edge: Edge) -> set[tuple[Value, int]]:
        """What an edge stands for in the whole graph: (node, slot) for each of the steps that it contracts."""
        head, tail = self.nodes[edge.head], self.nodes[edge.tail]
        if edge.slot is not None:
            return {(head, edge.slot)}
        inside, found = contracted(head, self.is_named), set[tuple[Value, int]]()
        leading = {tail}
        for node in inside:
            for slot, x in enumerate(node.parents):
                if x in leading:
                    leading.add(node)
                    found.add((node, slot))
        return found

    def consumers(self, tail: int) -> list[Edge]:
        """The edges out of a node."""
        starts, heads, edges = self._outward
        return [self._edge(heads[i], edges[i]) for i in range(starts[tail], starts[tail + 1])]

    def _edge(self, head: int, e: int) -> Edge:
        slot = self._slots[e]
        return Edge(head, self._tails[e], self._derivatives[e], None if slot < 0 else slot)

    @cached_property
    def _outward(self) -> tuple["array[int]", "array[int]", "array[int]"]:
        """The edges sorted by their tails: where each tail's begin, their heads, themselves."""
        starts = array("q", bytes(8 * (len(self.nodes) + 1)))
        for tail in self._tails:
            starts[tail + 1] += 1
        for i in range(len(self.nodes)):
            starts[i + 1] += starts[i]
        heads, edges = array("q", bytes(8 * len(self._tails))), array("q", bytes(8 * len(self._tails)))
        free = starts[:]
        for head in range(len(self.nodes)):
            for e in range(self._start[head], self._start[head + 1]):
                i = free[self._tails[e]]
                free[self._tails[e]] += 1
                heads[i], edges[i] = head, e
        return starts, heads, edges

    @cached_property
    def cotangents(self) -> "array[float]":
        """d(output)/d(node) for each node, summed over all paths."""
        found = array("d", bytes(8 * len(self.nodes)))
        found[-1] = 1.0
        for head in range(len(self.nodes) - 1, 0, -1):
            g = found[head]
            for e in range(self._start[head], self._start[head + 1]):
                found[self._tails[e]] += g * self._derivatives[e]
        return found


class Chain(Skeleton):
    """What leads from wrt to output: the derivative of each node by the one before, and all the paths.

    total  d(output)/d(wrt), the sum over the paths
    count  how many paths there are, exactly

    Raises as Skeleton does.
    """

    def __init__(self, output: Value, wrt: Value) -> None:
        super().__init__(output, wrt)

    @property
    def total(self) -> float:
        return self.cotangents[0]

    @cached_property
    def count(self) -> int:
        """How many paths lead from wrt to output, exactly."""
        uses = array("q", bytes(8 * len(self.nodes)))
        for tail in self._tails:
            uses[tail] += 1
        ways = {0: 1}  # of the nodes still to be used: such numbers grow long
        for head in range(1, len(self.nodes)):
            total = 0
            for e in range(self._start[head], self._start[head + 1]):
                tail = self._tails[e]
                total += ways[tail]
                uses[tail] -= 1
                if not uses[tail]:
                    del ways[tail]
            ways[head] = total
        return ways[len(self.nodes) - 1]

    @cached_property
    def _best(self) -> tuple["array[float]", "array[int]"]:
        """For each node, log2 |product| of the largest path from wrt to it, and the last edge of that path."""
        sizes, choices = array("d", [0.0]), array("q", [-1])
        logs = self._logarithms
        for head in range(1, len(self.nodes)):
            size, choice = max(
                [(sizes[self._tails[e]] + logs[e], -e) for e in range(self._start[head], self._start[head + 1])]
            )
            sizes.append(size)
            choices.append(-choice)
        return sizes, choices

    @cached_property
    def _logarithms(self) -> "array[float]":
        impossible = _IMPOSSIBLE * len(self.nodes)
        return array("d", [_logarithm(derivative, impossible) for derivative in self._derivatives])

    def largest_paths(self) -> Iterator[tuple[Edge, ...]]:
        """Every path as its edges, output first, the largest |product| first. None is enumerated before it is its turn.

        A path is told by where it leaves the largest path: at each node it may take another edge than the best
        one, at a known loss, and is from there on compared to the largest path of where that leads.
        """
        turn = count()
        waiting: list[tuple[float, int, tuple[Any, ...], int, _Detours | None]] = [(0.0, next(turn), (), 0, None)]
        found: dict[int, _Detours] = {}
        while waiting:
            loss, _, taken, rank, siblings = heappop(waiting)
            yield tuple(self._follow(taken))
            if siblings is not None:
                self._push(waiting, siblings, rank + 1, loss - siblings.loss(rank), taken[0], next(turn))
            landing = self._tails[taken[1][1]] if taken else len(self.nodes) - 1
            if landing not in found:
                found[landing] = _Detours(self, landing)
            self._push(waiting, found[landing], 0, loss, taken, next(turn))

    @staticmethod
    def _push(waiting: list[Any], detours: "_Detours", rank: int, loss: float, before: Any, turn: int) -> None:
        detour = detours.at(rank)
        if detour is not None:
            heappush(waiting, (loss + detour[0], turn, (before, detour[1:]), rank, detours))

    def _follow(self, taken: tuple[Any, ...]) -> Iterator[Edge]:
        """The path that takes these detours (the earlier ones, (head, edge))."""
        detours = dict[int, int]()
        while taken:
            taken, (head, e) = taken
            detours[head] = e
        choices = self._best[1]
        head = len(self.nodes) - 1
        while head:
            edge = self._edge(head, detours.get(head, choices[head]))
            yield edge
            head = edge.tail


class _Detours:
    """The edges that leave the largest path from a node on, each with its loss, the smallest loss first."""

    def __init__(self, chain: Chain, landing: int) -> None:
        self.chain, self.landing = chain, landing
        self.found: list[tuple[float, int, int]] = []
        self.wanted = 16

    def at(self, rank: int) -> tuple[float, int, int] | None:
        """(loss, head, edge); None if there are not so many."""
        while rank >= len(self.found):
            if self.found and len(self.found) < self.wanted // 8:
                return None
            self.found = nsmallest(self.wanted, self._all())
            self.wanted *= 8
            if not self.found:
                return None
        return self.found[rank]

    def loss(self, rank: int) -> float:
        return self.found[rank][0]

    def _all(self) -> Iterator[tuple[float, int, int]]:
        chain = self.chain
        sizes, choices = chain._best
        logs, tails, start = chain._logarithms, chain._tails, chain._start
        head = self.landing
        while head:
            best = choices[head]
            for e in range(start[head], start[head + 1]):
                if e != best:
                    yield sizes[head] - (sizes[tails[e]] + logs[e]), head, e
            head = tails[best]


def between(output: Value, *wrts: Value) -> list[Value]:
    """The nodes on the paths from any of wrts to output, both included, operands before results.

    Raises ValueError if output is a leaf or does not depend on them, TypeError for anything but Values,
    StaleGraphError if a leaf was changed since.
    """
    for given in (output, *wrts):
        if not isinstance(given, Value):
            raise TypeError(
                f"expected Values, got {type(given).__name__}; wrong: explain('E', 'w'); right: explain(E, w)"
            )
    if output.op is None:
        raise ValueError(
            f"{output!r} is a leaf: it was not computed from anything, so there is no derivative to explain; "
            "right: explain(E, w), where E is the result of an expression with w in it"
        )
    graph = walk((output,))
    refuse_stale_graph(graph)
    dependent = set(wrts)
    for node in graph.inner:
        if not dependent.isdisjoint(node.parents):
            dependent.add(node)
    if output not in dependent:
        names = " or ".join(map(repr, wrts[:3]))
        raise ValueError(
            f"{output!r} does not depend on {names}: right: the very Value that the expression was built with, "
            "or the other way round, explain(result, wrt)"
        )
    needed = {output}
    for node in reversed(graph.inner):
        if node in needed:
            needed.update([x for x in node.parents if x in dependent])
    return [node for node in graph.leaves + graph.inner if node in needed]


def differentiate(
    head: Value, tails: Sequence[Value], inside: Sequence[Value], evaluated: Callable[[Value], Any]
) -> list[Any]:
    """d(head)/d(tail) for each of tails by the chain rule, over the paths that lead through the nodes `inside`, head
    included.

    `inside` has operands before results; evaluated(node) is what the interpreter has for a node's result.
    """
    cotangents: dict[Value, Any] = {head: 1.0}
    on_the_way = {*inside, *tails}
    for node in reversed(inside):
        g = cotangents.pop(node, None)
        if g is None or node.op is None:
            continue
        derivatives = node.op.derivatives(evaluated(node), [evaluated(x) for x in node.parents])
        for x, d in zip(node.parents, derivatives, strict=True):
            if x in on_the_way:
                cotangents[x] = g * d + cotangents[x] if x in cotangents else g * d
    return [cotangents.get(tail, 0.0) for tail in tails]


def contracted(head: Value, is_named: Callable[[Value], bool], most: int = 1_000_000) -> list[Value]:
    """The nodes without a name that head is computed from, as far as those with one, and head; operands first.

    ValueError if they have more than `most` operands.
    """
    looked_at = 0

    def without_name(node: Value) -> list[Value]:
        nonlocal looked_at
        looked_at += len(node.parents)
        if looked_at > most:
            raise ValueError(f"{head!r} is computed from more than {most:,} operands without a name between")
        return [x for x in node.parents if x.op is not None and not is_named(x)]

    return operands_first(head, without_name)


def product(factors: Sequence[float]) -> float:
    """Their product, whatever the order of huge and tiny ones.

    >>> product([2.0**-800, 2.0**-800, 2.0**1000, 2.0**601])
    2.0
    """
    mantissa, exponent = 1.0, 0
    for factor in factors:
        own, shift = frexp(factor)
        mantissa, more = frexp(mantissa * own)
        exponent += shift + more
    try:
        return ldexp(mantissa, exponent)
    except OverflowError:
        return mantissa * inf


def _derivatives(node: Value) -> Sequence[float]:
    op: Any = node.op
    derivatives: Sequence[float] = op.derivatives(node.data, [x.data for x in node.parents])
    return derivatives


def _logarithm(derivative: float, impossible: float) -> float:
    """log2 |derivative|, finite for every number. What is not a number comes first: it is what the reader looks for."""
    if isnan(derivative):
        return 2 * impossible
    if derivative in (inf, -inf):
        return impossible
    return log2(abs(derivative)) if derivative else -impossible
