"""What waits in the vault leaves it as owners say: all of it, named files, the log, or nothing."""

import json
import sys
from pathlib import Path

import pytest
from conftest import JOB, Desk, Town, configure, done, ok, run

from gitqueue.errors import Mistake, Tampered
from gitqueue.steps import collect

MAIN = b"""import os
for name, text in (("means.csv", "patient_id,mean\\n7,1\\n"), ("counts.csv", "n\\n40\\n")):
    open(os.environ["GITQUEUE_OUTPUT"] + "/" + name, "w").write(text)
print("forty rows read")
"""


def held(town: Town, job: str = "rachel/job") -> str:
    """A job whose two outputs wait; the vault's commit."""
    files = {"job.yaml": JOB.replace(b"[means.csv]", b"['*.csv']"), "main.py": MAIN}
    town.desk("owen").approve(town.desk("rachel").request(job, files))
    town.serve()
    return waiting(town, job)


def waiting(town: Town, job: str) -> str:
    tip = town.refs()[f"refs/heads/results/{job}"]
    said = ok("git", "log", "-1", "--format=%(trailers:key=Outputs,valueonly)", tip, cwd=town.repository)
    assert said, "nothing is held"
    return said


def by_command(desk: Desk, vault: str) -> None:
    done(desk.gitqueue("release", "rachel/job", "counts.csv", "-m", "A count"))


def by_git(desk: Desk, vault: str) -> None:
    push_note(desk, f'Decision: release\nOutputs: {vault}\nFiles: ["outputs/counts.csv"]')


def push_note(desk: Desk, trailers: str) -> None:
    desk.git("push", "-q", "origin", f"{note(desk, trailers)}:refs/heads/reviews/rachel/job")


def note(desk: Desk, trailers: str) -> str:
    desk.git("fetch", "-q", "origin")
    revision = desk.git("rev-parse", "origin/requests/rachel/job")
    desk.git("switch", "-q", "--detach", revision)
    text = f"A count\n\n{trailers}\nRevision: {revision}"
    if desk.git("for-each-ref", "refs/remotes/origin/reviews/rachel/job"):
        desk.git("merge", "-q", "-S", "-s", "ours", "origin/reviews/rachel/job", "-m", text)
    else:
        desk.git("commit", "-q", "-S", "--allow-empty", "-m", text)
    return desk.git("rev-parse", "HEAD")


@pytest.mark.parametrize("say", [by_command, by_git])
def test_a_release_of_some_files_leaves_the_others_in_the_vault_for_good(town: Town, say: object) -> None:
    vault = held(town)
    say(town.desk("owen"), vault)  # type: ignore[operator]
    town.serve()
    rachel = town.desk("rachel")
    done(rachel.gitqueue("results", "job", "-o", rachel.path / "out"))
    assert [path.name for path in (rachel.path / "out").iterdir()] == ["counts.csv"]
    everything = ok("git", "cat-file", "--batch-all-objects", "--batch", cwd=town.repository)
    assert "n\n40" in everything
    assert "mean\n7,1\n" not in everything, "what was not named is nowhere that a requester can fetch it"
    there = ok("git", "ls-tree", "-r", "--name-only", vault, cwd=town.site / "private" / "vault.git")
    assert "outputs/means.csv" in there
    again = town.desk("owen").gitqueue("release", "rachel/job", "means.csv")
    assert "rachel/job is completed: release does nothing to it any more" in again.err


WRONG = {
    "a file that does not wait": ('Decision: release\nOutputs: {}\nFiles: ["outputs/x.csv"]', "'outputs/x.csv', which"),
    "the plan of the run": ('Decision: release\nOutputs: {}\nFiles: ["plan.json"]', "names 'plan.json', which"),
    "files in disorder": ('Decision: release\nOutputs: {}\nFiles: ["b", "a"]', "no JSON list of paths in order"),
    "files with another decision": ('Decision: comment\nFiles: ["outputs/means.csv"]', "Files goes with release alone"),
    "outputs of another run": ("Decision: release\nOutputs: " + "d" * 40, "names outputs dddddddddddd"),
    "a rehearsal by an owner": ("Decision: rehearsed", "rehearsed is what the site's runner says"),
    "a digest that is none": ("Decision: comment\nTested: 12", "which is no SHA-256"),
}


