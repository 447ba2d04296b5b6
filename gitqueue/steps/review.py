"""Review: the decisions that owners, and others, sign on a request, and what an owner has read of it."""

from dataclasses import dataclass
from pathlib import Path

from gitqueue import refs
from gitqueue.adapters import git
from gitqueue.adapters.clone import Clone, PushRefused
from gitqueue.adapters.history import History
from gitqueue.adapters.queue import REMOTE, Job, Queue
from gitqueue.errors import GitqueueError, Mistake, NotAllowed
from gitqueue.refs import JobId
from gitqueue.rules import notes
from gitqueue.rules.authority import NoteFacts, judge_note
from gitqueue.rules.lifecycle import Decision

REVIEWED = "refs/gitqueue/reviewed/"  # in the owner's clone alone: what they last read
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Spoken:
    """A decision to sign: what, why, and what it must name."""

    decision: Decision
    reason: str
    outputs: str | None = None
    at: str | None = None
    files: tuple[str, ...] | None = None
    tested: str | None = None
    attempt: int | None = None

    def trailers(self, revision: str) -> dict[str, object]:
        files = None if self.files is None else notes.files_text(self.files)
        return {
            "Decision": self.decision,
            "Revision": revision,
            "At": self.at,
            "Outputs": self.outputs,
            "Files": files,
            "Tested": self.tested,
            "Attempt": self.attempt,
        }


def decide(clone: Clone, id_: JobId, spoken: Spoken) -> str:
    """Sign a decision on the job's present revision and push it; the site's answer.

    Raises with every reason before anything is pushed; tries again where somebody else spoke in between.
    """
    for attempt in range(_TRIES):
        clone.fetch()
        queue = Queue(History(clone.objects()), REMOTE)
        job = queue.job(id_)
        commit = _note(clone, queue, job, spoken)
        try:
            answer = clone.push(f"{commit}:{refs.review(id_)}")
        except (PushRefused, Mistake):
            before = queue.ref(refs.review(id_))
            clone.fetch()
            if attempt + 1 == _TRIES or queue.ref(refs.review(id_)) == before:
                raise
            continue
        clone.fetch()
        return answer
    raise AssertionError("the last try returns or raises")


def _note(clone: Clone, queue: Queue, job: Job, spoken: Spoken) -> str:
    if job.revision is None:
        raise Mistake(f"there is no request {job.id}", step="gitqueue list")
    former = queue.ref(refs.review(job.id))
    message = notes.compose(spoken.reason or f"{spoken.decision} {job.id}", spoken.trailers(job.revision))
    commit = clone.commit_tree(queue.objects.commit(job.revision).tree, _parents(queue, job, former), message)
    note = History(clone.objects()).thread(commit, queue.people, former)[0]
    request = queue.history.request(job.id, job.revision, queue.approved, queue.people)
    outputs = job.result.outputs if job.result else None
    faults = judge_note(NoteFacts(note, job.id, job.state, job.revision, request.signers, outputs, attempt=job.attempt))
    if spoken.decision in _NEED_REASON and not spoken.reason:
        faults = (*faults, f"{spoken.decision} needs a reason: say it with -m")
    if faults:
        raise NotAllowed(*faults)
    return commit


_NEED_REASON = frozenset({Decision.REJECTED, Decision.CHANGES_REQUESTED, Decision.WITHHOLD})


def _parents(queue: Queue, job: Job, former: str | None) -> list[str]:
    """The revision and the former review; the former alone where it spoke of the same revision."""
    revision = job.revision or ""
    if former is None:
        return [revision]
    return [former] if queue.history.revision(former) == revision else [revision, former]


# what an owner has read


def remember_read(clone: Clone, job: Job) -> None:
    """Keep, in this clone alone, which revision its owner has read; `approve` holds it against what it merges."""
    if job.revision:
        clone.git("update-ref", f"{REVIEWED}{job.id}", job.revision)


def read_before(clone: Clone, jobs: list[JobId]) -> dict[JobId, str]:
    known = git.list_refs(clone.git_dir, REVIEWED.rstrip("/"))
    return {job: known[name] for job in jobs if (name := f"{REVIEWED}{job}") in known}


def after_merge(folder: Path) -> list[str]:
    """After a merge in an owner's clone: what it approves, and the line that publishes it. Pushes where
    `gitqueue.push` is true."""
    clone = Clone(folder)
    queue = Queue(History(clone.objects()), REMOTE)
    if clone.branch != "approved":
        return []
    tip = clone.git("rev-parse", "HEAD").strip()
    try:
        links = [link for link in queue.history.links(queue.approved, tip, 0) if link.request]
    except GitqueueError:
        return []
    jobs = [str(link.request.job) for link in links if link.request]
    if not jobs:
        return []
    if clone.config("gitqueue.push") == "true":
        return [f"gitqueue: {line}" for line in clone.push(f"{tip}:{refs.APPROVED}").splitlines()]
    return [f"gitqueue: this approves {', '.join(jobs)}; publish it: git push origin approved"]
