"""A storm: hundreds of jobs while the runner is killed again and again, the disk fills up and the clock jumps.

`STORM_JOBS` and `STORM_KILLS` make it longer or shorter; a seed that failed is told, and taken from `STORM_SEED`.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from conftest import Town, done, ok, reachable, run
from test_kills import alive

from gitqueue import refs, runner
from gitqueue.adapters import signatures
from gitqueue.adapters.executors import local, nursery
from gitqueue.adapters.git import move_refs
from gitqueue.adapters.objects import Objects
from gitqueue.adapters.settings import Site
from gitqueue.model import FILE, RefMove
from gitqueue.refs import JobId

JOBS, KILLS = int(os.environ.get("STORM_JOBS", "500")), int(os.environ.get("STORM_KILLS", "50"))
SEED = int(os.environ.get("STORM_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
KINDS = (  # of jobs: what they run
    b"run: /usr/bin/true\n",
    b"run: sleep 0.5\n",
    b"run: sh -c 'echo mean > $GITQUEUE_OUTPUT/means.txt'\noutputs: ['*.txt']\n",
    b"run: /usr/bin/false\n",
)


@pytest.fixture
def narrow(template: Path) -> Iterator[Town]:
    """A town on a small disk of its own."""
    with reachable() as base:
        ok("mount", "-t", "tmpfs", "-o", "size=400m,mode=0755", "gitqueue-storm", base, cwd=Path("/"))
        try:
            shutil.copytree(template, base / "town", symlinks=True)
            yield Town(base / "town")
        finally:
            ok("umount", "--lazy", base, cwd=Path("/"))


def approve_all(town: Town, count: int) -> list[JobId]:
    """Many approved requests, made without git's own processes."""
    objects, now = Objects(town.repository), int(time.time())
    keys = {name: signatures.load_key(town.key(name)) for name in ("owen", "rachel", "rolf")}

    def signed(who: str, parents: tuple[str, ...], tree: str) -> str:
        person, above = f"{who} <{who}@uni.example> {now} +0000", "".join(f"parent {one}\n" for one in parents)
        text = f"tree {tree}\n{above}author {person}\ncommitter {person}\n\nn\n"
        return objects.write_commit(signatures.sign(text.encode(), keys[who]))

    first = tip = objects.ref(refs.APPROVED) or ""
    base, jobs, moves = objects.commit(first).tree, [], []
    for number in range(count):
        job = JobId(("rachel", "rolf")[number % 2], f"job-{number}")
        files = {f"{job.folder}/job.yaml": (FILE, b"name: Storm\n" + KINDS[number % len(KINDS)])}
        asked = signed(job.requester, (first,), objects.put_files(base, files))
        tip = signed("owen", (tip, asked), objects.put_files(objects.commit(tip).tree, files))
        moves.append(RefMove(refs.request(job), None, asked))
        jobs.append(job)
    assert move_refs(town.repository, [*moves, RefMove(refs.APPROVED, first, tip)])
    return jobs


@contextmanager
def serving(town: Town, jumps: float) -> Iterator[int]:
    """A runner that is killed; its clock jumps by so many seconds after a second."""
    child = os.fork()
    if child == 0:
        _serve(town, jumps)
    try:
        yield child
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _serve(town: Town, jumps: float) -> None:
    said = os.open(town.path / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.dup2(said, 1)
        os.dup2(said, 2)
        local._nursery = nursery.Nursery()
        _jump(jumps)
        runner.serve(Site(town.site), lambda text, **_: print(text, flush=True), False)
    finally:
        traceback.print_exc()
        os._exit(70)  # never back into pytest


def _jump(seconds: float) -> None:
    """Every clock of the day that gitqueue reads in this process."""
    real, since = time.time, time.monotonic()

    def jumping() -> float:
        return real() + (seconds if time.monotonic() > since + 1 else 0)

    for name, module in list(sys.modules.items()):
        if name.startswith("gitqueue") and getattr(module, "time", None) is real:
            module.time = jumping  # type: ignore[attr-defined]
    time.time = jumping


def fill(town: Town) -> Path:
    """Leave no room on the disk."""
    ballast = town.path / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 20))
    return ballast


@pytest.mark.storm
@pytest.mark.skipif(os.geteuid() != 0, reason="it needs a disk of its own")
def test_after_a_storm_every_job_has_one_end_and_nothing_is_left(narrow: Town) -> None:
    print(f"STORM_SEED={SEED}", flush=True)
    chance = random.Random(SEED)
    quota = ("quota.running=4", "quota.runs_per_day=5000", "requests.open=5000", "results=plain")
    done(narrow.desk("owen").gitqueue("policy", "set", *quota))
    jobs = approve_all(narrow, JOBS)
    for number in range(KILLS):
        with serving(narrow, chance.choice((0, 0, 86400, -86400))):
            time.sleep(chance.uniform(0.3, 4))
            if number % 5 == 2:
                ballast = fill(narrow)
                time.sleep(chance.uniform(0.5, 3))
                if chance.random() < 0.5:  # else it is killed while the disk is full
                    ballast.unlink()
                    time.sleep(1)
        (narrow.path / "ballast").unlink(missing_ok=True)
    last = narrow.once()
    assert last.code == 0, last.err
    time.sleep(0.5)
    assert dict(_wrong(narrow, jobs)) == {}, (narrow.path / "said").read_text()[-5000:]


def _wrong(town: Town, jobs: list[JobId]) -> Iterator[tuple[str, object]]:
    ends: Counter[str] = Counter()
    rows = {row["id"]: row for row in json.loads(town.gitqueue("list", "--all", "--json").out)}
    for job in jobs:
        row = rows[str(job)]
        ends[f"{row['state']} {row['reason'] or ''}"] += 1
        log = run(
            "git",
            "log",
            "--first-parent",
            "--format=%(trailers:key=State,valueonly)",
            refs.result(job),
            cwd=town.repository,
        )
        states = log.out.split()[:3]
        if row["state"] not in ("completed", "failed", "interrupted") or states[1:2] != ["running"] or len(states) != 2:
            yield str(job), (row["state"], states)
    print(dict(ends), flush=True)
    if left := [path.name for path in (town.site / "spool").iterdir() if "+" in path.name]:
        yield "spool", left
    if left := list(alive(town)):
        yield "processes", left
    for repository in (town.repository, town.site / "private" / "vault.git"):
        looked = run("git", "fsck", "--full", "--strict", "--no-dangling", cwd=repository)
        if looked.code or "error" in looked.err or "missing" in looked.out:
            yield repository.name, f"{looked.out}{looked.err}"
    verified = town.gitqueue("verify")
    if verified.code:
        yield "verify", f"{verified.out}{verified.err}"