def test_a_release_that_names_anything_else_is_refused_with_the_reason(town: Town) -> None:
    vault, owen = held(town), town.desk("owen")
    for trailers, reason in WRONG.values():
        commit = note(owen, trailers.format(vault))
        assert reason in owen.refused("push", "origin", f"{commit}:refs/heads/reviews/rachel/job")
    said = owen.gitqueue("release", "rachel/job", "x.csv")
    assert (said.code, "'x.csv' does not wait" in said.err, "'counts.csv', 'means.csv'" in said.err) == (2, True, True)


def test_the_log_goes_when_it_is_named_and_not_otherwise(town: Town) -> None:
    held(town)
    done(town.desk("owen").gitqueue("release", "rachel/job", "counts.csv", "--log"))
    town.serve()
    rachel = town.desk("rachel")
    done(rachel.gitqueue("results", "job", "-o", rachel.path / "out"))
    assert sorted(path.name for path in (rachel.path / "out").iterdir()) == ["counts.csv", "run.log"]
    assert "forty rows read" in (rachel.path / "out" / "run.log").read_text()
    rachel.git("config", "gitqueue.root", rachel.git("rev-list", "--max-parents=0", "origin/approved"))
    done(rachel.gitqueue("verify", "rachel/job"))
    assert json.loads(done(town.gitqueue("show", "rachel/job", "--json")).out)["state"] == "completed"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../out.csv", "no safe file name"),
        ("a/../../out.csv", "no safe file name"),
        ("/tmp/out.csv", "no safe file name"),
        (".git/config", "no safe file name"),
        ("a\nb", "no safe file name"),
        ("a\u202eb", "no safe file name"),
        ("", "no safe file name"),
        ("link/deep/out.csv", "outside"),
    ],
)
def test_results_write_no_name_outside_their_folder(tmp_path: Path, name: str, reason: str) -> None:
    folder, elsewhere = tmp_path / "results", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "link").symlink_to(elsewhere)
    with pytest.raises(Tampered, match=reason):
        collect.write({"first.csv": b"1", name: b"2"}, folder)
    assert [path.name for path in folder.iterdir()] == ["link"], "nothing is written before all is judged"
    assert not list(elsewhere.iterdir())


def test_results_write_over_nothing(tmp_path: Path) -> None:
    (tmp_path / "kept.csv").symlink_to(tmp_path / "nowhere")
    with pytest.raises(Mistake, match="is there already"):
        collect.write({"new.csv": b"1", "kept.csv": b"2"}, tmp_path)
    assert not (tmp_path / "new.csv").exists()
    assert not (tmp_path / "nowhere").exists()


def test_who_signs_with_a_key_that_cannot_decrypt_gets_an_identity_that_can(town: Town) -> None:
    key = town.path / "keys" / "erin"
    ok("ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", key, cwd=town.path)
    owen = town.desk("owen")
    done(owen.gitqueue("policy", "set", "results=sealed"))
    done(owen.gitqueue("person", "add", "erin", "--email", "erin@uni.example", "--key", f"{key}.pub"))
    names = ("gpg.format", "user.signingkey", "user.name", "user.email")
    settings = zip(names, ("ssh", f"{key}.pub", "erin", "erin@uni.example"), strict=True)
    config = "".join(f"[{name.split('.')[0]}]\n{name.split('.')[1]} = {value}\n" for name, value in settings)
    (town.path / "gitconfig").write_text(config)
    words = ("clone", str(town.repository), str(town.path / "erin"))
    env = {"GIT_CONFIG_GLOBAL": str(town.path / "gitconfig")}
    said = run(sys.executable, "-m", "gitqueue", *words, cwd=town.path, env=env)
    line = next(line for line in said.err.splitlines() if "--seal age1" in line)
    identity = town.path / "erin" / ".git" / "gitqueue" / "age-identity"
    assert identity.stat().st_mode & 0o777 == 0o600
    done(owen.gitqueue(*line.split()[1:]))
    configure(town.path / "erin", "erin", key)
    erin = Desk("erin", town.path / "erin")
    owen.approve(erin.request("erin/job"))
    town.serve()
    done(erin.gitqueue("results", "job", "-o", erin.path / "out"))
    assert "radius,22.90,60" in (erin.path / "out" / "means.csv").read_text()
