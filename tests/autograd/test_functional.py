"""The transforms: structures in and out, nesting, agreement with each other, cost, memory, and what they refuse."""

import collections
import functools
import gc
import inspect
import itertools
import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from mpmath import mp, mpf
from strategies import EXACT, Program, alike, ordinary_points, path_sizes, programs, tangled_programs

import autograd
import nn
from autograd import (
    OPS,
    AnomalyError,
    Op,
    StaleGraphError,
    Value,
    custom,
    derivative,
    detect_anomaly,
    grad,
    gradients,
    hessian,
    hvp,
    jacobian,
    jvp,
    no_grad,
    recording,
    stop_gradient,
    topological_order,
    value_and_grad,
    vjp,
)
from autograd.passes import Linearization

Function = Callable[..., Any]


class Weights(NamedTuple):
    w: Any
    b: Any


def plain(x: Any) -> Any:
    """The same structure with the number of each Value in its place, arrays as nested lists."""
    if isinstance(x, dict):
        return {key: plain(part) for key, part in x.items()}
    if isinstance(x, np.ndarray):
        return plain(x.tolist())
    if isinstance(x, (list, tuple)):
        return [plain(part) for part in x]
    return x.data if isinstance(x, Value) else x


def numbers(x: Any) -> list[Any]:
    """The parts of a structure, flat."""
    if isinstance(x, np.ndarray):
        return list(x.ravel())
    if isinstance(x, dict):
        return [v for part in x.values() for v in numbers(part)]
    return [v for part in x for v in numbers(part)] if isinstance(x, (list, tuple)) else [x]


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Any:
    """After each test no transform is running and every mode is the usual one."""
    yield
    assert not recording.modes


def by_leaves(out: Value, leaves: Sequence[Value]) -> list[float]:
    """The gradient by those leaves that out depends on, 0.0 by the others."""
    reached = set(topological_order(out))
    return [gradients(out, x) if x in reached else 0.0 for x in leaves]


# Structures


def polynomial(xs: Sequence[Any]) -> Any:
    """x0**2 * x1 + 3 * x1."""
    x, y = xs
    return x * x * y + 3 * y


GRADIENT, HESSIAN = [30.0, 12.0], [[10.0, 6.0], [6.0, 0.0]]  # of it at (3, 5)

STRUCTURES: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "list": ([3.0, 5.0], list),
    "tuple": ((3.0, 5.0), list),
    "ints": ([3, 5], list),
    "numpy scalars": ([np.float64(3.0), np.float32(5.0)], list),
    "namedtuple": (Weights(3.0, 5.0), list),
    "dict": ({"b": 3.0, "a": 5.0}, lambda p: [p["b"], p["a"]]),
    "keys of any kind": ({(0, 1): 3.0, None: 5.0}, lambda p: [p[0, 1], p[None]]),
    "OrderedDict": (collections.OrderedDict(x=3.0, y=5.0), lambda p: [p["x"], p["y"]]),
    "defaultdict": (collections.defaultdict(list, x=3.0, y=5.0), lambda p: [p["x"], p["y"]]),
    "nested": ([{"x": (3.0,)}, [[5.0]]], lambda p: [p[0]["x"][0], p[1][0][0]]),
    "with empty parts": ({"e": [], "x": 3.0, "f": (), "g": {}, "y": 5.0}, lambda p: [p["x"], p["y"]]),
    "array": (np.array([3.0, 5.0]), list),
    "column": (np.array([[3.0], [5.0]]), lambda a: [a[0, 0], a[1, 0]]),
    "float32": (np.array([3.0, 5.0], np.float32), list),
    "non-contiguous": (np.array([3.0, 0.0, 5.0, 0.0])[::2], list),
    "backward": (np.array([5.0, 3.0])[::-1], list),
    "read-only": (np.broadcast_to(np.array([3.0, 5.0]), (1, 2)), lambda a: list(a[0])),
    "objects": (np.array([3.0, 5], dtype=object), list),
    "mixed": (Weights(np.array([3.0]), {"b": 5.0, "none": np.zeros((0, 2))}), lambda p: [p.w[0], p.b["b"]]),
    "arrays without axes": ([np.array(3.0), np.array(5.0)], list),
}
every_structure = pytest.mark.parametrize(("argument", "pair"), STRUCTURES.values(), ids=STRUCTURES)


def same_structure(a: Any, b: Any) -> bool:
    if isinstance(b, dict):
        return type(a) is type(b) and list(a) == list(b) and all(same_structure(a[k], b[k]) for k in b)
    if isinstance(b, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same_structure, a, b))
    if isinstance(b, np.ndarray):
        return isinstance(a, np.ndarray) and a.shape == b.shape and a.dtype == float
    return type(a) is float


@every_structure
def test_first_derivatives_have_the_structure_of_the_argument(argument: Any, pair: Function) -> None:
    def f(p: Any) -> Any:
        assert not isinstance(p, np.ndarray) or p.dtype == object
        return polynomial(pair(p))

    before = plain(argument)
    value, slopes = value_and_grad(f)(argument)
    out, pullback = vjp(f, argument)
    along = jvp(f, (argument,), (slopes,))
    for found in (slopes, grad(f)(argument), jacobian(f)(argument), *pullback(1.0)):
        assert same_structure(found, argument)
        assert numbers(found) == GRADIENT
    assert (type(value), value, out, along[0]) == (float, 60.0, 60.0, 60.0)
    assert along[1] == 30.0**2 + 12.0**2
    assert plain(argument) == before
    if isinstance(argument, collections.defaultdict):
        assert grad(f)(argument).default_factory is list
        assert argument.default_factory is list


@every_structure
def test_second_derivatives_have_the_structure_twice(argument: Any, pair: Function) -> None:
    def f(p: Any) -> Any:
        return polynomial(pair(p))

    found = hessian(f)(argument)
    nested = jacobian(grad(f))(argument)
    assert numbers(found) == numbers(nested) == [*HESSIAN[0], *HESSIAN[1]]
    assert str(plain(found)) == str(plain(nested))
    if isinstance(argument, np.ndarray):
        assert found.shape == nested.shape == argument.shape * 2
        assert found.dtype == float
    slopes = grad(f)(argument)
    product = hvp(f, (argument,), (slopes,))
    (product,) = product
    assert same_structure(product, argument)
    assert numbers(product) == [10 * 30.0 + 6 * 12.0, 6 * 30.0]
    if not isinstance(argument, tuple):  # which would be the arguments
        assert numbers(hvp(f, argument, slopes)) == numbers(product)
        assert jvp(f, argument, slopes)[1] == 30.0**2 + 12.0**2


@every_structure
def test_values_in_any_structure_give_connected_values(argument: Any, pair: Function) -> None:
    def as_values(x: Any) -> Any:
        if isinstance(x, dict):
            twin = x.copy()
            twin.update({key: as_values(part) for key, part in x.items()})
            return twin
        if isinstance(x, np.ndarray):
            return np.vectorize(Value, otypes=[object])(x) if x.size else x
        if isinstance(x, (list, tuple)):
            parts = [as_values(part) for part in x]
            return type(x)(*parts) if hasattr(x, "_make") else type(x)(parts)
        return Value(x)

    point = as_values(argument)
    leaves = [v if isinstance(v, Value) else v.item() for v in numbers(point)]
    slopes = grad(lambda p: polynomial(pair(p)))(point)
    assert all(isinstance(v, Value) for v in numbers(slopes))
    assert [v.data for v in numbers(slopes)] == GRADIENT
    rows = [by_leaves(slope, leaves) for slope in numbers(slopes)]
    assert rows == HESSIAN
    assert all(x.grad == 0.0 for x in leaves)


def test_arrays_by_arrays() -> None:
    xs = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    found = jacobian(lambda a: a.T * 2)(xs)
    assert found.shape == (3, 2, 2, 3)
    expected = np.zeros((3, 2, 2, 3))
    for i in range(2):
        for j in range(3):
            expected[j, i, i, j] = 2.0
    assert np.array_equal(found, expected)
    assert np.array_equal(jacobian(lambda a: a.T * 2)(np.asfortranarray(xs)), expected)
    second = hessian(lambda a: (a**3).sum())(xs)
    assert second.shape == (2, 3, 2, 3)
    assert np.array_equal(second.reshape(6, 6), np.diag(6 * xs.ravel()))
    curved = hessian(lambda a: a[0] @ a[1])(xs)
    assert np.array_equal(curved[0, :, 1], np.eye(3))
    assert np.array_equal(curved[0, :, 0], np.zeros((3, 3)))


