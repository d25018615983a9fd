"""Statements such as ``h = sigmoid(w*x + b); E = 0.5*(t - h)**2``, read from text and evaluated safely.

>>> names = evaluate("h = w*x; E = 0.5*(1 - h)**2", w=0.5, x=3.0)
>>> names["E"].backward()
>>> names["h"].data, names["E"].data, names["w"].grad
(1.5, 0.125, 1.5)

Python's own parser reads the text, the table of operations says what it means. Nothing is executed.
"""

import ast
import difflib
import keyword
import math
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from .ops import OPS, Op
from .value import Value

ALLOWED = "numbers, names, + - * / **, operations such as tanh(x), and name = expression"
CONSTANTS = {"pi": math.pi, "e": math.e, "inf": math.inf}

_BY_OPERATOR = {op.operator: op for op in OPS.values() if op.operator}
_GRAMMAR: dict[type[ast.AST], Op] = {
    ast.Add: _BY_OPERATOR["add"],
    ast.Sub: _BY_OPERATOR["sub"],
    ast.Mult: _BY_OPERATOR["mul"],
    ast.Div: _BY_OPERATOR["truediv"],
    ast.Pow: _BY_OPERATOR["pow"],
    ast.USub: _BY_OPERATOR["neg"],
}


class StatementError(ValueError):
    """Statements that cannot be read: the reason, the line of text, and its number and the column, both from 1."""

    def __init__(self, reason: str, text: str = "", line: int = 1, column: int = 1) -> None:
        super().__init__(reason, text, line, column)
        self.reason, self.text, self.line, self.column = reason, text, line, column

    def __str__(self) -> str:
        start = max(0, self.column - 61)
        shown = "".join(c if c.isprintable() else " " for c in self.text[start : start + 100])
        return f"line {self.line}, column {self.column}: {self.reason}\n  {shown}\n  {'^':>{self.column - start}}"


def evaluate(text: str, /, **values: float) -> dict[str, Value]:
    """The Values that the statements name, in the order they were named: the last one is the result.

    A `;` or a new line ends a statement. The values given become variables, and so does a name that is
    assigned a number (w = 0.4). An expression that is not assigned goes by its own text. pi, e and inf
    are known, unless those names are given or assigned.

    Raises StatementError, which shows the place, for whatever is not allowed in statements; ValueError or
    TypeError for a value that is not a real number or a name that is not a name.

    >>> evaluate("a = -4; b = 2; c = maximum(a, b)")
    {'a': Value(-4.0, label='a'), 'b': Value(2.0, label='b'), 'c': Value(2.0, label='c')}
    >>> evaluate("y = exp(2*z)", x=1.0)
    Traceback (most recent call last):
    autograd.statements.StatementError: line 1, column 11: the name 'z' has no value; give it one, as in z=0.5
      y = exp(2*z)
                ^
    """
    names: dict[str, Value] = {}
    for given, number in values.items():
        name = unicodedata.normalize("NFKC", given)  # as Python reads names
        if not name.isidentifier() or keyword.iskeyword(name) or name in names:
            raise ValueError(f"{given!r} cannot be given a value; expected different names such as x, w1 or alpha")
        names[name] = Value(number, label=name)
    lines = [line.strip() for line in text.splitlines()]
    for statement in _parse(lines):
        expression = _Expression(lines, names)
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=root):
                value = expression.evaluate(root)
                if not value.label:  # y = x is x by another name
                    value.label = name
            case ast.Expr(value=root):
                value = expression.evaluate(root)
                name = " ".join(str(ast.get_source_segment("\n".join(lines), root)).split())
            case _:
                raise expression.refusal(statement, f"no such statement here; allowed: {ALLOWED}")
        names.pop(name, None)  # the last one named comes last
        names[name] = value
    return names


def _parse(lines: Sequence[str]) -> list[ast.stmt]:
    line, column = 1, 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's advice on code that is refused here anyway
            statements = ast.parse("\n".join(lines)).body
        if statements:
            return statements
        reason = "no statement; expected one, as in E = 0.5*(t - w*x)**2"
    except (RecursionError, MemoryError):
        reason = "nested too deep to read; give parts of it names of their own, or write a long sum as sum([a, b, c])"
    except ValueError as error:  # null bytes, halves of surrogate pairs
        reason = f"cannot read this: {error}; allowed: {ALLOWED}"
    except SyntaxError as error:
        line, column = error.lineno or 1, max(error.offset or 1, 1)
        reason = f"cannot read this: {error.msg.partition(';')[0]}; allowed: {ALLOWED}"
    raise StatementError(reason, "".join(lines[line - 1 : line]), line, column)


