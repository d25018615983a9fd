"""The Greeks of a European option as derivatives of its price, against the closed forms of Black and Scholes in mpmath.

How good they are: the price, S·N(d1) − K·exp(−rT)·N(d2), is a small difference of large terms far out of the money, d1
standard deviations of it. N(d1) carries a rounding error of d1² ulps, since it falls as exp(−d1²/2), and the terms are
|d1| / (σ√T) times what is left of them. So the price is good to about ε·|d1|³ / (σ√T), ε being 2e-16, and the Greeks
are no worse: they are within 1e-10 up to 18 standard deviations, on all strikes and maturities below.
"""

import math
from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, strategies as st
from mpmath import mp, mpf
from scipy.optimize import newton

import autograd
from autograd import derivative, erf, erfc, exp, grad, hessian, jacobian, log, sqrt, value_and_grad

EPS = 2.220446049250313e-16


def normal_cdf(x: Any) -> Any:
    return 0.5 * erfc(-x / math.sqrt(2))


def call(S: Any, K: Any, r: Any, sigma: Any, T: Any) -> Any:
    d1 = (log(S / K) + (r + sigma**2 / 2) * T) / (sigma * sqrt(T))
    d2 = d1 - sigma * sqrt(T)
    return S * normal_cdf(d1) - K * exp(-r * T) * normal_cdf(d2)


def put(S: Any, K: Any, r: Any, sigma: Any, T: Any) -> Any:
    d1 = (log(S / K) + (r + sigma**2 / 2) * T) / (sigma * sqrt(T))
    d2 = d1 - sigma * sqrt(T)
    return K * exp(-r * T) * normal_cdf(-d2) - S * normal_cdf(-d1)


OPTIONS = {call: 1, put: -1}
each_option = pytest.mark.parametrize("price", OPTIONS)
SPOT, _, RATE, SIGMA, MATURITY = range(5)  # their places among the arguments


class Greeks(NamedTuple):
    """theta and charm are by the time that passes: minus the derivative by the maturity."""

    price: Any
    delta: Any
    gamma: Any
    vega: Any
    theta: Any
    rho: Any
    vanna: Any
    volga: Any
    charm: Any


def greeks(price: Callable[..., Any], *at: float) -> Greeks:
    value, (delta, rho, vega, by_maturity) = value_and_grad(price, argnums=(SPOT, RATE, SIGMA, MATURITY))(*at)
    (gamma, vanna, delta_by_maturity), (_, volga, _), _ = hessian(price, argnums=(SPOT, SIGMA, MATURITY))(*at)
    return Greeks(value, delta, gamma, vega, -by_maturity, rho, vanna, volga, -delta_by_maturity)


def closed_forms(price: Callable[..., Any], *at: float) -> tuple[Greeks, float, float]:
    """The Greeks, d1, and σ√T."""
    S, K, r, sigma, T = map(mpf, at)
    sign, N, n = OPTIONS[price], mp.ncdf, mp.npdf
    root, discounted = mp.sqrt(T), K * mp.exp(-r * T)
    d1 = (mp.log(S / K) + (r + sigma**2 / 2) * T) / (sigma * root)
    d2 = d1 - sigma * root
    expected = Greeks(
        price=sign * (S * N(sign * d1) - discounted * N(sign * d2)),
        delta=sign * N(sign * d1),
        gamma=n(d1) / (S * sigma * root),
        vega=S * n(d1) * root,
        theta=-S * n(d1) * sigma / (2 * root) - sign * r * discounted * N(sign * d2),
        rho=sign * T * discounted * N(sign * d2),
        vanna=-n(d1) * d2 / sigma,
        volga=S * n(d1) * root * d1 * d2 / sigma,
        charm=-n(d1) * (2 * r * T - d2 * sigma * root) / (2 * T * sigma * root),
    )
    return expected, float(d1), float(sigma * root)


STRIKES = (20.0, 50.0, 80.0, 95.0, 100.0, 105.0, 125.0, 200.0, 500.0)
MATURITIES = (1 / 365, 1 / 52, 0.25, 1.0, 5.0, 30.0)
GRID = list(product([100.0], STRIKES, (-0.01, 0.0, 0.05), (0.05, 0.2, 0.8), MATURITIES))
assert len(GRID) == 486


@each_option
def test_the_greeks_are_the_closed_forms(price: Callable[..., Any]) -> None:
    near = far = 0
    for at in GRID:
        with mp.workdps(40):
            expected, d1, spread = closed_forms(price, *at)
        got = greeks(price, *at)
        if abs(d1) < 18:
            near += 1
            for name, found, true in zip(Greeks._fields, got, expected, strict=True):
                assert math.isclose(found, true, rel_tol=1e-10), (name, at)
        elif abs(d1) < 37:  # beyond, exp(-d1²/2) is below the normal numbers, or 0
            far += 1
            for name, found, true in zip(Greeks._fields, got, expected, strict=True):
                assert math.isclose(found, true, rel_tol=4 * EPS * (1 + abs(d1)) ** 3 / spread), (name, at)
        else:
            assert all([math.isclose(x, y, rel_tol=1e-10, abs_tol=1e-280) for x, y in zip(got, expected, strict=True)])
    assert near > 380 and far > 20


