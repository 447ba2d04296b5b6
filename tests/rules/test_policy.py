"""What owners and the operator write, and what must agree in it."""

import base64
import datetime
import os
import subprocess
from pathlib import Path

import pytest

from gitqueue.rules import policy
from gitqueue.rules.documents import Bytes, Faulty
from gitqueue.rules.policy import Key, People, Person, Policy, allowed_signers, fingerprint, judge_site, key_parts


def string(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


def line(kind: str, *fields: bytes, comment: str = "") -> str:
    blob = string(kind.encode()) + b"".join(map(string, fields))
    return f"{kind} {base64.b64encode(blob).decode()} {comment}".strip()


def number(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1)


def ed25519(seed: int, comment: str = "") -> str:
    return line("ssh-ed25519", bytes([seed]) * 32, comment=comment)


E65537, N3072 = number(65537), number(2**3071 + 1)
POINT = b"\x04" + b"p" * 64
OWEN, RACHEL, RUNNER = ed25519(1), ed25519(2), ed25519(3)
DAY = datetime.date(2026, 1, 1)
SITE = Policy(site="centre")


def person(name: str, *roles: str, keys: tuple[Key, ...] = (), **more: str) -> Person:
    return Person(name=name, roles=roles, keys=keys, **more)  # type: ignore[arg-type]


def people(*persons: Person) -> People:
    return People({one.name: one for one in persons})


def owner(**more: str) -> Person:
    return person("owen", "owner", keys=(Key(key=OWEN),), **more)


def faults(read: object, data: str) -> tuple[str, ...]:
    with pytest.raises(Faulty) as caught:
        read(data.encode())  # type: ignore[operator]
    return caught.value.reasons


# site.yaml


def test_everything_but_the_name_has_the_default_that_the_documentation_shows() -> None:
    shown = """
site: cancer-centre
approvals: 1
release: auto
results: sealed
requests: {size: 10MiB, files: 500, open: 20}
limits: {time: 1h, memory: 8GiB, cpus: 2, processes: 128, output: 50MiB, output_files: 100}
dependencies: {policy: locked, python: "3.11", allow: [numpy, pandas, scipy, scikit-learn, matplotlib]}
outputs: {types: [.csv, .json, .txt, .md, .png, .npy, .html]}
quota: {running: 2}
"""
    assert policy.parse_site(shown.encode()) == policy.parse_site(b"site: cancer-centre")


def test_what_owners_set_is_what_counts() -> None:
    site = policy.parse_site(b"site: a\napprovals: 2\nlimits: {memory: 1GiB}\ndependencies: {python: 3.10}")
    assert (site.approvals, site.limits.memory, site.limits.time) == (2, Bytes(2**30), 3600)
    assert site.dependencies.python == "3.10"


NOT_YET = [
    "remote: x",
]


@pytest.mark.parametrize("key", [*NOT_YET, "outputs: {dominance: 2}"])
def test_a_key_that_nothing_obeys_yet_is_unknown(key: str) -> None:
    (reason,) = faults(policy.parse_site, f"site: a\n{key}")
    assert reason.startswith(".gitqueue/site.yaml: unknown key ")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("approvals: 1", "key 'site' is missing at top level"),
        ("site: Big Centre", "site is 'Big Centre'; wanted is a name of a-z, 0-9 and -"),
        ('site: "a\\n"', "site is 'a\\n'; wanted is a name of a-z, 0-9 and -"),
        ("site: a\napprovals: 0", "approvals is '0'; wanted is a whole number from 1 to 1000000"),
        ("site: a\napprovals: 1.5", "approvals is '1.5'; wanted is a whole number from 1 to 1000000"),
        ("site: a\nrelease: manual", "release is 'manual'; wanted is auto or review"),
        ("site: a\nresults: open", "results is 'open'; wanted is sealed or plain"),
        (
            "site: a\nlimits: {time: 60}",
            "limits.time is '60'; wanted is a time with its unit, as in 30s, 5m, 1h or 90d",
        ),
        ("site: a\nlimits: {cpus: 0}", "limits.cpus is '0'; wanted is a number of cores, as in 2 or 0.5"),
        ("site: a\nlimits: {cpus: 5000}", "limits.cpus is '5000'; wanted is a number of cores, as in 2 or 0.5"),
        ("site: a\ndependencies: {policy: some}", "dependencies.policy is 'some'; wanted is none or locked or any"),
        ("site: a\ndependencies: {python: '2.7'}", "dependencies.python is '2.7'; wanted is a version of Python"),
        ("site: a\ndependencies: {allow: ['-x']}", "dependencies.allow[0] is '-x'; wanted is a package"),
        ("site: a\noutputs: {types: [csv]}", "outputs.types[0] is 'csv'; wanted is a suffix in lower case, as in .csv"),
        (
            "site: a\noutputs: {types: [.CSV]}",
            "outputs.types[0] is '.CSV'; wanted is a suffix in lower case, as in .csv",
        ),
    ],
)
def test_a_wrong_setting_is_quoted_with_what_is_wanted(text: str, reason: str) -> None:
    (found,) = faults(policy.parse_site, text)
    assert found.startswith(f".gitqueue/site.yaml: {reason}")


