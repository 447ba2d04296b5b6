"""What the objects' adapter works out by itself is what git would have written."""

from pathlib import Path

import pytest
from conftest import ok
from hypothesis import given, settings
from hypothesis import strategies as st

from gitqueue.adapters.objects import EMPTY_TREE, Missing, Objects, parse_tree
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


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
def test_a_tree_that_git_would_not_write_is_damaged(data: bytes) -> None:
    with pytest.raises(Missing, match="damaged"):
        parse_tree("0" * 40, data)