def test_a_jacobian_has_the_results_structure_outside_and_the_arguments_inside() -> None:
    def f(p: Any, x: Any) -> Any:
        return {"u": [p["a"] * x, p["b"][0]], "v": np.array([x, x * x, 1.0]), "w": x * p["b"][1]}

    found = jacobian(f, argnums=(0, 1))({"a": 2.0, "b": np.array([3.0, 4.0])}, 5.0)
    by_a, by_x = found["u"][0]
    assert (by_a["a"], by_x) == (5.0, 2.0)
    assert by_a["b"].tolist() == [0.0, 0.0]
    assert found["u"][1][0]["b"].tolist() == [1.0, 0.0]
    by_p, by_x = found["v"]
    assert by_p["a"].tolist() == [0.0, 0.0, 0.0]
    assert by_p["b"].shape == (3, 2)
    assert by_x.tolist() == [1.0, 10.0, 0.0]
    assert found["w"][0]["b"].tolist() == [0.0, 5.0]
    assert found["w"][1] == 4.0


def test_a_hessian_of_several_arguments_has_a_block_for_each_pair() -> None:
    found = hessian(lambda w, x, b: w[0] * x * x + w[1] * b * x, argnums=(0, 1))(np.array([2.0, 3.0]), 5.0, 7.0)
    assert [[np.shape(block) for block in line] for line in found] == [[(2, 2), (2,)], [(2,), ()]]
    assert plain(found) == [[[[0.0, 0.0], [0.0, 0.0]], [10.0, 7.0]], [[10.0, 7.0], 4.0]]
    named = hessian(lambda p: p["x"] ** 2 * p["y"])({"x": 3.0, "y": 5.0})
    assert named == {"x": {"x": 10.0, "y": 6.0}, "y": {"x": 6.0, "y": 0.0}}


def test_an_array_without_axes_gives_one() -> None:
    at = np.array(3.0)
    for found, expected in (
        (grad(lambda x: x * x)(at), 6.0),
        (jacobian(lambda x: x * x)(at), 6.0),
        (hessian(lambda x: x * x)(at), 2.0),
        (vjp(lambda x: x * x, at)[1](2.0)[0], 12.0),
        (derivative(lambda x: x * x)(at), 6.0),
    ):
        assert isinstance(found, np.ndarray)
        assert (found.shape, float(found)) == ((), expected)
    assert grad(lambda x: x * x)(np.array(Value(3.0), dtype=object)).data == 6.0


@pytest.mark.parametrize("empty", [[], (), {}, np.array([]), np.zeros((0, 3))], ids=repr)
def test_an_empty_argument_beside_another(empty: Any) -> None:
    def f(x: Any, rest: Any) -> Any:
        return x * x

    slope, none = grad(f, argnums=(0, 1))(3.0, empty)
    assert slope == 6.0
    assert type(none) is type(empty)
    assert np.shape(none) == np.shape(empty)
    alone = grad(f, argnums=1)(Value(3.0), empty)
    assert np.shape(alone) == np.shape(empty)
    if isinstance(empty, np.ndarray):
        ((curvature, across), (_, block)) = hessian(f, argnums=(0, 1))(3.0, empty)
        assert (curvature, across.shape, block.shape) == (2.0, empty.shape, empty.shape * 2)
    else:
        assert hessian(f, argnums=(0, 1))(3.0, empty) == ((2.0, empty), empty)


def test_matrices_are_arrays() -> None:
    found = grad(lambda m: m[0, 0] * m[0, 1])(np.matrix([[3.0, 5.0]]))
    assert np.array_equal(found, [[5.0, 3.0]])


class Parameters(list):  # type: ignore[type-arg]
    """A list that is made of more than its items."""

    def __init__(self, name: str, items: Sequence[Any]) -> None:
        super().__init__(items)
        self.name = name


def test_a_list_of_ones_own_is_kept() -> None:
    found = grad(polynomial)(Parameters("p", [3.0, 5.0]))
    assert (type(found), found.name, list(found)) == (Parameters, "p", GRADIENT)


# Argnums and keyword arguments


def f_of_three(x: Any, y: Any, z: Any = 7.0) -> Any:
    return x * y * y * z


@pytest.mark.parametrize(
    ("argnums", "expected"),
    [
        (0, 175.0),
        (1, 210.0),
        (2, 75.0),
        (-1, 75.0),
        (-3, 175.0),
        ((0,), (175.0,)),
        ([0, 2], (175.0, 75.0)),
        ((2, 0), (75.0, 175.0)),
        ((1, -2), (210.0, 210.0)),
        ((0, 0), (175.0, 175.0)),
    ],
)
def test_argnums(argnums: Any, expected: Any) -> None:
    assert grad(f_of_three, argnums)(3.0, 5.0, 7.0) == expected
    assert value_and_grad(f_of_three, argnums)(3.0, 5.0, 7.0) == (525.0, expected)
    assert jacobian(f_of_three, argnums)(3.0, 5.0, 7.0) == expected
    second = hessian(f_of_three, argnums)(3.0, 5.0, 7.0)
    assert second == jacobian(grad(f_of_three, argnums), argnums)(3.0, 5.0, 7.0)


def test_what_is_not_differentiated_is_passed_on_as_it_is() -> None:
    seen: list[Any] = []

    def f(x: Any, *rest: Any, **named: Any) -> Any:
        seen.append((rest, named))
        return x * x

    index, text = np.array([1, 2]), object()
    for transform in (grad, value_and_grad, jacobian, hessian):
        transform(f)(3.0, index, "text", key=text, n=3)
    assert all(rest[0] is index and rest[1] == "text" and named == {"key": text, "n": 3} for rest, named in seen)
    assert len(seen) == 4
    assert grad(f_of_three)(3.0, 5.0) == 175.0
    assert grad(f_of_three)(3.0, z=2.0, y=5.0) == 50.0
    assert grad(functools.partial(f_of_three, y=5.0, z=2.0))(3.0) == 50.0


def test_any_callable_will_do() -> None:
    class Line:
        slope = 4.0

        def __call__(self, x: Any) -> Any:
            return self.slope * x

        def method(self, x: Any) -> Any:
            return self.slope * x * x

    assert grad(Line())(1.0) == 4.0
    assert grad(Line().method)(1.0) == 8.0
    assert grad(autograd.sin)(0.0) == 1.0
    assert grad(Value.tanh)(0.0) == 1.0  # type: ignore[attr-defined]
    assert hessian(autograd.logsumexp)([0.0, 0.0]) == [[0.25, -0.25], [-0.25, 0.25]]
    assert grad(functools.lru_cache(lambda x: x * x))(3.0) == 6.0


def test_a_transformed_function_has_the_name_and_signature_of_the_function() -> None:
    for transform in (grad, value_and_grad, jacobian, hessian):
        made = transform(f_of_three)
        assert made.__name__ == "f_of_three"
        assert list(inspect.signature(made).parameters) == ["x", "y", "z"]
        assert "f_of_three" in (made.__doc__ or "")


def test_every_number_a_function_is_given_is_a_value_of_its_own() -> None:
    """The same Value twice is two inputs, and a function that keeps or changes its argument changes nothing."""
    v = Value(3.0)
    by_first, by_second = grad(lambda x, y: x * x * y, argnums=(0, 1))(v, v)
    assert (by_first.data, by_second.data) == (18.0, 9.0)
    given = [3.0, 5.0]

    def greedy(xs: Any) -> Any:
        first = xs.pop(0)
        return first * xs[0]

    assert grad(greedy)(given) == [5.0, 3.0]
    assert given == [3.0, 5.0]
    assert repr(grad(lambda x: x)(3.0)) == "1.0"
    assert jacobian(lambda xs: xs)([1.0, 2.0]) == [[1.0, 0.0], [0.0, 1.0]]
    assert jacobian(lambda x: [x, x, 2.0])(1.0) == [1.0, 1.0, 0.0]
    labelled = Value(3.0, label="x")
    assert grad(lambda x: x * (2 if x.label == "x" else 9))(labelled).data == 2.0


def test_data_is_read_as_it_is_in_the_middle_of_a_function() -> None:
    """Branches, loops and recursion on data."""

    def power(x: Any, n: int) -> Any:
        return 1.0 if n == 0 else x * power(x, n - 1)

    assert grad(power)(2.0, 5) == 80.0
    assert hessian(power)(2.0, 5) == 160.0
    collatz = grad(lambda x: x / 2 if x.data % 2 == 0 else 3 * x + 1)
    assert (collatz(6.0), collatz(7.0)) == (0.5, 3.0)
    assert grad(lambda x: x if x > 0 else -x)(-2.0) == -1.0


# Nesting


def test_the_inner_derivative_does_not_see_the_outer_variable() -> None:
    """Siskind and Pearlmutter: d/dx (x * d/dy (x + y)) is 1, not 2."""
    for x in (1.0, 3.0):
        assert grad(lambda x: x * grad(lambda y: x + y)(1.0))(x) == 1.0
        assert derivative(lambda x: x * derivative(lambda y: x + y)(1.0))(x) == 1.0
        assert jvp(lambda x: x * jvp(lambda y: x + y, 1.0, 1.0)[1], x, 1.0) == (x, 1.0)
        assert vjp(lambda x: x * vjp(lambda y: x + y, 1.0)[1](1.0)[0], x)[1](1.0) == (1.0,)
        # with the variable itself as the point, d/dx (x * (x + y)|y=x's own derivative)
        assert grad(lambda x: x * grad(lambda y: x + y)(x))(x) == 1.0
        assert grad(lambda x: x * grad(lambda y: x * y)(2.0))(x) == 2 * x
        assert grad(lambda x: x * grad(lambda y: x * y * y)(x))(x) == 6 * x * x


