r"""Expressions: the table interpreted on symbols instead of numbers.

`Expression` records what is applied to what, as it is written. `Simplified` does the same and simplifies:
0 and 1 are folded, equal factors and terms collected. Either prints as code, as text and in LaTeX.

>>> x = Simplified(symbol(Name("x", "x", "x"), 0.5))
>>> y = (x * x + 0 * x) / 3 - x * -1.0
>>> y.expression.code, y.expression.latex, y.expression.value
('x**2/3 + x', '\\frac{{x}^{2}}{3} + x', 0.5833333333333334)
>>> print(row("tanh").derivatives(x, (x,))[0].expression)
1 − x^2
"""

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache, reduce
from math import isfinite
from string import Formatter
from typing import Any
from weakref import WeakValueDictionary

from .floats import real
from .names import Name
from .ops import OPS, Op, install_operators, row

_new = object.__new__


class Expression:
    """A number, a symbol, or an operation applied to expressions. Equal ones are one object.

    op, operands  of an operation; None and () for the rest
    name          of a symbol; None for the rest
    value         the float it comes to
    weight        how many operations it takes to write down
    depth         how deep these are nested
    parts         how many terms and factors it has, unless they are many

    str() is the expression as text, `code` is Python, `latex` LaTeX.
    """

    __slots__ = ("__weakref__", "depth", "name", "op", "operands", "parts", "value", "weight")

    op: Op | None
    operands: "tuple[Expression, ...]"
    name: Name | None
    value: float
    weight: int
    depth: int
    parts: int

    @staticmethod
    def apply_op(op: Op, operands: Sequence[Any]) -> "Expression":
        """The expression that a row makes of expressions and numbers; n-ary sums are written out."""
        xs = [x if isinstance(x, Expression) else number(x) for x in operands]
        if op.written is not None:
            written: Expression = op.written(*xs)
            return written
        return applied(op, xs)

    @property
    def code(self) -> str:
        return written(self, CODE)

    @property
    def latex(self) -> str:
        return written(self, LATEX)

    def __str__(self) -> str:
        return written(self, TEXT)

    def __repr__(self) -> str:
        return f"<Expression {self}>"


_interned: WeakValueDictionary[Any, Expression] = WeakValueDictionary()


def number(x: Any) -> Expression:
    """A number as an expression. TypeError for what is not a real number.

    >>> number(2).code, number(0.5).code, str(number(1 / 3)), number(1e-7).latex
    ('2', '0.5', '0.333333', '10^{-7}')
    """
    x = real(x)
    return _interned.get(repr(x)) or _intern(repr(x), None, (), None, x, 0, 0)


def symbol(name: Name, value: float) -> Expression:
    """A symbol that stands for a number."""
    return _interned.get((name, repr(value))) or _intern((name, repr(value)), None, (), name, value, 0, 0)


def applied(op: Op, operands: Sequence[Expression]) -> Expression:
    """An operation of the table applied, as it is."""
    key = (op, *map(id, operands))
    found = _interned.get(key)
    if found is not None:
        return found
    weight = min(1 + sum([x.weight for x in operands]), 10**9)
    depth = max([x.depth for x in operands], default=0) + 1
    if op.operator in ("add", "sub", "mul") and _binds(operands[0]) >= _BINDING[op.operator][1]:
        # a chain of + is written from left to right, however long: it is not nested
        depth = max(operands[0].depth, operands[1].depth + 1)
    value = op.evaluate(*[x.value for x in operands])
    expression = _intern(key, op, tuple(operands), None, value, weight, depth)
    if op.operator in _BINDING:
        expression.parts = sum([x.parts if x.parts <= _PARTS else 1 for x in operands])
    return expression


def _intern(
    key: Any, op: Op | None, operands: tuple[Expression, ...], name: Name | None, value: float, weight: int, depth: int
) -> Expression:
    expression = _new(Expression)
    expression.op, expression.operands, expression.name = op, operands, name
    expression.value, expression.weight, expression.depth, expression.parts = value, weight, depth, 1
    return _interned.setdefault(key, expression)


# Of Python's operators, how tightly the whole binds, and how tightly each operand must: 1 a sum, 2 a product,
# 4 a power, 5 a function, 6 a symbol. What stands in brackets may be anything (0).
_BINDING = {"add": (1, 1, 1), "sub": (1, 1, 2), "mul": (2, 2, 2), "truediv": (2, 2, 3), "neg": (1, 2), "pow": (4, 6, 5)}


def _binds(x: Expression) -> int:
    return _BINDING[x.op.operator][0] if x.op is not None and x.op.operator in _BINDING else 6


