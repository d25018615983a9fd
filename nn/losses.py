"""Losses: how far outputs are from their targets.

Each takes one output and its target, or sequences of them, nested if need be, and gives one number: a Value
if any operand is one, else a float. Where nothing else is said it is the mean over all elements, as in
PyTorch. All are composed of rows of the table, and so are their derivatives; at kinks these are PyTorch's.

>>> from autograd import Value
>>> loss = mse_loss([Value(1.0), Value(2.0)], [1.0, 4.0])
>>> loss.data
2.0
"""

from collections.abc import Callable, Iterator
from math import exp, inf, nan
from operator import index
from typing import Any

import autograd
from autograd import Value, dot, greater, log, logsumexp, mean, minimum, pow, relu, softplus, where

_LEAST = exp(-100)  # its log is -100, where PyTorch's bce_loss holds the log


def mse_loss(output: Any, target: Any) -> Any:
    """The mean of (output - target)**2.

    >>> mse_loss(3.0, 1.0)
    4.0
    """
    return _mean(_squared, output, target)


def sum_squared_error(output: Any, target: Any) -> Any:
    """The sum of (output - target)**2 over the outputs of a sample; of a batch (a sequence of samples), the mean.

    >>> sum_squared_error([1.0, 2.0], [0.0, 0.0]), sum_squared_error([[1.0, 2.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]])
    (5.0, 3.0)
    """
    if is_sequence(output) and any(map(is_sequence, output)):
        return mean([sum_squared_error(o, t) for o, t in _paired(output, target)])
    squares = [_squared(o, t) for o, t in _elements(output, target)]
    return autograd.sum(squares) if is_sequence(output) else squares[0]


def half_squared_error(output: Any, target: Any) -> Any:
    """Half of sum_squared_error: the E of the textbooks, whose derivative is output - target.

    >>> f"{half_squared_error([0.75136507, 0.772928465], [0.01, 0.99]):.9f}"
    '0.298371109'
    """
    return 0.5 * sum_squared_error(output, target)


def l1_loss(output: Any, target: Any) -> Any:
    """The mean of |output - target|, with derivative 0 where they are equal.

    >>> l1_loss([1.0, 2.0], [0.0, 4.0])
    1.5
    """
    return _mean(lambda o, t: autograd.abs(autograd.sub(o, t)), output, target)


def huber_loss(output: Any, target: Any, delta: float = 1.0) -> Any:
    """The mean of 0.5 * d**2 where |d| <= delta, else delta * (|d| - 0.5 * delta), with d = output - target.

    >>> huber_loss(0.5, 0.0), huber_loss(3.0, 0.0)
    (0.125, 2.5)
    """
    if not 0 < delta < inf:
        raise ValueError(f"delta is where the square ends: expected a number above 0, got {delta!r}")

    def element(o: Any, t: Any) -> Any:
        distance = autograd.abs(autograd.sub(o, t))
        near = minimum(distance, delta)
        return near * (distance - 0.5 * near)

    return _mean(element, output, target)


def hinge_loss(score: Any, target: Any) -> Any:
    """The mean of max(0, 1 - target * score), for targets -1 and +1. ValueError for other targets.

    >>> hinge_loss([0.5, -3.0], [1, -1])
    0.25
    """

    def element(o: Any, t: Any) -> Any:
        if not isinstance(t, Value) and t not in (-1, 1):
            raise ValueError(f"hinge_loss has targets -1 and 1, got {t!r}; right: 2 * target - 1, for targets 0 and 1")
        return relu(1 - autograd.mul(t, o))

    return _mean(element, score, target)


def bce_loss(probability: Any, target: Any) -> Any:
    """Binary cross-entropy: the mean of -(t * log(p) + (1 - t) * log(1 - p)).

    log(0) counts as -100, as in PyTorch, with derivative 0. A p outside [0, 1] gives nan. Where p is the
    sigmoid of something, bce_with_logits_loss of that something is exact at both ends. Raises ValueError
    for a target outside [0, 1].

    >>> bce_loss(0.5, 1), bce_loss(0.0, 1)
    (0.6931471805599453, 100.0)
    """

    def element(p: Any, t: Any) -> Any:
        _refuse_no_probability(t)
        q = autograd.sub(1, p)
        return dot([autograd.neg(t), autograd.sub(t, 1)], [log(where(p, p, _LEAST)), log(where(q, q, _LEAST))])

    return _mean(element, probability, target)


