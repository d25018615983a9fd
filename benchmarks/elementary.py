"""The vector code of each row of the table of operations: its largest error against mpmath, and its time.

    python -m pip install '.[test,jit]' && python benchmarks/elementary.py

An error is in units of the last place of the true result, those of a subnormal result being 2**-1074. A time is that
of a vector of 8 doubles in a loop over 512 of them, in the cache. Then the same for float32, whose errors are measured
against the row in float64. --write keeps the tables in elementary.md; --only tanh,exp measures those rows alone;
--points says how many random operands each range is tried at.
"""

import argparse
import ctypes
import math
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from mpmath import mp, mpf

from autograd import OPS
from autograd.programs import elementary
from autograd.programs.lanes import DOUBLE, SINGLE, Lanes

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from strategies import EXACT, LARGEST, nearest

Array = Any
Sampler = Callable[[Any, int], Array]  # from a random generator and a count
NAMES = [name for name in OPS if hasattr(elementary, name)]


# Compiling


def arity(name: str) -> int:
    return 3 if OPS[name].variadic else len(OPS[name].operands)


@contextmanager
def counted(builder: Any, stop: Any, step: int) -> Iterator[Any]:
    """A loop in LLVM IR over 0, step, ... below stop, which is not 0."""
    index, before = ir.IntType(64), builder.block
    loop, end = builder.append_basic_block(), builder.append_basic_block()
    builder.branch(loop)
    builder.position_at_end(loop)
    i = builder.phi(index)
    yield i
    following = builder.add(i, index(step))
    i.add_incoming(index(0), before)
    i.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_unsigned("<", following, stop), loop, end)
    builder.position_at_end(end)


class Compiled:
    """The functions of some rows, each in a loop over arrays of floats, compiled for this processor.

    seconds    what that took, by stage
    """

    def __init__(self, names: list[str], lanes: int = 8, real: Any = np.float64) -> None:
        self.real = np.dtype(real)
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        clock = [time.process_time()]
        self.lanes = lanes
        text = str(self._module(names))
        clock.append(time.process_time())
        module = llvm.parse_assembly(text)
        module.verify()
        target = llvm.Target.from_default_triple()
        features = llvm.get_host_cpu_features().flatten()
        self.machine = target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=2)
        tuning = llvm.create_pipeline_tuning_options(speed_level=2)
        builder = llvm.create_pass_builder(self.machine, tuning)
        builder.getModulePassManager().run(module, builder)
        clock.append(time.process_time())
        self.engine = llvm.create_mcjit_compiler(module, self.machine)
        self.engine.finalize_object()
        clock.append(time.process_time())
        spent = [after - before for before, after in pairwise(clock)]
        self.seconds = dict(zip(("emit", "optimize", "compile"), spent, strict=True))
        self.module = module

    def _module(self, names: list[str]) -> ir.Module:
        module, index = ir.Module(), ir.IntType(64)
        element = SINGLE if self.real == np.float32 else DOUBLE
        array, vector = element.as_pointer(), ir.VectorType(element, self.lanes)
        for name in names:
            arrays = [array] * (1 + arity(name))
            pass_over = ir.Function(module, ir.FunctionType(ir.VoidType(), [index, *arrays]), f"over.{name}")
            pass_over.attributes.add("noinline")
            pass_over.attributes.alignstack = 64  # or a vector that is spilt may lie across two lines of the cache
            builder = ir.IRBuilder(pass_over.append_basic_block())
            with counted(builder, pass_over.args[0], self.lanes) as i:
                places = [builder.bitcast(builder.gep(a, [i]), vector.as_pointer()) for a in pass_over.args[1:]]
                operands = [Lanes(builder, builder.load(p, align=self.real.itemsize)) for p in places[1:]]
                result = getattr(elementary, name)(*operands)
                builder.store(result.value, places[0], align=self.real.itemsize)
            builder.ret_void()
            passes = ir.Function(module, ir.FunctionType(ir.VoidType(), [index, index, *arrays]), f"run.{name}")
            builder = ir.IRBuilder(passes.append_basic_block())
            with counted(builder, passes.args[0], 1):
                builder.call(pass_over, passes.args[1:])
            builder.ret_void()
        return module

    @property
    def assembly(self) -> str:
        text: str = self.machine.emit_assembly(self.module)
        return text

    def __call__(self, name: str, *operands: Array) -> Array:
        """The results for arrays of operands of any length."""
        count = len(operands[0])
        padded = [np.append(np.asarray(x, self.real), np.ones(-count % self.lanes, self.real)) for x in operands]
        out = np.empty_like(padded[0])
        self._run(name, 1, [out, *padded])
        return out[:count]

    def nanoseconds(self, name: str, *operands: Array, rounds: int = 15, passes: int = 200) -> float:
        """For one vector, the least of some rounds."""
        arrays = [np.ascontiguousarray(x, self.real) for x in (operands[0] * 0, *operands)]
        took = []
        for _ in range(rounds):
            start = time.perf_counter()
            self._run(name, passes, arrays)
            took.append(time.perf_counter() - start)
        return min(took) / passes / (len(arrays[0]) / self.lanes) * 1e9

    def _run(self, name: str, passes: int, arrays: list[Array]) -> None:
        kinds = [ctypes.c_int64] * 2 + [ctypes.c_void_p] * len(arrays)
        function = ctypes.CFUNCTYPE(None, *kinds)(self.engine.get_function_address(f"run.{name}"))
        function(passes, len(arrays[0]), *[a.ctypes.data for a in arrays])