# Simplifying. Sums and products are taken apart into terms with coefficients and {factor: exponent}, put
# together, and written again with the rows of Python's operators.

_ROWS = {op.operator: op for op in OPS.values() if op.operator}
ZERO, ONE = number(0.0), number(1.0)


class Simplified:
    """An expression that simplifies as it grows. It holds away from single points: x/x is 1, 0*x is 0."""

    __slots__ = ("expression",)

    def __init__(self, expression: Expression) -> None:
        self.expression = expression

    @staticmethod
    def apply_op(op: Op, operands: Sequence[Any]) -> "Simplified":
        if op.written is not None:
            return op.written(*operands)  # type: ignore[no-any-return]
        return Simplified(simplified(op, [x.expression if isinstance(x, Simplified) else number(x) for x in operands]))


def simplified(op: Op, xs: Sequence[Expression]) -> Expression:
    """An operation applied, simplified. The operands are taken to be so already."""
    if all([_is_number(x) for x in xs]):
        return number(op.evaluate(*[x.value for x in xs]))
    if op.operator in _ALGEBRA:
        return _ALGEBRA[op.operator](*xs)
    return _chosen(*xs) if op is row("where") else applied(op, xs)


def _chosen(condition: Expression, x: Expression, y: Expression) -> Expression:
    """x where condition is not 0, else y."""
    if _is_number(condition):
        return x if condition.value else y
    if x is y or _factors(x)[1].keys() == _factors(condition)[1].keys():  # x where it is not 0: a guard at one point
        return x
    return applied(row("where"), [condition, x, y])


def _is_number(x: Expression) -> bool:
    return x.op is None and x.name is None


_PARTS = 64  # longer sums and products are not taken apart: a shared one would be written out at each place


def _operator(x: Expression) -> str:
    """Python's operator that x can be taken apart by, or ""."""
    return x.op.operator if x.op is not None and x.parts <= _PARTS else ""


# {its factors, in whatever order: (a term, its coefficient)}
_Terms = dict[frozenset[tuple[Expression, float]], tuple[Expression, float]]


def _terms(x: Expression) -> _Terms:
    """A sum, taken apart; the term of a number is ONE."""
    terms: _Terms = {}
    waiting = [(x, 1.0)]
    while waiting:
        x, sign = waiting.pop()
        operator = _operator(x)
        if operator in ("add", "sub"):
            waiting += [(x.operands[1], sign if operator == "add" else -sign), (x.operands[0], sign)]
        elif operator == "neg":
            waiting.append((x.operands[0], -sign))
        else:
            coefficient, powers = _factors(x)
            _collect(terms, frozenset(powers.items()), _product(1.0, powers), sign * coefficient)
    return terms


def _collect(terms: _Terms, factors: frozenset[tuple[Expression, float]], term: Expression, c: float) -> None:
    alike, before = terms.get(factors, (term, 0.0))
    terms[factors] = alike, before + c


def _factors(x: Expression) -> tuple[float, dict[Expression, float]]:
    """A product as its coefficient and {factor: exponent}."""
    coefficient, powers = 1.0, dict[Expression, float]()
    waiting = [(x, 1.0)]
    while waiting:
        x, exponent = waiting.pop()
        operator = _operator(x)
        if _is_number(x):
            coefficient *= _ROWS["pow"].evaluate(x.value, exponent)
        elif operator == "neg" and exponent % 1 == 0:
            coefficient *= -1.0 if exponent % 2 else 1.0
            waiting.append((x.operands[0], exponent))
        elif operator in ("mul", "truediv") and exponent % 1 == 0:
            waiting += [(x.operands[1], exponent if operator == "mul" else -exponent), (x.operands[0], exponent)]
        elif operator == "pow" and _is_number(x.operands[1]) and exponent % 1 == 0:
            waiting.append((x.operands[0], exponent * x.operands[1].value))
        else:
            powers[x] = powers.get(x, 0.0) + exponent
    return coefficient, {x: n for x, n in powers.items() if n}


def _sum(terms: _Terms) -> Expression:
    kept = [(term, c) for term, c in terms.values() if c]
    if not kept:
        return ZERO
    term, c = kept.pop(next((i for i, (_, c) in enumerate(kept) if c > 0), 0))  # 1 - x, not -x + 1
    total = _scaled(c, term)
    for term, c in kept:
        total = applied(_ROWS["sub" if c < 0 else "add"], [total, _scaled(abs(c), term)])
    return total


def _scaled(c: float, term: Expression) -> Expression:
    own, powers = _factors(term)
    return _product(c * own, powers)