# people.yaml


def test_people_are_read_in_their_order_with_keys_and_days() -> None:
    text = f"""
rachel: {{email: r@x.org, affiliation: University of X, roles: [requester], keys: [{{key: "{RACHEL}"}}]}}
owen: {{roles: [owner], keys: [{{key: "{OWEN}", from: 2026-01-01, until: 2027-01-01, revoked: 2026-06-01}}]}}
"""
    found = policy.parse_people(text.encode())
    assert list(found) == ["rachel", "owen"]
    assert found["rachel"].name == "rachel"
    assert found["rachel"].affiliation == "University of X"
    assert found["owen"].email is None
    until, revoked = datetime.date(2027, 1, 1), datetime.date(2026, 6, 1)
    assert found["owen"].keys == (Key(key=OWEN, since=DAY, until=until, revoked=revoked),)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("owen: {email: x@y}", "key 'roles' is missing in owen"),
        ("owen: {roles: [admin]}", "owen.roles[0] is 'admin'; wanted is owner or requester or runner"),
        ("owen: {roles: owner}", "owen.roles is 'owner'; wanted is a list, as in [a, b]"),
        ("owen: {roles: [], name: x}", "unknown key 'name' in owen"),
        ("owen: {roles: [], keys: [{key: a, since: 2026-01-01}]}", "unknown key 'since' in owen.keys[0]"),
        ("owen: {roles: [], keys: [{key: a, from: 2026}]}", "owen.keys[0].from is '2026'; wanted is a date"),
        ("[]", "the file is a list; wanted is a mapping"),
    ],
)
def test_a_fault_in_people_is_named_by_person_and_place(text: str, reason: str) -> None:
    assert faults(policy.parse_people, text)[0].startswith(f".gitqueue/people.yaml: {reason}")


def test_a_key_counts_from_midnight_utc_of_its_first_day_until_midnight_of_its_last() -> None:
    key = Key(key=OWEN, since=DAY, until=datetime.date(2026, 2, 1))
    begin, end = 1767225600.0, 1769904000.0  # date -u -d 2026-01-01 +%s; 2026-02-01
    assert [key.valid_at(at) for at in (begin - 0.1, begin, end - 0.1, end)] == [False, True, True, False]
    assert (key.since_at, key.until_at) == (begin, end)


def test_a_revoked_key_counts_no_more_from_that_day_on() -> None:
    key = Key(key=OWEN, until=datetime.date(2027, 1, 1), revoked=DAY)
    assert [key.valid_at(at) for at in (0, 1767225599, 1767225600)] == [True, True, False]
    assert key.revoked_at == 1767225600


def test_a_key_without_days_always_counts() -> None:
    assert Key(key=OWEN).valid_at(0)
    assert Key(key=OWEN).valid_at(4e9)


def test_the_holder_of_a_key_is_found_by_its_wire_form() -> None:
    folk = people(owner(), person("rachel", "requester", keys=(Key(key="junk"), Key(key=RACHEL + " a comment"))))
    held = folk.holder(key_parts(RACHEL)[1])
    assert held == ("rachel", folk["rachel"], folk["rachel"].keys[1])
    assert folk.holder(b"") is None


# public keys

GOOD = [
    OWEN,
    ed25519(1, "owen@desk with blanks"),
    line("ssh-rsa", E65537, N3072),
    line("ssh-rsa", number(3), N3072),
    line("ssh-rsa", number(2**64 - 1), number(2**16383 + 1)),
    line("ecdsa-sha2-nistp256", b"nistp256", POINT),
    line("ecdsa-sha2-nistp384", b"nistp384", b"\x04" + b"p" * 96),
    line("ecdsa-sha2-nistp521", b"nistp521", b"\x04" + b"p" * 132),
    line("sk-ssh-ed25519@openssh.com", b"x" * 32, b"ssh:"),
    line("sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", POINT, b"ssh:"),
]


