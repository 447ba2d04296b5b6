"""One push at a time: what the gate judged is still so when the refs move.

Two pushes that are judged side by side each see the refs as they were: an approval and a new revision of the same
request would both pass. git moves the refs after the hook has ended, so a keeper, forked by the hook, holds the turn
until they have moved.
"""

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gitqueue.errors import OperatorNeeded
from gitqueue.model import RefMove

_PATIENCE = 30.0  # seconds that a push waits for its turn
_LONGEST = 10.0  # seconds that git may take from the hook's yes to the last ref
_STEP = 0.002


@contextmanager
def taken(lock: Path) -> Iterator[int]:
    """The turn, for as long as the block runs; its descriptor. Raises OperatorNeeded where it does not come in time."""
    turn = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _wait(turn)
        yield turn
    finally:
        os.close(turn)


def _wait(turn: int) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise OperatorNeeded("the site is busy with other pushes", step="push again in a minute") from error
            time.sleep(_STEP)


def keep(turn: int, repository: Path, moves: Sequence[RefMove], quarantine: str | None) -> None:
    """Hold the turn, in a process of its own, until the refs have moved, or it is plain that they will not."""
    if os.fork():
        return
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):  # git waits for the hook's output to end
            os.dup2(null, descriptor)
        _watch(repository, moves, quarantine)
    finally:
        os._exit(0)  # the kernel frees the turn


def _watch(repository: Path, moves: Sequence[RefMove], quarantine: str | None) -> None:
    until = time.monotonic() + _LONGEST
    gone: float | None = None
    while time.monotonic() < until and not all(_moved(repository, move) for move in moves):
        # git takes the quarantine away just before it moves the refs, or because nothing will move.
        if gone is None and quarantine and not os.path.isdir(quarantine):
            gone = time.monotonic()
        if gone is not None and time.monotonic() > gone + 1.0:
            return
        time.sleep(_STEP)


def _moved(repository: Path, move: RefMove) -> bool:
    try:
        return (repository / move.name).read_text().strip() == move.new
    except OSError:
        return False
