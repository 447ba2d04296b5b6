"""Receive: judge a push whole, before any ref of it moves. Every reason is reported at once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from gitqueue import refs
from gitqueue.adapters import vault
from gitqueue.adapters.history import History, SiteView
from gitqueue.adapters.objects import Objects
from gitqueue.adapters.queue import Queue
from gitqueue.errors import GitqueueError
from gitqueue.model import RefMove
from gitqueue.refs import JobId, Kind, Ref
from gitqueue.rules import answer, lifecycle, submission
from gitqueue.rules.access import Sender, judge_sending
from gitqueue.rules.answer import Standing
from gitqueue.rules.authority import OWNER, Change, Movement, Note, NoteFacts, judge_movement, judge_note
from gitqueue.rules.chain import Link, Proposal, judge_link, judge_proposal, judge_request
from gitqueue.rules.lifecycle import Decision, State

_MOST_NOTES = 50
_MOST_REASONS = 60


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says of one push: all reasons against it, or what to answer when it moved."""

    reasons: tuple[str, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Gate:
    """The site as the gate sees it: its history with the pushed objects, where the vault is, and the time.

    `open`: how many requests of a requester wait, with those of this push that were judged already. `pushed`: where it
    would put requests: what it says of them at once is said of these revisions.
    `sender`: whose ssh connection it came by; None by the site's own account.
    """

    history: History
    vault: Path
    now: float
    open: dict[str, int] = field(default_factory=dict)
    pushed: dict[JobId, str] = field(default_factory=dict)
    sender: Sender | None = None

    @property
    def objects(self) -> Objects:
        return self.history.objects

    @cached_property
    def queue(self) -> Queue:
        return Queue(self.history)

    @cached_property
    def claims(self) -> Objects:
        return Objects(self.vault)

    @property
    def approved(self) -> str:
        return self.queue.approved


def judge(gate: Gate, moves: Sequence[RefMove]) -> Verdict:
    """Judge every ref of a push. One reason anywhere refuses all of it."""
    if len(moves) > submission.MOST_REFS:
        return Verdict((f"the push moves {len(moves)} refs at once; {submission.MOST_REFS} are allowed",), ())
    if len(moves) > 1 and any(move.name == refs.APPROVED for move in moves):
        return Verdict(("approved moves by a push of its own, or what moves with it would be judged too early",), ())
    reasons: list[str] = []
    answers: list[str] = []
    gate.pushed.update({ref.job: move.new for move in moves if move.new and (ref := _request(move)) and ref.job})
    for move in moves:
        try:
            said = _judge_move(gate, move)
        except (GitqueueError, ValueError) as error:
            said = Verdict(getattr(error, "reasons", (str(error),)), ())
        reasons += said.reasons
        answers += said.answers
    return Verdict(_few(list(dict.fromkeys(reasons))), () if reasons else tuple(answers))


def _request(move: RefMove) -> Ref | None:
    ref = refs.parse(move.name)
    return ref if ref is not None and ref.kind is Kind.REQUEST else None


def _few(reasons: list[str]) -> tuple[str, ...]:
    if len(reasons) <= _MOST_REASONS:
        return tuple(reasons)
    return (*reasons[:_MOST_REASONS], f"and {len(reasons) - _MOST_REASONS} more reasons")


def _judge_move(gate: Gate, move: RefMove) -> Verdict:
    ref = refs.parse(move.name)
    refused = judge_movement(Movement(move, ref, _change(gate, move)))
    if refused or ref is None or move.new is None:
        return Verdict((refused,), ())
    if not gate.objects.is_commit(move.new):
        return Verdict((f"{move.name} would not be a commit",), ())
    sent, said = judge_sending(gate.sender, ref), _BY_KIND[ref.kind](gate, ref, move.old, move.new)
    return Verdict((sent, *said.reasons), ()) if sent else said


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
    answers: list[str] = []
    clock = gate.objects.commit(old).date if old else 0
    for link in gate.history.links(old, new, clock, gate.now):
        request = link.request
        tip = gate.objects.ref(refs.request(request.job)) if request else None
        spent = frozenset({request.job} if request and _claimed(gate, request.job) else ())
        unfinished = frozenset() if link.is_approval else frozenset(_unfinished(gate, link))
        reasons = judge_link(replace(_as_known(gate, link), tip=tip, spent=spent, unfinished=unfinished, now=gate.now))
        if not reasons and request and request.folder:
            reasons = _file_faults(gate, link, request.job, request.folder)
        if reasons:  # what stands on a commit that does not count, is judged by nobody's rules
            return Verdict(reasons, ())
        answers += _answer(request.job, State.APPROVED) if request else ("the site has changed",)
    return Verdict((), tuple(answers))


def _as_known(gate: Gate, link: Link) -> Link:
    """With what only the site knows: whether the proposal is a request, and whether all that was said was merged."""
    merged = link.signed.commit.parents[1:2]
    if link.request is not None:
        said = gate.objects.ref(refs.review(link.request.job))
        return replace(link, unheard=said is not None and [said] != list(merged))
    if link.proposal is None:
        return link
    revision = link.proposal.signed.commit.id
    found = gate.queue.refs(Kind.REQUEST).items()
    jobs = [ref.job for ref, tip in found if ref.job and ref.job.requester == link.proposal.author and tip == revision]
    said = next((tip for job in jobs if (tip := gate.objects.ref(refs.review(job)))), None)
    unheard = said is not None and [said] != list(merged)
    return replace(link, proposal=replace(link.proposal, known=bool(jobs)), unheard=unheard)


def _file_faults(gate: Gate, link: Link, job: JobId, folder: str) -> tuple[str, ...]:
    """The policy of the first parent judges the files: it may have changed since the request came."""
    site = gate.history.site(link.previous or gate.approved)
    files, refused = gate.history.files(folder, site.policy)
    return tuple(f"{job}: {why}" for why in refused or submission.judge(files, job, site.policy, site.datasets))


def _claimed(gate: Gate, job: JobId) -> bool:
    """Whether it was ever begun: the first attempt is always number 1, and its claim is never deleted."""
    return gate.claims.ref(refs.claim(job, 1)) is not None


def _unfinished(gate: Gate, link: Link) -> Iterator[JobId]:
    """Jobs whose folders must stay. One that was cancelled before it ran has no claim, and its folder alone tells that
    its name is used."""
    for path, (_, after) in link.changes.items():
        if path.startswith("jobs/") and path.count("/") == 2 and after is None:
            job = refs.job_id(path.removeprefix("jobs/"))
            if gate.queue.job(job).state not in lifecycle.FINAL_RUNS or not _claimed(gate, job):
                yield job


# requests


def _judge_request(gate: Gate, ref: Ref, old: str | None, new: str) -> Verdict:
    job, approved = _job(ref), gate.approved
    site = gate.history.site(approved)
    if gate.objects.holds(gate.objects.commit(approved).tree, job.folder) or _claimed(gate, job):
        return Verdict((f"{job} was approved and takes nothing more: changed code is a new job, with a new name",), ())
    proposal = _proposal(gate, job, new)
    if proposal is not None:
        return proposal
    request = gate.history.request(job, new, approved, gate.history.people(approved), gate.now)
    reasons = [*judge_request(request), *_quota(gate, job, site, old)]
    if request.folder is not None:
        files, refused = gate.history.files(request.folder, site.policy)
        reasons += refused or submission.judge(files, job, site.policy, site.datasets)
    return Verdict(tuple(reasons), () if reasons else tuple(_answer(job, State.PENDING)))


def _proposal(gate: Gate, job: JobId, new: str) -> Verdict | None:
    """The verdict on a request that is a site change, None where it is a job: one that holds a folder of jobs."""
    commit = gate.objects.commit(new)
    before = gate.objects.commit(gate.approved).tree
    changed = gate.objects.changes(before, commit.tree, 3)
    if len(commit.parents) != 1 or not changed or any(path.split("/")[0] == "jobs" for path in changed):
        return None
    signed = gate.history.signed(new, gate.history.people(gate.approved), gate.now)
    if signed.signer is None or not signed.signer.has(OWNER):
        return None  # who is no owner is told what a request is
    owners = gate.history.site(gate.approved).policy.approvals
    reasons = list(judge_proposal(Proposal(signed), gate.approved, owners))
    if signed.signer.name != job.requester:
        reasons.append(
            f"commit {new[:12]} is {signed.signer.name}'s: push it to requests/{signed.signer.name}/{job.name}"
        )
    reasons += gate.history.site_faults(new, gate.now) if not reasons else ()
    answers = (f"{job} is pending: a site change", f"next: it needs the word of {owners} owners", _follow(job))
    return Verdict(tuple(reasons), () if reasons else answers)


def _follow(job: JobId) -> str:
    return f"follow: git fetch && git log origin/reviews/{job}"


def _quota(gate: Gate, job: JobId, site: SiteView, old: str | None) -> Iterator[str]:
    """Open requests per requester: a new one is refused when too many wait."""
    if old is not None:
        return
    if job.requester not in gate.open:
        gate.open[job.requester] = sum(known.state in lifecycle.OPEN for known in gate.queue.jobs(job.requester))
    waiting = gate.open[job.requester]
    gate.open[job.requester] += 1
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
    named = outputs and any(note.files for note in said)
    held = frozenset(vault.waiting(gate.vault, outputs)) if outputs and named else None
    tip = gate.pushed.get(id_, job.revision)
    facts = [
        NoteFacts(note, id_, job.state, tip, signers, outputs, gate.now, held, job.attempt) for note in reversed(said)
    ]
    newest = said[0].signed.signer if said else None
    sent = judge_sending(gate.sender, ref, newest.name if newest else None)
    reasons = (*(reason for fact in facts for reason in judge_note(fact)), *([sent] if sent else []))
    if reasons or not said:
        return Verdict(reasons, ())
    needed = gate.history.site(gate.approved).policy.approvals
    after = replace(job, revision=tip, notes=(*job.notes, *reversed(said)))
    standing = Standing(id_, after.state, after.decided, signers, outputs, needed)
    return Verdict((), tuple(_answer_note(said[0], id_, answer.after(said[0], standing))))


def _answer_note(note: Note, job: JobId, then: str) -> Iterator[str]:
    who = note.signed.signer.name if note.signed.signer else "?"
    yield f"{job}: {who} said {note.decision}"
    yield f"next: {then}"
    ran = note.decision in (Decision.RELEASE, Decision.WITHHOLD, Decision.RERUN)
    yield f"follow: git fetch && git log origin/{'results' if ran else 'reviews'}/{job}"


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
