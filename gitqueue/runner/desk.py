"""The desk: what one runner has in hand, and how it sets steps going in threads of their own."""

import os
import traceback
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, time

from gitqueue.adapters import journal, memory, vault
from gitqueue.adapters.executors import Standing
from gitqueue.adapters.premises import Premises
from gitqueue.adapters.settings import Site
from gitqueue.errors import GitqueueError, OperatorNeeded, Tampered
from gitqueue.refs import JobId
from gitqueue.rules.journal import Entry, Event
from gitqueue.rules.lifecycle import OPEN, State
from gitqueue.rules.policy import RunnerSettings
from gitqueue.runner.delivery import Delivery
from gitqueue.runner.meters import Meters
from gitqueue.runner.words import Say
from gitqueue.steps.execute import Attempt

_UNWELL = "the runner cannot go on: "
RETRY = 30.0
STEPS = 8  # at once: of the thousands of jobs that a cluster may have, few are being started or collected
Step = Callable[[Premises], None]
Cap = Callable[[RunnerSettings], RunnerSettings]


def trouble(work: Callable[[], None]) -> str:
    """What went wrong with work in a thread, for the log; empty where nothing did. A bug in one thing must not stop the
    others: its traceback is kept."""
    try:
        work()
    except GitqueueError as error:
        return "\n".join(error.lines())
    except OSError as error:
        return f"{error}; it is tried again"
    except Exception:  # noqa: BLE001 - see above
        return traceback.format_exc()
    return ""


class Starts:
    """Claims, by when and whose, oldest first; counted as they come and go, not in each pass."""

    def __init__(self) -> None:
        self._all: deque[tuple[float, str]] = deque()
        self._counts: Counter[str] = Counter()

    def add(self, at: float, who: str) -> None:
        self._all.append((at, who))
        self._counts[who] += 1

    def since(self, when: float) -> "Counter[str]":
        """How many each requester has had since; what was before is forgotten."""
        while self._all and self._all[0][0] <= when:
            self._counts[self._all.popleft()[1]] -= 1
        return self._counts


