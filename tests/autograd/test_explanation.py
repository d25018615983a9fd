"""The chain rule explained: the lines that the books print, the factors taken apart, and whatever may be asked."""

import gc
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from math import fsum, inf, isclose, nan
from pathlib import Path
from typing import Any

import pytest
from counting import calls_at_most
from hypothesis import assume, given, settings, strategies as st
from strategies import alike, diamonds, equations, intervals, labelled_values, labels, ordinary_points, typeset

import autograd
from autograd import OPS, Op, StaleGraphError, Value, explain, topological_order
from autograd.explanation import Derivative, Explanation, Factor, in_line
from autograd.statements import evaluate

# Mazur's network: two inputs, two hidden neurons, two outputs.
WEIGHTS = {f"w{i}": (10 + 5 * i + 5 * (i > 4)) / 100 for i in range(1, 9)}
GIVEN = {"i1": 0.05, "i2": 0.10, "t1": 0.01, "t2": 0.99, "b1": 0.35, "b2": 0.60, **WEIGHTS}
NEURONS = {
    "sigmoid(affine)": ("affine([{0}, {1}], [{2}, {3}], {4})", "sigmoid({net})"),
    "sigmoid(w*x + ...)": ("{0}*{2} + {1}*{3} + {4}", "sigmoid({net})"),
    "1/(1 + exp(-net))": ("{0}*{2} + {1}*{3} + {4}", "1/(1 + exp(-{net}))"),
}


def network(kind: str) -> dict[str, Value]:
    net, out = NEURONS[kind]
    lines = []
    for name, *operands in [
        ("h1", "w1", "w2", "i1", "i2", "b1"),
        ("h2", "w3", "w4", "i1", "i2", "b1"),
        ("o1", "w5", "w6", "out_h1", "out_h2", "b2"),
        ("o2", "w7", "w8", "out_h1", "out_h2", "b2"),
    ]:
        lines += [f"net_{name} = {net.format(*operands)}", f"out_{name} = {out.format(net=f'net_{name}')}"]
    lines.append("E = 0.5*(t1 - out_o1)**2 + 0.5*(t2 - out_o2)**2")
    return evaluate("\n".join(lines), **GIVEN)


kinds = pytest.mark.parametrize("kind", NEURONS)


@kinds
def test_the_lines_of_the_worked_example(kind: str) -> None:
    """As the issue that asked for them prints them."""
    known = network(kind)
    explanation = explain(known["E"], known["w5"])
    assert str(explanation.factored) == (
        "∂E/∂w5 = ∂E/∂out_o1 · ∂out_o1/∂net_o1 · ∂net_o1/∂w5\n       = 0.741365 · 0.186816 · 0.593270 = 0.0821670"
    )
    assert str(explanation).startswith(f"{explanation.factored}\n\n")
    explanation = explain(known["E"], known["out_h1"])
    assert str(explanation.factored) == (
        "∂E/∂out_h1 = ∂E/∂net_o1 · ∂net_o1/∂out_h1 + ∂E/∂net_o2 · ∂net_o2/∂out_h1 = 0.055399 + -0.019049 = 0.036350"
    )


@kinds
def test_the_worked_example_in_numbers(kind: str) -> None:
    known = network(kind)
    known["E"].backward()
    grads = {name: node.grad for name, node in known.items()}
    for name in [*WEIGHTS, "b1", "b2", "out_h1", "net_h2", "out_o1"]:
        explanation = explain(known["E"], known[name])
        assert explanation.total == pytest.approx(grads[name], rel=1e-14)
        assert fsum(path.product for path in explanation.paths) == pytest.approx(grads[name], rel=1e-13)
    assert grads["w5"] == pytest.approx(0.082167041, abs=5e-10)  # as printed there
    assert grads["w1"] == pytest.approx(0.000438568, abs=5e-10)


