"""Walks over the graph that made a Value. None of them recurses, so depth is no limit.

>>> from autograd import Value
>>> x, y = Value(2.0, label="x"), Value(3.0, label="y")
>>> z = x * y + x
>>> [v.label or v.op.name for v in topological_order(z)]
['x', 'y', 'mul', 'add']
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from . import node
from .value import Value

_T = TypeVar("_T")


def topological_order(*roots: Value) -> list[Value]:
    """Every node that the roots depend on, the roots included, each once: leaves, then operands before results."""
    graph = walk(roots)
    return graph.leaves + graph.inner


def leaves(*roots: Value) -> list[Value]:
    """The variables, parameters and constants that the roots depend on, in order of first use."""
    return walk(roots).leaves


def walk(roots: Iterable[Value]) -> node.Walk:
    """The leaves, in order of first use, and the inner nodes in topological order: operands before results."""
    roots = list(roots)
    for root in roots:
        if not isinstance(root, Value):
            raise TypeError(f"expected Values, got {type(root).__name__}; wrong: leaves([a, b]); right: leaves(a, b)")
    return node.walk(roots)


def sort(roots: Iterable[Value]) -> tuple[list[Value], list[Value]]:
    """The same as two lists."""
    graph = walk(roots)
    return graph.leaves, graph.inner


def operands_first(root: _T, operands: Callable[[_T], Iterable[_T]]) -> list[_T]:
    """What root is made of, operands before results, root last: the walk for graphs of anything.

    >>> operands_first("E", lambda x: {"E": ["a", "b"], "a": ["b"]}.get(x, []))
    ['b', 'a', 'E']
    """
    order: list[_T] = []
    seen: set[_T] = set()
    waiting = [(root, False)]
    while waiting:
        x, are_done = waiting.pop()
        if are_done:
            order.append(x)
        elif x not in seen:
            seen.add(x)
            waiting.append((x, True))
            waiting += [(y, False) for y in operands(x) if y not in seen]
    return order
