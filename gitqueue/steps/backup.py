"""Backup: a consistent copy of a site while all runs, and a site made of such a copy.

What the runner remembers of the chain and of the refs is copied before the refs: it may lag behind them, never run
ahead. Jobs that run are not in it: in a restored site they have been interrupted.
"""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

from gitqueue import refs
from gitqueue.adapters import resources, snapshot
from gitqueue.adapters.files import write_atomic
from gitqueue.adapters.settings import Site
from gitqueue.errors import Mistake, OperatorNeeded

_MADE = "backup.json"  # written last: a folder without it is no backup
_REMEMBERED = ("verified.json", "tips.json")
NAME = "restored-as"  # in a site that was restored for trials: the name that it must have before a job starts


def backup(site: Site, folder: Path, now: float) -> int:
    """Copy the site into a new folder that its account alone may read; how many refs that are."""
    if folder.exists():
        raise Mistake(f"{str(folder)!r} is there already", step="name a new folder, as in backup-2026-01-31")
    copy = Site(folder)
    folder.mkdir(mode=0o700)
    for below in (copy.private, copy.inbox, copy.key.parent):
        below.mkdir(mode=0o700)
    for name in _REMEMBERED:
        if (kept := site.recall(name)) is not None:
            copy.remember(name, kept)
    for path in (site.settings_file, *site.key.parent.iterdir()):
        write_atomic(copy.path / path.relative_to(site.path), path.read_bytes())
    held = snapshot.moment(site)
    for letter, text in held.letters.items():
        write_atomic(copy.inbox / letter, text)
    snapshot.copy(site.repository, held.site, copy.repository)
    snapshot.copy(site.vault, held.vault, copy.vault)
    made = {"site": site.name, "made": _day(now), "approved": held.site[refs.APPROVED]}
    write_atomic(folder / _MADE, json.dumps(made, indent=1).encode())
    return len(held.site) + len(held.vault)


def _day(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M UTC")


def restore(folder: Path, target: Path, python: str, name: str | None) -> Site:
    """A site from a backup, paused. `python`: the interpreter that its hooks call; `name`: for trials, under which name
    its owners must put it before anything runs.

    A copy that shares its tip is the same site: whose claims are in one of them runs again in the other.
    """
    made = _made(folder)
    if target.exists():
        raise Mistake(f"{str(target)!r} is there already", step="name a new folder")
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns(_MADE))
    site = Site(target)
    site.spool.mkdir()
    for path, mode in ((target, 0o755), (site.spool, 0o711), (site.private, 0o700)):
        path.chmod(mode)
    resources.install_site_hooks(site.repository, python)
    if name:
        site.remember(NAME, name)
    site.remember("paused", f"restored from the backup of {made['made']}: first see that the old site runs no more")
    return site


def _made(folder: Path) -> dict[str, str]:
    try:
        return dict(json.loads((folder / _MADE).read_bytes()))
    except (OSError, ValueError) as error:
        raise OperatorNeeded(
            f"{str(folder)!r} is no whole backup of a site: {error}", step="take one that gitqueue backup has ended"
        ) from error


def name_wanted(site: Site, now: str) -> str:
    """The name that a site restored for trials must have before its jobs start, where it is `now` another; else ""."""
    wanted = site.recall(NAME) or ""
    return "" if wanted == now else wanted
