"""The engine: nodes, the operators that make them, their topological order, and the chain rule passed back over it.

    y = x * x                   a node: its rule, its operands, its float
    graph = walk([y])           its leaves, and its inner nodes, operands before results
    pass_back(y, 1.0, graph)    d(y)/d(each node), summed over all paths

The nodes that a user meets are Values, and a node's rule belongs to a row of the table, an Op. This file
runs as it is; where there is a C compiler it is compiled at install (see compiled.py). So it declares the
type of every field, holds what runs for every node, and leaves what a user looks at to value.py.
"""

import math
from _thread import RLock
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from .floats import kind_of, real, shape_of
from .recording import Mode, as_recorded, modes
from .refusals import one_for_each, plain, refuse_partials, refuse_stale

try:
    from mypy_extensions import mypyc_attr
except ImportError:  # it tells the compiler something, and does nothing

    def mypyc_attr(*attrs: str, **kwattrs: object) -> Any:  # type: ignore[misc]
        return lambda cls: cls


if TYPE_CHECKING:
    from mypy_extensions import i64, u8

# What a node is; KINDS has the names.
A_VARIABLE: Final = 0
A_PARAMETER: Final = 1
A_CONSTANT: Final = 2
A_RESULT: Final = 3
KINDS: Final = ("variable", "parameter", "constant", "result")

INTERPRETED: Final = __file__.endswith((".py", ".pyc"))

_modes: Final[dict[int, Mode]] = modes


class _Shared:
    """What all nodes share.

    now    the time. Leaves and nodes carry a stamp: a node, when it was made; a leaf, when its data last
           changed. A leaf newer than a node made from it is how a stale graph shows.
    walk   the mark that the last walk over a graph left on its nodes
    cls    the class of the nodes that operations make
    """

    __slots__ = ("now", "walk", "cls")

    def __init__(self) -> None:
        self.now: i64 = 0
        self.walk: i64 = 0
        self.cls: type[Any] = Node


@mypyc_attr(allow_interpreted_subclasses=True)
class Node:
    # One or two operands have a field each. Where _x is None, the operands are the list _xs.
    __slots__ = (
        "_kind",
        "_reached",
        "_float",
        "_cotangent",
        "_stamp",
        "_mark",
        "_label",
        "_rule",
        "_x",
        "_y",
        "_xs",
    )

    _kind: "u8"
    _reached: bool  # by a reverse pass
    _float: float
    _cotangent: float
    _stamp: "i64"
    _mark: "i64"
    _label: str
    _rule: "Rule | None"  # None for a leaf
    _x: "Node | None"
    _y: "Node | None"
    _xs: "list[Node]"

    # Python's operators, under the names and with the words that CPython has for those of a compiled class.
    # fmt: off
    def __add__(self, value: Any, /) -> Any:
        """Return self+value."""
        if isinstance(value, Node):
            y: Node = value
            return _Made.__new__(shared.cls, ADD, self._float + y._float, self, y)
        return _binary(ADD, self, value)
    def __sub__(self, value: Any, /) -> Any:
        """Return self-value."""
        if isinstance(value, Node):
            y: Node = value
            return _Made.__new__(shared.cls, SUB, self._float - y._float, self, y)
        return _binary(SUB, self, value)
    def __mul__(self, value: Any, /) -> Any:
        """Return self*value."""
        if isinstance(value, Node):
            y: Node = value
            return _Made.__new__(shared.cls, MUL, self._float * y._float, self, y)
        return _binary(MUL, self, value)
    def __truediv__(self, value: Any, /) -> Any:
        """Return self/value."""
        if isinstance(value, Node):
            y: Node = value
            if y._float:
                return _Made.__new__(shared.cls, DIV, self._float / y._float, self, y)
        return _binary(DIV, self, value)
    def __pow__(self, value: Any, mod: Any = None, /) -> Any:
        """Return pow(self, value, mod)."""
        return _binary(POW, self, value) if mod is None else NotImplemented
    def __radd__(self, value: Any, /) -> Any:
        """Return value+self."""
        return _binary(ADD, value, self)
    def __rsub__(self, value: Any, /) -> Any:
        """Return value-self."""
        return _binary(SUB, value, self)
    def __rmul__(self, value: Any, /) -> Any:
        """Return value*self."""
        return _binary(MUL, value, self)
    def __rtruediv__(self, value: Any, /) -> Any:
        """Return value/self."""
        return _binary(DIV, value, self)
    def __rpow__(self, value: Any, /) -> Any:
        """Return pow(value, self, mod)."""
        return _binary(POW, value, self)
    def __neg__(self, /) -> Any:
        """-self"""
        return unary(NEG, self)
    def __pos__(self, /) -> Any:
        """+self"""
        return self
    def __abs__(self, /) -> Any:
        """abs(self)"""
        return unary(ABS, self)
    # fmt: on


