"""Publish: bring what a run left into the vault, decide what may go back, and commit how the job stands."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from gitqueue import refs
from gitqueue.adapters import attestation, files, git, journal, preparation, remains, seal, vault
from gitqueue.adapters.premises import Premises
from gitqueue.errors import OperatorNeeded, Tampered
from gitqueue.model import FILE, Ended, Output, RefMove
from gitqueue.refs import JobId
from gitqueue.rules import policy, provenance, trial
from gitqueue.rules.authority import OWNER
from gitqueue.rules.chain import Approval, votes
from gitqueue.rules.journal import Entry, Event
from gitqueue.rules.lifecycle import Decision, Reason, State
from gitqueue.rules.notes import ResultText
from gitqueue.rules.release import LOG, OUTPUTS, released

SEALED = "outputs.tar.age"


def finish(premises: Premises, approval: Approval, attempt: int, folder: Path, now: float) -> State:
    """Collect an ended run: the vault first, then the results. May be done twice; the second time changes nothing."""
    ended = remains.ended(folder)
    if ended.reason:
        state, reason = _failed(ended.reason)
        vault.keep(premises, approval.job, {vault.ATTEMPT: attempt}, remains.left(folder), now)
        return _settle(premises, approval, ResultText(state, attempt, reason), {}, now)
    site = premises.history.site(approval.commit)
    outputs, seen = {output.name: output.sha256 for output in ended.outputs}, _seen(premises, approval)
    agreed = trial.agreed(seen, _approvers(premises, approval), site.policy.approvals, outputs)
    preparation.keep_indexes(premises, folder)
    flags = remains.flags(folder, ended, site.policy.outputs)
    if not agreed and not _varies(premises, approval):
        flags = (*flags, *trial.departs(seen, outputs))
    left = {**remains.left(folder), "flags.json": remains.flags_text(flags)}
    kept = vault.keep(premises, approval.job, {vault.ATTEMPT: attempt}, left, now)
    if not agreed and (flags or (site.policy.release == "review" and ended.outputs)):
        return _settle(premises, approval, ResultText(State.HELD, attempt, outputs=kept), {}, now)
    try:
        return release(premises, Waiting(approval, attempt, kept), now)
    except OperatorNeeded:  # nobody could open it: it waits until an owner has added a key that can, and releases it
        return _settle(premises, approval, ResultText(State.HELD, attempt, outputs=kept), {}, now)


def give_up(premises: Premises, approval: Approval, result: ResultText, why: str, now: float) -> State:
    """End a run that left nothing: interrupted, cancelled, or the site's own fault; why goes to the vault."""
    vault.keep(premises, approval.job, {vault.ATTEMPT: result.attempt}, {"log": why.encode()}, now)
    return _settle(premises, approval, result, {}, now)


def _failed(reason: str) -> tuple[State, Reason | None]:
    return (State.CANCELLED, None) if reason == "cancelled" else (State.FAILED, Reason(reason))


# what owners saw before they approved


def _seen(premises: Premises, approval: Approval) -> list[trial.Seen]:
    """What trials of the approved code wrote before its approval came, oldest first."""
    found: list[trial.Seen] = []
    for commit, said in vault.line(premises.vault, approval.job):
        ran = vault.TRIAL in said and said.get("Outcome") == "ran" and said.get("Code") == approval.folder
        if ran and not premises.objects.descends(said["Chain"], approval.commit):
            ended = files.ended(_vault_file(premises, premises.vault.commit(commit).tree, "ended.json"))
            by = frozenset(said["By"].split())
            found.append(trial.Seen({output.name: output.sha256 for output in ended.outputs}, by))
    return found[::-1]


def _approvers(premises: Premises, approval: Approval) -> set[str]:
    """Who signed the approval, and who endorsed what it approves."""
    said = votes(premises.queue.job(approval.job).decided, {approval.job.requester})
    return {approval.by} | {name for name, word in said.items() if word is Decision.ENDORSED}


def _varies(premises: Premises, approval: Approval) -> bool:
    """Whether the rehearsal of this revision wrote something else each time."""
    for commit, said in vault.line(premises.vault, approval.job):
        if vault.REHEARSAL in said and said.get("Revision") == approval.revision:
            again = premises.vault.file(premises.vault.commit(commit).tree, "again.json")
            return bool(json.loads(again or b"null"))
    return False


# release


@dataclass(frozen=True, slots=True)
class Waiting:
    """The outputs of an approved run in a vault commit. `files`: these paths of it are to go, and no others."""

    approval: Approval
    attempt: int
    vault: str
    files: tuple[str, ...] | None = None


