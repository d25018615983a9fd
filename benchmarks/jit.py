"""Times programs (autograd.jit) against JAX, PyTorch, micrograd, ddx-ad and CasADi at their best, and judges them.

    python -m pip install '.[jit,bench,oracles]' ddx-ad casadi scikit-learn && python benchmarks/jit.py

Pinned to one CPU, it runs ours and the peers' whole calls in turn, after a check that values and gradients agree. Then
it times what has no peer: the analysis of a graph, the building of the kernel, two threads. A peer that isn't installed
is left out. --write keeps the tables in jit.md, which the README quotes; --only mlp-1,threads measures those rows
alone, --peers jax,torch against those peers alone (or none: --peers "").
"""

import argparse
import gc
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from eager import lines_of, pin
from jit_peers import (
    INPUTS,
    LR,
    Array,
    Graph,
    Layers,
    Ready,
    casadi_dag,
    dag_of_values,
    ddx_dag,
    ddx_mlp,
    jax_mlp,
    jax_train,
    micrograd_mlp,
    random_dag,
    sizes_of,
    torch_mlp,
    torch_train,
)

import autograd
import nn

DISTRIBUTIONS = {"jax": "jax", "torch": "torch", "micrograd": "micrograd", "ddx": "ddx-ad", "casadi": "casadi"}
SLICE = 0.02  # seconds of calls of each side in a round, or one call
SLOW, FEW = 0.2, 3  # a call longer than this has so many rounds at most
CALLS = 50  # of one thread, then of two, as training has them: one soon after the other
LONG = 3  # seconds until the first result that are not spent again
LIMIT = 60  # seconds until the first result of a peer


class Column(NamedTuple):
    """A way to run a peer. A bar is for the fastest of those of the peer that are judged."""

    peer: str
    judged: bool = True


COLUMNS = {
    "JAX": Column("jax"),
    "JAX, `scan`": Column("jax", judged=False),
    "PyTorch": Column("torch"),
    "PyTorch, compiled": Column("torch"),
    "micrograd": Column("micrograd"),
    "ddx-ad": Column("ddx"),
    "CasADi": Column("casadi"),
    "CasADi, gcc": Column("casadi"),
}
Sides = dict[str, Callable[[], Ready]]  # "ours", and by the names of columns


@dataclass(frozen=True)
class Row:
    """What is timed, and how much of a peer's time ours may take: of its call, and until its first result."""

    name: str
    what: str
    sides: Callable[[], Sides]
    bars: dict[str, float] = field(default_factory=dict)
    first_bars: dict[str, float] | None = None  # None: the first result is no row of the table
    why: dict[str, str] = field(default_factory=dict)  # a bar is missed, by peers
    tolerance: float = 1e-9  # of values and gradients, relative to the largest entry


@dataclass
class Figure:
    """Medians over rounds: the seconds of a call, and ours divided by the peer's in the same round."""

    what: str
    ours: float
    theirs: dict[str, float]
    ratios: dict[str, float]
    bars: dict[str, float]
    why: dict[str, str] = field(default_factory=dict)

    def rival(self, peer: str) -> str | None:
        """The fastest of the ways of a peer that are judged."""
        return min([c for c in self.theirs if COLUMNS[c] == (peer, True)], key=self.theirs.__getitem__, default=None)

    def missed(self) -> Iterator[str]:
        """Of each bar that is missed, against whom, and why."""
        for peer, bar in self.bars.items():
            column = self.rival(peer)
            if column is not None and not is_met(self.ratios[column], bar):
                yield f"{self.what}, {column}" + (f": {self.why[peer]}" if peer in self.why else "")


@dataclass
class Line:
    """What is measured of ours alone."""

    what: str
    found: str
    reached: float | None = None
    bar: float | None = None
    at_least: bool = False
    why: str = ""

    def missed(self) -> Iterator[str]:
        if self.bar is not None and not is_met(self.reached or 0.0, self.bar, self.at_least):
            yield self.what + (f": {self.why}" if self.why else "")


# Our side, as a user writes it


