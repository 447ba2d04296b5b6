"""A site on a forge: a bare repository that judges nothing, and whose administrator is hostile."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import time

import pytest

from tests.conftest import JOB, MAIN, Desk, Done, Town, call, configure, done, ok, reachable, run

BC = "rachel/bc-mean"


@dataclass(frozen=True)
class Hosted(Town):
    """`repository` is the forge's; the site has a mirror of it."""

    @property
    def repository(self) -> Path:
        return self.path / "hub.git"

    @property
    def mirror(self) -> Path:
        return self.site / "private" / "site.git"

    def at(self, name: str, where: Path | None = None) -> str:
        """Where a branch stands at the forge, or in the mirror; "" nowhere."""
        return run("git", "rev-parse", "--verify", "-q", f"refs/heads/{name}", cwd=where or self.repository).out.strip()

    def edit(self, name: str, commit: str | None) -> None:
        """What an administrator of the forge can do behind everyone's back."""
        where = ("update-ref", "-d", name) if commit is None else ("update-ref", name, commit)
        ok("git", *where, cwd=self.repository)

    def once(self) -> Done:
        """In this process: what the runner starts are processes of their own all the same."""
        kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            return call("-C", self.site, "serve", "--once")
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)

    def alarm(self) -> str:
        """What the runner says as it stays at the verified tip."""
        said = self.once()
        assert said.code == 4, f"{said.code}\n{said.out}\n{said.err}"
        return said.err

    def mend(self, said: str) -> None:
        """Run the lines that an alarm prints; then nothing is wrong."""
        lines = set(re.findall(r'next: (git -C [^"\n]+)', said))
        assert lines, said
        for line in lines:
            ok(*shlex.split(line), cwd=self.path)
        self.serve()


@pytest.fixture(scope="session")
def hosted(template: Path) -> Iterator[Path]:
    """The template's site, moved to a forge; rehearsals only when asked for."""
    with reachable() as base:
        town = Hosted(base / "town")
        shutil.copytree(template, town.path, symlinks=True)
        (town.site / "site.git").rename(town.mirror)
        done(_settle(town))
        yield base


def _settle(town: Hosted) -> Done:
    ok("git", "clone", "-q", "--mirror", town.mirror, town.repository, cwd=town.path)
    ok("git", "update-ref", "-d", "refs/heads/audit", cwd=town.repository)
    done(town.desk("owen").gitqueue("policy", "set", "rehearse=manual"))
    shutil.rmtree(town.path / "desks")
    settings = town.site / "private" / "runner.yaml"
    settings.write_text(settings.read_text() + f"remote: {town.repository}\n")
    return town.once()


@pytest.fixture
def town(hosted: Path) -> Iterator[Hosted]:
    with reachable() as base:
        shutil.copytree(hosted / "town", base / "town", symlinks=True)
        made = Hosted(base / "town")
        for path in (made.site / "private" / "runner.yaml", made.repository / "config"):
            path.write_text(path.read_text().replace(str(hosted), str(base)))
        yield made


def test_a_job_comes_by_the_forge_and_its_result_goes_back_there(town: Hosted, owen: Desk, rachel: Desk) -> None:
    rachel.request(BC)
    town.serve()
    assert town.at(f"requests/{BC}", town.mirror) == town.at(f"requests/{BC}")
    done(owen.gitqueue("approve", BC, "-m", "Aggregates only"))
    assert f"{BC} is completed" in town.serve().err
    got = done(rachel.gitqueue("results", BC, "-o", rachel.path / "got"))
    assert "means.csv" in got.out
    rachel.git("config", "gitqueue.root", ok("git", "rev-list", "--max-parents=0", "approved", cwd=town.repository))
    done(rachel.gitqueue("verify"))
    assert town.at("audit") == town.at("audit", town.mirror) != ""


