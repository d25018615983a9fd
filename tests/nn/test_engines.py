"""Both engines of fit, node by node and with programs: the same numbers, and the same that a user sees of them."""

import gc
import math
import random
import re
import sys
import warnings
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

import autograd
import autograd.programs.program as programs
import nn.losses
from autograd import Program, Value, where
from autograd.ops import Op
from nn import MLP, SGD, Adam, AdamW, Module, RMSprop, StepLR, accuracy, fit, mse_loss
from nn.optimizers import Optimizer

rng = random.Random(0)
X = [[rng.uniform(-1, 1), rng.uniform(-1, 1)] for _ in range(21)]
REAL = [rng.gauss(0, 1) for _ in X]
SIGN = [rng.choice([-1, 1]) for _ in X]
LOSSES = {  # the targets, how many outputs, and what they go through
    "mse_loss": (REAL, 1, "linear"),
    "sum_squared_error": ([[t, -t] for t in REAL], 2, "linear"),
    "half_squared_error": (REAL, 1, "tanh"),
    "l1_loss": (REAL, 1, "linear"),
    "huber_loss": (REAL, 1, "linear"),
    "hinge_loss": (SIGN, 1, "linear"),
    "bce_loss": ([rng.random() for _ in X], 1, "sigmoid"),
    "bce_with_logits_loss": ([rng.choice([0, 1]) for _ in X], 1, "linear"),
    "cross_entropy_loss": ([rng.randrange(3) for _ in X], 3, "linear"),
}
OPTIMIZERS = {
    "SGD": lambda p: SGD(p, lr=0.05),
    "SGD with momentum": lambda p: SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "RMSprop": lambda p: RMSprop(p, lr=0.01),
    "centered RMSprop": lambda p: RMSprop(p, lr=0.01, centered=True, momentum=0.5, weight_decay=1e-3),
    "Adam": lambda p: Adam(p, lr=0.01, weight_decay=0.01),
    "AdamW": lambda p: AdamW(p, lr=0.01),
}


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_every_loss_is_among_them():
    named = {name for name, f in vars(nn.losses).items() if callable(f) and name.endswith(("_loss", "_error"))}
    assert named == {*LOSSES}


def trained(loss, optimizer, jit, **options):
    targets, outputs, output = LOSSES[loss]
    model = MLP(2, [5, outputs], activation="tanh", output=output, seed=1)
    stepper = OPTIMIZERS[optimizer](model.parameters())
    history = fit(
        model, X, targets, loss=getattr(nn.losses, loss), optimizer=stepper, seed=3, jit=jit, progress=False, **options
    )
    return model, stepper, history


@pytest.mark.parametrize("batch_size", [None, 8])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", LOSSES)
def test_both_go_the_same_way_for_50_epochs(loss, optimizer, batch_size):
    eager, by_nodes, slow = trained(loss, optimizer, False, epochs=50, batch_size=batch_size)
    compiled, by_arrays, fast = trained(loss, optimizer, True, epochs=50, batch_size=batch_size)
    assert fast.loss == pytest.approx(slow.loss, rel=1e-9, abs=1e-12)
    assert fast.loss[-1] < fast.loss[0]
    assert compiled.state_dict() == pytest.approx(eager.state_dict(), rel=1e-9, abs=1e-12)
    before, after = by_nodes.state_dict(), by_arrays.state_dict()
    assert after.keys() == before.keys()
    for name, x in before.items():
        assert type(after[name]) is type(x)
        # a velocity is divided by a spread that can be small
        assert after[name] == (x if isinstance(x, str) else pytest.approx(x, rel=1e-6, abs=1e-9))
    for p, q in zip(eager.parameters(), compiled.parameters(), strict=True):
        assert q.grad == pytest.approx(p.grad, rel=1e-8, abs=1e-12)


def test_validation_metric_and_schedule():
    histories = []
    for jit in (False, True):
        model = MLP(2, [5, 1], activation="tanh", seed=1)
        optimizer = SGD(model.parameters(), lr=0.5)
        histories.append(
            fit(
                model,
                X[:15],
                SIGN[:15],
                loss=nn.losses.hinge_loss,
                optimizer=optimizer,
                epochs=9,
                metric=accuracy,
                validation=(X[15:], SIGN[15:]),
                schedule=StepLR(optimizer, 2, gamma=0.5),
                batch_size=4,
                seed=1,
                jit=jit,
            )
        )
    for name in ("loss", "metric", "validation_loss", "validation_metric"):
        assert getattr(histories[1], name) == pytest.approx(getattr(histories[0], name), rel=1e-12), name
        assert len(getattr(histories[1], name)) == 9


