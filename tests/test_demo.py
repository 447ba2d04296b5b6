"""`make demo`: the story runs whole, says the true numbers, fits the screen and the minute, and can be gone on with."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[1] / "examples" / "demo.py"
Played = tuple[Path, str, float]
pytestmark = pytest.mark.slow


def play(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, DEMO, folder], capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    """The folder that it leaves, what it printed, and the seconds that it took."""
    # Not below pytest's folder: any pytest that starts on this machine makes that 0700 again, and no job may pass.
    with tempfile.TemporaryDirectory(prefix="gitqueue-demo-", dir="/tmp") as name:
        since = time.monotonic()
        done = play(Path(name))
        assert done.returncode == 0, "\n".join([*done.stdout.splitlines()[-20:], done.stderr])
        yield Path(name), done.stdout, time.monotonic() - since


def somebody(folder: Path, who: str, *argv: str) -> str:
    done = subprocess.run([folder / "as", who, *argv], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{argv}: {done.stdout}\n{done.stderr}"
    return done.stdout


def test_it_shows_the_real_numbers_and_a_mock_that_says_nothing(played: Played) -> None:
    _, said, _ = played
    mock = re.search(r"accuracy: \{'train': (0\.\d+), 'test': (0\.\d+)\}", said)
    assert mock is not None
    assert max(float(mock[1]), float(mock[2])) < 0.7
    assert said.count('{"train": 0.9859, "test": 0.972}') == 2  # by gitqueue, and by plain git and age
    assert re.search(r"radius\s+█+\s+12\.15\s+█+\s+17\.46", said)


def test_it_fits_the_screen(played: Played) -> None:
    assert [line for line in played[1].splitlines() if len(line) > 80] == []
    assert "\033" not in played[1]


def test_it_leaves_a_site_where_every_job_stands_as_told(played: Played) -> None:
    folder, _, _ = played
    listed = somebody(folder, "owen", "gitqueue", "list", "--all")
    states = dict(re.findall(r"^(rachel/\S+) +(\S+)", listed, re.MULTILINE))
    assert states == {"rachel/accuracy": "completed", "rachel/bc-mean": "completed", "rachel/rows": "rejected"}
    assert (folder / "rachel" / "bc-mean" / "means.png").read_bytes().startswith(b"\x89PNG")
    assert "the chain holds: 2 approvals" in somebody(folder, "owen", "gitqueue", "verify")


def test_its_runner_has_stopped(played: Played) -> None:
    status = somebody(played[0], "owen", "gitqueue", "-C", "../cancer-centre", "status")
    assert "runner: none" in status


def test_what_it_says_to_try_next_works(played: Played) -> None:
    folder, said, _ = played
    lines = re.findall(r"^ {4}\./as (\w+) ([^#\n]+)", said, re.MULTILINE)
    assert len(lines) >= 9
    for who, words in lines:
        somebody(folder, who, *words.split())
    assert "completed" in somebody(folder, "rachel", "gitqueue", "show", "mine")


def test_a_folder_that_is_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    done = play(tmp_path)
    assert done.returncode == 1
    assert f"{tmp_path} is not empty" in done.stderr
    assert os.listdir(tmp_path) == ["mine"]
