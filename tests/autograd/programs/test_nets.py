"""Programs of nets, against the eager engine; and that a layer is found, in whatever way its sums are written."""

import operator
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest

import autograd
from autograd import Value, jit
from autograd.programs import Program, compilation, groups as groups_module
from autograd.programs.numpy_machine import NumpyMachine


@pytest.fixture(autouse=True, params=["native", "numpy"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "numpy":
        monkeypatch.setattr(compilation, "machine", NumpyMachine)


def values(random: Random, *shape: int) -> Any:
    """Nested lists of parameters."""
    if not shape:
        return Value(random.uniform(-1.0, 1.0))
    return [values(random, *shape[1:]) for _ in range(shape[0])]


def rows_of(count: int, *shape: int) -> Any:
    return np.random.default_rng(count).normal(size=(count, *shape))


def flat(x: Any) -> list[Any]:
    return [leaf for part in x for leaf in flat(part)] if isinstance(x, (list, tuple)) else [x]


def agrees(f: Callable[..., Any], *columns: Any, parameters: Sequence[Value]) -> Program:
    """The program of f, after its results and derivatives, by its inputs too, were found to be those of f itself."""
    count = len(columns[0])
    inputs = [[as_values(row) for row in column] for column in columns]
    for x in parameters:
        x.grad = 0.0
    outs = [f(*sample) for sample in zip(*inputs, strict=True)]
    autograd.sum(outs).backward()
    slopes = [x.grad for x in parameters]
    by_inputs = [x.grad for x in flat(inputs)]
    program = jit(f)
    assert program.map(*columns) == pytest.approx([out.data for out in outs], rel=1e-12, abs=1e-12)
    value, gradient = program.value_and_grad(*columns, reduce="sum")
    assert value == pytest.approx(sum([out.data for out in outs]), rel=1e-12, abs=1e-12)
    found = dict(zip(program.parameters, gradient.tolist(), strict=True))
    scale = 1e-12 * count * max(map(abs, slopes), default=1.0)
    assert [found.pop(x, 0.0) for x in parameters] == pytest.approx(slopes, rel=1e-12, abs=scale)
    assert not found
    again = [[as_values(row) for row in column] for column in columns]
    program.sum(*again).backward()
    assert [x.grad for x in flat(again)] == pytest.approx(by_inputs, rel=1e-12, abs=1e-12)
    return program


def as_values(row: Any) -> Any:
    """A row of numbers as nested lists of Values."""
    return [as_values(part) for part in row] if np.ndim(row) else Value(float(row))


# Weighted sums, however they are written

WAYS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "left": lambda ws, xs, b: reduce(lambda t, wx: t + wx[0] * wx[1], zip(ws, xs, strict=True), b),
    "right": lambda ws, xs, b: reduce(lambda t, wx: wx[1] * wx[0] + t, zip(ws, xs, strict=True), b),
    "balanced": lambda ws, xs, b: balanced([b, *map(operator.mul, ws, xs)]),
    "last bias": lambda ws, xs, b: balanced(list(map(operator.mul, ws, xs))) + b,
    "backwards": lambda ws, xs, b: reduce(operator.add, [*map(operator.mul, ws[::-1], xs[::-1]), b]),
    "sub of neg": lambda ws, xs, b: reduce(lambda t, wx: t - -(wx[0] * wx[1]), zip(ws, xs, strict=True), b),
    "neg twice": lambda ws, xs, b: reduce(lambda t, wx: t + -(-wx[1] * wx[0]), zip(ws, xs, strict=True), b),
    "twice a half": lambda ws, xs, b: reduce(lambda t, wx: t + 2 * (wx[1] * 0.5 * wx[0]), zip(ws, xs, strict=True), b),
    "dot": lambda ws, xs, b: autograd.dot(ws, xs) + b,
    "dot of the inputs": lambda ws, xs, b: b + autograd.dot(xs, ws),
    "affine": lambda ws, xs, b: autograd.affine(ws, xs, b),
    "two dots": lambda ws, xs, b: autograd.dot(ws[:2], xs[:2]) + (autograd.dot(ws[2:], xs[2:]) + b),
    "the table's sum": lambda ws, xs, b: autograd.sum([*map(operator.mul, ws, xs), b]),
    "Python's sum": lambda ws, xs, b: sum(map(operator.mul, ws, xs)) + b,
    "Python's sum from b": lambda ws, xs, b: sum(map(operator.mul, ws, xs), b),
    "NumPy's dot": lambda ws, xs, b: np.dot(np.array(ws), np.array(xs)) + b,
}


def balanced(terms: list[Any]) -> Any:
    half = len(terms) // 2
    return terms[0] if len(terms) == 1 else balanced(terms[:half]) + balanced(terms[half:])


def mlp(sizes: Sequence[int], way: Callable[[Any, Any, Any], Any]) -> tuple[Callable[[Any], Any], list[Value]]:
    random = Random(1)
    layers = [(values(random, b, a), values(random, b)) for a, b in pairwise(sizes)]

    def net(x: Any) -> Any:
        for k, (weights, biases) in enumerate(layers):
            x = [way(ws, x, b) for ws, b in zip(weights, biases, strict=True)]
            x = x if k == len(layers) - 1 else [h.tanh() for h in x]
        return x[0]

    return net, flat(layers)


def groups(program: Program) -> list[str]:
    """What groups there are, in order; how they are numbered does not matter."""
    return [line.split(None, 1)[1] for line in str(program).splitlines()[1:]]


def layers(program: Program) -> int:
    return len([line for line in groups(program) if line.startswith("layer")])


@pytest.mark.parametrize("way", WAYS)
def test_a_layer_is_one_group_however_it_is_written(way: str) -> None:
    net, parameters = mlp((3, 5, 4, 1), WAYS[way])
    program = agrees(net, rows_of(10, 3), parameters=parameters)
    usual = jit(mlp((3, 5, 4, 1), WAYS["affine"])[0]).trace([0.0] * 3)
    assert groups(program) == groups(usual)
    assert layers(program) == 3
    assert program.stats()["groups"] == len(groups(usual))


def test_parameters_and_terms_in_shuffled_order() -> None:
    random = Random(5)

    def shuffled(ws: Any, xs: Any, b: Any) -> Any:
        terms = [*map(operator.mul, ws, xs), b]
        random.shuffle(terms)
        return reduce(operator.add, terms)

    net, parameters = mlp((4, 6, 6, 1), shuffled)
    random.shuffle(parameters)
    assert layers(agrees(net, rows_of(9, 4), parameters=parameters)) == 3


# Nets


def neuron(weights: Sequence[Any], xs: Sequence[Any], b: Any) -> Any:
    return autograd.affine(weights, xs, b)


CHAINS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "x * c + w": lambda total, w, x: total * 0.5 + w,
    "x + w": lambda total, w, x: total + w,
    "x * w": lambda total, w, x: total * w,
    "w - x": lambda total, w, x: w - total,
    "sin": lambda total, w, x: total.sin(),
    "total + term": lambda total, w, x: total + w * x,
    "term + total": lambda total, w, x: w * x + total,
    "term - total": lambda total, w, x: x.exp() * w - total,
}


