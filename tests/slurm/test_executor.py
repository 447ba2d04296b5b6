"""The executor itself, against a real Slurm: what it asks, and what it makes of the answers."""

import os
import pwd
import signal
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import sshd
from conftest import ok

from gitqueue.adapters import files
from gitqueue.adapters.executors import slurm
from gitqueue.adapters.executors.slurm import Slurm, Trace, verdict
from gitqueue.rules.documents import Seconds
from gitqueue.rules.policy import SlurmExecutor
from slurm.conftest import away, came_to, ended, executor, plan, standing, until

WAITS, RUNS = frozenset({"PENDING"}), frozenset({"RUNNING"})
NEW, SENT = Trace("n", False, False, False), Trace("n", True, False, False)
BEGUN, STOPPED = Trace("n", True, True, False), Trace("n", True, True, True)
CALLED_OFF = Trace("n", True, False, True)

pytestmark = pytest.mark.slow

VERDICTS = [
    (WAITS, SENT, "running"),
    (RUNS, BEGUN, "running"),
    (frozenset({"COMPLETING"}), BEGUN, "running"),
    (frozenset({"A_NEW_WORD"}), BEGUN, "running"),
    (RUNS | WAITS, BEGUN, "running"),  # submitted twice: the second will find it begun
    (RUNS, STOPPED, "running"),
    (WAITS, CALLED_OFF, "running"),  # until Slurm has taken it out of its queue
    (WAITS, BEGUN, "dead"),
    (frozenset({"REQUEUE_HOLD"}), BEGUN, "dead"),
    (frozenset(), NEW, "submit"),
    (frozenset(), SENT, "dead"),
    (frozenset(), BEGUN, "dead"),
    (frozenset(), Trace("n", False, True, False), "dead"),
    (frozenset(), Trace("n", False, False, True), "cancelled"),
    (frozenset({"CANCELLED"}), CALLED_OFF, "cancelled"),
    (frozenset({"CANCELLED"}), STOPPED, "cancelled"),
    (frozenset({"CANCELLED"}), BEGUN, "dead"),
    (frozenset({"CANCELLED"}), SENT, "dead"),
    (frozenset({"NODE_FAIL"}), BEGUN, "dead"),
    (frozenset({"NODE_FAIL"}), SENT, "dead"),
    (frozenset({"PREEMPTED"}), BEGUN, "dead"),
    (frozenset({"COMPLETED"}), BEGUN, "dead"),
    (frozenset({"FAILED"}), BEGUN, "dead"),
    (frozenset({"FAILED"}), SENT, "site-fault"),
    (frozenset({"TIMEOUT"}), BEGUN, "time-limit"),
    (frozenset({"TIMEOUT"}), SENT, "site-fault"),
    (frozenset({"OUT_OF_MEMORY"}), BEGUN, "memory-limit"),
    (frozenset({"OUT_OF_MEMORY", "COMPLETED"}), BEGUN, "memory-limit"),
]


@pytest.mark.parametrize(("states", "trace", "word"), VERDICTS)
def test_what_has_become_of_a_job_without_a_record(states: frozenset[str], trace: Trace, word: str) -> None:
    assert verdict(states, trace) == word


