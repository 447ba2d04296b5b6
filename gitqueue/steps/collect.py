"""Collect: the requester's end: check a result's signature, provenance and digests, then write its files."""

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path, PurePosixPath

from gitqueue.adapters import attestation, seal
from gitqueue.adapters.queue import Job, Queue
from gitqueue.errors import Mistake, No, Tampered
from gitqueue.rules.lifecycle import next_step
from gitqueue.rules.release import LOG, OUTPUTS
from gitqueue.rules.tree import INVISIBLE

SEALED = "outputs.tar.age"


def results(queue: Queue, job: Job, unseal: Callable[[bytes], bytes]) -> dict[str, bytes]:
    """The released files of a job, each checked against what its provenance says.

    `unseal` opens a sealed result. Raises No where there are none (yet), Tampered where anything does not agree.
    """
    _must_be_released(job)
    commit = queue.objects.commit(job.results or "")
    folder = queue.objects.at(commit.tree, job.id.results_folder)
    held = {path: queue.objects.blob(entry.id) for path, entry in queue.objects.files(folder.id)} if folder else {}
    attestation.believe(held, str(job.id), queue.people, commit.date)
    if SEALED not in held:
        return _named(held)
    inside = dict(seal.unpack(unseal(held[SEALED])))
    attestation.believe(inside, str(job.id), queue.people, commit.date)
    return _named(inside)


def _named(held: Mapping[str, bytes]) -> dict[str, bytes]:
    """The released files by the names that a person has them by; the log gets one that no output has."""
    files = {path.removeprefix(OUTPUTS): data for path, data in held.items() if path.startswith(OUTPUTS)}
    if LOG in held:
        files[next(name for name in _log_names() if name not in files)] = held[LOG]
    return files


def _log_names() -> Iterator[str]:
    yield "run.log"
    yield from (f"run-{number}.log" for number in count(1))


def _must_be_released(job: Job) -> None:
    if job.fault:
        raise Tampered(job.fault, step="do not believe these results; tell the site's operator")
    if not job.released:
        why = f" ({job.result.reason})" if job.result and job.result.reason else ""
        raise No(f"{job.id} is {job.state}{why}: there are no results to fetch", step=next_step(job.state))


def write(files: Mapping[str, bytes], folder: Path) -> list[Path]:
    """Write released files below a folder, none outside it and none over a file that is there; their paths. All or
    none: every name is judged before the first folder is made."""
    root = folder.resolve()
    targets = {name: folder / _safe(name) for name in files}
    outside = [name for name, path in targets.items() if not path.parent.resolve().is_relative_to(root)]
    if outside:
        raise Tampered(f"the results name {outside[0]!r}, which would be written outside {str(folder)!r}")
    there = [str(path) for path in targets.values() if path.exists() or path.is_symlink()]
    if there:
        raise Mistake(f"{', '.join(map(repr, there[:5]))} is there already", step="choose another folder with -o")
    for name, path in targets.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[name])
    return list(targets.values())


def _safe(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    strange = any(ord(char) < 32 or ord(char) == 127 or INVISIBLE.match(char) for char in name)
    if path.is_absolute() or strange or not path.parts or any(part in ("..", ".git") for part in path.parts):
        raise Tampered(f"the results name {name!r}, which is no safe file name")
    return path