@pytest.mark.parametrize("batch_size", [None, 8])
def test_a_schedule_sets_the_learning_rate(batch_size):
    ends = []
    for jit in (False, True):
        model = MLP(2, [5, 1], activation="tanh", seed=1)
        schedule = StepLR(Adam(model.parameters(), lr=0.1), 2, gamma=0.5)
        fit(model, X, REAL, schedule=schedule, epochs=7, batch_size=batch_size, seed=1, jit=jit)
        ends.append(model.state_dict())
        assert schedule.optimizer.lr == 0.1 * 0.5**3
    assert ends[1] == pytest.approx(ends[0], rel=1e-9)


def test_a_metric_gets_what_the_model_gives():
    seen = []

    def metric(outputs, targets):
        seen.append((np.shape(outputs), type(outputs[0][0]), targets))
        return 0.5

    fit(MLP(2, [3], seed=0), X[:4], [0, 1, 2, 0], loss=nn.losses.cross_entropy_loss, epochs=1, metric=metric)
    assert seen == [((4, 3), Value, [0, 1, 2, 0])]


def test_the_model_is_run_on_few_samples():
    model = Counting(2, [3, 1], seed=0)
    fit(model, X, REAL, epochs=20)
    assert 0 < model.called <= 6


class Branching(Module):
    def __init__(self):
        self.w = Value(0.5)

    def __call__(self, x):
        return self.w * x[0] if x[0] > 0 else self.w * x[1]


def test_a_branch_on_data_goes_node_by_node_with_one_warning():
    model, twin = Branching(), Branching()
    with pytest.warns(UserWarning, match="goes node by node.*compared at line .*test_engines.py.*where") as found:
        fast = fit(model, X, REAL, epochs=5)
    slow = fit(twin, X, REAL, epochs=5, jit=False)
    assert len(found) == 1 and found[0].filename == __file__
    assert fast.loss == slow.loss and model.w.data == twin.w.data


def test_the_fix_it_names_makes_a_program():
    class Fixed(Branching):
        def __call__(self, x):
            return where(autograd.greater(x[0], 0), self.w * x[0], self.w * x[1])

    model, twin = Fixed(), Branching()
    assert fit(model, X, REAL, epochs=5).loss == pytest.approx(fit(twin, X, REAL, epochs=5, jit=False).loss)


def test_a_model_that_draws_random_numbers_goes_node_by_node():
    class Noisy(Module):
        def __init__(self):
            self.w, self.rng = Value(0.5), random.Random(0)

        def __call__(self, x):
            return self.w * x[0] + self.rng.random()

    with pytest.warns(UserWarning, match="does not do the same each time"):
        history = fit(Noisy(), X, REAL, epochs=3)
    assert len({*history.loss}) == 3


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("rate", [0.01, 0.5, 0.99])
def test_dropout_goes_node_by_node_and_draws_what_it_would(rate, seed):
    class Dropout(MLP):
        def __call__(self, x):
            hidden = [0 * h if random.random() < rate else h for h in self.layers[0](x)]
            return self.layers[1](hidden)

    histories = []
    for jit in (False, True):
        random.seed(seed)
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            histories.append(fit(Dropout(2, [3, 1], seed=0), X, REAL, epochs=2, jit=jit).loss)
        assert len(found) == jit and all([w.filename == __file__ for w in found])
    assert histories[0] == histories[1]


def test_what_a_trace_does_not_get_through_is_said_once():
    def known(output, target):
        if type(target) not in (int, bool):
            raise LookupError("no such target")
        return (output - target) ** 2

    targets = [i % 2 for i in range(len(X))]
    with pytest.warns(UserWarning, match="makes no program: LookupError: no such target") as found:
        fit(MLP(2, [1], seed=0), X, targets, loss=known, epochs=3)
    assert len(found) == 1 and found[0].filename == __file__
    with pytest.raises(LookupError):  # and no warning
        fit(MLP(2, [1], seed=0), X, REAL, loss=known, epochs=3)


def fitted_node_by_node(loss, match, **options):
    """By programs, with one warning, and node by node: the same."""
    ends = []
    for jit in (False, True):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            model = MLP(2, [1], seed=0)
            history = fit(model, X, [i % 12 for i in range(len(X))], loss=loss, epochs=3, seed=0, jit=jit, **options)
        assert [type(x.message) for x in found] == [UserWarning] * jit
        ends.append((history.loss, history.validation_loss, model.state_dict()))
    assert re.search(f"goes node by node.*{match}", str(found[0].message)) and found[0].filename == __file__
    assert ends[0] == ends[1]


