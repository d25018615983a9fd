# ruff: noqa: E501  (the tables of cases: one a line)
"""`chainrule train` and `chainrule predict` as a person runs them: in processes of their own."""

import csv
import io
import json
import math
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import nn
from autograd import Value
from autograd.cli import EXAMPLES
from autograd.drawing import RendererNotFoundError
from nn import cli
from nn.table import hold_out, read_table

DATASETS = Path(nn.__file__).parent / "datasets"
COMMAND = [sys.executable, "-m", "nn.cli"]
FILES = ["graph.svg", "history.csv", "model.json"]

# 30 rows: the kind depends on x, the price on x and colour.
SHOES = "x,colour,kind,price\n" + "".join(
    f"{i % 7 - 3}.5,{'red' if i % 3 else 'blue'},{'boot' if i % 7 > 2 else 'clog'},{100 + 10 * (i % 7) + i % 3 / 2}\n"
    for i in range(30)
)


def run(folder: Path, *argv: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, argv)],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        env=os.environ | environment,
    )


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in sorted(folder.rglob("*"))}


def refused(folder: Path, *argv: str | Path) -> str:
    """The one line on stderr of a command that is to fail, having left the folder as it was."""
    before = tree(folder)
    done = run(folder, *argv)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("chainrule: error: ")
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("\n")
    assert tree(folder) == before
    return done.stderr.removeprefix("chainrule: error: ").rstrip("\n")


def records(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with shoes.csv, a classifier of their kind and a regression of their price. Not to be changed."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "shoes.csv").write_text(SHOES)
    for target, out in (("kind", "kinds"), ("price", "prices")):
        other = "price" if target == "kind" else "kind"
        done = run(folder, "train", "shoes.csv", "--target", target, "--ignore", other, *QUICK, "--out", out)
        assert done.returncode == 0, done.stderr
    return folder


QUICK = ["--hidden", "5", "--epochs", "20", "--learning-rate", "0.05", "--seed", "3"]


# What it is for


@pytest.mark.parametrize(("name", "target", "least"), [("moons", "moon", 0.97), ("iris", "species", 0.93)])
def test_the_defaults_learn_the_shipped_data(tmp_path: Path, name: str, target: str, least: float):
    data = DATASETS / f"{name}.csv"
    done = run(tmp_path, "train", data, "--target", target, "--hidden", "16,16", "--seed", "0", "--out", "model")
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tree(tmp_path / "model")) == FILES
    held_out = json.loads((tmp_path / "model/model.json").read_text())["held_out"]
    assert held_out["accuracy"] >= least
    assert f"held-out accuracy: {held_out['accuracy']:.1%} (" in done.stdout
    # The same, counted from what predict says of the rows held out.
    predicted = records(run(tmp_path, "predict", "model", data).stdout)
    _, rows = hold_out(read_table(data), target, stratified=True, seed=0)
    right = [predicted[i][target] == predicted[i][f"predicted_{target}"] for i in rows]
    assert sum(right) / len(right) == held_out["accuracy"]
    assert held_out["rows"] == len(rows)


def test_history_and_picture(trained: Path):
    for out, metric in (("kinds", "accuracy"), ("prices", "rmse")):
        history = records((trained / out / "history.csv").read_text())
        assert list(history[0]) == ["epoch", "loss", metric, "held_out_loss", f"held_out_{metric}"]
        assert [int(row["epoch"]) for row in history] == list(range(21))
        assert float(history[-1]["loss"]) < float(history[0]["loss"])
        held_out = json.loads((trained / out / "model.json").read_text())["held_out"]
        assert held_out == {"rows": 6, metric: float(history[-1][f"held_out_{metric}"])}
        picture = (trained / out / "graph.svg").read_text(encoding="utf-8")
        ElementTree.fromstring(picture)
        for label in ("x", "colour=red", "loss"):
            assert f">{label}</text>" in picture
        assert len(picture) < 200_000


