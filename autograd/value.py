"""Value: a float that remembers how it was made.

>>> a, b = Value(2.0, label="a"), Value(-3.0, label="b")
>>> c = a * b + a
>>> c.backward()
>>> c.data, a.grad, b.grad
(-4.0, -2.0, 2.0)

Operators and functions on Values make new Values; each records the row of the table (`op`) that
made it and its operands (`parents`). Nothing here computes a derivative: the table states them,
`node.py`, whose Node this is, multiplies and sums them.
"""

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from .backward import backward
from .compiled import show_alike
from .floats import real, short
from .node import (
    KINDS,
    Node,
    apply_op,
    become_leaf,
    operand,
    operands_of,
    set_cotangent,
    set_number,
    shared,
    unary,
)
from .ops import OPS, Op
from .recording import is_seen
from .refusals import StaleGraphError as StaleGraphError, refuse_in, refuse_stale

if TYPE_CHECKING:
    from graphviz import Digraph

    from .hooks import Hook

VARIABLE, PARAMETER, CONSTANT, RESULT = KINDS
DETACH = Op("detach", lambda x: x, (lambda out, x: 0.0,))  # no derivative flows through, be it infinite or nan


class Value(Node):
    """One float in a computation graph.

    data               the float; can be set on a leaf
    grad               d(output)/d(this): summed over all passes on a leaf, of the last pass on an inner node
    label              a name for pictures and explanations
    kind               "variable", "parameter" (of a model), "constant" (a plain number, grad stays 0) or "result"
    op                 the row of the table that made it; None for a leaf
    parents            its operands, in order, repeats kept
    local_derivatives  one function per parent; calling it gives d(this)/d(parent)

    Raises TypeError if data is not a real number, ValueError for another kind.

    >>> x = Value(3.0, label="x")
    >>> y = x**2
    >>> y.parents[0] is x, y.local_derivatives[0]()
    (True, 6.0)
    """

    __slots__ = ("__weakref__",)
    _known = True  # whether there is a number yet
    if not TYPE_CHECKING:
        __new__ = Node.__new__  # which help() then shows, whether Node has one of its own or not

    # Above NumPy's scalars, so that np.float64(2) * v comes here at once; below its arrays, which ask each element.
    __array_priority__ = -1.0

    def __init__(self, data: Any, label: str = "", kind: str = VARIABLE) -> None:
        become_leaf(self, real(data))
        if type(label) is str:
            self._label = label
        else:
            self.label = label
        if kind is not VARIABLE:
            self.kind = kind

    @property
    def data(self) -> float:
        """The float this node holds."""
        return self._float

    @data.setter
    def data(self, data: Any) -> None:
        if self._rule is not None:
            raise ValueError(
                f"{self!r} is the result of {self._rule.op.name}, only a leaf's data can be set; "
                "right: set the data of its leaves, then build the expression again"
            )
        set_number(self, data if type(data) is float else real(data))

    @property
    def grad(self) -> float:
        """d(output)/d(this) as the backward passes left it; 0.0 before any."""
        return self._cotangent

    @grad.setter
    def grad(self, grad: Any) -> None:
        set_cotangent(self, grad if type(grad) is float else real(grad))

    @property
    def _grad(self) -> float | None:
        """The same, but None before any pass."""
        return self._cotangent if self._reached else None

    @_grad.setter
    def _grad(self, grad: Any) -> None:
        set_cotangent(self, None if grad is None else real(grad))

    @property
    def op(self) -> Op | None:
        """The row of the table that made this; None for a leaf."""
        rule = self._rule
        return None if rule is None else rule.op

    @property
    def label(self) -> str:
        """The name in pictures and explanations; "" for none."""
        return self._label

    @label.setter
    def label(self, label: str) -> None:
        if not isinstance(label, str):
            raise TypeError(f"label must be a str, got {type(label).__name__}; right: Value(2.0, label='x')")
        self._label = label

    @property
    def kind(self) -> str:
        """What sort of node this is. On a leaf it can be set: a parameter made a constant is frozen."""
        return KINDS[self._kind]

    @kind.setter
    def kind(self, kind: str) -> None:
        if self._rule is not None or not isinstance(kind, str) or kind not in (VARIABLE, PARAMETER, CONSTANT):
            given = repr(kind) if isinstance(kind, str) else type(kind).__name__
            raise ValueError(f"a leaf's kind is one of 'variable', 'parameter', 'constant'; got {given} for {self!r}")
        self._kind = KINDS.index(kind)

    @property
    def parents(self) -> "tuple[Value, ...]":
        """The operands, in order, repeats kept; () for a leaf."""
        return operands_of(self)  # type: ignore[return-value]

    @property
    def local_derivatives(self) -> tuple[Callable[[], float], ...]:
        """One function per parent, giving d(this)/d(parent) at the recorded operands.

        Raises StaleGraphError if a parent's data was changed since.
        """
        if self.op is None:
            return ()
        parents, derivatives = self.parents, self.op.derivatives
        refuse_stale(self)
        out, operands, found = self._float, [p._float for p in parents], list[float]()

        def local_derivative(slot: int) -> float:
            if not found:
                found.extend(derivatives(out, operands))
            return found[slot]

        return tuple([partial(local_derivative, slot) for slot in range(len(parents))])

    def backward(self, gradient: float = 1.0) -> None:
        """The reverse pass from here: adds gradient * d(this)/d(leaf) into every leaf's grad. See backward.py."""
        backward(self, gradient)

    def register_hook(self, hook: "Callable[[Any], Any]") -> "Hook":
        """Have hook(g) called with d(output)/d(this) whenever a reverse pass has found it, summed over all paths.

        What it returns goes on in place of g, to the operands and into grad; None leaves g as it is. Returns a
        handle with remove(), which the end of a `with` block calls. Copies and pickles do not carry hooks. Raises
        TypeError if hook is not callable, ValueError on a constant.

        >>> x = Value(3.0)
        >>> handle = x.register_hook(lambda g: -g)
        >>> (x * x).backward()
        >>> x.grad
        -6.0
        """
        from .hooks import Hook

        if not callable(hook):
            raise TypeError(f"wrong: v.register_hook({hook!r}); right: v.register_hook(lambda g: 2 * g)")
        if self.kind == CONSTANT:
            raise ValueError(f"{self!r} is a constant, which gets no gradient; register the hook on a variable")
        return Hook(self, hook)

    def detach(self) -> "Value":
        """The same number and label as a constant leaf: no gradient flows through it."""
        if is_seen():  # what is traced may have no number yet, or another later
            return self.apply_op(DETACH, (self,))
        return Value(self._float, self.label, CONSTANT)

    def _become_leaf(self) -> None:
        """Forget what this was made of: it is a variable from now on, and its graph is let go."""
        become_leaf(self, self._float)

    def draw(self, **options: Any) -> "Digraph":
        """The graph that made this, as autograd.draw(self, ...) gives it."""
        from .drawing import draw

        return draw(self, **options)

    @staticmethod
    def apply_op(op: Op, operands: Sequence[Any]) -> "Value":
        """The node that a row makes of its operands, plain numbers among them becoming constants."""
        return apply_op(op, operands)  # type: ignore[no-any-return]

    # fmt: off
    if TYPE_CHECKING:  # what the operators, which are Node's, make of a Value
        def __add__(self, value: "Value | float", /) -> "Value": ...
        def __sub__(self, value: "Value | float", /) -> "Value": ...
        def __mul__(self, value: "Value | float", /) -> "Value": ...
        def __truediv__(self, value: "Value | float", /) -> "Value": ...
        def __pow__(self, value: "Value | float", mod: None = None, /) -> "Value": ...
        def __radd__(self, value: "Value | float", /) -> "Value": ...
        def __rsub__(self, value: "Value | float", /) -> "Value": ...
        def __rmul__(self, value: "Value | float", /) -> "Value": ...
        def __rtruediv__(self, value: "Value | float", /) -> "Value": ...
        def __rpow__(self, value: "Value | float", mod: None = None, /) -> "Value": ...
        def __neg__(self) -> "Value": ...
        def __pos__(self) -> "Value": ...
        def __abs__(self) -> "Value": ...

    # Comparisons compare data; == and hash stay identity.
    def __lt__(self, y: "Value | float") -> bool: return _compare(operator.lt, self, y)
    def __le__(self, y: "Value | float") -> bool: return _compare(operator.le, self, y)
    def __gt__(self, y: "Value | float") -> bool: return _compare(operator.gt, self, y)
    def __ge__(self, y: "Value | float") -> bool: return _compare(operator.ge, self, y)
    # fmt: on

    def __bool__(self) -> bool:
        raise TypeError(
            "the truth of a Value would leave the graph; wrong: if v; right: if v.data, or autograd.where(v, x, y)"
        )

    def __float__(self) -> float:
        raise TypeError(
            "float(v) would leave the graph; wrong: math.exp(v); right: autograd.exp(v), or v.data for the plain number"
        )

    def conjugate(self) -> "Value":
        """The Value itself, as for any real number. NumPy's std and vdot ask for it."""
        return self

    def __format__(self, spec: str) -> str:
        return format(self._float, spec) if spec else repr(self)

    def __repr__(self) -> str:
        label = f", label={self.label!r}" if self.label else ""
        grad = f", grad={short(self._grad)}" if self._grad is not None else ""
        kind = f", kind={self.kind!r}" if self.kind == CONSTANT else ""
        return f"{type(self).__name__}({short(self._float)}{label}{grad}{kind})"

    if TYPE_CHECKING:
        # The methods that rows become. Not at run time: it would make every attribute slower.
        def __getattr__(self, name: str) -> "Callable[..., Value]": ...

    def __copy__(self) -> "Value":
        from .copying import copy_node

        return copy_node(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Value":
        from .copying import deepcopy_graph

        return deepcopy_graph(self, memo)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        from .copying import reduce_graph

        return reduce_graph(self)

    @property
    def _prev(self) -> "set[Value]":  # micrograd's name
        return set(self.parents)

    @property
    def _op(self) -> str:  # micrograd's name
        return self.op.symbol if self.op is not None else ""


def register(op: Op) -> Op:
    """Enter a row of one's own in the table; every part of the library then knows it. Returns the row.

    A row that takes one operand becomes a method of Value. Registering the name again replaces the
    row; the built-in rows stay. Raises TypeError for anything but an Op, ValueError for a taken name.

    >>> cube = register(Op("cube", lambda x: x**3, (lambda out, x: 3 * x * x,), latex="{x}^3"))
    >>> Value(2.0).cube()
    Value(8.0)
    """
    if not isinstance(op, Op):
        raise TypeError(f"expected an Op, got {type(op).__name__}; right: register(Op('cube', forward, (partial,)))")
    from . import __dir__ as public_names

    taken = op.name not in OPS and (op.name in public_names() or hasattr(Value, op.name))
    if taken or op.name in BUILT_IN:
        raise ValueError(f"the name {op.name!r} is taken; give the row another, as in Op('my_{op.name}', ...)")
    if op.operator:
        raise ValueError(f"Python's operators belong to built-in rows; leave operator={op.operator!r} out")
    before = _method_names(OPS[op.name]) if op.name in OPS else set()
    if op.numpy and op.numpy not in before and hasattr(Value, op.numpy):
        raise ValueError(f"Value has an attribute {op.numpy!r} already; leave numpy={op.numpy!r} out")
    for name in before:
        delattr(Value, name)
    OPS[op.name] = op
    _add_methods(op)
    return op


def _compare(relation: Callable[[float, float], bool], x: Value, y: Any) -> bool:
    y = operand(y)
    if y is NotImplemented:
        return y  # type: ignore[no-any-return]
    return relation(x._float, y._float)


def _method_names(op: Op) -> set[str]:
    """What a row is called as a method of its first operand: its name if it needs no other, and NumPy's name."""
    return {op.name if op.required == 1 and not op.variadic else "", op.numpy} - {""}


def _add_methods(op: Op) -> None:
    rule = op.rule

    def method_of_one(self: Value, *others: Any) -> Value:
        return op(self, *others) if others else unary(rule, self)  # type: ignore[no-any-return]

    def method_of_more(self: Value, *others: Any, **named: Any) -> Value:
        return op(self, *others, **named)  # type: ignore[no-any-return]

    method = method_of_one if rule.unary else method_of_more
    method.__name__, method.__qualname__, method.__doc__ = op.name, f"Value.{op.name}", op.__doc__
    for name in _method_names(op):
        setattr(Value, name, method)


BUILT_IN = frozenset(OPS)
for _op in OPS.values():
    _add_methods(_op)
refuse_in(Value)
show_alike(Node)
shared.cls = Value
