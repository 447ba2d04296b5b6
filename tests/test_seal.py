"""Sealed results: every kind of key that can decrypt opens them, and no other key of that kind does."""

from pathlib import Path

import pytest
from conftest import ok

from gitqueue.adapters import seal
from gitqueue.errors import Mistake

KINDS = {"ed25519": ("-t", "ed25519"), "rsa": ("-t", "rsa", "-b", "3072")}


def keys(folder: Path, kind: str, passphrase: str = "") -> tuple[Path, str]:
    """A private key's file and its recipient's line."""
    folder.mkdir()
    path = folder / "key"
    if kind == "age":
        return path, seal.new_identity(path)
    ok("ssh-keygen", "-q", *KINDS[kind], "-N", passphrase, "-C", "", "-f", path, cwd=folder)
    return path, path.with_suffix(".pub").read_text().strip()


@pytest.mark.parametrize("kind", [*KINDS, "age"])
def test_who_it_is_sealed_to_opens_it_and_nobody_else(tmp_path: Path, kind: str) -> None:
    mine, line = keys(tmp_path / "mine", kind)
    other, another = keys(tmp_path / "other", "ed25519" if kind == "rsa" else kind)
    assert seal.sealable(line)
    sealed = seal.seal(b"mean,n\n", [line])
    assert b"mean" not in sealed
    assert seal.unseal(sealed, mine) == b"mean,n\n"
    with pytest.raises(Mistake, match="not sealed to"):
        seal.unseal(sealed, other)
    assert seal.unseal(seal.seal(b"mean,n\n", [line, another]), other) == b"mean,n\n"


def test_a_key_with_a_passphrase_opens_it_when_that_is_given(tmp_path: Path) -> None:
    mine, line = keys(tmp_path / "mine", "ed25519", "four words of mine")
    sealed = seal.seal(b"1", [line])
    with pytest.raises(Mistake, match="assw"):
        seal.unseal(sealed, mine)
    assert seal.unseal(sealed, mine, "four words of mine") == b"1"


def test_a_key_that_cannot_decrypt_is_told_from_those_that_can() -> None:
    assert not seal.sealable("ecdsa-sha2-nistp256 AAAA")
    assert not seal.sealable("sk-ssh-ed25519@openssh.com AAAA")