def test_numbers_are_standardised_by_the_rows_trained_on(trained: Path):
    table = read_table(trained / "shoes.csv")
    training, _ = hold_out(table, "kind", stratified=True, seed=3)
    xs = [table.numbers("x")[i] for i in training]
    mean = sum(xs) / len(xs)
    std = math.sqrt(sum((x - mean) ** 2 for x in xs) / len(xs))
    model = json.loads((trained / "kinds/model.json").read_text())
    assert model["columns"][0] == {"name": "x", "mean": pytest.approx(mean), "std": pytest.approx(std)}
    assert model["columns"][1]["categories"] == ["blue", "red"]
    assert model["target"]["categories"] == ["boot", "clog"]


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path):
    (tmp_path / "shoes.csv").write_text(SHOES)
    (tmp_path / "again.csv").write_bytes(b"\xef\xbb\xbf" + SHOES.replace(",", ";").replace("\n", "\r\n").encode())
    train = ["--target", "kind", "--hidden", "5", "--epochs", "2"]
    for name, data, seed, hashes in (("a", "shoes", "1", "1"), ("b", "again", "1", "2"), ("c", "shoes", "2", "1")):
        done = run(tmp_path, "train", f"{data}.csv", *train, "--seed", seed, "--out", name, PYTHONHASHSEED=hashes)
        assert done.returncode == 0, done.stderr
    a, b, c = (tree(tmp_path / name) for name in "abc")
    assert a == b
    assert all(a[name] != c[name] for name in FILES)
    # A second run replaces the first.
    assert run(tmp_path, "train", "shoes.csv", *train, "--seed", "2", "--out", "a").returncode == 0
    assert tree(tmp_path / "a") == c


@pytest.mark.parametrize(
    ("target", "options", "line"),
    [
        ("kind", [], "classification of 'kind' (the target is text), network 2-16-16-3"),
        ("few", [], "classification of 'few' (the target has 2 different whole numbers), network 4-16-16-2"),
        ("few", ["--task", "regression"], "regression of 'few' (as --task says), network 4-16-16-1"),
        ("price", ["--hidden", ""], "regression of 'price' (the target is neither text nor at most 10 different"),
        ("half", ["--hidden", "2"], "regression of 'half' (the target is neither"),
        ("half", ["--task", "classification"], "classification of 'half' (as --task says), network 5-16-16-2"),
    ],
)
def test_the_task_is_told_from_the_target(tmp_path: Path, target: str, options: list[str], line: str):
    rows = [f"{i % 5},{'abc'[i % 3]},{i % 2},{i},{i % 2 / 2}" for i in range(30)]
    (tmp_path / "d.csv").write_text("\n".join(["x,kind,few,price,half", *rows]))
    ignored = [f"--ignore={name}" for name in ("price", "half") if name != target]
    done = run(tmp_path, "train", "d.csv", "--target", target, *ignored, *options, "--epochs", "1", "--out", "o")
    assert done.returncode == 0, done.stderr
    assert line in done.stdout


def test_every_option_changes_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "shoes.csv").write_text(SHOES)
    train = ["train", "shoes.csv", "--target", "kind", "--epochs", "2", "--hidden", "4", "--out", "o"]
    options = ["--epochs 3", "--hidden 3", "--activation relu", "--learning-rate 0.1", "--batch-size 5", "--ignore x"]
    models = set()
    monkeypatch.chdir(tmp_path)
    for option in ["--seed 0", *options]:
        assert cli.main([*train, *option.split()]) == 0
        models.add((tmp_path / "o/model.json").read_text())
    assert len(models) == 1 + len(options)


# Predicting


def test_predicted_classes(trained: Path, tmp_path: Path):
    done = run(trained, "predict", "kinds", "shoes.csv")
    assert done.returncode == 0
    rows = records(done.stdout)
    assert list(rows[0]) == ["x", "colour", "kind", "price", "predicted_kind", "probability_boot", "probability_clog"]
    assert [list(row.values())[:4] for row in rows] == [list(row.values()) for row in records(SHOES)]
    for row in rows:
        boot, clog = float(row["probability_boot"]), float(row["probability_clog"])
        assert boot + clog == pytest.approx(1, abs=2e-6)
        assert row["predicted_kind"] == ("boot" if boot > clog else "clog")
    right = sum(row["kind"] == row["predicted_kind"] for row in rows)
    assert done.stderr == f"accuracy: {right / 30:.1%} ({right} of 30 rows)\n"
    assert right > 24

    out = tmp_path / "out.csv"
    again = run(trained, "predict", "kinds", "shoes.csv", "-o", out)
    assert (again.stdout, again.stderr, out.read_text()) == ("", done.stderr, done.stdout)


