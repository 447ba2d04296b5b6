"""The sandbox, by bubblewrap: which arguments, which system calls, and whether this machine can do it.

Everything here is decided before a job starts, and nothing of it by the job. Inside, the job is uid 1000 with no
capability in namespaces of its own. Never start bubblewrap as the host's root: `--uid` only relabels, the process
stays uid 0 outside and could write /proc/sys/kernel/core_pattern. The supervisor drops to the sandbox user first.
"""

import os
import posixpath
from collections.abc import Iterator

from gitqueue.adapters.seccomp import seccomp_filter as seccomp_filter
from gitqueue.model import Bind, Plan

UID = GID = 1000  # who the job is inside
SECCOMP_FD, STATUS_FD = 3, 4  # the only two descriptors besides 0 to 2; bubblewrap itself closes both before the job
PATH = "/opt/gitqueue/bin:/usr/local/bin:/usr/bin:/bin"
TARGETS = ("/data/", "/env", "/opt/", "/job/", "/output")  # where a plan may show something; the rest is ours
ETC = {  # one user, no names to resolve; written into the scratch folder as `etc`
    "passwd": "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\njob:x:1000:1000:job:/tmp:/bin/sh\n",
    "group": "root:x:0:\njob:x:1000:\n",
    "hosts": "127.0.0.1 localhost gitqueue\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}


def arguments(plan: Plan, scratch: str, output: str | None, processes: int | None = None) -> tuple[str, ...]:
    """Bubblewrap's whole command line for a plan. Pure: same plan, same arguments; they go into provenance."""
    return tuple(word for words, _ in explained(plan, scratch, output, processes) for word in words)


def explained(
    plan: Plan, scratch: str, output: str | None, processes: int | None = None
) -> tuple[tuple[tuple[str, ...], str], ...]:
    """The arguments in their order, each group with its reason, for `arguments` and for an owner to read.

    `scratch` is a host folder, bounded in bytes and inodes, with `tmp`, `shm` and `etc`; `output` likewise, or None
    where nothing may be written. `processes`: the limit to set inside, where no control group holds it.
    """
    return (
        (("bwrap",), ""),
        (("--unshare-user", "--disable-userns"), "required, not tried; and none below: that door led to many exploits"),
        (("--unshare-pid",), "others' processes do not exist; when its first one dies, the kernel ends all others"),
        (("--unshare-net",), "no network but an own, empty loopback; abstract sockets end here, too"),
        (("--unshare-ipc", "--unshare-uts", "--unshare-cgroup"), "no shared memory, no host name, no host paths"),
        (("--uid", str(UID), "--gid", str(GID)), "the same for every job and host: nothing to learn, reproducible"),
        (("--hostname", "gitqueue"), "the same for every job and host"),
        (("--cap-drop", "ALL"), "bubblewrap keeps all capabilities when its own user is 0 (a runner without root)"),
        (("--new-session",), "no controlling terminal to push characters into (TIOCSTI, CVE-2017-5226)"),
        (("--die-with-parent",), "a killed supervisor takes the job with it"),
        (("--seccomp", str(SECCOMP_FD)), "the filter of system calls (adapters/seccomp lists them), loaded last"),
        (("--json-status-fd", str(STATUS_FD)), "tells a job's end from bubblewrap's own failure"),
        (("--clearenv", *_environment(plan)), "nothing of the runner: allow-list, not deny-list"),
        (("--ro-bind", "/usr", "/usr"), "the system's programs and libraries"),
        (_links("bin", "sbin", "lib", "lib64"), "merged /usr: Debian 12, Ubuntu 24.04"),
        (_shown("/etc/ld.so.cache"), "the loader: else some libraries are not found"),
        (_shown("/etc/alternatives"), "awk, java, libblas are links through it"),
        (_shown("/etc/fonts"), "charts: fontconfig of R and cairo"),
        (_shown("/etc/R"), "Debian's R finds its own configuration only there"),
        (tuple(word for name in ETC for word in ("--ro-bind", f"{scratch}/etc/{name}", f"/etc/{name}")), "made up: "
         "one user, no real names"),
        (("--symlink", "/usr/bin/python3", "/opt/gitqueue/bin/python"), "`python main.py`: Debian has python3 only"),
        (("--proc", "/proc", "--remount-ro", "/proc"), "of the own processes only; /proc/sys is the host's kernel"),
        (("--dev", "/dev"), "null, zero, full, random, urandom, tty, own pts: no disk, no GPU, no kvm"),
        (("--bind", f"{scratch}/shm", "/dev/shm"), "multiprocessing's semaphores; bounded, and gone with the job"),
        (("--bind", f"{scratch}/tmp", "/tmp"), "scratch files; bounded, and gone with the job"),
        (("--bind", output, "/output") if output else (), "the one way out: bounded in bytes and in files"),
        (("--ro-bind", plan.job, "/job"), "exactly what was approved"),
        (tuple(_binds(plan.binds)), "data and environment, where they lie"),
        (("--remount-ro", "/dev", "--remount-ro", "/"), "last: their own tmpfs have no bound on inodes"),
        (("--chdir", "/job"), ""),
        (("--",), "what follows runs inside"),
        (("prlimit", f"--nproc={processes}", "--") if processes else (), "inside, so that it counts this job alone"),
        (("/bin/sh", "-c", 'exec "$@"', "sh"), "an unknown program is then the job's own 127, no fault of the site"),
        (plan.command, "what the job asked for"),
    )  # fmt: skip


def explain(plan: Plan, words: tuple[str, ...]) -> tuple[tuple[tuple[str, ...], str], ...]:
    """The arguments of a run's record with their reasons; in one group where today's code would make others."""
    triples = [*zip(words, words[1:], words[2:], strict=False)]
    sources = {target: source for option, source, target in reversed(triples) if option == "--bind"}  # the first counts
    scratch, output = sources.get("/tmp", "").removesuffix("/tmp"), sources.get("/output")
    limits = [int(word[8:]) for word in words if word[8:].isdecimal() and word.startswith("--nproc=")]
    for processes in (None, *limits):
        found = explained(plan, scratch, output, processes)
        if tuple(word for group, _ in found for word in group) == words:
            return found
    return ((words, "as another version of gitqueue made them"),)


def _links(*names: str) -> tuple[str, ...]:
    return tuple(word for name in names for word in ("--symlink", f"usr/{name}", f"/{name}"))


def _shown(path: str) -> tuple[str, ...]:
    return ("--ro-bind-try", path, path)


def _environment(plan: Plan) -> Iterator[str]:
    fixed = {"PATH": PATH, "HOME": "/tmp", "LANG": "C.UTF-8", "TZ": "UTC"}
    places = {"GITQUEUE_DATA": "/data", "GITQUEUE_OUTPUT": "/output"}
    for name, value in (fixed | dict(plan.environment) | places).items():
        yield from ("--setenv", name, value)


def _binds(binds: tuple[Bind, ...]) -> Iterator[str]:
    """Parents before children, else the parent would hide them."""
    for bind in sorted(binds, key=lambda bind: bind.target):
        if posixpath.normpath(bind.target) != bind.target or not bind.target.startswith(TARGETS):
            raise ValueError(f"a bind at {bind.target!r} would hide a part of the sandbox")
        yield from ("--ro-bind", bind.source, bind.target)


# --- is this machine able -------------------------------------------------------------------------------------------

PROGRAM = "/usr/bin/bwrap"
OLDEST = (0, 8)  # --disable-userns came with it
_SWITCHES = (  # file below /proc/sys, the value that forbids, the setting that allows
    # Ubuntu 24.04 and GitHub's image of it
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"),
    ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),  # Debian's own switch
    ("user/max_user_namespaces", "0", "user.max_user_namespaces=15000"),
)


