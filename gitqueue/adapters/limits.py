"""Limits of one job by control groups, v2 or v1, else by resource limits and watching; each says what held it.

A control group is named after its supervisor and locked by it (flock on the folder), so that a later start can tell
the leftovers of the dead from the living and remove them.
"""

import fcntl
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from gitqueue.model import Limits

ROOT = "/sys/fs/cgroup"
NAME = "gitqueue"  # our folder in each hierarchy
LEAF = "gitqueue-runner"  # v2 lets no processes live beside controlled children: the runner moves here
CONTROLLERS = ("memory", "pids", "cpu")
OPEN_FILES = 1024
BUBBLEWRAP = 2  # its own processes, which are not the job's: one outside, and the first one inside


@dataclass(frozen=True, slots=True)
class Groups:
    """The control groups that hold one job: by controller (`memory`, `pids`, `cpu`) its folder; `version` 1 or 2."""

    folders: tuple[tuple[str, str], ...] = ()
    version: int = 0

    def folder(self, controller: str) -> str | None:
        return dict(self.folders).get(controller)

    def join(self) -> None:
        """Put the calling process in, before it becomes the job."""
        # v1's `tasks` moves the calling thread without the kernel's global lock: 0.1 ms instead of 30 a controller.
        file = "tasks" if self.version == 1 else "cgroup.procs"
        for folder in dict.fromkeys(folder for _, folder in self.folders):
            _write(f"{folder}/{file}", "0")

    def exceeded(self) -> str:
        """The fixed word of the limit that the kernel had to enforce so far, or ""."""
        memory, pids = self.folder("memory"), self.folder("pids")
        if memory and _counter(f"{memory}/memory.{'events' if self.version == 2 else 'oom_control'}", "oom_kill"):
            return "memory-limit"
        if pids and _counter(f"{pids}/pids.events", "max"):
            return "process-limit"
        return ""


@contextmanager
def groups(limits: Limits, name: str) -> Iterator[Groups]:
    """The control groups for one job, gone afterwards. Without any, an empty value: see `enforced`."""
    bases = dict(_bases())
    held: list[int] = []
    try:
        made = [(controller, _made(base, name, held)) for controller, base in bases.items()]
        found = Groups(tuple(made), 2 if _unified() else 1)
        _set(found, limits)
        yield found
    finally:
        for folder in {f"{base}/{name}" for base in bases.values()}:
            _removed(folder)
        for fd in held:
            os.close(fd)


def enforced(found: Groups) -> tuple[tuple[str, str], ...]:
    """Which limit is held by what, for provenance and `doctor`; "weaker" where a hostile job could outrun it."""
    by = f"cgroup v{found.version}"
    weaker = {
        "memory": "weaker: address space of each process, and watching the sum",
        "pids": "weaker: RLIMIT_NPROC in the job's own user namespace",
        "cpu": "weaker: cpu time of each process alone",
    }
    names = {"memory": "memory", "pids": "processes", "cpu": "cpus"}
    return (
        ("time", "monotonic clock of the supervisor"),
        *((names[key], by if found.folder(key) else text) for key, text in weaker.items()),
        ("output", "tmpfs bounded in bytes and inodes"),
        ("scratch", "tmpfs bounded in bytes and inodes"),
        ("files", "RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_CORE"),
        ("log", "capped pipes"),
    )


def peak(found: Groups) -> int | None:
    """The most bytes of memory that the job used so far; None where nobody counts them (v2 before Linux 5.19)."""
    folder = found.folder("memory")
    said = _read(f"{folder}/memory.{'peak' if found.version == 2 else 'max_usage_in_bytes'}") if folder else ""
    return int(said) if said.strip().isdigit() else None


def prospect() -> Groups:
    """The control groups that a runner started from here would use, without making or moving anything of a job's."""
    if own := _aside():  # `delegate` would hand these down
        there = _read(f"{own}/cgroup.controllers").split()
        return Groups(tuple((name, own) for name in CONTROLLERS if name in there), 2)
    return Groups(tuple(_bases()), 2 if _unified() else 1)


def remedy() -> str:
    """How control groups become a runner's to use."""
    if os.geteuid() == 0:
        return "mount -t cgroup2 none /sys/fs/cgroup, with the controllers memory, pids and cpu"
    if _unified():
        return "run it as a systemd service (of the user, too) with Delegate=yes, or start it as root"
    folders = " ".join(f"{ROOT}/{name}/{NAME}-{os.geteuid()}" for name in CONTROLLERS)
    return f"as root: mkdir {folders}; chown -R {os.geteuid()} {folders}; and start the runner inside them"


def apply(limits: Limits, found: Groups) -> None:
    """Resource limits of the calling process, which is about to become the job; inherited by all that it starts."""
    size = max(limits.output, limits.memory)
    # The kernel takes 1, and not 0, as "no handler either": one in core_pattern runs as the host's root, and would be
    # given the job's memory, data and all. The filter of system calls keeps the job from lowering it.
    _limit(resource.RLIMIT_CORE, 1)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    _limit(resource.RLIMIT_FSIZE, size)
    _limit(resource.RLIMIT_MEMLOCK, 1 << 16)
    _limit(resource.RLIMIT_MSGQUEUE, 1 << 19)
    if not found.folder("memory"):
        _limit(resource.RLIMIT_AS, 2 * limits.memory + (256 << 20))
    if not found.folder("cpu"):
        _limit(resource.RLIMIT_CPU, max(1, round(limits.time * limits.cpus + 1)))