def test_the_rules_of_the_worked_example() -> None:
    known = network("sigmoid(affine)")
    explanation = explain(known["E"], known["w5"])
    (term,) = explanation.factored.terms
    assert [str(factor) for factor in term.factors] == [
        "∂E/∂out_o1 = −(t1 − out_o1) = 0.741365",
        "∂out_o1/∂net_o1 = out_o1·(1 − out_o1) = 0.186816",
        "∂net_o1/∂w5 = out_h1 = 0.593270",
    ]
    assert [factor.name.latex for factor in term.factors][1] == (
        r"\frac{\partial \mathrm{out}_{o1}}{\partial \mathrm{net}_{o1}}"
    )
    assert equations(explanation.latex) == [
        r"\frac{\partial E}{\partial w_{5}}",
        r"= \frac{\partial E}{\partial \mathrm{out}_{o1}} \cdot "
        r"\frac{\partial \mathrm{out}_{o1}}{\partial \mathrm{net}_{o1}} \cdot "
        r"\frac{\partial \mathrm{net}_{o1}}{\partial w_{5}}",
        "",
        r"= 0.741365 \cdot 0.186816 \cdot 0.593270 = 0.0821670",
        r"\frac{\partial E}{\partial \mathrm{out}_{o1}}",
        r"= -\left(t_{1} - \mathrm{out}_{o1}\right) = 0.741365",
        r"\frac{\partial \mathrm{out}_{o1}}{\partial \mathrm{net}_{o1}}",
        r"= \mathrm{out}_{o1} \cdot \left(1 - \mathrm{out}_{o1}\right) = 0.186816",
        r"\frac{\partial \mathrm{net}_{o1}}{\partial w_{5}}",
        r"= \mathrm{out}_{h1} = 0.593270",
    ]
    typeset(explanation.latex)
    assert explanation._repr_latex_() == rf"$\displaystyle {explanation.latex}$"


def test_the_paths_of_the_worked_example() -> None:
    known = network("sigmoid(affine)")
    explanation = explain(known["E"], known["w1"])
    assert str(explanation.paths) == (
        "2 paths, the largest first:\n"
        "  E ← out_o1 ← net_o1 ← out_h1 ← net_h1 ← w1: "
        "0.741365 · 0.186816 · 0.4 · 0.241301 · 0.05 = 0.000668396\n"
        "  E ← out_o2 ← net_o2 ← out_h1 ← net_h1 ← w1: "
        "-0.217072 · 0.175510 · 0.5 · 0.241301 · 0.05 = -0.000229828"
    )
    first = explanation.paths[0]
    assert [node.label for node in first.nodes] == ["E", "out_o1", "net_o1", "out_h1", "net_h1", "w1"]
    assert first.product == pytest.approx(math.prod(first.factors))
    assert explanation.share(1) == pytest.approx(0.000668396 / 0.000438568, rel=1e-5)
    assert explanation.share() == pytest.approx(1)


# Random graphs


@st.composite
def explanations(draw: st.DrawFn) -> Explanation:
    output = draw(labelled_values())[-1]
    return explain(output, draw(st.sampled_from(topological_order(output)[:-1])))


def expansions(derivative: Derivative) -> Iterator[Derivative]:
    """The derivative, and all that its factors expand to, each node's once."""
    waiting, seen = [derivative], {derivative.node}
    while waiting:
        derivative = waiting.pop()
        yield derivative
        for term in derivative.terms:
            for factor in term.factors:
                below = factor.expanded
                assert (below is None) == factor.local
                if below is not None and below.node not in seen:
                    seen.add(below.node)
                    waiting.append(below)


def named_graph(explanation: Explanation) -> dict[Value, dict[Value, float]]:
    """For each name d(name)/d(name before), by one step: worked out from parents and local derivatives."""
    names = {*explanation.chain.nodes}
    leads: dict[Value, bool] = {}
    found: dict[Value, dict[Value, float]] = {}

    def is_on_the_way(node: Value) -> bool:
        if node not in leads:
            leads[node] = node is explanation.wrt or any([is_on_the_way(x) for x in node.parents])
        return leads[node]

    def below(node: Value) -> dict[Value, float]:
        if node not in found:
            steps: dict[Value, float] = {}
            for x, d in zip(node.parents, node.local_derivatives, strict=True):
                if is_on_the_way(x):
                    for tail, deeper in ({x: 1.0} if x in names else below(x)).items():
                        steps[tail] = steps.get(tail, 0.0) + d() * deeper
            found[node] = steps
        return found[node]

    return {head: below(head) for head in names if head is not explanation.wrt}