def test_two_hundred_waiting_jobs_cost_one_question(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seldom = SlurmExecutor(poll=Seconds(60), extra=("--hold",))
    place, folders = Slurm(seldom), [spool / f"job-{number}" for number in range(200)]
    for folder in folders:
        place.start(folder, plan(folder, "true"))
    asked: list[str] = []
    real = slurm.command
    monkeypatch.setattr(slurm, "command", lambda *words, **more: (asked.append(words[0]), real(*words, **more))[1])
    for another in (place, Slurm(seldom)):  # the runner that submitted them, and one that finds them
        assert set(another.standings(folders).values()) == {"running"}
        another._asked["squeue"].result()
        assert asked == ["squeue"]
        assert set(another.standings(folders).values()) == {"running"}
        another._asker.shutdown()
        assert asked == ["squeue"], "asked again at once"
        asked.clear()
    came_to(*["PENDING"] * 200)


def test_a_controller_that_hangs_holds_nobody_up(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, folder, answered, asked = executor(), spool / "job", threading.Event(), list[str]()
    place.start(folder, plan(folder, "sleep 600"))
    until((folder / "taken").exists, "the start")
    real = slurm.command

    def hanging(*words: str, **more: str) -> str:
        asked.append(words[0])
        assert answered.wait(30), "the loop waited for the answer"
        return real(*words, **more)

    monkeypatch.setattr(slurm, "command", hanging)
    for _ in range(3):
        assert standing(place, folder) == "running"
        place.cancel(folder)
    assert asked == ["squeue"]
    answered.set()
    assert ended(place, folder).reason == "cancelled"
    until(lambda: asked.count("scancel") == 1, "the cancel")


def test_a_job_that_was_submitted_twice_runs_once(spool: Path) -> None:
    place, folder = executor(), spool / "job"
    place.start(folder, plan(folder, "echo ran; sleep 1"))
    place._submit(folder)
    assert ended(place, folder).reason == ""
    came_to("COMPLETED", "COMPLETED")
    assert (folder / "log").read_text().count("ran") == 1
    assert "was begun before" in (folder / "supervisor.log").read_text()


def test_a_job_that_was_called_off_before_it_began_cannot_begin_any_more(spool: Path) -> None:
    place, folder = executor(extra=("--hold",)), spool / "job"
    place.start(folder, plan(folder, "echo ran"))
    place.cancel(folder)
    assert ended(place, folder).reason == "cancelled"
    (folder / "cancel").unlink()
    executor()._submit(folder)
    came_to("CANCELLED", "COMPLETED")
    assert not (folder / "log").exists()


def test_a_node_that_cannot_start_the_supervisor_is_the_sites_fault(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitqueue.adapters.executors.spool.words", lambda _: ("/nowhere/python",))
    place, folder = executor(), spool / "job"
    place.start(folder, plan(folder, "true"))
    found = ended(place, folder)
    assert (found.reason, "/nowhere/python" in found.detail) == ("site-fault", True)


def test_a_job_that_slurm_kills_has_slurms_reason(spool: Path) -> None:
    place, folder = executor(), spool / "job"
    place.start(folder, plan(folder, "sleep 60"))
    until((folder / "taken").exists, "the start")
    for process in Path("/proc").glob("[0-9]*/cmdline"):  # as a node does that runs out of memory
        if str(folder).encode() in process.read_bytes().split(b"\0"):
            os.kill(int(process.parts[2]), signal.SIGKILL)
    came_to("FAILED")
    until(lambda: standing(place, folder) == "dead", "the verdict")


def test_while_slurm_is_away_nothing_fails_and_submissions_are_made_up_for(cluster: Path, spool: Path) -> None:
    place, before, during = executor(), spool / "before", spool / "during"
    place.start(before, plan(before, "sleep 600"))
    until((before / "taken").exists, "the start")
    with away(cluster):
        place.start(during, plan(during, "true"))
        assert place.standings([before, during]) == {before: "running", during: "running"}
        assert not (during / "submitted").exists()
    assert ended(place, during).reason == ""
    assert standing(place, before) == "running"
    place.cancel(before)
    assert ended(place, before).reason == "cancelled"
    came_to("COMPLETED", "COMPLETED")


def test_a_submission_that_a_busy_controller_drops_is_made_again(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, folder, real = executor(), spool / "job", slurm.command
    dropped = ["Socket timed out on send/recv operation"] * 2

    def busy(*words: str, **more: str) -> str:
        if words[0] == "sbatch" and dropped:
            raise subprocess.CalledProcessError(1, words, "", dropped.pop())
        return real(*words, **more)

    monkeypatch.setattr(slurm, "command", busy)
    place.start(folder, plan(folder, "true"))
    assert ended(place, folder).reason == ""
    came_to("COMPLETED")


PERSON = """
import os, sys, time
from pathlib import Path
from gitqueue.adapters import files
from gitqueue.adapters.executors.slurm import Slurm
from gitqueue.rules.policy import SlurmExecutor
folder, place = Path(sys.argv[1]), Slurm(SlurmExecutor(poll=0.3))
place.start(folder, files.plan((folder / "wanted.json").read_bytes()))
while place.standings([folder])[folder] == "running": time.sleep(0.1)
"""


def test_without_root_the_supervisor_on_the_node_is_the_sites_account(spool: Path) -> None:
    folder = spool / "job"
    wanted = replace(plan(folder, "id -u; grep NoNewPrivs /proc/self/status"), uid=None, gid=None)
    (folder / "wanted.json").write_bytes(files.encode(wanted))
    ok("chown", "-R", "daemon:", folder, cwd=spool)
    words = ("setpriv", "--reuid=daemon", "--regid=daemon", "--clear-groups", sshd._interpreter(spool), "-c", PERSON)
    ok(*words, folder, cwd=Path(__file__).parents[2])
    assert (folder / "ended.json").stat().st_uid == pwd.getpwnam("daemon").pw_uid
    assert files.ended((folder / "ended.json").read_bytes()).reason == ""
    assert "NoNewPrivs:\t1" in (folder / "log").read_text()