@pytest.mark.parametrize(
    "chosen",
    [
        lambda t: 1.0 if isinstance(t, int) else 0.0,
        lambda t: {0: 1.0, 1: 5.0}.get(t, 1.0),
        lambda t: 5.0 if f"{t}" == "11" else 1.0,
        lambda t: float(len(str(t))),
    ],
)
def test_what_goes_by_a_number_and_not_through_operations_goes_node_by_node(chosen):
    fitted_node_by_node(lambda o, t: (o - chosen(t)) ** 2, "")


def test_the_numbers_that_differ_are_named():
    match = "with numbers as when traced: the loss of input 0 with the target 11 is .*, and when traced "
    fitted_node_by_node(lambda o, t: (o - (50.0 if f"{t}" == "11" else 1.0)) ** 2, match)


def test_numbers_of_validation_are_compared():
    def loss(output, target):
        return (output - (5.0 if f"{target}" == "31" else 1.0)) ** 2

    fitted_node_by_node(loss, "with the target 31", validation=(X[:2], [30, 31]))


def test_an_input_that_is_not_the_first_is_compared():
    class Particular(MLP):
        def __call__(self, x):
            return super().__call__(x) * (2.0 if repr(x) == repr(X[-1]) else 1.0)

    with pytest.warns(UserWarning, match=f"the loss of input {len(X) - 1} with"):
        fit(Particular(2, [1], seed=0), X, REAL, epochs=1)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("loss", [nn.losses.mse_loss, nn.losses.l1_loss])
def test_rounding_is_no_difference(loss, scale):
    learnt = MLP(2, [7, 5, 1], activation="softplus", seed=0)
    rows = [[scale * a, scale * b] for a, b in X]
    fit(learnt, rows, [learnt(x).data for x in rows], loss=loss, optimizer=SGD(learnt.parameters(), lr=0.0), epochs=2)


def test_an_operation_without_traced_derivatives_goes_node_by_node():
    def slope(out, x):
        return 1.0 if x > 0 else 0.5

    bent = Op("bent", lambda x: x if x > 0 else 0.5 * x, (slope,))
    fitted_node_by_node(lambda o, t: (bent(o) - t) ** 2, "")


@pytest.mark.parametrize("jit", [False, True])
def test_no_trace_stays_in_the_model(jit):
    class Running(Module):
        def __init__(self):
            self.w, self.parts = Value(0.5), [Means()]

        def __call__(self, x):
            self.parts[0].see(x)
            return self.w * (x[0] - self.parts[0].mean)

    class Means(Module):
        def __init__(self):
            self.mean, self.all, self.by_name = 0.0, [0.0], {}

        def see(self, x):
            self.mean = self.all[0] = self.by_name["mean"] = 0.9 * self.mean + 0.1 * x[0]
            self.seen = True

    model = Running()
    means = model.parts[0]
    own = means.all, means.by_name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(model, X, REAL, epochs=0, jit=jit)
        assert vars(means) == {"mean": 0.0, "all": [0.0], "by_name": {}} or not jit
        fit(model, X, REAL, epochs=1, jit=jit)
    expected = 0.0
    for x in X:
        expected = 0.9 * expected + 0.1 * x[0]
    assert means.mean == means.all[0] == means.by_name["mean"] == expected
    assert (means.all is own[0]) and (means.by_name is own[1]) and means.seen


def test_a_program_leaves_no_trace_either():
    class Remembering(MLP):
        def __call__(self, x):
            self.last = super().__call__(x)
            return self.last

    model = Remembering(2, [1], seed=0)
    fit(model, X, REAL, epochs=2)
    assert not hasattr(model, "last")


@pytest.mark.parametrize("name", ["step", "_moved", "zero_grad"])
def test_what_an_optimizer_was_given_in_place_of_its_own_is_called(name):
    ends, calls = [], []
    for jit in (False, True):
        model = MLP(2, [3, 1], seed=0)
        optimizer = SGD(model.parameters(), lr=0.1)
        own = getattr(optimizer, name)

        def mine(*args, own=own, jit=jit):
            calls.append(jit)
            return own(*args)

        setattr(optimizer, name, mine)
        fit(model, X, REAL, optimizer=optimizer, epochs=3, jit=jit)
        ends.append(model.state_dict())
    assert calls.count(True) == calls.count(False) > 0
    assert ends[1] == pytest.approx(ends[0], rel=1e-9)


