"""Tidy: close what is over, forget what the site kept of it, keep git quick. Open work is never touched.

Closing is one transaction of refs: the archive takes the tips, and the live refs go. git moves before it deletes; of a
crash in between, `finish` takes away what was left. Where a forge hosts the site, these are the mirror's refs; the
runner does the same at the forge.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from gitqueue import refs
from gitqueue.adapters import archive, git, journal, preparation, programs, turn
from gitqueue.adapters.objects import EMPTY_TREE
from gitqueue.adapters.premises import Premises
from gitqueue.adapters.queue import Job
from gitqueue.adapters.settings import Site
from gitqueue.errors import OperatorNeeded
from gitqueue.model import RefMove
from gitqueue.refs import JobId, Kind
from gitqueue.rules import archive as rule
from gitqueue.rules.archive import Closed
from gitqueue.rules.journal import Entry, Event

_PATIENCE = 6 * 3600.0  # seconds that git may take for a large repository
_GRACE = "1.day.ago"  # an object that a push or a step wrote a moment ago has no ref yet


@dataclass(frozen=True, slots=True)
class Tidied:
    """What was done: jobs closed; environments, by key, and older versions of our own programs removed."""

    closed: tuple[JobId, ...]
    environments: tuple[str, ...]
    programs: tuple[str, ...]


def tidy(premises: Premises, now: float) -> Tidied:
    """All of it, once. May run beside the runner, and again at any time. Raises OperatorNeeded while it is at work."""
    with _alone(premises.site):
        finish(premises)
        due = list(_due(premises, now))
        closed = [job.job for batch in rule.batches(due) for job in _close(premises, batch, now)]
        _forget(premises)
        gone = preparation.evict(premises, now)
        older = programs.evict(premises.site.spool, now)
        for repository in (premises.site.repository, premises.site.vault):
            git.git("gc", "--quiet", f"--prune={_GRACE}", cwd=repository, timeout=_PATIENCE)
    return Tidied(tuple(closed), gone, older)


@contextmanager
def _alone(site: Site) -> Iterator[None]:
    lock = os.open(site.memory("gc.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OperatorNeeded("gc is at work here already", step="wait until it is done") from error
        yield
    finally:
        os.close(lock)


# closing


def _due(premises: Premises, now: float) -> Iterator[Closed]:
    """Jobs that are over for longer than policy keeps them. One whose results cannot be believed stays in sight."""
    queue = premises.queue
    retention = queue.history.site(queue.approved).policy.retention
    for job in queue.jobs():
        if not job.fault and rule.is_due(job.state, _last(premises, job), now, retention):
            yield Closed(job.id, job.state, job.revision, queue.ref(refs.review(job.id)), job.results)


def _last(premises: Premises, job: Job) -> float:
    """When anything was last done to a job, or said of it."""
    tips = (job.revision, premises.queue.ref(refs.review(job.id)), job.results)
    return max(premises.objects.commit(tip).date for tip in tips if tip)


def _close(premises: Premises, jobs: Sequence[Closed], now: float) -> Sequence[Closed]:
    """Take the refs of some jobs into the archive; none of them where one has just moved."""
    day = datetime.fromtimestamp(now, UTC)
    name, site = refs.archive(day.year, day.month), premises.site
    with turn.taken(site.memory("gate.lock")):  # no push comes in between
        former = premises.objects.ref(name)
        premises.objects.write_tree(())
        parents = rule.parents(former, jobs)
        commit = premises.commit(premises.objects, EMPTY_TREE, parents, rule.message(jobs), now)
        moves = (RefMove(name, former, commit), *(move for job in jobs for move in job.removals()))
        why = (f"{len(jobs)} jobs that have been over for longer than policy keeps them",)
        journal.leave(site.inbox, Entry(Event.CLOSED, int(now), "runner", moves=moves, reasons=why))
        return jobs if git.move_refs(site.repository, moves) else ()


def finish(premises: Premises) -> None:
    """Take away the refs that a crash left of jobs which the archive holds already."""
    queue = premises.queue
    tips = [job.tips for job in archive.newest(queue.history, queue.people, refs.ARCHIVE)]
    left = [RefMove(name, tip, None) for held in tips for name, tip in held.items() if queue.ref(name) == tip]
    if left:
        git.move_refs(premises.site.repository, left)


# forgetting


def _forget(premises: Premises) -> None:
    """What runs left of closed jobs goes from the vault; claims stay for ever."""
    live = {ref.job for ref in premises.queue.refs(Kind.REQUEST, Kind.REVIEW, Kind.RESULT)}
    over = premises.queue.archived().keys() - live
    held = {refs.outputs(job): premises.vault.ref(refs.outputs(job)) for job in over}
    git.move_refs(premises.site.vault, [RefMove(name, tip, None) for name, tip in held.items() if tip])