# Operands, in ranges


def spread(low: int = -1074, high: int = 1024) -> Sampler:
    """Numbers of either sign from 2**low to 2**high, every power of two as often as the others."""

    def sample(rng: Any, count: int) -> Array:
        sizes = np.ldexp(rng.uniform(1, 2, count), rng.integers(low, high, count))
        return np.where(rng.random(count) < 0.5, -sizes, sizes)

    return sample


def positive(low: int = -1074, high: int = 1024) -> Sampler:
    return lambda rng, count: np.abs(spread(low, high)(rng, count))


def uniform(low: float, high: float) -> Sampler:
    return lambda rng, count: rng.uniform(low, high, count)


def near(center: float, low: float = -inf, high: float = inf) -> Sampler:
    """Numbers at every distance from the center, within bounds."""
    return lambda rng, count: np.clip(center + spread(-53, -1)(rng, count), low, high)


def powers(rng: Any, count: int, base: Sampler) -> tuple[Array, Array]:
    """Bases and exponents whose powers are of every magnitude."""
    x = base(rng, count)
    with np.errstate(divide="ignore"):
        return x, rng.uniform(-745, 710, count) / np.log(x)


def angles(rng: Any, count: int) -> tuple[Array, Array]:
    y = spread(-1074, 1018)(rng, count)
    return y, y * np.exp(rng.uniform(-3, 3, count))


def quarters(rng: Any, count: int) -> Array:
    """Close to whole multiples of pi/2, up to 2**30 of them."""
    return np.rint(spread(0, 30)(rng, count)) * (math.pi / 2)


MODERATE: dict[str, Sampler] = {"±3": uniform(-3, 3)}
ALL: dict[str, Sampler] = {"all": spread()}
ORDINARY = MODERATE | ALL


def among(low: float, high: float, name: str = "") -> dict[str, Sampler]:
    return {name or f"{low:g} to {high:g}": uniform(low, high)}


SINES = MODERATE | among(-1e5, 1e5, "±1e5") | {"multiples of pi/2": quarters, "around 2**30": spread(28, 32)} | ALL
LOGARITHMS = among(0.1, 10) | {"near 1": near(1), "all": positive()}
ARCS = among(-1, 1, "±1") | {"near 1": near(1, -1, 1), "near -1": near(-1, -1, 1), "near 0.5": near(0.5)}
ARCS |= {"small": spread(-1074, -1)}
HYPERBOLIC = MODERATE | among(-710.475, 710.475, "±710") | among(709, 710.475, "end") | ALL
DECAYING = MODERATE | among(-746, 40) | among(-746, -708, "subnormal") | ALL
# The first range is that of ordinary operands.
RANGES: dict[str, dict[str, Sampler]] = {
    "exp": MODERATE | among(-745.2, 709.79) | {"ends": near(-708.4)} | ALL,
    "expm1": MODERATE | among(-40, 709.79) | among(709, 709.79, "end") | ALL,
    "exp2": MODERATE | among(-1075, 1024) | among(-1075, -1021, "subnormal") | ALL,
    "log": LOGARITHMS,
    "log2": LOGARITHMS,
    "log10": LOGARITHMS,
    "log1p": among(-0.9, 3) | {"near -1": near(-1, -1), "small": spread(-1074, -1), "all": positive()},
    "sqrt": among(0.1, 10) | {"all": positive()},
    "sin": SINES,
    "cos": SINES,
    "tan": SINES,
    "asin": ARCS,
    "acos": ARCS,
    "sinh": HYPERBOLIC,
    "cosh": HYPERBOLIC,
    "tanh": MODERATE | among(-23, 23, "±23") | ALL,
    "acosh": among(1, 10) | {"near 1": near(1, 1), "all": positive(0)},
    "atanh": ARCS,
    "erf": MODERATE | {"near 1": near(1)} | ALL,
    "erfc": MODERATE | among(-6, 27.3) | among(26.5, 27.3, "subnormal") | ALL,
    "sigmoid": DECAYING,
    "gelu": MODERATE | among(-38.6, 10) | among(-38.6, -37.5, "subnormal") | ALL,
    "silu": MODERATE | among(-752, 40) | among(-752, -714, "subnormal") | ALL,
    "softplus": DECAYING,
    "logsigmoid": MODERATE | among(-40, 746) | among(708, 746, "subnormal") | ALL,
}


