"""Operate: what the site's operator does beside its data: binding them, and finding out what is wrong."""

import os
import pwd
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import time
from typing import Any

from gitqueue.adapters import checks, data, environment, git, limits, mirror, resources, sandbox, vault
from gitqueue.adapters.accounts import SANDBOX_USER, close_line, close_to, make_user, make_user_line
from gitqueue.adapters.edit import edit
from gitqueue.adapters.files import write_atomic
from gitqueue.adapters.history import History
from gitqueue.adapters.objects import Objects
from gitqueue.adapters.premises import Premises
from gitqueue.adapters.queue import Job, Queue
from gitqueue.adapters.settings import Site
from gitqueue.errors import GitqueueError, Mistake, OperatorNeeded
from gitqueue.rules import policy, schedule
from gitqueue.rules.authority import OWNER
from gitqueue.rules.documents import nearest
from gitqueue.rules.lifecycle import State


def bind(site: Site, name: str, assets: Mapping[str, Path]) -> None:
    """Say where a dataset's real data lie. Raises Mistake or OperatorNeeded where they could not be used."""
    queue = Queue(History(Objects(site.repository)))
    known = queue.history.site(queue.approved).datasets
    if name not in known:
        raise Mistake(f"there is no dataset {name!r}{nearest(name, known)}", step="gitqueue dataset list")
    wrong = [
        f"{name} has no asset {asset!r}{nearest(asset, known[name].assets)}"
        for asset in assets
        if asset not in known[name].assets
    ]
    if wrong:
        raise Mistake(*wrong, step=f"gitqueue dataset show {name}")
    _write(site, name, assets)
    for path in assets.values():
        _must_be_readable(site, path)


def _write(site: Site, name: str, assets: Mapping[str, Path]) -> None:
    def alter(settings: Any) -> None:
        bound = settings["data"] if settings.get("data") else {}
        settings["data"] = bound
        bound.setdefault(name, {}).update({asset: str(path) for asset, path in assets.items()})

    text = edit(site.settings_file.read_bytes(), alter)
    policy.parse_runner(text)
    write_atomic(site.settings_file, text)


def _must_be_readable(site: Site, path: Path) -> None:
    premises = Premises(site, site.settings())
    uid, gid = premises.sandbox_user
    faults = data.readable_by(path, os.geteuid() if uid is None else uid, os.getegid() if gid is None else gid)
    if faults:
        user = premises.settings.sandbox.user if uid is not None else pwd.getpwuid(os.geteuid()).pw_name
        lines = data.remedy(path, user or "") if path.exists() else ()
        raise OperatorNeeded(*faults, step="; ".join(lines) or f"put the data at {path}")


# doctor


@dataclass(frozen=True, slots=True)
class Ailment:
    """One thing that is wrong at a site, how to mend it, and what mends it (None: only a person can).

    Not `grave`: the site works, with a protection less.
    """

    what: str
    remedy: str
    mend: Callable[[], None] | None = None
    grave: bool = True


def examine(site: Site, python: str) -> tuple[Ailment, ...]:
    """Everything that keeps the site from working as it should; `python` is the interpreter that its hooks call."""
    found: list[Ailment] = []
    for look in (_programs, _pythons, _accounts, _sandbox, _weaker, _data, _chain, _keys):
        try:
            found += look(site)
        except GitqueueError as error:
            found += [Ailment(reason, error.step) for reason in error.reasons]
    return (*found, *_configuration(site), *_hooks(site, python))


def _programs(_: Site) -> Iterator[Ailment]:
    if git.version()[:2] < git.OLDEST:
        have = ".".join(map(str, git.version()))
        yield Ailment(
            f"git is {have}; {'.'.join(map(str, git.OLDEST))} is the oldest that will do", "apt-get install git"
        )


def _pythons(site: Site) -> Iterator[Ailment]:
    """What the checks of outputs run with, and what policy lets environments be built with."""
    queue = Queue(History(Objects(site.repository)))
    wanted = queue.history.site(queue.approved).policy.dependencies
    built = () if wanted.policy == "none" else (partial(environment.interpreter, wanted.python),)
    for find in (checks.python, *built):
        try:
            find()
        except OperatorNeeded as error:
            yield Ailment("; ".join(error.reasons), error.step)


def _accounts(site: Site) -> Iterator[Ailment]:
    if os.geteuid() != 0:
        yield Ailment(
            "the runner is not root, so jobs have no account of their own: what breaks out of its sandbox is this "
            "account, and reaches the vault, the runner's key and all that this account may read",
            "start the runner as root: it runs jobs as the account gitqueue-sandbox; the sandbox's walls are the same",
            grave=False,
        )
        return
    user = site.settings().sandbox.user or SANDBOX_USER
    try:
        pwd.getpwnam(user)
    except KeyError:
        yield Ailment(
            f"there is no account {user!r} for jobs to run as", make_user_line(user), partial(make_user, user)
        )


def _sandbox(site: Site) -> Iterator[Ailment]:
    uid, gid = Premises(site, site.settings()).sandbox_user
    for problem in sandbox.problems(uid, gid):
        yield Ailment(problem, "")
    if uid is not None and gid is not None:
        if not data.readable_by(site.repository / "HEAD", uid, gid):
            user = pwd.getpwuid(uid).pw_name
            what = f"the account {user!r}, which jobs run as, can read the site's repository from outside its sandbox"
            yield Ailment(what, close_line(site, user), partial(close_to, site, user), grave=False)
        for fault, line in data.closed_to(site.spool, uid, gid):
            yield Ailment(fault, line)


