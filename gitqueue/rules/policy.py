"""What owners and the operator write: site.yaml, people.yaml, dataset.yaml and runner.yaml.

A key is accepted only once something obeys it: a new one is a line in its struct, beside the code that obeys it.
Shapes are judged by the parse functions, what must agree across values by `judge_site`.
"""

import base64
import binascii
import calendar
import datetime
import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gitqueue import refs
from gitqueue.errors import Mistake
from gitqueue.rules.documents import Bytes, Faulty, Seconds, capped, parse, path_faults, quote, text_faults

SITE = ".gitqueue/site.yaml"
PEOPLE = ".gitqueue/people.yaml"
RUNNER = "private/runner.yaml"

Count = Annotated[int, Meta(ge=1, le=1_000_000, description="a whole number from 1 to 1000000")]
Port = Annotated[int, Meta(ge=1, le=65535, description="a port from 1 to 65535")]
Cores = Annotated[float, Meta(gt=0, le=4096, description="a number of cores, as in 2 or 0.5")]
SiteName = Annotated[str, Meta(pattern=rf"\A{refs.NAME.pattern}\Z", description="a name of a-z, 0-9 and -")]
Package = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?\Z", description="a package")]
Python = Annotated[str, Meta(pattern=r"\A3\.[0-9]{1,2}\Z", description="a version of Python, as in 3.11")]
Suffix = Annotated[str, Meta(pattern=r"\A\.[a-z0-9]{1,16}\Z", description="a suffix in lower case, as in .csv")]
Root = Annotated[str, Meta(pattern=rf"\A{refs.COMMIT.pattern}\Z", description="a commit's id of 40 hex digits")]
Print = Annotated[str, Meta(pattern=r"\ASHA256:[A-Za-z0-9+/]{43}\Z", description="a fingerprint, SHA256:…")]
HostPath = Annotated[str, Meta(pattern=r"\A/[^\x00-\x1f\x7f]*\Z", description="an absolute path")]
# Credentials in a URL show in lists of processes and in logs; `ext::` and options run programs.
Remote = Annotated[
    str,
    Meta(
        pattern=r"\A(?:https?://[A-Za-z0-9._-]+(?::[0-9]+)?/|ssh://[A-Za-z0-9@._-]+(?::[0-9]+)?/|"
        r"[A-Za-z0-9_][A-Za-z0-9._-]*@[A-Za-z0-9._-]+:|/)[A-Za-z0-9._/~+-]+\Z",
        description="a URL of https or ssh without a password in it, as in git@github.com:centre/site.git",
    ),
]
SlurmWord = Annotated[
    str, Meta(pattern=r"\A[A-Za-z0-9_][A-Za-z0-9_.,@-]{0,200}\Z", description="a name known to Slurm")
]
SlurmOption = Annotated[
    str,
    Meta(
        pattern=r"\A--[a-z][a-z-]{1,40}(=[^\x00-\x1f\x7f]{1,400})?\Z",
        description="an option of sbatch, as in --gres=gpu:1",
    ),
]
Role = Literal["owner", "requester", "runner", "recovery"]


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mapping of YAML that takes the keys below and no others."""


# --- site.yaml ---


class Requests(Strict, frozen=True, kw_only=True):
    """`size` and `files` of one request; `open` requests of one requester."""

    size: Bytes = Bytes(10 * 2**20)
    files: Count = 500
    open: Count = 20


class Caps(Strict, frozen=True, kw_only=True):
    """The most that one run may ask for; what it gets where it asks for nothing."""

    time: Seconds = Seconds(3600)
    memory: Bytes = Bytes(8 * 2**30)
    cpus: Cores = 2
    processes: Count = 128
    output: Bytes = Bytes(50 * 2**20)
    output_files: Count = 100


class Dependencies(Strict, frozen=True, kw_only=True):
    policy: Literal["none", "locked", "any"] = "locked"
    python: Python = "3.11"
    allow: tuple[Package, ...] = ("numpy", "pandas", "scipy", "scikit-learn", "matplotlib")


class OutputRules(Strict, frozen=True, kw_only=True):
    """What the disclosure checks go by; docs/disclosure.md says where the numbers come from.

    `rows` of one table; `min_count` people behind a number; `unique_rows`: from so many on, a column that differs in
    nearly every row is a list of people; `rounding`: of what counts must be multiples, 1 where they may be exact.
    """

    types: tuple[Suffix, ...] = (".csv", ".json", ".txt", ".md", ".png", ".npy", ".html")
    rows: Count = 5000
    min_count: Count = 10
    unique_rows: Count = 50
    rounding: Count = 1


class Rehearsal(Strict, frozen=True, kw_only=True):
    """The most that a run on mock data gets."""

    time: Seconds = Seconds(600)
    memory: Bytes = Bytes(4 * 2**30)


class Quota(Strict, frozen=True, kw_only=True):
    """Per requester."""

    running: Count = 2
    runs_per_day: Count = 50
    rehearsals_per_day: Count = 20


class Policy(Strict, frozen=True, kw_only=True):
    """`.gitqueue/site.yaml`."""

    site: SiteName
    approvals: Count = 1
    release: Literal["auto", "review"] = "auto"
    results: Literal["sealed", "plain"] = "sealed"
    rehearse: Literal["auto", "manual"] = "auto"
    rehearsal: Rehearsal = Rehearsal()
    retention: Seconds = Seconds(90 * 86400)
    requests: Requests = Requests()
    limits: Caps = Caps()
    dependencies: Dependencies = Dependencies()
    outputs: OutputRules = OutputRules()
    quota: Quota = Quota()
    risky_tags: tuple[str, ...] = ("raw-data", "individual-records", "export")


def parse_site(data: bytes, name: str = SITE) -> Policy:
    return parse(data, Policy, name)


# --- people.yaml ---


class Key(Strict, frozen=True, kw_only=True):
    """An SSH public key and its days, all in UTC: from 00:00 of `from`, until 00:00 of `until` or `revoked`."""

    key: str
    since: datetime.date | None = msgspec.field(default=None, name="from")
    until: datetime.date | None = None
    revoked: datetime.date | None = None

    @property
    def since_at(self) -> float:
        return _midnight(self.since) if self.since else -math.inf

    @property
    def until_at(self) -> float:
        return _midnight(self.until) if self.until else math.inf

    @property
    def revoked_at(self) -> float:
        return _midnight(self.revoked) if self.revoked else math.inf

    def valid_at(self, seconds: float) -> bool:
        """Whether the key counts at a time in seconds since 1970."""
        return self.since_at <= seconds < min(self.until_at, self.revoked_at)

    @property
    def blob(self) -> bytes:
        """The key's wire form. Raises Faulty."""
        return key_parts(self.key)[1]


