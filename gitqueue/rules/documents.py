"""The YAML that people write, read into typed values; the times and sizes in it; the texts and paths in it.

Nothing is guessed. Every scalar is text until the type of its key asks for more, so a data set named `no`, `1.10` or
`2026-01-01` keeps its name, `from: 2026-01-01` is a date, and `1:30`, `0o17` or `1e3` are numbers nowhere. Quotes
therefore never change a value. Only `~`, `null` and an empty value, unquoted, mean "nothing".
"""

import datetime
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from functools import cache
from itertools import islice
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin

import msgspec
import yaml

from gitqueue.errors import Mistake

T = TypeVar("T")
Tree: TypeAlias = "str | list[Tree] | dict[str, Tree] | None"

SIZE = 256 * 1024
DEPTH = 16  # libyaml takes 22 s over 100,000 open brackets (measured): reading stops here instead
MOST = 50  # reasons in one answer: nobody reads more, and each nearest name costs time

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NOTHING = ("", "~", "null", "Null", "NULL")
_STANDARD = "tag:yaml.org,2002:"
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")  # neither C libraries nor UTF-8 can carry these


class Faulty(Mistake):
    """A file, or a value in it, does not say what it should. Holds every reason found."""


def parse(data: bytes, kind: type[T], name: str) -> T:
    """The YAML in `data` as a value of `kind`: a frozen Struct, or dict[str, Struct].

    `name` is the file's path, as people know it. Raises Faulty with every reason, each beginning with that path.
    """
    tree = _read(data, name)
    reasons = capped(_faults(tree, kind, ""))
    if not reasons:
        try:
            return msgspec.convert(tree, kind, strict=False, dec_hook=_convert)
        except msgspec.ValidationError as error:
            reasons = (str(error),)
    raise Faulty(*(f"{name}: {reason}" for reason in reasons))


def capped(reasons: Iterable[str]) -> tuple[str, ...]:
    """The first reasons, so that hostile input can cause neither endless work nor endless answers."""
    found = tuple(islice(reasons, MOST + 1))
    return found if len(found) <= MOST else (*found[:MOST], "and more: mend these first")


# --- from bytes to a tree of text ---


def _read(data: bytes, name: str) -> Tree:
    if len(data) > SIZE:
        raise Faulty(f"{name}: {len(data)} bytes; at most {SIZE} (256 KiB) are read")
    reasons: list[str] = []
    try:
        tree = _document(_events(data.decode()), reasons)
    except UnicodeDecodeError as error:
        raise Faulty(f"{name}: byte {error.start + 1} is not UTF-8; save the file as UTF-8") from None
    except yaml.YAMLError as error:
        raise Faulty(f"{name}: {_syntax(error)}") from None
    if reasons:
        raise Faulty(*(f"{name}: {reason}" for reason in capped(reasons)))
    return tree


def _events(text: str) -> Iterator[yaml.Event]:
    return yaml.parse(text, Loader=_LOADER)


def _syntax(error: yaml.YAMLError) -> str:
    mark: Any = getattr(error, "problem_mark", None)
    if mark is None:
        return f"cannot be read: {str(error).splitlines()[0]}"
    return f"line {mark.line + 1}, column {mark.column + 1}: not YAML: {getattr(error, 'problem', '')}"


def _document(events: Iterator[yaml.Event], reasons: list[str]) -> Tree:
    content = (event for event in events if not isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent))
    first = next(content)
    if isinstance(first, yaml.StreamEndEvent):
        return None
    tree = _node(first, content, 0, reasons)
    next(content)  # the document's end
    after = next(content)
    if not isinstance(after, yaml.StreamEndEvent):
        reasons.append(f"{_line(after)}: a second document begins; a file holds one")
    return tree


def _line(event: Any) -> str:
    return f"line {event.start_mark.line + 1}"