@pytest.mark.parametrize("step", CHAINS)
def test_a_program_grows_in_proportion_to_its_graph(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And so does what is copied on the way: the terms of a sum that others are made of."""
    scaled, taken = groups_module._scaled, groups_module._taken
    copied = 0

    def counting(copy: Callable[..., Any]) -> Callable[..., Any]:
        def counted(x: Any, *others: Any) -> Any:
            nonlocal copied
            made = copy(x, *others)
            copied += 0 if made is x.terms else len(x.terms)
            return made

        return counted

    monkeypatch.setattr(groups_module, "_scaled", counting(scaled))
    monkeypatch.setattr(groups_module, "_taken", counting(taken))

    def sizes(count: int) -> Any:
        nonlocal copied
        copied, ws = 0, values(Random(1), count)
        program = jit(lambda x: reduce(lambda total, w: CHAINS[step](total, w, x), ws, x)).trace(0.0)
        stats, tables = program.stats(), program._traced().evaluator("gradient").tables
        return np.array([stats["nodes"], stats["instructions"], len(tables.code), copied])

    small, middle, large = sizes(200), sizes(400), sizes(800)
    assert large - middle == pytest.approx(2 * (middle - small), rel=0.05, abs=20)


def test_a_layer_of_one_neuron() -> None:
    w, b = values(Random(2), 3), Value(0.5)
    assert layers(agrees(lambda x: neuron(w, x, b).sigmoid(), rows_of(9, 3), parameters=[*w, b])) == 1


def test_one_input_and_one_weight() -> None:
    w, b = Value(0.5), Value(-1.0)
    agrees(lambda x: (w * x + b).relu(), rows_of(17), parameters=[w, b])


def test_shared_weights() -> None:
    random = Random(3)
    w, b = values(random, 4, 4), values(random, 4)

    def net(x: Any) -> Any:
        for _ in range(3):
            x = [neuron(ws, x, c).tanh() for ws, c in zip(w, b, strict=True)]
        return autograd.sum(x)

    agrees(net, rows_of(9, 4), parameters=flat([w, b]))


def test_the_same_weight_in_every_place_of_a_layer() -> None:
    w = Value(0.7)
    agrees(lambda x: autograd.dot([w] * 4, x) * autograd.dot([w, w], x[:2]), rows_of(9, 4), parameters=[w])


def test_an_input_in_two_places_of_a_layer() -> None:
    w = values(Random(4), 2, 4)
    agrees(
        lambda x: autograd.sum([autograd.dot(ws, [x[0], x[1], x[0], x[0]]).exp() for ws in w]),
        rows_of(9, 2),
        parameters=flat(w),
    )


def test_skip_connections() -> None:
    random = Random(6)
    w, b = values(random, 3, 4, 4), values(random, 3, 4)

    def net(x: Any) -> Any:
        first = x
        for weights, biases in zip(w, b, strict=True):
            x = [x[i] + neuron(weights[i], x, biases[i]).relu() for i in range(4)]
        return autograd.dot(x, first)

    agrees(net, rows_of(11, 4), parameters=flat([w, b]))


@pytest.mark.parametrize("channels", [1, 3])
def test_convolution(channels: int) -> None:
    random = Random(7)
    kernels, biases = values(random, channels, 3), values(random, channels)
    second, last = values(random, channels, 2), Value(0.1)

    def net(x: Any) -> Any:
        maps = [
            [neuron(kernel, x[i : i + 3], b).relu() for i in range(6)]
            for kernel, b in zip(kernels, biases, strict=True)
        ]
        across = [
            autograd.sum([autograd.dot(second[c], maps[c][i : i + 2]) for c in range(channels)]) + last
            for i in range(5)
        ]
        return autograd.sum([a.tanh() for a in across])

    agrees(net, rows_of(9, 8), parameters=flat([kernels, biases, second, last]))


def test_a_recurrent_net_of_20_steps() -> None:
    random = Random(8)
    w, u, b, v = values(random, 3, 3), values(random, 3), values(random, 3), values(random, 3)

    def net(xs: Any) -> Any:
        h: list[Any] = [0.0] * 3
        for x in xs:
            h = [(autograd.dot(w[i], h) + u[i] * x + b[i]).tanh() for i in range(3)]
        return autograd.dot(v, h)

    agrees(net, rows_of(9, 20), parameters=flat([w, u, b, v]))


def test_an_attention_block() -> None:
    random = Random(9)
    q, k, v = values(random, 3, 4, 2)[0], values(random, 4, 2), values(random, 4, 2)

    def net(tokens: Any) -> Any:
        def projected(weights: Any) -> Any:
            columns = list(zip(*weights, strict=True))
            return [[autograd.dot(column, token) for column in columns] for token in tokens]

        queries, keys, contents = projected(q), projected(k), projected(v)
        out = []
        for query in queries:
            scores = [autograd.dot(query, key) / 2**0.5 for key in keys]
            total = autograd.logsumexp(scores)
            weights = [(s - total).exp() for s in scores]
            out += [autograd.dot(weights, column) for column in zip(*contents, strict=True)]
        return autograd.sum([x * x for x in out])

    agrees(net, rows_of(9, 3, 4), parameters=flat([q, k, v]))


def test_softmax_written_as_a_quotient() -> None:
    w = values(Random(10), 3, 2)

    def loss(x: Any, t: Any) -> Any:
        exps = [autograd.dot(ws, x).exp() for ws in w]
        total = sum(exps)
        return -autograd.sum([c * (e / total).log() for c, e in zip(t, exps, strict=True)])

    agrees(loss, rows_of(9, 2), np.eye(3)[np.arange(9) % 3], parameters=flat(w))


def test_numbers_share_a_group_where_no_derivative_is_asked_for() -> None:
    """Where one is, a number may make it simpler: that of x**7 has nothing to choose."""
    ws = values(Random(5), 10)

    def chosen(x: Any, t: Any) -> Any:
        return autograd.sum([w * autograd.greater(t, k) * autograd.greater(k + 2, t) for k, w in enumerate(ws)]) * x

    program = agrees(chosen, rows_of(9), np.arange(9.0), parameters=ws)
    assert [line.split()[1:3] for line in str(program).splitlines() if "greater" in line] == [["greater", "20"]]
    powers = jit(lambda x: autograd.sum([(w * x) ** (k + 4) for k, w in enumerate(ws)])).trace(0.0)
    powers.value_and_grad([0.5])
    assert "where" not in str(powers)


def test_constant_unused_and_repeated_inputs() -> None:
    w = values(Random(11), 3)
    agrees(lambda x, unused: autograd.dot(w, [x[0], 1.0, x[0]]) ** 2, rows_of(9, 2), rows_of(9, 4), parameters=w)
    agrees(lambda x: autograd.dot(w, [2.0, 1.0, -1.0]) + 0.0 * x, rows_of(9), parameters=w)


def test_inputs_that_are_the_same_in_every_row() -> None:
    w = values(Random(12), 3)
    agrees(lambda x: autograd.dot(w, x).tanh(), np.ones((9, 3)), parameters=w)


def test_an_unused_parameter_is_none_of_the_program() -> None:
    w, unused = Value(2.0), Value(3.0)

    def f(x: Any) -> Any:
        _ = unused * x
        return w * x

    assert agrees(f, rows_of(9), parameters=[w, unused]).parameters == (w,)


def test_a_parameter_and_an_input_that_are_outputs() -> None:
    w, v = Value(2.0), Value(3.0)
    program = jit(lambda x: [w, x[1], w * x[0], x[1], v])
    assert program.map([[1.0, 5.0], [4.0, 6.0]]).tolist() == [[2.0, 5.0, 2.0, 5.0, 3.0], [2.0, 6.0, 8.0, 6.0, 3.0]]
    assert jit(lambda x: w).value_and_grad([1.0, 2.0], reduce="sum")[1].tolist() == [2.0]
    assert agrees(lambda x: x * 1.0, rows_of(9), parameters=[]).parameters == ()


def test_an_intermediate_result_that_is_also_an_output() -> None:
    w = values(Random(13), 2)

    def f(x: Any) -> Any:
        h = autograd.dot(w, x)
        return [h, h + x[0], h.tanh(), h * h + h]

    X = rows_of(9, 2)
    eager = [[out.data for out in f([Value(a) for a in row])] for row in X.tolist()]
    assert jit(f).map(X) == pytest.approx(np.array(eager), rel=1e-14)


def test_frozen_leaves_are_read_at_each_call_and_have_no_derivatives() -> None:
    w, frozen = Value(2.0), Value(3.0, kind="constant")
    program = agrees(lambda x: w * x * frozen + frozen, rows_of(9), parameters=[w])
    assert program.parameters == (w,)
    assert program(1.0) == 9.0
    frozen.data = 10.0
    assert program(1.0) == 30.0
    assert program.value_and_grad([1.0], params=[1.0])[1].tolist() == [10.0]
    program.mean([1.0]).backward()
    assert frozen.grad == 0.0


def test_a_net_of_the_nn_package() -> None:
    import nn

    model = nn.MLP(3, [5, 4, 1], activation="tanh", seed=0)
    assert layers(agrees(model, rows_of(9, 3), parameters=list(model.parameters()))) == 3
