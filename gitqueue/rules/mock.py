"""Mock data for owners who have none: rows drawn from what they say of each column, never from the data. Pure."""

import csv
import io
import random
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from typing import Annotated, Literal

from msgspec import Meta

from gitqueue.rules.documents import Faulty, parse
from gitqueue.rules.policy import Strict

Share = Annotated[float, Meta(ge=0, le=1, description="a share, from 0 to 1")]
_CELLS = 5_000_000  # mock data travel in git


class Column(Strict, frozen=True, kw_only=True):
    """One column: just one of `values`, `range`, `dates` or `id`. `shape` is how a range is filled, `decimals` how its
    numbers are written; `missing` is the share of empty cells; `weights` how often each value comes."""

    values: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    range: tuple[float, float] | None = None
    dates: tuple[date, date] | None = None
    id: str | None = None
    shape: Literal["uniform", "normal", "skewed"] = "uniform"
    decimals: Annotated[int, Meta(ge=0, le=10, description="a number of decimals, 0 to 10")] = 0
    missing: Share = 0.0


class Table(Strict, frozen=True, kw_only=True):
    """`columns.yaml`, whole."""

    columns: Mapping[str, Column]
    rows: Annotated[int, Meta(ge=1, le=1_000_000, description="a number of rows, 1 to 1000000")] = 100


def read(data: bytes, name: str) -> Table:
    """Raises Faulty with every reason."""
    table = parse(data, Table, name)
    faults = [
        f"{name}: columns.{which}: {fault}" for which, column in table.columns.items() for fault in _faults(column)
    ]
    if not table.columns:
        faults.append(f"{name}: columns is empty; name each column and what it may hold")
    if table.rows * len(table.columns) > _CELLS:
        faults.append(f"{name}: {table.rows} rows of {len(table.columns)} columns; at most {_CELLS} cells")
    if faults:
        raise Faulty(*faults)
    return table


def _faults(column: Column) -> Iterator[str]:
    said = [name for name in ("values", "range", "dates", "id") if getattr(column, name) not in (None, ())]
    if len(said) != 1:
        what = " and ".join(said) or "nothing"
        yield f"says {what}; say one of values: [f, m], range: [0, 30], dates: [2015-01-01, 2020-12-31] or id: p"
    if column.weights and len(column.weights) != len(column.values):
        yield f"has {len(column.weights)} weights for {len(column.values)} values; give one for each"
    if column.weights and (min(column.weights) < 0 or sum(column.weights) <= 0):
        yield "has weights that are no shares; write as in [0.6, 0.4]"
    for ends in (column.range, column.dates):
        if ends and ends[0] > ends[1]:  # type: ignore[operator]  # two numbers, or two dates
            yield f"goes from {ends[0]} to {ends[1]}; write the smaller first"


def draw(table: Table, seed: str) -> bytes:
    """The table as CSV; the same for the same seed."""
    chance = random.Random(seed)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    for number in range(table.rows):
        writer.writerow([_cell(column, chance, number) for column in table.columns.values()])
    return text.getvalue().encode()


def _cell(column: Column, chance: random.Random, number: int) -> str:
    if chance.random() < column.missing:
        return ""
    if column.id is not None:
        return f"{column.id}{number + 1}"
    if column.values:
        return chance.choices(column.values, column.weights or None)[0]
    part = _SHAPES[column.shape](chance)
    if column.dates:
        first, last = column.dates
        return (first + timedelta(days=round(part * (last - first).days))).isoformat()
    low, high = column.range or (0.0, 1.0)
    return f"{low + part * (high - low):.{column.decimals}f}"


def _within(draw_one: Callable[[], float]) -> float:
    """Drawn again until it is between 0 and 1: the ends of a range are ends."""
    while not 0 <= (found := draw_one()) <= 1:
        pass
    return found


_SHAPES: Mapping[str, Callable[[random.Random], float]] = {
    "uniform": lambda chance: chance.random(),
    "normal": lambda chance: _within(lambda: chance.gauss(0.5, 1 / 6)),
    "skewed": lambda chance: _within(lambda: chance.expovariate(5)),
}