def our_ready(make: Callable[[], Callable[[], Any]], read: Callable[[Any], tuple[float, Array]]) -> Ready:
    """Until the first result: tracing, analysis, and the kernel from its cache."""
    from autograd.programs import native

    native.function(False), native.function(True)  # they are in the cache
    native.function.cache_clear()
    start = time.perf_counter()
    call = make()
    call()
    return Ready(call, read, time.perf_counter() - start)


def in_order(program: Any, parameters: Sequence[Any], result: tuple[float, Array]) -> tuple[float, Array]:
    """A program's value and gradient in the order of these parameters, 0 for those it doesn't use."""
    places = {p: k for k, p in enumerate(parameters)}
    gradient = np.zeros(len(parameters))
    gradient[[places[p] for p in program.parameters]] = result[1]
    return result[0], gradient


def model_of(layers: Layers) -> tuple[nn.MLP, list[Any]]:
    """With these weights; and its parameters in the order of flatten."""
    sizes = sizes_of(layers)
    model, parameters = nn.MLP(sizes[0], sizes[1:], activation="tanh", seed=0), []
    for layer, (w, b) in zip(model.layers, layers, strict=True):
        for neuron, row, bias in zip(layer.neurons, w.tolist(), b.tolist(), strict=True):
            parameters += [*neuron.w, neuron.b]
            for p, x in zip([*neuron.w, neuron.b], [*row, bias], strict=True):
                p.data = x
    return model, parameters


def our_program(layers: Layers, loss: str, x: Array, **options: Any) -> tuple[Any, list[Any]]:
    loss_of = {"hinge": nn.hinge_loss, "mse": nn.mse_loss, "ce": nn.cross_entropy_loss}[loss]
    model, parameters = model_of(layers)
    return autograd.jit(lambda x, t: loss_of(model(x), t), dtype=x.dtype.name, **options), parameters


def our_mlp(layers: Layers, loss: str, x: Array, t: Array) -> Ready:
    program, parameters = our_program(layers, loss, x)
    t = t.astype(x.dtype)
    return our_ready(lambda: lambda: program.value_and_grad(x, t), lambda r: in_order(program, parameters, r))


def our_dag(graph: Graph, x: Array) -> Ready:
    f, parameters = dag_of_values(graph)
    program = autograd.jit(f)
    return our_ready(lambda: lambda: program.value_and_grad(x), lambda r: in_order(program, parameters, r))


def our_train(layers: Layers, x: Array, t: Array, optimizer: str, epochs: int) -> Ready:
    """The whole of fit, tracing and analysis included. The result: the last loss, the parameters."""

    model, parameters = model_of(layers)
    start = [p.data for p in parameters]

    def call() -> Any:
        for p, number in zip(parameters, start, strict=True):
            p.data = number
        descent = {"sgd": nn.SGD, "adam": nn.Adam}[optimizer](model.parameters(), lr=LR[optimizer])
        history = nn.fit(model, x, t, loss=nn.hinge_loss, optimizer=descent, epochs=epochs, progress=False)
        return history.loss, parameters

    return our_ready(lambda: call, lambda r: (r[0][-1], np.array([p.data for p in r[1]])))


# The work


def layers_of(sizes: Sequence[int], dtype: str = "float64") -> Layers:
    draw = np.random.default_rng(0)
    shapes = pairwise(sizes)
    return [
        ((draw.normal(size=(n_out, n_in)) / n_in**0.5).astype(dtype), (draw.normal(size=n_out) / 10).astype(dtype))
        for n_in, n_out in shapes
    ]


def random_batch(sizes: Sequence[int], loss: str, batch: int) -> tuple[Array, Array]:
    draw = np.random.default_rng(1)
    x = draw.uniform(-1, 1, (batch, sizes[0]))
    return x, draw.choice([-1.0, 1.0], batch) if loss == "hinge" else draw.normal(size=(batch, sizes[-1]))


def digits(batch: int, dtype: str = "float64") -> tuple[Array, Array]:
    from sklearn.datasets import load_digits

    x, t = load_digits(return_X_y=True)
    return np.ascontiguousarray(x[:batch] / 16, dtype=dtype), t[:batch].astype(np.int64)


