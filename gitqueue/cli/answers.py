"""An owner's answers, as the commands and the walk through all that waits give them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gitqueue.cli import show
from gitqueue.cli.place import Place
from gitqueue.errors import Mistake
from gitqueue.rules.lifecycle import Decision

if TYPE_CHECKING:
    from gitqueue.adapters.queue import Job
    from gitqueue.refs import JobId


def approve(place: Place, ids: Sequence["JobId"], message: str) -> None:
    """Merge each job, signed, exactly as it was read; or endorse it, where the word of more owners is needed."""
    from gitqueue.steps import approve as step
    from gitqueue.steps import review

    for id_ in ids:
        if against := step.standing_rejection(place.queue.job(id_)):
            show.note(f"gitqueue: warning: {against}")
    ready = [id_ for id_ in ids if _endorsed(place, id_, message)]
    if ready:
        show.say(step.approve(place.clone, ready, message, review.read_before(place.clone, list(ids))).answer)


def _endorsed(place: Place, id_: "JobId", message: str) -> bool:
    """Endorse where the word of more owners is needed; whether there is enough of it to merge."""
    from gitqueue.steps import approve as step
    from gitqueue.steps import review

    job, me = place.queue.job(id_), place.me() or ""
    standing = step.agreement(place.queue, job, me)
    if job.revision is None or standing.needed < 2:
        return True
    if standing.enough and not step.must_join(place.queue, job):
        return True
    if standing.mine:
        raise Mistake(f"{id_} has your word already, and that of {standing} owners", step="another owner approves it")
    show.say(review.decide(place.clone, id_, review.Spoken(Decision.ENDORSED, message)))
    show.say(f"endorsed {id_}: {standing}")
    return standing.enough


def say(place: Place, id_: "JobId", decision: Decision, message: str, at: str | None = None) -> None:
    """Sign one decision, naming what it must name, and push it."""
    from gitqueue.steps import review

    found = place.queue.job(id_)
    if at is not None:
        _must_be_a_line(place, found, at)
    outputs = found.result.outputs if found.result and decision is Decision.WITHHOLD else None
    again = found.attempt or None if decision is Decision.RERUN else None
    show.say(review.decide(place.clone, id_, review.Spoken(decision, message, outputs=outputs, at=at, attempt=again)))


def have_tried(place: Place, id_: "JobId", decision: Decision, message: str) -> None:
    """Sign that the request shall run now; where no runner serves a site on this machine, do what waits there."""
    from gitqueue.cli import vault

    say(place, id_, decision, message)
    vault.serve_here(place)
    where = f"gitqueue outputs {id_}" if decision is Decision.TRY_REAL else f"gitqueue show {id_}"
    show.say(f"next: when the runner has done it, {where}")


def _must_be_a_line(place: Place, job: "Job", at: str) -> None:
    """A comment on a line that is not there would send its reader looking for it."""
    path, _, number = at.rpartition(":")
    tree = place.queue.objects.commit(job.revision or place.queue.approved).tree
    content = place.queue.objects.file(tree, f"{job.id.folder}/{path}") if path else None
    lines = (content or b"").count(b"\n") + 1
    if content is None or not number.isdecimal() or not 1 <= int(number) <= lines:
        what = f"{path!r} has {lines} lines" if content is not None else f"{job.id} has no file {path or at!r}"
        raise Mistake(f"--at {at!r} names no line: {what}", step="name one as main.py:12")
