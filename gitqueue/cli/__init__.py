"""The command `gitqueue`. Parses words, calls one step, shows what came of it; errors are caught here, once."""

import os
import sys
import traceback
from pathlib import Path

import click
import cloup

from gitqueue.cli import anyone, ci, operator, owner, remote, requester, upkeep
from gitqueue.errors import BUG, GitqueueError

_EPILOG = "A job is named requester/job. Each command's --help shows an example."


@cloup.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
    align_option_groups=False,
)
@click.option("-C", "folder", metavar="DIR", default=".", help="Work in this site or clone instead of here.")
@click.pass_context
def cli(context: click.Context, folder: str) -> None:
    """Have code run next to data that nobody may see: reviewed, approved and proved in git."""
    context.obj = Path(folder)


for _title, _commands in (
    ("For requesters", requester.COMMANDS),
    ("For owners", owner.COMMANDS),
    ("For operators", (*operator.COMMANDS, *upkeep.COMMANDS)),
    ("For anyone", anyone.COMMANDS),
):
    cli.section(_title, *_commands)
for _command in (*remote.COMMANDS, *ci.COMMANDS):
    cli.add_command(_command)


def main() -> None:
    """Run one command and exit with its code (design/3-commands.md)."""
    sys.exit(run(sys.argv[1:]))


def run(argv: list[str]) -> int:
    """Run one command; its exit code."""
    try:
        return int(cli(argv, prog_name="gitqueue", standalone_mode=False) or 0)
    except GitqueueError as error:
        for line in error.lines():
            click.echo(line, err=True)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except click.ClickException as error:
        return _usage(error)
    except (click.Abort, KeyboardInterrupt):
        click.echo("gitqueue: stopped", err=True)
        return 130
    except BrokenPipeError:
        # The reader has gone (`| head`); without this Python complains once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:  # noqa: BLE001 - the one place: a bug keeps its traceback
        traceback.print_exc()
        click.echo("gitqueue: this is a bug in gitqueue; please report it with the lines above", err=True)
        return BUG


def _usage(error: click.ClickException) -> int:
    click.echo(f"gitqueue: {error.format_message().rstrip('.')}", err=True)
    context = getattr(error, "ctx", None)
    if context is not None:
        click.echo(f"gitqueue: next: {context.command_path} --help", err=True)
    return 2
