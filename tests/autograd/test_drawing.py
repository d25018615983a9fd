import math
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from itertools import pairwise

import graphviz
import pytest
from hypothesis import example, given, settings, strategies as st

import autograd
from autograd import OPS, Op, StaleGraphError, Value
from autograd.drawing import RendererNotFoundError, draw, save_svg, svg as svg_module, to_svg
from autograd.drawing.clusters import neurons, owner
from autograd.drawing.dot import slot_names
from autograd.drawing.look import LOOKS
from autograd.drawing.outline import outline
from autograd.names import visible

PROGRAM = svg_module._program()
SVG = "{http://www.w3.org/2000/svg}"
XML_TEXT = st.text(max_size=60)  # any code point, halves of surrogate pairs among them


class Picture:
    """An SVG read back: the groups of each class, with their titles and visible text, sorted."""

    def __init__(self, svg):
        self.root = ElementTree.fromstring(svg)
        self.title = self.root.find(f"{SVG}title").text

    def groups(self, name):
        return [g for g in self.root.iter(f"{SVG}g") if name in g.get("class", "").split()]

    def titles(self, name):
        return sorted(g.find(f"{SVG}title").text for g in self.groups(name))

    def texts(self, name):
        return sorted([t.text for t in g.iter(f"{SVG}text")] for g in self.groups(name))


def picture(v, **options):
    return Picture(to_svg(v, **options))


def example_expression():
    w, x, b = Value(0.4, "w", kind="parameter"), Value(0.6, "x"), Value(0.1, "b", kind="parameter")
    net = w * x + b
    net.label = "net"
    error = 0.5 * (0.01 - net.sigmoid()) ** 2
    error.label = "E"
    return error


def parameter(label, data=0.5):
    return Value(data, label, kind="parameter")


def model(inputs, widths, x=None):
    """The graph of a multi-layer perceptron, labelled as nn labels one."""
    x = x or [Value(0.1 * i + 0.1, f"x{i}") for i in range(inputs)]
    for layer, width in enumerate(widths):
        out = []
        for n in range(width):
            path = f"layers.{layer}.neurons.{n}"
            ws = [parameter(f"{path}.w.{i}", 0.1 * (i - n) + 0.3) for i in range(len(x))]
            net = autograd.affine(ws, x, parameter(f"{path}.b"))
            out.append(net.tanh() if layer < len(widths) - 1 else net)
        x = out
    return x


# What a picture shows


def test_every_node_shows_label_data_gradient_and_symbol():
    error = example_expression()
    before = picture(error)
    error.backward()
    after = picture(error)
    shown = {texts[0]: texts for texts in after.texts("node")}
    assert shown["w"] == ["w", "data ", "0.4", "grad ", "0.08369"]
    assert shown["net"] == ["net", " = +", "data ", "0.34", "grad ", "0.1395"]
    assert shown["E"] == ["E", " = *", "data ", "0.1648", "grad ", "1.0"]
    assert shown["*"][1:] == ["data ", "0.24", "grad ", "0.1395"]
    assert {tuple(texts[-2:]) for texts in before.texts("node")} == {("grad ", "–")}


def test_constants_never_show_a_gradient():
    x = Value(3.0, "x", kind="parameter")
    (x * x).backward()
    x.kind = "constant"  # frozen: what it gathered before is not shown
    assert picture(x * 2.0).texts("constant") == [["data ", "2.0", "grad ", "–"]]
    assert picture(x * 2.0).texts("input") == [["x", "data ", "3.0", "grad ", "–"]]


def test_roles_differ_in_shape_in_colour_and_in_lightness():
    error = example_expression()
    roles = Counter(g.get("class") for g in picture(error).groups("node"))
    assert roles == {"node parameter": 2, "node input": 1, "node constant": 3, "node operation": 5, "node result": 1}
    looks = [LOOKS[role] for role in ("parameter", "input", "constant", "operation", "result", "module")]
    assert len({(look.shape, look.style, look.more) for look in looks}) == len(looks)
    for colours in ([look.day.split() for look in looks], [look.night.split() for look in looks]):
        fills = sorted(luminance(fill) for fill, _, _ in colours)
        assert all(b - a > 0.005 for a, b in pairwise(fills))
        for fill, line, ink in colours:
            assert contrast(fill, ink) > 7  # WCAG AAA, so in grey too
            assert contrast(fill, line) > 3 or fill == line


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a, b):
    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


