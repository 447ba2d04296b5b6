"""Who runs next, and why the others wait."""

from collections import Counter

import pytest

from gitqueue.refs import JobId
from gitqueue.rules import schedule
from gitqueue.rules.policy import Quota
from gitqueue.rules.schedule import Room

A1, A2, A3, B1, C1 = (JobId(*text.split("/")) for text in ("a/1", "a/2", "a/3", "b/1", "c/1"))
FREE = {"jobs": 4, "quota": Quota(running=2, runs_per_day=5)}
WHY = [
    ({}, ""),
    ({"paused": "paused: back-up"}, "paused: back-up"),
    ({"doubts": {A1: "was signed by a revoked key"}}, "suspended: its approval was signed by a revoked key"),
    ({"doubts": {A2: "was signed by a revoked key"}}, ""),
    ({"running": Counter(b=3, c=1)}, "4 of 4 jobs run"),
    ({"running": Counter(b=3)}, ""),
    ({"running": Counter(a=2)}, "a has 2 running, the quota"),
    ({"started": Counter(a=5)}, "a has started 5 within a day, the quota"),
    ({"started": Counter(a=4, b=5)}, ""),
]


@pytest.mark.parametrize(("facts", "reason"), WHY)
def test_a_waiting_job_says_why_it_waits(facts: dict[str, object], reason: str) -> None:
    assert schedule.why(A1, Room(**{**FREE, **facts})) == reason  # type: ignore[arg-type]


def test_requesters_take_turns_each_with_the_job_that_was_approved_first() -> None:
    waiting, turns, order = [A1, A2, A3, B1, C1], {"b": 1}, []
    while job := schedule.next_one(waiting, Room(**FREE, turns=turns)):  # type: ignore[arg-type]
        waiting.remove(job)
        turns[job.requester] = max(turns.values()) + 1
        order.append(job)
    assert order == [A1, C1, B1, A2, A3]


def test_who_must_wait_does_not_hold_up_the_next() -> None:
    room = Room(**FREE, running=Counter(a=2), doubts={B1: "is in doubt"})  # type: ignore[arg-type]
    assert schedule.next_one([A1, A2, B1, C1], room) == C1
    assert schedule.next_one([A1, A2, B1], room) is None
