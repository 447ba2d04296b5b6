"""The resident judge: one process, kept warm by the runner, that forks for each push and judges it there.

Judging takes 20 ms, and the imports for it 130. hooks/pre-receive asks here first, and judges by itself where nobody
answers. What judges is the same function on either way, in the same environment, on the same descriptors; nothing that
it reads of the repository is kept from one push to the next. A push is handed over only after the fork has said that it
is there, so whatever fails before leaves the push whole for the hook, and whatever fails after refuses it.
"""

import gc
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from time import monotonic

NAME = "judge"  # of the socket, in the site's private folder
HELLO = b"judge 1 " + os.fsencode(sys.executable)  # 1: how hook and judge talk; see hooks/pre-receive
MOST = 32  # pushes at once; a further one is judged by its own hook
_LONGEST = 1 << 17  # bytes of environment; the hook sends less
_PATIENCE = 5.0  # seconds for a hook to hand its push over
_LOOK = 5.0  # seconds between two looks at whether the socket is still ours
_AGAIN = 10.0  # seconds between two starts: a judge that cannot start must not keep the machine busy
_PACKAGE = Path(__file__).resolve().parents[1]
_STDIN = 0


class Judge:
    """The runner's end. Leaving the context ends the process; so does the runner's death."""

    def __init__(self, private: Path) -> None:
        self._private = private
        self._process: subprocess.Popen[bytes] | None = None
        self._not_before = 0.0

    def __enter__(self) -> "Judge":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def keep(self) -> None:
        """Start the judge if it is not there: never yet, killed, or ended because the code on the disk has changed."""
        if (self._process and self._process.poll() is None) or monotonic() < self._not_before:
            return
        self._end()
        self._not_before = monotonic() + _AGAIN
        self._process = subprocess.Popen(
            (sys.executable, "-Im", "gitqueue.hook", "judge"),
            env={"PATH": os.defpath, "LANG": "C.UTF-8"},
            cwd=self._private,  # a socket is bound by a short name from there, however deep the site lies
            stdin=subprocess.PIPE,  # nothing is ever written: its end tells that the runner is gone
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C at the runner's terminal is not for it
        )

    def _end(self) -> None:
        if self._process and self._process.stdin:
            self._process.stdin.close()
            self._process.wait()


def serve(load: Callable[[], None], judge: Callable[[], int]) -> None:
    """The judge's own life, in the private folder: until the runner is gone, the code on the disk is another than was
    loaded, or the socket is another's."""
    code = _stamps(_PACKAGE.rglob("*.py"))
    load()
    files = [getattr(module, "__file__", None) for module in tuple(sys.modules.values())]
    code |= _stamps(Path(file) for file in files if file)
    gc.freeze()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        its = _listen(listener)
        try:
            _attend(listener, its, code, judge)
        finally:
            if _inode() == its:
                Path(NAME).unlink()


def _attend(listener: socket.socket, its: int, code: dict[Path, tuple[int, ...]], judge: Callable[[], int]) -> None:
    children: dict[int, int] = {}  # descriptor of the process -> its id
    while _inode() == its:
        ready, _, _ = select.select([_STDIN, listener.fileno(), *children], [], [], _LOOK)
        for ended in children.keys() & set(ready):
            os.waitpid(children.pop(ended), 0)
            os.close(ended)
        if _STDIN in ready or (listener.fileno() in ready and _stamps(code) != code):
            return
        if listener.fileno() in ready:
            _accept(listener, children, judge)


def _accept(listener: socket.socket, children: dict[int, int], judge: Callable[[], int]) -> None:
    """Fork for the next push. Closed without a word, the hook judges it by itself."""
    connection, _ = listener.accept()
    with connection:
        if len(children) < MOST and _is_mine(connection):
            child = _fork(connection, listener, judge)
            children[os.pidfd_open(child)] = child


def _stamps(files: Iterable[Path]) -> dict[Path, tuple[int, ...]]:
    """What tells a file from a later one of that name; () where it has gone."""
    return {file: _stamp(file) for file in files}


def _stamp(file: Path) -> tuple[int, ...]:
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _listen(listener: socket.socket) -> int:
    """Listen under the name, whatever a killed judge left there; the new socket's inode."""
    Path(NAME).unlink(missing_ok=True)
    listener.bind(NAME)
    os.chmod(NAME, 0o600)
    listener.listen(MOST)
    return _inode()


def _inode() -> int:
    try:
        return os.stat(NAME).st_ino
    except FileNotFoundError:
        return 0


def _is_mine(connection: socket.socket) -> bool:
    """Whether the other end is this very account; root, at another's site, is told the same as any other stranger."""
    said = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _, uid, _ = struct.unpack("3i", said)
    return bool(uid == os.geteuid())


def _fork(connection: socket.socket, listener: socket.socket, judge: Callable[[], int]) -> int:
    """A process for this one push; its id. A hook that hangs holds up nobody else."""
    child = os.fork()
    if child:
        return child
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a service that is stopped lets this push be judged to its end
        listener.close()
        if _take_over(connection):
            _answer(connection, judge())
        os._exit(0)
    except BaseException:  # noqa: BLE001 - a fork must never go on as the judge, and no answer refuses the push
        traceback.print_exc()
    os._exit(70)


def _take_over(connection: socket.socket) -> bool:
    """Become the hook: its environment, its folder, its descriptors. False where it no longer wants that."""
    connection.settimeout(_PATIENCE)
    try:
        connection.send(HELLO)
        world, handed, flags, _ = socket.recv_fds(connection, _LONGEST, 4)
    except OSError:  # it went its own way, or is stopped
        return False
    if not world or len(handed) != 4 or flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        return False
    os.environb.clear()
    for pair in world.split(b"\0"):
        name, _, value = pair.partition(b"=")
        os.environb[name] = value
    *standard, folder = handed
    os.fchdir(folder)
    for number, descriptor in enumerate(standard):
        os.dup2(descriptor, number)
    for descriptor in handed:
        os.close(descriptor)
    return True


def _answer(connection: socket.socket, code: int) -> None:
    """Say the exit code, once all words are out and closed: git waits for those who could still say some."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.closerange(0, 3)
    connection.settimeout(_PATIENCE)
    connection.send(b"%d" % code)
