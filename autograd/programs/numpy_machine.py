"""The machine of kernel.py in NumPy, which runs the same tables where there is no llvmlite: a row of an array for
each slot, a column for each sample."""

import operator
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from autograd.ops import OPS, Op

from .tables import OPCODES, ROWS, Tables, padded

_SAMPLES = 1024  # of a block
_SUMMING = ("sum", "products", "weighted")
_NAMES = {code: name for name, code in OPCODES.items()}


class NumpyMachine:
    """Runs tables with arrays of float64 or float32."""

    def __init__(self, real: Any) -> None:
        self.real = np.dtype(real)

    def runner(self, tables: Tables) -> Callable[[Any, list[Any], list[Any], int, float], Any]:
        """As Native.runner."""

        def run(numbers: Any, arrays: list[Any], outs: list[Any], samples: int, scale: float) -> Any:
            vector = np.concatenate((numbers[tables.sources], tables.numbers)).astype(self.real)
            gradient = np.zeros(tables.trained + 1)
            arrays = [x.reshape(samples, width) for x, width in zip(arrays, tables.widths, strict=True)]
            with np.errstate(all="ignore"):
                for first in range(0, samples, _SAMPLES):
                    rows = slice(first, min(first + _SAMPLES, samples))
                    slots = np.empty((tables.slots, rows.stop - rows.start), self.real)
                    for code in (tables.once, tables.code):
                        blocks = [x[rows] for x in arrays], [x[rows] for x in outs]
                        self._execute(code, tables, slots, vector, gradient, *blocks)
                gradient *= scale
                return gradient.item(-1), np.bincount(tables.sources, gradient[:-1], tables.parameters)

        return run

    def direct(self, *given: Any) -> None:
        """None: there is no such way here."""

    def together(self, *given: Any) -> None:
        """None, too: each part runs in a thread of Python's pool."""

    def _execute(
        self, code: Any, tables: Tables, slots: Any, vector: Any, gradient: Any, arrays: list[Any], outs: list[Any]
    ) -> None:
        at = 0

        def words(count: int) -> Any:
            nonlocal at
            at += count
            return code[at - count : at]

        while True:
            (opcode,) = words(1)
            name = _NAMES[opcode]
            if name == "end":
                return
            if name == "load":
                array, length = words(2)
                end = at + length
                while at < end:
                    column, count = words(2)
                    slots[words(count)] = arrays[array][:, column : column + count].T
            elif name == "store":
                array, count = words(2)
                columns, places = words(2 * count).reshape(count, 2).T
                outs[array][:, columns] = slots[places].T
            elif name == "fill":
                (count,) = words(1)
                places, numbers = words(2 * count).reshape(count, 2).T
                slots[places] = vector[numbers, None]
            elif name == "layer":
                rows, columns, base, by_row, by_column = words(5)
                xs, out = words(columns), words(rows)
                places = base + by_row * np.arange(rows)[:, None] + by_column * np.arange(columns)
                slots[out] = vector[places] @ slots[xs]
            elif name == "outer":
                rows, columns, base, by_row = words(4)
                gs, xs = words(rows), words(columns)
                places = base + by_row * np.arange(rows)[:, None] + np.arange(columns)
                gradient[places] += slots[gs] @ slots[xs].T
            elif name == "call":
                count, size, which = words(3)
                out, *xs = words(count * (size + 1)).reshape(count, -1).T
                slots[out] = vectorized(tables.calls[which])(*(slots[x] for x in xs))
            elif name in _SUMMING:
                width, (length,) = _SUMMING.index(name) + 1, words(1)
                end = at + length
                while at < end:
                    count, terms = words(2)
                    self._sum(words(count * (1 + width * terms)).reshape(count, -1), width, slots, vector)
            else:
                op = ROWS[name]
                (count,) = words(1)
                if op.variadic:
                    (size,) = words(1)
                    out, *xs = words(count * (size + 1)).reshape(count, -1).T
                else:
                    out, *xs = words(padded(count) * (op.count + 1)).reshape(op.count + 1, -1)[:, :count]
                slots[out] = vectorized(op)(*(slots[x] for x in xs))

    def _sum(self, rows: Any, width: int, slots: Any, vector: Any) -> None:
        terms = rows[:, 1:].reshape(len(rows), -1, width)
        found = slots[terms[:, :, 0]]
        if width > 1:
            found = found * slots[terms[:, :, 1]]
        if width > 2:
            found = found * vector[terms[:, :, 2], None]
        slots[rows[:, 0]] = found.sum(axis=1, initial=-0.0)


# Of zeros the row takes the first, and NumPy's function the second.
_CHOICES = {
    OPS["maximum"]: lambda x, y: np.where((x >= y) | (x != x), x, y),
    OPS["minimum"]: lambda x, y: np.where((x <= y) | (x != x), x, y),
}


@cache
def vectorized(op: Op) -> Any:
    """An operation on arrays: Python's operator or NumPy's function, where the row has one, else element by element."""
    if op in _CHOICES:
        return _CHOICES[op]
    if op.operator:
        return getattr(operator, op.operator)
    for name in (op.numpy, op.name) if ROWS.get(op.name) is op else ():  # one's own `square` need not be NumPy's
        ufunc = getattr(np, name, None) if name else None
        if isinstance(ufunc, np.ufunc) and ufunc.nin == op.count:
            return ufunc

    def each(*xs: Any) -> Any:
        found = [op.evaluate(*column) for column in zip(*[x.ravel().tolist() for x in xs], strict=True)]
        return np.array(found, dtype=xs[0].dtype).reshape(xs[0].shape)

    return each
