"""Changing YAML that people wrote, with their comments and order kept (ruamel.yaml)."""

from collections.abc import Callable
from io import StringIO
from typing import Any

from ruamel.yaml import YAML


def edit(data: bytes, change: Callable[[Any], None]) -> bytes:
    """The document after `change` has altered its mapping in place. It was parsed strictly before it comes here."""
    yaml = YAML()
    yaml.width = 4096  # a key's line is never folded
    yaml.preserve_quotes = True
    document = yaml.load(data.decode())
    change(document)
    text = StringIO()
    yaml.dump(document, text)
    return text.getvalue().encode()
