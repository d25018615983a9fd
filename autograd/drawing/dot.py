r"""Computation graphs in the DOT language.

>>> from autograd import Value
>>> a = Value(2.0, label="a")
>>> graph = draw(a**3)
>>> [line.split()[:3] for line in graph.body if "->" in line]
[['v0', '->', 'v2'], ['v1', '->', 'v2']]

Labels are text. What they show is made visible and escaped here, and no name in DOT is made from one:

>>> heading("a<b")
'<TR><TD COLSPAN="2"><FONT POINT-SIZE="12"><B>a&lt;b</B></FONT></TD></TR>'
"""

import html
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import isfinite, isnan

from ..floats import short
from ..names import one_line, visible
from ..ops import Op
from ..value import CONSTANT, PARAMETER, Value
from .clusters import enclosing
from .look import FONT, GREY, INK, LOOKS, SHADE
from .outline import COUNTED, Arrow, Box, outline
from .svg import Graph, encoded

Drawable = Value | Iterable[Value]
Attributes = dict[str, str]

# Where an edge leaves a folded box, and where it enters one: the sides that face each other.
DIRECTIONS = {"LR": ("e", "w"), "RL": ("w", "e"), "TB": ("s", "n"), "BT": ("n", "s")}
LONGEST = 32  # characters of a label in a box; its title has them all


def draw(
    values: Drawable, *, expand: bool = True, depth: int | None = None, max_nodes: int = 2000, direction: str = "LR"
) -> Graph:
    """The graph behind one Value or several, as a graphviz.Digraph that renders without a system Graphviz.

    Each node shows its label, data and gradient ("–" until a pass has reached it), an operation its symbol;
    each edge the local derivative d(head)/d(tail), and the operand slot where the order of operands matters.
    A model's neurons are clusters, in a cluster for their layer. Titles say it all in words, in full precision.

    expand     False folds each neuron of a model to one box
    depth      shows only nodes so many edges from the result; "… 37 more" marks where it cuts
    max_nodes  how many nodes there may be after that
    direction  in which the computation flows: "LR", "RL", "TB" or "BT"

    Raises ValueError for a picture above max_nodes or a wrong option, TypeError for anything but Values,
    StaleGraphError if a leaf was changed since. Rendering raises RendererNotFoundError where there is no program.

    >>> x = Value(0.5, label="x")
    >>> draw(x * x).source.count("->")
    2
    """
    return draw_marked(_roots(values), Marks(), expand=expand, depth=depth, max_nodes=max_nodes, direction=direction)


class Marks:
    """What a picture shows beyond the graph itself: here nothing, in paths.py the paths of a derivative."""

    def label(self, node: Value) -> str:
        """What a box is headed."""
        return node.label

    def box(self, box: Box, attributes: Attributes) -> Attributes:
        """The attributes of a box, changed."""
        return attributes

    def arrow(self, arrow: Arrow) -> tuple[Attributes, str, str]:
        """Further attributes of an arrow, what its label starts with, and what its title ends with."""
        return {}, "", ""

    @property
    def legend(self) -> Attributes:
        """Attributes of the whole."""
        return {}


def draw_marked(
    roots: Sequence[Value],
    marks: Marks,
    *,
    expand: bool = True,
    depth: int | None = None,
    max_nodes: int = 2000,
    direction: str = "LR",
) -> Graph:
    """The graph behind the roots, with marks; options and errors as for draw."""
    if depth is not None and (not isinstance(depth, int) or depth < 0):
        raise ValueError(f"depth is a whole number of edges from the result, or None for all; got {depth!r}")
    check(max_nodes, direction)
    boxes, arrows = outline(roots, expand=expand, depth=depth, max_nodes=max_nodes)
    names = " and ".join(name_of(root) for root in roots[:3]) + (" and others" if len(roots) > 3 else "")
    title = f"Computation graph of {names}: {many(len(boxes), 'node')}, {many(len(arrows), 'edge')}"
    graph = empty(title, direction, **({} if expand else {"splines": "line", "ranksep": "1.2"}))
    _write_boxes(graph, boxes, roots, marks, 0)
    _line_up(graph, arrows)
    derivatives: dict[Value, list[float]] = {}  # all of a node's at once: an n-ary node has as many arrows
    for arrow in arrows:
        node = arrow.steps[0][0]
        if len(arrow.steps) == 1 and node not in derivatives:
            derivatives[node] = [derivative() for derivative in node.local_derivatives]
        _write_arrow(
            graph, arrow, derivatives.get(node, []), DIRECTIONS[direction], "label" if expand else "xlabel", marks
        )
    graph.attr(**marks.legend)
    return graph


