"""From bytes to tables and words: CSV and its kin, JSON, Markdown and plain text. By content alone."""

import csv
import io
import json
import re
import unicodedata
from dataclasses import dataclass, field

HEAD = 1 << 16  # bytes that a type is told by
LARGE = 4 << 20  # bytes from which on a table is not held in memory
WHOLE = 16 << 20  # bytes of JSON or text; reading them takes about ten times as much
CELL = 1 << 20  # characters of one cell or line
NAME = 200  # characters of a name, or of what is shown
MOST = 500  # names, tables, long words, phrases: of each
DEPTH = 50
DELIMITERS = "\t,;|"
OWN = ((b"\x93NUMPY", "npy"), (b"PAR1", "parquet"), (b"%PDF-", "pdf"))  # that puremagic does not know, or not surely
IN_TEXT = frozenset((".html", ".htm", ".rtf", ".eps", ".ps", ".xml", ".svg", ".docbook"))  # text that is more than text
PLAIN = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|[^\W_]*")  # a cell that is one number, or one word
LONG = re.compile(r"[^\s,;|\"'()\[\]{}<>]{32,}")
HEX = re.compile(r"[0-9a-fA-F]{32,}")
WORD = re.compile(r"[^\s,;|\"'()\[\]{}<>=:*`#]+")
PART = re.compile(r"\d+(?:\.\d+)?|[^\W_]+")  # of a word: 14.13 of `14.13mm`, P123 of `/people/P123_x`
CODE = re.compile(r"[A-Z]{1,3}[0-9]{4,}|[a-z]{1,3}[0-9]{4,}")  # an id inside a word: P1234567 of `patientP1234567x`
DECIMAL = re.compile(r"(?<![\d,])\d+,\d+(?![\d,])")  # as half of the world writes 14.13
PACKED = re.compile(r"[0-9A-Za-z+/]{12,31}(?![0-9A-Za-z+/])=*")
FEWEST = 4  # packed words of a file that are no accident
FIGURES = {word: number for number, word in enumerate(("one", "two", "three", "four", "five", "six", "seven", "eight", "nine"), 1)}
PEOPLE = (
    "(?:patients?|people|persons?|individuals?|cases?|women|woman|men|man|boys?|girls?|children|child|deaths?"
    "|participants?|subjects?|donors?|residents?|adults?|respondents?|records?|events?)"
)
PHRASE = re.compile(
    r"(?i)\b(?:n|count|total)\s*(?:=|:|of|is|was)\s*(?P<a>\d{1,9})\b(?![.\d%])"
    rf"|(?<![\d.,])(?P<b>\d{{1,9}})\s+(?:\w+\s+){{0,2}}?{PEOPLE}\b"
    rf"|\b(?P<c>{'|'.join(FIGURES)})\s+(?:\w+\s+)??{PEOPLE}\b"
)


@dataclass
class Table:
    """A table of one file. `where`: which part of it, "" for all. `grid`: its rows, None where they are too many:
    then `path` and `delimiter` tell where to read them."""

    where: str
    columns: list
    grid: list | None
    rows: int = 0
    path: str = ""
    delimiter: str = ""
    profile: list = field(default_factory=list)
    repeated: int = 0

    @property
    def cells(self):
        return len(self.grid) * len(self.columns) if self.grid is not None else 0

    def document(self):
        return {
            "where": self.where,
            "columns": [short(name) for name in self.columns[:MOST]],
            "width": len(self.columns),
            "rows": self.rows,
            "grid": None if self.grid is None else [[short(cell) for cell in row] for row in self.grid],
            "profile": self.profile[:MOST],
            "repeated": self.repeated,
        }


@dataclass
class Found:
    """What one file holds."""

    kind: str
    tables: list = field(default_factory=list)
    names: dict = field(default_factory=dict)  # of columns and keys, in their order
    words: dict = field(default_factory=dict)  # of sentences, with the line where each first stands
    long: list = field(default_factory=list)
    phrases: list = field(default_factory=list)
    matches: list = field(default_factory=list)
    acro: list | None = None
    measures: dict | None = None
    unreadable: str = ""

    def document(self):
        told = (self.names, self.tables, self.long, self.phrases, self.matches, *(table.columns for table in self.tables))
        if any(len(one) > MOST for one in told):  # what is left out here could be what matters
            self.unreadable = self.unreadable or f"more than {MOST} names, columns, tables, phrases or finds"
        found = {
            "type": self.kind,
            "tables": [table.document() for table in self.tables[:MOST]],
            "names": [short(name) for name in self.names][:MOST],
            "long": self.long[:MOST],
            "phrases": self.phrases[:MOST],
            "matches": self.matches[:MOST],
        }
        more = {name: value for name, value in (("acro", self.acro), ("measures", self.measures)) if value is not None}
        return {**found, **more, **({"unreadable": self.unreadable} if self.unreadable else {})}


