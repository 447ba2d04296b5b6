"""design/4-threats.md, "Signatures": each row by a real push into a copied site. The names read as the table does."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import JOB, MAIN, Town, ok, reachable

from attacks.workshop import APPROVED, GOOD, Mode, Workshop, signed
from gitqueue.model import FOLDER, LINK, SUBMODULE
from gitqueue.rules import policy

pytestmark = pytest.mark.slow  # many real pushes and runs: `make quick` leaves them to `make test`

REQUESTS = "refs/heads/requests/"
REVIEWS = "refs/heads/reviews/"
PEOPLE, SIGNERS, SITE = ".gitqueue/people.yaml", ".gitqueue/allowed_signers", ".gitqueue/site.yaml"
Y2019 = 1561939200  # 2019-07-01, a second that two keys below were good in

# Whom the site of these tests knows besides conftest's: roles, and the days of the one key.
MORE = {
    "past": ("requester", "until: 2020-01-01"),
    "pastowner": ("owner", "until: 2020-01-01"),
    "future": ("requester", "from: 2099-01-01"),
    "gone": ("requester", "revoked: 2020-01-01"),
    "goneowner": ("owner", "revoked: 2020-01-01"),
    "both": ("owner, requester", ""),
}


def with_more(base: Path) -> Town:
    """The site with all of MORE in its people, changed by an owner as an owner would."""
    town = Town(base)
    lines = []
    for name, (roles, days) in MORE.items():
        ok("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", town.key(name), cwd=base)
        key = town.key(name).with_suffix(".pub").read_text().strip()
        lines.append(f'{name}: {{roles: [{roles}], keys: [{{key: "{key}"{", " if days else ""}{days}}}]}}\n')
    shop = Workshop.of(town, "founding")
    shop.accepted(f"{shop.change(people(shop, ''.join(lines)))}:{APPROVED}")
    return town


def people(shop: Workshop, more: str = "", change: Callable[[str], str] = str) -> dict[str, bytes | Mode]:
    """people.yaml changed, with allowed_signers that agrees."""
    old = shop.objects.file(shop.tree_of(shop.tip), PEOPLE) or b""
    text = change(old.decode()) + more
    return {PEOPLE: text.encode(), SIGNERS: policy.allowed_signers(policy.parse_people(text.encode())).encode()}


@pytest.fixture(scope="module")
def base(template: Path) -> Iterator[Path]:
    with copied(template) as town:
        yield with_more(town.path).path


@contextmanager
def copied(source: Path) -> Iterator[Town]:
    with reachable() as path:
        shutil.copytree(source, path / "town", symlinks=True)
        yield Town(path / "town")


@pytest.fixture(scope="module")
def shop(base: Path) -> Iterator[Workshop]:
    """One site for all that is refused, with one request that waits."""
    with copied(base) as town:
        made = Workshop.of(town)
        made.asked("rachel/job")
        yield made


@pytest.fixture
def own(base: Path) -> Iterator[Workshop]:
    """A site of the test's own, for what is accepted."""
    with copied(base) as town:
        yield Workshop.of(town)


@pytest.fixture
def revision(shop: Workshop) -> str:
    """The request that waits at the shared site."""
    return shop.ref(f"{REQUESTS}rachel/job") or ""


# --- who signed


def test_what_is_signed_as_it_should_be_is_taken_or_the_tables_below_would_prove_nothing(own: Workshop) -> None:
    revision = own.asked("rachel/job")
    note = own.note(revision, "comment", "rolf")
    own.accepted(f"{note}:{REVIEWS}rachel/job")
    assert "rachel/job is approved" in own.accepted(f"{own.merge('rachel/job', revision)}:{APPROVED}")
    assert "the site has changed" in own.accepted(f"{own.change({'README.md': b'x'})}:{APPROVED}")
    assert own.town.gitqueue("verify").code == 0


NOT_SIGNED = "the commit is not signed (git config gpg.format ssh"
STRANGER = "is signed with a key that this site does not know"
LINE = "send an owner this line: gitqueue person add NAME --email YOU@EXAMPLE --key 'ssh-ed25519 AAAA"
ASKING: dict[str, tuple[str, str | None, int | None, str]] = {
    "unsigned": ("rachel/a", None, None, NOT_SIGNED),
    "signed by a stranger": ("rachel/b", "stranger", None, STRANGER),
    "signed by a stranger for himself": ("stranger/b", "stranger", None, LINE),
    "signed by another requester": ("rachel/c", "rolf", None, "is signed by rolf, but the branch is rachel's"),
    "signed by an owner for a requester": ("rachel/d", "owen", None, "is signed by owen, but the branch is rachel's"),
    "signed by an owner for himself": ("owen/d", "owen", None, "is signed by owen, who is no requester of this site"),
    "signed by the runner": ("rachel/e", "runner", None, "is signed by runner, but the branch is rachel's"),
    "signed with an expired key": ("past/a", "past", None, "which was valid only until 2020-01-01"),
    "signed with an expired key and backdated": ("past/b", "past", Y2019, "which was valid only until 2020-01-01"),
    "signed with a key of the future": ("future/a", "future", None, "which is valid only from 2099-01-01"),
    "signed with a revoked key": ("gone/a", "gone", None, "which was revoked on 2020-01-01"),
    "signed with a revoked key and backdated": ("gone/b", "gone", Y2019, "which was revoked on 2020-01-01"),
}


