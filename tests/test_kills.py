"""kill -9 at every boundary: of the runner, and of a job's supervisor. A restart converges, whatever was half done.

Each scenario is run once while it is watched (`mortal`); then, once for each boundary that was seen, a copy of the same
site is served by a runner that dies there, and then by one that does not (`make storm`: minutes). In the quick test
runners die one after another on one site, each a boundary further, and what holds afterwards is looked at once: it
does not see what a later runner's death, or its way back, repairs; and it passes some boundaries over.
"""

import errno
import json
import os
import shutil
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mortal
import pytest
from conftest import JOB, MAIN, Town, done, ok, reachable, run
from test_environment import wheel

from gitqueue import runner
from gitqueue.adapters import preparation
from gitqueue.adapters.executors import local, nursery, spool
from gitqueue.adapters.premises import Premises
from gitqueue.adapters.settings import Site
from gitqueue.runner import desk
from gitqueue.steps import record

JOB_ID = "rachel/job"
SLEEP = b"import time; time.sleep(600)\n"
MANY = b"""import os
for n in range(99):
    open(f"{os.environ['GITQUEUE_OUTPUT']}/{n}.csv", "w").write(f"feature,mean,n\\nradius,{n}.5,60\\n")
"""
NAMES = b"import os; open(os.environ['GITQUEUE_OUTPUT'] + '/means.csv', 'w').write('patient_id,mean\\n7,1\\n')\n"


# what a site is brought to before a runner dies in it


def _asked(town: Town, main: bytes = MAIN, extra: bytes = b"", **more: bytes) -> str:
    return town.desk("rachel").request(JOB_ID, {"job.yaml": JOB + extra, "main.py": main} | more)


def _asked_later(town: Town) -> None:
    """The analyser is there: tests share it, by a link, as it costs a second."""
    _asked(town)
    with copied(town):
        served(town)


def _bare(town: Town) -> None:
    (town.site / "spool" / "tools").unlink()


def _approved(town: Town, main: bytes = MAIN, extra: bytes = b"", **more: bytes) -> None:
    town.desk("owen").approve(_asked(town, main, extra, **more))


def _many(town: Town) -> None:
    town.desk("owen").approve(_asked(town, MANY, **{"job.yaml": JOB.replace(b"[means.csv]", b"['*.csv']")}))


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


End = tuple[str, str | None]


@dataclass(frozen=True)
class Scenario:
    """What a site is brought to, the states in which a restart may leave the job, and how many runs of it are kept.
    `about`: of the boundaries, those alone whose place holds this; `cut`: a run that never started may be cut short by
    a death at any of them."""

    prepare: Callable[[Town], object]
    ends: frozenset[End]
    attempts: int = 1
    about: str = ""
    cut: bool = False
    begin: Callable[[Town], object] = lambda _: None  # what no copy of files would hold: processes