def _midnight(day: datetime.date) -> float:
    return float(calendar.timegm(day.timetuple()))


class Entry(Strict, frozen=True, kw_only=True):
    """What people.yaml says of one person."""

    roles: tuple[Role, ...]
    email: str | None = None
    affiliation: str = ""
    keys: tuple[Key, ...] = ()
    seal: str | None = None


class Person(Entry, frozen=True, kw_only=True):
    name: str


@dataclass(frozen=True, eq=False)
class People(Mapping[str, Person]):
    """`.gitqueue/people.yaml`, in its order."""

    by_name: Mapping[str, Person]

    def __getitem__(self, name: str) -> Person:
        return self.by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_name)

    def __len__(self) -> int:
        return len(self.by_name)

    def holder(self, blob: bytes) -> tuple[str, Person, Key] | None:
        """Whose key this is, whether or not it still counts."""
        return self._holders.get(blob)

    @cached_property
    def _holders(self) -> dict[bytes, tuple[str, Person, Key]]:
        held: dict[bytes, tuple[str, Person, Key]] = {}
        for person, key, blob in _readable(self):
            held.setdefault(blob, (person.name, person, key))
        return held


def parse_people(data: bytes, name: str = PEOPLE) -> People:
    entries = parse(data, dict[str, Entry], name)
    return People({who: Person(name=who, **msgspec.structs.asdict(entry)) for who, entry in entries.items()})


def _readable(people: People) -> Iterator[tuple[Person, Key, bytes]]:
    """Every key that can be read; `judge_site` names those that cannot."""
    for person in people.values():
        for key in person.keys:
            try:
                yield person, key, key.blob
            except Faulty:
                continue


# --- public keys ---

_POINTS = {b"nistp256": 65, b"nistp384": 97, b"nistp521": 133}
RSA_BITS = range(3072, 16385)


def _ed25519(fields: list[bytes]) -> bool:
    return len(fields) == 1 and len(fields[0]) == 32


def _rsa(fields: list[bytes]) -> bool:
    if len(fields) != 2 or not all(map(_positive, fields)):
        return False
    exponent = int.from_bytes(fields[0])  # 1 would let everybody sign; a huge one costs whoever verifies
    return exponent % 2 == 1 and 3 <= exponent < 2**64