def test_a_metric_gets_a_dict_node_by_node():
    class Named(MLP):
        def __call__(self, x):
            return {"y": super().__call__(x)}

    def loss(output, target):
        return (output["y"] - target) ** 2

    seen = []
    with pytest.warns(UserWarning, match="returns, for the metric"):
        fit(Named(2, [1], seed=0), X, REAL, loss=loss, epochs=2, metric=lambda o, t: seen.append(o[0]["y"]) or 0.0)
    assert len(seen) == 2 and type(seen[0]) is Value
    fit(Named(2, [1], seed=0), X, REAL, loss=loss, epochs=2)  # and no warning


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(
    "loss, good, bad",
    [
        ("hinge_loss", [1, -1], 0),
        ("bce_loss", [0, 1], 2),
        ("bce_with_logits_loss", [0.5, 1], -1),
        ("cross_entropy_loss", [0, 2], 3),
        ("cross_entropy_loss", [0, 1], 0.5),
    ],
)
def test_a_target_that_a_loss_refuses_is_refused(loss, good, bad, jit):
    model = MLP(2, [LOSSES[loss][1]], output=LOSSES[loss][2], seed=0)
    before = model.state_dict()
    for targets, held_out in (([*good, bad], good), (good, [*good, bad])):
        with pytest.raises(ValueError, match=f"got {bad}"):
            fit(
                model,
                X[: len(targets)],
                targets,
                loss=getattr(nn.losses, loss),
                validation=(X[: len(held_out)], held_out),
                epochs=1,
                jit=jit,
            )
        assert model.state_dict() == before


def test_what_makes_no_array_goes_node_by_node():
    w = Value(1.0)
    x = Value(2.0)
    assert len(fit(Branching(), [[x, 1.0], [1.0, 2.0]], [1.0, 2.0], epochs=2, jit=False).loss) == 2
    model = MLP(2, [1], seed=0)
    history = fit(model, [[w, 1.0], [1.0, 2.0]], [1.0, 2.0], epochs=2)
    assert len(history.loss) == 2 and w.grad != 0


class Counting(MLP):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.calls = SimpleNamespace(count=0)  # what a trace leaves in the model's own attributes is taken back

    @property
    def called(self):
        return self.calls.count

    def __call__(self, x):
        self.calls.count += 1
        return super().__call__(x)


class Roots(Optimizer):
    def _moved(self, i, p, g):
        return p - self.lr * math.copysign(math.sqrt(abs(g)), g) if g != 0 else p  # no array could choose


class Plain:
    def __init__(self, parameters, lr):
        self.listed, self.lr = parameters, lr

    def zero_grad(self):
        for p in self.listed:
            p.grad = 0.0
        self.ready = True

    def step(self):
        assert self.ready
        self.ready = False
        for p in self.listed:
            p.data -= self.lr * p.grad


@pytest.mark.parametrize("batch_size", [None, 8])
@pytest.mark.parametrize("kind", [Roots, Plain])
def test_an_optimizer_of_ones_own_steps_on_values(kind, batch_size):
    eager, compiled = Counting(2, [3, 1], seed=0), Counting(2, [3, 1], seed=0)
    for model, jit in ((eager, False), (compiled, True)):
        optimizer = kind(model.parameters(), lr=0.05)
        fit(model, X, REAL, optimizer=optimizer, epochs=5, batch_size=batch_size, seed=1, jit=jit)
    assert compiled.state_dict() == pytest.approx(eager.state_dict(), rel=1e-9)
    assert compiled.called <= 6 < eager.called


def test_hooks_are_called():
    model = MLP(2, [1], seed=0)
    with model.parameters()[0].register_hook(lambda g: 0.0):
        before = model.parameters()[0].data
        fit(model, X, REAL, optimizer=SGD(model.parameters(), lr=0.1), epochs=2)
    assert model.parameters()[0].data == before


@pytest.mark.parametrize("jit", [False, True])
def test_a_frozen_parameter_stays(jit):
    model = MLP(2, [3, 1], activation="tanh", seed=0)
    frozen = model.layers[0].neurons[1].w[0]
    frozen.kind = "constant"
    before, others = frozen.data, [p.data for p in model.parameters()]
    optimizer = Adam([frozen, *model.parameters()], lr=0.1)
    fit(model, X, REAL, optimizer=optimizer, epochs=3, jit=jit)
    assert frozen.data == before and optimizer.m[0] == 0.0
    assert all([p.data != x for p, x in zip(model.parameters(), others, strict=True)])


@pytest.mark.parametrize("jit", [False, True])
def test_only_what_the_optimizer_has_is_moved(jit):
    model = MLP(2, [3, 1], activation="tanh", seed=0)
    moved = model.layers[1].parameters()
    before = model.state_dict()
    stray = Value(1.0)
    fit(model, X, REAL, optimizer=SGD([stray, *moved], lr=0.1, weight_decay=0.5), epochs=1, jit=jit)
    changed = [name for name, x in model.state_dict().items() if x != before[name]]
    assert changed == [p.label for p in moved]
    assert stray.data == 1.0 - 0.1 * 0.5 * 1.0


