"""What is made of a function for arguments put together in one way: the graph, grouped, scheduled, ready to run."""

from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.util import find_spec
from math import inf, nan, prod
from time import perf_counter
from typing import Any
from warnings import warn

import numpy as np

from autograd.collector import gc_paused
from autograd.node import shared
from autograd.ops import Op
from autograd.structure import Structure
from autograd.value import CONSTANT

from .groups import ONE, Adjoint, Apply, Dense, Groups, Outer, Sums
from .lowering import Graph, Lowered
from .tables import Tables
from .trace import Trace

LANES = 8  # one sample takes as long as so many: they are a vector of the kernel
MUCH = 20_000  # operands: as long as the two calls of the kernel take that hoisting costs
Shape = tuple[Any, ...]  # whole numbers, or where the parts differ the shape of each
Direct = Callable[..., tuple[float, Any]]  # see native.Native.direct


def machine(dtype: Any) -> Any:
    """What runs tables: the kernel or, where there is no llvmlite that works, NumPy."""
    if find_spec("llvmlite") is not None:
        try:
            from .native import Native
        except (ImportError, OSError) as error:  # of a shared library
            fix = "right: python -m pip install --force-reinstall 'chainrule[jit]'"
            warn(f"programs run in NumPy, for llvmlite is there and cannot be imported: {error}; {fix}", stacklevel=2)
        else:
            return Native(dtype)
    from .numpy_machine import NumpyMachine

    return NumpyMachine(dtype)


class Evaluator:
    """Tables with what it takes to run them, here or, for it pickles, somewhere else."""

    def __init__(self, tables: Tables, dtype: Any) -> None:
        self.tables, self.dtype = tables, dtype

    def __getstate__(self) -> dict[str, Any]:
        return {"tables": self.tables, "dtype": self.dtype}

    @cached_property
    def runner(self) -> Any:
        """run(numbers, arrays, outs, samples, scale): the sum and its gradient; and it fills outs."""
        return machine(self.dtype).runner(self.tables)

    @cached_property
    def together(self) -> Any:
        """together([what run takes ...], threads): what it gives of each; None if the machine can't."""
        return machine(self.dtype).together(self.tables)

    def outs(self, samples: int) -> list[Any]:
        """Room for what is there of each sample."""
        return [np.empty((samples, width), self.dtype) for width in self.tables.out_widths]

    def run(self, numbers: Any, arrays: list[Any], samples: int, scale: float = 1.0) -> tuple[float, Any, list[Any]]:
        """scale times the sum over samples, and the gradient of that; and what is there of each sample.

        numbers has those of the parameters, hoisted nodes included"""
        outs = self.outs(samples)
        total, gradient = self.runner(numbers, arrays, outs, samples, scale)
        return total, gradient, outs


