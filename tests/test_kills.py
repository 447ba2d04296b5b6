"""kill -9 at every boundary: of the runner, and of a job's supervisor. A restart converges, whatever was half done.

Each scenario is run once while it is watched (`mortal`); then, once for each boundary that was seen, a copy of the same
site is served by a runner that dies there, and then by one that does not.
"""

import json
import os
import shutil
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import mortal
import pytest
from conftest import JOB, MAIN, Town, done, ok, reachable, run
from test_environment import wheel

from gitqueue import runner
from gitqueue.adapters.executors import local, nursery
from gitqueue.adapters.premises import Premises
from gitqueue.adapters.settings import Site
from gitqueue.steps import record

JOB_ID = "rachel/job"
SLEEP = b"import time; time.sleep(600)\n"
NAMES = b"import os; open(os.environ['GITQUEUE_OUTPUT'] + '/means.csv', 'w').write('patient_id,mean\\n7,1\\n')\n"


# what a site is brought to before a runner dies in it


def _asked(town: Town, main: bytes = MAIN, extra: bytes = b"", **more: bytes) -> str:
    return town.desk("rachel").request(JOB_ID, {"job.yaml": JOB + extra, "main.py": main, **more})


def _approved(town: Town, main: bytes = MAIN, extra: bytes = b"", **more: bytes) -> None:
    town.desk("owen").approve(_asked(town, main, extra, **more))


def _with_environment(town: Town) -> None:
    shelf = town.path / "shelf"
    shelf.mkdir()
    lock = wheel(shelf, "alpha", {"alpha.py": "x = 1\n"})
    os.environ["UV_DEFAULT_INDEX"] = shelf.as_uri()
    done(town.desk("owen").gitqueue("policy", "set", "dependencies.allow=[alpha]"))
    _approved(town, b"import alpha\n" + MAIN, b"environment: requirements.txt\n", **{"requirements.txt": lock})


def _cannot_start(town: Town) -> None:
    (town.path / "data" / "features.csv").rename(town.path / "data" / "moved.csv")
    _approved(town)


def _lasting(town: Town) -> None:
    _approved(town, SLEEP)


def _cancelled(town: Town) -> None:
    served(town, until=lambda: (folder(town) / "log").exists())
    done(town.desk("rachel").gitqueue("cancel", JOB_ID))


def _released(town: Town) -> None:
    _approved(town, NAMES)
    served(town)
    done(town.desk("owen").gitqueue("release", JOB_ID))


def _asked_again(town: Town) -> None:
    _approved(town, b"raise SystemExit(1)\n")
    served(town)
    done(town.desk("owen").gitqueue("rerun", JOB_ID, "-m", "Again"))


def _on_trial(town: Town) -> None:
    done(town.desk("owen").gitqueue("policy", "set", "rehearse=manual"))
    _asked(town)
    town.desk("owen").gitqueue("pause")
    done(town.gitqueue("pause"))
    done(town.desk("owen").gitqueue("try", JOB_ID, "--real"))
    done(town.gitqueue("resume"))


@dataclass(frozen=True)
class Scenario:
    """What a site is brought to, the states in which a restart may leave the job, and how many runs of it are kept."""

    prepare: Callable[[Town], object]
    ends: frozenset[tuple[str, str | None]]
    attempts: int = 1
    begin: Callable[[Town], object] = lambda _: None  # what no copy of files would hold: processes


RAN = ("completed", None), ("interrupted", None)
SCENARIOS = {
    "an approved job": Scenario(_approved, frozenset(RAN)),
    "a job whose environment is built": Scenario(_with_environment, frozenset(RAN)),
    "a job that cannot start": Scenario(_cannot_start, frozenset((("failed", "site-fault"), ("interrupted", None)))),
    "a job that is cancelled": Scenario(_lasting, frozenset((("cancelled", None),)), begin=_cancelled),
    "outputs that are released": Scenario(_released, frozenset((("completed", None),))),
    "a job that is run again": Scenario(_asked_again, frozenset((("failed", "exit-code"), ("interrupted", None))), 2),
    "a rehearsal": Scenario(_asked, frozenset((("pending", None),))),
    "a trial": Scenario(_on_trial, frozenset((("pending", None),))),
}


# runners, as forks of this process: theirs begin in 60 ms, and die alone


