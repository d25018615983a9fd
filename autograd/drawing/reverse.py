"""The reverse pass as a network of its own: the graph of cotangents.

>>> from autograd import Value, sigmoid
>>> w, net = Value(0.4, label="w"), Value(0.6, label="x") * 2
>>> out = sigmoid(w * net)
>>> out.label = "out"
>>> draw_backward((out - 1) ** 2).source.count("->")
3
"""

from collections import Counter

from ..chain import Skeleton, contracted
from ..expressions import Expression
from ..floats import short
from ..formulas import in_terms_of, rules
from ..graph import leaves
from ..names import Names, one_line
from ..value import CONSTANT, Value
from .dot import LONGEST, check, empty, heading, line, many, name_of, role_of, slope_in_words, table, text
from .look import LEGIBLE, LOOKS
from .outline import ARROWS
from .svg import Graph, encoded

_POINTING = {"BT": "0", "RL": "90", "TB": "180", "LR": "270"}  # by how much a house is turned
_OUTPUT = 8  # characters of its label in a box, which the rest of it needs
_SHORT = 8  # characters: what is longer stands above its number


def draw_backward(v: Value, *, direction: str = "RL", max_nodes: int = 2000) -> Graph:
    """The reverse pass from v as a network: what flows from ∂v/∂v = 1 back to the leaves.

    A box is the derivative of v by a node: the sum of what arrives. An arrow multiplies by the local derivative
    written on it; a pointed box is the fixed multiplier of a function of one node, such as out·(1 − out) of a sigmoid.
    Between labelled nodes the others are contracted, as in `explain`; constants take no part. Nothing on the
    Values is changed, and no backward() is needed.

    direction  in which the reverse pass flows: "RL", "LR", "TB" or "BT"
    max_nodes  how many derivatives there may be, and a tenth of how many arrows

    Raises ValueError if v is a leaf or all its leaves are constants, for a picture above max_nodes or a wrong option,
    TypeError for anything but a Value, StaleGraphError if a leaf was changed since.

    >>> w, x = Value(0.5, label="w"), Value(2.0, label="x")
    >>> draw_backward(w * x).source.count("->")
    2
    """
    check(max_nodes, direction)
    return _Network(_skeleton(v, max_nodes), direction).drawn()


