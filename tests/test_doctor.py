"""`doctor` finds what keeps a site from working, says the line that mends it, and mends what needs no person."""

import json

from conftest import Town, done, ok


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


def test_status_is_one_screen_and_one_document(town: Town) -> None:
    town.desk("rachel").request("rachel/job")
    said = done(town.gitqueue("status")).out
    assert "runner: none; start it with gitqueue serve" in said
    assert "pending" in said
    assert json.loads(done(town.gitqueue("status", "--json")).out)["jobs"] == {"pending": 1}