def read(path):
    """Everything about one file."""
    with open(path, "rb") as file:
        head = file.read(HEAD)
        size = file.seek(0, 2)
    kind = binary(head, size > len(head))
    if kind:
        return Found(kind, measures=MEASURES.get(kind, lambda _: None)(head))
    delimiter = tabular(head.decode("utf-8-sig", "ignore"), size > len(head))
    if delimiter and size > LARGE:
        return large(path, delimiter)
    if size > WHOLE:
        return Found("text", unreadable="too large to be read")
    with open(path, encoding="utf-8-sig", newline="") as file:
        text = plain(file.read())
    if control(text):
        return Found("unknown-binary")
    found = as_json(text) or as_table(text, delimiter) or as_text(text)
    scan(found, text)
    return found


# the type


def binary(head, more):
    """What is not plain text, by its first bytes; "" for text that we read."""
    for magic, kind in OWN:
        if head.startswith(magic):
            return kind
    guessed = guess(head)
    if not utf8(head, more):
        return guessed.lstrip(".") or "unknown-binary"
    return guessed.lstrip(".") if guessed in IN_TEXT else ""


def guess(head):
    import puremagic

    try:
        found = puremagic.magic_string(head)
    except (puremagic.PureError, ValueError):
        return ""
    return found[0].extension if found and (found[0].confidence >= 0.4 or not utf8(head, True)) else ""


def utf8(head, more):
    """Whether these bytes are UTF-8 text; the piece may end inside a character."""
    for cut in range(4 if more else 1):
        try:
            return not control(head[: len(head) - cut].decode("utf-8"))
        except UnicodeDecodeError:
            continue
    return False


def control(text):
    return re.search(r"[\x00-\x08\x0b\x0e-\x1f\x7f]", text) is not None


def plain(text):
    """Without characters that nobody sees, and each of the others in its plainest form: digits as digits."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", text)
    return text.translate({ord(one): None for one in set(text) if unicodedata.category(one) in ("Cf", "Cs")})


def tabular(text, more):
    """The delimiter, where the first lines hold the same number of it outside quotes, at least one."""
    lines = text.splitlines()[: 21 if more else None][:20]
    lines = [line for line in (lines[:-1] if more and len(lines) > 1 else lines) if line.strip()]
    for delimiter in DELIMITERS:
        counts = {len(row) for row in csv.reader(lines, delimiter=delimiter)}
        if len(lines) > 1 and len(counts) == 1 and counts != {1} and not lines[0].startswith(("|", "{", "[")):
            return delimiter
    return ""


def picture(head):
    return {"width": int.from_bytes(head[16:20], "big"), "height": int.from_bytes(head[20:24], "big")}


def array(head):
    """Shape and element type, as NumPy's own header says; the header is a literal, and only ever a literal."""
    import ast

    start, width = (10, 2) if head[6] == 1 else (12, 4)
    header = ast.literal_eval(head[start : start + int.from_bytes(head[8 : 8 + width], "little")].decode("latin-1").strip())
    return {"shape": [int(one) for one in header["shape"]][:32], "dtype": short(str(header["descr"]))}


MEASURES = {"png": picture, "npy": array}


# tables