def protections(site: Site) -> tuple[tuple[str, str], ...]:
    """By what a job is held here: who it is, and each limit; what is weaker says so. As a run's record has it.

    For a runner that is started from here: systemd may give it other control groups. Raises OperatorNeeded where there
    is no account for jobs.
    """
    uid, _ = Premises(site, site.settings()).sandbox_user
    who = f"uid {uid}, an account of its own" if uid else f"uid {os.geteuid()}, the runner's, in a user namespace"
    return (("account", who), *limits.enforced(limits.prospect()))


def _weaker(site: Site) -> Iterator[Ailment]:
    held = protections(site)
    weak = [name for name, by in held if by.startswith("weaker")]
    if weak:
        what = f"no control group holds {', '.join(weak)}: many processes together can outrun what holds them instead"
        yield Ailment(what, limits.remedy(), grave=False)


def _data(site: Site) -> Iterator[Ailment]:
    queue = Queue(History(Objects(site.repository)))
    bound = site.settings().data
    for name, spec in queue.history.site(queue.approved).datasets.items():
        for asset in spec.assets:
            if asset not in bound.get(name, {}):
                yield Ailment(
                    f"nobody has said where {name}/{asset} lies", f"gitqueue dataset bind {name} {asset}=PATH"
                )
                continue
            try:
                _must_be_readable(site, Path(bound[name][asset]))
            except OperatorNeeded as error:
                yield Ailment("; ".join(error.reasons), error.step)


def _chain(site: Site) -> Iterator[Ailment]:
    queue = Queue(History(Objects(site.repository)))
    for fault in queue.history.site(queue.approved).faults:
        yield Ailment(fault, "an owner mends it with a site change")
    first = list(queue.objects.first_parents(queue.approved))[-1]
    if first != site.settings().root:
        yield Ailment(f"the chain begins with {first[:12]}, not with the pinned root", "restore the site from a backup")


_SOON = 60 * 86400


def _keys(site: Site) -> Iterator[Ailment]:
    for warning in key_warnings(Queue(History(Objects(site.repository))), time()):
        yield Ailment(warning, "gitqueue person add OWNER --key NEW.pub, in an owner's clone")


def key_warnings(queue: Queue, now: float) -> tuple[str, ...]:
    """That the last owner's last key ends soon: after that nobody can approve, or mend it."""
    owners = [person for person in queue.people.values() if OWNER in person.roles]
    ends = [min(key.until_at, key.revoked_at) for person in owners for key in person.keys if key.valid_at(now)]
    last = max(ends, default=0)
    if last > now + _SOON:
        return ()
    day = datetime.fromtimestamp(last, UTC).date().isoformat() if last else "already"
    return (f"the last owner's key ends {day}: after that nobody can approve, or add a key",)


def _configuration(site: Site) -> Iterator[Ailment]:
    for repository in (site.repository, site.vault):
        there = git.configuration(repository)
        wrong = [name for name, value in git.HARDENED.items() if there.get(name.lower()) != value]
        if wrong:
            what = f"{repository.name} has settings that are not as hardened as they were: {', '.join(wrong)}"
            yield Ailment(what, "gitqueue doctor --fix", partial(git.configure, repository, git.HARDENED))


def _hooks(site: Site, python: str) -> Iterator[Ailment]:
    for name in resources.SITE_HOOKS:
        target = site.repository / "hooks" / name
        sound = target.is_file() and target.read_text() == resources.hook(name, python) and os.access(target, os.X_OK)
        if not sound:
            what = f"the hook {name} is not the one of this gitqueue"
            yield Ailment(what, "gitqueue doctor --fix", partial(resources.install_hook, site.repository, name, python))


# status


def standing(site: Site) -> dict[str, Any]:
    """What `status` shows: the site, its chain's tip, how many jobs stand where, and why each waiting one waits."""
    premises = Premises(site, site.settings())
    queue = premises.queue
    jobs = queue.jobs()
    counts: dict[str, int] = {}
    for job in jobs:
        counts[str(job.state)] = counts.get(str(job.state), 0) + 1
    return {
        "site": queue.history.site(queue.approved).policy.site,
        "approved": queue.approved,
        "root": site.settings().root,
        "jobs": counts,
        "forge": _forge(premises),
        "warnings": [*key_warnings(queue, time()), *_forge_warnings(site)],
        "waiting": _waiting(premises, jobs),
    }


def _forge(premises: Premises) -> dict[str, Any] | None:
    """Where the site is hosted, and when that last answered; None for a site that is its own host."""
    if premises.forge is None:
        return None
    heard = mirror.recall(premises.site).heard
    return {"url": premises.forge.url, "heard_at": datetime.fromtimestamp(heard, UTC).isoformat() if heard else None}


def _forge_warnings(site: Site) -> Iterator[str]:
    seen = mirror.recall(site)
    if seen.trouble:
        yield f"{seen.trouble}; it is tried again"
    yield from seen.wrong


def _waiting(premises: Premises, jobs: Sequence[Job]) -> list[dict[str, str]]:
    """Approved jobs that do not run yet, in the order of their approval, each with the reason."""
    room = schedule.Room(
        jobs=premises.settings.executor.jobs,
        quota=premises.history.site(premises.queue.approved).policy.quota,
        running=Counter(job.id.requester for job in jobs if job.state is State.RUNNING),
        started=Counter(one.job.requester for one in vault.claims(premises.vault) if one.at > time() - schedule.DAY),
        doubts={job.id: job.doubt for job in jobs if job.suspended},
        paused=premises.site.paused,
    )
    waiting = [job for job in jobs if job.state in (State.APPROVED, State.SUSPENDED)]
    commits = {job.id: premises.queue.approval(job.id) for job in waiting}
    waiting.sort(key=lambda job: commit.date if (commit := commits[job.id]) else 0)
    return [{"job": str(job.id), "why": schedule.why(job.id, room) or "the runner takes it up next"} for job in waiting]
