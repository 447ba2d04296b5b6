"""The vault: what runs left, and nobody has released (a commit for each run, in one line for each job), and claims."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gitqueue import refs
from gitqueue.adapters.git import list_refs
from gitqueue.adapters.objects import Objects
from gitqueue.refs import JobId
from gitqueue.rules.notes import trailers
from gitqueue.rules.release import LOG, OUTPUTS


def waiting(vault: Path, commit: str) -> Iterator[str]:
    """The paths of a vault commit that may be released."""
    objects = Objects(vault)
    for path, _ in objects.files(objects.commit(commit).tree):
        if path.startswith(OUTPUTS) or path == LOG:
            yield path


ANNOUNCED = "Announced"


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt that was taken, for ever, and when (seconds)."""

    job: JobId
    number: int
    at: int


def claims(vault: Objects) -> Iterator[Claim]:
    """Every attempt whose claim the vault holds as announced."""
    for name, commit in list_refs(vault.path, "refs/claims").items():
        found, noted = refs.parse_claim(name), vault.commit(commit)
        if found and ANNOUNCED in trailers(noted.message)[1]:
            yield Claim(*found, noted.date)
