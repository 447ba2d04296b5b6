"""What the folder of a request may hold: a tuple of small rules, facts in, reasons out.

The gate, `gitqueue check` and the runner ask the same function and so say the same words.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from gitqueue.model import FILE, LINK, PROGRAM, SUBMODULE

DEPTH, PATH_BYTES = 16, 240
_CODE = re.compile(r"\.(py|pyi|ipynb|sh|bash|r|rmd|jl|sql|js|pl|awk|ya?ml|toml|cfg|ini|json|in)", re.IGNORECASE)
_TEXT = re.compile(r"\.(txt|md|rst|csv|tsv|tex|html?|xml|qmd)", re.IGNORECASE)
# Trojan Source: what reorders or hides text for a reader and not for an interpreter.
INVISIBLE = re.compile("[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
                       "\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U00013430-\U0001345f"
                       "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e01ef]")  # fmt: skip
# A lone carriage return is a new line to Python and the line's start to a terminal; the rest move its cursor, hide text
# or, U+2028 and U+2029, end a comment in JavaScript. A form feed is an old custom between functions.
_CONTROL = re.compile("\r(?!$)|[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\u2028\u2029]")
# PEP 263, on the first two lines. In utf-7, unicode_escape and their like a comment may hold lines of code.
_ENCODING = re.compile(r"[ \t\f]*#.*?coding[:=][ \t]*([-_.a-zA-Z0-9]+)")
_HONEST = re.compile(
    r"utf[-_]?8(-sig)?|(us-)?ascii|latin[-_]?1|iso[-_]?8859[-_]\d+|(windows|cp)[-_]?125\d", re.IGNORECASE
)
_SHOWN_REASONS = 20


@dataclass(frozen=True, slots=True)
class File:
    """One entry of a request's folder: path below it, git's mode, bytes, and the content where it was read."""

    path: str
    mode: int
    size: int
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Caps:
    """What policy allows a request's folder: bytes in all, number of files."""

    size: int
    files: int


def judge(files: Sequence[File], caps: Caps, run: Iterable[str] = ()) -> tuple[str, ...]:
    """All reasons against a folder's files; `run` names those that the job's command runs."""
    runs = frozenset(run)
    each = (reason for file in files for rule in _EACH for reason in rule(file, runs))
    reasons = [*each, *_whole(files, caps)]
    if len(reasons) > _SHOWN_REASONS:
        return (*reasons[:_SHOWN_REASONS], f"and {len(reasons) - _SHOWN_REASONS} more of the kind")
    return tuple(reasons)


def is_text(path: str) -> bool:
    """Whether a name promises text that a reviewer can read."""
    name = path.rpartition("/")[2]
    return "." not in name or bool(_CODE.search(name[name.rindex(".") :]) or _TEXT.search(name[name.rindex(".") :]))


def is_code(path: str) -> bool:
    """Whether a name promises code or a document that we obey."""
    name = path.rpartition("/")[2]
    return "." not in name or bool(_CODE.fullmatch(name[name.rindex(".") :]))


def escape(text: str) -> str:
    """Text made safe to show: controls, bidi and invisible characters as <U+202E>, newlines and tabs kept."""
    return "".join(char if _harmless(char) else f"<U+{ord(char):04X}>" for char in text)


def _harmless(char: str) -> bool:
    if char in "\n\t":
        return True
    return unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp") and not INVISIBLE.match(char)


def _quote(path: str) -> str:
    shown = escape(path).replace("\n", "<U+000A>").replace("\t", "<U+0009>")
    return repr(shown if len(shown) <= 120 else f"{shown[:117]}...")


def _kind(file: File, _: frozenset[str]) -> Iterator[str]:
    if file.mode in (FILE, PROGRAM):
        return
    what = {LINK: "a symbolic link", SUBMODULE: "a submodule"}.get(file.mode, f"of mode {file.mode:o}")
    yield f"{_quote(file.path)} is {what}; a job holds plain files only: put the file itself there"


def _length(file: File, _: frozenset[str]) -> Iterator[str]:
    size = len(file.path.encode("utf-8", "surrogateescape"))
    if size > PATH_BYTES:
        yield f"{_quote(file.path)} has {size} bytes in its path; {PATH_BYTES} are allowed: shorten it"
    if file.path.count("/") >= DEPTH:
        yield f"{_quote(file.path)} lies {file.path.count('/')} folders deep; {DEPTH - 1} are allowed: flatten it"


