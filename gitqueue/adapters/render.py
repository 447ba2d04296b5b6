"""Templates, by jinja2. Text for people; `page` escapes for HTML."""

from functools import cache
from typing import TYPE_CHECKING

from gitqueue.adapters import resources

if TYPE_CHECKING:
    from jinja2 import Environment, Template


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # 60 ms

    # A name that a template uses and nobody gave is a bug, not an empty string. Terminal text, YAML and Markdown
    # are not HTML: what people wrote in them is escaped by rules/tree.escape before it comes here.
    return Environment(
        loader=FileSystemLoader(resources.folder("templates")),
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def template(name: str) -> "Template":
    return _environment().get_template(name)
