"""SSH signatures of commits: taken apart, verified and made in process, without ssh-keygen or git.

One signed content with one signature has one commit id: what git would accept in a second spelling (a doubled or
re-indented header, other line lengths, another header behind) is refused. Two ways to a second id are left, and
neither can be closed here. Whoever holds the key can sign again; and anyone can turn an ECDSA signature (r, s) into
(r, n-s), which is as valid: OpenSSH writes both halves, so refusing one would refuse every second honest signature.
A second id never says anything that the key did not sign, but it is why no rule may take a commit's id for the
identity of what was approved (a job's id is used once, and its claim is the lock).

Formats: PROTOCOL.sshsig and PROTOCOL.u2f of OpenSSH; RFC 4251 section 5 (wire), 5656 (ECDSA), 8332 (RSA).
"""

import binascii
import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from gitqueue.errors import Mistake, NotAllowed, OperatorNeeded

if TYPE_CHECKING:  # 39 ms, which a hook that refuses by name alone need not pay
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGN_AGAIN = "git commit --amend -S --no-edit"
SET_UP = (
    "git config gpg.format ssh && git config user.signingkey ~/.ssh/id_ed25519.pub"
    f" && git config commit.gpgsign true && {SIGN_AGAIN}"
)
NEW_KEY = "ssh-keygen -t ed25519, have an owner add the new .pub file to this site, and sign with that key"
RSA_BITS, RSA_MOST_BITS = 3072, 16384  # the most that OpenSSH and OpenSSL take

_HEAD = re.compile(rb"tree [0-9a-f]{40}\n(?:parent [0-9a-f]{40}\n)*author [^\n]*\ncommitter [^\n]*\n")
_BEGIN, _END = b"-----BEGIN SSH SIGNATURE-----\n", b"-----END SSH SIGNATURE-----\n"
_LONGEST = 8192  # armored; the longest that OpenSSH makes, by RSA of 16384 bits, has 5.8 kB
_HASHES = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}


class Unsigned(NotAllowed):
    """The commit carries no signature at all."""


class BadSignature(NotAllowed):
    """The commit carries something that is not one canonical, valid SSH signature for git."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Whose key signed, by the key alone: `key` in SSH wire format, `kind` its type's name as in a .pub file."""

    key: bytes
    fingerprint: str
    kind: str


def fingerprint(key: bytes) -> str:
    """`SHA256:…` of a key in wire format, as `ssh-keygen -l` shows it."""
    digest = hashlib.sha256(key).digest()
    return "SHA256:" + binascii.b2a_base64(digest, newline=False).rstrip(b"=").decode("ascii")


def split(raw: bytes) -> tuple[bytes, bytes]:
    """A raw commit as what was signed and the armored signature (as ssh-keygen writes it, newline at its end)."""
    payload, blob = _take_apart(raw)
    return payload, _armor(blob)


def verify(raw: bytes) -> Signature:
    """Which key signed this raw commit; raises Unsigned or BadSignature. Whose it is, and since when, is for rules."""
    payload, blob = _take_apart(raw)
    key, algorithm, message, signature = _read_sshsig(blob, payload)
    public = _read_key(key)
    _check(public, algorithm, signature, message)
    return public.signature


def sign(payload: bytes, private_key: "Ed25519PrivateKey") -> bytes:
    """The raw commit, signed by git's own rule. Raises BadSignature for a payload that could not be read back."""
    message = _signed_words(b"sha512", payload)
    wire_key = _string(b"ssh-ed25519") + _string(private_key.public_key().public_bytes_raw())
    signature = _string(b"ssh-ed25519") + _string(private_key.sign(message))
    parts = (wire_key, b"git", b"", b"sha512", signature)
    raw = _insert(payload, _armor(b"SSHSIG\0\0\0\1" + b"".join(map(_string, parts))))
    _take_apart(raw)
    return raw


# --- the runner's own key


