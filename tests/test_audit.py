"""The audit tells of everything, and nothing can be taken out of it, put in, moved or changed."""

import json
from collections.abc import Callable

import pytest
from conftest import Desk, Town, done, ok

from gitqueue.adapters import journal, signatures
from gitqueue.adapters.objects import EMPTY_TREE, Objects
from gitqueue.model import RefMove
from gitqueue.rules.journal import Entry, Event

pytestmark = pytest.mark.slow  # many real pushes and runs: `make quick` leaves them to `make test`


@pytest.fixture
def told(town: Town) -> Desk:
    """Rachel's desk at a site where a job was refused, accepted, approved and run, and all of it recorded."""
    rachel = town.desk("rachel")
    rachel.request("rachel/job")
    rachel.refused("push", "origin", "HEAD:refs/heads/approved")
    town.desk("owen").approve(rachel.git("rev-parse", "HEAD"))
    town.serve()
    rachel.git("fetch", "-q", "origin")
    rachel.git("config", "gitqueue.root", rachel.git("rev-list", "--max-parents=0", "origin/approved"))
    return rachel


def test_the_audit_tells_every_push_claim_and_result_in_plain_words(told: Desk) -> None:
    said = done(told.gitqueue("audit")).out
    story = [line.split("  ", 1)[1] for line in said.splitlines()][-5:]
    assert story[0] == "rachel pushed requests/rachel/job"
    assert story[1].startswith("rachel was refused: ")
    assert story[2] == "owen pushed approved"
    assert story[3] == "the runner took rachel/job"
    assert story[4] == "rachel/job is completed"
    assert "audit holds" in done(told.gitqueue("verify")).out


def test_the_story_of_one_job_and_of_one_person_can_be_asked_for(told: Desk) -> None:
    entries = json.loads(done(told.gitqueue("audit", "rachel/job", "--json")).out)
    assert [entry["event"] for entry in entries] == ["push-accepted", "claim", "result"]
    owens = json.loads(done(told.gitqueue("audit", "--person", "owen", "--json")).out)
    assert {entry["signer"] for entry in owens} == {"owen"}
    assert owens[0]["key"].startswith("SHA256:")
    assert json.loads(done(told.gitqueue("audit", "--since", "2999-01-01", "--json")).out) == []
    assert told.gitqueue("audit", "--since", "tomorrow").code == 2


def test_refused_pushes_are_told_in_detail_a_few_times_and_then_counted(town: Town) -> None:
    inbox = town.site / "private" / "inbox"
    for _ in range(9):
        journal.leave(inbox, Entry(Event.REFUSED, 1_700_000_000, sender="rachel", reasons=("no",)))
    (flood,) = inbox.glob("refused-*")
    assert flood.stat().st_size == 9
    town.serve()
    entries = json.loads(done(town.desk("rachel").gitqueue("audit", "--json")).out)
    refused = [entry["count"] for entry in entries if entry["event"] == "push-refused"]
    assert sorted(refused) == [1, 1, 1, 1, 1, 4]
    assert not list(inbox.iterdir())


def test_nothing_moves_where_the_inbox_cannot_be_written(town: Town) -> None:
    rachel = town.desk("rachel")
    rachel.request("rachel/job", push=False)
    inbox = town.site / "private" / "inbox"
    inbox.rename(inbox.with_name("away"))
    assert "the site cannot take a push now" in rachel.refused("push", "origin", "HEAD")
    assert "refs/heads/requests/rachel/job" not in town.refs()
    inbox.with_name("away").rename(inbox)
    rachel.git("push", "-q", "origin", "HEAD")


def test_a_push_that_died_after_its_letter_is_told_as_lost(town: Town) -> None:
    """The hook's letter is there, and no ref ever moved."""
    inbox = town.site / "private" / "inbox"
    move = RefMove("refs/heads/requests/rachel/lost", None, "a" * 40)
    journal.leave(inbox, Entry(Event.ACCEPTED, 1_700_000_000, signer="rachel", moves=(move,)))
    town.serve()
    told_ = done(town.desk("rachel").gitqueue("audit")).out
    assert "rachel pushed requests/rachel/lost, but it never arrived" in told_


