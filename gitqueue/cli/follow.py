"""Following what goes on: a job as its requester sees it, and at the site a log while it is written."""

from collections.abc import Iterator
from time import sleep
from typing import TYPE_CHECKING

import click
import cloup

from gitqueue.cli import show
from gitqueue.cli.place import Place, here
from gitqueue.errors import No, OperatorNeeded
from gitqueue.rules.lifecycle import ENDS, Reason, State, next_step

if TYPE_CHECKING:
    from gitqueue.adapters.logs import Follower
    from gitqueue.adapters.queue import Job

_SOON, _SELDOM = 0.5, 10.0  # seconds between two looks: a job's hour of waiting is not 7,200 connections
_LIVE = 0.3


@cloup.command(epilog="Example: gitqueue watch rachel/bc-mean")
@click.argument("job", required=False)
@click.pass_context
def watch(context: click.Context, job: str | None) -> None:
    """Follow a job: what is said of it and how it stands, until it is over or waits for its requester.

    Ends with 0 when there are results to fetch, with 5 after the site's own fault, else with 1; and the reason.
    """
    from gitqueue.cli.anyone import tell_note

    place = here(context, offline=False)
    told, stood = 0, None
    for found in _looks(place, place.job(job)):
        for note in found.notes[told:]:
            tell_note(note, whole=True)
        if found.state is not stood and (found.released or found.state not in ENDS):
            show.say(f"{found.id} is {found.state}")
            show.say(f"next: {next_step(found.state)}")
        told, stood = len(found.notes), found.state
    _answer(found)


def _looks(place: Place, job: "Job") -> Iterator["Job"]:
    """The job as it stands now, and again, until there is nothing more to wait for."""
    pause, before = _SOON, None
    while True:
        yield job
        if job.state in ENDS:
            return
        pause = _SOON if (job.state, len(job.notes)) != before else min(pause * 1.3, _SELDOM)
        before = (job.state, len(job.notes))
        sleep(pause)
        if place.site is None:
            place.clone.fetch_job(job.id)
        job = place.anew().job(job.id)


def _answer(job: "Job") -> None:
    from gitqueue.steps import describe

    if job.released:
        return
    why = describe.reason(job)
    words = f"{job.id} is {job.state}{f': {why}' if why else ''}"
    if job.result and job.result.reason is Reason.SITE:
        raise OperatorNeeded(words, step="the site's operator mends it; then an owner signs rerun")
    raise No(words, step=next_step(job.state))


# a log at the site


def log(place: Place, job: "Job") -> None:
    """Tell a job's log as it grows, until its run is over and nothing of it is left to tell."""
    from gitqueue.adapters.logs import Follower
    from gitqueue.steps import look

    followers: dict[str, Follower] = {}
    while job.state in (State.APPROVED, State.RUNNING):
        _tell(place, job, followers)
        sleep(_LIVE)
        job = place.anew().job(job.id)
    rest = look.left(place.ground, job).log.encode()
    last = followers.get(str(job.attempt)) or Follower("")
    _say(last.told(rest))


def _tell(place: Place, job: "Job", followers: "dict[str, Follower]") -> None:
    from gitqueue.adapters.logs import Follower

    spool = place.site.spool if place.site else None
    for path in sorted(spool.glob(f"{job.id.requester}+{job.id.name}+*/log")) if spool else ():
        number = path.parent.name.rpartition("+")[2]
        _say(followers.setdefault(number, Follower(str(path))).look())


def _say(lines: str) -> None:
    if lines:
        show.say(lines.rstrip("\n"))
