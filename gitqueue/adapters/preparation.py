"""Prepare: the folder of one run: a job's files, its environment, its plan. The same on mock and on real data."""

import json
import os
import pwd
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from gitqueue.adapters import checks, data, environment, files, programs, resources
from gitqueue.adapters.files import lay_out, write_atomic
from gitqueue.adapters.history import SiteView
from gitqueue.adapters.objects import Objects
from gitqueue.adapters.premises import Premises
from gitqueue.errors import OperatorNeeded, Tampered
from gitqueue.model import PROGRAM, Plan
from gitqueue.refs import JobId
from gitqueue.rules import manifest, planning, submission
from gitqueue.rules.manifest import Manifest
from gitqueue.rules.policy import Policy
from gitqueue.rules.tree import File

ENVIRONMENTS = "environments"
Paths = Mapping[tuple[str, str], Path]  # (dataset, asset) -> where it lies on the host


@dataclass(frozen=True, slots=True)
class Host:
    """Where runs are prepared: the folder of built environments, the account that jobs run as (None: no switching),
    the runner's bell; the most seconds that a run gets here, whatever policy says."""

    environments: Path
    uid: int | None
    gid: int | None
    wake: str | None = None
    time: float | None = None


def of_site(premises: Premises) -> Host:
    uid, gid = premises.sandbox_user
    most = premises.settings.limits.time
    return Host(premises.site.spool / ENVIRONMENTS, uid, gid, str(premises.site.socket), most and float(most))


def evict(premises: Premises, now: float) -> tuple[str, ...]:
    """Remove built environments by age and size (`environments` of runner.yaml); the keys of those that went.

    For `gc`, daily. May be called at any time, beside a runner that builds and runs: an environment that a folder of
    the spool names, or that was used within the last hour, stays. `now` in seconds since 1970.
    """
    spool = premises.site.spool
    if not (spool / ENVIRONMENTS).is_dir():
        return ()
    in_use = environment.used(spool.iterdir())
    return environment.evict(spool / ENVIRONMENTS, int(premises.settings.environments), now, in_use)


def at_home() -> Host:
    """A person's own machine. Root runs nothing of a stranger's: jobs then run as the account `nobody`."""
    if os.geteuid() != 0:
        return Host(Path.home() / ".cache" / "gitqueue" / ENVIRONMENTS, None, None)
    account = pwd.getpwnam("nobody")
    # Where the person who is root would keep it (0700), the sandbox user could not read it.
    return Host(Path("/var/cache/gitqueue") / ENVIRONMENTS, account.pw_uid, account.pw_gid)


_AT_HOME = 5 << 30  # bytes of built environments that a person's own machine keeps


def tidy(home: Host, now: float) -> tuple[str, ...]:
    """Remove what `test` built at home, by age and size, as `evict` does at a site; the keys of those that went. What
    was used within the last hour stays: another test may run with it. `now` in seconds since 1970."""
    programs.evict(home.environments.parent, now)
    return environment.evict(home.environments, _AT_HOME, now) if home.environments.is_dir() else ()


@dataclass(frozen=True, slots=True)
class Code:
    """What is to run: a job's files, as they are in git, and what its manifest asks for."""

    asked: Manifest
    files: tuple[File, ...]


def code(job: JobId, files: tuple[File, ...]) -> Code:
    held = {file.path: file.content for file in files}
    return Code(manifest.read(job, held.get("job.yaml"), held.get("run.sh")), files)


def judged(premises: Premises, job: JobId, folder: str, site: SiteView) -> Code:
    """The files of a job's tree, judged once more by the same rule as at the gate. Raises Tampered."""
    files, refused = premises.history.files(folder, site.policy)
    reasons = refused or submission.judge(files, job, site.policy, site.datasets)
    if reasons:
        raise Tampered(*reasons)
    return code(job, files)


@dataclass(frozen=True, slots=True)
class Supply:
    """The data of one run: where they lie, how their digests are had; beside real ones the mock ones, and where their
    indexes are kept."""

    paths: Paths
    digest: Callable[[Path], str] = lambda _: ""
    mock: Paths = field(default_factory=dict)
    shelf: checks.Shelf | None = None


