"""First, second and mixed derivatives beside those of PyTorch and JAX: of every row, and of 2,000 large random graphs.

What they may differ by is 1e-10 of the sum of |path terms|. The chain rule for a second derivative is

    d2(root)/dxi dxj = sum over the steps, and the pairs of their operands a, b, of
                       d(root)/d(step) * d2(step)/da db * da/dxi * db/dxj

and each of its first derivatives is a sum over paths; a path term is a product of local derivatives in that.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from strategies import Program, arity, large_program, ordinary_points
from test_oracles import jax_rows, torch_rows

from autograd import OPS, Op, Value, derivative, gradients, hvp, jvp, leaves, topological_order

pytestmark = pytest.mark.oracle

GRAPHS, PARTS = 2000, 8  # in parts, for as many processes
TOLERANCE = 1e-10
COUNTS = (1, 2, 3)  # of values or pairs that the variadic rows are given
STEPS, INPUTS = 200, max([arity(op, max(COUNTS)) for op in OPS.values()])


class Derivatives(NamedTuple):
    """Of a program's last number by its inputs."""

    out: float
    gradient: Any
    hessian: Any


Oracle = Callable[[Program], Derivatives]


@pytest.fixture(scope="module")
def from_torch() -> Oracle:
    """By double backward."""
    torch = pytest.importorskip("torch")
    rows = torch_rows(torch)
    number = partial(torch.tensor, dtype=torch.float64)

    def apply(name: str, xs: Sequence[Any]) -> Any:
        return rows[name](*[x if isinstance(x, torch.Tensor) else number(x) for x in xs])

    def by_inputs(out: Any, inputs: Sequence[Any]) -> list[Any]:
        if not out.requires_grad:
            return [number(0.0)] * len(inputs)
        return list(torch.autograd.grad(out, inputs, create_graph=True, materialize_grads=True))

    def derivatives(program: Program) -> Derivatives:
        inputs = [number(x, requires_grad=True) for x in program.inputs]
        out = program.run(inputs, apply)[-1]
        slopes = by_inputs(out, inputs)
        hessian = [[v.item() for v in by_inputs(slope, inputs)] for slope in slopes]
        return Derivatives(out.item(), np.array([slope.item() for slope in slopes]), np.array(hessian))

    return derivatives


@pytest.fixture(scope="module")
def from_jax() -> Oracle:
    """By forward over reverse mode. To trace each program would take seconds: here one that reads programs is traced,
    and to it they are data."""
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_platforms", "cpu")
    # where |x| = |y| its own hypot, written with max and min, loses the second derivative at their tie
    rows, branches = jax_rows(jax) | {"hypot": lambda x, y: jax.numpy.sqrt(x * x + y * y)}, []
    codes: dict[tuple[str, int], int] = {}
    for op in OPS.values():
        for count in COUNTS if op.variadic else (0,):
            size = arity(op, count)
            codes[op.name, size] = len(branches)
            branches.append(lambda xs, f=rows[op.name], size=size: jax.numpy.asarray(f(*[xs[i] for i in range(size)])))

    def run(inputs: Any, steps: Any, last: Any) -> Any:
        def step(tape: Any, row: Any) -> tuple[Any, None]:
            place, code, places, numbers, are_numbers = row
            operands = jax.numpy.where(are_numbers, numbers, tape[places])
            return tape.at[place].set(jax.lax.switch(code, branches, operands)), None

        empty = jax.numpy.zeros(INPUTS + STEPS)
        return jax.lax.scan(step, empty.at[:INPUTS].set(inputs), steps)[0][last]

    compiled = jax.jit(lambda *args: (*jax.value_and_grad(run)(*args), jax.jacfwd(jax.grad(run))(*args)))

    def derivatives(program: Program) -> Derivatives:
        n, size = len(program.inputs), len(program.steps)
        inputs = np.zeros(INPUTS)
        inputs[:n] = program.inputs
        used = np.zeros(STEPS, int)  # beyond the last step, any that does no harm: the sum of one
        used[:] = codes["sum", 1]
        used[:size] = [codes[name, len(refs)] for name, refs in program.steps]
        places, numbers = np.zeros((STEPS, INPUTS), int), np.zeros((STEPS, INPUTS))
        are_numbers = np.zeros((STEPS, INPUTS), bool)
        for at, (_, refs) in enumerate(program.steps):
            for slot, ref in enumerate(refs):
                if isinstance(ref, int):
                    places[at, slot] = ref if ref < n else ref - n + INPUTS
                else:
                    numbers[at, slot], are_numbers[at, slot] = ref, True
        steps = (np.arange(INPUTS, INPUTS + STEPS), used, places, numbers, are_numbers)
        out, gradient, hessian = compiled(inputs, steps, INPUTS + size - 1)
        return Derivatives(float(out), np.array(gradient)[:n], np.array(hessian)[:n, :n])

    return derivatives


