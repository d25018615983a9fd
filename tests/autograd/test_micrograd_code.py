"""Code written for micrograd runs after changing its imports. What follows is as in its README, its notebooks
and its `nn.py` (A. Karpathy, MIT licence), the import apart."""

import math
import random
from typing import Any

import pytest

import autograd
from autograd import Value


class Digraph:
    """In the place of graphviz's: it keeps what it is told."""

    def __init__(self, format: str = "svg", graph_attr: Any = None) -> None:
        self.nodes: dict[str, str] = {}
        self.edges: list[tuple[str, str]] = []

    def node(self, name: str, label: str = "", shape: str = "") -> None:
        self.nodes[name] = label

    def edge(self, tail: str, head: str) -> None:
        self.edges.append((tail, head))


# fmt: off
# ruff: noqa
def trace(root):  # type: ignore[no-untyped-def]
    nodes, edges = set(), set()
    def build(v):  # type: ignore[no-untyped-def]
        if v not in nodes:
            nodes.add(v)
            for child in v._prev:
                edges.add((child, v))
                build(child)
    build(root)
    return nodes, edges

def draw_dot(root, format='svg', rankdir='LR'):  # type: ignore[no-untyped-def]
    """
    format: png | svg | ...
    rankdir: TB (top to bottom graph) | LR (left to right)
    """
    assert rankdir in ['LR', 'TB']
    nodes, edges = trace(root)
    dot = Digraph(format=format, graph_attr={'rankdir': rankdir}) #, node_attr={'rankdir': 'TB'})

    for n in nodes:
        dot.node(name=str(id(n)), label = "{ data %.4f | grad %.4f }" % (n.data, n.grad), shape='record')
        if n._op:
            dot.node(name=str(id(n)) + n._op, label=n._op)
            dot.edge(str(id(n)) + n._op, str(id(n)))

    for n1, n2 in edges:
        dot.edge(str(id(n1)), str(id(n2)) + n2._op)

    return dot

class Module:

    def zero_grad(self):
        for p in self.parameters():
            p.grad = 0

    def parameters(self):
        return []

class Neuron(Module):

    def __init__(self, nin, nonlin=True):
        self.w = [Value(random.uniform(-1,1)) for _ in range(nin)]
        self.b = Value(0)
        self.nonlin = nonlin

    def __call__(self, x):
        act = sum((wi*xi for wi,xi in zip(self.w, x)), self.b)
        return act.relu() if self.nonlin else act

    def parameters(self):
        return self.w + [self.b]

class Layer(Module):

    def __init__(self, nin, nout, **kwargs):
        self.neurons = [Neuron(nin, **kwargs) for _ in range(nout)]

    def __call__(self, x):
        out = [n(x) for n in self.neurons]
        return out[0] if len(out) == 1 else out

    def parameters(self):
        return [p for n in self.neurons for p in n.parameters()]

class MLP(Module):

    def __init__(self, nin, nouts):
        sz = [nin] + nouts
        self.layers = [Layer(sz[i], sz[i+1], nonlin=i!=len(nouts)-1) for i in range(len(nouts))]

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x

    def parameters(self):
        return [p for layer in self.layers for p in layer.parameters()]
# fmt: on


def test_sanity_check() -> None:
    """micrograd's test_sanity_check; the numbers are PyTorch's."""
    x = Value(-4.0)
    z = 2 * x + 2 + x
    q = z.relu() + z * x
    h = (z * z).relu()
    y = h + q + q * x
    y.backward()
    assert (y.data, x.grad) == (-20.0, 46.0)


def test_a_neuron_drawn_by_the_notebook() -> None:
    x1, x2 = Value(2.0, label="x1"), Value(0.0, label="x2")
    w1, w2 = Value(-3.0, label="w1"), Value(1.0, label="w2")
    b = Value(6.8813735870195432, label="b")
    x1w1 = x1 * w1
    x1w1.label = "x1*w1"
    x2w2 = x2 * w2
    n = x1w1 + x2w2 + b
    n.label = "n"
    o = n.tanh()
    o.label = "o"
    o.backward()
    assert o.data == pytest.approx(0.7071067811865476)
    assert [round(v.grad, 4) for v in (x1, w1, x2, w2)] == [-1.5, 1.0, 0.5, 0.0]
    nodes, edges = trace(o)
    assert len(nodes) == 10
    assert len(edges) == 9
    dot = draw_dot(o)
    assert len(dot.nodes) == 10 + 5
    assert len(dot.edges) == 9 + 5
    assert sorted(v._op for v in nodes if v._op) == ["*", "*", "+", "+", "tanh"]
    assert "{ data 0.7071 | grad 1.0000 }" in dot.nodes.values()
    assert x1w1._prev == {x1, w1}
    assert (x1._prev, x1._op) == (set(), "")


def test_tanh_by_exp() -> None:
    n = Value(0.8813735870195432)
    e = (2 * n).exp()
    o = (e - 1) / (e + 1)
    o.backward()
    assert o.data == pytest.approx(math.tanh(n.data))
    assert n.grad == pytest.approx(0.5)


def test_the_demo_trains() -> None:
    """The notebook's loop: SVM max-margin loss with L2 regularization."""
    random.seed(1337)
    X = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
    y = [1.0, -1.0, -1.0, 1.0]
    model = MLP(3, [4, 4, 1])
    assert len(model.parameters()) == 41

    def loss() -> tuple[Value, float]:
        inputs = [list(map(Value, xrow)) for xrow in X]
        scores = list(map(model, inputs))
        losses = [(1 + -yi * scorei).relu() for yi, scorei in zip(y, scores)]
        data_loss = sum(losses) * (1.0 / len(losses))
        reg_loss = 1e-4 * sum((p * p for p in model.parameters()))
        accuracy = [(yi > 0) == (scorei.data > 0) for yi, scorei in zip(y, scores)]
        return data_loss + reg_loss, sum(accuracy) / len(accuracy)

    first, _ = loss()
    for k in range(60):
        total_loss, acc = loss()
        model.zero_grad()
        total_loss.backward()
        learning_rate = 0.2 - 0.18 * k / 100
        for p in model.parameters():
            p.data -= learning_rate * p.grad
    last, acc = loss()
    assert acc == 1.0
    assert last.data < 0.1 * first.data


def test_the_same_gradients_as_a_graph_of_rows() -> None:
    random.seed(1)
    model = MLP(2, [3, 1])
    x = [0.5, -0.25]
    model(x).backward()
    plain = [p.grad for p in model.parameters()]
    model.zero_grad()
    hidden = [autograd.affine(n.w, x, n.b).relu() for n in model.layers[0].neurons]
    last = model.layers[1].neurons[0]
    autograd.affine(last.w, hidden, last.b).backward()
    assert [p.grad for p in model.parameters()] == pytest.approx(plain)
    assert any(plain)
