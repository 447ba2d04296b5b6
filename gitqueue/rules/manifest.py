"""What a requester asks for: job.yaml or a bare run.sh, judged by the site's policy."""

import keyword
import re
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

import msgspec

from gitqueue.model import Limits
from gitqueue.refs import JobId
from gitqueue.rules.documents import Bytes, Faulty, Seconds, capped, nearest, parse, path_faults, quote, text_faults
from gitqueue.rules.policy import Cores, Dataset, Policy, Strict

LINE, TEXT = 200, 10_000  # characters of a one-line text, and of one of several lines
COMMAND = 4000  # characters; shlex takes 2 s over 200,000
ENTRY = "/opt/gitqueue/entry.py"  # where templates/job/entry.py stands inside; it runs function jobs
RETURNED = ("result.*", "result-*.*")  # what entry.py calls a function's results


class Project(Strict, frozen=True, kw_only=True):
    name: str
    description: str = ""


class Wanted(Strict, frozen=True, kw_only=True):
    time: Seconds | None = None
    memory: Bytes | None = None
    cpus: Cores | None = None


class Manifest(Strict, frozen=True, kw_only=True):
    """`jobs/<requester>/<job>/job.yaml`. `inputs`: a parameter of the function -> dataset/asset."""

    name: str
    run: str | None = None
    entrypoint: str | None = None
    inputs: Mapping[str, str] = msgspec.field(default_factory=dict)
    description: str = ""
    purpose: str = ""
    project: str | Project | None = None
    tags: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    environment: str | None = None
    outputs: tuple[str, ...] = ()
    limits: Wanted = Wanted()

    @property
    def group(self) -> Project | None:
        """The project, written as a bare name or in full."""
        return Project(name=self.project) if isinstance(self.project, str) else self.project


def read(job: JobId, job_yaml: bytes | None, run_sh: bytes | None) -> Manifest:
    """A job's manifest; job.yaml wins where there is a run.sh, too. Raises Faulty with every reason."""
    if job_yaml is None:
        if run_sh is None:
            raise Faulty(f"{job.folder} holds neither job.yaml nor run.sh", step=f"gitqueue new {job.name}")
        return _bare(job, run_sh)
    path = f"{job.folder}/job.yaml"
    manifest = parse(job_yaml, Manifest, path)
    reasons = tuple(f"{path}: {reason}" for reason in _unclear(manifest))
    if reasons:
        raise Faulty(*reasons)
    if manifest.entrypoint and not manifest.outputs:
        return msgspec.structs.replace(manifest, outputs=RETURNED)
    return manifest


_DATASETS = re.compile(r"#[ \t]*datasets:(.*)", re.IGNORECASE)


def _bare(job: JobId, run_sh: bytes) -> Manifest:
    """A job that is only a run.sh: it names its data sets in a comment at its top."""
    names: list[str] = []
    for line in run_sh.decode(errors="replace").split("\n"):
        if line.strip() and not line.startswith("#"):
            break
        found = _DATASETS.match(line)
        names += re.split(r"[,\s]+", found[1].strip(" \t\r,")) if found else []
    return Manifest(name=job.name, run="sh run.sh", datasets=tuple(filter(None, names)), outputs=("*",))


def command(manifest: Manifest) -> tuple[str, ...]:
    """The argument vector inside the sandbox, a function's inputs apart (`planning` knows where they lie).

    Raises Faulty for what `read` would have refused.
    """
    reasons = tuple(_unclear(manifest))
    if reasons:
        raise Faulty(*reasons)
    return ("python", ENTRY, manifest.entrypoint) if manifest.entrypoint else _split(manifest.run or "")


def granted(manifest: Manifest, policy: Policy) -> Limits:
    """What the run gets: what it asks for, else all that policy allows."""
    caps, wanted = policy.limits, manifest.limits
    return Limits(
        time=float(wanted.time or caps.time),
        memory=int(wanted.memory or caps.memory),
        cpus=wanted.cpus or caps.cpus,
        processes=caps.processes,
        output=int(caps.output),
        output_files=caps.output_files,
    )


def _unclear(manifest: Manifest) -> Iterator[str]:
    """Why nobody could tell what is to run."""
    if manifest.run is not None and manifest.entrypoint is not None:
        yield "run and entrypoint are both there; name a program or a function, and remove the other"
    elif manifest.entrypoint is not None:
        yield from _unnamed(manifest.entrypoint)
    elif manifest.run is None:
        yield "nothing is named to run; write `run: python main.py`, or `entrypoint: main.py:analyse` for a function"
    else:
        yield from _unsplit(manifest.run)
    if manifest.inputs and manifest.entrypoint is None:
        yield "inputs are a function's parameters; name it in `entrypoint`, or remove them"