FIRST: dict[str, Callable[[Function, Any], Any]] = {
    "grad": lambda f, x: grad(f)(x),
    "derivative": lambda f, x: derivative(f)(x),
    "value_and_grad": lambda f, x: value_and_grad(f)(x)[1],
    "jacobian": lambda f, x: jacobian(f)(x),
    "tall jacobian": lambda f, x: jacobian(lambda y: [f(y), f(y), 1.0 * y])(x)[0],
    "jvp": lambda f, x: jvp(f, x, 1.0)[1],
    "vjp": lambda f, x: vjp(f, x)[1](1.0)[0],
    "kept vjp": lambda f, x: [vjp(f, x)[1](g) for g in (2.0, 1.0)][1][0],
}
SECOND: dict[str, Callable[[Function, Any], Any]] = {
    "hessian": lambda f, x: hessian(f)(x),
    "hvp": lambda f, x: hvp(f, x, 1.0),
    "derivative of order 2": lambda f, x: derivative(f, 2)(x),
}
first_by_first = [(a, b) for a in FIRST for b in FIRST]


@pytest.mark.parametrize(("outer", "inner"), first_by_first)
def test_every_pair_of_transforms_nests(outer: str, inner: str) -> None:
    """d/dx of g(x) = d/dy (x**2 * y**3 + y)|y: at a plain y, at x, and at a function of x."""

    def h(x: Any, y: Any) -> Any:
        return x * x * y * y * y + y

    d, d_inner = FIRST[outer], FIRST[inner]
    assert d(lambda x: d_inner(lambda y: h(x, y), 2.0), 3.0) == 2 * 3 * 12
    assert d(lambda x: d_inner(lambda y: h(x, y), x), 3.0) == 12 * 27
    assert d(lambda x: d_inner(lambda y: h(x, y), 2 * x), 3.0) == 48 * 27
    squared = [lambda x: x * x]  # closed over from outside the inner function
    assert d(lambda x: d_inner(lambda y: squared[0](x) * y, 5.0) * x, 3.0) == 27.0


@pytest.mark.parametrize("outer", FIRST)
@pytest.mark.parametrize("inner", SECOND)
def test_second_order_transforms_nest(outer: str, inner: str) -> None:
    first, second = FIRST[outer], SECOND[inner]
    assert first(lambda x: second(lambda y: y**4 * x, 2 * x), 3.0) == 48 * 3 * 9
    assert second(lambda x: first(lambda y: y**3 * x, 2 * x), 3.0) == 12 * 6 * 3
    assert first(lambda x: second(lambda y: y * y * x * x, 7.0), 3.0) == 12.0
    assert second(lambda x: second(lambda y: y**3 * x**3, x), 2.0) == 6 * 4 * 3 * 4


def test_four_levels_of_different_kinds() -> None:
    def f(a: Any, b: Any, c: Any, d: Any) -> Any:
        return a**2 * b**3 * c**2 * d + a * b * c * d * d

    def by_d(a: Any, b: Any, c: Any) -> Any:
        return grad(lambda d: f(a, b, c, d))(2.0)

    def by_cc(a: Any, b: Any) -> Any:
        return hessian(lambda c: by_d(a, b, c))(3.0)

    def by_b(a: Any) -> Any:
        return jvp(lambda b: by_cc(a, b), 5.0, 1.0)[1]

    out, pullback = vjp(by_b, 7.0)
    assert (out, pullback(1.0)) == (6.0 * 49 * 25, (12.0 * 7 * 25,))


def test_the_fixed_point_of_the_order_of_transforms() -> None:
    """Mixed partials do not depend on the order in which they are taken."""

    def f(x: Any, y: Any) -> Any:
        return autograd.sin(x * y) * autograd.exp(y) / (1 + x * x)

    xy = grad(lambda y: grad(lambda x: f(x, y))(0.7))(0.3)
    yx = grad(lambda x: grad(lambda y: f(x, y))(0.3))(0.7)
    together = hessian(f, argnums=(0, 1))(0.7, 0.3)
    assert xy == pytest.approx(yx, rel=1e-14)
    assert xy == pytest.approx(together[0][1], rel=1e-14)
    with mp.workdps(40):
        exact = mp.diff(lambda x, y: mp.sin(x * y) * mp.exp(y) / (1 + x * x), (mpf(0.7), mpf(0.3)), (1, 1))
    assert xy == pytest.approx(float(exact), rel=1e-13)


def test_transforms_in_loops_branches_and_recursion() -> None:
    def tower(x: Any, n: int) -> Any:
        """The n-th derivative of y**5 * x at x, one level of recursion for each."""
        if n == 0:
            return x**5
        return grad(lambda y: tower(y, n - 1))(x)

    assert [tower(2.0, n) for n in range(7)] == [32.0, 80.0, 160.0, 240.0, 240.0, 120.0, 0.0]
    assert grad(tower)(2.0, 2) == 240.0

    def summed(x: Any) -> Any:
        total = 0.0
        for k in range(1, 5):
            total = total + (grad(lambda y, k=k: x * y**k)(2.0) if k % 2 else hessian(lambda y, k=k: x * y**k)(2.0))
        return total

    assert grad(summed)(9.0) == 1 + 2 + 3 * 4 + 4 * 3 * 4


def test_newtons_method_inside_a_differentiated_function() -> None:
    """The root of y**3 - a, by steps that use the derivative: its derivatives are those of the cube root."""

    def root(a: Any) -> Any:
        y = 2.0
        for _ in range(8):
            value, slope = value_and_grad(lambda y: y**3 - a)(y)
            y = y - value / slope
        return y

    assert root(8.0) == 2.0
    assert grad(root)(8.0) == pytest.approx(1 / 12, rel=1e-14)
    assert derivative(root, 2)(8.0) == pytest.approx(-2 / 9 * 8 ** (-5 / 3), rel=1e-13)

    def minimum(a: Any) -> Any:
        """Of x**4 / 4 - a * x + (x - y)**2 over both, by Newton's method with the Hessian."""

        def f(p: Any) -> Any:
            return p[0] ** 4 / 4 - a * p[0] + (p[0] - p[1]) ** 2

        x, y = 1.0, 1.0
        for _ in range(12):
            (g, h), ((p, q), (r, s)) = grad(f)([x, y]), hessian(f)([x, y])
            det = p * s - q * r
            x, y = x - (s * g - q * h) / det, y - (p * h - r * g) / det
        return x

    assert grad(minimum)(8.0) == pytest.approx(1 / 12, rel=1e-12)


def test_an_inner_derivative_that_does_not_depend_on_the_outer_variable_is_a_plain_number() -> None:
    kinds: list[Any] = []

    def f(x: Any) -> Any:
        kinds.append(grad(lambda y: y * y)(3.0))
        kinds.append(grad(lambda y: y * y * x)(3.0))
        kinds.append(grad(lambda y: y + 0 * x)(3.0))
        return x * kinds[0]

    assert grad(f)(1.0) == 6.0
    assert [type(kind) for kind in kinds] == [float, Value, Value]


def test_vjp_inside_and_pullback_outside() -> None:
    """A pullback may leave the transform it was made in, and meet the variable of another."""
    _, pullback = vjp(lambda x: x**3, 2.0)
    assert pullback(1.0) == (12.0,)
    assert grad(lambda g: pullback(g * g)[0])(5.0) == 120.0
    kept: list[Any] = []

    def f(x: Any) -> Any:
        out, back = vjp(lambda y: y * y * x, x)
        kept.append(back)
        return out

    assert grad(f)(2.0) == 12.0
    (found,) = kept[0](1.0)
    assert found.data == 8.0


def test_a_pullback_gives_floats_for_floats_whatever_it_was_called_with_before() -> None:
    _, pullback = vjp(lambda x: x**3, 2.0)
    assert isinstance(pullback(Value(1.0))[0], Value)
    assert type(pullback(1.0)[0]) is float


def test_a_pullback_gives_values_for_values_also_by_what_nothing_depends_on_and_under_detect_anomaly() -> None:
    _, pullback = vjp(lambda x, y: x**3, 2.0, 5.0)
    with detect_anomaly():
        found = pullback(Value(10.0))
    assert all(isinstance(g, Value) for g in found)
    assert plain(found) == [120.0, 0.0]


# Values in, Values out


