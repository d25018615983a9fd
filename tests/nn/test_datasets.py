"""The shipped data: where it comes from stands in nn/datasets/README.md."""

from collections import Counter
from math import cos, pi, sin
from pathlib import Path
from random import Random
from statistics import fmean

import pytest

import nn
from nn.table import read_table

DATASETS = Path(nn.__file__).parent / "datasets"


def two_moons(points: int = 200, noise: float = 0.1, seed: int = 0) -> str:
    """Two half circles of radius 1, the lower one shifted by (1, 0.5) so that they interleave, as CSV."""
    rng = Random(seed)
    rows = ["x,y,moon"]
    for moon in (0, 1):
        for i in range(points // 2):
            angle = pi * i / (points // 2 - 1)
            x, y = (1 - cos(angle), 0.5 - sin(angle)) if moon else (cos(angle), sin(angle))
            rows.append(f"{x + rng.gauss(0, noise):.6f},{y + rng.gauss(0, noise):.6f},{moon}")
    return "\n".join(rows) + "\n"


def test_moons_are_made_by_two_moons():
    assert (DATASETS / "moons.csv").read_bytes() == two_moons().encode()


def test_iris_is_fishers():
    table = read_table(DATASETS / "iris.csv")
    assert table.names == ["sepal_length", "sepal_width", "petal_length", "petal_width", "species"]
    assert Counter(table.texts("species")) == {"setosa": 50, "versicolor": 50, "virginica": 50}
    # The means of Fisher 1936, table 2, and the rows 35 and 38 in which other copies differ from his table 1.
    means = {
        "setosa": [5.006, 3.428, 1.462, 0.246],
        "versicolor": [5.936, 2.770, 4.260, 1.326],
        "virginica": [6.588, 2.974, 5.552, 2.026],
    }
    for species, expected in means.items():
        rows = [row for row in table.rows if row[-1] == species]
        assert [fmean(map(float, column)) for column in list(zip(*rows, strict=True))[:-1]] == pytest.approx(expected)
    assert table.rows[34][:4] == ["4.9", "3.1", "1.5", "0.2"]
    assert table.rows[37][:4] == ["4.9", "3.6", "1.4", "0.1"]


@pytest.mark.parametrize("name", ["iris.csv", "moons.csv"])
def test_plain_text_with_unix_line_ends(name: str):
    data = (DATASETS / name).read_bytes()
    assert data.isascii()
    assert data.endswith(b"\n")
    assert b"\r" not in data
