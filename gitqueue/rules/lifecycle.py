"""Where a job stands: a pure function of its refs, and the table of moves that the README draws."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """The states of `design/1-workflow.md`, in the order of a job's life."""

    PENDING = "pending"
    CHANGES_REQUESTED = "changes-requested"
    REJECTED = "rejected"
    APPROVED = "approved"
    SUSPENDED = "suspended"
    RUNNING = "running"
    HELD = "held"
    WITHHELD = "withheld"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    CLOSED = "closed"

    def __str__(self) -> str:
        return self.value


class Reason(Enum):
    """Why a job failed: all that a requester learns of it."""

    TIME = "time-limit"
    MEMORY = "memory-limit"
    PROCESSES = "process-limit"
    OUTPUT = "output-limit"
    EXIT = "exit-code"
    SIGNAL = "signal"
    SITE = "site-fault"

    def __str__(self) -> str:
        return self.value


class Decision(Enum):
    """What a review commit may say."""

    COMMENT = "comment"
    CANCEL = "cancel"
    CHANGES_REQUESTED = "changes-requested"
    REJECTED = "rejected"
    ENDORSED = "endorsed"
    RELEASE = "release"
    WITHHOLD = "withhold"
    RERUN = "rerun"
    TRY_MOCK = "try-mock"
    TRY_REAL = "try-real"
    REHEARSED = "rehearsed"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Move:
    """One arrow of the diagram: who does what, from where to where. `start` None: the job begins."""

    start: State | None
    actor: str
    action: str
    end: State


_S = State
MOVES = (
    Move(None, "requester", "push request", _S.PENDING),
    Move(_S.PENDING, "owner", "ask for changes", _S.CHANGES_REQUESTED),
    Move(_S.PENDING, "owner", "reject", _S.REJECTED),
    Move(_S.PENDING, "requester", "cancel", _S.CANCELLED),
    Move(_S.CHANGES_REQUESTED, "requester", "push revision", _S.PENDING),
    Move(_S.REJECTED, "requester", "push revision", _S.PENDING),
    Move(_S.PENDING, "owner", "signed merge", _S.APPROVED),
    Move(_S.APPROVED, "runner", "claim", _S.RUNNING),
    Move(_S.APPROVED, "owner", "revoke approver's key", _S.SUSPENDED),
    Move(_S.SUSPENDED, "another owner", "rerun", _S.APPROVED),
    Move(_S.SUSPENDED, "requester", "cancel", _S.CANCELLED),
    Move(_S.APPROVED, "requester", "cancel", _S.CANCELLED),
    Move(_S.RUNNING, "runner", "checks passed", _S.COMPLETED),
    Move(_S.RUNNING, "runner", "outputs wait", _S.HELD),
    Move(_S.RUNNING, "runner", "run failed", _S.FAILED),
    Move(_S.RUNNING, "runner", "stopped", _S.CANCELLED),
    Move(_S.RUNNING, "runner", "found dead", _S.INTERRUPTED),
    Move(_S.INTERRUPTED, "owner", "rerun", _S.APPROVED),
    Move(_S.FAILED, "owner", "rerun", _S.APPROVED),
    Move(_S.HELD, "owner", "release", _S.COMPLETED),
    Move(_S.HELD, "owner", "withhold", _S.WITHHELD),
    Move(_S.REJECTED, "gc", "after retention", _S.CLOSED),
    Move(_S.COMPLETED, "gc", "after retention", _S.CLOSED),
    Move(_S.FAILED, "gc", "after retention", _S.CLOSED),
    Move(_S.CANCELLED, "gc", "after retention", _S.CLOSED),
    Move(_S.INTERRUPTED, "gc", "after retention", _S.CLOSED),
    Move(_S.WITHHELD, "gc", "after retention", _S.CLOSED),
)

OPEN = frozenset({_S.PENDING, _S.CHANGES_REQUESTED, _S.APPROVED, _S.SUSPENDED, _S.RUNNING, _S.HELD})
FINAL_RUNS = frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELLED, _S.INTERRUPTED, _S.WITHHELD})
ENDS = FINAL_RUNS | {_S.CHANGES_REQUESTED, _S.REJECTED, _S.CLOSED}  # where neither owners nor the runner are awaited
RERUNNABLE = frozenset({_S.FAILED, _S.INTERRUPTED})
CLOSABLE = frozenset(move.start for move in MOVES if move.start and move.end is _S.CLOSED)
BY_DECISION = {
    Decision.CHANGES_REQUESTED: _S.CHANGES_REQUESTED,
    Decision.REJECTED: _S.REJECTED,
    Decision.CANCEL: _S.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What the refs say of one job.

    `decisions` are those on the request's very tip, oldest first; `approved` whether the verified chain holds it;
    `result` is the `State` trailer of the results tip, None where there is no such ref; `suspended` whether its
    approver's key was revoked before it ran, and no other owner has said `rerun`; `again` whether owners have said
    `rerun` of the attempt that the result speaks of, and nobody has cancelled it since; `closed` whether gc took its
    refs into the archive.
    """

    decisions: tuple[Decision, ...] = ()
    approved: bool = False
    result: State | None = None
    suspended: bool = False
    again: bool = False
    closed: bool = False


def state(facts: JobFacts) -> State:
    """The job's state: the results speak before the chain, the chain before the review."""
    if facts.closed:
        return _S.CLOSED
    if facts.result in RERUNNABLE and facts.again:
        return _S.APPROVED
    if facts.result is not None:
        return facts.result
    if facts.approved and Decision.CANCEL in facts.decisions:
        return _S.CANCELLED
    if facts.approved:
        return _S.SUSPENDED if facts.suspended else _S.APPROVED
    spoken = [BY_DECISION[decision] for decision in facts.decisions if decision in BY_DECISION]
    return spoken[-1] if spoken else _S.PENDING


def may_move(start: State | None, end: State) -> bool:
    """Whether the table has such an arrow."""
    return any(move.start is start and move.end is end for move in MOVES)


def next_step(now: State) -> str:
    """Who acts next and how, in one line."""
    return _NEXT[now]


_NEXT = {
    _S.PENDING: "an owner reads it, and approves, asks for changes or rejects",
    _S.CHANGES_REQUESTED: "the requester commits what was asked for and pushes again",
    _S.REJECTED: "the requester may change it and push again",
    _S.APPROVED: "the runner takes it up by itself",
    _S.SUSPENDED: "another owner signs rerun: the key that approved it was revoked",
    _S.RUNNING: "the runner finishes it by itself",
    _S.HELD: "an owner looks at the outputs, and releases or withholds them",
    _S.WITHHELD: "nobody: the outputs stay at the site; changed code is a new job",
    _S.COMPLETED: "the requester fetches the results",
    _S.FAILED: "the requester mends the code and submits it as a new job; or an owner signs rerun",
    _S.CANCELLED: "nobody: changed code is a new job",
    _S.INTERRUPTED: "an owner signs rerun, for it to be tried once more",
    _S.CLOSED: "nobody: it is over; gitqueue results still finds what was released",
}


def diagram(moves: Iterable[Move] = MOVES) -> str:
    """The table as a Mermaid state diagram, as the README shows it."""
    lines = ["stateDiagram-v2"]
    for move in moves:
        start = move.start.value if move.start else "[*]"
        lines.append(f"    {_node(start)} --> {_node(move.end.value)}: {move.actor}: {move.action}")
    return "\n".join([*lines, f"    {_node(_S.CLOSED.value)} --> [*]"])


def _node(name: str) -> str:
    return name.replace("-", "_")
