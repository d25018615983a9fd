"""The picture of an explanation: the largest paths in colour, everything else pale.

The oracle lists every path of the whole graph, arrow by arrow, and works out which of them are one between the labels.
"""

import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from pathlib import Path as File

import pytest
from counting import calls_at_most
from hypothesis import assume, given, settings
from strategies import LABELS, labelled_values, worked_example

import autograd
import nn
from autograd import StaleGraphError, Value, explain, save_svg, to_svg, topological_order
from autograd.drawing import draw, draw_paths
from autograd.drawing.look import COLOURS, LEGIBLE
from autograd.explanation import Explanation, Path
from autograd.floats import six

SVG = "{http://www.w3.org/2000/svg}"
FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS += " --disable-component-update --disable-sync --dump-dom"

Step = tuple[Value, int]  # an arrow of the graph: what is computed, and the operand's slot


class Picture:
    def __init__(self, explanation: Explanation, **options: object) -> None:
        self.graph = draw_paths(explanation, **options)
        self.svg = to_svg(self.graph)
        self.root = ElementTree.fromstring(self.svg)

    def groups(self, name: str) -> list[ElementTree.Element]:
        return [g for g in self.root.iter(f"{SVG}g") if name in g.get("class", "").split()]

    def titles(self, name: str) -> list[str]:
        return [g.findtext(f"{SVG}title") or "" for g in self.groups(name)]

    def headings(self, name: str) -> set[str]:
        return {(g.findtext(f"{SVG}text") or "").replace("\xa0", " ") for g in self.groups(name)}

    @property
    def legend(self) -> list[tuple[str, str]]:
        """(colour, text) of each line."""
        whole = self.root.find(f"{SVG}g")
        assert whole is not None
        cells = [
            (t.get("fill") or "", (t.text or "").replace("\xa0", " ").strip()) for t in whole.findall(f"{SVG}text")
        ]
        return [(colour, f"{mark} {words}") for (colour, mark), (_, words) in zip(cells[::2], cells[1::2], strict=True)]

    @property
    def strokes(self) -> list[tuple[str, ...]]:
        """The colours of the lines that make up each arrow."""
        return [tuple([p.get("stroke") or "" for p in g.iter(f"{SVG}path")]) for g in self.groups("edge")]

    def colours(self, output: Value) -> dict[Step, tuple[str, ...]]:
        """The same from DOT, where it can be told which arrow is which."""
        order = {node: place for place, node in enumerate(topological_order(output))}
        steps = [(node, slot) for node in order for slot in range(len(node.parents))]
        lines = [line for line in self.graph.body if re.match(r"\s*v\d+ -> v\d+ \[", line)]
        found = {}
        for (node, slot), line in zip(steps, lines, strict=True):
            assert line.split()[:3] == [f"v{order[node.parents[slot]]}", "->", f"v{order[node]}"]
            (colours,) = re.findall(r'[ \[]color="(#[^"]*)"', line)
            found[node, slot] = tuple(colours.split(":"))
            assert ("penwidth=2" in line) == (found[node, slot][0] in COLOURS) != ("penwidth=0.5" in line)
        return found


def every_path(node: Value, wrt: Value) -> list[tuple[Step, ...]]:
    """From node down to wrt, arrow by arrow."""
    if node is wrt:
        return [()]
    return [((node, slot), *rest) for slot, x in enumerate(node.parents) for rest in every_path(x, wrt)]


def steps_of(explanation: Explanation, paths: Sequence[Path]) -> list[set[Step]]:
    """The arrows that each of the paths stands for."""
    output, wrt = explanation.output, explanation.wrt
    whole = every_path(output, wrt)
    contracted = any(node.label.strip() for path in whole for node, _ in path if node is not output)
    found = []
    for path in paths:
        if contracted:
            alike = [
                steps
                for steps in whole
                if [node for node, _ in steps if node is output or node.label.strip()] == path.nodes[:-1]
            ]
        else:
            alike = [tuple(zip(path.nodes[:-1], [edge.slot for edge in path.edges], strict=True))]
            assert alike[0] in whole
        found.append({step for steps in alike for step in steps})
    return found


