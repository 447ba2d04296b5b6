"""What things cost, measured side by side in one run, against their targets: `make bench`.

Each figure is a median. Where the target is about a difference, both sides are measured in turn, round by round, so
that a machine that is busy for a while is busy for both. Exit code 1 where a target is missed.
"""

import argparse
import json
import os
import pwd
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import disclosure
import passes

from gitqueue import refs
from gitqueue.adapters import analysis, environment, files, preparation, sandbox, signatures
from gitqueue.adapters.executors import local
from gitqueue.adapters.git import move_refs
from gitqueue.adapters.history import History
from gitqueue.adapters.objects import Objects
from gitqueue.adapters.settings import Site
from gitqueue.model import FILE, Bind, Limits, Plan, RefMove
from gitqueue.rules import policy
from gitqueue.rules.chain import Chain
from gitqueue.rules.tree import File
from gitqueue.steps import verify
from gitqueue.steps.operate import SANDBOX_USER

GITQUEUE = str(Path(sys.executable).parent / "gitqueue")
NOTHING = b"name: Nothing\nrun: /usr/bin/true\n"
CHAIN, REQUESTERS = 10_000, 50  # approvals on a long chain, and whose they are
FINISHED, MANY = 10_000, 5_000  # jobs that are over; jobs that a runner runs in one go


@dataclass(frozen=True)
class Figure:
    """One line of the table: medians in milliseconds; `target` None where none was set."""

    what: str
    milliseconds: float
    target: float | None
    how: str

    @property
    def missed(self) -> bool:
        return self.target is not None and self.milliseconds > self.target


def median(samples: list[float]) -> float:
    return statistics.median(samples) * 1000


def timed(call: Callable[[], object]) -> float:
    since = time.perf_counter()
    call()
    return time.perf_counter() - since


# --- a site to measure at --------------------------------------------------------------------------------------------


def run(*argv: str | Path, cwd: Path) -> str:
    words = [str(word) for word in argv]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, env=ENVIRONMENT)
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "GITQUEUE_", "SSH_"))},
    **{"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C.UTF-8"},
}


@dataclass(frozen=True)
class Town:
    base: Path

    @property
    def site(self) -> Site:
        return Site(self.base / "centre")

    def desk(self, name: str) -> Path:
        path = self.base / name
        if not path.exists():
            run("git", "clone", "-q", self.site.repository, path, cwd=self.base)
            for setting, value in self._settings(name).items():
                run("git", "config", setting, value, cwd=path)
        return path

    def _settings(self, name: str) -> dict[str, str]:
        key = f"{self.base}/{name}.key.pub"
        who = {"user.name": name, "user.email": f"{name}@uni.example", "user.signingkey": key}
        return {**who, "gpg.format": "ssh", "advice.detachedHead": "false"}


