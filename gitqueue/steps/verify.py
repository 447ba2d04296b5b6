"""Verify: replay the chain from its pinned root, and hold results against it. The runner, and anybody offline."""

from dataclasses import replace
from itertools import pairwise

from gitqueue import refs
from gitqueue.adapters import attestation, journal
from gitqueue.adapters.collector import untidied
from gitqueue.adapters.history import History
from gitqueue.adapters.queue import Job, Queue
from gitqueue.errors import GitqueueError, Tampered
from gitqueue.model import Commit
from gitqueue.refs import JobId, Kind
from gitqueue.rules.authority import RUNNER
from gitqueue.rules.chain import Approval, Chain, Link, judge_link
from gitqueue.rules.journal import Told, replay


class Broken(Tampered):
    """A commit on `approved` that the rules do not allow; `chain` is what holds below it."""

    def __init__(self, commit: str, chain: Chain, *reasons: str) -> None:
        super().__init__(*reasons)
        self.commit = commit
        self.chain = chain


def extend(history: History, chain: Chain, root: str, tip: str) -> Chain:
    """The chain, verified on from where it was up to `tip`. Raises Broken at the first commit that does not hold."""
    replay = _Replay(chain, root)
    try:
        with untidied:
            for link in history.links(chain.tip, tip, chain.clock):
                replay.add(link)
    except Broken:
        raise
    except GitqueueError as error:
        raise Broken(tip, replay.chain(), *error.reasons) from error
    return replay.chain()


class _Replay:
    """A chain that grows while it holds."""

    def __init__(self, chain: Chain, root: str) -> None:
        self._root = root
        self._tip, self._clock = chain.tip, chain.clock
        self._approvals, self._spent = list(chain.approvals), set(chain.spent)

    def chain(self) -> Chain:
        return Chain(self._tip, self._clock, tuple(self._approvals), frozenset(self._spent))

    def add(self, link: Link) -> None:
        commit, request, signer = link.signed.commit, link.request, link.signed.signer
        if link.previous is None and commit.id != self._root:
            raise self._broken(commit.id, f"the chain starts at {commit.id}, not at the pinned root {self._root}")
        faults = judge_link(replace(link, spent=self._spent))
        if faults:
            raise self._broken(commit.id, *faults)
        self._tip, self._clock = commit.id, max(self._clock, commit.date)
        if request is not None and request.folder is not None and signer is not None:
            approval = Approval(request.job, commit.id, request.tip, request.folder, signer.name, commit.date)
            self._approvals.append(approval)
            self._spent.add(request.job)

    def _broken(self, commit: str, *reasons: str) -> Broken:
        return Broken(commit, self.chain(), *reasons)


# results


def results(queue: Queue, job: Job, chain: Chain) -> JobId:
    """Hold a job's results against the chain. Raises Tampered, naming the first thing that is wrong."""
    if job.fault:
        raise Tampered(f"{job.id}: {job.fault}")
    commits = list(queue.run(job))
    for newer, older in pairwise(commits):
        if newer.parents != (older.id,):
            raise Tampered(f"{job.id}: results commit {newer.id[:12]} does not follow {older.id[:12]}")
    approval = next((one for one in chain.approvals if one.job == job.id), None)
    if approval is None or not commits or commits[-1].parents != (approval.commit,):
        raise Tampered(f"{job.id}: its results do not stand on an approval of the chain")
    for commit in commits:
        _runners_and_nothing_else(queue, job, commit, approval)
    return job.id


def _runners_and_nothing_else(queue: Queue, job: Job, commit: Commit, approval: Approval) -> None:
    signed = queue.history.signed(commit.id, queue.people)
    if signed.signer is None or not signed.signer.has(RUNNER):
        raise Tampered(f"{job.id}: results commit {commit.id[:12]} {signed.fault or 'is not signed by a runner'}")
    before = queue.objects.commit(approval.commit).tree
    strange = [path for path in queue.objects.changes(before, commit.tree, 3) if path != job.id.results_folder]
    if strange:
        raise Tampered(f"{job.id}: results commit {commit.id[:12]} changes {strange[0]!r}, too")
    folder = queue.objects.at(commit.tree, job.id.results_folder)
    if folder is not None:
        held = {path: queue.objects.blob(entry.id) for path, entry in queue.objects.files(folder.id)}
        attestation.believe(held, str(job.id), queue.people, commit.date)


# the audit


def audit(queue: Queue, chain: Chain, root: str, seen: str | None) -> int:
    """Replay the audit and hold it against the refs; how many entries. Raises Tampered at the first that is wrong.

    `seen` is an audit tip that this clone knows from before: the audit must go on from it.
    """
    tip = queue.ref(refs.AUDIT)
    if tip is None:
        if seen is not None:
            raise Tampered(f"the audit has gone; it stood at {seen[:12]}")
        return 0
    if seen is not None and not (queue.objects.has(seen) and queue.objects.descends(tip, seen)):
        raise Tampered(f"the audit at {tip[:12]} does not go on from {seen[:12]}, where it stood before")
    entries = list(journal.read(queue.objects, tip))[::-1]
    people = queue.people
    for commit, _ in entries:
        signed = queue.history.signed(commit, people)
        if signed.signer is None or not signed.signer.has(RUNNER):
            raise Tampered(f"audit commit {commit[:12]} {signed.fault or 'is not signed by a runner'}")
    told = replay(entries, {refs.APPROVED: root})
    if told.fault:
        raise Tampered(told.fault)
    _agree(queue, told, chain)
    return len(entries)


def _agree(queue: Queue, told: Told, chain: Chain) -> None:
    """The refs stand where the audit says, or further: it may be a moment behind, never ahead or elsewhere."""
    now = {str(ref): tip for ref, tip in queue.refs(Kind.RESULT, Kind.REVIEW).items()}
    now[refs.APPROVED] = chain.tip or ""
    for job in queue.archived().values():  # closed a moment ago, and the audit does not tell yet
        now = {**job.tips, **now}
    for name, tip in told.tips.items():
        ref = refs.parse(name)
        if tip is None or ref is None or ref.kind is Kind.REQUEST:
            continue  # a request may be rewound, by its requester and by gc
        there = now.get(name)
        if there is None or not (queue.objects.has(tip) and queue.objects.descends(there, tip)):
            stands = there[:12] if there else "nowhere"
            raise Tampered(f"{name} stands {stands}, but the audit says {tip[:12]}")
