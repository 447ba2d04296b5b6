"""The vault's copies for owners who have no way in: put out when there is news, as often as their remote allows."""

import json
import random
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
    """When the remote is looked after next."""

    pace: Pace = field(default_factory=Pace)
    due: float = float("-inf")


def put(desk: "Desk") -> None:
    """Put out what is new, when it is time."""
    if desk.settings.vault and monotonic() >= desk.delivery.due:
        _put(desk, desk.settings.vault)


def flush(desk: "Desk") -> None:
    """Put out what is new before the runner ends, unless the remote is in trouble."""
    if desk.settings.vault and not desk.delivery.pace.failed:
        _put(desk, desk.settings.vault)


def _put(desk: "Desk", url: str) -> None:
    """A remote that fails is said, and tried again."""
    known: dict[str, str] = json.loads(desk.site.recall(_NAME) or "{}")
    before, mine = dict(known), desk.delivery
    try:
        for name, there in deliver.deliver(desk.premises, url, known, time()):
            known[name] = there
        mine.pace = mine.pace.news() if known != before else mine.pace.nothing()
    except Away as error:
        desk.say_once("\n".join(error.lines()))
        mine.pace = mine.pace.trouble()
    if known != before:
        desk.site.remember(_NAME, json.dumps(known, sort_keys=True))
    mine.due = monotonic() + mine.pace.wait(random.random())
