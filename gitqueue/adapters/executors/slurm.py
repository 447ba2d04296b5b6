"""Jobs on a Slurm cluster that shares the spool's file system: the same supervisor and sandbox, started by a node.

Each submission has a random name of its own, written down before Slurm hears of it, so a runner that died at any
instant finds its jobs again by name. Slurm is asked once for all jobs, and what it does not know is no failure. Whoever
creates the file `taken` in a job's folder has the right to begin it: a node's supervisor, or we, to call it off.
"""

import math
import os
import secrets
import shlex
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from gitqueue.adapters import files
from gitqueue.adapters.executors import Standing, spool
from gitqueue.adapters.executors.nursery import ENVIRONMENT
from gitqueue.adapters.executors.spool import SUBMISSION
from gitqueue.errors import OperatorNeeded
from gitqueue.model import Ended, Plan
from gitqueue.rules.policy import SlurmExecutor

SUBMITTED = "submitted"  # Slurm's number of the submission
PREFIX = "gitqueue-"
TIMEOUT = 30.0  # seconds for one command of Slurm's
SLACK = 120.0  # seconds that a node gets beyond the job's own limit: start, inspection, collecting
OVERHEAD = 96 << 20  # bytes beyond the job's own: the supervisor, and what it has copied
TRIES = 3  # submissions that fail although Slurm answers, before that is its last word
PATIENCE = 60.0  # seconds that a running job gets to end in order before Slurm is told to kill it

# https://slurm.schedmd.com/squeue.html: what a job does not come back from. Any other word, known or not: it may.
FINAL = frozenset(
    ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT")
)
WAITING = frozenset(("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT"))
REASONS = {"TIMEOUT": "time-limit", "OUT_OF_MEMORY": "memory-limit"}

Verdict = Literal["running", "submit", "dead", "site-fault", "time-limit", "memory-limit", "cancelled"]


class Unreachable(Exception):
    """Slurm's controller did not answer: nothing is known, and nothing has failed."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What a job's folder tells of its submission."""

    name: str
    submitted: bool
    taken: bool
    cancelled: bool


def verdict(states: frozenset[str], trace: Trace) -> Verdict:
    """What has become of a job without a record. `states`: what Slurm calls the submissions of its name. Pure."""
    if states - FINAL:
        # Once begun, it waits again: an operator or Slurm requeued it, and it may not run twice.
        return "dead" if trace.taken and not states - FINAL - WAITING else "running"
    if trace.cancelled and (not trace.taken or "CANCELLED" in states):
        return "cancelled"
    if not states and not trace.submitted and not trace.taken:
        return "submit"  # the runner died, or Slurm was away, before Slurm had it
    if not trace.taken and states & {"FAILED", "COMPLETED", *REASONS}:
        return "site-fault"  # a node had it, and no supervisor began
    reasons = [reason for state, reason in REASONS.items() if state in states]
    return reasons[0] if reasons else "dead"  # type: ignore[return-value]