def _positive(number: bytes) -> bool:
    """A whole number in its one shortest form: a padded copy would be the same key under other bytes."""
    return bool(number) and number[0] < 128 and (number[0] > 0 or number[1:2] >= b"\x80")


def _ecdsa(curve: bytes) -> Callable[[list[bytes]], bool]:
    def fits(fields: list[bytes]) -> bool:
        return len(fields) == 2 and fields[0] == curve and len(fields[1]) == _POINTS[curve] and fields[1][0] == 4

    return fits


def _hardware(inner: Callable[[list[bytes]], bool]) -> Callable[[list[bytes]], bool]:
    return lambda fields: bool(fields and fields[-1]) and inner(fields[:-1])


_KINDS: dict[str, Callable[[list[bytes]], bool]] = {
    "ssh-ed25519": _ed25519,
    "ssh-rsa": _rsa,
    "ecdsa-sha2-nistp256": _ecdsa(b"nistp256"),
    "ecdsa-sha2-nistp384": _ecdsa(b"nistp384"),
    "ecdsa-sha2-nistp521": _ecdsa(b"nistp521"),
    "sk-ssh-ed25519@openssh.com": _hardware(_ed25519),
    "sk-ecdsa-sha2-nistp256@openssh.com": _hardware(_ecdsa(b"nistp256")),
}


def key_parts(text: str) -> tuple[str, bytes, str]:
    """Type, wire form and comment of a public key as `ssh-keygen` writes it. Raises Faulty."""
    kind, _, rest = text.partition(" ")
    body, _, comment = rest.partition(" ")
    if tuple(text_faults("key", text, 16_384)):
        raise Faulty(f"key {quote(text)} is not one clean line; paste the one line of the .pub file")
    if kind not in _KINDS:
        raise Faulty(f"key {quote(text)} is of no kind that is taken here ({', '.join(_KINDS)})")
    blob = _decoded(body)
    fields = _fields(blob)
    if not fields or fields[0] != kind.encode() or not _KINDS[kind](fields[1:]):
        raise Faulty(f"key {quote(text)} is damaged; paste the one line of the .pub file")
    if kind == "ssh-rsa" and (bits := int.from_bytes(fields[2]).bit_length()) not in RSA_BITS:
        raise Faulty(f"key {quote(text)} is RSA of {bits} bits; use 3072 to 16384 or, better, an ed25519 key")
    return kind, blob, comment


def _decoded(body: str) -> bytes:
    try:
        blob = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return blob if base64.b64encode(blob).decode() == body else b""


def _fields(blob: bytes) -> list[bytes]:
    """The length-prefixed strings of RFC 4251, or [] where a length is wrong."""
    found, at = [], 0
    while at < len(blob):
        end = at + 4 + int.from_bytes(blob[at : at + 4])
        if end > len(blob):
            return []
        found.append(blob[at + 4 : end])
        at = end
    return found


