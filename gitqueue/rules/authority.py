"""Who may move a ref, whose signature counts, and whose decision is whose.

Every movement is justified by a signature of a person whose role allows it; accounts, forges and author fields
justify nothing.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum

from gitqueue import refs
from gitqueue.model import Commit, RefMove
from gitqueue.refs import JobId, Kind
from gitqueue.rules.lifecycle import RERUNNABLE, Decision, State
from gitqueue.rules.policy import Key, People

OWNER, REQUESTER, RUNNER, RECOVERY = "owner", "requester", "runner", "recovery"
CLOCK_SKEW = 600  # seconds that a person's clock may run ahead of the site's
FUTURE = "is dated in the future: set the clock of the machine that made it"


@dataclass(frozen=True, slots=True)
class Signer:
    """A person of the site whose valid key made a signature."""

    name: str
    roles: frozenset[str]
    fingerprint: str

    def has(self, role: str) -> bool:
        return role in self.roles


@dataclass(frozen=True, slots=True)
class Signed:
    """A commit with the person who signed it, or with why nobody did (`fault`)."""

    commit: Commit
    signer: Signer | None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """When a signature must have been valid: seconds since 1970.

    `dated` is what the commit says, which its author may forge; `received` when the site had it, or the latest date
    of the chain below it where nobody recorded that (a chain's time never goes back). `relied`: when somebody builds on
    it: a key that was revoked by then counts no more, though one that has merely ended does.
    """

    dated: float
    received: float
    relied: float = 0


@dataclass(frozen=True, slots=True)
class Made:
    """A signature that is cryptographically good: the key's wire form, its fingerprint, its text for people.yaml."""

    key: bytes
    fingerprint: str
    line: str


def identify(people: People, made: Made, moment: Moment, revoked: Collection[str]) -> Signer | str:
    """The person behind a good signature, or why it does not count."""
    if made.fingerprint in revoked:
        return f"is signed with the key {made.fingerprint}, which the site's operator has revoked"
    held = people.holder(made.key)
    if held is None:
        return (
            f"is signed with a key that this site does not know ({made.fingerprint});"
            f" send an owner this line: gitqueue person add NAME --email YOU@EXAMPLE --key '{made.line}'"
        )
    name, person, key = held
    fault = _lifetime(key, moment)
    if fault:
        return f"is signed with {name}'s key {made.fingerprint}, which {fault}"
    return Signer(name, frozenset(person.roles), made.fingerprint)


def _lifetime(key: Key, moment: Moment) -> str:
    if key.revoked is not None and max(moment.dated, moment.received, moment.relied) >= key.revoked_at:
        return f"was revoked on {key.revoked}"
    for when in (moment.dated, moment.received):
        if when < key.since_at:
            return f"is valid only from {key.since}"
        if when >= key.until_at:
            return f"was valid only until {key.until}; an owner can add your new key"
    return ""


def late(commit: Commit, now: float | None) -> bool:
    """Whether a commit is dated after its receipt (None: nobody knows when that was)."""
    return now is not None and commit.date > now + CLOCK_SKEW


def valid_owners(people: People, now: float) -> frozenset[str]:
    """The owners with a key that counts at a time, in seconds since 1970."""
    able = (who for who in people.values() if OWNER in who.roles and any(key.valid_at(now) for key in who.keys))
    return frozenset(person.name for person in able)


# Refs


class Change(Enum):
    """What a push does to one ref."""

    CREATE = "create"
    FORWARD = "forward"
    REWIND = "rewind"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Movement:
    """One ref of a push, its meaning (None: no ref of ours), and what happens to it."""

    move: RefMove
    ref: refs.Ref | None
    change: Change


def judge_movement(movement: Movement) -> str:
    """Why this ref may not move so, whoever asks; "" where a signature may justify it."""
    for rule in _MOVEMENT:
        reason = rule(movement)
        if reason:
            return reason
    return ""


def _listed(movement: Movement) -> str:
    if movement.ref is not None:
        return ""
    return (
        f"{movement.move.name[:120]!a} is no ref of this site: push requests/<your name>/<job>, each part of a-z, 0-9"
        " and -, or reviews/<requester>/<job>, or (owners) approved"
    )


def _runners_own(movement: Movement) -> str:
    if movement.ref and movement.ref.kind in (Kind.RESULT, Kind.AUDIT):
        return f"{movement.ref.kind.value} is written by the site's runner alone"
    return ""


def _begun(movement: Movement) -> str:
    """`init` makes approved. Whoever could make it anew would choose who its owners are."""
    if movement.change is not Change.CREATE or movement.ref is None or movement.ref.kind is not Kind.APPROVED:
        return ""
    return "approved has gone, and no push brings it back: the site's operator is told how by gitqueue serve --once"


def _deleted(movement: Movement) -> str:
    if movement.change is not Change.DELETE or movement.ref is None:
        return ""
    if movement.ref.kind is Kind.REQUEST:
        return f"a request is not deleted but cancelled: gitqueue cancel {movement.ref.job}"
    return f"{movement.ref.kind.value} is never deleted"


def _rewound(movement: Movement) -> str:
    if movement.change is not Change.REWIND or movement.ref is None or movement.ref.kind is Kind.REQUEST:
        return ""
    if movement.ref.kind is Kind.REVIEW:
        return (
            "the conversation goes forward only, and somebody has spoken already: git fetch, then join yours to theirs"
            " (git merge -s ours), or use gitqueue"
        )
    return f"{movement.ref.kind.value} goes forward only: git fetch, then merge again on top of origin/approved"


_MOVEMENT: tuple[Callable[[Movement], str], ...] = (_listed, _runners_own, _begun, _deleted, _rewound)


# Decisions


@dataclass(frozen=True, slots=True)
class Note:
    """One review commit: what its signer decided on which revision, and why."""

    signed: Signed
    decision: Decision
    revision: str
    reason: str
    outputs: str | None = None
    at: str | None = None
    files: tuple[str, ...] | None = None
    tested: str | None = None
    attempt: int | None = None


@dataclass(frozen=True, slots=True)
class NoteFacts:
    """A review commit with what it must agree with.

    `state` is the job's now, `tip` its request's; `signers` those who signed the request; `outputs` the vault commit
    that the results ref announces as waiting, `held` the paths that may be released from it (None: not seen from
    here); `now` the time of receipt, None where nobody knows it; `attempt` the number of the newest run, 0 before it.
    """

    note: Note
    job: JobId
    state: State
    tip: str | None
    signers: frozenset[str]
    outputs: str | None
    now: float | None = None
    held: frozenset[str] | None = None
    attempt: int = 0


def judge_note(facts: NoteFacts) -> tuple[str, ...]:
    """All reasons against one decision."""
    if facts.note.signed.signer is None:
        return (f"review commit {facts.note.signed.commit.id[:12]} {facts.note.signed.fault}",)
    return tuple(reason for rule in _NOTE if (reason := rule(facts)))


def _dated(facts: NoteFacts) -> str:
    commit = facts.note.signed.commit
    return f"review commit {commit.id[:12]} {FUTURE}" if late(commit, facts.now) else ""


_ANYONE = frozenset({Decision.COMMENT})
BEFORE_APPROVAL = frozenset({State.PENDING, State.CHANGES_REQUESTED, State.REJECTED})
_WHEN = {
    Decision.CHANGES_REQUESTED: BEFORE_APPROVAL,
    Decision.REJECTED: BEFORE_APPROVAL,
    Decision.ENDORSED: BEFORE_APPROVAL,
    Decision.TRY_MOCK: BEFORE_APPROVAL,
    Decision.TRY_REAL: BEFORE_APPROVAL,
    Decision.RERUN: frozenset({State.SUSPENDED, *RERUNNABLE}),
    Decision.RELEASE: frozenset({State.HELD}),
    Decision.WITHHOLD: frozenset({State.HELD}),
    Decision.CANCEL: frozenset(
        {State.PENDING, State.CHANGES_REQUESTED, State.REJECTED, State.APPROVED, State.SUSPENDED, State.RUNNING}
    ),
}


def _present(facts: NoteFacts) -> str:
    if facts.tip is None:
        return f"there is no request {facts.job}"
    if facts.note.revision != facts.tip:
        return (
            f"the decision speaks of {facts.note.revision[:12]}, but {facts.job} stands at {facts.tip[:12]}:"
            " git fetch, read what changed, and decide again"
        )
    return ""


def _role(facts: NoteFacts) -> str:
    signer, decision = facts.note.signed.signer, facts.note.decision
    if signer is None:
        return ""
    if signer.has(RUNNER) or decision is Decision.REHEARSED:
        both = signer.has(RUNNER) and decision is Decision.REHEARSED
        return "" if both else f"{facts.job}: rehearsed is what the site's runner says, and it says nothing else"
    if decision in _ANYONE:
        return ""
    own = signer.name == facts.job.requester
    if decision is Decision.CANCEL:
        return "" if own or signer.has(OWNER) else f"only {facts.job.requester} or an owner may cancel {facts.job}"
    if not signer.has(OWNER):
        return f"{facts.job}: {signer.name} is no owner of this site: {decision} is an owner's"
    if decision is not Decision.TRY_MOCK and (own or signer.name in facts.signers):
        return f"{signer.name} signed {facts.job} as its requester: {decision} is for another owner"
    return ""


def _in_time(facts: NoteFacts) -> str:
    allowed = _WHEN.get(facts.note.decision)
    if allowed is None or facts.state in allowed:
        return ""
    return f"{facts.job} is {facts.state}: {facts.note.decision} does nothing to it any more"


def _reasoned(facts: NoteFacts) -> str:
    needs = facts.note.decision in (Decision.CHANGES_REQUESTED, Decision.REJECTED, Decision.WITHHOLD)
    if needs and not facts.note.reason:
        return f"{facts.job}: {facts.note.decision} needs a reason: say it in the message (-m)"
    return ""


def _named_outputs(facts: NoteFacts) -> str:
    decision, named = facts.note.decision, facts.note.outputs
    must = decision is Decision.RELEASE or (decision is Decision.WITHHOLD and named is not None)
    if must and facts.state is State.HELD and named != facts.outputs:
        return (
            f"the {decision} names outputs {(facts.note.outputs or 'nothing')[:12]}, but what waits is"
            f" {(facts.outputs or 'nothing')[:12]}: look again with gitqueue outputs {facts.job}"
        )
    return ""


def _named_files(facts: NoteFacts) -> str:
    named = facts.note.files
    if named is None:
        return ""
    if facts.note.decision is not Decision.RELEASE:
        return f"{facts.job}: Files goes with release alone"
    unknown = [path for path in named if facts.held is not None and path not in facts.held]
    return f"the release names {unknown[0]!r}, which does not wait: gitqueue outputs {facts.job}" if unknown else ""


def _named_attempt(facts: NoteFacts) -> str:
    """A rerun says which run it follows, so that it cannot be counted for a later one."""
    if (
        facts.note.decision is not Decision.RERUN
        or facts.state not in RERUNNABLE
        or facts.note.attempt == facts.attempt
    ):
        return ""
    named = f"names attempt {facts.note.attempt}" if facts.note.attempt else "names no attempt"
    how = f"gitqueue rerun {facts.job}, or --trailer Attempt={facts.attempt}"
    return f"the rerun {named}, but what ended is attempt {facts.attempt}: {how}"


_NOTE: tuple[Callable[[NoteFacts], str], ...] = (
    _dated,
    _present,
    _role,
    _in_time,
    _reasoned,
    _named_outputs,
    _named_attempt,
    _named_files,
)
