"""`try`: owners have a request run on the real data before they approve it, once for each decision."""

import json
import re

import pytest
from conftest import JOB, MAIN, Desk, Town, done, ok


def vault(town: Town, *words: str) -> str:
    return ok("git", *words, cwd=town.site / "private" / "vault.git")


def tries(town: Town, job: str = "rachel/job") -> list[str]:
    return vault(town, "for-each-ref", "--format=%(refname)", f"refs/tries/{job}/").split()


def by_git(desk: Desk, decision: str) -> None:
    """The decision by plain git, joined to what was said before."""
    desk.git("fetch", "-q", "origin")
    revision = desk.git("rev-parse", "origin/requests/rachel/job")
    desk.git("switch", "-q", "--detach", revision)
    text = f"Let us see\n\nDecision: {decision}\nRevision: {revision}"
    desk.git("merge", "-q", "-S", "-s", "ours", "origin/reviews/rachel/job", "-m", text)
    desk.git("push", "-q", "origin", "HEAD:refs/heads/reviews/rachel/job")


def test_a_trial_runs_on_the_real_data_once_and_all_of_it_stays_in_the_vault(town: Town, rachel: Desk) -> None:
    rachel.request("rachel/job")
    town.serve()
    by_git(town.desk("owen"), "try-real")
    assert "rachel/job: trial: ran" in town.serve().err
    town.serve()
    (claim,) = tries(town)
    said = vault(town, "log", "-1", "--format=%B", "outputs/rachel/job")
    assert "By: owen\nOutcome: ran\n" in said
    assert claim.rpartition("/")[2] in said
    assert "radius,22.90,60" in vault(town, "show", "outputs/rachel/job:outputs/means.csv"), "the real rows"
    everything = ok("git", "cat-file", "--batch-all-objects", "--batch", cwd=town.repository)
    assert "radius,12.00,40" not in everything
    assert "radius,22.90,60" not in everything, "nothing of it is where a requester could fetch it"
    assert json.loads(town.gitqueue("show", "rachel/job", "--json").out)["state"] == "pending"
    owen = town.desk("owen")
    shown = done(owen.gitqueue("outputs", "rachel/job")).out
    assert "radius,22.90,60" in shown
    assert re.search(r"this is a trial of \w{12} on the real data, for owen\n", shown)
    beside = done(owen.gitqueue("outputs", "rachel/job", "--diff")).out
    assert re.search(r"^  feature radius\n +mean +12\.00 +22\.90\n +n +40 +60$", beside, re.M)
    assert "-radius,12.00,40\n+radius,22.90,60\n" in beside
    assert "owen signed " in done(town.gitqueue("audit")).out


def test_a_trial_takes_as_many_owners_as_an_approval_and_none_of_the_requesters_word(town: Town) -> None:
    owen, olga, rachel = town.desk("owen"), town.desk("olga"), town.desk("rachel")
    done(owen.gitqueue("policy", "set", "approvals=2"))
    rachel.request("rachel/job")
    town.serve()
    refused = rachel.gitqueue("try", "rachel/job", "--real")
    assert (refused.code, "rachel is no owner of this site" in refused.err) == (3, True)
    for _ in range(2):
        by_git(owen, "try-real")
    town.serve()
    assert tries(town) == [], "one owner twice is one owner"
    by_git(olga, "try-real")
    town.serve()
    assert len(tries(town)) == 1


def test_a_claimed_trial_that_left_nothing_is_not_run_again(town: Town, rachel: Desk) -> None:
    rachel.request("rachel/job")
    town.serve()
    owen = town.desk("owen")
    by_git(owen, "try-real")
    decision = owen.git("rev-parse", "HEAD")
    empty = vault(town, "hash-object", "-t", "tree", "-w", "/dev/null")
    who = ("-c", "user.name=x", "-c", "user.email=x@x.example")
    claim = vault(town, *who, "commit-tree", "-m", "claim", empty)
    vault(town, "update-ref", f"refs/tries/rachel/job/{decision}", claim)
    assert "rachel/job: trial: interrupted" in town.serve().err
    assert "Outcome: interrupted" in vault(town, "log", "-1", "--format=%B", "outputs/rachel/job")


def test_try_runs_at_once_where_the_site_is_here_and_a_new_revision_needs_new_words(town: Town, rachel: Desk) -> None:
    rachel.request("rachel/job")
    done(town.desk("owen").gitqueue("try", "rachel/job", "--real"))
    assert len(tries(town)) == 1
    rachel.write({"jobs/rachel/job/main.py": MAIN.replace(b"radius,", b"mean,")})
    rachel.git("commit", "-q", "-S", "-a", "-m", "Name it so")
    rachel.git("push", "-q", "origin", "HEAD")
    town.serve()
    assert len(tries(town)) == 1, "what nobody signed does not meet the real data"


NOISE = b"import os, time; open(os.environ['GITQUEUE_OUTPUT'] + '/means.csv', 'w').write(f'a\\n{time.time_ns()}\\n')"
STATEFUL = b"""import os, time
real = sum(1 for _ in open(os.environ["GITQUEUE_DATA"] + "/cancer/features.csv")) == 61
open(os.environ["GITQUEUE_OUTPUT"] + "/means.csv", "w").write(f"a\\n{time.time_ns() if real else 1}\\n")
"""


def state(town: Town) -> str:
    return str(json.loads(town.gitqueue("show", "rachel/job", "--json").out)["state"])


@pytest.mark.parametrize(("approver", "ends"), [("owen", "completed"), ("olga", "held")])
def test_an_approval_releases_what_its_owner_saw_in_a_trial(town: Town, rachel: Desk, approver: str, ends: str) -> None:
    done(town.desk("owen").gitqueue("policy", "set", "release=review"))
    revision = rachel.request("rachel/job")
    town.serve()
    by_git(town.desk("owen"), "try-real")
    town.serve()
    town.desk(approver).approve(revision)
    town.serve()
    assert state(town) == ends


def test_a_trial_of_other_code_releases_nothing(town: Town, rachel: Desk) -> None:
    done(town.desk("owen").gitqueue("policy", "set", "release=review"))
    rachel.request("rachel/job")
    town.serve()
    by_git(town.desk("owen"), "try-real")
    town.serve()
    rachel.write({"jobs/rachel/job/main.py": MAIN + b"# the same outputs\n"})
    rachel.git("commit", "-q", "-S", "-a", "-m", "A comment")
    rachel.git("push", "-q", "origin", "HEAD")
    town.desk("owen").approve(rachel.git("rev-parse", "HEAD"))
    town.serve()
    assert state(town) == "held", "the owner saw what another tree wrote"


@pytest.mark.parametrize(
    ("program", "ends"), [(STATEFUL, "held"), (NOISE, "completed")], ids=["steady on mock", "never"]
)
def test_a_reproducible_job_that_departs_from_its_trial_waits(
    town: Town, rachel: Desk, program: bytes, ends: str
) -> None:
    revision = rachel.request("rachel/job", {"job.yaml": JOB, "main.py": program})
    town.serve()
    by_git(town.desk("owen"), "try-real")
    town.serve()
    town.desk("owen").approve(revision)
    town.serve()
    assert state(town) == ends
    if ends == "held":
        assert "it is not what the owners saw" in done(town.desk("owen").gitqueue("outputs", "rachel/job")).out