class Compilation:
    """The program for one structure of arguments.

    What depends on parameters alone is computed once a call, by programs of their own of which the parameters are the
    one row of inputs: forward, for the nodes hoisted, and back, for the parameters' part of the gradient.

    few  up to so many samples that would take longer than to compute it for each, and nothing is hoisted
    """

    def __init__(self, f: Callable[..., Any], shapes: tuple[Shape, ...], dtype: Any) -> None:
        start = perf_counter()
        with gc_paused():
            self.trace: Trace | None = Trace(f, shapes)
            clock = perf_counter()
            self.seconds = {"trace": clock - start}
            self.returned, since = Structure(self.trace.returned, "the result"), self.trace.since
            graph = Graph(self.returned.numbers, self.trace.made, self.trace.inputs, lambda x: x._stamp >= since)
            self.seconds["lower"] = perf_counter() - clock
        self._graph: Graph | None = graph
        self.dtype, self.name = dtype, getattr(f, "__name__", type(f).__name__)
        self.shapes, self.widths = shapes, [width_of(shape) for shape in shapes]
        self.nodes, self.leaves = graph.nodes, graph.leaves
        few = MUCH // graph.work if graph.work else inf
        self.few = few if few >= LANES else 0
        self.trained = [k for k, x in enumerate(self.leaves) if x.kind != CONSTANT]
        self.parameters = tuple([self.leaves[k] for k in self.trained])
        self._evaluators: dict[Any, Evaluator] = {}
        self._read: tuple[Any, int] = (np.zeros(0), -1)  # the numbers of the leaves, and when they were read
        self._completed: tuple[Any, Any] = (None, None)  # such numbers, and with them those of what is hoisted

    def __getstate__(self) -> dict[str, Any]:
        state = {name: x for name, x in vars(self).items() if name not in ("_direct", "_mapping")}
        return state | {
            "trace": None,
            "_graph": None,
            "returned": self.returned.without_numbers(),
            "_read": (np.zeros(0), -1),
            "_completed": (None, None),
        }

    def prepare(self) -> None:
        """Make all that is needed without the graph, which does not travel."""
        if self.trace is not None:
            for samples in (1, inf):
                for what in ("rows", "total", "gradient") if self.returned.is_number else ("rows",):
                    self.evaluator(what, samples=samples)
            if self.few < inf:
                self.evaluator("hoisted")
                self.evaluator("hoisted gradient")

    @property
    def direct(self) -> Direct | None:
        """What runs the gradient's evaluator, once it is there, with nothing in between; None if there is to be."""
        return self._direct if ("gradient", False) in self._evaluators else None

    @property
    def mapping(self) -> Callable[[tuple[Any, ...], Any], Any] | None:
        """mapping(columns, params): the same for the results of every row, arranged; None where direct gives NaN."""
        return self._mapping if ("rows", False) in self._evaluators else None

    @cached_property
    def _direct(self) -> Direct | None:
        return self._directly("gradient")

    @cached_property
    def _mapping(self) -> Callable[[tuple[Any, ...], Any], Any] | None:
        direct, (width,) = self._directly("rows"), self._evaluators["rows", False].tables.out_widths
        if direct is None:
            return None

        def mapping(columns: tuple[Any, ...], params: Any) -> Any:
            if not columns or type(columns[0]) is not np.ndarray or not columns[0].shape:
                return None
            out = np.empty((len(columns[0]), width), self.dtype)
            total, _ = direct(columns, "sum", params, out)
            return self.arranged(out) if total == total else None

        return mapping

    def _directly(self, what: str) -> Direct | None:
        if len(self.trained) != len(self.leaves):
            return None
        direct: Direct | None = machine(self.dtype).direct(
            self._evaluators[what, False].tables, self.shapes, self.numbers
        )
        if direct is None or self.few == inf:
            return direct

        def of_few(columns: tuple[Any, ...], reduce: str, params: Any, out: Any = None) -> tuple[float, Any]:
            few = all([type(x) is np.ndarray and x.shape and len(x) <= self.few for x in columns])
            return direct(columns, reduce, params, out) if few else (nan, None)

        return of_few

    def is_traced_alike(self, f: Any) -> bool:
        """Whether f, traced once more while the parameters have other numbers, does the same."""
        if self.trace is None:
            return False
        before = [x._float for x in self.parameters]
        try:
            for x in self.parameters:
                x._float = -1.25 * x._float - 0.375
            other = Trace(f, self.shapes)
        except Exception:
            return False
        finally:
            for x, number in zip(self.parameters, before, strict=True):
                x._float = number
        return self.trace.is_like(other, {*self.leaves})

    @property
    def operations(self) -> frozenset[Op]:
        if self.trace is None:
            raise ValueError("the program came here without its trace; right: ask where it was traced")
        return frozenset([x.op for x in self.trace.made if x.op is not None])

    def require_number(self) -> None:
        if not self.returned.is_number:
            raise ValueError(
                f"{self.name} returns {self.returned}, and a mean or gradient is of one number for each sample; "
                "right: return autograd.sum(...) of what it returns, or program.map"
            )

    def arranged(self, out: Any) -> Any:
        """The results of all rows, from the array that has those of a row in a row."""
        shape = self._shape
        if shape is not None:
            return out if len(shape) == 1 else out.reshape(len(out), *shape)
        columns = np.ascontiguousarray(out.T)
        return self.returned.map(
            lambda part: (
                columns[part.start] if part.shape is None else out[:, part.start : part.stop].reshape(-1, *part.shape)
            )
        )

    @cached_property
    def _shape(self) -> tuple[int, ...] | None:
        return _regular(self.returned)

    # The parameters

    def numbers(self, given: Any = None) -> tuple[Any, int]:
        """The numbers of the leaves, and when they were read, or -1."""
        now = shared.now
        if given is None and self._read[1] == now:
            return self._read
        found = np.array([x._float for x in self.leaves])
        if given is not None:
            given = np.asarray(given)
            if given.dtype.kind not in "fiu" and given.size:
                raise TypeError(
                    f"expected params to be numbers, in a flat vector as program.parameters, got {given!r:.60}"
                )
            if given.shape != (len(self.trained),):
                raise ValueError(
                    f"expected params to be a flat vector of {len(self.trained)} numbers, one for each of "
                    f"program.parameters, got {given.shape}"
                )
            found[self.trained] = given
            return found, -1
        self._read = found, now
        return self._read

    def numbers_for(self, evaluator: Evaluator, given: Any = None) -> Any:
        """The numbers of the leaves and, if the evaluator asks for them, those that they make of the hoisted nodes."""
        found, _ = self.numbers(given)
        if evaluator.tables.parameters <= len(found):
            return found
        of, completed = self._completed
        if of is not found:
            _, _, (hoisted,) = self._once("hoisted", found)
            completed = np.concatenate((found, hoisted[0]))
            self._completed = found, completed
        return completed

    def gradient(self, found: Any, numbers: Any) -> Any:
        """That of the parameters, from that of the leaves and hoisted nodes."""
        count = len(self.leaves)
        if len(found) > count:
            _, _, (through_hoisted, _) = self._once("hoisted gradient", numbers[:count], found[count:])
            found = found[:count] + through_hoisted[0]
        return found if len(self.trained) == count else found[self.trained]

    def _once(self, what: str, *rows: Any) -> Any:
        evaluator = self.evaluator(what)
        arrays = [np.ascontiguousarray(row.reshape(1, -1), dtype=self.dtype) for row in rows]
        return evaluator.run(np.zeros(0), arrays, 1)

    # The programs

    def evaluator(self, what: str, wanted: Sequence[bool] = (), samples: float = inf) -> Evaluator:
        """What computes, for so many samples: "rows", the results of each; "total", the sum over them; "gradient", both
        that and its gradient and, of the inputs that are wanted, the derivatives for each; or what is hoisted."""
        hoisting = samples > self.few  # never, if few is infinite
        key = (what, hoisting, *wanted)
        found = self._evaluators.get(key)
        if found is None:
            if self._graph is None:
                raise ValueError(
                    "the program came here without its graph, and Values as inputs need that; right: arrays"
                )
            with gc_paused():
                found = self._evaluators[key] = self._made(self._graph, what, wanted, hoisting)
        return found

    def _made(self, graph: Graph, what: str, wanted: Sequence[bool], hoisting: bool) -> Evaluator:
        assert self.trace is not None
        outputs, steps, inputs, widths = self.returned.numbers, graph.steps, self.trace.inputs, self.widths
        parameters, wanted = self.leaves, wanted or [False] * len(inputs)
        if what.startswith("hoisted"):
            outputs, steps, inputs, widths, parameters = graph.hoisted, graph.alone, self.leaves, [len(self.leaves)], []
            wanted = [what == "hoisted gradient"] * len(inputs)
        elif hoisting:
            steps, parameters = graph.varying, self.leaves + graph.hoisted
        clock = [perf_counter()]
        low = Lowered(graph, steps, outputs, inputs, wanted, parameters)
        groups, wires, root = low.groups, low.inputs, low.outputs[0] if low.outputs else ONE
        if what == "hoisted gradient":  # of their sum, each times what comes back to it
            seeds = [groups.input(False).wires()[0] for _ in outputs]
            root = groups.sum([(1.0, seed, wire) for seed, wire in zip(seeds, low.outputs, strict=True)])
            wires, wanted, widths = wires + seeds, [*wanted, *[False] * len(seeds)], [*widths, len(seeds)]
        clock.append(perf_counter())
        places = [(array, column) for array, width in enumerate(widths) for column in range(width)]
        gradients, stores = None, [] if what == "total" else [low.outputs]
        if what.endswith("gradient"):
            adjoint = Adjoint(groups, root)
            gradients, stores = adjoint.gradients, []
            if any(wanted):
                found = [adjoint.cotangent(wire) if want else None for wire, want in zip(wires, wanted, strict=True)]
                full = [groups.constant(0.0) if g is None else g for g in found]
                stores = [[w for w, (a, _) in zip(full, places, strict=True) if a == k] for k in range(len(widths))]
        clock.append(perf_counter())
        loads = [(*place, wire) for place, wire in zip(places, wires, strict=True)]
        total = None if what in ("rows", "hoisted") else root
        tables = Tables(groups, loads, stores, total, gradients, widths, len(parameters))
        clock.append(perf_counter())
        if what == self._usual and hoisting == (self.few < inf) and not any(wanted):
            lower, self.seconds["adjoint"], self.seconds["schedule"] = np.diff(clock).tolist()
            self.seconds["lower"] += lower
            self.described = _lines(groups)
        return Evaluator(tables, self.dtype)

    @property
    def _usual(self) -> str:
        """What is told of in stats and print."""
        return "gradient" if self.returned.is_number else "rows"

    def stats(self) -> dict[str, Any]:
        tables = self.evaluator(self._usual).tables
        return {
            "nodes": self.nodes,
            "parameters": len(self.parameters),
            "groups": len(self.described),
            "instructions": tables.instructions,
            "slots": tables.slots,
            "seconds": dict(self.seconds),
        }

    def __str__(self) -> str:
        found = self.stats()
        counts = [_count(found[what + "s"], what) for what in ("node", "parameter", "group")]
        return "\n".join([f"program of {self.name}: {', '.join(counts)}", *self.described])


