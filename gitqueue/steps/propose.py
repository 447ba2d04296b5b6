"""Propose: judge a commit as the site would judge it as a request, from a clone: its history, signatures and files."""

from collections.abc import Sequence
from dataclasses import dataclass

from gitqueue import refs
from gitqueue.adapters.clone import Clone
from gitqueue.adapters.queue import REMOTE, Queue
from gitqueue.refs import JobId
from gitqueue.rules import submission
from gitqueue.rules.chain import judge_request
from gitqueue.rules.tree import File


@dataclass(frozen=True, slots=True)
class Proposed:
    """What a commit would ask for (None: no one job), at which revision, with which files; the reasons against it."""

    job: JobId | None
    revision: str
    files: tuple[File, ...]
    reasons: tuple[str, ...]


def judge(queue: Queue, commit: str, now: float) -> Proposed:
    """By the rules of the gate, on the chain as this clone has it."""
    revision, history, approved = queue.history.asked_at(commit), queue.history, queue.approved
    job = history.asked_by(revision, approved)
    if job is None:
        return Proposed(None, revision, (), ("it changes no one folder jobs/<you>/<job>/: a request does just that",))
    request = history.request(job, revision, approved, history.people(approved), now)
    reasons: Sequence[str] = judge_request(request)
    if queue.objects.holds(queue.objects.commit(approved).tree, job.folder):
        reasons = (f"{job} was approved and takes nothing more: changed code is a new job, with a new name",)
    if request.folder is None:
        return Proposed(job, revision, (), tuple(reasons))
    site = history.site(approved)
    files, refused = history.files(request.folder, site.policy)
    faults = refused or submission.judge(files, job, site.policy, site.datasets)
    return Proposed(job, revision, files, (*reasons, *faults))


def show_as_request(clone: Clone, found: Proposed) -> None:
    """Have this clone see the commit as the site will show it, so that it can be reported on."""
    if found.job:
        clone.git("update-ref", f"{REMOTE}{refs.request(found.job).removeprefix(refs.HEADS)}", found.revision)
