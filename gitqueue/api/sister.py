"""The calls of syft-code-queue's requesters and reviewers, over all sites that this process works with.

A site is found by an owner's e-mail address (`target_email`) among the sites that were connected to, and those in the
working folder and at `$GITQUEUE_HOME`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from gitqueue.adapters import settings
from gitqueue.api import places, requests
from gitqueue.api.jobs import Job, Jobs
from gitqueue.api.sites import Site, connect
from gitqueue.errors import Mistake, No, NotAllowed
from gitqueue.rules.authority import OWNER, REQUESTER
from gitqueue.rules.tree import escape
from gitqueue.steps import collect

# What scripts for syft-code-queue write to: our outputs folder by their name.
_RUN = "sh -c 'export OUTPUT_DIR=\"$GITQUEUE_OUTPUT\"; exec bash run.sh'"


class Client:
    """A person at one site or several, as requester and as owner."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self.sites = list(sites)

    @property
    def email(self) -> str:
        return self._one()._desk.clone.config("user.email")

    def _one(self, target_email: str | None = None) -> Site:
        """The site that has such an owner. Raises Mistake where none has, or more than one."""
        found = [site for site in self.sites if target_email is None or target_email in _owners(site)]
        if len({site.url for site in found}) != 1:
            known = ", ".join(f"{site.name} ({', '.join(_owners(site))})" for site in self.sites) or "none"
            what = f"with the owner {target_email!r} " if target_email else ""
            raise Mistake(f"{len(found) or 'no'} sites {what}are known here: {known}", step="gq.connect(URL) first")
        mine = [site for site in found if _is(site, REQUESTER)]
        return (mine or found)[-1]

    # asking

    def submit_job(
        self, target_email: str, code_folder: str | Path, name: str, description: str = "", tags: Sequence[str] = ()
    ) -> Job:
        """Ask for a folder with a run.sh to be run at the site of this owner; it may write to `$OUTPUT_DIR`."""
        site = self._one(target_email)
        folder = Path(code_folder)
        if (folder / "job.yaml").exists() or not (folder / "run.sh").exists():
            return site.submit_folder(folder, name)
        said = {"description": description, "tags": list(tags), "run": _RUN}
        return site._send(requests.folder(folder, name, site._desk.view.policy, said))

    submit_code = submit_job

    def submit_python(
        self,
        target_email: str,
        script_content: str,
        name: str,
        description: str = "",
        requirements: Sequence[str] = (),
        tags: Sequence[str] = (),
    ) -> Job:
        """Ask for a Python program to be run."""
        files = {"script.py": script_content, "run.sh": "set -e\npython script.py\n"}
        if requirements:
            files["requirements.txt"] = "\n".join([*requirements, ""])
        return self._send(target_email, files, name, description, tags)

    def submit_bash(
        self, target_email: str, script_content: str, name: str, description: str = "", tags: Sequence[str] = ()
    ) -> Job:
        """Ask for a shell script to be run."""
        return self._send(target_email, {"run.sh": script_content}, name, description, tags)

    def _send(self, to: str, files: dict[str, str], name: str, description: str, tags: Sequence[str]) -> Job:
        with tempfile.TemporaryDirectory(prefix="gitqueue-") as folder:
            collect.write({path: text.encode() for path, text in files.items()}, Path(folder))
            return self.submit_job(to, folder, name, description, tags)

    # looking

    @property
    def jobs_for_me(self) -> Listed:
        """Jobs at the sites that I own, newest first."""
        return Listed(job for site in self.sites if _is(site, OWNER) for job in site.jobs)

    @property
    def my_jobs(self) -> Listed:
        """Jobs that I asked for, newest first."""
        return Listed(job for site in self.sites if site.me for job in site.my_jobs)

    @property
    def pending_for_me(self) -> Listed:
        return Listed(
            job for site in self.sites if _is(site, OWNER) for job in site.pending if job.requester != site.me
        )

    def get_job(self, job_uid: object) -> Job | None:
        """A job by its uid, None where there is none."""
        try:
            return self._job(job_uid)
        except Mistake:
            return None

    def _job(self, job_uid: object, role: str | None = None) -> Job:
        """A job, from the desk of somebody of this role where there are several. Raises Mistake."""
        sites = [site for site in self.sites if role is None or _is(site, role)] or self.sites
        for site in sites:
            if str(job_uid) in (found := site.jobs):
                return found[str(job_uid)]
        raise Mistake(f"there is no job {str(job_uid)!r}", step="gq.my_jobs, gq.jobs_for_me")

    def wait_for_completion(self, job_uid: object, timeout: float = 600) -> Job:
        """Until it is completed. Raises JobFailed with the reason where it ended otherwise, and TimedOut."""
        return self._job(job_uid).wait(timeout)

    def get_job_output(self, job_uid: object) -> Path | None:
        """A folder with its released files; None where there are none (yet)."""
        job = self._job(job_uid, REQUESTER)
        folder = job._desk.clone.git_dir.absolute() / "gitqueue" / "results" / job.uid
        try:
            if not folder.exists():
                job.results.save(folder)
        except No:
            return None
        return folder

    def get_job_logs(self, job_uid: object) -> str | None:
        """The log of its run: for owners, and for others where it was released; else None."""
        try:
            return self._job(job_uid, OWNER).logs()
        except (No, NotAllowed):
            return None

    # answering

    def approve(self, job_uid: object, reason: str = "") -> bool:
        """Sign the merge; False where there is nothing to approve."""
        job = self._job(job_uid, OWNER)
        return job.status == "pending" and bool(job.approve(reason))

    def reject(self, job_uid: object, reason: str = "Rejected by the data owner") -> bool:
        """Sign a refusal; False where there is nothing to reject."""
        job = self._job(job_uid, OWNER)
        return job.status == "pending" and bool(job.reject(reason))

    def inspect_job(self, job_uid: object) -> None:
        """Print all that an owner decides by."""
        print(escape(self._job(job_uid).report()))

    def __repr__(self) -> str:
        return "\n".join(map(repr, self.sites)) or "no sites: gq.connect(URL)"


