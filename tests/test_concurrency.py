"""Pushes that race: real processes, one clean outcome each. `make storm` runs the same for many rounds."""

import subprocess

import pytest
from conftest import Desk, Town, done, ok, run

pytestmark = pytest.mark.slow  # many real pushes and runs: `make quick` leaves them to `make test`


def together(*commands: tuple[Desk, tuple[str, ...]]) -> list[int]:
    """Start all, wait for all; their exit codes."""
    begun = [
        subprocess.Popen(["git", *argv], cwd=desk.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for desk, argv in commands
    ]
    for process in begun:
        process.communicate(timeout=60)
    return [process.returncode for process in begun]


def sound(town: Town) -> None:
    assert run("git", "fsck", "--strict", "--no-dangling", cwd=town.repository).code == 0
    ok("git", "rev-list", "--objects", "--all", cwd=town.repository)


def two_owners_at_once(town: Town, number: int) -> None:
    rachel, owen, olga = town.desk("rachel"), town.desk("owen"), town.desk("olga")
    jobs = [rachel.request(f"rachel/{name}-{number}") for name in ("one", "two")]
    merged = [desk.merge(commit) for desk, commit in zip((owen, olga), jobs, strict=True)]
    codes = together((owen, ("push", "origin", "approved")), (olga, ("push", "origin", "approved")))
    assert sorted(codes) == [0, 1], "one wins, the other is told"
    assert town.refs()["refs/heads/approved"] == merged[codes.index(0)]
    for desk in (owen, olga):
        desk.git("fetch", "-q")
        desk.git("switch", "-q", "approved")
        desk.git("reset", "-q", "--hard", "origin/approved")
    loser = (owen, olga)[codes.index(1)]
    loser.approve(jobs[codes.index(1)])


def an_approval_against_a_new_revision(town: Town, number: int) -> None:
    rachel, owen = town.desk("rachel"), town.desk("owen")
    first = rachel.request(f"rachel/race-{number}")
    owen.merge(first)
    rachel.write({f"jobs/rachel/race-{number}/main.py": b"print('changed')\n"})
    rachel.git("commit", "-q", "-S", "-am", "Change")
    second = rachel.git("rev-parse", "HEAD")
    codes = together((owen, ("push", "origin", "approved")), (rachel, ("push", "origin", "HEAD")))
    tip = town.refs()[f"refs/heads/requests/rachel/race-{number}"]
    approved = town.refs()["refs/heads/approved"] == owen.git("rev-parse", "approved")
    assert (codes[0] == 0) == approved
    assert (codes[1] == 0) == (tip == second)
    # Never both: what was approved is what stands, or the approval was refused.
    assert not (approved and tip == second)
    owen.git("reset", "-q", "--hard", "origin/approved")


def pushes_while_git_packs(town: Town, number: int) -> None:
    people = ("rachel", "rolf")
    desks = [town.desk(name) for name in people]
    for desk in desks:
        desk.request(f"{desk.name}/packed-{number}", push=False)
    packing = subprocess.Popen(["git", "gc", "--quiet"], cwd=town.repository)
    codes = together(*((desk, ("push", "origin", "HEAD")) for desk in desks))
    assert packing.wait(60) == 0
    assert codes == [0, 0]
    for desk in desks:
        assert town.refs()[f"refs/heads/requests/{desk.name}/packed-{number}"] == desk.git("rev-parse", "HEAD")


ROUNDS = {
    "pushes while git packs": pushes_while_git_packs,
    "two owners at once": two_owners_at_once,
    "an approval against a revision": an_approval_against_a_new_revision,
}


@pytest.mark.parametrize("race", ROUNDS.values(), ids=ROUNDS)
def test_a_race_has_one_clean_outcome(town: Town, race) -> None:  # type: ignore[no-untyped-def]
    race(town, 0)
    sound(town)


@pytest.mark.storm
@pytest.mark.parametrize("race", ROUNDS.values(), ids=ROUNDS)
def test_a_storm_of_races_has_one_clean_outcome_each(town: Town, race) -> None:  # type: ignore[no-untyped-def]
    done(town.desk("owen").gitqueue("policy", "set", "requests.open=500"))
    for number in range(40):
        race(town, number)
    sound(town)
