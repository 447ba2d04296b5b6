"""The runner's bell: a datagram on a local socket. Ringing never blocks and never fails; listening may time out."""

import contextlib
import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path


def wake(path: Path) -> bool:
    """Ring once. False where nobody listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell, _reachable(path) as name:
        bell.setblocking(False)
        try:
            bell.sendto(b"\n", name)
        except OSError:  # nobody listens, or the bell is ringing already
            return False
        return True


@contextlib.contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """A name of at most 107 bytes for a socket that may lie deeper than that."""
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        yield str(path)
        return
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class Bell:
    """The listening end. Use as a context manager; made by the one runner that holds the site's lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def __enter__(self) -> "Bell":
        self._path.unlink(missing_ok=True)
        with _reachable(self._path) as name:
            self._socket.bind(name)
        self._path.chmod(0o600)
        self._socket.setblocking(False)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def wait(self, seconds: float, *others: int) -> bool:
        """Wait until somebody rings, one of the other descriptors is readable, or the time is up; whether it rang."""
        ready, _, _ = select.select([self._socket.fileno(), *others], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            while self._socket.fileno() in ready:
                self._socket.recv(64)
        return self._socket.fileno() in ready
