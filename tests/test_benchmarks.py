"""The benchmark of eager code is sound: it times nothing that disagrees, and its tables say what was found."""

import math
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import autograd
from autograd import OPS, Op, Value

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
eager, measures, peers = (import_module(name) for name in ("eager", "measures", "peers"))

WRONG: dict[str, Callable[[float], float]] = {
    "off in the seventh digit": lambda g: g * (1 + 1e-6),
    "nan": lambda g: math.nan,
    "missing": lambda g: 0.0,
}


def engine(**changes: Any) -> Any:
    """Our engine, some of its methods changed."""
    return type("Changed", (peers.Chainrule,), {"name": "changed", **changes})()


def wrong_at_one_leaf(change: Callable[[float], float]) -> Any:
    """An engine that is right but for the largest gradient among its leaves."""

    def begin(self: Any, leaves: list[Any]) -> None:
        self.leaves = leaves

    def gradient(self: Any, leaf: Any) -> float:
        largest = max(self.leaves, key=lambda v: abs(v.grad))
        return change(leaf.grad) if leaf is largest else leaf.grad

    return engine(begin=begin, gradient=gradient)


WORKS = sorted({c.work for c in measures.COMPARISONS}, key=lambda work: work.__name__)
COMPARISONS = pytest.mark.parametrize("comparison", measures.COMPARISONS, ids=lambda c: c.name)
LARGE = {"PyTorch": pytest.mark.oracle}


