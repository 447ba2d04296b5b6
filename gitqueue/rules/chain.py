"""The chain: what makes a commit on `approved` an approval or a site change, and what makes a request one.

Pure. Who gathers the facts (`adapters/history`) reads only objects and signatures, so the verdict is the same at the
gate, at the runner and in anybody's clone.
"""

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass

from gitqueue.model import FOLDER, Entry
from gitqueue.refs import JobId
from gitqueue.rules.authority import FUTURE, OWNER, RECOVERY, REQUESTER, Note, Signed, late
from gitqueue.rules.lifecycle import Decision

Changes = Mapping[str, tuple[Entry | None, Entry | None]]
LONGEST_REQUEST = 200


@dataclass(frozen=True, slots=True)
class Request:
    """A request as its line of commits tells it, newest first.

    `fork` is the commit of the chain that it starts from (None: none was found within LONGEST_REQUEST commits);
    `touched` what its commits change outside its folder, as (commit id, path); `merges` its commits with more than one
    parent; `folder` the tree of its folder at the tip; `used` whether the fork's tree already held that folder;
    `received` when the site had it, None where nobody knows.
    """

    job: JobId
    tip: str
    line: tuple[Signed, ...]
    fork: str | None
    touched: tuple[tuple[str, str], ...]
    merges: tuple[str, ...]
    folder: str | None
    used: bool
    received: float | None = None

    @property
    def signers(self) -> frozenset[str]:
        return frozenset(signed.signer.name for signed in self.line if signed.signer)


def judge_request(request: Request) -> tuple[str, ...]:
    """All reasons against a request's history; its files are judged by `rules/tree`."""
    return tuple(reason for rule in _REQUEST for reason in rule(request))


def _starts_here(request: Request) -> tuple[str, ...]:
    if request.fork is not None or request.merges:
        return ()
    return (
        f"{request.job} does not start from this site's approved history (or is more than {LONGEST_REQUEST} commits"
        " away from it): git fetch, then git rebase origin/approved",
    )


def _no_merges(request: Request) -> tuple[str, ...]:
    return tuple(
        f"commit {commit[:12]} is a merge, which hides code from git log -p: git rebase origin/approved"
        for commit in request.merges[:3]
    )


def _signed_by_requester(request: Request) -> tuple[str, ...]:
    return tuple(filter(None, (_signer_fault(request, signed) for signed in request.line)))


def _signer_fault(request: Request, signed: Signed) -> str:
    name = f"commit {signed.commit.id[:12]}"
    if signed.signer is None:
        return f"{name} {signed.fault}"
    if signed.signer.name != request.job.requester:
        return (
            f"{name} is signed by {signed.signer.name}, but the branch is {request.job.requester}'s:"
            f" push to requests/{signed.signer.name}/{request.job.name}"
        )
    if not signed.signer.has(REQUESTER):
        return f"{name} is signed by {signed.signer.name}, who is no requester of this site: ask an owner"
    return ""


def _request_dates(request: Request) -> tuple[str, ...]:
    found = (signed.commit for signed in request.line if late(signed.commit, request.received))
    return tuple(f"commit {commit.id[:12]} {FUTURE}" for commit in found)[:3]


def _own_folder(request: Request) -> tuple[str, ...]:
    return tuple(
        f"commit {commit[:12]} touches {path!r}; a request touches {request.job.folder}/ alone: take it out"
        for commit, path in request.touched[:5]
    )


def _has_folder(request: Request) -> tuple[str, ...]:
    if request.folder is not None or request.fork is None:
        return ()
    return (f"the branch holds no folder {request.job.folder}/: put job.yaml and the code there, and commit",)


def _used_once(request: Request) -> tuple[str, ...]:
    if not request.used:
        return ()
    return (f"{request.job} was approved before and takes nothing more: changed code is a new job, with a new name",)


