"""Random programs over the whole table against the eager engine, on both machines, for both element types.

How far a program may be off is not guessed: beside each graph goes a bound of its error. An operation may be wrong by
`unit` of the sum of its |terms|, and by what it makes of its operands' errors: the most that its result, and its
partials in the reverse pass, change when these are off by as much as they may be. For float64 the unit is 1e-12. For
float32 it is 64 u, u = 2**-24 being its unit roundoff: no result here comes of a sum of more than 64 terms (a sum of
100 rows is one of at most 7 vectors, then of 16 lanes, then in float64), and one of n terms is wrong by n u at most.

Rows at which that bound is no number are replaced by others: those within their error of a jump to infinity or nan,
or where float32 overflows.
"""

import math
import os
from collections.abc import Callable, Sequence
from itertools import product
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pytest

import autograd
from autograd import OPS, Value, topological_order
from autograd.programs import Program, compilation
from autograd.programs.numpy_machine import NumpyMachine

# How many graphs, split into tests that can run side by side. Each meets one combination of batch, element type and
# machine, and each combination one graph of twenty.
COUNT, CHUNKS = int(os.environ.get("CHAINRULE_RANDOM_GRAPHS", "5000")), 10
BATCHES = (1, 7, 8, 9, 100)
DTYPES = ("float64", "float32")
MACHINES = ("native", "numpy")
COMBINATIONS = list(product(BATCHES, DTYPES, MACHINES))
DISTINCT = (
    9  # rows; a longer batch has them again and again, and each in every lane, for 9 and 8 have no factor in common
)
COMMON = ["add", "mul", "sub", "affine", "dot", "tanh"] * 4
NUMBERS = (0.0, 1.0, 2.0, -1.0, 0.5, 3.0)


class Precision(NamedTuple):
    """What an element type does to a result: relative error, numbers too large for it, numbers too small."""

    unit: float
    large: float
    tiny: float


PRECISIONS = {"float64": Precision(1e-12, 1e300, 2.0**-1022), "float32": Precision(64 * 2.0**-24, 1e36, 2.0**-126)}


class Unsettled(Exception):
    """A result that rounding errors can make something altogether different."""


class Graph:
    """A function of `width` inputs and some parameters: steps, each a row and its operands, numbers or places."""

    def __init__(self, random: Random, single: bool) -> None:
        self.width = random.randint(1, 4)
        number = (lambda: float(np.float32(random.uniform(-2, 2)))) if single else (lambda: random.uniform(-2, 2))
        self.parameters = [Value(number()) for _ in range(random.randint(0, 5))]
        self.steps: list[tuple[str, list[Any]]] = []
        count = self.width + len(self.parameters)
        names = [*OPS, *COMMON]

        def operand() -> Any:
            if random.random() < 0.12:
                return random.choice([*NUMBERS, number()])
            return random.randrange(max(0, count - 12) if random.random() < 0.7 else 0, count)

        for _ in range(random.choice([1, 3, 6, 12, 20])):
            op = OPS[name := random.choice(names)]
            size = random.randint(1, 5)
            total = {"dot": 2 * size, "affine": 2 * size + 1}.get(name, size) if op.variadic else op.count
            operands = [operand() for _ in range(total)]
            if all([type(x) is float for x in operands]):
                operands[0] = random.randrange(count)
            self.steps.append((name, operands))
            count += 1

    def __call__(self, inputs: Sequence[Any]) -> Any:
        found = [*inputs, *self.parameters]
        for name, operands in self.steps:
            xs = [x if type(x) is float else found[x] for x in operands]
            half = len(xs) // 2
            if name == "dot":
                found.append(OPS[name](xs[:half], xs[half:]))
            elif name == "affine":
                found.append(OPS[name](xs[:half], xs[half:-1], xs[-1]))
            else:
                found.append(OPS[name](xs) if OPS[name].variadic else OPS[name](*xs))
        return autograd.sum(found[-3:])


class Expected(NamedTuple):
    """The eager engine's numbers for a row, each with its bound: the value, then the derivatives."""

    row: list[float]
    value: tuple[float, float]
    inputs: list[tuple[float, float]]
    parameters: list[tuple[float, float]]


def same_kind(x: float, y: float) -> bool:
    """Both numbers, or both nan, or both the same infinity."""
    return x == y or (x != x and y != y) or (math.isfinite(x) and math.isfinite(y))


