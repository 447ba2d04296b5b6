"""The spool's files: whole writes, strict records, and the collecting of what hostile code left behind.

Collection trusts nothing that it finds. It walks by directory descriptors, never by path, so that no link or rename
leads out; it looks before it opens and looks again after; it opens without following and without waiting.
"""

import json
import os
import stat
from _thread import get_ident
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from fnmatch import fnmatchcase
from pathlib import PurePath
from types import GenericAlias, UnionType
from unicodedata import category, normalize

from gitqueue.errors import Tampered
from gitqueue.model import Ended, Limits, Output, Plan, Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

MAX_DEPTH = 16  # folders below the output folder
MAX_PATH = 240  # bytes: as a request's own paths
MAX_REFUSALS = 200  # reasons that a person would read; the rest are counted
TAKEN = "taken"
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_BLOCK = 1 << 20


# --- whole files and strict records ---------------------------------------------------------------------------------


def write_atomic(path: str | os.PathLike[str], content: bytes, mode: int = 0o600) -> None:
    """Write whole or not at all, also when the power fails: a reader sees the old file or the new one."""
    path = os.fspath(path)
    aside = f"{path}.{os.getpid()}.{get_ident()}.tmp"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(fd)
        os.rename(aside, path)
    except BaseException:
        os.unlink(aside)
        raise


def lay_out(folder: "Path", files: Iterable[tuple[str, bool, bytes]]) -> None:
    """Write a job's files, each (path, whether it is a program, bytes), into a new folder that everybody may read.

    Exactly these bytes: it is no checkout, so no attribute or filter has a say.
    """
    folder.mkdir(mode=0o755)
    for name, program, content in files:
        path = folder / name
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if program else 0o644)


