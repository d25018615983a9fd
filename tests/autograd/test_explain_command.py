"""`chainrule explain` as a person runs it: in a process of its own."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from autograd import explain
from autograd.statements import evaluate

# M. Mazur, "A Step by Step Backpropagation Example" (2015)
NETWORK = """
    net_h1 = w1*x1 + w2*x2 + b1; out_h1 = sigmoid(net_h1); net_h2 = w3*x1 + w4*x2 + b1; out_h2 = sigmoid(net_h2)
    net_o1 = w5*out_h1 + w6*out_h2 + b2; out_o1 = sigmoid(net_o1)
    net_o2 = w7*out_h1 + w8*out_h2 + b2; out_o2 = sigmoid(net_o2)
    E = 0.5*(0.01 - out_o1)**2 + 0.5*(0.99 - out_o2)**2
"""
VALUES = {"w1": 0.15, "w2": 0.20, "w3": 0.25, "w4": 0.30, "w5": 0.40, "w6": 0.45, "w7": 0.50, "w8": 0.55}
VALUES |= {"x1": 0.05, "x2": 0.10, "b1": 0.35, "b2": 0.60}
ARGUMENTS = [NETWORK, *(f"{name}={value}" for name, value in VALUES.items())]


def run(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nn.cli", "explain", *argv]
    return subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", timeout=300)


def test_the_textbook_chain(tmp_path: Path):
    done = run(tmp_path, *ARGUMENTS, "--wrt", "w5")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:2] == [
        "∂E/∂w5 = ∂E/∂out_o1 · ∂out_o1/∂net_o1 · ∂net_o1/∂w5",
        "       = 0.741365 · 0.186816 · 0.593270 = 0.0821670",
    ]
    assert "∂out_o1/∂net_o1 = out_o1·(1 − out_o1) = 0.186816" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_inner_name(tmp_path: Path):
    done = run(tmp_path, *ARGUMENTS, "--wrt", "out_h1")
    assert done.stdout.splitlines()[0] == (
        "∂E/∂out_h1 = ∂E/∂net_o1 · ∂net_o1/∂out_h1 + ∂E/∂net_o2 · ∂net_o2/∂out_h1 = 0.055399 + -0.019049 = 0.036350"
    )


def test_latex(tmp_path: Path):
    done = run(tmp_path, *ARGUMENTS, "--wrt", "w5", "--latex")
    names = evaluate(NETWORK, **VALUES)
    assert done.stdout == explain(names["E"], names["w5"]).latex + "\n"


def test_a_picture_beside_the_text(tmp_path: Path):
    done = run(tmp_path, *ARGUMENTS, "--wrt", "w1", "-o", "picture.svg")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("∂E/∂w1 = ") and done.stdout.endswith("wrote picture.svg\n")
    picture = (tmp_path / "picture.svg").read_text(encoding="utf-8")
    ElementTree.fromstring(picture)
    assert picture != run(tmp_path, *ARGUMENTS, "--wrt", "w5", "-o", "-").stdout


def test_a_picture_to_stdout(tmp_path: Path):
    done = run(tmp_path, *ARGUMENTS, "--wrt", "w1", "-o", "-")
    assert done.returncode == 0
    ElementTree.fromstring(done.stdout)
    assert done.stderr.startswith("∂E/∂w1 = ")


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["y = x**2", "x=2"], "the following arguments are required: --wrt"),
        (["y = x**2", "x=2", "--wrt", "xx"], "--wrt xx: expected one of the names x, y; did you mean 'x'?"),
        (["y = x**2; z = 3*a", "x=2", "a=1", "--wrt", "x"], "z, the last of the statements, does not depend on x"),
        (["y = x**2; z = 3", "x=2", "--wrt", "x"], "z, the last of the statements, has no operation in it"),
        (["y = x**2; x", "x=2", "--wrt", "x"], "x, the last of the statements, has no operation in it"),
        (["y = x**", "x=2", "--wrt", "x"], "column"),
        (["y = x**2", "x=2", "--wrt", "x", "-o", "a.jpg"], "expected a name that ends in .svg, .png, .dot"),
        (["y = x**2", "x=2", "--wrt", "x", "-o", "no/such/folder.svg"], "cannot be written"),
    ],
)
def test_what_cannot_be_explained_takes_one_line(tmp_path: Path, argv: list[str], expected: str):
    done = run(tmp_path, *argv)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("chainrule: error: ") and done.stderr.count("\n") == 1
    assert expected in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_derivative_by_itself_is_one(tmp_path: Path):
    done = run(tmp_path, "y = x**2", "x=2", "--wrt", "y")
    assert done.stdout == "∂y/∂y = 1\n"
