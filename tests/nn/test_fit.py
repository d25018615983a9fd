import math
import random
import re
import signal
import sys

import numpy as np
import pytest

import nn
from autograd import Value, log, mean, sqrt
from nn import MLP, SGD, Adam, History, Module, Neuron, StepLR, accuracy, fit, hinge_loss, mse_loss

X = [[-1.0], [0.0], [1.0], [2.0]]
Y = [-3.0, -1.0, 1.0, 3.0]


def line(w=0.5, b=0.0):
    neuron = Neuron(1, "linear")
    neuron.load_state_dict({"w.0": w, "b": b})
    return neuron


def measured(model, loss, X, y):
    return mean([loss(model(x), t) for x, t in zip(X, y, strict=True)]).data


def moons(n=200, noise=0.1, seed=0):
    """Two interleaved half circles, as scikit-learn's make_moons draws them."""
    rng = random.Random(seed)
    X, y = [], []
    for i in range(n):
        angle = math.pi * (i // 2) / (n // 2 - 1)
        a, b = (math.cos(angle), math.sin(angle)) if i % 2 == 0 else (1 - math.cos(angle), 0.5 - math.sin(angle))
        X.append([a + rng.gauss(0, noise), b + rng.gauss(0, noise)])
        y.append(1 if i % 2 else -1)
    return X, y


def test_two_moons_train_to_97_percent():
    X, y = moons()
    model = MLP(2, [16, 16, 1], seed=0)
    history = fit(
        model,
        X,
        y,
        loss=hinge_loss,
        optimizer=Adam(model.parameters(), lr=0.03),
        epochs=20,
        batch_size=20,
        seed=0,
        metric=accuracy,
    )
    assert history.metric[0] < 0.9 <= 0.97 <= accuracy([model(x) for x in X], y)


@pytest.mark.parametrize("jit", [False, True])
def test_an_epoch_is_one_step_on_the_mean_loss(jit):
    model, twin = line(), line()
    history = fit(model, X, Y, optimizer=SGD(model.parameters(), lr=0.1), epochs=3, jit=jit)
    optimizer = SGD(twin.parameters(), lr=0.1)
    for epoch in range(3):
        loss = mean([mse_loss(twin(x), t) for x, t in zip(X, Y, strict=True)])
        assert history.loss[epoch] == (pytest.approx(loss.data, rel=1e-14) if jit else loss.data)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    learnt = twin.state_dict()
    assert model.state_dict() == (pytest.approx(learnt, rel=1e-14) if jit else learnt)


def test_the_default_is_adam_on_the_mean_square():
    model, twin = MLP(1, [3, 1], seed=1), MLP(1, [3, 1], seed=1)
    one = fit(model, X, Y, epochs=5)
    two = fit(twin, X, Y, epochs=5, loss=mse_loss, optimizer=Adam(twin.parameters(), lr=0.01), batch_size=100)
    assert one.loss == two.loss and model.state_dict() == twin.state_dict()


@pytest.mark.parametrize("batch_size", [None, 3, 4])
def test_history_is_measured_before_the_updates_of_its_epoch(batch_size):
    model = line()
    held_out = ([[3.0], [5.0]], [5.0, 9.0])

    def metric(outputs, targets):
        return mean([abs(o - t) for o, t in zip(outputs, targets, strict=True)])

    expected = History()

    def measure(*ignored):
        expected.loss.append(measured(model, mse_loss, X, Y))
        expected.metric.append(metric([model(x) for x in X], Y).data)
        expected.validation_loss.append(measured(model, mse_loss, *held_out))
        expected.validation_metric.append(metric([model(x) for x in held_out[0]], held_out[1]).data)

    measure()
    history = fit(
        model, X, Y, optimizer=SGD(model.parameters(), lr=0.05), epochs=4, metric=metric,
        batch_size=batch_size, validation=held_out, callback=measure, seed=0,
    )  # fmt: skip
    for name in ("loss", "metric", "validation_loss", "validation_metric"):
        assert getattr(history, name) == pytest.approx(getattr(expected, name)[:4], rel=1e-14)
        assert all(type(x) is float for x in getattr(history, name))
    assert len(history.seconds) == 4 and all(s > 0 for s in history.seconds)


def test_without_metric_and_validation_their_lists_are_empty():
    history = fit(line(), X, Y, epochs=2)
    assert (len(history.loss), history.metric, history.validation_loss, history.validation_metric) == (2, [], [], [])
    assert "2 epochs" in repr(history) and "loss" in repr(history)
    assert fit(line(), X, Y, epochs=0) == History()


def test_mini_batches_take_every_sample_once_an_epoch_in_an_order_of_the_seed():
    def run(seed):
        model, seen = line(), []

        def loss(output, target):
            seen.append(target)
            return mse_loss(output, target)

        fit(model, X, Y, loss=loss, epochs=2, batch_size=3, seed=seed, jit=False)
        return seen, model.state_dict()

    seen, state = run(1)
    first, second = seen[4:8], seen[12:16]  # between them, the measure of the whole set
    assert seen[:4] == seen[8:12] == Y and sorted(first) == sorted(second) == Y
    assert run(1) == (seen, state) and run(2)[1] != state


def test_a_mini_batch_update_is_on_the_mean_of_the_batch():
    model, twin = line(), line()
    fit(model, X, Y, optimizer=SGD(model.parameters(), lr=0.1), epochs=1, batch_size=3, seed=4)
    order = [0, 1, 2, 3]
    random.Random(4).shuffle(order)
    for batch in (order[:3], order[3:]):
        twin.zero_grad()
        mean([mse_loss(twin(X[i]), Y[i]) for i in batch]).backward()
        SGD(twin.parameters(), lr=0.1).step()
    assert model.state_dict() == pytest.approx(twin.state_dict(), rel=1e-14)


def test_schedule_and_callback():
    model = line()
    optimizer = SGD(model.parameters(), lr=0.1)
    seen = []

    def callback(epoch, history):
        seen.append((epoch, len(history.loss), len(history.seconds), optimizer.lr))
        return epoch == 2

    history = fit(
        model, X, Y, optimizer=optimizer, schedule=StepLR(optimizer, 2, gamma=0.5), epochs=9, callback=callback
    )
    assert seen == [(0, 1, 1, 0.1), (1, 2, 2, 0.05), (2, 3, 3, 0.05)] and len(history.loss) == 3


def test_the_optimizer_of_the_schedule_serves():
    model = line()
    schedule = StepLR(SGD(model.parameters(), lr=0.0), 1)
    fit(model, X, Y, schedule=schedule, epochs=2)
    assert model.state_dict() == line().state_dict() and schedule.optimizer.steps == 2


def test_numpy_data_and_classes():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 2))
    classes = (features[:, 0] > 0).astype(int) + (features[:, 1] > 0)
    model = MLP(2, [8, 3], activation="tanh", seed=0)
    history = fit(
        model,
        features,
        classes,
        loss=nn.cross_entropy_loss,
        optimizer=Adam(model.parameters(), lr=0.1),
        epochs=25,
        metric=accuracy,
    )
    assert history.metric[-1] > 0.8 > history.metric[0]