def _unnamed(entrypoint: str) -> Iterator[str]:
    file, colon, function = entrypoint.rpartition(":")
    if not colon or not file.endswith(".py") or file.startswith("-"):
        yield f"entrypoint is {quote(entrypoint)}; write a Python file of the job and its function, as main.py:analyse"
    elif not _is_name(function):
        yield f"entrypoint names the function {quote(function)}, which is no Python name; as in main.py:analyse"


def _is_name(word: str) -> bool:
    """Python would take look-alikes of other alphabets, too; a reader could not tell them apart."""
    return word.isascii() and word.isidentifier() and not keyword.iskeyword(word) and len(word) <= LINE


def _unsplit(run: str) -> Iterator[str]:
    if len(run) > COMMAND:
        yield f"run has {len(run)} characters; at most {COMMAND}, a script in a file has room"
        return
    try:
        words = _split(run)
    except ValueError as error:
        yield f"run is {quote(run)}, which does not split into words: {str(error).lower()}"
        return
    if not words or not words[0]:
        yield "run is empty; name a program, as in python main.py"


@lru_cache(64)
def _split(run: str) -> tuple[str, ...]:
    """A gate asks five times for each request."""
    return tuple(shlex.split(run))


# --- rules: facts in, reasons out ---


@dataclass(frozen=True, slots=True)
class Facts:
    """`files` are paths below the job's folder; `requirements` the bytes of the environment file."""

    manifest: Manifest
    policy: Policy
    datasets: Mapping[str, Dataset]
    files: Collection[str]
    requirements: bytes | None


def judge(
    manifest: Manifest,
    policy: Policy,
    datasets: Mapping[str, Dataset],
    files: Collection[str],
    requirements: bytes | None,
) -> tuple[str, ...]:
    """All reasons against a manifest. `files`: paths below the job's folder; `requirements`: its environment file."""
    facts = Facts(manifest, policy, datasets, frozenset(files), requirements)
    return capped(reason for rule in _RULES for reason in rule(facts))


def _texts(facts: Facts) -> Iterator[str]:
    manifest, project = facts.manifest, facts.manifest.group
    if not manifest.name.strip():
        yield "name is empty; say in one line what the job is"
    yield from text_faults("name", manifest.name, LINE)
    yield from text_faults("run", (manifest.run or "")[:COMMAND], COMMAND)
    yield from text_faults("description", manifest.description, TEXT, lines=True)
    yield from text_faults("purpose", manifest.purpose, TEXT, lines=True)
    if project:
        yield from text_faults("project", project.name, LINE)
        yield from text_faults("project.description", project.description, TEXT, lines=True)
        if not project.name.strip():
            yield "project has no name; name it, or leave it out"


def _tags(facts: Facts) -> Iterator[str]:
    if len(facts.manifest.tags) > 20:
        yield f"there are {len(facts.manifest.tags)} tags; at most 20"
    for tag in facts.manifest.tags:
        yield from text_faults("tag", tag, 50)


def _datasets(facts: Facts) -> Iterator[str]:
    asked = facts.manifest.datasets
    for name in dict.fromkeys(asked):
        if name not in facts.datasets:
            hint = nearest(name, facts.datasets) or "; `gitqueue datasets` lists what there is"
            yield f"dataset {quote(name)} is not in this site's catalogue{hint}"
        if asked.count(name) > 1:
            yield f"dataset {quote(name)} is named twice; remove one"


def _limits(facts: Facts) -> Iterator[str]:
    for name in ("time", "memory", "cpus"):
        wanted, most = getattr(facts.manifest.limits, name), getattr(facts.policy.limits, name)
        if wanted is not None and wanted > most:
            yield f"limits.{name} is {wanted}; this site allows at most {most}"


def _run(facts: Facts) -> Iterator[str]:
    yield from _unclear(facts.manifest)


_SHELL = {"&&", "||", "|", ">", ">>", "2>", "2>&1", "<", ";", "&"}
_VARIABLE = re.compile(r"\$\{?GITQUEUE_\w+")


def _no_shell(facts: Facts) -> Iterator[str]:
    """What works in a terminal would here become odd arguments, without a word."""
    run = facts.manifest.run or ""
    words = run.split()
    if "-c" in words:  # a program given in place, as to `sh -c`, may hold all of this
        return
    signs = [word for word in words if word in _SHELL] + _VARIABLE.findall(run)
    if signs:
        yield f"run holds {quote(signs[0])}, but no shell reads it; put the line into run.sh and write `run: sh run.sh`"


