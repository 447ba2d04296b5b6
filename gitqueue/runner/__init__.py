"""The runner: one loop that reconciles what the refs want with what is there. Woken by the hook, else by a poll.

State is observed, never kept: the chain says what may run, the vault what was claimed, the spool what runs. A pass is
`LOOK`, then `ACT` and `BEGIN`: `watch` looks, `work` and `ahead` act, each on the `desk`; `service` makes the loop a
service. Where a forge hosts the site, `hosted` asks it beside the passes, and puts out what came of them.
"""

from collections.abc import Callable

from gitqueue.adapters import git
from gitqueue.adapters.git import GitFailed
from gitqueue.adapters.judge import Judge
from gitqueue.adapters.settings import Site
from gitqueue.adapters.wake import Bell
from gitqueue.errors import GitqueueError
from gitqueue.runner import ahead, delivery, service, upkeep, watch, work
from gitqueue.runner.desk import Cap, Desk
from gitqueue.runner.hosted import Hosting
from gitqueue.runner.meters import metered
from gitqueue.runner.service import install, runner_of
from gitqueue.runner.words import Say, chosen

__all__ = ["chosen", "install", "runner_of", "serve"]

POLL = 5.0
LOOK: tuple[Callable[[Desk], object], ...] = (watch.settle, watch.verify_chain)
ACT: tuple[Callable[[Desk], object], ...] = (
    watch.sweep,
    watch.scan,
    watch.look,
    work.attend,
    delivery.put,
)
# What a revocation or a word that waits at the forge may forbid, and what cannot be claimed there while it is away.
BEGIN: tuple[Callable[[Desk], object], ...] = (work.start, ahead.begin)


def serve(site: Site, say: Say, once: bool, cap: Cap = lambda settings: settings) -> GitqueueError | None:
    """Be the site's runner until stopped; `once`: until nothing is left to do now. The alarm, or why the forge cannot
    be reached, if either.

    `cap` lowers what the operator's settings allow, for as long as this runner serves.
    """
    mine = git.movers(site.repository, site.vault)
    with service.only_one(site), Bell(site.socket) as bell, Judge(site.private) as judge, mine:
        desk = Desk(site, say, cap)
        with metered(None if once else desk.settings.metrics, desk.stands) as desk.meters:
            desk.premises.executor.prepare()
            hosting = Hosting(desk, desk.premises.forge) if desk.premises.forge else None
            stop = service.Stop(desk)
            service.unlock(desk)
            service.tell(desk, "READY=1")
            while not stop.over():
                if not once:
                    judge.keep()
                if not _pass(desk, hosting, once) and once and _idle(desk, hosting):
                    break
                service.tell(desk)
                if bell.wait(_until(desk), stop.fd, desk.done) and hosting:
                    hosting.poke()
            service.tell(desk, "STOPPING=1")
            _close(desk, hosting)
        trouble = desk.alarm or desk.foreign or (hosting.trouble if hosting else None)
        return trouble or (desk.unfinished() if once else None)


def _pass(desk: Desk, hosting: Hosting | None, once: bool) -> bool:
    """Look, and act; whether anything was begun. A full disk, or whatever else the machine denies, is said, and tried
    again: a runner that ended there would be no better off."""
    try:
        desk.reread()
        desk.settle()
        begun: list[object] = [hosting.look()] if hosting else []
        begun += [step(desk) for step in LOOK]
        if desk.chain.tip:  # else nobody's word counts, and nothing of the site is known
            begun += [step(desk) for step in ACT]
            if not hosting or hosting.answers:
                begun += [step(desk) for step in BEGIN]
            if not once:
                upkeep.daily(desk)
        if hosting:
            hosting.put()
        desk.well()
        return any(flag is True for flag in begun)
    except (OSError, GitFailed) as error:
        if once:
            raise
        desk.unwell(error)
        return False


def _idle(desk: Desk, hosting: Hosting | None) -> bool:
    return desk.idle() and not (hosting and hosting.busy)


def _close(desk: Desk, hosting: Hosting | None) -> None:
    desk.pool.shutdown()
    desk.ahead_pool.shutdown()
    watch.settle(desk)
    if desk.chain.tip:
        watch.look(desk)
    desk.tips.keep()
    if desk.chain.tip:
        delivery.flush(desk)
    if hosting:
        hosting.finish()
    desk.away_pool.shutdown()


def _until(desk: Desk) -> float:
    """How long to wait for a ring, or for the end of a step: a supervisor that dies rings no bell."""
    return POLL if desk.idle() else desk.premises.executor.PAUSE
