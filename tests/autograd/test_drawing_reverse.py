"""The reverse pass as a network: what its boxes and arrows say, and that it is the forward network transposed.

The SVG is read back, and its arrows are followed by where they begin and end. The oracle sums up what lies between the
labels by going forward, where the engine goes backward.
"""

import math
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from counting import calls_at_most
from hypothesis import assume, given, settings, strategies as st
from strategies import LABELS, alike, labelled_values, worked_example

import autograd
from autograd import StaleGraphError, Value, draw, draw_backward, save_svg, sigmoid, to_svg, topological_order
from autograd.drawing.look import LOOKS
from autograd.drawing.svg import Graph
from autograd.floats import short, six
from autograd.names import one_line

SVG = "{http://www.w3.org/2000/svg}"
FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS += " --disable-component-update --disable-sync --dump-dom"

Point = tuple[float, float]


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", text)]


def points(text: str) -> list[Point]:
    found = numbers(text)
    return list(zip(found[::2], found[1::2], strict=True))


def words(group: ElementTree.Element) -> list[str]:
    return [(t.text or "").replace("\xa0", " ").strip() for t in group.iter(f"{SVG}text")]


class Box:
    """A node of the picture: its title, its lines of text, its outline."""

    def __init__(self, group: ElementTree.Element) -> None:
        _, self.role = group.get("class", "").split()
        self.title = group.findtext(f"{SVG}title") or ""
        self.words = words(group)
        self.outline = [point for p in group.iter(f"{SVG}polygon") for point in points(p.get("points", ""))]
        self.outline += [point for p in group.iter(f"{SVG}path") for point in points(p.get("d", ""))]
        for e in group.iter(f"{SVG}ellipse"):
            x, y, width, height = [float(e.get(name, "")) for name in ("cx", "cy", "rx", "ry")]
            self.outline += [(x - width, y - height), (x + width, y + height)]

    def distance(self, point: Point) -> float:
        """How far a point is from the rectangle around the box, 0 within."""
        spans = [(min(side), max(side)) for side in zip(*self.outline, strict=True)]
        return math.hypot(*[max(low - x, x - high, 0.0) for (low, high), x in zip(spans, point, strict=True)])

    @property
    def name(self) -> str:
        return self.title.split(" = ")[0].split("/∂", 1)[1]

    @property
    def number(self) -> float:
        """As the title has it, exactly."""
        match = re.match(r".*? = ([^:\s]+)", self.title)
        assert match
        return float(match[1])


class Arrow(NamedTuple):
    start: int  # the place of a box
    end: int
    title: str
    words: str


class Way(NamedTuple):
    """From a box to a box, over a pointed box or not: the numbers of the title, the rule in it, the text shown."""

    arriving: float
    multiplier: float
    product: float
    rule: str
    shown: str
    amplifier: Box | None


