"""Collecting outputs: what a hostile job may leave behind, and what becomes of it."""

import contextlib
import itertools
import os
import random
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import pytest

from gitqueue.adapters import files
from gitqueue.errors import Tampered
from gitqueue.model import Bind, Ended, Limits, Output, Plan, Refusal

LIMITS = Limits(time=1, memory=1 << 20, cpus=1, processes=1, output=100_000, output_files=50)
TYPES = (".csv", ".txt")
Collected = tuple[dict[str, Output], dict[str, str], bool]
Collect = Callable[..., Collected]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    folder.mkdir()
    return folder


@pytest.fixture
def collect(tmp_path: Path, output: Path) -> Collect:
    """Collect from `output` into `tmp_path`/kept; refusals by name."""

    def run(declared: tuple[str, ...] = ("*",), types: tuple[str, ...] = TYPES, limits: Limits = LIMITS) -> Collected:
        outputs, refused, over = files.collect(output, declared, types, limits, tmp_path / "kept")
        return {one.name: one for one in outputs}, {one.name: one.reason for one in refused}, over

    return run


def test_a_declared_file_is_copied_and_hashed(output: Path, collect: Collect, tmp_path: Path) -> None:
    (output / "means.csv").write_bytes(b"a,b\n1,2\n")
    outputs, refused, over = collect()
    assert outputs == {"means.csv": Output("means.csv", 8, sha256(b"a,b\n1,2\n").hexdigest())}
    assert (refused, over) == ({}, False)
    assert (tmp_path / "kept/outputs/means.csv").read_bytes() == b"a,b\n1,2\n"


def test_an_empty_output_is_no_fault(collect: Collect) -> None:
    assert collect() == ({}, {}, False)


def test_folders_keep_their_shape(output: Path, collect: Collect, tmp_path: Path) -> None:
    (output / "by/group").mkdir(parents=True)
    (output / "by/group/a.csv").write_text("1")
    assert list(collect(("by/*.csv",))[0]) == ["by/group/a.csv"]
    assert (tmp_path / "kept/outputs/by/group/a.csv").exists()


@pytest.mark.parametrize(
    ("name", "declared", "said"),
    [
        ("other.csv", ("means.csv",), "not declared"),
        ("MEANS.csv", ("means.csv",), "not declared"),
        ("model.pkl", ("*",), "'.pkl' is not among"),
        ("README", ("*",), "without a suffix"),
    ],
)
def test_what_may_not_leave_is_kept_aside(
    output: Path, collect: Collect, tmp_path: Path, name: str, declared: tuple[str, ...], said: str
) -> None:
    (output / name).write_text("kept")
    outputs, refused, _ = collect(declared)
    assert outputs == {}
    assert said in refused[name]
    assert (tmp_path / "kept/undeclared" / name).read_text() == "kept"


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)


def _device(path: Path) -> None:
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root makes devices")


def _hard_link(path: Path) -> None:
    base = next(folder.parent for folder in path.parents if folder.name == "output")
    (base / "secret").write_text("secret")
    os.link(base / "secret", path)


