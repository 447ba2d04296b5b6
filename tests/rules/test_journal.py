"""An audit entry reads back as it was written, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitqueue.errors import Tampered
from gitqueue.model import RefMove
from gitqueue.rules.journal import Entry, Event, bounded, clean, message, parse, sentence

line = st.text(max_size=80).map(clean).filter(bool)
commit = st.one_of(st.none(), st.text("0123456789abcdef", min_size=40, max_size=40).filter(lambda one: one != "0" * 40))
entries = st.builds(
    Entry,
    event=st.sampled_from(Event),
    at=st.integers(0, 4_000_000_000),
    sender=st.one_of(st.just(""), line),
    signer=st.one_of(st.just(""), line),
    key=st.one_of(st.just(""), line),
    job=st.one_of(st.just(""), line),
    moves=st.lists(st.builds(RefMove, line, commit, commit), max_size=3).map(tuple),
    reasons=st.lists(line, max_size=3).map(tuple),
    count=st.integers(1, 1000),
    id=st.one_of(st.just(""), line),
)


@given(entries)
def test_every_entry_reads_back_as_it_was_written(entry: Entry) -> None:
    assert parse(message(entry)) == entry
    assert "\n" not in sentence(entry)


GOOD = message(Entry(Event.CLAIM, 1_790_000_000, job="rachel/x"))
DAMAGED = {
    "a field too many": GOOD + "Extra: x\n",
    "a field twice": GOOD.replace("Job: rachel/x\n", "Job: rachel/x\nJob: rachel/x\n"),
    "another order": "claim rachel/x\n\nAt: 2026-09-21T14:13:20Z\nEvent: claim\nJob: rachel/x\n",
    "another subject": GOOD.replace("claim rachel/x\n\n", "claim rachel/y\n\n"),
    "an unknown event": GOOD.replace("claim", "party"),
    "no time": GOOD.replace("At:", "When:"),
    "a blank at its end": GOOD + "\n",
    "nothing": "",
}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED)
def test_an_entry_with_something_unusual_is_tampering(text: str) -> None:
    assert parse(GOOD).job == "rachel/x"
    with pytest.raises(Tampered):
        parse(text)


def test_what_a_person_typed_is_one_clean_bounded_line() -> None:
    assert clean("a\nEvent: alarm\x1b[2J\u202e") == "a<U+000A>Event: alarm<U+001B>[2J<U+202E>"
    assert len(clean("x" * 10_000)) == 500
    assert bounded(["x"] * 30)[-1] == "and 10 more"
