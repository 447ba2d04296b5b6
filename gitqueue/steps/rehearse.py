"""Rehearse: run a revision on mock data, twice, and say how it went. By the runner for owners; at home by `test`.

Unapproved code meets mock data alone: what it sees is written out of the chain's own tree, and nothing here knows where
real data lie.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from gitqueue import refs
from gitqueue.adapters import analysis, executors, files, journal, preparation, remains, sandbox, unconfined, vault
from gitqueue.adapters.clone import Clone
from gitqueue.adapters.executors import Executor, local, spool
from gitqueue.adapters.history import SiteView
from gitqueue.adapters.premises import Premises
from gitqueue.adapters.preparation import Code, Host, Supply
from gitqueue.adapters.queue import Job, Queue
from gitqueue.adapters.render import template
from gitqueue.errors import Mistake, OperatorNeeded, Tampered
from gitqueue.model import Ended, Plan, RefMove
from gitqueue.refs import JobId
from gitqueue.rules import findings, notes, rehearsal
from gitqueue.rules.findings import Verdict
from gitqueue.rules.journal import Entry, Event
from gitqueue.rules.lifecycle import Decision
from gitqueue.rules.rehearsal import Report, Wish
from gitqueue.rules.release import OUTPUTS
from gitqueue.rules.tree import File, escape

_LOG_LINES, _LOG_LINE = 200, 300
_DAY = 86_400.0
ANALYSIS = "analysis"  # beside the runs "1" and "2"
_COUNTED = "rehearsals.json"


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a rehearsal runs: what prepares and starts it, its scratch folder, and whether it is to end before its
    time."""

    host: Host
    executor: Executor
    folder: Path
    ended: Callable[[], bool]
    start: Callable[[Path, Plan], None]


class Over(Exception):
    """The rehearsal was ended: nobody wants it any more."""


def _twice(stage: Stage, code: Code, site: SiteView, paths: preparation.Paths) -> tuple[Path, tuple[str, ...] | None]:
    """Run it, and again where it came to its end; the first run's folder, and what differed. Raises Over."""
    first = _run(stage, "1", code, site, paths)
    if remains.ended(first).reason:
        return first, None
    second = _run(stage, "2", code, site, paths)
    return first, rehearsal.different(_digests(remains.ended(first)), _digests(remains.ended(second)))


def _run(stage: Stage, name: str, code: Code, site: SiteView, paths: preparation.Paths) -> Path:
    run = stage.folder / name
    run.mkdir(mode=0o711)
    plan = rehearsal.capped(preparation.prepare(run, stage.host, code, site, Supply(paths)), site.policy)
    stage.start(run, plan if name == "1" else replace(plan, inspect=None))  # the second time, its digests tell
    executors.wait(stage.executor, run, stage.ended)
    if stage.ended():
        raise Over
    if stage.executor.standings([run])[run] != "ended":
        raise OperatorNeeded("the run ended without a word: its supervisor was killed", step="it is done again")
    ended = remains.ended(run)
    if ended.reason == "site-fault":
        raise OperatorNeeded(f"the run on mock data did not start: {ended.detail}", step="gitqueue doctor")
    return run


def _digests(ended: Ended) -> dict[str, str]:
    return {output.name: output.sha256 for output in ended.outputs}


# at home


@dataclass(frozen=True, slots=True)
class AtHome:
    """A run at home: how it went, and the outputs."""

    report: Report
    outputs: Mapping[str, bytes]

    def text(self) -> str:
        return _text(self.report, home_known=False)


def at_home(queue: Queue, job: JobId, files_: tuple[File, ...], confined: bool = True) -> AtHome:
    """Run working files on the mock data of the site. Raises OperatorNeeded where this machine cannot sandbox.

    `confined` False: without any sandbox, and only where there can be none; Mistake elsewhere.
    """
    host = preparation.at_home()
    _must_fit(sandbox.problems(host.uid, host.gid), confined)
    site, code = queue.history.site(queue.approved), preparation.code(job, files_)
    with _scratch(host.gid) as folder:
        mocks = preparation.mock_paths(queue.objects, queue.approved, site, code.asked, folder / "mock")
        stage = Stage(host, local, folder, lambda: False, local.start if confined else unconfined.run)
        run, again = _twice(stage, code, site, mocks)
        preparation.tidy(host, time.time())
        flags = remains.flags(run, remains.ended(run), site.policy.outputs)
        kept = {**remains.left(run), "flags.json": remains.flags_text(flags)}
        outputs = {name.removeprefix(OUTPUTS): kept[name] for name in kept if name.startswith(OUTPUTS)}
        return AtHome(_report(kept, again), outputs)


