"""Functions composed of rows, for Values and numbers alike.

>>> softmax([0.0, 0.0])
[0.5, 0.5]
"""

from collections.abc import Iterable
from functools import reduce
from typing import Any

from . import ops


def mean(values: Iterable[Any]) -> Any:
    """The arithmetic mean. ValueError if there are no values.

    >>> mean([1.0, 2.0, 6.0])
    3.0
    """
    values = list(values)
    if not values:
        raise ValueError("mean of no values; expected at least one, as in mean([v])")
    return ops.sum(values) / len(values)


def copysign(x: Any, y: Any) -> Any:
    """|x| with the sign of y, a zero counting as positive: what SymPy writes its sign with.

    >>> copysign(2.0, -0.5), copysign(-2.0, 3.0)
    (-2.0, 2.0)
    """
    size = ops.abs(x)
    return ops.where(ops.greater(0.0, y), -size, size)


def log_softmax(values: Iterable[Any]) -> list[Any]:
    """log(softmax(values)), without overflow: each value less their logsumexp.

    >>> [round(logit, 6) for logit in log_softmax([1000.0, 1000.0])]
    [-0.693147, -0.693147]
    """
    values = list(values)
    top = reduce(ops.maximum, values) if values else 0.0  # its derivatives cancel
    shifted = [value - top for value in values]
    total = ops.logsumexp(shifted)
    return [value - total for value in shifted]


def softmax(values: Iterable[Any]) -> list[Any]:
    """exp(values), scaled to sum to 1.

    >>> softmax([0.0, 1000.0])
    [0.0, 1.0]
    """
    return [ops.exp(logit) for logit in log_softmax(values)]
