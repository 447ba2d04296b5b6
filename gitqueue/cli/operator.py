"""Commands of the operator, at the site itself."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from gitqueue import refs
from gitqueue.cli import hosting, show
from gitqueue.cli.place import at_site, here
from gitqueue.errors import Mistake, OperatorNeeded, Tampered

if TYPE_CHECKING:
    from gitqueue.adapters.settings import Site


@cloup.command(epilog="Example: gitqueue init cancer-centre --owner owen --key ~/.ssh/id_ed25519")
@click.argument("folder", metavar="DIR")
@click.option("--owner", help="The first owner's name (default: git's user.name).")
@click.option("--email", help="Their e-mail address (default: git's user.email).")
@click.option("--key", help="Their ssh key (default: git's user.signingkey).")
@click.option("--recovery-key", "recovery", metavar="FILE.pub", help="An offline key that may change people alone.")
@click.option("--remote", metavar="URL", help="An empty repository on a forge, which is to host the site.")
@click.option(
    "--forge", type=click.Choice(hosting.KINDS), help="What kind of forge that is (default: as its name says)."
)
@click.pass_context
def init(
    context: click.Context, /, folder: str, owner: str | None, email: str | None, key: str | None, **more: str
) -> None:
    """Make a new site: a repository to clone, a vault, and the signed first commit.

    With --remote the repository that people clone lies on a forge, and this machine reaches out to it.
    """
    from gitqueue.adapters.clone import NO_KEY, public_key, user_setting
    from gitqueue.rules import policy
    from gitqueue.steps import found

    address = email or user_setting("user.email")
    if not address:
        raise Mistake("the first owner has no e-mail address", step="--email YOU@EXAMPLE")
    signing = key or user_setting("user.signingkey")
    if not signing:
        raise Mistake("the first owner has no signing key", step=f"--key ~/.ssh/id_ed25519; or {NO_KEY}")
    remote = policy.remote(more["remote"]) if more.get("remote") else None
    kind = more.get("forge") or hosting.kind_of(remote or "")
    path = (Path(context.obj) / folder).absolute()
    name = refs.slug(owner or user_setting("user.name"))
    spare = public_key(more["recovery"]) if more.get("recovery") else None
    founder = found.Founder(name, address, public_key(signing), _signing(signing), spare)
    site = found.begin(path, founder, remote, hosting.documents(kind) if remote else {})
    show.say(f"made the site {refs.slug(path.name)} in {folder}; its trust root is {site.settings().root}")
    show.say(
        "each new request is run on mock data, in the sandbox, before anybody approves it; where that shall not be,"
    )
    show.say("in an owner's clone: gitqueue policy set rehearse=manual")
    if remote:
        hosting.host(site, kind, remote)
    else:
        show.say("next:")
        show.say(f"  gitqueue clone {folder}/site.git my-desk   # then, in it, dataset add and person add")
    show.say(f"  gitqueue -C {folder} doctor                # whether jobs can run here")
    show.say(f"  gitqueue -C {folder} serve                 # the runner")


def _signing(key: str) -> str:
    path = Path(key).expanduser()
    return str(path.absolute()) if path.exists() else key


@cloup.command(epilog="Example: gitqueue -C cancer-centre serve")
@click.option("--once", is_flag=True, help="Do all that can be done now, then exit.")
@click.option("--install", is_flag=True, help="Make it a service of systemd: the machine's, or for non-root yours.")
@click.pass_context
def serve(context: click.Context, once: bool, install: bool) -> None:
    """The runner: verify, run, collect, publish; until stopped."""
    from gitqueue import runner
    from gitqueue.adapters import sandbox
    from gitqueue.adapters.premises import Premises

    site = at_site(context)
    if install:
        _install(site)
        return
    problems = sandbox.problems(*Premises(site, site.settings()).sandbox_user)
    if problems:
        raise OperatorNeeded(*problems)
    alarm = runner.serve(site, runner.chosen(_aloud), once)
    if alarm is not None and not isinstance(alarm, Tampered):
        raise alarm
    if alarm is not None:
        raise Tampered("the runner found tampering; its words stand above", step="mend it, then start the runner again")


def _aloud(text: str, /, **_: object) -> None:
    show.note(text)


def _install(site: "Site") -> None:
    """Write the unit, and say what is left to do."""
    from gitqueue import runner

    there, service = runner.install(site)
    show.say(f"{'made anew' if there else 'wrote'} {service.unit}; next:")
    if service.system:
        show.say(f"  systemctl daemon-reload && systemctl enable --now {service.name}")
        show.say(f"  journalctl -u {service.name} -f            # what it says")
        return
    show.say(f"  systemctl --user daemon-reload && systemctl --user enable --now {service.name}")
    show.say("  loginctl enable-linger                     # so that it also runs while you are not logged in")
    show.say(f"  journalctl --user -u {service.name} -f     # what it says")


@cloup.command(epilog='Example: gitqueue -C cancer-centre pause -m "Back-up of the data until noon"')
@click.option("-m", "message", default="", help="Why; status and the runner say it.")
@click.pass_context
def pause(context: click.Context, message: str) -> None:
    """Start no further job, until `resume`; what runs goes on."""
    from gitqueue.adapters import wake

    site = at_site(context)
    site.remember("paused", f"paused: {message}" if message else "paused by the operator")
    wake.wake(site.socket)
    show.say("no further job starts; go on with gitqueue resume")


@cloup.command(epilog="Example: gitqueue -C cancer-centre resume")
@click.pass_context
def resume(context: click.Context) -> None:
    """Start jobs again after `pause`."""
    from gitqueue.adapters import wake

    site = at_site(context)
    if not site.paused:
        show.say("this site is not paused")
        return
    _must_have_its_name(site)
    site.memory("paused").unlink(missing_ok=True)
    wake.wake(site.socket)
    show.say("jobs start again")


def _must_have_its_name(site: "Site") -> None:
    """A site that was restored for trials is the real one until its owners have said otherwise."""
    from gitqueue.adapters.premises import Premises
    from gitqueue.steps import backup

    queue = Premises(site, site.settings()).queue
    wanted = backup.name_wanted(site, queue.history.site(queue.approved).policy.site)
    if wanted:
        raise OperatorNeeded(
            f"this site was restored for trials as {wanted!r}, and its owners have not named it so",
            step=f"in an owner's clone of it: gitqueue policy set site={wanted}",
        )


@cloup.command(epilog="Example: gitqueue -C cancer-centre status")
@show.as_json
@click.pass_context
def status(context: click.Context, json_: bool) -> None:
    """How the site stands: its runner, its queue, what waits for whom."""
    from gitqueue import runner
    from gitqueue.rules.lifecycle import State, next_step
    from gitqueue.steps import operate

    place = here(context)
    if place.site is None:
        _desk_status(place, json_)
        return
    found = {**operate.standing(place.site), "runner": runner.runner_of(place.site)}
    if json_:
        show.document(found)
        return
    who = f"runner: process {found['runner']}" if found["runner"] else "runner: none; start it with gitqueue serve"
    paused = f" ({place.site.paused}; gitqueue resume)" if place.site.paused else ""
    show.say(f"site {found['site']}, approved at {found['approved'][:12]}\n{who}{paused}")
    if found["forge"]:
        show.say(f"forge: {found['forge']['url']}, last answered at {found['forge']['heard_at'] or 'no time yet'}")
    for warning in found["warnings"]:
        show.say(f"warning: {warning}")
    show.table(
        ("state", "jobs", "next"),
        [(name, str(count), next_step(State(name))) for name, count in sorted(found["jobs"].items())],
    )
    if found["waiting"]:
        show.table(("waiting", "why"), [(one["job"], one["why"]) for one in found["waiting"][:_SHOWN]])
    if len(found["waiting"]) > _SHOWN:
        show.say(f"and {len(found['waiting']) - _SHOWN} more (--json has them all)")


_SHOWN = 8


def _desk_status(place, json_: bool) -> None:  # type: ignore[no-untyped-def]
    """In a clone: who I am here, and my open jobs."""
    from gitqueue.steps import describe

    me = place.me()
    jobs = [describe.summary(place.queue, job) for job in place.queue.jobs()]
    site = place.queue.history.site(place.queue.approved).policy.site
    if json_:
        show.document({"site": site, "me": me, "approved": place.queue.approved, "jobs": jobs})
        return
    show.say(f"site {site}; you are {me or 'not known here: gitqueue clone says how to be added'}")
    mine = [job for job in jobs if job["requester"] == me]
    show.table(("job", "state", "name"), [(job["id"], job["state"], job["name"]) for job in mine or jobs])


@cloup.command(epilog="Example: gitqueue -C cancer-centre logs rachel/bc-mean")
@click.argument("job")
@click.option("-f", "--follow", "following", is_flag=True, help="Go on telling, until the run is over.")
@click.pass_context
def logs(context: click.Context, job: str, following: bool) -> None:
    """The log of a job's run, at the site: the live one, or the one in the vault."""
    from gitqueue.cli import follow
    from gitqueue.steps import look

    site = at_site(context)
    place = here(context)
    found = place.job(job)
    if following:
        follow.log(place, found)
        return
    live = sorted(site.spool.glob(f"{found.id.requester}+{found.id.name}+*/log"))
    show.say(live[-1].read_text(errors="replace") if live else look.left(place.ground, found).log)


@cloup.command(epilog="Example: gitqueue -C cancer-centre doctor --fix")
@click.option("--fix", is_flag=True, help="Mend what can be mended without a person.")
@click.pass_context
def doctor(context: click.Context, fix: bool) -> None:
    """What is wrong with this site or machine, and how to mend it."""
    from gitqueue.errors import No
    from gitqueue.steps import operate

    site = at_site(context)
    ailments = operate.examine(site, sys.executable)
    left = []
    for ailment in ailments:
        if fix and ailment.mend:
            ailment.mend()
            show.say(f"mended: {ailment.what}")
            continue
        left.append(ailment)
        show.say(f"{ailment.what}")
        if ailment.remedy:
            show.say(f"  mend it: {ailment.remedy}")
    with suppress(OperatorNeeded):  # there is no account for jobs: said above
        for name, by in operate.protections(site):
            show.say(f"a job's {name}: {by}")
    grave = [ailment for ailment in left if ailment.grave]
    if grave:
        raise No(f"{len(grave)} things are wrong", step="mend them, then gitqueue doctor again")
    show.say("this site is in order")


COMMANDS = (init, serve, status, pause, resume, logs, doctor)
