"""The engine, on whichever core runs: rules written out for speed, walks, passes, time stamps, graphs as columns."""

import contextlib
import copy
import gc
import io
import math
import operator
import pickle
import signal
import struct
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from functools import reduce
from math import inf, nan
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings, strategies as st
from strategies import LARGEST, NORMAL, TINY, Program, programs

import autograd
from autograd import (
    COMPILED,
    OPS,
    AnomalyError,
    Op,
    StaleGraphError,
    Value,
    copying,
    custom,
    detect_anomaly,
    leaves,
    no_grad,
    node,
    register,
    topological_order,
)
from autograd.node import KINDS, Rule, neuron, next_moment, pass_back, unknown, walk

ROOT = Path(autograd.__file__).parents[1]
# The one in C, and the one in Python: PyPy's only one, and the one that dill extends.
PICKLERS: list[Any] = [pickle.Pickler, vars(pickle)["_Pickler"]]


def bits(x: float) -> bytes:
    """A float as it is in memory, of which -0.0 is another than 0.0; all nans are one."""
    assert type(x) is float
    return b"nan" if math.isnan(x) else struct.pack("d", x)


def all_bits(xs: Iterable[float]) -> list[bytes]:
    return [bits(x) for x in xs]


def grads(nodes: Iterable[Any]) -> list[float | None]:
    return [v._grad for v in nodes]


SPECIAL = (0.0, 1.0, 2.0, 0.5, 3.0, 1e308, LARGEST, NORMAL, TINY, 3 * TINY, 1e-160, 1e160, 709.8, 745.2, 36.8, inf)
any_float = st.one_of(st.sampled_from([*SPECIAL, *[-x for x in SPECIAL], nan]), st.floats(), st.floats(-8.0, 8.0))
# Sums and products of a few of these are exact, so that the order of additions cannot show.
exact_float = st.integers(-64, 64).map(lambda k: k / 8)

FUSED = [op for op in OPS.values() if type(op.rule) is not Rule]
ACTIVATIONS = [op for op in OPS.values() if op.required == 1 and not op.variadic]
every_fused = pytest.mark.parametrize("op", FUSED, ids=lambda op: op.name)
every_row = pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)


def plain_rule(op: Op) -> Rule:
    """What the row's own rule says for speed, said by the row's forward and pullback."""
    rule = Rule()
    rule.bind(op)
    return rule


def sizes(op: Op) -> st.SearchStrategy[int]:
    """How many operands the row may have."""
    if not op.variadic:
        return st.just(len(op.operands))
    least = 1 if op.name == "logsumexp" else 0
    return st.integers(least, 5).map({"dot": lambda n: 2 * n, "affine": lambda n: 2 * n + 1}.get(op.name, lambda n: n))


def of_kind(number: float, kind: str) -> Value:
    return Value.apply_op(OPS["sum"], [number]) if kind == "result" else Value(number, kind=kind)


def pulled(rule: Rule, v: Any, g: float, before: Sequence[float]) -> list[float]:
    """The cotangents of the operands, which are `before` at first, after the rule has passed g back to them."""
    operands = list(dict.fromkeys(v.parents))
    for x, cotangent in zip(operands, before, strict=False):
        x._cotangent = cotangent
    v._cotangent = g
    rule.pull(v)
    return [x._cotangent for x in operands if x.kind != "constant"]  # a pass puts back what a constant had


def few(op: Op) -> int:
    """How many operands to give the row: of a variadic one, three, or a pair."""
    return {"dot": 2}.get(op.name, 3) if op.variadic else len(op.operands)


# Rules


def test_there_are_rules_to_hold_to_their_rows() -> None:
    assert len(FUSED) >= 10
    assert len({id(op.rule) for op in OPS.values()}) == len(OPS)
    assert all(op.rule.op is op for op in OPS.values())


@every_fused
@settings(max_examples=100)
@given(data=st.data())
def test_a_rule_evaluates_as_its_row(op: Op, data: st.DataObject) -> None:
    size = data.draw(sizes(op))
    numbers = data.draw(st.lists(any_float, min_size=size, max_size=size))
    xs: list[Any] = [Value(x) for x in numbers]
    plain = plain_rule(op)
    expected = bits(op.evaluate(*numbers))
    assert bits(plain.evaluate(xs)) == expected
    assert bits(op.rule.evaluate(xs)) == expected
    if size == 1 and not op.variadic:
        assert bits(plain.value(numbers[0])) == expected
        assert bits(op.rule.value(numbers[0])) == expected


@pytest.mark.parametrize("op", [op for op in FUSED if op.rule.unary], ids=lambda op: op.name)
def test_a_rule_at_each_special_number(op: Op) -> None:
    plain = plain_rule(op)
    for number in (*SPECIAL, *[-x for x in SPECIAL], nan):
        v = Value.apply_op(op, [Value(number)])
        assert bits(op.rule.value(number)) == bits(plain.value(number)) == bits(v.data) == bits(op.evaluate(number))
        for g in (1.0, -0.0, inf, nan):
            assert all_bits(pulled(op.rule, v, g, [-0.0])) == all_bits(pulled(plain, v, g, [-0.0]))


@every_fused
def test_a_rule_rounds_as_its_row(op: Op) -> None:
    """Numbers of many digits, which hypothesis seldom tries: another order of operations shows in the last of them."""
    chance, plain = Random(1), plain_rule(op)
    for _ in range(200):
        numbers = [chance.uniform(0.1, 3.0) for _ in range(6 if op.name == "dot" else 7)]
        v = Value.apply_op(op, [Value(x) for x in (numbers if op.variadic else numbers[: len(op.operands)])])
        assert bits(v.data) == bits(plain.evaluate(list(v.parents)))
        g = chance.uniform(0.1, 3.0)
        assert all_bits(pulled(op.rule, v, g, [0.0] * 7)) == all_bits(pulled(plain, v, g, [0.0] * 7))


@every_fused
@settings(max_examples=100)
@given(data=st.data())
def test_a_rule_passes_back_what_its_row_does(op: Op, data: st.DataObject) -> None:
    """Constants among the operands, ties, any numbers, any cotangent, whatever the operands have already."""
    size = data.draw(sizes(op))
    numbers = st.lists(any_float, min_size=size, max_size=size)
    kinds = data.draw(st.lists(st.sampled_from(KINDS), min_size=size, max_size=size))
    pool = data.draw(st.one_of(numbers, numbers.map(lambda xs: [*xs[:1]] * len(xs))))
    v = Value.apply_op(op, [of_kind(x, kind) for x, kind in zip(pool, kinds, strict=True)])
    g, before = data.draw(any_float), data.draw(numbers)
    assert all_bits(pulled(op.rule, v, g, before)) == all_bits(pulled(plain_rule(op), v, g, before))


@every_fused
@settings(max_examples=40)
@given(data=st.data())
def test_a_rule_with_an_operand_that_comes_twice(op: Op, data: st.DataObject) -> None:
    """A row of two operands adds to them in order; a longer one may add in any order, which exact sums do not show."""
    size = data.draw(sizes(op))
    numbers = exact_float if op.variadic else any_float
    pool = [Value(data.draw(numbers)) for _ in range(data.draw(st.integers(1, 2)))]
    v = Value.apply_op(op, data.draw(st.lists(st.sampled_from(pool), min_size=size, max_size=size)))
    g, before = data.draw(numbers), data.draw(st.lists(numbers, min_size=2, max_size=2))
    found, expected = pulled(op.rule, v, g, before), pulled(plain_rule(op), v, g, before)
    if op.variadic:
        assert found == expected
    else:
        assert all_bits(found) == all_bits(expected)


