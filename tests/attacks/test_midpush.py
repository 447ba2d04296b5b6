"""Row of the threat model: the server dies, or its disk fills, in the middle of a push."""

import fcntl
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from conftest import JOB, MAIN, Desk, Town, ok, run

pytestmark = pytest.mark.slow  # real servers that die and disks that fill

JOB_REF = "refs/heads/requests/rachel/job"


def nothing_of_it_is_visible(town: Town, commit: str, before: dict[str, str]) -> None:
    assert town.refs() == before
    assert run("git", "cat-file", "-e", commit, cwd=town.repository).code != 0
    assert run("git", "fsck", "--strict", "--no-dangling", cwd=town.repository).code == 0


@pytest.mark.parametrize("served", [False, True], ids=["the hook judges itself", "a runner serves"])
def test_the_server_dies_mid_push_and_nothing_is_visible_and_the_next_is_served(town: Town, served: bool) -> None:
    runner = _serve(town) if served else None
    try:
        rachel = town.desk("rachel")
        commit = rachel.request("rachel/job", push=False)
        before = town.refs()
        with open(town.site / "private" / "gate.lock", "w") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)  # the judge waits for its turn: the objects have come, no ref has moved
            push = subprocess.Popen(["git", "push", "-q", "origin", "HEAD"], cwd=rachel.path, stderr=subprocess.DEVNULL)
            _until(lambda: any((town.repository / "objects").glob("*incoming-*")))
            time.sleep(0.3)
            ok("pkill", "-KILL", "-f", f"git-receive-pack '{town.repository}'", cwd=town.path)
            run("pkill", "-KILL", "-f", f"receive-pack {town.repository}", cwd=town.path)
            assert push.wait(20) != 0
        time.sleep(0.5)
        nothing_of_it_is_visible(town, commit, before)
        rachel.git("push", "-q", "origin", "HEAD")
        assert town.refs()[JOB_REF] == commit
    finally:
        if runner:
            runner.terminate()
            runner.wait(20)


def _serve(town: Town) -> "subprocess.Popen[bytes]":
    import sys

    call = (sys.executable, "-m", "gitqueue", "-C", str(town.site), "serve")
    runner = subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _until((town.site / "private" / "judge").exists)
    return runner


def _until(there) -> None:  # type: ignore[no-untyped-def]
    until = time.monotonic() + 15
    while not there():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_disk_that_fills_mid_push_leaves_nothing_and_takes_the_push_when_there_is_room(town: Town) -> None:
    assert os.geteuid() == 0, "mounting a small disk needs root: sudo make test"
    full = Town(town.path / "small")
    full.path.mkdir()
    ok("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", full.path, cwd=town.path)
    try:
        shutil.copytree(town.site, full.site, symlinks=True)
        shutil.copytree(town.path / "keys", full.path / "keys")
        ok("git", "clone", "-q", full.repository, town.path / "desk", cwd=town.path)
        rachel = _desk(town, town.path / "desk")
        commit = rachel.request(
            "rachel/job", {"job.yaml": JOB, "main.py": MAIN, "big.bin": os.urandom(2 << 20)}, push=False
        )
        before = full.refs()
        filler = full.path / "filler"
        filler.write_bytes(b"x" * (shutil.disk_usage(full.path).free - (256 << 10)))
        said = rachel.refused("push", "origin", "HEAD")
        assert "No space left on device" in said
        filler.unlink()
        nothing_of_it_is_visible(full, commit, before)
        rachel.git("push", "-q", "origin", "HEAD")
        assert full.refs()[JOB_REF] == commit
    finally:
        ok("umount", "--lazy", full.path, cwd=town.path)


def _desk(town: Town, path: Path) -> Desk:
    from conftest import configure

    configure(path, "rachel", town.key("rachel"))
    return Desk("rachel", path)
