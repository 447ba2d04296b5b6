"""What a run left, shown to an owner. The vault lies at the site; owners alone are let in."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gitqueue import refs
from gitqueue.adapters import settings
from gitqueue.adapters.clone import Clone
from gitqueue.adapters.objects import Objects
from gitqueue.adapters.queue import Job
from gitqueue.cli import show
from gitqueue.cli.place import Place
from gitqueue.errors import Mistake, No, NotAllowed
from gitqueue.rules.release import LOG, OUTPUTS

_SHOWN = 40  # lines of a text output


@dataclass(frozen=True, slots=True)
class Left:
    """A vault commit: the outputs, what was not declared, flags, the record of the run, its log."""

    commit: str
    files: dict[str, bytes]
    flags: list[dict[str, str]]
    ended: dict[str, Any]
    log: str
    plan: bytes | None

    def document(self) -> dict[str, Any]:
        files = [{"name": name, "size": len(data)} for name, data in self.files.items()]
        return {
            "commit": self.commit,
            "files": files,
            "flags": self.flags,
            "refused": self.ended.get("refused", []),
            "reason": self.ended.get("reason"),
            "exit_code": self.ended.get("exit_code"),
            "seconds": self.ended.get("seconds"),
            "log": self.log,
        }


def left(place: Place, job: Job) -> Left:
    """Read the vault. Raises NotAllowed where it cannot be reached from here, No where it holds nothing of the job."""
    with _vault(place, job) as objects:
        commit = objects.ref(refs.outputs(job.id))
        if commit is None:
            raise No(f"{job.id} is {job.state}: its run has left nothing (yet)")
        held = {path: objects.blob(entry.id) for path, entry in objects.files(objects.commit(commit).tree)}
    return Left(
        commit,
        {path.removeprefix("outputs/"): data for path, data in held.items() if path.startswith("outputs/")},
        json.loads(held.get("flags.json", b"[]")),
        json.loads(held.get("ended.json", b"{}")),
        held.get("log", b"").decode("utf-8", "replace"),
        held.get("plan.json"),
    )


def named(place: Place, job: Job, names: Sequence[str], with_log: bool) -> tuple[str, ...] | None:
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


def serve_here(place: Place) -> None:
    """Do what waits at a site on this machine that no runner serves."""
    from gitqueue import runner

    site = settings.find(Path(place.clone.url))
    if site is not None and os.access(site.private, os.W_OK) and runner.runner_of(site) is None:
        subprocess.run([sys.executable, "-m", "gitqueue", "-C", str(site.path), "serve", "--once"], check=False)


@contextmanager
def _vault(place: Place, job: Job) -> Iterator[Objects]:
    """The vault, where it lies on this machine; else this job's part of it, fetched from the site and gone again: what
    nobody has released does not stay in a clone."""
    site = place.site or settings.find(Path(place.clone.url))
    if site is None:
        with TemporaryDirectory(prefix="gitqueue-vault-") as folder:
            _fetch(place.clone, refs.outputs(job.id), folder)
            yield Objects(Path(folder))
        return
    try:
        objects = Objects(site.vault)
    except Exception as error:
        raise NotAllowed(f"you cannot read the vault: {error}", step="an owner may, at the site") from error
    yield objects


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
        raise NotAllowed(f"the vault does not lie beside {url!r}", step="look at the outputs at the site")
    return f"{head}private/vault.git"


def tell(job: Job, found: Left) -> None:
    show.say(f"{job.id} is {job.state}; the vault has {found.commit[:12]}")
    if found.ended.get("reason"):
        code = f" {found.ended['exit_code']}" if found.ended["reason"] == "exit-code" else ""
        detail = f": {found.ended['detail']}" if found.ended.get("detail") else ""
        show.say(f"it ended with {found.ended['reason']}{code}{detail}")
    for name, data in found.files.items():
        show.say(f"\n--- {name} ({len(data)} bytes)")
        show.say(_shown(data))
    for flag in found.flags:
        show.say(f"flag: {flag['file']}: {flag['reason']}")
    for refusal in found.ended.get("refused", []):
        show.say(f"stays: {refusal['name']}: {refusal['reason']}")
    show.say("\n--- log")
    show.say(found.log.rstrip() or "(empty)")
    if str(job.state) == "held":
        show.say(f"\nnext: gitqueue release {job.id}, or gitqueue withhold {job.id} -m WHY")


def _shown(data: bytes) -> str:
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError:
        return "(binary: write it to a folder with -o and look at it there)"
    if "\0" in data.decode():
        return "(binary: write it to a folder with -o and look at it there)"
    more = [f"… {len(lines) - _SHOWN} more lines"] if len(lines) > _SHOWN else []
    return "\n".join([*(line[:200] for line in lines[:_SHOWN]), *more])
