"""What the runner does: attend to what runs or waits for an owner's word, and start what waits for its run."""

from collections import Counter
from collections.abc import Iterator
from time import time

from gitqueue.adapters import remains
from gitqueue.adapters.premises import Premises
from gitqueue.adapters.queue import Job
from gitqueue.errors import GitqueueError
from gitqueue.refs import JobId
from gitqueue.rules import release, schedule
from gitqueue.rules.chain import Approval
from gitqueue.rules.lifecycle import FINAL_RUNS, Decision, Reason, State
from gitqueue.rules.notes import ResultText
from gitqueue.runner.desk import Desk
from gitqueue.steps import execute, publish
from gitqueue.steps.execute import Attempt

# what runs, or waits for a word


def attend(desk: Desk) -> bool:
    """See to every job that ran, or runs, and is not over; whether anything was begun."""
    # One question for all of them: on a cluster, one for each would bring its controller down.
    desk.standings = desk.premises.executor.standings(desk.site.spool.glob("*+*+*"))
    begun = False
    for job in sorted(desk.open - desk.frozen - desk.busy.keys()):
        begun |= _attend(desk, desk.premises.queue.job(job))
    return begun


def _attend(desk: Desk, job: Job) -> bool:
    if job.result is None:
        desk.announce(f"gitqueue: {job.id}: {job.fault}")
        return False
    if job.result.state in FINAL_RUNS:  # it waits for its next attempt
        return False
    approval = approval_of(desk, job)
    if approval is None:
        desk.announce(f"gitqueue: {job.id} has results, but the verified chain holds no approval of it")
        return False
    if job.result.state is State.HELD:
        return _decided(desk, job, approval, job.result)
    return _observed(desk, job, execute.attempt(desk.premises, approval, job.result.attempt))


def approval_of(desk: Desk, job: Job) -> Approval | None:
    """What the first claim stands on, where the verified chain holds it."""
    claim = list(desk.premises.queue.run(job))[-1]
    if desk.chain.tip is None or len(claim.parents) != 1:
        return None
    return desk.premises.history.approval(job.id, claim.parents[0], desk.chain.tip)


def _observed(desk: Desk, job: Job, run: Attempt) -> bool:
    standing = desk.standings.get(run.folder, "absent")
    if standing != "absent":
        desk.unstarted.discard(run)
    if standing == "running":
        if execute.stop_wanted(job):
            desk.premises.executor.cancel(run.folder)
        return False
    if standing == "absent" and run in desk.unstarted and not execute.stop_wanted(job):
        if desk.site.paused:
            return False
        return desk.do(run.job, lambda premises: _start(desk, premises, run))
    if standing == "ended":
        return desk.do(run.job, lambda premises: _finish(desk, premises, run))
    return desk.do(run.job, lambda premises: _dead(desk, premises, run))


def _finish(desk: Desk, premises: Premises, run: Attempt) -> None:
    record = remains.ended(run.folder)
    if record.reason == "site-fault":
        desk.say(f"{run.job}: site-fault: {record.detail}", job=run.job, level="error")
    state = publish.finish(premises, run.approval, run.number, run.folder, time())
    _over(desk, run, state, Reason(record.reason) if state is State.FAILED else None, record.seconds)


def _over(desk: Desk, run: Attempt, state: State, reason: Reason | None = None, seconds: float = 0.0) -> None:
    """Say how a run ended, and forget its folder."""
    desk.tell(run.job, state)
    desk.meters.ended(state, reason, seconds)
    execute.remove(run)


def _dead(desk: Desk, premises: Premises, run: Attempt) -> None:
    state, why = State.INTERRUPTED, "the run ended without a word: the machine or its supervisor was killed"
    if run in desk.unstarted:  # what kept it from its start was no fault of its own, and then somebody cancelled it
        state, why = State.CANCELLED, "it was cancelled before it began"
    _over(desk, run, publish.give_up(premises, run.approval, ResultText(state, run.number), why, time()))
    desk.unstarted.discard(run)


