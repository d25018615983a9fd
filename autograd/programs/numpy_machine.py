"""The machine of kernel.py in NumPy, which runs the same tables where there is no llvmlite: a row of an array for
each slot, a column for each sample."""

import operator
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from autograd.ops import OPS, Op

from .tables import OPCODES, ROWS, Tables

_SAMPLES = 1024  # of a block
_SUMMING = ("sum", "products", "weighted")
_NAMES = {code: name for name, code in OPCODES.items()}


class NumpyMachine:
    """Runs tables with arrays of float64 or float32."""

    def __init__(self, real: Any) -> None:
        self.real = np.dtype(real)

    def runner(self, tables: Tables) -> Callable[[Any, list[Any], list[Any], int, float], Any]:
        """As Native.runner."""

        def run(vector: Any, arrays: list[Any], outs: list[Any], samples: int, scale: float) -> Any:
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
                return gradient.item(-1), gradient[:-1]

        return run

    def direct(self, *given: Any) -> None:
        """None: there is no such way here."""

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
                width, (count,) = _SUMMING.index(name) + 1, words(1)
                while count:  # rows of as many terms follow each other
                    length = 2 + width * code[at + 1]
                    alike = code[at + 1 : at + count * length : length] == code[at + 1]
                    rows = len(alike) if alike.all() else int(alike.argmin())
                    count -= rows
                    self._sum(words(rows * length).reshape(rows, length), width, slots, vector)
            else:
                op = ROWS[name]
                (count,) = words(1)
                size = words(1)[0] if op.variadic else op.count
                out, *xs = words(count * (size + 1)).reshape(count, -1).T
                slots[out] = vectorized(op)(*(slots[x] for x in xs))

    def _sum(self, rows: Any, width: int, slots: Any, vector: Any) -> None:
        terms = rows[:, 2:].reshape(len(rows), -1, width)
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
    return lambda *xs: np.asarray(np.frompyfunc(op.evaluate, len(xs), 1)(*xs), dtype=xs[0].dtype)
