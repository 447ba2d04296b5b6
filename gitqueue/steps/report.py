"""Report: what an owner reads of a request, to decide by; nothing in it can be made to look like something else."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from gitqueue import refs
from gitqueue.adapters import data, difference
from gitqueue.adapters.objects import EMPTY_TREE
from gitqueue.adapters.queue import Job, Queue
from gitqueue.adapters.render import template
from gitqueue.errors import GitqueueError, Mistake
from gitqueue.rules import dossier, submission
from gitqueue.rules.authority import OWNER, Note
from gitqueue.rules.findings import Verdict
from gitqueue.rules.lifecycle import Decision
from gitqueue.rules.manifest import Manifest
from gitqueue.rules.policy import RunnerSettings
from gitqueue.rules.tree import File, escape

_ALL = "--text"  # a byte that no editor shows would hide a file from the diff
_EARLIER = 5
_LOCKS = 500  # of the newest approved jobs, in which a package counts as known


def diff(queue: Queue, job: Job) -> str:
    """What the request adds, as git shows it, but not to be fooled: as text, without attributes, drivers or links to
    other objects, with invisible characters written out."""
    revision = _revision(job)
    base = queue.history.request(job.id, revision, queue.approved, queue.people).fork or queue.approved
    return _between(queue, job, base, revision)


def changed(queue: Queue, job: Job, since: str) -> str:
    """What the request's files are now against an earlier revision, which the branch need not hold any more."""
    if job.is_change:
        return _between(queue, job, since, _revision(job))
    folders = [queue.objects.at(queue.objects.commit(one).tree, job.id.folder) for one in (since, _revision(job))]
    old, new = (folder.id if folder else EMPTY_TREE for folder in folders)
    prefixes = (f"--src-prefix=a/{job.id.folder}/", f"--dst-prefix=b/{job.id.folder}/")
    return difference.between(queue.objects.path, old, new, (_ALL, *prefixes))


def _between(queue: Queue, job: Job, old: str, new: str) -> str:
    paths = () if job.is_change else (job.id.folder,)
    return difference.between(queue.objects.path, old, new, (_ALL,), paths)


def _revision(job: Job) -> str:
    if job.revision is None:
        raise Mistake(f"there is no request {job.id}", step="gitqueue list")
    return job.revision


