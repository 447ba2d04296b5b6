"""Verify: replay the chain from its pinned root, and hold results against it. The runner, and anybody offline."""

from dataclasses import replace
from itertools import pairwise

from gitqueue.adapters.history import History
from gitqueue.adapters.queue import Job, Queue
from gitqueue.errors import GitqueueError, Tampered
from gitqueue.model import Commit
from gitqueue.refs import JobId
from gitqueue.rules import provenance
from gitqueue.rules.authority import RUNNER
from gitqueue.rules.chain import Approval, Chain, Link, judge_link


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
        provenance.agree(held, str(job.id))
