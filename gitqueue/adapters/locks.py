"""Locks of refs that outlived the git which took them, as after a power cut: nothing moves past one."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

SOON = 10.0  # seconds in which every git has let go of a ref


def left(repository: Path) -> Iterator[Path]:
    """The locks that are there and not just taken."""
    for lock in (repository / "packed-refs.lock", repository / "HEAD.lock", *(repository / "refs").rglob("*.lock")):
        with suppress(FileNotFoundError):  # let go of meanwhile
            if abs(time.time() - lock.stat().st_mtime) > SOON:
                yield lock


def release(lock: Path) -> bool:
    """Take away a lock from before this machine was started: its owner is gone. False: a git may be at work."""
    started = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    if lock.stat().st_mtime >= started:
        return False
    lock.unlink()
    return True
