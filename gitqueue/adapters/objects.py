"""The objects of a repository, read and written in process by pygit2.

Reading goes by raw bytes, so what we judge is what git hashes, and `refs/replace` fools nobody.
"""

import hashlib
import re
import struct
import sys
import zlib
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pygit2
from pygit2.enums import RepositoryOpenFlag

from gitqueue.adapters import loose, trees
from gitqueue.adapters.git import git
from gitqueue.adapters.trees import Missing, Pair, Tree, parse_tree
from gitqueue.errors import Tampered
from gitqueue.model import FOLDER, Commit, Entry

_COMMIT, _TREE, _BLOB = 1, 2, 3
_KINDS = {_COMMIT: "commit", _TREE: "tree", _BLOB: "blob"}
_TYPES = {name.encode(): kind for kind, name in _KINDS.items()}
_MANY = 100  # objects that are written as one pack, as git does with those of a push
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
Changes = Mapping[str, Pair]  # by path
T = TypeVar("T")
U = TypeVar("U")
# A megabyte of pack may unfold to a gigabyte: what is parsed in Python is asked for its size first. A commit with 5,000
# parents and a folder of 400,000 jobs still fit.
_LARGEST = {_COMMIT: 256 << 10, _TREE: 16 << 20}
MOST_CHANGES = 10_000
_LONGEST_NAME = 240  # bytes; as in rules/tree, a longer path is refused anyway
_NOT_READ = (KeyError, ValueError, pygit2.GitError)


class TooMuch(Tampered):
    """Something is larger than anything honest, and is not read."""


