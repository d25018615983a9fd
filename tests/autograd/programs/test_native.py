"""The kernel's file in the cache: built once, used by every process, never trusted; and what there is without it. The
arrays that the kernel reads itself."""

import itertools
import math
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from math import tanh
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autograd
from autograd import Value, custom
from autograd.programs import Program, jit, native

ROOT = Path(autograd.__file__).parents[1]
# The smallest of programs, and whether its kernel was built for it.
RUN = """
from autograd import Value, jit
w = Value(2.0)
found = jit(lambda x: (w * x).tanh()).value_and_grad([1.0, 2.0, 0.5], reduce="sum")
assert abs(found[0] - {value!r}) < 1e-12 and abs(found[1][0] - {slope!r}) < 1e-12, found
from autograd.programs import native
print(native.function(False).built)
"""
INPUTS = (1.0, 2.0, 0.5)
VALUE = sum([tanh(2 * x) for x in INPUTS])
RUN = RUN.format(value=VALUE, slope=sum([x * (1 - tanh(2 * x) ** 2) for x in INPUTS]))


def process(code: str, cache: Path, **variables: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "CHAINRULE_CACHE": str(cache), "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def output(process: "subprocess.Popen[str]") -> str:
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return out.strip()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that a process of its own has filled."""
    folder = tmp_path_factory.mktemp("cache") / "of" / "mine"
    assert output(process(RUN, folder)) == "True"
    return folder


@pytest.fixture
def fresh() -> Iterator[None]:
    """A kernel that is looked for again; afterwards too."""
    native.function.cache_clear()
    yield
    native.function.cache_clear()


def result() -> Any:
    w = Value(2.0)
    return jit(lambda x: (w * x).tanh()).value_and_grad(INPUTS, reduce="sum")


def test_a_second_process_uses_the_file_of_the_first(built: Path) -> None:
    (file,) = built.iterdir()
    before = file.read_bytes(), file.stat().st_mtime_ns
    assert output(process(RUN, built)) == "False"
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
    assert file.suffix == ".o"


def test_float32_has_a_file_of_its_own(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: Any
) -> None:
    names = []
    monkeypatch.setattr(native, "build", lambda single, machine: names.append(single) or b"not code")
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    monkeypatch.setattr(native.llvm, "create_mcjit_compiler", stop)
    for single in (False, True):
        with pytest.raises(Stopped):
            native.function(single)
    assert names == [False, True]
    assert sorted([path.name[-6:] for path in tmp_path.iterdir()]) == ["-f32.o", "-f64.o"]


class Stopped(Exception):
    pass


def stop(*args: Any) -> Any:
    raise Stopped


def spoiled(content: bytes, how: str) -> bytes:
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    head = bytearray(content)
    head[3] ^= 1
    return {
        "corrupt": bytes(flipped),
        "of a corrupt digest": bytes(head),
        "truncated": content[: len(content) // 2],
        "all but one byte": content[:-1],
        "one byte more": content + b"\0",
        "only a digest": content[:32],
        "empty": b"",
        "foreign": b"\x7fELF" + bytes(1000),
        "text": b"hello",
    }[how]


@pytest.mark.parametrize(
    "how",
    [
        "corrupt",
        "of a corrupt digest",
        "truncated",
        "all but one byte",
        "one byte more",
        "only a digest",
        "empty",
        "foreign",
        "text",
    ],
)
def test_a_file_that_is_not_as_it_was_written_is_built_anew(
    how: str, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: Any
) -> None:
    (file,) = built.iterdir()
    whole = file.read_bytes()
    (tmp_path / file.name).write_bytes(spoiled(whole, how))
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    builds = []
    monkeypatch.setattr(native, "build", lambda single, machine: builds.append(single) or whole[32:])
    assert result()[0] == pytest.approx(VALUE)
    assert builds == [False]
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert (tmp_path / file.name).read_bytes() == whole
    native.function.cache_clear()
    assert result()[0] == pytest.approx(VALUE)
    assert builds == [False]


def test_the_code_of_another_machine_under_this_name_is_not_run(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: Any
) -> None:
    """A whole file, renamed: its digest is of its own name too."""
    (file,) = built.iterdir()
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    monkeypatch.setattr(native.llvm, "get_host_cpu_name", lambda: "another")
    builds = []

    def build(single: bool, machine: Any) -> Any:
        builds.append(single)
        raise Stopped

    monkeypatch.setattr(native, "build", build)
    monkeypatch.setattr(native.llvm.Target, "create_target_machine", lambda self, **options: FakeMachine())
    path = native.cached(False, FakeMachine())
    assert path.name != file.name
    path.write_bytes(file.read_bytes())
    with pytest.raises(Stopped):
        native.function(False)
    assert builds == [False]


@pytest.mark.parametrize("what", ["version", "LLVM", "processor", "features", "system", "sources", "element type"])
def test_the_name_has_all_that_the_code_depends_on(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine: Any = FakeMachine()
    before = native.cached(False, machine)
    if what == "version":
        monkeypatch.setattr(native.llvmlite, "__version__", "0.0")
    elif what == "LLVM":
        monkeypatch.setattr(native.llvm, "llvm_version_info", (1, 2, 3))
    elif what == "processor":
        monkeypatch.setattr(native.llvm, "get_host_cpu_name", lambda: "another")
    elif what == "features":
        monkeypatch.setattr(native.llvm, "get_host_cpu_features", lambda: native.llvm.FeatureMap({"wings": True}))
    elif what == "system":
        machine.triple = "another"
    elif what == "sources":
        monkeypatch.setattr(native, "_SOURCES", native._SOURCES[1:])
    assert native.cached(what == "element type", machine) != before


class FakeMachine:
    triple = "of-another-machine"


@pytest.mark.parametrize("what", ["a file", "below a file", "read-only", "a folder of the file's name"])
def test_a_cache_that_cannot_be_written_is_done_without(
    what: str, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: Any
) -> None:
    (file,) = built.iterdir()
    folder = tmp_path / "cache"
    if what == "read-only":
        folder.mkdir()

        def refuse(*args: Any) -> None:
            raise PermissionError("read-only")

        monkeypatch.setattr(native, "write_bytes", refuse)  # for root, who runs some tests, no folder is read-only
    elif what == "a folder of the file's name":
        (folder / file.name).mkdir(parents=True)
    else:
        folder.write_bytes(b"")
        folder = folder / "below" if what == "below a file" else folder
    monkeypatch.setenv("CHAINRULE_CACHE", str(folder))
    builds = []
    monkeypatch.setattr(native, "build", lambda single, machine: builds.append(single) or file.read_bytes()[32:])
    assert result()[0] == pytest.approx(VALUE)
    assert builds == [False]


def test_what_is_built_is_what_was_kept(built: Path, monkeypatch: pytest.MonkeyPatch, fresh: Any) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE", str(built))
    assert not native.function(False).built
    assert native.function(False) is native.function(False)


def test_several_processes_at_once_on_an_empty_cache(tmp_path: Path) -> None:
    together = [process(RUN, tmp_path) for _ in range(3)]
    assert "True" in [output(p) for p in together]
    (file,) = tmp_path.iterdir()
    assert output(process(RUN, tmp_path)) == "False"
    content = file.read_bytes()
    assert content[:32] == native._digest(file, content[32:])


WITHOUT = """
import sys
from importlib.machinery import PathFinder

find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *where: None if name.split(".")[0] == {module!r} else find(name, *where)
"""


def test_without_llvmlite_numpy_does_the_same(tmp_path: Path) -> None:
    code = (
        WITHOUT.format(module="llvmlite")
        + RUN.partition("from autograd.programs")[0]
        + "print(found[0], found[1][0])\n"
    )
    code += "assert not [name for name in sys.modules if 'llvmlite' in name or name.endswith('.native')]\n"
    number, gradient = output(process(code, tmp_path)).split()
    value, slope = result()
    assert float(number) == pytest.approx(value, rel=1e-14)
    assert float(gradient) == pytest.approx(slope[0], rel=1e-14)
    assert not [*tmp_path.iterdir()]


def test_a_new_row_of_the_table_needs_no_vector_code(tmp_path: Path) -> None:
    code = (
        "import autograd\n"
        "from autograd import OPS, Op, Value, value\n"
        "new = Op('softsign', lambda x: x / (1 + abs(x)), (lambda out, x: 1 / (1 + autograd.abs(x)) ** 2,))\n"
        "OPS['softsign'], value.BUILT_IN = new, value.BUILT_IN | {'softsign'}\n"
        "w = Value(2.0)\n"
        "found, slopes = autograd.jit(lambda x: new(w * x).exp()).value_and_grad([-1.0, 1.0], reduce='sum')\n"
        "print(found, slopes[0])\n"
    )
    low, high = math.exp(-2 / 3), math.exp(2 / 3)
    found = [float(x) for x in output(process(code, tmp_path)).split()]
    assert found == pytest.approx([low + high, (high - low) / 9], rel=1e-14)


def test_with_a_broken_llvmlite_numpy_does_the_same_and_a_warning_says_so(tmp_path: Path) -> None:
    (tmp_path / "llvmlite").mkdir()
    (tmp_path / "llvmlite" / "__init__.py").write_text("raise OSError('libllvmlite.so: cannot open')")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + RUN.partition("from autograd.programs")[0]
    done = process(code + "print(found[0])\n", tmp_path / "cache")
    number, warning = done.communicate(timeout=300)
    assert float(number) == pytest.approx(result()[0], rel=1e-14)
    assert re.search("programs run in NumPy, for llvmlite .* cannot open; right: python -m pip install", warning)


def test_without_numpy_the_error_names_the_extra(tmp_path: Path) -> None:
    code = WITHOUT.format(module="numpy") + (
        "import autograd\n"
        "from autograd import *\n"
        "import inspect\n"
        "assert 'jit' not in dict(inspect.getmembers(autograd))\n"
        "x = autograd.Value(2.0); (x * x).backward(); assert x.grad == 4.0\n"
        "for _ in range(2):\n"
        "    try:\n"
        "        autograd.jit(lambda x: x)\n"
        "    except ImportError as error:\n"
        "        print(error)\n"
    )
    lines = output(process(code, tmp_path)).splitlines()
    assert lines == ["autograd.jit needs NumPy; right: python -m pip install 'chainrule[jit]'"] * 2


# Arrays that the kernel reads itself


class Weighted:
    """The square of a sum of all numbers of a sample, each by its place: w * sum((k + 1) x_k) ** 2."""

    def __init__(self, dtype: Any, through: str) -> None:
        self.w = Value(1.5)
        self.program = jit(self.loss, dtype=dtype)
        self.through = getattr(self.program, through)
        self.slowly = 0

    def loss(self, *xs: Any) -> Any:
        return self.w * sum([(k + 1) * x for k, x in enumerate(flat(xs))]) ** 2

    def squares(self, *columns: Any) -> Any:
        rows = np.concatenate([np.asarray(x, "float64").reshape(len(x), -1) for x in columns], axis=1)
        return (rows @ np.arange(1, rows.shape[1] + 1)) ** 2

    def expected(self, *columns: Any, reduce: str = "mean", w: float = 1.5) -> tuple[float, float]:
        squares = self.squares(*columns)
        found = float(squares.mean() if reduce == "mean" else squares.sum())
        return w * found, found

    def check(self, *columns: Any, w: float = 1.5, **options: Any) -> None:
        unit = 1e-5 if self.program.dtype == "float32" else 1e-13
        if self.through == self.program.map:
            options.pop("reduce", None)
            found, expected = self.program.map(*columns, **options), w * self.squares(*columns)
            assert (found.dtype, found.shape) == (self.program.dtype, expected.shape)
            assert np.abs(found - expected).max() <= unit * np.abs(expected).max()
            return
        value, gradient = self.program.value_and_grad(*columns, **options)
        expected = self.expected(*columns, reduce=options.get("reduce", "mean"), w=w)
        assert (value, *gradient) == pytest.approx(expected, rel=unit)
        assert type(value) is float
        assert gradient.dtype == "float64"


def flat(x: Any) -> list[Any]:
    return [n for part in x for n in flat(part)] if isinstance(x, (list, tuple, np.ndarray)) else [x]


@pytest.fixture(params=itertools.product(["float64", "float32"], ["value_and_grad", "map"]), ids="-".join)
def weighted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Weighted:
    made = Weighted(*request.param)
    rows = Program._rows

    def slowly(*given: Any) -> Any:
        made.slowly += 1
        return rows(*given)

    monkeypatch.setattr(Program, "_rows", slowly)
    return made


def numbers(dtype: Any, *shape: int) -> Any:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 2), (2, 1, 3)])
def test_arrays_are_read_as_they_are(shape: tuple[int, ...], weighted: Weighted) -> None:
    dtype = weighted.program.dtype
    weighted.check(numbers(dtype, 5, *shape))
    for rows in (1, 2, 8, 9, 1000):
        x = numbers(dtype, rows, *shape)
        weighted.check(x)
        weighted.check(x, reduce="sum")
        weighted.check(x, params=np.array([-2.0]), w=-2.0)
        weighted.check(pickle.loads(pickle.dumps(x)))
        x.flags.writeable = False
        weighted.check(x)
    assert weighted.slowly == 1


def test_a_parameter_that_changed_is_read_again(weighted: Weighted) -> None:
    x = numbers(weighted.program.dtype, 4, 2)
    for w in (1.5, 2.5, -3.0):
        weighted.w.data = w
        weighted.check(x, w=w)
        weighted.check(x, params=np.array([0.5]), w=0.5)
        weighted.check(x, w=w)
    assert weighted.slowly == 1


def test_many_parameters_and_their_derivatives_are_all_there() -> None:
    for count in (1, 7, 8, 9, 40):
        ws = [Value(float(k)) for k in range(count)]
        f = jit(lambda x, ws=ws: autograd.dot(ws, [x * (k + 1) for k in range(len(ws))]))
        slopes = np.arange(1.0, count + 1) * 2
        for params in (None, np.arange(count)[::-1] + 0.5):
            for x in ([1.0, 3.0], np.array([1.0, 3.0]), np.array([1.0, 3.0])):
                value, gradient = f.value_and_grad(x, params=params)
                assert gradient.tolist() == slopes.tolist()
                assert value == slopes @ (np.arange(count) if params is None else params)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_parameters_in_any_order_and_in_several_places_are_read_directly(dtype: str) -> None:
    """A layer, its weights shared and shuffled, and then what else uses them, and others, backwards."""
    ws = [Value(0.1 * k) for k in range(30)]

    def f(x: Any) -> Any:
        order = [*range(3, 14), *range(19, 16, -1), 20, 3]
        hidden = [autograd.dot([ws[k] for k in places], x) for places in (order, order[::-1], range(16))]
        return autograd.sum([*hidden, *[w.tanh() * x[k % 16] for k, w in enumerate(ws[::-1])]])

    program = jit(f, dtype=dtype)
    x = numbers(dtype, 1, 16)
    program.value_and_grad(x)
    direct = program._current.direct
    assert direct is not None
    params = np.linspace(-1.0, 1.0, len(ws))
    found = [direct((x,), "mean", given) for given in (None, params)]
    for (value, gradient), numbers_of_leaves in zip(found, ([w.data for w in program.parameters], params), strict=True):
        for w, number in zip(program.parameters, numbers_of_leaves, strict=True):
            w.data, w.grad = float(number), 0.0
        loss = f(x[0].tolist())
        loss.backward()
        unit = 1e-13 if dtype == "float64" else 1e-5
        expected = loss.data, *[w.grad for w in program.parameters]
        assert (value, *gradient) == pytest.approx(expected, rel=unit, abs=unit)


def test_a_gradient_is_an_array_of_its_own(weighted: Weighted) -> None:
    x = numbers(weighted.program.dtype, 4, 2)
    found = [weighted.program.value_and_grad(k * x)[1] for k in range(4)]
    assert [g[0] for g in found] == pytest.approx([k * k * weighted.expected(x)[1] for k in range(4)], rel=1e-5)


def unaligned(x: Any) -> Any:
    memory = np.zeros(x.nbytes + 1, np.uint8)
    shifted = memory[1:].view(x.dtype).reshape(x.shape)
    shifted[:] = x
    assert not shifted.flags.aligned
    return shifted


class Subclass(np.ndarray):
    pass


OTHERS: dict[str, Callable[[Any], Any]] = {
    "a list": lambda x: x.tolist(),
    "another type": lambda x: x.astype("float32" if x.dtype == "float64" else "float64"),
    "whole numbers": lambda x: (10 * x).astype("int64"),
    "of the same size": lambda x: (10 * x).astype(f"int{8 * x.itemsize}"),
    "the other byte order": lambda x: x.astype(x.dtype.newbyteorder("S")),
    "columns first": np.asfortranarray,
    "every second row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "backwards": lambda x: x[::-1],
    "unaligned": unaligned,
    "a subclass": lambda x: x.view(Subclass),
    "a buffer": lambda x: memoryview(x),
}


@pytest.mark.parametrize("what", OTHERS)
@pytest.mark.parametrize("place", [0, 1])
def test_other_arrays_are_converted(what: str, place: int, weighted: Weighted) -> None:
    columns = [numbers(weighted.program.dtype, 6, 3), numbers(weighted.program.dtype, 6, 2)]
    weighted.check(*columns)
    columns[place] = OTHERS[what](columns[place])
    weighted.check(*columns)
    assert weighted.slowly == 2


@pytest.mark.parametrize(
    "params", [[0.5], (0.5,), np.array([0.5], "float32"), np.array([0.5, 1.0])[:1:2], np.array([0.5], ">f8")]
)
def test_other_params_are_converted(params: Any, weighted: Weighted) -> None:
    x = numbers(weighted.program.dtype, 6, 3)
    weighted.check(x)
    weighted.check(x, params=params, w=0.5)


def test_the_name_of_a_reduction_may_be_another_object(weighted: Weighted) -> None:
    x = numbers(weighted.program.dtype, 6, 3)
    for reduce in ("mean", "sum", "".join(["me", "an"]), "".join(["s", "um"])):
        weighted.check(x, reduce=reduce)
    with pytest.raises(ValueError, match="'mean' or 'sum', got 'max'"):
        weighted.program.value_and_grad(x, reduce="max")


ONE: list[tuple[int, ...]] = [(2,), (3,), (), (2, 2), (4,), (1, 4)]
SHAPES = [[shape] for shape in ONE] + [[x, y] for x in ONE[:3:2] for y in ONE[:3:2]]


def test_shapes_in_turn_are_told_apart(weighted: Weighted) -> None:
    given = [[numbers(weighted.program.dtype, 6, *shape) for shape in shapes] for shapes in SHAPES]
    for columns in given * 3:
        weighted.check(*columns)
    weighted.slowly = 0
    for columns in given[-4:] * 3:  # the latest are kept
        weighted.check(*columns)
    assert weighted.slowly == 0


def test_rows_that_do_not_fit_are_refused(weighted: Weighted) -> None:
    dtype = weighted.program.dtype
    columns = [numbers(dtype, 6, 3), numbers(dtype, 6, 2)]
    weighted.check(*columns)
    for k in range(2):
        with pytest.raises(ValueError, match="rows, where the first has"):
            weighted.through(*[x[: 6 - (k == i)] for i, x in enumerate(columns)])
    for reduce in ("mean", "sum"):
        with pytest.raises(ValueError, match="no rows"):
            weighted.program.value_and_grad(*[x[:0] for x in columns], reduce=reduce)
    with pytest.raises(ValueError, match="no rows"):
        weighted.through(np.zeros((), dtype), columns[1])
    for params in (np.zeros(2), np.zeros(0), np.zeros(()), np.zeros((1, 1))):
        with pytest.raises(ValueError, match="a flat vector of 1 numbers"):
            weighted.through(*columns, params=params)
    weighted.check(*columns)


def test_the_kernel_takes_no_samples_too() -> None:
    """It would divide by their number."""
    w = Value(2.0)
    f = jit(lambda x: w * x)
    f.value_and_grad([1.0])
    scratch = native.Scratch(f._current.evaluator("gradient").tables, np.dtype("float64"))
    gradient = np.ones(1)
    for name in ("parameters", "scaled"):
        scratch.fields[native._PLACE[name]] = native.address(gradient)
    assert native.function(False)(scratch.fields) == 0.0
    assert gradient.tolist() == [0.0]


def test_nan_is_a_result_like_any_other(weighted: Weighted) -> None:
    x = numbers(weighted.program.dtype, 6, 3)
    weighted.check(x)
    x[2, 1] = math.nan
    value, gradient = weighted.program.value_and_grad(x)
    assert math.isnan(value)
    assert np.isnan(gradient).tolist() == [True]


def test_an_error_in_an_operation_of_ones_own_comes_out_of_a_later_call_too() -> None:
    def doubled(x: float) -> float:
        if x == 3.0:
            raise KeyError(x)
        return 2 * x

    op, w = custom(doubled, lambda out, x: 2.0), Value(1.0)
    f = jit(lambda x: op(w * x))
    assert f.value_and_grad(np.array([1.0]))[0] == 2.0
    with pytest.raises(KeyError, match=r"3\.0"):
        f.value_and_grad(np.array([3.0]))
    assert f.value_and_grad(np.array([2.0]))[0] == 4.0


def test_threads_at_once_each_with_params_of_their_own(weighted: Weighted) -> None:
    batches = [numbers(weighted.program.dtype, 500 + 100 * k, 3) for k in range(8)]
    weighted.check(batches[0])

    def repeat(k: int) -> None:
        w = k - 3.5
        for _ in range(40):
            weighted.check(batches[k], params=np.array([w]), w=w)
            weighted.check(batches[-1 - k], reduce="sum")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(repeat, range(8)))
    assert weighted.slowly == 1


def test_a_copy_reads_its_own_parameters(weighted: Weighted) -> None:
    x = numbers(weighted.program.dtype, 6, 3)
    weighted.check(x)
    copied = pickle.loads(pickle.dumps(weighted.program))
    copied.parameters[0].data = 4.0
    weighted.check(x)
    for slowly in (2, 2):
        assert copied.value_and_grad(x)[0] == pytest.approx(weighted.expected(x, w=4.0)[0], rel=1e-5)
        assert weighted.slowly == slowly


def test_results_of_rows_are_arrays_of_their_own_put_together_as_they_were() -> None:
    f = jit(lambda x: {"sum": x[0] + x[1], "pair": [[x[0], 2.0 * x[1]]]})
    x = numbers("float64", 20, 2)
    first, *others = [f.map(k * x) for k in (1.0, 2.0, 3.0)]
    for k, found in enumerate([first, *others], 1):
        assert found["sum"].tolist() == (k * x).sum(axis=1).tolist()
        assert found["pair"][0][1].tolist() == (k * 2 * x[:, 1]).tolist()
    assert jit(lambda x: x[0]).map(x[:0]).shape == (0,)
    assert f._current.mapping is not None
    assert f.map(x[:0])["sum"].shape == (0,)


def test_operations_of_more_and_of_fewer_operands_on_one_level() -> None:
    w = Value(1.0)

    def f(x: Any) -> Any:
        sums = autograd.logsumexp([x * w, w]) + autograd.logsumexp([x * w, x * x, w * x + 1])
        return sums + autograd.logsumexp([w, x])

    x = np.array([0.5, -1.0])
    expected = [f(Value(k)) for k in x.tolist()]
    assert jit(f).map(x).tolist() == pytest.approx([y.data for y in expected], rel=1e-14)
    autograd.sum(expected).backward()
    assert jit(f).value_and_grad(x, reduce="sum")[1].tolist() == pytest.approx([w.grad], rel=1e-14)


def test_what_was_unpickled_gives_all_results_again_and_again() -> None:
    w = Value(2.0)
    for f in (lambda x: (w * x).tanh(), lambda x: [w * x, x], lambda x: {"a": [w * x], "b": x}):
        program = jit(f).trace(0.0)
        unpickled = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(program))))
        for rows in (1, 5, 40):
            expected = program.map(numbers("float64", rows))
            for _ in range(3):
                assert repr(unpickled.map(numbers("float64", rows))) == repr(expected)


def test_within_a_trace_the_results_of_arrays_depend_on_the_parameters() -> None:
    w = Value(2.0)
    inner = jit(lambda x: w * x)
    x = np.array([1.0, 3.0])
    assert [inner.map(x).tolist() for _ in range(3)] == [[2.0, 6.0]] * 3
    outer = jit(lambda y: sum(inner.map(x)) * y)
    assert outer.value_and_grad([5.0])[1].tolist() == [20.0]


def test_a_constant_among_the_leaves_is_read_each_time() -> None:
    w, c = Value(2.0), Value(1.0, kind="constant")
    f = jit(lambda x: w * x + c)
    x = np.array([1.0, 3.0])
    for number in (1.0, 2.0, 3.0):
        c.data = number
        assert f.map(x).tolist() == [2.0 + number, 6.0 + number]
        assert f.map(x, params=np.array([1.0])).tolist() == [1.0 + number, 3.0 + number]


@pytest.mark.parametrize("rows", [1, 5000])
def test_what_depends_on_parameters_alone_is_there_for_few_rows_and_many(rows: int) -> None:
    ws = [Value(0.1 * k) for k in range(20)]
    f = jit(lambda x: x * autograd.sum([w.tanh() ** 2 for w in ws]))
    x = numbers("float64", rows)
    for w in (0.0, 0.5, 1.0):
        ws[0].data = w
        expected = sum([math.tanh(v.data) ** 2 for v in ws]) * x
        for _ in range(2):
            assert f.map(x).tolist() == pytest.approx(expected.tolist(), rel=1e-13)


def test_what_gives_no_number_is_not_read_directly() -> None:
    f = jit(lambda x: x if isinstance(x, Value) else x[0])
    f.value_and_grad(np.ones(3))
    assert f._current.direct is not None
    f = jit(lambda x: (x, x))
    f.map(np.ones(3))
    assert f._current.direct is None


@pytest.mark.parametrize("name", ["DATA", "NDIM", "DIMENSIONS", "DESCR", "FLAGS", "KIND", "_HEAD", "_ITEMS"])
def test_a_layout_that_is_not_the_known_one_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert native._is_laid_out_as_known()
    monkeypatch.setattr(native, name, getattr(native, name) + 8)
    assert not native._is_laid_out_as_known()


def test_where_the_layout_is_another_all_is_converted(weighted: Weighted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_LAID_OUT_AS_KNOWN", False)
    for _ in range(3):
        weighted.check(numbers(weighted.program.dtype, 6, 3))
    assert weighted.slowly == 3
