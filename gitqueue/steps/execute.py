"""Execute: claim an approved job, make its folder, start it, and observe it. At most once per attempt.

The claim in the vault and the creation of the results ref are the lock; both must be absent before. What the runner
knows of a running job lies in the job's spool folder, so a new runner finds all of it again.
"""

from dataclasses import dataclass
from pathlib import Path

from gitqueue import refs
from gitqueue.adapters import environment, git, journal, preparation, vault
from gitqueue.adapters.executors import spool
from gitqueue.adapters.premises import Premises
from gitqueue.adapters.queue import Job
from gitqueue.errors import GitqueueError, Tampered
from gitqueue.model import RefMove
from gitqueue.refs import JobId
from gitqueue.rules.authority import OWNER
from gitqueue.rules.chain import Approval
from gitqueue.rules.journal import Entry, Event
from gitqueue.rules.lifecycle import Decision, Reason, State
from gitqueue.rules.notes import ResultText, public, trailers


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at one approved job, and where it lives while it runs."""

    approval: Approval
    number: int
    folder: Path

    @property
    def job(self) -> JobId:
        return self.approval.job


def attempt(premises: Premises, approval: Approval, number: int = 1) -> Attempt:
    # No name holds a `+`, so the folder's name reads back as one attempt and no other.
    name = f"{approval.job.requester}+{approval.job.name}+{number}"
    return Attempt(approval, number, premises.site.spool / name)


# claim


def claim(premises: Premises, run: Attempt, now: float) -> bool:
    """Take the attempt, whole: lock it in the vault, create the results ref, note in the vault that this was done.

    False: it was taken before. A claim that was never noted is from a runner that died in between; nothing ran, so it
    is taken up. Raises Tampered where a noted claim's results have gone.
    """
    name = refs.claim(run.job, run.number)
    there = premises.vault.ref(name)
    values = {"Job": run.job, "Attempt": run.number, "Approval": run.approval.commit}
    if there is None:
        with premises.vault.together():
            there = premises.vault_commit(premises.vault.write_tree(()), [], f"claim {run.job}", values, now)
        if not git.move_refs(premises.site.vault, [RefMove(name, None, there)]):
            return False
    elif vault.ANNOUNCED in trailers(premises.vault.commit(there).message)[1]:
        _must_stand(premises, run)
        return False
    # At the claim's own time: whatever fails from here on, it is the same commit when it is made again.
    results = _announce(premises, run, premises.vault.commit(there).date)
    tree = premises.vault.commit(there).tree
    noted = premises.vault_commit(
        tree, [there], f"announce {run.job}", {**values, vault.ANNOUNCED: results or "before"}, now
    )
    return git.move_refs(premises.site.vault, [RefMove(name, there, noted)]) and results is not None


def _announce(premises: Premises, run: Attempt, now: float) -> str | None:
    """Put the claim on the results ref: the first creates it on top of the approval, a further one stands on how the
    attempt before ended. None where the ref stands elsewhere already. Raises Tampered where it does at the forge:
    nothing runs before people can see that it does."""
    approval = premises.objects.commit(run.approval.commit)
    former = premises.queue.job(run.job) if run.number > 1 else None
    if former and (
        former.result is None or former.result.attempt != run.number - 1 or former.state is not State.APPROVED
    ):
        return None
    old = former.results if former else None
    if premises.objects.ref(refs.result(run.job)) != old:
        return None
    text = ResultText(State.RUNNING, run.number).message(run.job)
    commit = premises.commit(premises.objects, approval.tree, [old or approval.id], text, now)
    move = RefMove(refs.result(run.job), old, commit)
    journal.leave(premises.site.inbox, Entry(Event.CLAIM, int(now), "runner", job=str(run.job), moves=(move,)))
    if premises.publish(move) or premises.objects.ref(move.name) == commit:
        return commit
    if premises.forge is None or premises.objects.ref(move.name) != old:
        return None
    raise Tampered(
        f"{move.name} is at the forge already, and this runner did not put it there: {run.job} does not run",
        step="is there a second runner? If not, take the branch away at the forge, and it runs",
    )


def _must_stand(premises: Premises, run: Attempt) -> None:
    if premises.objects.ref(refs.result(run.job)) is None:
        raise Tampered(
            f"{run.job} ran, but its branch {refs.result(run.job)} has gone: it is not run again",
            step=f"put the branch back from a clone; the vault's claim is {refs.claim(run.job, run.number)}",
        )


# prepare and start


def start(premises: Premises, run: Attempt) -> None:
    """Make the job's folder and start it. Raises GitqueueError where the site or the environment is at fault."""
    spool.remove(run.folder)
    run.folder.mkdir(mode=0o711)
    site, host = premises.history.site(run.approval.commit), preparation.of_site(premises)
    code = preparation.judged(premises, run.job, run.approval.folder, site)
    supply = preparation.supply(premises, run.approval.commit, site, code.asked, run.folder)
    premises.executor.start(run.folder, preparation.prepare(run.folder, host, code, site, supply))


# observe


def stop_wanted(job: Job) -> bool:
    """Whether the requester or an owner has cancelled this very revision, and no owner has said `rerun` since."""
    for note in reversed(job.decided):
        signer = note.signed.signer
        if note.decision is Decision.RERUN:
            return False
        if note.decision is Decision.CANCEL and signer and (signer.name == job.id.requester or signer.has(OWNER)):
            return True
    return False


def remove(run: Attempt) -> None:
    """Forget the job's folder: what mattered is in the vault."""
    spool.remove(run.folder)


def sweep(premises: Premises) -> None:
    """Remove the folders that a killed runner no longer came to remove: the refs tell that their runs are over."""
    folders = list(premises.site.spool.glob("*+*+*"))
    for folder, standing in premises.executor.standings(folders).items():
        requester, name, number = folder.name.split("+")
        found = premises.queue.job(JobId(requester, name)).result
        over = found is not None and (found.state is not State.RUNNING or found.attempt > int(number))
        if over and standing != "running":
            spool.remove(folder)


def unstarted(error: GitqueueError, number: int) -> ResultText:
    """How an attempt ends that could not start: by the site's fault, which is the operator's to read and mend.

    Or by the requester's own: their requirements are no environment. Nothing has met data yet, so the reason is told.
    """
    if isinstance(error, environment.Unbuildable):
        said = "; ".join([*error.reasons, *([f"next: {error.step}"] if error.step else [])])
        return ResultText(State.FAILED, number, Reason.EXIT, said=public(said))
    return ResultText(State.FAILED, number, Reason.SITE)


def why(error: GitqueueError) -> str:
    """What the vault's log says of a run that could not start."""
    return "\n".join(error.lines())
