"""What a repository's objects say, as the facts that rules judge: people, requests, links of the chain, decisions.

Reads objects and checks signatures; believes no ref, no author field, and nothing that it was not given.
"""

import base64
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice

from gitqueue import refs
from gitqueue.adapters import signatures
from gitqueue.adapters.objects import EMPTY_TREE, Objects
from gitqueue.errors import GitqueueError, NotAllowed, Tampered
from gitqueue.model import FILE, PROGRAM, SUBMODULE, Commit, Entry
from gitqueue.refs import JobId
from gitqueue.rules import notes, policy
from gitqueue.rules.authority import OWNER, RECOVERY, Made, Moment, Note, Signed, identify, valid_owners
from gitqueue.rules.chain import LONGEST_REQUEST, Approval, Changes, Link, Proposal, Request
from gitqueue.rules.policy import Dataset, People, Policy
from gitqueue.rules.tree import DEPTH, File

SITE_FOLDER, DATASETS = ".gitqueue", "datasets"
SITE, PEOPLE, SIGNERS = ".gitqueue/site.yaml", ".gitqueue/people.yaml", ".gitqueue/allowed_signers"
MOST_LINKS = 500  # that one push may add to the chain
_LONGEST_THREAD = 1000
_RECENT = 4  # tips whose lines are kept
_MOST_BROUGHT = 10_000  # jobs of which is kept what brought them
_LARGEST_DOCUMENT = 256 * 1024
_MOST_MOCKS = 10_000  # files of one dataset's mock data


@dataclass(frozen=True, slots=True)
class SiteView:
    """The site's documents at one commit of the chain; `faults` is what is wrong with them."""

    policy: Policy
    people: People
    datasets: dict[str, Dataset]
    faults: tuple[str, ...]


