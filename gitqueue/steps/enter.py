"""Enter: a person's clone of a site: git clone, signing by ssh, the pinned trust root, and an owner's hook."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gitqueue import refs
from gitqueue.adapters import clone as clones
from gitqueue.adapters import resources, seal
from gitqueue.adapters.clone import Clone
from gitqueue.adapters.history import History
from gitqueue.adapters.queue import REMOTE, Queue
from gitqueue.errors import Mistake, Tampered
from gitqueue.rules.authority import OWNER, REQUESTER
from gitqueue.rules.policy import Person, key_parts

ROOT = "gitqueue.root"


@dataclass(frozen=True, slots=True)
class Entered:
    """A new clone: the site's name, the trust root, what to know, and what to do next."""

    site: str
    root: str
    notes: tuple[str, ...]
    next: tuple[str, ...]


def clone(url: str, folder: Path, root: str | None, who: Mapping[str, str] | None = None) -> Entered:
    """Clone a site. `root`: what its chain must begin with; without it, the server is trusted this once.

    `who`: settings of git that tell who stands in this clone, where the person's own do not.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Mistake(f"{str(folder)!r} is there already", step="name another folder: gitqueue clone URL FOLDER")
    if root is not None and not refs.COMMIT.fullmatch(root):
        raise Mistake(f"{root!r} is no full commit id", step="ask the site's owners for the trust root")
    desk = clones.clone(url, folder.absolute())
    desk.configure(who or {})
    queue = Queue(History(desk.objects()), REMOTE)
    tip = queue.ref(refs.APPROVED)
    if tip is None:
        raise Mistake(f"{url!r} is no gitqueue site: it has no branch 'approved'", step="check the address")
    first = list(queue.objects.first_parents(tip))[-1]
    if root is not None and first != root:
        raise Tampered(f"the site's chain begins with {first}, not with {root}", step="do not use this clone")
    _configure(desk, first)
    site = queue.history.site(tip).policy.site
    person, notes = _person(desk, queue)
    if root is None:
        notes = (f"trusting this server once: ask an owner whether the trust root is {first}", *notes)
    notes = (*notes, *_identity(desk, person))
    if person is None or OWNER in person.roles:  # who is not known yet may be an owner whose key is set later
        install_hook(desk)
    return Entered(site, first, notes, _next(person))


def _configure(desk: Clone, root: str) -> None:
    desk.configure(
        {
            ROOT: root,
            "gpg.format": "ssh",
            "commit.gpgsign": "true",
            "gpg.ssh.allowedSignersFile": ".gitqueue/allowed_signers",
            # `git pull` on approved never makes a merge of its own: that would be no approval.
            "branch.approved.mergeOptions": "--no-ff",
            "pull.ff": "only",
            "advice.detachedHead": "false",
        }
    )


def _person(desk: Clone, queue: Queue) -> tuple[Person | None, tuple[str, ...]]:
    try:
        line = desk.signing_key()
    except Mistake as error:
        return None, tuple(line.removeprefix("gitqueue: ") for line in error.lines())
    held = queue.people.holder(key_parts(line)[1])
    if held is not None:
        return held[1], ()
    email = desk.config("user.email") or "YOU@EXAMPLE"
    return None, (
        "this site does not know your signing key yet; send an owner this line:",
        f"  gitqueue person add NAME --email {email} --key '{line}'",
    )


def _identity(desk: Clone, person: Person | None) -> tuple[str, ...]:
    """Who signs with a key that cannot decrypt (ECDSA, hardware, held by an agent alone) gets an age identity, kept
    in this clone alone."""
    named = desk.config("user.signingkey")
    if not named or (person is not None and person.seal):
        return ()
    try:
        key = desk.signing_key()
    except Mistake:
        return ()
    if seal.sealable(key) and Path(named.removesuffix(".pub")).expanduser().is_file():
        return ()
    path = desk.git_dir.absolute() / "gitqueue" / "age-identity"
    recipient = seal.new_identity(path)
    desk.configure({"gitqueue.identity": str(path)})
    who = person.name if person else "NAME"
    return (
        f"your signing key cannot open sealed results; {path} can (keep a copy), once an owner has run:",
        f"  gitqueue person add {who} --seal {recipient}",
    )


def _next(person: Person | None) -> tuple[str, ...]:
    if person is None:
        return ("what is asked of requests: .gitqueue/REVIEW.md and gitqueue policy show",)
    said = [f"you are {person.name} here ({', '.join(person.roles)})"]
    if REQUESTER in person.roles:
        said.append("next: gitqueue datasets, then gitqueue new NAME --dataset DATASET")
    if OWNER in person.roles:
        said.append("next: gitqueue list, then gitqueue review JOB")
    return tuple(said)


def install_hook(desk: Clone) -> None:
    """post-merge: after an approving merge by plain git, say what it approves and how to publish it."""
    if not (desk.git_dir / "hooks" / "post-merge").exists():
        resources.install_hook(desk.git_dir, "post-merge", sys.executable)


def verify_root(desk: Clone) -> str:
    """The trust root that this clone pins. Raises Mistake where it pins none."""
    root = desk.config(ROOT)
    if not root:
        raise Mistake(
            "this clone pins no trust root", step="git config gitqueue.root ID, as the site's owners tell you"
        )
    return root
