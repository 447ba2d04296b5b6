"""What the runner does once a day, beside its work: gc."""

from time import time

from gitqueue.runner.desk import Desk, trouble
from gitqueue.steps import execute, tidy

DAY = 86400.0
_LAST = "tidied"


def daily(desk: Desk) -> None:
    """Begin it, in a thread of its own, where a day has passed since the last time. What fails is tried in a day."""
    if desk.upkeep and desk.upkeep.done():
        desk.upkeep = None
    last = desk.site.recall(_LAST)
    if desk.stopping or desk.upkeep or (last and time() - float(last) < DAY):
        return
    desk.site.remember(_LAST, f"{time():.0f}")
    if last:  # a new site has nothing to tidy
        desk.upkeep = desk.pool.submit(_guarded, desk)


def _guarded(desk: Desk) -> None:
    wrong = trouble(lambda: _tidy(desk))
    if wrong:
        desk.say(f"gc did not end: {wrong}", level="error")


def _tidy(desk: Desk) -> None:
    premises = desk.room()
    execute.sweep(premises)
    closed = tidy.tidy(premises, time()).closed
    if closed:
        desk.say(f"gc closed {len(closed)} jobs")
