"""`chainrule draw` as a person runs it: in a process of its own."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from autograd import sigmoid
from autograd.statements import evaluate

SIGMOID_NEURON = ["E = 0.5*(t - sigmoid(w*x + b))**2", "w=0.4", "x=0.6", "b=0.1", "t=0.01"]


def draw(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nn.cli", "draw", *argv], cwd=folder, capture_output=True, encoding="utf-8", timeout=300
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_picture_and_the_numbers(tmp_path: Path):
    done = draw(tmp_path, *SIGMOID_NEURON, "-o", "graph.svg")
    assert (done.returncode, done.stderr) == (0, "")
    # by hand: dE/dnet = (out - t) out (1 - out), and dE/dw = x dE/dnet
    out = sigmoid(0.4 * 0.6 + 0.1)
    delta = (out - 0.01) * out * (1 - out)
    expected = {"w": 0.6 * delta, "x": 0.4 * delta, "b": delta, "t": 0.01 - out, "E": 1.0}
    lines = [line.split() for line in done.stdout.splitlines()]
    assert {name: float(grad) for name, _, _, _, grad in lines[:-1]} == pytest.approx(expected, rel=1e-14)
    E = evaluate(SIGMOID_NEURON[0], w=0.4, x=0.6, b=0.1, t=0.01)["E"].data
    assert [f"{name}={data}" for name, _, data, _, _ in lines[:-1]] == [*SIGMOID_NEURON[1:], f"E={E!r}"]
    assert lines[-1] == ["wrote", "graph.svg"]
    picture = (tmp_path / "graph.svg").read_text(encoding="utf-8")
    assert picture.count('class="edge"') == 11
    for label in ("E", "w", "x", "b", "t", "σ"):
        assert f">{label}</text>" in picture
    assert names(tmp_path) == ["graph.svg"]


def test_the_gradient_is_that_of_the_last_statement(tmp_path: Path):
    done = draw(tmp_path, "y = x**2; z = 3*y; x*y", "x=2")
    assert done.stdout.splitlines() == [
        "x   = 2.0                     grad 12.0",
        "y   = 4.0                     grad 2.0",
        "z   = 12.0                    grad 0.0",
        "x*y = 8.0                     grad 1.0",
        "wrote graph.svg",
    ]


def test_svg_to_stdout(tmp_path: Path):
    done = draw(tmp_path, *SIGMOID_NEURON, "-o", "-")
    assert done.returncode == 0
    ElementTree.fromstring(done.stdout)
    assert done.stderr.startswith("w = 0.4 ")
    assert len(done.stderr.splitlines()) == 5
    assert not names(tmp_path)


@pytest.mark.parametrize(("suffix", "first"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("dot", b"// Computation")])
def test_formats(tmp_path: Path, suffix: str, first: bytes):
    assert draw(tmp_path, *SIGMOID_NEURON, "-o", f"graph.{suffix}").returncode == 0
    assert (tmp_path / f"graph.{suffix}").read_bytes().lstrip().startswith(first)
    assert len(names(tmp_path)) == 1


def test_depth_shows_the_end_of_a_large_graph(tmp_path: Path):
    text = f"sum([{', '.join(['x*x'] * 3000)}]) + x"
    done = draw(tmp_path, text, "x=2")
    assert done.returncode == 2
    assert "--depth" in done.stderr
    assert not names(tmp_path)
    assert draw(tmp_path, text, "x=2", "--depth", "1").returncode == 0


def test_letters_beyond_ascii(tmp_path: Path):
    done = draw(tmp_path, "η = σ*2", "σ=1.5", "-o", "grün.svg")
    assert done.returncode == 0
    assert "η = 3.0" in done.stdout
    assert "η" in (tmp_path / "grün.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["E = 0.5*(t - sigmod(x))", "x=1", "t=0"], "statements, column 14, at 'sigmod(x))': 'sigmod' is not"),
        (["y = x\n z = q", "x=1"], "statements, line 2, column 5, at 'q': the name 'q' has no value; "),
        (["f.system('touch pwned')"], "statements, column 1, at \"f.system('touch pwned')\": this is not"),
        (["", "x=1"], "statements, column 1, at '': no statement; expected one"),
        (["9" * 10_000], "statements, column 1, at "),
        (["(" * 20_000], "statements, column 201, at "),
        (["x" + "**x" * 10_000, "x=1"], "statements, column 1, at 'x**x**x**x**x**x**x**x**x**x**': nested too deep"),
        (["E", "=", "x"], "'=': expected a number"),
        (["x", "x"], "'x': expected NAME=VALUE, such as w=0.4"),
        (["x", "x=abc"], "'x=abc': expected a number, such as x=0.4, got 'abc'"),
        (["x", "x=1", "x=2"], "'x=2': x was given a value already"),
        (["x", "a b=1"], "'a b' cannot be given a value"),
        (["x", "x=1", "-o", "graph.jpg"], "-o graph.jpg: expected a name that ends in .svg, .png, .dot"),
        (["x", "x=1", "-o", "graph"], "-o graph: expected a name that ends in"),
        (["x", "x=1", "-o", "none/graph.svg"], "-o none/graph.svg: cannot be written (No such file or directory)"),
        (["x", "x=1", "-o", "none/graph.png"], "-o none/graph.png: cannot be written (No such file or directory)"),
        (["x", "x=1", "-o", "folder.svg"], "-o folder.svg: cannot be written (Is a directory)"),
        (["x", "x=1", "-o", "folder.png"], "-o folder.png: cannot be written (Is a directory)"),
        (["x", "x=1", "--depth", "-1"], "depth is a whole number"),
        (["x", "x=1", "--depth", "a"], "argument --depth: invalid int value: 'a'; see chainrule draw --help"),
        ([], "the following arguments are required: STATEMENTS; see chainrule draw --help"),
        (["x", "--wrong"], "unrecognized arguments: --wrong; see chainrule --help"),
    ],
    ids=lambda case: str(case)[:30],
)  # fmt: skip
def test_errors_are_one_line_and_nothing_is_written(tmp_path: Path, argv: list[str], message: str):
    for name in ("folder.svg", "folder.png"):
        (tmp_path / name).mkdir()
    done = draw(tmp_path, *argv)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"chainrule: error: {message}")
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("\n")
    assert names(tmp_path) == ["folder.png", "folder.svg"]
    assert not names(tmp_path / "folder.svg")