@pytest.mark.parametrize("jit", [False, True])
def test_a_callback_sees_and_may_change_the_numbers(jit):
    model = MLP(2, [1], seed=0)
    optimizer = Adam(model.parameters(), lr=0.1)
    seen = []

    def callback(epoch, history):
        seen.append(([p.data for p in model.parameters()], [p.grad for p in model.parameters()], [*optimizer.m]))
        if epoch == 1:
            for p in model.parameters():
                p.data = 0.0
            optimizer.m[:] = [0.0] * 3

    history = fit(model, X, REAL, optimizer=optimizer, epochs=4, callback=callback, jit=jit)
    assert len({tuple(data) for data, _, _ in seen}) == 4 and all([type(m) is float for _, _, ms in seen for m in ms])
    assert history.loss[2] == pytest.approx(np.mean(np.square(REAL)))
    assert seen[2][2] == pytest.approx([0.1 * g for g in seen[2][1]])


def fitted_by_both(change):
    """The parameters that each engine ends with; change(model, optimizer, epoch) is called after each epoch."""
    ends = []
    for jit in (False, True):
        model = MLP(2, [3, 1], activation="tanh", seed=0)
        optimizer = SGD(model.parameters(), lr=0.1, momentum=0.5)
        fit(
            model,
            X,
            REAL,
            optimizer=optimizer,
            epochs=6,
            callback=lambda epoch, history, m=model, o=optimizer: change(m, o, epoch),
            jit=jit,
        )
        ends.append(model.state_dict())
    assert ends[1] == pytest.approx(ends[0], rel=1e-9)
    return [*ends[1].values()]


def test_a_callback_may_freeze_and_thaw():
    seen = []

    def change(model, optimizer, epoch):
        p, q = optimizer.parameters[:2]
        seen.append((p.data, q.data))
        if epoch in (0, 3):
            p.kind, q.kind = ("constant", "parameter") if epoch == 0 else ("parameter", "constant")

    fitted_by_both(change)
    p, q = zip(*seen[6:], strict=True)
    assert len({*p[:4]}) == 1 and len({*q[:4]}) == 4
    assert len({*p[3:]}) == 3 and len({*q[3:]}) == 1


@pytest.mark.parametrize("kind", [SGD, Plain])
def test_a_callback_may_thaw_what_was_frozen_from_the_start(kind):
    ends = []
    for jit in (False, True):
        model = MLP(2, [3, 1], activation="tanh", seed=0)
        optimizer, thawed = kind(model.parameters(), lr=0.1), model.layers[0].neurons[0].w[0]
        thawed.kind = "constant"

        def thaw(epoch, history, leaf=thawed):
            leaf.kind = "constant" if epoch == 0 else "parameter"

        fit(model, X, REAL, optimizer=optimizer, epochs=4, callback=thaw, jit=jit)
        ends.append(model.state_dict())
        assert thawed.grad
    assert ends[1] == pytest.approx(ends[0], rel=1e-9)


def test_a_callback_may_set_hooks():
    hooks = []

    def change(model, optimizer, epoch):
        if epoch == 1:
            hooks.append((model.parameters()[0].data, model.parameters()[0].register_hook(lambda g: 0.0)))
            optimizer.momentum = 0.0

    try:
        assert fitted_by_both(change)[0] == hooks[1][0]
    finally:
        for _, hook in hooks:
            hook.remove()


def test_a_callback_may_restore_and_stop():
    first = MLP(2, [3, 1], activation="tanh", seed=0).state_dict()
    assert fitted_by_both(lambda model, optimizer, epoch: epoch == 2 and (model.load_state_dict(first) or True)) == [
        *first.values()
    ]


@pytest.mark.parametrize("batch_size", [None, 8])
def test_a_schedule_of_ones_own_and_a_metric_see_and_may_change_the_numbers(batch_size):
    seen = []
    for jit in (False, True):
        model = MLP(2, [3, 1], activation="tanh", seed=0)
        parameters = model.parameters()
        optimizer = SGD(parameters, lr=0.1, momentum=0.9)

        class Meddling(StepLR):
            def step(self, p=parameters):
                super().step()
                seen[-1].append((p[0].data, p[0].grad, self.optimizer.velocity[0], self.optimizer.steps))
                p[1].data, self.optimizer.velocity[2] = 0.5, 0.0

        def metric(outputs, targets, p=parameters):
            seen[-1].append((p[0].data, p[1].data, p[0].grad))
            return 0.0

        seen.append([])
        fit(
            model,
            X,
            REAL,
            optimizer=optimizer,
            schedule=Meddling(optimizer, 2),
            metric=metric,
            epochs=4,
            batch_size=batch_size,
            seed=1,
            jit=jit,
        )
        seen[-1].append([*model.state_dict().values()])
    assert len(seen[0]) == len(seen[1]) == 9
    for slow, fast in zip(*seen, strict=True):
        assert fast == pytest.approx(slow, rel=1e-9)