def moons() -> tuple[Array, Array]:
    from importlib.resources import files

    text = files("nn").joinpath("datasets/moons.csv").read_text(encoding="utf-8")
    table = np.array([line.split(",") for line in text.split()[1:]], dtype=float)
    return np.ascontiguousarray(table[:, :2]), 2 * table[:, 2] - 1


def mlp(sizes: Sequence[int], loss: str, batch: int, dtype: str = "float64") -> Sides:
    layers = layers_of(sizes, dtype)
    x, t = digits(batch, dtype) if loss == "ce" else random_batch(sizes, loss, batch)
    work = layers, loss, x, t
    return {
        "ours": partial(our_mlp, *work),
        "JAX": partial(jax_mlp, *work),
        "PyTorch": partial(torch_mlp, *work, compiled=False),
        "PyTorch, compiled": partial(torch_mlp, *work),
        "micrograd": partial(micrograd_mlp, *work),
        "ddx-ad": partial(ddx_mlp, *work),
    }


@cache
def dag_of(nodes: int) -> Graph:
    return random_dag(nodes, seed=nodes)


def dag(nodes: int, batch: int) -> Sides:
    work = dag_of(nodes), np.random.default_rng(1).uniform(-1, 1, (batch, INPUTS))
    return {
        "ours": partial(our_dag, *work),
        "ddx-ad": partial(ddx_dag, *work),
        "CasADi": partial(casadi_dag, *work, compiled=False),
        "CasADi, gcc": partial(casadi_dag, *work),
    }


def training(optimizer: str) -> Sides:
    work = layers_of([2, 16, 16, 1]), *moons(), optimizer, 1000
    return {
        "ours": partial(our_train, *work),
        "JAX": partial(jax_train, *work),
        "JAX, `scan`": partial(jax_train, *work, scan=True),
        "PyTorch": partial(torch_train, *work, compiled=False, fused=True),
        "PyTorch, compiled": partial(torch_train, *work, fused=True),
    }


SMALL, DIGITS, DEEP = [2, 16, 16, 1], [64, 32, 10], [64, 128, 64, 10]
FIRST = {"ddx": 1 / 20}
COMPILED = {
    "torch": "`torch.compile` makes one C++ function of it, which takes less than half the time of the operations one "
    "by one that the bar was set for"
}
FITTED = {
    "jax": "of an epoch the kernel takes 17 µs, a third of it for tanh; the step 3 (SGD) or 5 (Adam), Python around "
    "them 2; and each call of fit begins with 1.6 ms of tracing, to see that nothing changed",
    **COMPILED,
}
LAYERS = "its layers and the gradients of their weights, two thirds of the time, run near the processor's peak in both"
ANALYSED = "passes in Python, over 5,000 nodes that have little in common: 40 % of the time is their grouping"
EMITTED = "two thirds of it is LLVM's, for 90 kB of machine code"
WOKEN = (
    "Python takes 16 µs a call, and the halves of the gradient go from one core's cache to the other's; at its best a "
    "call is 1.75 times faster, but one for which the other CPU has something else to do is no faster"
)
ROWS = [
    Row("mlp-1", "2-16-16-1 tanh, hinge, batch 1", partial(mlp, SMALL, "hinge", 1), {"jax": 0.30, "torch": 0.05}),
    Row(
        "mlp-100",
        "the same, batch 100",
        partial(mlp, SMALL, "hinge", 100),
        {"jax": 0.40, "torch": 0.08, "micrograd": 1 / 8000, "ddx": 0.20},
        why=COMPILED,
    ),
    Row(
        "mse-32",
        "64-32-10 tanh, MSE, batch 32",
        partial(mlp, DIGITS, "mse", 32),
        {"jax": 0.50, "torch": 0.10, "ddx": 0.15},
        why=COMPILED,
    ),
    Row(
        "digits",
        "64-32-10, cross entropy, batch 1797 (digits)",
        partial(mlp, DIGITS, "ce", 1797),
        {"jax": 0.80, "torch": 0.35},
    ),
    Row(
        "deep-256",
        "64-128-64-10, cross entropy, batch 256",
        partial(mlp, DEEP, "ce", 256),
        {"jax": 0.95, "torch": 0.50},
    ),
    Row(
        "float32",
        "64-32-10, cross entropy, batch 1797, float32",
        partial(mlp, DIGITS, "ce", 1797, "float32"),
        {"jax": 0.65},
        tolerance=1e-4,
        why={"jax": LAYERS},
    ),
    Row(
        "dag-1",
        "random graph of 5,000 nodes, batch 1",
        partial(dag, 5000, 1),
        {"ddx": 1.0, "casadi": 1.0},
        FIRST,
        {"ddx": ANALYSED},
    ),
    Row(
        "dag-1000",
        "the same, batch 1000",
        partial(dag, 5000, 1000),
        {"ddx": 1.0, "casadi": 1.0},
        FIRST,
        {"ddx": ANALYSED},
    ),
    Row(
        "sgd",
        "`nn.fit` of two moons, 1,000 epochs of SGD",
        partial(training, "sgd"),
        {"jax": 0.50, "torch": 0.10},
        why=FITTED,
    ),
    Row(
        "adam", "the same, of Adam", partial(training, "adam"), {"jax": 0.50, "torch": 0.10}, tolerance=1e-7, why=FITTED
    ),
]