def _product(coefficient: float, powers: dict[Expression, float]) -> Expression:
    if coefficient == 0:
        return ZERO
    if not any(powers.values()):
        return number(coefficient)
    above = [_power(x, n) for x, n in powers.items() if n > 0]
    below = [_power(x, -n) for x, n in powers.items() if n < 0]
    numerator, denominator = _fraction(abs(coefficient))
    if numerator != 1 or not above:
        above.insert(0, number(numerator))
    if denominator != 1:
        below.insert(0, number(denominator))
    multiplied = _ROWS["mul"]
    whole = reduce(lambda x, y: applied(multiplied, [x, y]), above)
    if below:
        whole = applied(_ROWS["truediv"], [whole, reduce(lambda x, y: applied(multiplied, [x, y]), below)])
    return whole if coefficient > 0 else applied(_ROWS["neg"], [whole])


def _fraction(c: float) -> tuple[float, float]:
    """c as a fraction, if that is how it is best written: 1/3, but 0.5."""
    if len(repr(c)) > 8 and isfinite(c):
        near = Fraction(c).limit_denominator(1000)
        if near.denominator > 1 and near.numerator / near.denominator == c:
            return float(near.numerator), float(near.denominator)
    return c, 1.0


def _power(x: Expression, exponent: float) -> Expression:
    return x if exponent == 1 else applied(_ROWS["pow"], [x, number(exponent)])


def _add(x: Expression, y: Expression, sign: float = 1.0) -> Expression:
    terms = _terms(x)
    for factors, (term, c) in _terms(y).items():
        _collect(terms, factors, term, sign * c)
    return _sum(terms)


def _multiply(x: Expression, y: Expression, exponent: float = 1.0) -> Expression:
    coefficient, powers = _factors(x)
    other, others = _factors(y)
    for factor, n in others.items():
        powers[factor] = powers.get(factor, 0.0) + exponent * n
    return _product(coefficient * _ROWS["pow"].evaluate(other, exponent), powers)


def _raise(x: Expression, y: Expression) -> Expression:
    if not _is_number(y):
        return applied(_ROWS["pow"], [x, y])
    if y.value % 1 or not isfinite(y.value):
        return applied(_ROWS["pow"], [x, y])
    coefficient, powers = _factors(x)
    scale = _ROWS["pow"].evaluate(coefficient, y.value)
    return _product(scale, {factor: n * y.value for factor, n in powers.items()})


# Python's operators, which are the algebra; `abs` is a function like any other.
_ALGEBRA: dict[str, Callable[..., Expression]] = {
    "add": _add,
    "sub": lambda x, y: _add(x, y, -1.0),
    "mul": _multiply,
    "truediv": lambda x, y: _multiply(x, y, -1.0),
    "neg": lambda x: _multiply(number(-1.0), x),
    "pow": _raise,
}

install_operators(Expression)
install_operators(Simplified)


# Writing.


class Style:
    """A way to write: names, numbers, the template of each row, brackets; the times and gap of long products, and
    digits that are given as text."""

    def __init__(
        self,
        name: Callable[[Name], str],
        number: Callable[[float], str],
        template: Callable[[Op], str],
        brackets: tuple[str, str] = ("(", ")"),
        times: str = " · ",
        gap: str = "⋯",
        digits: Callable[[str], str] = str,
    ) -> None:
        self.name, self.number, self.brackets = name, number, brackets
        self.times, self.gap, self.digits = times, gap, digits
        self.template = cache(lambda op: _Template(op, template(op)))


class _Template:
    """A row's template in pieces, and how tightly each operand and the whole bind: read off the template itself."""

    def __init__(self, op: Op, template: str) -> None:
        literals, operands = [""], []
        for text, name, _, _ in Formatter().parse(template):
            literals[-1] += text
            if name is not None:
                operands.append(op.operands.index(name))
                literals.append("")
        *befores, self.tail = literals
        # text, the operand after it, how tightly that must bind at least
        self.pieces = [
            (before, slot, _needed(op, slot, before, after))
            for before, slot, after in zip(befores, operands, literals[1:], strict=True)
        ]
        self.opens = bool(self.pieces) and self.pieces[0][:2] == ("", 0)  # with an operand, as a chain of + does
        self.whole = _whole(op, "#".join(literals))