def check(max_nodes: int, direction: str) -> None:
    if not isinstance(max_nodes, int) or max_nodes < 1:
        raise ValueError(f"max_nodes is a whole number from 1 up, got {max_nodes!r}")
    if direction not in DIRECTIONS:
        raise ValueError(f"direction is one of {', '.join(map(repr, DIRECTIONS))}; got {direction!r}")


def empty(title: str, direction: str, **attributes: str) -> Graph:
    """A picture with nothing in it yet."""
    return Graph(
        comment=title,
        format="svg",
        graph_attr={
            "rankdir": direction,
            "tooltip": encoded(title),
            "bgcolor": "white",  # for PNG; the SVG is transparent
            "fontname": FONT,
            "fontsize": "10",
            "fontcolor": INK,
            "nodesep": "0.16",
            "ranksep": "0.4",
            **attributes,
        },
        node_attr={"fontname": FONT, "fontsize": "11", "width": "0", "height": "0", "margin": "0.1,0.05"},
        edge_attr={"fontname": FONT, "fontsize": "9", "fontcolor": INK, "color": GREY, "arrowsize": "0.6"},
    )


def _roots(values: Drawable) -> list[Value]:
    roots = [values] if isinstance(values, Value) else list(values) if isinstance(values, Iterable) else [values]
    wrong = next((root for root in roots if not isinstance(root, Value)), None)
    if wrong is not None:
        raise TypeError(f"draw takes a Value or several, got {type(wrong).__name__}; right: draw(v) or draw([u, v])")
    if not roots:
        raise ValueError("nothing to draw: no Values were given; right: draw(v) or draw([u, v])")
    return roots


def _write_boxes(graph: Graph, boxes: Sequence[Box], roots: Sequence[Value], marks: Marks, level: int) -> None:
    """The boxes that lie in a cluster, those in its inner clusters in subgraphs of their own."""
    inner: dict[str, list[Box]] = {}
    for box in boxes:
        if len(box.clusters) > level:
            inner.setdefault(box.clusters[level], []).append(box)
        else:
            _write_box(graph, box, roots, marks)
    for path, members in inner.items():
        with graph.subgraph(name=f"cluster {path}") as cluster:
            words = f"{path}: {census([node for box in members for node in box.nodes])}"
            cluster.attr(
                label=path,
                labeljust="l",
                style="filled,rounded",
                fillcolor=SHADE,
                color=GREY,
                penwidth="0.5",
                tooltip=encoded(words),
            )
            _write_boxes(cluster, members, roots, marks, level + 1)


def _line_up(graph: Graph, arrows: Sequence[Arrow]) -> None:
    """Keep the folded neurons of a layer, and the inputs of a model, in order.

    As all of them are joined to the same boxes, to dot any order is as good.
    """
    joined: dict[Box, list[str]] = {}
    for arrow in arrows:
        if arrow.head.path:
            joined.setdefault(arrow.head, []).append(arrow.tail.name)
            if arrow.tail.nodes[0].op is None and not arrow.tail.path:
                joined.setdefault(arrow.tail, []).append(arrow.head.name)
    columns: dict[tuple[str, ...], list[Box]] = {}
    for box, others in joined.items():
        columns.setdefault((*enclosing(box.path), *others), []).append(box)
    for boxes in columns.values():
        with graph.subgraph() as column:
            column.attr(rank="same")
            for above, below in pairwise(sorted(boxes, key=lambda box: box.place)):
                column.edge(above.name, below.name, style="invis")


