"""The runner's own view of its site: both repositories, the signing key, the sandbox user. One for each thread."""

import os
import pwd
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from gitqueue.adapters import executors, git, signatures
from gitqueue.adapters.forge import Forge
from gitqueue.adapters.history import History
from gitqueue.adapters.objects import Objects
from gitqueue.adapters.queue import Queue, Verified
from gitqueue.adapters.settings import Site
from gitqueue.errors import OperatorNeeded
from gitqueue.model import RefMove
from gitqueue.rules.notes import compose
from gitqueue.rules.policy import RunnerSettings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@dataclass(frozen=True)
class Premises:
    """What a step of the runner works with. `verified` tells how far the chain is: nothing beyond it counts."""

    site: Site
    settings: RunnerSettings
    verified: Verified | None = None
    known: "Premises | None" = None  # another thread's: what it has read of the site

    @cached_property
    def objects(self) -> Objects:
        return Objects(self.site.repository)

    @cached_property
    def vault(self) -> Objects:
        return Objects(self.site.vault)

    @cached_property
    def history(self) -> History:
        known = self.known
        return known.history.elsewhere(self.objects) if known else History(self.objects, self.settings.revoked)

    @cached_property
    def queue(self) -> Queue:
        known = self.known
        return known.queue.elsewhere(self.history) if known else Queue(self.history, verified=self.verified)

    @cached_property
    def forge(self) -> Forge | None:
        """Where the site is hosted; None where people push to this machine."""
        return Forge(self.site, self.settings.remote) if self.settings.remote else None

    def publish(self, move: RefMove) -> bool:
        """Compare-and-swap of a ref that others may move, too: at the forge first, where people see it. False: it stood
        elsewhere. Raises Away where the forge cannot be asked."""
        if self.forge is not None and not self.forge.push(move):
            return False
        # Between the two a look may have seen it there, and have taken it in.
        return git.move_refs(self.site.repository, [move]) or self.objects.ref(move.name) == move.new

    @cached_property
    def key(self) -> "Ed25519PrivateKey":
        return signatures.load_key(self.site.key)

    @property
    def executor(self) -> executors.Executor:
        return executors.chosen(self.settings.executor)

    @property
    def sandbox_user(self) -> tuple[int | None, int | None]:
        """Uid and gid that jobs run as; (None, None) where the runner may not switch. Raises OperatorNeeded where it
        must, and there is no such account: a job never runs as root."""
        if os.geteuid() != 0:
            return None, None
        try:
            account = pwd.getpwnam(self.settings.sandbox.user or "")
        except KeyError as error:
            raise OperatorNeeded(
                f"the runner is root, and there is no sandbox user {self.settings.sandbox.user!r} to run jobs as",
                step="gitqueue doctor --fix",
            ) from error
        if account.pw_uid == 0:
            raise OperatorNeeded(f"the sandbox user {account.pw_name!r} is root", step="gitqueue doctor --fix")
        return account.pw_uid, account.pw_gid

    def commit(self, objects: Objects, tree: str, parents: Sequence[str], message: str, now: float) -> str:
        """A commit by the runner, signed with its own key."""
        above = "".join(f"parent {parent}\n" for parent in parents)
        who = f"runner <runner@{self.site.name}> {int(now)} +0000"
        payload = f"tree {tree}\n{above}author {who}\ncommitter {who}\n\n{message}"
        return objects.write_commit(signatures.sign(payload.encode(), self.key))

    def vault_commit(
        self, tree: str, parents: Sequence[str], text: str, values: Mapping[str, object], now: float
    ) -> str:
        """A commit of the vault, with a nonce: its id can be named in public and confirms no guess of its content."""
        message = compose(text, {**values, "Nonce": secrets.token_hex(16)})
        return self.commit(self.vault, tree, parents, message, now)