@every_fused
@pytest.mark.parametrize("number", [0.0, -0.0, 1.0, -1.0, 2.0, inf, -inf, nan, 1e308, TINY, -TINY])
@pytest.mark.parametrize("g", [1.0, -0.0, inf, nan])
def test_a_rule_where_all_operands_are_one_node(op: Op, number: float, g: float) -> None:
    x = Value(number)
    v = Value.apply_op(op, [x] * few(op))
    assert all_bits(pulled(op.rule, v, g, [0.5])) == all_bits(pulled(plain_rule(op), v, g, [0.5]))


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=1, max_size=6), st.data())
def test_products_that_share_operands_pass_back_the_sum(pairs: list[tuple[float, float]], data: st.DataObject) -> None:
    """Whatever the order, within the rounding of as many additions."""
    pool = [Value(x) for pair in pairs for x in pair]
    picked = st.lists(st.sampled_from(pool), min_size=len(pairs), max_size=len(pairs))
    ws, xs, b = data.draw(picked), data.draw(picked), data.draw(st.sampled_from(pool))
    g = data.draw(st.floats(-1e3, 1e3))
    for y, rest in ((autograd.dot(ws, xs), []), (autograd.affine(ws, xs, b), [b])):
        for v in pool:
            v._grad = None
        y.backward(g)
        for v in set(y.parents):
            terms = [g * x.data for w, x in zip(ws, xs, strict=True) if w is v]
            terms += [g * w.data for w, x in zip(ws, xs, strict=True) if x is v] + [g for x in rest if x is v]
            assert abs(v.grad - math.fsum(terms)) <= len(terms) * 2.3e-16 * math.fsum(map(abs, terms))


def test_a_constant_exponent_gets_nothing_from_the_short_way() -> None:
    """Its partial, a logarithm, is not asked for; where the short way fails, the row answers."""
    for kind in ("variable", "parameter", "result"):
        three, two = Value(3.0), of_kind(2.0, kind)
        (three**two).backward()
        assert (three.grad, two.grad) == (6.0, 9.0 * math.log(3.0))
    for x, y in ((3.0, 2.0), (-2.0, 3.0), (-2.0, 0.5), (1e200, 3.0), (0.0, 2.0), (5.0, 0.0), (1e-320, -1.0)):
        base, exponent = Value(x), Value(y, kind="constant")
        v = base**exponent
        assert bits(pulled(v.op.rule, v, 2.0, [0.0, 7.0])[0]) == bits(2.0 * v.op.derivatives(v.data, (x, y))[0])  # type: ignore[union-attr]


# Operators


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "pow": operator.pow,
}
UNARY: dict[str, Callable[[Any], Any]] = {"neg": operator.neg, "abs": abs}


def test_every_operator_of_the_table_is_tried() -> None:
    assert {op.name for op in OPS.values() if op.operator} == {*BINARY, *UNARY}


@pytest.mark.parametrize("name", BINARY)
@settings(max_examples=60)
@given(x=any_float, y=any_float)
@example(1.0, 0.0)
@example(1.0, -0.0)
@example(0.0, 0.0)
@example(1e308, 1e308)
@example(-8.0, 1 / 3)
def test_operators_of_two(name: str, x: float, y: float) -> None:
    apply, op = BINARY[name], OPS[name]
    expected = bits(op.evaluate(x, y))
    u, v = Value(x), Value(y)
    for result, constants in (
        (apply(u, v), []),
        (apply(u, y), [1]),
        (apply(x, v), [0]),
        (op(u, v), []),
        (op(x, v), [0]),
        (Value.apply_op(op, (u, y)), [1]),
    ):
        assert bits(result.data) == expected
        assert (result.op, type(result), result.kind, result._grad, result.label) == (op, Value, "result", None, "")
        assert all_bits(p.data for p in result.parents) == all_bits([x, y])
        assert [p.kind for p in result.parents] == ["constant" if i in constants else "variable" for i in (0, 1)]
        assert [p for i, p in enumerate(result.parents) if i not in constants] == [
            p for i, p in enumerate((u, v)) if i not in constants
        ]
    whole = apply(u, 3)
    assert bits(whole.data) == bits(op.evaluate(x, 3.0))
    assert type(whole.parents[1].data) is float


@pytest.mark.parametrize("name", UNARY)
@given(x=any_float)
def test_operators_of_one(name: str, x: float) -> None:
    v = Value(x)
    for result in (UNARY[name](v), OPS[name](v), getattr(v, name)()):
        assert bits(result.data) == bits(OPS[name].evaluate(x))
        assert (result.op, result.parents, type(result)) == (OPS[name], (v,), Value)
    assert +v is v


def test_an_operator_between_a_node_and_itself() -> None:
    x = Value(3.0)
    for apply in BINARY.values():
        assert apply(x, x).parents == (x, x)


@every_row
@settings(max_examples=30)
@given(data=st.data())
def test_every_row_makes_the_node_it_evaluates_to(op: Op, data: st.DataObject) -> None:
    size = data.draw(sizes(op))
    numbers = data.draw(st.lists(any_float, min_size=size, max_size=size))
    xs = [Value(x) for x in numbers]
    expected = bits(op.evaluate(*numbers))
    made = [Value.apply_op(op, xs), Value.apply_op(op, numbers)]
    if not op.variadic:
        made.append(op(*xs))
        if op.required == 1:
            made.append(getattr(xs[0], op.name)(*xs[1:]))
    for y in made:
        assert bits(y.data) == expected
        assert (y.op, len(y.parents)) == (op, size)
    assert all(y.parents == tuple(xs) for y in made if y is not made[1])
    assert [p.kind for p in made[1].parents] == ["constant"] * size
    slopes = [derivative() for derivative in made[0].local_derivatives]
    assert all_bits(map(float, slopes)) == all_bits(map(float, op.derivatives(made[0].data, numbers)))


def test_what_a_row_of_ones_own_gives_becomes_a_float() -> None:
    half: Any = Fraction(1, 2)
    rows = [
        custom(lambda x: 2, lambda out, x: 0.0),
        custom(lambda x, y: True, lambda out, x, y: 0.0, lambda out, x, y: 0.0),
        custom(lambda x, y, z: half, *[lambda out, x, y, z: 0.0] * 3),
    ]
    for size, (row, expected) in enumerate(zip(rows, (2.0, 1.0, 0.5), strict=True), 1):
        for y in (row(*[Value(1.0)] * size), Value.apply_op(row, [1.0] * size)):
            assert bits(y.data) == bits(expected)
        row = Op("f", lambda *xs: math.log(-1.0), row.partials, limit=lambda *xs: 7)
        assert bits(row(*[Value(1.0)] * size).data) == bits(7.0)
        row = Op("f", lambda *xs: 1.0 / 0.0, row.partials, limit=lambda *xs: sum(xs))
        assert bits(row(*[Value(1.0)] * size).data) == bits(float(size))


def test_the_operands_of_a_call_stay_the_caller_s() -> None:
    xs = [Value(1.0), 2.0, Value(3.0)]
    given_before = list(xs)
    y = Value.apply_op(OPS["sum"], xs)
    assert xs == given_before
    xs.clear()
    assert len(y.parents) == 3
    ws, inputs = [Value(1.0)], [Value(2.0)]
    z = neuron(ws, inputs, Value(3.0), None)
    assert (len(ws), len(inputs), len(z.parents)) == (1, 1, 3)


# Sums of products


vectors = st.lists(st.tuples(any_float, any_float), max_size=7)


@settings(max_examples=100)
@given(vectors, any_float)
@example([], -0.0)
@example([(0.0, -1.0)], -0.0)
@example([(-0.0, 1.0), (0.0, -1.0)], -0.0)
@example([(1e308, 10.0), (-1e308, 10.0)], 1.0)
@example([(0.1, 0.1), (0.2, 0.2), (0.3, 0.3)], 0.7)
def test_products_are_added_up_from_left_to_right(pairs: list[tuple[float, float]], b: float) -> None:
    ws, xs = [w for w, _ in pairs], [x for _, x in pairs]
    nodes_w, nodes_x, node_b = [Value(w) for w in ws], [Value(x) for x in xs], Value(b)
    dot, affine = OPS["dot"], OPS["affine"]
    assert affine.written is not None and dot.written is not None
    net = autograd.affine(nodes_w, nodes_x, node_b)
    written = affine.written(*nodes_w, *nodes_x, node_b)
    expected = bits(affine.evaluate(*ws, *xs, b))
    assert bits(net.data) == bits(written.data) == bits(affine.written(*ws, *xs, b)) == expected
    product = Value.apply_op(dot, [*nodes_w, *nodes_x])
    by_hand = reduce(operator.add, [w * x for w, x in pairs]) if pairs else 0.0
    assert bits(product.data) == bits(by_hand) == bits(dot.evaluate(*ws, *xs))
    if pairs:
        assert bits(product.data) == bits(dot.written(*nodes_w, *nodes_x).data)
        assert bits(autograd.dot(nodes_w, nodes_x).data) == bits(product.data)
        assert bits(net.data) == bits(by_hand + b)


