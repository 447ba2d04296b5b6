"""The examples do what their texts say, with the very locks that they ship; the templates need nothing installed."""

import csv
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import jinja2
import pytest

from gitqueue.refs import JobId
from gitqueue.rules import manifest
from gitqueue.rules.policy import parse_site

ROOT = Path(__file__).parents[1]
JOBS = ROOT / "examples" / "jobs"
TEMPLATES = ROOT / "templates"
SITE = {"site": "centre", "python": "3.11"}
ALLOWED = {"numpy", "pandas", "scipy", "scikit-learn", "matplotlib"}
COMPANIONS = {
    *("joblib", "threadpoolctl", "python-dateutil", "six", "pytz", "tzdata", "contourpy", "cycler", "fonttools"),
    *("kiwisolver", "packaging", "pillow", "pyparsing", "narwhals", "cloudpickle"),
}
PYTHON = "/usr/bin/python3"
Runner = Callable[[str, str], Path]


def run(command: list[str | Path], folder: Path, data: Path, output: Path) -> str:
    """A job's command as the sandbox would start it: these variables, and none of ours."""
    output.mkdir(parents=True, exist_ok=True)
    variables = {
        "GITQUEUE_DATA": str(data),
        "GITQUEUE_OUTPUT": str(output),
        "PATH": "/usr/bin:/bin",
        "HOME": "/nonexistent",
    }
    done = subprocess.run([str(word) for word in command], cwd=folder, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def mock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("mock")
    subprocess.run([PYTHON, ROOT / "examples/breast-cancer/make_mock.py", data / "breast-cancer"], check=True)
    return data


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory, python: Callable[[str], Path]) -> Path:
    data = tmp_path_factory.mktemp("real")
    script = ROOT / "examples/breast-cancer/make_data.py"
    subprocess.run([python("accuracy"), script, data / "breast-cancer"], check=True)
    return data


@pytest.fixture
def job(python: Callable[[str], Path], tmp_path: Path, request: pytest.FixtureRequest) -> Runner:
    """Runs an example on `mock` or `real` data; its outputs."""

    def start(name: str, data: str) -> Path:
        output = tmp_path / data
        program = python(name) if (JOBS / name / "requirements.txt").exists() else PYTHON
        run([program, "main.py"], JOBS / name, request.getfixturevalue(data), output)
        return output

    return start


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_the_experiment_gives_the_tutorials_numbers_on_the_real_data(job: Runner) -> None:
    assert json.loads((job("accuracy", "real") / "accuracy.json").read_text()) == {"train": 0.9859, "test": 0.9720}


@pytest.mark.slow
def test_the_experiment_learns_nothing_from_the_mock(job: Runner) -> None:
    accuracy = json.loads((job("accuracy", "mock") / "accuracy.json").read_text())
    assert 0.4 < accuracy["test"] < 0.6
    assert accuracy["train"] < 0.7