def test_rehearsals_are_said_at_the_forge_and_join_what_people_said_there(
    town: Hosted, owen: Desk, rachel: Desk
) -> None:
    rachel.request(BC)
    town.serve()
    done(rachel.gitqueue("comment", BC, "-m", "Please look"))
    done(owen.gitqueue("try", BC, "--mock"))
    town.serve()
    said = ok(
        "git", "log", "--format=%(trailers:key=Decision,valueonly,separator=)", f"reviews/{BC}", cwd=town.repository
    )
    assert said.split()[:3] == ["rehearsed", "try-mock", "comment"]


def test_what_is_asked_approved_and_revised_between_two_looks_runs_as_it_was_approved(
    town: Hosted, owen: Desk, rachel: Desk
) -> None:
    first = rachel.request(BC)
    owen.approve(first)
    rachel.write({f"jobs/{BC}/main.py": MAIN + b"# more\n"})
    rachel.git("commit", "-q", "-S", "-am", "Revise")
    rachel.git("push", "-q", "origin", "HEAD")
    said = town.serve().err
    assert f"{BC} is completed" in said
    assert town.at(f"requests/{BC}", town.mirror) == first
    assert f"{BC} was approved and takes nothing more" in ok("git", "log", "audit", cwd=town.repository)


def test_a_new_person_and_their_request_may_come_in_one_look(town: Hosted, owen: Desk) -> None:
    done(owen.gitqueue("person", "add", "stranger", "--email", "s@x.example", "--key", f"{town.key('stranger')}.pub"))
    stranger = town.desk("stranger")
    stranger.request("stranger/mine")
    town.serve()
    assert town.at("requests/stranger/mine", town.mirror)


# a hostile forge


def _asked(town: Hosted, rachel: Desk) -> str:
    commit = rachel.request(BC)
    town.serve()
    return commit


def _unapproved(town: Hosted, said: str) -> None:
    assert (town.at(f"results/{BC}"), town.at(f"results/{BC}", town.mirror)) == ("", ""), said
    assert list((town.site / "spool").glob("*+*")) == []


def test_a_forged_approval_is_named_and_nothing_of_it_runs(town: Hosted, rachel: Desk) -> None:
    asked = _asked(town, rachel)
    forged = town.desk("stranger").approve(asked)
    said = town.alarm()
    assert f"commit {forged[:12]} on approved is signed with a key that this site does not know" in said
    _unapproved(town, said)
    town.mend(said)
    assert town.at("approved") == town.at("approved", town.mirror)


def test_a_merge_by_the_forges_button_does_not_count_and_the_next_steps_are_said(
    town: Hosted, owen: Desk, rachel: Desk
) -> None:
    asked = _asked(town, rachel)
    owen.git("fetch", "-q")
    owen.git("switch", "-q", "approved")
    owen.git("merge", "-q", "--no-ff", asked, "-m", "Merge pull request #1")
    owen.git("push", "-q", "origin", "approved")
    said = town.alarm()
    assert "is not signed" in said
    assert "by the forge's button, squash, rebase or queue never counts" in said
    _unapproved(town, said)
    town.mend(said)
    done(owen.gitqueue("approve", BC))
    assert f"{BC} is completed" in town.serve().err


def _rewind(town: Hosted, _: Desk) -> str:
    town.edit("refs/heads/approved", ok("git", "rev-parse", "approved~1", cwd=town.repository))
    return "approved goes forward only"


def _twin(town: Hosted, _: Desk) -> str:
    twin = town.path / "twin"
    ok("git", "init", "-q", "-b", "approved", twin, cwd=town.path)
    configure(twin, "owen", town.key("owen"))  # with an owner's own key: another site's chain, or a new root
    ok("git", "commit", "-q", "-S", "--allow-empty", "-m", "Found", cwd=twin)
    ok("git", "push", "-q", "--force", town.repository, "approved", cwd=twin)
    return "approved goes forward only"


def _unsigned(town: Hosted, owen: Desk) -> str:
    owen.git("commit", "-q", "--allow-empty", "-m", "Nobody")
    owen.git("push", "-q", "origin", "HEAD:approved")
    return "is not signed"


