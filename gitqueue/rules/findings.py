"""What a job's code would do, for an owner to weigh: a tuple of small checks; facts in, findings out. Pure.

The facts come from an analyser inside a sandbox (`templates/sandbox/analysis`). It stood beside hostile code: what it
says is typed, bounded and shown escaped, and where it says nothing, that is a finding. None of this decides anything:
an owner's signature does.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

import msgspec

from gitqueue.rules.findings_words import (
    BANDIT,
    DANGEROUS,
    DYNAMIC,
    NETWORK,
    NETWORK_COMMANDS,
    PROCESSES,
    RANDOM,
    RIGHTS,
    SEEDS,
    SPLITS,
)
from gitqueue.rules.manifest import Manifest
from gitqueue.rules.tree import INVISIBLE, File, is_text

SHOWN = 60
AGGREGATE_TAGS = frozenset({"aggregate-analysis", "privacy-safe", "statistics"})
READ = frozenset({"python", "shell", "notebook", "text", "command"})
BIG = 100_000  # bytes of what nobody can read
PARSED = 1 << 20  # bytes of one file in which invisible characters are looked for


class Category(StrEnum):
    """What a finding is about, in the order in which an owner should look."""

    INVISIBLE = "invisible characters"
    OBFUSCATION = "obfuscation"
    CONTRADICTION = "contradicts its tags"
    ROWS = "row-level output"
    NETWORK = "network"
    OUTSIDE = "files outside"
    SUBPROCESS = "subprocess"
    DYNAMIC = "dynamic code"
    UNREAD = "not analysed"
    BINARY = "big binary"
    UNKNOWN = "unknown type"
    ENDLESS = "unbounded loop"
    UNDECLARED = "undeclared write"
    SEED = "no seed"


class Sure(StrEnum):
    POSSIBLE = "possible"
    LIKELY = "likely"
    CERTAIN = "certain"


class Grade(StrEnum):
    """What it weighs: a note nothing, a doubt asks for a review, a danger for a refusal."""

    NOTE = "note"
    DOUBT = "doubt"
    DANGER = "danger"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at. `line` is 0 where it is about the whole file; `cell` counts a notebook's cells from 1."""

    file: str
    line: int
    category: Category
    sure: Sure
    grade: Grade
    why: str
    mend: str
    cell: int = 0

    @property
    def place(self) -> str:
        where = f"{self.file} cell {self.cell}, line {self.line}" if self.cell else f"{self.file}:{self.line}"
        return where if self.line else self.file

    @property
    def sentence(self) -> str:
        return f"{self.place}: {self.category} ({self.sure}): {self.why}"


class Recommendation(StrEnum):
    APPROVE = "approve"
    REVIEW = "review"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Verdict:
    """All findings, the worst first. The score is 1, less 1 where anything is in doubt, less 2 for each category with a
    danger; nothing adds to it. From 1 on it says approve, at 0 review, below reject."""

    findings: tuple[Finding, ...]
    left_out: int = 0

    @property
    def score(self) -> int:
        dangers = {finding.category for finding in self.findings if finding.grade is Grade.DANGER}
        return 1 - any(finding.grade is Grade.DOUBT for finding in self.findings) - 2 * len(dangers)

    @property
    def recommendation(self) -> Recommendation:
        if self.score >= 1:
            return Recommendation.APPROVE
        return Recommendation.REVIEW if self.score == 0 else Recommendation.REJECT

    @property
    def summary(self) -> str:
        return f"{self.recommendation} (score {self.score})"

    def document(self) -> dict[str, object]:
        """As `show --json` and `check --json` have it."""
        rows = self._rows()
        return {"recommendation": str(self.recommendation), "score": self.score, "findings": rows}

    def _rows(self) -> list[dict[str, object]]:
        return [
            {
                "file": one.file,
                "line": one.line,
                "cell": one.cell or None,
                "category": str(one.category),
                "sure": str(one.sure),
                "grade": str(one.grade),
                "why": one.why,
                "mend": one.mend,
            }
            for one in self.findings
        ]


# --- facts ----------------------------------------------------------------------------------------------------------


