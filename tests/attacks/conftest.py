"""A site's spool on this machine, in which hostile programs run through the real executor and supervisor.

Every test leaves the machine as it was: `the_machine_is_the_same` looks for processes, mounts, control groups,
shared memory and changed data after each.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gitqueue.adapters import checks, data, files
from gitqueue.adapters.executors import local
from gitqueue.model import Bind, Ended, Limits, Plan
from gitqueue.supervisor import group_name

PACKAGES = Path(__file__).resolve().parents[2]
IS_ROOT = os.geteuid() == 0
# Nobody else's, and not those of another run of these tests beside this one.
SANDBOX_USER = 100_000 + os.getpid() % 20_000 * 2
NORMAL_USER = SANDBOX_USER + 1
LIMITS = Limits(time=5, memory=256 << 20, cpus=1, processes=32, output=1 << 20, output_files=20)
SECRET = "patient 4711 has it"
_AS_USER = """
import sys; sys.path[:0] = sys.argv[1].split(":")
from pathlib import Path
from gitqueue.adapters import checks, files
from gitqueue.adapters.executors import local
folder = Path(sys.argv[2])
local.start(folder, files.plan((folder / "wanted.json").read_bytes()))
"""


@dataclass(frozen=True)
class Ran:
    """What became of one program."""

    ended: Ended
    folder: Path

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def said(self) -> list[str]:
        """What it printed, a line each, without times and streams."""
        return [line.split(" ", 2)[2] for line in self.log.splitlines() if line.count(" ") >= 2]

    @property
    def because(self) -> str:
        """For a failing assertion: everything there is to know."""
        return f"{self.ended}\n{self.log}\n{(self.folder / 'supervisor.log').read_text()}"


@dataclass(frozen=True)
class Site:
    """A spool, data that only the sandbox may show, and who starts the jobs."""

    spool: Path
    data: Path
    as_root: bool
    groups: tuple[str, ...] = ()  # control groups that a normal user's runner starts in

    @property
    def uid(self) -> int:
        return SANDBOX_USER if self.as_root else NORMAL_USER if IS_ROOT else os.geteuid()

    def job(self, name: str, program: str | dict[str, str], limits: Limits = LIMITS, **changes: object) -> Path:
        """A job's folder with its files and the plan that is wanted, not started."""
        folder = self.spool / name
        (folder / "job").mkdir(parents=True)
        contents = {"main.py": program} if isinstance(program, str) else program
        for file, text in contents.items():
            (folder / "job" / file).write_text(text)
        user = (SANDBOX_USER, SANDBOX_USER) if self.as_root else (None, None)
        plan = Plan(
            command=("sh", "main.sh") if "main.sh" in contents else ("python", "main.py"),
            job=str(folder / "job"),
            binds=(Bind(str(self.data), "/data/people/people.csv"),),
            environment=(),
            limits=limits,
            declared=("*",),
            types=(".csv", ".txt", ".json"),
            uid=user[0],
            gid=user[1],
        )
        (folder / "wanted.json").write_bytes(files.encode(replace(plan, **changes)))  # type: ignore[arg-type]
        checks.lend(folder, (), None, {})
        if not self.as_root:
            _owned(folder, self.uid)
        return folder

    def start(self, folder: Path) -> None:
        if self.as_root or not IS_ROOT:
            local.start(folder, files.plan((folder / "wanted.json").read_bytes()))
            return
        import pyseccomp

        paths = f"{PACKAGES}:{Path(pyseccomp.__file__).parent}"
        switch = (*_joining(self.groups), "setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups")
        subprocess.run((*switch, readable_python(), "-I", "-c", _AS_USER, paths, folder), check=True, timeout=30)

    def wait(self, folder: Path, seconds: float = 20) -> Ran:
        until = time.monotonic() + seconds
        while (standing := local.observe(folder)) == "running" and time.monotonic() < until:
            time.sleep(0.005)
        assert standing == "ended", f"{standing}: {(folder / 'supervisor.log').read_text()}"
        return Ran(local.ended(folder), folder)

    def run(self, program: str | dict[str, str], limits: Limits = LIMITS, **changes: object) -> Ran:
        folder = self.job(f"job{len(list(self.spool.iterdir()))}", program, limits, **changes)
        self.start(folder)
        return self.wait(folder)


def _joining(groups: tuple[str, ...]) -> tuple[str, ...]:
    joins = "".join(f"echo $$ > {group}/cgroup.procs; " for group in groups)
    return ("sh", "-c", f'{joins}exec "$@"', "sh")


def readable_python() -> str:
    """An interpreter that a normal user may run: root's own often lies in its home."""
    # By `env`, since setpriv itself still looks programs up with root's rights.
    switch = ("setpriv", f"--reuid={NORMAL_USER}", f"--regid={NORMAL_USER}", "--clear-groups", "env")
    tried = subprocess.run((*switch, sys.executable, "-c", ""), check=False, capture_output=True)
    return sys.executable if tried.returncode == 0 else "/usr/bin/python3"


