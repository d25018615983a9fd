"""From DOT to a finished SVG, without a system Graphviz.

>>> graph = Graph(format="svg")
>>> graph.node("a", tooltip=encoded("a < b & \\\\N"))
>>> "<title>a &lt; b &amp; \\\\N</title>" in graph.pipe(encoding="utf-8")
True
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement

import graphviz

from .look import FONT, FONTS, night

_SVG = "http://www.w3.org/2000/svg"
_XLINK_TITLE = "{http://www.w3.org/1999/xlink}title"

STYLE = f"""
.chainrule :is(.edge, .cluster) text {{ paint-order: stroke; stroke: #ffffffc0; stroke-width: 3px }}
{night()}
"""


class RendererNotFoundError(graphviz.ExecutableNotFound):  # type: ignore[misc]  # graphviz has no types
    """Neither the program of graphviz-pure nor a `dot` is installed."""

    def __init__(self) -> None:
        RuntimeError.__init__(
            self,
            "no program to lay out the graph; right: pip install graphviz-pure, or install Graphviz "
            "(https://graphviz.org/download/) with its `dot` on PATH. The graph's .source holds the DOT text",
        )


class Graph(graphviz.Digraph):  # type: ignore[misc]  # graphviz has no types
    """A graphviz.Digraph laid out by the program that comes with graphviz-pure, else by a `dot` on PATH.

    Its SVG has a title in words on every node and edge, suits light and dark pages, and can be put into an
    HTML page beside others. `pipe`, `render`, `save`, `source` and display in Jupyter are those of
    graphviz.Digraph. Raises RendererNotFoundError, a graphviz.ExecutableNotFound, where there is neither program;
    in Jupyter the DOT text is then shown.
    """

    def __repr__(self) -> str:
        return f"<{self.comment}>"

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None, **options: Any
    ) -> dict[str, bytes | str]:
        try:
            bundle: dict[str, bytes | str] = super()._repr_mimebundle_(include, exclude, **options)
            return bundle
        except RendererNotFoundError:
            return {"text/plain": self.source}

    # The three ways in which graphviz.Digraph reaches for `dot`, whose name it has hard-coded.

    def _pipe_lines(
        self, engine: str, format: str, input_lines: Iterable[str], *, input_encoding: str, **options: Any
    ) -> bytes:
        return _rendered("".join(input_lines), engine, format, **options)

    def _pipe_lines_string(
        self, engine: str, format: str, input_lines: Iterable[str], *, encoding: str, **options: Any
    ) -> str:
        return _rendered("".join(input_lines), engine, format, **options).decode(encoding)

    def _render(
        self,
        engine: str,
        format: str,
        filepath: str,
        *,
        outfile: str | os.PathLike[str] | None = None,
        raise_if_result_exists: bool = False,
        overwrite_filepath: bool = False,
        **options: Any,
    ) -> str:
        suffixes = [s for s in (options.get("formatter"), options.get("renderer"), format) if s]
        target = Path(outfile or ".".join([filepath, *suffixes]))
        if raise_if_result_exists and target.exists():
            raise graphviz.FileExistsError(f"output file exists: {str(target)!r}")
        if not overwrite_filepath and target.resolve() == Path(filepath).resolve():
            raise ValueError(
                f"outfile {str(target)!r} must be different from the DOT file; give another, as in 'g.svg'"
            )
        target.write_bytes(_rendered(self.source, engine, format, **options))
        return str(target)


def encoded(words: str) -> str:
    """Words as a DOT tooltip that the finished SVG has as title, letter by letter.

    Graphviz reads backslashes and entities in a tooltip, and rewrites white space: so they are written as
    entities, and the & of entities as another.
    """
    entities = re.sub(r"[&<>\\\s]", lambda m: f"&#{ord(m[0])};" if m[0] != " " else " ", words)
    entities = re.sub("(?<= ) ", "&#32;", entities)
    return graphviz.nohtml(entities.replace("&", "&amp;"))  # type: ignore[no-any-return]


def _rendered(
    dot: str,
    engine: str,
    format: str,
    *,
    renderer: str | None = None,
    formatter: str | None = None,
    neato_no_op: bool | int | None = None,
    quiet: bool = False,
) -> bytes:
    """The picture. What the program says on stderr is kept for a failure: it warns of every letter beyond ASCII."""
    output = ":".join([name for name in (format, renderer, formatter) if name])
    command = [_program(), f"-K{engine}", f"-T{output}"]
    if neato_no_op:
        command.append(f"-n{neato_no_op:d}")
    window = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # Windows would flash a console
    done = subprocess.run(command, input=dot.encode(), capture_output=True, creationflags=window)
    if done.returncode:
        raise graphviz.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return finished(done.stdout.decode()).encode() if output == "svg" else done.stdout


def _program() -> str:
    beside = os.pathsep.join([str(Path(sys.executable).parent), sysconfig.get_path("scripts")])
    found = shutil.which("graphviz-pure", path=beside) or _installed() or shutil.which("graphviz-pure")
    found = found or shutil.which("dot")
    if found is None:
        raise RendererNotFoundError
    return found


def _installed() -> str | None:
    """The program as the installed distribution lists it: pip's --user and --target put it elsewhere."""
    try:
        listed = files("graphviz-pure") or []
    except PackageNotFoundError:
        return None
    programs = [Path(str(f.locate())) for f in listed if f.stem == "graphviz-pure" and f.suffix in ("", ".exe")]
    return next((str(p) for p in programs if p.is_file()), None)


def finished(svg: str) -> str:
    """Graphviz's SVG with titles in words, styles for dark pages, and nothing that could clash in a page.

    Tooltips become titles, and the links that Graphviz wraps things in for them go; ids, comments and
    the background go too.
    """
    root = ElementTree.fromstring(svg)
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
        element.attrib.pop("id", None)
        if element.get("font-family", "").startswith(FONT):
            element.set("font-family", FONTS)
    for group in list(root.iter("g")):
        if "class" in group.attrib:
            _entitle(group)
    for graph in root.findall("g"):
        for element in graph.findall("title"):
            graph.remove(element)
            root.insert(0, element)
        for background in graph.findall("polygon"):
            graph.remove(background)
    style = SubElement(root, "style")
    style.text = STYLE
    root.attrib.update({"xmlns": _SVG, "class": "chainrule", "role": "img"})
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _entitle(group: Element) -> None:
    children: list[Element] = []
    title = Element("title")
    title.tail = "\n"
    for child in list(group):
        link = child.find("a") if child.tag == "g" else None
        if child.tag == "title":
            title.text = title.text or child.text
        elif link is not None and _XLINK_TITLE in link.attrib:
            title.text = re.sub(r"&#(\d+);", lambda m: chr(int(m[1])), link.attrib[_XLINK_TITLE])
            children += link
        else:
            children.append(child)
    group[:] = [title, *children]
