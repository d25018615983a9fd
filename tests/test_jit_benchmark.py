"""The benchmark of programs is sound: it times nothing that disagrees, and its tables say what was found."""

import math
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("llvmlite")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
jit, jit_peers = (import_module(name) for name in ("jit", "jit_peers"))


def ready(value: float = 2.0, gradient: Any = (1.0, -4.0), seconds: float = 1.0) -> Any:
    return jit_peers.Ready(lambda: (value, np.array(gradient)), lambda result: result, seconds)


def row(sides: dict[str, Any], **options: Any) -> Any:
    return jit.Row("a", "an MLP", lambda: {name: lambda side=side: side for name, side in sides.items()}, **options)


def test_the_table_has_a_row_for_each_figure() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "jit.py"), "--only", "mlp-1,mlp-100", "--peers", ""]
    done = subprocess.run(
        [*command, "--rounds", "1"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    head, rule, *rows, empty, versions = done.stdout.splitlines()[:6]
    assert head == "| value and gradient, one CPU | chainrule |"
    assert rule == "| --- | ---: |"
    assert [line.split(" | ")[0] for line in rows] == ["| 2-16-16-1 tanh, hinge, batch 1", "| the same, batch 100"]
    assert all(line.endswith(" µs |") for line in rows)
    assert not empty
    assert versions.startswith("`python benchmarks/jit.py`, ")


def test_what_is_unknown_is_refused() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "jit.py"), "--only", "mlp-1,nonsense"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 2
    assert "unknown: nonsense; expected some of mlp-1, mlp-100, " in done.stderr


def test_a_missed_bar_is_listed_with_its_reason() -> None:
    bars, why = {"jax": 0.5, "torch": 0.1}, {"jax": "no reason was needed", "torch": "it was too good"}
    figure = jit.Figure("an MLP", 4e-5, {"JAX": 1e-4, "PyTorch": 2e-4}, {"JAX": 0.4, "PyTorch": 0.2}, bars, why)
    lines = [
        jit.Line("met", "1.7", 1.7, 1.6, True, "no reason was needed"),
        jit.Line("threads", "1.5", 1.5, 1.6, True, "too few"),
    ]
    text = jit.table([figure], lines)
    assert "\nMissed:\n\n- an MLP, PyTorch: it was too good.\n- threads: too few.\n\n" in text
    assert "no reason" not in text
    assert "Missed" not in jit.table([jit.Figure("an MLP", 4e-5, {"JAX": 1e-4}, {"JAX": 0.4}, bars, why)], lines[:1])


@pytest.mark.parametrize(
    ("reached", "bar", "at_least", "said"),
    [
        (0.30, 0.30, False, "(bar <= 0.30)"),
        (0.301, 0.30, False, "(**bar <= 0.30: missed**)"),
        (math.nan, 0.30, False, "(**bar <= 0.30: missed**)"),
        (1 / 9000, 1 / 8000, False, "(bar <= 1/8,000)"),
        (1 / 7000, 1 / 8000, False, "(**bar <= 1/8,000: missed**)"),
        (1.7, 1.6, True, "(bar >= 1.60)"),
        (1.5, 1.6, True, "(**bar >= 1.60: missed**)"),
    ],
)
def test_a_bar_judges(reached: float, bar: float, at_least: bool, said: str) -> None:
    assert jit.judge(reached, bar, at_least) == said


def test_the_fastest_way_of_a_peer_is_judged() -> None:
    theirs = {"JAX": 1e-4, "JAX, `scan`": 1e-5, "PyTorch": 4e-3, "PyTorch, compiled": 2e-4}
    ratios = {"JAX": 0.4, "JAX, `scan`": 4.0, "PyTorch": 0.01, "PyTorch, compiled": 0.2}
    figure = jit.Figure("an MLP", 4e-5, theirs, ratios, {"jax": 0.5, "torch": 0.1})
    assert jit.cells(figure, ["JAX", "JAX, `scan`", "PyTorch", "PyTorch, compiled", "ddx-ad"]) == [
        "an MLP",
        "40.0 µs",
        "100 µs: 0.40 (bar <= 0.50)",
        "10.0 µs: 4.00",
        "4,000 µs: 0.010",
        "200 µs: 0.20 (**bar <= 0.10: missed**)",
        "",
    ]


def test_lines_of_ours_alone_are_judged() -> None:
    lines = [jit.Line("kernel", "0.700 s", 0.7, 0.6), jit.Line("two threads", "not measured: one CPU")]
    assert jit.table([], lines).splitlines()[2:4] == [
        "| kernel | 0.700 s (**bar <= 0.60: missed**) |",
        "| two threads | not measured: one CPU |",
    ]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (ready(value=2.00001), "the value is off"),
        (ready(value=math.nan), "the value is off by nan"),
        (ready(gradient=(1.0, -4.00001)), "the gradient is off"),
        (ready(gradient=(1.00001, -4.0)), "the gradient is off"),
        (ready(gradient=(math.nan, -4.0)), "the gradient is off by nan"),
        (ready(gradient=(1.0,)), "the gradient has the shape"),
    ],
)
def test_nothing_is_timed_that_disagrees(wrong: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "in_turn", lambda *_: pytest.fail("it was timed"))
    with pytest.raises(SystemExit, match=f"{said}.*: nothing was timed"):
        jit.figures(row({"ours": ready(), "JAX": wrong}, bars={"jax": 1.0}), 2, ["jax"], [])


