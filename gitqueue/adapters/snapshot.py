"""What a site holds at one moment, while all runs: the refs of both repositories, and the letters of the inbox."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import sleep

from gitqueue.adapters import git, turn
from gitqueue.adapters.git import list_refs
from gitqueue.adapters.settings import Site
from gitqueue.errors import OperatorNeeded

_TRIES, _STEP = 500, 0.02  # ten seconds of a runner that never rests


@dataclass(frozen=True, slots=True)
class Moment:
    """Ref -> commit of each repository; a letter's name -> its bytes."""

    site: Mapping[str, str]
    vault: Mapping[str, str]
    letters: Mapping[str, bytes]


def moment(site: Site) -> Moment:
    """Two looks that saw the same are one moment: the audit and the claims only grow, so nothing happened in between.

    No push moves a ref meanwhile; the runner goes on. Raises OperatorNeeded where the site never holds still.
    """
    with turn.taken(site.memory("gate.lock")):
        before = _look(site)
        for _ in range(_TRIES):
            now = _look(site)
            if now == before:
                return now
            before = now
            sleep(_STEP)
    raise OperatorNeeded("the site did not hold still for a moment", step="gitqueue backup again")


def _look(site: Site) -> Moment:
    return Moment(list_refs(site.repository, "refs"), list_refs(site.vault, "refs"), _letters(site.inbox))


def _letters(inbox: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for path in sorted(inbox.glob("[0-9]*")):
        try:
            found[path.name] = path.read_bytes()
        except FileNotFoundError:  # it was settled just now
            continue
    return found


def copy(repository: Path, refs: Mapping[str, str], target: Path) -> None:
    """A new bare repository with these refs of another one, and all that they reach, checked as a push is."""
    git.git("init", "--quiet", "--bare", "--initial-branch=approved", str(target), cwd=target.parent)
    git.configure(target, git.HARDENED)
    wanted = "".join(f"{commit}:{name}\n" for name, commit in refs.items()).encode()
    if wanted:
        words = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--stdin", str(repository))
        git.git(*words, cwd=target, stdin=wanted, timeout=_LONGEST)


_LONGEST = 6 * 3600.0