_REQUEST: tuple[Callable[[Request], tuple[str, ...]], ...] = (
    _starts_here,
    _no_merges,
    _signed_by_requester,
    _request_dates,
    _own_folder,
    _has_folder,
    _used_once,
)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A site change that comes as a request, where policy asks for more owners than one: one commit on the tip.

    `known` tells whether a request of its author stands there (None: nobody knows, in a replay).
    """

    signed: Signed
    known: bool | None = None

    @property
    def author(self) -> str:
        return self.signed.signer.name if self.signed.signer else ""


def judge_proposal(proposal: Proposal, on: str | None, owners: int) -> tuple[str, ...]:
    """All reasons against a proposed site change; `on` is the tip that it must stand on."""
    commit, signer = proposal.signed.commit, proposal.signed.signer
    name = f"commit {commit.id[:12]}"
    if owners < 2:
        return (f"{name} changes the site; one owner is enough here: push it to approved itself",)
    if signer is None or not signer.has(OWNER):
        return (f"{name} {proposal.signed.fault or f'is signed by {proposal.author}, who is no owner of this site'}",)
    if commit.parents != ((on,) if on else ()):
        return (f"{name} is not one commit on the present tip of approved: git fetch, git rebase origin/approved",)
    return ()


@dataclass(frozen=True, slots=True)
class Link:
    """One commit of the chain with all that judges it.

    `changes` is what differs between the first parent's tree and the commit's, at the depth of a job's folder.
    `request` is what the second parent asks for (None where it is no request). `tip` is the request's present tip,
    None where nobody knows (a closed job). `talk_fault` is what is wrong with the conversation that is merged with it;
    `notes` what was decided there on the merged tree, oldest first; `unheard` whether the site has decisions that it
    lacks. `proposal` is the site change that the second parent proposes (None where it is none), `owners` how many
    policy asks for. `site_faults` is what is wrong with the site's documents after the change. `spent` are jobs that
    were approved before; `unfinished` jobs whose folders must stay; `now` the time at the gate, None in a replay.
    """

    signed: Signed
    previous: str | None
    changes: Changes
    request: Request | None = None
    proposal: Proposal | None = None
    notes: tuple[Note, ...] = ()
    owners: int = 1
    unheard: bool = False
    talk_fault: str = ""
    tip: str | None = None
    site_faults: tuple[str, ...] = ()
    spent: Set[JobId] = frozenset()
    unfinished: Set[JobId] = frozenset()
    now: float | None = None

    @property
    def is_approval(self) -> bool:
        return len(self.signed.commit.parents) > 1 and self.proposal is None


@dataclass(frozen=True, slots=True)
class Approval:
    """One job that the chain approves: the merge, the revision that it approves, by whom, and when (seconds)."""

    job: JobId
    commit: str
    revision: str
    folder: str
    by: str
    at: int


@dataclass(frozen=True, slots=True)
class Chain:
    """A verified chain. `clock` is the latest date on it; `approvals` are those that whoever verifies still needs, in
    the chain's order; `spent` are all jobs that were approved."""

    tip: str | None = None
    clock: float = 0
    approvals: tuple[Approval, ...] = ()
    spent: frozenset[JobId] = frozenset()


def judge_link(link: Link) -> tuple[str, ...]:
    """All reasons against one commit on `approved`."""
    rules = _RECOVERY if _by_recovery_key(link) else _APPROVAL if link.is_approval else _SITE_CHANGE
    name = f"commit {link.signed.commit.id[:12]} on approved"
    return tuple(f"{name} {reason}" for rule in rules if (reason := rule(link)))


def _by_owner(link: Link) -> str:
    if link.signed.signer is None:
        return link.signed.fault
    if not link.signed.signer.has(OWNER):
        return f"is signed by {link.signed.signer.name}, who is no owner of this site"
    return ""


def _clock(link: Link) -> str:
    return FUTURE if late(link.signed.commit, link.now) else ""


def _two_parents(link: Link) -> str:
    if len(link.signed.commit.parents) == 2:
        return ""
    return "merges more than one request at once: an approval is a merge of exactly one"


def _a_request(link: Link) -> str:
    if link.request is None:
        return "merges something that is no request of this site"
    faults = judge_request(link.request)
    return f"approves what is no valid request: {'; '.join(faults)}" if faults else ""


def _not_ones_own(link: Link) -> str:
    if link.request is None or link.signed.signer is None:
        return ""
    if link.signed.signer.name in {link.request.job.requester, *link.request.signers}:
        return f"approves {link.request.job}, which {link.signed.signer.name} signed as requester: another owner may"
    return ""


def _present_tip(link: Link) -> str:
    if link.request is None or link.tip == link.request.tip:
        return ""
    if link.tip is None:  # in a replay it may be closed; at the gate nobody has judged its files
        return f"approves {link.request.job}, which is no request at this site" if link.now is not None else ""
    return (
        f"approves {link.request.job} at {link.request.tip[:12]}, but it has changed since and stands at"
        f" {link.tip[:12]}: git fetch, read what changed, and merge that"
    )


def _sound_talk(link: Link) -> str:
    return f"merges a conversation that does not hold: {link.talk_fault}" if link.talk_fault else ""


def _exact_tree(link: Link) -> str:
    if link.request is None or link.request.folder is None:
        return ""
    wanted = {link.request.job.folder: (None, Entry(FOLDER, link.request.job.name, link.request.folder))}
    if dict(link.changes) == wanted:
        return ""
    others = sorted(set(link.changes) - set(wanted))
    what = f"it also changes {others[0]!r}" if others else f"{link.request.job.folder} differs from the request's"
    return f"is not the plain merge of {link.request.job} ({what}): merge it without editing anything"


def _never_before(link: Link) -> str:
    if link.request is not None and link.request.job in link.spent:
        return f"approves {link.request.job} a second time: a job's name is used once and for ever"
    return ""


