import math
import random
import statistics

import numpy as np
import pytest
from hypothesis import given, strategies as st

import autograd
from autograd import OPS, Op, Value
from nn import MLP, Layer, Module, Neuron, mse_loss

ACTIVATIONS = [name for name, op in OPS.items() if op.required == 1 and not op.variadic]


def set_weights(neuron, w, b):
    for p, x in zip(neuron.parameters(), [*w, b], strict=True):
        p.data = x


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_any_row_of_one_operand_is_an_activation_by_name_or_row(name):
    for activation in (name, OPS[name]):
        neuron = Neuron(2, activation)
        set_weights(neuron, [0.5, -0.25], 0.1)
        out = neuron([2.0, 1.0])
        assert out.op is OPS[name]
        expected = OPS[name](0.5 * 2.0 - 0.25 * 1.0 + 0.1)
        assert out.data == pytest.approx(expected, rel=1e-15, nan_ok=True)


def test_a_row_of_ones_own():
    square = Op("square_of_mine", lambda x: x * x, (lambda out, x: 2 * x,))
    model = MLP(1, [2, 1], activation=square, seed=0)
    assert model.activation == "square_of_mine"
    assert model.layers[0]([1.0])[0].op is square


def test_linear_is_no_activation():
    neuron = Neuron(2, "linear")
    set_weights(neuron, [2.0, 3.0], 1.0)
    out = neuron([1.0, 1.0])
    assert (out.data, out.op.name, repr(neuron)) == (6.0, "affine", "LinearNeuron(2)")


@pytest.mark.parametrize(
    "activation, words",
    [("rellu", "relu"), ("sum", "one number"), ("add", "one number"), ("", "linear"), (None, "one number")],
)
def test_an_unknown_activation_is_refused_with_what_is_close(activation, words):
    with pytest.raises(ValueError, match=words):
        Neuron(2, activation)
    with pytest.raises(ValueError, match=words):
        MLP(2, [2, 1], output=activation)


def test_the_list_of_close_names_is_short():
    with pytest.raises(ValueError) as error:
        Neuron(1, "sigmod")
    assert "sigmoid" in str(error.value) and len(str(error.value)) < 150


@pytest.mark.parametrize("x", [[], [1.0], [1.0, 2.0, 3.0], np.zeros(3), 1.0, Value(1.0)])
def test_a_wrong_number_of_inputs_is_refused(x):
    got = len(x) if hasattr(x, "__len__") else 1
    for model in (Neuron(2), Layer(2, 3), MLP(2, [3, 1])):
        with pytest.raises(ValueError, match=f"expected 2 inputs, got {got}"):
            model(x)


def test_a_batch_in_place_of_a_row_is_refused():
    with pytest.raises(TypeError, match="list"):
        MLP(2, [1])([[1.0, 2.0], [3.0, 4.0]])


def test_all_neurons_share_one_labelled_constant_for_each_number():
    outputs = Layer(2, 3)([0.5, 0.25])
    inputs = [v for v in autograd.leaves(*outputs) if v.kind == "constant"]
    assert [(v.label, v.data) for v in inputs] == [("x.0", 0.5), ("x.1", 0.25)]


def test_values_pass_through_and_get_their_gradient():
    x = Value(2.0, label="mine")
    neuron = Neuron(2, "linear")
    set_weights(neuron, [3.0, 4.0], 0.0)
    out = neuron([x, 1])
    out.backward()
    assert x in out.parents and (x.label, x.grad) == ("mine", 3.0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, bool])
def test_numpy_rows(dtype):
    model = MLP(2, [3, 1], seed=0)
    assert model(np.array([1, 0], dtype)).data == model([1.0, 0.0]).data


def test_one_output_is_a_value_and_goes_on_as_an_input():
    model = MLP(1, [1, 3], activation="tanh", seed=0)
    assert isinstance(model.layers[0]([1.0]), Value)
    assert [y.data for y in model([0.5])] == [y.data for y in model(0.5)]
    assert isinstance(MLP(2, [2, 1])([1, 2]), Value)
    assert isinstance(MLP(2, [2, 2])([1, 2]), list)