def test_an_edge_shows_the_local_derivative_and_where_order_matters_the_slot():
    x, y = Value(3.0, "x"), Value(2.0, "y")
    assert picture(x * y).texts("edge") == [["2.0"], ["3.0"]]
    assert picture(x - y).texts("edge") == [["x", ": 1.0"], ["y", ": -1.0"]]
    assert picture(x.tanh()).texts("edge") == [["0.009866"]]
    assert picture(autograd.dot([x, y], [y, x])).texts("edge") == [
        ["w0", ": 2.0"],
        ["w1", ": 3.0"],
        ["x0", ": 3.0"],
        ["x1", ": 2.0"],
    ]
    assert picture(x - y).titles("edge")[1] == "d sub / d y = -1.0, operand y of sub"


def test_the_derivative_by_a_constant_exponent_is_not_a_nan_to_worry_about():
    assert picture(Value(-3.0, "x") ** 2).texts("edge") == [["x", ": -6.0"], ["y", ": –"]]
    assert picture(Value(-3.0, "x") ** Value(2.0, "y")).texts("edge")[1] == ["y", ": nan"]


def test_an_operand_used_twice_has_two_edges():
    a = Value(3.0, "a")
    assert picture(a * a).titles("edge") == ["d mul / d a = 3.0"] * 2
    assert draw(a * a).source.count("->") == 2


@pytest.mark.parametrize("op", OPS.values(), ids=list(OPS))
def test_every_row_is_drawn(op):
    if op.variadic:
        args = [[Value(0.3), Value(0.6)] if name.endswith("s") else Value(0.5) for name in op.operands]
    else:
        args = [Value(0.25 + 0.5 * i) for i in range(len(op.operands))]
    out = op(*args)
    shown = picture(out)
    assert shown.texts("result")[0][0] == op.symbol
    assert len(shown.groups("edge")) == len(out.parents) == len(slot_names(op, len(out.parents)))
    derivatives = sorted(repr(derivative()) for derivative in out.local_derivatives)
    assert sorted(re.search(r" = ([^,]*)", title)[1] for title in shown.titles("edge")) == derivatives


def test_a_row_of_ones_own_is_drawn():
    interleaved = Op(
        "weird", lambda *xs: sum(xs), gather=lambda things: tuple(things), gradient=lambda out, *xs: (1.0,) * len(xs)
    )
    row = Op("hostile", lambda x, y: x, (lambda out, x, y: 1.0, lambda out, x, y: 0.0), symbol='<b>&"\\N')
    assert picture(Value.apply_op(row, [Value(1.0), Value(2.0)])).texts("result")[0][0] == '<b>&"\\N'
    assert len(picture(Value.apply_op(interleaved, [Value(1.0)] * 3)).groups("edge")) == 3
    assert slot_names(OPS["affine"], 4) == ["0", "1", "2", "3"]  # no equal parts: numbers, not wrong names


def test_titles_say_it_in_words_and_in_full():
    error = example_expression()
    error.backward()
    titles = picture(error).titles("node")
    w = next(v for v in autograd.leaves(error) if v.label == "w")
    assert (
        f"w: parameter\ndata 0.4\ngradient {w.grad!r}: raising w a little raises the output {w.grad!r} times as much"
        in titles
    )
    assert any(title.startswith(f"E: result, mul of 0.5 and pow\ndata {error.data!r}\n") for title in titles)
    assert "constant\ndata 2.0\nno gradient: it is constant" in titles
    assert "no gradient yet" in picture(Value(1.0).exp()).titles("input")[0]
    assert picture(error).title == "Computation graph of E: 12 nodes, 11 edges"


