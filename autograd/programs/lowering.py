"""From a traced graph to groups: constants folded, what depends on parameters alone set apart, the rest grouped.

What depends on parameters alone (an L2 penalty) is the same for every sample: a program that runs over many samples
has its results as parameters more, the nodes *hoisted*.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from autograd.node import operands_of, walk
from autograd.ops import Op
from autograd.value import Value

from .groups import ALGEBRA, Bundle, Groups
from .tables import vectorized

Step = tuple[Value, Op, tuple[Any, ...]]  # a node, what made it, and of what


class Graph:
    """What a traced graph was found to be made of: what every program of it begins with.

    steps    its inner nodes without those that are numbers, each after its operands
    alone    those of them that depend on parameters alone
    varying  the others
    hoisted  the nodes of `alone` that the others need, or that are outputs, in order of first use
    leaves   the parameters, in order of first use
    numbers  of the leaves that are literal, and of what is made of them alone
    uses     how often a node is an operand; twice more if it is an output
    work     how many operands those of `alone` read; an operation without vector code counts a thousandfold
    nodes    how many there are
    """

    def __init__(
        self, outputs: Sequence[Any], made: Sequence[Value], inputs: Sequence[Value], literal: Callable[[Value], bool]
    ) -> None:
        """made has nodes in the order in which they came to be; leaves in `literal` are numbers."""
        self.steps, self.alone, self.varying = list[Step](), list[Step](), list[Step]()
        self.leaves, self.numbers = list[Value](), dict[Value, float]()
        outputs = [x for x in outputs if isinstance(x, Value)]
        order = _in_order_of_use(walk(outputs).inner, made)
        operands: list[tuple[Any, ...]] = [*map(operands_of, order)]
        self.uses = uses = Counter(chain.from_iterable(operands))
        uses.update([*outputs, *outputs])
        varying, alone, hoisted = {*inputs}, set[Value](), dict[Value, None]()
        for x in uses:
            if x._rule is None and x not in varying:
                if literal(x):
                    self.numbers[x] = x._float
                else:
                    alone.add(x)
                    self.leaves.append(x)
        for node, xs in zip(order, operands, strict=True):
            op = node._rule.op
            step = (node, op, xs)
            if not varying.isdisjoint(xs):
                varying.add(node)
                self.varying.append(step)
                if self.alone and not alone.isdisjoint(xs):
                    hoisted |= dict.fromkeys([x for x in xs if x in alone and x._rule is not None])
            elif not alone.isdisjoint(xs):
                alone.add(node)
                self.alone.append(step)
            else:
                self.numbers[node] = op.evaluate(*[self.numbers[x] for x in xs])
                continue
            self.steps.append(step)
        hoisted |= dict.fromkeys([x for x in outputs if x in alone and x._rule is not None])
        self.hoisted = [*hoisted]
        self.work = sum([len(xs) if op in ALGEBRA or vectorized(op) else 1000 * len(xs) for _, op, xs in self.alone])
        self.nodes = len(uses)


def _in_order_of_use(inner: Sequence[Any], made: Sequence[Value]) -> list[Any]:
    """The nodes of a walk, in the order in which they were made; first those that were before."""
    reached = {*inner}
    order = [x for x in made if x in reached]
    if len(order) < len(inner):
        reached -= {*order}
        order[:0] = [x for x in inner if x in reached]
    return order


class Lowered:
    """Steps of a graph in groups, and the wires of inputs and outputs there. Parameter p is parameters[p]."""

    def __init__(
        self,
        graph: Graph,
        steps: Sequence[Step],
        outputs: Sequence[Any],
        inputs: Sequence[Value],
        wanted: Sequence[bool],
        parameters: Sequence[Value],
    ) -> None:
        """wanted says of which inputs the derivatives are asked for."""
        self.groups = groups = Groups()
        self.parameters = parameters
        bundles = [groups.input(want) for want in wanted]
        forms: dict[Any, Any] = dict(graph.numbers)
        forms |= zip(inputs, bundles, strict=True)
        forms |= {x: groups.parameter(p) for p, x in enumerate(parameters)}
        uses = graph.uses
        for node, op, xs in steps:
            found = [forms[x] for x in xs]
            algebra = ALGEBRA.get(op)
            made = algebra(*found) if algebra is not None else None
            if made is None:
                made = groups.applied(op, found)
            elif type(made) is Bundle:
                if uses[node] > 1:
                    made.factor()
                elif len(made.terms) > 1:
                    made.once = True
            forms[node] = made
        self.inputs = [x.wires()[0] for x in bundles]
        self.outputs = [groups.wire_of(forms[x] if isinstance(x, Value) else float(x)) for x in outputs]