@settings(max_examples=200)
@given(explanations())
def test_factors_taken_apart(explanation: Explanation) -> None:
    """At every level the terms sum to the value, and each factor is the derivative whose name it bears."""
    graph = named_graph(explanation)
    chain, output = explanation.chain, explanation.output
    total = {output: 1.0}
    size = {output: 1.0}
    for head in reversed(chain.nodes):
        for tail, d in graph.get(head, {}).items():
            total[tail] = total.get(tail, 0.0) + d * total[head]
            size[tail] = size.get(tail, 0.0) + abs(d) * size[head]
    reaches: dict[Value, set[Value]] = {}  # from each name, by way of one more at least
    for tail in reversed(chain.nodes):
        heads = [head for head, below in graph.items() if tail in below]
        reaches[tail] = {far for head in heads for far in {head} | reaches[head]}
    for derivative in expansions(explanation.factored):
        here = derivative.node
        tolerance = 1e-11 * (1 + max(size.values()))
        assert isclose(derivative.value, total[here], abs_tol=tolerance)
        assert isclose(fsum(term.product for term in derivative.terms), derivative.value, abs_tol=tolerance)
        heads = [head for head, below in graph.items() if here in below]
        assert len(derivative.terms) == len(heads)
        for term in derivative.terms:
            assert term.factors[-1].under == chain.nodes.index(here)
            assert term.factors[0].over == len(chain.nodes) - 1
            for left, right in zip(term.factors, term.factors[1:], strict=False):
                assert left.under == right.over  # as in ∂E/∂h · ∂h/∂x
            for factor in term.factors:
                over, under = chain.nodes[factor.over], chain.nodes[factor.under]
                if factor.local:
                    assert isclose(factor.value, graph[over][under], rel_tol=1e-9, abs_tol=1e-12)
                    others = [h for h, below in graph.items() if under in below and h is not over]
                    assert factor.direct == any([over in reaches[h] for h in others])
                else:
                    assert over is output
                    assert isclose(factor.value, total[under], abs_tol=tolerance)
                    assert not factor.direct
                    assert factor.expanded is not None
                    assert factor.expanded.value == factor.value
                assert ("direct" in factor.name.text) == factor.direct


@settings(max_examples=100)
@given(explanations())
def test_the_rule_of_a_factor_comes_to_its_value(explanation: Explanation) -> None:
    for derivative in expansions(explanation.factored):
        for term in derivative.terms:
            for factor in term.factors:
                rule = factor.rule
                if rule is None:  # as it would be very long, of many nodes contracted
                    assert not factor.local or explanation.chain.contracted
                else:
                    assert factor.local
                    assert rule.value == pytest.approx(factor.value, rel=1e-6, abs=1e-6)


@settings(max_examples=100)
@given(explanations())
def test_totals_paths_and_shares(explanation: Explanation) -> None:
    assume(explanation.path_count < 10_000)
    output, wrt = explanation.output, explanation.wrt
    output.backward()
    paths = list(explanation.paths)
    assert len(paths) == len(explanation.paths) == explanation.path_count
    assert bool(explanation.paths)
    size = fsum(abs(path.product) for path in paths)
    if wrt.kind != "constant":
        assert isclose(explanation.total, wrt.grad, abs_tol=1e-10 * (1 + size))
    assert explanation.factored.value == explanation.total
    for path in paths:
        assert (path.nodes[0], path.nodes[-1]) == (output, wrt)
        assert path.product == pytest.approx(math.prod(path.factors), rel=1e-12)
    assert len({(tuple(path.nodes), tuple(e.slot for e in path.edges)) for path in paths}) == len(paths)
    k = min(3, len(paths))
    carried = fsum(path.product for path in paths[:k])
    assert alike(explanation.share(k), carried / explanation.total if explanation.total else nan)
    assert explanation.paths[:k] == paths[:k]
    assert explanation.paths[k - 1] == paths[k - 1]
    assert explanation.paths[-1] == paths[-1]
    assert explanation.paths[::2] == paths[::2]
    assert explanation.paths[len(paths) :] == []
    with pytest.raises(IndexError):
        explanation.paths[len(paths)]