class Picture:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.svg = to_svg(graph)
        self.root = ElementTree.fromstring(self.svg)
        self.title = self.root.findtext(f"{SVG}title")
        # Graphviz writes a box before its arrows, and these all lead to boxes that come before: so the order is that of
        # the nodes, operands before results.
        self.all = [Box(group) for group in self.groups("node")]
        self.boxes = [box for box in self.all if box.role != "amplifier"]
        self.amplifiers = [box for box in self.all if box.role == "amplifier"]

    def groups(self, name: str) -> list[ElementTree.Element]:
        return [g for g in self.root.iter(f"{SVG}g") if name in g.get("class", "").split()]

    def box(self, name: str) -> Box:
        (found,) = [box for box in self.boxes if box.name == name]
        return found

    @cached_property
    def arrows(self) -> list[Arrow]:
        found = []
        for group in self.groups("edge"):
            (line,), (head,) = group.iter(f"{SVG}path"), group.iter(f"{SVG}polygon")
            drawn = points(line.get("d", ""))
            tip = max(points(head.get("points", "")), key=lambda point: math.dist(point, drawn[-1]))
            title = group.findtext(f"{SVG}title") or ""
            found.append(Arrow(self.at(drawn[0]), self.at(tip), title, " ".join(words(group))))
        return found

    def at(self, point: Point) -> int:
        """The place of the box at whose border a point lies."""
        distances = [box.distance(point) for box in self.all]
        assert min(distances) < 4  # boxes are further apart
        return distances.index(min(distances))

    @cached_property
    def ways(self) -> dict[tuple[int, int], Way]:
        """By the places of the boxes that they lead from and to, pointed boxes left out."""
        found: dict[tuple[int, int], Way] = {}
        into = {arrow.end: arrow for arrow in self.arrows if self.all[arrow.end].role == "amplifier"}
        outof = {arrow.start: arrow for arrow in self.arrows if self.all[arrow.start].role == "amplifier"}
        places = {box: place for place, box in enumerate(self.boxes)}
        assert len(into) == len(outof) == len(self.amplifiers)
        assert len(self.arrows) == len({arrow[:2] for arrow in self.arrows})
        for arrow in self.arrows:
            if arrow.start in outof:
                continue
            start, end, shown = arrow.start, arrow.end, arrow.words
            amplifier: Box | None = None
            if end in into:
                amplifier = self.all[end]
                assert arrow.title == outof[end].title and not arrow.words and not outof[end].words
                end, shown = outof[end].end, " ".join(amplifier.words)
            match = re.fullmatch(r"(.*?) = (\S+) · (\S+) = (\S+)\n(.*?) = (?:(.*) = )?(\S+)", arrow.title)
            assert match
            over, under, output = self.all[start].name, self.all[end].name, self.boxes[-1].name
            assert match[1] == f"∂{output}/∂{over} · ∂{over}/∂{under}" and match[5] == f"∂{over}/∂{under}"
            assert match[7] == match[3]
            if amplifier is not None:
                assert amplifier.title.startswith(f"∂{over}/∂{under} = {match[6]} = {match[3]}\na fixed multiplier: ")
            way = Way(float(match[2]), float(match[3]), float(match[4]), match[6] or "", shown, amplifier)
            found[places[self.all[start]], places[self.all[end]]] = way
        return found

    def way(self, start: str, end: str) -> Way:
        return self.ways[self.boxes.index(self.box(start)), self.boxes.index(self.box(end))]


class Reduced:
    """What is to be drawn: the boxes, and for each arrow the sum over the paths it stands for, and of their sizes."""

    def __init__(self, output: Value) -> None:
        order = topological_order(output)
        self.carrying = set[Value]()
        for node in order:
            if node.kind != "constant" if node.op is None else not self.carrying.isdisjoint(node.parents):
                self.carrying.add(node)
        inner = [node for node in order if node in self.carrying and node.op is not None and node is not output]
        self.contracted = any(node.label.strip() for node in inner)
        self.boxes = [node for node in order if node in self.carrying and (self.named(node) or node is output)]
        self.place = {node: i for i, node in enumerate(self.boxes)}
        self.arrows: dict[tuple[int, int], tuple[float, float]] = {}
        through: dict[Value, dict[Value, tuple[float, float]]] = {}
        for node in order:
            found = through[node] = {}
            for x, derivative in zip(node.parents, node.local_derivatives, strict=True):
                if x not in self.carrying:
                    continue
                d = derivative()
                for tail, (slope, size) in {x: (1.0, 1.0)}.items() if x in self.place else through[x].items():
                    before = found.get(tail, (0.0, 0.0))
                    found[tail] = before[0] + d * slope, before[1] + abs(d) * size
            if node in self.place:
                self.arrows |= {(self.place[node], self.place[tail]): sums for tail, sums in found.items()}

    def named(self, node: Value) -> bool:
        return node.op is None or not self.contracted or bool(node.label.strip())

    def reads(self, head: Value) -> set[Value]:
        """The nodes with a name, and the leaves, that a node is computed from."""
        found = set()
        for x in head.parents:
            found |= {x} if self.named(x) else self.reads(x)
        return found

    @property
    def sizes(self) -> list[float]:
        """The sum of the |products| over all paths to each box, which is what rounding errors are measured by."""
        found = [0.0] * (len(self.boxes) - 1) + [1.0]
        for (head, tail), (_, size) in sorted(self.arrows.items(), reverse=True):
            found[tail] += found[head] * size
        return found


def labelled(v: Value, label: str) -> Value:
    v.label = label
    return v


# The network of the texts


