"""Programs: a function of one sample, traced once, that runs over batches at machine speed.

>>> from autograd import Value, jit
>>> w, b = Value(2.0), Value(1.0)
>>> @jit
... def squared_error(x, t):
...     return (w * x + b - t) ** 2
>>> squared_error(1.0, 3.5)
0.25
>>> value, gradient = squared_error.value_and_grad([1.0, 2.0], [3.0, 6.0])
>>> value, gradient.tolist()
(0.5, [-2.0, -1.0])
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor
from functools import partial, update_wrapper
from threading import RLock
from typing import Any

import numpy as np

from autograd import ops
from autograd.composed import mean
from autograd.ops import Op
from autograd.passes import Linearization
from autograd.recording import is_seen
from autograd.structure import Structure
from autograd.value import CONSTANT, Value

from .compilation import Compilation, Shape, width_of
from .shards import Shards


class Program:
    """What jit makes of a function f of one sample.

    program(x, y)                   f of one sample: floats
    program.map(X, Y)               f of every row: an array
    program.mean(X, Y), .sum(X, Y)  over the rows, one Value, connected to the parameters: for backward()
    program.value_and_grad(X, Y)    the mean, and the array of its derivatives by the parameters
    program.parameters              the leaf Values that f closes over, in the order in which it uses them
    program.stats(), print(program) what was made of f

    X, Y, ... have a row for each sample: arrays, or whatever NumPy makes one of.
    """

    def __init__(
        self, f: Callable[..., Any], dtype: Any = "float64", threads: int = 1, executor: Executor | None = None
    ) -> None:
        if not callable(f):
            raise TypeError(f"wrong: jit({f!r:.60}); right: jit(f), where f is a function of one sample")
        if dtype not in ("float64", "float32", np.float64, np.float32):
            raise ValueError(f"expected dtype 'float64' or 'float32', got {dtype!r}")
        if not isinstance(threads, int) or threads < 1:
            raise ValueError(f"threads is a whole number from 1 up, got {threads!r}")
        if executor is not None and not callable(getattr(executor, "submit", None)):
            raise TypeError(
                f"expected an executor such as concurrent.futures.ProcessPoolExecutor(4), got {executor!r:.60}"
            )
        self._f: Callable[..., Any] | None = f
        self.dtype, self._shards = np.dtype(dtype), Shards(threads, executor)
        self._compilations: dict[tuple[Shape, ...], Compilation] = {}
        self._current: Compilation | None = None
        self._directs: tuple[Any, ...] = ()
        self._mappings: tuple[Any, ...] = ()
        self._tracing = RLock()
        self.__name__ = type(f).__name__  # of an object that can be called, which has no name of its own
        update_wrapper(self, f, updated=())

    def trace(self, *example: Any) -> "Program":
        """Trace f for arguments put together as those of the example are. Returns the program.

        Raises TraceError if f asks for the number of a traced Value, TypeError for what is not a number.

        >>> from autograd import Value, jit
        >>> w = [Value(1.0), Value(2.0)]
        >>> jit(lambda x: w[0] * x[0] + w[1] * x[1]).trace([0.0, 0.0]).parameters
        (Value(1.0), Value(2.0))
        >>> jit(lambda x: w[0] if x > 0 else w[1]).trace(0.0)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        autograd.programs.trace.TraceError: a traced Value was compared at line ...
        """
        self._rows([[x] for x in example])
        return self

    def traces_alike(self) -> bool:
        """Whether f, traced once more, does the same: not if it draws random numbers, say.

        >>> from random import random
        >>> from autograd import jit
        >>> jit(lambda x: 2 * x).trace(0.0).traces_alike()
        True
        >>> jit(lambda x: x if random() < 0.5 else 0 * x).trace(0.0).traces_alike()
        False
        """
        return self._traced().is_traced_alike(self._f)

    @property
    def parameters(self) -> tuple[Value, ...]:
        """The leaf Values that f closes over and that are no constants, in the order of first use.

        Raises ValueError before the first trace."""
        return self._traced().parameters

    @property
    def leaves(self) -> tuple[Value, ...]:
        """The same and, in their places, the constants among the leaves: they may become parameters.

        >>> from autograd import Value, jit
        >>> w, b = Value(2.0), Value(1.0, kind="constant")
        >>> jit(lambda x: w * x + b).trace(0.0).leaves
        (Value(2.0), Value(1.0, kind='constant'))
        """
        return tuple(self._traced().leaves)

    @property
    def operations(self) -> frozenset[Op]:
        """The rows of the table that f applied, and rows that are not in it. Raises ValueError if it was unpickled.

        >>> from autograd import jit
        >>> sorted([op.name for op in jit(lambda x: (2 * x).tanh()).trace(0.0).operations])
        ['mul', 'tanh']
        """
        return self._traced().operations

    def __call__(self, *sample: Any) -> Any:
        """f of one sample: what f returns, in floats. Within a function that is traced, the program is f.

        >>> from autograd import jit
        >>> jit(lambda x, y: {"sum": x[0] + y, "both": [x[1], y]})((1.0, 2.0), 3.0)
        {'sum': 4.0, 'both': [2.0, 3.0]}
        """
        if (f := self._inlined) is not None:
            return f(*sample)
        compilation, rows, values = self._rows([[x] for x in sample])
        if values:
            raise TypeError(
                "program(x) gives floats, and was given a Value; right: program.sum([x]), which is a Value, or x.data"
            )
        (out,) = self._run(compilation, "rows", rows)[2]
        return compilation.returned.filled(out[0].tolist())

    def map(self, *columns: Any, params: Any = None) -> Any:
        """f of every row: an array of shape (rows,), or (rows, ...) where f returns a sequence; of the program's dtype.

        Of results put together in another way (tuples, dicts, sequences of different lengths), that with an array of
        shape (rows,) for each number. NaN and infinity stay in their row. params as for value_and_grad.

        >>> from autograd import jit
        >>> jit(lambda x, y: [x * y, x + y]).map([1.0, 2.0], [3.0, 4.0]).tolist()
        [[3.0, 4.0], [8.0, 6.0]]
        """
        if (f := self._inlined) is not None:
            return np.array([f(*row) for row in zip(*columns, strict=True)], dtype=object)
        for mapping in self._mappings:  # as in value_and_grad
            out = mapping(columns, params)
            if out is not None:
                return out
        compilation, rows, values = self._rows(columns)
        if values:
            raise TypeError(
                "program.map gives arrays of floats, and was given Values; right: program.sum, or their .data"
            )
        (out,) = self._run(compilation, "rows", rows, params)[2]
        self._mappings = self._latest(self._mappings, compilation.mapping)
        return compilation.arranged(out)

    def mean(self, *columns: Any) -> Value:
        """The mean of f over the rows: one Value, whose parents are the parameters and what Values the rows hold.

        Its derivatives are computed at once, with it; higher ones as if f had been called for each row, which must
        be as they were until then.

        >>> from autograd import Value, jit
        >>> w = Value(2.0)
        >>> loss = jit(lambda x, t: (w * x - t) ** 2).mean([1.0, 2.0], [1.0, 2.0])
        >>> (loss + 0.5 * w**2).backward()
        >>> loss.data, w.grad
        (2.5, 7.0)
        """
        return self._reduced("mean", columns)

    def sum(self, *columns: Any) -> Value:
        """The same of the sum. Values among the rows are parents as well.

        >>> from autograd import Value, jit
        >>> x = Value(3.0)
        >>> jit(lambda x: x**2).sum([x, 1.0]).backward()
        >>> x.grad
        6.0
        """
        return self._reduced("sum", columns)

    def value(self, *columns: Any, reduce: str = "mean", params: Any = None) -> float:
        """The first of what value_and_grad gives, without computing the second.

        >>> from autograd import Value, jit
        >>> w = Value(2.0)
        >>> jit(lambda x: w * x).value([1.0, 2.0], reduce="sum", params=[10.0])
        30.0
        """
        return self._number("total", columns, reduce, params)[0]

    def value_and_grad(self, *columns: Any, reduce: str = "mean", params: Any = None) -> tuple[float, Any]:
        """The mean (or sum) of f over the rows, and its derivatives by the parameters, in their order, as an array.

        params  numbers to take in place of the parameters', a flat vector: as scipy.optimize.minimize calls it

        Raises ValueError if f returns more than one number, if there are no rows, or for params of another length.

        >>> from autograd import Value, jit
        >>> slope, height = Value(2.0), Value(0.0)
        >>> squared_error = jit(lambda x, t: (slope * x + height - t) ** 2)
        >>> value, gradient = squared_error.value_and_grad([1.0, 2.0], [1.0, 2.0])
        >>> value, gradient.tolist()
        (2.5, [5.0, 3.0])
        >>> value, gradient = squared_error.value_and_grad([1.0, 2.0], [1.0, 2.0], params=[1.0, 0.0])
        >>> value, gradient.tolist()
        (0.0, [0.0, 0.0])
        """
        # A small program takes less time than the checks of one whose inputs can be anything: first what does the same
        # as the rest if the inputs are arrays that can be read as they are, and else gives NaN.
        for direct in self._directs:
            total, gradient = direct(columns, reduce, params)
            if total == total:
                return total, gradient
        total, gradient = self._number("gradient", columns, reduce, params)
        self._directs = self._latest(self._directs, self._current and self._current.direct)
        return total, gradient

    def stats(self) -> dict[str, Any]:
        """What was made of f: nodes traced, groups, instructions, slots, and the seconds that each pass took.

        >>> from autograd import Value, jit
        >>> w = Value(2.0)
        >>> stats = jit(lambda x: w * x).trace(0.0).stats()
        >>> stats["nodes"], stats["parameters"], sorted(stats["seconds"])
        (3, 1, ['adjoint', 'lower', 'schedule', 'trace'])
        """
        return self._traced().stats()

    def __str__(self) -> str:
        return str(self._traced()) if self._current else f"program of {self.__name__}, not traced yet"

    def __getstate__(self) -> dict[str, Any]:
        for compilation in self._compilations.values():
            compilation.prepare()
        state = {k: v for k, v in vars(self).items() if k not in ("_f", "_tracing", "_shards", "__wrapped__")}
        return state | {"_f": None, "_directs": (), "_mappings": (), "_shards": Shards(self._shards.count, None)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _tracing=RLock())

    def _latest(self, found: tuple[Any, ...], new: Any) -> tuple[Any, ...]:
        """Those of the latest shapes."""
        return (new, *found[:3]) if new and new not in found and self._shards.alone else found

    @property
    def _inlined(self) -> Callable[..., Any] | None:
        """f, while another function that calls this program is traced."""
        return self._f if is_seen() else None

    def _traced(self) -> Compilation:
        if self._current is None:
            raise ValueError("the program is not traced yet; right: program.trace(x, y) with an example, or call it")
        return self._current

    def _compilation(self, shapes: tuple[Shape, ...]) -> Compilation:
        found = self._compilations.get(shapes)
        if found is None:
            with self._tracing:
                if self._f is None:
                    raise ValueError(
                        f"the program came here without its function, compiled for arguments of shapes "
                        f"{[*self._compilations]}, not {shapes}; right: trace it for these before it is pickled"
                    )
                found = self._compilations.get(shapes) or Compilation(self._f, shapes, self.dtype)
                self._compilations[shapes] = found
        self._current = found
        return found

    def _rows(self, columns: Sequence[Any]) -> tuple[Compilation, list[Any], dict[tuple[int, int, int], Value]]:
        """The program for these columns; these as arrays of (rows, numbers); the Values among them, by their places."""
        shapes: list[Shape] = []
        arrays: list[Any] = []
        values: dict[tuple[int, int, int], Value] = {}
        for k, column in enumerate(columns):
            array, shape = column, None
            flags = array.flags if type(array) is np.ndarray else None
            if flags is None or array.dtype != self.dtype or not (flags.c_contiguous and flags.aligned):
                array, shape = self._array(column, k, values)
            if array.ndim == 0 or len(array) != len(arrays[0] if arrays else array):
                rows = "no rows" if array.ndim == 0 else f"{len(array)} rows, where the first has {len(arrays[0])}"
                raise ValueError(
                    f"argument {k} of {self.__name__} has {rows}; right: one row for each sample, as in "
                    "program.map([x1, x2], [y1, y2]); of one sample: program(x, y)"
                )
            shapes.append(array.shape[1:] if shape is None else shape)
            arrays.append(array)
        compilation = self._compilation(tuple(shapes))
        return compilation, arrays, values

    def _array(self, column: Any, k: int, values: dict[tuple[int, int, int], Value]) -> tuple[Any, Shape | None]:
        """A column as an array, and its rows' shape if the array has them flat."""
        if isinstance(column, (dict, set, frozenset)):
            raise TypeError(
                f"argument {k} is a {type(column).__name__}, which has no rows; right: a list of them, in order"
            )
        if not hasattr(column, "__iter__"):
            Structure(column, f"argument {k}")  # raises for what is no number
            return np.zeros(()), None
        if not hasattr(column, "__len__"):
            column = list(column)  # a generator gives its rows once
        try:
            array = np.asarray(column)
        except (TypeError, ValueError):  # sequences of different lengths
            array = None
        if np.ma.is_masked(column):
            array = None
        if array is not None and array.dtype.kind in "fiub":
            return np.require(array, self.dtype, ["C", "A"]), None
        rows = [Structure(row, f"argument {k}, row {i}") for i, row in enumerate(column)]
        shape = _shape(next(iter(column), 0.0))
        for i, row in enumerate(column):
            if _shape(row) != shape:
                raise ValueError(
                    f"row {i} of argument {k} has the shape {_shape(row)}, row 0 {shape}; "
                    "right: the same for every sample"
                )
        flat = np.zeros((len(rows), width_of(shape)), self.dtype)
        for i, row in enumerate(rows):
            for j, x in enumerate(row.numbers):
                if isinstance(x, Value):
                    values[k, i, j] = x
                flat[i, j] = x.data if isinstance(x, Value) else x
        return flat, shape

    def _run(
        self,
        compilation: Compilation,
        what: str,
        rows: list[Any],
        params: Any = None,
        wanted: Any = (),
        scale: float = 1.0,
    ) -> tuple[float, Any, list[Any]]:
        """scale times the sum over rows, its gradient, and what is there for each row."""
        if what != "rows":
            compilation.require_number()
            if rows and not len(rows[0]):
                raise ValueError(f"no rows to take {self.__name__} of; right: at least one sample")
        evaluator = compilation.evaluator(what, wanted, len(rows[0]) if rows else 1)
        numbers = compilation.numbers_for(evaluator, params)
        total, gradient, outs = self._shards.run(evaluator, numbers, rows, scale)
        return total, compilation.gradient(gradient, numbers) if what == "gradient" else None, outs

    def _number(self, what: str, columns: Sequence[Any], reduce: str, params: Any) -> tuple[float, Any]:
        if reduce not in ("mean", "sum"):
            raise ValueError(f"expected reduce='mean' or 'sum', got {reduce!r}")
        compilation, rows, values = self._rows(columns)
        if values:
            raise TypeError("this gives floats, and was given Values; right: program.mean, or their .data")
        return self._run(compilation, what, rows, params, scale=_scale(reduce, rows))[:2]

    def _reduced(self, reduce: str, columns: Sequence[Any]) -> Value:
        columns = [list(x) if isinstance(x, Iterator) else x for x in columns]
        if self._inlined is not None:
            return self._graph(reduce, columns)
        compilation, rows, values = self._rows(columns)
        columns_wanted = {(k, j) for k, _, j in values}
        wanted = (
            tuple([(k, j) in columns_wanted for k, width in enumerate(compilation.widths) for j in range(width)])
            if values
            else ()
        )
        scale = _scale(reduce, rows)
        total, gradient, outs = self._run(compilation, "gradient", rows, wanted=wanted, scale=scale)
        derivatives = gradient.tolist() + [float(outs[k][i, j]) * scale for k, i, j in values]
        parents = [*compilation.parameters, *values.values()]
        again = None
        if self._f is not None:
            again = partial(self._partials, reduce, columns, {k for k, _, _ in values}, compilation.parameters)
        return fused(f"{reduce}_of_{self.__name__}", total, parents, derivatives, again)

    def _graph(self, reduce: str, columns: Sequence[Any]) -> Value:
        """The mean or sum over the rows, node by node."""
        assert self._f is not None
        rows = zip(*[x if isinstance(x, (list, tuple)) else np.asarray(x).tolist() for x in columns], strict=True)
        found = [self._f(*row) for row in rows] if columns else [self._f()]
        return mean(found) if reduce == "mean" else ops.sum(found)  # type: ignore[no-any-return]

    def _partials(
        self, reduce: str, columns: Sequence[Any], given: Collection[int], parameters: Sequence[Value]
    ) -> Sequence[Value]:
        """The derivatives of that by the parameters, then by each place of the given columns that has a Value."""
        columns, places = [*columns], list[Value]()
        for k in sorted(given):
            column = Structure(columns[k], f"argument {k}")
            held = [x * 1.0 if isinstance(x, Value) else x for x in column.numbers]
            places += [x for x in held if isinstance(x, Value)]
            columns[k] = column.filled(held)
        outputs, inputs = [self._graph(reduce, columns)], [*parameters, *places]
        return Linearization(outputs, inputs, create_graph=True, partial=True).pull_back([1.0])


