"""design/4-threats.md, "Git": each row by real pushes into a copied site. The names read as the table does."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import JOB, MAIN, Town, ok, reachable

from attacks.workshop import APPROVED, GOOD, NONE, Workshop, oid_of, pack, packed
from gitqueue.model import FILE, FOLDER, LINK, PROGRAM, SUBMODULE

pytestmark = pytest.mark.slow  # many real pushes and runs: `make quick` leaves them to `make test`

REQUEST = "refs/heads/requests/rachel/"
AHEAD = 10**6  # s


@pytest.fixture(scope="module")
def shop(template: Path) -> Iterator[Workshop]:
    """One site for all that is refused, since what is refused leaves no trace."""
    with reachable() as path:
        shutil.copytree(template, path / "town", symlinks=True)
        yield Workshop.of(Town(path / "town"))


@pytest.fixture
def own(town: Town) -> Workshop:
    """A site of the test's own, for what is accepted."""
    return Workshop.of(town)


# --- which refs there are


def test_a_request_as_it_should_be_is_taken_or_the_tables_below_would_prove_nothing(own: Workshop) -> None:
    commit = own.asked("rachel/job")
    assert own.ref(f"{REQUEST}job") == commit


def test_a_requester_who_pushes_approved_is_refused(shop: Workshop) -> None:
    commit = shop.request("rachel/job")
    said = shop.refused(f"{commit}:{APPROVED}", because="is signed by rachel, who is no owner of this site")
    assert "touches 'jobs/rachel/job': a site change touches nothing under jobs/" in said


RUNNERS = ("results/rachel/job", "audit")
NOBODYS = {
    "a tag": "refs/tags/v1",
    "replace": f"refs/replace/{'a' * 40}",
    "notes": "refs/notes/commits",
    "pull": "refs/pull/1/head",
    "a branch of another kind": "refs/heads/main",
    "outputs": "refs/heads/outputs/rachel/job",
    "claims": "refs/claims/rachel/job/1",
    "a request without a job": "refs/heads/requests/rachel",
    "a request with too many parts": "refs/heads/requests/rachel/a/b",
    "below approved": "refs/heads/Approved",
}
ODD = {
    "$()": "$(id)",
    "backtick": "`id`",
    ";": "a;id",
    "a single quote": "a'b",
    "a double quote": 'a"b',
    "${{ }}": "${{github.token}}",
    "pipe and ampersand": "a|b&c",
    "unicode": "räuber",
    "a look-alike": "jоb",
    "full width": "ｊｏｂ",
    "bidi": "a\u202eb",
    "a line separator": "a\u2028b",
    "a next-line character": "a\u0085b",
    "upper case": "Job",
    "underscore": "a_b",
    "a leading dash": "-rf",
    "a percent": "a%2fb",
    "64 characters": "a" * 64,
}


def test_refs_of_the_runner_others_requests_tags_replace_notes_and_pull_are_refused_by_the_list_of_refs(
    shop: Workshop,
) -> None:
    commit = shop.request("rachel/job")
    names = [*(f"refs/heads/{name}" for name in RUNNERS), *NOBODYS.values(), "refs/heads/requests/rolf/job"]
    own = (f"{name.split('/')[0]} is written by the site's runner alone" for name in RUNNERS)
    nobodys = (f"'{name}' is no ref of this site" for name in NOBODYS.values())
    others = "is signed by rachel, but the branch is rolf's"
    shop.refused(*(f"{commit}:{name}" for name in names), because=[*own, *nobodys, others])


def test_the_hidden_archive_takes_no_push(shop: Workshop) -> None:
    shop.refused(f"{shop.request('rachel/job')}:refs/archive/2026-01", because="deny updating a hidden ref")


def test_names_with_shell_quotes_unicode_or_upper_case_are_refused_by_the_one_pattern(shop: Workshop) -> None:
    commit = shop.request("rachel/job")
    shown = (ascii(f"{REQUEST}{name}")[1:-1] for name in ODD.values())
    specs = [f"{commit}:{REQUEST}{name}" for name in ODD.values()]
    said = shop.refused(*specs, because=list(shown))
    assert said.count("is no ref of this site") == len(ODD)
    assert "bug" not in said


def test_names_with_a_newline_or_bytes_that_are_no_text_never_reach_a_ref(shop: Workshop) -> None:
    commit = shop.request("rachel/job")
    have = pack(objects_of(shop, commit))
    odd = (b"a\nb", b"a b", b"a\x1b[2Jb", b"../../approved", b"a\xff")
    for name in (*(REQUEST.encode() + part for part in odd), b"HEAD", b"refs/heads/approved/x"):
        with shop.nothing_kept([commit]):
            done, _ = shop.send([(NONE, commit, name)], have)
        assert done.code == 1
        assert "is no ref of this site" in done.err, (name, done)
        assert "Traceback" not in done.err
    before, line = shop.town.refs(), f"{REQUEST}job\n{NONE} {commit} {REQUEST}job"
    done, _ = shop.send([(NONE, commit, line.encode())], have)
    assert "funny refname" in done.out, "two honest lines to the hook, and one name that git itself refuses"
    assert shop.town.refs() == before
    done, _ = shop.send([(NONE, commit, REQUEST.encode() + b"from-the-wire")], have)
    assert "touches 'jobs/rachel/job'" in done.err, "the same bytes reach the gate under a name that is one"


def objects_of(shop: Workshop, commit: str) -> list[bytes]:
    """Every object of a commit that the site lacks, for a hand-made pack."""
    listed = ok("git", "rev-list", "--objects", commit, f"^{shop.tip}", cwd=shop.path).splitlines()
    found = []
    for oid in (line.split()[0] for line in listed):
        kind = ok("git", "cat-file", "-t", oid, cwd=shop.path)
        raw = subprocess.run(("git", "cat-file", kind, oid), cwd=shop.path, capture_output=True, check=True).stdout
        found.append(packed(kind, raw))
    return found


