"""How results are shown: a table for people, one JSON document for programs."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from gitqueue.rules.tree import escape

F = TypeVar("F", bound=Callable[..., Any])


def as_json(command: F) -> F:
    return click.option("--json", "json_", is_flag=True, help="One JSON document on standard output.")(command)


def offline(command: F) -> F:
    return click.option("--offline", is_flag=True, help="Do not fetch first.")(command)


def document(value: object) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=True))


def say(text: str = "") -> None:
    """A line for people, safe on their terminal whatever others wrote into it."""
    click.echo(escape(text))


def note(text: str) -> None:
    """Progress, on standard error."""
    click.echo(escape(text), err=True)


def paged(text: str) -> None:
    """Long text: through the person's pager on a terminal, as it is elsewhere."""
    if sys.stdout.isatty():
        click.echo_via_pager(escape(text))
    else:
        click.echo(escape(text))


def asks() -> bool:
    """Whether there is a person who could answer."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table as wide as the terminal; states in colour on a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in head:
        shown.add_column(name, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(escape(cell).replace("\n", " "), style=_STYLES.get(cell, "")) for cell in row))
    Console(highlight=False, soft_wrap=False).print(shown)


_STYLES = {
    "pending": "yellow",
    "changes-requested": "yellow",
    "held": "yellow",
    "approved": "cyan",
    "running": "cyan",
    "completed": "green",
    "failed": "red",
    "rejected": "red",
    "interrupted": "red",
    "cancelled": "dim",
    "withheld": "dim",
}
