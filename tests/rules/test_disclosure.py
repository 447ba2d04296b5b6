"""Which outputs wait for an owner, by what the parser says of them."""

import json

import msgspec
import pytest

from gitqueue.model import Output
from gitqueue.rules import facts
from gitqueue.rules.disclosure import NAMES, Collected, accident, judge
from gitqueue.rules.facts import Acro, Content, Long, Match, Profile, Table
from gitqueue.rules.policy import OutputRules

RULES = OutputRules()


def flags(name: str, content: Content | None, *others: Collected) -> list[str]:
    item = Collected(Output(name, 3, "0" * 64), content)
    return [flag.check for flag in judge([*others, item], ["patient_id"], RULES) if flag.file == name]


def table(*rows: tuple[str, ...], rows_told: int | None = None, profile: tuple[Profile, ...] = ()) -> Content:
    head, *grid = rows
    told = len(grid) if rows_told is None else rows_told
    return Content("csv", (Table("", head, len(head), told, tuple(grid), profile),), head)


def match(kind: str = "values", **more: object) -> Content:
    return Content("csv", matches=(Match(kind, "", "people: age", **{"hits": 1, "of": 1, **more}),))  # type: ignore[arg-type]


TABLE = [
    ("a.csv", table(("group", "mean"), ("F", "1.5")), []),
    ("a.csv", table(("group", "Patient_ID "), ("F", "a")), ["identifiers"]),
    ("a.json", Content("json", names=("rows.patient_id",)), ["identifiers"]),
    ("a.csv", table(("what", "a", "b"), ("patient_id", "x", "y")), ["identifiers"]),
    ("a.csv", Content("pdf"), ["unread", "lying_type"]),
    ("a.txt", Content("text"), []),
    ("a.png", Content("png"), ["unread"]),
    ("a.csv", None, ["unread"]),
    ("a.json", Content("csv"), ["lying_type"]),
    ("a.csv", Content("csv", unreadable="ValueError"), ["unread"]),
    # size
    ("a.csv", table(("a", "b"), rows_told=5000), []),
    ("a.csv", table(("a", "b"), rows_told=5001), ["rows"]),
    ("a.csv", Content("csv", (Table("", ("a",), 1, 7, None),)), ["rows"]),
    # small counts: words, whole numbers, and what they stand under
    ("a.csv", table(("sex", "n"), ("F", "10"), ("M", "0")), []),
    ("a.csv", table(("sex", "n"), ("F", "9"), ("M", "40")), ["small_counts"]),
    ("a.csv", table(("sex", "nPatients"), ("F", "9.0"), ("M", "1,040")), ["small_counts"]),
    ("a.csv", table(("sex", "yes", "no"), ("F", "40", "3"), ("M", "50", "60")), ["small_counts"]),
    ("a.csv", table(("what", "x"), ("count", "7"), ("mean", "2")), ["small_counts"]),
    ("a.csv", table(("sex", "mean_age"), ("F", "9"), ("M", "8")), []),
    ("a.csv", table(("sex", "score"), ("F", "9"), ("M", "8")), []),
    ("a.csv", table(("code", "year"), ("1", "2"), ("2", "3")), []),
    ("a.csv", table(("quartile", "n"), ("1", "200"), ("2", "200")), []),
    ("a.csv", table(("sex", "n"), ("F", "<10"), ("M", "40")), []),
    ("a.csv", table(("sex", "ill"), ("F", "9 (0.4%)"), ("M", "40 (1 %)")), ["small_counts"]),
    ("a.csv", table(("sex", "ill"), ("F", "9.5 (0.4%)"), ("M", "40 (1 %)")), []),
    ("a.csv", table(("sex", "n"), ("F", "**9**"), ("M", "x")), ["small_counts"]),
    ("a.csv", table(("sex", "x"), ("F", "9"), ("M", "y")), []),
    ("a.csv", table(("sex", "n"), ("F", "3e0"), ("M", "4e2")), ["small_counts"]),
    ("a.csv", table(("sex", "n"), ("F", "3-5"), ("M", "40")), ["small_counts"]),
    ("a.csv", table(("sex", "n"), ("F", "3-6"), ("M", "40")), []),
    ("a.csv", table(("sex", "n"), ("F", "<4"), ("M", "40")), ["small_counts"]),
    ("a.csv", table(("sex", "n"), ("F", "<5"), ("M", "≤4")), []),
    ("a.csv", table(("sex", "mean"), ("F", "3-5"), ("M", "40-41")), []),
    ("a.csv", table(("sex", "n", "pct"), ("F", "50", "4"), ("M", "900", "50")), ["small_shares"]),
    ("a.csv", table(("sex", "n", "share"), ("F", "50", "0.96"), ("M", "900", "0.5")), ["small_shares"]),
    ("a.csv", table(("sex", "n", "share"), ("F", "50", "0"), ("M", "900", "1")), []),
    # what totals give away: one hidden cell, or one after another
    ("a.csv", table(("r", "n"), ("a", "41"), ("b", "<10"), ("total", "44")), ["given_away"]),
    ("a.csv", table(("r", "n"), ("a", "41"), ("b", "*"), ("c", "*"), ("total", "57")), []),
    ("a.csv", table(("r", "n"), ("a", "40"), ("b", "<10"), ("total", "45")), []),
    (
        "a.csv",
        table(("r", "x", "y", "total"), ("a", "41", "*", "44"), ("b", "52", "*", "93"), ("total", "93", "44", "137")),
        ["given_away"],
    ),
    ("a.csv", table(("r", "n"), ("a", "41"), ("total", "44")), []),
    ("a.csv", table(("r", "n"), ("a", "41"), ("b", "52"), ("total", "96")), ["given_away"]),
    # one person's values
    ("a.csv", table(("what", "age"), ("mean", "50.1"), ("max", "97")), ["extremes"]),
    ("a.csv", table(("max_depth", "loss"), ("5", "0.1")), []),
    ("a.csv", table(("a", "b"), profile=(Profile(50, 45), Profile(50, 44))), ["near_unique"]),
    ("a.csv", table(("a", "b"), profile=(Profile(49, 49), Profile(49, 3))), []),
    ("a.csv", Content("csv", (Table("", ("a",), 1, 30, ((),) * 30, repeated=4),)), ["repeated_rows"]),
    ("a.csv", Content("csv", (Table("", ("a",), 1, 30, ((),) * 30, repeated=3),)), []),
    # what stands in the data: names at once, numbers only where chance cannot have it
    ("a.csv", match(unique=0.9), ["private_values"]),
    ("a.csv", match(unique=0.1), []),
    ("a.csv", match(unique=0.1, identifier=True), ["private_values"]),
    ("a.csv", match(numeric=True, chance=0.3), []),
    ("a.csv", match(numeric=True, chance=1e-6), ["private_values"]),
    ("a.csv", match(numeric=True, hits=30, of=30, chance=0.3), ["private_values"]),
    ("a.csv", match(numeric=True, hits=10, of=30, chance=0.3), []),
    ("a.csv", match("extreme", numeric=True, chance=0.001, cells=((1, 1, "97"),)), ["extremes"]),
    ("a.csv", match("extreme", numeric=True, chance=0.02, cells=((1, 1, "97"),)), []),
    ("a.csv", match("rows", hits=1, of=40, cells=((1, -1, ""),)), ["private_rows"]),
    ("a.csv", match("rows", hits=9, of=40, cells=()), ["private_rows"]),
    # text that is none
    ("a.txt", Content("text", long=(Long("line 1", "ab" * 20, 40, True, 3.5),)), ["high_entropy"]),
    ("a.txt", Content("text", long=(Long("line 1", "a" * 40, 40, False, 0.0),)), []),
    ("a.txt", Content("text", long=(Long("line 1", "a" * 64, 101, False, 0.0),)), ["high_entropy"]),
    ("a.txt", Content("text", long=(Long("line 1", "0" * 64, 64, True, 3.9),)), []),  # its own digest
]


