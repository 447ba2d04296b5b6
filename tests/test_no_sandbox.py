"""`test --no-sandbox`: only where there can be no sandbox, never beside a site, and loudly."""

from pathlib import Path

import pytest
from conftest import JOB, MAIN, Desk, done

from gitqueue.adapters import sandbox

SAID = MAIN + b"import sys; print('to you', file=sys.stderr); print(sys.argv[1:], os.getcwd().endswith('/job'))\n"


@pytest.fixture
def away(rachel: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Desk:
    """Rachel at home, on a machine without bubblewrap, with a job of hers."""
    rachel.request(
        "rachel/job", {"job.yaml": JOB.replace(b"main.py", b"main.py /data/cancer"), "main.py": SAID}, push=False
    )
    rachel.git("remote", "set-url", "origin", "ssh://far.example/centre/site.git")
    monkeypatch.setattr(sandbox, "PROGRAM", str(tmp_path / "bwrap"))
    return rachel


def test_it_runs_on_mock_data_and_says_that_nothing_protects(away: Desk, tmp_path: Path) -> None:
    said = done(away.gitqueue("test", "--no-sandbox", "--offline", "-o", tmp_path / "kept"))
    assert "WARNING: no sandbox" in said.err
    assert "to you" in said.out
    assert "/data/cancer'] True" in said.out
    assert (tmp_path / "kept/means.csv").read_bytes() == b"feature,mean,n\nradius,12.00,40\n"


def test_without_the_word_nothing_runs_and_the_remedy_comes_first(away: Desk) -> None:
    said = away.gitqueue("test", "--offline")
    assert said.code == 5
    assert "apt-get install bubblewrap" in said.err
    assert "--no-sandbox" in said.err
    assert "to you" not in said.out


def test_where_the_sandbox_works_it_is_refused(away: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "PROGRAM", "/usr/bin/bwrap")
    said = away.gitqueue("test", "--no-sandbox", "--offline")
    assert "is for machines that cannot sandbox; this one can" in said.err
    assert "to you" not in said.out


def test_beside_a_site_it_is_refused(away: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    away.git("remote", "set-url", "origin", str(away.path.parents[1] / "centre/site.git"))
    said = away.gitqueue("test", "--no-sandbox")
    assert said.code == 3
    assert "holds the site itself" in said.err


def test_its_end_is_told_as_what_it_was(away: Desk) -> None:
    for program, reason in {
        "raise SystemExit(3)": "exit-code 3",
        "import os; os.kill(os.getpid(), 9)": "signal",
        "import os, time\nos.fork()\nwhile True: time.sleep(1)": "time-limit",
    }.items():
        away.write(
            {"jobs/rachel/job/main.py": program.encode(), "jobs/rachel/job/job.yaml": JOB + b"limits: {time: 1s}\n"}
        )
        assert f"the run failed: {reason}" in away.gitqueue("test", "--no-sandbox", "--offline").err
