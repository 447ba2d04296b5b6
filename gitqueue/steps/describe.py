"""Describe: what the refs say of jobs, as values with documented names, for `list`, `show` and every other reader."""

from datetime import UTC, datetime
from typing import Any

from gitqueue import refs
from gitqueue.adapters.queue import Job, Queue
from gitqueue.errors import GitqueueError
from gitqueue.rules.authority import Note
from gitqueue.rules.findings import Verdict
from gitqueue.rules.lifecycle import BY_DECISION, State
from gitqueue.rules.manifest import Manifest


def summary(queue: Queue, job: Job) -> dict[str, Any]:
    """A row of `list`: id, state, reason, name, requester, project, tags, created_at."""
    asked, _ = _asked(queue, job)
    return {
        "id": str(job.id),
        "state": str(job.state),
        "reason": reason(job),
        "name": asked.name if asked else _subject(queue, job),
        "requester": job.id.requester,
        "project": asked.group.name if asked and asked.group else None,
        "tags": list(asked.tags) if asked else [],
        "created_at": _created(queue, job),
    }


def whole(queue: Queue, job: Job, verdict: Verdict | None = None) -> dict[str, Any]:
    """The document of `show --json`; its keys are those of design/3-commands.md. `verdict`: where the code was
    weighed."""
    asked, _ = _asked(queue, job)
    person = queue.people.get(job.id.requester)
    return {
        **summary(queue, job),
        "uid": str(job.id),
        "description": asked.description.strip() if asked else None,
        "purpose": asked.purpose if asked else None,
        "requester_email": person.email if person else None,
        "datasets": list(asked.datasets) if asked else [],
        "revision": job.revision,
        "tree": queue.objects.commit(job.revision).tree if job.revision else None,
        "decisions": [decision(note) for note in job.notes],
        "approval": _approval(queue, job),
        "run": _run(queue, job),
        **(verdict.document() if verdict else {"recommendation": None, "score": None, "findings": []}),
        "results_ref": refs.result(job.id) if job.results else None,
    }


def decision(note: Note) -> dict[str, Any]:
    return {
        "decision": str(note.decision),
        "by": note.signed.signer.name if note.signed.signer else None,
        "at": _time(note.signed.commit.date),
        "revision": note.revision,
        "reason": note.reason,
        "line": note.at,
    }


def _subject(queue: Queue, job: Job) -> str:
    return queue.objects.commit(job.revision).subject if job.is_change and job.revision else job.id.name


def _asked(queue: Queue, job: Job) -> tuple[Manifest | None, tuple[str, ...]]:
    if job.is_change:
        return None, ()
    try:
        return queue.manifest(job), ()
    except GitqueueError as error:
        return None, error.reasons


def reason(job: Job) -> str | None:
    """Why it stands so: the fixed word of a failed run, else the newest decision's words."""
    if job.fault:
        return job.fault
    if job.result is not None:
        return str(job.result.reason) if job.result.reason else None
    said = [note.reason for note in job.decided if BY_DECISION.get(note.decision) is job.stood]
    return said[-1] if said else None


def _created(queue: Queue, job: Job) -> str | None:
    return _time(queue.objects.commit(job.revision).date) if job.revision else None


def _approval(queue: Queue, job: Job) -> dict[str, Any] | None:
    found = queue.approval(job.id) if job.approved else None
    if found is None:
        return None
    signed = queue.history.signed(found.id, queue.people)
    by = signed.signer.name if signed.signer else None
    return {"commit": found.id, "by": by, "at": _time(found.date), "reason": found.message.strip()}


def _run(queue: Queue, job: Job) -> dict[str, Any] | None:
    """Times by the minute: finer ones would tell of the data."""
    commits = list(queue.run(job))
    if not commits or job.result is None:
        return None
    over = job.state is not State.RUNNING
    return {
        "attempt": job.result.attempt,
        "started_at": _time(commits[-1].date, 60),
        "ended_at": _time(commits[0].date, 60) if over else None,
        "exit_code": None,
        "said": job.result.said or None,
        "executor": None,  # where it ran is the site's own affair
    }


def _time(seconds: int, grain: int = 1) -> str:
    return datetime.fromtimestamp(seconds - seconds % grain, UTC).isoformat().replace("+00:00", "Z")
