"""SSH signatures of commits, with git and ssh-keygen themselves as the judges of ours."""

import base64
import hashlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from gitqueue.adapters import signatures
from gitqueue.adapters.signatures import BadSignature, Unsigned, sign, split, verify
from gitqueue.errors import Mistake, NotAllowed, OperatorNeeded

KINDS = {
    "ed25519": ("ssh-ed25519", ("-t", "ed25519")),
    "rsa-3072": ("ssh-rsa", ("-t", "rsa", "-b", "3072")),
    "rsa-4096": ("ssh-rsa", ("-t", "rsa", "-b", "4096")),
    "ecdsa-256": ("ecdsa-sha2-nistp256", ("-t", "ecdsa", "-b", "256")),
    "ecdsa-384": ("ecdsa-sha2-nistp384", ("-t", "ecdsa", "-b", "384")),
    "ecdsa-521": ("ecdsa-sha2-nistp521", ("-t", "ecdsa", "-b", "521")),
}
REFUSED_KINDS = {"rsa-2048": ("-t", "rsa", "-b", "2048"), "dsa": ("-t", "dsa")}
PAYLOAD = (
    b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nparent 1111111111111111111111111111111111111111\n"
    b"author Olga <olga@example.org> 1700000000 +0100\ncommitter Olga <olga@example.org> 1700000000 +0100\n"
    b"\nAggregates only\n"
)
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "HOME": "/nonexistent",
    **{f"GIT_{who}_{what}": f"{what}@x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def run(*argv: str | Path, stdin: bytes = b"", ok: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run([*map(str, argv)], input=stdin, capture_output=True, env=ENVIRONMENT, timeout=60)
    assert done.returncode in ok, done.stderr
    return done


# --- an SSHSIG writer of the tests' own, so that every field can be wrong


def wire(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def mpint(number: int, zeros: int = 0) -> bytes:
    return wire(b"\0" * zeros + number.to_bytes(number.bit_length() // 8 + 1, "big"))


def armor(blob: bytes, width: int = 70) -> bytes:
    text = base64.b64encode(blob)
    lines = [text[i : i + width] + b"\n" for i in range(0, len(text), width)]
    return b"-----BEGIN SSH SIGNATURE-----\n" + b"".join(lines) + b"-----END SSH SIGNATURE-----\n"


def with_header(payload: bytes, armored: bytes, name: bytes = b"gpgsig") -> bytes:
    head, _, message = payload.partition(b"\n\n")
    return head + b"\n" + name + b" " + b"\n ".join(armored.splitlines()) + b"\n\n" + message


@dataclass
class Soft:
    """A key in software of any kind, hardware kinds included."""

    kind: str
    key: bytes
    make: Callable[[bytes], bytes]  # signature body (the string behind the algorithm's name) over a message
    algorithm: bytes = b""
    hardware: bool = False

    def signature(self, message: bytes, flags: int = 1, counter: int = 7, after: bytes = b"") -> bytes:
        if self.hardware:
            after = bytes([flags]) + counter.to_bytes(4, "big") + after
            message = hashlib.sha256(b"ssh:").digest() + after[:5] + hashlib.sha256(message).digest()
        return wire(self.algorithm or self.kind.encode()) + wire(self.make(message)) + after

    def sshsig(
        self,
        payload: bytes = PAYLOAD,
        *,
        namespace: bytes = b"git",
        hashing: bytes = b"sha512",
        reserved: bytes = b"",
        magic: bytes = b"SSHSIG",
        version: int = 1,
        key: bytes | None = None,
        end: bytes = b"",
        **signature: int | bytes,
    ) -> bytes:
        digest = hashlib.new(hashing.decode(), payload).digest()
        message = b"SSHSIG" + wire(namespace) + wire(reserved) + wire(hashing) + wire(digest)
        fields = (key or self.key, namespace, reserved, hashing, self.signature(message, **signature))  # type: ignore[arg-type]
        return magic + version.to_bytes(4, "big") + b"".join(map(wire, fields)) + end

    def commit(self, payload: bytes = PAYLOAD, **odd: object) -> bytes:
        return with_header(payload, armor(self.sshsig(payload, **odd)))  # type: ignore[arg-type]


def soft_ed25519(hardware: bool = False) -> Soft:
    private = ed25519.Ed25519PrivateKey.generate()
    kind = "sk-ssh-ed25519@openssh.com" if hardware else "ssh-ed25519"
    key = wire(kind.encode()) + wire(private.public_key().public_bytes_raw()) + (wire(b"ssh:") if hardware else b"")
    return Soft(kind, key, private.sign, hardware=hardware)


def point(private: ec.EllipticCurvePrivateKey, compressed: bool = False) -> bytes:
    form = serialization.PublicFormat
    shape = form.CompressedPoint if compressed else form.UncompressedPoint
    return private.public_key().public_bytes(serialization.Encoding.X962, shape)


def soft_ecdsa(hardware: bool = False, zeros: int = 0, after: bytes = b"", flip: bool = False) -> Soft:
    private = ec.generate_private_key(ec.SECP256R1())
    kind = "sk-ecdsa-sha2-nistp256@openssh.com" if hardware else "ecdsa-sha2-nistp256"
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

    def make(message: bytes) -> bytes:
        r, s = decode_dss_signature(private.sign(message, ec.ECDSA(hashes.SHA256())))
        return mpint(r, zeros) + mpint(order - s if flip else s) + after

    key = wire(kind.encode()) + wire(b"nistp256") + wire(point(private)) + (wire(b"ssh:") if hardware else b"")
    return Soft(kind, key, make, hardware=hardware)


RSA = rsa.generate_private_key(65537, 3072)


def soft_rsa(algorithm: bytes = b"rsa-sha2-512", zeros: int = 0, private: rsa.RSAPrivateKey = RSA) -> Soft:
    hashing = {b"rsa-sha2-512": hashes.SHA512(), b"rsa-sha2-256": hashes.SHA256(), b"ssh-rsa": hashes.SHA1()}[algorithm]
    numbers = private.public_key().public_numbers()
    key = wire(b"ssh-rsa") + mpint(numbers.e) + wire(b"\0" * zeros + numbers.n.to_bytes(385, "big"))
    return Soft("ssh-rsa", key, lambda message: private.sign(message, padding.PKCS1v15(), hashing), algorithm)


ED = soft_ed25519()


# --- the judges: real keys, real git, real ssh-keygen


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key of every kind that ssh-keygen makes, and a repository, `repo`."""
    folder = tmp_path_factory.mktemp("signatures")
    makers = {name: argv for name, (_, argv) in KINDS.items()} | REFUSED_KINDS | {"ca": ("-t", "ed25519")}
    how = ("ssh-keygen", "-q", "-N", "", "-C", "olga")
    started = [subprocess.Popen([*how, *argv, "-f", folder / name], env=ENVIRONMENT) for name, argv in makers.items()]
    assert [process.wait(60) for process in started] == [0] * len(makers)
    run("git", "init", "-q", folder / "repo")
    return folder


def git(place: Path, *argv: str, stdin: bytes = b"", ok: tuple[int, ...] = (0,)) -> bytes:
    return run("git", "-C", place / "repo", *argv, stdin=stdin, ok=ok).stdout


def commit(place: Path, key: str, message: bytes = b"Aggregates only\n", *options: str) -> bytes:
    """The raw bytes of a commit that git itself signed."""
    how = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={place / key}")
    git(place, *how, *options, "commit", "-q", "-S", "--allow-empty", "--allow-empty-message", "-F", "-", stdin=message)
    return git(place, "cat-file", "commit", "HEAD")


@pytest.fixture(scope="module")
def signed(place: Path) -> dict[str, bytes]:
    """A commit by each kind of key."""
    made = {name: commit(place, name) for name in KINDS}
    for hardware, soft in (("sk-ed25519", soft_ed25519(True)), ("sk-ecdsa", soft_ecdsa(True))):
        made[hardware] = soft.commit()
    return made


ALL = (*KINDS, "sk-ed25519", "sk-ecdsa")


@pytest.fixture
def openssh(tmp_path: Path) -> Callable[[bytes], bool]:
    """Does `ssh-keygen -Y verify` accept the payload of this commit, by the key that stands in its signature?"""

    def ask(raw: bytes) -> bool:
        payload, armored = split(raw)
        return ask_parts(tmp_path, payload, armored)

    return ask


def ask_parts(folder: Path, payload: bytes, armored: bytes) -> bool:
    blob = base64.b64decode(b"".join(armored.splitlines()[1:-1]))
    size = int.from_bytes(blob[10:14], "big")
    key = blob[14 : 14 + size]
    kind = key[4 : 4 + int.from_bytes(key[:4], "big")]
    (folder / "allowed").write_bytes(b"olga " + kind + b" " + base64.b64encode(key) + b"\n")
    (folder / "signature").write_bytes(armored)
    argv = ("-Y", "verify", "-f", folder / "allowed", "-I", "olga", "-n", "git", "-s", folder / "signature")
    return run("ssh-keygen", *argv, stdin=payload, ok=(0, 255)).returncode == 0


def git_accepts(place: Path, raw: bytes, key: str = "ed25519") -> bool:
    allowed = place / "allowed"
    allowed.write_text("olga " + (place / f"{key}.pub").read_text())
    name = git(place, "hash-object", "-w", "--stdin", "--literally", "-t", "commit", stdin=raw).decode().strip()
    argv = ("git", "-C", place / "repo", "-c", f"gpg.ssh.allowedSignersFile={allowed}", "verify-commit", name)
    return run(*argv, ok=(0, 1)).returncode == 0


def refusal(raw: bytes) -> NotAllowed:
    with pytest.raises((Unsigned, BadSignature)) as caught:
        verify(raw)
    assert caught.value.step
    return caught.value


def payload_of(raw: bytes) -> bytes:
    """By another way than ours: without the lines from gpgsig on that begin with a space."""
    head, _, message = raw.partition(b"\n\n")
    kept = [line for line in head.split(b"\n") if not line.startswith((b"gpgsig", b" "))]
    return b"\n".join(kept) + b"\n\n" + message


# --- what counts


@pytest.mark.parametrize("name", KINDS)
def test_a_commit_that_git_signed_is_verified_for_each_kind_of_key(
    place: Path, signed: dict[str, bytes], openssh: Callable[[bytes], bool], name: str
) -> None:
    found = verify(signed[name])
    words = (place / f"{name}.pub").read_text().split()
    assert (found.kind, found.key) == (KINDS[name][0], base64.b64decode(words[1]))
    assert found.fingerprint in run("ssh-keygen", "-l", "-f", place / f"{name}.pub").stdout.decode().split()
    assert openssh(signed[name])
    assert split(signed[name])[0] == payload_of(signed[name])


@pytest.mark.parametrize("hashing", [b"sha256", b"sha512"])
@pytest.mark.parametrize("soft", [ED, soft_ecdsa(), soft_rsa(b"rsa-sha2-256"), soft_rsa(b"rsa-sha2-512")])
def test_both_sha2_hashes_count_and_both_rsa_algorithms(
    soft: Soft, hashing: bytes, openssh: Callable[[bytes], bool]
) -> None:
    raw = soft.commit(hashing=hashing)
    assert verify(raw).key == soft.key
    assert openssh(raw)


@pytest.mark.parametrize("soft", [soft_ed25519(True), soft_ecdsa(True)], ids=lambda soft: soft.kind)
@pytest.mark.parametrize("flags", [1, 5])
def test_a_touched_hardware_key_counts(soft: Soft, flags: int, openssh: Callable[[bytes], bool]) -> None:
    raw = soft.commit(flags=flags)
    assert verify(raw) == signatures.Signature(soft.key, signatures.fingerprint(soft.key), soft.kind)
    assert openssh(raw)


@pytest.mark.parametrize("soft", [soft_ed25519(True), soft_ecdsa(True)], ids=lambda soft: soft.kind)
def test_a_hardware_key_that_nobody_touched_does_not_count_though_ssh_keygen_takes_it(
    soft: Soft, openssh: Callable[[bytes], bool]
) -> None:
    for flags in (0, 4, 0xFE):
        assert openssh(soft.commit(flags=flags))
        assert "without being touched" in str(refusal(soft.commit(flags=flags)))
    blob = soft.sshsig()
    assert "does not fit" in str(refusal(with_header(PAYLOAD, armor(blob[:-1] + b"\x08"))))  # the counter is signed


@pytest.mark.parametrize(
    ("message", "options"),
    [
        (b"", ()),
        (b"no newline at its end", ()),
        ("Größe, 日本 \u202e\n".encode(), ()),
        (
            b"gpgsig -----BEGIN SSH SIGNATURE-----\n AAAA\n -----END SSH SIGNATURE-----\n",
            ("-c", "commit.cleanup=verbatim"),
        ),
        (b"\n\n\ngpgsig x\n\n", ("-c", "commit.cleanup=verbatim")),
        (b"Gr\xf6\xdfe\n", ("-c", "i18n.commitEncoding=ISO-8859-1")),
        (b"carriage\r\nreturns\r\n", ("-c", "commit.cleanup=verbatim")),
    ],
)
def test_whatever_the_message_holds_a_commit_of_git_verifies(
    place: Path, message: bytes, options: tuple[str, ...], openssh: Callable[[bytes], bool]
) -> None:
    raw = commit(place, "ed25519", message, *options)
    assert verify(raw).kind == "ssh-ed25519"
    assert openssh(raw)


def test_merges_of_branches_and_of_signed_tags_verify(place: Path) -> None:
    commit(place, "ed25519")
    how = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={place / 'ed25519'}")
    git(place, "switch", "-q", "--detach", "HEAD")
    commit(place, "ecdsa-256")
    git(place, *how, "tag", "-s", "-m", "a tag", "signed-tag")
    git(place, "switch", "-q", "-")
    git(place, *how, "merge", "-q", "-S", "--no-ff", "signed-tag", "-m", "A merge")
    raw = git(place, "cat-file", "commit", "HEAD")
    assert raw.count(b"\nparent ") == 2
    assert b"\nmergetag " in raw
    assert verify(raw).kind == "ssh-ed25519"


def test_the_armor_is_ssh_keygens_own_at_every_length_around_a_full_line(place: Path, tmp_path: Path) -> None:
    for length in range(40, 84):
        argv = ("-Y", "sign", "-f", place / "ed25519", "-n", "n" * length)
        armored = run("ssh-keygen", *argv, stdin=PAYLOAD).stdout
        blob = base64.b64decode(b"".join(armored.splitlines()[1:-1]))
        assert signatures._armor(blob) == armored


def test_a_commit_by_our_own_key_verifies_with_git_and_ssh_keygen(
    place: Path, tmp_path: Path, openssh: Callable[[bytes], bool]
) -> None:
    line = signatures.generate_key(place / "own", "runner of site")
    (place / "own.pub").write_text(line + "\n")
    raw = sign(PAYLOAD, signatures.load_key(place / "own"))
    assert verify(raw).key == base64.b64decode(line.split()[1])
    assert split(raw)[0] == PAYLOAD
    assert openssh(raw)
    assert git_accepts(place, raw, "own")
    git(place, "hash-object", "-t", "commit", "--stdin", stdin=raw)  # checks the format as fsck does


@pytest.mark.parametrize("payload", [ED.commit(), b"no commit", PAYLOAD[:-20].replace(b"\n\n", b"\n"), PAYLOAD + b"\0"])
def test_nothing_is_signed_that_could_not_be_read_back(payload: bytes) -> None:
    with pytest.raises(BadSignature):
        sign(payload, ed25519.Ed25519PrivateKey.generate())


# --- what does not: rows of the threat model's table "Signatures"


def test_unsigned_is_refused_with_the_lines_that_mend_it(place: Path) -> None:
    git(place, "commit", "-q", "--allow-empty", "-m", "unsigned")
    fault = refusal(git(place, "cat-file", "commit", "HEAD"))
    assert isinstance(fault, Unsigned)
    assert fault.exit_code == 3
    assert fault.reasons == ("the commit is not signed",)
    for line in (
        "git config gpg.format ssh",
        "git config user.signingkey ~/.ssh/id_ed25519.pub",
        "git config commit.gpgsign true",
        "git commit --amend -S --no-edit",
    ):
        assert line in fault.step.split(" && ")


def test_author_or_committer_name_forged_identity_comes_from_the_key_alone(place: Path) -> None:
    raw = commit(place, "ed25519", b"x", "-c", "user.name=Another", "-c", "user.email=another@x")
    assert verify(raw).key == base64.b64decode((place / "ed25519.pub").read_text().split()[1])
    assert "does not fit" in str(refusal(raw.replace(b"author NAME@x", b"author Olga@x")))


def _header(raw: bytes) -> bytes:
    return raw[raw.index(b"gpgsig ") : raw.index(b"\n\n") + 1]


def _reheader(raw: bytes, change: Callable[[bytes], bytes]) -> bytes:
    header = _header(raw)
    return raw.replace(header, change(header), 1)


def _rearmor(raw: bytes, width: int) -> bytes:
    payload, armored = split(raw)
    return with_header(payload, armor(base64.b64decode(b"".join(armored.splitlines()[1:-1])), width))


PGP = b"-----BEGIN PGP SIGNATURE-----\n\niQEzBAABCAAdFiEE\n=abcd\n-----END PGP SIGNATURE-----\n"
X509 = b"-----BEGIN SIGNED MESSAGE-----\nMIIB\n-----END SIGNED MESSAGE-----\n"
LAYOUT = "not laid out exactly"
TWO = "more than one signature header"
LAST = "not the last header"
CHANGED = "does not fit"
# Each is made from an honest commit: what is done to it, and a part of the reason.
MALLEATED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "re-indented copy": (lambda raw: _reheader(raw, lambda h: h.replace(b"\n ", b"\n  ")), LAYOUT),
    "one line re-indented": (lambda raw: _reheader(raw, lambda h: h.replace(b"\n ", b"\n  ", 1)), LAYOUT),
    "tab for space": (lambda raw: _reheader(raw, lambda h: h.replace(b"\n ", b"\n\t", 1)), LAST),
    "space after gpgsig": (lambda raw: raw.replace(b"gpgsig ", b"gpgsig  "), "not one SSH signature block"),
    "two gpgsig headers": (lambda raw: _reheader(raw, lambda h: h + h), TWO),
    "second gpgsig of PGP": (lambda raw: _reheader(raw, lambda h: h + b"gpgsig " + PGP[:30] + b"\n"), TWO),
    "gpgsig-sha256 before": (lambda raw: _reheader(raw, lambda h: b"gpgsig-sha256 x\n" + h), TWO),
    "gpgsig-sha256 behind": (lambda raw: _reheader(raw, lambda h: h + b"gpgsig-sha256 x\n"), TWO),
    "gpgsigfoo, which git leaves unsigned": (lambda raw: _reheader(raw, lambda h: b"gpgsigfoo x\n" + h), TWO),
    "gpgsig-sha256 instead": (lambda raw: raw.replace(b"gpgsig ", b"gpgsig-sha256 "), "not gpgsig"),
    "header name without space": (lambda raw: raw.replace(b"gpgsig ", b"gpgsig\n "), "not gpgsig"),
    "extra header behind": (lambda raw: _reheader(raw, lambda h: h + b"x y\n"), LAST),
    "extra header before": (lambda raw: _reheader(raw, lambda h: b"x y\n" + h), CHANGED),
    "gpgsig before committer": (
        lambda raw: raw.replace(_header(raw), b"").replace(b"committer", _header(raw) + b"committer"),
        "not laid out as git writes",
    ),
    "gpgsig after message": (lambda raw: raw.replace(_header(raw), b"") + _header(raw), "the commit is not signed"),
    "gpgsig again after message": (lambda raw: raw + _header(raw), CHANGED),
    "trailing newline in the header": (lambda raw: _reheader(raw, lambda h: h + b" \n"), LAYOUT),
    "trailing space": (lambda raw: _reheader(raw, lambda h: h[:-1] + b" \n"), LAYOUT),
    "blank line in the armor": (lambda raw: raw.replace(b"NATURE-----\n ", b"NATURE-----\n \n ", 1), LAYOUT),
    "CRLF in the header": (lambda raw: _reheader(raw, lambda h: h.replace(b"\n", b"\r\n")), "not one SSH"),
    "CRLF in the armor": (lambda raw: raw.replace(b"\n U1", b"\r\n U1"), "not one SSH"),
    "CRLF inside base64": (lambda raw: raw.replace(b"\n U1NIU0lH", b"\n U1NIU0lH\r"), LAYOUT),
    "CRLF everywhere": (lambda raw: raw.replace(b"\n", b"\r\n"), "not laid out as git writes"),
    "base64 in lines of 64": (lambda raw: _rearmor(raw, 64), LAYOUT),
    "base64 in lines of 76": (lambda raw: _rearmor(raw, 76), LAYOUT),
    "base64 in one line": (lambda raw: _rearmor(raw, 9999), LAYOUT),
    "no base64": (lambda raw: raw.replace(b" U1NIU", b" U1NI"), "not base64"),
    "a line left out": (lambda raw: raw.replace(b"\n -----END SSH SIGNATURE-----", b""), "not one SSH"),
    "message changed": (lambda raw: raw[:-1] + b"!\n", CHANGED),
    "newline at the message's end": (lambda raw: raw + b"\n", CHANGED),
    "parent left out": (lambda raw: b"\n".join(raw.split(b"\n")[:1] + raw.split(b"\n")[2:]), CHANGED),
    "NUL behind the message": (lambda raw: raw + b"\0hidden", "not laid out as git writes"),
    "upper case tree": (lambda raw: raw.replace(b"tree 4b", b"tree 4B"), "not laid out as git writes"),
    "no blank line": (lambda raw: raw[: raw.index(b"\n\n") + 1], "not laid out as git writes"),
    "empty": (lambda raw: b"", "not laid out as git writes"),
    "PGP block": (lambda raw: with_header(split(raw)[0], PGP), "signed with PGP"),
    "X.509 block": (lambda raw: with_header(split(raw)[0], X509), "signed with X.509"),
    "8 MB of base64": (lambda raw: raw.replace(b" U1NI", b" " + b"A" * (1 << 23)), "not one SSH"),
}
GIT_ACCEPTS = (
    "one line re-indented",
    "two gpgsig headers",
    "gpgsig-sha256 before",
    "gpgsig-sha256 behind",
    "gpgsigfoo, which git leaves unsigned",
    "gpgsig before committer",
    "trailing newline in the header",
    "trailing space",
    "blank line in the armor",
    "CRLF inside base64",
    "base64 in lines of 64",
    "base64 in one line",
)


@pytest.mark.parametrize("case", MALLEATED)
def test_two_gpgsig_headers_a_re_indented_copy_with_another_commit_id_and_their_like_are_refused(case: str) -> None:
    change, reason = MALLEATED[case]
    honest = ED.commit()
    verify(honest)
    changed = change(honest)
    assert changed != honest
    assert reason in str(refusal(changed))


@pytest.mark.parametrize("case", GIT_ACCEPTS)
def test_git_itself_accepts_what_we_refuse_so_the_refusal_is_needed(
    place: Path, signed: dict[str, bytes], case: str
) -> None:
    changed = MALLEATED[case][0](signed["ed25519"])
    assert git_accepts(place, changed)
    refusal(changed)


def _compressed() -> bytes:
    key = point(ec.generate_private_key(ec.SECP256R1()), compressed=True)
    return wire(b"ecdsa-sha2-nistp256") + wire(b"nistp256") + wire(key)


def _other_curve(soft: Soft) -> bytes:
    head, _, tail = soft.key.rpartition(b"nistp256")
    return soft.sshsig(key=head + b"nistp384" + tail)


def _rsa_key(e: bytes, n: bytes) -> bytes:
    return wire(b"ssh-rsa") + e + n


N = RSA.public_key().public_numbers().n
P256_OFF = wire(b"ecdsa-sha2-nistp256") + wire(b"nistp256") + wire(b"\4" + b"\1" * 64)
HARD = soft_ed25519(True)
HARD_WEB = HARD.key[: -len(wire(b"ssh:"))] + wire(b"example.org")
DAMAGED = "is damaged"
# Honestly signed by the writer above, but for the one thing named: the blob, and a part of the reason.
BLOBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "namespace file": (lambda: ED.sshsig(namespace=b"file"), "was made for 'file', not for git"),
    "namespace empty": (lambda: ED.sshsig(namespace=b""), "was made for ''"),
    "namespace git with NUL": (lambda: ED.sshsig(namespace=b"git\0"), "was made for 'git\\x00'"),
    "hash sha1": (lambda: ED.sshsig(hashing=b"sha1"), "hashes by 'sha1'"),
    "hash sha384": (lambda: ED.sshsig(hashing=b"sha384"), "hashes by 'sha384'"),
    "reserved not empty": (lambda: ED.sshsig(reserved=b"x"), "reserved field"),
    "version 2": (lambda: ED.sshsig(version=2), "version 1"),
    "another magic": (lambda: ED.sshsig(magic=b"SSHSIH"), "does not begin as"),
    "trailing garbage inside the blob": (lambda: ED.sshsig(end=b"\0"), "follows its end"),
    "trailing garbage in the signature": (lambda: ED.sshsig(after=b"\0"), "follows its end"),
    "trailing garbage in the key": (lambda: ED.sshsig(key=ED.key + b"\0"), "follows its end"),
    "trailing garbage behind a hardware counter": (lambda: HARD.sshsig(after=b"\0"), "follows its end"),
    "trailing garbage behind ECDSA's s": (lambda: soft_ecdsa(after=b"\0").sshsig(), "follows its end"),
    "cut short": (lambda: ED.sshsig()[:-1], "cut short"),
    "empty": (lambda: b"", "cut short"),
    "another key": (lambda: ED.sshsig(key=soft_ed25519().key), CHANGED),
    "unknown key": (lambda: ED.sshsig(key=wire(b"ssh-rot13")), "a key of kind 'ssh-rot13'"),
    "unknown key with an endless name": (lambda: ED.sshsig(key=wire(b"k" * 2000)), f"of kind '{'k' * 40}', not"),
    "a key's kind with terminal escapes": (lambda: ED.sshsig(key=wire(b"\x1b[2J\xff")), "'\\x1b[2J\\\\xff'"),
    "key of another length": (lambda: ED.sshsig(key=wire(b"ssh-ed25519") + wire(b"x" * 31)), DAMAGED),
    "algorithm of another kind": (
        lambda: Soft(ED.kind, ED.key, ED.make, b"rsa-sha2-512").sshsig(),
        "'rsa-sha2-512', which does not count for a key of kind 'ssh-ed25519'",
    ),
    "RSA by SHA-1": (lambda: soft_rsa(b"ssh-rsa").sshsig(), "made by 'ssh-rsa', which does not count"),
    "RSA modulus with a needless zero": (lambda: soft_rsa(zeros=1).sshsig(), "shortest form"),
    "RSA modulus negative": (lambda: ED.sshsig(key=_rsa_key(mpint(65537), wire(N.to_bytes(384, "big")))), "shortest"),
    "RSA modulus even": (lambda: soft_rsa().sshsig(key=_rsa_key(mpint(65537), mpint(N - 1))), CHANGED),
    "RSA modulus of 16392 bits": (lambda: ED.sshsig(key=_rsa_key(mpint(3), mpint(1 << 16391))), "has 16392 bits"),
    "RSA modulus of 3071 bits": (lambda: ED.sshsig(key=_rsa_key(mpint(3), mpint((1 << 3071) - 1))), "has 3071 bits"),
    "RSA exponent 1": (lambda: soft_rsa().sshsig(key=_rsa_key(mpint(1), mpint(N))), DAMAGED),
    "RSA exponent empty": (lambda: soft_rsa().sshsig(key=_rsa_key(wire(b""), mpint(N))), "shortest form"),
    "ECDSA number with a needless zero": (lambda: soft_ecdsa(zeros=1).sshsig(), "shortest form"),
    "ECDSA point compressed": (lambda: soft_ecdsa().sshsig(key=_compressed()), "uncompressed"),
    "ECDSA point not on its curve": (lambda: soft_ecdsa().sshsig(key=P256_OFF), DAMAGED),
    "ECDSA point at infinity": (lambda: soft_ecdsa().sshsig(key=P256_OFF[:-69] + wire(b"\0")), "uncompressed"),
    "ECDSA point of two forms": (lambda: soft_ecdsa().sshsig(key=P256_OFF[:-65] + b"\6" + b"\1" * 64), "uncompressed"),
    "ECDSA curve of another kind": (lambda: _other_curve(soft_ecdsa()), "uncompressed point of its curve"),
    "hardware key of a web site": (lambda: HARD.sshsig(key=HARD_WEB), "made for 'example.org'"),
    "hardware signature without flags": (lambda: Soft(HARD.kind, HARD.key, HARD.make).sshsig(), "cut short"),
    "plain key with flags": (lambda: Soft(ED.kind, ED.key, ED.make, hardware=True).sshsig(), "follows its end"),
}


@pytest.mark.parametrize("case", BLOBS)
def test_namespace_other_than_git_and_every_other_unusual_field_of_a_signature_is_refused(case: str) -> None:
    make, reason = BLOBS[case]
    fault = refusal(with_header(PAYLOAD, armor(make())))
    assert isinstance(fault, BadSignature)
    assert reason in str(fault)
    assert str(fault).isprintable()


def test_an_rsa_key_below_3072_bits_and_a_dsa_key_are_refused_and_told_how_to_get_better(place: Path) -> None:
    for key, reason in (("rsa-2048", "has 2048 bits"), ("dsa", "a key of kind 'ssh-dss'")):
        raw = commit(place, key)
        assert git_accepts(place, raw, key)
        fault = refusal(raw)
        assert reason in str(fault)
        assert "ssh-keygen -t ed25519" in fault.step


def test_a_certificate_is_refused_whoever_issued_it(place: Path) -> None:
    run("ssh-keygen", "-q", "-s", place / "ca", "-I", "olga", "-n", "olga", place / "ed25519.pub")
    certificate = place / "ed25519-cert.pub"
    armored = run("ssh-keygen", "-Y", "sign", "-n", "git", "-f", certificate, stdin=PAYLOAD).stdout
    certificate.unlink()
    assert "a certificate of kind 'ssh-ed25519-cert-v01" in str(refusal(with_header(PAYLOAD, armored)))


def test_an_rsa_signature_shortened_by_its_leading_zero_is_refused_though_openssh_pads_it(tmp_path: Path) -> None:
    soft = soft_rsa()
    for number in range(5000):
        payload = PAYLOAD + b"%d" % number
        cut = Soft(soft.kind, soft.key, lambda message: soft.make(message).lstrip(b"\0"), soft.algorithm)
        raw = cut.commit(payload)
        if raw != soft.commit(payload):
            assert ask_parts(tmp_path, *split(raw))
            assert CHANGED in str(refusal(raw))
            return
    pytest.fail("no signature began with a zero")


def test_an_ed25519_signature_with_a_larger_s_is_refused() -> None:
    order = (1 << 252) + 27742317777372353535851937790883648493

    def larger(message: bytes) -> bytes:
        made = ED.make(message)
        return made[:32] + (int.from_bytes(made[32:], "little") + order).to_bytes(32, "little")

    assert CHANGED in str(refusal(Soft(ED.kind, ED.key, larger).commit()))


P25519 = (1 << 255) - 19
Y8 = signatures._ED25519_Y8  # ssh-keygen's acceptance below proves the constant


@pytest.mark.parametrize("y", [1, P25519 - 1, 0, Y8, P25519 - Y8, P25519, P25519 + 1], ids=lambda y: f"{y % 9973}")
def test_an_ed25519_key_with_which_everybody_could_sign_is_refused_though_ssh_keygen_takes_it(
    y: int, tmp_path: Path
) -> None:
    point, nothing = y.to_bytes(32, "little"), (1).to_bytes(32, "little") + bytes(32)
    weak = Soft("ssh-ed25519", wire(b"ssh-ed25519") + wire(point), lambda _: nothing)
    forged = (weak.commit(PAYLOAD + b"%d" % number) for number in range(200))
    assert y >= P25519 or any(ask_parts(tmp_path, *split(raw)) for raw in forged)
    assert "everybody could sign" in str(refusal(weak.commit()))
    weak.key = weak.key[:-1] + bytes([weak.key[-1] | 0x80])
    assert "everybody could sign" in str(refusal(weak.commit()))


def test_the_other_half_of_an_ecdsa_signature_is_a_second_id_of_the_same_signed_content() -> None:
    """Known and allowed: OpenSSH writes both halves. So nothing may hang on a commit's id alone."""
    found = verify(soft_ecdsa(flip=True).commit())
    assert found.kind == "ecdsa-sha2-nistp256"


@pytest.mark.parametrize("name", ALL)
def test_one_flipped_bit_anywhere_is_refused(signed: dict[str, bytes], name: str) -> None:
    raw = bytearray(signed[name])
    step = {"rsa-3072": 5, "rsa-4096": 5, "ecdsa-384": 3, "ecdsa-521": 3}.get(name, 1)  # bits; the slow ones
    for at in range(0, len(raw) * 8, step):
        raw[at // 8] ^= 1 << at % 8
        refusal(bytes(raw))
        raw[at // 8] ^= 1 << at % 8
    verify(bytes(raw))


# --- never more lenient than ssh-keygen, and never anything but a refusal


def variants(seed: int) -> Iterator[bytes]:
    """Honest signatures of every kind with unusual fields, one or several at once."""
    dice = random.Random(seed)
    softs = [ED, HARD, soft_ecdsa(), soft_ecdsa(True), soft_ecdsa(flip=True), soft_ecdsa(zeros=1), soft_rsa()]
    softs += [soft_rsa(b"rsa-sha2-256"), soft_rsa(b"ssh-rsa"), soft_rsa(zeros=2)]
    odd: dict[str, list[object]] = {
        "namespace": [b"file", b"", b"git\0", b"Git"],
        "hashing": [b"sha1", b"sha256", b"sha384"],
        "reserved": [b"x"],
        "version": [0, 2],
        "flags": [0, 4, 5, 0x41, 0xFF],
        "counter": [0, 0xFFFFFFFF],
        "after": [b"\0", b"\0" * 5],
        "end": [b"\0", b"x" * 40],
    }
    while True:
        soft = dice.choice(softs)
        chosen = dice.sample(sorted(odd), dice.choice([0, 0, 1, 1, 1, 2]))
        yield soft.commit(PAYLOAD + b"%d\n" % dice.getrandbits(32), **{name: dice.choice(odd[name]) for name in chosen})


def mutants(seed: int, honest: list[bytes]) -> Iterator[bytes]:
    """Commits cut, doubled, spliced and flipped, outside or inside the armor (which is then made good again)."""
    dice = random.Random(seed)
    spice = [
        b"gpgsig ",
        b"\ngpgsig-sha256 ",
        b"\n",
        b"\n ",
        b"\n\n",
        b"\0",
        b"\r",
        b"\xff\xff\xff\xff",
        b"=",
        b"SSHSIG",
    ]

    def bend(data: bytes) -> bytes:
        a, b = sorted(dice.randrange(len(data) + 1) for _ in range(2))
        if b - a > 40 and dice.random() < 0.8:
            b = a + dice.randrange(1, 12)
        piece = dice.choice([b"", data[a:b] * 2, dice.randbytes(b - a), dice.choice(spice), dice.randbytes(1)])
        return data[:a] + piece + data[b:]

    while True:
        raw = dice.choice(honest)
        if dice.random() < 0.5:
            yield bend(raw)
            continue
        payload, armored = split(raw)
        blob = bend(base64.b64decode(b"".join(armored.splitlines()[1:-1])))
        yield with_header(payload, armor(bend(blob) if dice.random() < 0.3 else blob))


def never_more_lenient(seed: int, count: int, folder: Path) -> int:
    accepted = 0
    for raw, _ in zip(variants(seed), range(count), strict=False):
        try:
            verify(raw)
        except (Unsigned, BadSignature):
            continue
        accepted += 1
        assert ask_parts(folder, *split(raw))
    return accepted


def only_refusals(seed: int, count: int, honest: list[bytes], folder: Path) -> None:
    for raw, _ in zip(mutants(seed, honest), range(count), strict=False):
        try:
            verify(raw)
        except (Unsigned, BadSignature):
            continue
        assert raw in honest or ask_parts(folder, *split(raw))


def test_what_we_accept_ssh_keygen_accepts(tmp_path: Path) -> None:
    assert never_more_lenient(1, 150, tmp_path) > 40


def test_no_mutation_of_a_commit_raises_anything_but_a_refusal(signed: dict[str, bytes], tmp_path: Path) -> None:
    only_refusals(2, 6000, list(signed.values()), tmp_path)


@pytest.mark.storm
@pytest.mark.parametrize("seed", range(10, 20))
def test_storm_of_variants_and_mutations(signed: dict[str, bytes], tmp_path: Path, seed: int) -> None:
    assert never_more_lenient(seed, 1500, tmp_path) > 400
    only_refusals(seed, 100_000, list(signed.values()), tmp_path)


# --- the runner's own key


def test_a_made_key_is_a_0600_openssh_key_and_never_takes_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "key"
    line = signatures.generate_key(path, "runner of cancer-centre")
    assert path.stat().st_mode & 0o777 == 0o600
    assert line.endswith(" runner of cancer-centre")
    assert run("ssh-keygen", "-y", "-f", path).stdout.split()[:2] == [word.encode() for word in line.split()[:2]]
    before = path.read_bytes()
    with pytest.raises(Mistake, match="exists already"):
        signatures.generate_key(path, "again")
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["key"]
    with pytest.raises(Mistake, match="cannot stand behind a key"):
        signatures.generate_key(tmp_path / "other", "two\nlines")


def test_a_key_that_is_missing_damaged_locked_open_to_others_or_of_another_kind_stops_the_operator(
    place: Path, tmp_path: Path
) -> None:
    locked, damaged, wide = (tmp_path / name for name in ("locked", "damaged", "wide"))
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", locked)
    signatures.generate_key(wide, "")
    damaged.write_bytes(wide.read_bytes()[:200])
    damaged.chmod(0o600)
    wide.chmod(0o640)
    for path, reason in (
        (tmp_path / "missing", "No such file"),
        (damaged, "cannot be read"),
        (locked, "cannot be read"),
        (wide, "others may read"),
        (place / "ecdsa-256", "not an ed25519 key"),
    ):
        with pytest.raises(OperatorNeeded, match=reason) as caught:
            signatures.load_key(path)
        assert caught.value.step


# --- what it costs


def test_importing_the_module_does_not_import_cryptography() -> None:
    program = "import sys, gitqueue.adapters.signatures; sys.exit('cryptography' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(signatures.__file__).parents[2])


def test_verifying_an_ed25519_commit_takes_at_most_a_fifth_of_a_millisecond(signed: dict[str, bytes]) -> None:
    raw, rounds = signed["ed25519"], []
    for _ in range(30):
        start = time.process_time()
        for _ in range(20):
            verify(raw)
        rounds.append((time.process_time() - start) / 20)
    assert min(rounds) <= 0.0002