# Against peers


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """TimeoutError after that, or when a call into C that takes longer returns."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def stop(*_: Any) -> None:
        raise TimeoutError(f"no result after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refuse_disagreement(row: Row, column: str, ours: tuple[float, Array], theirs: tuple[float, Array]) -> None:
    """SystemExit unless value and gradient are the same, but for rounding."""
    for what, x, y in zip(("value", "gradient"), ours, theirs, strict=True):
        a, b = np.atleast_1d(x), np.atleast_1d(y)
        if a.shape != b.shape or not len(a):
            sys.exit(f"{row.name}: the {what} has the shape {a.shape}, that of {column} {b.shape}: nothing was timed")
        off = float(np.abs(a - b).max() / max(np.abs(b).max(), sys.float_info.min))
        if not off <= row.tolerance:  # or is nan
            sys.exit(f"{row.name}: the {what} is off by {off:.1e} from that of {column}: nothing was timed")


def seconds(call: Callable[[], Any], repeat: int) -> float:
    """Of processor time, a call."""
    start = time.process_time()
    for _ in range(repeat):
        call()
    return (time.process_time() - start) / repeat


def repeats_of(call: Callable[[], Any]) -> int:
    """How many calls make a slice. They are its warm-up too."""
    repeat = 1
    while (took := seconds(call, repeat)) * repeat < SLICE / 2:
        repeat *= 2
    return max(1, round(SLICE / took))


def in_turn(calls: dict[str, Callable[[], Any]], rounds: int) -> list[dict[str, float]]:
    """The seconds of each in every round; what is slow is in a few of them."""
    repeats, taken = {name: repeats_of(call) for name, call in calls.items()}, []
    slow: set[str] = set()
    names = list(calls)
    for k in range(rounds):
        turn = [name for name in names[k % len(names) :] + names[: k % len(names)] if k < FEW or name not in slow]
        taken.append({name: seconds(calls[name], repeats[name]) for name in turn})
        slow |= {name for name, took in taken[-1].items() if took > SLOW and name != "ours"}
    return taken


def first_seconds(ready: Ready, make: Callable[[], Ready]) -> float:
    """Until the first result: the median of a few, where one does not take long."""
    again = [make().seconds for _ in range(FEW - 1)] if ready.seconds < LONG else []
    return statistics.median([ready.seconds, *again])


def figures(row: Row, rounds: int, peers: Sequence[str], left_out: list[str]) -> list[Figure]:
    """That of the calls, and that of the first results where it is wanted. What can't run is left out, with a note."""
    say(f"{row.name}: {row.what}")
    readies: dict[str, Ready] = {}
    sides = row.sides()
    wanted = {*row.bars, *(row.first_bars or ())}
    for column, make in sides.items():
        if column != "ours" and (COLUMNS[column].peer not in peers or COLUMNS[column].peer not in wanted):
            continue
        try:
            with time_limit(LIMIT):
                ready = make()
        except ImportError:
            continue  # the notes say so
        except Exception as error:
            if column == "ours":
                raise
            left_out.append(f"{row.name} with {column}: {type(error).__name__}: {str(error).partition(chr(10))[0]:.80}")
            say(f"  left out: {left_out[-1]}")
            continue
        say(f"  {column}: first result after {ready.seconds:.2f} s")
        readies[column] = ready
    results = {column: ready.read(ready.call()) for column, ready in readies.items()}
    for column, result in results.items():
        refuse_disagreement(row, column, results["ours"], result)
    gc.collect()
    gc.freeze()  # the collector has nothing to do with what others keep
    taken = in_turn({column: ready.call for column, ready in readies.items()}, rounds)
    gc.unfreeze()
    theirs, ratios = {}, {}
    for column in [*readies][1:]:
        both = [turn for turn in taken if column in turn]
        theirs[column] = statistics.median([turn[column] for turn in both])
        ratios[column] = statistics.median([turn["ours"] / turn[column] for turn in both])
    found = [Figure(row.what, statistics.median([turn["ours"] for turn in taken]), theirs, ratios, row.bars, row.why)]
    if row.first_bars is not None:
        first = {column: first_seconds(ready, sides[column]) for column, ready in readies.items()}
        ours = first.pop("ours")
        ratios = {column: ours / x for column, x in first.items()}
        found.append(Figure(f"{row.what}: the first result", ours, first, ratios, row.first_bars, row.why))
    return found


