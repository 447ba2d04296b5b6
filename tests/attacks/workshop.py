"""An attacker's workshop: commits, trees and packs put together byte by byte, pushed by real git into a copied site."""

import hashlib
import subprocess
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from conftest import JOB, MAIN, Done, Town, ok, run

from gitqueue.adapters.objects import Objects
from gitqueue.model import FILE, FOLDER, Entry

NONE = "0" * 40
APPROVED = "refs/heads/approved"
GOOD = {"job.yaml": JOB, "main.py": MAIN}
Mode = tuple[int, bytes]


@dataclass(frozen=True)
class Workshop:
    """A bare repository that borrows a site's objects. What is made here reaches the site by a push alone."""

    town: Town
    path: Path

    @classmethod
    def of(cls, town: Town, name: str = "workshop") -> "Workshop":
        path = town.path / name
        ok("git", "init", "-q", "--bare", path, cwd=town.path)
        (path / "objects" / "info" / "alternates").write_text(f"{town.repository / 'objects'}\n")
        return cls(town, path)

    # objects

    def put(self, kind: str, data: bytes) -> str:
        """An object of any bytes: git itself would refuse to write some of them."""
        raw = f"{kind} {len(data)}\0".encode() + data
        oid = hashlib.sha1(raw).hexdigest()
        target = self.path / "objects" / oid[:2] / oid[2:]
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(zlib.compress(raw, 1))
        return oid

    def blob(self, data: bytes) -> str:
        return self.put("blob", data)

    def tree(self, *entries: tuple[int | bytes, str | bytes, str]) -> str:
        """(mode, name, id), in exactly this order."""
        lines = (
            (mode if isinstance(mode, bytes) else b"%o" % mode)
            + b" "
            + (name if isinstance(name, bytes) else name.encode())
            + b"\0"
            + bytes.fromhex(oid)
            for mode, name, oid in entries
        )
        return self.put("tree", b"".join(lines))

    @cached_property
    def objects(self) -> Objects:
        return Objects(self.path)

    def folder(self, files: Mapping[str, bytes | Mode]) -> str:
        return self.files(None, files)

    def files(self, tree: str | None, files: Mapping[str, bytes | Mode]) -> str:
        """A tree with files written into it; a pair is (mode, content), or (mode, an object's id) for a submodule."""
        plain = {path: data if isinstance(data, tuple) else (FILE, data) for path, data in files.items()}
        return self.objects.put_files(tree, plain)

    def graft(self, tree: str, path: str, oid: str, mode: int = FOLDER) -> str:
        return self.objects.graft(tree, path, Entry(mode, path.rpartition("/")[2], oid))

    def graft_out(self, path: str) -> str:
        """The site's present tree without a path."""
        return self.objects.graft(self.tree_of(self.tip), path, None)

    def tree_of(self, commit: str) -> str:
        return self.objects.commit(commit).tree

    def commit(
        self,
        tree: str,
        parents: Sequence[str],
        who: str | None = "rachel",
        message: str = "Ask",
        *,
        date: int | None = None,
        headers: bytes = b"",
        author: str = "",
        namespace: str = "git",
        reshape: object = None,
    ) -> str:
        """A commit by anybody. `who` None: unsigned; `reshape(payload, armored)` gives the bytes another form."""
        when = int(time.time()) if date is None else date
        person = f"{author or who or 'nobody'} <{author or who or 'nobody'}@uni.example> {when} +0000"
        above = "".join(f"parent {parent}\n" for parent in parents)
        head = f"tree {tree}\n{above}author {person}\ncommitter {person}\n".encode() + headers
        payload = head + b"\n" + message.encode() + b"\n"
        if who is None:
            return self.put("commit", payload)
        armored = self.signature(payload, who, namespace)
        if callable(reshape):
            return self.put("commit", reshape(payload, armored))
        return self.put("commit", signed(payload, armored))

    def signature(self, payload: bytes, who: str, namespace: str = "git") -> bytes:
        key = self.town.site / "private" / "keys" / "runner" if who == "runner" else self.town.key(who)
        argv = ("ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", key)
        return subprocess.run(argv, input=payload, capture_output=True, check=True).stdout

    # requests, approvals, reviews

    @property
    def tip(self) -> str:
        """Where the site's `approved` stands."""
        return self.ref(APPROVED) or ""

    @property
    def before(self) -> str:
        """The commit of the chain below the tip."""
        return self.objects.commit(self.tip).parents[0]

    def ref(self, name: str) -> str | None:
        return self.town.refs().get(name)

    def request(
        self,
        job: str,
        files: Mapping[str, bytes | Mode] | None = None,
        who: str | None = "rachel",
        parents: Sequence[str] | None = None,
        folder: str | None = None,
        **more: object,
    ) -> str:
        """One commit that adds a job's folder to the tree of its first parent (the site's tip)."""
        above = [self.tip] if parents is None else list(parents)
        inner = folder or self.folder(GOOD if files is None else files)
        tree = self.graft(self.tree_of(above[0]), f"jobs/{job}", inner)
        return self.commit(tree, above, who, **more)  # type: ignore[arg-type]

    def asked(self, job: str, files: Mapping[str, bytes | Mode] | None = None, **more: object) -> str:
        """A request that stands at the site."""
        commit = self.request(job, files, **more)  # type: ignore[arg-type]
        self.accepted(f"{commit}:refs/heads/requests/{job}")
        return commit

    def merge(
        self, job: str, revision: str, who: str | None = "owen", parents: Sequence[str] | None = None, **more: object
    ) -> str:
        """An approval, not pushed: the first parent's tree with the job's folder of the revision."""
        above = [self.tip, revision] if parents is None else list(parents)
        folder = self.objects.at(self.tree_of(revision), f"jobs/{job}")
        assert folder is not None
        return self.commit(self.graft(self.tree_of(above[0]), f"jobs/{job}", folder.id), above, who, **more)  # type: ignore[arg-type]

    def change(self, files: Mapping[str, bytes | Mode], who: str | None = "owen", **more: object) -> str:
        """A site change, not pushed."""
        return self.commit(self.files(self.tree_of(self.tip), files), [self.tip], who, **more)  # type: ignore[arg-type]

    def note(
        self, revision: str, decision: str, who: str | None = "owen", reason: str = "Because", **more: object
    ) -> str:
        """A first review commit, not pushed."""
        message = f"{reason}\n\nDecision: {decision}\nRevision: {revision}".lstrip()
        parents = more.pop("parents", [revision])
        tree = more.pop("tree", None) or self.tree_of(revision)
        return self.commit(tree, parents, who, message, **more)  # type: ignore[arg-type]

    # pushes

    def push(self, *specs: str) -> Done:
        return run("git", "push", "--quiet", self.town.repository, *specs, cwd=self.path)

    def accepted(self, *specs: str) -> str:
        done = self.push(*specs)
        assert done.code == 0, done.err
        return done.err

    def refused(self, *specs: str, because: str | Iterable[str]) -> str:
        """A push that is refused for these reasons, moves no ref, and leaves nothing of itself behind."""
        commits = [commit for commit in (spec.strip("+").split(":")[0] for spec in specs) if commit]
        with self.nothing_kept(commits):
            done = self.push(*specs)
        assert done.code != 0, f"it was accepted:\n{done.err}"
        said = " ".join(line.removeprefix("remote:").strip() for line in done.err.splitlines())
        for reason in [because] if isinstance(because, str) else because:
            assert reason in said, done.err
        assert "Traceback" not in said, done.err
        return done.err

    @contextmanager
    def nothing_kept(self, objects: Iterable[str]) -> Iterator[None]:
        """No ref moves, and none of these objects is in the site's store afterwards that was not there before."""
        refs, new = self.town.refs(), [oid for oid in objects if not self.kept(oid)]
        yield
        assert self.town.refs() == refs
        assert [oid for oid in new if self.kept(oid)] == [], "something of a refused push was kept"

    def kept(self, oid: str) -> bool:
        return run("git", "cat-file", "-e", oid, cwd=self.town.repository).code == 0

    def send(self, moves: Sequence[tuple[str, str, bytes]], packed: bytes, *before: bytes) -> tuple[Done, int]:
        """A push in git's own protocol, so that nothing of the client's care stands in between: the moves as
        (old, new, name), and a pack; `before` are lines that git's client would send first. The answer, and the peak
        memory in bytes of whoever took it (git, and all that it waited for)."""
        lines = [f"{old} {new} ".encode() + name for old, new, name in moves]
        lines[0] += b"\0report-status"
        request = b"".join(b"%04x" % (len(line) + 4) + line for line in (*before, *lines)) + b"0000"
        with open(self.path / "request", "wb") as file:
            file.write(request + packed)
        argv = (sys.executable, "-I", "-c", _MEASURED, self.path / "request", self.town.repository)
        done = subprocess.run(argv, capture_output=True, check=False)
        text, _, peak = done.stdout.decode(errors="replace").rpartition("\n")
        answered = [line for line in text.splitlines() if line[4:6] in ("ok", "ng")]
        code = 0 if answered and all(line[4:6] == "ok" for line in answered) else 1
        return Done(code, text, done.stderr.decode(errors="replace")), int(peak) * 1024


