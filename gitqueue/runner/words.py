"""What the runner says: sentences for a person at a terminal, one line of `key=value` each for a log."""

import sys
from typing import Protocol

from gitqueue.rules.tree import escape


class Say(Protocol):
    """Take what there is to say. `about`: what it is about (job, state, …), for who searches in logs."""

    def __call__(self, text: str, /, **about: object) -> None: ...


def chosen(person: Say) -> Say:
    """`person` on a terminal, else a log on standard error."""
    return person if sys.stderr.isatty() else log()


def log() -> Say:
    """Lines as `at=… level=info job=rachel/job state=completed msg="rachel/job is completed"`."""
    import structlog
    from structlog.processors import EventRenamer, LogfmtRenderer, TimeStamper

    first = ("at", "level", "job", "state")
    logger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            TimeStamper("iso", utc=True, key="at"),
            EventRenamer("msg"),
            LogfmtRenderer(key_order=first, drop_missing=True),
        ],
    )

    def say(text: str, /, **about: object) -> None:
        for line in escape(text).splitlines():
            logger.msg(line, **{"level": "info", **about})

    return say
