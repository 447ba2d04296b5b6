"""What may leave: a tuple of small checks over what was collected; facts in, flags out.

The facts about an output's content come from a parser that ran inside a sandbox (`templates/sandbox`); where there are
none, nobody has read it, and it waits for a person. docs/disclosure.md explains each check to a data owner.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from math import exp, log

from gitqueue.model import Output
from gitqueue.rules import cells
from gitqueue.rules.cells import Grid
from gitqueue.rules.facts import Content, Match, Table
from gitqueue.rules.policy import OutputRules

_READ = frozenset({"csv", "tsv", "json", "text", "markdown"})
_BY_SUFFIX = {
    ".csv": frozenset({"csv", "tsv", "text"}),
    ".tsv": frozenset({"tsv", "text"}),
    ".json": frozenset({"json"}),
    ".txt": frozenset({"text", "markdown", "csv", "tsv", "json"}),
    ".md": frozenset({"text", "markdown", "csv", "json"}),
    ".png": frozenset({"png"}),
    ".npy": frozenset({"npy"}),
    ".html": frozenset({"html"}),
    ".pdf": frozenset({"pdf"}),
}
_SHOWN = 20  # cells that one flag names
_UNIQUE = 0.9  # of a column's values differ
_REPEATED = 0.1  # of the rows are copies of others
_BY_CHANCE = 1e-5  # less likely than this is no accident
_LONGEST = 100  # characters of a word
_ENTROPY = {True: 3.0, False: 4.5}  # bits a character, of hex and of other text
Cells = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Collected:
    """One output with its content, None where no parser told."""

    output: Output
    content: Content | None


@dataclass(frozen=True, slots=True)
class Flag:
    """Why a file waits for an owner, how its requester mends that, and the cells that it is about."""

    file: str
    check: str
    reason: str
    mend: str = ""
    cells: Cells = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What a check says of one output."""

    reason: str
    mend: str
    cells: Cells = ()


@dataclass(frozen=True)
class Look:
    """One output, before the checks; `others`: all outputs of the run, this one among them."""

    item: Collected
    others: Sequence[Collected]
    identifiers: frozenset[str]
    rules: OutputRules

    @property
    def content(self) -> Content:
        return self.item.content or Content("unread")

    @cached_property
    def grids(self) -> tuple[Grid, ...]:
        return tuple(Grid(table) for table in self.content.tables if table.grid is not None)


def judge(collected: Sequence[Collected], identifiers: Collection[str], rules: OutputRules) -> tuple[Flag, ...]:
    """All flags on a job's outputs; none: they may go back at once where policy says so."""
    known = frozenset(name.casefold().strip() for name in identifiers)
    looks = [Look(item, collected, known, rules) for item in collected]
    return tuple(
        Flag(look.item.output.name, check.__name__.strip("_"), found.reason, found.mend, found.cells)
        for look in looks
        for check in _CHECKS
        for found in check(look)
    )


# what it is


def _unread(look: Look) -> Iterator[Found]:
    if look.item.content is None:
        yield Found("the parser said nothing of it: look at it yourself", "write CSV, JSON or text, and little of it")
    elif look.content.type not in _READ:
        kind = look.content.type if look.content.type != "unreadable" else "what it is"
        yield Found(f"no check reads {kind}: look at it yourself", "write the numbers as CSV beside it")
    elif look.content.unreadable:
        yield Found(f"it could not be read to its end ({look.content.unreadable})", "write less, or more plainly")


def _lying_type(look: Look) -> Iterator[Found]:
    suffix = f".{look.item.output.name.rpartition('.')[2].lower()}"
    expected = _BY_SUFFIX.get(suffix)
    if look.item.content and expected is not None and look.content.type not in expected:
        yield Found(f"its name ends in {suffix}, its content is {look.content.type}", "give it the name of what it is")


def _rows(look: Look) -> Iterator[Found]:
    for table in look.content.tables:
        if table.rows > look.rules.rows:
            yield Found(
                f"{_in(table)}{table.rows} rows, where {look.rules.rows} are the most", "aggregate to fewer groups"
            )
        elif table.grid is None:
            yield Found(f"{_in(table)}too many cells for their counts to be checked", "write fewer columns or rows")


