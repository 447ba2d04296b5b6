"""What the runner does once a day, beside its work: gc."""

from concurrent.futures import Future
from time import time

from gitqueue.errors import GitqueueError
from gitqueue.runner.desk import Desk
from gitqueue.steps import execute, tidy

DAY = 86400.0
_LAST = "tidied"


def daily(desk: Desk) -> None:
    """Begin it, in a thread of its own, where a day has passed since the last time."""
    if desk.upkeep and desk.upkeep.done():
        _tell(desk, desk.upkeep)
        desk.upkeep = None
    last = desk.site.recall(_LAST)
    if desk.stopping or desk.upkeep or (last and time() - float(last) < DAY):
        return
    desk.site.remember(_LAST, f"{time():.0f}")
    if last:  # a new site has nothing to tidy
        desk.upkeep = desk.pool.submit(_tidy, desk)


def _tidy(desk: Desk) -> tidy.Tidied:
    premises = desk.room()
    execute.sweep(premises)
    return tidy.tidy(premises, time())


def _tell(desk: Desk, done: "Future[tidy.Tidied]") -> None:
    try:
        tidied = done.result()
    except GitqueueError as error:
        desk.say("\n".join(error.lines()), level="error")
        return
    if tidied.closed:
        desk.say(f"gc closed {len(tidied.closed)} jobs")