def load_key(path: str | Path) -> "Ed25519PrivateKey":
    """An ed25519 key without passphrase from an OpenSSH private key file that its account alone can read."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    try:
        with open(path, "rb") as file:
            loose = os.fstat(file.fileno()).st_mode & 0o077
            key = load_ssh_private_key(file.read(1 << 16), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as fault:  # TypeError: it has a passphrase
        raise OperatorNeeded(
            f"the signing key {str(path)!r} cannot be read: {fault}",
            step="restore it from the backup, without passphrase, readable for the site's account",
        ) from fault
    if loose:
        raise OperatorNeeded(f"others may read the signing key {str(path)!r}", step=f"chmod 600 '{path}'")
    if not isinstance(key, Ed25519PrivateKey):
        raise OperatorNeeded(f"the signing key {str(path)!r} is not an ed25519 key", step="ssh-keygen -t ed25519")
    return key


def generate_key(path: str | Path, comment: str) -> str:
    """Makes a new ed25519 key file (0600, whole or absent, never over another); returns its public line."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if not comment.isprintable():
        raise Mistake(f"{comment!r} cannot stand behind a key", step="choose a comment of one line")
    key = Ed25519PrivateKey.generate()
    _keep_secret(Path(path), key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption()))
    line = key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH).decode("ascii")
    return f"{line} {comment}".rstrip()


def _keep_secret(path: Path, content: bytes) -> None:
    import tempfile

    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600 from the start
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.link(name, path)  # unlike a rename, it never replaces
    except FileExistsError:
        raise Mistake(f"the key {str(path)!r} exists already", step="keep it, or move it away first") from None
    finally:
        os.unlink(name)


# --- git's side: the header


def _take_apart(raw: bytes) -> tuple[bytes, bytes]:
    """(payload, SSHSIG blob). What it accepts, `_insert` and `_armor` turn back into exactly `raw`."""
    end = raw.find(b"\n\n") + 1
    if not end or not _HEAD.match(raw, 0, end) or b"\0" in raw:
        raise BadSignature("the commit is not laid out as git writes commits", step=f"make it with git: {SET_UP}")
    start = raw.find(b"\ngpgsig", 0, end) + 1
    if not start:
        raise Unsigned("the commit is not signed", step=SET_UP)
    _check_header(raw[start:end], raw.count(b"\ngpgsig", 0, end))
    armored = raw[start + len(b"gpgsig ") : end].replace(b"\n ", b"\n")
    payload, blob = raw[:start] + raw[end:], _dearmor(armored)
    if _armor(blob) != armored or _insert(payload, armored) != raw:
        why = "the signature is not laid out exactly as ssh-keygen and git write it"
        raise BadSignature(why, step=f"sign with git itself: {SIGN_AGAIN}")
    return payload, blob


def _check_header(header: bytes, count: int) -> None:
    """`header`: from the first gpgsig to the end of the commit's headers. git leaves *every* gpgsig… unsigned."""
    if count > 1:
        raise BadSignature("the commit has more than one signature header (gpgsig)", step=SIGN_AGAIN)
    name, _, value = header.partition(b" ")
    if name != b"gpgsig":
        raise BadSignature(f"the commit has a signature header {_show(name)}, not gpgsig", step=SET_UP)
    if value.startswith((b"-----BEGIN PGP", b"-----BEGIN SIGNED MESSAGE")):
        other = "PGP" if b"PGP" in value[:20] else "X.509"
        raise BadSignature(f"the commit is signed with {other}, and only SSH signatures count here", step=SET_UP)
    if re.search(rb"\n[^ ]", header):
        raise BadSignature("the signature header is not the last header, where git puts it", step=SIGN_AGAIN)


def _insert(payload: bytes, armored: bytes) -> bytes:
    """git's add_header_signature (commit.c): before the blank line, a space before each further line."""
    at = payload.find(b"\n\n") + 1
    return payload[:at] + b"gpgsig " + armored[:-1].replace(b"\n", b"\n ") + b"\n" + payload[at:]


def _armor(blob: bytes) -> bytes:
    text = binascii.b2a_base64(blob, newline=False)
    return _BEGIN + b"".join(text[i : i + 70] + b"\n" for i in range(0, len(text), 70)) + _END


def _dearmor(armored: bytes) -> bytes:
    """Lenient, for its caller compares with what `_armor` makes of the answer."""
    text, end, _ = armored[len(_BEGIN) : _LONGEST].partition(b"-----END")
    if not (armored.startswith(_BEGIN) and end):
        raise BadSignature("the signature is not one SSH signature block", step=SET_UP)
    try:
        return binascii.a2b_base64(text)
    except binascii.Error as fault:
        raise _damaged("it is not base64") from fault


