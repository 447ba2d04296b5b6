"""Govern: owners change people, datasets and policy, each as one signed commit on `approved`."""

import datetime
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gitqueue import refs
from gitqueue.adapters.clone import Clone
from gitqueue.adapters.edit import edit
from gitqueue.adapters.history import PEOPLE, SIGNERS, SITE, History
from gitqueue.adapters.queue import REMOTE, Queue
from gitqueue.errors import GitqueueError, Mistake
from gitqueue.model import FILE
from gitqueue.refs import JobId
from gitqueue.rules import policy
from gitqueue.rules.authority import RECOVERY
from gitqueue.rules.documents import Faulty, nearest

_TRIES = 3


@dataclass(frozen=True, slots=True)
class Changed:
    """A site change that was made: its commit, and what the site answered (None: it was not pushed)."""

    commit: str
    answer: str | None


Files = Mapping[str, tuple[int, bytes]]


def change(clone: Clone, message: str, files: Callable[[Queue], Files], push: bool = True) -> Changed:
    """Make one signed commit on top of origin's `approved`, and push it. Raises with every reason, before anything is
    made, where the site would not be sound afterwards."""
    for attempt in range(_TRIES):
        if push:
            clone.fetch()
        queue = Queue(History(clone.objects()), REMOTE)
        tip = queue.approved
        tree = queue.objects.put_files(queue.objects.commit(tip).tree, files(queue))
        commit = clone.commit_tree(tree, [tip], message)
        faults = History(clone.objects()).site_faults(commit)
        if faults:
            raise Mistake(*faults, step="nothing was changed")
        if not push:
            clone.git("update-ref", "refs/heads/approved", commit)
            return Changed(commit, None)
        proposed = _proposed(clone, queue, message, commit)
        try:
            answer = clone.push(f"{commit}:{refs.request(proposed) if proposed else refs.APPROVED}")
        except GitqueueError:
            clone.fetch()
            if attempt + 1 == _TRIES or Queue(History(clone.objects()), REMOTE).approved == tip:
                raise
            continue
        clone.fetch()
        clone.follow_approved()
        more = f"\nanother owner says yes to it: gitqueue approve {proposed}" if proposed else ""
        return Changed(commit, answer + more)
    raise AssertionError("the last try returns or raises")


def _proposed(clone: Clone, queue: Queue, message: str, commit: str) -> JobId | None:
    """The request that a change becomes where policy asks for more owners than one; None where it may go at once."""
    if queue.history.site(queue.approved).policy.approvals < 2:
        return None
    held = queue.people.holder(policy.key_parts(clone.signing_key())[1])
    if held is None:
        raise Mistake("this site does not know your signing key", step="an owner adds it: gitqueue person add")
    if RECOVERY in held[1].roles:
        return None
    words = re.sub(r"[^a-z0-9]+", "-", message.lower()).strip("-")[:40]
    return JobId(held[0], f"{words}-{commit[:7]}")


@dataclass(frozen=True, slots=True)
class NewPerson:
    """Somebody to add, or a further key of somebody who is there."""

    name: str
    key: str | None
    roles: tuple[str, ...]
    email: str | None = None
    affiliation: str | None = None
    since: str | None = None
    until: str | None = None
    seal: str | None = None


def add_person(queue: Queue, person: NewPerson) -> Files:
    """people.yaml with the person, and allowed_signers that agrees."""

    def alter(people: Any) -> None:
        entry = people.setdefault(person.name, {"roles": list(person.roles)})
        for name in ("email", "affiliation", "seal"):
            if getattr(person, name):
                entry[name] = getattr(person, name)
        days = {"from": _day(person.since), "until": _day(person.until)}
        if person.key:
            entry.setdefault("keys", []).append({"key": person.key, **{name: day for name, day in days.items() if day}})
        entry["roles"] = [*entry["roles"], *(role for role in person.roles if role not in entry["roles"])]

    return _with_signers(edit(_read(queue, PEOPLE), alter))


