"""The audit: the inbox, where hooks leave word of each push before it moves, and the chain that the runner signs."""

import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gitqueue import refs
from gitqueue.adapters import git, loose
from gitqueue.adapters.objects import EMPTY_TREE, Objects
from gitqueue.errors import Tampered
from gitqueue.model import RefMove
from gitqueue.rules.journal import LONGEST, Entry, Event, bounded, clean, message, parse

DETAILED = 5  # refused pushes per sender and minute that are kept in full; further ones are counted
_SETTLE = 60  # seconds after which a push that moved nothing is lost


@dataclass(frozen=True, slots=True)
class Letter:
    """One entry that waits in the inbox."""

    path: Path
    entry: Entry


def leave(inbox: Path, entry: Entry) -> None:
    """Write an entry into the inbox, whole and on the disk when this returns. Raises OSError where it cannot be:
    then nothing may move."""
    if entry.event is Event.REFUSED and not _detailed(inbox, entry):
        return
    name = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
    whole = replace(entry, id=name, reasons=bounded(entry.reasons), sender=clean(entry.sender))
    text = message(whole).encode()
    if len(text) > LONGEST:
        text = message(replace(whole, reasons=(), moves=whole.moves[:50])).encode()
    _write(inbox / f".{name}", text)
    os.rename(inbox / f".{name}", inbox / name)
    loose.sync(inbox)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _detailed(inbox: Path, entry: Entry) -> bool:
    """Count a refused push; whether it is one of the first few. One byte each: a flood fills no disk with words."""
    minute, sender = entry.at // 60, clean(entry.sender).replace("/", "_")[:64] or "local"
    descriptor = os.open(
        inbox / f"refused-{minute}-{sender}", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
    )
    try:
        os.write(descriptor, b".")
        return os.fstat(descriptor).st_size <= DETAILED
    finally:
        os.close(descriptor)


def letters(inbox: Path) -> Iterator[Letter]:
    """What waits in the inbox, oldest first."""
    for path in sorted(inbox.glob("[0-9]*")):
        yield Letter(path, parse(path.read_text()))


def floods(inbox: Path, now: float) -> Iterator[Letter]:
    """Refused pushes of past minutes that were only counted."""
    for path in sorted(inbox.glob("refused-*")):
        _, minute, sender = path.name.split("-", 2)
        if int(minute) >= now // 60:
            continue
        more = path.stat().st_size - DETAILED
        if more > 0:
            words = ("further pushes of this minute",)
            yield Letter(path, Entry(Event.REFUSED, int(minute) * 60, sender, reasons=words, count=more, id=path.name))
        else:
            path.unlink()


def settled(objects: Objects, letter: Letter, now: float) -> Entry | None:
    """The entry as the refs bear it out: as it stands, or lost where nothing moved in time; None: too early to say."""
    if letter.entry.event is Event.REFUSED:
        return letter.entry
    if all(_arrived(objects, move) for move in letter.entry.moves):
        return letter.entry
    return replace(letter.entry, event=Event.LOST) if now - letter.entry.at > _SETTLE else None


def _arrived(objects: Objects, move: RefMove) -> bool:
    """Whether the ref stands there, has gone on from there, or stood there once, as its log tells."""
    tip = objects.ref(move.name)
    if move.new is None or tip is None:
        return tip == move.new
    if tip == move.new or (objects.has(move.new) and objects.descends(tip, move.new)):
        return True
    log = objects.path / "logs" / move.name
    return log.is_file() and any(line.split(b" ", 2)[1] == move.new.encode() for line in log.read_bytes().splitlines())


def read(objects: Objects, tip: str, until: str | None = None) -> Iterator[tuple[str, Entry]]:
    """The audit from its tip down to (and without) `until`: (commit, entry). Raises Tampered at what is no entry."""
    current: str | None = tip
    while current is not None and current != until:
        commit = objects.commit(current)
        if commit.tree != EMPTY_TREE or len(commit.parents) > 1:
            raise Tampered(f"audit commit {current[:12]} is not one that a runner writes")
        try:
            yield current, parse(commit.message)
        except Tampered as error:
            raise Tampered(f"audit commit {current[:12]}: {error.reasons[0]}") from error
        current = commit.parents[0] if commit.parents else None


def advance(repository: Path, old: str | None, new: str) -> bool:
    """Move the audit on. False: it is not where it was seen."""
    return git.move_refs(repository, [RefMove(refs.AUDIT, old, new)])
