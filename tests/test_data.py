"""The real data: digests that are computed once and notice every change, and readability that is tried, not guessed."""

import hashlib
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitqueue.adapters import data
from gitqueue.adapters.data import digest, readable_by, remedy
from gitqueue.errors import OperatorNeeded

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(0o755)
    return tmp_path


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets what was just written count as old, so that its digest is kept."""
    monkeypatch.setattr(data, "FRESH", 5_000_000)
    return lambda: time.sleep(0.01)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose bytes were read."""
    seen: list[Path] = []
    real = data._of_file
    monkeypatch.setattr(data, "_of_file", lambda path: (seen.append(path), real(path))[1])
    return seen


def tree(folder: Path) -> Path:
    (folder / "b" / "deep").mkdir(parents=True)
    (folder / "a.csv").write_bytes(b"x\n1\n")
    (folder / "b" / "deep" / "c.csv").write_bytes(b"y\n2\n")
    return folder


def test_a_files_digest_is_its_sha256(place: Path) -> None:
    (place / "x.csv").write_bytes(b"a,b\n1,2\n")
    assert digest(place / "x.csv", place / "cache") == hashlib.sha256(b"a,b\n1,2\n").hexdigest()


def test_a_folders_digest_depends_on_names_and_contents_and_on_nothing_else(place: Path) -> None:
    one, two = tree(place / "one"), tree(place / "two")
    (two / "empty").mkdir()
    os.utime(two / "a.csv", (1, 1))
    first = digest(one, place / "cache")
    assert digest(two, place / "cache") == first
    (two / "a.csv").rename(two / "z.csv")
    renamed = digest(two, place / "cache")
    (one / "b" / "deep" / "c.csv").write_bytes(b"y\n3\n")
    assert len({first, renamed, digest(one, place / "cache")}) == 3


def test_bytes_cannot_move_between_name_and_content(place: Path) -> None:
    for folder, name, text in (("one", "a", b"bc"), ("two", "ab", b"c")):
        (place / folder).mkdir()
        (place / folder / name).write_bytes(text)
    assert digest(place / "one", place / "cache") != digest(place / "two", place / "cache")


def test_data_are_read_once(place: Path, settled: Callable[[], None], reads: list[Path]) -> None:
    folder = tree(place / "data")
    settled()
    first = digest(folder, place / "cache")
    assert len(reads) == 2
    assert digest(folder, place / "cache") == first
    assert len(reads) == 2


@pytest.mark.parametrize("change", ["content", "same size and mtime", "replaced", "added", "removed"])
def test_every_change_is_noticed(place: Path, settled: Callable[[], None], change: str) -> None:
    folder = tree(place / "data")
    file = folder / "a.csv"
    settled()
    first, before = digest(folder, place / "cache"), file.stat()
    if change == "content":
        file.write_bytes(b"x\n1\n2\n")
    elif change == "same size and mtime":
        file.write_bytes(b"x\n7\n")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "replaced":
        (place / "new").write_bytes(b"x\n8\n")
        (place / "new").rename(file)
    elif change == "added":
        (folder / "new.csv").write_bytes(b"")
    else:
        file.unlink()
    assert digest(folder, place / "cache") != first


def test_what_was_written_a_moment_ago_is_read_again(place: Path, reads: list[Path]) -> None:
    """Within one tick of the file system's clock a second change would look like none."""
    (place / "x.csv").write_bytes(b"1")
    digest(place / "x.csv", place / "cache")
    digest(place / "x.csv", place / "cache")
    assert len(reads) == 2


def test_a_spoilt_or_unwritable_cache_is_no_harm(place: Path, settled: Callable[[], None]) -> None:
    (place / "x.csv").write_bytes(b"1")
    settled()
    expected = digest(place / "x.csv", place / "cache")
    for kept in (place / "cache").iterdir():
        kept.write_bytes(b"\xff\0 not a digest")
    assert digest(place / "x.csv", place / "cache") == expected
    (place / "file").write_bytes(b"")
    assert digest(place / "x.csv", place / "file" / "cache") == expected