def _needed(op: Op, slot: int, before: str, after: str) -> int:
    if re.search(r"([{(\[|,<>=] ?|floor |ceil )$", before) and re.match(r" ?([})\]|,<>=](?!\^)|\\r)", after):
        return int(before.rstrip()[-1] in "<>=" or after.lstrip()[0] in "<>=")
    if op.operator in _BINDING:
        return _BINDING[op.operator][1 + slot]
    return 1 if before.endswith("+ ") and re.match(r"[})\]|,]", after) else 6


def _whole(op: Op, outside: str) -> int:
    if outside.startswith(r"\frac"):
        return 3
    if op.operator in _BINDING:
        return _BINDING[op.operator][0]
    while outside != (outside := re.sub(r"\{[^{}]*\}|\([^()]*\)|\[[^\[\]]*\]|\|[^|]*\|", "#", outside)):
        pass
    if r"\text" in outside:
        return 0
    if re.search(r" [-+] |^-", outside):
        return 1
    if "cdot" in outside:
        return 2
    return 4 if "^" in outside else 5 if "\\" in outside else 6


def _code_template(op: Op) -> str:
    if op.operator in _BINDING:
        return _infix(op, op.symbol if op.operator in ("pow", "truediv", "mul") else f" {op.symbol} ")
    return _called(op, op.name)


def _text_template(op: Op) -> str:
    shown = {"*": "·", "-": "−", "**": "^"}.get(op.symbol, op.symbol)
    if op.operator in _BINDING:
        return _infix(op, shown if op.operator in ("pow", "truediv", "mul") else f" {shown} ")
    if len(op.operands) == 2 and not any(map(str.isalnum, shown)):
        return f"[{_infix(op, f' {shown} ')}]"
    return _called(op, shown)


def _latex_template(op: Op) -> str:
    if op.variadic or not all(f"{{{name}}}" in op.latex for name in op.operands):
        escaped = op.name.replace("_", r"\_")
        return _called(op, rf"\operatorname{{{{{escaped}}}}}")
    return op.latex


def _infix(op: Op, symbol: str) -> str:
    slots = [f"{{{name}}}" for name in op.operands]
    return symbol.join(slots) if len(slots) == 2 else symbol.strip() + slots[0]


def _called(op: Op, name: str) -> str:
    return f"{name}({', '.join(f'{{{operand}}}' for operand in op.operands)})"


def _code_number(x: float) -> str:
    return f"{x:.0f}" if x % 1 == 0 and abs(x) < 1e15 else repr(x)


def _text_number(x: float) -> str:
    return re.sub("^-", "−", f"{x:.6g}")


def _latex_digits(text: str) -> str:
    digits, _, exponent = text.partition("e")
    if exponent:
        power = f"10^{{{int(exponent)}}}"
        return power if digits == "1" else f"-{power}" if digits == "-1" else rf"{digits} \cdot {power}"
    return {"inf": r"\infty", "-inf": r"-\infty", "nan": r"\mathrm{nan}"}.get(digits, digits)


CODE = Style(lambda name: name.code, _code_number, _code_template)
TEXT = Style(lambda name: name.text, _text_number, _text_template)
LATEX = Style(
    lambda name: name.latex,
    lambda x: _latex_digits(f"{x:.6g}"),
    _latex_template,
    (r"\left(", r"\right)"),
    r" \cdot ",
    r"\cdots",
    _latex_digits,
)


def written(expression: Expression, style: Style) -> str:
    """The expression in a style."""
    return _written(expression, style)[0]


def _written(x: Expression, style: Style) -> tuple[str, int]:
    """Text, and how tightly it binds."""
    if x.name is not None:
        text = style.name(x.name)
        return text, 5 if "^" in text else 6
    if x.op is None:
        text = style.number(x.value)
        return text, 1 if text[0] in "-−" else 2 if "cdot" in text else 4 if "^" in text else 6
    if x.op.variadic:
        return f"{x.op.name}([{', '.join(_written(y, style)[0] for y in x.operands)}])", 5
    spine = []  # a chain of operators from left to right is no nest
    while True:
        template = style.template(x.op)
        spine.append((template, x))
        first = x.operands[0]
        if not template.opens or first.op is None or first.op.variadic:
            break
        if style.template(first.op).whole < template.pieces[0][2]:
            break
        x = first
    text, binding = "", 0
    for template, x in reversed(spine):
        operands: list[str] = []
        for i, (before, slot, need) in enumerate(template.pieces):
            leading = i == 0 and template.opens
            if leading and text:
                continue
            inner, tightness = _written(x.operands[slot], style)
            if tightness < need or (need and not leading and inner[0] in "-−"):
                inner = inner.join(style.brackets)
            operands += [before, inner]
        text += "".join(operands) + template.tail
        binding = template.whole
    return text, binding
