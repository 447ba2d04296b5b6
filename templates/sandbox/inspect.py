"""Facts about files, as JSON, for rules that decide elsewhere. It judges nothing itself.

    python3 -I inspect.py FOLDER

Runs inside the sandbox over what a job left, so it believes nothing: it reads every file once, in pieces, holds no more
than a few megabytes, and prints at most OUTPUT bytes. Standard library only; the system's own Python.
"""

import csv
import io
import json
import os
import sys

OUTPUT = 900_000  # bytes of JSON; the supervisor keeps one MiB
HEAD = 1 << 16  # bytes that a type is told by
PIECE = 1 << 20
CELL = 1 << 20  # characters of one CSV field
COLUMNS, KEYS, NAME, FILES = 500, 500, 200, 2000  # how many are named, and how long a name may be
ROWS, CELLS, SHOWN, SHOWN_BYTES = 40, 60, 60, 200_000  # for people: a table's first rows, columns, characters; of all
WHOLE_JSON = 16 << 20  # bytes; parsing JSON takes about ten times its size
DEPTH = 50
DELIMITERS = ",\t;|"
MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\x93NUMPY", "npy"),
    (b"%PDF-", "pdf"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "gzip"),
)


def main():
    csv.field_size_limit(CELL)
    sys.setrecursionlimit(10_000)
    facts, size, left_out, shown = {}, 0, 0, 0
    for path, name in files(sys.argv[1]):
        entry = one(path, name)
        head = len(json.dumps(entry.get("head")))
        shown += head
        if shown > SHOWN_BYTES:
            shown -= head
            entry.pop("head", None)
        size += len(json.dumps({name: entry})) + 2
        if size > OUTPUT or len(facts) >= FILES:
            left_out += 1
        else:
            facts[name] = entry
    print(json.dumps({"files": facts, "left_out": left_out}))


def files(top):
    """Every plain file below, in order, with its name as the collection knows it."""
    for folder, below, names in os.walk(top):
        below.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path):
                yield path, os.path.relpath(path, top)


def one(path, name):
    with open(path, "rb") as file:
        head = file.read(HEAD)
    size = os.path.getsize(path)
    kind = sniffed(head, size, name)
    try:
        found = MORE.get(kind, nothing)(path)
    except (ValueError, LookupError, TypeError, SyntaxError, csv.Error, RecursionError, MemoryError) as error:
        found = {"unreadable": short(f"{type(error).__name__}: {error}")}
    return {"size": size, "type": kind, **found}


def sniffed(head, size, name):
    """The type by content; the name only tells one kind of text from another."""
    for magic, kind in MAGIC:
        if head.startswith(magic):
            return kind
    text = as_text(head, size > len(head))
    if text is None:
        return "unknown-binary"
    start, suffix = text.lstrip("\ufeff \t\r\n")[:200].lower(), os.path.splitext(name)[1].lower()
    if start.startswith(("<!doctype html", "<html", "<head", "<body", "<script", "<svg")):
        return "html"
    if start[:1] in ("{", "[") or suffix == ".json":
        return "json"
    if suffix in (".csv", ".tsv"):
        return suffix[1:]
    if suffix == ".md":
        return "markdown"
    return tabular(text) or "text"


def as_text(head, more):
    """The text, if these bytes are UTF-8 without control characters; None otherwise."""
    for cut in range(4 if more else 1):  # the piece may end inside a character
        try:
            text = head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return None if any(ord(one) < 32 and one not in "\t\r\n\f" for one in text) else text
    return None


def tabular(text):
    """csv or tsv, where the first lines hold the same number of delimiters, at least one."""
    lines = text.splitlines()[:10]
    for delimiter in DELIMITERS:
        counts = {line.count(delimiter) for line in lines}
        if len(lines) > 1 and len(counts) == 1 and counts != {0}:
            return "tsv" if delimiter == "\t" else "csv"
    return None


def table(path):
    """Delimiter, header, rows below the header, and whether all rows are as wide as the header."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        delimiter = delimiter_of(file.read(HEAD))
        file.seek(0)
        rows, header, widths, head = 0, [], set(), []
        for row in csv.reader(bounded(file), delimiter=delimiter):
            if row:
                header = header or row
                if 0 < rows <= ROWS:
                    head.append([cell if len(cell) <= SHOWN else cell[:SHOWN] + "…" for cell in row[:CELLS]])
                rows += 1
                widths.add(len(row))
    return {
        "delimiter": delimiter,
        "columns": [short(name) for name in header[:COLUMNS]],
        "column_count": len(header),
        "rows": max(0, rows - 1),
        "ragged": len(widths) > 1,
        "head": head,
    }


def delimiter_of(text):
    first = text.split("\n", 1)[0]
    return max(DELIMITERS, key=first.count)


def bounded(file):
    """Lines, none longer than a cell may be: a flood without a newline is an error, not memory."""
    while line := file.readline(CELL + 2):
        if len(line) > CELL:
            raise ValueError("a line of more than a million characters")
        yield line


def keys(path):
    """All keys of a JSON document, as a.b.c, lists passed through; and what its top is."""
    if os.path.getsize(path) > WHOLE_JSON:
        return {"unreadable": "too large to parse"}
    with open(path, encoding="utf-8-sig") as file:
        document = json.load(file)
    found = {}  # ordered, unlike a set
    walk(document, "", 0, found)
    names = list(found)
    return {"top": type(document).__name__, "keys": names[:KEYS], "key_count": len(names)}


def walk(value, above, depth, found):
    if depth > DEPTH or len(found) > 20 * KEYS:
        return
    if isinstance(value, dict):
        for key, below in value.items():
            path = f"{above}.{short(key)}" if above else short(key)
            found[path[: 2 * NAME]] = True
            walk(below, path, depth + 1, found)
    elif isinstance(value, list):
        for below in value:
            walk(below, above, depth + 1, found)


def text(path):
    count, longest, length, last = 0, 0, 0, b""
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            count += piece.count(b"\n")
            parts = piece.split(b"\n")
            length += len(parts[0])
            longest = max(longest, length, *(len(part) for part in parts))
            length = len(parts[-1]) if len(parts) > 1 else length
            last = piece
    return {"lines": count + bool(last and not last.endswith(b"\n")), "longest_line": longest}


def picture(path):
    with open(path, "rb") as file:
        head = file.read(24)
    return {"width": int.from_bytes(head[16:20], "big"), "height": int.from_bytes(head[20:24], "big")}


def array(path):
    """Shape and element type, as NumPy's own header says; the header is a literal, and only ever a literal."""
    import ast

    with open(path, "rb") as file:
        file.seek(6)
        major = file.read(2)[0]
        length = int.from_bytes(file.read(2 if major == 1 else 4), "little")
        header = ast.literal_eval(file.read(min(length, HEAD)).decode("latin-1").strip())
    if not isinstance(header, dict):
        raise ValueError("no NumPy header")
    return {"shape": list(header["shape"])[:32], "dtype": short(header["descr"]), "pickled": "O" in str(header["descr"])}


def nothing(_path):
    return {}


def short(value):
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= NAME else text[:NAME] + "…"


MORE = {
    "csv": table,
    "tsv": table,
    "json": keys,
    "text": text,
    "markdown": text,
    "html": text,
    "png": picture,
    "npy": array,
}

if __name__ == "__main__":
    sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
    main()
