"""The real data where they lie: their digests, and whether the sandbox user can read them. Nothing is copied.

An asset is a file or a folder, on a path that the operator has named. A fault here is the operator's to mend, never
the requester's, so all that is raised is OperatorNeeded.
"""

import errno
import hashlib
import json
import os
import pwd
import re
import select
import shlex
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from gitqueue.errors import OperatorNeeded

FRESH = 2_000_000_000  # ns: what changed so lately may change again within one tick of its clock (git: "racily clean")
MOST = 5  # reasons from inside one folder
TRIED = 100_000  # files of one folder that `readable_by` opens
PATIENCE = 60.0  # seconds for that; a network file system that hangs must not hang the runner


class _Seen(NamedTuple):
    """A regular file, or a link inside a folder, as it stands: nothing can write to it and leave all five alone."""

    name: str
    target: str
    device: int
    inode: int
    size: int
    modified: int
    changed: int


def digest(path: Path, cache: Path) -> str:
    """SHA-256 in hex: of a file's bytes; of a folder's files, by sorted relative name, size and SHA-256.

    Computed once, then kept in `cache` until a file's device, inode, size or times change. A link within a folder
    counts as the text it holds. Raises OperatorNeeded for what is missing or unreadable, is neither file nor folder,
    leads out of its folder, or changed while it was read.
    """
    with _operator_mends(path):
        real, now = path.resolve(strict=True), time.time_ns()
        before = _seen(real)
        state = hashlib.sha256(json.dumps(before).encode()).hexdigest()
        kept = cache / hashlib.sha256(os.fsencode(real)).hexdigest()
        if found := _recall(kept, state):
            return found
        computed = _of_folder(real, before) if real.is_dir() else _of_file(real)
        if _seen(real) != before:
            raise OperatorNeeded(f"{path} changed while it was read", step="let nobody write there, then try again")
    if all(now - max(file.modified, file.changed) > FRESH for file in before):
        _keep(kept, f"{state} {computed}\n")
    return computed


def standing(path: Path) -> str:
    """What tells whether data are still the same bytes, without reading them: names, links, sizes and times.

    Neither device nor inode: a cluster's node sees the same file under other numbers. A file put in the place of
    another has its own time of change, whatever else it copies. Raises OperatorNeeded as `digest` does.
    """
    with _operator_mends(path):
        seen = _seen(path.resolve(strict=True))
    told = [(file.name, file.target, file.size, file.modified, file.changed) for file in seen]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def disturbed(path: Path, before: str) -> str:
    """Why what a job read there is not what its record says; "" where it stands as it stood."""
    try:
        same = standing(path) == before
    except OperatorNeeded as error:
        return "; ".join(error.reasons)
    return "" if same else f"{path} changed after the job was given it"


def readable_by(path: Path, uid: int, gid: int) -> tuple[str, ...]:
    """Why this user can't read the data; nothing where they can. Tried, not guessed: modes, ACLs and mounts all count.

    As root, a child process becomes that user (without further groups) and opens everything; else this process tries
    as whom it is.
    """
    try:
        return tuple(f"{lack.path}: user {uid} {lack.why}" for lack in _lacks(path, uid, gid))
    except OSError as error:
        return (f"{error.filename or path}: {error.strerror}",)


def closed_to(path: Path, uid: int, gid: int) -> tuple[tuple[str, str], ...]:
    """The folders on the way to a path that a user may not pass, each with the line that lets them."""
    lacks = [lack for lack in _lacks(path, uid, gid) if lack.place != Path(os.path.abspath(path))]
    return tuple((f"{lack.path}: user {uid} {lack.why}", _line(lack, str(uid))) for lack in lacks)


def remedy(path: Path, user: str) -> tuple[str, ...]:
    """The setfacl lines after which `user` can read the data: folders on the way first, and only what is needed."""
    try:
        account = pwd.getpwnam(user)
    except KeyError as error:
        raise OperatorNeeded(f"there is no user {user!r} on this machine", step="gitqueue doctor --fix") from error
    with _operator_mends(path):
        lacks = _lacks(path, account.pw_uid, account.pw_gid)
    return tuple(dict.fromkeys(_line(lack, user) for lack in lacks))


def open_to(path: Path, user: str) -> None:
    """Let `user` read data that are ours, by those lines. Raises OperatorNeeded with what is left to do."""
    for line in remedy(path, user):
        done = subprocess.run(shlex.split(line), capture_output=True, check=False)
        if done.returncode:
            raise OperatorNeeded(f"{path}: {done.stderr.decode('utf-8', 'replace').strip()}", step=line)