def test_the_network_of_the_texts_has_their_numbers() -> None:
    v = worked_example()
    picture = Picture(draw_backward(v["E"]))
    assert picture.title == "Reverse pass from E: 23 derivatives, 28 arrows"
    assert {box.name for box in picture.boxes} == set(v) and len(picture.ways) == 28
    shown = {box.words[0]: box.words[1:] for box in picture.boxes}
    assert shown["∂E/∂w5"] == ["0.08217"] and shown["∂E/∂out_h1"] == ["0.03635"] and shown["∂E/∂E"] == ["1.0"]
    for name, published in {
        "out_o1": "0.741365",
        "w5": "0.0821670",
        "w6": "0.0826676",
        "w7": "-0.0226025",
        "w8": "-0.0227402",
        "w1": "0.000438568",
        "w2": "0.000877135",
        "w3": "0.000497713",
        "w4": "0.000995425",
        "out_h1": "0.0363503",
    }.items():
        assert six(picture.box(name).number) == published
    path = ["E", "out_o1", "net_o1", "w5"]
    assert [six(picture.way(*step).multiplier) for step in pairwise(path)] == ["0.741365", "0.186816", "0.593270"]
    assert [six(picture.way(f"net_o{i}", "out_h1").product) for i in (1, 2)] == ["0.0553994", "-0.0190491"]
    assert picture.box("out_h1").title.endswith("\nthe sum of the 2 numbers that arrive")
    assert "arrive" not in picture.box("w5").title
    assert Counter(box.role for box in picture.boxes) == {"input": 14, "operation": 8, "result": 1}


def test_its_neurons_are_fixed_multipliers() -> None:
    v = worked_example()
    picture = Picture(draw_backward(v["E"]))
    over = {way.amplifier: pair for pair, way in picture.ways.items() if way.amplifier is not None}
    assert len(over) == len(picture.amplifiers) == 4
    for name in ("h1", "h2", "o1", "o2"):
        way = picture.way(f"out_{name}", f"net_{name}")
        assert way.amplifier in over
        out = v[f"out_{name}"].data
        assert way.rule == f"out_{name}·(1 − out_{name})" and math.isclose(way.multiplier, out * (1 - out))
        assert way.amplifier is not None and f"out_{name} is computed from net_{name} alone" in way.amplifier.title
    assert six(picture.way("out_o1", "net_o1").multiplier) == "0.186816"
    assert six(picture.way("out_o2", "net_o2").multiplier) == "0.175510"


def test_the_weights_are_those_of_the_forward_pass_transposed() -> None:
    v = worked_example()
    backward, forward = Picture(draw_backward(v["E"])), draw(v["E"]).source
    layers = {"h1": ("w1", "w2", "x1", "x2"), "h2": ("w3", "w4", "x1", "x2")}
    layers |= {"o1": ("w5", "w6", "out_h1", "out_h2"), "o2": ("w7", "w8", "out_h1", "out_h2")}
    for neuron, (w, u, x, y) in layers.items():
        for weight, operand in ((w, x), (u, y)):
            forth, back = backward.way(f"net_{neuron}", operand), backward.way(f"net_{neuron}", weight)
            assert f'tooltip="d mul / d {operand} = {v[weight].data!r}"' in forward
            assert (forth.multiplier, forth.rule) == (v[weight].data, weight)
            assert forth.shown == f"{weight} = {short(v[weight].data)}"
            assert (back.multiplier, back.rule) == (v[operand].data, operand)
        bias = backward.way(f"net_{neuron}", "b1" if neuron[0] == "h" else "b2")
        assert (bias.multiplier, bias.rule, bias.shown) == (1.0, "", "1.0")


# Any graph


@given(labelled_values(), st.lists(st.booleans(), min_size=4, max_size=4))
@settings(max_examples=40, deadline=None)
def test_boxes_are_gradients_and_each_is_the_sum_of_what_arrives(tape: list[Value], frozen: list[bool]) -> None:
    output = tape[-1]
    for leaf, freeze in zip([node for node in tape if node.op is None], frozen, strict=False):
        leaf.kind = "constant" if freeze else "variable"
    expected = Reduced(output)
    assume(output in expected.carrying)
    picture = Picture(draw_backward(output))
    output.backward()
    assert len(picture.boxes) == len(expected.boxes) and picture.ways.keys() == expected.arrows.keys()
    sums: list[list[float]] = [[] for _ in picture.boxes]
    sums[-1].append(1.0)
    for (head, tail), way in picture.ways.items():
        slope, size = expected.arrows[head, tail]
        assert math.isclose(way.multiplier, slope, rel_tol=0.0, abs_tol=1e-11 * size)
        assert way.arriving == picture.boxes[head].number and way.product == way.arriving * way.multiplier
        assert way.shown.endswith(f"= {short(way.multiplier)}") if way.rule else way.shown == short(way.multiplier)
        sums[tail].append(way.product)
        reads, node = expected.reads(expected.boxes[head]), expected.boxes[tail]
        if way.amplifier is not None:
            assert head != len(picture.boxes) - 1 and way.rule and reads & expected.carrying == {node}
        elif head != len(picture.boxes) - 1 and way.rule:
            assert {x for x in reads if x.kind != "constant" or x.label.strip()} != {node}
    for box, node, arriving, size in zip(picture.boxes, expected.boxes, sums, expected.sizes, strict=True):
        assert math.isclose(box.number, node.grad, rel_tol=0.0, abs_tol=1e-11 * size)
        assert math.isclose(box.number, math.fsum(arriving), rel_tol=0.0, abs_tol=1e-11 * math.fsum(map(abs, arriving)))
        assert box.words[1] == short(box.number)
        assert re.findall(r"\nthe sum of the (\d+) numbers that arrive", box.title) == (
            [str(len(arriving))] if len(arriving) > 1 else []
        )
        label = node.label.strip()
        assert box.name.split("#")[0] == label.split("#")[0] if label else re.fullmatch(r"⟨\d+⟩", box.name)
        assert box.words[0] == f"∂{picture.boxes[-1].name}/∂{box.name}"
        assert box.words[2:] == [] if label else box.words[2].startswith(f"{box.name}: ")
    assert len({box.name for box in picture.boxes}) == len(picture.boxes)


