"""Learning-rate schedules: what an optimizer's lr is, epoch by epoch. Each equals PyTorch's of the same name.

>>> from autograd import Value
>>> from nn import SGD
>>> optimizer = SGD([Value(1.0)], lr=0.5)
>>> schedule = StepLR(optimizer, step_size=2, gamma=0.1)
>>> for _ in range(4):
...     schedule.step()
...     print(f"{optimizer.lr:.3f}", end=" ")
0.500 0.050 0.050 0.005
"""

from abc import ABC, abstractmethod
from math import cos, inf, pi

from .optimizers import Optimizer


class Schedule(ABC):
    """Sets the lr of an optimizer, beginning from the lr it has: what the schedules have in common.

    Call step() once at the end of each epoch; nn.fit does so. Raises ValueError for a setting out of range.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer, self.first_lr, self.epoch = optimizer, optimizer.lr, 0

    def step(self) -> None:
        """Go to the next epoch."""
        self.epoch += 1
        self.optimizer.lr = self.lr(self.epoch)

    @abstractmethod
    def lr(self, epoch: int) -> float:
        """The learning rate of an epoch; the first is epoch 0."""


class StepLR(Schedule):
    """The learning rate times gamma every step_size epochs.

    >>> from autograd import Value
    >>> from nn import SGD
    >>> schedule = StepLR(SGD([Value(1.0)], lr=0.5), step_size=10)
    >>> schedule.lr(9), schedule.lr(10)
    (0.5, 0.05)
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        super().__init__(optimizer)
        if not (isinstance(step_size, int) and step_size >= 1):
            raise ValueError(f"step_size is a number of epochs, an int from 1 up; got {step_size!r}")
        self.step_size, self.gamma = step_size, _factor(gamma)

    def lr(self, epoch: int) -> float:
        return self.first_lr * self.gamma ** (epoch // self.step_size)


class ExponentialLR(Schedule):
    """The learning rate times gamma every epoch.

    >>> from autograd import Value
    >>> from nn import SGD
    >>> ExponentialLR(SGD([Value(1.0)], lr=0.5), gamma=0.5).lr(2)
    0.125
    """

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        super().__init__(optimizer)
        self.gamma = _factor(gamma)

    def lr(self, epoch: int) -> float:
        return self.first_lr * self.gamma**epoch


class CosineAnnealingLR(Schedule):
    """Half a cosine from the first learning rate to eta_min at epoch T_max, and back up after it.

    Loshchilov and Hutter 2017, equation 5.

    >>> from autograd import Value
    >>> from nn import SGD
    >>> schedule = CosineAnnealingLR(SGD([Value(1.0)], lr=0.5), T_max=100)
    >>> schedule.lr(50), schedule.lr(100)
    (0.25, 0.0)
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        super().__init__(optimizer)
        if not (isinstance(T_max, int) and T_max >= 1):
            raise ValueError(f"T_max is a number of epochs, an int from 1 up; got {T_max!r}")
        if not 0 <= eta_min < inf:
            raise ValueError(f"eta_min is the least learning rate, 0 or more; got {eta_min!r}")
        self.T_max, self.eta_min = T_max, eta_min

    def lr(self, epoch: int) -> float:
        return self.eta_min + (self.first_lr - self.eta_min) * (1 + cos(pi * epoch / self.T_max)) / 2


def _factor(gamma: float) -> float:
    if not 0 < gamma < inf:
        raise ValueError(f"gamma is the factor of the learning rate, above 0; got {gamma!r}")
    return gamma
