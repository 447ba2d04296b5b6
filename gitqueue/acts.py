"""What people do that takes more than one step, for the commands and for Python alike."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gitqueue import runner
from gitqueue.adapters import settings
from gitqueue.adapters.clone import Clone
from gitqueue.adapters.queue import Job, Queue
from gitqueue.errors import Mistake
from gitqueue.refs import JobId
from gitqueue.rules.lifecycle import Decision, State
from gitqueue.steps import approve as merging
from gitqueue.steps import review
from gitqueue.steps.review import Spoken


@dataclass(frozen=True, slots=True)
class Signer:
    """An owner at their clone, by the name that their key has at the site."""

    clone: Clone
    queue: Queue
    name: str


def approve(owner: Signer, ids: Sequence[JobId], why: str, read: Mapping[JobId, str]) -> list[str]:
    """Merge each job, signed, exactly as it was read; or endorse it, where the word of more owners is needed. What
    there is to say of it, in lines."""
    said: list[str] = []
    ready = [id_ for id_ in ids if _endorsed(owner, id_, why, said)]
    if ready:
        said.append(merging.approve(owner.clone, ready, why, dict(read)).answer)
    return said


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


def serve_here(clone: Clone) -> None:
    """Do what waits at a site on this machine that no runner serves."""
    site = settings.find(Path(clone.url))
    if site is not None and os.access(site.private, os.W_OK) and runner.runner_of(site) is None:
        subprocess.run([sys.executable, "-m", "gitqueue", "-C", str(site.path), "serve", "--once"], check=False)


def waiting(queue: Queue, me: str | None) -> list[Job]:
    """What waits for an owner who is not its requester, oldest first."""
    return [job for job in queue.jobs() if job.state is State.PENDING and job.id.requester != me]
