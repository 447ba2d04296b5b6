"""Provenance: what was run, on whose word, with what, as an in-toto Statement with the SLSA provenance predicate."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gitqueue.errors import Tampered
from gitqueue.model import Ended, Plan
from gitqueue.rules.chain import Approval

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
FILE = "provenance.json"
BUILD_TYPE = "https://gitqueue.dev/run/v1"
BUILDER = "https://gitqueue.dev/runner"


@dataclass(frozen=True, slots=True)
class Ran:
    """One run with everything that went into it. `packages` are (name, version, sha256); `data` SHA-256 by asset."""

    approval: Approval
    attempt: int
    site: str
    tree: str
    plan: Plan
    ended: Ended
    packages: Sequence[Sequence[str]]
    data: Mapping[str, str]


def statement(ran: Ran, subjects: Mapping[str, str], inside: bool) -> dict[str, Any]:
    """The statement over `subjects` (name -> SHA-256 in hex).

    `inside`: it is sealed with the outputs. The public one leaves out the digests of the data (a small table's digest
    can be guessed), the exit code, and everything finer than a minute.
    """
    return {
        "_type": STATEMENT,
        "subject": _subjects(ran, subjects),
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _asked(ran),
                "internalParameters": _given(ran),
                "resolvedDependencies": [*_materials(ran), *(_data(ran) if inside else ())],
            },
            "runDetails": {
                "builder": {"id": f"{BUILDER}/{ran.site}"},
                "metadata": {
                    "invocationId": f"{ran.approval.job}/{ran.attempt}",
                    "startedOn": _time(ran.ended.started_at, inside),
                    "finishedOn": _time(ran.ended.ended_at, inside),
                },
            },
        },
    }


def _subjects(ran: Ran, digests: Mapping[str, str]) -> list[dict[str, Any]]:
    """What was released. A statement must be about something: about the code itself where that released nothing."""
    if not digests:
        return [_code(ran)]
    return [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(digests.items())]


def _code(ran: Ran) -> dict[str, Any]:
    return {"name": ran.approval.job.folder, "digest": {"gitTree": ran.tree}}


def _asked(ran: Ran) -> dict[str, Any]:
    approval = ran.approval
    return {
        "job": str(approval.job),
        "revision": approval.revision,
        "approval": approval.commit,
        "approvedBy": approval.by,
        "command": list(ran.plan.command),
    }


def _given(ran: Ran) -> dict[str, Any]:
    limits = ran.plan.limits
    return {
        "limits": {
            "time": limits.time,
            "memory": limits.memory,
            "cpus": limits.cpus,
            "processes": limits.processes,
            "output": limits.output,
            "outputFiles": limits.output_files,
        },
        "enforced": dict(ran.ended.enforced),
        "sandbox": public_arguments(ran.ended.sandbox),
    }


def public_arguments(arguments: Sequence[str]) -> list[str]:
    """The sandbox's arguments without where things lie on the host: that is nobody's business outside."""
    words = list(arguments)
    for at, word in enumerate(words[:-2]):
        if word in ("--bind", "--ro-bind", "--ro-bind-try") and words[at + 1] != words[at + 2]:
            words[at + 1] = "<host>"
    return words


def _materials(ran: Ran) -> list[dict[str, Any]]:
    packages = [
        {"name": f"pkg:pypi/{name}@{version}", "digest": {"sha256": sha256}} for name, version, sha256 in ran.packages
    ]
    return [_code(ran), *packages]


def _data(ran: Ran) -> list[dict[str, Any]]:
    return [{"name": f"data/{name}", "digest": {"sha256": digest}} for name, digest in sorted(ran.data.items())]


def _time(seconds: float, exact: bool) -> str:
    rounded = seconds if exact else seconds - seconds % 60
    return datetime.fromtimestamp(rounded, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def agree(statement: Any, held: Mapping[str, bytes], name: str) -> None:
    """Raises Tampered unless every file is the one that the statement beside it names, and the other way round."""
    try:
        digests = {subject["name"]: subject["digest"] for subject in statement["subject"]}
        named = {path: digest["sha256"] for path, digest in digests.items() if "gitTree" not in digest}
        job = statement["predicate"]["buildDefinition"]["externalParameters"]["job"]
    except (KeyError, TypeError) as error:
        raise Tampered(f"the results of {name} carry no readable provenance") from error
    found = {path: hashlib.sha256(data).hexdigest() for path, data in held.items() if path != FILE}
    if job != name or named != found:
        different = sorted(path for path in named.keys() | found.keys() if named.get(path) != found.get(path))
        what = ", ".join(repr(path) for path in different[:5]) or f"its job is {job!r}"
        raise Tampered(f"the results of {name} are not what their provenance says: {what}")
