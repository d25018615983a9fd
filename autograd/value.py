"""Value: a float that remembers how it was made.

>>> a, b = Value(2.0, label="a"), Value(-3.0, label="b")
>>> c = a * b + a
>>> c.backward()
>>> c.data, a.grad, b.grad
(-4.0, -2.0, 2.0)

Operators and functions on Values make new Values; each records the row of the table (`op`) that
made it and its operands (`parents`). Nothing here computes a derivative: the table states them,
`backward.py` multiplies and sums them.
"""

import operator
from _thread import allocate_lock
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import copysign
from typing import TYPE_CHECKING, Any

from . import ops
from .floats import kind_of, real, shape_of, short
from .ops import OPS, Op
from .recording import as_recorded, modes
from .refusals import refuse_in

if TYPE_CHECKING:
    from graphviz import Digraph

    from .hooks import Hook

# Leaves and nodes carry a time stamp: a node, when it was made; a leaf, when its data last changed.
# A leaf newer than a node made from it is how a stale graph shows.
_now = 0
_clock = allocate_lock()
_new = object.__new__
_stamp = operator.attrgetter("_stamp")

# One class for all nodes, kinds of leaf included: CPython's attribute caches know one class at a time.
VARIABLE, PARAMETER, CONSTANT, RESULT = KINDS = ("variable", "parameter", "constant", "result")


class StaleGraphError(RuntimeError):
    """A leaf was given new data after the graph was built, so that its results are old."""


class Value:
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

    # One or two operands have a field each. Where _x is None, the operands are the tuple _xs.
    __slots__ = (
        "_float",
        "_grad",
        "_label",
        "op",
        "_kind",
        "_x",
        "_y",
        "_xs",
        "_stamp",
        "_mark",
        "_hooks",
        "__weakref__",
    )

    _float: float
    _grad: float | None  # None until a pass has reached the node
    _label: str
    op: Op | None
    _kind: str
    _x: "Value | None"
    _y: "Value | None"
    _xs: "tuple[Value, ...]"
    _stamp: int
    _mark: int
    _hooks: "list[Hook]"  # set on nodes with hooks only

    # Above NumPy's scalars, so that np.float64(2) * v comes here at once; below its arrays, which ask each element.
    __array_priority__ = -1.0

    def __init__(self, data: Any, label: str = "", kind: str = VARIABLE) -> None:
        self._float = real(data)
        self._grad = None
        if type(label) is str:
            self._label = label
        else:
            self.label = label
        self.op = self._x = self._y = None
        self._xs = ()
        self._stamp = _now
        self._mark = 0
        self._kind = VARIABLE
        self.kind = kind

    @property
    def data(self) -> float:
        """The float this node holds."""
        return self._float

    @data.setter
    def data(self, data: Any) -> None:
        if self.op is not None:
            raise ValueError(
                f"{self!r} is the result of {self.op.name}, only a leaf's data can be set; "
                "right: set the data of its leaves, then build the expression again"
            )
        data, before = real(data), self._float
        self._float = data
        if data != before or copysign(1.0, data) != copysign(1.0, before):
            self._stamp = next_moment()

    @property
    def grad(self) -> float:
        """d(output)/d(this) as the backward passes left it; 0.0 before any."""
        return 0.0 if self._grad is None else self._grad

    @grad.setter
    def grad(self, grad: Any) -> None:
        self._grad = real(grad)

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
        return self._kind

    @kind.setter
    def kind(self, kind: str) -> None:
        if self.op is not None or not isinstance(kind, str) or kind not in (VARIABLE, PARAMETER, CONSTANT):
            given = repr(kind) if isinstance(kind, str) else type(kind).__name__
            raise ValueError(f"a leaf's kind is one of 'variable', 'parameter', 'constant'; got {given} for {self!r}")
        self._kind = KINDS[KINDS.index(kind)]  # the very string, so that `is` finds it

    @property
    def parents(self) -> "tuple[Value, ...]":
        """The operands, in order, repeats kept; () for a leaf."""
        if self._x is None:
            return self._xs
        return (self._x,) if self._y is None else (self._x, self._y)

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
        from .backward import backward

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
        if self._kind is CONSTANT:
            raise ValueError(f"{self!r} is a constant, which gets no gradient; register the hook on a variable")
        return Hook(self, hook)

    def detach(self) -> "Value":
        """The same number and label as a constant leaf: no gradient flows through it."""
        return Value(self._float, self.label, CONSTANT)

    def _become_leaf(self) -> None:
        """Forget what this was made of: it is a variable from now on, and its graph is let go."""
        self.op = self._x = self._y = None
        self._xs = ()
        self._kind = VARIABLE

    def draw(self, **options: Any) -> "Digraph":
        """The graph that made this, as autograd.draw(self, ...) gives it."""
        from .drawing import draw

        return draw(self, **options)

    @staticmethod
    def apply_op(op: Op, operands: Sequence[Any]) -> "Value":
        """The node that a row makes of its operands, plain numbers among them becoming constants."""
        if op.variadic or len(operands) > 2:
            xs = tuple([x if isinstance(x, Value) else _constant(x) for x in operands])
            return _record(op, op.evaluate(*[x._float for x in xs]), None, None, xs)
        x, *y = [x if isinstance(x, Value) else _constant(x) for x in operands]
        return _binary(op, x, y[0]) if y else _unary(op, x)

    # Python's operators: the fast way to the rows whose `operator` they are.
    # fmt: off
    def __add__(self, y: "Value | float") -> "Value":
        return _record(ops.add, self._float + y._float, self, y) if isinstance(y, Value) else _binary(ops.add, self, y)
    def __sub__(self, y: "Value | float") -> "Value":
        return _record(ops.sub, self._float - y._float, self, y) if isinstance(y, Value) else _binary(ops.sub, self, y)
    def __mul__(self, y: "Value | float") -> "Value":
        return _record(ops.mul, self._float * y._float, self, y) if isinstance(y, Value) else _binary(ops.mul, self, y)
    def __truediv__(self, y: "Value | float") -> "Value": return _binary(ops.div, self, y)
    def __pow__(self, y: "Value | float") -> "Value": return _binary(ops.pow, self, y)
    def __radd__(self, x: "Value | float") -> "Value": return _reflected(ops.add, x, self)
    def __rsub__(self, x: "Value | float") -> "Value": return _reflected(ops.sub, x, self)
    def __rmul__(self, x: "Value | float") -> "Value": return _reflected(ops.mul, x, self)
    def __rtruediv__(self, x: "Value | float") -> "Value": return _reflected(ops.div, x, self)
    def __rpow__(self, x: "Value | float") -> "Value": return _reflected(ops.pow, x, self)
    def __neg__(self) -> "Value": return _unary(ops.neg, self)
    def __abs__(self) -> "Value": return _unary(ops.abs, self)
    def __pos__(self) -> "Value": return self

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
        kind = f", kind={self._kind!r}" if self._kind is CONSTANT else ""
        return f"{type(self).__name__}({short(self._float)}{label}{grad}{kind})"

    if TYPE_CHECKING:
        # The methods that rows become. Not at run time: it would make every attribute slower.
        def __getattr__(self, name: str) -> "Callable[..., Value]": ...

    def __copy__(self) -> "Value":
        from .copying import copy_node

        return copy_node(self, self.parents)

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
    if taken or op.name in _BUILT_IN:
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