def test_reprs():
    assert repr(MLP(2, [2, 1])) == "MLP of [Layer of [ReLUNeuron(2), ReLUNeuron(2)], Layer of [LinearNeuron(2)]]"
    assert repr(Neuron(3, "leaky_relu")) == "LeakyReluNeuron(3)"
    assert repr(Neuron(3, "sigmoid")) == "SigmoidNeuron(3)"


def test_an_mlp_can_be_built_again_from_its_attributes():
    model = MLP(3, (4, 2), activation=autograd.tanh, output="sigmoid", seed=5)
    assert (model.nin, model.nouts, model.activation, model.output) == (3, [4, 2], "tanh", "sigmoid")
    again = MLP(model.nin, model.nouts, model.activation, model.output, seed=5)
    assert repr(again) == repr(model) and again.state_dict() == model.state_dict()


@pytest.mark.parametrize(
    "sizes", [(0, [1]), (2, [0]), (2, []), (2, 1), (2, [1.5]), ("2", [1]), (-1, [1]), (2, [2, None])]
)
def test_sizes_are_whole_and_positive(sizes):
    with pytest.raises(ValueError, match=r"right: MLP\("):
        MLP(*sizes)


def test_the_default_weights_are_micrograds():
    """random.seed and then MLP: the numbers that micrograd 0.1.0 draws."""
    random.seed(1337)
    expected = [[random.uniform(-1, 1) for _ in range(2)] for _ in range(3)]
    random.seed(1337)
    model = MLP(2, [3, 1])
    assert [[w.data for w in n.w] for n in model.layers[0].neurons] == expected
    assert [n.b.data for n in model.layers[0].neurons] == [0.0] * 3
    assert MLP(2, [3, 1], seed=1337).layers[0].neurons[2].w[1].data == expected[2][1]


def test_seeds():
    assert MLP(3, [4], seed=1).state_dict() == MLP(3, [4], seed=1).state_dict()
    assert MLP(3, [4], seed=1).state_dict() != MLP(3, [4], seed=2).state_dict()
    assert MLP(3, [4]).state_dict() != MLP(3, [4]).state_dict()
    state = random.getstate()
    MLP(3, [4], init="he", seed=1)
    assert random.getstate() == state


def weights(init):
    layer = Layer(60, 40, init=init, rng=random.Random(0))
    assert all(n.b.data == 0.0 for n in layer.neurons)
    return [w.data for n in layer.neurons for w in n.w]


def test_uniform_weights():
    ws = weights("uniform")
    assert 0.99 < max(ws) <= 1 and -1 <= min(ws) < -0.99


def test_xavier_is_uniform_on_the_bound_of_glorot():
    bound = math.sqrt(6 / (60 + 40))
    ws = weights("xavier")
    assert 0.99 * bound < max(ws) <= bound and -bound <= min(ws) < -0.99 * bound
    assert statistics.pstdev(ws) == pytest.approx(bound / math.sqrt(3), rel=0.03)


def test_he_is_normal_of_variance_2_over_nin():
    ws = weights("he")
    assert statistics.pstdev(ws) == pytest.approx(math.sqrt(2 / 60), rel=0.05)
    assert statistics.mean(ws) == pytest.approx(0, abs=0.02)
    within = sum(abs(w) < math.sqrt(2 / 60) for w in ws) / len(ws)
    assert within == pytest.approx(0.6827, abs=0.03)  # a uniform one has 0.577


def test_a_callable_init_is_told_both_fans():
    seen = []

    def init(nin, nout, rng):
        seen.append((nin, nout, type(rng)))
        return 0.25

    model = MLP(3, [2, 1], init=init, seed=0)
    assert seen == [(3, 2, random.Random)] * 6 + [(2, 1, random.Random)] * 2
    assert {w.data for n in model.layers[0].neurons for w in n.w} == {0.25}


