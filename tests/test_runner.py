"""The runner: what it runs, what it never runs, and how a job's refs tell where it stands."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import JOB, Desk, Town, done, ok, run

from gitqueue.rules import policy


def state(town: Town, job: str) -> tuple[str, str | None]:
    row = json.loads(town.gitqueue("show", job, "--json").out)
    return row["state"], row["reason"]


def asked(town: Town, main: str, job: str = "rachel/job", extra: bytes = b"") -> str:
    """An approved request whose main.py is `main`; the approval."""
    revision = town.desk("rachel").request(job, {"job.yaml": JOB + extra, "main.py": main.encode()})
    return town.desk("owen").approve(revision)


WRITE = "import os; open(os.environ['GITQUEUE_OUTPUT'] + '/{}', 'w').write({!r})"


def test_a_job_runs_once_however_often_the_runner_is_asked(town: Town) -> None:
    asked(town, WRITE.format("means.csv", "a,b\nx,12.5\n"))
    town.serve()
    before = town.refs()
    assert state(town, "rachel/job") == ("completed", None)
    town.serve()
    (town.site / "private" / "verified.json").unlink()
    town.serve()
    assert town.refs() == before


def test_each_way_to_fail_is_said_in_a_fixed_word_and_releases_nothing(town: Town) -> None:
    ways = {
        "code": ("raise SystemExit(3)", b"", "exit-code"),
        "signal": ("import os; os.kill(os.getpid(), 11)", b"", "signal"),
        "time": ("while True: pass", b"limits: {time: 1s}\n", "time-limit"),
    }
    for name, (main, extra, _) in ways.items():
        asked(town, WRITE.format("means.csv", "a,b\nx,12.5\n") + "\n" + main, f"rachel/{name}", extra)
    town.serve()
    for name, (_, _, reason) in ways.items():
        assert state(town, f"rachel/{name}") == ("failed", reason)
        tree = ok("git", "ls-tree", "-r", "--name-only", f"results/rachel/{name}", cwd=town.repository)
        assert "results/" not in tree
        row = json.loads(town.gitqueue("show", f"rachel/{name}", "--json").out)
        assert row["run"]["exit_code"] is None, "the exit code would be a channel"


def test_a_job_whose_data_nobody_has_bound_is_the_sites_own_fault(town: Town) -> None:
    settings = town.site / "private" / "runner.yaml"
    settings.write_text(settings.read_text().replace("features: ", "labels: "))
    asked(town, "print(1)")
    said = town.serve().err
    assert state(town, "rachel/job") == ("failed", "site-fault")
    assert "gitqueue dataset bind cancer features=/path" in said


def test_data_that_change_while_a_job_reads_them_are_the_sites_fault_and_the_operator_is_told(town: Town) -> None:
    asked(town, WRITE.format("means.csv", "a,b\nx,12.5\n") + "\nimport time; time.sleep(1)")
    runner = subprocess.Popen([sys.executable, "-m", "gitqueue", "-C", town.site, "serve"], stderr=subprocess.PIPE)
    until = time.monotonic() + 20
    while not list((town.site / "spool").glob("*+1/output")):
        assert time.monotonic() < until
        time.sleep(0.02)
    path = Path(json.loads(next((town.site / "spool").glob("*+1/plan.json")).read_text())["data"][0][0])
    before = path.read_bytes()
    aside = path.with_name("aside")
    aside.write_bytes(before.replace(b"p1,", b"p2,"))
    shutil.copystat(path, aside)
    aside.replace(path)  # of the same size, with the same time of writing
    while state(town, "rachel/job")[0] in ("approved", "running"):
        assert time.monotonic() < until
        time.sleep(0.1)
    path.write_bytes(before)
    runner.terminate()
    said = runner.communicate()[1].decode()
    assert state(town, "rachel/job") == ("failed", "site-fault")
    assert f"{path} changed after the job was given it; next: put new data beside the old" in said
    assert "results/" not in ok("git", "ls-tree", "-r", "--name-only", "results/rachel/job", cwd=town.repository)


def test_a_link_out_of_the_data_is_the_sites_fault(town: Town) -> None:
    folder = town.site.parent / "folder"
    folder.mkdir()
    (folder / "link.csv").symlink_to("/etc/passwd")
    settings = town.site / "private" / "runner.yaml"
    text = settings.read_text()
    settings.write_text(re.sub(r"features: .*", f"features: {folder}", text))
    asked(town, "print(1)")
    said = town.serve().err
    assert state(town, "rachel/job") == ("failed", "site-fault")
    assert "is a link out of its folder" in said


HELD = {
    "an identifier column": ("means.csv", "patient_id,mean\n7,1\n", "patient_id"),
    "a type that no check reads": ("means.png", "\x89PNG no picture", "no check reads"),
    "a lying suffix": ("means.csv", "%PDF-1.7 \n", "content is"),
}


@pytest.mark.parametrize(("name", "text", "flag"), HELD.values(), ids=HELD)
def test_outputs_wait_for_an_owner_when_they_have(town: Town, name: str, text: str, flag: str) -> None:
    main = f"import os; open(os.environ['GITQUEUE_OUTPUT'] + '/{name}', 'wb').write({text.encode('latin-1')!r})"
    files = {"job.yaml": JOB.replace(b"means.csv", b"'*'"), "main.py": main.encode()}
    revision = town.desk("rachel").request("rachel/job", files)
    town.desk("owen").approve(revision)
    town.serve()
    assert state(town, "rachel/job") == ("held", None)
    assert flag in town.gitqueue("outputs", "rachel/job").out
    refused = town.desk("rachel").gitqueue("results", "job")
    assert (refused.code, "rachel/job is held" in refused.err) == (1, True)


def held(town: Town) -> None:
    asked(town, WRITE.format("means.csv", "patient_id,mean\n7,1\n"))
    town.serve()


def test_a_release_names_the_very_outputs_and_lets_exactly_them_out(town: Town) -> None:
    held(town)
    done = town.desk("owen").gitqueue("release", "rachel/job", "-m", "One pseudonym, agreed")
    assert done.code == 0, done.err
    town.serve()
    assert state(town, "rachel/job") == ("completed", None)
    rachel = town.desk("rachel")
    fetched = rachel.gitqueue("results", "job", "-o", rachel.path / "out")
    assert fetched.code == 0, fetched.err
    assert (rachel.path / "out" / "means.csv").read_text() == "patient_id,mean\n7,1\n"
    again = town.desk("owen").gitqueue("release", "rachel/job")
    assert (again.code, "rachel/job is completed" in again.err) == (3, True)


def test_what_is_withheld_stays_withheld(town: Town) -> None:
    held(town)
    assert town.desk("owen").gitqueue("withhold", "rachel/job", "-m", "Pseudonyms").code == 0
    town.serve()
    assert state(town, "rachel/job")[0] == "withheld"
    late = town.desk("owen").gitqueue("release", "rachel/job")
    assert (late.code, "rachel/job is withheld" in late.err) == (3, True)


def test_a_requester_cannot_release_their_own_outputs(town: Town) -> None:
    held(town)
    mine = town.desk("rachel").gitqueue("release", "rachel/job")
    assert mine.code == 3
    assert "rachel is no owner of this site" in mine.err
    town.serve()
    assert state(town, "rachel/job")[0] == "held"


def test_a_job_cancelled_before_it_started_never_runs(town: Town) -> None:
    asked(town, WRITE.format("means.csv", "a,b\nx,12.5\n"))
    assert town.desk("rachel").gitqueue("cancel", "job").code == 0
    town.serve()
    assert state(town, "rachel/job")[0] == "cancelled"
    assert "refs/heads/results/rachel/job" not in town.refs()


def served(town: Town) -> "subprocess.Popen[bytes]":
    call = (sys.executable, "-m", "gitqueue", "-C", str(town.site), "serve")
    return subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for(town: Town, job: str, wanted: str, seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while state(town, job)[0] != wanted:
        assert time.monotonic() < until, f"{job} is {state(town, job)}, not {wanted}"
        time.sleep(0.1)


def test_the_hook_wakes_the_runner_and_a_cancel_stops_the_run(town: Town) -> None:
    runner = served(town)
    try:
        asked(town, "import time; time.sleep(600)")
        wait_for(town, "rachel/job", "running", 4)  # the poll is slower than that
        assert town.desk("rachel").gitqueue("cancel", "job").code == 0
        wait_for(town, "rachel/job", "cancelled")
    finally:
        runner.terminate()
        assert runner.wait(10) == 0
    assert not list((town.site / "spool").glob("rachel+*"))


def test_a_second_runner_says_who_has_the_site(town: Town) -> None:
    runner = served(town)
    try:
        until = time.monotonic() + 5
        while not (town.site / "private" / "serve.lock").exists() and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.3)
        second = town.once()
        assert (second.code, f"process {runner.pid}" in second.err) == (5, True)
        assert f"process {runner.pid}" in town.gitqueue("status").out
    finally:
        runner.terminate()
        runner.wait(10)


def test_a_runner_killed_while_a_job_runs_finds_it_again(town: Town) -> None:
    runner = served(town)
    asked(town, "import time; time.sleep(1.5)\n" + WRITE.format("means.csv", "a,b\nx,12.5\n"))
    wait_for(town, "rachel/job", "running")
    started(town)
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    town.serve()
    assert state(town, "rachel/job") == ("completed", None)
    log = ok("git", "log", "--format=%s", "results/rachel/job", "-3", cwd=town.repository).splitlines()
    assert log[:2] == ["completed rachel/job", "running rachel/job"]


def test_a_run_whose_supervisor_was_killed_is_interrupted_and_not_run_again(town: Town) -> None:
    runner = served(town)
    asked(town, "import time; time.sleep(600)")
    wait_for(town, "rachel/job", "running")
    until = time.monotonic() + 5
    while not killed(town.site / "spool" / "rachel+job+1" / "lock"):
        assert time.monotonic() < until, "no supervisor was found"
        time.sleep(0.05)
    wait_for(town, "rachel/job", "interrupted")
    runner.terminate()
    runner.wait(10)
    town.serve()
    assert state(town, "rachel/job")[0] == "interrupted"


def test_a_rerun_makes_the_next_attempt_of_what_failed_by_the_sites_own_fault(town: Town) -> None:
    settings = town.site / "private" / "runner.yaml"
    bound = settings.read_text()
    settings.write_text(re.sub(r"features: \S+", "features: /nowhere", bound))
    asked(town, WRITE.format("means.csv", "a,b\nx,12.5\n"))
    town.serve()
    assert state(town, "rachel/job") == ("failed", "site-fault")
    settings.write_text(bound)
    own = town.desk("rachel").gitqueue("rerun", "job")
    assert (own.code, "rachel is no owner of this site: rerun is an owner's" in own.err) == (3, True), own.err
    owen = town.desk("owen")
    done(owen.gitqueue("rerun", "rachel/job", "-m", "The data are back"))
    assert state(town, "rachel/job")[0] == "approved"
    town.serve()
    assert state(town, "rachel/job") == ("completed", None)
    log = ok(
        "git", "log", "--format=%s%(trailers:key=Attempt,separator=)", "-4", "results/rachel/job", cwd=town.repository
    )
    assert [line.replace(" rachel/job", "") for line in log.splitlines()] == [
        "completedAttempt: 2",
        "runningAttempt: 2",
        "failedAttempt: 1",
        "runningAttempt: 1",
    ]
    owen.git("fetch", "-q")
    done(town.gitqueue("verify"))
    late = owen.gitqueue("rerun", "rachel/job")
    assert (late.code, "is completed: rerun does nothing" in late.err) == (3, True), late.err


def test_a_rerun_counts_for_the_attempt_that_it_names_alone(town: Town) -> None:
    asked(town, "raise SystemExit(1)")
    town.serve()
    desk, revision = town.desk("owen"), town.refs()["refs/heads/requests/rachel/job"]
    desk.git("fetch", "-q")
    desk.git("switch", "-q", "--detach", revision)
    trailers = ("--trailer", "Decision=rerun", "--trailer", f"Revision={revision}")
    desk.git("commit", "-q", "-S", "--allow-empty", "-m", "Again", *trailers, "--trailer", "Attempt=2")
    refused = run("git", "push", "-q", "origin", "HEAD:refs/heads/reviews/rachel/job", cwd=desk.path)
    assert "names attempt 2, but what ended is attempt 1" in refused.err
    desk.git("commit", "-q", "-S", "--amend", "--allow-empty", "-m", "Again", *trailers, "--trailer", "Attempt=1")
    desk.git("push", "-q", "origin", "HEAD:refs/heads/reviews/rachel/job")
    town.serve()
    town.serve()
    assert state(town, "rachel/job") == ("failed", "exit-code")
    assert json.loads(town.gitqueue("show", "rachel/job", "--json").out)["run"]["attempt"] == 2


def test_a_lock_of_before_the_machine_went_down_is_taken_away_and_another_is_named(town: Town) -> None:
    asked(town, WRITE.format("means.csv", "a,b\nx,12.5\n"))
    lock = town.repository / "refs" / "heads" / "results" / "rachel" / "job.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    os.utime(lock, (time.time() - 60,) * 2)
    stuck = town.once()
    assert stuck.code == 5, "it is not done"
    assert f"rm {lock}" in stuck.err
    assert "1 jobs wait for another try, because a step of theirs failed: rachel/job" in stuck.err
    assert lock.exists()
    os.utime(lock, (1, 1))
    assert f"took away {lock}" in town.serve().err
    assert state(town, "rachel/job") == ("completed", None)


def test_nothing_starts_while_the_site_is_paused_and_status_says_why(town: Town) -> None:
    asked(town, WRITE.format("means.csv", "a,b\nx,12.5\n"))
    done(town.gitqueue("pause", "-m", "moving the disks"))
    town.serve()
    assert state(town, "rachel/job")[0] == "approved"
    assert "paused: moving the disks" in town.gitqueue("status").out
    assert json.loads(town.gitqueue("status", "--json").out)["waiting"] == [
        {"job": "rachel/job", "why": "paused: moving the disks"}
    ]
    done(town.gitqueue("resume"))
    town.serve()
    assert state(town, "rachel/job")[0] == "completed"


def started(town: Town) -> None:
    """Wait until a supervisor owns the job: the claim is a moment older, and so is the runner's hold of its lock."""
    until = time.monotonic() + 5
    while not (town.site / "spool" / "rachel+job+1" / "log").exists():
        assert time.monotonic() < until, "the job was not started"
        time.sleep(0.02)


