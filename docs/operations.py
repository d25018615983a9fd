"""Writes operations.md beside this file: the table of operations, from the rows themselves.

python docs/operations.py
"""

import math
from pathlib import Path

from autograd import OPS, Op
from autograd.files import write_text
from autograd.floats import short


def page() -> str:
    """The page, in Markdown: name and operands, definition, domain, rules at kinks and ends."""
    rows = [
        "# The operations",
        "",
        "Each is a row of the table in `autograd/ops.py`, from which `python docs/operations.py` writes this page.",
        "Inside the domain an operation is finite and differentiable; a kink is a point where its derivative jumps.",
        "",
        "| call | value | in words | domain | partials taken at a kink |",
        "| --- | --- | --- | --- | --- |",
    ]
    return "\n".join(rows + [_line(op) for op in OPS.values()]) + "\n"


def _line(op: Op) -> str:
    words = "" if op.__doc__ == op.name else str(op.__doc__)
    domain = ", ".join(
        f"{_number(low)} < {name} < {_number(high)}"
        for name, (low, high) in zip(op.operands, op.domain, strict=True)
        if (low, high) != (-math.inf, math.inf)
    )
    kinks = "; ".join(f"{_numbers(taken)} at {_numbers(point)}" for point, taken in op.kinks.items())
    latex = op.latex.format(**{name: name.replace("_", r"\_") for name in op.operands})
    cells = [f"`{op.signature}`", f"${latex}$", words, domain or "all", kinks]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _numbers(point: tuple[float, ...]) -> str:
    return "(" + ", ".join(map(_number, point)) + ")" if len(point) != 1 else _number(point[0])


def _number(x: float) -> str:
    return ("-" if x < 0 else "") + "∞" if math.isinf(x) else short(x).removesuffix(".0")


if __name__ == "__main__":
    write_text(Path(__file__).with_name("operations.md"), page())