def take(folder: str | os.PathLike[str]) -> bool:
    """Take the right to begin a job that a scheduler starts, for ever. False: somebody has it already.

    Exclusive creation holds between the machines of a shared file system, where locks may not; so a job that was
    submitted twice, or is started again after its node was lost, still runs once.
    """
    try:
        fd = os.open(os.path.join(folder, TAKEN), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return False
    os.fsync(fd)
    os.close(fd)
    return True


def encode(value: Plan | Ended) -> bytes:
    """A line for each field: owners read one run's record against another's, and json's own `indent` is slow."""
    lines = (f" {json.dumps(name)}: {json.dumps(found)}" for name, found in asdict(value).items())
    return "{{\n{}\n}}".format(",\n".join(lines)).encode()


def plan(content: bytes) -> Plan:
    """Raises Tampered unless the content is exactly a plan as `encode` writes it."""
    found: Plan = _decoded(Plan, content)
    return found


def ended(content: bytes) -> Ended:
    """Raises Tampered unless the content is exactly a record as `encode` writes it."""
    found: Ended = _decoded(Ended, content)
    return found


def _decoded(kind: type, content: bytes) -> "Any":
    try:
        return _value(kind, json.loads(content, object_pairs_hook=_once), kind.__name__)
    except (ValueError, RecursionError) as error:
        raise Tampered(f"a {kind.__name__} record is not JSON: {error}") from error


def _once(pairs: "list[tuple[str, Any]]") -> "dict[str, Any]":
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a key stands twice")
    return names


def _value(kind: "Any", raw: "Any", where: str) -> "Any":
    """`raw` as the annotation `kind` says; only the few shapes that the model uses."""
    if type(raw) is kind:
        return raw
    if is_dataclass(kind):
        return _record(kind, raw, where)
    if isinstance(kind, GenericAlias):
        return _tuple(kind, raw, where)
    if isinstance(kind, UnionType):
        return None if raw is None else _value(kind.__args__[0], raw, where)
    if kind is float and type(raw) is int:
        return float(raw)
    raise Tampered(f"{where} is {raw!r:.80}, not {kind.__name__}")


def _record(kind: "Any", raw: "Any", where: str) -> "Any":
    if type(raw) is not dict:
        raise Tampered(f"{where} is {raw!r:.80}, not a record")
    known = {field.name: field for field in fields(kind)}
    needed = {name for name, field in known.items() if field.default is MISSING}
    if wrong := (raw.keys() - known.keys()) | (needed - raw.keys()):
        raise Tampered(f"{where} has unknown or missing keys: {', '.join(sorted(wrong))}")
    return kind(**{name: _value(known[name].type, raw[name], f"{where}.{name}") for name in raw})


def _tuple(kind: GenericAlias, raw: "Any", where: str) -> "Any":
    if type(raw) is not list:
        raise Tampered(f"{where} is {raw!r:.80}, not a list")
    kinds = kind.__args__ if kind.__args__[-1] is not ... else kind.__args__[:1] * len(raw)
    if list(kinds) == [type(item) for item in raw]:
        return tuple(raw)
    if len(kinds) != len(raw):
        raise Tampered(f"{where} has {len(raw)} elements instead of {len(kinds)}")
    return tuple(_value(one, item, f"{where}[{at}]") for at, (one, item) in enumerate(zip(kinds, raw, strict=True)))


# --- collecting -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Gathering:
    """What one collection knows so far."""

    declared: tuple[str, ...]
    types: tuple[str, ...]
    limits: Limits
    destination: str
    device: int
    outputs: list[Output] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    unnamed: int = 0
    over: bool = False
    files: int = 0
    entries: int = 0
    bytes: int = 0
    names: set[str] = field(default_factory=set)

    def refuse(self, name: str, reason: str) -> None:
        if len(self.refused) < MAX_REFUSALS:
            self.refused.append(Refusal(shown(name), reason))
        else:
            self.unnamed += 1

    @property
    def full(self) -> bool:
        """Links, devices and folders count as well: nobody keeps us busy with what is no file."""
        return self.entries > 4 * self.limits.output_files + 1000


def collect(
    source: str | os.PathLike[str],
    declared: tuple[str, ...],
    types: tuple[str, ...],
    limits: Limits,
    destination: str | os.PathLike[str],
) -> tuple[tuple[Output, ...], tuple[Refusal, ...], bool]:
    """Copy what may leave to `destination`/outputs and other plain files to `destination`/undeclared.

    `declared` are shell patterns over the path below `source` (`*` also crosses `/`); `types` the suffixes that policy
    allows, with their dot. Call it when every process of the job is gone. Each refusal's reason is a sentence for an
    owner; the last value says whether there was more than the limits allow. Bounded in time, memory and descriptors
    whatever the tree holds.
    """
    root = os.open(source, _OPEN | os.O_DIRECTORY)
    try:
        gathering = _Gathering(declared, types, limits, os.fspath(destination), os.fstat(root).st_dev)
        _walk(gathering, root, "")
    finally:
        os.close(root)
    if gathering.unnamed:
        gathering.refused.append(Refusal("…", f"and {gathering.unnamed} more"))
    return tuple(gathering.outputs), tuple(gathering.refused), gathering.over


def _walk(gathering: _Gathering, folder: int, above: str) -> None:
    for name in _names(gathering, folder, above):
        path = above + name
        found = os.lstat(name, dir_fd=folder)
        if reason := _bad_name(gathering, path, name):
            gathering.refuse(path, reason)
        elif stat.S_ISDIR(found.st_mode):
            _descend(gathering, folder, name, path)
        elif reason := _bad_kind(found, gathering.device):
            gathering.refuse(path, reason)
        else:
            _take(gathering, folder, name, path)


def _names(gathering: _Gathering, folder: int, above: str) -> list[str]:
    """The folder's names in order, as many as are still looked at."""
    found: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            gathering.entries += 1
            if gathering.full:
                gathering.over = True
                gathering.refuse(above or "/", "too many files and folders; the rest was not looked at")
                break
            found.append(entry.name)
    return sorted(found)


def _descend(gathering: _Gathering, folder: int, name: str, path: str) -> None:
    if path.count("/") >= MAX_DEPTH:
        gathering.refuse(path, f"folders are more than {MAX_DEPTH} deep; not looked at")
        return
    below = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=folder)
    try:
        if os.fstat(below).st_dev != gathering.device:
            gathering.refuse(path, "another file system")
        else:
            _walk(gathering, below, path + "/")
    finally:
        os.close(below)