def killed(lock: Path) -> bool:
    """Kill the process that holds a lock file open, as the kernel lists it."""
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if descriptor.readlink() == lock:
                os.kill(int(descriptor.parts[2]), signal.SIGKILL)
                return True
    return False


# what the runner refuses although the hooks let it in


def behind_the_gate(town: Town, commit: str, desk: Desk) -> None:
    """Move approved with the hooks switched off, as someone who has the server could."""
    objects = desk.path / ".git" / "objects"
    ok("git", "fetch", "-q", desk.path, f"{commit}:refs/forged", cwd=town.repository)
    ok("git", "update-ref", "refs/heads/approved", commit, cwd=town.repository)
    ok("git", "update-ref", "-d", "refs/forged", cwd=town.repository)
    assert objects.exists()


def forged(town: Town, signer: str) -> str:
    """A merge of rachel's request that is signed by somebody who may not."""
    revision = town.desk("rachel").request("rachel/job")
    desk = town.desk(signer)
    commit = desk.merge(revision)
    behind_the_gate(town, commit, desk)
    return commit


@pytest.mark.parametrize(
    ("signer", "rule"),
    [
        ("rolf", "is signed by rolf, who is no owner of this site"),
        ("stranger", "is signed with a key that this site does not know"),
    ],
)
def test_a_forged_approval_never_runs_and_the_runner_names_it(town: Town, signer: str, rule: str) -> None:
    good = town.refs()["refs/heads/approved"]
    town.serve()
    commit = forged(town, signer)
    done = town.once()
    assert done.code == 4
    assert f"commit {commit[:12]} on approved {rule}" in done.err
    assert f"update-ref refs/heads/approved {good} {commit}" in done.err
    assert "refs/heads/results/rachel/job" not in town.refs()
    ok("git", "update-ref", "refs/heads/approved", good, commit, cwd=town.repository)
    town.serve()