class Listed(Jobs):
    """Jobs, which a call gives once more: `my_jobs` and `my_jobs()` are both in use."""

    def __init__(self, items: Iterable[Job], *_: object) -> None:
        super().__init__(sorted(items, key=lambda job: str(job.created_at), reverse=True))

    def __call__(self, status: str | None = None, limit: int | None = None) -> Jobs:
        return Jobs([job for job in self if status is None or job.status == status][:limit])


def _owners(site: Site) -> list[str]:
    return [one["email"] for one in site.people.values() if OWNER in one["roles"] and one["email"]]


def _is(site: Site, role: str) -> bool:
    return role in site.people.get(site.me or "", {"roles": []})["roles"]


def create_client(
    target_email: str | None = None, *, site: str | Path | None = None, key: str | Path | None = None
) -> Client:
    """A client of one site (`site`: URL, path or name; `target_email`: an owner's), else of all that are known here."""
    if site is not None:
        return Client([connect(site, key)])
    everything = Client(_known())
    return Client([everything._one(target_email)]) if target_email else everything


def _known() -> list[Site]:
    """Those that this process has connected to; where it has to none, those on this machine."""
    from gitqueue.api import sites

    if sites.CONNECTED:
        return list(sites.CONNECTED.values())
    folders = [folder for place in (Path.cwd(), places.home()) if place.is_dir() for folder in sorted(place.iterdir())]
    return [connect(folder) for folder in folders if settings.is_site(folder)]


def __getattr__(name: str) -> object:
    """Each call of a client, as one of the module's: of a client of all that is known."""
    if name.startswith("_") or not hasattr(Client, name):
        raise AttributeError(name)
    return getattr(create_client(), name)
