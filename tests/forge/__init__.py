"""A real forge with pull requests, on loopback: Pagure in a Debian of its own (see root.sh and serve.sh)."""

import json
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from conftest import ok

from gitqueue.adapters.git import list_refs

HERE = Path(__file__).parent
_STATE = ("start.sh", "pagure.cfg", "people.py", "key.py")


@dataclass(frozen=True)
class Pagure:
    """The forge: its REST interface is asked as one of its people, its git is reached by ssh with a key of theirs."""

    state: Path
    ports: dict[str, int]
    process: int

    def url(self, project: str = "site") -> str:
        return f"ssh://_pagure@127.0.0.1:{self.ports['SSH']}/{project}.git"

    def refs(self) -> dict[str, str]:
        """What it shows of the site, read where it lies: each of its ssh connections takes seconds."""
        where = self.state / "repositories" / "site.git"
        return list_refs(where, "refs")

    def ask(self, person: str, path: str, **values: object) -> Any:
        """A question where there are no values, else an order, as a person of the forge."""
        token = json.loads((self.state / "tokens.json").read_text())[person]
        data = urlencode(values).encode() if values else None
        where = f"http://127.0.0.1:{self.ports['WEB']}/api/0/{path}"
        try:
            with urlopen(Request(where, data, {"Authorization": f"token {token}"}), timeout=120) as answer:
                return json.load(answer)
        except HTTPError as error:
            raise AssertionError(f"{path}: {error.code} {error.read().decode()}") from error

    def let_in(self, project: str, owner: str, key: Path) -> None:
        """What its page for deploy keys does, which its REST interface cannot."""
        inside = next(Path("/proc", str(self.process), "task", str(self.process)).glob("children")).read_text().split()
        words = ("nsenter", "--mount", "--pid", "--root", "--wdns=/var/lib/pagure", f"--target={inside[0]}")
        names = {name: str(port) for name, port in self.ports.items()}
        world = {"PAGURE_CONFIG": "/var/lib/pagure/pagure.cfg", "PYTHONWARNINGS": "ignore", **names}
        who = ("setpriv", "--reuid=_pagure", "--regid=_pagure", "--init-groups", "python3", "key.py", project, owner)
        ok(*words, *who, cwd=self.state, env=world, stdin=key.read_bytes())


def until(what: Callable[[], object], seconds: float = 120) -> None:
    """The forge does much of its work behind its answers."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "the forge did not come to it"
        time.sleep(0.5)


@contextmanager
def running(state: Path, people: dict[str, Path]) -> Iterator[Pagure]:
    """A new forge in a new folder; `people`: name -> their public key."""
    home = pwd.getpwuid(os.geteuid()).pw_dir  # not the tests' own: the root is made once for this machine
    root = ok(HERE / "root.sh", cwd=HERE, env={"HOME": home}).splitlines()[-1]
    state.mkdir()
    for name in _STATE:
        shutil.copy(HERE / name, state / name)
    (state / "people.json").write_text(json.dumps({name: key.read_text().strip() for name, key in people.items()}))
    ports = {name: _free_port() for name in ("WEB", "SSH", "REDIS")}
    world = {**os.environ, **{name: str(port) for name, port in ports.items()}}
    with (state / "serve.log").open("wb") as log:
        served = subprocess.Popen([HERE / "serve.sh", root, state], env=world, stdout=log, stderr=log)
    try:
        until(lambda: _answers(served, ports["WEB"], state))
        yield Pagure(state, ports, served.pid)
    finally:
        served.kill()  # and with it all that it started
        served.wait()


def _answers(served: "subprocess.Popen[bytes]", port: int, state: Path) -> bool:
    assert served.poll() is None, (state / "serve.log").read_text()
    try:
        with urlopen(f"http://127.0.0.1:{port}/api/0/version", timeout=10):
            return True
    except (URLError, ConnectionError, TimeoutError):
        return False


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
