"""Where sites and desks lie on this machine: `$GITQUEUE_HOME`, the working folder, or where a path says."""

import hashlib
import os
import pwd
from pathlib import Path
from tempfile import TemporaryDirectory

from gitqueue.adapters import data, settings
from gitqueue.adapters.accounts import SANDBOX_USER, make_user
from gitqueue.adapters.settings import Site
from gitqueue.errors import OperatorNeeded
from gitqueue.refs import slug


def home() -> Path:
    """Where desks are kept, and sites that have no other place."""
    named = os.environ.get("GITQUEUE_HOME")
    if named:
        return Path(named).expanduser().absolute()
    # Root's own home is closed to the account that jobs run as.
    return Path("/var/lib/gitqueue") if os.geteuid() == 0 else Path.home() / ".local" / "share" / "gitqueue"


def site(name: str) -> Site | None:
    """The site that a path, or a name in the working folder or at home, means."""
    for path in (Path(name).expanduser(), Path(_slug(name)), home() / _slug(name)):
        if settings.is_site(path):
            return Site(path.absolute())
    return None


def new_site(name: str) -> Path:
    """Where a new site of this name goes: where it says, at `$GITQUEUE_HOME`, or in the working folder; if jobs cannot
    reach that, at home. Raises OperatorNeeded where they can reach nothing."""
    if "/" in name:
        return Path(name).expanduser().absolute()
    places = [home()] if os.environ.get("GITQUEUE_HOME") else [Path.cwd(), home()]
    closed: list[str] = []
    for place in places:
        place.mkdir(mode=0o755, parents=True, exist_ok=True)
        faults = _closed(place)
        if not faults:
            return place / slug(name)
        closed += faults
    raise OperatorNeeded(*closed, step="set GITQUEUE_HOME to a folder that every account may pass through")


def _slug(name: str) -> str:
    return slug(name.rstrip("/").rpartition("/")[2])


def _closed(place: Path) -> list[str]:
    """Why the account that jobs run as cannot pass through a folder."""
    if os.geteuid() != 0:
        return []
    make_user()
    account = pwd.getpwnam(SANDBOX_USER)
    with TemporaryDirectory(prefix=".gitqueue-", dir=place) as inner:
        return [fault for fault, _ in data.closed_to(Path(inner), account.pw_uid, account.pw_gid)]


def desk(url: str, key: str) -> Path:
    """The folder of a person's desk at a site: one for each site and key."""
    name = url.rstrip("/").removesuffix("/site.git").removesuffix(".git").rpartition("/")[2]
    mark = hashlib.sha256(f"{url}\n{key}".encode()).hexdigest()[:10]
    return home() / "desks" / f"{name}-{mark}"


def beside(site: Site) -> Path:
    """The folder of an owner's own things, their key and desk, beside a site; at home where it cannot be there."""
    parent = site.path.parent
    return (parent if os.access(parent, os.W_OK) else home()) / f"{site.name}-owner"
