"""One tree as git lays it out, a row for each name: read, checked, and put together again.

A chain's folder of jobs gains a row with each approval, and is read thousands of times: so a tree is kept as the rows
that stand in it, and a tree that has one row more is told by its bytes alone.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from gitqueue.errors import Tampered
from gitqueue.model import Entry

NAMES = ("utf-8", "surrogateescape")
_ROW = re.compile(rb"(([1-7][0-7]{4,5}) ([^\0]+)\0.{20})", re.DOTALL)  # [^\0/] would cost three times as much
_ROWS = re.compile(rb"(?:[1-7][0-7]{4,5} [^\0]++\0.{20})*+", re.DOTALL)  # in one go: bytes that are none cost no more
_FOLDER = b"40000"
_NO_NAMES = frozenset({b".", b"..", b".git"})


Pair = tuple[Entry | None, Entry | None]  # before, after


class Missing(Tampered):
    """An object that a commit promises is not there, is not of the promised kind, or not as git writes it."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The rows of a tree as they stand in it, and the keys by which git orders them: a folder's name ends in a slash
    there. Both are shared by the trees that were made from each other, and never changed."""

    keys: list[bytes]
    rows: list[bytes]

    @property
    def raw(self) -> bytes:
        return b"".join(self.rows)

    def entries(self) -> tuple[Entry, ...]:
        return tuple(map(read_row, self.rows))

    def entry(self, name: str) -> Entry | None:
        at = self._place(name.encode(*NAMES))
        return None if at is None else read_row(self.rows[at])

    def __contains__(self, name: str) -> bool:
        return self._place(name.encode(*NAMES)) is not None

    def below(self, folder: str) -> str | None:
        """The id of a folder's tree; None where none of that name stands here."""
        key = folder.encode(*NAMES) + b"/"
        at = bisect_left(self.keys, key)
        return self.rows[at][-20:].hex() if at < len(self.keys) and self.keys[at] == key else None

    def differing(self, other: "Tree") -> Iterator[Pair]:
        """What stands under each name that is not the same in both, in no order; one by one, as who counts may stop."""
        told: set[str] = set()
        for row in {*self.rows} ^ {*other.rows}:
            name = read_row(row).name
            if name not in told:
                told.add(name)
                yield self.entry(name), other.entry(name)

    def _place(self, name: bytes) -> int | None:
        for key in (name + b"/", name):
            at = bisect_left(self.keys, key)
            if at < len(self.keys) and self.keys[at] == key:
                return at
        return None

    def put(self, new: Entry) -> "Tree | None":
        """The tree with one more row, or with another in the place of one of its kind; None: a file stands where the
        folder would, or a folder where the file."""
        return self._put(new.name.encode(*NAMES), new.is_folder, write_row(new))

    def _put(self, name: bytes, is_folder: bool, row: bytes) -> "Tree | None":
        key = name + b"/" if is_folder else name
        there, at = self._place(name), bisect_left(self.keys, key)
        if there is not None and self.keys[there] != key:
            return None
        if there is not None:
            return Tree(self.keys, [*self.rows[:at], row, *self.rows[at + 1 :]])
        return Tree([*self.keys[:at], key, *self.keys[at:]], [*self.rows[:at], row, *self.rows[at:]])

    def one_more(self, raw: bytes) -> "tuple[Pair, Tree] | None":
        """What `raw` is as a tree where it is this one with one folder put, and what that changes; None where it is
        another.

        Where the folder's row begins is a guess. Whether it is all that differs is not: it is put, and all bytes are
        compared.
        """
        begin = raw.rfind(_FOLDER + b" ", 0, _agree(self.raw, raw) + 6)
        row = _ROW.match(raw, begin) if begin >= 0 else None
        if row is None or b"/" in row[3] or row[3] in _NO_NAMES:
            return None
        made = self._put(row[3], True, row[1])
        if made is None or made.raw != raw:
            return None
        new = read_row(row[1])
        return (self.entry(new.name), new), made


def _agree(one: bytes, other: bytes) -> int:
    """How many bytes two strings have in common from their beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low


def write_row(entry: Entry) -> bytes:
    return b"%o %s\0%s" % (entry.mode, entry.name.encode(*NAMES), bytes.fromhex(entry.id))


def key(entry: Entry) -> bytes:
    """What git orders rows by."""
    name = entry.name.encode(*NAMES)
    return name + b"/" if entry.is_folder else name


def read_row(row: bytes) -> Entry:
    head, _, rest = row.partition(b"\0")
    mode, _, name = head.partition(b" ")
    return Entry(int(mode, 8), name.decode(*NAMES), rest.hex())


def parse_tree(oid: str, data: bytes) -> Tree:
    """A tree from its bytes. Raises Missing for any tree that git itself would not have written: where nobody ran
    fsck, a name that stands twice is one file to a reader and another to whoever runs it.

    By the regular expression's own loop, and no values until somebody asks.
    """
    found = _ROW.findall(data) if _ROWS.fullmatch(data) else ()
    rows = [row for row, _, _ in found]
    keys = [name + b"/" if mode == _FOLDER else name for _, mode, name in found]
    names = {name for _, _, name in found}
    if (
        b"".join(rows) != data
        or len(names) != len(rows)
        or b"/" in b"".join(names)
        or names & _NO_NAMES
        or keys != sorted(keys)
    ):
        raise Missing(f"tree {oid} is damaged")
    return Tree(keys, rows)
