"""Whose words release what waits, and how a decision names files."""

import pytest

from gitqueue.model import Commit
from gitqueue.refs import JobId
from gitqueue.rules.authority import Note, Signed, Signer
from gitqueue.rules.lifecycle import Decision
from gitqueue.rules.notes import files_text, parse_files
from gitqueue.rules.release import Word, word

JOB, VAULT = JobId("rachel", "x"), "a" * 40
COMMIT = Commit("c" * 40, "t" * 40, (), "", "", 0, "", b"")
RELEASE, WITHHOLD = Decision.RELEASE, Decision.WITHHOLD


def said(who: str, decision: Decision, files: tuple[str, ...] | None = None, outputs: str | None = VAULT) -> Note:
    roles = frozenset({"requester"} if who == "rolf" else {"owner"})
    return Note(Signed(COMMIT, Signer(who, roles, "")), decision, "b" * 40, "", outputs, files=files)


A, B = ("outputs/a.csv",), ("outputs/b.csv",)
WORDS = {
    "one owner where one is needed": (1, [said("owen", RELEASE, A)], Word(RELEASE, A)),
    "one owner where two are needed": (2, [said("owen", RELEASE)], None),
    "two owners, the same files": (2, [said("owen", RELEASE, A), said("olga", RELEASE, A)], Word(RELEASE, A)),
    "two owners, other files": (2, [said("owen", RELEASE, A), said("olga", RELEASE, B)], None),
    "two owners, some files and all": (2, [said("owen", RELEASE, A), said("olga", RELEASE)], None),
    "two owners agree after all": (
        2,
        [said("owen", RELEASE, A), said("olga", RELEASE, B), said("owen", RELEASE, B)],
        Word(RELEASE, B),
    ),
    "one owner twice": (2, [said("owen", RELEASE), said("owen", RELEASE)], None),
    "no owner": (1, [said("rolf", RELEASE)], None),
    "the requester, who is an owner": (1, [said("rachel", RELEASE)], None),
    "of an earlier run": (1, [said("owen", RELEASE, outputs="d" * 40)], None),
    "one withholds what another releases": (1, [said("owen", WITHHOLD), said("olga", RELEASE)], Word(WITHHOLD)),
    "withheld was an earlier run": (1, [said("owen", WITHHOLD, outputs="d" * 40)], None),
}


@pytest.mark.parametrize(("needed", "notes", "expected"), WORDS.values(), ids=WORDS)
def test_what_waits_goes_by_the_word_of_enough_owners_on_the_same_files(
    needed: int, notes: list[Note], expected: Word | None
) -> None:
    assert word(JOB, notes, VAULT, needed) == expected


def test_files_are_named_in_one_way() -> None:
    hostile = ['outputs/a,"b.csv', "outputs/ü\n.csv"]
    assert parse_files(files_text(hostile)) == tuple(sorted(hostile))
    for text in ("", "[]", '["b","a"]', '["a", "a"]', '["b", "a"]', '"a"', "[1]", "{}", "[" * 99999, '["a"] '):
        with pytest.raises(ValueError, match="no JSON list of paths in order"):
            parse_files(text)