@pytest.mark.parametrize(("name", "content", "expected"), TABLE, ids=range(len(TABLE)))
def test_an_output_waits_when_a_check_cannot_read_it_or_finds_something(
    name: str, content: Content | None, expected: list[str]
) -> None:
    assert flags(name, content) == expected


def test_a_row_of_a_small_group_may_stand_there_with_its_numbers_left_out() -> None:
    rows = Match("rows", "", "people", 2, 2, cells=((1, -1, ""), (2, -1, "")))
    grid = (("islands", "<10", ""), ("moon", "40", "1.5"))
    content = Content("csv", (Table("", ("region", "n", "mean"), 3, 2, grid),), matches=(rows,))
    found = judge([Collected(Output("a.csv", 1, ""), content)], (), RULES)
    assert [(flag.check, flag.cells) for flag in found] == [("private_rows", ("row 2",))]


def test_the_same_count_a_few_people_apart_in_two_outputs_is_a_difference() -> None:
    one = Collected(Output("all.csv", 1, ""), table(("sex", "n"), ("F", "412"), ("M", "388")))
    assert flags("some.csv", table(("sex", "n"), ("F", "409"), ("M", "388")), one) == ["differences"]
    assert flags("some.csv", table(("sex", "n"), ("F", "312"), ("M", "388")), one) == []
    assert flags("some.csv", table(("age", "n"), ("F", "409"), ("X", "389")), one) == ["differences"]


