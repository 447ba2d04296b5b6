"""The frozen values that floors hand to each other."""

from dataclasses import dataclass, field

from gitqueue.refs import JobId


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a git tree. `mode` is git's (0o100644, 0o100755, 0o120000, 0o160000, 0o40000)."""

    mode: int
    name: str
    id: str

    @property
    def is_folder(self) -> bool:
        return self.mode == FOLDER


FOLDER = 0o40000
FILE = 0o100644
PROGRAM = 0o100755
LINK = 0o120000
SUBMODULE = 0o160000


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit as its bytes say it. `date` is the committer's, in seconds since 1970."""

    id: str
    tree: str
    parents: tuple[str, ...]
    author: str
    email: str
    date: int
    message: str
    raw: bytes = field(repr=False)

    @property
    def subject(self) -> str:
        return self.message.strip().partition("\n")[0]


@dataclass(frozen=True, slots=True)
class RefMove:
    """What a push, or the runner, wants of one ref. None: the ref is (to be) absent."""

    name: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use: seconds, bytes, cores, counts."""

    time: float
    memory: int
    cpus: float
    processes: int
    output: int
    output_files: int


@dataclass(frozen=True, slots=True)
class Bind:
    """A file or folder of the host, shown read-only at a path inside the sandbox."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Indexed:
    """An asset that outputs are compared with: `name` as people know it, where it stands inside, the name of its
    index's folder in the run's own, and the mock asset on the host (None where the asset is the mock one)."""

    name: str
    target: str
    folder: str
    mock: str | None = None


@dataclass(frozen=True, slots=True)
class Inspection:
    """What looks at the outputs in a second sandbox and prints facts about them as JSON: the folder of our programs on
    the host, the Python inside that runs them; what they need to know, and what they compare with."""

    programs: str
    python: str
    identifiers: tuple[str, ...] = ()
    min_count: int = 10
    indexed: tuple[Indexed, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a supervisor needs to run one job; written to the job's spool folder as JSON.

    `command` is the argument vector inside; `job` the folder of its files on the host, shown read-only as the
    working directory; `uid` and `gid` are the sandbox user's, or None where the runner may not switch user.
    `declared` are the patterns of outputs that may be collected. `inspect` says how what was collected is
    looked at; None where nobody does. `data` are
    paths on the host with how they stood (`adapters/data`) when their digests were taken: they must end as they stood.
    """

    command: tuple[str, ...]
    job: str
    binds: tuple[Bind, ...]
    environment: tuple[tuple[str, str], ...]
    limits: Limits
    declared: tuple[str, ...]
    types: tuple[str, ...]
    uid: int | None
    gid: int | None
    inspect: Inspection | None = None
    wake: str | None = None
    data: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Output:
    """One collected file: its name under the outputs folder, size in bytes, SHA-256 in hex."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that a job left and that was not collected as releasable, with why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended, as its supervisor saw it. `reason` is "" or one of the fixed words.

    Times are seconds since 1970; `seconds` is the duration by the monotonic clock. `enforced` says which limit was
    held by what. `sandbox` holds the exact arguments. `memory` is the most bytes that it used, None where no control
    group counted them.
    """

    reason: str
    exit_code: int | None
    started_at: float
    ended_at: float
    seconds: float
    outputs: tuple[Output, ...]
    refused: tuple[Refusal, ...]
    enforced: tuple[tuple[str, str], ...]
    sandbox: tuple[str, ...]
    detail: str = ""
    memory: int | None = None


__all__ = [
    "FILE",
    "FOLDER",
    "LINK",
    "PROGRAM",
    "SUBMODULE",
    "Bind",
    "Commit",
    "Ended",
    "Entry",
    "Indexed",
    "Inspection",
    "JobId",
    "Limits",
    "Output",
    "Plan",
    "RefMove",
    "Refusal",
]