def large(path, delimiter):
    """A table that only the database reads; `compare.measure` fills in what it holds."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(bounded(file), delimiter=delimiter))
    found = Found(kind_of(delimiter), [Table("", header, None, path=path, delimiter=delimiter)], dict.fromkeys(header))
    with open(path, encoding="utf-8-sig", newline="") as file:
        long_words(found, bounded(file))
    return found


def bounded(file):
    """Lines, none longer than a cell may be: a flood without a newline is an error, not memory."""
    while line := file.readline(CELL + 2):
        if len(line) > CELL:
            raise ValueError("a line of more than a million characters")
        yield line


def kind_of(delimiter):
    return "tsv" if delimiter == "\t" else "csv"


def as_table(text, delimiter):
    if not delimiter:
        return None
    csv.field_size_limit(CELL)
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if any(row)]
    widths = {len(row) for row in rows}
    if len(widths) > 1 and max(widths) > 2 * min(widths) + 1:  # no one table: several, or prose with commas
        return None
    return Found(kind_of(delimiter), [grid("", rows)], dict.fromkeys(rows[0]))


def grid(where, rows):
    """A table whose first row names the columns."""
    width = max(map(len, rows))
    padded = [[*row, *[""] * (width - len(row))] for row in rows]
    if headless(padded[0]):
        return Table(where, [""] * width, padded, len(padded))
    return Table(where, padded[0], padded[1:], len(padded) - 1)


def headless(row):
    """Whether a first row is no head: it has a number, but those of years or classes, which rise."""
    numbers = [float(cell) for cell in row if re.fullmatch(r"-?\d{1,15}(?:\.\d*)?", cell.strip())]
    return any(numbers) and (len(numbers) == 1 or any(one >= other for one, other in zip(numbers, numbers[1:])))


# JSON


def as_json(text):
    if text.lstrip()[:1] not in ("{", "[", '"') and len(text) > 64:
        return None
    try:
        document = json.loads(text)
    except ValueError:
        document = json_lines(text)
    if document is None:
        return None
    if "\\u" in text:  # what was escaped is looked at as what it is
        document = json.loads(plain(json.dumps(document, ensure_ascii=False)))
    found = Found("json")
    walk(document, "", 0, found)
    found.acro = acro(document)
    return found


def json_lines(text):
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        return [json.loads(line) for line in lines] if len(lines) > 1 and lines[0].lstrip()[:1] in ("{", "[") else None
    except ValueError:
        return None


def walk(value, path, depth, found):
    """Every leaf of a document into exactly one table."""
    if depth > DEPTH:
        raise ValueError("nested too deep")
    if isinstance(value, dict):
        mapping(value, path, depth, found)
    elif isinstance(value, list):
        sequence(value, path, depth, found)
    else:
        found.tables.append(Table(path, [path], [[leaf(value)]], 1))


def mapping(value, path, depth, found):
    for key in value:
        found.names[str(key)] = True
    inner = list(value.values())
    if inner and all(isinstance(one, dict) and one and flat(one.values()) for one in inner):
        records([{"": key, **one} for key, one in value.items()], path, depth, found)
    elif inner and all(isinstance(one, list) and flat(one) for one in inner) and len({len(one) for one in inner}) == 1:
        rows = [[leaf(cell) for cell in row] for row in zip(*inner)]
        found.tables.append(Table(path, [str(key) for key in value], rows, len(rows)))
    else:
        records([value], path, depth, found)


def sequence(value, path, depth, found):
    if value and all(isinstance(one, dict) for one in value):
        records(value, path, depth, found)
    elif value and all(isinstance(one, list) and flat(one) for one in value):
        width = max(map(len, value))
        rows = [[leaf(one[at]) if at < len(one) else "" for at in range(width)] for one in value]
        found.tables.append(Table(path, [str(at) for at in range(width)], rows, len(rows)))
    else:
        plain = [[leaf(one)] for one in value if not isinstance(one, dict | list)]
        if plain:
            found.tables.append(Table(path, [path.rpartition(".")[2]], plain, len(plain)))
        for one in value:
            if isinstance(one, dict | list):
                walk(one, path, depth + 1, found)


def records(rows, path, depth, found):
    """Dicts as one table of their scalars; what is nested in them comes after."""
    columns = {key: True for row in rows for key, one in row.items() if not isinstance(one, dict | list)}
    for key in (key for row in rows for key in row if key):
        found.names[str(key)] = True
    if columns:
        cells = [[leaf(row.get(key)) if not isinstance(row.get(key), dict | list) else "" for key in columns] for row in rows]
        found.tables.append(Table(path, [str(key) for key in columns], cells, len(cells)))
    for row in rows:
        for key, one in row.items():
            if isinstance(one, dict | list) and one:
                walk(one, f"{path}.{key}" if path else str(key), depth + 1, found)
    if len(found.tables) > 4 * MOST:
        raise ValueError("too many tables")


def flat(values):
    return not any(isinstance(one, dict | list) for one in values)


def leaf(value):
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def acro(document):
    """What ACRO's results.json says of each file: its name and its summary."""
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, dict) or "version" not in document:
        return None
    told = []
    for uid, one in results.items():
        if not isinstance(one, dict) or "outcome" not in one or "summary" not in one:
            return None
        names = [file.get("name") for file in one.get("files") or () if isinstance(file, dict)]
        told.append({
            "uid": short(str(uid)),
            "status": short(str(one.get("status") or str(one["summary"]).partition(";")[0])),  # before 1.0 in the summary
            "summary": short(str(one["summary"])),
            "exception": short(str(one.get("exception") or "")),
            "files": [short(str(name)) for name in names][:MOST],
        })
    return told[:MOST]


# text


def as_text(text):
    """Prose, with the tables in it: of pipes, of any other delimiter, or in columns as a program prints them."""
    lines = text.splitlines()
    if any(len(line) > CELL for line in lines):
        raise ValueError("a line of more than a million characters")
    piped = sum(1 for line in lines if line.lstrip().startswith("|"))
    marked = piped > 1 or any(re.match(r"#{1,6} \S|[-*] \S|```", line) for line in lines)
    found = Found("markdown" if marked else "text")
    for number, rows in runs(lines):
        found.tables.append(grid(f"line {number}", rows))
        found.names.update(dict.fromkeys(rows[0]))
    found.tables += [] if found.tables else uniform(lines)
    for number, line in enumerate(lines, 1):
        take(found, line, "line", number)
    return found