_INTERPRETER = re.compile(r"(?:python|pypy)[0-9.]*|sh|bash|dash|zsh|Rscript|R|julia|perl|node|ruby")
_CODE = {".py", ".sh", ".r", ".jl", ".pl", ".js", ".rb", ".ipynb"}


def _program(facts: Facts) -> Iterator[str]:
    """A misspelt script should be found here, not after a week in the queue. Doubtful cases pass."""
    script = _script(facts.manifest.run or "")
    if script and script.removeprefix("./") not in facts.files:
        hint = nearest(script, facts.files) or "; add it, or mend `run`"
        yield f"run names {quote(script)}, which is no file of the job{hint}"


def _script(run: str) -> str:
    """The word of a command that is clearly meant as a file of the job, or ""."""
    words = () if tuple(_unsplit(run)) else _split(run)
    if not words or words[0].startswith(("./", "../")):
        return "".join(words[:1])
    if not _INTERPRETER.fullmatch(words[0].rpartition("/")[2]) or {"-c", "-m", "-e"} & set(words):
        return ""
    first = next((word for word in words[1:] if not word.startswith("-")), "")
    return first if PurePosixPath(first).suffix.lower() in _CODE else ""


def _entrypoint(facts: Facts) -> Iterator[str]:
    file = (facts.manifest.entrypoint or "").rpartition(":")[0]
    wrong = tuple(path_faults("entrypoint", file)) if file else ()
    yield from wrong
    if file and not wrong and file not in facts.files:
        hint = nearest(file, facts.files) or "; add it, or mend `entrypoint`"
        yield f"entrypoint names {quote(file)}, which is no file of the job{hint}"


def _inputs(facts: Facts) -> Iterator[str]:
    """Each parameter is an asset of a dataset that the job names: an owner reads one list of what it needs."""
    for parameter, wanted in facts.manifest.inputs.items():
        dataset, _, asset = wanted.partition("/")
        assets = facts.datasets[dataset].assets if dataset in facts.datasets else {}
        if not _is_name(parameter):
            yield f"inputs names the parameter {quote(parameter)}, which is no Python name; write it as in the function"
        elif dataset not in facts.datasets or asset not in assets:
            known = [f"{name}/{each}" for name, spec in facts.datasets.items() for each in spec.assets]
            hint = nearest(wanted, known) or "; `gitqueue datasets` lists what there is"
            yield f"inputs.{parameter} is {quote(wanted)}, which is no asset of this site{hint}"
        elif dataset not in facts.manifest.datasets:
            yield f"inputs.{parameter} is {quote(wanted)}, but `datasets` does not name {dataset}; add it there"


def _environment(facts: Facts) -> Iterator[str]:
    path = facts.manifest.environment
    if path is None:
        return
    yield from path_faults("environment", path)
    if path not in facts.files:
        hint = nearest(path, facts.files) or "; add it, or leave `environment` out"
        yield f"environment {quote(path)} is no file of the job{hint}"
    elif facts.policy.dependencies.policy == "none":
        yield f"environment {quote(path)}: this site installs no packages; leave `environment` out"
    else:
        yield from _requirements(path, facts)


def _outputs(facts: Facts) -> Iterator[str]:
    patterns, types = facts.manifest.outputs, facts.policy.outputs.types
    if len(patterns) > 100:
        yield f"there are {len(patterns)} outputs; at most 100, patterns such as *.csv help"
    for pattern in patterns:
        yield from path_faults("output", pattern)
        suffix = PurePosixPath(pattern).suffix.lower()
        if suffix and not set(suffix) & set("*?[]") and suffix not in types:
            yield f"output {quote(pattern)}: files {suffix} do not leave this site ({', '.join(types)} do)"


# --- dependencies ---

COMPANIONS: Mapping[str, tuple[str, ...]] = {
    "pandas": ("numpy", "python-dateutil", "pytz", "tzdata", "six"),
    "scipy": ("numpy",),
    "scikit-learn": ("numpy", "scipy", "joblib", "threadpoolctl", "cloudpickle", "narwhals"),
    "matplotlib": (
        *("numpy", "contourpy", "cycler", "fonttools", "kiwisolver", "packaging", "pillow", "pyparsing"),
        *("python-dateutil", "six", "tzdata"),
    ),
}
"""What an allowed package brings with it.

A lock names every package that gets installed, and an owner who allows pandas allows what pandas cannot work without.
Nothing in the lock says so in a way that could be believed (`# via` is a comment), so the packages of the default list
have theirs here, as released from 2023 to 2026. All other packages are added to `dependencies.allow`, by name.
"""

