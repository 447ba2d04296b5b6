"""Waiting for a job, with its state and the time in sight; and what its end means to whoever waits."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import TYPE_CHECKING, Protocol

from gitqueue.errors import JobCancelled, JobFailed, JobRejected, ResultsWithheld, TimedOut
from gitqueue.rules.lifecycle import ENDS, State, next_step
from gitqueue.rules.tree import escape
from gitqueue.steps import describe

if TYPE_CHECKING:
    from gitqueue.api.jobs import Job

_PAUSE = 0.1
_KINDS: dict[State, type[JobFailed]] = {
    State.REJECTED: JobRejected,
    State.CHANGES_REQUESTED: JobRejected,
    State.CANCELLED: JobCancelled,
    State.WITHHELD: ResultsWithheld,
}


def wait_for(job: Job, timeout: float | None) -> None:
    """Until the job has ended. Raises JobFailed, or one of its kinds, and TimedOut."""
    since = monotonic()
    with _shown() as show:
        while (seen := job._now()).state not in ENDS:
            step = next_step(seen.state)
            show.say(f"{seen.id}: {seen.state}, {monotonic() - since:.0f} s; {step}")
            if timeout is not None and monotonic() - since >= timeout:
                raise TimedOut(f"{seen.id} is {seen.state} after {timeout:g} s", step=step)
            sleep(_PAUSE)
        show.say(f"{seen.id}: {seen.state}, {monotonic() - since:.1f} s")
    if not seen.released:
        reason = describe.reason(seen)
        why = f": {escape(reason)}" if reason else ""
        raise _KINDS.get(seen.stood, JobFailed)(f"{seen.id} is {seen.state}{why}", step=next_step(seen.state))


class _Line(Protocol):
    def say(self, text: str) -> None: ...


class _Silent:
    def say(self, text: str) -> None:
        pass


class _Terminal:
    """One line, written over."""

    def say(self, text: str) -> None:
        sys.stderr.write(f"\r\x1b[K{escape(text)}")
        sys.stderr.flush()


class _Notebook:
    """One output of the cell, that changes."""

    def __init__(self) -> None:
        from IPython.display import display

        self._said = ""
        self._handle = display({"text/plain": ""}, raw=True, display_id=True)

    def say(self, text: str) -> None:
        if text != self._said and self._handle is not None:
            self._said = text
            self._handle.update({"text/plain": escape(text)}, raw=True)


@contextmanager
def _shown() -> Iterator[_Line]:
    if in_notebook():
        yield _Notebook()
    elif sys.stderr.isatty():
        yield _Terminal()
        sys.stderr.write("\n")
    else:
        yield _Silent()


def in_notebook() -> bool:
    """Whether what is displayed reaches a notebook's front end."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return bool(getattr(shell, "kernel", None))