def doubled(times: int) -> tuple[Value, Value]:
    x = Value(1.0, label="x")
    y = x
    for _ in range(times):
        y = y + y
    return y, x


def test_the_network_of_the_texts() -> None:
    v = worked_example()
    picture = Picture(explain(v["E"], v["out_h1"]))
    assert picture.legend == [
        (COLOURS[0], "① E ← out_o1 ← net_o1 ← out_h1: 0.741365 · 0.186816 · 0.4 = 0.0553994"),
        (COLOURS[1], "② E ← out_o2 ← net_o2 ← out_h1: -0.217072 · 0.175510 · 0.5 = -0.0190491"),
        (LEGIBLE, "Σ ∂E/∂out_h1 = 0.0363503, the sum of 2 paths"),
    ]
    # net_o1 and net_o2 take two sums each after the product; the error has -, **, * and + after the output.
    assert Counter(picture.strokes)[COLOURS[0],] == Counter(picture.strokes)[COLOURS[1],] == 8
    one = Picture(explain(v["E"], v["w5"]))
    assert one.legend == [(COLOURS[0], "① E ← out_o1 ← net_o1 ← w5: 0.741365 · 0.186816 · 0.593270 = 0.0821670")]
    both = Picture(explain(v["E"], v["w1"]))
    assert Counter(both.strokes)[COLOURS[0], COLOURS[1]] == 4  # w1, *, +, net_h1, out_h1


@given(labelled_values())
@settings(max_examples=60, deadline=None)
def test_an_arrow_has_a_stroke_for_each_path_that_it_is_on(tape: list[Value]) -> None:
    output, wrt = tape[-1], tape[0]
    assume(wrt in topological_order(output))
    explanation = explain(output, wrt)
    assume(explanation.path_count < 500)
    paths = explanation.paths[:6]
    expected: dict[Step, list[str]] = {}
    for colour, steps in zip(COLOURS, steps_of(explanation, paths), strict=False):
        for step in steps:
            expected.setdefault(step, []).append(colour)
    picture = Picture(explanation)
    found = picture.colours(output)
    assert {step: colours for step, colours in found.items() if colours[0] in COLOURS} == {
        step: tuple(colours) for step, colours in expected.items()
    }
    strokes = [tuple([colour[:7] for colour in colours]) for colours in found.values()]
    assert Counter(picture.strokes) == Counter(strokes)
    for place, path in enumerate(paths):
        colour, words = picture.legend[place]
        assert colour == COLOURS[place] and words.endswith(six(path.product)) and words[0] == "①②③④⑤⑥"[place]
        lying = sum(f"\non path {place + 1}: " in title for title in picture.titles("edge"))
        assert lying == sum(colour in colours for colours in found.values())
    assert len(picture.legend) == len(paths) + (explanation.path_count > 1)
    on_paths = {x for node, slot in expected for x in (node, node.parents[slot])}
    pale = [g for g in picture.groups("node") if any("fill-opacity" in element.attrib for element in g.iter())]
    assert len(pale) == len(topological_order(output)) - len(on_paths)


def test_the_legend_says_how_many_paths_are_not_drawn() -> None:
    y, x = doubled(4)
    *lines, last = Picture(explain(y, x)).legend
    assert [colour for colour, _ in lines] == COLOURS
    assert last == (LEGIBLE, "Σ ∂⟨5⟩/∂x = 16, the sum of 16 paths: the 6 largest are drawn, 10 more are not") or (
        re.fullmatch(r"Σ ∂⟨\d⟩/∂x = 16, the sum of 16 paths: the 6 largest are drawn, 10 more are not", last[1])
    )


def test_any_number_of_paths_is_drawn() -> None:
    y, x = doubled(300)
    with calls_at_most(5_000_000):
        graph = draw_paths(explain(y, x))
    assert "the sum of about 2.04·10^90 paths: the 6 largest are drawn, about 2.04·10^90 more are not" in graph.source