@pytest.mark.parametrize("n", [100, 1001])
def test_long_sums_of_products(n: int) -> None:
    ws, xs = [Value(0.1 + k) for k in range(n)], [Value(1 / (1 + k)) for k in range(n)]
    total = ws[0].data * xs[0].data
    for w, x in zip(ws[1:], xs[1:], strict=True):
        total += w.data * x.data
    assert bits(autograd.dot(ws, xs).data) == bits(total)
    assert bits(autograd.affine(ws, xs, 0.3).data) == bits(total + 0.3)


def shape(y: Value) -> Any:
    """A node and all below it: numbers to the bit, rows, kinds, labels; of leaves, which they are."""
    if y.op is None:
        return id(y) if y.kind != "constant" else (bits(y.data), y.label)
    return (y.op, bits(y.data), y.kind, y.label, [shape(p) for p in y.parents])


@pytest.mark.parametrize("op", [*ACTIVATIONS, None], ids=lambda op: op.name if op else "linear")
@settings(max_examples=25)
@given(pairs=vectors, b=any_float)
def test_a_neuron_is_an_activation_of_an_affine_row(op: Op | None, pairs: list[tuple[float, float]], b: float) -> None:
    ws, xs, bias = [Value(w) for w, _ in pairs], [Value(x) for _, x in pairs], Value(b)
    made, net = neuron(ws, xs, bias, op), autograd.affine(ws, xs, bias)
    expected = net if op is None else op(net)
    assert type(made) is Value
    assert shape(made) == shape(expected)
    nodes = [*ws, *xs, bias]
    found = []
    for y in (made, expected):
        for v in nodes:
            v._grad = None
        y.backward(0.75)
        found.append(all_bits(v.grad for v in nodes))
    assert found[0] == found[1]


@pytest.mark.parametrize("op", [OPS["relu"], OPS["elu"], None], ids=lambda op: op.name if op else "linear")
def test_a_neuron_minds_the_modes(op: Op | None) -> None:
    ws, xs, b = [Value(2.0)], [Value(3.0)], Value(1.0)
    with no_grad():
        y = neuron(ws, xs, b, op)
    assert (y.op, y.data, y.kind, y.parents) == (None, 7.0, "variable", ())
    with detect_anomaly(), pytest.raises(AnomalyError, match="affine"):
        neuron([Value(nan)], xs, b, op)


# Walks


STEPS = ("add", "mul", "neg", "sum", "dot", "affine", "clamp", "where", "logsumexp", "div")


@st.composite
def tangles(draw: Any) -> list[Value]:
    """Nodes of few and of many operands, leaves and inner nodes in any place, repeated, some made after a change."""
    tape = [Value(draw(exact_float), label=f"x{i}") for i in range(draw(st.integers(1, 4)))]
    clock = Value(0.0)
    for name in draw(st.lists(st.sampled_from(STEPS), max_size=14)):
        op = OPS[name]
        size = draw(sizes(op))
        recent = st.integers(max(0, len(tape) - 4), len(tape) - 1)
        places = draw(st.lists(st.one_of(recent, st.integers(0, len(tape) - 1)), min_size=size, max_size=size))
        if draw(st.booleans()):
            clock.data += 1.0
        if draw(st.booleans()):
            tape.append(Value(1.0))
        tape.append(Value.apply_op(op, [tape[place] for place in places]))
    return tape


def walked(roots: Sequence[Value]) -> tuple[list[Value], list[Value]]:
    """Leaves as a recursive walk meets them; inner nodes as it leaves them."""
    below: dict[Value, None] = {}
    inner: dict[Value, None] = {}

    def go(v: Value) -> None:
        if v.op is None:
            below[v] = None
        elif v not in inner:
            for p in v.parents:
                go(p)
            inner[v] = None

    for root in roots:
        go(root)
    return list(below), list(inner)


def same_nodes(found: Iterable[Any], expected: Iterable[Any]) -> bool:
    return [id(v) for v in found] == [id(v) for v in expected]


def picked(tape: Sequence[Value]) -> st.SearchStrategy[list[Value]]:
    return st.lists(st.one_of(st.just(tape[-1]), st.sampled_from(tape)), max_size=4)


@settings(max_examples=100)
@given(st.data())
def test_a_walk_against_a_recursive_one(data: st.DataObject) -> None:
    tape = data.draw(tangles())
    roots = data.draw(picked(tape))
    reached = data.draw(st.lists(st.sampled_from(tape), max_size=1))
    for v in reached:
        v.grad = 1.0
    for _ in range(2):
        below, inner = walked(roots)
        graph = walk(tuple(roots))
        assert same_nodes(graph.leaves, below)
        assert same_nodes(graph.inner, inner)
        assert graph.oldest == min([v._stamp for v in inner], default=node.shared.now)
        assert graph.again is any(v in reached for v in inner)
        assert graph.may_fail is (not COMPILED or any(v._rule.may_fail for v in inner))  # type: ignore[union-attr]
        roots = roots[::-1]


@pytest.mark.parametrize("op", [op for op in OPS.values() if not op.rule.may_fail], ids=lambda op: op.name)
def test_a_rule_that_never_fails_calls_nothing_of_its_row(op: Op) -> None:
    """For the leaves' gradients are then not kept for the event of a failure."""
    y = Value.apply_op(op, [Value(0.5)] * few(op))
    rule = y._rule
    assert type(rule) is not Rule and rule is not None
    kept = rule.pullback, rule.op
    try:
        rule.pullback = rule.op = None
        rule.pull(y)
    finally:
        rule.pullback, rule.op = kept


@pytest.mark.parametrize("number", [0.0, -0.0, inf, -inf, nan, 1e308, -1e308, TINY, -1.0])
def test_what_a_pass_may_meet_where_nothing_fails(number: float) -> None:
    for op in OPS.values():
        if not op.rule.may_fail:
            Value.apply_op(op, [Value(number)] * few(op)).backward(number)


def test_rules_that_ask_their_row_may_fail() -> None:
    assert Rule().may_fail
    assert all(op.rule.may_fail for op in OPS.values() if type(op.rule) is Rule)
    assert OPS["div"].rule.may_fail
    assert OPS["pow"].rule.may_fail
    assert custom(lambda x: x, lambda out, x: 1.0).rule.may_fail


@settings(max_examples=100)
@given(st.data())
def test_what_is_unknown_against_a_recursive_walk(data: st.DataObject) -> None:
    tape = data.draw(tangles())
    known = data.draw(st.lists(st.sampled_from(tape), max_size=3))
    root = data.draw(st.sampled_from(tape))
    order: dict[Value, None] = {}

    def go(v: Value) -> None:
        if v not in order and v not in known:
            for p in v.parents:
                go(p)
            order[v] = None

    go(root)
    for _ in range(2):
        assert same_nodes(unknown(root, {id(v): object() for v in known}), order)


def test_walks_and_what_is_unknown_take_turns() -> None:
    x = Value(2.0)
    y = x * x + x
    for _ in range(3):
        assert len(unknown(y, {})) == 3
        assert len(walk((y,)).inner) == 2
        assert pickle.loads(pickle.dumps(y)).data == 6.0
        assert len(walk((y,)).leaves) == 1


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_deep_chains_of_nodes_of_many_operands(place: str) -> None:
    x, one = Value(1.0), Value(1.0)
    y: Value = x
    made = []
    for k in range(30_000):
        operands = {"first": [y, one, x], "middle": [one, y, x], "last": [x, one, y]}[place]
        y = (Value.apply_op(OPS["clamp"], [y, -2.0, 2.0]), autograd.sum(operands), y * one)[k % 3]
        made.append(y)
    graph = walk((y,))
    assert same_nodes(graph.inner, made)
    assert same_nodes([v for v in graph.leaves if v.kind == "variable"], [one, x] if place == "middle" else [x, one])
    assert same_nodes([v for v in unknown(y, {}) if v.op is not None], made)
    twin = copy.deepcopy(y)
    y.backward()
    twin.backward()
    assert leaves(twin)[0].grad == leaves(y)[0].grad


