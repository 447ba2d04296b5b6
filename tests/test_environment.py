"""Environments for jobs: whole or not there, built once, from wheels with the right hashes, without foreign code."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gitqueue.adapters import environment, preparation
from gitqueue.adapters.environment import (
    Environment,
    build,
    compile_lock,
    evict,
    index_settings,
    interpreter,
    use,
    used,
)
from gitqueue.adapters.premises import Premises
from gitqueue.adapters.settings import Site
from gitqueue.errors import Mistake, No, OperatorNeeded
from tests.conftest import Town, done

NOBODY = 65534
SIX = (
    b"six==1.17.0 \\\n    --hash=sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274 \\\n"
    b"    --hash=sha256:ff70335d468e7eb6ec65b95b99d3a2836546063f63acc5171de367e834932a81\n"
)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Reachable for everybody, as a site's spool is."""
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(0o755)
    return tmp_path / "environments"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of our own, in a folder: what a site without internet has."""
    monkeypatch.setattr(environment, "PIP_CONF", tmp_path / "none")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    path = tmp_path / "shelf"
    path.mkdir()
    monkeypatch.setenv("UV_DEFAULT_INDEX", path.as_uri())
    return path


def offer(shelf: Path, file: Path) -> str:
    """Lists a file in the index (PEP 503); returns its SHA-256."""
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    page = file.parent / "index.html"
    link = f'<a href="{file.name}#sha256={sha256}">{file.name}</a>\n'
    page.write_text((page.read_text() if page.exists() else "<!DOCTYPE html>\n") + link)
    return sha256


def wheel(shelf: Path, name: str, files: dict[str, str], tag: str = "py3-none-any", needs: str = "") -> bytes:
    """A wheel made by hand; returns its line in a lock."""
    info = f"{name}-1.0.dist-info"
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n" + (f"Requires-Dist: {needs}\n" if needs else "")
    whole = files | {
        f"{info}/METADATA": about,
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    sums = {
        n: base64.urlsafe_b64encode(hashlib.sha256(t.encode()).digest()).decode().rstrip("=") for n, t in whole.items()
    }
    record = "".join(f"{n},sha256={sums[n]},{len(t.encode())}\n" for n, t in whole.items())
    path = shelf / name / f"{name}-1.0-{tag}.whl"
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for n, text in {**whole, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(zipfile.ZipInfo(n), text)  # of no time: the same files are the same wheel
    return b"%s==1.0 --hash=sha256:%s\n" % (name.encode(), offer(shelf, path).encode())


def inside(built: Environment, *argv: str) -> subprocess.CompletedProcess[str]:
    """A command with the environment at /env, in a bare sandbox, as another user where we may switch."""
    view = ("--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64")
    more = ("--symlink", "usr/bin", "/bin", "--proc", "/proc", "--dev", "/dev", "--ro-bind", str(built.path), "/env")
    who = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    call = ("bwrap", "--unshare-all", "--clearenv", *view, *more, *argv)
    return subprocess.run(call, capture_output=True, text=True, cwd="/", **who)  # type: ignore[call-overload]


def test_a_locked_package_from_the_index_is_importable_read_only_by_another_user_at_env(cache: Path) -> None:
    built = build(SIX, "3.11", cache)
    assert [tuple(package) for package in built.packages] == [
        ("six", "1.17.0", "4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274")
    ]
    done = inside(built, "/env/bin/python", "-c", "import six, sys; print(six.__file__, six.__cached__, sys.prefix)")
    site = "/env/lib/python3.11/site-packages"
    assert done.stdout == f"{site}/six.py {site}/__pycache__/six.cpython-311.pyc /env\n", done.stderr
    mounted = inside(built, "/env/bin/python", "-c", "import os; print(os.statvfs('/env').f_flag & os.ST_RDONLY)")
    assert mounted.stdout == "1\n"
    assert (built.path / "lib/python3.11/site-packages/__pycache__/six.cpython-311.pyc").exists()


def test_the_base_is_the_systems_python_never_the_runners_own(cache: Path, shelf: Path) -> None:
    built = build(b"", "3.11", cache)
    assert os.readlink(built.path / "bin/python") == str(interpreter("3.11")) == "/usr/bin/python3.11"


def test_the_second_build_is_the_first_one(cache: Path, shelf: Path) -> None:
    lock = wheel(shelf, "alpha", {"alpha.py": "x = 1\n"})
    first, again = build(lock, "3.11", cache), build(lock, "3.11", cache)
    assert again == Environment(first.path, first.packages, 0.0, "3.11")
    assert first.seconds > 0


def test_ten_that_ask_at_once_get_one_build(cache: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = wheel(shelf, "alpha", {"alpha.py": "x = 1\n"})
    builds: list[str] = []
    real = environment._install
    monkeypatch.setattr(environment, "_install", lambda *given: (builds.append("one"), real(*given))[1])
    with ThreadPoolExecutor(10) as pool:
        found = list(pool.map(lambda _: build(lock, "3.11", cache), range(10)))
    assert builds == ["one"]
    assert len({each.path for each in found}) == 1
    assert sum(each.packages == found[0].packages for each in found) == 10


def test_processes_that_ask_at_once_get_one_build(cache: Path, shelf: Path) -> None:
    lock = wheel(shelf, "alpha", {"alpha.py": "x = 1\n"})
    code = (
        "import sys, os; from pathlib import Path; from gitqueue.adapters import environment as e; "
        f"print(os.stat(e.build({lock!r}, '3.11', Path({str(cache)!r})).path).st_ino)"
    )
    root = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    running = [subprocess.Popen([sys.executable, "-c", code], env=root, stdout=subprocess.PIPE) for _ in range(4)]
    assert len({process.communicate()[0] for process in running}) == 1
    assert all(process.returncode == 0 for process in running)


def test_a_wrong_hash_is_refused_and_the_package_named(cache: Path, shelf: Path) -> None:
    wheel(shelf, "alpha", {"alpha.py": "x = 1\n"})
    with pytest.raises(No, match=r"Hash mismatch for `alpha==1\.0`"):
        build(b"alpha==1.0 --hash=sha256:" + b"0" * 64 + b"\n", "3.11", cache)
    assert not [path for path in cache.iterdir() if path.is_dir() and path.name != ".uv"]


def test_a_dependency_that_the_lock_forgot_is_named(cache: Path, shelf: Path) -> None:
    wheel(shelf, "beta", {"beta.py": ""})
    lock = wheel(shelf, "alpha", {"alpha.py": ""}, needs="beta")
    with pytest.raises(No, match="no trusted hash was provided for: `beta`"):
        build(lock, "3.11", cache)


def test_a_line_without_a_hash_is_refused_where_policy_is_locked(cache: Path, shelf: Path) -> None:
    wheel(shelf, "alpha", {"alpha.py": ""})
    with pytest.raises((No, OperatorNeeded), match=r"must have a hash.*alpha==1\.0"):
        build(b"alpha==1.0\n", "3.11", cache)


def test_plain_lines_are_resolved_where_policy_is_any(cache: Path, shelf: Path) -> None:
    hashed = [wheel(shelf, "beta", {"beta.py": ""}), wheel(shelf, "alpha", {"alpha.py": ""}, needs="beta")]
    built = build(b"alpha\n", "3.11", cache, "any")
    assert [(p.name, p.sha256) for p in built.packages] == sorted(
        (line.split(b"=")[0].decode(), line.strip()[-64:].decode()) for line in hashed
    )


def test_a_source_distribution_is_refused_and_its_code_never_runs(cache: Path, shelf: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    source = tmp_path / "gamma-1.0"
    source.mkdir()
    (source / "setup.py").write_text(f"open({str(mark)!r}, 'w')\nfrom setuptools import setup\nsetup(name='gamma')\n")
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: gamma\nVersion: 1.0\n")
    packed = Path(shutil.make_archive(str(shelf / "gamma" / "gamma-1.0"), "gztar", tmp_path, "gamma-1.0"))
    lock = b"gamma==1.0 --hash=sha256:" + offer(shelf, packed).encode()
    for policy in ("locked", "any"):
        with pytest.raises(No, match=r"gamma==1\.0 has no usable wheels|gamma has no usable wheels"):
            build(lock if policy == "locked" else b"gamma\n", "3.11", cache, policy)
    assert not mark.exists()


def test_a_wheels_start_up_code_never_runs_outside_the_sandbox(cache: Path, shelf: Path, tmp_path: Path) -> None:
    """uv's own --compile-bytecode starts the environment's Python, which obeys .pth files."""
    mark = tmp_path / "ran"
    lock = wheel(shelf, "evil", {"evil.pth": f"import os; open({str(mark)!r}, 'w')\n", "evil.py": "x = 1\n"})
    lock += wheel(shelf, "worse", {"sitecustomize.py": f"open({str(mark)!r}, 'w')\n"})
    built = build(lock, "3.11", cache)
    assert (built.path / "lib/python3.11/site-packages/evil.pth").exists()
    assert (built.path / "lib/python3.11/site-packages/__pycache__/evil.cpython-311.pyc").exists()
    assert not mark.exists()


def test_of_two_wheels_that_fit_the_recorded_hash_is_the_installed_ones(cache: Path, shelf: Path) -> None:
    plain = wheel(shelf, "alpha", {"alpha.py": "kind = 'any'\n"})
    special = wheel(shelf, "alpha", {"alpha.py": "kind = 'cp311'\n"}, tag="cp311-none-any")
    both = plain.strip() + b" " + special.split()[1] + b"\n"
    built = build(both, "3.11", cache)
    assert "cp311" in (built.path / "lib/python3.11/site-packages/alpha.py").read_text()
    assert built.packages[0].sha256.encode() == special.strip()[-64:]


def test_where_the_lock_knows_one_wheel_that_one_is_installed_and_recorded(cache: Path, shelf: Path) -> None:
    plain = wheel(shelf, "alpha", {"alpha.py": "kind = 'any'\n"})
    wheel(shelf, "alpha", {"alpha.py": "kind = 'cp311'\n"}, tag="cp311-none-any")
    built = build(plain, "3.11", cache)
    assert "any" in (built.path / "lib/python3.11/site-packages/alpha.py").read_text()
    assert built.packages[0].sha256.encode() == plain.strip()[-64:]


def test_scripts_of_packages_run_from_env(cache: Path, shelf: Path) -> None:
    entry = "[console_scripts]\nalpha = alpha:main\n"
    lock = wheel(
        shelf, "alpha", {"alpha.py": "def main(): print('hello')\n", "alpha-1.0.dist-info/entry_points.txt": entry}
    )
    done = inside(build(lock, "3.11", cache), "/env/bin/alpha")
    assert done.stdout == "hello\n", done.stderr


def test_everybody_may_read_and_nobody_write_whatever_the_umask(cache: Path, shelf: Path) -> None:
    lock = wheel(shelf, "alpha", {"alpha.py": "x = 1\n"})
    before = os.umask(0o077)
    try:
        built = build(lock, "3.11", cache)
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in built.path.rglob("*") if not path.is_symlink()}
    assert modes <= {0o755, 0o644}
    assert inside(built, "/env/bin/python", "-c", "import alpha").returncode == 0


def test_a_python_that_is_not_there_is_named_with_what_to_install() -> None:
    with pytest.raises(OperatorNeeded, match=r"no Python 3\.99") as caught:
        interpreter("3.99")
    assert "apt-get install python3.99" in caught.value.step
    assert "3.11" in caught.value.step


def test_the_first_python_that_is_there_is_taken() -> None:
    assert interpreter("3.99, 3.11") == interpreter(["3.99", "3.11"]) == Path("/usr/bin/python3.11")


@pytest.mark.parametrize("wrong", ["", "2.7", "3.11.2", "../3.11", "3.11; rm"])
def test_what_is_no_version_is_a_mistake(wrong: str) -> None:
    with pytest.raises(Mistake, match="is no version of Python"):
        interpreter(wrong)


def test_a_python_below_a_private_home_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "python3.98").symlink_to(Path(sys.executable).resolve())
    monkeypatch.setattr(environment, "FOLDERS", (str(tmp_path),))
    if Path(sys.executable).resolve().is_relative_to("/usr"):
        pytest.skip("this machine's tests run on the system's Python")
    with pytest.raises(OperatorNeeded, match=r"no Python 3\.98"):
        interpreter("3.98")


def test_an_index_that_does_not_answer_is_the_operators_and_its_address_stays_here(
    cache: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://user:geheim@127.0.0.1:9/simple")
    with pytest.raises(OperatorNeeded, match="Connection refused") as caught:
        build(b"alpha==1.0 --hash=sha256:" + b"0" * 64, "3.11", cache)
    assert "geheim" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)


def test_a_build_that_takes_too_long_is_stopped_and_leaves_nothing(cache: Path, shelf: Path) -> None:
    lock = wheel(shelf, "alpha", {"alpha.py": ""})
    with pytest.raises(OperatorNeeded, match="not built in time"):
        build(lock, "3.11", cache, timeout=0.02)
    assert not [path for path in cache.iterdir() if path.is_dir() and path.name != ".uv"]
    assert build(lock, "3.11", cache).packages


def test_what_a_killed_builder_left_is_no_hindrance(cache: Path, shelf: Path) -> None:
    lock = wheel(shelf, "alpha", {"alpha.py": ""})
    half = cache / (environment._key(lock, interpreter("3.11"), "locked") + ".new")
    (half / "env" / "bin").mkdir(parents=True)
    (half / "record.json").write_text("{")
    assert build(lock, "3.11", cache).packages
    assert not half.exists()


def test_control_characters_of_a_message_are_shown_not_obeyed() -> None:
    said = environment._last_words("error: bad \x1b[2Jname\x07\n  cause: at file:///x/y\n", Path("/c/k.new"))
    assert said == "bad \\x1b[2Jname\\x07; at <index>"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_full_disk_is_the_operators_and_leaves_nothing(tmp_path: Path, shelf: Path) -> None:
    lock = wheel(shelf, "alpha", {"alpha.py": "x = 1\n" * 300_000})
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=True)
    try:
        with pytest.raises(OperatorNeeded, match="No space left"):
            build(lock, "3.11", small / "environments")
        assert not list((small / "environments").glob("[0-9a-f]*[!k]"))
    finally:
        subprocess.run(["umount", small], check=True)


def three(cache: Path, shelf: Path, now: float) -> list[Path]:
    """Three environments of one size, last used 5, 4 and 3 hours ago."""
    built = [build(wheel(shelf, name, {f"{name}.py": ""}), "3.11", cache) for name in ("alpha", "beta", "gamma")]
    places = [each.path.parent for each in built]
    for hours, place in zip((5, 4, 3), places, strict=True):
        os.utime(place.with_name(place.name + ".lock"), (now - hours * 3600, now - hours * 3600))
    return places


def test_the_longest_unused_go_first_and_what_a_run_names_stays(cache: Path, shelf: Path, tmp_path: Path) -> None:
    now = time.time()
    places = three(cache, shelf, now)
    size = json.loads((places[2] / "record.json").read_bytes())["size"]
    assert evict(cache, 10**12, now) == ()
    run = tmp_path / "run"
    run.mkdir()
    use(places[0] / "env", run)
    assert evict(cache, size, now, used(tmp_path.iterdir())) == (places[1].name,)
    assert [place.exists() for place in places] == [True, False, True]
    shutil.rmtree(run)
    assert (places[0] / "env/bin/python").is_symlink()  # the run's folder went, what it named did not
    assert set(evict(cache, 0, now, used(tmp_path.iterdir()))) == {places[0].name, places[2].name}
    assert not (cache / ".uv").exists()
    assert build(wheel(shelf, "alpha", {"alpha.py": ""}), "3.11", cache).seconds > 0


def test_what_was_used_just_now_stays_for_the_run_that_is_being_prepared(cache: Path, shelf: Path) -> None:
    now = time.time()
    places = three(cache, shelf, now)
    assert build(wheel(shelf, "beta", {"beta.py": ""}), "3.11", cache).seconds == 0.0
    assert set(evict(cache, 0, now)) == {places[0].name, places[2].name}
    assert evict(cache, 0, now + environment.FRESH + 60) == (places[1].name,)


def test_a_use_that_comes_while_eviction_looks_is_seen(
    cache: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the list of what is old and the removal of one, a run takes that one from the cache."""
    now = time.time()
    three(cache, shelf, now)
    real = environment._remove

    def late(place: Path, unused_since: float) -> bool:
        os.utime(place.with_name(place.name + ".lock"), (now, now))
        return real(place, unused_since)

    monkeypatch.setattr(environment, "_remove", late)
    (cache / ".uv").rename(cache / ".none")
    assert evict(cache, 0, now) == ()