def test_10_000_refs_in_one_push_are_refused_at_once(shop: Workshop) -> None:
    commit = shop.request("rachel/n1")
    moves = [(NONE, commit, f"{REQUEST}n{number}".encode()) for number in range(10_000)]
    begun = spent()
    with shop.nothing_kept([commit]):
        done, peak = shop.send(moves, pack(objects_of(shop, commit)))
    assert "the push names too many refs at once" in done.err
    assert spent() - begun < 5
    assert peak < 200 << 20


def test_more_refs_than_an_audit_entry_holds_are_refused_by_their_number_and_two_are_not(own: Workshop) -> None:
    commits = {f"{REQUEST}n{number}": own.request(f"rachel/n{number}") for number in range(2)}
    many = (f"{commits[f'{REQUEST}n1']}:{REQUEST}m{number}" for number in range(251))
    own.refused(*many, because="the push moves 251 refs at once; 250 are allowed")
    own.accepted(*(f"{commit}:{name}" for name, commit in commits.items()))


def test_many_requests_in_one_push_do_not_slip_under_the_quota(own: Workshop) -> None:
    commits = [own.request(f"rachel/n{number}") for number in range(21)]
    specs = [f"{commit}:{REQUEST}n{number}" for number, commit in enumerate(commits)]
    own.refused(*specs, because="rachel has 20 open requests; 20 are allowed")
    own.accepted(*specs[:20])
    own.refused(specs[20], because="rachel has 20 open requests; 20 are allowed")


def test_what_is_no_commit_is_no_request(shop: Workshop) -> None:
    blob, tree = shop.blob(b"text"), shop.folder(GOOD)
    commit = shop.request("rachel/job")
    tagger = f"object {commit}\ntype commit\ntag v1\ntagger r <r@uni.example> 1700000000 +0000\n\nv1\n"
    tag = shop.put("tag", tagger.encode())
    for oid in (blob, tree, tag):
        shop.refused(f"{oid}:{REQUEST}job", because="refs/heads/requests/rachel/job would not be a commit")


# --- moves that go back


def test_deleting_approved_reviews_results_or_a_request_is_refused_by_the_gate(own: Workshop) -> None:
    revision = own.asked("rachel/job")
    note = own.note(revision, "comment", "rachel")
    own.accepted(f"{note}:refs/heads/reviews/rachel/job")
    behind(own, "refs/heads/results/rachel/job", own.tip)
    behind(own, "refs/heads/audit", own.tip)
    words = {
        APPROVED: "approved is never deleted",
        "refs/heads/reviews/rachel/job": "reviews is never deleted",
        "refs/heads/results/rachel/job": "results is written by the site's runner alone",
        "refs/heads/audit": "audit is written by the site's runner alone",
        f"{REQUEST}job": "a request is not deleted but cancelled: gitqueue cancel rachel/job",
    }
    for name, why in words.items():
        own.refused(f":{name}", because=why)
    own.refused(f":{REQUEST}job", f"{revision}:{REQUEST}renamed", because="a request is not deleted but cancelled")


def behind(shop: Workshop, name: str, commit: str | None) -> None:
    """What somebody with a shell at the site does to a ref, past every hook."""
    argv = ("-d", name) if commit is None else (name, commit)
    ok("git", "update-ref", *argv, cwd=shop.town.repository)


def test_force_pushing_approved_or_reviews_back_is_refused_by_the_gate(own: Workshop) -> None:
    revision = own.asked("rachel/job")
    first = own.note(revision, "comment", "rachel")
    own.accepted(f"{first}:refs/heads/reviews/rachel/job")
    other = own.note(revision, "rejected", "owen")
    own.refused(f"+{other}:refs/heads/reviews/rachel/job", because="the conversation goes forward only")
    before = own.objects.commit(own.tip).parents[0]
    own.refused(f"+{before}:{APPROVED}", because="approved goes forward only")
    assert ok("git", "config", "receive.denyNonFastForwards", cwd=own.town.repository) == "false"


def test_force_pushing_ones_own_request_is_a_new_revision_and_the_old_decision_and_approval_fall(
    own: Workshop,
) -> None:
    first = own.asked("rachel/job")
    no = own.note(first, "rejected", "owen", "Prints rows")
    own.accepted(f"{no}:refs/heads/reviews/rachel/job")
    assert state(own, "rachel/job") == "rejected"
    merged = own.merge("rachel/job", first)
    second = own.request("rachel/job", {**GOOD, "main.py": b"print(1)\n"})
    own.accepted(f"+{second}:{REQUEST}job")
    assert state(own, "rachel/job") == "pending"
    own.refused(f"{merged}:{APPROVED}", because=f"it has changed since and stands at {second[:12]}")
    late = own.note(first, "rejected", "olga", "Prints rows", parents=[first, no])
    own.refused(f"{late}:refs/heads/reviews/rachel/job", because=f"but rachel/job stands at {second[:12]}")
    own.accepted(f"{own.merge('rachel/job', second)}:{APPROVED}")
    assert state(own, "rachel/job") == "approved"


def state(shop: Workshop, job: str) -> str:
    return str(json.loads(shop.town.gitqueue("show", job, "--json").out)["state"])


# --- behind the gate's back


