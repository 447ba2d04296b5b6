"""Which waiting jobs start now, and why each other one waits. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from gitqueue.refs import JobId
from gitqueue.rules.policy import Quota

DAY = 86400.0  # of `started`, in seconds


@dataclass(frozen=True, slots=True)
class Room:
    """What there is room for: `jobs` at once, `running` now by requester, `started` within a day by requester.

    `turns` says who was served when, by a growing number from 1 on; `doubts` why the approval of a job counts no more;
    `paused` why nothing starts, "" where all may.
    """

    jobs: int
    quota: Quota
    running: "Counter[str]" = field(default_factory=Counter)
    started: "Counter[str]" = field(default_factory=Counter)
    turns: Mapping[str, float] = field(default_factory=dict)
    doubts: Mapping[JobId, str] = field(default_factory=dict)
    paused: str = ""


def next_one(waiting: Iterable[JobId], room: Room) -> JobId | None:
    """The job that starts now; None where each must wait. Round robin: of the requesters whose turn it may be, who was
    served longest ago comes first, and of each one's jobs the one that was approved first."""
    first: dict[str, JobId] = {}  # beyond doubts, what makes a job wait is its requester's share, or everybody's
    for job in waiting:
        if job.requester not in first and job not in room.doubts:
            first[job.requester] = job
    free = [job for job in first.values() if not why(job, room)]
    return min(free, key=lambda job: room.turns.get(job.requester, 0), default=None)  # min takes the first of equals


def why(job: JobId, room: Room) -> str:
    """Why a waiting job does not start now, in words; "" where it does. First reason."""
    return next((reason for rule in _WAITS if (reason := rule(job, room))), "")


def _paused(_: JobId, room: Room) -> str:
    return room.paused


def _doubted(job: JobId, room: Room) -> str:
    doubt = room.doubts.get(job, "")
    return f"suspended: its approval {doubt}" if doubt else ""


def _full(_: JobId, room: Room) -> str:
    busy = room.running.total()
    return f"{busy} of {room.jobs} jobs run" if busy >= room.jobs else ""


def _own_share(job: JobId, room: Room) -> str:
    own = room.running[job.requester]
    return f"{job.requester} has {own} running, the quota" if own >= room.quota.running else ""


def _daily_share(job: JobId, room: Room) -> str:
    ran = room.started[job.requester]
    return f"{job.requester} has started {ran} within a day, the quota" if ran >= room.quota.runs_per_day else ""


_WAITS: tuple[Callable[[JobId, Room], str], ...] = (_paused, _doubted, _full, _own_share, _daily_share)
