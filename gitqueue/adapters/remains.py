"""What an ended run left in its folder: its record, its files, and what the checks say of them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from gitqueue.adapters import files
from gitqueue.model import Ended
from gitqueue.rules import disclosure
from gitqueue.rules.disclosure import Collected, Flag
from gitqueue.rules.policy import Dataset

_RECORDS = ("ended.json", "plan.json", "context.json", "inspection.json", "log")


def ended(folder: Path) -> Ended:
    """The record of the run. Raises Tampered for anything unusual."""
    return files.ended((folder / "ended.json").read_bytes())


def left(folder: Path) -> dict[str, bytes]:
    """All that is kept of a run, by its path in a vault commit."""
    held = {name: (folder / name).read_bytes() for name in _RECORDS if (folder / name).is_file()}
    for part in ("outputs", "undeclared"):
        held |= {
            str(path.relative_to(folder)): path.read_bytes() for path in (folder / part).rglob("*") if path.is_file()
        }
    return held


def flags(folder: Path, ended: Ended, datasets: Mapping[str, Dataset]) -> tuple[Flag, ...]:
    """What the checks say of the outputs, and of declared files that could not be taken."""
    inspection = folder / "inspection.json"
    found = disclosure.parse_inspection(inspection.read_bytes() if inspection.is_file() else None)
    collected = [Collected(output, found.get(output.name)) for output in ended.outputs]
    plan = files.plan((folder / "plan.json").read_bytes())
    names = {bind.target.split("/")[2] for bind in plan.binds if bind.target.startswith("/data/")}
    identifiers = {column for name in names for column in datasets[name].identifiers}
    refused = tuple(
        Flag(refusal.name, "collection", refusal.reason) for refusal in ended.refused if _declared(refusal.reason)
    )
    return (*disclosure.judge(collected, identifiers), *refused)


def _declared(reason: str) -> bool:
    """An undeclared file stays and holds nothing up; a declared one that could not be taken is for an owner to see."""
    return not reason.startswith("not declared")


def flags_text(flags: Sequence[Flag]) -> bytes:
    """The flags as the vault keeps them: flags.json."""
    rows = [{"file": flag.file, "check": flag.check, "reason": flag.reason} for flag in flags]
    return json.dumps(rows, indent=1).encode()
