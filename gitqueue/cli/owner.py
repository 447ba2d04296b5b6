"""Commands of an owner: reading requests, deciding, looking at outputs, and governing the site."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from gitqueue.cli import show
from gitqueue.cli.place import Place, here
from gitqueue.errors import Mistake
from gitqueue.rules.lifecycle import Decision

if TYPE_CHECKING:
    pass


@cloup.command(epilog="Example: gitqueue review rachel/bc-mean")
@click.argument("job", required=False)
@click.option("--markdown", is_flag=True, help="As Markdown.")
@show.offline
@click.pass_context
def review(context: click.Context, job: str | None, markdown: bool, offline: bool) -> None:
    """The report to decide by: who, what for, the code, what speaks against it, and how to answer.

    On a terminal, without JOB: all that wait for you, one after the other, each with your answer.
    """
    from gitqueue.cli import walk

    place = here(context, offline)
    if job or place.site or place.clone.branch.startswith("requests/"):
        show.paged(walk.read(place, place.job(job), markdown))
    elif show.asks():
        walk.through(place)
    else:
        show.paged(walk.read(place, walk.waiting(place)[0], markdown))


@cloup.command(epilog="Example: gitqueue diff rachel/bc-mean --new")
@click.argument("job", required=False)
@click.option("--new", is_flag=True, help="Only what changed since the revision that was reviewed last.")
@show.offline
@click.pass_context
def diff(context: click.Context, job: str | None, new: bool, offline: bool) -> None:
    """What the request adds, as git shows it, but not to be fooled."""
    from gitqueue.cli import walk
    from gitqueue.steps import report

    place = here(context, offline)
    found = place.job(job)
    since = report.read_last(place.queue, found, walk.last_read(place, found)) if new else None
    if new and since is None:
        raise Mistake(f"no earlier revision of {found.id} was reviewed", step=f"gitqueue diff {found.id}")
    show.paged(report.changed(place.queue, found, since) if since else report.diff(place.queue, found))
    walk.remember(place, found)


@cloup.command(epilog='Example: gitqueue approve rachel/bc-mean -m "Aggregates only"')
@click.argument("jobs", nargs=-1, required=True)
@click.option("-m", "message", default="", help="Why: the merge's message.")
@click.pass_context
def approve(context: click.Context, jobs: tuple[str, ...], message: str) -> None:
    """Merge each job, signed, exactly as it was read; the runner then runs it."""
    from gitqueue.cli import answers

    place = here(context, offline=False)
    answers.approve(place, [place.job_id(job) for job in dict.fromkeys(jobs)], message)


def _decision(name: str, decision: Decision, help_: str, needs_reason: bool):  # type: ignore[no-untyped-def]
    """A command that signs one decision."""

    @cloup.command(name, help=help_, epilog=f'Example: gitqueue {name} rachel/bc-mean -m "Why"')
    @click.argument("job", required=False)
    @click.option("-m", "message", default="", required=needs_reason, help="Why; everybody of the site can read it.")
    @click.pass_context
    def command(context: click.Context, job: str | None, message: str) -> None:
        from gitqueue.cli import answers

        place = here(context, offline=False)
        answers.say(place, place.job_id(job), decision, message)

    return command


request_changes = _decision(
    "request-changes", Decision.CHANGES_REQUESTED, "Ask the requester to change something, and say what.", True
)
reject = _decision("reject", Decision.REJECTED, "Say no, and why.", True)
withhold = _decision(
    "withhold", Decision.WITHHOLD, "Keep a held job's outputs at the site for good, and say why.", True
)


@cloup.command(epilog='Example: gitqueue comment rachel/bc-mean --at main.py:12 -m "Why this threshold?"')
@click.argument("job", required=False)
@click.option("-m", "message", required=True, help="What you say; everybody of the site can read it.")
@click.option("--at", metavar="FILE:LINE", help="The line of the job that you speak of.")
@click.pass_context
def comment(context: click.Context, job: str | None, message: str, at: str | None) -> None:
    """Say something on a job, or on one line of it."""
    from gitqueue.cli import answers

    place = here(context, offline=False)
    answers.say(place, place.job_id(job), Decision.COMMENT, message, at)


cancel = _decision("cancel", Decision.CANCEL, "Withdraw a request, or stop its run.", False)
rerun = _decision(
    "rerun", Decision.RERUN, "Run a job again that failed or was interrupted, or one that is suspended.", False
)


@cloup.command("try", epilog="Example: gitqueue try rachel/bc-mean --real")
@click.argument("job", required=False)
@click.option("--mock", "real", flag_value="", help="On the mock data: a rehearsal, once more.")
@click.option("--real", "real", flag_value="real", help="On the real data; what it leaves stays in the vault.")
@click.option("-m", "message", default="", help="Why.")
@click.pass_context
def try_(context: click.Context, job: str | None, real: str | None, message: str) -> None:
    """Have a request run before you approve it: signs a decision, which the runner obeys once.

    On the real data by as many owners as an approval needs. Where the site lies on this machine and no runner serves
    it, what waits there is done now.
    """
    from gitqueue.cli import answers

    if real is None:
        raise Mistake("say on which data", step="gitqueue try JOB --mock, or gitqueue try JOB --real")
    place = here(context, offline=False)
    answers.have_tried(place, place.job_id(job), Decision.TRY_REAL if real else Decision.TRY_MOCK, message)


@cloup.command(epilog="Example: gitqueue outputs rachel/bc-mean --diff")
@click.argument("job", required=False)
@click.option("--diff", "beside", is_flag=True, help="Beside what the same code wrote on the mock data.")
@click.option("-o", "output", metavar="DIR", help="Write the files into this folder to look at them.")
@show.as_json
@show.offline
@click.pass_context
def outputs(
    context: click.Context, /, job: str | None, beside: bool, output: str | None, json_: bool, offline: bool
) -> None:
    """What a run left in the vault: files, values, flags and the log. For owners alone."""
    from gitqueue.cli import vault
    from gitqueue.steps import collect, look

    place = here(context, offline)
    found = place.job(job)
    if beside:
        vault.tell_pair(found, look.pair(place.ground, found))
        return
    left = look.left(place.ground, found)
    if json_:
        show.document(left.document())
    else:
        vault.tell(found, left)
    if output:
        for path in collect.write(left.files, Path(output)):
            show.note(str(path))


@cloup.command(epilog='Example: gitqueue release rachel/bc-mean means.csv -m "No small counts"')
@click.argument("job", required=False)
@click.argument("names", nargs=-1, metavar="[FILE]…")
@click.option("--log", "with_log", is_flag=True, help="The run's log, too.")
@click.option("-m", "message", default="", help="Why.")
@click.pass_context
def release(context: click.Context, job: str | None, names: tuple[str, ...], with_log: bool, message: str) -> None:
    """Let a held job's outputs go to the requester: signs the very vault commit that waits.

    All outputs, or those FILEs alone: the rest stays in the vault for good.
    """
    from gitqueue.steps import look
    from gitqueue.steps import review as step

    place = here(context, offline=False)
    found = place.job(job)
    waiting = found.result.outputs if found.result else None
    going = look.named(place.ground, found, names, with_log) if waiting else None
    show.say(step.decide(place.clone, found.id, step.Spoken(Decision.RELEASE, message, outputs=waiting, files=going)))


@cloup.group()
def person() -> None:
    """People of the site: who they are, what they may do, their keys."""


@person.command("add", epilog="Example: gitqueue person add rachel --email rachel@uni.example --key rachel.pub")
@click.argument("name")
@click.option("--key", help="Their ssh public key: a .pub file or the line itself.")
@click.option("--email")
@click.option("--affiliation")
@click.option("--role", "roles", multiple=True, help="requester (default), owner or runner; may be given again.")
@click.option("--from", "since", metavar="DAY", help="The key counts from this day on.")
@click.option("--until", metavar="DAY", help="The key counts until this day.")
@click.option("--seal", metavar="age1…", help="An age recipient, where the signing key cannot decrypt.")
@click.option("--no-push", is_flag=True, help="Make the commit, and leave the pushing to git.")
@click.pass_context
def person_add(
    context: click.Context, /, name: str, key: str | None, no_push: bool, roles: tuple[str, ...], **more: str
) -> None:
    """Add somebody, or a further key of somebody, as one signed commit on approved."""
    from gitqueue.adapters.clone import public_key
    from gitqueue.steps import govern

    place = here(context, offline=no_push)
    known = place.queue.people.get(name)
    if key is None and not (known and more.get("seal")):
        raise Mistake(f"{name!r} needs a public key", step="--key FILE.pub, or --key 'ssh-ed25519 AAAA…'")
    line = public_key(key) if key else None
    wanted = govern.NewPerson(name, line, roles or (() if known else ("requester",)), **more)
    done = govern.change(place.clone, f"Add {name}", lambda queue: govern.add_person(queue, wanted), not no_push)
    _changed(done)


@person.command("revoke", epilog="Example: gitqueue person revoke rachel --since 2026-03-01")
@click.argument("name")
@click.option("--since", metavar="DAY", help="The day from which the keys count no more (default: today, UTC).")
@click.option("--key", "prints", multiple=True, metavar="SHA256:…", help="This key alone; may be given again.")
@click.pass_context
def person_revoke(context: click.Context, name: str, since: str | None, prints: tuple[str, ...]) -> None:
    """Revoke somebody's keys from a day on."""
    from datetime import UTC, datetime

    from gitqueue.steps import govern

    place = here(context, offline=False)
    day = since or datetime.now(UTC).date().isoformat()
    done = govern.change(place.clone, f"Revoke {name}", lambda queue: govern.revoke(queue, name, day, prints))
    _changed(done)
    for made in govern.approvals_by(here(context).queue, name, day):
        show.say(f"{name} approved {made.job} on {made.at}; it is {made.state}")


