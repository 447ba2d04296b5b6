"""What the runner does ahead of approval: rehearsals on mock data, and trials on real data that owners signed for.

One of each kind at a time, in threads of their own: approved work never waits for them. What is to be done is read from
the conversations and the vault anew, so a runner that was killed finds it again.
"""

from collections.abc import Callable
from contextlib import suppress
from time import monotonic, time

from gitqueue import refs
from gitqueue.adapters.premises import Premises
from gitqueue.adapters.queue import Job
from gitqueue.refs import JobId
from gitqueue.rules import rehearsal
from gitqueue.rules.rehearsal import Wish
from gitqueue.rules.trial import Trial
from gitqueue.runner.desk import RETRY, Desk, trouble
from gitqueue.steps import rehearse, trial

REHEARSAL, TRIAL = "rehearsal", "trial"


def begin(desk: Desk) -> bool:
    """Begin what there is to do; whether anything was. Only while the people whose word counts are those of the
    verified chain; rehearsals only while no approved job waits."""
    for kind, step in list(desk.ahead.items()):
        if step.done():
            del desk.ahead[kind]
            step.result()
    if desk.stopping or desk.site.paused or desk.chain.tip != desk.premises.queue.ref(refs.APPROVED):
        return False
    begun = False
    for job in sorted(desk.asked - desk.frozen):
        begun |= _begin(desk, desk.premises.queue.job(job))
    return begun


def _begin(desk: Desk, job: Job) -> bool:
    """Begin the next things to do for a request; one for which there is nothing is forgotten until its refs move."""
    tried = None if job.is_change else trial.wanted(desk.premises, job)
    policy = desk.premises.history.site(desk.premises.queue.approved).policy
    wish = None if job.is_change else rehearsal.wish(job.state, job.decided, policy)
    if tried is None and wish is None:
        desk.asked.discard(job.id)
        return False
    begun = False
    if tried is not None and _may(desk, TRIAL, job.id):
        begun = _start(desk, TRIAL, job.id, lambda premises: _try(desk, premises, job, tried))
    if wish is not None and not _waiting(desk) and _may(desk, REHEARSAL, job.id) and _counted(desk, job.id, wish):
        begun |= _start(desk, REHEARSAL, job.id, lambda premises: _rehearse(desk, premises, job, wish))
    return begun


def _waiting(desk: Desk) -> bool:
    """Whether approved work waits for its run."""
    return any(one.job not in desk.attempts and (one.job, 1) not in desk.begun for one in desk.chain.approvals)


def _may(desk: Desk, kind: str, job: JobId) -> bool:
    return kind not in desk.ahead and monotonic() >= desk.unready.get((kind, job), 0)


def _counted(desk: Desk, job: JobId, wish: Wish) -> bool:
    """Within the requester's number for a day; what an owner asks for is on nobody's account."""
    return bool(wish.asked) or rehearse.count(desk.premises, job.requester, time())


def _start(desk: Desk, kind: str, job: JobId, step: Callable[[Premises], str]) -> bool:
    desk.ahead[kind] = desk.ahead_pool.submit(_guarded, desk, kind, job, step)
    desk.ahead[kind].add_done_callback(desk.wake)
    return True


def _guarded(desk: Desk, kind: str, job: JobId, step: Callable[[Premises], str]) -> None:
    def work() -> None:
        with suppress(rehearse.Over):
            desk.say(f"{job}: {kind}: {step(desk.room())}", job=job)
        del desk.unready[kind, job]

    desk.unready[kind, job] = monotonic() + RETRY
    wrong = trouble(work)
    if wrong:
        desk.say("\n".join(f"{job}: {kind}: {line}" for line in wrong.splitlines()), job=job, level="error")


def _rehearse(desk: Desk, premises: Premises, job: Job, wish: Wish) -> str:
    return rehearse.rehearse(premises, job, wish, lambda: desk.stopping or _gone(premises, job), time)


def _try(desk: Desk, premises: Premises, job: Job, wish: Trial) -> str:
    watch = trial.Watch(lambda: _gone(premises, job), lambda: desk.stopping)
    return trial.attempt(premises, job, wish, watch) or "the runner stops, and the next one finds it again"


def _gone(premises: Premises, job: Job) -> bool:
    """Whether the revision is no longer the request's, or was approved: what runs of it now is of no use."""
    if premises.objects.ref(refs.request(job.id)) != job.revision:
        return True
    return premises.objects.holds(premises.objects.commit(premises.queue.approved).tree, job.id.folder)