def _node(event: yaml.Event, events: Iterator[yaml.Event], depth: int, reasons: list[str]) -> Tree:
    reasons += _unwanted(event)
    if depth > DEPTH:
        raise yaml.YAMLError(f"{_line(event)} is nested deeper than {DEPTH}")
    if isinstance(event, yaml.MappingStartEvent):
        return _mapping(events, depth + 1, reasons)
    if isinstance(event, yaml.SequenceStartEvent):
        return _sequence(events, depth + 1, reasons)
    if not isinstance(event, yaml.ScalarEvent) or (not event.style and event.value in _NOTHING):
        return None
    return event.value


def _unwanted(event: Any) -> Iterator[str]:
    if isinstance(event, yaml.AliasEvent):
        yield f"{_line(event)}: alias {quote(f'*{event.anchor}')}; write the value out"
    elif getattr(event, "anchor", None):
        yield f"{_line(event)}: anchor {quote(f'&{event.anchor}')}; write values out where they are used"
    if getattr(event, "tag", None):
        yield f"{_line(event)}: tag {quote(event.tag.replace(_STANDARD, '!!'))}; tags are not read, remove it"
    if isinstance(event, yaml.ScalarEvent) and _UNSTORABLE.search(event.value):
        yield f"{_line(event)}: {quote(event.value)} holds a NUL or half a character; remove it"


def _sequence(events: Iterator[yaml.Event], depth: int, reasons: list[str]) -> list[Tree]:
    items: list[Tree] = []
    for event in events:
        if isinstance(event, yaml.SequenceEndEvent):
            break
        items.append(_node(event, events, depth, reasons))
    return items


def _mapping(events: Iterator[yaml.Event], depth: int, reasons: list[str]) -> dict[str, Tree]:
    found: dict[str, Tree] = {}
    for event in events:
        if isinstance(event, yaml.MappingEndEvent):
            break
        _node(event, events, depth, reasons)
        key = event.value if isinstance(event, yaml.ScalarEvent) else None
        reasons += _key_faults(event, key, found)
        value = _node(next(events), events, depth, reasons)
        if key is not None:
            found[key] = value
    return found


def _key_faults(event: yaml.Event, key: str | None, found: Mapping[str, Tree]) -> Iterator[str]:
    if key is None:
        yield f"{_line(event)}: a key is not text; write a plain word before the colon"
    elif key == "<<" and not getattr(event, "style", None):
        yield f"{_line(event)}: merge key '<<'; write the values out"
    elif key in found:
        yield f"{_line(event)}: duplicate key {quote(key)}; remove one"


# --- from a tree to reasons: all at once, where msgspec stops at the first ---


def _faults(value: Tree, kind: Any, path: str) -> Iterator[str]:
    kind = _chosen(value, kind)
    origin = get_origin(kind)
    if tagged := _tagged(kind):
        yield from _tagged_faults(value, tagged, path)
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield from _struct_faults(value, kind, path)
    elif origin is tuple and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _faults(item, get_args(kind)[0], f"{path}[{index}]")
    elif origin in (dict, Mapping) and isinstance(value, dict):
        for key, item in value.items():
            yield from _faults(item, get_args(kind)[1], _below(path, key))
    else:
        yield from _leaf_faults(value, kind, path)


def _chosen(value: Tree, kind: Any) -> Any:
    """The member of a union that the value's shape means: `null`, a mapping, or else the plain one."""
    if get_origin(kind) not in (Union, UnionType) or _tagged(kind):
        return kind
    members = get_args(kind)
    if value is None and NoneType in members:
        return NoneType
    structs = [one for one in members if isinstance(one, type) and issubclass(one, msgspec.Struct)]
    plain = [one for one in members if one is not NoneType and one not in structs]
    return (structs or plain)[0] if isinstance(value, dict) else (plain or structs)[0]


def _tagged(kind: Any) -> dict[str, type[msgspec.Struct]]:
    """A union of mappings, by the word that tells them apart; nothing for any other kind."""
    members = get_args(kind) if get_origin(kind) in (Union, UnionType) else ()
    configs = {one: getattr(one, "__struct_config__", None) for one in members}
    return {config.tag: one for one, config in configs.items() if config and config.tag}