def revoke(queue: Queue, name: str, day: str, fingerprints: tuple[str, ...]) -> Files:
    """people.yaml with a person's keys (all, or some) revoked from a day on."""
    person = queue.people.get(name)
    if person is None:
        raise Mistake(f"there is no person {name!r} here{nearest(name, queue.people)}", step="gitqueue person list")

    def alter(people: Any) -> None:
        for key in people[name]["keys"]:
            if not fingerprints or policy.fingerprint(policy.key_parts(key["key"])[1]) in fingerprints:
                key["revoked"] = _day(day)

    return _with_signers(edit(_read(queue, PEOPLE), alter))


@dataclass(frozen=True, slots=True)
class Made:
    """One approval that a person's key made: the job, when, and where the job stands now."""

    job: JobId
    at: str
    state: str


def approvals_by(queue: Queue, name: str, since: str) -> list[Made]:
    """The approvals that a person signed since a day, newest first."""
    start = datetime.datetime.combine(_day(since), datetime.time(), datetime.UTC).timestamp()
    found = []
    for commit in map(queue.objects.commit, queue.objects.first_parents(queue.approved)):
        if len(commit.parents) != 2 or commit.date < start:
            continue
        signer = queue.history.signed(commit.id, queue.history.people(commit.parents[0])).signer
        before = queue.objects.commit(commit.parents[0]).tree
        folders = [path for path in queue.objects.changes(before, commit.tree, 3) if path.startswith("jobs/")]
        if signer and signer.name == name and folders:
            job = refs.job_id(folders[0].removeprefix("jobs/"))
            day = datetime.datetime.fromtimestamp(commit.date, datetime.UTC).date()
            found.append(Made(job, day.isoformat(), str(queue.job(job).state)))
    return found


def _with_signers(people: bytes) -> Files:
    signers = policy.allowed_signers(policy.parse_people(people)).encode()
    return {PEOPLE: (FILE, people), SIGNERS: (FILE, signers)}


def set_policy(queue: Queue, values: Mapping[str, str]) -> Files:
    """site.yaml with some values changed, each named by its path (`limits.time`)."""

    def alter(site: Any) -> None:
        for path, value in values.items():
            *above, last = path.split(".")
            place = site
            for name in above:
                place = place.setdefault(name, {})
            place[last] = _value(value)

    data = edit(_read(queue, SITE), alter)
    policy.parse_site(data)
    return {SITE: (FILE, data)}


@dataclass(frozen=True, slots=True)
class NewDataset:
    """A dataset to publish: asset name -> its mock file's name and bytes."""

    name: str
    title: str
    description: str
    mocks: Mapping[str, tuple[str, bytes]]
    identifiers: tuple[str, ...] = ()


def add_dataset(queue: Queue, dataset: NewDataset) -> Files:
    """datasets/<name>/: its description and its mock data."""
    folder = f"datasets/{dataset.name}"
    if queue.objects.at(queue.objects.commit(queue.approved).tree, folder):
        raise Mistake(f"there is a dataset {dataset.name!r} already", step=f"gitqueue dataset show {dataset.name}")
    if not dataset.mocks:
        raise Mistake("a dataset needs mock data, which requesters write their code against", step="--mock NAME=FILE")
    assets = {asset: {"mock": f"mock/{file}"} for asset, (file, _) in dataset.mocks.items()}
    text: dict[str, Any] = {"title": dataset.title, "description": dataset.description, "assets": assets}
    if dataset.identifiers:
        text["identifiers"] = list(dataset.identifiers)
    data = edit(b"{}\n", lambda document: document.update(text))
    policy.parse_dataset(data, dataset.name)
    mocks = {f"{folder}/mock/{file}": (FILE, content) for file, content in dataset.mocks.values()}
    return {f"{folder}/dataset.yaml": (FILE, data), **mocks}


def _read(queue: Queue, path: str) -> bytes:
    data = queue.objects.file(queue.objects.commit(queue.approved).tree, path)
    if data is None:
        raise Faulty(f"there is no {path} on approved")
    return data


def _day(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return datetime.date.fromisoformat(text)
    except ValueError as error:
        raise Mistake(f"{text!r} is no day", step="write it as 2026-01-31") from error


def _value(text: str) -> Any:
    """A value as the command line has it: a list in brackets, a whole number, or text."""
    if text.startswith("[") and text.endswith("]"):
        return [word.strip() for word in text[1:-1].split(",") if word.strip()]
    return int(text) if text.isdecimal() else text
