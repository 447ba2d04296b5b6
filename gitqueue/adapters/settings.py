"""Where a site lies on this machine, and what its operator set: `private/runner.yaml`."""

import os
from dataclasses import dataclass
from pathlib import Path

from gitqueue.adapters.files import write_atomic
from gitqueue.errors import Mistake, OperatorNeeded
from gitqueue.rules import policy
from gitqueue.rules.policy import RunnerSettings


@dataclass(frozen=True, slots=True)
class Site:
    """A site's folder. `repository` is what people clone, or, where a forge hosts the site, the runner's mirror of it;
    `private` is the site account's alone."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def repository(self) -> Path:
        mirror = self.private / "site.git"
        return mirror if os.path.isdir(mirror) else self.path / "site.git"

    @property
    def spool(self) -> Path:
        return self.path / "spool"

    @property
    def private(self) -> Path:
        return self.path / "private"

    @property
    def vault(self) -> Path:
        return self.private / "vault.git"

    @property
    def inbox(self) -> Path:
        """Where hooks and the runner leave word of what they are about to do, until it is in the audit."""
        return self.private / "inbox"

    @property
    def key(self) -> Path:
        return self.private / "keys" / "runner"

    @property
    def socket(self) -> Path:
        """Where the hook and the supervisors wake the runner."""
        return self.private / "wake"

    @property
    def paused(self) -> str:
        """Why nothing starts here, as `pause` was told; "" where all may."""
        return self.recall("paused") or ""

    @property
    def settings_file(self) -> Path:
        return self.private / "runner.yaml"

    def settings(self) -> RunnerSettings:
        """The operator's settings. Raises OperatorNeeded where they cannot be read."""
        try:
            return policy.parse_runner(self.settings_file.read_bytes())
        except OSError as error:
            raise OperatorNeeded(
                f"cannot read {str(self.settings_file)!r}: {error.strerror}",
                step="run this as the account that owns the site",
            ) from error

    def memory(self, name: str) -> Path:
        """A small file in which the runner remembers something between two starts."""
        return self.private / name

    def recall(self, name: str) -> str | None:
        try:
            return self.memory(name).read_text().strip() or None
        except FileNotFoundError:
            return None

    def remember(self, name: str, value: str) -> None:
        write_atomic(self.memory(name), f"{value}\n".encode())


def is_site(path: Path) -> bool:
    private = path / "private"
    repository = any(os.path.isdir(folder / "site.git") for folder in (path, private))
    return repository and os.path.isdir(private)


def find(start: Path) -> Site | None:
    """The site that `start` is, or lies in; None elsewhere."""
    for folder in (start, *start.parents):
        if is_site(folder):
            return Site(folder)
    return None


def here(start: Path) -> Site:
    """The operator's site: `$GITQUEUE_SITE`, or where we stand. Raises Mistake elsewhere."""
    named = os.environ.get("GITQUEUE_SITE")
    site = find(Path(named).absolute() if named else start.absolute())
    if site is None:
        raise Mistake(
            f"{named or str(start)!r} is no gitqueue site",
            step="go to the site's folder, or name it: gitqueue -C DIR …  (a new one: gitqueue init DIR)",
        )
    return site