def fingerprint(blob: bytes) -> str:
    """As `ssh-keygen -l` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def allowed_signers(people: People) -> str:
    """The file for git's gpg.ssh.allowedSignersFile. What `judge_site` refuses is left out.

    The Z of a time (UTC) needs OpenSSH 9.1 at the reader's end.
    """
    lines = [_signer(person, key) for person, key, _ in _readable(people) if _principal(person)]
    return "".join(f"{line}\n" for line in ("# generated by gitqueue from people.yaml; change that", *lines))


def _signer(person: Person, key: Key) -> str:
    kind, blob, _ = key_parts(key.key)
    days = [day for day in (key.until, key.revoked) if day]
    options = ['namespaces="git"']
    if key.since:
        options.append(f'valid-after="{_stamp(key.since_at)}"')
    if days:
        # ssh-keygen 9.2 still takes a signature of the very second in valid-before: so, the second before ours
        options.append(f'valid-before="{_stamp(min(key.until_at, key.revoked_at) - 1)}"')
    return f"{_principal(person)} {','.join(options)} {kind} {base64.b64encode(blob).decode()}"


def _stamp(seconds: float) -> str:
    when = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return when.isoformat()[:19].translate({ord(one): None for one in "-:T"}) + "Z"


# allowed_signers reads principals as comma-separated patterns: none of `,*?!"#` or a space may stand in one
_EMAIL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._%+=~/-]{0,127}@[A-Za-z0-9][A-Za-z0-9.-]{0,127}")


def _principal(person: Person) -> str:
    """The e-mail if any, else the name; "" for one that could say something else in allowed_signers."""
    wanted = refs.NAME if person.email is None else _EMAIL
    who = person.name if person.email is None else person.email
    return who if wanted.fullmatch(who) else ""


# --- what must agree ---


def judge_site(policy: Policy, people: People) -> tuple[str, ...]:
    """All reasons why a site cannot go by these documents. No clock: expired keys still count here."""
    found = [reason for person in people.values() for rule in _PERSON for reason in rule(person)]
    return capped([*found, *_shared_keys(people), *_enough_owners(policy, people)])


def _name(person: Person) -> Iterator[str]:
    if not refs.NAME.fullmatch(person.name):
        yield f"person {quote(person.name)}: a name is of a-z, 0-9 and -, and begins with a letter or digit"


def _email(person: Person) -> Iterator[str]:
    if person.email is not None and not _EMAIL.fullmatch(person.email):
        yield f"{quote(person.name)}: email {quote(person.email)} is not an address, as in rachel@uni.example"


def _affiliation(person: Person) -> Iterator[str]:
    yield from text_faults(f"{quote(person.name)}: affiliation", person.affiliation, 200)


def _roles(person: Person) -> Iterator[str]:
    for alone in ("runner", "recovery"):
        others = " and ".join(sorted(set(person.roles) - {alone}))
        if alone in person.roles and others:
            yield f"{quote(person.name)} is {alone} and {others}; a {alone} has no other role: use another name"


def _key_texts(person: Person) -> Iterator[str]:
    for key in person.keys:
        try:
            key_parts(key.key)
        except Faulty as error:
            yield f"{quote(person.name)}: {error}"


def _days(person: Person) -> Iterator[str]:
    for key in person.keys:
        if key.since and key.until and key.since >= key.until:
            yield f"{quote(person.name)}: a key is from {key.since} until {key.until}; it must end later than it begins"
        if any(day and not 2000 <= day.year < 3000 for day in (key.since, key.until, key.revoked)):
            yield f"{quote(person.name)}: a key has a date outside the years 2000 to 2999"


_SEAL = re.compile(r"age1[ac-hj-np-z02-9]{58}")


def _seal(person: Person) -> Iterator[str]:
    if person.seal is not None and not _SEAL.fullmatch(person.seal):
        yield f"{quote(person.name)}: seal {quote(person.seal)} is not an age recipient; age-keygen prints one, age1…"


_PERSON = (_name, _email, _affiliation, _roles, _key_texts, _days, _seal)


def _shared_keys(people: People) -> Iterator[str]:
    """By wire form: the same key with another comment is the same key."""
    counts = Counter(blob for _, _, blob in _readable(people))
    for blob in (blob for blob, count in counts.items() if count > 1):
        names = [quote(person.name) for person, _, other in _readable(people) if other == blob]
        yield f"key {fingerprint(blob)} stands under {' and '.join(names)}; one key stands in one place only"


def _enough_owners(policy: Policy, people: People) -> Iterator[str]:
    held = _readable(people)
    able = {person.name for person, key, _ in held if "owner" in person.roles and key.revoked is None}
    if len(able) < policy.approvals:
        yield (
            f"approvals is {policy.approvals}, but owners with a key that is not revoked are"
            f" {', '.join(sorted(able)) or 'none'}; add an owner, or lower approvals"
        )


# --- dataset.yaml ---


class Asset(Strict, frozen=True, kw_only=True):
    """`mock`: a file or folder below the dataset's folder mock/."""

    mock: str
    description: str = ""


class Dataset(Strict, frozen=True, kw_only=True):
    title: str
    assets: Mapping[str, Asset]
    description: str = ""
    identifiers: tuple[str, ...] = ()


_ASSET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


def parse_dataset(data: bytes, name: str) -> Dataset:
    """`datasets/<name>/dataset.yaml`. Raises Faulty for what it says, and for a name that no job could ask for."""
    path = f"datasets/{name}/dataset.yaml"
    dataset = parse(data, Dataset, path)
    reasons = capped(_dataset_faults(name, dataset))
    if reasons:
        raise Faulty(*(f"{path}: {reason}" for reason in reasons))
    return dataset


def _dataset_faults(name: str, dataset: Dataset) -> Iterator[str]:
    if not refs.NAME.fullmatch(name):
        yield f"the folder {quote(name)} is no name of a-z, 0-9 and -; rename it"
    yield from text_faults("title", dataset.title, 200)
    yield from text_faults("description", dataset.description, 10_000, lines=True)
    for column in dataset.identifiers:
        yield from text_faults("identifier", column, 200)
    for asset, spec in dataset.assets.items():
        yield from _asset_faults(asset, spec)
    yield from _same_file(dataset)


