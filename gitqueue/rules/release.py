"""Release: which of what waits in the vault may go, by the owners' words."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from gitqueue.refs import JobId
from gitqueue.rules.authority import OWNER, Note
from gitqueue.rules.lifecycle import Decision

OUTPUTS, LOG = "outputs/", "log"  # paths in a vault commit


@dataclass(frozen=True, slots=True)
class Word:
    """What the owners say of what waits. `files` are paths of the vault commit; None: all outputs."""

    decision: Decision
    files: tuple[str, ...] | None = None


def word(job: JobId, notes: Iterable[Note], outputs: str | None, needed: int) -> Word | None:
    """The owners' word on the vault commit `outputs`, their newest notes last; None where it is not spoken yet.

    One withholds; `needed` of them release, when they name the same files. The requester has no say.
    """
    newest: dict[str, Word] = {}
    for note in notes:
        signer = note.signed.signer
        if signer is None or not signer.has(OWNER) or signer.name == job.requester:
            continue
        if note.decision is Decision.WITHHOLD and note.outputs in (None, outputs):
            return Word(Decision.WITHHOLD)
        if note.decision is Decision.RELEASE and note.outputs == outputs:
            newest[signer.name] = Word(note.decision, note.files)
    return next((said for said, owners in Counter(newest.values()).items() if owners >= needed), None)


def released(path: str, files: tuple[str, ...] | None) -> bool:
    """Whether a path of the vault commit goes by a release of `files`."""
    return path.startswith(OUTPUTS) if files is None else path in files