def spread(x: float, others: Sequence[float]) -> float:
    """How far the others are from x; Unsettled if some of them are finite and others not."""
    if not all([same_kind(x, y) for y in others]):
        raise Unsettled
    return max([abs(y - x) for y in others]) if math.isfinite(x) else 0.0


def bounded(op: Any, out: float, xs: list[float], errors: list[float], unit: float) -> tuple[float, list[Any]]:
    """The error of op's result, and its partials, each with its error."""
    partials = op.derivatives(out, xs)
    if op.name in ("add", "sub", "neg", "mul", "sum", "dot", "affine"):
        if not all(map(math.isfinite, [out, *xs])):
            return 0.0, [(d, 0.0) for d in partials]
        error = sum([(abs(d) + e) * e for d, e in zip(partials, errors, strict=True)])
        others: Sequence[float] = [0.0] * len(xs)
        if op.name == "mul":
            error, others = error + errors[0] * errors[1], errors[::-1]
        elif op.name in ("dot", "affine"):
            half = len(xs) // 2
            error += sum([a * b for a, b in zip(errors[:half], errors[half:], strict=False)])
            others = [*errors[half : 2 * half], *errors[:half], *[0.0] * (len(xs) % 2)]
        return error, list(zip(partials, others, strict=True))
    if op.name == "logsumexp":
        if not math.isfinite(out):
            raise Unsettled
        most = 4 * max(errors) + 4 * unit * (abs(out) + max(map(abs, xs)))
        return most, [(d, d * most) for d in partials]
    ends = [(x - e, x + e) if e else (x,) for x, e in zip(xs, errors, strict=True)]
    results, slopes = [], []
    for corner in product(*ends):
        result = op.evaluate(*corner)
        results.append(result)
        shift = unit * abs(result) if math.isfinite(result) else 0.0
        slopes.append(op.derivatives(result - shift if result < out else result + shift, corner))
    of_partials = [spread(d, found) for d, *found in zip(partials, *slopes, strict=True)]
    # The partials of gelu and silu are sums of terms near 1.
    return spread(out, results), [
        (d, e + unit * (1 + abs(d)) if d or e else 0.0) for d, e in zip(partials, of_partials, strict=True)
    ]


def expected(graph: Graph, row: list[float], precision: Precision) -> Expected:
    """What the eager engine finds for a row. Raises Unsettled."""
    unit, large, tiny = precision
    for x in graph.parameters:
        x.grad = 0.0
    inputs = [Value(x) for x in row]
    root = graph(inputs)
    order = topological_order(root)
    if root.kind != "constant":
        root.backward()
    errors: dict[Value, float] = {}
    slopes: dict[Value, list[Any]] = {}
    for node in order:
        if node.op is None:
            errors[node] = unit * abs(node.data) if math.isfinite(node.data) else 0.0
            continue
        xs = [x.data for x in node.parents]
        error, slopes[node] = bounded(node.op, node.data, xs, [errors[x] for x in node.parents], unit)
        errors[node] = error + unit * abs(node.data) + tiny if math.isfinite(node.data) else 0.0
        magnitudes = [abs(y) + e for y, e in [(node.data, errors[node]), (node.grad, 0.0), *slopes[node]]]
        if any([large < y < math.inf for y in magnitudes]):
            raise Unsettled
    back = dict.fromkeys([root, *inputs, *graph.parameters, *order], 0.0)
    for node in reversed(order):
        if node.op is None or root.kind == "constant":
            continue
        g, wrong = node.grad, back[node]
        for x, (d, e) in zip(node.parents, slopes[node], strict=True):
            term = g * d
            if math.isfinite(term):
                more = abs(g) * e + wrong * (abs(d) + e) + unit * abs(term)
                back[x] += more + tiny if term or more else 0.0
                if back[x] > large:
                    raise Unsettled
            elif (math.isinf(g) and e and abs(d) <= e) or (math.isinf(d) and wrong and abs(g) <= wrong):
                raise Unsettled  # infinity times what may be 0
    return Expected(
        row,
        (root.data, errors[root]),
        [(x.grad, back[x] + unit * abs(x.grad)) for x in inputs],
        [(x.grad, back[x] + unit * abs(x.grad)) for x in graph.parameters],
    )