def _delete(town: Hosted, _: Desk) -> str:
    town.edit("refs/heads/approved", None)
    return "approved has gone from the forge"


@pytest.mark.parametrize("attack", [_rewind, _twin, _unsigned, _delete])
def test_the_runner_stays_at_the_verified_tip(town: Hosted, owen: Desk, attack: Callable[[Hosted, Desk], str]) -> None:
    tip = town.at("approved")
    words = attack(town, owen)
    said = town.alarm()
    assert words in said
    assert town.at("approved", town.mirror) == tip
    town.mend(said)
    assert town.at("approved") == tip


def _completed(town: Hosted, owen: Desk, rachel: Desk) -> str:
    owen.approve(rachel.request(BC))
    assert f"{BC} is completed" in town.serve().err
    return town.at(f"results/{BC}")


def _swapped(town: Hosted, tip: str) -> str:
    nobody = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    words = (f"{tip}^{{tree}}", "-p", f"{tip}^", "-m", "State: completed")
    return ok("git", "commit-tree", *words, cwd=town.repository, env=nobody)


def test_a_result_or_the_audit_is_not_altered_unseen(town: Hosted, owen: Desk, rachel: Desk) -> None:
    mine, audit, other = f"refs/heads/results/{BC}", "refs/heads/audit", "refs/heads/results/rolf/other"
    tip = _completed(town, owen, rachel)
    attacks = [(mine, _swapped(town, tip)), (mine, None), (mine, f"{tip}^"), (audit, "audit~2"), (other, tip)]
    for name, commit in attacks:
        there = town.at(name.removeprefix("refs/heads/"))
        town.edit(name, commit)
        said = town.alarm()
        assert name in said
        assert "the runner did not put it there" in said
        assert town.at(f"results/{BC}", town.mirror) == tip
        town.mend(said)
        if name != audit:
            assert town.at(name.removeprefix("refs/heads/")) == there


def test_a_results_branch_that_is_there_already_keeps_the_job_from_running_until_it_is_gone(
    town: Hosted, owen: Desk, rachel: Desk
) -> None:
    merged = owen.approve(rachel.request(BC))
    town.edit(f"refs/heads/results/{BC}", merged)
    said = town.alarm()
    assert "this runner did not put it there" in said
    assert not town.at(f"results/{BC}", town.mirror)
    town.mend(said)
    assert town.at(f"results/{BC}")
    assert "completed" in ok("git", "log", "-1", f"results/{BC}", cwd=town.repository)


@pytest.mark.parametrize("rewound", [False, True])
def test_a_conversation_that_the_forge_loses_is_missed(town: Hosted, owen: Desk, rachel: Desk, rewound: bool) -> None:
    _asked(town, rachel)
    for words in ("One", "Two"):
        done(owen.gitqueue("comment", BC, "-m", words))
    town.serve()
    tip = town.at(f"reviews/{BC}")
    town.edit(f"refs/heads/reviews/{BC}", f"{tip}^" if rewound else None)
    said = town.alarm()
    assert ("the conversation goes forward only" if rewound else "has gone from the forge") in said
    town.mend(said)
    assert town.at(f"reviews/{BC}") == tip


def test_an_outage_is_survived_and_what_was_done_meanwhile_is_put_out_after_it(
    town: Hosted, owen: Desk, rachel: Desk
) -> None:
    owen.approve(rachel.request(BC))
    town.serve()
    rachel.request("rachel/two")
    owen.approve(rachel.git("rev-parse", "HEAD"))
    away = town.repository.rename(town.path / "away.git")
    said = town.once()
    assert (said.code, f"the forge {town.repository} did not serve" in said.err) == (5, True), said.err
    assert "did not serve" in done(town.gitqueue("status")).out
    away.rename(town.repository)
    assert "rachel/two is completed" in town.serve().err
    assert "did not serve" not in done(town.gitqueue("status")).out


