"""Rehearsals: each new revision runs on mock data, by the runner, and everybody of the site reads how it went."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import JOB, MAIN, Desk, Town, call, done, ok

NOISE = b"import os, time; open(os.environ['GITQUEUE_OUTPUT'] + '/means.csv', 'w').write(f'a\\n{time.time_ns()}\\n')"
ATTACK = b"""import os
for top, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if top != "/" or name not in ("proc", "sys", "dev", "usr")]
    for name in names:
        if name.endswith((".csv", "runner.yaml")):
            text = open(os.path.join(top, name), errors="replace").read()
            print(os.path.join(top, name), "REAL" if "p1,21" in text else "MOCK" if "m1,11" in text else "other")
open(os.environ["GITQUEUE_OUTPUT"] + "/means.csv", "w").write("a\\n1\\n")
"""


def notes(town: Town, job: str) -> list[str]:
    """What the runner said of a job, newest first: each note whole."""
    name = f"refs/heads/reviews/{job}"
    if name not in town.refs():
        return []
    said = ok("git", "log", "--format=%an%n%B%x00", name, cwd=town.repository).split("\0")
    return [text.strip().removeprefix("runner\n") for text in said if text.strip().startswith("runner\n")]


def vault(town: Town, *words: str) -> str:
    return ok("git", *words, cwd=town.site / "private" / "vault.git")


def test_a_new_request_is_rehearsed_once_and_the_note_says_how_it_went(town: Town, rachel: Desk) -> None:
    revision = rachel.request("rachel/job", {"job.yaml": JOB, "main.py": MAIN + b"print('\\x1b[31mred')\n"})
    said = town.serve().err
    assert "rachel/job: rehearsal: ran" in said
    town.serve()
    (note,) = notes(town, "rachel/job")
    for words in (
        "Ran on mock data in ",
        "means.csv (",
        "check      nothing would wait for an owner",
        "the same outputs when run a second time: reproducible",
        "the requester told of no run of their own",
        "  | \\u001b[31mred",
        f"Decision: rehearsed\nRevision: {revision}\nTested: ",
    ):
        assert words in note, note
    assert json.loads(done(rachel.gitqueue("show", "job", "--json")).out)["state"] == "pending"
    assert "radius,12.00,40" in vault(town, "show", "outputs/rachel/job:outputs/means.csv"), "mock data, all forty rows"
    rachel.git("config", "gitqueue.root", rachel.git("rev-list", "--max-parents=0", "origin/approved"))
    done(rachel.gitqueue("verify"))
    assert "the runner rehearsed rachel/job on mock data: ran" in done(town.gitqueue("audit")).out


def test_what_requesters_ran_at_home_is_compared_by_digests_that_plain_tools_make(town: Town, rachel: Desk) -> None:
    rachel.request("rachel/job", push=False)
    said = done(rachel.gitqueue("test", "-o", rachel.path / "home")).out
    assert "the same outputs when run a second time: reproducible" in said
    done(rachel.gitqueue("submit"))
    town.serve()
    (note,) = notes(town, "rachel/job")
    assert "the same outputs as in the requester's own run" in note
    tested = ok("sh", "-c", "sha256sum * | sha256sum", cwd=rachel.path / "home").split()[0]
    assert f"Tested: {tested}" in note
    told = rachel.git("log", "--format=%an: %B", "origin/reviews/rachel/job", "-1")
    assert told.startswith("rachel: Ran at home")
    assert f"Tested: {tested}" in told


def test_what_differs_from_home_or_from_one_run_to_the_next_is_named(town: Town, rachel: Desk) -> None:
    rachel.request("rachel/job", {"job.yaml": JOB, "main.py": NOISE}, push=False)
    done(rachel.gitqueue("test"))
    done(rachel.gitqueue("submit"))
    town.serve()
    (note,) = notes(town, "rachel/job")
    assert "not reproducible: means.csv differs" in note
    assert "not as at the requester's home: means.csv differs" in note


FAILS = {
    "exit-code 3, after": b"import sys; print('no such column'); sys.exit(3)",
    "time-limit, after": b"while True: pass",
}


def test_a_rehearsal_has_its_own_limits_and_a_failed_one_says_why(town: Town, rachel: Desk, owen: Desk) -> None:
    done(owen.gitqueue("policy", "set", "rehearsal.time=1s"))
    for at, program in enumerate(FAILS.values()):
        rachel.request(f"rachel/job{at}", {"job.yaml": JOB, "main.py": program})
    town.serve()
    for at, words in enumerate(FAILS):
        (note,) = notes(town, f"rachel/job{at}")
        assert f"Failed on mock data: {words}" in note
        assert "it was not run a second time" in note
        assert "Tested:" not in note
    assert "  | no such column" in notes(town, "rachel/job0")[0]


def test_code_that_nobody_approved_meets_mock_data_alone(town: Town, rachel: Desk) -> None:
    rachel.request("rachel/job", {"job.yaml": JOB, "main.py": ATTACK})
    town.serve()
    (note,) = notes(town, "rachel/job")
    assert "/data/cancer/features.csv MOCK" in note, "the search works"
    assert "REAL" not in note
    plan = vault(town, "show", "outputs/rachel/job:plan.json")
    assert str(town.path / "data") not in plan, "no bind of the sandbox names the real data"


def test_a_new_revision_is_rehearsed_anew_and_after_approval_nothing_is(town: Town, rachel: Desk, owen: Desk) -> None:
    rachel.request("rachel/job")
    town.serve()
    rachel.write({"jobs/rachel/job/main.py": MAIN.replace(b"radius,", b"mean,")})
    rachel.git("commit", "-q", "-S", "-a", "-m", "Name it so")
    rachel.git("push", "-q", "origin", "HEAD")
    town.serve()
    assert len(notes(town, "rachel/job")) == 2
    owen.approve(rachel.git("rev-parse", "HEAD"))
    town.serve()
    assert len(notes(town, "rachel/job")) == 2
    assert json.loads(town.gitqueue("show", "rachel/job", "--json").out)["state"] == "completed"
    kept = vault(
        town,
        "log",
        "--format=%(trailers:key=Rehearsal,valueonly)%(trailers:key=Attempt,valueonly)",
        "outputs/rachel/job",
    )
    assert len(kept.split()) == 3
    difference = vault(town, "diff", "outputs/rachel/job~1", "outputs/rachel/job", "--", "outputs")
    assert "-mean,12.00,40\n+mean,2" in difference


def test_quotas_and_manual_sites_are_obeyed_and_an_owner_may_ask_all_the_same(town: Town, owen: Desk) -> None:
    done(owen.gitqueue("policy", "set", "quota.rehearsals_per_day=1"))
    rachel, rolf = town.desk("rachel"), town.desk("rolf")
    for job in ("rachel/one", "rachel/two"):
        rachel.request(job)
    rolf.request("rolf/job")
    town.serve()
    assert [len(notes(town, job)) for job in ("rachel/one", "rachel/two", "rolf/job")] in ([1, 0, 1], [0, 1, 1])
    done(owen.gitqueue("policy", "set", "rehearse=manual"))
    rolf.request("rolf/other")
    town.serve()
    assert not notes(town, "rolf/other")
    done(owen.gitqueue("try", "rolf/other", "--mock"))
    assert len(notes(town, "rolf/other")) == 1, "try waits for it where the site is on this machine"


def serving(town: Town) -> "subprocess.Popen[bytes]":
    words = (sys.executable, "-m", "gitqueue", "-C", str(town.site), "serve")
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def until(what: object, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not what():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def under_way(town: Town) -> list[str]:
    return [path.parent.name for path in (town.site / "spool").glob("rehearsal-*/1/lock")]


@pytest.mark.slow
def test_a_newer_revision_ends_the_rehearsal_of_the_older(town: Town, rachel: Desk) -> None:
    rachel.request("rachel/job", {"job.yaml": JOB, "main.py": b"import time; time.sleep(300)"})
    runner = serving(town)
    try:
        until(lambda: under_way(town))
        rachel.write({"jobs/rachel/job/main.py": MAIN})
        rachel.git("commit", "-q", "-S", "-a", "-m", "Faster")
        rachel.git("push", "-q", "origin", "HEAD")
        until(lambda: notes(town, "rachel/job"))
    finally:
        runner.terminate()
        runner.wait()
    (note,) = notes(town, "rachel/job")
    assert f"Revision: {rachel.git('rev-parse', 'HEAD')}" in note


@pytest.mark.slow
def test_a_runner_killed_in_the_middle_leaves_one_note_in_the_end(town: Town, rachel: Desk) -> None:
    slow = b"import time; time.sleep(1.5)\n" + MAIN
    rachel.request("rachel/job", {"job.yaml": JOB, "main.py": slow})
    runner = serving(town)
    until(lambda: under_way(town))
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait()
    town.serve()
    town.serve()
    assert len(notes(town, "rachel/job")) == 1
    assert not under_way(town)


def test_a_site_says_when_it_is_made_that_requests_are_run_on_mock_data(town: Town) -> None:
    owner = ("--owner", "owen", "--email", "owen@uni.example", "--key", town.key("owen"))
    said = done(call("init", town.path / "other", *owner))
    assert "rehearse=manual" in said.out + said.err
