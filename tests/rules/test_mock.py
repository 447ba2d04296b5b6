"""Mock data that nobody had: drawn from words, never from data."""

import csv
import io

import pytest

from gitqueue.rules import mock
from gitqueue.rules.documents import Faulty

COLUMNS = b"""
rows: 2000
columns:
  patient_id: {id: p}
  sex: {values: [f, m], weights: [0.9, 0.1]}
  radius: {range: [6, 28], shape: normal, decimals: 2, missing: 0.1}
  cost: {range: [0, 100], shape: skewed}
  taken: {dates: [2015-01-01, 2015-12-31]}
"""


def test_each_column_holds_what_was_said_of_it() -> None:
    data = mock.draw(mock.read(COLUMNS, "columns.yaml"), "cancer/features")
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    assert [row["patient_id"] for row in rows[:2]] == ["p1", "p2"]
    assert len({row["patient_id"] for row in rows}) == len(rows) == 2000
    assert 0.87 < sum(row["sex"] == "f" for row in rows) / 2000 < 0.93
    radius = [float(row["radius"]) for row in rows if row["radius"]]
    assert 0.07 < 1 - len(radius) / 2000 < 0.13
    assert (min(radius) >= 6, max(radius) <= 28, 16.5 < sum(radius) / len(radius) < 17.5) == (True, True, True)
    cost = sorted(int(row["cost"]) for row in rows)
    assert cost[1000] < 25 < cost[-1] <= 100
    assert all(row["taken"].startswith("2015-") for row in rows)
    assert data == mock.draw(mock.read(COLUMNS, "columns.yaml"), "cancer/features")
    assert data != mock.draw(mock.read(COLUMNS, "columns.yaml"), "cancer/others")


WRONG = {
    b"columns: {}": "columns is empty",
    b"columns: {a: {}}": "columns.a: says nothing; say one of",
    b"columns: {a: {values: [x], range: [0, 1]}}": "columns.a: says values and range",
    b"columns: {a: {values: [x, y], weights: [1]}}": "has 1 weights for 2 values",
    b"columns: {a: {values: [x, y], weights: [1, -1]}}": "weights that are no shares",
    b"columns: {a: {range: [3, 1]}}": "goes from 3.0 to 1.0",
    b"columns: {a: {range: [0, 1], missing: 2}}": "columns.a.missing",
    b"rows: 1000000\ncolumns: {" + b", ".join(b"%c: {id: x}" % one for one in b"abcdef") + b"}": "at most 5000000",
    b"columns: {a: {range: [0, inf]}}": "columns.a.range",
    b"rows: 0\ncolumns: {a: {id: a}}": "rows",
    b"colums: {}": "colums",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_cannot_be_drawn_is_said(text: bytes) -> None:
    with pytest.raises(Faulty) as refused:
        mock.read(text, "columns.yaml")
    assert WRONG[text] in "\n".join(refused.value.reasons)
