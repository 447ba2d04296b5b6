"""Tables of outputs, measured, and compared with an index of the private data.

    python3 -I compare.py DATA INDEX KEY        builds the index: INDEX/<n>.parquet (each row), INDEX/<n>.parquet.few
                                                (the columns of few values, each value once), INDEX/index.json

The index holds no value of the data, but a keyed hash of each cell, column by column: what stands in an output is
looked up in it as it would be in the data, and whoever has the index without the key learns how often what is
repeated, and no more. Names of files and columns are in it as they are.
"""

import csv
import json
import os
import re
import sys

if __name__ == "__main__":
    sys.path += [os.path.dirname(os.path.abspath(__file__)), os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib")]

import duckdb

import reading

SAMPLE = 5000  # rows of a table that are compared; policy lets few tables be larger
PROBED = 500  # columns of a table that are compared; one of more is not read to its end (`reading.MOST`)
TURNED = 64  # rows of a table that is also looked at on its side
SHOWN = 20  # cells that are named
EMPTY = "('', 'na', 'nan', '-nan', 'none', 'null', 'n/a', '-', 'inf', '+inf', '-inf')"  # nobody's value
COLUMNS = 256  # of an asset, that are indexed
FEW, GROUPED = 0.1, 10_000  # a column with fewer different values (of its rows; at all) is grouped
SETS = 30  # columns that are grouped in one reading
FEW_VALUES = ".few"


def connect(memory):
    base = duckdb.connect()
    base.execute(f"set threads=2; set memory_limit='{memory}'; set temp_directory='/tmp/spill'; set enable_progress_bar=false")
    # A hash table is then made of what a join names second: we know which is small, the database cannot.
    base.execute("set disabled_optimizers='join_order,build_side_probe_side'")
    base.execute("set preserve_insertion_order=false; set lock_configuration=true")
    return base


def quoted(text):
    return "'" + str(text).replace("'", "''") + "'"


def source(path, delimiter, columns):
    """SQL that reads a table of text columns c0, c1, …; the first line names them and is left out."""
    names = "{" + ", ".join(f"'c{at}': 'VARCHAR'" for at in range(columns)) + "}"
    options = "header=true, quote='\"', escape='\"', null_padding=true, strict_mode=false, auto_detect=false, max_line_size=4194304"
    return f"read_csv({quoted(path)}, columns={names}, delim={quoted(delimiter)}, {options})"


def number(column):
    """Its value as a number, or NULL. All that can be one sorts before a colon: to try the others is dear."""
    return f"case when {column} < ':' then try_cast({column} as double) end"


def norm(column):
    """The same value however it is written: 14.130 and 1.413e1, `Rachel ` and `rachel`; NULL for none."""
    text = f"lower(trim({column}))"
    return f"case when {text} in {EMPTY} then null when {number(column)} is not null then cast({number(column)} as varchar) else {text} end"


def hashed(value, key):
    # SHA-256 keeps the key; the short hash of it is what columns hold. md5, which gives a number at once, takes twice as long.
    return f"hash(sha256({quoted(key)} || {value}))"


# what a table is


def measure(found, tables, ask):
    base = connect("300MB")
    fill(base, found, tables)
    profiled(base, tables)
    if ask.get("index"):
        overlaps(base, found, tables, ask)


def fill(base, found, tables):
    """Every cell and word that is measured, by table, row and column. Large tables stand for themselves by a sample.

    Table 2n is the n-th, -1-n holds the words of the n-th file; 2n + 1 will be table n turned on its side.
    """
    path = "/tmp/cells.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        write = csv.writer(file, quoting=csv.QUOTE_ALL)
        write.writerow(("t", "r", "c", "v"))
        for number, table in enumerate(tables):
            table.rows = len(table.grid or ())
            for r, row in enumerate(table.grid or (), 1):
                write.writerows((2 * number, r, c, cell) for c, cell in enumerate(row[:PROBED]) if cell)
        for number, one in enumerate(found.values()):
            write.writerows((-1 - number, line, 0, word) for word, line in one.words.items())
    kinds = "{'t': 'INT', 'r': 'INT', 'c': 'INT', 'v': 'VARCHAR'}"
    base.execute(f"create temp table raw as select * from read_csv({quoted(path)}, columns={kinds}, header=true, auto_detect=false, delim=',', quote='\"', escape='\"', max_line_size=4194304)")
    for number, table in enumerate(tables):
        if table.grid is None:
            sampled(base, number, table)


def sampled(base, number, table):
    width = max(1, len(table.columns))
    view = source(table.path, table.delimiter, width)
    table.rows = base.execute(f"select count(*) from {view}").fetchone()[0]
    base.execute(f"create or replace temp table part as select row_number() over () r, * from (select * from {view} using sample reservoir({SAMPLE} rows) repeatable (7))")
    for at in range(min(width, PROBED)):
        base.execute(f"insert into raw select {2 * number}, r, {at}, c{at} from part where c{at} != ''")


def profiled(base, tables):
    """Of each column: how many cells are filled, how many values differ, whether they are numbers, with decimals."""
    value, number_ = norm("v"), number("v")
    for table in tables:
        table.profile = [{"filled": 0, "distinct": 0} for _ in table.columns[:PROBED]]
    sql = f"select t, c, count(n), count(distinct n), count(x), count(*) filter (x % 1 != 0) from (select t, c, {value} n, {number_} x from raw where t >= 0) group by t, c"
    for t, c, filled, distinct, numbers, decimals in base.execute(sql).fetchall():
        if c < len(tables[t // 2].profile):
            tables[t // 2].profile[c] = {"filled": filled, "distinct": distinct, "numbers": numbers, "decimals": decimals}
    sql = "select t, count(*) - count(distinct s) from (select t, r, string_agg(c || ':' || v, chr(31) order by c) s from raw where t >= 0 group by t, r) group by t"
    for t, repeated in base.execute(sql).fetchall():
        tables[t // 2].repeated = repeated


# the index


def build(data, index, key):
    """Index every table below a folder, or one file."""
    base = connect("1500MB")
    assets = []
    for path, name in listed(data):
        about = asset(base, path, f"{index}/{len(assets)}.parquet", key)
        if about:
            assets.append({"name": name, "file": f"{len(assets)}.parquet", **about})
    with open(f"{index}/index.json", "w", encoding="utf-8") as file:
        json.dump({"assets": assets}, file)


def listed(top):
    if os.path.isfile(top):
        yield top, ""
        return
    for folder, below, names in os.walk(top):
        below.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                yield path, os.path.relpath(path, top)


def asset(base, path, target, key):
    """One table of the data: its hashes into `target`, row by row; what is known of each column. None for no table.

    The data are read three times, however wide they are. A column of few different values is grouped first, and each
    value hashed once: hashes are the dear part. Its hashes also go into a table of their own (`held`).
    """
    table = of_data(path)
    if table is None:
        return None
    sql, columns = table[0], table[1][:COLUMNS]
    rows, facts = survey(base, sql, len(columns))
    few = [at for at, fact in enumerate(facts) if fact[0] <= max(GROUPED, FEW * rows)]
    for first in range(0, len(few), SETS):
        group(base, sql, few[first : first + SETS], key)
    each = [f"v{at}.h c{at}" if at in few else f"c{at}" for at in range(len(columns))]
    whole = [f"c{at} raw{at}" if at in few else f"{hashed(norm(f'c{at}'), key)} c{at}" for at in range(len(columns))]
    joins = " ".join(f"left join v{at} on v{at}.raw = raw{at}" for at in few)
    base.execute(f"copy (select {', '.join(each)} from (select {', '.join(whole)} from {sql}) {joins}) to {quoted(target)} (format parquet)")
    if few:
        union = " union all ".join(f"select distinct {at} c, h from v{at} where h is not null" for at in few)
        base.execute(f"copy ({union}) to {quoted(target + FEW_VALUES)} (format parquet)")
    shapes = [shape(base, target, at, name, facts[at], at in few, key) for at, name in enumerate(columns)]
    return {"rows": rows, "columns": shapes}


def survey(base, sql, columns):
    """How many rows; of each column about how many values differ, how many are numbers, their ends, their decimals."""
    each = (
        f"approx_count_distinct(c{at}), count({number(f'c{at}')}), min({number(f'c{at}')}), max({number(f'c{at}')}),"
        f" coalesce(max(case when {number(f'c{at}')} is not null and contains(c{at}, '.') then length(c{at}) - instr(c{at}, '.') end), 0)"
        for at in range(columns)
    )
    rows, *facts = base.execute(f"select count(*), {', '.join(each)} from {sql}").fetchone()
    return rows, [facts[at : at + 5] for at in range(0, len(facts), 5)]


def group(base, sql, columns, key):
    """The different values of some columns, each in a table of its own, from one reading of the data."""
    names = ", ".join(f"c{at}" for at in columns)
    value = f"coalesce({names})" if len(columns) > 1 else names
    sets = ", ".join(f"(c{at})" for at in columns)
    base.execute(f"create or replace temp table g as select grouping({names}) g, {value} raw from {sql} group by grouping sets ({sets})")
    for place, at in enumerate(columns):
        others = (1 << len(columns)) - 1 - (1 << (len(columns) - 1 - place))
        base.execute(f"create or replace temp table v{at} as select raw, {hashed(norm('raw'), key)} h from g where g = {others} and raw is not null")


def shape(base, target, at, name, facts, few, key):
    """What the rules may know of a column of the data; of its values, the hashes of its two extremes."""
    distinct, numbers, low, high, digits = facts
    counted = f"(select count(distinct h) from v{at})" if few else str(distinct)
    ends = [f"select {hashed(f'cast({quoted(end)}::double as varchar)', key)} h" for end in (low, high) if end is not None]
    filled, distinct = base.execute(f"select count(c{at}), {counted} from read_parquet({quoted(target)})").fetchone()
    numeric = numbers >= filled > 0
    found = {"name": name, "filled": filled, "distinct": min(distinct, filled), "numeric": numeric, "few": few}
    if not numeric or not high - low < 1e300:
        return {**found, "steps": 0, "chance": 0.0, "extremes": []}
    steps = (high - low) * 10 ** min(digits, 17) + 1
    sql = f"select e.h, count(*) from read_parquet({quoted(target)}) i join ({' union '.join(ends)}) e on i.c{at} = e.h group by e.h"
    extremes = [[str(digest), count] for digest, count in base.execute(sql).fetchall()]
    return {**found, "steps": steps, "chance": min(1.0, 2 * found["distinct"] / steps), "extremes": extremes}


def held(folder, about, at):
    """SQL of the hashes `h` that stand in a column of the data, each at least once."""
    path = f"{folder}/{about['file']}"
    if about["columns"][at]["few"]:
        return f"(select h from read_parquet({quoted(path + FEW_VALUES)}) where c = {at})"
    return f"(select c{at} h from read_parquet({quoted(path)}))"


def of_data(path):
    """SQL and column names of a table of the data; None for what is none."""
    with open(path, "rb") as file:
        head = file.read(reading.HEAD)
        size = file.seek(0, 2)
    if head.startswith(b"PAR1"):
        names = [row[0] for row in duckdb.execute(f"describe select * from read_parquet({quoted(path)})").fetchall()]
        cells = ", ".join(f'cast("{name.replace(chr(34), chr(34) * 2)}" as varchar) c{at}' for at, name in enumerate(names))
        return f"(select {cells} from read_parquet({quoted(path)}))", names
    if not reading.utf8(head, size > len(head)):
        return None
    text = head.decode("utf-8-sig", "ignore")
    delimiter = reading.tabular(text, size > len(head)) or (sole(text) and ",")
    if not delimiter:
        return None
    header = next(csv.reader([text.split("\n", 1)[0]], delimiter=delimiter))
    return source(path, delimiter, len(header)), header


def sole(text):
    """A table of one column: short lines, and no sentence."""
    lines = text.splitlines()[:20]
    return len(lines) > 1 and all(line and " " not in line.strip() and line[0] not in "{[<" for line in lines)


# what stands in both


def overlaps(base, found, tables, ask):
    """Look every table, every transposed one and every word up in every column of every indexed asset."""
    key = open(ask["key"], encoding="ascii").read().strip()
    owner = {id(table): name for name, one in found.items() for table in one.tables}
    cells(base, tables, key)
    known(base, ask, key)
    base.execute("create temp table seen as select t, c, h, min(r) r, any_value(v) v, bool_or(h in (select h from public)) public from cells group by t, c, h")
    totals = {(t, c): (n, fresh) for t, c, n, fresh in base.execute("select t, c, count(*), count(*) filter (not public) from seen group by t, c").fetchall()}
    names = list(found)
    for place in ask["index"]:
        for about in json.load(open(f"{place['path']}/index.json", encoding="utf-8"))["assets"]:
            look_up(base, Look(found, tables, names, owner, totals, place, about, ask))


class Look:
    """One asset's index, and where what is found of it goes."""

    def __init__(self, found, tables, names, owner, totals, place, about, ask):
        self.found, self.tables, self.names, self.owner, self.totals = found, tables, names, owner, totals
        self.folder, self.about = place["path"], about
        self.asset = f"{place['name']}/{about['name']}".rstrip("/")
        self.identifiers = {name.casefold().strip() for name in ask.get("identifiers", ())}
        self.few = ask.get("min_count", 10)
        self.mock = {(one["asset"], one["column"]): one for one in ask.get("_mock", ())}

    def tell(self, t, match):
        """Put a match to the file that table `t` belongs to; the words of a file are table -1-n, transposed ones odd."""
        if t < 0:
            one, where = self.found[self.names[-1 - t]], "the text"
        else:
            table = self.tables[t // 2]
            one, where = self.found[self.owner[id(table)]], table.where
        one.matches.append({"where": where, "turned": t > 0 and t % 2 == 1, **match})


def cells(base, tables, key):
    """Every cell by its hash, small tables also turned on their side."""
    base.execute(f"create temp table cells as select t, r, c, {hashed('n', key)} h, v from (select *, {norm('v')} n from raw) where n is not null")
    small = [str(2 * number) for number, table in enumerate(tables) if len(table.columns) > 1 and table.rows <= TURNED]
    if small:
        base.execute(f"insert into cells select t + 1, c + 1, r - 1, h, v from cells where t in ({', '.join(small)})")


def known(base, ask, key):
    """What everybody may know: the names of the data's columns, and all that stands in the mock data."""
    base.execute("create temp table public (h ubigint)")
    ask["_mock"] = []
    for place in ask["index"]:
        for about in json.load(open(f"{place['path']}/index.json", encoding="utf-8"))["assets"]:
            for one in about["columns"]:
                base.execute(f"insert into public select {hashed(norm(quoted(one['name'])), key)} where {norm(quoted(one['name']))} is not null")
        if not place.get("mock"):
            continue
        for path, name in listed(place["mock"]):
            table = of_data(path)
            if table is None:
                continue
            for at, column_name in enumerate(table[1]):
                value = norm(f"c{at}")
                base.execute(f"create or replace temp table m as select distinct {hashed(value, key)} h from {table[0]} where {value} is not null")
                base.execute("insert into public select h from m")
                ask["_mock"].append(chance(base, place, name, column_name))


def chance(base, place, file, column_name):
    """How many of a mock column's values stand in the real column of the same name: so many do by chance."""
    hits, all_of_it = 0, base.execute("select count(*) from m").fetchone()[0]
    for about in json.load(open(f"{place['path']}/index.json", encoding="utf-8"))["assets"]:
        for at, one in enumerate(about["columns"]):
            if one["name"] == column_name:
                hits = base.execute(f"select count(distinct h) from {held(place['path'], about, at)} join m using (h)").fetchone()[0]
    return {"asset": place["name"], "column": column_name, "chance": (hits + 1) / (all_of_it + 2)}


def look_up(base, look):
    """Each column's hits, told where there are any; then the rows that point at few records."""
    base.execute("create or replace temp table hits (t int, c int, k int, h ubigint)")
    index = f"read_parquet({quoted(look.folder + '/' + look.about['file'])})"
    for k in range(len(look.about["columns"])):
        base.execute(f"insert into hits select distinct s.t, s.c, {k}, s.h from {held(look.folder, look.about, k)} i join seen s using (h)")
    sql = "select t, c, k, count(*), count(*) filter (not s.public), list(s.v order by s.r) filter (not s.public), list(s.r order by s.r) filter (not s.public) from hits join seen s using (t, c, h) group by t, c, k"
    found = base.execute(sql).fetchall()
    best = {}
    for t, c, k, every, fresh, values, rows in found:
        column = look.about["columns"][k]
        every_of, fresh_of = look.totals[t, c]
        p = odds(look, column)
        if fresh:
            cells_ = [[row, c, reading.short(value)] for row, value in list(zip(rows, values))[:SHOWN]]
            look.tell(t, {"kind": "values", "column": label(look, t, c), "private": f"{look.asset}: {column['name']}", "hits": fresh, "of": fresh_of, "chance": p, "numeric": column["numeric"], "identifier": identifying(look, column), "unique": column["distinct"] / max(1, column["filled"]), "cells": cells_})
        if t >= 0 and every >= 0.9 * every_of and fits(look, column, t, c, every_of, p):
            rank = (label(look, t, c) == column["name"], every / every_of, column["distinct"])
            if rank > best.get((t, c), ((False, 0, 0), 0))[0]:
                best[t, c] = (rank, k)
    extremes(base, look)
    for t in {t for t, _ in best}:
        groups(base, look, t, {c: k for (at, c), (_, k) in best.items() if at == t}, index)


def odds(look, column):
    mock = look.mock.get((look.asset, column["name"])) or next((one for (_, name), one in look.mock.items() if name == column["name"]), None)
    return max(column["chance"], mock["chance"]) if mock and column["numeric"] else column["chance"]


def identifying(look, column):
    return column["name"].casefold().strip() in look.identifiers


def fits(look, column, t, c, count, p):
    """Whether a column of an output may be one of the data: words, or whole numbers of the same name, or more numbers
    than stand there by chance."""
    if not column["numeric"]:
        return True
    if column["steps"] == column["steps"] // 1 and p >= 0.5:
        return label(look, t, c).casefold() == column["name"].casefold()
    return p**count < 1e-3


def label(look, t, c):
    if t < 0 or t % 2:
        return ""
    columns = look.tables[t // 2].columns
    return reading.short(columns[c]) if c < len(columns) else ""


def extremes(base, look):
    """Cells that hold the smallest or the largest value of a column, where few people have it."""
    for column in look.about["columns"]:
        few = [(int(digest), count) for digest, count in column["extremes"] if 0 < count < look.few]
        if not few:
            continue
        inside = ", ".join(str(digest) for digest, _ in few)
        for t, c, hit, of, row, value in base.execute(f"select t, c, count(*) filter (h in ({inside})), count(*), min(r) filter (h in ({inside})), min(v) filter (h in ({inside})) from seen where not public group by t, c having count(*) filter (h in ({inside})) > 0").fetchall():
            look.tell(t, {"kind": "extreme", "column": label(look, t, c), "private": f"{look.asset}: {column['name']}", "hits": hit, "of": of, "chance": min(1.0, 2 / column["steps"]) if column["steps"] else 0.0, "numeric": True, "identifier": False, "unique": 0.0, "cells": [[row, c, reading.short(value)]]})


def groups(base, look, t, columns, index):
    """Rows of a table whose cells, taken together, stand in few records of the data."""
    chosen = sorted(columns)
    if not chosen or (len(chosen) == 1 and look.about["columns"][columns[chosen[0]]]["numeric"] and not t % 2 == 0):
        return
    wide = f"select r, {', '.join(f'any_value(h) filter (c = {c}) x{c}' for c in chosen)} from cells where t = {t} group by r"
    names = ", ".join(f"x{c}" for c in chosen)
    filled = " and ".join(f"x{c} is not null" for c in chosen)
    on = " and ".join(f"i.c{columns[c]} = d.x{c}" for c in chosen)
    base.execute(f"create or replace temp table wide as select * from ({wide}) where {filled}")
    # Each combination once: many rows of an output and many records may share one.
    sql = f"select {names}, count(*) n from {index} i join (select distinct {names} from wide) d on {on} group by {names}"
    counts = base.execute(f"select r, n from wide join ({sql}) using ({names})").fetchall()
    few = sorted(row for row, n in counts if n < look.few)
    if few:
        all_rows = base.execute(f"select count(distinct r) from cells where t = {t}").fetchone()[0]
        names = ", ".join(look.about["columns"][columns[c]]["name"] for c in chosen)
        look.tell(t, {"kind": "rows", "column": reading.short(names), "private": look.asset, "hits": len(few), "of": all_rows, "chance": 0.0, "numeric": False, "identifier": False, "unique": 0.0, "cells": [[row, -1, ""] for row in few[:SHOWN]]})


if __name__ == "__main__":
    build(sys.argv[1], sys.argv[2], open(sys.argv[3], encoding="ascii").read().strip())