def test_no_half_file_stays_in_the_cache(place: Path, settled: Callable[[], None]) -> None:
    (place / "x.csv").write_bytes(b"1")
    settled()
    digest(place / "x.csv", place / "cache")
    assert [len(kept.name) for kept in (place / "cache").iterdir()] == [64]


def test_a_change_during_reading_is_said(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = place / "x.csv"
    file.write_bytes(b"1")

    def slowly(path: Path) -> str:
        path.write_bytes(b"22")
        return "0" * 64

    monkeypatch.setattr(data, "_of_file", slowly)
    with pytest.raises(OperatorNeeded, match="changed while it was read"):
        digest(file, place / "cache")


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside.csv", "../data/a.csv/../../outside.csv"])
def test_a_link_out_of_its_folder_is_refused_and_not_read(place: Path, target: str, reads: list[Path]) -> None:
    folder = tree(place / "data")
    (place / "outside.csv").write_bytes(b"secret")
    (folder / "link.csv").symlink_to(target)
    with pytest.raises(OperatorNeeded, match="is a link out of its folder"):
        digest(folder, place / "cache")
    assert reads == []


def test_a_link_within_its_folder_counts_as_its_text(place: Path) -> None:
    one, two = tree(place / "one"), tree(place / "two")
    (one / "link").symlink_to("a.csv")
    (two / "link").symlink_to("b/deep/c.csv")
    assert digest(one, place / "cache") != digest(two, place / "cache")


DISTURBED: dict[str, tuple[Callable[[Path], object], str]] = {
    "written": (lambda folder: (folder / "a.csv").write_bytes(b"other"), "changed after the job was given it"),
    "replaced by one of the same size and time": (lambda folder: replaced(folder / "a.csv"), "changed after"),
    "one more file": (lambda folder: (folder / "new.csv").write_bytes(b""), "changed after"),
    "one file less": (lambda folder: (folder / "a.csv").unlink(), "changed after"),
    "gone": (lambda folder: folder.rename(folder.parent / "elsewhere"), "is not there"),
    "a link out": (lambda folder: (folder / "x").symlink_to("/etc/passwd"), "is a link out of its folder"),
}


def replaced(file: Path) -> None:
    aside = file.with_name("aside")
    shutil.copy2(file, aside)
    aside.write_bytes(file.read_bytes()[::-1])
    shutil.copystat(file, aside)
    aside.replace(file)


@pytest.mark.parametrize("how", DISTURBED)
def test_data_that_a_job_was_given_are_disturbed_when(place: Path, how: str) -> None:
    folder = tree(place / "data")
    before = data.standing(folder)
    assert data.disturbed(folder, before) == ""
    change, why = DISTURBED[how]
    change(folder)
    assert why in data.disturbed(folder, before)


def test_a_link_that_the_operator_bound_is_followed(place: Path) -> None:
    (place / "v2.csv").write_bytes(b"2")
    (place / "now.csv").symlink_to("v2.csv")
    assert digest(place / "now.csv", place / "cache") == hashlib.sha256(b"2").hexdigest()


def test_pipes_are_refused_without_waiting(place: Path) -> None:
    folder = tree(place / "data")
    os.mkfifo(folder / "pipe")
    with pytest.raises(OperatorNeeded, match="neither a file nor a folder"):
        digest(folder, place / "cache")


def test_missing_data_name_the_path_and_the_command(place: Path) -> None:
    with pytest.raises(OperatorNeeded, match=r"none\.csv is not there") as caught:
        digest(place / "none.csv", place / "cache")
    assert "dataset bind" in caught.value.step
    assert readable_by(place / "none.csv", os.getuid(), os.getgid()) == (
        f"{place}/none.csv: No such file or directory",
    )


def test_what_oneself_can_read_has_no_reason(place: Path) -> None:
    assert readable_by(tree(place / "data"), os.getuid(), os.getgid()) == ()


@as_root
def test_a_closed_file_and_each_closed_folder_on_the_way_are_named(place: Path) -> None:
    inner = place / "srv" / "private"
    inner.mkdir(parents=True)
    file = inner / "x.csv"
    file.write_bytes(b"1")
    for path, mode in ((place / "srv", 0o700), (inner, 0o750), (file, 0o600)):
        path.chmod(mode)
    assert readable_by(file, NOBODY, NOBODY) == (
        f"{place}/srv: user {NOBODY} may not pass through it (mode 0700, owner root)",
        f"{inner}: user {NOBODY} may not pass through it (mode 0750, owner root)",
        f"{file}: user {NOBODY} may not read it (mode 0600, owner root)",
    )
    assert os.geteuid() == 0


@as_root
def test_who_tries_as_the_user_holds_no_lock_of_ours(place: Path) -> None:
    """A file system that hangs would keep a killed runner's site locked."""

    def held() -> list[tuple[int, str, int]]:
        return [(number, "", 0) for number in range(3, 256) if opened(number)]

    with open(place / "lock", "wb") as lock, open(place / "door", "wb") as door:
        found = {number for number, _, _ in data._as_user(NOBODY, NOBODY, held, [door.fileno()])}
        assert door.fileno() in found
        assert lock.fileno() not in found
    assert len(found) == 2, "the other one is where the answer goes"


def opened(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


@as_root
def test_the_printed_lines_mend_it_and_no_line_is_idle(place: Path) -> None:
    folder = place / "it's here"
    file = folder / "x.csv"
    folder.mkdir(mode=0o700)
    file.write_bytes(b"1")
    file.chmod(0o600)
    lines = remedy(file, "nobody")
    assert lines == (
        f"setfacl -m u:nobody:x {shlex.quote(str(folder))}",
        f"setfacl -m u:nobody:r {shlex.quote(str(file))}",
    )
    for line in lines:
        assert readable_by(file, NOBODY, NOBODY)
        subprocess.run(shlex.split(line), check=True)
    assert readable_by(file, NOBODY, NOBODY) == remedy(file, "nobody") == ()


@as_root
def test_a_folder_is_opened_with_all_that_is_and_will_be_in_it(place: Path) -> None:
    folder = tree(place / "data")
    (folder / "b" / "deep" / "c.csv").chmod(0o600)
    (folder / "b").chmod(0o700)
    (line,) = remedy(folder, "nobody")
    assert line == f"setfacl -R -m u:nobody:rX,d:u:nobody:rX {folder}"
    subprocess.run(shlex.split(line), check=True)
    (folder / "b" / "later.csv").write_bytes(b"")
    (folder / "b" / "later.csv").chmod(0o640)
    assert readable_by(folder, NOBODY, NOBODY) == ()


@as_root
def test_a_folder_that_can_be_listed_but_not_entered_is_not_readable(place: Path) -> None:
    (place / "data").mkdir(mode=0o754)
    assert "may not read it" in readable_by(place / "data", NOBODY, NOBODY)[0]


@as_root
def test_only_the_first_faults_of_a_large_folder_are_told(place: Path) -> None:
    (place / "data").mkdir()
    for number in range(20):
        (place / "data" / f"{number}.csv").touch(0o600)
    assert len(readable_by(place / "data", NOBODY, NOBODY)) == data.MOST
    assert len(remedy(place / "data", "nobody")) == 1


@as_root
def test_the_way_to_a_link_and_the_way_to_its_target_both_count(place: Path) -> None:
    for name in ("links", "store"):
        (place / name).mkdir(mode=0o700)
    (place / "store" / "x.csv").write_bytes(b"1")
    (place / "links" / "now.csv").symlink_to(place / "store" / "x.csv")
    assert remedy(place / "links" / "now.csv", "nobody") == (
        f"setfacl -m u:nobody:x {place}/links",
        f"setfacl -m u:nobody:x {place}/store",
    )


@as_root
def test_a_pipe_in_the_folder_and_a_hung_child_stop_nobody(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tree(place / "data")
    os.mkfifo(folder / "pipe")
    assert readable_by(folder, NOBODY, NOBODY) == ()
    monkeypatch.setattr(data, "PATIENCE", 0.1)
    monkeypatch.setattr(data, "_try", lambda *_: time.sleep(60))
    assert "no answer within" in readable_by(folder, NOBODY, NOBODY)[0]


def test_an_unknown_user_is_the_operators_to_make(place: Path) -> None:
    with pytest.raises(OperatorNeeded, match="there is no user 'nosuch'"):
        remedy(place, "nosuch")