def test_approved_rewound_behind_the_gate_is_found_by_the_runner_with_the_line_that_mends_it(own: Workshop) -> None:
    own.town.serve()
    tip = own.tip
    former = own.objects.commit(tip).parents[0]
    behind(own, APPROVED, former)
    done = own.town.once()
    assert done.code == 4
    assert f"commit {tip[:12]} is no longer on the first-parent line of approved" in done.err
    line = f"git -C {own.town.repository} update-ref refs/heads/approved {tip} {former}"
    assert line in done.err
    ok(*line.split(), cwd=own.town.path)
    own.town.serve()


def test_approved_deleted_behind_the_gate_is_found_and_no_push_can_begin_another_chain(own: Workshop) -> None:
    own.town.serve()
    tip = own.tip
    root = own.commit(own.tree_of(tip), [], "owen", "Begin anew")
    behind(own, APPROVED, None)
    done = own.town.once()
    assert done.code == 4
    assert "the branch approved has gone" in done.err
    assert f"update-ref refs/heads/approved {tip}" in done.err
    own.refused(f"{root}:{APPROVED}", because="approved has gone, and no push brings it back")
    assert own.ref(APPROVED) is None
    behind(own, APPROVED, tip)
    own.town.serve()


def test_a_forged_commit_behind_the_gate_is_never_run_and_named_with_its_rule(own: Workshop) -> None:
    revision = own.asked("rachel/job")
    tip = own.tip
    forged = own.merge("rachel/job", revision, "stranger")
    carry(own, forged)
    behind(own, APPROVED, forged)
    done = own.town.once()
    assert done.code == 4
    assert f"commit {forged[:12]} on approved is signed with a key that this site does not know" in done.err
    assert f"update-ref refs/heads/approved {tip} {forged}" in done.err
    assert not list((own.town.site / "spool").glob("rachel*"))
    assert own.ref("refs/heads/results/rachel/job") is None


def carry(shop: Workshop, *commits: str) -> None:
    """Objects into the site's store, past every hook."""
    ok("cp", "-a", "--no-clobber", f"{shop.path}/objects/.", f"{shop.town.repository}/objects/", cwd=shop.path)
    (shop.town.repository / "objects" / "info" / "alternates").unlink(missing_ok=True)
    for commit in commits:
        assert shop.kept(commit)


def test_a_tip_that_is_damaged_or_no_commit_is_an_alarm_and_no_traceback(own: Workshop) -> None:
    own.town.serve()
    blob = own.blob(b"no commit")
    broken = own.commit("e" * 40, [own.tip], "owen")  # its tree is nowhere
    carry(own, blob, broken)
    for oid in ("d" * 40, blob, broken):
        (own.town.repository / APPROVED).write_text(f"{oid}\n")
        done = own.town.once()
        assert done.code == 4, done.err
        assert "Traceback" not in done.err
        assert "update-ref refs/heads/approved" in done.err


def test_results_deleted_or_rewound_behind_the_gate_are_not_run_again(own: Workshop) -> None:
    own.accepted(f"{own.merge('rachel/job', own.asked('rachel/job'))}:{APPROVED}")
    own.town.serve()
    name = "refs/heads/results/rachel/job"
    tip, kept = own.ref(name) or "", outputs(own)
    for there in (None, own.objects.commit(tip).parents[0]):
        behind(own, name, there)
        done = own.town.once()
        assert done.code == 4
        assert name in done.err
        assert f"update-ref {name} {tip}" in done.err
        assert outputs(own) == kept, "nothing ran, and the vault stands as it stood"
        assert there is not None or own.ref(name) is None
        behind(own, name, tip)
        own.town.serve()


def outputs(shop: Workshop) -> str:
    """Every claim and every output that the vault holds."""
    return ok("git", "for-each-ref", cwd=shop.town.site / "private" / "vault.git")


# --- what a request's history may be


def test_a_merge_commit_in_a_request_is_refused_with_the_rebase_line(shop: Workshop) -> None:
    first = shop.request("rachel/job")
    hidden = shop.request("rachel/job", {**GOOD, "main.py": b"print(2)\n"})
    for parents in ([first, hidden], [hidden, first, shop.tip], [first, shop.tip]):
        merge = shop.commit(shop.tree_of(hidden), parents, "rachel", "Join")
        why = f"commit {merge[:12]} is a merge, which hides code from git log -p: git rebase origin/approved"
        shop.refused(f"{merge}:{REQUEST}job", because=why)
    below = shop.commit(shop.tree_of(hidden), [merge], "rachel", "Straight on top of it")
    shop.refused(f"{below}:{REQUEST}job", because=why)


def test_a_request_that_starts_from_another_site_or_nowhere_is_refused(shop: Workshop) -> None:
    orphan = shop.commit(shop.graft(shop.folder({}), "jobs/rachel/job", shop.folder(GOOD)), [], "rachel")
    root = shop.commit(shop.tree_of(shop.tip), [], "owen", "Another site's first commit")
    for commit in (orphan, shop.request("rachel/job", parents=[root])):
        shop.refused(f"{commit}:{REQUEST}job", because="does not start from this site's approved history")


def test_a_request_that_starts_beside_the_chain_brings_nothing_of_others_with_it(own: Workshop) -> None:
    asked = own.asked("rachel/first")
    own.accepted(f"{own.merge('rachel/first', asked)}:{APPROVED}")
    note = own.note(own.asked("rachel/second"), "comment", "owen")
    own.accepted(f"{note}:refs/heads/reviews/rachel/second")
    starts = {asked: "touches 'jobs/rachel/first'", note: f"commit {note[:12]} is signed by owen, but the branch is"}
    for start, why in starts.items():
        commit = own.request("rachel/job", parents=[start])
        own.refused(f"{commit}:{REQUEST}job", because=why)
    earlier = own.objects.commit(own.tip).parents[0]
    own.accepted(f"{own.request('rachel/job', parents=[earlier])}:{REQUEST}job")