shared: Final = _Shared()
_NO_OPERANDS: Final[list[Node]] = []
ticking: Final = RLock()
_walking: Final = RLock()  # one walk at a time; but a signal handler may walk in the middle of another


class _Made(Node):
    """Makes nodes of any class: in a `__new__`, and there alone, `object.__new__` compiles to a bare allocation.

    It has the fields of a Node and no others: the compiler lays out, in what it allocates here, those of this class.
    """

    __slots__ = ()

    def __new__(
        cls: "type[Node]",
        rule: "Rule | None",
        number: float,
        x: "Node | None",
        y: "Node | None",
        xs: "list[Node] | None" = None,
    ) -> Any:
        node = object.__new__(cls)
        node._kind = A_RESULT
        node._reached = False
        node._float = number
        node._cotangent = 0.0
        node._stamp = shared.now
        node._mark = 0
        node._label = ""
        node._rule = rule
        node._x = x
        node._y = y
        if xs is not None:
            node._xs = xs
        return as_recorded(cast(Any, node)) if _modes else node


class _Blank(Node):
    """The same, without anything in it."""

    __slots__ = ()

    def __new__(cls: "type[Node]") -> Any:
        return object.__new__(cls)


def constant(number: Any) -> Any:
    """A leaf for a plain number. TypeError and OverflowError as floats.real raises them."""
    node: Node = _Made.__new__(shared.cls, None, number if type(number) is float else real(number), None, None)
    node._kind = A_CONSTANT
    return node


def operand(x: Any) -> Any:
    """x as a node; NotImplemented for an array with axes or of objects, which then goes over its elements."""
    if isinstance(x, Node):
        return x
    if isinstance(x, (float, int)) or not hasattr(type(x), "__array_ufunc__"):
        return constant(x)
    return NotImplemented if shape_of(x) or kind_of(x) == "O" else constant(x)


def unary(rule: "Rule", x: Node) -> Any:
    """The node that a row makes of one operand."""
    return _Made.__new__(shared.cls, rule, rule.value(x._float), x, None)


def _binary(rule: "Rule", x: Any, y: Any) -> Any:
    """The node that a row makes of two operands; NotImplemented where one of them goes over its elements."""
    if not isinstance(x, Node):
        x = constant(x) if type(x) is float else operand(x)
        if x is NotImplemented:
            return x
    if not isinstance(y, Node):
        y = constant(y) if type(y) is float else operand(y)
        if y is NotImplemented:
            return y
    left: Node = x
    right: Node = y
    try:
        number = rule.forward(left._float, right._float)
    except (ArithmeticError, ValueError):
        number = rule.limit(left._float, right._float)
    return _Made.__new__(shared.cls, rule, number if type(number) is float else real(number), left, right)


def apply_op(op: Any, operands: Any) -> Any:
    """The node that a row makes of its operands, plain numbers among them becoming constants."""
    rule: Rule = op.rule
    xs: list[Any] = list(operands)
    for i in range(len(xs)):
        if not isinstance(xs[i], Node):
            xs[i] = constant(xs[i])
    if rule.variadic or len(xs) > 2:
        return _Made.__new__(shared.cls, rule, rule.evaluate(xs), None, None, xs)
    return unary(rule, xs[0]) if len(xs) == 1 else _binary(rule, xs[0], xs[1])


