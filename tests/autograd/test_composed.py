"""mean, softmax and log_softmax, on numbers and on Values."""

import math
from typing import Any

import pytest
from hypothesis import given, strategies as st
from mpmath import mp, mpf

import autograd
from autograd import Value, log_softmax, mean, softmax

logits = st.lists(st.floats(-300, 300), min_size=1, max_size=6)


def data(values: list[Any]) -> list[float]:
    return [v.data for v in values]


@given(st.lists(st.floats(-1e100, 1e100), min_size=1, max_size=8))
def test_mean(xs: list[float]) -> None:
    expected = math.fsum(xs) / len(xs)
    assert mean(xs) == expected
    values = [Value(x) for x in xs]
    m = mean(values)
    assert m.data == expected
    m.backward()
    assert [v.grad for v in values] == [1 / len(xs)] * len(xs)
    assert mean(v for v in values).data == expected


def test_mean_is_two_nodes() -> None:
    values = [Value(1.0)] * 50
    m = mean(values)
    assert (m.op, m.parents[0].op) == (autograd.OPS["div"], autograd.OPS["sum"])
    assert len(m.parents[0].parents) == 50


@pytest.mark.parametrize("nothing", [[], (), iter([])])
def test_mean_of_nothing(nothing: Any) -> None:
    with pytest.raises(ValueError, match=r"no values.*mean\(\[v\]\)"):
        mean(nothing)


def test_of_nothing() -> None:
    assert softmax([]) == []
    assert log_softmax([]) == []


@given(logits)
def test_log_softmax_against_exact_arithmetic(xs: list[float]) -> None:
    with mp.workdps(400):
        total = mp.fsum([mp.exp(mpf(x)) for x in xs])
        expected = [mpf(x) - mp.ln(total) for x in xs]
        for got, e in zip(log_softmax(xs), expected, strict=True):
            assert abs(got - e) <= 1e-15 * (1 + 2 * max(map(abs, xs)))
        for got, e in zip(softmax(xs), expected, strict=True):
            assert abs(got - mp.exp(e)) <= 1e-12 * mp.exp(e) + mpf("1e-307")


@given(logits)
def test_the_same_on_values_and_numbers(xs: list[float]) -> None:
    for function in (softmax, log_softmax):
        values = [Value(x) for x in xs]
        assert data(function(values)) == function(xs)
        assert data(function(iter(values))) == function(iter(xs))
        mixed = [Value(x) if i % 2 == 0 else x for i, x in enumerate(xs)]
        assert [v.data for v in function(mixed)] == function(xs)


@given(logits, st.data())
def test_derivatives_of_softmax(xs: list[float], draw: Any) -> None:
    """d p_i / d x_j = p_i (δ_ij - p_j); d log p_i / d x_j = δ_ij - p_j."""
    i = draw.draw(st.integers(0, len(xs) - 1))
    p = softmax(xs)
    values = [Value(x) for x in xs]
    softmax(values)[i].backward()
    assert [v.grad for v in values] == pytest.approx([p[i] * ((i == j) - p[j]) for j in range(len(xs))], abs=1e-12)
    values = [Value(x) for x in xs]
    log_softmax(values)[i].backward()
    assert [v.grad for v in values] == pytest.approx([(i == j) - p[j] for j in range(len(xs))], abs=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1e3, -1e3, 1e8, 1e12, -1e16, 1e16, 1e300])
def test_an_offset_changes_nothing(offset: float) -> None:
    """softmax(x + c) is softmax(x), however large c is: probabilities sum to 1."""
    assert softmax([offset, offset]) == pytest.approx([0.5, 0.5], rel=1e-15)
    assert log_softmax([offset, offset]) == pytest.approx([-math.log(2)] * 2, rel=1e-15)
    values = [Value(offset), Value(offset)]
    loss = -log_softmax(values)[0]
    assert loss.data == pytest.approx(math.log(2), rel=1e-15)
    loss.backward()
    assert [v.grad for v in values] == pytest.approx([-0.5, 0.5], rel=1e-12)


def test_extremes() -> None:
    assert softmax([0.0, 1000.0, -1000.0]) == [0.0, 1.0, 0.0]
    assert log_softmax([0.0, 1000.0]) == [-1000.0, 0.0]
    assert softmax([0.0, -math.inf]) == [1.0, 0.0]
    assert all(map(math.isnan, softmax([0.0, math.nan])))
    many = softmax([Value(0.0)] * 10_000)
    assert math.fsum(data(many)) == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("function", [softmax, log_softmax, mean])
def test_what_is_not_a_number(function: Any) -> None:
    with pytest.raises(TypeError, match="got str"):
        function([Value(1.0), "2"])


def test_copysign() -> None:
    x = Value(-3.0)
    out = autograd.copysign(x, 2.0)
    out.backward()
    assert (out.data, x.grad, autograd.copysign(3.0, Value(-1.0)).data, autograd.copysign(3.0, 0.0)) == (
        3.0,
        -1.0,
        -3.0,
        3.0,
    )
