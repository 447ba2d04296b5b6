"""Every ref name that the project knows, parsed and printed; the only place that spells one."""

import re
from dataclasses import dataclass
from enum import Enum

from gitqueue.errors import Mistake

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
COMMIT = re.compile(r"[0-9a-f]{40}")
NONE = "0" * 40  # what git sends for a ref that is not there

HEADS = "refs/heads/"
APPROVED = HEADS + "approved"
AUDIT = HEADS + "audit"
ARCHIVE = "refs/archive"


@dataclass(frozen=True, slots=True, order=True)
class JobId:
    """`requester/job`: used once and for ever."""

    requester: str
    name: str

    def __str__(self) -> str:
        return f"{self.requester}/{self.name}"

    @property
    def folder(self) -> str:
        """Where a request keeps its files, from the top of the tree."""
        return f"jobs/{self}"

    @property
    def results_folder(self) -> str:
        return f"results/{self}"


class Kind(Enum):
    """What a ref of the site is for."""

    APPROVED = "approved"
    AUDIT = "audit"
    REQUEST = "requests"
    REVIEW = "reviews"
    RESULT = "results"


@dataclass(frozen=True, slots=True)
class Ref:
    """One ref of the site: its kind, and the job where the kind has one."""

    kind: Kind
    job: JobId | None = None

    def __str__(self) -> str:
        tail = f"/{self.job}" if self.job else ""
        return f"{HEADS}{self.kind.value}{tail}"


_JOB_REF = re.compile(rf"refs/heads/(requests|reviews|results)/({NAME.pattern})/({NAME.pattern})")
_SINGLE = {APPROVED: Kind.APPROVED, AUDIT: Kind.AUDIT}


def parse(name: str) -> Ref | None:
    """The ref that a name means, or None: everything that is not listed here is nobody's."""
    if name in _SINGLE:
        return Ref(_SINGLE[name])
    found = _JOB_REF.fullmatch(name)
    if not found:
        return None
    return Ref(Kind(found[1]), JobId(found[2], found[3]))


def job_id(text: str) -> JobId:
    """`rachel/bc-mean` as a job's id. Raises Mistake for anything else."""
    requester, _, name = text.partition("/")
    if not (NAME.fullmatch(requester) and NAME.fullmatch(name)):
        raise Mistake(
            f"{text!r} is no job's name",
            step="a job is named requester/job, each of a-z, 0-9 and -, as in rachel/bc-mean",
        )
    return JobId(requester, name)


def slug(text: str) -> str:
    """A person's words as a name: `Mean radius, by diagnosis` as mean-radius-by-diagnosis. Raises Mistake."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].rstrip("-")
    if not name:
        raise Mistake(f"{text!r} makes no name of a-z, 0-9 and -", step="choose one with letters or digits in it")
    return name


def request(job: JobId) -> str:
    return str(Ref(Kind.REQUEST, job))


def review(job: JobId) -> str:
    return str(Ref(Kind.REVIEW, job))


def result(job: JobId) -> str:
    return str(Ref(Kind.RESULT, job))


def outputs(job: JobId) -> str:
    """In the vault: the unreleased outputs of a job."""
    return f"{HEADS}outputs/{job}"


def claim(job: JobId, attempt: int) -> str:
    """In the vault: the lock of one attempt, never deleted."""
    return f"refs/claims/{job}/{attempt}"


def trial(job: JobId, decision: str) -> str:
    """In the vault: the lock of one run before approval, by the owners' note that asked for it."""
    return f"refs/tries/{job}/{decision}"


def archive(year: int, month: int) -> str:
    """Where gc keeps the jobs that it closed in a month."""
    return f"{ARCHIVE}/{year:04d}-{month:02d}"


def is_archive(name: str) -> bool:
    return name.startswith(f"{ARCHIVE}/")


_CLAIM = re.compile(rf"refs/claims/({NAME.pattern})/({NAME.pattern})/([1-9][0-9]{{0,5}})")


def parse_claim(name: str) -> tuple[JobId, int] | None:
    found = _CLAIM.fullmatch(name)
    return (JobId(found[1], found[2]), int(found[3])) if found else None


_PULL = re.compile(r"refs/(?:pull|merge-requests)/([1-9][0-9]{0,8})/head")


def parse_pull(name: str) -> int | None:
    """The number of the pull request (GitHub, Gitea) or merge request (GitLab) whose head a forge's ref is."""
    found = _PULL.fullmatch(name)
    return int(found[1]) if found else None


def pull_heads(number: int) -> tuple[str, str]:
    """What forges may call the head of a pull request of that number."""
    return f"refs/pull/{number}/head", f"refs/merge-requests/{number}/head"
