"""Who a person is to git: as git's configuration says, and what is missing there made, so that a notebook can begin."""

import getpass
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from gitqueue.adapters import signatures
from gitqueue.adapters.clone import public_key as public_key
from gitqueue.adapters.clone import user_setting
from gitqueue.refs import slug


@dataclass(frozen=True, slots=True)
class Identity:
    """Name, e-mail, what git signs with (a key's file, or the key itself), and what was made of it just now."""

    name: str
    email: str
    signing: str
    made: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The public key."""
        return public_key(self.signing)

    @property
    def settings(self) -> dict[str, str]:
        """As git has them in a clone."""
        return {"user.name": self.name, "user.email": self.email, "gpg.format": "ssh", "user.signingkey": self.signing}


def of_git(place: Path, key: str | Path | None = None) -> Identity:
    """git's identity, or `key` instead of its key; what git does not know is made, a key as the file `place`."""
    name, email = user_setting("user.name"), user_setting("user.email")
    signing = str(Path(key).expanduser().absolute()) if key is not None else _of_git()
    made = []
    if not signing:
        signing = str(place.absolute())
        if not place.exists():
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            line = signatures.generate_key(place, email or _address(name))
            place.with_name(f"{place.name}.pub").write_text(f"{line.strip()}\n")
            made.append(f"the signing key {signing}")
    if not name or not email:
        name, email = name or _login(), email or _address(name)
        made += [f"the name {name} <{email}>"] if made else []
    return Identity(name, email, signing, tuple(made))


def _of_git() -> str:
    """The key that git signs with, where it is an ssh key; relative names are from the home folder."""
    named = user_setting("user.signingkey") if user_setting("gpg.format") == "ssh" else ""
    path = Path(named).expanduser()
    return str(path.absolute()) if named and path.exists() else named


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as containers have
        return f"user{os.getuid()}"


def _address(name: str) -> str:
    host = re.sub(r"[^a-zA-Z0-9.-]", "", socket.gethostname()) or "localhost"
    return f"{slug(name or _login())}@{host}"
