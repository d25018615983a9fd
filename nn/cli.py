"""The `chainrule` command: draw and explain an expression, train a network on a CSV file, predict with it.

>>> main(["train", "flowers.csv", "--target", "species", "--out", "model"])  # chainrule: error: flowers.csv: ...
2
"""

import argparse
import csv
import io
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from autograd import Value, cli as autograd_cli, mean, no_grad, softmax, to_svg
from autograd.cli import CommandError
from autograd.drawing import RendererNotFoundError
from autograd.files import write_text

from .fit import History, accuracy, fit
from .layers import MLP, Neuron
from .losses import cross_entropy_loss, mse_loss
from .optimizers import Adam
from .table import Categories, Column, Numbers, Table, TableError, encode, fit_column, hold_out, read_table, shown

MODEL, HISTORY, GRAPH = FILES = ("model.json", "history.csv", "graph.svg")
FEW = 10  # a target of whole numbers, at most this many different ones, is taken for classes
MOST_PARAMETERS = 1_000_000
MOST_ARROWS = 1500  # in graph.svg: beyond, laying it out takes longer than the training

TASK_RULE = f"classification if the target is text or at most {FEW} different whole numbers, else regression"
EXAMPLES = {
    "train": "chainrule train iris.csv --target species --hidden 16,16 --epochs 50 --seed 0 --out model",
    "predict": "chainrule predict model iris.csv -o predictions.csv",
}


@dataclass
class Predictor:
    """A network, with what turns a table's columns into its inputs and its outputs into predictions."""

    columns: list[Column]
    target: Column
    network: MLP

    def outputs(self, table: Table) -> list[Any]:
        """The network's output for every row: a logit per category of the target, or one standardised number."""
        with no_grad():
            return [self.network(inputs) for inputs in encode(table, self.columns)]

    def targets(self, table: Table) -> list[Any]:
        """What the outputs are compared with: a category's place for every row, or a standardised number."""
        if isinstance(self.target, Categories):
            return list(self.target.codes(table))
        return [z for (z,) in self.target.encode(table)]

    @property
    def loss(self) -> Callable[[Any, Any], Any]:
        return cross_entropy_loss if isinstance(self.target, Categories) else mse_loss

    @property
    def metric_name(self) -> str:
        return "accuracy" if isinstance(self.target, Categories) else "rmse"

    def metric(self, outputs: Sequence[Any], targets: Sequence[Any]) -> float:
        """The accuracy, from 0 to 1, or the root mean square error in the target's own unit."""
        if isinstance(self.target, Categories):
            return accuracy(outputs, targets)
        errors = [o.data - t for o, t in zip(outputs, targets, strict=True)]
        return self.target.std * math.hypot(*errors) / math.sqrt(len(errors))

    def measure(self, X: Sequence[Any], y: Sequence[Any]) -> tuple[float, float]:
        """The mean loss and the metric on inputs and targets."""
        with no_grad():
            outputs = [self.network(x) for x in X]
            losses = [self.loss(o, t).data for o, t in zip(outputs, y, strict=True)]
        return mean(losses), self.metric(outputs, y)

    def describe(self, metric: float, rows: int) -> str:
        """The metric in words."""
        if isinstance(self.target, Categories):
            return f"accuracy: {metric:.1%} ({round(metric * rows)} of {rows} rows)"
        return f"RMSE: {metric:.6g} ({rows} rows)"

    def to_json(self, **facts: object) -> str:
        """Everything that from_json needs, every bit of it kept; facts are entries for people to read."""
        network = {"nin": self.network.nin, "nouts": self.network.nouts}
        network |= {"activation": self.network.activation, "output": self.network.output}
        whole = {
            "columns": [asdict(column) for column in self.columns],
            "target": asdict(self.target),
            **facts,
            "network": network,
            "state": self.network.state_dict(),
        }
        return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Predictor":
        """The predictor that to_json wrote. ValueError, KeyError or TypeError for text that it did not."""
        whole = json.loads(text, parse_constant=_refuse_constant)
        columns, target = [_column(c) for c in whole["columns"]], _column(whole["target"])
        shape, state = whole["network"], whole["state"]
        sizes, width = [shape["nin"], *shape["nouts"]], sum(len(column.input_names) for column in columns)
        if (sizes[0], sizes[-1]) != (width, len(target.input_names)):
            expected = f"{width} inputs and {len(target.input_names)} outputs, as its columns have"
            raise ValueError(f"expected {expected}; its network has {sizes[0]} and {sizes[-1]}")
        if _parameters(sizes) != len(state):
            raise ValueError(f"expected {_parameters(sizes)} parameters; its state has {len(state)}")
        network = MLP(**shape)
        network.load_state_dict(state)
        return cls(columns, target, network)