def _must_fit(problems: tuple[str, ...], confined: bool) -> None:
    if problems and confined:
        step = "mend it; or run your own code as you would without gitqueue: gitqueue test --no-sandbox"
        raise OperatorNeeded(*problems, step=step)
    if not problems and not confined:
        raise Mistake("--no-sandbox is for machines that cannot sandbox; this one can", step="gitqueue test")


@contextmanager
def _scratch(gid: int | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gitqueue-test-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711 if gid is not None else 0o700)
        yield folder


def remember(clone: Clone, job: JobId, seen: AtHome) -> None:
    """Note in the clone what these very files wrote: `submit` tells the site of it."""
    folder = clone.objects().at(clone.snapshot(job.folder), job.folder)
    if folder is not None and not seen.report.ended.reason:
        clone.remember(f"tested/{folder.id}", rehearsal.lines(seen.report.outputs))


# at the site


def count(premises: Premises, requester: str, now: float) -> bool:
    """Count one more rehearsal of a requester; False where policy's number for a day is reached.

    Those that were ended count, too: who pushes a revision a second would have all of the machine.
    """
    known = json.loads(premises.site.recall(_COUNTED) or "{}")
    recent = {who: [at for at in times if now - _DAY < at <= now] for who, times in known.items()}
    mine = recent.setdefault(requester, [])
    if len(mine) >= premises.history.site(premises.queue.approved).policy.quota.rehearsals_per_day:
        return False
    mine.append(now)
    premises.site.remember(_COUNTED, json.dumps({who: times for who, times in recent.items() if times}))
    return True


def rehearse(premises: Premises, job: Job, wish: Wish, ended: Callable[[], bool], now: Callable[[], float]) -> str:
    """Rehearse a job's present revision, keep what it left in the vault, and say how it went in its conversation.

    May be done again after a crash at any point: what the vault has is not run again, and what was said is not said
    again. Returns the outcome in a word or two. Raises Over where `ended` says so.
    """
    revision = job.revision or ""
    run = {vault.REHEARSAL: f"{revision} {wish.asked}".strip(), "Revision": revision}
    kept = vault.find(premises.vault, job.id, run)
    if kept is None:
        kept = vault.keep(premises, job.id, run, _left(premises, job, ended), now())
    return _say(premises, job, kept, now())


def _left(premises: Premises, job: Job, ended: Callable[[], bool]) -> dict[str, bytes]:
    approved = premises.queue.approved
    site, folder = premises.history.site(approved), _folder(premises, job.id)
    clear(premises, job.id)
    folder.mkdir(mode=0o711)
    try:
        code = _code(premises, job, site)
        mocks = preparation.mock_paths(premises.objects, approved, site, code.asked, folder / "mock")
        stage = Stage(preparation.of_site(premises), premises.executor, folder, ended, premises.executor.start)
        run, again = _twice(stage, code, site, mocks)
        flags = remains.flags(run, remains.ended(run), site.policy.outputs)
        more = {"flags.json": remains.flags_text(flags), "again.json": json.dumps(again).encode()}
        return {**remains.left(run), **more, "findings.json": _weighed(stage, code, site)}
    except Mistake as error:  # what it asks for cannot be built: that is the request's own fault, and worth saying
        return {"log": "\n".join(error.lines()).encode()}
    finally:
        clear(premises, job.id)


def _code(premises: Premises, job: Job, site: SiteView) -> Code:
    tree = premises.objects.at(premises.objects.commit(job.revision or "").tree, job.id.folder)
    try:
        return preparation.judged(premises, job.id, tree.id if tree else "", site)
    except Tampered as error:  # not approved yet: policy has changed since it was pushed, no more
        raise Mistake(*error.reasons) from error


