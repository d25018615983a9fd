"""Numbers that others have published, and equations that every textbook derives by hand."""

import math
import random

import pytest
from hypothesis import given, strategies as st

import autograd
from autograd import Value, affine, sigmoid


def test_micrograd_readme() -> None:
    a, b = Value(-4.0), Value(2.0)
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    assert f"{g.data:.4f}" == "24.7041"
    g.backward()
    assert f"{a.grad:.4f}" == "138.8338"
    assert f"{b.grad:.4f}" == "645.5773"


# The 2-2-2 network worked out by hand in M. Mazur, "A Step by Step Backpropagation Example" (2015).

INPUTS, TARGETS = (0.05, 0.10), (0.01, 0.99)
WEIGHTS = (0.15, 0.20, 0.25, 0.30, 0.40, 0.45, 0.50, 0.55)


def plain(w: list[Value], xs: tuple[Value, Value], b: Value) -> Value:
    return 1 / (1 + (-(w[0] * xs[0] + w[1] * xs[1] + b)).exp())


def rows(w: list[Value], xs: tuple[Value, Value], b: Value) -> Value:
    return sigmoid(affine(w, xs, b))


class Network:
    def __init__(self, neuron, weights=WEIGHTS) -> None:  # type: ignore[no-untyped-def]
        self.w = [Value(w, label=f"w{i}", kind="parameter") for i, w in enumerate(weights, 1)]
        b1, b2 = Value(0.35, label="b1"), Value(0.60, label="b2")
        x = Value(INPUTS[0], label="x1"), Value(INPUTS[1], label="x2")
        self.h = neuron(self.w[0:2], x, b1), neuron(self.w[2:4], x, b1)
        self.o = neuron(self.w[4:6], self.h, b2), neuron(self.w[6:8], self.h, b2)
        self.E = 0.5 * (TARGETS[0] - self.o[0]) ** 2 + 0.5 * (TARGETS[1] - self.o[1]) ** 2


@pytest.mark.parametrize("neuron", [plain, rows])
def test_worked_network(neuron) -> None:  # type: ignore[no-untyped-def]
    net = Network(neuron)
    assert net.h[0].data == pytest.approx(0.593269992, abs=5e-10)
    assert net.h[1].data == pytest.approx(0.596884378, abs=5e-10)
    assert net.o[0].data == pytest.approx(0.751365070, abs=5e-10)
    assert net.o[1].data == pytest.approx(0.772928465, abs=5e-10)
    assert net.E.data == pytest.approx(0.298371109, abs=5e-10)
    net.E.backward()
    assert net.w[4].grad == pytest.approx(0.082167041, abs=5e-10)
    assert net.w[0].grad == pytest.approx(0.000438568, abs=5e-10)
    assert net.h[0].grad == pytest.approx(0.036350306, abs=5e-10)
    moved = [w.data - 0.5 * w.grad for w in net.w]
    assert moved[4] == pytest.approx(0.35891648, abs=5e-9)
    assert moved[0] == pytest.approx(0.149780716, abs=5e-10)
    assert Network(neuron, moved).E.data == pytest.approx(0.291027774, abs=5e-10)


numbers = st.floats(-5, 5)


@pytest.mark.parametrize("neuron", [plain, rows])
@given(w=st.tuples(numbers, numbers), x=st.tuples(numbers, numbers), b=numbers, y=st.sampled_from([0.0, 1.0, 0.25]))
def test_logistic_regression(neuron, w, x, b, y) -> None:  # type: ignore[no-untyped-def]
    """L = -y log a - (1 - y) log(1 - a), a = sigmoid(z), z = wx + b: dL/dz = a - y, dL/dw = x(a - y), dL/db = a - y."""
    ws, xs, bias = [Value(v) for v in w], (Value(x[0]), Value(x[1])), Value(b)
    z = affine(ws, xs, bias)
    a = sigmoid(z)
    loss = -(y * a.log() + (1 - y) * (1 - a).log())
    if not 1e-9 < a.data < 1 - 1e-9:
        return  # 1 - a has lost its digits: that is what the loss on logits below is for
    loss.backward()
    delta = a.data - y
    assert z.grad == pytest.approx(delta, abs=1e-6)
    assert [v.grad for v in ws] == pytest.approx([xi * delta for xi in x], abs=1e-5)
    assert bias.grad == pytest.approx(delta, abs=1e-6)


@given(w=numbers, x=st.floats(-500, 500), b=numbers, y=st.floats(0, 1))
def test_logistic_regression_on_logits(w: float, x: float, b: float, y: float) -> None:
    """The same loss as softplus(z) - y z: exact to the last digits whatever z."""
    weight, bias = Value(w), Value(b)
    z = weight * x + bias
    (autograd.softplus(z) - y * z).backward()
    delta = sigmoid(z.data) - y
    assert z.grad == pytest.approx(delta, rel=1e-14, abs=1e-16)
    assert weight.grad == pytest.approx(x * delta, rel=1e-14, abs=1e-13)
    assert bias.grad == z.grad


@given(seed=st.integers(0, 10**6), sizes=st.lists(st.integers(1, 4), min_size=2, max_size=5))
def test_the_four_equations_of_backpropagation(seed: int, sizes: list[int]) -> None:
    """M. Nielsen, "Neural Networks and Deep Learning" (2015), ch. 2, BP1 to BP4, for an MLP of random shape."""
    random_ = random.Random(seed)
    draw = lambda: random_.uniform(-1, 1)  # noqa: E731
    a: list[list[Value]] = [[Value(draw()) for _ in range(sizes[0])]]
    w: list[list[list[Value]]] = []
    b: list[list[Value]] = []
    z: list[list[Value]] = []
    for wide, narrow in zip(sizes[1:], sizes, strict=False):
        w.append([[Value(draw()) for _ in range(narrow)] for _ in range(wide)])
        b.append([Value(draw()) for _ in range(wide)])
        z.append([affine(row, a[-1], bias) for row, bias in zip(w[-1], b[-1], strict=True)])
        a.append([sigmoid(v) for v in z[-1]])
    targets = [draw() for _ in a[-1]]
    cost = 0.5 * autograd.sum([(o - t) ** 2 for o, t in zip(a[-1], targets, strict=True)])
    cost.backward()

    def slope(v: Value) -> float:
        s = 1 / (1 + math.exp(-v.data))
        return s * (1 - s)

    close = {"rel": 1e-10, "abs": 1e-15}
    delta = [(o.data - t) * slope(v) for o, t, v in zip(a[-1], targets, z[-1], strict=True)]
    for layer in reversed(range(len(w))):
        assert [v.grad for v in z[layer]] == pytest.approx(delta, **close)
        assert [v.grad for v in b[layer]] == pytest.approx(delta, **close)
        for j, row in enumerate(w[layer]):
            assert [v.grad for v in row] == pytest.approx([x.data * delta[j] for x in a[layer]], **close)
        if layer:
            below = [sum(row[k].data * d for row, d in zip(w[layer], delta, strict=True)) for k in range(sizes[layer])]
            delta = [s * slope(v) for s, v in zip(below, z[layer - 1], strict=True)]