def test_a_request_without_a_commit_of_its_own_or_without_its_folder_is_refused(shop: Workshop) -> None:
    shop.refused(f"{shop.tip}:{REQUEST}job", because="the branch holds no folder jobs/rachel/job/")
    empty = shop.commit(shop.tree_of(shop.tip), [shop.tip], "rachel")
    shop.refused(f"{empty}:{REQUEST}job", because="the branch holds no folder jobs/rachel/job/")
    file = shop.commit(shop.files(shop.tree_of(shop.tip), {"jobs/rachel/job": b"x"}), [shop.tip], "rachel")
    shop.refused(f"{file}:{REQUEST}job", because="the branch holds no folder jobs/rachel/job/")


OUTSIDE = {
    "another's folder": "jobs/rolf/job/x",
    "another job": "jobs/rachel/other/x",
    "the folder above": "jobs/rachel/x",
    "people": ".gitqueue/people.yaml",
    "policy": ".gitqueue/site.yaml",
    "a dataset": "datasets/cancer/mock/features.csv",
    "results": "results/rachel/job/x",
    "a workflow of a forge": ".github/workflows/x.yml",
    "attributes at the top": ".gitattributes",
}


@pytest.fixture(scope="module")
def outside(shop: Workshop) -> dict[str, tuple[str, str]]:
    """What one push of requests, each of which touches one of these paths in passing, is told; the touching commits."""
    base, clean = shop.tree_of(shop.tip), {}
    for number, path in enumerate(OUTSIDE.values()):
        dirty = shop.commit(shop.files(base, {path: b"x"}), [shop.tip], "rachel")
        inner = shop.graft(base, f"jobs/rachel/n{number}", shop.folder(GOOD))
        clean[path] = dirty, shop.commit(inner, [dirty], "rachel")
    specs = [f"{commit}:{REQUEST}n{number}" for number, (_, commit) in enumerate(clean.values())]
    said = shop.refused(*specs, because="a request touches jobs/rachel/n0/ alone")
    return {path: (dirty, said) for path, (dirty, _) in clean.items()}


@pytest.mark.parametrize("path", OUTSIDE.values(), ids=OUTSIDE)
def test_a_request_that_touches_anything_but_its_folder_even_in_passing(
    outside: dict[str, tuple[str, str]], path: str
) -> None:
    """… is refused, though a later commit takes it back."""
    dirty, said = outside[path]
    assert f"commit {dirty[:12]} touches '{'/'.join(path.split('/')[:3])}'" in said


def test_a_request_that_hides_its_history_as_a_shallow_clone_would_is_refused(shop: Workshop) -> None:
    commit = shop.commit(shop.tree_of(shop.request("rachel/job")), ["a" * 40], "rachel")
    packs = pack([*listed(shop, commit), packed("blob", JOB), packed("blob", MAIN)])
    with shop.nothing_kept([commit]):
        done, _ = shop.send([(NONE, commit, f"{REQUEST}job".encode())], packs, f"shallow {commit}".encode())
    assert done.code == 1
    assert f"object {'a' * 40} is missing" in done.err


def test_a_request_of_many_commits_is_refused_in_bounded_time(shop: Workshop) -> None:
    commit = shop.request("rachel/job")
    tree = shop.tree_of(commit)
    for number in range(201):
        commit = shop.commit(tree, [commit], None, f"{number}")
    shop.refused(f"{commit}:{REQUEST}job", because="or is more than 200 commits away")


# --- what a request's folder may hold

