"""Several owners, lost keys and revoked ones: who must agree, and what stands when a key falls."""

import json
from pathlib import Path

import pytest
from conftest import Desk, Town, call, done, ok

pytestmark = pytest.mark.slow  # many real pushes and runs: `make quick` leaves them to `make test`

WRITE = b"import os; open(os.environ['GITQUEUE_OUTPUT'] + '/means.csv', 'w').write('patient_id,n\\n1,2\\n')\n"


@pytest.fixture
def two(town: Town) -> Town:
    """A site that asks for two owners, and has a third."""
    owen = town.desk("owen")
    pub = town.key("stranger").with_suffix(".pub")
    done(owen.gitqueue("person", "add", "third", "--email", "third@uni.example", "--key", pub, "--role", "owner"))
    done(owen.gitqueue("policy", "set", "approvals=2"))
    return town


def state(town: Town, job: str) -> str:
    return str(json.loads(town.gitqueue("show", job, "--json").out)["state"])


def test_a_job_needs_the_word_of_two_owners_by_the_commands(two: Town, rachel: Desk, owen: Desk, olga: Desk) -> None:
    rachel.request("rachel/job")
    first = done(owen.gitqueue("approve", "rachel/job", "-m", "Fine by me")).out
    assert "endorsed rachel/job: 1 of 2 (owen)" in first
    assert state(two, "rachel/job") == "pending"
    again = owen.gitqueue("approve", "rachel/job")
    assert again.code == 2
    assert "rachel/job has your word already, and that of 1 of 2 (owen)" in again.err
    assert "rachel/job is approved" in done(olga.gitqueue("approve", "rachel/job")).out
    two.serve()
    assert state(two, "rachel/job") == "completed"
    rachel.git("fetch", "-q")
    rachel.git("config", "gitqueue.root", rachel.git("rev-list", "--max-parents=0", "origin/approved"))
    done(rachel.gitqueue("verify"))


def endorse(desk: Desk, revision: str, job: str, decision: str = "endorsed") -> str:
    """By the plain git lines of design/1-workflow.md."""
    desk.git("fetch", "-q")
    desk.git("switch", "-q", "--detach", revision)
    trailers = f"Decision: {decision}\nRevision: {revision}"
    there = f"refs/remotes/origin/reviews/{job}"
    if desk.git("for-each-ref", there):
        desk.git("merge", "-q", "-S", "-s", "ours", there, "-m", "So I think", "-m", trailers)
    else:
        desk.git("commit", "-q", "-S", "--allow-empty", "-m", "So I think", "-m", trailers)
    desk.git("push", "-q", "origin", f"HEAD:refs/heads/reviews/{job}")
    return desk.git("rev-parse", "HEAD")


def test_plain_git_suffices_to_endorse_and_to_merge_what_was_endorsed(two: Town, rachel: Desk) -> None:
    owen, olga = two.desk("owen"), two.desk("olga")
    revision = rachel.request("rachel/job")
    alone = olga.merge(revision)
    refused = olga.refused("push", "origin", "approved")
    assert f"commit {alone[:12]} on approved has the word of 1 of 2 owners (olga)" in refused
    thread = endorse(owen, revision, "rachel/job")
    olga.git("reset", "-q", "--hard", "origin/approved")
    olga.git("fetch", "-q")
    olga.merge(thread)
    olga.git("push", "-q", "origin", "approved")
    assert state(two, "rachel/job") == "approved"


