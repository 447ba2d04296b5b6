"""What the runner's loop costs by how much was done before: a pass beside few and many finished jobs; its memory."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from gitqueue import refs
from gitqueue.adapters import vault, wake
from gitqueue.adapters.git import move_refs
from gitqueue.adapters.premises import Premises
from gitqueue.adapters.settings import Site
from gitqueue.model import RefMove
from gitqueue.refs import JobId
from gitqueue.rules.lifecycle import Reason, State
from gitqueue.rules.notes import ResultText

RINGS, PAUSE = 300, 0.02
Serving = Callable[[], "AbstractContextManager[Popen[bytes]]"]


@dataclass(frozen=True)
class Memory:
    """MiB that are in memory, after so many jobs."""

    done: int
    held: float


def finish(site: Site, approved: dict[JobId, str]) -> None:
    """Give approved jobs (by the commits that approve them) the claims and results of runs that failed, all at once."""
    premises = Premises(site, site.settings())
    now, claims, results = time.time(), list[RefMove](), list[RefMove]()
    with premises.vault.together(), premises.objects.together():
        nothing = premises.vault.write_tree(())
        for job, approval in approved.items():
            values = {"Job": job, "Attempt": 1, "Approval": approval}
            tree, tip = premises.objects.commit(approval).tree, approval
            for text in (ResultText(State.RUNNING, 1), ResultText(State.FAILED, 1, Reason.EXIT)):
                tip = premises.commit(premises.objects, tree, [tip], text.message(job), now)
            noted = premises.vault_commit(nothing, [], f"announce {job}", {**values, vault.ANNOUNCED: tip}, now)
            claims.append(RefMove(refs.claim(job, 1), None, noted))
            results.append(RefMove(refs.result(job), None, tip))
    move_refs(site.vault, claims)
    move_refs(site.repository, results)


def of_a_pass(site: Site, serving: Serving) -> float:
    """Milliseconds of processor time of one pass with nothing to do, in the mean of RINGS."""
    with serving() as runner:
        _quiet(runner.pid)
        before = spent(runner.pid)
        for _ in range(RINGS):
            wake.wake(site.socket)
            time.sleep(PAUSE)
        return (spent(runner.pid) - before) * 1000 / RINGS


def _quiet(process: int) -> None:
    """Wait until the first look at everything is over."""
    last = -1.0
    while spent(process) != last:
        last = spent(process)
        time.sleep(1)


def of_jobs(log: Path, serving: Serving, marks: tuple[int, ...]) -> Iterator[Memory]:
    """What is held when so many of the jobs that wait are completed."""
    with serving() as runner:
        for mark in marks:
            while log.read_text().count("state=completed") < mark:
                time.sleep(0.5)
            yield Memory(mark, memory(runner.pid))


def spent(process: int) -> float:
    """Seconds of processor time so far, its children's included."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(int(one) for one in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def memory(process: int) -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if "VmRSS" in line).split()[1]) / 1024
