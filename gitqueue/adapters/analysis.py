"""Analyse: what a job's code would do, seen by a program of ours that runs as confined as a job does.

Nothing here parses what a requester wrote. The analyser and the libraries that it needs lie in a folder of their own
that the sandbox user can read: gitqueue itself may be installed in somebody's 0700 home.
"""

import hashlib
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from importlib.util import cache_from_source
from pathlib import Path
from typing import Protocol

from gitqueue.adapters import executors, files, programs, remains, resources, sandbox
from gitqueue.adapters.executors import Executor, local
from gitqueue.adapters.preparation import Code, Host
from gitqueue.errors import GitqueueError
from gitqueue.model import PROGRAM, Bind, Limits, Plan
from gitqueue.rules import findings
from gitqueue.rules.findings import Analysis
from gitqueue.rules.manifest import Manifest
from gitqueue.rules.policy import Dataset
from gitqueue.rules.tree import File

LIMITS = Limits(time=30, memory=1 << 30, cpus=1, processes=32, output=1 << 20, output_files=1)
ANSWER = "findings.json"
TOOLS, INTERPRETER = "/opt/tools", "/opt/python"
_NEEDED = ("bandit", "tree-sitter", "tree-sitter-bash")
_SPARED = frozenset({"pygments", "markdown-it-py", "mdurl"})  # rich colours with them what nobody sees here
_COLUMNS = 200  # identifiers that are told to the analyser
_LATE = {"time-limit": "it took too long", "memory-limit": "it took too much memory"}


class Memory(Protocol):
    """Where an answer is kept from one command to the next: a person's clone."""

    def recall(self, name: str) -> str | None: ...

    def remember(self, name: str, text: str) -> None: ...


def at_home(host: Host, code: Code, datasets: Mapping[str, Dataset], memory: Memory | None = None) -> Analysis:
    """What a job's code would do, seen on a person's own machine; the same files are looked at once.

    Where this machine cannot sandbox, nothing is parsed, and the answer says why.
    """
    told = _told(code.asked, datasets)
    name = f"findings/{_key(code.files, told)}"
    kept = memory.recall(name) if memory else None
    if kept is not None:
        return findings.parse(kept.encode())
    problems = sandbox.problems(host.uid, host.gid)
    if problems:
        return Analysis(missing=f"this machine has no sandbox ({'; '.join(problems)})")
    with scratch(host.gid) as folder:
        said, why = run(folder / "analysis", host, code, datasets)
    if said is None:
        return Analysis(missing=why)
    if memory:
        memory.remember(name, said.decode("ascii", "replace"))
    return findings.parse(said)


