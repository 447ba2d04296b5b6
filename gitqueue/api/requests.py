"""What a requester asks for, as the files of a request: from a folder, a script, or a function."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict, overload

import yaml

from gitqueue.adapters import environment
from gitqueue.api.datasets import Asset, Dataset
from gitqueue.errors import Mistake
from gitqueue.model import FILE, PROGRAM
from gitqueue.rules import function as functions
from gitqueue.rules.policy import Policy

Requirements = Sequence[str] | str | Path
_LEFT_OUT = frozenset((".git", "__pycache__", ".ipynb_checkpoints", ".venv", ".DS_Store"))


class About(TypedDict, total=False):
    """What may be said of a request, as in job.yaml: beside its code, what owners decide by."""

    description: str
    purpose: str
    project: str | Mapping[str, str]
    tags: Sequence[str]
    outputs: Sequence[str]
    limits: Mapping[str, str | float]


Held = Mapping[str, tuple[int, bytes]]  # path -> git's mode, bytes


@dataclass(frozen=True)
class Draft:
    """A request before it is sent."""

    name: str
    files: Held


def names(datasets: Iterable[str | Dataset]) -> list[str]:
    return [one.name if isinstance(one, Dataset) else one for one in datasets]


def document(values: Mapping[str, Any]) -> bytes:
    """job.yaml, without what is empty."""
    kept = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items() if value}
    return yaml.dump(kept, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=4096).encode()


class _Plain(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # by libyaml, in a fifth of the time
    """Without anchors, which no site reads."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def revised(held: Held, code: str | Path | Callable[..., Any], inputs: Mapping[str, Asset], policy: Policy) -> Held:
    """The files of a request with other code: a folder (a Path) in the place of them all; a program's text or file, or
    a function, in the place of its own, with all else as it was. `inputs`: what a function is called with."""
    if isinstance(code, Path) and code.expanduser().is_dir():
        files = dict(_held(code.expanduser(), int(policy.requests.size)))
        return files if "job.yaml" in files or "job.yaml" not in held else {**files, "job.yaml": held["job.yaml"]}
    if callable(code):
        return {**held, "main.py": (FILE, made(code, inputs).source.module.encode())}
    program = next((name for name in ("main.py", "run.sh") if name in held), None)
    if program is None:
        raise Mistake("the request holds no main.py and no run.sh", step="revise it by a folder: job.revise(Path(…))")
    text = code.read_text() if isinstance(code, Path) else code
    return {**held, program: (held[program][0], _ended(text))}


# from a folder


def folder(path: str | Path, name: str | None, policy: Policy, said: Mapping[str, Any]) -> Draft:
    """A folder as it is; where it has no job.yaml, one from `said`."""
    top = Path(path).expanduser()
    if not top.is_dir():
        raise Mistake(f"{str(path)!r} is no folder", step="name the folder that holds run.sh, main.py or job.yaml")
    held = dict(_held(top, int(policy.requests.size)))
    words = {key: value for key, value in said.items() if value}
    if "job.yaml" in held:
        if words:
            raise Mistake(f"{top}/job.yaml says what the job is; it cannot be said again: {', '.join(words)}")
        return Draft(name or _named(held["job.yaml"][1]) or top.resolve().name, held)
    locked = _environment(held, policy)
    name = name or top.resolve().name
    start = {"name": name, "run": _run(held), "environment": locked, "outputs": ["*"]}
    return Draft(name, {**held, "job.yaml": (FILE, document({**start, **words}))})


def _named(job_yaml: bytes) -> str:
    try:
        found = yaml.safe_load(job_yaml)
    except yaml.YAMLError:
        return ""  # judged, with its line, before it is sent
    return str(found.get("name", "")) if isinstance(found, dict) else ""


def _held(top: Path, most: int) -> Iterable[tuple[str, tuple[int, bytes]]]:
    left = most
    for path in sorted(top.rglob("*")):
        inner = path.relative_to(top)
        if _LEFT_OUT & set(inner.parts) or (path.is_dir() and not path.is_symlink()):
            continue
        if path.is_symlink() or not path.is_file():
            raise Mistake(f"{str(path)!r} is no regular file", step="a request holds files and folders alone")
        left -= path.stat().st_size
        if left < 0:
            raise Mistake(f"{str(top)!r} holds more than {most:,} bytes", step="data do not belong into a request")
        yield inner.as_posix(), (PROGRAM if path.stat().st_mode & 0o100 else FILE, path.read_bytes())


def _run(held: Mapping[str, tuple[int, bytes]]) -> str:
    if "run.sh" in held:
        return f"{_shell(held['run.sh'][1])} run.sh"
    if "main.py" in held:
        return "python main.py"
    raise Mistake("nothing tells what to run", step="put a run.sh, main.py or job.yaml into the folder")


def _shell(script: bytes) -> str:
    return "bash" if b"bash" in script.partition(b"\n")[0] else "sh"


def _environment(held: dict[str, tuple[int, bytes]], policy: Policy) -> str | None:
    if "requirements.txt" not in held:
        return None
    held.update(requirements(held["requirements.txt"][1], policy))
    return "requirements.txt"


