"""Times the eager engine against micrograd's, forward and backward, and writes the table in eager.md.

    python -m pip install '.[bench]' && python benchmarks/eager.py

Both run in this process, in turn, on one pinned core, the garbage collector on as a user has it. Every
model computes the same output and gradients in both, which is checked before anything is timed. Figures are
medians; the ratio is the median over the rounds of micrograd's time divided by ours in the same round.
Then the memory that a graph of a million nodes takes and leaves behind.
"""

import argparse
import gc
import os
import platform
import random
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import micrograd.engine
import micrograd.nn

import autograd
import nn
from autograd.files import write_text
from autograd.graph import sort

SHAPE = (2, [16, 16, 1])
Row = tuple[str, float, float, float, str]


class BinaryNeuron:
    """micrograd's neuron, one node per product and per sum, on either engine's Values."""

    def __init__(self, value: Callable[[float], Any], weights: list[float], hidden: bool) -> None:
        self.w = [value(w) for w in weights]
        self.b = value(0.0)
        self.hidden = hidden

    def __call__(self, x: list[Any]) -> Any:
        net = sum((wi * xi for wi, xi in zip(self.w, x, strict=True)), self.b)
        return net.relu() if self.hidden else net


class BinaryMLP:
    """SHAPE of binary neurons, the same weights for every engine."""

    def __init__(self, value: Callable[[float], Any]) -> None:
        draw = random.Random(1)
        sizes = [SHAPE[0], *SHAPE[1]]
        self.layers = [
            [BinaryNeuron(value, [draw.uniform(-1, 1) for _ in range(n_in)], hidden=n_out != 1) for _ in range(n_out)]
            for n_in, n_out in pairwise(sizes)
        ]

    def __call__(self, x: list[Any]) -> Any:
        for layer in self.layers:
            x = [neuron(x) for neuron in layer]
        return x[0]

    def parameters(self) -> list[Any]:
        return [p for layer in self.layers for neuron in layer for p in (*neuron.w, neuron.b)]


def one_sample(model: Any, value: Callable[[float], Any]) -> Any:
    return model([value(0.3), value(-0.7)])


def hundred_samples(model: Any, value: Callable[[float], Any]) -> Any:
    draw = random.Random(2)
    rows = [([value(draw.uniform(-1, 1)), value(draw.uniform(-1, 1))], draw.choice((-1, 1))) for _ in range(100)]
    losses = [(1 + -label * model(x)).relu() for x, label in rows]
    return sum(losses) * (1.0 / len(losses))


def models_of_nn() -> tuple[Any, Any]:
    """An MLP of either library's nn with the same weights."""
    ours, theirs = nn.MLP(*SHAPE, seed=1), micrograd.nn.MLP(*SHAPE)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        q.data = p.data
    return ours, theirs


def step(model: Any, value: Callable[[float], Any], loss: Callable[..., Any]) -> Any:
    out = loss(model, value)
    out.backward()
    return out


def gradients_agree(ours: Any, theirs: Any, loss: Callable[..., Any]) -> Any:
    """Run both once; SystemExit unless output and every gradient agree to 1e-9."""
    outs = []
    for model, value in ((ours, autograd.Value), (theirs, micrograd.engine.Value)):
        for p in model.parameters():
            p.grad = 0
        outs.append(step(model, value, loss))
    pairs = [(outs[0].data, outs[1].data)]
    pairs += [(p.grad, q.grad) for p, q in zip(ours.parameters(), theirs.parameters(), strict=True)]
    worst = max(abs(a - b) / max(1.0, abs(a)) for a, b in pairs)
    if worst > 1e-9:
        sys.exit(f"the engines disagree by {worst:g}: nothing was timed")
    return outs[0]


def seconds(model: Any, value: Callable[[float], Any], loss: Callable[..., Any], repeat: int) -> float:
    start = time.perf_counter()
    for _ in range(repeat):
        step(model, value, loss)
    return (time.perf_counter() - start) / repeat


def compare(what: str, models: tuple[Any, Any], loss: Callable[..., Any], repeat: int, rounds: int, unit: str) -> Row:
    ours, theirs = models
    out = gradients_agree(ours, theirs, loss)
    operations = len(sort((out,))[1]) if unit == "node" else 1
    times: list[tuple[float, float]] = []
    for turn in range(rounds):
        gc.collect()
        a = seconds(ours, autograd.Value, loss, repeat)
        gc.collect()
        b = seconds(theirs, micrograd.engine.Value, loss, repeat)
        if turn:  # the first round warms up
            times.append((a, b))
    mine, peer = (statistics.median(t[i] for t in times) / operations * 1e9 for i in (0, 1))
    return what, mine, peer, statistics.median(b / a for a, b in times), unit


def chain(operations: int) -> Any:
    y = x = autograd.Value(0.5)
    for _ in range(operations // 2):
        y = y * x + x
    return y


def memory(operations: int = 1_000_000) -> tuple[float, float, int]:
    """Bytes a node, before and after the reverse pass, and bytes left when the graph is dropped, the collector off."""
    chain(operations).backward()  # fills Python's free lists
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        y = chain(operations)
        built = tracemalloc.get_traced_memory()[0]
        y.backward()
        passed = tracemalloc.get_traced_memory()[0]
        del y
        left = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.enable()
    return built / operations, passed / operations, left


def table(rows: list[Row], bytes_of_nodes: tuple[float, float, int]) -> str:
    lines = [
        "| forward and backward, pure Python | chainrule | micrograd | times faster |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| {what} | {a:,.0f} ns a {unit} | {b:,.0f} ns a {unit} | {ratio:.1f} |"
            for what, a, b, ratio, unit in rows
        ),
    ]
    python = f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}"
    built, passed, left = bytes_of_nodes
    lines += [
        "",
        f"`python benchmarks/eager.py`, {python}, one core; medians of runs in turn. A graph of a million nodes takes",
        f"{built:.0f} bytes a node, {passed:.0f} after the reverse pass; dropped, with the collector off, it leaves "
        f"{left:,} bytes in all (tracemalloc).",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=15, help="rounds timed (default 15)")
    parser.add_argument("--write", action="store_true", help="write the table to eager.md beside this file")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    binary = (BinaryMLP(autograd.Value), BinaryMLP(micrograd.engine.Value))
    rows = [
        compare("MLP(2, [16, 16, 1]) of binary nodes", binary, one_sample, 30, options.rounds + 1, "node"),
        compare("the same, one loss over 100 samples", binary, hundred_samples, 1, options.rounds + 1, "node"),
        compare("the same MLP through `nn`", models_of_nn(), one_sample, 30, options.rounds + 1, "sample"),
    ]
    text = table(rows, memory())
    print(text)
    if options.write:
        write_text(Path(__file__).with_suffix(".md"), text)


if __name__ == "__main__":
    main()