@contextmanager
def scratch(gid: int | None) -> Iterator[Path]:
    """A folder that goes again, which the sandbox user may pass through."""
    with tempfile.TemporaryDirectory(prefix="gitqueue-look-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711 if gid is not None else 0o700)
        yield folder


def run(
    folder: Path,
    host: Host,
    code: Code,
    datasets: Mapping[str, Dataset],
    executor: Executor = local,
    ended: Callable[[], bool] = lambda: False,
) -> tuple[bytes | None, str]:
    """Run the analyser in a new folder: what it answered, or None and why it did not. `ended`: nobody wants it now."""
    try:
        folder.mkdir(mode=0o711)
        files.lay_out(folder / "job", ((one.path, one.mode == PROGRAM, one.content or b"") for one in code.files))
        executor.start(folder, _plan(folder, host, _told(code.asked, datasets)))
        executors.wait(executor, folder, ended)
        if executor.standings([folder])[folder] != "ended":
            return None, "the analyser was ended before it could answer"
        return _answer(folder)
    except (OSError, GitqueueError) as error:
        return None, f"the analyser could not be started: {error}"


def _answer(folder: Path) -> tuple[bytes | None, str]:
    record, path = remains.ended(folder), folder / "outputs" / ANSWER
    if record.reason or not path.is_file():
        detail = _LATE.get(record.reason) or record.detail or record.reason or "it said nothing"
        return None, f"the analyser did not come to its end: {detail}"
    return path.read_bytes(), ""


def _plan(folder: Path, host: Host, told: str) -> Plan:
    python, binds = _interpreter(host)
    tools = Bind(str(_tools(host)), TOOLS)
    return Plan(
        command=(python, "-I", "-B", f"{TOOLS}/analysis", told),
        job=str(folder / "job"),
        binds=(tools, *binds),
        environment=(),
        limits=LIMITS,
        declared=(ANSWER,),
        types=(".json",),
        uid=host.uid,
        gid=host.gid,
    )


def _told(asked: Manifest, datasets: Mapping[str, Dataset]) -> str:
    """What the analyser must know of the job, as JSON."""
    from shlex import split

    known = [datasets[name] for name in asked.datasets if name in datasets]
    return json.dumps(
        {
            "run": split(asked.run) if asked.run else None,
            "entrypoint": asked.entrypoint,
            "inputs": list(asked.inputs),
            "datasets": list(asked.datasets),
            "identifiers": [column for dataset in known for column in dataset.identifiers][:_COLUMNS],
        }
    )


def _key(held: tuple[File, ...], told: str) -> str:
    """The same for the same files, question and analyser."""
    digest = hashlib.sha256(f"{_version()}\n{told}\n".encode())
    for file in held:
        digest.update(f"{file.path!r} {file.mode} {file.size}\n".encode())
        digest.update(hashlib.sha256(file.content or b"").digest())
    return digest.hexdigest()


# what the analyser is made of


@cache
def _version() -> str:
    """Of the analyser and all that it works with."""
    digest = hashlib.sha256(sys.version.encode())
    for name in _NEEDED:
        digest.update(f"{name} {_installed(name)}\n".encode())
    for path in sorted(_source().glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:20]


def _source() -> Path:
    return resources.folder("templates") / "sandbox" / "analysis"


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


def _interpreter(host: Host) -> tuple[str, tuple[Bind, ...]]:
    """Our own Python where the sandbox user can read it, for the sake of compiled modules; else the system's."""
    base, prefix = Path(sys.executable).resolve(), Path(sys.base_prefix).resolve()
    if base.is_relative_to("/usr"):
        return str(base), ()
    open_to_all = all(one.stat().st_mode & 0o005 == 0o005 for one in (prefix, *prefix.parents))
    if base.is_relative_to(prefix) and (host.uid is None or open_to_all):
        return f"{INTERPRETER}/{base.relative_to(prefix)}", (Bind(str(prefix), INTERPRETER),)
    return "/usr/bin/python3", ()


def _tools(host: Host) -> Path:
    """The folder of the analyser and its libraries, made once for each version of them."""
    target = host.environments.parent / "tools" / _version()
    if target.is_dir():
        return programs.use(target)
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=target.parent))
    try:
        shutil.copytree(_source(), aside / "analysis", ignore=shutil.ignore_patterns("__pycache__"))
        for name in sorted(_closure(_NEEDED)):
            _copy(metadata.distribution(name), aside / "packages")
        _compile(aside)
        aside.chmod(0o755)
        aside.rename(target)
    except OSError:
        if not target.is_dir():  # another process may have been quicker
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _closure(wanted: tuple[str, ...]) -> set[str]:
    """Packages with what they require, as far as it is installed."""
    found: set[str] = set()
    left = [*wanted]
    while left:
        name = re.sub(r"[-_.]+", "-", left.pop()).lower()
        if name in found or name in _SPARED or _installed(name) == "none":
            continue
        found.add(name)
        lines = [line for line in metadata.requires(name) or () if "extra ==" not in line]
        left += [match[0] for line in lines if (match := re.match(r"[A-Za-z0-9._-]+", line))]
    return found


def _copy(package: metadata.Distribution, folder: Path) -> None:
    for part in package.files or ():
        if (
            ".." not in part.parts and part.suffix != ".pyc"
        ):  # scripts lie above; what is compiled comes with its source
            source, target = Path(str(part.locate())), folder / part
            target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            shutil.copy2(source, target)
            if part.suffix == ".py" and (compiled := Path(cache_from_source(str(source)))).is_file():
                kept = Path(cache_from_source(str(target)))
                kept.parent.mkdir(mode=0o755, exist_ok=True)
                shutil.copy2(compiled, kept)


def _compile(folder: Path) -> None:
    """What is not compiled yet: in a folder that is read-only inside, importing would cost a second each time."""
    from compileall import compile_dir

    compile_dir(folder, quiet=2)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
