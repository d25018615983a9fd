"""The reverse pass: by hand, against exact forward mode, against differences, and when it fails."""

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from mpmath import mp, mpf
from strategies import EPS, EXACT, Program, difference, programs

import autograd
from autograd import OPS, Op, StaleGraphError, Value

# By hand


def test_two_passes_add_up() -> None:
    x = Value(3.0)
    y = x**3
    y.backward()
    assert x.grad == 27.0
    y.backward()
    assert (x.grad, y.grad) == (54.0, 1.0)
    (x**3).backward()
    assert x.grad == 81.0
    x.grad = 0.0
    y.backward()
    assert x.grad == 27.0


def test_all_paths_are_summed() -> None:
    x = Value(3.0)
    (x * x * x + x).backward()
    assert x.grad == 28.0
    x.grad = 0
    (x - x).backward()
    assert x.grad == 0.0
    x.grad = 0
    (x / x).backward()
    assert x.grad == pytest.approx(0.0, abs=1e-15)
    x.grad = 0
    autograd.dot([x, x], [x, 2.0]).backward()
    assert x.grad == 8.0


def test_inner_nodes_hold_the_last_pass() -> None:
    x, y = Value(2.0), Value(5.0)
    a = x * y
    b, c = a * 3, a + x
    b.backward()
    assert (a.grad, b.grad, c.grad) == (3.0, 1.0, 0.0)
    (b * c).backward()
    assert (a.grad, b.grad, c.grad) == (3 * 12 + 30.0, 12.0, 30.0)
    c.backward()
    assert (a.grad, b.grad, c.grad) == (1.0, 12.0, 1.0)  # b is not of this pass
    assert x.grad == 3 * 5 + (66 * 5 + 30) + (5 + 1)


@pytest.mark.parametrize("gradient", [2.0, -3, Fraction(1, 2), 0.0, math.inf, True])
def test_gradient_scales(gradient: Any) -> None:
    a, b = Value(2.0), Value(3.0)
    c = a * b
    c.backward(gradient)
    assert (a.grad, b.grad, c.grad) == (3 * float(gradient), 2 * float(gradient), float(gradient))
    c.backward(gradient=1.0)
    assert a.grad == 3 * float(gradient) + 3


@pytest.mark.parametrize("gradient", ["1", None, [1.0], 1j])
def test_gradient_must_be_a_number(gradient: Any) -> None:
    a = Value(2.0)
    with pytest.raises(TypeError, match=f"got {type(gradient).__name__}"):
        (a * a).backward(gradient)
    assert repr(a) == "Value(2.0)"


def test_a_root_that_is_a_leaf() -> None:
    x = Value(2.0)
    x.backward()
    assert x.grad == 1.0
    x.backward(3.0)
    assert x.grad == 4.0
    p = Value(2.0, kind="parameter")
    p.backward()
    assert p.grad == 1.0


def test_a_constant_has_no_backward() -> None:
    c = Value(2.0, label="c", kind="constant")
    with pytest.raises(ValueError, match=r"'c'.*constant.*backward on a result"):
        c.backward()
    assert c.grad == 0.0


def test_constants_gather_nothing() -> None:
    x, c = Value(2.0), Value(3.0, kind="constant")
    for result in (x * c, c * x, c**x, autograd.sum([c, x]), autograd.affine([c], [x], c), c.exp() * x):
        result.backward()
        assert (c.grad, "grad" in repr(c)) == (0.0, False)
        assert all(p.grad == 0.0 for v in autograd.topological_order(result) for p in v.parents if p.kind == "constant")
    (c * 2).backward()  # all constant: nothing to do, and no error
    assert c.grad == 0.0


def test_the_derivative_of_a_constant_exponent_is_not_asked_for() -> None:
    x = Value(-2.0)
    (x**2).backward()
    assert x.grad == -4.0
    x = Value(0.0)
    (x**2 + x).backward()
    assert x.grad == 1.0