def test_a_wide_node_over_wide_nodes() -> None:
    xs = [Value(float(k)) for k in range(300)]
    rows = [autograd.sum(xs) for _ in range(300)]
    top = autograd.sum([xs[0], *rows, *rows[::-1], xs[1]])
    graph = walk((top, rows[3], xs[5]))
    assert same_nodes(graph.leaves, xs)
    assert same_nodes(graph.inner, [*rows, top])


# The pass back


@settings(max_examples=100)
@given(program=programs(), again=st.sampled_from([1.0, -2.0, 0.5]))
def test_passes_sum_on_leaves_and_replace_on_inner_nodes(program: Program, again: float) -> None:
    tape = program.values()
    root = tape[-1]
    graph = walk((root,))
    assert grads([*graph.leaves, *graph.inner]) == [None] * (len(graph.leaves) + len(graph.inner))
    root.backward()
    first = [v.grad for v in graph.leaves]
    inner = [v.grad for v in graph.inner]
    assert [v._grad is None for v in graph.leaves] == [v.kind == "constant" for v in graph.leaves]
    assert None not in grads(graph.inner)
    root.backward(again)
    assert [v.grad for v in graph.leaves] == pytest.approx([g * (1 + again) for g in first], rel=1e-9, abs=1e-12)
    assert [v.grad for v in graph.inner] == [g * again for g in inner]
    middle = tape[len(tape) // 2]
    before = {v: v._grad for v in topological_order(root)}
    below = set(topological_order(middle))
    if middle.kind != "constant":
        middle.backward()
        assert all(v._grad == before[v] for v in before if v not in below)


def test_an_inner_node_s_gradient_is_of_the_last_pass_through_it() -> None:
    x = Value(3.0)
    h = x * x
    y, z = h * 2.0, h * 5.0
    y.backward()
    assert (h.grad, x.grad) == (2.0, 12.0)
    z.backward()
    assert (h.grad, x.grad, y.grad) == (5.0, 42.0, 1.0)
    h.grad = 100.0
    y.backward()
    assert (h.grad, x.grad) == (2.0, 54.0)
    y.backward()
    assert (h.grad, y.grad, x.grad) == (2.0, 1.0, 66.0)


def test_a_gradient_set_by_hand_on_an_inner_node_is_not_passed_on() -> None:
    x = Value(3.0)
    h = x * 2.0
    y = autograd.sum([h, x, h])
    h.grad = 50.0
    y.backward()
    assert (h.grad, x.grad) == (2.0, 5.0)
    y._grad = None
    y.backward()
    assert (y.grad, x.grad) == (1.0, 10.0)


def test_a_root_that_is_a_leaf() -> None:
    x = Value(3.0)
    assert x._grad is None
    x.backward(0.0)
    assert x._grad == 0.0
    x.backward(2.5)
    x.backward()
    assert x._grad == 3.5
    pass_back(x, 1.0, walk((x,)))
    assert x._grad == 4.5


@pytest.mark.parametrize("set_by_hand", [None, 7.0])
def test_constants_keep_what_they_had(set_by_hand: float | None) -> None:
    x, c = Value(3.0), Value(2.0, kind="constant")
    if set_by_hand is not None:
        c.grad = set_by_hand
    ends = [c * x, x**c, c**x, autograd.dot([c, x], [x, c]), autograd.affine([c], [c], c) * x]
    for y in [*ends, autograd.sum([c, *ends, c])]:
        y.backward()
        assert c._grad == set_by_hand
        assert y.parents[0]._grad is not None or y.parents[0].kind == "constant"
    with x.register_hook(lambda g: None):
        ends[0].backward()
    assert c._grad == set_by_hand
    x.kind = "constant"
    before = x.grad
    ends[0].backward()
    assert (x.grad, c._grad) == (before, set_by_hand)
    c.kind = "parameter"
    ends[0].backward()
    assert c._grad == (set_by_hand or 0.0) + 3.0


class Stop(BaseException):
    """As KeyboardInterrupt is, nothing that `except Exception` would hold back."""


def failing(error: BaseException | None, slot: int) -> Op:
    """A row of so many operands as slot + 1, whose last partial fails."""

    def partial(out: float, *operands: float) -> float:
        if error is not None:
            raise error
        return 1.0

    if slot == 0:
        return custom(lambda x: x, lambda out, x: partial(out))
    if slot == 1:
        return custom(lambda x, y: x + y, lambda out, x, y: 1.0, lambda out, x, y: partial(out))
    return custom(
        lambda x, y, z: x + y + z,
        lambda out, x, y, z: 1.0,
        lambda out, x, y, z: 1.0,
        lambda out, x, y, z: partial(out),
    )


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), Stop(), RuntimeError("no"), ValueError("no"), TypeError("no"), IndexError("no")]
)
@pytest.mark.parametrize("slot", [0, 1, 2])
@pytest.mark.parametrize("passes_before", [0, 1])
def test_a_pass_that_fails(error: BaseException, slot: int, passes_before: int) -> None:
    """It fails last, when every other node has been reached."""
    x, fresh, held, c = Value(2.0, label="x"), Value(3.0), Value(4.0), Value(5.0, kind="constant")
    good = x * held
    for _ in range(passes_before):
        good.backward()
    held.grad, c.grad = 0.5, 0.25
    early = failing(error, slot)(*[x * c, good * fresh, held + x][: slot + 1])
    y = autograd.sum([early, good, early * x, fresh, c, held])
    graph = walk((y,))
    before = grads(graph.leaves)
    for _ in range(2):
        with pytest.raises(type(error)) as refused:
            y.backward()
        assert ("the partials of custom(" in str(refused.value)) is isinstance(
            error, (ValueError, TypeError, IndexError)
        )
        assert grads(graph.leaves) == before
        assert grads(graph.inner) == [None] * len(graph.inner)
        assert [v.grad for v in graph.inner] == [0.0] * len(graph.inner)
    good.backward()
    assert x.grad == (before[0] or 0.0) + 4.0
    z = autograd.sum([good, x])
    z.backward()
    assert (z.grad, good.grad) == (1.0, 1.0)


@pytest.mark.parametrize("at", range(6))
def test_a_pass_that_is_interrupted_anywhere(at: int) -> None:
    calls = 0

    def partial(out: float, x: float) -> float:
        nonlocal calls
        calls += 1
        if calls == at + 1:
            raise KeyboardInterrupt
        return 2.0

    row = custom(lambda x: 2 * x, partial)
    x, w = Value(1.0), Value(5.0)
    y = x
    for _ in range(6):
        y = autograd.affine([row(y)], [w], x)
    x.grad = 1.5
    with pytest.raises(KeyboardInterrupt):
        y.backward()
    assert (x._grad, w._grad) == (1.5, None)
    assert grads(walk((y,)).inner) == [None] * 12
    y.backward()
    once = x.grad - 1.5
    calls = 100
    y.backward()
    assert x.grad == 1.5 + 2 * once


def test_a_partial_that_runs_a_pass_of_its_own() -> None:
    def slope(out: float, x: float) -> float:
        inner = Value(x)
        (inner * inner * inner).backward()
        return inner.grad

    cube = custom(lambda x: x**3, slope)
    x = Value(2.0)
    (cube(x) * 2.0).backward()
    assert x.grad == 24.0


def test_partials_that_give_whole_numbers_or_too_few() -> None:
    whole = custom(lambda x, y: x + y, lambda out, x, y: 1, lambda out, x, y: True)
    x, y = Value(2.0), Value(3.0)
    whole(x, y).backward()
    assert all_bits([x.grad, y.grad]) == all_bits([1.0, 1.0])
    too_few: list[Op] = [
        Op("f", lambda x, y: x, (lambda out, x, y: 1.0, lambda out, x, y: 1.0), pullback=lambda g, out, x, y: [g]),
        Op("f", lambda x: x, (lambda out, x: 1.0,), pullback=lambda g, out, x: [g, g]),
        Op(
            "f",
            lambda *values: math.fsum(values),
            gather=lambda values: tuple(values),
            gradient=lambda out, *values: (1.0,) * len(values),
            pullback=lambda g, out, *values: [g],
        ),
    ]
    for op in too_few:
        operands = [x, y] if len(op.operands) == 2 or op.variadic else [x]
        with pytest.raises(ValueError, match=r"the partials of f\("):
            Value.apply_op(op, operands).backward()
        assert (x.grad, y.grad) == (1.0, 1.0)