class Slurm:
    """The executor of `executor: {kind: slurm}`."""

    def __init__(self, settings: SlurmExecutor) -> None:
        self.PAUSE = min(1.0, settings.poll)
        self._settings = settings
        self._starting: set[Path] = set()
        self._verdicts: dict[Path, Verdict] = {}
        self._doubts: dict[Path, Verdict] = {}
        self._refusals: Counter[Path] = Counter()
        self._told: set[tuple[Path, str]] = set()
        self._next = 0.0
        self._one_at_a_time = threading.Lock()
        self._asker = ThreadPoolExecutor(1, thread_name_prefix="slurm")
        self._asked: dict[str, Future[None]] = {}

    def prepare(self) -> None:
        """Raises OperatorNeeded where there is no Slurm to submit to."""
        spool.prepare()
        try:
            command("sbatch", "--version")
        except subprocess.CalledProcessError as error:
            raise OperatorNeeded(f"sbatch cannot be run here: {_said(error)}", step="see docs/slurm.md") from error

    def start(self, folder: Path, plan: Plan) -> None:
        """Submit the job; where Slurm is away, or too busy, that is made up for later."""
        spool.make(folder, plan.gid)
        spool.furnish(folder, plan)
        with self._one_hand(folder):
            files.write_atomic(folder / SUBMISSION, (PREFIX + secrets.token_hex(12)).encode())
            with suppress(Unreachable):
                self._submit(folder)

    def standings(self, folders: Iterable[Path]) -> dict[Path, Standing]:
        """One query for all, and that not more often than every `poll` seconds: an end is seen by its record.

        Nobody waits for the answer: where Slurm takes its time, or hangs, they stand as they stood before.
        """
        found = {folder: _by_files(folder) for folder in folders}
        running = [folder for folder, standing in found.items() if standing == "running"]
        if running and time.monotonic() >= self._next:
            self._ask("squeue", lambda: self._look_once(running))
        dead = {folder for folder in running if self._verdicts.get(folder) == "dead" and found[folder] == "running"}
        return found | dict.fromkeys(dead, "dead")

    def cancel(self, folder: Path) -> None:
        """The supervisor ends in order when it sees the file; what waits is taken out of Slurm's queue at once."""
        with suppress(FileNotFoundError):
            if not (folder / "cancel").exists():
                files.write_atomic(folder / "cancel", b"")
            self._ask(f"scancel {folder}", lambda: self._call_off(folder))

    def _call_off(self, folder: Path) -> None:
        with suppress(FileNotFoundError):
            self._scancel(folder, "--state=PENDING")
            if time.time() - (folder / "cancel").stat().st_mtime > PATIENCE:
                self._scancel(folder)

    def _ask(self, what: str, question: Callable[[], None]) -> None:
        """Have Slurm asked beside the loop, which a controller that hangs would hold up. What is being asked already is
        not asked again; what went wrong is raised when the same is asked the next time."""
        former = self._asked.get(what)
        if former is None or former.done():
            self._asked = {name: one for name, one in self._asked.items() if name != what and not one.done()}
            self._asked[what] = self._asker.submit(question)
            if former is not None:
                former.result()

    # submitting

    @contextmanager
    def _one_hand(self, folder: Path) -> Iterator[None]:
        """Between name and number a folder is in one thread's hands: no other may take it for an orphan."""
        self._starting.add(folder)
        try:
            yield
        finally:
            self._starting.discard(folder)

    def _submit(self, folder: Path) -> None:
        """Give the job to Slurm, which may answer later that it has it: its name tells. Raises Unreachable."""
        name = (folder / SUBMISSION).read_text()
        try:
            said = command("sbatch", *self._options(folder, name), script=_script(folder))
        except subprocess.CalledProcessError as error:
            if name not in self._queue():
                self._not_taken(folder, _said(error))
                return
            said = "?"
        files.write_atomic(folder / SUBMITTED, said.encode())

    def _not_taken(self, folder: Path, why: str) -> None:
        """A busy controller drops connections, in the same way as it refuses: only what it says thrice is meant."""
        self._refusals[folder] += 1
        if self._refusals[folder] >= TRIES and files.take(folder):
            _record(
                folder, "site-fault", f"Slurm refuses the job: {why}; mend `executor` in runner.yaml: docs/slurm.md"
            )

    def _options(self, folder: Path, name: str) -> tuple[str, ...]:
        limits = files.plan((folder / "plan.json").read_bytes()).limits
        memory = math.ceil((limits.memory + limits.output + OVERHEAD) / 2**20)
        log = str(folder.resolve() / "supervisor.log").replace("\\", "\\\\").replace("%", "%%")
        # Of an option that stands twice the last counts: the operator's own come first.
        return (
            *self._settings.extra,
            *self._place,
            f"--job-name={name}",
            f"--time={math.ceil((limits.time + SLACK) / 60)}",  # minutes; the supervisor's own clock is the one to fear
            f"--mem={memory}M",
            f"--cpus-per-task={math.ceil(limits.cpus)}",
            "--nodes=1",
            "--ntasks=1",
            "--no-requeue",  # once begun it may not begin again
            "--export=NONE",
            "--chdir=/",
            f"--output={log}",
            "--open-mode=append",
            "--parsable",
        )

    @cached_property
    def _place(self) -> tuple[str, ...]:
        wanted = {"partition": self._settings.partition, "account": self._settings.account, "qos": self._settings.qos}
        return tuple(f"--{name}={value}" for name, value in wanted.items() if value)

    # looking

    def _look_once(self, folders: Iterable[Path]) -> None:
        try:
            self._look(folders)
        finally:
            self._next = time.monotonic() + self._settings.poll

    def _look(self, folders: Iterable[Path]) -> None:
        """Ask Slurm, and do what follows for the jobs that will leave no record of their own."""
        with self._one_at_a_time:
            # Before the question: what is taken later may be from a start that the answer does not know of.
            traces = {folder: trace for folder in folders if folder not in self._starting and (trace := _trace(folder))}
            self._verdicts = {}
            with suppress(Unreachable):
                queue = self._queue()
                found = {folder: verdict(queue.get(trace.name, frozenset()), trace) for folder, trace in traces.items()}
                doubts, self._doubts = self._doubts, {}
                for folder, word in found.items():
                    if word != "running" and self._sure(folder, word, traces[folder], doubts):
                        self._settle(folder, word)

    def _sure(self, folder: Path, word: Verdict, trace: Trace, doubts: dict[Path, Verdict]) -> bool:
        """A job that never began can be called off here and now. Of one that did, a shared file system may show the
        record late: what was said of it must be said again."""
        if word == "submit":
            return True
        if not trace.taken:
            return files.take(folder)
        self._doubts[folder] = word
        return doubts.get(folder) == word

    def _settle(self, folder: Path, word: Verdict) -> None:
        if word == "submit":
            with self._one_hand(folder):
                self._submit(folder)
        elif word == "dead":
            self._scancel(folder)  # it may wait for another start
            self._verdicts[folder] = word
        elif word != "running":
            _record(folder, word, _explained(folder, word))

    def _queue(self) -> dict[str, frozenset[str]]:
        """By name of our submissions, what Slurm calls their states. Raises Unreachable."""
        try:
            said = command("squeue", f"--user={os.geteuid()}", "--states=all", "--noheader", "--format=%j %T")
        except subprocess.CalledProcessError as error:
            raise Unreachable(_said(error)) from error
        found: dict[str, set[str]] = {}
        for name, _, state in (line.partition(" ") for line in said.splitlines() if line.startswith(PREFIX)):
            found.setdefault(name, set()).add(state.strip())
        return {name: frozenset(states) for name, states in found.items()}

    def _scancel(self, folder: Path, *which: str) -> None:
        """Once for each folder and way, unless Slurm was away."""
        key = (folder, "".join(which))
        if key in self._told:
            return
        with suppress(subprocess.CalledProcessError):
            name = (folder / SUBMISSION).read_text()
            command("scancel", "--quiet", f"--user={os.geteuid()}", f"--name={name}", *which)
            self._told.add(key)
            self._next = 0.0


