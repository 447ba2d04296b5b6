"""`init --remote`: what a forge is given, and what its operator and its owners are told."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from gitqueue.cli import show

if TYPE_CHECKING:
    from gitqueue.adapters.settings import Site

KINDS = ("github", "gitlab", "gitea")
_NAMES = {"gitlab": "gitlab", "gitea": "gitea", "forgejo": "gitea", "codeberg": "gitea"}


def kind_of(url: str) -> str:
    """The kind of forge that a URL's host is called after; GitHub's, where it is called after none."""
    host = re.sub(r"^\w+://|^[^@/]+@", "", url).lower()
    return next((kind for name, kind in _NAMES.items() if name in re.split(r"[/:]", host)[0]), "github")


def documents(kind: str) -> dict[str, bytes]:
    """What is committed on approved for this kind of forge: workflows, and the text that a pull request starts with."""
    from gitqueue import __version__

    top, version = _folder(kind) / "files", __version__.encode()
    found = (path for path in sorted(top.rglob("*")) if path.is_file())
    # Not by jinja: `${{ }}` is the workflows' own.
    return {str(path.relative_to(top)): path.read_bytes().replace(b"@VERSION@", version) for path in found}


def scripts(kind: str, url: str) -> dict[str, str]:
    """What sets up the forge: a script, and the same as text."""
    from gitqueue.adapters.render import template

    host, _, path = re.sub(r"^\w+://(?:[^@/]+@)?|^[^@/]+@", "", url).replace(":", "/", 1).partition("/")
    values = {"host": host, "repository": path.removesuffix(".git"), "url": url}
    names = sorted(entry.name for entry in _folder(kind).iterdir() if entry.is_file())
    return {name: template(f"forge/{kind}/{name}").render(**values) for name in names}


def _folder(kind: str) -> Path:
    from gitqueue.adapters.resources import folder

    return folder("templates") / "forge" / kind


def host(site: "Site", kind: str, url: str) -> None:
    """Bring a new site to its forge, and say what is left for people to do."""
    from gitqueue import refs
    from gitqueue.steps import found

    access, fault = found.host(site, url, scripts(kind, url))
    if fault:
        show.note(f"gitqueue: the forge did not take the branch approved: {fault}")
        line = f"git -C {site.repository} push {url} {refs.APPROVED}"
        show.note(f"gitqueue: next: make an empty repository there, and as who may push to it: {line}")
    show.say(f"next, at the forge ({site.path}/forge/settings.md has it all, and why):")
    show.say(f"  let the runner in, to read and to write: {access}")
    show.say(f"  protect the branches: bash {site.path}/forge/protect.sh")
    show.say("then:")
    show.say(
        f"  gitqueue clone {url} my-desk --root {site.settings().root}   # then, in it, dataset add and person add"
    )
