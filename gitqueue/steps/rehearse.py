"""Rehearse: run a job's working files on mock data, in the same sandbox as at the site. For now, at home: `test`."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gitqueue.adapters import preparation, remains, sandbox, unconfined
from gitqueue.adapters.executors import local
from gitqueue.adapters.history import SiteView
from gitqueue.adapters.queue import Queue
from gitqueue.errors import Mistake, OperatorNeeded
from gitqueue.model import Ended
from gitqueue.refs import JobId
from gitqueue.rules.disclosure import Flag
from gitqueue.rules.tree import File

_LOG_LINES = 200


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """How a run on mock data went: its end, the last lines of its log, its outputs and their flags."""

    ended: Ended
    log: str
    outputs: dict[str, bytes]
    flags: tuple[Flag, ...]


def rehearse(queue: Queue, job: JobId, files: tuple[File, ...], confined: bool = True) -> Rehearsal:
    """Run the files on the mock data of the site. Raises OperatorNeeded where this machine cannot sandbox.

    `confined` False: without any sandbox, and only where there can be none; Mistake elsewhere.
    """
    host = preparation.at_home()
    _must_fit(sandbox.problems(host.uid, host.gid), confined)
    site = queue.history.site(queue.approved)
    code = preparation.code(job, files)
    with _scratch(host.gid) as folder:
        run = folder / "run"
        run.mkdir(mode=0o711)
        mocks = preparation.mock_paths(queue.objects, queue.approved, site, code.asked, folder / "mock")
        plan = preparation.prepare(run, host, code, site, mocks, lambda _: "")
        (local.start if confined else unconfined.run)(run, plan)
        while local.observe(run) == "running":
            time.sleep(0.02)
        return _seen(run, site)


def _must_fit(problems: tuple[str, ...], confined: bool) -> None:
    if problems and confined:
        step = "mend it; or run your own code as you would without gitqueue: gitqueue test --no-sandbox"
        raise OperatorNeeded(*problems, step=step)
    if not problems and not confined:
        raise Mistake("--no-sandbox is for machines that cannot sandbox; this one can", step="gitqueue test")


@contextmanager
def _scratch(gid: int | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gitqueue-test-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711 if gid is not None else 0o700)
        yield folder


def _seen(run: Path, site: SiteView) -> Rehearsal:
    if local.observe(run) != "ended":
        raise OperatorNeeded("the run ended without a word: its supervisor was killed", step="gitqueue test again")
    ended = remains.ended(run)
    flags = remains.flags(run, ended, site.datasets)
    lines = (run / "log").read_text(errors="replace").splitlines()[-_LOG_LINES:]
    outputs = {output.name: (run / "outputs" / output.name).read_bytes() for output in ended.outputs}
    return Rehearsal(ended, "\n".join(lines), outputs, flags)