@person.command("list", epilog="Example: gitqueue person list")
@show.as_json
@show.offline
@click.pass_context
def person_list(context: click.Context, json_: bool, offline: bool) -> None:
    """Who is of this site."""
    from gitqueue.rules.policy import fingerprint

    people = here(context, offline).queue.people
    rows = {
        name: {
            "roles": list(one.roles),
            "email": one.email,
            "affiliation": one.affiliation or None,
            "keys": [
                {
                    "fingerprint": fingerprint(key.blob),
                    "from": key.since and str(key.since),
                    "until": key.until and str(key.until),
                    "revoked": key.revoked and str(key.revoked),
                }
                for key in one.keys
            ],
        }
        for name, one in people.items()
    }
    if json_:
        show.document(rows)
        return
    lines = [(name, ", ".join(one.roles), one.email or "", _keys(one)) for name, one in people.items()]
    show.table(("name", "roles", "email", "keys"), lines)


def _keys(one) -> str:  # type: ignore[no-untyped-def]
    live = sum(key.revoked is None for key in one.keys)
    gone = len(one.keys) - live
    return f"{live}{f', {gone} revoked' if gone else ''}"


@cloup.group()
def dataset() -> None:
    """Datasets: what the catalogue says, and where the real data lie."""


def _pairs(words: tuple[str, ...], option: str) -> dict[str, str]:
    pairs = [word.partition("=") for word in words]
    wrong = [word for word, (name, sign, value) in zip(words, pairs, strict=True) if not (name and sign and value)]
    if wrong:
        raise Mistake(f"{wrong[0]!r} is not NAME=PATH", step=f"{option} features=/srv/data/features.csv")
    return {name: value for name, _, value in pairs}


