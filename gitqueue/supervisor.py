"""The supervisor: owns one job in its own process, from its plan to its record, whatever becomes of the runner.

    python -I -m gitqueue.supervisor FOLDER

FOLDER holds plan.json and seccomp.bpf. This runs as the first process of a pid namespace in a private mount namespace
(`adapters/executors/nursery`, or `unshare` on a cluster's node): when it dies, even by kill -9, the kernel ends the job
and drops its mounts. It holds FOLDER/lock for its life. FOLDER/ended.json comes last of all, whole or not at all.
"""

import ctypes
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from gitqueue.adapters import confined, data, files, limits, sandbox
from gitqueue.adapters.confined import Outcome, Setting
from gitqueue.adapters.logs import Capture, Log
from gitqueue.adapters.wake import wake
from gitqueue.errors import GitqueueError, OperatorNeeded
from gitqueue.model import Bind, Ended, Indexed, Inspection, Limits, Plan

LOG_BYTES = 4 << 20
SCRATCH_INODES = 1 << 16
FOLDERS = 64  # folders that a job may make in its output, beside the files that its limit counts
INSPECTION = Limits(time=60, memory=1 << 30, cpus=2, processes=32, output=1 << 28, output_files=1 << 12)
INSPECTION_BYTES = 4 << 20
INDEXING = Limits(time=600, memory=3 << 30, cpus=2, processes=32, output=1 << 36, output_files=1 << 12)
_SAFE = 2 | 4  # MS_NOSUID | MS_NODEV
_XCPU, _XFSZ = 128 + signal.SIGXCPU, 128 + signal.SIGXFSZ


class Stop:
    """Whether somebody wants this job to end: a SIGTERM to us, or a file `cancel` in its folder."""

    def __init__(self, folder: str) -> None:
        self._told = self.signalled = False
        self._file = f"{folder}/cancel"
        signal.signal(signal.SIGTERM, self._tell)

    def _tell(self, *_: object) -> None:
        self._told = self.signalled = True

    def __call__(self) -> bool:
        self._told = self._told or os.path.lexists(self._file)
        return self._told


