"""Rehearse: run a job's working files on mock data, in the same sandbox as at the site. For now, at home: `test`."""

import os
import pwd
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gitqueue.adapters import environment, resources, sandbox
from gitqueue.adapters.executors import local
from gitqueue.adapters.files import lay_out
from gitqueue.adapters.history import SiteView
from gitqueue.adapters.objects import Objects
from gitqueue.adapters.queue import Queue
from gitqueue.errors import OperatorNeeded
from gitqueue.model import PROGRAM, Ended
from gitqueue.refs import JobId
from gitqueue.rules import disclosure, manifest, planning
from gitqueue.rules.disclosure import Collected, Flag
from gitqueue.rules.manifest import Manifest
from gitqueue.rules.tree import File

_LOG_LINES = 200


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """How a run on mock data went: its end, the last lines of its log, its outputs and their flags."""

    ended: Ended
    log: str
    outputs: dict[str, bytes]
    flags: tuple[Flag, ...]


def rehearse(queue: Queue, job: JobId, files: tuple[File, ...]) -> Rehearsal:
    """Run the files on the mock data of the site. Raises OperatorNeeded where this machine cannot sandbox."""
    uid, gid = _user()
    problems = sandbox.problems(uid, gid)
    if problems:
        raise OperatorNeeded(*problems)
    site = queue.history.site(queue.approved)
    held = {file.path: file.content for file in files}
    asked = manifest.read(job, held.get("job.yaml"), held.get("run.sh"))
    with _scratch(gid) as folder:
        lay_out(folder / "job", ((file.path, file.mode == PROGRAM, file.content or b"") for file in files))
        mocks = _mocks(queue.objects, queue.objects.commit(queue.approved).tree, site, asked, folder / "mock")
        built = _environment(site, asked, held)
        place = planning.Place(
            job=str(folder / "job"),
            environment=str(built) if built else None,
            inspector=str(resources.folder("templates") / "sandbox" / "inspect.py"),
            wake=None,
            uid=uid,
            gid=gid,
        )
        run = folder / "run"
        local.start(run, planning.plan(asked, site.policy, planning.data_binds(asked, site.datasets, mocks), place))
        while local.observe(run) == "running":
            time.sleep(0.02)
        return _seen(run, site, asked)


def _user() -> tuple[int | None, int | None]:
    """Root runs nothing of a stranger's: jobs then run as the account `nobody`."""
    if os.geteuid() != 0:
        return None, None
    account = pwd.getpwnam("nobody")
    return account.pw_uid, account.pw_gid


@contextmanager
def _scratch(gid: int | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gitqueue-test-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711 if gid is not None else 0o700)
        yield folder


def _mocks(objects: Objects, tree: str, site: SiteView, asked: Manifest, folder: Path) -> dict[tuple[str, str], str]:
    """The mock data of the datasets that the job names, written out; where each asset lies."""
    found: dict[tuple[str, str], str] = {}
    for name in asked.datasets:
        for asset, spec in site.datasets[name].assets.items():
            entry = objects.at(tree, f"datasets/{name}/{spec.mock}")
            target = folder / name / Path(spec.mock).name
            target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            if entry is not None and entry.is_folder:
                lay_out(target, ((path, False, objects.blob(one.id)) for path, one in objects.files(entry.id)))
            elif entry is not None:
                target.write_bytes(objects.blob(entry.id))
                target.chmod(0o644)
            found[name, asset] = str(target)
    return found


def _environment(site: SiteView, asked: Manifest, held: dict[str, bytes | None]) -> Path | None:
    if asked.environment is None:
        return None
    # Where the person who is root would keep it (0700), the sandbox user could not read it.
    cache = Path("/var/cache/gitqueue") if os.geteuid() == 0 else Path.home() / ".cache" / "gitqueue"
    cache.mkdir(mode=0o711, parents=True, exist_ok=True)
    wanted = site.policy.dependencies
    return environment.build(
        held.get(asked.environment) or b"", wanted.python, cache / "environments", wanted.policy
    ).path


def _seen(run: Path, site: SiteView, asked: Manifest) -> Rehearsal:
    if local.observe(run) != "ended":
        raise OperatorNeeded("the run ended without a word: its supervisor was killed", step="gitqueue test again")
    ended = local.ended(run)
    inspection = run / "inspection.json"
    found = disclosure.parse_inspection(inspection.read_bytes() if inspection.is_file() else None)
    identifiers = {column for name in asked.datasets for column in site.datasets[name].identifiers}
    flags = disclosure.judge([Collected(output, found.get(output.name)) for output in ended.outputs], identifiers)
    lines = (run / "log").read_text(errors="replace").splitlines()[-_LOG_LINES:]
    outputs = {output.name: (run / "outputs" / output.name).read_bytes() for output in ended.outputs}
    return Rehearsal(ended, "\n".join(lines), outputs, flags)
