"""Execute: claim an approved job, make its folder, start it, and observe it. At most once per attempt.

The claim in the vault and the creation of the results ref are the lock; both must be absent before. What the runner
knows of a running job lies in the job's spool folder, so a new runner finds all of it again.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gitqueue import refs
from gitqueue.adapters import data, environment, git, journal, resources
from gitqueue.adapters.files import ended, lay_out, write_atomic
from gitqueue.adapters.history import SiteView
from gitqueue.adapters.premises import Premises
from gitqueue.adapters.queue import Job
from gitqueue.errors import GitqueueError, OperatorNeeded, Tampered
from gitqueue.model import PROGRAM, RefMove
from gitqueue.refs import JobId
from gitqueue.rules import manifest, planning, submission
from gitqueue.rules.authority import OWNER
from gitqueue.rules.chain import Approval
from gitqueue.rules.journal import Entry, Event
from gitqueue.rules.lifecycle import Decision, State
from gitqueue.rules.manifest import Manifest
from gitqueue.rules.notes import ResultText, trailers
from gitqueue.rules.tree import File

ENVIRONMENTS = "environments"


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


ANNOUNCED = "Announced"


def claim(premises: Premises, run: Attempt, now: float) -> bool:
    """Take the attempt, whole: lock it in the vault, create the results ref, note in the vault that this was done.

    False: it was taken before. A claim that was never noted is from a runner that died in between; nothing ran, so it
    is taken up. Raises Tampered where a noted claim's results have gone.
    """
    name = refs.claim(run.job, run.number)
    there = premises.vault.ref(name)
    values = {"Job": run.job, "Attempt": run.number, "Approval": run.approval.commit}
    if there is None:
        there = premises.vault_commit(premises.vault.write_tree(()), [], f"claim {run.job}", values, now)
        if not git.move_refs(premises.site.vault, [RefMove(name, None, there)]):
            return False
    elif ANNOUNCED in trailers(premises.vault.commit(there).message)[1]:
        _must_stand(premises, run)
        return False
    results = _announce(premises, run, now)
    tree = premises.vault.commit(there).tree
    noted = premises.vault_commit(tree, [there], f"announce {run.job}", {**values, ANNOUNCED: results or "before"}, now)
    return git.move_refs(premises.site.vault, [RefMove(name, there, noted)]) and results is not None


def _announce(premises: Premises, run: Attempt, now: float) -> str | None:
    """Create the results ref with the claim on top of the approval; None where there is one already."""
    approval = premises.objects.commit(run.approval.commit)
    text = ResultText(State.RUNNING, run.number).message(run.job)
    commit = premises.commit(premises.objects, approval.tree, [approval.id], text, now)
    move = RefMove(refs.result(run.job), None, commit)
    journal.leave(premises.site.inbox, Entry(Event.CLAIM, int(now), "runner", job=str(run.job), moves=(move,)))
    return commit if git.move_refs(premises.site.repository, [move]) else None


def _must_stand(premises: Premises, run: Attempt) -> None:
    if premises.objects.ref(refs.result(run.job)) is None:
        raise Tampered(
            f"{run.job} ran, but its branch {refs.result(run.job)} has gone: it is not run again",
            step=f"put the branch back from a clone; the vault's claim is {refs.claim(run.job, run.number)}",
        )


def claimed(premises: Premises) -> Iterator[JobId]:
    """Every job whose claim the vault holds as announced: taken, for ever."""
    for name, commit in git.list_refs(premises.site.vault, "refs/claims").items():
        found = refs.parse_claim(name)
        if found and ANNOUNCED in trailers(premises.vault.commit(commit).message)[1]:
            yield found[0]


# prepare and start


def start(premises: Premises, run: Attempt) -> None:
    """Make the job's folder and start it. Raises GitqueueError where the site or the environment is at fault."""
    shutil.rmtree(run.folder, ignore_errors=True)
    run.folder.mkdir(mode=0o711)
    site = premises.history.site(run.approval.commit)
    asked, files = _read(premises, run, site)
    lay_out(run.folder / "job", ((file.path, file.mode == PROGRAM, file.content or b"") for file in files))
    built = _environment(premises, site, asked, files)
    paths = _data_paths(premises, site, asked)
    stood = tuple((str(path), data.standing(path)) for path in paths.values())
    digests = {f"{name}/{asset}": _digest(premises, path) for (name, asset), path in paths.items()}
    uid, gid = premises.sandbox_user
    place = planning.Place(
        job=str(run.folder / "job"),
        environment=str(built.path) if built else None,
        inspector=str(resources.folder("templates") / "sandbox" / "inspect.py"),
        wake=str(premises.site.socket),
        uid=uid,
        gid=gid,
    )
    binds = planning.data_binds(asked, site.datasets, {key: str(path) for key, path in paths.items()})
    context = {"packages": [list(package) for package in built.packages] if built else [], "data": digests}
    write_atomic(run.folder / "context.json", json.dumps(context).encode())
    premises.executor.start(run.folder, replace(planning.plan(asked, site.policy, binds, place), data=stood))