def _characters(file: File, _: frozenset[str]) -> Iterator[str]:
    if not file.path.isascii() and any("\ud800" <= char <= "\udfff" for char in file.path):
        yield f"{_quote(file.path)} is not UTF-8: rename it"
    elif any(not _harmless(char) or char in "\n\t" for char in file.path):
        yield f"{_quote(file.path)} has control or invisible characters in its name: rename it"


_GIT_NAMES = re.compile(r"\.git.*|git~\d+|\.lfsconfig", re.IGNORECASE)


def _git_files(file: File, _: frozenset[str]) -> Iterator[str]:
    # HFS+ ignores some invisible characters and NTFS trailing dots and spaces: `.g\u200cit` and `.git ` are .git there.
    parts = [INVISIBLE.sub("", part).rstrip(". ") for part in file.path.split("/")]
    if any(part in ("", ".", "..") or _GIT_NAMES.fullmatch(part) for part in parts):
        yield f"{_quote(file.path)} would change how git shows or stores files: take it out of the job"


def _null(file: File, runs: frozenset[str]) -> Iterator[str]:
    if file.content is None or not (is_text(file.path) or file.path in runs or file.mode == PROGRAM):
        return
    at = file.content.find(b"\0")
    if at >= 0:
        line = file.content.count(b"\n", 0, at) + 1
        yield f"{_quote(file.path)} line {line} has a NUL byte, which hides the file from diff: save it as plain text"


def _trojan(file: File, runs: frozenset[str]) -> Iterator[str]:
    if file.content is None or not (is_code(file.path) or file.path in runs or file.mode == PROGRAM):
        return
    text = file.content.replace(b"\0", b"").decode("utf-8", "replace").removeprefix("\ufeff")  # NUL has its own rule
    for number, line in enumerate(text.split("\n"), 1):
        for what, found in (("invisible or direction-changing", INVISIBLE), ("control", _CONTROL)):
            points = sorted({f"U+{ord(char):04X}" for char in found.findall(line)})
            if points:
                yield f"{_quote(file.path)} line {number} has {what} characters ({', '.join(points)}): delete them"
                return


def _encoding(file: File, runs: frozenset[str]) -> Iterator[str]:
    if file.content is None or not (is_code(file.path) or file.path in runs or file.mode == PROGRAM):
        return
    for number, line in enumerate(file.content[:4096].decode("latin-1").split("\n")[:2], 1):
        said = _ENCODING.match(line)
        if said and not _HONEST.fullmatch(said[1]):
            yield (
                f"{_quote(file.path)} line {number} declares the encoding {_quote(said[1])}, in which a comment may"
                " hold code: save it as UTF-8"
            )


_Rule = Callable[[File, frozenset[str]], Iterator[str]]
_EACH: tuple[_Rule, ...] = (_kind, _length, _characters, _git_files, _null, _trojan, _encoding)


def _whole(files: Sequence[File], caps: Caps) -> Iterator[str]:
    size = sum(file.size for file in files)
    if not files:
        yield "the job's folder is empty: it needs job.yaml or run.sh"
    if len(files) > caps.files:
        yield f"the job has {len(files)} files; {caps.files} are allowed"
    if size > caps.size:
        largest = max(files, key=lambda file: file.size)
        yield (
            f"the job has {size} bytes; {caps.size} are allowed"
            f" (the largest file is {_quote(largest.path)}): data and results do not belong into a request"
        )
    yield from _collisions(files)


def _collisions(files: Sequence[File]) -> Iterator[str]:
    """Paths, folders included, that some file systems take for one."""
    alike: defaultdict[str, set[str]] = defaultdict(set)
    for file in files:
        parts = file.path.split("/")
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth])
            alike[unicodedata.normalize("NFKC", path).casefold()].add(path)
    for paths in alike.values():
        if len(paths) > 1:
            names = " and ".join(_quote(path) for path in sorted(paths)[:3])
            yield f"{names} differ only by case or unicode form: rename one"
