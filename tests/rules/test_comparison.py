"""Values of one table in several runs, side by side, as an owner reads them."""

import json

from gitqueue.rules.comparison import Facts, name, read, side_by_side

COLUMNS = ("group", "mean")


def table(*rows: tuple[str, str], count: int | None = None) -> Facts:
    return Facts("csv", COLUMNS, rows, count or len(rows))


def shown(**tables: Facts | None) -> list[list[str]]:
    return [line.split() for line in side_by_side(tables)]


def test_rows_are_matched_by_their_first_column_and_what_one_run_lacks_is_a_dash() -> None:
    mock, real = table(("a", "1"), ("b", "2")), table(("b", "20"), ("c", "30"))
    assert shown(mock=mock, real=real) == [
        ["mock", "real"],
        ["group", "a"],
        ["mean", "1", "-"],
        ["group", "b"],
        ["mean", "2", "20"],
        ["group", "c"],
        ["mean", "-", "30"],
    ]


def test_rows_that_their_first_column_does_not_tell_apart_are_matched_by_number() -> None:
    found = shown(mock=table(("a", "1"), ("b", "2")), real=table(("a", "3"), ("a", "4")))
    assert ["row", "2"] in found
    assert ["group", "b", "a"] in found
    assert ["mean", "2", "4"] in found


def test_no_line_is_wider_than_a_terminal_and_there_are_not_too_many() -> None:
    wide = Facts("csv", ("x" * 200,), tuple((str(number) * 50,) for number in range(40)), 4000)
    lines = list(side_by_side({"mock": wide, "real": wide}))
    assert max(map(len, lines)) <= 80
    assert len(lines) == 62
    assert lines[-1] == "  … and more"
    assert list(side_by_side({"real": table(("a", "1"), count=2)}))[-1] == "  … and more", "a row that nobody took down"


def test_what_is_no_table_has_no_values_and_is_named() -> None:
    said = {
        "a.png": {"type": "png", "measures": {"width": 3, "height": 4}},
        "b.npy": {"type": "npy", "measures": {"shape": [2, 5], "dtype": "<f8"}},
    }
    facts = read(json.dumps({"files": said}).encode())
    assert shown(mock=facts["a.png"], real=None) == []
    assert name(facts["a.png"], 1000) == "picture, 3 x 4 pixels, 1,000 bytes"
    assert name(facts["b.npy"], 7) == "array of <f8, 2 x 5, 7 bytes"
    assert read(b'{"files": {"a": {"head": 3}}}') == read(None) == {}
