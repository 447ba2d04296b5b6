"""A job, as its requester and its owner have it in Python: where it stands, what it holds, what may be done to it."""

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitqueue import acts
from gitqueue.adapters import seal
from gitqueue.adapters.files import lay_out
from gitqueue.adapters.queue import Job as Seen
from gitqueue.api import datasets, requests, show, values
from gitqueue.api.collections import MOST, Named
from gitqueue.api.desk import Desk
from gitqueue.api.files import Files, Outputs
from gitqueue.api.findings import Findings
from gitqueue.api.waiting import wait_for
from gitqueue.errors import GitqueueError, Mistake, No, NotAllowed
from gitqueue.model import FILE, PROGRAM
from gitqueue.rules.lifecycle import ENDS, Decision, State, next_step
from gitqueue.rules.manifest import Manifest, Project
from gitqueue.rules.tree import escape
from gitqueue.steps import collect, describe, look, report, review, submit, weigh

if TYPE_CHECKING:
    from gitqueue.api.code import Code
    from gitqueue.api.datasets import Asset


class JobStatus(StrEnum):
    """Where a job stands; equal to its word."""

    pending = "pending"
    changes_requested = "changes-requested"
    rejected = "rejected"
    approved = "approved"
    suspended = "suspended"
    running = "running"
    held = "held"
    withheld = "withheld"
    completed = "completed"
    failed = "failed"
    cancelled = "cancelled"
    interrupted = "interrupted"
    closed = "closed"

    def __repr__(self) -> str:
        return repr(self.value)