@pytest.fixture(scope="module")
def asked(shop: Workshop) -> dict[str, str]:
    """What one push of a request for each row is told, commit by commit."""
    commits = {row: shop.request(job, who=who, date=date) for row, (job, who, date, _) in ASKING.items()}
    specs = [f"{commit}:{REQUESTS}{ASKING[row][0]}" for row, commit in commits.items()]
    said = " ".join(line.removeprefix("remote:").strip() for line in shop.refused(*specs, because="").splitlines())
    return {row: said.partition(f"commit {commit[:12]} ")[2] for row, commit in commits.items()}


@pytest.mark.parametrize("row", ASKING)
def test_a_request_that_is(asked: dict[str, str], row: str) -> None:
    """… is refused."""
    assert ASKING[row][3] in asked[row].partition("gitqueue: ")[0], "the reason stands beside this very commit"


APPROVING: dict[str, tuple[str | None, int | None, str]] = {
    "unsigned": (None, None, NOT_SIGNED),
    "signed by a stranger": ("stranger", None, STRANGER),
    "signed by the requester of that request": ("rachel", None, "is signed by rachel, who is no owner of this site"),
    "signed by another requester": ("rolf", None, "is signed by rolf, who is no owner of this site"),
    "signed by the runner, whose key was stolen": ("runner", None, "is signed by runner, who is no owner of this site"),
    "signed with an owner's expired key": ("pastowner", None, "which was valid only until 2020-01-01"),
    "signed with an owner's expired key and backdated": ("pastowner", Y2019, "which was valid only until 2020-01-01"),
    "signed with an owner's revoked key and backdated": ("goneowner", Y2019, "which was revoked on 2020-01-01"),
    "dated in the future": ("owen", int(time.time()) + 10**6, "is dated in the future"),
}


@pytest.mark.parametrize(("who", "date", "why"), APPROVING.values(), ids=APPROVING)
def test_an_approval_that_is(shop: Workshop, revision: str, who: str | None, date: int | None, why: str) -> None:
    """… is refused."""
    commit = shop.merge("rachel/job", revision, who, date=date)
    said = shop.refused(f"{commit}:{APPROVED}", because=[f"commit {commit[:12]} on approved ", why])
    assert said.count("remote: gitqueue: ") == (3 if who == "rachel" else 2), "for this reason alone (hers has two)"


@pytest.mark.parametrize("who", [None, "stranger", "rachel", "runner", "pastowner", "goneowner"])
def test_a_site_change_by_anyone_but_a_valid_owner_is_refused(shop: Workshop, who: str | None) -> None:
    why = {None: NOT_SIGNED, "stranger": STRANGER, "pastowner": "until 2020", "goneowner": "was revoked on 2020"}
    date = Y2019 if who and who.endswith("owner") else None
    commit = shop.change({"README.md": b"x"}, who, date=date)
    said = shop.refused(f"{commit}:{APPROVED}", because=why.get(who, f"is signed by {who}, who is no owner"))
    assert "leaves the site broken" not in said


def test_an_owner_who_is_the_requester_may_not_approve_their_own_request_and_another_may(own: Workshop) -> None:
    revision = own.asked("both/job", who="both")
    why = "approves both/job, which both signed as requester: another owner may"
    own.refused(f"{own.merge('both/job', revision, 'both')}:{APPROVED}", because=why)
    no = own.note(revision, "rejected", "both")
    own.refused(f"{no}:{REVIEWS}both/job", because="both signed both/job as its requester: rejected is for another")
    own.accepted(f"{own.merge('both/job', revision, 'owen')}:{APPROVED}")


def test_a_forged_author_or_committer_says_nothing_since_identity_comes_from_the_key_alone(own: Workshop) -> None:
    revision = own.asked("rachel/job", author="owen")
    said = own.town.gitqueue("show", "rachel/job").out
    assert "requester: rachel" in said
    forged = own.merge("rachel/job", revision, "rolf", author="owen")
    own.refused(f"{forged}:{APPROVED}", because="is signed by rolf, who is no owner of this site")
    own.accepted(f"{own.merge('rachel/job', revision, 'owen', author='rachel')}:{APPROVED}")
    assert "owen: approved: Ask" in own.town.gitqueue("show", "rachel/job").out


# --- keys that end


def test_an_expired_owner_who_backdates_behind_the_gate_is_found_by_the_runner(own: Workshop) -> None:
    revision = own.asked("rachel/job")
    tip = own.tip
    forged = own.merge("rachel/job", revision, "pastowner", date=Y2019)
    ok("cp", "-a", "--no-clobber", f"{own.path}/objects/.", f"{own.town.repository}/objects/", cwd=own.path)
    (own.town.repository / "objects" / "info" / "alternates").unlink()
    ok("git", "update-ref", APPROVED, forged, cwd=own.town.repository)
    done = own.town.once()
    assert done.code == 4
    assert f"commit {forged[:12]} on approved is signed with pastowner's key" in done.err
    assert "which was valid only until 2020-01-01" in done.err
    assert f"update-ref {APPROVED} {tip} {forged}" in done.err