class Seen(msgspec.Struct, frozen=True):
    """One thing in a file, as the analyser saw it. `what` says how `name`, `detail` and `more` are meant."""

    line: int
    what: str
    name: str
    detail: str = ""
    more: tuple[str, ...] = ()
    cell: int = 0
    file: str = ""


class Read(msgspec.Struct, frozen=True):
    """One file as the analyser saw it; `trouble`: why it could not be read to its end."""

    path: str
    kind: str
    trouble: str = ""
    seen: tuple[Seen, ...] = ()


class _Answer(msgspec.Struct, frozen=True):
    files: tuple[Read, ...]


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the analyser told; `missing`: why nothing was."""

    files: tuple[Read, ...] = ()
    missing: str = ""


def parse(data: bytes) -> Analysis:
    """The analyser's answer. Anything unusual in it counts as silence."""
    try:
        return Analysis(msgspec.json.decode(data, type=_Answer).files)
    except msgspec.MsgspecError:
        return Analysis(missing="what the analyser said could not be read")


@dataclass(frozen=True, slots=True)
class Facts:
    """A job: its files as git has them, what it asks for, and what was seen in its code."""

    files: Sequence[File]
    asked: Manifest
    analysis: Analysis

    def seen(self, *kinds: str) -> Iterator[Seen]:
        """All that was seen of some kinds, each with the file where it stands."""
        known = {file.path for file in self.files} | {"job.yaml"}
        for read in self.analysis.files:
            for one in read.seen:
                if one.what in kinds:
                    yield one if one.file in known else msgspec.structs.replace(one, file=read.path)


# --- judgement ------------------------------------------------------------------------------------------------------


def judge(facts: Facts) -> Verdict:
    """All findings of all checks, the worst first, one for each place and category."""
    found = [finding for check in _CHECKS for finding in check(facts)]
    found += _contradicted(facts.asked.tags, found)
    ordered = sorted(
        _merged(found), key=lambda one: (-_WEIGHT[one.grade], _ORDER[one.category], one.file, one.cell, one.line)
    )
    return Verdict(tuple(ordered[:SHOWN]), max(0, len(ordered) - SHOWN))


def silent(analysis: Analysis) -> Verdict:
    """The verdict on a job of which nothing at all is known."""
    return judge(Facts((), Manifest(name="?"), analysis))


def _worst_first(one: Finding) -> tuple[int, int, str, int, int]:
    return -_WEIGHT[one.grade], _ORDER[one.category], one.file, one.cell, one.line


_WEIGHT = {Grade.NOTE: 0, Grade.DOUBT: 1, Grade.DANGER: 2}
_ORDER = {category: at for at, category in enumerate(Category)}
_SURE = {Sure.POSSIBLE: 0, Sure.LIKELY: 1, Sure.CERTAIN: 2}


def _merged(found: Iterable[Finding]) -> list[Finding]:
    """The strongest of what several checks say of one place."""
    kept: dict[tuple[str, int, int, Category], Finding] = {}
    for one in found:
        place = (one.file, one.cell, one.line, one.category)
        held = kept.get(place)
        if held is None or (_WEIGHT[held.grade], _SURE[held.sure]) < (_WEIGHT[one.grade], _SURE[one.sure]):
            kept[place] = one
    return list(kept.values())


def _at(seen: Seen, category: Category, sure: Sure, why: str, grade: Grade | None = None) -> Finding:
    grade = grade or (Grade.NOTE if sure is Sure.POSSIBLE else Grade.DOUBT)
    return Finding(seen.file, seen.line, category, sure, grade, why, _MEND[category], seen.cell)


_MEND: Mapping[Category, str] = {
    Category.INVISIBLE: "delete the characters: gitqueue shows them as <U+…>",
    Category.OBFUSCATION: "write out what runs, in plain code",
    Category.CONTRADICTION: "aggregate what is written, or take the tag away",
    Category.ROWS: "aggregate it: counts of 10 or more, means, coefficients; see `gitqueue new` for a job that does",
    Category.NETWORK: "take it out: there is no network; put small files into the job, packages into requirements.txt",
    Category.OUTSIDE: "read data below $GITQUEUE_DATA, own files by relative paths; write to $GITQUEUE_OUTPUT",
    Category.SUBPROCESS: "call a library, or put the command into run.sh, where it can be read",
    Category.DYNAMIC: "call the function by its name; keep data as CSV, JSON or NPY instead of pickles",
    Category.UNREAD: "the owners read it line by line: keep it short, and say in the description what it does",
    Category.BINARY: "take it out, or make it in the job from something that can be read",
    Category.UNKNOWN: "take it out, or save it as text (CSV, JSON)",
    Category.ENDLESS: "give the loop an end, such as a number of turns",
    Category.UNDECLARED: "add it to `outputs` in job.yaml, and write it to $GITQUEUE_OUTPUT",
    Category.SEED: "set a seed (random.seed, numpy.random.default_rng(1), random_state=1): owners compare two runs",
}