def _decided(desk: Desk, job: Job, approval: Approval, result: ResultText) -> bool:
    needed = desk.premises.history.site(desk.premises.queue.approved).policy.approvals
    word = release.word(job.id, job.decided, result.outputs, needed)
    if word is None:
        return False
    waiting = publish.Waiting(approval, result.attempt, result.outputs or "", word.files)
    if word.decision is Decision.RELEASE:
        return desk.do(job.id, lambda p: desk.tell(job.id, publish.release(p, waiting, time())))
    return desk.do(job.id, lambda p: desk.tell(job.id, publish.withhold(p, approval, result.attempt, time())))


# what waits for its run


def start(desk: Desk) -> bool:
    """Start what waits, in turn, as long as there is room; whether anything was begun."""
    if desk.stopping or desk.chain.tip is None or _running(desk).total() >= desk.settings.executor.jobs:
        return False
    waiting = {approval.job: (approval, number) for approval, number in _waiting(desk)}
    doubts: dict[JobId, str] = {}
    begun = False
    while waiting and (job := schedule.next_one(waiting, _room(desk, doubts))):
        if doubt := _doubt(desk, job):
            doubts[job] = doubt
        else:
            begun |= _begin(desk, execute.attempt(desk.premises, *waiting.pop(job)))
    return begun


def _waiting(desk: Desk) -> Iterator[tuple[Approval, int]]:
    """First attempts in the chain's order, then those that owners asked to be made again; each by its number."""
    for approval in desk.chain.approvals:
        if (approval.job, 1) not in desk.begun and approval.job not in desk.attempts:
            yield approval, 1
    for job in sorted(desk.open - desk.frozen - desk.busy.keys()):
        found = desk.premises.queue.job(job)
        new = found.state is State.APPROVED and (job, found.attempt + 1) not in desk.begun
        if new and (first := approval_of(desk, found)):
            yield first, found.attempt + 1


def _room(desk: Desk, doubts: dict[JobId, str]) -> schedule.Room:
    return schedule.Room(
        jobs=desk.settings.executor.jobs,
        quota=desk.premises.history.site(desk.chain.tip or "").policy.quota,
        running=_running(desk),
        started=desk.starts.since(time() - schedule.DAY),
        turns=desk.turns,
        doubts=doubts,
        paused=desk.site.paused,
    )


def _doubt(desk: Desk, job: JobId) -> str:
    """Why the key that approved it counts no more, where no other owner has said to run it all the same."""
    found = desk.premises.queue.job(job)
    if found.suspended:
        desk.announce(f"gitqueue: {job} is suspended: its approval {found.doubt}")
    return found.doubt if found.suspended else ""


def _running(desk: Desk) -> "Counter[str]":
    """How many jobs each requester has running, or in our hands on the way there."""
    folders = (folder for folder, standing in desk.standings.items() if standing == "running")
    jobs = {tuple(folder.name.split("+")[:2]) for folder in folders}
    jobs |= {(job.requester, job.name) for job in desk.busy}
    return Counter(requester for requester, _ in jobs)


def _begin(desk: Desk, run: Attempt) -> bool:
    if not desk.ready(run.job):
        return False
    desk.begun.add((run.job, run.number))
    desk.turns[run.job.requester] = max(desk.turns.values(), default=0) + 1
    desk.starts.add(time(), run.job.requester)
    return desk.do(run.job, lambda premises: _run(desk, premises, run))


def _run(desk: Desk, premises: Premises, run: Attempt) -> None:
    if execute.stop_wanted(premises.queue.job(run.job)):
        return
    try:
        mine = execute.claim(premises, run, time())
    except BaseException:  # a full disk, a forge that is away: it is claimed later, by the same commits
        desk.begun.discard((run.job, run.number))
        raise
    desk.attempts[run.job] = run.number
    if mine:
        desk.meters.waited(time() - premises.objects.commit(run.approval.commit).date)
        _start(desk, premises, run)


def _start(desk: Desk, premises: Premises, run: Attempt) -> None:
    desk.unstarted.add(run)
    try:
        execute.start(premises, run)
        desk.unstarted.discard(run)
        desk.tell(run.job, State.RUNNING)
    except GitqueueError as error:
        why = execute.why(error)
        desk.say(f"{run.job}: {why}", job=run.job, level="error")
        result = execute.unstarted(error, run.number)
        _over(desk, run, publish.give_up(premises, run.approval, result, why, time()), result.reason)
        desk.unstarted.discard(run)
