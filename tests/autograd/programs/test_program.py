"""What a user holds: calls, maps, means and sums, gradients, parameters, what is refused, copies and pickles."""

import copy
import gc
import math
import pickle
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

import autograd
from autograd import OPS, Op, StaleGraphError, TraceError, Value, custom, jit, no_grad, register
from autograd.collector import gc_paused
from autograd.programs import Program, compilation
from autograd.programs.groups import Bundle, Groups
from autograd.programs.numpy_machine import NumpyMachine

ROOT = Path(autograd.__file__).parents[1]


@pytest.fixture(autouse=True, params=["native", "numpy"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "numpy":
        monkeypatch.setattr(compilation, "machine", NumpyMachine)
    return request.param


class Line:
    """(w x + b - t) ** 2, its parameters and its derivatives."""

    def __init__(self) -> None:
        self.w, self.b = Value(2.0), Value(1.0)
        self.program = jit(self.loss)

    def loss(self, x: Any, t: Any) -> Any:
        return (self.w * x + self.b - t) ** 2

    def derivatives(self, X: Any, T: Any) -> list[float]:
        """Of the sum, by w and b."""
        slopes = [2 * (self.w.data * x + self.b.data - t) for x, t in zip(X, T, strict=True)]
        return [sum([s * x for s, x in zip(slopes, X, strict=True)]), sum(slopes)]


@pytest.fixture
def line() -> Iterator[Line]:
    return Line()


def flat(rows: Any) -> list[Any]:
    return [x for row in rows for x in row]


X, T = [1.0, 2.0, -1.0], [3.5, 5.0, 0.0]
LOSSES = [0.25, 0.0, 1.0]


# One sample, and many


def test_a_call_gives_what_f_returns_in_floats(line: Line) -> None:
    found = line.program(1.0, 3.5)
    assert found == 0.25
    assert type(found) is float
    assert line.program(1, np.float32(3.5)) == 0.25
    nested = jit(lambda x: {"a": x[0], "b": (x[1], [x[0] * 2, 3.0])})([1.0, 2.0])
    assert nested == {"a": 1.0, "b": (2.0, [2.0, 3.0])}
    assert all([type(v) is float for v in (nested["a"], *nested["b"][1])])


def test_a_call_gives_arrays_where_f_does() -> None:
    found = jit(lambda x: np.array([[x, 2 * x], [x * x, 1.0]]))(3.0)
    assert found.tolist() == [[3.0, 6.0], [9.0, 1.0]]


def test_arguments_are_numbers_lists_and_nested_lists() -> None:
    f = jit(lambda a, b, c: a + autograd.dot(b, c[0]) - c[1][1])
    assert f(1.0, [2.0, 3.0], [[4.0, 5.0], [6.0, 7.0]]) == 1 + 8 + 15 - 7
    assert f(1, (2, 3), np.array([[4, 5], [6, 7]])) == 17.0
    found = f.map([1.0, 2.0], [[2.0, 3.0]] * 2, [[[4.0, 5.0], [6.0, 7.0]], [[4.0, 5.0], [6.0, 8.0]]])
    assert found.tolist() == [17.0, 17.0]


def test_arguments_with_parts_of_different_lengths() -> None:
    f = jit(lambda x: x[0] * autograd.sum(x[1]) + x[2][0][1])
    assert f([2.0, [3.0, 4.0, 5.0], [[6.0, 7.0]]]) == 31.0
    assert f.map([[2.0, [3.0, 4.0, 5.0], [[6.0, 7.0]]], (1.0, (3.0, 4.0, 5.0), [[6.0, 8.0]])]).tolist() == [31.0, 20.0]


@pytest.mark.parametrize("count", [1, 9, 20])
def test_as_many_arguments_as_one_likes(count: int) -> None:
    w = Value(2.0)
    f = jit(lambda *xs: w * autograd.sum([x * k for k, x in enumerate(xs)]))
    columns = [[float(k), k + 1.0] for k in range(count)]
    expected = [sum([2.0 * k * column[i] for k, column in enumerate(columns)]) for i in (0, 1)]
    assert f.map(*columns).tolist() == expected
    inputs = [[Value(x) for x in column] for column in columns]
    f.sum(*inputs).backward()
    assert [[x.grad for x in column] for column in inputs] == [[2.0 * k] * 2 for k in range(count)]


def test_map_gives_arrays_of_the_shape_of_the_result() -> None:
    assert jit(lambda x: x + 1).map(X).tolist() == [2.0, 3.0, 0.0]
    assert jit(lambda x: [x, x + 1]).map(X).shape == (3, 2)
    assert jit(lambda x: [[x, x + 1, 0.0]]).map(X).tolist() == [[[x, x + 1, 0.0]] for x in X]
    assert jit(lambda x: np.array([[x], [2 * x]])).map(X).tolist() == [[[x], [2 * x]] for x in X]
    assert jit(lambda x: [x]).map(X).shape == (3, 1)
    assert jit(lambda x: []).map(X).shape == (3, 0)
    assert jit(lambda x: 3).map(X).tolist() == [3.0] * 3
    assert jit(lambda x: x).map(X).tolist() == X


def test_map_gives_other_results_in_their_structure() -> None:
    found = jit(lambda x: {"a": x, "b": (2 * x, [x, [x, x]]), "c": np.array([x, 5.0])}).map(X)
    assert found["a"].tolist() == X
    assert found["b"][0].tolist() == [2 * x for x in X]
    assert [part.tolist() for part in found["b"][1][1]] == [X, X]
    assert found["c"].tolist() == [[x, 5.0] for x in X]
    assert type(jit(lambda x: (x, x)).map(X)) is tuple


def test_a_result_is_an_array_of_its_own(line: Line) -> None:
    first = line.program.map(X, T)
    kept = first.copy()
    line.program.map(T, X)
    assert (first == kept).all()
    X_array = np.array(X)
    jit(lambda x: x).map(X_array)[:] = 0.0
    assert X_array.tolist() == X


BASE = np.arange(24.0).reshape(4, 3, 2)
WAYS: dict[str, Callable[[Any], Any]] = {
    "an array": lambda x: x,
    "lists": lambda x: x.tolist(),
    "tuples": lambda x: tuple([tuple(map(tuple, row)) for row in x.tolist()]),
    "float32": lambda x: x.astype(np.float32),
    "whole numbers": lambda x: x.astype(np.int16),
    "unsigned": lambda x: x.astype(np.uint8),
    "Fortran order": np.asfortranarray,
    "every other row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "backwards": lambda x: x[::-1].copy()[::-1],
    "transposed": lambda x: x.transpose(2, 1, 0).copy().transpose(2, 1, 0),
    "other byte order": lambda x: x.astype(">f8"),
    "a list of arrays": list,
    "a generator": lambda x: (row for row in x.tolist()),
    "objects": lambda x: x.astype(object),
    "a read-only array": lambda x: np.frombuffer(x.tobytes()).reshape(x.shape),
    "long doubles": lambda x: x.astype(np.longdouble),
    "Values": lambda x: [[[Value(v) for v in line] for line in row] for row in x.tolist()],
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("way", WAYS)
def test_rows_may_be_given_in_many_ways(way: str, dtype: str) -> None:
    f = jit(lambda x: x[0][0] + 10 * x[1][1] + 100 * x[2][0], dtype=dtype)
    expected = [a[0][0] + 10 * a[1][1] + 100 * a[2][0] for a in BASE.tolist()]
    given = WAYS[way](BASE)
    if way == "Values":
        assert f.sum(given).data == sum(expected)
    else:
        assert f.map(given).tolist() == expected


def test_booleans_are_numbers(line: Line) -> None:
    assert line.program.map([True, False], np.array([True, False])).tolist() == [4.0, 1.0]


def test_no_rows(line: Line) -> None:
    assert line.program.map([], []).shape == (0,)
    assert jit(lambda x: [x[0], x[1]]).map(np.zeros((0, 2))).shape == (0, 2)
    assert jit(lambda x: [x, x], threads=2).map([]).shape == (0, 2)
    for ask in (line.program.mean, line.program.sum, line.program.value, line.program.value_and_grad):
        with pytest.raises(ValueError, match="no rows to take loss of; right: at least one sample"):
            ask([], [])


def test_a_function_without_arguments() -> None:
    w = Value(2.0)
    f = jit(lambda: w * 3)
    assert f() == 6.0
    assert f.map().tolist() == [6.0]
    assert f.value_and_grad()[1].tolist() == [3.0]
    assert f.mean().data == 6.0


# NaN and infinity


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_nan_and_infinity_stay_in_their_row(dtype: str) -> None:
    w = [[Value(0.5), Value(-1.0)], [Value(2.0), Value(0.25)]]
    f = jit(lambda x: autograd.sum([(autograd.dot(ws, x)).tanh() * x[0] for ws in w]) / x[1], dtype=dtype)
    for batch in (1, 7, 8, 9, 15, 16, 17, 33):
        rows = np.random.default_rng(batch).normal(size=(batch, 2))
        whole = f.map(rows)
        for bad in (nan, inf, -inf):
            for at in range(batch):
                spoilt = rows.copy()
                spoilt[at, 0] = bad
                found = f.map(spoilt)
                assert not np.isfinite(found[at])
                found[at] = whole[at]
                assert (found == whole).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("batch", [1, 7, 8, 9, 15, 16, 17, 100])
def test_a_sum_has_its_rows_and_nothing_else(batch: int, dtype: str) -> None:
    """Vectors have more lanes than there are rows: there 1 / x is infinite, or whatever was left by another row."""
    w = Value(2.0)
    f = jit(lambda x: w / x + (x - 1).log(), dtype=dtype)
    value, gradient = f.value_and_grad(np.full(batch, 2.0), reduce="sum")
    assert (value, gradient.tolist()) == (batch, [batch / 2])
    value, gradient = f.value_and_grad(np.array([2.0] * (batch - 1) + [inf]), reduce="sum")
    assert value == inf
    assert gradient.tolist() == [(batch - 1) / 2]
    value, gradient = f.value_and_grad(np.array([2.0] * (batch - 1) + [0.0]), reduce="sum")
    assert math.isnan(value)
    assert gradient.tolist() == [inf]
    value, gradient = f.value_and_grad(np.full(batch, 2.0), reduce="sum")
    assert (value, gradient.tolist()) == (batch, [batch / 2])


def test_zeros_that_sums_begin_with() -> None:
    """Of two numbers or more they are no term; and 0 * x is as it is in floats."""
    f = jit(lambda x: sum([a * b for a, b in pairwise(x)]))
    assert str(f.trace([0.0] * 3)).splitlines()[1].endswith("1 sum of 2 products")
    assert f([1.0, 2.0, 3.0]) == 8.0
    assert math.isnan(f([inf, 1.0, -inf]))
    f = jit(lambda x, y: [0 + x, 0 * x + y, 0 + x * y])
    for x in (0.0, -0.0, 2.0, inf, -inf, nan):
        for y in (0.0, -0.0, 2.0, inf, nan):
            expected = [0 + x, 0 * x + y, 0 + x * y]
            assert list(map(repr, f(x, y))) == list(map(repr, expected))


def test_zeros_keep_their_signs() -> None:
    assert jit(lambda x: [x / 0.0, x / -0.0])(1.0) == [inf, -inf]
    assert jit(lambda x: [1.0 / (x * y) for y in (1.0, -1.0)])(0.0) == [inf, -inf]
    assert jit(lambda x: [autograd.atan2(x, y) for y in (0.0, -0.0)])(0.0) == [0.0, math.pi]


# Means and sums as nodes of a graph


def test_a_mean_adds_into_grad(line: Line) -> None:
    w, b, f = line.w, line.b, line.program
    loss = f.mean(X, T)
    assert loss.data == pytest.approx(1.25 / 3)
    (loss + 0.5 * w * w).backward()
    of_w, of_b = line.derivatives(X, T)
    assert w.grad == pytest.approx(of_w / 3 + 2.0)
    assert b.grad == pytest.approx(of_b / 3)
    loss.backward()
    assert w.grad == pytest.approx(2 * of_w / 3 + 2.0)
    f.sum(X, T).backward(10.0)
    assert b.grad == pytest.approx(2 * of_b / 3 + 10 * of_b)


def test_a_sum_of_means_of_two_batches(line: Line) -> None:
    (line.program.sum(X[:1], T[:1]) + line.program.sum(X[1:], T[1:])).backward()
    assert [line.w.grad, line.b.grad] == pytest.approx(line.derivatives(X, T))


def test_a_node_knows_that_a_parameter_has_changed(line: Line) -> None:
    loss = line.program.mean(X, T)
    line.w.data = 3.0
    with pytest.raises(StaleGraphError):
        loss.backward()
    line.program.mean(X, T).backward()


def test_a_node_can_be_drawn_and_explained(line: Line) -> None:
    total = line.program.mean(X, T) + 1.0
    assert "mean_of_loss" in autograd.draw(total).source
    assert "mean_of_loss" in str(autograd.explain(total, line.w))
    assert "mean_of_lambda" not in autograd.draw(jit(lambda x: line.w * x).mean(X)).source


def test_higher_derivatives_are_those_of_the_function() -> None:
    w = Value(0.7)

    def f(x: Any) -> Any:
        return autograd.sin(w * x) * x

    program = jit(f)
    assert autograd.hessian(lambda x: program.sum([x]))(1.3).data == pytest.approx(autograd.hessian(f)(1.3).data)
    third = autograd.derivative(lambda x: program.mean([x]), 3)
    assert third(1.3).data == pytest.approx(autograd.derivative(f, 3)(1.3).data)
    rows = np.array([1.0, -0.5])
    for columns in ((rows,), (rows.tolist(),), (iter(rows.tolist()),)):
        (slope,) = autograd.gradients(program.mean(*columns), [w], create_graph=True)
        by_hand = sum([-(x**3) * math.sin(0.7 * x) for x in rows.tolist()]) / 2
        assert autograd.gradients(slope, w) == pytest.approx(by_hand)


# How rows may depend on each other and on the parameter w: of each, the sum of w**2 x**3 over the rows.
ENTANGLED: dict[str, Callable[[Value, Value], list[Any]]] = {
    "a Value twice": lambda x, w: [x, x],
    "one that depends on another": lambda x, w: [x, x * x],
    "the parameter": lambda x, w: [w, x],
    "what depends on the parameter": lambda x, w: [x * w, 2.0, w],
    "a constant": lambda x, w: [x, Value(3.0, kind="constant")],
}


@pytest.mark.parametrize("name", ENTANGLED)
def test_higher_derivatives_count_each_way_once(name: str) -> None:
    w, x = Value(0.7), Value(1.3)

    def f(x: Any) -> Any:
        return w * w * x**3

    program = jit(f)
    found = []
    for total in (program.sum(ENTANGLED[name](x, w)), autograd.sum([f(row) for row in ENTANGLED[name](x, w)])):
        first = autograd.gradients(total, [x, w], create_graph=True)
        second = [autograd.gradients(d, [x, w]) for d in first]
        found.append([d.data for d in first] + [*second[0], *second[1]])
    assert found[0] == pytest.approx(found[1], rel=1e-12)


def test_a_mean_in_a_pickled_graph(line: Line) -> None:
    total = 2.0 * line.program.mean(X, T)
    for again, w in (pickle.loads(pickle.dumps((total, line.w))), copy.deepcopy((total, line.w))):
        assert again.data == total.data
        again.backward()
        assert w.grad == pytest.approx(2 * line.derivatives(X, T)[0] / 3)


def test_what_changes_nothing_makes_no_second_owner_of_a_sum(line: Line) -> None:
    """A sum times 1 was the same sum, which the next operation then took over while others still read it."""
    w, b, x, t = line.w, line.b, 3.0, 4.0
    for same in (
        lambda q: q * 1.0,
        lambda q: 1 * q,
        lambda q: q**1,
        lambda q: q / 1.0,
        lambda q: autograd.sum([q]),
        lambda q: autograd.dot([1.0], [q]),
        lambda q: q + 0.0,
    ):

        def f(x: Any, t: Any, same: Any = same) -> Any:
            q = same(w * x + b)
            return (q - t) * q

        program = jit(lambda x, t, f=f: f(x, t))
        assert program(x, t) == f(Value(x), Value(t)).data
        slope = 2 * (w.data * x + b.data) - t
        assert program.value_and_grad([x], [t])[1].tolist() == [slope * x, slope]


def test_constants_do_not_leave_the_range_of_floats_before_the_numbers_do() -> None:
    assert jit(lambda x: (x * 1e-200) * 1e-200)(1e300) == pytest.approx(1e-100)
    assert jit(lambda x: (x * 1e200) * 1e200 * 1e-200)(0.0) == 0.0
    assert jit(lambda x: (x * 1e200) * (x * 1e200))(0.0) == 0.0
    assert jit(lambda x: (x - 1) * inf)(2.0) == inf


def test_a_program_from_elsewhere_has_first_derivatives_only(line: Line) -> None:
    program, w, b = pickle.loads(pickle.dumps((line.program.trace(0.0, 0.0), line.w, line.b)))
    loss = program.mean(X, T)
    assert autograd.gradients(loss, [w, b]) == pytest.approx([d / 3 for d in line.derivatives(X, T)])
    with pytest.raises(TypeError, match=r"mean_of_loss has first derivatives, .* right: f itself, without jit"):
        autograd.gradients(loss, w, create_graph=True)


def test_rows_of_values_get_derivatives(line: Line) -> None:
    xs = [Value(x) for x in X]
    line.program.mean(xs, T).backward()
    assert [x.grad for x in xs] == pytest.approx([2 * (2 * x + 1 - t) * 2 / 3 for x, t in zip(X, T, strict=True)])
    assert [line.w.grad, line.b.grad] == pytest.approx([d / 3 for d in line.derivatives(X, T)])


def test_values_and_numbers_among_one_another(line: Line) -> None:
    t = Value(5.0)
    twice = Value(2.0) * 1.0
    line.program.sum([1.0, twice, twice], [3.5, t, t]).backward()
    assert t.grad == pytest.approx(-2 * (5.0 - t.data) * 2)
    t.data = 6.0
    total = line.program.sum([1.0, twice, twice], [3.5, t, t])
    assert total.data == 0.25 + 2.0
    t.grad = 0.0
    total.backward()
    assert t.grad == 4.0
    assert twice.grad == -8.0


def test_a_program_in_a_graph_of_the_eager_engine(line: Line) -> None:
    """What comes before its rows, and after it, is differentiated with it."""
    scale = Value(3.0)
    (line.program.sum([scale * x for x in X], T).sqrt()).backward()
    eager = Line()
    again = Value(3.0)
    autograd.sum([eager.loss(again * x, t) for x, t in zip(X, T, strict=True)]).sqrt().backward()
    assert [scale.grad, line.w.grad, line.b.grad] == pytest.approx([again.grad, eager.w.grad, eager.b.grad])


def test_without_parameters_a_mean_is_a_constant() -> None:
    assert jit(lambda x: 2 * x).mean(X).kind == "constant"


def test_under_no_grad_a_mean_has_no_graph(line: Line) -> None:
    with no_grad():
        loss = line.program.mean(X, T)
    assert loss.parents == ()
    assert loss.data == pytest.approx(1.25 / 3)


# Numbers and gradients


def test_values_and_gradients(line: Line) -> None:
    f = line.program
    for reduce, divisor in (("sum", 1), ("mean", 3)):
        value, gradient = f.value_and_grad(X, T, reduce=reduce)
        assert type(value) is float
        assert value == pytest.approx(sum(LOSSES) / divisor, rel=1e-14)
        assert value == f.value(X, T, reduce=reduce)
        assert gradient == pytest.approx([d / divisor for d in line.derivatives(X, T)], rel=1e-14)
        assert value == (f.sum if reduce == "sum" else f.mean)(X, T).data
    assert f.value_and_grad(X, T)[0] == f.value(X, T) == f.value(X, T, reduce="mean")


def test_params_stand_in_for_the_parameters(line: Line) -> None:
    f = line.program
    assert f.value([1.0], [0.0], params=[1.0, 2.0]) == 9.0
    assert f.value_and_grad([1.0], [0.0], params=np.array([1, 2]))[1].tolist() == [6.0, 6.0]
    assert f.map([1.0], [0.0], params=(1.0, 2.0)).tolist() == [9.0]
    assert (line.w.data, line.b.data) == (2.0, 1.0)
    assert f.value([1.0], [0.0]) == 9.0


def test_scipy_minimizes_a_program(line: Line) -> None:
    targets = [3 * x - 0.5 for x in X]
    found = minimize(lambda p: line.program.value_and_grad(X, targets, params=p), [0.0, 0.0], jac=True)
    assert found.x == pytest.approx([3.0, -0.5], abs=1e-5)
    assert found.success


def test_parameters_in_the_order_of_first_use() -> None:
    a, b, c = Value(1.0), Value(2.0), Value(3.0)
    f = jit(lambda x: b * x + c * (a * x + b)).trace(0.0)
    assert f.parameters == (b, a, c)
    assert f.value_and_grad([1.0])[1].tolist() == [1.0 + 3.0, 3.0, 3.0]


def test_parameters_that_change_are_read_again(line: Line) -> None:
    """Also by what is compiled only after the change."""
    f = line.program
    assert f(1.0, 0.0) == 9.0
    line.w.data = 5.0
    assert f(1.0, 0.0) == 36.0
    assert f.map([1.0], [0.0]).tolist() == [36.0]
    assert f.value_and_grad([1.0], [0.0])[1].tolist() == [12.0, 12.0]
    line.b.data = -5.0
    assert f.mean([1.0], [0.0]).data == 0.0


def test_a_module_that_loads_its_state_is_read_again() -> None:
    import nn

    model, other = nn.MLP(2, [3, 1], seed=0), nn.MLP(2, [3, 1], seed=1)
    f = jit(model)
    before = f([1.0, 2.0])
    model.load_state_dict(other.state_dict())
    assert f([1.0, 2.0]) == pytest.approx(other([1.0, 2.0]).data, rel=1e-14)
    assert f([1.0, 2.0]) != before


def test_a_program_that_an_optimizer_trains(line: Line) -> None:
    import nn

    optimizer = nn.SGD([line.w, line.b], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        line.program.mean(X, [3 * x - 0.5 for x in X]).backward()
        optimizer.step()
    assert [line.w.data, line.b.data] == pytest.approx([3.0, -0.5], abs=1e-6)


# Traces


def test_f_is_run_once_for_arguments_put_together_alike() -> None:
    runs = []

    def f(x: Any) -> Any:
        runs.append(len(x))
        return autograd.sum(x)

    program = jit(f)
    for _ in range(3):
        assert program([1.0, 2.0]) == 3.0
        program.map(np.ones((5, 2)))
        program.value_and_grad([[1.0, 2.0]] * 7)
    assert runs == [2]
    assert program([1.0, 2.0, 3.0]) == 6.0
    assert program.map([[1.0, 2.0]]).tolist() == [3.0]
    assert runs == [2, 3]


def test_decorators() -> None:
    w = Value(3.0)

    @jit
    def plain(x: Any) -> Any:
        """What it does."""
        return w * x

    @jit(dtype="float32", threads=2)
    def with_options(x: Any) -> Any:
        return w * x

    assert isinstance(plain, Program)
    assert plain.__doc__ == "What it does."
    assert plain.__name__ == "plain"
    assert plain.map([1.0]).dtype == np.float64
    assert with_options.map([1.0]).dtype == np.float32


def test_objects_that_can_be_called() -> None:
    class Model:
        dtype = "mine"

        def __init__(self) -> None:
            self.w, self._f, self._current = Value(2.0), 1, 2

        def __call__(self, x: Any) -> Any:
            return self.w * x

    model = Model()
    f = jit(model)
    assert f.value_and_grad([3.0])[1].tolist() == [3.0]
    assert f.dtype == np.float64
    assert "Model" in str(f)
    f.mean([3.0]).backward()
    assert model.w.grad == 3.0


def test_stats_and_print(line: Line) -> None:
    f = line.program
    assert "not traced yet" in str(f)
    f.trace(0.0, 0.0)
    stats = f.stats()
    assert {"nodes", "parameters", "groups", "instructions", "slots", "seconds"} <= {*stats}
    assert stats["parameters"] == 2
    head, *lines = str(f).splitlines()
    assert head == f"program of loss: {stats['nodes']} nodes, 2 parameters, {stats['groups']} groups"
    assert len(lines) == stats["groups"]
    before = str(f)
    f.value(X, T)
    f.sum([Value(1.0)], [1.0])
    f.map(X, T)
    assert str(f) == before


def test_a_program_is_printed_for_a_person_to_read() -> None:
    w, v = [[Value(1.0), Value(2.0)], [Value(3.0), Value(4.0)]], Value(0.5)
    f = jit(lambda x: [autograd.dot(row, x).tanh() for row in w] + [v * x[0], x[0] * x[1] * 2 + 1])
    assert str(f.trace([0.0, 0.0])) == (
        "program of <lambda>: 17 nodes, 5 parameters, 4 groups\n"
        "     1  layer  2 sums of 2 weighted wires\n"
        "     1  sums   1 sum of 1 product\n"
        "     1  sums   1 sum of 2 products\n"
        "     2  tanh   2 wires"
    )
    line = str(jit(lambda x: [v * x[0], x[0] * x[1] + v * x[1]]).trace([0.0, 0.0]))
    assert line == "program of <lambda>: 7 nodes, 1 parameter, 1 group\n     1  sums  2 sums, 3 products in all"


def test_before_a_trace_there_are_no_parameters(line: Line) -> None:
    for ask in (lambda f: f.parameters, lambda f: f.stats(), lambda f: f.traces_alike()):
        with pytest.raises(ValueError, match=r"not traced yet; right: program.trace\(x, y\)"):
            ask(line.program)


def test_functions_that_do_not_do_the_same_each_time(line: Line) -> None:
    numbers = iter(range(100))
    assert line.program.trace(0.0, 0.0).traces_alike()
    line.w.data = 7.0
    assert line.program.traces_alike()
    assert jit(lambda x: [line.w * x, line.b * x][0]).trace(0.0).traces_alike()  # whatever it leaves unused
    for f in (lambda x: line.w.data * line.w * x, lambda x: x * line.w if line.w.data > 1 else -x):
        assert not jit(f).trace(0.0).traces_alike()
    assert line.w.data == 7.0
    assert not jit(lambda x: x * next(numbers)).trace(0.0).traces_alike()
    leaves = [Value(1.0), Value(1.0), Value(1.0)]
    assert not jit(lambda x: x * leaves.pop()).trace(0.0).traces_alike()
    turns = iter([OPS["sin"], OPS["cos"]])
    assert not jit(lambda x: next(turns)(x)).trace(0.0).traces_alike()


@pytest.mark.parametrize("draw", [random.random, np.random.random], ids=["random", "numpy"])
def test_coins_that_fall_alike_twice_were_drawn_all_the_same(draw: Callable[[], float]) -> None:
    random.seed(0)
    np.random.seed(0)
    expected, coin = [draw() for _ in range(3)], jit(lambda x: x if draw() < 2 else -x)
    random.seed(0)
    np.random.seed(0)
    assert not coin.trace(0.0).traces_alike()
    assert [draw() for _ in range(3)] == expected  # as if nothing had been traced


# Element types and threads


def test_float32(machine: str) -> None:
    w = Value(1 / 3)
    f = jit(lambda x: w * x, dtype="float32")
    assert f(1.0) == float(np.float32(1 / 3))
    value, gradient = f.value_and_grad([1 / 3, 1 / 3], reduce="sum")
    assert gradient.dtype == np.float64
    assert gradient == pytest.approx([2 * float(np.float32(1 / 3))], rel=1e-7)
    assert value == pytest.approx(2 / 9, rel=2e-7)
    assert value != 2 / 9


@pytest.mark.parametrize("dtype", [np.float32, np.dtype("float32"), "float32"])
def test_the_element_type_may_be_numpys(dtype: Any) -> None:
    assert jit(lambda x: x, dtype=dtype).map([1.0]).dtype == np.float32


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_threads(threads: int, dtype: str) -> None:
    w = [Value(0.3), Value(-0.7)]

    def f(x: Any) -> Any:
        return autograd.dot(w, x).tanh().exp() / (1 + x[0] * x[0])

    alone, together = jit(f, dtype=dtype), jit(f, dtype=dtype, threads=threads)
    for batch in (1, 2, 7, 1000):
        rows = np.random.default_rng(batch).normal(size=(batch, 2))
        value, gradient = together.value_and_grad(rows)
        for _ in range(5):
            again, gradient_again = together.value_and_grad(rows)
            assert (again, gradient_again.tolist()) == (value, gradient.tolist())
        expected, of = alone.value_and_grad(rows)
        unit = 1e-13 if dtype == "float64" else 1e-6
        assert (value, *gradient) == pytest.approx((expected, *of), rel=unit, abs=unit)
        mapped = together.map(rows)
        assert mapped == pytest.approx(alone.map(rows), rel=unit, abs=unit)
        assert (together.map(rows) == mapped).all()
        inputs = [[Value(x) for x in row] for row in rows[:20].tolist()]
        together.sum(inputs).backward()
        slopes = [[x.grad for x in row] for row in inputs]
        inputs = [[Value(x) for x in row] for row in rows[:20].tolist()]
        alone.sum(inputs).backward()
        assert flat(slopes) == pytest.approx([x.grad for x in flat(inputs)], rel=unit, abs=unit)


def test_a_program_called_from_several_threads() -> None:
    from concurrent.futures import ThreadPoolExecutor

    w = [Value(0.3), Value(-0.7)]
    f = jit(lambda x: (autograd.dot(w, x)).tanh())
    batches = [np.random.default_rng(k).normal(size=(200 + k, 2)) for k in range(16)]
    expected = [jit(lambda x: (autograd.dot(w, x)).tanh()).value_and_grad(rows) for rows in batches]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for (value, gradient), (a, b) in zip(pool.map(f.value_and_grad, batches), expected, strict=True):
                assert value == a
                assert gradient.tolist() == b.tolist()


# What depends on parameters alone


class Counter:
    """x ** 2 by an operation of one's own, which counts its calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.op = custom(self.square, lambda out, x: 2 * x)

    def square(self, x: float) -> float:
        self.calls += 1
        return x * x


def test_a_penalty_is_computed_once_a_call() -> None:
    counter, w = Counter(), [Value(2.0), Value(3.0)]
    f = jit(lambda x: autograd.dot(w, x) + 0.5 * autograd.sum([counter.op(v) for v in w])).trace([0.0, 0.0])
    rows = np.ones((1000, 2))
    f.value(rows)
    counter.calls = 0
    w[0].data = 2.5
    assert f.value(rows) == 5.5 + 0.5 * (6.25 + 9.0)
    assert 2 <= counter.calls <= 2 * 16  # the kernel calls it for each lane
    once = counter.calls
    f.value(rows)
    assert counter.calls == once  # nothing has changed
    value, gradient = f.value_and_grad(rows, reduce="sum")
    assert value == 1000 * f.value(rows)
    assert gradient.tolist() == [1000 + 2500.0, 1000 + 3000.0]
    assert f.value_and_grad(rows, params=[1.0, 1.0])[1].tolist() == [2.0, 2.0]
    assert counter.calls < 500


def test_what_f_closes_over_may_be_a_graph() -> None:
    w = Value(2.0)
    doubled = 2 * w
    f = jit(lambda x: doubled * x)
    assert f.trace(0.0).parameters == (w,)
    assert f.value_and_grad([3.0])[1].tolist() == [6.0]
    w.data = 5.0
    assert f(1.0) == 10.0


def test_parameters_only_within_what_is_computed_once() -> None:
    a, b, x0 = Value(0.5), Value(1.5), Value(2.0)
    f = jit(lambda x: (a * b).exp() * x + x0 * x + a)
    value, gradient = f.value_and_grad([1.0, 2.0], reduce="sum")
    e = math.exp(0.75)
    assert value == pytest.approx(3 * e + 6 + 1.0)
    by = dict(zip(f.parameters, gradient, strict=True))
    assert [by[a], by[b], by[x0]] == pytest.approx([3 * 1.5 * e + 2, 3 * 0.5 * e, 3.0])


def lowerings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """To which every lowering of a graph, from now on, adds how many steps it takes."""
    lowered, steps = compilation.Lowered, list[int]()

    def counted(graph: Any, taken: Any, *others: Any) -> Any:
        steps.append(len(taken))
        return lowered(graph, taken, *others)

    monkeypatch.setattr(compilation, "Lowered", counted)
    return steps


def test_a_trace_lowers_nothing_and_the_first_result_what_it_needs(monkeypatch: pytest.MonkeyPatch, line: Line) -> None:
    """Not also what would give the results of each sample."""
    steps = lowerings(monkeypatch)
    f = line.program.trace(0.0, 0.0)
    assert f.parameters == (line.w, line.b)
    assert not steps
    f.value_and_grad(X, T)
    f.value_and_grad(X[:1], T[:1])
    assert len(steps) == 1


def test_an_analysis_leaves_nothing_to_the_garbage_collector(line: Line) -> None:
    """Of a large graph that would take it as long as a pass of the analysis."""
    gc.collect()
    with gc_paused():
        line.program.value_and_grad(X, T)
        jit(lambda x: line.w.tanh() * x.tanh()).value_and_grad(X)
        left = [x for x in gc.get_objects() if isinstance(x, (Groups, Bundle))]
    assert not left


def penalized(count: int) -> Program:
    w = [Value(0.01 * k - 0.3) for k in range(count)]
    return jit(lambda x: (w[0] * x[0] + w[1] * x[1]).tanh() + 0.1 * sum([v * v for v in w]))  # type: ignore[no-any-return]


def test_a_few_samples_take_no_program_of_parameters_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = lowerings(monkeypatch)
    f, rows = penalized(50), np.random.default_rng(0).normal(size=(8, 2))
    for count in (1, 8):
        f.value_and_grad(rows[:count])
        f.value_and_grad(rows[:count], params=np.zeros(50))
    assert len(steps) == 1
    value, gradient = f.value_and_grad(rows)
    many = np.tile(rows, (1000, 1))
    for _ in range(2):
        again, gradient_again = f.value_and_grad(many)
        assert again == pytest.approx(value, rel=1e-12)
        assert gradient_again == pytest.approx(gradient, rel=1e-12)
        assert f.value_and_grad(rows)[1].tolist() == gradient.tolist()
    assert len(steps) == 4  # the gradient of many, what is hoisted, and back
    assert min(steps[1:]) < steps[0] / 2
    for ask in (f.value, lambda X: f.mean(X).data, lambda X: f.map(X).mean()):
        assert ask(rows) == pytest.approx(value, rel=1e-12)
        assert ask(many) == pytest.approx(value, rel=1e-12)


def test_a_large_penalty_is_computed_apart_for_one_sample_too(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = lowerings(monkeypatch)
    f = penalized(2000)
    f.value_and_grad([[1.0, 2.0]])
    assert len(steps) == 3
    assert f.stats()["instructions"] < 20  # no weight of the penalty is among the wires of a sample


def test_steps_without_numbers_are_not_taken() -> None:
    """What a literal leaf makes is a number; what no output needs is nothing."""
    w = Value(2.0)

    def f(x: Any) -> Any:
        _ = w * x * x
        return Value(2.0).exp() * x + autograd.sum([Value(1.0), 2.0])

    program = jit(f).trace(0.0)
    assert program.parameters == ()
    assert program(2.0) == pytest.approx(2 * math.exp(2) + 3, rel=1e-15)
    assert str(program).splitlines()[1:] == ["     1  sums  1 sum of 2 products"]


# Operations of one's own


def test_an_operation_of_ones_own() -> None:
    gauss = custom(lambda x: math.exp(-x * x), lambda out, x: -2 * x * out)
    w = Value(0.5)
    f = jit(lambda x: gauss(w * x))
    rows = [0.1 * k for k in range(20)]
    value, gradient = f.value_and_grad(rows, reduce="sum")
    assert value == pytest.approx(sum([math.exp(-((0.5 * x) ** 2)) for x in rows]), rel=1e-14)
    assert gradient == pytest.approx([sum([-2 * (0.5 * x) * math.exp(-((0.5 * x) ** 2)) * x for x in rows])], rel=1e-13)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_registered_row_of_three_operands(dtype: str) -> None:
    mixed = register(
        Op(
            "mixed",
            lambda x, y, z: x * y + math.sin(z),
            (lambda out, x, y, z: y, lambda out, x, y, z: x, lambda out, x, y, z: OPS["cos"](z)),
        )
    )
    w = Value(2.0)
    f = jit(lambda x: mixed(x, w, w * x), dtype=dtype)
    value, gradient = f.value_and_grad(np.ones(9), reduce="sum")
    assert value == pytest.approx(9 * (2 + math.sin(2)), rel=1e-6)
    assert gradient == pytest.approx([9 * (1 + math.cos(2))], rel=1e-6)


def test_an_operation_of_ones_own_that_is_called_as_one_of_numpys() -> None:
    assert jit(custom(square, lambda out, x: 1.0))(3.0) == 4.0


def square(x: float) -> float:
    return x + 1.0


def test_an_operation_of_ones_own_with_a_limit() -> None:
    """What raises ValueError or ArithmeticError gives the limit, as in the eager engine."""
    f = jit(custom(lambda x: 1 / x, lambda out, x: -out * out))
    assert math.isnan(f(0.0))
    assert f.map([2.0, 0.0])[0] == 0.5


def test_an_error_in_an_operation_of_ones_own_comes_out() -> None:
    broken = custom(lambda x: {}[x], lambda out, x: 1.0)  # type: ignore[index]
    f = jit(broken)
    for _ in range(2):
        with pytest.raises(KeyError):
            f.map(np.arange(20.0))
    assert jit(lambda x: x + 1)(1.0) == 2.0


# Copies and pickles


def build() -> Program:
    w = [Value(2.0), Value(-1.0)]
    return jit(lambda x: autograd.dot(w, x).tanh() + 0.01 * autograd.sum([v * v for v in w]))  # type: ignore[no-any-return]


ROWS = np.random.default_rng(0).normal(size=(20, 2))


@pytest.mark.parametrize("way", [copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("used", [False, True])
def test_copies_do_the_same(way: Callable[[Program], Program], used: bool) -> None:
    f = build().trace([0.0, 0.0])
    if used:
        f.value_and_grad(ROWS)
    twin = way(f)
    value, gradient = f.value_and_grad(ROWS)
    again, gradient_again = twin.value_and_grad(ROWS)
    assert (again, gradient_again.tolist()) == (value, gradient.tolist())
    assert (twin.map(ROWS) == f.map(ROWS)).all()
    assert twin(ROWS[0]) == f(ROWS[0])
    assert twin.value(ROWS) == f.value(ROWS)
    assert twin.value_and_grad(ROWS, params=[0.5, 0.5])[0] == f.value_and_grad(ROWS, params=[0.5, 0.5])[0]
    assert twin.stats()["groups"] == f.stats()["groups"]
    assert str(twin) == str(f)
    assert [x.data for x in twin.parameters] == [2.0, -1.0]
    twin.mean(ROWS).backward()
    assert [x.grad for x in twin.parameters] == pytest.approx(gradient.tolist())
    assert [x.grad for x in f.parameters] == [0.0, 0.0]
    twin.parameters[0].data = 7.0
    assert twin.value(ROWS) != value
    assert f.value(ROWS) == value


def test_results_of_any_structure_survive_a_pickle() -> None:
    f = jit(lambda x: {"a": x[0], "b": [x[1], (x[0] * 2, 3.0)]}).trace([0.0, 0.0])
    twin = pickle.loads(pickle.dumps(f))
    assert twin([1.0, 2.0]) == {"a": 1.0, "b": [2.0, (2.0, 3.0)]}
    assert twin.map([[1.0, 2.0]])["b"][1][0].tolist() == [2.0]


def test_a_pickle_is_made_without_touching_the_program(line: Line) -> None:
    """Another thread may be using it."""
    f = line.program.trace(0.0, 0.0)
    returned = f._traced().returned

    class Watched(type(returned)):  # type: ignore[misc]
        def __setattr__(self, name: str, x: Any) -> None:
            assert self is not returned
            super().__setattr__(name, x)

    globals()["Watched"] = Watched
    Watched.__qualname__ = "Watched"
    returned.__class__ = Watched
    twin = pickle.loads(pickle.dumps(f))
    assert returned.numbers
    assert not twin._traced().returned.numbers
    assert twin(1.0, 3.5) == 0.25


def test_a_pickle_is_read_by_another_process(tmp_path: Path) -> None:
    f = build()
    expected = f.value_and_grad(ROWS)[0]
    (tmp_path / "program").write_bytes(pickle.dumps((f, ROWS)))
    code = (
        "import pickle, sys; f, rows = pickle.load(open(sys.argv[1], 'rb')); "
        "print(repr((f.value_and_grad(rows)[0], f.value(rows, params=[1.0, 1.0]))))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "program")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert eval(done.stdout) == pytest.approx((expected, f.value(ROWS, params=[1.0, 1.0])), rel=1e-14)


def test_a_pickle_has_no_function_and_says_so() -> None:
    twin = pickle.loads(pickle.dumps(build().trace([0.0, 0.0])))
    with pytest.raises(ValueError, match=r"came here without its function, compiled for .* right: trace it for these"):
        twin([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="without its graph"):
        twin.sum([[Value(1.0), Value(2.0)]])
    assert twin([1.0, 2.0]) == build()([1.0, 2.0])


# What is refused

REFUSED: dict[str, tuple[Callable[[Line], Any], type[Exception], str]] = {
    "no function": (lambda s: jit(3), TypeError, r"wrong: jit\(3\); right: jit\(f\)"),
    "element type": (lambda s: jit(s.loss, dtype="float16"), ValueError, "'float64' or 'float32', got 'float16'"),
    "element type of whole numbers": (lambda s: jit(s.loss, dtype=int), ValueError, "got <class 'int'>"),
    "no threads": (lambda s: jit(s.loss, threads=0), ValueError, "whole number from 1 up, got 0"),
    "half a thread": (lambda s: jit(s.loss, threads=1.5), ValueError, "whole number from 1 up, got 1.5"),
    "threads None": (lambda s: jit(s.loss, threads=None), ValueError, "whole number from 1 up, got None"),
    "no executor": (lambda s: jit(s.loss, executor=3), TypeError, r"such as .*ProcessPoolExecutor\(4\), got 3"),
    "too few arguments": (lambda s: s.program(1.0), TypeError, "missing 1 required positional argument: 't'"),
    "too many arguments": (lambda s: s.program(1.0, 2.0, 3.0), TypeError, "takes 3 positional arguments but 4"),
    "a Value": (lambda s: s.program(Value(1.0), 2.0), TypeError, r"gives floats.* right: program.sum\(\[x\]\)"),
    "Values in map": (lambda s: s.program.map([Value(1.0)], [2.0]), TypeError, "right: program.sum, or their .data"),
    "Values in value": (lambda s: s.program.value([Value(1.0)], [2.0]), TypeError, "right: program.mean, or"),
    "a string": (
        lambda s: s.program("1", 2.0),
        TypeError,
        r"argument 0, row 0: .* got str: .* right: v \+ float\('1'\)",
    ),
    "strings": (lambda s: s.program.map([1.0, 2.0], ["a", "b"]), TypeError, "argument 1, row 0: .* got str"),
    "an array of strings": (lambda s: s.program.map(np.array(["a"]), [1.0]), TypeError, "argument 0.* str"),
    "None": (lambda s: s.program(1.0, None), TypeError, "argument 1, row 0: .* got NoneType"),
    "None for a column": (lambda s: s.program.map(None, [1.0]), TypeError, "argument 0: .* got NoneType"),
    "None among numbers": (
        lambda s: s.program.map([1.0, None], [1.0, 2.0]),
        TypeError,
        "argument 0, row 1: .*NoneType",
    ),
    "a complex number": (lambda s: s.program(1j, 1.0), TypeError, "argument 0, row 0: .* got complex"),
    "complex numbers": (lambda s: s.program.map(np.array([1j]), [1.0]), TypeError, "argument 0.* got complex"),
    "masked": (
        lambda s: s.program.map(np.ma.masked_array([1.0, 2.0], [0, 1]), [1.0, 2.0]),
        TypeError,
        "masked entries",
    ),
    "dates": (lambda s: s.program.map(np.array(["2020-01-01"], "M8[D]"), [1.0]), TypeError, "a date is no number"),
    "a set": (lambda s: s.program.map({1.0, 2.0}, [1.0, 2.0]), TypeError, "argument 0 is a set.* right: a list"),
    "a dict": (lambda s: s.program.map({1.0: 2.0}, [1.0]), TypeError, "argument 0 is a dict.* right: a list"),
    "a number for a column": (
        lambda s: s.program.map(1.0, 2.0),
        ValueError,
        "argument 0 of loss has no rows; right: one",
    ),
    "columns of other lengths": (
        lambda s: s.program.map([1.0, 2.0], [1.0]),
        ValueError,
        "argument 1 of loss has 1 rows, where the first has 2; right: one row for each sample",
    ),
    "rows of other shapes": (
        lambda s: s.program.map([[1.0, 2.0], [1.0]], [1.0, 2.0]),
        ValueError,
        r"row 1 of argument 0 has the shape \(1,\), row 0 \(2,\); right: the same",
    ),
    "reduce": (lambda s: s.program.value(X, T, reduce="max"), ValueError, "reduce='mean' or 'sum', got 'max'"),
    "no reduce": (lambda s: s.program.value_and_grad(X, T, reduce=None), ValueError, "'mean' or 'sum', got None"),
    "too many params": (
        lambda s: s.program.value(X, T, params=[1.0] * 3),
        ValueError,
        r"a flat vector of 2 numbers, one for each of program.parameters, got \(3,\)",
    ),
    "too few params": (lambda s: s.program.map(X, T, params=[1.0]), ValueError, r"of 2 numbers.* got \(1,\)"),
    "params that are not flat": (lambda s: s.program.value(X, T, params=[[1.0, 2.0]]), ValueError, r"got \(1, 2\)"),
    "a number for params": (lambda s: s.program.value(X, T, params=1.0), ValueError, r"got \(\)"),
    "params of strings": (lambda s: s.program.value(X, T, params=["a", "b"]), TypeError, "params to be numbers.*'a'"),
    "None among params": (lambda s: s.program.value(X, T, params=[None, 1.0]), TypeError, "params to be numbers.*None"),
    "complex params": (lambda s: s.program.value(X, T, params=[1j, 1.0]), TypeError, "params to be numbers"),
    "no result": (
        lambda s: jit(lambda x: None)(1.0),
        TypeError,
        "the result: .* NoneType: a function that forgets its",
    ),
    "a string as result": (lambda s: jit(lambda x: "s")(1.0), TypeError, "the result: .* got str"),
    "a complex result": (lambda s: jit(lambda x: 1j)(1.0), TypeError, "the result: .* got complex"),
    "a mean of two": (
        lambda s: jit(lambda x: [x, x]).mean(X),
        ValueError,
        r"returns a list of 2, and a mean or gradient is of one number .* right: return autograd.sum\(...\)",
    ),
    "a gradient of two": (lambda s: jit(lambda x: (x, x)).value_and_grad(X), ValueError, "returns a tuple of 2"),
    "a sum of an array": (lambda s: jit(lambda x: np.array([x, x])).sum(X), ValueError, r"an array of shape \(2,\)"),
}


@pytest.mark.parametrize("short", range(3))
def test_arrays_of_other_lengths_are_refused_wherever_they_stand(short: int) -> None:
    """Also once arrays are passed on as they are."""
    w = Value(1.0)
    f = jit(lambda x, y, z: w * x * y * z)
    columns = [np.ones(4) for _ in range(3)]
    assert f.value_and_grad(*columns)[1].tolist() == f.value_and_grad(*columns)[1].tolist() == [1.0]
    columns[short] = np.ones(3)
    for ask in (f.value_and_grad, f.value, f.mean, f.map):
        with pytest.raises(ValueError, match="rows, where the first has"):
            ask(*columns)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_arrays_passed_on_as_they_are_give_the_same_as_lists(dtype: str, line: Line) -> None:
    f = jit(line.loss, dtype=dtype)
    given = [np.array(X, dtype), np.array(T, dtype)]
    for params in (None, [1.0, 2.0], np.array([1.0, 2.0]), np.array([1, 2]), np.array([1.0, 2.0], np.float32)):
        for reduce in ("mean", "sum"):
            value, gradient = f.value_and_grad(X, T, reduce=reduce, params=params)
            for _ in range(2):
                again, gradient_again = f.value_and_grad(*given, reduce=reduce, params=params)
                assert (again, gradient_again.tolist()) == (value, gradient.tolist())
                assert type(again) is float
    line.b.data = 3.0
    expected, _ = f.value_and_grad(X, T)
    assert f.value_and_grad(*given)[0] == expected
    with pytest.raises(ValueError, match=r"of 2 numbers.* got \(3,\)"):
        f.value_and_grad(*given, params=np.ones(3))
    with pytest.raises(ValueError, match="'mean' or 'sum', got 'max'"):
        f.value_and_grad(*given, reduce="max")


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused(what: str, line: Line) -> None:
    do, error, text = REFUSED[what]
    with pytest.raises(error) as raised:
        do(line)
    assert re.search(text, str(raised.value), re.DOTALL), raised.value
    assert line.program(1.0, 3.5) == 0.25  # and afterwards all is as it was
    assert line.program.value(X, T, reduce="sum") == 1.25


def test_partials_that_cannot_be_traced_are_named() -> None:
    bent = Op("bent", lambda x: max(x, 0.0), (lambda out, x: 1.0 if x > 0 else 0.0,))
    curved = Op("curved", math.sin, (lambda out, x: math.cos(x),))
    w = Value(1.0)
    for op in (bent, curved):
        program = jit(lambda x, op=op: op(w * x))
        assert program(2.0) == op.evaluate(2.0)
        with pytest.raises(TraceError, match=rf"the partials of <Op {op.name}\(x\)> fail under jit, .* right: lambda"):
            program.value_and_grad([2.0])


def test_operations_are_those_of_the_trace_and_do_not_travel() -> None:
    w = Value(2.0)
    program = jit(lambda x: autograd.where(autograd.greater(x, 0.0), w * x, x)).trace(0.0)
    assert sorted([op.name for op in program.operations]) == ["greater", "mul", "where"]
    with pytest.raises(ValueError, match="came here without its trace"):
        _ = pickle.loads(pickle.dumps(program)).operations
