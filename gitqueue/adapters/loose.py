"""Loose objects, many at a time: as whole and as lasting as one by one, for the price of two or three.

A file's sync waits for the disk, and takes along what was written before it. So all files are written first, then each
is synced, and the first of these syncs does nearly all of the work; then all get their names, and then the folders are
synced in the same way. An object that has its name is on the disk, as git and libgit2 have it, too.
"""

import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_FAST = 1  # as core.looseCompression has it by default


def write(folder: Path, objects: Mapping[str, bytes]) -> None:
    """Write objects (by id: header and content) below the folder of a repository's objects; on the disk afterwards."""
    asides: dict[str, str] = {}
    try:
        for oid, data in objects.items():
            asides[oid] = _aside(folder, oid, data)
        for aside in asides.values():
            sync(aside)
        changed = {place for oid, aside in asides.items() for place in _named(folder, oid, aside)}
        for place in changed:
            sync(place)
    except BaseException:
        for aside in asides.values():
            with suppress(OSError):
                os.unlink(aside)
        raise


def _aside(folder: Path, oid: str, data: bytes) -> str:
    """A file under a name that git's own gc knows for a leftover."""
    aside = f"{folder}/tmp_obj_{oid}_{os.urandom(4).hex()}"
    file = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
    with os.fdopen(file, "wb") as out:
        out.write(zlib.compress(data, _FAST))
    return aside


def _named(folder: Path, oid: str, aside: str) -> set[str]:
    """Give a file its name; the folders that this has changed."""
    place = f"{folder}/{oid[:2]}"
    with suppress(FileNotFoundError):
        os.rename(aside, f"{place}/{oid[2:]}")
        return {place}
    os.makedirs(place, exist_ok=True)
    os.rename(aside, f"{place}/{oid[2:]}")
    return {place, str(folder)}


def sync(path: str | os.PathLike[str]) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
