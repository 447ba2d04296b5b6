"""Projects: requests with one purpose, and the words that an owner holds their code against."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Unpack

from gitqueue.api import show
from gitqueue.api.collections import Named
from gitqueue.api.jobs import Job, Jobs
from gitqueue.api.requests import About, Requirements
from gitqueue.rules.tree import escape

if TYPE_CHECKING:
    from gitqueue.api.sites import Site


class Project:
    """Some requests with one purpose."""

    def __init__(self, site: Site, name: str, description: str, jobs: list[Job]) -> None:
        self._site = site
        self.name = name
        self.description = description
        self.requests = Jobs(jobs)

    def create_code_request(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        requirements: Requirements | None = None,
        **about: Unpack[About],
    ) -> Job:
        """Ask, for this project, for a function to be called (`@gq.function(features=asset)`); the job."""
        about["project"] = {"name": self.name, "description": self.description} if self.description else self.name
        job = self._site.submit(function, name=name, requirements=requirements, about=about)
        self.requests = Jobs([job, *self.requests])
        return job

    def _repr_html_(self) -> str:
        return show.card(self.name, "project", {"description": self.description}, self.requests._grid())

    def __repr__(self) -> str:
        said = f": {escape(self.description.strip())}" if self.description else ""
        return f"project {escape(self.name)}{said} ({len(self.requests)} requests)"


class Projects(Named[Project]):
    kind = "project"

    def _repr_html_(self) -> str:
        rows = [(number, one.name, one.description, len(one.requests)) for number, one in enumerate(self)]
        return show.table(self.kind, show.Grid(("", "project", "description", "requests"), rows))


def of(site: Site, jobs: Jobs, begun: dict[str, str]) -> Projects:
    """The projects of some jobs, that of the newest first; and those that were begun here and have none yet."""
    held: dict[str, list[Job]] = {name: [] for name in begun}
    said = dict(begun)
    for job in jobs:
        group = job._group
        if group is not None:
            held.setdefault(group.name, []).append(job)
            said.setdefault(group.name, group.description)
    found = [Project(site, name, said[name], of_it) for name, of_it in held.items()]
    return Projects(found, lambda one: (one.name,))
