"""Notebooks, cell by cell: the code of all cells as one program, with what stands for a shell apart."""

import json
import re

import python_code
import shell_code

WHOLE = 8 << 20
SHELL_CELLS = re.compile(r"%%(bash|sh|script|system|!)\b")
MAGIC = re.compile(r"\s*(?:\w[\w, ]*=\s*)?([!%?])")


def analyse(source, file, top, told, see):
    """Each thing seen has the line within all code cells one after the other; `cells` says which cell that is."""
    if len(source) > WHOLE:
        raise ValueError("too large")
    document = json.loads(source)
    language = str((document.get("metadata") or {}).get("kernelspec", {}).get("language", "python")).lower()
    if language not in ("python", ""):
        see(file, 0, "unparsed", language, "notebook")
        return
    lines, places, shown = [], [], set()
    cells = document["cells"] if isinstance(document.get("cells"), list) else []
    for number, cell in enumerate(cells, 1):
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            text = cell.get("source", "")
            text = "".join(map(str, text)) if isinstance(text, list) else str(text)
            one_cell(text, number, lines, places, shown, file, top, told, see)
    where = at_cells(see, places)
    python_code.analyse("\n".join(lines).encode("utf-8", "replace"), file, top, told, where, shown)


def at_cells(see, places):
    """Says where a thing stands as (cell, line in it)."""

    def where(file, line, what, name, detail="", more=()):
        cell, inner = places[line - 1] if 0 < line <= len(places) else (0, line)
        see(file, inner, what, name, detail, more, cell=cell)

    return where


def one_cell(text, number, lines, places, shown, file, top, told, see):
    rows = text.split("\n")

    def where(file, line, what, name, detail="", more=()):
        see(file, line, what, name, detail, more, cell=number)

    if rows and SHELL_CELLS.match(rows[0]):
        shell_code.analyse("\n".join(rows[1:]).encode("utf-8", "replace"), file, top, told, where, 2)
        rows = [""] * len(rows)
    elif rows and rows[0].startswith("%%") and not re.match(r"%%(time|timeit|capture|prun)\b", rows[0]):
        where(file, 1, "unparsed", rows[0].split()[0], "cell magic")
        rows = [""] * len(rows)
    for at, row in enumerate(rows, 1):
        lines.append(plain(row, at, where, file, top, told))
        places.append((number, at))
    last = max((at for at, row in enumerate(rows) if row.strip() and not row.strip().startswith("#")), default=None)
    if last is not None and not rows[last].rstrip().endswith(";"):
        shown.add(len(lines) - len(rows) + last + 1)


def plain(row, at, where, file, top, told):
    """A line of Python, without IPython's own words."""
    found = MAGIC.match(row)
    if not found:
        return row
    indent, word = row[: len(row) - len(row.lstrip())], row.strip()
    if found[1] == "!":
        shell_code.analyse(word.split("!", 1)[1].lstrip("!").encode("utf-8", "replace"), file, top, told, where, at)
        where(file, at, "use", "os.system", "magic")
    elif found[1] == "%":
        name = re.sub(r"^%+", "", word).split(" ")[0]
        if name in ("sx", "system", "sc", "bash", "run", "pip", "conda", "load", "macro", "loadpy"):
            where(file, at, "magic", name, word[:100])
            if name in ("sx", "system", "sc"):
                shell_code.analyse(word.partition(" ")[2].encode("utf-8", "replace"), file, top, told, where, at)
        elif name in ("time", "timeit", "prun", "memit"):
            return indent + word.partition(" ")[2]
    return f"{indent}pass"