# whose it is


def _identifiers(look: Look) -> Iterator[Found]:
    names = dict.fromkeys(part for name in look.content.names for part in (name, *name.split(".")))
    found = sorted(name for name in names if name.casefold().strip() in look.identifiers)
    found += [
        grid.label(row) for grid in look.grids for row in range(len(grid.rows))
        if grid.label(row).casefold().strip() in look.identifiers
    ]  # fmt: skip
    if found:
        shown = ", ".join(repr(name) for name in dict.fromkeys(found[:5]))
        yield Found(f"it has the identifier {shown}", "leave that column out: aggregate instead of listing people")


def _near_unique(look: Look) -> Iterator[Found]:
    for table in look.content.tables:
        for name, column in zip(table.columns, table.profile, strict=False):
            if column.filled >= look.rules.unique_rows and column.distinct >= _UNIQUE * column.filled:
                yield Found(
                    f"{_in(table)}column {name!r} is different in nearly every row"
                    f" ({column.distinct} values in {column.filled} rows), as in a list of people",
                    "group into classes, or write fewer rows",
                )


def _repeated_rows(look: Look) -> Iterator[Found]:
    for table in look.content.tables:
        if table.rows >= look.rules.min_count and table.repeated > _REPEATED * table.rows:
            yield Found(
                f"{_in(table)}{table.repeated} of {table.rows} rows are copies of others, as in a list of people",
                "write each group once, with how many people are in it",
            )


def _private_values(look: Look) -> Iterator[Found]:
    found = [match for match in _matches(look, "values") if _is_private(match)]
    upright = {(match.where, match.private) for match in found if not match.turned}
    for match in found:
        if not match.turned or (match.where, match.private) not in upright:
            yield Found(
                f"{match.hits} of {match.of} values {_of(match)} stand in the private column {match.private!r}",
                "write aggregates over groups, and round them",
                tuple(f"{_row(match, row)}: {text}" for row, _, text in match.cells[:_SHOWN]),
            )


def _private_rows(look: Look) -> Iterator[Found]:
    for match in _matches(look, "rows"):
        hidden = _hidden_rows(look, match)
        rows = [row for row, _, _ in match.cells if row not in hidden]
        if rows or match.hits > len(match.cells):  # only the first are told
            few = f"fewer than {look.rules.min_count} records of {match.private}"
            yield Found(
                f"{match.hits - (len(match.cells) - len(rows))} of {match.of} rows point at {few} by {match.column}",
                "merge groups until each has enough people, or leave those rows' numbers out",
                tuple(_row(match, row) for row in rows[:_SHOWN]),
            )


def _extremes(look: Look) -> Iterator[Found]:
    """One person's value: a smallest or largest one, as it is called or as it is."""
    named = [cell for grid in look.grids for cell in islice(_extreme_cells(grid), _SHOWN)]
    equal = [
        f"{text} is the smallest or largest of {match.private}"
        for match in _matches(look, "extreme")
        if match.of * match.chance < (0.5 if match.hits > 1 else 0.005)
        for _, _, text in match.cells
    ]
    if named or equal:
        yield Found(
            "a minimum or maximum is one person's value",
            "write the 5th and 95th percentile, rounded",
            tuple((named + equal)[:_SHOWN]),
        )


# how few


def _small_counts(look: Look) -> Iterator[Found]:
    few = [
        grid.named(row, at)
        for grid in look.grids
        for (row, at), value in grid.counts.items()
        if 0 < value < look.rules.min_count
    ]
    few += [grid.named(row, at) for grid in look.grids for row, at in grid.narrow]
    few += [f"{one.where}: {one.text}" for one in look.content.phrases if 0 < one.number < look.rules.min_count]
    yield from _too_few(look, few, "counts of people are")


def _unrounded(look: Look) -> Iterator[Found]:
    """Where policy asks for it: exact counts can be subtracted from those of another table, of any job or year."""
    to = look.rules.rounding
    exact = [grid.named(row, at) for grid in look.grids for (row, at), value in grid.counts.items() if value % to]
    exact += [f"{one.where}: {one.text}" for one in look.content.phrases if one.number % to]
    if exact:
        reason = f"{len(exact)} counts are not rounded to {to}, as the site's policy asks"
        yield Found(reason, f"round all counts to {to}, before anything else is made of them", tuple(exact[:_SHOWN]))