def _line(lack: "_Lack", user: str) -> str:
    return f"setfacl {lack.entry.format(user)} {shlex.quote(str(lack.place))}"


def _seen(real: Path) -> tuple[_Seen, ...]:
    if not real.is_dir():
        return (_look(real, "", os.fspath(real)),)
    names = sorted(_names(real), key=os.fsencode)
    return tuple(_look(real, name, os.path.join(real, name)) for name in names)


def _names(folder: Path) -> Iterator[str]:
    """Of all files and links below, relative. Links are not followed, and a folder that can't be listed is an error."""
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        with os.scandir(folder / inside) as entries:
            for entry in entries:
                name = os.path.join(inside, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(name)
                else:
                    yield name


def _look(real: Path, name: str, path: str) -> _Seen:
    status = os.lstat(path)
    target = ""
    if stat.S_ISLNK(status.st_mode):
        target = os.readlink(path)
        if os.path.isabs(target) or not Path(os.path.realpath(path)).is_relative_to(real):
            # An absolute link is another file inside the sandbox, even if it leads back here.
            raise OperatorNeeded(
                f"{path} is a link out of its folder, to {target!r}", step="put the file there, or bind it"
            )
    elif not stat.S_ISREG(status.st_mode):
        raise OperatorNeeded(f"{path} is neither a file nor a folder", step="remove it, or bind something else")
    return _Seen(name, target, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _of_file(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _of_folder(real: Path, files: tuple[_Seen, ...]) -> str:
    whole = hashlib.sha256()
    for file in files:
        inner = hashlib.sha256(os.fsencode(file.target)).hexdigest() if file.target else _of_file(real / file.name)
        kind = "link" if file.target else "file"
        whole.update(b"\0".join((kind.encode(), os.fsencode(file.name), b"%d" % file.size, inner.encode(), b"")))
    return whole.hexdigest()


def _recall(kept: Path, state: str) -> str | None:
    with suppress(OSError, UnicodeDecodeError):
        found = re.fullmatch(rf"{state} ([0-9a-f]{{64}})\n", kept.read_text(encoding="ascii"))
        return found[1] if found else None
    return None


def _keep(kept: Path, line: str) -> None:
    """A cache: where it can't be written, the next one computes again."""
    with suppress(OSError), ExitStack() as undo:
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = undo.enter_context(tempfile.NamedTemporaryFile("w", dir=kept.parent, delete=False))
        undo.callback(Path(file.name).unlink, missing_ok=True)
        file.write(line)
        file.flush()
        os.replace(file.name, kept)


class _Lack(NamedTuple):
    """What keeps a user from the data: `path`, `why`, and the ACL `entry` that `place` needs."""

    path: Path
    why: str
    place: Path
    entry: str


def _lacks(path: Path, uid: int, gid: int) -> tuple[_Lack, ...]:
    """Each folder on the way is tried by itself, through a descriptor, so that one closed door hides no other."""
    top = Path(os.path.abspath(path))
    way = list(dict.fromkeys((*reversed(top.parents), *reversed(top.resolve(strict=True).parents))))
    with ExitStack() as undo:
        doors = [_handle(place, undo) for place in (*way, top)]
        faults = _as_user(uid, gid, lambda: _try(doors, top), doors)
    return tuple(_lack(way, top, number, inner, code) for number, inner, code in faults)


def _handle(place: Path, undo: ExitStack) -> int:
    descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)
    undo.callback(os.close, descriptor)
    return descriptor


Fault = tuple[int, str, int]  # which door, which name inside the last one, errno


def _try(doors: list[int], top: Path) -> list[Fault]:
    """Runs as the user. /proc/self/fd asks for the permissions of that file alone, not of the way to it."""
    *way, last = (f"/proc/self/fd/{door}" for door in doors)
    faults = [(number, "", code) for number, place in enumerate(way) if (code := _fault(os.stat, f"{place}/."))]
    faults += [(len(way), inner, code) for inner, code in _try_inside(last)]
    if not faults and (code := _fault(_open, str(top))):
        faults.append((len(way), "", code))
    return faults


def _try_inside(last: str) -> Iterator[tuple[str, int]]:
    """The names in a folder that can't be read, "" for itself; at most MOST."""
    found, tried, waiting = 0, 0, [("", os.path.isdir(last))]
    while waiting and found < MOST and tried < TRIED:
        name, is_folder = waiting.pop()
        path = os.path.join(last, name) if name else last
        tried += 1
        if code := _fault(_open, f"{path}/." if is_folder else path):
            found += 1
            yield name, code
        elif is_folder:
            waiting.extend(_inside(path, name))


def _inside(path: str, name: str) -> Iterator[tuple[str, bool]]:
    """Files and folders alone: to open a device can do something, and links are tried where they lead."""
    with os.scandir(path) as entries:
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder or entry.is_file(follow_symlinks=False):
                yield os.path.join(name, entry.name), is_folder


def _open(path: str) -> None:
    """Also reads: some network file systems refuse only then."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.read(descriptor, 1)
    except IsADirectoryError:
        os.listdir(descriptor)
    finally:
        os.close(descriptor)


def _fault(act: Callable[[str], object], path: str) -> int:
    try:
        act(path)
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def _lack(way: list[Path], top: Path, number: int, inner: str, code: int) -> _Lack:
    on_the_way = number < len(way)
    path = way[number] if on_the_way else top / inner
    verb = "may not pass through" if on_the_way else "may not read"
    why = (
        f"{verb} it ({_owner(path)})" if code in (errno.EACCES, errno.EPERM) else f"cannot read it: {os.strerror(code)}"
    )
    if on_the_way:
        return _Lack(path, why, path, "-m u:{}:x")
    # A folder as a whole, and what will be put there: `X` is search, for folders alone.
    return _Lack(path, why, top, "-R -m u:{0}:rX,d:u:{0}:rX" if top.is_dir() else "-m u:{}:r")


def _owner(path: Path) -> str:
    status = path.stat()
    try:
        owner = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        owner = str(status.st_uid)
    return f"mode {stat.S_IMODE(status.st_mode):04o}, owner {owner}"


def _as_user(uid: int, gid: int, act: Callable[[], list[Fault]], kept: Collection[int]) -> list[Fault]:
    """What `act` returns, done by a child that has become the user; it runs no program and no other thread."""
    if os.geteuid() != 0 or uid == 0:
        return act()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _child(uid, gid, act, {*kept, writing}, writing)
    os.close(writing)
    try:
        return _answer(reading)
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)  # not reaped yet, so the number is still its own
        os.waitpid(child, 0)


def _child(uid: int, gid: int, act: Callable[[], list[Fault]], kept: Collection[int], writing: int) -> None:
    try:
        _close_all_but(kept)
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        os.write(writing, json.dumps(act()).encode())
    except OSError as error:
        os.write(writing, json.dumps(error.errno).encode())
    finally:
        os._exit(0)  # neither buffers nor exit handlers of the parent are this process's to run


def _close_all_but(kept: Collection[int]) -> None:
    """So that no lock of the runner's, which a killed one lets go of, stays here for as long as a file system hangs."""
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor > 2 and descriptor not in kept:
            with suppress(OSError):  # that of the listing itself
                os.close(descriptor)


def _answer(reading: int) -> list[Fault]:
    text, end = b"", time.monotonic() + PATIENCE
    while select.select([reading], [], [], max(end - time.monotonic(), 0))[0]:
        piece = os.read(reading, 65536)
        text += piece
        if not piece:
            break
    else:
        raise OSError(errno.ETIMEDOUT, f"no answer within {PATIENCE:.0f} s")
    answer = json.loads(text or b"5")
    if isinstance(answer, int):
        raise OSError(answer, f"trying as the user failed: {os.strerror(answer)}")
    return [(number, inner, code) for number, inner, code in answer]


@contextmanager
def _operator_mends(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        step = "gitqueue dataset bind DATASET ASSET=PATH, where the data lie"
        raise OperatorNeeded(f"{error.filename or path} is not there", step=step) from error
    except OSError as error:
        reason = f"{error.filename or path} cannot be read: {error.strerror}"
        raise OperatorNeeded(reason, step="let the site's account read it, then try again") from error


_TABLES = (".csv", ".tsv")


def rows(path: str) -> int | None:
    """Lines of a table below its head, as they are counted without parsing; None for what is no table by its name."""
    if not path.lower().endswith(_TABLES):
        return None
    try:
        with open(path, "rb") as file:
            return max(0, sum(part.count(b"\n") for part in iter(lambda: file.read(1 << 20), b"")) - 1)
    except OSError:
        return None


def rows_in(content: bytes | None) -> int | None:
    """The same of a table's bytes."""
    return None if content is None else max(0, content.count(b"\n") - 1)