@given(labelled_values())
@settings(max_examples=20, deadline=None)
def test_arrows_are_those_of_the_forward_picture_turned_round(tape: list[Value]) -> None:
    for place, node in enumerate(tape):
        node.label = f"n{place}"  # with every node labelled, none is contracted
    picture = Picture(draw(tape[-1]))
    forward: dict[tuple[str, str], list[float]] = {}
    for arrow in picture.arrows:
        operand, result = picture.all[arrow.start], picture.all[arrow.end]
        if operand.role != "constant":
            (slope,) = re.findall(r"^d .* / d .* = ([^,\s]+)", arrow.title)
            forward.setdefault((result.words[0], operand.words[0]), []).append(float(slope))
    backward = Picture(draw_backward(tape[-1]))
    found = {(backward.boxes[i].name, backward.boxes[j].name): way for (i, j), way in backward.ways.items()}
    assert found.keys() == forward.keys()
    for pair, way in found.items():
        size = math.fsum(map(abs, forward[pair]))
        assert math.isclose(way.multiplier, math.fsum(forward[pair]), rel_tol=0.0, abs_tol=1e-14 * size)


# Multipliers


@pytest.mark.parametrize(
    ("function", "rule", "slope"),
    [
        (sigmoid, "out·(1 − out)", lambda x: math.exp(-x) / (1 + math.exp(-x)) ** 2),
        (autograd.tanh, "1 − out^2", lambda x: 1 - math.tanh(x) ** 2),
        (autograd.exp, "out", math.exp),
        (autograd.log, "1/x", lambda x: 1 / x),
        (lambda x: x * x, "2·x", lambda x: 2 * x),
        (lambda x: sigmoid(3 * x), "3·out·(1 − out)", lambda x: 3 * math.exp(-3 * x) / (1 + math.exp(-3 * x)) ** 2),
        (lambda x: x * x.tanh() / Value(2.0, kind="constant"), None, None),
    ],
    ids=("sigmoid", "tanh", "exp", "log", "square", "scaled", "contracted"),
)
def test_a_function_of_one_node_is_a_pointed_box(
    function: Callable[[Value], Value], rule: str | None, slope: Callable[[float], float] | None
) -> None:
    x = Value(0.7, label="x")
    out = labelled(function(x), "out")
    picture = Picture(draw_backward(out * 3.0))
    (amplifier,) = picture.amplifiers
    way = picture.way("out", "x")
    assert way.amplifier is amplifier and way.arriving == 3.0
    out.backward()
    assert math.isclose(way.multiplier, x.grad)
    if rule is not None and slope is not None:
        assert math.isclose(way.multiplier, slope(0.7)) and way.rule == rule
        assert way.shown == f"{rule} = {short(way.multiplier)}"
        assert amplifier.title.startswith(
            f"∂out/∂x = {rule} = {way.multiplier!r}\na fixed multiplier: out is computed from x alone"
        )


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: x * y,
        lambda x, y: x * Value(2.0, label="c", kind="constant"),
        lambda x, y: -x,
        lambda x, y: x + x,
        lambda x, y: x * 2.0 + 1.0,
        lambda x, y: (x.exp() + y) * x,
        lambda x, y: x.tanh() + labelled(x.exp(), "e"),
    ],
    ids=("of two", "with a labelled constant", "neg", "doubled", "scaled", "of two inside", "over another label"),
)
def test_any_other_multiplier_stands_on_its_arrow(function: Callable[[Value, Value], Value]) -> None:
    x, y = Value(0.7, label="x"), Value(0.3, label="y")
    out = labelled(function(x, y), "out")
    picture = Picture(draw_backward(out * 3.0 + y))
    assert picture.way("out", "x").amplifier is None
    assert {box.title.split(" = ")[0] for box in picture.amplifiers} <= {"∂e/∂x"}
    assert picture.way("out", "x").shown.endswith(short(picture.way("out", "x").multiplier))


