"""Record: what happened, appended to the audit and signed by the runner. The inbox is its only source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitqueue import refs
from gitqueue.adapters import journal
from gitqueue.adapters.history import History
from gitqueue.adapters.objects import EMPTY_TREE
from gitqueue.errors import GitqueueError, Tampered
from gitqueue.model import RefMove
from gitqueue.rules.authority import Signer
from gitqueue.rules.journal import Entry, Event, message
from gitqueue.rules.submission import MOST_REFS

if TYPE_CHECKING:
    from gitqueue.adapters.premises import Premises

_OWN = (Event.CLAIM, Event.RESULT, Event.REHEARSED, Event.CLOSED)


@dataclass(frozen=True, slots=True)
class Push:
    """One push as the gate judged it: what it would move, by whose connection, and the reasons against it."""

    moves: Sequence[RefMove]
    sender: str
    reasons: tuple[str, ...]


def word(history: History, push: Push, now: float) -> Entry:
    """What the hook leaves of a push before anything moves."""
    event = Event.REFUSED if push.reasons else Event.ACCEPTED
    signer = _signer(history, push.moves)
    return Entry(
        event,
        int(now),
        sender=push.sender,
        signer=signer.name if signer else "",
        key=signer.fingerprint if signer else "",
        moves=tuple(push.moves[:MOST_REFS]),
        reasons=push.reasons,
    )


def _signer(history: History, moves: Sequence[RefMove]) -> Signer | None:
    """Who signed the newest commit of what was pushed, where that can be told."""
    approved = history.objects.ref(refs.APPROVED)
    try:
        people = history.people(approved or "")
        return next((history.signed(move.new, people).signer for move in moves if move.new), None)
    except GitqueueError:
        return None


def record(premises: "Premises", now: float) -> set[str]:
    """Settle what waits in the inbox and append it; the names of the refs that it says have moved.

    The audit moves before a letter goes, so a crash in between finds the letter again, and its entry by its id. Where a
    runner died between its letter and the move, there may be another letter of the same move, made in the same second.
    """
    inbox = premises.site.inbox
    letters = [*journal.letters(inbox), *journal.floods(inbox, now)]
    if not letters:
        return set()
    written = _written(premises, len(letters))
    ready = [(letter, entry) for letter in letters if (entry := journal.settled(premises.objects, letter, now))]
    _append(premises, list(_new([entry for _, entry in ready], written)), now)
    for letter, _ in ready:
        letter.path.unlink()
    return {move.name for _, entry in ready for move in entry.moves}


def _written(premises: "Premises", most: int) -> set[str]:
    """The ids of the newest entries: a crash left at most the inbox's worth of letters behind their entries."""
    tip = premises.objects.ref(refs.AUDIT)
    entries = journal.read(premises.objects, tip) if tip else ()
    return {entry.id for _, (_, entry) in zip(range(most + 1), entries, strict=False)}


def _new(entries: Sequence[Entry], written: set[str]) -> Iterator[Entry]:
    """What is not in the audit yet, and what the runner moved but once: its refs never come back to where they were."""
    done: set[tuple[RefMove, ...]] = set()
    for entry in entries:
        own = entry.event in _OWN
        if entry.id not in written and not (own and entry.moves in done):
            yield entry
        if own:
            done.add(entry.moves)


def _append(premises: "Premises", entries: Sequence[Entry], now: float) -> None:
    old = tip = premises.objects.ref(refs.AUDIT)
    if not entries:
        return
    with premises.objects.together():
        premises.objects.write_tree(())
        for entry in entries:
            parents = [tip] if tip else []
            tip = premises.commit(premises.objects, EMPTY_TREE, parents, message(entry), now)
    if tip and not journal.advance(premises.site.repository, old, tip):
        raise Tampered(f"{refs.AUDIT} moved while the runner wrote it: is there a second runner?")
