"""The runner: one loop that reconciles what the refs want with what is there. Woken by the hook, else by a poll.

State is observed, never kept: the chain says what may run, the vault what was claimed, the spool what runs.
"""

import fcntl
import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic, time

from gitqueue import refs
from gitqueue.adapters import journal, memory
from gitqueue.adapters.executors import Standing
from gitqueue.adapters.history import History
from gitqueue.adapters.judge import Judge
from gitqueue.adapters.premises import Premises
from gitqueue.adapters.queue import Job
from gitqueue.adapters.settings import Site
from gitqueue.adapters.wake import Bell
from gitqueue.errors import GitqueueError, OperatorNeeded, Tampered
from gitqueue.refs import JobId, Kind
from gitqueue.rules import release
from gitqueue.rules.chain import Approval
from gitqueue.rules.journal import Entry, Event
from gitqueue.rules.lifecycle import FINAL_RUNS, Decision, State
from gitqueue.rules.notes import ResultText
from gitqueue.steps import execute, publish, record, verify
from gitqueue.steps.execute import Attempt

POLL = 5.0
STEPS = 8  # at once: of the thousands of jobs that a cluster may have, few are being started or collected
RETRY = 30.0
Say = Callable[[str], None]


@dataclass
class Runner:
    """One site's runner.

    `taken` are jobs that were claimed, now or ever; `begun` those that this process has in hand; `busy` the steps under
    way in threads, by the job that they serve; `later` when a step that failed may be tried again; `frozen` those whose
    refs somebody moved back: nothing is done to them until they are put back.
    """

    site: Site
    say: Say
    busy: dict[JobId, "Future[None]"] = field(default_factory=dict)
    begun: set[JobId] = field(default_factory=set)
    later: dict[JobId, float] = field(default_factory=dict)
    alarm: Tampered | None = None
    frozen: set[JobId] = field(default_factory=set)
    stopping: bool = False
    _announced: set[str] = field(default_factory=set)
    _standings: dict[Path, Standing] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.settings = self.site.settings()
        self.pool = ThreadPoolExecutor(min(self.settings.executor.jobs, STEPS) + 1, thread_name_prefix="job")
        self.premises = Premises(self.site, self.settings)
        self.tips = memory.Tips(self.site)
        self.taken = set(execute.claimed(self.premises))
        self.chain = memory.recall(self.site, self.settings.root, self.taken)

    # the chain

    def verify(self) -> None:
        """Go on verifying from the last verified tip. What does not hold is an alarm, and nothing of it ever runs."""
        tip = self.premises.queue.ref(refs.APPROVED)
        try:
            if tip is None:
                raise verify.Broken("", self.chain, "the branch approved has gone")
            if tip != self.chain.tip:
                # From the root on, the operator's revocations would condemn what stood before them: they count for
                # what is new, and for what has not run.
                history = self.premises.history if self.chain.tip else History(self.premises.objects)
                self.chain = verify.extend(history, self.chain, self.settings.root, tip)
            self.alarm = None
        except verify.Broken as error:
            self.chain, self.alarm = error.chain, error
            self._announce("\n".join([*error.lines(), f"gitqueue: next: {memory.mending(self.site, self.chain, tip)}"]))
        self._remember()

    def watch(self) -> None:
        """Results and reviews only go forward: one that has gone, or gone back, is an alarm, and is not run again."""
        now = {str(ref): tip for ref, tip in self.premises.queue.refs(Kind.RESULT, Kind.REVIEW).items()}
        wrong = self.tips.compare(now, self.premises.objects.descends)
        self.frozen = {ref.job for name in wrong if (ref := refs.parse(name)) and ref.job}
        if wrong:
            error = Tampered(*wrong.values())
            self.alarm = self.alarm or error
            self._announce("\n".join(error.lines()))

    def _announce(self, text: str) -> None:
        if text not in self._announced:
            self.say(text)
            self._announced.add(text)
            journal.leave(self.site.inbox, Entry(Event.ALARM, int(time()), "runner", reasons=tuple(text.splitlines())))

    def _remember(self) -> None:
        """Forget the approvals that are taken, and write down where we are."""
        waiting = tuple(approval for approval in self.chain.approvals if approval.job not in self.taken)
        self.chain = replace(self.chain, approvals=waiting)
        if self.chain.tip:
            memory.keep(self.site, self.settings.root, self.chain)

    # one pass

    def once(self) -> bool:
        """One pass: whether anything was begun."""
        record.record(self.premises, time())
        self.verify()
        self.watch()
        # One question for all of them: on a cluster, one for each would bring its controller down.
        self._standings = self.premises.executor.standings(self.site.spool.glob("*+*+*"))
        begun = False
        for job in self._live():
            begun |= self._attend(job)
        return self._start_waiting() or begun

    def _live(self) -> list[Job]:
        """Jobs whose results ref says that somebody must still do something."""
        tips = self.premises.queue.refs(Kind.RESULT)
        untouched = self.frozen | self.busy.keys()
        jobs = [self.premises.queue.job(ref.job) for ref in tips if ref.job and ref.job not in untouched]
        return [job for job in jobs if job.result is None or job.result.state not in FINAL_RUNS]

    def _attend(self, job: Job) -> bool:
        if job.result is None:
            self._announce(f"gitqueue: {job.id}: {job.fault}")
            return False
        approval = self._approval(job)
        if approval is None:
            self._announce(f"gitqueue: {job.id} has results, but the verified chain holds no approval of it")
            return False
        if job.result.state is State.HELD:
            return self._decided(job, approval, job.result)
        return self._observed(job, execute.attempt(self.premises, approval, job.result.attempt))

    def _approval(self, job: Job) -> Approval | None:
        """What the claim stands on, where the verified chain holds it."""
        claim = list(self.premises.queue.run(job))[-1]
        if self.chain.tip is None or len(claim.parents) != 1:
            return None
        return self.premises.history.approval(job.id, claim.parents[0], self.chain.tip)

    def _observed(self, job: Job, run: Attempt) -> bool:
        standing = self._standings.get(run.folder, "absent")
        if standing == "running":
            if execute.stop_wanted(self.premises, job):
                self.premises.executor.cancel(run.folder)
            return False
        if standing == "ended":
            return self._do(run.job, lambda premises: self._finish(premises, run))
        return self._do(run.job, lambda premises: self._dead(premises, run))

    def _decided(self, job: Job, approval: Approval, result: ResultText) -> bool:
        needed = self.premises.history.site(self.premises.queue.approved).policy.approvals
        word = release.word(job.id, job.decided, result.outputs, needed)
        if word is None:
            return False
        waiting = publish.Waiting(approval, result.attempt, result.outputs or "", word.files)
        if word.decision is Decision.RELEASE:
            return self._do(job.id, lambda p: self._said(job.id, publish.release(p, waiting, time())))
        return self._do(job.id, lambda p: self._said(job.id, publish.withhold(p, approval, result.attempt, time())))

    def _start_waiting(self) -> bool:
        """Start approved jobs in the chain's order, as many as the site and each requester's quota let run."""
        running = self._running()
        waiting = [approval for approval in self.chain.approvals if approval.job not in self.begun | self.taken]
        begun = False
        for approval in waiting if not self.stopping else []:
            if sum(running.values()) >= self.settings.executor.jobs:
                break
            quota = self.premises.history.site(self.chain.tip or "").policy.quota.running
            if running[approval.job.requester] < quota and not self._suspended(approval.job):
                running[approval.job.requester] += 1
                begun |= self._begin(approval)
        return begun

    def _suspended(self, job: JobId) -> bool:
        """Whether the key that approved it counts no more, and no other owner has said to run it all the same."""
        found = self.premises.queue.job(job)
        if found.suspended:
            self._announce(f"gitqueue: {job} is suspended: its approval {found.doubt}")
        return found.suspended

    def _running(self) -> "Counter[str]":
        """How many jobs each requester has running, or in our hands on the way there."""
        folders = (folder for folder, standing in self._standings.items() if standing == "running")
        jobs = {tuple(folder.name.split("+")[:2]) for folder in folders}
        jobs |= {(job.requester, job.name) for job in self.busy}
        return Counter(requester for requester, _ in jobs)

    def _begin(self, approval: Approval) -> bool:
        self.begun.add(approval.job)
        return self._do(approval.job, lambda premises: self._run(premises, approval))

    # steps, in threads of their own

    def _do(self, job: JobId, step: Callable[[Premises], None]) -> bool:
        if monotonic() < self.later.get(job, 0):
            return False
        self.busy[job] = self.pool.submit(self._guarded, job, step)
        return True

    def _guarded(self, job: JobId, step: Callable[[Premises], None]) -> None:
        try:
            step(Premises(self.site, self.settings))
        except GitqueueError as error:
            self.say("\n".join(f"{job}: {line}" for line in error.lines()))
            self.later[job] = monotonic() + RETRY
        except Exception:  # noqa: BLE001 - one job's bug must not stop the others; its traceback is kept
            self.say(f"{job}: {traceback.format_exc()}")
            self.later[job] = monotonic() + RETRY

    def _run(self, premises: Premises, approval: Approval) -> None:
        run = execute.attempt(premises, approval)
        if execute.stop_wanted(premises, premises.queue.job(run.job)):
            return
        mine = execute.claim(premises, run, time())
        self.taken.add(run.job)
        if not mine:
            return
        try:
            execute.start(premises, run)
            self._said(run.job, State.RUNNING)
        except GitqueueError as error:
            why = execute.why(error)
            self.say(f"{run.job}: {why}")
            result = execute.unstarted(error, run.number)
            self._said(run.job, publish.give_up(premises, approval, result, why, time()))
            execute.remove(run)

    def _finish(self, premises: Premises, run: Attempt) -> None:
        if why := execute.faults(run):
            self.say(f"{run.job}: site-fault: {why}")
        self._said(run.job, publish.finish(premises, run.approval, run.number, run.folder, time()))
        execute.remove(run)

    def _dead(self, premises: Premises, run: Attempt) -> None:
        result = ResultText(State.INTERRUPTED, run.number)
        why = "the run ended without a word: the machine or its supervisor was killed"
        self._said(run.job, publish.give_up(premises, run.approval, result, why, time()))
        execute.remove(run)

    def _said(self, job: JobId, state: State) -> None:
        self.say(f"{job} is {state}")

    # the loop

    def settle(self) -> None:
        """Take note of the steps that are over."""
        for job, step in list(self.busy.items()):
            if step.done():
                del self.busy[job]
                step.result()

    def idle(self) -> bool:
        """Nothing is under way; what failed and may be tried again later does not count."""
        folders = {tuple(folder.name.split("+")[:2]) for folder in self.site.spool.glob("*+*+*")}
        return not self.busy and not folders - {(job.requester, job.name) for job in self.later}


