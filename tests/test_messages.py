"""Every mistake of a newcomer gets one clear message with the next step, and never a traceback."""

import os
import sys
from pathlib import Path

from conftest import JOB, MAIN, Desk, Done, Town, call, done, ok, run


def says(ended: Done, code: int, *words: str) -> None:
    """The exit code, and every part of the message; each line is marked as ours."""
    lines = ended.err.strip().splitlines()
    assert ended.code == code, ended.err
    assert "Traceback" not in ended.err
    assert all(line.startswith("gitqueue: ") for line in lines), ended.err
    for word in words:
        assert word in ended.err


def test_a_command_outside_a_clone_says_where_to_go(tmp_path: Path) -> None:
    says(call("-C", tmp_path, "list"), 2, f"{str(tmp_path)!r} is not in a clone of a site", "gitqueue clone URL")
    says(call("-C", tmp_path, "status"), 2, "is not in a clone of a site")
    says(call("-C", tmp_path, "serve", "--once"), 2, "is no gitqueue site", "gitqueue init DIR")
    says(call("-C", tmp_path / "absent", "list"), 2, "there is no folder")


def test_a_clone_of_something_else_is_told_from_a_site(tmp_path: Path) -> None:
    ok("git", "init", "-q", tmp_path / "other", cwd=tmp_path)
    says(call("-C", tmp_path / "other", "list", "--offline"), 2, "its remote has no branch 'approved'")


def test_a_misspelt_command_and_option_are_named(tmp_path: Path) -> None:
    says(call("aprove"), 2, "aprove", "gitqueue --help")
    says(call("list", "--al"), 2, "--al", "gitqueue list --help")


def test_people_are_sent_from_the_site_to_a_clone(town: Town) -> None:
    says(town.gitqueue("approve", "rachel/x"), 2, "this is the site itself", "gitqueue clone")


def test_no_signing_key_shows_how_to_make_and_set_one(rachel: Desk) -> None:
    rachel.git("config", "--unset", "user.signingkey")
    says(rachel.gitqueue("new", "x"), 2, "git has no ssh signing key", "ssh-keygen -t ed25519", "user.signingkey")


def test_a_signing_key_of_an_unsupported_kind_is_refused(town: Town, rachel: Desk) -> None:
    path = town.path / "keys" / "short"
    ok("ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", path, cwd=town.path)
    rachel.git("config", "user.signingkey", f"{path}.pub")
    says(rachel.gitqueue("new", "x"), 2, "your signing key cannot be used", "RSA of 2048 bits")
    path.with_suffix(".pub").write_text("ssh-dss AAAAB3NzaC1kc3MAAACBAP1/\n")
    says(rachel.gitqueue("new", "x"), 2, "your signing key cannot be used", "is of no kind that is taken here")


def test_an_unknown_key_gets_the_line_to_send_to_an_owner(town: Town) -> None:
    desk = town.desk("stranger")
    key = town.key("stranger").with_suffix(".pub").read_text().strip()
    line = f"gitqueue person add NAME --email stranger@uni.example --key '{key}'"
    says(desk.gitqueue("new", "x"), 2, "does not know your signing key", line)
    revision = desk.request("stranger/x", push=False)
    refused = desk.refused("push", "origin", "HEAD")
    assert f"commit {revision[:12]} is signed with a key that this site does not know" in refused
    assert "gitqueue person add NAME" in refused


def test_an_unknown_dataset_gets_the_nearest_name(rachel: Desk) -> None:
    says(rachel.gitqueue("new", "x", "--dataset", "cancr"), 2, "no dataset 'cancr' (did you mean 'cancer'?)")
    rachel.request("rachel/x", {"job.yaml": JOB.replace(b"cancer", b"cancr"), "main.py": MAIN}, push=False)
    assert "(did you mean 'cancer'?)" in rachel.refused("push", "origin", "HEAD")


def test_a_misspelt_key_is_named_at_home_and_at_the_gate_in_the_same_words(rachel: Desk) -> None:
    rachel.request("rachel/x", {"job.yaml": JOB.replace(b"datasets", b"dataset"), "main.py": MAIN}, push=False)
    words = "jobs/rachel/x/job.yaml: unknown key 'dataset' at top level (did you mean 'datasets'?)"
    says(rachel.gitqueue("check"), 1, words)
    assert words in rachel.refused("push", "origin", "HEAD")


def test_a_branch_name_that_does_not_fit_is_refused_with_the_form_that_does(rachel: Desk, town: Town) -> None:
    before = town.refs()
    rachel.request("rachel/x", push=False)
    for name in ("feature", "requests/x", "requests/rachel/BIG", "requests/rachel/a/b"):
        assert "push requests/<your name>/<job>" in rachel.refused("push", "origin", f"HEAD:refs/heads/{name}")
    assert town.refs() == before


def test_an_unsigned_request_shows_the_configuration_that_mends_it(rachel: Desk) -> None:
    rachel.git("switch", "-q", "-c", "requests/rachel/x", "--no-track", "origin/approved")
    rachel.write({"jobs/rachel/x/job.yaml": JOB, "jobs/rachel/x/main.py": MAIN})
    rachel.git("add", "jobs")
    rachel.git("commit", "-q", "--no-gpg-sign", "-m", "x")
    said = " ".join(line.removeprefix("remote: ") for line in rachel.refused("push", "origin", "HEAD").splitlines())
    for line in ("git config gpg.format ssh", "git config user.signingkey", "git commit --amend -S --no-edit"):
        assert line in said
    assert "nothing of this push was kept" in said


