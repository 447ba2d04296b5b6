"""Python environments for jobs, by uv: built once from a requirements file, kept by content, shared read-only.

No code of a package runs here. Wheels only, so nothing is built; and bytecode is compiled by the bare interpreter
(-I -S), because uv's own `--compile-bytecode` starts the environment's Python, which obeys the `.pth` files that
packages bring: a wheel then runs code outside every sandbox (tried: tests/test_environment.py). For the same reason
uv looks at an environment once, while it is empty, and nothing here ever starts an environment's `bin/python`.

In `cache`, a folder of the spool:

    <key>/env          what jobs see as /env
    <key>/record.json  its packages, with the SHA-256 of each wheel, and its size
    <key>.lock         held exclusively by who builds or evicts, shared by who looks; its mtime is the last use
    <key>.new, .old    on the way in and out: never used
    .uv, .uv.lock      wheels that uv keeps for the next environment

A run's folder names its environment by the link `environment` (`use`): that is what keeps it from `evict`, whether or
not the runner, or the machine, has been started anew in between. The link is made right after `build`, which counts
as a use, and what was used within `FRESH` is left alone.
"""

import fcntl
import hashlib
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from configparser import ConfigParser
from configparser import Error as BadConfig
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

import msgspec

from gitqueue.errors import GitqueueError, Mistake, No, OperatorNeeded

FORMAT = 1  # of an environment in the cache: a higher one leaves all older ones to `evict`
LONGEST = 600.0  # seconds for one build
OLDEST = 90 * 86400.0  # seconds without a use, after which an environment goes whatever room there is
FRESH = 3600.0  # seconds after a use in which no environment goes: a run that is being prepared has not named it yet
LINK = "environment"  # in a run's folder
LARGEST = 8 << 30  # bytes of one environment
PIP_CONF = Path("/etc/pip.conf")
FOLDERS = ("/usr/bin", "/usr/local/bin")  # the sandbox shows /usr and nothing else that could hold a Python