def test_a_key_revoked_counts_no_more_from_that_change_on_even_for_what_it_signed_before(own: Workshop) -> None:
    before = own.asked("rachel/before")
    own.accepted(f"{own.merge('rachel/before', before)}:{APPROVED}")
    waiting = own.asked("rachel/waiting", date=int(time.time()) - 86400 * 3)  # by its own date, the key was good
    day = time.strftime("%Y-%m-%d", time.gmtime())
    desk = own.town.desk("owen")
    assert desk.gitqueue("person", "revoke", "rachel", "--since", day).code == 0
    why = f"was revoked on {day}"
    own.refused(f"{own.merge('rachel/waiting', waiting)}:{APPROVED}", because=why)
    backdated = own.request("rachel/late", date=int(time.time()) - 86400 * 3)
    own.refused(f"{backdated}:{REQUESTS}rachel/late", because=why)
    note = own.note(waiting, "comment", "rachel", date=int(time.time()) - 86400 * 3)
    own.refused(f"{note}:{REVIEWS}rachel/waiting", because=why)
    assert own.town.gitqueue("verify").code == 0, "approvals before it stand"


def test_a_key_that_the_operator_revoked_counts_no_more_whatever_the_chain_says(own: Workshop) -> None:
    revision = own.asked("rachel/job")
    key = own.town.key("owen").with_suffix(".pub")
    print_ = ok("ssh-keygen", "-l", "-f", key, cwd=own.path).split()[1]
    settings = own.town.site / "private" / "runner.yaml"
    settings.write_text(settings.read_text().replace("revoked: []", f"revoked: ['{print_}']"))
    assert print_ in settings.read_text()
    why = f"is signed with the key {print_}, which the site's operator has revoked"
    own.refused(f"{own.merge('rachel/job', revision)}:{APPROVED}", because=why)
    own.accepted(f"{own.merge('rachel/job', revision, 'olga')}:{APPROVED}")


@pytest.mark.parametrize("text", [None, "revoked: [SHA256:x\n", "root: 1\n"], ids=["gone", "broken", "nonsense"])
def test_revocations_that_cannot_be_read_are_an_error_and_nobody_gets_in(own: Workshop, text: str | None) -> None:
    settings = own.town.site / "private" / "runner.yaml"
    kept = settings.read_text()
    settings.unlink() if text is None else settings.write_text(text)
    commit = own.request("rachel/job")
    own.refused(f"{commit}:{REQUESTS}rachel/job", because="runner.yaml")
    settings.write_text(kept)
    own.accepted(f"{commit}:{REQUESTS}rachel/job")


# --- what is a signature

PGP = b"-----BEGIN PGP SIGNATURE-----\n\niQEzBAABCAAdFiEE\n=abcd\n-----END PGP SIGNATURE-----\n"
X509 = b"-----BEGIN SIGNED MESSAGE-----\nMIIB\n-----END SIGNED MESSAGE-----\n"
SHAPES: dict[str, tuple[Callable[[bytes, bytes], bytes], str]] = {
    "a PGP block": (lambda p, s: signed(p, PGP), "the commit is signed with PGP, and only SSH signatures count here"),
    "an X.509 block": (lambda p, s: signed(p, X509), "the commit is signed with X.509, and only SSH signatures"),
    "two gpgsig headers": (lambda p, s: signed(signed(p, s), s), "has more than one signature header (gpgsig)"),
    "a gpgsig-sha256 header beside": (
        lambda p, s: signed(signed(p, s).replace(b"\ngpgsig ", b"\ngpgsig-sha256 "), s),
        "has more than one signature header (gpgsig)",
    ),
    "a re-indented copy": (lambda p, s: signed(p, s).replace(b"\n ", b"\n  ", 1), "not laid out exactly as ssh-keygen"),
    "other line lengths": (
        lambda p, s: signed(p, s[:60] + s[60:].replace(b"\n", b"", 1)),
        "the signature is not laid out exactly as ssh-keygen and git write it",
    ),
    "a carriage return at each line's end": (lambda p, s: signed(p, s.replace(b"\n", b"\r\n")), "the signature is not"),
    "a signature of other content": (
        lambda p, s: signed(p.replace(b"\n\nAsk", b"\n\nApprove"), s),
        "the signature does not fit the commit",
    ),
    "half a signature": (lambda p, s: signed(p, s[:200] + b"\n-----END SSH SIGNATURE-----\n"), "the signature is"),
    "a signature in the message": (lambda p, s: p + s, NOT_SIGNED),
    "nothing in its header": (lambda p, s: signed(p, b"x"), "the signature is not one SSH signature block"),
}


@pytest.fixture(scope="module")
def shaped(shop: Workshop) -> dict[str, str]:
    """What one push of a request for each row is told, commit by commit."""
    commits = {
        row: shop.request(f"rachel/n{number}", reshape=reshape)
        for number, (row, (reshape, _)) in enumerate(SHAPES.items())
    }
    specs = [f"{commit}:{REQUESTS}rachel/n{number}" for number, commit in enumerate(commits.values())]
    said = " ".join(line.removeprefix("remote:").strip() for line in shop.refused(*specs, because="").splitlines())
    return {row: said.partition(f"commit {commit[:12]} ")[2] for row, commit in commits.items()}


