"""What the runner takes in from a forge: each ref judged by the gate, as if somebody had pushed it to this machine.

The chain first and commit by commit, each with the request and the conversation that it merges, because on a forge they
come together; then what else was asked and said; then the heads of pull requests.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from time import time

from gitqueue import refs
from gitqueue.adapters import git, journal, turn
from gitqueue.adapters.forge import Away, Forge
from gitqueue.adapters.history import MOST_LINKS, History
from gitqueue.adapters.mirror import Seen
from gitqueue.adapters.objects import Objects
from gitqueue.adapters.premises import Premises
from gitqueue.errors import GitqueueError
from gitqueue.model import RefMove
from gitqueue.refs import Kind
from gitqueue.steps import record
from gitqueue.steps.receive import Gate, judge

MOST_REFS = 50  # that one look fetches and judges; the next one goes on
MOST_PULLS = 20
_JUDGED_AGAIN = 200  # newest pull requests that a change of the site may let in
_BUTTON = (
    "a merge by the forge's button, squash, rebase or queue never counts, and nobody's push but an owner's signed one:"
    " put it back, then gitqueue approve"
)


@dataclass(frozen=True)
class Shut:
    """What gc closed, as the refs of the archive (name -> commit) tell it: ref -> where it stood."""

    archive: Mapping[str, str] = field(default_factory=dict)
    tips: Mapping[str, str] = field(default_factory=dict)

    def now(self, premises: Premises) -> "Shut":
        """The same, where the archive has not moved."""
        archive = git.list_refs(premises.site.repository, refs.ARCHIVE)
        if archive == self.archive:
            return self
        tips = (job.tips for job in premises.queue.archived().values())
        return Shut(archive, {name: tip for held in tips for name, tip in held.items()})


@dataclass
class Intake:
    """One look: `shown` is what the forge says (ref -> commit), `before` the conversations that it had before it was
    asked, `shut` what gc closed, `tried` what was refused: ref and commit -> where the chain stood then, and why.
    `wrong` are refs, with the reason, that do not hold and need somebody to put them back."""

    premises: Premises
    forge: Forge
    shown: dict[str, str]
    seen: Seen
    before: Mapping[str, str]
    shut: Shut
    tried: dict[tuple[str, str], tuple[str, tuple[str, ...]]]
    scratch: Path
    say: Callable[[str], None]
    wrong: dict[str, str] = field(default_factory=dict)
    moved: bool = False
    judged: int = 0

    def take(self) -> bool:
        """Take in all that holds; whether anything moved."""
        while self.judged < MOST_REFS and (self._chain() | self._asked_and_said()):
            pass
        self._refuse_chain()
        self._talk()
        self._pulls()
        return self.moved

    @cached_property
    def objects(self) -> Objects:
        """The mirror's, and what was fetched."""
        return Objects(self.premises.site.repository, beside=self.scratch)

    @cached_property
    def history(self) -> History:
        return History(self.objects, self.premises.settings.revoked)

    def _mine(self, name: str) -> str | None:
        return self.objects.ref(name)

    # the chain

    def _chain(self) -> bool:
        """Follow the chain as far as it holds."""
        moved = False
        for commit in self._links():
            self._bring(commit)
            move = RefMove(refs.APPROVED, self._mine(refs.APPROVED), commit)
            if self._faults(move):
                break
            self._accept(move, "forge")
            moved = True
        return moved

    def _links(self) -> Iterator[str]:
        """The commits of the forge's chain after ours, oldest first; its tip alone where that goes on from none."""
        mine, theirs = self._mine(refs.APPROVED), self.shown.get(refs.APPROVED)
        if theirs is None or theirs == mine:
            return
        tip = self._fetched(refs.APPROVED)
        after: list[str] = []
        for commit in self.objects.first_parents(tip):
            if commit == mine:
                yield from after[::-1][:MOST_LINKS]
                return
            after.append(commit)
        yield tip

    def _bring(self, commit: str) -> None:
        """Take in the request and the conversation that a commit of the chain merges, where they came with it: its
        requester may have gone on since, and an owner has signed for this revision."""
        parents = self.objects.commit(commit).parents
        if len(parents) != 2 or not self.objects.is_commit(parents[1]):
            return
        revision = self.history.revision(parents[1])
        job = self.history.asked_by(revision, self._mine(refs.APPROVED) or "")
        if job is None:
            return
        request, review = refs.request(job), refs.review(job)
        if self.shown.get(request) == revision or self._forward(request, revision):
            self._offer(RefMove(request, self._mine(request), revision))
        if parents[1] != revision and self._forward(review, parents[1]):
            self._offer(RefMove(review, self._mine(review), parents[1]))

    def _forward(self, name: str, commit: str) -> bool:
        mine = self._mine(name)
        return mine is None or self.objects.descends(commit, mine)

    def _offer(self, move: RefMove) -> None:
        if move.old != move.new and not self._faults(move):
            self._accept(move, "forge")

    def _refuse_chain(self) -> None:
        """What is left of the forge's chain does not hold."""
        mine, theirs = self._mine(refs.APPROVED), self.shown.get(refs.APPROVED)
        if theirs == mine or self.judged >= MOST_REFS:
            return
        if theirs is None:
            self.wrong[refs.APPROVED] = "approved has gone from the forge"
            return
        commit = next(self._links())
        move = RefMove(refs.APPROVED, mine, commit)
        reasons = self._faults(move)
        self._refuse(move, "forge", reasons)
        self.wrong[refs.APPROVED] = "\n".join(
            [f"the forge's approved is not believed: {why}" for why in reasons] + [_BUTTON]
        )

    # requests and conversations

    def _asked_and_said(self) -> bool:
        """Take in what was asked, then what was said of it."""
        kinds = {name: ref.kind for name in self.shown if (ref := refs.parse(name))}
        wanted = sorted(name for name, kind in kinds.items() if kind in (Kind.REQUEST, Kind.REVIEW))
        moved = [self._one(name) for name in wanted if self._is_new(name)]
        return any(moved)

    def _is_new(self, name: str) -> bool:
        key = (name, self.shown[name])
        stood, _ = self.tried.get(key, ("", ()))
        differs = self._mine(name) != self.shown[name] and stood != self._mine(refs.APPROVED)
        return differs and self.shut.tips.get(name) != self.shown[name] and self.judged < MOST_REFS

    def _one(self, name: str) -> bool:
        self.judged += 1
        try:
            tip = self._fetched(name)
        except Away as error:  # too large, or damaged: the others are served
            if not self._reachable():
                raise
            tip, reasons = self.shown[name], error.reasons
        else:
            reasons = self._faults(RefMove(name, self._mine(name), tip))
        move = RefMove(name, self._mine(name), tip)
        if not reasons:
            self._accept(move, "forge")
            return True
        self._refuse(move, "forge", reasons)
        self.tried[name, self.shown[name]] = (self._mine(refs.APPROVED) or "", reasons)
        return False

    def _talk(self) -> None:
        """Conversations that the forge has lost, or that do not hold there: nothing more is heard in them."""
        reviews = {name for name in self.shown if (ref := refs.parse(name)) and ref.kind is Kind.REVIEW}
        for name in self.before.keys() - reviews:
            self.wrong[name] = f"{name} has gone from the forge"
        for name in reviews:
            _, reasons = self.tried.get((name, self.shown[name]), ("", ()))
            # One that the mirror has none of (collected, or never taken in) is refused, and nothing was lost by it.
            if self._mine(name) not in (None, self.shown[name]) and reasons:
                self.wrong[name] = "\n".join(f"the forge's {name} is not believed: {why}" for why in reasons)

    # pull requests

    def _pulls(self) -> None:
        numbered = {number: name for name in self.shown if (number := refs.parse_pull(name))}
        wanted = (number for number in sorted(numbered, reverse=True) if self._pull_is_new(number, numbered))
        for number in islice(wanted, MOST_PULLS):
            self._pull(number, numbered[number])

    def _pull_is_new(self, number: int, numbered: Mapping[int, str]) -> bool:
        head, refused_at = self.seen.pulls.get(str(number), ("", ""))
        if head != self.shown[numbered[number]]:
            return True
        recent = number > max(numbered) - _JUDGED_AGAIN
        return bool(refused_at) and recent and refused_at != self._mine(refs.APPROVED)

    def _pull(self, number: int, name: str) -> None:
        """A pull request's head as its signer's request, with what they say on top of it as a note."""
        shown, sender = self.shown[name], f"pull/{number}"
        try:
            head = self._fetched(name)
            reasons = self._taken(head, sender)
        except Away as error:
            if not self._reachable():
                raise
            head, reasons = shown, error.reasons
        if reasons:
            self.say("\n".join(f"pull request {number}: {why}" for why in reasons))
        self.seen.pulls[str(number)] = (head, (self._mine(refs.APPROVED) or "") if reasons else "")

    def _reachable(self) -> bool:
        try:
            return bool(self.forge.heads())
        except Away:
            return False

    def _taken(self, head: str, sender: str) -> tuple[str, ...]:
        """Take a head in as request and note; the reasons against it."""
        revision = self.history.asked_at(head)
        job = self.history.asked_by(revision, self._mine(refs.APPROVED) or "")
        if job is None:
            return self._refuse(RefMove(sender, None, head), sender, ("it changes no one folder jobs/<you>/<job>/",))
        if self.shut.tips.get(refs.request(job)) == revision:
            return ()
        moves = [RefMove(refs.request(job), self._mine(refs.request(job)), revision)]
        if head != revision:
            moves.append(RefMove(refs.review(job), self._mine(refs.review(job)), head))
        for move in moves:
            if move.old == move.new:
                continue
            if reasons := self._faults(move):
                return self._refuse(move, sender, reasons)
            self._accept(move, sender)
        return ()

    # one ref

    def _fetched(self, name: str) -> str:
        """Fetch a ref, once; the forge may have moved it on since it listed it."""
        there = git.list_refs(self.scratch, name).get(name)
        if there is None:
            there = self.shown[name] = self.forge.fetch(self.scratch, name)
        return there

    def _faults(self, move: RefMove) -> tuple[str, ...]:
        return judge(Gate(self.history, self.premises.site.vault, time()), [move]).reasons

    def _accept(self, move: RefMove, sender: str) -> None:
        """Move the mirror's ref, and, where it came by a pull request, the forge's own."""
        site = self.premises.site
        self.forge.keep(self.scratch, move.new or "")
        if sender != "forge" and self.shown.get(move.name) != move.new:
            there = RefMove(move.name, self.shown.get(move.name), move.new)
            if not self.forge.push(there):
                raise Away(f"{move.name} moved at the forge at the same moment")
            self.shown[move.name] = move.new or ""
        with turn.taken(site.memory("gate.lock")):  # gc closes nothing in between
            if self.shut.now(self.premises) is not self.shut:
                raise Away("gc has closed jobs at the same moment", step="it is looked at again")
            journal.leave(site.inbox, record.word(self.history, record.Push([move], sender, ()), time()))
            if not git.move_refs(site.repository, [move]) and self._mine(move.name) != move.new:
                raise Away(f"{move.name} moved here at the same moment", step="it is looked at again")
        self.moved = True

    def _refuse(self, move: RefMove, sender: str, reasons: tuple[str, ...]) -> tuple[str, ...]:
        """Put the refusal into the audit, once for each commit that was refused."""
        key = (f"{sender} {move.name}", move.new or "")
        if key not in self.tried:
            self.tried[key] = ("", reasons)
            try:
                entry = record.word(self.history, record.Push([move], sender, reasons), time())
            except GitqueueError:
                return reasons
            journal.leave(self.premises.site.inbox, entry)
        return reasons
