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
from operator import attrgetter
from typing import TYPE_CHECKING

from .floats import real
from .hooks import hooked
from .node import A_CONSTANT, Walk, pass_back, refuse_stale_graph, walk
from .recording import modes, refuse_gradient_anomaly

if TYPE_CHECKING:
    from .value import Value

_pass = RLock()  # cotangents live on the nodes while a pass runs: one pass at a time


def backward(root: "Value", gradient: float = 1.0) -> None:
    """Add gradient * d(root)/d(leaf) into the grad of every leaf that root depends on.

    The cotangent of each inner node, d(root)/d(node) summed over all paths, replaces its grad.
    Raises StaleGraphError if a leaf was changed since the graph was built, ValueError for a constant.
    An error leaves the gradients of the leaves as they were, a refusal all gradients.

    >>> from autograd import Value
    >>> a = Value(2.0)
    >>> backward(a * a * a, gradient=10.0)
    >>> a.grad
    120.0
    """
    gradient = real(gradient)
    if root._kind == A_CONSTANT:
        raise ValueError(f"{root!r} is a constant: no gradient flows from it; call backward on a result of Values")
    with _pass:
        graph = walk((root,))
        if hooked or modes:
            _watched_pass(root, gradient, graph)
        else:
            pass_back(root, gradient, graph)


def _watched_pass(root: "Value", gradient: float, graph: Walk) -> None:
    """The same, for hooks to be called and anomalies refused."""
    refuse_stale_graph(graph)
    before = [leaf._grad for leaf in graph.leaves]
    try:
        if any([v in hooked for v in (*graph.leaves, *graph.inner)]):
            _pass_with_hooks(root, gradient, graph)
        else:
            pass_back(root, gradient, graph)
        if modes:
            refuse_gradient_anomaly(graph.inner, attrgetter("grad"))
    except BaseException:
        for node in graph.inner:
            node._grad = None
        for leaf, grad in zip(graph.leaves, before, strict=True):
            leaf._grad = grad
        raise


def _pass_with_hooks(root: "Value", gradient: float, graph: Walk) -> None:
    """The same, off the nodes: a hook may run a pass of its own over some of them."""
    from .passes import Linearization

    nodes = [*graph.leaves, *graph.inner]
    for v, g in zip(nodes, Linearization([root], nodes).pull_back([gradient]), strict=True):
        if v.op is not None:
            v._grad = g
        elif v._kind != A_CONSTANT:
            v._grad = v.grad + g