def test_an_unknown_init_is_refused():
    with pytest.raises(ValueError, match="xavier"):
        MLP(2, [1], init="glorot")


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=8), st.data())
def test_a_neuron_is_its_formula(x, data):
    w = data.draw(st.lists(st.floats(-10, 10), min_size=len(x), max_size=len(x)))
    b = data.draw(st.floats(-10, 10))
    neuron = Neuron(len(x), "tanh")
    set_weights(neuron, w, b)
    out = neuron(x)
    a = math.tanh(math.fsum([wi * xi for wi, xi in zip(w, x, strict=True)] + [b]))
    assert out.data == pytest.approx(a, rel=1e-12, abs=1e-12)
    out.backward()
    assert neuron.b.grad == pytest.approx(1 - a * a, abs=1e-12)
    assert [p.grad for p in neuron.w] == pytest.approx([(1 - a * a) * xi for xi in x], abs=1e-11)


def test_code_written_for_micrograd_runs():
    """A class of its own and the training loop of micrograd's demo."""
    random.seed(1337)

    class Net(Module):
        def __init__(self, nin, nouts):
            sizes = [nin, *nouts]
            self.layers = [
                Layer(sizes[i], sizes[i + 1], activation="linear" if i == len(nouts) - 1 else "relu")
                for i in range(len(nouts))
            ]

        def __call__(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

        def parameters(self):
            return [p for layer in self.layers for p in layer.parameters()]

    X = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
    y = [1.0, -1.0, -1.0, 1.0]
    model = Net(3, [4, 4, 1])
    assert len(model.parameters()) == 41

    def loss():
        inputs = [list(map(Value, row)) for row in X]
        scores = list(map(model, inputs))
        losses = [(1 + -yi * scorei).relu() for yi, scorei in zip(y, scores, strict=True)]
        data_loss = sum(losses) * (1.0 / len(losses))
        reg_loss = 1e-4 * sum(p * p for p in model.parameters())
        right = [(yi > 0) == (scorei.data > 0) for yi, scorei in zip(y, scores, strict=True)]
        return data_loss + reg_loss, sum(right) / len(right)

    first, _ = loss()
    for k in range(60):
        total_loss, acc = loss()
        model.zero_grad()
        total_loss.backward()
        learning_rate = 0.3 - 0.25 * k / 60
        for p in model.parameters():
            p.data -= learning_rate * p.grad
    assert total_loss.data < first.data / 10 and acc == 1.0


@pytest.mark.oracle
@pytest.mark.parametrize(
    "activation", ["relu", "tanh", "sigmoid", "elu", "selu", "gelu", "silu", "softplus", "leaky_relu"]
)
def test_an_mlp_equals_pytorchs(activation):
    torch = pytest.importorskip("torch")
    model = MLP(3, [5, 4, 2], activation=activation, init="xavier", seed=7)
    layers, inner = [], getattr(torch.nn.functional, activation, None) or getattr(torch, activation)
    for layer in model.layers:
        linear = torch.nn.Linear(len(layer.neurons[0].w), len(layer.neurons), dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor([[w.data for w in n.w] for n in layer.neurons], dtype=torch.float64))
            linear.bias.copy_(torch.tensor([n.b.data for n in layer.neurons], dtype=torch.float64))
        layers.append(linear)
    rng = random.Random(1)
    X = [[rng.gauss(0, 1) for _ in range(3)] for _ in range(6)]
    Y = [[rng.gauss(0, 1) for _ in range(2)] for _ in range(6)]
    loss = mse_loss([model(x) for x in X], Y)
    loss.backward()
    a = torch.tensor(X, dtype=torch.float64)
    for linear in layers[:-1]:
        a = inner(linear(a))
    theirs = torch.nn.functional.mse_loss(layers[-1](a), torch.tensor(Y, dtype=torch.float64))
    theirs.backward()
    assert loss.data == pytest.approx(theirs.item(), rel=1e-12)
    for layer, linear in zip(model.layers, layers, strict=True):
        gradients = linear.weight.grad.tolist(), linear.bias.grad.tolist()
        for neuron, w, b in zip(layer.neurons, *gradients, strict=True):
            assert [p.grad for p in neuron.w] == pytest.approx(w, rel=1e-12, abs=1e-12)
            assert neuron.b.grad == pytest.approx(b, rel=1e-12, abs=1e-12)
