"""Record: what happened, appended to the audit and signed by the runner. The inbox is its only source."""

from collections.abc import Sequence

from gitqueue import refs
from gitqueue.adapters import journal
from gitqueue.adapters.objects import EMPTY_TREE
from gitqueue.adapters.premises import Premises
from gitqueue.errors import Tampered
from gitqueue.rules.journal import Entry, message


def record(premises: Premises, now: float) -> int:
    """Settle what waits in the inbox and append it; how many entries.

    The audit moves before a letter goes, so a crash in between finds the letter again, and its entry by its id.
    """
    inbox = premises.site.inbox
    letters = [*journal.letters(inbox), *journal.floods(inbox, now)]
    if not letters:
        return 0
    written = _written(premises, len(letters))
    ready = [(letter, entry) for letter in letters if (entry := journal.settled(premises.objects, letter, now))]
    _append(premises, [entry for _, entry in ready if entry.id not in written], now)
    for letter, _ in ready:
        letter.path.unlink()
    return len(ready)


def _written(premises: Premises, most: int) -> set[str]:
    """The ids of the newest entries: a crash left at most the inbox's worth of letters behind their entries."""
    tip = premises.objects.ref(refs.AUDIT)
    entries = journal.read(premises.objects, tip) if tip else ()
    return {entry.id for _, (_, entry) in zip(range(most + 1), entries, strict=False)}


def _append(premises: Premises, entries: Sequence[Entry], now: float) -> None:
    old = tip = premises.objects.ref(refs.AUDIT)
    if not entries:
        return
    premises.objects.write_tree(())
    for entry in entries:
        parents = [tip] if tip else []
        tip = premises.commit(premises.objects, EMPTY_TREE, parents, message(entry), now)
    if tip and not journal.advance(premises.site.repository, old, tip):
        raise Tampered(f"{refs.AUDIT} moved while the runner wrote it: is there a second runner?")