def _holes(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(90_000)


KINDS: dict[str, tuple[Callable[[Path], None], str]] = {
    "link to a file": (lambda path: path.symlink_to("/etc/passwd"), "symbolic link"),
    "link to a folder": (lambda path: path.symlink_to("/etc"), "symbolic link"),
    "link to itself": (lambda path: path.symlink_to(path), "symbolic link"),
    "link inside": (lambda path: path.symlink_to("x"), "symbolic link"),
    "named pipe": (_fifo, "named pipe"),
    "socket": (_socket, "socket"),
    "device": (_device, "character device"),
    "hard link": (_hard_link, "several names"),
    "file with holes": (_holes, "holes"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_plain_file_is_refused_without_waiting(
    output: Path, collect: Collect, tmp_path: Path, kind: str
) -> None:
    make, said = KINDS[kind]
    make(output / "a.csv")
    outputs, refused, _ = collect()
    assert outputs == {}
    assert said in refused["a.csv"]
    assert not (tmp_path / "kept/undeclared/a.csv").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (".git", "git itself"),
        (".gitattributes", "git itself"),
        (".GIT", "git itself"),
        ("-rf.csv", "option"),
        ("a..b.csv", "'..'"),
        ("a\nb.csv", "invisible"),
        ("a\x1b[2J.csv", "invisible"),
        ("a\u202evsc.csv", "invisible"),
        ("a\u200b.csv", "invisible"),
        ("a\\b.csv", "invisible"),
        ("n" * 245 + ".csv", "more than 240"),
    ],
)
def test_a_bad_name_is_refused(output: Path, collect: Collect, name: str, said: str) -> None:
    (output / name).write_text("x")
    outputs, refused, _ = collect()
    assert outputs == {}
    assert said in next(iter(refused.values()))
    assert all(one.isprintable() for one in refused)


def test_a_name_that_is_not_utf8_is_refused_and_shown(output: Path, collect: Collect) -> None:
    (Path(os.fsdecode(bytes(output) + b"/a\xff.csv"))).write_text("x")
    outputs, refused, _ = collect()
    assert outputs == {}
    assert refused == {"a\\udcff.csv": "a name that is not UTF-8"}


def test_names_that_differ_by_case_alone_are_refused(output: Path, collect: Collect) -> None:
    (output / "A.csv").write_text("1")
    (output / "a.csv").write_text("2")
    outputs, refused, _ = collect()
    assert list(outputs) == ["A.csv"]
    assert "only by case" in refused["a.csv"]


def test_too_many_files_and_bytes_are_over_the_limit(output: Path, collect: Collect) -> None:
    for number in range(5):
        (output / f"{number}.csv").write_text("x" * 10)
    assert collect(limits=replace(LIMITS, output_files=3))[2]
    (output / "z.csv").write_text("x" * 100)


def test_too_many_bytes_are_over_the_limit(output: Path, collect: Collect) -> None:
    (output / "a.csv").write_text("x" * 60)
    (output / "b.csv").write_text("x" * 60)
    outputs, refused, over = collect(limits=replace(LIMITS, output=100))
    assert (list(outputs), over) == (["a.csv"], True)
    assert "more than 100 bytes" in refused["b.csv"]


def test_a_folder_ten_thousand_deep_is_not_descended(output: Path, collect: Collect) -> None:
    at = os.open(output, os.O_RDONLY)
    for _ in range(10_000):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    started = time.process_time()
    outputs, refused, _ = collect()
    assert outputs == {}
    assert any("deep" in reason for reason in refused.values())
    assert time.process_time() - started < 1
    subprocess.run(("rm", "-rf", output / "d"), check=True)  # pytest's own removal recurses


@pytest.mark.slow
def test_a_hundred_thousand_files_take_no_long_time(output: Path, collect: Collect) -> None:
    for number in range(100_000):
        os.close(os.open(output / f"{number}.csv", os.O_CREAT))
    started = time.process_time()
    outputs, refused, over = collect()
    assert over
    assert len(outputs) <= LIMITS.output_files
    assert len(refused) <= files.MAX_REFUSALS + 1
    assert time.process_time() - started < 2


def test_no_descriptor_is_left_open(output: Path, collect: Collect) -> None:
    (output / "a/b").mkdir(parents=True)
    (output / "a/b/c.csv").write_text("1")
    before = os.listdir("/proc/self/fd")
    collect()
    assert os.listdir("/proc/self/fd") == before


# --- random trees ---------------------------------------------------------------------------------------------------

BAD_NAMES = (
    *(b".git", b".Gitattributes", b"-rf.csv", b"a..b.csv", b"..csv", b"line\nline.csv", b"esc\x1b[2J.csv"),
    *(b"not\xffutf8.csv", b"back\\slash.csv", b"r\xe2\x80\xaetl.csv", b"z\xe2\x80\x8bw.csv", b"n" * 245 + b".csv"),
)
SUFFIXES = (".csv", ".txt", ".CSV", ".bin", "", " x.csv", "ä.csv")


@dataclass
class Grown:
    """A tree of every kind of thing. `wanted`: what may leave, with its digest; `others`: all else that is there."""

    chance: random.Random
    wanted: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    left: int = 120

    def fill(self, folder: Path, above: str, good: bool) -> None:
        for number in range(self.chance.randrange(1, 9)):
            if self.left > 0:
                self.left -= 1
                self._one(folder, above, number, good)

    def _one(self, folder: Path, above: str, number: int, good: bool) -> None:
        name = f"{number}{self.chance.choice(SUFFIXES)}"
        if self.chance.random() < 0.15:
            name, good = os.fsdecode(self.chance.choice(BAD_NAMES)), False
        path, shown = folder / name, above + name
        kind = self.chance.choice([*KINDS, *MORE, *(["plain", "folder"] * 6)])
        if os.path.lexists(path):
            return
        if kind == "folder":
            path.mkdir()
            deep = shown.count("/") >= files.MAX_DEPTH
            self.fill(path, f"{shown}/", good and not deep)
        elif kind == "plain":
            self._plain(path, shown, good)
        elif kind == "twins" and good:
            self._plain(path.with_name(f"A{number}.csv"), f"{above}A{number}.csv", good)
            self._odd(Path.touch, path.with_name(f"a{number}.csv"), f"{above}a{number}.csv")
        else:
            self._odd(KINDS[kind][0] if kind in KINDS else MORE[kind], path, shown)

    def _plain(self, path: Path, shown: str, good: bool) -> None:
        content = self.chance.randbytes(self.chance.choice([0, 1, 100, 5000]))
        path.write_bytes(content)
        if os.geteuid() == 0:
            path.chmod(self.chance.choice([0o644, 0o777, 0o000, 0o4755]))
        if good and path.suffix.lower() in TYPES and len(shown.encode()) <= files.MAX_PATH:
            self.wanted[shown] = sha256(content).hexdigest()
        else:
            self.others.append(shown)

    def _odd(self, make: Callable[[Path], None], path: Path, shown: str) -> None:
        with contextlib.suppress(OSError, pytest.skip.Exception):  # only root makes devices
            make(path)
        if os.path.lexists(path):
            self.others.append(shown)


def _block_device(path: Path) -> None:
    os.mknod(path, 0o600 | stat.S_IFBLK, os.makedev(7, 0))


def _linked_inside(path: Path) -> None:
    """The other name lies in the output as well, deeper."""
    folder = path.with_name(f"{path.name}.d")
    folder.mkdir()
    (folder / "b.csv").write_text("twice")
    os.link(folder / "b.csv", path)


MORE = {"block device": _block_device, "linked inside": _linked_inside, "twins": _fifo}


def _try_a_random_tree(base: Path, seed: int) -> None:
    output, kept = base / "output", base / "kept"
    output.mkdir()
    (base / "secret").write_text("secret")
    tree = Grown(random.Random(seed))
    tree.fill(output, "", True)
    before = len(os.listdir("/proc/self/fd"))
    outputs, refused, over = files.collect(output, ("*",), TYPES, replace(LIMITS, output=10_000_000), kept)
    assert {one.name: one.sha256 for one in outputs} == tree.wanted, seed
    named = {one.name: one.reason for one in refused}
    assert all(named.values()), seed
    assert all(name.isprintable() for name in named), seed
    for path in tree.others:  # itself, or a folder above it that was not looked into
        parts = path.split("/")
        assert any(files.shown("/".join(parts[: n + 1])) in named for n in range(len(parts))), (seed, path)
    assert not over, seed
    assert len(os.listdir("/proc/self/fd")) == before
    for copy in kept.rglob("*"):
        assert copy.is_dir() or (stat.S_ISREG(copy.lstat().st_mode) and copy.lstat().st_nlink == 1), (seed, copy)
        assert copy.is_dir() or copy.read_bytes() not in (b"secret", b"twice"), (seed, copy)


@pytest.mark.parametrize("seed", range(12))
def test_random_hostile_trees_yield_only_what_may_leave_and_name_the_rest(tmp_path: Path, seed: int) -> None:
    _try_a_random_tree(tmp_path, seed)


@pytest.mark.storm
def test_a_minute_of_random_hostile_trees(tmp_path: Path) -> None:
    until = time.monotonic() + 60
    for seed in itertools.count(random.SystemRandom().randrange(1 << 32)):
        if time.monotonic() > until:
            break
        base = tmp_path / "one"
        base.mkdir()
        _try_a_random_tree(base, seed)
        subprocess.run(("rm", "-rf", base), check=True)


# --- records --------------------------------------------------------------------------------------------------------

PLAN = Plan(
    command=("python", "main.py"),
    job="/j",
    binds=(Bind("/s", "/data/t"),),
    environment=(("A", "b"),),
    limits=LIMITS,
    declared=("*.csv",),
    types=(".csv",),
    uid=1,
    gid=None,
)
ENDED = Ended("", 0, 1.5, 2.5, 1.0, (Output("a", 1, "00"),), (Refusal("b", "no"),), (("time", "clock"),), ("bwrap",))


def test_records_come_back_as_they_were_written() -> None:
    assert files.plan(files.encode(PLAN)) == PLAN
    assert files.ended(files.encode(ENDED)) == ENDED


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (b'"reason": ""', b'"reason": null'),
        (b'"reason": ""', b'"reason": "", "reason": "x"'),
        (b'"reason": ""', b'"reason": "", "more": 1'),
        (b'"reason": "",', b""),
        (b'"exit_code": 0', b'"exit_code": "0"'),
        (b'"exit_code": 0', b'"exit_code": true'),
        (b'"exit_code": 0', b'"exit_code": 0.5'),
        (b'"outputs": [', b'"outputs": [7, '),
        (b'"time",', b'"time", "too", '),
        (b"{", b""),
        (b"}", b"} x"),
    ],
)
def test_an_unusual_record_is_tampered(was: bytes, becomes: bytes) -> None:
    content = files.encode(ENDED)
    assert was in content
    with pytest.raises(Tampered):
        files.ended(content.replace(was, becomes, 1))


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record"
    files.write_atomic(path, b"old")

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