def test_repeated_operands_are_paths_of_their_own_where_nothing_is_contracted() -> None:
    x = Value(3.0, label="x")
    y = x * x
    picture = Picture(explain(y, x))
    assert picture.colours(y) == {(y, 0): (COLOURS[0],), (y, 1): (COLOURS[1],)}
    a = x * x
    a.label = "a"
    z = a.exp()
    assert Picture(explain(z, x)).colours(z) == dict.fromkeys([(a, 0), (a, 1), (z, 0)], (COLOURS[0],))


def test_boxes_have_the_names_of_the_legend() -> None:
    x = Value(3.0)
    picture = Picture(explain((x * 2).tanh(), x))
    names = set(re.findall("⟨.⟩", picture.legend[0][1]))
    assert len(names) == 3
    assert names <= {heading.strip() for heading in picture.headings("node")}
    u, v = Value(1.0, label="h"), Value(2.0, label="k")
    u_, v_ = u.exp(), v.exp()
    u_.label = v_.label = "h"
    out = u_ * v_ * u
    assert {"h", "h#2"} <= Picture(explain(out, u)).headings("node")


def test_what_is_off_the_paths_is_pale_and_thin_by_day_and_by_night() -> None:
    v = worked_example()
    picture = Picture(explain(v["E"], v["w5"]))
    boxes = {(g.findtext(f"{SVG}text") or ""): g for g in picture.groups("node")}
    assert all("fill-opacity" in shape.attrib for shape in boxes["w6"].iter(f"{SVG}polygon"))
    assert all("fill-opacity" in line.attrib for line in boxes["w6"].iter(f"{SVG}text"))
    for name in ("w5", "net_o1", "out_o1", "E"):
        assert not any("opacity" in name for element in boxes[name].iter() for name in element.attrib)
    style = picture.root.findtext(f"{SVG}style") or ""
    assert "opacity:" not in style  # the night's colours are as pale as the day's


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("colour", [*COLOURS, LEGIBLE])
def test_colours_are_read_on_white_and_on_black(colour: str) -> None:
    assert 1.05 / (luminance(colour) + 0.05) > 4.5 and (luminance(colour) + 0.05) / 0.05 > 4.5  # WCAG AA


def test_folded_neurons_and_cut_graphs_show_their_paths() -> None:
    model = nn.MLP(2, [3, 1], activation="tanh")
    loss = (model([0.5, -1.0]) - 1.0) ** 2
    weight = model.parameters()[0]
    explanation = explain(loss, weight)
    folded = Picture(explanation, expand=False)
    on_path = [strokes for strokes in folded.strokes if strokes[0] in COLOURS]
    assert len(on_path) == 3  # from neuron to neuron, to -, to the loss
    faded = {
        g.findtext(f"{SVG}text") for g in folded.groups("module") if "fill-opacity" in ElementTree.tostring(g).decode()
    }
    assert faded == {"layers.0.neurons.1", "layers.0.neurons.2"}
    assert len([strokes for strokes in Picture(explanation, depth=1).strokes if strokes[0] in COLOURS]) == 1
    assert Picture(explanation, direction="TB").graph.source.count("rankdir=TB") == 1


def test_merged_arrows_have_the_colours_of_all_they_stand_for() -> None:
    w, b = Value(0.5, "n.0.w", kind="parameter"), Value(0.1, "n.0.b", kind="parameter")
    first, second = (autograd.affine([w], [Value(x, kind="constant")], b) for x in (2.0, 3.0))
    out = first * second
    picture = Picture(explain(out, w), expand=False)
    assert picture.strokes == [(COLOURS[0], COLOURS[1])] + [s for s in picture.strokes if s[0] not in COLOURS]


@pytest.mark.parametrize("label", LABELS, ids=range(len(LABELS)))
def test_hostile_labels(label: str) -> None:
    x = Value(1.0, label)
    a = x * 2.0
    y = a.exp() * x
    a.label = y.label = label
    picture = Picture(explain(y, x))
    assert len(picture.groups("node")) == 5 and len(picture.groups("edge")) == 5
    assert len(picture.legend) == 3 and {"script", "b"}.isdisjoint(e.tag.removeprefix(SVG) for e in picture.root.iter())
    for (_, words), path in zip(picture.legend, explain(y, x).paths, strict=False):
        assert words.endswith(six(path.product)) and len(words) < 250