class History:
    """One repository seen with one set of operator's revocations. Parsed documents are kept by their object's id."""

    def __init__(self, objects: Objects, revoked: Collection[str] = ()) -> None:
        self.objects = objects
        self._revoked = frozenset(revoked)
        self._people: dict[str, People] = {}
        self._sites: dict[tuple[str, ...], SiteView] = {}
        self._chains: dict[str, _ChainIndex] = {}
        self._way: _Line | None = None

    def elsewhere(self, objects: Objects) -> "History":
        """The same for another thread, with its own way to the same repository: what one has read, all have."""
        other = History(objects, self._revoked)
        other._people, other._sites = self._people, self._sites
        return other

    # documents

    def people(self, commit: str) -> People:
        """people.yaml at a commit. Raises Tampered where a commit of the chain holds none that can be read."""
        tree = self.objects.commit(commit).tree
        folder = self.objects.at(tree, SITE_FOLDER)
        key = folder.id if folder else ""
        if key not in self._people:
            self._people[key] = self._read_people(commit, tree)
        return self._people[key]

    def _read_people(self, commit: str, tree: str) -> People:
        entry = self.objects.at(tree, PEOPLE)
        if entry is None or not self._readable(entry):
            raise Tampered(f"commit {commit[:12]} holds no readable {PEOPLE}")
        return policy.parse_people(self.objects.blob(entry.id))

    def site(self, commit: str) -> SiteView:
        """The whole site at a commit. Raises GitqueueError with every reason where its documents cannot be read."""
        tree = self.objects.commit(commit).tree
        parts = [self.objects.at(tree, path) for path in (SITE_FOLDER, DATASETS)]
        key = tuple(f"{part.mode:o} {part.id}" if part else "" for part in parts)  # a link may have a file's bytes
        if key not in self._sites:
            self._sites[key] = self._read_site(commit, tree)
        return self._sites[key]

    def _read_site(self, commit: str, tree: str) -> SiteView:
        site = policy.parse_site(self._document(tree, SITE))
        people = self.people(commit)
        datasets = {entry.name: self._dataset(tree, entry.name) for entry in self.objects.folder(tree, DATASETS)}
        faults = [*policy.judge_site(site, people), *self._mock_faults(tree, datasets)]
        if not self._is(self.objects.at(tree, SIGNERS), policy.allowed_signers(people).encode()):
            faults.append(
                f"{SIGNERS} does not agree with {PEOPLE}: gitqueue writes it anew with every change of people"
            )
        return SiteView(site, people, datasets, tuple(faults))

    def _document(self, tree: str, path: str) -> bytes:
        entry = self.objects.at(tree, path)
        if entry is None or not self._readable(entry):
            raise Tampered(f"there is no readable {path}")
        return self.objects.blob(entry.id)

    def _readable(self, entry: Entry) -> bool:
        """A plain file: what a link names is another thing in every clone."""
        return entry.mode in (FILE, PROGRAM) and self.objects.size(entry.id) <= _LARGEST_DOCUMENT

    def _is(self, entry: Entry | None, data: bytes) -> bool:
        """Whether an entry is a file of these bytes; one of another size is not read."""
        if entry is None or entry.mode not in (FILE, PROGRAM) or self.objects.size(entry.id) != len(data):
            return False
        return self.objects.blob(entry.id) == data

    def _dataset(self, tree: str, name: str) -> Dataset:
        return policy.parse_dataset(self._document(tree, f"datasets/{name}/dataset.yaml"), name)

    def _mock_faults(self, tree: str, datasets: dict[str, Dataset]) -> Iterator[str]:
        for name, dataset in datasets.items():
            for asset, spec in dataset.assets.items():
                entry = self.objects.at(tree, f"datasets/{name}/{spec.mock}")
                if entry is None:
                    yield f"dataset {name!r} names mock data {spec.mock!r} for {asset!r}, which are not there"
                elif not self._plain_data(entry):
                    yield (
                        f"dataset {name!r}: mock data {spec.mock!r} of {asset!r} are not plain files, at most"
                        f" {_MOST_MOCKS} (a link or a submodule is something else in every clone)"
                    )

    def _plain_data(self, entry: Entry) -> bool:
        if not entry.is_folder:
            return entry.mode in (FILE, PROGRAM)
        count = self.objects.count(entry.id, DEPTH, _MOST_MOCKS)
        few = count is not None and count <= _MOST_MOCKS
        return few and all(inner.mode in (FILE, PROGRAM) for _, inner in self.objects.files(entry.id))

    def site_faults(self, commit: str, now: float | None = None) -> tuple[str, ...]:
        """All that is wrong with the site's documents at a commit; `now`: with who could still change them then."""
        try:
            site = self.site(commit)
        except GitqueueError as error:
            return error.reasons
        able = None if now is None else valid_owners(site.people, now)
        if able is None or len(able) >= site.policy.approvals:
            return site.faults
        who = ", ".join(sorted(able)) or "none"
        few = f"approvals is {site.policy.approvals}, but owners whose key counts today are {who}: add an owner's key"
        return tuple(dict.fromkeys((*site.faults, few)))

    # signatures

    def signed(self, commit: str, people: People, received: float | None = None, relied: float = 0) -> Signed:
        """A commit with who signed it, as `people` and the operator's revocations count it; times as in Moment."""
        found = self.objects.commit(commit)
        try:
            made = _made(signatures.verify(found.raw))
        except (signatures.Unsigned, signatures.BadSignature) as error:
            return Signed(found, None, f"{error}{f' ({error.step})' if error.step else ''}")
        moment = Moment(found.date, found.date if received is None else received, relied)
        who = identify(people, made, moment, self._revoked)
        return Signed(found, None, who) if isinstance(who, str) else Signed(found, who)

    # requests

    def request(
        self, job: JobId, tip: str, approved: str, people: People, received: float | None = None, relied: float = 0
    ) -> Request:
        """The line of commits from `tip` down to the history of `approved`, whatever is wrong with it.

        `received` is the time of receipt, where it is known; else each commit's own date counts. `relied` is the time
        of the approval that builds on it.
        """
        ids, fork = self._line(tip, approved)
        commits = [self.objects.commit(commit) for commit in ids]
        touched = [(commit.id, path) for commit in commits for path in self._outside(job, commit)]
        merges = [commit.id for commit in commits if len(commit.parents) > 1]
        folder = self.objects.at(self.objects.commit(tip).tree, job.folder) if ids else None
        used = fork is not None and self.objects.holds(self.objects.commit(fork).tree, job.folder)
        line = tuple(self.signed(commit, people, received, relied) for commit in ids)
        tree = folder.id if folder and folder.is_folder else None
        return Request(job, tip, line, fork, tuple(touched), tuple(merges), tree, used, received)

    def _line(self, tip: str, approved: str) -> tuple[list[str], str | None]:
        """The first-parent line of `tip` before it meets the chain, and where it meets it."""
        chain = self._index(approved)
        ids: list[str] = []
        commit: str | None = tip
        while commit is not None and len(ids) <= LONGEST_REQUEST:
            ids.append(commit)
            chain.reach_further()
            met = next((at for at, known in enumerate(ids) if known in chain.seen), None)
            if met is not None:
                return ids[:met], ids[met]
            commit = next(iter(self.objects.commit(commit).parents), None)  # each is read for what it holds, too
        met = chain.find(ids)
        return (ids[:met], ids[met]) if met is not None else (ids[:LONGEST_REQUEST], None)

    def asked_at(self, head: str) -> str:
        """The revision that a pull request's head is, or, where it is a note on top of one, speaks of."""
        try:
            said = notes.parse_review(self.objects.commit(head).message).revision
        except ValueError:
            return head
        same = self.objects.is_commit(said) and self.objects.commit(said).tree == self.objects.commit(head).tree
        return said if same and self.objects.descends(head, said) else head

    def asked_by(self, tip: str, approved: str) -> JobId | None:
        """The one job whose folder the line of commits from the chain to `tip` changes; None where it is not one."""
        ids, fork = self._line(tip, approved)
        if not ids or fork is None:
            return None
        changed = self.objects.changes(self.objects.commit(fork).tree, self.objects.commit(tip).tree, 3)
        jobs = [path for path in changed if _is_job_folder(path)]
        return refs.job_id(jobs[0].removeprefix("jobs/")) if len(jobs) == 1 else None

    def _outside(self, job: JobId, commit: Commit) -> list[str]:
        if len(commit.parents) != 1:
            return []
        parent = self.objects.commit(commit.parents[0])
        changed = self.objects.changes(parent.tree, commit.tree, 3)
        return [path for path in changed if path != job.folder]

    def files(self, folder: str, site: Policy) -> tuple[tuple[File, ...], tuple[str, ...]]:
        """A job's files with their contents, or why they are not even looked at. Counts and sizes come first."""
        count = self.objects.count(folder, DEPTH, site.requests.files)
        if count is None:
            return (), (f"the job's folders are more than {DEPTH} deep: flatten them",)
        if count > site.requests.files:
            most = site.requests.files
            return (), (f"the job has more than {most} files: data and results do not belong into a request",)
        entries = list(self.objects.files(folder))
        sizes = [0 if entry.mode == SUBMODULE else self.objects.size(entry.id) for _, entry in entries]
        small = sum(sizes) <= site.requests.size
        read = [small and entry.mode in (FILE, PROGRAM) for _, entry in entries]
        return tuple(
            File(path, entry.mode, size, self.objects.blob(entry.id) if wanted else None)
            for (path, entry), size, wanted in zip(entries, sizes, read, strict=True)
        ), ()

    # the chain

    def links(self, old: str | None, new: str, clock: float, now: float | None = None) -> Iterator[Link]:
        """The commits of the chain after `old` up to `new`, oldest first, with all that judges them.

        `clock` is the chain's time at `old` (the latest date so far), `now` the time of receipt, which the gate knows.
        Raises Tampered when `old` is not on the first-parent line of `new`, and, at the gate, when they are too many.
        """
        after = self._after(old, new)
        if now is not None and len(after) > MOST_LINKS:
            raise NotAllowed(f"the push adds more than {MOST_LINKS} commits to approved: push them in parts")
        for commit in after:
            found = self.objects.commit(commit)
            clock = max(clock, found.date)
            # The gate's time, but never one before the chain's, or a replay could refuse what the gate has taken.
            yield self._link(found, new, clock if now is None else max(clock, now), now)

    def _after(self, old: str | None, new: str) -> list[str]:
        ids: list[str] = []
        for commit in self.objects.first_parents(new):
            if commit == old:
                return ids[::-1]
            ids.append(commit)
        if old is not None:
            raise Tampered(
                f"commit {old[:12]} is no longer on the first-parent line of approved at {new[:12]} (rewound,"
                " rewritten, or merged with swapped parents: an approval is made on approved by git merge -S --no-ff"
                " <the commit>)"
            )
        return ids[::-1]

    def _link(self, commit: Commit, chain: str, received: float, now: float | None) -> Link:
        """`chain` is any later tip: a request is older than its approval, so it meets both lines in one place."""
        previous = commit.parents[0] if commit.parents else None
        merged = self.revision(commit.parents[1]) if len(commit.parents) == 2 else None
        people = self.people(previous or commit.id)
        signed = self.signed(commit.id, people, received)
        changes = self._changes(commit, previous, merged)
        owners, bare = self._owners(previous), partial(Link, signed=signed, previous=previous, changes=changes)
        if len(commit.parents) < 2:
            return bare(owners=owners, site_faults=self._site_faults(signed, now))
        said, fault = self._talk(commit, merged, people, received)
        bare = partial(bare, owners=owners, notes=said, talk_fault=fault)
        if owners < 2 or any(path.startswith("jobs/") for path in changes):
            jobs = [refs.job_id(path[5:]) for path in changes if _is_job_folder(path)]
            if merged is None or len(jobs) != 1:
                return bare()
            return bare(request=self.request(jobs[0], merged, chain, people, relied=received))
        proposed = self.signed(merged or commit.parents[1], people, relied=received)
        return bare(proposal=Proposal(proposed), site_faults=self._site_faults(signed, now))

    def _changes(self, commit: Commit, previous: str | None, merged: str | None) -> Changes:
        """What a commit of the chain changes, three levels deep."""
        before = self.objects.commit(previous).tree if previous else EMPTY_TREE
        path, folder = self._asked(merged) if merged else ("", None)
        # A plain merge has the first parent's tree with the one folder in it, as its id tells without a look into it:
        # a long chain is verified in half the time.
        if folder is not None and self.objects.planted(before, path, folder) == commit.tree:
            return {path: (None, folder)}
        return self.objects.changes(before, commit.tree, 3)

    def _asked(self, revision: str) -> tuple[str, Entry | None]:
        """The one path that a revision changes, with what stands there then."""
        commit = self.objects.commit(revision)
        parent = commit.parents[0] if len(commit.parents) == 1 else revision
        changes = self.objects.changes(self.objects.commit(parent).tree, commit.tree, 3)
        path, (_, after) = next(iter(changes.items()), ("", (None, None)))
        return (path, after) if len(changes) == 1 else ("", None)

    def _owners(self, previous: str | None) -> int:
        """How many owners the policy at a commit asks for; the first commit is its founder's alone."""
        return self.site(previous).policy.approvals if previous else 1

    def _site_faults(self, signed: Signed, now: float | None) -> tuple[str, ...]:
        """Nobody's documents are parsed who may not write them."""
        signer = signed.signer
        may = signer is not None and (signer.has(OWNER) or signer.has(RECOVERY))
        return self.site_faults(signed.commit.id, now) if may else ()

    def _talk(
        self, commit: Commit, merged: str | None, people: People, received: float
    ) -> tuple[tuple[Note, ...], str]:
        """What was decided on the merged tree, oldest first, by the review commits that were merged with it; and what
        is wrong with them."""
        if merged in (None, commit.parents[1]):
            return (), ""
        try:
            said = self.thread(commit.parents[1], people, relied=received)
        except ValueError as error:
            return (), str(error)
        unknown = (note.signed for note in said if note.signed.signer is None)
        fault = next((f"review commit {one.commit.id[:12]} {one.fault}" for one in unknown), "")
        tree = self.objects.commit(commit.parents[1]).tree
        return tuple(note for note in reversed(said) if note.signed.commit.tree == tree), fault

    def revision(self, commit: str) -> str:
        """The revision that a commit stands for: itself, or what it names where it is a review commit."""
        found = self.objects.commit(commit)
        try:
            said = notes.parse_review(found.message)
        except ValueError:
            return commit
        if said.revision not in found.parents or not self.objects.is_commit(said.revision):
            return commit
        return said.revision if self.objects.commit(said.revision).tree == found.tree else commit

    def approval(self, job: JobId, commit: str, chain: str) -> Approval | None:
        """The approval of a job by a commit of the verified chain that ends in `chain`; None for any other commit."""
        if self._index(chain).find([commit]) is None:
            return None
        found = self.objects.commit(commit)
        folder = self.objects.at(found.tree, job.folder)
        if folder is None or len(found.parents) != 2:
            return None
        signed = self.signed(commit, self.people(found.parents[0]))
        by = signed.signer.name if signed.signer else ""
        return Approval(job, commit, self.revision(found.parents[1]), folder.id, by, found.date)

    def _index(self, chain: str) -> "_ChainIndex":
        if chain not in self._chains:
            while len(self._chains) >= _RECENT:  # a runner sees thousands of tips
                del self._chains[next(iter(self._chains))]
            self._chains[chain] = _ChainIndex(self.objects.first_parents(chain))
        return self._chains[chain]

    def brought(self, job: JobId, tip: str) -> str | None:
        """The newest commit of the chain that ends in `tip` which brought the job's folder in; None: none did."""
        if self._way is None or not self._way.goes_on(tip):
            self._way = _Line(self.objects, tip)
        return self._way.brought(job)

    # the conversation

    def thread(
        self, tip: str, people: People, until: str | None = None, received: float | None = None, relied: float = 0
    ) -> list[Note]:
        """The decisions from `tip` down to (and without) `until`, newest first; times as in Moment.

        Raises ValueError, with commit and reason, at the first commit that is no review commit.
        """
        found: list[Note] = []
        current: str | None = tip
        while current is not None and current != until:
            commit = current
            if len(found) >= _LONGEST_THREAD:
                raise ValueError(f"the conversation is longer than {_LONGEST_THREAD} commits")
            said, current = self._spoken(current)
            signed = self.signed(commit, people, received, relied)
            note = Note(
                signed,
                said.decision,
                said.revision,
                said.reason,
                said.outputs,
                said.at,
                said.files,
                said.tested,
                said.attempt,
            )
            found.append(note)
        if until is not None and current != until:
            raise ValueError("the review does not go on from what was said before: git fetch, then join it")
        return found

    def _spoken(self, commit: str) -> tuple[notes.ReviewText, str | None]:
        """What a review commit says, and the one before it."""
        found = self.objects.commit(commit)
        name = f"review commit {commit[:12]}"
        try:
            said = notes.parse_review(found.message)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from error
        if not self.objects.is_commit(said.revision) or self.objects.commit(said.revision).tree != found.tree:
            raise ValueError(f"{name} changes files, or names a revision that is not there: a review changes no file")
        former = [parent for parent in found.parents if parent != said.revision]
        joined = found.parents in ((said.revision,), (said.revision, *former[:1]), tuple(former[:1]))
        if not joined or len(former) > 1:
            raise ValueError(f"{name} must have the revision, and the former review, as its parents")
        return said, former[0] if former else None