CUT = frozenset((("interrupted", None),))
RAN = (("completed", None), *CUT)
PACKED = "outputs that are written as a pack"
SCENARIOS = {
    "an approved job": Scenario(_approved, frozenset(RAN)),
    "a job whose environment is built": Scenario(_with_environment, frozenset(RAN)),
    "a job that cannot start": Scenario(_cannot_start, frozenset((("failed", "site-fault"), *CUT)), cut=True),
    "a job that is cancelled": Scenario(_lasting, frozenset((("cancelled", None),)), begin=_cancelled),
    "outputs that are released": Scenario(_released, frozenset((("completed", None),))),
    "a job that is run again": Scenario(_asked_again, frozenset((("failed", "exit-code"), ("interrupted", None))), 2),
    PACKED: Scenario(_many, frozenset(RAN), about="git._run for steps/publish."),
    "a rehearsal": Scenario(_asked_later, frozenset((("pending", None),))),
    "a site's first rehearsal": Scenario(_asked, frozenset((("pending", None),)), about="analysis.", begin=_bare),
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


@pytest.fixture
def played(request: pytest.FixtureRequest, template: Path) -> Iterator[tuple[Town, Scenario]]:
    scenario = SCENARIOS[request.param]
    with reachable() as base:
        shutil.copytree(template, base / "town", symlinks=True)
        town = Town(base / "town")
        settings = town.site / "private" / "runner.yaml"
        settings.write_text(settings.read_text().replace(str(template), str(town.path)))
        spool.prepare()  # once, for all the forks: what it is built from is imported, and that is no boundary
        scenario.prepare(town)
        yield town, scenario
        os.environ.pop("UV_DEFAULT_INDEX", None)


def boundaries(town: Town, scenario: Scenario) -> tuple[Counter[str], Counter[str]]:
    """What a runner and its supervisors do when nobody kills them, in that order, and how often."""
    with copied(town) as other:
        first, second = (str(other.path / name) for name in ("runner", "supervisors"))

        def inside() -> None:
            in_supervisors(f"note_in({second!r})")
            mortal.note_in(first)

        Path(second).touch(0o666)
        scenario.begin(other)
        assert served(other, inside) == 0, (other.path / "said").read_text()
        return _passed(first, scenario), _passed(second, scenario)


def _passed(file: str, scenario: Scenario) -> Counter[str]:
    return Counter(line for line in Path(file).read_text().splitlines() if scenario.about in line)


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


def faults(town: Town, scenario: Scenario, never: frozenset[End] = frozenset()) -> Iterator[str]:
    """What is wrong with a site whose runner was killed, and which another one served to the end; `never`: how it may
    not end in this case."""
    row = json.loads(town.gitqueue("show", JOB_ID, "--json").out)
    if (row["state"], row["reason"]) not in scenario.ends - never:
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


# who dies


@dataclass(frozen=True)
class Death:
    """Of a runner, or of a supervisor or its forks, before it does one of these for the first (second) time."""

    places: tuple[str, ...]
    supervisor: bool = False
    time: int = 1

    def __str__(self) -> str:
        return f"{'supervisor: ' if self.supervisor else ''}{self.places[0]}{', again' if self.time > 1 else ''}"

    def met(self, town: Town) -> str:
        """Where a runner, serving now, or its supervisor died; "" nowhere."""
        mark = town.path / "died"
        mark.write_bytes(b"")
        mark.chmod(0o666)
        arguments = self.places, str(mark), self.time
        if self.supervisor:
            ended = served(town, lambda: in_supervisors(f"die_at(*{arguments!r})"))
        else:
            ended = served(town, partial(mortal.die_at, *arguments))
        place = mark.read_text().strip()
        assert ended == (9 if place and not self.supervisor else 0), (
            f"the runner ended with {ended}, killed at {place!r}"
        )
        return place


def _every(places: "Counter[str]", supervisor: bool) -> Iterator[Death]:
    """Each boundary, and again where it is passed more than once: of a few things, one is then done, and one is not."""
    born = places["fcntl.flock in supervisor.own for supervisor.own"] or 1  # each of them counts for itself
    for place, times in places.items():
        yield from (Death((place,), supervisor, time) for time in (1, 2)[: -(-times // born)])


def _last_of_each_kind(places: Iterable[str], kind: Callable[[str], object]) -> tuple[str, ...]:
    """In their order."""
    last = {kind(place): place for place in places}
    return tuple(place for place in places if place in last.values())


def _known(place: str) -> bool:
    """Whether a runner that dies here knows whether the run was begun, so that the next one need not end it: its claim
    is not noted yet, or it has ended.

    Not in between; and the loop's own boundaries may be passed at that very moment.
    """
    step = place.rpartition(" for ")[2]
    return step.startswith(("steps/execute.claim", "steps/execute._announce", "steps/publish."))


# some boundaries are not come to each time: whether a folder of objects is there depends on ids, which nonces change,
# and how often a runner looks at what runs depends on the clock
TRIES, MOST_MISSED = 3, 0.05


def _killed(town: Town, scenario: Scenario, death: Death) -> tuple[bool, list[str]]:
    """Whether there was that death, and what is wrong after it and the next runner."""
    for _ in range(TRIES):
        with copied(town):
            scenario.begin(town)
            met = death.met(town)
            found = [] if (second := served(town)) == 0 else [f"the second runner ended with {second}"]
            sure = _known(met) and not death.supervisor and not scenario.cut
            found += faults(town, scenario, CUT if sure else frozenset())
            if found:
                found += (town.path / "said").read_text().splitlines()
        if met or found:
            break
    return bool(met), found


@pytest.mark.storm
@pytest.mark.parametrize("played", SCENARIOS, indirect=True)
def test_whatever_dies_just_before_whatever_it_does_a_restart_converges(played: tuple[Town, Scenario]) -> None:
    of_runner, of_supervisors = boundaries(*played)
    deaths = [*_every(of_runner, False), *_every(of_supervisors, True)]
    found = {str(death): _killed(*played, death) for death in deaths}
    assert {place: wrong for place, (_, wrong) in found.items() if wrong} == {}
    missed = [place for place, (met, _) in found.items() if not met]
    assert found
    assert len(missed) <= MOST_MISSED * len(found), missed


@pytest.mark.storm
@pytest.mark.parametrize("played", [PACKED], indirect=True)
@pytest.mark.parametrize("later", [0.001, 0.002, 0.004, 0.008, 0.016, 0.032])
def test_a_runner_that_dies_while_git_takes_in_a_pack_leaves_nothing_half(
    played: tuple[Town, Scenario], later: float
) -> None:
    town, scenario = played
    places = [place for place in boundaries(*played)[0] if place.startswith("subprocess.Popen")]
    assert len(places) == 2, "one pack for the vault, and one for the results"
    for place in places:
        with copied(town):
            inside = partial(mortal.die_at, (place,), str(town.path / "died"), later=later)
            assert served(town, inside) in (9, 0)  # 0: it was done before
            assert served(town) == 0
            assert list(faults(town, scenario, CUT)) == [], (town.path / "said").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("played", ["an approved job"], indirect=True)
def test_runners_that_die_one_after_another_each_a_boundary_further_lose_nothing(played: tuple[Town, Scenario]) -> None:
    town, scenario = played
    passed = list(boundaries(*played)[0])
    before = passed.index(next(filter(_known, passed)))
    passed = [*passed[:before], *filter(_known, passed[before:])]
    places = _last_of_each_kind(passed, lambda place: (place.split()[0], place.rpartition(" for ")[2]))
    with copied(town):
        died = [Death(places[number:]).met(town) for number in range(len(places))]
        assert served(town) == 0
        assert list(faults(town, scenario, CUT)) == [], (town.path / "said").read_text()
    # The last of them are no longer come to: when a runner has died over what is left of an ended run, it is swept.
    assert len(set(died)) >= 0.9 * len(places), set(places) - set(died)


@pytest.mark.slow
@pytest.mark.parametrize("played", ["an approved job"], indirect=True)
def test_a_run_that_was_begun_or_nearly_is_not_begun_again_though_its_folder_has_gone(
    played: tuple[Town, Scenario],
) -> None:
    """As a spool in memory goes when the machine does."""
    town, scenario = played
    nearly = "socket.sendmsg in adapters/executors/nursery.bear for steps/execute.start"
    for place in (nearly, "os.mkdir in adapters/checks.keep for steps/publish.finish"):
        with copied(town):
            assert Death((place,)).met(town)
            shutil.rmtree(folder(town))
            assert served(town) == 0
            assert list(faults(town, scenario, frozenset((RAN[0],)))) == []


@pytest.mark.slow
@pytest.mark.parametrize("played", ["an approved job"], indirect=True)
def test_a_run_that_was_begun_when_something_died_ends_once(played: tuple[Town, Scenario]) -> None:
    of_runner, all_of_supervisors = boundaries(*played)
    # Whether there are control groups of others to sweep away depends on what else runs on this machine.
    of_supervisors = [place for place in all_of_supervisors if "_sweep_one" not in place]
    deaths = [Death((place,)) for place in of_runner if "nursery.bear" in place]
    deaths += [Death((place,), True) for place in _last_of_each_kind(of_supervisors, lambda place: place.split()[0])]
    assert {str(death): found for death in deaths if (found := _killed(*played, death)) != (True, [])} == {}


SINCE: dict[str, tuple[Callable[[Town], object], End]] = {
    "nothing came": (lambda _: None, ("completed", None)),
    "it was cancelled": (lambda town: done(town.desk("rachel").gitqueue("cancel", JOB_ID)), ("cancelled", None)),
    "the site was paused": (lambda town: done(town.gitqueue("pause")), ("running", None)),
}


@pytest.mark.slow
@pytest.mark.parametrize("played", ["an approved job"], indirect=True)
def test_a_start_that_failed_for_want_of_room_is_made_again_unless_something_came_since(
    played: tuple[Town, Scenario],
) -> None:
    town, _ = played
    for came, end in SINCE.values():
        with copied(town):
            served(town, partial(_no_room_once, town, came))
            row = json.loads(town.gitqueue("show", JOB_ID, "--json").out)
            said = (town.path / "said").read_text()
            assert (row["state"], row["reason"]) == end, said
            assert (f"{JOB_ID} is running" in said) == (end == RAN[0]), said


def _no_room_once(town: Town, came: Callable[[Town], object]) -> None:
    """Have the first start find no room, and something come in that moment; the next one is made at once."""
    prepare, tried = preparation.prepare, list[object]()

    def failing(*given: Any) -> Any:
        tried.append(given)
        if len(tried) == 1:
            came(town)
            raise OSError(errno.ENOSPC, "no room")
        return prepare(*given)

    preparation.prepare, desk.RETRY = failing, 0.0  # type: ignore[assignment]