def requirements(wanted: Requirements | bytes, policy: Policy) -> dict[str, tuple[int, bytes]]:
    """requirements.txt, locked with hashes where the site asks for it and it is not; with what it was made from."""
    if isinstance(wanted, Path):
        wanted = wanted.read_bytes()
    if not isinstance(wanted, bytes):
        wanted = "\n".join([wanted] if isinstance(wanted, str) else [*wanted, ""]).encode()
    if policy.dependencies.policy != "locked" or b"--hash" in wanted:
        return {"requirements.txt": (FILE, wanted)}
    locked = environment.compile_lock(wanted, policy.dependencies.python)
    return {"requirements.in": (FILE, wanted), "requirements.txt": (FILE, locked)}


# from a script


def script(name: str, file: str, code: str | Path, said: Mapping[str, Any]) -> Draft:
    """One program; `said` is job.yaml's, `requirements` among it already as files."""
    text = code.read_text() if isinstance(code, Path) else code
    extra: Mapping[str, tuple[int, bytes]] = said.get("files", {})
    words = {key: value for key, value in said.items() if key != "files"}
    run = f"python {shlex.quote(file)}" if file.endswith(".py") else f"{_shell(text.encode())} {file}"
    environment_ = "requirements.txt" if "requirements.txt" in extra else None
    start = {"name": name, "run": run, "environment": environment_, "outputs": ["*"]}
    body = {file: (FILE, _ended(text)), **extra}
    return Draft(name, {**body, "job.yaml": (FILE, document({**start, **words}))})


def _ended(text: str) -> bytes:
    return (text if text.endswith("\n") else f"{text}\n").encode()


# from a function


@dataclass(frozen=True)
class Function:
    """A function that can be asked for: its source, and the asset that each parameter gets."""

    source: functions.Source
    inputs: Mapping[str, Asset]
    call: Callable[..., Any] = field(repr=False)
    requirements: Requirements | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return self.source.name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Your own function, here, with your own values, and without any sandbox."""
        return self.call(*args, **kwargs)

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={asset.uid}" for name, asset in self.inputs.items())
        return f"function {self.name}({given})\n\n{self.source.text}"

    def draft(self, name: str, policy: Policy, said: Mapping[str, Any]) -> Draft:
        """The files that ask for it."""
        wanted = self.requirements if self.requirements is not None else self._guessed(policy.dependencies.allow)
        held = requirements(wanted, policy) if wanted else {}
        start = {
            "name": name,
            "entrypoint": f"main.py:{self.name}",
            "inputs": {parameter: asset.uid for parameter, asset in self.inputs.items()},
            "datasets": list(dict.fromkeys(asset.dataset for asset in self.inputs.values())),
            "environment": "requirements.txt" if held else None,
            "description": inspect.cleandoc(self.call.__doc__ or ""),
        }
        held["main.py"] = FILE, self.source.module.encode()
        return Draft(name, {**held, "job.yaml": (FILE, document({**start, **said}))})

    def _guessed(self, allowed: Collection[str]) -> tuple[str, ...]:
        """What it imports; and pandas where a table is handed in, so that it comes as a frame."""
        tables = "pandas" in allowed and any(asset.is_table for asset in self.inputs.values())
        return tuple(dict.fromkeys((*self.source.packages(allowed), *(("pandas",) if tables else ()))))


@overload
def function(call: Callable[..., Any], /, *, requirements: Requirements | None = None, **inputs: Asset) -> Function: ...
@overload
def function(
    *, requirements: Requirements | None = None, **inputs: Asset
) -> Callable[[Callable[..., Any]], Function]: ...
def function(
    call: Callable[..., Any] | None = None, /, *, requirements: Requirements | None = None, **inputs: Asset
) -> Function | Callable[[Callable[..., Any]], Function]:
    """Make a function one that can be asked for: `@gq.function(features=asset)`, each parameter an asset.

    Only its source travels. Raises Mistake, with every name and line, where it uses what is defined around it.
    `requirements`: its packages, or a file that locks them; else they are taken from its imports.
    """
    if call is None:
        return lambda later: made(later, inputs, requirements)
    return made(call, inputs, requirements)


def made(call: Callable[..., Any], inputs: Mapping[str, Asset], wanted: Requirements | None = None) -> Function:
    if isinstance(call, Function):
        return Function(call.source, {**call.inputs, **inputs}, call.call, wanted or call.requirements)
    try:
        lines, first = inspect.getsourcelines(call)
    except (OSError, TypeError) as error:
        raise Mistake(f"the source of {call!r} cannot be found: {error}", step="define it in a cell or file") from error
    source = functions.read("".join(lines), max(first, 1))
    reasons = tuple(_unfit(source, inputs))
    if reasons:
        raise Mistake(*reasons, step="name each as in @gq.function(features=dataset['features'])")
    return Function(source, dict(inputs), call, wanted)


def _unfit(source: functions.Source, inputs: Mapping[str, object]) -> Iterable[str]:
    """Why these inputs are not the function's."""
    for name, one in inputs.items():
        if name not in (*source.required, *source.optional):
            yield f"{source.name} has no parameter {name!r}"
        elif not isinstance(one, Asset):
            yield f"{source.name}: {name} is no asset, but a {type(one).__name__}"
    yield from (f"{source.name}: no asset for the parameter {name!r}" for name in source.required if name not in inputs)