class _Network:
    """The picture of a skeleton, as it is being drawn."""

    def __init__(self, skeleton: Skeleton, direction: str) -> None:
        self.skeleton, self.direction, self.nodes = skeleton, direction, skeleton.nodes
        self.names, self.on_the_way = Names(), set(skeleton.nodes)
        self.called = [self.names[node].text for node in self.nodes]
        self.output = self.called[-1]
        self.ways = [self._ways(head) for head in range(len(self.nodes))]

    def is_named(self, node: Value) -> bool:
        """Whether there is a box for it, or a label; what is computed from constants alone has neither."""
        return node in self.on_the_way or bool(node.label.strip())

    def _ways(self, head: int) -> dict[int, float]:
        """The operands of a node, each with the local derivative: the sum over repeated ones."""
        found: dict[int, float] = {}
        for edge in self.skeleton.operands(head):
            found[edge.tail] = found.get(edge.tail, 0.0) + edge.derivative
        return found

    def drawn(self) -> Graph:
        arrows = sum(map(len, self.ways))
        title = f"Reverse pass from {self.output}: {many(len(self.nodes), 'derivative')}, {many(arrows, 'arrow')}"
        caption = "A box is the sum of what arrives. An arrow, or a pointed box on it, multiplies by what it says."
        graph = empty(title, self.direction, label=caption, labelloc="b", labeljust="l", fontcolor=LEGIBLE)
        arriving = Counter(tail for found in self.ways for tail in found)
        for place in range(len(self.nodes)):
            self._write_box(graph, place, arriving[place])
        for head, found in enumerate(self.ways):
            tails = [self.nodes[tail] for tail in found]
            amplifies = head != len(self.nodes) - 1 and self._is_function_of_one(head)
            for tail, rule in zip(found, rules(self.nodes[head], tails, self.is_named, self.names), strict=True):
                self._write_arrow(graph, head, tail, rule, amplifies)
        return graph

    def _write_box(self, graph: Graph, place: int, arriving: int) -> None:
        node, name, g = self.nodes[place], self.called[place], self.skeleton.cotangents[place]
        above = f"∂{one_line(self.output, _OUTPUT)}/∂"
        rows = [heading(above + one_line(name, LONGEST - len(above))), _number(g)]
        words = f"∂{self.output}/∂{name} = {slope_in_words(g, name, self.output)}"
        if arriving > 1:
            words += f"\nthe sum of the {arriving} numbers that arrive"
        if not node.label.strip():
            stands_for = str(in_terms_of(node, self.is_named, self.names)) if node.op is not None else name_of(node)
            rows.append(line(f"{text(name)}: {text(one_line(stands_for, LONGEST))}"))
            words += f"\n{name}: {stands_for}"
        role = role_of(node, self.nodes[-1:])
        graph.node(f"v{place}", table(rows), tooltip=encoded(words), **{"class": role}, **LOOKS[role].dot)

    def _write_arrow(self, graph: Graph, head: int, tail: int, rule: Expression | None, amplifies: bool) -> None:
        derivative, g = self.ways[head][tail], self.skeleton.cotangents[head]
        says = "" if rule is None or (rule.op is None and rule.name is None) else str(rule)
        output, over, under = self.output, self.called[head], self.called[tail]
        local = f"∂{over}/∂{under} = {says} = {derivative!r}" if says else f"∂{over}/∂{under} = {derivative!r}"
        words = f"∂{output}/∂{over} · ∂{over}/∂{under} = {g!r} · {derivative!r} = {g * derivative!r}\n{local}"
        attributes = {"tooltip": encoded(words), "weight": "4" if self.nodes[tail].op is not None else "1"}
        shown = [text(one_line(says, LONGEST)), f"= {short(derivative)}"] if says else [short(derivative)]
        between = " " if len(says) <= _SHORT else "<BR/>"
        if amplifies and says:
            words = (
                f"{local}\na fixed multiplier: {over} is computed from {under} alone, and what arrives from "
                f"∂{output}/∂{over} goes on multiplied by it; the forward pass has set it"
            )
            look = {"class": "amplifier", **LOOKS["amplifier"].dot, "orientation": _POINTING[self.direction]}
            graph.node(f"m{head}", table(line(x) for x in shown), tooltip=encoded(words), **look)
            graph.edge(f"v{head}", f"m{head}", **attributes)
            graph.edge(f"m{head}", f"v{tail}", **attributes)
        else:
            graph.edge(f"v{head}", f"v{tail}", label=f"<{between.join(shown)}>", **attributes)

    def _is_function_of_one(self, head: int) -> bool:
        """Whether a node is computed from one node with a name only, plain numbers aside."""
        if len(self.ways[head]) != 1:
            return False
        inside = set(contracted(self.nodes[head], self.is_named))
        outside = {x for node in inside for x in node.parents if x not in inside}
        return not [x for x in outside - self.on_the_way if x.kind != CONSTANT or x.label.strip()]


def _number(x: float) -> str:
    return f'<TR><TD COLSPAN="2">{short(x)}</TD></TR>'


def _skeleton(v: Value, max_nodes: int) -> Skeleton:
    if not isinstance(v, Value):
        raise TypeError(f"draw_backward takes a Value, got {type(v).__name__}; right: draw_backward(E)")
    if v.op is None:
        raise ValueError(
            f"{v!r} is a leaf: there is no reverse pass from it; right: draw_backward(E), where E is the result of "
            "an expression"
        )
    ends = [leaf for leaf in leaves(v) if leaf.kind != CONSTANT]
    if not ends:
        raise ValueError(
            f"all that {v!r} is computed from is constant, so nothing flows back; wrong: draw_backward(Value(2.0, "
            "kind='constant') * 3); right: draw_backward(Value(2.0) * 3)"
        )
    skeleton = Skeleton(v, *ends)
    size, arrows = len(skeleton.nodes), 0
    if size <= max_nodes:
        arrows = sum([len(skeleton.operands(head)) for head in range(size)])
    if size > max_nodes or arrows > ARROWS * max_nodes:
        more = f" with {arrows:,} arrows" if arrows else ""
        raise ValueError(
            f"the picture would have {size:,} derivatives{more}, over the limit of max_nodes={max_nodes:,}. Right: "
            "label the nodes between which the others are to be contracted, draw_backward an inner node, or "
            "draw_backward(v, max_nodes=...) raises the limit"
        )
    return skeleton
