"""What the objects' adapter works out by itself is what git would have written."""

import errno
import os
import sys
from pathlib import Path

import pytest
from conftest import ok
from hypothesis import given, settings
from hypothesis import strategies as st

from gitqueue import refs
from gitqueue.adapters.history import History
from gitqueue.adapters.objects import EMPTY_TREE, Objects, TooMuch, parse_commit
from gitqueue.adapters.trees import Missing, parse_tree
from gitqueue.model import FILE, FOLDER, Entry

NAMES = st.text("ab-.0", min_size=1, max_size=4)
PATHS = st.lists(NAMES.filter(lambda name: name.strip(".") != ""), min_size=1, max_size=3).map("/".join)


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Objects:
    folder = tmp_path_factory.mktemp("objects")
    ok("git", "init", "-q", "--bare", ".", cwd=folder)
    return Objects(Path(folder))


@settings(max_examples=300, deadline=None)
@given(there=st.lists(PATHS, max_size=8), path=PATHS, mode=st.sampled_from([FILE, FOLDER]))
def test_a_planted_tree_has_the_id_of_the_tree_that_is_written(
    objects: Objects, there: list[str], path: str, mode: int
) -> None:
    tree = EMPTY_TREE
    for one in there:
        tree = objects.graft(tree, one, Entry(FILE, "", objects.write_blob(one.encode())))
    below = objects.put_files(None, {"file": (FILE, b"new")})
    entry = Entry(mode, path.rpartition("/")[2], below)
    taken = [path.split("/")[:depth] for depth in range(1, path.count("/") + 2)]
    free = objects.at(tree, path) is None and all(
        (found := objects.at(tree, "/".join(parts))) is None or found.is_folder for parts in taken[:-1]
    )
    written = objects.graft(tree, path, entry) if free else None
    assert objects.planted(tree, path, entry) == written
    assert written is None or objects.tree(written) == Objects(objects.path).tree(written)


@settings(max_examples=300, deadline=None)
@given(there=st.lists(PATHS, max_size=8), put=st.lists(PATHS, min_size=1, max_size=2), out=st.booleans())
def test_what_differs_is_told_by_one_row_as_by_a_reading_of_both_trees(
    objects: Objects, there: list[str], put: list[str], out: bool
) -> None:
    folder = objects.put_files(None, {"file": (FILE, b"new")})
    trees = [EMPTY_TREE]
    for path in (*there, *put):
        entry = Entry(FOLDER, "", folder) if path in put else Entry(FILE, "", objects.write_blob(path.encode()))
        trees.append(objects.graft(trees[-1], path, entry))
    if out:
        trees.append(objects.graft(trees[-1], put[0].partition("/")[0], None))
    known = Objects(objects.path)
    for tree in {trees[len(there)], trees[-1]} - {EMPTY_TREE}:
        _read_all(known, tree)
    pair = trees[len(there)], trees[-1]
    assert Objects(objects.path).changes(*pair, 3) == known.changes(*pair, 3)


def _read_all(objects: Objects, tree: str) -> None:
    for entry in objects.tree(tree):
        if entry.is_folder:
            _read_all(objects, entry.id)


ROW = b"100644 a\0" + b"i" * 20
ODD = {
    "a name that stands twice": ROW + ROW,
    "a file and a folder of one name": ROW + b"100644 b\0" + b"i" * 20 + b"40000 a\0" + b"i" * 20,
    "a wrong order": b"100644 b\0" + b"i" * 20 + ROW,
    "a folder where a file of its name would stand": b"40000 a\0" + b"i" * 20 + b"100644 a.b\0" + b"i" * 20,
    "a slash in a name": b"100644 a/b\0" + b"i" * 20,
    "a name that is a step up": b"40000 ..\0" + b"i" * 20,
    "a mode with a zero in front": b"040000 a\0" + b"i" * 20,
    "something between two rows": ROW + b"\0" + b"100644 b\0" + b"i" * 20,
    "an end in mid-row": ROW + b"100644 b\0" + b"i" * 19,
}


