"""The chain rule over a recorded graph, backward and forward, as often as one likes: `gradients` and what is under it.

`backward` adds into `.grad`; the passes here keep what they find to themselves. Their local derivatives are
the table's partials, taken once: as floats, or, so that the results can be differentiated again, as Values.

>>> x = Value(3.0)
>>> slope = gradients(x**3, x, create_graph=True)
>>> slope.data, gradients(slope, x), x.grad
(27.0, 18.0, 0.0)
"""

import operator
from collections.abc import Sequence
from contextlib import nullcontext
from math import isfinite
from typing import Any

from .floats import real
from .graph import walk
from .hooks import hooked, through_hooks
from .node import A_CONSTANT, refuse_stale_graph
from .recording import (
    AnomalyError,
    modes,
    name_the_node,
    record_graph,
    refuse_gradient_anomaly,
    refuse_tangent_anomaly,
)
from .refusals import bad_partials, plain
from .structure import Structure
from .value import CONSTANT, Value


def gradients(outputs: Any, inputs: Any, cotangents: Any = None, create_graph: bool = False) -> Any:
    """d(outputs)/d(inputs), summed over the outputs, in the structure of the inputs; no `.grad` is touched.

    outputs, inputs    Values, or nested lists, tuples, dicts, object arrays of them; inputs may be inner nodes
    cotangents         what each output is weighted with, in the structure of the outputs; by default 1.0
    create_graph       give Values, which can be differentiated again, in place of floats

    Raises TypeError for anything but Values, ValueError for an input that the outputs do not depend on and for
    cotangents of another structure, StaleGraphError if a leaf was changed since.

    >>> x, y = Value(2.0), Value(5.0)
    >>> gradients([x * y, x + y], {"x": x, "y": y}, cotangents=[1.0, 10.0])
    {'x': 15.0, 'y': 12.0}
    """
    ends, starts = Structure(outputs, "outputs"), Structure(inputs, "inputs")
    for name, structure in (("outputs", ends), ("inputs", starts)):
        for v in structure.numbers:
            if not isinstance(v, Value):
                raise TypeError(
                    f"gradients: expected Values as {name}, got {v!r}, which is in no graph. "
                    "Wrong: gradients(y.data, 3.0); right: x = Value(3.0); y = f(x); gradients(y, x)"
                )
    weights = [1.0] * len(ends.numbers) if cotangents is None else ends.numbers_of(cotangents, "cotangents")
    if not (create_graph or all([v._known for v in ends.numbers])):  # there are no numbers yet
        found = gradients(outputs, inputs, cotangents, create_graph=True)
        return starts.filled([g.detach() for g in Structure(found, "gradients").numbers])
    if not create_graph:
        weights = [g.data if isinstance(g, Value) else g for g in weights]
    linear = Linearization(ends.numbers, starts.numbers, create_graph)
    for x in starts.numbers:
        if x not in linear.places:
            raise ValueError(
                f"gradients: the input {x!r} is not in the graph of the outputs. "
                "Wrong: y = f(Value(x.data)); gradients(y, x); right: y = f(x); gradients(y, x). If the outputs are "
                "slopes, which need not depend on every input, weigh them all: gradients(slopes, xs, [1.0, 0.0])"
            )
    return starts.filled(linear.pull_back(weights))


