"""An owner's answers, as the commands and the walk through all that waits give them."""

from collections.abc import Sequence
from time import sleep
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
    from gitqueue import acts
    from gitqueue.steps import approve as step
    from gitqueue.steps import review

    for id_ in ids:
        if against := step.standing_rejection(place.queue.job(id_)):
            show.note(f"gitqueue: warning: {against}")
    me = acts.Signer(place.clone, place.queue, place.me() or "")
    for line in acts.approve(me, ids, message, review.read_before(place.clone, list(ids))):
        show.say(line)


def say(place: Place, id_: "JobId", decision: Decision, message: str, at: str | None = None) -> None:
    """Sign one decision, naming what it must name, and push it."""
    from gitqueue import acts

    found = place.queue.job(id_)
    if at is not None:
        _must_be_a_line(place, found, at)
    show.say(acts.decide(place.clone, found, decision, message, at))


def have_tried(place: Place, id_: "JobId", decision: Decision, message: str) -> None:
    """Sign that the request shall run now, and show how that went: at once where no runner serves a site on this
    machine, for then what waits there is done now; else, on a terminal, when the runner has done it."""
    from gitqueue import acts

    say(place, id_, decision, message)
    word = place.queue.job(id_).notes[-1].signed.commit.id
    if not acts.will_run(place.queue, place.queue.job(id_), word):
        return
    if acts.serve_here(place.clone) or (show.asks() and _waited(place, id_, word)):
        place.clone.fetch()
        _show_tried(place, id_, word)


_LOOK = 2.0  # seconds


def _waited(place: Place, id_: "JobId", word: str) -> bool:
    """Wait for the runner until the person has had enough; whether it is done."""
    from gitqueue import acts

    show.note("waiting for the runner (Ctrl-C goes on without) …")
    try:
        while not acts.has_run(place.clone, place.queue.job(id_), word):
            sleep(_LOOK)
            place.clone.fetch()
    except KeyboardInterrupt:
        show.note("it goes on; look again later")
        return False
    return True


def _show_tried(place: Place, id_: "JobId", word: str) -> None:
    from gitqueue import acts
    from gitqueue.cli import vault

    job = place.queue.job(id_)
    decision = next(note.decision for note in job.notes if note.signed.commit.id == word)
    if not acts.has_run(place.clone, job, word):
        show.say("the runner has not run it yet: gitqueue status, at the site, says why")
    elif decision is Decision.TRY_REAL:
        vault.tell_trial(place, job)
    else:
        show.say([note.reason for note in job.notes if note.decision is Decision.REHEARSED][-1])


def _must_be_a_line(place: Place, job: "Job", at: str) -> None:
    """A comment on a line that is not there would send its reader looking for it."""
    path, _, number = at.rpartition(":")
    tree = place.queue.objects.commit(job.revision or place.queue.approved).tree
    content = place.queue.objects.file(tree, f"{job.id.folder}/{path}") if path else None
    lines = (content or b"").count(b"\n") + 1
    if content is None or not number.isdecimal() or not 1 <= int(number) <= lines:
        what = f"{path!r} has {lines} lines" if content is not None else f"{job.id} has no file {path or at!r}"
        raise Mistake(f"--at {at!r} names no line: {what}", step="name one as main.py:12")
