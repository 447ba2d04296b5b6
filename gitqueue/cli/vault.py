"""What a run left, shown to an owner."""

from gitqueue.adapters import vault
from gitqueue.adapters.queue import Job
from gitqueue.cli import show
from gitqueue.cli.place import Place
from gitqueue.errors import No
from gitqueue.rules import comparison
from gitqueue.rules.lifecycle import State
from gitqueue.steps import look
from gitqueue.steps.look import Left, Pair

_SHOWN, _WIDE, _CHANGES = 40, 80, 300  # lines of a text output, columns of the screen, lines of a difference


def tell(job: Job, found: Left) -> None:
    """All of one run: files, values, flags, log, and what an owner does next."""
    _head(job, found)
    for name, data in found.files.items():
        show.say(f"\n--- {name} ({comparison.name(found.facts.get(name), len(data))})")
        show.say(_shown(data, found.facts.get(name)))
    _speak_of(found)
    show.say("\n--- log")
    show.say(found.log.rstrip() or "(empty)")
    _next(job, found)


def tell_pair(job: Job, found: Pair) -> None:
    """The outputs on real data beside those on mock data: values side by side, then the difference as git shows it."""
    _head(job, found.real)
    show.say(f"beside it: {vault.kind(found.mock.run)}, {found.mock.commit[:12]}")
    for name in dict.fromkeys((*found.mock.files, *found.real.files)):
        _side_by_side(name, found)
    _speak_of(found.real)
    lines = found.changes.splitlines()
    show.say("\n--- from mock to real, as git shows it")
    show.say("\n".join(lines[:_CHANGES]) or "nothing differs")
    if len(lines) > _CHANGES:
        show.say(
            f"… {len(lines) - _CHANGES} more lines, in the vault: git diff {found.mock.commit} {found.real.commit}"
        )
    _next(job, found.real)


def tell_trial(place: Place, job: Job) -> None:
    """A trial, beside the run on mock data where both wrote something."""
    try:
        found = look.pair(place.ground, job)
    except No:
        tell(job, look.left(place.ground, job))
        return
    if found.real.files:
        tell_pair(job, found)
    else:
        tell(job, found.real)


def _side_by_side(name: str, found: Pair) -> None:
    runs = {"mock": found.mock, "real": found.real}
    show.say(f"\n--- {name}")
    if found.mock.files.get(name) == found.real.files.get(name):
        facts = found.real.facts.get(name)
        show.say(f"  the same on mock and real: {comparison.name(facts, len(found.real.files[name]))}")
        for line in comparison.side_by_side({"both": facts}):
            show.say(line)
        return
    for run, left in runs.items():
        data = left.files.get(name)
        show.say(f"  {run}: {'not written' if data is None else comparison.name(left.facts.get(name), len(data))}")
    for line in comparison.side_by_side({run: left.facts.get(name) for run, left in runs.items()}):
        show.say(line)


def _head(job: Job, found: Left) -> None:
    show.say(f"{job.id} is {job.state}; this is {vault.kind(found.run)}")
    show.say(f"in the vault: {found.commit}")
    if not found.ended and found.run.get("Outcome"):
        show.say(f"it ended with {found.run['Outcome']}")
    if found.ended.get("reason"):
        code = f" {found.ended['exit_code']}" if found.ended["reason"] == "exit-code" else ""
        detail = f": {found.ended['detail']}" if found.ended.get("detail") else ""
        show.say(f"it ended with {found.ended['reason']}{code}{detail}")


def _speak_of(found: Left) -> None:
    show.say()
    for flag in found.flags:
        show.say(f"flag: {flag['file']}: {flag['reason']}")
        for cell in flag.get("cells", ()):
            show.say(f"      {cell}")
    for refusal in found.ended.get("refused", []):
        show.say(f"stays: {refusal['name']}: {refusal['reason']}")


def _next(job: Job, found: Left) -> None:
    if any(map(_binary, found.files.values())):
        show.say(f"\nto look at pictures and the like: gitqueue outputs {job.id} -o DIR")
    if job.state is State.HELD:
        show.say(f"\nnext: gitqueue release {job.id}, or gitqueue withhold {job.id} -m WHY")
    elif vault.TRIAL in found.run and job.state is State.PENDING:
        show.say(f"\nnext: gitqueue approve {job.id}; outputs equal to these then go back without a second look")


def _binary(data: bytes) -> bool:
    try:
        return "\0" in data.decode()
    except UnicodeDecodeError:
        return True


def _shown(data: bytes, facts: comparison.Facts | None) -> str:
    if _binary(data):
        return "  (no text)"
    lines = data.decode().splitlines()
    if max(map(len, lines), default=0) > _WIDE and (table := list(comparison.side_by_side({"value": facts}))):
        return "\n".join(table)
    more = [f"… {len(lines) - _SHOWN} more lines"] if len(lines) > _SHOWN else []
    return "\n".join([*(line[:200] for line in lines[:_SHOWN]), *more])
