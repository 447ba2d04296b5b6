"""Every decision, by the command and by plain git: the same commit, the same answer, the same end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import JOB, MAIN, Desk, Town, done, ok, run

FAILS = b"raise SystemExit(3)\n"
# decision: (the command, what the site answers is next, how the job stands when the runner has seen it)
BEFORE = {
    "comment": (("comment",), "an owner reads it, and approves", "pending"),
    "cancel": (("cancel",), "nobody: changed code is a new job", "cancelled"),
    "changes-requested": (("request-changes",), "the requester commits what was asked for", "changes-requested"),
    "rejected": (("reject",), "the requester may change it and push again", "rejected"),
    "try-mock": (("try", "--mock"), "the runner runs it on the mock data, and says here", "pending"),
    "try-real": (("try", "--real"), "the runner runs it on the real data; then: gitqueue outputs", "pending"),
}
AFTER = {
    "release": (("release",), "the runner releases it by itself", "completed"),
    "withhold": (("withhold",), "nobody: the outputs stay at the site", "withheld"),
    "rerun": (("rerun",), "the runner takes it up by itself", "failed"),
}
EACH = {**BEFORE, **AFTER}


def ask(desk: Desk) -> None:
    """A request for each decision, in one push."""
    for decision in EACH:
        program = FAILS if decision == "rerun" else MAIN
        desk.request(f"{desk.name}/{decision}", {"job.yaml": JOB, "main.py": program}, push=False)
    desk.git("push", "-q", "origin", *(f"requests/{desk.name}/{decision}" for decision in EACH))


def by_command(owner: Desk, job: str, decision: str, *, attempt: int, outputs: str) -> str:
    word, *options = EACH[decision][0]
    return done(owner.gitqueue(word, job, *options, "-m", "So I say")).out


def by_git(owner: Desk, job: str, decision: str, *, attempt: int, outputs: str) -> str:
    revision = owner.git("rev-parse", f"origin/requests/{job}")
    more = {"release": f"Outputs: {outputs}\n", "withhold": f"Outputs: {outputs}\n", "rerun": f"Attempt: {attempt}\n"}
    text = f"So I say\n\nDecision: {decision}\nRevision: {revision}\n{more.get(decision, '')}"
    owner.git("switch", "-q", "--detach", revision)
    owner.git("commit", "-q", "-S", "--allow-empty", "-F", "-", stdin=text.encode())
    pushed = run("git", "push", "origin", f"HEAD:refs/heads/reviews/{job}", cwd=owner.path)
    assert pushed.code == 0, pushed.err
    return "\n".join(line.removeprefix("remote: ").strip() for line in pushed.err.splitlines())


@pytest.fixture
def asked(town: Town) -> Town:
    """Jobs of two requesters: those for AFTER have run, and their outputs wait, or they failed."""
    owen = town.desk("owen")
    done(owen.gitqueue("policy", "set", "rehearse=manual", "release=review"))
    for name in ("rachel", "rolf"):
        ask(town.desk(name))
    jobs = [f"{name}/{decision}" for name in ("rachel", "rolf") for decision in AFTER]
    done(owen.gitqueue("approve", *jobs, "-m", "Aggregates only"))
    said = town.serve().err
    for job in jobs:
        assert f"{job} is {'failed' if job.endswith('rerun') else 'held'}" in said, said
    return town


def waiting(town: Town, job: str) -> str:
    tip = town.refs()[f"refs/heads/results/{job}"]
    return ok("git", "log", "-1", "--format=%(trailers:key=Outputs,valueonly)", tip, cwd=town.repository)


def trailers(town: Town, job: str) -> list[str]:
    """The names of the trailers that the decision has."""
    said = ok("git", "log", "--author=owen", "-1", "--format=%(trailers:only)", f"reviews/{job}", cwd=town.repository)
    return [line.partition(":")[0] for line in said.splitlines()]


@pytest.mark.slow
def test_each_decision_is_the_same_by_plain_git_as_by_the_command(asked: Town) -> None:
    owen, rachel = asked.desk("owen"), asked.desk("rachel")
    owen.git("fetch", "-q")
    for decision, (_, then, _) in EACH.items():
        for job, say in ((f"rachel/{decision}", by_command), (f"rolf/{decision}", by_git)):
            outputs = waiting(asked, job) if decision in AFTER else ""
            answer = say(owen, job, decision, attempt=1, outputs=outputs)
            assert f"{job}: owen said {decision}\n" in answer
            assert f"next: {then}" in answer, (decision, answer)
        assert trailers(asked, f"rachel/{decision}") == trailers(asked, f"rolf/{decision}")
    asked.serve()
    rachel.git("fetch", "-q")
    for decision, (_, _, ends) in EACH.items():
        for job in (f"rachel/{decision}", f"rolf/{decision}"):
            shown = json.loads(done(asked.gitqueue("show", job, "--json")).out)
            assert shown["state"] == ends, job
            assert "So I say" in rachel.git("log", "--author=owen", "-1", "--format=%B", f"origin/reviews/{job}")
    for job in ("rachel/rerun", "rolf/rerun"):
        assert json.loads(done(asked.gitqueue("show", job, "--json")).out)["run"]["attempt"] == 2
    kept = ok("git", "log", "--format=%(trailers:key=Try,valueonly)", "outputs/rolf/try-real", cwd=vault(asked))
    assert len(kept.split()) == 1


def vault(town: Town) -> Path:
    return town.site / "private" / "vault.git"


def test_a_requester_follows_a_job_until_there_are_results_or_something_to_do(town: Town) -> None:
    owen, rachel = town.desk("owen"), town.desk("rachel")
    revision = rachel.request("rachel/job")
    call = (sys.executable, "-m", "gitqueue", "-C", str(rachel.path), "watch", "rachel/job")
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as follows:
        assert follows.stdout is not None
        assert follows.stdout.readline() == "rachel/job is pending\n"
        done(owen.gitqueue("comment", "rachel/job", "-m", "A moment"))
        owen.approve(revision)
        town.serve()
        said = follows.communicate(timeout=60)[0]
    assert "owen: comment: A moment\n" in said
    assert said.endswith("rachel/job is completed\nnext: the requester fetches the results\n")
    assert follows.returncode == 0
    rachel.request("rachel/rows")
    done(owen.gitqueue("request-changes", "rachel/rows", "-m", "Round to ten"))
    refused = rachel.gitqueue("watch", "rachel/rows")
    assert (refused.code, "rachel/rows is changes-requested: Round to ten\n" in refused.err) == (1, True)
    assert "next: the requester commits what was asked for and pushes again" in refused.err


def test_the_words_of_further_owners_are_asked_for(town: Town) -> None:
    owen, olga = town.desk("owen"), town.desk("olga")
    done(owen.gitqueue("policy", "set", "approvals=2", "rehearse=manual"))
    town.desk("rachel").request("rachel/job")
    said = done(owen.gitqueue("try", "rachel/job", "--real")).out
    assert "next: another owner says so, too: policy asks for 2\n" in said
    assert "outputs of rachel/job" not in ok("git", "log", "--all", "--format=%s", cwd=vault(town))
    said = done(olga.gitqueue("try", "rachel/job", "--real")).out
    assert "next: the runner runs it on the real data; then: gitqueue outputs rachel/job\n" in said
    assert "this is a trial of" in said
    assert "for olga and owen\n" in said
    assert "radius,22.90,60" in said
    said = done(owen.gitqueue("approve", "rachel/job", "-m", "Fine")).out
    assert "next: an owner who has not agreed yet approves it" in said
    done(olga.gitqueue("approve", "rachel/job", "-m", "Fine"))
    town.serve()
    assert json.loads(done(town.gitqueue("show", "rachel/job", "--json")).out)["state"] == "completed"
