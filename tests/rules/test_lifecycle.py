"""Where a job stands: the table, the function, and their agreement."""

import itertools

import pytest

from gitqueue.rules.lifecycle import (
    CLOSABLE,
    FINAL_RUNS,
    MOVES,
    OPEN,
    RERUNNABLE,
    Decision,
    JobFacts,
    State,
    diagram,
    may_move,
    next_step,
    state,
)

D, S = Decision, State
STANDING = [
    ((), False, None, S.PENDING),
    ((D.COMMENT,), False, None, S.PENDING),
    ((D.REJECTED,), False, None, S.REJECTED),
    ((D.REJECTED, D.CHANGES_REQUESTED), False, None, S.CHANGES_REQUESTED),
    ((D.CHANGES_REQUESTED, D.COMMENT), False, None, S.CHANGES_REQUESTED),
    ((D.CANCEL,), False, None, S.CANCELLED),
    ((), True, None, S.APPROVED),
    ((D.REJECTED,), True, None, S.APPROVED),
    ((D.CANCEL,), True, None, S.CANCELLED),
    ((D.ENDORSED,), False, None, S.PENDING),
    ((), True, S.RUNNING, S.RUNNING),
    ((D.CANCEL,), True, S.RUNNING, S.RUNNING),
    ((D.RELEASE,), True, S.HELD, S.HELD),
    ((D.CANCEL,), True, S.COMPLETED, S.COMPLETED),
]


@pytest.mark.parametrize(("decisions", "approved", "result", "expected"), STANDING)
def test_results_speak_before_the_chain_and_the_chain_before_the_review(
    decisions: tuple[Decision, ...], approved: bool, result: State | None, expected: State
) -> None:
    assert state(JobFacts(decisions, approved, result)) is expected


def test_an_approval_by_a_revoked_key_waits_unless_it_ran_or_was_cancelled() -> None:
    assert state(JobFacts(approved=True, suspended=True)) is S.SUSPENDED
    assert state(JobFacts((D.CANCEL,), approved=True, suspended=True)) is S.CANCELLED
    assert state(JobFacts(approved=True, suspended=True, result=S.RUNNING)) is S.RUNNING


def test_every_state_can_be_reached_from_the_beginning_and_says_who_acts_next() -> None:
    reached: set[State | None] = {None}
    for _ in State:
        reached |= {move.end for move in MOVES if move.start in reached}
    assert reached - {None} == set(State)
    assert all(next_step(one) for one in State)


def test_a_job_that_ran_to_its_end_never_moves_again_unless_an_owner_says_rerun() -> None:
    for end, other in itertools.product(FINAL_RUNS, State):
        again = end in RERUNNABLE and other is State.APPROVED
        assert may_move(end, other) == (again or other is State.CLOSED)
    assert not FINAL_RUNS & OPEN


def test_what_is_closed_was_over_and_stays_closed() -> None:
    assert not any(move.start is State.CLOSED for move in MOVES)
    assert not CLOSABLE & OPEN
    assert state(JobFacts(approved=True, result=S.COMPLETED, closed=True)) is S.CLOSED


def test_nothing_runs_without_approval_and_nothing_is_released_without_a_run() -> None:
    assert [move.start for move in MOVES if move.end is S.RUNNING] == [S.APPROVED]
    assert {move.start for move in MOVES if move.end is S.COMPLETED} == {S.RUNNING, S.HELD}


def test_the_diagram_holds_every_move() -> None:
    drawn = diagram()
    for move in MOVES:
        assert f"{move.actor}: {move.action}" in drawn
    assert "pending --> approved: owner: signed merge" in drawn
    assert "[*] --> pending: requester: push request" in drawn
