"""What provenance says outside, and what it keeps inside; and that in-toto's own schema and readers take it."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.protobuf.json_format import ParseDict
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as Schema

from gitqueue.adapters import attestation
from gitqueue.errors import Tampered
from gitqueue.model import Bind, Ended, Limits, Plan
from gitqueue.refs import JobId
from gitqueue.rules.chain import Approval
from gitqueue.rules.policy import parse_people
from gitqueue.rules.provenance import Ran, statement

APPROVAL = Approval(JobId("rachel", "x"), "a" * 40, "b" * 40, "c" * 40, "owen", 1_790_000_000)
LIMITS = Limits(60, 2**30, 1, 64, 2**20, 10)
SANDBOX = ("bwrap", "--ro-bind", "/usr", "/usr", "--ro-bind", "/usr/local/secret/real.csv", "/data/cancer/f.csv", "sh")
PLAN = Plan(("sh", "run.sh"), "/srv/spool/job", (Bind("/x", "/data/y"),), (), LIMITS, ("*",), (".csv",), 990, 990)
ENDED = Ended("", 0, 1_790_000_001.5, 1_790_000_059.5, 58.0, (), (), (("memory", "cgroup v2"),), SANDBOX)
RAN = Ran(APPROVAL, 1, "centre", "c" * 40, PLAN, ENDED, [("six", "1.17.0", "d" * 64)], {"cancer/features": "e" * 64})


def test_the_public_statement_tells_neither_paths_nor_digests_of_data_nor_fine_times() -> None:
    text = repr(statement(RAN, {"outputs.tar.age": "f" * 64}, inside=False))
    for secret in ("secret", "real.csv", "/srv/spool", "e" * 64):
        assert secret not in text
    assert "2026-09-21T14:13:00Z" in text
    assert "14:14:19" not in text


def test_the_sealed_statement_names_the_data_by_digest() -> None:
    dependencies = statement(RAN, {}, inside=True)["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert {"name": "data/cancer/features", "digest": {"sha256": "e" * 64}} in dependencies
    assert {"name": "pkg:pypi/six@1.17.0", "digest": {"sha256": "d" * 64}} in dependencies


def test_the_statement_names_what_was_approved_by_whom_and_how_it_was_confined() -> None:
    definition = statement(RAN, {}, inside=False)["predicate"]["buildDefinition"]
    asked, given = definition["externalParameters"], definition["internalParameters"]
    assert (asked["revision"], asked["approval"], asked["approvedBy"]) == ("b" * 40, "a" * 40, "owen")
    assert given["sandbox"][:6] == ["bwrap", "--ro-bind", "/usr", "/usr", "--ro-bind", "<host>"]
    assert given["enforced"] == {"memory": "cgroup v2"}


@pytest.mark.parametrize("subjects", [{"outputs/means.csv": "f" * 64}, {}], ids=["outputs", "nothing released"])
@pytest.mark.parametrize("inside", [True, False])
def test_the_statement_is_one_by_the_schemas_of_in_toto_and_slsa(subjects: dict[str, str], inside: bool) -> None:
    said = statement(RAN, subjects, inside)
    Statement.copy_from_pb(ParseDict(said, Schema())).validate()
    predicate = ParseDict(said["predicate"], Provenance())  # refuses any name that SLSA does not know
    assert predicate.build_definition.build_type.startswith("https://")
    assert predicate.run_details.builder.id == "https://gitqueue.dev/runner/centre"


OTHERS = {
    "a stranger's key": (Ed25519PrivateKey.generate(), {}, "signed by nobody who is a runner"),
    "another job's statement": (None, {"job": "rachel/y"}, "its job is 'rachel/x'"),
    "a later day than the key's": (None, {"when": 1_900_000_000}, "signed by nobody who is a runner"),
    "no envelope": (None, {"data": b"[]"}, "no readable provenance"),
    "another payload": (None, {"turned": (b'"payload": "', b'"payload": "AAAA')}, "signed by nobody who is a runner"),
}


@pytest.mark.parametrize(("key", "changed", "reason"), [(None, {}, ""), *OTHERS.values()], ids=["honest", *OTHERS])
def test_an_envelope_is_believed_only_when_a_runner_signed_it(key: object, changed: dict, reason: str) -> None:
    runner = Ed25519PrivateKey.generate()
    people = parse_people(b"runner: {roles: [runner], keys: [{key: %s, until: 2030-01-01}]}" % _line(runner))
    data = changed.get("data") or attestation.sign(statement(RAN, {}, inside=False), key or runner)
    data = data.replace(*changed["turned"]) if "turned" in changed else data
    facts = ({"provenance.json": data}, changed.get("job", "rachel/x"), people, changed.get("when", 1_790_000_000))
    if not reason:
        attestation.believe(*facts)
        assert json.loads(data)["payloadType"] == "application/vnd.in-toto+json"
        return
    with pytest.raises(Tampered, match=reason):
        attestation.believe(*facts)


def _line(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