@pytest.mark.parametrize("row", SHAPES)
def test_a_commit_that_carries(shaped: dict[str, str], row: str) -> None:
    """… is refused: git itself takes some of these, under another commit id."""
    assert SHAPES[row][1] in shaped[row].partition("gitqueue: ")[0]


def test_a_signature_for_another_namespace_than_git_is_refused(shop: Workshop, revision: str) -> None:
    commit = shop.request("rachel/other", namespace="file")
    shop.refused(f"{commit}:{REQUESTS}rachel/other", because="the signature was made for 'file', not for git")
    merge = shop.merge("rachel/job", revision, namespace="gitqueue")
    shop.refused(f"{merge}:{APPROVED}", because="the signature was made for 'gitqueue', not for git")


def test_a_re_indented_approval_gets_no_second_run_of_the_same_job(own: Workshop) -> None:
    revision = own.asked("rachel/job")

    def indented(payload: bytes, armored: bytes) -> bytes:
        return signed(payload, armored).replace(b"\n ", b"\n  ", 1)

    tip, when = own.tip, int(time.time())
    copy = own.merge("rachel/job", revision, reshape=indented, date=when)
    own.refused(f"{copy}:{APPROVED}", because="the signature is not laid out exactly")
    merged = own.merge("rachel/job", revision, date=when)
    own.accepted(f"{merged}:{APPROVED}")
    again = own.merge("rachel/job", revision, date=when + 1, parents=[tip, revision])
    own.refused(f"+{again}:{APPROVED}", because="approved goes forward only")


# --- replayed


def test_an_approval_replayed_from_another_site_is_refused_since_the_chain_binds_it(
    shop: Workshop, revision: str
) -> None:
    root = shop.commit(shop.tree_of(shop.tip), [], "owen", "Found the site other")
    there = shop.request("rachel/job", parents=[root])
    replayed = shop.merge("rachel/job", there, parents=[root, there])
    shop.refused(f"+{replayed}:{APPROVED}", because="approved goes forward only")
    onto = shop.merge("rachel/job", there, parents=[shop.tip, there])
    shop.refused(f"{onto}:{APPROVED}", because="rachel/job does not start from this site's approved history")
    beside = shop.commit(shop.tree_of(shop.tip), [shop.tip, replayed], "owen", "Take it along")
    shop.refused(f"{beside}:{APPROVED}", because="merges something that is no request of this site")


def test_an_approval_pushed_onto_another_branch_is_refused(shop: Workshop, revision: str) -> None:
    merged = shop.merge("rachel/job", revision)
    shop.refused(f"+{merged}:{REQUESTS}rachel/job", because=f"commit {merged[:12]} is a merge")
    shop.refused(f"{merged}:{REVIEWS}rachel/job", because="lacks the trailer Decision at its end")
    shop.refused(f"{merged}:refs/heads/results/rachel/job", because="results is written by the site's runner alone")


def test_an_approval_replayed_after_a_reset_runs_nothing_twice(own: Workshop) -> None:
    revision, before = own.asked("rachel/job"), own.tip
    merged = own.merge("rachel/job", revision)
    own.accepted(f"{merged}:{APPROVED}")
    own.town.serve()
    results = own.ref("refs/heads/results/rachel/job")
    assert results
    ok("git", "update-ref", APPROVED, before, cwd=own.town.repository)
    own.refused(f"{merged}:{APPROVED}", because="approves rachel/job a second time")
    late = own.merge("rachel/job", revision, "olga", date=int(time.time()) + 5)
    own.refused(f"{late}:{APPROVED}", because="approves rachel/job a second time")
    assert own.town.once().code == 4, "the rewound tip is an alarm"
    assert own.ref("refs/heads/results/rachel/job") == results
    own.accepted(f"{own.change({'README.md': b'x'})}:{APPROVED}")
    done = own.town.once()
    assert done.code == 4
    assert f"commit {merged[:12]} is no longer on the first-parent line of approved" in done.err


# --- merges that are no approval


def other_tree(shop: Workshop, revision: str, files: Mapping[str, bytes]) -> str:
    return shop.files(shop.tree_of(shop.merge("rachel/job", revision)), files)