def problems(uid: int | None, gid: int | None) -> tuple[str, ...]:
    """Why no job can be sandboxed here, each reason with its remedy; empty where a real trial as that user succeeds.

    `uid` and `gid` are the sandbox user's, or None for a runner that is not root. Nothing may run while this speaks.
    """
    found = tuple(_missing(uid, gid))
    return found or tuple(_trial(uid, gid))


def _missing(uid: int | None, gid: int | None) -> Iterator[str]:
    if os.geteuid() == 0 and not (uid and gid):
        yield "the runner is root and no sandbox user is named: `gitqueue doctor --fix` makes one"
    for tool in ("unshare", "setsid", "prlimit"):
        if not os.path.exists(f"/usr/bin/{tool}"):
            yield f"{tool} is missing: `apt-get install util-linux`"
    if not os.path.exists(PROGRAM):
        yield "bubblewrap is missing: `apt-get install bubblewrap`"
        return
    if os.stat(PROGRAM).st_mode & 0o6000:
        yield f"{PROGRAM} is setuid and would run as root: `chmod ug-s {PROGRAM}`"
    if version() < OLDEST:
        yield "bubblewrap is older than 0.8: `apt-get install bubblewrap` of Debian 12, Ubuntu 24.04 or later"


def version() -> tuple[int, ...]:
    """Bubblewrap's version, or () if it does not tell."""
    import subprocess  # 10 ms that a supervisor need not spend

    said = subprocess.run((PROGRAM, "--version"), capture_output=True, text=True, timeout=10).stdout.split()
    return tuple(int(part) for part in said[-1].split(".") if part.isdecimal()) if said else ()


