"""Commands for anyone who may read the site."""

import shlex
from typing import TYPE_CHECKING, Any

import click
import cloup

from gitqueue.cli import show, walk
from gitqueue.cli.owner import cancel, comment
from gitqueue.cli.place import Place, here
from gitqueue.errors import Mistake
from gitqueue.rules.lifecycle import OPEN, Decision, State, next_step

if TYPE_CHECKING:
    from gitqueue.adapters.queue import Job
    from gitqueue.rules.authority import Note


@cloup.command("list", epilog="Example: gitqueue list --state pending")
@click.option("--all", "all_", is_flag=True, help="Finished ones, too.")
@click.option("--state", help="Only those that stand so.")
@click.option("--requester", help="Only this person's.")
@click.option("--project", help="Only this project's.")
@click.option("--tag", help="Only those with this tag.")
@show.as_json
@show.offline
@click.pass_context
def list_(context: click.Context, /, json_: bool, offline: bool, **wanted: Any) -> None:
    """Open jobs, oldest first."""
    from gitqueue.steps import describe

    state = wanted["state"]
    if state is not None and state not in {one.value for one in State}:
        raise Mistake(f"there is no state {state!r}", step=f"one of {', '.join(one.value for one in State)}")
    place = here(context, offline)
    jobs = [job for job in _jobs(place, wanted) if wanted["all_"] or state or job.state in OPEN]
    rows = [describe.summary(place.queue, job) for job in jobs]
    rows = [row for row in rows if _fits(row, wanted)]
    if json_:
        show.document(rows)
    elif rows:
        show.table(("job", "state", "name"), [(row["id"], row["state"], row["name"]) for row in rows])
    else:
        show.note("gitqueue: no open jobs; finished ones: gitqueue list --all")


def _jobs(place: Place, wanted: dict[str, Any]) -> "list[Job]":
    """Those of a requester, or all; the closed ones first, where they are asked for."""
    live = place.queue.jobs(wanted["requester"])
    if not wanted["all_"] and wanted["state"] != State.CLOSED.value:
        return live
    place.see_archive()
    there = {job.id for job in live}
    over = [one for one in place.queue.archived().values() if one.job not in there]
    return [place.queue.closed(one) for one in over if wanted["requester"] in (None, one.job.requester)] + live