@dataset.command("add", epilog="Example: gitqueue dataset add cancer --asset x=/srv/x.csv --mock x=mock.csv")
@click.argument("name")
@click.option("--title", default="", help="One line.")
@click.option("--description", default="", help="What they are, how many rows.")
@click.option("--asset", "assets", multiple=True, metavar="NAME=PATH", help="Where an asset's real data lie.")
@click.option("--mock", "mocks", multiple=True, metavar="NAME=FILE", help="An asset's mock data; copied, public.")
@click.option("--columns", metavar="FILE", help="What each column may hold; --mock NAME=auto draws rows from it.")
@click.option("--identifier", "identifiers", multiple=True, metavar="COLUMN", help="A column that never leaves.")
@click.option("--no-push", is_flag=True, help="Make the commit, and leave the pushing to git.")
@click.pass_context
def dataset_add(
    context: click.Context, /, name: str, assets: tuple[str, ...], mocks: tuple[str, ...], no_push: bool, **more: str
) -> None:
    """Publish a dataset with its mock data; binds the real data where the site lies on this machine.

    `--mock NAME=auto --columns columns.yaml` draws mock rows from what that file says of each column, never from the
    data: look at them before you push (--no-push).
    """
    from gitqueue.steps import govern

    place = here(context, offline=no_push)
    bound, mocked = _pairs(assets, "--asset"), _pairs(mocks, "--mock")
    without = [asset for asset in bound if asset not in mocked]
    if without:
        raise Mistake(f"asset {without[0]!r} has no mock data", step=f"--mock {without[0]}=FILE")
    files = {asset: _mock(name, asset, path, more["columns"]) for asset, path in mocked.items()}
    wanted = govern.NewDataset(name, more["title"] or name, more["description"], files, tuple(more["identifiers"]))
    message = f"Add the dataset {name}"
    done = govern.change(place.clone, message, lambda queue: govern.add_dataset(queue, wanted), not no_push)
    _changed(done)
    for asset in (asset for asset, path in mocked.items() if path == "auto"):
        head = files[asset][1].decode().split("\n", 4)[:4]
        show.note("\n".join([f"drew {asset}, which everybody of the site can read; its first rows:", *head]))
        show.note("look at it, too, in the clone: git show HEAD --stat")
    if bound:
        _bind_or_say(place, name, bound)


