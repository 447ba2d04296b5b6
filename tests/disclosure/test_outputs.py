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
    assert {name for case in LEAKING for name in case.seen} == set(NAMES) - {"acro"}, "a check that no case tries"