def test_what_nobody_used_for_long_goes_whatever_room_there_is(cache: Path, shelf: Path) -> None:
    place = build(wheel(shelf, "alpha", {"alpha.py": ""}), "3.11", cache).path.parent
    assert evict(cache, 10**12, time.time() + environment.OLDEST - 60) == ()
    assert evict(cache, 10**12, time.time() + environment.OLDEST + 60) == (place.name,)


def test_what_was_built_at_home_goes_too(cache: Path, shelf: Path) -> None:
    home = preparation.Host(cache, None, None)
    place = build(wheel(shelf, "alpha", {"alpha.py": ""}), "3.11", cache).path.parent
    assert preparation.tidy(home, time.time()) == ()
    assert preparation.tidy(home, time.time() + environment.OLDEST + 60) == (place.name,)


def test_a_lock_names_every_package_with_hashes_and_no_index(shelf: Path) -> None:
    beta = wheel(shelf, "beta", {"beta.py": ""})
    wheel(shelf, "delta", {"delta.py": ""})
    alpha = wheel(shelf, "alpha", {"alpha.py": ""}, needs="beta\nRequires-Dist: delta; sys_platform == 'win32'")
    lock = compile_lock(b"alpha\n", "3.12, 3.11").decode()
    lines = [line for line in lock.splitlines() if not line.lstrip().startswith("#")]
    sums = [line.strip()[-64:].decode() for line in (alpha, beta)]
    assert lines == [
        "alpha==1.0 \\",
        f"    --hash=sha256:{sums[0]}",
        "beta==1.0 \\",
        f"    --hash=sha256:{sums[1]}",
    ]
    assert lock.startswith("# Every package with its hashes, for Python 3.11 and later.")
    assert str(shelf) not in lock


