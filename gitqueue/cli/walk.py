"""Reading requests: one, or all that wait, each with the answer that its owner gives."""

from collections.abc import Callable, Mapping
from textwrap import fill
from typing import TYPE_CHECKING

import click

from gitqueue.cli import answers, show
from gitqueue.cli.place import Place
from gitqueue.errors import GitqueueError, No
from gitqueue.rules.lifecycle import Decision

if TYPE_CHECKING:
    from gitqueue.adapters.queue import Job
    from gitqueue.rules.findings import Verdict


def read(place: Place, job: "Job", markdown: bool = False) -> str:
    """The report on a job; from now on this clone knows that its revision was read."""
    from gitqueue.steps import report

    settings = place.at_hand.settings() if place.at_hand else None
    reader = report.Reader(last_read(place, job), settings, weighed(place, job))
    text = report.report(place.queue, job, reader, markdown)
    remember(place, job)
    return text


def weighed(place: Place, job: "Job") -> "Verdict | None":
    """What the job's code would do; a clone keeps it, so that each revision is looked at once."""
    from gitqueue.steps import weigh

    return weigh.request(place.queue, job, None if place.site else place.clone)


def last_read(place: Place, job: "Job") -> str | None:
    """The revision that was read last in this clone."""
    from gitqueue.steps import review

    return None if place.site else review.read_before(place.clone, [job.id]).get(job.id)


def remember(place: Place, job: "Job") -> None:
    from gitqueue.steps import review

    if place.site is None:
        review.remember_read(place.clone, job)


def waiting(place: Place) -> list["Job"]:
    """What waits for an owner who is not its requester, oldest first. Raises No where nothing does."""
    from gitqueue import acts

    found = acts.waiting(place.queue, place.me())
    if not found:
        held = "".join(f"gitqueue outputs {job.id}; " for job in acts.held(place.queue, place.me()))
        raise No("nothing waits for a review", step=f"{held}gitqueue list --all shows what there was")
    return found


_KEYS: Mapping[str, tuple[str, str]] = {
    "a": ("approve", "sign the merge; the runner runs it on the real data"),
    "c": ("ask for changes", "the requester is told what, and pushes again"),
    "r": ("reject", "the requester is told why"),
    "l": ("about a line", "a comment on FILE:LINE"),
    "m": ("on mock", "run it on the mock data once more"),
    "t": ("on real", "run it on the real data; its outputs stay in the vault"),
    "v": ("read again", "the report once more"),
    "n": ("next", "leave it as it is"),
    "q": ("quit", "leave all that follow as they are"),
}


def through(place: Place) -> None:
    """All that wait, one after the other, each read and then answered."""
    from gitqueue import acts

    found = waiting(place)
    for number, job in enumerate(found, 1):
        show.say(f"{number} of {len(found)}: {job.id}, by {job.id.requester}")
        show.paged(read(place, job))
        if not _answered(place, job):
            break
    else:
        show.say("\nthat was all that waits for an approval")
    for job in acts.held(place.queue, place.me()):
        show.say(f"its outputs wait for you, too: gitqueue outputs {job.id}")


def _answered(place: Place, job: "Job") -> bool:
    """Ask until this job is done with; False: the person leaves."""
    while True:
        key = click.prompt(_question(job), type=click.Choice([*_KEYS, "?"]), show_choices=False).strip()
        if key in ("n", "q"):
            return bool(key == "n")
        try:
            if _ACTIONS[key](place, job):
                return True
        except GitqueueError as error:
            show.note("\n".join(error.lines()))


def _question(job: "Job") -> str:
    words = "  ".join(f"[{key}] {words}".replace(" ", _TIED) for key, (words, _) in _KEYS.items())
    return f"\n{job.id}\n{fill(f'{words}  [?]', 80).replace(_TIED, ' ')}\nyour answer"


_TIED = "\N{NO-BREAK SPACE}"


def _approve(place: Place, job: "Job") -> bool:
    answers.approve(place, [job.id], click.prompt("why (the merge's message)", default="", show_default=False))
    return True


def _refusal(decision: Decision, ask: str) -> Callable[[Place, "Job"], bool]:
    def act(place: Place, job: "Job") -> bool:
        answers.say(place, job.id, decision, click.prompt(ask))
        return True

    return act


def _line(place: Place, job: "Job") -> bool:
    at = click.prompt("which line, as main.py:12")
    answers.say(place, job.id, Decision.COMMENT, click.prompt("what about it"), at)
    return False


def _again(place: Place, job: "Job") -> bool:
    place.clone.fetch()
    show.paged(read(place, place.queue.job(job.id)))
    return False


def _help(place: Place, job: "Job") -> bool:
    for key, (words, meaning) in _KEYS.items():
        show.say(f"  {key}  {words:<16} {meaning}")
    return False


def _try(decision: Decision) -> Callable[[Place, "Job"], bool]:
    def act(place: Place, job: "Job") -> bool:
        answers.have_tried(place, job.id, decision, "")
        return False

    return act


_ACTIONS: Mapping[str, Callable[[Place, "Job"], bool]] = {
    "a": _approve,
    "c": _refusal(Decision.CHANGES_REQUESTED, "what to change"),
    "r": _refusal(Decision.REJECTED, "why not"),
    "l": _line,
    "m": _try(Decision.TRY_MOCK),
    "t": _try(Decision.TRY_REAL),
    "v": _again,
    "?": _help,
}