def operands(name: str, seed: int, count: int) -> Iterator[tuple[str, list[Array]]]:
    """The row's ranges, each with operands in it."""
    rng = np.random.default_rng(seed)
    if name == "pow":
        yield "0 to 3, ±3", [rng.uniform(0, 3, count), rng.uniform(-3, 3, count)]
        yield "all", list(powers(rng, count, positive()))
        yield "x near 1", list(powers(rng, count, lambda rng, count: 1 + spread(-52, -2)(rng, count)))
        return
    for label, sample in RANGES.get(name, ORDINARY).items():
        yield label, [sample(rng, count) for _ in range(arity(name))]
    if name in ("atan2", "hypot"):
        yield "like sizes", list(angles(rng, count))


# Errors

SATURATING = {"exp", "expm1", "exp2", "sinh", "cosh", "tanh", "erf", "erfc", "sigmoid", "elu", "selu", "gelu", "silu"}
SATURATING |= {"softplus", "logsigmoid"}


def exact(name: str, xs: list[float]) -> Any:
    """What mpmath says; what the row says where that is 0, an infinity or a plain function of the operands."""
    beyond = name in SATURATING and abs(xs[0]) > 1100
    signed_zero = name == "atan2" and 0 in xs  # mpmath has one zero
    power_beyond = name == "pow" and (xs[0] <= 0 or abs(xs[1] * math.log(xs[0])) > 1000)
    if beyond or power_beyond or signed_zero or not all(map(math.isfinite, xs)):
        return mpf(OPS[name].evaluate(*xs))
    sizes = [math.frexp(x)[1] for x in xs if x]
    bits = 200 + 2 * (max(sizes) - min(min(sizes), 0)) if name in ("hypot", "logsumexp") and sizes else 200
    if name not in ("erf", "erfc", "gelu"):
        bits += 2 * max([0, *map(abs, sizes)])  # log1p(1e-300), sin(1e300)
    with mp.workprec(bits):
        if name == "logsumexp":
            xs = [x for x in xs if x >= max(xs) - 10**4]
        return EXACT[name](*map(mpf, xs))


def error(name: str, got: float, xs: list[float]) -> float:
    """In units of the last place; a sum of exponentials cannot be closer to 0 than its largest term is exact."""
    true = exact(name, xs)
    rounded = nearest(true)
    if not math.isfinite(got):
        return 0.0 if got == rounded else inf
    place = math.ulp(max(min(abs(rounded), LARGEST), abs(max(xs)) if name == "logsumexp" else 0.0))
    with mp.workprec(200):
        return float(abs(mpf(got) - true) / place) if got != rounded else float(min(abs(mpf(got) - true) / place, 0.5))


def largest_error(compiled: Compiled, name: str, arrays: list[Array]) -> tuple[float, list[float]]:
    """And the operands at which it is reached."""
    results = compiled(name, *arrays).tolist()
    points = [list(xs) for xs in zip(*[a.tolist() for a in arrays], strict=True)]
    return max((error(name, got, xs), xs) for got, xs in zip(results, points, strict=True))


