"""What is refused, with the code that does what was meant: what Python asks of numbers and of Values in vain, and
what partials give that is no derivative.

>>> from autograd import Value
>>> [10, 20, 30][Value(1.0)]  # doctest: +ELLIPSIS
Traceback (most recent call last):
TypeError: a Value is a real number in a graph; wrong: xs[v], range(v), int(v); right: xs[int(v.data)], ...
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from .floats import real
from .recording import in_words

if TYPE_CHECKING:
    from .value import Value


class StaleGraphError(RuntimeError):
    """A leaf was given new data after the graph was built, so that its results are old."""


# The methods, the code that calls them, and what to write instead.
_REFUSALS = (
    ("__index__", "xs[v], range(v), int(v)", "xs[int(v.data)], range(int(v.data))"),
    ("__round__ __trunc__", "round(v), math.trunc(v)", "autograd.floor(v), or round(v.data)"),
    ("__floordiv__ __rfloordiv__", "x // y", "autograd.floor(x / y)"),
    ("__mod__ __rmod__ __divmod__ __rdivmod__", "x % y", "x - y * autograd.floor(x / y)"),
    ("__matmul__ __rmatmul__", "v @ w", "autograd.dot(vs, ws)"),
    ("__and__ __rand__ __or__ __ror__ __xor__ __rxor__", "v & w", "autograd.minimum(v, w), or (v > 0) & (w > 0)"),
    ("__invert__ __lshift__ __rlshift__ __rshift__ __rrshift__", "~v, v << n", "-v, v * 2**n"),
    ("as_integer_ratio", "statistics.mean(vs), statistics.stdev(vs)", "autograd.mean(vs), np.std(vs, ddof=1)"),
)


def refuse_in(cls: type[Any]) -> None:
    """Give a class the methods that refuse."""
    for names, wrong, right in _REFUSALS:
        for name in names.split():
            setattr(cls, name, _refusal(wrong, right))


def _refusal(wrong: str, right: str) -> Callable[..., Any]:
    def method(self: Any, *others: Any) -> Any:
        raise TypeError(f"a Value is a real number in a graph; wrong: {wrong}; right: {right}")

    return method


def bad_partials(node: "Value", error: Exception) -> Exception:
    """What to raise where the partials of a node fail."""
    return type(error)(
        f"the partials of {in_words(node)} fail: {error}. Each gives a number, one for each operand, and is written "
        "with ordinary operators and rows; wrong: lambda out, x: math.cos(x); right: lambda out, x: autograd.cos(x)"
    )


def refuse_partials(node: "Value", error: Exception) -> NoReturn:
    """Raise that, with the lines where it went wrong: compiled code would lose them."""
    raise bad_partials(node, error) from error


def one_for_each(node: "Value", found: Any) -> list[Any]:
    """The cotangents that a pullback gave. Raises as refuse_partials does unless that is one for each operand."""
    wanted = len(node.parents)
    try:
        cotangents = list(found)
        if len(cotangents) != wanted:
            raise ValueError(f"they are {len(cotangents)}, for {wanted} operands")
    except (TypeError, ValueError, IndexError) as error:
        refuse_partials(node, error)
    return cotangents


def plain(number: Any) -> float:
    """A number that a pass on floats found. TypeError for a Value, which came in through a partial."""
    if hasattr(type(number), "apply_op"):
        raise TypeError(
            "a partial gave a Value in a pass on floats: it is a function of its operands alone. "
            "Wrong: custom(forward, lambda out, x: w * x); right: make w an operand, lambda out, w, x: ..."
        )
    return real(number)


def refuse_stale(node: "Value") -> None:
    """Raise StaleGraphError, naming the leaf, if one was changed after the node was made from it."""
    for leaf in node.parents:
        if leaf._stamp > node._stamp:
            name = leaf.label or repr(leaf)
            raise StaleGraphError(
                f"the data of leaf {name!r} was set after {node!r} was computed from it. "
                "Wrong: y = f(x); x.data = 3.0; y.backward(). Right: x.data = 3.0; y = f(x); y.backward()"
            )