def test_a_metric_may_set_parameters():
    model = MLP(2, [1], seed=0)

    def metric(outputs, targets):
        model.parameters()[0].data = 0.25
        return 0.0

    fit(model, X, REAL, optimizer=SGD(model.parameters(), lr=0.0), epochs=1, metric=metric)
    assert model.parameters()[0].data == 0.25


def test_gradients_too_large_to_square_are_those_of_both_engines():
    ends = []
    for jit in (False, True):
        w = Value(1.0)
        optimizer = SGD([w], lr=1e-190)

        class Line:
            def __call__(self, x, w=w):
                return w * x

            def parameters(self, w=w):
                return [w]

        fit(Line(), [1e180], [0.0], loss=lambda o, t: o - t, optimizer=optimizer, epochs=3, jit=jit)
        ends.append(w.data)
    assert ends[0] == ends[1] < 1.0


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
@pytest.mark.parametrize("jit", [False, True])
def test_after_an_error_the_parameters_are_those_of_the_last_whole_update(jit, error):
    class Halting(StepLR):
        def step(self):
            super().step()
            if self.optimizer.steps == 3:
                raise error

    model, twin = MLP(2, [3, 1], seed=0), MLP(2, [3, 1], seed=0)
    optimizer = Adam(model.parameters(), lr=0.1)
    with pytest.raises(error):
        fit(model, X, REAL, optimizer=optimizer, schedule=Halting(optimizer, 100), epochs=10, jit=jit)
    fit(twin, X, REAL, optimizer=Adam(twin.parameters(), lr=0.1), epochs=3, jit=jit)
    assert model.state_dict() == twin.state_dict()
    assert type(optimizer.m) is list and optimizer.steps == 3