def _weighed(stage: Stage, code: Code, site: SiteView) -> bytes:
    """What is found in the code, as the vault keeps it."""
    said, why = analysis.run(
        stage.folder / ANALYSIS, stage.host, code, site.datasets, executor=stage.executor, ended=stage.ended
    )
    if stage.ended():
        raise Over
    seen = findings.Analysis(missing=why) if said is None else findings.parse(said)
    return msgspec.json.encode(findings.judge(findings.Facts(code.files, code.asked, seen)))


def _folder(premises: Premises, job: JobId) -> Path:
    return premises.site.spool / f"rehearsal-{job.requester}+{job.name}"


def clear(premises: Premises, job: JobId) -> None:
    """End what an earlier rehearsal of the job still does, and remove its folder."""
    folder = _folder(premises, job)
    for run in (folder / "1", folder / "2", folder / ANALYSIS):
        executors.wait(premises.executor, run, lambda: True)
        spool.remove(run)
    shutil.rmtree(folder, ignore_errors=True)


def sweep(premises: Premises) -> None:
    """End and remove what a killed runner left of its rehearsals: what is still wanted is done again."""
    for folder in premises.site.spool.glob("rehearsal-*+*"):
        requester, _, name = folder.name.removeprefix("rehearsal-").rpartition("+")
        clear(premises, JobId(requester, name))


def _say(premises: Premises, job: Job, kept: str, now: float) -> str:
    tree = premises.vault.commit(kept).tree
    held = {path: premises.vault.blob(entry.id) for path, entry in premises.vault.files(tree)}
    revision, name = job.revision or "", refs.review(job.id)
    former = premises.objects.ref(name)
    text, word, tested = _words(held, job)
    message = notes.compose(text, {"Decision": Decision.REHEARSED, "Revision": revision, "Tested": tested})
    said = premises.commit(
        premises.objects, premises.objects.commit(revision).tree, _parents(premises, revision, former), message, now
    )
    move = RefMove(name, former, said)
    entry = Entry(Event.REHEARSED, int(now), "runner", job=str(job.id), moves=(move,), reasons=(word,))
    journal.leave(premises.site.inbox, entry)
    if not premises.publish(move):
        raise OperatorNeeded(f"somebody spoke of {job.id} at the same moment", step="the runner says it again")
    return word


def _parents(premises: Premises, revision: str, former: str | None) -> list[str]:
    if former is None:
        return [revision]
    return [former] if premises.history.revision(former) == revision else [revision, former]


def _words(held: Mapping[str, bytes], job: Job) -> tuple[str, str, str | None]:
    """The note's text, the outcome in a word or two, and the digest of the outputs."""
    if "ended.json" not in held:
        why = escape(held["log"].decode("utf-8", "replace"))
        return f"Could not be run on mock data\n\n{why}", "could not be run", None
    report = _report(held, json.loads(held["again.json"]))
    weighed = held.get("findings.json")  # what an earlier version of gitqueue left has none
    verdict = msgspec.json.decode(weighed, type=Verdict) if weighed else None
    report = replace(report, verdict=verdict, home=rehearsal.from_home(job.decided, job.id.requester, report.outputs))
    tested = None if report.ended.reason else rehearsal.digest(report.outputs)
    return _text(report, home_known=True), report.ended.reason or "ran", tested


# the report


def _report(held: Mapping[str, bytes], again: Sequence[str] | None) -> Report:
    ended = files.ended(held["ended.json"])
    flags = remains.flags_of(held["flags.json"])
    log = _last_lines(held.get("log", b""))
    limits = files.plan(held["plan.json"]).limits
    return Report(ended, limits, _digests(ended), flags, log, None if again is None else tuple(again))


def _last_lines(log: bytes) -> str:
    """What the job printed last, without when and on which stream: its words alone matter, and are the same each
    time."""
    lines = [line.split(" ", 2) for line in log.decode("utf-8", "replace").splitlines()[-_LOG_LINES:]]
    return "\n".join(parts[2][:_LOG_LINE] if len(parts) == 3 else "" for parts in lines).strip("\n")


def _text(report: Report, home_known: bool) -> str:
    return escape(template("report/rehearsal.txt").render(report=report, home_known=home_known)).strip()