def test_predicted_numbers_are_in_the_unit_of_the_target(trained: Path):
    done = run(trained, "predict", "prices", "shoes.csv")
    errors = [float(row["predicted_price"]) - float(row["price"]) for row in records(done.stdout)]
    rmse = math.sqrt(sum(e * e for e in errors) / len(errors))
    assert done.stderr == f"RMSE: {rmse:.6g} (30 rows)\n"
    assert rmse < 10  # the prices' deviation is 20
    _, rows = hold_out(read_table(trained / "shoes.csv"), "price", stratified=False, seed=3)
    held_out = json.loads((trained / "prices/model.json").read_text())["held_out"]
    assert held_out["rmse"] == pytest.approx(math.sqrt(sum(errors[i] ** 2 for i in rows) / len(rows)))


def test_the_saved_network_is_the_trained_one(trained: Path):
    predictor = cli.Predictor.from_json((trained / "prices/model.json").read_text())
    assert predictor.to_json() == cli.Predictor.from_json(predictor.to_json()).to_json()
    table = read_table(trained / "shoes.csv")
    written = [float(row["predicted_price"]) for row in records(run(trained, "predict", "prices", "shoes.csv").stdout)]
    target = predictor.target
    assert isinstance(target, cli.Numbers)
    assert written == [target.mean + target.std * z.data for z in predictor.outputs(table)]


def test_columns_in_another_order_without_the_target(trained: Path, tmp_path: Path):
    whole = records(run(trained, "predict", "kinds", "shoes.csv").stdout)
    table = records(SHOES)
    data = tmp_path / "d.csv"
    for target in ({}, {"kind": ""}):
        with data.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["note", "colour", "x", *target], delimiter=";")
            writer.writeheader()
            writer.writerows({"note": 'two\n"lines"', "colour": r["colour"], "x": r["x"], **target} for r in table)
        done = run(trained, "predict", "kinds", data)
        assert (done.returncode, done.stderr) == (0, "")
        rows = list(csv.DictReader(io.StringIO(done.stdout, newline=""), delimiter=";"))
        assert list(rows[0])[:3] == ["note", "colour", "x"]
        assert [row["note"] for row in rows] == ['two\n"lines"'] * 30
        assert [row["probability_boot"] for row in rows] == [row["probability_boot"] for row in whole]


# Bad input: one line, exit code 2, nothing written

TRAIN = ["train", "d.csv", "--target", "y", "--epochs", "1", "--out", "out"]
ROWS = [f"{i},{'ab'[i % 2]},{'uv'[i % 2]}" for i in range(20)]  # of n, c, y


def with_rows(changes: dict[int, str], header: str = "n,c,y") -> str:
    return "\n".join([header, *(changes.get(i, row) for i, row in enumerate(ROWS))]) + "\n"