_LONG = "/".join(["x" * 60] * 4)
HELD: dict[str, tuple[dict[str, bytes | tuple[int, bytes]], str]] = {
    "a NUL byte in code": (
        {"main.py": b"print(1)\n\0"},
        "'main.py' line 2 has a NUL byte, which hides the file from diff",
    ),
    "a NUL byte in a file that is run": (
        {"job.yaml": JOB.replace(b"main.py", b"main.dat"), "main.dat": b"print(1)\0"},
        "'main.dat' line 1 has a NUL byte",
    ),
    "a NUL byte in a program": ({"tool.dat": (PROGRAM, b"\0")}, "'tool.dat' line 1 has a NUL byte"),
    "a NUL byte in a file without a suffix": ({"tool": b"#!/bin/sh\n\0"}, "'tool' line 2 has a NUL byte"),
    "a symlink to the host": ({"x": (LINK, b"/etc/passwd")}, "'x' is a symbolic link"),
    "a symlink within the job": ({"x.py": (LINK, b"main.py")}, "'x.py' is a symbolic link"),
    "a file with odd rights": ({"x": (0o100664, b"x")}, "'x' is of mode 100664"),
    ".gitattributes that hides a file": (
        {".gitattributes": b"main.py -diff\n"},
        "'.gitattributes' would change how git",
    ),
    ".gitattributes in a folder below": ({"a/.gitattributes": b"* filter=x\n"}, "'a/.gitattributes' would change how"),
    ".gitignore": ({".gitignore": b"*\n"}, "'.gitignore' would change how git"),
    ".gitmodules": ({".gitmodules": b""}, "'.gitmodules' would change how git"),
    ".lfsconfig": ({".lfsconfig": b"[lfs]\n"}, "'.lfsconfig' would change how git"),
    ".GITATTRIBUTES": ({".GITATTRIBUTES": b""}, "'.GITATTRIBUTES' would change how git"),
    "paths that differ by case": ({"Data.txt": b"", "data.txt": b""}, "'Data.txt' and 'data.txt' differ only by case"),
    "folders that differ by case": ({"A/x": b"", "a/y": b""}, "'A' and 'a' differ only by case or unicode form"),
    "paths that differ by unicode form": (
        {"\u00e9.txt": b"", "e\u0301.txt": b""},
        "differ only by case or unicode form: rename one",
    ),
    "a bidi character in a path": ({"a\u202eyp.b": b""}, "'a<U+202E>yp.b' has control or invisible characters"),
    "an escape sequence in a path": ({"a\x1b[2Jb": b""}, "'a<U+001B>[2Jb' has control or invisible characters"),
    "a newline in a path": ({"a\nb": b""}, "'a<U+000A>b' has control or invisible characters"),
    "a path of no text": ({"a\udcffb": b""}, "'a<U+DCFF>b' is not UTF-8"),
    "a path of 17 parts": ({"a/" * 16 + "x": b""}, "the job's folders are more than 16 deep: flatten them"),
    "a path of 241 bytes": ({_LONG[:-3] + "y": b""}, "has 241 bytes in its path; 240 are allowed"),
    "a bidi control in code": (
        {"main.py": b"a = 1 # \xe2\x80\xae\n"},
        "'main.py' line 1 has invisible or direction-chan",
    ),
    "an invisible character in code": (
        {"run.sh": b"a\n\xe2\x80\x8b"},
        "'run.sh' line 2 has invisible or direction-chang",
    ),
    "a tag character in code": ({"main.py": "x = '\U000e0041'".encode()}, "(U+E0041)"),
    "a byte order mark inside": ({"main.py": b"a\n\xef\xbb\xbfb\n"}, "(U+FEFF)"),
    "a shorthand format control in code": ({"main.py": "x = '\U0001bca0'".encode()}, "(U+1BCA0)"),
    "a carriage return that Python takes for a new line": (
        {"main.py": b"# nothing to see\rimport os\n"},
        "'main.py' line 1 has control characters (U+000D)",
    ),
    "an escape sequence in code": (
        {"main.py": b"import os # \x1b[8m\n"},
        "'main.py' line 1 has control characters (U+001B)",
    ),
    "a C1 control in code": (
        {"main.py": "x = 1 # \u009b8m\n".encode()},
        "'main.py' line 1 has control characters (U+009B)",
    ),
    "an encoding that makes code of a comment": (
        {"main.py": b"# -*- coding: utf-7 -*-\n# +AAo-import os\n"},
        "'main.py' line 1 declares the encoding 'utf-7'",
    ),
    "an encoding that makes lines of escapes": (
        {"main.py": b"#!/usr/bin/python\n# vim: set fileencoding=unicode_escape :\n# \\nimport os\n"},
        "'main.py' line 2 declares the encoding 'unicode_escape'",
    ),
    "too many files": ({f"f{n}": b"" for n in range(499)}, "the job has more than 500 files"),
    "too many bytes": ({"x.bin": b"x" * (10 << 20)}, "10MiB are allowed (the largest file is 'x.bin')"),
}
HARMLESS: dict[str, bytes | tuple[int, bytes]] = {
    "tool.sh": (PROGRAM, b"#!/bin/sh\r\necho 1\r\n"),
    "a/" * 15 + "x": b"",
    _LONG[:-4] + "y": b"",
    "picture.png": b"\x89PNG\0\0",
    "großer Name.txt": "ä\n".encode(),
    "page.py": b"# -*- coding: utf-8 -*-\n\x0cx = 1\n",
    "latin.py": b"# vim: set fileencoding=latin-1 :\nx = 1\n",
    "marked.py": b"\xef\xbb\xbfx = 1\n",
}


@pytest.fixture(scope="module")
def held(shop: Workshop) -> str:
    """What one push of a request for each row of the table is told."""
    commits = [shop.request(f"rachel/n{number}", {**GOOD, **files}) for number, (files, _) in enumerate(HELD.values())]
    specs = [f"{commit}:{REQUEST}n{number}" for number, commit in enumerate(commits)]
    said = shop.refused(*specs, because="nothing of this push was kept")
    return " ".join(line.removeprefix("remote:").strip() for line in said.splitlines())


@pytest.mark.parametrize("why", [why for _, why in HELD.values()], ids=HELD)
def test_a_job_that_holds(held: str, why: str) -> None:
    """… is refused, naming the path."""
    assert why in held


def test_a_job_that_holds_what_looks_odd_and_is_harmless_is_taken(own: Workshop) -> None:
    own.asked("rachel/job", {**GOOD, **HARMLESS})


def test_a_submodule_in_a_job_is_refused(shop: Workshop) -> None:
    inner = shop.graft(shop.folder(GOOD), "lib", "a" * 40, SUBMODULE)
    shop.refused(f"{shop.request('rachel/job', folder=inner)}:{REQUEST}job", because="'lib' is a submodule")


MALFORMED: dict[str, tuple[str, Callable[[str, str], list[tuple[int | bytes, str, str]]]]] = {
    "names out of order": ("treeNotSorted", lambda a, b: [(FILE, "main.py", a), (FILE, "job.yaml", b)]),
    "a name twice": ("duplicateEntries", lambda a, b: [(FILE, "main.py", a), (FILE, "main.py", b)]),
    "a file and a folder of one name": (
        "duplicateEntries",
        lambda a, b: [(FILE, "main", a), (FOLDER, "main", "4b825dc642cb6eb9a060e54bf8d69288fbee4904")],
    ),
    "a slash in a name": ("fullPathname", lambda a, b: [(FILE, "a/b", a)]),
    "..": ("hasDotdot", lambda a, b: [(FOLDER, "..", "4b825dc642cb6eb9a060e54bf8d69288fbee4904")]),
    ".git": ("hasDotgit", lambda a, b: [(FILE, ".git", a)]),
    "an empty name": ("empty filename in tree entry", lambda a, b: [(FILE, "", a)]),
    "a mode in another spelling": ("zeroPaddedFilemode", lambda a, b: [(b"0100644", "main.py", a)]),
}