# Alone


def dense_of_nodes(sizes: Sequence[int]) -> Callable[[Any, Any], Any]:
    """The mean squared error of an MLP with tanh, a node for each product and each sum."""
    layers = [
        [([*map(autograd.Value, row)], autograd.Value(bias)) for row, bias in zip(w.tolist(), b.tolist(), strict=True)]
        for w, b in layers_of(sizes)
    ]

    def f(x: Any, t: Any) -> Any:
        for place, layer in enumerate(layers):
            x = [autograd.tanh(v) for v in x] if place else x
            x = [sum([w * v for w, v in zip(ws, x, strict=True)], b) for ws, b in layer]
        return sum([(v - target) ** 2 for v, target in zip(x, t, strict=True)]) * (1 / len(x))

    return f


def analysis(trace: Callable[[], Any]) -> tuple[int, float]:
    """The nodes, and the seconds from the traced graph to tables, the best of a few."""
    found = []
    for _ in range(3):
        gc.collect()
        stats = trace().stats()
        found.append(sum([stats["seconds"][stage] for stage in ("lower", "adjoint", "schedule")]))
    return stats["nodes"], min(found)


def analysis_lines(what: str, kinds: Sequence[tuple[str, Callable[[], Any], float | None]]) -> list[Line]:
    lines, rates = [], []
    for size, trace, bar in kinds:
        nodes, took = analysis(trace)
        rates.append(f"{nodes / took:,.0f} at {nodes:,}")
        if bar is not None:
            lines.append(Line(f"analysis of {what}, {size}: {nodes:,} nodes", f"{took:.3f} s", took, bar))
    return [*lines, Line(f"the same, nodes a second: {what}", "; ".join(rates))]


def analysis_mlp() -> list[Line]:
    def trace(sizes: Sequence[int]) -> Any:
        return autograd.jit(dense_of_nodes(sizes)).trace([0.0] * sizes[0], [0.0] * sizes[-1])

    sizes = {(64, 32, 10): 0.05, (64, 128, 64, 10): None, (64, 256, 128, 10): 0.6}
    kinds = [("-".join(map(str, s)), partial(trace, s), bar) for s, bar in sizes.items()]
    return analysis_lines("an MLP of binary nodes", kinds)


def analysis_dag() -> list[Line]:
    def trace(nodes: int) -> Any:
        return autograd.jit(dag_of_values(dag_of(nodes))[0]).trace([0.0] * INPUTS)

    sizes = {5_000: None, 25_000: None, 100_000: 2.0}
    return analysis_lines("a random graph", [(f"{n:,}", partial(trace, n), bar) for n, bar in sizes.items()])


