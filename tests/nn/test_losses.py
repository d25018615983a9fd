import math
import random

import numpy as np
import pytest
from hypothesis import given, strategies as st

import nn
from autograd import OPS, Value, sigmoid, softmax, topological_order
from nn import (
    bce_loss,
    bce_with_logits_loss,
    cross_entropy_loss,
    half_squared_error,
    hinge_loss,
    huber_loss,
    l1_loss,
    mse_loss,
    sum_squared_error,
)

# Each loss of elements with outputs and targets that it takes.
ELEMENTWISE = {
    "mse_loss": ([0.3, -2.0, 1.0], [1.0, 0.5, 1.0]),
    "l1_loss": ([0.3, -2.0, 1.0], [1.0, 0.5, 1.0]),
    "huber_loss": ([0.3, -2.0, 1.0], [1.0, 0.5, 1.0]),
    "hinge_loss": ([0.3, -2.0, 1.0], [1, -1, 1]),
    "bce_loss": ([0.3, 0.9, 0.5], [1, 0, 0.25]),
    "bce_with_logits_loss": ([0.3, -2.0, 1.0], [1, 0, 0.25]),
}
finite = st.floats(-1e6, 1e6)


def gradients(loss, outputs, target):
    values = [Value(x) for x in outputs]
    loss(values, target).backward()
    return [v.grad for v in values]


def derivative(loss, output, target):
    v = Value(output)
    out = loss(v, target)
    out.backward()
    return out.data, v.grad


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_a_sequence_is_the_mean_of_its_elements_however_nested(name):
    loss, (outputs, targets) = getattr(nn, name), ELEMENTWISE[name]
    each = [loss(o, t) for o, t in zip(outputs, targets, strict=True)]
    mean = math.fsum(each) / 3
    assert loss(outputs, targets) == pytest.approx(mean, rel=1e-15)
    assert loss([outputs, outputs], [targets, targets]) == pytest.approx(mean, rel=1e-15)
    assert loss(np.array(outputs), np.array(targets)) == pytest.approx(mean, rel=1e-15)
    assert loss([Value(o) for o in outputs], targets).data == pytest.approx(mean, rel=1e-15)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_numbers_give_a_float_and_values_a_graph_of_rows(name):
    loss, (outputs, targets) = getattr(nn, name), ELEMENTWISE[name]
    assert type(loss(outputs[0], targets[0])) is float
    assert type(loss(np.float32(0.5), targets[0])) is float
    value = loss([Value(o) for o in outputs], targets)
    assert all(node.op is None or node.op is OPS[node.op.name] for node in topological_order(value))


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_the_derivative_is_that_of_central_differences(name):
    loss, (outputs, targets) = getattr(nn, name), ELEMENTWISE[name]
    h = 1e-6
    for o, t in list(zip(outputs, targets, strict=True))[:2]:  # the third is at a kink of some
        assert derivative(loss, o, t)[1] == pytest.approx((loss(o + h, t) - loss(o - h, t)) / (2 * h), abs=1e-8)


@pytest.mark.parametrize("name", [*ELEMENTWISE, "half_squared_error", "sum_squared_error"])
@pytest.mark.parametrize(
    "output, target",
    [([1.0, 1.0], [1.0]), ([1.0], 1.0), (1.0, [1.0]), ([], []), ([[1.0], [1.0]], [[1.0], [1.0, 1.0]]), ([[]], [[]])],
)
def test_shapes_that_differ_or_are_empty_are_refused(name, output, target):
    with pytest.raises(ValueError, match="as many outputs as targets"):
        getattr(nn, name)(output, target)


def test_squared_errors_sum_over_outputs_and_average_over_samples():
    assert half_squared_error(3.0, 1.0) == 2.0 and sum_squared_error(3.0, 1.0) == 4.0
    assert half_squared_error([3.0, 0.0], [1.0, 1.0]) == 2.5 and sum_squared_error([3.0, 0.0], [1.0, 1.0]) == 5.0
    batch, targets = [[3.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [0.0, 1.0]]
    assert half_squared_error(batch, targets) == 1.5 and sum_squared_error(batch, targets) == 3.0
    assert mse_loss(batch, targets) == 1.5


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=5))
def test_the_derivative_of_the_half_squared_error_is_output_less_target(pairs):
    outputs, targets = zip(*pairs, strict=True)
    expected = [o - t for o, t in pairs]
    assert gradients(half_squared_error, outputs, targets) == pytest.approx(expected, rel=1e-15)