@pytest.mark.parametrize("text", GOOD)
def test_each_supported_kind_of_key_is_read(text: str) -> None:
    kind, blob, comment = key_parts(text)
    assert f"{kind} {base64.b64encode(blob).decode()} {comment}".strip() == text


def swapped(text: str, kind: str) -> str:
    return f"{kind} {text.split()[1]}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is of no kind that is taken here"),
        (line("ssh-dss", b"x"), "is of no kind that is taken here"),
        (f'namespaces="git" {OWEN}', "is of no kind that is taken here"),
        (f"# {OWEN}", "is of no kind that is taken here"),
        (f"{OWEN}\n{RACHEL}", "is not one clean line"),
        (f"{OWEN} a\tb", "is not one clean line"),
        (f"{OWEN} \u202e", "is not one clean line"),
        ("ssh-ed25519", "is damaged"),
        ("ssh-ed25519 AAAA", "is damaged"),
        ("ssh-ed25519  " + OWEN.split()[1], "is damaged"),
        (OWEN[:-4], "is damaged"),
        (OWEN[:20] + "!" + OWEN[21:], "is damaged"),
        (line("ssh-ed25519", b"x" * 31), "is damaged"),
        (line("ssh-ed25519", b"x" * 32, b"more"), "is damaged"),
        (swapped(OWEN, "ssh-rsa"), "is damaged"),
        (swapped(OWEN, "sk-ssh-ed25519@openssh.com"), "is damaged"),
        (line("sk-ssh-ed25519@openssh.com"), "is damaged"),
        (line("sk-ssh-ed25519@openssh.com", b"x" * 32), "is damaged"),
        (line("sk-ssh-ed25519@openssh.com", b"x" * 31, b"ssh:"), "is damaged"),
        (line("sk-ssh-ed25519@openssh.com", b"x" * 32, b""), "is damaged"),
        (line("ecdsa-sha2-nistp256", b"nistp384", POINT), "is damaged"),
        (line("ecdsa-sha2-nistp256", b"nistp256", b"\x02" + b"p" * 32), "is damaged"),
        (line("ecdsa-sha2-nistp256", b"nistp256", b"\x02" + b"p" * 64), "is damaged"),
        (line("ssh-rsa", number(1), N3072), "is damaged"),
        (line("ssh-rsa", number(4), N3072), "is damaged"),
        (line("ssh-rsa", number(2**64 + 1), N3072), "is damaged"),
        (line("ssh-rsa", b"", N3072), "is damaged"),
        (line("ssh-rsa", E65537, b"\0" + N3072), "is damaged"),
        (line("ssh-rsa", E65537, N3072.lstrip(b"\0")), "is damaged"),
        (line("ssh-rsa", E65537, number(2**16384 + 1)), "is RSA of 16385 bits; use 3072 to 16384"),
        (line("ssh-rsa", E65537, number(2**3070 + 1)), "is RSA of 3071 bits; use 3072 to 16384"),
        (line("ssh-rsa", E65537, number(2**2047 + 1)), "is RSA of 2048 bits; use 3072 to 16384"),
    ],
)
def test_a_key_that_is_odd_weak_or_damaged_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Faulty) as caught:
        key_parts(text)
    assert f" {reason}" in caught.value.reasons[0]


def test_a_truncated_base64_ending_is_not_the_same_key() -> None:
    """The last character holds unused bits: two texts, one wire form."""
    text = line("ssh-rsa", E65537, N3072)
    assert text.endswith("=")
    with pytest.raises(Faulty, match="is damaged"):
        key_parts(text.rstrip("=")[:-1] + chr(ord(text.rstrip("=")[-1]) + 1) + "=" * text.count("="))


# what must agree