def kernel() -> list[Line]:
    """Built, and from the cache: of float64, in processes of their own."""
    code = "from autograd.programs.native import function as f; k = f(False); print(int(k.built), k.seconds)"
    found: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            for cold in (True, False):
                environment = os.environ | {"CHAINRULE_CACHE": folder}
                said = subprocess.run(
                    [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
                )
                built, spent = said.stdout.split()
                if bool(int(built)) != cold:
                    sys.exit(
                        "the kernel was built with a full cache, or not with an empty one: did its sources change?"
                    )
                found[cold].append(float(spent))
    took = {cold: statistics.median(x) for cold, x in found.items()}
    return [
        Line("the kernel: built", f"{took[True]:.3f} s", took[True], 0.6, why=EMITTED),
        Line("the kernel: from its cache", f"{took[False]:.3f} s", took[False], 0.1),
    ]


def calls_in(limit: float) -> int:
    """How many calls of one thread, of what `threads` measures, end in that time."""
    x, t = digits(1797)
    program, count = our_program(layers_of(DIGITS), "ce", x)[0], 0
    t = t.astype(float)
    program.value_and_grad(x, t)
    end = time.perf_counter() + limit
    while time.perf_counter() < end:
        program.value_and_grad(x, t)
        count += 1
    return count


def processes() -> float:
    """How many times as much two processes do at once as one does: two threads can't do more."""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import jit; print(jit.calls_in(1.0))"

    def calls(count: int) -> int:
        running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(count)]
        return sum([int(process.communicate()[0]) for process in running])

    return calls(2) / calls(1)


def threads(rounds: int) -> list[Line]:
    """On whatever CPUs there are: before this process is pinned. In time that goes by."""
    what = "two threads, 64-32-10, cross entropy, batch 1797: times faster than one"
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) < 2:
        return [Line(what, "not measured: one CPU")]
    x, t = digits(1797)
    programs = [our_program(layers_of(DIGITS), "ce", x, threads=count)[0] for count in (1, 2)]
    calls = [partial(program.value_and_grad, x, t.astype(float)) for program in programs]
    results = [call() for call in calls]
    if not np.allclose(results[0][1], results[1][1], rtol=1e-9, atol=1e-12):
        sys.exit("two threads give another gradient than one")
    taken: list[list[float]] = []
    for _ in range(max(rounds, 2)):
        taken.append([])
        for call in calls:
            start = time.perf_counter()
            for _ in range(CALLS):
                call()
            taken[-1].append((time.perf_counter() - start) / CALLS)
    one, two = (statistics.median(column) for column in zip(*taken, strict=True))
    faster = statistics.median([a / b for a, b in taken])
    text = f"{faster:.2f}: {number(one)} and {number(two)}; two processes: {processes():.2f}"
    return [Line(what, text, faster, 1.6, at_least=True, why=WOKEN)]


ALONE: dict[str, Callable[[], list[Line]]] = {
    "analysis-mlp": analysis_mlp,
    "analysis-dag": analysis_dag,
    "kernel": kernel,
}
NAMES = [*(row.name for row in ROWS), *ALONE, "threads"]


# The tables


def number(x: float) -> str:
    """Seconds with three digits, or whole ones."""
    unit, scale = ("µs", 1e6) if x < 1e-2 else ("ms", 1e3) if x < 1 else ("s", 1)
    x *= scale
    return f"{x:,.{2 if x < 10 else 1 if x < 100 else 0}f} {unit}"


def ratio_text(x: float) -> str:
    return f"1/{1 / x:,.0f}" if 0 < x < 0.01 else f"{x:.3f}" if x < 0.1 else f"{x:.2f}"


def is_met(reached: float, bar: float, at_least: bool = False) -> bool:
    return reached >= bar if at_least else reached <= bar  # nan misses


def judge(reached: float, bar: float, at_least: bool = False) -> str:
    """What the tables say of it."""
    met = is_met(reached, bar, at_least)
    text = f"bar {'>=' if at_least else '<='} {f'{bar:.2f}' if bar >= 0.01 else ratio_text(bar)}"
    return f"({text})" if met else f"(**{text}: missed**)"