@pytest.mark.parametrize("jit", [False, True])
def test_an_interrupt_within_a_step_leaves_no_half_of_it(jit, monkeypatch):
    model = MLP(2, [3, 1], seed=0)
    optimizer = Adam(model.parameters(), lr=0.1)
    fit(model, X, REAL, optimizer=optimizer, epochs=2, jit=jit)
    state, steps = model.state_dict(), optimizer.state_dict()
    calls = []

    def interrupted(*given, **named):
        calls.append(given)
        raise KeyboardInterrupt

    # Node by node, m and v have been set; of a program the results are not yet taken up.
    monkeypatch.setattr(Program, "map", interrupted) if jit else monkeypatch.setattr("nn.optimizers._root", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(model, X, REAL, optimizer=optimizer, epochs=2, jit=jit)
    assert len(calls) == 1 and model.state_dict() == state and optimizer.state_dict() == steps


def interrupted(k, callback):
    """What model and optimizer hold after an interrupt at the k-th instruction of training; None if it has fewer."""
    model = MLP(2, [2, 1], activation="tanh", seed=1)
    optimizer = Adam(model.parameters()[1:], lr=0.1)
    count = 0

    def instruction(frame, event, arg):
        nonlocal count
        count += event == "opcode"
        if count == k:
            sys.settrace(None)
            raise KeyboardInterrupt
        return instruction

    def call(frame, event, arg):
        code = frame.f_code
        if not code.co_filename.endswith(("engines.py", "optimizers.py")) or code.co_name not in TRAINING:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return instruction

    before = sys.gettrace()
    try:
        sys.settrace(call)
        fit(model, X[:5], REAL[:5], optimizer=optimizer, epochs=2, batch_size=3, seed=0, callback=callback)
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    return (model.state_dict(), optimizer.state_dict()) if count >= k else None


TRAINING = {"measured", "update", "release", "_take", "_reached", "_learn", "step", "_rates", "numbers"}


@pytest.mark.parametrize("callback", [None, lambda epoch, history: None])
@pytest.mark.parametrize("start", range(4))
def test_an_interrupt_anywhere_leaves_a_whole_number_of_steps(start, callback):
    states = {}
    k = start + 1
    while (found := interrupted(k, callback)) is not None:
        assert states.setdefault(found[1]["steps"], found) == found
        k += 16
    assert {*states} == {0, 1, 2, 3, 4} and len({repr(model) for model, _ in states.values()}) == 5


CHANGES = {
    "a number that the loss depends on": lambda model, by: by.update(scale=3.0),
    "the loss": lambda model, by: by.update(loss=nn.losses.l1_loss),
    "a parameter is frozen": lambda model, by: setattr(model.layers[0].neurons[0].w[0], "kind", "constant"),
    "a parameter is another": lambda model, by: setattr(model.layers[0].neurons[0], "b", Value(0.5)),
    "the activation": lambda model, by: setattr(model.layers[0].neurons[1], "activation", autograd.sin),
    "an input that was random": lambda model, by: by.update(x=0.125),
    "nothing but the parameters' numbers": lambda model, by: setattr(model.layers[0].neurons[0].w[0], "data", 0.5),
}


@pytest.mark.parametrize("metric", [None, accuracy])
@pytest.mark.parametrize("change", CHANGES)
def test_the_programs_of_the_fit_before_serve_what_does_the_same(change, metric, monkeypatch):
    made = []
    compilation = programs.Compilation
    monkeypatch.setattr(programs, "Compilation", lambda *given: made.append(1) or compilation(*given))
    ends = []
    for jit in (False, True):
        by = {"scale": 2.0, "loss": mse_loss, "x": 0.25}
        model = MLP(2, [3, 1], activation="tanh", seed=1)

        class Shifted(Module):
            def __init__(self, model=model):
                self.model = model

            def __call__(self, x, by=by):
                return self.model([x[0], x[1] + by["x"]])

        shifted, counts, losses = Shifted(), [], []
        for _ in range(3):
            optimizer = Adam(shifted.parameters(), lr=0.1)
            history = fit(
                shifted, X, REAL, loss=lambda o, t, by=by: by["scale"] * by["loss"](o, t),
                optimizer=optimizer, epochs=3, metric=metric, jit=jit,
            )  # fmt: skip
            losses += history.loss
            counts.append(len(made))
            if len(counts) == 2:
                CHANGES[change](model, by)
        ends.append((losses, shifted.state_dict()))
    first, again, changed = counts
    # The metric has programs of its own, as has the loss.
    assert first == again == (1 if metric is None else 2) and (changed > again) == ("numbers" not in change)
    assert ends[1][0] == pytest.approx(ends[0][0], rel=1e-9)
    assert ends[1][1] == pytest.approx(ends[0][1], rel=1e-9)


def test_an_operation_of_ones_own_is_looked_at_anew():
    by = {"scale": 1.0}
    row = Op("scaled_square", lambda x: by["scale"] * x * x, partials=(lambda out, x: 2 * by["scale"] * x,))
    w = Value(0.5)

    class Model:
        def __call__(self, x):
            return Value.apply_op(row, [w * x])

        def parameters(self):
            return [w]

    model, found = Model(), []
    for by["scale"] in (1.0, 3.0):
        fit(model, [1.0, 2.0], [1.0, 2.0], optimizer=SGD([w], lr=0.0), epochs=1)
        found.append(w.grad)
    assert found == [-4.75, 11.25]


def test_outputs_without_parameters_are_looked_at_anew():
    class Model:
        s, k = Value(0.5), 1.0

        def __call__(self, x):
            return [x * 1.0, x * self.k]

        def parameters(self):
            return [self.s]

    model, seen = Model(), []

    def loss(outputs, target):
        return (model.s * outputs[0] - target) ** 2

    for model.k in (1.0, 7.0):
        fit(
            model, [1.0, 2.0], [1.0, 2.0], loss=loss, epochs=1,
            metric=lambda outputs, targets: seen.append(outputs[1][1].data) or 0.0,
        )  # fmt: skip
    assert seen == [2.0, 14.0]


def test_what_was_all_frozen_since_is_not_trained():
    model = MLP(2, [1], seed=0)
    fit(model, X, REAL, epochs=2)
    state = model.state_dict()
    frozen = model.parameters()
    for p in frozen:
        p.kind, p.grad = "constant", 0.5
    losses = fit(model, X, REAL, epochs=2, optimizer=SGD([Value(0.0)])).loss
    assert model.state_dict() == state and losses[0] == losses[1]
    assert [p.grad for p in frozen] == [0.5] * 3


def test_a_model_is_kept_no_longer_than_by_its_user():
    model, held = MLP(2, [1], seed=0), Module()
    fit(model, X, REAL, loss=lambda o, t, held=held: mse_loss(o, t), epochs=2)
    gone = weakref.ref(model), weakref.ref(model.layers[0]), weakref.ref(held), weakref.ref(model.parameters()[0])
    del model, held
    gc.collect()
    assert [x() for x in gone] == [None] * 4


@pytest.mark.parametrize("change", [
    lambda o: setattr(o, "betas", [0.5, 0.9]),
    lambda o: setattr(o, "betas", np.array([0.5, 0.9])),
    lambda o: setattr(o, "weight_decay", np.array(0.1)),
    lambda o: setattr(o, "eps", 1),
    lambda o: setattr(o, "notes", {"a": [1]}),
    lambda o: setattr(o, "m", np.array(o.m)),
    lambda o: setattr(o, "seen", [1.0, 2.0]),
    lambda o: setattr(o, "lr", np.float64(0.25)),
    lambda o: None,
])  # fmt: skip
def test_what_is_set_on_an_optimizer_by_hand(change):
    ends = []
    for jit in (False, True):
        model = MLP(2, [3, 1], activation="tanh", seed=0)
        optimizer = Adam(model.parameters(), lr=0.1)
        for _ in range(2):
            fit(model, X, REAL, optimizer=optimizer, epochs=3, jit=jit)
            change(optimizer)
        ends.append([model.state_dict(), *map(list, (optimizer.m, optimizer.v))])
    for slow, fast in zip(*ends, strict=True):
        assert fast == pytest.approx(slow, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("lr", [None, "0.1"])
def test_a_learning_rate_that_is_no_number_moves_nothing(lr, jit):
    model = MLP(2, [1], seed=0)
    state, optimizer = model.state_dict(), SGD(model.parameters())
    optimizer.lr = lr
    with pytest.raises((TypeError, ValueError)):
        fit(model, X, REAL, optimizer=optimizer, epochs=1, jit=jit)
    assert model.state_dict() == state


def test_the_programs_of_the_fit_before_serve_its_model_only():
    for seed in (1, 2, 1):
        trained("mse_loss", "Adam", True, epochs=2)
        one, other = (MLP(2, [3, 1], seed=seed) for _ in range(2))
        fit(one, X, REAL, epochs=5)
        fit(other, X, REAL, epochs=5)
        assert one.state_dict() == other.state_dict() != MLP(2, [3, 1], seed=seed).state_dict()


@pytest.mark.parametrize("jit", [False, True])
def test_a_loss_that_goes_infinite_names_its_sample_and_origin(jit):
    class Line(Module):
        def __init__(self):
            self.w = Value(2.0, label="w")

        def __call__(self, x):
            return autograd.log(self.w * x[0])

    model = Line()
    with pytest.raises(FloatingPointError, match=r"the loss is nan at epoch 0, sample 1: log\(-2.0\) is nan.*made at"):
        fit(model, [[1.0], [-1.0]], [1.0, 2.0], epochs=2, jit=jit)
    assert model.w.data == 2.0


@pytest.mark.parametrize("jit", [False, True])
def test_a_gradient_that_goes_infinite_names_its_parameter(jit):
    class Root(Module):
        def __init__(self):
            self.w = Value(0.0, label="w")

        def __call__(self, x):
            return autograd.sqrt(self.w * x[0])

    with pytest.raises(FloatingPointError, match=r"the gradient of w is -?(inf|nan) at epoch 0"):
        fit(Root(), [[1.0]], [1.0], epochs=2, jit=jit)


def test_without_numpy_it_goes_node_by_node(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "numpy", None)
    model, twin = MLP(2, [1], seed=0), MLP(2, [1], seed=0)
    assert fit(model, X, REAL, epochs=3).loss == fit(twin, X, REAL, epochs=3, jit=False).loss


def test_a_loss_without_a_graph_is_refused():
    with pytest.raises(TypeError, match="nothing can be learnt"):
        fit(MLP(2, [1], seed=0), X, REAL, loss=lambda output, target: target * 2.0, epochs=1)


def test_cross_entropy_of_a_target_that_is_a_value():
    logits = [Value(0.5), Value(-1.0), Value(2.0)]
    for k in range(3):
        chosen, written = nn.losses.cross_entropy_loss(logits, Value(float(k))), nn.losses.cross_entropy_loss(logits, k)
        assert chosen.data == pytest.approx(written.data, rel=1e-15)
        assert autograd.gradients(chosen, logits) == pytest.approx(autograd.gradients(written, logits), rel=1e-14)
    assert mse_loss(Value(1.0), Value(3.0)).data == 4.0


@pytest.mark.parametrize("target", [-1.0, 3.0, 1.5, math.nan, math.inf])
@pytest.mark.parametrize("classes", [1, 3])
def test_cross_entropy_of_a_value_that_is_no_class_is_nan(target, classes):
    logits = [0.5, -1.0, 2.0][:classes]
    assert math.isnan(nn.losses.cross_entropy_loss(logits, Value(target)).data)
    program = autograd.jit(nn.losses.cross_entropy_loss)
    assert math.isnan(program.value([logits], [target])) and math.isfinite(program.value([logits], [0]))
