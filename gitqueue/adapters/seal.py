"""Sealing by age (pyrage): a file that its recipients alone can open, with `gitqueue results` or with plain `age`."""

import io
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from gitqueue.errors import Mistake

_LARGEST = 1 << 30


def pack(files: Mapping[str, bytes]) -> bytes:
    """A tar of the files, the same bytes for the same files: sorted, without times, owners or modes."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size = len(files[name])
            archive.addfile(entry, io.BytesIO(files[name]))
    return data.getvalue()


def unpack(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The plain files of a tar, by name. Raises Mistake for anything else in it."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for entry in archive:
            opened = archive.extractfile(entry) if entry.isreg() else None
            if opened is None or entry.size > _LARGEST:
                raise Mistake(f"the sealed results hold {entry.name!r}, which is no plain file")
            yield entry.name, opened.read()


def sealable(key: str) -> bool:
    """Whether a recipient's line (an ssh public key, or age1…) can be sealed to."""
    return key.startswith(("ssh-ed25519 ", "ssh-rsa ", "age1"))


def new_identity(path: Path) -> str:
    """Make an age identity in a new file that its owner alone may read; its recipient's line, age1…"""
    import pyrage

    identity = pyrage.x25519.Identity.generate()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(f"# public key: {identity.to_public()}\n{identity}\n")
    return str(identity.to_public())


def seal(data: bytes, recipients: Iterable[str]) -> bytes:
    """Encrypt to every recipient: ssh public key lines or age recipients. Raises Mistake where one cannot be used."""
    import pyrage

    keys = [_recipient(pyrage, line) for line in recipients]
    if not keys:
        raise Mistake("there is nobody to seal the results to", step="gitqueue person add … --seal age1…")
    return bytes(pyrage.encrypt(data, keys))


def _recipient(pyrage, line: str):  # type: ignore[no-untyped-def]
    try:
        if line.startswith("age1"):
            return pyrage.x25519.Recipient.from_str(line)
        return pyrage.ssh.Recipient.from_str(" ".join(line.split()[:2]))
    except Exception as error:
        raise Mistake(f"cannot seal to {line[:60]!r}: {error}") from error


def unseal(data: bytes, identity: Path, passphrase: str | None = None) -> bytes:
    """Decrypt with an ssh private key or an age identity file. Raises Mistake where it is not for this key."""
    import pyrage

    try:
        return bytes(pyrage.decrypt(data, [_identity(pyrage, identity, passphrase)]))
    except pyrage.DecryptError as error:
        raise Mistake(f"these results are not sealed to {str(identity)!r} ({error})") from error


def _identity(pyrage, path: Path, passphrase: str | None):  # type: ignore[no-untyped-def]
    try:
        text = path.read_bytes()
    except OSError as error:
        raise Mistake(f"cannot read your key {str(path)!r}: {error.strerror}") from error
    if b"AGE-SECRET-KEY-" in text:
        line = next(line for line in text.decode().splitlines() if line.startswith("AGE-SECRET-KEY-"))
        return pyrage.x25519.Identity.from_str(line)
    return pyrage.ssh.Identity.from_buffer(_opened(text, path, passphrase))


def _opened(text: bytes, path: Path, passphrase: str | None) -> bytes:
    """The key without its passphrase, which age does not ask for."""
    from cryptography.hazmat.primitives import serialization as form

    try:
        key = form.load_ssh_private_key(text, passphrase.encode() if passphrase else None)
    except (TypeError, ValueError) as error:
        raise Mistake(f"cannot open your key {str(path)!r}: {error}", step="type its passphrase when asked") from error
    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption())