def cells(figure: Figure, columns: Sequence[str]) -> list[str]:
    """Ours; then of each column its time, the ratio, and the bar where it is the fastest of a peer."""
    row = [figure.what, number(figure.ours)]
    for column in columns:
        if column not in figure.theirs:
            row.append("")
            continue
        peer, ratio = COLUMNS[column].peer, figure.ratios[column]
        text = f"{number(figure.theirs[column])}: {ratio_text(ratio)}"
        if peer in figure.bars and column == figure.rival(peer):
            text += " " + judge(ratio, figure.bars[peer])
        row.append(text)
    return row


def table(found: Sequence[Figure], lines: Sequence[Line], left_out: Sequence[str] = ()) -> str:
    """What the README quotes."""
    parts: list[str] = []
    if found:
        columns = [c for c in COLUMNS if any([c in figure.theirs for figure in found])]
        head = ["value and gradient, one CPU", "chainrule", *columns]
        parts += [*lines_of(head, [cells(figure, columns) for figure in found], 1), ""]
    if lines:
        rows = [
            [x.what, x.found + ("" if x.bar is None else f" {judge(x.reached or 0.0, x.bar, x.at_least)}")]
            for x in lines
        ]
        parts += [*lines_of(["chainrule alone", ""], rows, 1), ""]
    if missed := [text for x in [*found, *lines] for text in x.missed()]:
        parts += ["Missed:", "", *[f"- {text}." for text in missed], ""]
    return "\n".join([*parts, *notes(left_out)]) + "\n"


def notes(left_out: Sequence[str]) -> list[str]:
    versions, missing = [], []
    for distribution in ("numpy", "llvmlite", *DISTRIBUTIONS.values()):
        try:
            versions.append(f"{distribution} {version(distribution)}")
        except PackageNotFoundError:
            missing.append(distribution)
    python = f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}"
    core = f"the {'compiled' if autograd.COMPILED else 'pure'} core"
    lines = [
        f"`python benchmarks/jit.py`, {', '.join([python, core, *versions])}.",
        "Of a peer: the time of a whole call, compiled and warm, and ours divided by it. The same function, values",
        "and gradients; processor time, medians of runs in turn, the ratio taken in each round. A bar is what the row",
        "has to reach, against the faster where a peer has two ways. A first result includes tracing and compiling,",
        "our kernel coming from its cache. What is trained was trained before: a peer's step is compiled, and `nn.fit`",
        "finds the programs of the last fit to be the same.",
    ]
    if missing:
        lines.append(f"Not installed, and left out: {', '.join(missing)}.")
    return [*lines, *[f"Left out: {what}." for what in left_out]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=15, help="rounds timed (default 15)")
    parser.add_argument("--only", default="", help=f"rows, with commas: {', '.join(NAMES)}")
    parser.add_argument("--peers", default=",".join(DISTRIBUTIONS), help="with commas (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help="write jit.md beside this file")
    options = parser.parse_args()
    only, peers = ([x for x in given.split(",") if x] for given in (options.only, options.peers))
    for given, known in ((only, NAMES), (peers, DISTRIBUTIONS)):
        if unknown := [x for x in given if x not in known]:
            parser.error(f"unknown: {', '.join(unknown)}; expected some of {', '.join(known)}")
    if options.rounds < 1:
        parser.error("--rounds is 1 or more")
    if options.write and (only or len(peers) < len(DISTRIBUTIONS)):
        parser.error("--write keeps whole tables: leave --only and --peers out")
    wanted = only or NAMES
    last: list[Line] = []
    if "threads" in wanted:
        say("threads")
        last = threads(options.rounds)
    pin()
    left_out: list[str] = []
    lines: list[Line] = []
    for name in [name for name in ALONE if name in wanted]:  # before the peers, whose modules slow the collector
        say(name)
        lines += ALONE[name]()
    with tempfile.TemporaryDirectory() as folder, chdir(folder):  # CasADi leaves files where it compiles
        found = [x for row in ROWS if row.name in wanted for x in figures(row, options.rounds, peers, left_out)]
    text = table(found, lines + last, left_out)
    print(text, end="")
    if options.write:
        from autograd.files import write_text

        write_text(Path(__file__).with_name("jit.md"), text)


if __name__ == "__main__":
    main()