def bce_with_logits_loss(logit: Any, target: Any) -> Any:
    """bce_loss of sigmoid(logit), exact however large the logit; the derivative is sigmoid(logit) - target.

    >>> bce_with_logits_loss(0.0, 1), bce_with_logits_loss(-1000.0, 1)
    (0.6931471805599453, 1000.0)
    """

    def element(z: Any, t: Any) -> Any:
        _refuse_no_probability(t)
        return dot([t, autograd.sub(1, t)], [softplus(autograd.neg(z)), softplus(z)])

    return _mean(element, logit, target)


def cross_entropy_loss(logits: Any, target: Any) -> Any:
    """-log(softmax(logits)[target]) for one sample; for a sequence of samples and one of targets, the mean.

    Raises ValueError for a target that is not a whole number from 0 to len(logits) - 1.

    >>> cross_entropy_loss([0.0, 0.0], 1)
    0.6931471805599453
    """
    if is_sequence(target):
        return mean([cross_entropy_loss(z, t) for z, t in _paired(logits, target)])
    if not is_sequence(logits) or not len(logits) or any(map(is_sequence, logits)):
        raise ValueError(f"expected one logit for each class and one target, got {logits!r:.60} and {target!r}")
    if isinstance(target, Value):  # which logit it chooses, its number says
        hits = [1 - greater(target, k) - greater(k, target) for k in range(len(logits))]
        chosen = [where(hit, z, 0.0) for hit, z in zip(hits, logits, strict=True)]
        amiss = where(autograd.sum(hits), 0 * target, nan)  # of no class; 0 * nan is nan
        return autograd.sub(logsumexp(logits), autograd.sum([*chosen, amiss]))
    try:
        k = index(target)
    except TypeError:
        k = -1
    if not 0 <= k < len(logits):
        raise ValueError(f"expected a class as an int from 0 to {len(logits) - 1}, got {target!r}")
    return autograd.sub(logsumexp(logits), logits[k])


def is_sequence(x: Any) -> bool:
    """Whether x is a list, tuple or array with axes, in contrast to one number or Value.

    >>> is_sequence([1.0]), is_sequence(1.0)
    (True, False)
    """
    return hasattr(x, "__len__") and getattr(x, "shape", None) != () and not isinstance(x, str)


def _refuse_no_probability(target: Any) -> None:
    if not isinstance(target, Value) and not 0 <= target <= 1:
        raise ValueError(f"expected targets from 0 to 1, got {target!r}; right: (target + 1) / 2, for targets -1 and 1")


def _squared(output: Any, target: Any) -> Any:
    return pow(autograd.sub(output, target), 2)


def _mean(element: Callable[[Any, Any], Any], output: Any, target: Any) -> Any:
    losses = [element(o, t) for o, t in _elements(output, target)]
    return mean(losses) if is_sequence(output) else losses[0]


def _elements(output: Any, target: Any) -> Iterator[tuple[Any, Any]]:
    """The elements of both, side by side, however deep they are nested."""
    if not is_sequence(output) and not is_sequence(target):
        yield output, target
    else:
        for o, t in _paired(output, target):
            yield from _elements(o, t)


def _paired(output: Any, target: Any) -> Iterator[tuple[Any, Any]]:
    sizes = [len(x) if is_sequence(x) else None for x in (output, target)]
    if sizes[0] != sizes[1] or not sizes[0]:
        shapes = ["one number" if n is None else f"a sequence of {n}" for n in sizes]
        raise ValueError(f"expected as many outputs as targets, at least one; got {shapes[0]} and {shapes[1]}")
    return zip(output, target, strict=True)
