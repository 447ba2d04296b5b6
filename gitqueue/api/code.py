"""A request's code: its source, and running it in the sandbox, on mock data or, by an owner's signature, on real."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from gitqueue import acts
from gitqueue.adapters import vault
from gitqueue.api import datasets, show, values
from gitqueue.api.datasets import Asset
from gitqueue.api.files import Files
from gitqueue.errors import JobFailed, Mistake, No, TimedOut
from gitqueue.rules import trial
from gitqueue.rules.authority import Note
from gitqueue.rules.lifecycle import Decision
from gitqueue.rules.manifest import Manifest
from gitqueue.rules.tree import escape
from gitqueue.steps import look, rehearse

if TYPE_CHECKING:
    from gitqueue.api.desk import Desk
    from gitqueue.api.findings import Findings
    from gitqueue.api.jobs import Job

_PAUSE, _LAST = 0.1, 1500  # characters of a log


class Code:
    """What a request would run."""

    def __init__(self, job: Job) -> None:
        self._job = job

    @property
    def _desk(self) -> Desk:
        return self._job._desk

    @property
    def _asked(self) -> Manifest:
        return self._desk.queue.manifest(self._job._seen)

    @property
    def file(self) -> str:
        """The file that is run first."""
        asked, files = self._asked, self._job.files
        words = [asked.entrypoint.rpartition(":")[0]] if asked.entrypoint else (asked.run or "").split()
        return next((word for word in words if word in files), next(iter(files), ""))

    @property
    def function(self) -> str | None:
        """The function that is called, where it is one."""
        entry = self._asked.entrypoint
        return entry.rpartition(":")[2] if entry else None

    @property
    def source(self) -> str:
        return self._job.files.text(self.file)

    @property
    def requester(self) -> str:
        return self._job.requester

    @property
    def project(self) -> str | None:
        return self._job.project

    @property
    def findings(self) -> Findings:
        return self._job.findings

    @property
    def status(self) -> str:
        return self._job.status

    @property
    def inputs(self) -> dict[str, Asset]:
        """The asset that each parameter gets."""
        known = datasets.of(self._desk)
        pairs = {name: wanted.partition("/") for name, wanted in self._asked.inputs.items()}
        return {name: known[dataset].assets[asset] for name, (dataset, _, asset) in pairs.items()}

    def run(self, *, timeout: float = 600, **given: Any) -> Any:
        """Run it in the sandbox; what the function returns.

        With the assets' `.mock`, or nothing, on the mock data, on this machine; with their `.data`, on the real data,
        at the site, which takes an owner's signature: what it leaves stays in the vault, and comes to you.
        Raises JobFailed with the end of its log where it fails.
        """
        inputs = self.inputs
        wrong = sorted(given.keys() ^ inputs.keys()) if given else []
        if wrong:
            raise Mistake(f"{self._job.uid} takes {', '.join(inputs) or 'no inputs'}; see to {', '.join(wrong)}")
        kinds = {_kind(self._desk, name, inputs[name], value) for name, value in given.items()}
        if len(kinds) > 1:
            raise Mistake("some of these are mock data and some are real ones", step="give all of one kind")
        return self.run_on_real(timeout) if kinds == {"real"} else self.run_on_mock()

    def run_on_mock(self) -> Any:
        """Run it on the mock data, in the sandbox, on this machine; what it returns, or for a program its files."""
        queue, job = self._desk.queue, self._job
        folder = queue.objects.at(queue.objects.commit(job.revision or "").tree, job._seen.id.folder)
        held, refused = (
            queue.history.files(folder.id, self._desk.view.policy) if folder else ((), ("it holds no files",))
        )
        if refused:
            raise No(*refused)
        seen = rehearse.at_home(queue, job._seen.id, held)
        if seen.report.ended.reason:
            raise _failed(job, "on mock data", seen.report.ended.reason, seen.report.log)
        return self._value(seen.outputs)

    def run_on_real(self, timeout: float = 600) -> Any:
        """Sign that it shall run on the real data now, and wait for what it leaves in the vault."""
        self._desk.must_own("a run on the real data")
        acts.decide(self._desk.clone, self._job._now(), Decision.TRY_REAL, "")
        decision = self._decision()
        acts.serve_here(self._desk.clone, quiet=True)
        left = self._left(decision, monotonic() + timeout)
        if left.ended.get("reason") or left.run.get("Outcome") != "ran":
            raise _failed(self._job, "on the real data", left.ended.get("reason") or left.run.get("Outcome"), left.log)
        return self._value(left.files)

    def _decision(self) -> str:
        """The note that made enough owners' words. Raises No where another owner's is needed."""
        queue, seen = self._desk.queue, self._job._now()
        signers = queue.history.request(seen.id, seen.revision or "", queue.approved, queue.people).signers
        needed = self._desk.view.policy.approvals
        mine: Note = seen.notes[-1]
        if mine.signed.commit.id not in (one.decision for one in trial.trials(seen.id, seen.notes, signers, needed)):
            raise No(
                f"{seen.id} runs on the real data when {needed} owners have signed for it", step="another owner does"
            )
        return mine.signed.commit.id

    def _left(self, decision: str, until: float) -> look.Left:
        while monotonic() < until:
            try:
                left = look.left(self._job._place, self._job._now())
                if left.run.get(vault.TRIAL) == decision:
                    return left
            except No:
                pass
            sleep(_PAUSE)
        raise TimedOut(
            f"{self._job.uid} was not run on the real data yet", step="a runner must serve the site: start()"
        )

    def _value(self, files: Mapping[str, bytes]) -> Any:
        return values.result(files) if self.function else Files(files)

    def _repr_html_(self) -> str:
        return show.code(self)

    def __repr__(self) -> str:
        head = f"{self.file} of {self._job.uid}, by {self.requester}; {self.status}"
        return f"{head}\n\n{escape(self.source)}"


def _kind(desk: Desk, name: str, asset: Asset, value: object) -> str:
    """Whether a value is the asset's mock or real data. Raises Mistake for any other."""
    if value is asset or values.same(value, asset.mock):
        return "mock"
    if desk.here is not None and values.same(value, asset.data):
        return "real"
    words = f"{asset.name}.mock or {asset.name}.data"
    raise Mistake(f"{name} is neither the mock nor the real data of {asset.uid}", step=f"hand in {words}, as they are")