def train(args: argparse.Namespace) -> None:
    """The train command: everything is checked first, and nothing is written before all of it is done."""
    folder = Path(args.out)
    _refuse_unwritable(folder)
    table = read_table(args.data)
    for name in args.ignore:
        table.cells(name)
    inputs = [name for name in table.names if name not in (args.target, *args.ignore)]
    task, reason = _task(table, args.target, args.task)
    classify = task == "classification"
    if not inputs or args.target in args.ignore:
        raise CommandError(f"{args.data}: no column is left to tell {shown(args.target)} from; --ignore fewer columns")
    training, held_out = hold_out(table, args.target, classify, args.seed)
    columns = [fit_column(table, name, training) for name in inputs]
    target = fit_column(table, args.target, training, categorical=classify)
    sizes = [sum(len(column.input_names) for column in columns), *args.hidden, len(target.input_names)]
    if _parameters(sizes) > MOST_PARAMETERS:
        raise CommandError(
            f"--hidden {','.join(map(str, args.hidden))}: that makes {_parameters(sizes):,} parameters; "
            f"expected at most {MOST_PARAMETERS:,}, this being an engine for small networks"
        )
    network = MLP(sizes[0], sizes[1:], args.activation, init="xavier", seed=args.seed)
    predictor = Predictor(columns, target, network)
    X, y = encode(table, columns), predictor.targets(table)
    print(f"{args.data}: {len(table.rows)} rows, {len(training)} to train on and {len(held_out)} held out")
    print(f"{task} of {shown(args.target)} ({reason}), network {'-'.join(map(str, sizes))}", flush=True)
    known, unknown = [([X[i] for i in rows], [y[i] for i in rows]) for rows in (training, held_out)]
    sample = X[training[0]], y[training[0]]
    _graph(predictor, *sample)  # if it cannot be drawn, say so now rather than after the training
    optimizer = Adam(network.parameters(), lr=args.learning_rate)
    try:
        history = fit(
            network,
            *known,
            loss=predictor.loss,
            optimizer=optimizer,
            epochs=args.epochs,
            batch_size=args.batch_size,
            validation=unknown,
            seed=args.seed,
            metric=predictor.metric,
        )
        final = [*predictor.measure(*known), *predictor.measure(*unknown)]
        if not all(map(math.isfinite, [*final, *network.state_dict().values()])):
            raise FloatingPointError("the last update left numbers that are not finite")
    except FloatingPointError as error:
        raise CommandError(
            f"--learning-rate {args.learning_rate}: training diverged, try a smaller one ({error})"
        ) from None
    score = predictor.describe(final[-1], len(held_out))
    files = {
        MODEL: predictor.to_json(held_out={"rows": len(held_out), predictor.metric_name: final[-1]}),
        HISTORY: _history(history, final, predictor.metric_name),
        GRAPH: _graph(predictor, *sample),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_text(folder / name, text)
    except OSError as error:
        raise CommandError(f"--out {folder}: cannot be written ({error.strerror})") from None
    print(f"held-out {score}")
    print(f"wrote {', '.join(str(folder / name) for name in files)}")


def predict(args: argparse.Namespace) -> None:
    """The predict command."""
    predictor, table = _load(Path(args.model)), read_table(args.data)
    target = predictor.target
    outputs = predictor.outputs(table)
    if isinstance(target, Categories):
        added = [f"predicted_{target.name}", *(f"probability_{category}" for category in target.categories)]
        probabilities = [softmax([logit.data for logit in logits]) for logits in outputs]
        predicted = [[target.categories[p.index(max(p))], *(f"{x:.6f}" for x in p)] for p in probabilities]
    else:
        added = [f"predicted_{target.name}"]
        predicted = [[repr(target.mean + target.std * z.data)] for z in outputs]
    clash = [name for name in added if name in table.names]
    if clash:
        raise CommandError(f"{args.data}: there is a column {shown(clash[0])} already; remove or rename it")
    score = ""
    if target.name in table.names and any(table.cells(target.name)):
        score = predictor.describe(predictor.metric(outputs, predictor.targets(table)), len(outputs))
    rows = [table.names + added, *(row + new for row, new in zip(table.rows, predicted, strict=True))]
    text = _csv(rows, table.separator)
    if args.output is None:
        sys.stdout.write(text)
    else:
        try:
            write_text(args.output, text)
        except OSError as error:
            raise CommandError(f"-o {args.output}: cannot be written ({error.strerror})") from None
    if score:
        print(score, file=sys.stderr)


def _task(table: Table, target: str, said: str | None) -> tuple[str, str]:
    """Classification or regression, and why. CommandError for a target that allows neither."""
    numeric = table.holds_numbers(target)
    where = f"{table.path}, column {shown(target)}"
    if said == "regression" and not numeric:
        raise CommandError(
            f"{where}: regression needs a target of numbers, this one is text; say --task classification"
        )
    different: set[Any] = set(table.numbers(target) if numeric else table.texts(target))
    if len(different) == 1:
        raise CommandError(
            f"{where}: the target is {shown(str(*different))} in every row; expected two values at least"
        )
    if said:
        return said, "as --task says"
    if not numeric:
        return "classification", "the target is text"
    if len(different) <= FEW and all(x.is_integer() for x in different):
        return "classification", f"the target has {len(different)} different whole numbers"
    return "regression", f"the target is neither text nor at most {FEW} different whole numbers"


def _load(folder: Path) -> Predictor:
    path = folder / MODEL
    try:
        return Predictor.from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(
            f"{path}: cannot be read ({error.strerror}); give the folder that chainrule train --out wrote"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandError(f"{path}: cut short, or not JSON ({error}); train again") from None
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        reason = f"no entry {error}" if isinstance(error, KeyError) else str(error)
        raise CommandError(f"{path}: not a model that chainrule train wrote ({reason}); train again") from None


def _column(entries: dict[str, Any]) -> Column:
    if "categories" in entries:
        return Categories(str(entries["name"]), tuple(map(str, entries["categories"])), bool(entries["numeric"]))
    return Numbers(str(entries["name"]), entries["mean"], entries["std"])


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no finite number")


def _parameters(sizes: Iterable[int]) -> int:
    """How many weights and biases a network with layers of these sizes has, its inputs first."""
    return sum((nin + 1) * nout for nin, nout in pairwise(sizes))


def _history(history: History, final: Sequence[float], metric: str) -> str:
    """history.csv: a row per epoch, measured before its updates, and one more for the trained network."""
    columns = [history.loss, history.metric, history.validation_loss, history.validation_metric]
    epochs = [*zip(*columns, strict=True), final]
    header = ["epoch", "loss", metric, "held_out_loss", f"held_out_{metric}"]
    return _csv([header, *([epoch, *measured] for epoch, measured in enumerate(epochs))])


def _graph(predictor: Predictor, inputs: Sequence[float], target: Any) -> str:
    """graph.svg: the loss of one sample with its gradients, each neuron folded to a box."""
    predictor.network.zero_grad()
    names = [name for column in predictor.columns for name in column.input_names]
    outputs = predictor.network([Value(x, name) for x, name in zip(inputs, names, strict=True)])
    for output, name in zip(
        outputs if isinstance(outputs, list) else [outputs], predictor.target.input_names, strict=True
    ):
        output.label = name
    loss = predictor.loss(outputs, target)
    loss.label = "loss"
    loss.backward()
    weights = [nin * nout for nin, nout in pairwise([predictor.network.nin, *predictor.network.nouts])]
    depth = None if sum(weights) <= MOST_ARROWS else 2 if weights[-1] <= MOST_ARROWS else 1
    return to_svg(loss, expand=False, depth=depth)


def _csv(rows: Iterable[Sequence[object]], separator: str = ",") -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _refuse_unwritable(folder: Path) -> None:
    """CommandError unless the folder, or where it would be made, takes new files; leaves nothing behind."""
    there = folder
    while not os.path.lexists(there):
        there = there.parent
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise CommandError(f"--out {folder}: {there} takes no files ({error.strerror}); name another folder") from None
    taken = [folder / name for name in FILES if (folder / name).is_dir()]
    if taken:
        raise CommandError(f"--out {folder}: {taken[0]} is a folder; remove it or name another --out")


def _whole(lowest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.strip().isdecimal() or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"expected a whole number from {lowest} up, got {text!r}")
        return int(text)

    return parse


def _sizes(text: str) -> list[int]:
    try:
        return [_whole(1)(size) for size in text.split(",")] if text.strip() else []
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(
            f"{error}; right: --hidden 16,16, or --hidden '' for no hidden layer"
        ) from None


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, such as 0.01, got {text!r}")
    return rate


def _activation(text: str) -> str:
    try:
        Neuron(1, text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


class _Parser(argparse.ArgumentParser):
    """Answers a wrong command line with CommandError, so that it takes one line like all other errors."""

    def error(self, message: str) -> NoReturn:
        raise CommandError(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="chainrule",
        description="Draw an expression and explain its derivatives; train a small network on a CSV file; predict.",
        epilog="\n".join(["examples:", *(f"  {example}" for example in (autograd_cli.EXAMPLES | EXAMPLES).values())]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"chainrule {_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    autograd_cli.add_commands(commands)
    add_commands(commands)
    return parser


def add_commands(commands: "autograd_cli.Commands") -> None:
    """Add `train` and `predict` to the subcommands of a parser; running one is args.run(args)."""

    command = autograd_cli.add_command(
        commands,
        "train",
        train,
        "train a network on a CSV file",
        "Numbers are standardised,\ntext becomes one input per category. 20 % of the rows are held out, "
        "to measure the network on:\naccuracy (classification) or RMSE (regression).",
        EXAMPLES["train"],
    )
    option = command.add_argument
    option("data", metavar="DATA.csv", help="a header row of column names, then a row per sample; UTF-8")
    option("--target", metavar="COLUMN", required=True, help="the column to predict")
    option("--out", metavar="DIR", required=True, help=f"the folder for {', '.join(FILES)}")
    option("--task", choices=["classification", "regression"], help=f"default: {TASK_RULE}")
    option("--ignore", metavar="COLUMN", action="append", default=[], help="a column to leave out; can be repeated")
    option("--hidden", metavar="SIZES", type=_sizes, default="16,16", help="neurons per hidden layer (default: 16,16)")
    option(
        "--activation",
        metavar="NAME",
        type=_activation,
        default="tanh",
        help="of the hidden layers: any operation on one number (default: tanh)",
    )
    option("--epochs", metavar="N", type=_whole(1), default=50, help="passes over the rows (default: %(default)s)")
    option("--batch-size", metavar="N", type=_whole(1), default=16, help="rows per update (default: %(default)s)")
    option("--learning-rate", metavar="RATE", type=_rate, default=0.01, help="of Adam (default: %(default)s)")
    option("--seed", metavar="S", type=_whole(0), default=0, help="same seed, same model (default: %(default)s)")

    command = autograd_cli.add_command(
        commands,
        "predict",
        predict,
        "predict with a trained network",
        "Writes the columns of DATA.csv,\nthe predictions, and for classes their probabilities, as CSV. "
        "If DATA.csv has the target,\nthe accuracy or RMSE goes to stderr.",
        EXAMPLES["predict"],
    )
    command.add_argument("model", metavar="DIR", help="the folder that train wrote")
    command.add_argument("data", metavar="DATA.csv", help="a table with the columns trained on, in any order")
    command.add_argument("-o", "--output", metavar="FILE", help="where to write (default: stdout)")


def _version() -> str:
    try:
        return metadata.version("chainrule")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code: 0, 2 after an error (one line on stderr), 130 if interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        args = _parser().parse_args(argv)
        args.run(args)
        sys.stdout.flush()
    except (CommandError, TableError, RendererNotFoundError) as error:
        print("chainrule: error:", " ".join(str(error).splitlines()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
