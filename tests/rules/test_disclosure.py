"""Which outputs wait for an owner."""

import json

import pytest

from gitqueue.model import Output
from gitqueue.rules.disclosure import Collected, Content, judge, parse_inspection


def flags(name: str, content: Content | None) -> list[str]:
    return [flag.check for flag in judge([Collected(Output(name, 3, "0" * 64), content)], ["patient_id"])]


TABLE = [
    ("a.csv", Content("csv", ("group", "mean")), []),
    ("a.csv", Content("csv", ("group", "Patient_ID ")), ["identifiers"]),
    ("a.json", Content("json", ("rows.patient_id", "rows", "patient_id")), ["identifiers"]),
    ("a.csv", Content("pdf"), ["unread", "lying_type"]),
    ("a.txt", Content("text"), []),
    ("a.png", Content("png"), ["unread"]),
    ("a.csv", None, ["unread"]),
    ("a.json", Content("csv"), ["lying_type"]),
]


@pytest.mark.parametrize(("name", "content", "expected"), TABLE)
def test_an_output_waits_when_a_check_cannot_read_it_or_finds_something(
    name: str, content: Content | None, expected: list[str]
) -> None:
    assert flags(name, content) == expected


HOSTILE = {
    "nothing": b"",
    "no JSON": b"{",
    "another shape": b'{"files": {"a.csv": {"type": 3}}}',
    "a list": b"[]",
}


@pytest.mark.parametrize("said", [*HOSTILE.values(), None], ids=[*HOSTILE, "no file"])
def test_a_parser_that_says_something_unusual_counts_as_silent(said: bytes | None) -> None:
    assert parse_inspection(said) == {}


def test_what_the_parser_could_not_read_to_its_end_counts_as_unread() -> None:
    files = {
        "cut.csv": {"type": "csv", "columns": ["a"], "column_count": 900},
        "bad.csv": {"type": "csv", "unreadable": "ValueError"},
        "keys.json": {"type": "json", "keys": ["a"], "key_count": 2},
        "fine.csv": {"type": "csv", "columns": ["a"], "column_count": 1, "rows": 2, "delimiter": ","},
    }
    assert parse_inspection(json.dumps({"files": files, "left_out": 0}).encode()) == {
        "fine.csv": Content("csv", ("a",), 2)
    }