GOOD = with_rows({})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "d.csv: the file is empty; expected a header row"),
        ("n,c,y\n", "d.csv: there is a header but no row below it"),
        (with_rows({4: "4,a"}), "d.csv, row 6: 2 cells where the header has 3 columns"),
        (with_rows({4: "4,a,u,v"}), "d.csv, row 6: 4 cells where the header has 3 columns"),
        (with_rows({4: "four,a,u"}), "d.csv, row 6, column 'n': expected a number such as 2.5, got 'four'"),
        (with_rows({4: "nan,a,u"}), "d.csv, row 6, column 'n': expected a number such as 2.5, got 'nan'"),
        (with_rows({4: "inf,a,u"}), "d.csv, row 6, column 'n': expected a number such as 2.5, got 'inf'"),
        (with_rows({4: ",a,u"}), "d.csv, row 6, column 'n': the cell is empty; fill it in or remove the row"),
        (with_rows({4: "4,,u"}), "d.csv, row 6, column 'c': the cell is empty"),
        (with_rows({4: "4,a,"}), "d.csv, row 6, column 'y': the cell is empty"),
        (GOOD.replace(",", ";").replace("4;", "4,5;"), "d.csv, row 6, column 'n': expected a number such as 2.5, got '4,5'"),
        (GOOD.replace("n,c,y", "n,c,Y"), "d.csv: there is no column 'y'; "),
        (GOOD.replace("n,c,y", "y,c,y"), "d.csv, row 1: two columns are named 'y'"),
        (GOOD.replace("n,c,y", ",c,y"), "d.csv, row 1: column 1 has no name"),
        (with_rows({i: f"7,a,{'uv'[i % 2]}" for i in range(20)}), "d.csv, column 'n': all 16 rows to train on have the same value, '7.0'"),
        (with_rows({i: f"{i},a,{'uv'[i % 2]}" for i in range(20)}), "d.csv, column 'c': all 16 rows to train on have the same value, 'a'"),
        (GOOD.replace("v", "u"), "d.csv, column 'y': the target is 'u' in every row; expected two values at least"),
        (with_rows({4: "4,a,w"}), "d.csv, row 6, column 'y': the label 'w' stands in this row only, so it cannot be held out and trained on"),
        (with_rows({i: f"{i},{'ab'[i % 2]},3" for i in range(20)}), "d.csv, column 'y': the target is '3.0' in every row"),
        ("y\nu\nv\nu\nv\n", "d.csv: no column is left to tell 'y' from"),
        (b"n,c,y\n1,\xff,u\n", "d.csv, line 2: not UTF-8 text; save the file as CSV in UTF-8"),
        (GOOD.encode("utf-16"), "d.csv, line 1: not UTF-8 text"),
        (with_rows({4: '4,"a,u'}), "d.csv, line 21: unexpected end of data; check the quotes"),
        (None, "d.csv: there is no such file; give the path of a CSV file"),
    ],
)  # fmt: skip
def test_train_refuses_data(tmp_path: Path, content: str | bytes | None, message: str):
    if content is not None:
        (tmp_path / "d.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert refused(tmp_path, *TRAIN).startswith(message)


def test_a_category_that_only_the_held_out_part_has(tmp_path: Path):
    data = tmp_path / "d.csv"
    data.write_text(GOOD)
    _, held_out = hold_out(read_table(data), "y", stratified=True, seed=0)
    i = held_out[0]
    data.write_text(with_rows({i: ROWS[i].replace(",a,", ",mauve,").replace(",b,", ",mauve,")}))
    message = refused(tmp_path, *TRAIN)
    assert message.startswith(f"d.csv, row {i + 2}, column 'c': 'mauve' was in no row trained on, which had 'a', 'b'; ")
    assert "--ignore" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "Y"], "d.csv: there is no column 'Y'; did you mean 'y'? its columns are 'n', 'c', 'y'"),
        (["--ignore", "m"], "d.csv: there is no column 'm'"),
        (["--ignore", "y"], "d.csv: no column is left to tell 'y' from"),
        (["--ignore", "n", "--ignore", "c"], "d.csv: no column is left to tell 'y' from"),
        (["--task", "regression"], "d.csv, column 'y': regression needs a target of numbers, this one is text"),
        (["--task", "guess"], "argument --task: invalid choice: 'guess'"),
        (["--activation", "rleu"], "argument --activation: 'rleu' is not an activation; expected an operation on one number, such as relu"),
        (["--activation", "maximum"], "argument --activation: 'maximum' is not an activation"),
        (["--hidden", "16,"], "argument --hidden: expected a whole number from 1 up, got ''; right: --hidden 16,16"),
        (["--hidden", "0"], "argument --hidden: expected a whole number from 1 up, got '0'"),
        (["--hidden", "-3"], "argument --hidden: expected a whole number from 1 up, got '-3'"),
        (["--hidden", "1.5"], "argument --hidden: expected a whole number from 1 up, got '1.5'"),
        (["--hidden", "9999,9999"], "--hidden 9999,9999: that makes 100,"),
        (["--epochs", "0"], "argument --epochs: expected a whole number from 1 up, got '0'"),
        (["--epochs", "ten"], "argument --epochs: expected a whole number from 1 up, got 'ten'"),
        (["--seed", "-1"], "argument --seed: expected a whole number from 0 up, got '-1'"),
        (["--batch-size", "0"], "argument --batch-size: expected a whole number from 1 up, got '0'"),
        (["--learning-rate", "0"], "argument --learning-rate: expected a number above 0, such as 0.01, got '0'"),
        (["--learning-rate", "nan"], "argument --learning-rate: expected a number above 0, such as 0.01, got 'nan'"),
        (["--learning-rate", "fast"], "argument --learning-rate: expected a number above 0, such as 0.01, got 'fast'"),
        (["--learning-rate", "1e308", "--activation", "relu"], "--learning-rate 1e+308: training diverged, try a smaller one"),
        (["--wrong"], "unrecognized arguments: --wrong; see chainrule --help"),
        (["--out", "file"], "--out file: file takes no files (Not a directory); name another folder"),
        (["--out", "file/out"], "--out file/out: file takes no files (Not a directory)"),
        (["--out", "folder"], "--out folder: folder/model.json is a folder; remove it or name another --out"),
        pytest.param(["--out", "/proc/out"], "--out /proc/out: /proc takes no files", marks=pytest.mark.skipif(sys.platform != "linux", reason="no /proc")),
    ],
    ids=lambda case: " ".join(case)[:40] if isinstance(case, list) else "",
)  # fmt: skip
def test_train_refuses_options(tmp_path: Path, options: list[str], message: str):
    (tmp_path / "d.csv").write_text(GOOD)
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder/model.json").mkdir(parents=True)
    assert refused(tmp_path, *TRAIN, *options).startswith(message)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "the following arguments are required: COMMAND; see chainrule --help"),
        (["tarin"], "argument COMMAND: invalid choice: 'tarin'"),
        (["train"], "the following arguments are required: DATA.csv, --target, --out; see chainrule train --help"),
        (["train", ".", "--target", "y", "--out", "out"], ".: cannot be read (Is a directory); give the path of a CSV file"),
        (["predict", "m"], "the following arguments are required: DATA.csv; see chainrule predict --help"),
        (["predict", "none", "d.csv"], "none/model.json: cannot be read (No such file or directory); give the folder that"),
        (["predict", "d.csv", "d.csv"], "d.csv/model.json: cannot be read (Not a directory)"),
    ],
)  # fmt: skip
def test_command_lines(tmp_path: Path, argv: list[str], message: str):
    (tmp_path / "d.csv").write_text(GOOD)
    assert refused(tmp_path, *argv).startswith(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x,kind\n1,boot\n", "d.csv: there is no column 'colour'; its columns are 'x', 'kind'"),
        ("x,colour\none,red\n", "d.csv, row 2, column 'x': expected a number such as 2.5, got 'one'"),
        ("x,colour\n1,red\n,red\n", "d.csv, row 3, column 'x': the cell is empty"),
        ("x,colour\n1,red\n2,mauve\n", "d.csv, row 3, column 'colour': 'mauve' was in no row trained on, which had 'blue', 'red'"),
        ("x,colour,kind\n1,red,boot\n2,red,sandal\n", "d.csv, row 3, column 'kind': 'sandal' was in no row trained on, which had 'boot', 'clog'"),
        ("x,colour,kind\n1,red,boot\n2,red,\n", "d.csv, row 3, column 'kind': the cell is empty"),
        ("x,colour,predicted_kind\n1,red,boot\n", "d.csv: there is a column 'predicted_kind' already; remove or rename it"),
        ("", "d.csv: the file is empty"),
        (None, "d.csv: there is no such file"),
    ],
)  # fmt: skip
def test_predict_refuses_data(trained: Path, tmp_path: Path, content: str | None, message: str):
    if content is not None:
        (tmp_path / "d.csv").write_text(content)
    assert refused(tmp_path, "predict", trained / "kinds", "d.csv", "-o", "out.csv").startswith(message)