def prepare(folder: Path, host: Host, code: Code, site: SiteView, supply: Supply) -> Plan:
    """Fill a new run's folder, and plan the run. Raises GitqueueError where the site or the environment is at fault.

    The digest of each asset goes, with the packages, into context.json: provenance names them.
    """
    lay_out(folder / "job", ((file.path, file.mode == PROGRAM, file.content or b"") for file in code.files))
    built = _environment(host, code, site.policy)
    if built:
        environment.use(built.path, folder)
    place = planning.Place(
        job=str(folder / "job"),
        data={key: str(path) for key, path in supply.paths.items()},
        entry=_entry(folder) if code.asked.entrypoint else None,
        environment=str(built.path) if built else None,
        inspection=checks.ready(host.environments.parent),
        wake=host.wake,
        uid=host.uid,
        gid=host.gid,
        mock={key: str(path) for key, path in supply.mock.items()},
    )
    stood = tuple((str(path), data.standing(path)) for path in supply.paths.values())  # before their digests are taken
    digests = {f"{name}/{asset}": supply.digest(path) for (name, asset), path in supply.paths.items()}
    packages = [list(package) for package in built.packages] if built else []
    write_atomic(folder / "context.json", json.dumps({"packages": packages, "data": digests}).encode())
    plan = planning.plan(code.asked, site.policy, site.datasets, place)
    checks.lend(folder, plan.inspect.indexed if plan.inspect else (), supply.shelf, digests)
    limits = replace(plan.limits, time=min(plan.limits.time, host.time or plan.limits.time))
    return replace(plan, data=stood, limits=limits)


def _entry(folder: Path) -> str:
    """What calls a function, where the sandbox user can read it: gitqueue itself may lie in somebody's 0700 home."""
    entry = folder / "entry.py"
    entry.write_bytes((resources.folder("templates") / "job" / "entry.py").read_bytes())
    entry.chmod(0o644)
    return str(entry)


def _environment(host: Host, code: Code, policy: Policy) -> environment.Environment | None:
    if code.asked.environment is None:
        return None
    host.environments.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    lock = next((file.content for file in code.files if file.path == code.asked.environment), None)
    wanted = policy.dependencies
    return environment.build(lock or b"", wanted.python, host.environments, wanted.policy)


# data


def mock_paths(objects: Objects, approved: str, site: SiteView, asked: Manifest, folder: Path) -> Paths:
    """The mock data of the datasets that a job names, as the chain holds them, written out below `folder`."""
    tree = objects.commit(approved).tree
    found: dict[tuple[str, str], Path] = {}
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
            found[name, asset] = target
    return found


def real_paths(premises: Premises, site: SiteView, asked: Manifest) -> Paths:
    """Where the operator says that the real data lie. Raises OperatorNeeded where somebody must do something first."""
    bound = premises.settings.data
    wanted = [(name, asset) for name in asked.datasets for asset in site.datasets[name].assets]
    missing = [f"{name} {asset}" for name, asset in wanted if asset not in bound.get(name, {})]
    if missing:
        raise OperatorNeeded(
            f"nobody has said where the real data of {', '.join(missing)} lie",
            step=f"gitqueue dataset bind {missing[0]}=/path",
        )
    paths = {(name, asset): Path(bound[name][asset]) for name, asset in wanted}
    uid, gid = premises.sandbox_user
    user = (os.geteuid() if uid is None else uid, os.getegid() if gid is None else gid)
    faults = [fault for path in paths.values() for fault in data.readable_by(path, *user)]
    if faults:
        raise OperatorNeeded(*dict.fromkeys(faults), step="gitqueue doctor, at the site")
    return paths


def supply(premises: Premises, approved: str, site: SiteView, asked: Manifest, folder: Path) -> Supply:
    """The real data for a run in `folder`, and beside them the mock data of the same commit."""
    paths = real_paths(premises, site, asked)
    mock = mock_paths(premises.objects, approved, site, asked, folder / "mock")
    return Supply(paths, lambda path: data.digest(path, premises.site.private / "digests"), mock, shelf(premises))


def shelf(premises: Premises) -> checks.Shelf:
    return checks.Shelf(premises.site.private / checks.INDEXES, premises.site.key.with_name(checks.KEY))


def keep_indexes(premises: Premises, folder: Path) -> None:
    """Keep what a run on the real data has indexed, for the runs to come."""
    digests = json.loads((folder / "context.json").read_bytes())["data"]
    checks.keep(folder, files.plan((folder / "plan.json").read_bytes()), shelf(premises), digests)