@contextmanager
def town() -> Iterator[Town]:
    with tempfile.TemporaryDirectory(prefix="gitqueue-bench-", dir="/tmp") as name:
        found = Town(Path(name))
        found.base.chmod(0o755)
        for who in ("owen", "rachel"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{who}.key", cwd=found.base)
        founder = ("--owner", "owen", "--email", "owen@uni.example", "--key", "owen.key")
        run(GITQUEUE, "init", "centre", *founder, cwd=found.base)
        desk = found.desk("owen")
        run(GITQUEUE, "person", "add", "rachel", "--key", "../rachel.key.pub", cwd=desk)
        run(GITQUEUE, "policy", "set", "requests.open=1000", "quota.running=2", cwd=desk)
        yield found


def commit(desk: Path, job: str, files: dict[str, bytes], message: str) -> str:
    """A signed commit with these files on the request branch of the job, made if need be."""
    branch = f"requests/{job}"
    if run("git", "branch", "--show-current", cwd=desk) != branch:
        run("git", "fetch", "-q", cwd=desk)
        run("git", "switch", "-q", "-c", branch, "--no-track", "origin/approved", cwd=desk)
    for name, data in files.items():
        path = desk / "jobs" / job / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    run("git", "add", "jobs", cwd=desk)
    run("git", "commit", "-q", "-S", "-m", message, cwd=desk)
    return run("git", "rev-parse", "HEAD", cwd=desk)


# --- what is measured ------------------------------------------------------------------------------------------------


def pushes(there: Town, rounds: int) -> Iterator[Figure]:
    """The same commits to the site, as it is with its runner serving, and to a copy of it without hooks; then the same
    again with no runner there, where each hook has to judge by itself."""
    bare = there.base / "no-hooks.git"
    shutil.copytree(there.site.repository, bare, ignore=shutil.ignore_patterns("pre-receive", "post-receive"))
    with serving(there):
        yield push_figure(there, bare, rounds, "push", "a push through the gate, more than without", 120)
    yield push_figure(there, bare, rounds, "alone", "the same where no runner serves", None)


def push_figure(there: Town, bare: Path, rounds: int, job: str, what: str, target: float | None) -> Figure:
    desk = there.desk("rachel")
    places: dict[str | Path, list[float]] = {"origin": [], bare: []}
    for number in range(rounds + 1):
        commit(desk, f"rachel/{job}", {"job.yaml": NOTHING, "n": b"%d\n" % number}, f"Revision {number}")
        for place, samples in places.items():
            seconds = timed(lambda place=place: run("git", "push", "-q", place, "HEAD", cwd=desk))  # type: ignore[misc]
            samples += [seconds] if number else []  # the first creates the branch, and warms the disk's cache
    with_gate, without = median(places["origin"]), median(places[bare])
    how = f"{with_gate:.0f} with the gate, {without:.0f} without{'; 60 is the aim' if target else ''}"
    return Figure(what, with_gate - without, target, how)


def jobs(there: Town, rounds: int) -> Iterator[Figure]:
    """From the owner's push to the job's start and to the results commit, with the runner serving; beside it the bare
    sandboxed command."""
    whole: list[float] = []
    sandboxed: list[float] = []
    pushed: list[float] = []
    begun: list[float] = []
    with serving(there), ThreadPoolExecutor(1) as watcher:
        for number in range(rounds + 1):
            job = f"rachel/nothing-{number}"
            approve_locally(there, job)
            started = watcher.submit(wait_for_start, there.site, job)
            since, clock = time.perf_counter(), time.time()
            run("git", "push", "-q", "origin", "approved", cwd=there.desk("owen"))
            pushed.append(time.perf_counter() - since)
            wait_for_results(there.site, job)
            whole.append(time.perf_counter() - since)
            begun.append(started.result() - clock)
            sandboxed.append(bare_sandbox(there.base))
    every, bare = median(whole[1:]), median(sandboxed[1:])
    how = f"{every:.0f} from push to results, of it {median(pushed[1:]):.0f} the push; {bare:.0f} bare"
    yield Figure("a no-op job, more than the bare sandbox", every - bare, 250, how)
    yield Figure("from push to start", median(begun[1:]), 100, "from the owner's git push to the supervisor's birth")


def approve_locally(there: Town, job: str) -> None:
    rachel, owen = there.desk("rachel"), there.desk("owen")
    asked = commit(rachel, job, {"job.yaml": NOTHING}, f"Ask for {job}")
    run("git", "push", "-q", "origin", "HEAD", cwd=rachel)
    run("git", "fetch", "-q", cwd=owen)
    run("git", "switch", "-q", "approved", cwd=owen)
    run("git", "merge", "-q", "--ff-only", "origin/approved", cwd=owen)
    run("git", "merge", "-q", "-S", "--no-ff", asked, "-m", "Fine", cwd=owen)


def wait_for_start(site: Site, job: str) -> float:
    """When the supervisor was born, in seconds since 1970."""
    said = site.spool / f"{job.replace('/', '+')}+1" / "supervisor.log"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError):
            return said.stat().st_ctime
        time.sleep(0.001)
    raise SystemExit(f"bench: {job} was not started")


def wait_for_results(site: Site, job: str) -> None:
    """Read the ref's file, not git: polling must cost the runner nothing."""
    path = site.repository / refs.result(refs.job_id(job))
    deadline = time.monotonic() + 30
    claim = ""
    while time.monotonic() < deadline:
        tip = path.read_text().strip() if path.exists() else ""
        claim = claim or tip
        if tip and tip != claim:
            break
        time.sleep(0.001)
    state = run(
        "git",
        "log",
        "-1",
        "--format=%(trailers:key=State,valueonly)",
        refs.result(refs.job_id(job)),
        cwd=site.repository,
    )
    if state.strip() != "completed":
        raise SystemExit(f"bench: {job} is {state or 'not taken up'}")


