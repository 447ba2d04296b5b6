"""What git calls at the site: the hook asks the runner's resident judge, judges by itself where none is, and lets
nobody in where one was asked and did not answer."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import BinaryIO

import pytest
import sshd
from conftest import Desk, Done, Town, configure, done, ok, run

from gitqueue.adapters.judge import HELLO, Judge
from gitqueue.adapters.resources import install_site_hooks
from gitqueue.adapters.wake import Bell

pytestmark = pytest.mark.slow  # many real pushes and runs: `make quick` leaves them to `make test`

LOST = "the judge ended before it had judged, and nothing of this push was kept"
NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="comes as another account")


def until(true: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def hello(private: Path) -> bytes:
    """What whoever listens there says first; nothing where nobody listens."""
    folder = os.open(private, os.O_PATH)
    try:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
            asking.settimeout(2)
            asking.connect(f"/proc/self/fd/{folder}/judge")
            return asking.recv(4096)
        return b""
    finally:
        os.close(folder)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def judging(town: Town) -> Iterator[int]:
    """The site's judge, kept by this test as by a runner; its process id."""
    with Judge(town.site / "private") as judge:
        judge.keep()
        until(lambda: hello(town.site / "private") == HELLO)
        assert judge._process
        yield judge._process.pid


def no_other_way(town: Town) -> None:
    """The hook can no longer judge by itself: what it accepts from here on, the judge accepted."""
    hook = town.repository / "hooks" / "pre-receive"
    hook.write_text(hook.read_text().replace("gitqueue.hook", "gitqueue.nowhere"))


