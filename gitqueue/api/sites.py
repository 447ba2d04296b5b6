"""A site, as its people have it in Python: who they are there, its data, people, projects and requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from gitqueue.adapters.queue import Job as Seen
from gitqueue.api import datasets, identity, places, projects, requests, show
from gitqueue.api.code import Functions
from gitqueue.api.datasets import Asset, Dataset, Datasets, NewAsset
from gitqueue.api.desk import Desk
from gitqueue.api.identity import Identity
from gitqueue.api.jobs import Job, Jobs
from gitqueue.api.projects import Project, Projects
from gitqueue.api.requests import About, Draft, Requirements
from gitqueue.errors import Mistake
from gitqueue.refs import JobId, Kind, slug
from gitqueue.rules.lifecycle import State
from gitqueue.steps import enter, govern, operate, submit


class Site:
    """One site, from one person's desk at it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._begun: dict[str, str] = {}

    @property
    def name(self) -> str:
        return str(self._desk.view.policy.site)

    @property
    def url(self) -> str:
        """What to clone."""
        return self._desk.clone.url

    @property
    def path(self) -> Path | None:
        """Where the site lies, on its own machine; None elsewhere."""
        return self._desk.here.path if self._desk.here else None

    @property
    def me(self) -> str | None:
        """Your name at this site; None where it does not know your key."""
        return self._desk.me

    def __repr__(self) -> str:
        return f"site {self.name} at {self.url}; you are {self.me or 'not known there'}"

    def _repr_html_(self) -> str:
        datasets, jobs = self.datasets, self.jobs
        stand = Counter(str(job._seen.state) for job in jobs)
        facts = {
            "you": self.me or "not known there: send an owner your public key",
            "datasets": ", ".join(one.title or one.name for one in datasets),
            "requests": ", ".join(f"{number} {state}" for state, number in stand.items()),
        }
        return show.card(self.name, self.url, facts)

    # what there is

    @property
    def datasets(self) -> Datasets:
        return datasets.of(self._desk)

    @property
    def jobs(self) -> Jobs:
        """All jobs, newest first."""
        return self._jobs(reversed(self._desk.queue.jobs()))

    requests = jobs

    @property
    def my_jobs(self) -> Jobs:
        """Your own jobs, newest first."""
        return self._jobs(reversed(self._desk.queue.jobs(self._desk.must_be_known())))

    @property
    def pending(self) -> Jobs:
        """What waits for an owner's decision, oldest first."""
        return self._jobs(seen for seen in self._desk.queue.jobs() if seen.state is State.PENDING)

    @property
    def projects(self) -> Projects:
        """The projects of all jobs, that of the newest first."""
        return projects.of(self, self.jobs, self._begun)

    def create_project(self, name: str, description: str = "") -> Project:
        """A project to ask for something in; the site learns of it with its first request."""
        self._begun[name] = description
        return self.projects[name]

    @property
    def code(self) -> Functions:
        """The values of functions that you asked for, once they are released: `site.code.mean()`."""
        mine = ((job.code.function, job) for job in reversed(self.my_jobs))
        return Functions({name: job for name, job in mine if name})

    def _jobs(self, seen: Iterable[Seen]) -> Jobs:
        return Jobs([Job(self._desk, one) for one in seen if not one.is_change])

    def job(self, name: str) -> Job:
        """A job by its uid, or the last part of it."""
        return Job(self._desk, self._desk.find(name))

    # asking

    def submit_folder(
        self,
        path: str | Path,
        name: str | None = None,
        *,
        datasets: Sequence[str | Dataset] = (),
        **about: Unpack[About],
    ) -> Job:
        """Ask for a folder with a run.sh, main.py or job.yaml to be run; the job.

        Whoever may read the site's repository may read your request.
        """
        said = {"datasets": requests.names(self._known(datasets)), **about}
        return self._send(requests.folder(path, name, self._desk.view.policy, said))

    def submit_python(
        self,
        code: str | Path,
        name: str = "Python job",
        *,
        datasets: Sequence[str | Dataset] = (),
        requirements: Requirements = (),
        **about: Unpack[About],
    ) -> Job:
        """Ask for a Python program to be run, text or file. It finds assets at `$GITQUEUE_DATA/<dataset>/<file>`, and
        what it writes to `$GITQUEUE_OUTPUT` may come back; the job."""
        return self._send(self._script(name, "main.py", code, datasets, requirements, about))

    def submit_shell(
        self,
        code: str | Path,
        name: str = "Shell job",
        *,
        datasets: Sequence[str | Dataset] = (),
        **about: Unpack[About],
    ) -> Job:
        """Ask for a shell script to be run, text or file; the job."""
        return self._send(self._script(name, "run.sh", code, datasets, (), about))

    def submit(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        requirements: Requirements | None = None,
        about: About | None = None,
        **inputs: Asset,
    ) -> Job:
        """Ask for a function to be called with assets, `site.submit(f, features=asset)`; the job, whose `result()` is
        what it returned."""
        made = requests.made(function, inputs, requirements)
        return self._send(made.draft(name or made.name, self._desk.view.policy, about or {}))

    def submit_many(self, drafts: Iterable[tuple[str, str | Path]], **about: Unpack[About]) -> Jobs:
        """Ask for many Python programs at once, each (name, code), 250 to a push; the jobs. All are judged
        before the first is sent."""
        return self._send_all([self._script(name, "main.py", code, (), (), about) for name, code in drafts])

    def _script(
        self,
        name: str,
        file: str,
        code: str | Path,
        datasets: Sequence[str | Dataset],
        wanted: Requirements,
        about: Mapping[str, Any],
    ) -> Draft:
        held = requests.requirements(wanted, self._desk.view.policy) if wanted else {}
        return requests.script(
            name, file, code, {"datasets": requests.names(self._known(datasets)), **about, "files": held}
        )

    def _known(self, named: Sequence[str | Dataset]) -> list[Dataset]:
        """The datasets by name, title, or themselves. Raises Mistake for what is none."""
        if isinstance(named, str | Dataset):
            named = [named]
        catalogue = self.datasets if named else None
        return [one if isinstance(one, Dataset) else catalogue[one] for one in named if catalogue is not None]

    def _send(self, draft: Draft) -> Job:
        return self._send_all([draft])[0]

    def _send_all(self, drafts: Sequence[Draft]) -> Jobs:
        me = self._desk.must_be_known()
        queue = self._desk.queue
        taken = {ref.job.name for ref in queue.refs(Kind.REQUEST, Kind.RESULT) if ref.job and ref.job.requester == me}
        root = queue.objects.commit(queue.approved).tree
        taken |= {entry.name for entry in queue.objects.folder(root, f"jobs/{me}")}
        wanted = []
        for draft in drafts:
            wanted.append(submit.Request(JobId(me, _free(draft.name, taken)), draft.files, f"Ask for {draft.name}"))
            taken.add(wanted[-1].job.name)
        submit.send(self._desk.clone, wanted)
        now = {seen.id: seen for seen in self._desk.queue.jobs(me)}
        return Jobs([Job(self._desk, now[one.job]) for one in wanted])

    # governing, for owners

    def add_dataset(
        self,
        title: str,
        assets: Mapping[str, NewAsset],
        *,
        name: str | None = None,
        description: str = "",
        identifiers: Sequence[str] = (),
    ) -> Dataset:
        """Publish a dataset with its mock data, as one signed commit; its real data stay on this machine, where they
        are bound: a file where it lies, anything else written below the site's folder, for jobs alone to read.

        `assets`: name -> {"data": …, "mock": …}, each a frame, an array, plain values or a file's path; mock data are
        public to everybody of the site. `identifiers`: columns that never leave.
        """
        named = name or slug(title)
        held = {asset: datasets.files(asset, one) for asset, one in assets.items()}
        wanted = govern.NewDataset(
            named, title, description, {a: one.mock for a, one in held.items()}, tuple(identifiers)
        )
        self._change(f"Add the dataset {named}", lambda queue: govern.add_dataset(queue, wanted))
        here = self._desk.here
        if here is None:
            print(f"gitqueue: the operator binds the real data, at the site: gitqueue dataset bind {named} ASSET=PATH")
        else:
            operate.bind(here, named, {asset: datasets.keep(here, named, one) for asset, one in held.items()})
        return self.datasets[named]

    @property
    def people(self) -> dict[str, dict[str, Any]]:
        """Who is of this site: name -> roles and e-mail."""
        people = self._desk.view.people
        return {name: {"roles": list(one.roles), "email": one.email} for name, one in people.items()}

    def add_person(
        self,
        name: str,
        *,
        key: str | Path | None = None,
        email: str | None = None,
        roles: Sequence[str] = ("requester",),
    ) -> None:
        """Let somebody in, as one signed commit; `key`: their public key, a line or a .pub file."""
        line = None if key is None else identity.public_key(str(key))
        person = govern.NewPerson(name, line, tuple(roles), email=email)
        self._change(f"Add {name}", lambda queue: govern.add_person(queue, person))

    def set_policy(self, **values: str | int) -> None:
        """Change site.yaml, as one signed commit; a key below another by two underscores, as limits__time='2h'."""
        named = {name.replace("__", "."): str(value) for name, value in values.items()}
        self._change(f"Set {', '.join(named)}", lambda queue: govern.set_policy(queue, named))

    def _change(self, message: str, files: Callable[[Any], govern.Files]) -> None:
        self._desk.must_own("a change of the site")
        said = govern.change(self._desk.clone, message, files).answer
        if said and "another owner" in said:
            print(said)


