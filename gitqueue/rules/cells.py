"""What the cells of a table are: counts of people, what was left out, totals, shares; and what follows from them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from gitqueue.rules.facts import Table

COUNTS = frozenset((
    "n", "no", "num", "number", "count", "counts", "cnt", "freq", "frequency", "size", "total", "cases",
    "patients", "people", "persons", "individuals", "subjects", "participants", "records", "observations", "obs",
    "support", "deaths", "events", "women", "men", "children", "respondents", "denominator", "numerator",
    "donors", "sum",
))  # fmt: skip
LABELS = frozenset((  # whole numbers that count nobody
    "year", "month", "day", "week", "hour", "date", "time", "age", "rank", "index", "id", "quartile", "quintile",
    "decile", "fold", "folds", "step", "steps", "epoch", "epochs", "iteration", "iterations", "iter", "seed",
    "bin", "bins", "lag", "degree", "cluster", "clusters", "class", "classes", "label", "stage", "grade", "level",
    "code", "df", "dof", "estimators", "jobs", "splits", "neighbors", "neighbours", "components", "features",
    "trees", "layers", "columns", "depth", "version", "order", "from", "to", "lower", "upper", "bound", "mean",
    "avg", "average", "median", "std", "sd", "se", "rate", "ratio", "pct", "percent", "percentage", "share",
    "proportion", "coef", "coefficient", "score", "accuracy", "variance", "var", "min", "max", "p", "wave",
    "visit", "threshold", "k", "model",
))  # fmt: skip
TOTALS = frozenset(("total", "totals", "all", "overall", "margin", "margins", "everyone", "sum"))
SHARES = frozenset(("pct", "percent", "percentage", "share", "proportion", "prop", "fraction", "prevalence"))
EXTREMES = frozenset((
    "min", "max", "minimum", "maximum", "smallest", "largest", "lowest", "highest", "youngest", "oldest",
))  # fmt: skip
OF_MODELS = frozenset((  # what a method is told, or how it went: nobody's value
    "depth", "iter", "iterations", "features", "samples", "leaf", "leaves", "split", "epochs", "bins", "df",
    "weight", "impurity", "length", "len", "grad", "norm", "scaler", "trees", "estimators", "width",
))  # fmt: skip
_SUPPRESSED = re.compile(
    r"(?i)(?:[<≤]\s*=?\s*\d+|\d+\s*(?:to|-)\s*\d+|\*+|\[?(?:redacted|suppressed|low|c|x|z)\]?|\.\.|[-–—]|na|nan|n/a|null|none|)"
)
_WHOLE = re.compile(r"(\d{1,3}(?:[, _]\d{3})+|\d{1,15})(?:\.0*)?")
_POWER = re.compile(r"\d(?:\.\d{1,15})?[eE]\+?\d{1,2}")
_WITH_SHARE = re.compile(r"([^()]{1,20})\(\s*[<≤]?\s*\d*\.?\d*\s*%\s*\)")  # 3 (0.4 %)
_RANGE = re.compile(r"(\d{1,9})\s*(?:to|[-–])\s*(\d{1,9})")
_BELOW = re.compile(r"(<|≤|<\s*=)\s*(\d{1,9})")
_NARROW = 3
_MARKS = "*_`†‡ "  # around a cell, in Markdown and in papers
_NUMBER = re.compile(r"[-+]?(?:\d[\d, _]*)?(?:\.\d*)?(?:[eE][-+]?\d+)?%?")


def words(name: str) -> frozenset[str]:
    """`n_patients`, `nPatients`, `N (patients)` as words."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    found = frozenset(re.findall(r"[^\W\d_]+", apart.casefold()))
    return found | {"percent"} if "%" in name else found


def whole(text: str) -> int | None:
    """A count, as people and programs write one."""
    bare = text.strip(_MARKS)
    match = _WHOLE.fullmatch(bare)
    if match:
        return int(re.sub(r"[, _]", "", match[1]))
    return int(float(bare)) if _POWER.fullmatch(bare) and float(bare).is_integer() else None


def counted(text: str) -> int | None:
    """The number of people of a cell that says their share, too: `3 (0.4%)`."""
    match = _WITH_SHARE.fullmatch(text.strip(_MARKS))
    return whole(match[1]) if match else None


def number(text: str) -> float | None:
    bare = text.strip()
    if not _NUMBER.fullmatch(bare) or not any(one.isdigit() for one in bare):
        return None
    return float(re.sub(r"[, _%]", "", bare))


def suppressed(text: str) -> bool:
    return _SUPPRESSED.fullmatch(text.strip()) is not None


def narrow(text: str) -> bool:
    """Whether what stands for a small count leaves three numbers, or fewer, that it can be: `<4`, `3-4`."""
    bare = text.strip(_MARKS)
    if match := _RANGE.fullmatch(bare):
        return 0 <= int(match[2]) - int(match[1]) < _NARROW
    match = _BELOW.fullmatch(bare)
    return match is not None and 0 < int(match[2]) - (match[1] == "<") <= _NARROW


def rounded(values: list[int]) -> bool:
    """Whether counts look rounded to fives: then differences of them say nothing."""
    return len(values) > 1 and all(value % 5 == 0 for value in values)


