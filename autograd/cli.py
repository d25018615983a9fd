"""`chainrule draw`: statements in, the graph with every derivative out, as a picture and as numbers.

The console command is gathered in nn.cli, which calls `add_commands` here.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import drawing
from .files import write_bytes
from .statements import StatementError, evaluate
from .value import Value

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Any]

EXAMPLE = 'chainrule draw "E = 0.5*(t - sigmoid(w*x + b))**2" w=0.4 x=0.6 b=0.1 t=0.01 -o graph.svg'
FORMATS = (".svg", ".png", ".dot")


class CommandError(Exception):
    """What a command was given cannot be used: where, what, and the fix, for one line on stderr."""


def add_commands(commands: "Commands") -> None:
    """Add `draw` to the subcommands of a parser; running it is args.run(args), which raises CommandError."""
    parser = commands.add_parser(
        "draw",
        help="draw the graph of an expression, with the derivative at every node",
        description="Evaluates the statements, runs backward from the last one, prints each name's data and gradient, "
        "and draws the graph.",
        epilog=f"example:\n  {EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "statements",
        metavar="STATEMENTS",
        help="expressions and assignments separated by ';', of numbers, names, + - * / ** and operations: tanh(x)",
    )
    parser.add_argument("values", metavar="NAME=VALUE", nargs="*", default=[], help="the number that a name stands for")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        default="graph.svg",
        help="the picture: .svg, .png or .dot; '-' writes SVG to stdout and the numbers to stderr (default: graph.svg)",
    )
    parser.add_argument("--depth", metavar="N", type=int, help="show only what is at most N edges from the last one")
    parser.set_defaults(run=draw)


def draw(args: argparse.Namespace) -> None:
    """The draw command."""
    suffix = ".svg" if args.output == "-" else Path(args.output).suffix
    if suffix not in FORMATS:
        raise CommandError(f"-o {args.output}: expected a name that ends in {', '.join(FORMATS)}, such as -o graph.svg")
    values = _numbers(args.values)
    try:
        names = evaluate(args.statements, **values)
    except StatementError as error:
        line = f"line {error.line}, " if error.line > 1 else ""
        at = error.text[error.column - 1 :][:30]
        raise CommandError(f"statements, {line}column {error.column}, at {at!r}: {error.reason}") from None
    except (ValueError, TypeError) as error:
        raise CommandError(str(error)) from None
    result = list(names.values())[-1]
    result.backward()
    try:
        picture = (
            drawing.to_svg(result, depth=args.depth) if suffix == ".svg" else drawing.draw(result, depth=args.depth)
        )
        content = picture if isinstance(picture, str) else picture.source if suffix == ".dot" else picture.pipe("png")
    except ValueError as error:  # too large a graph, or no such depth
        reason = str(error).partition(". Right: ")[0]
        raise CommandError(f"{reason}; right: --depth 3, for what is near the last one") from None
    if args.output == "-":
        print(_report(names), file=sys.stderr)
        print(content)
        return
    try:
        write_bytes(args.output, content if isinstance(content, bytes) else content.encode())
    except OSError as error:
        raise CommandError(
            f"-o {args.output}: cannot be written ({error.strerror}); name a file in a folder that can"
        ) from None
    print(_report(names))
    print(f"wrote {args.output}")


def _numbers(pairs: Sequence[str]) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for pair in pairs:
        name, equals, number = pair.partition("=")
        if not equals:
            raise CommandError(f"{pair!r}: expected NAME=VALUE, such as w=0.4; statements with spaces go in quotes")
        if name in numbers:
            raise CommandError(f"{pair!r}: {name} was given a value already; give one")
        try:
            numbers[name] = float(number)
        except ValueError:
            raise CommandError(f"{pair!r}: expected a number, such as {name}=0.4, got {number!r}") from None
    return numbers


def _report(names: dict[str, Value]) -> str:
    """A line per name: its data and its gradient, in full."""
    shown = {name if len(name) <= 40 else name[:37] + "...": value for name, value in names.items()}
    width = max(map(len, shown))
    return "\n".join(f"{name:<{width}} = {v.data!r:<22}  grad {v.grad!r}" for name, v in shown.items())