def width_of(shape: Shape) -> int:
    """How many numbers a sample's argument has."""
    return prod(shape) if all([type(n) is int for n in shape]) else sum(map(width_of, shape))


def _regular(returned: Structure) -> tuple[int, ...] | None:
    """The shape of what a function returned, if it is a number, an array, or nested lists that an array could be."""
    counted = returned.filled(range(len(returned.numbers) or 10**6))
    if isinstance(counted, int):
        return ()
    if isinstance(counted, (list, np.ndarray)):
        try:
            return np.array(counted, dtype=np.int64).shape
        except (TypeError, ValueError):
            return None
    return None


def _lines(groups: Groups) -> list[str]:
    """A line for each group, for a person to read: its level, what it does, and how much of that."""
    found = [(group.level, *_in_words(group)) for group in groups.in_order()]
    width = max([len(what) for _, what, _ in found], default=0)
    return [f"  {level:4}  {what:<{width}}  {text}" for level, what, text in found]


def _in_words(group: Any) -> tuple[str, str]:
    rows = len(group.out)
    if isinstance(group, Dense):
        return "layer", f"{_count(rows, 'sum')} of {_count(len(group.xs), 'weighted wire')}"
    if isinstance(group, Outer):
        return "gradient", f"of a layer's {len(group.gs)} x {len(group.dense.xs)} weights"
    if isinstance(group, Sums):
        products = _count(sum(map(len, group.rows)), "product")
        return "sums", f"1 sum of {products}" if rows == 1 else f"{rows} sums, {products} in all"
    if isinstance(group, Apply):
        return group.op.name, _count(rows, "wire")
    return "transposed", f"{_count(rows, 'sum')} over a layer's {_count(len(group.gs), 'cotangent')}"


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
