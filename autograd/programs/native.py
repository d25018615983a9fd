"""The machine of kernel.py on this processor: built once, kept in the user's cache folder, and run.

A file of the cache is named for all that it depends on (the sources, LLVM, the processor) and begins with a digest
of what follows, so that whatever else lies there is not run but written anew.
"""

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha256
from importlib.util import source_hash
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numpy as np
from platformdirs import user_cache_path

from autograd.collector import gc_paused
from autograd.files import write_bytes
from autograd.node import shared

from .kernel import DATA, DESCR, DIMENSIONS, FIELDS, FLAGS, KIND, NDIM, WIDTH, Kernel
from .tables import Tables
from .workers import at_once

_SOURCES = ("kernel.py", "lanes.py", "elementary.py", "tables.py")
_PLACE = {name: k for k, name in enumerate(FIELDS)}
_PARAMETERS, _SCALED, _SAMPLES, _SCALE = (_PLACE[name] for name in ("parameters", "scaled", "samples", "scale"))
_CACHE_SIZE = 1024 * 1024  # bytes of slots that a block may take: most of a core's second-level cache
_build = Lock()


def address(array: Any) -> int:
    """Where an array's numbers are."""
    return array.ctypes.data  # type: ignore[no-any-return]


_HEAD, _ITEMS = object.__basicsize__, tuple.__basicsize__  # where an object's own fields begin, and a tuple's items


def _within(x: Any, offset: int, kind: Any = ctypes.c_int64) -> Any:
    """What an object has there."""
    return kind.from_address(id(x) + offset).value


def _is_laid_out_as_known() -> bool:
    """Whether the kernel finds in arrays and tuples what it looks for."""
    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    array = np.zeros((3, 7, 5))
    dtype, flags, pair = array.dtype, array.flags.num, (array, array.dtype)
    found = [_within(array, _HEAD + field) for field in (-8, DATA, DESCR)]
    found += [_within(array, _HEAD + field, ctypes.c_int) for field in (NDIM, FLAGS)]
    found += [_within(pair, offset) for offset in (_HEAD, _ITEMS, _ITEMS + 8)]
    if found != [id(np.ndarray), array.ctypes.data, id(dtype), 3, flags, 2, id(array), id(dtype)]:
        return False
    kind = f"{dtype.kind}{dtype.char}{dtype.byteorder}".encode()
    shape = (ctypes.c_int64 * 3).from_address(_within(array, _HEAD + DIMENSIONS))
    return (*shape,) == array.shape and ctypes.string_at(id(dtype) + _HEAD + KIND, 3) == kind


_LAID_OUT_AS_KNOWN = _is_laid_out_as_known()
if _LAID_OUT_AS_KNOWN:
    _word_at = ctypes.c_int64.from_address

    def address(array: Any) -> int:  # eight times as fast
        return _word_at(id(array) + _HEAD).value