@dataclass
class Desk:
    """One site's runner.

    `alarm` is what does not hold here, `foreign` what does not at the forge that hosts the site.
    `attempts` are claimed ones, now or ever, as far as they matter: each job's newest; `begun` are attempts that this
    process has taken up; `busy` the steps under way in threads, by the job that they serve; `later` when a step that
    failed may be tried again; `frozen` jobs whose refs somebody moved back: nothing is done to them until they are put
    back. `open` are jobs that ran, or run, and for which something is left to do; `closed` those for which nothing is,
    by where their results and reviews stood; `touched` those whose refs moved since. `turns` counts up as requesters
    are served; `starts` are the claims of about a day, by when and whose. `asked` are requests for which there may be
    something to do before approval, `ahead` what is being done so, and `unready` when what failed of it may be tried
    again. `unstarted` are attempts of ours whose start failed by no fault of the job's. `stands` is where each open job
    stands, for who watches.
    """

    site: Site
    say: Say
    cap: Cap = lambda settings: settings
    alarm: Tampered | None = None
    foreign: Tampered | None = None
    stopping: bool = False
    busy: dict[JobId, "Future[None]"] = field(default_factory=dict)
    begun: set[tuple[JobId, int]] = field(default_factory=set)
    later: dict[JobId, float] = field(default_factory=dict)
    frozen: set[JobId] = field(default_factory=set)
    open: set[JobId] = field(default_factory=set)
    closed: dict[JobId, tuple[str, str]] = field(default_factory=dict)
    touched: set[JobId] = field(default_factory=set)
    turns: dict[str, int] = field(default_factory=dict)
    starts: Starts = field(default_factory=Starts)
    asked: set[JobId] = field(default_factory=set)
    ahead: dict[str, "Future[None]"] = field(default_factory=dict)
    unready: dict[tuple[str, JobId], float] = field(default_factory=dict)
    standings: dict[Path, Standing] = field(default_factory=dict)
    upkeep: "Future[None] | None" = None
    delivery: Delivery = field(default_factory=Delivery)
    scanned: float = float("-inf")
    swept: bool = False
    noted: str | None = None
    unstarted: set[Attempt] = field(default_factory=set)
    stands: dict[JobId, State] = field(default_factory=dict)
    meters: Meters = field(default_factory=Meters)
    _announced: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.settings = self.cap(self.site.settings())
        self._written = self.site.settings_file.read_bytes()
        self.pool = ThreadPoolExecutor(min(self.settings.executor.jobs, STEPS) + 1, thread_name_prefix="job")
        self.ahead_pool = ThreadPoolExecutor(2, thread_name_prefix="ahead")
        self.away_pool = ThreadPoolExecutor(2, thread_name_prefix="away")  # the forge, and the vault's copies elsewhere
        self._known: Premises | None = None
        self.premises = self._known = self.room()
        self.done = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.tips = memory.Tips(self.site)
        self.attempts: dict[JobId, int] = {}
        for claim in sorted(vault.claims(self.premises.vault), key=lambda claim: claim.at):
            self.attempts[claim.job] = max(claim.number, self.attempts.get(claim.job, 0))
            self.starts.add(claim.at, claim.job.requester)
        self.chain = memory.recall(self.site, self.settings.root, self.attempts.keys())

    def room(self) -> Premises:
        """Premises for one thread. Whatever stands on `approved`, nobody's word counts beyond what was verified."""
        return Premises(self.site, self.settings, lambda: self.chain.tip, self._known)

    def reread(self) -> None:
        """Take up what the operator has changed in runner.yaml since (all but how many jobs run at once): data that
        were bound, and keys that count no more. What cannot be read changes nothing."""
        try:
            written = self.site.settings_file.read_bytes()
            if written != self._written:
                self._written = written
                self.settings = self.cap(self.site.settings())
                self._known = None
                self.premises = self._known = self.room()
        except (OSError, GitqueueError) as error:
            self.say_once(f"runner.yaml stays as it was: {error}")

    def announce(self, text: str) -> None:
        """Say it, and have it in the audit, once."""
        if text not in self._announced:
            self.say_once(text, level="alarm")
            self.meters.alarmed()
            journal.leave(self.site.inbox, Entry(Event.ALARM, int(time()), "runner", reasons=tuple(text.splitlines())))

    def say_once(self, text: str, **about: object) -> None:
        if text not in self._announced:
            self._announced.add(text)
            self.say(text, **about)

    def tell(self, job: JobId, state: State) -> None:
        self.say(f"{job} is {state}", job=job, state=state)

    def stand(self, job: JobId, state: State) -> None:
        """Note where a job stands, while it is open."""
        if state in OPEN:
            self.stands[job] = state
        else:
            self.stands.pop(job, None)

    def unwell(self, error: Exception) -> None:
        """Say, once until it is over, why the loop cannot go on."""
        self.say_once(f"{_UNWELL}{error}; it is tried again until it works", level="error")

    def well(self) -> None:
        self._announced = {text for text in self._announced if not text.startswith(_UNWELL)}

    # steps, in threads of their own

    def do(self, job: JobId, step: Step) -> bool:
        """Set a step of a job going; False where it failed a moment ago."""
        if not self.ready(job):
            return False
        self.busy[job] = self.pool.submit(self._guarded, job, step)
        self.busy[job].add_done_callback(self.wake)
        return True

    def ready(self, job: JobId) -> bool:
        return monotonic() >= self.later.get(job, 0)

    def _guarded(self, job: JobId, step: Step) -> None:
        wrong = trouble(lambda: step(self.room()))
        if wrong:
            self.say("\n".join(f"{job}: {line}" for line in wrong.splitlines()), job=job, level="error")
            self.later[job] = monotonic() + RETRY
        else:
            self.later.pop(job, None)

    def wake(self, _: object) -> None:
        """A step is over: the loop looks at once."""
        os.eventfd_write(self.done, 1)

    def settle(self) -> None:
        """Take note of the steps that are over."""
        with suppress(BlockingIOError):
            os.eventfd_read(self.done)
        for job, step in list(self.busy.items()):
            if step.done():
                del self.busy[job]
                self.touched.add(job)
                step.result()

    def unfinished(self) -> OperatorNeeded | None:
        """What to say of jobs whose steps failed, and are to be tried again later; None where there are none."""
        jobs = [str(job) for job in sorted(self.later.keys() - self.closed.keys())]
        if not jobs:
            return None
        named = f"{', '.join(jobs[:5])}{' and others' if len(jobs) > 5 else ''}"
        why = f"{len(jobs)} jobs wait for another try, because a step of theirs failed: {named}; why stands above"
        return OperatorNeeded(
            why, step=f"mend it, and start the runner again; gitqueue serve tries every {RETRY:.0f} s"
        )

    def idle(self) -> bool:
        """Nothing is under way; what failed and may be tried again later does not count."""
        folders = {tuple(folder.name.split("+")[:2]) for folder in self.site.spool.glob("*+*+*")}
        wanted = {(job.requester, job.name) for job in self.open - self.frozen - self.later.keys()}
        return not self.busy and not self.ahead and not folders & wanted
