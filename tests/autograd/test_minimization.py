"""SciPy's minimisers at work with our gradients, Hessians and Jacobians, on problems whose minimum is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, log, pi
from typing import Any

import numpy as np
import pytest
from scipy.optimize import NonlinearConstraint, least_squares, minimize

import autograd
from autograd import grad, hessian, hvp, jacobian, stop_gradient, value_and_grad

Function = Callable[..., Any]
Array = np.ndarray[Any, np.dtype[np.float64]]


def rosenbrock(x: Any) -> Any:
    return autograd.sum([100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2 for i in range(len(x) - 1)])


def rosenbrock_in_numpy(x: Any) -> Any:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def beale(x: Any) -> Any:
    x, y = x
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def camel(x: Any) -> Any:
    x, y = x
    return (4 - 2.1 * x**2 + x**4 / 3) * x**2 + x * y + (4 * y**2 - 4) * y**2


@dataclass
class Problem:
    """A function, where to start, and where the minimum is that a descent from there should find."""

    f: Function
    start: Sequence[float]
    at: Sequence[float]
    minimum: float = 0.0


CAMEL_AT, CAMEL_MINIMUM = (0.08984201310031806, -0.7126564030207396), -1.031628453489877  # from mpmath, in 40 digits
PROBLEMS = {
    "rosenbrock": Problem(rosenbrock, [-1.2, 1.0], [1.0, 1.0]),
    "rosenbrock 10": Problem(rosenbrock, [1.3, 0.7, 0.8, 1.9, 1.2] * 2, [1.0] * 10),
    "rosenbrock 10 in NumPy": Problem(rosenbrock_in_numpy, [1.3, 0.7, 0.8, 1.9, 1.2] * 2, [1.0] * 10),
    "beale": Problem(beale, [1.0, 1.0], [3.0, 0.5]),
    "camel, right": Problem(camel, [0.3, -0.9], CAMEL_AT, CAMEL_MINIMUM),
    "camel, left": Problem(camel, [-0.3, 0.9], [-v for v in CAMEL_AT], CAMEL_MINIMUM),
}
each_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)


def minimum_missed_by(result: Any, problem: Problem) -> list[str]:
    """What is wrong with what a minimiser found; the slopes here are those of Problem.f."""
    x, slope = result.x, grad(problem.f)(result.x)
    curvatures = np.linalg.eigvalsh(hessian(problem.f)(x))
    faults = {
        "no success": not result.success,
        "the minimum": not abs(result.fun - problem.minimum) < 1e-8,
        "the point": not np.abs(x - problem.at).max() < 1e-4,
        "the slope": not np.linalg.norm(slope) < 1e-3,
        "the curvature": not curvatures[0] > 0,
    }
    return [fault for fault, found in faults.items() if found]


@each_problem
@pytest.mark.parametrize("method", [None, "BFGS", "L-BFGS-B", "CG", "SLSQP"])
def test_minimised_with_our_gradient(problem: Problem, method: str | None) -> None:
    if method is None:
        result = minimize(value_and_grad(problem.f), problem.start, jac=True)
    else:
        result = minimize(value_and_grad(problem.f), problem.start, jac=True, method=method, tol=1e-9)
    assert minimum_missed_by(result, problem) == []


@each_problem
@pytest.mark.parametrize("method", ["Newton-CG", "trust-ncg", "trust-exact", "trust-constr"])
def test_minimised_with_our_hessian(problem: Problem, method: str) -> None:
    result = minimize(
        value_and_grad(problem.f), problem.start, jac=True, hess=hessian(problem.f), method=method, tol=1e-7
    )
    assert minimum_missed_by(result, problem) == []
    assert np.abs(result.x - problem.at).max() < 1e-6


@each_problem
@pytest.mark.parametrize("method", ["Newton-CG", "trust-ncg"])
def test_minimised_with_our_hessian_vector_products(problem: Problem, method: str) -> None:
    result = minimize(
        value_and_grad(problem.f),
        problem.start,
        jac=True,
        hessp=lambda x, v: hvp(problem.f, x, v),
        method=method,
        tol=1e-7,
    )
    assert minimum_missed_by(result, problem) == []
    assert np.abs(result.x - problem.at).max() < 1e-6


def camel_of_frozen_square(x: Any) -> Any:
    x, y = x
    return (4 - 2.1 * x**2 + x**4 / 3) * stop_gradient(x**2) + x * y + (4 * y**2 - 4) * y**2


def rosenbrock_of_frozen_square(x: Any) -> Any:
    return autograd.sum([100 * (x[i + 1] - stop_gradient(x[i] ** 2)) ** 2 + (1 - x[i]) ** 2 for i in range(len(x) - 1)])


def beale_of_frozen_y(x: Any) -> Any:
    return beale([x[0], stop_gradient(x[1])])


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("rosenbrock", rosenbrock_of_frozen_square),
        ("rosenbrock 10", rosenbrock_of_frozen_square),
        ("beale", beale_of_frozen_y),
        ("camel, left", camel_of_frozen_square),
        ("camel, right", camel_of_frozen_square),
    ],
)
@pytest.mark.parametrize("method", ["BFGS", "L-BFGS-B"])
def test_a_gradient_that_lacks_a_term_is_noticed(name: str, wrong: Function, method: str) -> None:
    problem = PROBLEMS[name]
    assert wrong(problem.start) == problem.f(problem.start)
    result = minimize(value_and_grad(wrong), problem.start, jac=True, method=method, tol=1e-9)
    assert minimum_missed_by(result, problem) != []


def newton_errors(problem: Problem, second_derivatives: Function, steps: int) -> list[float]:
    """How far pure Newton steps, from nearby, are from the minimum."""
    at = np.array(problem.at)
    x = at + 0.02 * np.cos(np.arange(len(at)))
    errors = []
    for _ in range(steps):
        x = x - np.linalg.solve(second_derivatives(x), grad(problem.f)(x))
        errors.append(float(np.abs(x - at).max()))
    return errors


@each_problem
def test_newton_converges_quadratically(problem: Problem) -> None:
    assert newton_errors(problem, hessian(problem.f), 6)[-1] < 1e-14

    # a Hessian wrong by one part in 20 still finds the minimum, but no longer so fast
    def nearly(x: Array) -> Array:
        return 1.05 * hessian(problem.f)(x)

    assert 1e-12 < newton_errors(problem, nearly, 6)[-1] < 1e-7


def test_second_derivatives_by_hand() -> None:
    x, y = 0.7, -1.3
    assert hessian(rosenbrock)([x, y]) == [
        pytest.approx([1200 * x**2 - 400 * y + 2, -400 * x], rel=1e-14),
        pytest.approx([-400 * x, 200.0], rel=1e-14),
    ]
    assert hessian(camel)([x, y]) == [
        pytest.approx([8 - 25.2 * x**2 + 10 * x**4, 1.0], rel=1e-14),
        pytest.approx([1.0, 48 * y**2 - 8], rel=1e-14),
    ]
    tridiagonal = hessian(rosenbrock)(np.linspace(-1, 1, 10))
    assert np.all(tridiagonal[np.abs(np.subtract.outer(range(10), range(10))) > 1] == 0)


# A mixture of Gaussians: the weights are the softmax of the logits, so that their scale is free.

rng = np.random.default_rng(20)
SAMPLE = np.concatenate([rng.normal(-2.0, 0.6, 25), rng.normal(1.5, 1.1, 40)])
FIRST_GUESS = {"logits": [0.0, 0.0], "means": [-1.0, 1.0], "log_scales": [0.0, 0.0]}


def mixture_loss(p: dict[str, Any], sample: Any) -> Any:
    """The mean negative log likelihood."""
    log_weights = autograd.log_softmax(p["logits"])
    components = list(zip(log_weights, p["means"], p["log_scales"], strict=True))
    return -autograd.mean(
        [
            autograd.logsumexp([w - s - 0.5 * ((x - m) * autograd.exp(-s)) ** 2 for w, m, s in components])
            - 0.5 * log(2 * pi)
            for x in sample
        ]
    )


def flat_mixture_loss(p: Any, sample: Any) -> Any:
    return mixture_loss({"logits": p[0:2], "means": p[2:4], "log_scales": p[4:6]}, sample)


def by_expectation_maximisation(sample: Array) -> tuple[Array, Array, Array]:
    """Weights, means and scales of the most likely mixture, by an algorithm that needs no derivative."""
    weights, means, scales = np.full(2, 0.5), np.array([-1.0, 1.0]), np.ones(2)
    for _ in range(3000):
        shares = weights * np.exp(-0.5 * ((sample[:, None] - means) / scales) ** 2) / scales
        shares /= shares.sum(axis=1, keepdims=True)
        counts = shares.sum(axis=0)
        weights, means = counts / len(sample), shares.T @ sample / counts
        scales = np.sqrt((shares * (sample[:, None] - means) ** 2).sum(axis=0) / counts)
    return weights, means, scales


@pytest.mark.parametrize("method", ["BFGS", "L-BFGS-B", "Newton-CG", "trust-ncg", "trust-exact"])
def test_gaussian_mixture_is_fitted_as_by_expectation_maximisation(method: str) -> None:
    start = [x for part in FIRST_GUESS.values() for x in part]
    second = {} if "BFGS" in method else {"hess": hessian(flat_mixture_loss)}
    result = minimize(
        value_and_grad(flat_mixture_loss), start, args=(SAMPLE,), jac=True, method=method, tol=1e-9, **second
    )
    tolerance = 1e-4 if method == "L-BFGS-B" else 1e-6  # it stops where the loss no longer falls
    assert np.linalg.norm(grad(flat_mixture_loss)(result.x, SAMPLE)) < tolerance

    weights, means, scales = by_expectation_maximisation(SAMPLE)
    assert np.allclose(autograd.softmax(result.x[0:2]), weights, rtol=0, atol=tolerance)
    assert np.allclose(result.x[2:4], means, rtol=0, atol=tolerance)
    assert np.allclose(np.exp(result.x[4:6]), scales, rtol=0, atol=tolerance)

    # equal steps of both logits change nothing: one direction is flat, the others curve upwards
    curvature = hessian(flat_mixture_loss)(result.x, SAMPLE)
    assert np.abs(curvature @ [1, 1, 0, 0, 0, 0]).max() < 1e-13
    curvatures = np.linalg.eigvalsh(curvature)
    assert abs(curvatures[0]) < 1e-13 and curvatures[1] > 0.01


def test_gaussian_mixture_of_a_dict_of_parameters() -> None:
    at = {"logits": [0.3, -0.2], "means": [-1.7, 1.1], "log_scales": [-0.4, 0.2]}
    flat = np.array([x for part in at.values() for x in part])
    slopes = grad(mixture_loss)(at, SAMPLE)
    assert list(slopes) == list(at)
    assert [d for part in slopes.values() for d in part] == list(grad(flat_mixture_loss)(flat, SAMPLE))

    blocks = hessian(mixture_loss)(at, SAMPLE)
    rows = [[d for part in row.values() for d in part] for of in blocks.values() for row in of]
    assert np.array_equal(rows, hessian(flat_mixture_loss)(flat, SAMPLE))
    products = hvp(lambda p: mixture_loss(p, SAMPLE), at, at)
    assert np.allclose([d for part in products.values() for d in part], np.array(rows) @ flat, rtol=1e-12, atol=1e-15)


# Least squares. The certified results of Misra1a, NIST Statistical Reference Datasets:
# https://www.itl.nist.gov/div898/strd/nls/data/misra1a.shtml

MISRA_X = np.array([77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0])
MISRA_Y = np.array([10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78])


@pytest.mark.parametrize("method", ["trf", "lm", "dogbox"])
@pytest.mark.parametrize("start", [[500.0, 0.0001], [250.0, 0.0005]])
def test_least_squares_as_nist_certifies(start: list[float], method: str) -> None:
    def residuals(b: Any) -> Any:
        return b[0] * (1 - np.exp(-b[1] * MISRA_X)) - MISRA_Y

    result = least_squares(
        residuals,
        start,
        jac=jacobian(residuals),
        method=method,
        x_scale=[100.0, 1e-4],
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-15,
    )
    assert result.x == pytest.approx([2.3894212918e02, 5.5015643181e-04], rel=1e-9)
    assert 2 * result.cost == pytest.approx(1.2455138894e-01, rel=1e-10)
    slopes = jacobian(residuals)(result.x)
    errors = np.sqrt(np.diag(np.linalg.inv(slopes.T @ slopes)) * 2 * result.cost / 12)
    assert errors == pytest.approx([2.7070075241e00, 7.2668688436e-06], rel=1e-8)


def test_least_squares_of_rosenbrock() -> None:
    def residuals(x: Any) -> Any:
        return np.concatenate([10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]])

    result = least_squares(residuals, PROBLEMS["rosenbrock 10"].start, jac=jacobian(residuals))
    assert result.cost < 1e-20
    assert np.abs(result.x - 1).max() < 1e-9


@pytest.mark.parametrize("method", ["trust-constr", "SLSQP"])
def test_constrained_to_a_disk(method: str) -> None:
    def radius(x: Any) -> Any:
        return x[0] ** 2 + x[1] ** 2

    second, second_of_radius = {}, {}
    if method == "trust-constr":
        second = {"hess": hessian(rosenbrock)}
        second_of_radius = {"hess": lambda x, v: v[0] * hessian(radius)(x)}
    disk = NonlinearConstraint(radius, -inf, 1.0, jac=grad(radius), **second_of_radius)
    result = minimize(
        value_and_grad(rosenbrock), [0.0, 0.0], jac=True, method=method, constraints=disk, tol=1e-10, **second
    )
    assert radius(result.x) == pytest.approx(1.0, abs=1e-6)
    slope, normal = grad(rosenbrock)(result.x), grad(radius)(result.x)
    multiplier = -(slope @ normal) / (normal @ normal)
    assert multiplier > 0
    assert np.abs(slope + multiplier * normal).max() < 1e-4
    assert result.fun == pytest.approx(0.0456748087191604, abs=1e-6)
