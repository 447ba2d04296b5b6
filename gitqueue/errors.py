"""Every error that a person may see, each with the exit code on which scripts rely.

A message quotes the offending value, gives every reason at once and ends with the next step. What is not
one of these is a bug, keeps its traceback and ends with 70 (EX_SOFTWARE, sysexits.h).
"""

from collections.abc import Iterable

BUG = 70


class GitqueueError(Exception):
    """Reasons, each one sentence without a full stop at its end, and the step that mends them."""

    exit_code = 2

    def __init__(self, *reasons: str, step: str = "") -> None:
        super().__init__("; ".join(reasons))
        self.reasons: tuple[str, ...] = reasons
        self.step = step
        if step:
            self.add_note(f"next: {step}")

    def _render_traceback_(self) -> list[str]:
        """In a notebook: the message, as at the command line; no traceback for what a person can cause."""
        return list(self.lines())

    def lines(self) -> Iterable[str]:
        """The message as people see it, a reason a line, the next step last."""
        yield from (f"gitqueue: {reason}" for reason in self.reasons)
        if self.step:
            yield f"gitqueue: next: {self.step}"


class No(GitqueueError):
    """The answer is no: a check found faults, a job failed."""

    exit_code = 1


class JobFailed(No):
    """A job that somebody waits for has ended without results."""


class JobRejected(JobFailed):
    """An owner has rejected it, or asked for changes."""


class JobCancelled(JobFailed):
    """It was withdrawn, or its run was stopped."""


class ResultsWithheld(JobFailed):
    """It ran, and an owner keeps its outputs at the site."""


class TimedOut(No, TimeoutError):
    """It has not ended yet; it goes on."""


class Mistake(GitqueueError):
    """Wrong use, or a fault that the caller can mend."""

    exit_code = 2


class NotAllowed(GitqueueError):
    """Not allowed to this person."""

    exit_code = 3


class Tampered(GitqueueError):
    """History, a record or a result is not what its signatures say."""

    exit_code = 4


class OperatorNeeded(GitqueueError):
    """Only the operator of the site can mend this."""

    exit_code = 5