@pytest.fixture(params=["root-started", "normal-user"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A spool in a folder that the sandbox user can enter (pytest's own tmp_path is closed to it)."""
    as_root = request.param == "root-started"
    if as_root and not IS_ROOT:
        pytest.skip("needs root")
    with _spool(as_root) as made:
        before = _machine(made)
        yield made
        assert _machine(made) == before


@contextmanager
def _spool(as_root: bool) -> Iterator[Site]:
    top = Path(tempfile.mkdtemp(prefix="gitqueue-attacks-"))
    top.chmod(0o711)
    made = Site(top / "spool", top / "people.csv", as_root)
    made.spool.mkdir(mode=0o711)
    made.data.write_text(f"name,diagnosis\n{SECRET},M\n")
    if not as_root:
        _owned(top, made.uid)
    try:
        yield made
    finally:
        shutil.rmtree(top)


@pytest.fixture
def delegated() -> Iterator[Site]:
    """A normal user's site whose runner may make control groups below its own (v1, as a chown gives it)."""
    groups = [
        Path(f"/sys/fs/cgroup/{name}/gitqueue-delegated-{time.monotonic_ns()}") for name in ("memory", "pids", "cpu")
    ]
    if not IS_ROOT or not all(os.access(group.parent, os.W_OK) and group.parent.is_dir() for group in groups):
        pytest.skip("needs root and cgroup v1")
    for group in groups:
        group.mkdir()
        _owned(group, NORMAL_USER)
    try:
        with _spool(as_root=False) as made:
            yield replace(made, groups=tuple(map(str, groups)))
            assert not _machine(made)["processes"]
        assert not [path for group in groups for path in group.glob("gitqueue/*/")], "a job's group was left"
    finally:
        for group in groups:
            for folder in (*group.glob("gitqueue/*/"), group / "gitqueue", group):
                _removed(folder)


def _removed(group: Path) -> None:
    """A zombie still counts as inside, and this machine's first process reaps late."""
    until = time.monotonic() + 5
    while group.exists():
        try:
            group.rmdir()
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.05)


def _owned(folder: Path, uid: int) -> None:
    if IS_ROOT:
        subprocess.run(("chown", "-R", f"{uid}:{uid}", folder), check=True)


def _machine(site: Site) -> dict[str, object]:
    """What a job could have left behind; supervisors end a moment after their record is there."""
    until = time.monotonic() + 3
    while (living := _processes(site)) and time.monotonic() < until:
        time.sleep(0.01)
    return {
        "processes": living,
        "mounts": [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(site.spool) in line],
        "groups": [str(path) for name in _groups(site) for path in Path("/sys/fs/cgroup").glob(f"*/gitqueue/{name}*")],
        "memory": sorted(path.name for path in Path("/dev/shm").iterdir() if path.stat().st_uid == site.uid),
        "ipc": [line for kind in ("shm", "sem", "msg") for line in _ipc(kind) if f" {site.uid} " in line],
        "data": (
            hashlib.sha256(site.data.read_bytes()).hexdigest(),
            data.standing(site.data),
            site.data.stat().st_mode,
        ),
        "host": [Path(f"/proc/sys/{name}").read_text() for name in ("kernel/core_pattern", "kernel/hostname")],
        "temporary": sorted(_temporary(site)),
    }


def _ipc(kind: str) -> list[str]:
    return Path(f"/proc/sysvipc/{kind}").read_text().splitlines()


def _temporary(site: Site) -> Iterator[str]:
    for path in Path("/tmp").iterdir():
        with suppress(FileNotFoundError):  # somebody else's, gone meanwhile
            if path.lstat().st_uid == site.uid and path != site.spool.parent:
                yield path.name


def _groups(site: Site) -> list[str]:
    """What control groups of this site's jobs are called; another run's lie beside them."""
    return [group_name(str(folder)) for folder in site.spool.iterdir()]


def _processes(site: Site) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                ours = entry.stat().st_uid == site.uid or str(site.spool) in words
                if ours and words:  # a zombie has none; this machine's first process reaps late
                    found.append(f"{entry.name} {words}")
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


@pytest.fixture
def attack(site: Site) -> Callable[..., Ran]:
    """Run a Python program that prints HARM where it succeeds in anything, and `tried` at its end."""

    def run(program: str, **changes: object) -> Ran:
        ran = site.run(program, **changes)  # type: ignore[arg-type]
        assert "tried" in ran.said, ran.because
        assert "HARM" not in ran.log, ran.because
        return ran

    return run


def facts(ran: Ran) -> object:
    return json.loads((ran.folder / "inspection.json").read_text())
