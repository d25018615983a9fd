"""Derivatives of any order: the table interpreted on jets, a jet being a number with its derivatives along a curve.

Along x(t), the table says how the result of a row moves: out' is the sum of partial(out, x, ...) * x'. The partials
are made of rows, so they are jets too, and derivative k of out needs theirs below k only (by Leibniz's rule for the
derivatives of a product). So no rule but the partials is needed, and the cost grows with a power of the order, where
differentiating derivatives again and again makes graphs that grow exponentially.

>>> from autograd import Value, exp
>>> x = Value(0.0)
>>> [nth_derivative(exp(2 * x), x, n) for n in range(5)]
[1.0, 2.0, 4.0, 8.0, 16.0]
"""

from collections.abc import Callable, Sequence
from math import comb
from typing import Any

from .floats import real
from .graph import walk
from .node import A_CONSTANT, refuse_stale_graph
from .ops import Op, install_operators
from .passes import product, sum_of
from .recording import modes, refuse_tangent_anomaly
from .value import CONSTANT, Value


def nth_derivative(output: Value, x: Value, n: int, create_graph: bool = False) -> Any:
    """The n-th derivative of output by x: a float, or with create_graph a Value.

    Raises StaleGraphError if a leaf was changed since; under detect_anomaly, AnomalyError for the first derivative
    that is nan or infinite.
    """
    graph = walk((output,))
    refuse_stale_graph(graph)

    def number(v: Value) -> Any:
        return v if create_graph else v._float

    made: dict[Any, Jet] = {}
    jets = {x: Jet(made, number(x), 1.0)}
    try:
        for node in graph.inner:
            op: Any = node.op
            parents = node.parents
            if any([p in jets for p in parents]):
                constants = {p: p._float if p._kind == A_CONSTANT else Jet(made, number(p)) for p in parents}
                jets[node] = jet = Jet.of_row(op, [jets.get(p) or constants[p] for p in parents], made, number(node))
                jet.derivative(n)  # now, operands first: on demand, a deep graph would be a deep recursion
        found = jets[output].derivative(n) if output in jets else None if n else number(output)
        if modes and not create_graph:
            for k in range(1, n + 1):
                refuse_tangent_anomaly(graph.inner, {node: jet.derivative(k) for node, jet in jets.items()}.get)
    finally:
        for jet in made.values():
            jet.following = None  # a partial may lead back to its result: nothing is to be left for the collector
        made.clear()
    found = 0.0 if found is None else found
    return Value(found, kind=CONSTANT) if create_graph and not isinstance(found, Value) else found


class Jet:
    """A number and its derivatives: those known so far, and the function that gives the next.

    Where there is no such function, the others are None: 0, as no path leads there, even times an infinity.
    made: all jets of one computation, by row and operands."""

    __slots__ = ("following", "known", "made")

    def __init__(self, made: "dict[Any, Jet]", *known: Any) -> None:
        self.made, self.known = made, list(known)
        self.following: Callable[[int], Any] | None = None

    def derivative(self, k: int) -> Any:
        """The k-th derivative; the 0th is the number itself."""
        known, following = self.known, self.following
        while len(known) <= k:
            if following is None:
                return None
            known.append(following(len(known)))
        return known[k]

    @staticmethod
    def apply_op(op: Op, operands: Sequence[Any]) -> "Jet":
        made = next(x.made for x in operands if isinstance(x, Jet))
        # The same row of the same operands is the same jet: sin leads to cos, and cos back to sin.
        key = (op, *[x if isinstance(x, Jet) else repr(x) for x in operands])
        if key not in made:
            numbers = [x.known[0] if isinstance(x, Jet) else x for x in operands]
            on_values = any([isinstance(x, Value) for x in numbers])
            out = Value.apply_op(op, numbers) if on_values else op.evaluate(*map(float, numbers))
            made[key] = Jet.of_row(op, operands, made, out)
        return made[key]

    @staticmethod
    def of_row(op: Op, operands: Sequence[Any], made: "dict[Any, Jet]", out: Any) -> "Jet":
        """The jet of a row's result, which is out."""
        jet = Jet(made, out)
        moving = [slot for slot, x in enumerate(operands) if isinstance(x, Jet) and (x.following or len(x.known) > 1)]
        partials: list[tuple[Jet, Any]] = []

        def following(k: int) -> Any:
            if not partials:
                partials.extend([(operands[slot], partial) for slot, partial in _partials(op, jet, operands, moving)])
            return _derivative_of_sum(k - 1, partials)

        if moving:
            jet.following = following
            made[jet] = jet
        return jet


def _partials(op: Op, out: Jet, operands: Sequence[Any], slots: Sequence[int]) -> list[tuple[int, Any]]:
    try:
        if op.gradient is not None:
            gradient = op.whole_gradient(out, operands)
            return [(slot, gradient[slot]) for slot in slots]
        found = [(slot, op.partials[slot](out, *operands)) for slot in slots]
        return [(slot, d if isinstance(d, Jet) else real(d)) for slot, d in found]
    except ArithmeticError:  # of the plain numbers (1 / 0.0); jets follow IEEE 754
        if all([isinstance(x, Jet) for x in operands]):
            raise
        return _partials(op, out, [x if isinstance(x, Jet) else Jet(out.made, x) for x in operands], slots)


def _derivative_of_sum(k: int, products: Sequence[tuple[Jet, Any]]) -> Any:
    """The k-th derivative of the sum of x' * partial: the sum of comb(k, j) * x^(j + 1) * partial^(k - j)."""
    total: Any = None
    for x, partial in products:
        for j in range(k + 1) if isinstance(partial, Jet) else (k,):
            slope, rate = x.derivative(j + 1), partial.derivative(k - j) if isinstance(partial, Jet) else partial
            if slope is not None and rate is not None:
                term = product(slope, rate) * comb(k, j)
                total = term if total is None else sum_of(total, term)
    return total


install_operators(Jet)
