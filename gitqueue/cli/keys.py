"""Which private key opens sealed results, and its passphrase where a person can be asked."""

import sys
from collections.abc import Callable
from pathlib import Path

import click

from gitqueue.adapters import seal
from gitqueue.adapters.clone import Clone
from gitqueue.errors import Mistake


def unsealer(clone: Clone, identity: str | None) -> Callable[[bytes], bytes]:
    """Opens a sealed result with the named key, else with the one that git signs with."""

    def unseal(data: bytes) -> bytes:
        key = Path(identity).expanduser() if identity else clone.identity()
        try:
            return seal.unseal(data, key)
        except Mistake as error:
            if ("assw" not in str(error) and "encrypted" not in str(error)) or not sys.stdin.isatty():
                raise
        return seal.unseal(data, key, click.prompt(f"Passphrase of {key}", hide_input=True, err=True))

    return unseal