def test_a_forged_owners_word_releases_nothing_and_tries_nothing(town: Town) -> None:
    """Whoever has the server can make themselves an owner on `approved`: nobody whom the verified chain does not name
    counts for the runner."""
    held(town)
    asked_for = town.desk("rachel").request("rachel/try")
    desk, good = town.desk("stranger"), town.refs()["refs/heads/approved"]
    desk.git("switch", "-q", "approved")
    people = desk.path / ".gitqueue" / "people.yaml"
    key = Path(f"{town.key('stranger')}.pub").read_text().strip()
    people.write_text(people.read_text() + f'stranger: {{roles: [owner], keys: [{{key: "{key}"}}]}}\n')
    parsed = policy.parse_people(people.read_bytes())
    (desk.path / ".gitqueue" / "allowed_signers").write_text(policy.allowed_signers(parsed))
    desk.git("commit", "-q", "-S", "-a", "-m", "I am an owner")
    behind_the_gate(town, desk.git("rev-parse", "HEAD"), desk)
    revision = town.refs()["refs/heads/requests/rachel/job"]
    outputs = ok(
        "git", "log", "-1", "--format=%(trailers:key=Outputs,valueonly)", "results/rachel/job", cwd=town.repository
    )
    words = {
        "rachel/job": (revision, f"Decision: release\nOutputs: {outputs}"),
        "rachel/try": (asked_for, "Decision: try-real"),
    }
    for job, (revision, said) in words.items():
        note = ok("git", "commit-tree", "-S", f"{revision}^{{tree}}", "-p", revision, "-m", "Go on", "-m",
                  f"{said}\nRevision: {revision}", cwd=desk.path, env={"GIT_DIR": str(desk.path / ".git")})  # fmt: skip
        ok("git", "fetch", "-q", desk.path, f"{note}:refs/heads/reviews/{job}", "--force", cwd=town.repository)
    done = town.once()
    assert "refs/heads/approved" in done.err
    assert "is signed with a key that this site does not know" in done.err
    ok("git", "update-ref", "refs/heads/approved", good, cwd=town.repository)
    assert state(town, "rachel/job")[0] == "held"
    vault = town.site / "private" / "vault.git"
    assert ok("git", "for-each-ref", "refs/tries", cwd=vault) == ""