def test_intermediate_leaves_made_under_no_grad_gather() -> None:
    with autograd.no_grad():
        h = Value(2.0) * 3
    (h * h).backward()
    assert h.grad == 12.0


# When it fails


class Midway(Exception):
    pass


def fails(out: float, x: float) -> float:
    raise Midway


def interrupted(out: float, x: float) -> float:
    raise KeyboardInterrupt


FAILURES: dict[str, tuple[Op, type[BaseException]]] = {
    "partial": (Op("failing", lambda x: x, (fails,)), Midway),
    "interrupt": (
        Op("failing", lambda x: x, (lambda out, x: (_ for _ in ()).throw(KeyboardInterrupt),)),
        KeyboardInterrupt,
    ),
    "not a number": (Op("failing", lambda x: x, (lambda out, x: None,)), TypeError),
    "too few": (Op("failing", max, gather=lambda xs: tuple(xs), gradient=lambda out, *xs: [1.0]), ValueError),
    "overflow": (Op("failing", lambda x: x, (lambda out, x: math.exp(1000),)), OverflowError),
}


@pytest.mark.parametrize("name", FAILURES)
def test_an_error_midway_leaves_the_gradients_of_leaves(name: str) -> None:
    op, error = FAILURES[name]
    x, y, fresh = Value(2.0), Value(5.0), Value(7.0)
    (x * y).backward()
    mid = op(fresh * y) if not op.variadic else op([fresh * y, y])
    z = mid * x + x.exp() * fresh  # sweeps part of the graph before it gets there
    with pytest.raises(error):
        z.backward()
    assert (x.grad, y.grad) == (5.0, 2.0)
    assert repr(fresh) == "Value(7.0)"  # no pass has reached it
    ok = x * fresh
    ok.backward()
    assert (x.grad, fresh.grad, ok.grad) == (12.0, 2.0, 1.0)


def test_a_stale_graph_leaves_all_as_it_was() -> None:
    x, y = Value(2.0, label="x"), Value(3.0)
    a = x * y
    z = a.exp() + y
    z.backward()
    grads = x.grad, y.grad
    x.data = 1.0
    with pytest.raises(StaleGraphError):
        z.backward()
    assert (x.grad, y.grad) == grads


def test_a_partial_that_divides_by_zero_is_ieee() -> None:
    """A plain float raises ZeroDivisionError in a row of one's own; the pass then takes infinity."""
    inverse_square = Op("inverse_square", lambda x: x**-2.0, (lambda out, x: -2 / x**3,), limit=lambda x: math.inf)
    pair = Op("pair", lambda x, y: x, (lambda out, x, y: 1 / x, lambda out, x, y: x / y))
    x, y = Value(0.0), Value(0.0)
    out = inverse_square(x) + pair(x, y)
    out.backward()
    assert math.isnan(x.grad)  # -inf + inf
    assert math.isnan(y.grad)  # 0 / 0
    x = Value(0.0)
    pair(x, 2.0).backward()
    assert x.grad == math.inf


# Random graphs


def gradients(program: Program) -> list[float]:
    tape = program.values()
    tape[-1].backward()
    return [x.grad for x in tape[: len(program.inputs)]]


@given(programs())
def test_random_graphs_against_exact_forward_mode(program: Program) -> None:
    """Derivatives carried forward, with local derivatives that owe nothing to the table."""
    for got, (expected, size) in zip(gradients(program), program.tangents(), strict=True):
        # each local derivative is off by a few units in the last place, some by a hundred (see test_ops.py)
        assert abs(got - expected) <= 1e-12 * size + EPS


@given(programs())
def test_random_graphs_against_all_paths(program: Program) -> None:
    """The sum over all paths of the product of the local derivatives, path by path."""
    tape = program.values()
    paths: dict[Value, list[float]] = {}
    waiting = [(tape[-1], 1.0)]
    for taken in itertools.count():
        if not waiting or taken > 20_000:
            break
        node, product = waiting.pop()
        if node.op is None:
            paths.setdefault(node, []).append(product)
        waiting += [(p, product * d()) for p, d in zip(node.parents, node.local_derivatives, strict=True)]
    if waiting:
        return  # too many to enumerate
    tape[-1].backward()
    for x in tape[: len(program.inputs)]:
        terms = paths.get(x, [])
        assert abs(x.grad - math.fsum(terms)) <= 1e-13 * math.fsum(map(abs, terms)) + 1e-300