# --- SSH's side: the signature


class _Wire:
    """Reads SSH's wire format, each value in its one encoding, to the last byte."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, size: int) -> bytes:
        begin, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise _damaged("it is cut short")
        return self._data[begin : self._at]

    def string(self) -> bytes:
        return self.take(int.from_bytes(self.take(4), "big"))

    def mpint(self) -> int:
        """Positive and without a needless zero in front, or one number would have many spellings."""
        data = self.string()
        if not data or data[0] > 0x7F or (data[0] == 0 and data[1:2] < b"\x80"):
            raise _damaged("a number in it is not in its shortest form")
        return int.from_bytes(data, "big")

    def end(self) -> None:
        if self._at != len(self._data):
            raise _damaged("something follows its end")


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _damaged(how: str) -> BadSignature:
    return BadSignature(f"the signature is damaged: {how}", step=SIGN_AGAIN)


def _show(data: bytes) -> str:
    return repr(data[:40].decode("ascii", "backslashreplace"))


def _read_sshsig(blob: bytes, payload: bytes) -> tuple[bytes, bytes, bytes, "_Wire"]:
    """(key, algorithm, message as signed, rest of the signature behind its algorithm)."""
    wire = _Wire(blob)
    if wire.take(6) != b"SSHSIG" or wire.take(4) != b"\0\0\0\1":
        raise _damaged("it does not begin as SSH signatures of version 1 do")
    key, namespace, reserved, hashing, signature = (wire.string() for _ in range(5))
    wire.end()
    if namespace != b"git":
        raise BadSignature(f"the signature was made for {_show(namespace)}, not for git", step=SIGN_AGAIN)
    if reserved:
        raise _damaged("its reserved field is not empty")
    if hashing not in _HASHES:
        raise BadSignature(f"the signature hashes by {_show(hashing)}, not by sha256 or sha512", step=SIGN_AGAIN)
    inner = _Wire(signature)
    return key, inner.string(), _signed_words(hashing, payload), inner


def _signed_words(hashing: bytes, payload: bytes) -> bytes:
    parts = (b"git", b"", hashing, _HASHES[hashing](payload).digest())
    return b"SSHSIG" + b"".join(map(_string, parts))


Check = Callable[[bytes, bytes, bytes], object]  # algorithm, signature, message; raises where they do not fit


@dataclass(frozen=True, slots=True)
class _Key:
    """A public key, read. `signature` is what each that it made says; `application` is that of a hardware key, None
    for others."""

    signature: Signature
    check: Check
    algorithms: tuple[bytes, ...]
    application: bytes | None


def _check(key: _Key, algorithm: bytes, wire: _Wire, message: bytes) -> None:
    from cryptography.exceptions import InvalidSignature

    if algorithm not in key.algorithms:
        kind = key.signature.kind
        why = f"the signature is made by {_show(algorithm)}, which does not count for a key of kind {kind!r}"
        raise BadSignature(why, step=f"with OpenSSH 8.2 or newer: {SIGN_AGAIN}")
    signature = wire.string()
    if key.application is not None:
        message = _touched(key.application, wire, message)
    wire.end()
    try:
        key.check(algorithm, signature, message)
    except (InvalidSignature, ValueError) as fault:
        why = "the signature does not fit the commit: one of them was changed after signing"
        raise BadSignature(why, step=SIGN_AGAIN) from fault


def _touched(application: bytes, wire: _Wire, message: bytes) -> bytes:
    """What a hardware key signs. The lowest of its flags says that a person touched it."""
    flags, counter = wire.take(1), wire.take(4)
    if not flags[0] & 1:
        raise BadSignature("the hardware key signed without being touched", step=f"{SIGN_AGAIN}, and touch the key")
    return hashlib.sha256(application).digest() + flags + counter + hashlib.sha256(message).digest()


@lru_cache(maxsize=1024)  # a chain of thousands of commits has few keys, and reading one costs half of a check
def _read_key(blob: bytes) -> _Key:
    wire = _Wire(blob)
    kind = wire.string()
    if kind not in _KINDS:
        what = "a certificate" if b"-cert-" in kind else "a key"
        raise BadSignature(f"the commit is signed with {what} of kind {_show(kind)}, not with {_WANTED}", step=NEW_KEY)
    try:
        check = _KINDS[kind](wire)
    except ValueError as fault:
        raise _damaged(f"what it holds as key is none ({fault})") from fault
    application = wire.string() if kind.startswith(b"sk-") else None
    wire.end()
    if application is not None and not re.fullmatch(rb"ssh:[ -~]*", application):
        raise BadSignature(f"the hardware key was made for {_show(application)}, not for ssh", step=NEW_KEY)
    signature = Signature(blob, fingerprint(blob), kind.decode("ascii"))
    return _Key(signature, check, _RSA_ALGORITHMS if kind == b"ssh-rsa" else (kind,), application)


def _ed25519(key: _Wire) -> Check:
    """By libsodium, which takes half of OpenSSL's time and is stricter about keys and signatures of small order."""
    from nacl.bindings import crypto_sign_open
    from nacl.exceptions import BadSignatureError

    point = key.string()
    if len(point) != 32:
        raise ValueError("it has not 32 bytes")
    if int.from_bytes(point, "little") % (1 << 255) % _ED25519_P in _ED25519_WEAK:
        raise BadSignature("the ed25519 key is one with which everybody could sign", step=NEW_KEY)

    def check(_: bytes, signature: bytes, message: bytes) -> None:
        if len(signature) != 64:  # both go to libsodium in one piece
            raise ValueError("an ed25519 signature has 64 bytes")
        try:
            crypto_sign_open(signature + message, point)
        except BadSignatureError as fault:
            raise ValueError("it does not fit") from fault

    return check


