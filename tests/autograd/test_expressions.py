r"""Expressions in code, in text and in LaTeX, each read back by other means than those that wrote it.

Code and text are read by SymPy, LaTeX by the reader below, which takes it as a person does. What they say is
worked out in exact arithmetic with `EXACT`, which owes nothing to the table.
"""

import gc
import re
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from math import inf, isclose, nan
from typing import Any, ClassVar

import pytest
import sympy
from counting import calls_at_most
from hypothesis import assume, given, reject, settings, strategies as st
from mpmath import mp, mpf
from strategies import EXACT, arity, ordinary_points, typeset
from sympy.parsing.sympy_parser import parse_expr, rationalize, standard_transformations

from autograd import OPS, Op, Value
from autograd.expressions import (
    CODE,
    LATEX,
    ONE,
    TEXT,
    ZERO,
    Expression,
    Simplified,
    Style,
    applied,
    number,
    symbol,
    written,
)
from autograd.names import Name

DIGITS = 50
Tree = Any  # a number, the name of a symbol, or (row's name, *operands)

NAMES = {name: Name(name, name, name) for name in "xyzw"}
CALLED = {op.name: sympy.Function(op.name) for op in OPS.values() if not op.variadic and op.operator in ("", "abs")}


# Readers


def work_out(expression: Any, point: dict[str, float]) -> Any:
    """The number that SymPy's tree comes to, by the oracle."""
    known = {"add": lambda *xs: mp.fsum(xs), "mul": lambda *xs: mp.fprod(xs), "pow": EXACT["pow"]}

    def worked(e: Any) -> Any:
        if e.is_Symbol:
            return mpf(point[e.name])
        if e.is_Rational:
            return mpf(e.p) / e.q
        if e in (sympy.oo, -sympy.oo):
            return mp.inf if e == sympy.oo else -mp.inf
        function = known.get(type(e).__name__.lower()) or EXACT[e.func.__name__]
        return function(*map(worked, e.args))

    return worked(expression)


def read_code(text: str, point: dict[str, float]) -> Any:
    known = {**CALLED, **{name: sympy.Symbol(name) for name in point}, "inf": sympy.oo}
    transformations = (*standard_transformations, rationalize)
    return work_out(parse_expr(text, known, transformations=transformations, evaluate=False), point)


def read_text(text: str, point: dict[str, float]) -> Any:
    """Text has signs of its own, and calls rows by their symbols."""
    symbols = {op.symbol: op.name for op in OPS.values() if op.name in CALLED and op.symbol.isalpha()}
    for sign, meaning in {"·": "*", "−": "-", "^": "**", "[": "greater((", "]": "))", " > ": "), ("}.items():
        text = text.replace(sign, meaning)
    return read_code(re.sub(r"[^\W\d_]+(?=\()", lambda m: symbols.get(m[0], m[0]), text), point)


