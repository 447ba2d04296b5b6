"""The wheel in a clean virtual environment makes a site and runs a job: nothing of the checkout is needed."""

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import configure

from gitqueue import __version__

ROOT = Path(__file__).parents[1]
JOB = b"name: Counts\nrun: python main.py\noutputs: [counts.csv]\n"
MAIN = b"import os\nopen(os.environ['GITQUEUE_OUTPUT'] + '/counts.csv', 'w').write('n\\n42\\n')\n"
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Installed:
    """A wheel, and a folder with a virtual environment that holds nothing else."""

    wheel: Path
    base: Path

    def run(self, *argv: str | Path, cwd: Path | None = None) -> str:
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        env = {**kept, "PATH": f"{self.base / 'venv' / 'bin'}:/usr/sbin:/usr/bin:/bin"}
        words = [str(word) for word in argv]
        done = subprocess.run(words, cwd=cwd or self.base, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed() -> Iterator[Installed]:
    with tempfile.TemporaryDirectory(prefix="gitqueue-wheel-", dir="/tmp") as name:
        base = Path(name)
        base.chmod(0o755)
        build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", base]
        subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
        found = Installed(next(base.glob("*.whl")), base)
        uv = Path(sys.executable).with_name("uv")  # a third of pip's time
        found.run(uv, "venv", "-q", "--python", sys.executable, "venv")
        found.run(uv, "pip", "install", "-q", "--python", "venv/bin/python", found.wheel)
        for who in ("owen", "rachel"):
            found.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", who, "-f", base / who)
        yield found


def test_it_carries_the_hooks_and_every_template(installed: Installed) -> None:
    carried = set(zipfile.ZipFile(installed.wheel).namelist())
    for kind in ("hooks", "templates"):
        files = [path for path in (ROOT / kind).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        assert {f"gitqueue/_{kind}/{path.relative_to(ROOT / kind)}" for path in files} <= carried
    assert not [name for name in carried if name.startswith("tests/")]


def test_its_command_says_its_version(installed: Installed) -> None:
    assert installed.run("gitqueue", "version").strip() == f"gitqueue {__version__}"


def test_it_makes_a_site_takes_a_push_and_runs_a_job(installed: Installed) -> None:
    base = installed.base
    installed.run(
        "gitqueue", "init", "centre", "--owner", "owen", "--email", "owen@uni.example", "--key", base / "owen"
    )
    for who in ("owen", "rachel"):
        installed.run("git", "clone", "-q", "centre/site.git", f"{who}-desk")
        configure(base / f"{who}-desk", who, base / who)
    installed.run("gitqueue", "person", "add", "rachel", "--key", base / "rachel.pub", cwd=base / "owen-desk")

    asked = request(installed, base / "rachel-desk")
    assert "rachel/counts is pending" in asked
    approved = installed.run("gitqueue", "approve", "rachel/counts", "-m", "Fine", cwd=base / "owen-desk")
    assert "rachel/counts is approved" in approved
    assert "rachel/counts is completed" in installed.run("gitqueue", "-C", "centre", "serve", "--once")
    installed.run("gitqueue", "results", "rachel/counts", "-o", base / "got", cwd=base / "rachel-desk")
    assert (base / "got" / "counts.csv").read_text() == "n\n42\n"


def test_its_site_runs_its_own_interpreter(installed: Installed) -> None:
    installed.run("gitqueue", "init", "other", "--owner", "owen", "--email", "owen@uni.example", "--key", "owen")
    stub = (installed.base / "other" / "site.git" / "hooks" / "pre-receive").read_text()
    assert f"{installed.base}/venv/bin/python" in stub


def request(installed: Installed, desk: Path) -> str:
    installed.run("git", "fetch", "-q", cwd=desk)
    installed.run("git", "switch", "-q", "-c", "requests/rachel/counts", "--no-track", "origin/approved", cwd=desk)
    folder = desk / "jobs" / "rachel" / "counts"
    folder.mkdir(parents=True)
    (folder / "job.yaml").write_bytes(JOB)
    (folder / "main.py").write_bytes(MAIN)
    installed.run("git", "add", "jobs", cwd=desk)
    installed.run("git", "commit", "-q", "-S", "-m", "Count", cwd=desk)
    return installed.run("git", "push", "origin", "HEAD", cwd=desk)
