"""`verify` and `results` believe signatures and digests, and name the first thing that is wrong."""

from pathlib import Path

import pytest
from conftest import Desk, Town, call, done, ok

from gitqueue.adapters import signatures
from gitqueue.adapters.objects import Objects
from gitqueue.model import FILE
from gitqueue.rules.lifecycle import State
from gitqueue.rules.notes import ResultText


@pytest.fixture
def released(town: Town) -> Desk:
    """Rachel's desk, pinned to the root, after her job was completed."""
    rachel = town.desk("rachel")
    town.desk("owen").approve(rachel.request("rachel/job"))
    town.serve()
    rachel.git("fetch", "-q", "origin")
    rachel.git("config", "gitqueue.root", rachel.git("rev-list", "--max-parents=0", "origin/approved"))
    return rachel


def test_an_honest_site_verifies_from_any_clone(released: Desk) -> None:
    said = done(released.gitqueue("verify")).out
    assert "the chain holds: 1 approvals" in said
    assert "1 results are the runner's" in said
    assert "not seen from here: the vault" in said


def tampered(town: Town, signer: str, files: dict[str, bytes], on_top: bool = True) -> None:
    """A results commit that somebody with the server's disk puts there."""
    objects = Objects(town.repository)
    tip = objects.ref("refs/heads/results/rachel/job")
    assert tip
    tree = objects.put_files(objects.commit(tip).tree, {name: (FILE, data) for name, data in files.items()})
    parent = tip if on_top else objects.commit(tip).parents[0]
    who = "runner <runner@centre> 1790000000 +0000"
    text = ResultText(State.COMPLETED, 1).message("rachel/job")
    payload = f"tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n\n{text}".encode()
    key = town.site / "private" / "keys" / "runner" if signer == "runner" else town.key(signer)
    raw = signatures.sign(payload, signatures.load_key(key)) if signer else payload
    ok("git", "update-ref", "refs/heads/results/rachel/job", objects.write_commit(raw), cwd=town.repository)


FOLDER = "results/rachel/job/"
FORGED = {
    "signed by nobody": ("", {FOLDER + "outputs/means.csv": b"x"}, "is not signed"),
    "signed by an owner": ("owen", {FOLDER + "outputs/means.csv": b"x"}, "who is no runner"),
    "altered after release": ("runner", {FOLDER + "outputs/means.csv": b"x"}, "'outputs/means.csv'"),
    "with a file too many": ("runner", {FOLDER + "outputs/more.csv": b"x"}, "'outputs/more.csv'"),
    "without readable provenance": ("runner", {FOLDER + "provenance.json": b"{}"}, "no readable provenance"),
    "of another job": ("runner", {"results/rachel/other/outputs/x": b"x"}, "changes 'results/rachel/other', too"),
}


@pytest.mark.parametrize(("signer", "files", "reason"), FORGED.values(), ids=FORGED)
def test_verify_names_a_result(town: Town, released: Desk, signer: str, files: dict[str, bytes], reason: str) -> None:
    tampered(town, signer, files)
    ended = released.gitqueue("verify", "rachel/job")
    assert ended.code == 4
    assert reason in ended.err
    if "other" not in reason:
        fetched = released.gitqueue("results", "job")
        assert (fetched.code, reason in fetched.err) == (4, True)


def test_results_that_stand_on_no_approval_are_named(town: Town, released: Desk) -> None:
    objects = Objects(town.repository)
    approved = objects.ref("refs/heads/approved") or ""
    who = "runner <runner@centre> 1790000000 +0000"
    text = ResultText(State.FAILED, 1).message("rachel/ghost")
    payload = (
        f"tree {objects.commit(approved).tree}\nparent {approved}\nauthor {who}\ncommitter {who}\n\n{text}".encode()
    )
    raw = signatures.sign(payload, signatures.load_key(town.site / "private" / "keys" / "runner"))
    ok("git", "update-ref", "refs/heads/results/rachel/ghost", objects.write_commit(raw), cwd=town.repository)
    ended = released.gitqueue("verify", "rachel/ghost")
    assert (ended.code, "do not stand on an approval of the chain" in ended.err) == (4, True)


def test_a_chain_that_does_not_hold_is_named_in_any_clone(town: Town, released: Desk) -> None:
    rolf = town.desk("rolf")
    merged = rolf.merge(rolf.request("rolf/x"))
    ok("git", "fetch", "-q", rolf.path, merged, cwd=town.repository)
    ok("git", "update-ref", "refs/heads/approved", merged, cwd=town.repository)
    ended = released.gitqueue("verify")
    assert ended.code == 4
    assert f"commit {merged[:12]} on approved is signed by rolf, who is no owner of this site" in ended.err


def test_a_clone_with_another_root_than_the_owners_told_is_refused(town: Town, tmp_path: Path) -> None:
    ended = call("clone", town.repository, tmp_path / "desk", "--root", "0" * 39 + "1")
    assert (ended.code, "the site's chain begins with" in ended.err) == (4, True)


def test_a_clone_without_a_root_says_that_it_trusts_the_server_once(town: Town, tmp_path: Path) -> None:
    ended = done(call("clone", town.repository, tmp_path / "desk"))
    assert "trusting this server once" in ended.err
    assert "the chain holds" in done(call("-C", tmp_path / "desk", "verify")).out
