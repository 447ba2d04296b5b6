"""systemd: what its services tell it, and where it finds them."""

import os
import pwd
import re
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gitqueue.adapters import files
from gitqueue.adapters.render import template
from gitqueue.errors import Mistake, OperatorNeeded

SYSTEM = Path("/etc/systemd/system")
WATCHDOG = 180  # seconds without a word after which systemd kills the runner and starts another
SUBGROUP_SINCE = 254
# What the runner and its supervisors do as root: mounts, namespaces and control groups; being the sandbox user, and
# handling its files and processes; seeing its memory.
CAPABILITIES = (
    *("CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID"),
    *("CAP_KILL", "CAP_SYS_PTRACE", "CAP_SYS_RESOURCE"),
)


def notify(*words: str) -> None:
    """Tell systemd, where it asked to be told (sd_notify(3)). Never blocks and never fails: nobody may listen."""
    name = os.environ.get("NOTIFY_SOCKET", "")
    if name[:1] not in ("/", "@"):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as one:
        one.setblocking(False)
        one.sendto("\n".join(words).encode(), name.replace("@", "\0", 1) if name[0] == "@" else name)


@dataclass(frozen=True, slots=True)
class Service:
    """A site's runner as a service: of the machine, or of one user's own systemd. `user`: as whom, None: root."""

    site: Path
    system: bool
    user: str | None

    @property
    def name(self) -> str:
        return f"gitqueue-{self.site.name}"

    @property
    def unit(self) -> Path:
        return (SYSTEM if self.system else _users()) / f"{self.name}.service"

    def text(self, python: str, drain: int, subgroup: str) -> str:
        """The unit. Raises Mistake for a path that systemd would not read back as it is."""
        path = str(self.site)
        for one in (python, path):
            if not re.fullmatch(r"/[\w./+@:=,-]+", one, re.ASCII):
                raise Mistake(f"systemd would read the path {one!r} as something else", step="a path of plain letters")
        return template("service/gitqueue.service").render(
            site=self.site.name,
            path=path,
            system=self.system,
            user=self.user,
            python=python,
            drain=drain,
            watchdog=WATCHDOG,
            subgroup=subgroup if _version() >= SUBGROUP_SINCE else "",
            in_tmp=path.startswith(("/tmp/", "/var/tmp/")),
            capabilities=CAPABILITIES,
        )


def service(site: Path) -> Service:
    """For root, a service of the machine, as the account that owns the site; for others one of their own."""
    owner = site.stat().st_uid
    if os.geteuid() == 0:
        return Service(site, True, None if owner == 0 else pwd.getpwuid(owner).pw_name)
    if owner != os.geteuid():
        raise OperatorNeeded(f"{str(site)!r} is another account's", step="run this as root, or as that account")
    return Service(site, False, None)


def install(service: Service, text: str) -> None:
    service.unit.parent.mkdir(parents=True, exist_ok=True)
    files.write_atomic(service.unit, text.encode(), 0o644)


def _users() -> Path:
    home = pwd.getpwuid(os.geteuid()).pw_dir
    return Path(os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config") / "systemd" / "user"


def _version() -> int:
    """systemd's own number; 0 where it is not here (yet)."""
    with suppress(OSError, ValueError, IndexError):
        said = subprocess.run(("systemctl", "--version"), capture_output=True, text=True, timeout=10, check=False)
        return int(said.stdout.split()[1])
    return 0