EVIL: dict[str, tuple[Callable[[Workshop, str], str], str]] = {
    "an evil merge with an extra file": (
        lambda s, r: s.commit(other_tree(s, r, {"extra.txt": b"x"}), [s.tip, r], "owen"),
        "is not the plain merge of rachel/job (it also changes 'extra.txt'): merge it without editing anything",
    ),
    "an evil merge that edits the job": (
        lambda s, r: s.commit(other_tree(s, r, {"jobs/rachel/job/main.py": b"print(2)\n"}), [s.tip, r], "owen"),
        "is not the plain merge of rachel/job (jobs/rachel/job differs from the request's)",
    ),
    "an evil merge that adds a file to the job": (
        lambda s, r: s.commit(other_tree(s, r, {"jobs/rachel/job/more.py": b""}), [s.tip, r], "owen"),
        "(jobs/rachel/job differs from the request's)",
    ),
    "an evil merge that changes policy on the way": (
        lambda s, r: s.commit(other_tree(s, r, {SITE: b"site: centre\nrelease: auto\n"}), [s.tip, r], "owen"),
        "(it also changes '.gitqueue/site.yaml')",
    ),
    "an evil merge that removes a dataset": (
        lambda s, r: s.commit(s.graft(s.folder({}), "jobs", s.objects.at(s.tree_of(r), "jobs").id), [s.tip, r], "owen"),
        "it also changes '.gitqueue/",
    ),
    "a merge that takes nothing (-s ours)": (
        lambda s, r: s.commit(s.tree_of(s.tip), [s.tip, r], "owen"),
        "merges something that is no request of this site",
    ),
    "two jobs merged at once": (
        lambda s, r: s.commit(
            s.graft(s.tree_of(s.merge("rachel/job", r)), "jobs/rachel/second", s.folder(GOOD)), [s.tip, r], "owen"
        ),
        "merges something that is no request of this site",
    ),
    "an octopus": (
        lambda s, r: s.merge("rachel/job", r, parents=[s.tip, r, s.request("rachel/second")]),
        "merges more than one request at once: an approval is a merge of exactly one",
    ),
    "swapped parents": (
        lambda s, r: s.merge("rachel/job", r, parents=[s.request("rachel/job", parents=[s.before]), s.tip]),
        "or merged with swapped parents: an approval is made on approved by git merge -S --no-ff",
    ),
    "swapped parents, where the request starts from the tip": (
        lambda s, r: s.merge("rachel/job", r, parents=[r, s.tip]),
        "is signed by rachel, who is no owner of this site",
    ),
    "the tip twice": (
        lambda s, r: s.commit(s.tree_of(s.merge("rachel/job", r)), [s.tip, s.tip], "owen"),
        "approves what is no valid request: the branch holds no folder jobs/rachel/job/",
    ),
    "a fast-forward": (lambda s, r: r, "is signed by rachel, who is no owner of this site"),
    "a squash": (
        lambda s, r: s.commit(s.tree_of(s.merge("rachel/job", r)), [s.tip], "owen"),
        "touches 'jobs/rachel/job': a site change touches nothing under jobs/ (an approval is a merge: --no-ff)",
    ),
    "a rebase": (
        lambda s, r: s.request("rachel/job", who="owen", author="rachel"),
        "touches 'jobs/rachel/job': a site change touches nothing under jobs/ (an approval is a merge: --no-ff)",
    ),
    "a merge of what is no request at the site": (
        lambda s, r: s.merge("rachel/unseen", s.request("rachel/unseen", {**GOOD, "x": (LINK, b"/etc/passwd")})),
        "approves rachel/unseen, which is no request at this site",
    ),
    "a merge of an earlier commit of the request": (
        lambda s, r: s.merge("rachel/job", s.request("rachel/job", {**GOOD, "a.txt": b""})),
        "approves rachel/job at ",
    ),
    "a merge of an unsigned request": (
        lambda s, r: s.merge("rachel/job", s.request("rachel/job", who=None)),
        "approves what is no valid request: commit",
    ),
    "a merge of another's request under this name": (
        lambda s, r: s.merge("rachel/job", s.request("rachel/job", who="rolf")),
        "is signed by rolf, but the branch is rachel's",
    ),
    "an empty commit by a stranger": (lambda s, r: s.commit(s.tree_of(s.tip), [s.tip], "stranger"), STRANGER),
    "a merge through a review of another revision": (
        lambda s, r: s.merge(
            "rachel/job", s.note(r, "comment", "olga", parents=[s.request("rachel/job", {"run.sh": b"a"})])
        ),
        "is signed by olga, but the branch is rachel's",
    ),
    "a merge through a review that nobody signed": (
        lambda s, r: s.merge("rachel/job", s.note(r, "comment", None)),
        "merges a conversation that does not hold: review commit",
    ),
    "a merge through a review that a stranger signed": (
        lambda s, r: s.merge("rachel/job", s.note(r, "comment", "stranger")),
        "merges a conversation that does not hold: review commit",
    ),
    "a merge through a review with a history of its own": (
        lambda s, r: s.merge(
            "rachel/job", s.note(r, "comment", "olga", parents=[r, s.commit(s.folder({"x": b""}), [], "rolf")])
        ),
        "lacks the trailer Decision",
    ),
}


@pytest.mark.parametrize(("make", "why"), EVIL.values(), ids=EVIL)
def test_no_approval_is(shop: Workshop, revision: str, make: Callable[[Workshop, str], str], why: str) -> None:
    """…: it is refused for this reason."""
    shop.refused(f"{make(shop, revision)}:{APPROVED}", because=why)


def test_an_approval_through_the_conversation_on_the_present_revision_is_one(own: Workshop) -> None:
    revision = own.asked("rachel/job")
    note = own.note(revision, "comment", "olga", "Looks fine")
    own.accepted(f"{note}:{REVIEWS}rachel/job")
    assert "rachel/job is approved" in own.accepted(f"{own.merge('rachel/job', note)}:{APPROVED}")
    assert own.town.gitqueue("verify").code == 0


