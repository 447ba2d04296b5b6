"""What people do that takes more than one step, for the commands and for Python alike."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gitqueue import refs, runner
from gitqueue.adapters import settings
from gitqueue.adapters.clone import Clone
from gitqueue.adapters.queue import Job, Queue
from gitqueue.errors import Mistake, Tampered
from gitqueue.refs import JobId
from gitqueue.rules.authority import Note
from gitqueue.rules.chain import Chain, votes
from gitqueue.rules.lifecycle import Decision, State
from gitqueue.rules.trial import trials
from gitqueue.steps import approve as merging
from gitqueue.steps import enter, look, review, verify
from gitqueue.steps.review import Spoken

_HOLDS = "refs/gitqueue/holds"  # in this clone alone: how far the chain was found to hold
_BUTTON = (
    "a merge by a forge's button, squash, rebase or queue is signed by no owner and never counts: nothing that came"
    " with it runs"
)


@dataclass(frozen=True, slots=True)
class Signer:
    """An owner at their clone, by the name that their key has at the site."""

    clone: Clone
    queue: Queue
    name: str


def approve(owner: Signer, ids: Sequence[JobId], why: str, read: Mapping[JobId, str]) -> list[str]:
    """Merge each job, signed, exactly as it was read; or endorse it, where the word of more owners is needed. What
    there is to say of it, in lines."""
    must_hold(owner.clone, owner.queue)
    said: list[str] = []
    ready = [id_ for id_ in ids if _endorsed(owner, id_, why, said)]
    if ready:
        said.append(merging.approve(owner.clone, ready, why, dict(read)).answer)
    return said


def must_hold(clone: Clone, queue: Queue) -> None:
    """Verify the chain on from where this clone last found that it holds. Raises Tampered, with what to do: on a forge
    anybody with the right to push may have moved `approved`."""
    root, known = clone.config(enter.ROOT), queue.objects.ref(_HOLDS)
    if not root or known == queue.approved:
        return
    begun = Chain(known, queue.objects.commit(known).date) if known else Chain()
    try:
        verify.extend(queue.history, begun, root, queue.approved)
    except verify.Broken as error:
        raise Tampered(*error.reasons, _BUTTON, step=_back(queue, error.chain.tip)) from error
    clone.git("update-ref", _HOLDS, queue.approved)


def _back(queue: Queue, good: str | None) -> str:
    if good is None:
        return "use nothing of this clone, and ask the site's owners"
    lease = f"--force-with-lease=approved:{queue.approved}"
    return f"an owner puts it back (the forge must allow that for once): git push {lease} origin {good}:{refs.APPROVED}"


def _endorsed(owner: Signer, id_: JobId, why: str, said: list[str]) -> bool:
    """Endorse where the word of more owners is needed; whether there is enough of it to merge."""
    job = owner.queue.job(id_)
    standing = merging.agreement(owner.queue, job, owner.name)
    if job.revision is None or standing.needed < 2:
        return True
    if standing.enough and not merging.must_join(owner.queue, job):
        return True
    if standing.mine:
        raise Mistake(f"{id_} has your word already, and that of {standing} owners", step="another owner approves it")
    said += [review.decide(owner.clone, id_, Spoken(Decision.ENDORSED, why)), f"endorsed {id_}: {standing}"]
    return standing.enough


def decide(clone: Clone, job: Job, decision: Decision, why: str, at: str | None = None) -> str:
    """Sign one decision, naming what it must name, and push it; the site's answer."""
    outputs = job.result.outputs if job.result and decision is Decision.WITHHOLD else None
    again = job.attempt or None if decision is Decision.RERUN else None
    return review.decide(clone, job.id, Spoken(decision, why, outputs=outputs, at=at, attempt=again))


def serve_here(clone: Clone, quiet: bool = False) -> bool:
    """Do what waits at a site on this machine that no runner serves; False where there is no such site. `quiet`: the
    runner's own words are lost."""
    site = settings.find(Path(clone.url))
    if site is None or not os.access(site.private, os.W_OK) or runner.runner_of(site) is not None:
        return False
    argv = [sys.executable, "-m", "gitqueue", "-C", str(site.path), "serve", "--once"]
    subprocess.run(argv, check=False, stderr=subprocess.DEVNULL if quiet else None)
    return True


def will_run(queue: Queue, job: Job, word: str) -> bool:
    """Whether the runner runs a request for this word (`try-mock` or `try-real`), or waits for those of more owners."""
    note = next(note for note in job.notes if note.signed.commit.id == word)
    needed = queue.history.site(queue.approved).policy.approvals
    asked = trials(job.id, job.notes, (), needed)
    return note.decision is Decision.TRY_MOCK or any(one.decision == word for one in asked)


def has_run(clone: Clone, job: Job, word: str) -> bool:
    """Whether what an owner asked for is done."""
    at = next(at for at, note in enumerate(job.notes) if note.signed.commit.id == word)
    if job.notes[at].decision is Decision.TRY_REAL:
        return look.has_tried(clone, job, word)
    return any(note.decision is Decision.REHEARSED for note in job.notes[at + 1 :])


def waiting(queue: Queue, me: str | None) -> list[Job]:
    """What waits for an owner who is not its requester, and has not agreed to it yet, oldest first."""
    pending = [job for job in queue.jobs() if job.state is State.PENDING and job.id.requester != me]
    return [job for job in pending if votes(job.decided, set()).get(me or "") is not Decision.ENDORSED]


def held(queue: Queue, me: str | None) -> list[Job]:
    """Whose outputs wait for an owner who is not their requester, and has not released them yet."""
    found = [job for job in queue.jobs() if job.state is State.HELD and job.id.requester != me]
    return [job for job in found if not any(_released(note, me) for note in job.decided)]


def _released(note: Note, me: str | None) -> bool:
    return note.decision is Decision.RELEASE and note.signed.signer is not None and note.signed.signer.name == me