@given(finite, finite, st.floats(1e-3, 1e3))
def test_huber_is_half_the_square_near_and_a_line_beyond(output, target, delta):
    d = output - target
    expected = 0.5 * d * d if abs(d) <= delta else delta * (abs(d) - 0.5 * delta)
    loss, slope = derivative(lambda o, t: huber_loss(o, t, delta=delta), output, target)
    assert loss == pytest.approx(expected, rel=1e-12)
    assert slope == pytest.approx(max(-delta, min(delta, d)), rel=1e-12)


@pytest.mark.parametrize("delta", [0.0, -1.0, math.nan, math.inf])
def test_huber_refuses_a_delta_that_is_not_positive(delta):
    with pytest.raises(ValueError, match="delta"):
        huber_loss(1.0, 2.0, delta)


@pytest.mark.parametrize(
    "x, target, slope", [(1.0, 1, 0.0), (0.9, 1, -1.0), (-1.0, -1, 0.0), (0.0, -1, 1.0), (2.0, 1, 0.0)]
)
def test_hinge_has_slope_0_at_its_kink(x, target, slope):
    assert derivative(hinge_loss, x, target) == (max(0.0, 1 - target * x), slope)


@pytest.mark.parametrize(
    "loss, target", [(hinge_loss, 0), (hinge_loss, 2.0), (bce_loss, -1), (bce_with_logits_loss, 1.5)]
)
def test_targets_of_another_convention_are_refused(loss, target):
    with pytest.raises(ValueError, match="targets"):
        loss([0.5, 0.5], [1, target])


def test_l1_has_slope_0_where_both_are_equal():
    assert derivative(l1_loss, 2.0, 2.0) == (0.0, 0.0)


@given(st.floats(-30, 30), st.floats(0, 1))
def test_both_binary_cross_entropies_agree_and_the_slope_is_a_less_y(z, y):
    a = sigmoid(z)
    loss, slope = derivative(bce_with_logits_loss, z, y)
    assert slope == pytest.approx(a - y, abs=1e-15)
    assert loss == pytest.approx(bce_loss(a, y), rel=1e-3, abs=1e-3)
    if abs(z) < 5:
        assert loss == pytest.approx(-(y * math.log(a) + (1 - y) * math.log(1 - a)), rel=1e-12)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=5), st.sampled_from([0, 1]), st.data())
def test_logistic_regression(x, y, data):
    """dL/dz = a - y, dL/dw = x (a - y), dL/db = a - y."""
    w = data.draw(st.lists(st.floats(-2, 2), min_size=len(x), max_size=len(x)))
    neuron = nn.Neuron(len(x), "linear")
    for p, v in zip(neuron.w, w, strict=True):
        p.data = v
    z = neuron(x)
    bce_with_logits_loss(z, y).backward()
    error = sigmoid(z.data) - y
    assert z.grad == pytest.approx(error, abs=1e-15)
    assert neuron.b.grad == pytest.approx(error, abs=1e-15)
    assert [p.grad for p in neuron.w] == pytest.approx([xi * error for xi in x], abs=1e-14)


@pytest.mark.parametrize(
    "z, y, loss, slope",
    [
        (1000.0, 1, 0.0, 0.0),
        (1000.0, 0, 1000.0, 1.0),
        (-1000.0, 1, 1000.0, -1.0),
        (-1000.0, 0, 0.0, 0.0),
        (40.0, 1, 4.248354255291589e-18, -4.248354255291589e-18),
    ],
)
def test_bce_with_logits_is_exact_at_the_extremes(z, y, loss, slope):
    assert derivative(bce_with_logits_loss, z, y) == pytest.approx((loss, slope), rel=1e-15, abs=0)


