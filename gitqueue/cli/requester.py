"""Commands of a requester: from cloning a site to reading a result."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from gitqueue.cli import follow, show
from gitqueue.cli.place import Place, here
from gitqueue.errors import Mistake, No, NotAllowed

if TYPE_CHECKING:
    from gitqueue.refs import JobId
    from gitqueue.rules.findings import Verdict


@cloup.command(epilog="Example: gitqueue clone ssh://site@centre.example/srv/cancer-centre/site.git desk --root 3f2a…")
@click.argument("url")
@click.argument("folder", required=False)
@click.option("--root", metavar="ID", help="The trust root, as the site's owners tell you: the chain's first commit.")
def clone(url: str, folder: str | None, root: str | None) -> None:
    """git clone, plus signing by ssh and the pinned trust root in its configuration."""
    from gitqueue.steps import enter

    target = Path(folder or Path(url.rstrip("/").removesuffix("/site.git").removesuffix(".git")).name)
    entered = enter.clone(url, target, root)
    for line in entered.notes:
        show.note(line)
    show.say(f"cloned {entered.site} into {target}/ (trust root {entered.root})")
    for line in entered.next:
        show.say(line)


@cloup.command(epilog="Example: gitqueue datasets")
@click.argument("dataset", required=False)
@show.as_json
@show.offline
@click.pass_context
def datasets(context: click.Context, dataset: str | None, json_: bool, offline: bool) -> None:
    """What data there are: their assets, and where their mock data lie."""
    from gitqueue.cli import catalogue

    catalogue.tell(here(context, offline), dataset, json_)


@cloup.command(epilog="Example: gitqueue new bc-mean --dataset breast-cancer --template python")
@click.argument("name")
@click.option("--dataset", "names", multiple=True, help="A dataset that the job needs; may be given again.")
@click.option("--template", default="python", show_default=True, help="What to start from: python, function, r, shell.")
@show.offline
@click.pass_context
def new(context: click.Context, name: str, names: tuple[str, ...], template: str, offline: bool) -> None:
    """Begin a job: a branch and a folder that runs as it is."""
    from gitqueue.steps import submit as step

    known = step.templates()
    if template not in known:
        raise Mistake(f"there is no template {template!r}", step=f"take one of {', '.join(known)}")
    place = here(context, offline)
    chosen = names or _only_dataset(place)
    folder = step.new(place.clone, step.NewJob(name, chosen, template))
    show.say(f"began {folder.relative_to(place.clone.path)}/ on branch {place.clone.branch}")
    show.say(
        f"next: edit {', '.join(sorted(path.name for path in folder.iterdir()))}, then gitqueue test, gitqueue submit"
    )


def _only_dataset(place: Place) -> tuple[str, ...]:
    known = tuple(place.queue.history.site(place.queue.approved).datasets)
    if len(known) == 1:
        return known
    raise Mistake(f"say which dataset: {', '.join(known) or 'this site has none yet'}", step="--dataset NAME")


@cloup.command(epilog="Example: gitqueue check --fix")
@click.argument("job", required=False)
@click.option("--fix", is_flag=True, help="Write the lock of the requirements, with hashes.")
@show.as_json
@show.offline
@click.pass_context
def check(context: click.Context, job: str | None, fix: bool, json_: bool, offline: bool) -> None:
    """Judge the job's files by the site's own rules, before anything is sent."""
    from gitqueue import acts
    from gitqueue.steps import submit as step

    place = here(context, offline)
    id_ = place.job_id(job)
    acts.must_hold(place.clone, place.queue)
    for line in step.fix(place.clone, place.queue, id_) if fix else ():
        show.note(line)
    reasons = step.check(place.clone, place.queue, id_)
    verdict = _weighed(place, id_)
    if json_:
        show.document({"job": str(id_), "ok": not reasons, "reasons": list(reasons), **verdict.document()})
    else:
        _advise(verdict, reasons)
    if reasons:
        raise No(*reasons, step="mend it; what else owners look at stands in .gitqueue/REVIEW.md")
    if not json_:
        show.say(f"{id_}: nothing against it")


def _weighed(place: Place, id_: "JobId") -> "Verdict":
    from gitqueue.steps import submit as step
    from gitqueue.steps import weigh

    files, refused = step.files(place.clone, place.queue, id_)
    return weigh.unread("; ".join(refused)) if refused else weigh.files(place.queue, id_, files, place.clone)


def _advise(verdict: "Verdict", reasons: tuple[str, ...]) -> None:
    """What owners will read of the code, with how to mend it; no fault, so the site takes the job all the same.
    A fault that kept the code from being looked at is among the `reasons`, which follow."""
    told = [one for one in verdict.findings if not any(reason in one.why for reason in reasons)]
    for one in told:
        show.note(f"{one.sentence}\n    to mend it: {one.mend}")
    if verdict.left_out:
        show.note(f"and {verdict.left_out} more")
    if told:
        show.note(f"owners will read this, beside a recommendation: {verdict.summary}")


@cloup.command(epilog="Example: gitqueue test")
@click.argument("job", required=False)
@click.option("-o", "output", metavar="DIR", help="Keep what the job wrote in this folder.")
@click.option("--no-sandbox", is_flag=True, help="Where bubblewrap cannot run: with no protection at all.")
@show.offline
@click.pass_context
def test(context: click.Context, job: str | None, output: str | None, no_sandbox: bool, offline: bool) -> None:
    """Run the job on mock data, in the same sandbox as at the site, twice: are its outputs the same again?

    The site's owners are told with `submit` what it wrote, by its digests.
    """
    from gitqueue.steps import collect, rehearse
    from gitqueue.steps import submit as step

    place = here(context, offline)
    id_ = place.job_id(job)
    files, refused = step.files(place.clone, place.queue, id_)
    if refused:
        raise No(*refused, step="gitqueue check")
    if no_sandbox:
        _warn(place)
    show.note(f"running {id_} on mock data …")
    seen = rehearse.at_home(place.queue, id_, files, confined=not no_sandbox)
    show.say(seen.text())
    if output:
        collect.write(seen.outputs, Path(output))
    ended = seen.report.ended
    if ended.reason:
        detail = f" {ended.exit_code}" if ended.reason == "exit-code" else ""
        raise No(f"the run failed: {ended.reason}{detail}", step="mend the job, then gitqueue test again")
    rehearse.remember(place.clone, id_, seen)
    show.say("next: gitqueue submit")


def _warn(place: Place) -> None:
    """Loudly. Raises NotAllowed beside a site: there, real data and keys are within the job's reach."""
    from gitqueue.adapters import settings

    if settings.find(Path(place.clone.url)):
        raise NotAllowed(
            "this machine holds the site itself: nothing runs without a sandbox beside it", step="gitqueue doctor"
        )
    show.note("WARNING: no sandbox. This code can read, change and send all that you can, on this whole machine;")
    show.note("WARNING: only its time is limited. Go on only with code that you wrote or have read.")


