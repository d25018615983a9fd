"""Which core runs: node.py as it is, or what it was compiled to when this package was installed.

    COMPILED                     whether the compiled one does
    REASON, REMEDY               why it does not, and what to do about it; "" if it does

    AUTOGRAD_PURE=1              node.py as it is: for debugging, for coverage
    AUTOGRAD_COMPILED=require    an ImportError in place of a slower core

The compiled one runs if it was built for this Python, and from the node.py that lies beside it: the build
leaves a record of that, which it writes last. So a node.py that was edited runs as it is until it is
compiled anew.

>>> COMPILED == (REASON == "")
True
"""

import os
import sys
import warnings
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import module_from_spec, source_hash, spec_from_file_location
from typing import Any

_FOLDER = os.path.dirname(globals().get("__file__", f"{os.devnull}/"))  # a frozen program has no files
SOURCE = os.path.join(_FOLDER, "node.py")
# Not a name under which `import autograd.node` looks: whatever lies here, it cannot hide the source.
EXTENSION = os.path.join(_FOLDER, f"node__mypyc{EXTENSION_SUFFIXES[0]}")


def _load(path: str) -> None:
    """Make a file the module autograd.node, as importing it would."""
    spec = spec_from_file_location("autograd.node", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules["autograd"].node = module  # type: ignore[attr-defined]
    vars(sys.modules["autograd"]).pop("node__mypyc", None)  # what the extension calls itself


def _load_compiled() -> tuple[str, str]:
    """Why that was not done, and the remedy."""
    build = "With a C compiler, `python -m pip install -e .` in the source tree compiles it; -v prints why it could not"
    if os.environ.get("AUTOGRAD_PURE", "") not in ("", "0"):
        return "AUTOGRAD_PURE is set", "Unset AUTOGRAD_PURE"
    try:
        size = os.path.getsize(EXTENSION)
    except OSError:
        return f"it was not compiled for this Python: there is no {EXTENSION}", build
    try:
        with open(f"{EXTENSION}.txt", "rb") as record, open(SOURCE, "rb") as source:
            compiled_from, size_built = record.read().decode().split()
            now = source_hash(source.read()).hex()
    except (OSError, ValueError):
        return f"the build of {EXTENSION} was not finished", build
    if now != compiled_from:
        return f"{SOURCE} was changed after it was compiled", build
    try:
        if str(size) != size_built:  # to load half a library can end the process
            raise ImportError(f"{EXTENSION} has {size} bytes, and had {size_built} when it was built")
        _load(EXTENSION)
    except Exception as error:  # one that is not the extension's fault, the source raises again
        reason = f"the compiled core does not load: {type(error).__name__}: {error}"
        if not _REQUIRED:
            warnings.warn(f"{reason}. The pure one runs instead. {build}", RuntimeWarning, stacklevel=4)
        return reason, build
    return "", ""


_wanted = os.environ.get("AUTOGRAD_COMPILED", "")
if _wanted not in ("", "require"):
    raise ImportError(f"AUTOGRAD_COMPILED={_wanted}: it can be `require`, or unset. AUTOGRAD_PURE=1 runs the pure core")
_REQUIRED = _wanted == "require"
REASON, REMEDY = _load_compiled()
COMPILED = not REASON
if not COMPILED:
    if _REQUIRED:
        raise ImportError(f"AUTOGRAD_COMPILED=require, but {REASON}. {REMEDY}")
    if os.path.exists(SOURCE):  # not so in a zip, where importing it does as well
        _load(SOURCE)


def show_alike(cls: type[Any]) -> None:
    """Have a class of the engine's look the same in help(), signatures and completion, whichever core runs.

    Of a compiled class Python shows its operators without annotations, and pow() of three numbers with that of two.
    """
    for name in ("__getstate__", "__setstate__", "__mypyc_attrs__", "__internal_mypyc_setup", "__annotations__"):
        if name in vars(cls):
            delattr(cls, name)
    for method in vars(cls).values():
        if hasattr(method, "__annotations__"):
            method.__annotations__ = {}
    if not COMPILED:
        power = cls.__rpow__

        def __rpow__(self: Any, value: Any, mod: Any = None, /) -> Any:
            """Return pow(value, self, mod)."""
            return power(self, value) if mod is None else NotImplemented

        __rpow__.__qualname__, __rpow__.__annotations__ = power.__qualname__, {}
        cls.__rpow__ = __rpow__
