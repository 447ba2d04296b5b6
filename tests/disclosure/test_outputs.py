"""Honest outputs go, leaking ones wait, and what cannot be seen is known."""

from collections.abc import Callable, Sequence

from gitqueue.rules.disclosure import NAMES, Flag

from .cases import HONEST, LEAKING, UNSEEN, Case

Judged = Callable[[Sequence[Case]], dict[str, tuple[Flag, ...]]]


def test_every_case_is_seen_as_what_it_is(judged: Judged) -> None:
    """All at once: the parser's start is the dear part."""
    found = judged([*HONEST, *LEAKING, *UNSEEN])
    checks = {name: {flag.check for flag in flags} for name, flags in found.items()}
    assert {case.name: checks[case.name] - case.alarms for case in HONEST if checks[case.name] - case.alarms} == {}
    assert {case.name: case.seen - checks[case.name] for case in LEAKING if case.seen - checks[case.name]} == {}
    assert {case.name: checks[case.name] for case in UNSEEN if checks[case.name]} == {}, "then say so in the docs"
    assert all(flag.mend for flags in found.values() for flag in flags)
    assert {name for case in LEAKING for name in case.seen} == set(NAMES), "a check that no case tries"
    acro = [flag for flag in found["ACRO's own folder"] if flag.check in ("acro", "high_entropy")]
    assert [flag.file for flag in acro] == ["output_0_0.csv"], "the digests beside them are those of outputs"
    assert "output_0: fail: " in acro[0].reason
    assert acro[0].reason.endswith("the requester asks for an exception: please")
