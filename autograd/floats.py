"""Floats as the table means them: which objects count as real numbers, IEEE 754 where Python raises,
and the functions on floats that the math module lacks.

>>> sigmoid(-1000.0), softplus(1000.0), logsumexp(1000.0, 1000.0)
(0.0, 1000.0, 1000.6931471805599)
"""

import math
import operator
from collections.abc import Sequence
from functools import reduce
from math import inf, nan
from numbers import Complex, Number, Real
from typing import Any


def real(x: object) -> float:
    """The float that x stands for.

    An int, a Fraction, NumPy's real scalars and arrays without axes, and whatever else is a numbers.Real
    become the nearest float, as float(x) makes it. A Decimal does not: Python's own floats, too, refuse
    to be added to one, since 0.1 is another number in each; write float(x) where that is meant. An object
    that has __float__, but does not say that it is a number, needs float(x) as well.

    Raises TypeError for all else (str, None, complex, containers, times, arrays with axes) and for a
    __float__ that fails, OverflowError for an int or a Fraction beyond the range of floats.

    >>> real(2), real(True)
    (2.0, 1.0)
    """
    if type(x) is float:
        return x
    if isinstance(x, (float, int)) or _is_real(x):
        try:
            return float(x)  # type: ignore[arg-type]
        except OverflowError:
            raise OverflowError(
                f"the {type(x).__name__} is beyond the range of floats (1.8e308); scale it, or write math.inf"
            ) from None
        except Exception as error:
            name = type(x).__name__
            raise TypeError(
                f"expected a real number or a Value, got {name}, of which float(x) fails: {error!r:.200}; "
                f"right: a {name}.__float__ that returns a float"
            ) from error
    name, shape, kind = type(x).__name__, shape_of(x), kind_of(x)
    if hasattr(type(x), "apply_op"):
        fix = "wrong: Value(v), v.data = w; right: v.detach(), v.data = w.data"
    elif x is None:
        fix = "a function that forgets its `return` gives None"
    elif isinstance(x, (str, bytes)):
        fix = f"wrong: v + {x!r:.40}; right: v + float({x!r:.40})"
    elif shape:
        name += f" of shape {shape}"
        fix = "wrong: f(xs); right: [f(x) for x in xs], or autograd.sum(xs) for one number"
    elif kind == "M":
        fix = "a date is no number; wrong: v * date; right: v * ((date - start) / np.timedelta64(1, 's'))"
    elif kind == "m":
        fix = "a time has a unit; wrong: v * dt; right: v * (dt / np.timedelta64(1, 's'))"
    elif isinstance(x, Complex):
        fix = f"derivatives here are real; wrong: v + {x!r}; right: v + {float(x.real)!r}"
    elif kind is not None:
        fix = "wrong: v + x; right: v + x.item(), if that is a number or a Value"
    elif hasattr(type(x), "__iter__"):
        fix = "wrong: f(xs); right: [f(x) for x in xs], or autograd.sum(xs) for one number"
    elif isinstance(x, Number):
        fix = f"a {name} and a float do not mix in Python, nor here; wrong: v + x; right: v + float(x)"
    else:
        fix = "wrong: v + x; right: v + float(x), if x stands for a number"
    raise TypeError(f"expected a real number or a Value, got {name}: {fix}")


def _is_real(x: object) -> bool:
    kind = kind_of(x)  # NumPy counts a timedelta64 among the integers
    return isinstance(x, Real) if kind is None else kind in tuple("biuf") and not shape_of(x)


# Both ask the type first: an object may make up any attribute, or fail over it.
def kind_of(x: Any) -> str | None:
    """NumPy's letter for what an array or one of its scalars holds; None for anything else."""
    return getattr(x.dtype, "kind", None) if hasattr(type(x), "dtype") else None


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of an array; () for anything else."""
    shape = x.shape if hasattr(type(x), "shape") else ()
    return shape if isinstance(shape, tuple) else ()


def short(x: float) -> str:
    """A float as a person reads it: four significant digits, whole digits kept below a million.

    >>> short(0.70710678), short(2.0), short(12345.6), short(1e-7)
    ('0.7071', '2.0', '12346.0', '1e-07')
    """
    text = f"{x:.0f}" if 9999.5 <= abs(x) < 1e6 else f"{x:.4g}"
    return text if set(text) & set(".en") else text + ".0"


def six(x: float) -> str:
    """A float as a derivation by hand writes it: six significant digits, fewer where that is all there are.

    >>> six(0.08216704056), six(0.5932699921), six(0.05), six(-1.0), six(12345678.9)
    ('0.0821670', '0.593270', '0.05', '-1', '1.23457e+07')
    """
    text = f"{x:.6g}"
    exact = "e" in text or math.isclose(float(text), x, rel_tol=1e-13, abs_tol=0.0) or x != x
    return text if exact else f"{x:#.6g}".rstrip(".")


class IEEE(float):
    """A float on which / and ** follow IEEE 754 (1/0 is inf) where Python's own raise."""

    __slots__ = ()

    @staticmethod
    def apply_op(op: Any, operands: Sequence[Any]) -> "IEEE":
        return IEEE(op.evaluate(*map(float, operands)))


def maximum(x: float, y: float) -> float:
    return x if x >= y or x != x else y


def minimum(x: float, y: float) -> float:
    return x if x <= y or x != x else y


def sigmoid(x: float) -> float:
    if x >= 0:
        return 1 / (1 + math.exp(-x))
    e = math.exp(x)
    return e / (1 + e)


def softplus(x: float) -> float:
    return maximum(x, 0.0) + math.log1p(math.exp(-math.fabs(x)))


def pow_limit(x: float, y: float) -> float:
    if x < 0 and y % 1:
        return nan
    return math.copysign(inf, x) if y % 2 == 1 else inf


def div_limit(x: float, y: float) -> float:
    return x * math.copysign(inf, y)  # 0 * inf is nan, as 0 / 0 is


def dot(*wx: float) -> float:
    n = len(wx) // 2
    return reduce(operator.add, map(operator.mul, wx[:n], wx[n:]), -0.0) if n else 0.0


def affine(*wxb: float) -> float:
    n = len(wxb) // 2
    return reduce(operator.add, map(operator.mul, wxb[:n], wxb[n:-1]), -0.0) + wxb[-1]


def logsumexp(*values: float) -> float:
    """log(exp(values[0]) + ...), shifted by the largest: the exponentials are at most 1, and one of them is 1."""
    top = reduce(maximum, values, -inf)
    if not math.isfinite(top):
        return top
    rest = list(values)
    rest.remove(top)
    return top + math.log1p(math.fsum([math.exp(v - top) for v in rest]))