@pytest.mark.parametrize("slot", [0, 1, 2])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_what_a_partial_gives_becomes_a_float_or_is_refused(size: int, slot: int) -> None:
    slot = min(slot, size - 1)
    for number, expected in ((Fraction(1, 4), 0.25), (2, 2.0), (True, 1.0), (Value(2.0), None), ("2", None)):
        cotangents: list[Any] = [1.0] * size
        cotangents[slot] = number
        for given_as in (tuple, list, iter):
            row = Op(
                "f",
                lambda *values: math.fsum(values),
                gather=lambda values: tuple(values),
                gradient=lambda out, *values: (1.0,) * len(values),
                pullback=lambda g, out, *values, given_as=given_as, cotangents=cotangents: given_as(cotangents),
            )
            if size < 3:
                row = Op("f", lambda *xs: math.fsum(xs), PARTIALS[size], pullback=row.pullback)
            xs = [Value(1.0) for _ in range(size)]
            y = Value.apply_op(row, xs)
            if expected is None:
                with pytest.raises(TypeError):
                    y.backward()
                assert grads([*xs, y]) == [None] * (size + 1)
            else:
                y.backward()
                assert all_bits(x.grad for x in xs) == all_bits([*[1.0] * slot, expected, *[1.0] * (size - slot - 1)])


PARTIALS: dict[int, list[Callable[..., Any]]] = {
    1: [lambda out, x: 1.0],
    2: [lambda out, x, y: 1.0, lambda out, x, y: 1.0],
}


@pytest.mark.parametrize("size", [1, 2, 3])
def test_partials_that_divide_by_zero_follow_ieee(size: int) -> None:
    def slope(out: Any, *xs: Any) -> Any:
        return 1.0 / xs[0]

    row = {
        1: lambda: custom(lambda x: x, lambda out, x: slope(out, x)),
        2: lambda: custom(lambda x, y: x + y, lambda out, x, y: 3.0, lambda out, x, y: slope(out, x, y)),
        3: lambda: custom(
            lambda x, y, z: x + y + z,
            lambda out, x, y, z: 3.0,
            lambda out, x, y, z: slope(out, x),
            lambda out, x, y, z: 5.0,
        ),
    }[size]()
    xs = [Value(0.0) for _ in range(size)]
    row(*xs).backward(-1.0)
    assert [x.grad for x in xs] == {1: [-inf], 2: [-3.0, -inf], 3: [-3.0, -inf, -5.0]}[size]


# Time stamps


def stale_graphs(x: Value, y: Value) -> list[Value]:
    """With x as an operand in every place of nodes of any size."""
    return [
        -x,
        x * y,
        y * x,
        autograd.sum([x, y, y]),
        autograd.sum([y, y, x]),
        autograd.dot([y], [x]),
        autograd.affine([y], [y], x),
        autograd.clamp(y, -9.0, x),
        autograd.where(y, x, 1.0),
        neuron([x], [y], y, OPS["tanh"]),
    ]


THROUGH: dict[str, Callable[[Any], Any]] = {
    "itself": lambda obj: obj,
    "deepcopy": copy.deepcopy,
    "pickle": lambda obj: pickle.loads(pickle.dumps(obj)),
    "twice": lambda obj: copy.deepcopy(pickle.loads(pickle.dumps(obj))),
}


@pytest.mark.parametrize("way", THROUGH.values(), ids=THROUGH)
@pytest.mark.parametrize("place", range(10))
def test_a_leaf_changed_since_makes_stale(way: Callable[[Any], Any], place: int) -> None:
    x, y = Value(2.0, label="x"), Value(3.0, label="y")
    fresh = stale_graphs(x, y)[place]
    x, y, fresh = way([x, y, fresh])
    top = autograd.sum([fresh, y, fresh * 2.0])
    top.backward()
    top.backward()
    assert y.grad in (2.0, y.grad)
    before = {v: v._grad for v in topological_order(top)}
    x.data = 2.0  # the same
    top.backward(0.0)
    assert {v: v._grad for v in leaves(top) if v.kind != "constant"} == {
        v: before[v] for v in leaves(top) if v.kind != "constant"
    }
    top.backward()
    before = {v: v._grad for v in topological_order(top)}
    for later in (5.0, -0.0, 0.0):
        x.data = later
        for clone in (top, way(top), copy.copy(top)):
            with pytest.raises(StaleGraphError, match="'x'"):
                clone.backward()
        assert {v: v._grad for v in topological_order(top)} == before
    if x in fresh.parents:
        with pytest.raises(StaleGraphError, match="'x'"):
            way(fresh).local_derivatives  # noqa: B018
    x2, y2 = way([x, y])
    again = stale_graphs(x2, y2)[place]
    again.backward()
    y2.data = 1.0
    if y2 in leaves(again):
        with pytest.raises(StaleGraphError, match="'y'"):
            again.backward()


@pytest.mark.parametrize("hook", [True, False])
def test_a_stale_graph_that_is_watched_keeps_its_gradients(hook: bool) -> None:
    """By a hook, or under detect_anomaly, whose errors take the inner gradients away."""
    x, w = Value(2.0, label="x"), Value(3.0)
    h = x * w
    y = autograd.sum([h, w, h])
    y.backward()
    handle = h.register_hook(lambda g: 2 * g) if hook else None
    x.data = 5.0
    before = grads([x, w, h, y])
    with contextlib.nullcontext() if hook else detect_anomaly(), pytest.raises(StaleGraphError, match="'x'"):
        y.backward()
    assert grads([x, w, h, y]) == before == [6.0, 5.0, 2.0, 1.0]
    if handle is not None:
        handle.remove()


def test_zero_and_minus_zero_are_not_the_same_data() -> None:
    x = Value(0.0, label="x")
    y = x * 1.0
    x.data = 0.0
    y.backward()
    x.data = -0.0
    with pytest.raises(StaleGraphError):
        y.backward()


def test_a_change_above_or_beside_makes_nothing_stale() -> None:
    x, y = Value(2.0), Value(3.0)
    early = autograd.sum([x, x, x])
    y.data = 4.0
    late = autograd.dot([early, y], [y, x])
    late.backward()
    assert (x.grad, y.grad) == (16.0, 8.0)
    y.data = 5.0
    early.backward()
    assert x.grad == 19.0
    leaf = Value(1.0)
    next_moment()
    (leaf + autograd.sum([leaf, x, early])).backward()


def test_a_leaf_made_later_than_a_node_is_no_change_of_it() -> None:
    x = Value(2.0)
    early = x * 3.0
    x_moves = Value(0.0)
    x_moves.data = 1.0
    late = autograd.sum([early, Value(1.0), early])
    late.backward()
    assert x.grad == 6.0


AHEAD = """
import pickle, sys
import autograd
x, y = autograd.Value(2.0, label="x"), autograd.Value(3.0, label="y")
for step in range(5000):
    y.data = step
z = autograd.sum([x, y, x * y, autograd.clamp(x, y, 9e9)])
y2 = autograd.Value(1.0, label="y2")
stale = autograd.affine([x], [y2], y)
y2.data = 2.0
sys.stdout.buffer.write(pickle.dumps([x, y, z, y2, stale]))
"""


