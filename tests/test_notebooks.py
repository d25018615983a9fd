"""The notebooks run, and say what is committed of them."""
# nbformat has hardly any types:
# mypy: disable-error-code="no-untyped-call"

import re
import runpy
import sys
from pathlib import Path
from time import perf_counter
from typing import Any
from xml.etree import ElementTree

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook, new_output

ROOT = Path(__file__).parent.parent
NAMES = [
    "01_expressions",
    "02_one_neuron_per_layer",
    "03_full_layers",
    "04_four_equations",
    "05_worked_example",
    "06_forward_and_backward_networks",
    "07_logistic_regression",
    "08_training_an_mlp",
    "09_second_order",
    "10_programs",
]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))

SECONDS = 60  # a notebook should take less than 20 on an idle machine; this one may be shared
BYTES = 1_000_000

SCRIPT = runpy.run_path(str(ROOT / "notebooks" / "execute.py"))
executed, METADATA = SCRIPT["executed"], SCRIPT["METADATA"]
TEXTS = ("text/plain", "text/latex", "text/markdown", "text/html")
MACHINE = re.compile(r"/home/|/root/|/Users/|/tmp/|/var/folders/|[A-Z]:\\+Users|\bFile <|ipykernel_\d")
PATHS = [path for path in (str(Path.home()), str(ROOT), sys.prefix) if path != "/"]
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")


def said(cell: Any) -> list[tuple[str, str]]:
    """What a cell shows: (kind, text) in turn. Pictures and what describes them have no text."""
    found: list[tuple[str, str]] = []
    for output in cell.outputs:
        if output.output_type == "stream":
            if found and found[-1][0] == output.name:  # how a stream is cut into pieces is chance
                found[-1] = (output.name, found[-1][1] + output.text)
            else:
                found.append((output.name, output.text))
            continue
        if output.output_type == "error":
            found.append(("error", output.ename))
            continue
        pictures = sorted(kind for kind in output.data if kind.startswith("image/"))
        found += [(kind, "") for kind in pictures]
        found += [(kind, output.data[kind]) for kind in TEXTS if kind in output.data and not pictures]
    if "varies" in cell.metadata.get("tags", []):
        return [(kind, "") for kind, _ in found]
    return [(kind, re.sub(r" at 0x[0-9a-fA-F]+", "", text)) for kind, text in found]


def differences(committed: Any, run: Any) -> list[str]:
    """What the committed notebook shows and a run does not, or the other way round: a line for each such cell."""
    return [
        f"cell {before.id}: committed {said(before)}, executed {said(after)}"
        for before, after in zip(committed.cells, run.cells, strict=True)
        if before.cell_type == "code" and said(before) != said(after)
    ]


def faults(text: str) -> list[str]:
    """What is wrong with a notebook as a file."""
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    found = []
    if notebook.metadata != METADATA:
        found.append(f"metadata: {dict(notebook.metadata)}")
    if len(text.encode()) >= BYTES:
        found.append(f"{len(text.encode()):,} bytes")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    counts = [cell.execution_count for cell in code]
    if counts != list(range(1, len(code) + 1)):
        found.append(f"not run from top to bottom: {counts}")
    for cell in notebook.cells:
        if set(cell.metadata) - {"tags"}:
            found.append(f"cell {cell.id}: metadata {dict(cell.metadata)}")
        shown = [cell.source]
        for output in cell.get("outputs", []):
            shown += [output.get("text", ""), *output.get("traceback", [])]
            shown += [x for kind, x in output.get("data", {}).items() if kind != "image/png"]
            if output.output_type == "error" or output.get("name") == "stderr":
                found.append(f"cell {cell.id}: {output.get('ename', 'something on stderr')}")
            svg = output.get("data", {}).get("image/svg+xml", "<svg/>")
            try:
                ElementTree.fromstring(svg)
            except ElementTree.ParseError as error:
                found.append(f"cell {cell.id}: SVG: {error}")
        for pattern in (MACHINE, TIMESTAMP):
            found += [f"cell {cell.id}: {match[0]!r}" for x in shown if (match := pattern.search(x))]
        found += [f"cell {cell.id}: {path}" for path in PATHS if path in "\n".join(shown)]
    return found


