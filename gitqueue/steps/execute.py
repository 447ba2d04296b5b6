"""Execute: claim an approved job, make its folder, start it, and observe it. At most once per attempt.

The claim in the vault and the creation of the results ref are the lock; both must be absent before. Just before
anything runs, the vault notes that the attempt is begun; one that is not is taken up. What the runner knows of a
running job lies in the job's spool folder, so a new runner finds all of it again.
"""

from dataclasses import dataclass
from pathlib import Path

from gitqueue import refs
from gitqueue.adapters import environment, git, journal, preparation, vault
from gitqueue.adapters.executors import spool
from gitqueue.adapters.premises import Premises
from gitqueue.adapters.queue import Job
from gitqueue.errors import GitqueueError, Tampered
from gitqueue.model import Plan, RefMove
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
    """Take the attempt: lock it in the vault, create the results ref. It is begun later, by `start`, and once.

    False: it was taken before. A claim that was never noted as begun is from a runner that died in between; nothing
    ran, so it is taken up. Raises Tampered where a noted claim's results have gone.
    """
    name = refs.claim(run.job, run.number)
    there = premises.vault.ref(name)
    if there is None:
        with premises.vault.together():
            text, tree = f"claim {run.job}", premises.vault.write_tree(())
            there = premises.vault_commit(tree, [], text, _values(run), now)
        if not git.move_refs(premises.site.vault, [RefMove(name, None, there)]):
            return False
    elif _noted(premises, there):
        _must_stand(premises, run)
        return False
    # At the claim's own time: whatever fails from here on, it is the same commit when it is made again.
    if _announce(premises, run, premises.vault.commit(there).date) is None:
        _note(premises, run, _NEVER, now)
        return False
    return True


_NEVER = "before"  # what stands in the place of a results commit where the run ended, or never was, without a start


def begun(premises: Premises, run: Attempt) -> bool:
    """Whether anything of this attempt may have run, on this machine or on another, by what the vault says: a folder
    that is gone, or was never synced before the power failed, would prove nothing."""
    there = premises.vault.ref(refs.claim(run.job, run.number))
    return there is None or _noted(premises, there)


def _noted(premises: Premises, claimed: str) -> bool:
    return vault.ANNOUNCED in trailers(premises.vault.commit(claimed).message)[1]


def _note(premises: Premises, run: Attempt, results: str, now: float) -> bool:
    """Note in the vault that the attempt is begun, or never will be. False: somebody has noted it before."""
    name = refs.claim(run.job, run.number)
    there = premises.vault.ref(name)
    if there is None or _noted(premises, there):
        return False
    tree, values = premises.vault.commit(there).tree, {**_values(run), vault.ANNOUNCED: results}
    noted = premises.vault_commit(tree, [there], f"begin {run.job}", values, now)
    return git.move_refs(premises.site.vault, [RefMove(name, there, noted)])


def _values(run: Attempt) -> dict[str, object]:
    return {"Job": run.job, "Attempt": run.number, "Approval": run.approval.commit}


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


def start(premises: Premises, run: Attempt, now: float, again: bool = False) -> bool:
    """Make the job's folder and start it; False: somebody else has begun it. Raises GitqueueError where the site or the
    environment is at fault.

    Between the two the vault notes that it is begun, on the disk: a runner that dies before has run nothing, and the
    next one takes the attempt up; after, nobody does. `again`: a start by this very runner came to nothing.
    """
    plan = _prepared(premises, run)
    mine = _note(premises, run, premises.objects.ref(refs.result(run.job)) or _NEVER, now) or again
    if mine:
        premises.executor.start(run.folder, plan)
    return mine


def _prepared(premises: Premises, run: Attempt) -> Plan:
    spool.remove(run.folder)
    run.folder.mkdir(mode=0o711)
    site, host = premises.history.site(run.approval.commit), preparation.of_site(premises)
    code = preparation.judged(premises, run.job, run.approval.folder, site)
    supply = preparation.supply(premises, run.approval.commit, site, code.asked, run.folder)
    return preparation.prepare(run.folder, host, code, site, supply)


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


def over(premises: Premises, run: Attempt, now: float) -> None:
    """Forget the job's folder: what mattered is in the vault. An attempt that ended before it began is spent, too."""
    _note(premises, run, _NEVER, now)
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
