"""Nested lists, tuples, dicts and NumPy arrays of numbers: taken apart into one flat list, and put together again.

>>> s = Structure({"w": [1.0, 2.0], "b": (3.0,)}, "params")
>>> s.numbers
[1.0, 2.0, 3.0]
>>> s.filled([10.0, 20.0, 30.0])
{'w': [10.0, 20.0], 'b': (30.0,)}
"""

import sys
from collections.abc import Callable, Sequence
from copy import copy
from math import prod
from typing import Any

from .floats import real
from .value import Value

Path = tuple[Any, ...]  # a name, then the keys that lead to a place within


class Part:
    """A number, of shape None, or an array of them; it stands from start to stop in the flat list."""

    __slots__ = ("shape", "start", "stop")

    def __init__(self, start: int, stop: int, shape: tuple[int, ...] | None) -> None:
        self.start, self.stop, self.shape = start, stop, shape


class Structure:
    """How x is put together, and its numbers, plain or Values, in one flat list.

    Raises TypeError, naming the place within `name`, for whatever is not a real number.
    """

    def __init__(self, x: Any, name: str) -> None:
        self.numbers: list[Any] = []
        self._tree = self._take_apart(x, (name,))

    def _take_apart(self, x: Any, path: Path) -> Any:
        if isinstance(x, (list, tuple, dict)):
            return _mapped(x, lambda key, part: self._take_apart(part, (*path, key)))
        start, shape = len(self.numbers), None
        if _is_array(x):
            shape = x.shape
            self.numbers += [_number(v, path) for v in self._numbers_of_array(x, path)]
        else:
            self.numbers.append(_number(x, path))
        return Part(start, len(self.numbers), shape)

    def _numbers_of_array(self, x: Any, path: Path) -> list[Any]:
        import numpy as np

        if x.dtype.kind not in "fiubO":
            raise TypeError(
                f"{_place(path)} is an array of {x.dtype}, where real numbers are expected. "
                "Wrong: np.array(['1.5']), right: np.array(['1.5']).astype(float)"
            )
        if np.ma.is_masked(x):
            raise TypeError(
                f"{_place(path)} is an array with masked entries, which are no numbers; right: x.filled(0.0)"
            )
        return np.asarray(x).ravel().tolist()

    @property
    def is_number(self) -> bool:
        """Whether it is one number, in no container; an array without axes holds one."""
        return isinstance(self._tree, Part) and not self._tree.shape

    def __str__(self) -> str:
        return _expected(self._tree)

    def map(self, f: Callable[[Part], Any]) -> Any:
        """The same structure of what f makes of each part."""
        return _built(self._tree, f)

    def filled(self, numbers: Sequence[Any]) -> Any:
        """The same structure of other numbers, given flat."""
        return self.map(
            lambda part: (
                numbers[part.start] if part.shape is None else array(numbers[part.start : part.stop], part.shape)
            )
        )

    def without_numbers(self) -> "Structure":
        """How it is put together, and nothing else."""
        twin = copy(self)
        twin.numbers = []
        return twin

    def numbers_of(self, other: Any, name: str) -> list[Any]:
        """The flat numbers of something that has this structure. Raises ValueError if it has another."""
        numbers: list[Any] = []
        _collect(self._tree, other, (name,), numbers)
        return numbers


class Arguments(Structure):
    """How the arguments of a call at those places are put together, in a tuple.

    Raises TypeError as Structure does, and for arrays of whole numbers, which as a rule are indices."""

    def __init__(self, args: Sequence[Any], places: Sequence[int]) -> None:
        self.numbers = []
        self._tree = tuple([self._take_apart(args[place], (f"argument[{place}]",)) for place in places])

    def _numbers_of_array(self, x: Any, path: Path) -> list[Any]:
        if x.dtype.kind not in "fO":
            raise TypeError(
                f"{_place(path)} is an array of {x.dtype}, which has no derivative. If it holds indices, leave it out "
                "of argnums; wrong: grad(f, argnums=(0, 1))(xs, index); right: grad(f, argnums=0)(xs, index). "
                "If it holds real numbers: x.astype(float)"
            )
        return super()._numbers_of_array(x, path)


def array(numbers: Sequence[Any], shape: tuple[int, ...] | None) -> Any:
    """Flat numbers as an array of that shape, of floats or, where Values are among them, of objects.

    For the shape None, and for a single Value, just the number."""
    if shape is None or (shape == () and isinstance(numbers[0], Value)):
        return numbers[0]
    import numpy as np

    flat = np.empty(prod(shape), dtype=object if any([isinstance(v, Value) for v in numbers]) else float)
    flat[:] = numbers
    return flat.reshape(shape)


def in_words(x: Any) -> str:
    """How x is put together, for an error: a list of 2, an array of shape (3,); of a number, the number."""
    if isinstance(x, dict):
        return f"a dict of {', '.join(map(repr, x))}" if x else "an empty dict"
    if isinstance(x, (list, tuple)):
        return f"a {type(x).__name__} of {len(x)}"
    return f"an array of shape {x.shape}" if _is_array(x) and x.shape else f"{x!r:.80}"


def _built(tree: Any, f: Callable[[Part], Any]) -> Any:
    return f(tree) if isinstance(tree, Part) else _mapped(tree, lambda key, part: _built(part, f))


def _mapped(x: Any, f: Callable[[Any, Any], Any]) -> Any:
    """A list, tuple or dict of the same type, with f(key, part) for each part."""
    if isinstance(x, tuple):
        parts = [f(key, part) for key, part in enumerate(x)]
        return x._make(parts) if hasattr(x, "_make") else type(x)(parts)
    if type(x) is list:
        return [f(key, part) for key, part in enumerate(x)]
    twin = copy(x)  # a class of one's own keeps its attributes
    for key, part in x.items() if isinstance(x, dict) else enumerate(x):
        twin[key] = f(key, part)
    return twin


def _collect(tree: Any, x: Any, path: Path, numbers: list[Any]) -> None:
    if isinstance(tree, dict):
        fits = isinstance(x, dict) and set(x) == set(tree)
    elif isinstance(tree, (list, tuple)):
        fits = isinstance(x, (list, tuple)) and len(x) == len(tree)
    else:
        fits = not isinstance(x, (list, tuple, dict)) and getattr(x, "shape", ()) == (tree.shape or ())
    if not fits:
        raise ValueError(
            f"{_place(path)} has another structure: expected {_expected(tree)}, got {in_words(x)}; "
            "right: one number for each, put together in the same way"
        )
    if isinstance(tree, Part):
        numbers += Structure(x, _place(path)).numbers
    else:
        for key in tree if isinstance(tree, dict) else range(len(tree)):
            _collect(tree[key], x[key], (*path, key), numbers)


def _expected(tree: Any) -> str:
    if isinstance(tree, Part):
        return f"an array of shape {tree.shape}" if tree.shape else "a number"
    return in_words(tree)


def _is_array(x: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(x, numpy.ndarray)


def _number(x: Any, path: Path) -> Any:
    if isinstance(x, Value):
        return x
    try:
        return real(x)
    except TypeError as error:
        raise TypeError(f"{_place(path)}: {error}") from None


def _place(path: Path) -> str:
    return str(path[0]) + "".join([f"[{key!r}]" for key in path[1:]])
