"""What a run left, shown to an owner. The vault lies at the site; owners alone are let in."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitqueue import refs
from gitqueue.adapters import settings
from gitqueue.adapters.objects import Objects
from gitqueue.adapters.queue import Job
from gitqueue.cli import show
from gitqueue.cli.place import Place
from gitqueue.errors import No, NotAllowed

_SHOWN = 40  # lines of a text output


@dataclass(frozen=True, slots=True)
class Left:
    """A vault commit: the outputs, what was not declared, flags, the record of the run, its log."""

    commit: str
    files: dict[str, bytes]
    flags: list[dict[str, str]]
    ended: dict[str, Any]
    log: str

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
    site = place.site or settings.find(Path(place.clone.url))
    try:
        objects = Objects(site.vault) if site else None
        commit = objects.ref(refs.outputs(job.id)) if objects else None
    except Exception as error:
        raise NotAllowed(f"you cannot read the vault: {error}", step="an owner may, at the site") from error
    if objects is None:
        raise NotAllowed("the vault does not lie on this machine", step="look at the outputs at the site")
    if commit is None:
        raise No(f"{job.id} is {job.state}: its run has left nothing (yet)")
    held = {path: objects.blob(entry.id) for path, entry in objects.files(objects.commit(commit).tree)}
    return Left(
        commit,
        {path.removeprefix("outputs/"): data for path, data in held.items() if path.startswith("outputs/")},
        json.loads(held.get("flags.json", b"[]")),
        json.loads(held.get("ended.json", b"{}")),
        held.get("log", b"").decode("utf-8", "replace"),
    )


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