def test_a_site_in_order_has_no_faults() -> None:
    key = Key(key=OWEN, since=datetime.date(2000, 1, 1), until=datetime.date(2999, 12, 31))
    folk = people(
        person("owen", "owner", keys=(key,), email="owen@centre.example"),
        person(
            "rachel", "requester", "owner", keys=(Key(key=RACHEL),), email="r.b+c@uni.example", affiliation="Ü of X"
        ),
        person("runner", "runner", keys=(Key(key=RUNNER),)),
        person("gone", seal="age1" + "q" * 58),
    )
    assert judge_site(SITE, folk) == ()


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (person("Rachel"), "person 'Rachel': a name is of a-z, 0-9 and -, and begins with a letter or digit"),
        (person("a\nb"), "person 'a\\nb': a name is of a-z, 0-9 and -, and begins with a letter or digit"),
        (person("r", email="r@x y"), "'r': email 'r@x y' is not an address, as in rachel@uni.example"),
        (person("r", email="r@x\ne@y"), "'r': email 'r@x\\ne@y' is not an address, as in rachel@uni.example"),
        (person("r", email="*@x"), "'r': email '*@x' is not an address, as in rachel@uni.example"),
        (person("r", email="r@x,e@y"), "'r': email 'r@x,e@y' is not an address, as in rachel@uni.example"),
        (person("r", email="!r@x"), "'r': email '!r@x' is not an address, as in rachel@uni.example"),
        (person("r", email="#r@x"), "'r': email '#r@x' is not an address, as in rachel@uni.example"),
        (person("r", email=""), "'r': email '' is not an address, as in rachel@uni.example"),
        (person("r", email="r@x\x1b"), "'r': email 'r@x\\x1b' is not an address, as in rachel@uni.example"),
        (person("r", affiliation="a\nb"), "'r': affiliation is 'a\\nb'; it must be one line without tabs"),
        (
            person("r", "runner", "owner"),
            "'r' is runner and owner; a runner has no other role: use another name",
        ),
        (person("r", keys=(Key(key="ssh-dss AA"),)), "'r': key 'ssh-dss AA' is of no kind that is taken here"),
        (
            person("r", keys=(Key(key=RACHEL, since=DAY, until=DAY),)),
            "'r': a key is from 2026-01-01 until 2026-01-01; it must end later than it begins",
        ),
        (
            person("r", keys=(Key(key=RACHEL, revoked=datetime.date(1, 1, 1)),)),
            "'r': a key has a date outside the years 2000 to 2999",
        ),
        (person("r", seal="age1xyz"), "'r': seal 'age1xyz' is not an age recipient; age-keygen prints one, age1…"),
        (person("r", seal="age1" + "q" * 58 + "\n"), "'r': seal 'age1" + "q" * 55 + "…' is not an age recipient"),
    ],
)
def test_a_fault_of_one_person_is_named(other: Person, reason: str) -> None:
    (found,) = judge_site(SITE, people(owner(), other))
    assert found.startswith(reason)


def test_one_public_key_stands_under_one_name_whatever_its_comment() -> None:
    folk = people(owner(), person("rachel", "requester", keys=(Key(key=OWEN + " my own, really"),)))
    mark = fingerprint(key_parts(OWEN)[1])
    assert judge_site(SITE, folk) == (f"key {mark} stands under 'owen' and 'rachel'; one key stands in one place only",)


def test_a_revoked_key_does_not_come_back_under_a_second_entry() -> None:
    folk = people(person("owen", "owner", keys=(Key(key=OWEN, revoked=DAY), Key(key=OWEN))))
    assert "stands under 'owen' and 'owen'" in judge_site(SITE, folk)[0]


@pytest.mark.parametrize(
    ("folk", "able"),
    [
        (people(owner()), "owen"),
        (people(owner(), person("olga", "owner", keys=(Key(key=RACHEL, revoked=DAY),))), "owen"),
        (people(owner(), person("olga", "owner")), "owen"),
        (people(owner(), person("olga", "requester", keys=(Key(key=RACHEL),))), "owen"),
        (people(person("owen", "owner", keys=(Key(key=OWEN), Key(key=RACHEL)))), "owen"),
        (people(person("runner", "runner", keys=(Key(key=RUNNER),))), "none"),
        (people(), "none"),
    ],
)
def test_a_site_has_as_many_able_owners_as_its_policy_asks_for(folk: People, able: str) -> None:
    assert judge_site(Policy(site="a", approvals=2), folk) == (
        f"approvals is 2, but owners with a key that is not revoked are {able}; add an owner, or lower approvals",
    )


def test_all_faults_of_a_site_are_told_at_once() -> None:
    folk = people(person("Owen", "owner", email="x"), person("r", "runner", "requester", keys=(Key(key="x"),)))
    assert len(judge_site(SITE, folk)) == 5


# allowed_signers


