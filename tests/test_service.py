"""The runner as a service: what systemd, logs and monitoring get of it, and what it needs of the machine."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import JOB, MAIN, Town, done, run

from gitqueue.adapters import systemd
from gitqueue.adapters.settings import Site
from gitqueue.adapters.systemd import Service
from gitqueue.errors import OperatorNeeded
from gitqueue.runner import service

analyze = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd to ask")


@contextmanager
def serving(town: Town, env: dict[str, str] | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    words = (sys.executable, "-m", "gitqueue", "-C", str(town.site), "serve")
    runner = subprocess.Popen(words, stderr=subprocess.PIPE, env={**os.environ, **(env or {})})
    try:
        yield runner
    finally:
        runner.kill()
        runner.wait()


def approved(town: Town, main: bytes = MAIN, job: str = "rachel/job") -> None:
    town.desk("owen").approve(town.desk("rachel").request(job, {"job.yaml": JOB, "main.py": main}))


# one for each site


def test_a_second_runner_names_the_first_at_once(town: Town) -> None:
    began = time.monotonic()
    with (
        service.only_one(Site(town.site)),
        pytest.raises(OperatorNeeded, match=rf"has a runner already, process {os.getpid()}\n"),
        service.only_one(Site(town.site)),
    ):
        pass
    assert time.monotonic() - began < service.GONE


def test_a_runner_waits_for_the_last_of_a_killed_one(town: Town) -> None:
    """What that one was just forking has its lock for a moment longer."""
    killed = os.fork()
    if killed == 0:
        held = service.only_one(Site(town.site))
        held.__enter__()
        if os.fork() == 0:
            time.sleep(0.5)
        os._exit(0)
    os.waitpid(killed, 0)
    assert service.runner_of(Site(town.site)) == killed, "this test is of a lock that is still held"
    with service.only_one(Site(town.site)):
        assert service.runner_of(Site(town.site)) == os.getpid()


# what it tells systemd


@pytest.mark.parametrize("abstract", [False, True], ids=["a path", "an abstract name"])
def test_systemd_is_told_when_the_runner_is_ready_alive_and_stopping(town: Town, abstract: bool) -> None:
    name = f"gitqueue-test-{os.getpid()}" if abstract else str(town.path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(f"\0{name}" if abstract else name)
        ear.settimeout(20)
        with serving(town, {"NOTIFY_SOCKET": f"@{name}" if abstract else name}) as runner:
            assert heard(ear, "READY=1")["WATCHDOG"] == "1"
            town.desk("rachel").request("rachel/job")
            heard(ear, "STATUS=1 pending")
            runner.terminate()
            heard(ear, "STOPPING=1")
            assert runner.wait(20) == 0


def heard(ear: socket.socket, wanted: str) -> dict[str, str]:
    """The first message with this line in it, as its fields."""
    while True:
        lines = ear.recv(4096).decode().splitlines()
        if wanted in lines:
            return dict(line.split("=", 1) for line in lines)


def test_told_twice_to_stop_it_stops_and_its_jobs_go_on(town: Town) -> None:
    approved(town, b"import time; time.sleep(3)\n" + MAIN)
    with serving(town) as runner:
        assert runner.stderr is not None
        until(runner, lambda line: b"is running" in line)
        runner.terminate()
        until(runner, lambda line: b"stopping when 1 jobs have ended" in line)
        runner.terminate()
        assert runner.wait(20) == 1
    assert "is completed" in town.serve().err


def until(runner: "subprocess.Popen[bytes]", true: Callable[[bytes], bool]) -> None:
    assert runner.stderr is not None
    assert any(true(line) for line in runner.stderr)


# what it says


def test_a_log_has_one_line_for_each_thing_with_its_time_and_job(town: Town) -> None:
    approved(town)
    (line,) = (line for line in town.serve().err.splitlines() if "completed" in line)
    at, rest = line.split(" ", 1)
    assert re.fullmatch(r"at=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", at)
    assert rest == 'level=info job=rachel/job state=completed msg="rachel/job is completed"'


def test_at_a_terminal_it_says_sentences(town: Town) -> None:
    import pty

    approved(town)
    main, side = pty.openpty()
    words = (sys.executable, "-m", "gitqueue", "-C", str(town.site), "serve", "--once")
    assert subprocess.run(words, stderr=side).returncode == 0
    os.close(side)
    assert "rachel/job is completed" in os.read(main, 65536).decode().splitlines()


# what monitoring reads


def test_monitoring_reads_counts_and_times_on_the_loopback_and_no_names(town: Town) -> None:
    settings = town.site / "private" / "runner.yaml"
    port = free_port()
    settings.write_text(f"{settings.read_text()}\nmetrics: {port}\n")
    approved(town, b"raise SystemExit(3)\n")
    with serving(town) as runner:
        until(runner, lambda line: b"is failed" in line)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((address(), port), timeout=5)
    for line in (
        'gitqueue_jobs{state="approved"} 0.0',
        'gitqueue_runs_total{reason="exit-code",state="failed"} 1.0',
        "gitqueue_wait_seconds_count 1.0",
        "gitqueue_run_seconds_count 1.0",
        "gitqueue_alarms_total 0.0",
    ):
        assert line in text.splitlines()
    assert "rachel" not in text


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def address() -> str:
    """Another address of this machine."""
    return "127.0.0.2"


# the unit


WAYS = {
    "root's": lambda site: Service(site, True, None),
    "an account's": lambda site: Service(site, True, "daemon"),
    "a user's own": lambda site: Service(site, False, None),
}


@analyze
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_systemd_finds_no_fault_with_the_unit(way: Callable[[Path], Service], tmp_path: Path) -> None:
    service = way(Path("/srv/centre"))
    unit = tmp_path / f"{service.name}.service"
    unit.write_text(service.text(sys.executable, 300, ""))
    words = ("verify", "--man=no", *(() if service.system else ("--user",)))
    looked = run("systemd-analyze", *words, unit, cwd=tmp_path, env={"XDG_RUNTIME_DIR": str(tmp_path)})
    assert (looked.code, [line for line in looked.err.splitlines() if unit.name in line]) == (0, [])


@analyze
def test_the_unit_is_as_hardened_as_a_runner_can_be(tmp_path: Path) -> None:
    unit = tmp_path / "gitqueue-centre.service"
    unit.write_text(Service(Path("/srv/centre"), True, None).text(sys.executable, 300, ""))
    words = ("systemd-analyze", "security", "--offline=yes", "--threshold=50", "--no-pager")
    looked = run(*words, unit, cwd=tmp_path)
    assert looked.code == 0, looked.out


@pytest.mark.skipif(os.geteuid() != 0, reason="it takes rights away")
def test_a_job_runs_with_no_more_than_the_unit_leaves(town: Town) -> None:
    """Capabilities, no new privileges, and a file system that is read-only but for the site's folder."""
    approved(town)
    left = ",".join(["-all", *(f"+{one.removeprefix('CAP_').lower()}" for one in systemd.CAPABILITIES)])
    writable = f'mount --bind {town.site} {town.site} && mount -o remount,bind,ro / && exec "$@"'
    few = ("setpriv", "--no-new-privs", f"--bounding-set={left}", "--inh-caps=-all")
    once = (sys.executable, "-Im", "gitqueue", "-C", town.site, "serve", "--once")
    said = done(run("unshare", "--mount", "sh", "-c", writable, "sh", *few, *once, cwd=Path("/")))
    assert "rachel/job is completed" in said.err


def test_install_writes_the_unit_and_says_what_is_next(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "SYSTEM", town.path / "units")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(town.path))
    said = done(town.gitqueue("serve", "--install")).out
    (unit,) = town.path.glob("**/gitqueue-centre.service")
    assert f"wrote {unit}; next:" in said
    assert "enable --now gitqueue-centre" in said
    assert f"ExecStart={sys.executable} -Im gitqueue -C {town.site} serve\n" in unit.read_text()
    assert "made anew" in done(town.gitqueue("serve", "--install")).out


def test_a_path_that_systemd_would_read_otherwise_is_refused(town: Town) -> None:
    shutil.move(town.site, town.path / "%h")
    refused = run(sys.executable, "-m", "gitqueue", "-C", town.path / "%h", "serve", "--install", cwd=town.path)
    assert (refused.code, "systemd would read the path" in refused.err) == (2, True)