def ours(program: Program) -> Derivatives:
    tape = program.values()
    inputs = tape[: len(program.inputs)]
    slopes = gradients(tape[-1], inputs, create_graph=True)
    hessian = np.zeros((len(inputs), len(inputs)))
    for line, slope in zip(hessian, slopes, strict=True):
        reached = set(leaves(slope))
        within = [i for i, x in enumerate(inputs) if x in reached]
        line[within] = gradients(slope, [inputs[i] for i in within])
    return Derivatives(tape[-1].data, np.array([slope.data for slope in slopes]), hessian)


def path_terms(program: Program) -> tuple[Any, Any]:
    """The sums of the |path terms| of the gradient and of the Hessian, the latter to a few digits: second derivatives
    of rows are differences of the first here, so that what is tested does not set its own measure."""
    tape, n = program.floats(), len(program.inputs)
    along = [*np.eye(n)]  # for each place, the sum over the paths from each input
    local = []
    for name, refs in program.steps:
        operands = [tape[ref] if isinstance(ref, int) else ref for ref in refs]
        slots = [slot for slot, ref in enumerate(refs) if isinstance(ref, int)]
        slopes, bends = slopes_and_bends(OPS[name], operands, slots)
        inward = np.array([along[refs[slot]] for slot in slots])
        along.append(slopes @ inward)
        local.append(([refs[slot] for slot in slots], slopes, inward.T @ bends @ inward))
    back = np.zeros(len(tape))  # for each place, the sum over the paths to the root
    back[-1] = 1.0
    second = np.zeros((n, n))
    for place, (places, slopes, bent) in reversed([*enumerate(local, n)]):
        np.add.at(back, places, back[place] * slopes)
        second += back[place] * bent
    return along[-1], second


def slopes_and_bends(op: Op, operands: Sequence[float], slots: Sequence[int]) -> tuple[Any, Any]:
    """|d(out)/da| and |d2(out)/da db| for the operands a, b in these slots.

    A second derivative is itself a sum of terms, such as out - 2 * out * out, which may cancel: what rounding leaves
    of them is 1e-14 at most, and TOLERANCE of 1e-4 is that."""
    step = 2.0**-13

    def slopes(moved: int, by: float) -> Any:
        xs = [x + by * (slot == moved) for slot, x in enumerate(operands)]
        return np.array(op.derivatives(op.evaluate(*xs), xs))[list(slots)]

    bends = [(slopes(slot, step) - slopes(slot, -step)) / (2 * step) for slot in slots]
    return abs(slopes(0, 0.0)), np.maximum(abs(np.array(bends)), 1e-4)


def compare(found: Derivatives, expected: Derivatives, sizes: tuple[Any, Any]) -> None:
    assert found.out == pytest.approx(expected.out, rel=TOLERANCE, abs=TOLERANCE)
    for name, size in zip(("gradient", "hessian"), sizes, strict=True):
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert np.all(abs(ours - theirs) <= TOLERANCE * size), (name, ours, theirs, size)


@pytest.mark.parametrize("name", sorted(OPS))
@given(data=st.data())
@settings(max_examples=40)
def test_every_row(from_torch: Oracle, from_jax: Oracle, name: str, data: st.DataObject) -> None:
    op = OPS[name]
    point = data.draw(ordinary_points(op, data.draw(st.sampled_from(COUNTS)) if op.variadic else 0))
    program = Program(point, ((name, tuple(range(len(point)))),))
    found, sizes = ours(program), path_terms(program)
    compare(found, from_torch(program), sizes)
    compare(found, from_jax(program), sizes)


