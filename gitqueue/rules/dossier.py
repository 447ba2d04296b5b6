"""What an owner should know of a request before they decide, worked out from facts. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gitqueue.rules.manifest import Manifest
from gitqueue.rules.tree import File, is_text

_REQUIRED = re.compile(r"(?m)^([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]\n]*\])?\s*(==\s*[^\s;\\]+)?")


@dataclass(frozen=True, slots=True)
class Package:
    """A line of a request's lock: normalised name, version as pinned ("" where it is not), whether no approved job of
    this site has had it before."""

    name: str
    version: str
    new: bool


def packages(lock: bytes, known: Iterable[bytes]) -> tuple[Package, ...]:
    """What a lock installs; `known` are the locks of jobs that were approved here."""
    seen = {name for other in known for name, _ in _required(other)}
    return tuple(Package(name, version, name not in seen) for name, version in _required(lock))


def _required(lock: bytes) -> list[tuple[str, str]]:
    found = _REQUIRED.findall(lock.decode("utf-8", "replace"))
    return sorted({(re.sub(r"[-_.]+", "-", name).lower(), version[2:].strip()) for name, version in found})


def structure(files: Sequence[File]) -> tuple[str, ...]:
    """The files, a line each: size, and what a reviewer cannot read as text."""
    return tuple(f"{_size(file.size):>9}  {_line(file.path)}" for file in files)


def _line(path: str) -> str:
    return path.replace("\n", "<U+000A>") + ("" if is_text(path) else "  (no text)")


def _size(count: int) -> str:
    return f"{count} B" if count < 1000 else f"{count / 1000:,.1f} kB"


def remarks(asked: Manifest, risky: Iterable[str], earlier: Mapping[str, str]) -> tuple[str, ...]:
    """What is no fault, and yet for an owner to weigh. `earlier`: how the project was described before, by job."""
    found = [f"the tag {tag!r} is one that this site calls risky" for tag in asked.tags if tag in set(risky)]
    if not asked.purpose:
        found.append("it says no purpose")
    if asked.group is None:
        found.append("it belongs to no project")
    elif not asked.group.description:
        found.append("its project is not described")
    changed = [job for job, text in earlier.items() if asked.group and text and text != asked.group.description]
    if changed:
        found.append(f"the project's description is another than in {', '.join(changed[:3])}")
    return tuple(found)


_SECTION = re.compile(r"(?m)^(?=diff --git )")
_HASHES = re.compile(r"(?m)(?:^\+    --hash=sha256:[0-9a-f]{64}(?: \\)?(?:\n|\Z))+")


def folded(diff: str, lock: str) -> str:
    """A diff without the hashes of the file `lock` (its path in the tree): nobody reads them, and they are most of it.
    All else of that file stays, and all of every other: there such a line may hide code."""
    if not lock:
        return diff
    begins = f"diff --git a/{lock} b/{lock}\n"
    return "".join(_HASHES.sub(_counted, part) if part.startswith(begins) else part for part in _SECTION.split(diff))


def _counted(found: re.Match[str]) -> str:
    return f"+    ({found[0].count('--hash')} hashes)\n"


def used(note: str) -> str:
    """What a rehearsal's note says of time and memory: `1.9 s, 75 MiB`; "" where it ran to no end."""
    time, memory = _TOOK.search(note), _MEMORY.search(note)
    return ", ".join(found[1] for found in (time, memory) if found)


_TOOK = re.compile(r"(?m)\A(?:Ran|Failed) on mock data\b.*?(\d+\.\d s)$")
_MEMORY = re.compile(r"(?m)^memory +(\d+ MiB)$")
