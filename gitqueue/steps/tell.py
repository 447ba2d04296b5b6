"""Tell: the audit's story of a job, or of a person, from a day on."""

from dataclasses import dataclass
from datetime import UTC, datetime

from gitqueue import refs
from gitqueue.adapters import journal
from gitqueue.adapters.queue import Queue
from gitqueue.errors import Mistake
from gitqueue.rules.journal import Entry


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries: of one job, of one person, from a day (2026-01-31, UTC) on; None: all."""

    job: str | None = None
    person: str | None = None
    since: str | None = None


def story(queue: Queue, wanted: Wanted, after: str | None = None) -> tuple[list[Entry], str | None]:
    """The entries after an audit commit, oldest first, and the audit's tip. Raises Tampered at what is no entry."""
    since = _seconds(wanted.since)
    tip = queue.ref(refs.AUDIT)
    entries = [entry for _, entry in journal.read(queue.objects, tip, after)][::-1] if tip else []
    return [entry for entry in entries if entry.at >= since and _fits(entry, wanted)], tip


def _fits(entry: Entry, wanted: Wanted) -> bool:
    names = [move.name for move in entry.moves]
    of_job = wanted.job is None or entry.job == wanted.job or any(name.endswith(f"/{wanted.job}") for name in names)
    return of_job and wanted.person in (None, entry.signer, entry.sender)


def _seconds(day: str | None) -> float:
    if day is None:
        return 0
    try:
        return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise Mistake(f"{day!r} is no day", step="write it as 2026-01-31") from error
