"""What gc closes, and when; how a commit of the archive says it, written and read by a strict codec."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from gitqueue import refs
from gitqueue.errors import Tampered
from gitqueue.model import RefMove
from gitqueue.refs import JobId
from gitqueue.rules.lifecycle import CLOSABLE, State

MOST = 80  # jobs of one commit: three parents each, and as many lines of an audit entry, which has a most, too


@dataclass(frozen=True, slots=True)
class Closed:
    """One job as it stood when gc closed it: its final state, and the tips of its refs, None where it had none."""

    job: JobId
    state: State
    request: str | None
    review: str | None
    results: str | None

    @property
    def tips(self) -> dict[str, str]:
        """Ref -> commit, of the refs that there were."""
        named = zip(_names(self.job), (self.request, self.review, self.results), strict=True)
        return {name: tip for name, tip in named if tip}

    def removals(self) -> Iterator[RefMove]:
        return (RefMove(name, tip, None) for name, tip in self.tips.items())


def is_due(state: State, last: float, now: float, retention: float) -> bool:
    """Whether a job is to be closed. `last`: when anything was last done or said; times in seconds."""
    return state in CLOSABLE and now - last > retention


def batches(jobs: Sequence[Closed]) -> Iterator[Sequence[Closed]]:
    return (jobs[at : at + MOST] for at in range(0, len(jobs), MOST))


def parents(former: str | None, jobs: Iterable[Closed]) -> tuple[str, ...]:
    """The parents of a commit of the archive: the one before it, then all tips; each once, as git wants it."""
    tips = chain.from_iterable(job.tips.values() for job in jobs)
    return tuple(dict.fromkeys((*([former] if former else []), *tips)))


def message(jobs: Sequence[Closed]) -> str:
    lines = "\n".join(_line(job) for job in jobs)
    return f"close {len(jobs)} jobs\n\n{lines}\n"


def parse(text: str) -> tuple[Closed, ...]:
    """The jobs that `message` wrote down. Raises Tampered for any other text."""
    found = [_LINE.fullmatch(line) for line in text.rstrip("\n").partition("\n\n")[2].split("\n")]
    jobs = tuple(_closed(line) for line in found if line)
    if len(jobs) != len(found) or message(jobs) != text:
        raise Tampered("a commit of the archive does not read as it was written")
    return jobs


def _line(job: Closed) -> str:
    tips = " ".join(tip or "-" for tip in (job.request, job.review, job.results))
    return f"Closed: {job.job} {job.state} {tips}"


_TIP = rf"({refs.COMMIT.pattern}|-)"
_STATES = "|".join(sorted(str(state) for state in CLOSABLE))
_LINE = re.compile(rf"Closed: ({refs.NAME.pattern})/({refs.NAME.pattern}) ({_STATES}) {_TIP} {_TIP} {_TIP}")


def _closed(found: "re.Match[str]") -> Closed:
    tips = [None if tip == "-" else tip for tip in found.groups()[3:]]
    return Closed(JobId(found[1], found[2]), State(found[3]), *tips)


def _names(job: JobId) -> tuple[str, str, str]:
    return refs.request(job), refs.review(job), refs.result(job)