def _small_shares(look: Look) -> Iterator[Found]:
    """A percentage of a known number is a count, too."""
    few = [cell for grid in look.grids for cell in _share_cells(grid, look.rules.min_count)]
    yield from _too_few(look, few, "percentages, of the number beside them, are")


def _given_away(look: Look) -> Iterator[Found]:
    """Secondary disclosure: what was left out, and what a total says of it."""
    few = [cell for grid in look.grids for cell in _away_cells(grid, look.rules.min_count)]
    if few:
        yield Found(
            f"totals give away {len(few)} groups of fewer than {look.rules.min_count}",
            "round all counts to 5, suppress a second cell of that line, or leave the total out",
            tuple(few[:_SHOWN]),
        )


def _differences(look: Look) -> Iterator[Found]:
    """The same count in another table of this run, a few people apart."""
    earlier = list(_counts_before(look))
    few = [
        f"{grid.named(row, at)}, and {value} {'elsewhere here' if name == look.item.output.name else f'in {name}'}"
        for grid in look.grids
        for (row, at), count in grid.counts.items()
        for name, value in _differing(earlier, grid, row, at, count, look.rules.min_count)
    ]
    if few:
        yield Found(
            f"{len(few)} counts differ from the same ones in another table by fewer than {look.rules.min_count}",
            "round all counts to 5, or use the same people in both tables",
            tuple(few[:_SHOWN]),
        )


# what hides


def _high_entropy(look: Look) -> Iterator[Found]:
    digests = {one.output.sha256 for one in look.others}
    strange = [
        f"{one.where}: {one.text[:30]}… ({one.length} characters)"
        for one in look.content.long
        if one.text.casefold() not in digests and (one.length > _LONGEST or one.entropy >= _ENTROPY[one.hex])
    ]
    if strange:
        yield Found(
            "it holds text that is no words: hex, base64 or the like can carry anything",
            "leave out keys, digests and encoded data",
            tuple(strange[:_SHOWN]),
        )


def _acro(look: Look) -> Iterator[Found]:
    """What ACRO itself said, where a job used it: its word holds things back, and never lets them go."""
    name = look.item.output.name
    folder = name.rpartition("/")[0]
    for other in look.others:
        inside = other.output.name.rpartition("/")[0] == folder
        for one in (other.content.acro or ()) if inside and other.content else ():
            if name.rpartition("/")[2] in one.files and one.status != "pass":
                exception = f"; the requester asks for an exception: {one.exception}" if one.exception else ""
                said = f"{one.status}: {' '.join(one.summary.split())}"
                yield Found(f"ACRO says of {one.uid}: {said}{exception}", "suppress in ACRO, or ask the owners")


_CHECKS: tuple[Callable[[Look], Iterator[Found]], ...] = (
    _unread,
    _lying_type,
    _rows,
    _identifiers,
    _near_unique,
    _repeated_rows,
    _private_values,
    _private_rows,
    _extremes,
    _small_counts,
    _unrounded,
    _small_shares,
    _given_away,
    _differences,
    _high_entropy,
    _acro,
)
NAMES = tuple(check.__name__.strip("_") for check in _CHECKS)


# small helpers of the checks


def _in(table: Table) -> str:
    return f"{table.where}: " if table.where else ""


def _too_few(look: Look, few: Sequence[str], what: str) -> Iterator[Found]:
    if few:
        least = look.rules.min_count
        mend = f"suppress what is below {least} and round the rest to 5, or merge groups"
        yield Found(f"{len(few)} {what} below {least}", mend, tuple(few[:_SHOWN]))


def _matches(look: Look, kind: str) -> Iterator[Match]:
    return (match for match in look.content.matches if match.kind == kind)


def _is_private(match: Match) -> bool:
    """Whether values of an output stand in the data for another reason than chance."""
    if not match.numeric:
        return match.identifier or match.unique >= 0.5
    return accident(match.hits, match.of, match.chance) < _BY_CHANCE


