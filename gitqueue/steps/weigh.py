"""Weigh: what a job's code would do, as findings with a score and a recommendation. An owner decides; this does not."""

from gitqueue.adapters import analysis, preparation
from gitqueue.adapters.analysis import Memory
from gitqueue.adapters.queue import Job, Queue
from gitqueue.errors import GitqueueError
from gitqueue.refs import JobId
from gitqueue.rules import findings
from gitqueue.rules.findings import Analysis, Verdict
from gitqueue.rules.tree import File


def request(queue: Queue, job: Job, memory: Memory | None = None) -> Verdict | None:
    """Of a job's present revision; None where there is no code to look at. `memory` keeps it for the next time."""
    if job.is_change or job.revision is None:
        return None
    folder = queue.objects.at(queue.objects.commit(job.revision).tree, job.id.folder)
    if folder is None:
        return None
    held, refused = queue.history.files(folder.id, queue.history.site(queue.approved).policy)
    return unread("; ".join(refused)) if refused else files(queue, job.id, held, memory)


def files(queue: Queue, id_: JobId, held: tuple[File, ...], memory: Memory | None = None) -> Verdict:
    """Of a job's files, as a commit holds them or would."""
    try:
        code = preparation.code(id_, held)
    except GitqueueError as error:
        return unread("; ".join(error.reasons))
    seen = analysis.at_home(preparation.at_home(), code, queue.history.site(queue.approved).datasets, memory)
    return findings.judge(findings.Facts(held, code.asked, seen))


def unread(why: str) -> Verdict:
    """Where nobody can tell what the job is."""
    return findings.silent(Analysis(missing=why))