@contextmanager
def serving(there: Town) -> "Iterator[subprocess.Popen[bytes]]":
    log = (there.base / "runner.log").open("wb")
    process = subprocess.Popen([GITQUEUE, "-C", there.site.path, "serve"], stdout=log, stderr=log, env=ENVIRONMENT)
    try:
        time.sleep(1)
        yield process
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def sandboxes(base: Path, rounds: int) -> Iterator[Figure]:
    """An empty command with all that holds a job, from start to record; beside it bubblewrap alone."""
    spool = base / "spool"
    (spool / "job").mkdir(parents=True)
    for folder in (spool, spool / "job"):
        folder.chmod(0o755)
    local.prepare()
    bare_sandbox(base)  # the first warms the disk's cache
    bare: list[float] = []
    whole: list[float] = []
    for number in range(rounds):
        bare.append(bare_sandbox(base))
        whole.append(timed(lambda number=number: held_sandbox(spool / f"{number}", spool / "job")))  # type: ignore[misc]
    how = f"{median(whole) / median(bare):.1f} times bubblewrap alone, which takes {median(bare):.1f}"
    yield Figure("an empty sandboxed command, start to end", median(whole), 3 * median(bare), how)


def analyses(rounds: int) -> Iterator[Figure]:
    """What `check` and `review` cost more when they first see a revision; what a clone keeps costs nothing."""
    folder, host = Path(__file__).parents[1] / "examples" / "jobs" / "bc-mean", preparation.at_home()
    held = tuple(File(one.name, FILE, one.stat().st_size, one.read_bytes()) for one in sorted(folder.iterdir()))
    code = preparation.code(refs.job_id("rachel/bc-mean"), held)
    analysis.at_home(host, code, {})  # the first copies the analyser's libraries
    took = [timed(lambda: analysis.at_home(host, code, {})) for _ in range(rounds)]
    yield Figure("a job's code analysed, in the sandbox", median(took), 1000.0, f"{len(held)} files")


def held_sandbox(folder: Path, job: Path) -> None:
    user = pwd.getpwnam(SANDBOX_USER) if os.geteuid() == 0 else None
    ids = {"uid": user.pw_uid, "gid": user.pw_gid} if user else {}
    local.start(folder, replace(plan(job), **ids))
    while local.observe(folder) != "ended":
        time.sleep(0.0002)
    if local.ended(folder).reason:
        raise SystemExit(f"bench: {local.ended(folder)}")


def bare_sandbox(base: Path, *binds: Bind) -> float:
    """Bubblewrap with the very arguments of a job, as the same user, and nothing around it; the seconds it took."""
    user = pwd.getpwnam(SANDBOX_USER) if os.geteuid() == 0 else None
    with (
        tempfile.TemporaryDirectory(dir=base) as name,
        tempfile.TemporaryFile() as rules,
        open(os.devnull, "wb") as dump,
    ):
        scratch = Path(name)
        scratch.chmod(0o755)
        for folder in ("tmp", "shm", "etc", "output", "job"):
            (scratch / folder).mkdir()
            if user:
                os.chown(scratch / folder, user.pw_uid, user.pw_gid)
        for file, text in sandbox.ETC.items():
            (scratch / "etc" / file).write_text(text)
        rules.write(FILTER)
        rules.seek(0)
        fds = {str(sandbox.SECCOMP_FD): str(rules.fileno()), str(sandbox.STATUS_FD): str(dump.fileno())}
        words = list(sandbox.arguments(plan(scratch / "job", binds), name, f"{name}/output"))
        for option in ("--seccomp", "--json-status-fd"):
            words[words.index(option) + 1] = fds[words[words.index(option) + 1]]
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        handed = (rules.fileno(), dump.fileno())
        since = time.perf_counter()
        subprocess.run(words, executable=sandbox.PROGRAM, pass_fds=handed, env={}, check=True, **as_user)  # type: ignore[call-overload]
        return time.perf_counter() - since


FILTER = sandbox.seccomp_filter()


def plan(job: Path, binds: tuple[Bind, ...] = ()) -> Plan:
    limits = Limits(time=60.0, memory=2**30, cpus=1.0, processes=64, output=2**20, output_files=10)
    return Plan(("/usr/bin/true",), str(job), binds, (), limits, (), (), None, None)


