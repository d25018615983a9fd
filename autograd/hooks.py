"""Hooks: functions that see the cotangent of a node on its way back, and may send another in its place.

>>> from autograd import Value
>>> x = Value(3.0)
>>> y = x * x
>>> hook = y.register_hook(lambda g: min(g, 1.0))  # clipped, before it goes on to x
>>> (100 * y).backward()
>>> y.grad, x.grad
(1.0, 6.0)
>>> hook.remove()
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from .floats import real

if TYPE_CHECKING:
    from .value import Value

hooked: "WeakKeyDictionary[Value, list[Hook]]" = WeakKeyDictionary()  # the nodes that have any, with theirs


class Hook:
    """A function registered on a node: `remove()` takes it back, as the end of a `with` block does."""

    def __init__(self, node: "Value", function: Callable[[Any], Any]) -> None:
        self.node, self.function = ref(node), function  # weak: a graph with hooks is freed at once, too
        hooked.setdefault(node, []).append(self)

    def __enter__(self) -> "Hook":
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Take the function back; a second time does nothing."""
        node = self.node()
        if node is not None and self in hooked.get(node, ()):
            hooked[node].remove(self)
            if not hooked[node]:
                del hooked[node]


def through_hooks(node: "Value", g: Any) -> Any:
    """The cotangent, a float or a Value, that node's hooks make of g, each given what the one before it gave.

    Raises TypeError for a hook that gives neither None nor a number.
    """
    on_values = hasattr(type(g), "apply_op")
    for hook in list(hooked[node]):
        changed = hook.function(g)
        if changed is None or (on_values and hasattr(type(changed), "apply_op")):
            g = g if changed is None else changed
            continue
        if hasattr(type(changed), "apply_op"):
            raise TypeError(
                f"the hook of {node!r} gave {changed!r}; wrong: lambda g: g * w; right: lambda g: g * w.data"
            )
        try:
            number = real(changed)
        except TypeError as error:
            raise TypeError(
                f"the hook of {node!r} gave {changed!r}; right: return the gradient to go on with, or None: {error}"
            ) from None
        g = type(g)(number, kind="constant") if on_values else number
    return g