def served(town: Town, inside: Callable[[], object] = lambda: None, until: Callable[[], bool] | None = None) -> int:
    """A runner's exit code, which does all that it can now; `until`: which is killed when that is so."""
    child = os.fork()
    if child == 0:
        _serve(town, inside, once=until is None)
    end = time.monotonic() + 20
    while until and not until():
        assert time.monotonic() < end, "not within 20 s"
        time.sleep(0.01)
    if until:
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _serve(town: Town, inside: Callable[[], object], once: bool) -> None:
    said = os.open(town.path / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.dup2(said, 1)
        os.dup2(said, 2)
        signal.alarm(30)  # one that does not end is killed, and that is the test's failure
        local._nursery = nursery.Nursery()
        inside()
        alarm = runner.serve(Site(town.site), lambda text, **_: os.write(said, f"{text}\n".encode()), once)
        os._exit(4 if alarm else 0)
    finally:
        traceback.print_exc()
        os._exit(70)  # never back into pytest


def in_supervisors(call: str) -> None:
    """Have the process in which supervisors are born, and each of them, do this first."""
    first = f"sys.path.insert(0, {str(Path(mortal.__file__).parent)!r}); import mortal; mortal.{call}; "
    nursery._WARM = nursery._WARM.replace(
        nursery._PATH, nursery._PATH.replace("from gitqueue", f"{first}from gitqueue")
    )


QUICK = ("an approved job",)  # the others take a minute or two each: `make storm`


@pytest.fixture
def played(request: pytest.FixtureRequest, template: Path) -> Iterator[tuple[Town, Scenario]]:
    scenario = SCENARIOS[request.param]
    with reachable() as base:
        shutil.copytree(template, base / "town", symlinks=True)
        town = Town(base / "town")
        settings = town.site / "private" / "runner.yaml"
        settings.write_text(settings.read_text().replace(str(template), str(town.path)))
        scenario.prepare(town)
        yield town, scenario
        os.environ.pop("UV_DEFAULT_INDEX", None)


def boundaries(town: Town, scenario: Scenario) -> tuple[list[str], list[str]]:
    """What a runner and its supervisors do when nobody kills them, in that order."""
    with copied(town) as other:
        first, second = (str(other.path / name) for name in ("runner", "supervisors"))

        def inside() -> None:
            in_supervisors(f"note_in({second!r})")
            mortal.note_in(first)

        Path(second).touch(0o666)
        scenario.begin(other)
        assert served(other, inside) == 0, (other.path / "said").read_text()
        return _lines(first), _lines(second)


def _lines(file: str) -> list[str]:
    return list(dict.fromkeys(Path(file).read_text().splitlines()))


class copied:
    """The same site once more, at the same place: its paths stand in it. What is done to it is undone afterwards."""

    def __init__(self, town: Town) -> None:
        self._town, self._aside = town, town.path.with_name("aside")

    def __enter__(self) -> Town:
        shutil.copytree(self._town.path, self._aside, symlinks=True, ignore=shutil.ignore_patterns("wake"))
        return self._town

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._town.path)
        self._aside.rename(self._town.path)


def folder(town: Town) -> Path:
    return town.site / "spool" / "rachel+job+1"


# what must hold afterwards


def faults(town: Town, scenario: Scenario) -> Iterator[str]:
    """What is wrong with a site whose runner was killed, and which another one served to the end."""
    row = json.loads(town.gitqueue("show", JOB_ID, "--json").out)
    if (row["state"], row["reason"]) not in scenario.ends:
        yield f"the job is {row['state']}, {row['reason']}"
    before = town.refs()
    if served(town) != 0 or town.refs() != before:
        yield "a further runner found something to do"
    kept = ("environments", "tools", "checks")  # one for all jobs, and no job's
    left = [path.name for path in (town.site / "spool").iterdir() if not path.name.startswith(kept)]
    if left:
        yield f"the spool holds {left}"
    _settle(town)
    if left := list((town.site / "private" / "inbox").glob("[0-9]*")):
        yield f"the inbox holds {left}"
    for repository in (town.repository, town.site / "private" / "vault.git"):
        looked = run("git", "fsck", "--full", "--strict", "--no-dangling", cwd=repository)
        if looked.code or "error" in looked.err or "missing" in looked.out:
            yield f"{repository.name}: {looked.out}{looked.err}"
    verified = town.gitqueue("verify")
    if verified.code:
        yield f"verify: {verified.out}{verified.err}"
    yield from counted(town, scenario)
    yield from (f"{one} still runs" for one in alive(town))