def starts(rounds: int) -> Iterator[Figure]:
    """Whole processes, the interpreter's own start included."""
    words = {
        "gitqueue --help": ((GITQUEUE, "--help"), 150.0),
        "import gitqueue": ((sys.executable, "-c", "import gitqueue"), 100.0),
    }
    alone = median([timed(lambda: run(sys.executable, "-c", "", cwd=Path("/"))) for _ in range(rounds)])
    for what, (argv, target) in words.items():
        took = median([timed(lambda argv=argv: run(*argv, cwd=Path("/"))) for _ in range(rounds)])  # type: ignore[misc]
        yield Figure(what, took, target, f"of it {alone:.0f} the interpreter's start")


BATCH = 200  # approved jobs that wait when the runner starts


def batch(there: Town) -> Iterator[Figure]:
    """Many approved no-op jobs, from the runner's start to its end, two at once."""
    grow(there, BATCH)
    words = (GITQUEUE, "-C", there.site.path, "serve", "--once")
    since = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, env=ENVIRONMENT)
    took = time.perf_counter() - since
    ended = sum("state=completed" in line for line in done.stderr.splitlines())
    if ended != BATCH:
        raise SystemExit(f"bench: {ended} of {BATCH} jobs are completed:\n{done.stderr[-2000:]}")
    yield Figure(f"a no-op job, of {BATCH} that wait", took * 1000 / BATCH, 50, f"{BATCH / took:.1f} a second")


def idle(there: Town) -> Iterator[Figure]:
    """What a runner with nothing to do takes of a core, over several of its polls."""
    with serving(there) as runner:
        time.sleep(3)
        before, since = passes.spent(runner.pid), time.monotonic()
        time.sleep(20)
        used = (passes.spent(runner.pid) - before) / (time.monotonic() - since)
        held = f"{100 * used:.2f} % of a core; {passes.memory(runner.pid):.0f} MiB, 80 is the aim"
    yield Figure("an idle runner, of each second", used * 1000, 5, held)


def finished() -> Iterator[Figure]:
    """A pass that has nothing to do, by how many jobs are finished."""
    took = []
    for count in (10, FINISHED):
        with town() as there:
            passes.finish(there.site, grow(there, count))
            run("git", "repack", "-adq", cwd=there.site.repository)
            run("git", "pack-refs", "--all", cwd=there.site.repository)
            took.append(passes.of_a_pass(there.site, lambda there=there: serving(there)))  # type: ignore[misc]
    how = f"{took[1]:.2f} beside {FINISHED:,} finished jobs, {took[0]:.2f} beside 10"
    yield Figure(f"a pass beside {FINISHED:,}, more than beside 10", took[1] - took[0], 0.5, how)


