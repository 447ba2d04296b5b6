"""Hidden commands for a forge's workflows: what they say is for people to read; the runner believes none of it."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from gitqueue.cli import show
from gitqueue.cli.place import Place, here
from gitqueue.errors import GitqueueError, Mistake, No

if TYPE_CHECKING:
    from gitqueue.steps.propose import Proposed

_LONGEST = 60_000  # characters of a comment; GitHub takes 65,536


@cloup.group(hidden=True)
def ci() -> None:
    """For the workflows of a forge (docs/github.md)."""


def _summary(markdown: str) -> None:
    """Onto the page of the workflow's run, where there is one."""
    target = os.environ.get("GITHUB_STEP_SUMMARY")
    if target:
        with open(target, "a") as file:
            file.write(f"{markdown}\n")


def _must_hold(place: Place, root: str) -> None:
    """Verify the chain from the root that is given, else from the first commit that the forge shows."""
    from gitqueue import acts
    from gitqueue.steps import enter

    first = root or list(place.queue.objects.first_parents(place.queue.approved))[-1]
    place.clone.configure({enter.ROOT: first})
    acts.must_hold(place.clone, place.queue)


@ci.command(epilog='Example: gitqueue ci request --commit "$COMMIT" --number "$NUMBER" --report "$REPORT"')
@click.option("--commit", required=True, help="The pull request's head.")
@click.option("--number", type=click.IntRange(1, 10**9), required=True)
@click.option("--report", "folder", required=True, metavar="DIR", help="A new folder for what is found.")
@click.option("--root", default="", help="The trust root, as the site's owners tell it.")
@click.pass_context
def request(context: click.Context, commit: str, number: int, folder: str, root: str) -> None:
    """Judge a pull request as the site will, and run it on mock data, in the sandbox."""
    from time import time

    from gitqueue.steps import propose

    place, target = here(context), Path(folder)
    tip = place.clone.git("rev-parse", "--verify", "--end-of-options", f"{commit}^{{commit}}").strip()
    target.mkdir(parents=True)
    (target / "number").write_text(f"{number}\n")
    try:
        _must_hold(place, root)
        found = propose.judge(place.queue, tip, time())
        failed, lines = _found(place, found)
    except GitqueueError as error:
        _tell(target, list(error.lines()), "")
        raise
    _tell(target, lines, "" if found.reasons else _reviewed(place, found))
    if found.reasons:
        raise No(*found.reasons, step="mend it and push again; .gitqueue/REVIEW.md says what owners look at")
    if failed:
        raise No(failed, step="mend the job and push again; gitqueue test runs it on your machine")


def _found(place: Place, found: "Proposed") -> tuple[str, list[str]]:
    """Why the rehearsal failed, if it did; and what there is to say of all."""
    from gitqueue.steps import rehearse

    if found.job is None or found.reasons:
        return "", ["The site would refuse this request:", *(f"- {reason}" for reason in found.reasons)]
    lines = [f"{found.job}: nothing against it. An owner decides; the runner takes it in by itself."]
    try:
        seen = rehearse.at_home(place.queue, found.job, found.files)
    except GitqueueError as error:  # a machine without user namespaces, packages that cannot be built
        return "", [*lines, "It was not run on mock data here:", *error.lines()]
    ended = seen.report.ended
    return (f"the run on mock data failed: {ended.reason}" if ended.reason else ""), [*lines, "", seen.text()]


def _reviewed(place: Place, found: "Proposed") -> str:
    """The report that owners read, as Markdown in which nothing of the request can pass for ours."""
    from gitqueue.cli import walk
    from gitqueue.steps import propose

    propose.show_as_request(place.clone, found)
    with suppress(GitqueueError):
        return walk.read(place, place.queue.job(found.job), markdown=True) if found.job else ""
    return ""


def _tell(target: Path, lines: list[str], report: str) -> None:
    text = "\n".join(lines)
    show.say(text)
    (target / "report.txt").write_text(text)
    _summary("\n\n".join(filter(None, ["# gitqueue", _fenced(text), report])))


def _fenced(text: str) -> str:
    """As a block of code that the text itself cannot end, whatever it is; nobody is mentioned and nothing linked."""
    from gitqueue.rules.tree import escape

    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{escape(text)}\n{fence}"


