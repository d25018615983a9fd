"""Tables of samples: reading CSV, holding rows out, turning columns into the numbers a network takes.

>>> table = Table("flowers.csv", ["petals", "colour"], [["5", "red"], ["7", "blue"], ["6", "red"]])
>>> columns = [fit_column(table, name, training=[0, 1]) for name in table.names]
>>> encode(table, columns)
[[-1.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]

Whatever is wrong with a file is a TableError that names the file, the row (the header is row 1), the
column, and the fix.
"""

import csv
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from random import Random

SEPARATORS = ",;\t|"


class TableError(ValueError):
    """A file that does not hold what was asked of it: where, what, and the fix."""


@dataclass(frozen=True)
class Table:
    """A file's cells as text: a name per column, and per row a list of cells and its number in the file."""

    path: str
    names: list[str]
    rows: list[list[str]]
    row_numbers: list[int] = field(default_factory=list)
    separator: str = ","

    def place(self, i: int, name: str) -> str:
        """Where in the file the cell of row i (from 0) and the named column stands."""
        row = self.row_numbers[i] if self.row_numbers else i + 2
        return f"{self.path}, row {row}, column {shown(name)}"

    def texts(self, name: str) -> list[str]:
        """The column's cells. TableError for an empty one, or if there is no such column."""
        texts = self.cells(name)
        if "" in texts:
            raise TableError(f"{self.place(texts.index(''), name)}: the cell is empty; fill it in or remove the row")
        return texts

    def numbers(self, name: str) -> list[float]:
        """The column's cells as floats. TableError for one that is not a finite number.

        >>> Table("t.csv", ["x"], [["1"], ["2,5"]]).numbers("x")
        Traceback (most recent call last):
        nn.table.TableError: t.csv, row 3, column 'x': expected a number such as 2.5, got '2,5'; correct the cell
        """
        numbers = []
        for i, text in enumerate(self.texts(name)):
            number = _number(text)
            if number is None or not math.isfinite(number):
                place = self.place(i, name)
                raise TableError(f"{place}: expected a number such as 2.5, got {shown(text)}; correct the cell")
            numbers.append(number)
        return numbers

    def holds_numbers(self, name: str) -> bool:
        """Whether more than half of the column's cells, empty ones aside, are numbers.

        A decimal comma counts as one, so that `numbers` refuses it: as text it would be a category.
        """
        texts = [text for text in self.cells(name) if text]
        return sum(_number(text.replace(",", ".")) is not None for text in texts) > len(texts) / 2

    def cells(self, name: str) -> list[str]:
        """The column's cells, spaces around them removed. TableError, suggesting a name, if there is no such column."""
        if name not in self.names:
            lower = {n.lower(): n for n in self.names}
            close = "".join(f"did you mean {shown(lower[n])}? " for n in get_close_matches(name.lower(), lower, n=1))
            names = ", ".join(map(shown, self.names))
            raise TableError(f"{self.path}: there is no column {shown(name)}; {close}its columns are {names}")
        index = self.names.index(name)
        return [row[index].strip() for row in self.rows]


def read_table(path: str | os.PathLike[str]) -> Table:
    """The table in a CSV file: UTF-8, a header row, cells separated by a comma, semicolon, tab or bar.

    Raises TableError for a file that cannot be read or is not such a table.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise TableError(f"{path}: there is no such file; give the path of a CSV file") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or error
        raise TableError(f"{path}: cannot be read ({reason}); give the path of a CSV file") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TableError(f"{path}, line {line}: not UTF-8 text; save the file as CSV in UTF-8") from None
    header = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(SEPARATORS, key=header.count)
    records: list[tuple[int, list[str]]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
    try:
        for number, cells in enumerate(reader, start=1):
            if any(map(str.strip, cells)):  # not a blank line
                records.append((number, cells))
    except csv.Error as error:
        raise TableError(f"{path}, line {reader.line_num}: {error}; check the quotes of that row") from None
    if not records:
        raise TableError(f"{path}: the file is empty; expected a header row of column names, then a row per sample")
    names = [name.strip() for name in records.pop(0)[1]]
    for position, name in enumerate(names, start=1):
        if not name:
            raise TableError(f"{path}, row 1: column {position} has no name; name it or remove the column")
        if names.count(name) > 1:
            raise TableError(f"{path}, row 1: two columns are named {shown(name)}; rename or remove one")
    if not records:
        raise TableError(f"{path}: there is a header but no row below it; expected a row per sample")
    for number, cells in records:
        if len(cells) != len(names):
            raise TableError(
                f"{path}, row {number}: {_count(len(cells), 'cell')} where the header has "
                f"{_count(len(names), 'column')}; quote a cell that holds a {shown(separator)}"
            )
    return Table(str(path), names, [cells for _, cells in records], [number for number, _ in records], separator)


@dataclass(frozen=True)
class Numbers:
    """A column of numbers, standardised: one input, (x - mean) / std."""

    name: str
    mean: float
    std: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and 0 < self.std < math.inf):
            raise ValueError(f"column {shown(self.name)}: no mean and deviation: {self.mean!r} and {self.std!r}")

    def encode(self, table: Table) -> list[list[float]]:
        """The column's part of every row of inputs."""
        return [[(x - self.mean) / self.std] for x in table.numbers(self.name)]

    @property
    def input_names(self) -> list[str]:
        return [self.name]


