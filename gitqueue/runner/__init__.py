"""The runner: one loop that reconciles what the refs want with what is there. Woken by the hook, else by a poll.

State is observed, never kept: the chain says what may run, the vault what was claimed, the spool what runs. A pass is
`LOOK` and then `ACT`: `watch` looks, `work` and `ahead` act, each on the `desk`; `service` makes the loop a service.
Where a forge hosts the site, `hosted` asks it before each pass, and puts out what came of it after.
"""

from collections.abc import Callable

from gitqueue.adapters.judge import Judge
from gitqueue.adapters.settings import Site
from gitqueue.adapters.wake import Bell
from gitqueue.errors import GitqueueError
from gitqueue.runner import ahead, service, watch, work
from gitqueue.runner.desk import Cap, Desk, Say
from gitqueue.runner.hosted import Hosting
from gitqueue.runner.service import runner_of

__all__ = ["runner_of", "serve"]

POLL = 5.0
LOOK: tuple[Callable[[Desk], object], ...] = (watch.settle, watch.verify_chain)
ACT: tuple[Callable[[Desk], object], ...] = (
    watch.sweep,
    watch.scan,
    watch.look,
    work.attend,
    work.start,
    ahead.begin,
)


def serve(site: Site, say: Say, once: bool, cap: Cap = lambda settings: settings) -> GitqueueError | None:
    """Be the site's runner until stopped; `once`: until nothing is left to do now. The alarm, or why the forge cannot
    be reached, if either.

    `cap` lowers what the operator's settings allow, for as long as this runner serves.
    """
    with service.only_one(site), Bell(site.socket) as bell, Judge(site.private) as judge:
        desk = Desk(site, say, cap)
        desk.premises.executor.prepare()
        hosting = Hosting(desk, desk.premises.forge) if desk.premises.forge else None
        stop = service.Stop(desk)
        while not stop.over():
            if not once:
                judge.keep()
            desk.reread()
            desk.settle()
            begun: list[object] = [hosting.look()] if hosting else []
            begun += [step(desk) for step in LOOK]
            if desk.chain.tip:  # else nobody's word counts, and nothing of the site is known
                begun += [step(desk) for step in ACT]
            if hosting:
                hosting.put()
            if once and not any(flag is True for flag in begun) and desk.idle():
                break
            if bell.wait(_until(desk), stop.fd) and hosting:
                hosting.poke()
        desk.pool.shutdown()
        desk.ahead_pool.shutdown()
        watch.settle(desk)
        if desk.chain.tip:
            watch.look(desk)
        desk.tips.keep()
        if hosting:
            hosting.put()
        return desk.alarm or desk.foreign or (hosting.trouble if hosting else None)


def _until(desk: Desk) -> float:
    """How long to wait for a ring; short while a step is under way, whose end rings no bell."""
    return 0.01 if desk.busy else desk.premises.executor.PAUSE if not desk.idle() else POLL