def check_shown(explanation: Explanation) -> None:
    """What is shown can be printed and encoded, stays the same, and within what a reader takes in."""
    text = str(explanation)
    assert str(explanation) == repr(explanation) == text
    text.encode()
    assert len(text) < 40_000
    assert str(explanation.factored) in text
    assert not {c for c in text if c.isascii() and not c.isprintable()} - {"\n"}
    for note in explanation.notes:
        assert f"({note})" in text
    latex = explanation.latex
    latex.encode()
    assert len(latex) < 80_000
    assert explanation._repr_latex_() == rf"$\displaystyle {explanation.latex}$"
    assert explanation.factored._repr_latex_() == rf"$\displaystyle {explanation.factored.latex}$"
    whole, first = ["".join(equations(x)).replace(" ", "") for x in (latex, explanation.factored.latex)]
    assert whole.startswith(first)


@settings(max_examples=40)
@given(explanations())
def test_random_graphs_are_shown(explanation: Explanation) -> None:
    check_shown(explanation)
    typeset(explanation.factored.latex)


@settings(max_examples=60)
@given(st.data())
def test_any_labels_are_shown(data: st.DataObject) -> None:
    tape = data.draw(labelled_values())
    for node in tape:
        node.label = data.draw(labels)
    explanation = explain(tape[-1], data.draw(st.sampled_from(topological_order(tape[-1]))))
    check_shown(explanation)
    typeset(explanation.factored.latex)


@pytest.mark.parametrize("op", OPS.values(), ids=str)
def test_every_row_is_set(op: Op) -> None:
    """The derivatives of a row as a renderer takes them, alone and among fractions, powers and brackets."""
    known = operands_of(op)
    plain = Value.apply_op(op, known)
    plain.label = "y"
    a = Value(3.0, label="a")
    whole = (Value.apply_op(op, [(x / a) ** 2 for x in known]) - a) / known[0]
    whole.label = "z"
    for output in (plain, whole):
        typeset(explain(output, known[-1]).latex)
        typeset(autograd.formula(output).latex)
        typeset(autograd.derivative_formula(output, known[-1]).latex)


def operands_of(op: Op) -> list[Value]:
    """Labelled operands inside the row's domain."""
    starts = [0.25 if low == 0.0 else 1.5 if low == 1.0 else 0.5 for low, _ in intervals(op, 2)]
    return [Value(start + i / 8, label=f"x_{i}") for i, start in enumerate(starts)]


@pytest.mark.parametrize("op", OPS.values(), ids=str)
@settings(max_examples=6)
@given(st.data())
def test_every_row_explained(op: Op, data: st.DataObject) -> None:
    """With plain operands, and with sums, quotients and powers for operands."""
    xs = [Value(x, label=f"x_{i}") for i, x in enumerate(data.draw(ordinary_points(op)))]
    plain = Value.apply_op(op, xs)
    plain.label = "y"
    a, b = Value(3.0, label="a"), Value(2.0, label="b")
    nested = [x + 0.0 * a if i % 2 else (x * b / b) ** 1.0 for i, x in enumerate(xs)]
    whole = (Value.apply_op(op, nested) ** 2 - a) / b
    whole.label = "z"
    for output in (plain, whole):
        output.backward()
        for x in xs:
            explanation = explain(output, x)
            assert math.isfinite(explanation.total)
            assert explanation.total == pytest.approx(x.grad, rel=1e-9, abs=1e-12)
            assert explanation.factored.terms[-1].factors[-1].rule is not None
            check_shown(explanation)
            x.grad = 0.0


# What is shown


def test_direct_steps_are_marked_where_another_way_leads_there_too() -> None:
    known = evaluate("a = x*x; y = a*x", x=3)
    assert str(explain(known["y"], known["x"]).factored) == ("∂y/∂x = ∂y/∂a · ∂a/∂x + ∂y/∂x|direct = 18 + 9 = 27")
    latex = explain(known["y"], known["x"]).factored.latex
    assert r"\left.\frac{\partial y}{\partial x}\right|_{\mathrm{direct}}" in latex
    typeset(latex)


