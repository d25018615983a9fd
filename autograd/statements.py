"""Statements such as ``h = sigmoid(w*x + b); E = 0.5*(t - h)**2``, read from text and evaluated safely.

>>> names = evaluate("h = w*x; E = 0.5*(1 - h)**2", w=0.5, x=3.0)
>>> names["E"].backward()
>>> names["h"].data, names["E"].data, names["w"].grad
(1.5, 0.125, 1.5)

Python's own parser reads the text and the table of operations gives it meaning: nothing is executed,
and what is not listed in `ALLOWED` is refused.
"""

import ast
import difflib
import keyword
import math
import unicodedata
import warnings
from collections.abc import Iterable
from typing import Any

from .ops import OPS, Op
from .value import Value

ALLOWED = "numbers, names, + - * / **, calls of operations such as tanh(x), and assignments name = expression"
CONSTANTS = {"pi": math.pi, "e": math.e, "inf": math.inf}

# Python's grammar -> Python's name of the operator, by which the rows of the table are found.
_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "truediv",
    ast.Pow: "pow",
    ast.USub: "neg",
}


class StatementError(ValueError):
    """Statements that cannot be read or evaluated: the reason, and the line and column, counted from 1."""

    def __init__(self, reason: str, text: str, line: int, column: int) -> None:
        self.reason, self.text, self.line, self.column = reason, text, line, column
        super().__init__(reason)

    def __str__(self) -> str:
        start = max(0, self.column - 61)
        shown = self.text[start : start + 100]
        return f"line {self.line}, column {self.column}: {self.reason}\n  {shown}\n  {' ' * (self.column - 1 - start)}^"


def evaluate(text: str, /, **values: float) -> dict[str, Value]:
    """The Values that the statements in text name, in the order they were named; the last one is the result.

    Statements are separated by `;` or a new line. Values given by name become variables, and so does a
    name given a plain number (w = 0.4); arithmetic among plain numbers stays plain. An expression that is
    not assigned goes by its own text. pi, e and inf are known unless they are given.

    Raises StatementError, which shows the place, for whatever is not allowed here, and ValueError or
    TypeError for values that are not real numbers under usable names.

    >>> evaluate("a = -4; b = 2; max = maximum(a, b)")
    {'a': Value(-4.0, label='a'), 'b': Value(2.0, label='b'), 'max': Value(2.0, label='max')}
    >>> evaluate("y = exp(2*z)", x=1.0)
    Traceback (most recent call last):
    autograd.statements.StatementError: line 1, column 11: the name 'z' has no value; give it one, as in z=0.5
      y = exp(2*z)
                ^
    """
    names: dict[str, Value] = {}
    for given, number in values.items():
        name = unicodedata.normalize("NFKC", given)  # as Python's parser does with names
        if not name.isidentifier() or keyword.iskeyword(name) or name in names:
            raise ValueError(f"{given!r} cannot be given a value: expected distinct names such as x, w1 or alpha")
        names[name] = Value(number, label=name)
    lines = [line.strip() for line in text.splitlines()]
    statements = _parse(lines)
    if not statements:
        raise StatementError("there is no statement; expected one, as in E = (t - w*x)**2", "", 1, 1)
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=expression):
                pass
            case ast.Expr(value=expression):
                name = ast.get_source_segment("\n".join(lines), expression) or ast.unparse(expression)
            case _:
                raise _refusal(lines, statement, f"this is not a statement known here; allowed: {ALLOWED}")
        value = _evaluate(expression, names, lines)
        if not isinstance(value, Value):
            value = Value(value)
        if not value.label and isinstance(statement, ast.Assign):
            value.label = name
        names.pop(name, None)  # so that the last one named comes last
        names[name] = value
    return names


def _parse(lines: list[str]) -> list[ast.stmt]:
    try:
        with warnings.catch_warnings(action="ignore") if False else warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's advice on code that is refused below
            return ast.parse("\n".join(lines)).body
    except SyntaxError as error:
        line, column = error.lineno or 1, max(error.offset or 1, 1)
        reason = f"cannot be read: {error.msg}; allowed: {ALLOWED}"
    except (RecursionError, MemoryError):
        line, column = 1, 1
        reason = "nested too deep to read; name parts of it in statements of their own, or use sum([a, b, c])"
    except ValueError as error:  # null bytes, halves of surrogate pairs
        line, column = 1, 1
        reason = f"cannot be read: {error}; allowed: {ALLOWED}"
    raise StatementError(reason, lines[line - 1] if line <= len(lines) else "", line, column)
