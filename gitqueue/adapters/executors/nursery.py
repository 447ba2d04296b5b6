"""Where supervisors are born: one small process that has the supervisor's code loaded, and forks for each job.

A supervisor started from nothing spends 40 ms on its interpreter and imports, a forked one 2 ms, and the sandbox itself
takes 7. The nursery knows no job: it gets a folder and a locked descriptor, forks, and forgets. It ends with its runner
(end of file); the supervisors, in sessions of their own, do not.
"""

import ctypes
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

PACKAGES = str(Path(__file__).resolve().parents[3])
_PATH = "import sys; sys.path.insert(0, sys.argv.pop(1)); from gitqueue import supervisor; "
COLD = _PATH + "sys.exit(supervisor.main())"  # a supervisor from nothing: on a cluster's node
_WARM = _PATH + "from gitqueue.adapters.executors import nursery; nursery.serve(int(sys.argv[1]), supervisor.own)"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_NEWNS, _NEWUSER, _NEWPID = 0x20000, 0x10000000, 0x20000000
_RECURSIVE_PRIVATE = 0x4000 | 0x40000  # MS_REC | MS_PRIVATE
_PROC = 2 | 4 | 8  # MS_NOSUID | MS_NODEV | MS_NOEXEC


class Nursery:
    """The runner's end. Starts the process when first needed, and again if somebody killed it."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def bear(self, folder: str, lock: int) -> None:
        """Start a supervisor that owns `folder` and holds `lock`. If it cannot, the lock is free at once."""
        with self._one_at_a_time:
            try:
                socket.send_fds(self._ready(), [folder.encode()], [lock])
            except OSError:  # it died between two jobs
                self._end()
                socket.send_fds(self._ready(), [folder.encode()], [lock])

    def warm(self) -> None:
        """Be there before the first job asks."""
        with self._one_at_a_time:
            self._ready()

    def _ready(self) -> socket.socket:
        if self._process and self._socket and self._process.poll() is None:
            return self._socket
        self._end()
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            self._process = subprocess.Popen(
                (sys.executable, "-I", "-S", "-c", _WARM, PACKAGES, str(its.fileno())),
                env=ENVIRONMENT,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(its.fileno(),),
                start_new_session=True,  # a Ctrl-C at the runner's terminal is not for it
            )
        self._socket = ours
        return ours

    def _end(self) -> None:
        if self._socket:
            self._socket.close()
        if self._process:
            self._process.wait()
        self._process = self._socket = None


def serve(fd: int, own: Callable[[str, int], None]) -> None:
    """The nursery's own life: `own` is the supervisor's."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps what we fork
    gc.freeze()
    with socket.socket(fileno=fd) as runner:
        while True:
            folder, locks, _, _ = socket.recv_fds(runner, 4096, 1)
            if not folder:
                return
            if os.fork() == 0:
                _born(folder.decode(), locks[0], runner, own)
            os.close(locks[0])


def _born(folder: str, lock: int, runner: socket.socket, own: Callable[[str, int], None]) -> None:
    """In the fork: a session, namespaces, and then the supervisor; never returns."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        runner.close()
        os.setsid()
        _redirect(folder)
        _namespaces()
        if os.fork():  # only a child is in the new pid namespace; the host's first process adopts it
            os._exit(0)
        _own_proc()
        own(folder, lock)
        os._exit(0)
    except BaseException:  # noqa: BLE001 - a fork must never go on as the nursery
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(70)


def _redirect(folder: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    said = os.open(f"{folder}/supervisor.log", flags, 0o600)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.close(said)


def _namespaces() -> None:
    """As `unshare --mount --pid`, and for a normal user `--user --map-root-user`."""
    uid, gid = os.geteuid(), os.getegid()
    _checked(_libc.unshare(_NEWNS | _NEWPID | (_NEWUSER if uid else 0)), "new namespaces")
    if uid:
        for file, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{file}", "w", encoding="ascii") as map:
                map.write(text)
    _checked(_libc.mount(b"none", b"/", None, _RECURSIVE_PRIVATE, None), "private mounts")


def _own_proc() -> None:
    _checked(_libc.mount(b"proc", b"/proc", b"proc", _PROC, None), "mounting /proc")
    with open("/proc/self/comm", "w", encoding="ascii") as name:
        name.write("gitqueue-job")  # for who looks at `ps`


def _checked(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


_libc = ctypes.CDLL(None, use_errno=True)
