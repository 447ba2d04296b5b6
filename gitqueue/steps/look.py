"""Look: what a run left in the vault, for an owner. The vault lies at the site; owners alone are let in."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gitqueue import refs
from gitqueue.adapters import difference, seal, settings, vault
from gitqueue.adapters.clone import Clone
from gitqueue.adapters.history import History
from gitqueue.adapters.objects import Objects
from gitqueue.adapters.queue import REMOTE, Job, Queue
from gitqueue.adapters.settings import Site
from gitqueue.errors import Mistake, No, NotAllowed, Tampered
from gitqueue.refs import JobId
from gitqueue.rules import comparison
from gitqueue.rules.authority import RUNNER
from gitqueue.rules.notes import trailers
from gitqueue.rules.release import LOG, OUTPUTS

REMOTE_VAULT = "gitqueue.vault"  # git's setting, in the clone of an owner who has no way in to the site


@dataclass(frozen=True, slots=True)
class Left:
    """A vault commit: which run it was (its trailers), the outputs, flags, the record of the run, its log and plan, and
    what the parser said of the outputs."""

    commit: str
    run: Mapping[str, str]
    files: dict[str, bytes]
    flags: list[dict[str, Any]]
    ended: dict[str, Any]
    log: str
    plan: bytes | None
    facts: Mapping[str, comparison.Facts]

    def document(self) -> dict[str, Any]:
        files = [{"name": name, "size": len(data)} for name, data in self.files.items()]
        return {
            "commit": self.commit,
            "run": vault.kind(self.run),
            "files": files,
            "flags": self.flags,
            "refused": self.ended.get("refused", []),
            "reason": self.ended.get("reason"),
            "exit_code": self.ended.get("exit_code"),
            "seconds": self.ended.get("seconds"),
            "log": self.log,
        }


def left(place: Clone | Site, job: Job) -> Left:
    """What the run left that counts now (`vault.shown`). Raises NotAllowed where the vault cannot be reached from here,
    No where it holds nothing of the job."""
    with _vault(place, job) as objects:
        return _read(objects, _commit(objects, job))


def _commit(objects: Objects, job: Job) -> str:
    commit = vault.shown(objects, job.id, job.revision, job.result.outputs if job.result else None)
    if commit is None:
        raise No(f"{job.id} is {job.state}: its run has left nothing (yet)")
    return commit


def _read(objects: Objects, commit: str) -> Left:
    found = objects.commit(commit)
    held = {path: objects.blob(entry.id) for path, entry in objects.files(found.tree)}
    return Left(
        commit,
        trailers(found.message)[1],
        {path.removeprefix(OUTPUTS): data for path, data in held.items() if path.startswith(OUTPUTS)},
        json.loads(held.get("flags.json", b"[]")),
        json.loads(held.get("ended.json", b"{}")),
        held.get("log", b"").decode("utf-8", "replace"),
        held.get("plan.json"),
        comparison.read(held.get("inspection.json")),
    )


@dataclass(frozen=True, slots=True)
class Pair:
    """What a run on the real data left beside what the same code left on mock data; `changes` as git shows them."""

    mock: Left
    real: Left
    changes: str


def pair(place: Clone | Site, job: Job) -> Pair:
    """Raises No where there are not two runs to compare."""
    with _vault(place, job) as objects:
        real = _read(objects, _commit(objects, job))
        if vault.REHEARSAL in real.run:
            raise No(f"{job.id} has run on mock data alone", step=f"gitqueue try {job.id} --real, or approve it")
        mock = vault.rehearsed(objects, job.id, real.run.get("Revision") or job.revision or "")
        if mock is None:
            raise No(
                f"{job.id} was not run on mock data: there is nothing beside it", step=f"gitqueue outputs {job.id}"
            )
        changes = difference.between(objects.path, mock, real.commit, paths=(OUTPUTS.rstrip("/"),))
        return Pair(_read(objects, mock), real, changes)


def has_tried(place: Clone | Site, job: Job, decision: str) -> bool:
    """Whether the vault has what a trial left, by the decision that asked for it."""
    with _vault(place, job) as objects:
        return vault.find(objects, job.id, {vault.TRIAL: decision}) is not None


def named(place: Clone | Site, job: Job, names: Sequence[str], with_log: bool) -> tuple[str, ...] | None:
    """The paths of the vault commit that a release of these outputs, or of all, names; None: all outputs and no log.
    Raises Mistake for a name that does not wait."""
    if not names and not with_log:
        return None
    there = left(place, job).files
    unknown = [name for name in names if name not in there]
    if unknown:
        waits = ", ".join(repr(name) for name in there) or "nothing"
        raise Mistake(*(f"{name!r} does not wait for {job.id}'s release: {waits} does" for name in unknown))
    return tuple(f"{OUTPUTS}{name}" for name in names or there) + ((LOG,) if with_log else ())


@contextmanager
def _vault(place: Clone | Site, job: Job) -> Iterator[Objects]:
    """The vault, where it lies on this machine; else this job's part of it, fetched from the site and gone again: what
    nobody has released does not stay in a clone."""
    site = place if isinstance(place, Site) else settings.find(Path(place.url))
    if site is not None:
        yield _opened(site)
    elif isinstance(place, Clone):
        with TemporaryDirectory(prefix="gitqueue-vault-") as folder:
            if remote := place.config(REMOTE_VAULT):
                _unsealed(place, remote, job.id, folder)
            else:
                _fetch(place, refs.outputs(job.id), folder)
            yield Objects(Path(folder))


def _unsealed(clone: Clone, url: str, job: JobId, folder: str) -> None:
    """A job's line of the vault, as the runner sealed it to the owners at a remote; nothing where it has none yet.
    Raises Tampered for what the runner did not sign, Mistake where it is not sealed to this person."""
    ref, there = refs.outputs(job), f"--git-dir={folder}"
    clone.git("init", "--quiet", "--bare", folder)
    if not clone.git("ls-remote", url, ref).strip():
        return
    clone.git(there, "fetch", "--quiet", "--no-tags", url, f"{ref}:refs/sealed")
    objects, bundle = Objects(Path(folder)), Path(folder) / "bundle"
    commit = objects.commit(objects.ref("refs/sealed") or "")
    signed = History(objects).signed(commit.id, Queue(History(clone.objects()), REMOTE).people)
    if signed.signer is None or not signed.signer.has(RUNNER) or trailers(commit.message)[1].get("Job") != str(job):
        raise Tampered(f"{ref} at {url!r} {signed.fault or 'is not what the runner put there'}")
    bundle.write_bytes(seal.unseal(objects.file(commit.tree, vault.SEALED) or b"", clone.identity()))
    clone.git(there, "fetch", "--quiet", "--no-tags", str(bundle), f"{ref}:{ref}")
    bundle.unlink()


def _opened(site: Site) -> Objects:
    try:
        return Objects(site.vault)
    except Exception as error:
        raise NotAllowed(f"you cannot read the vault: {error}", step="an owner may, at the site") from error


def _fetch(clone: Clone, ref: str, folder: str) -> None:
    """A ref of the site's vault into a new repository, by the person's own git; nothing where the vault has no such
    ref. Raises NotAllowed with the site's words."""
    url = _beside(clone.git("ls-remote", "--get-url", "origin").strip())
    clone.git("init", "--quiet", "--bare", folder)
    connect = clone.config("core.sshCommand")
    there = ("-c", f"core.sshCommand={connect}", f"--git-dir={folder}") if connect else (f"--git-dir={folder}",)
    try:
        clone.git(*there, "fetch", "--quiet", "--no-tags", url, f"{ref}:{ref}")
    except Mistake as error:
        # Only the exit code tells "no such ref" from "no such access"; so, asked for on this way alone.
        try:
            clone.git(*there, "ls-remote", "--exit-code", url, ref, ok=(2,))
        except Mistake:
            said = [line.strip() for line in str(error).splitlines() if line.strip().startswith("gitqueue: ")]
            words = [line.removeprefix("gitqueue: ") for line in said] or [f"cannot read the vault {url!r}: {error}"]
            raise NotAllowed(*words, step="look at the outputs at the site") from error


def _beside(url: str) -> str:
    """The vault's URL, by the site's."""
    head, found, tail = url.rstrip("/").rpartition("site.git")
    if not found or tail or not head.endswith(("/", ":")):
        raise NotAllowed(
            f"the vault does not lie beside {url!r}",
            step=f"where the operator has set one up for owners elsewhere: git config {REMOTE_VAULT} URL",
        )
    return f"{head}private/vault.git"