def main() -> int:
    folder = os.path.abspath(sys.argv[1])
    if not files.take(folder):
        print("this job was begun before: a scheduler started it twice, and once is all it may run", file=sys.stderr)
        return 0
    own(folder, os.open(f"{folder}/lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), scheduled=True)
    return 0


def own(folder: str, lock: int, scheduled: bool = False) -> None:
    """A supervisor's whole life, as the first process of its pid namespace. `lock` is held until it ends.

    `scheduled`: a scheduler started it. When that ends the job although nobody cancelled it (preemption, its own time
    limit), there is no record: the scheduler knows the reason, and its executor asks.
    """
    plan, started, stop = None, time.time(), Stop(folder)
    os.umask(0o022)  # the sandbox user reads what we write into scratch, whatever the runner's umask
    os.set_inheritable(lock, False)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with os.fdopen(lock, "rb"):
        try:
            plan = files.plan(_content(f"{folder}/plan.json"))
            ended = supervise(folder, plan, stop)
        except Exception as error:  # noqa: BLE001 - a way in: whatever it was, the runner must learn that it ended
            ended = _fault(error, started)
        if scheduled and stop.signalled and not os.path.lexists(f"{folder}/cancel"):
            return
        files.write_atomic(f"{folder}/ended.json", files.encode(ended))
        if plan and plan.wake:
            wake(Path(plan.wake))


def supervise(folder: str, plan: Plan, stop: Stop) -> Ended:
    """Run the plan in its folder and collect; the job's processes, mounts and groups are gone afterwards."""
    uid, gid = _user(plan)
    started = time.time()
    with closing(Log(f"{folder}/log", LOG_BYTES)) as log, limits.groups(plan.limits, group_name(folder)) as groups:
        output, scratch = _spaces(folder, plan, uid, gid)
        processes = None if groups.folder("pids") else plan.limits.processes + 1
        arguments = sandbox.arguments(plan, scratch, output, processes)
        bounded = ((output, "output-limit"), (scratch, "memory-limit"))
        setting = Setting(uid, gid, plan.limits, groups, f"{folder}/seccomp.bpf", bounded, stop)
        outcome = confined.run(arguments, setting, log)
        held, memory = limits.enforced(groups), limits.peak(groups)
    outputs, refused, over = files.collect(output, plan.declared, plan.types, plan.limits, folder)
    reason, detail = _disturbed(plan, outcome) or _reason(outcome, over, folder)
    if plan.inspect and outputs:
        inspect(Table(folder, plan, plan.inspect, (uid, gid), stop))
    end, spent = time.time(), outcome.seconds
    return Ended(reason, outcome.exit_code, started, end, spent, outputs, refused, held, arguments, detail, memory)


def _disturbed(plan: Plan, outcome: Outcome) -> tuple[str, str] | None:
    """Before all else: data that changed under a job may be why it failed, and its outputs are of no known data."""
    found = [why for path, before in plan.data if (why := data.disturbed(Path(path), before))]
    if outcome.stopped == "cancelled" or not found:
        return None
    step = "put new data beside the old and bind them there; then an owner may have the job run again"
    return "site-fault", "; ".join([*found, f"next: {step}"])


def _reason(outcome: Outcome, over: bool, folder: str) -> tuple[str, str]:
    """The fixed word, and for what is the site's own fault what bubblewrap said. First match."""
    code = outcome.exit_code
    if outcome.stopped:
        return outcome.stopped, ""
    if code is None:
        return "site-fault", f"the sandbox did not start: {_last_words(folder)}"
    if over or code == _XFSZ:
        return "output-limit", ""
    if code == _XCPU:
        return "time-limit", ""
    if code > 128:
        return "signal", f"ended by signal {code - 128}"
    return ("exit-code" if code else ""), ""


def _user(plan: Plan) -> tuple[int | None, int | None]:
    """Who runs bubblewrap: never root, wherever we could be somebody else."""
    # A user namespace that maps one user: the runner was started without root, and the job is that user.
    if int(_content("/proc/self/uid_map").split()[2]) == 1:
        return None, None
    if not plan.uid or not plan.gid:
        raise OperatorNeeded(
            f"the runner is root, and the job's user is {plan.uid}:{plan.gid}",
            step="name the sandbox user in runner.yaml; `gitqueue doctor --fix` makes it",
        )
    return plan.uid, plan.gid


def _spaces(folder: str, plan: Plan, uid: int | None, gid: int | None) -> tuple[str, str]:
    """Mount what the job may write: output, and scratch (tmp, shm), both bounded; they go with our namespace."""
    output, scratch = f"{folder}/output", f"{folder}/scratch"
    allowed, owner = plan.limits, f"uid={uid or 0},gid={gid or 0}"
    _mount(output, f"size={allowed.output + 4096},nr_inodes={allowed.output_files + FOLDERS},mode=0700,{owner}")
    _mount(scratch, f"size={max(allowed.memory // 2, 1 << 20)},nr_inodes={SCRATCH_INODES},mode=0755")
    for name in ("tmp", "shm"):
        os.mkdir(f"{scratch}/{name}", 0o700)
        os.chown(f"{scratch}/{name}", uid or 0, gid or 0)
    _etc(scratch)
    return output, scratch


def _etc(scratch: str) -> None:
    os.mkdir(f"{scratch}/etc", 0o755)
    for name, text in sandbox.ETC.items():
        with open(f"{scratch}/etc/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _mount(target: str, options: str) -> None:
    os.makedirs(target, mode=0o711, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"gitqueue", target.encode(), b"tmpfs", _SAFE, options.encode()):
        raise OSError(ctypes.get_errno(), f"mounting a tmpfs with {options}", target)


@dataclass(frozen=True, slots=True)
class Table:
    """Where what was collected is looked at: the run's folder and plan, the sandbox user, whether to end."""

    folder: str
    plan: Plan
    inspection: Inspection
    user: tuple[int | None, int | None]
    stop: Callable[[], bool]


def inspect(table: Table) -> None:
    """Have our own programs look at what was collected, as confined as the job was; their death leaves no file.

    Indexes of the data that nobody has built come first, in a process that sees the data and no output.
    """
    desk = _desk(table)
    indexed = table.inspection.indexed
    if not all(_built(table, desk, one) for one in indexed):
        return
    places = [{"name": one.name, "path": f"/opt/indexes/{one.folder}", **_mock(one)} for one in indexed]
    ask = {"index": places, "identifiers": table.inspection.identifiers, "min_count": table.inspection.min_count}
    files.write_atomic(f"{desk}/ask/ask.json", json.dumps({**ask, "key": "/job/key"}).encode(), 0o644)
    binds = (
        Bind(_lent(f"{table.folder}/outputs", table.user[1]), "/output"),
        Bind(f"{table.folder}/indexes", "/opt/indexes"),
        *(Bind(one.mock, f"/opt/mock/{one.folder}/{os.path.basename(one.mock)}") for one in indexed if one.mock),
    )
    capture = Capture(INSPECTION_BYTES)
    command = ("check.py", "/output", "/job/ask.json")
    if _confined(table, desk, (command, binds, None, INSPECTION), capture) and capture.whole:
        files.write_atomic(f"{table.folder}/inspection.json", bytes(capture.out))


def _mock(one: Indexed) -> dict[str, str]:
    return {"mock": f"/opt/mock/{one.folder}/{os.path.basename(one.mock)}"} if one.mock else {}


def _built(table: Table, desk: str, one: Indexed) -> bool:
    """Whether an asset's index is there, now or before."""
    target = f"{table.folder}/indexes/{one.folder}"
    if os.path.lexists(f"{target}/index.json"):
        return True
    os.mkdir(target, 0o755)
    os.chown(target, table.user[0] or 0, table.user[1] or 0)
    data_ = tuple(bind for bind in table.plan.binds if bind.target == one.target)
    command = ("compare.py", one.target, "/output", "/job/key")
    return _confined(table, desk, (command, data_, target, INDEXING), Capture(INSPECTION_BYTES))


def _desk(table: Table) -> str:
    """A scratch of our own: the job may have left anything in its."""
    desk, owner = f"{table.folder}/desk", table.user[0] or 0
    _mount(desk, f"size={INSPECTION.memory},nr_inodes={SCRATCH_INODES},mode=0755")
    for name in ("tmp", "shm"):
        os.mkdir(f"{desk}/{name}", 0o700)
        os.chown(f"{desk}/{name}", owner, table.user[1] or 0)
    _etc(desk)
    os.mkdir(f"{desk}/ask", 0o755)
    files.write_atomic(f"{desk}/ask/key", _content(f"{table.folder}/index-key"), 0o644)
    return desk


Task = tuple[tuple[str, ...], tuple[Bind, ...], str | None, Limits]  # program, what it sees, where it writes, limits


def _confined(table: Table, desk: str, task: Task, capture: Capture) -> bool:
    """Run one of our programs in the sandbox; whether it came to its end."""
    (program, *words), binds, output, allowed = task
    programs = Bind(table.inspection.programs, "/opt/checks")
    look = replace(
        table.plan,
        command=(table.inspection.python, "-I", f"/opt/checks/{program}", *words),
        job=f"{desk}/ask",
        binds=(programs, *binds),
        environment=(),
        limits=allowed,
    )
    with limits.groups(allowed, group_name(table.folder) + "-inspection") as groups:
        processes = None if groups.folder("pids") else allowed.processes + 1
        setting = Setting(*table.user, allowed, groups, f"{table.folder}/seccomp.bpf", (), table.stop)
        outcome = confined.run(sandbox.arguments(look, desk, output, processes), setting, capture)
    if outcome.exit_code != 0 or outcome.stopped:
        files.write_atomic(f"{table.folder}/inspection.err", outcome.stopped.encode() + b" " + capture.err)
        return False
    return True


def _lent(folder: str, gid: int | None) -> str:
    """Let the sandbox user read a folder of ours, by its group."""
    os.makedirs(folder, mode=0o750, exist_ok=True)
    if gid is not None:
        for above, _, names in os.walk(folder):
            os.chown(above, -1, gid)
            for name in names:
                os.chown(os.path.join(above, name), -1, gid, follow_symlinks=False)
    return folder


def group_name(folder: str) -> str:
    """For control groups: no two living supervisors have the same lock file."""
    return f"job-{os.stat(folder).st_dev:x}-{os.stat(folder).st_ino:x}"


def _fault(error: Exception, started: float) -> Ended:
    detail = str(error) if isinstance(error, GitqueueError) else f"{type(error).__name__}: {error}"
    now = time.time()
    return Ended("site-fault", None, started, now, max(0.0, now - started), (), (), (), (), detail)


def _last_words(folder: str) -> str:
    return _content(f"{folder}/log")[-1000:].decode(errors="replace").strip()


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


if __name__ == "__main__":
    sys.exit(main())
