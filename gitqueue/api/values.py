"""Values and the files that hold them: as a job gets them, and as its results come back."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from gitqueue.adapters import resources
from gitqueue.errors import Mistake
from gitqueue.rules.manifest import RETURNED

_FIRST = RETURNED[0].removesuffix(".*")  # what entry.py calls a result


@cache
def _entry() -> ModuleType:
    """The very loader of the sandbox."""
    path = resources.folder("templates") / "job" / "entry.py"
    spec = importlib.util.spec_from_file_location("gitqueue_entry", path)
    if spec is None or spec.loader is None:
        raise ImportError(str(path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(path: Path) -> Any:
    """A frame, an array, a plain value or the path, by the file's type, as in a job (pandas and numpy where they are
    installed)."""
    return _entry().load(path)


def result(files: Mapping[str, bytes]) -> Any:
    """What a function returned, from the files that it was written to: a value, or a tuple of several."""
    named = {Path(name).stem: (Path(name).suffix, data) for name, data in files.items()}
    if _FIRST in named:
        return _value(*named[_FIRST])
    several = [named[name] for number in range(1, len(named) + 1) if (name := f"{_FIRST}-{number}") in named]
    if not several:
        raise Mistake("no result of a function is among the released files", step="look at job.results")
    return tuple(_value(kind, data) for kind, data in several)


def _value(kind: str, data: bytes) -> Any:
    if kind == ".json":
        return json.loads(data)
    if kind == ".csv":
        return _pandas().read_csv(io.BytesIO(data))
    import numpy

    return numpy.load(io.BytesIO(data), allow_pickle=False)


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise Mistake("this is a table, and pandas is not installed here", step="pip install pandas") from error
    return pandas


def content(value: object) -> tuple[str, bytes]:
    """The suffix and bytes of the file that holds a value: a frame, an array, plain values, or a path to a file."""
    if isinstance(value, str | Path):
        path = Path(value)
        return path.suffix, path.read_bytes()
    if _is(value, "pandas", "DataFrame"):
        return ".csv", value.to_csv(index=False).encode()  # type: ignore[attr-defined]
    if _is(value, "numpy", "ndarray"):
        import numpy

        held = io.BytesIO()
        numpy.save(held, value, allow_pickle=False)
        return ".npy", held.getvalue()
    try:
        return ".json", json.dumps(value, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise Mistake(f"a value of type {type(value).__name__} fits no file: {error}", step=_KINDS) from error


_KINDS = "give a pandas frame, a numpy array, plain values, or a file's path"


def _is(value: object, library: str, name: str) -> bool:
    kind = getattr(sys.modules.get(library), name, None)
    return isinstance(kind, type) and isinstance(value, kind)


def same(one: object, other: object) -> bool:
    """Whether two values hold the same."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if _is(one, "pandas", "DataFrame"):
        return bool(one.equals(other))  # type: ignore[attr-defined]
    if _is(one, "numpy", "ndarray"):
        return one.shape == other.shape and bool((one == other).all())  # type: ignore[attr-defined]
    return bool(one == other)