@ci.command(epilog='Example: gitqueue ci comment --commit "$COMMIT" --report "$REPORT"')
@click.option("--commit", required=True, help="The commit that the other workflow ran on, as GitHub says.")
@click.option("--report", "folder", required=True, metavar="DIR", help="The artifact of the other workflow.")
def comment(commit: str, folder: str) -> None:
    """Post what another workflow found, as data: it ran what a stranger pushed, and may hold anything."""
    from gitqueue.adapters.github import Hub

    number = _data(Path(folder) / "number", 10).strip()
    if not re.fullmatch("[1-9][0-9]{0,8}", number):
        raise Mistake(f"the artifact names no pull request, but {number!r}")
    hub = Hub(os.environ)
    if hub.head(int(number)) != commit:
        show.say(f"pull request {number} does not stand at {commit[:12]}: nothing is said of it")
        return
    text = _data(Path(folder) / "report.txt", _LONGEST)
    hub.comment(int(number), f"What the check of {commit[:12]} found:\n\n{_fenced(text)}")
    show.say(f"said on pull request {number}")


def _data(path: Path, most: int) -> str:
    """The start of a plain file that a stranger may have written."""
    if path.is_symlink() or not path.is_file():
        raise Mistake(f"the artifact holds no plain file {path.name!r}")
    with path.open("rb") as file:
        return file.read(most).decode("utf-8", "replace")


@ci.command(epilog="Example: gitqueue ci watch --root 3f2a…")
@click.option("--root", default="", help="The trust root, as the site's owners tell it.")
@click.option("--days", default=3, help="Requests that have waited so long are named.")
@click.pass_context
def watch(context: click.Context, root: str, days: int) -> None:
    """Verify the site as the forge shows it, and name the requests that wait."""
    from time import time

    from gitqueue.rules.chain import Chain
    from gitqueue.rules.lifecycle import State
    from gitqueue.steps import enter, verify

    place = here(context)
    _must_hold(place, root)
    chain = verify.extend(place.queue.history, Chain(), enter.verify_root(place.clone), place.queue.approved)
    jobs = place.queue.jobs()
    for job in jobs:
        if job.results:
            verify.results(place.queue, job, chain)
    verify.audit(place.queue, chain, enter.verify_root(place.clone), None)
    waiting = [job for job in jobs if job.state is State.PENDING and job.revision]
    old = [job for job in waiting if place.queue.objects.commit(job.revision or "").date < time() - days * 86400]
    lines = [f"the chain holds: {len(chain.approvals)} approvals; {len(waiting)} requests wait"]
    lines += [f"{job.id} waits for an owner since more than {days} days" for job in old]
    show.say("\n".join(lines))
    for line in lines[1:]:
        click.echo(f"::warning title=gitqueue::{line}")  # names alone, of a-z, 0-9 and -
    _summary(_fenced("\n".join(lines)))


_SHOWN = {
    "pending": ("pending", "waits for an owner"),
    "changes-requested": ("failure", "an owner asked for changes"),
    "rejected": ("failure", "an owner rejected it"),
    "cancelled": ("error", "cancelled"),
    "approved": ("pending", "approved; it waits in the queue"),
    "suspended": ("pending", "suspended: its approver's key was revoked"),
    "running": ("pending", "running"),
    "held": ("pending", "it ran; an owner looks at its outputs"),
    "withheld": ("failure", "its outputs stay at the site"),
    "failed": ("failure", "its run failed"),
    "interrupted": ("error", "its run was interrupted"),
    "completed": ("success", "completed: the results are there"),
}


@ci.command(epilog="Example: gitqueue ci status")
@click.option("--most", default=50, help="Of the newest requests.")
@click.pass_context
def status(context: click.Context, most: int) -> None:
    """Show by commit status how each request stands, by what is signed in this clone."""
    from gitqueue.adapters.github import Hub

    place = here(context)
    hub = Hub(os.environ)
    for job, state, words in _states(place, most):
        hub.status(job, state, words)
        show.say(f"{job[:12]}: {words}")


def _states(place: Place, most: int) -> Iterator[tuple[str, str, str]]:
    for job in place.queue.jobs()[-most:]:
        if job.revision and str(job.state) in _SHOWN:
            yield job.revision, *_SHOWN[str(job.state)]


COMMANDS = (ci,)