def test_a_transform_of_values_is_a_part_of_the_graph() -> None:
    """Physics-informed training: the loss holds derivatives of the net by its input."""
    w, b = Value(0.7, label="w"), Value(-0.2, label="b")

    def u(x: Any) -> Any:
        return autograd.tanh(w * x + b)

    def loss_of(w: Any, b: Any) -> Any:
        slope = w * (1 - mp.tanh(w * mpf(0.5) + b) ** 2)
        bend = -2 * mp.tanh(w * mpf(0.5) + b) * (1 - mp.tanh(w * mpf(0.5) + b) ** 2) * w * w
        return (slope + bend - mpf(0.25)) ** 2

    x = Value(0.5)
    for bend in (grad(grad(u))(x), hessian(u)(x), hvp(u, x, 1.0), derivative(u, 2)(x), jvp(grad(u), x, 1.0)[1]):
        w.grad = b.grad = 0.0
        loss = (grad(u)(x) + bend - 0.25) ** 2
        loss.backward()
        with mp.workdps(40):
            by_w, by_b = (mp.diff(loss_of, (mpf(0.7), mpf(-0.2)), n) for n in ((1, 0), (0, 1)))
        assert w.grad == pytest.approx(float(by_w), rel=1e-12)
        assert b.grad == pytest.approx(float(by_b), rel=1e-12)


def test_physics_informed_training_of_a_model() -> None:
    """y' = -y, y(0) = 1, with a net: the loss falls, and its gradient is that of differences."""
    model = nn.MLP(1, [4, 1])
    for i, p in enumerate(model.parameters()):
        p.data = math.sin(i + 1)
    points = [Value(k / 4, kind="constant") for k in range(5)]

    def loss() -> Value:
        start = (model([0.0]) - 1) ** 2
        rest = [(grad(lambda x: model([x]))(x) + model([x])) ** 2 for x in points]
        return autograd.sum([start, *rest])

    before = loss()
    before.backward()
    parameters = list(model.parameters())
    slopes = [p.grad for p in parameters]
    for p, slope in zip(parameters, slopes, strict=True):
        at = p.data
        sides = []
        for h in (1e-5, -1e-5):
            p.data = at + h
            sides.append(loss().data)
        p.data = at
        assert slope == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-6, abs=1e-8)
    for p, slope in zip(parameters, slopes, strict=True):
        p.data -= 1e-3 * slope
    assert loss().data < before.data


@pytest.mark.parametrize("transform", FIRST)
def test_parameters_given_as_other_arguments_stay_connected(transform: str) -> None:
    w = Value(3.0, label="w")
    slope = FIRST[transform](lambda x: w * x * x, 2.0)
    assert isinstance(slope, Value)
    assert gradients(slope, w) == 4.0


def test_values_as_tangents_are_a_part_of_the_graph() -> None:
    t = Value(10.0)
    for found in (
        jvp(lambda x: x**3, 2.0, t)[1],
        hvp(lambda x: x**4 / 4, 2.0, t),
        vjp(lambda x: x**3, 2.0)[1](t)[0],
        jvp(lambda x, y: x**3 * y, (2.0, 1.0), (t, 0.0))[1],
    ):
        assert (found.data, gradients(found, t)) == (120.0, 12.0)
    assert jvp(lambda x: x**3, [Value(2.0)][0], 10.0)[1].data == 120.0
    assert type(jvp(lambda x: x**3, 2.0, t)[0]) is Value


def test_transforms_touch_no_grad_and_see_no_change() -> None:
    w, x = Value(3.0), Value(2.0)
    w.grad = 7.0

    def f(y: Any) -> Any:
        return y * y * w

    inner: list[Value] = []

    def watched(y: Any) -> Any:
        out = f(y)
        inner.extend(topological_order(out))
        return out

    grad(watched)(x), hessian(watched)(x), jacobian(watched)(x), hvp(watched, x, 1.0), jvp(watched, x, 1.0)
    vjp(watched, x)[1](1.0), derivative(watched, 3)(x)
    assert w.grad == 7.0
    assert all(v._grad is None for v in inner if v is not w)


def test_frozen_parameters_get_nothing_and_do_no_harm() -> None:
    w = Value(3.0, kind="constant")
    slope = grad(lambda x: w * x**3)(Value(2.0))
    slope.backward()
    assert (slope.data, w.grad) == (36.0, 0.0)


def test_the_slope_of_a_line_at_a_constant_is_a_constant() -> None:
    slope = grad(lambda x: 3 * x)(Value(2.0, kind="constant"))
    assert (slope.data, slope.kind) == (3.0, "constant")


def test_a_leaf_changed_within_the_function_is_refused() -> None:
    w = Value(3.0, label="w")

    def f(x: Any) -> Any:
        out = w * x
        w.data += 1
        return out

    for transform in (grad, jacobian, hessian, derivative, value_and_grad):
        with pytest.raises(StaleGraphError, match="'w'"):
            transform(f)(2.0)
    with pytest.raises(StaleGraphError, match="'w'"):
        jvp(f, 2.0, 1.0)


# no_grad and detect_anomaly

EVERY: dict[str, Callable[[Function, Any], Any]] = {
    **FIRST,
    **SECOND,
    "grad of grad": lambda f, x: grad(grad(f))(x),
    "jvp of grad": lambda f, x: jvp(grad(f), x, 1.0)[1],
    "derivative of order 3": lambda f, x: derivative(f, 3)(x),
}
every_transform = pytest.mark.parametrize("transform", EVERY)


@every_transform
def test_no_grad_around_a_transform_changes_no_number(transform: str) -> None:
    def f(x: Any) -> Any:
        return x**4

    expected = EVERY[transform](f, 2.0)
    assert expected in (32.0, 48.0)
    with no_grad():
        assert EVERY[transform](f, 2.0) == expected
        assert EVERY[transform](f, Value(2.0)).data == expected


@every_transform
def test_no_grad_around_a_transform_of_values_gives_leaves(transform: str) -> None:
    with no_grad():
        out = EVERY[transform](lambda x: x**4, Value(2.0))
    assert out.op is None


def test_the_value_of_a_transform_of_values_is_a_leaf_under_no_grad() -> None:
    x = Value(2.0)
    with no_grad():
        found = [value_and_grad(lambda x: x * x)(x)[0], jvp(lambda x: x * x, x, 1.0)[0], vjp(lambda x: x * x, x)[0]]
    assert [v.data for v in found] == [4.0, 4.0, 4.0]
    assert [v.op for v in found] == [None, None, None]


def test_a_value_as_tangent_gives_a_leaf_under_no_grad() -> None:
    with no_grad():
        found = [jvp(lambda x: x**3, 2.0, Value(10.0))[1], hvp(lambda x: x**4 / 4, 2.0, Value(10.0))]
    assert [(v.data, v.op) for v in found] == [(120.0, None)] * 2


@every_transform
def test_no_grad_within_the_function_makes_constants(transform: str) -> None:
    def f(x: Any) -> Any:
        with no_grad():
            frozen = x * x
        return x**4 + frozen * 0 + frozen.data * 0

    assert EVERY[transform](f, 2.0) in (32.0, 48.0)
    assert grad(lambda x: x * no_grad()(lambda: x * x)())(3.0) == 9.0


@every_transform
def test_detect_anomaly_around_a_transform(transform: str) -> None:
    """Of x * sqrt(x), the slopes are finite at 0, one step on they are not; of sqrt they are not at all."""
    with detect_anomaly():
        assert EVERY[transform](lambda x: x**4, 2.0) in (32.0, 48.0)
        assert EVERY[transform](lambda x: x**4, Value(2.0)).data in (32.0, 48.0)
        with pytest.raises(AnomalyError, match="inf"):
            EVERY[transform](autograd.sqrt, 0.0)
        with pytest.raises(AnomalyError, match="inf"):
            EVERY[transform](autograd.sqrt, Value(0.0))
    assert EVERY[transform](lambda x: x**4, 2.0) in (32.0, 48.0)


def test_detect_anomaly_sees_the_second_derivative_that_is_infinite() -> None:
    for name, transform in SECOND.items():
        with detect_anomaly(), pytest.raises(AnomalyError, match="inf"):
            transform(lambda x: x**1.5, 0.0)
            raise AssertionError(name)


@every_transform
def test_an_error_in_the_function_leaves_nothing_behind(transform: str) -> None:
    def f(x: Any) -> Any:
        grad(lambda y: y * x)(1.0)
        raise LookupError("in f")

    with pytest.raises(LookupError, match="in f"):
        EVERY[transform](f, 2.0)

    def survivor(x: Any) -> Any:
        with pytest.raises(LookupError):
            EVERY[transform](f, 3.0)
        return x * grad(lambda y: x + y)(1.0)

    assert grad(survivor)(2.0) == 1.0


# Agreement with each other, with backward(), and with exact numbers


def as_function(program: Program) -> Function:
    def apply(name: str, xs: Sequence[Any]) -> Any:
        if any(isinstance(x, Value) for x in xs):
            return Value.apply_op(OPS[name], xs)
        return OPS[name].evaluate(*xs)

    return lambda *inputs: program.run(inputs, apply)[-1] + 0.0 * autograd.sum(inputs)  # of every input