@COMPARISONS
@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_comparison_stops_at_one_wrong_gradient(
    comparison: Any, change: Callable[[float], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measures, "seconds", lambda *_: pytest.fail("it was timed"))
    with pytest.raises(SystemExit, match=r"gradient of leaf \d+ is .*: nothing was timed"):
        comparison.figure(peers.Chainrule(), wrong_at_one_leaf(change), rounds=2)


@pytest.mark.parametrize("work", WORKS)
def test_a_wrong_output_stops_it_too(work: Any) -> None:
    with pytest.raises(SystemExit, match="the output is"):
        peers.refuse_disagreement(work, peers.Chainrule(), engine(data=lambda self, out: out.data + 1e-6))


@pytest.mark.parametrize("work", WORKS)
def test_engines_that_agree_go_on(work: Any) -> None:
    peers.refuse_disagreement(work, peers.Chainrule(), engine())


@pytest.mark.parametrize(
    "comparison",
    [pytest.param(c, marks=[LARGE[c.peer]] if c.peer in LARGE else [], id=c.name) for c in measures.COMPARISONS],
)
def test_the_peers_that_are_installed_agree_with_ours(comparison: Any) -> None:
    against = measures.peer(comparison.peer)
    if against is None:
        pytest.skip(f"{comparison.peer} is not installed")
    peers.refuse_disagreement(comparison.work, peers.Chainrule(), against)


def test_a_figure_has_the_times_a_node_and_the_median_of_the_ratios(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([9.0, 9.0, 1.0, 2.0, 1.0, 6.0, 2.0, 8.0])  # ours and the peer's; the first round warms up
    monkeypatch.setattr(measures, "seconds", lambda *_: next(times))
    comparison = measures.Comparison("a", "b", peers.Mixed, "changed", repeat=1)
    found = comparison.figure(peers.Chainrule(), engine(), rounds=3)
    assert (found.ours, found.theirs, found.times_faster) == (1e9 / 640, 6e9 / 640, 4.0)


def test_a_step_is_forward_and_backward() -> None:
    steps: list[Any] = []
    changed = engine(step=lambda self, work: steps.append(work()), end=lambda self: steps.append("end"))
    assert measures.seconds(peers.OneSample, changed, 3) > 0
    assert [type(step) for step in steps] == [Value, Value, Value, str]


@pytest.mark.parametrize(
    ("work", "nodes"), [(peers.OneSample, 640), (peers.HundredSamples, 64_500), (peers.Mixed, 640)]
)
def test_the_graphs_have_the_sizes_stated(work: Any, nodes: int) -> None:
    assert peers.nodes_of(work) == pytest.approx(nodes, rel=0.01)


def test_a_peer_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> Any:
        raise ModuleNotFoundError("No module named 'xad'")

    monkeypatch.setitem(peers.PEERS, "XAD", absent)
    (comparison,) = [c for c in measures.COMPARISONS if c.name == "xad-mlp"]
    assert measures.compare(comparison, rounds=1) == []


def test_a_chain_goes_through_every_stage() -> None:
    assert len(measures.stages(20)) == len(measures.STAGES)
    assert measures.chain(20).data == pytest.approx(1.0, abs=1e-2)


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_an_operation_is_timed_at_a_point_inside_its_domain(op: Op) -> None:
    call, operands = measures.call_of(op)
    node = eval(call, operands if op.operator else {op.name: op} | operands)
    numbers = [v.data for v in node.parents]
    assert node.op is op
    assert op.variadic or all([low < x < high for x, (low, high) in zip(numbers, op.domain, strict=True)])
    assert all(map(math.isfinite, [node.data, *op.derivatives(node.data, numbers)]))
    assert measures.time_operation(op, 1).both > 0


def test_a_leaf_without_checks_is_otherwise_the_same() -> None:
    bare = measures.unchecked_leaf()
    x, y = bare(3.0), Value(3.0)
    (x * x).backward()
    (y * y).backward()
    assert (x.grad, x.data, x.kind, x.label, x.op, x.parents) == (y.grad, y.data, y.kind, y.label, y.op, y.parents)
    with pytest.raises(ValueError, match="kind"):
        Value(3.0, kind="nonsense")
    assert bare(3.0, kind="nonsense").kind == "variable"


@pytest.mark.parametrize(
    ("bar", "mode", "reached", "said"),
    [
        (eager.Bar(3.5, 16), "pure", 3.5, " (bar 3.5)"),
        (eager.Bar(3.5, 16), "pure", 3.49, " (**bar 3.5: missed**)"),
        (eager.Bar(3.5, 16), "compiled", 15.0, " (**bar 16: missed**)"),
        (eager.Bar(180, 130, at_least=False), "pure", 176.0, " (bar 180)"),
        (eager.Bar(180, 130, at_least=False), "compiled", 131.0, " (**bar 130: missed**)"),
        (eager.Bar(None, 4, at_least=False), "pure", 20.0, ""),
    ],
)
def test_a_bar_judges(bar: Any, mode: str, reached: float, said: str) -> None:
    assert bar.judge(mode, reached) == said


def test_a_ratio_near_its_bar_shows_on_which_side_it_is() -> None:
    figure = vars(measures.Figure("xad-mlp", "an MLP", "ns a node", 700.0, "XAD", 690.0, 0.986))
    assert eager.cells(figure, "pure") == ["700 ns", "0.99 (**bar 1: missed**)"]


def test_every_bar_is_that_of_a_row() -> None:
    assert {c.name for c in measures.COMPARISONS} <= set(eager.BARS)
    assert set(eager.BARS) <= set(measures.MEASURES)


def a_run(times_faster: float, seconds: float) -> dict[str, Any]:
    figures = [
        measures.Figure("mlp", "an MLP", "ns a node", 700.0, "micrograd", 2600.0, times_faster),
        measures.Figure("chain", "a chain", "s", seconds, parts="1.00 + 2.00"),
        measures.Figure("left", "left", "bytes", 3216.0),
    ]
    operations = [
        measures.Timing("x + y", 200.4, 1234.0),
        measures.Timing("sum(values), each of 10 operands", 1.0, 2.0),
    ]
    return {"figures": [vars(f) for f in figures], "operations": [vars(t) for t in operations]}


def test_the_table_has_a_row_for_each_figure() -> None:
    head, *lines = eager.table({"pure": a_run(3.72, 20.0), "compiled": a_run(15.0, 3.0)}).splitlines()
    assert head.endswith("| peer | chainrule, pure | times faster | chainrule, compiled | times faster |")
    assert lines[:4] == [
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| an MLP, a node | micrograd 2,600 ns | 700 ns | 3.7 (bar 3.5) | 700 ns | 15.0 (**bar 16: missed**) |",
        "| a chain |  | 20.00 s: 1.00 + 2.00 |  | 3.00 s: 1.00 + 2.00 (bar 4) |  |",
        "| left |  | 3,216 bytes |  | 3,216 bytes |  |",
    ]


def test_the_table_without_a_compiled_core_says_so() -> None:
    text = eager.table({"pure": a_run(3.72, 20.0)})
    assert text.splitlines()[2] == "| an MLP, a node | micrograd 2,600 ns | 700 ns | 3.7 (bar 3.5) |"
    assert "The compiled core was not measured." in text


def test_the_notes_name_a_peer_that_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(eager.PEERS, "Absent", "a-distribution-that-is-not-installed")
    assert "left out: " in eager.table({"pure": a_run(4.0, 20.0)})
    assert "Absent" in eager.table({"pure": a_run(4.0, 20.0)}).rpartition("left out: ")[2]


def test_the_page_of_operations_has_a_row_for_each() -> None:
    assert eager.operations_page({"pure": a_run(4.0, 20.0)}).splitlines()[-4:] == [
        "| ns an operation | pure: forward | and backward |",
        "| --- | ---: | ---: |",
        "| `x + y` | 200 | 1,234 |",
        "| `sum(values)`, each of 10 operands | 1 | 2 |",
    ]


def test_a_run_with_the_other_core_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for compiled, asked, code in ((False, "compiled", eager.NOT_COMPILED), (True, "pure", 1)):
        monkeypatch.setattr(autograd, "COMPILED", compiled, raising=False)
        with pytest.raises(SystemExit) as stopped:
            eager.measure(asked, 1, ["left"])
        assert stopped.value.code == code
