"""Compiles autograd/node.py where there is a C compiler. Where there is none, or it fails, that file runs as it is.

AUTOGRAD_PURE=1 compiles nothing, and takes away what was compiled for this Python before; AUTOGRAD_COMPILED=require
makes it an error if nothing is compiled.
"""

import logging
import os
import re
import shlex
import shutil
import sys
import sysconfig
from importlib.util import source_hash
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

SOURCE = Path("autograd", "node.py")
EXTENSION = "autograd.node__mypyc"
MYPYC = "mypy[mypyc]==2.4.1"  # the version whose traps node.py was written around


def c_compiler() -> str:
    """The command in CC; else the first there is of what this Python was built with and the usual names."""
    commands = [os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"]
    if not os.environ.get("CC"):
        commands += ["cc", "gcc", "clang"]
    return next((command for command in commands if shutil.which(shlex.split(command)[0])), "")


def obstacle() -> str:
    """Why nothing can be compiled here, as far as one can tell without mypyc; "" if nothing is in the way."""
    if os.environ.get("AUTOGRAD_PURE", "") not in ("", "0"):
        return "AUTOGRAD_PURE is set"
    if sys.implementation.name != "cpython":
        return f"mypyc compiles for CPython, and this is {sys.implementation.name}"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "this Python is free-threaded, and compiled nodes rely on the global interpreter lock"
    if os.name == "nt":
        from distutils.ccompiler import new_compiler  # setuptools's

        try:
            new_compiler().initialize()
        except Exception as error:  # each of its versions has its own
            return f"no C compiler was found: {error}"
        return ""
    if not c_compiler():
        return f"no C compiler was found (CC={os.environ.get('CC', '')})"
    headers = Path(sysconfig.get_path("include"), "Python.h")
    return "" if headers.exists() else f"Python's headers were not found ({headers})"


def record_of(extension: Path) -> Path:
    """The file that says what an extension was built from. autograd/compiled.py loads none without it."""
    return extension.with_name(f"{extension.name}.txt")


def release_classes(c: str) -> str:
    """C in which an object lets go of its class, and shows it to the collector, as CPython asks of it since 3.9.

    mypyc's does neither, so that a class made at run time, of which there ever was an object, would live for ever.
    """
    c = c.replace(
        "Py_TYPE(self)->tp_free((PyObject *)self);",
        "PyTypeObject *its_class = Py_TYPE(self);\nits_class->tp_free((PyObject *)self);\nPy_DECREF(its_class);",
    )
    return re.sub(r"(_traverse\([^;{]*visitproc visit, void \*arg\)\n\{\n)", r"\1Py_VISIT(Py_TYPE(self));\n", c)


TYPE_CHECK = """\
#include <Python.h>
#undef PyObject_TypeCheck
#define PyObject_TypeCheck(o, t) (Py_TYPE(o)->tp_base == (t) || PyObject_TypeCheck((PyObject *)(o), t))
"""


def hasten_type_checks(c: str) -> str:
    """C that sees without a call into Python that a Value, whose base is Node, is a Node; what isn't one is asked on.

    mypyc checks the type of nearly every node that it takes up, and an operator's operands with all of isinstance().
    """
    return TYPE_CHECK + c.replace("if (PyObject_IsInstance(obj_", "if (CPy_TypeCheck(obj_")


class BuildCore(build_ext):
    """Builds the extension and its record, or neither."""

    def run(self) -> None:
        wanted = os.environ.get("AUTOGRAD_COMPILED", "")
        if wanted not in ("", "require"):
            raise CompileError(
                f"AUTOGRAD_COMPILED={wanted}: it can be `require`, or unset. AUTOGRAD_PURE=1 compiles nothing"
            )
        filename = self.get_ext_filename(EXTENSION)
        # An editable install has it copied beside its source.
        extensions = [Path(self.build_lib, filename), *([Path(filename)] if self.inplace else [])]
        try:
            self.remove(extensions)
            source = SOURCE.read_bytes()
            if reason := obstacle():
                raise CompileError(reason)
            self.translate()
            if os.name != "nt":
                os.environ["CC"] = c_compiler()
            try:
                super().run()
            except (CompileError, LinkError) as error:
                raise CompileError("the C compiler failed, and has printed why") from error
            for extension in extensions:
                record_of(extension).write_text(f"{source_hash(source).hex()} {extension.stat().st_size}\n")
        except Exception as error:
            self.remove(extensions)
            reason = str(error) if isinstance(error, CompileError) else f"{type(error).__name__}: {error}"
            if wanted == "require":
                raise CompileError(f"AUTOGRAD_COMPILED=require, but {SOURCE} was not compiled: {reason}") from error
            self.announce(f"{SOURCE} was not compiled, and runs as it is: {reason}", logging.WARNING)
            self.extensions = self.distribution.ext_modules = []
            if wheel := self.distribution.get_command_obj("bdist_wheel", create=False):
                wheel.root_is_pure = True  # its tag is for any Python

    def translate(self) -> None:
        """Have mypyc write the C, here and not at the top, so that asking for metadata does not take seconds."""
        from mypyc.build import mypycify

        try:
            # This file alone: what it was compiled from is then all in it, and mypy is done in a second. Whether
            # the types are right throughout the package, by stricter rules, is asked by `make lint`.
            core, loader = mypycify(
                ["--config-file=", "--follow-imports=skip", str(SOURCE)],
                opt_level="3",
                debug_level="0",
                target_dir=str(Path(self.build_temp, "mypyc")),
            )
        except SystemExit as error:
            raise CompileError("mypyc refuses it, and has printed why") from error
        for path in map(Path, core.sources):
            c = hasten_type_checks(release_classes(path.read_text(encoding="utf-8")))
            path.write_text(c, encoding="utf-8")
        [extension] = self.extensions
        # Two extensions by default, one of which only loads the other: here one file is both, so that none is alone.
        extension.sources = core.sources + loader.sources
        extension.include_dirs = core.include_dirs
        extension.extra_compile_args = core.extra_compile_args
        if os.name != "nt":
            # A multiplication and an addition fused into one would round otherwise than the same file uncompiled.
            # What a newer compiler warns of is no error. Hidden, functions call each other without a detour.
            extension.extra_compile_args += ["-ffp-contract=off", "-Wno-error", "-fvisibility=hidden"]

    @staticmethod
    def remove(extensions: list[Path]) -> None:
        for extension in extensions:
            record_of(extension).unlink(missing_ok=True)
            extension.unlink(missing_ok=True)

    def get_output_mapping(self) -> dict[str, str]:
        mapping = super().get_output_mapping()
        return mapping | {str(record_of(Path(a))): str(record_of(Path(b))) for a, b in mapping.items()}


setup(
    ext_modules=[Extension(EXTENSION, sources=[])],
    cmdclass={"build_ext": BuildCore},
    setup_requires=[] if obstacle() else [MYPYC],  # large, so not fetched in vain
)
