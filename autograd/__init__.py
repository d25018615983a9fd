"""Scalar reverse-mode automatic differentiation.

>>> import autograd
>>> a, b = autograd.Value(2.0, label="a"), autograd.Value(0.5, label="b")
>>> out = autograd.tanh(a * b)
>>> out.backward()
>>> f"{a.grad:.4f} {b.grad:.4f}"
'0.2100 0.8399'

Every row of the table of operations (autograd.OPS) is a function here: autograd.exp, autograd.relu,
autograd.affine, ... They take numbers and Values.
"""

import builtins
from importlib import import_module
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any

from .compiled import COMPILED as COMPILED  # isort: split

from .composed import copysign as copysign, log_softmax as log_softmax, mean as mean, softmax as softmax
from .graph import leaves as leaves, topological_order as topological_order
from .ops import *  # noqa: F403  the rows
from .ops import OPS as OPS, Op as Op, custom as custom
from .recording import AnomalyError as AnomalyError, detect_anomaly as detect_anomaly, no_grad as no_grad
from .refusals import StaleGraphError as StaleGraphError
from .value import Value as Value, register as register

if TYPE_CHECKING:
    from .check import check_gradients as check_gradients
    from .collector import gc_paused as gc_paused
    from .drawing import draw as draw, draw_backward as draw_backward, save_svg as save_svg, to_svg as to_svg
    from .explanation import Explanation as Explanation, explain as explain
    from .formulas import Formula as Formula, derivative_formula as derivative_formula, formula as formula
    from .functional import (
        derivative as derivative,
        grad as grad,
        hessian as hessian,
        hvp as hvp,
        jacobian as jacobian,
        jvp as jvp,
        stop_gradient as stop_gradient,
        value_and_grad as value_and_grad,
        vjp as vjp,
    )
    from .passes import gradients as gradients
    from .programs import Program as Program, TraceError as TraceError, jit as jit

# Imported only when used: the core stays small, and on the standard library.
_MODULES = {
    "check_gradients": "check",
    "gc_paused": "collector",
    **dict.fromkeys(("draw", "draw_backward", "save_svg", "to_svg"), "drawing"),
    **dict.fromkeys(("Explanation", "explain"), "explanation"),
    **dict.fromkeys(("Formula", "derivative_formula", "formula"), "formulas"),
    **dict.fromkeys(("derivative", "grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"), "functional"),
    "stop_gradient": "functional",
    "gradients": "passes",
    **dict.fromkeys(("Program", "TraceError", "jit"), "programs"),
}

# Those whose modules could be imported: `import *` and help() ask for all of them.
_PRESENT = [name for name, module in _MODULES.items() if module != "programs" or PathFinder.find_spec("numpy")]

if not TYPE_CHECKING:
    # As NumPy does, `from autograd import *` leaves out what would hide a builtin (sum, abs, pow).
    __all__ = [
        *(
            "COMPILED",
            "OPS",
            "AnomalyError",
            "Op",
            "StaleGraphError",
            "Value",
            "copysign",
            "custom",
            "detect_anomaly",
            "leaves",
        ),
        *("log_softmax", "mean", "no_grad", "register", "softmax", "topological_order", *_PRESENT),
        *(name for name in OPS if not hasattr(builtins, name)),
    ]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    if name in OPS:  # a row registered since
        return OPS[name]
    raise AttributeError(f"module 'autograd' has no attribute {name!r}", name=name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PRESENT, *OPS})