def test_the_first_multiplier_is_on_an_arrow_as_nothing_is_to_be_amplified() -> None:
    x = Value(0.5, label="x")
    picture = Picture(draw_backward(labelled(sigmoid(x), "out")))
    assert not picture.amplifiers and picture.way("out", "x").shown == "out·(1 − out) = 0.235"


def test_repeated_operands_are_one_arrow_with_the_sum() -> None:
    x, y = Value(3.0, label="x"), Value(5.0, label="y")
    for out, multiplier, shown in (
        (x + x, 2.0, "2.0"),
        (x - x, 0.0, "0.0"),
        (x * x, 6.0, "2·x = 6.0"),
        (x / x, 0.0, "1/x − out/x = 0.0"),
        (autograd.sum([x, x, x]), 3.0, "3.0"),
        (autograd.dot([x, y], [x, x]), 11.0, "y + 2·x = 11.0"),
    ):
        picture = Picture(draw_backward(labelled(out, "out")))
        way = picture.way("out", "x")
        assert (way.multiplier, way.product) == (multiplier, multiplier)
        assert way.shown == shown
        assert len(picture.arrows) == len(set(out.parents))
        x.grad = 0.0
        out.backward()
        assert picture.box("x").number == x.grad == multiplier and "arrive" not in picture.box("x").title
    both = Picture(draw_backward((x + x) * (x * x)))
    assert both.box("x").number == 54.0 and both.box("x").title.endswith("\nthe sum of the 2 numbers that arrive")


def test_constants_take_no_part() -> None:
    x, c = Value(2.0, label="x"), Value(3.0, label="c", kind="constant")
    aside = labelled(Value(4.0, kind="constant").exp(), "aside")
    picture = Picture(draw_backward(labelled(labelled(x * c + 1.0, "a") * 2.0 + aside * c, "y")))
    assert [box.name for box in picture.boxes] == ["x", "a", "y"]
    assert [(way.multiplier, way.shown) for way in picture.ways.values()] == [(3.0, "c = 3.0"), (2.0, "2.0")]
    assert "constant" not in {box.role for box in picture.boxes}
    x.kind, c.kind = "constant", "parameter"
    turned = Picture(draw_backward(labelled(x * c, "y")))
    assert [(box.name, box.number, box.role) for box in turned.boxes] == [("c", 2.0, "parameter"), ("y", 1.0, "result")]


# Labels


def test_between_labels_the_others_are_contracted() -> None:
    x, w = Value(0.5, label="x"), Value(0.25, label="w")
    y = w * x
    for _ in range(4):
        y = y.sin() + y * x
    a = labelled(y, "a")
    for _ in range(250):
        y = (y * 0.99).sin()
    picture = Picture(draw_backward(labelled(y, "y")))
    assert {box.name for box in picture.boxes} == {"x", "w", "a", "y"}
    assert {(picture.boxes[i].name, picture.boxes[j].name) for i, j in picture.ways} == {
        ("y", "a"),
        ("a", "x"),
        ("a", "w"),
    }
    y.backward()
    for node in (x, w, a):
        assert math.isclose(picture.box(node.label).number, node.grad, rel_tol=1e-9)


def test_where_nothing_is_labelled_each_node_has_a_made_up_name() -> None:
    x = Value(2.0)
    y = (x * 3.0).exp() - x
    picture = Picture(draw_backward(y))
    assert [box.name for box in picture.boxes] == ["⟨1⟩", "⟨2⟩", "⟨3⟩", "⟨4⟩"]
    stand_for = ["⟨1⟩: unnamed input", "⟨2⟩: ⟨1⟩·3", "⟨3⟩: exp(⟨2⟩)", "⟨4⟩: ⟨3⟩ − ⟨1⟩"]
    assert [box.words[2] for box in picture.boxes] == stand_for
    assert [box.title.split("\n")[-1] for box in picture.boxes] == stand_for
    (amplifier,) = picture.amplifiers
    assert amplifier.words[0] == "⟨3⟩" and picture.way("⟨3⟩", "⟨2⟩").amplifier is amplifier
    taken = Picture(draw_backward(labelled(Value(1.0), "⟨1⟩") * Value(2.0, label="⟨2⟩")))
    assert [box.name for box in taken.boxes] == ["⟨1⟩", "⟨2⟩", "⟨3⟩"]


