"""Optimizers: how gradients become steps. Each equals PyTorch's of the same name, defaults included.

>>> from autograd import Value
>>> x = Value(1.0)
>>> optimizer = SGD([x], lr=0.1)
>>> for _ in range(50):
...     optimizer.zero_grad()
...     ((x - 3) ** 2).backward()
...     optimizer.step()
>>> f"{x:.4f}"
'3.0000'
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from math import hypot, inf, sqrt
from typing import Any

from autograd import Value, clamp


class Optimizer(ABC):
    """Steps for a list of leaf Values: what the optimizers have in common. `lr` can be set at any time.

    Raises TypeError unless parameters is an iterable of Values, ValueError if one is not a leaf, if there
    are none, or for a hyperparameter out of range. A parameter given twice counts once.
    """

    def __init__(self, parameters: Iterable[Value], lr: float) -> None:
        self.parameters = _listed(parameters)
        _require(0 <= lr < inf, f"lr must be 0 or more, got {lr!r}")
        self.lr = lr
        self.steps = 0

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to 0."""
        for p in self.parameters:
            p.grad = 0.0

    def step(self) -> None:
        """Move every parameter against its gradient; a frozen one (kind "constant") stays.

        All parameters move or, if an interrupt comes between, none.
        """
        state, data = self.state_dict(), [p.data for p in self.parameters]
        try:
            self.steps += 1
            for i, p in enumerate(self.parameters):
                if p.kind != "constant":
                    p.data = self._moved(i, p.data, p.grad)
        except BaseException:
            self.load_state_dict(state)
            for p, x in zip(self.parameters, data, strict=True):
                p.data = x
            raise

    @abstractmethod
    def _moved(self, i: int, p: float, g: float) -> float:
        """Where parameter i goes from p, its gradient being g."""

    def _zeros(self) -> list[float]:
        return [0.0] * len(self.parameters)

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on beside the parameters, as numbers and lists that JSON can hold."""
        state = {name: list(x) if isinstance(x, list) else x for name, x in vars(self).items() if name != "parameters"}
        return {"optimizer": type(self).__name__, **state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from such a state, bit for bit. ValueError, and nothing changed, if it is not of this shape."""
        mine = self.state_dict()
        try:
            new = {name: _like(x, state[name]) for name, x in mine.items()}
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"the state does not fit {type(self).__name__} of {len(self.parameters)} parameters: {error}; "
                "right: the state_dict() of the same optimizer for as many parameters"
            ) from error
        del new["optimizer"]
        vars(self).update(new)


class SGD(Optimizer):
    """Gradient descent: p -= lr * v, with v = momentum * v + g, or with nesterov g + momentum * v.

    g is the gradient plus weight_decay * p. Sutskever et al. 2013, in the form of torch.optim.SGD.

    >>> p = Value(1.0)
    >>> p.grad = 4.0
    >>> SGD([p], lr=0.125).step()
    >>> p.data
    0.5
    """

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float = 1e-3,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr)
        _require(0 <= momentum < inf, f"momentum must be 0 or more, got {momentum!r}")
        _require(0 <= weight_decay < inf, f"weight_decay must be 0 or more, got {weight_decay!r}")
        _require(momentum > 0 or not nesterov, "nesterov needs momentum; right: SGD(..., momentum=0.9, nesterov=True)")
        self.momentum, self.nesterov, self.weight_decay = momentum, nesterov, weight_decay
        self.velocity = self._zeros()

    def _moved(self, i: int, p: float, g: float) -> float:
        g += self.weight_decay * p
        v = self.velocity[i] = self.momentum * self.velocity[i] + g
        return p - self.lr * (g + self.momentum * v if self.nesterov else v)


class RMSprop(Optimizer):
    """Gradients over their running root mean square (Hinton 2012, lecture 6e): p -= lr * g / (rms + eps).

    alpha is how much of the running mean of g * g is kept each step. centered: the standard deviation in
    place of the rms (Graves 2013). momentum sums the steps as SGD does.

    >>> p = Value(1.0)
    >>> p.grad = 4.0
    >>> RMSprop([p], lr=0.1, alpha=0.75).step()  # the rms is 2
    >>> f"{p:.4f}"
    '0.8000'
    """

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float = 1e-2,
        *,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        centered: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr)
        _require(0 <= alpha < 1, f"alpha must be in [0, 1), got {alpha!r}")
        _require(0 < eps < inf, f"eps must be above 0, or a gradient of 0 is 0/0; got {eps!r}")
        _require(0 <= momentum < inf, f"momentum must be 0 or more, got {momentum!r}")
        _require(0 <= weight_decay < inf, f"weight_decay must be 0 or more, got {weight_decay!r}")
        self.alpha, self.eps, self.momentum = alpha, eps, momentum
        self.centered, self.weight_decay = centered, weight_decay
        self.mean, self.mean_square, self.velocity = self._zeros(), self._zeros(), self._zeros()

    def _moved(self, i: int, p: float, g: float) -> float:
        g += self.weight_decay * p
        m = self.mean[i] = self.alpha * self.mean[i] + (1 - self.alpha) * g
        square = self.mean_square[i] = self.alpha * self.mean_square[i] + (1 - self.alpha) * g * g
        spread = max(square - m * m, 0.0) if self.centered else square  # rounding can take it below 0
        v = self.velocity[i] = self.momentum * self.velocity[i] + g / (sqrt(spread) + self.eps)
        return p - self.lr * v


