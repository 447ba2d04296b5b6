"""Admit: who comes in by ssh, and what they may do. sshd asks before each connection, and each session asks again."""

import json
import os
import pwd
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

from gitqueue import __version__, refs
from gitqueue.adapters.git import environment, git
from gitqueue.errors import GitqueueError, NotAllowed, OperatorNeeded
from gitqueue.rules import access
from gitqueue.rules.access import Pass, Sender

# Set by `serve` alone, for the hook. The site's own account could set them by itself; it needs no door.
SENDER, SENDER_KEY = "GITQUEUE_SENDER", "GITQUEUE_SENDER_KEY"
_PROTOCOLS = ("version=1", "version=2")
_MOST_MEMORY = "128m"  # of one allocation by git: a delta of 2 kB can unfold to 400 MB
_IDLE = 600  # seconds after which a fetch that nobody reads is ended


def keys(site: Path, now: float, kind: str = "", key: str = "") -> list[str]:
    """Lines of authorized_keys: of the offered key, where it counts now; of all that do, where none is offered."""
    offered = f"{kind} {key}" if kind or key else ""
    found = [one for one in _passes(site) if one.opens(now) and offered in ("", one.key)]
    return [access.authorized_key(one, _command(site, one)) for one in found]


def _command(site: Path, found: Pass) -> list[str]:
    # By the hook's way in: the commands' own takes three times as long to import.
    quick = [sys.executable, "-Im", "gitqueue.hook", "shell"]
    return [*quick, str(site.absolute()), found.person, found.fingerprint]


def person(site: Path, name: str, fingerprint: str, now: float) -> Pass:
    """The person, if this key (or, unnamed, any of theirs) counts now. Raises NotAllowed.

    sshd asked the same a moment ago, but only for the first session: a multiplexed connection (ControlMaster) opens
    further ones for as long as it stands, and a key is revoked at once.
    """
    for one in _passes(site):
        if one.person == name and fingerprint in ("", one.fingerprint) and one.opens(now):
            return one
    raise NotAllowed(
        f"the key {fingerprint or 'of this connection'} of {name} does not count here any more",
        step="ask an owner of the site; then close this connection (ssh -O exit) and connect again",
    )


def greeting(who: Pass) -> list[str]:
    """What an interactive login is told."""
    here = f"{_account().pw_name}@HOST"
    role = "an owner" if who.owner else "a requester"
    lines = [
        f"you are {who.person} here, {role}; there is no shell",
        f"clone the site (HOST: as you wrote it for ssh): git clone {here}:site.git",
    ]
    return [*lines, f"the vault, for owners, to read: git fetch {here}:private/vault.git"] if who.owner else lines


@dataclass(frozen=True, slots=True)
class Served:
    """The one program to turn into, with all of its environment."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]


def serve(site: Path, who: Pass, command: str, protocol: str) -> Served:
    """What an ssh command of this person means. Raises NotAllowed for all that is no fetch and no push.

    Call it in an environment that is cleared: whatever a client sent is not to be found by any git from here on.
    """
    paths = [str(site.absolute()), str(site.resolve())]
    service, repository = access.asked(command, access.spellings(paths, _account().pw_dir), who)
    hidden = access.hidden(who, service, {one.person for one in _passes(site)}) if repository == access.SITE else []
    options = ["--strict", f"--timeout={_IDLE}"] if service is access.Service.FETCH else []
    env = {**environment(), **_settings(hidden), SENDER: who.person, SENDER_KEY: who.fingerprint}
    if service is access.Service.PUSH:
        env["GIT_ALLOC_LIMIT"] = _MOST_MEMORY
    if protocol in _PROTOCOLS:
        env["GIT_PROTOCOL"] = protocol
    return Served(("git", service.value, *options, str(site.resolve() / repository)), env)


def _settings(values: Iterable[tuple[str, str]]) -> dict[str, str]:
    """git settings for one process and its children, as the environment carries them."""
    pairs = [(f"GIT_CONFIG_KEY_{at}", f"GIT_CONFIG_VALUE_{at}", pair) for at, pair in enumerate(values)]
    words = {name: word for *names, pair in pairs for name, word in zip(names, pair, strict=True)}
    return {"GIT_CONFIG_COUNT": str(len(pairs)), **words}


def _account() -> pwd.struct_passwd:
    return pwd.getpwuid(os.geteuid())


def sender(site: Path, said: Mapping[str, str], now: float) -> Sender | None:
    """Whose push the hook judges: None by the site's own account. Raises NotAllowed where their key counts no more:
    a push can be held open for longer than its key is good."""
    if SENDER not in said and SENDER_KEY not in said:
        return None
    name, key = said.get(SENDER, ""), said.get(SENDER_KEY, "")
    if not key.startswith("SHA256:"):
        raise NotAllowed(f"nobody knows whose push this is: {SENDER} and {SENDER_KEY} are set by gitqueue shell alone")
    who = person(site, name, key, now)
    return Sender(who.person, who.owner)


# The passes of a site


def _passes(site: Path) -> list[Pass]:
    """All passes, by people.yaml on `approved` and the operator's list. Raises where either cannot be read.

    Parsing the two costs more than all else that a connection asks, so what they said is kept beside their very text:
    where a byte of them has changed, it is read anew.
    """
    documents, kept = _documents(site), site / "private" / "passes.json"
    of = [__version__, *(text.decode("latin-1") for text in documents)]
    with suppress(OSError, ValueError, TypeError, KeyError):  # absent, or damaged: it is only what was kept
        found = json.loads(kept.read_bytes())
        if found["of"] == of:
            return [Pass(*one) for one in found["passes"]]
    return _read(*documents, of, kept)


def _documents(site: Path) -> tuple[bytes, bytes]:
    repository, settings = site / "site.git", site / "private" / "runner.yaml"
    try:
        owner = repository.stat().st_uid
        if owner != os.geteuid():
            raise OperatorNeeded(
                f"{str(site)!r} belongs to {_name(owner)}, and this is {_account().pw_name}",
                step=f"AuthorizedKeysCommandUser and the account of Match User must be {_name(owner)}",
            )
        said = git("cat-file", "blob", f"{refs.APPROVED}:.gitqueue/people.yaml", cwd=repository, timeout=10)
        return said.out, settings.read_bytes()
    except OSError as error:
        raise OperatorNeeded(f"cannot read the site {str(site)!r}: {error}", step="gitqueue doctor") from error


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _read(people: bytes, settings: bytes, of: list[str], kept: Path) -> list[Pass]:
    from gitqueue.adapters.files import write_atomic
    from gitqueue.rules.policy import parse_people, parse_runner

    found = list(access.passes(parse_people(people), parse_runner(settings).revoked))
    text = json.dumps({"of": of, "passes": [astuple(one) for one in found]})
    with suppress(OSError, GitqueueError):  # a full disk lets nobody in faster, and keeps nobody out
        write_atomic(kept, text.encode())
    return found
