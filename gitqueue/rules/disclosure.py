"""What may leave: a tuple of small checks over what was collected; facts in, flags out.

The facts about an output's content come from a parser that ran inside a sandbox (`templates/sandbox/inspect.py`); where
there are none, nobody has read it, and it waits for a person.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from gitqueue.model import Output

_READ = frozenset({"csv", "tsv", "json", "text", "markdown"})
_BY_SUFFIX = {
    ".csv": frozenset({"csv", "text"}),
    ".tsv": frozenset({"tsv", "text"}),
    ".json": frozenset({"json"}),
    ".txt": frozenset({"text", "markdown", "csv", "tsv", "json"}),
    ".md": frozenset({"text", "markdown", "csv", "json"}),
    ".png": frozenset({"png"}),
    ".npy": frozenset({"npy"}),
    ".html": frozenset({"html"}),
    ".pdf": frozenset({"pdf"}),
}


@dataclass(frozen=True, slots=True)
class Content:
    """What the parser found in one output: its type by content, and every name of a column or key in it."""

    kind: str
    names: tuple[str, ...] = ()
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Collected:
    """One output with its content, None where no parser told."""

    output: Output
    content: Content | None


@dataclass(frozen=True, slots=True)
class Flag:
    """Why a file waits for an owner."""

    file: str
    check: str
    reason: str


def judge(collected: Sequence[Collected], identifiers: Collection[str]) -> tuple[Flag, ...]:
    """All flags on a job's outputs; none: they may go back at once where policy says so."""
    known = frozenset(name.casefold().strip() for name in identifiers)
    return tuple(
        Flag(item.output.name, check.__name__.strip("_"), reason)
        for item in collected
        for check in _CHECKS
        for reason in check(item, known)
    )


def _unread(item: Collected, _: frozenset[str]) -> Iterator[str]:
    if item.content is None:
        yield "the parser said nothing of it: look at it yourself"
    elif item.content.kind not in _READ:
        yield f"no check reads {item.content.kind}: look at it yourself"


def _lying_type(item: Collected, _: frozenset[str]) -> Iterator[str]:
    if item.content is None:
        return
    suffix = f".{item.output.name.rpartition('.')[2].lower()}"
    expected = _BY_SUFFIX.get(suffix)
    if expected is not None and item.content.kind not in expected:
        yield f"its name ends in {suffix}, its content is {item.content.kind}"


def _identifiers(item: Collected, known: frozenset[str]) -> Iterator[str]:
    names = item.content.names if item.content else ()
    found = sorted({name for name in names if name.casefold().strip() in known})
    if found:
        shown = ", ".join(repr(name) for name in found[:5])
        yield f"it has the identifier {shown}: aggregate instead of listing people"


_CHECKS: tuple[Callable[[Collected, frozenset[str]], Iterator[str]], ...] = (_unread, _lying_type, _identifiers)


class _Facts(msgspec.Struct, frozen=True):
    """What the parser prints of one file; more keys than these are for people."""

    type: str
    columns: tuple[str, ...] = ()
    column_count: int = 0
    keys: tuple[str, ...] = ()
    key_count: int = 0
    rows: int | None = None
    unreadable: str = ""


class _Inspection(msgspec.Struct, frozen=True):
    files: dict[str, _Facts]


def parse_inspection(data: bytes | None) -> dict[str, Content]:
    """The parser's facts by file. It ran beside hostile bytes: anything unusual in what it printed counts as silence,
    and so does a file that it could not read to its end."""
    try:
        found = msgspec.json.decode(data or b"", type=_Inspection)
    except msgspec.MsgspecError:
        return {}
    whole = {name: facts for name, facts in found.files.items() if _whole(facts)}
    return {name: Content(facts.type, _names(facts), facts.rows) for name, facts in whole.items()}


def _whole(facts: _Facts) -> bool:
    return not facts.unreadable and facts.column_count <= len(facts.columns) and facts.key_count <= len(facts.keys)


def _names(facts: _Facts) -> tuple[str, ...]:
    return (*facts.columns, *(part for key in facts.keys for part in (key, *key.split("."))))
