"""`gq.create_server`: the owner's side in Python, as the data-owner tutorial of syft-code-queue uses it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Desk, Town, configure, done, ok, reachable

import gitqueue as gq

QUICK = {
    "job.yaml": b"name: Nothing\nrun: sh run.sh\noutputs: ['*']\n",
    "run.sh": b"echo no >$GITQUEUE_OUTPUT/n.txt\n",
}


@pytest.fixture
def as_owen(town: Town, monkeypatch: pytest.MonkeyPatch) -> Town:
    """This process's git is owen's."""
    be(monkeypatch, town, "owen")
    return town


def be(monkeypatch: pytest.MonkeyPatch, town: Town, name: str) -> None:
    file = town.path / f"{name}.gitconfig"
    values = {"user.name": name, "user.email": f"{name}@uni.example", "gpg.format": "ssh"}
    for key, value in {**values, "user.signingkey": f"{town.key(name)}.pub"}.items():
        ok("git", "config", "--file", file, key, value, cwd=town.path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(file))
    monkeypatch.setenv("GITQUEUE_HOME", str(town.path / f"home-{name}"))


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder of somebody of whom git knows nothing."""
    with reachable() as base:
        monkeypatch.chdir(base)
        monkeypatch.setenv("HOME", str(base))
        yield base