@pytest.mark.parametrize(("why", "entries"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_tree_with(shop: Workshop, why: str, entries: Callable[..., list[tuple[int, str, str]]]) -> None:
    """… is refused by git as it arrives."""
    shop.blob(b"")
    shop.put("tree", b"")
    folder = shop.tree(*entries(shop.blob(MAIN), shop.blob(JOB)))
    shop.refused(f"{shop.request('rachel/job', folder=folder)}:{REQUEST}job", because=why)


@pytest.mark.parametrize(("why", "entries"), MALFORMED.values(), ids=MALFORMED)
def test_a_forge_that_checks_nothing_cannot_hand_the_runner_a_tree_with(
    shop: Workshop, why: str, entries: Callable[..., list[tuple[int, str, str]]]
) -> None:
    """… since our own reader takes none such."""
    from gitqueue.adapters.trees import Missing, parse_tree

    folder = shop.tree(*entries(shop.blob(MAIN), shop.blob(JOB)))
    with pytest.raises(Missing, match="damaged"):
        parse_tree(folder, shop.objects.read(folder, 2))
    good = shop.folder({"a/b": b"", "a-b": b"", "a.b": b"", "ab": b"", "é": b""})
    assert len(parse_tree(good, shop.objects.read(good, 2)).rows) == 5


# --- what costs time and memory


def bomb(shop: Workshop, leaf: str, levels: int = 10, breadth: int = 10) -> str:
    for _ in range(levels):
        leaf = shop.tree(*((FOLDER, f"{number:05}", leaf) for number in range(breadth)))
    return leaf


def spent() -> float:
    """Processor time, in seconds, of this process and of children it waited for: holds on a busy machine, too."""
    return sum(os.times()[:4])


def timed(shop: Workshop, commit: str, why: str) -> float:
    begun = spent()
    shop.refused(f"{commit}:{REQUEST}job", because=why)
    return spent() - begun


def test_a_git_bomb_of_10_to_the_10_files_in_ten_trees_is_refused_in_bounded_time(shop: Workshop) -> None:
    simple = timed(shop, shop.request("rachel/job", {"x": b""}), "holds neither job.yaml nor run.sh")
    leaf = shop.tree((FILE, "x", shop.blob(b"")))
    bombs = {
        "the job has more than 500 files": bomb(shop, leaf),
        "the job has more than 500 files ": bomb(shop, shop.put("tree", b"")),  # folders alone, and not one file
    }
    for why, folder in bombs.items():
        commit = shop.request("rachel/job", folder=folder)
        assert timed(shop, commit, why.strip()) - simple < 0.5, "0.2 s of judging; the rest is the machine's noise"


def test_a_git_bomb_outside_the_jobs_folder_is_refused_in_bounded_time(shop: Workshop) -> None:
    leaves = bomb(shop, shop.put("tree", b""), 3, 2000)
    for inner in (leaves, bomb(shop, shop.tree((FILE, "x", shop.blob(b""))), 3, 2000)):
        tree = shop.graft(shop.tree_of(shop.request("rachel/job")), "bomb", inner)
        commit = shop.commit(tree, [shop.tip], "rachel")
        assert timed(shop, commit, "changes more than 10000 paths") < 3
        assert timed_change(shop, commit) < 3


def timed_change(shop: Workshop, commit: str) -> float:
    begun = spent()
    shop.refused(f"{commit}:{APPROVED}", because="changes more than 10000 paths")
    return spent() - begun


BIG = 400_000_000  # bytes


@pytest.fixture(scope="module")
def big() -> tuple[str, bytes]:
    """A blob of 400 MB: its id, and its 0.4 MB in a pack."""
    data = bytes(BIG)
    return oid_of("blob", data), packed("blob", data, 9)


def sent(shop: Workshop, commit: str, name: str, big: tuple[str, bytes], *others: bytes) -> str:
    """What a push of a commit that holds the big blob is told."""
    moves = [(shop.ref(name) or NONE, commit, name.encode())]
    with shop.nothing_kept([commit, big[0]]):
        done, peak = shop.send(moves, pack([*listed(shop, commit), big[1], *others]))
    assert done.code == 1
    assert peak < 150 << 20, f"{peak >> 20} MB"
    return done.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "why"), [("x.bin", "10MiB are allowed (the largest file is 'x.bin')"), ("job.yaml", "10MiB are allowed")]
)
def test_a_400_mb_blob_in_a_small_pack_is_refused_without_holding_it_in_memory(
    shop: Workshop, big: tuple[str, bytes], path: str, why: str
) -> None:
    folder = shop.graft(shop.folder(GOOD), path, big[0], FILE)
    commit = shop.request("rachel/job", folder=folder)
    assert why in sent(shop, commit, f"{REQUEST}job", big, packed("blob", JOB), packed("blob", MAIN))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "who", "why"),
    [
        ("allowed_signers", "stranger", "does not know"),
        ("allowed_signers", "owen", ".gitqueue/allowed_signers does not agree"),
        ("people.yaml", "owen", "holds no readable .gitqueue/people.yaml"),
    ],
)
def test_a_400_mb_document_of_the_site_is_refused_without_holding_it_in_memory(
    shop: Workshop, big: tuple[str, bytes], name: str, who: str, why: str
) -> None:
    tree = shop.graft(shop.tree_of(shop.tip), f".gitqueue/{name}", big[0], FILE)
    assert why in sent(shop, shop.commit(tree, [shop.tip], who), APPROVED, big)


