"""What eager.py measures, in the process that imports this: each entry of MEASURES gives rows of its table.

The garbage collector is on, as a user has it, except where bytes are counted. Times are medians over rounds in
which ours and the peer's run in turn; a ratio is the median over the rounds of the peer's time divided by ours.
"""

import copy
import gc
import os
import pickle
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from math import inf
from pathlib import Path
from timeit import Timer
from typing import Any

from peers import (
    PEERS,
    Chainrule,
    Engine,
    HundredSamples,
    Mixed,
    OneSample,
    OneSampleOfNn,
    Work,
    nodes_of,
    refuse_disagreement,
)

import autograd
from autograd import OPS, Op, Value
from autograd.node import become_leaf

MILLION = 1_000_000
# Processor time: on a shared machine others' turns on the CPU don't count. On Windows it is too coarse.
now = time.perf_counter if sys.platform == "win32" else time.process_time
AT_ONCE = 500  # nodes in a graph of one operation


@dataclass(frozen=True)
class Figure:
    """One row of the table."""

    name: str  # its bar's
    what: str
    unit: str
    ours: float
    peer: str = ""
    theirs: float | None = None
    times_faster: float | None = None
    parts: str = ""  # what `ours` is made of


@dataclass(frozen=True)
class Comparison:
    """A work that ours and a peer do in turn, `repeat` times a round."""

    name: str
    what: str
    work: type[Work]
    peer: str
    repeat: int
    unit: str = "ns a node"
    share: float = 1.0  # of the rounds, where one takes long

    def figure(self, ours: Engine, peer: Engine, rounds: int) -> Figure:
        """SystemExit, before anything is timed, if the two disagree."""
        refuse_disagreement(self.work, ours, peer)
        times = [
            (seconds(self.work, ours, self.repeat), seconds(self.work, peer, self.repeat))
            for _ in range(max(2, round(rounds * self.share)) + 1)
        ][1:]  # the first round warms up
        scale = 1e9 / nodes_of(self.work) if self.unit == "ns a node" else 1e6
        a, b = (statistics.median(column) * scale for column in zip(*times, strict=True))
        ratio = statistics.median([theirs / mine for mine, theirs in times])
        return Figure(self.name, self.what, self.unit, a, peer.name, b, ratio)


MLP, CHAIN = "MLP(2, [16, 16, 1]) of binary nodes", "chain of `*`, `exp`, `+`, `/`, `tanh`"
COMPARISONS = [
    Comparison("mlp", MLP, OneSample, "micrograd", 50),
    Comparison("samples", "the same, one loss over 100 samples", HundredSamples, "micrograd", 3, share=0.4),
    Comparison("nn", "the same MLP through `nn`, one sample", OneSampleOfNn, "micrograd", 50, "µs"),
    Comparison("xad-mlp", MLP, OneSample, "XAD", 50),
    Comparison("xad-chain", CHAIN, Mixed, "XAD", 50),
    Comparison("torch-mlp", MLP, OneSample, "PyTorch", 12),
    Comparison("torch-chain", CHAIN, Mixed, "PyTorch", 12),
]


def seconds(work: type[Work], engine: Engine, repeat: int) -> float:
    """The time of one step, forward and backward, the graph dropped; of leaves that are made anew before."""
    made = work(engine)
    engine.begin(made.leaves)
    step = engine.step
    gc.collect()
    try:
        start = now()
        for _ in range(repeat):
            step(made)
        return (now() - start) / repeat
    finally:
        engine.end()


def peer(name: str) -> Engine | None:
    """The engine of that name, None if it isn't installed."""
    try:
        return PEERS[name]()
    except ImportError:
        return None


def compare(comparison: Comparison, rounds: int) -> list[Figure]:
    against = peer(comparison.peer)
    return [] if against is None else [comparison.figure(Chainrule(), against, rounds)]


