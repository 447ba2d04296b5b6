"""A job's folder, as every executor leaves it to a supervisor, and the supervisor's command line."""

import os
import shutil
import sys
from functools import cache
from pathlib import Path

from gitqueue.adapters import files, sandbox
from gitqueue.adapters.executors.nursery import COLD, PACKAGES
from gitqueue.errors import OperatorNeeded
from gitqueue.model import Plan

SUBMISSION = "submission"  # under which name a scheduler was, or is about to be, given the job
_seccomp = cache(sandbox.seccomp_filter)


def make(folder: Path, gid: int | None) -> None:
    """Make the folder, or let the sandbox user's group into one that holds the job's files already."""
    folder.mkdir(mode=0o710, exist_ok=True)
    if os.geteuid() == 0 and gid is not None:
        os.chown(folder, -1, gid)
        folder.chmod(0o710)


def furnish(folder: Path, plan: Plan) -> None:
    """Write what a supervisor needs. Raises OperatorNeeded where the system call filter cannot be built."""
    files.write_atomic(folder / "seccomp.bpf", _filter(), 0o600)
    files.write_atomic(folder / "plan.json", files.encode(plan))


def prepare() -> None:
    """Build the filter, which all jobs share, before the first job waits for it."""
    _filter()


def words(folder: Path) -> tuple[str, ...]:
    """The command line of a supervisor in namespaces of its own, from nothing: for a scheduler to start."""
    python = (sys.executable, "-I", "-S", "-c", COLD, PACKAGES)
    return (*sandbox.outer(), "--", *python, str(folder.resolve()))


def remove(folder: Path) -> None:
    """Remove it all; first what a scheduler's executor knows a job by, so that it takes no half folder for one."""
    (folder / SUBMISSION).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _filter() -> bytes:
    try:
        return _seccomp()
    except (ImportError, RuntimeError, OSError) as error:
        raise OperatorNeeded(f"no system call filter: {error}", step="apt-get install libseccomp2") from error