@pytest.mark.slow
def test_group_means_come_as_two_rows_and_a_chart(job: Runner) -> None:
    output = job("bc-mean", "real")
    benign, malignant = rows(output / "means.csv")
    assert (benign["diagnosis"], benign["patients"], benign["mean_radius"]) == ("benign", "357", "12.1465")
    assert (malignant["diagnosis"], malignant["patients"], malignant["mean_radius"]) == ("malignant", "212", "17.4628")
    assert len(benign) == 12
    assert (output / "means.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in output.iterdir()) == ["means.csv", "means.png"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["accuracy", "bc-mean"])
def test_a_second_run_gives_the_same_bytes(job: Runner, name: str) -> None:
    first, second = ({path.name: path.read_bytes() for path in job(name, "mock").iterdir()} for _ in range(2))
    assert first == second


def test_the_one_to_be_rejected_prints_and_writes_patients(job: Runner, mock: Path, tmp_path: Path) -> None:
    assert "M0001" in run([PYTHON, "main.py"], JOBS / "rows", mock, tmp_path)
    assert {"patient_id", "diagnosis"} < rows(job("rows", "mock") / "rows.csv")[0].keys()


@pytest.mark.slow
def test_mock_and_real_data_have_one_shape_and_share_no_row(mock: Path, real: Path) -> None:
    for name, width in (("features.csv", 31), ("labels.csv", 2)):
        pretended, true = ((folder / "breast-cancer" / name).read_text().splitlines() for folder in (mock, real))
        assert pretended[0] == true[0]
        assert len(pretended) == len(true) == 570
        assert {line.count(",") for line in (*pretended, *true)} == {width - 1}
        assert not set(pretended[1:]) & set(true[1:])
    values = [[set(row.values()) for row in rows(folder / "breast-cancer" / "features.csv")] for folder in (mock, real)]
    assert max(len(a & b) for a in values[0] for b in values[1]) < 5


def test_the_mock_is_the_same_each_time(mock: Path, tmp_path: Path) -> None:
    subprocess.run([PYTHON, ROOT / "examples/breast-cancer/make_mock.py", tmp_path], check=True)
    for name in ("features.csv", "labels.csv"):
        assert (tmp_path / name).read_bytes() == (mock / "breast-cancer" / name).read_bytes()


@pytest.mark.parametrize("name", ["accuracy", "bc-mean"])
def test_locks_hold_hashed_lines_of_known_packages_alone(name: str) -> None:
    text = (JOBS / name / "requirements.txt").read_text()
    lines = [
        line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    found = [re.fullmatch(r"([a-z0-9-]+)==[0-9.a-z]+( +--hash=sha256:[0-9a-f]{64})+", line.strip()) for line in lines]
    assert all(found), lines
    assert {match[1] for match in found if match} <= ALLOWED | COMPANIONS
    assert not re.search(r"://|index|/tmp|/root|find-links", text)
    for wanted in (JOBS / name / "requirements.in").read_text().split():
        assert f"\n{wanted}==" in text


@pytest.mark.parametrize("name", ["accuracy", "bc-mean", "rows"])
def test_each_example_is_accepted_by_a_new_sites_rules(name: str) -> None:
    files = {path.name: path.read_bytes() for path in (JOBS / name).iterdir()}
    site = parse_site(jinja2.Template((TEMPLATES / "site" / "site.yaml").read_text()).render(SITE).encode())
    asked = manifest.read(JobId("rachel", name), files["job.yaml"], None)
    assert asked.datasets == ("breast-cancer",)
    assert all((asked.description, asked.limits, asked.tags))
    assert manifest.judge(asked, site, ["breast-cancer"], files, files.get("requirements.txt")) == ()


def rendered(kind: str, folder: Path) -> Path:
    """What `gitqueue new` would make."""
    folder.mkdir()
    for source in (TEMPLATES / "job" / kind).iterdir():
        text = jinja2.Template(source.read_text(), undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
        (folder / source.name).write_text(
            text.render(
                name="bc-mean",
                dataset="breast-cancer",
                datasets=["breast-cancer"],
                inputs={"features": "breast-cancer/features"},
            )
        )
        shutil.copymode(source, folder / source.name)
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Two tables: one of 25 rows with a column of 9 numbers, one of 4."""
    folder = tmp_path / "data" / "breast-cancer"
    folder.mkdir(parents=True)
    lines = [f"P{n},{n % 7 + 0.12345},{'x' if n % 2 else 'y'},{n if n < 9 else ''}" for n in range(25)]
    (folder / "features.csv").write_text("\n".join(["patient_id,radius,kind,rare", *lines, ""]))
    (folder / "labels.csv").write_text("patient_id,diagnosis\nP1,a\nP2,b\nP3,a\nP4,b\n")
    return tmp_path / "data"


def test_the_python_template_runs_on_a_bare_python_and_leaves_small_counts_out(small: Path, tmp_path: Path) -> None:
    run([PYTHON, "main.py"], rendered("python", tmp_path / "job"), small, tmp_path / "out")
    assert rows(tmp_path / "out" / "summary.csv") == [{"column": "radius", "count": "25", "mean": "2.88"}]


def test_the_shell_template_rounds_counts_and_hides_small_ones(small: Path, tmp_path: Path) -> None:
    folder = rendered("shell", tmp_path / "job")
    run(["sh", "run.sh"], folder, small, tmp_path / "out")
    assert (
        tmp_path / "out" / "counts.csv"
    ).read_text() == "table,rows\nbreast-cancer/features.csv,30\nbreast-cancer/labels.csv,<10\n"
    assert os.access(folder / "run.sh", os.X_OK)


def test_the_r_template_runs_on_bare_r_and_leaves_small_counts_out(small: Path, tmp_path: Path) -> None:
    run(["Rscript", "main.R"], rendered("r", tmp_path / "job"), small, tmp_path / "out")
    assert rows(tmp_path / "out" / "summary.csv") == [{"column": "radius", "count": "25", "mean": "2.88"}]


def test_the_function_template_runs_on_a_bare_python_and_leaves_small_counts_out(small: Path, tmp_path: Path) -> None:
    asked = manifest.read(
        JobId("rachel", "job"), (rendered("function", tmp_path / "job") / "job.yaml").read_bytes(), None
    )
    assert (asked.inputs, asked.outputs) == ({"features": "breast-cancer/features"}, manifest.RETURNED)
    words = [TEMPLATES / "job" / "entry.py", asked.entrypoint or "", "features=breast-cancer/features.csv"]
    run([PYTHON, *words], tmp_path / "job", small, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "result.json").read_text()) == {"radius": {"count": 25, "mean": 2.88}}


@pytest.mark.parametrize("kind", ["python", "r"])
def test_templates_of_jobs_are_filled_in_and_say_what_leaves(kind: str, tmp_path: Path) -> None:
    asked = manifest.read(JobId("rachel", "job"), (rendered(kind, tmp_path / "job") / "job.yaml").read_bytes(), None)
    assert (asked.name, asked.datasets, asked.outputs) == ("bc-mean", ("breast-cancer",), ("summary.csv",))


def test_the_shell_template_is_a_job_without_a_job_yaml(tmp_path: Path) -> None:
    asked = manifest.read(JobId("rachel", "job"), None, (rendered("shell", tmp_path / "job") / "run.sh").read_bytes())
    assert asked.datasets == ("breast-cancer",)


def test_the_sites_readme_shows_the_plain_git_lines_as_specified() -> None:
    text = jinja2.Template((TEMPLATES / "site" / "README.md").read_text(), undefined=jinja2.StrictUndefined)
    shown = text.render(site="cancer-centre")
    assert shown.startswith("# cancer-centre\n")
    for line in (
        "git switch -c requests/rachel/bc-mean --no-track origin/approved",
        "git fetch && R=$(git rev-parse origin/requests/rachel/bc-mean) && git diff --text origin/approved...$R",
        'git merge -S --no-ff $R -m "Aggregates only" && git push origin approved',
        "git push origin HEAD:refs/heads/reviews/rachel/bc-mean",
    ):
        assert f"\n    {line}\n" in f"{shown}\n"
