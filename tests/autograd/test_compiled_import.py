"""Which core an import chooses, in processes of their own and on copies of the package."""

import importlib.machinery
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.util import source_hash
from pathlib import Path

import pytest

from autograd import compiled

BUILT = Path(compiled.EXTENSION)
PACKAGE = BUILT.parent
PLACEHOLDER = b"no library"
TELL = (
    "import autograd, sys; node = sys.modules['autograd.node']; assert autograd.node is node; "
    "print(autograd.COMPILED, node.__file__, autograd.compiled.REASON, sep='|'); "
    "x = autograd.Value(3.0); (x * x).backward(); assert x.grad == 6.0"
)


class Copy:
    """A copy of the package, with the core compiled for this Python or, where there is none, something in its place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = folder / "autograd"
        # with the bytecode, which is still good: a copy keeps the times
        shutil.copytree(PACKAGE, self.package, ignore=shutil.ignore_patterns("node__mypyc*"))
        self.source = self.package / "node.py"
        self.extension = self.package / BUILT.name
        self.record = self.package / f"{BUILT.name}.txt"
        self.extension.write_bytes(BUILT.read_bytes() if BUILT.exists() else PLACEHOLDER)
        self.write_record()

    def write_record(self) -> None:
        built_from = source_hash(self.source.read_bytes()).hex()
        self.record.write_text(f"{built_from} {self.extension.stat().st_size}\n", encoding="ascii")

    def python(self, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AUTOGRAD_", "PYTHON"))}
        return subprocess.run(
            [sys.executable, *argv], cwd=self.folder, env=kept | env, capture_output=True, encoding="utf-8", timeout=300
        )

    def core(self, **env: str) -> tuple[bool, str, str, str]:
        """(whether the compiled core ran, from which file, why not, what was written to stderr)."""
        done = self.python("-c", TELL, **env)
        assert done.returncode == 0, done.stderr
        compiled, file, reason = done.stdout.strip().split("|")
        assert compiled in ("True", "False")
        return compiled == "True", file, reason, done.stderr

    def assert_pure(self, because: str, **env: str) -> None:
        """The source runs, silently, and `require` refuses it, both for this reason."""
        compiled, file, reason, stderr = self.core(**env)
        assert (compiled, file, stderr) == (False, str(self.source), "")
        assert because in reason
        required = self.python("-c", "import autograd", AUTOGRAD_COMPILED="require", **env)
        assert required.returncode == 1
        assert f"ImportError: AUTOGRAD_COMPILED=require, but {reason}. " in required.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


compiled_here = pytest.mark.skipif(not BUILT.exists(), reason=f"no compiled core: there is no {BUILT.name}")


@compiled_here
def test_the_compiled_core_runs(copy: Copy) -> None:
    expected = (True, str(copy.extension), "", "")
    assert copy.core() == expected
    assert copy.core(AUTOGRAD_COMPILED="require") == expected
    assert copy.core(AUTOGRAD_PURE="") == copy.core(AUTOGRAD_PURE="0") == expected


@compiled_here
def test_it_needs_nothing_but_the_standard_library(copy: Copy) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(copy.folder)!r}); import autograd as a; print(a.COMPILED, *sys.modules)"
    )
    compiled, *loaded = copy.python("-I", "-S", "-c", code).stdout.split()
    assert compiled == "True"
    assert {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names == {"autograd", "__main__"}


@compiled_here
def test_it_can_be_imported_again(copy: Copy) -> None:
    """As test runners do that take a package out of sys.modules."""
    again = (
        "import sys, autograd; old = autograd.Value(1.0)\n"
        "for name in [name for name in sys.modules if name.partition('.')[0] == 'autograd']: del sys.modules[name]\n"
    )
    done = copy.python("-c", again + TELL)
    assert done.stdout.startswith("True|"), done.stderr


@pytest.mark.parametrize("value", ["1", "yes"])
def test_pure_on_demand(copy: Copy, value: str) -> None:
    copy.assert_pure("AUTOGRAD_PURE is set", AUTOGRAD_PURE=value)


def test_the_pure_core_is_a_module_as_any_other(copy: Copy) -> None:
    shutil.rmtree(copy.package / "__pycache__", ignore_errors=True)  # where none is written, there is none
    code = """
