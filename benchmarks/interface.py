"""What the Python interface costs where the queue is long; a line of JSON for each figure."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import gitqueue as gq
from gitqueue import refs
from gitqueue.adapters.git import list_refs, move_refs
from gitqueue.adapters.history import History
from gitqueue.adapters.queue import REMOTE, Queue
from gitqueue.model import FILE, RefMove
from gitqueue.refs import JobId

SENT, PENDING, SHOWN = 1_000, 10_000, 300
NO_GATE = "git -c core.hooksPath=/dev/null receive-pack"


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, and of all processes on a processor; what git alone pays for as much, where it can."""

    what: str
    took: tuple[float, float]
    target: float
    bare: tuple[float, float] | None = None

    @property
    def how(self) -> str:
        said = f"{self.took[1]:.2f} s of all cores"
        return f"{said}; {self.took[1] / self.bare[1]:.1f} times what git takes by itself" if self.bare else said


def timed(call: Callable[[], object]) -> tuple[float, float]:
    since, before = time.perf_counter(), os.times()
    call()
    return time.perf_counter() - since, sum(os.times()[:4]) - sum(before[:4])


def costs() -> Iterator[Cost]:
    with TemporaryDirectory(prefix="gitqueue-bench-", dir="/tmp") as name:
        base = Path(name)
        base.chmod(0o755)
        os.environ.update(HOME=name, GITQUEUE_HOME=name, GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1")
        server = gq.create_server(str(base / "centre"))
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", base / "key"], check=True)
        server.site.add_person("rachel", email="rachel@uni.example", key=base / "key.pub")
        server.site.set_policy(requests__open=PENDING * 2, rehearse="manual")
        site = gq.connect(base / "centre", key=base / "key")
        drafts = [(f"Job {number}", f"print('this is number {number}')\n") for number in range(SENT)]
        took = timed(lambda: site.submit_many(drafts, purpose="A benchmark"))
        yield Cost(f"submitting {SENT:,} in Python", took, 5, _sent_bare(site, base))
        _fill(site, PENDING - SENT)
        yield from _looking(base)


def _sent_bare(site: gq.Site, base: Path) -> tuple[float, float]:
    """The same commits by plain git, in as many pushes, to a repository that nobody guards."""
    clone, bare = site._desk.clone, base / "bare.git"
    subprocess.run(["git", "init", "-q", "--bare", bare], check=True)
    clone.git("push", "-q", str(bare), "refs/remotes/origin/approved:refs/heads/approved")
    found = sorted(list_refs(clone.git_dir, "refs/remotes/origin/requests"))
    parts = [found[start : start + 250] for start in range(0, len(found), 250)]
    words = [[f"{name}:{name.replace('refs/remotes/origin/', refs.HEADS)}" for name in part] for part in parts]
    return timed(lambda: [clone.git("push", "-q", "--atomic", str(bare), *part) for part in words])


def _fill(site: gq.Site, count: int) -> None:
    """More requests that wait, as their requester signs them, past the gate."""
    clone = site._desk.clone
    queue = Queue(History(clone.objects()), REMOTE)
    root, files = queue.objects.commit(queue.approved).tree, {"job.yaml": (FILE, b"name: One\nrun: /usr/bin/true\n")}
    jobs = [JobId("rachel", f"more-{number}") for number in range(count)]
    folders = [{f"{job.folder}/{path}": held for path, held in files.items()} for job in jobs]
    with queue.objects.together():
        trees = [queue.objects.put_files(root, folder) for folder in folders]
    commits = clone.commit_trees(queue.objects, [(tree, "Ask") for tree in trees], queue.approved)
    moves = [RefMove(f"refs/more/{job}", None, commit) for job, commit in zip(jobs, commits, strict=True)]
    move_refs(clone.git_dir, moves)
    clone.git("push", "-q", f"--receive-pack={NO_GATE}", "origin", "refs/more/*:refs/heads/requests/*")


def _looking(base: Path) -> Iterator[Cost]:
    """At a queue that nobody has looked at before; its refs packed, as gc leaves them."""
    repository = base / "centre" / "site.git"
    subprocess.run(["git", "pack-refs", "--all"], cwd=repository, check=True)
    server = gq.create_server(str(base / "centre"))
    listing = ["git", "for-each-ref", "--format=%(refname) %(committerdate)", "refs/heads/requests"]
    bare = timed(lambda: subprocess.run(listing, cwd=repository, capture_output=True, check=True))
    took = timed(server.list_pending_jobs)
    waiting = server.list_pending_jobs()
    if len(waiting) != PENDING:
        raise SystemExit(f"bench: {len(waiting)} of {PENDING} requests wait")
    yield Cost(f"listing {PENDING:,} that wait", took, 0.4, bare)
    some = waiting[:SHOWN]
    yield Cost(f"a table of {SHOWN}", timed(lambda: (repr(some), some._repr_html_())), 0.5)  # type: ignore[attr-defined]
    start = [sys.executable, "-c", "import gitqueue"]
    yield Cost("import gitqueue, beside them", timed(lambda: subprocess.run(start, cwd=base, check=True)), 0.1)


if __name__ == "__main__":
    for one in costs():
        words = {"what": one.what, "milliseconds": one.took[0] * 1000, "target": one.target * 1000, "how": one.how}
        print(json.dumps(words), flush=True)