def test_numbers_for_inputs():
    model = line()
    fit(model, [-1.0, 0.0, 1.0], [-3.0, -1.0, 1.0], optimizer=SGD(model.parameters(), lr=0.5), epochs=40)
    assert model.w[0].data == pytest.approx(2.0, abs=1e-3)


def test_whatever_has_parameters_can_be_fitted():
    class Slope:
        def __init__(self):
            self.w = Value(0.0)

        def __call__(self, x):
            return self.w * x[0]

        def parameters(self):
            return [self.w]

    model = Slope()
    fit(model, [[1.0], [2.0]], [3.0, 6.0], optimizer=SGD(model.parameters(), lr=0.2), epochs=30)
    assert model.w.data == pytest.approx(3.0)


@pytest.mark.parametrize(
    "X, y, words",
    [
        ([], [], "as many rows in X as in y, at least one; got 0 and 0"),
        ([[1.0]], [1.0, 2.0], "got 1 and 2"),
        ([[1.0], [1.0, 2.0]], [1.0, 2.0], "rows of X differ: row 0 is of length 1, row 1 is of length 2"),
        ([[1.0], 2.0], [1.0, 2.0], "rows of X differ: row 0 is of length 1, row 1 is one number"),
        ([[1.0], [2.0]], [1.0, [2.0]], "rows of y differ"),
    ],
)
def test_data_of_another_shape_is_refused(X, y, words):
    model = line()
    with pytest.raises(ValueError, match=words):
        fit(model, X, y)
    with pytest.raises(ValueError, match=re.sub(r"\b([Xy])\b", r"validation \1", words)):
        fit(model, [[1.0]], [1.0], validation=(X, y))
    assert model.state_dict() == line().state_dict()