@dataclass(frozen=True)
class Grid:
    """A table whose rows are known, with what its cells are. Rows count from 0 here, and from 1 where they are told."""

    table: Table

    @cached_property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        return self.table.grid or ()

    @cached_property
    def count_columns(self) -> tuple[int, ...]:
        return tuple(at for at in range(len(self.table.columns)) if self._counts(at))

    @cached_property
    def narrow(self) -> tuple[tuple[int, int], ...]:
        """Cells for small counts that say nearly which."""
        columns = [
            at for at, name in enumerate(self.table.columns) if at in self.count_columns or _counting(words(name))
        ]
        return tuple((row, at) for row in range(len(self.rows)) for at in columns if narrow(self.cell(row, at)))

    @cached_property
    def counts(self) -> Mapping[tuple[int, int], int]:
        """Every cell that holds a number of people, by row and column."""
        by_column = [(row, at) for row in range(len(self.rows)) for at in self.count_columns]
        by_row = [(row, at) for row in self.count_rows for at in range(len(self.table.columns))]
        found = {(row, at): whole(self.cell(row, at)) for row, at in (*by_column, *by_row)}
        found |= {
            (row, at): counted(cell)
            for row, cells in enumerate(self.rows)
            for at, cell in enumerate(cells)
            if "%" in cell
        }
        return {place: value for place, value in found.items() if value is not None}

    @cached_property
    def count_rows(self) -> tuple[int, ...]:
        return tuple(row for row in range(len(self.rows)) if _counting(words(self.label(row)) - TOTALS))

    @cached_property
    def total_rows(self) -> tuple[int, ...]:
        return tuple(row for row in range(len(self.rows)) if any(words(one) & TOTALS for one in self.labels(row)))

    @cached_property
    def total_columns(self) -> tuple[int, ...]:
        return tuple(at for at in self.count_columns if words(self.table.columns[at]) & TOTALS)

    def cell(self, row: int, at: int) -> str:
        cells = self.rows[row]
        return cells[at] if at < len(cells) else ""

    def labels(self, row: int) -> tuple[str, ...]:
        """What a row is about: its cells that are words, and numbers in columns that count nobody."""
        texts = (cell for at, cell in enumerate(self.rows[row]) if at not in self.count_columns)
        return tuple(cell for cell in texts if cell and not suppressed(cell) and "." not in cell)

    def label(self, row: int) -> str:
        return next((cell for cell in self.rows[row] if number(cell) is None and not suppressed(cell)), "")

    def named(self, row: int, at: int) -> str:
        """A cell as a person finds it."""
        name = self.table.columns[at] if at < len(self.table.columns) else str(at)
        about = ", ".join(self.labels(row)) or f"row {row + 1}"
        return f"{_brief(about)}: {_brief(name or f'column {at + 1}')} = {_brief(self.cell(row, at))}"

    def _counts(self, at: int) -> bool:
        cells = [self.cell(row, at) for row in range(len(self.rows)) if row not in self.count_rows]
        values = [whole(cell) for cell in cells if not suppressed(cell)]
        said = words(self.table.columns[at])
        if _counting(said):  # by its name: then one cell that is none does not hide the others
            return any(value is not None for value in values)
        if not values or any(value is None for value in values):
            return False
        if said & LABELS or said & COUNTS:
            return _counting(said)
        # Of several rows, the first column is what they are called: 0, 1, 2 or codes.
        return at > 0 or len(self.table.columns) == 1 or len(self.rows) == 1


def _counting(said: frozenset[str]) -> bool:
    return bool(said & COUNTS) and not said & LABELS


def _brief(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


@dataclass(frozen=True, slots=True)
class Line:
    """A row or a column of counts with its total: what is known, where nothing is, and the total."""

    total: int
    known: Mapping[tuple[int, int], int]
    hidden: tuple[tuple[int, int], ...]
    where: str


def lines(grid: Grid, known: Mapping[tuple[int, int], int]) -> Iterator[Line]:
    """Every row and column of counts that has one total. `known`: the counts, and those found out so far."""
    if len(grid.total_columns) == 1 and len(grid.count_columns) > 2:
        for row in range(len(grid.rows)):
            cells = [(row, at) for at in grid.count_columns if at != grid.total_columns[0]]
            yield from _line(grid, known, cells, (row, grid.total_columns[0]))
    if len(grid.total_rows) == 1 and len(grid.rows) > 2:
        for at in grid.count_columns:
            cells = [(row, at) for row in range(len(grid.rows)) if row != grid.total_rows[0]]
            yield from _line(grid, known, cells, (grid.total_rows[0], at))


def _line(
    grid: Grid, known: Mapping[tuple[int, int], int], cells: list[tuple[int, int]], total: tuple[int, int]
) -> Iterator[Line]:
    if total in known:
        there = {cell: known[cell] for cell in cells if cell in known}
        hidden = tuple(cell for cell in cells if cell not in known and suppressed(grid.cell(*cell)))
        if len(there) + len(hidden) == len(cells):
            yield Line(known[total], there, hidden, grid.named(*total))


def deduced(grid: Grid) -> Mapping[tuple[int, int], int]:
    """The hidden counts that totals give away, each by itself or after another was found."""
    known, found = dict(grid.counts), {}
    more = True
    while more:
        more = False
        for line in list(lines(grid, known)):
            if len(line.hidden) == 1 and not rounded([line.total, *line.known.values()]):
                found[line.hidden[0]] = known[line.hidden[0]] = line.total - sum(line.known.values())
                more = True
    return found
