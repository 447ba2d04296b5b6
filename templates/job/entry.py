"""Runs a function job: loads what its parameters ask for, calls the function, writes what it returns.

    python entry.py main.py:analyse features=breast-cancer/features.csv      (paths below $GITQUEUE_DATA)

Inside the sandbox, in the job's folder, beside the job and unchangeable for it; standard library only, and whatever the
job's own environment brings. Loads CSV as a pandas frame and NPY as a numpy array where the environment has these (else
the parameter is the file's path), JSON as plain values, and anything else, folders too, as a path. Writes to
$GITQUEUE_OUTPUT what came back: frames and series as result.csv, arrays as result.npy, plain values as result.json (NaN
and infinity, which JSON lacks, as null); a tuple is several results, result-1, result-2 and so on. Never a pickle.
"""

import importlib.util
import json
import math
import os
import sys
from pathlib import Path

PLAIN = "None, bool, int, float, str, lists and dicts of these, pandas frames and series, numpy arrays, or a tuple"


def main(entrypoint, *inputs):
    function = found(*entrypoint.rsplit(":", 1))
    data = Path(os.environ["GITQUEUE_DATA"])
    loaded = {name: load(data / path) for name, _, path in (given.partition("=") for given in inputs)}
    save(function(**loaded), Path(os.environ["GITQUEUE_OUTPUT"]))


def found(file, name):
    """The function, of a module that is loaded as `import` would."""
    path = Path(file).absolute()
    sys.path[0] = str(path.parent)
    module = path.stem if path.stem not in sys.stdlib_module_names else f"job_{path.stem}"
    spec = importlib.util.spec_from_file_location(module, path)
    sys.modules[module] = code = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(code)
    function = getattr(code, name, None)
    if not callable(function):
        raise SystemExit(f"gitqueue: {file} has no function {name!r}: mend `entrypoint` in job.yaml")
    return function


# --- in --------------------------------------------------------------------------------------------------------------


def load(path):
    kind = path.suffix.lower() if path.is_file() else ""
    if kind == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    if kind == ".csv" and there("pandas"):
        import pandas

        return pandas.read_csv(path)
    if kind == ".npy" and there("numpy"):
        import numpy

        return numpy.load(path, allow_pickle=False)
    return path


def there(library):
    return importlib.util.find_spec(library) is not None


# --- out -------------------------------------------------------------------------------------------------------------


def save(value, output):
    if not isinstance(value, tuple):
        return write(value, output, "result")
    if not value:
        raise SystemExit("gitqueue: the function returned an empty tuple: there is no result")
    for number, one in enumerate(value, 1):
        write(one, output, f"result-{number}")


def write(value, output, name):
    if is_a(value, "pandas", "Series"):
        value = value.to_frame()
    if is_a(value, "pandas", "DataFrame"):
        # The index says which row is which, unless it only counts them.
        value.to_csv(output / f"{name}.csv", index=not is_a(value.index, "pandas", "RangeIndex"))
    elif is_a(value, "numpy", "ndarray"):
        array(value, output / f"{name}.npy", name)
    else:
        text = json.dumps(plain(value, name, 0), indent=1, ensure_ascii=False, allow_nan=False)
        (output / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def array(value, path, name):
    import numpy

    if value.dtype.hasobject:
        refuse(name, f"an array of Python objects (dtype {value.dtype})")
    numpy.save(path, value, allow_pickle=False)


def plain(value, where, depth):
    """The value as JSON has it. Ends the job at anything else, naming the place and the type."""
    if is_a(value, "numpy", "generic") or is_a(value, "numpy", "ndarray"):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if depth > 100:
        refuse(where[:80], "nested more than 100 deep")
    if isinstance(value, dict):
        return {key(each, where): plain(value[each], f"{where}[{each!r}]", depth + 1) for each in value}
    if isinstance(value, (list, tuple)):
        return [plain(each, f"{where}[{at}]", depth + 1) for at, each in enumerate(value)]
    refuse(where, f"of type {type(value).__module__}.{type(value).__qualname__}")


def key(value, where):
    value = plain(value, where, 0) if is_a(value, "numpy", "generic") else value
    if isinstance(value, (str, int, float, bool)):
        return str(value)
    refuse(where, f"a dict with a key of type {type(value).__qualname__}")


def is_a(value, library, name):
    """Without importing the library: nobody can hold a value of one that was never imported."""
    kind = getattr(sys.modules.get(library), name, None)
    return isinstance(kind, type) and isinstance(value, kind)


def refuse(where, what):
    raise SystemExit(f"gitqueue: {where} is {what}, which no file of results can hold; return {PLAIN} of them")


if __name__ == "__main__":
    main(*sys.argv[1:])