def _write_box(graph: Graph, box: Box, roots: Sequence[Value], marks: Marks) -> None:
    if box.path:
        role, words = "module", f"{box.path}: {census(box.nodes)}"
        rows = [heading(box.path), *(line(part) for part in census(box.nodes).split(", "))]
    else:
        node = box.nodes[0]
        role, words = role_of(node, roots), in_words(node, roots)
        op = node.op.symbol if node.op is not None else ""
        label = marks.label(node)
        above = [heading(label, op)] if label or op else []
        rows = [*above, _number("data", short(node.data)), _number("grad", _short_gradient(node))]
    if box.hidden:
        more = f"{box.hidden}" if box.hidden < COUNTED else f"over {COUNTED - 1}"
        rows.append(line(f"<I>… {more} more</I>"))
        words += f"\nnodes that lead here from beyond the depth drawn: {more}"
    attributes = marks.box(box, {"tooltip": encoded(words), "class": role, **LOOKS[role].dot})
    graph.node(box.name, table(rows), **attributes)


def _write_arrow(
    graph: Graph, arrow: Arrow, derivatives: Sequence[float], ports: tuple[str, str], labelled: str, marks: Marks
) -> None:
    """`labelled`: a "label" has room of its own, for which dot puts a rank between every two; an "xlabel" has not."""
    tail, head, steps = arrow
    attributes: Attributes = {}
    marked, before, after = marks.arrow(arrow)
    if tail.nodes[-1].op is not None:
        attributes["weight"] = "4"  # the path of the computation is drawn straight, leaves join from the side
    if tail.path or head.path:
        attributes |= {"tailport": ports[0], "headport": ports[1], "penwidth": "0.6", "arrowsize": "0.4"}
    if len(steps) > 1:
        words = f"{len(steps)} edges from {_name_of_box(tail)} to {_name_of_box(head)}"
        attributes |= {"xlabel": f"×{len(steps)}", "penwidth": "1.2"}
    else:
        node, slot = steps[0]
        operand, derivative = node.parents[slot], derivatives[slot]
        words = f"d {name_of(node)} / d {name_of(operand)} = {derivative!r}"
        label = text(short(derivative))
        if operand.kind == CONSTANT:
            attributes["style"] = "dashed"
            if isnan(derivative):  # of x**2 by the 2, for one: nobody asks for it
                label = "–"
        if node.op is not None and not node.op.commutative and len(node.parents) > 1:
            name = slot_names(node.op, len(node.parents))[slot]
            words += f", operand {name} of {node.op.name}"
            label = f"<I>{text(name)}</I>: {label}"
        if not (tail.path or head.path):
            between = "<BR/>" if before and labelled == "xlabel" else ""  # narrow, as it may lie on a box
            attributes[labelled] = f"<{before}{between}{label}>"
    graph.edge(tail.name, head.name, tooltip=encoded(words + after), **attributes | marked)


def role_of(node: Value, roots: Sequence[Value]) -> str:
    """Which of the looks a node has.

    >>> role_of(Value(1.0, "w", kind="parameter"), []), role_of(Value(1.0, kind="constant"), [])
    ('parameter', 'constant')
    """
    if node.op is not None:
        return "result" if any(node is root for root in roots) else "operation"
    if node.kind == PARAMETER:
        return "parameter"
    return "constant" if node.kind == CONSTANT and not node.label else "input"


def name_of(node: Value) -> str:
    """What a sentence calls a node: its label, else the number of a constant, the operation, or the role."""
    if node.label.strip():
        return one_line(node.label, LONGEST)
    if node.op is not None:
        return node.op.name
    return short(node.data) if node.kind == CONSTANT else f"unnamed {role_of(node, ())}"


