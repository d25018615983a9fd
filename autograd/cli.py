"""`chainrule draw` and `chainrule explain`: statements in, every derivative out, as pictures, numbers and words.

The console command is gathered in nn.cli, which calls `add_commands` here.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import drawing
from .files import write_bytes
from .graph import topological_order
from .statements import StatementError, evaluate
from .value import Value

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Any]

EXAMPLES = {
    "draw": 'chainrule draw "E = 0.5*(t - sigmoid(w*x + b))**2" w=0.4 x=0.6 b=0.1 t=0.01 -o graph.svg',
    "explain": 'chainrule explain "out = sigmoid(w*x + b); E = 0.5*(t - out)**2" w=0.4 x=0.6 b=0.1 t=0.01 --wrt w',
}
FORMATS = (".svg", ".png", ".dot")


class CommandError(Exception):
    """What a command was given cannot be used: where, what, and the fix, for one line on stderr."""


def add_command(
    commands: "Commands", name: str, run: Callable[[argparse.Namespace], None], summary: str, more: str, example: str
) -> argparse.ArgumentParser:
    """A subcommand, to be given its arguments; running it is args.run(args), which raises CommandError."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}. {more}",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    return parser


def add_commands(commands: "Commands") -> None:
    """Add `draw` and `explain` to the subcommands of a parser."""
    parser = add_command(
        commands,
        "draw",
        draw,
        "draw the graph of an expression, with the derivative at every node",
        "Evaluates the statements, runs backward from\nthe last one, prints each name's data and gradient, "
        "and draws the graph.",
        EXAMPLES["draw"],
    )
    _add_statements(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        default="graph.svg",
        help="the picture: .svg, .png or .dot; '-' writes SVG to stdout and the numbers to stderr (default: graph.svg)",
    )
    parser.add_argument("--depth", metavar="N", type=int, help="show only what is at most N edges from the last one")

    parser = add_command(
        commands,
        "explain",
        explain,
        "explain one derivative by the chain rule",
        "Evaluates the statements and prints the derivative of the\nlast one by the name after --wrt: its factors "
        "from name to name, with their rules, and its paths.",
        EXAMPLES["explain"],
    )
    _add_statements(parser)
    parser.add_argument(
        "--wrt", metavar="NAME", required=True, help="what to differentiate by: any name in the statements"
    )
    parser.add_argument("--latex", action="store_true", help="print LaTeX, for a formula between $ or in \\[ \\]")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="a picture with the paths in colour: .svg, .png or .dot; '-' writes SVG to stdout and the text to stderr",
    )


def _add_statements(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "statements",
        metavar="STATEMENTS",
        help="expressions and assignments separated by ';', of numbers, names, + - * / ** and operations: tanh(x)",
    )
    parser.add_argument("values", metavar="NAME=VALUE", nargs="*", default=[], help="the number that a name stands for")


def draw(args: argparse.Namespace) -> None:
    """The draw command."""
    _refuse_format(args.output)
    names = _evaluated(args)
    result = list(names.values())[-1]
    result.backward()
    _output(_report(names), args.output, lambda: drawing.draw(result, depth=args.depth))


def explain(args: argparse.Namespace) -> None:
    """The explain command."""
    from .explanation import explain

    if args.output is not None:
        _refuse_format(args.output)
    names = _evaluated(args)
    result = list(names.values())[-1]
    if args.wrt not in names:
        close = "".join(f"; did you mean {name!r}?" for name in get_close_matches(args.wrt, names, n=1))
        some = ", ".join([*names][:10]) + ", …" * (len(names) > 10)
        raise CommandError(f"--wrt {args.wrt}: expected one of the names {some}{close}")
    last, wrt = list(names)[-1], names[args.wrt]
    if result.op is None or wrt not in topological_order(result):
        reason = "has no operation in it" if result.op is None else f"does not depend on {args.wrt}"
        raise CommandError(f"--wrt {args.wrt}: {last}, the last of the statements, {reason}")
    explanation = explain(result, wrt)
    text = explanation.latex if args.latex else str(explanation)
    if args.output is None:
        print(text)
    else:
        _output(text, args.output, explanation.draw)


def _refuse_format(output: str) -> None:
    if output != "-" and Path(output).suffix not in FORMATS:
        raise CommandError(f"-o {output}: expected a name that ends in {', '.join(FORMATS)}, such as -o graph.svg")


def _evaluated(args: argparse.Namespace) -> dict[str, Value]:
    values = _numbers(args.values)
    try:
        return evaluate(args.statements, **values)
    except StatementError as error:
        line = f"line {error.line}, " if error.line > 1 else ""
        at = error.text[error.column - 1 :][:30]
        raise CommandError(f"statements, {line}column {error.column}, at {at!r}: {error.reason}") from None
    except (ValueError, TypeError) as error:
        raise CommandError(str(error)) from None


def _output(text: str, output: str, draw: Callable[[], Any]) -> None:
    """Write a picture to a file and print the text; with output "-", the SVG goes to stdout, the text to stderr."""
    try:
        picture = draw()
    except ValueError as error:  # too large a graph, or no such depth
        reason = str(error).partition(". Right: ")[0]
        raise CommandError(f"{reason}; right: --depth 3, for what is near the last one (chainrule draw)") from None
    suffix = ".svg" if output == "-" else Path(output).suffix
    content = picture.source.encode() if suffix == ".dot" else picture.pipe(suffix[1:])
    if output == "-":
        print(text, file=sys.stderr)
        print(content.decode())
        return
    try:
        write_bytes(output, content)
    except OSError as error:
        raise CommandError(
            f"-o {output}: cannot be written ({error.strerror}); name a file in a folder that can"
        ) from None
    print(text)
    print(f"wrote {output}")


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