@each_option
def test_the_closed_forms_are_derivatives_of_the_price(price: Callable[..., Any]) -> None:
    at = (100.0, 110.0, 0.03, 0.25, 0.75)

    def exact(*orders: int) -> Any:
        return mp.diff(lambda *xs: closed_forms(price, *xs)[0].price, at, orders)

    with mp.workdps(60):
        expected = Greeks(
            closed_forms(price, *at)[0].price,
            delta=exact(1, 0, 0, 0, 0),
            gamma=exact(2, 0, 0, 0, 0),
            vega=exact(0, 0, 0, 1, 0),
            theta=-exact(0, 0, 0, 0, 1),
            rho=exact(0, 0, 1, 0, 0),
            vanna=exact(1, 0, 0, 1, 0),
            volga=exact(0, 0, 0, 2, 0),
            charm=-exact(1, 0, 0, 0, 1),
        )
        for closed, differences in zip(closed_forms(price, *at)[0], expected, strict=True):
            assert mp.almosteq(closed, differences, rel_eps=mpf(10) ** -20)


def test_numbers_that_are_published() -> None:
    # J. C. Hull, Options, Futures, and Other Derivatives, chapter on the Greek letters: a call on a stock at 49
    found = greeks(call, 49.0, 50.0, 0.05, 0.2, 20 / 52)
    assert f"{found.delta:.3f} {found.gamma:.3f} {found.vega:.1f}" == "0.522 0.066 12.1"
    assert f"{found.theta:.2f} {found.rho:.2f}" == "-4.31 8.91"


@given(
    st.tuples(
        st.floats(50, 200), st.floats(50, 200), st.floats(-0.05, 0.2), st.floats(0.05, 1.0), st.floats(0.02, 10.0)
    )
)
def test_parity_of_calls_and_puts(at: tuple[float, ...]) -> None:
    c, p = greeks(call, *at), greeks(put, *at)
    S, K, r, _, T = at
    forward = grad(lambda S, r, T: S - K * exp(-r * T), argnums=(0, 1, 2))(S, r, T)
    discounted = K * math.exp(-r * T)
    assert forward == pytest.approx((1.0, T * discounted, r * discounted), rel=1e-14, abs=1e-14)
    for of_call, of_put, of_forward, size in (
        (c.price, p.price, S - discounted, S + discounted),
        (c.delta, p.delta, 1.0, 1.0),
        (c.rho, p.rho, T * discounted, T * discounted),
        (c.theta, p.theta, -r * discounted, discounted + S),
        (c.gamma, p.gamma, 0.0, c.gamma),
        (c.vega, p.vega, 0.0, c.vega),
        (c.vanna, p.vanna, 0.0, abs(c.vanna) + c.gamma * S),
        (c.volga, p.volga, 0.0, abs(c.volga) + c.vega),
        (c.charm, p.charm, 0.0, abs(c.charm) + c.gamma * S),
    ):
        assert math.isclose(of_call - of_put, of_forward, rel_tol=0, abs_tol=1e-10 * size)


@each_option
def test_every_transform_gives_the_same_greeks(price: Callable[..., Any]) -> None:
    at = (100.0, 110.0, 0.03, 0.25, 0.75)
    found = greeks(price, *at)

    def of_spot(S: Any) -> Any:
        return price(S, *at[1:])

    assert derivative(of_spot)(100.0) == pytest.approx(found.delta, rel=1e-14)
    assert derivative(of_spot, 2)(100.0) == pytest.approx(found.gamma, rel=1e-13)
    assert grad(grad(price))(*at) == pytest.approx(found.gamma, rel=1e-13)
    assert grad(grad(price), argnums=SIGMA)(*at) == pytest.approx(found.vanna, rel=1e-13)
    assert grad(grad(price, argnums=SIGMA))(*at) == pytest.approx(found.vanna, rel=1e-13)
    assert jacobian(price, argnums=(SPOT, SIGMA))(*at) == pytest.approx((found.delta, found.vega), rel=1e-14)
    assert jacobian(grad(price, argnums=(SPOT, SIGMA)), argnums=SIGMA)(*at) == pytest.approx(
        (found.vanna, found.volga), rel=1e-13
    )


@each_option
def test_third_derivatives(price: Callable[..., Any]) -> None:
    at = (100.0, 110.0, 0.03, 0.25, 0.75)
    expected, d1, spread = closed_forms(price, *at)
    speed = -expected.gamma / at[SPOT] * (d1 / spread + 1)
    zomma = expected.gamma * (d1 * (d1 - spread) - 1) / at[SIGMA]
    assert derivative(lambda S: price(S, *at[1:]), 3)(at[SPOT]) == pytest.approx(float(speed), rel=1e-12)
    assert grad(hessian(price), argnums=SIGMA)(*at) == pytest.approx(float(zomma), rel=1e-12)