def _read(premises: Premises, run: Attempt, site: SiteView) -> tuple[Manifest, tuple[File, ...]]:
    """The approved files, judged once more by the same rule as at the gate."""
    files, refused = premises.history.files(run.approval.folder, site.policy)
    reasons = refused or submission.judge(files, run.job, site.policy, site.datasets)
    if reasons:
        raise Tampered(*reasons)
    held = {file.path: file.content for file in files}
    return manifest.read(run.job, held.get("job.yaml"), held.get("run.sh")), files


def _environment(
    premises: Premises, site: SiteView, asked: Manifest, files: tuple[File, ...]
) -> environment.Environment | None:
    if asked.environment is None:
        return None
    lock = next(file.content for file in files if file.path == asked.environment)
    wanted = site.policy.dependencies
    return environment.build(lock or b"", wanted.python, premises.site.spool / ENVIRONMENTS, wanted.policy)


def _data_paths(premises: Premises, site: SiteView, asked: Manifest) -> dict[tuple[str, str], Path]:
    bound = premises.settings.data
    wanted = [(name, asset) for name in asked.datasets for asset in site.datasets[name].assets]
    missing = [f"{name} {asset}" for name, asset in wanted if asset not in bound.get(name, {})]
    if missing:
        raise OperatorNeeded(
            f"nobody has said where the real data of {', '.join(missing)} lie",
            step=f"gitqueue dataset bind {missing[0]}=/path",
        )
    paths = {(name, asset): Path(bound[name][asset]) for name, asset in wanted}
    uid, gid = premises.sandbox_user
    user = (os.geteuid() if uid is None else uid, os.getegid() if gid is None else gid)
    faults = [fault for path in paths.values() for fault in data.readable_by(path, *user)]
    if faults:
        raise OperatorNeeded(*dict.fromkeys(faults), step="gitqueue doctor, at the site")
    return paths


def _digest(premises: Premises, path: Path) -> str:
    return data.digest(path, premises.site.private / "digests")


# observe


def stop_wanted(premises: Premises, job: Job) -> bool:
    """Whether the requester or an owner has cancelled this very revision."""
    for note in job.decided:
        signer = note.signed.signer
        own = signer is not None and signer.name == job.id.requester
        if note.decision is Decision.CANCEL and signer and (own or signer.has(OWNER)):
            return True
    return False


def remove(run: Attempt) -> None:
    """Forget the job's folder: what mattered is in the vault."""
    shutil.rmtree(run.folder, ignore_errors=True)


def faults(run: Attempt) -> str:
    """What the operator must know of a run that ended: why it was the site's own fault, if it was."""
    record = ended((run.folder / "ended.json").read_bytes())
    return record.detail if record.reason == "site-fault" else ""


def site_fault(error: GitqueueError) -> str:
    """What the vault's log says of a run that the site could not start."""
    return "\n".join(error.lines())
