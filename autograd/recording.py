"""What a thread records as it builds a graph: the graph (as a rule), nothing (no_grad), or also the source
line of each node, to name the one that went wrong (detect_anomaly).

>>> from autograd import Value
>>> with no_grad():
...     y = Value(2.0) * 3
>>> y.parents
()
"""

import sys
from _thread import get_ident
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import isfinite, isinf, isnan
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from .floats import short

if TYPE_CHECKING:
    from .value import Value


class Mode(NamedTuple):
    """What to record: the graph or not; the line of each node or not; whether to refuse anomalies; who sees nodes."""

    graph: bool = True
    lines: "WeakKeyDictionary[Value, str] | None" = None
    refuse: bool = False
    see: "Callable[[Value], Value] | None" = None


_AS_A_RULE = Mode()
_PACKAGE = __file__.removesuffix("recording.py")
modes: dict[int, Mode] = {}  # of the threads that record otherwise than as a rule


class AnomalyError(FloatingPointError):
    """A value that is nan, or infinite without an infinite operand; a gradient gone nan or infinite on its way back."""


@contextmanager
def no_grad() -> Iterator[None]:
    """Within it, in this thread, results are leaves: no graph is recorded. Also a decorator, @no_grad().

    >>> @no_grad()
    ... def predict(x):
    ...     return 2 * x
    >>> from autograd import Value
    >>> predict(Value(1.0)).op is None
    True
    """
    with _mode(_current()._replace(graph=False)):
        yield


@contextmanager
def record_graph() -> Iterator[None]:
    """Within it, in this thread, the graph is recorded, even under no_grad.

    >>> from autograd import Value
    >>> with no_grad(), record_graph():
    ...     y = 2 * Value(1.0)
    >>> y.op.name
    'mul'
    """
    mode = _current()
    if mode.graph:
        yield
    else:
        with _mode(mode._replace(graph=True)):
            yield


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """Within it, in this thread, the first value or gradient to go nan or infinite raises AnomalyError.

    The error names the operation, its operands and the source line that made the node. Slow: for debugging.

    >>> from autograd import Value
    >>> with detect_anomaly():  # doctest: +ELLIPSIS
    ...     y = 1 / Value(0.0, label="x")
    Traceback (most recent call last):
    autograd.recording.AnomalyError: div(1.0, x = 0.0) is inf, made at line 2 of ...
    """
    with _mode(_current()._replace(lines=WeakKeyDictionary(), refuse=True)):
        yield


@contextmanager
def record_lines() -> "Iterator[WeakKeyDictionary[Value, str]]":
    """Within it, in this thread, the source line that makes each node is noted in the mapping it gives.

    >>> from autograd import Value
    >>> with record_lines() as lines:
    ...     y = Value(1.0) + 2
    >>> lines[y][:10]
    'line 2 of '
    """
    lines: WeakKeyDictionary[Value, str] = WeakKeyDictionary()
    with _mode(_current()._replace(lines=lines)):
        yield lines


@contextmanager
def seeing(see: "Callable[[Value], Value]") -> Iterator[None]:
    """Within it, in this thread, each Value that is made with its graph goes through a function, under no_grad too.

    >>> from autograd import Value
    >>> def see(made):
    ...     print(made)
    ...     return made
    >>> with seeing(see):
    ...     y = Value(1.0) * Value(2.0)
    Value(2.0)
    """
    with _mode(Mode(see=see)):
        yield


def is_seen() -> bool:
    """Whether what this thread makes is seen: see `seeing`."""
    return bool(modes) and _current().see is not None


def is_recording() -> bool:
    """Whether this thread records the graph: not under no_grad."""
    return not modes or _current().graph


def _current() -> Mode:
    return modes.get(get_ident(), _AS_A_RULE)


@contextmanager
def _mode(mode: Mode) -> Iterator[None]:
    thread = get_ident()
    before = modes.get(thread)
    modes[thread] = mode
    try:
        yield
    finally:
        if before is None:
            del modes[thread]
        else:
            modes[thread] = before


def as_recorded(node: "Value") -> "Value":
    """A new node as this thread records it: a leaf under no_grad, looked at under detect_anomaly."""
    mode = modes.get(get_ident(), _AS_A_RULE)  # as _current() has it, for every node
    if mode.lines is not None and node.op is not None:
        mode.lines[node] = source_line()
        if mode.refuse and (isnan(node.data) or (isinf(node.data) and not any([isinf(p.data) for p in node.parents]))):
            raise AnomalyError(f"{in_words(node)} is {node.data}, made at {mode.lines[node]}")
    if mode.see is not None:
        return mode.see(node)
    if not mode.graph:
        node._become_leaf()
    return node


def refuse_gradient_anomaly(order: "Sequence[Value]", gradient: "Callable[[Value], float | None]") -> None:
    """Under detect_anomaly, raise AnomalyError if a finite gradient became nan or infinite on the way back.

    gradient: what the pass over the nodes in `order` found for a node."""
    if not _current().refuse:
        return
    for node in reversed(order):
        own = gradient(node)
        if own is not None and isnan(own):  # had another node made it so, that would have been found below
            raise AnomalyError(
                f"the gradient of {in_words(node)} is {own} to begin with, by backward or a hook; "
                f"made at {_line_of(node)}"
            )
        for slot, parent in enumerate(node.parents):
            g = gradient(parent)
            if own is not None and g is not None and (isnan(g) or (isinf(g) and isfinite(own))):
                raise AnomalyError(
                    f"the gradient of operand {slot} of {in_words(node)} is {g}, where the node's own is {short(own)}; "
                    f"made at {_line_of(node)}"
                )


def refuse_tangent_anomaly(order: "Sequence[Value]", tangent: "Callable[[Value], float | None]") -> None:
    """The same for a pass forward, which found the tangents of the nodes in `order`."""
    if not _current().refuse:
        return
    for node in order:
        own = tangent(node)
        if own is not None and not isfinite(own):
            raise AnomalyError(f"the tangent of {in_words(node)} is {own}; made at {_line_of(node)}")


def name_the_node(error: AnomalyError, node: "Value") -> AnomalyError:
    """What to say of an anomaly in a partial of node, where the gradient is built as a graph."""
    return AnomalyError(f"{error}; that is in the derivative of {in_words(node)}, made at {_line_of(node)}")


def _line_of(node: "Value") -> str:
    lines = _current().lines
    return "a line outside detect_anomaly()" if lines is None or node not in lines else lines[node]


def in_words(node: "Value") -> str:
    """A node as the call that made it, with its label and the labels and data of its operands: of many, the first."""
    parents = node.parents
    operands = [(f"{p.label} = " if p.label else "") + repr(p.data) for p in parents[:8]]
    operands += [f"and {len(parents) - 8} more"] if len(parents) > 8 else []
    name = f"{node.label} = " if node.label else ""
    return f"{name}{node.op.name if node.op else 'leaf'}({', '.join(operands)})"


def source_line() -> str:
    """Where the code that called into this package stands."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return f"line {frame.f_lineno} of {frame.f_code.co_filename}"
