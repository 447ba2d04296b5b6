"""Attestations: a statement in a DSSE envelope (securesystemslib), signed by the runner's ed25519 key over the PAE.

https://github.com/secure-systems-lab/dsse; cosign, slsa-verifier and in-toto read the same envelope.
"""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gitqueue.errors import Tampered
from gitqueue.rules import provenance
from gitqueue.rules.authority import RUNNER
from gitqueue.rules.policy import People, fingerprint, key_parts

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from securesystemslib.signer import Key, SSlibKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
_ED25519 = "ssh-ed25519"


def sign(statement: object, key: "Ed25519PrivateKey") -> bytes:
    """The statement's envelope, as JSON."""
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner

    body = json.dumps(statement, sort_keys=True).encode()  # nobody reads it as it stands: it goes in as base64
    envelope = Envelope(body, PAYLOAD_TYPE, {})
    envelope.sign(CryptoSigner(key, _public(key.public_key().public_bytes_raw())))
    return json.dumps(envelope.to_dict(), indent=1, sort_keys=True).encode() + b"\n"


def believe(held: Mapping[str, bytes], job: str, people: People, when: float) -> None:
    """Raises Tampered unless the provenance among these files is of this job, agrees with all the others, and is signed
    by a runner of the site whose key counted at a time (seconds since 1970)."""
    try:
        statement = _opened(held[provenance.FILE], list(_runners(people, when)))
    except (KeyError, ValueError) as error:
        raise Tampered(f"the results of {job} carry no readable provenance ({error})") from error
    if statement is None:
        raise Tampered(f"the provenance of {job}'s results is signed by nobody who is a runner of this site")
    provenance.agree(statement, held, job)


def _opened(data: bytes, keys: "list[Key]") -> Any:
    """The statement; None where none of the keys signed it. Raises KeyError or ValueError where it cannot be read."""
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import FormatError, VerificationError

    try:
        envelope = Envelope.from_dict(json.loads(data))
    except (TypeError, AttributeError, FormatError) as error:
        raise ValueError(str(error)) from error
    try:
        envelope.verify(keys, 1)
    except (VerificationError, ValueError):  # ValueError: there is no key at all
        return None
    if envelope.payload_type != PAYLOAD_TYPE:
        raise ValueError(f"the envelope holds {envelope.payload_type!r}")
    return json.loads(envelope.payload)


def _runners(people: People, when: float) -> "Iterator[Key]":
    for person in people.values():
        for key in person.keys if RUNNER in person.roles else ():
            if key.valid_at(when) and key.key.startswith(f"{_ED25519} "):
                yield _public(key_parts(key.key)[1][-32:])


def _public(raw: bytes) -> "SSlibKey":
    """The key, named by the fingerprint that people.yaml's readers know it by."""
    from securesystemslib.signer import SSlibKey

    blob = b"".join(len(part).to_bytes(4) + part for part in (_ED25519.encode(), raw))
    return SSlibKey(fingerprint(blob), "ed25519", "ed25519", {"public": raw.hex()})
