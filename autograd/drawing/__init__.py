"""Computation graphs as pictures.

    draw(v)             the graph behind v, as a graphviz.Digraph that shows itself in Jupyter
    draw_paths(explanation)  the same, with the paths of one derivative in colour: explain(E, w).draw()
    draw_backward(v)    the reverse pass as a network of its own
    to_svg(v)           the graph behind v as SVG text, or what one of those returned
    save_svg(v, path)   the same in a file

No system Graphviz is needed. From graph to picture: `outline` decides what is shown, with `clusters`
saying which nodes make up a neuron; `dot` writes it in the DOT language, in the colours and shapes of
`look`; `svg` has it laid out and finishes the SVG.

>>> from autograd import Value
>>> x = Value(0.5, label="x")
>>> print(to_svg(x.tanh())[:4])
<svg
"""

import os
from typing import Any

from ..files import write_text
from .dot import Drawable, draw
from .paths import draw_paths
from .reverse import draw_backward
from .svg import Graph, RendererNotFoundError

__all__ = ["RendererNotFoundError", "draw", "draw_backward", "draw_paths", "save_svg", "to_svg"]


def to_svg(values: Drawable | Graph, **options: Any) -> str:
    """The picture of the graph behind one Value or several, as SVG text; options and errors as for draw.

    It also takes a picture that is drawn already: to_svg(draw_backward(E)), to_svg(explain(E, w).draw()).

    The text starts with `<svg`, so it can be put into a page as it is: its styles touch nothing else
    there, and it has no ids that could clash.

    >>> from autograd import Value
    >>> to_svg(Value(2.0, label="a") * 3).count('class="edge"')
    2
    """
    if isinstance(values, Graph) and options:
        raise TypeError(
            f"the picture is drawn already, without {', '.join(options)}; wrong: to_svg(draw(v), depth=2); "
            "right: to_svg(draw(v, depth=2))"
        )
    graph = values if isinstance(values, Graph) else draw(values, **options)
    svg: str = graph.pipe(format="svg", encoding="utf-8")
    return svg


def save_svg(values: Drawable | Graph, path: str | os.PathLike[str], **options: Any) -> None:
    """Write to_svg(values, **options) to a file, whole or not at all.

    Raises OSError, as open() would, if the folder is missing or cannot be written.

    >>> import pathlib, tempfile
    >>> from autograd import Value
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_svg(Value(2.0).exp(), pathlib.Path(folder, "graph.svg"))
    ...     print(pathlib.Path(folder, "graph.svg").read_text(encoding="utf-8")[:4])
    <svg
    """
    write_text(path, to_svg(values, **options))
