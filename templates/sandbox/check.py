"""Facts about a job's outputs, as JSON, for rules that decide elsewhere. It judges nothing itself.

    python3 -I check.py FOLDER [ASK]

Runs inside the sandbox over what a job left, so it believes nothing: no name, no suffix, no header. It prints at most
OUTPUT bytes; what it cannot read to its end, it says so, and somebody looks at it. ASK is a JSON file with what to
compare with (`compare.py`).
"""

import csv
import json
import os
import sys

sys.path += [os.path.dirname(os.path.abspath(__file__)), os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib")]

import reading

OUTPUT = 3_900_000  # bytes of JSON; the supervisor keeps four MiB
CELLS = 100_000  # of all tables that are handed on whole
FILES = 2000


def main():
    sys.setrecursionlimit(10_000)
    ask = json.load(open(sys.argv[2], encoding="utf-8")) if len(sys.argv) > 2 else {}
    found = {name: looked_at(path, name) for path, name in files(sys.argv[1])}
    profile(found, ask)
    print(bounded(found))


def files(top):
    """Every plain file below, in order, with its name as the collection knows it."""
    for folder, below, names in os.walk(top):
        below.sort()
        for name in sorted(names)[:FILES]:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path):
                yield path, os.path.relpath(path, top)


def looked_at(path, name):
    found = attempted(path)
    reading.take(found, name, "its name,", 0)  # it leaves with the file
    return found


def attempted(path):
    try:
        return reading.read(path)
    except (csv.Error, ValueError, LookupError, TypeError, SyntaxError, RecursionError, MemoryError, OSError) as error:
        return reading.Found("unreadable", unreadable=f"{type(error).__name__}: {error}"[:200])


def profile(found, ask):
    """Measure every table, and compare with the data where there is something to compare with."""
    for one in found.values():
        for name in one.names:
            one.words.setdefault(name, 1)
    tables = [table for one in found.values() for table in one.tables]
    if not tables and not any(one.words for one in found.values()):
        return
    import compare

    compare.measure(found, tables, ask)


def bounded(found):
    """The document; whole tables are left out from the largest on, and files at last, until it fits."""
    cells = CELLS
    for table in sorted((table for one in found.values() for table in one.tables), key=lambda table: table.cells):
        cells -= table.cells
        if cells < 0:
            table.grid = None
    facts, size = {}, 0
    for name, one in found.items():
        entry = one.document()
        size += len(json.dumps({name: entry})) + 2
        if size > OUTPUT:
            entry = {"type": one.kind, "unreadable": "there is too much to say of it"}
            size = min(size, OUTPUT)
        facts[name] = entry
    return json.dumps({"files": facts})


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    main()
