"""How values look in a notebook: from the templates of `templates/notebook`, where everything is escaped."""

from __future__ import annotations

import base64
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from gitqueue.adapters.render import page
from gitqueue.steps import report

if TYPE_CHECKING:
    from gitqueue.api.code import Code
    from gitqueue.api.jobs import Job

_ROWS, _CELLS, _SOURCES, _TEXT = 20, 30, 10, 50_000
_PNG = b"\x89PNG\r\n\x1a\n"
_FEW = 5  # rows that need no search


@dataclass(frozen=True)
class Grid:
    """Rows of a table; `more`: how many further ones there are."""

    head: Sequence[str]
    rows: Sequence[Sequence[object]]
    more: int = 0

    def words(self) -> dict[str, object]:
        texts = [["" if cell is None else str(cell) for cell in row] for row in self.rows]
        return {"head": self.head, "rows": texts, "more": self.more}


def table(kind: str, grid: Grid) -> str:
    return page("notebook/table.html", kind=kind, search=len(grid.rows) > _FEW, **grid.words())


def card(title: str, about: object, facts: Mapping[str, object], grid: Grid | None = None) -> str:
    """One thing: what there is to say of it, and what belongs to it."""
    said = [(name, "none" if value in (None, "") else str(value)) for name, value in facts.items()]
    return page("notebook/card.html", title=title, about=str(about), facts=said, **(grid or Grid((), ())).words())


def request(job: Job) -> str:
    """The card of a request: what its owner decides by."""
    seen, queue = job._seen, job._desk.queue
    dossier = report.Dossier(queue, seen, report.Reader())
    gone = seen.revision is None
    return page(
        "notebook/request.html",
        job=job,
        status=str(job.status),
        project=job._group,
        findings=None if gone else job.findings,
        sources=[] if gone else [(name, job.files.text(name)) for name in _first(job)][:_SOURCES],
        diff="" if gone else report.diff(queue, seen),
        rehearsal=dossier.rehearsal.reason if dossier.rehearsal else "",
    )


def _first(job: Job) -> list[str]:
    """Its files, the one that is run first of all; locks are in the difference."""
    main = job.code.file
    return sorted((name for name in job.files if not name.startswith("requirements")), key=lambda name: name != main)


def code(code: Code) -> str:
    return page("notebook/code.html", code=code)


@dataclass(frozen=True, slots=True)
class Shown:
    """One file: a picture, the rows of a table, a text, or nothing that could be shown."""

    name: str
    size: int
    picture: str = ""
    rows: tuple[tuple[str, ...], ...] = ()
    more: int = 0
    text: str | None = None


def files(held: Mapping[str, bytes], flags: Sequence[str] = ()) -> str:
    return page("notebook/files.html", files=[_shown(name, data) for name, data in held.items()], flags=flags)


def _shown(name: str, data: bytes) -> Shown:
    if data.startswith(_PNG) and name.endswith(".png"):
        return Shown(name, len(data), picture=base64.b64encode(data).decode())
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return Shown(name, len(data))
    if "\0" in text:
        return Shown(name, len(data))
    rows = _rows(text) if name.endswith(".csv") else ()
    return Shown(name, len(data), rows=rows, more=max(0, text.count("\n") - len(rows)), text=text[:_TEXT])


def _rows(text: str) -> tuple[tuple[str, ...], ...]:
    try:
        return tuple(tuple(row[:_CELLS]) for row in islice(csv.reader(text.splitlines()), _ROWS + 1))
    except csv.Error:
        return ()