def test_no_labels_on_the_way() -> None:
    """Every node counts, by a name that is marked as made up, with what it stands for."""
    x = Value(2.0, label="x")
    y = x * x + x.exp()
    text = str(explain(y, x))
    assert text.startswith("∂⟨3⟩/∂x = ∂⟨3⟩/∂⟨1⟩ · ∂⟨1⟩/∂x + ∂⟨3⟩/∂⟨2⟩ · ∂⟨2⟩/∂x = 4.0000 + 7.3891 = 11.3891\n")
    assert "\n  ⟨3⟩ ← ⟨1⟩ ← x (operand 2): 1 · 2 = 2\n" in text
    assert "\n⟨1⟩ = x·x\n⟨2⟩ = exp(x)\n⟨3⟩ = ⟨1⟩ + ⟨2⟩\n" in text
    assert text.endswith("(⟨1⟩ and so on are names made up for want of a label)")
    assert explain(y, x).latex.endswith(
        "\n\\langle 3 \\rangle &= \\langle 1 \\rangle + \\langle 2 \\rangle\n\\end{aligned}"
    )


def test_every_made_up_name_is_explained() -> None:
    """Those of nodes beside the way, in turn, as well."""
    known = evaluate("x; t", x=0.5, t=2.0)
    x, t = known["x"], known["t"]
    y = (x * (t / (t.exp() + 1.0))).tanh()
    y.label = "y"
    text = str(explain(y, x))
    names = set(re.findall(r"⟨\d+⟩", text))
    assert len(names) == 4
    assert names == set(re.findall(r"^(⟨\d+⟩) = ", text, re.MULTILINE))


def test_few_made_up_names_where_there_are_labels() -> None:
    """Between the labels only the labels count; ends without one are still marked."""
    x, k = Value(0.5), Value(2.0, label="k")
    h = (x * k).tanh()
    h.label = "h"
    explanation = explain((h * h).exp(), x)
    assert [node.label for node in explanation.chain.nodes] == ["", "h", ""]
    assert str(explanation).startswith("∂⟨2⟩/∂⟨1⟩ = ∂⟨2⟩/∂h · ∂h/∂⟨1⟩\n")
    assert explanation.notes == ["⟨1⟩ and so on are names made up for want of a label"]


def test_repeated_labels() -> None:
    known = evaluate("a = x*x; b = sin(a); y = b*2", x=0.5)
    known["b"].label = "a"
    explanation = explain(known["y"], known["x"])
    assert str(explanation).startswith("∂y/∂x = ∂y/∂a#2 · ∂a#2/∂a · ∂a/∂x\n")
    (note,) = explanation.notes
    assert "labelled 'a'" in note
    assert note.endswith("a, a#2")
    assert str(explanation).endswith(f"({note})")


def test_repeated_labels_that_only_a_rule_shows() -> None:
    """The note is there the first time it is printed."""
    x, w = Value(2.0, label="h"), Value(3.0, label="w")
    y = x * w
    y.label = "w"
    text = str(explain(y, x))
    assert text.startswith("∂w/∂h = w#2 = 3\n")
    assert "labelled 'w'" in text


def test_by_a_constant() -> None:
    x = Value(2.0, label="x")
    y = x * 3.0
    y.label = "y"
    constant = y.parents[1]
    explanation = explain(y, constant)
    assert explanation.total == 2.0
    assert any("is a constant: backward() leaves its gradient as it is" in note for note in explanation.notes)
    y.backward()
    assert constant.grad == 0.0


def test_by_itself() -> None:
    y = evaluate("y = x*x", x=3)["y"]
    explanation = explain(y, y)
    assert (explanation.total, explanation.path_count, str(explanation)) == (1.0, 1, "∂y/∂y = 1")
    assert [path.product for path in explanation.paths] == [1.0]
    typeset(explanation.latex)


def test_in_line() -> None:
    assert in_line([1.0, 2.0, 3.0]) == ["1", "2", "3"]
    assert in_line([0.0553994, -0.0190491, 0.0363503]) == ["0.055399", "-0.019049", "0.036350"]
    assert in_line([120.51289, 180.77123, 301.28412]) == ["120.513", "180.771", "301.284"]
    assert in_line([nan, 3.0]) == ["nan", "3"]
    assert in_line([inf, 1.23456789]) == ["inf", "1.23457"]
    assert in_line([1e-9, 1.23456789e-7]) == ["1e-09", "1.23457e-07"]