def test_a_job_is_approved_once_and_for_ever(own: Workshop) -> None:
    revision = own.asked("rachel/job")
    own.accepted(f"{own.merge('rachel/job', revision)}:{APPROVED}")
    taken = "rachel/job was approved and takes nothing more: changed code is a new job, with a new name"
    again = own.request("rachel/job", {**GOOD, "main.py": b"print(2)\n"})
    own.refused(f"+{again}:{REQUESTS}rachel/job", because=taken)
    own.refused(f"{own.merge('rachel/job', again)}:{APPROVED}", because="approves rachel/job at ")
    gone = own.commit(own.graft_out("jobs/rachel/job"), [own.tip], "owen", "Tidy")
    own.refused(f"{gone}:{APPROVED}", because="removes rachel/job, which is not finished")
    own.town.serve()
    own.accepted(f"{gone}:{APPROVED}")
    own.refused(f"{own.merge('rachel/job', revision)}:{APPROVED}", because="approves rachel/job a second time")
    own.refused(f"+{own.request('rachel/job')}:{REQUESTS}rachel/job", because=taken)
    own.town.serve()
    assert own.town.gitqueue("verify").code == 0


def test_a_job_that_was_cancelled_before_it_ran_keeps_its_name_used(own: Workshop) -> None:
    revision = own.asked("rachel/job")
    own.accepted(f"{own.merge('rachel/job', revision)}:{APPROVED}")
    own.accepted(f"{own.note(revision, 'cancel', 'rachel')}:{REVIEWS}rachel/job")
    gone = own.commit(own.graft_out("jobs/rachel/job"), [own.tip], "owen", "Tidy")
    own.refused(f"{gone}:{APPROVED}", because="removes rachel/job, which is not finished")
    own.town.serve()


def test_an_approval_is_judged_by_the_policy_of_its_day(own: Workshop) -> None:
    revision = own.asked("rachel/job")
    strict = site(own).replace(b"files: 500", b"files: 1")
    assert strict != site(own)
    own.accepted(f"{own.change({SITE: strict})}:{APPROVED}")
    own.refused(f"{own.merge('rachel/job', revision)}:{APPROVED}", because="rachel/job: the job has more than 1 files")


# --- site changes


def key_of(shop: Workshop, name: str) -> str:
    return shop.town.key(name).with_suffix(".pub").read_text().strip()


def without_owners(text: str) -> str:
    return (
        text.replace("[owner]", "[requester]")
        .replace("[owner, requester]", "[requester]")
        .replace("- owner", "- requester")
    )


def only_expired(text: str) -> str:
    lines = without_owners(text).splitlines(keepends=True)
    return "".join(line.replace("[requester]", "[owner]") if line.startswith("pastowner") else line for line in lines)


def site(shop: Workshop) -> bytes:
    return shop.objects.file(shop.tree_of(shop.tip), SITE) or b""


CHANGES: dict[str, tuple[Callable[[Workshop], Mapping[str, bytes | Mode]], str]] = {
    "people.yaml that leaves no owner": (
        lambda s: people(s, change=without_owners),
        "approvals is 1, but owners with a key that is not revoked are none; add an owner",
    ),
    "people.yaml that leaves no owner whose key still counts": (
        lambda s: people(s, change=only_expired),
        "approvals is 1, but owners whose key counts today are none: add an owner's key",
    ),
    "fewer owners than its policy asks for": (
        lambda s: {SITE: site(s).replace(b"approvals: 1", b"approvals: 9")},
        "approvals is 9, but owners with a key that is not revoked are",
    ),
    "policy that cannot be read": (lambda s: {SITE: b"site: centre\nrelaese: auto\n"}, "unknown key 'relaese'"),
    "people.yaml that cannot be read": (lambda s: {PEOPLE: b"owen: [\n"}, ".gitqueue/people.yaml"),
    "allowed_signers that disagree with people.yaml": (
        lambda s: {SIGNERS: b"* ssh-ed25519 AAAA\n"},
        ".gitqueue/allowed_signers does not agree with .gitqueue/people.yaml",
    ),
    "allowed_signers of the same length that disagree": (
        lambda s: {SIGNERS: (s.objects.file(s.tree_of(s.tip), SIGNERS) or b"")[::-1]},
        ".gitqueue/allowed_signers does not agree with .gitqueue/people.yaml",
    ),
    "one key under two names": (
        lambda s: people(s, f'twin: {{roles: [owner], keys: [{{key: "{key_of(s, "rachel")} other"}}]}}\n'),
        "stands under 'rachel' and 'twin'; one key stands in one place only",
    ),
    "a runner with another role": (
        lambda s: people(s, f'robot: {{roles: [runner, owner], keys: [{{key: "{key_of(s, "stranger")}"}}]}}\n'),
        "'robot' is runner and owner; a runner has no other role",
    ),
    "people.yaml as a link": (lambda s: {PEOPLE: (LINK, b"../people.yaml")}, "holds no readable .gitqueue/people.yaml"),
    "people.yaml as a link that reads as people": (
        lambda s: {PEOPLE: (LINK, s.objects.file(s.tree_of(s.tip), PEOPLE) or b"")},
        "holds no readable .gitqueue/people.yaml",
    ),
    "mock data that are a link": (
        lambda s: {"datasets/cancer/mock/features.csv": (LINK, b"/etc/passwd")},
        "mock data 'mock/features.csv' of 'features' are not plain files",
    ),
    "mock data with a link below": (
        lambda s: folder_mock(s, {"a.csv": b"x", "b/c.csv": (LINK, b"/etc/passwd")}),
        "mock data 'mock/all' of 'all' are not plain files",
    ),
    "a file in the folder of datasets": (
        lambda s: {"datasets/notes.txt": b"x"},
        "there is no readable datasets/notes.txt/",
    ),
    "a new job beside the chain": (lambda s: {"jobs/rolf/new/run.sh": b"x"}, "touches 'jobs/rolf/new': a site change"),
    "a requester's folder as a file": (lambda s: {"jobs/rolf": b"x"}, "touches 'jobs/rolf': a site change touches"),
    "jobs as a file": (lambda s: {"jobs": b"x"}, "touches 'jobs': a site change touches nothing under jobs/"),
    "results": (lambda s: {"results/rachel/job/x": b"x"}, "results stand on their own branches"),
}


