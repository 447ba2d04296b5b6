"""What an ended run left in its folder: its record, its files, and what the checks say of them."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from gitqueue.adapters import files
from gitqueue.model import Ended
from gitqueue.rules import disclosure, facts
from gitqueue.rules.disclosure import Collected, Flag
from gitqueue.rules.policy import OutputRules

_RECORDS = ("ended.json", "plan.json", "context.json", "inspection.json", "inspection.err", "log")


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


def flags(folder: Path, ended: Ended, rules: OutputRules) -> tuple[Flag, ...]:
    """What the checks say of the outputs, and of declared files that could not be taken."""
    inspection = folder / "inspection.json"
    found = facts.parse(inspection.read_bytes() if inspection.is_file() else None)
    collected = [Collected(output, found.get(output.name)) for output in ended.outputs]
    looked = files.plan((folder / "plan.json").read_bytes()).inspect
    identifiers = looked.identifiers if looked else ()
    refused = tuple(
        Flag(refusal.name, "collection", refusal.reason) for refusal in ended.refused if _declared(refusal.reason)
    )
    return (*disclosure.judge(collected, identifiers, rules), *refused)


def _declared(reason: str) -> bool:
    """An undeclared file stays and holds nothing up; a declared one that could not be taken is for an owner to see."""
    return not reason.startswith("not declared")


def flags_text(flags: Sequence[Flag]) -> bytes:
    """The flags as the vault keeps them: flags.json."""
    return json.dumps([asdict(flag) for flag in flags], indent=1).encode()


def flags_of(text: bytes) -> tuple[Flag, ...]:
    """The flags that the vault keeps."""
    return tuple(Flag(**{**row, "cells": tuple(row.get("cells", ()))}) for row in json.loads(text))