# each check: facts in, findings out


def _invisible(facts: Facts) -> Iterator[Finding]:
    for file in facts.files:
        if file.content is None or not is_text(file.path):
            continue
        text = file.content[:PARSED].decode("utf-8", "replace").removeprefix("\ufeff")
        for number, line in enumerate(text.split("\n") if INVISIBLE.search(text) else (), 1):
            points = sorted({f"U+{ord(one):04X}" for one in INVISIBLE.findall(line)})
            if points:
                shown = ", ".join(points[:5])
                why = f"characters that a reader does not see, or that change the order of others: {shown}"
                yield _at(Seen(number, "", "", file=file.path), Category.INVISIBLE, Sure.CERTAIN, why, Grade.DANGER)


def _rows(facts: Facts) -> Iterator[Finding]:
    for one in facts.seen("reveal"):
        if one.detail in _REVEALED and one.name in _WAYS:
            sure, said = _REVEALED[one.detail]
            grade = _grade_of_rows(one.name, sure)
            origin = one.more[0] if one.more and one.more[0] not in ("0", str(one.line)) else ""
            since = f" (read in line {origin})" if origin.isdecimal() else ""
            yield _at(one, Category.ROWS, sure, f"{_WAYS[one.name]} {said}{since}", grade)


_REVEALED = {
    "rows": (Sure.CERTAIN, "rows of the data, or values of single people"),
    "perhaps": (Sure.LIKELY, "something made of rows, and nothing seen on the way aggregates it"),
    "extreme": (Sure.POSSIBLE, "a minimum, a maximum or the like, which can be one person's value"),
}
_WAYS = {
    "output": "writes to its outputs",
    "result": "returns as its result",
    "chart": "draws, a point for each row,",
    "print": "prints to the log (which owners alone see, until they release it)",
    "exit": "ends with",
    "error": "raises as an error (its text stands in the log)",
    "name": "names a file by",
    "time": "waits for a time that tells of",
    "stamp": "gives a file a time or a size that tells of",
}


def _grade_of_rows(way: str, sure: Sure) -> Grade:
    """What is printed stays with the owners until they say otherwise: a doubt. What is written wants to leave."""
    if sure is Sure.POSSIBLE:
        return Grade.NOTE
    return (
        Grade.DANGER
        if sure is Sure.CERTAIN and way in ("output", "result", "name", "exit", "time", "stamp")
        else Grade.DOUBT
    )


def _contradicted(tags: Iterable[str], found: Sequence[Finding]) -> Iterator[Finding]:
    claims = [tag for tag in tags if tag in AGGREGATE_TAGS]
    rows = [one for one in found if one.category is Category.ROWS and one.grade is not Grade.NOTE]
    if claims and rows:
        worst = max(rows, key=lambda one: _SURE[one.sure])
        grade = Grade.DANGER if worst.sure is Sure.CERTAIN else Grade.DOUBT
        why = f"it calls itself {', '.join(map(repr, claims))}, and {worst.place} {worst.why}"
        yield Finding("job.yaml", 0, Category.CONTRADICTION, worst.sure, grade, why, _MEND[Category.CONTRADICTION])


