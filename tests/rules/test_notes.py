"""Trailers are read strictly, and written so that they read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitqueue.rules.lifecycle import Decision, Reason, State
from gitqueue.rules.notes import SAID, ResultText, compose, parse_result, parse_review, public

R = "a" * 40


@given(
    st.sampled_from(State),
    st.integers(1, 999999),
    st.sampled_from([None, *Reason]),
    st.sampled_from([None, R]),
    st.text(),
)
def test_a_results_message_reads_back(
    state: State, attempt: int, reason: Reason | None, outputs: str | None, said: str
) -> None:
    text = ResultText(state, attempt, reason, outputs, public(said))
    assert parse_result(text.message("rachel/x")) == text


def test_what_a_result_says_is_one_short_line_that_no_terminal_obeys() -> None:
    assert public("bad \x1b[2J\n\nState: completed\u202e") == "bad <U+001B>[2J State: completed<U+202E>"
    assert len(public("x " * SAID)) == SAID - 1
    with pytest.raises(ValueError, match="more than one plain line"):
        parse_result("failed rachel/x\n\nsaid\n\nmore\n\nState: failed\nAttempt: 1\n")


def test_a_review_message_reads_back() -> None:
    values = {"Decision": "rejected", "Revision": R, "At": "main.py:3"}
    found = parse_review(compose("Prints rows\n\nAll of them", values))
    assert (found.decision, found.revision, found.at) == (Decision.REJECTED, R, "main.py:3")
    assert found.reason == "Prints rows\n\nAll of them"


WRONG = {
    "x": "lacks the trailer Decision",
    f"x\n\nDecision: fine\nRevision: {R}": "has the decision 'fine'",
    f"x\n\nDecision: rejected\nDecision: comment\nRevision: {R}": "says Decision twice",
    "x\n\nDecision: rejected": "lacks the trailer Revision",
    "x\n\nDecision: rejected\nRevision: abc": "no full commit id",
    f"x\n\nDecision: rejected\nRevision: {R}\nSigned-off-by: x": "has the trailer Signed-off-by, which means nothing",
    f"x\n\nDecision: rejected\nRevision: {R}\nnot a trailer": "lacks the trailer Decision",
    f"x\n\nDecision: release\nRevision: {R}\nOutputs: tip": "no full commit id",
}


@pytest.mark.parametrize(("message", "reason"), WRONG.items())
def test_a_review_that_says_something_else_is_refused(message: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_review(message)


@pytest.mark.parametrize("message", ["x", "x\n\nState: done\nAttempt: 1", "x\n\nState: running", "x\n\nAttempt: 1"])
def test_a_results_commit_that_says_something_else_is_none(message: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_result(message)
