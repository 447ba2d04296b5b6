"""Submit: a requester's job folder, from a template to a signed request at the site."""

import hashlib
import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from gitqueue import refs
from gitqueue.adapters import environment, resources
from gitqueue.adapters.clone import Clone
from gitqueue.adapters.history import History, SiteView
from gitqueue.adapters.queue import REMOTE, Queue
from gitqueue.adapters.render import template
from gitqueue.errors import Mistake, No
from gitqueue.refs import JobId, Kind
from gitqueue.rules import manifest, notes, submission
from gitqueue.rules.authority import REQUESTER
from gitqueue.rules.documents import nearest
from gitqueue.rules.lifecycle import Decision
from gitqueue.rules.policy import Person, key_parts
from gitqueue.rules.tree import File

_BRANCH = "requests/"


def me(clone: Clone, queue: Queue) -> Person:
    """Who holds my signing key at this site. Raises Mistake with the line that an owner needs to add me."""
    line = clone.signing_key()
    held = queue.people.holder(key_parts(line)[1])
    if held is None:
        email = clone.config("user.email") or "YOU@EXAMPLE"
        raise Mistake(
            "this site does not know your signing key",
            step=f"send an owner this line: gitqueue person add NAME --email {email} --key '{line}'",
        )
    return held[1]


def current_job(clone: Clone) -> JobId | None:
    """The job of the current branch, or None."""
    branch = clone.branch
    return refs.job_id(branch.removeprefix(_BRANCH)) if branch.startswith(_BRANCH) else None


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to begin: its name, the datasets that it needs, the template that it starts from."""

    name: str
    datasets: Sequence[str]
    template: str


def new(clone: Clone, wanted: NewJob) -> Path:
    """A new branch from origin's `approved` with the job's folder, ready to be edited; the folder."""
    queue = Queue(History(clone.objects()), REMOTE)
    person = me(clone, queue)
    if REQUESTER not in person.roles:
        raise Mistake(f"{person.name} is no requester of this site", step="ask an owner to give you the role")
    job = refs.job_id(f"{person.name}/{wanted.name}")
    site = queue.history.site(queue.approved)
    _must_be_new(clone, queue, job)
    _must_be_known(wanted.datasets, site)
    clone.git("switch", "--quiet", "-c", f"{_BRANCH}{job}", "--no-track", "refs/remotes/origin/approved")
    folder = clone.path / job.folder
    _write_template(folder, wanted, site)
    return folder


def _must_be_new(clone: Clone, queue: Queue, job: JobId) -> None:
    taken = queue.job(job)
    if taken.revision or taken.approved or taken.results:
        raise Mistake(f"there is a job {job} already", step="choose another name: a job's name is used once")
    if clone.git("rev-parse", "--verify", "-q", f"refs/heads/{_BRANCH}{job}", ok=(0, 1)).strip():
        raise Mistake(f"there is a branch {_BRANCH}{job} already", step=f"git switch {_BRANCH}{job}")


def _must_be_known(datasets: Sequence[str], site: SiteView) -> None:
    unknown = [
        f"there is no dataset {name!r}{nearest(name, site.datasets)}" for name in datasets if name not in site.datasets
    ]
    if unknown:
        raise Mistake(*unknown, step="gitqueue datasets")


def templates() -> list[str]:
    return sorted(folder.name for folder in (resources.folder("templates") / "job").iterdir() if folder.is_dir())


def _write_template(folder: Path, wanted: NewJob, site: SiteView) -> None:
    source = resources.folder("templates") / "job" / wanted.template
    first = wanted.datasets[0] if wanted.datasets else ""
    files = [Path(spec.mock).name for spec in site.datasets[first].assets.values()] if first else []
    inputs = {_parameter(asset): f"{first}/{asset}" for asset in site.datasets[first].assets} if first else {}
    values = {
        "name": wanted.name,
        "datasets": list(wanted.datasets),
        "dataset": first,
        "assets": files,
        "inputs": inputs,
    }
    folder.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        text = template(f"job/{wanted.template}/{path.name}").render(**values)
        (folder / path.name).write_text(text)


def _parameter(asset: str) -> str:
    """An asset's name as a parameter of a function: what Python does not take as a name, it does with this before."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", asset)
    return name if name.isidentifier() and not keyword.iskeyword(name) else f"asset_{name}"