def _settle(town: Town) -> None:
    """As a minute later: word of what was never done is settled as lost by then."""
    site = Site(town.site)
    record.record(Premises(site, site.settings()), time.time() + 61)


def counted(town: Town, scenario: Scenario) -> Iterator[str]:
    """Each attempt has one claim and one end, and the vault one commit for each run that left something."""
    if "refs/heads/results/rachel/job" in town.refs():
        form = "--format=%(trailers:key=State,valueonly,separator=) %(trailers:key=Attempt,valueonly,separator=)"
        log = ok("git", "log", "--first-parent", form, "results/rachel/job", cwd=town.repository).splitlines()
        held = [line.split() for line in log if line.strip()]
        for number in range(1, scenario.attempts + 1):
            mine = [state for state, attempt in held if attempt == str(number)]
            if mine.count("running") != 1 or len([state for state in mine if state not in ("running", "held")]) != 1:
                yield f"attempt {number} went {mine}"
    outputs = run(
        "git",
        "log",
        "--format=%(trailers:separator=%x2C)",
        "outputs/rachel/job",
        cwd=town.site / "private" / "vault.git",
    )
    runs = [next(word for word in line.split(",") if "Nonce" not in word) for line in outputs.out.splitlines() if line]
    if len(runs) != len(set(runs)):
        yield f"the vault has {runs}"


def alive(town: Town) -> Iterator[str]:
    """Processes that have anything to do with the site's spool."""
    mine, spool = os.getpid(), str(town.site / "spool").encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes() + bytes(os.readlink(process / "cwd"), "utf-8")
            files = [os.readlink(one).encode() for one in (process / "fd").iterdir()]
        except OSError:
            continue
        if int(process.name) != mine and any(spool in one for one in (words, *files)):
            yield words.replace(b"\0", b" ").decode(errors="replace")


def _chosen(scenario: Scenario, places: list[str]) -> list[str]:
    """The last boundary of each step: what it is about, a ref that moves or a file that comes to its name, is still to
    be done. What every runner and supervisor does is the first scenario's."""
    ends = {place.rpartition(" for ")[2]: place for place in places}
    if scenario is not SCENARIOS["an approved job"]:
        ends = {
            step: place for step, place in ends.items() if not step.startswith(("runner/", "supervisor", "adapters/"))
        }
    return list(ends.values())


def _every(_: Scenario, places: list[str]) -> list[str]:
    return places


def _killed(town: Town, scenario: Scenario, inside: Callable[[], None], code: int) -> list[str]:
    """What is wrong after a runner that died, and the next one. `code`: how the first ended; a few boundaries are not
    come to each time, as those of what a cache has."""
    with copied(town):
        scenario.begin(town)
        first, second = served(town, inside), served(town)
        if first not in (code, 0) or second:
            found = [f"the first runner ended with {first}, the second with {second}"]
        else:
            found = list(faults(town, scenario))
        return [*found, *((town.path / "said").read_text().splitlines() if found else ())]


def _in_runner(place: str) -> Callable[[], None]:
    return lambda: mortal.die_at(place)


def _in_supervisor(place: str) -> Callable[[], None]:
    return lambda: in_supervisors(f"die_at({place!r})")


def _all_killed(
    town: Town, scenario: Scenario, chosen: Callable[[Scenario, list[str]], list[str]]
) -> dict[str, list[str]]:
    of_runner, of_supervisors = (chosen(scenario, places) for places in boundaries(town, scenario))
    found = {place: _killed(town, scenario, _in_runner(place), 9) for place in of_runner}
    found |= {f"supervisor: {place}": _killed(town, scenario, _in_supervisor(place), 0) for place in of_supervisors}
    return {place: faults for place, faults in found.items() if faults}


@pytest.mark.slow
@pytest.mark.parametrize("played", QUICK, indirect=True)
def test_whatever_dies_at_the_end_of_a_step_a_restart_converges(played: tuple[Town, Scenario]) -> None:
    assert _all_killed(*played, _chosen) == {}


@pytest.mark.storm
@pytest.mark.parametrize("played", SCENARIOS, indirect=True)
def test_whatever_dies_just_before_whatever_it_does_a_restart_converges(played: tuple[Town, Scenario]) -> None:
    assert _all_killed(*played, _every) == {}