def test_a_ratio_is_the_median_of_those_in_each_round(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = [{"ours": 1.0, "JAX": 2.0}, {"ours": 3.0, "JAX": 4.0}, {"ours": 9.0, "JAX": 9.0}, {"ours": 3.0}]
    monkeypatch.setattr(jit, "in_turn", lambda *_: turns)
    sides = {"ours": ready(seconds=0.1), "JAX": ready(seconds=4.0), "ddx-ad": ready()}
    calls, first = jit.figures(row(sides, bars={"jax": 0.5}, first_bars={"jax": 0.05}), 4, ["jax"], [])
    assert (calls.ours, calls.theirs, calls.ratios) == (3.0, {"JAX": 4.0}, {"JAX": 0.75})
    assert (first.ours, first.theirs, first.ratios, first.bars) == (0.1, {"JAX": 4.0}, {"JAX": 0.025}, {"jax": 0.05})


def test_what_is_slow_has_few_rounds_and_the_order_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[str] = []

    def seconds(call: Any, repeat: int) -> float:
        timed.append(call())
        return 1.0 if call() == "micrograd" else 1e-3

    monkeypatch.setattr(jit, "seconds", seconds)
    monkeypatch.setattr(jit, "repeats_of", lambda call: 1)
    taken = jit.in_turn({"ours": lambda: "ours", "micrograd": lambda: "micrograd"}, 5)
    assert [len(turn) for turn in taken] == [2, 2, 2, 1, 1]
    assert timed == ["ours", "micrograd", "micrograd", "ours", "ours", "micrograd", "ours", "ours"]


def test_a_peer_that_cannot_run_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> Any:
        raise ModuleNotFoundError("No module named 'jax'")

    def broken() -> Any:
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr(jit, "SLICE", 0.0)
    sides = {"ours": ready, "JAX": absent, "CasADi": broken}
    left_out: list[str] = []
    work = jit.Row("a", "an MLP", lambda: sides, {"jax": 1.0, "casadi": 1.0})
    (figure,) = jit.figures(work, 1, ["jax", "casadi"], left_out)
    assert figure.theirs == {}
    assert left_out == ["a with CasADi: RuntimeError: no compiler"]
    assert "Left out: a with CasADi: RuntimeError: no compiler." in jit.table([figure], [], left_out)


@pytest.mark.parametrize("work", [work for work in jit.ROWS if work.name not in ("digits", "deep-256", "float32")])
def test_every_bar_has_a_column(work: Any) -> None:
    judged = {jit.COLUMNS[side].peer for side in work.sides() if side != "ours" and jit.COLUMNS[side].judged}
    assert {*work.bars, *(work.first_bars or ())} <= judged <= {*jit.DISTRIBUTIONS}


def test_ours_is_read_in_the_order_of_the_peers() -> None:
    """A gradient of hinge by hand: of one layer, weights and then the bias of its neuron."""
    layers = [(np.array([[0.25, -0.5]]), np.array([0.125]))]
    side = jit.our_mlp(layers, "hinge", np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1, 1]))
    value, gradient = side.read(side.call())
    assert value == pytest.approx(((1 + 0.625) + (1 + 1.125)) / 2)
    assert gradient.tolist() == pytest.approx([-2.0, -3.0, -1.0])