def _fits(row: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return (
        wanted["state"] in (None, row["state"])
        and wanted["project"] in (None, row["project"])
        and (wanted["tag"] is None or wanted["tag"] in row["tags"])
    )


@cloup.command("show", epilog="Example: gitqueue show rachel/bc-mean --sandbox")
@click.argument("job", required=False)
@click.option("--sandbox", is_flag=True, help="The sandbox's exact arguments, each with its reason.")
@show.as_json
@show.offline
@click.pass_context
def show_(context: click.Context, job: str | None, sandbox: bool, json_: bool, offline: bool) -> None:
    """One job: where it stands, what was said, who acts next."""
    from gitqueue.steps import describe

    place = here(context, offline)
    found = place.job(job)
    if sandbox:
        _show_walls(place, found, json_)
        return
    if json_:
        show.document(describe.whole(place.queue, found, walk.weighed(place, found)))
        return
    row = describe.whole(place.queue, found)
    show.say(f"{row['id']}  {row['state']}{' (' + row['reason'] + ')' if row['reason'] else ''}")
    for name in ("name", "requester", "project", "purpose", "created_at", "revision"):
        if row[name]:
            show.say(f"  {name.replace('_', ' ')}: {row[name]}")
    show.say(f"  datasets: {', '.join(row['datasets']) or 'none'}")
    rehearsed = [note for note in found.notes if note.decision is Decision.REHEARSED]
    for note in found.notes:
        tell_note(note, whole=note not in rehearsed[:-1])
    if row["approval"]:
        show.say(f"  {row['approval']['at']} {row['approval']['by']}: approved: {row['approval']['reason']}")
    if row["run"] and row["run"]["said"]:
        show.say(f"  the runner said: {row['run']['said']}")
    show.say(f"next: {next_step(found.state)}")


def tell_note(note: "Note", whole: bool) -> None:
    """Who said what: all of it, or its first line."""
    from textwrap import indent

    from gitqueue.adapters.render import quoted
    from gitqueue.rules.rehearsal import told
    from gitqueue.steps import describe

    said = describe.decision(note)
    at = f" on {note.at}" if note.at else ""
    first, *more = told(note).strip().splitlines() or [""]
    show.say(f"  {said['at']} {said['by'] or 'somebody unknown'}: {said['decision']}{at}: {first}")
    if more and whole:
        show.say(indent(quoted("\n".join(more).strip("\n"), 70), "    "))


def _show_walls(place: Place, job: "Job", json_: bool) -> None:
    """Of its run, as the vault has them, for an owner; for everybody else, and before it ran, as they would be."""
    from gitqueue.adapters import files
    from gitqueue.errors import No, NotAllowed
    from gitqueue.steps import confine, look

    walls, why = confine.to_come(place.queue, job), ""
    try:
        left = look.left(place.ground, job)
        if left.plan and left.ended.get("sandbox"):
            walls = confine.of_run(files.plan(left.plan), left.ended["sandbox"], left.ended["enforced"])
    except (No, NotAllowed) as error:
        why = f" ({error.reasons[0]})"
    if json_:
        show.document(walls.document())
        return
    show.say(
        f"{job.id}: as it ran" if walls.ran else f"{job.id}: as it would run now{why}; what is in <> is the host's"
    )
    for words, reason in walls.arguments:
        if words:
            show.say(f"{shlex.join(words)}" + (f"\n    # {reason}" if reason else ""))
    for name, by in walls.enforced:
        show.say(f"limit of {name}: {by}")


@cloup.command(epilog="Example: gitqueue verify")
@click.argument("jobs", nargs=-1)
@show.as_json
@show.offline
@click.pass_context
def verify(context: click.Context, jobs: tuple[str, ...], json_: bool, offline: bool) -> None:
    """Replay the chain from its pinned root, and hold results against it; offline, on anyone's machine."""
    from gitqueue.rules.chain import Chain
    from gitqueue.steps import verify as step

    place = here(context, offline)
    root = _root(place)
    place.see_archive()
    chain = step.extend(place.queue.history, Chain(), root, place.queue.approved)
    wanted = [place.job(job) for job in jobs] if jobs else [job for job in place.queue.jobs() if job.results]
    checked = [step.results(place.queue, job, chain) for job in wanted]
    entries = step.audit(place.queue, chain, root, place.audit_seen())
    place.see_audit()
    if json_:
        show.document(
            {
                "root": root,
                "audit": entries,
                "tip": chain.tip,
                "approvals": len(chain.approvals),
                "results": [str(job) for job in checked],
            }
        )
        return
    show.say(f"the chain holds: {len(chain.approvals)} approvals from {root[:12]} to {(chain.tip or '')[:12]}")
    show.say(f"{len(checked)} results are the runner's, each on top of its approval, with the files that it names")
    show.say(f"the audit holds: {entries} entries, each the runner's, and the refs stand where they say")
    show.say("not seen from here: the vault, and what sealed results hold inside")


def _root(place: Place) -> str:
    from gitqueue.steps import enter

    return place.site.settings().root if place.site else enter.verify_root(place.clone)


@cloup.command(epilog="Example: gitqueue audit rachel/bc-mean")
@click.argument("job", required=False)
@click.option("--person", help="Only what this person did.")
@click.option("--since", metavar="DAY", help="Only from this day on (UTC).")
@click.option("--follow", is_flag=True, help="Go on telling, until stopped.")
@show.as_json
@show.offline
@click.pass_context
def audit(context: click.Context, /, job: str | None, json_: bool, offline: bool, follow: bool, **only: Any) -> None:
    """What happened, oldest first: every push, claim, result and alarm, as the runner signed it."""
    from dataclasses import asdict
    from time import sleep

    from gitqueue.rules.journal import sentence
    from gitqueue.steps import tell

    place = here(context, offline)
    wanted = tell.Wanted(str(place.job_id(job)) if job else None, only["person"], only["since"])
    entries, seen = tell.story(place.queue, wanted)
    if json_:
        show.document([{**asdict(entry), "event": str(entry.event)} for entry in entries])
        return
    while True:
        for entry in entries:
            show.say(sentence(entry))
        if not follow:
            return
        sleep(2)
        place = here(context, offline)
        entries, seen = tell.story(place.queue, wanted, seen)


@cloup.command(epilog="Example: gitqueue version")
def version() -> None:
    """Which gitqueue this is."""
    from gitqueue import __version__

    show.say(f"gitqueue {__version__}")


COMMANDS = (list_, show_, comment, cancel, verify, audit, version)