def total(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The sum of numbers, with its bound."""
    return sum([x for x, _ in pairs]), sum([e for _, e in pairs if e == e])


def agree(found: float, pair: tuple[float, float]) -> bool:
    number, bound = pair
    if math.isfinite(number):
        return abs(found - number) <= bound
    return found == number or (found != found and number != number)


def check(seed: int, tally: dict[str, int]) -> str:
    """What is wrong with a program of that seed; "" if nothing."""
    batch, dtype, machine = COMBINATIONS[seed % len(COMBINATIONS)]
    random, precision = Random(seed), PRECISIONS[dtype]
    graph = Graph(random, dtype == "float32")
    found: list[Expected] = []
    for _ in range(min(batch, DISTINCT)):
        row = np.array([random.gauss(0.0, 1.0) for _ in range(graph.width)], dtype)
        try:
            found.append(expected(graph, row.tolist(), precision))
        except Unsettled:
            tally["unsettled"] += 1
    if random.random() < 0.7:  # nan would hide what else is in a sum
        found = [
            x for x in found if math.isfinite(x.value[0]) and all([math.isfinite(g) for g, _ in x.parameters])
        ] or found
    if not found:
        tally["empty"] += 1
        return ""
    rows = [found[i % len(found)] for i in range(batch)]
    X = np.array([x.row for x in rows], dtype)
    program = Program(graph, dtype)
    where = f"seed {seed}: {dtype}, {machine}, {batch} rows; {graph.steps}"
    mapped = program.map(X)
    if mapped.dtype != dtype or mapped.shape != (batch,):
        return f"{where}: map gave {mapped.dtype}, {mapped.shape}"
    for i, (x, row_expected) in enumerate(zip(mapped.tolist(), rows, strict=True)):
        if not agree(x, row_expected.value):
            return f"{where}: row {i} is {x}, not {row_expected.value}"
    value = total([x.value for x in rows])
    gradient = {x: total([y.parameters[k] for y in rows]) for k, x in enumerate(graph.parameters)}
    for x in graph.parameters:
        x.grad = 0.0
    if batch < 10 and random.random() < 0.5:
        tally["inputs"] += 1
        inputs = [[Value(x) for x in row.tolist()] for row in X]
        node = program.sum(inputs)
        if node.kind != "constant":
            node.backward()
        got, slopes = node.data, [x.grad for x in program.parameters]
        for i, (xs, row_expected) in enumerate(zip(inputs, rows, strict=True)):
            for x, pair in zip(xs, row_expected.inputs, strict=True):
                if not agree(x.grad, pair):
                    return f"{where}: the derivative by an input of row {i} is {x.grad}, not {pair}"
    else:
        got, slopes = program.value_and_grad(X, reduce="sum")
    if not agree(got, value):
        return f"{where}: the sum is {got}, not {value}"
    for x, slope in zip(program.parameters, slopes, strict=True):
        if not agree(slope, gradient[x]):
            return f"{where}: the derivative by {x} is {slope}, not {gradient[x]}"
    tally["finite"] += math.isfinite(value[0])
    tally["nonfinite"] += not math.isfinite(value[0])
    tally["sharp"] += value[1] <= 100 * batch * precision.unit * (1 + abs(value[0]))
    for name, _ in graph.steps:
        tally[name] = tally.get(name, 0) + 1
    return ""


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_programs_agree_with_the_eager_engine(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    machines: dict[str, Callable[[Any], Any]] = {"native": compilation.machine, "numpy": NumpyMachine}
    tally = dict.fromkeys(("unsettled", "empty", "inputs", "finite", "nonfinite", "sharp"), 0)
    wrong = []
    seeds = range(COUNT * chunk // CHUNKS, COUNT * (chunk + 1) // CHUNKS)
    for seed in seeds:
        monkeypatch.setattr(compilation, "machine", machines[COMBINATIONS[seed % len(COMBINATIONS)][2]])
        wrong.append(check(seed, tally))
    assert not any(wrong), "\n".join([x for x in wrong if x][:5])
    # What the comparison saw was no empty thing.
    if len(seeds) >= 200:
        assert {*OPS} <= {*tally}
        assert tally["empty"] < 0.05 * len(seeds)
        assert tally["finite"] > 0.6 * len(seeds)
        assert tally["nonfinite"] > 0.02 * len(seeds)
        assert tally["sharp"] > 0.4 * len(seeds)
        assert tally["inputs"] > 0.2 * len(seeds)