import importlib, inspect, pickle
import autograd.node as node
assert node.__spec__.name == node.__name__ == "autograd.node" and node.__package__ == "autograd"
assert importlib.import_module("autograd.node") is node and pickle.loads(pickle.dumps(node.Node)) is node.Node
assert "def __add__" in inspect.getsource(node.Node)
assert node.Node.__add__.__code__.co_filename == node.__file__
"""
    done = copy.python("-c", code, AUTOGRAD_PURE="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(importlib.util.cache_from_source(str(copy.source))).exists()


def test_an_edited_source_is_what_runs(copy: Copy) -> None:
    with copy.source.open("a", encoding="utf-8") as file:
        file.write("\nEDITED = True\n")
    copy.assert_pure("node.py was changed after it was compiled")
    assert copy.python("-c", "import autograd; print(autograd.node.EDITED)").stdout == "True\n"


def test_an_edit_that_changes_neither_size_nor_time(copy: Copy) -> None:
    times = copy.source.stat()
    source = copy.source.read_bytes()
    copy.source.write_bytes(source.replace(b"the time.", b"the hour."))
    assert copy.source.read_bytes() != source
    os.utime(copy.source, ns=(times.st_atime_ns, times.st_mtime_ns))
    copy.assert_pure("node.py was changed after it was compiled")


def test_without_a_record_nothing_is_loaded(copy: Copy) -> None:
    copy.record.unlink()
    copy.assert_pure("was not finished")


@pytest.mark.parametrize("record", ["", "0123456789abcdef", "\xff\xfe", "a b c"])
def test_a_record_cut_short(copy: Copy, record: str) -> None:
    copy.record.write_bytes(record.encode("latin-1"))
    copy.assert_pure("was not finished")


def test_another_python_s_extension(copy: Copy) -> None:
    other = "node__mypyc.cpython-399-x86_64-linux-gnu.so"
    copy.extension.rename(copy.package / other)
    copy.record.rename(copy.package / f"{other}.txt")
    copy.assert_pure(f"it was not compiled for this Python: there is no {copy.extension}")


@pytest.mark.parametrize("suffix", importlib.machinery.EXTENSION_SUFFIXES)
def test_an_extension_by_the_module_s_own_name_hides_nothing(copy: Copy, suffix: str) -> None:
    """As `mypyc autograd/node.py` leaves it."""
    (copy.package / f"node{suffix}").write_bytes(PLACEHOLDER)
    copy.extension.unlink()
    copy.assert_pure("it was not compiled for this Python")


def damaged(copy: Copy, because: str) -> None:
    """One warning, which shows the line that imports, and the pure core."""
    compiled, file, reason, stderr = copy.core()
    assert (compiled, file) == (False, str(copy.source))
    assert because in reason
    assert stderr.count("RuntimeWarning") == 1
    assert re.match(rf"<string>:1: RuntimeWarning: {re.escape(reason)}\. .*python -m pip install -e \.", stderr)
    required = copy.python("-c", "import autograd", AUTOGRAD_COMPILED="require")
    assert f"ImportError: AUTOGRAD_COMPILED=require, but {reason}. " in required.stderr
    assert "RuntimeWarning" not in required.stderr


@pytest.mark.parametrize("left", [0.0, 0.5, 0.9])
def test_a_truncated_extension(copy: Copy, left: float) -> None:
    built = copy.extension.read_bytes()
    copy.extension.write_bytes(built[: int(left * len(built))])
    damaged(copy, f"and had {len(built)} when it was built")


def test_an_extension_that_is_no_library(copy: Copy) -> None:
    copy.extension.write_bytes(b"\0" * 5000)
    copy.write_record()
    damaged(copy, "the compiled core does not load: ")


@compiled_here
def test_an_extension_that_fails_as_it_starts(copy: Copy) -> None:
    started = copy.package / "floats.py"
    once = (
        "import os\nif 'STARTED' not in os.environ:\n    os.environ['STARTED'] = ''\n    raise RuntimeError('once')\n"
    )
    started.write_text(once + started.read_text(encoding="utf-8"), encoding="utf-8")
    damaged(copy, "the compiled core does not load: RuntimeError: once")


def test_require_and_pure_contradict_each_other(copy: Copy) -> None:
    done = copy.python("-c", "import autograd", AUTOGRAD_COMPILED="require", AUTOGRAD_PURE="1")
    assert "ImportError: AUTOGRAD_COMPILED=require, but AUTOGRAD_PURE is set. Unset AUTOGRAD_PURE" in done.stderr


def test_require_is_the_one_word_there_is(copy: Copy) -> None:
    done = copy.python("-c", "import autograd", AUTOGRAD_COMPILED="required")
    assert "ImportError: AUTOGRAD_COMPILED=required: it can be `require`, or unset." in done.stderr


def test_from_a_zip(copy: Copy) -> None:
    with zipfile.ZipFile(copy.folder / "packed.zip", "w") as packed:
        for path in copy.package.rglob("*"):
            if "__pycache__" not in path.parts:
                packed.write(path, path.relative_to(copy.folder))
    shutil.rmtree(copy.package)
    done = copy.python("-c", f"import sys; sys.path.insert(0, 'packed.zip'); {TELL}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("False|packed.zip")


def test_without_source_files(copy: Copy) -> None:
    copy.python("-m", "compileall", "-q", "-b", "autograd")
    for path in copy.package.rglob("*.py"):
        path.unlink()
    compiled, file, _, stderr = copy.core()
    assert (compiled, file, stderr) == (False, f"{copy.source}c", "")


def test_a_frozen_program_looks_for_no_files(copy: Copy) -> None:
    """It has no __file__, and what lies in the working folder is not its own."""
    (copy.folder / "node.py").write_text("raise SystemExit('the wrong node.py')")
    code = f"exec(open({str(copy.package / 'compiled.py')!r}).read(), scope := {{}}); print(scope['COMPILED'])"
    done = copy.python("-c", code)
    assert (done.stdout, done.stderr) == ("False\n", "")


@compiled_here
def test_the_command_tells_of_the_compiled_core(copy: Copy) -> None:
    head, core = copy.python("-m", "autograd").stdout.splitlines()
    assert re.fullmatch(r"chainrule \S.*, CPython 3\.\d+\.\S+", head)
    assert core == f"core: compiled ({copy.extension})"


def test_the_command_tells_why_the_pure_core_runs(copy: Copy) -> None:
    _, core, why, remedy = copy.python("-m", "autograd", AUTOGRAD_PURE="1").stdout.splitlines()
    assert (core, why) == (f"core: pure ({copy.source})", "why: AUTOGRAD_PURE is set")
    assert remedy == "remedy: Unset AUTOGRAD_PURE"
    copy.source.write_text(copy.source.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    _, core, why, remedy = copy.python("-m", "autograd").stdout.splitlines()
    assert core == f"core: pure ({copy.source})"
    assert why == f"why: {copy.source} was changed after it was compiled"
    assert "python -m pip install -e ." in remedy