@pytest.mark.parametrize("label", LABELS, ids=range(len(LABELS)))
def test_hostile_labels(label: str) -> None:
    x = Value(1.0, label)
    a = labelled(x * 2.0, label)
    s = labelled(a.sigmoid(), label)
    picture = Picture(draw_backward(labelled(s * x, label)))
    assert [len(picture.boxes), len(picture.amplifiers), len(picture.arrows)] == [4, 1, 5]
    tags = Counter(element.tag.removeprefix(SVG) for element in picture.root.iter())
    assert tags.keys() <= {"svg", "style", "title", "g", "text", "path", "polygon", "ellipse"}
    assert (tags["style"], tags["title"]) == (1, 1 + 5 + 5)
    attributes = {name for element in picture.root.iter() for name in element.attrib}
    assert not any(name.startswith("on") or "href" in name for name in attributes)
    name = one_line(label, 60)
    names = [f"{name}{after}" for after in ("", "#2", "#3", "#4")] if label.strip() else ["⟨1⟩", "⟨2⟩", "⟨3⟩", "⟨4⟩"]
    for box, under in zip(picture.boxes, names, strict=True):
        assert box.title.startswith(f"∂{names[-1]}/∂{under} = ") and len(box.title) < 600
        assert box.words[0].startswith("∂") and "/∂" in box.words[0] and len(box.words[0]) <= 32
        if len(name) <= 5:
            assert box.words[0] == f"∂{names[-1]}/∂{under}"
        assert math.isfinite(float(box.words[1])) and len(box.words) == (2 if label.strip() else 3)
    (amplifier,) = picture.amplifiers
    assert amplifier.title.startswith(f"∂{names[2]}/∂{names[1]} = ") and "".join(amplifier.words).endswith("= 0.105")
    beginnings = [f"∂{names[-1]}/∂{names[i]} · ∂{names[i]}/∂{names[j]} = " for i, j in ((3, 2), (3, 0), (2, 1), (1, 0))]
    titles = [arrow.title for arrow in picture.arrows]
    assert [sum(title.startswith(beginning) for title in titles) for beginning in beginnings] == [1, 1, 2, 1]
    assert max(len(line) for group in picture.groups("edge") for line in [*words(group), ""]) < 100


# Options, errors and limits


@pytest.mark.parametrize("direction", ["RL", "LR", "TB", "BT"])
def test_it_flows_in_each_direction(direction: str) -> None:
    picture = Picture(draw_backward(worked_example()["E"], direction=direction))
    axis, sign = {"RL": (0, -1), "LR": (0, 1), "TB": (1, 1), "BT": (1, -1)}[direction]  # down is up in y

    def along(box: Box) -> float:
        """Where the middle of a box lies in the direction of the flow."""
        ends = [sign * point[axis] for point in box.outline]
        return (min(ends) + max(ends)) / 2

    assert len(picture.ways) == 28
    for arrow in picture.arrows:
        assert along(picture.all[arrow.start]) < along(picture.all[arrow.end])
    assert len(picture.amplifiers) == 4
    for amplifier in picture.amplifiers:  # one corner in front, two or more behind
        corners = [sign * point[axis] for point in set(amplifier.outline)]
        front, behind = [sum(abs(corner - end) < 0.5 for corner in corners) for end in (max(corners), min(corners))]
        assert front == 1 < behind
    if direction == "RL":
        assert draw_backward(worked_example()["E"]).source == picture.graph.source


def test_drawing_changes_nothing_and_needs_no_backward() -> None:
    v = worked_example()
    order = topological_order(v["E"])

    def state() -> list[tuple[object, ...]]:
        return [(node.data, node._grad, node.label, node.kind, node.parents) for node in order]

    before = state()
    fresh = draw_backward(v["E"])
    assert state() == before and {grad for _, grad, *_ in before} == {None}
    v["E"].backward(3.0)
    v["w5"].grad = 17.0
    after = state()
    assert draw_backward(v["E"]).source == fresh.source and state() == after != before
    part = Picture(draw_backward(v["out_h1"]))
    assert [box.name for box in part.boxes] == ["w1", "x1", "w2", "x2", "b1", "net_h1", "out_h1"]
    assert part.box("out_h1").number == 1.0 and state() == after


