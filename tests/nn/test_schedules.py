import math

import pytest

from autograd import Value
from nn import SGD, CosineAnnealingLR, ExponentialLR, StepLR

SETTINGS = [
    (StepLR, {"step_size": 30}),
    (StepLR, {"step_size": 1, "gamma": 0.95}),
    (StepLR, {"step_size": 7, "gamma": 1.1}),
    (ExponentialLR, {"gamma": 0.97}),
    (ExponentialLR, {"gamma": 1.0}),
    (CosineAnnealingLR, {"T_max": 100}),
    (CosineAnnealingLR, {"T_max": 30, "eta_min": 0.01}),
    (CosineAnnealingLR, {"T_max": 1}),
]


def rates(schedule, n):
    found = [schedule.optimizer.lr]
    for _ in range(n):
        schedule.step()
        found.append(schedule.optimizer.lr)
    return found


@pytest.mark.oracle
@pytest.mark.parametrize("kind, options", SETTINGS)
def test_100_epochs_equal_pytorchs(kind, options):
    torch = pytest.importorskip("torch")
    reference = torch.optim.SGD([torch.zeros(1)], lr=0.3)
    theirs = getattr(torch.optim.lr_scheduler, kind.__name__)(reference, **options)
    ours = kind(SGD([Value(1.0)], lr=0.3), **options)
    for rate in rates(ours, 100):
        assert rate == pytest.approx(reference.param_groups[0]["lr"], rel=1e-12, abs=1e-12)
        reference.step()
        theirs.step()


def test_by_hand():
    def optimizer():
        return SGD([Value(1.0)], lr=8.0)

    assert rates(StepLR(optimizer(), 2, gamma=0.5), 5) == [8, 8, 4, 4, 2, 2]
    assert rates(ExponentialLR(optimizer(), gamma=0.5), 3) == [8, 4, 2, 1]
    assert rates(CosineAnnealingLR(optimizer(), 4, eta_min=2.0), 4) == pytest.approx(
        [8, 5 + 3 * math.sqrt(0.5), 5, 5 - 3 * math.sqrt(0.5), 2]
    )


@pytest.mark.parametrize(
    "kind, options",
    [(StepLR, {"step_size": n}) for n in (0, -1, 1.5)]
    + [(CosineAnnealingLR, {"T_max": n}) for n in (0, -1, 1.5)]
    + [(CosineAnnealingLR, {"eta_min": x, "T_max": 2}) for x in (-0.1, math.nan)]
    + [(ExponentialLR, {"gamma": x}) for x in (0.0, -0.5, math.nan)]
    + [(StepLR, {"gamma": -0.5, "step_size": 2})],
)
def test_settings_out_of_range_are_refused_by_name(kind, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        kind(SGD([Value(1.0)]), **options)