def _is_job_folder(path: str) -> bool:
    parts = path.split("/")
    return len(parts) == 3 and parts[0] == "jobs" and all(refs.NAME.fullmatch(part) for part in parts[1:])


@lru_cache(maxsize=1024)
def _made(by: signatures.Signature) -> Made:
    return Made(by.key, by.fingerprint, f"{by.kind} {base64.b64encode(by.key).decode()}")


class _ChainIndex:
    """The first-parent line of a tip, walked from the top and only as far as was asked: most requests fork close by."""

    def __init__(self, line: Iterator[str]) -> None:
        self.seen: set[str] = set()
        self._rest = line

    def reach_further(self) -> None:
        self.seen.update(islice(self._rest, 64))

    def find(self, ids: list[str]) -> int | None:
        """The place of the first of `ids` that is on the line, however far down."""
        wanted = set(ids)
        if wanted & self.seen:
            return min(ids.index(commit) for commit in wanted & self.seen)
        for commit in self._rest:
            self.seen.add(commit)
            if commit in wanted:
                return ids.index(commit)
        return None


class _Line:
    """Which commit of a chain brought which job: read from the tip down as far as was asked, on as the tip moves."""

    def __init__(self, objects: Objects, tip: str) -> None:
        self._objects, self._tip = objects, tip
        self._rest = objects.first_parents(tip)
        self._brought: dict[JobId, str] = {}

    def brought(self, job: JobId) -> str | None:
        while job not in self._brought:
            commit = next(self._rest, None)
            if commit is None:
                return None
            for found in self._jobs(commit):
                self._brought.setdefault(found, commit)
        return self._brought[job]

    def goes_on(self, tip: str) -> bool:
        """Read on up to a later tip; False: it does not follow the one before, or not soon."""
        later: list[str] = []
        for commit in islice(self._objects.first_parents(tip), MOST_LINKS):
            if commit == self._tip:
                self._brought |= {job: one for one in reversed(later) for job in self._jobs(one)}
                self._tip = tip
                return len(self._brought) < _MOST_BROUGHT
            later.append(commit)
        return False

    def _jobs(self, commit: str) -> Iterator[JobId]:
        found = self._objects.commit(commit)
        before = self._objects.commit(found.parents[0]).tree if found.parents else EMPTY_TREE
        for path, (old, new) in self._objects.changes(before, found.tree, 3).items():
            if old is None and new is not None and _is_job_folder(path):
                yield refs.job_id(path.removeprefix("jobs/"))
