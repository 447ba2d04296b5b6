"""Where a command stands: in a person's clone, or at the site; and which job is meant."""

# Imported inside the functions: `--help` and completion must not pay for git, YAML and templates.

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitqueue import refs
from gitqueue.errors import Mistake
from gitqueue.refs import JobId

if TYPE_CHECKING:
    from gitqueue.adapters.clone import Clone
    from gitqueue.adapters.queue import Job, Queue
    from gitqueue.adapters.settings import Site


_AUDIT_SEEN = "refs/gitqueue/audit-seen"


class Place:
    """The clone or the site that a command works in."""

    def __init__(self, folder: Path, offline: bool = True) -> None:
        from gitqueue.adapters import settings

        self.folder = folder
        self._offline = offline
        self.site = settings.find(folder.absolute())
        if self.site is None and not offline:
            self.clone.fetch()

    @cached_property
    def clone(self) -> "Clone":
        """The person's clone. Raises Mistake at the site: what a person signs is signed in their clone."""
        from gitqueue.adapters.clone import Clone

        if self.site is not None:
            raise Mistake(
                "this is the site itself; people work in clones of it",
                step=f"gitqueue clone {self.site.repository} my-desk && cd my-desk",
            )
        return Clone(self.folder)

    @property
    def ground(self) -> "Clone | Site":
        """Where it stands, for what may be looked at from either."""
        return self.site or self.clone

    @cached_property
    def at_hand(self) -> "Site | None":
        """The site, where this is it, or where it lies on this machine and this person may read all of it."""
        from gitqueue.adapters import settings

        site = self.site or settings.find(Path(self.clone.url))
        return site if site is not None and os.access(site.private, os.R_OK | os.X_OK) else None

    @cached_property
    def queue(self) -> "Queue":
        from gitqueue.adapters.history import History
        from gitqueue.adapters.objects import Objects
        from gitqueue.adapters.queue import REMOTE, Queue

        if self.site is not None:
            return Queue(History(Objects(self.site.repository), self.site.settings().revoked))
        queue = Queue(History(self.clone.objects()), REMOTE)
        if queue.ref(refs.APPROVED) is None:
            raise Mistake(
                f"{str(self.clone.path)!r} is no clone of a gitqueue site: its remote has no branch 'approved'",
                step="gitqueue clone URL",
            )
        return queue

    def anew(self) -> "Queue":
        """The queue as the refs stand now."""
        self.__dict__.pop("queue", None)
        return self.queue

    def me(self) -> str | None:
        """My name at this site, where my signing key tells it."""
        from gitqueue.rules.policy import key_parts

        if self.site is not None:
            return None
        try:
            held = self.queue.people.holder(key_parts(self.clone.signing_key())[1])
        except Mistake:
            return None
        return held[0] if held else None

    def audit_seen(self) -> str | None:
        """Where this clone last saw the audit stand; the site itself has its runner's memory."""
        return None if self.site is not None else self.queue.objects.ref(_AUDIT_SEEN)

    def see_audit(self) -> None:
        tip = self.queue.ref(refs.AUDIT)
        if self.site is None and tip is not None:
            self.clone.git("update-ref", _AUDIT_SEEN, tip)

    def see_archive(self) -> None:
        """Have what gc closed, too: a fetch leaves it out, as it grows with the years."""
        from gitqueue.adapters import archive

        if self.site is None and not self._offline:
            self.clone.fetch_refs(refs.ARCHIVE, archive.COPY)

    def job_id(self, text: str | None) -> JobId:
        """The job that a word means: its whole name, its last part where that is clear, or a pull request's number;
        without a word, the current branch's."""
        if text is None:
            return self._current()
        if "/" in text:
            return refs.job_id(text)
        if text.lstrip("#!").isdecimal() and self.site is None:
            return self._pulled(int(text.lstrip("#!")), text)
        named = [job.id for job in self.queue.jobs() if job.id.name == text]
        mine = [job for job in named if job.requester == self.me()]
        found = mine or named
        if len(found) == 1:
            return found[0]
        if found:
            names = " and ".join(str(job) for job in found)
            raise Mistake(f"{text!r} could be {names}", step="name it whole: requester/job")
        raise Mistake(f"there is no job {text!r}{self._nearest(text)}", step="gitqueue list --all")

    def _pulled(self, number: int, text: str) -> JobId:
        """The request that a forge's pull request is; a job that has a number for its name goes first."""
        from gitqueue.steps import pulls

        named = [job.id for job in self.queue.jobs() if job.id.name == text]
        return named[0] if len(named) == 1 else pulls.find(self.clone, self.queue, number)

    def _current(self) -> JobId:
        from gitqueue.steps.submit import current_job

        job = None if self.site is not None else current_job(self.clone)
        if job is None:
            raise Mistake("no job is named, and the current branch is no request", step="name one: requester/job")
        return job

    def job(self, text: str | None) -> "Job":
        """The job itself. Raises Mistake where there is none."""
        found = self.queue.job(self.job_id(text))
        if found.revision is None and found.results is None:
            self.see_archive()
            found = self.queue.job(found.id)
        if found.revision is None and found.results is None:
            raise Mistake(
                f"there is no job {str(found.id)!r}{self._nearest(str(found.id))}", step="gitqueue list --all"
            )
        return found

    def _nearest(self, text: str) -> str:
        """`(did you mean …?)` for a job's name that is not there."""
        from gitqueue.rules.documents import nearest

        jobs = [job.id for job in self.queue.jobs()]
        return nearest(text, [str(job) if "/" in text else job.name for job in jobs])


def here(context: click.Context, offline: bool = True) -> Place:
    """The place that the command's `-C`, `$GITQUEUE_SITE` or the current folder names."""
    return Place(_folder(context), offline)


def at_site(context: click.Context) -> "Site":
    """The operator's site. Raises Mistake elsewhere."""
    from gitqueue.adapters import settings

    return settings.here(_folder(context))


def _folder(context: click.Context) -> Path:
    folder: Path = context.obj
    if not folder.is_dir():
        raise Mistake(f"there is no folder {str(folder)!r}")
    return folder