def neuron(ws: "list[Any]", xs: "list[Any]", b: Node, activation: Any) -> Any:
    """activation(ws[0]*xs[0] + ws[1]*xs[1] + ... + b), of Values all; the sum alone where activation is None."""
    operands: list[Any] = ws + xs
    operands.append(b)
    net = _Made.__new__(shared.cls, AFFINE, _dot(ws, xs) + b._float, None, None, operands)
    if activation is None:
        return net
    rule: Rule = activation.rule
    return unary(rule, net) if rule.unary else activation(net)


def _dot(ws: "list[Any]", xs: "list[Any]") -> float:
    weights: list[Node] = ws
    inputs: list[Node] = xs
    total = -0.0  # to which adding changes nothing
    for w, x in zip(weights, inputs):  # noqa: B905  compiles to a plain loop
        total += w._float * x._float
    return total


@mypyc_attr(allow_interpreted_subclasses=True)
class Rule:
    """How a row is evaluated on nodes, and how the chain rule takes a cotangent through it.

    This one serves every row: it asks the row's forward and pullback, which work on floats. Those below
    say the same of one row each, for speed; a test holds them equal to this.
    """

    __slots__ = ("op", "forward", "limit", "pullback", "unary", "variadic", "may_fail")

    op: Any
    forward: Any
    limit: Any
    pullback: Any
    unary: bool
    variadic: bool
    may_fail: bool  # its pull may raise: it calls functions of the row, which a user may have written

    def __init__(self, may_fail: bool = True) -> None:
        self.may_fail = may_fail

    def bind(self, op: Any) -> None:
        """Become the rule of a row."""
        self.op = op
        self.forward = op.forward
        self.limit = op.limit
        self.pullback = op.pullback
        self.unary = len(op.operands) == 1 and not op.variadic
        self.variadic = op.variadic

    def value(self, x: float) -> float:
        """The result for one operand."""
        try:
            number = self.forward(x)
        except (ArithmeticError, ValueError):
            number = self.limit(x)
        return number if type(number) is float else real(number)

    def evaluate(self, xs: "list[Node]") -> float:
        """The result for any number of operands."""
        number: float = self.op.evaluate(*[x._float for x in xs])
        return number

    def pull(self, node: Node) -> None:
        """Add to the cotangent of each operand: the node's, times the partial by that operand."""
        g = node._cotangent
        out = node._float
        x = node._x
        y = node._y
        try:
            if x is None:
                found = self.pullback(g, out, *[v._float for v in node._xs])
            elif y is None:
                found = self.pullback(g, out, x._float)
            else:
                found = self.pullback(g, out, x._float, y._float)
        except ArithmeticError:  # a plain float raised where IEEE 754 has a value
            found = [g * d for d in self.op.derivatives(out, [v._float for v in operands_of(node)])]
        except (TypeError, ValueError, IndexError) as error:
            refuse_partials(cast(Any, node), error)
        if x is not None and isinstance(found, tuple) and len(found) == (1 if y is None else 2):
            gx = found[0]
            x._cotangent += gx if type(gx) is float else plain(gx)
            if y is not None:
                gy = found[1]
                y._cotangent += gy if type(gy) is float else plain(gy)
        else:
            operands = operands_of(node)
            for v, gv in zip(operands, one_for_each(cast(Any, node), found)):  # noqa: B905
                v._cotangent += gv if type(gv) is float else plain(gv)


class _Add(Rule):
    def pull(self, node: Node) -> None:
        g = node._cotangent
        x = node._x
        y = node._y
        if x is not None and y is not None:
            x._cotangent += g
            y._cotangent += g


class _Sub(Rule):
    def pull(self, node: Node) -> None:
        g = node._cotangent
        x = node._x
        y = node._y
        if x is not None and y is not None:
            x._cotangent += g
            y._cotangent -= g


