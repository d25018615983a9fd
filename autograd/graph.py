"""Walks over the graph that made a Value. None of them recurses, so depth is no limit.

>>> from autograd import Value
>>> x, y = Value(2.0, label="x"), Value(3.0, label="y")
>>> z = x * y + x
>>> [v.label or v.op.name for v in topological_order(z)]
['x', 'y', 'mul', 'add']
"""

from _thread import allocate_lock
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from .value import Value

_T = TypeVar("_T")

_walking = allocate_lock()
_mark = 0


def topological_order(*roots: Value) -> list[Value]:
    """Every node that the roots depend on, the roots included, each once: leaves, then operands before results."""
    leaves, inner = sort(roots)
    return leaves + inner


def leaves(*roots: Value) -> list[Value]:
    """The variables, parameters and constants that the roots depend on, in order of first use."""
    return sort(roots)[0]


def sort(roots: Iterable[Value]) -> tuple[list[Value], list[Value]]:
    """The leaves, in order of first use, and the inner nodes in topological order: operands before results.

    A depth-first walk: from a node go down into its first operand not yet done, and come back to it
    once that is done; when all its operands are, the node is. A mark on the node says that it is done,
    which is faster than a set of those that are, and why one walk runs at a time.
    """
    global _mark
    roots = list(roots)
    for root in roots:
        if not isinstance(root, Value):
            raise TypeError(f"expected Values, got {type(root).__name__}; wrong: leaves([a, b]); right: leaves(a, b)")
    leaves: list[Value] = []
    order: list[Value] = []
    waiting: list[Value] = []  # the nodes we came down from
    operands: dict[Value, Iterator[Value]] = {}  # of the n-ary nodes among them: those not looked at yet
    push, pop, finish = waiting.append, waiting.pop, order.append
    with _walking:
        _mark = done = _mark + 1
        for node in roots:
            if node._mark == done:
                continue
            if node.op is None:
                node._mark = done
                leaves.append(node)
                continue
            while True:
                x = node._x
                if x is None:
                    rest = operands.get(node) or iter(node._xs)
                    operand = _next_inner(rest, done, leaves)
                    if operand is not None:
                        operands[node] = rest
                        push(node)
                        node = operand
                        continue
                else:
                    if x._mark != done:
                        if x.op is not None:
                            push(node)
                            node = x
                            continue
                        x._mark = done
                        leaves.append(x)
                    y = node._y
                    if y is not None and y._mark != done:
                        if y.op is not None:
                            push(node)
                            node = y
                            continue
                        y._mark = done
                        leaves.append(y)
                node._mark = done
                finish(node)
                if not waiting:
                    break
                node = pop()
    return leaves, order


def _next_inner(operands: Iterator[Value], done: int, leaves: list[Value]) -> Value | None:
    for v in operands:
        if v._mark != done:
            if v.op is not None:
                return v
            v._mark = done
            leaves.append(v)
    return None


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
