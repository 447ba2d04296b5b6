"""A real OpenSSH server on a loopback port, with the very lines of docs/ssh.md, and the unix account that it serves."""

import contextlib
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import DEVNULL

import pytest
from conftest import Desk, Done, Town, configure, ok, run

from gitqueue.adapters.git import list_refs

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
DOCS = Path(__file__).parents[2] / "docs" / "ssh.md"

# Without any of the walls that docs/ssh.md puts up in sshd: what holds here is held by the key's line and the command.
LAX = """AcceptEnv GIT_* GITQUEUE_* PYTHON* SSH_ORIGINAL_COMMAND
AllowTcpForwarding yes
AllowAgentForwarding yes
X11Forwarding yes
PermitTTY yes
PermitUserRC yes
AuthorizedKeysFile none
AuthorizedKeysCommand {wrapper} %t %k
AuthorizedKeysCommandUser {account}
"""


def documented(language: str) -> str:
    """A block of docs/ssh.md, the last of its language."""
    return re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(), re.S)[-1]


@dataclass(frozen=True)
class Server:
    """Two servers for one account: `strict` as documented, `lax` as its name says. Each site is at `home`/centre."""

    home: Path
    account: str
    uid: int
    strict: int
    lax: int
    python: str

    @property
    def site(self) -> Path:
        return self.home / "centre"

    def options(self, key: Path, port: int | None = None) -> list[str]:
        given = {
            "Port": port or self.strict,
            "User": self.account,
            "IdentityFile": key,
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": self.home / "known_hosts",
            "StrictHostKeyChecking": "yes",
            "KexAlgorithms": "curve25519-sha256",
            "BatchMode": "yes",
            "SendEnv": "GIT_PROTOCOL",
        }
        return ["-F", "none", *(word for name, value in given.items() for word in ("-o", f"{name}={value}"))]


