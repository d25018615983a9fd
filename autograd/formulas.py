r"""Formulas: what a node computes, and its derivatives, written with the labels.

    formula(v)                   the expression of a node
    derivative_formula(v, wrt)   the symbolic derivative, simplified
    rule(head, tail, ...)        one local derivative, as the factors of an explanation show it
    in_terms_of(head, ...)       a node in terms of the nodes with names

All are the table, interpreted on symbols (expressions.py). A labelled result that is used more than once
stands by its label and is defined below; what has no label and is used more than once gets a name.

>>> from autograd import Value, sigmoid
>>> w, x, t = Value(0.4, label="w"), Value(0.6, label="x"), Value(0.01, label="t")
>>> out = sigmoid(w * x)
>>> out.label = "out"
>>> E = 0.5 * (t - out) ** 2
>>> E.label = "E"
>>> formula(E)
E = 0.5·(t − σ(w·x))^2
>>> derivative_formula(E, w)
∂E/∂w = −(t − out)·out·(1 − out)·x
where out = σ(w·x)
>>> print(derivative_formula(E, w).code)
out = sigmoid(w*x)
dE_dw = -(t - out)*out*(1 - out)*x
"""

from collections import Counter
from collections.abc import Callable, Sequence
from math import isclose, isnan

from .chain import between, contracted, differentiate
from .expressions import Expression, Simplified, applied, number, simplified, symbol
from .graph import operands_first, sort
from .names import Name, Names, latex
from .ops import Op
from .value import CONSTANT, Value

_LONG = 3  # operations: what takes fewer is written out each time
_NESTED = 20  # brackets in brackets: what is nested deeper gets a name
_LEGIBLE = 100  # operations: what is longer explains nothing
_WIDE = 2000  # operands that are looked at to find it


class Formula:
    """An equation, and the definitions of the names in it.

    left         the name of the left side
    expression   the right side: str() of it is text, .code Python, .latex LaTeX
    definitions  {name: expression} of what it names, operands before results
    value        what the right side comes to, evaluated as it stands there
    notes        what else there is to say: leaves without a label, a value that is not backward's

    str() is the equation with its definitions; `code` the same as statements for Python, SymPy or
    `chainrule draw`; `latex` LaTeX, which notebooks show.
    """

    def __init__(
        self, left: Name, expression: Expression, definitions: dict[Name, Expression], notes: list[str]
    ) -> None:
        self.left, self.expression, self.definitions, self.notes = left, expression, definitions, notes

    @property
    def value(self) -> float:
        return self.expression.value

    @property
    def code(self) -> str:
        """Statements, one a line, each before those that need it."""
        lines = [f"{name.code} = {expression.code}" for name, expression in self.definitions.items()]
        return "\n".join([*lines, f"{self.left.code} = {self.expression.code}"])

    @property
    def latex(self) -> str:
        lines = [(self.left, self.expression), *reversed(self.definitions.items())]
        return aligned([f"{name.latex} &= {expression.latex}" for name, expression in lines])

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle {self.latex}$"

    def __str__(self) -> str:
        lines = [f"{self.left.text} = {self.expression}"]
        for i, (name, expression) in enumerate(reversed(self.definitions.items())):
            lines.append(f"{'      ' if i else 'where '}{name.text} = {expression}")
        return "\n".join([*lines, *(f"({note})" for note in self.notes)])

    __repr__ = __str__


def aligned(equations: Sequence[str]) -> str:
    r"""Equations in LaTeX, one below the other, with & before what stands in line.

    >>> print(aligned(["a &= b + c", "&= 3"]))
    \begin{aligned}
    a &= b + c \\[4pt]
    &= 3
    \end{aligned}
    >>> aligned(["a &= 3"])
    'a = 3'
    """
    if len(equations) == 1:
        return equations[0].replace(" &= ", " = ", 1)
    return "\n".join([r"\begin{aligned}", " \\\\[4pt]\n".join(equations), r"\end{aligned}"])


def partial(over: Name, under: Name) -> Name:
    r"""The name of a partial derivative.

    >>> E, w = Name("E", "E", "E"), Name("w", "w", "w")
    >>> partial(E, w).text, partial(E, w).latex
    ('∂E/∂w', '\\frac{\\partial E}{\\partial w}')
    """
    return Name(
        f"d{over.code}_d{under.code}",
        f"∂{over.text}/∂{under.text}",
        rf"\frac{{\partial {over.latex}}}{{\partial {under.latex}}}",
    )


