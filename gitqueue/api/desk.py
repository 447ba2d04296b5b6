"""A person's desk at one site: their clone of it, the queue as it stands now, and who they are there."""

import os
from functools import cached_property
from pathlib import Path
from time import monotonic

from gitqueue import refs
from gitqueue.adapters import archive, settings
from gitqueue.adapters.clone import Clone
from gitqueue.adapters.history import History, SiteView
from gitqueue.adapters.objects import Objects
from gitqueue.adapters.queue import REMOTE, Queue
from gitqueue.adapters.queue import Job as Seen
from gitqueue.errors import Mistake, NotAllowed
from gitqueue.refs import JobId
from gitqueue.rules.authority import OWNER
from gitqueue.rules.documents import nearest
from gitqueue.rules.policy import key_parts

_FRESH = 1.0  # seconds for which what was fetched is news


class Desk:
    """One clone. Beside a site on this machine that this account may read, the queue is read there, and needs no
    fetch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._fetched = float("-inf")

    @cached_property
    def clone(self) -> Clone:
        return Clone(self.folder)

    @cached_property
    def here(self) -> settings.Site | None:
        """The site itself, where it lies on this machine and is this account's own."""
        found = settings.find(Path(self.clone.url))
        return found if found is not None and os.access(found.private, os.R_OK | os.X_OK) else None

    @cached_property
    def _history(self) -> History:
        if self.here is not None:
            return History(Objects(self.here.repository), self.here.settings().revoked)
        return History(self.clone.objects())

    @property
    def queue(self) -> Queue:
        """The queue as it stands now."""
        if self.here is not None:
            return Queue(self._history)
        self.refresh()
        return Queue(self._history, REMOTE)

    @property
    def own_queue(self) -> Queue:
        """The queue as this clone has it: what is signed here is judged by it first."""
        return Queue(History(self.clone.objects()), REMOTE)

    def refresh(self, seconds: float = _FRESH) -> None:
        if monotonic() - self._fetched > seconds:
            self.clone.fetch()
            self._fetched = monotonic()

    @property
    def view(self) -> SiteView:
        """The site's documents, as they are now."""
        queue = self.queue
        return queue.history.site(queue.approved)

    # who stands here

    @cached_property
    def _key(self) -> bytes:
        return key_parts(self.clone.signing_key())[1]

    @property
    def me(self) -> str | None:
        """My name at this site, where my signing key tells it."""
        held = self.view.people.holder(self._key)
        return held[0] if held else None

    def must_be_known(self) -> str:
        """My name. Raises NotAllowed with the line that an owner needs."""
        name = self.me
        if name is None:
            email = self.clone.config("user.email") or "YOU@EXAMPLE"
            line = self.clone.signing_key()
            raise NotAllowed(
                "this site does not know your signing key",
                step=f"send an owner this line: gitqueue person add NAME --email {email} --key '{line}'",
            )
        return name

    def must_own(self, what: str) -> str:
        name = self.must_be_known()
        if OWNER not in self.view.people[name].roles:
            raise NotAllowed(f"{name} is no owner of this site: {what} is an owner's", step="ask one of its owners")
        return name

    # jobs

    def seen(self, id_: JobId) -> Seen:
        """The job as it stands now, be it closed; without revision and results where there is none."""
        found = self.queue.job(id_)
        if self.here is None and not found.revision and not found.results:
            self.clone.fetch_refs(refs.ARCHIVE, archive.COPY)
            found = self.queue.job(id_)
        return found

    def find(self, name: str) -> Seen:
        """A job by its id, or by its last part where that is clear. Raises Mistake."""
        named = self.seen(refs.job_id(name)) if "/" in name else None
        if named is not None and (named.revision or named.results):
            return named
        jobs = self.queue.jobs()
        found = [job for job in jobs if name == job.id.name]
        if len(found) != 1:
            known = [str(job.id) if "/" in name else job.id.name for job in jobs]
            which = f"could be {' or '.join(str(job.id) for job in found)}" if found else "is no job of this site"
            raise Mistake(f"{name!r} {which}{'' if found else nearest(name, known)}", step="name one as requester/job")
        return found[0]