@dataclass(frozen=True)
class Categories:
    """A column of categories, one-hot: an input per category, 1 where the cell names it, else 0.

    In a numeric column 2, 2.0 and 02 are one category.
    """

    name: str
    categories: tuple[str, ...]
    numeric: bool = False

    def encode(self, table: Table) -> list[list[float]]:
        """The column's part of every row of inputs."""
        return [[float(i == code) for i in range(len(self.categories))] for code in self.codes(table)]

    def codes(self, table: Table) -> list[int]:
        """For each row the place of its category among the categories. TableError for one that is not among them.

        >>> Categories("size", ("1", "2"), numeric=True).codes(Table("t.csv", ["size"], [["2.0"], ["1"]]))
        [1, 0]
        """
        place = {category: i for i, category in enumerate(self.categories)}
        cells = _labels(table, self.name, self.numeric)
        for i, cell in enumerate(cells):
            if cell not in place:
                known = ", ".join(map(shown, self.categories[:10])) + (", ..." if len(self.categories) > 10 else "")
                raise TableError(
                    f"{table.place(i, self.name)}: {shown(cell)} was in no row trained on, which had {known}; "
                    "correct it, remove the row, or train again without the column (--ignore)"
                )
        return [place[cell] for cell in cells]

    @property
    def input_names(self) -> list[str]:
        return [f"{self.name}={category}" for category in self.categories]


Column = Numbers | Categories


def fit_column(table: Table, name: str, training: Sequence[int], categorical: bool | None = None) -> Column:
    """How to encode a column, told from the rows to train on: standardised if it holds numbers, else one-hot.

    Raises TableError for a column that has one value in all these rows, and for cells that cannot be read.
    """
    numeric = table.holds_numbers(name)
    cells = _labels(table, name, numeric) if categorical or not numeric else table.numbers(name)
    found = {cells[i] for i in training}
    where = f"{table.path}, column {shown(name)}"
    if len(found) == 1:
        raise TableError(
            f"{where}: all {len(training)} rows to train on have the same value, {shown(str(found.pop()))}, "
            "which tells nothing; leave the column out (--ignore) or add rows that differ"
        )
    if categorical or not numeric:
        return Categories(name, tuple(sorted(map(str, found), key=float if numeric else str)), numeric)
    xs = [float(cells[i]) for i in training]
    mean = math.fsum(x / len(xs) for x in xs)
    std = math.hypot(*(x - mean for x in xs)) / math.sqrt(len(xs))  # hypot's squares neither overflow nor vanish
    if not math.isfinite(std):
        raise TableError(f"{where}: numbers as far apart as {min(xs)} and {max(xs)} are beyond floats; scale them")
    return Numbers(name, mean, std)


def encode(table: Table, columns: Sequence[Column]) -> list[list[float]]:
    """A list of inputs per row, the columns' parts side by side."""
    return [list(chain(*parts)) for parts in zip(*(column.encode(table) for column in columns), strict=True)]


def hold_out(table: Table, target: str, stratified: bool, seed: int) -> tuple[list[int], list[int]]:
    """The rows to train on and those held out: 80 % and 20 % (at least one), drawn at random; both sorted.

    stratified draws so within each label of the target. TableError if one row is all there is to draw from.

    >>> table = Table("t.csv", ["y"], [["a"], ["b"]] * 10)
    >>> training, held_out = hold_out(table, "y", stratified=True, seed=0)
    >>> len(training), [table.rows[i][0] for i in held_out].count("a"), len(held_out)
    (16, 2, 4)
    """
    labels = _labels(table, target, table.holds_numbers(target)) if stratified else [""] * len(table.rows)
    strata: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        strata.setdefault(label, []).append(i)
    draw = Random(seed)
    held_out = []
    for label, rows in strata.items():
        if len(rows) == 1:
            what = f"the label {shown(label)} stands in this row only" if stratified else "this is the only row"
            raise TableError(
                f"{table.place(rows[0], target)}: {what}, so it cannot be held out and trained on; add rows"
                + (", remove this one, or say --task regression" if stratified else "")
            )
        held_out += draw.sample(rows, max(1, round(0.2 * len(rows))))
    return sorted(set(range(len(labels))) - set(held_out)), sorted(held_out)


def shown(text: str) -> str:
    """Text from a file, quoted for a message of one line: control characters escaped, 40 characters at most."""
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _labels(table: Table, name: str, numeric: bool) -> list[str]:
    return [repr(x + 0.0).removesuffix(".0") for x in table.numbers(name)] if numeric else table.texts(name)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
