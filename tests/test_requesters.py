"""`gq.connect`: what requesters do in Python. They ask for scripts, folders and functions, wait, and have results."""

import ast
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Town, done, run
from test_server import be

import gitqueue as gq
from gitqueue.rules import submission
from gitqueue.rules.function import read


def mean(table, digits: int = 1) -> "dict[str, float]":
    import csv
    from statistics import fmean

    with table.open() as file:
        return {"mean": round(fmean(float(row["radius"]) for row in csv.DictReader(file)), digits)}


def another(name: str) -> Callable[..., object]:
    """A function of that name, as a notebook has it when its cell was changed."""

    def mean(table, digits: int = 1) -> "dict[str, float]":
        rows = 5
        return {"mean": round(float(rows), digits)}

    assert mean.__name__ == name
    return mean


@pytest.fixture
def site(town: Town, monkeypatch: pytest.MonkeyPatch) -> gq.Site:
    """The town's, from rachel's desk."""
    be(monkeypatch, town, "rachel")
    return gq.connect(town.site)


def approve(town: Town, *jobs: gq.Job) -> None:
    done(town.desk("owen").gitqueue("approve", *(job.uid for job in jobs)))
    town.serve()


IS_ACL = os.geteuid() == 0  # the group's bits are then the mask of the ACL for the account that jobs run as

MEAN = """
import csv, json, os
rows = list(csv.DictReader(open(os.environ["GITQUEUE_DATA"] + "/cancer/features.csv")))
json.dump({"mean": round(sum(float(row["radius"]) for row in rows) / len(rows), 2)},
          open(os.environ["GITQUEUE_OUTPUT"] + "/mean.json", "w"))
"""