def delegate() -> None:
    """Before the first job on cgroup v2: step aside, so that controllers can be handed down to groups beside us.

    For a normal user's runner, and for root's in a container, whose top group holds processes as a host's may not.
    Does nothing where the runner's own group is not delegated to it, or is delegated already.
    """
    own = _aside()
    if own is None:
        return
    leaf = own if own.endswith("/" + LEAF) else f"{own}/{LEAF}"
    with suppress(OSError):  # then there are no groups, and `enforced` says so
        os.makedirs(leaf, exist_ok=True)
        for pid in _read(f"{own}/cgroup.procs").split():
            _write(f"{leaf}/cgroup.procs", pid)
        _enable(os.path.dirname(leaf))


def _aside() -> str | None:
    """Our own group, where stepping aside makes room for jobs' beside us; None where it is not ours to divide."""
    own = _own("")
    if not _unified() or not own or not _writable(own):
        return None
    in_container = own.removesuffix("/" + LEAF) == ROOT and os.path.exists(f"{ROOT}/cgroup.type")  # the real top: none
    return own if os.geteuid() != 0 or in_container else None


# --- finding a place ------------------------------------------------------------------------------------------------


def _unified() -> bool:
    return os.path.exists(f"{ROOT}/cgroup.controllers")


def _bases() -> Iterator[tuple[str, str]]:
    """By controller, the folder in which jobs' groups may be made: ours at the top as root, else in the own group."""
    for controller in CONTROLLERS:
        base = _base(controller)
        if base and os.access(base, os.W_OK) and _handed_down(base, controller):
            yield controller, base


def _handed_down(base: str, controller: str) -> bool:
    return not _unified() or controller in _read(f"{base}/cgroup.subtree_control").split()


def _base(controller: str) -> str | None:
    top = ROOT if _unified() else f"{ROOT}/{controller}"
    if _writable(top):
        return _prepared(f"{top}/{NAME}", top)
    own = _own(controller)
    if not own or not _writable(own):
        return None
    return _prepared(f"{own.removesuffix('/' + LEAF)}/{NAME}", own.removesuffix("/" + LEAF))


def _writable(folder: str) -> bool:
    return os.access(folder, os.W_OK) and os.access(f"{folder}/cgroup.procs", os.W_OK)


def _prepared(base: str, above: str) -> str | None:
    with suppress(OSError):  # read-only or full: no groups here
        os.makedirs(base, exist_ok=True)
        if _unified():
            _enable(above)
            _enable(base)
        return base
    return None


def _enable(folder: str) -> None:
    missing = set(CONTROLLERS) - set(_read(f"{folder}/cgroup.subtree_control").split())
    for controller in missing & set(_read(f"{folder}/cgroup.controllers").split()):
        _write(f"{folder}/cgroup.subtree_control", f"+{controller}")


def _own(controller: str) -> str | None:
    """This process's own group in the hierarchy of a controller ("" is v2's)."""
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if _unified() and not controllers:
            return ROOT + path.rstrip("/")
        if not _unified() and controller in controllers.split(","):
            return f"{ROOT}/{controller}{path}".rstrip("/")
    return None


# --- one job's group ------------------------------------------------------------------------------------------------


def _made(base: str, name: str, held: list[int]) -> str:
    folder = f"{base}/{name}"
    if not any(_is(fd, folder) for fd in held):  # v2 has one folder for all controllers
        sweep(base)
        held.append(_locked(folder))
    return folder


def _is(fd: int, folder: str) -> bool:
    """Whether the open folder is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(folder))
    except FileNotFoundError:
        return False


def _locked(folder: str) -> int:
    """Make and lock; again, if a sweeping neighbour took it for a leftover in between."""
    while True:
        with suppress(FileNotFoundError):
            os.makedirs(folder, exist_ok=True)
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(fd, fcntl.LOCK_EX)
            if _is(fd, folder):
                return fd
            os.close(fd)


def sweep(base: str) -> None:
    """Remove the groups whose supervisors are dead: nobody holds their lock."""
    for entry in os.scandir(base):
        if entry.is_dir(follow_symlinks=False):
            with suppress(OSError):  # gone meanwhile, or held by a living supervisor
                _sweep_one(entry.path)


def _sweep_one(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _removed(folder)
    finally:
        os.close(fd)


def _removed(folder: str) -> None:
    with suppress(OSError):  # v1 has no such file; the pid namespace has ended them all anyway
        _write(f"{folder}/cgroup.kill", "1")
    with suppress(OSError):  # a leftover is swept by the next start
        os.rmdir(folder)


def _set(found: Groups, limits: Limits) -> None:
    if folder := found.folder("memory"):
        for name, value in _MEMORY[found.version]:
            with suppress(FileNotFoundError):  # kernels without swap accounting lack its file
                _write(f"{folder}/{name}", value or str(limits.memory))
    if folder := found.folder("pids"):
        _write(f"{folder}/pids.max", str(limits.processes + BUBBLEWRAP))
    if folder := found.folder("cpu"):
        quota = max(1000, int(limits.cpus * 100_000))
        for name, value in _CPU[found.version](quota):
            _write(f"{folder}/{name}", value)


_MEMORY = {  # file and value, where it is not the limit itself
    1: (("memory.limit_in_bytes", ""), ("memory.memsw.limit_in_bytes", "")),
    2: (("memory.max", ""), ("memory.swap.max", "0"), ("memory.oom.group", "1")),
}
_CPU: dict[int, Callable[[int], tuple[tuple[str, str], ...]]] = {
    1: lambda quota: (("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", str(quota))),
    2: lambda quota: (("cpu.max", f"{quota} 100000"),),
}


def _counter(path: str, name: str) -> int:
    words = _read(path).split()
    return int(words[words.index(name) + 1]) if name in words else 0


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
