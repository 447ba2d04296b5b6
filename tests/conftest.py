"""Real sites, real clones, real keys: made once a session and copied; fenced off from the machine's git settings."""

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples" / "jobs"
PEOPLE = ("owen", "olga", "rachel", "rolf", "stranger")
JOB = b"name: Mean radius by diagnosis\nrun: python main.py\ndatasets: [cancer]\noutputs: [means.csv]\n"
MAIN = b"""import csv, os
rows = list(csv.DictReader(open(os.environ["GITQUEUE_DATA"] + "/cancer/features.csv")))
with open(os.environ["GITQUEUE_OUTPUT"] + "/means.csv", "w") as out:
    out.write(f"feature,mean,n\\nradius,{sum(float(row['radius']) for row in rows) / len(rows):.2f},{len(rows)}\\n")
"""
MOCK = b"patient_id,radius\n" + b"".join(b"m%d,%d\n" % (n, 10 + n % 5) for n in range(40))
REAL = b"patient_id,radius\n" + b"".join(b"p%d,%d\n" % (n, 20 + n % 7) for n in range(60))


@pytest.fixture(autouse=True, scope="session")
def fence(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees, or touches, the machine's own git configuration, agent or site."""
    home = tmp_path_factory.mktemp("home")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "GITQUEUE_", "SSH_"))}
    os.environ.clear()
    os.environ.update(kept, HOME=str(home), GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL="/dev/null", LC_ALL="C.UTF-8")


@pytest.fixture(scope="session")
def python() -> Callable[[str], Path]:
    """The interpreter of an example's own lock, built by the product where `gitqueue test` and the demo look for it: to
    compile scikit-learn takes a core most of a minute."""
    from gitqueue.adapters import preparation
    from gitqueue.adapters.environment import build

    cache = preparation.at_home().environments
    cache.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    return lambda job: build((EXAMPLES / job / "requirements.txt").read_bytes(), "3.11", cache).path / "bin" / "python"


@dataclass(frozen=True)
class Done:
    """How a command ended, with what it said."""

    code: int
    out: str
    err: str


def run(*argv: str | Path, cwd: Path, env: dict[str, str] | None = None, stdin: bytes = b"") -> Done:
    words = [str(word) for word in argv]
    ended = subprocess.run(words, cwd=cwd, env={**os.environ, **(env or {})}, input=stdin, capture_output=True)
    return Done(ended.returncode, ended.stdout.decode(errors="replace"), ended.stderr.decode(errors="replace"))


def ok(*argv: str | Path, cwd: Path, env: dict[str, str] | None = None, stdin: bytes = b"") -> str:
    ended = run(*argv, cwd=cwd, env=env, stdin=stdin)
    assert ended.code == 0, f"{argv}: {ended.code}\n{ended.out}\n{ended.err}"
    return ended.out.strip()


def done(said: Done) -> Done:
    assert said.code == 0, f"{said.out}\n{said.err}"
    return said


