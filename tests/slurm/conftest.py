"""A real Slurm for this session, and sites and folders whose jobs run on it."""

import contextlib
import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Town, ok, reachable

from gitqueue.adapters import files
from gitqueue.adapters.executors.slurm import Slurm
from gitqueue.model import Ended, Limits, Plan
from gitqueue.rules.policy import Seconds, SlurmExecutor

SCRIPT = Path(__file__).parent / "cluster.sh"


def slurm(*argv: str) -> str:
    """One of Slurm's own programs; what it says."""
    return ok(*argv, cwd=Path("/"))


def until(true: Callable[[], object], what: str, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{what}: not within {seconds} s\n{slurm('squeue', '--states=all')}"
        time.sleep(0.05)


def states() -> list[str]:
    """What Slurm calls the states of all our submissions that it remembers, oldest first."""
    lines = slurm("squeue", "--noheader", "--states=all", "--sort=i", "--format=%j %T").splitlines()
    return [state for name, state in (line.split() for line in lines) if name.startswith("gitqueue-")]


@pytest.fixture(scope="session")
def started(fence: None) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("a cluster of one's own needs root")
    with reachable() as base:
        done = subprocess.run(
            [SCRIPT, "start", base / "slurm"], env={**os.environ, "PORT": str(_ports(3))}, stderr=subprocess.PIPE
        )
        try:
            assert done.returncode == 0, f"no Slurm could be started: {done.stderr.decode()}"
            yield base / "slurm"
        finally:
            subprocess.run([SCRIPT, "stop", base / "slurm"], check=True)


@pytest.fixture
def cluster(started: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The session's cluster, with an empty queue. Its jobs are gone afterwards, and its nodes there."""
    monkeypatch.setenv("SLURM_CONF", str(started / "slurm.conf"))
    seen = len(states())
    monkeypatch.setattr("slurm.conftest._seen", seen)
    yield started
    slurm("scancel", "--quiet", "--partition=main")
    for node in ("n1", "n2"):
        with contextlib.suppress(AssertionError):  # it is not down
            slurm("scontrol", "update", f"nodename={node}", "state=resume")
    until(lambda: not slurm("squeue", "--noheader"), "an empty queue")


_seen = 0


def came_to(*wanted: str) -> None:
    """Wait until Slurm calls what this test submitted, oldest first, by these words and no more."""
    until(lambda: tuple(states()[_seen:]) == wanted, f"{wanted[:3]}")


@pytest.fixture
def far(cluster: Path, town: Town) -> Town:
    """A town whose site runs its jobs on the cluster."""
    runs_on(town, "")
    return town


def runs_on(town: Town, more: str) -> None:
    settings = town.site / "private" / "runner.yaml"
    lines = [line for line in settings.read_text().splitlines() if not line.startswith("executor:")]
    settings.write_text("\n".join([*lines, f"executor: {{kind: slurm, poll: 0.2s{more}}}", ""]))


@pytest.fixture
def spool(cluster: Path) -> Iterator[Path]:
    with reachable() as base:
        yield base


def executor(**settings: object) -> Slurm:
    return Slurm(SlurmExecutor(poll=Seconds(0.3), **settings))  # type: ignore[arg-type]


def plan(folder: Path, script: str) -> Plan:
    """A plan for a folder that is made with the job in it."""
    folder.mkdir(mode=0o711)
    files.lay_out(folder / "job", [("main.sh", True, script.encode())])
    user = pwd.getpwnam("nobody")
    limits = Limits(time=60.0, memory=2**28, cpus=1.0, processes=64, output=2**20, output_files=10)
    return Plan(
        ("/bin/sh", "main.sh"), str(folder / "job"), (), (), limits, ("*",), (".txt",), user.pw_uid, user.pw_gid
    )


def standing(place: Slurm, folder: Path) -> str:
    return place.standings([folder])[folder]


def ended(place: Slurm, folder: Path) -> Ended:
    """The record of a job, as soon as the executor says that there is one."""
    until(lambda: standing(place, folder) == "ended", f"the end of {folder}")
    return files.ended((folder / "ended.json").read_bytes())


@contextlib.contextmanager
def away(cluster: Path) -> Iterator[None]:
    """While Slurm's controller is not there."""
    controller = int((cluster / "state" / "slurmctld.pid").read_text())
    os.kill(controller, signal.SIGTERM)
    until(lambda: free(_port(cluster)), "the controller's end")
    try:
        yield
    finally:
        again = ("setpriv", "--reuid", "slurm", "--regid", "slurm", "--clear-groups", "/usr/sbin/slurmctld")
        slurm(*again, "-f", str(cluster / "slurm.conf"))
        until(lambda: not free(_port(cluster)), "the controller's return")


def _port(cluster: Path) -> int:
    return int((cluster / "slurm.conf").read_text().partition("SlurmctldPort=")[2].split()[0])


def free(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) != 0


def _ports(count: int) -> int:
    """The first of some free ports in a row, below those that the kernel hands out."""
    start = 16000 + os.getpid() % 4000 * 4
    return next(base for base in range(start, 32000, 4) if all(free(base + one) for one in range(count)))
