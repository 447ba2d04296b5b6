"""Trial: run a request on the real data before it is approved, as its owners signed; all that it leaves stays in the
vault. At most once per decision: the claim in the vault comes before the run, and is never taken back."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gitqueue import refs
from gitqueue.adapters import git, journal, preparation, remains, vault
from gitqueue.adapters.executors import spool
from gitqueue.adapters.premises import Premises
from gitqueue.adapters.queue import Job
from gitqueue.errors import GitqueueError, Tampered
from gitqueue.model import RefMove
from gitqueue.refs import JobId
from gitqueue.rules import trial as rules
from gitqueue.rules.authority import BEFORE_APPROVAL
from gitqueue.rules.journal import Entry, Event
from gitqueue.rules.trial import Trial


@dataclass(frozen=True, slots=True)
class Watch:
    """`moot`: the run is to be ended; `leave`: the runner goes, and the run stays: the next runner finds it."""

    moot: Callable[[], bool]
    leave: Callable[[], bool]


def wanted(premises: Premises, job: Job) -> Trial | None:
    """The next trial of a job that is to be begun, or was begun and is not in the vault yet."""
    if job.revision is None:
        return None
    people = premises.queue.people
    signers = premises.history.request(job.id, job.revision, premises.queue.approved, people).signers
    needed = premises.history.site(premises.queue.approved).policy.approvals
    for one in rules.trials(job.id, job.notes, signers, needed):
        claimed = premises.vault.ref(refs.trial(job.id, one.decision)) is not None
        if claimed and vault.find(premises.vault, job.id, {vault.TRIAL: one.decision}) is None:
            return one
        if not claimed and one.revision == job.revision and job.state in BEFORE_APPROVAL:
            return one
    return None


def attempt(premises: Premises, job: Job, wish: Trial, watch: Watch) -> str:
    """Begin a trial, or go on with one that was begun, to its end; how it ended, "" where the runner left before.

    Raises Tampered for code that the gate would refuse.
    """
    folder = _folder(premises, job, wish)
    if _claim(premises, job, wish):
        try:
            _start(premises, job, wish, folder)
        except GitqueueError as error:
            return _keep(premises, job, wish, {"log": "\n".join(error.lines()).encode()}, "site-fault")
    if not _over(premises, folder, watch):
        return ""
    try:
        if premises.executor.standings([folder])[folder] != "ended":
            left = {"log": b"the run ended without a word: the machine or its supervisor was killed"}
            return _keep(premises, job, wish, left, "interrupted")
        ended = remains.ended(folder)
        preparation.keep_indexes(premises, folder)
        flags = remains.flags(folder, ended, premises.history.site(premises.queue.approved).policy.outputs)
        left = {**remains.left(folder), "flags.json": remains.flags_text(flags)}
        return _keep(premises, job, wish, left, ended.reason or "ran")
    finally:
        spool.remove(folder)


def sweep(premises: Premises) -> None:
    """Remove the folders that a killed runner no longer came to remove: the vault has what was in them."""
    folders = list(premises.site.spool.glob("try-*-*+*"))
    for folder, standing in premises.executor.standings(folders).items():
        _, decision, rest = folder.name.split("-", 2)
        requester, _, name = rest.partition("+")
        if standing != "running" and not _open(premises, JobId(requester, name), decision):
            spool.remove(folder)


def _open(premises: Premises, job: JobId, decision: str) -> bool:
    """Whether a claimed trial has not come to the vault yet. `decision`: how its commit's id begins."""
    claims = (name.rpartition("/")[2] for name in git.list_refs(premises.site.vault, refs.trial(job, "")))
    claimed = [one for one in claims if one.startswith(decision)]
    return any(vault.find(premises.vault, job, {vault.TRIAL: one}) is None for one in claimed)


def _folder(premises: Premises, job: Job, wish: Trial) -> Path:
    return premises.site.spool / f"try-{wish.decision[:16]}-{job.id.requester}+{job.id.name}"


def _claim(premises: Premises, job: Job, wish: Trial) -> bool:
    name = refs.trial(job.id, wish.decision)
    if premises.vault.ref(name) is not None:
        return False
    who = ", ".join(sorted(wish.by))
    entry = Entry(Event.TRIED, int(time.time()), "runner", job=str(job.id), reasons=(f"{who} signed {wish.decision}",))
    journal.leave(premises.site.inbox, entry)
    values = {"Job": job.id, vault.TRIAL: wish.decision, "Revision": wish.revision}
    tree = premises.vault.write_tree(())
    claim = premises.vault_commit(tree, [], f"claim a trial of {job.id}", values, time.time())
    return git.move_refs(premises.site.vault, [RefMove(name, None, claim)])


def _start(premises: Premises, job: Job, wish: Trial, folder: Path) -> None:
    site, host = premises.history.site(premises.queue.approved), preparation.of_site(premises)
    tree = premises.objects.at(premises.objects.commit(wish.revision).tree, job.id.folder)
    if tree is None:
        raise Tampered(f"revision {wish.revision[:12]} holds no {job.id.folder}")
    code = preparation.judged(premises, job.id, tree.id, site)
    folder.mkdir(mode=0o711)
    supply = preparation.supply(premises, premises.queue.approved, site, code.asked, folder)
    premises.executor.start(folder, preparation.prepare(folder, host, code, site, supply))


def _over(premises: Premises, folder: Path, watch: Watch) -> bool:
    """Wait for its end; False where the runner goes before."""
    while premises.executor.standings([folder])[folder] == "running":
        if watch.leave():
            return False
        if watch.moot():
            premises.executor.cancel(folder)
        time.sleep(premises.executor.PAUSE)
    return True


def _keep(premises: Premises, job: Job, wish: Trial, left: dict[str, bytes], outcome: str) -> str:
    tree = premises.objects.at(premises.objects.commit(wish.revision).tree, job.id.folder)
    # `Chain` proves later that this was there before the approval: the approval is not among what had come by then.
    more = {
        "Revision": wish.revision,
        "Code": tree.id if tree else None,
        "By": " ".join(sorted(wish.by)),
        "Outcome": outcome,
        "Chain": premises.queue.approved,
    }
    vault.keep(premises, job.id, {vault.TRIAL: wish.decision, **more}, left, time.time())
    return outcome