def test_exact_counts_wait_only_where_policy_has_them_rounded() -> None:
    content = table(("sex", "n"), ("F", "412"), ("M", "385"), ("X", "0"))
    rounded = msgspec.structs.replace(RULES, rounding=5)
    found = judge([Collected(Output("a.csv", 1, ""), content)], (), rounded)
    assert [(flag.check, flag.cells) for flag in found] == [("unrounded", ("F: n = 412",))]
    assert judge([Collected(Output("a.csv", 1, ""), content)], (), RULES) == ()


def test_rows_that_are_nearly_all_suppressed_are_a_list_of_small_groups() -> None:
    rows = Match("rows", "", "people", 2, 3, cells=((1, -1, ""), (2, -1, "")))
    grid = (("islands", "<10"), ("moon", "<10"), ("sun", "40"))
    content = Content("csv", (Table("", ("region", "n"), 2, 3, grid),), matches=(rows,))
    (found,) = judge([Collected(Output("a.csv", 1, ""), content)], (), RULES)
    assert (found.check, found.cells) == ("private_rows", ("row 1", "row 2"))


@pytest.mark.parametrize(("status", "expected"), [("pass", []), ("fail", ["acro"]), ("review", ["acro"])])
def test_the_word_of_acro_holds_back_what_it_names(status: str, expected: list[str]) -> None:
    record = Collected(
        Output("o/results.json", 1, ""), Content("json", acro=(Acro("output_0", status, "2 cells", "", ("a.csv",)),))
    )
    assert flags("o/a.csv", table(("sex", "n"), ("F", "40")), record) == expected
    assert flags("a.csv", table(("sex", "n"), ("F", "40")), record) == [], "another folder"


def test_every_flag_says_how_to_mend_it_and_names_its_cells() -> None:
    content = table(("sex", "n"), ("F", "3"), ("M", "4"))
    flag = judge([Collected(Output("a.csv", 1, ""), content)], (), RULES)[0]
    assert flag.cells == ("F: n = 3", "M: n = 4")
    assert flag.mend == "suppress what is below 10 and round the rest to 5, or merge groups"


def test_every_check_is_in_the_table() -> None:
    tried = {check for _, _, expected in TABLE for check in expected} | {"differences", "acro", "unrounded"}
    assert tried == set(NAMES)


@pytest.mark.parametrize(
    ("hits", "of", "chance", "least", "most"),
    [(5, 5, 0.5, 0.5**5, 0.5**5), (1, 100, 0.5, 1, 1), (1, 1, 0.0, 0, 0), (1, 1, 1.0, 1, 1), (60, 100, 0.5, 0.02, 0.2)],
)
def test_an_accident_is_as_likely_as_a_coin_says(hits: int, of: int, chance: float, least: float, most: float) -> None:
    assert least - 1e-12 <= accident(hits, of, chance) <= most + 1e-12


HOSTILE = {
    "nothing": b"",
    "no JSON": b"{",
    "another shape": b'{"files": {"a.csv": {"type": 3}}}',
    "a list": b"[]",
    "a row that is none": json.dumps(
        {"files": {"a": {"type": "csv", "tables": [{"where": "", "columns": [], "width": 1, "rows": 1, "grid": [1]}]}}}
    ).encode(),
}


@pytest.mark.parametrize("said", [*HOSTILE.values(), None], ids=[*HOSTILE, "no file"])
def test_a_parser_that_says_something_unusual_counts_as_silent(said: bytes | None) -> None:
    assert facts.parse(said) == {}