def _network(facts: Facts) -> Iterator[Finding]:
    used = {(one.file, one.name.partition(".")[0].partition("(")[0]) for one in facts.seen("use", "call")}
    for one in facts.seen("use", "call"):
        if NETWORK.match(one.name):
            yield _at(one, Category.NETWORK, Sure.CERTAIN, f"uses {one.name}: it talks to a network", Grade.DANGER)
        elif PROCESSES.match(one.name) and _talks(one.detail):
            yield _at(one, Category.NETWORK, Sure.CERTAIN, f"runs {one.detail[:80]!r}", Grade.DANGER)
    for one in facts.seen("import"):
        if NETWORK.match(f"{one.name}.") and (one.file, one.name.partition(".")[0]) not in used:
            yield _at(one, Category.NETWORK, Sure.LIKELY, f"imports {one.name}, which talks to a network")
    for one in facts.seen("command"):
        if NETWORK_COMMANDS.fullmatch(one.name) and _really(one):
            yield _at(one, Category.NETWORK, Sure.CERTAIN, f"runs {_line(one)!r}", Grade.DANGER)
    for one in facts.seen("file"):
        if one.detail.startswith("network"):
            yield _at(one, Category.NETWORK, Sure.CERTAIN, f"opens {one.name!r}", Grade.DANGER)


def _talks(text: str) -> bool:
    """Whether a command line that stands in code reaches a network."""
    parts = [part.split() for part in re.split(r"[;|&()$`\n]+", text.replace("'", " ").replace('"', " "))]
    names = [[word.rpartition("/")[2] for word in part] for part in parts]
    return any(
        NETWORK_COMMANDS.fullmatch(word) and _really(Seen(0, "", word, " ".join(part[at + 1 :])))
        for part in names
        for at, word in enumerate(part)
        if at == 0 or part[at - 1] in _BEFORE
    )


_BEFORE = frozenset(
    ["sudo", "env", "nohup", "exec", "xargs", "time", "timeout", "nice", "-c", "then", "do", "else", "if", "!"]
)


def _really(seen: Seen) -> bool:
    """Programs that reach a network with some of their commands alone."""
    verb = seen.detail.split(" ")[0]
    if seen.name == "git":
        return verb in ("clone", "fetch", "pull", "push", "ls-remote", "remote", "submodule")
    if seen.name.startswith(("pip", "conda", "mamba", "apt", "npm", "uv")):
        return verb in ("install", "download", "update", "upgrade", "create", "add", "i", "sync", "pip")
    return True


def _line(seen: Seen) -> str:
    return f"{seen.name} {seen.detail}".strip()[:80]


def _outside(facts: Facts) -> Iterator[Finding]:
    for one in facts.seen("file"):
        if one.detail.startswith("outside"):
            why = f"names {one.name!r}, which is no file of the job, of its data or of its outputs"
            yield _at(one, Category.OUTSIDE, Sure.CERTAIN, why, Grade.DANGER)
        elif one.detail == "system write":
            yield _at(one, Category.OUTSIDE, Sure.CERTAIN, f"writes to {one.name!r}, which belongs to the system")
    for one in facts.seen("write"):
        if one.detail == "outside":
            yield _at(one, Category.OUTSIDE, Sure.CERTAIN, f"writes to {one.name!r}", Grade.DANGER)


def _processes(facts: Facts) -> Iterator[Finding]:
    for one in facts.seen("use", "call"):
        magic = one.name.endswith("_magic") and one.detail.split(" ")[0] not in _SHELL_MAGICS
        if PROCESSES.match(one.name) and not magic:
            shown = f": {one.detail[:80]!r}" if one.what == "call" and one.detail else ""
            yield _at(one, Category.SUBPROCESS, Sure.CERTAIN, f"starts other programs by {one.name}{shown}")
    for one in facts.seen("command"):
        if RIGHTS.fullmatch(one.name) or _careless(one):
            why = f"runs {_line(one)!r}: it asks for more rights, or destroys"
            yield _at(one, Category.SUBPROCESS, Sure.CERTAIN, why, Grade.DANGER)
        elif one.name == "awk system()":
            yield _at(one, Category.SUBPROCESS, Sure.LIKELY, "its awk program starts other programs")


_SHELL_MAGICS = frozenset(["system", "sx", "sc", "bash", "sh", "script", "run", "!"])


def _careless(seen: Seen) -> bool:
    if seen.name == "chmod":
        return bool(re.match(r"(-\w+ )*(0?777|a\+\w*w|o\+\w*w|[0-7]?[2467][0-7]{3})\b", seen.detail))
    return seen.name == "rm" and bool(re.match(r"-\w*r\w* (.* )?(/|/\*|~|\.\.)/?( |$)", seen.detail))