def memory() -> Iterator[Figure]:
    """What the runner comes to hold by each job that it has run, and remembers."""
    with town() as there:
        grow(there, MANY)
        marks = (MANY // 10, MANY)
        early, late = passes.of_jobs(there.base / "runner.log", lambda: serving(there), marks)
    each = (late.held - early.held) * 1024 / (late.done - early.done)
    how = f"in KiB, not ms: {early.held:.1f} MiB after {early.done:,}, {late.held:.1f} MiB after {late.done:,}"
    yield Figure("memory by each of many jobs, KiB", each, 2, how)


def verification(there: Town) -> Iterator[Figure]:
    """A chain of many approvals, made without git and packed as a clone is, verified from its root as the runner would
    on its first start."""
    site = there.site
    root = site.settings().root
    tip = list(grow(there, CHAIN).values())[-1]
    run("git", "repack", "-adq", cwd=site.repository)
    took = min(timed(lambda: verify.extend(History(Objects(site.repository)), Chain(), root, tip)) for _ in range(3))
    yield Figure(f"verifying {CHAIN:,} approvals", took * 1000, 5000, f"of {REQUESTERS} requesters, from the root")


def grow(there: Town, count: int) -> dict[refs.JobId, str]:
    """`count` more approvals on the chain, each of a request that forked a little before: jobs, oldest first, with the
    commits that approve them."""
    objects, now = Objects(there.site.repository), int(time.time())
    keys = {"owen": signatures.load_key(there.base / "owen.key")}
    first = objects.ref(refs.APPROVED) or ""

    def signed(who: str, parents: tuple[str, ...], tree: str) -> str:
        name = f"{who} <{who}@uni.example> {now} +0000"
        above = "".join(f"parent {parent}\n" for parent in parents)
        text = f"tree {tree}\n{above}author {name}\ncommitter {name}\n\nn\n"
        return objects.write_commit(signatures.sign(text.encode(), keys[who]))

    people = objects.file(objects.commit(first).tree, policy.PEOPLE) or b""
    for number in range(REQUESTERS):
        key = there.base / f"r{number}.key"
        line = signatures.generate_key(key, "")
        people += f'r{number}: {{roles: [requester], keys: [{{key: "{line}"}}]}}\n'.encode()
        keys[f"r{number}"] = signatures.load_key(key)
    signers = policy.allowed_signers(policy.parse_people(people)).encode()
    both = {policy.PEOPLE: (FILE, people), ".gitqueue/allowed_signers": (FILE, signers)}
    tips = [signed("owen", (first,), objects.put_files(objects.commit(first).tree, both))]
    moves, approved = [], {}
    for number in range(count):
        job, fork = refs.JobId(f"r{number % REQUESTERS}", f"long-{number}"), tips[-5:][0]
        folder = {f"{job.folder}/job.yaml": (FILE, NOTHING)}
        asked = signed(job.requester, (fork,), objects.put_files(objects.commit(fork).tree, folder))
        tips.append(signed("owen", (tips[-1], asked), objects.put_files(objects.commit(tips[-1]).tree, folder)))
        moves.append(RefMove(refs.request(job), None, asked))
        approved[job] = tips[-1]
    move_refs(there.site.repository, [*moves, RefMove(refs.APPROVED, first, tips[-1])])
    return approved


# --- on a cluster: a Slurm of two nodes on this machine, 16 jobs at once --------------------------

ON_CLUSTER = 200
CLUSTER = Path(__file__).parents[1] / "tests" / "slurm" / "cluster.sh"


def cluster_jobs() -> Iterator[Figure]:
    """No-ops, approved beforehand, from the runner's start to its end; and as many bare submissions of nothing."""
    with town() as there, slurm(there.base / "slurm"):
        small = ("limits.cpus=1", "limits.memory=256MiB", "quota.running=1000")
        run(GITQUEUE, "policy", "set", *small, cwd=there.desk("owen"))
        settings = there.site.settings_file
        lines = [line for line in settings.read_text().splitlines() if not line.startswith("executor:")]
        settings.write_text("\n".join([*lines, "executor: {kind: slurm, poll: 1s}", ""]))
        grow(there, ON_CLUSTER)
        whole = timed(lambda: run(GITQUEUE, "-C", there.site.path, "serve", "--once", cwd=there.base))
        states = run(
            "git",
            "log",
            "--branches=results/*",
            "--no-walk",
            "--format=%(trailers:key=State)",
            cwd=there.site.repository,
        )
        if states.count("completed") != ON_CLUSTER:
            raise SystemExit(
                f"bench: {states.count('completed')} of {ON_CLUSTER} jobs are completed: {set(states.split())}"
            )
        bare = timed(lambda: bare_submissions(there.base))
    how = f"{whole:.1f} s for {ON_CLUSTER}, {bare:.1f} s for as many bare submissions of nothing"
    yield Figure("one of many no-ops by Slurm, more than bare", (whole - bare) * 1000 / ON_CLUSTER, None, how)


@contextmanager
def slurm(folder: Path) -> Iterator[None]:
    run("env", "CPUS=8", CLUSTER, "start", folder, cwd=Path("/"))
    ENVIRONMENT["SLURM_CONF"] = f"{folder}/slurm.conf"
    try:
        yield
    finally:
        run(CLUSTER, "stop", folder, cwd=Path("/"))
        del ENVIRONMENT["SLURM_CONF"]


def bare_submissions(base: Path) -> None:
    small = ("--mem=256M", "--cpus-per-task=1", "--export=NONE", "--output=/dev/null", "--wrap=/usr/bin/true")
    for _ in range(ON_CLUSTER):
        run("sbatch", "--parsable", *small, cwd=base)
    while run("squeue", "--noheader", cwd=base):
        time.sleep(0.1)


def cached_environment(base: Path, rounds: int) -> Iterator[Figure]:
    """All that an environment costs a job once somebody has built it: finding it, naming it, showing it inside."""
    cache = base / "environments"
    built = environment.build(LOCK, "3.11", cache)
    found: list[float] = []
    for number in range(rounds):
        run_folder = base / f"run-{number}"
        run_folder.mkdir()
        found.append(timed(lambda: environment.use(environment.build(LOCK, "3.11", cache).path, run_folder)))  # noqa: B023
    pairs = [(bare_sandbox(base), bare_sandbox(base, Bind(str(built.path), "/env"))) for _ in range(rounds)]
    without, shown = ([pair[at] for pair in pairs] for at in (0, 1))
    took, inside = median(found), median(shown) - median(without)
    how = f"{took:.1f} to find it, {inside:.1f} to show it in the sandbox; building it took {built.seconds:.1f} s"
    yield Figure("a cached environment", took + max(inside, 0.0), 5, how)


LOCK = (
    b"six==1.17.0 --hash=sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274"
    b" --hash=sha256:ff70335d468e7eb6ec65b95b99d3a2836546063f63acc5171de367e834932a81\n"
)


def collection(base: Path, rounds: int) -> Iterator[Figure]:
    """As a supervisor does it: from a tmpfs-sized tree into the job's folder, hashed on the way."""
    source = base / "output"
    source.mkdir()
    for number in range(1000):
        (source / f"{number}.csv").write_bytes(os.urandom(10_000))
    limits = Limits(time=60.0, memory=2**30, cpus=1.0, processes=64, output=2**25, output_files=1000)
    samples = []
    for number in range(min(rounds, 5)):
        kept = base / f"kept-{number}"
        samples.append(timed(lambda: files.collect(source, ("*",), (".csv",), limits, kept)))  # noqa: B023
        if len(list((kept / "outputs").iterdir())) != 1000:
            raise SystemExit("bench: the collection took less than it should")
    yield Figure("collecting 1,000 files of 10 kB", median(samples), 500, f"slowest {max(samples) * 1000:.0f}")


# --- the table -------------------------------------------------------------------------------------------------------


def table(figures: Iterator[Figure]) -> bool:
    """Print each figure as it comes; whether all targets were met."""
    print(f"{'':<44}{'ms':>7}{'target':>8}")
    met = True
    for figure in figures:
        target = "" if figure.target is None else f"{figure.target:.0f}"
        print(f"{figure.what:<44}{figure.milliseconds:>7.1f}{target:>8}{'  MISSED' if figure.missed else ''}")
        print(f"    {figure.how}", flush=True)
        met = met and not figure.missed
    return met


def outputs() -> Iterator[Figure]:
    """What looks at outputs; outside a sandbox, which costs what it costs anywhere."""
    for what, cost, most in disclosure.costs():
        over = cost.megabytes > disclosure.MEGABYTES
        target = 0.0 if over else most * 1000
        yield Figure(what, cost.seconds * 1000, target, f"{cost.how}; {disclosure.MEGABYTES:.0f} MB at most")


def python() -> Iterator[Figure]:
    """What notebooks wait for, where the queue is long; a process has one home, so in one of its own."""
    for line in run(sys.executable, Path(__file__).with_name("interface.py"), cwd=Path("/")).splitlines():
        if line.startswith("{"):
            yield Figure(**json.loads(line))


def measured(rounds: int, on_cluster: bool, for_long: bool) -> Iterator[Figure]:
    if on_cluster:
        yield from cluster_jobs()
    if for_long:
        yield from memory()
    yield from starts(rounds)
    with town() as there:
        yield from pushes(there, rounds)
        yield from sandboxes(there.base, rounds)
        yield from analyses(rounds)
        yield from jobs(there, rounds)
        yield from idle(there)
        yield from verification(there)
        yield from collection(there.base, rounds)
        yield from cached_environment(there.base, rounds)
    with town() as there:
        yield from batch(there)
    yield from finished()
    yield from python()
    yield from outputs()


def main() -> int:
    words = argparse.ArgumentParser(description="Measure what things cost, against their targets.")
    words.add_argument("--rounds", type=int, default=15, help="samples of each (default: 15)")
    words.add_argument("--long", action="store_true", help=f"also the memory of a runner over {MANY:,} jobs")
    words.add_argument("--slurm", action="store_true", help="also jobs on a Slurm of its own (as root; a minute more)")
    given = words.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; medians of {given.rounds} rounds\n")
    met = table(measured(given.rounds, given.slurm, given.long))
    return 0 if disclosure.hits() and met else 1


if __name__ == "__main__":
    sys.exit(main())
