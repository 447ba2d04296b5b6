"""A site whose jobs run on a cluster: a real Slurm of two nodes, and a runner that may die at any moment."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import JOB, Town, ok

from slurm.conftest import came_to, runs_on, slurm, until

WRITE = "import os; open(os.environ['GITQUEUE_OUTPUT'] + '/means.csv', 'w').write('a,b\\nx,12.5\\n')\n"
SLEEP = "import time; time.sleep(600)"
pytestmark = pytest.mark.slow


def asked(town: Town, main: str = WRITE, extra: bytes = b"") -> None:
    revision = town.desk("rachel").request("rachel/job", {"job.yaml": JOB + extra, "main.py": main.encode()})
    town.desk("owen").approve(revision)


def state(town: Town) -> tuple[str, str | None]:
    row = json.loads(town.gitqueue("show", "rachel/job", "--json").out)
    return row["state"], row["reason"]


def serving(town: Town, dying: str = "") -> "subprocess.Popen[bytes]":
    """A runner in a process of its own; `dying`: lines that make it kill itself with signal 9 somewhere."""
    words = ("-c", DYING.format(dying)) if dying else ("-m", "gitqueue")
    call = (sys.executable, *words, "-C", str(town.site), "serve")
    return subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


DYING = """
import os
from gitqueue import cli
from gitqueue.adapters.executors import slurm
from gitqueue.steps import publish
real = slurm.command
def die(): os.kill(os.getpid(), 9)
def submits(words): return words[0] == "sbatch" and "--version" not in words
{}
cli.main()
"""


def folder(town: Town) -> Path:
    return town.site / "spool" / "rachel+job+1"


def test_a_job_runs_on_a_node_under_its_limits_and_its_results_come_back(far: Town) -> None:
    runs_on(far, ", partition: main, extra: [--comment=gitqueue]")
    asked(far, extra=b"limits: {time: 5m, memory: 1GiB, cpus: 1}\n")
    far.serve()
    assert state(far) == ("completed", None)
    came_to("COMPLETED")
    job = slurm("scontrol", "show", "job", "--oneliner").splitlines()[-1]
    wanted = (
        "TimeLimit=00:07:00",
        "MinMemoryNode=1170M",
        "NumCPUs=1",
        "Requeue=0",
        "Partition=main",
        "Comment=gitqueue",
    )
    assert [one for one in wanted if one not in job] == []
    assert "rachel" not in job.replace(str(folder(far)), ""), "other users of the cluster see it"
    assert not folder(far).exists()


WAYS = {
    "its time is up": (SLEEP, b"limits: {time: 1s}\n", ("failed", "time-limit")),
    "it takes too much memory": ("x = b'x' * 2**30", b"limits: {memory: 64MiB}\n", ("failed", "memory-limit")),
    "it ends itself": ("raise SystemExit(3)", b"", ("failed", "exit-code")),
}


@pytest.mark.parametrize(("main", "extra", "end"), WAYS.values(), ids=WAYS)
def test_a_job_on_a_node_is_ended_and_named_when(far: Town, main: str, extra: bytes, end: tuple[str, str]) -> None:
    asked(far, main, extra)
    far.serve()
    assert state(far) == end


# What the runner dies at, and what Slurm has been given by then.
DEATHS = {
    "before the submission": "slurm.command = lambda *words, **more: die() if submits(words) else real(*words, **more)",
    "between the submission and its note": (
        "slurm.command = lambda *words, **more: (real(*words, **more), submits(words) and die())[0]"
    ),
    "when it begins to collect": "publish.finish = lambda *_: die()",
}


@pytest.mark.parametrize("dying", DEATHS.values(), ids=DEATHS)
def test_a_runner_killed_at_any_boundary_loses_nothing_and_runs_nothing_twice(far: Town, dying: str) -> None:
    asked(far)
    assert serving(far, dying).wait(30) == -9
    assert state(far)[0] == "running"
    far.serve()
    assert state(far) == ("completed", None)
    came_to("COMPLETED")
    assert not folder(far).exists()
    count = ok("git", "rev-list", "--count", "approved..results/rachel/job", cwd=far.repository)
    assert count == "2", "the claim, and one end"


def test_a_runner_killed_while_its_job_waits_and_runs_takes_it_up_again(far: Town) -> None:
    runs_on(far, ", extra: [--hold]")
    asked(far, "import time; time.sleep(1)\n" + WRITE)
    runner = serving(far)
    until((folder(far) / "submitted").exists, "the submission")
    runner.kill()
    runner.wait()
    runner = serving(far)
    slurm("scontrol", "release", (folder(far) / "submitted").read_text())
    until((folder(far) / "taken").exists, "the start")
    runner.kill()
    runner.wait()
    far.serve()
    assert state(far) == ("completed", None)
    came_to("COMPLETED")


def test_a_cancelled_job_leaves_slurms_queue_or_ends_on_its_node(far: Town) -> None:
    for hold in ("", ", extra: [--hold]"):
        runs_on(far, hold)
        name = "held" if hold else "begun"
        revision = far.desk("rachel").request(f"rachel/{name}", {"job.yaml": JOB, "main.py": SLEEP.encode()})
        far.desk("owen").approve(revision)
        runner = serving(far)
        place = far.site / "spool" / f"rachel+{name}+1"
        until((place / ("submitted" if hold else "taken")).exists, "the job")
        assert far.desk("rachel").gitqueue("cancel", name).code == 0
        until(lambda place=place: not place.exists(), "the end")
        runner.kill()
        runner.wait()
        assert json.loads(far.gitqueue("show", f"rachel/{name}", "--json").out)["state"] == "cancelled"
    came_to("COMPLETED", "CANCELLED")


LOST = {
    "its node is lost": lambda job, node: slurm("scontrol", "update", f"nodename={node}", "state=down", "reason=test"),
    "somebody ends it in Slurm": lambda job, node: slurm("scancel", job),
    "Slurm is made to start it again": lambda job, node: (
        slurm("scontrol", "update", f"jobid={job}", "requeue=1"),
        slurm("scontrol", "requeue", job),
    ),
}


@pytest.mark.parametrize("lose", LOST.values(), ids=LOST)
def test_a_job_is_interrupted_and_no_failure_of_its_own_when(far: Town, lose: object) -> None:
    asked(far, SLEEP)
    runner = serving(far)
    until((folder(far) / "taken").exists, "the start")
    job = (folder(far) / "submitted").read_text()
    lose(job, slurm("squeue", "--noheader", f"--jobs={job}", "--format=%N"))  # type: ignore[operator]
    until(lambda: not folder(far).exists(), "the end")
    runner.kill()
    runner.wait()
    assert state(far) == ("interrupted", None)


def test_what_slurm_refuses_is_the_sites_own_fault_and_its_words_are_told(far: Town) -> None:
    runs_on(far, ", partition: nowhere")
    asked(far)
    said = far.serve().err
    assert state(far) == ("failed", "site-fault")
    assert "Invalid partition name specified" in said
    assert "docs/slurm.md" in said