def next_moment() -> int:
    """A time stamp later than all that there are: leaves that are made from now on have it, or a later one."""
    global _now
    with _clock:
        _now += 1
        return _now


def refuse_stale(node: Value) -> None:
    """Raise StaleGraphError, naming the leaf, if one was changed after the node was made from it."""
    for leaf in node.parents:
        if leaf._stamp > node._stamp:
            name = leaf.label or repr(leaf)
            raise StaleGraphError(
                f"the data of leaf {name!r} was set after {node!r} was computed from it. "
                "Wrong: y = f(x); x.data = 3.0; y.backward(). Right: x.data = 3.0; y = f(x); y.backward()"
            )


def refuse_stale_graph(leaves: Iterable[Value], inner: Iterable[Value]) -> None:
    """The same for a whole graph: its leaves and the nodes computed from them."""
    newest = max(map(_stamp, leaves))
    for node in inner:
        if node._stamp < newest:
            refuse_stale(node)


def _operand(x: Any) -> Any:
    """x as a Value; NotImplemented for an array with axes or of objects, which then goes over its elements."""
    if isinstance(x, Value):
        return x
    if type(x) is float or isinstance(x, (float, int)) or not hasattr(type(x), "__array_ufunc__"):
        return _constant(x)
    return NotImplemented if shape_of(x) or kind_of(x) == "O" else _constant(x)


def _constant(x: object) -> Value:
    leaf = _record(None, real(x), None, None)
    leaf._kind = CONSTANT
    return leaf


def _compare(relation: Callable[[float, float], bool], x: Value, y: Any) -> bool:
    y = _operand(y)
    if y is NotImplemented:
        return y  # type: ignore[no-any-return]
    return relation(x._float, y._float)


def _binary(op: Op, x: Value, y: Any) -> Value:
    y = _operand(y)
    if y is NotImplemented:
        return y  # type: ignore[no-any-return]
    try:
        data = op.forward(x._float, y._float)
    except (ArithmeticError, ValueError):
        data = op.limit(x._float, y._float)
    return _record(op, data if type(data) is float else real(data), x, y)


def _reflected(op: Op, x: Any, y: Value) -> Value:
    x = _operand(x)
    if x is NotImplemented:
        return x  # type: ignore[no-any-return]
    return _binary(op, x, y)


def _unary(op: Op, x: Value) -> Value:
    try:
        data = op.forward(x._float)
    except (ArithmeticError, ValueError):
        data = op.limit(x._float)
    return _record(op, data if type(data) is float else real(data), x, None)


def _record(op: Op | None, data: float, x: Value | None, y: Value | None, xs: tuple[Value, ...] = ()) -> Value:
    """A new node. Nearly all are made here, so it goes past __init__ and its checks."""
    node = _new(Value)
    node._float = data
    node._grad = None
    node._label = ""
    node.op = op
    node._kind = RESULT
    node._x = x
    node._y = y
    if x is None:
        node._xs = xs
    node._stamp = _now
    node._mark = 0
    return as_recorded(node) if modes else node


def _method_names(op: Op) -> set[str]:
    """What a row is called as a method of its first operand: its name if it needs no other, and NumPy's name."""
    return {op.name if op.required == 1 and not op.variadic else "", op.numpy} - {""}


def _add_methods(op: Op) -> None:
    def method(self: Value, *args: Any, **named: Any) -> Value:
        return op(self, *args, **named) if args or named or len(op.operands) > 1 else _unary(op, self)

    method.__name__, method.__qualname__, method.__doc__ = op.name, f"Value.{op.name}", op.__doc__
    for name in _method_names(op):
        setattr(Value, name, method)


_BUILT_IN = frozenset(OPS)
for _op in OPS.values():
    _add_methods(_op)
refuse_in(Value)