def test_it_is_saved_and_shown_like_any_picture(tmp_path: Path) -> None:
    graph = draw_backward(worked_example()["E"])
    save_svg(graph, tmp_path / "reverse.svg")
    svg = (tmp_path / "reverse.svg").read_text(encoding="utf-8")
    assert svg == to_svg(graph) == graph._repr_mimebundle_()["image/svg+xml"]
    assert autograd.draw_backward is draw_backward
    assert "A box is the sum of what arrives." in svg


@pytest.mark.parametrize(
    ("v", "options", "error", "message"),
    [
        (Value(1.0, label="x"), {}, ValueError, r"label='x'.*is a leaf.*right: draw_backward\(E\)"),
        (Value(1.0, kind="constant"), {}, ValueError, "is a leaf"),
        (Value(2.0, kind="constant") * 3, {}, ValueError, r"constant, so nothing flows.*wrong: .*right: draw_backward"),
        (3.0, {}, TypeError, r"got float; right: draw_backward\(E\)"),
        ("E", {}, TypeError, "got str"),
        (None, {}, TypeError, "got NoneType"),
        ([Value(1.0).exp()], {}, TypeError, "got list"),
        (Value(1.0) * 2, {"direction": "up"}, ValueError, "'LR', 'RL', 'TB', 'BT'; got 'up'"),
        (Value(1.0) * 2, {"direction": None}, ValueError, "direction"),
        (Value(1.0) * 2, {"max_nodes": 0}, ValueError, "max_nodes"),
        (Value(1.0) * 2, {"max_nodes": 2.5}, ValueError, "max_nodes"),
        (Value(1.0) * 2, {"depth": 1}, TypeError, "depth"),
        (Value(1.0) * Value(2.0), {"max_nodes": 2}, ValueError, r"3 derivatives.*max_nodes=2\. Right: label"),
    ],
)
def test_wrong_arguments(v: Value, options: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        draw_backward(v, **options)  # type: ignore[arg-type]


def test_the_limit_counts_what_is_left_after_contracting() -> None:
    w, x = Value(1.0, label="w"), Value(2.0, label="x")
    assert len(Picture(draw_backward(w * x, max_nodes=3)).boxes) == 3
    a = labelled(w * x * 2.0 + w, "a")
    assert len(Picture(draw_backward(a * 2.0 * x - w, max_nodes=4)).boxes) == 4


@pytest.mark.parametrize("kind", ["variable", "constant"])
def test_a_stale_graph_is_refused(kind: str) -> None:
    x, t = Value(1.0, label="x"), Value(2.0, label="target", kind=kind)
    error = (x - t) ** 2
    t.data = 3.0
    with pytest.raises(StaleGraphError, match="target"):
        draw_backward(error)


def test_a_graph_of_fifty_thousand_nodes_is_refused_or_contracted() -> None:
    x = Value(1.0, label="x")
    y, middle = x, x
    for i in range(25_000):
        y = y + 1.0
        middle = y if i == 100 else middle
    refusal = r"25,001 derivatives.*max_nodes=2,000.*label the nodes.*max_nodes=\.\.\."
    with calls_at_most(4_000_000), pytest.raises(ValueError, match=refusal):
        draw_backward(y)
    middle.label = "middle"
    with calls_at_most(4_000_000):
        picture = draw_backward(y)
    assert [box.name for box in Picture(picture).boxes] == ["x", "middle", "⟨1⟩"]


def test_numbers_that_are_none() -> None:
    x = Value(0.0, label="x")
    picture = Picture(draw_backward(labelled(x.log(), "a") * x))
    assert picture.way("a", "x").multiplier == math.inf and picture.box("a").number == 0.0
    assert alike(picture.box("x").number, math.nan) and picture.box("x").words == ["∂⟨1⟩/∂x", "nan"]
    assert picture.box("x").title == "∂⟨1⟩/∂x = nan\nthe sum of the 2 numbers that arrive"


def test_a_rule_too_long_to_read_is_left_out() -> None:
    x = Value(0.5, label="x")
    y = x
    for _ in range(10):
        y = y.sin() + y * x  # written out, its derivative doubles and more with each step
    with calls_at_most(60_000):
        graph = draw_backward(labelled(y, "a") * 2.0)
    assert len(Picture(graph).svg) < 20_000


def test_many_operands_are_drawn() -> None:
    nodes = [Value(1.0, label="x")]
    for i in range(60):
        nodes.append(labelled(autograd.sum(nodes) * 0.1, f"s{i}"))
    with calls_at_most(8_000_000):
        graph = draw_backward(nodes[-1])
    assert graph.source.count(" -> ") >= 60 * 61 / 2
    with pytest.raises(ValueError, match=r"61 derivatives with 1,8\d\d arrows, over the limit of max_nodes=61"):
        draw_backward(nodes[-1], max_nodes=61)


def test_each_made_up_name_has_a_box_that_says_what_it_stands_for() -> None:
    x, c = Value(2.0, label="x"), Value(3.0, kind="constant")
    h = labelled((x * 2.0).tanh(), "h")
    for out in ((x * c.exp()).tanh(), (h - 1.0) ** 2 + h * 3.0):
        picture = Picture(draw_backward(out))
        assert set(re.findall(r"⟨\d+⟩", picture.svg)) <= {box.name for box in picture.boxes}


def test_a_blank_label_is_none() -> None:
    picture = Picture(draw_backward(Value(2.0, label=" ") * 3.0))
    assert picture.boxes[0].words[2] == "⟨1⟩: unnamed input"


# In a browser


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not on PATH")
@pytest.mark.parametrize(("dark", "setting"), [(False, 1), (True, 0)], ids=("light", "dark"))
def test_a_browser_lays_it_out_inside_the_picture(tmp_path: Path, dark: bool, setting: int) -> None:
    pictures = [
        to_svg(draw_backward(worked_example()["E"], direction=direction)) for direction in ("RL", "LR", "TB", "BT")
    ]
    hostile = Value(1.0, label="W</svg><b>" * 9)
    pictures.append(to_svg(draw_backward(sigmoid(labelled(sigmoid(hostile), "M&M" * 30)) * hostile)))
    script = """
      const rect = e => e.getBoundingClientRect();
      const within = (a, b) => a.left >= b.left - 2 && a.right <= b.right + 2
        && a.top >= b.top - 2 && a.bottom <= b.bottom + 2;
      const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
      const shape = g => g.querySelector('polygon, path, ellipse');
      const filled = (t, g) => {
        const b = t.getBBox(), xs = [b.x + 1, b.x + b.width - 1], ys = [b.y + b.height / 4, b.y + b.height * 3 / 4];
        return xs.every(x => ys.every(y => shape(g).isPointInFill(new DOMPoint(x, y))));
      };
      const found = [...document.querySelectorAll('svg.chainrule')].map(svg => {
        const nodes = [...svg.querySelectorAll('g.node')];
        return [
          nodes.length,
          [...svg.querySelectorAll('text, path, polygon, ellipse')].every(e => within(rect(e), rect(svg))),
          nodes.every(g => [...g.querySelectorAll('text')].every(t => filled(t, g))),
          nodes.every((g, i) => nodes.every((h, j) => i <= j || apart(rect(shape(g)), rect(shape(h))))),
        ].join();
      });
      const looks = ['input', 'operation', 'result', 'amplifier'].map(role => {
        const group = document.querySelector(`g.${role}`);
        const colours = [getComputedStyle(shape(group)).fill, getComputedStyle(shape(group)).stroke];
        return [role, ...colours, getComputedStyle(group.querySelector('text')).fill].join(';');
      });
      const scheme = matchMedia('(prefers-color-scheme: dark)').matches;
      document.title = [scheme, document.querySelectorAll('b').length, ...found, ...looks].join('|');
    """
    page = tmp_path / "page.html"
    page.write_text(
        f'<meta charset="utf-8">{"<hr>".join(pictures)}<script>onload = () => {{ {script} }}</script>', encoding="utf-8"
    )
    command = ["chromium", *FLAGS.split(), f"--blink-settings=preferredColorScheme={setting}"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()]
    dom = subprocess.run(command, capture_output=True, timeout=300, check=True).stdout.decode()
    title = re.search("<head>.*?<title>(.*?)</title>", dom, re.DOTALL)
    assert title
    scheme, injected, *rest = title[1].split("|")
    assert (scheme, injected) == (str(dark).lower(), "0")
    assert rest[: len(pictures)] == ["27,true,true,true"] * 4 + ["4,true,true,true"]
    for line in rest[len(pictures) :]:
        role, *colours = line.split(";")
        look = LOOKS[role].night if dark else LOOKS[role].day
        assert [f"#{''.join(f'{int(c):02x}' for c in numbers(colour))}" for colour in colours] == look.split()
