import json
import math
import random

import pytest
from hypothesis import given, strategies as st

from autograd import Value
from nn import SGD, Adam, AdamW, Neuron, RMSprop, clip_grad_norm, clip_grad_value

SETTINGS = [
    (SGD, {"lr": 0.1}),
    (SGD, {"lr": 0.1, "momentum": 0.9}),
    (SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    (SGD, {"lr": 0.1, "weight_decay": 0.3}),
    (SGD, {"lr": 0.05, "momentum": 0.5, "nesterov": True, "weight_decay": 0.01}),
    (RMSprop, {}),
    (RMSprop, {"lr": 0.02, "alpha": 0.5, "eps": 1e-3, "weight_decay": 0.1}),
    (RMSprop, {"centered": True}),
    (RMSprop, {"momentum": 0.9, "centered": True, "weight_decay": 0.02}),
    (Adam, {}),
    (Adam, {"lr": 0.1, "betas": (0.5, 0.7), "eps": 1e-4, "weight_decay": 0.1}),
    (AdamW, {}),
    (AdamW, {"lr": 0.1, "betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.2}),
]
OPTIMIZERS = [SGD, RMSprop, Adam, AdamW]


def step(optimizer, gradients):
    for p, g in zip(optimizer.parameters, gradients, strict=True):
        p.grad = g
    optimizer.step()


def random_gradients(rng, n=4):
    return [rng.gauss(0, 1) * 10 ** rng.uniform(-3, 2) if rng.random() < 0.9 else 0.0 for _ in range(n)]


@pytest.mark.oracle
@pytest.mark.parametrize("kind, options", SETTINGS)
def test_100_steps_equal_pytorchs(kind, options):
    torch = pytest.importorskip("torch")
    rng = random.Random(0)
    ours = [Value(rng.gauss(0, 1)) for _ in range(4)]
    theirs = torch.tensor([p.data for p in ours], dtype=torch.float64, requires_grad=True)
    optimizer, reference = kind(ours, **options), getattr(torch.optim, kind.__name__)([theirs], **options)
    for i in range(100):
        gradients = random_gradients(rng)
        step(optimizer, gradients)
        theirs.grad = torch.tensor(gradients, dtype=torch.float64)
        reference.step()
        if i == 50:
            optimizer.lr = reference.param_groups[0]["lr"] = 0.007
        assert [p.data for p in ours] == pytest.approx(theirs.tolist(), rel=1e-12, abs=1e-12)


@pytest.mark.oracle
def test_the_default_hyperparameters_are_pytorchs():
    torch = pytest.importorskip("torch")
    for kind in OPTIMIZERS:
        theirs = getattr(torch.optim, kind.__name__)([torch.zeros(1)]).defaults
        ours = {name: x for name, x in vars(kind([Value(0.0)])).items() if name in theirs}
        assert ours == {name: theirs[name] for name in ours} and "lr" in ours


def test_one_step_by_hand():
    for kind, options, expected in [
        (SGD, {"lr": 0.5}, [2.0 - 0.5 * 4.0, 2.0 - 0.5 * 4.0 - 0.5 * 4.0]),
        (SGD, {"lr": 0.5, "momentum": 0.5}, [0.0, -0.5 * (0.5 * 4 + 4)]),
        (SGD, {"lr": 0.5, "momentum": 0.5, "nesterov": True}, [-0.5 * 2.0 * 1.0 + 2 - 2.0, None]),
        (RMSprop, {"lr": 0.1, "alpha": 0.75}, [2 - 0.1 * 4 / 2, None]),
        (Adam, {"lr": 0.1}, [1.9, 1.8]),
        (AdamW, {"lr": 0.1, "weight_decay": 0.5}, [2 - 0.1 - 0.1, None]),
    ]:
        p = Value(2.0)
        optimizer = kind([p], **options)
        for x in expected:
            step(optimizer, [4.0])
            assert x is None or p.data == pytest.approx(x, rel=1e-8), (kind, options)


@pytest.mark.parametrize("kind, options", SETTINGS)
def test_every_optimizer_descends(kind, options):
    x, y = Value(1.0), Value(-1.0)
    optimizer = kind([x, y], **{**options, "lr": 0.02})

    def loss():
        return (x - 0.5) ** 2 + 3 * (y + 0.25) ** 2

    first = loss().data
    for _ in range(300):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert loss().data < first / 3


@pytest.mark.parametrize("kind, options", SETTINGS)
def test_a_restored_state_goes_on_bit_for_bit(kind, options):
    rng = random.Random(1)
    ours = [Value(1.0), Value(-2.0), Value(0.5), Value(3.0)]
    optimizer = kind(ours, **options)
    for _ in range(5):
        step(optimizer, random_gradients(rng))
    state = json.loads(json.dumps(optimizer.state_dict()))
    copies = [Value(p.data) for p in ours]
    again = kind(copies, lr=0.5)
    again.load_state_dict(state)
    assert again.state_dict() == optimizer.state_dict()
    for _ in range(5):
        gradients = random_gradients(rng)
        step(optimizer, gradients)
        step(again, gradients)
    assert [p.data for p in copies] == [p.data for p in ours]


def test_a_state_is_a_copy():
    optimizer = SGD([Value(1.0)], momentum=0.9)
    state = optimizer.state_dict()
    step(optimizer, [1.0])
    assert state["velocity"] == [0.0] and state["steps"] == 0


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda s: s.pop("m"), "'m'"),
        (lambda s: s.update(m=[0.0]), "expected 2 numbers, got 1"),
        (lambda s: s.update(m=["a", "b"]), "could not convert"),
        (lambda s: s.update(m=None), "NoneType"),
        (lambda s: s.update(lr="fast"), "could not convert"),
        (lambda s: s.update(optimizer="AdamW"), "expected the state of Adam, got that of 'AdamW'"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, words):
    optimizer = Adam([Value(1.0), Value(2.0)], lr=0.1)
    before = optimizer.state_dict()
    state = {**optimizer.state_dict(), "lr": 0.7, "steps": 9}
    change(state)
    with pytest.raises(ValueError, match=words):
        optimizer.load_state_dict(state)
    assert optimizer.state_dict() == before


@pytest.mark.parametrize(
    "kind, options",
    [(kind, {"lr": lr}) for kind in OPTIMIZERS for lr in (-0.1, math.nan, math.inf)]
    + [(kind, {"weight_decay": -1.0}) for kind in OPTIMIZERS]
    + [(kind, {"eps": eps}) for kind in (RMSprop, Adam, AdamW) for eps in (-1e-8, 0.0, math.nan)]
    + [
        (kind, {"betas": b})
        for kind in (Adam, AdamW)
        for b in ((1.0, 0.9), (0.9, 1.0), (-0.1, 0.9), (0.9,), (0.9, math.nan))
    ]
    + [(kind, {"momentum": -0.1}) for kind in (SGD, RMSprop)]
    + [(SGD, {"nesterov": True}), (RMSprop, {"alpha": -0.1}), (RMSprop, {"alpha": 1.0})],
)
def test_hyperparameters_out_of_range_are_refused_by_name(kind, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        kind([Value(1.0)], **options)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_parameters_must_be_leaves(kind):
    x = Value(1.0)
    with pytest.raises(ValueError, match=r"right: SGD\(model\.parameters"):
        kind([])
    with pytest.raises(ValueError, match="leaves"):
        kind([x, x * 2])
    for wrong in (Neuron(2), x, Neuron(2).named_parameters(), [1.0], None):
        with pytest.raises(TypeError, match=r"right: SGD\(model\.parameters"):
            kind(wrong)
    assert kind(p for p in [x, x]).parameters == [x]


def test_a_frozen_parameter_stays():
    x, y = Value(1.0), Value(1.0)
    optimizer = SGD([x, y], lr=0.1, weight_decay=1.0)
    y.kind = "constant"
    optimizer.step()
    assert (x.data, y.data) == (0.9, 1.0)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_an_interrupted_step_moves_nothing(kind):
    class Interrupted(kind):
        def _moved(self, i, p, g):
            if i == 1 and self.steps == 2:
                raise KeyboardInterrupt
            return super()._moved(i, p, g)

    ours = [Value(1.0), Value(2.0)]
    optimizer = Interrupted(ours)
    step(optimizer, [1.0, -1.0])
    data, state = [p.data for p in ours], optimizer.state_dict()
    assert data[0] < 1.0
    with pytest.raises(KeyboardInterrupt):
        step(optimizer, [5.0, 5.0])
    assert [p.data for p in ours] == data and optimizer.state_dict() == state


def test_zero_grad():
    x = Value(1.0)
    optimizer = SGD([x])
    (x * 3).backward()
    optimizer.zero_grad()
    assert x.grad == 0.0


def with_gradients(gradients):
    values = [Value(0.0) for _ in gradients]
    for v, g in zip(values, gradients, strict=True):
        v.grad = g
    return values


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=6), st.floats(0, 1e3))
def test_clip_grad_norm(gradients, most):
    values = with_gradients(gradients)
    norm = math.sqrt(math.fsum(g * g for g in gradients))
    assert clip_grad_norm(values, most) == pytest.approx(norm, rel=1e-12, abs=1e-150)
    clipped = math.hypot(*[v.grad for v in values])
    assert clipped <= most * (1 + 1e-12)
    if norm + 1e-6 <= most:
        assert [v.grad for v in values] == gradients


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=6), st.floats(0, 1e3))
def test_clip_grad_value(gradients, most):
    values = with_gradients(gradients)
    assert clip_grad_value(values, most) is None
    assert [v.grad for v in values] == [max(-most, min(most, g)) for g in gradients]