def test_long_paths_keep_their_ends_in_the_legend() -> None:
    x = Value(0.5, label="start" + "x" * 100)
    y = x
    for i in range(40):
        y = y.tanh()
        y.label = f"{i}" * 50
    y.label = "finish"
    ((_, words),) = Picture(explain(y, x)).legend
    assert words.startswith("① finish ← ") and " … " in words and len(words) < 200
    assert words.endswith(f"= {six(explain(y, x).total)}")


def test_numbers_that_are_none() -> None:
    x = Value(0.0, label="x")
    y = x.log() * x
    words = [words for _, words in Picture(explain(y, x)).legend]
    assert len(words) == 3 and any("inf" in line or "nan" in line for line in words)


def test_too_large_and_wrong_input() -> None:
    y, x = doubled(300)
    explanation = explain(y, x)
    with pytest.raises(ValueError, match=r"301 nodes.*max_nodes=20.*draw\(\.\.\., expand=False\).*depth=3"):
        explanation.draw(max_nodes=20)
    assert len(Picture(explanation, max_nodes=20, depth=2).groups("edge")) == 4
    with pytest.raises(TypeError, match=r"got Value; right: draw_paths\(explain\(E, w\)\)"):
        draw_paths(y)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="colour"):
        explanation.draw(colour="red")
    with pytest.raises(ValueError, match="'LR', 'RL', 'TB', 'BT'"):
        explanation.draw(direction="up")
    leaf = Value(1.0, label="leaf")
    explanation = explain(leaf.exp(), leaf)
    leaf.data = 2.0
    with pytest.raises(StaleGraphError, match="leaf"):
        explanation.draw()


def test_a_graph_of_a_million_nodes_is_refused_before_its_paths_are_sought() -> None:
    y, x = doubled(0)
    for _ in range(250_000):
        y = y + 1.0
    explanation = explain(y, x)
    with calls_at_most(6_000_000), pytest.raises(ValueError, match="500,001 nodes"):
        explanation.draw()
    assert "paths" not in vars(explanation)


def test_a_drawn_picture_is_saved_as_it_is(tmp_path: File) -> None:
    v = worked_example()
    graph = explain(v["E"], v["w5"]).draw()
    save_svg(graph, tmp_path / "paths.svg")
    assert (tmp_path / "paths.svg").read_text(encoding="utf-8") == to_svg(graph) == graph.pipe(encoding="utf-8")
    assert to_svg(draw(v["E"])) == to_svg(v["E"])
    with pytest.raises(TypeError, match=r"drawn already, without depth.*right: to_svg\(draw\(v, depth=2\)\)"):
        save_svg(graph, tmp_path / "paths.svg", depth=2)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not on PATH")
def test_a_browser_lays_the_legend_out_in_lines_inside_the_picture(tmp_path: File) -> None:
    v = worked_example()
    pictures = [Picture(explain(v["E"], v["w1"])).svg, Picture(explain(*doubled(1))).svg]
    script = """
      document.title = [...document.querySelectorAll('svg.chainrule')].map(svg => {
        const whole = svg.getBoundingClientRect();
        const lines = [...svg.querySelectorAll(':scope > g > text')].map(t => t.getBoundingClientRect());
        const inside = lines.every(r => r.left >= whole.left && r.right <= whole.right && r.bottom <= whole.bottom);
        const clash = lines.some((r, i) => i && r.top < lines[i-1].bottom - 4 && r.left < lines[i-1].right - 1);
        return [lines.length, inside, clash];
      }).join('|');
    """
    page = tmp_path / "page.html"
    page.write_text(
        f'<meta charset="utf-8">{"<hr>".join(pictures)}<script>onload = () => {{ {script} }}</script>', encoding="utf-8"
    )
    command = ["chromium", *FLAGS.split(), f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()]
    dom = subprocess.run(command, capture_output=True, timeout=300, check=True).stdout.decode()
    title = re.search("<head>.*?<title>(.*?)</title>", dom, re.DOTALL)
    assert title and title[1] == "6,true,false|6,true,false"