def take(found, text, where, number):
    """Words, their parts, and numbers of people, of a line or a cell."""
    for word in WORD.findall(text):
        found.words.setdefault(word.strip(".!?"), number)
        if not word.isalnum() or not word.isalpha():
            for part in (*PART.findall(word), *CODE.findall(word)):
                found.words.setdefault(part, number)
    for figure in DECIMAL.findall(text):
        found.words.setdefault(figure.replace(",", "."), number)
    for match in PHRASE.finditer(text):
        people = int(match["a"] or match["b"] or FIGURES[match["c"].lower()])
        found.phrases.append({"where": f"{where} {number}", "text": short(match[0]), "number": people})


def uniform(lines):
    """The table that a text is whose lines all have the same number of parts, whatever stands between them."""
    rows = [PART.findall(line) for line in lines if line.strip()]
    widths = {len(row) for row in rows}
    return [grid("", rows)] if len(rows) >= FEWEST and len(widths) == 1 and widths != {1} and widths != {0} else []


def runs(lines):
    """Blocks of lines that split into the same number of cells, two or more each; with the first line's number."""
    at = 0
    while at < len(lines):
        best = max(((end, rows) for end, rows in (block(lines, at, cut) for cut in CUTS)), key=lambda one: one[0])
        if best[0] > at:
            yield at + 1, best[1]
        at = max(best[0], at + 1)


def block(lines, at, cut):
    rows, end = [], at
    while end < len(lines) and len(cells := cut(lines[end])) > 1:
        if rows and len(cells) != len(rows[-1]) and not (len(rows) == 1 and len(cells) == len(rows[0]) + 1):
            break
        rows.append(cells)
        end += 1
    if len(rows) > 1 and len(rows[0]) < len(rows[1]):  # a printed frame: its index has no name
        rows[0] = ["", *rows[0]]
    rows = [row for row in rows if not all(re.fullmatch(r":?-{2,}:?|", cell) for cell in row)]
    numbers = [any(re.search(r"\d", cell) for cell in row) for row in rows[1:]]
    return (end, rows) if numbers and all(numbers) else (at, [])


def piped(line):
    line = line.strip()
    return [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []


def cut_at(delimiter):
    return lambda line: [cell.strip() for cell in line.split(delimiter)]


def spaced(line):
    return re.sub(r"^\s*(?:\d{1,3}[.)]|[-*])\s+", "", line).split()  # without the number of a list's item


CUTS = (piped, *(cut_at(delimiter) for delimiter in DELIMITERS), cut_at("  "), spaced)


# all of it


def scan(found, text):
    """Words that are too long to be words, as text that hides something is."""
    long_words(found, text.splitlines())
    packed(found, text)
    if found.kind != "text" and found.kind != "markdown":
        sentences(found)


def packed(found, text):
    """Many words that are none, each too short to be told alone: hex and base64, broken into pieces."""
    words = [match[0] for match in PACKED.finditer(text) if mixed(match[0])]
    if len(words) >= FEWEST:
        whole = "".join(words)
        found.long.append({"where": f"{len(words)} words", "text": whole[:64], "length": len(whole), "hex": False, "entropy": entropy(whole[:4096])})


def mixed(word):
    """Digits among letters as no word, number, date or name of a variable has them."""
    turns = len(re.findall(r"[0-9](?=[A-Za-z])|[A-Za-z](?=[0-9])|[a-z](?=[A-Z])", word))
    return turns >= len(word) / 4


def long_words(found, lines):
    for number, line in enumerate(lines, 1):
        for match in LONG.finditer(line) if len(line) >= 32 and len(found.long) < MOST else ():
            word = match[0]
            kind = {"hex": bool(HEX.fullmatch(word)), "entropy": entropy(word[:4096])}
            found.long.append({"where": f"line {number}", "text": word[:64], "length": len(word), **kind})


def sentences(found):
    """The words inside names, and inside cells that hold more than one."""
    for name in found.names:
        take(found, name, "head", 1)
    for table in found.tables:
        for number, row in enumerate(table.grid or (), 1):
            for cell in row:
                if not PLAIN.fullmatch(cell):
                    take(found, cell, "row", number)


def entropy(word):
    from collections import Counter
    from math import log2

    return round(-sum(n / len(word) * log2(n / len(word)) for n in Counter(word).values()), 2)


def short(value):
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= NAME else text[:NAME] + "…"