def _all_heard(link: Link) -> str:
    if not link.unheard or link.owners < 2:
        return ""
    return "leaves out decisions that the site has received: git fetch, and merge the tip of the reviews branch"


def _standing(link: Link) -> dict[str, Decision]:
    """Each other owner's newest word on the merged tree."""
    own = {link.request.job.requester, *link.request.signers} if link.request else set()
    return votes(link.notes, own)


def votes(notes: Iterable[Note], own: Set[str]) -> dict[str, Decision]:
    """Each owner's newest vote, by name; `own` are those whose request it is, who have none. People are counted, not
    keys."""
    found: dict[str, Decision] = {}
    for note in notes:
        signer = note.signed.signer
        if signer and signer.has(OWNER) and signer.name not in own and note.decision in _VOTES:
            found[signer.name] = note.decision
    return found


_VOTES = frozenset({Decision.ENDORSED, Decision.REJECTED, Decision.CHANGES_REQUESTED})


def _nobody_against(link: Link) -> str:
    merger = link.signed.signer.name if link.signed.signer else ""
    against = sorted(name for name, said in _standing(link).items() if said is Decision.REJECTED and name != merger)
    if link.owners < 2 or not against:
        return ""
    return f"goes against the rejection of {' and '.join(against)}, which stands: they endorse it first"


def _enough_owners(link: Link) -> str:
    if link.owners < 2 or _by_owner(link):
        return ""
    agreed = {name for name, said in _standing(link).items() if said is Decision.ENDORSED}
    agreed |= {signed.signer.name for signed in (link.signed, _author(link)) if signed and signed.signer}
    if len(agreed) >= link.owners:
        return ""
    names = ", ".join(sorted(agreed)) or "nobody"
    return (
        f"has the word of {len(agreed)} of {link.owners} owners ({names}): another owner endorses it first, and the"
        " merge is of the reviews branch (gitqueue approve does both)"
    )


def _author(link: Link) -> Signed | None:
    return link.proposal.signed if link.proposal else None


def _as_proposed(link: Link) -> str:
    commit = link.signed.commit
    if link.previous is None:
        return ""
    if link.proposal is None:
        return "" if len(commit.parents) == 1 else "merges something that is no request of this site"
    if len(commit.parents) != 2:
        return "merges more than one change at once"
    if link.proposal.signed.commit.tree != commit.tree:
        return "is not exactly the site change that was proposed: merge it without editing anything"
    if link.proposal.known is False:
        return "merges a site change that is no request at this site: push it as requests/<owner>/<name> first"
    faults = judge_proposal(link.proposal, link.previous, link.owners)
    return "; ".join(faults)


def _by_recovery_key(link: Link) -> bool:
    signer = link.signed.signer
    return signer is not None and signer.has(RECOVERY) and not signer.has(OWNER)


def _people_alone(link: Link) -> str:
    strange = sorted(set(link.changes) - {".gitqueue/people.yaml", ".gitqueue/allowed_signers"})
    if len(link.signed.commit.parents) == 1 and not strange:
        return ""
    what = repr(strange[0]) if strange else "a merge"
    return f"is signed with the recovery key, which may change people.yaml and nothing else ({what})"


def _no_jobs(link: Link) -> str:
    for path, (before, after) in link.changes.items():
        if path.split("/")[0] == "results":
            return f"touches {path!r}: results stand on their own branches"
        if path.split("/")[0] == "jobs" and not _is_removal(path, before, after):
            return f"touches {path!r}: a site change touches nothing under jobs/ (an approval is a merge: --no-ff)"
    return ""


def _is_removal(path: str, before: Entry | None, after: Entry | None) -> bool:
    return path.count("/") == 2 and before is not None and before.is_folder and after is None


def _finished_only(link: Link) -> str:
    gone = sorted(str(job) for job in link.unfinished if job.folder in link.changes)
    return f"removes {gone[0]}, which is not finished" if gone else ""


def _sound_site(link: Link) -> str:
    return f"leaves the site broken: {'; '.join(link.site_faults)}" if link.site_faults else ""


_Rule = Callable[[Link], str]
_APPROVAL: tuple[_Rule, ...] = (
    _by_owner,
    _clock,
    _two_parents,
    _a_request,
    _not_ones_own,
    _present_tip,
    _sound_talk,
    _exact_tree,
    _never_before,
    _all_heard,
    _nobody_against,
    _enough_owners,
)
_SITE_CHANGE: tuple[_Rule, ...] = (
    _by_owner,
    _clock,
    _as_proposed,
    _no_jobs,
    _finished_only,
    _sound_talk,
    _all_heard,
    _nobody_against,
    _enough_owners,
    _sound_site,
)
_RECOVERY: tuple[_Rule, ...] = (_clock, _people_alone, _sound_site)
