"""Programs of ours that run inside sandboxes: below the spool a folder for each version of them, kept while it is used.

A folder's mtime is its last use. A run's plan names the folder: that keeps it for as long as the run's own folder lies
there, be it for weeks in a cluster's queue, over an upgrade.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

KEPT = 7 * 86400.0  # seconds after a use in which it stays: a run that is being prepared has no plan yet
_PLACES = ("checks-*", "tools/*")
_PLANS = ("*/plan.json", "*/*/plan.json")


def use(place: Path) -> Path:
    with suppress(OSError):  # made by another account: then it goes early, and is laid out again
        os.utime(place)
    return place


def evict(above: Path, now: float) -> tuple[str, ...]:
    """Remove the versions that no run below `above` names and nobody has used of late; the names of those that went."""
    stale = [place for place in _folders(above) if now - place.stat().st_mtime > KEPT]
    named = [plan.read_bytes() for pattern in _PLANS for plan in above.glob(pattern)] if stale else []
    return tuple(place.name for place in stale if not _in(named, place) and _remove(place))


def _folders(above: Path) -> Iterator[Path]:
    for pattern in _PLACES:
        yield from (place for place in above.glob(pattern) if place.is_dir() and not place.is_symlink())


def _in(plans: list[bytes], place: Path) -> bool:
    return any(place.name.encode() in plan for plan in plans)


def _remove(place: Path) -> bool:
    """Whole or not at all, for who looks at the same time."""
    aside = place.with_name(f"{place.name}.old")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        place.rename(aside)
        shutil.rmtree(aside)
    except OSError:
        return False
    return True
