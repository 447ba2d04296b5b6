"""A person's clone, by GitPython: their own git configuration, their own keys. Never in hooks or the runner."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import git
from git.exc import GitCommandError, GitCommandNotFound, InvalidGitRepositoryError, NoSuchPathError

from gitqueue import refs
from gitqueue.adapters import signatures
from gitqueue.adapters.git import move_refs
from gitqueue.adapters.objects import Objects
from gitqueue.errors import GitqueueError, Mistake, NotAllowed, OperatorNeeded
from gitqueue.model import RefMove
from gitqueue.refs import JobId
from gitqueue.rules import policy

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

NO_KEY = (
    "ssh-keygen -t ed25519 (if you have no key), then git config --global gpg.format ssh"
    " && git config --global user.signingkey ~/.ssh/id_ed25519.pub"
)


class PushRefused(NotAllowed):
    """The site took nothing of a push; the reasons are its own words."""


class Clone:
    """One clone (or, for the first commit of a site, its bare repository) with the person who stands in it."""

    def __init__(self, path: Path) -> None:
        try:
            self._repo = git.Repo(path, search_parent_directories=True)
        except (InvalidGitRepositoryError, NoSuchPathError) as error:
            raise Mistake(
                f"{str(path)!r} is not in a clone of a site",
                step="gitqueue clone URL, then go into the new folder (or name one: gitqueue -C DIR …)",
            ) from error
        self.path = Path(self._repo.working_tree_dir or self._repo.git_dir)
        self.git_dir = Path(self._repo.common_dir)

    def objects(self) -> Objects:
        return Objects(self.git_dir)

    def git(self, *argv: str, ok: Sequence[int] = (0,), extra: Mapping[str, str] | None = None) -> str:
        """git as the person would call it. Raises Mistake with git's own words."""
        with _words_of_git(ok):
            # English and no prompt: the words are shown, never read, but a hidden prompt would hang us.
            env = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_REPLACE_OBJECTS": "1", **(extra or {})}
            done = self._repo.git.execute(
                ["git", *argv], env=env, with_extended_output=True, strip_newline_in_stdout=False
            )
            return str(done[1])
        return ""

    def config(self, name: str) -> str:
        return self.git("config", "--get", "--default", "", name).strip()

    def configure(self, values: Mapping[str, str]) -> None:
        for name, value in values.items():
            self.git("config", name, value)

    # who stands here

    def signing_key(self) -> str:
        """The public key that the person signs with, as its one line. Raises Mistake where there is none."""
        named = self.config("user.signingkey")
        if not named or self.config("gpg.format") != "ssh":
            raise Mistake("git has no ssh signing key for you here", step=NO_KEY)
        return public_key(named)

    def identity(self) -> Path:
        """The file of the private key that opens what is sealed to this person."""
        named = self.config("gitqueue.identity") or self.config("user.signingkey")
        path = Path(named.removesuffix(".pub")).expanduser()
        if not named or not path.is_file():
            raise Mistake(
                "these results are sealed, and your private key is in no file that git's configuration names",
                step="name it: gitqueue results … --identity ~/.ssh/id_ed25519",
            )
        return path

    # what gitqueue keeps in this clone alone

    def remember(self, name: str, text: str) -> None:
        path = self.git_dir / "gitqueue" / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(text)

    def recall(self, name: str) -> str | None:
        path = self.git_dir / "gitqueue" / name
        return path.read_text() if path.is_file() else None

    # refs

    @property
    def url(self) -> str:
        return self.config("remote.origin.url")

    @property
    def branch(self) -> str:
        """The current branch's name, "" when detached."""
        return self.git("symbolic-ref", "--short", "-q", "HEAD", ok=(0, 1)).strip()

    def fetch(self) -> None:
        self.git("fetch", "--quiet", "--prune", "origin")

    def fetch_job(self, job: JobId) -> None:
        """What moved of one job, and of the chain: a server with 100,000 refs names these few alone."""
        names = (refs.APPROVED, *(f"{name(job)}*" for name in (refs.request, refs.review, refs.result)))
        copies = (name.replace("refs/heads/", "refs/remotes/origin/") for name in names)
        self.git("fetch", "--quiet", "origin", *(f"+{name}:{copy}" for name, copy in zip(names, copies, strict=True)))

    def fetch_refs(self, theirs: str, mine: str) -> None:
        """Fetch the refs below a name, which no fetch brings by itself, into a place of one's own."""
        self.git("fetch", "--quiet", "--no-tags", "origin", f"{theirs}/*:{mine}/*")

    def push(self, *refspecs: str) -> str:
        """Push; the site's own lines. Raises PushRefused with the site's reasons."""
        argv = ["git", "-c", "push.gpgSign=false", "push", "--porcelain", "origin", *refspecs]
        env = {**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
        done = subprocess.run(argv, cwd=self.path, env=env, capture_output=True, check=False)
        said = _remote_lines(done.stderr)
        if done.returncode == 0:
            return "\n".join(said)
        if said:
            raise PushRefused(*said)
        raise Mistake(f"git push ended with {done.returncode}: {_tail(done.stderr + done.stdout)}")

    def push_new(self, tips: Mapping[str, str]) -> str:
        """Push refs of the site (name -> commit) that are new there, all or none; the site's own lines.

        By one pattern: of a list, git compares each word with each ref that there is. Without force it goes over
        nothing that came in between.
        """
        mine = f"refs/gitqueue/sending-{os.getpid()}/"
        begun = [RefMove(name.replace(refs.HEADS, mine), None, commit) for name, commit in tips.items()]
        move_refs(self.git_dir, begun)
        try:
            return self.push("--atomic", f"{mine}*:{refs.HEADS}*")
        finally:
            move_refs(self.git_dir, [RefMove(move.name, move.new, None) for move in begun])

    # objects

    def commit_tree(self, tree: str, parents: Sequence[str], message: str) -> str:
        """A signed commit of any tree, by the person's own key; no branch and no file of theirs is touched."""
        above = [word for parent in parents for word in ("-p", parent)]
        utf8 = ("-c", "i18n.commitEncoding=UTF-8")  # another one is a header, and shows other text than was signed
        return self.git(*utf8, "commit-tree", "-S", *above, "-m", message, tree).strip()

    def commit_trees(self, objects: Objects, trees: Sequence[tuple[str, str]], parent: str) -> list[str]:
        """A signed commit of each (tree, message) on `parent`, in the clone's `objects`. By git, 20 ms each; in
        process, 0.3 ms, where the person's key is a file that anybody could sign with, and nothing in git's
        configuration says how."""
        key = self._plain_key()
        if key is None:
            return [self.commit_tree(tree, [parent], message) for tree, message in trees]
        who = self.git("var", "GIT_COMMITTER_IDENT").strip()
        author = self.git("var", "GIT_AUTHOR_IDENT").strip()
        head = f"parent {parent}\nauthor {author}\ncommitter {who}\n\n"
        raws = (signatures.sign(f"tree {tree}\n{head}{message.strip()}\n".encode(), key) for tree, message in trees)
        with objects.together():
            return [objects.write_commit(raw) for raw in raws]

    def _plain_key(self) -> "Ed25519PrivateKey | None":
        path = Path(self.config("user.signingkey").removesuffix(".pub")).expanduser()
        if self.config("gpg.format") != "ssh" or self.config("gpg.ssh.program") or not path.is_file():
            return None
        try:
            return signatures.load_key(path)
        except OperatorNeeded:
            return None

    def snapshot(self, folder: str) -> str:
        """The tree of the working files as `git add` would take them, with their index left alone."""
        index = self.git_dir / f"gitqueue-index-{os.getpid()}"
        try:
            extra = {"GIT_INDEX_FILE": str(index)}
            self.git("read-tree", "HEAD", extra=extra)
            if (self.path / folder).exists():
                self.git("add", "--all", "--", folder, extra=extra)
            return self.git("write-tree", extra=extra).strip()
        finally:
            index.unlink(missing_ok=True)

    def follow_approved(self) -> None:
        """Bring the local branch `approved` to where the site has it, unless the person has work of their own there."""
        there = self.git("rev-parse", "--verify", "-q", "refs/remotes/origin/approved", ok=(0, 1)).strip()
        if not there:
            return
        if self.branch == "approved":
            self.git("merge", "--ff-only", "--quiet", there, ok=(0, 1, 128))
            return
        here = self.git("rev-parse", "--verify", "-q", refs.APPROVED, ok=(0, 1)).strip()
        if here and self.objects().descends(there, here):
            self.git("update-ref", refs.APPROVED, there, here)


@contextmanager
def _words_of_git(ok: Sequence[int]) -> Iterator[None]:
    try:
        yield
    except GitCommandNotFound as error:
        raise Mistake("git is not installed", step="apt-get install git") from error
    except GitCommandError as error:
        if error.status not in ok:
            raise Mistake(f"git said: {_tail(str(error.stderr).encode())}") from error


def clone(url: str, folder: Path) -> Clone:
    """git clone. Raises Mistake with git's words."""
    with _words_of_git(()):
        git.Git().execute(["git", "clone", "--quiet", "--", url, str(folder)], env={"LC_ALL": "C"})
    return Clone(folder)


def public_key(named: str) -> str:
    """The public key behind `user.signingkey`: a literal key, a .pub file, or a private key's file.

    Raises Mistake where it cannot be read or is of a kind that sites do not take.
    """
    literal = named.removeprefix("key::")
    if not literal.startswith(("ssh-", "ecdsa-", "sk-")):
        path = Path(named).expanduser()
        beside = path if path.suffix == ".pub" else path.with_name(f"{path.name}.pub")
        try:
            literal = beside.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Mistake(f"cannot read the public key {str(beside)!r}: {error}", step=NO_KEY) from error
    try:
        policy.key_parts(literal)
    except GitqueueError as error:
        raise Mistake(f"your signing key cannot be used: {'; '.join(error.reasons)}", step=NO_KEY) from error
    return literal


def user_setting(name: str) -> str:
    """One value of the person's own git configuration, outside any clone."""
    with _words_of_git((1,)):
        return str(git.Git().execute(["git", "config", "--get", name]))
    return ""


def _remote_lines(err: bytes) -> list[str]:
    """What the site's hook said, without git's `remote:` and without our own name before each line."""
    lines = (line.strip() for line in err.decode("utf-8", "replace").splitlines())
    said = (line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:"))
    return [line.removeprefix("gitqueue:").strip() for line in said if line.startswith("gitqueue:")]


def _tail(text: bytes) -> str:
    return text.decode("utf-8", "replace").strip().removeprefix("stderr: ").strip("'\n ")[-1500:]