def _tagged_faults(value: Tree, kinds: Mapping[str, type[msgspec.Struct]], path: str) -> Iterator[str]:
    key = str(next(iter(kinds.values())).__struct_config__.tag_field)
    word = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, dict) or (isinstance(word, str) and word in kinds):
        yield from _struct_faults(value, kinds.get(str(word), next(iter(kinds.values()))), path)
    elif key not in value:
        yield f"key {key!r} is missing in {path}"
    else:
        yield f"{_below(path, key)} is {quote(word)}; wanted is {' or '.join(kinds)}"


def _struct_faults(value: Tree, kind: type[msgspec.Struct], path: str) -> Iterator[str]:
    place = f"in {path}" if path else "at top level"
    if not isinstance(value, dict):
        yield f"{path or 'the file'} is {quote(value)}; wanted is a mapping, `key: value`"
        return
    fields = _fields(kind)
    for key in value:
        if key not in fields and key != kind.__struct_config__.tag_field:
            yield f"unknown key {quote(key)} {place}{nearest(key, fields) or _known(fields)}"
    for key, field in fields.items():
        if key in value:
            yield from _faults(value[key], field.type, _below(path, key))
        elif field.required:
            yield f"key {key!r} is missing {place}"


@cache
def _fields(kind: type[msgspec.Struct]) -> Mapping[str, msgspec.structs.FieldInfo]:
    return {one.encode_name: one for one in msgspec.structs.fields(kind)}


def _known(fields: Iterable[str]) -> str:
    return f" (known there: {', '.join(fields)})"


def _leaf_faults(value: Tree, kind: Any, path: str) -> Iterator[str]:
    try:
        if _bare(kind) in _NUMBERS and not (isinstance(value, str) and _NUMBERS[_bare(kind)].fullmatch(value)):
            raise ValueError
        msgspec.convert(value, kind, strict=False, dec_hook=_convert)
    except (msgspec.ValidationError, ValueError):
        yield f"{path or 'the file'} is {quote(value)}; wanted is {_wanted(kind)}"


