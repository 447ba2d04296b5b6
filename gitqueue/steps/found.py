"""Found: make a new site: its repositories, its folders, the runner's key, and the signed first commit."""

import os
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gitqueue import refs
from gitqueue.adapters import environment, git, resources, signatures
from gitqueue.adapters.accounts import SANDBOX_USER, close_to, make_user
from gitqueue.adapters.clone import Clone
from gitqueue.adapters.objects import Objects
from gitqueue.adapters.render import template
from gitqueue.adapters.settings import Site, is_site
from gitqueue.errors import GitqueueError, Mistake, OperatorNeeded
from gitqueue.model import FILE, RefMove
from gitqueue.rules import policy

_NOTHING: Mapping[str, bytes] = {}


@dataclass(frozen=True, slots=True)
class Founder:
    """The first owner: name in the site, e-mail, the public key's line, and what git signs with (a path or a key);
    `recovery` is the public line of an offline key that may change people.yaml and nothing else."""

    name: str
    email: str
    key: str
    signing: str
    recovery: str | None = None


def begin(path: Path, founder: Founder, remote: str | None = None, more: Mapping[str, bytes] = _NOTHING) -> Site:
    """A new site as this machine allows it: with an account for jobs where we are root, the first system Python that
    jobs can use, and the first documents from the templates. `remote` is the forge that hosts it, `more` documents
    that are that forge's own."""
    name, user = refs.slug(path.name), SANDBOX_USER if os.geteuid() == 0 else None
    if user:
        make_user(user)
    documents = {
        ".gitqueue/site.yaml": template("site/site.yaml").render(site=name, python=_python()).encode(),
        ".gitqueue/REVIEW.md": (resources.folder("templates") / "site" / "REVIEW.md").read_bytes(),
        "README.md": template("site/README.md").render(site=name).encode(),
        **more,
    }
    site = found(path, founder, Plan(documents, sys.executable, user, remote))
    if user:
        with suppress(OperatorNeeded):  # a file system without ACLs: doctor names it
            close_to(site, user)
    return site


def _python() -> str:
    """The first system Python that jobs can use; 3.11 where there is none yet (doctor says so)."""
    for version in ("3.11", "3.12", "3.13", "3.14"):
        try:
            environment.interpreter(version)
            return version
        except GitqueueError:
            continue
    return "3.11"


@dataclass(frozen=True, slots=True)
class Plan:
    """A site to make. `documents` are its first files beside people and signers; `python` is the interpreter that its
    hooks call; `sandbox_user` the account that runs jobs; `remote` the URL of the forge that hosts it."""

    documents: Mapping[str, bytes]
    python: str
    sandbox_user: str | None = None
    remote: str | None = None


def found(path: Path, founder: Founder, plan: Plan) -> Site:
    """Make the site in an empty or absent folder."""
    _must_be_free(path)
    site = Site(path)
    for folder, mode in ((path, 0o755), (site.spool, 0o711), (site.private, 0o700)):
        folder.mkdir(mode=mode, exist_ok=True)
        folder.chmod(mode)
    for folder in (site.inbox, site.key.parent):
        folder.mkdir(mode=0o700, exist_ok=True)
    _repository(site.private / "site.git" if plan.remote else site.repository)
    _repository(site.vault)
    runner = signatures.generate_key(site.key, f"runner@{path.name}")
    root = _first_commit(site, founder, runner, plan.documents)
    _write_settings(site, root, plan)
    resources.install_site_hooks(site.repository, plan.python)
    return site


# hosted


def host(site: Site, remote: str, scripts: Mapping[str, str]) -> tuple[str, str]:
    """Put a new site's chain on its forge, as the person who stands here, and give the runner a key of its own to go
    there with; that key's public line, and why the push failed, or "". `scripts` are what sets up the forge."""
    try:
        # The person's own ssh: what the mirror is set to use for the runner is not known there yet.
        person = {"GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh")}
        Clone(site.repository).git("push", "--quiet", remote, f"{refs.APPROVED}:{refs.APPROVED}", extra=person)
        fault = ""
    except GitqueueError as error:
        fault = "; ".join(error.reasons)
    access = signatures.generate_key(_access_key(site), f"{site.name}-runner")
    _access_key(site).with_suffix(".pub").write_text(f"{access}\n")
    git.configure(site.repository, _access(site))
    (site.path / "forge").mkdir()
    for name, text in scripts.items():
        (site.path / "forge" / name).write_text(text)
    return access, fault


def _access_key(site: Site) -> Path:
    """It opens the forge's door and signs nothing: whoever steals it can delay, and no more."""
    return site.key.parent / "forge"


def _access(site: Site) -> dict[str, str]:
    """How git goes to the forge, by ssh or by https; never with the key that signs."""
    keys = site.key.parent
    options = {"UserKnownHostsFile": keys / "known_hosts", "IdentitiesOnly": "yes", "BatchMode": "yes"}
    words = ["ssh", "-i", str(_access_key(site)), "-o", "StrictHostKeyChecking=accept-new"]
    words += [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    store = shlex.join(["store", f"--file={keys / 'credentials'}"])
    return {"core.sshCommand": shlex.join(words), "credential.helper": store}


def _must_be_free(path: Path) -> None:
    if is_site(path):
        raise Mistake(f"{str(path)!r} is a site already", step="gitqueue status, in it")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise Mistake(f"{str(path)!r} is there already and not empty", step="choose another folder")
    if not path.parent.is_dir():
        raise Mistake(f"the folder {str(path.parent)!r} does not exist", step=f"mkdir -p {path.parent}")


def _repository(path: Path) -> None:
    git.git("init", "--quiet", "--bare", "--initial-branch=approved", str(path), cwd=path.parent)
    git.configure(path, git.HARDENED)


def _first_commit(site: Site, founder: Founder, runner: str, documents: Mapping[str, bytes]) -> str:
    people = template("site/people.yaml").render(founder=founder, runner=runner).encode()
    signers = policy.allowed_signers(policy.parse_people(people)).encode()
    files = {**documents, ".gitqueue/people.yaml": people, ".gitqueue/allowed_signers": signers}
    objects = Objects(site.repository)
    tree = objects.put_files(None, {path: (FILE, data) for path, data in files.items()})
    root = _sign(site, founder, tree)
    git.move_refs(site.repository, [RefMove(refs.APPROVED, None, root)])
    return root


def _sign(site: Site, founder: Founder, tree: str) -> str:
    who = {"GIT_AUTHOR_NAME": founder.name, "GIT_AUTHOR_EMAIL": founder.email}
    who |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in who.items()}
    signing = ("-c", "i18n.commitEncoding=UTF-8", "-c", "gpg.format=ssh", "-c", f"user.signingkey={founder.signing}")
    message = f"Found the site {site.name}"
    return Clone(site.repository).git(*signing, "commit-tree", "-S", "-m", message, tree, extra=who).strip()


def _write_settings(site: Site, root: str, plan: Plan) -> None:
    text = template("site/runner.yaml").render(root=root, sandbox_user=plan.sandbox_user, remote=plan.remote)
    site.settings_file.write_text(text)
    site.settings_file.chmod(0o600)