def _trial(uid: int | None, gid: int | None) -> Iterator[str]:
    try:
        rules = seccomp_filter()
    except (ImportError, RuntimeError, OSError) as error:
        yield f"no system call filter ({error}): `apt-get install libseccomp2`, `pip install pyseccomp`"
        return
    if said := _tried(rules, uid, gid):
        shut = [setting for file, no, setting in _SWITCHES if _sysctl(file) == no]
        yield from (f"user namespaces are switched off: {_switched_on(setting)}" for setting in shut)
        if not os.path.exists("/proc/sys/kernel/seccomp"):
            yield "this kernel has no system call filters: boot one with CONFIG_SECCOMP_FILTER"
        elif not os.path.exists("/proc/self/ns/user"):
            yield "this kernel has no user namespaces: boot one with CONFIG_USER_NS"
        elif not shut:
            yield f"bubblewrap cannot make a sandbox for uid {uid or os.geteuid()}: {said}"


def _switched_on(setting: str) -> str:
    now, always = f"sysctl -w {setting}", f"echo {setting} > /etc/sysctl.d/60-gitqueue.conf"
    profile = "" if "apparmor" not in setting else "; or give bwrap an AppArmor profile: docs/operations.md has it"
    return f"`{now}`, and to keep it `{always}`{profile}"


def _tried(rules: bytes, uid: int | None, gid: int | None) -> str:
    """Run `true` in the same namespaces and under the same filter; what was said if that fails."""
    import subprocess

    words = (*outer(), "--", *_user_switch(uid, gid), PROGRAM, *_TRIAL)
    fd = os.memfd_create("seccomp", 0)
    try:
        os.write(fd, rules)
        os.lseek(fd, 0, os.SEEK_SET)
        words = tuple(word.format(fd=fd) for word in words)
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, pass_fds=(fd,), env={"PATH": PATH})
    finally:
        os.close(fd)
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"


def outer() -> tuple[str, ...]:
    """The supervisor's own namespaces: its mounts and the job's processes end with it, even by kill -9."""
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    return ("unshare", *user, "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc")


_TRIAL = (
    *("--unshare-all", "--unshare-user", "--disable-userns", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL"),
    *("--seccomp", "{fd}", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib"),
    *("--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev", "--", "/usr/bin/true"),
)


def _user_switch(uid: int | None, gid: int | None) -> tuple[str, ...]:
    if os.geteuid() != 0:
        return ()
    return ("setpriv", "--reuid", str(uid), "--regid", str(gid), "--clear-groups")


def _sysctl(file: str) -> str:
    try:
        with open(f"/proc/sys/{file}", encoding="ascii") as value:
            return value.read().strip()
    except OSError:
        return ""