def wait(until: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not until():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


# What the tutorial asks of a server and its jobs, in its order; a person reads and answers between the two halves.
BEFORE = """
import gitqueue as scq
from pathlib import Path
import time
said.append(scq.__version__)
server = scq.create_server(queue_name="my-datasite-queue", max_concurrent_jobs=2, job_timeout=600)
said.append(server.email)
"""
REVIEW = """
pending_jobs = server.list_pending_jobs()
for job in pending_jobs:
    said.append((job.requester_email, job.name, str(job.created_at), ', '.join(job.tags), job.description))
first_job = pending_jobs[0]
code_folder = Path(first_job.code_folder)
said.append(sorted(file.name for file in code_folder.iterdir()))
said.append((code_folder / "run.sh").read_text().lower())
said.append([file.read_text() for file in code_folder.glob("*.py")])
risky = {"raw-data", "individual-records", "export"}
said.append(bool(set(first_job.tags).intersection(risky)))
said.append(server.approve_job(first_job.uid))
said.append(server.reject_job("rachel/without", "Accesses individual records"))
server.start()
"""


@pytest.mark.slow
def test_the_data_owner_tutorial_runs_and_does_what_it_says(empty: Path) -> None:
    said: list[object] = []
    names: dict[str, object] = {"said": said}
    exec(BEFORE, names)
    server = names["server"]
    assert isinstance(server, gq.Server)
    assert said == [gq.__version__, server.email]
    assert server.email.partition("@")[2]
    rachel = requester(empty, server)
    run = {"job.yaml": JOB, "run.sh": b"python3 main.py\n", "main.py": b"import os\n" + MEAN}
    rachel.request("rachel/stats", run)
    rachel.request("rachel/without", QUICK)
    exec(REVIEW, names)
    who, name, _, tags, what = said[2]  # type: ignore[misc]
    assert (who, name, tags, what) == ("rachel@uni.example", "Some statistics", "statistics", "Their mean")
    files = [["job.yaml", "main.py", "run.sh"], "python3 main.py\n", ["import os\n" + MEAN.decode()]]
    assert said[4:] == [*files, False, True, True]
    ran = server.get_job("rachel/stats")
    assert ran is not None
    wait(lambda: ran.over)
    server.stop()
    assert not server.running
    assert (ran.status, ran.outputs["mean.txt"]) == ("completed", b"12")
    assert (names["code_folder"] / "run.sh").is_file()  # type: ignore[operator]
    with pytest.raises(gq.JobRejected, match="Accesses individual records"):
        server.get_job("rachel/without").wait()  # type: ignore[union-attr]


JOB = b"name: Some statistics\ndescription: Their mean\ntags: [statistics]\nrun: sh run.sh\noutputs: [mean.txt]\n"
MEAN = b"open(os.environ['GITQUEUE_OUTPUT'] + '/mean.txt', 'w').write('12')\n"


def requester(base: Path, server: gq.Server) -> Desk:
    ok("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", base / "rk", cwd=base)
    desk = Desk("owner", base / "my-datasite-queue-owner" / "desk")
    done(desk.gitqueue("person", "add", "rachel", "--email", "rachel@uni.example", "--key", base / "rk.pub"))
    ok("git", "clone", "-q", server.site.url, base / "rachel", cwd=base)
    configure(base / "rachel", "rachel", base / "rk")
    return Desk("rachel", base / "rachel")


def test_a_new_site_and_a_new_identity_are_said_kept_beside_it_and_found_again(
    empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = gq.create_server("My queue")
    said = capsys.readouterr().out
    assert f"made the site my-queue in {empty}/my-queue" in said
    assert f"made the signing key {empty}/my-queue-owner/key" in said
    assert (empty / "my-queue-owner").stat().st_mode & 0o077 == 0
    again = gq.create_server("my-queue")
    assert (again.site.url, again.site.me, again.site.path) == (first.site.url, first.site.me, empty / "my-queue")
    assert repr(again) == repr(first)
    assert sorted(path.name for path in empty.iterdir()) == ["my-queue", "my-queue-owner"]


def test_answers_are_true_only_where_something_was_decided(as_owen: Town, rachel: Desk) -> None:
    server = gq.create_server(str(as_owen.site))
    rachel.request("rachel/job")
    assert [job.uid for job in server.list_pending_jobs()] == ["rachel/job"]
    assert not server.approve_job("rachel/none")
    assert not server.approve_job("no name at all")
    assert server.approve_job("rachel/job", "Aggregates only")
    assert server.list_pending_jobs() == []
    assert not server.approve_job("rachel/job")
    assert not server.reject_job("rachel/job", "Too late")
    assert "Aggregates only" in ok("git", "log", "-1", "--format=%B", "approved", cwd=as_owen.repository)


def test_what_changed_since_it_was_listed_is_not_approved(as_owen: Town, rachel: Desk) -> None:
    server = gq.create_server(str(as_owen.site))
    rachel.request("rachel/job")
    (job,) = server.list_pending_jobs()
    folder = job.code_folder
    rachel.write({"jobs/rachel/job/main.py": b"import evil\n"})
    rachel.git("commit", "-q", "-S", "-a", "-m", "Better")
    rachel.git("push", "-q", "origin", "HEAD")
    with pytest.raises(gq.Mistake, match="has changed since you read it"):
        server.approve_job("rachel/job")
    with pytest.raises(gq.Mistake, match="has changed since"):
        job.reject("Evil")
    assert b"evil" not in (folder / "main.py").read_bytes()
    assert server.list_pending_jobs()[0].files["main.py"] == b"import evil\n"


def test_the_code_folder_holds_the_files_byte_by_byte_and_nothing_to_execute(as_owen: Town, rachel: Desk) -> None:
    rachel.git("config", "core.autocrlf", "false")
    files = {"job.yaml": b"name: x\nrun: sh run.sh\noutputs: [a.csv]\n", "run.sh": b"echo\r\n", "a/b.py": b"none\n"}
    rachel.request("rachel/job", files)
    (job,) = gq.create_server(str(as_owen.site)).list_pending_jobs()
    found = {str(path.relative_to(job.code_folder)): path for path in job.code_folder.rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == files
    assert {path.stat().st_mode & 0o777 for path in found.values()} == {0o444}


def test_who_is_no_owner_approves_nothing(town: Town, rachel: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, town, "rolf")
    rachel.request("rachel/job")
    job = gq.connect(town.site).job("job")
    with pytest.raises(gq.NotAllowed, match="rolf is no owner of this site: to approve is an owner's"):
        job.approve()
    assert job.status == gq.JobStatus.pending == "pending"


def test_two_owners_are_two_words(town: Town, rachel: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    done(town.desk("owen").gitqueue("policy", "set", "approvals=2"))
    rachel.request("rachel/job")
    for name, after in (("owen", "pending"), ("olga", "approved")):
        be(monkeypatch, town, name)
        server = gq.create_server(site=town.site)
        assert server.approve_job("rachel/job", f"So says {name}")
        assert server.get_job("rachel/job").status == after  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_server_starts_stops_and_starts_again_and_its_numbers_hold(as_owen: Town, rachel: Desk) -> None:
    slow = {**QUICK, "run.sh": b"sleep 60\n"}
    server = gq.create_server(str(as_owen.site), job_timeout=1)
    server.start()
    server.start()
    server.stop()
    server.stop()
    for job, files in (("rachel/quick", QUICK), ("rachel/slow", slow)):
        rachel.request(job, files)
        assert server.approve_job(job)
    with server:
        quick = server.get_job("rachel/quick")
        assert quick is not None
        quick.wait(60)
        with pytest.raises(gq.JobFailed, match="time-limit"):
            server.get_job("rachel/slow").wait(60)  # type: ignore[union-attr]
    assert not server.running


@pytest.mark.slow
def test_the_runner_goes_with_the_process_that_started_it(as_owen: Town) -> None:
    code = f"import gitqueue as gq, os; gq.create_server({str(as_owen.site)!r}).start(); os._exit(1)"
    subprocess.run([sys.executable, "-c", code], check=False)
    server = gq.create_server(str(as_owen.site))
    wait(lambda: not server.running)


def test_importing_does_nothing_and_names_what_there_is() -> None:
    code = (
        "import sys, gitqueue; names = {name.partition('.')[0] for name in sys.modules};"
        "assert not names & {'git', 'pygit2', 'yaml', 'msgspec', 'jinja2', 'subprocess'}, names;"
        "assert all(getattr(gitqueue, name) is not None for name in dir(gitqueue))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": ""})
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        gq.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_every_state_has_its_word_in_python() -> None:
    from gitqueue.rules.lifecycle import State

    assert [status.value for status in gq.JobStatus] == [state.value for state in State]