def test_a_forge_that_takes_no_push_delays_a_run_and_loses_nothing(town: Hosted, owen: Desk, rachel: Desk) -> None:
    owen.approve(rachel.request(BC))
    hook = _hook(town, "echo rate limit exceeded >&2\nexit 1")
    said = town.once()
    assert (said.code, "the forge took no push" in said.err) == (5, True), said.err
    assert not town.at(f"results/{BC}", town.mirror)
    hook.unlink()
    assert f"{BC} is completed" in town.serve().err
    assert "Attempt: 1" in ok("git", "log", "-1", f"results/{BC}", cwd=town.repository)


def test_a_forge_that_hangs_keeps_no_run_waiting(town: Hosted, owen: Desk, rachel: Desk) -> None:
    slow = b"import time; time.sleep(4)\n" + MAIN
    owen.approve(rachel.request(BC, {"job.yaml": JOB, "main.py": slow}))
    words = (sys.executable, "-m", "gitqueue", "-C", town.site, "serve")
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as runner:
        assert runner.stderr is not None
        assert any(f"{BC} is running" in line for line in runner.stderr)
        with _hanging(town):
            # It gives up after a while: that must not be what the run waited for.
            said = next(line for line in runner.stderr if f"{BC} is " in line or "did not serve" in line)
        runner.kill()
    assert f"{BC} is completed" in said
    town.serve()
    assert town.at(f"results/{BC}") == town.at(f"results/{BC}", town.mirror)


@contextmanager
def _hanging(town: Hosted) -> Iterator[None]:
    """From when it is next asked, a forge that takes questions and answers none: git waits for its HEAD."""
    head, kept = town.repository / "HEAD", town.repository / "kept"
    head.rename(kept)
    os.mkfifo(head)
    done(town.gitqueue("poke"))
    with head.open("wb"):  # opens when somebody asks
        yield
    kept.rename(head)


def _hook(town: Hosted, lines: str) -> Path:
    """What the forge itself has to say to a push."""
    hook = town.repository / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\n{lines}\n")
    hook.chmod(0o755)
    return hook


# pull requests


def _pull(town: Hosted, desk: Desk, number: int, kind: str = "pull") -> None:
    """A pull request from a fork, as the forge shows it."""
    desk.git("push", "-q", "--force", "origin", f"HEAD:refs/{kind}/{number}/head")


@pytest.mark.parametrize("kind", ["pull", "merge-requests"])
def test_a_pull_requests_head_is_its_signers_request(town: Hosted, rachel: Desk, kind: str) -> None:
    asked = rachel.request(BC, push=False)
    _pull(town, rachel, 7, kind)
    town.serve()
    assert town.at(f"requests/{BC}") == town.at(f"requests/{BC}", town.mirror) == asked
    assert "sender: pull/7" in ok("git", "log", "audit", cwd=town.repository).lower()


def test_a_signed_note_on_a_pull_request_is_its_requesters_word(town: Hosted, rachel: Desk) -> None:
    asked = rachel.request(BC, push=False)
    words = ("--trailer", "Decision=cancel", "--trailer", f"Revision={asked}")
    rachel.git("commit", "-q", "-S", "--allow-empty", "-m", "Not needed any more", *words)
    _pull(town, rachel, 7)
    town.serve()
    assert town.at(f"requests/{BC}") == asked
    assert town.at(f"reviews/{BC}") == rachel.git("rev-parse", "HEAD")
    assert call("-C", town.site, "show", BC, "--json").out.count('"cancelled"') == 1