@pytest.mark.parametrize(
    "options", [{"epochs": -1}, {"epochs": 1.5}, {"batch_size": 0}, {"batch_size": -3}, {"batch_size": 2.0}]
)
def test_counts_out_of_range_are_refused_by_name(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        fit(line(), X, Y, **options)


def test_an_optimizer_class_or_a_loss_without_a_graph_is_refused():
    with pytest.raises(TypeError, match=r"right: optimizer=Adam\(model\.parameters\(\)\)"):
        fit(line(), X, Y, optimizer=Adam)
    by_node = pytest.warns(UserWarning, match="goes node by node")
    with by_node, pytest.raises(TypeError, match="nothing can be learnt"):
        fit(line(), X, Y, loss=lambda output, target: output.data - target)


@pytest.mark.parametrize("batch_size", [None, 2])
def test_a_loss_that_is_not_finite_is_explained_before_the_update(batch_size):
    model = line(w=1.0, b=0.0)
    optimizer = SGD(model.parameters(), lr=0.1)

    def loss(output, target):
        return -log(output) * target

    with pytest.raises(FloatingPointError) as error:
        fit(
            model,
            [[2.0], [3.0], [-1.0], [5.0]],
            [1.0] * 4,
            loss=loss,
            optimizer=optimizer,
            batch_size=batch_size,
            seed=0,
        )
    words = str(error.value)
    assert "the loss is nan at epoch 0, sample 2: log(-1.0) is nan" in words and "learning rate" in words
    assert model.state_dict() == {"w.0": 1.0, "b": 0.0} and optimizer.steps == 0


def test_a_loss_that_goes_infinite_within_an_epoch_names_its_sample():
    """The first mini-batch moves w so far that the second overflows."""
    model = line(w=1.0, b=0.0)
    order = list(range(2))
    random.Random(0).shuffle(order)
    inputs = [[1.0], [1.0]]
    inputs[order[1]] = [1e200]

    by_node = pytest.warns(UserWarning, match="goes node by node")
    with by_node, pytest.raises(FloatingPointError, match=f"inf at epoch 0, sample {order[1]}: pow"):
        fit(
            model, inputs, [0.0, 0.0], loss=lambda o, t: (o - t) ** 2 if abs(o.data) != 1e200 else o * 0,
            optimizer=SGD(model.parameters(), lr=2.0), batch_size=1, seed=0,
        )  # fmt: skip
    assert model.state_dict() == {"w.0": -3.0, "b": -4.0}


def test_the_explanation_names_labelled_operands_and_a_bad_input():
    model = line()
    with pytest.raises(FloatingPointError, match=r"sample 1: x\.0 is nan"):
        fit(model, [[1.0], [math.nan]], [1.0, 2.0])
    model = line(w=1e200, b=0.0)
    with pytest.raises(
        FloatingPointError, match=r"affine\(w\.0 = 1e\+200, x\.0 = 1e\+200, b = 0\.0\) is inf, and the first"
    ):
        fit(model, [[1.0], [1e200]], [1.0, 2.0], loss=lambda o, t: o - t)


def test_the_explanation_of_a_wide_node_is_short():
    model = Neuron(500, "linear", init=lambda nin, nout, rng: 1.0)
    with pytest.raises(FloatingPointError, match="and 993 more") as error:
        fit(model, [[1e307] * 500], [0.0])
    assert len(str(error.value)) < 700


def test_a_gradient_that_is_not_finite_is_refused_before_the_update():
    model = line(w=0.0, b=0.0)
    with pytest.raises(FloatingPointError, match=r"gradient of w\.0 is inf at epoch 0"):
        fit(model, [[1.0]], [0.0], loss=lambda output, target: sqrt(output))
    assert model.state_dict() == {"w.0": 0.0, "b": 0.0}


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer on this platform")
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("after", [0.011, 0.017, 0.023])
def test_an_interrupt_leaves_the_parameters_of_a_whole_update(after, jit):
    model = MLP(1, [8, 1], seed=0)
    states = [model.state_dict()]

    def interrupt(number, frame):
        if str(frame.f_globals.get("__name__")).startswith(("nn.", "autograd.")):
            raise KeyboardInterrupt
        signal.setitimer(signal.ITIMER_REAL, 0.001)  # what the collector calls would hold an error back

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, after)
        with pytest.raises(KeyboardInterrupt):
            fit(model, X, Y, epochs=10**9, callback=lambda *ignored: states.append(model.state_dict()), jit=jit)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    twin = MLP(1, [8, 1], seed=0)
    reached = model.state_dict()
    later = []
    fit(twin, X, Y, epochs=len(states) + 1, callback=lambda *ignored: later.append(twin.state_dict()), jit=jit)
    assert reached in (states[-1], later[len(states) - 1])