def _dynamic(facts: Facts) -> Iterator[Finding]:
    for one in facts.seen("use", "call"):
        found = next((why for names, why in DYNAMIC if names.fullmatch(one.name)), None)
        if found and not _plain_load(one):
            sure = Sure.CERTAIN if one.what == "call" else Sure.LIKELY
            yield _at(one, Category.DYNAMIC, sure, f"{one.name} {found}")
    for one in facts.seen("getattr"):
        yield _at(one, Category.DYNAMIC, Sure.LIKELY, f"takes out of {one.name} by a name that is made as it runs")
    for one in facts.seen("eval"):
        yield _at(one, Category.DYNAMIC, Sure.CERTAIN, f"runs text as code, by {one.name}")
    for one in facts.seen("piped"):
        yield _at(one, Category.DYNAMIC, Sure.LIKELY, f"runs what another command prints, by {one.name}")
    for one in facts.seen("magic"):
        yield _at(one, Category.DYNAMIC, Sure.CERTAIN, f"%{one.name} runs, loads or installs something from elsewhere")
    for one in facts.seen("command"):
        if one.name == "?":
            yield _at(one, Category.DYNAMIC, Sure.LIKELY, "runs a command whose name is made as it runs")


def _plain_load(seen: Seen) -> bool:
    """What runs code only when it is told to."""
    if seen.name == "numpy.load":
        return "allow_pickle=True" not in seen.more
    if seen.name == "yaml.load":
        return seen.what == "use" or "Loader" in seen.more
    if seen.name in ("importlib.import_module", "builtins.__import__"):
        return seen.what == "use" or "computed" not in seen.more
    return False


def _hidden(facts: Facts) -> Iterator[Finding]:
    for one in facts.seen("use", "call", "import"):
        reached = one.what != "call" and one.detail == "hidden" and DANGEROUS.match(one.name)
        if reached or (one.what == "call" and "hidden" in one.more and _runs_text(one.name)):
            why = f"reaches {one.name} in a way that hides what runs: decoded, or put together from pieces"
            yield _at(one, Category.OBFUSCATION, Sure.CERTAIN, why, Grade.DANGER)
    for one in facts.seen("inside"):
        sure = Sure.POSSIBLE if one.name in ("__dict__", "__self__", "__wrapped__", "__spec__") else Sure.LIKELY
        yield _at(one, Category.OBFUSCATION, sure, f"uses Python's insides ({one.name}), a way around what can be read")
    for one in facts.seen("literal"):
        what = "a text that is packed code or data" if one.name == "packed" else "a line that nobody reads to its end"
        yield _at(one, Category.OBFUSCATION, Sure.LIKELY, f"{what} ({one.detail[:12]} characters)")
    for one in facts.seen("look-alike"):
        if one.name.isascii():
            why = f"a name that looks other than it is: Python takes it for {one.name!r}"
            yield _at(one, Category.OBFUSCATION, Sure.CERTAIN, why, Grade.DANGER)
    yield from _hidden_in_shell(facts)


def _runs_text(name: str) -> bool:
    return name in ("builtins.eval", "builtins.exec", "builtins.compile", "marshal.loads", "types.CodeType")


def _hidden_in_shell(facts: Facts) -> Iterator[Finding]:
    for one in facts.seen("command"):
        if "hidden" in one.more:
            why = f"spells the command {one.name!r} in pieces"
            yield _at(one, Category.OBFUSCATION, Sure.CERTAIN, why, Grade.DANGER)
    for one in facts.seen("piped"):
        if one.detail == "decoded":
            why = f"decodes something and runs it, by {one.name}"
            yield _at(one, Category.OBFUSCATION, Sure.CERTAIN, why, Grade.DANGER)
    for one in facts.seen("disguised"):
        yield _at(one, Category.OBFUSCATION, Sure.POSSIBLE, "holds Python, and is not called so")


def _endless(facts: Facts) -> Iterator[Finding]:
    for one in facts.seen("loop"):
        yield _at(one, Category.ENDLESS, Sure.LIKELY, "a loop without an end; its time limit will stop the job")


