"""A site from its owner's side: what waits for them, their answers, and the runner that does what they approved."""

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from gitqueue import acts, runner
from gitqueue.adapters import data, sandbox, settings
from gitqueue.adapters.premises import Premises
from gitqueue.api import identity, places, show, sites
from gitqueue.api.desk import Desk
from gitqueue.api.identity import Identity
from gitqueue.api.jobs import Job, Jobs
from gitqueue.api.sites import Site
from gitqueue.errors import Mistake, OperatorNeeded
from gitqueue.refs import job_id, slug
from gitqueue.rules.lifecycle import State
from gitqueue.steps import found, operate

_PATIENCE = 5.0  # seconds for a runner that was told to stop


def create_server(
    queue_name: str = "code-queue",
    max_concurrent_jobs: int = 3,
    job_timeout: float = 300,
    cleanup_completed_after: float | None = None,
    *,
    site: str | Path | None = None,
) -> "Server":
    """The server of the site named `queue_name` (a name or a path; `site` is always a path): one that there is, in the
    working folder or at `$GITQUEUE_HOME`, else a new one on this machine, whose owner is git's user.

    A job runs for at most `job_timeout` seconds and beside at most `max_concurrent_jobs` others, or less where the
    site's own files say so. Finished jobs are kept as long as the site's policy says.
    """
    if max_concurrent_jobs < 1 or job_timeout <= 0:
        raise Mistake("max_concurrent_jobs and job_timeout must be above 0")
    if cleanup_completed_after is not None:
        raise Mistake("cleanup_completed_after is the site's to decide", step="leave it out")
    wanted = str(site if site is not None else queue_name)
    there = places.site(wanted)
    if there is None:
        there, me = _founded(Path(wanted).absolute() if site is not None else places.new_site(wanted))
    else:
        me = identity.of_git(places.beside(there) / "key")
        sites.tell(me)
    desk = sites.at(str(there.repository), places.beside(there) / "desk", me)
    return Server(queue_name, there, desk, (max_concurrent_jobs, job_timeout))


def _founded(path: Path) -> tuple[settings.Site, Identity]:
    me = identity.of_git(places.beside(settings.Site(path)) / "key")
    founder = found.Founder(slug(me.name), me.email, me.line, me.signing)
    site = found.begin(path, founder)
    print(f"gitqueue: made the site {site.name} in {path}; its owner is {founder.name} <{founder.email}>")
    sites.tell(me)
    return site, me