@contextlib.contextmanager
def running(home: Path) -> Iterator[Server]:
    """Both servers, with a new account whose home is `home`; all of it gone afterwards."""
    python = _interpreter(home)
    with _account(home) as account, _wrapper(home, python) as wrapper:
        host = home / "host"
        ok("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host, cwd=home)
        ok("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / "authority", cwd=home)
        match = documented("sshd_config").replace("cancer-centre", account)
        match = match.replace("/usr/local/lib/gitqueue/keys", str(wrapper))
        texts = (match, LAX.format(wrapper=wrapper, account=account))
        ports = [_free_port() for _ in texts]
        known = "".join(f"[127.0.0.1]:{port} {host.with_suffix('.pub').read_text()}" for port in ports)
        (home / "known_hosts").write_text(known)
        with contextlib.ExitStack() as stack:
            for port, text in zip(ports, texts, strict=True):
                stack.enter_context(_sshd(home, port, text))
            uid = int(ok("id", "-u", account, cwd=home))
            yield Server(home, account, uid, *ports, python)


def _interpreter(home: Path) -> str:
    """This interpreter; or, where it lies in root's home, the system's of the same version with this one's packages."""
    place = Path(sys.executable).resolve()
    if all(folder.stat().st_mode & 0o001 for folder in (place, *place.parents)):
        return sys.executable
    system, site = Path("/usr/bin/python3"), Path(sysconfig.get_path("purelib"))
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if system.resolve().name != version:
        pytest.skip(f"{place} cannot be read by another account")
    packages = home / "venv" / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    (packages / "packages.pth").write_text(f"import site; site.addsitedir({str(site)!r})\n")
    (home / "venv" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (home / "venv" / "bin").mkdir()
    (home / "venv" / "bin" / "python").symlink_to(system)
    return str(home / "venv" / "bin" / "python")


@contextlib.contextmanager
def _account(home: Path) -> Iterator[str]:
    name = f"gqssh{os.getpid()}"
    ok("useradd", "--no-create-home", "--home-dir", home, "--shell", "/bin/sh", name, cwd=home)
    try:
        ok("usermod", "-p", "*", name, cwd=home)
        yield name
    finally:
        ok("userdel", name, cwd=home)


@contextlib.contextmanager
def _wrapper(home: Path, python: str) -> Iterator[Path]:
    """The program of docs/ssh.md, where every folder above belongs to root: below /tmp sshd would not start it."""
    folder = Path(f"/run/gitqueue-test-{os.getpid()}")
    folder.mkdir(mode=0o755)
    text = next(one for one in re.findall(r"```sh\n(.*?)```", DOCS.read_text(), re.S) if one.startswith("#!"))
    text = text.replace("/opt/gitqueue/bin/python", python).replace("/srv/cancer-centre", f"{home}/centre")
    try:
        (folder / "keys").write_text(text)
        (folder / "keys").chmod(0o755)
        yield folder / "keys"
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def _sshd(home: Path, port: int, text: str) -> Iterator[None]:
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # Debian's own unit makes it
    config, log = home / f"sshd-{port}", home / f"sshd-{port}.log"
    given = f"""ListenAddress 127.0.0.1
Port {port}
HostKey {home}/host
PidFile none
UsePAM no
StrictModes yes
LogLevel DEBUG
MaxStartups 100
Subsystem sftp internal-sftp
TrustedUserCAKeys {home}/authority.pub
{_newer()}
"""
    config.write_text(given + text)
    with log.open("wb") as file:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", config], stdout=file, stderr=file, stdin=DEVNULL)
    try:
        _wait_for(port, log)
        yield
    finally:
        server.terminate()
        server.wait()


def _newer() -> str:
    """From 9.8 on sshd punishes an address for failed logins, and all of these tests come from one."""
    said = subprocess.run(["ssh", "-V"], capture_output=True, check=False).stderr.decode()
    found = re.match(r"OpenSSH_(\d+)\.(\d+)", said)
    return "PerSourcePenalties no" if found and (int(found[1]), int(found[2])) >= (9, 8) else ""


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait_for(port: int, log: Path) -> None:
    for _ in range(500):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.01)
    raise AssertionError(log.read_text(errors="replace"))


@dataclass(frozen=True)
class Far:
    """A town whose site belongs to the account of a server: its people come by ssh alone."""

    town: Town
    server: Server
    masters: contextlib.ExitStack
    shared: bool = False  # over the connections that `open` made

    def url(self, path: str = "site.git") -> str:
        return f"{self.server.account}@127.0.0.1:{path}"

    def connect(self, name: str, port: int | None = None, *more: str) -> list[str]:
        control = ("-o", f"ControlPath={self._control(name, port)}") if self.shared else ()
        return ["ssh", *self.server.options(self.town.key(name), port), *control, *more]

    def _control(self, name: str, port: int | None) -> Path:
        return self.town.path / f"{name}-{port or self.server.strict}"

    @contextlib.contextmanager
    def open(self, name: str, port: int | None = None) -> Iterator["Far"]:
        """One connection (ControlMaster) for all sessions of a person; each starts the forced command anew."""
        far = replace(self, shared=True)
        # ControlPersist would leave a master behind that keeps the pipes of whoever started it
        master = subprocess.Popen(
            [*far.connect(name, port, "-M", "-N"), "127.0.0.1"], stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
        )
        try:
            for _ in range(500):
                if self._control(name, port).exists():
                    break
                time.sleep(0.01)
            yield far
        finally:
            master.kill()  # 9.2 can miss a SIGTERM, and sleep for 300 s more
            master.wait()

    def ssh(self, name: str, *command: str, port: int | None = None, more: tuple[str, ...] = ()) -> Done:
        """One ssh session of a person; `command` goes over the wire as it is. Says git's good-bye."""
        words = (*self.connect(name, port, "-T", *more), "127.0.0.1", *(["--"] if command else []), *command)
        return run(*words, cwd=self.town.path, stdin=b"0000")

    def git_env(self, name: str, port: int | None = None, *more: str) -> dict[str, str]:
        return {"GIT_SSH_COMMAND": shlex.join(map(str, self.connect(name, port, *more))), "GIT_SSH_VARIANT": "ssh"}

    def git(self, name: str, *argv: str, cwd: Path, port: int | None = None, more: tuple[str, ...] = ()) -> Done:
        return run("git", *argv, cwd=cwd, env=self.git_env(name, port, *more))

    def desk(self, name: str) -> Desk:
        """A person's clone, made over ssh, that goes on over one connection: a new one costs four times a session."""
        path = self.town.path / "desks" / name
        path.parent.mkdir(exist_ok=True)
        far = self.masters.enter_context(self.open(name))
        settings = {"core.sshCommand": far.git_env(name)["GIT_SSH_COMMAND"], "ssh.variant": "ssh"}
        given = [word for pair in settings.items() for word in ("-c", "=".join(pair))]
        ok("git", "clone", "-q", *given, self.url(), path, cwd=path.parent)
        configure(path, name, self.town.key(name))
        return Desk(name, path)

    def refs(self) -> dict[str, str]:
        """As the test's own account sees them, which is another than the site's."""
        return list_refs(self.town.repository, "refs")

    def own(self) -> None:
        """Give the account what the test, as root, has put into the site."""
        ok("chown", "-R", f"{self.server.account}:", self.town.site, cwd=self.town.path)