@pytest.mark.parametrize("p, y, loss", [(0.0, 1, 100.0), (1.0, 0, 100.0), (0.0, 0, 0.0), (1.0, 1, 0.0)])
def test_bce_holds_log_0_at_minus_100_with_a_finite_slope(p, y, loss):
    out, slope = derivative(bce_loss, p, y)
    assert out == loss and math.isfinite(slope)


def test_bce_of_what_is_no_probability_is_nan():
    assert math.isnan(bce_loss(-0.1, 1)) and math.isnan(bce_loss(1.1, 0))


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=6), st.data())
def test_cross_entropy_has_slope_softmax_less_one_hot(logits, data):
    k = data.draw(st.integers(0, len(logits) - 1))
    expected = [p - (i == k) for i, p in enumerate(softmax(logits))]
    assert gradients(cross_entropy_loss, logits, k) == pytest.approx(expected, abs=1e-13)
    assert cross_entropy_loss(logits, k) == pytest.approx(-math.log(softmax(logits)[k]), rel=1e-9, abs=1e-12)


def test_cross_entropy_of_a_batch_is_the_mean():
    batch = [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]
    each = [cross_entropy_loss(batch[0], 2), cross_entropy_loss(batch[1], 0)]
    assert cross_entropy_loss(batch, [2, 0]) == pytest.approx(sum(each) / 2, rel=1e-15)
    assert cross_entropy_loss(np.array(batch), np.array([2, 0])) == pytest.approx(sum(each) / 2, rel=1e-15)


def test_cross_entropy_at_the_extremes():
    assert cross_entropy_loss([1e4, 0.0, -1e4], 0) == 0.0
    assert cross_entropy_loss([1e4, 0.0, -1e4], 2) == 2e4
    assert gradients(cross_entropy_loss, [1e4, 0.0, -1e4], 2) == [1.0, 0.0, -1.0]


@pytest.mark.parametrize("target", [3, -1, 0.5, 1.0, "1", None])
def test_cross_entropy_refuses_what_is_no_class(target):
    with pytest.raises(ValueError, match="from 0 to 2"):
        cross_entropy_loss([1.0, 2.0, 3.0], target)
    with pytest.raises(ValueError, match="from 0 to 2"):
        cross_entropy_loss([[1.0, 2.0, 3.0]] * 2, [0, target])


@pytest.mark.parametrize("logits, target", [(1.0, 0), ([], 0), ([[1.0, 2.0]], 0), ([[1.0, 2.0]], [0, 1]), ([], [])])
def test_cross_entropy_refuses_other_shapes(logits, target):
    with pytest.raises(ValueError, match="expected"):
        cross_entropy_loss(logits, target)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss", "half_squared_error"])
def test_huge_outputs_raise_nothing(name):
    assert getattr(nn, name)(1e200, -1e200) > 1e199
    assert getattr(nn, name)(Value(1e200), -1e200).data > 1e199


def test_the_worked_2_2_2_network():
    """The numbers of the hand derivation: one step of learning rate 0.5, biases fixed."""
    model = nn.MLP(2, [2, 2], activation="sigmoid", output="sigmoid")
    w = [0.15, 0.20, 0.25, 0.30, 0.40, 0.45, 0.50, 0.55]
    state = dict(zip([name for name in model.state_dict() if ".w." in name], w, strict=True))
    state |= {name: 0.35 if name.startswith("layers.0") else 0.60 for name in model.state_dict() if name.endswith(".b")}
    model.load_state_dict(state)
    hidden = model.layers[0]([0.05, 0.10])
    loss = half_squared_error(model.layers[1](hidden), [0.01, 0.99])
    loss.backward()
    w1, w5 = model.layers[0].neurons[0].w[0], model.layers[1].neurons[0].w[0]
    assert loss.data == pytest.approx(0.298371109, abs=5e-10)
    assert w5.grad == pytest.approx(0.082167041, abs=5e-10)
    assert w1.grad == pytest.approx(0.000438568, abs=5e-10)
    assert hidden[0].grad == pytest.approx(0.036350306, abs=5e-10)
    nn.SGD([p for n, p in model.named_parameters().items() if ".w." in n], lr=0.5).step()
    assert w5.data == pytest.approx(0.35891648, abs=5e-9) and w1.data == pytest.approx(0.149780716, abs=5e-10)
    assert half_squared_error(model([0.05, 0.10]), [0.01, 0.99]).data == pytest.approx(0.291027774, abs=5e-10)


