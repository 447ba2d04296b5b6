"""`hooks/` and `templates/`: found in a checkout and in an installed wheel alike."""

from pathlib import Path

from gitqueue.errors import Mistake

_PACKAGE = Path(__file__).resolve().parent.parent


SITE_HOOKS = ("pre-receive", "post-receive")


def folder(kind: str) -> Path:
    """The folder `hooks` or `templates`."""
    installed = _PACKAGE / f"_{kind}"
    return installed if installed.is_dir() else _PACKAGE.parent / kind


def hook(name: str, python: str) -> str:
    """A hook's few lines, for this interpreter. Raises Mistake for a path that a shell would not read back."""
    if "'" in python or "\n" in python:
        raise Mistake(f"the interpreter's path {python!r} has a quote in it", step="install gitqueue elsewhere")
    return (folder("hooks") / name).read_text().replace("@PYTHON@", python)


def install_hook(git_dir: Path, name: str, python: str) -> None:
    """Put the hook that calls this interpreter into a repository."""
    target = git_dir / "hooks" / name
    target.write_text(hook(name, python))
    target.chmod(0o755)


def install_site_hooks(repository: Path, python: str) -> None:
    """All hooks of a site's repository, and nothing that git put beside them."""
    for sample in (repository / "hooks").glob("*.sample"):
        sample.unlink()
    for name in SITE_HOOKS:
        install_hook(repository, name, python)