def singles(name: str, seed: int, count: int) -> list[Array]:
    """Of float32, as many bit patterns at equal distances; of pairs and triples, random ones and some of like sizes."""
    if arity(name) == 1:
        return [np.arange(0, 2**32, 2**32 // count + 1, dtype=np.uint64).astype(np.uint32).view(np.float32)]
    rng = np.random.default_rng(seed)
    patterns = rng.integers(0, 2**32, (arity(name), count // 2)).astype(np.uint32)
    like = rng.uniform(-3, 3, (arity(name), count // 2)).astype(np.float32)
    return list(np.concatenate([patterns.view(np.float32), like], axis=1))


def errors_in_float32(got: Array, true: Array, name: str = "", *operands: Array) -> Array:
    """As `error`, for results in float32 and the true ones in float64; differences of operands are rounded, too, so
    that sums of exponentials are no closer to 0 than 1/4 is exact."""
    with np.errstate(all="ignore"):
        rounded = true.astype(np.float32)
        least = np.maximum(np.abs(np.max(operands, axis=0)), 0.25) if name == "logsumexp" else 0.0
        size = np.maximum(np.abs(rounded), least)
        place = np.spacing(np.minimum(size, np.finfo(np.float32).max)).astype(float)
        found = np.abs(got.astype(float) - true) / place
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    found = np.where(same, np.where(np.isfinite(rounded), np.minimum(found, 0.5), 0.0), found)
    return np.where(same | np.isfinite(got), found, inf)


# The tables


def rows(only: list[str], points: int) -> Iterator[list[str]]:
    """The cells of a line for each range of each row."""
    compiled = Compiled(NAMES)
    print(f"compiled in {sum(compiled.seconds.values()):.2f} s: {compiled.seconds}", file=sys.stderr)
    for name in only or NAMES:
        sample = dict(operands(name, seed=3, count=max(points, 512)))
        for label, arrays in sample.items():
            found, _ = largest_error(compiled, name, [a[:points] for a in arrays])
            time_taken = compiled.nanoseconds(name, *[a[:512] for a in arrays])
            yield [f"`{name}`", label, f"{found:.2f}", f"{time_taken:.1f}"]


def rows_in_float32(only: list[str]) -> Iterator[list[str]]:
    """The cells of a line for each row, measured at 2**20 operands and timed at its first range."""
    compiled, reference = Compiled(NAMES, 16, np.float32), Compiled(NAMES)
    for name in only or NAMES:
        arrays = singles(name, 3, 2**20)
        with np.errstate(invalid="ignore"):
            true = reference(name, *arrays)
        found = errors_in_float32(compiled(name, *arrays), true, name, *arrays)
        _, ordinary = next(operands(name, seed=3, count=512))
        yield [f"`{name}`", f"{found.max():.2f}", f"{compiled.nanoseconds(name, *ordinary):.1f}"]


def table(columns: list[str], lines: list[list[str]]) -> list[str]:
    rule = ["---:" if "ulp" in column or "ns" in column else "---" for column in columns]
    return ["| " + " | ".join(line) + " |" for line in [columns, rule, *lines]]


def page(lines: list[list[str]], lines_in_float32: list[list[str]], points: int) -> str:
    head = [
        "# Vector code of the table of operations",
        "",
        f"`python benchmarks/elementary.py`, {llvm.get_host_cpu_name()}, {platform.machine()}, "
        f"llvmlite {version('llvmlite')}:",
        f"the largest error at {points:,} random operands of each range against mpmath, in units of the last place,",
        "and the time of a vector of 8 doubles.",
        "Errors of `logsumexp` are in units of its largest operand where that is larger than the result.",
        "",
    ]
    middle = [
        "",
        "In float32: the largest error at 2**20 bit patterns, pairs or triples of them, against the row in float64,",
        "and the time of a vector of 16 at the operands that the row's first line above has.",
        "",
    ]
    doubles = table(["row", "operands", "largest error, ulp", "ns for 8"], lines)
    singles = table(["row", "largest error, ulp", "ns for 16"], lines_in_float32)
    return "\n".join([*head, *doubles, *middle, *singles]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--points", type=int, default=2000, help="random operands in each range (default 2000)")
    parser.add_argument("--only", default="", help="names of rows, with commas")
    parser.add_argument("--write", action="store_true", help="write elementary.md beside this file")
    options = parser.parse_args()
    only = [name for name in options.only.split(",") if name]
    if options.write and only:
        parser.error("--write keeps the whole table: leave --only out")
    text = page(list(rows(only, options.points)), list(rows_in_float32(only)), options.points)
    print(text)
    if options.write:
        from autograd.files import write_text

        write_text(Path(__file__).with_suffix(".md"), text)


if __name__ == "__main__":
    main()