def _asset_faults(name: str, asset: Asset) -> Iterator[str]:
    if not _ASSET.fullmatch(name):
        yield f"asset {quote(name)}: a name is of letters, digits, - and _"
    yield from path_faults(f"{quote(name)}: mock", asset.mock)
    if not asset.mock.startswith("mock/"):
        yield f"{quote(name)}: mock {quote(asset.mock)} is not below mock/; put the file there"
    yield from text_faults(f"{quote(name)}: description", asset.description, 10_000, lines=True)


def _same_file(dataset: Dataset) -> Iterator[str]:
    """Jobs see assets side by side in one folder, each by its file's name."""
    files = Counter(asset.mock.rpartition("/")[2] for asset in dataset.assets.values())
    for file in (file for file, count in files.items() if count > 1):
        yield f"two assets have a file named {quote(file)}; jobs see them in one folder, so rename one"


# --- runner.yaml ---


class LocalExecutor(Strict, frozen=True, kw_only=True, tag_field="kind", tag="local"):
    """`jobs`: how many run at once."""

    jobs: Count = 2


class SlurmExecutor(Strict, frozen=True, kw_only=True, tag_field="kind", tag="slurm"):
    """`jobs`: how many may be submitted at once, waiting ones included; `poll`: how often Slurm is asked."""

    jobs: Count = 1000
    partition: SlurmWord | None = None
    account: SlurmWord | None = None
    qos: SlurmWord | None = None
    extra: tuple[SlurmOption, ...] = ()
    poll: Seconds = Seconds(10)


Executor = LocalExecutor | SlurmExecutor

# Decided by gitqueue, or such that what runs would be another thing than one supervisor of one folder.
_DECIDED = frozenset((
    "account", "array", "chdir", "clusters", "cpus-per-task", "error", "export", "export-file", "get-user-env", "gid",
    "input", "job-name", "mem", "mem-per-cpu", "mem-per-gpu", "nodes", "ntasks", "no-requeue", "open-mode", "output",
    "parsable", "partition", "qos", "requeue", "test-only", "time", "uid", "wait", "wrap",
))  # fmt: skip


def _extra_faults(executor: Executor) -> Iterator[str]:
    for option in executor.extra if isinstance(executor, SlurmExecutor) else ():
        name = option[2:].partition("=")[0]
        if any(one.startswith(name) for one in _DECIDED):  # sbatch takes shortened names
            yield f"executor.extra: {quote(option)} is gitqueue's to decide; leave it out, or see docs/slurm.md"


class Sandbox(Strict, frozen=True, kw_only=True):
    """`user`: the account that jobs run as; None: the site's own, in its user namespace."""

    kind: Literal["bubblewrap"] = "bubblewrap"
    user: str | None = None


class OwnCaps(Strict, frozen=True, kw_only=True):
    """What the operator allows a job at most, whatever site.yaml does; None: what that says."""

    time: Seconds | None = None


class RunnerSettings(Strict, frozen=True, kw_only=True):
    """`private/runner.yaml`: data is dataset -> asset -> path on this machine; `environments` how much room built
    environments may keep, `metrics` the port of the loopback on which monitoring may read them; `remote` the forge that
    hosts the site, `vault` where owners who have no way in find what runs left."""

    root: Root
    revoked: tuple[Print, ...] = ()
    data: Mapping[str, Mapping[str, HostPath]] = msgspec.field(default_factory=dict)
    executor: Executor = LocalExecutor()
    sandbox: Sandbox = Sandbox()
    environments: Bytes = Bytes(20 * 2**30)
    limits: OwnCaps = OwnCaps()
    metrics: Port | None = None
    remote: Remote | None = None
    vault: Remote | None = None


def remote(url: str) -> str:
    """A forge's URL as runner.yaml takes it. Raises Mistake for any other."""
    try:
        return msgspec.convert(url, Remote)
    except msgspec.ValidationError as error:
        raise Mistake(
            f"{url!r} is no URL of https or ssh, or has a password in it",
            step="write it as in git@github.com:centre/site.git or https://gitlab.com/centre/site.git",
        ) from error


def parse_runner(data: bytes, name: str = RUNNER) -> RunnerSettings:
    found = parse(data, RunnerSettings, name)
    reasons = capped(_extra_faults(found.executor))
    if reasons:
        raise Faulty(*(f"{name}: {reason}" for reason in reasons))
    return found
