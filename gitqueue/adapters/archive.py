"""The archive: where gc keeps the refs of jobs that are over, a line of signed commits for each month."""

from collections.abc import Iterator

from gitqueue.adapters.git import list_refs
from gitqueue.adapters.history import History
from gitqueue.adapters.objects import EMPTY_TREE
from gitqueue.errors import Tampered
from gitqueue.model import Commit
from gitqueue.refs import JobId
from gitqueue.rules import archive
from gitqueue.rules.archive import Closed
from gitqueue.rules.authority import RUNNER
from gitqueue.rules.policy import People

COPY = "refs/gitqueue/archive"  # in a clone, once it asked


def closed(history: History, people: People, prefix: str) -> dict[JobId, Closed]:
    """Every job that a runner closed, the newest of a name; `prefix` is where the archive's refs lie.

    Raises Tampered for a commit of the archive that no runner wrote.
    """
    found: dict[JobId, Closed] = {}
    for _, tip in sorted(list_refs(history.objects.path, prefix).items()):
        for job in reversed(list(_line(history, people, tip))):
            found[job.job] = job
    return found


def newest(history: History, people: People, prefix: str) -> tuple[Closed, ...]:
    """The jobs of the archive's newest commit."""
    tips = list_refs(history.objects.path, prefix)
    return _read(history, people, tips[max(tips)])[1] if tips else ()


def _line(history: History, people: People, tip: str) -> Iterator[Closed]:
    """The jobs of one month, newest first."""
    current: str | None = tip
    while current is not None:
        commit, jobs = _read(history, people, current)
        yield from reversed(jobs)
        current = _former(commit, jobs)


def _read(history: History, people: People, commit: str) -> tuple[Commit, tuple[Closed, ...]]:
    signed = history.signed(commit, people)
    if signed.signer is None or not signed.signer.has(RUNNER):
        raise Tampered(f"archive commit {commit[:12]} {signed.fault or 'is not signed by a runner'}")
    return signed.commit, archive.parse(signed.commit.message)


def _former(commit: Commit, jobs: tuple[Closed, ...]) -> str | None:
    """The commit before it. Raises Tampered where the parents are not what the message says."""
    tips = archive.parents(None, jobs)
    former = commit.parents[0] if commit.parents and commit.parents[0] not in tips else None
    if commit.tree != EMPTY_TREE or commit.parents != archive.parents(former, jobs):
        raise Tampered(f"archive commit {commit.id[:12]} does not hold the jobs that it names")
    return former