@pytest.mark.oracle
@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 4)])
@pytest.mark.parametrize(
    "name, theirs",
    [
        ("mse_loss", "mse_loss"),
        ("l1_loss", "l1_loss"),
        ("huber_loss", "huber_loss"),
        ("bce_loss", "binary_cross_entropy"),
        ("bce_with_logits_loss", "binary_cross_entropy_with_logits"),
        ("sum_squared_error", "mse_loss"),
        ("half_squared_error", "mse_loss"),
    ],
)
def test_losses_and_gradients_equal_pytorchs(name, theirs, shape):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for _ in range(5):
        outputs, targets = rng.normal(0, 2, shape), rng.normal(0, 2, shape)
        if "bce" in name:
            outputs, targets = (
                outputs if "logits" in name else rng.uniform(0, 1, shape),
                rng.uniform(0, 1, shape).round(),
            )
        if name in ("l1_loss", "huber_loss") and shape:
            targets.flat[0] = outputs.flat[0]  # at the kink
            targets.flat[-1] = outputs.flat[-1] - 1  # where huber's pieces meet
        values = np.vectorize(Value, otypes=[object])(outputs)
        ours = getattr(nn, name)(values.tolist() if shape else values.item(), targets)
        ours.backward()
        t = torch.tensor(outputs, dtype=torch.float64, requires_grad=True)
        loss = getattr(torch.nn.functional, theirs)(t, torch.tensor(targets, dtype=torch.float64))
        outputs_each = shape[-1] if shape else 1
        loss = loss * {"sum_squared_error": outputs_each, "half_squared_error": 0.5 * outputs_each}.get(name, 1)
        loss.backward()
        assert ours.data == pytest.approx(loss.item(), rel=1e-12)
        grads = [v.grad for v in values.flat]
        assert grads == pytest.approx(t.grad.flatten().tolist(), rel=1e-12, abs=1e-15)


@pytest.mark.oracle
def test_huber_with_a_delta_and_hinge_equal_pytorchs():
    torch = pytest.importorskip("torch")
    rng = random.Random(0)
    outputs = [rng.gauss(0, 3) for _ in range(20)] + [1.0, -1.0, 0.0]
    signs = [rng.choice([-1, 1]) for _ in outputs[:-3]] + [1, -1, 1]
    for ours, theirs, target in [
        (
            lambda o, t: huber_loss(o, t, delta=0.3),
            lambda o, t: torch.nn.functional.huber_loss(o, t, delta=0.3),
            [0.0] * 23,
        ),
        (hinge_loss, lambda o, t: torch.relu(1 - t * o).mean(), signs),
    ]:
        t = torch.tensor(outputs, dtype=torch.float64, requires_grad=True)
        loss = theirs(t, torch.tensor(target, dtype=torch.float64))
        loss.backward()
        assert ours(outputs, target) == pytest.approx(loss.item(), rel=1e-12)
        assert gradients(ours, outputs, target) == pytest.approx(t.grad.tolist(), rel=1e-12, abs=1e-15)


@pytest.mark.oracle
def test_cross_entropy_equals_pytorchs():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for scale in (1.0, 30.0, 1e4):
        logits, targets = rng.normal(0, scale, (7, 4)), rng.integers(0, 4, 7)
        values = [[Value(z) for z in row] for row in logits]
        ours = cross_entropy_loss(values, targets)
        ours.backward()
        t = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
        loss = torch.nn.functional.cross_entropy(t, torch.tensor(targets))
        loss.backward()
        assert ours.data == pytest.approx(loss.item(), rel=1e-12)
        grads = [[v.grad for v in row] for row in values]
        assert np.allclose(grads, t.grad.numpy(), rtol=0, atol=1e-12)