def _take(gathering: _Gathering, folder: int, name: str, path: str) -> None:
    fd = os.open(name, _OPEN, dir_fd=folder)
    with os.fdopen(fd, "rb", buffering=0) as file:
        found = os.fstat(fd)
        reason = _bad_kind(found, gathering.device)
        if not reason and (reason := _too_much(gathering, found.st_size)):
            gathering.over = True
        if reason:
            gathering.refuse(path, reason)
            return
        gathering.files += 1
        gathering.bytes += found.st_size
        reason = _undeclared(gathering, path)
        kept = _copied(file.fileno(), found.st_size, gathering.destination, "undeclared" if reason else "outputs", path)
    if reason:
        gathering.refuse(path, reason)
    else:
        gathering.outputs.append(Output(path, found.st_size, kept))


def _copied(fd: int, size: int, destination: str, aside: str, path: str) -> str:
    """Copy exactly `size` bytes and give their SHA-256 in hex, hashed as they pass."""
    from hashlib import sha256

    target = os.path.join(destination, aside, path)
    os.makedirs(os.path.dirname(target), mode=0o750, exist_ok=True)
    digest, left = sha256(), size
    with open(target, "xb", buffering=0, opener=_private) as copy:
        while left and (block := os.read(fd, min(left, _BLOCK))):
            digest.update(block)
            copy.write(block)
            left -= len(block)
    if left:
        raise OSError(f"{shown(path)} shrank while it was read, after every process was gone")
    return digest.hexdigest()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)


def _undeclared(gathering: _Gathering, path: str) -> str:
    if not any(fnmatchcase(path, pattern) for pattern in gathering.declared):
        return "not declared under `outputs` in job.yaml"
    suffix = PurePath(path).suffix.lower()
    if suffix not in gathering.types:
        return f"the type {suffix or 'without a suffix'!r} is not among those that the site lets out"
    return ""


def _too_much(gathering: _Gathering, size: int) -> str:
    if gathering.files >= gathering.limits.output_files:
        return f"more than {gathering.limits.output_files} files"
    if gathering.bytes + size > gathering.limits.output:
        return f"with its {size} bytes all outputs would be more than {gathering.limits.output} bytes"
    return ""


def _bad_kind(found: os.stat_result, device: int) -> str:
    if not stat.S_ISREG(found.st_mode):
        return f"a {_KINDS.get(stat.S_IFMT(found.st_mode), 'special file')}, not a plain file"
    if found.st_nlink != 1:
        return "a file with several names (hard links)"
    if found.st_dev != device:
        return "on another file system"
    if found.st_size > found.st_blocks * 512 + 4096:
        return f"a file with holes: {found.st_size} bytes stand for {found.st_blocks * 512}"
    return ""


_KINDS = {
    stat.S_IFLNK: "symbolic link",
    stat.S_IFIFO: "named pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "block device",
    stat.S_IFCHR: "character device",
}


def _bad_name(gathering: _Gathering, path: str, name: str) -> str:
    """Names end up in git trees, tar files, terminals and other people's file systems."""
    try:
        long = len(path.encode()) > MAX_PATH
    except UnicodeEncodeError:
        return "a name that is not UTF-8"
    if long:
        return f"a path of more than {MAX_PATH} bytes"
    folded = normalize("NFC", path).casefold()
    if folded in gathering.names:
        return "a name that differs from another only by case or Unicode form"
    gathering.names.add(folded)
    return next(_name_faults(name), "")


def _name_faults(name: str) -> Iterator[str]:
    if name.casefold().startswith(".git"):
        yield "a name that git itself uses"
    if name.startswith("-"):
        yield "a name that programs take for an option"
    if ".." in name:
        yield "a name with '..'"
    if any(category(one) in _UNSEEN for one in name) or "\\" in name:
        yield "a name with invisible or control characters"


# Unicode categories: control, format (bidi among them), surrogate, private, unassigned, line and paragraph separators.
_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def shown(name: str) -> str:
    """A name as text that is safe on a terminal and in JSON: what cannot be seen stands as its code."""
    visible = "".join(one if category(one) not in _UNSEEN else f"\\u{ord(one):04x}" for one in name)
    return visible if len(visible) <= MAX_PATH else visible[:MAX_PATH] + "…"