@cloup.command(epilog='Example: gitqueue submit -m "Mean radius by diagnosis"')
@click.argument("job", required=False)
@click.option("-m", "message", default="", help="The commit's message.")
@click.pass_context
def submit(context: click.Context, job: str | None, message: str) -> None:
    """Commit the job's folder, signed, and push it as a request; again after a change.

    Whoever may read the site's repository may read your request.
    """
    from gitqueue.steps import submit as step

    place = here(context)
    sent = step.submit(place.clone, place.job_id(job), message)
    show.say(sent.answer)


@cloup.command(epilog="Example: gitqueue results rachel/bc-mean -o results/")
@click.argument("job", required=False)
@click.option("-o", "output", metavar="DIR", help="Where to write the files (default: results/<job>/).")
@click.option("--identity", metavar="KEY", help="The private key to open sealed results with.")
@show.offline
@click.pass_context
def results(context: click.Context, job: str | None, output: str | None, identity: str | None, offline: bool) -> None:
    """Fetch a job's results: checked against their signature and provenance, unsealed, written."""
    from gitqueue.cli.keys import unsealer
    from gitqueue.steps import collect

    place = here(context, offline)
    found = place.job(job)
    files = collect.results(place.queue, found, unsealer(place.clone, identity))
    folder = Path(output) if output else Path("results", found.id.name)
    for path in collect.write(files, folder):
        show.say(str(path))
    if not files:
        show.say(f"{found.id} completed and released no files")


COMMANDS = (clone, datasets, new, check, test, submit, follow.watch, results)
