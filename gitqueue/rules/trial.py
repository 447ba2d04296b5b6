"""Trials: which runs on the real data owners ask for before they approve, and what an approval after one releases."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from gitqueue.refs import JobId
from gitqueue.rules.authority import OWNER, Note
from gitqueue.rules.disclosure import Flag
from gitqueue.rules.lifecycle import Decision


@dataclass(frozen=True, slots=True)
class Trial:
    """One run on the real data that enough owners signed for: by whom, of which revision. `decision`, the note that
    made them enough, is its name: what it lets run, runs once."""

    decision: str
    revision: str
    by: frozenset[str]


def trials(job: JobId, notes: Iterable[Note], signers: Collection[str], needed: int) -> tuple[Trial, ...]:
    """The trials that owners asked for, oldest first; each takes `needed` owners' words of its own. Neither the
    requester nor who signed the request has one."""
    found: list[Trial] = []
    asked: dict[str, frozenset[str]] = {}
    for note in notes:
        signer = note.signed.signer
        if note.decision is not Decision.TRY_REAL or signer is None or not signer.has(OWNER):
            continue
        if signer.name == job.requester or signer.name in signers:
            continue
        by = asked.get(note.revision, frozenset()) | {signer.name}
        asked[note.revision] = by
        if len(by) >= needed:
            found.append(Trial(note.signed.commit.id, note.revision, by))
            del asked[note.revision]
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a trial of the approved code wrote (SHA-256 by name), and the owners who asked for it."""

    outputs: Mapping[str, str]
    by: frozenset[str]


def agreed(seen: Sequence[Seen], approvers: Collection[str], needed: int, outputs: Mapping[str, str]) -> bool:
    """Whether an approval releases these outputs: enough of its owners had asked for a trial that wrote the same."""
    return any(len(one.by & set(approvers)) >= needed and one.outputs == outputs for one in seen)


def departs(seen: Sequence[Seen], outputs: Mapping[str, str]) -> tuple[Flag, ...]:
    """Flags where a job that writes the same each time wrote something else than in its newest trial."""
    if not seen or seen[-1].outputs == outputs:
        return ()
    tried = seen[-1].outputs
    names = sorted(name for name in tried.keys() | outputs.keys() if tried.get(name) != outputs.get(name))
    return tuple(Flag(name, "trial", "it is not what the owners saw when they tried the job") for name in names)
