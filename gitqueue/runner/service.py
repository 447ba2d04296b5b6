"""What makes the loop a service: one for each site, told by signals when to end."""

import fcntl
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic, sleep

from gitqueue.adapters import limits, locks, systemd
from gitqueue.adapters.settings import Site
from gitqueue.errors import OperatorNeeded
from gitqueue.rules.lifecycle import State
from gitqueue.runner.desk import Desk

DRAIN = 300.0
GONE = 2.0  # seconds in which the last of a killed runner is gone


class Stop:
    """SIGTERM or SIGINT: nothing new starts, and what runs may end within DRAIN seconds; a second one: now.

    Jobs that run longer are not harmed: their supervisors need no runner, and the next one takes them up.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._until = float("inf")
        # A handler alone would wait for the end of the loop's sleep: this descriptor ends it.
        self.fd, told = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._tell)
        signal.signal(signal.SIGINT, self._tell)

    def _tell(self, *_: object) -> None:
        if self._desk.stopping:
            os._exit(1)  # a restart converges from any instant; anything more orderly would wait for what is under way
        self._desk.stopping = True
        self._until = monotonic() + DRAIN

    def over(self) -> bool:
        """Whether to end now."""
        with suppress(BlockingIOError):
            os.read(self.fd, 64)
        if not self._desk.stopping or self._desk.busy or self._desk.ahead:
            return False
        running = [folder for folder, standing in self._desk.standings.items() if standing == "running"]
        if running and monotonic() < self._until:
            what = f"stopping when {len(running)} jobs have ended, at the latest in {DRAIN:.0f} s"
            self._desk.say_once(f"{what}; told again, at once: they go on, and the next runner takes them up")
            return False
        return True


def unlock(desk: Desk) -> None:
    """At the start: locks that no living git can have taken go; others that nobody let go of are named."""
    for repository in (desk.site.repository, desk.site.vault):
        for lock in locks.left(repository):
            if locks.release(lock):
                desk.say(f"took away {lock}, which a git left when this machine went down", level="error")
            else:
                desk.say(f"{lock} is in the way of its ref; if no git is at work here: rm {lock}", level="error")


def tell(desk: Desk, *words: str) -> None:
    """Tell systemd that we are alive, and how it goes."""
    counts = Counter(desk.stands.values())
    how = ", ".join(f"{counts[state]} {state}" for state in State if counts[state]) or "nothing is open"
    systemd.notify(*words, "WATCHDOG=1", f"STATUS={'tampering was found; ' if desk.alarm else ''}{how}")


def install(site: Site) -> tuple[bool, systemd.Service]:
    """Make the runner a service of systemd; whether it was one before."""
    service = systemd.service(site.path)
    there = service.unit.exists()
    systemd.install(service, service.text(sys.executable, int(DRAIN), limits.LEAF))
    return there, service


@contextmanager
def only_one(site: Site) -> Iterator[None]:
    """The site's lock. Raises OperatorNeeded, naming the process that holds it."""
    lock = os.open(site.memory("serve.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not _taken(lock):
        holder = os.pread(lock, 32, 0).decode().strip()
        os.close(lock)
        raise OperatorNeeded(
            f"this site has a runner already, process {holder}", step="gitqueue status, or stop that one first"
        )
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    try:
        yield
    finally:
        os.close(lock)


def _taken(lock: int) -> bool:
    """Take the lock. What a killed runner was forking has it for a moment longer: until a program runs there."""
    until = monotonic() + GONE
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if monotonic() > until or _lives(os.pread(lock, 32, 0).decode().strip()):
            return False
        sleep(0.01)


def _lives(process: str) -> bool:
    """Whether there is such a process, be it another's."""
    try:
        os.kill(int(process or 0), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


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
