"""`hooks/` and `templates/`: found in a checkout and in an installed wheel alike."""

from pathlib import Path

from gitqueue.errors import Mistake

_PACKAGE = Path(__file__).resolve().parent.parent


def folder(kind: str) -> Path:
    """The folder `hooks` or `templates`."""
    installed = _PACKAGE / f"_{kind}"
    return installed if installed.is_dir() else _PACKAGE.parent / kind


def hook(name: str, python: str) -> str:
    """A hook's few lines, for this interpreter. Raises Mistake for a path that a shell would not read back."""
    if "'" in python or "\n" in python:
        raise Mistake(f"the interpreter's path {python!r} has a quote in it", step="install gitqueue elsewhere")
    return (folder("hooks") / name).read_text().replace("@PYTHON@", python)