def test_the_clock_of_another_process() -> None:
    done = subprocess.run([sys.executable, "-c", AHEAD], capture_output=True, cwd=ROOT, check=True)
    now = node.shared.now
    mine = Value(4.0, label="mine")
    old = autograd.sum([mine, mine, mine])
    x, y, z, y2, stale = pickle.loads(done.stdout)
    assert node.shared.now >= max(5000, now)
    with pytest.raises(StaleGraphError, match="'y2'"):
        stale.backward()
    old.backward()
    both = autograd.sum([z, mine, x, old])
    both.backward()
    assert mine.grad == 7.0
    mine.data = 5.0
    for root in (both, old):
        with pytest.raises(StaleGraphError, match="'mine'"):
            root.backward()
    z.backward()
    y.data = 1.0
    with pytest.raises(StaleGraphError, match="'y'"):
        z.backward()
    fresh = autograd.dot([x, y2], [y, mine])
    fresh.backward()
    now = node.shared.now
    pickle.loads(pickle.dumps(fresh))
    assert node.shared.now == now


# Copies and pickles


class Named(Value):
    """With attributes in a __dict__."""

    attribute: Any
    back: Any
    box: Any
    stored: Any
    z: Any


@pytest.fixture(autouse=True)
def nothing_stays_alive() -> Iterator[None]:
    yield
    if copying._of_thread.being_written.graphs:  # an error that was caught may hold a pickler in a cycle
        gc.collect()
    left = len(copying._of_thread.being_written.places), len(copying._of_thread.being_written.graphs)
    copying._of_thread.being_written.__init__()  # type: ignore[misc]  # or the next test would fail as well
    assert left == (0, 0)


def assert_same_graphs(before: Sequence[Value], after: Sequence[Value]) -> None:
    one, two = topological_order(*before), topological_order(*after)
    assert len(one) == len(two)
    place, there = ({id(v): i for i, v in enumerate(order)} for order in (one, two))
    assert [place[id(v)] for v in before] == [there[id(v)] for v in after]
    for v, w in zip(one, two, strict=True):
        assert v is not w
        assert (bits(v.data), v._grad, v.label, v.kind, v.op, type(v)) == (
            *(bits(w.data), w._grad, w.label, w.kind, w.op, type(w)),
        )
        assert [place[id(p)] for p in v.parents] == [there[id(p)] for p in w.parents]


def marks(nodes: Iterable[Any]) -> set[int]:
    return {v._mark for v in nodes}


def test_pickles_of_very_many_small_values() -> None:
    xs = [Value(float(k)) for k in range(20_000)]
    xs[5].label = "five"
    written = pickle.dumps(xs)
    assert len(written) < 100 * len(xs)
    assert marks(xs) == {0}
    twins = pickle.loads(written)
    assert [v.data for v in twins] == [v.data for v in xs]
    assert len({id(v) for v in twins}) == len(xs)
    assert (twins[5].label, twins[6].label) == ("five", "")