def test_all_are_there() -> None:
    assert [path.stem for path in NOTEBOOKS] == NAMES


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_says_what_is_committed(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    start = perf_counter()
    run = executed(notebook)
    assert perf_counter() - start < SECONDS
    assert differences(notebook, run) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_fit_to_be_committed(path: Path) -> None:
    assert faults(path.read_text(encoding="utf-8")) == []


def _notebook(*cells: Any) -> Any:
    return new_notebook(cells=list(cells), metadata=METADATA)


def _cell(source: str, *outputs: Any, count: int | None = 1, **metadata: Any) -> Any:
    return new_code_cell(source, id=f"c{count}", outputs=list(outputs), execution_count=count, metadata=metadata)


def _printed(text: str) -> Any:
    return new_output("stream", name="stdout", text=text)


def _displayed(**data: str) -> Any:
    kinds = {"plain": "text/plain", "latex": "text/latex", "svg": "image/svg+xml"}
    return new_output("display_data", data={kinds[kind]: x for kind, x in data.items()})


def test_a_wrong_output_is_noticed() -> None:
    result = new_output("execute_result", data={"text/plain": "0.5"}, execution_count=2)
    notebook = _notebook(
        _cell("import autograd\nprint(autograd.sigmoid(0.0))\nprint('twice')", _printed("0.5\ntwice\n")),
        _cell("autograd.sigmoid(0.0)", result, count=2),
        _cell("import random\nprint(random.random())", _printed("0.1\n"), count=3, tags=["varies"]),
    )
    run = executed(notebook)
    assert differences(notebook, run) == []
    assert faults(nbformat.writes(notebook)) == []

    result.data["text/plain"] = "0.6"
    assert [line[:7] for line in differences(notebook, run)] == ["cell c2"]
    notebook.cells[0].outputs[0].text = "0.5\nonce\n"
    assert [line[:7] for line in differences(notebook, run)] == ["cell c1", "cell c2"]
    notebook.cells[2].outputs = []
    assert len(differences(notebook, run)) == 3


def test_a_cell_that_raises_is_noticed() -> None:
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        executed(_notebook(_cell("1 / 0")))


def test_what_a_kernel_writes_stays_out_of_the_repository() -> None:
    before = set(ROOT.iterdir())
    source = "open('left.txt', 'w').close()\nimport sys\nprint(sys.executable)"
    run = executed(_notebook(_cell(source)))
    assert run.cells[0].outputs[0].text.strip() == sys.executable
    assert set(ROOT.iterdir()) == before


@pytest.mark.parametrize(
    ("before", "after", "differ"),
    [
        (_displayed(latex="$x$"), _displayed(latex="$x$"), False),
        (_displayed(latex="$x$"), _displayed(latex="$y$"), True),
        (_displayed(plain="<A at 0x7f01>"), _displayed(plain="<A at 0x7f02>"), False),
        (_displayed(plain="<A at 0x7f01>"), _displayed(plain="<B at 0x7f01>"), True),
        (_displayed(svg="<svg/>", plain="<Graph>"), _displayed(svg="<svg></svg>"), False),
        (_displayed(svg="<svg/>", plain="<Graph>"), _displayed(plain="<Graph>"), True),
        (_printed("x"), _printed("x"), False),
        (_printed("x"), _displayed(plain="x"), True),
    ],
)
def test_what_counts_as_a_difference(before: Any, after: Any, differ: bool) -> None:
    found = differences(_notebook(_cell("", before)), _notebook(_cell("", after)))
    assert bool(found) is differ


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        (_cell("x", count=2), "not run from top to bottom: [2]"),
        (_cell("x", count=None), "not run from top to bottom: [None]"),
        (_cell("open('/home/somebody/x')"), "'/home/'"),
        (_cell("x", _printed(f"{ROOT}")), str(ROOT)),
        (_cell("x", _printed("2024-05-06T07:08")), "2024-05-06T07:08"),
        (_cell("x", execution={"iopub.execute_input": ""}), "metadata"),
        (_cell("x", new_output("stream", name="stderr", text="a warning")), "stderr"),
        (_cell("x", _displayed(svg="<svg><g></svg>")), "SVG"),
        (_cell("x", _printed("x" * BYTES)), "bytes"),
    ],
)
def test_an_unfit_file_is_noticed(cell: Any, fault: str) -> None:
    assert fault in "\n".join(faults(nbformat.writes(_notebook(cell))))


def test_another_kernel_is_noticed() -> None:
    notebook = _notebook(_cell("x"))
    notebook.metadata.kernelspec = {"name": "julia", "display_name": "Julia", "language": "julia"}
    assert "julia" in "\n".join(faults(nbformat.writes(notebook)))
