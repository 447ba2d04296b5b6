"""What a commit of the archive says, and which jobs are closed when."""

import pytest

from gitqueue.errors import Tampered
from gitqueue.refs import JobId
from gitqueue.rules import archive
from gitqueue.rules.archive import Closed
from gitqueue.rules.lifecycle import CLOSABLE, State

DAY = 86400.0
RAN = Closed(JobId("rachel", "ran"), State.COMPLETED, "a" * 40, None, "c" * 40)
NO = Closed(JobId("rolf", "no"), State.REJECTED, "d" * 40, "e" * 40, None)


def test_only_what_is_over_is_closed_and_only_after_its_time() -> None:
    for state in State:
        assert archive.is_due(state, 0, 91 * DAY, 90 * DAY) == (state in CLOSABLE)
        assert not archive.is_due(state, 0, 89 * DAY, 90 * DAY)


def test_a_commit_of_the_archive_reads_as_it_was_written_and_holds_every_tip() -> None:
    assert archive.parse(archive.message((RAN, NO))) == (RAN, NO)
    assert archive.parents("f" * 40, (RAN, NO)) == ("f" * 40, "a" * 40, "c" * 40, "d" * 40, "e" * 40)
    assert [move.name for move in NO.removals()] == ["refs/heads/requests/rolf/no", "refs/heads/reviews/rolf/no"]


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        ("close 2 jobs", "close 3 jobs"),
        ("rachel/ran", "rachel/../ran"),
        ("completed", "running"),
        ("Closed: rolf", "closed: rolf"),
        (" -", "  -"),
        ("a" * 40, "a" * 39),
    ],
)
def test_a_commit_that_gc_did_not_write_is_tampering(there: str, instead: str) -> None:
    text = archive.message((RAN, NO))
    assert there in text
    with pytest.raises(Tampered, match="does not read"):
        archive.parse(text.replace(there, instead, 1))