def folder_mock(shop: Workshop, files: Mapping[str, bytes | Mode]) -> dict[str, bytes | Mode]:
    about = {"datasets/two/dataset.yaml": b"title: Two\nassets:\n  all: {mock: mock/all}\n"}
    return {**about, **{f"datasets/two/mock/all/{name}": data for name, data in files.items()}}


@pytest.mark.parametrize(("files", "why"), CHANGES.values(), ids=CHANGES)
def test_an_owner_cannot_change_the_site_to(
    shop: Workshop, files: Callable[[Workshop], Mapping[str, bytes | Mode]], why: str
) -> None:
    """… : it is refused, and the site stays as it was."""
    shop.refused(f"{shop.change(files(shop))}:{APPROVED}", because=why)


def test_a_submodule_among_mock_data_is_refused_and_a_folder_of_plain_files_is_not(own: Workshop) -> None:
    good = own.change(folder_mock(own, {"a.csv": b"x", "b/c.csv": b"y"}))
    bad = own.graft(own.tree_of(good), "datasets/two/mock/all/lib", "a" * 40, SUBMODULE)
    commit = own.commit(bad, [own.tip], "owen")
    own.refused(f"{commit}:{APPROVED}", because="mock data 'mock/all' of 'all' are not plain files")
    own.accepted(f"{good}:{APPROVED}")


def test_people_or_policy_changed_or_rolled_back_by_a_requester_is_refused(shop: Workshop) -> None:
    more = people(shop, f'mallory: {{roles: [owner], keys: [{{key: "{key_of(shop, "stranger")}"}}]}}\n')
    commit = shop.change(more, "rachel")
    shop.refused(f"{commit}:{APPROVED}", because="is signed by rachel, who is no owner of this site")
    ruled = shop.commit(shop.tree_of(commit), [commit], "stranger", "By the owner that I have just become")
    said = shop.refused(f"{ruled}:{APPROVED}", because=f"commit {commit[:12]} on approved is signed by rachel")
    assert f"commit {ruled[:12]}" not in said, "what stands on a commit that does not count is judged by nobody's rules"
    back = shop.commit(shop.tree_of(shop.before), [shop.tip], "rachel", "Roll back")
    shop.refused(f"{back}:{APPROVED}", because="is signed by rachel, who is no owner of this site")
    shop.refused(f"+{shop.before}:{APPROVED}", because="approved goes forward only")


def test_an_approved_job_is_not_edited_by_a_site_change_nor_its_folder_made_a_file(own: Workshop) -> None:
    own.accepted(f"{own.merge('rachel/job', own.asked('rachel/job'))}:{APPROVED}")
    for files in ({"jobs/rachel/job/main.py": b"x"}, {"jobs/rachel/job": b"x"}, {"jobs/rachel": b"x"}):
        own.refused(f"{own.change(files)}:{APPROVED}", because="a site change touches nothing under jobs/")
    part = own.graft(own.tree_of(own.tip), "jobs/rachel/job", own.folder({"job.yaml": JOB}), FOLDER)
    own.refused(f"{own.commit(part, [own.tip], 'owen')}:{APPROVED}", because="touches 'jobs/rachel/job'")


# --- reviews

