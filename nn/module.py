"""Module: anything with parameters. Assign Values, modules, and lists or dicts of them; the rest follows.

>>> from autograd import Value
>>> class Line(Module):
...     def __init__(self):
...         self.slope, self.intercept = Value(2.0), Value(1.0)
...
...     def __call__(self, x):
...         return self.slope * x + self.intercept
>>> Line().named_parameters()
{'slope': Value(2.0, label='slope'), 'intercept': Value(1.0, label='intercept')}
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from os import PathLike
from pathlib import Path
from typing import Any

from autograd import Value
from autograd.files import write_text


class Module:
    """A part of a model, which holds parameters and other modules.

    A leaf Value assigned to it, alone or in a list, tuple or dict, becomes a parameter and is labelled
    with its path, such as `layers.0.neurons.3.w.1`, unless it has a label of its own. A constant stays
    one: a frozen parameter, kept in the state and never trained. Subclasses need not call __init__.
    """

    def __setattr__(self, name: str, attribute: Any) -> None:
        super().__setattr__(name, attribute)
        for path, start, leaf in _leaves(attribute, name):
            _adopt(leaf, path, path[start:])

    def named_parameters(self) -> dict[str, Value]:
        """The parameters by path, in order of assignment; one that is reachable twice has its first path."""
        return {path: leaf for path, leaf in self._state() if leaf.kind == "parameter"}

    def parameters(self) -> list[Value]:
        """The parameters, in order of assignment."""
        return list(self.named_parameters().values())

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to 0."""
        for p in self.parameters():
            p.grad = 0.0

    def state_dict(self) -> dict[str, float]:
        """What the model has learnt: the data of every parameter, frozen ones included, by path.

        >>> from nn import Neuron
        >>> list(Neuron(2).state_dict())
        ['w.0', 'w.1', 'b']
        """
        return {path: leaf.data for path, leaf in self._state()}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Set every parameter to the number that state has for its path: all of them, or none.

        Raises ValueError, naming the paths, if one is missing or unknown, or what it has is not a number.

        >>> from nn import Neuron
        >>> Neuron(1).load_state_dict({"w.0": 1.0})
        Traceback (most recent call last):
        ValueError: the state does not fit Neuron: missing b; right: the state_dict() of a model of the same shape
        """
        if not isinstance(state, Mapping):
            raise ValueError(  # noqa: TRY004  bad content, as the rest
                f"expected a dict of path to number, such as model.state_dict(), got {type(state).__name__}"
            )
        mine = dict(self._state())
        data = {path: _number(state[path]) for path in mine if path in state}
        faults = {
            "missing": [path for path in mine if path not in state],
            "unexpected": [path for path in state if path not in mine],
            "not a number:": [f"{path} = {state[path]!r:.40}" for path, x in data.items() if x is None],
        }
        if any(faults.values()):
            raise ValueError(
                f"the state does not fit {type(self).__name__}: "
                f"{'; '.join(f'{fault} {_enumerate(paths)}' for fault, paths in faults.items() if paths)}; "
                "right: the state_dict() of a model of the same shape"
            )
        for path, leaf in mine.items():
            leaf.data = data[path]

    def save(self, path: str | PathLike[str]) -> None:
        """Write the state to a JSON file that keeps every bit: one object, path to number.

        What JSON has no number for is written as "nan", "inf" or "-inf". Raises OSError if the file
        cannot be written; it is then as it was before.

        >>> import tempfile
        >>> from nn import Neuron
        >>> one, other = Neuron(2), Neuron(2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     one.save(f"{folder}/neuron.json")
        ...     other.load(f"{folder}/neuron.json")
        >>> one.state_dict() == other.state_dict()
        True
        """
        state = {name: x if isfinite(x) else str(x) for name, x in self.state_dict().items()}
        write_text(path, json.dumps(state, indent=1, allow_nan=False) + "\n")

    def load(self, path: str | PathLike[str]) -> None:
        """Read the state from a file that save wrote.

        Raises OSError if the file cannot be read, ValueError, naming the file and what is wrong, if it is
        cut short, not of this format, or of a model of another shape. The model is then as it was before.
        """
        try:
            state = json.loads(Path(path).read_text(encoding="utf-8"))
            if isinstance(state, dict):
                state = {name: float(x) if x in ("nan", "inf", "-inf") else x for name, x in state.items()}
            self.load_state_dict(state)
        except (ValueError, RecursionError) as error:
            what = "not JSON, or cut short: " if isinstance(error, json.JSONDecodeError) else ""
            raise ValueError(f"cannot load {path}: {what}{error}") from error

    def _state(self) -> Iterator[tuple[str, Value]]:
        """All leaves by path, those put into a list or dict since its assignment taken up on the way."""
        for path, _, leaf in _leaves(self, ""):
            _adopt(leaf, path)
            yield path, leaf


@contextmanager
def unchanged(*held: Any) -> Iterator[None]:
    """Afterwards the modules within have the attributes that they had, and the lists and dicts in these their items.

    >>> from nn import Neuron
    >>> neuron = Neuron(2)
    >>> with unchanged([neuron]):
    ...     neuron.b, neuron.seen = None, True
    >>> neuron.b, hasattr(neuron, "seen")
    (Value(0.0, label='b'), False)
    """
    before: dict[int, tuple[Any, Any]] = {}
    waiting = [*held]
    while waiting:
        x = waiting.pop()
        inside = vars(x) if isinstance(x, Module) else x
        if isinstance(inside, (dict, list)) and id(inside) not in before:
            before[id(inside)] = inside, inside.copy()
        elif not isinstance(inside, tuple):
            continue
        waiting += [y for y in (inside.values() if isinstance(inside, dict) else inside) if type(y) is not Value]
    try:
        yield
    finally:
        for now, then in before.values():
            if isinstance(now, dict):
                for name in now.keys() - then.keys():
                    del now[name]
                now.update(then)
            else:
                now[:] = then


def _leaves(held: Any, path: str) -> Iterator[tuple[str, int, Value]]:
    """Each leaf Value within, once: its path, where in that its path from the module that holds it begins, itself."""
    seen, waiting = set[int](), [(held, path, 0)]
    while waiting:
        held, path, start = waiting.pop()
        inside: Any = ()
        if isinstance(held, Value):
            if held.kind != "result" and id(held) not in seen:
                seen.add(id(held))
                yield path, start, held
        elif isinstance(held, Module):
            inside, start = vars(held), len(path) + 1 if path else 0
        elif isinstance(held, dict):
            inside = held
        elif isinstance(held, (list, tuple)):
            inside = dict(enumerate(held))
        if inside and id(held) not in seen:
            seen.add(id(held))
            outer = path and f"{path}."
            found = [(x, f"{outer}{name}", start) for name, x in inside.items()]
            waiting += reversed(found)


def _adopt(leaf: Value, path: str, own: str = "") -> None:
    """Make a variable a parameter, labelled with its path unless the label is somebody's own."""
    label, kind = leaf.label, leaf.kind
    if kind == "variable":
        leaf.kind = kind = "parameter"
    if kind == "parameter" and label != path and (not label or path.endswith("." + label) or _ends(label, own)):
        leaf.label = path


def _ends(label: str, own: str) -> bool:
    """Whether a label ends with a leaf's path from its module, list indices aside, which change as modules move."""
    names = _names(own)
    return bool(names) and _names(label)[-len(names) :] == names


def _names(path: str) -> list[str]:
    return [name for name in path.split(".") if not name.isdecimal()]


def _number(x: Any) -> float | None:
    try:
        return None if isinstance(x, bool) else Value(x).data
    except (TypeError, OverflowError):
        return None


def _enumerate(paths: list[str]) -> str:
    return ", ".join(map(str, paths[:5])) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