# check


def files(clone: Clone, queue: Queue, job: JobId) -> tuple[tuple[File, ...], tuple[str, ...]]:
    """The working files of a job as a commit would hold them, or why they cannot be looked at."""
    snapshot = clone.snapshot(job.folder)
    folder = queue.objects.at(snapshot, job.folder)
    if folder is None:
        return (), (f"there is no folder {job.folder}/ with files in it: gitqueue new {job.name}",)
    return queue.history.files(folder.id, queue.history.site(queue.approved).policy)


def check(clone: Clone, queue: Queue, job: JobId) -> tuple[str, ...]:
    """All reasons why the site would refuse the working files of a job: the gate's own rules, at home."""
    found, refused = files(clone, queue, job)
    site = queue.history.site(queue.approved)
    return refused or submission.judge(found, job, site.policy, site.datasets)


def fix(clone: Clone, queue: Queue, job: JobId) -> list[str]:
    """Write the lock of the job's requirements, with hashes; what was done."""
    folder = clone.path / job.folder
    job_yaml = folder / "job.yaml"
    asked = manifest.read(job, job_yaml.read_bytes() if job_yaml.exists() else None, _bytes(folder / "run.sh"))
    if asked.environment is None:
        return ["the job names no environment: nothing to lock"]
    target = folder / asked.environment
    source = target.with_suffix(".in")
    wanted = _bytes(source) or _bytes(target)
    if wanted is None:
        raise Mistake(f"there is no {asked.environment} in {job.folder}", step="write your packages there, a line each")
    python = queue.history.site(queue.approved).policy.dependencies.python
    locked = environment.compile_lock(wanted, python)
    if not source.exists():
        source.write_bytes(wanted)
    target.write_bytes(locked)
    return [f"locked {target.relative_to(clone.path)} with hashes, from {source.relative_to(clone.path)}"]


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


# submit


@dataclass(frozen=True, slots=True)
class Submitted:
    job: JobId
    commit: str
    answer: str


def submit(clone: Clone, job: JobId, message: str) -> Submitted:
    """Commit the job's folder, signed, and push it as the request. Raises No with every reason of `check` first."""
    clone.fetch()
    queue = Queue(History(clone.objects()), REMOTE)
    person = me(clone, queue)
    if person.name != job.requester:
        raise Mistake(f"this branch is {job.requester}'s, and you are {person.name}", step=f"gitqueue new {job.name}")
    reasons = check(clone, queue, job)
    if reasons:
        raise No(*reasons, step="mend it, then gitqueue submit again")
    known = queue.job(job).revision
    clone.git("add", "--all", "--", job.folder)
    if clone.git("status", "--porcelain", "--", job.folder).strip():
        clone.git("commit", "--quiet", "-S", "-m", message or _subject(queue, job, known), "--", job.folder)
    head = clone.git("rev-parse", "HEAD").strip()
    if head == known:
        raise Mistake(f"{job} is at the site as it is here", step="change something, then gitqueue submit again")
    # Only over what we saw: somebody else's push in between is not lost.
    lease = f"--force-with-lease={refs.request(job)}:{known or ''}"
    answer = clone.push("--atomic", lease, f"{head}:{refs.request(job)}", *_tested(clone, queue, job, head))
    clone.fetch()
    return Submitted(job, head, answer)


@dataclass(frozen=True, slots=True)
class Request:
    """A request to send: its job, its files (path below the folder -> git's mode, bytes), the commit's message."""

    job: JobId
    files: Mapping[str, tuple[int, bytes]]
    message: str


