"""The git program, by one function, in an environment that we decide."""

import os
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

from gitqueue.errors import GitqueueError, Mistake
from gitqueue.model import RefMove
from gitqueue.refs import NONE

if TYPE_CHECKING:
    import socket

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


_GIT = ("git", "-c", "safe.directory=*")
# Who the logs of refs say that it was.
_AS_RUNNER = {"GIT_COMMITTER_NAME": "gitqueue", "GIT_COMMITTER_EMAIL": "gitqueue@localhost"}


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
    command: tuple[str, ...] = (*_GIT, *argv)
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
    against = _against(repository, wanted)
    if against is None:
        return True
    seen = list_refs(repository, *(move.name for move in wanted))
    if all(seen.get(move.name) == move.old for move in wanted):
        raise GitFailed(f"git could not move {wanted[0].name}: {against[:500]}")
    return False


def _against(repository: Path, wanted: Sequence[RefMove]) -> str | None:
    """What git says against it; None: all have moved."""
    kept = _movers.get(repository)
    if kept is not None:
        return kept.move(wanted)
    with closing(_Mover(repository)) as mover:
        return mover.move(wanted)


@contextmanager
def movers(*repositories: Path) -> Iterator[None]:
    """While the block runs, one git for each of these repositories moves its refs: to start one takes ten times as long
    as what it does, and a runner has it do that hundreds of times."""
    mine = {repository: _Mover(repository) for repository in repositories}
    _movers.update(mine)
    try:
        yield
    finally:
        for repository, mover in mine.items():
            del _movers[repository]
            mover.close()


class _Mover:
    """A `git update-ref --stdin`, which makes one transaction after another until it has to say no to one, and ends;
    then there is a new one. When its owner dies it ends, too: what was not committed by then is dropped, locks and all.
    """

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._one_at_a_time = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._words: IO[bytes] | None = None  # what it says on standard error: a pipe that nobody reads would fill up

    def move(self, wanted: Iterable[RefMove]) -> str | None:
        """One transaction; what git says against it, None: it is done. Raises GitFailed where nobody can tell."""
        lines = "".join(f"{_move_line(move)}\n" for move in wanted)
        with self._one_at_a_time:
            its = self._ready()
            try:
                its.sendmsg([b"start\n"])
                its.sendall(f"{lines}prepare\ncommit\n".encode())
                return None if _committed(its) else self._last_words()
            except TimeoutError as error:
                self._kill()
                raise GitFailed(f"git update-ref took more than {_PATIENCE:.0f} s and was stopped") from error
            except ConnectionError:  # it has ended before it had read all
                return self._last_words()

    def close(self) -> None:
        """End it, when it is done with what it does."""
        with self._one_at_a_time:
            self._end()

    def _ready(self) -> "socket.socket":
        if self._process and self._socket and self._process.poll() is None:
            return self._socket
        import socket  # 10 ms, and hooks move nothing

        self._end()
        self._socket, its = socket.socketpair()
        self._socket.settimeout(_PATIENCE)
        self._words = os.fdopen(os.memfd_create("update-ref"), "w+b")  # a service may have no folder for such things
        with its:
            self._process = subprocess.Popen(
                (*_GIT, "update-ref", "--stdin"),
                cwd=self._repository,
                env={**environment(), **_AS_RUNNER},
                stdin=its.fileno(),
                stdout=its.fileno(),
                stderr=self._words,
                start_new_session=True,  # a Ctrl-C at the runner's terminal is not for it
            )
        return self._socket

    def _last_words(self) -> str:
        """Why it ended. Raises GitFailed where that was no answer of its own."""
        words, code = self._end()
        if code != 128:
            raise GitFailed(f"git update-ref ended with {code}: {words}")
        return words

    def _kill(self) -> None:
        if self._process:
            self._process.kill()
        self._end()

    def _end(self) -> tuple[str, int | None]:
        if self._socket:
            self._socket.close()
        code = self._process.wait() if self._process else None
        words = b""
        if self._words:
            self._words.seek(0)
            words = self._words.read()
            self._words.close()
        self._process = self._socket = self._words = None
        return words.decode("utf-8", "replace").strip()[-2000:], code


_movers: dict[Path, _Mover] = {}
_PATIENCE = 60.0


def _committed(its: "socket.socket") -> bool:
    """Read what it says of a transaction; False: it ended instead."""
    said = b""
    while not said.endswith(b"commit: ok\n"):
        block = its.recv(4096)
        if not block:
            return False
        said += block
    return True


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
