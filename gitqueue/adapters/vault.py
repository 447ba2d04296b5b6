"""The vault: what runs left, and nobody has released. A commit for each run, in one line for each job."""

from collections.abc import Iterator
from pathlib import Path

from gitqueue.adapters.objects import Objects
from gitqueue.rules.release import LOG, OUTPUTS


def waiting(vault: Path, commit: str) -> Iterator[str]:
    """The paths of a vault commit that may be released."""
    objects = Objects(vault)
    for path, _ in objects.files(objects.commit(commit).tree):
        if path.startswith(OUTPUTS) or path == LOG:
            yield path
