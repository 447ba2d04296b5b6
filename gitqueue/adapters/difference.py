"""What differs between two trees, as git shows it, but not to be fooled: without attributes, drivers or links to other
objects, with invisible characters written out."""

from collections.abc import Sequence
from pathlib import Path

from gitqueue.adapters import git
from gitqueue.rules.tree import escape

_SAFE = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--full-index")


def between(repository: Path, old: str, new: str, options: Sequence[str] = (), paths: Sequence[str] = ()) -> str:
    """From one tree or commit to another, with these options of git diff, of these paths or all."""
    # In the bare view git reads no .gitattributes of a working tree.
    words = ("-c", "core.bare=true", "diff", *_SAFE, *options, old, new, "--", *paths)
    return escape(git.git(*words, cwd=repository).out.decode("utf-8", "replace"))