def test_cdf_by_erf_loses_what_is_far_out_of_the_money() -> None:
    # 1 + erf(x) cancels to the left of 0, erfc(-x) does not; the density, and so gamma and vega, are the same
    def with_erf(S: Any, K: Any, r: Any, sigma: Any, T: Any) -> Any:
        d1 = (log(S / K) + (r + sigma**2 / 2) * T) / (sigma * sqrt(T))
        d2 = d1 - sigma * sqrt(T)
        return S * 0.5 * (1 + erf(d1 / math.sqrt(2))) - K * exp(-r * T) * 0.5 * (1 + erf(d2 / math.sqrt(2)))

    at = (100.0, 400.0, 0.0, 0.2, 1.0)
    expected, d1, _ = closed_forms(call, *at)
    assert -7 < d1 < -6.5
    assert greeks(call, *at) == pytest.approx([float(x) for x in expected], rel=1e-11)
    lossy = greeks(with_erf, *at)
    assert lossy.gamma == pytest.approx(float(expected.gamma), rel=1e-11)
    assert lossy.vega == pytest.approx(float(expected.vega), rel=1e-11)
    assert abs(lossy.delta / expected.delta - 1) > 1e-7


# Arrays: each element is an option of its own.

SPOTS = np.linspace(60.0, 160.0, 21)


def test_of_an_array_of_spots() -> None:
    each = [greeks(call, S, 100.0, 0.03, 0.25, 0.75) for S in SPOTS]

    def of_spot(S: Any) -> Any:
        return call(S, 100.0, 0.03, 0.25, 0.75)

    assert np.allclose(derivative(of_spot)(SPOTS), [g.delta for g in each], rtol=1e-13, atol=0)
    assert np.allclose(derivative(of_spot, 2)(SPOTS), [g.gamma for g in each], rtol=1e-12, atol=0)
    deltas = jacobian(lambda spots: np.array([of_spot(S) for S in spots]))(SPOTS)
    assert np.array_equal(deltas, np.diag([g.delta for g in each]))


def test_of_a_price_written_for_arrays() -> None:
    each_cdf = np.frompyfunc(normal_cdf, 1, 1)

    def price(S: Any, sigma: Any) -> Any:
        K, r, T = 100.0, 0.03, 0.75
        d1 = (np.log(S / K) + (r + sigma**2 / 2) * T) / (sigma * np.sqrt(T))
        return S * each_cdf(d1) - K * np.exp(-r * T) * each_cdf(d1 - sigma * np.sqrt(T))

    vols = np.linspace(0.1, 0.6, 21)
    each = [greeks(call, S, 100.0, 0.03, v, 0.75) for S, v in zip(SPOTS, vols, strict=True)]
    deltas, vegas = grad(lambda S, v: price(S, v).sum(), argnums=(0, 1))(SPOTS, vols)
    assert np.allclose(deltas, [g.delta for g in each], rtol=1e-13, atol=0)
    assert np.allclose(vegas, [g.vega for g in each], rtol=1e-13, atol=0)
    vannas = jacobian(grad(lambda S, v: price(S, v).sum()), argnums=1)(SPOTS, vols)
    assert np.allclose(vannas, np.diag([g.vanna for g in each]), rtol=1e-12, atol=0)

    portfolio = jacobian(lambda at: price(at[0], at[1]))(np.array([100.0, 0.25]))
    assert portfolio == pytest.approx(greeks(call, 100.0, 100.0, 0.03, 0.25, 0.75)[1:4:2], rel=1e-13)


def test_implied_volatility_by_newton_and_halley() -> None:
    for sigma in (0.05, 0.2, 0.7):
        paid = call(100.0, 110.0, 0.03, sigma, 0.75)

        def excess(sigma: Any, paid: float = paid) -> Any:
            return call(100.0, 110.0, 0.03, sigma, 0.75) - paid

        for curvature in (None, derivative(excess, 2)):
            implied = newton(excess, 0.3, fprime=derivative(excess), fprime2=curvature, tol=1e-13)
            assert implied == pytest.approx(sigma, rel=1e-12)


def test_a_graph_of_the_price_gives_the_greeks_too() -> None:
    at = [autograd.Value(x, label=label) for x, label in zip((100.0, 110.0, 0.03, 0.25, 0.75), "SKrσT", strict=True)]
    price = call(*at)
    delta = autograd.gradients(price, at[SPOT], create_graph=True)
    gamma, vanna = autograd.gradients(delta, [at[SPOT], at[SIGMA]])
    expected = greeks(call, *[x.data for x in at])
    assert (delta.data, gamma, vanna) == pytest.approx((expected.delta, expected.gamma, expected.vanna), rel=1e-13)