def chain(operations: int) -> Value:
    y = x = Value(0.5)
    for _ in range(operations // 2):
        y = y * x + x
    return y


def count_bytes(rounds: int) -> list[Figure]:
    """Bytes a node, and those left of a million when they are dropped. The collector rests: it has nothing to find."""
    chain(MILLION).backward()  # fills Python's free lists
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        y = chain(MILLION)
        built = tracemalloc.get_traced_memory()[0] / MILLION
        y.backward()
        passed = tracemalloc.get_traced_memory()[0] / MILLION
        del y
        left = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.enable()
    return [
        Figure("bytes", "memory of a binary node, after the reverse pass", "bytes", passed, parts=f"{built:.0f} built"),
        Figure("left", "memory left when a graph of a million nodes is dropped", "bytes", left),
    ]


STAGES = ("build", "backward", "deep copy", "pickle there and back", "free")


def stages(operations: int) -> list[float]:
    """The seconds that each of STAGES takes on a chain."""
    took: list[float] = []

    def timed(stage: Callable[[], Any]) -> Any:
        gc.collect()
        start = now()
        made = stage()
        took.append(now() - start)
        return made

    graph = [timed(lambda: chain(operations))]
    timed(graph[0].backward)
    timed(lambda: copy.deepcopy(graph[0]))
    timed(lambda: pickle.loads(pickle.dumps(graph[0])))
    timed(graph.clear)
    return took


def run_chain(rounds: int) -> list[Figure]:
    """A million nodes, as a user has the collector and, where there is gc_paused, with that. Three runs if short."""
    what = f"chain of a million nodes: {' + '.join(STAGES)}"
    figures = []
    contexts: list[tuple[str, str, Callable[[], Any]]] = [("chain", what, nullcontext)]
    if hasattr(autograd, "gc_paused"):
        contexts.append(("chain-paused", "the same in `autograd.gc_paused()`", autograd.gc_paused))
    for name, called, context in contexts:
        runs: list[list[float]] = []
        while not runs or (len(runs) < 3 and sum(map(sum, runs)) < 8):
            with context():
                runs.append(stages(MILLION))
        took = sorted(runs, key=sum)[len(runs) // 2]
        figures.append(Figure(name, called, "s", sum(took), parts=" + ".join([f"{t:.2f}" for t in took])))
    return figures


def time_import(rounds: int) -> list[Figure]:
    """Python started with `import autograd`, and with `pass`, in turn."""
    root = Path(autograd.__file__).parents[1]
    times: dict[str, list[float]] = {"pass": [], "import autograd": []}
    for _ in range(21):
        for code, took in times.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], cwd=root, check=True, env=os.environ)
            took.append(time.perf_counter() - start)
    bare, whole = (statistics.median(took[1:]) * 1e3 for took in times.values())
    what = "`python -c 'import autograd'`, more than `pass`"
    return [Figure("import", what, "ms", whole - bare, parts=f"{whole:.1f} − {bare:.1f}")]


def unchecked_leaf() -> type[Value]:
    """Value with an __init__ that sets the same fields in the same way, and checks nothing."""

    class Unchecked(Value):
        __slots__ = ()

        def __init__(self, data: Any, label: str = "", kind: str = "variable") -> None:
            become_leaf(self, data)
            self._label = label

    return Unchecked