def formula(v: Value, *, max_nodes: int = 2000) -> Formula:
    """The expression that made a node, as it was written, down to the leaves.

    Raises ValueError for a leaf, or a graph of more than max_nodes nodes; TypeError for anything but a Value.

    >>> x = Value(2.0, label="x")
    >>> formula((x * 3 + 1).tanh() / x).expression.code
    'tanh(x*3 + 1)/x'
    """
    nodes, names = _nodes(v, max_nodes), Names()
    symbols = _Symbols(names, None)
    for node in nodes:
        symbols.enter(node, Expression.apply_op)
    return symbols.formula(names[v], symbols.wholes[v], applied)


def derivative_formula(v: Value, wrt: Value, *, max_nodes: int = 2000) -> Formula:
    """d(v)/d(wrt) in terms of the leaves and the labelled nodes: simplified, and checked against the number.

    It holds away from single points such as the kink of relu. Where it comes to another number than the
    reverse pass, `notes` says so.

    Raises as formula does, and ValueError if v does not depend on wrt.

    >>> x = Value(2.0, label="x")
    >>> derivative_formula(x * x * x.exp(), x).expression.code
    '2*exp(x)*x + x**2*exp(x)'
    """
    inside = [node for node in between(v, wrt) if node is not wrt]
    nodes, names = _nodes(v, max_nodes), Names()
    symbols = _Symbols(names, wrt)
    for node in nodes:
        symbols.enter(node, lambda op, xs: Simplified.apply_op(op, [Simplified(x) for x in xs]).expression)
    try:
        (derivative,) = differentiate(v, [wrt], inside, lambda node: Simplified(symbols.found[node]))
    except TypeError as error:
        raise ValueError(
            f"an operation's partials work on floats only ({error}); wrong: math.exp(x); right: autograd.exp(x)"
        ) from error
    found = symbols.formula(partial(names[v], names[wrt]), _expression(derivative), simplified)
    (expected,) = differentiate(v, [wrt], inside, lambda node: node.data)
    if not isclose(found.value, expected, rel_tol=1e-6, abs_tol=1e-9) and not (isnan(found.value) and isnan(expected)):
        found.notes.append(
            f"here this comes to {found.value:.6g}, and the reverse pass gives {expected:.6g}: "
            "a kink, an end of the domain, or digits lost to rounding"
        )
    return found


def rule(head: Value, tail: Value, is_atom: Callable[[Value], bool], names: Names) -> Expression | None:
    """d(head)/d(tail) over the paths through nodes that are no atoms, in terms of the atoms.

    None if it is too long to read, or if an operation's partials work on floats only.
    """
    return rules(head, [tail], is_atom, names)[0]


def rules(
    head: Value, tails: Sequence[Value], is_atom: Callable[[Value], bool], names: Names
) -> list[Expression | None]:
    """rule(head, tail) for each of tails, in one pass."""
    found: dict[Value, Simplified] = {}

    def evaluated(node: Value) -> Simplified:
        if node not in found:
            found[node] = Simplified(atom(node, names))
        return found[node]

    try:
        inside = contracted(head, is_atom, _WIDE)
        for node in inside[:-1]:
            if node.op is not None:
                found[node] = Simplified.apply_op(node.op, [evaluated(x) for x in node.parents])
        derivatives = [_expression(d) for d in differentiate(head, tails, inside, evaluated)]
    except (ValueError, TypeError):
        return [None] * len(tails)
    return [derivative if derivative.weight <= _LEGIBLE else None for derivative in derivatives]


def in_terms_of(head: Value, is_atom: Callable[[Value], bool], names: Names) -> Expression:
    """What a node is computed as from the atoms: its operation with its operands left out, if that is too long to read.

    A leaf is its own name.
    """
    if head.op is None:
        return atom(head, names)
    name = head.op.name
    too_long = symbol(Name(name, f"{name}(…)", rf"{latex(name)}(\cdots)"), head.data)
    try:
        inside = contracted(head, is_atom, _WIDE)
    except ValueError:
        return too_long
    found: dict[Value, Expression] = {}
    for node in inside:
        if node.op is not None:
            found[node] = Expression.apply_op(
                node.op, [found[x] if x in found else atom(x, names) for x in node.parents]
            )
    return found[head] if found[head].weight <= _LEGIBLE else too_long


