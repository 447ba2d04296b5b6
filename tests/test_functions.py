"""Function jobs: what a parameter gets, what a returned value becomes, at home and at the site."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Desk, Done, Town, done

ENTRY = Path(__file__).parents[1] / "templates" / "job" / "entry.py"
BARE = Path("/usr/bin/python3")


@pytest.fixture
def called(tmp_path: Path) -> Callable[..., Done]:
    """Calls `f`, of a module with this text, by the sandbox's command line; its outputs are in `out`."""

    def call(code: str, *inputs: str, python: Path = BARE) -> Done:
        (tmp_path / "job").mkdir(exist_ok=True)
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "job/main.py").write_text(code)
        words = [python, "-B", ENTRY, "main.py:f", *inputs]
        places = {"GITQUEUE_DATA": str(tmp_path), "GITQUEUE_OUTPUT": str(tmp_path / "out")}
        ended = subprocess.run(words, cwd=tmp_path / "job", env=places, capture_output=True, text=True)
        return Done(ended.returncode, ended.stdout, ended.stderr)

    return call


def outputs(tmp_path: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((tmp_path / "out").iterdir())}


@pytest.mark.parametrize(
    ("returned", "written"),
    [
        ("0.5", 0.5),
        ("None", None),
        ("True", True),
        ("'ä'", "ä"),
        ("{'a': [1, (2, 3)], 4: {'b': None}}", {"a": [1, [2, 3]], "4": {"b": None}}),
        ("[float('nan'), float('-inf'), 1.0]", [None, None, 1.0]),
    ],
)
def test_plain_values_become_json(called: Callable[..., Done], tmp_path: Path, returned: str, written: object) -> None:
    done(called(f"def f(): return {returned}"))
    (text,) = outputs(tmp_path).values()
    assert json.loads(text, parse_constant=pytest.fail) == written


def test_a_tuple_is_several_results(called: Callable[..., Done], tmp_path: Path) -> None:
    done(called("def f(): return 0.9859, {'n': 2}"))
    assert outputs(tmp_path) == {"result-1.json": "0.9859\n", "result-2.json": '{\n "n": 2\n}\n'}


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("{1, 2}", "result is of type builtins.set, which no file of results can hold; return None, bool"),
        ("{'a': [0, open]}", "result['a'][1] is of type builtins.builtin_function_or_method"),
        ("(1, f)", "result-2 is of type builtins.function"),
        ("(n for n in 'ab')", "result is of type builtins.generator"),
        ("{(1, 2): 3}", "result is a dict with a key of type tuple"),
        ("()", "the function returned an empty tuple"),
        ("a", "nested more than 100 deep"),
    ],
)
def test_what_no_file_can_hold_is_refused_with_its_type(called: Callable[..., Done], returned: str, said: str) -> None:
    ended = called(f"a = []\na.append(a)\ndef f(): return {returned}")
    assert (ended.code, said in ended.err) == (1, True), ended.err
    assert "Traceback" not in ended.err


def test_a_function_that_is_not_there_is_named(called: Callable[..., Done]) -> None:
    assert "main.py has no function 'f': mend `entrypoint`" in called("def g(): pass").err


def test_the_job_may_import_its_own_files_and_shadow_nothing_of_ours(
    called: Callable[..., Done], tmp_path: Path
) -> None:
    (tmp_path / "job").mkdir()
    (tmp_path / "job/helper.py").write_text("value = 7\n")
    (tmp_path / "job/json.py").write_text("raise RuntimeError('shadowed')\n")
    done(called("import helper\ndef f(): return helper.value"))
    assert outputs(tmp_path) == {"result.json": "7\n"}


def test_without_pandas_a_table_is_a_path_and_json_is_a_value(called: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n")
    (tmp_path / "t.json").write_text('{"a": 1}')
    done(called("def f(t, j): return type(t).__name__, j", "t=t.csv", "j=t.json"))
    assert [json.loads(text) for text in outputs(tmp_path).values()] == ["PosixPath", {"a": 1}]


def test_with_pandas_tables_are_frames_and_arrays_are_arrays(
    called: Callable[..., Done], tmp_path: Path, python: Callable[[str], Path]
) -> None:
    program = python("bc-mean")
    (tmp_path / "t.csv").write_text("kind,size\nx,1\nx,3\ny,5\n")
    make = "import numpy; numpy.save('a.npy', numpy.arange(3.0)); numpy.save('o.npy', numpy.array([print]), True)"
    subprocess.run([program, "-c", make], cwd=tmp_path, check=True)
    code = (
        "def f(t, a):\n"
        "    means = t.groupby('kind')['size'].mean()\n"
        "    return t[t['size'] > 1].reset_index(drop=True), means, a * 2, {'n': a.sum(), 'x': [a, t['size'].max()]}\n"
    )
    done(called(code, "t=t.csv", "a=a.npy", python=program))
    made = tmp_path / "out"
    assert (made / "result-1.csv").read_text() == "kind,size\nx,3\ny,5\n"
    assert (made / "result-2.csv").read_text() == "kind,size\nx,2.0\ny,5.0\n"
    assert json.loads((made / "result-4.json").read_text()) == {"n": 3.0, "x": [[0.0, 1.0, 2.0], 5]}
    shown = subprocess.run(
        [program, "-c", "import numpy; print(numpy.load('result-3.npy'))"], cwd=made, capture_output=True, text=True
    )
    assert shown.stdout == "[0. 2. 4.]\n"
    pickled = called("def f(a): return 1", "a=o.npy", python=program)
    assert "allow_pickle=False" in pickled.err
    objects = called("import numpy\ndef f(): return numpy.array([print])", python=program)
    assert "result is an array of Python objects (dtype object)" in objects.err


JOB = b"""name: Mean radius
entrypoint: main.py:analyse
inputs: {table: cancer/features}
datasets: [cancer]
"""
MAIN = b"""import csv
from statistics import fmean

def analyse(table, digits=1):
    with table.open() as file:
        found = [float(row["radius"]) for row in csv.DictReader(file)]
    return {"mean": round(fmean(found), digits), "n": len(found)}
"""


def test_a_function_runs_at_home_and_at_the_site_and_its_value_comes_back(
    town: Town, rachel: Desk, owen: Desk, tmp_path: Path
) -> None:
    commit = rachel.request("rachel/mean", {"job.yaml": JOB, "main.py": MAIN})
    done(rachel.gitqueue("test", "-o", tmp_path / "home"))
    assert json.loads((tmp_path / "home/result.json").read_text()) == {"mean": 12.0, "n": 40}
    owen.approve(commit)
    town.serve()
    done(rachel.gitqueue("results", "-o", tmp_path / "site"))
    assert json.loads((tmp_path / "site/result.json").read_text()) == {"mean": 22.9, "n": 60}
    shown = done(rachel.gitqueue("show", "--sandbox")).out
    assert "/opt/gitqueue/entry.py main.py:analyse table=cancer/features.csv" in shown