class _Mul(Rule):
    def pull(self, node: Node) -> None:
        g = node._cotangent
        x = node._x
        y = node._y
        if x is not None and y is not None:
            x._cotangent += g * y._float
            y._cotangent += g * x._float


class _Div(Rule):
    def pull(self, node: Node) -> None:
        g = node._cotangent
        x = node._x
        y = node._y
        if x is not None and y is not None:
            if not y._float:
                Rule.pull(self, node)
                return
            x._cotangent += g * (1.0 / y._float)
            y._cotangent += g * (-node._float / y._float)


class _Neg(Rule):
    def value(self, x: float) -> float:
        return -x

    def pull(self, node: Node) -> None:
        x = node._x
        if x is not None:
            x._cotangent -= node._cotangent


class _Pow(Rule):
    def pull(self, node: Node) -> None:
        x = node._x
        y = node._y
        if x is not None and y is not None:
            if y._kind == A_CONSTANT and x._float and y._float:  # no logarithm for the exponent's partial
                try:
                    x._cotangent += node._cotangent * (y._float * math.pow(x._float, y._float - 1.0))
                    return
                except (ValueError, OverflowError):
                    pass
            Rule.pull(self, node)


class _Relu(Rule):
    def value(self, x: float) -> float:
        return 0.0 if x <= 0.0 else x

    def pull(self, node: Node) -> None:
        x = node._x
        if x is not None:
            x._cotangent += node._cotangent if x._float > 0.0 else node._cotangent * 0.0


class _Exp(Rule):
    def value(self, x: float) -> float:
        try:
            return math.exp(x)
        except OverflowError:
            return math.inf

    def pull(self, node: Node) -> None:
        x = node._x
        if x is not None:
            x._cotangent += node._cotangent * node._float


class _Sigmoid(Rule):
    def value(self, x: float) -> float:
        if x >= 0.0:
            return 1.0 / (1.0 + math.exp(-x))
        e = math.exp(x)
        return e / (1.0 + e)

    def pull(self, node: Node) -> None:
        x = node._x
        if x is not None:
            x._cotangent += node._cotangent * (node._float * (1.0 - node._float))


class _Tanh(Rule):
    def pull(self, node: Node) -> None:
        x = node._x
        if x is not None:
            x._cotangent += node._cotangent * (1.0 - node._float * node._float)


class _Sum(Rule):
    def pull(self, node: Node) -> None:
        g = node._cotangent
        for v in node._xs:
            v._cotangent += g