def time_checks(rounds: int) -> list[Figure]:
    """What a user pays for checks: a call as users write it, against the same work without them."""
    names = {"gc": gc, "Value": Value, "Unchecked": unchecked_leaf(), "exp": autograd.exp, "affine": autograd.affine}
    names |= {"v": Value(0.5), "w": Value(2.0), "b": Value(0.1)}
    names |= {inputs: [Value(0.1 * i) for i in range(16)] for inputs in ("ws", "xs")}

    def in_turn(name: str, what: str, checked: str, bare: str) -> Figure:
        timers = [Timer(code, "gc.enable()", now, names) for code in (checked, bare)]  # a Timer turns it off
        times: list[list[float]] = []
        for _ in range(rounds + 1):
            gc.collect()
            times.append([timer.timeit(4000) / 4000 * 1e9 for timer in timers])
        a, b = (statistics.median(column) for column in zip(*times[1:], strict=True))
        return Figure(name, f"checks: {what or f'`{checked}`, less `{bare}`'}", "ns", a - b, parts=f"{a:.0f} − {b:.0f}")

    many = "`affine(ws, xs, b)` of 16 pairs, less `Value.apply_op(affine, (*ws, *xs, b))`"
    return [
        in_turn("check-leaf", "`Value(0.5)`, less an `__init__` without them", "Value(0.5)", "Unchecked(0.5)"),
        in_turn("check-number", "`v + 2.0`, which makes a constant, less `v + w`", "v + 2.0", "v + w"),
        in_turn("check-function", "", "exp(v)", "v.exp()"),
        in_turn("check-affine", many, "affine(ws, xs, b)", "Value.apply_op(affine, (*ws, *xs, b))"),
    ]


@dataclass(frozen=True)
class Timing:
    """One row of the table of operations, in ns."""

    call: str
    forward: float
    both: float


# How a user writes the rows that stand behind an operator.
OPERATORS = {"add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "truediv": "{} / {}", "pow": "{} ** {}"}
OPERATORS |= {"neg": "-{}", "abs": "abs({})"}


def call_of(op: Op) -> tuple[str, dict[str, Any]]:
    """A call as a user writes it, and the operands it names: inside the domain, ten in all for a variadic row."""
    if op.variadic:
        many = [name for name in op.operands if name.endswith("s")]
        given: dict[str, Any] = {
            name: [Value(0.1 + 0.05 * i) for i in range(10 // len(many))] if name in many else Value(0.2)
            for name in op.operands
        }
        return f"{op.name}({', '.join(given)})", given
    given = {
        name: Value(_inside(low, high, 0.15 + 0.3 * place))
        for place, (name, (low, high)) in enumerate(zip(op.operands, op.domain, strict=True))
    }
    if op.operator in OPERATORS:
        return OPERATORS[op.operator].format(*given), given
    first, *rest = given
    return f"{first}.{op.name}({', '.join(rest)})" if op.required == 1 else f"{op.name}({', '.join(given)})", given


def _inside(low: float, high: float, place: float) -> float:
    if low == -inf:
        return min(high, 1.0) - place if high < inf else place
    return low + place * min(high - low, 1.0)


def _ns(call: Callable[[], Any]) -> float:
    start = now()
    call()
    return (now() - start) * 1e9


def time_operation(op: Op, rounds: int) -> Timing:
    """The time of one operation, the graph dropped: alone, and with the pass back over a sum of AT_ONCE of them."""
    call, operands = call_of(op)
    names = operands if op.operator in OPERATORS else {op.name: op} | operands
    nodes = eval(f"lambda: [{call} for _ in range({AT_ONCE})]", names)

    def backward() -> None:
        autograd.sum(nodes()).backward()

    count = len(nodes()[0].parents) if op.variadic else 1
    times: list[tuple[float, float]] = []
    for _ in range(rounds + 1):
        gc.collect()
        times.append((_ns(nodes), _ns(backward)))
    forward, both = (statistics.median(column) / AT_ONCE / count for column in zip(*times[1:], strict=True))
    return Timing(f"{call}, each of {count} operands" if op.variadic else call, forward, both)


def time_operations(rounds: int) -> list[Timing]:
    """Every row of the table."""
    return [time_operation(op, rounds) for op in OPS.values()]


Measure = Callable[[int], Iterable[Figure]]
MEASURES: dict[str, Measure] = {
    **{c.name: lambda rounds, c=c: compare(c, rounds) for c in COMPARISONS},
    "bytes": count_bytes,
    "chain": run_chain,
    "import": time_import,
    "checks": time_checks,
}