def serve(site: Site, say: Say, once: bool) -> Tampered | None:
    """Be the site's runner until stopped; `once`: until nothing is left to do now. The alarm, if any."""
    with _only_one(site), Bell(site.socket) as bell, Judge(site.private) as judge:
        runner = Runner(site, say)
        runner.premises.executor.prepare()
        _listen_to_signals(runner)
        while not (runner.stopping and not runner.busy):
            if not once:
                judge.keep()
            runner.settle()
            begun = runner.once()
            if once and not begun and runner.idle():
                record.record(runner.premises, time())
                break
            _wait(bell, runner)
        runner.pool.shutdown()
        return runner.alarm


def _wait(bell: Bell, runner: Runner) -> None:
    """Until somebody rings; short while a step is under way, whose end rings no bell."""
    bell.wait(0.01 if runner.busy else runner.premises.executor.PAUSE if not runner.idle() else POLL)


def _listen_to_signals(runner: Runner) -> None:
    def stop(*_: object) -> None:
        if runner.stopping:
            sys.exit(1)
        runner.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


@contextmanager
def _only_one(site: Site) -> Iterator[None]:
    """The site's lock. Raises OperatorNeeded, naming the process that holds it."""
    lock = os.open(site.memory("serve.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(lock, 32, 0).decode().strip()
        os.close(lock)
        raise OperatorNeeded(
            f"this site has a runner already, process {holder}", step="gitqueue status, or stop that one first"
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    try:
        yield
    finally:
        os.close(lock)


def runner_of(site: Site) -> int | None:
    """The process id of the site's runner, None where there is none."""
    try:
        with open(site.memory("serve.lock"), "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return int(site.memory("serve.lock").read_text().strip() or 0)
    return None