def test_approve_takes_a_pull_requests_number_and_what_it_pushes_holds_its_head(
    town: Hosted, owen: Desk, rachel: Desk
) -> None:
    asked = rachel.request(BC, push=False)
    _pull(town, rachel, 42)
    assert (
        "the site has not taken in pull request 42, which would be rachel/bc-mean" in owen.gitqueue("approve", "42").err
    )
    town.serve()
    words = ("--trailer", "Decision=comment", "--trailer", f"Revision={asked}")
    rachel.git("commit", "-q", "-S", "--allow-empty", "-m", "By Friday, please", *words)
    _pull(town, rachel, 42)
    town.serve()
    done(owen.gitqueue("review", "42"))
    done(owen.gitqueue("approve", "42", "-m", "Aggregates only"))
    ok("git", "merge-base", "--is-ancestor", "refs/pull/42/head", "approved", cwd=town.repository)
    assert f"{BC} is completed" in town.serve().err
    assert "there is no pull request 43" in owen.gitqueue("approve", "43").err


def test_a_forge_that_forbids_the_owners_push_is_named_with_what_to_set(town: Hosted, owen: Desk, rachel: Desk) -> None:
    _asked(town, rachel)
    _hook(town, "echo 'GH013: Changes must be made through a pull request.' >&2\nexit 1")
    said = owen.gitqueue("approve", BC)
    assert (said.code, "lets owners push to approved" in said.err, "GH013" in said.err) == (3, True, True), said.err


def test_check_and_approve_say_that_a_merge_by_the_button_does_not_count(
    town: Hosted, owen: Desk, rachel: Desk
) -> None:
    asked = _asked(town, rachel)
    root = ok("git", "rev-list", "--max-parents=0", "approved", cwd=town.repository)
    for desk in (owen, rachel):
        desk.git("config", "gitqueue.root", root)
    done(rachel.gitqueue("check", BC))
    tip = town.at("approved")
    owen.git("fetch", "-q")
    owen.git("switch", "-q", "approved")
    owen.git("merge", "-q", "--squash", asked)
    owen.git("commit", "-q", "-m", "Mean radius (#42)")
    owen.git("push", "-q", "origin", "approved")
    for said in (rachel.gitqueue("check", BC), owen.gitqueue("approve", BC)):
        assert said.code == 4
        assert "by a forge's button, squash, rebase or queue is signed by no owner and never counts" in said.err
    ok(*shlex.split(said.err.split("for once): ")[1]), cwd=owen.path)
    assert town.at("approved") == tip
    done(owen.gitqueue("approve", BC))


def test_a_strangers_pull_request_is_no_request_until_an_owner_adds_them(town: Hosted, owen: Desk) -> None:
    stranger = town.desk("stranger")
    stranger.request("stranger/mine", push=False)
    _pull(town, stranger, 8)
    assert "pull request 8: commit" in town.serve().err
    assert not town.at("requests/stranger/mine")
    done(owen.gitqueue("person", "add", "stranger", "--email", "s@x.example", "--key", f"{town.key('stranger')}.pub"))
    town.serve()
    assert town.at("requests/stranger/mine")


