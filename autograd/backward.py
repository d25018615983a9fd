"""The reverse pass: the chain rule, applied in reverse topological order.

>>> from autograd import Value
>>> x = Value(3.0)
>>> (x**3).backward()
>>> x.grad
27.0
>>> (x**3).backward()  # leaves sum over passes
>>> x.grad
54.0
"""

from _thread import RLock
from typing import Any

from .floats import real
from .graph import sort
from .hooks import hooked
from .recording import modes, refuse_gradient_anomaly
from .refusals import bad_partials, plain
from .value import CONSTANT, Value, refuse_stale_graph

_pass = RLock()  # cotangents live on the nodes while a pass runs: one pass at a time


def backward(root: Value, gradient: float = 1.0) -> None:
    """Add gradient * d(root)/d(leaf) into the grad of every leaf that root depends on.

    The cotangent of each inner node, d(root)/d(node) summed over all paths, replaces its grad.
    Raises StaleGraphError if a leaf was changed since the graph was built, ValueError for a constant.
    An error leaves the gradients of the leaves as they were, a refusal all gradients.

    >>> a = Value(2.0)
    >>> backward(a * a * a, gradient=10.0)
    >>> a.grad
    120.0
    """
    gradient = real(gradient)
    if root.kind == CONSTANT:
        raise ValueError(f"{root!r} is a constant: no gradient flows from it; call backward on a result of Values")
    with _pass:
        leaves, order = sort((root,))
        refuse_stale_graph(leaves, order)
        before = [leaf._grad for leaf in leaves]
        try:
            if hooked and any([v in hooked for v in (*leaves, *order)]):
                _pass_with_hooks(root, gradient, leaves, order)
            else:
                for node in order:
                    node._grad = 0.0
                for leaf in leaves:
                    if leaf._grad is None:
                        leaf._grad = 0.0
                root._grad = (root._grad or 0.0) + gradient
                _sweep(order)
            for leaf in leaves:
                if type(leaf._grad) is not float:
                    leaf._grad = plain(leaf._grad)
            if modes:
                refuse_gradient_anomaly(order, Value.grad.__get__)
        except BaseException:
            for node in order:
                node._grad = None
            for leaf, grad in zip(leaves, before, strict=True):
                leaf._grad = grad
            raise
        for leaf, grad in zip(leaves, before, strict=True):
            if leaf._kind is CONSTANT:
                leaf._grad = grad


def _pass_with_hooks(root: Value, gradient: float, leaves: list[Value], order: list[Value]) -> None:
    """The same, off the nodes: a hook may run a pass of its own over some of them."""
    from .passes import Linearization

    found = Linearization([root], [*leaves, *order]).pull_back([gradient])
    for leaf, g in zip(leaves, found, strict=False):
        leaf._grad = leaf.grad + g
    for node, g in zip(order, found[len(leaves) :], strict=True):
        node._grad = g


def _sweep(order: list[Value]) -> None:
    for node in reversed(order):
        op: Any = node.op
        g = node._grad
        x: Any = node._x
        y: Any = node._y
        pullback = op.pullback
        try:
            if y is None:
                if x is not None:
                    (gx,) = pullback(g, node._float, x._float)
                    x._grad += gx
                    continue
                cotangents = pullback(g, node._float, *[v._float for v in node._xs])
            elif y._kind is CONSTANT:
                x._grad += pullback(g, node._float, x._float, y._float)[0]
                continue
            else:
                gx, gy = pullback(g, node._float, x._float, y._float)
                x._grad += gx
                y._grad += gy
                continue
        except ArithmeticError:  # a plain float raised where IEEE 754 has a value
            cotangents = [g * d for d in op.derivatives(node._float, [v._float for v in node.parents])]
        except (TypeError, ValueError, IndexError) as error:
            raise bad_partials(node, error) from error
        for v, gv in zip(node.parents, cotangents, strict=True):
            v._grad += gv
