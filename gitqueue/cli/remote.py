"""Hidden commands, which sshd calls: whose key counts, and what a connection is served (docs/ssh.md).

sshd itself may come by `python -Im gitqueue.hook`, where the same two are: importing every command takes
three times as long.
"""

import click
import cloup

from gitqueue.cli.place import at_site


@cloup.command(hidden=True, epilog="Example: gitqueue -C cancer-centre keys ssh-ed25519 AAAAC3Nza…")
@click.argument("kind", metavar="[TYPE", default="")
@click.argument("key", metavar="KEY]", default="")
@click.pass_context
def keys(context: click.Context, kind: str, key: str) -> int:
    """For sshd's AuthorizedKeysCommand: the line of this key, if it counts now; without a key, all lines."""
    from gitqueue import hook

    return hook.keys(str(at_site(context).path), kind, key)


@cloup.command(hidden=True, epilog="Example: SSH_ORIGINAL_COMMAND=… gitqueue -C cancer-centre shell rachel")
@click.argument("person")
@click.argument("fingerprint", default="")
@click.pass_context
def shell(context: click.Context, person: str, fingerprint: str) -> int:
    """The forced command of one person: serves git fetch and git push, and nothing else."""
    from gitqueue import hook

    return hook.shell(str(at_site(context).path), person, fingerprint)


@cloup.command(hidden=True, epilog="Example: gitqueue -C cancer-centre poke")
@click.pass_context
def poke(context: click.Context) -> None:
    """Have the runner look at its forge now: the forced command of one who may do nothing else."""
    from gitqueue.adapters import wake
    from gitqueue.errors import OperatorNeeded

    if not wake.wake(at_site(context).socket):
        raise OperatorNeeded("no runner listens here", step="gitqueue status")


COMMANDS = (keys, shell, poke)