def test_a_pull_request_that_is_too_large_keeps_nobody_else_waiting(
    town: Hosted, rachel: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gitqueue.adapters import forge
    from gitqueue.adapters.settings import Site
    from gitqueue.runner.desk import Desk as Hands
    from gitqueue.runner.hosted import Hosting

    rolf = town.desk("rolf")
    rolf.request("rolf/large", {"job.yaml": JOB, "noise": bytes(shutil.os.urandom(1 << 20))}, push=False)
    _pull(town, rolf, 9)
    rachel.request(BC, push=False)
    _pull(town, rachel, 5)
    monkeypatch.setattr(forge, "_LARGEST_PACK", 1 << 18)
    said: list[str] = []
    hands = Hands(Site(town.site), said.append)
    hosting = Hosting(hands, hands.premises.forge)
    hosting.look()
    hosting.finish()
    assert any("pull request 9: the forge" in line for line in said), said
    assert town.at(f"requests/{BC}")
    assert not town.at("requests/rolf/large")
    assert not (town.site / "private" / "scratch.git").exists()


def test_owners_elsewhere_get_the_vault_sealed_to_them_and_nobody_else_can_open_it(
    town: Hosted, owen: Desk, rachel: Desk
) -> None:
    vault, settings = town.path / "vault-copy.git", town.site / "private" / "runner.yaml"
    ok("git", "init", "-q", "--bare", vault, cwd=town.path)
    settings.write_text(settings.read_text() + f"vault: {vault}\n")
    _completed(town, owen, rachel)
    for desk in (owen, rachel):
        desk.git("config", "gitqueue.vault", vault)
        desk.git("config", "user.signingkey", town.key(desk.name))
    shown = done(owen.gitqueue("outputs", BC)).out
    assert "means.csv" in shown
    assert "is not sealed to" in rachel.gitqueue("outputs", BC).err.replace("are not", "is not")
    files = ok("git", "ls-tree", "-r", "--name-only", f"outputs/{BC}", cwd=vault)
    assert files == "outputs.bundle.age"
    owen.git("push", "-q", "--force", vault, f"HEAD:refs/heads/outputs/{BC}")
    assert owen.gitqueue("outputs", BC).code == 4


def test_init_brings_a_new_site_to_its_forge(tmp_path: Path, template: Path) -> None:
    ok("git", "init", "-q", "--bare", "hub.git", cwd=tmp_path)
    who = ("--owner", "owen", "--email", "owen@uni.example", "--key", template / "keys" / "owen")
    said = done(call("init", tmp_path / "centre", *who, "--remote", tmp_path / "hub.git"))
    assert "ssh-ed25519" in said.out
    files = ok("git", "ls-tree", "-r", "--name-only", "approved", cwd=tmp_path / "hub.git").splitlines()
    assert {".gitqueue/people.yaml", ".github/pull_request_template.md"} <= set(files)
    ok("bash", "-n", tmp_path / "centre" / "forge" / "protect.sh", cwd=tmp_path)
    assert call("init", tmp_path / "other", *who, "--remote", "https://me:secret@x.example/a.git").code == 2


# gc


def _close_all(town: Hosted) -> None:
    from gitqueue.adapters.premises import Premises
    from gitqueue.adapters.settings import Site
    from gitqueue.steps import tidy

    site = Site(town.site)
    tidy.tidy(Premises(site, site.settings()), time() + 100 * 86400.0)


def _over(town: Hosted, owen: Desk, rachel: Desk) -> None:
    """One job completed, one rejected, which came by a pull request."""
    _completed(town, owen, rachel)
    rachel.request("rachel/no", push=False)
    _pull(town, rachel, 7)
    town.serve()
    done(owen.gitqueue("reject", "rachel/no", "-m", "Prints rows"))
    town.serve()


def test_gc_closes_jobs_at_the_forge_and_they_are_found_all_the_same(town: Hosted, owen: Desk, rachel: Desk) -> None:
    _over(town, owen, rachel)
    _close_all(town)
    for _ in range(2):
        said = town.serve().err
        there = ok("git", "for-each-ref", "--format=%(refname)", "refs/heads", cwd=town.repository).split()
        assert there == ["refs/heads/approved", "refs/heads/audit"], said
    archives = [ok("git", "for-each-ref", "refs/archive", cwd=where) for where in (town.mirror, town.repository)]
    assert archives[0] == archives[1] != ""
    assert "means.csv" in done(rachel.gitqueue("results", BC, "-o", rachel.path / "got")).out
    assert "closed" in done(rachel.gitqueue("show", "rachel/no")).out


def test_a_forge_that_lets_no_branch_go_is_named_once_and_serves_on(town: Hosted, owen: Desk, rachel: Desk) -> None:
    _over(town, owen, rachel)
    ok("git", "config", "receive.denyDeletes", "true", cwd=town.repository)
    _close_all(town)
    assert town.serve().err.count("does not let the runner close jobs there") == 1
    assert town.at(f"results/{BC}")
    assert not town.at("requests/rachel/no", town.mirror)
    owen.approve(rachel.request("rachel/two"))
    assert "rachel/two is completed" in town.serve().err