def release(premises: Premises, waiting: Waiting, now: float) -> State:
    """Commit what may go to the results ref, as policy says: plain, or sealed into one file. The rest stays."""
    tree = premises.vault.commit(waiting.vault).tree
    ended = files.ended(_vault_file(premises, tree, "ended.json"))
    ran = _ran(premises, waiting, tree, ended)
    held = _going(premises, waiting, tree, ended)
    if held and premises.history.site(waiting.approval.commit).policy.results != "plain":
        held = {SEALED: _sealed(premises, ran, held)}
    held[provenance.FILE] = attestation.sign(provenance.statement(ran, _digests(held), inside=False), premises.key)
    return _settle(premises, waiting.approval, ResultText(State.COMPLETED, waiting.attempt), held, now)


def _going(premises: Premises, waiting: Waiting, tree: str, ended: Ended) -> dict[str, bytes]:
    """Exactly the files that were named, each as it was collected."""
    known = {f"{OUTPUTS}{output.name}": output for output in ended.outputs}
    unknown = [path for path in waiting.files or () if path not in known and path != LOG]
    if unknown:
        raise Tampered(f"the release of {waiting.approval.job} names {unknown[0]!r}, which was not collected")
    going = {path: _checked(premises, tree, known[path]) for path in known if released(path, waiting.files)}
    return going | ({LOG: _vault_file(premises, tree, LOG)} if released(LOG, waiting.files) else {})


def withhold(premises: Premises, approval: Approval, attempt: int, now: float) -> State:
    return _settle(premises, approval, ResultText(State.WITHHELD, attempt), {}, now)


def _ran(premises: Premises, waiting: Waiting, tree: str, ended: Ended) -> provenance.Ran:
    context = json.loads(_vault_file(premises, tree, "context.json"))
    plan = files.plan(_vault_file(premises, tree, "plan.json"))
    folder, site = waiting.approval.folder, premises.site.name
    return provenance.Ran(
        waiting.approval, waiting.attempt, site, folder, plan, ended, context["packages"], context["data"]
    )


def _vault_file(premises: Premises, tree: str, name: str) -> bytes:
    data = premises.vault.file(tree, name)
    if data is None:
        raise Tampered(f"the vault's copy of this run holds no {name}")
    return data


def _checked(premises: Premises, tree: str, output: Output) -> bytes:
    """What is released is, byte for byte, what was collected and judged."""
    data = _vault_file(premises, tree, f"outputs/{output.name}")
    if hashlib.sha256(data).hexdigest() != output.sha256:
        raise Tampered(f"{output.name} in the vault is not what was collected")
    return data


def _sealed(premises: Premises, ran: provenance.Ran, held: dict[str, bytes]) -> bytes:
    inside = attestation.sign(provenance.statement(ran, _digests(held), inside=True), premises.key)
    return seal.seal(seal.pack({**held, provenance.FILE: inside}), _recipients(premises, ran.approval.job))


def _recipients(premises: Premises, job: JobId) -> list[str]:
    """The requester's and all owners' present keys. Raises OperatorNeeded where the requester could not open it."""
    people = premises.queue.people
    lines = {name: _keys(person) for name, person in people.items() if name == job.requester or OWNER in person.roles}
    if not lines.get(job.requester):
        raise OperatorNeeded(
            f"the results of {job} cannot be sealed: {job.requester}'s signing key cannot decrypt",
            step=f"an owner adds an age recipient: gitqueue person add {job.requester} --seal age1…",
        )
    return [line for keys in lines.values() for line in keys]


def _keys(person: policy.Person) -> list[str]:
    present = [key.key for key in person.keys if key.revoked is None and seal.sealable(key.key)]
    return [*present, *([person.seal] if person.seal else [])]


def _digests(held: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in held.items()}


# the results ref


def _settle(premises: Premises, approval: Approval, result: ResultText, held: dict[str, bytes], now: float) -> State:
    """Move the results ref on from where it stands. What is there already is not done again."""
    name = refs.result(approval.job)
    tip = premises.objects.ref(name)
    if tip is None:
        raise Tampered(f"{name} has gone: the vault holds its claim, so somebody removed it")
    job = premises.queue.job(approval.job)
    if job.result is None:
        raise Tampered(job.fault or f"{name} is not the runner's")
    if job.result == result:
        return result.state
    folder = approval.job.results_folder
    approved = premises.objects.commit(approval.commit).tree
    with premises.objects.together():
        tree = premises.objects.put_files(approved, {f"{folder}/{path}": (FILE, data) for path, data in held.items()})
        commit = premises.commit(premises.objects, tree, [tip], result.message(approval.job), now)
    move = RefMove(name, tip, commit)
    words = (str(result.state), *((str(result.reason),) if result.reason else ()))
    entry = Entry(Event.RESULT, int(now), "runner", job=str(approval.job), moves=(move,), reasons=words)
    journal.leave(premises.site.inbox, entry)
    if not git.move_refs(premises.site.repository, [move]):
        raise Tampered(f"{name} moved while the runner wrote it: is there a second runner?")
    return result.state