class Objects:
    """One repository's objects. Not for use by two threads at once: open another."""

    def __init__(self, repository: Path, *, pushed: bool = False, beside: Path | None = None) -> None:
        """`pushed`: see the objects of the push in progress, too (inside pre-receive alone); `beside`: those of another
        repository."""
        self.path = repository
        flags = RepositoryOpenFlag.FROM_ENV if pushed else RepositoryOpenFlag.NO_SEARCH
        pygit2.option(pygit2.enums.Option.SET_OWNER_VALIDATION, 0)
        pygit2.option(pygit2.enums.Option.SET_CACHE_MAX_SIZE, _CACHE)
        self._repository = pygit2.Repository(str(repository), flags)
        self._odb = self._repository.odb
        if beside is not None:
            self._odb.add_disk_alternate(str(beside / "objects"))
        self._trees: OrderedDict[str, Tree] = OrderedDict()  # a dict is slow to tell its oldest
        self._rows_kept = 0
        self._commits: dict[str, Commit] = {}
        self._changes: dict[tuple[str, str, int], Changes] = {}
        self._pile: dict[str, bytes] = {}  # objects to be written, by id
        self._held = False

    # reading

    def read(self, oid: str, kind: int) -> bytes:
        if oid in self._pile:
            return self._pile[oid].partition(b"\0")[2]
        self._must_fit(oid, kind)
        try:
            found, data = self._odb.read(oid)
        except _NOT_READ as error:
            raise Missing(f"object {oid} is missing or damaged") from error
        if found != kind:
            raise Missing(f"object {oid} is not of the kind that its reference promises")
        return bytes(data)

    def _must_fit(self, oid: str, kind: int) -> None:
        if kind in _LARGEST and self.size(oid) > _LARGEST[kind]:
            raise TooMuch(f"{_KINDS[kind]} {oid[:12]} has more than {_LARGEST[kind]} bytes")

    def has(self, oid: str) -> bool:
        return bool(self._odb.exists(oid))

    def commit(self, oid: str) -> Commit:
        found = self._commits.get(oid)
        return found or _keep(self._commits, oid, parse_commit(oid, self.read(oid, _COMMIT)))

    def is_commit(self, oid: str) -> bool:
        return self.has(oid) and self._odb.read_header(oid)[0] == _COMMIT

    # pygit2 1.21 never lets go of a ref's name or a tree's path that it was asked for. A runner asks thousands of times
    # an hour, for a year: so it is given one and the same string for the same name.

    def glance(self, commit: str, path: str) -> tuple[int, bool]:
        """When a commit was made, and whether its tree has anything at a path: in a tenth of the time that reading them
        takes, for lists of thousands. Nothing is judged by it."""
        try:
            found = self._repository[pygit2.Oid(hex=commit)]
            return found.commit_time, sys.intern(path) in found.tree  # type: ignore[attr-defined]
        except (*_NOT_READ, AttributeError) as error:
            raise Missing(f"commit {commit} is missing, damaged or no commit") from error

    def first_parents(self, tip: str) -> Iterator[str]:
        """The ids from `tip` down its line of first parents."""
        current: str | None = tip
        while current is not None:
            yield current
            self._must_fit(current, _COMMIT)
            try:
                parents = self._repository[current].parent_ids  # type: ignore[attr-defined]  # a commit: 0.6 us a step
            except (*_NOT_READ, AttributeError) as error:
                raise Missing(f"commit {current} is missing, damaged or no commit") from error
            current = str(parents[0]) if parents else None

    def descends(self, commit: str, ancestor: str) -> bool:
        """Whether `ancestor` is the commit, or lies in its history."""
        try:
            return commit == ancestor or self._repository.descendant_of(commit, ancestor)
        except _NOT_READ as error:
            raise Missing(f"the history between {ancestor[:12]} and {commit[:12]} is damaged") from error

    def tree(self, oid: str) -> tuple[Entry, ...]:
        return self._tree(oid).entries()

    def _tree(self, oid: str) -> Tree:
        if oid == EMPTY_TREE:  # git knows it by heart, libgit2 does not
            return Tree([], [])
        found = self._trees.get(oid)
        return self._keep_tree(oid, parse_tree(oid, self.read(oid, _TREE))) if found is None else found

    def _keep_tree(self, oid: str, tree: Tree) -> Tree:
        """Trees are kept by what they hold, as one folder may have as many rows as a thousand others."""
        self._rows_kept += 0 if oid in self._trees else len(tree.rows)
        self._trees[oid] = tree
        while self._rows_kept > _RECENT_ROWS and len(self._trees) > 1:
            self._rows_kept -= len(self._trees.popitem(last=False)[1].rows)
        return tree

    def size(self, oid: str) -> int:
        """Bytes of an object, from its header alone."""
        if oid in self._pile:
            return len(self._pile[oid].partition(b"\0")[2])
        try:
            return int(self._odb.read_header(oid)[1])
        except _NOT_READ as error:
            raise Missing(f"object {oid} is missing or damaged") from error

    def blob(self, oid: str) -> bytes:
        return self.read(oid, _BLOB)

    def at(self, tree: str, path: str) -> Entry | None:
        """The entry at a path below a tree, or None."""
        entry: Entry | None = Entry(FOLDER, "", tree)
        for name in path.split("/"):
            if entry is None or not entry.is_folder:
                return None
            entry = self._tree(entry.id).entry(name)
        return entry

    def holds(self, tree: str, path: str) -> bool:
        """Whether anything stands at a path below a tree."""
        *folders, name = path.split("/")
        current: str | None = tree
        for folder in folders:
            current = self._tree(current).below(folder) if current else None
        return current is not None and name in self._tree(current)

    def file(self, tree: str, path: str) -> bytes | None:
        """The bytes of a regular file at a path below a tree, or None."""
        entry = self.at(tree, path)
        regular = entry is not None and entry.mode in (0o100644, 0o100755)
        return self.blob(entry.id) if entry and regular else None

    def folder(self, tree: str, path: str) -> tuple[Entry, ...]:
        entry = self.at(tree, path)
        return self.tree(entry.id) if entry and entry.is_folder else ()

    def files(self, tree: str, prefix: str = "") -> Iterator[tuple[str, Entry]]:
        """Every entry that is no folder, with its path. Count first: a git bomb has 10^10 of them."""
        for entry in self.tree(tree):
            path = f"{prefix}{entry.name}"
            if entry.is_folder:
                yield from self.files(entry.id, f"{path}/")
            else:
                yield path, entry

    def count(self, tree: str, depth: int, most: int, memo: dict[str, int] | None = None) -> int | None:
        """How many files lie below a tree, each tree read once; None if it is deeper than `depth`. Stops beyond `most`.

        A folder without files counts as one file: a bomb can be made of folders alone, and walking costs the same.
        """
        memo = {} if memo is None else memo
        if tree in memo:
            return memo[tree]
        if depth <= 0:
            return None
        if tree != EMPTY_TREE and self.size(tree) > (most + 1) * (_LONGEST_NAME + 28):
            return most + 1  # more entries than are allowed, or longer names than are
        total = 0
        for entry in self.tree(tree):
            inner = self.count(entry.id, depth - 1, most, memo) if entry.is_folder else 1
            if inner is None:
                return None
            total += inner
            if total > most:
                break
        memo[tree] = max(total, 1)
        return memo[tree]

    def changes(self, old: str, new: str, depth: int) -> Changes:
        """What differs between two trees, by path: (before, after). Goes `depth` levels down, equal ids never.

        Raises TooMuch rather than look at more than MOST_CHANGES entries: three levels can hold 10^12 of them.
        """
        found = self._changes.get((old, new, depth))
        return _keep(self._changes, (old, new, depth), self._compared(old, new, depth)) if found is None else found

    def _compared(self, old: str, new: str, depth: int) -> Changes:
        found: dict[str, Pair] = {}
        seen = 0
        open_ = [("", old, new, depth)]
        while open_:
            prefix, before, after, levels = open_.pop()
            for pair in self._differ(before, after):
                seen += 1
                if seen > MOST_CHANGES:
                    raise TooMuch(f"tree {new[:12]} changes more than {MOST_CHANGES} paths at once")
                name = next(entry.name for entry in pair if entry)
                if levels > 1 and all(entry is None or entry.is_folder for entry in pair):
                    below = [entry.id if entry else EMPTY_TREE for entry in pair]
                    open_.append((f"{prefix}{name}/", below[0], below[1], levels - 1))
                else:
                    found[f"{prefix}{name}"] = pair
        return dict(sorted(found.items()))

    def planted(self, tree: str, path: str, entry: Entry) -> str | None:
        """The id of the tree with one entry put at a path where nothing is; None where something is. Nothing is
        written, and the tree need not be there: who expects it saves reading, parsing and comparing what it holds."""
        name, _, rest = path.partition("/")
        there = self._tree(tree)
        if not rest:
            return None if name in there else self._known(there.put(Entry(entry.mode, name, entry.id)))
        inner = self.planted(there.below(name) or EMPTY_TREE, rest, entry)
        return inner and self._known(there.put(Entry(FOLDER, name, inner)))

    def _known(self, tree: Tree | None) -> str | None:
        """The id that a tree has; it is kept as if it had been read."""
        if tree is None:
            return None
        raw = tree.raw
        oid = hashlib.sha1(b"tree %d\0%s" % (len(raw), raw), usedforsecurity=False).hexdigest()
        self._keep_tree(oid, tree)
        return oid

    def _differ(self, old: str, new: str) -> Iterable[Pair]:
        before = self._tree(old)
        brought = None if new in self._trees or new == EMPTY_TREE else before.one_more(self.read(new, _TREE))
        if brought is None:
            return before.differing(self._tree(new))
        pair, tree = brought
        self._keep_tree(new, tree)
        return [pair]

    # refs, one at a time; many at once by git.list_refs

    def ref(self, name: str) -> str | None:
        try:
            found = self._repository.references.get(sys.intern(name))
        except _NOT_READ as error:
            raise Missing(f"the ref {name} is damaged") from error
        return str(found.target) if found is not None else None

    # writing: what a method was given is on the disk when it returns, or when the block around it does

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write all that the block writes at once, at its end: it waits for the disk once. Only `read`, and what reads
        by it, knows of it before; no ref may move to it."""
        self._held = True
        try:
            yield
        except BaseException:
            self._pile.clear()
            raise
        finally:
            self._held = False
        self._flush()

    def write_blob(self, data: bytes) -> str:
        return self._flushed(self._add(_BLOB, data))

    def write_commit(self, raw: bytes) -> str:
        return self._flushed(self._add(_COMMIT, raw))

    def write_tree(self, entries: Iterable[Entry]) -> str:
        return self._flushed(self._add_tree(entries))

    def graft(self, tree: str | None, path: str, entry: Entry | None) -> str:
        """The tree with one path put (the entry's name is the path's last part), or taken out (None)."""
        return self._flushed(self._graft(tree, path, entry))

    def put_files(self, tree: str | None, files: Mapping[str, tuple[int, bytes]]) -> str:
        """The tree with files (path -> mode, bytes) written into it; every tree on the way is written once."""
        return self._flushed(self._put_files(tree, files))

    def _graft(self, tree: str | None, path: str, entry: Entry | None) -> str:
        name, _, rest = path.partition("/")
        there = {e.name: e for e in self.tree(tree)} if tree else {}
        if not rest:
            there.pop(name, None)
            if entry is not None:
                there[name] = Entry(entry.mode, name, entry.id)
            return self._add_tree(there.values())
        below = there.pop(name, None)
        inner = self._graft(below.id if below and below.is_folder else None, rest, entry)
        if inner != EMPTY_TREE:
            there[name] = Entry(FOLDER, name, inner)
        return self._add_tree(there.values())

    def _put_files(self, tree: str | None, files: Mapping[str, tuple[int, bytes]]) -> str:
        there = {entry.name: entry for entry in self.tree(tree)} if tree else {}
        below: dict[str, dict[str, tuple[int, bytes]]] = {}
        for path, (mode, data) in files.items():
            name, _, rest = path.partition("/")
            if rest:
                below.setdefault(name, {})[rest] = mode, data
            else:
                there[name] = Entry(mode, name, self._add(_BLOB, data))
        for name, inner in below.items():
            old = there.get(name)
            there[name] = Entry(FOLDER, name, self._put_files(old.id if old and old.is_folder else None, inner))
        return self._add_tree(there.values())

    def _add_tree(self, entries: Iterable[Entry]) -> str:
        return self._add(_TREE, b"".join(map(trees.write_row, sorted(entries, key=trees.key))))

    def _add(self, kind: int, data: bytes) -> str:
        """The id of an object, which is written with the next flush unless it is there."""
        whole = b"%s %d\0%s" % (_KINDS[kind].encode(), len(data), data)
        oid = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
        if self._odb.exists(oid):
            self._odb.write(kind, data)  # makes it young again: git's gc takes what is old and nobody's
        else:
            self._pile[oid] = whole
        return oid

    def _flushed(self, oid: str) -> str:
        if not self._held:
            self._flush()
        return oid

    def _flush(self) -> None:
        pile, self._pile = self._pile, {}
        if len(pile) > _MANY:
            git("index-pack", "--stdin", cwd=self.path, stdin=_packed(pile.values()))
        elif pile:
            loose.write(Path(self._repository.path) / "objects", pile)


def _packed(objects: Collection[bytes]) -> bytes:
    """Objects (header and content) as a pack, as gitformat-pack(5) has it; none stands as a difference from another."""
    parts = [struct.pack(">4sII", b"PACK", 2, len(objects))]
    for whole in objects:
        head, _, data = whole.partition(b"\0")
        size, low = len(data) >> 4, _TYPES[head.partition(b" ")[0]] << 4 | len(data) & 15
        while size:
            parts.append(bytes((low | 128,)))
            size, low = size >> 7, size & 127
        parts += [bytes((low,)), zlib.compress(data, 1)]
    text = b"".join(parts)
    return text + hashlib.sha1(text, usedforsecurity=False).digest()


_PERSON = re.compile(r"(.*?) ?<([^<>]*)> (-?[0-9]{1,20}) [+-][0-9]{4}")
_RECENT = 32  # commits that are kept parsed: a link of a chain shares most with the one before
_RECENT_ROWS = 200_000  # of trees, about 50 MB
_CACHE = 1 << 18  # bytes that libgit2 keeps of objects, in all; of itself it would fill 256 MB in time
_LAST_SECOND = 253402300799  # of the year 9999, the last that calendars know
# What else git knows (encoding, mergetag, …) makes it show another text than ours, or says what nobody judged.
_HEADERS = (b"gpgsig", b"gpgsig-sha256")
_SIGNED = re.compile(rb"gpgsig [^\n]*+(?:\n [^\n]*+)*+")


def _keep(known: dict[T, U], key: T, found: U) -> U:
    """Keep what was parsed while it is among the newest."""
    known[key] = found
    if len(known) > _RECENT:
        del known[next(iter(known))]
    return found


def parse_commit(oid: str, raw: bytes) -> Commit:
    """A commit from its bytes. Raises Missing where git itself could not have written them so."""
    head, _, message = raw.partition(b"\n\n")
    lines = head.split(b"\n")
    parents = 0
    while lines[1 + parents : 2 + parents] and lines[1 + parents].startswith(b"parent "):
        parents += 1
    fields = [line.partition(b" ") for line in lines[: 3 + parents]]
    if [name for name, _, _ in fields] != [b"tree", *[b"parent"] * parents, b"author", b"committer"]:
        raise Missing(f"commit {oid} is damaged")
    rest = lines[3 + parents :]
    if rest and not _SIGNED.fullmatch(b"\n".join(rest)):  # nearly all are
        _only_known(oid, [line.partition(b" ")[0] for line in rest])
    values = [value.decode("utf-8", "replace") for _, _, value in fields]
    author, committer = _PERSON.fullmatch(values[1 + parents]), _PERSON.fullmatch(values[2 + parents])
    if not author or not committer:
        raise Missing(f"commit {oid} names no author or committer as git writes them")
    date, text = min(int(committer[3]), _LAST_SECOND), message.decode("utf-8", "replace")
    return Commit(oid, values[0], tuple(values[1 : 1 + parents]), author[1], author[2], date, text, raw)


def _only_known(oid: str, names: Iterable[bytes]) -> None:
    signature = False
    for name in names:
        signature = signature or name in _HEADERS
        if name not in _HEADERS and (name or not signature):  # "": one more line of the signature
            shown = ascii(name[:40].decode("ascii", "replace"))
            raise Missing(
                f"commit {oid[:12]} has the header {shown}, which changes what git shows or says what nobody judges:"
                " make it anew (git config i18n.commitEncoding UTF-8; merge a commit, never a tag)"
            )