def test_the_bar_shows_on_a_terminal_or_when_asked(capsys, monkeypatch):
    fit(line(), X, Y, epochs=2)
    fit(line(), X, Y, epochs=2, progress=False)
    assert capsys.readouterr().err == ""
    fit(line(), X, Y, epochs=2, progress=True)
    assert "loss" in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    fit(line(), X, Y, epochs=2)
    assert "loss" in capsys.readouterr().err
    fit(line(), X, Y, epochs=2, progress=False)
    assert capsys.readouterr().err == ""


def test_validation_records_no_graph_and_does_not_train():
    class Spy(Module):
        def __init__(self):
            self.w, self.graphs = Value(1.0), []

        def __call__(self, x):
            out = self.w * x[0]
            self.graphs.append((x[0], out.op is not None))
            return out

    model = Spy()
    fit(model, [[1.0]], [1.0], epochs=1, validation=([[2.0]], [5.0]), jit=False)
    assert model.graphs == [(1.0, True), (2.0, False)] and model.w.data == 1.0


def test_accuracy():
    assert accuracy([Value(0.2), Value(-0.2)], [1, 1]) == 0.5
    assert accuracy([0.2, 0.7], [0, 1], threshold=0.5) == 1.0
    assert accuracy([-1.0, 0.0], [-1, -1]) == 1.0
    assert accuracy([3.0, 2.5], [1, 2], threshold=2.0) == 1.0
    assert accuracy([[Value(0.0), Value(1.0)], [3.0, 2.0]], [1, 1]) == 0.5
    assert accuracy(np.array([[0.0, 1.0], [3.0, 2.0]]), np.array([1.0, 0.0])) == 1.0
    assert type(accuracy([1.0], [1])) is float


@pytest.mark.parametrize("outputs, targets", [([], []), ([1.0], []), ([1.0], [1, 1])])
def test_accuracy_refuses_lengths_that_differ(outputs, targets):
    with pytest.raises(ValueError, match=f"got {len(outputs)} and {len(targets)}"):
        accuracy(outputs, targets)


def test_the_source_line_that_made_a_bad_value_is_named() -> None:
    model = MLP(1, [1], seed=0)

    def loss(output: Value, target: float) -> Value:
        return log(output * 0 - 1) + target

    with pytest.raises(FloatingPointError) as caught:
        fit(model, [[1.0]], [1.0], loss=loss, epochs=1)
    assert f"made at line {loss.__code__.co_firstlineno + 1} of {__file__}" in str(caught.value)