def in_exact_arithmetic(program: Program, *inputs: Any) -> Any:
    """The whole graph with mpmath."""
    return program.run(inputs, lambda name, xs: EXACT[name](*[x if isinstance(x, mpf) else mpf(x) for x in xs]))[-1]


SMOOTH = sorted(name for name, op in OPS.items() if not op.kinks and name not in ("where", "div", "pow"))


@given(programs(names=SMOOTH, steps=8))
@settings(max_examples=40)
def test_random_graphs_against_differences(program: Program) -> None:
    """The graph as one function: differences in 300 digits."""
    got = gradients(program)
    sizes = [size for _, size in program.tangents()]
    for slot, (grad, size) in enumerate(zip(got, sizes, strict=True)):
        with mp.workdps(300):
            expected = difference(lambda *xs: in_exact_arithmetic(program, *xs), program.inputs, slot, digits=400)
        # here the operands of inner nodes are exact, where floats carry rounding errors, which slopes amplify
        assert expected is not None
        assert abs(mpf(grad) - expected) <= 1e-7 * (1 + size), (slot, grad, float(expected))


@given(programs(), st.floats(-3, 3), st.floats(-3, 3))
def test_backward_is_linear_in_its_gradient(program: Program, g: float, h: float) -> None:
    tape = program.values()
    leaves, root = tape[: len(program.inputs)], tape[-1]
    root.backward(1.0)
    once = [x.grad for x in leaves]
    root.backward(g)
    root.backward(h)
    for x, d, (_, size) in zip(leaves, once, program.tangents(), strict=True):
        assert abs(x.grad - (1 + g + h) * d) <= 1e-12 * (1 + abs(g) + abs(h)) * (size + abs(d)) + 1e-300


@given(programs())
def test_many_roots_give_the_sum_of_their_passes(program: Program) -> None:
    apart, together = program.values(), program.values()
    count = len(program.inputs)
    for root in apart[-3:]:
        root.backward()
    autograd.sum(together[-3:]).backward()
    sizes = [sum(abs(v.grad) for v in apart[:count]) + 1] * count
    for a, b, size in zip(apart[:count], together[:count], sizes, strict=True):
        assert abs(a.grad - b.grad) <= 1e-9 * size


def test_random_graphs_use_every_row() -> None:
    """The strategy above reaches every row of the table."""
    used: set[str] = set()

    @given(programs(steps=60, least=40))
    @settings(max_examples=60, derandomize=True, database=None)
    def draw(program: Program) -> None:
        used.update(name for name, _ in program.steps)

    draw()
    assert used == set(EXACT)


@pytest.mark.parametrize(
    ("build", "slope"),
    [
        (lambda x: (1 + (-x).exp()) ** -1, lambda s: s * (1 - s)),
        (lambda x: x.sigmoid(), lambda s: s * (1 - s)),
        (lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()), lambda t: 1 - t * t),
        (lambda x: x.tanh(), lambda t: 1 - t * t),
    ],
)
@given(x=st.floats(-20, 20))
def test_identities(build: Callable[[Value], Value], slope: Callable[[float], float], x: float) -> None:
    v = Value(x)
    y = build(v)
    y.backward()
    assert v.grad == pytest.approx(slope(y.data), rel=1e-7, abs=1e-14)


def test_a_refused_pass_keeps_the_cotangents_of_the_last_one() -> None:
    x = Value(3.0)
    y = x * x
    z = y.tanh() * 2
    z.backward()
    kept = [v._grad for v in (x, y, z)]
    x.data = 4.0
    with pytest.raises(StaleGraphError):
        z.backward()
    assert [v._grad for v in (x, y, z)] == kept