# msgspec alone would take `1e3` for 1000 where a whole number is asked for
_NUMBERS = {int: re.compile(r"-?[0-9]{1,18}"), float: re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")}


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _wanted(kind: Any) -> str:
    """What a leaf should be, in words: its own description, else its type's."""
    if get_origin(kind) is Annotated:
        described = [one.description for one in get_args(kind)[1:] if one.description]
        return described[0] if described else _wanted(_bare(kind))
    if get_origin(kind) is Literal:
        return " or ".join(get_args(kind))
    return _WORDS.get(get_origin(kind) or kind, "something else")


def _below(path: str, key: str) -> str:
    shown = key if re.fullmatch(r"[\w./-]{1,64}", key) else quote(key)
    return f"{path}.{shown}" if path else shown


def quote(value: object) -> str:
    """A value as a message shows it: short, and with nothing invisible or harmful to a terminal."""
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:59] + "…")
    return {NoneType: "empty", dict: "a mapping", list: "a list"}.get(type(value)) or str(value)


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'datasets'?)`, or "" where nothing known is near."""
    found = difflib.get_close_matches(word[:64], known, n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


# --- times and sizes ---

_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_BYTES = {"TiB": 2**40, "TB": 10**12, "GiB": 2**30, "GB": 10**9, "MiB": 2**20, "MB": 10**6, "KiB": 2**10}
_BYTES |= {"kB": 1000, "B": 1}
_AMOUNT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?([A-Za-z]{1,3})")


class Seconds(float):
    """A duration, written `5m` and printed so."""

    def __str__(self) -> str:
        return _printed(Fraction(float(self)), _SECONDS)


class Bytes(int):
    """A size, written `2GiB` and printed so."""

    def __str__(self) -> str:
        return _printed(Fraction(int(self)), _BYTES)


def duration(text: str) -> Seconds:
    """`30s`, `5m`, `1h`, `90d` or `1.5h` in seconds. Raises Faulty."""
    return Seconds(_amount(text, _SECONDS, Seconds))


def size(text: str) -> Bytes:
    """`10kB`, `50MiB` or `2GiB` in bytes. Raises Faulty."""
    return Bytes(_amount(text, _BYTES, Bytes))


def _amount(text: str, units: Mapping[str, int], kind: type) -> Fraction:
    found = _AMOUNT.fullmatch(text)
    amount = Fraction(found[1]) * units.get(found[2], 0) if found else Fraction(0)
    if not 0 < amount < 2**53 or (kind is Bytes and amount.denominator != 1):
        raise Faulty(f"{quote(text)} is not {_WORDS[kind]}")
    return amount


def _printed(amount: Fraction, units: Mapping[str, int]) -> str:
    fits = (unit for unit, factor in units.items() if amount and amount % factor == 0)
    unit = next(fits, min(units, key=lambda one: units[one]))
    return f"{float(amount / units[unit]):.15g}{unit}"


_WORDS: dict[Any, str] = {
    str: "text",
    int: "a whole number in digits",
    float: "a number in digits",
    tuple: "a list, as in [a, b]",
    dict: "a mapping, `key: value`",
    Mapping: "a mapping, `key: value`",
    NoneType: "null: nothing else is understood yet",
    datetime.date: "a date, as in 2026-01-31",
    Seconds: "a time with its unit, as in 30s, 5m, 1h or 90d",
    Bytes: "a size with its unit, as in 10kB, 50MiB or 2GiB",
}


def _convert(kind: type, value: object) -> object:
    reader = {Seconds: duration, Bytes: size}.get(kind)
    if reader is None or not isinstance(value, str):
        raise ValueError(f"{quote(value)} is not {_WORDS.get(kind, kind.__name__)}")
    try:
        return reader(value)
    except Faulty as error:
        raise ValueError(str(error)) from None


# --- texts and paths that people write ---

# controls, what turns the direction of writing, what cannot be seen, line ends that only some programs know
_ODD = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_ODD_OR_BREAK = re.compile(_ODD.pattern + "|[\t\n]")
_PATH = 240  # bytes; deeper trees than this break tools


def text_faults(what: str, text: str, most: int, lines: bool = False) -> Iterator[str]:
    """Why a text (`lines`: of several lines) cannot be shown to people as it is."""
    if len(text) > most:
        yield f"{what} has {len(text)} characters; at most {most}"
    found = (_ODD if lines else _ODD_OR_BREAK).search(text)
    if found and found[0] in "\t\n":
        yield f"{what} is {quote(text)}; it must be one line without tabs"
    elif found:
        yield f"{what} holds the invisible character U+{ord(found[0]):04X}; remove it"


def path_faults(what: str, path: str) -> Iterator[str]:
    """Why a path (or pattern) could lead out of its folder, or be taken for something else."""
    parts = path.split("/")
    if path.startswith("/") or ".." in parts:
        yield f"{what} {quote(path)} leads out of its folder; give a path inside it, without '..'"
    elif "" in parts or "." in parts:
        yield f"{what} {quote(path)} has an empty or '.' part; write it as in folder/file.csv"
    if any(part.lower().startswith(".git") for part in parts):
        yield f"{what} {quote(path)} is git's own; rename it"
    if any(part.startswith("-") for part in parts):
        yield f"{what} {quote(path)} could be taken for an option; let no part begin with '-'"
    if _ODD_OR_BREAK.search(path) or "\\" in path:
        yield f"{what} {quote(path)} holds a backslash or an invisible character; rename it"
    if len(path.encode(errors="replace")) > _PATH:
        yield f"{what} {quote(path)} is longer than {_PATH} bytes; shorten it"
