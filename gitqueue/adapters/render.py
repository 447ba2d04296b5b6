"""Templates, by jinja2. Text for people; `page` escapes for HTML."""

import re
import textwrap
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from gitqueue.adapters import resources
from gitqueue.rules.rehearsal import told
from gitqueue.rules.tree import escape

if TYPE_CHECKING:
    from jinja2 import Environment, Template
    from markupsafe import Markup


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # 60 ms

    # A name that a template uses and nobody gave is a bug, not an empty string. Terminal text, YAML and Markdown
    # are not HTML: what people wrote in them is escaped by rules/tree.escape before it comes here.
    environment = Environment(
        loader=FileSystemLoader(resources.folder("templates")),
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["quoted"] = quoted
    environment.filters["one_line"] = one_line
    environment.filters["mib"] = lambda count: f"{count / 2**20:.0f} MiB"
    environment.filters["day"] = day
    environment.filters["told"] = told
    environment.filters["hanging"] = hanging
    environment.filters["md"] = md
    environment.filters["md_block"] = md_block
    return environment


def quoted(text: str, width: int = 74) -> str:
    """What a person wrote, set in so that no line of it can pass for one of ours."""
    lines = [wrapped for line in text.strip().splitlines() for wrapped in textwrap.wrap(line, width) or [""]]
    return "\n".join(f"  | {line}" for line in lines)


def one_line(text: str) -> str:
    return " ".join(text.split())


def hanging(text: str, indent: int = 11, width: int = 78) -> str:
    """A long line broken into several, all but the first set in."""
    words = {"initial_indent": " " * indent, "subsequent_indent": " " * indent}
    return "\n".join(textwrap.wrap(text, width, **words, break_on_hyphens=False)).strip()  # type: ignore[arg-type]


def day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def md(text: str) -> str:
    """A line that a person wrote, as text of a Markdown paragraph or table: no link, no HTML, no other cell."""
    return "".join(f"&#{ord(char)};" if char in _MARKS else char for char in text)


_MARKS = frozenset("\\`*_{}[]()<>#+!|~&@:$\"'-=")


def md_block(text: str) -> str:
    """What a person wrote, as a block of code: no run of backticks in it is as long as the fence."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}text\n{text.rstrip()}\n{fence}"


def template(name: str) -> "Template":
    return _environment().get_template(name)


# HTML


def page(name: str, **values: object) -> str:
    """A template as HTML. Whatever it shows is escaped: nothing that a person or a job wrote is markup."""
    return _pages().get_template(name).render(**values)


@cache
def _pages() -> "Environment":
    environment = _environment().overlay(autoescape=True)
    environment.filters = {**environment.filters, "highlighted": highlighted}
    environment.finalize = _plain
    return environment


def _plain(value: object) -> object:
    """Invisible and control characters written out; a browser would hide them, or turn the line around."""
    return escape(value) if type(value) is str else value


def highlighted(text: str, name: str) -> "Markup":
    """A file's text, escaped, with the colours of its language."""
    from markupsafe import Markup
    from pygments.lexers import get_lexer_for_filename
    from pygments.lexers.special import TextLexer
    from pygments.token import Comment, Generic, Keyword, Number, String
    from pygments.util import ClassNotFound

    kinds = [(Comment, "c"), (Keyword, "k"), (String, "s"), (Number, "n")]
    kinds += [(Generic.Inserted, "gi"), (Generic.Deleted, "gd"), (Generic.Subheading, "gu")]
    try:
        lexer = get_lexer_for_filename(name, stripnl=False)
    except ClassNotFound:
        lexer = TextLexer(stripnl=False)
    shown = Markup("")
    for token, words in lexer.get_tokens(escape(text[:_HIGHLIGHTED])):
        kind = next((kind for parent, kind in kinds if token in parent), "")
        shown += Markup('<span class="{}">{}</span>').format(kind, words) if kind else Markup.escape(words)
    return shown


_HIGHLIGHTED = 200_000  # characters