def _undeclared(facts: Facts) -> Iterator[Finding]:
    declared = facts.asked.outputs
    for one in facts.seen("write"):
        if one.detail == "output" and one.name and not any(fnmatchcase(one.name, pattern) for pattern in declared):
            why = f"writes {one.name!r}, which job.yaml does not declare: it will not come back"
            yield _at(one, Category.UNDECLARED, Sure.CERTAIN, why, Grade.NOTE)
        elif one.detail in ("job", "data") and one.name:
            why = f"writes {one.name!r} where nothing can be written"
            yield _at(one, Category.UNDECLARED, Sure.LIKELY, why, Grade.NOTE)


def _seed(facts: Facts) -> Iterator[Finding]:
    seen = [*facts.seen("call")]
    if any(SEEDS.fullmatch(one.name) and (one.detail or one.more or "seed" in one.name) for one in seen):
        return
    for one in seen:
        unseeded = SEEDS.fullmatch(one.name) and not one.detail and not one.more
        if unseeded or RANDOM.fullmatch(one.name) or (SPLITS.fullmatch(one.name) and "random_state" not in one.more):
            why = f"draws at random by {one.name} without a seed: two runs differ"
            yield _at(one, Category.SEED, Sure.LIKELY, why, Grade.NOTE)


def _unreadable_files(facts: Facts) -> Iterator[Finding]:
    """By content: what the analyser took each file for."""
    sizes = {file.path: file.size for file in facts.files}
    for read in facts.analysis.files:
        place, size = Seen(0, "", "", file=read.path), sizes.get(read.path, 0)
        if read.kind == "program":
            yield _at(place, Category.BINARY, Sure.CERTAIN, "is a compiled program, which nobody can read")
        elif read.kind == "unknown":
            yield _at(place, Category.UNKNOWN, Sure.CERTAIN, f"is no text and of no known type ({size} bytes)")
        elif read.kind and read.kind not in READ and not read.kind[0].isupper():
            big = size >= BIG or read.kind in ("zip", "gzip", "pickle", "7z", "rar", "xz", "bzip2", "sqlite")
            why = f"is {read.kind} ({size} bytes), which nobody reads as text"
            yield _at(place, Category.BINARY, Sure.CERTAIN, why, Grade.DOUBT if big else Grade.NOTE)


def _unread(facts: Facts) -> Iterator[Finding]:
    if facts.analysis.missing:
        why = f"the code was not analysed: {facts.analysis.missing}"
        yield _at(Seen(0, "", "", file="job.yaml"), Category.UNREAD, Sure.CERTAIN, why)
    told = {read.path for read in facts.analysis.files}
    for file in () if facts.analysis.missing else facts.files:
        if file.path not in told:
            why = "the analyser told nothing of this file"
            yield _at(Seen(0, "", "", file=file.path), Category.UNREAD, Sure.CERTAIN, why)
    for read in facts.analysis.files:
        place = Seen(0, "", "", file=read.path)
        if read.trouble:
            yield _at(place, Category.UNREAD, Sure.CERTAIN, f"was not analysed to its end: {read.trouble}")
        elif read.kind[:1].isupper():
            yield _at(place, Category.UNREAD, Sure.CERTAIN, f"is {read.kind}, which is not analysed: read it yourself")
    for one in facts.seen("unparsed", "missing"):
        what = "bandit is not installed here" if one.what == "missing" else f"a part in {one.name} is not analysed"
        yield _at(one, Category.UNREAD, Sure.CERTAIN, f"{what}: read it yourself")


def _bandit(facts: Facts) -> Iterator[Finding]:
    """Its own opinion, of what concerns us; much of the rest is about web servers."""
    for one in facts.seen("bandit"):
        category = BANDIT.get(one.name)
        if category:
            confidence, _, text = one.detail.partition(" ")
            sure = {"HIGH": Sure.CERTAIN, "MEDIUM": Sure.LIKELY}.get(confidence, Sure.POSSIBLE)
            yield _at(one, Category(category), sure, f"bandit {one.name}: {text[:160]}")


_CHECKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    _invisible, _hidden, _rows, _network, _outside, _processes, _dynamic, _unread, _unreadable_files, _endless,
    _undeclared, _seed, _bandit,
)  # fmt: skip