def test_clipping_does_not_hide_nan_and_does_not_overflow():
    values = with_gradients([math.nan, 5.0])
    clip_grad_value(values, 1.0)
    assert math.isnan(values[0].grad) and values[1].grad == 1.0
    assert math.isnan(clip_grad_norm(values, 1.0)) and math.isnan(values[1].grad)
    assert clip_grad_norm(with_gradients([3e200, 4e200]), 1.0) == pytest.approx(5e200)


@pytest.mark.parametrize("clip", [clip_grad_norm, clip_grad_value])
def test_clipping_refuses_a_negative_bound_and_what_is_no_parameter(clip):
    with pytest.raises(ValueError, match="0 or more"):
        clip([Value(1.0)], -1.0)
    with pytest.raises(TypeError, match="parameters"):
        clip(Neuron(2), 1.0)


@pytest.mark.oracle
def test_clipping_equals_pytorchs():
    torch = pytest.importorskip("torch")
    rng = random.Random(0)
    for most in (1e-9, 0.1, 1.0, 50.0):
        gradients = random_gradients(rng, 8)
        for ours, theirs in [
            (clip_grad_norm, torch.nn.utils.clip_grad_norm_),
            (clip_grad_value, torch.nn.utils.clip_grad_value_),
        ]:
            values, t = with_gradients(gradients), torch.zeros(8, dtype=torch.float64, requires_grad=True)
            t.grad = torch.tensor(gradients, dtype=torch.float64)
            norm, expected = ours(values, most), theirs([t], most)
            assert (norm is None) == (expected is None)
            assert norm is None or norm == pytest.approx(expected.item(), rel=1e-12)
            assert [v.grad for v in values] == pytest.approx(t.grad.tolist(), rel=1e-12)
