import math
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from nn.table import Categories, Numbers, Table, TableError, encode, fit_column, hold_out, read_table, shown


def table(*columns: tuple[str, list[str]]) -> Table:
    names, cells = zip(*columns, strict=True)
    return Table("t.csv", list(names), [list(row) for row in zip(*cells, strict=True)])


def read(folder: Path, content: bytes | str) -> Table:
    path = folder / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path)


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,x\n2,y z\n",
        "a,b\n1,x\n2,y z",
        "a,b\r\n1,x\r\n2,y z\r\n",
        "a,b\r1,x\r2,y z\r",
        "\ufeffa,b\n1,x\n2,y z\n",
        "a;b\n1;x\n2;y z\n",
        "a\tb\n1\tx\n2\ty z\n",
        "a|b\n1|x\n2|y z\n",
        '"a","b"\n"1","x"\n"2","y z"\n',
        "\n\na,b\n\n1,x\n2,y z\n\n , \n",
        " a , b \n 1 , x \n 2 , y z \n",
    ],
)
def test_spellings_of_one_table(tmp_path: Path, content: str):
    t = read(tmp_path, content)
    assert (t.names, t.numbers("a"), t.texts("b")) == (["a", "b"], [1.0, 2.0], ["x", "y z"])


def test_quoted_cells(tmp_path: Path):
    t = read(tmp_path, 'name,said\n"Ann, B.","one\ntwo"\nC,"say ""hi"""\n')
    assert t.rows == [["Ann, B.", "one\ntwo"], ["C", 'say "hi"']]
    assert t.place(1, "said").endswith("t.csv, row 3, column 'said'")  # rows, as a spreadsheet counts, not lines


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "t.csv: the file is empty; expected a header row"),
        (b" \n,\n", "t.csv: the file is empty"),
        (b"\xef\xbb\xbf", "t.csv: the file is empty"),
        (b"a,b\n", "t.csv: there is a header but no row below it"),
        (b"a,b\n1,2\n3\n", "t.csv, row 3: 1 cell where the header has 2 columns"),
        (b"a,b\n1,2\n\n3,4,5\n", "t.csv, row 4: 3 cells where the header has 2 columns; quote a cell that holds a ','"),
        (b"a,b,a\n1,2,3\n", "t.csv, row 1: two columns are named 'a'"),
        (b"a, a\n1,2\n", "t.csv, row 1: two columns are named 'a'"),
        (b",a\n1,2\n", "t.csv, row 1: column 1 has no name"),
        (b"a,b,\n1,2,\n", "t.csv, row 1: column 3 has no name"),
        (b'a,b\n1,"2\n3,4\n', "t.csv, line 3: unexpected end of data; check the quotes"),
        (b'a,b\n1,"2"x\n', "t.csv, line 2: "),
        (b"a,b\n1,\xe9\n", "t.csv, line 2: not UTF-8 text"),
        ("a,b\n1,2\n".encode("utf-16"), "t.csv, line 1: not UTF-8 text"),
        (b"a,b\n1," + b"x" * 200_000, "t.csv, line 2: field larger than field limit"),
    ],
)
def test_files_that_are_no_table(tmp_path: Path, content: bytes, message: str):
    with pytest.raises(TableError) as caught:
        read(tmp_path, content)
    assert str(caught.value).startswith(f"{tmp_path}/{message}")


def test_files_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(TableError, match=r"none\.csv: there is no such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(TableError, match="cannot be read"):
        read_table(tmp_path)
    with pytest.raises(TableError, match="cannot be read"):
        read_table("a\0b")


@pytest.mark.parametrize("cell", ["x", "1,5", "nan", "inf", "-Infinity", "1e999", "1 2", "--1", "?", "NA"])
def test_cells_that_are_no_number(cell: str):
    t = table(("a", ["1", "2", cell, "4"]))
    assert t.holds_numbers("a")
    with pytest.raises(TableError, match=r"t\.csv, row 4, column 'a': expected a number such as 2\.5, got '") as caught:
        t.numbers("a")
    assert repr(cell) in str(caught.value)


def test_empty_cells():
    t = table(("a", ["1", " ", "3"]), ("b", ["x", "y", ""]))
    with pytest.raises(TableError, match="row 3, column 'a': the cell is empty"):
        t.numbers("a")
    with pytest.raises(TableError, match="row 4, column 'b': the cell is empty"):
        t.texts("b")


def test_unknown_column():
    t = table(("sepal_length", ["1"]), ("species", ["x"]))
    with pytest.raises(TableError) as caught:
        t.texts("specie")
    assert str(caught.value) == (
        "t.csv: there is no column 'specie'; did you mean 'species'? its columns are 'sepal_length', 'species'"
    )


@pytest.mark.parametrize(
    ("cells", "numeric"),
    [
        (["1", "2", "x"], True),
        (["1", "x", "y"], False),
        (["1", "x"], False),
        (["", "", "1"], True),
        (["1,5", "2,5"], True),
        (["1.2.3", "2.3.4"], False),
        (["nan", "1"], True),
        ([""], False),
    ],
)
def test_more_than_half_numbers_make_a_column_of_numbers(cells: list[str], numeric: bool):
    assert table(("a", cells)).holds_numbers("a") is numeric


def test_numbers_are_standardised_by_the_rows_trained_on():
    t = table(("a", ["1", "3", "100"]))
    column = fit_column(t, "a", training=[0, 1])
    assert column == Numbers("a", mean=2.0, std=1.0)
    assert encode(t, [column]) == [[-1.0], [1.0], [98.0]]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=20))