def _scale(reduce: str, rows: Sequence[Any]) -> float:
    return 1.0 / len(rows[0]) if reduce == "mean" and rows and len(rows[0]) else 1.0


class Fused(Op):
    """The row of one node for what was computed elsewhere: its number, and its derivatives by other nodes.

    again gives these derivatives as Values, for higher ones; it does not travel."""

    def __init__(
        self, name: str, number: float, derivatives: Sequence[float], again: Callable[[], Sequence[Value]] | None = None
    ) -> None:
        def gradient(out: Any, *operands: Any) -> Sequence[Any]:
            if isinstance(out, float):
                return derivatives
            if again is None or not isinstance(out, Value):
                raise TypeError(f"{name} has first derivatives, numbers found with it; right: f itself, without jit")
            return again()

        super().__init__(
            name if name.isidentifier() else "fused",
            lambda *operands: number,
            gather=lambda operands: tuple(operands),
            gradient=gradient,
            pullback=lambda g, out, *operands: [g * d for d in derivatives],
        )
        self._reduced = name, number, derivatives

    def __reduce__(self) -> tuple[Any, ...]:
        return Fused, self._reduced


def fused(
    name: str, number: float, parents: Sequence[Value], derivatives: Sequence[float], again: Callable[[], Any] | None
) -> Value:
    """That node."""
    if not parents:
        return Value(number, kind=CONSTANT)
    return Value.apply_op(Fused(name, number, derivatives, again), parents)