def call(*argv: str | Path) -> Done:
    """A command, in this process: 300 ms of imports less than a process of its own."""
    from gitqueue import cli

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.run([str(word) for word in argv])
    return Done(code, out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Desk:
    """One person's clone, made by plain git, with nothing of gitqueue but git's own signing configuration."""

    name: str
    path: Path

    def git(self, *argv: str | Path, **more: object) -> str:
        return ok("git", *argv, cwd=self.path, **more)  # type: ignore[arg-type]

    def refused(self, *argv: str | Path) -> str:
        """What a git command that must fail says."""
        ended = run("git", *argv, cwd=self.path)
        assert ended.code != 0, f"{argv} was accepted:\n{ended.err}"
        return ended.err

    def gitqueue(self, *argv: str | Path) -> Done:
        return call("-C", self.path, *argv)

    def write(self, files: dict[str, bytes]) -> None:
        for name, data in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def request(self, job: str, files: dict[str, bytes] | None = None, push: bool = True) -> str:
        """A request by plain git; its commit."""
        self.git("fetch", "-q", "origin")
        self.git("switch", "-q", "-c", f"requests/{job}", "--no-track", "origin/approved")
        held = {"job.yaml": JOB, "main.py": MAIN} if files is None else files
        self.write({f"jobs/{job}/{name}": data for name, data in held.items()})
        self.git("add", "--force", "jobs")
        self.git("commit", "-q", "-S", "-m", f"Ask for {job}")
        if push:
            self.git("push", "-q", "origin", "HEAD")
        return self.git("rev-parse", "HEAD")

    def merge(self, commit: str, message: str = "Aggregates only") -> str:
        """An approval by plain git, not pushed; its commit."""
        self.git("fetch", "-q", "origin")
        self.git("switch", "-q", "approved")
        self.git("merge", "-q", "--ff-only", "origin/approved")
        self.git("merge", "-q", "-S", "--no-ff", commit, "-m", message)
        return self.git("rev-parse", "HEAD")

    def approve(self, commit: str) -> str:
        merged = self.merge(commit)
        self.git("push", "-q", "origin", "approved")
        return merged


@dataclass(frozen=True)
class Town:
    """A site with its people: where everything of one test lies."""

    path: Path

    @property
    def site(self) -> Path:
        return self.path / "centre"

    @property
    def repository(self) -> Path:
        return self.site / "site.git"

    def key(self, name: str) -> Path:
        return self.path / "keys" / name

    def desk(self, name: str, folder: str | None = None) -> Desk:
        path = self.path / "desks" / (folder or name)
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            ok("git", "clone", "-q", self.repository, path, cwd=self.path)
            configure(path, name, self.key(name))
        return Desk(name, path)

    def refs(self) -> dict[str, str]:
        lines = ok("git", "for-each-ref", "--format=%(refname) %(objectname)", cwd=self.repository).splitlines()
        return dict(line.split() for line in lines)

    def gitqueue(self, *argv: str | Path) -> Done:
        return call("-C", self.site, *argv)

    def once(self) -> Done:
        """One run of the runner, in a process of its own."""
        return run(sys.executable, "-m", "gitqueue", "-C", self.site, "serve", "--once", cwd=self.path)

    def serve(self) -> Done:
        return done(self.once())


def configure(path: Path, name: str, key: Path) -> None:
    """git's own signing configuration, as any person would have it."""
    values = {
        "user.name": name,
        "user.email": f"{name}@uni.example",
        "gpg.format": "ssh",
        "user.signingkey": f"{key}.pub",
        "commit.gpgsign": "false",
        "advice.detachedHead": "false",
    }
    for setting, value in values.items():
        ok("git", "config", setting, value, cwd=path)


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """A site with two owners' worth of people and one dataset; never changed by a test."""
    with reachable() as base:
        _found(base)
        yield base


def _let_in(path: Path) -> None:
    """pytest makes its folders 0700; the account that jobs run as must reach a site below them."""
    for folder in (path, *path.parents):
        if folder.stat().st_uid == os.geteuid() and folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(0o755)


@contextlib.contextmanager
def reachable() -> Iterator[Path]:
    """A folder that the account that jobs run as can reach; pytest makes its own ones 0700, again and again."""
    with tempfile.TemporaryDirectory(prefix="gitqueue-test-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _found(base: Path) -> None:
    (base / "keys").mkdir()
    for name in PEOPLE:
        ok("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", base / "keys" / name, cwd=base)
    owner = ("--owner", "owen", "--email", "owen@uni.example", "--key", base / "keys" / "owen")
    done(call("init", base / "centre", *owner))
    town = Town(base)
    desk = town.desk("owen")
    for name, role in (("olga", "owner"), ("rachel", "requester"), ("rolf", "requester")):
        where = ("--email", f"{name}@uni.example", "--key", base / "keys" / f"{name}.pub", "--role", role)
        done(desk.gitqueue("person", "add", name, *where))
    (base / "features.csv").write_bytes(MOCK)
    (base / "data").mkdir()
    (base / "data" / "features.csv").write_bytes(REAL)
    asset = ("--asset", f"features={base / 'data' / 'features.csv'}", "--mock", f"features={base / 'features.csv'}")
    done(desk.gitqueue("dataset", "add", "cancer", "--title", "Cancer", *asset, "--identifier", "patient_id"))
    done(desk.gitqueue("policy", "set", "results=plain"))
    shutil.rmtree(desk.path)
    (base / "tools").mkdir()  # what the analyser is made of: copied once, not by every site that rehearses
    (base / "centre" / "spool" / "tools").symlink_to(base / "tools")


@pytest.fixture
def town(template: Path) -> Iterator[Town]:
    """A copy of the template, for one test."""
    with reachable() as base:
        shutil.copytree(template, base / "town", symlinks=True)
        yield Town(base / "town")


@pytest.fixture
def owen(town: Town) -> Desk:
    return town.desk("owen")


@pytest.fixture
def olga(town: Town) -> Desk:
    return town.desk("olga")


@pytest.fixture
def rachel(town: Town) -> Desk:
    return town.desk("rachel")