def in_words(node: Value, roots: Sequence[Value] = ()) -> str:
    """A node's title: what it is, its data and gradient in full precision, and what that gradient means.

    >>> x = Value(0.5, label="x"); y = x * -3; y.label = "y"; y.backward()
    >>> print(in_words(x))
    x: input
    data 0.5
    gradient -3.0: raising x a little lowers the output 3.0 times as much
    >>> in_words(y, [y]).splitlines()[0]
    'y: result, mul of x and -3.0'
    """
    role = role_of(node, roots)
    kind = [role] if role != "operation" else []
    if node.op is not None:
        shown = [name_of(operand) for operand in node.parents[:8]]
        rest = len(node.parents) - len(shown)
        last = f"{rest} more" if rest else shown.pop()
        kind.append(f"{node.op.name} of {', '.join(shown)}{' and ' if shown else ''}{last}")
    label = visible(node.label, keep="\n")
    what = f"{label}: {', '.join(kind)}" if label else ", ".join(kind)
    return f"{what}\ndata {node.data!r}\n{_gradient_in_words(node)}"


def _gradient_in_words(node: Value) -> str:
    if node.kind == CONSTANT:
        return "no gradient: it is constant"
    if node._grad is None:
        return "no gradient yet: no backward pass has reached it"
    return f"gradient {slope_in_words(node.grad, name_of(node), 'the output')}"


def slope_in_words(slope: float, node: str, output: str) -> str:
    """What a derivative means.

    >>> slope_in_words(-3.0, "x", "y")
    '-3.0: raising x a little lowers y 3.0 times as much'
    """
    if not isfinite(slope):
        return repr(slope)
    if slope == 0:
        return f"{slope!r}: raising {node} a little leaves {output} as it is"
    moves = "raises" if slope > 0 else "lowers"
    return f"{slope!r}: raising {node} a little {moves} {output} {abs(slope)!r} times as much"


def _short_gradient(node: Value) -> str:
    return "–" if node._grad is None or node.kind == CONSTANT else short(node._grad)


def slot_names(op: Op, count: int) -> Sequence[str]:
    """The names of a row's operands; those of a variadic row are numbered, from the names of its sequences.

    >>> from autograd import OPS
    >>> slot_names(OPS["affine"], 5)
    ['w0', 'w1', 'x0', 'x1', 'b']
    """
    if not op.variadic:
        return op.operands
    sequences = [name for name in op.operands if name.endswith("s")]
    length, uneven = divmod(count - (len(op.operands) - len(sequences)), max(len(sequences), 1))
    if uneven or not sequences:
        return [str(slot) for slot in range(count)]
    numbered = [[f"{n[:-1]}{i}" for i in range(length)] if n in sequences else [n] for n in op.operands]
    return [name for names in numbered for name in names]


def census(nodes: Sequence[Value]) -> str:
    """How many parameters and operations there are.

    >>> w = Value(1.0, "w", kind="parameter")
    >>> census([w, w * w])
    '1 parameter, 1 operation'
    """
    parameters = sum(node.kind == PARAMETER for node in nodes)
    operations = sum(node.op is not None for node in nodes)
    return f"{many(parameters, 'parameter')}, {many(operations, 'operation')}"


def many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def text(words: str) -> str:
    """Words as they stand in an HTML-like label of DOT."""
    return html.escape(words).replace("\\", "\\\\")


def table(rows: Iterable[str]) -> str:
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1">{"".join(rows)}</TABLE>>'


def _name_of_box(box: Box) -> str:
    return box.path or name_of(box.nodes[0])


def heading(label: str, symbol: str = "") -> str:
    name, operation = text(one_line(label, LONGEST)), text(visible(symbol))
    heading = f"<B>{name}</B> = {operation}" if name and operation else f"<B>{name or operation}</B>"
    return f'<TR><TD COLSPAN="2"><FONT POINT-SIZE="12">{heading}</FONT></TD></TR>'


def line(markup: str) -> str:
    return f'<TR><TD COLSPAN="2"><FONT POINT-SIZE="9">{markup}</FONT></TD></TR>'


def _number(name: str, number: str) -> str:
    return f'<TR><TD ALIGN="RIGHT"><FONT POINT-SIZE="9">{name} </FONT></TD><TD ALIGN="LEFT">{number}</TD></TR>'