def test_a_rewritten_chain_is_refused_although_it_verifies_from_the_root(town: Town) -> None:
    first = town.refs()["refs/heads/approved"]
    asked(town, "print(1)", "rachel/one")
    town.serve()
    verified = town.refs()["refs/heads/approved"]
    ok("git", "update-ref", "refs/heads/approved", first, cwd=town.repository)
    desk = town.desk("olga")
    other = desk.merge(town.desk("rolf").request("rolf/two"))
    behind_the_gate(town, other, desk)
    done = town.once()
    assert done.code == 4
    assert f"commit {verified[:12]} is no longer on the first-parent line of approved" in done.err
    assert f"update-ref refs/heads/approved {verified} {other}" in done.err
    assert "refs/heads/results/rolf/two" not in town.refs()


def test_a_rewound_chain_is_refused(town: Town) -> None:
    before = town.refs()["refs/heads/approved"]
    asked(town, "print(1)", "rachel/one")
    town.serve()
    ok("git", "update-ref", "refs/heads/approved", before, cwd=town.repository)
    done = town.once()
    assert (done.code, "is no longer on the first-parent line" in done.err) == (4, True)


def test_a_removed_results_branch_is_an_alarm_and_the_job_does_not_run_again(town: Town) -> None:
    asked(town, "print(1)", "rachel/one")
    town.serve()
    ok("git", "update-ref", "-d", "refs/heads/results/rachel/one", cwd=town.repository)
    done = town.once()
    assert "refs/heads/results/rachel/one has gone" in done.err
    assert done.code == 4
    assert "refs/heads/results/rachel/one" not in town.refs()


def test_the_operators_own_limit_holds_below_the_sites(town: Town, rachel: Desk, owen: Desk) -> None:
    settings = town.site / "private" / "runner.yaml"
    settings.write_text(settings.read_text() + "limits: {time: 1s}\n")
    files = {"job.yaml": b"name: Slow\nrun: sleep 30\noutputs: [x.csv]\n"}
    owen.approve(rachel.request("rachel/slow", files))
    town.serve()
    shown = json.loads(town.gitqueue("show", "rachel/slow", "--json").out)
    assert (shown["state"], shown["reason"]) == ("failed", "time-limit")
