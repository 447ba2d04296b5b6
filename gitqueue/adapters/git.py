"""The git program, by one function, in an environment that we decide."""

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from gitqueue.errors import GitqueueError, Mistake
from gitqueue.model import RefMove
from gitqueue.refs import NONE

OLDEST = (2, 39)

# Kept from outside: without the quarantine's variables a hook cannot see the objects that are being pushed.
_KEPT = ("GIT_QUARANTINE_PATH", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES")
_FIXED = {
    "LC_ALL": "C",
    "HOME": "/nonexistent",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
}


class GitFailed(GitqueueError):
    """git ended with a code that nobody expected."""

    exit_code = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """What the program said. Decide by `code`; the text is for people."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        return self.out.decode("utf-8", "replace").strip()


def environment() -> dict[str, str]:
    """What git may know of the world: a fixed part, the search path, and the quarantine."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {"PATH": os.environ.get("PATH", os.defpath), **_FIXED, **kept}


def git(
    *argv: str,
    cwd: Path,
    ok: Sequence[int] = (0,),
    timeout: float = 60,
    stdin: bytes = b"",
    extra: Mapping[str, str] | None = None,
    largest: int | None = None,
) -> Answer:
    """Run git in `cwd`. Raises GitFailed for any exit code that is not in `ok`, or after `timeout` seconds.

    `largest`: bytes of the largest file that it may write, and that it may say: for what a stranger's machine sends.
    """
    command: tuple[str, ...] = ("git", "-c", "safe.directory=*", *argv)
    if largest is not None:
        command = ("prlimit", f"--fsize={largest}", "--core=0", *command)
    env = {**environment(), **(extra or {})}
    try:
        done = _run(command, largest is not None, cwd=cwd, env=env, input=stdin, timeout=timeout)
    except FileNotFoundError as error:
        raise Mistake(f"cannot run git in {str(cwd)!r}: {error.strerror}", step="apt-get install git") from error
    except subprocess.TimeoutExpired as error:
        raise GitFailed(f"git {argv[0]} took more than {timeout:.0f} s and was stopped") from error
    answer = Answer(done.returncode, done.stdout, done.stderr)
    if answer.code not in ok:
        said = answer.err.decode("utf-8", "replace").strip()[:2000]
        raise GitFailed(f"git {argv[0]} ended with {answer.code}: {said}")
    return answer


def _run(command: Sequence[str], bounded: bool, **how: Any) -> "subprocess.CompletedProcess[bytes]":
    """The program with all that it says. `bounded`: into files, which its limits hold, unlike our memory."""
    if not bounded:
        return subprocess.run(command, capture_output=True, check=False, **how)
    with TemporaryFile() as out, TemporaryFile() as err:
        done = subprocess.run(command, stdout=out, stderr=err, check=False, **how)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(command, done.returncode, out.read(), err.read())


def version() -> tuple[int, ...]:
    """The git program's version, as numbers."""
    words = git("version", cwd=Path("/")).text.split()
    return tuple(int(part) for part in words[2].split(".")[:3] if part.isdigit())


def move_refs(repository: Path, moves: Iterable[RefMove]) -> bool:
    """Compare-and-swap: all refs move from the values that were seen, or none does.

    False: one of them was elsewhere. Every ref of the project moves here, or by a push.
    """
    wanted = list(moves)
    lines = ["start", *(_move_line(move) for move in wanted), "prepare", "commit", ""]
    answer = git(
        "update-ref", "--stdin", cwd=repository, ok=(0, 128), stdin="\n".join(lines).encode(), extra=_as_runner()
    )
    if answer.code == 0:
        return True
    seen = list_refs(repository, *(move.name for move in wanted))
    if all(seen.get(move.name) == move.old for move in wanted):
        raise GitFailed(f"git could not move {wanted[0].name}: {answer.err.decode('utf-8', 'replace').strip()[:500]}")
    return False


def _as_runner() -> dict[str, str]:
    return {"GIT_COMMITTER_NAME": "gitqueue", "GIT_COMMITTER_EMAIL": "gitqueue@localhost"}


def _move_line(move: RefMove) -> str:
    if move.new is None:
        return f"delete {move.name} {move.old}"
    return f"update {move.name} {move.new} {move.old or NONE}"


def list_refs(repository: Path, *prefixes: str) -> dict[str, str]:
    """Ref name -> commit, of all refs that are, or lie below, one of the prefixes (no trailing slash)."""
    if not prefixes:
        return {}
    form = "--format=%(refname) %(objectname)"
    lines = git("for-each-ref", form, *(prefix.rstrip("/") for prefix in prefixes), cwd=repository).text.splitlines()
    return dict(line.split(" ", 1) for line in lines)


# Each setting of the site's repository with its reason; `doctor` checks the same table.
HARDENED: Mapping[str, str] = {
    "core.bare": "true",
    "core.sharedRepository": "umask",
    # Malformed objects never enter.
    "receive.fsckObjects": "true",
    "transfer.fsckObjects": "true",
    # A pack is refused while it arrives, before it fills the disk.
    "receive.maxInputSize": "64m",
    # A large blob is streamed to disk, not held in memory (385 MB against 13 MB for a blob of 400 MB).
    "core.bigFileThreshold": "1m",
    # What git says was stored is stored, after a power cut too.
    "core.fsync": "loose-object,pack,pack-metadata,index,reference",
    "core.fsyncMethod": "fsync",
    # Requests may be rewound by their requester; the gate judges each ref by itself.
    "receive.denyNonFastForwards": "false",
    "receive.denyDeletes": "false",
    "receive.denyCurrentBranch": "refuse",
    # An audit keeps who moved what.
    "core.logAllRefUpdates": "always",
    # What gc closed is nobody's to push; whoever looks for an old result fetches it (a clone does not, by itself).
    "receive.hideRefs": "refs/archive",
    # A job's .gitattributes change nothing that anybody is shown.
    "core.attributesFile": os.devnull,
    # git gc runs when we say so, not in the middle of a push.
    "gc.auto": "0",
    "receive.autogc": "false",
}


def configure(repository: Path, values: Mapping[str, str]) -> None:
    """Write settings into a repository's own configuration."""
    for name, value in values.items():
        git("config", name, value, cwd=repository)


def configuration(repository: Path) -> dict[str, str]:
    """A repository's own settings, by their name in lower case."""
    said = git("config", "--local", "--list", "-z", cwd=repository).out.decode("utf-8", "replace")
    pairs = (entry.partition("\n") for entry in said.split("\0") if entry)
    return {name.lower(): value for name, _, value in pairs}
