"""`doctor` finds what keeps a site from working, says the line that mends it, and mends what needs no person."""

import json
import os
import sys

import pytest
from conftest import Town, done, ok, run

from gitqueue.adapters import environment, limits, sandbox
from gitqueue.steps.operate import SANDBOX_USER


def test_a_sound_site_is_in_order(town: Town) -> None:
    assert "this site is in order" in done(town.gitqueue("doctor")).out


def test_a_weakened_configuration_and_a_changed_hook_are_named_and_mended(town: Town) -> None:
    ok("git", "config", "receive.fsckObjects", "false", cwd=town.repository)
    ok("git", "config", "--unset", "core.bigFileThreshold", cwd=town.repository)
    hook = town.repository / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 0\n")
    ended = town.gitqueue("doctor")
    assert ended.code == 1
    assert "not as hardened as they were: receive.fsckObjects, core.bigFileThreshold" in ended.out
    assert "the hook pre-receive is not the one of this gitqueue" in ended.out
    assert "2 things are wrong" in ended.err
    mended = done(town.gitqueue("doctor", "--fix")).out
    assert mended.count("mended: ") == 2
    assert ok("git", "config", "receive.fsckObjects", cwd=town.repository) == "true"
    rachel = town.desk("rachel")
    assert "is written by the site's runner alone" in rachel.refused(
        "push", "origin", "HEAD:refs/heads/results/rachel/x"
    )
    done(town.gitqueue("doctor"))


def test_data_that_nobody_bound_and_a_lost_root_are_named(town: Town) -> None:
    settings = town.site / "private" / "runner.yaml"
    text = settings.read_text()
    settings.write_text(text.replace("features: ", "other: "))
    assert "gitqueue dataset bind cancer features=PATH" in town.gitqueue("doctor").out
    root = ok("git", "rev-list", "--max-parents=0", "approved", cwd=town.repository)
    settings.write_text(text.replace(root, "0" * 39 + "1"))
    assert "not with the pinned root" in town.gitqueue("doctor").out


def test_a_machine_without_the_python_of_the_checks_is_told_what_to_install(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "FOLDERS", (str(town.path),))
    said = town.gitqueue("doctor")
    assert said.code == 1
    assert "outputs are checked with the Python that gitqueue runs with" in said.out
    assert (
        f"mend it: apt-get install python{sys.version_info[0]}.{sys.version_info[1]}, or install gitqueue" in said.out
    )
    assert "gitqueue policy set dependencies.python=" in said.out, "environments are built with what policy names"


def test_status_is_one_screen_and_one_document(town: Town) -> None:
    town.desk("rachel").request("rachel/job")
    said = done(town.gitqueue("status")).out
    assert "runner: none; start it with gitqueue serve" in said
    assert "pending" in said
    assert json.loads(done(town.gitqueue("status", "--json")).out)["jobs"] == {"pending": 1}


def test_it_says_by_what_jobs_are_held_and_what_a_normal_users_runner_lacks(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "a job's memory: " in done(town.gitqueue("doctor")).out
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(limits, "ROOT", str(town.path))
    said = done(town.gitqueue("doctor")).out  # the site works, so this is no failure
    assert "a job's account: uid 1000, the runner's, in a user namespace" in said
    assert "reaches the vault, the runner's key" in said
    assert "no control group holds memory, processes, cpus" in said
    assert "a job's processes: weaker: " in said


@pytest.mark.parametrize("kind", ["kernel/apparmor_restrict_unprivileged_userns", "kernel/unprivileged_userns_clone"])
def test_a_switch_that_forbids_the_sandbox_is_named_with_its_setting(
    town: Town, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """This machine has no such switch: its value, and bubblewrap's failure, are made up; the words are tested."""
    forbids = {file: no for file, no, _ in sandbox._SWITCHES}
    monkeypatch.setattr(sandbox, "_sysctl", lambda file: forbids[file] if file == kind else "")
    monkeypatch.setattr(sandbox, "_tried", lambda *_: "bwrap: setting up uid map: Permission denied")
    said = town.gitqueue("doctor")
    assert said.code == 1
    setting = kind.replace("/", ".")
    assert f"sysctl -w {setting}=" in said.out
    assert "/etc/sysctl.d/60-gitqueue.conf" in said.out
    assert ("AppArmor profile" in said.out) == ("apparmor" in kind)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to have a sandbox user")
def test_a_closed_folder_above_the_site_is_named_with_the_line_that_opens_it(town: Town) -> None:
    town.path.chmod(0o700)
    said = town.gitqueue("doctor")
    assert said.code == 1
    line = next(line for line in said.out.splitlines() if f":x {town.path}" in line).removeprefix("  mend it: ")
    ok(*line.split(), cwd=town.path)
    done(town.gitqueue("doctor"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to have a sandbox user")
def test_the_account_of_jobs_can_pass_through_the_spool_and_read_nothing_of_the_site(town: Town) -> None:
    other = town.site / "spool" / "rachel+other+1"
    other.mkdir(mode=0o711)
    (other / "log").touch(0o600)
    done(town.gitqueue("doctor"))
    script = 'for place; do ls "$place/" || cat "$place"; done 2>/dev/null'
    places = [town.repository, town.repository / "HEAD", town.site / "spool", other, other / "log"]
    places += [town.site / "private", town.site / "private" / "vault.git" / "HEAD", town.site / "private/keys/runner"]
    switch = ("setpriv", f"--reuid={SANDBOX_USER}", f"--regid={SANDBOX_USER}", "--clear-groups")
    as_job = (*switch, "sh", "-c", script, "sh")
    assert run(*as_job, *places, cwd=town.path).out == ""
    assert run(*as_job, town.path / "data", cwd=town.path).out == "features.csv\n", "it can read what it may"
    ok("setfacl", "-b", town.repository, cwd=town.path)
    assert "can read the site's repository from outside its sandbox" in done(town.gitqueue("doctor")).out
    assert "mended: the account" in done(town.gitqueue("doctor", "--fix")).out
    assert run(*as_job, *places, cwd=town.path).out == ""
