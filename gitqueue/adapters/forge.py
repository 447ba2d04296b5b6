"""A forge that hosts a site, by the git program: what it shows, what of that we fetch, what we push to it.

Nothing that it says is believed. It is asked by exact names, with bounds on size and time, and answers by exit codes;
what it sends lies in a scratch repository, which sees the mirror's objects and goes when it was judged.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gitqueue import refs
from gitqueue.adapters import git
from gitqueue.adapters.git import GitFailed
from gitqueue.adapters.settings import Site
from gitqueue.errors import OperatorNeeded
from gitqueue.model import RefMove

_LARGEST_LIST = 32 << 20  # bytes: some 300,000 refs
_LARGEST_PACK = 64 << 20  # as receive.maxInputSize of a site that people push to
_PATIENCE = 120.0  # seconds for one answer
_SHORT = 30.0  # for a list alone
_AT_ONCE = 100  # refs in one push
_LISTED = (refs.HEADS, f"{refs.ARCHIVE}/")
_QUIET = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-gc")
# Helpers that run what a URL says stay closed; so do redirects to them.
_ENVIRONMENT = {"GIT_ALLOW_PROTOCOL": "https:http:ssh:file"}


class Away(OperatorNeeded):
    """The forge did not answer, or refused: limits, an outage, missing rights. It is tried again."""


@dataclass(frozen=True, slots=True)
class Forge:
    """The forge of one site. Use from any thread: each question is a process of its own, in the site's mirror, whose
    configuration holds how to log in there."""

    site: Site
    url: str

    # what it shows

    def heads(self) -> dict[str, str]:
        """Branch -> commit, as it says."""
        return self._list("--heads")

    def all_refs(self) -> dict[str, str]:
        """Branches, the heads of pull requests and the archive; a longer answer, which no protocol can shorten."""
        return self._list()

    def _list(self, *options: str) -> dict[str, str]:
        where = self.site.repository
        said = self._ask("ls-remote", *options, self.url, cwd=where, largest=_LARGEST_LIST, patience=_SHORT)
        rows = (line.split("\t") for line in said.decode("utf-8", "surrogateescape").split("\n"))
        known = (row for row in rows if len(row) == 2 and refs.COMMIT.fullmatch(row[0]))
        return {name: tip for tip, name in known if name.startswith(_LISTED) or refs.parse_pull(name)}

    # what we fetch

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty repository beside the mirror, whose objects it sees, for the time of the block."""
        path, mirror = self.site.private / "scratch.git", self.site.repository
        shutil.rmtree(path, ignore_errors=True)
        git.git("init", "--quiet", "--bare", "--template=", str(path), cwd=self.site.private)
        (path / "objects" / "info").mkdir(exist_ok=True)
        (path / "objects" / "info" / "alternates").write_text(f"{mirror / 'objects'}\n")
        git.configure(path, {"include.path": str(mirror / "config")})
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def fetch(self, scratch: Path, name: str) -> str:
        """One ref into the scratch repository, by its exact name, with fsck; where it stands."""
        refspec = f"+{name}:{name}"
        self._ask("fetch", *_QUIET, "--refmap=", self.url, refspec, cwd=scratch, largest=_LARGEST_PACK)
        return git.list_refs(scratch, name)[name]

    def keep(self, scratch: Path, commit: str) -> None:
        """Copy what a commit needs, and nothing else, from the scratch repository into the mirror."""
        name = "refs/kept"
        git.git("update-ref", name, commit, cwd=scratch)
        git.git("fetch", *_QUIET, "--refmap=", str(scratch), name, cwd=self.site.repository, timeout=_PATIENCE)

    # what we push

    def push(self, move: RefMove) -> bool:
        """Compare-and-swap of one ref. False: it stood elsewhere. Raises Away where it stands as before."""
        there = self.put([move])
        if there.get(move.name) == move.new:
            return True
        if there.get(move.name) != move.old:
            return False
        raise Away(
            f"the forge took no push of {move.name}", step=f"see what may push there: {self.url}, and gitqueue doctor"
        )

    def put(self, moves: Sequence[RefMove]) -> Mapping[str, str]:
        """Compare-and-swap of each ref by itself; ref -> commit of what is there now. Raises Away without an answer."""
        there: dict[str, str] = {}
        for start in range(0, len(moves), _AT_ONCE):
            there |= self._put(moves[start : start + _AT_ONCE])
        return there

    def _put(self, moves: Sequence[RefMove]) -> Mapping[str, str]:
        leases = [f"--force-with-lease={move.name}:{move.old or ''}" for move in moves]
        refspecs = [f"{move.new or ''}:{move.name}" for move in moves]
        argv = ("push", "--quiet", "--no-verify", "--recurse-submodules=no", *leases, self.url, *refspecs)
        with suppress(Away):
            self._ask(*argv, cwd=self.site.repository)
            return {move.name: move.new for move in moves if move.new}
        # Some were refused, or the answer was lost on its way: what stands there tells.
        there = self.all_refs() if any(refs.is_archive(move.name) for move in moves) else self.heads()
        return {move.name: there[move.name] for move in moves if move.name in there}

    def replace(self, repository: Path, name: str, commit: str) -> bool:
        """Put a commit of another repository in a branch's place, whatever that held; whether it was taken."""
        try:
            self._ask("push", "--quiet", "--no-verify", self.url, f"+{commit}:{name}", cwd=repository)
            return True
        except Away:
            return False

    def _ask(
        self, command: str, *argv: str, cwd: Path, largest: int | None = None, patience: float = _PATIENCE
    ) -> bytes:
        words = ("-c", "protocol.version=2", "-c", "push.gpgSign=false", command, *argv)
        try:
            return git.git(*words, cwd=cwd, timeout=patience, extra=_ENVIRONMENT, largest=largest).out
        except GitFailed as error:
            raise Away(
                f"the forge {self.url} did not serve git {command}: {error}", step="it is tried again"
            ) from error

    # lines for people

    def restore(self, name: str, there: str | None, tip: str | None) -> str:
        """The line that puts a ref back, from where it is to where it belongs."""
        lease = f"--force-with-lease={name}:{there or ''}"
        return f"git -C {self.site.repository} push {lease} {self.url} {tip or ''}:{name}"