def _free(name: str, taken: set[str]) -> str:
    """A name for a job that no job had before."""
    base = slug(name)
    return next(
        one
        for number in range(1, len(taken) + 2)
        if (one := base if number == 1 else f"{base[:56]}-{number}") not in taken
    )


def connect(site: str | Path, key: str | Path | None = None, *, root: str | None = None) -> Site:
    """A site by its URL, its folder, or its name on this machine; cloned at `$GITQUEUE_HOME` where it was not yet.

    `key`: the private key that you sign with, where it is not git's. `root`: what the site's chain must begin with, as
    its owners tell; without it, the server is trusted the first time.
    """
    found = places.site(str(site))
    url = str(found.repository) if found else str(site)
    if found is None and ":" not in url and not Path(url).expanduser().exists():
        raise Mistake(f"there is no site {url!r} here", step="gq.connect('ssh://site@host/srv/name/site.git')")
    url = url if ":" in url else str(Path(url).expanduser().absolute())
    me = identity.of_git(places.home() / "keys" / "id_ed25519", key)
    tell(me)
    found_ = Site(at(url, places.desk(url, me.line), me, root))
    if found_.me is None:
        print("gitqueue: this site does not know your signing key yet; send an owner this line:")
        line = " ".join(me.line.split()[:2])
        print(f"  site.add_person({slug(me.name)!r}, email={me.email!r}, key={line!r})")
    return found_


def at(url: str, folder: Path, me: Identity, root: str | None = None) -> Desk:
    """A person's desk at a site, cloned where it is not there yet."""
    if not (folder / ".git").exists():
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        enter.clone(url, folder, root, me.settings)
    desk = Desk(folder)
    desk.clone.configure(me.settings)
    CONNECTED[folder] = Site(desk)
    return desk


CONNECTED: dict[Path, Site] = {}  # of this process, in the order in which they were connected to


def tell(me: Identity) -> None:
    """What was made for somebody, so that they know of it."""
    for made in me.made:
        print(f"gitqueue: made {made}, which git did not know")