def send(clone: Clone, wanted: Sequence[Request]) -> str:
    """New requests whose files lie in no working folder, each a signed commit, as many to a push as a site takes.

    The site's answers. Raises No or Mistake with every reason before anything is pushed. Of one push, all arrive or
    none.
    """
    clone.fetch()
    queue = Queue(History(clone.objects()), REMOTE)
    person = me(clone, queue)
    if REQUESTER not in person.roles:
        raise Mistake(f"{person.name} is no requester of this site", step="ask an owner to give you the role")
    known = {ref.job for ref in queue.refs(Kind.REQUEST, Kind.RESULT)}
    taken = [f"there is a job {one.job} already" for one in wanted if one.job in known]
    if taken:
        raise Mistake(*taken, step="choose another name: a job's name is used once")
    tip, root = queue.approved, queue.objects.commit(queue.approved).tree
    with queue.objects.together():
        trees = [_put(queue, root, one) for one in wanted]
    named = [(tree, one.message) for tree, one in zip(trees, wanted, strict=True)]
    commits = clone.commit_trees(queue.objects, named, tip)
    tips = iter([(refs.request(one.job), at) for one, at in zip(wanted, commits, strict=True)])
    parts = iter(lambda: dict(islice(tips, submission.MOST_REFS)), {})
    return "\n".join(clone.push_new(part) for part in parts)


def revise(clone: Clone, wanted: Request, known: str) -> str:
    """A further revision of one's request, on top of the revision `known`, its files in the place of those; the site's
    answer. Raises No or Mistake with every reason before anything is pushed."""
    clone.fetch()
    queue, job = Queue(History(clone.objects()), REMOTE), wanted.job
    person, there = me(clone, queue), queue.job(job)
    if person.name != job.requester:
        raise Mistake(f"{job} is {job.requester}'s, and you are {person.name}", step="say in a comment what to change")
    if there.revision != known:
        raise Mistake(f"{job} has changed since you got hold of it", step="take it anew from the list")
    if there.approved:
        raise Mistake(f"{job} was approved and takes nothing more", step="changed code is a new job: submit it")
    before = queue.objects.commit(known).tree
    tree = _put(queue, queue.objects.graft(before, job.folder, None), wanted)
    if tree == before:
        raise Mistake(f"{job} is at the site as it is here", step="change something, then revise it again")
    commit = clone.commit_tree(tree, [known], wanted.message)
    answer = clone.push(f"--force-with-lease={refs.request(job)}:{known}", f"{commit}:{refs.request(job)}")
    clone.fetch()
    return answer


def _put(queue: Queue, root: str, wanted: Request) -> str:
    """A tree without the request's folder, with its files in it. Raises No where the site would refuse them."""
    files = {f"{wanted.job.folder}/{path}": held for path, held in wanted.files.items()}
    tree = queue.objects.put_files(root, files)
    folder = queue.objects.at(tree, wanted.job.folder)
    site = queue.history.site(queue.approved)
    found, refused = queue.history.files(folder.id, site.policy) if folder else ((), ("the request holds no files",))
    reasons = refused or submission.judge(found, wanted.job, site.policy, site.datasets)
    if reasons:
        raise No(*reasons, step="mend it, and submit it again")
    return tree


def _tested(clone: Clone, queue: Queue, job: JobId, head: str) -> list[str]:
    """What to push beside: a signed word on what these very files wrote here on mock data, where they were run."""
    tree = clone.objects().commit(head).tree
    folder = clone.objects().at(tree, job.folder)
    told = clone.recall(f"tested/{folder.id}") if folder else None
    if told is None:
        return []
    digest = hashlib.sha256(told.encode()).hexdigest()
    former = queue.ref(refs.review(job))
    parents = [head, former] if former else [head]
    values = {"Decision": Decision.COMMENT, "Revision": head, "Tested": digest}
    message = notes.compose(f"Ran at home on mock data, and wrote\n\n{told}", values)
    return [f"{clone.commit_tree(tree, parents, message)}:{refs.review(job)}"]


def _subject(queue: Queue, job: JobId, known: str | None) -> str:
    return f"Revise {job.name}" if known else f"Ask for {job.name}"