@contextmanager
def listening(town: Town, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    """Somebody who is no judge, where the judge should be."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
        other.bind(str(town.site / "private" / "judge"))
        other.settimeout(20)
        other.listen()

        def once() -> None:
            with suppress(OSError):
                connection, _ = other.accept()
                with connection:
                    answer(connection)

        answering = threading.Thread(target=once)
        answering.start()
        try:
            yield
        finally:
            answering.join(30)


def push(desk: Desk, *argv: str) -> Done:
    return run("git", "push", "origin", *(argv or ("HEAD",)), cwd=desk.path)


def words(said: Done) -> list[str]:
    return [line.rstrip() for line in said.err.splitlines() if line.startswith("remote: gitqueue")]


# The same verdict by either way


def test_judge_and_hook_say_the_same_of_the_same_push(town: Town, rachel: Desk, owen: Desk) -> None:
    revision = rachel.request("rachel/a", push=False)
    rachel.request("rachel/unknown", {"job.yaml": b"name: X\nrum: true\n", "s\xc3\xb8.py": b""}, push=False)
    rachel.git("commit", "-q", "--amend", "--no-gpg-sign", "-m", "Not signed")
    owen.git("fetch", "-q", rachel.path, revision)
    owen.git("merge", "-q", "-S", "--no-ff", revision, "-m", "Approved before it was asked")
    attempts = [
        (rachel, f"{revision}:refs/heads/approved"),
        (rachel, f"{revision}:refs/heads/requests/rolf/a"),
        (rachel, f"{revision}:refs/tags/v1"),
        (rachel, "HEAD:refs/heads/requests/rachel/unknown"),
        (owen, "HEAD:refs/heads/approved"),
        (rachel, f"{revision}:refs/heads/requests/rachel/a"),
    ]
    alone = [push(desk, "--atomic", what) for desk, what in attempts[:-1]]
    before = town.refs()
    with judging(town):
        no_other_way(town)
        judged = [push(desk, "--atomic", what) for desk, what in attempts[:-1]]
        assert town.refs() == before
        accepted = done(push(*attempts[-1]))
    assert [said.code for said in alone] == [1] * 5 == [said.code for said in judged]
    assert [words(said) for said in alone] == [words(said) for said in judged]
    assert all(words(said) for said in alone)
    ok("git", "update-ref", "-d", "refs/heads/requests/rachel/a", cwd=town.repository)
    restore(town)
    assert words(done(push(*attempts[-1]))) == words(accepted) != []


def restore(town: Town) -> None:
    hook = town.repository / "hooks" / "pre-receive"
    hook.write_text(hook.read_text().replace("gitqueue.nowhere", "gitqueue.hook"))


def test_each_push_is_judged_by_the_people_of_that_moment(town: Town, owen: Desk, rachel: Desk) -> None:
    rachel.request("rachel/a", push=False)
    with judging(town):
        no_other_way(town)
        done(owen.gitqueue("person", "revoke", "rachel"))
        assert push(rachel).code == 1


def test_a_sender_named_by_the_environment_reaches_the_judge(town: Town, rachel: Desk) -> None:
    rachel.request("rachel/a", push=False)
    with judging(town):
        no_other_way(town)
        posing = {"GITQUEUE_SENDER": "rachel", "GITQUEUE_SENDER_KEY": "no fingerprint"}
        said = run("git", "push", "origin", "HEAD", cwd=rachel.path, env=posing)
        assert "nobody knows whose push this is" in said.err
        assert said.code == 1
        done(push(rachel))


def test_ten_pushes_at_once_are_all_judged_and_leave_nothing_behind(town: Town, owen: Desk, rachel: Desk) -> None:
    done(owen.gitqueue("policy", "set", "requests.open=100"))
    commits = {f"rachel/n{number}": rachel.request(f"rachel/n{number}", push=False) for number in range(10)}
    with judging(town) as judge, ThreadPoolExecutor(10) as pool:
        no_other_way(town)
        until(lambda: not children(judge))
        pushes = [pool.submit(push, rachel, f"{commit}:refs/heads/requests/{job}") for job, commit in commits.items()]
        for each in pushes:
            done(each.result())
        until(lambda: not children(judge) and os.listdir(f"/proc/{judge}/fd") == ["0", "1", "2", "3"])
    asked = {name.removeprefix("refs/heads/requests/"): tip for name, tip in town.refs().items() if "requests" in name}
    assert asked == commits


def test_the_judge_is_found_however_deep_the_site_lies(template: Path, tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-folder-with-a-long-name"] * 6)
    shutil.copytree(template, deep, symlinks=True)
    town = Town(deep)
    assert len(os.fsencode(town.site / "private" / "judge")) > 107
    with judging(town):
        no_other_way(town)
        town.desk("rachel").request("rachel/a")


# A judge that is not there, is no judge, or dies


def test_a_judge_killed_before_a_push_is_not_missed_and_another_comes(
    town: Town, rachel: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitqueue.adapters.judge._AGAIN", 0)
    private = town.site / "private"
    with Judge(private) as judge:
        for job in ("rachel/a", "rachel/b"):
            judge.keep()
            until(lambda: hello(private) == HELLO)
            assert judge._process
            os.kill(judge._process.pid, signal.SIGKILL)
            until(lambda: not hello(private))
            assert (private / "judge").is_socket(), "what a killed judge leaves"
            rachel.request(job)
            until(lambda: judge._process.poll() is not None)


@contextmanager
def held_up(town: Town, rachel: Desk) -> Iterator[tuple["Future[Done]", BinaryIO]]:
    """A push whose judge knows what it moves, and waits for the operator's settings: the pushing, and the writing end
    of what the settings come by. Other pushes find them as ever."""
    rachel.request("rachel/a", push=False)
    settings = town.site / "private" / "runner.yaml"
    kept = settings.rename(settings.with_name("kept.yaml"))
    os.mkfifo(settings)
    with ThreadPoolExecutor(1) as pool:
        pushing = pool.submit(push, rachel)
        with writing(settings) as end:
            kept.rename(settings)
            yield pushing, end


def writing(pipe: Path) -> BinaryIO:
    """The writing end, as soon as somebody reads."""
    found: list[int] = []

    def tried() -> bool:
        with suppress(OSError):
            found.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        return bool(found)

    until(tried)
    return open(found[0], "wb", buffering=0)


def test_a_judge_killed_during_a_push_refuses_it_and_the_next_is_served(town: Town, rachel: Desk) -> None:
    with judging(town) as judge:
        no_other_way(town)
        with held_up(town, rachel) as (pushing, _):
            before = town.refs()
            [child] = children(judge)
            assert hello(town.site / "private") == HELLO, "who is held up holds up nobody"
            os.kill(child, signal.SIGKILL)
            said = pushing.result(20)
        assert said.code == 1
        assert LOST in said.err
        assert town.refs() == before
        done(push(rachel))


def test_a_push_under_way_is_judged_to_its_end_when_the_service_stops(town: Town, rachel: Desk) -> None:
    with judging(town) as judge:
        no_other_way(town)
        with held_up(town, rachel) as (pushing, settings):
            for one in (*children(judge), judge):
                os.kill(one, signal.SIGTERM)
            until(lambda: not hello(town.site / "private"))
            settings.write((town.site / "private" / "runner.yaml").read_bytes())
            settings.close()
            assert words(done(pushing.result(20)))
    assert "refs/heads/requests/rachel/a" in town.refs()


@pytest.mark.parametrize("said", [b"", b"judge 2 /usr/bin/python3", b"judge 1 /usr/bin/python", HELLO + b"3"])
def test_who_does_not_say_that_it_is_this_judge_gets_no_push(town: Town, rachel: Desk, said: bytes) -> None:
    got: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        if said:
            connection.send(said)
            got.append(connection.recv(1 << 17))

    with listening(town, answer):
        rachel.request("rachel/a")
    assert got in ([], [b""])


def test_a_judge_that_is_stopped_is_not_waited_for(town: Town, rachel: Desk) -> None:
    with judging(town) as judge:
        os.kill(judge, signal.SIGSTOP)
        rachel.request("rachel/a")
        os.kill(judge, signal.SIGCONT)


@pytest.mark.parametrize("answer", [b"", b"yes", b"-0", b"1"])
def test_a_push_that_was_handed_over_is_refused_by_all_but_a_clear_yes(town: Town, rachel: Desk, answer: bytes) -> None:
    rachel.request("rachel/a", push=False)

    def taking(connection: socket.socket) -> None:
        connection.send(HELLO)
        _, handed, _, _ = socket.recv_fds(connection, 1 << 17, 4)
        connection.send(answer) if answer else None
        for descriptor in handed:
            os.close(descriptor)

    with listening(town, taking):
        said = push(rachel)
    assert said.code == 1
    assert (LOST in said.err) == (answer != b"1")
    assert "refs/heads/requests/rachel/a" not in town.refs()


# Its life


def test_the_judge_lives_and_dies_with_its_runner(town: Town) -> None:
    command = (sys.executable, "-m", "gitqueue", "-C", str(town.site), "serve")
    for end in (signal.SIGINT, signal.SIGKILL):
        runner = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until(lambda: hello(town.site / "private") == HELLO)
        runner.send_signal(end)
        runner.wait(20)
        until(lambda: not hello(town.site / "private"))


def test_a_judge_whose_code_has_changed_on_the_disk_ends(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("")
    script = """if True:
        import sys, pathlib
        from gitqueue.adapters import judge
        judge._PACKAGE = pathlib.Path(".")
        judge.serve(lambda: None, lambda: 0)"""
    judge = subprocess.Popen((sys.executable, "-c", script), cwd=tmp_path, stdin=subprocess.PIPE)
    until(lambda: hello(tmp_path) == HELLO)
    assert judge.poll() is None
    (tmp_path / "code.py").write_text("# newer\n")
    assert hello(tmp_path) == b""
    assert judge.wait(20) == 0


# Other accounts


@needs_root
def test_the_judge_does_not_talk_to_another_account(town: Town) -> None:
    private = town.site / "private"
    with judging(town):
        private.chmod(0o755)
        (private / "judge").chmod(0o777)
        stranger = os.fork()
        if not stranger:
            os.setuid(NOBODY)
            os._exit(len(hello(private)))
        assert os.waitpid(stranger, 0)[1] == 0
        assert hello(private) == HELLO


@needs_root
@pytest.mark.parametrize("served", [True, False])
def test_another_account_is_told_to_push_over_ssh(town: Town, served: bool) -> None:
    """Even where the folders' modes would let it write."""
    home = town.path / "nobody"
    home.mkdir()
    (home / "config").write_text("[safe]\n\tdirectory = *\n")
    key = home / "key"
    shutil.copy(town.key("rachel"), key)
    shutil.copy(f"{town.key('rachel')}.pub", f"{key}.pub")
    ok("git", "clone", "-q", town.repository, home / "desk", cwd=town.path)
    configure(home / "desk", "rachel", key)
    Desk("rachel", home / "desk").request("rachel/a", push=False)
    ok("chown", "-R", str(NOBODY), home, cwd=town.path)
    ok("chmod", "-R", "a+rwX", town.repository, cwd=town.path)
    install_site_hooks(town.repository, sshd._interpreter(home))
    with judging(town) if served else nullcontext():
        said = subprocess.run(
            ("git", "push", "origin", "HEAD"),
            cwd=home / "desk",
            user=NOBODY,
            env={**os.environ, "HOME": str(home), "GIT_CONFIG_GLOBAL": str(home / "config")},
            capture_output=True,
            text=True,
        )
    assert said.returncode == 1
    assert "this site takes no pushes of other accounts through the file system" in said.stderr
    assert "git remote set-url origin ssh://" in said.stderr
    assert "refs/heads/requests/rachel/a" not in town.refs()


# The bell


def test_a_push_rings_the_runners_bell_and_a_bell_that_is_missed_or_rung_twice_is_harmless(
    town: Town, owen: Desk, rachel: Desk
) -> None:
    post = town.repository / "hooks" / "post-receive"
    with Bell(town.site / "private" / "wake") as bell:
        revision = rachel.request("rachel/a")
        assert bell.wait(20)
        for _ in range(50):  # far more than anybody takes note of
            assert ok(post, cwd=town.repository) == ""
        assert bell.wait(20)
    post.unlink()
    owen.approve(revision)
    assert "rachel/a is completed" in town.serve().err
    assert "is completed" not in town.serve().err