def _mock(dataset: str, asset: str, path: str, columns: str | None) -> tuple[str, bytes]:
    """A mock file's name and bytes: as it lies there, or drawn."""
    if path != "auto":
        return Path(path).name, _content(path)
    from gitqueue.rules import mock

    if columns is None:
        raise Mistake("--mock NAME=auto draws rows, but nothing says of what", step="--columns columns.yaml")
    return f"{asset}.csv", mock.draw(mock.read(_content(columns), columns), f"{dataset}/{asset}")


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Mistake(f"cannot read {path!r}: {error.strerror}") from error


def _bind_or_say(place: Place, name: str, bound: dict[str, str]) -> None:
    from gitqueue.adapters import settings
    from gitqueue.errors import OperatorNeeded
    from gitqueue.steps import operate

    site = settings.find(Path(place.clone.url))
    words = " ".join(f"{asset}={path}" for asset, path in bound.items())
    if site is None:
        show.say(f"the operator binds the real data, at the site: gitqueue dataset bind {name} {words}")
        return
    try:
        operate.bind(site, name, {asset: Path(os.path.abspath(path)) for asset, path in bound.items()})
        show.say(f"bound {words}")
    except OperatorNeeded as error:
        for line in error.lines():
            show.note(line)


@dataset.command("list", epilog="Example: gitqueue dataset list")
@show.as_json
@show.offline
@click.pass_context
def dataset_list(context: click.Context, json_: bool, offline: bool) -> None:
    """What data there are."""
    from gitqueue.cli import catalogue

    catalogue.tell(here(context, offline), None, json_)


@dataset.command("show", epilog="Example: gitqueue dataset show breast-cancer")
@click.argument("name")
@show.as_json
@show.offline
@click.pass_context
def dataset_show(context: click.Context, name: str, json_: bool, offline: bool) -> None:
    """One dataset in full."""
    from gitqueue.cli import catalogue

    catalogue.tell(here(context, offline), name, json_)


@dataset.command("bind", epilog="Example: gitqueue dataset bind breast-cancer features=/srv/bc/features.csv")
@click.argument("name")
@click.argument("assets", nargs=-1, required=True, metavar="ASSET=PATH…")
@click.pass_context
def dataset_bind(context: click.Context, name: str, assets: tuple[str, ...]) -> None:
    """For the operator, at the site: where the real data lie. Opens them as the sandbox user."""
    from gitqueue.cli.place import at_site
    from gitqueue.steps import operate

    site = at_site(context)
    bound = {asset: Path(os.path.abspath(path)) for asset, path in _pairs(assets, "dataset bind NAME").items()}
    operate.bind(site, name, bound)
    show.say(f"bound {', '.join(f'{name}/{asset}' for asset in bound)}")


@cloup.group()
def policy() -> None:
    """How the site decides."""


@policy.command("set", epilog="Example: gitqueue policy set results=plain limits.time=2h")
@click.argument("values", nargs=-1, required=True, metavar="KEY=VALUE…")
@click.option("--no-push", is_flag=True, help="Make the commit, and leave the pushing to git.")
@click.pass_context
def policy_set(context: click.Context, values: tuple[str, ...], no_push: bool) -> None:
    """Change site.yaml, as one signed commit on approved."""
    from gitqueue.steps import govern

    place = here(context, offline=no_push)
    wanted = _pairs(values, "policy set")
    message = f"Set {', '.join(wanted)}"
    done = govern.change(place.clone, message, lambda queue: govern.set_policy(queue, wanted), not no_push)
    _changed(done)


@policy.command("show", epilog="Example: gitqueue policy show")
@show.as_json
@show.offline
@click.pass_context
def policy_show(context: click.Context, json_: bool, offline: bool) -> None:
    """The rules in sentences."""
    import msgspec

    from gitqueue.rules.explain import sentences

    place = here(context, offline)
    site = place.queue.history.site(place.queue.approved)
    if json_:
        show.document(msgspec.to_builtins(site.policy))
        return
    for sentence in sentences(site.policy):
        show.say(sentence)


def _changed(done) -> None:  # type: ignore[no-untyped-def]
    if done.answer is None:
        show.say(f"made {done.commit[:12]} on approved, not pushed; publish it: git push origin approved")
    else:
        show.say(done.answer or f"made {done.commit[:12]} on approved")


COMMANDS = (
    review,
    diff,
    try_,
    approve,
    request_changes,
    reject,
    outputs,
    release,
    withhold,
    rerun,
    person,
    dataset,
    policy,
)