class Scratch:
    """What one run at a time works on: the slots, and the fields that the call passes."""

    def __init__(self, tables: Tables, real: Any) -> None:
        lanes = WIDTH // real.itemsize
        vectors = max(1, min(64, _CACHE_SIZE // (tables.slots * WIDTH)))
        self.slots = _aligned(tables.slots * vectors * WIDTH).view(real)
        self.fields = (ctypes.c_int64 * len(FIELDS))()
        sizes = {
            "arrays": tables.widths,
            "strides": tables.widths,
            "outs": tables.out_widths,
            "out_strides": tables.out_widths,
        }
        self.nested = {name: (ctypes.c_int64 * max(1, len(widths)))() for name, widths in sizes.items()}
        self.callbacks = [_callback(op, real, lanes) for op in tables.calls]
        calls = [ctypes.cast(f, ctypes.c_void_p).value or 0 for f, _ in self.callbacks]
        self.nested["calls"] = (ctypes.c_int64 * len(calls))(*calls)
        for name, array in {"once": tables.once, "code": tables.code, "slots": self.slots}.items():
            self.fields[_PLACE[name]] = array.ctypes.data
        for name, words in self.nested.items():
            self.fields[_PLACE[name]] = ctypes.addressof(words)
        self.fields[_PLACE["vectors"]] = vectors
        self.fields[_PLACE["trained"]] = tables.trained
        self.gradient = _aligned(-(-(tables.trained + 1) // 8) * 64)  # whole vectors
        self.fields[_PLACE["gradient"]] = self.gradient.ctypes.data
        self.vector = _aligned(8 * (tables.trained + len(tables.numbers))).view(real)
        self.vector[tables.trained : tables.trained + len(tables.numbers)] = tables.numbers
        first = np.flatnonzero(np.diff(tables.sources, prepend=-2) != 1)  # of each run of parameters in their order
        runs = np.stack((tables.sources[first], np.diff(first, append=tables.trained)), axis=1).ravel().tolist()
        self.sources = (ctypes.c_int64 * len(runs))(*runs)
        self.fields[_PLACE["vector"]] = self.vector.ctypes.data
        self.fields[_PLACE["sources"]] = ctypes.addressof(self.sources)
        self.fields[_PLACE["count"]], self.fields[_PLACE["runs"]] = tables.parameters, len(first)
        width = -(-tables.widest // lanes) * lanes
        self.gathered = _aligned(2 * width * real.itemsize).view(real)
        self.fields[_PLACE["gathered"]], self.fields[_PLACE["width"]] = self.gathered.ctypes.data, width
        for name, widths in {"strides": tables.widths, "out_strides": tables.out_widths}.items():
            for k, width in enumerate(widths):
                self.nested[name][k] = width
        doubles = (ctypes.c_double * len(FIELDS)).from_buffer(self.fields)
        self.parts = self.fields, doubles, self.nested["arrays"], self.nested["outs"], tables.parameters

    def take(self, numbers: Any, arrays: list[Any], outs: list[Any], samples: int, scale: float) -> Any:
        """What to run on, and where the gradient then is."""
        fields, doubles, into, outward, count = self.parts
        gradient = np.empty(count)
        fields[_PARAMETERS] = address(numbers)
        fields[_SCALED] = address(gradient)
        fields[_SAMPLES] = samples
        doubles[_SCALE] = scale
        for k, x in enumerate(arrays):
            into[k] = address(x)
        for k, x in enumerate(outs):
            outward[k] = address(x)
        return gradient


def _aligned(size: int) -> Any:
    """That many bytes, which begin where a vector can."""
    memory = np.zeros(size + WIDTH, dtype=np.uint8)
    start = -memory.ctypes.data % WIDTH
    return memory[start : start + size]


class Native:
    """Runs tables with the kernel for float64 or float32."""

    def __init__(self, real: Any) -> None:
        self.real = np.dtype(real)
        self._function = function(self.real.itemsize == 4)

    def runner(self, tables: Tables) -> Callable[[Any, list[Any], list[Any], int, float], Any]:
        """run(numbers of the parameters, arrays, outs, samples, scale): fills outs; scale times the sum over samples,
        and its gradient."""
        real, kernel, count = self.real, self._function, tables.parameters
        free: list[Scratch] = []  # a list is safe among threads

        def run(numbers: Any, arrays: list[Any], outs: list[Any], samples: int, scale: float) -> Any:
            if not samples:
                return 0.0, np.zeros(count)
            try:
                scratch = free.pop()
            except IndexError:
                scratch = Scratch(tables, real)
            gradient = scratch.take(numbers, arrays, outs, samples, scale)
            total = kernel(scratch.fields)
            for _, errors in scratch.callbacks:
                if errors:
                    raise errors.pop()
            free.append(scratch)
            return total, gradient

        return run

    def together(self, tables: Tables) -> Callable[[list[Any], int], list[Any]] | None:
        """together(a list of what run takes, threads): a list of what it gives, all at once; None if that takes Python,
        which does one thing at a time."""
        if tables.calls:
            return None
        real, kernel = self.real, self._function.address
        free: list[Scratch] = []

        def together(parts: list[Any], threads: int) -> list[Any]:
            scratches: list[Scratch] = []
            for _ in parts:
                try:
                    scratches.append(free.pop())
                except IndexError:
                    scratches.append(Scratch(tables, real))
            gradients = [scratch.take(*part) for scratch, part in zip(scratches, parts, strict=True)]
            totals = at_once(kernel, [ctypes.addressof(scratch.fields) for scratch in scratches], threads)
            free.extend(reversed(scratches))  # in the cache of who takes the same part again
            return [*zip(totals, gradients, strict=True)]

        return together

    def direct(
        self, tables: Tables, shapes: Sequence[Any], numbers: Callable[[], tuple[Any, int]]
    ) -> Callable[..., tuple[float, Any]] | None:
        """direct(columns, "mean" or "sum", params or None, out): that and its gradient, and out is filled if it is
        given; NaN instead, if columns and params are not arrays that the kernel can read as they are.

        numbers  gives those of the parameters, and when they were read
        """
        if not _LAID_OUT_AS_KNOWN or tables.calls or not shapes or any([type(n) is not int for s in shapes for n in s]):
            return None
        real, kernel, count, empty = self.real, self._function.direct, tables.parameters, np.empty
        given_at, read = _PLACE["given"], (np.zeros(0), -1)
        free: list[Any] = []
        pop, append = free.pop, free.append
        words = [n for shape in shapes for n in (1 + len(shape), *shape)]
        expected = (ctypes.c_int64 * len(words))(*words)
        known = {
            "ndarray": id(np.ndarray),
            "dtype": _within(real, _HEAD + KIND),
            "float64": _within(np.dtype("float64"), _HEAD + KIND),
            "mean": id("mean"),  # one object with the default, as Python interns names
            "sum": id("sum"),
            "head": _HEAD,
            "items": _ITEMS,
            "shapes": ctypes.addressof(expected),
            "columns": len(shapes),
        }

        def made() -> Any:
            scratch = Scratch(tables, real)
            fields: Any = scratch.fields
            for name, number in known.items():
                fields[_PLACE[name]] = number
            fields.used = scratch, expected  # live as long
            return fields

        def direct(columns: tuple[Any, ...], reduce: str, params: Any, out: Any = None) -> tuple[float, Any]:
            nonlocal read
            if params is None:
                params, since = read
                if since != shared.now:
                    params, since = read = numbers()
            gradient = empty(count)
            given = columns, params, gradient, reduce, gradient if out is None else out
            try:
                fields = pop()
            except IndexError:
                fields = made()
            fields[given_at] = id(given)
            total = kernel(fields)
            append(fields)
            return total, gradient

        return direct


def _callback(op: Any, real: Any, lanes: int) -> tuple[Any, list[BaseException]]:
    """A function for the kernel to call, which runs an operation that is a function of Python's; and its errors."""
    errors: list[BaseException] = []
    size = np.dtype(real).itemsize

    def run(rows: int, count: int, operands: int, slots: int, stride: int) -> None:
        try:
            places = np.ctypeslib.as_array((ctypes.c_int32 * (count * (operands + 1))).from_address(rows))
            for row in places.reshape(count, operands + 1).tolist():
                out, *xs = (
                    np.frombuffer((ctypes.c_char * (stride * size)).from_address(slots + k * stride * size), real)
                    for k in row
                )
                out[:] = [op.evaluate(*x) for x in zip(*(x.tolist() for x in xs), strict=True)]
        except BaseException as error:
            errors.append(error)

    arguments = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64]
    return ctypes.CFUNCTYPE(None, *arguments)(run), errors


@cache
def function(single: bool) -> Any:
    """The kernel's function, for float32 or float64: from the cache, or built and put there."""
    with _build:
        start = perf_counter()
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        # opt=2 takes longer to build what is as fast.
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=1
        )
        path = cached(single, machine)
        code = _read(path)
        built = code is None
        if code is None:
            code = build(single, machine)
            _keep(path, code)
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
        engine.finalize_object()
        # Without the types of arguments ctypes passes an array of its own as a pointer, in less time.
        place = engine.get_function_address("run")
        run: Any = ctypes.CFUNCTYPE(ctypes.c_double)(place)
        run.address = place
        run.direct = ctypes.CFUNCTYPE(ctypes.c_double)(engine.get_function_address("direct"))
        run.engine = engine  # lives as long
        run.built, run.seconds = built, perf_counter() - start
        return run


def build(single: bool, machine: Any) -> bytes:
    with gc_paused():
        module = llvm.parse_assembly(str(Kernel(single).module))
    module.verify()
    return machine.emit_object(module)  # type: ignore[no-any-return]


def cached(single: bool, machine: Any) -> Path:
    """Where the kernel is kept."""
    here = Path(__file__).parent
    depends = [source_hash((here / name).read_bytes()) for name in _SOURCES]
    described = (llvmlite.__version__, llvm.llvm_version_info, machine.triple, llvm.get_host_cpu_name())
    depends += [repr(described).encode(), llvm.get_host_cpu_features().flatten().encode()]
    name = sha256(b"\n".join(depends)).hexdigest()[:32]
    return Path(os.environ.get("CHAINRULE_CACHE") or user_cache_path("chainrule")) / f"{name}-f{32 if single else 64}.o"


def _read(path: Path) -> bytes | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    code = content[32:]
    return code if content[:32] == _digest(path, code) else None


def _keep(path: Path, code: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, _digest(path, code) + code)
    except OSError:
        pass  # it is built again next time


def _digest(path: Path, code: bytes) -> bytes:
    return sha256(path.name.encode() + code).digest()
