"""One confined program from start to the end of its last process, seen from its own pid namespace's first process.

The caller is process 1 of a pid namespace that holds nothing else. So `kill(-1)` reaches everything that the program
ever started and nothing besides, and when the caller dies, by whatever signal, the kernel ends them all.
"""

import fcntl
import json
import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from gitqueue.adapters import limits as held
from gitqueue.adapters.logs import Capture, Log
from gitqueue.adapters.sandbox import SECCOMP_FD, STATUS_FD
from gitqueue.model import Limits

GRACE = 2.0  # seconds between TERM and KILL
TICK, TICK_WEAK = 0.1, 0.02  # seconds between two looks; closer where only our looking holds a limit
_READ = 1 << 16
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Setting:
    """What a confined program runs with, apart from its arguments: user (None: ours), limits, groups, filter's file."""

    uid: int | None
    gid: int | None
    limits: Limits
    groups: held.Groups
    filter: str
    bounded: tuple[tuple[str, str], ...]  # mounts that must not run full, and what it is called when they do
    cancelled: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`stopped` is the fixed word of what made us stop it, or ""; `exit_code` None: it never started."""

    stopped: str
    exit_code: int | None
    seconds: float


def run(arguments: tuple[str, ...], setting: Setting, sink: Log | Capture) -> Outcome:
    """Run to the end; when this returns, every process of it is gone."""
    if os.getpid() != 1:
        raise RuntimeError("not the first process of a pid namespace: kill(-1) would reach others")
    started = time.monotonic()
    child, pipes = _started(arguments, setting)
    watch = _Watch(child, pipes, setting, sink)
    try:
        watch.until_ended()
    finally:
        _kill_all()
    watch.drain()
    return Outcome(watch.stopped, watch.exit_code, time.monotonic() - started)


def _started(arguments: tuple[str, ...], setting: Setting) -> tuple[int, dict[int, str]]:
    (out, out_w), (err, err_w), (status, status_w) = os.pipe(), os.pipe(), os.pipe()
    child = os.fork()  # this process has one thread, so a fork is safe here
    if child == 0:
        _become(arguments, setting, (out_w, err_w, status_w))
    for fd in (out_w, err_w, status_w):
        os.close(fd)
    for fd in (out, err, status):
        os.set_blocking(fd, False)
    return child, {out: "out", err: "err", status: "status"}


def _become(arguments: tuple[str, ...], setting: Setting, ends: tuple[int, int, int]) -> None:
    """In the child: descriptors, groups, limits, user, program; never returns."""
    try:
        nothing, rules = os.open("/dev/null", os.O_RDONLY), os.open(setting.filter, os.O_RDONLY)
        wanted = (nothing, ends[0], ends[1], rules, ends[2])
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in wanted]  # clear of 0 to 4, now to be replaced
        for target, fd in zip((0, 1, 2, SECCOMP_FD, STATUS_FD), high, strict=True):
            os.dup2(fd, target)
        setting.groups.join()
        held.apply(setting.limits, setting.groups)
        if setting.uid is not None and setting.gid is not None:
            os.setgroups([])
            os.setresgid(setting.gid, setting.gid, setting.gid)
            os.setresuid(setting.uid, setting.uid, setting.uid)
        os.umask(0o022)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.execve("/usr/bin/bwrap", arguments, {})
    except BaseException as error:  # noqa: BLE001 - a forked child must never run on as the supervisor
        os.write(ends[1], f"gitqueue: {type(error).__name__}: {error}\n".encode())
    os._exit(126)


class _Watch:
    """The loop around one running program."""

    def __init__(self, child: int, pipes: dict[int, str], setting: Setting, sink: Log | Capture) -> None:
        self.stopped = ""
        self.exit_code: int | None = None
        self._child, self._pipes, self._setting, self._sink = child, dict(pipes), setting, sink
        self._status = b""
        self._deadline = time.monotonic() + setting.limits.time
        self._weak = not (setting.groups.folder("memory") and setting.groups.folder("pids"))
        self._poll = select.poll()
        self._ended = os.pidfd_open(child)
        for fd in (*pipes, self._ended):
            self._poll.register(fd, select.POLLIN)

    def until_ended(self) -> None:
        tick = TICK_WEAK if self._weak else TICK
        while not self._turn(min(tick, max(0.0, self._deadline - time.monotonic()))):
            self.stopped = self._reason()
            if self.stopped:
                self._stop()
                return
        self.stopped = self._setting.groups.exceeded() or self._filled()

    def drain(self) -> None:
        """All writers are dead: read to the end."""
        for fd in tuple(self._pipes):
            while fd in self._pipes:
                self._pump(fd)
        os.close(self._ended)
        self.exit_code = self._told("exit-code")

    def _turn(self, seconds: float) -> bool:
        """Wait and read once; True when the program has ended."""
        ready = [fd for fd, _ in self._poll.poll(seconds * 1000)]
        for fd in ready:
            if fd in self._pipes:
                self._pump(fd)
        self._sink.tick()
        return self._ended in ready

    def _pump(self, fd: int) -> None:
        try:
            data = os.read(fd, _READ)
        except BlockingIOError:
            return
        if not data:
            self._poll.unregister(fd)
            os.close(fd)
            del self._pipes[fd]
        elif self._pipes[fd] == "status":
            self._status += data  # bubblewrap's own words, a few hundred bytes
        else:
            self._sink.feed(self._pipes[fd], data)

    def _reason(self) -> str:
        if self._setting.cancelled():
            return "cancelled"
        if reason := self._setting.groups.exceeded() or self._overused():
            return reason
        if reason := self._filled():
            return reason
        return "time-limit" if time.monotonic() >= self._deadline else ""

    def _filled(self) -> str:
        return next((word for mount, word in self._setting.bounded if full(mount)), "")

    def _overused(self) -> str:
        """Without control groups: what all processes use together, as often as we look."""
        if not self._weak:
            return ""
        limits, pids = self._setting.limits, _others()
        if sum(_threads(pid) for pid in pids) >= limits.processes + held.BUBBLEWRAP:
            return "process-limit"
        if sum(_resident(pid) for pid in pids) > limits.memory and sum(map(_share, pids)) > limits.memory:
            return "memory-limit"
        return ""

    def _stop(self) -> None:
        """TERM to the program's processes (not to bubblewrap's two, which would take the rest along), then wait."""
        if self.stopped in ("process-limit", "memory-limit"):  # a bomb answers signals with more of itself
            return
        first = self._told("child-pid")
        told = set(_others()) - {self._child, first}
        if not first or not told:  # it has not begun
            return
        for pid in told:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + GRACE
        while (left := until - time.monotonic()) > 0 and not self._turn(min(TICK, left)):
            pass

    def _told(self, name: str) -> int | None:
        """What bubblewrap's status says so far; it writes a line in several pieces."""
        whole = self._status[: self._status.rfind(b"\n") + 1].splitlines()
        return next((found[name] for found in map(json.loads, whole) if name in found), None)


def full(mount: str) -> bool:
    """A bounded mount with no byte or no inode left."""
    found = os.statvfs(mount)
    return found.f_bfree == 0 or found.f_ffree == 0


def _kill_all() -> None:
    """End and reap everything in this pid namespace but ourselves."""
    while True:
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _others() -> list[int]:
    """All processes but ourselves: /proc is this pid namespace's own."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal() and name != "1"]


def _threads(pid: int) -> int:
    return _number(f"/proc/{pid}/status", b"Threads:")


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0  # it is gone


def _share(pid: int) -> int:
    """Its proportional share, so that what forked workers have in common counts once. Slow: asked only near a limit."""
    return _number(f"/proc/{pid}/smaps_rollup", b"Pss:") * 1024 or _resident(pid)


def _number(path: str, name: bytes) -> int:
    try:
        with open(path, "rb") as file:
            words = file.read().split()
        return int(words[words.index(name) + 1])
    except (OSError, ValueError):
        return 0
