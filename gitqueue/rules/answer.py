"""What happens next when somebody has spoken: the line that the site answers a decision with. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gitqueue.refs import JobId
from gitqueue.rules import release
from gitqueue.rules.authority import Note
from gitqueue.rules.chain import votes
from gitqueue.rules.lifecycle import Decision, State, next_step
from gitqueue.rules.trial import trials


@dataclass(frozen=True, slots=True)
class Standing:
    """How a job stands, the new decision counted: `notes` are those on its tip, oldest first, `signers` who signed it,
    `outputs` the vault commit that waits, `needed` how many owners policy asks for."""

    job: JobId
    state: State
    notes: Sequence[Note]
    signers: Collection[str]
    outputs: str | None
    needed: int


def after(note: Note, now: Standing) -> str:
    """Who acts next, and how."""
    if note.decision is Decision.ENDORSED:
        agreed = sum(said is Decision.ENDORSED for said in votes(now.notes, {now.job.requester}).values())
        last = agreed >= now.needed - 1
        return "an owner who has not agreed yet approves it" if last else f"{agreed} of {now.needed} owners agree"
    if not _enough(note, now):
        return f"another owner says so, too: policy asks for {now.needed}"
    if note.decision is Decision.CANCEL and now.state is State.RUNNING:
        return "the runner stops it by itself"
    return _THEN[note.decision].format(job=now.job) if note.decision in _THEN else next_step(now.state)


_THEN = {
    Decision.TRY_MOCK: "the runner runs it on the mock data, and says here how it went",
    Decision.TRY_REAL: "the runner runs it on the real data; then: gitqueue outputs {job}",
    Decision.RELEASE: "the runner releases it by itself; then the requester fetches the results",
    Decision.WITHHOLD: next_step(State.WITHHELD),
}


def _enough(note: Note, now: Standing) -> bool:
    """Whether the runner acts on this word, or waits for those of further owners."""
    if note.decision is Decision.TRY_REAL:
        asked = trials(now.job, now.notes, now.signers, now.needed)
        return any(one.decision == note.signed.commit.id for one in asked)
    if note.decision is Decision.RELEASE:
        return release.word(now.job, now.notes, now.outputs, now.needed) is not None
    return note.decision is not Decision.RERUN or now.state is State.APPROVED
