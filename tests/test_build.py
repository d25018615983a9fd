"""What a build leaves: the compiled core and its record, or neither, and never a failed install."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from importlib import metadata
from importlib.util import source_hash
from pathlib import Path

import pytest

TREE = Path(__file__).parent.parent
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
EXTENSION = f"autograd/node__mypyc{SUFFIX}"
RECORD = f"{EXTENSION}.txt"
BUILT = f"build/lib.{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
# Pythons share a tree: this one's build is to leave it alone.
OTHER = "autograd/node__mypyc.cpython-399-x86_64-linux-gnu.so"


def version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "0"


MYPYC = re.search(r'MYPYC = "(mypy\[mypyc\]==(.+))"', (TREE / "setup.py").read_text(encoding="utf-8"))
assert MYPYC
COMMANDS = [os.environ["CC"].split()[0]] if os.environ.get("CC") else ["cc", "gcc", "clang"]
HEADERS = Path(sysconfig.get_path("include"), "Python.h")

pytestmark = [
    pytest.mark.skipif(bool(os.environ.get("AUTOGRAD_PURE")), reason="builds are the same whichever core is tested"),
    pytest.mark.skipif(int(version("setuptools").partition(".")[0]) < 77, reason="needs setuptools 77"),
    pytest.mark.skipif(sys.implementation.name != "cpython", reason="mypyc compiles for CPython"),
    pytest.mark.skipif(os.name == "nt", reason="the compilers that stand in here are shell scripts"),
]
needs_mypyc = pytest.mark.skipif(
    version("mypy") != MYPYC[2] or not HEADERS.exists(), reason=f"needs {MYPYC[1]} and Python's headers"
)
needs_compiler = pytest.mark.skipif(not any(map(shutil.which, COMMANDS)), reason="there is no C compiler")


class Tree:
    """A copy of the source tree, in which an earlier build left its extension."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tree"
        self.wheels = folder / "wheels"
        self.bin = folder / "bin"
        left_out = shutil.ignore_patterns("__pycache__", "node__mypyc*", "datasets")
        for name in ("autograd", "nn"):
            shutil.copytree(TREE / name, self.folder / name, ignore=left_out)
        for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(TREE / name, self.folder)
        (self.folder / BUILT / "autograd").mkdir(parents=True)
        for name in (EXTENSION, RECORD, OTHER, f"{OTHER}.txt", f"{BUILT}/{EXTENSION}", f"{BUILT}/{RECORD}"):
            (self.folder / name).write_bytes(b"from an earlier build")

    def compiler(self, script: str, name: str = "cc") -> str:
        """A C compiler that does what a shell script says."""
        self.bin.mkdir(exist_ok=True)
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    def build(self, hook: str, before: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        """Call a hook as pip does, but with the setuptools and the mypy that are here."""
        code = f"import sysconfig; {before}\nfrom setuptools import build_meta; print(build_meta.{hook})"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AUTOGRAD_", "PYTHON", "CFLAGS", "LDFLAGS"))}
        return subprocess.run(
            [sys.executable, "-c", code], cwd=self.folder, env=kept | env, capture_output=True, encoding="utf-8"
        )

    def wheel(self, before: str = "", **env: str) -> tuple[Path, str]:
        done = self.build(f"build_wheel({str(self.wheels)!r})", before, **env)
        assert done.returncode == 0, done.stdout + done.stderr
        return self.wheels / done.stdout.split()[-1], done.stdout + done.stderr

    def editable(self, settings: dict[str, str] | None = None, **env: str) -> str:
        done = self.build(f"build_editable({str(self.wheels)!r}, {settings})", **env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def compiled_files(self) -> set[str]:
        return {path.relative_to(self.folder).as_posix() for path in self.folder.glob("autograd/node[._]*")}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def tell(folder: Path) -> list[str]:
    """What `python -m autograd` says of the package in a folder."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AUTOGRAD_", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-m", "autograd"], cwd=folder, env=kept, capture_output=True, encoding="utf-8", check=True
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def said_once(reason: str, output: str) -> bool:
    return len(re.findall(rf"^autograd/node\.py was not compiled, and runs as it is: .*{reason}.*$", output, re.M)) == 1


IN_THE_SOURCE = {"autograd/node.py", OTHER, f"{OTHER}.txt"}


@needs_mypyc
@needs_compiler
def test_a_wheel_holds_one_extension_and_its_record(tree: Tree) -> None:
    wheel, _ = tree.wheel(AUTOGRAD_COMPILED="require")
    tag = f"cp3{sys.version_info.minor}"
    assert re.fullmatch(rf"chainrule-.*-{tag}-{tag}t?-(?!any).*\.whl", wheel.name)
    # those in the source tree are of no concern to a wheel
    assert tree.compiled_files() == IN_THE_SOURCE | {EXTENSION, RECORD}
    with zipfile.ZipFile(wheel) as packed:
        names = [name for name in packed.namelist() if "node" in name]
        assert sorted(names) == sorted(["autograd/node.py", EXTENSION, RECORD])
        [listed] = [packed.read(name).decode() for name in packed.namelist() if name.endswith("/RECORD")]
        assert all(f"{name},sha256=" in listed for name in names)  # so that uninstalling removes them
        source = packed.read("autograd/node.py")
        size = packed.getinfo(EXTENSION).file_size
        assert packed.read(RECORD).decode() == f"{source_hash(source).hex()} {size}\n"
        packed.extractall(tree.folder / "installed")
    installed = tree.folder / "installed"
    assert tell(installed)[1:] == [f"core: compiled ({installed / EXTENSION})"]


@needs_mypyc
@needs_compiler
def test_an_editable_install_compiles_beside_the_source(tree: Tree) -> None:
    tree.editable({"editable_mode": "strict"}, AUTOGRAD_COMPILED="require")
    assert tree.compiled_files() == IN_THE_SOURCE | {EXTENSION, RECORD}
    assert tell(tree.folder)[1:] == [f"core: compiled ({tree.folder / EXTENSION})"]
    [strict] = tree.folder.glob("build/__editable__*")  # a folder of links to the files that are installed
    assert tell(strict)[1:] == [f"core: compiled ({strict / EXTENSION})"]


def test_no_compiler(tree: Tree) -> None:
    wheel, output = tree.wheel(CC="/nonexistent/cc -pthread")
    assert said_once(r"no C compiler was found \(CC=/nonexistent/cc -pthread\)", output)
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as packed:
        assert [name for name in packed.namelist() if "node" in name] == ["autograd/node.py"]
        [about] = [packed.read(name).decode() for name in packed.namelist() if name.endswith("/WHEEL")]
        assert "Root-Is-Purelib: true" in about


def test_no_headers(tree: Tree) -> None:
    wheel, output = tree.wheel(before="sysconfig.get_path = lambda *_: '/nonexistent'", CC=tree.compiler("exit 1"))
    assert said_once(r"Python's headers were not found \(/nonexistent/Python\.h\)", output)
    assert wheel.name.endswith("-py3-none-any.whl")


def test_pure_on_demand(tree: Tree) -> None:
    assert said_once("AUTOGRAD_PURE is set", tree.editable(AUTOGRAD_PURE="1"))
    assert tree.compiled_files() == IN_THE_SOURCE
    assert tell(tree.folder)[1] == f"core: pure ({tree.folder / 'autograd/node.py'})"


HALF = 'while [ "$1" != -o ]; do shift; done; echo half > "$2"'


@needs_mypyc
def test_nothing_of_an_earlier_build_is_there_while_another_runs(tree: Tree) -> None:
    """For that one may be cut off."""
    output = tree.editable(CC=tree.compiler(f"echo autograd/node* > {tree.folder}/seen; {HALF}; exit 1"))
    assert said_once("the C compiler failed", output)
    assert set((tree.folder / "seen").read_text().split()) == tree.compiled_files() == IN_THE_SOURCE


@needs_mypyc
def test_a_linker_that_fails_halfway(tree: Tree) -> None:
    failing = 'for word in "$@"; do [ "$word" = -shared ] && fails=1; done'
    wheel, output = tree.wheel(CC=tree.compiler(f"fails=0; {failing}; {HALF}; exit $fails"))
    assert said_once("the C compiler failed", output)
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as packed:
        assert [name for name in packed.namelist() if "node" in name] == ["autograd/node.py"]


@needs_mypyc
def test_clang_where_there_is_no_other(tree: Tree) -> None:
    tree.compiler(f'echo "$@" >> {tree.folder}/calls', "clang")
    tree.build(f"build_editable({str(tree.wheels)!r})", PATH=str(tree.bin), CC="")
    *compiling, linking = (tree.folder / "calls").read_text().splitlines()
    assert all([" -c " in call and " -ffp-contract=off" in call for call in compiling])
    assert "-shared" in linking


@needs_mypyc
def test_a_source_that_mypyc_refuses(tree: Tree) -> None:
    with (tree.folder / "autograd" / "node.py").open("a", encoding="utf-8") as file:
        file.write('\nWRONG: int = "no number"\n')
    output = tree.editable(CC=tree.compiler("exit 1"))
    assert said_once("mypyc refuses it", output)
    assert "Incompatible types in assignment" in output
    assert tree.compiled_files() == IN_THE_SOURCE


def test_no_mypyc(tree: Tree) -> None:
    hidden = "import sys; sys.modules['mypyc'] = None"
    _, output = tree.wheel(before=hidden, CC=tree.compiler("exit 1"))
    assert said_once("mypyc", output)


def test_required(tree: Tree) -> None:
    done = tree.build(f"build_wheel({str(tree.wheels)!r})", CC="/nonexistent/cc", AUTOGRAD_COMPILED="require")
    assert done.returncode != 0
    assert "AUTOGRAD_COMPILED=require, but autograd/node.py was not compiled: no C compiler was found" in done.stderr
    assert not list(tree.wheels.glob("*.whl"))


def test_mypyc_is_fetched_where_it_is_used(tree: Tree) -> None:
    assert MYPYC
    ask = "get_requires_for_build_wheel()"
    assert tree.build(ask, CC=tree.compiler("exit 1")).stdout.splitlines()[-1] == f"['{MYPYC[1]}']"
    assert tree.build(ask, CC="/nonexistent/cc").stdout.splitlines()[-1] == "[]"
    assert tree.build(ask, AUTOGRAD_PURE="1").stdout.splitlines()[-1] == "[]"
    extras = tomllib.loads((TREE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert MYPYC[1] in extras["test"]  # these tests use the one that is installed
