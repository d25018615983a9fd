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
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from functools import lru_cache
from math import hypot, inf, sqrt
from typing import Any

import autograd
from autograd import Value, clamp, relu

_ANY = -1  # in place of a parameter's index


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
    def _moved(self, i: Any, p: Any, g: Any) -> Any:
        """Where parameter i goes from p, its gradient being g. It may be traced: see Together."""

    def _rates(self) -> tuple[float, ...]:
        """What changes from step to step, and is the same for all parameters."""
        return (self.lr,)

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

    def _moved(self, i: Any, p: Any, g: Any) -> Any:
        if self.weight_decay:
            g = g + self.weight_decay * p
        (lr,) = self._rates()
        if not self.momentum:
            return p - lr * g
        v = self.velocity[i] = self.momentum * self.velocity[i] + g
        return p - lr * (g + self.momentum * v if self.nesterov else v)


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

    def _moved(self, i: Any, p: Any, g: Any) -> Any:
        if self.weight_decay:
            g = g + self.weight_decay * p
        m = self.mean[i] = self.alpha * self.mean[i] + (1 - self.alpha) * g
        square = self.mean_square[i] = self.alpha * self.mean_square[i] + (1 - self.alpha) * g * g
        spread = relu(square - m * m) if self.centered else square  # rounding can take it below 0
        v = self.velocity[i] = self.momentum * self.velocity[i] + g / (_root(spread) + self.eps)
        (lr,) = self._rates()
        return p - lr * v


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

    def _rates(self) -> tuple[float, ...]:
        beta1, beta2 = self.betas
        bias = sqrt(1 - beta2**self.steps)  # that of the root of v
        return self.lr * bias / (1 - beta1**self.steps), self.eps * bias, self.lr * self.weight_decay

    def _moved(self, i: Any, p: Any, g: Any) -> Any:
        return self._adapted(i, p, g + self.weight_decay * p if self.weight_decay else g)

    def _adapted(self, i: Any, p: Any, g: Any) -> Any:
        beta1, beta2 = self.betas
        m = self.m[i] = beta1 * self.m[i] + (1 - beta1) * g
        v = self.v[i] = beta2 * self.v[i] + (1 - beta2) * g * g
        rate, eps, _ = self._rates()
        return p - rate * m / (_root(v) + eps)


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

    def _moved(self, i: Any, p: Any, g: Any) -> Any:
        return self._adapted(i, p - self._rates()[2] * p, g)


class Together:
    """An optimizer's steps for many of its parameters at once, by a program that moves one.

    The optimizer's own lists and count are as before until `release`. What is reached is replaced in one go, once a
    step is whole: an interrupt leaves no half of one. Needs NumPy.
    """

    def __init__(self, optimizer: Optimizer, which: Sequence[int], p: Any) -> None:
        import numpy as np

        self._move, kept, self._order = _program(type(optimizer), _settings(optimizer))
        self._lists = [getattr(optimizer, name) for name in kept]
        self._optimizer, self._which, self._twin = optimizer, which, copy(optimizer)
        self._rates, self._contiguous = np.empty(len(self._order)), np.ascontiguousarray
        self._reached = np.stack([p, *[[x[i] for i in which] for x in self._lists]], axis=1), p, optimizer.steps

    @property
    def numbers(self) -> Any:
        """Where the parameters are."""
        return self._reached[1]

    def step(self, g: Any) -> None:
        """Move them, their gradient being g."""
        rows, _, steps = self._reached
        twin = self._twin
        twin.lr, twin.steps = self._optimizer.lr, steps + 1
        rates = twin._rates()
        for k, place in enumerate(self._order):
            self._rates[k] = 1.0 * rates[place]  # refuses None, which NumPy makes nan of
        moved = self._move.map(rows, g, params=self._rates)
        self._reached = moved, self._contiguous(moved[:, 0]), steps + 1

    def release(self) -> None:
        """The optimizer has all that it keeps."""
        rows, _, self._optimizer.steps = self._reached
        for x, column in zip(self._lists, rows.T[1:].tolist(), strict=True):
            if len(x) == len(column):
                x[:] = column
            else:
                for i, number in zip(self._which, column, strict=True):
                    x[i] = number


def _fresh(kind: type[Optimizer]) -> tuple[Optimizer, list[str]]:
    """An optimizer of that kind, and what it keeps of each parameter."""
    optimizer = kind([Value(0.0)], 0.0)
    return optimizer, [name for name, x in vars(optimizer).items() if isinstance(x, list) and name != "parameters"]


def _settings(optimizer: Optimizer) -> tuple[tuple[str, Any], ...]:
    """What its steps depend on, but for what changes from step to step; in numbers and tuples of them."""
    fresh, lists = _fresh(type(optimizer))
    settings = [(name, x, getattr(optimizer, name)) for name, x in vars(fresh).items()]
    return tuple(
        [
            (name, tuple(map(float, given)) if isinstance(x, tuple) else float(given))
            for name, x, given in settings
            if name not in ("parameters", "lr", "steps", *lists)
        ]
    )


@lru_cache(maxsize=16)
def _program(kind: type[Optimizer], settings: tuple[tuple[str, Any], ...]) -> tuple[Any, list[str], list[int]]:
    """A step of one parameter: of [it, what is kept of it ...] and its gradient. And what is kept, where it is not
    just as before; and which of the rates are used."""
    from autograd import Program

    twin, lists = _fresh(kind)
    vars(twin).update(settings, steps=1)
    rates = [Value(x) for x in twin._rates()]
    vars(twin).update(_rates=lambda: rates)

    def moved(p: Any, g: Any, state: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        vars(twin).update({name: {_ANY: x} for name, x in state.items()})
        return twin._moved(_ANY, p, g), {name: vars(twin)[name][_ANY] for name in state}

    before = {name: Value(0.0) for name in lists}
    _, after = moved(Value(0.0), Value(0.0), before)
    kept = [name for name in lists if after[name] is not before[name]]

    def step(row: Any, g: Any) -> list[Any]:
        p, state = moved(row[0], g, before | dict(zip(kept, row[1:], strict=True)))
        return [p, *[state[name] for name in kept]]

    program = Program(step).trace([0.0] * (1 + len(kept)), 0.0)
    return program, kept, [rates.index(rate) for rate in program.parameters]


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


def _root(x: Any) -> Any:
    return sqrt(x) if isinstance(x, float) else autograd.sqrt(x)  # which takes longer for a float


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
