"""Trailers: how review, results and vault commits say what they are, read strictly and written back."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gitqueue.refs import COMMIT
from gitqueue.rules.lifecycle import Decision, Reason, State
from gitqueue.rules.tree import escape

DIGEST = re.compile(r"[0-9a-f]{64}")
_LINE = re.compile(r"([A-Z][A-Za-z-]*): (\S.*)")
_REVIEW = ("Decision", "Revision", "At", "Outputs", "Files", "Tested", "Attempt")
_ATTEMPT = re.compile(r"[1-9][0-9]{0,5}")
_RESULT = ("State", "Reason", "Attempt", "Outputs")


def trailers(message: str) -> tuple[str, dict[str, str]]:
    """The text before the last paragraph, and that paragraph's trailers. Raises ValueError for a doubled key."""
    body, _, last = message.strip().rpartition("\n\n")
    found: dict[str, str] = {}
    for line in last.splitlines():
        match = _LINE.fullmatch(line)
        if not match:
            return message.strip(), {}
        if match[1] in found:
            raise ValueError(f"says {match[1]} twice")
        found[match[1]] = match[2].strip()
    return body.strip(), found


def compose(text: str, values: Mapping[str, object]) -> str:
    """A message that `trailers` reads back."""
    lines = "\n".join(f"{key}: {value}" for key, value in values.items() if value not in (None, ""))
    return f"{text.strip()}\n\n{lines}\n"


@dataclass(frozen=True, slots=True)
class ReviewText:
    """What a review commit's message says. `reason` may be empty; `at` is file:line; `files` are paths of the vault
    commit `outputs`, None for all outputs; `tested` is the digest of outputs on mock data; `attempt` the run that shall
    be made again."""

    reason: str
    decision: Decision
    revision: str
    outputs: str | None = None
    at: str | None = None
    files: tuple[str, ...] | None = None
    tested: str | None = None
    attempt: int | None = None


def parse_review(message: str) -> ReviewText:
    """Raises ValueError with a sentence's tail (`lacks the trailer Decision`)."""
    reason, said = trailers(message)
    _known(said, _REVIEW)
    decision = said.get("Decision")
    if decision is None:
        raise ValueError("lacks the trailer Decision at its end (git commit --trailer Decision=rejected)")
    if decision not in {word.value for word in Decision}:
        raise ValueError(f"has the decision {decision!r}; known are {', '.join(word.value for word in Decision)}")
    for key in ("Revision", "Outputs"):
        if key in said and not COMMIT.fullmatch(said[key]):
            raise ValueError(f"has {key} {said[key]!r}, which is no full commit id")
    if "Revision" not in said:
        raise ValueError("lacks the trailer Revision, the full id of the commit that it speaks of")
    if "Tested" in said and not DIGEST.fullmatch(said["Tested"]):
        raise ValueError(f"has Tested {said['Tested']!r}, which is no SHA-256 in hex")
    if not _ATTEMPT.fullmatch(said.get("Attempt", "1")):
        raise ValueError(f"has Attempt {said['Attempt']!r}, which is no number of a run")
    return ReviewText(
        reason,
        Decision(decision),
        said["Revision"],
        said.get("Outputs"),
        said.get("At"),
        parse_files(said["Files"]) if "Files" in said else None,
        said.get("Tested"),
        int(said["Attempt"]) if "Attempt" in said else None,
    )


def files_text(paths: Iterable[str]) -> str:
    """Paths as the trailer Files names them: a JSON list on one line, in order, each once."""
    return json.dumps(sorted(set(paths)))


def parse_files(text: str) -> tuple[str, ...]:
    """The paths of a trailer Files. Raises ValueError for anything that `files_text` would not have written: what a
    decision names, it names in one way."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    paths = tuple(found) if isinstance(found, list) else ()
    if not paths or not all(isinstance(path, str) for path in paths) or files_text(paths) != text:
        raise ValueError(f"""has Files {text[:80]!r}, which is no JSON list of paths in order: ["outputs/means.csv"]""")
    return paths


SAID = 1000  # characters


def public(text: str) -> str:
    """A text as a results commit may say it: one line, capped, safe on a terminal; the same again when done twice."""
    return escape(" ".join(text.split()))[:SAID].strip()


@dataclass(frozen=True, slots=True)
class ResultText:
    """What a results commit says: how the job stands after which attempt. `outputs` names what waits in the vault.

    `said` is a `public` text for the requester. A run that met data says nothing: any text would be a channel.
    """

    state: State
    attempt: int
    reason: Reason | None = None
    outputs: str | None = None
    said: str = ""

    def message(self, job: object) -> str:
        values = {"State": self.state, "Reason": self.reason, "Attempt": self.attempt, "Outputs": self.outputs}
        return compose(f"{self.state} {job}\n\n{self.said}", values)


def parse_result(message: str) -> ResultText:
    """Raises ValueError for anything that `ResultText.message` would not have written."""
    text, found = trailers(message)
    _known(found, _RESULT)
    attempt = found.get("Attempt", "")
    if not _ATTEMPT.fullmatch(attempt):
        raise ValueError("has no Attempt")
    said = text.partition("\n")[2].strip("\n")
    if said != public(said):
        raise ValueError("says more than one plain line")
    reason = Reason(found["Reason"]) if "Reason" in found else None
    return ResultText(State(found.get("State")), int(attempt), reason, found.get("Outputs"), said)


def _known(said: Mapping[str, str], keys: tuple[str, ...]) -> None:
    for key in said:
        if key not in keys:
            raise ValueError(f"has the trailer {key}, which means nothing here; known are {', '.join(keys)}")
