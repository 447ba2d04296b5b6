"""Approve: an owner's signed merge of the very commit that was reviewed, made without touching their working files."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gitqueue import refs
from gitqueue.adapters.clone import Clone, PushRefused
from gitqueue.adapters.history import History
from gitqueue.adapters.queue import REMOTE, Job, Queue
from gitqueue.errors import GitqueueError, Mistake, NotAllowed
from gitqueue.refs import JobId
from gitqueue.rules.chain import judge_link, votes
from gitqueue.rules.lifecycle import Decision, State

_TRIES = 3
_PULLS = "refs/gitqueue/pulls/"  # see steps/pulls


@dataclass(frozen=True, slots=True)
class Approved:
    """What was approved, by which commits, and the site's own answer."""

    jobs: tuple[JobId, ...]
    commits: tuple[str, ...]
    answer: str


def approve(clone: Clone, jobs: Sequence[JobId], reason: str, reviewed: dict[JobId, str]) -> Approved:
    """Merge each job at its present revision, in order, in one push. All or none.

    `reviewed` are the revisions that this owner read, where that is known. Raises NotAllowed or Mistake with every
    reason before anything is pushed; tries again where another push to `approved` came in between.
    """
    for attempt in range(_TRIES):
        clone.fetch()
        queue = Queue(History(clone.objects()), REMOTE)
        commits = _merges(clone, queue, jobs, reason, reviewed)
        try:
            answer = clone.push(f"{commits[-1]}:{refs.APPROVED}")
        except (PushRefused, Mistake) as error:
            before = queue.approved
            clone.fetch()
            if attempt + 1 == _TRIES or Queue(History(clone.objects()), REMOTE).approved == before:
                raise _explained(error) from error
            continue
        clone.fetch()
        clone.follow_approved()
        return Approved(tuple(jobs), tuple(commits), answer)
    raise AssertionError("the last try returns or raises")


def _explained(error: PushRefused | Mistake) -> GitqueueError:
    """A site says itself what it refuses, and a forge in words of its own, which are not what to do."""
    if isinstance(error, PushRefused):
        return error
    return NotAllowed(
        *error.reasons,
        step="where a forge forbids it, its administrator lets owners push to approved, with no pull request asked for"
        " (forge/settings.md in the site's folder; docs/github.md): then gitqueue approve again",
    )


def _merges(clone: Clone, queue: Queue, jobs: Sequence[JobId], reason: str, reviewed: dict[JobId, str]) -> list[str]:
    found = [queue.job(job) for job in jobs]
    refused = [why for job in found if (why := _not_now(job, reviewed.get(job.id)))]
    if refused:
        raise Mistake(*refused)
    commits: list[str] = []
    tip = queue.approved
    for job in found:
        tip = _merge(clone, queue, job, tip, reason)
        commits.append(tip)
    _judge(clone, queue, found, commits[-1])
    return commits


def _not_now(job: Job, reviewed: str | None) -> str:
    if job.revision is None and not job.approved:
        return f"there is no request {job.id}: gitqueue list"
    if job.state not in (State.PENDING, State.CHANGES_REQUESTED, State.REJECTED):
        return f"{job.id} is {job.state}: there is nothing to approve"
    if reviewed is not None and reviewed != job.revision:
        return (
            f"{job.id} has changed since you read it ({reviewed[:12]} then, {(job.revision or '')[:12]} now):"
            f" gitqueue review {job.id}"
        )
    return ""


def _merge(clone: Clone, queue: Queue, job: Job, tip: str, reason: str) -> str:
    objects, revision = queue.objects, job.revision or ""
    tree = objects.commit(revision).tree
    if not job.is_change:
        folder = objects.at(tree, job.id.folder)
        tree = objects.graft(objects.commit(tip).tree, job.id.folder, folder)
    return clone.commit_tree(tree, [tip, _merged(queue, job)], reason or f"Approve {job.id}")


def _merged(queue: Queue, job: Job) -> str:
    """What is merged: the revision; where several owners decide, with all that was said on it."""
    said = queue.ref(refs.review(job.id))
    several = queue.history.site(queue.approved).policy.approvals > 1
    # A forge shows a pull request as merged when its head is in: that may be a note on the revision.
    pulled = queue.objects.ref(f"{_PULLS}{job.id}")
    note = pulled if pulled and queue.history.revision(pulled) == job.revision else None
    return said if said and several else note or job.revision or ""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Whose word a request has, mine counted, and how many owners policy asks for."""

    owners: frozenset[str]
    needed: int
    mine: bool

    @property
    def enough(self) -> bool:
        return len(self.owners) >= self.needed

    def __str__(self) -> str:
        return f"{len(self.owners)} of {self.needed} ({', '.join(sorted(self.owners))})"


def agreement(queue: Queue, job: Job, me: str) -> Agreement:
    """Whose word `job` has on its present revision. `mine`: whether mine was among it already."""
    needed = queue.history.site(queue.approved).policy.approvals
    own = frozenset() if job.is_change else frozenset({job.id.requester})
    endorsed = {name for name, said in votes(job.decided, own).items() if said is Decision.ENDORSED}
    author = {job.id.requester} if job.is_change else set()
    return Agreement(frozenset(endorsed | author | {me}), needed, me in endorsed | author)


def must_join(queue: Queue, job: Job) -> bool:
    """Whether what was said is about an earlier revision, so that a merge of it would not be one of this."""
    said = queue.ref(refs.review(job.id))
    return said is not None and queue.history.revision(said) != job.revision


def _judge(clone: Clone, queue: Queue, jobs: Sequence[Job], tip: str) -> None:
    """By the very rules of the gate, so that what is refused is refused here, before it travels."""
    tips = {job.id: job.revision for job in jobs}
    history = History(clone.objects())
    clock = queue.objects.commit(queue.approved).date
    links = list(history.links(queue.approved, tip, clock))
    seen = (replace(link, tip=tips.get(link.request.job) if link.request else None) for link in links)
    faults = [fault for link in seen for fault in judge_link(link)]
    if faults:
        raise NotAllowed(*faults)


def standing_rejection(job: Job) -> str:
    """A warning where another owner has rejected this very revision and not taken it back; "" where none has."""
    newest = {note.signed.signer.name: note for note in job.decided if note.signed.signer}
    against = [name for name, note in newest.items() if note.decision is Decision.REJECTED]
    return f"{' and '.join(against)} rejected this revision" if against else ""
