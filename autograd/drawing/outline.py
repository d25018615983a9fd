"""What a picture shows of a graph: which nodes, folded or not, and cut off how deep.

>>> from autograd import Value
>>> x = Value(2.0, label="x")
>>> picture = outline([(x * x).exp()])
>>> [box.name for box in picture.boxes]
['v0', 'v1', 'v2']
>>> [(arrow.tail.name, arrow.head.name, arrow.steps[0][1]) for arrow in picture.arrows]
[('v0', 'v1', 0), ('v0', 'v1', 1), ('v1', 'v2', 0)]
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..graph import topological_order
from ..value import Value
from .clusters import enclosing, neurons

COUNTED = 1000  # what a cut hides is counted up to here, since every cut has to be walked behind
ARROWS = 10  # so many arrows a box are laid out in reasonable time


class Box:
    """One thing in the picture: a node, or all the nodes of a module folded into one.

    place     of its first node in the topological order
    nodes     those it stands for, in topological order
    path      of the module it folds; "" if it is one node
    clusters  the paths of the clusters it is drawn in, outermost first
    hidden    how many boxes that lead here the depth limit hides, counted up to 1000
    """

    __slots__ = ("clusters", "hidden", "nodes", "path", "place")

    def __init__(self, place: int, nodes: list[Value], path: str, clusters: list[str]) -> None:
        self.place, self.nodes, self.path, self.clusters = place, nodes, path, clusters
        self.hidden = 0

    @property
    def name(self) -> str:
        """In DOT: never from a label, so labels are free to repeat and to say anything."""
        return f"v{self.place}"


class Arrow(NamedTuple):
    """From an operand to what is computed from it. Where an end is folded, all from the same tail to the same head."""

    tail: Box
    head: Box
    steps: list[tuple[Value, int]]  # the consumer and the operand's place in its parents, for each that it stands for


class Outline(NamedTuple):
    """Boxes in topological order, and the arrows between them in order of their heads and slots."""

    boxes: list[Box]
    arrows: list[Arrow]


def outline(roots: Sequence[Value], *, expand: bool = True, depth: int | None = None, max_nodes: int = 2000) -> Outline:
    """What a picture of the graph behind the roots shows.

    With expand=False each module is one box, but for a root, which always is a node of its own. With a
    depth, only boxes at most so many arrows from a root are shown. Raises ValueError if that makes more
    than max_nodes boxes, or more than ten times as many arrows.
    """
    order = topological_order(*roots)
    graph = _Boxes(order, roots, expand)
    if depth is None and graph.count > max_nodes:
        raise _too_large(f"{graph.count:,} nodes", max_nodes)

    distance = {graph[root]: 0 for root in roots}
    reached = list(distance)
    for box in reached:  # which grows as it is read
        if depth is None or distance[box] < depth:
            for tail, _, _ in graph.operands(box):
                if tail not in distance:
                    distance[tail] = distance[box] + 1
                    reached.append(tail)
    if len(reached) > max_nodes:
        raise _too_large(f"{len(reached):,} nodes", max_nodes)

    reached.sort(key=lambda box: box.place)
    arrows: list[Arrow] = []
    for box in reached:
        if distance[box] == depth:
            box.hidden = graph.count_behind(box, distance)
        arrows += graph.arrows_into(box, distance)
        if len(arrows) > ARROWS * max_nodes:
            raise _too_large(f"{len(reached):,} nodes with more than {ARROWS * max_nodes:,} edges", max_nodes)
    return Outline(reached, arrows)


def _too_large(size: str, max_nodes: int) -> ValueError:
    return ValueError(
        f"the picture would have {size}, over the limit of max_nodes={max_nodes:,}. Right: draw(..., expand=False) "
        "folds each neuron of a model to one box, draw(..., depth=3) shows what is near the result, "
        "draw(..., max_nodes=...) raises the limit"
    )


class _Boxes:
    """The box of each node, made when it is first asked for: a small part of a vast graph is cheap."""

    def __init__(self, order: list[Value], roots: Sequence[Value], expand: bool) -> None:
        self.place = {node: place for place, node in enumerate(order)}
        self.home = neurons(order)
        self.count = len(order)
        self.boxes: dict[Value, Box] = {}
        if not expand:
            kept, folded = set(roots), dict[str, list[Value]]()
            for node, path in self.home.items():
                if node not in kept:
                    folded.setdefault(path, []).append(node)
            for path, nodes in folded.items():
                self.boxes.update(dict.fromkeys(nodes, Box(self.place[nodes[0]], nodes, path, [])))
                self.count -= len(nodes) - 1
            self.home = {}

    def __getitem__(self, node: Value) -> Box:
        box = self.boxes.get(node)
        if box is None:
            path = self.home.get(node, "")
            clusters = [*enclosing(path), path] if path else []
            box = self.boxes[node] = Box(self.place[node], [node], "", clusters)
        return box

    def operands(self, box: Box) -> Iterator[tuple[Box, Value, int]]:
        """What leads into the box from outside: the operand's box, the consumer, the slot."""
        for node in box.nodes:
            for slot, operand in enumerate(node.parents):
                tail = self[operand]
                if tail is not box:
                    yield tail, node, slot

    def arrows_into(self, box: Box, shown: dict[Box, int]) -> list[Arrow]:
        arrows: dict[object, Arrow] = {}
        for tail, node, slot in self.operands(box):
            if tail in shown:
                pair = tail if tail.path or box.path else (tail, slot)
                arrows.setdefault(pair, Arrow(tail, box, [])).steps.append((node, slot))
        return list(arrows.values())

    def count_behind(self, box: Box, shown: dict[Box, int]) -> int:
        behind: dict[Box, None] = {}
        reached = [box]
        for at in reached:
            for tail, _, _ in self.operands(at):
                if tail not in shown and tail not in behind:
                    behind[tail] = None
                    reached.append(tail)
                    if len(behind) == COUNTED:
                        return COUNTED
        return len(behind)
