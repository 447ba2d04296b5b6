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
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

from gitqueue.adapters.wake import reachable

NAME = "judge"  # of the socket, in the site's private folder
HELLO = b"judge 1 " + os.fsencode(sys.executable)  # 1: how hook and judge talk; see hooks/pre-receive
MOST = 32  # pushes at once; a further one is judged by its own hook
_PATIENCE = 5.0  # seconds for a hook to hand its push over
_LONGEST = 1 << 17  # bytes of environment; the hook sends less
_LOOK = 5.0  # seconds between two looks at whether the socket is still ours
_AGAIN = 10.0  # seconds between two starts: a judge that cannot start must not keep the machine busy
_PACKAGE = Path(__file__).resolve().parents[1]
_STDIN = 0


class Judge:
    """The runner's end. Leaving the context ends the process; so does the runner's death."""

    def __init__(self, private: Path) -> None:
        self._argv = (sys.executable, "-Im", "gitqueue.hook", "judge", str(private.absolute()))
        self._process: subprocess.Popen[bytes] | None = None
        self._not_before = 0.0

    def __enter__(self) -> "Judge":
        return self

    def keep(self) -> None:
        """Start the judge if it is not there: never yet, killed, or ended because the code on the disk has changed."""
        if (self._process and self._process.poll() is None) or monotonic() < self._not_before:
            return
        self._end()
        self._not_before = monotonic() + _AGAIN
        self._process = subprocess.Popen(
            self._argv,
            env={"PATH": os.defpath, "LANG": "C.UTF-8"},
            cwd="/",
            stdin=subprocess.PIPE,  # nothing is ever written: its end tells that the runner is gone
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C at the runner's terminal is not for it
        )

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        if self._process and self._process.stdin:
            self._process.stdin.close()
            self._process.wait()


def serve(private: Path, judge: Callable[[], int]) -> None:
    """The judge's own life: until its stdin ends, its code has changed on the disk, or its socket is not its own."""
    code, children = set(_code()), dict[int, int]()
    gc.freeze()
    with _listening(private / NAME) as listener, select.epoll() as events:
        its = (private / NAME).stat().st_ino
        for descriptor in (_STDIN, listener.fileno()):
            events.register(descriptor, select.EPOLLIN)
        while (private / NAME).stat().st_ino == its:
            for descriptor, _ in events.poll(_LOOK):
                if descriptor == _STDIN:
                    return
                if descriptor in children:
                    os.waitpid(children.pop(descriptor), 0)
                    os.close(descriptor)
                    continue
                connection, _ = listener.accept()
                with connection:
                    if set(_code()) != code:
                        return
                    if len(children) < MOST and _is_mine(connection):
                        pid = _fork(connection, listener, judge)
                        children[os.pidfd_open(pid)] = pid
