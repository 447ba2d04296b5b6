"""What provenance says outside, and what it keeps inside."""

from gitqueue.model import Bind, Ended, Limits, Plan
from gitqueue.refs import JobId
from gitqueue.rules.chain import Approval
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