def test_allowed_signers_holds_every_key_with_its_days_and_the_signing_namespace() -> None:
    until = datetime.date(2027, 1, 1)
    folk = people(
        person("owen", "owner", keys=(Key(key=OWEN + " desk", since=DAY, until=until),), email="owen@x.org"),
        person("rachel", "requester", keys=(Key(key=RACHEL),)),
        person("gone", keys=(Key(key=RUNNER, until=until, revoked=datetime.date(2026, 3, 1)),)),
    )
    assert allowed_signers(folk).splitlines()[1:] == [
        f'owen@x.org namespaces="git",valid-after="20260101000000Z",valid-before="20261231235959Z" {OWEN}',
        f'rachel namespaces="git" {RACHEL}',
        f'gone namespaces="git",valid-before="20260228235959Z" {RUNNER}',
    ]


@pytest.mark.parametrize("email", ["a@x\n* ssh-ed25519 AAAA", "*", "a@x,*@y", "!a@x", "a@x namespaces=file"])
def test_allowed_signers_leaves_out_whoever_could_say_more_in_it(email: str) -> None:
    folk = people(owner(email=email), person("rachel", "requester", keys=(Key(key=RACHEL), Key(key="x\ny"))))
    assert allowed_signers(folk).splitlines()[1:] == [f'rachel namespaces="git" {RACHEL}']


def test_ssh_keygen_prints_our_fingerprints_and_judges_days_as_we_do(tmp_path: Path) -> None:
    def run(*argv: str, **more: bytes) -> subprocess.CompletedProcess[bytes]:
        clock = {**os.environ, "TZ": "Asia/Tokyo"}  # what is UTC for us must not be local time for it
        return subprocess.run(["ssh-keygen", *argv], cwd=tmp_path, capture_output=True, env=clock, **more)  # type: ignore[call-overload,no-any-return]

    run("-q", "-t", "ed25519", "-N", "", "-f", "key", "-C", "")
    text = (tmp_path / "key.pub").read_text().strip()
    assert fingerprint(key_parts(text)[1]).encode() in run("-l", "-f", "key.pub").stdout
    key = Key(key=text, since=DAY, until=datetime.date(2026, 2, 1))
    (tmp_path / "signers").write_text(allowed_signers(people(person("owen", "owner", keys=(key,), email="o@x"))))
    (tmp_path / "text").write_bytes(b"text")
    run("-q", "-Y", "sign", "-f", "key", "-n", "git", "text")
    verify = ("-Y", "verify", "-f", "signers", "-I", "o@x", "-s", "text.sig", "-n")
    times = ("20251231235959Z", "20260101000000Z", "20260131235959Z", "20260201000000Z")
    found = [run(*verify, "git", f"-Overify-time={at}", input=b"text").returncode == 0 for at in times]
    assert found == [False, True, True, False]
    assert run(*verify, "file", f"-Overify-time={times[1]}", input=b"text").returncode != 0


# dataset.yaml


def dataset(text: str, name: str = "bc") -> policy.Dataset:
    return policy.parse_dataset(text.encode(), name)


def test_a_dataset_is_read() -> None:
    found = dataset(
        "title: T\nassets: {f: {mock: mock/f.csv, description: d}, images: {mock: mock/i}}\nidentifiers: [id]"
    )
    assert (found.title, found.identifiers) == ("T", ("id",))
    assert found.assets["f"] == policy.Asset(mock="mock/f.csv", description="d")


@pytest.mark.parametrize(
    ("assets", "reason"),
    [
        ("{f: {mock: ../f.csv}}", "'f': mock '../f.csv' leads out of its folder"),
        ("{f: {mock: mock/../../f.csv}}", "'f': mock 'mock/../../f.csv' leads out of its folder"),
        ("{f: {mock: /srv/f.csv}}", "'f': mock '/srv/f.csv' leads out of its folder"),
        ("{f: {mock: f.csv}}", "'f': mock 'f.csv' is not below mock/"),
        ("{f: {mock: mock/}}", "'f': mock 'mock/' has an empty or '.' part"),
        ("{a b: {mock: mock/f.csv}}", "asset 'a b': a name is of letters, digits, - and _"),
        ("{a: {mock: mock/x/f.csv}, b: {mock: mock/y/f.csv}}", "two assets have a file named 'f.csv'"),
        ("{f: {path: mock/f.csv}}", "unknown key 'path' in assets.f"),
        ('{f: {mock: mock/f.csv, description: "\\e"}}', "'f': description holds the invisible character U+001B"),
    ],
)
def test_a_dataset_names_its_mock_files_below_mock(assets: str, reason: str) -> None:
    with pytest.raises(Faulty) as caught:
        dataset(f"title: T\nassets: {assets}")
    assert caught.value.reasons[0].startswith(f"datasets/bc/dataset.yaml: {reason}")