# How uv reaches the site's index, and nothing else of the runner's environment. Also UV_INDEX_*: names and passwords.
_KEPT = (
    *("UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_OFFLINE", "UV_INSECURE_HOST"),
    *("UV_HTTP_TIMEOUT", "UV_HTTP_RETRIES", "NETRC", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_CLIENT_CERT"),
    *("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "all_proxy", "http_proxy", "https_proxy", "no_proxy"),
)
_FIXED = {
    **{"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"},  # trust what the machine trusts; the second is the older name
    **{"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1", "LC_ALL": "C.UTF-8"},
}
_FROM_PIP = {  # uv reads nothing of pip's; a site that has configured pip has configured gitqueue
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_EXTRA_INDEX_URL",
    "find-links": "UV_FIND_LINKS",
    "no-index": "--no-index",  # for this one uv has an option only
    "trusted-host": "UV_INSECURE_HOST",
    "proxy": "ALL_PROXY",
    "cert": "SSL_CERT_FILE",
}

_PATH = re.compile(r"(?<![\w.<>/-])(?:/[\w.+@-]+){2,}/?")  # of a wheelhouse, say
_LINUX = "sys_platform == 'linux'"
_WHEELS = ("--only-binary", ":all:")
# One version of a package for all Pythons: shorter to review, and the same numbers everywhere.
_COMPILE = ("pip", "compile", "--generate-hashes", "--no-header", "--fork-strategy", "fewest", *_WHEELS)


class Package(NamedTuple):
    """One installed wheel. `sha256` is "" only where a lock lists several hashes and none of them is uv's choice."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Environment:
    """`path` goes to /env. `seconds`: what building took in this call; 0.0 from the cache."""

    path: Path
    packages: tuple[Package, ...]
    seconds: float
    python: str


class _Record(msgspec.Struct, frozen=True):
    python: str
    packages: tuple[Package, ...]
    size: int


class Unbuildable(No):
    """These requirements cannot be an environment, and that is no fault of the site.

    The text names package and reason, and nothing of the site's machine: the requester, and so everybody, may read it.
    """


def build(
    lock: bytes, python: str | Sequence[str], cache: Path, policy: str = "locked", timeout: float = LONGEST
) -> Environment:
    """The environment of a requirements file that the rules have judged, built now or found in `cache`.

    `python`: the versions that the site allows, first choice first, as "3.11, 3.12" or a list. `policy`: `locked`
    (each line with hashes, which uv enforces) or `any` (uv resolves; the hashes are those of what it chose).
    Raises Unbuildable where the file is at fault, naming the package; OperatorNeeded where the
    machine, the index or the network is.
    """
    base = interpreter(python)
    place = cache / _key(lock, base, policy)
    with _faults_of_the_machine():
        _folder(cache, 0o711)
        with _locked(place, fcntl.LOCK_SH):
            record = _record(place)
        if record:
            return Environment(place / "env", record.packages, 0.0, record.python)
        start = time.monotonic()
        with _locked(place, fcntl.LOCK_EX):  # ten that ask at once: one builds, nine find
            record = _record(place) or _build(lock, base, place, policy, start + timeout)
    return Environment(place / "env", record.packages, time.monotonic() - start, record.python)


def interpreter(python: str | Sequence[str]) -> Path:
    """The first of these versions that jobs can run: a system's one, which the sandbox user can reach.

    Never the runner's own: that lies in a virtual environment, often below somebody's 0700 home.
    """
    versions = _versions(python)
    for version in versions:
        for folder in FOLDERS:
            path = Path(folder, f"python{version}")
            if _for_everybody(path):
                return path
    raise OperatorNeeded(
        f"this machine has no Python {' or '.join(versions)} that jobs can use (looked in {' and '.join(FOLDERS)})",
        step=f"apt-get install python{versions[0]}, or name one that is there: "
        f"gitqueue policy set dependencies.python={_present() or '3.11'}",
    )


def use(environment: Path, run: Path) -> None:
    """Name the environment in a run's folder: it stays for as long as that folder does."""
    (run / LINK).symlink_to(environment)


def used(runs: Iterable[Path]) -> frozenset[str]:
    """The keys of the environments that these runs' folders name."""
    links = (run / LINK for run in runs)
    return frozenset(Path(os.readlink(link)).parent.name for link in links if link.is_symlink())


def evict(cache: Path, keep_bytes: int, now: float, spared: Collection[str] = ()) -> tuple[str, ...]:
    """Removes what nobody has used for `OLDEST`, then the longest unused until `keep_bytes` are left. Returns keys.

    uv's own wheels go first. What is in use (`spared`, keys as `used` gives them) or fresh stays. `now` in seconds
    since 1970. Lock files stay: they are empty, and removing one would let two builders hold "the" lock.
    """
    _evict_wheels(cache, keep_bytes)
    removed: list[str] = []
    left = 0
    for last, place in sorted(((lock.stat().st_mtime, lock.with_suffix("")) for lock in _locks(cache)), reverse=True):
        record = _record(place)
        fits = record and now - last < OLDEST and left + record.size <= keep_bytes
        if not fits and place.name not in spared and _remove(place, now - FRESH):
            removed.append(place.name)
        elif record:
            left += record.size
    return tuple(removed)


def compile_lock(requirements: bytes, python: str | Sequence[str], timeout: float = 120.0) -> bytes:
    """The lock of plain requirements: every package with version and hashes, for Linux and these Pythons and later.

    Runs at the requester's home, so their own uv configuration counts. No address of an index is in the result.
    """
    lowest = min(_versions(python), key=lambda version: int(version.partition(".")[2]))
    with tempfile.TemporaryDirectory() as name, _faults_of_the_machine():
        folder = Path(name)
        (folder / "requirements.in").write_bytes(requirements)
        (folder / "pyproject.toml").write_text(f'[tool.uv]\nenvironments = ["{_LINUX}"]\n')
        variables = {"UV_CACHE_DIR": f"{name}/cache", "HOME": os.path.expanduser("~")}
        uv = _Uv(folder, variables, time.monotonic() + timeout, "the requirements cannot be locked", Mistake)
        text = uv(*_COMPILE, "requirements.in", "--universal", "--python-version", lowest, "--python", sys.executable)
    # An index that the person's configuration has printed, and a marker that is true on every site, help nobody.
    lines = [line for line in text.splitlines() if not line.startswith("-")]
    body = "\n".join(line.replace(f" and {_LINUX}", "").replace(f" ; {_LINUX}", "") for line in lines)
    head = f"# Every package with its hashes, for Python {lowest} and later. `gitqueue check --fix` wrote it."
    return f"{head}\n{body}\n".encode()


def index_settings(environ: Mapping[str, str], pip_conf: Path) -> dict[str, str]:
    """What uv needs to reach the index: its own variables, else pip's settings, and `--no-index`."""
    names = {name: "PIP_" + name.upper().replace("-", "_") for name in _FROM_PIP}
    pip = _pip_file(pip_conf) | {name: environ[variable] for name, variable in names.items() if variable in environ}
    if pip.get("no-index", "").lower() not in ("1", "true", "yes", "on"):
        pip.pop("no-index", None)
    settings = {_FROM_PIP[name]: " ".join(value.split()) for name, value in pip.items()}
    if "UV_FIND_LINKS" in settings:
        settings["UV_FIND_LINKS"] = settings["UV_FIND_LINKS"].replace(" ", ",")
    if environ.keys() & {"UV_DEFAULT_INDEX", "UV_INDEX_URL"}:
        settings.pop("UV_DEFAULT_INDEX", None)
    kept = {name: value for name, value in environ.items() if name in _KEPT or name.startswith("UV_INDEX")}
    return settings | kept


def _pip_file(path: Path) -> dict[str, str]:
    config = ConfigParser(interpolation=None)
    try:
        config.read(path, encoding="utf-8")
    except (BadConfig, UnicodeDecodeError) as error:
        raise OperatorNeeded(f"{path} cannot be read: {error}", step=f"mend {path}") from error
    found = [item for section in ("global", "install") if config.has_section(section) for item in config.items(section)]
    return {name: value for name, value in found if name in _FROM_PIP}


def _build(lock: bytes, base: Path, place: Path, policy: str, deadline: float) -> _Record:
    """Whole at its place, or not there: everything happens in a sibling, which is then renamed."""
    new = place.with_name(place.name + ".new")
    shutil.rmtree(new, ignore_errors=True)  # a builder was killed
    new.mkdir()
    try:
        packages = _install(lock, base, new, policy, deadline)
        _compile(base, new / "env", deadline)
        (new / "pylock.toml").unlink()  # names the site's index
        record = _Record(base.name.removeprefix("python"), packages, _for_all(new))
        if record.size > LARGEST:
            sizes = f"{record.size >> 20} MiB; at most {LARGEST >> 20} MiB"
            raise Unbuildable(f"the environment would hold {sizes}", step="ask for fewer or smaller packages")
        (new / "record.json").write_bytes(msgspec.json.encode(record))
        _settle(new)
        os.rename(new, place)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    return record


def _install(lock: bytes, base: Path, new: Path, policy: str, deadline: float) -> tuple[Package, ...]:
    (new / "requirements.txt").write_bytes(lock)
    wheels = _folder(new.parent / ".uv", 0o700)
    uv = _Uv(new, {"UV_CACHE_DIR": str(wheels), "HOME": str(wheels), "UV_NO_CONFIG": "1"}, deadline)
    into = ("--require-hashes", "--python", "env/bin/python", "--link-mode", "copy", *_WHEELS)
    chosen = (*_COMPILE, "requirements.txt", "--python", str(base), "--format", "pylock.toml", "-o", "pylock.toml")
    enforced = ("pip", "install", "-r", "requirements.txt", *into)
    # Where hashes decide, any index may serve; where none do, a name belongs to the first index that has it.
    anywhere = ("--index-strategy", "unsafe-best-match")
    locked = ((*enforced, *anywhere), (*chosen, *anywhere))
    plain = (chosen, ("pip", "sync", "pylock.toml", "--allow-empty-requirements", *into))
    with _locked(wheels, fcntl.LOCK_SH):
        uv("venv", "--relocatable", "--python", str(base), "env")
        for argv in locked if policy == "locked" else plain:
            uv(*argv)
    return _packages((new / "pylock.toml").read_text(encoding="utf-8"), lock, new / "env")


def _packages(pylock: str, lock: bytes, environment: Path) -> tuple[Package, ...]:
    """What uv installed, with the one hash that uv's choice, the lock and the wheel's own tags agree on."""
    known, tags = _hashes(lock), _tags(environment)
    found = []
    for package in tomllib.loads(pylock).get("packages", ()):
        name, wheels = package["name"], package.get("wheels", ())
        hashes = {wheel["hashes"]["sha256"]: _tags_of_name(wheel.get("url") or wheel["path"]) for wheel in wheels}
        fit = [sha256 for sha256 in hashes if sha256 in known.get(name, hashes)] or known[name]
        if len(fit) > 1:
            fit = [sha256 for sha256 in fit if hashes.get(sha256) == tags.get(name)]
        found.append(Package(name, package["version"], fit[0] if len(fit) == 1 else ""))
    return tuple(sorted(found))


def _tags_of_name(address: str) -> set[str]:
    """`x-1.0-py2.py3-none-any.whl` has the tags py2-none-any and py3-none-any (PEP 427)."""
    parts = (part.split(".") for part in address.removesuffix(".whl").split("-")[-3:])
    return {"-".join(tag) for tag in product(*parts)}


def _tags(environment: Path) -> dict[str, set[str]]:
    """The tags that each installed wheel states."""
    return {
        _normal(file.parent.name.partition("-")[0]): set(
            re.findall(r"(?m)^Tag: (\S+)", file.read_text("utf-8", "replace"))
        )
        for file in environment.glob("lib/python*/site-packages/*.dist-info/WHEEL")
    }


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _hashes(lock: bytes) -> dict[str, list[str]]:
    hashes: dict[str, list[str]] = {}
    for line in lock.decode("utf-8", "replace").replace("\r\n", "\n").replace("\\\n", " ").splitlines():
        name = re.match(r"\s*([A-Za-z0-9._-]+)", line)
        if name and (listed := re.findall(r"--hash=sha256:([0-9a-f]{64})", line)):
            hashes.setdefault(_normal(name[1]), []).extend(listed)
    return hashes


def _compile(base: Path, environment: Path, deadline: float) -> None:
    """Bytecode for a place that will be read-only: import pandas takes 0.5 s instead of 1.4."""
    argv = (str(base), "-I", "-S", "-m", "compileall", "-q", "-j", "0", "-s", str(environment), "-p", "/env")
    # Packages ship templates that are no Python, so that some files fail is no fault.
    _run((*argv, str(environment / "lib")), environment, {}, deadline)


def _for_all(folder: Path) -> int:
    """Readable by the sandbox user, writable by nobody else, whatever a wheel or the umask said. Returns bytes."""
    size = 0
    folder.chmod(0o755)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            status = os.lstat(path)
            size += status.st_blocks * 512
            if not os.path.islink(path):
                os.chmod(path, 0o755 if status.st_mode & 0o111 else 0o644)
    return size


def _settle(folder: Path) -> None:
    """On the disk before it is renamed: after a power loss no environment has its name but empty files."""
    import ctypes

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        ctypes.CDLL(None).syncfs(descriptor)
    finally:
        os.close(descriptor)


def _key(lock: bytes, base: Path, policy: str) -> str:
    platform = (os.uname().machine, os.confstr("CS_GNU_LIBC_VERSION") or "no glibc")
    about = "\n".join((str(FORMAT), str(base), *platform, policy, ""))
    return hashlib.sha256(about.encode() + lock).hexdigest()


def _record(place: Path) -> _Record | None:
    try:
        return msgspec.json.decode((place / "record.json").read_bytes(), type=_Record)
    except FileNotFoundError:
        return None


@contextmanager
def _locked(place: Path, how: int) -> Iterator[None]:
    """Waits: a builder has a deadline, and its lock ends with its process. Raises BlockingIOError with LOCK_NB."""
    descriptor = os.open(place.with_name(place.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how)
        if not how & fcntl.LOCK_NB:
            os.utime(descriptor)
        yield
    finally:
        os.close(descriptor)


def _locks(cache: Path) -> Iterator[Path]:
    return (lock for lock in cache.glob("*.lock") if not lock.name.startswith("."))


def _remove(place: Path, unused_since: float) -> bool:
    """Out of sight in one move, then deleted. False: it is in use, was used since, or there is nothing.

    When it was used is looked up under the lock: whoever found it in the cache has said so under theirs.
    """
    old, new = (place.with_name(place.name + suffix) for suffix in (".old", ".new"))
    with suppress(BlockingIOError), _locked(place, fcntl.LOCK_EX | fcntl.LOCK_NB):
        there = place.exists() and place.with_name(place.name + ".lock").stat().st_mtime <= unused_since
        for leftover in (old, new):
            shutil.rmtree(leftover, ignore_errors=True)
        if there:
            os.rename(place, old)
            shutil.rmtree(old, ignore_errors=True)
        return there
    return False


def _evict_wheels(cache: Path, keep_bytes: int) -> None:
    kept = sum(record.size for lock in _locks(cache) if (record := _record(lock.with_suffix(""))))
    files = (os.path.join(parent, name) for parent, _, names in os.walk(cache / ".uv") for name in names)
    if kept + sum(os.lstat(file).st_size for file in files) > keep_bytes:
        _remove(cache / ".uv", math.inf)


def _folder(path: Path, mode: int) -> Path:
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
    return path


def _versions(python: str | Sequence[str]) -> tuple[str, ...]:
    words = re.split(r"[\s,]+", python.strip()) if isinstance(python, str) else tuple(python)
    wrong = [word for word in words if not re.fullmatch(r"3\.[1-9]?[0-9]", word)]
    if wrong or not words:
        step = 'write dependencies.python as "3.11" or "3.11, 3.12"'
        raise Mistake(f"{wrong[0] if wrong else ''!r} is no version of Python", step=step)
    return tuple(words)


def _for_everybody(path: Path) -> bool:
    """Below /usr once links are followed, and open to every user, each folder on the way as well."""
    real = path.resolve()
    try:
        modes = [real.stat().st_mode & 0o005 == 0o005, *(parent.stat().st_mode & 0o001 for parent in real.parents)]
    except OSError:
        return False
    return real.is_file() and real.is_relative_to("/usr") and all(modes)


def _present() -> str:
    names = (path.name for folder in FOLDERS for path in sorted(Path(folder).glob("python3.*")) if _for_everybody(path))
    return ",".join(dict.fromkeys(name[6:] for name in names if re.fullmatch(r"python3\.\d+", name)))


@dataclass(frozen=True, slots=True)
class _Uv:
    """uv, run in `cwd`. Its exit code 1 is an answer (Unbuildable); another one, or a system error, the machine's."""

    cwd: Path
    variables: Mapping[str, str]
    deadline: float
    failure: str = "the environment cannot be built"
    machine: type[GitqueueError] = OperatorNeeded

    def __call__(self, *argv: str) -> str:
        from uv import find_uv_bin

        try:
            program = find_uv_bin()
        except FileNotFoundError as error:
            raise self.machine("the program uv is missing", step="pip install --force-reinstall uv") from error
        settings = index_settings(os.environ, PIP_CONF)
        options = ("--no-index",) if settings.pop("--no-index", "") else ()
        variables = settings | _FIXED | dict(self.variables)
        code, out, err = _run((program, *argv, *options), self.cwd, variables, self.deadline)
        if code == 0:
            return out
        said = f"{self.failure}: {_last_words(err, self.cwd)}"
        if code == 1 and "(os error" not in err:
            step = "change the requirements; `gitqueue check --fix` locks them anew"
            raise Unbuildable(_PATH.sub("<path>", said), step=step)
        raise self.machine(said, step="then try again")


def _run(argv: Sequence[str], cwd: Path, variables: Mapping[str, str], deadline: float) -> tuple[int, str, str]:
    with subprocess.Popen(
        argv,
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=max(deadline - time.monotonic(), 0.01))
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)  # compileall has workers
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise OperatorNeeded(
                f"the environment was not built in time (`{Path(argv[0]).name} {' '.join(argv[1:3])}`)",
                step="look at the index and the network, then try again",
            ) from error
    return process.returncode, out.decode(errors="replace"), err.decode(errors="replace")


def _last_words(text: str, cwd: Path) -> str:
    """uv's last lines as one, without addresses (they may hold a password) or folders of ours, safe on a terminal."""
    text = re.sub(r"[a-z+]+://\S+", "<index>", text.replace(f"{cwd}/", "").replace(f"{cwd.parent}/", ""))
    lines = [re.sub(r"^(error|cause):\s*", "", line.strip()) for line in text.splitlines() if line.strip()]
    said = "; ".join(lines[-12:])[-1500:].rstrip(".")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in said) or "uv said nothing"


@contextmanager
def _faults_of_the_machine() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = f"the environment cannot be built: {error.strerror} ({error.filename or 'no file named'})"
        raise OperatorNeeded(reason, step="mend this, then try again") from error
