"""Formulas read back by SymPy, whose functions and derivatives owe nothing to the table."""

import math
import re
from collections.abc import Callable, Sequence
from math import inf, isclose
from typing import Any

import pytest
import sympy
from hypothesis import given, settings, strategies as st
from strategies import labelled_values, labels, ordinary_points, typeset
from sympy.parsing.sympy_parser import parse_expr, rationalize, standard_transformations

import autograd
from autograd import OPS, Op, Value, derivative_formula, formula, topological_order
from autograd.formulas import Formula, rule
from autograd.names import Names
from autograd.statements import evaluate


def choice(*pairs: Any) -> Any:
    return sympy.Piecewise(*pairs)


class Floor(sympy.Function):  # type: ignore[misc]
    """SymPy's own, whose derivative SymPy leaves open."""

    @classmethod
    def eval(cls, x: Any) -> Any:
        return sympy.floor(x) if x.is_number else None

    def fdiff(self, argindex: int = 1) -> Any:
        return sympy.S.Zero


SELU_SCALE, SELU_ALPHA = map(sympy.Rational, ("1.0507009873554804934193349852946", "1.6732632423543772848170429916717"))

NAMESAKES = "exp log sqrt sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh erf erfc"

# What the rows' names mean to SymPy, but for the variadic ones, which formulas write out. At kinks, where SymPy's
# derivatives are its own, nothing is compared.
SYMPY: dict[str, Callable[..., Any]] = {
    **{
        name: getattr(sympy, name)
        for name in ["exp", "log", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh"]
    },
    **{name: getattr(sympy, name) for name in NAMESAKES.split()},
    "floor": Floor,
    "ceil": lambda x: -Floor(-x),
    "abs": lambda x: choice((x, x > 0), (-x, True)),
    "expm1": lambda x: sympy.exp(x) - 1,
    "exp2": lambda x: 2**x,
    "log1p": lambda x: sympy.log(1 + x),
    "log2": lambda x: sympy.log(x) / sympy.log(2),
    "log10": lambda x: sympy.log(x) / sympy.log(10),
    "cbrt": lambda x: choice((x ** sympy.Rational(1, 3), x > 0), (-((-x) ** sympy.Rational(1, 3)), True)),
    "hypot": lambda x, y: sympy.sqrt(x**2 + y**2),
    "sigmoid": lambda x: 1 / (1 + sympy.exp(-x)),
    "relu": lambda x: choice((x, x > 0), (0, True)),
    "leaky_relu": lambda x, slope: choice((x, x > 0), (slope * x, True)),
    "elu": lambda x, alpha: choice((x, x > 0), (alpha * (sympy.exp(x) - 1), True)),
    "selu": lambda x: SELU_SCALE * choice((x, x > 0), (SELU_ALPHA * (sympy.exp(x) - 1), True)),
    "gelu": lambda x: x * (1 + sympy.erf(x / sympy.sqrt(2))) / 2,
    "silu": lambda x: x / (1 + sympy.exp(-x)),
    "softplus": lambda x: sympy.log(1 + sympy.exp(x)),
    "logsigmoid": lambda x: -sympy.log(1 + sympy.exp(-x)),
    "maximum": lambda x, y: choice((x, x > y), (y, True)),
    "minimum": lambda x, y: choice((x, x < y), (y, True)),
    "clamp": lambda x, low, high: choice((high, high < low), (low, x < low), (high, x > high), (x, True)),
    "where": lambda condition, x, y: choice((x, sympy.Ne(condition, 0)), (y, True)),
    "greater": lambda x, y: choice((1, x > y), (0, True)),
    "sign": lambda x: choice((1, x > 0), (-1, x < 0), (0, True)),
}
EXACTLY = (*standard_transformations, rationalize)
DIGITS = 40


def numerically(function: Callable[..., Any]) -> Callable[..., Any]:
    """At once, to 40 digits: what SymPy leaves as it stands takes it minutes to work out later."""
    return lambda *operands: sympy.N(function(*[sympy.N(x, DIGITS) for x in operands]), DIGITS)


NUMERICALLY = {name: numerically(function) for name, function in SYMPY.items()}


def read(code: str, leaves: dict[str, Any]) -> Any:
    """The last of the statements, as SymPy reads them: in symbols, or in numbers if the leaves are."""
    numeric = any(isinstance(x, sympy.Float) for x in leaves.values())
    known = {**(NUMERICALLY if numeric else SYMPY), "inf": sympy.oo, **leaves}
    for line in code.splitlines():
        left, _, right = line.partition(" = ")
        result = parse_expr(right, known, transformations=EXACTLY)
        known[left] = sympy.N(result, DIGITS) if numeric else result
    return result


def number(expression: Any) -> float:
    return float(sympy.N(expression, DIGITS))


def exact_leaves(v: Value) -> dict[str, Any]:
    """The labelled leaves to 40 digits."""
    leaves = [x for x in topological_order(v) if x.op is None and x.label]
    return {x.label: sympy.Float(sympy.Rational(x.data), DIGITS) for x in leaves}


def test_sympy_knows_every_row() -> None:
    """But for Python's operators, and for the variadic rows, which formulas write out."""
    assert {op.name for op in OPS.values() if op.variadic} == {op.name for op in OPS.values() if op.written}
    assert {*SYMPY} == {op.name for op in OPS.values() if not op.variadic and op.operator in ("", "abs")}


@pytest.mark.parametrize("op", OPS.values(), ids=str)
@settings(max_examples=8)
@given(st.data())
def test_every_row_and_its_derivatives(op: Op, data: st.DataObject) -> None:
    """The value, and each derivative against that which SymPy takes of the same expression."""
    operands = data.draw(ordinary_points(op))
    xs = [Value(x, label=f"x{i}") for i, x in enumerate(operands)]
    v = Value.apply_op(op, xs)
    v.backward()
    symbols = {x.label: sympy.Symbol(x.label, real=True) for x in xs}
    point = {symbols[x.label]: sympy.Rational(x.data) for x in xs}
    written = formula(v)
    whole = read(written.code, symbols)
    assert number(whole.subs(point)) == pytest.approx(v.data, rel=1e-13, abs=1e-15)
    assert written.value == pytest.approx(v.data, rel=1e-13, abs=1e-15)
    assert evaluate(written.code, **{x.label: x.data for x in xs}).popitem()[1].data == written.value
    for x in xs:
        derived = derivative_formula(v, x)
        expected = number(sympy.diff(whole, symbols[x.label]).subs(point))
        assert number(read(derived.code, symbols).subs(point)) == pytest.approx(expected, rel=1e-12, abs=1e-14)
        assert derived.value == pytest.approx(expected, rel=1e-10, abs=1e-12)
        assert derived.value == pytest.approx(x.grad, rel=1e-10, abs=1e-12)
        assert evaluate(derived.code, **{x.label: x.data for x in xs}).popitem()[1].data == derived.value
        assert not [note for note in derived.notes if "reverse pass" in note]


def size(v: Value) -> dict[Value, float]:
    """For each node the sum of |product| over its paths to v, which is what rounding is measured by."""
    sizes = {v: 1.0}
    for node in reversed(topological_order(v)):
        for x, d in zip(node.parents, node.local_derivatives, strict=True):
            sizes[x] = sizes.get(x, 0.0) + abs(d()) * sizes[node]
    return sizes


@settings(max_examples=100)
@given(st.data())
def test_random_graphs(data: st.DataObject) -> None:
    """Every notation of a node and of its derivative comes to the same, in our parser and in SymPy's."""
    tape = data.draw(labelled_values())
    for i, node in enumerate(tape):
        if node.op is None:
            node.label = f"x{i}"
    v = tape[-1]
    v.label = "v"
    wrt = data.draw(st.sampled_from(topological_order(v)[:-1]))
    v.backward()
    leaves, inputs = exact_leaves(v), {x.label: x.data for x in topological_order(v) if x.op is None and x.label}
    written = formula(v)
    tolerance = 1e-9 * (1 + abs(v.data) + max(size(v).values()))
    assert isclose(number(read(written.code, leaves)), v.data, rel_tol=0, abs_tol=tolerance)
    assert isclose(evaluate(written.code, **inputs).popitem()[1].data, v.data, rel_tol=0, abs_tol=tolerance)
    assert isclose(written.value, v.data, rel_tol=0, abs_tol=tolerance)
    derived = derivative_formula(v, wrt)
    expected = autograd.explain(v, wrt).total if wrt.kind == "constant" else wrt.grad
    tolerance = 1e-9 * (1 + size(v)[wrt])
    assert isclose(derived.value, expected, rel_tol=0, abs_tol=tolerance)
    for equation in (written, derived):
        used = re.findall(r"[^\W\d]\w*", equation.code)
        assert all([used.count(name.code) > 1 for name in equation.definitions]), "defined, and never used"
    if wrt.op is not None or wrt.label:  # what has no label and is no result, code cannot name
        assert isclose(number(read(derived.code, leaves)), expected, rel_tol=0, abs_tol=tolerance)
        found = evaluate(derived.code, **inputs).popitem()[1].data
        assert isclose(found, derived.value, rel_tol=0, abs_tol=tolerance)


@settings(max_examples=40)
@given(st.data())
def test_any_labels(data: st.DataObject) -> None:
    """Text has no line break of its own, code can be read, LaTeX can be set."""
    tape = data.draw(labelled_values())
    for node in tape:
        node.label = data.draw(labels)
    v = tape[-1]
    wrt = data.draw(st.sampled_from(topological_order(v)))
    for found in (formula(v), derivative_formula(v, wrt)):
        compile(found.code, "formula", "exec")
        typeset(found.latex)
        lines = 1 + len(found.definitions) + len(found.notes)
        assert len(str(found).split("\n")) == lines
        assert found._repr_latex_() == rf"$\displaystyle {found.latex}$"


# Textbook cases: (statements, wrt, the derivative, definitions)

CASES = [
    ("y = 3*x + 5", "3", {}),
    ("y = 7 - x", "-1", {}),
    ("y = x*x", "2*x", {}),
    ("y = x**3", "3*x**2", {}),
    ("y = x*x*x*x", "4*x**3", {}),
    ("y = 3*x**2 - 4*x + 5", "6*x - 4", {}),
    ("y = x**2/2", "x", {}),
    ("y = x/3", "0.3333333333333333", {}),
    ("y = 1/x", "-1/x**2", {}),
    ("y = k/x**2", "-2*k/x**3", {}),
    ("y = 0*x", "0", {}),
    ("y = x**0.5", "0.5/x**0.5", {}),
    ("y = (x - x)*exp(x)", "0", {}),
    ("y = x - x", "0", {}),
    ("y = x/x", "0", {}),
    ("y = -(-x)", "1", {}),
    ("y = sin(x)", "cos(x)", {}),
    ("y = cos(2*x)", "-2*sin(2*x)", {}),
    ("y = exp(-x)", "-exp(-x)", {}),
    ("y = exp(k*x)", "exp(k*x)*k", {}),
    ("y = log(x)", "1/x", {}),
    ("y = x*log(x)", "1 + log(x)", {}),
    ("y = sqrt(x)", "0.5/sqrt(x)", {}),
    ("y = tanh(x)", "1 - tanh(x)**2", {}),
    ("y = sigmoid(x)", "y*(1 - y)", {"y": "sigmoid(x)"}),
    ("y = softplus(x)", "sigmoid(x)", {}),
    ("y = relu(x)", "greater(x, 0)", {}),
    ("y = (k - x)**2", "-2*(k - x)", {}),
    ("y = 0.5*(k - x)**2", "-(k - x)", {}),
    ("y = x**k", "k*x**(k - 1)", {}),
    ("y = k**x", "k**x*log(k)", {}),
    ("a = sigmoid(x); y = (a - k)**2", "2*(a - k)*a*(1 - a)", {"a": "sigmoid(x)"}),
    ("a = tanh(x); y = 0.5*(k - a)**2", "-(k - a)*(1 - a**2)", {"a": "tanh(x)"}),
    ("a = sigmoid(x); y = -(k*log(a) + (1 - k)*log(1 - a))", None, {"a": "sigmoid(x)"}),
    ("z = k*x; y = z*exp(z)", None, {"z": "k*x"}),
    ("y = affine([k, 2], [x, x], 1)", "2 + k", {}),
    ("y = dot([x, k], [x, k])", "2*x", {}),
    ("y = sum([x, x, k])", "2", {}),
    ("y = (x + k)*(x + k)", "2*x + 2*k", {}),
    ("y = exp(x)*exp(x)", "2*exp(x)**2", {}),
]


@pytest.mark.parametrize(("text", "expected", "definitions"), CASES, ids=[case[0] for case in CASES])
def test_derivatives_as_a_textbook_has_them(text: str, expected: str | None, definitions: dict[str, str]) -> None:
    known = evaluate(text, x=0.75, k=1.5)
    if "k" in text:
        assert known["k"].label == "k"
    y, x = known["y"], known["x"]
    derived = derivative_formula(y, x)
    if expected is not None:
        assert derived.expression.code == expected
    assert {name.code: expression.code for name, expression in derived.definitions.items()} == definitions
    assert derived.notes == []
    y.backward()
    assert derived.value == pytest.approx(x.grad, rel=1e-12)
    symbols = {"x": sympy.Symbol("x", positive=True), "k": sympy.Symbol("k", positive=True)}
    exact = sympy.diff(read(formula(y).code, symbols), symbols["x"])
    difference = (read(derived.code, symbols) - exact).subs({symbols["x"]: 0.75, symbols["k"]: 1.5})
    assert abs(number(difference)) < 1e-12
    typeset(derived.latex)


@pytest.mark.parametrize(
    ("text", "code", "shown", "latex"),
    [
        ("y = 0.5*(t - x)**2", "0.5*(t - x)**2", "0.5·(t − x)^2", r"0.5 \cdot {\left(t - x\right)}^{2}"),
        ("y = x - (t - 1)", "x - (t - 1)", "x − (t − 1)", r"x - \left(t - 1\right)"),
        ("y = x/(t*x)", "x/(t*x)", "x/(t·x)", r"\frac{x}{t \cdot x}"),
        ("y = (x/t)**2", "(x/t)**2", "(x/t)^2", r"{\left(\frac{x}{t}\right)}^{2}"),
        ("y = (-x)**2", "(-x)**2", "(−x)^2", r"{\left(-x\right)}^{2}"),
        ("y = -x**2", "-x**2", "−x^2", r"-{x}^{2}"),
        ("y = x*-3", "x*(-3)", "x·(−3)", r"x \cdot \left(-3\right)"),
        ("y = (x**t)**2", "(x**t)**2", "(x^t)^2", r"{\left({x}^{t}\right)}^{2}"),
        ("y = x**t**2", "x**(t**2)", "x^(t^2)", r"{x}^{{t}^{2}}"),
        ("y = sigmoid(t*x)", "sigmoid(t*x)", "σ(t·x)", r"\sigma(t \cdot x)"),
        ("y = sqrt(x + t)", "sqrt(x + t)", "sqrt(x + t)", r"\sqrt{x + t}"),
        ("y = exp(-x)/2", "exp(-x)/2", "exp(−x)/2", r"\frac{e^{-x}}{2}"),
        ("y = affine([x, t], [t, 2], 1)", "x*t + t*2 + 1", "x·t + t·2 + 1", r"x \cdot t + t \cdot 2 + 1"),
        ("y = greater(x, t)", "greater(x, t)", "[x > t]", "[x > t]"),
        ("y = log(sum([x, t]))", "log(x + t)", "log(x + t)", r"\ln(x + t)"),
    ],
)
def test_formulas_as_they_were_written(text: str, code: str, shown: str, latex: str) -> None:
    """Nothing is simplified, and no bracket is there that need not be."""
    y = evaluate(text, x=0.75, t=1.5)["y"]
    found = formula(y)
    assert (found.code, str(found), found.latex) == (f"y = {code}", f"y = {shown}", f"y = {latex}")
    assert found.value == y.data
    typeset(found.latex)


def test_shared_results_are_named_once() -> None:
    known = evaluate("s = sin(x)*k + x; y = s*exp(s)", x=0.5, k=2.0)
    known["s"].label = ""
    found = formula(known["y"])
    assert found.code == "_1 = sin(x)*k + x\ny = _1*exp(_1)"
    assert str(found) == ("y = ⟨1⟩·exp(⟨1⟩)\nwhere ⟨1⟩ = sin(x)·k + x\n(⟨1⟩ is a name made up for want of a label)")
    typeset(found.latex)
    known["s"].label = "s"
    assert formula(known["y"]).code == "s = sin(x)*k + x\ny = s*exp(s)"


def test_a_labelled_result_within_a_shared_one_is_not_written_twice() -> None:
    known = evaluate("a = tanh(k*x); m = -a; y = m*exp(m)", x=0.5, k=2.0)
    known["m"].label = ""
    assert formula(known["y"]).code == "a = tanh(k*x)\ny = (-a)*exp(-a)"


def test_a_labelled_result_used_once_is_written_out() -> None:
    assert formula(evaluate("a = w*x; b = tanh(a); y = 2*b", w=1, x=2)["y"]).code == "y = 2*tanh(w*x)"


def test_what_is_deep_gets_names() -> None:
    """Brackets in brackets in brackets help no reader, and Python's parser refuses 200 of them."""
    y = x = Value(0.3, label="x")
    for _ in range(400):
        y = autograd.sin(y)
    y.label = "y"
    found = formula(y)
    assert len(found.definitions) >= 19
    assert max(line.count("(") for line in found.code.splitlines()) <= 25
    assert evaluate(found.code, x=0.3)["y"].data == y.data
    derived = derivative_formula(y, x)
    y.backward()
    assert evaluate(derived.code, x=0.3).popitem()[1].data == pytest.approx(x.grad, rel=1e-9)


def test_doubling_a_hundred_times_stays_short() -> None:
    """The tree of x + x, doubled, has 2**100 leaves; the formula shares."""
    y = x = Value(1.0, label="x")
    for _ in range(100):
        y = y.tanh() + y
    y.label = "y"
    assert len(formula(y).code) < 20_000
    assert len(derivative_formula(y, x).code) < 50_000
    assert evaluate(formula(y).code, x=1.0)["y"].data == y.data


def test_the_derivative_of_a_long_sum() -> None:
    x = Value(0.5, label="x")
    y = x * 1.0
    for i in range(600):
        y = y + x * float(i)
    assert derivative_formula(y, x).expression.code == str(1 + sum(range(600)))
    assert len(formula(y).code) < 20_000
    assert formula(y).definitions == {}  # a chain of + is not nested


def test_by_an_inner_node() -> None:
    known = evaluate("a = w*x; y = a*tanh(a)", w=1.5, x=0.5)
    derived = derivative_formula(known["y"], known["a"])
    assert derived.expression.code == "a*(1 - tanh(a)**2) + tanh(a)"
    assert derived.left.code == "dy_da"
    known["a"].label = ""
    by_unlabelled = derivative_formula(known["y"], known["a"])
    assert by_unlabelled.value == derived.value
    assert "a node without a label" in by_unlabelled.notes[0]


def test_by_itself() -> None:
    y = evaluate("y = x*x", x=3)["y"]
    assert (derivative_formula(y, y).expression.code, derivative_formula(y, y).value) == ("1", 1.0)


def test_leaves_without_a_label() -> None:
    a, b = Value(2.0), Value(3.0)
    found = formula(a * b + 1.0)
    assert found.notes[:2] == ["⟨1⟩ is a leaf without a label, 2", "⟨2⟩ is a leaf without a label, 3"]
    assert found.code.endswith("_1*_2 + 1")
    assert "made up" in found.notes[-1]
    assert str(found).splitlines()[1:] == [f"({note})" for note in found.notes]


def test_repeated_labels_stay_apart() -> None:
    a, b = Value(2.0, label="w"), Value(3.0, label="w")
    y = a * a * b
    y.label = "y"
    for found, code in [(formula(y), "y = w*w*w__2"), (derivative_formula(y, b), "dy_dw__2 = w**2")]:
        assert found.code == code
        (note,) = found.notes
        assert note.startswith("several nodes are labelled 'w'")
        assert note.endswith("w, w#2")
    typeset(formula(y).latex)


def test_at_a_kink_the_formula_says_that_it_holds_beside_it() -> None:
    x = Value(0.0, label="x")
    y = x.sqrt() * 0.0 + x
    y.label = "y"
    found = derivative_formula(y, x)
    assert (found.expression.code, found.value) == ("1", 1.0)
    (note,) = found.notes
    assert note.startswith("here this comes to 1, and the reverse pass gives nan")
    assert str(found).endswith(f"({note})")


def test_infinite_constants() -> None:
    known = evaluate("y = clamp(x, 0)", x=0.5)
    assert formula(known["y"]).code == "y = clamp(x, 0, inf)"
    assert evaluate("y = clamp(x, 0, inf)", x=0.5)["y"].data == 0.5
    assert derivative_formula(known["y"], known["x"]).value == 1.0


@pytest.mark.parametrize("label", ["exp", "sigmoid", "inf", "E", "pi", "greater", "min"])
def test_a_label_that_is_a_name_of_something_else(label: str) -> None:
    """Code says which is which to our parser, and, as Python reads it, defines nothing that it calls later."""
    x = Value(0.5, label=label)
    y = autograd.clamp(x.exp() * x + x.sigmoid(), 0.0, inf)
    y.label = "y"
    assert evaluate(formula(y).code, **{Names()[x].code: 0.5})["y"].data == y.data


@pytest.mark.parametrize("function", [formula, lambda v: derivative_formula(v, v)])
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (Value(1.0, label="w"), ValueError, r"Value\(1\.0, label='w'\) is a leaf"),
        ("E", TypeError, "expected Values, got str"),
        (None, TypeError, "expected Values, got NoneType"),
        (1.0, TypeError, "expected Values, got float"),
    ],
)
def test_bad_input(function: Callable[[Any], Formula], given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        function(given)


def test_derivatives_by_what_is_not_there() -> None:
    x, other = Value(1.0, label="x"), Value(2.0, label="other")
    y = x.exp()
    with pytest.raises(ValueError, match=r"does not depend on Value\(2\.0, label='other'\)"):
        derivative_formula(y, other)
    with pytest.raises(ValueError, match="does not depend on"):
        derivative_formula(y, y * 2)


def test_too_large() -> None:
    x = Value(1.0, label="x")
    y = x
    for _ in range(3000):
        y = y.tanh()
    message = r"the formula would have 3,001 nodes, over the limit of max_nodes=2,000\. Right: formula\(v, max_nodes="
    with pytest.raises(ValueError, match=message):
        formula(y)
    with pytest.raises(ValueError, match=message):
        derivative_formula(y, x)
    assert evaluate(formula(y, max_nodes=4000).code, x=1.0).popitem()[1].data == y.data


def test_partials_that_work_on_floats_only() -> None:
    op = Op("offhand", math.sin, (lambda out, x: math.cos(x),))
    x = Value(0.5, label="x")
    y = Value.apply_op(op, [x])
    with pytest.raises(ValueError, match=r"wrong: math\.exp\(x\); right: autograd\.exp\(x\)"):
        derivative_formula(y, x)
    assert formula(y).code.endswith("offhand(x)")
    assert rule(y, x, lambda node: node.op is None, Names()) is None


def test_a_variadic_row_without_a_formula_of_its_own() -> None:
    def gradient(out: Any, *values: Any) -> Sequence[Any]:
        return [1.0] * len(values)

    op = Op("total", lambda *xs: math.fsum(xs), gather=lambda values: tuple(values), gradient=gradient)
    xs = [Value(float(i), label=f"x{i}") for i in range(3)]
    y = Value.apply_op(op, xs) * 2.0
    assert formula(y).expression.code == "total([x0, x1, x2])*2"
    assert derivative_formula(y, xs[0]).expression.code == "2"
    typeset(formula(y).latex)