def close(found: Any, expected: Any, size: float, parts: float = 1e-12) -> bool:
    return bool(abs(found - expected) <= parts * size + 1e-300)


both_kinds = st.one_of(programs(), tangled_programs())


@settings(max_examples=150, deadline=None)
@given(program=both_kinds, data=st.data())
def test_first_derivatives_agree(program: Program, data: Any) -> None:
    f, at = as_function(program), program.inputs
    n = len(at)
    every = tuple(range(n))
    leaves = list(map(Value, at))
    root = f(*leaves)
    (size,) = path_sizes([root], leaves)
    root.backward()
    expected = [x.grad for x in leaves]
    value, slopes = value_and_grad(f, every)(*at)
    assert value == root.data
    weights = data.draw(st.lists(st.floats(-4, 4), min_size=n, max_size=n))
    out, pullback = vjp(f, *at)
    out2, along = jvp(f, at, tuple(weights))
    assert out == out2 == value
    rows = {
        "grad": grad(f, every)(*at),
        "value_and_grad": slopes,
        "jacobian": jacobian(f, every)(*at),
        "vjp": pullback(1.0),
        "tall jacobian": jacobian(lambda *xs: [f(*xs)] * (n + 1), every)(*at)[0],
        "list": grad(lambda xs: f(*xs))(list(at)),
        "array": grad(lambda xs: f(*xs))(np.array(at)),
        "one by one": [grad(f, i)(*at) for i in every],
        "Values": plain(list(grad(f, every)(*map(Value, at)))),
        "jvp": [jvp(f, at, tuple(float(i == j) for j in every))[1] for i in every],
    }
    for name, row in rows.items():
        assert all(map(close, row, expected, size)), name
    scale = sum(abs(w) * s for w, s in zip(weights, size, strict=True))
    assert close(along, sum(w * s for w, s in zip(weights, expected, strict=True)), scale)


@settings(max_examples=100, deadline=None)
@given(program=both_kinds, data=st.data())
def test_jacobians_agree_forward_and_in_reverse(program: Program, data: Any) -> None:
    """Of every number on the tape: the dot product w . (J v) is the same as (w J) . v."""
    at = program.inputs
    n, m = len(at), len(at) + len(program.steps)

    def f(xs: Any) -> Any:
        return program.run(xs, lambda name, operands: Value.apply_op(OPS[name], operands))

    tape = program.values()
    scale = path_sizes(tape, tape[:n])
    tall = jacobian(f)(list(at))
    v = data.draw(st.lists(st.floats(-4, 4), min_size=n, max_size=n))
    w = data.draw(st.lists(st.floats(-4, 4), min_size=m, max_size=m))
    _, along = jvp(f, list(at), v)
    _, pullback = vjp(f, list(at))
    (back,) = pullback(w)
    for i in range(m):
        row = pullback([float(i == j) for j in range(m)])[0]
        assert all(map(close, tall[i], row, scale[i]))
        assert close(along[i], sum(t * x for t, x in zip(tall[i], v, strict=True)), 4 * sum(scale[i]))
    whole = 16 * sum(map(sum, scale))
    left, right = (math.fsum([a * b for a, b in zip(p, q, strict=True)]) for p, q in ((w, along), (back, v)))
    assert close(left, right, whole)


@settings(max_examples=100, deadline=None)
@given(program=both_kinds, data=st.data())
def test_second_derivatives_agree(program: Program, data: Any) -> None:
    f, at = as_function(program), program.inputs
    n = len(at)
    every = tuple(range(n))
    leaves = list(map(Value, at))
    slopes = gradients(f(*leaves), leaves, create_graph=True)
    scale = path_sizes(slopes, leaves)
    scale = [[max(scale[i][j], scale[j][i]) for j in every] for i in every]  # the paths of either order
    expected = hessian(f, every)(*at)
    units = [tuple(float(i == j) for j in every) for i in every]
    found = {
        "transposed": [[expected[j][i] for j in every] for i in every],
        "jacobian of grad": jacobian(grad(f, every), every)(*at),
        "tall": jacobian(lambda *xs: [grad(f, every)(*xs)] * 2, every)(*at)[1],
        "hvp": [hvp(f, at, unit) for unit in units],
        "jvp of grad": [jvp(grad(f, every), at, unit)[1] for unit in units],
        "vjp of grad": [vjp(grad(f, every), *at)[1](unit) for unit in units],
        "grad of jvp": [grad(lambda *xs, unit=unit: jvp(f, xs, unit)[1], every)(*at) for unit in units],
        "gradients of gradients": [by_leaves(slope, leaves) for slope in slopes],
        "grad of grad": [[grad(grad(f, i), j)(*at) for j in every] for i in every],
        "list": hessian(lambda xs: f(*xs))(list(at)),
        "array": hessian(lambda xs: f(*xs))(np.array(at)),
        "Values": plain(list(hessian(f, every)(*map(Value, at)))),
    }
    for name, rows in found.items():
        for i in every:
            assert all(map(close, rows[i], expected[i], scale[i])), name
    v = data.draw(st.lists(st.floats(-4, 4), min_size=n, max_size=n))
    product = hvp(f, at, tuple(v))
    for i in every:
        by_rows = sum(h * x for h, x in zip(expected[i], v, strict=True))
        assert close(product[i], by_rows, 4 * sum(scale[i]))


@settings(max_examples=60, deadline=None)
@given(program=programs(steps=6))
def test_third_derivatives_agree(program: Program) -> None:
    f, x = as_function(program), program.inputs[0]
    rest = program.inputs[1:]

    def along(y: Any) -> Any:
        return f(y, *rest)

    (leaf, *others) = map(Value, program.inputs)
    out = f(leaf, *others)
    size = 1.0
    for _ in range(3):
        if leaf not in set(topological_order(out)):
            expected = 0.0
            break
        ((size,),) = path_sizes([out], [leaf])
        out = gradients(out, leaf, create_graph=True)
        expected = out.data
    found = {
        "derivative": derivative(along, 3)(x),
        "grad of grad of grad": grad(grad(grad(along)))(x),
        "hessian of grad": hessian(grad(along))(x),
        "grad of hessian": grad(hessian(along))(x),
        "jvp of hvp": jvp(lambda y: hvp(along, y, 1.0), x, 1.0)[1],
        "vjp of hessian": vjp(hessian(along), x)[1](1.0)[0],
    }
    for name, number in found.items():
        assert close(number, expected, size, 1e-10), name


@pytest.mark.parametrize("op", [op for op in OPS.values() if not op.variadic], ids=lambda op: op.name)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_hessians_of_the_rows_are_those_of_exact_arithmetic(op: Op, data: Any) -> None:
    at = data.draw(ordinary_points(op))
    every = tuple(range(len(at)))
    found = hessian(lambda *xs: op(*xs), every)(*at)
    for i in every:
        for j in every:
            order = tuple((i == k) + (j == k) for k in every)
            with mp.workdps(60):
                exact = mp.diff(EXACT[op.name], tuple(map(mpf, at)), order, h=mpf(10) ** -20)
            assert found[i][j] == pytest.approx(float(exact), rel=1e-11, abs=1e-11)


@pytest.mark.parametrize("n", range(8))
def test_derivatives_of_high_order(n: int) -> None:
    assert derivative(lambda x: x**6, n)(2.0) == (math.perm(6, n) * 2.0 ** (6 - n) if n <= 6 else 0.0)
    assert derivative(autograd.exp, n)(0.5) == pytest.approx(math.exp(0.5), rel=1e-15)
    with mp.workdps(50):
        exact = float(mp.diff(lambda x: mp.tanh(x) * mp.sin(x), mpf(0.3), n))
    assert derivative(lambda x: autograd.tanh(x) * autograd.sin(x), n)(0.3) == pytest.approx(exact, rel=1e-11)
    assert derivative(lambda x: 3 * x + 1, n)([1.0, 2.0]) == [[4.0, 7.0], [3.0, 3.0], [0.0, 0.0]][min(n, 2)]
    found = derivative(lambda x: x**6, n)(np.array([[1.0, 2.0]]))
    assert found.shape == (1, 2)
    assert found[0, 1] == derivative(lambda x: x**6, n)(2.0)


SINGULAR: dict[str, Function] = {
    "root of a square": lambda x: autograd.sqrt(x * x),
    "root of nothing": lambda x: autograd.sqrt(x - x),
    "root of relu": lambda x: autograd.sqrt(autograd.relu(x)),
    "log of floor": lambda x: autograd.log(autograd.floor(x)),
    "floor of root": lambda x: autograd.floor(autograd.sqrt(x)),
    "branch not taken": lambda x: autograd.where(autograd.greater(x, 0.0), autograd.sqrt(x), 0.0 * x),
    "by zero": lambda x: x / 0.0,
    "power": lambda x: x**0.5,
}


