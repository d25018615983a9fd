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
from ..formulas import atom, rule
from ..graph import leaves
from ..names import Names, one_line
from ..value import CONSTANT, Value
from .dot import LONGEST, check, empty, heading, line, many, name_of, role_of, slope_in_words, table, text
from .look import LEGIBLE, LOOKS
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
    max_nodes  how many boxes there may be

    Raises ValueError if v is a leaf or all its leaves are constants, for a picture above max_nodes or a wrong option,
    TypeError for anything but a Value, StaleGraphError if a leaf was changed since.

    >>> w, x = Value(0.5, label="w"), Value(2.0, label="x")
    >>> draw_backward(w * x).source.count("->")
    2
    """
    check(max_nodes, direction)
    return _drawn(_skeleton(v, max_nodes), direction)


def _drawn(skeleton: Skeleton, direction: str) -> Graph:
    names, nodes, cotangents = Names(), skeleton.nodes, skeleton.cotangents
    called = [names[node] for node in nodes]
    output = called[-1].text
    ways = [_ways(skeleton, head) for head in range(len(nodes))]
    arriving = Counter(tail for found in ways for tail in found)
    title = f"Reverse pass from {output}: {many(len(nodes), 'derivative')}, {many(sum(map(len, ways)), 'arrow')}"
    caption = "A box is the sum of what arrives. An arrow, or a pointed box on it, multiplies by what it says."
    graph = empty(title, direction, label=caption, labelloc="b", labeljust="l", fontcolor=LEGIBLE)
    for place, (node, name, g) in enumerate(zip(nodes, called, cotangents, strict=True)):
        above = f"∂{one_line(output, _OUTPUT)}/∂"
        rows = [heading(above + one_line(name.text, LONGEST - len(above))), _number(g)]
        words = f"∂{output}/∂{name.text} = {slope_in_words(g, name.text, output)}"
        if arriving[place] > 1:
            words += f"\nthe sum of the {arriving[place]} numbers that arrive"
        if not node.label.strip():
            stands_for = _stands_for(node, names)
            rows.append(line(f"{text(name.text)}: {text(one_line(stands_for, LONGEST))}"))
            words += f"\n{name.text}: {stands_for}"
        role = role_of(node, nodes[-1:])
        graph.node(f"v{place}", table(rows), tooltip=encoded(words), **{"class": role}, **LOOKS[role].dot)
    for head, found in enumerate(ways):
        for tail, d in found.items():
            _write_arrow(graph, skeleton, names, head, tail, d, direction)
    return graph


def _ways(skeleton: Skeleton, head: int) -> dict[int, float]:
    """The operands of a node, each with the local derivative: the sum over repeated ones."""
    found: dict[int, float] = {}
    for edge in skeleton.operands(head):
        found[edge.tail] = found.get(edge.tail, 0.0) + edge.derivative
    return found


def _write_arrow(
    graph: Graph, skeleton: Skeleton, names: Names, head: int, tail: int, derivative: float, direction: str
) -> None:
    nodes, last = skeleton.nodes, len(skeleton.nodes) - 1
    found = rule(nodes[head], nodes[tail], skeleton.is_named, names)
    says = "" if found is None or (found.op is None and found.name is None) else str(found)
    output, over, under = (names[nodes[place]].text for place in (last, head, tail))
    local = f"∂{over}/∂{under} = {says} = {derivative!r}" if says else f"∂{over}/∂{under} = {derivative!r}"
    g = skeleton.cotangents[head]
    words = f"∂{output}/∂{over} · ∂{over}/∂{under} = {g!r} · {derivative!r} = {g * derivative!r}\n{local}"
    attributes = {"tooltip": encoded(words), "weight": "4" if nodes[tail].op is not None else "1"}
    shown = [text(one_line(says, LONGEST)), f"= {short(derivative)}"] if says else [short(derivative)]
    between = " " if len(says) <= _SHORT else "<BR/>"
    if head != last and says and _function_of_one(skeleton, head, tail):
        words = (
            f"{local}\na fixed multiplier: {over} is computed from {under} alone, and what arrives from "
            f"∂{output}/∂{over} goes on multiplied by it; the forward pass has set it"
        )
        look = LOOKS["amplifier"].dot | {"orientation": _POINTING[direction]}
        graph.node(f"m{head}", table(line(x) for x in shown), tooltip=encoded(words), **{"class": "amplifier"}, **look)
        graph.edge(f"v{head}", f"m{head}", **attributes)
        graph.edge(f"m{head}", f"v{tail}", **attributes)
    else:
        graph.edge(f"v{head}", f"v{tail}", label=f"<{between.join(shown)}>", **attributes)


def _function_of_one(skeleton: Skeleton, head: int, tail: int) -> bool:
    """Whether a node is computed from one node with a name only, plain numbers aside."""
    inside = set(contracted(skeleton.nodes[head], skeleton.nodes[tail], skeleton.is_named))
    outside = {x for node in inside for x in node.parents if x not in inside}
    return not [x for x in outside - {skeleton.nodes[tail]} if x.kind != CONSTANT or x.label.strip()]


def _stands_for(node: Value, names: Names) -> str:
    if node.op is None:
        return name_of(node)
    return str(Expression.apply_op(node.op, [atom(x, names) for x in node.parents]))


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
    if len(skeleton.nodes) > max_nodes:
        raise ValueError(
            f"the picture would have {len(skeleton.nodes):,} boxes, over the limit of max_nodes={max_nodes:,}. Right: "
            "label the nodes between which the others are to be contracted, draw_backward an inner node, or "
            "draw_backward(v, max_nodes=...) raises the limit"
        )
    return skeleton