def _failed(job: Job, where: str, reason: object, log: str) -> JobFailed:
    return JobFailed(f"{job.uid} failed {where}: {reason}", escape(log.strip()[-_LAST:]) or "its log is empty")


class Functions:
    """The released values of functions that you asked for, by the functions' names: `site.code.mean()`."""

    def __init__(self, jobs: Mapping[str, Job]) -> None:
        self._jobs = jobs

    def __getattr__(self, name: str) -> Any:
        if name not in self._jobs:
            raise AttributeError(
                f"you have asked for no function {name!r}; you have for: {', '.join(self._jobs) or 'none'}"
            )
        return lambda **given: _released(self._jobs[name], given)

    def __dir__(self) -> list[str]:
        return list(self._jobs)

    def __repr__(self) -> str:
        return "\n".join(f"{name}(): {job.status}" for name, job in self._jobs.items()) or "no functions"


def _released(job: Job, given: Mapping[str, Any]) -> Any:
    """The value; `given` must be what was asked with, where it is named once more."""
    inputs = job.code.inputs
    wrong = [name for name, one in given.items() if name not in inputs or getattr(one, "uid", None) != inputs[name].uid]
    if wrong:
        asked = ", ".join(f"{name}={asset.uid}" for name, asset in inputs.items())
        raise Mistake(f"{job.uid} was asked for with {asked}", step="ask for it anew with other assets")
    return job.result()