def listed(shop: Workshop, commit: str) -> list[bytes]:
    """A commit and the trees that the site lacks (no blobs), for a pack."""

    def walk(tree: str) -> Iterator[bytes]:
        yield packed("tree", shop.objects.read(tree, 2))
        for entry in shop.objects.tree(tree):
            if entry.is_folder and not shop.kept(entry.id):
                yield from walk(entry.id)

    return [packed("commit", shop.objects.read(commit, 1)), *walk(shop.tree_of(commit))]


def test_a_push_of_many_megabytes_is_refused_while_it_arrives(shop: Workshop) -> None:
    commit = shop.request("rachel/job")
    noise = subprocess.run(("head", "-c", "70000000", "/dev/urandom"), capture_output=True, check=True).stdout
    with shop.nothing_kept([commit, oid_of("blob", noise)]):
        packs = pack([*objects_of(shop, commit), packed("blob", noise, 0)])
        done, peak = shop.send([(NONE, commit, f"{REQUEST}job".encode())], packs)
    assert "pack exceeds maximum allowed size" in done.err
    assert done.code == 1
    assert peak < 150 << 20
    assert not list((shop.town.repository / "objects").glob("tmp*"))


def test_commits_with_a_huge_message_or_many_headers_are_refused_without_holding_them(shop: Workshop) -> None:
    tree = shop.tree_of(shop.request("rachel/job"))
    for more in ({"message": "x" * 10**6}, {"headers": b"x y\n" * 10**5}):
        commit = shop.commit(tree, [shop.tip], "rachel", **more)  # type: ignore[arg-type]
        shop.refused(f"{commit}:{REQUEST}job", because=f"commit {commit[:12]} has more than 262144 bytes")
    few = shop.commit(tree, [shop.tip], "rachel", headers=b"x y\n")
    shop.refused(f"{few}:{REQUEST}job", because=f"commit {few[:12]} has the header 'x'")


def test_a_tree_of_half_a_million_entries_is_refused_without_reading_it(shop: Workshop) -> None:
    empty = shop.blob(b"")
    wide = shop.put("tree", b"".join(b"100644 %07d\0" % n + bytes.fromhex(empty) for n in range(500_000)))
    commit = shop.request("rachel/job", folder=wide)
    assert timed(shop, commit, "the job has more than 500 files") < 6
    tree = shop.graft(shop.tree_of(shop.tip), "jobs", wide)
    commit = shop.commit(tree, [shop.tip], "rachel")
    assert timed(shop, commit, "has more than 16777216 bytes") < 6


def test_a_long_line_of_commits_on_approved_is_refused_in_bounded_time_and_words(shop: Workshop) -> None:
    commit, tree = shop.tip, shop.tree_of(shop.tip)
    for number in range(501):
        commit = shop.commit(tree, [commit], None, f"{number}")
    said = shop.refused(f"{commit}:{APPROVED}", because="adds more than 500 commits to approved")
    assert len(said.splitlines()) < 20


# --- what shows something else than there is


def test_git_replace_shows_a_reviewer_and_the_runner_nothing_else(own: Workshop) -> None:
    evil = own.asked("rachel/job", {**GOOD, "main.py": b"print('evil')\n"})
    nice = own.request("rachel/job")
    owen = own.town.desk("owen")
    for repository in (own.town.repository, owen.path / ".git"):
        target = repository / "refs" / "replace" / evil
        target.parent.mkdir(parents=True, exist_ok=True)
        ok("cp", "-a", "--no-clobber", f"{own.path}/objects/.", f"{repository}/objects/", cwd=own.path)
        (repository / "objects" / "info" / "alternates").unlink(missing_ok=True)
        target.write_text(f"{nice}\n")
    assert "evil" not in ok("git", "show", f"{evil}:jobs/rachel/job/main.py", cwd=own.town.repository), "git is fooled"
    for said in (owen.gitqueue("review", "rachel/job"), owen.gitqueue("diff", "rachel/job")):
        assert "+print('evil')" in said.out, said
    own.refused(f"{own.merge('rachel/job', nice)}:{APPROVED}", because=f"stands at {evil[:12]}")
    own.accepted(f"{own.merge('rachel/job', evil)}:{APPROVED}")


def test_the_gate_sees_the_pushed_objects_only_in_quarantine_and_writes_nothing_there(own: Workshop) -> None:
    hook = own.town.repository / "hooks" / "pre-receive"
    ours = hook.read_text().splitlines()[1].removeprefix("exec ")
    look = f"""#!/bin/sh
read old new name
echo "$old $new $name" | {ours}; code=$?
git cat-file -e $new && echo "inside: seen" >&2
env -u GIT_QUARANTINE_PATH -u GIT_OBJECT_DIRECTORY -u GIT_ALTERNATE_OBJECT_DIRECTORIES git cat-file -e $new ||
    echo "outside: not seen" >&2
echo "left: $(find $GIT_QUARANTINE_PATH -type f | wc -l)" >&2
exit $code
"""
    commit = own.request("rachel/job")
    plain = len(ok("git", "rev-list", "--objects", commit, f"^{own.tip}", cwd=own.path).splitlines())
    hook.write_text(look)
    said = own.accepted(f"{commit}:{REQUEST}job")
    assert "inside: seen" in said
    assert "outside: not seen" in said
    assert f"left: {plain}" in said, "what was pushed lies there, and nothing of ours"


