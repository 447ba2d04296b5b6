"""The vault's copies for owners who have no way in: put out when there is news, as often as their remote allows."""

import json
import random
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import monotonic, time
from typing import TYPE_CHECKING

from gitqueue.adapters.forge import Away
from gitqueue.rules.pace import Pace
from gitqueue.steps import deliver

if TYPE_CHECKING:
    from gitqueue.runner.desk import Desk

_NAME = "delivered.json"


@dataclass
class Delivery:
    """When the remote is looked after next; `at_work`: it is being looked after, in a thread: it may be slow."""

    pace: Pace = field(default_factory=Pace)
    due: float = float("-inf")
    at_work: "Future[list[str]] | None" = None


def put(desk: "Desk") -> None:
    """Put out what is new, when it is time."""
    mine = desk.delivery
    if mine.at_work and mine.at_work.done():
        _settle(desk)
    if desk.settings.vault and not mine.at_work and monotonic() >= mine.due:
        mine.at_work = desk.away_pool.submit(_put, desk, desk.settings.vault)


def flush(desk: "Desk") -> None:
    """Put out what is new before the runner ends, unless the remote is in trouble."""
    if desk.delivery.at_work:
        _settle(desk)
    if desk.settings.vault and not desk.delivery.pace.failed:
        desk.delivery.at_work = desk.away_pool.submit(_put, desk, desk.settings.vault)
        _settle(desk)


def _settle(desk: "Desk") -> None:
    """Take note of what came of it, waiting for it if need be."""
    if desk.delivery.at_work:
        done, desk.delivery.at_work = desk.delivery.at_work, None
        for text in done.result():
            desk.say_once(text)


def _put(desk: "Desk", url: str) -> list[str]:
    """What there is to say: a remote that fails is said, and tried again."""
    known: dict[str, str] = json.loads(desk.site.recall(_NAME) or "{}")
    before, mine, said = dict(known), desk.delivery, []
    try:
        for name, there in deliver.deliver(desk.room(), url, known, time()):
            known[name] = there
        mine.pace = mine.pace.news() if known != before else mine.pace.nothing()
    except Away as error:
        said = ["\n".join(error.lines())]
        mine.pace = mine.pace.trouble()
    if known != before:
        desk.site.remember(_NAME, json.dumps(known, sort_keys=True))
    mine.due = monotonic() + mine.pace.wait(random.random())
    return said
