"""A hosted site: look at the forge, take in what holds, put out what is the runner's own, and say what is wrong there.

The runner's refs at the forge (results, audit) are only what it put there itself. Whatever else stands there is not
believed, and not overwritten either: the line that puts it back is the operator's to run.
"""

import random
from collections.abc import Iterator
from time import monotonic, time

from gitqueue import refs
from gitqueue.adapters import git, mirror
from gitqueue.adapters.forge import Away, Forge
from gitqueue.errors import Tampered
from gitqueue.model import RefMove
from gitqueue.refs import Kind
from gitqueue.rules.pace import Pace
from gitqueue.runner.desk import Desk
from gitqueue.runner.intake import Intake

_PULLS_EVERY = 30.0  # seconds; the forge lists pull requests, of all years, only together with everything else
_OWN = (Kind.RESULT, Kind.AUDIT)


class Hosting:
    """What the runner has in hand of its forge. `shown` is what it said last, `tried` what was refused of it."""

    def __init__(self, desk: Desk, forge: Forge) -> None:
        self.desk, self.forge = desk, forge
        self.seen = mirror.recall(desk.site)
        self.shown: dict[str, str] = {}
        self.tried: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {}
        self.pace = Pace()
        self.trouble: Away | None = None
        self._asked = self._pulls_asked = float("-inf")
        self._due = float("-inf")

    def poke(self) -> None:
        """Somebody rang: look again soon."""
        soon = self.pace.poked()
        if soon is not None:
            self._due = min(self._due, self._asked + soon)

    def look(self) -> bool:
        """Ask the forge when it is time; whether anything was taken in."""
        if monotonic() < self._due:
            return False
        try:
            moved = self._take()
        except Away as error:
            self._failed(error)
            return False
        self._well(moved)
        return moved

    def _take(self) -> bool:
        self._asked = monotonic()
        before = git.list_refs(self.desk.site.repository, refs.HEADS + Kind.REVIEW.value)
        self.shown = self._list()
        with self.forge.scratch() as scratch:
            intake = Intake(
                self.desk.premises, self.forge, self.shown, self.seen, before, self.tried, scratch, self.desk.say_once
            )
            moved = intake.take()
        self._judge({**intake.wrong, **self._strange()})
        return moved

    def _list(self) -> dict[str, str]:
        if monotonic() < self._pulls_asked + _PULLS_EVERY:
            return self.forge.heads()
        found = self.forge.all_refs()
        self._pulls_asked = monotonic()
        return found

    # what is the runner's own

    def _strange(self) -> dict[str, str]:
        """Ref -> what is wrong, of the runner's own refs at the forge that are not where it put them."""
        mine, theirs = self._own(), {name: tip for name, tip in self.shown.items() if _is_own(name)}
        busy = {refs.result(job) for job in self.desk.busy}
        found: dict[str, str] = {}
        for name in (mine.keys() | theirs.keys()) - busy:
            if not self._fits(name, mine.get(name), theirs.get(name)):
                there = f"stands at {theirs[name][:12]}" if name in theirs else "has gone from the forge"
                found[name] = f"{name} {there}, and the runner did not put it there"
        return found

    def _fits(self, name: str, mine: str | None, theirs: str | None) -> bool:
        """Whether a ref stands where it was put, or further on the way to where it is here."""
        last = self.seen.put.get(name)
        if theirs in (mine, last):
            return True
        descends, has = self.desk.premises.objects.descends, self.desk.premises.objects.has
        known = mine is not None and theirs is not None and has(theirs) and descends(mine, theirs)
        return known and (last is None or descends(theirs or "", last))

    def _own(self) -> dict[str, str]:
        return git.list_refs(self.desk.site.repository, refs.AUDIT, refs.HEADS + Kind.RESULT.value)

    def put(self) -> None:
        """Push what has moved here, unless the forge is in trouble: then with the next look."""
        if self.trouble is not None or not self.shown:
            return
        moves = list(self._moves())
        if not moves:
            return
        try:
            there = self.forge.put(moves)
        except Away as error:
            self._failed(error)
            return
        for move in moves:
            self._note(move, there.get(move.name))
        mirror.keep(self.desk.site, self.seen)
        refused = [move.name for move in moves if there.get(move.name) == move.old]
        if refused:
            self._failed(
                Away(f"the forge takes no push of {', '.join(refused[:3])}", step="may the runner push there?")
            )

    def _moves(self) -> Iterator[RefMove]:
        mine = self._own()
        for name in mine.keys() | {name for name in self.seen.put if name not in mine}:
            theirs = self.shown.get(name)
            if theirs == mine.get(name):
                self._note(RefMove(name, theirs, theirs), theirs)
            elif self._fits(name, mine.get(name), theirs):
                yield RefMove(name, theirs, mine.get(name))

    def _note(self, move: RefMove, there: str | None) -> None:
        for known in (self.seen.put, self.shown):
            if there != move.new:
                continue
            if there is None:
                known.pop(move.name, None)
            else:
                known[move.name] = there

    # what is said of it

    def _judge(self, wrong: dict[str, str]) -> None:
        """Say, once each, what does not hold, with the line that puts it back."""
        texts = [f"{why}\nnext: {self._back(name)}" for name, why in sorted(wrong.items())]
        for text in texts:
            self.desk.announce("\n".join(f"gitqueue: {line}" for line in text.splitlines()))
        self.desk.foreign = Tampered(*(line for text in texts for line in text.splitlines())) if texts else None
        self.seen.wrong = texts

    def _back(self, name: str) -> str:
        tip = self.seen.put.get(name) if _is_own(name) else git.list_refs(self.desk.site.repository, name).get(name)
        return self.forge.restore(name, self.shown.get(name), tip)

    def _well(self, moved: bool) -> None:
        if self.trouble is not None:
            self.desk.say("the forge answers again")
        self.trouble, self.seen.trouble, self.seen.heard = None, "", time()
        self.pace = self.pace.news() if moved else self.pace.nothing()
        self._wait()

    def _failed(self, error: Away) -> None:
        text = "; ".join(error.reasons)
        if text != self.seen.trouble:
            self.desk.say("\n".join(error.lines()))
        self.trouble, self.seen.trouble = error, text
        self.pace = self.pace.trouble()
        self._wait()

    def _wait(self) -> None:
        self._due = monotonic() + self.pace.wait(random.random())
        mirror.keep(self.desk.site, self.seen)


def _is_own(name: str) -> bool:
    ref = refs.parse(name)
    return ref is not None and ref.kind in _OWN