class Latex:
    """Mathematics as it is read on paper: · binds more than +, a power more than that, bars and braces enclose."""

    functions: ClassVar[dict[str, Callable[..., Any]]] = {
        **{rf"\{name}": EXACT[name] for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
        **{rf"\arc{name}": EXACT[f"a{name}"] for name in ("sin", "cos", "tan")},
        **{rf"\ar{name}": EXACT[f"a{name}"] for name in ("sinh", "cosh", "tanh")},
        r"\ln": mp.ln,
        r"\max": max,
        r"\min": min,
        r"\sigma": EXACT["sigmoid"],
        r"\Phi": lambda x: (1 + mp.erf(x / mp.sqrt(2))) / 2,
    }
    ENDS = (r"\right", "}", ")", "]", "|", ",", ">", "+", "-", r"\rfloor", r"\rceil", r"\text")

    def __init__(self, text: str, point: dict[str, float]) -> None:
        self.tokens = re.findall(r"\\[a-zA-Z]+|\d+\.?\d*|[^\s]", re.sub(r"\\text\{ (\w+) \}", r"\\text \1", text))
        self.point, self.place = point, 0

    def read(self) -> Any:
        found = self.choice()
        assert self.place == len(self.tokens), self.tokens[self.place :]
        return found

    @property
    def next(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self, *expected: str) -> str:
        for text in expected:
            assert self.next == text, (expected, self.tokens[self.place :])
            self.place += 1
        if not expected:
            self.place += 1
        return self.tokens[self.place - 1]

    def word(self) -> str:
        """The letters from here on, as in \\operatorname{arsinh}."""
        letters = ""
        while re.fullmatch(r"\w", self.next):
            letters += self.take()
        return letters

    def choice(self) -> Any:
        x = self.sum()
        if self.next != r"\text":
            return x
        self.take(r"\text", "i", "f")
        condition = self.sum()
        self.take(r"\text", "e", "l", "s", "e")
        y = self.sum()
        return x if condition != 0 else y

    def sum(self) -> Any:
        negative = self.next == "-"
        if negative:
            self.take()
        total = -self.product() if negative else self.product()
        while self.next in ("+", "-"):
            sign = 1 if self.take() == "+" else -1
            total += sign * self.product()
        return total

    def product(self) -> Any:
        found = self.power()
        while self.next and self.next not in self.ENDS:
            if self.next == r"\cdot":
                self.take()
            found *= self.power()
        return found

    def power(self) -> Any:
        start = self.place
        base = self.single()
        if self.next != "^":
            return base
        assert self.tokens[start] != "{" or self.is_one(self.tokens[start + 1 : self.place - 1]), "an exponent of what?"
        self.take()
        return EXACT["pow"](base, self.group())

    @staticmethod
    def is_one(tokens: list[str]) -> bool:
        """Whether braces, which nobody sees, hold one symbol or number, or what stands in brackets from end to end."""
        depth, closed = 0, 0
        for token in tokens:
            depth += token in (r"\left", "[", r"\lfloor", r"\lceil")
            depth -= token in (r"\right", "]", r"\rfloor", r"\rceil")
            closed += depth == 0
        return len(tokens) == 1 or closed == (2 if r"\right" in tokens[-2:] else 1)

    def group(self) -> Any:
        if self.next != "{":
            return self.single()
        return self.enclosed("{", "}")

    def enclosed(self, left: str, right: str) -> Any:
        self.take(*left.split())
        found = self.choice()
        self.take(*right.split())
        return found

    def arguments(self) -> list[Any]:
        if self.next != "(":  # as in \ln \sigma(x)
            return [self.power()]
        self.take("(")
        found = [self.choice()]
        while self.next == ",":
            self.take()
            found.append(self.choice())
        self.take(")")
        return found

    def single(self) -> Any:
        token = self.next
        if token in ("{", "("):
            return self.enclosed(token, {"{": "}", "(": ")"}[token])
        if token == "[":
            self.take()
            x = self.sum()
            self.take(">")
            y = self.sum()
            self.take("]")
            return EXACT["greater"](x, y)
        self.take()
        if token == r"\left":
            kind = self.take()
            inside = self.choice()
            self.take(r"\right", {"(": ")", "|": "|"}[kind])
            return abs(inside) if kind == "|" else inside
        if token == r"\frac":
            return self.group() / self.group()
        if token == r"\sqrt":
            if self.next != "[":
                return mp.sqrt(self.group())
            self.take("[", "3", "]")
            return EXACT["cbrt"](self.group())
        if token in (r"\lfloor", r"\lceil"):
            inside = self.choice()
            self.take({r"\lfloor": r"\rfloor", r"\lceil": r"\rceil"}[token])
            return mp.floor(inside) if token == r"\lfloor" else mp.ceil(inside)
        if token == r"\log":
            self.take("_")
            base = self.group()
            return mp.ln(*self.arguments()) / mp.ln(base)
        if token == r"\operatorname":
            self.take("{")
            name = self.word()
            self.take("}")
            return (self.functions.get(rf"\{name}") or EXACT[name])(*self.arguments())
        if token in self.functions:
            return self.functions[token](*self.arguments())
        if token == r"\infty":
            return mp.inf
        if token == "e":
            return mp.e
        return mpf(self.point[token]) if token in self.point else mpf(token)


READERS = {
    "code": (CODE, read_code),
    "text": (TEXT, read_text),
    "latex": (LATEX, lambda text, point: Latex(text, point).read()),
}


def build(tree: Tree, interpreter: Any, point: dict[str, float]) -> Any:
    if isinstance(tree, tuple):
        return interpreter.apply_op(OPS[tree[0]], [build(x, interpreter, point) for x in tree[1:]])
    if isinstance(tree, str):
        leaf = symbol(NAMES[tree], point[tree])
        return Simplified(leaf) if interpreter is Simplified else leaf
    return Simplified(number(tree)) if interpreter is Simplified else number(tree)


def exactly(tree: Tree, point: dict[str, float]) -> Any:
    """What a tree comes to. ArithmeticError if it, or a part of it, is no real number of ordinary size."""
    if not isinstance(tree, tuple):
        return mpf(point[tree] if isinstance(tree, str) else tree)
    try:
        found = EXACT[tree[0]](*[exactly(x, point) for x in tree[1:]])
    except (ValueError, TypeError) as error:  # mpmath's, of log(0) and of the order of complex numbers
        raise ArithmeticError from error
    if not isinstance(found, mpf) or not abs(found) < 10**6:
        raise ArithmeticError
    return found


def check(expression: Expression, expected: Any, point: dict[str, float], tolerance: float = 1e-30) -> None:
    """Each style says what it should."""
    for style, read in READERS.values():
        text = written(expression, style)
        found = read(text, point)
        assert abs(found - expected) <= tolerance * (1 + abs(expected)), (text, expected)


def defined(tree: Tree, point: dict[str, float]) -> Any:
    """The same; examples that come to none are passed over."""
    try:
        return exactly(tree, point)
    except ArithmeticError:
        return reject()


def below(tree: Tree) -> Iterator[Tree]:
    if isinstance(tree, tuple):
        yield tree
        for x in tree[1:]:
            yield from below(x)


@pytest.fixture(autouse=True)
def in_many_digits() -> Iterator[None]:
    with mp.workdps(DIGITS):
        yield


def point_of(values: Sequence[float]) -> dict[str, float]:
    return dict(zip(NAMES, values, strict=False))


# Every row in every style


@pytest.mark.parametrize("op", OPS.values(), ids=str)
@settings(max_examples=6)
@given(st.data())
def test_every_row(op: Op, data: st.DataObject) -> None:
    """With symbols for operands; variadic rows written out."""
    operands = data.draw(ordinary_points(op, 1 if op.name == "affine" else 2))
    point = point_of(operands)
    tree = (op.name, *point)
    expression = build(tree, Expression, point)
    check(expression, exactly(tree, point), point)
    assert isclose(expression.value, op.evaluate(*operands), rel_tol=1e-12, abs_tol=1e-15)
    for style, _ in READERS.values():
        for name in point:
            assert name in written(expression, style)
    typeset(expression.latex)
    if not op.variadic:
        assert (expression.op, expression.operands) == (op, tuple([symbol(NAMES[n], x) for n, x in point.items()]))
        assert (expression.weight, expression.depth) == (1, 1)


# One of each way to be written, at x = 0.25, y = 0.75.
OPERANDS: list[Tree] = [
    2.0,
    -2.0,
    0.125,
    ("add", "x", "y"),
    ("sub", "x", "y"),
    ("mul", "x", "y"),
    ("div", "x", "y"),
    ("neg", "x"),
    ("pow", "x", 2.0),
    ("pow", "x", ("neg", "y")),
    ("exp", "x"),
    ("neg", ("mul", "x", "y")),
    ("mul", -0.5, "x"),
    ("add", ("neg", "x"), "y"),
    ("abs", "x"),
    ("sin", "x"),
    ("logsigmoid", "x"),
    ("silu", "x"),
    ("leaky_relu", "x", "y"),
    ("hypot", "x", "y"),
    ("greater", "y", "x"),
    ("where", "x", "y", 2.0),
    ("floor", "x"),
    ("exp2", "x"),
    ("expm1", "x"),
]


@pytest.mark.parametrize("op", OPS.values(), ids=str)
def test_every_row_of_every_kind_of_operand(op: Op) -> None:
    """Brackets where they must be, in whatever place the operand stands."""
    point = point_of([0.25, 0.75])
    count = arity(op, 2)
    tried = 0
    for operand in OPERANDS:
        for slot in range(count):
            tree = (op.name, *["xy"[i % 2] if i != slot else operand for i in range(count)])
            try:
                expected = exactly(tree, point)
            except ArithmeticError:
                continue
            check(build(tree, Expression, point), expected, point)
            tried += 1
    assert tried >= 3 or op.name == "acosh", "hardly a point inside the domain"


numbers = st.sampled_from([0.0, 1.0, 2.0, -1.0, -2.0, 0.5, 3.0, -0.25, 10.0, 250000.0, 1e6])
leaves = st.one_of(st.sampled_from("xyz"), st.sampled_from("xyz"), numbers)
OFTEN = ["add", "sub", "mul", "div", "neg", "pow", "pow", "mul", "sub", "div"]


def trees(rows: Sequence[str], most: int) -> st.SearchStrategy[Tree]:
    def node(below: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
        return st.sampled_from(rows).flatmap(
            lambda name: st.tuples(st.just(name), *[below] * arity(OPS[name], 1 + len(name) % 2))
        )

    return st.recursive(leaves, node, max_leaves=most).filter(lambda tree: isinstance(tree, tuple))


points_of = st.tuples(*[st.sampled_from([k / 8 for k in range(-20, 21) if k])] * 3).map(point_of)


@settings(max_examples=400)
@given(trees([*OFTEN, *OFTEN, *OFTEN, *OPS], 8), points_of)
def test_nested_expressions_say_the_same_in_every_style(tree: Tree, point: dict[str, float]) -> None:
    expected = defined(tree, point)
    check(build(tree, Expression, point), expected, point, 1e-25)


@pytest.mark.parametrize(
    ("tree", "code", "text", "latex"),
    [
        (("add", ("add", "x", "y"), "z"), "x + y + z", "x + y + z", "x + y + z"),
        (("add", "x", ("add", "y", "z")), "x + y + z", "x + y + z", "x + y + z"),
        (("sub", "x", ("sub", "y", "z")), "x - (y - z)", "x − (y − z)", r"x - \left(y - z\right)"),
        (("add", "x", ("neg", "y")), "x + (-y)", "x + (−y)", r"x + \left(-y\right)"),
        (("mul", ("add", "x", "y"), "z"), "(x + y)*z", "(x + y)·z", r"\left(x + y\right) \cdot z"),
        (("div", "x", ("mul", "y", "z")), "x/(y*z)", "x/(y·z)", r"\frac{x}{y \cdot z}"),
        (("div", ("add", "x", 1.0), "z"), "(x + 1)/z", "(x + 1)/z", r"\frac{x + 1}{z}"),
        (("mul", "x", ("div", "y", "z")), "x*y/z", "x·y/z", r"x \cdot \frac{y}{z}"),
        (("pow", ("neg", "x"), 2.0), "(-x)**2", "(−x)^2", r"{\left(-x\right)}^{2}"),
        (("neg", ("pow", "x", 2.0)), "-x**2", "−x^2", "-{x}^{2}"),
        (("pow", "x", -1.0), "x**(-1)", "x^(−1)", r"{x}^{-1}"),
        (("pow", ("exp", "x"), 2.0), "exp(x)**2", "exp(x)^2", r"{\left(e^{x}\right)}^{2}"),
        (("pow", "x", ("add", "y", 1.0)), "x**(y + 1)", "x^(y + 1)", r"{x}^{y + 1}"),
        (("exp", ("neg", "x")), "exp(-x)", "exp(−x)", "e^{-x}"),
        (("sigmoid", ("add", "x", "y")), "sigmoid(x + y)", "σ(x + y)", r"\sigma(x + y)"),
        (("abs", ("sub", "x", "y")), "abs(x - y)", "abs(x − y)", r"\left|x - y\right|"),
        (("greater", "x", 0.0), "greater(x, 0)", "[x > 0]", "[x > 0]"),
        (("hypot", ("add", "x", "y"), "z"), "hypot(x + y, z)", "hypot(x + y, z)", r"\sqrt{\left(x + y\right)^2 + z^2}"),
        (("log1p", ("add", "x", "y")), "log1p(x + y)", "log1p(x + y)", r"\ln(1 + x + y)"),
        (("sum", "x", "y", "z"), "x + y + z", "x + y + z", "x + y + z"),
        (("affine", "x", "y", "z"), "x*y + z", "x·y + z", r"x \cdot y + z"),
        (("logsumexp", "x", "y"), "log(exp(x) + exp(y))", "log(exp(x) + exp(y))", r"\ln(e^{x} + e^{y})"),
    ],
)
def test_brackets(tree: Tree, code: str, text: str, latex: str) -> None:
    """Those that must be there, and no other."""
    expression = build(tree, Expression, point_of([0.5, 2.0, 3.0]))
    assert (expression.code, str(expression), expression.latex) == (code, text, latex)
    typeset(latex)


@pytest.mark.parametrize(
    ("x", "code", "text", "latex"),
    [
        (2.0, "2", "2", "2"),
        (-3, "-3", "−3", "-3"),
        (0.5, "0.5", "0.5", "0.5"),
        (1 / 3, "0.3333333333333333", "0.333333", "0.333333"),
        (-1 / 3, "-0.3333333333333333", "−0.333333", "-0.333333"),
        (1e6, "1000000", "1e+06", "10^{6}"),
        (-1e-7, "-1e-07", "−1e-07", "-10^{-7}"),
        (2.5e-9, "2.5e-09", "2.5e-09", r"2.5 \cdot 10^{-9}"),
        (1e300, "1e+300", "1e+300", "10^{300}"),
        (12345678.0, "12345678", "1.23457e+07", r"1.23457 \cdot 10^{7}"),
        (inf, "inf", "inf", r"\infty"),
        (-inf, "-inf", "−inf", r"-\infty"),
        (nan, "nan", "nan", r"\mathrm{nan}"),
    ],
)
def test_numbers(x: float, code: str, text: str, latex: str) -> None:
    found = number(x)
    assert (found.code, str(found), found.latex) == (code, text, latex)
    typeset(found.latex)
    assert (found.op, found.operands, found.name, found.weight, found.depth) == (None, (), None, 0, 0)
    y = symbol(NAMES["y"], 3.0)
    for style in (CODE, TEXT, LATEX):  # a product with a negative, a power of one with an exponent
        assert (style.brackets[0] in written(y * found, style)) == (x < 0)
    assert ("left" in (found**y).latex) == ("10^" in latex or x < 0)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_code_keeps_every_digit(x: float) -> None:
    assert float(number(x).code) == x
    text = float(str(number(x)).replace("−", "-"))
    assert text == pytest.approx(x, rel=1e-5)


@pytest.mark.parametrize("wrong", ["1", None, 1j, [1.0]])
def test_what_is_no_number(wrong: Any) -> None:
    with pytest.raises(TypeError, match="expected a real number"):
        number(wrong)
    with pytest.raises(TypeError):
        symbol(NAMES["x"], 1.0) + wrong


# Operators and objects


@pytest.mark.parametrize("interpreter", [Expression, Simplified])
def test_operators(interpreter: Any) -> None:
    """Python's operators make what the rows make, with the number on either side."""
    x = build("x", interpreter, {"x": 0.5})

    def code(found: Any) -> str:
        return str(getattr(found, "expression", found).code)

    found = [x + 2, 2 + x, x - 2, 2 - x, x * 2, 2 * x, x / 2, 2 / x, x**2, 2**x, -x, abs(x)]
    twice, half = ("2*x", "0.5*x") if interpreter is Simplified else ("x*2", "x/2")
    expected = f"x + 2, 2 + x, x - 2, 2 - x, {twice}, 2*x, {half}, 2/x, x**2, 2**x, -x, abs(x)"
    assert ", ".join(map(code, found)) == expected
    assert code(OPS["tanh"](x)) == "tanh(x)"


def test_equal_expressions_are_one_object() -> None:
    x, again = symbol(NAMES["x"], 0.5), symbol(NAMES["x"], 0.5)
    assert x is again
    assert x is not symbol(NAMES["x"], 0.25)
    assert x is not symbol(NAMES["y"], 0.5)
    assert x * 2 + 1 is again * 2.0 + 1
    assert x * 2 is not 2 * x
    assert number(1) is ONE
    assert number(0.0) is ZERO
    assert number(nan) is number(nan)
    assert repr(x * 2) == "<Expression x·2>"


def test_expressions_are_freed() -> None:
    from autograd.expressions import _interned

    gc.collect()
    before = len(_interned)
    x = symbol(Name("gone", "gone", "gone"), 0.123)
    y = x
    for i in range(100):
        y = y * x + i
    assert len(_interned) > before + 100
    del x, y
    gc.collect()
    assert len(_interned) <= before


# Limits


def test_a_long_sum_is_no_nest() -> None:
    """Written without recursion, from left to right."""
    x = symbol(NAMES["x"], 0.5)
    total = x
    for i in range(5000):
        total = total + x if i % 2 else total - x * x
    assert (total.depth, total.weight) == (2, 7500)
    assert total.code.startswith("x - x*x + x - x*x + ")
    assert len(total.code.split(" ")) == 10_001
    assert len(total.latex) > 10_000


def test_depth_counts_brackets() -> None:
    x = symbol(NAMES["x"], 0.5)
    nested = reduce(lambda y, _: OPS["sin"](y), range(30), x)
    assert nested.depth == 30
    assert (x + (x + (x + x))).depth == 3
    assert (((x + x) + x) + x).depth == 1
    assert ((x + x) * x).depth == 2
    assert (x * x * x * x).depth == 1


def test_weight_is_that_of_the_tree_and_has_an_end() -> None:
    """Doubling makes a tree that no memory holds: it is counted, and never made."""
    y = symbol(NAMES["x"], 0.5)
    with calls_at_most(40_000):
        for i in range(200):
            y = OPS["tanh"](y) * y
            assert y.weight == min(2 ** (i + 2) - 2, 10**9)


def test_long_sums_and_products_are_not_taken_apart() -> None:
    """A shared one would be written out at each place; and a sum of sums would take forever."""
    xs = [Simplified(symbol(Name(f"x{i}", f"x{i}", f"x_{i}"), 0.5)) for i in range(200)]
    short, long = reduce(lambda x, y: x + y, xs[:20]), reduce(lambda x, y: x + y, xs)
    assert (short - short).expression is ZERO
    assert (short + xs[0]).expression.code.startswith("2*x0 + x1 + ")
    assert (long + long).expression.weight < 600
    assert (long + xs[0]).expression.operands[0] is long.expression
    assert len(long.expression.code) == len(" + ".join(f"x{i}" for i in range(200)))
    y = long
    with calls_at_most(400_000):
        for _ in range(300):
            y = y * y + long * y


# Simplifying


@pytest.mark.parametrize(
    ("made", "code"),
    [
        # 0 and 1
        (lambda x, y: x + 0, "x"),
        (lambda x, y: 0 + x, "x"),
        (lambda x, y: x - 0, "x"),
        (lambda x, y: 0 - x, "-x"),
        (lambda x, y: x * 0, "0"),
        (lambda x, y: 0 * x + y, "y"),
        (lambda x, y: x * 1, "x"),
        (lambda x, y: x * -1, "-x"),
        (lambda x, y: x / 1, "x"),
        (lambda x, y: 0 / x, "0"),
        (lambda x, y: x**1, "x"),
        (lambda x, y: x**0, "1"),
        (lambda x, y: x / x, "1"),
        (lambda x, y: x - x, "0"),
        (lambda x, y: -(0 - x), "x"),
        (lambda x, y: -x.apply_op(OPS["neg"], [x]), "x"),
        (lambda x, y: (x - x) * y, "0"),
        (lambda x, y: -(x * -y), "x*y"),
        (lambda x, y: -x * -y, "x*y"),
        # repeated factors and terms
        (lambda x, y: x * x, "x**2"),
        (lambda x, y: x * y * x * y * x, "x**3*y**2"),
        (lambda x, y: x**2 * x**3, "x**5"),
        (lambda x, y: (x**2) ** 3, "x**6"),
        (lambda x, y: (x * y) ** 2, "x**2*y**2"),
        (lambda x, y: x**3 / x, "x**2"),
        (lambda x, y: x / x**3, "1/x**2"),
        (lambda x, y: x * y / x, "y"),
        (lambda x, y: 2 * x * (3 * y), "6*x*y"),
        (lambda x, y: x + x, "2*x"),
        (lambda x, y: x + y + x - y, "2*x"),
        (lambda x, y: 2 * x - 3 * x, "-x"),
        (lambda x, y: x * y - y * x, "0"),
        (lambda x, y: x + -(x + y), "-y"),
        (lambda x, y: x / -x, "-1"),
        (lambda x, y: x * y / 2 + y * x / 2, "x*y"),
        (lambda x, y: 1 + x + 2, "3 + x"),
        (lambda x, y: 1 - x, "1 - x"),
        (lambda x, y: -x + 1, "1 - x"),
        (lambda x, y: x * x.apply_op(OPS["exp"], [x]) * x, "x**2*exp(x)"),
        # fractions
        (lambda x, y: x / 3, "x/3"),
        (lambda x, y: x * (1 / 3), "x/3"),
        (lambda x, y: 2 * x / 3, "2*x/3"),
        (lambda x, y: -x / 7, "-x/7"),
        (lambda x, y: x / 3 + x / 3 + x / 3, "x"),
        (lambda x, y: 0.5 * x, "0.5*x"),
        (lambda x, y: x / 4, "0.25*x"),
        (lambda x, y: x / y / y, "x/y**2"),
        (lambda x, y: x / (y / x), "x**2/y"),
        (lambda x, y: 1 / (x * y), "1/(x*y)"),
        (lambda x, y: x * 0.1234567891, "0.1234567891*x"),
        # powers that are not whole are left: sqrt(x**2) is not x
        (lambda x, y: (x**2) ** 0.5, "(x**2)**0.5"),
        (lambda x, y: x**0.5 * x**0.5, "x"),
        (lambda x, y: x**y * x, "x**y*x"),
        # numbers
        (lambda x, y: x * 0 + 2 ** Simplified(number(3.0)), "8"),
        (lambda x, y: OPS["exp"](x * 0), "1"),
        (lambda x, y: OPS["where"](x, x, 1.0), "x"),
        (lambda x, y: OPS["where"](x, y, 1.0), "where(x, y, 1)"),
        (lambda x, y: OPS["dot"]([x, y], [y, x]), "2*x*y"),
        (lambda x, y: abs(x) * abs(x), "abs(x)**2"),
    ],
)
def test_simplified(made: Callable[..., Simplified], code: str) -> None:
    point = point_of([0.75, 1.5])
    x, y = [build(name, Simplified, point) for name in point]
    found = made(x, y).expression
    assert found.code == code
    expected = read_code(code, point)
    check(found, expected, point, 1e-5)  # text and LaTeX have six digits
    assert isclose(read_code(found.code, point), expected, rel_tol=1e-12)
    assert isclose(found.value, expected, rel_tol=1e-12, abs_tol=1e-15)


def spine(x: Expression, *names: str) -> list[Expression]:
    """What a chain of these operators joins."""
    if x.op is None or x.op.operator not in names:
        return [x]
    return [y for operand in x.operands for y in spine(operand, *names)]


def inner(x: Expression) -> Iterator[Expression]:
    yield x
    for y in x.operands:
        yield from inner(y)


ALGEBRA = ["add", "sub", "mul", "div", "neg", "pow", "add", "sub", "mul"]


@settings(max_examples=400)
@given(trees([*ALGEBRA, *ALGEBRA, "exp", "sin", "sum", "dot"], 10), points_of)
def test_simplifying_keeps_the_value_and_leaves_nothing_to_simplify(tree: Tree, point: dict[str, float]) -> None:
    expected = defined(tree, point)
    sizes = [abs(exactly(part, point)) for part in below(tree)]
    assume(all(size == 0 or 1e-100 < size < 1e100 for size in sizes))  # in reach of floats
    found = build(tree, Simplified, point).expression
    size = max(sizes)
    assert abs(read_code(found.code, point) - expected) <= 1e-9 * (1 + size) ** 2
    for x in inner(found):
        if x.op is None:
            continue
        operator, xs = x.op.operator, x.operands
        assert not all(y.op is None and y.name is None for y in xs), "numbers are worked out"
        if operator in ("add", "sub"):
            assert ZERO not in xs
            terms = spine(x, "add", "sub")
            assert len({*terms}) == len(terms), "equal terms are collected"
            assert sum(y.op is None and y.name is None for y in terms) <= 1
        if operator == "mul":
            assert not {ZERO, ONE} & {*xs}
            factors = spine(x, "mul")
            bases = [y.operands[0] if y.op is not None and y.op.operator == "pow" else y for y in factors]
            whole = [y for y in bases if not (y.op is not None and y.op.operator == "pow")]
            assert len({*whole}) >= len(whole) - sum(y.op is not None for y in factors), "equal factors are collected"
        if operator == "truediv":
            assert xs[1] is not ONE
            assert xs[0] is not xs[1]
        if operator == "pow":
            assert not {ZERO, ONE} & {xs[1]}
        if operator == "neg":
            assert xs[0].op is None or xs[0].op.operator != "neg"


# Rows that somebody registers


def test_rows_without_latex_of_their_own() -> None:
    plain = Op("soft_sign", lambda x: x / (1 + abs(x)), (lambda out, x: 1.0,))
    fixed = Op("half", lambda x: x / 2, (lambda out, x: 0.5,), latex=r"\mathrm{half}")
    x = symbol(NAMES["x"], 1.0)
    assert plain(x + 1).latex == r"\operatorname{soft\_sign}(x + 1)"
    assert (plain(x).code, str(plain(x) * 2)) == ("soft_sign(x)", "soft_sign(x)·2")
    assert fixed(x).latex == r"\operatorname{half}(x)"
    for row in (plain, fixed):
        typeset(row(x).latex)


def test_rows_that_are_written_between_their_operands() -> None:
    joined = Op(
        "join", lambda x, y: x + y, (lambda out, x, y: 1.0, lambda out, x, y: 1.0), symbol="⊕", latex=r"{x} \oplus {y}"
    )
    x, y = symbol(NAMES["x"], 1.0), symbol(NAMES["y"], 2.0)
    assert str(joined(x, y) * 2) == "[x ⊕ y]·2"
    assert joined(x + y, y).latex == r"\left(x + y\right) \oplus y"
    assert joined(x, y).code == "join(x, y)"


def test_rows_with_brackets_of_their_own() -> None:
    """How tightly a row binds is read off its template."""
    x, y = symbol(NAMES["x"], 1.0), symbol(NAMES["y"], 2.0)
    partials = (lambda out, x: 1.0,)
    for latex, whole, squared in [
        ("{x}^2", r"\left(x + y\right)^2", r"{\left(x^2\right)}^{2}"),
        (r"1 + {x}", r"1 + \left(x + y\right)", r"{\left(1 + x\right)}^{2}"),
        (r"\frac{{1}}{{{x}}}", r"\frac{1}{x + y}", r"{\left(\frac{1}{x}\right)}^{2}"),
        (r"\left\| {x} \right\|", r"\left\| x + y \right\|", r"{\left(\left\| x \right\|\right)}^{2}"),
        (r"{x}!", r"\left(x + y\right)!", None),
    ]:
        row = Op("own", lambda x: x, partials, latex=latex)
        found = row(x + y).latex
        assert found.replace(r"\left(x + y\right)", "x + y") == whole.replace(r"\left(x + y\right)", "x + y")
        if squared is not None and "frac" not in latex and "|" not in latex:
            assert found == whole
            assert (row(x) ** 2).latex == squared


def test_a_style_of_ones_own() -> None:
    """The three styles are values, and not all there can be."""
    upper = Style(lambda name: name.code.upper(), lambda x: f"<{x:g}>", _infix)
    x, y = symbol(NAMES["x"], 1.0), symbol(NAMES["y"], 2.0)
    assert written((x + y) * 2.0, upper) == "(X ADD Y) MUL <2>"
    assert written(x + y * 2.0, upper) == "X ADD Y MUL <2>"


def _infix(op: Op) -> str:
    return f" {op.name.upper()} ".join([f"{{{name}}}" for name in op.operands])


def test_the_table_on_symbols_is_the_table_on_values() -> None:
    """One expression, made on Values, floats and symbols, comes to the same."""

    def work(x: Any, y: Any) -> Any:
        return OPS["sigmoid"](x * y + 1) / (x**2 + 3) - OPS["maximum"](x, y)

    x, y = symbol(NAMES["x"], 0.75), symbol(NAMES["y"], -1.5)
    on_floats = work(0.75, -1.5)
    assert work(x, y).value == on_floats == work(Value(0.75), Value(-1.5)).data
    assert isclose(work(Simplified(x), Simplified(y)).expression.value, on_floats, rel_tol=1e-14)
    assert applied(OPS["add"], [x, y]).value == -0.75