class _Symbols:
    """What each node is in a formula: a number, a symbol if it has a label, else its expression."""

    def __init__(self, names: Names, kept: Value | None) -> None:
        self.names, self.kept = names, kept
        self.found: dict[Value, Expression] = {}
        self.wholes: dict[Value, Expression] = {}  # what labelled nodes stand for
        self.notes: list[str] = []

    def enter(self, node: Value, interpreted: Callable[[Op, list[Expression]], Expression]) -> None:
        if node.op is not None:
            self.wholes[node] = interpreted(node.op, [self.found[x] for x in node.parents])
        if node.op is None or node.label.strip() or node is self.kept:
            self.found[node] = atom(node, self.names)
            if self.found[node].name is not None and not node.label.strip():
                name = self.names[node]
                what = "a leaf" if node.op is None else "a node"
                self.notes.append(f"{name.text} is {what} without a label, {node.data:.6g}")
        else:
            self.found[node] = self.wholes[node]

    def formula(self, left: Name, root: Expression, apply: Callable[[Op, list[Expression]], Expression]) -> Formula:
        """The equation, once it is settled what is named and what is written out."""
        wholes = {self.found[node]: whole for node, whole in self.wholes.items() if self.found[node] is not whole}
        order = operands_first(root, lambda x: _below(x, wholes))
        named = _repeated(order, wholes)
        definitions: dict[Name, Expression] = {}
        written: dict[Expression, Expression] = {}
        for x in order:
            if x in wholes:
                whole = written[wholes[x]]
                keep = x in named or whole.depth > _NESTED
                written[x] = x if keep else whole
                if keep and x.name is not None:
                    definitions[x.name] = whole
            elif x.op is None:
                written[x] = x
            else:
                whole = apply(x.op, [written[y] for y in x.operands])
                keep = x is not root and (x in named or whole.depth > _NESTED)
                if keep:
                    name = self.names.make_up()
                    definitions[name] = whole
                written[x] = symbol(name, x.value) if keep else whole
        used = _names_in(written[root], definitions)  # simplified, it may do without some
        kept = {name: whole for name, whole in definitions.items() if name in used}
        return Formula(left, written[root], kept, [*self.notes, *self.names.notes])


def _names_in(x: Expression, definitions: dict[Name, Expression]) -> set[Name]:
    seen, names, waiting = {x}, set[Name](), [x]
    while waiting:
        x = waiting.pop()
        below = list(x.operands)
        if x.name is not None:
            names.add(x.name)
            below += [definitions[x.name]] if x.name in definitions else []
        waiting += [y for y in below if y not in seen]
        seen.update(below)
    return names


def _below(x: Expression, wholes: dict[Expression, Expression]) -> Sequence[Expression]:
    return (wholes[x],) if x in wholes else x.operands


def _repeated(order: Sequence[Expression], wholes: dict[Expression, Expression]) -> set[Expression]:
    """What would be written more than once, and is long or has a label."""
    times, named = Counter({order[-1]: 1}), set[Expression]()
    for x in reversed(order):
        if times[x] > 1 and (x in wholes or x.weight >= _LONG):
            named.add(x)
        for y in _below(x, wholes):
            times[y] += 1 if x in named else min(times[x], 2)
    return named


def _nodes(v: Value, max_nodes: int) -> list[Value]:
    leaves, inner = sort((v,))
    if not inner:
        raise ValueError(f"{v!r} is a leaf: there is no expression behind it; right: formula(v), where v is a result")
    if len(leaves) + len(inner) > max_nodes:
        raise ValueError(
            f"the formula would have {len(leaves) + len(inner):,} nodes, over the limit of max_nodes={max_nodes:,}. "
            "Right: formula(v, max_nodes=...) raises the limit, explain(v, wrt) shows one derivative of a large graph"
        )
    return leaves + inner


def atom(node: Value, names: Names) -> Expression:
    """A node as it stands in a formula that does not look inside: its name, or the number of a plain constant."""
    if node.kind == CONSTANT and not node.label.strip():
        return number(node.data)
    return symbol(names[node], node.data)


def _expression(x: object) -> Expression:
    return x.expression if isinstance(x, Simplified) else number(x)
