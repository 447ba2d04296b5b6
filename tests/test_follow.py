"""Following a job from a clone, and its log at the site."""

import os
import re
import subprocess
import sys

import pytest
from conftest import JOB, MAIN, Desk, Town
from test_service import serving, until


def following(desk: Desk | None, town: Town, *words: str) -> "subprocess.Popen[str]":
    call = (sys.executable, "-m", "gitqueue", "-C", str(desk.path if desk else town.site), *words)
    return subprocess.Popen(
        call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )


def asked(town: Town, main: bytes = MAIN) -> str:
    return town.desk("rachel").request("rachel/job", {"job.yaml": JOB, "main.py": main})


ENDS = {
    "its own failure": (b"raise SystemExit(3)\n", 1, "rachel/job is failed: exit-code"),
    "the site's fault": (MAIN, 5, "rachel/job is failed: site-fault"),
}


@pytest.mark.parametrize(("main", "code", "words"), ENDS.values(), ids=ENDS)
def test_watch_ends_with_a_code_for(town: Town, main: bytes, code: int, words: str) -> None:
    if code == 5:
        (town.path / "data" / "features.csv").unlink()
        settings = town.site / "private" / "runner.yaml"
        settings.write_text(re.sub(r"features: \S+", "features: /nowhere", settings.read_text()))
    town.desk("owen").approve(asked(town, main))
    town.serve()
    watched = town.desk("rachel").gitqueue("watch", "job")
    assert (watched.code, words in watched.err) == (code, True), watched.err


def test_a_log_is_told_as_it_grows_each_line_once_to_its_end(town: Town) -> None:
    town.desk("owen").approve(
        asked(town, b"import time\nfor n in range(8):\n    print(f'line {n} \\x1b[1m', flush=True); time.sleep(0.3)\n")
    )
    with serving(town) as runner:
        until(runner, lambda line: b"is running" in line)
        log = following(None, town, "logs", "rachel/job", "-f")
        assert log.stdout is not None
        first = log.stdout.readline()
        assert (town.site / "spool" / "rachel+job+1").exists(), "it is told while it runs"
        rest = log.stdout.read()
        log.wait(10)
        lines = [line.split(" ", 2)[2] for line in (first, *rest.splitlines())]
    assert [line.strip() for line in lines] == [f"line {n} \\u001b[1m" for n in range(8)]
    assert log.returncode == 0