NOTES: dict[str, tuple[Callable[[Workshop, str], str], str]] = {
    "that nobody signed": (lambda s, r: s.note(r, "rejected", None), NOT_SIGNED),
    "that a stranger signed": (lambda s, r: s.note(r, "comment", "stranger"), STRANGER),
    "that rejects by a requester": (
        lambda s, r: s.note(r, "rejected", "rolf"),
        "rolf is no owner of this site: rejected is",
    ),
    "that rejects by its requester": (lambda s, r: s.note(r, "rejected", "rachel"), "rachel is no owner of this site"),
    "that asks for changes by the runner": (
        lambda s, r: s.note(r, "changes-requested", "runner"),
        "rehearsed is what the site's runner says, and it says nothing else",
    ),
    "that cancels another's job": (lambda s, r: s.note(r, "cancel", "rolf"), "only rachel or an owner may cancel"),
    "that rejects with a forged author": (
        lambda s, r: s.note(r, "rejected", "rolf", author="owen"),
        "rolf is no owner of this site: rejected is an owner's",
    ),
    "with an expired key, backdated": (
        lambda s, r: s.note(r, "rejected", "pastowner", date=Y2019),
        "only until 2020-01-01",
    ),
    "that releases what does not wait": (lambda s, r: s.note(r, "release"), "is pending: release does nothing to it"),
    "without a reason": (
        lambda s, r: s.note(r, "rejected", reason=""),
        "rejected needs a reason: say it in the message",
    ),
    "of a decision that there is none of": (
        lambda s, r: s.note(r, "approved"),
        "has the decision 'approved'; known are",
    ),
    "with an unknown trailer": (
        lambda s, r: s.note(f"{r}\nPriority: high", "comment", parents=[r], tree=s.tree_of(r)),
        "has the trailer Priority, which means nothing here",
    ),
    "with a trailer twice": (
        lambda s, r: s.note(f"{r}\nDecision: comment", "rejected", parents=[r], tree=s.tree_of(r)),
        "says Decision twice",
    ),
    "without a revision": (
        lambda s, r: s.commit(s.tree_of(r), [r], "owen", "No\n\nDecision: rejected"),
        "lacks the trailer Revision",
    ),
    "of a short revision": (
        lambda s, r: s.note(r[:12], "rejected", parents=[r], tree=s.tree_of(r)),
        "which is no full commit id",
    ),
    "that changes a file": (
        lambda s, r: s.note(r, "comment", tree=s.files(s.tree_of(r), {"jobs/rachel/x": b""})),
        "changes files, or names a revision that is not there: a review changes no file",
    ),
    "of a revision that is not there": (
        lambda s, r: s.note("a" * 40, "comment", parents=[r], tree=s.tree_of(r)),
        "names a revision that is not there",
    ),
    "with parents beside the revision": (
        lambda s, r: s.note(r, "comment", parents=[r, s.tip, s.commit(s.tree_of(r), [], "rolf")]),
        "must have the revision, and the former review, as its parents",
    ),
}


@pytest.fixture(scope="module")
def noted(base: Path) -> Iterator[dict[str, str]]:
    """What one push of a review for each row, each on a job of its own, is told."""
    with copied(base) as town:
        yield told(Workshop.of(town))


def told(shop: Workshop) -> dict[str, str]:
    jobs = {row: f"rachel/n{number}" for number, row in enumerate(NOTES)}
    asked = {row: shop.request(job, {**GOOD, f"{job[7:]}.txt": b""}) for row, job in jobs.items()}
    shop.accepted(*(f"{asked[row]}:{REQUESTS}{job}" for row, job in jobs.items()))
    notes = {row: make(shop, asked[row]) for row, (make, _) in NOTES.items()}
    said = shop.refused(*(f"{notes[row]}:{REVIEWS}{job}" for row, job in jobs.items()), because="")
    reasons = [line.removeprefix("remote:").strip() for line in said.splitlines()]
    marks = {row: (notes[row][:12], jobs[row]) for row in NOTES}
    good = {row: shop.note(asked[row], "comment", "rolf") for row in NOTES}
    shop.accepted(*(f"{good[row]}:{REVIEWS}{job}" for row, job in jobs.items()))
    return {row: "\n".join(line for line in reasons if any(mark in line for mark in marks[row])) for row in NOTES}


@pytest.mark.parametrize("row", NOTES)
def test_a_review(noted: dict[str, str], row: str) -> None:
    """… is refused; a plain comment on the same revision is taken."""
    assert NOTES[row][1] in noted[row]


def test_a_review_of_a_former_revision_is_refused(own: Workshop) -> None:
    first = own.asked("rachel/job")
    second = own.request("rachel/job", {**GOOD, "main.py": MAIN + b"\n"})
    own.accepted(f"+{second}:{REQUESTS}rachel/job")
    note = own.note(first, "rejected")
    own.refused(f"{note}:{REVIEWS}rachel/job", because=f"but rachel/job stands at {second[:12]}")
    own.refused(f"{own.note(second, 'comment')}:{REVIEWS}rachel/other", because="there is no request rachel/other")


def test_a_review_that_does_not_go_on_from_what_was_said_is_refused(own: Workshop) -> None:
    revision = own.asked("rachel/job")
    said = own.note(revision, "rejected", "olga")
    own.accepted(f"{said}:{REVIEWS}rachel/job")
    over = own.note(revision, "comment", "rachel", "Never mind")
    own.refused(f"+{over}:{REVIEWS}rachel/job", because="the conversation goes forward only")
    joined = own.note(revision, "comment", "rachel", "Why?", parents=[revision, said])
    own.accepted(f"{joined}:{REVIEWS}rachel/job")


def test_the_runners_stolen_key_can_neither_approve_nor_decide_nor_change_the_site(own: Workshop) -> None:
    revision = own.asked("rachel/job")
    no = "is signed by runner, who is no owner of this site"
    own.refused(f"{own.merge('rachel/job', revision, 'runner')}:{APPROVED}", because=no)
    own.refused(f"{own.change({'README.md': b'x'}, 'runner')}:{APPROVED}", because=no)
    own.refused(f"{own.request('runner/job', who='runner')}:{REQUESTS}runner/job", because="who is no requester")
    release = own.note(revision, "release", "runner")
    for decision in (release, own.note(revision, "comment", "runner")):
        own.refused(f"{decision}:{REVIEWS}rachel/job", because="rehearsed is what the site's runner says")
