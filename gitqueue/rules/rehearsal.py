"""Rehearsals: when a revision is run on mock data, and how its outputs are compared with other runs of it."""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from gitqueue.model import Ended, Limits, Plan
from gitqueue.rules.authority import BEFORE_APPROVAL, OWNER, RUNNER, Note
from gitqueue.rules.disclosure import Flag
from gitqueue.rules.findings import Verdict
from gitqueue.rules.lifecycle import Decision, State
from gitqueue.rules.policy import Policy

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
SOMETHING = "something"  # differs, and nobody said what


@dataclass(frozen=True, slots=True)
class Report:
    """How a run on mock data went.

    `limits` are what it got; `outputs` SHA-256 by name; `log` its last lines. `again`: what differed when it ran a
    second time; `home`: what differs from the requester's own run. None: there was no such run. `verdict`: what was
    found in the code, where somebody looked.
    """

    ended: Ended
    limits: Limits
    outputs: Mapping[str, str]
    flags: Sequence[Flag]
    log: str
    again: tuple[str, ...] | None = None
    home: tuple[str, ...] | None = None
    verdict: Verdict | None = None


# digests


def lines(outputs: Mapping[str, str]) -> str:
    """SHA-256 by name as `sha256sum *` prints it, in the order of the names' bytes."""
    return "".join(f"{outputs[name]}  {name}\n" for name in sorted(outputs, key=os.fsencode))


def digest(outputs: Mapping[str, str]) -> str:
    """What the trailer Tested says of outputs: `sha256sum * | sha256sum`."""
    return hashlib.sha256(os.fsencode(lines(outputs))).hexdigest()


def different(one: Mapping[str, str], other: Mapping[str, str]) -> tuple[str, ...]:
    """The names whose bytes are not the same in both."""
    return tuple(sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name)))


def from_home(notes: Iterable[Note], requester: str, outputs: Mapping[str, str]) -> tuple[str, ...] | None:
    """What differs from the requester's own run, as the newest of their notes with Tested says; None without one."""
    told = [note for note in notes if note.tested and note.signed.signer and note.signed.signer.name == requester]
    if not told:
        return None
    if told[-1].tested == digest(outputs):
        return ()
    found = {match[2]: match[1] for line in told[-1].reason.splitlines() if (match := _LINE.fullmatch(line.strip()))}
    return different(found, outputs) if digest(found) == told[-1].tested else (SOMETHING,)


def told(note: Note) -> str:
    """A note's words; where it tells of a run at home, the digests, which the rehearsal is held against, as their
    number alone."""
    if note.tested is None:
        return note.reason
    lines = note.reason.splitlines()
    words = [line for line in lines if not _LINE.fullmatch(line.strip())]
    count = len(lines) - len(words)
    return "\n".join([*words, f"({count} files, by their digests)"] if count else words).strip()


# when, and within what


@dataclass(frozen=True, slots=True)
class Wish:
    """Why a revision is to be rehearsed: as policy says, or because an owner asked for it (`asked`: their note)."""

    asked: str = ""


def wish(state: State, notes: Sequence[Note], policy: Policy) -> Wish | None:
    """Whether a revision waits for a rehearsal, by the notes on it, oldest first. What was rehearsed is not done again
    unless an owner asks."""
    if state not in BEFORE_APPROVAL:
        return None
    last = max((at for at, note in enumerate(notes) if _by(note, RUNNER, Decision.REHEARSED)), default=-1)
    asked = [note for note in notes[last + 1 :] if _by(note, OWNER, Decision.TRY_MOCK)]
    if asked:
        return Wish(asked[-1].signed.commit.id)
    due = last < 0 and policy.rehearse == "auto" and state is State.PENDING
    return Wish() if due else None


def _by(note: Note, role: str, decision: Decision) -> bool:
    return note.decision is decision and note.signed.signer is not None and note.signed.signer.has(role)


def capped(plan: Plan, policy: Policy) -> Plan:
    """The plan within what a rehearsal gets."""
    most = policy.rehearsal
    time, memory = min(plan.limits.time, float(most.time)), min(plan.limits.memory, int(most.memory))
    return replace(plan, limits=replace(plan.limits, time=time, memory=memory))
