"""The paths of one derivative, in colour on the graph that they lead through.

>>> from autograd import Value, explain
>>> x = Value(3.0, label="x")
>>> a, b = x * x, x.exp()
>>> a.label, b.label = "a", "b"
>>> y = a * b
>>> y.label = "y"
>>> graph = draw_paths(explain(y, x))
>>> [sum(colour in line for line in graph.body if "->" in line) for colour in COLOURS]
[2, 3, 0, 0, 0, 0]
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from ..explanation import Explanation, Path, counted
from ..floats import six
from ..value import Value
from .dot import Attributes, Marks, draw_marked, table, text
from .look import COLOURS, GREY, INK, LEGIBLE
from .outline import Arrow, Box
from .svg import Graph

_PALE = "90"  # how opaque, so that it pales towards white and towards black alike
_LONGEST = 150  # characters of a line in the legend


def draw_paths(explanation: Explanation, **options: Any) -> Graph:
    """The graph behind explanation.output, with the largest paths from wrt in colour, six at most.

    An arrow on several paths has a stroke for each. What lies on none is pale. The legend has each path with
    its product, and says how many are not drawn.

    Options, errors and what is returned are those of autograd.draw; TypeError for anything but an Explanation.

    >>> from autograd import explain
    >>> x = Value(3.0, label="x")
    >>> "⟨1⟩ ← x: 20.0855" in draw_paths(explain(x.exp(), x)).source
    True
    """
    if not isinstance(explanation, Explanation):
        raise TypeError(
            f"draw_paths takes an Explanation, got {type(explanation).__name__}; right: draw_paths(explain(E, w))"
        )
    return draw_marked([explanation.output], _Paths(explanation), **options)


class _Paths(Marks):
    """Worked out when first asked for: a graph too large to draw is refused before."""

    def __init__(self, explanation: Explanation) -> None:
        self.explanation = explanation

    @cached_property
    def paths(self) -> list[Path]:
        return self.explanation.paths[: len(COLOURS)]

    @cached_property
    def steps(self) -> dict[tuple[Value, int], set[int]]:
        """Which paths each arrow of the graph is on, as (node, slot)."""
        chain, found = self.explanation.chain, dict[tuple[Value, int], set[int]]()
        arrows = {edge: chain.arrows(edge) for path in self.paths for edge in path.edges}
        for place, path in enumerate(self.paths):
            for edge in path.edges:
                for step in arrows[edge]:
                    found.setdefault(step, set()).add(place)
        return found

    @cached_property
    def nodes(self) -> set[Value]:
        """All nodes on the paths, those that are contracted too."""
        return {x for node, slot in self.steps for x in (node, node.parents[slot])}

    @cached_property
    def named(self) -> set[Value]:
        return {node for path in self.paths for node in path.nodes}

    def label(self, node: Value) -> str:
        return self.explanation.names[node].text if node in self.named else node.label

    def box(self, box: Box, attributes: Attributes) -> Attributes:
        if not self.nodes.isdisjoint(box.nodes):
            return attributes
        return attributes | {name: attributes[name] + _PALE for name in ("fillcolor", "color", "fontcolor")}

    def arrow(self, arrow: Arrow) -> tuple[Attributes, str, str]:
        places = sorted({place for step in arrow.steps for place in self.steps.get(step, ())})
        if not places:
            return {"color": GREY + _PALE, "fontcolor": INK + _PALE, "penwidth": "0.5", "arrowsize": "0.4"}, "", ""
        numbers = [_coloured(f"<B>{_numeral(place)}</B>", COLOURS[place]) + " " for place in places]
        words = [f"\non path {place + 1}: {self.paths[place]}" for place in places]
        strokes = ":".join([COLOURS[place] for place in places])
        return {"color": strokes, "penwidth": "2", "arrowsize": "0.6"}, "".join(numbers), "".join(words)

    @property
    def legend(self) -> Attributes:
        return {"label": table(self._lines()), "labelloc": "b", "labeljust": "l"}  # in sight where a page scrolls

    def _lines(self) -> Iterator[str]:
        for place, path in enumerate(self.paths):
            yield _line(f"<B>{_numeral(place)}&#160;</B>", str(path), COLOURS[place])
        count, total = self.explanation.path_count, six(self.explanation.total)
        if count > 1:
            words = f"{self.explanation.partial(-1, 0).text} = {total}, the sum of {counted(count)} paths"
            if count > len(self.paths):
                words += f": the {len(self.paths)} largest are drawn, {counted(count - len(self.paths))} more are not"
            yield _line("Σ", words, LEGIBLE)


def _line(numeral: str, words: str, colour: str) -> str:
    if len(words) > _LONGEST:
        words = f"{words[: _LONGEST // 2]} … {words[-_LONGEST // 2 :]}"
    room = "&#160;" * words.count("←")  # which is wider than Graphviz takes it to be
    cells = "".join([f'<TD ALIGN="LEFT">{_coloured(cell, colour)}</TD>' for cell in (numeral, text(words) + room)])
    return f"<TR>{cells}</TR>"


def _numeral(place: int) -> str:
    return chr(ord("①") + place)


def _coloured(markup: str, colour: str) -> str:
    return f'<FONT COLOR="{colour}">{markup}</FONT>'