def test_people_are_counted_not_keys(two: Town, rachel: Desk, owen: Desk, olga: Desk, tmp_path: Path) -> None:
    ok("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "spare", cwd=tmp_path)
    proposed = done(owen.gitqueue("person", "add", "owen", "--key", tmp_path / "spare.pub")).out
    done(olga.gitqueue("approve", name_of(proposed)))
    revision = rachel.request("rachel/job")
    thread = endorse(owen, revision, "rachel/job")
    owen.git("config", "user.signingkey", str(tmp_path / "spare.pub"))
    owen.git("switch", "-q", "approved")
    owen.merge(thread)
    assert "has the word of 1 of 2 owners (owen)" in owen.refused("push", "origin", "approved")


def name_of(said: str) -> str:
    return said.split("gitqueue approve ")[1].split()[0]


def test_the_newest_decision_counts_and_a_standing_rejection_blocks(two: Town, rachel: Desk) -> None:
    owen, olga, third = two.desk("owen"), two.desk("olga"), Desk("third", two.desk("stranger").path)
    revision = rachel.request("rachel/job")
    endorse(owen, revision, "rachel/job")
    thread = endorse(owen, revision, "rachel/job", "rejected")
    olga.merge(thread)
    said = olga.refused("push", "origin", "approved")
    assert "goes against the rejection of owen, which stands" in said
    assert "has the word of 1 of 2 owners (olga)" in said
    olga.git("reset", "-q", "--hard", "origin/approved")
    thread = endorse(third, revision, "rachel/job")
    olga.merge(thread)
    assert "goes against the rejection of owen" in olga.refused("push", "origin", "approved")
    olga.git("reset", "-q", "--hard", "origin/approved")
    thread = endorse(owen, revision, "rachel/job")
    olga.merge(thread)
    olga.git("push", "-q", "origin", "approved")


def test_a_merge_that_leaves_out_what_was_said_is_refused(two: Town, rachel: Desk) -> None:
    owen, olga, third = two.desk("owen"), two.desk("olga"), Desk("third", two.desk("stranger").path)
    revision = rachel.request("rachel/job")
    early = endorse(owen, revision, "rachel/job")
    endorse(third, revision, "rachel/job", "rejected")
    olga.merge(early)
    assert "leaves out decisions that the site has received" in olga.refused("push", "origin", "approved")


def test_an_endorsement_of_an_earlier_revision_does_not_count(two: Town, rachel: Desk) -> None:
    owen, olga = two.desk("owen"), two.desk("olga")
    endorse(owen, rachel.request("rachel/job"), "rachel/job")
    rachel.write({"jobs/rachel/job/main.py": WRITE})
    rachel.git("commit", "-q", "-S", "-am", "Something else")
    rachel.git("push", "-q", "origin", "HEAD")
    thread = endorse(olga, rachel.git("rev-parse", "HEAD"), "rachel/job")
    third = Desk("third", two.desk("stranger").path)
    third.git("fetch", "-q")
    olga.merge(thread)
    assert "has the word of 1 of 2 owners (olga)" in olga.refused("push", "origin", "approved")
    third.merge(thread)
    third.git("push", "-q", "origin", "approved")


def test_a_release_needs_two_owners_too(two: Town, rachel: Desk, owen: Desk, olga: Desk) -> None:
    from conftest import JOB

    revision = rachel.request("rachel/job", {"job.yaml": JOB, "main.py": WRITE})
    endorse(owen, revision, "rachel/job")
    done(olga.gitqueue("approve", "rachel/job"))
    two.serve()
    assert state(two, "rachel/job") == "held"
    done(owen.gitqueue("release", "rachel/job"))
    two.serve()
    assert state(two, "rachel/job") == "held"
    done(olga.gitqueue("release", "rachel/job"))
    two.serve()
    assert state(two, "rachel/job") == "completed"


def test_a_site_change_comes_as_a_request_and_needs_another_owner(two: Town, owen: Desk, olga: Desk) -> None:
    before = two.refs()["refs/heads/approved"]
    said = done(owen.gitqueue("policy", "set", "limits.time=2h")).out
    assert two.refs()["refs/heads/approved"] == before
    assert "a site change" in said
    name = name_of(said)
    report = done(olga.gitqueue("review", name)).out
    assert "+limits: {time: 2h" in report
    mine = owen.gitqueue("approve", name)
    assert mine.code != 0
    assert "1 of 2" in mine.out + mine.err
    done(olga.gitqueue("approve", name))
    assert "at most 2h" in done(two.desk("rachel").gitqueue("policy", "show")).out
    assert state(two, name) == "completed"


def test_a_site_change_by_one_owner_alone_or_an_edited_one_is_refused(two: Town) -> None:
    owen, olga = two.desk("owen"), two.desk("olga")
    owen.git("fetch", "-q")
    owen.git("switch", "-q", "--detach", "origin/approved")
    owen.write({"NOTES.md": b"hello\n"})
    owen.git("add", "NOTES.md")
    owen.git("commit", "-q", "-S", "-m", "Notes")
    assert "has the word of 1 of 2 owners (owen)" in owen.refused("push", "origin", "HEAD:refs/heads/approved")
    owen.git("push", "-q", "origin", "HEAD:refs/heads/requests/owen/notes")
    olga.git("fetch", "-q")
    olga.git("switch", "-q", "approved")
    olga.git("merge", "-q", "--ff-only", "origin/approved")
    olga.git("merge", "-q", "--no-commit", "--no-ff", "origin/requests/owen/notes")
    olga.write({"MORE.md": b"smuggled\n"})
    olga.git("add", "MORE.md")
    olga.git("commit", "-q", "-S", "-m", "Fine")
    assert "is not exactly the site change that was proposed" in olga.refused("push", "origin", "approved")
    olga.git("reset", "-q", "--hard", "origin/approved")
    olga.git("merge", "-q", "-S", "--no-ff", "origin/requests/owen/notes", "-m", "Fine")
    olga.git("push", "-q", "origin", "approved")


def test_a_requester_cannot_propose_a_site_change(two: Town) -> None:
    rachel = two.desk("rachel")
    rachel.git("switch", "-q", "--detach", "origin/approved")
    rachel.write({"NOTES.md": b"hello\n"})
    rachel.git("add", "NOTES.md")
    rachel.git("commit", "-q", "-S", "-m", "Notes")
    assert "touches 'NOTES.md'" in rachel.refused("push", "origin", "HEAD:refs/heads/requests/rachel/notes")


# a two-owner site never locks itself up


def test_an_owner_is_added_a_lost_key_replaced_and_n_raised_with_two_owners(
    two: Town, owen: Desk, olga: Desk, tmp_path: Path
) -> None:
    ok("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "new", cwd=tmp_path)
    fresh = done(owen.gitqueue("person", "add", "olga", "--key", tmp_path / "new.pub", "--role", "owner")).out
    third = Desk("third", two.desk("stranger").path)
    done(third.gitqueue("approve", name_of(fresh)))
    olga.git("config", "user.signingkey", str(tmp_path / "new.pub"))
    raised = done(olga.gitqueue("policy", "set", "approvals=3")).out
    done(owen.gitqueue("approve", name_of(raised)))
    lowered = done(olga.gitqueue("policy", "set", "approvals=1")).out
    assert "endorsed" in done(owen.gitqueue("approve", name_of(lowered))).out
    done(third.gitqueue("approve", name_of(lowered)))
    toomany = owen.gitqueue("policy", "set", "approvals=4")
    assert (toomany.code, "approvals is 4" in toomany.err) == (2, True)


def test_the_recovery_key_may_change_people_and_nothing_else(town: Town, tmp_path: Path) -> None:
    for name in ("offline", "newkey"):
        ok("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name, cwd=tmp_path)
    owner = ("--owner", "owen", "--email", "o@x.example", "--key", town.key("owen"))
    done(call("init", tmp_path / "site", *owner, "--recovery-key", tmp_path / "offline.pub"))
    ok("git", "clone", "-q", tmp_path / "site" / "site.git", tmp_path / "desk", cwd=tmp_path)
    from conftest import configure

    configure(tmp_path / "desk", "nobody", tmp_path / "offline")
    desk = Desk("recovery", tmp_path / "desk")
    new = ("--key", tmp_path / "newkey.pub", "--role", "owner")
    refused = desk.gitqueue("policy", "set", "results=plain")
    assert (refused.code, "which may change people.yaml and nothing else" in refused.err) == (3, True), refused.err
    done(desk.gitqueue("person", "add", "owen", *new))
    configure(tmp_path / "desk", "owen", tmp_path / "newkey")
    done(desk.gitqueue("policy", "set", "results=plain"))


# revoked keys


def test_revoking_a_key_lists_its_approvals_and_suspends_what_has_not_run(town: Town, rachel: Desk) -> None:
    owen, olga = town.desk("owen"), town.desk("olga")
    olga.approve(rachel.request("rachel/ran"))
    town.serve()
    olga.approve(rachel.request("rachel/waits"))
    said = done(owen.gitqueue("person", "revoke", "olga", "--since", "2020-01-01")).out
    assert "olga approved rachel/ran on" in said
    assert "it is completed" in said
    assert "olga approved rachel/waits on" in said
    assert "it is suspended" in said
    assert "rachel/waits is suspended" in town.once().err
    assert state(town, "rachel/waits") == "suspended"
    late = olga.gitqueue("rerun", "rachel/waits")
    assert (late.code, "was revoked on" in late.err) == (3, True)
    done(owen.gitqueue("rerun", "rachel/waits", "-m", "I have read it, too"))
    town.serve()
    assert state(town, "rachel/waits") == "completed"
    rachel.git("fetch", "-q")
    rachel.git("config", "gitqueue.root", rachel.git("rev-list", "--max-parents=0", "origin/approved"))
    assert "2 approvals" in done(rachel.gitqueue("verify")).out


def test_the_operators_own_list_suspends_at_once_whatever_the_chain_says(town: Town, rachel: Desk) -> None:
    olga = town.desk("olga")
    olga.approve(rachel.request("rachel/waits"))
    print_ = ok("ssh-keygen", "-lf", town.key("olga"), cwd=town.path).split()[1]
    settings = town.site / "private" / "runner.yaml"
    settings.write_text(settings.read_text().replace("revoked: []", f"revoked: ['{print_}']"))
    town.once()
    assert "refs/heads/results/rachel/waits" not in town.refs()
    rachel.request("rachel/next")
    olga.git("fetch", "-q")
    olga.merge(olga.git("rev-parse", "origin/requests/rachel/next"))
    assert "which the site's operator has revoked" in olga.refused("push", "origin", "approved")


def test_status_and_doctor_warn_before_the_last_owners_key_ends(town: Town) -> None:
    from datetime import UTC, datetime, timedelta

    owen = town.desk("owen")
    soon = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    owen.git("switch", "-q", "approved")
    people = owen.path / ".gitqueue" / "people.yaml"
    assert "the last owner's key ends" not in town.gitqueue("status").out
    text = people.read_text().replace("keys:\n  - key:", f"keys:\n  - until: {soon}\n    key:")
    from gitqueue.adapters.edit import edit

    def alter(document) -> None:  # type: ignore[no-untyped-def]
        for name in ("owen", "olga"):
            document[name]["keys"][0]["until"] = soon

    from gitqueue.rules import policy

    data = edit(text.encode(), alter)
    people.write_bytes(data)
    (owen.path / ".gitqueue" / "allowed_signers").write_text(policy.allowed_signers(policy.parse_people(data)))
    owen.git("commit", "-q", "-S", "-am", "Keys end")
    owen.git("push", "-q", "origin", "approved")
    assert f"the last owner's key ends {soon}" in town.gitqueue("status").out
    assert f"the last owner's key ends {soon}" in town.gitqueue("doctor").out