def test_standardised_numbers_have_mean_0_and_deviation_1(xs: list[float]):
    t = table(("a", [repr(x) for x in xs]))
    try:
        zs = [z for (z,) in encode(t, [fit_column(t, "a", training=range(len(xs)))])]
    except TableError as error:
        assert "same value" in str(error) or "as far apart" in str(error)
        return
    spread = max(xs) - min(xs)
    if spread > 1e-6 * max(map(abs, xs)):  # else the digits of the differences are lost
        assert math.fsum(zs) / len(zs) == pytest.approx(0, abs=1e-6)
        assert math.fsum(z * z for z in zs) / len(zs) == pytest.approx(1, abs=1e-6)


def test_categories_become_an_input_each():
    t = table(("colour", ["red", "blue", "red", "green"]))
    column = fit_column(t, "colour", training=[0, 1, 3])
    assert column == Categories("colour", ("blue", "green", "red"))
    assert column.input_names == ["colour=blue", "colour=green", "colour=red"]
    assert encode(t, [column]) == [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    with pytest.raises(TableError, match="row 3, column 'colour': 'blue' was in no row trained on, which had 'red'; "):
        encode(t, [Categories("colour", ("red",))])


def test_classes_that_are_numbers_go_by_value():
    t = table(("y", ["10", "9", "9.0", "-0", "0"]))
    target = fit_column(t, "y", training=range(5), categorical=True)
    assert target == Categories("y", ("0", "9", "10"), numeric=True)
    assert target.codes(t) == [2, 1, 1, 0, 0]
    text = table(("y", ["007", "7", "x", "y"]))
    assert fit_column(text, "y", training=range(3)).input_names == ["y=007", "y=7", "y=x"]


def test_columns_that_tell_nothing():
    t = table(("a", ["0.1"] * 3 + ["7"]), ("b", ["x"] * 3 + ["y"]), ("c", ["1.7e308", "-1.7e308", "1", "2"]))
    with pytest.raises(TableError, match=r"column 'a': all 3 rows to train on have the same value, '0\.1'.*--ignore"):
        fit_column(t, "a", training=[0, 1, 2])
    with pytest.raises(TableError, match="column 'b': all 3 rows to train on have the same value, 'x'"):
        fit_column(t, "b", training=[0, 1, 2])
    with pytest.raises(TableError, match=r"column 'c': numbers as far apart as -1\.7e\+308 and 1\.7e\+308"):
        fit_column(t, "c", training=[0, 1, 2])


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60), st.integers(0, 5), st.booleans())
def test_a_fifth_is_held_out(labels: list[str], seed: int, stratified: bool):
    t = table(("y", labels))
    try:
        training, held_out = hold_out(t, "y", stratified, seed)
    except TableError as error:
        single = [i for i, label in enumerate(labels) if labels.count(label) == 1] if stratified else [0]
        assert f"row {single[0] + 2}, column 'y'" in str(error)
        assert ("--task regression" in str(error)) is stratified
        return
    assert sorted(training + held_out) == list(range(len(labels)))
    assert (training, held_out) == (sorted(training), sorted(held_out))
    assert hold_out(t, "y", stratified, seed) == (training, held_out)
    for group in set(labels) if stratified else [None]:
        rows = [i for i, label in enumerate(labels) if group in (None, label)]
        assert len(set(rows) & set(held_out)) == max(1, round(len(rows) / 5))


def test_other_seeds_hold_out_other_rows():
    t = table(("y", ["a", "b"] * 50))
    assert len({str(hold_out(t, "y", True, seed)) for seed in range(10)}) == 10


def test_shown_is_one_short_line():
    assert shown("a\n\x1b[31m'b'") == "\"a\\n\\x1b[31m'b'\""
    assert len(shown("x" * 10_000)) < 50