def _rsa(key: _Wire) -> Check:
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256, SHA512

    exponent, modulus = key.mpint(), key.mpint()
    bits = modulus.bit_length()
    if not RSA_BITS <= bits <= RSA_MOST_BITS:
        raise BadSignature(f"the RSA key has {bits} bits, and {RSA_BITS} to {RSA_MOST_BITS} count here", step=NEW_KEY)
    public = rsa.RSAPublicNumbers(exponent, modulus).public_key()

    def check(algorithm: bytes, signature: bytes, message: bytes) -> None:
        # OpenSSH pads a short one; a second spelling would be a second commit id. OpenSSL refuses other lengths.
        hashing = SHA256() if algorithm == b"rsa-sha2-256" else SHA512()
        public.verify(signature, message, padding.PKCS1v15(), hashing)

    return check


def _ecdsa(size: int, key: _Wire) -> Check:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    curve, hashing = {
        256: (ec.SECP256R1(), hashes.SHA256()),
        384: (ec.SECP384R1(), hashes.SHA384()),
        521: (ec.SECP521R1(), hashes.SHA512()),
    }[size]
    name, point = key.string(), key.string()
    if name != f"nistp{size}".encode() or point[:1] != b"\4":  # a compressed point is another spelling of a key
        raise ValueError("not an uncompressed point of its curve")
    public = ec.EllipticCurvePublicKey.from_encoded_point(curve, point)

    def check(_: bytes, signature: bytes, message: bytes) -> None:
        wire = _Wire(signature)
        r, s = wire.mpint(), wire.mpint()
        wire.end()
        public.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashing))

    return check


_RSA_ALGORITHMS = (b"rsa-sha2-256", b"rsa-sha2-512")  # never ssh-rsa, which is SHA-1
_WANTED = "ed25519, RSA, ECDSA or a hardware (sk-) key"
# The eight points of small order, by y (two signs each): OpenSSL and ssh-keygen take them as keys, and a signature by
# such a key needs no secret.
_ED25519_P = (1 << 255) - 19
_ED25519_Y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_ED25519_WEAK = frozenset({0, 1, _ED25519_P - 1, _ED25519_Y8, _ED25519_P - _ED25519_Y8})
_KINDS: dict[bytes, Callable[[_Wire], Check]] = {
    b"ssh-ed25519": _ed25519,
    b"ssh-rsa": _rsa,
    b"ecdsa-sha2-nistp256": partial(_ecdsa, 256),
    b"ecdsa-sha2-nistp384": partial(_ecdsa, 384),
    b"ecdsa-sha2-nistp521": partial(_ecdsa, 521),
    b"sk-ssh-ed25519@openssh.com": _ed25519,
    b"sk-ecdsa-sha2-nistp256@openssh.com": partial(_ecdsa, 256),
}
