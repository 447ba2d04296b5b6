"""A site, as its people have it in Python: who they are there, its data, people, projects and requests."""

from pathlib import Path

from gitqueue.api import identity, places
from gitqueue.api.desk import Desk
from gitqueue.api.identity import Identity
from gitqueue.api.jobs import Job
from gitqueue.errors import Mistake
from gitqueue.rules.lifecycle import State
from gitqueue.steps import enter


class Site:
    """One site, from one person's desk at it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @property
    def name(self) -> str:
        return str(self._desk.view.policy.site)

    @property
    def url(self) -> str:
        """What to clone."""
        return self._desk.clone.url

    @property
    def path(self) -> Path | None:
        """Where the site lies, on its own machine; None elsewhere."""
        return self._desk.here.path if self._desk.here else None

    @property
    def me(self) -> str | None:
        """Your name at this site; None where it does not know your key."""
        return self._desk.me

    @property
    def jobs(self) -> list[Job]:
        """All jobs, newest first."""
        return [Job(self._desk, seen) for seen in reversed(self._desk.queue.jobs()) if not seen.is_change]

    def job(self, name: str) -> Job:
        """A job by its uid, or the last part of it."""
        return Job(self._desk, self._desk.find(name))

    def pending(self) -> list[Job]:
        """What waits for an owner's decision, oldest first."""
        return [Job(self._desk, seen) for seen in self._desk.queue.jobs() if seen.state is State.PENDING]

    def __repr__(self) -> str:
        return f"site {self.name} at {self.url}; you are {self.me or 'not known there'}"


def connect(site: str | Path, key: str | Path | None = None, *, root: str | None = None) -> Site:
    """A site by its URL, its folder, or its name on this machine; cloned at `$GITQUEUE_HOME` where it was not yet.

    `key`: the private key that you sign with, where it is not git's. `root`: what the site's chain must begin with, as
    its owners tell; without it, the server is trusted the first time.
    """
    found = places.site(str(site))
    url = str(found.repository) if found else str(site)
    if found is None and ":" not in url and not Path(url).expanduser().exists():
        raise Mistake(f"there is no site {url!r} here", step="gq.connect('ssh://site@host/srv/name/site.git')")
    url = url if ":" in url else str(Path(url).expanduser().absolute())
    me = identity.of_git(places.home() / "keys" / "id_ed25519", key)
    tell(me)
    site_ = Site(at(url, places.desk(url, me.line), me, root))
    if site_.me is None:
        for line in _unknown(me):
            print(line)
    return site_


def at(url: str, folder: Path, me: Identity, root: str | None = None) -> Desk:
    """A person's desk at a site, cloned where it is not there yet."""
    if not (folder / ".git").exists():
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        enter.clone(url, folder, root, me.settings)
    desk = Desk(folder)
    desk.clone.configure(me.settings)
    return desk


def tell(me: Identity) -> None:
    """What was made for somebody, so that they know of it."""
    for made in me.made:
        print(f"gitqueue: made {made}, which git did not know")


def _unknown(me: Identity) -> tuple[str, ...]:
    return (
        "gitqueue: this site does not know your signing key yet; send an owner this line:",
        f"  site.add_person({me.name!r}, email={me.email!r}, key={' '.join(me.line.split()[:2])!r})",
    )