class Adam(Optimizer):
    """Running means of g (m) and g * g (v), freed of their bias to 0: p -= lr * m / (sqrt(v) + eps).

    betas is how much of each is kept at a step. weight_decay * p is added to g. Kingma and Ba 2015, algorithm 1.

    >>> p = Value(1.0)
    >>> p.grad = 4.0
    >>> Adam([p], lr=0.1).step()  # the first step is lr, whatever the gradient
    >>> f"{p:.4f}"
    '0.9000'
    """

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr)
        _require(
            len(betas) == 2 and all(0 <= beta < 1 for beta in betas), f"betas must be two in [0, 1), got {betas!r}"
        )
        _require(0 < eps < inf, f"eps must be above 0, or a gradient of 0 is 0/0; got {eps!r}")
        _require(0 <= weight_decay < inf, f"weight_decay must be 0 or more, got {weight_decay!r}")
        self.betas, self.eps, self.weight_decay = tuple(betas), eps, weight_decay
        self.m, self.v = self._zeros(), self._zeros()

    def _moved(self, i: int, p: float, g: float) -> float:
        return self._adapted(i, p, g + self.weight_decay * p)

    def _adapted(self, i: int, p: float, g: float) -> float:
        beta1, beta2 = self.betas
        m = self.m[i] = beta1 * self.m[i] + (1 - beta1) * g
        v = self.v[i] = beta2 * self.v[i] + (1 - beta2) * g * g
        rms = sqrt(v / (1 - beta2**self.steps))
        return p - self.lr * m / (1 - beta1**self.steps) / (rms + self.eps)


class AdamW(Adam):
    """Adam whose weight decay goes past the running means: p -= lr * weight_decay * p (Loshchilov and Hutter 2019).

    >>> p = Value(1.0)
    >>> AdamW([p], lr=0.1, weight_decay=0.5).step()
    >>> f"{p:.4f}"
    '0.9500'
    """

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(parameters, lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _moved(self, i: int, p: float, g: float) -> float:
        return self._adapted(i, p - self.lr * self.weight_decay * p, g)


def clip_grad_norm(parameters: Iterable[Value], max_norm: float) -> float:
    """Scale all gradients so that their Euclidean norm is at most max_norm. Returns the norm as it was.

    As in PyTorch the factor is max_norm / (norm + 1e-6), or 1 if that is more.

    >>> from autograd import Value
    >>> x = Value(2.0)
    >>> (x * 5).backward()
    >>> clip_grad_norm([x], 1.0), f"{x.grad:.4f}"
    (5.0, '1.0000')
    """
    parameters = _listed(parameters)
    _require(max_norm >= 0, f"max_norm must be 0 or more, got {max_norm!r}")
    norm = hypot(*[p.grad for p in parameters])
    factor = max_norm / (norm + 1e-6)
    if not factor >= 1:
        for p in parameters:
            p.grad *= factor
    return norm


def clip_grad_value(parameters: Iterable[Value], clip_value: float) -> None:
    """Hold every gradient between -clip_value and clip_value.

    >>> from autograd import Value
    >>> x = Value(2.0)
    >>> (x * -5).backward()
    >>> clip_grad_value([x], 1.0)
    >>> x.grad
    -1.0
    """
    _require(clip_value >= 0, f"clip_value must be 0 or more, got {clip_value!r}")
    for p in _listed(parameters):
        p.grad = clamp(p.grad, -clip_value, clip_value)


def _listed(parameters: Iterable[Value]) -> list[Value]:
    listed = list(dict.fromkeys(parameters)) if isinstance(parameters, Iterable) else [parameters]
    if not isinstance(parameters, Iterable) or not all(isinstance(p, Value) for p in listed):
        raise TypeError(
            f"expected the parameters, an iterable of Values, got {type(parameters).__name__} {parameters!r:.60}; "
            "wrong: SGD(model); right: SGD(model.parameters())"
        )
    _require(bool(listed), "expected parameters, got none; right: SGD(model.parameters())")
    result = next((p for p in listed if p.op is not None), None)
    _require(result is None, f"{result!r} is the result of an operation; right: the leaves it depends on")
    return listed


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _like(mine: Any, theirs: Any) -> Any:
    """What a state gives for mine, in the same type; ValueError if it does not fit."""
    if isinstance(mine, (list, tuple)):
        if len(theirs) != len(mine):
            raise ValueError(f"expected {len(mine)} numbers, got {len(theirs)}")
        return type(mine)(map(float, theirs))
    if isinstance(mine, str) and mine != theirs:
        raise ValueError(f"expected the state of {mine}, got that of {theirs!r}")
    return type(mine)(theirs)
