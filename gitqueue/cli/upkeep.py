"""Commands of the operator that keep a site for years: gc, backup, recover."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from gitqueue.cli import show
from gitqueue.cli.place import at_site
from gitqueue.errors import Mistake, OperatorNeeded

if TYPE_CHECKING:
    from gitqueue.adapters.premises import Premises
    from gitqueue.adapters.settings import Site


@cloup.command(epilog="Example: gitqueue -C cancer-centre gc")
@click.pass_context
def gc(context: click.Context) -> None:
    """Close jobs that are over, forget what the site kept of them, keep git quick. `serve` does it daily."""
    from contextlib import nullcontext
    from time import time

    from gitqueue import runner
    from gitqueue.adapters import wake
    from gitqueue.runner import service
    from gitqueue.steps import execute, record, tidy

    site = at_site(context)
    served = runner.runner_of(site) is not None
    with nullcontext() if served else service.only_one(site):
        premises = _premises(site)
        execute.sweep(premises)
        tidied = tidy.tidy(premises, time())
        if not served:
            record.record(premises, time())
    wake.wake(site.socket)
    for job in tidied.closed:
        show.say(f"closed {job}")
    removed = len(tidied.environments) + len(tidied.programs)
    show.say(f"{len(tidied.closed)} jobs closed, {removed} environments and older programs removed")


def _premises(site: "Site") -> "Premises":
    """With nobody believed beyond what the runner verified. Raises OperatorNeeded before it has verified anything."""
    from gitqueue.adapters import memory
    from gitqueue.adapters.premises import Premises

    settings = site.settings()
    tip = memory.recall(site, settings.root, frozenset()).tip
    if not tip:
        raise OperatorNeeded("the runner has verified nothing here yet", step=f"gitqueue -C {site.path} serve --once")
    return Premises(site, settings, lambda: tip)


@cloup.command(epilog="Example: gitqueue -C cancer-centre backup /backup/cancer-centre-2026-01-31")
@click.argument("folder", metavar="DIR")
@click.option("--restore", "target", metavar="TO", help="Make a site in this new folder from the backup.")
@click.option("--as", "name", metavar="NAME", help="For trials: nothing runs until an owner has named the site so.")
@click.pass_context
def backup(context: click.Context, folder: str, target: str | None, name: str | None) -> None:
    """A consistent copy of site, vault and keys, while all runs; or, with --restore, a site from one.

    The copy holds the runner's key and all that nobody has released: keep it as safe as the site. The real data are not
    in it.
    """
    from time import time

    from gitqueue.steps import backup as step

    path = Path(context.obj) / folder
    if target is not None:
        _restore(path, Path(context.obj) / target, name)
    elif name is not None:
        raise Mistake("--as names a site that is restored", step="gitqueue backup DIR --restore TO --as NAME")
    else:
        count = step.backup(at_site(context), path.absolute(), time())
        show.say(f"copied {count} refs, what they reach, and the runner's key to {folder}")


def _restore(folder: Path, target: Path, name: str | None) -> None:
    import sys

    from gitqueue.adapters.history import History
    from gitqueue.adapters.objects import Objects
    from gitqueue.adapters.queue import Queue
    from gitqueue.refs import NAME
    from gitqueue.rules.chain import Chain
    from gitqueue.steps import backup, verify

    if name is not None and not NAME.fullmatch(name):
        raise Mistake(f"{name!r} is no name of a-z, 0-9 and -", step="--as trial")
    site = backup.restore(folder, target.absolute(), sys.executable, name)
    queue = Queue(History(Objects(site.repository)))
    root = site.settings().root
    chain = verify.extend(queue.history, Chain(), root, queue.approved)
    entries = verify.audit(queue, chain, root, None)
    show.say(f"restored {target}: {len(chain.approvals)} approvals and {entries} audit entries verify from the root")
    show.say("it is paused; next:")
    show.say(f"  gitqueue -C {target} doctor --fix")
    if name:
        show.say(f"  gitqueue policy set site={name}   # in an owner's new clone of {target}/site.git")
    why = "its runner.yaml names the real data: see to that first" if name else "once the old site runs no more"
    show.say(f"  gitqueue -C {target} resume   # {why}")


@cloup.command(epilog="Example: gitqueue -C cancer-centre recover --to 3f2a9c…")
@click.option("--to", "commit", required=True, metavar="COMMIT", help="The last commit of approved that you trust.")
@click.pass_context
def recover(context: click.Context, commit: str) -> None:
    """Put approved back to a commit whose chain verifies, and go on from there; the audit keeps it.

    For when somebody changed refs behind the gate's back, or a part of the site was lost: the runner's alarm says where
    the chain holds. Approvals after that commit are lost, and must be given again.
    """
    from time import time

    from gitqueue.adapters.history import History
    from gitqueue.adapters.objects import Objects
    from gitqueue.adapters.premises import Premises
    from gitqueue.rules.chain import Chain
    from gitqueue.runner import service
    from gitqueue.steps import record, verify
    from gitqueue.steps import recover as step

    site = at_site(context)
    objects, settings = Objects(site.repository), site.settings()
    if len(commit) != 40 or not objects.is_commit(commit):
        raise Mistake(f"{commit!r} is no commit of this site by its full id", step="the runner's alarm names one")
    with service.only_one(site):
        chain = verify.extend(History(objects), Chain(), settings.root, commit)
        premises = Premises(site, settings, lambda: chain.tip)
        record.record(premises, time())
        for line in step.recover(premises, chain, time()):
            show.say(line)
        record.record(premises, time())
    show.say("next: gitqueue verify, and start the runner again")


COMMANDS = (gc, backup, recover)
