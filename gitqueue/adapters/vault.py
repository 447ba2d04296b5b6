"""The vault: what runs left and nobody has released, and claims. One line of commits for each job: mock outputs, then
real ones, so that `git diff` shows one run against another; a commit's trailers tell which run it was.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gitqueue import refs
from gitqueue.adapters import git
from gitqueue.adapters.git import list_refs
from gitqueue.adapters.objects import Objects
from gitqueue.adapters.premises import Premises
from gitqueue.errors import Tampered
from gitqueue.model import FILE, RefMove
from gitqueue.refs import JobId
from gitqueue.rules.notes import trailers
from gitqueue.rules.release import LOG, OUTPUTS

# The trailers that tell a run from every other of its job.
ATTEMPT, REHEARSAL, TRIAL = "Attempt", "Rehearsal", "Try"


def line(vault: Objects, job: JobId) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The runs that were kept of a job, newest first: (commit, its trailers)."""
    tip = vault.ref(refs.outputs(job))
    for commit in vault.first_parents(tip) if tip else ():
        yield commit, trailers(vault.commit(commit).message)[1]


def find(vault: Objects, job: JobId, run: Mapping[str, object]) -> str | None:
    """The commit of one run, by trailers that it has."""
    wanted = {key: str(value) for key, value in run.items()}.items()
    return next((commit for commit, said in line(vault, job) if wanted <= said.items()), None)


def shown(vault: Objects, job: JobId, revision: str | None, outputs: str | None) -> str | None:
    """The run that an owner is to look at: the one whose outputs wait, else the newest approved one, else the newest
    trial of this revision, else the newest of all."""
    if outputs is not None and vault.has(outputs):
        return outputs
    runs = list(line(vault, job))
    wanted = (
        (commit for commit, said in runs if ATTEMPT in said),
        (commit for commit, said in runs if TRIAL in said and said.get("Revision") == revision),
        (commit for commit, _ in runs),
    )
    return next((found for some in wanted for found in some), None)


def rehearsed(vault: Objects, job: JobId, revision: str) -> str | None:
    """The newest run of a revision on mock data."""
    found = (commit for commit, said in line(vault, job) if REHEARSAL in said and said.get("Revision") == revision)
    return next(found, None)


def kind(said: Mapping[str, str]) -> str:
    """Which run the trailers of a vault commit speak of, in words."""
    revision = said.get("Revision", "")[:12]
    if REHEARSAL in said:
        return f"a run of {revision} on mock data"
    if TRIAL in said:
        return f"a trial of {revision} on the real data, for {said.get('By', '').replace(' ', ' and ')}"
    return f"the approved run on the real data, attempt {said.get(ATTEMPT, '?')}"


def keep(premises: Premises, job: JobId, run: Mapping[str, object], left: Mapping[str, bytes], now: float) -> str:
    """Commit what a run left; the commit. The first trailer in `run` tells it from every other run of the job, so it is
    kept once, however often this is done."""
    there = find(premises.vault, job, dict([next(iter(run.items()))]))
    if there is not None:
        return there
    name = refs.outputs(job)
    former = premises.vault.ref(name)
    parents = [former] if former else []
    with premises.vault.together():
        tree = premises.vault.put_files(None, {path: (FILE, data) for path, data in left.items()})
        commit = premises.vault_commit(tree, parents, f"outputs of {job}", run, now)
    if not git.move_refs(premises.site.vault, [RefMove(name, former, commit)]):
        raise Tampered(f"{name} in the vault moved while the runner wrote it: is there a second runner?")
    return commit


def waiting(vault: Path, commit: str) -> Iterator[str]:
    """The paths of a vault commit that may be released."""
    objects = Objects(vault)
    for path, _ in objects.files(objects.commit(commit).tree):
        if path.startswith(OUTPUTS) or path == LOG:
            yield path


ANNOUNCED = "Announced"
SEALED = "outputs.bundle.age"  # the one file of a branch that holds a job's line for owners elsewhere


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt that was taken, for ever, and when (seconds)."""

    job: JobId
    number: int
    at: int


def claims(vault: Objects) -> Iterator[Claim]:
    """Every attempt whose claim the vault holds as announced."""
    for name, commit in list_refs(vault.path, "refs/claims").items():
        found, noted = refs.parse_claim(name), vault.commit(commit)
        if found and ANNOUNCED in trailers(noted.message)[1]:
            yield Claim(*found, noted.date)