def accident(hits: int, of: int, chance: float) -> float:
    """At most how likely it is that so many of so many numbers hit by accident (Chernoff's bound)."""
    share = hits / max(1, of)
    if share <= chance or chance >= 1:
        return 1.0
    if chance <= 0:
        return 0.0
    missed = (1 - share) * log((1 - share) / (1 - chance)) if share < 1 else 0.0
    return exp(-of * (share * log(share / chance) + missed))


def _of(match: Match) -> str:
    place = f"column {match.column!r}" if match.column else "one line" if match.turned else match.where or "the file"
    return f"of {place}"


def _row(match: Match, row: int) -> str:
    if match.where == "the text":
        return f"line {row}" if row else "its name"
    return f"column {row}" if match.turned else f"row {row}"


def _hidden_rows(look: Look, match: Match) -> set[int]:
    """Rows that name a small group, and whose numbers were left out: as it should be done. Where most rows do so, the
    rows themselves are what it tells."""
    tables = [grid for grid in look.grids if grid.table.where == match.where]
    rows = {
        row + 1
        for grid in tables
        for row in range(len(grid.rows))
        if not match.turned
        and any(cells.suppressed(cell) for cell in grid.rows[row])
        and not any(cells.number(cell) is not None for at, cell in enumerate(grid.rows[row]) if at and "." in cell)
        and not any((row, at) in grid.counts for at in grid.count_columns)
    }
    return rows if 2 * len(rows) <= sum(len(grid.rows) for grid in tables) else set()


def _extreme_cells(grid: Grid) -> Iterator[str]:
    columns = {at for at, name in enumerate(grid.table.columns) if _extreme(name)}
    for row in range(len(grid.rows)):
        whole_row = _extreme(grid.label(row))
        for at, cell in enumerate(grid.rows[row]):
            if (whole_row or at in columns) and cells.number(cell) is not None:
                yield grid.named(row, at)


def _extreme(name: str) -> bool:
    said = cells.words(name)
    return bool(said & cells.EXTREMES) and not said & cells.OF_MODELS


def _share_cells(grid: Grid, least: int) -> Iterator[str]:
    shares = [at for at, name in enumerate(grid.table.columns) if cells.words(name) & cells.SHARES]
    for row in range(len(grid.rows)) if shares else ():
        whole = max((grid.counts.get((row, at), 0) for at in grid.count_columns), default=0)
        for at in shares:
            share = cells.number(grid.cell(row, at))
            if whole and share is not None:
                part = whole * (share / 100 if share > 1 or _in_percent(grid.table.columns[at]) else share)
                if 0.5 <= part < least - 0.5 or 0.5 <= whole - part < least - 0.5:
                    yield f"{grid.named(row, at)} of {whole}"


def _away_cells(grid: Grid, least: int) -> Iterator[str]:
    for (row, at), value in cells.deduced(grid).items():
        if 0 < value < least:
            yield f"{grid.named(row, at)} must be {value}"
    for line in cells.lines(grid, grid.counts):
        left = line.total - sum(line.known.values())
        if not line.hidden and 0 < left < least and not cells.rounded([line.total, *line.known.values()]):
            yield f"{line.where}, but what is listed leaves {left}"


def _in_percent(name: str) -> bool:
    return bool(cells.words(name) & {"pct", "percent", "percentage"})


Counted = tuple[str, Mapping[tuple[tuple[str, ...], str], int]]


def _counts_before(look: Look) -> Iterator[Counted]:
    """The counts of tables before this output's last one, by what they are about."""
    for other in look.others:
        for table in other.content.tables if other.content else ():
            if table.grid is not None:
                grid = Grid(table)
                about = {(grid.labels(row), table.columns[at]): value for (row, at), value in grid.counts.items()}
                yield f"{other.output.name}\0{table.where}", about
        if other is look.item:
            return


def _differing(
    earlier: Sequence[Counted], grid: Grid, row: int, at: int, count: int, least: int
) -> Iterator[tuple[str, int]]:
    key = (grid.labels(row), grid.table.columns[at])
    for name, about in earlier:
        value = about.get(key)
        if value is not None and 0 < abs(value - count) < least and not cells.rounded([value, count]):
            yield name.partition("\0")[0], value
            return