class Linearization:
    """The graph between inputs and outputs with its local derivatives, ready for any number of passes.

    places   the nodes between, in topological order, each with its place
    terms    for each place: the places of the operands between, each with the local derivative by it

    Passes give floats; with create_graph Values, those that depend on nothing being constants. With `partial`, an
    input that depends on another is held where it is while the other moves.
    """

    def __init__(
        self, outputs: Sequence[Value], inputs: Sequence[Value], create_graph: bool = False, partial: bool = False
    ) -> None:
        self.outputs, self.inputs, self.create_graph = outputs, inputs, create_graph
        self.places: dict[Value, int] = {}
        self.terms: list[list[tuple[int, Any]]] = []
        self._graph = graph = walk(outputs)
        refuse_stale_graph(graph)
        places, wanted = self.places, set(inputs)
        for leaf in graph.leaves:
            if leaf in wanted:
                places[leaf] = len(places)
                self.terms.append([])
        with record_graph() if create_graph else nullcontext():
            for node in graph.inner:
                found = [] if partial and node in wanted else self._terms_of(node)
                if found or node in wanted:
                    self.terms.append(found)
                    places[node] = len(places)
        self._times, self._plus = (product, sum_of) if create_graph else (operator.mul, operator.add)

    @property
    def has_hooks(self) -> bool:
        return bool(hooked) and any([v in hooked for v in self.places])

    def pull_back(self, cotangents: Sequence[Any]) -> list[Any]:
        """Reverse mode: the cotangent of each input, from those of the outputs."""
        times, plus, places = self._times, self._plus, self.places
        if self.create_graph:
            refuse_stale_graph(self._graph)
        at = self._seeded(self.outputs, cotangents)
        nodes = list(places) if hooked else []
        with record_graph() if self.create_graph else nullcontext():
            for place in range(len(at) - 1, -1, -1):
                g = at[place]
                if g is None:
                    continue
                if nodes and nodes[place] in hooked:
                    g = at[place] = through_hooks(nodes[place], self._result(g))
                for operand, d in self.terms[place]:
                    before = at[operand]
                    at[operand] = times(g, d) if before is None else plus(before, times(g, d))
        if modes and not self.create_graph:
            refuse_gradient_anomaly(list(places), lambda v: at[places[v]] if v in places else None)
        return [self._result(at[places[x]] if x in places else 0.0) for x in self.inputs]

    def push_forward(self, tangents: Sequence[Any]) -> list[Any]:
        """Forward mode: the tangent of each output, from those of the inputs."""
        times, plus, places = self._times, self._plus, self.places
        at = self._seeded(self.inputs, tangents)
        with record_graph() if self.create_graph else nullcontext():
            for place, terms in enumerate(self.terms):
                total = at[place]
                for operand, d in terms:
                    t = at[operand]
                    if t is not None:
                        total = times(t, d) if total is None else plus(total, times(t, d))
                at[place] = total
        if modes and not self.create_graph:
            refuse_tangent_anomaly(list(places), lambda v: at[places[v]] if v in places else None)
        return [self._result(at[places[out]] if out in places else 0.0) for out in self.outputs]

    def rows(self) -> list[list[Any]]:
        """The Jacobian, a row for each output, by whichever passes are fewer; hooks are for passes back."""
        fewer_back = len(self.outputs) <= len(self.inputs)
        return self.rows_by_pull_back() if fewer_back or self.has_hooks else self.rows_by_push_forward()

    def rows_by_pull_back(self) -> list[list[Any]]:
        """The Jacobian, by a pass back for each output."""
        count = len(self.outputs)
        return [self.pull_back(_one_at(place, count)) for place in range(count)]

    def rows_by_push_forward(self) -> list[list[Any]]:
        """The Jacobian, by a pass forward for each input."""
        count = len(self.inputs)
        columns = [self.push_forward(_one_at(place, count)) for place in range(count)]
        return [list(row) for row in zip(*columns, strict=True)]

    def _terms_of(self, node: Value) -> list[tuple[int, Any]]:
        try:
            return (_terms_as_values if self.create_graph else _terms_as_floats)(node, self.places)
        except AnomalyError as error:
            raise name_the_node(error, node) from None
        except (TypeError, ValueError, IndexError) as error:
            raise bad_partials(node, error) from error

    def _seeded(self, nodes: Sequence[Value], numbers: Sequence[Any]) -> list[Any]:
        """For each place the number that its node starts with; None where no path leads yet."""
        at: list[Any] = [None] * len(self.places)
        for v, number in zip(nodes, numbers, strict=True):
            place = self.places.get(v)
            if place is not None and number is not None:
                at[place] = number if at[place] is None else at[place] + number
        return at

    def _result(self, number: Any) -> Any:
        if not self.create_graph:
            return 0.0 if number is None else number if type(number) is float else plain(number)
        return number if isinstance(number, Value) else Value(number or 0.0, kind=CONSTANT)


def _terms_as_floats(node: Value, places: "dict[Value, int]") -> list[tuple[int, Any]]:
    op: Any = node.op
    x, y = node._x, node._y
    try:
        if x is None or y is None:
            parents = node.parents
            derivatives = op.pullback(1.0, node._float, *[p._float for p in parents])
        elif x in places:
            dx, dy = op.pullback(1.0, node._float, x._float, y._float)
            return [(places[x], dx), (places[y], dy)] if y in places else [(places[x], dx)]
        elif y in places:
            return [(places[y], op.pullback(1.0, node._float, x._float, y._float)[1])]
        else:
            return []
    except ArithmeticError:  # a plain float raised where IEEE 754 has a value
        parents = node.parents
        derivatives = op.derivatives(node._float, [p._float for p in parents])
    return [(places[p], d) for p, d in zip(parents, derivatives, strict=True) if p in places]


def _terms_as_values(node: Value, places: "dict[Value, int]") -> list[tuple[int, Any]]:
    """Constants go in as plain numbers: what is made of them alone needs no nodes."""
    parents = node.parents
    slots = [slot for slot, p in enumerate(parents) if p in places]
    try:
        found = _derivatives(node, [p if p._kind != A_CONSTANT or p in places else p._float for p in parents], slots)
    except ArithmeticError:  # of the plain numbers (1 / 0.0); Values follow IEEE 754
        found = _derivatives(node, parents, slots)
    return [
        (places[parents[slot]], d if isinstance(d, Value) else real(d)) for slot, d in zip(slots, found, strict=True)
    ]


def _derivatives(node: Value, operands: Sequence[Any], slots: Sequence[int]) -> list[Any]:
    op: Any = node.op
    if op.gradient is None:
        return [op.partials[slot](node, *operands) for slot in slots]
    gradient = op.whole_gradient(node, operands) if slots else ()
    return [gradient[slot] for slot in slots]


def product(g: Any, d: Any) -> Any:
    """g * d without the nodes that would say nothing: times 1, and times a 0 that no input can change."""
    for x, y in ((g, d), (d, g)):
        if isinstance(x, Value):
            continue
        if x == 1:
            return y
        if x == 0 and isinstance(y, Value) and y._known and isfinite(y.data):
            return 0.0
    return g * d


def sum_of(x: Any, y: Any) -> Any:
    """x + y without the nodes that would say nothing."""
    if not isinstance(x, Value) and x == 0:
        return y
    return x if not isinstance(y, Value) and y == 0 else x + y


def _one_at(place: int, count: int) -> list[float | None]:
    return [1.0 if i == place else None for i in range(count)]
