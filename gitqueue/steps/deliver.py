"""Deliver: what the vault holds, sealed to the owners, to a remote: for owners who have no way in to the site."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping

from gitqueue import refs
from gitqueue.adapters import git, seal
from gitqueue.adapters.forge import Away, Forge
from gitqueue.adapters.objects import Objects
from gitqueue.adapters.premises import Premises
from gitqueue.adapters.vault import SEALED
from gitqueue.model import FILE
from gitqueue.rules.authority import OWNER
from gitqueue.rules.notes import compose

_LINES = refs.HEADS + "outputs"


def deliver(premises: Premises, url: str, known: Mapping[str, str], now: float) -> Iterator[tuple[str, str]]:
    """Put each job's line of runs there that is not as it was put (`known`: ref -> what was put); what is put now.

    A branch holds one commit of the runner's with one file: a git bundle of the line, sealed to the owners' keys.
    Raises Away where the remote does not take it.
    """
    recipients = sorted(_owners(premises))
    of = hashlib.sha256("\n".join(recipients).encode()).hexdigest()[:16]
    for name, tip in git.list_refs(premises.site.vault, _LINES).items():
        put = f"{tip} {of}"
        if recipients and known.get(name) != put:
            _put(premises, Forge(premises.site, url), name, recipients, now)
            yield name, put


def _owners(premises: Premises) -> Iterator[str]:
    for person in premises.queue.people.values():
        if OWNER in person.roles:
            yield from (key.key for key in person.keys if key.revoked is None and seal.sealable(key.key))
            yield from [person.seal] if person.seal else []


def _put(premises: Premises, remote: Forge, name: str, recipients: list[str], now: float) -> None:
    bundle = git.git("bundle", "create", "--quiet", "-", name, cwd=premises.site.vault).out
    path = premises.site.private / "sealed.git"
    shutil.rmtree(path, ignore_errors=True)
    try:
        git.git("init", "--quiet", "--bare", "--template=", str(path), cwd=premises.site.private)
        git.configure(path, {"include.path": str(premises.site.repository / "config")})
        objects = Objects(path)
        tree = objects.put_files(None, {SEALED: (FILE, seal.seal(bundle, recipients))})
        job = name.removeprefix(f"{_LINES}/")
        commit = premises.commit(objects, tree, [], compose(f"sealed outputs of {job}", {"Job": job}), now)
        if not remote.replace(path, name, commit):
            raise Away(f"{remote.url} took no push of {name}", step="may the runner push there, by force?")
    finally:
        shutil.rmtree(path, ignore_errors=True)