def jit(
    f: Callable[..., Any] | None = None, *, dtype: Any = "float64", threads: int = 1, executor: Executor | None = None
) -> Any:
    """Compile a function of one sample to run over batches. Also a decorator, plain or with options.

    f         takes numbers and nested sequences of numbers, and returns one number or a structure of them. Leaf
              Values that it closes over are the program's parameters
    dtype     "float64", or "float32" for speed
    threads   among how many the rows are split; for the same number the results are the same
    executor  where these run: any concurrent.futures.Executor, of processes or of a cluster

    f is run once, on Values that stand for the numbers of every sample: at the first call, and again for arguments
    put together in another way. So it must not choose its way by a number: see TraceError. Returns a Program.

    >>> from autograd import Value, jit
    >>> w = Value(3.0)
    >>> jit(lambda x: w * x).map([1.0, 2.0]).tolist()
    [3.0, 6.0]
    """
    if f is None:
        return lambda f: Program(f, dtype, threads, executor)
    return Program(f, dtype, threads, executor)


def _shape(x: Any) -> Shape:
    """How a sample's argument is put together: a shape where that is regular, else the shapes of its parts."""
    if isinstance(x, np.ndarray):
        return tuple(x.shape)
    if isinstance(x, dict):
        raise TypeError(
            "expected numbers and sequences of them for a sample, got a dict; "
            'wrong: program({"a": 1.0, "b": 2.0}); right: program(1.0, 2.0), or program([1.0, 2.0])'
        )
    if not isinstance(x, (list, tuple)):
        return ()
    parts = [_shape(part) for part in x]
    regular = all([part == parts[0] for part in parts]) and all([type(n) is int for n in parts[0]] if parts else [])
    return (len(parts), *(parts[0] if parts else ())) if regular else tuple(parts)