@pytest.mark.parametrize(
    ("grad", "words"),
    [(-2.0, "lowers the output 2.0 times"), (0.0, "leaves the output as it is"), (math.nan, "gradient nan")],
)
def test_titles_say_what_the_gradient_means(grad, words):
    x = Value(1.0, "x")
    x.grad = grad
    assert words in picture(x).titles("node")[0]


def test_several_results_are_one_picture():
    x = Value(2.0, "x")
    both = picture([x.exp(), x.log()])
    assert len(both.groups("input")) == 1 and len(both.groups("result")) == 2


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -0.0, 1e-300, 1e300, 5e-324, 123456.0])
def test_extreme_numbers(number):
    x = Value(number, "x")
    y = x * 1.0
    y.backward()
    shown = picture(y)
    assert shown.texts("input")[0][2] == autograd.value.short(number)
    assert f"data {number!r}" in shown.titles("input")[0]


def test_a_stale_graph_is_refused():
    x = Value(2.0, "x")
    y = x.exp()
    x.data = 3.0
    with pytest.raises(StaleGraphError, match="'x'"):
        draw(y)


# Labels are text


HOSTILE = [
    "<b>bold</b>",
    "a & b &amp; &lt; &#65;",
    "\"'`",
    "\\N \\n \\l \\G \\\\ \\",
    "two\nlines\r\n\tand a tab",
    "{|}",
    "]]>--><!--</svg><script>alert(1)</script>",
    "\x00\x01\x1f\x7f\x85\ufffe\uffff",
    "\ud83d alone \udc00",
    "👩‍👩‍👧 😀 é ｆｕｌｌ",
    "שלום مرحبا \u202e reversed",
    "  two  spaces  ",
    " ",
    "%s {0} $x ;",
    "x" * 10_000,
    "\\" * 9_999,
    "<>",
    "</TABLE>>]",
]


@given(XML_TEXT)
@settings(max_examples=60, deadline=None)
def test_any_label_survives(label):
    check_label(label)