def test_a_parent_without_an_id_is_damaged_and_a_header_that_nobody_judges_is_named() -> None:
    head, who = f"tree {EMPTY_TREE}\n", "owen <owen@uni.example> 1700000000 +0000"
    people, sound = f"author {who}\ncommitter {who}\n", f"parent {'a' * 40}\n"
    signed = "gpgsig -----BEGIN SSH SIGNATURE-----\n line\n line\n"
    assert parse_commit("", f"{head}{sound}{people}{signed}\nn\n".encode()).parents == ("a" * 40,)
    with pytest.raises(Missing, match="is damaged"):
        parse_commit("", f"{head}{sound}parent\n{people}\nn\n".encode())
    for odd in (f"{signed}encoding utf-7\n", "mergetag object\n", " line\n"):
        with pytest.raises(Missing, match="has the header"):
            parse_commit("", f"{head}{people}{odd}\nn\n".encode())


def test_bytes_that_are_no_tree_are_told_in_one_reading() -> None:
    """Each of them could begin a row, and none ends: looked for from each, the end takes hours."""
    with pytest.raises(Missing, match="damaged"):
        parse_tree("0" * 40, ROW + b"10000 a" * 2_000_000)


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
def test_a_tree_that_git_would_not_write_is_damaged(data: bytes) -> None:
    with pytest.raises(Missing, match="damaged"):
        parse_tree("0" * 40, data)


GROWN = {
    "a folder that stands twice": (b"b", b"b"),
    "a folder with a file's name": (b"a",),
    "a wrong order": (b"c", b"b"),
    "a slash in a name": (b"b/c",),
    "a name that is a step up": (b"..",),
    "git's own name": (b".git",),
}


@pytest.mark.parametrize("names", GROWN.values(), ids=GROWN)
def test_no_tree_that_git_would_not_write_is_another_with_one_folder_more(names: tuple[bytes, ...]) -> None:
    folders = [b"40000 %s\0%s" % (name, b"i" * 20) for name in names]
    assert parse_tree("", ROW).one_more(ROW + b"40000 b\0" + b"i" * 20)
    for rows in ([ROW, *folders], [*folders, ROW]):
        for known in (parse_tree("", ROW), parse_tree("", ROW + b"40000 b\0" + b"i" * 20)):
            assert known.one_more(b"".join(rows)) is None


