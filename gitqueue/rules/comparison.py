"""What a run wrote, as values that people can compare: on mock data, on the real data, or on both side by side. Pure.

The values are those that the parser took down inside the sandbox; nothing here reads an output's own bytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gitqueue.rules import facts

_LABEL, _CELL, _LINES = 36, 19, 60  # columns of the screen, and lines of a table
_ROWS = 40


@dataclass(frozen=True, slots=True)
class Facts:
    """What the parser says of one output. `head` are a table's first rows; None where nobody took them down."""

    type: str = "unknown"
    columns: tuple[str, ...] = ()
    head: tuple[tuple[str, ...], ...] | None = None
    rows: int | None = None
    width: int | None = None
    height: int | None = None
    shape: tuple[int, ...] | None = None
    dtype: str = ""


def read(inspection: bytes | None) -> dict[str, Facts]:
    """The facts by file; none where the parser was silent, or said anything unusual."""
    return {name: _of(content) for name, content in facts.parse(inspection).items()}


def _of(content: facts.Content) -> Facts:
    """A file that is one table has its rows; of a picture and an array, the measures count."""
    more = content.measures or facts.Measures()
    known = Facts(content.type, width=more.width, height=more.height, shape=more.shape, dtype=more.dtype)
    if len(content.tables) != 1 or content.tables[0].where:
        return known
    table = content.tables[0]
    head = None if table.grid is None else table.grid[:_ROWS]
    return replace(known, columns=table.columns, head=head, rows=table.rows)


def name(known: Facts | None, size: int) -> str:
    """What a file is, in a few words: `table, 2 rows of 12 columns, 349 bytes`."""
    return f"{_kind(known)}{size:,} bytes"


def _kind(facts: Facts | None) -> str:
    if facts is None:
        return ""
    if facts.type == "png" and facts.width is not None:
        return f"picture, {facts.width} x {facts.height} pixels, "
    if facts.shape is not None:
        return f"array of {facts.dtype}, {' x '.join(map(str, facts.shape)) or 'one number'}, "
    if facts.rows is not None:
        return f"table, {_count(facts.rows, 'row')} of {_count(len(facts.columns), 'column')}, "
    return f"{facts.type}, "


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def side_by_side(tables: Mapping[str, Facts | None]) -> Iterator[str]:
    """The values of one table in several runs, a column a run, a line a cell; nothing where none is a known table.

    Rows are matched by their first column where that tells them apart in each run, else by their number.
    """
    known = {run: facts for run, facts in tables.items() if facts and facts.head and facts.columns}
    if not known:
        return
    rows = {run: _rows(facts, all(map(_told_apart, known.values()))) for run, facts in known.items()}
    yield _line("", list(tables))
    lines = list(_cells({run: rows.get(run, {}) for run in tables}))
    yield from lines[:_LINES]
    more = any((facts.rows or 0) > len(facts.head or ()) for facts in known.values())
    if len(lines) > _LINES or more:
        yield "  … and more"


def _told_apart(facts: Facts) -> bool:
    firsts = [row[0] for row in facts.head or () if row]
    return len(set(firsts)) == len(facts.head or ())


def _rows(facts: Facts, by_first: bool) -> dict[str, dict[str, str]]:
    """Cells by column, by the row's name."""
    head = facts.head or ()
    skip = 1 if by_first and len(facts.columns) > 1 else 0
    names = [f"{facts.columns[0]} {row[0]}" if skip else f"row {number}" for number, row in enumerate(head, 1)]
    cells = (dict(zip(facts.columns[skip:], row[skip:], strict=False)) for row in head)
    return dict(zip(names, cells, strict=True))


def _cells(rows: Mapping[str, Mapping[str, Mapping[str, str]]]) -> Iterator[str]:
    for row in dict.fromkeys(name for run in rows.values() for name in run):
        yield _line(row, [])
        held = [run.get(row, {}) for run in rows.values()]
        for column in dict.fromkeys(name for cells in held for name in cells):
            yield _line(f"  {column}", [cells.get(column, "-") for cells in held])


def _line(label: str, cells: Sequence[str]) -> str:
    return f"  {_cut(label, _LABEL):<{_LABEL}}{''.join(f'{_cut(cell, _CELL - 2):>{_CELL}}' for cell in cells)}".rstrip()


def _cut(text: str, width: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= width else f"{text[: width - 1]}…"