@pytest.mark.parametrize("pickler", PICKLERS)
def test_a_list_of_nodes_each_made_of_the_one_before_is_written_in_linear_time(
    pickler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []
    columns, found_unknown = node.Columns, node.unknown

    def counted_columns(order: list[Any]) -> Any:
        looked_at.append(len(order))
        return columns(order)

    def counted_unknown(root: Any, known: dict[int, Any]) -> list[Any]:
        order = found_unknown(root, known)
        looked_at.append(len(order))
        return order

    monkeypatch.setattr(copying, "Columns", counted_columns)
    monkeypatch.setattr(copying, "unknown", counted_unknown)
    lengths = []
    for n in (200, 400):
        x = Value(1.5)
        ys = [x]
        for k in range(n):
            ys.append(autograd.sum([ys[-1], x, x]) if k % 2 else ys[-1] * x)
        looked_at.clear()
        file = io.BytesIO()
        pickler(file).dump(ys)
        assert sum(looked_at) <= 3 * (n + 1)
        lengths.append(len(file.getvalue()))
        assert_same_graphs(ys, pickle.loads(file.getvalue()))
    assert lengths[1] < 2.2 * lengths[0]


@settings(max_examples=60)
@given(st.data())
def test_graphs_that_share_nodes_through_one_pickler(data: st.DataObject) -> None:
    tape = data.draw(tangles())
    file = io.BytesIO()
    pickler = data.draw(st.sampled_from(PICKLERS))(file)
    dumped = data.draw(st.lists(picked(tape), min_size=1, max_size=5))
    for roots in dumped:
        pickler.dump(roots)
        assert marks(topological_order(*roots)) != {-1}
    del pickler
    file.seek(0)
    unpickler = pickle.Unpickler(file)
    loaded = [unpickler.load() for _ in dumped]
    assert_same_graphs([v for roots in dumped for v in roots], [v for roots in loaded for v in roots])


@settings(max_examples=60)
@given(st.data())
def test_pickles_while_other_picklers_hold_parts_of_the_graph(data: st.DataObject) -> None:
    tape = data.draw(tangles())
    held = []
    for roots in data.draw(st.lists(picked(tape), min_size=1, max_size=3)):
        held.append(pickle.Pickler(io.BytesIO()))
        held[-1].dump(roots)
    if len(held) > 1 and data.draw(st.booleans()):
        del held[0]
    tape[0].label = "since"
    tape[-1].grad = 0.5
    roots = data.draw(picked(tape))
    assert_same_graphs(roots, pickle.loads(pickle.dumps(roots)))
    held.clear()
    assert copying._of_thread.being_written.places == {}
    assert_same_graphs(tape, pickle.loads(pickle.dumps(tape)))


def test_a_pickler_that_goes_while_another_writes() -> None:
    """The collector may run at any allocation, and free a pickler that an exception's traceback held in a cycle."""
    a = Value(1.0) * 2.0 + 3.0
    b = Value(7.0) * 5.0 + a
    c = Value(11.0) * 13.0 - 17.0
    found_unknown = node.unknown

    def collecting(root: Any, known: dict[int, Any]) -> list[Any]:
        order = found_unknown(root, known)
        gc.collect()
        return order

    earlier = pickle.Pickler(io.BytesIO())
    earlier.dump(a)
    cycle: list[Any] = [earlier]
    cycle.append(cycle)
    del cycle, earlier
    nodes = [b, c, a, b.parents[0], c.parents[0]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copying, "unknown", collecting)
        written = pickle.dumps(nodes)
    assert_same_graphs(nodes, pickle.loads(written))


def test_a_pickler_that_is_freed_in_another_thread(recwarn: pytest.WarningsRecorder) -> None:
    """As when an error in a worker thread, whose traceback holds the pickler, is looked at in the main one."""
    x = Value(2.0)
    y = x * 3.0
    held: list[Any] = [pickle.Pickler(io.BytesIO())]
    held[0].dump(y)
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    assert [str(w.message) for w in recwarn] == []
    assert_same_graphs([y, x], pickle.loads(pickle.dumps([y, x])))
    assert copying._of_thread.being_written.places == {}


@pytest.mark.parametrize("pickler", PICKLERS)
def test_a_pickler_that_fails_and_one_that_succeeds(pickler: Any) -> None:
    x, bad = Value(2.0), Named(3.0)
    bad.attribute = lambda: None
    y = autograd.sum([x * 2.0, bad, x])
    for _ in range(2):
        with pytest.raises((pickle.PicklingError, AttributeError)):
            pickler(io.BytesIO()).dump([x * 5.0, y])
    gc.collect()
    assert copying._of_thread.being_written.graphs == {}
    assert {v._mark >= 0 for v in walk((y,)).inner} == {True}
    bad.attribute = "good"
    twin = pickle.loads(pickle.dumps(y))
    assert twin.parents[1].attribute == "good"
    assert_same_graphs([y], [twin])


class Full:
    """A file that takes so many writes."""

    def __init__(self, writes: int) -> None:
        self.writes = writes

    def write(self, text: bytes) -> int:
        self.writes -= 1
        if self.writes < 0:
            raise OSError("the disk is full")
        return len(text)


@pytest.mark.parametrize("writes", range(0, 60, 3))
def test_a_pickler_that_fails_anywhere(writes: int) -> None:
    x = Named(2.0)
    y = x * 3.0
    x.attribute = [y, autograd.sum([y, x, y])]
    pickler = PICKLERS[1](Full(writes), protocol=1)
    with pytest.raises(OSError, match="full"):
        pickler.dump([y, x])
    for alive in (True, False):
        twin, x2 = pickle.loads(pickle.dumps([y, x]))
        assert (twin.parents[0], x2.attribute[0], x2.attribute[1].parents) == (x2, twin, (twin, x2, twin))
        if alive:
            del pickler


@pytest.mark.parametrize("way", list(THROUGH.values())[1:], ids=list(THROUGH)[1:])
def test_attributes_that_refer_to_nodes(way: Callable[[Any], Any]) -> None:
    """To itself, to what it is made of, to what is made of it, in containers, and around in a circle."""
    x, v = Value(2.0, label="x"), Named(3.0)
    y = v * x
    z = autograd.sum([y, v, y])
    w = Named(1.0)
    for name, attribute in {"me": v, "x": x, "y": y, "box": {"z": z, "ys": [y, (z,)], "w": w}}.items():
        setattr(v, name, attribute)
    w.back = v
    z.label = "z"
    for roots in ([z, y, v, x], [x, v, y, z], [y], [v]):
        twins = way(roots)
        v2: Any = twins[roots.index(v)] if v in roots else twins[0].parents[0]
        y2, z2 = v2.y, v2.box["z"]
        assert type(v2) is Named
        assert v2.me is v2 is y2.parents[0] is v2.box["w"].back
        assert v2.x is y2.parents[1]
        assert z2.parents == (y2, v2, y2)
        assert v2.box["ys"] == [y2, (z2,)]
        assert (v2.x.label, z2.label) == ("x", "z")
        z2.backward()
        assert (v2.grad, v2.x.grad) == (5.0, 6.0)
        assert v2 is not v


def test_attributes_while_another_pickler_holds_them() -> None:
    x, v = Value(2.0), Named(3.0)
    y = v * x
    z = autograd.sum([y, v, y])
    v.z = z
    held = pickle.Pickler(io.BytesIO())
    held.dump(y)
    z2, y2 = pickle.loads(pickle.dumps([z, y]))
    assert z2.parents[1].z is z2
    assert z2.parents == (y2, y2.parents[0], y2)


class Stored:
    """Pickles what it holds by itself, in a pickle inside the pickle."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (pickle.dumps(self.held),)


def _restored(text: bytes) -> Stored:
    return Stored(pickle.loads(text))


def test_a_pickle_inside_a_pickle_of_another_graph() -> None:
    v = Named(3.0)
    inner = autograd.sum([Value(2.0, label="inner")] * 3)
    v.stored = Stored(inner)
    y = v * Value(5.0)
    y2, v2 = pickle.loads(pickle.dumps([y, v]))
    assert y2.parents[0] is v2
    assert v2.stored.held.parents[0].label == "inner"
    assert_same_graphs([inner], [v2.stored.held])


def test_a_pickle_inside_a_pickle_beside_a_shared_leaf() -> None:
    x = Value(2.0, label="x")
    y = x * 3.0
    y2, stored, x2 = pickle.loads(pickle.dumps([y, Stored(x * 5.0 + y), x]))
    assert y2.parents[0] is x2
    assert stored.held.data == 16.0
    assert stored.held.parents[1].parents[0].label == "x"
    assert stored.held.parents[1].parents[0] is not x2


def test_threads_pickle_and_walk_the_same_graph() -> None:
    x = Value(0.5)
    y = x
    for k in range(300):
        y = autograd.sum([y, x, x]) if k % 2 else y * x
    below = list(y.parents)
    errors: list[BaseException] = []

    def work(roots: list[Value]) -> None:
        try:
            for _ in range(15):
                held = pickle.Pickler(io.BytesIO())
                held.dump(roots[-1])
                twins = pickle.loads(pickle.dumps(roots))
                assert_same_graphs(roots, twins)
                copy.deepcopy(roots)
                del held
            assert copying._of_thread.being_written.places == {}
        except BaseException as error:
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(roots,)) for roots in ([y], below, [x, y], [y, *below])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert errors == []


@settings(max_examples=60)
@given(tangles())
def test_marks_are_put_back(tape: list[Value]) -> None:
    every = topological_order(*tape)
    pickle.dumps(tape)
    assert min(marks(every)) >= 0
    assert same_nodes(topological_order(*tape), every)
    columns = node.Columns(every)
    assert marks(every) == {0}
    assert len(columns.rules) == len(columns.counts) == len(every)


def test_columns_are_put_back_after_an_error() -> None:
    nodes: list[Any] = [Value(1.0), Value(2.0)]
    with pytest.raises((TypeError, AttributeError)):
        node.Columns([*nodes, "no node"])
    assert all(v._mark >= 0 for v in nodes)
    assert pickle.loads(pickle.dumps(nodes[0] * nodes[1])).data == 2.0


def test_columns_hold_what_nodes_do() -> None:
    a, b, outside = Value(1.5, label="a"), Value(2.0, kind="parameter"), Value(4.0)
    b.data = 3.0
    s = autograd.sum([a, outside, b, a, outside])
    p = s * outside
    a.grad = 0.0
    s.grad = -2.0
    p.label = "p"
    columns = node.Columns([a, b, s, p])
    assert columns.rules == [None, None, OPS["sum"].rule, OPS["mul"].rule]
    assert columns.kinds == [node.A_VARIABLE, node.A_PARAMETER, node.A_RESULT, node.A_RESULT]
    assert columns.numbers == [1.5, 3.0, 14.0, 56.0]
    assert columns.cotangents == [0.0, 0.0, -2.0, 0.0]
    assert columns.reached == [True, False, True, False]
    assert columns.stamps == [a._stamp, b._stamp, s._stamp, p._stamp]
    assert columns.labels == {0: "a", 3: "p"}
    assert columns.counts == [0, 0, 5, 2]
    places = [columns.others[-1 - place] if place < 0 else [a, b, s, p][place] for place in columns.operands]
    assert places == [a, outside, b, a, outside, s, outside]
    assert set(columns.others) == {outside}


def test_nothing_keeps_a_pickled_or_copied_graph_alive() -> None:
    x = Value(2.0)
    y = autograd.sum([x, x * 3.0, x])
    inner = y.parents[1]
    watched = [weakref.ref(v) for v in (x, inner, y)]
    gc.disable()
    try:
        pickler = pickle.Pickler(io.BytesIO())
        pickler.dump([y, inner])
        twin = pickle.loads(pickle.dumps(y))
        clone = copy.deepcopy(y)
        watched += [weakref.ref(v) for v in (*topological_order(twin), *topological_order(clone))]
        del pickler
        state = copying._of_thread.being_written
        assert (state.places, state.graphs, state.firsts) == ({}, {}, [])
        del x, y, inner, twin, clone
        assert [ref() for ref in watched] == [None] * len(watched)
    finally:
        gc.enable()


def test_what_one_pickler_lets_go_others_still_hold() -> None:
    x = Value(2.0)
    a, b = x * 3.0, x * 5.0
    first, file = pickle.Pickler(io.BytesIO()), io.BytesIO()
    second = pickle.Pickler(file)
    first.dump(a)
    second.dump([b, a])
    del first
    second.dump([a, b, x])
    file.seek(0)
    unpickler = pickle.Unpickler(file)
    b2, a2 = unpickler.load()
    assert unpickler.load() == [a2, b2, x2 := a2.parents[0]]
    assert b2.parents[0] is x2
    del second
    assert copying._of_thread.being_written.places == {}


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 200])
def test_short_and_long_columns(n: int) -> None:
    xs = [Value(0.1 * k, label=f"x{k}" if k % 3 == 0 else "") for k in range(n)]
    y = autograd.sum(xs)
    y.backward()
    xs[0].kind = "constant"
    assert_same_graphs([y, *xs], pickle.loads(pickle.dumps([y, *xs])))


def test_a_row_of_ones_own_comes_back_with_its_rule() -> None:
    f = register(Op("three_way", lambda x, y, z: x * y + z, (_y, _x, _one)))
    x = Value(2.0)
    y = f(x, 3.0, x)
    for twin in (pickle.loads(pickle.dumps(y)), copy.deepcopy(y), copy.copy(y)):
        assert twin.op is f
        assert twin.parents[0] is twin.parents[2]
        twin.backward()
        assert twin.parents[0].grad in (4.0, 8.0)  # a shallow copy has the same operands


def _y(out: Any, x: Any, y: Any, z: Any) -> Any:
    return y


def _x(out: Any, x: Any, y: Any, z: Any) -> Any:
    return x


def _one(out: Any, x: Any, y: Any, z: Any) -> Any:
    return 1.0


@pytest.mark.parametrize("way", [*THROUGH.values(), copy.copy], ids=[*THROUGH, "copy"])
def test_a_gradient_of_zero_is_not_none(way: Callable[[Any], Any]) -> None:
    x = Value(2.0)
    y = autograd.sum([x, x, -x])
    y.backward(0.0)
    assert grads(way(v) for v in (x, y)) == [0.0, 0.0]
    assert grads(way(v) for v in (Value(1.0), x * x)) == [None, None]


def test_a_shallow_copy_has_a_list_of_its_own() -> None:
    x = Value(2.0)
    for y in (autograd.sum([x, x, x]), -x, x * x, x):
        clone = copy.copy(y)
        assert clone.parents == y.parents
        y._become_leaf()
        assert (y.op, y.parents) == (None, ())
        assert clone.parents in ((x, x, x), (x,), (x, x), ())


def test_only_nodes_are_rebuilt() -> None:
    for cls in (int, object, list):
        with pytest.raises(TypeError, match="class of nodes"):
            node.rebuilt(cls, None, [], 0, 1.0, None, 0, "")
    with pytest.raises(TypeError):
        copying._graph_of([int], [None], [[0], [0], [0], [1.0], [0.0], [0], [0], [0]], [], [], {})  # type: ignore[list-item]


class Slotted(Value):
    __slots__ = ("empty", "extra")

    extra: Any


def test_only_what_a_subclass_adds_is_written_beside_the_columns() -> None:
    named, slotted = Named(1.0, "n"), Slotted(2.0, "s")
    named.attribute, slotted.extra = ["a"], named
    y = named * slotted
    y.backward()
    assert copying._own_attributes(named) == {"attribute": ["a"]}
    assert copying._own_attributes(slotted) == {"extra": named}
    assert copying._own_attributes(y) == {}


def test_rows_and_classes_are_written_once_each_in_order_of_first_use() -> None:
    """So that the same graph makes the same pickle in every process."""
    assert copying._numbered([7, 3, 7, 1, 3]) == ([7, 3, 1], [0, 1, 0, 2, 1])
    assert copying._numbered([]) == ([], [])


@pytest.mark.parametrize("stamps", [(1, 7, 3), (7, 1, 3), (1, 3, 7)])
def test_the_clock_is_set_by_the_latest_of_all_nodes(stamps: tuple[int, ...]) -> None:
    """A stale graph's root is older than its leaf."""
    xs: list[Any] = [Value(1.0), Value(2.0), Value(3.0)]
    now = node.shared.now
    for x, stamp in zip(xs, stamps, strict=True):
        x._stamp = now + stamp
    y = autograd.sum(xs)
    twin = pickle.loads(pickle.dumps(y))
    assert node.shared.now == now + 7
    assert [x._stamp - now for x in twin.parents] == list(stamps)
    assert (xs[0] * 1.0)._stamp == now + 7


def test_long_columns_hold_large_stamps_and_places() -> None:
    x: Any = Value(1.0)
    y = x
    for _ in range(40_000):
        y = y + x
    x._stamp = node.shared.now = max(2**40, node.shared.now)
    twin = pickle.loads(pickle.dumps(y))
    assert_same_graphs([y], [twin])
    assert leaves(twin)[0]._stamp == x._stamp


# The garbage collector


class Uncopied(Value):
    def __init__(self, data: float) -> None:
        super().__init__(data)
        self.bad = Refuses()


class Refuses:
    def __deepcopy__(self, memo: Any) -> Any:
        assert not gc.isenabled()
        raise RuntimeError("not copied")

    def __reduce__(self) -> Any:
        raise RuntimeError("not pickled")


@pytest.fixture
def collector_on() -> Iterator[None]:
    assert gc.isenabled()
    yield
    on = gc.isenabled()
    gc.enable()
    assert on


def test_an_error_leaves_the_collector_on(collector_on: None, monkeypatch: pytest.MonkeyPatch) -> None:
    y = Uncopied(2.0) * 3.0
    with pytest.raises(RuntimeError, match="not copied"):
        copy.deepcopy(y)
    assert gc.isenabled()
    with pytest.raises(RuntimeError, match="not pickled"):
        pickle.dumps(y)
    assert gc.isenabled()
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(custom(lambda x: x, lambda out, x: 1.0)(Value(1.0)))
    assert gc.isenabled()
    with pytest.raises(IndexError):
        copying._graph_of([Value], [OPS["add"]], [[0], [0], [3], [1.0], [0.0], [0], [0], [0]], [], [], {})
    assert gc.isenabled()

    def interrupted(order: list[Any]) -> Any:
        assert not gc.isenabled()
        raise KeyboardInterrupt

    monkeypatch.setattr(copying, "Columns", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pickle.dumps(-Value(1.0))
    assert gc.isenabled()


def test_the_collector_rests_while_nodes_are_made(collector_on: None, monkeypatch: pytest.MonkeyPatch) -> None:
    y = Value(2.0, kind="constant") * 3.0
    made = []

    def watched(*fields: Any) -> Any:
        made.append(gc.isenabled())
        return node.rebuilt(*fields)

    monkeypatch.setattr(copying, "rebuilt", watched)
    pickle.loads(pickle.dumps(y))
    assert made == [False] * 3
    assert gc.isenabled()


def test_copies_leave_the_collector_as_it_was(collector_on: None) -> None:
    y = Value(2.0) * 3.0
    for way in list(THROUGH.values())[1:]:
        way(y)
        assert gc.isenabled()
        gc.disable()
        try:
            way(y)
            assert not gc.isenabled()
        finally:
            gc.enable()


def test_a_pickle_inside_a_pickle_may_share_leaves() -> None:
    x, v = Value(2.0, label="x"), Named(3.0)
    v.stored = Stored(x * 5.0)
    twin = pickle.loads(pickle.dumps(v * x))
    assert (twin.data, twin.parents[0].stored.held.data) == (6.0, 10.0)
    assert twin.parents[0].stored.held.parents[0].label == "x"


def test_a_leaf_is_written_alone_whatever_other_picklers_hold() -> None:
    x = Value(2.0)
    y = x
    for _ in range(1000):
        y = y * x + 1.0
    other = pickle.Pickler(io.BytesIO())
    other.dump(y)
    assert len(pickle.dumps(x)) < 200
    failed = pickle.Pickler(io.BytesIO())
    with pytest.raises(pickle.PicklingError):
        failed.dump(custom(lambda x: x, lambda out, x: 1.0)(x))
    assert pickle.loads(pickle.dumps(x)).data == 2.0


# What is not seen in the numbers


def test_a_class_made_at_run_time_is_freed() -> None:
    """With all that its methods hold, though there were objects of it, one of them its own attribute."""

    def make() -> "weakref.ref[type[Value]]":
        class Local(Value):
            pass

        v = Local(2.0)
        (v * v).backward()
        Local.kept = v  # type: ignore[attr-defined]
        return weakref.ref(Local)

    made = make()
    gc.collect()
    assert made() is None
    before = sys.getrefcount(Value)
    values = [Value(1.0) * 2.0 for _ in range(1000)]
    del values
    assert sys.getrefcount(Value) - before < 100


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this platform has no interval timers")
def test_signal_handlers_that_walk_other_graphs_on_the_way() -> None:
    y = x = Value(0.5)
    for _ in range(10_000):
        y = y * x + x
    other = Value(3.0)
    seen = 0

    def handler(*_: object) -> None:
        nonlocal seen
        z = other * 2.0
        z.backward()
        assert len(pickle.loads(pickle.dumps(topological_order(z)))) == 3
        seen += 1

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.005)
    try:
        while seen < 30:
            order = topological_order(y)
            assert (len(order), order[0], order[-1]) == (20_001, x, y)
            copies = copy.deepcopy(y), pickle.loads(pickle.dumps(y))
            assert [len(topological_order(v)) for v in copies] == [20_001, 20_001]
            y.backward()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    passes = x.grad / 4.0
    assert round(passes) == pytest.approx(passes)
