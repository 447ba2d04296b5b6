"""The queue, as refs tell it: which jobs there are and where each stands. At the site, at the gate, in a clone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from gitqueue import refs
from gitqueue.adapters import archive
from gitqueue.adapters.collector import untidied
from gitqueue.adapters.git import list_refs
from gitqueue.adapters.history import History
from gitqueue.errors import GitqueueError, Tampered
from gitqueue.model import Commit
from gitqueue.refs import JobId, Kind
from gitqueue.rules import manifest, notes
from gitqueue.rules.archive import Closed
from gitqueue.rules.authority import OWNER, RUNNER, Note
from gitqueue.rules.lifecycle import RERUNNABLE, Decision, JobFacts, State, state
from gitqueue.rules.manifest import Manifest
from gitqueue.rules.notes import ResultText
from gitqueue.rules.policy import People

REMOTE = "refs/remotes/origin/"
Verified = Callable[[], str | None]
_RECENT = 256  # jobs that are kept as they were found to stand


@dataclass(frozen=True, slots=True)
class Job:
    """One job: its request's tip, what was said on that tip (oldest first), and what its results ref says.

    `notes` are all of the conversation, oldest first; `fault` says why the results cannot be believed. Of a job that
    waits for its run, `approver` signed the approval, and `doubt` says why that key counts no more. `is_change`: it is
    no job, but a site change that needs more owners than one; `owners` is how many policy asks for. `closed`: gc took
    its refs into the archive.
    """

    id: JobId
    revision: str | None
    approved: bool
    notes: tuple[Note, ...] = ()
    result: ResultText | None = None
    results: str | None = None
    fault: str = field(default="")
    approver: str = ""
    doubt: str = ""
    is_change: bool = False
    owners: int = 1
    closed: bool = False

    @property
    def decided(self) -> tuple[Note, ...]:
        """What was decided on the present revision, by people of the site."""
        return tuple(note for note in self.notes if note.revision == self.revision and note.signed.signer)

    @property
    def state(self) -> State:
        return self._state(self.closed)

    @property
    def stood(self) -> State:
        """Where it stands, or stood before gc closed it."""
        return self._state(False)

    def _state(self, closed: bool) -> State:
        spoken = tuple(note.decision for note in self.decided)
        ran = self.result.state if self.result else None
        return state(JobFacts(spoken, self.approved, ran, self.suspended, self.again, closed))

    @property
    def released(self) -> bool:
        """Whether its results were released, be it closed since or not."""
        return self.result is not None and self.result.state is State.COMPLETED

    @property
    def attempt(self) -> int:
        """The number of the newest run, 0 before the first."""
        return self.result.attempt if self.result else 0

    @property
    def again(self) -> bool:
        """Whether as many owners as policy asks for have said `rerun` of the newest run, and nobody cancelled since."""
        if not self.attempt:
            return False
        names: set[str] = set()
        for note in reversed(self.decided):
            if note.decision is Decision.CANCEL:
                break
            who = note.signed.signer
            asked = note.decision is Decision.RERUN and note.attempt == self.attempt
            if asked and who and who.has(OWNER) and who.name != self.id.requester:
                names.add(who.name)
        return len(names) >= self.owners

    @property
    def suspended(self) -> bool:
        """Whether the approval is in doubt, and other owners, as many as policy asks for, have not said `rerun`."""
        if not self.doubt:
            return False
        again = (note.signed.signer for note in self.decided if note.decision is Decision.RERUN)
        own = (self.approver, self.id.requester)
        others = {who.name for who in again if who and who.has(OWNER) and who.name not in own}
        return len(others) < self.owners


class Queue:
    """The jobs of one repository. `prefix` is where its refs lie: the site's own, or a clone's copies of them.

    `verified` tells the tip of the chain as far as it was verified, to whom the branch alone proves nothing: whose word
    counts, and what is approved, is then read there and nowhere else.
    """

    def __init__(self, history: History, prefix: str = refs.HEADS, verified: "Verified | None" = None) -> None:
        self.history = history
        self.objects = history.objects
        self._prefix = prefix
        self._verified = verified
        self._recent: dict[tuple[str | None, ...], Job] = {}

    def elsewhere(self, history: History) -> "Queue":
        """The same for another thread: what one has found out about jobs, all know."""
        other = Queue(history, self._prefix, self._verified)
        other._recent = self._recent
        return other

    def ref(self, name: str) -> str | None:
        """Where a ref of the site stands, by its name at the site."""
        return self.objects.ref(self._prefix + name.removeprefix(refs.HEADS))

    @property
    def approved(self) -> str:
        tip = self._verified() if self._verified else self.ref(refs.APPROVED)
        if tip is None and self._verified:
            raise Tampered("nothing of the chain could be verified")
        if tip is None:
            raise Tampered("there is no branch 'approved' here", step="git fetch, in a clone of the site")
        return tip

    @property
    def people(self) -> People:
        return self.history.people(self.approved)

    def _refs(self, *kinds: Kind) -> Iterator[tuple[refs.Ref, str]]:
        found = list_refs(self.objects.path, *(f"{self._prefix}{kind.value}" for kind in kinds))
        for name, tip in found.items():
            ref = refs.parse(refs.HEADS + name.removeprefix(self._prefix))
            if ref is not None:
                yield ref, tip

    def refs(self, *kinds: Kind) -> dict[refs.Ref, str]:
        """All refs of some kinds, with where they stand."""
        return dict(self._refs(*kinds))

    def jobs(self, requester: str | None = None) -> list[Job]:
        """Every job that has a request or results, oldest request first."""
        tips: dict[JobId, dict[Kind, str]] = {}
        with untidied:
            for ref, tip in self._refs(Kind.REQUEST, Kind.REVIEW, Kind.RESULT):
                if ref.job is not None and requester in (None, ref.job.requester):
                    tips.setdefault(ref.job, {})[ref.kind] = tip
            chain = self.approved
            aged = [self._dated(job, its, chain) for job, its in tips.items()]
        return [job for _, _, job in sorted(aged, key=lambda one: one[:2])]

    def job(self, job: JobId) -> Job:
        """One job, be it closed; without revision and results where there is none of that name."""
        names = {Kind.REQUEST: refs.request(job), Kind.REVIEW: refs.review(job), Kind.RESULT: refs.result(job)}
        tips = {kind: tip for kind, name in names.items() if (tip := self.ref(name))}
        over = None if tips else self.archived().get(job)
        return self._known(job, tips) if over is None else self.closed(over)

    def _known(self, job: JobId, tips: dict[Kind, str]) -> Job:
        """What is known of a job whose refs, and the chain, stand where they stood."""
        key = (str(job), self.approved, *(tips.get(kind) for kind in (Kind.REQUEST, Kind.REVIEW, Kind.RESULT)))
        found = self._recent.get(key)
        if found is None:
            found = self._recent[key] = self._dated(job, tips, self.approved)[2]
            if len(self._recent) > _RECENT:
                self._recent.pop(next(iter(self._recent)), None)
        return found

    def archived(self) -> dict[JobId, Closed]:
        """What gc closed, as far as it is known here: a clone fetches it when it is asked for."""
        where = refs.ARCHIVE if self._prefix == refs.HEADS else archive.COPY
        return archive.closed(self.history, self.people, where)

    def closed(self, over: Closed) -> Job:
        tips = {Kind.REQUEST: over.request, Kind.REVIEW: over.review, Kind.RESULT: over.results}
        known = {kind: tip for kind, tip in tips.items() if tip}
        return replace(self._dated(over.job, known, self.approved)[2], closed=True)

    def _dated(self, job: JobId, tips: dict[Kind, str], chain: str) -> tuple[int, JobId, Job]:
        """A job, after what lists are ordered by; `chain` is where approved stands."""
        said, fault = self._thread(tips.get(Kind.REVIEW))
        results = tips.get(Kind.RESULT)
        result, wrong = self._result(results) if results else (None, "")
        revision = tips.get(Kind.REQUEST)
        approved = self.objects.holds(self.objects.commit(chain).tree, job.folder)
        date, holds = self.objects.glance(revision, job.folder) if revision else (0, True)
        if not holds and self.objects.descends(chain, revision or ""):
            result = ResultText(State.COMPLETED, 1)
        approver, doubt = self._standing(job) if approved and not results else ("", "")
        rare = doubt or (result and result.state in RERUNNABLE)
        owners = self.history.site(chain).policy.approvals if rare else 1
        wrong = fault or wrong
        found = Job(job, revision, approved, said, result, results, wrong, approver, doubt, not holds, owners)
        return date, job, found

    def _standing(self, job: JobId) -> tuple[str, str]:
        """Who approved a job that has not run, and why that signature counts no more, "" where it does."""
        found = self.approval(job)
        if found is None or not found.parents:
            return "", ""
        then = self.history.signed(found.id, self.history.people(found.parents[0])).signer
        now = self.history.signed(found.id, self.people, relied=self.history.objects.commit(self.approved).date)
        return (then.name if then else ""), now.fault

    def _thread(self, tip: str | None) -> tuple[tuple[Note, ...], str]:
        if tip is None:
            return (), ""
        try:
            return tuple(reversed(self.history.thread(tip, self.people))), ""
        except (ValueError, GitqueueError) as error:
            return (), str(error)

    def _result(self, tip: str) -> tuple[ResultText | None, str]:
        try:
            signed = self.history.signed(tip, self.people)
        except GitqueueError as error:
            return None, str(error)
        if signed.signer is None or not signed.signer.has(RUNNER):
            return None, f"results commit {tip[:12]} {signed.fault or 'is signed by someone who is no runner'}"
        try:
            return notes.parse_result(signed.commit.message), ""
        except ValueError as error:
            return None, f"results commit {tip[:12]} {error}"

    # what a job holds

    def manifest(self, job: Job) -> Manifest:
        """What the job asks for, at its present revision. Raises GitqueueError where it cannot be read."""
        tree = self.objects.commit(job.revision or self.approved).tree
        files = (self.objects.file(tree, f"{job.id.folder}/{name}") for name in ("job.yaml", "run.sh"))
        return manifest.read(job.id, *files)

    def approval(self, job: JobId) -> Commit | None:
        """The commit of the chain that brought the job's folder in."""
        if not self.objects.holds(self.objects.commit(self.approved).tree, job.folder):
            return None
        found = self.history.brought(job, self.approved)
        return self.objects.commit(found) if found else None

    def run(self, job: Job) -> Iterator[Commit]:
        """The runner's commits of a job, newest first: how it stands now, down to the claim."""
        for commit in self.objects.first_parents(job.results) if job.results else ():
            found = self.objects.commit(commit)
            try:
                notes.parse_result(found.message)
            except ValueError:
                return
            yield found