def test_requirements_that_cannot_be_locked_are_named(shelf: Path) -> None:
    with pytest.raises(No, match=r"the requirements cannot be locked.*nosuchthing"):
        compile_lock(b"nosuchthing\n", "3.11")


def test_pips_settings_are_translated_and_uvs_own_win(tmp_path: Path) -> None:
    conf = tmp_path / "pip.conf"
    conf.write_text("[global]\nindex-url = https://a/simple\ncert = /ca.pem\n[install]\nfind-links =\n  /w\n  /x\n")
    assert index_settings({}, conf) == {
        "UV_DEFAULT_INDEX": "https://a/simple",
        "SSL_CERT_FILE": "/ca.pem",
        "UV_FIND_LINKS": "/w,/x",
    }
    environ = {"PIP_INDEX_URL": "https://b/simple", "PIP_CERT": "/b.pem", "SECRET": "x", "PATH": "/p", "UV_PYTHON": "y"}
    assert index_settings(environ, conf)["UV_DEFAULT_INDEX"] == "https://b/simple"
    assert not index_settings(environ, conf).keys() & {"SECRET", "PATH", "UV_PYTHON"}
    uv = {"UV_DEFAULT_INDEX": "https://c/simple", "UV_INDEX_C_PASSWORD": "p"}
    assert index_settings(environ | uv, conf).items() >= uv.items()