def test_the_texts_of_a_dataset_are_clean() -> None:
    with pytest.raises(Faulty) as caught:
        dataset('title: T\nassets: {}\ndescription: "a\\u202e"\nidentifiers: [id, "a\\nb"]')
    assert caught.value.reasons == (
        "datasets/bc/dataset.yaml: description holds the invisible character U+202E; remove it",
        "datasets/bc/dataset.yaml: identifier is 'a\\nb'; it must be one line without tabs",
    )
    assert dataset('title: T\nassets: {}\ndescription: "a\\nb"').description == "a\nb"


def test_a_dataset_has_a_name_that_a_job_can_ask_for() -> None:
    with pytest.raises(Faulty) as caught:
        dataset('title: "a\\tb"\nassets: {}', "My Data")
    assert caught.value.reasons == (
        "datasets/My Data/dataset.yaml: the folder 'My Data' is no name of a-z, 0-9 and -; rename it",
        "datasets/My Data/dataset.yaml: title is 'a\\tb'; it must be one line without tabs",
    )


# runner.yaml


def test_the_runners_settings_are_read_with_their_defaults() -> None:
    found = policy.parse_runner(f"root: {'a' * 40}\ndata: {{bc: {{f: /srv/f.csv}}}}\nremote: null".encode())
    assert found.data == {"bc": {"f": "/srv/f.csv"}}
    assert (found.executor, found.sandbox.user, found.revoked) == (policy.LocalExecutor(jobs=2), None, ())


def test_the_executor_is_of_one_kind_with_the_keys_of_that_kind() -> None:
    text = "executor: {kind: slurm, partition: secure, account: bio, qos: low, extra: ['--gres=gpu:1'], poll: 30s}"
    found = policy.parse_runner(f"root: {'a' * 40}\n{text}".encode()).executor
    assert found == policy.SlurmExecutor(partition="secure", account="bio", qos="low", extra=("--gres=gpu:1",), poll=30)
    assert policy.parse_runner(f"root: {'a' * 40}\nexecutor: {{kind: local, jobs: 5}}".encode()).executor.jobs == 5


_URL = "a URL of https or ssh without a password in it, as in git@github.com:centre/site.git"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("root: abc", "root is 'abc'; wanted is a commit's id of 40 hex digits"),
        ("executor: {kind: pbs}", "executor.kind is 'pbs'; wanted is local or slurm"),
        ("executor: {kind: [slurm]}", "executor.kind is a list; wanted is local or slurm"),
        ("executor: {jobs: 3}", "key 'kind' is missing in executor"),
        ("executor: slurm", "executor is 'slurm'; wanted is a mapping, `key: value`"),
        (
            "executor: {kind: local, partition: x}",
            "unknown key 'partition' in executor (known there: jobs)",
        ),
        ("executor: {kind: slurm, account: --x}", "executor.account is '--x'; wanted is a name known to Slurm"),
        (
            "executor: {kind: slurm, extra: [gres=gpu]}",
            "executor.extra[0] is 'gres=gpu'; wanted is an option of sbatch, as in --gres=gpu:1",
        ),
        (
            "executor: {kind: slurm, extra: ['--arr=1-9']}",
            "executor.extra: '--arr=1-9' is gitqueue's to decide; leave it out, or see docs/slurm.md",
        ),
        ("sandbox: {kind: none}", "sandbox.kind is 'none'; wanted is bubblewrap"),
        ("revoked: [SHA256:x]", "revoked[0] is 'SHA256:x'; wanted is a fingerprint, SHA256:…"),
        ("revoked:", "revoked is empty; wanted is a list, as in [a, b]"),
        ("data: {bc: {f: f.csv}}", "data.bc.f is 'f.csv'; wanted is an absolute path"),
        ('data: {bc: {f: "/a\\nb"}}', "data.bc.f is '/a\\nb'; wanted is an absolute path"),
        ("data: {bc: /srv}", "data.bc is '/srv'; wanted is a mapping, `key: value`"),
        *(
            (
                f'remote: "{url}"',
                f"remote is '{url}'; wanted is {_URL}",
            )
            for url in (
                "x",
                "https://me:secret@hub.example/a.git",
                "ext::sh -c id",
                "--upload-pack=id",
                "-oProxyCommand=id:x/y",
            )
        ),
    ],
)
def test_a_wrong_setting_of_the_runner_is_quoted(text: str, reason: str) -> None:
    root = "" if text.startswith("root") else f"root: {'a' * 40}\n"
    assert faults(policy.parse_runner, root + text) == (f"private/runner.yaml: {reason}",)