class Server:
    """One site on this machine, and its runner. `with` starts and stops it."""

    def __init__(self, queue_name: str, premises: settings.Site, desk: Desk, caps: tuple[int, float]) -> None:
        self.queue_name = queue_name
        self._premises = premises
        self._desk = desk
        self._caps = caps
        self._listed: dict[str, Job] = {}
        self._runner: subprocess.Popen[bytes] | None = None

    @property
    def email(self) -> str:
        """The owner's address."""
        return self._desk.clone.config("user.email")

    @property
    def site(self) -> Site:
        return Site(self._desk)

    # what waits, and the owner's answers

    def list_pending_jobs(self) -> Jobs:
        """All that wait for this owner, oldest first."""
        found = Jobs([Job(self._desk, seen) for seen in acts.waiting(self._desk.queue, self._desk.me)])
        self._listed.update((job.uid, job) for job in found)
        return found

    @property
    def jobs(self) -> Jobs:
        """All jobs of the site, newest first."""
        return self.site.jobs

    def get_job(self, uid: object) -> Job | None:
        """A job by its uid, None where there is none."""
        try:
            seen = self._desk.seen(job_id(str(uid)))
        except Mistake:
            return None
        return Job(self._desk, seen) if seen.revision or seen.results else None

    def approve_job(self, uid: object, reason: str = "") -> bool:
        """Sign the merge of the revision that was listed; False where there is no such job, or it is not pending.

        Raises Mistake where it has changed since it was listed, and NotAllowed where you may not.
        """
        job = self._pending(uid)
        return job is not None and bool(job.approve(reason))

    def reject_job(self, uid: object, reason: str = "Rejected by the data owner") -> bool:
        """Sign a refusal with its reason; False where there is no such job, or it is not pending."""
        job = self._pending(uid)
        return job is not None and bool(job.reject(reason))

    def _pending(self, uid: object) -> Job | None:
        job = self.get_job(uid)
        if job is None or job._seen.state is not State.PENDING:
            return None
        return self._listed.get(job.uid, job)

    # the runner

    def start(self) -> None:
        """Have approved jobs run, in the background, until `stop` or the end of this process. Does nothing where a
        runner serves the site already. Raises OperatorNeeded where this machine cannot confine jobs."""
        if not self.running:
            self._runner = self._begun()

    def run(self) -> None:
        """Have all that can be done now done, and come back then. Raises Mistake where a runner serves the site
        already, OperatorNeeded where it cannot, with the end of its log."""
        if self.running:
            raise Mistake("a runner serves the site already", step="job.wait()")
        process = self._begun("once")
        try:
            failed = process.wait()
        except BaseException:  # above all KeyboardInterrupt: what runs goes on, and the next runner takes it up
            _end(process)
            raise
        if failed:
            raise OperatorNeeded("the runner did not come to its end", *self.log.splitlines()[-3:], step="server.log")

    def _begun(self, *words: str) -> subprocess.Popen[bytes]:
        """A runner, in a process of its own."""
        self._must_be_able()
        given = (str(self._premises.path), *map(str, self._caps), *words)
        argv = [sys.executable, "-m", "gitqueue.api.background", *given]
        with self._log.open("wb") as log:
            self._log.chmod(0o600)
            return subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, cwd="/"
            )

    def _must_be_able(self) -> None:
        uid, gid = Premises(self._premises, self._premises.settings()).sandbox_user
        problems = sandbox.problems(uid, gid)
        if problems:
            raise OperatorNeeded(*problems, step="gitqueue doctor, in the site's folder")
        closed = data.closed_to(self._premises.spool, uid, gid) if uid is not None and gid is not None else ()
        if closed:
            raise OperatorNeeded(*(fault for fault, _ in closed), step="; ".join(line for _, line in closed))

    @property
    def running(self) -> bool:
        """Whether a runner serves the site: this server's, or another."""
        if self._runner is not None and self._runner.poll() is None:
            return True
        return runner.runner_of(self._premises) is not None

    def stop(self) -> None:
        """Start nothing further. What runs goes on, and the next runner takes it up."""
        process, self._runner = self._runner, None
        if process is not None:
            _end(process)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _log(self) -> Path:
        return self._premises.memory("serve.log")

    @property
    def log(self) -> str:
        """What this server's runner has said."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def status(self) -> dict[str, object]:
        """How the site stands: how many jobs stand where, why each approved one waits, and what to see to."""
        return {**operate.standing(self._premises), "runner": runner.runner_of(self._premises)}

    @property
    def _served(self) -> str:
        return "a runner serves it" if self.running else "no runner serves it: start()"

    def __repr__(self) -> str:
        waiting = len(acts.waiting(self._desk.queue, self._desk.me))
        return f"site {self._premises.name} of {self.email}; {waiting} waiting for a decision; {self._served}"

    def _repr_html_(self) -> str:
        waiting = self.list_pending_jobs()
        facts = {"owner": self.email, "runner": self._served, "waiting for you": len(waiting)}
        return show.card(self._premises.name, self._premises.path, facts, waiting._grid())


def _end(process: subprocess.Popen[bytes]) -> None:
    for end in (process.terminate, process.terminate, process.kill):
        end()
        try:
            process.wait(_PATIENCE)
            break
        except subprocess.TimeoutExpired:
            continue
    if process.stdin is not None:
        process.stdin.close()
