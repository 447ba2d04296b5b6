"""A job's log while it is written: who follows it reads each line once, whatever a flood does to the file."""

from contextlib import closing
from pathlib import Path

import pytest

from gitqueue.adapters import logs
from gitqueue.adapters.logs import Follower, Log


def test_lines_are_there_as_soon_as_they_are_whole(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    follower = Follower(path)
    assert follower.look() == ""
    with closing(Log(path, 1 << 20)) as log:
        log.feed("out", b"one\ntw")
        assert follower.look().endswith("Z out one\n")
        log.feed("err", b"oh\n")
        log.feed("out", b"o\n")
        assert [line.split(" ", 1)[1] for line in follower.look().splitlines()] == ["err oh", "out two"]
        assert follower.look() == ""
    assert follower.look() == ""


def test_in_a_flood_each_line_is_told_once_in_order_and_what_was_left_out_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "TAIL_EVERY", 0)
    path = str(tmp_path / "log")
    follower, told = Follower(path), ""
    with closing(Log(path, 8_000)) as log:
        for number in range(3_000):
            log.feed("out", b"line %d\n" % number)
            log.tick()
            if number % 7 == 0 and not 1_000 < number < 2_000:  # it looks away for a while
                told += follower.look()
    told += follower.look()
    seen = [int(line.rsplit(" ", 1)[1]) for line in told.splitlines() if not line.startswith("…")]
    assert seen == sorted(set(seen))
    assert seen[:500] == list(range(500))
    assert seen[-1] == 2_999
    assert set(range(2_010, 3_000)) <= set(seen)
    assert "bytes left out" in told