def test_a_request_is_revised_in_python_until_it_is_approved(
    town: Town, site: gq.Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = site.submit_python("print('rows')", "Mean radius", datasets=["Cancer"], purpose="Paper X")
    function = site.submit(mean, table=site.datasets["Cancer"].assets["features"], requirements=())
    done(town.desk("owen").gitqueue("request-changes", first.uid, "-m", "No rows"))
    assert first.status == "changes-requested"

    second = first.revise(MEAN, "Aggregates only")
    assert (second.uid, second.status, second.purpose) == (first.uid, "pending", "Paper X")
    assert (second.files.text("main.py"), first.files.text("main.py")) == (MEAN, "print('rows')\n")
    assert done(run("git", "log", "-1", "--format=%s", second.revision or "", cwd=town.site / "site.git")).out == (
        "Aggregates only\n"
    )
    for what, why in ((MEAN, "is at the site as it is here"), ("print('\0')", "NUL byte")):
        with pytest.raises((gq.Mistake, gq.No), match=why):
            second.revise(what)
    with pytest.raises(gq.Mistake, match="has changed since you got hold of it"):
        first.revise("print('late')")

    (tmp_path / "main.py").write_text("import more\n")
    (tmp_path / "more.py").write_text("print(1)\n")
    third = second.revise(tmp_path)
    assert (sorted(third.files), third.name) == (["job.yaml", "main.py", "more.py"], "Mean radius")
    with pytest.raises(gq.Mistake, match="rachel/mean calls mean, and this is approve"):
        function.revise(approve)
    by_function = function.revise(another("mean"))
    assert "rows = 5" in by_function.files.text("main.py")

    approve(town, by_function)
    with pytest.raises(gq.Mistake, match="was approved and takes nothing more") as error:
        by_function.revise(mean)
    assert "a new job" in error.value.step
    be(monkeypatch, town, "owen")
    with pytest.raises(gq.Mistake, match="rachel/mean-radius is rachel's, and you are owen"):
        gq.connect(town.site).job(third.uid).revise("print(1)")


@pytest.mark.slow
def test_scripts_folders_and_functions_run_and_their_results_come_back(
    town: Town, site: gq.Site, tmp_path: Path
) -> None:
    (tmp_path / "run.sh").write_text("echo fine >$GITQUEUE_OUTPUT/seven.txt\n")
    features = site.datasets["Cancer"].assets["features"]

    jobs = [
        site.submit_python(MEAN, "Mean radius", datasets=["Cancer"], tags=["mean"], purpose="Paper X"),
        site.submit_folder(tmp_path, "Seven"),
        site.submit_shell(
            "#!/bin/bash\necho ${BASH_VERSION:+bash} >$GITQUEUE_OUTPUT/x.txt", "Shell", outputs=["x.txt"]
        ),
        site.submit(mean, table=features, requirements=()),
    ]
    assert [job.uid for job in jobs] == ["rachel/mean-radius", "rachel/seven", "rachel/shell", "rachel/mean"]
    assert (jobs[0].name, jobs[0].tags, jobs[0].datasets, jobs[0].purpose) == (
        *("Mean radius", ["mean"], ["cancer"]),
        "Paper X",
    )
    with pytest.raises(gq.No, match="rachel/mean is pending: there are no results") as error:
        jobs[3].result()
    assert "an owner reads it" in error.value.step
    approve(town, *jobs)
    assert [job.wait(30).status for job in jobs] == ["completed"] * 4
    assert json.loads(jobs[0].results["mean.json"]) == {"mean": 22.9}
    assert jobs[1].results.text("seven.txt") == "fine\n"
    assert jobs[2].results.text("x.txt") == "bash\n"
    assert jobs[3].result() == {"mean": 22.9}
    assert [path.read_text() for path in jobs[1].results.save(tmp_path / "out")] == ["fine\n"]
    with pytest.raises(gq.No, match="the log of rachel/seven stays at the site"):
        jobs[1].logs()


def test_a_name_is_used_once_and_the_next_gets_a_number(site: gq.Site) -> None:
    jobs = site.submit_many([("Twice", "print(1)"), ("Twice", "print(2)")])
    assert [job.uid for job in (*jobs, site.submit_python("3", "Twice"))] == [
        *("rachel/twice", "rachel/twice-2"),
        "rachel/twice-3",
    ]
    assert jobs["twice-2"].files.text("main.py") == "print(2)\n"
    assert [job.uid for job in site.my_jobs][-1] == "rachel/twice"


def test_what_the_site_would_refuse_is_refused_at_home_with_every_reason(town: Town, site: gq.Site) -> None:
    before = town.refs()
    with pytest.raises(gq.Mistake, match=r"there is no dataset 'cancr' .did you mean 'cancer'"):
        site.submit_python("1", "a", datasets=["cancr"])
    with pytest.raises(gq.No, match=r"(?s)tag holds.*limits.time is 5h"):
        site.submit_python("1", "a", limits={"time": "5h"}, tags=["x\x1b"])
    with pytest.raises(gq.Mistake, match="nothing tells what to run"):
        site.submit_folder(town.path / "data")
    assert town.refs() == before


def test_waiting_ends_with_the_owners_no_with_a_cancel_and_with_the_time(town: Town, site: gq.Site) -> None:
    first, second = site.submit_many([("a", "1"), ("b", "1")])
    done(town.desk("owen").gitqueue("reject", first.uid, "-m", "Not now"))
    second.cancel("My mistake")
    with pytest.raises(gq.JobRejected, match="rachel/a is rejected: Not now"):
        first.wait()
    with pytest.raises(gq.JobCancelled, match="rachel/b is cancelled: My mistake"):
        second.wait()
    with pytest.raises(TimeoutError, match=r"rachel/c is pending after 0\.1 s"):
        site.submit_python("1", "c").wait(0.1)


def test_a_key_that_the_site_does_not_know_may_look_and_is_told_what_an_owner_needs(
    town: Town, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    be(monkeypatch, town, "stranger")
    site = gq.connect(str(town.repository))
    assert site.me is None
    assert [dataset.name for dataset in site.datasets] == ["cancer"]
    line = capsys.readouterr().out.splitlines()[-1].strip()
    with pytest.raises(gq.NotAllowed, match="does not know your signing key"):
        site.submit_python("1")
    be(monkeypatch, town, "owen")
    exec(line, {"site": gq.connect(town.site)})
    assert site.me == "stranger"
    assert site.submit_python("1").uid == "stranger/python-job"


def test_real_data_are_for_an_owner_at_the_site_alone(
    town: Town, site: gq.Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset = site.datasets["cancer"]["features"]
    assert list(asset.mock["radius"][:3]) == [10, 11, 12]
    with pytest.raises(gq.NotAllowed, match="rachel is no owner of this site: the real data is an owner's"):
        asset.data  # noqa: B018
    be(monkeypatch, town, "owen")
    assert list(gq.connect(town.site).datasets[0].assets[0].data["radius"][:3]) == [20, 21, 22]


@pytest.mark.slow
def test_the_sister_calls_ask_and_answer_by_the_owners_address(
    town: Town, site: gq.Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from gitqueue.api import sites

    monkeypatch.setattr(sites, "CONNECTED", {site._desk.folder: site})
    code = "import os\nopen(os.getenv('OUTPUT_DIR') + '/hello.txt', 'w').write('BOOM')\n"
    job = gq.submit_python("owen@uni.example", code, "Hello", "Says it", tags=["x"])
    assert gq.submit_bash(target_email="owen@uni.example", script_content="exit 1", name="Bad").uid == "rachel/bad"
    (tmp_path / "run.sh").write_text("true\n")
    assert gq.submit_job("owen@uni.example", tmp_path, "Folder").description is None
    with pytest.raises(gq.Mistake, match=r"no sites with the owner 'olaf@x.example' are known here: centre \(owen@"):
        gq.submit_bash("olaf@x.example", "1", "x")
    assert {one.uid for one in gq.my_jobs()} == {"rachel/folder", "rachel/bad", "rachel/hello"}
    assert (gq.get_job(job.uid), gq.get_job("rachel/none"), gq.get_job_output(job.uid)) == (job, None, None)
    be(monkeypatch, town, "owen")
    gq.connect(town.site)
    assert {one.uid for one in gq.jobs_for_me} == {"rachel/folder", "rachel/bad", "rachel/hello"}
    assert gq.approve("rachel/hello", "Fine")
    assert gq.reject("rachel/folder")
    assert not gq.approve("rachel/folder")
    assert gq.approve("rachel/bad")
    town.serve()
    assert gq.wait_for_completion(job.uid, 30).status == "completed"
    with pytest.raises(gq.JobFailed, match="rachel/bad is failed: exit-code"):
        gq.wait_for_completion("rachel/bad", 30)
    assert (gq.get_job_output(job.uid) / "hello.txt").read_text() == "BOOM"  # type: ignore[operator]
    assert gq.get_job_logs(job.uid) is not None


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def f(x, n=N):\n    return x + n", ["f, line 5: 'N' is defined outside"]),
        ("def f(x):\n    def g():\n        return zz + 1\n    return g()", ["f, line 7: 'zz'"]),
        ("def f(x):\n    y = pd.read_csv(x)\n    return os.environ, y", ["f, line 6: 'pd'", "f, line 7: 'os'"]),
        ("def f():\n    return [i for i in range(k)]", ["f, line 6: 'k'"]),
        ("@cache\ndef f():\n    yield 1", ["line 5: the decorator cache would stay", "it yields"]),
        ("def f(*a): return a", ["handed in by name"]),
        ("f = lambda: 1", ["no plain function"]),
        ("async def f(): return 1", ["no plain function"]),
    ],
)
def test_a_function_that_needs_what_is_around_it_is_refused_by_name_and_line(source: str, said: list[str]) -> None:
    with pytest.raises(gq.Mistake) as error:
        read(source, 5)
    assert all(words in str(error.value) for words in said), error.value


def test_defaults_and_hints_are_kept_and_hints_need_not_be_there() -> None:
    text = '@gq.function(x=1)\ndef f(x: pd.DataFrame, n: int = 3, *, k="a") -> np.ndarray:\n    # why\n    return f'
    found = read(text, 1)
    assert (found.required, found.optional) == (("x",), ("n", "k"))
    names: dict[str, object] = {}
    exec(found.module, names)
    assert names["f"].__defaults__ == (3,)  # type: ignore[attr-defined]
    assert names["f"].__annotations__["x"] == "pd.DataFrame"  # type: ignore[attr-defined]
    assert "# why" in found.text


@pytest.mark.slow
def test_an_owner_runs_a_function_on_mock_and_on_real_data_before_saying_yes(
    town: Town, site: gq.Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd

    be(monkeypatch, town, "owen")
    owner = gq.connect(town.site)
    held = {"table": {"data": pd.DataFrame({"radius": [5.0] * 20}), "mock": pd.DataFrame({"radius": [1.0] * 20})}}
    dataset = owner.add_dataset("Masses, measured", held, description="One column")  # type: ignore[arg-type]
    assert (dataset.name, dataset.assets["table"].path.stat().st_mode & 0o777) == (
        "masses-measured",
        0o600 | 0o040 * IS_ACL,
    )
    (table,) = site.datasets["Masses, measured"].assets
    project = site.create_project("Masses", "How large they are")
    job = project.create_code_request(gq.function(table=table, requirements=())(mean), tags=["mean"])
    assert [(one.name, one.description) for one in owner.projects] == [("Masses", "How large they are")]
    request = owner.requests[0]
    assert (request.code.function, request.project, request.code.requester) == ("mean", "Masses", "rachel")
    mine = owner.datasets["masses-measured"].assets["table"]
    assert request.code.run(table=mine.mock) == {"mean": 1.0}
    assert request.code.run(table=mine.data) == {"mean": 5.0}
    with pytest.raises(gq.Mistake, match="table is neither the mock nor the real data of masses-measured/table"):
        request.code.run(table=mine.mock * 2)
    with pytest.raises(gq.Mistake, match="rachel/mean takes table; see to tabel"):
        request.code.run(tabel=mine.mock)
    with pytest.raises(gq.NotAllowed, match="rachel is no owner"):
        job.code.run(table=mine.data)
    with pytest.raises(gq.No, match="rachel/mean is pending"):
        site.code.mean()
    request.approve("One number")
    town.serve()
    assert site.code.mean(table=table) == site.code.mean() == job.result() == {"mean": 5.0}
    with pytest.raises(AttributeError, match="you have asked for no function 'median'; you have for: mean"):
        site.code.median()


def test_what_fails_in_the_sandbox_says_so_with_its_log(town: Town, site: gq.Site) -> None:
    def divide(table):  # type: ignore[no-untyped-def]
        return 1 / 0

    table = site.datasets[0].assets[0]
    job = site.submit(divide, table=table, requirements=())
    with pytest.raises(gq.JobFailed, match=r"(?s)rachel/divide failed on mock data: exit-code.*ZeroDivisionError"):
        job.code.run(table=table.mock)


def test_more_requests_than_a_push_may_hold_go_in_several(
    town: Town, site: gq.Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "MOST_REFS", 20)
    done(town.desk("owen").gitqueue("policy", "set", "requests.open=100"))
    jobs = site.submit_many((f"Job {number}", "print(1)") for number in range(52))
    assert (len(jobs), len(site.pending), jobs[51].status) == (52, 52, "pending")


USERS_FILE = """import gitqueue as gq

server = gq.create_server("centre", max_concurrent_jobs=2)
for job in server.list_pending_jobs():
    done: bool = server.approve_job(job.uid, job.name)
site: gq.Site = gq.connect("centre")

@gq.function(table=site.datasets["cancer"]["features"])
def size(table: object) -> int:
    return 1

asked: gq.Job = site.submit(size)
flags: list[str] = asked.wait(5).outputs.flags
first: str | None = gq.my_jobs(limit=3)[0].description
sent: gq.Job = gq.submit_python("owen@uni.example", "print(1)", "One")
site.jobs.nothing  # is there
"""


@pytest.mark.slow
def test_a_users_file_is_checked_by_mypy_in_strict_mode(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(USERS_FILE)
    root = Path(gq.__file__).parents[1]
    said = run(sys.executable, "-m", "mypy", "--strict", "--cache-dir", root / ".mypy_cache", "user.py", cwd=tmp_path)
    assert said.out.splitlines() == [
        'user.py:16: error: "Jobs" has no attribute "nothing"  [attr-defined]',
        "Found 1 error in 1 file (checked 1 source file)",
    ]


def test_what_checkers_know_is_what_there_is() -> None:
    stub = ast.parse(Path(gq.__file__).with_suffix(".pyi").read_text()).body
    known = {alias.asname for one in stub if isinstance(one, ast.ImportFrom) for alias in one.names}
    known |= {
        name.id for one in stub if isinstance(one, ast.Assign) for name in one.targets if isinstance(name, ast.Name)
    }
    assert known | {"__version__"} == set(dir(gq))