# A process of its own: a child's peak counts its parent's memory at the fork, too.
_MEASURED = """
import resource, subprocess, sys
subprocess.run(("git", "receive-pack", sys.argv[2]), stdin=open(sys.argv[1], "rb"))
print(f"\\n{resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}", end="", flush=True)
"""


def signed(payload: bytes, armored: bytes) -> bytes:
    """A commit with its signature where git puts it."""
    at = payload.index(b"\n\n") + 1
    return payload[:at] + b"gpgsig " + armored.rstrip(b"\n").replace(b"\n", b"\n ") + b"\n" + payload[at:]


_KINDS = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}


def packed(kind: str, data: bytes, level: int = 1) -> bytes:
    """An object as a pack holds it."""
    size, first = len(data) >> 4, (_KINDS[kind] << 4) | (len(data) & 15)
    head = bytearray()
    while size:
        head.append(first | 128)
        first, size = size & 127, size >> 7
    head.append(first)
    return bytes(head) + zlib.compress(data, level)


def pack(objects: Sequence[bytes]) -> bytes:
    """A pack file, version 2, of what `packed` makes."""
    whole = b"".join((b"PACK\0\0\0\2", len(objects).to_bytes(4, "big"), *objects))
    return whole + hashlib.sha1(whole).digest()


def oid_of(kind: str, data: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(data)}\0".encode() + data).hexdigest()