@pytest.mark.parametrize("start", [0.0, -1.0, 1e-320, 1e300, inf, nan])
def test_numbers_that_are_none(start: float) -> None:
    known = evaluate("a = sqrt(x); b = log(x); c = 1/x; y = a*b + c*c*x + exp(x)", x=start)
    known["y"].backward()
    explanation = explain(known["y"], known["x"])
    assert alike(explanation.total, known["x"].grad)
    assert len(list(explanation.paths)) == explanation.path_count
    check_shown(explanation)


# So many paths


def doubled(times: int) -> tuple[Value, Value]:
    x = y = Value(1.0, label="x")
    for _ in range(times):
        y = y + y
    return y, x


def test_ten_to_the_300_paths() -> None:
    with calls_at_most(4_000_000):
        explanation = explain(*doubled(1000))
        assert explanation.path_count == 2**1000
        assert explanation.total == 2.0**1000
        assert [path.product for path in explanation.paths[:10]] == [1.0] * 10
        assert explanation.share() == pytest.approx(10 / 2**1000)
        assert explanation.share(100) == pytest.approx(100 / 2**1000)
        with pytest.raises(OverflowError):
            len(explanation.paths)
        text, latex = str(explanation), explanation.latex
    assert "\nAbout 1.07·10^301 paths. The 10 largest:\n" in text
    assert "\n  They come to 10, 9.33e-299 % of the total; about 1.07·10^301 more are left.\n" in text
    check_shown(explanation)
    typeset(latex)


def test_labelled_diamonds() -> None:
    output, wrt = diamonds(1000)
    output.backward()
    with calls_at_most(5_000_000):
        explanation = explain(output, wrt)
        assert explanation.path_count == 2**1000
        assert alike(explanation.total, wrt.grad)
        products = [abs(path.product) for path in explanation.paths[:50]]
        assert products == sorted(products, reverse=True)
        check_shown(explanation)


def test_how_many_are_left() -> None:
    known = evaluate(
        "; ".join([f"a{i} = x*{i}" for i in range(1, 21)])
        + "; y = sum(["
        + ", ".join(f"a{i}" for i in range(1, 21))
        + "])",
        x=1,
    )
    explanation = explain(known["y"], known["x"])
    text = str(explanation.paths)
    assert text.startswith("20 paths. The 10 largest:\n  y ← a20 ← x: 1 · 20 = 20\n  y ← a19 ← x: 1 · 19 = 19\n")
    assert text.endswith("\n  They come to 155, 73.8 % of the total; 10 more are left.")
    assert explanation.share(20) == 1.0
    assert explanation.share(1) == pytest.approx(20 / 210)


def test_where_paths_cancel() -> None:
    known = evaluate("a = 2*x; b = -2*x; y = a + b", x=1)
    explanation = explain(known["y"], known["x"])
    assert explanation.total == 0.0
    assert math.isnan(explanation.share())
    assert str(explanation.factored).endswith(" = 2 + -2 = 0")


def test_paths_from_the_end_of_very_many_are_refused() -> None:
    """Rather than made one by one for as long as the machine lasts."""
    paths = explain(*doubled(1000)).paths
    with pytest.raises((IndexError, OverflowError, ValueError)):
        paths[-1]


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("row", ["sum", "logsumexp", "dot"])
def test_a_wide_row(row: str, labelled: bool) -> None:
    """What has hundreds of operands is cut, and says so; a rule or a made-up name as long is not written out."""
    x = Value(1.0, label="x")
    terms = []
    for i in range(300):
        term = x * float(i % 7)
        term.label = f"t{i}" * labelled
        terms.append(term)
    y = OPS[row](terms, terms) if row == "dot" else OPS[row](terms)
    y.label = "y" * labelled
    y.backward()
    explanation = explain(y, x)
    assert explanation.total == pytest.approx(x.grad, rel=1e-9)
    assert explanation.path_count == (300 if labelled or row != "dot" else 600)
    assert "⋯" in str(explanation.factored)
    assert len(str(explanation)) < 10_000
    assert max(map(len, str(explanation).splitlines())) < 200
    assert max(map(len, equations(explanation.latex))) < 2000


