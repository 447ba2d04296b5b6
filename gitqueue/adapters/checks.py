"""What looks at outputs inside the sandbox: our programs and two libraries, laid out where its user can read them.

gitqueue itself often lies below somebody's 0700 home. The libraries' own code is for one version of Python, so the
programs run with the system's Python of the version that runs us.
"""

import fcntl
import hashlib
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from gitqueue.adapters import environment, programs, resources
from gitqueue.adapters.files import write_atomic
from gitqueue.errors import OperatorNeeded
from gitqueue.model import Indexed, Inspection, Plan

PROGRAMS = ("check.py", "compare.py", "reading.py")
LIBRARIES = ("duckdb", "puremagic")
KEY, INDEXES = "index-key", "indexes"


def ready(above: Path) -> Inspection:
    """The programs below `above`, laid out now or before. Raises OperatorNeeded where no Python can run them."""
    runs = python()
    place = above / f"checks-{_version()}"
    if not place.is_dir():
        above.mkdir(mode=0o711, parents=True, exist_ok=True)
        with _alone(above):
            if not place.is_dir():
                _lay_out(place)
    return Inspection(str(programs.use(place)), str(runs))


def python() -> Path:
    """What the programs run with. Raises OperatorNeeded where this machine has none for them: then no job starts."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    try:
        return environment.interpreter(version)
    except OperatorNeeded as error:
        why = f"outputs are checked with the Python that gitqueue runs with, {version}; without it no job starts"
        step = f"apt-get install python{version}, or install gitqueue with a Python of {environment.FOLDERS[0]}"
        raise OperatorNeeded(*error.reasons, why, step=step) from error


@cache  # of the programs that this process was started with
def _version() -> str:
    parts = [sys.version, *(metadata.version(name) for name in LIBRARIES)]
    parts += [(_source() / name).read_text() for name in PROGRAMS]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _source() -> Path:
    return resources.folder("templates") / "sandbox"


@contextmanager
def _alone(above: Path) -> Iterator[None]:
    lock = os.open(above / "checks.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _lay_out(place: Path) -> None:
    new = place.with_name(place.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    (new / "lib").mkdir(mode=0o755, parents=True)
    for name in PROGRAMS:
        (new / name).write_bytes((_source() / name).read_bytes())
    for source in sorted({path for name in LIBRARIES for path in _packages(name)}):
        target = new / "lib" / source.name
        if source.is_dir():
            shutil.copytree(source, target, copy_function=_same)
        else:
            _same(str(source), str(target))
    for path in (new, *new.rglob("*")):
        if path.is_dir() or path.parent == new:
            path.chmod(0o755 if path.is_dir() else 0o644)
    new.rename(place)


def _packages(name: str) -> Iterator[Path]:
    """What a distribution has put beside the others: folders, compiled modules, and its own description."""
    found = metadata.distribution(name)
    for first in {file.parts[0] for file in found.files or ()}:
        if first != ".." and not first.endswith("-stubs"):
            yield Path(str(found.locate_file(first)))


def _same(source: str, target: str) -> None:
    """The file itself where it lies on the same file system and everybody may read it, else a copy: 66 MB."""
    if os.stat(source).st_mode & 0o004:
        with suppress(OSError):
            os.link(source, target)
            return
    shutil.copy2(source, target)
    os.chmod(target, 0o644)


# indexes of the private data


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where a site keeps the indexes of its data, and the key of their hashes."""

    folder: Path
    key: Path

    def secret(self) -> str:
        if not self.key.exists():
            mine = self.key.with_name(f"{self.key.name}.{secrets.token_hex(8)}")
            write_atomic(mine, secrets.token_hex(16).encode())
            with suppress(FileExistsError):  # of several first jobs one makes it
                os.link(mine, self.key)
            mine.unlink()
        return self.key.read_text()

    def place(self, digest: str) -> Path:
        """The folder of one asset's index: with another key, or other programs, it is another one."""
        return self.folder / hashlib.sha256(f"{_version()} {digest} {self.secret()}".encode()).hexdigest()


def lend(run: Path, indexed: tuple[Indexed, ...], shelf: Shelf | None, digests: dict[str, str]) -> None:
    """Put the key and the indexes that are there into a run's folder; the supervisor builds what is missing."""
    write_atomic(run / KEY, (shelf.secret() if shelf else secrets.token_hex(16)).encode())
    (run / INDEXES).mkdir(mode=0o711)
    for one in indexed:
        kept = shelf.place(digests[one.name]) if shelf else None
        if kept and (kept / "index.json").is_file():
            shutil.copytree(kept, run / INDEXES / one.folder, copy_function=_linked)


def keep(run: Path, plan: Plan, shelf: Shelf, digests: dict[str, str]) -> None:
    """Keep what a run's supervisor has built, in place of what was kept of the same asset before."""
    for one in plan.inspect.indexed if plan.inspect else ():
        built, kept = run / INDEXES / one.folder, shelf.place(digests[one.name])
        if not kept.exists() and (built / "index.json").is_file():
            shelf.folder.mkdir(mode=0o700, exist_ok=True)
            new = shelf.folder / f".{secrets.token_hex(8)}"
            shutil.copytree(built, new, copy_function=_linked)
            (new / "asset").write_text(one.name)
            for old in shelf.folder.glob("*/asset"):
                if old.read_text() == one.name and not old.parent.name.startswith("."):
                    shutil.rmtree(old.parent, ignore_errors=True)
            with suppress(OSError):  # another run has just kept the same
                new.rename(kept)
            shutil.rmtree(new, ignore_errors=True)


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
