"""What the parser in the sandbox says of outputs, as typed values. It ran beside hostile bytes: nothing of it is more
than a statement, of a bounded size, about a file that somebody made."""

import msgspec


class Profile(msgspec.Struct, frozen=True):
    """A column: how many cells are filled, how many values differ, how many are numbers, and numbers with decimals."""

    filled: int
    distinct: int
    numbers: int = 0
    decimals: int = 0


class Table(msgspec.Struct, frozen=True):
    """`where`: which part of its file it is. `grid`: its rows below the head, None where they are too many.
    `repeated`: how many rows are copies of others."""

    where: str
    columns: tuple[str, ...]
    width: int
    rows: int
    grid: tuple[tuple[str, ...], ...] | None = None
    profile: tuple[Profile, ...] = ()
    repeated: int = 0


class Long(msgspec.Struct, frozen=True):
    """A word that is none: its first characters, its length, bits of entropy a character."""

    where: str
    text: str
    length: int
    hex: bool
    entropy: float


class Phrase(msgspec.Struct, frozen=True):
    """A number of people in a sentence."""

    where: str
    text: str
    number: int


class Match(msgspec.Struct, frozen=True):
    """What stands both in a column of an output and in the private data.

    `kind`: `values` (of one column of the data), `extreme` (its smallest or largest value), or `rows` (cells of one row
    that, together, stand in few records). `hits` of `of` different values, or rows; `chance` that one number stands
    there by accident; `unique`: the share of the data column's values that are different; `identifier`: the owners
    declared it so. `cells`: row (from 1), column (from 0; -1: the row), text. `turned`: of the table on its side.
    """

    kind: str
    where: str
    private: str
    hits: int
    of: int
    column: str = ""
    chance: float = 0.0
    numeric: bool = False
    identifier: bool = False
    unique: float = 0.0
    turned: bool = False
    cells: tuple[tuple[int, int, str], ...] = ()


class Acro(msgspec.Struct, frozen=True):
    """What ACRO's own record says of one output; `status` is pass, review or fail."""

    uid: str
    status: str
    summary: str
    exception: str = ""
    files: tuple[str, ...] = ()


class Measures(msgspec.Struct, frozen=True):
    """How large a picture (pixels) or an array is."""

    width: int | None = None
    height: int | None = None
    shape: tuple[int, ...] | None = None
    dtype: str = ""


class Content(msgspec.Struct, frozen=True):
    """One file, by its content. `acro` is None for what is no record of ACRO's."""

    type: str
    tables: tuple[Table, ...] = ()
    names: tuple[str, ...] = ()
    long: tuple[Long, ...] = ()
    phrases: tuple[Phrase, ...] = ()
    matches: tuple[Match, ...] = ()
    acro: tuple[Acro, ...] | None = None
    measures: Measures | None = None
    unreadable: str = ""


class _Inspection(msgspec.Struct, frozen=True):
    files: dict[str, Content]


def parse(data: bytes | None) -> dict[str, Content]:
    """The facts by file. Anything unusual in what was printed counts as silence."""
    try:
        return msgspec.json.decode(data or b"", type=_Inspection).files
    except msgspec.MsgspecError:
        return {}