def test_predict_refuses_an_output_it_cannot_write(trained: Path, tmp_path: Path):
    shoes = trained / "shoes.csv"
    for out in ("none/out.csv", "."):
        message = refused(tmp_path, "predict", trained / "kinds", shoes, "-o", out)
        assert message.startswith(f"-o {out}: cannot be written (")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: "", "cut short, or not JSON"),
        (lambda text: text[: len(text) // 3], "cut short, or not JSON"),
        (lambda text: text[:-3], "cut short, or not JSON"),
        (lambda text: "[" * 100_000, "cut short, or not JSON"),
        (lambda text: "x,y\n1,2\n", "cut short, or not JSON"),
        (lambda text: "[]", "not a model that chainrule train wrote"),
        (lambda text: "{}", "not a model that chainrule train wrote (no entry 'columns')"),
        (lambda text: text.replace('"std": ', '"std": "wide", "_": '), "not a model that chainrule train wrote"),
        (lambda text: text.replace('"std": ', '"std": 0, "_": ', 1), "not a model that chainrule train wrote"),
        (lambda text: text.replace('"nouts": [', '"nouts": [4,'), "not a model that chainrule train wrote (expected"),
        (lambda text: text.replace('"nin": 3', '"nin": 4'), "not a model that chainrule train wrote (expected 3 inputs"),
        (lambda text: text.replace('"nin": 3', '"nin": "3"'), "not a model that chainrule train wrote"),
        (lambda text: text.replace('"blue",', '"blue", "green",'), "not a model that chainrule train wrote (expected 4 inputs"),
        (lambda text: text.replace('"tanh"', '"tan"', 1).replace('"tan"', '"maximum"'), "not a model that chainrule train wrote"),
        (lambda text: text.replace("neurons.0.b", "neurons.9.b"), "not a model that chainrule train wrote (the state does not fit"),
        (lambda text: text.replace('neurons.0.b": ', 'neurons.0.b": NaN, "'), "not a model that chainrule train wrote (NaN is no finite number)"),
        (lambda text: text.replace('layers.0.neurons.0.b": ', 'layers.0.neurons.0.b": null, "_": '), "not a model that"),
    ],
)  # fmt: skip
def test_predict_refuses_a_damaged_model(trained: Path, tmp_path: Path, damage, message: str):
    whole = (trained / "kinds/model.json").read_text()
    assert damage(whole) != whole
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.json").write_text(damage(whole))
    line = refused(tmp_path, "predict", "model", trained / "shoes.csv", "-o", "out.csv")
    assert line.startswith(f"model/model.json: {message}")
    assert line.endswith("; train again")


