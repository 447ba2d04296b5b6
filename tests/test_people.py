"""The commands of people in their clones, over the same refs as plain git."""

import json
from pathlib import Path

from conftest import JOB, MAIN, REAL, Desk, Town, call, configure, done, ok, run


def desk_of(town: Town, name: str, tmp_path: Path) -> Desk:
    """A clone made by `gitqueue clone`."""
    done(call("clone", town.repository, tmp_path / name))
    configure(tmp_path / name, name, town.key(name))
    ok("git", "config", "--unset", "commit.gpgsign", cwd=tmp_path / name)
    return Desk(name, tmp_path / name)


def test_a_whole_job_by_the_commands_alone(town: Town, tmp_path: Path) -> None:
    rachel, owen = desk_of(town, "rachel", tmp_path), desk_of(town, "owen", tmp_path)
    assert "cancer" in done(rachel.gitqueue("datasets")).out
    assert "$GITQUEUE_DATA/cancer/features.csv" in done(rachel.gitqueue("datasets", "cancer")).out
    assert "began jobs/rachel/first/" in done(rachel.gitqueue("new", "first", "--dataset", "cancer")).out
    rachel.write({"jobs/rachel/first/job.yaml": JOB, "jobs/rachel/first/main.py": MAIN})
    assert "nothing against it" in done(rachel.gitqueue("check")).out
    assert "outputs    means.csv" in done(rachel.gitqueue("test")).out
    assert "rachel/first is pending" in done(rachel.gitqueue("submit", "-m", "Please")).out
    assert rachel.gitqueue("submit").code == 2, "nothing has changed"

    assert [row["state"] for row in json.loads(owen.gitqueue("list", "--json").out)] == ["pending"]
    report = done(owen.gitqueue("review")).out
    assert "rachel/first: Mean radius by diagnosis" in report
    assert "+run: python main.py" in report
    assert "purpose    NOT GIVEN" in report
    assert "rachel/first is approved" in done(owen.gitqueue("approve", "rachel/first", "-m", "Fine")).out
    town.serve()

    assert "means.csv" in done(rachel.gitqueue("results", "-o", tmp_path / "out")).out
    assert f",{len(REAL.splitlines()) - 1}\n" in (tmp_path / "out" / "means.csv").read_text()
    assert rachel.gitqueue("results", "-o", tmp_path / "out").code == 2, "it writes over nothing"


def test_what_show_says_has_the_documented_keys(town: Town, rachel: Desk, owen: Desk) -> None:
    owen.approve(rachel.request("rachel/job"))
    town.serve()
    row = json.loads(done(rachel.gitqueue("show", "job", "--json")).out)
    documented = """id uid state reason name description requester requester_email project tags datasets created_at
        revision tree decisions approval run findings results_ref"""
    assert set(documented.split()) <= set(row)
    assert (row["id"], row["uid"], row["requester_email"]) == ("rachel/job", "rachel/job", "rachel@uni.example")
    assert (row["approval"]["by"], row["run"]["attempt"], row["run"]["exit_code"]) == ("owen", 1, None)
    assert row["run"]["started_at"].endswith(":00Z")


def test_several_jobs_are_approved_in_one_push_or_none_of_them(rachel: Desk, owen: Desk, town: Town) -> None:
    for job in ("rachel/a", "rachel/b"):
        rachel.request(job)
    before = town.refs()["refs/heads/approved"]
    assert owen.gitqueue("approve", "rachel/a", "rachel/zzz").code == 2
    assert town.refs()["refs/heads/approved"] == before
    said = done(owen.gitqueue("approve", "rachel/a", "rachel/b")).out
    assert "rachel/a is approved" in said
    assert "rachel/b is approved" in said


def test_a_rejection_reaches_the_requester_and_a_revision_is_pending_again(rachel: Desk, owen: Desk) -> None:
    rachel.request("rachel/job")
    done(owen.gitqueue("request-changes", "rachel/job", "-m", "Round the mean"))
    assert "owen: changes-requested: Round the mean" in done(rachel.gitqueue("show", "job")).out
    rachel.write({"jobs/rachel/job/main.py": MAIN + b"# rounded\n"})
    done(rachel.gitqueue("submit", "-m", "Rounded"))
    assert json.loads(owen.gitqueue("show", "rachel/job", "--json").out)["state"] == "pending"
    assert "(on an earlier revision)" in owen.gitqueue("review", "rachel/job").out


def test_a_merge_by_plain_git_is_said_to_approve_and_how_to_publish_it(town: Town, tmp_path: Path) -> None:
    owen = desk_of(town, "owen", tmp_path)
    revision = town.desk("rachel").request("rachel/job")
    owen.git("fetch", "-q")
    owen.git("switch", "-q", "approved")
    merged = run("git", "merge", "-S", "--no-ff", revision, "-m", "Fine", cwd=owen.path)
    assert "this approves rachel/job; publish it: git push origin approved" in merged.err + merged.out
    assert town.refs()["refs/heads/approved"] != owen.git("rev-parse", "HEAD")
    owen.git("reset", "-q", "--hard", "origin/approved")
    owen.git("config", "gitqueue.push", "true")
    owen.git("merge", "-q", "-S", "--no-ff", revision, "-m", "Fine")
    assert town.refs()["refs/heads/approved"] == owen.git("rev-parse", "HEAD")


def test_people_and_keys_come_and_go_in_signed_commits(town: Town, owen: Desk) -> None:
    rolf = town.desk("rolf")
    done(owen.gitqueue("person", "revoke", "rolf", "--since", "2026-01-01"))
    rolf.request("rolf/late", push=False)
    assert "which was revoked on 2026-01-01" in rolf.refused("push", "origin", "HEAD")
    people = json.loads(done(owen.gitqueue("person", "list", "--json")).out)
    assert people["rolf"]["keys"][0]["revoked"] == "2026-01-01"
    assert "was revoked" not in town.desk("rachel").git("log", "-1", "--format=%s", "origin/approved")


def test_the_last_owner_cannot_be_revoked(owen: Desk, town: Town) -> None:
    done(owen.gitqueue("person", "revoke", "olga"))
    before = town.refs()
    ended = owen.gitqueue("person", "revoke", "owen")
    assert (ended.code, "owners with a key that is not revoked are none" in ended.err) == (2, True)
    assert town.refs() == before


def test_the_policy_is_explained_in_sentences(rachel: Desk) -> None:
    said = done(rachel.gitqueue("policy", "show")).out
    assert "It runs after a signed merge by one owner who is not its requester." in said
    assert "Results are plain" in said


def test_a_lock_is_written_with_hashes(rachel: Desk) -> None:
    files = {"job.yaml": JOB + b"environment: requirements.txt\n", "main.py": MAIN, "requirements.txt": b"six\n"}
    rachel.request("rachel/job", files, push=False)
    rachel.write({"jobs/rachel/job/requirements.txt": b"numpy==2.2.6\n"})
    refused = rachel.gitqueue("check")
    assert (refused.code, "hash" in refused.err) == (1, True)
    done(rachel.gitqueue("check", "--fix"))
    assert "--hash=sha256:" in (rachel.path / "jobs/rachel/job/requirements.txt").read_text()
    assert (rachel.path / "jobs/rachel/job/requirements.in").read_text() == "numpy==2.2.6\n"