def read_last(queue: Queue, job: Job, mine: str | None) -> str | None:
    """The earlier revision that was reviewed last: the one that I read here, else the one of an owner's newest word."""
    spoken = [note.revision for note in job.notes if note.signed.signer and note.signed.signer.has(OWNER)]
    wanted = [mine, *reversed(spoken)]
    return next((one for one in wanted if one and one != job.revision and queue.objects.has(one)), None)


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads: the revision that they read last, if any; at the site alone, the operator's settings; and what was
    found in the code, where somebody looked."""

    last: str | None = None
    settings: RunnerSettings | None = None
    verdict: Verdict | None = None


def report(queue: Queue, job: Job, reader: Reader, markdown: bool = False) -> str:
    """The report, as text of 80 columns or as Markdown."""
    _revision(job)
    kind = "change" if job.is_change else "review"
    page = template(f"report/{kind}.{'md' if markdown else 'txt'}")
    return escape(page.render(it=Dossier(queue, job, reader)))


@dataclass(frozen=True)
class Dossier:
    """All that a report's template asks for, each worked out when it does."""

    queue: Queue
    job: Job
    reader: Reader

    @cached_property
    def asked(self) -> Manifest:
        return self.queue.manifest(self.job)

    @cached_property
    def site(self):  # type: ignore[no-untyped-def]  # the template's
        return self.queue.history.site(self.queue.approved)

    @property
    def commit(self):  # type: ignore[no-untyped-def]  # the template's
        return self.queue.objects.commit(_revision(self.job))

    @property
    def person(self):  # type: ignore[no-untyped-def]  # the template's
        return self.site.people.get(self.job.id.requester)

    @cached_property
    def earlier(self) -> list[Job]:
        """The requester's other jobs, oldest first."""
        return [other for other in self.queue.jobs(self.job.id.requester) if other.id != self.job.id]

    @property
    def newest(self) -> list[Job]:
        return self.earlier[-_EARLIER:]

    @property
    def said(self) -> list[Note]:
        """The conversation, without the runner's part."""
        return [note for note in self.job.notes if note.decision is not Decision.REHEARSED]

    @property
    def thread(self) -> str | None:
        """Where the conversation stands."""
        return self.queue.ref(refs.review(self.job.id))

    @property
    def owners(self) -> int:
        """How many of them must agree."""
        return int(self.site.policy.approvals)

    @property
    def used(self) -> str:
        """Time and memory of the rehearsal."""
        return dossier.used(self.rehearsal.reason) if self.rehearsal else ""

    @property
    def rehearsal(self) -> Note | None:
        """How this very revision ran on mock data."""
        found = [note for note in self.job.notes if note.decision is Decision.REHEARSED]
        return next((note for note in reversed(found) if note.revision == self.job.revision), None)

    @property
    def against(self) -> tuple[str, ...]:
        """What the gate would say of the job's files today."""
        if self.job.is_change:
            return self.queue.history.site_faults(_revision(self.job))
        return self._refused or submission.judge(self.files, self.job.id, self.site.policy, self.site.datasets)

    @cached_property
    def _read(self) -> tuple[tuple[File, ...], tuple[str, ...]]:
        folder = self.queue.objects.at(self.commit.tree, self.job.id.folder)
        if folder is None:
            return (), ("the request holds no folder",)
        return self.queue.history.files(folder.id, self.site.policy)

    @property
    def files(self) -> tuple[File, ...]:
        return self._read[0]

    @property
    def _refused(self) -> tuple[str, ...]:
        return self._read[1]

    @property
    def verdict(self) -> Verdict | None:
        return self.reader.verdict

    @property
    def remarks(self) -> tuple[str, ...]:
        return dossier.remarks(self.asked, self.site.policy.risky_tags, dict(self._descriptions()))

    def _descriptions(self) -> Iterator[tuple[str, str]]:
        """How the requester's other jobs describe the same project."""
        wanted = self.asked.group
        for job in self.earlier if wanted else ():
            try:
                group = self.queue.manifest(job).group
            except GitqueueError:
                continue
            if wanted and group and group.name == wanted.name:
                yield job.id.name, group.description

    @property
    def packaged(self) -> str:
        new = ", ".join(one.name for one in self.packages if one.new) or "none"
        return f"{len(self.packages)}, from {self.asked.environment}; new to this site: {new}"

    @property
    def never(self) -> str:
        """The columns that never leave, of all data that it reads."""
        known = [self.site.datasets[name] for name in self.asked.datasets if name in self.site.datasets]
        return ", ".join(column for dataset in known for column in dataset.identifiers)

    @property
    def structure(self) -> tuple[str, ...]:
        return dossier.structure(self.files)

    @cached_property
    def packages(self) -> tuple[dossier.Package, ...]:
        """What its lock installs, and what of it is new to this site."""
        held = {file.path: file.content or b"" for file in self.files}
        name = self.asked.environment
        return dossier.packages(held.get(name, b""), self._locks(name)) if name else ()

    def _locks(self, name: str) -> Iterator[bytes]:
        tree, seen = self.queue.objects.commit(self.queue.approved).tree, set()
        folders = [f"jobs/{who.name}/{job.name}" for who in self.queue.objects.folder(tree, "jobs")
                   for job in self.queue.objects.folder(tree, f"jobs/{who.name}")]  # fmt: skip
        for folder in folders[:_LOCKS]:
            for lock in {name, "requirements.txt"}:
                entry = self.queue.objects.at(tree, f"{folder}/{lock}")
                if entry is not None and not entry.is_folder and entry.id not in seen:
                    seen.add(entry.id)
                    yield self.queue.objects.blob(entry.id)

    @property
    def data(self) -> Iterator[str]:
        """Each asset that it reads: its rows of mock and, seen from the site, of real data."""
        tree = self.queue.objects.commit(self.queue.approved).tree
        for name in self.asked.datasets:
            dataset = self.site.datasets.get(name)
            for asset, spec in dataset.assets.items() if dataset else ():
                mock = self.queue.objects.file(tree, f"datasets/{name}/{spec.mock}")
                yield f"{name}/{asset}: {_rows(data.rows_in(mock))} of mock, {self._real(name, asset)}"

    def _real(self, name: str, asset: str) -> str:
        if self.reader.settings is None:
            return "real ones are at the site"
        bound: Mapping[str, str] = self.reader.settings.data.get(name, {})
        return f"{_rows(data.rows(bound[asset]))} of real data" if asset in bound else "NO REAL DATA BOUND"

    @property
    def diff(self) -> str:
        return self._folded(diff(self.queue, self.job))

    def _folded(self, text: str) -> str:
        lock = "" if self.job.is_change else self.asked.environment
        return dossier.folded(text, f"{self.job.id.folder}/{lock}" if lock else "")

    @cached_property
    def since(self) -> str | None:
        return read_last(self.queue, self.job, self.reader.last)

    @property
    def changed(self) -> str:
        return self._folded(changed(self.queue, self.job, self.since)) if self.since else ""

    @property
    def checklist(self) -> str:
        found = self.queue.objects.file(self.queue.objects.commit(self.queue.approved).tree, ".gitqueue/REVIEW.md")
        return (found or b"").decode("utf-8", "replace").strip()


def _rows(count: int | None) -> str:
    return "no table" if count is None else f"{count:,} rows"