def test_a_runner_that_died_between_the_entry_and_its_letter_tells_it_once(town: Town, told: Desk) -> None:
    inbox = town.site / "private" / "inbox"
    told.request("rachel/two")
    (letter,) = (path for path in inbox.iterdir() if path.name[0].isdigit())
    kept = letter.read_bytes()
    town.serve()
    letter.write_bytes(kept)
    before = town.refs()["refs/heads/audit"]
    town.serve()
    assert town.refs()["refs/heads/audit"] == before
    assert not letter.exists()


# tampering, by somebody who has the server's disk, and even the runner's key


def chain(objects: Objects) -> list[str]:
    return list(objects.first_parents(objects.ref("refs/heads/audit") or ""))[::-1]


def rewritten(town: Town, texts: list[str], signer: str = "runner") -> None:
    """The whole audit written anew with these messages, properly signed."""
    objects = Objects(town.repository)
    path = town.site / "private" / "keys" / "runner" if signer == "runner" else town.key(signer)
    key, tip = signatures.load_key(path), ""
    who = "runner <runner@centre> 1790000000 +0000"
    for text in texts:
        parent = f"parent {tip}\n" if tip else ""
        payload = f"tree {EMPTY_TREE}\n{parent}author {who}\ncommitter {who}\n\n{text}".encode()
        tip = objects.write_commit(signatures.sign(payload, key))
    ok("git", "update-ref", "refs/heads/audit", tip, cwd=town.repository)


def texts(town: Town) -> list[str]:
    objects = Objects(town.repository)
    return [objects.commit(commit).message for commit in chain(objects)]


def removed(all_: list[str]) -> list[str]:
    return [text for text in all_ if "Event: claim" not in text]


def reordered(all_: list[str]) -> list[str]:
    return [*all_[:-2], all_[-1], all_[-2]]


def edited(all_: list[str]) -> list[str]:
    return [text.replace("Job: rachel/job", "Job: rachel/jab") for text in all_]


def doubled(all_: list[str]) -> list[str]:
    return [*all_, all_[-1]]


def cut(all_: list[str]) -> list[str]:
    return all_[:-1]


TAMPERED = {
    "removing": (removed, "where it did not stand"),
    "reordering": (reordered, "where it did not stand"),
    "editing": (edited, "does not read as it was written"),
    "inserting": (doubled, "tells again what was told before"),
    "rolling back": (cut, "does not go on from"),
}


@pytest.mark.parametrize(("change", "reason"), TAMPERED.values(), ids=TAMPERED)
def test_tampering_with_the_audit_is_found_by_whoever_saw_it_before(
    town: Town, told: Desk, change: Callable[[list[str]], list[str]], reason: str
) -> None:
    done(told.gitqueue("verify"))
    rewritten(town, change(texts(town)))
    ended = told.gitqueue("verify")
    assert ended.code == 4
    assert "does not go on from" in ended.err
    told.git("update-ref", "-d", "refs/gitqueue/audit-seen")
    if reason != "does not go on from":
        ended = told.gitqueue("verify")
        assert (ended.code, reason in ended.err) == (4, True), ended.err


def test_entries_that_the_runner_did_not_sign_are_found_by_anybody(town: Town, told: Desk) -> None:
    rewritten(town, texts(town), signer="owen")
    ended = told.gitqueue("verify")
    assert (ended.code, "is not signed by a runner" in ended.err) == (4, True)


def test_refs_that_moved_behind_the_audits_back_are_found(town: Town, told: Desk) -> None:
    rachel = town.desk("rachel", "again")
    first = rachel.git("rev-parse", "origin/approved~1")
    ok("git", "update-ref", "refs/heads/approved", first, cwd=town.repository)
    ok("git", "update-ref", "-d", "refs/heads/results/rachel/job", cwd=town.repository)
    ended = told.gitqueue("verify")
    assert ended.code == 4
    assert "refs/heads/approved stands" in ended.err