class _Expression:
    """Evaluates one expression without recursion: however long a sum, the stack is a list."""

    def __init__(self, lines: Sequence[str], names: dict[str, Value]) -> None:
        self.lines, self.names = lines, names

    def evaluate(self, root: ast.expr) -> Value:
        waiting, order = [root], []
        while waiting:
            node = waiting.pop()
            operands = self.operands(node)
            order.append((node, len(operands)))
            waiting += reversed(operands)
        done: list[Any] = []
        for node, count in reversed(order):
            done.append(self.apply(node, [done.pop() for _ in range(count)]))
        (value,) = done
        if isinstance(value, list):
            raise self.refusal(root, "a list stands only among the operands of an operation, as in sum([a, b])")
        return value if isinstance(value, Value) else Value(value)

    def operands(self, node: ast.expr) -> list[ast.expr]:
        """The expressions that this one is made of. StatementError unless it is one of those allowed."""
        match node:
            case ast.Constant(value=number) if type(number) in (int, float):
                return []
            case ast.Name(id=name) if name in self.names or name in CONSTANTS:
                return []
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=x):
                return [x]
            case ast.BinOp(left=x, op=operator, right=y) if type(operator) in _GRAMMAR:
                return [x, y]
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                return elements
            case ast.Call(func=ast.Name(id=name), args=args, keywords=named) if name in OPS and all(
                k.arg for k in named
            ):
                return [*args, *(k.value for k in named)]
        raise self.refusal(node, self.why_not(node))

    def why_not(self, node: ast.expr) -> str:
        match node:
            case ast.Name(id=name) if name in OPS:
                return f"{name!r} is an operation; call it, as in {OPS[name].signature}"
            case ast.Name(id=name):
                return f"the name {name!r} has no value; {_close(name, self.names)}give it one, as in {name}=0.5"
            case ast.Call(func=ast.Name(id=name)) if name in self.names:
                return f"{name!r} is not an operation; write {name}*(...) for a product"
            case ast.Call(func=ast.Name(id=name)) if name not in OPS:
                return f"{name!r} is not an operation; {_close(name, OPS)}there are {', '.join(OPS)}"
            case ast.BinOp(op=ast.BitXor()):
                return "^ is not a power here; write x**2"
        return f"this is not allowed here; allowed: {ALLOWED}"

    def apply(self, node: ast.expr, operands: list[Any]) -> Any:
        """What the node stands for, given what its operands stand for: a Value, a number, or a list of them."""
        named: dict[str, Any] = {}
        match node:
            case ast.Constant(value=int() | float() as number):
                try:
                    return float(number)
                except OverflowError:
                    raise self.refusal(node, "beyond the range of floats (1.8e308); scale it, or write inf") from None
            case ast.Name(id=name):
                return self.names[name] if name in self.names else CONSTANTS[name]
            case ast.List() | ast.Tuple():
                return operands
            case ast.UnaryOp(op=ast.UAdd()):
                return operands[0]
            case ast.UnaryOp(op=operator) | ast.BinOp(op=operator):
                row = _GRAMMAR[type(operator)]
            case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
                row = OPS[name]
                named = {str(k.arg): x for k, x in zip(keywords, operands[len(args) :], strict=True)}
                operands = operands[: len(args)]
        try:
            return row(*operands, **named)
        except TypeError as error:
            raise self.refusal(node, f"wrong operands; right: {row.signature}") from error
        except ValueError as error:
            raise self.refusal(node, f"{error}; right: {row.signature}") from error

    def refusal(self, node: ast.stmt | ast.expr, reason: str) -> StatementError:
        text = self.lines[node.lineno - 1]
        column = len(text.encode()[: node.col_offset].decode()) + 1  # Python counts bytes
        return StatementError(reason, text, node.lineno, column)


def _close(name: str, known: Iterable[str]) -> str:
    return "".join(f"did you mean {match!r}? Else " for match in difflib.get_close_matches(name, known, n=1))
