"""Refs move whole or not at all, from where they were seen; also where one git moves all of a runner's."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ok, run

from gitqueue.adapters import git
from gitqueue.adapters.git import GitFailed, move_refs, movers
from gitqueue.adapters.objects import Objects
from gitqueue.model import RefMove

A, B, C = (f"refs/heads/requests/rachel/{name}" for name in "abc")


@pytest.fixture(params=["a git each time", "one git for all"])
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    ok("git", "init", "-q", "--bare", ".", cwd=tmp_path)
    git.configure(tmp_path, git.HARDENED)
    if request.param == "a git each time":
        yield tmp_path
        return
    with movers(tmp_path):
        yield tmp_path


def commits(repository: Path) -> tuple[str, str]:
    objects, who = Objects(repository), "owen <owen@uni.example> 1700000000 +0000"
    tree = objects.write_tree(())
    raws = (f"tree {tree}\nauthor {who}\ncommitter {who}\n\n{n}\n".encode() for n in range(2))
    first, second = (objects.write_commit(raw) for raw in raws)
    return first, second


def refs(repository: Path) -> dict[str, str]:
    return git.list_refs(repository, "refs")


def test_all_of_a_transaction_moves_or_nothing_and_the_next_one_does(repository: Path) -> None:
    first, second = commits(repository)
    assert move_refs(repository, [RefMove(A, None, first), RefMove(B, None, first)])
    assert not move_refs(repository, [RefMove(C, None, first), RefMove(A, second, first)])
    assert not move_refs(repository, [RefMove(C, None, first), RefMove(B, None, first)])
    assert refs(repository) == {A: first, B: first}
    assert move_refs(repository, [RefMove(A, first, second), RefMove(B, first, None)])
    assert refs(repository) == {A: second}
    assert "gitqueue <gitqueue@localhost>" in (repository / "logs" / A).read_text()


def test_what_git_cannot_do_is_an_error_and_leaves_no_lock(repository: Path) -> None:
    first, _ = commits(repository)
    with pytest.raises(GitFailed, match="could not move"):
        move_refs(repository, [RefMove(B, None, first), RefMove(A, None, "1" * 40)])
    (repository / f"{A}.lock").parent.mkdir(parents=True, exist_ok=True)
    (repository / f"{A}.lock").touch()
    with pytest.raises(GitFailed, match="lock"):
        move_refs(repository, [RefMove(B, None, first), RefMove(A, None, first)])
    (repository / f"{A}.lock").unlink()
    assert move_refs(repository, [RefMove(B, None, first), RefMove(A, None, first)])
    assert not list(repository.rglob("*.lock"))


def test_thousands_of_refs_move_at_once(repository: Path) -> None:
    first, _ = commits(repository)
    moves = [RefMove(f"{A}-{number}", None, first) for number in range(3000)]
    assert move_refs(repository, moves)
    assert not move_refs(repository, moves)
    assert len(refs(repository)) == 3000


def test_a_git_that_somebody_killed_is_replaced(tmp_path: Path) -> None:
    ok("git", "init", "-q", "--bare", ".", cwd=tmp_path)
    first, second = commits(tmp_path)
    with movers(tmp_path):
        assert move_refs(tmp_path, [RefMove(A, None, first)])
        child = int(run("pgrep", "-P", str(os.getpid()), "-f", "update-ref --stdin", cwd=tmp_path).out)
        os.kill(child, signal.SIGKILL)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        assert move_refs(tmp_path, [RefMove(A, first, second)])
    assert run("pgrep", "-P", str(os.getpid()), "-f", "update-ref --stdin", cwd=tmp_path).out == ""