def test_a_site_without_an_index_takes_its_wheelhouse_alone(
    cache: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alpha, _ = wheel(shelf, "alpha", {"alpha.py": ""}), wheel(shelf, "beta", {"beta.py": ""})
    monkeypatch.setenv("PIP_NO_INDEX", "true")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf / "alpha"))
    assert build(alpha, "3.11", cache).packages[0].name == "alpha"
    with pytest.raises(No, match="beta was not found"):
        build(b"beta\n", "3.11", cache, "any")
    monkeypatch.setenv("PIP_NO_INDEX", "false")
    assert build(b"beta\n", "3.11", cache, "any").packages[0].name == "beta"


def test_a_pip_conf_that_is_none_is_the_operators_to_mend(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("index-url = x\n")
    with pytest.raises(OperatorNeeded, match=r"pip\.conf cannot be read"):
        index_settings({}, tmp_path / "pip.conf")


# at a site

PACKAGED = b"name: Packaged\nrun: python main.py\nenvironment: requirements.txt\noutputs: [v.txt]\n"
USES = b"import os, numpy\nopen(os.environ['GITQUEUE_OUTPUT'] + '/v.txt', 'w').write(str(numpy.x))\n"


def approved(town: Town, lock: bytes, main: bytes = USES) -> None:
    files = {"job.yaml": PACKAGED, "main.py": main, "requirements.txt": lock}
    town.desk("owen").approve(town.desk("rachel").request("rachel/job", files))


def told(town: Town) -> tuple[str, str]:
    """What everybody can read of how the job stands: `show`, and the results commit by plain git."""
    shown = done(town.desk("rachel").gitqueue("show", "rachel/job")).out
    return shown, town.desk("rachel").git("log", "-1", "--format=%B", "origin/results/rachel/job")


def test_a_lock_that_cannot_be_built_is_told_to_its_requester_with_package_and_reason(town: Town, shelf: Path) -> None:
    wheel(shelf, "numpy", {"numpy.py": "x = 1\n"})
    approved(town, b"numpy==1.0 --hash=sha256:" + b"0" * 64 + b"\n")
    town.serve()
    shown, message = told(town)
    assert "rachel/job  failed (exit-code)" in shown
    for text in (shown, message):
        assert "Hash mismatch for `numpy==1.0`" in text
        assert "check --fix" in text
        assert str(shelf) not in text
        assert str(town.path) not in text
    assert message.endswith("State: failed\nReason: exit-code\nAttempt: 1")


def test_an_index_that_is_down_is_the_sites_fault_and_nothing_of_it_is_told(
    town: Town, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    approved(town, b"numpy==1.0 --hash=sha256:" + b"0" * 64 + b"\n")
    assert "Connection refused" in town.serve().err  # the operator's to read
    assert told(town)[1] == "failed rachel/job\n\nState: failed\nReason: site-fault\nAttempt: 1"


def test_a_jobs_environment_stays_while_it_runs_whatever_eviction_is_told(
    town: Town, shelf: Path, tmp_path: Path
) -> None:
    lock = wheel(shelf, "numpy", {"numpy.py": "x = 'seven'\n"})
    approved(town, lock, b"import time\ntime.sleep(2)\n" + USES)
    runner = subprocess.Popen([sys.executable, "-m", "gitqueue", "-C", town.site, "serve", "--once"])
    site = Site(town.site)
    premises = Premises(site, site.settings())
    until = time.monotonic() + 20
    while not list(site.spool.glob("*+*+1/plan.json")) and time.monotonic() < until:
        time.sleep(0.02)
    assert preparation.evict(premises, time.time() + 2 * environment.OLDEST) == ()
    assert runner.wait(30) == 0
    rachel = town.desk("rachel")
    done(rachel.gitqueue("results", "-o", tmp_path / "got"))
    assert (tmp_path / "got/v.txt").read_text() == "seven"
    proof = rachel.git("show", "origin/results/rachel/job:results/rachel/job/provenance.json")
    payload = base64.b64decode(json.loads(proof)["payload"])
    assert lock.strip()[-64:] in payload  # what was installed, by its hash
    assert len(preparation.evict(premises, time.time() + 2 * environment.OLDEST)) == 1


def test_an_environment_that_is_too_large_is_refused(cache: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "LARGEST", 1 << 20)
    lock = wheel(shelf, "alpha", {"alpha.py": "x = 1\n" * 300_000})
    with pytest.raises(environment.Unbuildable, match="MiB; at most 1 MiB"):
        build(lock, "3.11", cache)
    assert not [path for path in cache.iterdir() if path.is_dir() and path.name != ".uv"]


def test_what_is_told_in_public_names_no_folder_of_the_site() -> None:
    said = "no `alpha==1.0` in `/srv/wheel-house/x/` or (/srv/a.whl), for linux/x86_64 and/or <index>"
    shown = "no `alpha==1.0` in `<path>` or (<path>), for linux/x86_64 and/or <index>"
    assert environment._PATH.sub("<path>", said) == shown
