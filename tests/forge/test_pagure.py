"""Hosted mode against a real forge with pull requests, ssh, deploy keys and a button that merges."""

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from conftest import JOB, MAIN, MOCK, REAL, Desk, Town, call, configure, done, ok, reachable

from forge import Pagure, running, until

pytestmark = [
    pytest.mark.forge,
    pytest.mark.skipif(os.geteuid() != 0, reason="a forge in a Debian of its own needs root"),
]


@dataclass(frozen=True)
class Centre(Town):
    """A site on the forge."""

    forge: Pagure

    def ssh(self, name: str) -> str:
        known = ("-o", "StrictHostKeyChecking=accept-new", "-o", f"UserKnownHostsFile={self.path / 'known_hosts'}")
        return shlex.join(["ssh", "-F", "none", "-i", str(self.key(name)), "-o", "IdentitiesOnly=yes", *known])

    def desk(self, name: str, folder: str | None = None) -> Desk:
        path = self.path / "desks" / (folder or name)
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            ok("git", "clone", "-q", "-c", f"core.sshCommand={self.ssh(name)}", self.forge.url(), path, cwd=self.path)
            configure(path, name, self.key(name))
        return Desk(name, path)

    def pull(self, desk: Desk, job: str) -> tuple[int, str]:
        """Ask by a pull request from a fork, as somebody without any right at the site; its number and head."""
        desk.git("fetch", "-q", "origin")
        desk.git("switch", "-q", "-c", f"requests/{job}", "--no-track", "origin/approved")
        desk.write({f"jobs/{job}/job.yaml": JOB, f"jobs/{job}/main.py": MAIN})
        desk.git("add", "jobs")
        desk.git("commit", "-q", "-S", "-m", f"Ask for {job}")
        desk.git("push", "-q", self.forge.url(f"forks/{desk.name}/site"), "HEAD")
        head, branch = desk.git("rev-parse", "HEAD"), f"requests/{job}"
        source = {"repo_from": "site", "repo_from_username": desk.name, "branch_from": branch, "branch_to": "approved"}
        made = self.forge.ask(desk.name, "site/pull-request/new", title="Mean radius", **source)
        until(lambda: self.forge.refs().get(f"refs/pull/{made['id']}/head") == head)
        return made["id"], head

    def status(self, number: int) -> str:
        return str(self.forge.ask("owen", f"site/pull-request/{number}")["status"])


@pytest.fixture(scope="module")
def centre() -> Iterator[Centre]:
    """From an empty project to a site with a requester, who has a fork, and a dataset."""
    with reachable() as base:
        keys = base / "town" / "keys"
        keys.mkdir(parents=True)
        for name in ("owen", "rachel"):
            ok("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", keys / name, cwd=base)
        with running(base / "forge", {name: keys / f"{name}.pub" for name in ("owen", "rachel")}) as forge:
            town = Centre(base / "town", forge)
            _found(town)
            yield town


def _found(town: Centre) -> None:
    town.forge.ask("owen", "new", name="site", description="A site", default_branch="approved", wait=1)
    # It closes pull requests that a message names; GitHub needs no word, it looks for their heads.
    town.forge.ask("owen", "site/settings/Pagure/install", active="true")
    owner = ("--owner", "owen", "--email", "owen@uni.example", "--key", town.key("owen"))
    with pytest.MonkeyPatch.context() as world:
        world.setenv("GIT_SSH_COMMAND", town.ssh("owen"))
        said = done(call("init", town.site, *owner, "--remote", town.forge.url()))
    assert "the forge did not take" not in said.err
    town.forge.let_in("site", "owen", town.site / "private" / "keys" / "forge.pub")
    desk, mock, real = town.desk("owen"), town.path / "features.csv", town.path / "data" / "features.csv"
    real.parent.mkdir()
    mock.write_bytes(MOCK)
    real.write_bytes(REAL)
    done(
        desk.gitqueue("person", "add", "rachel", "--email", "rachel@uni.example", "--key", f"{town.key('rachel')}.pub")
    )
    done(desk.gitqueue("dataset", "add", "cancer", "--title", "Cancer", "--mock", f"features={mock}"))
    done(desk.gitqueue("policy", "set", "results=plain", "rehearse=manual"))
    town.serve()  # takes in what the owner has set
    done(town.gitqueue("dataset", "bind", "cancer", f"features={real}"))
    town.forge.ask("rachel", "fork", repo="site", wait=1)


def test_a_pull_request_from_a_fork_is_taken_in_approved_shown_as_merged_and_answered(centre: Centre) -> None:
    rachel = centre.desk("rachel")
    number, head = centre.pull(rachel, "rachel/bc-mean")
    centre.serve()
    assert centre.forge.refs()["refs/heads/requests/rachel/bc-mean"] == head
    assert centre.status(number) == "Open"
    done(centre.desk("owen").gitqueue("approve", str(number), "-m", f"Aggregates only. Merges: #{number}"))
    until(lambda: centre.status(number) == "Merged")
    assert "rachel/bc-mean is completed" in centre.serve().err
    assert "means.csv" in done(rachel.gitqueue("results", "rachel/bc-mean", "-o", rachel.path / "got")).out
    assert centre.forge.refs()["refs/heads/audit"]


def test_its_button_makes_no_approval_and_the_line_that_is_printed_puts_the_branch_back(centre: Centre) -> None:
    rachel, owen = centre.desk("rachel"), centre.desk("owen")
    number, _ = centre.pull(rachel, "rachel/pressed")
    centre.serve()
    before = centre.forge.refs()["refs/heads/approved"]
    centre.forge.ask("owen", f"site/pull-request/{number}/merge", wait=1)
    assert centre.forge.refs()["refs/heads/approved"] != before
    said = centre.once()  # this forge's button moves the branch on to the request itself, where it can
    assert (said.code, "is signed by rachel, who is no owner" in said.err) == (4, True), said.err
    assert "refs/heads/results/rachel/pressed" not in centre.forge.refs()
    (line,) = set(re.findall(r'next: (git -C [^"\n]+)', said.err))
    ok(*shlex.split(line), cwd=centre.path)
    assert centre.forge.refs()["refs/heads/approved"] == before
    done(owen.gitqueue("approve", "rachel/pressed"))
    assert "rachel/pressed is completed" in centre.serve().err
