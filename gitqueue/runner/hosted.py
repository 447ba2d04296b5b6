"""A hosted site: look at the forge, take in what holds, put out what is the runner's own, and say what is wrong there.

The runner's refs at the forge (results, audit) are only what it put there itself. Whatever else stands there is not
believed, and not overwritten either: the line that puts it back is the operator's to run.

A slow forge must not keep the loop from its jobs: what waits for it happens in a thread, one thing at a time, and the
loop takes note of what came of it. While the thread is at work, what it has in hand is its own.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, wait
from time import monotonic, time

from gitqueue import refs
from gitqueue.adapters import git, mirror
from gitqueue.adapters.forge import Away, Forge
from gitqueue.errors import Tampered
from gitqueue.model import RefMove
from gitqueue.refs import Kind
from gitqueue.rules.pace import Pace
from gitqueue.runner.desk import Desk
from gitqueue.runner.intake import Intake, Shut

_PULLS_EVERY = 30.0  # seconds; the forge lists pull requests, of all years, only together with everything else
_OWN = (Kind.RESULT, Kind.AUDIT)


class Hosting:
    """What the runner has in hand of its forge. `shown` is what it said last, `tried` what was refused of it."""

    def __init__(self, desk: Desk, forge: Forge) -> None:
        self.desk, self.forge = desk, forge
        self._heard = False
        self._at_work: Future[Callable[[], bool]] | None = None
        self._to_say: list[str] = []
        self._put_out: str | None = ""  # where the audit stood when there was nothing to put out
        self._shut = Shut()
        self._stays: set[RefMove] = set()  # what gc closed, and the forge does not let go, or keep
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

    @property
    def busy(self) -> bool:
        return self._at_work is not None

    @property
    def answers(self) -> bool:
        """Whether it was heard of what is new there, the last time that it was asked."""
        return self._heard and self.trouble is None

    def look(self) -> bool:
        """Take note of what came of the last thing that was begun, and ask the forge when it is time; whether anything
        was taken in."""
        moved = self._settle()
        if not self.busy and monotonic() >= self._due:
            self._begin(self._visit)
        return moved

    def _begin(self, work: Callable[[], Callable[[], bool]]) -> None:
        """Have it done in the thread; what it returns is then called by the loop."""
        self._at_work = self.desk.away_pool.submit(work)
        self._at_work.add_done_callback(self.desk.wake)

    def _settle(self) -> bool:
        if self._at_work is None or not self._at_work.done():
            return False
        done, self._at_work, self._heard, self._put_out = self._at_work, None, True, ""
        while self._to_say:
            self.desk.say_once(self._to_say.pop(0))
        try:
            return done.result()()
        except Away as error:
            self._failed(error)
            return False

    def finish(self) -> None:
        """Before the runner ends: what is under way, and what is left to put out."""
        self._wait_for_it()
        self.put()
        self._wait_for_it()

    def _wait_for_it(self) -> None:
        if self._at_work is not None:
            wait([self._at_work])
            self._settle()

    def _visit(self) -> Callable[[], bool]:
        self._asked = monotonic()
        before = git.list_refs(self.desk.site.repository, refs.HEADS + Kind.REVIEW.value)
        self.shown = self._list()
        say = self._to_say.append
        room = self.desk.room()
        self._shut = self._shut.now(room)
        with self.forge.scratch() as scratch:
            intake = Intake(room, self.forge, self.shown, self.seen, before, self._shut, self.tried, scratch, say)
            moved = intake.take()
        return lambda: self._visited(moved, intake.wrong)

    def _visited(self, moved: bool, wrong: dict[str, str]) -> bool:
        self._judge({**wrong, **self._strange()})
        self._well(moved)
        return moved

    def _list(self) -> dict[str, str]:
        if monotonic() < self._pulls_asked + _PULLS_EVERY:
            return {name: tip for name, tip in self.shown.items() if refs.is_archive(name)} | self.forge.heads()
        found = self.forge.all_refs()
        self._pulls_asked = monotonic()
        return found

    # what is the runner's own

    def _strange(self) -> dict[str, str]:
        """Ref -> what is wrong, of the runner's own refs at the forge that are not where it put them."""
        mine, theirs = self._own(), {name: tip for name, tip in self.shown.items() if _is_own(name)}
        busy = {refs.result(job) for job in self.desk.busy}
        found: dict[str, str] = {}
        over = {name for name, tip in theirs.items() if self._shut.tips.get(name) == tip}
        for name in (mine.keys() | theirs.keys()) - busy - over:
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
        return git.list_refs(self.desk.site.repository, refs.AUDIT, refs.HEADS + Kind.RESULT.value, refs.ARCHIVE)

    def put(self) -> None:
        """Push what has moved here, unless the forge is in trouble, or at work: then after the next look."""
        if self.busy or self.trouble is not None or not self.shown:
            return
        audit = self.desk.premises.queue.ref(refs.AUDIT)
        if audit == self._put_out:  # whatever the runner moves, it moves the audit after it
            return
        if moves := list(self._moves()):
            self._begin(lambda: self._push(moves))
        else:
            self._put_out = audit

    def _push(self, moves: list[RefMove]) -> Callable[[], bool]:
        there = self.forge.put(moves)
        return lambda: self._pushed(moves, there)

    def _pushed(self, moves: list[RefMove], there: Mapping[str, str]) -> bool:
        for move in moves:
            self._note(move, there.get(move.name))
        mirror.keep(self.desk.site, self.seen)
        refused = [move for move in moves if there.get(move.name) == move.old]
        stays = {move for move in refused if move.new is None or refs.is_archive(move.name)}
        if stays - self._stays:
            self.desk.say_once(
                f"the forge does not let the runner close jobs there, which gc closed here: {_names(stays)}"
            )
        self._stays |= stays
        if hard := set(refused) - stays:
            raise Away(f"the forge takes no push of {_names(hard)}", step="may the runner push there?")
        return False

    def _moves(self) -> Iterator[RefMove]:
        mine = self._own()
        kept = {name for name in mine if refs.is_archive(name)}
        # What gc closed goes from the forge when its archive has it.
        if {name: mine[name] for name in kept} != self._shut.archive:
            self._shut = self._shut.now(self.desk.premises)
        closed = self._closed() if all(self.shown.get(name) == mine[name] for name in kept) else set()
        for name in mine.keys() | self.seen.put.keys() | closed:
            theirs = self.shown.get(name)
            move = RefMove(name, theirs, mine.get(name))
            if theirs == move.new:
                self._note(move, theirs)
            elif move in self._stays:
                continue
            elif name in closed or (name in mine and self._fits(name, move.new, theirs)):
                yield move

    def _closed(self) -> set[str]:
        """Refs at the forge that stand where gc closed them, and that the runner has no more."""
        there = {name for name, tip in self._shut.tips.items() if self.shown.get(name) == tip}
        return {name for name in there if self.desk.premises.queue.ref(name) is None}

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


def _names(moves: Iterable[RefMove]) -> str:
    return ", ".join(sorted(move.name for move in moves)[:3])


def _is_own(name: str) -> bool:
    ref = refs.parse(name)
    return refs.is_archive(name) or (ref is not None and ref.kind in _OWN)
