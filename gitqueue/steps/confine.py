"""Confine: the walls around one job, each with its reason, as they were around its run or will be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gitqueue.adapters import sandbox
from gitqueue.adapters.queue import Job, Queue
from gitqueue.errors import Mistake
from gitqueue.model import Plan
from gitqueue.rules import planning

SCRATCH = "<scratch>"


@dataclass(frozen=True, slots=True)
class Walls:
    """The sandbox's arguments in their order, in groups with reasons; which limit was held by what (of a run alone)."""

    ran: bool
    arguments: tuple[tuple[tuple[str, ...], str], ...]
    enforced: tuple[tuple[str, str], ...] = ()

    def document(self) -> dict[str, Any]:
        groups = [{"words": list(words), "reason": reason} for words, reason in self.arguments if words]
        return {"ran": self.ran, "arguments": groups, "enforced": dict(self.enforced)}


def of_run(plan: Plan, words: Sequence[str], enforced: Sequence[Sequence[str]]) -> Walls:
    """As a run's record has them. Without reasons where another version of gitqueue made them."""
    return Walls(True, sandbox.explain(plan, tuple(words)), tuple((name, by) for name, by in enforced))


def to_come(queue: Queue, job: Job) -> Walls:
    """As they would be, by the site's present policy; where things lie on the host is seen when it runs."""
    if job.is_change or job.revision is None:
        raise Mistake(f"{job.id} is no job: nothing of it is run")
    asked, site = queue.manifest(job), queue.history.site(queue.approved)
    paths = {(name, asset): f"<{name} {asset}>" for name in asked.datasets for asset in site.datasets[name].assets}
    environment = "<environment>" if asked.environment else None
    entry = "<templates/job/entry.py>" if asked.entrypoint else None
    place = planning.Place(
        "<the job's files>", paths, entry, environment, inspection=None, wake=None, uid=None, gid=None
    )
    plan = planning.plan(asked, site.policy, site.datasets, place)
    return Walls(False, sandbox.explained(plan, SCRATCH, "<output>"))
