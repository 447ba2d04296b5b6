"""Pulls: which request a pull request of a forge is, by its number."""

from gitqueue.adapters.clone import Clone
from gitqueue.adapters.queue import Queue
from gitqueue.errors import Mistake
from gitqueue.refs import JobId, pull_heads

SEEN = "refs/gitqueue/pulls/"  # in this clone alone: the head that was fetched of a job's pull request


def find(clone: Clone, queue: Queue, number: int) -> JobId:
    """The job of a pull request (of a merge request), whose head is fetched. Raises Mistake where there is none."""
    names = pull_heads(number)
    listed = clone.git("ls-remote", "origin", *names).split()
    name = next((name for name in names if name in listed), None)
    if name is None:
        raise Mistake(f"there is no pull request {number} at {clone.url!r}", step="gitqueue list")
    clone.git("fetch", "--quiet", "origin", f"+{name}:refs/gitqueue/pull")
    head = clone.git("rev-parse", "refs/gitqueue/pull").strip()
    revision = queue.history.asked_at(head)
    job = queue.history.asked_by(revision, queue.approved)
    if job is None:
        raise Mistake(f"pull request {number} changes no one folder jobs/<requester>/<job>/: it is no request")
    there = queue.job(job)
    if there.revision is None:
        raise Mistake(
            f"the site has not taken in pull request {number}, which would be {job}",
            step="its runner does so within a minute, where nothing is against it: gitqueue check says what is",
        )
    if there.revision != revision and not there.approved:
        raise Mistake(
            f"pull request {number} stands at {revision[:12]}, and {job} at {there.revision[:12]}: one is newer",
            step=f"when the runner has looked, git fetch and gitqueue review {job}",
        )
    clone.git("update-ref", f"{SEEN}{job}", head)
    return job