def test_an_owner_cannot_approve_their_own_request(town: Town) -> None:
    owen = town.desk("owen")
    done(owen.gitqueue("person", "add", "owen", "--role", "requester", "--key", second_key(town)))
    owen.request("owen/mine")
    says(owen.gitqueue("approve", "owen/mine"), 3, "which owen signed as requester: another owner may")


def second_key(town: Town) -> Path:
    path = town.key("second")
    ok("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path, cwd=town.path)
    return path.with_suffix(".pub")


def test_approving_what_has_changed_since_it_was_read_stops(town: Town, rachel: Desk, owen: Desk) -> None:
    first = rachel.request("rachel/x")
    assert "+run: python main.py" in owen.gitqueue("diff", "rachel/x").out
    rachel.write({"jobs/rachel/x/main.py": b"print('something else')\n"})
    rachel.git("commit", "-q", "-S", "-am", "Change")
    rachel.git("push", "-q", "origin", "HEAD")
    before = town.refs()["refs/heads/approved"]
    says(owen.gitqueue("approve", "rachel/x"), 2, f"rachel/x has changed since you read it ({first[:12]} then")
    assert town.refs()["refs/heads/approved"] == before
    done(owen.gitqueue("review", "rachel/x"))
    done(owen.gitqueue("approve", "rachel/x"))


def test_a_decision_on_nothing_names_the_nearest_job(rachel: Desk, owen: Desk) -> None:
    rachel.request("rachel/bc-mean")
    says(owen.gitqueue("reject", "rachel/bc-men", "-m", "no"), 2, "no request rachel/bc-men")
    says(owen.gitqueue("show", "bc-men"), 2, "no job 'bc-men' (did you mean 'bc-mean'?)")
    says(owen.gitqueue("show", "no such name"), 2, "'no such name'")


def test_a_refusal_without_a_reason_is_refused(rachel: Desk, owen: Desk) -> None:
    rachel.request("rachel/x")
    says(owen.gitqueue("reject", "rachel/x"), 3, "rejected needs a reason: say it with -m")
    says(owen.gitqueue("reject", "rachel/x", "-m", ""), 3, "rejected needs a reason")


def test_unreadable_data_show_the_line_that_lets_the_job_read_them(town: Town, owen: Desk) -> None:
    secret = town.path / "secret"
    secret.mkdir(mode=0o700)
    (secret / "x.csv").write_bytes(b"a\n1\n")
    ended = town.gitqueue("dataset", "bind", "cancer", f"features={secret / 'x.csv'}")
    if os.geteuid() == 0:
        says(ended, 5, "setfacl", str(secret))
    gone = town.gitqueue("dataset", "bind", "cancer", "features=/no/such.csv")
    says(gone, 5, "/no/such.csv")


def test_no_bubblewrap_means_nothing_runs_and_the_line_that_installs_it(town: Town) -> None:
    """In a mount namespace whose /usr/bin holds all but that one program."""
    own = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--mount", "--map-root-user")
    (town.path / "bin").mkdir()
    without = (
        'mount --rbind /usr/bin "$0" && PATH="$0" && mount -t tmpfs tmpfs /usr/bin'
        ' && ln -s "$0"/* /usr/bin/ && rm /usr/bin/bwrap && exec "$@"'
    )
    serve = (sys.executable, "-m", "gitqueue", "-C", town.site, "serve", "--once")
    ended = run(*own, "sh", "-c", without, town.path / "bin", *serve, cwd=town.path)
    says(ended, 5, "bubblewrap", "apt-get install bubblewrap")


def test_a_job_that_is_not_there_yet_is_named(rachel: Desk) -> None:
    rachel.git("switch", "-q", "-c", "requests/rachel/empty", "--no-track", "origin/approved")
    says(rachel.gitqueue("check"), 1, "there is no folder jobs/rachel/empty/", "gitqueue new empty")
    says(rachel.gitqueue("submit"), 1, "there is no folder jobs/rachel/empty/")


def test_a_site_is_not_made_over_something(town: Town, tmp_path: Path) -> None:
    owner = ("--owner", "o", "--email", "o@x.example", "--key", town.key("owen"))
    says(call("init", town.site, *owner), 2, "is a site already")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    says(call("init", tmp_path / "full", *owner), 2, "is there already and not empty")
    says(call("init", tmp_path / "a" / "b", *owner), 2, "does not exist", "mkdir -p")
    says(call("init", tmp_path / "new", "--owner", "o", "--email", "o@x.example"), 2, "no signing key")


def test_a_policy_that_means_nothing_is_refused_with_the_nearest_key(owen: Desk, town: Town) -> None:
    before = town.refs()
    says(owen.gitqueue("policy", "set", "result=plain"), 2, "unknown key 'result'", "did you mean 'results'")
    says(owen.gitqueue("policy", "set", "limits.time=long"), 2, "long")
    says(owen.gitqueue("policy", "set", "approvals=7"), 2, "approvals is 7")
    assert town.refs() == before
