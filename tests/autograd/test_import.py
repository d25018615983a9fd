"""What importing the engine brings in, and which way its imports run."""

import ast
import builtins
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import autograd

PACKAGE = Path(autograd.__file__).parent

# Each module may import, when it is loaded, those that stand before it.
CORE = ["compiled", "floats", "recording", "refusals", "node", "ops", "hooks", "backward", "value", "graph", "composed"]
CORE += [
    "collector",
    "copying",
    "structure",
    "passes",
    "jets",
    "functional",
    "differences",
    "check",
]  # imported when used


def run(code: str) -> str:
    """The output of a new Python that sees the standard library and this package, nothing else."""
    isolated = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r})\n{code}"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", isolated], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(module imported, whether that happens as the module is loaded), the type checker's imports left out."""

    def walk(node: ast.AST, loading: bool) -> Iterator[tuple[str, bool]]:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for child in node.orelse:
                yield from walk(child, loading)
            return
        if isinstance(node, ast.Import):
            yield from ((alias.name, loading) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            before = ".".join(parts[: len(parts) - node.level]) if node.level else ""
            module = ".".join(filter(None, [before, node.module or ""]))
            yield module, loading
            yield from ((f"{module}.{alias.name}", loading) for alias in node.names)
        for child in ast.iter_child_nodes(node):
            inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from walk(child, loading and not inside)

    return walk(ast.parse(path.read_text(encoding="utf-8")), True)


def test_nothing_but_the_standard_library() -> None:
    loaded = run("import autograd; print(*{name.partition('.')[0] for name in sys.modules})").split()
    assert "autograd" in loaded
    assert set(loaded) - {"autograd", "__main__"} <= set(sys.stdlib_module_names)


def test_the_core_works_without_what_is_imported_late() -> None:
    code = """
import autograd, copy, pickle
x = autograd.Value(3.0)
y = autograd.softmax([x, 1.0])[0] * autograd.affine([x], [2.0], 1.0)
y.backward()
x.grad, pickle.loads(pickle.dumps(copy.deepcopy(y))).backward(), y.local_derivatives, repr(y)
print(*sorted({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names - {'__main__'}))
print(*sorted(name for name in sys.modules if name.startswith('autograd.d')))
"""
    assert run(code).split() == ["autograd"]


def test_loading_is_light() -> None:
    """None of the slow modules of the standard library, which come with what a person uses later."""
    heavy = "asyncio unittest email http urllib.request xml tempfile inspect dataclasses multiprocessing"
    loaded = run("import autograd; print(*sys.modules)").split()
    assert set(heavy.split()) & set(loaded) == set()


def test_imports_run_one_way() -> None:
    for place, name in enumerate(CORE):
        for module, loading in imports(PACKAGE / f"{name}.py"):
            if module.startswith("autograd.") and loading:
                assert module.split(".")[1] in CORE[:place], f"{name} imports {module} as it is loaded"


def test_no_module_imports_itself_through_others() -> None:
    graph: dict[str, set[str]] = {}
    paths = {".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts): p for p in PACKAGE.rglob("*.py")}
    for name, path in paths.items():
        if path.name != "__init__.py":
            graph[name] = {m for m, loading in imports(path) if loading and m in paths}

    def reach(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        for below in graph.get(name, ()):
            reach(below, (*trail, name))

    for name in graph:
        reach(name, ())


def test_the_engine_knows_no_nn() -> None:
    for path in PACKAGE.rglob("*.py"):
        named = {module.partition(".")[0] for module, _ in imports(path)}
        assert not named & {"nn", "torch", "jax"}, path


def test_star_import_hides_no_builtin() -> None:
    scope: dict[str, object] = {}
    exec("from autograd import *", scope)
    assert {"Value", "exp", "relu", "affine", "backward"} - set(scope) == {"backward"}
    assert not {name for name in scope if hasattr(builtins, name)} - {"__builtins__", "__doc__", "__name__"}
    assert set(autograd.__all__) <= set(dir(autograd))
    assert len(set(autograd.__all__)) == len(autograd.__all__)


def test_unknown_names() -> None:
    with pytest.raises(AttributeError, match="'autograd' has no attribute 'tanhh'"):
        autograd.tanhh  # noqa: B018
    with pytest.raises(ImportError):
        exec("from autograd import tanhh")


def test_every_row_is_a_public_function() -> None:
    for name, op in autograd.OPS.items():
        assert getattr(autograd, name) is op
        assert name in dir(autograd)
