"""Where jobs run: one file for each kind of place. A place is this protocol and nothing more.

What a job's state is lies in its folder (and, of a cluster, in its queue), never in the runner: an executor of a new
process, given the same folders, finds all of it again.
"""

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from gitqueue.model import Plan
    from gitqueue.rules import policy

# `absent`: never started; `running`: on its way, or nobody can tell; `ended`: there is a record; `dead`: it will never
# leave one, and nothing of it runs any more.
Standing = Literal["absent", "running", "ended", "dead"]


class Executor(Protocol):
    """A place for jobs. Every method may be called by several threads, and again after a crash."""

    @property
    def PAUSE(self) -> float:
        """Seconds between two looks at jobs that run."""
        ...

    def prepare(self) -> None:
        """Called by a runner when it starts."""

    def start(self, folder: Path, plan: "Plan") -> None:
        """Have the plan's supervisor run in `folder`, which may hold the job's files already.

        Raises GitqueueError where it will not run.
        """

    def standings(self, folders: Iterable[Path]) -> dict[Path, Standing]:
        """Where the jobs of these folders stand, asked for at once."""
        ...

    def cancel(self, folder: Path) -> None:
        """Ask the job to end; `standings` tells when it has. Harmless where there is none, and when repeated."""


def wait(executor: Executor, folder: Path, stop: Callable[[], bool]) -> None:
    """Until the job of this folder is over, or was never begun. `stop`: it is to end now."""
    while executor.standings([folder])[folder] == "running":
        if stop():
            executor.cancel(folder)
        sleep(executor.PAUSE)


@cache
def chosen(settings: "policy.Executor") -> Executor:
    """The executor of a site, one for all threads of a process."""
    from gitqueue.rules import policy

    if isinstance(settings, policy.SlurmExecutor):
        from gitqueue.adapters.executors.slurm import Slurm

        return Slurm(settings)
    from gitqueue.adapters.executors import local

    return local