class Job:
    """One job of a site. What it asks for is that of the revision that was there when you got hold of it; `status` is
    asked anew each time."""

    def __init__(self, desk: Desk, seen: Seen) -> None:
        self._desk = desk
        self._seen = seen

    # what it is

    @property
    def uid(self) -> str:
        """`requester/name`, for ever."""
        return str(self._seen.id)

    @cached_property
    def _asked(self) -> Manifest | None:
        """What its revision asks for; None where that cannot be read."""
        try:
            return self._desk.queue.manifest(self._seen)
        except GitqueueError:
            return None

    @property
    def name(self) -> str:
        return self._asked.name if self._asked else self._seen.id.name

    @property
    def description(self) -> str | None:
        return (self._asked.description.strip() or None) if self._asked else None

    @property
    def purpose(self) -> str | None:
        return (self._asked.purpose or None) if self._asked else None

    @property
    def _group(self) -> Project | None:
        return self._asked.group if self._asked else None

    @property
    def project(self) -> str | None:
        """The name of the project that it belongs to."""
        return self._group.name if self._group else None

    @property
    def tags(self) -> list[str]:
        return list(self._asked.tags) if self._asked else []

    @property
    def datasets(self) -> list[str]:
        return list(self._asked.datasets) if self._asked else []

    @property
    def requester(self) -> str:
        return self._seen.id.requester

    @property
    def requester_email(self) -> str:
        """The requester's address as the site knows it; their name where it knows none."""
        person = self._desk.queue.people.get(self.requester)
        return (person.email if person else None) or self.requester

    @property
    def created_at(self) -> datetime | None:
        """When it was asked for, in UTC; None where the request has gone."""
        if self.revision is None:
            return None
        return datetime.fromtimestamp(self._desk.queue.objects.commit(self.revision).date, UTC)

    @property
    def revision(self) -> str | None:
        """The commit that this is."""
        return self._seen.revision

    @property
    def _cells(self) -> tuple[object, ...]:
        """A row of a table, as it stood when it was listed."""
        at = self.created_at.strftime("%Y-%m-%d %H:%M") if self.created_at else ""
        return (self._seen.state, self.uid, self.name, self.project, self.requester, at)

    # where it stands

    def _now(self) -> Seen:
        return self._desk.seen(self._seen.id)

    @property
    def status(self) -> JobStatus:
        """Where the job stands now."""
        return JobStatus(str(self._now().state))

    @property
    def reason(self) -> str | None:
        """Why it stands so, where somebody, or the runner, has said."""
        return describe.reason(self._now())

    @property
    def next(self) -> str:
        """Who acts next, and how."""
        return next_step(self._now().state)

    @property
    def decisions(self) -> list[dict[str, Any]]:
        """What was said on it, oldest first."""
        return [describe.decision(note) for note in self._now().notes]

    def wait(self, timeout: float | None = 600) -> "Job":
        """Until it has ended, showing where it stands; the job, when it is completed.

        Raises JobFailed (JobRejected, JobCancelled, ResultsWithheld) with the reason where it ended otherwise, and
        TimedOut after `timeout` seconds (None: never).
        """
        wait_for(self, timeout)
        return self

    # what it holds

    @cached_property
    def files(self) -> Files:
        """The files of this revision."""
        return Files({path: data for path, (_, data) in self._held.items()})

    @cached_property
    def _held(self) -> dict[str, tuple[int, bytes]]:
        """The same, each with git's mode."""
        queue = self._desk.queue
        tree = queue.objects.commit(self._seen.revision or queue.approved).tree
        folder = queue.objects.at(tree, self._seen.id.folder)
        if folder is None:
            raise No(f"{self.uid} holds no files")
        found, refused = queue.history.files(folder.id, queue.history.site(queue.approved).policy)
        if refused:
            raise No(*refused)
        return {file.path: (file.mode, file.content or b"") for file in found if file.mode in (FILE, PROGRAM)}

    @cached_property
    def code_folder(self) -> Path:
        """A folder with exactly the files of this revision, byte by byte, to read; nothing in it can be executed. It
        stays, whatever becomes of the job."""
        folder = (
            self._desk.clone.git_dir.absolute() / "gitqueue" / "code" / (self.revision or "")[:16] / self._seen.id.name
        )
        if not folder.exists():
            new = folder.with_name(f".{folder.name}-{os.getpid()}")
            new.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lay_out(new, ((name, False, data) for name, data in self.files.items()))
            for path in (*new.rglob("*"), new):
                path.chmod(0o555 if path.is_dir() else 0o444)
            new.rename(folder)
        return folder

    def diff(self) -> str:
        """What the request adds, as git shows it, but not to be fooled."""
        text = report.diff(self._desk.queue, self._seen)
        self._read()
        return text

    def report(self) -> str:
        """All that an owner decides by, as `gitqueue review` has it."""
        text = report.report(
            self._desk.queue, self._seen, report.Reader(settings=self._settings(), verdict=self.findings.verdict)
        )
        self._read()
        return text

    def _settings(self) -> Any:
        here = self._desk.here
        return here.settings() if here is not None and os.access(here.settings_file, os.R_OK) else None

    def _read(self) -> None:
        """From now on this clone knows that its owner has read this revision."""
        self._desk.clone.fetch()
        review.remember_read(self._desk.clone, self._seen)

    @cached_property
    def findings(self) -> Findings:
        """What its code would do, and what speaks against it."""
        dossier = report.Dossier(self._desk.queue, self._seen, report.Reader())
        said = [*dossier.against, *(() if self._seen.is_change else dossier.remarks)]
        verdict = weigh.request(self._desk.queue, self._seen, self._desk.clone)
        return Findings(verdict, said)

    @property
    def code(self) -> "Code":
        """What it would run: source, findings, and `code.run(…)` in the sandbox."""
        from gitqueue.api.code import Code

        return Code(self)

    # what its requester does

    def revise(self, code: str | Path | Callable[..., Any], reason: str = "") -> "Job":
        """Send your request again with other code, as its next revision, which waits for owners anew; the job.

        `code`: a program's text or file, or a function, in the place of what it ran, or a folder (a Path) in the place
        of all its files. Raises No with every reason of the site's, and Mistake where it was approved already.
        """
        if callable(code):
            self._must_call(code)
        asked = self._asked
        inputs = {parameter: self._asset(asset) for parameter, asset in (asked.inputs if asked else {}).items()}
        held = requests.revised(self._held, code, inputs, self._desk.view.policy)
        wanted = submit.Request(self._seen.id, held, reason or f"Revise {self._seen.id.name}")
        submit.revise(self._desk.clone, wanted, self.revision or "")
        return Job(self._desk, self._now())

    def _must_call(self, function: Callable[..., Any]) -> None:
        called = ((self._asked.entrypoint if self._asked else None) or "").partition(":")[2]
        name = getattr(function, "name" if isinstance(function, requests.Function) else "__name__", "none")
        if name != called:
            raise Mistake(
                f"{self.uid} calls {called or 'no function'}, and this is {name}",
                step="give it that name, or submit it as another request",
            )

    def _asset(self, uid: str) -> "Asset":
        dataset, _, asset = uid.partition("/")
        return datasets.of(self._desk)[dataset].assets[asset]

    # what an owner does

    def approve(self, reason: str = "") -> "Job":
        """Sign the merge of this very revision (or endorse it, where more owners are needed). The runner then runs it.

        Raises Mistake where it has changed since, or there is nothing to approve.
        """
        name = self._desk.must_own("to approve")
        me = acts.Signer(self._desk.clone, self._fetched(), name)
        acts.approve(me, [self._seen.id], reason, {self._seen.id: self.revision or ""})
        return self

    def reject(self, reason: str) -> "Job":
        """Say no, and why; everybody of the site can read it."""
        return self._decide(Decision.REJECTED, reason)

    deny = reject

    def request_changes(self, reason: str) -> "Job":
        """Say what is to be changed before it can be approved."""
        return self._decide(Decision.CHANGES_REQUESTED, reason)

    def comment(self, text: str) -> "Job":
        return self._decide(Decision.COMMENT, text)

    def cancel(self, reason: str = "") -> "Job":
        """Withdraw a request, or stop its run."""
        return self._decide(Decision.CANCEL, reason)

    def rerun(self, reason: str = "") -> "Job":
        """Have it run once more, where it failed or was interrupted."""
        return self._decide(Decision.RERUN, reason)

    def withhold(self, reason: str) -> "Job":
        """Keep a held job's outputs at the site for good."""
        return self._decide(Decision.WITHHOLD, reason)

    def release(self, *names: str, reason: str = "", log: bool = False) -> "Job":
        """Let a held job's outputs go to the requester: all, or those named; `log`: the run's log, too."""
        self._desk.must_own("to release")
        seen = self._now()
        outputs = seen.result.outputs if seen.result else None
        going = look.named(self._place, seen, names, log) if outputs else None
        review.decide(self._desk.clone, seen.id, review.Spoken(Decision.RELEASE, reason, outputs=outputs, files=going))
        return self

    def _decide(self, decision: Decision, reason: str) -> "Job":
        seen = self._now()
        if seen.revision != self.revision:
            raise Mistake(f"{self.uid} has changed since you got hold of it", step="take it anew from the list")
        acts.decide(self._desk.clone, seen, decision, reason)
        return self

    def _fetched(self) -> Any:
        self._desk.clone.fetch()
        return self._desk.own_queue

    # what came of it

    @property
    def _place(self) -> Any:
        return self._desk.here or self._desk.clone

    @property
    def outputs(self) -> Outputs:
        """For an owner: what its newest run left in the vault, released or not, with the flags on it."""
        self._desk.must_own("what was not released")
        return Outputs(look.left(self._place, self._now()))

    def logs(self) -> str:
        """For an owner, the log of its run, or of its newest run on mock data; for others, what was released of it.

        Raises No where there is none for you.
        """
        if self._owns:
            live = sorted(self._desk.here.spool.glob(f"{self.uid.replace('/', '+')}+*/log")) if self._desk.here else []
            return live[-1].read_text(errors="replace") if live else look.left(self._place, self._now()).log
        log = next((name for name in ("run.log", "run-1.log") if name in self.results), None)
        if log is None:
            raise No(f"the log of {self.uid} stays at the site", step="ask an owner to release it")
        return self.results.text(log)

    @property
    def _owns(self) -> bool:
        try:
            self._desk.must_own("the log")
        except NotAllowed:
            return False
        return True

    @property
    def results(self) -> Files:
        """The released files, checked against their signature and provenance, and unsealed."""
        clone = self._desk.clone
        found = collect.results(self._desk.queue, self._now(), lambda data: seal.unseal(data, clone.identity()))
        return Files(found)

    def result(self) -> Any:
        """What a function returned, or each of several results, once it is released.

        Raises No that says what is awaited before.
        """
        return values.result(self.results)

    # how it looks

    def __repr__(self) -> str:
        return self._line(self._now().state)

    def _line(self, state: State) -> str:
        name = "" if self.name == self._seen.id.name else f" ({escape(self.name)})"
        return f"{self.uid}{name}: {state}; next: {next_step(state)}"

    def _repr_html_(self) -> str:
        return show.request(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and (self.uid, self.revision) == (other.uid, other.revision)

    def __hash__(self) -> int:
        return hash((self.uid, self.revision))

    @property
    def over(self) -> bool:
        """Whether neither owners nor the runner are awaited any more."""
        return self._now().state in ENDS


class Jobs(Named[Job]):
    """Jobs, by position, uid or name."""

    kind = "job"

    def __init__(
        self,
        items: Sequence[Job],
        names: Callable[[Job], tuple[str, ...]] = lambda job: (job.uid, job.uid.split("/")[1]),
    ) -> None:
        super().__init__(items, names)

    # Both as they stood when they were listed; a front end asks for both.

    def __repr__(self) -> str:
        return self._lines(job._line(job._seen.state) for job in self._items[:MOST])

    def _repr_html_(self) -> str:
        return show.table(self.kind, self._grid())

    def _grid(self) -> show.Grid:
        head = ("", "status", "job", "name", "project", "requester", "asked at")
        rows = [(number, *job._cells) for number, job in enumerate(self._items[:MOST])]
        return show.Grid(head, rows, len(self) - len(rows))