def test_what_is_written_together_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut leaves an object whole or not at all, in a folder that knows it, be that folder new."""
    ok("git", "init", "-q", "--bare", ".", cwd=tmp_path)
    objects, done = Objects(tmp_path), list[tuple[str, str]]()
    fsync, rename = os.fsync, os.rename

    def synced(descriptor: int) -> None:
        done.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def renamed(old: str, new: str) -> None:
        rename(old, new)
        done.append(("name", f"{old} {new}"))

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    with objects.together():
        tree = objects.put_files(None, {f"folder/{number}": (FILE, b"%d" % number) for number in range(20)})
        objects.write_blob(b"")
        assert not done
    assert ok("git", "fsck", "--strict", "--no-dangling", cwd=tmp_path) == ""
    assert len(ok("git", "ls-tree", "-r", tree, cwd=tmp_path).splitlines()) == 20
    named = [(at, *what.split()) for at, (how, what) in enumerate(done) if how == "name"]
    assert len(named) == 23
    for at, aside, name in named:
        assert ("sync", aside) in done[:at]
        assert ("sync", str(Path(name).parent)) in done[at:]
    assert done[-1][0] == "sync"
    assert ("sync", f"{tmp_path}/objects") in done
    assert not list((tmp_path / "objects").glob("tmp_*"))


def test_objects_for_which_there_is_no_room_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ok("git", "init", "-q", "--bare", ".", cwd=tmp_path)
    objects = Objects(tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="no room"):
            objects.put_files(None, {"a": (FILE, b"a")})
    assert [path for path in (tmp_path / "objects").rglob("*") if path.is_file()] == []
    assert ok("git", "cat-file", "-p", objects.put_files(None, {"b": (FILE, b"b")}), cwd=tmp_path).endswith("b")


def test_a_chain_tells_what_brought_each_job_as_its_tip_moves(tmp_path: Path) -> None:
    ok("git", "init", "-q", "--bare", ".", cwd=tmp_path)
    objects, jobs = Objects(tmp_path), [refs.JobId("rachel", f"job-{number}") for number in range(6)]
    history, tips = History(Objects(tmp_path)), [""]
    for number, job in enumerate(jobs):
        tree = objects.commit(tips[-1]).tree if tips[-1] else None
        tree = objects.put_files(tree, {f"{job.folder}/job.yaml": (FILE, b"%d" % number)})
        for changed in (tree, objects.put_files(tree, {f"{job.folder}/job.yaml": (FILE, b"another")})):
            above = f"parent {tips[-1]}\n" if tips[-1] else ""
            who = "owen <owen@uni.example> 1700000000 +0000"
            raw = f"tree {changed}\n{above}author {who}\ncommitter {who}\n\nn\n"
            tips.append(objects.write_commit(raw.encode()))
    assert history.brought(jobs[2], tips[8]) == tips[5]
    assert history.brought(jobs[5], tips[8]) is None, "it is not there yet"
    assert [history.brought(job, tips[12]) for job in jobs] == tips[1::2]
    assert history.brought(jobs[5], tips[10]) is None, "nor in an older chain"


@settings(max_examples=12, deadline=None)
@given(held=st.lists(st.binary(max_size=5000), min_size=101, max_size=110, unique=True))
def test_one_pack_holds_what_would_be_written_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, held: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("pack")
    ok("git", "init", "-q", "--bare", ".", cwd=folder)
    objects = Objects(folder)
    files = {str(number): (FILE, data) for number, data in enumerate(held)}
    with objects.together():
        tree = objects.put_files(None, files)
        assert {objects.blob(entry.id) for entry in objects.tree(tree)} == set(held)
    assert len(list((folder / "objects" / "pack").glob("*.pack"))) == 1
    ok("git", "fsck", "--strict", "--no-dangling", cwd=objects.path)
    assert {Objects(folder).blob(entry.id) for entry in Objects(folder).tree(tree)} == set(held)


def test_a_walk_down_a_line_holds_no_commit_that_is_larger_than_any_honest_one(tmp_path: Path) -> None:
    ok("git", "init", "-q", "--bare", ".", cwd=tmp_path)
    objects, who = Objects(tmp_path), "owen <owen@uni.example> 1700000000 +0000"
    raw = f"tree {EMPTY_TREE}\nauthor {who}\ncommitter {who}\n\n{'x' * (256 << 10)}"
    with pytest.raises(TooMuch, match="has more than 262144 bytes"):
        list(objects.first_parents(objects.write_commit(raw.encode())))


def test_looking_a_ref_or_a_path_up_keeps_nothing_of_its_name(tmp_path: Path) -> None:
    """A runner asks thousands of times an hour, for a year."""
    ok("git", "init", "-q", "--bare", ".", cwd=tmp_path)
    objects, who = Objects(tmp_path), "owen <owen@uni.example> 1700000000 +0000"
    commit = objects.write_commit(f"tree {EMPTY_TREE}\nauthor {who}\ncommitter {who}\n\nn\n".encode())
    ok("git", "update-ref", refs.APPROVED, commit, cwd=tmp_path)
    for look in (objects.ref, lambda name: objects.glance(commit, name)):
        names = [b"refs/heads/nothing".decode() for _ in range(100)]
        before = sys.getrefcount(names[50])
        for name in names:
            look(name)
        after = sys.getrefcount(names[50])
        assert after == before