def test_a_name_with_a_line_end_stays_on_one_line(tmp_path: Path):
    (tmp_path / "d.csv").write_text('"n\nm",c,y\n' + "\n".join(ROWS))
    assert "'n\\nm'" in refused(tmp_path, *TRAIN, "--target", "z")
    assert "no such file" in refused(tmp_path, "train", "a\nb.csv", "--target", "y", "--out", "out")


def test_a_failure_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "d.csv").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "write_text", full)
    assert cli.main(TRAIN) == 2
    assert capsys.readouterr().err == "chainrule: error: --out out: cannot be written (No space left on device)\n"


def test_a_picture_that_cannot_be_drawn_is_told_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def no_program(loss: Value, **options: object) -> str:
        raise RendererNotFoundError

    (tmp_path / "d.csv").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "to_svg", no_program)
    monkeypatch.setattr(cli, "fit", None)
    assert cli.main(TRAIN) == 2
    assert "pip install graphviz-pure" in capsys.readouterr().err
    assert list(tree(tmp_path)) == ["d.csv"]


def test_the_picture_of_a_large_network_stays_small(tmp_path: Path):
    (tmp_path / "d.csv").write_text(GOOD)
    for hidden in ("60,60", "900"):
        done = run(tmp_path, *TRAIN, "--hidden", hidden, "--batch-size", "20")
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "out/graph.svg").stat().st_size < 1_000_000


# The command itself


def test_help_has_an_example_for_each_command(capsys: pytest.CaptureFixture[str]):
    for command in ("", "draw", "explain", "train", "predict"):
        with pytest.raises(SystemExit) as caught:
            cli.main([*command.split(), "--help"])
        assert caught.value.code == 0
        examples = capsys.readouterr().out.partition("example")[2]
        for name in [command] if command else ["draw", "explain", "train", "predict"]:
            assert f"chainrule {name} " in examples


def test_the_examples_run(tmp_path: Path):
    (tmp_path / "iris.csv").write_bytes((DATASETS / "iris.csv").read_bytes())
    for example in (
        *EXAMPLES.values(),
        cli.EXAMPLES["train"].replace("--epochs 50", "--epochs 1"),
        cli.EXAMPLES["predict"],
    ):
        assert run(tmp_path, *shlex.split(example)[1:]).returncode == 0


def test_version(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("chainrule ")


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_interrupting_is_quiet(tmp_path: Path):
    (tmp_path / "d.csv").write_text(GOOD)
    argv = [*COMMAND, *TRAIN, "--epochs", "1000000"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background may ignore it
    try:
        process = subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        try:
            assert process.stdout
            while "network" not in process.stdout.readline():
                pass
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=300)
        finally:
            process.kill()
    assert (process.returncode, err) == (130, "")
    assert list(tree(tmp_path)) == ["d.csv"]


@pytest.mark.skipif(os.name == "nt", reason="pipes")
def test_a_reader_that_has_had_enough(trained: Path):
    argv = [*COMMAND, "predict", "kinds", "shoes.csv"]
    with subprocess.Popen(argv, cwd=trained, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == 1
