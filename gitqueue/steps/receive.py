"""Receive: judge a push whole, before any ref of it moves. Every reason is reported at once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from gitqueue import refs
from gitqueue.adapters.git import list_refs
from gitqueue.adapters.history import History, SiteView
from gitqueue.adapters.objects import Objects
from gitqueue.adapters.queue import Queue
from gitqueue.errors import GitqueueError
from gitqueue.model import RefMove
from gitqueue.refs import JobId, Kind, Ref
from gitqueue.rules import lifecycle, submission
from gitqueue.rules.authority import Change, Movement, Note, NoteFacts, judge_movement, judge_note
from gitqueue.rules.chain import judge_link, judge_request
from gitqueue.rules.lifecycle import State

MOST_REFS = 50
_MOST_NOTES = 50


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says of one push: all reasons against it, or what to answer when it moved."""

    reasons: tuple[str, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Gate:
    """The site as the gate sees it: its history with the pushed objects, where the vault is, and the time."""

    history: History
    vault: Path
    now: float

    @property
    def objects(self) -> Objects:
        return self.history.objects

    @cached_property
    def queue(self) -> Queue:
        return Queue(self.history)

    @property
    def approved(self) -> str:
        return self.queue.approved


def judge(gate: Gate, moves: Sequence[RefMove]) -> Verdict:
    """Judge every ref of a push. One reason anywhere refuses all of it."""
    if len(moves) > MOST_REFS:
        return Verdict((f"the push moves {len(moves)} refs at once; {MOST_REFS} are allowed",), ())
    reasons: list[str] = []
    answers: list[str] = []
    for move in moves:
        try:
            said = _judge_move(gate, move)
        except (GitqueueError, ValueError) as error:
            said = Verdict(getattr(error, "reasons", (str(error),)), ())
        reasons += said.reasons
        answers += said.answers
    return Verdict(tuple(dict.fromkeys(reasons)), () if reasons else tuple(answers))


def _judge_move(gate: Gate, move: RefMove) -> Verdict:
    ref = refs.parse(move.name)
    refused = judge_movement(Movement(move, ref, _change(gate, move)))
    if refused or ref is None or move.new is None:
        return Verdict((refused,), ())
    if not gate.objects.is_commit(move.new):
        return Verdict((f"{move.name} would not be a commit",), ())
    return _BY_KIND[ref.kind](gate, ref, move.old, move.new)


def _change(gate: Gate, move: RefMove) -> Change:
    if move.new is None:
        return Change.DELETE
    if move.old is None:
        return Change.CREATE
    ref = refs.parse(move.name)
    if ref is None or ref.kind is Kind.REQUEST or not gate.objects.is_commit(move.new):
        return Change.FORWARD  # a request may be rewound, and what is no ref of ours is refused by its name
    return Change.FORWARD if gate.objects.descends(move.new, move.old) else Change.REWIND


# approved


def _judge_approved(gate: Gate, _: Ref, old: str | None, new: str) -> Verdict:
    reasons: list[str] = []
    answers: list[str] = []
    clock = gate.objects.commit(old).date if old else 0
    for link in gate.history.links(old, new, clock, gate.now):
        request = link.request
        tip = gate.objects.ref(refs.request(request.job)) if request else None
        spent = frozenset({request.job} if request and _claimed(gate, request.job) else ())
        removes = not link.is_approval and any(path.startswith("jobs/") for path in link.changes)
        unfinished = frozenset(_unfinished(gate)) if removes else frozenset()
        reasons += judge_link(replace(link, tip=tip, spent=spent, unfinished=unfinished, now=gate.now))
        answers += _answer(request.job, State.APPROVED) if request else ("the site has changed",)
    return Verdict(tuple(reasons), tuple(answers))


def _claimed(gate: Gate, job: JobId) -> bool:
    return bool(list_refs(gate.vault, f"refs/claims/{job}"))


def _unfinished(gate: Gate) -> Iterator[JobId]:
    """Jobs that still have a request and no final result: their folders must stay."""
    for ref in gate.queue.refs(Kind.REQUEST):
        if ref.job is not None and gate.queue.job(ref.job).state not in lifecycle.FINAL_RUNS:
            yield ref.job


# requests


def _judge_request(gate: Gate, ref: Ref, old: str | None, new: str) -> Verdict:
    job, approved = _job(ref), gate.approved
    site = gate.history.site(approved)
    if gate.objects.at(gate.objects.commit(approved).tree, job.folder) is not None or _claimed(gate, job):
        return Verdict((f"{job} was approved and takes nothing more: changed code is a new job, with a new name",), ())
    request = gate.history.request(job, new, approved, gate.history.people(approved), gate.now)
    reasons = [*judge_request(request), *_quota(gate, job, site, old)]
    if request.folder is not None:
        files, refused = gate.history.files(request.folder, site.policy)
        reasons += refused or submission.judge(files, job, site.policy, site.datasets)
    return Verdict(tuple(reasons), () if reasons else tuple(_answer(job, State.PENDING)))


def _quota(gate: Gate, job: JobId, site: SiteView, old: str | None) -> Iterator[str]:
    """Open requests per requester: a new one is refused when too many wait."""
    if old is not None:
        return
    waiting = sum(known.state in lifecycle.OPEN for known in gate.queue.jobs(job.requester))
    if waiting >= site.policy.requests.open:
        yield f"{job.requester} has {waiting} open requests; {site.policy.requests.open} are allowed: cancel one first"


# reviews


def _judge_review(gate: Gate, ref: Ref, old: str | None, new: str) -> Verdict:
    id_, people = _job(ref), gate.history.people(gate.approved)
    said = gate.history.thread(new, people, old, gate.now)
    if len(said) > _MOST_NOTES:
        return Verdict((f"the push holds {len(said)} review commits; {_MOST_NOTES} are allowed",), ())
    job = gate.queue.job(id_)
    request = gate.history.request(id_, job.revision, gate.approved, people) if job.revision else None
    signers = request.signers if request else frozenset()
    outputs = job.result.outputs if job.result else None
    facts = [NoteFacts(note, id_, job.state, job.revision, signers, outputs) for note in reversed(said)]
    reasons = tuple(reason for fact in facts for reason in judge_note(fact))
    return Verdict(reasons, tuple(_answer_note(said[0], id_)) if said and not reasons else ())


def _answer_note(note: Note, job: JobId) -> Iterator[str]:
    who = note.signed.signer.name if note.signed.signer else "?"
    yield f"{job}: {who} said {note.decision}"
    yield f"follow: git fetch && git log origin/reviews/{job}"


def _answer(job: JobId, state: State) -> Iterator[str]:
    yield f"{job} is {state}"
    yield f"next: {lifecycle.next_step(state)}"
    kind = "reviews" if state is State.PENDING else "results"
    yield f"follow: git fetch && git log origin/{kind}/{job}"


def _job(ref: Ref) -> JobId:
    if ref.job is None:
        raise GitqueueError(f"{ref} names no job")
    return ref.job


_BY_KIND: Mapping[Kind, Callable[[Gate, Ref, str | None, str], Verdict]] = {
    Kind.APPROVED: _judge_approved,
    Kind.REQUEST: _judge_request,
    Kind.REVIEW: _judge_review,
}