# Bad input


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            lambda x, y: ("y", x),
            TypeError,
            r"expected Values, got str; wrong: explain\('E', 'w'\); right: explain\(E, w\)",
        ),
        (lambda x, y: (y, "x"), TypeError, "expected Values, got str"),
        (lambda x, y: (y, None), TypeError, "expected Values, got NoneType"),
        (lambda x, y: (y, 0.5), TypeError, "expected Values, got float"),
        (lambda x, y: (y, [x]), TypeError, "expected Values, got list"),
        (lambda x, y: (x, x), ValueError, r"Value\(0\.5, label='x'\) is a leaf: it was not computed from anything"),
        (lambda x, y: (y, Value(1.0, label="far")), ValueError, r"does not depend on Value\(1\.0, label='far'\)"),
        (lambda x, y: (y, y * 2), ValueError, r"the other way round, explain\(result, wrt\)"),
    ],
)
def test_bad_input(arguments: Callable[[Value, Value], Sequence[Any]], error: type[Exception], message: str) -> None:
    x = Value(0.5, label="x")
    y = x.tanh()
    with pytest.raises(error, match=message):
        explain(*arguments(x, y))


def test_a_stale_graph() -> None:
    known = evaluate("y = x*x", x=3)
    known["x"].data = 4.0
    for function in (explain, autograd.derivative_formula):
        with pytest.raises(StaleGraphError, match="'x'"):
            function(known["y"], known["x"])


def test_wrong_arguments_are_told_before_any_work() -> None:
    y, x = doubled(10)
    with pytest.raises(TypeError):
        explain(y)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        explain(y, x, 3)  # type: ignore[call-arg]


def sines(times: int) -> tuple[Value, Value]:
    """sin(sin(… x)), with ten labels on the way."""
    x = y = Value(0.5, label="x")
    for i in range(times):
        y = autograd.sin(y)
        if i % (times // 10) == times // 20:
            y.label = f"h{i}"
    y.label = "y"
    return y, x


def test_the_work_grows_with_the_graph_and_no_faster() -> None:
    y, x = sines(50_000)
    with calls_at_most(8_000_000):
        str(explain(y, x))
    for function in (autograd.formula, lambda v: autograd.derivative_formula(v, x)):
        with calls_at_most(3_000_000), pytest.raises(ValueError, match="50,001 nodes"):
            function(y)


def test_a_million_nodes() -> None:
    y, x = sines(10**6)
    explanation = explain(y, x)
    text = str(explanation)
    assert explanation.path_count == 1
    assert len(text) < 20_000
    assert text.startswith("∂y/∂x = ∂y/∂h950000 · ∂h950000/∂h850000 · ")
    y.backward()
    assert explanation.total == pytest.approx(x.grad, rel=1e-9)
    for function in (autograd.formula, lambda v: autograd.derivative_formula(v, x)):
        with pytest.raises(ValueError, match=r"1,000,001 nodes, over the limit of max_nodes=2,000"):
            function(y)
    del explanation, y
    gc.collect()


# How it is imported


def test_the_engine_imports_none_of_this() -> None:
    """explain and formula come with their first use."""
    late = "chain names expressions formulas explanation drawing"
    package = Path(autograd.__file__).parent.parent
    code = f"""
import sys; sys.path.insert(0, {str(package)!r})
import autograd
x = autograd.Value(1.0); (x * 2 + 1).tanh().backward()
print(*[name for name in {late.split()!r} if 'autograd.' + name in sys.modules])
print(autograd.explain(x * x, x).total, 'autograd.explanation' in sys.modules, 'autograd.drawing' in sys.modules)
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["", "2.0 True False"]


def test_the_names_are_public() -> None:
    for name in ("explain", "Explanation", "formula", "derivative_formula", "Formula"):
        assert name in autograd.__all__
        assert name in dir(autograd)
        assert getattr(autograd, name).__doc__
    assert isinstance(explain(*doubled(2)).factored.terms[0].factors[0], Factor)