_LOCK_SIZE = 2 * 2**20
_VERSION = r"[0-9][0-9A-Za-z.!+_-]*"
_PINNED = re.compile(rf"==\s*{_VERSION}")
_CLAUSE = rf"(?:==|!=|>=|<=|~=|>|<)\s*{_VERSION}(?:\.\*)?"
_RANGES = re.compile(rf"(?:{_CLAUSE}(?:\s*,\s*{_CLAUSE})*)?")
_NAMED = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[A-Za-z0-9._, -]*\])?\s*(.*)")
_MARKER = re.compile(r"[A-Za-z0-9_.,<>=!~()'\"+* \t-]+")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


@lru_cache(maxsize=8)
def allowed_packages(policy: Policy) -> frozenset[str]:
    """The allow-list with the companions, names normalised."""
    named = [_normal(name) for name in policy.dependencies.allow]
    return frozenset([*named, *(other for name in named for other in COMPANIONS.get(name, ()))])


def _normal(name: str) -> str:
    """PEP 503: `Scikit_Learn` is `scikit-learn`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _requirements(path: str, facts: Facts) -> Iterator[str]:
    data = facts.requirements
    if data is None or len(data) > _LOCK_SIZE:
        yield f"{path} cannot be read; it is a text of at most 2 MiB"
        return
    text = data.decode(errors="replace").replace("\r\n", "\n")
    faults = tuple(text_faults(path, text, _LOCK_SIZE, lines=True))
    yield from faults
    for line, requirement in () if faults else _logical(text):
        reason = _line_fault(requirement, facts.policy)
        if reason:
            yield f"{path} line {line}: {quote(requirement)} {reason}"


def _logical(text: str) -> Iterator[tuple[int, str]]:
    """Requirements, each with the line where it begins; `\\` at a line's end continues it.

    A comment amid a continued line stays in it, to be refused: readers of this format differ on what it hides.
    """
    parts: list[str] = []
    begun = 0
    for number, line in enumerate(text.split("\n"), 1):
        body = re.sub(r"[ \t]+", " ", line.removesuffix("\\")).strip()  # one blank: keeps what follows linear
        if not parts and (not line.strip() or line.lstrip().startswith("#")):
            continue
        begun = begun if parts else number
        parts.append(body if line.endswith("\\") else re.sub(r"(?<=\S) #.*", "", body))
        if not line.endswith("\\"):
            yield begun, " ".join(filter(None, parts))
            parts = []
    if parts:
        yield begun, " ".join(filter(None, parts))


def _line_fault(requirement: str, policy: Policy) -> str:
    """What is wrong with one requirement: a name, a version, a marker and hashes are all that it may hold.

    Extras (`name[extra]`) are fine: in a lock, what they add stands there under its own name. With `any`, the
    allow-list is not asked: any package is what the owner has chosen.
    """
    head, *hashes = requirement.replace(" --", "\n--").split("\n")
    wanted, semicolon, marker = head.partition(";")
    found = _NAMED.fullmatch(wanted.strip())
    if not found or not _RANGES.fullmatch(found[2]) or not all(map(_HASH.fullmatch, hashes)):
        return "is not understood; a line holds name==version, a marker and sha256 hashes, no option, URL or path"
    if semicolon and (not _MARKER.fullmatch(marker) or re.search(r"(?:^|\s)-", marker)):
        return "has a marker that is not understood, unlike ; python_version < '3.12'"
    return "" if policy.dependencies.policy == "any" else _lock_fault(found[1], found[2], bool(hashes), policy)


def _lock_fault(name: str, version: str, hashed: bool, policy: Policy) -> str:
    if not _PINNED.fullmatch(version) or not hashed:
        missing = "hash" if _PINNED.fullmatch(version) else "exact version"
        return f"has no {missing}; this site asks for a lock, which `gitqueue check --fix` writes"
    if _normal(name) not in allowed_packages(policy):
        return (
            f"is not allowed here ({', '.join(policy.dependencies.allow)} are); ask an owner to allow {_normal(name)!r}"
        )
    return ""


_RULES: tuple[Callable[[Facts], Iterator[str]], ...] = (
    _texts,
    _tags,
    _run,
    _no_shell,
    _program,
    _entrypoint,
    _datasets,
    _inputs,
    _environment,
    _outputs,
    _limits,
)
