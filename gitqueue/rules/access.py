"""Who may come in by ssh, what they are served there, and what they may send.

Being logged in as somebody is a further lock, never the key: what a push may do is justified by signatures alone
(`authority`), and then it must come from the right person, too. sshd asks on every connection, so this module
imports little.
"""

import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from gitqueue import refs
from gitqueue.errors import Mistake, NotAllowed
from gitqueue.refs import Kind, Ref

if TYPE_CHECKING:
    from gitqueue.rules.policy import People


# Who


@dataclass(frozen=True, slots=True)
class Pass:
    """One key of one person, and when it opens the door: from `since` until `until`, in seconds since 1970.

    `key` is its type and base64, as authorized_keys and sshd's %t and %k have them.
    """

    person: str
    owner: bool
    key: str
    fingerprint: str
    since: float
    until: float

    def opens(self, now: float) -> bool:
        return self.since <= now < self.until


def passes(people: "People", revoked: Collection[str]) -> Iterator[Pass]:
    """Every key with which somebody may come in at some time. The runner never comes: it lives at the site."""
    from gitqueue.rules.authority import OWNER, REQUESTER
    from gitqueue.rules.documents import Faulty
    from gitqueue.rules.policy import fingerprint, key_parts

    for person in people.values():
        if not {OWNER, REQUESTER} & set(person.roles):
            continue
        for key in person.keys:
            try:
                kind, blob, _ = key_parts(key.key)
            except Faulty:
                continue
            held, print_ = people.holder(blob), fingerprint(blob)
            if held is not None and held[0] == person.name and print_ not in revoked:
                line = f"{kind} {key.key.split(' ')[1]}"
                yield Pass(
                    person.name, OWNER in person.roles, line, print_, key.since_at, min(key.until_at, key.revoked_at)
                )


def authorized_key(found: Pass, command: Sequence[str]) -> str:
    """The line for sshd: this key may start this command, and have nothing else of a login."""
    words = shlex.join(command)
    if not words.isprintable():
        raise Mistake(f"the site's path {words!r} cannot stand in authorized_keys", step="move the site")
    quoted = words.replace('"', '\\"')
    return f'restrict,command="{quoted}" {found.key} {found.person}'


# What they ask for


class Service(Enum):
    """The two programs that are ever started, by their name as git's subcommand."""

    FETCH = "upload-pack"
    PUSH = "receive-pack"


SITE, VAULT = "site.git", "private/vault.git"
_ASKED = re.compile(r"git[- ](upload-pack|receive-pack) '([^'\\\x00-\x1f\x7f]{1,1024})'")
_HOW = "git clone ACCOUNT@HOST:site.git, as you wrote ACCOUNT and HOST for ssh"


def spellings(site: Iterable[str], home: str) -> Mapping[str, str]:
    """Every way to write one of the repositories in a URL -> that repository, below the site's folder.

    A table, so that what a client wrote is never taken apart, joined to anything or looked up on the disk. `site`:
    the site's absolute paths, one of which may be a symbolic link.
    """
    roots = {"", "/", "~/"}
    for place in map(PurePosixPath, site):
        roots |= {f"{place}/", f"{place.name}/", f"/{place.name}/", f"~/{place.name}/"}
        if place.is_relative_to(home):
            roots.add(f"~/{place.relative_to(home)}/")
    names = {SITE: SITE, VAULT: VAULT, "vault.git": VAULT}
    return {f"{root}{name}{end}": found for root in roots for name, found in names.items() for end in ("", "/")}


def asked(command: str, known: Mapping[str, str], who: Pass) -> tuple[Service, str]:
    """Which service, on which repository, an ssh command asks for. Raises NotAllowed for everything else."""
    found = _ASKED.fullmatch(command)
    if not found:
        raise NotAllowed(
            f"{_shown(command)} is refused: this account does nothing but git fetch and git push", step=_HOW
        )
    service, path = Service(found[1]), found[2]
    if path not in known:
        raise NotAllowed(f"there is no repository {_shown(path)} here", step=_HOW)
    if known[path] == VAULT and not who.owner:
        raise NotAllowed(f"the vault is served to owners alone, and {who.person} is none")
    if known[path] == VAULT and service is Service.PUSH:
        raise NotAllowed("the vault is written by the site's runner alone")
    return service, known[path]


def _shown(text: str) -> str:
    """What a client wrote, safe on anybody's terminal."""
    return ascii(text[:120])


# What they see


_OF_PEOPLE = (Kind.REQUEST, Kind.REVIEW, Kind.RESULT)
_HIDES = {Service.FETCH: "uploadpack", Service.PUSH: "receive"}
_MANY = 100  # names: 500 cost 1.2 s where there are 100,000 refs, and an environment that no resident judge takes


def hidden(who: Pass, service: Service, people: Iterable[str]) -> list[tuple[str, str]]:
    """git's settings for one connection: to a requester, what is another's is not listed. `people`: all names.

    Tidiness and speed, no secrecy: git serves every object to who knows its id. git refuses a push to a hidden ref
    by itself, in words of its own, so a push hides by name: a mistyped name of one's own still reaches the gate.
    """
    if who.owner:
        return []
    heads = [f"{refs.HEADS}{kind.value}" for kind in _OF_PEOPLE]
    others = sorted(set(people) - {who.person})
    if service is Service.PUSH and len(others) <= _MANY:
        return [("receive.hideRefs", f"{head}/{other}") for head in heads for other in others]
    own = [f"!{head}/{who.person}" for head in heads]
    return [(f"{_HIDES[service]}.hideRefs", pattern) for pattern in (*heads, *own)]


# What they send


@dataclass(frozen=True, slots=True)
class Sender:
    """Whose connection a push came by."""

    name: str
    owner: bool


def judge_sending(sender: Sender | None, ref: Ref, signer: str | None = None) -> str:
    """Why this person may not send this ref; "" where they may. `signer`: who signed the newest note of a review.

    None is the site's own account, which pushes on its own machine: it has no sender, and could forge any.
    """
    if sender is None:
        return ""
    if ref.kind is Kind.APPROVED and not sender.owner:
        return f"approved is pushed by an owner, and this connection is {sender.name}'s"
    if ref.kind is Kind.REQUEST and ref.job and sender.name != ref.job.requester:
        return f"{ref.job} is pushed by {ref.job.requester} alone, and this connection is {sender.name}'s"
    if ref.kind is Kind.REVIEW and signer is not None and sender.name != signer:
        return f"the newest review of {ref.job} is signed by {signer}, and this connection is {sender.name}'s"
    return ""