def test_escape_sequences_in_messages_names_and_files_reach_no_terminal(own: Workshop) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\u202e\u009b8m"
    yaml = JOB.replace(b"Mean radius by diagnosis", b'"Mean \\e[2J radius"')
    said = own.push(f"{own.request('rachel/name', {**GOOD, 'job.yaml': yaml})}:{REQUEST}name")
    assert said.code != 0
    assert "\x1b[2J" not in said.err
    files = {**GOOD, "notes.txt": f"text {evil}\n".encode()}
    revision = own.asked("rachel/job", files, message=f"Ask {evil}")
    note = own.note(revision, "comment", "owen", f"Look {evil} here")
    own.accepted(f"{note}:refs/heads/reviews/rachel/job")
    owen = own.town.desk("owen")
    shown = [owen.gitqueue(*words) for words in (("list",), ("show", "rachel/job"), ("review", "rachel/job"))]
    for done in (*shown, owen.gitqueue("diff", "rachel/job"), owen.gitqueue("show", "rachel/job", "--json")):
        assert done.code == 0, done.err
        for char in "\x1b\x07\u202e\u009b":
            assert char not in done.out + done.err
    assert "Look <U+001B>]0;owned" in shown[1].out
    assert "+text <U+001B>]0;owned" in shown[2].out


@pytest.mark.parametrize("date", [4102444800, 10**12, 9223372036854775807], ids=["2100", "33658", "the last second"])
def test_a_commit_of_the_far_future_is_refused_and_hides_nobodys_list(shop: Workshop, date: int) -> None:
    request = shop.request("rachel/job", date=date)
    why = f"commit {request[:12]} is dated in the future: set the clock of the machine that made it"
    shop.refused(f"{request}:{REQUEST}job", because=why)
    change = shop.change({"README.md": b"x"}, date=date)
    shop.refused(f"{change}:{APPROVED}", because="is dated in the future")


def test_a_review_of_the_far_future_is_refused(own: Workshop) -> None:
    revision = own.asked("rachel/job")
    note = own.note(revision, "comment", "rachel", date=10**12)
    own.refused(f"{note}:refs/heads/reviews/rachel/job", because=f"review commit {note[:12]} is dated in the future")
    own.accepted(f"{own.note(revision, 'comment', 'rachel', date=0)}:refs/heads/reviews/rachel/job")


def test_a_negative_date_is_refused(shop: Workshop) -> None:
    commit = shop.request("rachel/job", date=-5)
    shop.refused(f"{commit}:{REQUEST}job", because="badDate")


def test_an_encoding_in_a_commit_that_git_would_show_otherwise_is_refused(shop: Workshop) -> None:
    commit = shop.request("rachel/job", headers=b"encoding UTF-7\n")
    why = f"commit {commit[:12]} has the header 'encoding', which changes what git shows"
    shop.refused(f"{commit}:{REQUEST}job", because=why)


# --- at once


def test_of_two_pushes_to_approved_at_once_one_wins(own: Workshop) -> None:
    changes = [own.change({"README.md": f"{number}\n".encode()}) for number in range(4)]
    argv = ["git", "push", "--quiet", str(own.town.repository)]
    pushes = [subprocess.Popen([*argv, f"{c}:{APPROVED}"], cwd=own.path, stderr=subprocess.PIPE) for c in changes]
    ended = {
        commit: (push.communicate()[1].decode(), push.returncode) for commit, push in zip(changes, pushes, strict=True)
    }
    won = [commit for commit, (_, code) in ended.items() if code == 0]
    assert won == [own.tip], ended
    for err, code in ended.values():
        assert code == 0 or any(
            word in err for word in ("fetch first", "failed to", "cannot lock", "goes forward only")
        ), err
    assert ok("git", "fsck", "--no-dangling", cwd=own.town.repository) == ""


def test_two_owners_who_approve_at_once_both_succeed_since_approve_tries_again(own: Workshop) -> None:
    for job in ("rachel/one", "rolf/two"):
        own.asked(job, who=job.split("/")[0])
    argv = (sys.executable, "-m", "gitqueue", "approve")
    wanted = (("owen", "rachel/one"), ("olga", "rolf/two"))
    desks = [(own.town.desk(name), job) for name, job in wanted]
    begun = [
        subprocess.Popen([*argv, job, "-m", "Fine"], cwd=desk.path, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        for desk, job in desks
    ]
    for child in begun:
        _, err = child.communicate(timeout=60)
        assert child.returncode == 0, err.decode()
    assert [state(own, job) for _, job in wanted] == ["approved", "approved"]
    assert own.town.gitqueue("verify").code == 0


def test_approved_moves_alone_or_it_would_be_judged_beside_what_moves_with_it(own: Workshop) -> None:
    first = own.asked("rachel/job")
    second = own.request("rachel/job", {**GOOD, "main.py": b"print(2)\n"})
    merged, no = own.merge("rachel/job", first), own.note(first, "rejected", "olga")
    why = "approved moves by a push of its own"
    own.refused(f"{merged}:{APPROVED}", f"+{second}:{REQUEST}job", because=why)
    own.refused(f"{merged}:{APPROVED}", f"{no}:refs/heads/reviews/rachel/job", because=why)
    own.accepted(f"{merged}:{APPROVED}")
    own.refused(f"+{second}:{REQUEST}job", because="rachel/job was approved and takes nothing more")


def test_one_ref_named_twice_in_a_push_moves_once_at_most(shop: Workshop) -> None:
    good, bad = shop.request("rachel/job"), shop.request("rachel/job", {"x": b""})
    objects = [*objects_of(shop, good), *objects_of(shop, bad)]
    name = f"{REQUEST}job".encode()
    with shop.nothing_kept([good, bad]):
        done, _ = shop.send([(NONE, good, name), (NONE, bad, name)], pack(objects))
    assert done.code == 1