POWERS = [(x, y) for x in (-2.5, 0.0, 1.5) for y in (-3.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0) if x or y >= 0]


@pytest.mark.parametrize(("x", "exponent"), POWERS)
def test_whole_powers_of_any_base(from_torch: Oracle, x: float, exponent: float) -> None:
    program = Program((x,), (("pow", (0, exponent)),))
    n = exponent
    slope, bend = [c * x**p if c else 0.0 for c, p in ((n, n - 1), (n * (n - 1), n - 2))]
    expected = Derivatives(x**n, np.array([slope]), np.array([[bend]]))
    sizes = abs(expected.gradient), abs(expected.hessian)
    compare(ours(program), expected, sizes)
    if x or exponent:  # there PyTorch has nan
        compare(ours(program), from_torch(program), sizes)


@pytest.mark.parametrize("point", [(1.5, -2.0), (-1.5, -0.25), (0.0, -3.0), (0.0, 2.0)])
def test_quotients_by_negative_numbers_and_of_zero(from_torch: Oracle, from_jax: Oracle, point: Any) -> None:
    program = Program(point, (("div", (0, 1)),))
    compare(ours(program), from_torch(program), path_terms(program))
    compare(ours(program), from_jax(program), path_terms(program))


def test_the_large_graphs_are_what_they_are_meant_to_be() -> None:
    programs = [large_program(seed, STEPS) for seed in range(400)]
    steps = [step for program in programs for step in program.steps]
    names = {name for name, _ in steps}
    assert names == set(OPS)
    sizes = [len(program.steps) for program in programs]
    assert max(sizes) == STEPS and min(sizes) <= 2 and sum(sizes) > 0.45 * STEPS * len(sizes)
    assert {len(program.inputs) for program in programs} == {1, 2, 3, 4}
    repeated = [refs for _, refs in steps if len({*refs}) < len(refs)]
    constants = [refs for _, refs in steps if any([isinstance(ref, float) for ref in refs])]
    assert min(len(repeated), len(constants)) > 0.04 * len(steps)
    shared, flowing = 0, 0
    for program in programs:
        tape = program.values()
        nodes = topological_order(tape[-1])
        assert {*tape} <= {*nodes}  # all reach the root
        users = Counter([x for node in nodes for x in {*node.parents}])
        shared += sum([users[node] > 1 for node in tape])
        tape[-1].backward()
        flowing += sum([node.grad != 0 for node in tape])
    count = sum([len(program.inputs) for program in programs]) + len(steps)
    assert shared > 0.2 * count and flowing > 0.5 * count


@pytest.mark.parametrize("part", range(PARTS))
@given(seed=st.integers(0, 10**9))
@settings(max_examples=GRAPHS // PARTS)
def test_large_graphs(from_torch: Oracle, from_jax: Oracle, part: int, seed: int) -> None:
    program = large_program(seed * PARTS + part, STEPS)
    found, sizes = ours(program), path_terms(program)
    compare(found, from_torch(program), sizes)
    compare(found, from_jax(program), sizes)


@given(seed=st.integers(0, 10**9))
@settings(max_examples=300)
def test_forward_mode_is_reverse_mode(seed: int) -> None:
    """Along a line through the inputs: by jvp and hvp, and by power series."""
    program = large_program(seed, STEPS)
    chance = Random(seed)
    inputs, line = list(program.inputs), [chance.choice([-2.0, -1.0, 0.5, 3.0]) for _ in program.inputs]
    found, sizes = ours(program), [size @ np.abs(line) for size in path_terms(program)]

    def f(xs: Sequence[Any]) -> Any:
        return program.run(xs, lambda name, operands: Value.apply_op(OPS[name], operands))[-1]

    out, slope = jvp(f, inputs, line)
    assert out == found.out
    assert abs(slope - found.gradient @ line) <= TOLERANCE * sizes[0]
    assert np.all(abs(hvp(f, inputs, line) - found.hessian @ line) <= TOLERANCE * sizes[1])
    bend = derivative(lambda t: f([x + t * v for x, v in zip(inputs, line, strict=True)]), 2)(0.0)
    assert abs(bend - line @ found.hessian @ line) <= TOLERANCE * (sizes[1] @ np.abs(line))