@pytest.mark.parametrize("f", SINGULAR.values(), ids=SINGULAR)
def test_first_derivatives_agree_where_they_are_nan_or_infinite(f: Function) -> None:
    x = Value(0.0)
    f(x).backward()
    found = {name: first(f, 0.0) for name, first in FIRST.items()}
    found |= {f"{name} of a Value": first(f, Value(0.0)).data for name, first in FIRST.items()}
    found["create_graph"] = gradients(f(x), x, create_graph=True).data
    wrong = {name: d for name, d in found.items() if not alike(d, x.grad)}
    assert not wrong, f"backward: {x.grad}"


# What it costs


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> collections.Counter[str]:
    """How often a pass is run, and a graph made ready for passes."""
    counts: collections.Counter[str] = collections.Counter()

    def count(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def counting(*args: Any, **named: Any) -> Any:
            counts[name] += 1
            return original(*args, **named)

        monkeypatch.setattr(owner, name, counting)

    for name in ("pull_back", "push_forward", "__init__"):
        count(Linearization, name)
    return counts


def rosenbrock(xs: Sequence[Any]) -> Any:
    pairs = itertools.pairwise(xs)
    return autograd.sum([100 * (y - x * x) ** 2 + (1 - x) ** 2 for x, y in pairs])


@pytest.mark.parametrize("n", [2, 5, 20])
def test_the_passes_of_each_transform(n: int, counted: collections.Counter[str]) -> None:
    at = [0.1 * k for k in range(n)]

    def passes(transform: Function) -> tuple[int, int, int]:
        counted.clear()
        transform()
        return counted["pull_back"], counted["push_forward"], counted["__init__"]

    assert passes(lambda: grad(rosenbrock)(at)) == (1, 0, 1)
    assert passes(lambda: value_and_grad(rosenbrock)(at)) == (1, 0, 1)
    assert passes(lambda: jvp(rosenbrock, at, at)) == (0, 1, 1)
    assert passes(lambda: hvp(rosenbrock, at, at)) == (1, 1, 2)
    assert passes(lambda: hessian(rosenbrock)(at)) == (n + 1, 0, 2)
    assert passes(lambda: vjp(rosenbrock, at)[1](1.0)) == (1, 0, 1)
    assert passes(lambda: jacobian(lambda xs: [x * x for x in xs[:2]])(at)) == (2, 0, 1)
    assert passes(lambda: jacobian(lambda xs: xs + xs)(at)) == (0, n, 1)


def test_local_derivatives_are_taken_once_whatever_the_number_of_passes() -> None:
    """A partial is evaluated once for each node and linearization: a Hessian linearizes twice, a Jacobian once."""
    taken = 0

    def slope(out: Any, x: Any) -> Any:
        nonlocal taken
        taken += 1
        return 2 * x

    square = custom(lambda x: x * x, slope)

    def count(transform: Function, n: int) -> int:
        nonlocal taken
        taken = 0
        transform([0.1 * k for k in range(n)])
        return taken

    def f(xs: Any) -> Any:
        squares = [square(x) for x in xs]
        return autograd.sum([a * b for a, b in itertools.pairwise(squares)])

    for n in (2, 8, 40):
        assert count(grad(f), n) == n
        assert count(jacobian(lambda xs: [f(xs), f(xs)]), n) == 2 * n
        assert count(jacobian(lambda xs: [f(xs)] * 100), n) == n
        assert count(lambda xs: jvp(f, xs, xs), n) == n
        assert count(hessian(f), n) == 2 * n
        assert count(lambda xs: hvp(f, xs, xs), n) == 2 * n


def test_a_hessian_multiplies_no_more_than_what_depends_on_each_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Hessian of n separate terms takes O(n) products, not O(n * n): the passes stay where there is something."""
    products = 0

    def multiply(g: Any, d: Any) -> Any:
        nonlocal products
        products += 1
        return g * d

    from autograd import passes

    monkeypatch.setattr(passes.operator, "mul", multiply)

    def cost(n: int) -> int:
        nonlocal products
        products = 0
        hessian(lambda xs: autograd.sum([autograd.sin(x) * x for x in xs]))([0.1 * k for k in range(n)])
        return products

    small, large = cost(10), cost(80)
    assert small > 10
    assert large <= 8 * small


def test_the_graph_is_linear_in_the_order_of_newton_steps() -> None:
    """What a step inside a differentiated function adds does not depend on how many there were."""

    def nodes(steps: int) -> int:
        found: list[int] = []

        def f(a: Any) -> Any:
            y = a * 1.0
            for _ in range(steps):
                y = y - (y * y - a) / derivative(lambda y: y * y - a)(y)
            found.append(len(topological_order(y)))
            return y

        grad(f)(2.0)
        return found[0]

    assert nodes(40) <= 2.2 * nodes(20)


# Memory

LIVES: dict[str, Callable[[Function], Any]] = {
    **{name: lambda f, t=t: t(f, 1.0) for name, t in EVERY.items()},
    **{f"{name} of Values": lambda f, t=t: t(f, Value(1.0)).data for name, t in EVERY.items()},
    "hessian of a list": lambda f: hessian(lambda xs: f(xs[0]))([1.0, 2.0]),
    "hessian of an array": lambda f: hessian(lambda xs: f(xs[0]))(np.array([1.0, 2.0])),
    "jacobian of a dict": lambda f: jacobian(lambda p: {"a": f(p["x"])})({"x": 1.0}),
    "gradients": lambda f: gradients(f(x := Value(1.0)), x, create_graph=True).data,
    "gradients with cotangents": lambda f: (
        gradients([f(x := Value(1.0))], {"x": x}, [1.0], create_graph=True)["x"].data
    ),
    "stop_gradient": lambda f: stop_gradient([f(Value(1.0))]),
}


@pytest.mark.parametrize("use", LIVES.values(), ids=LIVES)
def test_what_a_transform_built_is_freed_at_once(use: Callable[[Function], Any]) -> None:
    made: list[weakref.ref[Value]] = []

    def f(x: Any) -> Any:
        inner = autograd.sin(x)
        made.extend([weakref.ref(inner), weakref.ref(x)])
        return inner * x

    gc.collect()
    gc.disable()
    try:
        use(f)
        assert made
        assert [reference() for reference in made] == [None] * len(made)
    finally:
        gc.enable()


def test_a_transform_leaves_nothing_for_the_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        grad(rosenbrock)([0.1, 0.2, 0.3])
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_large_function() -> None:
    """A chain of 100,000 nodes through each transform, without recursion."""

    def f(x: Any) -> Any:
        y = x
        for _ in range(100_000):
            y = y * 1.00001
        return y

    slope = f(1.0)
    assert grad(f)(2.0) == pytest.approx(slope, rel=1e-9)
    assert jvp(f, 2.0, 1.0)[1] == pytest.approx(slope, rel=1e-9)
    assert hessian(f)(2.0) == 0.0
    assert grad(grad(f))(2.0) == 0.0


# custom and stop_gradient


def test_an_operation_of_ones_own() -> None:
    cube = custom(lambda x: x**3, lambda out, x: 3 * x * x)
    assert cube not in OPS.values()
    assert (cube(2.0), cube(Value(2.0)).data) == (8.0, 8.0)
    assert [derivative(cube, n)(2.0) for n in range(5)] == [8.0, 12.0, 12.0, 6.0, 0.0]
    x = Value(2.0)
    cube(cube(x)).backward()
    assert x.grad == 3 * 64 * 12
    area = custom(lambda w, h: w * h, lambda out, w, h: h, lambda out, w, h: w)
    assert hessian(area, argnums=(0, 1))(3.0, 5.0) == ((0.0, 1.0), (1.0, 0.0))
    assert area(w=2.0, h=3.0) == 6.0
    fused = custom(lambda x, y, z: x * y + z, lambda o, x, y, z: y, lambda o, x, y, z: x, lambda o, x, y, z: 1.0)
    assert jvp(fused, (2.0, 3.0, 4.0), (1.0, 10.0, 100.0)) == (10.0, 3.0 + 20.0 + 100.0)
    assert hvp(fused, (2.0, 3.0, 4.0), (1.0, 10.0, 100.0)) == (10.0, 1.0, 0.0)


def test_a_custom_partial_may_use_the_result_other_rows_and_other_customs() -> None:
    e = custom(math.exp, lambda out, x: out)
    assert [derivative(e, n)(0.5) for n in range(4)] == [math.exp(0.5)] * 4
    sine = custom(math.sin, lambda out, x: cosine(x))
    cosine = custom(math.cos, lambda out, x: -sine(x))
    assert derivative(sine, 3)(0.3) == -math.cos(0.3)
    straight = custom(lambda x: float(round(x)), lambda out, x: 1.0)  # a straight-through estimator
    assert (straight(2.6), grad(straight)(2.6), derivative(straight, 2)(2.6)) == (3.0, 1.0, 0.0)
    clipped = custom(lambda x: x, lambda out, x: 0.0)
    assert grad(lambda x: clipped(x) + x)(3.0) == 1.0


def test_a_custom_forward_that_raises_gives_nan_as_every_row_does() -> None:
    root = custom(lambda x: math.sqrt(x), lambda out, x: 0.5 / out)
    assert math.isnan(root(-1.0))
    assert math.isnan(root(Value(-1.0)).data)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: custom(math.sin), "right: custom(forward, lambda out, x"),
        (lambda: custom(3.0, lambda out, x: x), "expected a function"),
        (lambda: custom(math.sin, 1.0), "expected a function"),
        (lambda: custom(math.sin, lambda x: x), "each partial takes"),
        (lambda: custom(math.hypot, lambda out, x, y: x, lambda out, x: x), "each partial takes"),
    ],
)
def test_customs_that_cannot_be(make: Callable[[], Any], text: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        make()
    assert text in str(caught.value)


def test_stop_gradient_as_jax_has_it() -> None:
    assert stop_gradient(3.0) == 3.0
    assert grad(lambda x: x * stop_gradient(x))(3.0) == 3.0
    assert hessian(lambda x: x * x * stop_gradient(x))(3.0) == 6.0
    assert grad(grad(lambda x: stop_gradient(x) * x * x))(3.0) == 6.0
    assert grad(lambda x: stop_gradient(x * x))(3.0) == 0.0
    assert hessian(stop_gradient)(3.0) == 0.0
    assert jvp(lambda x: x * stop_gradient(x), 3.0, 1.0) == (9.0, 3.0)
    # a gradient that is stopped, and a stop within a gradient: of d/dy(y*y*stop(x)) * x at y = x
    assert grad(lambda x: stop_gradient(grad(lambda y: y * y)(x)) * x)(3.0) == 6.0
    assert grad(lambda x: grad(lambda y: y * y * stop_gradient(x))(x))(3.0) == 6.0
    # an inner stop hides the inner variable and the outer one alike
    assert grad(lambda x: grad(lambda y: stop_gradient(y) * y)(x))(3.0) == 0.0


def test_stop_gradient_keeps_structure_and_labels() -> None:
    x = Value(2.0, label="x")
    y = x * x
    stopped = stop_gradient({"a": [y, 3], "b": (x,), "c": np.array([y, x]), "d": np.array([1.0, 2.0])})
    assert plain(stopped) == {"a": [4.0, 3.0], "b": [2.0], "c": [4.0, 2.0], "d": [1.0, 2.0]}
    assert stopped["b"][0].label == "x"
    assert [v.kind for v in (stopped["a"][0], stopped["b"][0], *stopped["c"])] == ["constant"] * 4
    assert stopped["d"].dtype == float
    (stopped["a"][0] * x).backward()
    assert x.grad == 4.0
    with pytest.raises(TypeError, match="got str"):
        stop_gradient("x")


# What they refuse


def kind_of(x: Any) -> str:
    return type(x).__name__


def bad(result: Any) -> Function:
    return lambda x: result() if callable(result) and not isinstance(result, nn.Module) else result


ONE_NUMBER = {
    "grad": lambda f: grad(f)(2.0),
    "value_and_grad": lambda f: value_and_grad(f)(2.0),
    "hessian": lambda f: hessian(f)(2.0),
    "hvp": lambda f: hvp(f, 2.0, 1.0),
    "derivative": lambda f: derivative(f)(2.0),
}
ANY_RESULT = {
    "jacobian": lambda f: jacobian(f)(2.0),
    "jvp": lambda f: jvp(f, 2.0, 1.0),
    "vjp": lambda f: vjp(f, 2.0),
}


@pytest.mark.parametrize("transform", (ONE_NUMBER | ANY_RESULT).values(), ids=ONE_NUMBER | ANY_RESULT)
@pytest.mark.parametrize(
    ("result", "texts"),
    [
        (1.0, ("returned 1.0", "Wrong: ", "x.data**2", "right: ", "0 * x")),
        (3, ("returned 3", "Wrong: ", "right: ")),
        (np.float64(1.0), ("Wrong: ", "right: ")),
        (np.ones(2), ("array([1., 1.])", "Wrong: ", "right: ")),
        (None, ("NoneType", "return")),
        ("text", ("got str", "returned")),
        ((x for x in ()), ("got generator", "returned", "right: [f(x) for x in xs]")),
        (lambda: {1.0}, ("got set", "returned")),
        (1j, ("got complex", "derivatives here are real")),
        (nn.MLP(1, [2, 1]), ("got MLP", "returned")),
        ([Value(1.0), None], ("[1]", "NoneType")),
        ({"loss": "text"}, ("['loss']", "str")),
    ],
    ids=kind_of,
)
def test_a_function_that_returns_something_else(transform: Function, result: Any, texts: Sequence[str]) -> None:
    with pytest.raises(TypeError) as caught:
        transform(bad(result))
    for text in texts:
        assert text in str(caught.value)


@pytest.mark.parametrize("transform", (ONE_NUMBER | ANY_RESULT).values(), ids=ONE_NUMBER | ANY_RESULT)
@pytest.mark.parametrize(
    ("result", "fix"),
    [("text", "right: lambda x: x**2"), (nn.MLP(1, [2, 1]), "model(")],
    ids=["str", "Module"],
)
def test_the_fix_fits_what_the_function_returned(transform: Function, result: Any, fix: str) -> None:
    with pytest.raises(TypeError) as caught:
        transform(bad(result))
    assert fix in str(caught.value)


@pytest.mark.parametrize(("name", "transform"), ONE_NUMBER.items(), ids=ONE_NUMBER)
@pytest.mark.parametrize("result", [list, tuple, np.array, lambda xs: {"a": xs[0]}])
def test_a_function_that_returns_many(name: str, transform: Function, result: Function) -> None:
    def many(x: Any) -> Any:
        return result([x * x, x])

    with pytest.raises(TypeError) as caught:
        transform(many)
    for text in (f"{name.replace('value_and_', '')} needs a function that returns one number", "many returned"):
        assert text in str(caught.value)
    assert "Wrong: " in str(caught.value)
    assert "right: jacobian(many)" in str(caught.value)


def test_value_and_grad_speaks_of_itself() -> None:
    with pytest.raises(TypeError, match="value_and_grad needs a function that returns one number"):
        value_and_grad(lambda x: [x])(1.0)


@pytest.mark.parametrize("transform", [grad, value_and_grad, jacobian, hessian])
@pytest.mark.parametrize(
    ("argnums", "error", "texts"),
    [
        (1, ValueError, ("argnums=1", "1 positional argument.", "Wrong: ", "right: ")),
        (-2, ValueError, ("argnums=-2", "Wrong: ", "right: ")),
        ((0, 1), ValueError, ("argnums=(0, 1)", "Wrong: ", "right: ")),
        (True, TypeError, ("got True", "right: argnums=0")),
        ((0, True), TypeError, ("got (0, True)", "right: ")),
        (0.0, TypeError, ("got 0.0", "right: ")),
        ((), TypeError, ("got ()", "right: ")),
        ("x", TypeError, ("got 'x'", "right: ")),
        (None, TypeError, ("got None", "right: ")),
        ({0}, TypeError, ("got {0}", "right: ")),
    ],
)
def test_argnums_that_name_no_argument(transform: Any, argnums: Any, error: Any, texts: Sequence[str]) -> None:
    called: list[Any] = []
    with pytest.raises(error) as caught:
        transform(called.append, argnums)(2.0)
    for text in texts:
        assert text in str(caught.value)
    assert not called


def test_argnums_may_be_numpys_integers_and_ranges() -> None:
    assert grad(f_of_three, argnums=np.int64(1))(3.0, 5.0) == 210.0  # type: ignore[arg-type]
    assert grad(f_of_three, argnums=range(2))(3.0, 5.0) == (175.0, 210.0)


def test_arguments_by_name_only() -> None:
    with pytest.raises(
        ValueError, match=r"0 positional arguments.*Wrong: .*grad\(f\)\(x=3.0\).*right: .*grad\(f\)\(3.0\)"
    ):
        grad(f_of_three)(x=3.0, y=5.0)


@pytest.mark.parametrize("transform", [grad, value_and_grad, jacobian, hessian, derivative])
@pytest.mark.parametrize("f", [3.0, Value(3.0), None, "sin", [math.sin]], ids=repr)
def test_what_is_not_a_function_is_refused_at_once(transform: Any, f: Any) -> None:
    with pytest.raises(TypeError, match=r"expected a function.*wrong: .*right: "):
        transform(f)
    with pytest.raises(TypeError, match=r"expected a function.*wrong: .*right: "):
        jvp(f, 1.0, 1.0)


@pytest.mark.parametrize(
    ("index", "kind"), [(np.array([0, 1]), "int64"), (np.array([True, False]), "bool"), (np.array([1j]), "complex128")]
)
def test_arrays_that_cannot_be_differentiated_by(index: Any, kind: str) -> None:
    def f(xs: Any, index: Any) -> Any:
        return xs[0] * 2.0

    with pytest.raises(TypeError) as caught:
        grad(f, argnums=(0, 1))(np.array([1.0, 2.0]), index)
    for text in ("argument[1]", kind, "wrong: grad(f, argnums=(0, 1))", "right: grad(f, argnums=0)"):
        assert text in str(caught.value)
    assert grad(f)(np.array([1.0, 2.0]), index).tolist() == [2.0, 0.0]


@pytest.mark.parametrize(
    "argument", ["x", None, 1j, {1.0}, object(), [1.0, "x"], {"a": None}, np.array(["x"])], ids=kind_of
)
@pytest.mark.parametrize("transform", (ONE_NUMBER | ANY_RESULT).keys())
def test_arguments_that_are_no_numbers(transform: str, argument: Any) -> None:
    def f(x: Any) -> Any:
        raise AssertionError("was called")

    calls = {
        "hvp": lambda: hvp(f, argument, argument),
        "jvp": lambda: jvp(f, argument, argument),
        "vjp": lambda: vjp(f, argument),
    }
    with pytest.raises(TypeError, match=r"argument"):
        calls.get(transform, lambda: getattr(autograd, transform)(f)(argument))()


@pytest.mark.parametrize("n", [-1, 1.0, 2.5, True, None, "2"])
def test_orders_that_are_none(n: Any) -> None:
    with pytest.raises(ValueError, match=r"wrong: derivative\(f, .*right: derivative\(f, 2\)"):
        derivative(math.sin, n)


@pytest.mark.parametrize("transform", [jvp, hvp])
@pytest.mark.parametrize(
    ("primals", "tangents", "expected", "got"),
    [
        (2.0, [1.0], "a number", "a list of 1"),
        ([1.0, 2.0], [1.0], "a list of 2", "a list of 1"),
        ([1.0, 2.0], 1.0, "a list of 2", "1.0"),
        ({"a": 1.0}, {"b": 1.0}, "a dict of 'a'", "a dict of 'b'"),
        (np.ones(2), np.ones(3), "an array of shape (2,)", "an array of shape (3,)"),
        (np.ones(2), [1.0, 1.0], "an array of shape (2,)", "a list of 2"),
        (np.ones((2, 1)), np.ones(2), "an array of shape (2, 1)", "an array of shape (2,)"),
        (2.0, np.ones(3), "a number", "an array of shape (3,)"),
        ((1.0, 2.0), (1.0,), "a tuple of 2", "a tuple of 1"),
        ((1.0, 2.0), 1.0, "a tuple of 2", "1.0"),
        ((1.0, 2.0), (1.0, [1.0]), "a number", "a list of 1"),
    ],
    ids=str,
)
def test_tangents_of_another_structure(transform: Any, primals: Any, tangents: Any, expected: str, got: str) -> None:
    with pytest.raises(ValueError) as caught:
        transform(lambda *xs: autograd.sum([x * x for x in numbers(list(xs))]), primals, tangents)
    assert "tangents" in str(caught.value)
    assert f"expected {expected}, got {got}" in str(caught.value)
    assert "right: " in str(caught.value)


@pytest.mark.parametrize("cotangents", [[1.0], (1.0, 2.0, 3.0), 1.0, {"a": 1.0}, np.ones(2)], ids=repr)
def test_cotangents_of_another_structure(cotangents: Any) -> None:
    _, pullback = vjp(lambda x: [x, x * x], 2.0)
    with pytest.raises(ValueError, match=r"cotangents.*expected a list of 2, got .*right: "):
        pullback(cotangents)
    assert pullback([1.0, 1.0]) == (5.0,)


def test_vjp_and_jvp_without_arguments_say_so() -> None:
    with pytest.raises(TypeError, match="primals"):
        vjp(lambda: Value(1.0))
    with pytest.raises(TypeError, match="primals"):
        jvp(lambda: Value(1.0), (), ())


# Partials and what they may hold


@pytest.mark.parametrize(
    "slope",
    [
        lambda x: grad(lambda y: y**3)(x),
        lambda x: vjp(lambda y: y**3, x)[1](1.0)[0],
        lambda x: jvp(lambda y: y**3, x, 1.0)[1],
        lambda x: 3 * x**2 if x > 0 else 0.0,
        lambda x: 3 * np.square(x),
        lambda x: 3 * max(x, 0.0) ** 2,
    ],
    ids=["grad", "vjp", "jvp", "branch", "NumPy", "max"],
)
def test_a_partial_that_calls_a_transform_or_branches_keeps_its_own_derivative(slope: Function) -> None:
    op = autograd.custom(lambda x: x**3, lambda out, x: slope(x))
    second = [hessian(op)(1.3), hvp(op, 1.3, 1.0), grad(grad(op))(1.3), derivative(op, 2)(1.3)]
    assert second == pytest.approx([6 * 1.3] * 4, rel=1e-12)
    assert derivative(op)(1.3) == pytest.approx(3 * 1.3**2, rel=1e-12)
    _, pullback = vjp(op, 1.3)
    g = Value(2.0)
    assert gradients(pullback(g)[0], g) == pytest.approx(3 * 1.3**2, rel=1e-12)


@pytest.mark.parametrize("transform", [grad, hessian, derivative, lambda f: derivative(f, 2)])
@pytest.mark.parametrize("slope", [None, "2 * x", [2.0]], ids=["None", "str", "list"])
def test_a_partial_that_gives_no_number_is_named(transform: Function, slope: Any) -> None:
    op = autograd.custom(lambda x: x * x, lambda out, x: slope)
    with pytest.raises(TypeError, match=r"the partials of custom\(3.0\) fail.*right: lambda out, x: autograd.cos\(x\)"):
        transform(op)(3.0)
    with pytest.raises(TypeError, match=r"the partials of custom\(3.0\) fail"):
        op(Value(3.0)).backward()


@pytest.mark.parametrize("extra", [(), (1.0, 1.0)])
def test_a_gradient_of_the_wrong_length_is_named(extra: tuple[float, ...]) -> None:
    op = autograd.Op(
        "many", lambda *xs: sum(xs), gather=lambda values: tuple(values), gradient=lambda out, *xs: (1.0, *extra)
    )
    for transform in (grad, hessian, derivative, lambda f: derivative(f, 2)):
        with pytest.raises(ValueError, match=rf"gave {1 + len(extra)} derivatives for 2 operands"):
            transform(lambda x: op([x, x]))(1.0)
    with pytest.raises(ValueError, match="derivatives for 2 operands"):
        op([Value(1.0), 2.0]).backward()


def test_a_partial_that_closes_over_a_value_is_refused_and_leaves_the_gradients() -> None:
    w, x = Value(1.5), Value(1.3)
    x.grad = 7.0
    op = autograd.custom(lambda x: w.data * x**2, lambda out, x: 2 * w * x)
    for use in (lambda: op(x).backward(), lambda: gradients(op(x), x), lambda: grad(op)(1.3)):
        with pytest.raises(TypeError, match=r"a function of its operands alone.*right: make w an operand"):
            use()
    assert x.grad == 7.0


def test_a_pullback_of_values_refuses_a_graph_that_went_stale() -> None:
    x = Value(2.0)
    _, pullback = vjp(lambda q: autograd.exp(q * x), 3.0)
    x.data = 0.5
    with pytest.raises(StaleGraphError):
        pullback(1.0)


def test_a_parameter_that_is_set_during_the_call_stays_connected() -> None:
    w = Value(2.0, kind="parameter")

    def f(x: Any) -> Any:
        w.data = 3.0
        return w * x * x

    assert gradients(grad(f)(2.0), w) == 4.0


def test_zero_times_infinity_is_nan_one_order_up_as_well() -> None:
    for second in (hessian, lambda f: grad(grad(f)), lambda f: derivative(f, 2)):
        assert math.isnan(second(lambda x: 0 * autograd.sqrt(x))(0.0))


def test_derivatives_at_poles_are_infinite_by_every_transform() -> None:
    for f, x, expected in (
        (autograd.log, 0.0, -math.inf),
        (lambda x: x**0.5, 0.0, -math.inf),
        (autograd.sinh, 720.0, math.inf),
    ):
        assert [derivative(f, 2)(x), grad(grad(f))(x), hessian(f)(x)] == [expected] * 3


def test_derivative_passes_other_arguments_on() -> None:
    assert derivative(lambda x, y, power=1: x**power * y, 2)(3.0, 5.0, power=3) == 6 * 3 * 5
    assert derivative(lambda x: x**3, np.int64(2))(1.0) == 6.0  # type: ignore[arg-type]


def test_a_named_tuple_of_primals_is_one_argument() -> None:
    assert jvp(lambda p: p.w * p.b, Weights(2.0, 3.0), Weights(1.0, 0.0)) == (6.0, 3.0)
    assert hvp(lambda p: p.w * p.b, Weights(2.0, 3.0), Weights(1.0, 0.0)) == Weights(0.0, 1.0)


def test_grad_speaks_of_itself() -> None:
    with pytest.raises(TypeError, match=r"^grad needs a function that returns one number.*Wrong: grad\("):
        grad(lambda x: [x])(1.0)