class _Dot(Rule):
    def evaluate(self, xs: "list[Node]") -> float:
        n = len(xs) // 2
        return _dot(xs[:n], xs[n:]) if n else 0.0

    def pull(self, node: Node) -> None:
        g = node._cotangent
        xs = node._xs
        for w, x in zip(xs, xs[len(xs) // 2 :]):  # noqa: B905
            w._cotangent += g * x._float
            x._cotangent += g * w._float


class _Affine(Rule):
    def evaluate(self, xs: "list[Node]") -> float:
        n = len(xs) // 2
        return _dot(xs[:n], xs[n : 2 * n]) + xs[2 * n]._float

    def pull(self, node: Node) -> None:
        g = node._cotangent
        xs = node._xs
        n: i64 = len(xs) // 2
        for i in range(n):
            w = xs[i]
            x = xs[n + i]
            w._cotangent += g * x._float
            x._cotangent += g * w._float
        xs[2 * n]._cotangent += g


ADD: Final = _Add(may_fail=False)
SUB: Final = _Sub(may_fail=False)
MUL: Final = _Mul(may_fail=False)
DIV: Final = _Div()
NEG: Final = _Neg(may_fail=False)
ABS: Final = Rule()
POW: Final = _Pow()
RELU: Final = _Relu(may_fail=False)
EXP: Final = _Exp(may_fail=False)
SIGMOID: Final = _Sigmoid(may_fail=False)
TANH: Final = _Tanh(may_fail=False)
SUM: Final = _Sum(may_fail=False)
DOT: Final = _Dot(may_fail=False)
AFFINE: Final = _Affine(may_fail=False)


def operands_of(node: Node) -> "tuple[Node, ...]":
    """The operands, in order, repeats kept; () for a leaf."""
    if node._rule is None:
        return ()
    if node._x is None:
        return tuple(node._xs)
    return (node._x,) if node._y is None else (node._x, node._y)


class Walk:
    """What a graph was found to be made of.

    leaves    in order of first use
    inner     the other nodes in topological order: operands before results
    oldest    the earliest time stamp of these
    again     whether a reverse pass has reached one of these before
    may_fail  whether the pull of one of these may raise
    """

    __slots__ = ("leaves", "inner", "oldest", "again", "may_fail")

    def __init__(self) -> None:
        self.leaves: list[Any] = []
        self.inner: list[Any] = []
        self.oldest: i64 = 0
        self.again: bool = False
        self.may_fail: bool = False


def walk(roots: Sequence[Any]) -> Walk:
    """The graph that made the roots.

    A depth-first walk: from a node go down into its first operand not yet done, and come back to it
    once that is done; when all its operands are, the node is. A mark on the node says that it is done,
    which is faster than a set of those that are, and why one walk runs at a time. One that comes in between,
    in a signal handler, leaves its own marks: then a set it is.
    """
    found = Walk()
    leaves: list[Node] = found.leaves
    order: list[Node] = found.inner
    waiting: list[Node] = []  # the nodes we came down from
    looked_at: list[int] = []  # how many operands of each n-ary one among them
    again = False
    may_fail = INTERPRETED  # line by line, it may be interrupted
    with _walking:
        shared.walk += 1
        done = shared.walk
        oldest = shared.now
        for root in roots:
            node: Node = root
            if node._mark == done:
                continue
            if node._rule is None:
                node._mark = done
                leaves.append(node)
                continue
            start: i64 = 0
            while True:
                below: Node | None = None
                x = node._x
                if x is None:
                    xs = node._xs
                    size: i64 = len(xs)
                    for i in range(start, size):
                        v = xs[i]
                        if v._mark != done:
                            if v._rule is not None:
                                below = v
                                looked_at.append(i + 1)
                                break
                            v._mark = done
                            leaves.append(v)
                else:
                    if x._mark != done:
                        if x._rule is not None:
                            waiting.append(node)
                            node = x
                            start = 0
                            continue
                        x._mark = done
                        leaves.append(x)
                    y = node._y
                    if y is not None and y._mark != done:
                        if y._rule is not None:
                            below = y
                        else:
                            y._mark = done
                            leaves.append(y)
                if below is not None:
                    waiting.append(node)
                    node = below
                    start = 0
                    continue
                node._mark = done
                order.append(node)
                if node._stamp < oldest:
                    oldest = node._stamp
                if node._reached:
                    again = True
                if not may_fail:
                    rule = node._rule
                    may_fail = rule is not None and rule.may_fail
                if not waiting:
                    break
                node = waiting.pop()
                start = looked_at.pop() if node._x is None else 0
        if shared.walk != done:
            order, again, may_fail = _walk_apart(roots, set()), True, True
            found.leaves, found.inner = [v for v in order if v._rule is None], [v for v in order if v._rule is not None]
            oldest = min([v._stamp for v in order], default=oldest)
    found.oldest = oldest
    found.again = again
    found.may_fail = may_fail
    return found


def _walk_apart(roots: Sequence[Any], done: "set[int]") -> "list[Any]":
    """All nodes that the roots depend on, operands first, but for those whose ids are in done: without marks."""
    order: list[Any] = []
    waiting: list[Any] = [(root, None) for root in reversed(roots)]
    while waiting:
        node, operands = waiting.pop()
        if id(node) in done:
            continue
        if operands is None:
            operands = iter(operands_of(node))
        operand = next(operands, None)
        if operand is None:
            done.add(id(node))
            order.append(node)
        else:
            waiting += [(node, operands), (operand, None)]
    return order


def unknown(root: Node, known: "dict[int, Any]") -> "list[Any]":
    """What root depends on, itself included, but not what is known by its id, nor what that depends on; in order."""
    order: list[Node] = []
    waiting: list[Node] = [root]
    with _walking:
        begun: i64 = shared.walk + 1
        done: i64 = begun + 1
        shared.walk = done
        while waiting:
            node = waiting.pop()
            if node._mark == begun:
                node._mark = done
                order.append(node)
            elif node._mark != done and id(node) not in known:
                node._mark = begun
                waiting.append(node)
                operands = operands_of(node)
                for i in range(len(operands) - 1, -1, -1):
                    operand: Node = operands[i]
                    if operand._mark != done:
                        waiting.append(operand)
        return order if shared.walk == done else _walk_apart([root], set(known))


class Columns:
    """What nodes hold: a list for each field, in the order of the nodes, and their operands, one after the other.

    An operand is given by its place among the nodes; one that is not among them by -1 - its place in `others`.
    """

    __slots__ = (
        "rules",
        "kinds",
        "numbers",
        "cotangents",
        "reached",
        "stamps",
        "labels",
        "counts",
        "operands",
        "others",
    )

    def __init__(self, order: "list[Any]") -> None:
        nodes: list[Node] = order
        self.rules: list[Any] = []
        self.kinds: list[int] = []
        self.numbers: list[float] = []
        self.cotangents: list[float] = []
        self.reached: list[bool] = []
        self.stamps: list[int] = []
        self.labels: dict[int, str] = {}  # of the places whose nodes have one
        self.counts: list[int] = []
        self.operands: list[int] = []
        self.others: list[Any] = []
        with _walking:
            shared.walk += 1
            begun = shared.walk
            try:
                for node in nodes:
                    operands = operands_of(node)
                    for x in operands:
                        if x._mark < 0:
                            self.operands.append(-1 - x._mark)
                        else:
                            self.others.append(x)
                            self.operands.append(-len(self.others))
                    self.counts.append(len(operands))
                    node._mark = -1 - len(self.rules)  # walks leave marks above 0
                    if node._label:
                        self.labels[len(self.rules)] = node._label
                    self.rules.append(node._rule)
                    self.kinds.append(node._kind)
                    self.numbers.append(node._float)
                    self.cotangents.append(node._cotangent)
                    self.reached.append(node._reached)
                    self.stamps.append(node._stamp)
            finally:
                for node in nodes:
                    node._mark = 0
            if shared.walk != begun:
                places = {id(node): place for place, node in enumerate(nodes)}
                flat = [x for node in nodes for x in operands_of(node)]
                self.others = [x for x in flat if id(x) not in places]
                other = iter(range(-1, -1 - len(self.others), -1))
                self.operands = [places[id(x)] if id(x) in places else next(other) for x in flat]


def rebuilt(
    cls: "type[Any]",
    rule: "Rule | None",
    operands: "list[Any]",
    kind: "u8",
    number: float,
    cotangent: "float | None",
    stamp: "i64",
    label: str,
) -> Any:
    """A node of any class, with all that it holds. TypeError if that is not a class of nodes."""
    if not issubclass(cls, Node):
        raise TypeError(f"expected a class of nodes, such as Value, got {cls!r}")
    node: Node = _Blank.__new__(cls)
    become_leaf(node, number)
    set_cotangent(node, cotangent)
    node._kind = kind
    node._stamp = stamp
    node._label = label
    node._rule = rule
    xs: list[Node] = operands
    if rule is not None:
        if rule.variadic or len(xs) > 2:
            node._xs = xs
        else:
            node._x = xs[0]
            node._y = xs[1] if len(xs) == 2 else None
    return node


def twin(node: Node, operands: "list[Any]") -> Any:
    """A copy of a node, made of other operands."""
    cotangent = node._cotangent if node._reached else None
    return rebuilt(type(node), node._rule, operands, node._kind, node._float, cotangent, node._stamp, node._label)


def copy_into(known: "dict[int, Any]", order: "list[Any]") -> None:
    """Add twins of nodes to the copies that are known by the ids of what they are copies of, operands first."""
    nodes: list[Node] = order
    for node in nodes:
        known[id(node)] = twin(node, [known[id(x)] for x in operands_of(node)])


def refuse_stale_graph(graph: Walk) -> None:
    """Raise StaleGraphError, naming the leaf, if one was changed after a node was made from it."""
    leaves: list[Node] = graph.leaves
    newest: i64 = 0
    for leaf in leaves:
        if leaf._stamp > newest:
            newest = leaf._stamp
    if newest > graph.oldest:
        for node in graph.inner:
            if node._stamp < newest:
                refuse_stale(node)


def pass_back(root: Node, gradient: float, graph: Walk) -> None:
    """Add gradient * d(root)/d(leaf) to the cotangent of each leaf but constants; set those of the inner nodes to it.

    Raises StaleGraphError, having changed nothing, if a leaf was changed after a node was made from it.
    If a partial fails, the leaves have what they had, and the inner nodes nothing.
    """
    leaves: list[Node] = graph.leaves
    order: list[Node] = graph.inner
    newest: i64 = 0
    first: list[Node] = []  # the leaves that no pass has reached before
    constants: list[Node] = []
    for leaf in leaves:
        if leaf._stamp > newest:
            newest = leaf._stamp
        if leaf._kind == A_CONSTANT:
            constants.append(leaf)
        elif not leaf._reached:
            first.append(leaf)
    if newest > graph.oldest:
        refuse_stale_graph(graph)
    kept = leaves if graph.may_fail else constants
    before = [leaf._cotangent for leaf in kept]
    try:
        if graph.again:
            for node in order:
                node._cotangent = 0.0
        root._cotangent += gradient
        for node in reversed(order):
            node._reached = True
            rule = node._rule
            if rule is not None:
                rule.pull(node)
        for leaf, cotangent in zip(kept, before):  # noqa: B905
            if leaf._kind == A_CONSTANT:
                leaf._cotangent = cotangent
        for leaf in first:
            leaf._reached = True
    except BaseException:
        for node in order:
            node._cotangent = 0.0
            node._reached = False
        for leaf, cotangent in zip(kept, before):  # noqa: B905
            leaf._cotangent = cotangent
        for leaf in first:
            leaf._reached = False
        raise


def become_leaf(node: Node, number: float) -> None:
    """Set all fields but the label: a variable, made now, of nothing, that no pass has reached."""
    node._kind = A_VARIABLE
    node._reached = False
    node._float = number
    node._cotangent = 0.0
    node._stamp = shared.now
    node._mark = 0
    node._rule = None
    node._x = None
    node._y = None
    node._xs = _NO_OPERANDS


def set_number(node: Node, number: float) -> None:
    """What a leaf holds from now on; graphs that were made of it are stale if it is another number."""
    before = node._float
    node._float = number
    if number != before or math.copysign(1.0, number) != math.copysign(1.0, before):
        node._stamp = next_moment()


def set_numbers(leaves: "list[Any]", numbers: "list[float]", cotangents: "list[float]") -> None:
    """What leaves hold from now on, all at once, and their cotangents."""
    nodes: list[Node] = leaves
    now: i64 = next_moment()
    for i in range(len(nodes)):
        node = nodes[i]
        if node._float != numbers[i]:
            node._float = numbers[i]
            node._stamp = now
        node._cotangent = cotangents[i]
        node._reached = True


def next_moment() -> int:
    """A time stamp later than all that there are: leaves that are made from now on have it, or a later one."""
    with ticking:
        shared.now += 1
        return shared.now


def set_cotangent(node: Node, cotangent: "float | None") -> None:
    """As a reverse pass leaves it; None as before any."""
    node._reached = cotangent is not None
    node._cotangent = 0.0 if cotangent is None else cotangent
