"""The audit: what one entry says, written and read by a strict codec; anything unusual is tampering."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from gitqueue.errors import Tampered
from gitqueue.model import RefMove
from gitqueue.refs import NONE

LONGEST = 64 * 1024  # bytes of one entry
_MOST_REASONS, _LONGEST_REASON = 20, 500


class Event(Enum):
    """What happened. The first three are a push; the others are the runner's own acts."""

    ACCEPTED = "push-accepted"
    REFUSED = "push-refused"
    LOST = "push-lost"
    CLAIM = "claim"
    RESULT = "result"
    REHEARSED = "rehearsed"
    TRIED = "tried"
    CLOSED = "closed"
    RECOVERED = "recovered"
    ALARM = "alarm"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `at` is in whole seconds since 1970: of a push, when the site received it; else when it was done.

    `sender` is the account that pushed (by ssh; `local` through the file system), `signer` and `key` who signed what
    was pushed; `job` the job that it is about; `count` how many alike it stands for; `id` tells an entry from every
    other, so that none is appended twice.
    """

    event: Event
    at: int
    sender: str = ""
    signer: str = ""
    key: str = ""
    job: str = ""
    moves: tuple[RefMove, ...] = ()
    reasons: tuple[str, ...] = ()
    count: int = 1
    id: str = ""


def message(entry: Entry) -> str:
    """The entry as a commit message: a line for people, then its fields as trailers."""
    lines = "\n".join(f"{name}: {value}" for name, value in _fields(entry))
    return f"{entry.event} {entry.job or entry.signer or entry.sender}".strip() + f"\n\n{lines}\n"


def _fields(entry: Entry) -> Iterator[tuple[str, str]]:
    yield "Event", entry.event.value
    yield "At", _time(entry.at)
    for name in ("id", "sender", "signer", "key", "job"):
        if getattr(entry, name):
            yield name.capitalize(), clean(getattr(entry, name))
    for move in entry.moves:
        yield "Ref", f"{move.old or NONE} {move.new or NONE} {clean(move.name)}"
    for reason in entry.reasons:
        yield "Reason", clean(reason)
    if entry.count != 1:
        yield "Count", str(entry.count)


def clean(text: str) -> str:
    """One printable line, as an entry may hold it; what a person typed may be anything."""
    plain = text.isprintable()
    shown = text if plain else "".join(char if char.isprintable() else f"<U+{ord(char):04X}>" for char in text)
    return " ".join(shown.split())[:_LONGEST_REASON]


def bounded(reasons: Sequence[str]) -> tuple[str, ...]:
    """As many reasons as an entry holds, each made clean."""
    kept = tuple(clean(reason) for reason in reasons[:_MOST_REASONS])
    return kept if len(reasons) <= _MOST_REASONS else (*kept, f"and {len(reasons) - _MOST_REASONS} more")


_LINE = re.compile(r"([A-Z][a-z]+): (.+)")
_REF = re.compile(r"([0-9a-f]{40}) ([0-9a-f]{40}) (\S.{0,500})")
_TIME = "%Y-%m-%dT%H:%M:%SZ"


def parse(text: str) -> Entry:
    """The entry that `message` wrote. Raises Tampered for any other text: what reads back differently is not ours."""
    lines = [_LINE.fullmatch(line) for line in text.rstrip("\n").partition("\n\n")[2].split("\n")]
    pairs = [(line[1], line[2]) for line in lines if line]
    try:
        entry = _entry(dict(pairs), pairs)
    except (KeyError, ValueError) as error:
        raise Tampered(f"an audit entry cannot be read: {error}") from error
    if message(entry) != text:
        raise Tampered("an audit entry does not read as it was written")
    return entry


def _entry(one: Mapping[str, str], pairs: Sequence[tuple[str, str]]) -> Entry:
    return Entry(
        event=Event(one["Event"]),
        at=int(datetime.strptime(one["At"], _TIME).replace(tzinfo=UTC).timestamp()),
        sender=one.get("Sender", ""),
        signer=one.get("Signer", ""),
        key=one.get("Key", ""),
        job=one.get("Job", ""),
        moves=tuple(_move(value) for name, value in pairs if name == "Ref"),
        reasons=tuple(value for name, value in pairs if name == "Reason"),
        count=int(one.get("Count", "1")),
        id=one.get("Id", ""),
    )


def _move(text: str) -> RefMove:
    found = _REF.fullmatch(text)
    if not found:
        raise ValueError(f"{text[:80]!r} is no movement of a ref")
    old, new = (None if commit == NONE else commit for commit in (found[1], found[2]))
    return RefMove(found[3], old, new)


def _time(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime(_TIME)


def sentence(entry: Entry) -> str:
    """The entry in plain words."""
    who = entry.signer or entry.sender or "somebody"
    times = f" ({entry.count} times)" if entry.count != 1 else ""
    what = {
        Event.ACCEPTED: f"{who} pushed {_names(entry)}",
        Event.REFUSED: f"{who} was refused{times}: {'; '.join(entry.reasons)}",
        Event.LOST: f"{who} pushed {_names(entry)}, but it never arrived",
        Event.CLAIM: f"the runner took {entry.job}",
        Event.RESULT: f"{entry.job} is {'; '.join(entry.reasons)}",
        Event.REHEARSED: f"the runner rehearsed {entry.job} on mock data: {'; '.join(entry.reasons)}",
        Event.TRIED: f"the runner tries {entry.job} on the real data: {'; '.join(entry.reasons)}",
        Event.CLOSED: f"the runner closed {'; '.join(entry.reasons)}",
        Event.RECOVERED: f"the operator put approved back: {'; '.join(entry.reasons)}",
        Event.ALARM: f"alarm: {'; '.join(entry.reasons)}",
    }[entry.event]
    return f"{_time(entry.at)}  {what}"


def _names(entry: Entry) -> str:
    return ", ".join(move.name.removeprefix("refs/heads/") for move in entry.moves)


@dataclass(frozen=True, slots=True)
class Told:
    """Where the audit's entries, in their order, say that the refs stand, and the first thing that cannot be."""

    tips: Mapping[str, str | None]
    fault: str


def replay(entries: Iterable[tuple[str, Entry]], start: Mapping[str, str]) -> Told:
    """Follow every movement from `start`, oldest entry first; each must begin where the one before it ended.

    Entries are (audit commit, entry). What was lost moved nothing; the time of entries of one kind never goes back by
    more than the time that a push may take to settle.
    """
    tips: dict[str, str | None] = dict(start)
    seen: set[str] = set()
    for commit, entry in entries:
        if entry.id in seen:
            return Told(tips, f"audit commit {commit[:12]} tells again what was told before")
        seen.add(entry.id)
        for move in entry.moves if entry.event in _MOVING else ():
            if tips.get(move.name) != move.old:
                there = (tips.get(move.name) or "nowhere")[:12]
                said = (move.old or "nowhere")[:12]
                fault = f"moves {move.name} from {said}, where it did not stand ({there})"
                return Told(tips, f"audit commit {commit[:12]} {fault}")
            tips[move.name] = move.new
    return Told(tips, "")


_MOVING = frozenset({Event.ACCEPTED, Event.CLAIM, Event.RESULT, Event.REHEARSED, Event.CLOSED, Event.RECOVERED})