@pytest.mark.parametrize("label", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_labels_survive(label):
    check_label(label)


def check_label(label):
    x, w = Value(1.0, label), Value(2.0, label, kind="parameter")
    y = x * w
    y.label = label
    y.backward()
    shown = picture(y)
    assert [len(shown.groups(kind)) for kind in ("node", "edge", "cluster")] == [3, 2, len(owner(label) and [1])]
    assert not list(shown.root.iter(f"{SVG}script")) and not list(shown.root.iter(f"{SVG}a"))
    assert not set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\x85") & set("".join(shown.root.itertext()))
    text = visible(label, keep="\n")
    for role, kind in (("input", "input"), ("parameter", "parameter"), ("result", "result, mul")):
        (title,) = shown.titles(role)
        assert title.startswith(f"{text}: {kind}" if text else kind)
    box = visible(label)
    box = box if len(box) <= 32 else box[:31] + "…"
    if box:
        assert ["".join(texts[:1]).replace("\xa0", " ") for texts in shown.texts("node")] == [
            box.replace("\xa0", " ")
        ] * 3


def test_labels_that_differ_where_they_are_shortened_stay_apart():
    a, b = Value(1.0, "x" * 9_999 + "a"), Value(2.0, "x" * 9_999 + "b")
    titles = picture(a * b).titles("input")
    assert [title.split(":")[0][-1] for title in titles] == ["a", "b"]
    assert {texts[0] for texts in picture(a * b).texts("input")} == {"x" * 31 + "…"}


def test_equal_labels_stay_apart():
    assert len(picture(Value(1.0, "x") * Value(2.0, "x")).groups("input")) == 2


# Pictures as files and in pages


def test_the_same_graph_makes_the_same_bytes():
    assert to_svg(example_expression()) == to_svg(example_expression())
    assert draw(example_expression()).source == draw(example_expression()).source


def test_bytes_do_not_depend_on_the_process():
    code = (
        "import autograd; x = [autograd.Value(i / 7, f'x{i}') for i in range(5)]; "
        "w = [autograd.Value(i / 3, f'layers.0.neurons.{i}.w.0', 'parameter') for i in range(5)]; "
        "v = autograd.sum([(a * b).tanh() for a, b in zip(x, w)]); "
        "print(autograd.to_svg(v), autograd.to_svg(v, expand=False), autograd.to_svg(v, depth=1))"
    )
    outputs = set()
    for seed in ("0", "1", "77"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"}
        outputs.add(
            subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout
        )
    assert len(outputs) == 1 and outputs.pop().count(b"<svg") == 3


def test_svg_clashes_with_nothing_in_a_page():
    svg = to_svg(model(2, [2, 1]))
    root = ElementTree.fromstring(svg)
    assert svg.startswith("<svg") and root.get("class") == "chainrule"
    assert not [e for e in root.iter() if "id" in e.attrib]
    (style,) = root.iter(f"{SVG}style")
    rules = re.findall(r"^\s*([^@{}\n]+) \{", style.text, re.MULTILINE)
    assert rules and all(rule.startswith(".chainrule ") for rule in rules)


def test_svg_suits_dark_pages_and_readers_without_css():
    root = ElementTree.fromstring(to_svg(example_expression()))
    style = root.find(f"{SVG}style").text
    assert "@media (prefers-color-scheme: dark)" in style
    graph = root.find(f"{SVG}g")
    assert graph.find(f"{SVG}polygon") is None  # no background: the page's shows
    fills = {g.get("class"): g.find(f"{SVG}ellipse") for g in root.iter(f"{SVG}g")}
    assert fills["node input"].get("fill") == LOOKS["input"].day.split()[0]
    for role, look in LOOKS.items():
        assert f".chainrule .{role} text {{ fill: {look.night.split()[2]} }}" in style


def test_the_drawing_is_a_digraph_that_pipes_renders_copies_and_grows(tmp_path):
    graph = draw(example_expression())
    assert isinstance(graph, graphviz.Digraph)
    assert graph.pipe(format="png").startswith(b"\x89PNG")
    assert graph.pipe().startswith(b"<svg")
    assert graph.copy().pipe() == graph.pipe()
    rendered = graph.render(tmp_path / "graph.gv", cleanup=True)
    assert rendered == str(tmp_path / "graph.gv.svg")
    assert (tmp_path / "graph.gv.svg").read_bytes() == graph.pipe()
    assert graph.render(outfile=tmp_path / "other.png") == str(tmp_path / "other.png")
    assert (tmp_path / "other.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(graphviz.FileExistsError):
        graph.render(outfile=tmp_path / "other.png", raise_if_result_exists=True)
    with pytest.raises(ValueError, match="must be different"):
        graph.render(tmp_path / "same.svg", outfile=tmp_path / "same.svg")
    graph.node("mine", "a note of my own")
    assert "a note of my own" in graph.pipe(encoding="utf-8")
    graph.body.append("[ not DOT")
    with pytest.raises(graphviz.CalledProcessError, match="syntax error"):
        graph.pipe()


def test_jupyter_shows_the_svg():
    graph = draw(example_expression())
    assert graph._repr_mimebundle_() == {"image/svg+xml": graph.pipe(encoding="utf-8")}
    assert set(graph._repr_mimebundle_(include=["image/png"])) == {"image/png"}


def test_no_dot_on_the_path_is_needed(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert to_svg(example_expression()).startswith("<svg")


def test_the_program_is_found_where_pip_lists_it(monkeypatch):
    monkeypatch.setattr(svg_module.sysconfig, "get_path", lambda name: "/nonexistent")
    monkeypatch.setattr(svg_module.sys, "executable", "/nonexistent/python")
    monkeypatch.setenv("PATH", "/nonexistent")
    assert to_svg(example_expression()).startswith("<svg")


@pytest.fixture
def no_wheel(monkeypatch):
    def missing(name):
        raise svg_module.PackageNotFoundError(name)

    monkeypatch.setattr(svg_module, "files", missing)
    monkeypatch.setattr(svg_module.sysconfig, "get_path", lambda name: "/nonexistent")
    monkeypatch.setattr(svg_module.sys, "executable", "/nonexistent/python")
    monkeypatch.setenv("PATH", "/nonexistent")


@pytest.mark.usefixtures("no_wheel")
def test_where_there_is_no_program_the_error_says_what_to_install(tmp_path):
    graph = draw(example_expression())
    for render in (graph.pipe, lambda: graph.render(tmp_path / "g"), lambda: to_svg(example_expression())):
        with pytest.raises(RendererNotFoundError, match=r"pip install graphviz-pure.*Graphviz.*\.source"):
            render()
    with pytest.raises(graphviz.ExecutableNotFound):
        save_svg(example_expression(), tmp_path / "x.svg")
    assert not (tmp_path / "x.svg").exists()
    assert graph._repr_mimebundle_() == {"text/plain": graph.source}


@pytest.mark.usefixtures("no_wheel")
@pytest.mark.skipif(os.name == "nt", reason="a shell script stands in for dot")
def test_a_dot_on_the_path_serves(tmp_path, monkeypatch):
    dot = tmp_path / "dot"
    dot.write_text(f'#!/bin/sh\nexec "{PROGRAM}" "$@"\n')
    dot.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert to_svg(example_expression()).startswith("<svg")


def test_save_svg_writes_all_or_nothing(tmp_path):
    error = example_expression()
    save_svg(error, tmp_path / "graph.svg", direction="TB")
    assert (tmp_path / "graph.svg").read_text(encoding="utf-8") == to_svg(error, direction="TB")
    with pytest.raises(FileNotFoundError):
        save_svg(error, tmp_path / "missing" / "graph.svg")
    with pytest.raises(ValueError, match="limit"):
        save_svg(error, tmp_path / "graph.svg", max_nodes=3)
    assert (tmp_path / "graph.svg").read_text(encoding="utf-8") == to_svg(error, direction="TB")
    assert [p.name for p in tmp_path.iterdir()] == ["graph.svg"]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not on PATH")
def test_a_browser_lays_it_out_inline_and_as_an_image(tmp_path):
    first, second = to_svg(model(2, [2, 1])), to_svg(Value(1.0, "</svg><b>").exp())
    (tmp_path / "image.svg").write_text(first, encoding="utf-8")
    script = """
      const nodes = [...document.querySelectorAll('svg.chainrule g.node')];
      const seen = nodes.filter(n => n.getBoundingClientRect().width > 20).length;
      const img = document.querySelector('img');
      const title = document.querySelectorAll('svg')[1].querySelector('g.node > title').textContent;
      document.title = [seen, img.naturalWidth > 100, document.querySelectorAll('svg b').length, title].join('|');
    """
    page = tmp_path / "page.html"
    page.write_text(
        f'<meta charset="utf-8"><img src="image.svg">{first}{second}<script>onload = () => {{ {script} }}</script>',
        encoding="utf-8",
    )
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += f" --disable-component-update --disable-sync --user-data-dir={tmp_path / 'profile'} --dump-dom"
    command = ["chromium", *flags.split(), page.as_uri()]
    dom = subprocess.run(command, capture_output=True, timeout=300, check=True).stdout.decode()
    title = re.search("<head>.*?<title>(.*?)</title>", dom, re.DOTALL)
    assert title and title[1].startswith("18|true|0|&lt;/svg&gt;&lt;b&gt;: input")


# Clusters, folding, depth and the limit


@pytest.mark.parametrize(
    ("label", "path"),
    [
        ("layers.0.neurons.3.w.1", "layers.0.neurons.3"),
        ("layers.0.neurons.3.b", "layers.0.neurons.3"),
        ("neurons.3.w.1", "neurons.3"),
        ("encoder.w", "encoder"),
        ("w.1", ""),
        ("b", ""),
        ("", ""),
        ("3.w", ""),
        (".w", ""),
        ("a..w", ""),
        ("a b.c", ""),
        ("a.0." * 100 + "w", ""),
        ("0", ""),
    ],
)
def test_the_module_of_a_parameter(label, path):
    assert owner(label) == path


def cluster_members(graph):
    """The node names in each cluster, from the DOT text."""
    inside, stack = {}, []
    for line in graph.body:
        if "{" in line and "subgraph" in line:
            stack.append(re.search('"cluster (.*)"', line)[1])
        elif line.strip() == "}":
            stack.pop()
        elif found := re.match(r"\s*(v\d+) \[", line):
            for path in stack:
                inside.setdefault(path, set()).add(found[1])
    return inside


def test_parameters_and_operations_of_a_neuron_lie_in_its_cluster_in_its_layer():
    (out,) = model(2, [2, 1])
    loss = (out - 1.0) ** 2
    order = autograd.topological_order(loss)
    members = cluster_members(draw(loss))
    neuron = {"layers.0.neurons.0": 5, "layers.0.neurons.1": 5, "layers.1.neurons.0": 4}
    assert {path: len(nodes) for path, nodes in members.items()} == neuron | {"layers.0": 10, "layers.1": 4}
    for path in neuron:
        nodes = [order[int(name[1:])] for name in members[path]]
        assert all(v.label.startswith(path) for v in nodes if v.kind == "parameter")
        assert {v.op.name for v in nodes if v.op} <= {"affine", "tanh"}
    shown = picture(loss)
    assert "layers.0: 6 parameters, 4 operations" in shown.titles("cluster")
    assert "layers.0.neurons.1: 3 parameters, 2 operations" in shown.titles("cluster")
    assert sorted(text for (text,) in shown.texts("cluster")) == sorted(members)


def test_what_belongs_to_a_neuron():
    w, b = parameter("n.0.w"), parameter("n.0.b")
    other, x = parameter("n.1.w"), Value(1.0, "x")
    net = w * x + b  # written in two nodes
    out = net.relu()
    mixed = out * other  # one neuron's output in another's net input
    across = w * other
    residual = net - 1.0
    home = neurons(autograd.topological_order(mixed, across))
    assert {v: home.get(v) for v in (w, b, *net.parents, net, out)} == dict.fromkeys(
        (w, b, *net.parents, net, out), "n.0"
    )
    assert home[mixed] == home[other] == "n.1" and across not in home
    shared = neurons(autograd.topological_order(out, residual))
    assert out not in shared and residual not in shared  # net has two consumers
    assert residual not in neurons(autograd.topological_order(residual))  # a loss, not an activation


def test_folding_leaves_a_box_for_each_neuron():
    (out,) = model(2, [4, 4, 1])
    loss = (out - 1.0) ** 2
    folded = picture(loss, expand=False)
    assert sorted(texts[0] for texts in folded.texts("module")) == sorted(
        [f"layers.{i}.neurons.{n}" for i in (0, 1) for n in range(4)] + ["layers.2.neurons.0"]
    )
    assert folded.texts("module")[0] == ["layers.0.neurons.0", "3 parameters", "2 operations"]
    assert folded.titles("module")[-1] == "layers.2.neurons.0: 5 parameters, 1 operation"
    assert len(folded.groups("node")) == 9 + 2 + 4  # inputs; -, **, and their constants
    assert len(folded.groups("edge")) == 2 * 4 + 4 * 4 + 4 + 4
    assert len(folded.groups("parameter")) == 0


def test_folded_edges_are_merged_and_counted():
    xs = [Value(0.1, "x0"), Value(0.2, "x1")]
    w, b = [parameter("n.0.w.0"), parameter("n.0.w.1")], parameter("n.0.b")
    batch = [autograd.affine(w, xs, b).tanh() for _ in range(16)]
    folded = picture(autograd.sum(batch), expand=False)
    assert folded.titles("edge") == [
        "16 edges from n.0 to sum",
        "16 edges from x0 to n.0",
        "16 edges from x1 to n.0",
    ]
    assert folded.texts("edge") == [["×16"]] * 3
    assert folded.texts("module") == [["n.0", "3 parameters", "32 operations"]]


def test_a_result_is_not_folded_away():
    (out,) = model(2, [1])
    folded = picture(out, expand=False)
    assert len(folded.groups("result")) == 1
    assert folded.texts("module") == [["layers.0.neurons.0", "3 parameters", "0 operations"]]


def test_folded_neurons_of_a_layer_stand_in_order():
    folded = picture(autograd.sum(model(3, [7, 5])), expand=False)
    heights = {}
    for group in folded.groups("module"):
        layer, neuron = re.search(r"layers\.(\d)\.neurons\.(\d)", group.find(f"{SVG}title").text).groups()
        heights.setdefault(layer, []).append((float(group.find(f"{SVG}text").get("y")), int(neuron)))
    for layer in heights.values():
        assert [neuron for _, neuron in sorted(layer)] == list(range(len(layer)))


def test_a_recurrent_neuron_folds():
    w, u, h = parameter("cell.w"), parameter("cell.u"), Value(0.0, "h")
    for _ in range(3):
        h = autograd.affine([w, u], [Value(1.0, "x"), h], 0.0).tanh()
    assert len(picture(h * 1.0, expand=False).groups("module")) == 1


def test_depth_cuts_and_says_how_much_it_hides():
    x = Value(1.0, "x")
    chain = x
    for _ in range(40):
        chain = chain.tanh()
    cut = picture(chain, depth=3)
    assert len(cut.groups("node")) == 4 and len(cut.groups("edge")) == 3
    assert [texts[-1] for texts in cut.texts("node")].count("… 37 more") == 1
    assert str(cut.titles("node")).count("lead here from beyond the depth drawn: 37") == 1
    assert len(picture(chain, depth=0).groups("node")) == 1
    whole = picture(chain, depth=40)
    assert len(whole.groups("node")) == 41 and "more" not in str(whole.texts("node"))


def test_depth_counts_what_is_drawn():
    (out,) = model(2, [3, 3, 1])
    assert len(picture(out * 1.0, expand=False, depth=1).groups("node")) == 3
    assert len(picture(out * 1.0, expand=False, depth=2).groups("node")) == 3 + 3


def test_counting_what_a_cut_hides_ends():
    x = Value(1.0)
    for _ in range(5000):
        x = x + 1.0
    assert any(texts[-1] == "… over 999 more" for texts in picture(x, depth=2).texts("node"))
    assert max(box.hidden for box in outline([x], depth=2).boxes) == 1000


def test_above_the_limit_the_error_names_the_count_and_the_fixes():
    wide = autograd.sum([Value(1.0) for _ in range(2000)])
    with pytest.raises(ValueError, match=r"2,001 nodes.*max_nodes=2,000.*expand=False.*depth=.*max_nodes="):
        draw(wide)
    assert draw(wide, max_nodes=2001).source.count("->") == 2000
    with pytest.raises(ValueError, match="2,001 nodes"):
        draw(wide, depth=1)
    assert draw(wide, depth=0).source.count("->") == 0
    with pytest.raises(ValueError, match="edges"):
        draw(autograd.sum([Value(1.0)] * 30_000))


def test_the_limit_counts_what_is_left_after_folding():
    (out,) = model(4, [6, 6, 1])
    with pytest.raises(ValueError, match="limit"):
        draw(out, max_nodes=20)
    assert draw(out, expand=False, max_nodes=20)


def test_a_million_nodes_are_refused_in_seconds(monkeypatch):
    v = Value(1.0)
    for _ in range(500_000):
        v = v + 1.0
    for options in ({}, {"expand": False}):
        with pytest.raises(ValueError, match="1,000,001 nodes"):
            draw(v, **options)
    assert draw(v, depth=2).source.count("->") == 4


@st.composite
def small_graphs(draw_from):
    nodes = [Value(draw_from(st.floats()), draw_from(st.text(max_size=5))) for _ in range(3)]
    for _ in range(draw_from(st.integers(0, 6))):
        row = draw_from(st.sampled_from([op for op in OPS.values() if not op.variadic]))
        nodes.append(Value.apply_op(row, [draw_from(st.sampled_from(nodes)) for _ in row.operands]))
    return nodes[-1]


@given(small_graphs(), st.sampled_from(["LR", "RL", "TB", "BT"]), st.booleans())
@settings(max_examples=40, deadline=None)
@example(Value(1.0), "LR", False)
def test_any_graph_is_drawn_node_by_node_and_edge_by_edge(root, direction, run):
    if run:
        root.backward()
    order = autograd.topological_order(root)
    shown = picture(root, direction=direction)
    assert len(shown.groups("node")) == len(order)
    assert len(shown.groups("edge")) == sum(len(v.parents) for v in order)
    names = {v: f"v{place}" for place, v in enumerate(order)}
    edges = re.findall(r"^\t(v\d+) -> (v\d+)", draw(root, direction=direction).source, re.MULTILINE)
    assert Counter(edges) == Counter((names[p], names[v]) for v in order for p in v.parents)


@pytest.mark.parametrize(
    ("values", "options", "error", "words"),
    [
        (3.0, {}, TypeError, r"got float; right: draw\(v\)"),
        ([Value(1.0), "x"], {}, TypeError, "got str"),
        ([], {}, ValueError, "nothing to draw"),
        (Value(1.0), {"depth": -1}, ValueError, "depth"),
        (Value(1.0), {"depth": 1.5}, ValueError, "depth"),
        (Value(1.0), {"max_nodes": 0}, ValueError, "max_nodes"),
        (Value(1.0), {"direction": "up"}, ValueError, "'LR', 'RL', 'TB', 'BT'"),
        (Value(1.0), {"color": "red"}, TypeError, "color"),
    ],
)
def test_wrong_arguments(values, options, error, words):
    with pytest.raises(error, match=words):
        draw(values, **options)


def test_value_and_package_offer_the_same_functions():
    x = Value(1.0, "x")
    assert x.draw(direction="TB").source == autograd.draw(x, direction="TB").source
    assert autograd.to_svg is to_svg and autograd.save_svg is save_svg


def layered(widths: list[int]) -> Value:
    """A model's output: full layers of neurons, labelled as nn labels them, and a loss of three more nodes."""
    xs = [Value(0.5, f"x.{i}", kind="constant") for i in range(4)]
    for layer, width in enumerate(widths):
        outputs = []
        for neuron in range(width):
            path = f"layers.{layer}.neurons.{neuron}"
            ws = [Value(0.1, f"{path}.w.{i}", kind="parameter") for i in range(len(xs))]
            outputs.append(autograd.affine(ws, xs, Value(0.0, f"{path}.b", kind="parameter")).tanh())
        xs = outputs
    return ((xs[0] - 1.0) ** 2).exp()


def test_folded_layers_stand_close_and_in_order() -> None:
    # Labelled edges in the loss once made dot spread 16 neurons over 4,000 points.
    svg = ElementTree.fromstring(to_svg(layered([16, 16, 1]), expand=False))
    assert float(svg.attrib["height"].removesuffix("pt")) < 16 * 75
    heights = {}
    for group in svg.iter("{http://www.w3.org/2000/svg}g"):
        words = [text.text or "" for text in group.iter("{http://www.w3.org/2000/svg}text")]
        if group.get("class", "").startswith("node") and words:
            (first, *_) = group.iter("{http://www.w3.org/2000/svg}text")
            heights[words[0]] = float(first.attrib["y"])
    for names in (
        [f"x.{i}" for i in range(4)],
        [f"layers.0.neurons.{i}" for i in range(16)],
        [f"layers.1.neurons.{i}" for i in range(16)],
    ):
        ys = [heights[name] for name in names]
        assert ys == sorted(ys)
