"""Jobs on this machine. A job's state is observed, never remembered: its lock and its record tell it to any runner.

`start` returns when the supervisor has the lock; from then on the job needs no runner. Nothing that the runner holds
(descriptors, environment, terminal) reaches it, and it is no child of the runner's.
"""

import fcntl
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from gitqueue.adapters import files, limits
from gitqueue.adapters.executors import Standing, spool
from gitqueue.adapters.executors.nursery import Nursery
from gitqueue.errors import OperatorNeeded
from gitqueue.model import Ended, Plan

PAUSE = 0.05
_nursery = Nursery()


def start(folder: Path, plan: Plan) -> None:
    """Start the plan's supervisor. `folder` may hold the job's files already; it becomes the sandbox user's to enter.

    Raises OperatorNeeded where the filter cannot be built or a supervisor owns this folder already.
    """
    limits.delegate()
    spool.make(folder, plan.gid)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _claim(lock, folder)
        spool.furnish(folder, plan)
        _nursery.bear(str(folder.resolve()), lock)
    finally:
        os.close(lock)  # ours; the supervisor's copy keeps the lock, so there is no gap between the two


def prepare() -> None:
    """Called by a runner when it starts: the first job need not wait for interpreters."""
    spool.prepare()
    _nursery.warm()


def observe(folder: Path) -> Standing:
    """Where the job of this folder stands. `dead`: its supervisor went without leaving a record."""
    if (folder / "ended.json").exists():
        return "ended"
    try:
        lock = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return "absent"
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return "running"
    finally:
        os.close(lock)
    return "ended" if (folder / "ended.json").exists() else "dead"  # it may have ended while we looked


def standings(folders: Iterable[Path]) -> dict[Path, Standing]:
    return {folder: observe(folder) for folder in folders}


def cancel(folder: Path) -> None:
    """Ask the job to end; `observe` tells when it has. Harmless where there is none."""
    with suppress(FileNotFoundError):
        files.write_atomic(folder / "cancel", b"")


def ended(folder: Path) -> Ended:
    """The record of a job that `observe` calls ended. Raises Tampered for anything unusual."""
    return files.ended((folder / "ended.json").read_bytes())


def _claim(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OperatorNeeded(f"{str(folder)!r} has a running supervisor already") from error
