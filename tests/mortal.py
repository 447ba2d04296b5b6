"""Runners and supervisors that die, as by kill -9, at one boundary: just before something that they do to the world.

Python tells an audit hook of each rename, removal, write, lock, message and program before it happens, so boundaries
are found by watching a run, not listed by hand; and just before one thing is just after the one before it. Production
code knows nothing of it.
"""

import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from types import CodeType, FrameType

_EFFECTS = {
    "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown",
    "shutil.rmtree", "subprocess.Popen", "socket.sendto", "socket.sendmsg", "socket.bind", "os.fork", "fcntl.flock",
}  # fmt: skip
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_PACKAGE = f"{Path(__file__).parents[1] / 'gitqueue'}/"
_ON_THE_WAY = ("adapters", "errors", "model", "refs")


def boundary(event: str, frame: FrameType | None) -> str:
    """Where in gitqueue this happens, in words: who does it, and for which step; "" for what is not gitqueue's."""
    names: list[tuple[str, CodeType]] = []
    while frame is not None:
        if frame.f_code.co_filename.startswith(_PACKAGE):
            names.append((frame.f_code.co_filename.removeprefix(_PACKAGE).removesuffix(".py"), frame.f_code))
        frame = frame.f_back
    if not names:
        return ""
    doer = names[0]
    step = next((name for name in names if not name[0].startswith(_ON_THE_WAY)), doer)
    return f"{event} in {doer[0]}.{doer[1].co_name} for {step[0]}.{step[1].co_name}"


def watch(told: Callable[[str], None]) -> None:
    """From now on and for ever, tell of each thing that this process is about to do to the world."""
    inside = threading.local()

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES
        if (event not in _EFFECTS and not writes) or getattr(inside, "busy", False):
            return
        inside.busy = True
        try:
            if place := boundary(event, sys._getframe(1)):
                told(place)
        finally:
            inside.busy = False

    sys.addaudithook(hook)


def die_at(places: Collection[str], mark: str, time: int = 1, later: float = 0) -> None:
    """Die before any of these happens for the first (second, …) time, or so many seconds later; `mark`, a file, then
    holds which."""
    seen = Counter[str]()

    def told(now: str) -> None:
        seen[now] += 1
        if now in places and seen[now] == time:
            if later:
                threading.Timer(later, _die, (mark, now)).start()
            else:
                _die(mark, now)

    watch(told)


def _die(mark: str, place: str) -> None:
    """By _exit, which a first process of its namespace can do, too; nothing is flushed, closed or unwound."""
    note(mark, place)
    os._exit(9)


def note_in(file: str) -> None:
    """Write each boundary down as it is passed."""
    watch(lambda now: note(file, now))


def note(file: str, place: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(descriptor, f"{place}\n".encode())
    os.close(descriptor)