# --- the folder ------------------------------------------------------------------------------------------------------


def _names(folder: Path) -> set[str]:
    """What lies in it. Opening the folder makes a network file system look anew, where a file's `stat` might not."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return set(os.listdir(folder))
    return set()


def _by_files(folder: Path) -> Standing:
    names = _names(folder)
    return "ended" if "ended.json" in names else "running" if SUBMISSION in names else "absent"


def _trace(folder: Path) -> Trace | None:
    names = _names(folder)
    if SUBMISSION not in names or "ended.json" in names:
        return None
    with suppress(FileNotFoundError):
        name = (folder / SUBMISSION).read_text()
        return Trace(name, SUBMITTED in names, files.TAKEN in names, "cancel" in names)
    return None


def _record(folder: Path, reason: str, detail: str) -> None:
    """The record of a job whose supervisor left none, and never will."""
    now = time.time()
    ended = Ended(reason, None, now, now, 0.0, (), (), (("time", "Slurm"), ("memory", "Slurm")), (), detail)
    files.write_atomic(folder / "ended.json", files.encode(ended))


def _explained(folder: Path, word: str) -> str:
    if word != "site-fault":
        return ""
    with suppress(OSError):
        said = (folder / "supervisor.log").read_bytes()[-1000:].decode(errors="replace").strip()
        return f"the cluster's node could not start the supervisor: {said or 'it said nothing'}"
    return "the cluster's node could not start the supervisor, nor write to the job's folder: is the spool shared?"


# --- Slurm's own programs --------------------------------------------------------------------------------------------


def command(*argv: str, script: str = "") -> str:
    """Run one of Slurm's programs; what it prints. Raises CalledProcessError, also where there is no answer.

    Nothing of our environment reaches it (SBATCH_* would set options), but where its configuration lies.
    """
    kept = {name: os.environ[name] for name in ("SLURM_CONF",) if name in os.environ}
    try:
        done = subprocess.run(
            argv, input=script, capture_output=True, text=True, timeout=TIMEOUT, env={**ENVIRONMENT, **kept}
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        raise subprocess.CalledProcessError(127, argv, "", str(error)) from error
    done.check_returncode()
    return done.stdout.strip()


def _script(folder: Path) -> str:
    """What a node runs: a supervisor from nothing, with nothing of the node's or the submitter's environment."""
    environment = (f"{name}={value}" for name, value in ENVIRONMENT.items())
    return f"#!/bin/sh\nexec {shlex.join(('/usr/bin/env', '-i', *environment, *spool.words(folder)))}\n"


def _said(error: Exception) -> str:
    said = str(getattr(error, "stderr", None) or error).strip()
    return " ".join(said.replace("sbatch: error: ", "").split())
