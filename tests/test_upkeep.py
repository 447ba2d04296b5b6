"""A site for years: gc closes what is over, a backup is whole whenever it is taken, recover is the way on."""

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import time

import pytest
from conftest import JOB, Desk, Town, call, configure, done, ok, reachable, run
from test_server import be

import gitqueue as gq
from gitqueue import refs
from gitqueue.adapters import git, journal
from gitqueue.adapters.objects import EMPTY_TREE
from gitqueue.adapters.premises import Premises
from gitqueue.adapters.queue import Queue
from gitqueue.adapters.settings import Site
from gitqueue.errors import OperatorNeeded
from gitqueue.runner import upkeep, watch
from gitqueue.runner.desk import Desk as RunnerDesk
from gitqueue.steps import tidy

FINE = b"import os; open(os.environ['GITQUEUE_OUTPUT'] + '/means.csv', 'w').write('a,b\\nx,12.5\\n')"
HELD = b"import os; open(os.environ['GITQUEUE_OUTPUT'] + '/means.csv', 'w').write('patient_id\\np1\\n')"
LATER = 100 * 86400.0


@pytest.fixture(scope="session")
def old(template: Path) -> Iterator[Path]:
    """A site with one job completed, one failed, one held, one rejected, one approved and one pending."""
    with reachable() as base:
        shutil.copytree(template, base / "town", symlinks=True)
        _live(Town(base / "town"))
        yield base / "town"


@pytest.fixture
def lived(old: Path) -> Iterator[Town]:
    with reachable() as base:
        shutil.copytree(old, base / "town", symlinks=True)
        yield Town(base / "town")


def _live(town: Town) -> None:
    rachel, owen = town.desk("rachel"), town.desk("owen")
    for name, main in (("done", FINE), ("broken", b"raise SystemExit(1)"), ("held", HELD)):
        owen.approve(rachel.request(f"rachel/{name}", {"job.yaml": JOB, "main.py": main}))
    rachel.request("rachel/no", {"job.yaml": JOB, "main.py": FINE})
    done(owen.gitqueue("reject", "rachel/no", "-m", "Prints rows"))
    town.serve()
    done(town.gitqueue("pause", "-m", "for a test"))
    owen.approve(rachel.request("rachel/next", {"job.yaml": JOB, "main.py": FINE}))
    rachel.request("rachel/new", {"job.yaml": JOB, "main.py": FINE})
    town.serve()
    shutil.rmtree(town.path / "desks")


OVER = {"rachel/done", "rachel/broken", "rachel/no"}
OPEN = {"rachel/held", "rachel/next", "rachel/new"}


def premises(town: Town) -> Premises:
    site = Site(town.site)
    return Premises(site, site.settings())


def jobs(town: Town) -> set[str]:
    return {"/".join(name.split("/")[3:]) for name in town.refs() if name.count("/") == 4}


def vault(town: Town) -> list[str]:
    lines = ok("git", "for-each-ref", "--format=%(refname)", cwd=town.site / "private" / "vault.git")
    return lines.splitlines()


def sound(town: Town) -> None:
    for repository in (town.repository, town.site / "private" / "vault.git"):
        ok("git", "fsck", "--strict", "--no-dangling", cwd=repository)
    done(town.gitqueue("verify"))


def test_gc_closes_what_is_over_and_leaves_what_is_open(lived: Town) -> None:
    assert {str(job) for job in tidy.tidy(premises(lived), time() + LATER).closed} == OVER
    assert jobs(lived) == OPEN
    assert "refs/heads/outputs/rachel/done" not in vault(lived)
    assert {"refs/heads/outputs/rachel/held", "refs/claims/rachel/done/1"} <= set(vault(lived))
    assert lived.serve().err.count("gone") == 0, "a ref that gc took away is no alarm"
    sound(lived)
    assert "closed" in done(lived.gitqueue("audit", "rachel/done")).out.splitlines()[-1]


def test_what_is_closed_is_still_found_from_a_clone(lived: Town, tmp_path: Path) -> None:
    tidy.tidy(premises(lived), time() + LATER)
    lived.serve()
    desk = lived.desk("rachel", "later")
    assert {row["id"] for row in json.loads(done(desk.gitqueue("list", "--json")).out)} == OPEN
    every = {row["id"]: row["state"] for row in json.loads(done(desk.gitqueue("list", "--all", "--json")).out)}
    assert {job for job, state in every.items() if state == "closed"} == OVER
    done(desk.gitqueue("results", "rachel/done", "-o", tmp_path / "out"))
    assert (tmp_path / "out" / "means.csv").read_text() == "a,b\nx,12.5\n"
    assert "is closed" in desk.gitqueue("results", "rachel/broken").err
    desk.git("config", "gitqueue.root", Site(lived.site).settings().root)
    done(desk.gitqueue("verify", "rachel/done"))
    merged = ok("git", "log", "--format=%s", "-1", "approved", cwd=lived.repository)
    assert merged
    assert "was approved" in desk.refused(
        "push", "origin", f"{_copy(desk, 'rachel/done')}:refs/heads/requests/rachel/done"
    )


def test_nobody_waits_for_what_gc_closed(lived: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Watching and waiting end at once, and tell what came of the job before it was closed."""
    tidy.tidy(premises(lived), time() + LATER)
    lived.serve()
    desk = lived.desk("rachel", "later")
    assert "rachel/done is closed" in done(desk.gitqueue("watch", "rachel/done")).out
    no = desk.gitqueue("watch", "rachel/no")
    assert (no.code, "rachel/no is closed: Prints rows" in no.err) == (1, True)
    be(monkeypatch, lived, "rachel")
    site = gq.connect(lived.site)
    fine = site.job("rachel/done").wait(0)
    assert (fine.status, fine.over, list(fine.results)) == ("closed", True, ["means.csv"])
    for name, error in (("no", gq.JobRejected), ("broken", gq.JobFailed)):
        with pytest.raises(error) as raised:
            site.job(f"rachel/{name}").wait(0)
        assert type(raised.value) is error


def _copy(desk: Desk, job: str) -> str:
    """A new request under the name of a closed job."""
    desk.git("switch", "-q", "--detach", "origin/approved")
    desk.write({f"jobs/{job}/main.py": b"print(1)\n"})
    desk.git("commit", "-q", "-S", "-am", "Once more")
    return desk.git("rev-parse", "HEAD")


def test_a_results_branch_that_somebody_removed_is_an_alarm_though_others_were_closed(lived: Town) -> None:
    tidy.tidy(premises(lived), time() + LATER)
    lived.serve()
    ok("git", "update-ref", "-d", "refs/heads/results/rachel/held", cwd=lived.repository)
    ended = lived.once()
    assert ended.code == 4
    assert "refs/heads/results/rachel/held has gone" in ended.err
    assert "rachel/done" not in ended.err


def test_a_chain_that_is_verified_anew_has_no_closed_job_looked_at(
    lived: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    tidy.tidy(premises(lived), time() + LATER)
    lived.serve()
    (lived.site / "private" / "verified.json").unlink()
    looked: list[str] = []
    real = Queue.job
    monkeypatch.setattr(Queue, "job", lambda queue, job: (looked.append(str(job)), real(queue, job))[1])
    desk = RunnerDesk(Site(lived.site), lambda text, **_: None)
    for step in (watch.settle, watch.verify_chain, watch.scan, watch.look):
        step(desk)
    assert desk.chain.tip == lived.refs()["refs/heads/approved"]
    assert set(looked) == OPEN
    closed = refs.job_id("rachel/done")
    desk.touched.add(closed)
    watch.look(desk)
    assert {str(job) for job in desk.open} == {"rachel/held"}


def test_nobody_but_the_runner_writes_the_archive(lived: Town) -> None:
    """Whoever can write the site's refs could else remove results, and have it called tidiness."""
    tip = lived.refs()["refs/heads/results/rachel/held"]
    text = f"close 1 jobs\n\nClosed: rachel/held completed - - {tip}\n"
    configure(lived.repository, "rachel", lived.key("rachel"))
    ok("git", "mktree", cwd=lived.repository)
    made = ok("git", "commit-tree", "-S", EMPTY_TREE, "-p", tip, "-m", text, cwd=lived.repository)
    ok("git", "update-ref", "refs/archive/2020-01", made, cwd=lived.repository)
    ok("git", "update-ref", "-d", "refs/heads/results/rachel/held", cwd=lived.repository)
    ended = lived.once()
    assert ended.code != 0
    assert f"archive commit {made[:12]} is not signed by a runner" in ended.err


class Killed(BaseException):
    """What kill -9 is to a step, but for the process."""


BOUNDARIES: list[tuple[object, str, int, bool]] = [
    (module, name, number, before)
    for module, name, number in (
        (journal, "leave", 1),
        (git, "move_refs", 1),
        (git, "move_refs", 2),
    )
    for before in (True, False)
]


@pytest.mark.parametrize(("module", "name", "number", "before"), BOUNDARIES)
def test_gc_that_was_killed_at_any_boundary_is_ended_by_the_next(
    lived: Town, monkeypatch: pytest.MonkeyPatch, module: object, name: str, number: int, before: bool
) -> None:
    (lived.site / "spool" / "rachel+done+1").mkdir(exist_ok=True)
    now = time() + LATER  # of both: what is made in one second is the same commit
    real: Callable[..., object] = getattr(module, name)
    calls = []

    def dying(*words: object, **more: object) -> object:
        calls.append(words)
        if len(calls) == number and before:
            raise Killed
        found = real(*words, **more)
        if len(calls) == number:
            raise Killed
        return found

    with monkeypatch.context() as patched:
        patched.setattr(module, name, dying)
        with pytest.raises(Killed):
            tidy.tidy(premises(lived), now)
    lived.serve()
    tidy.tidy(premises(lived), now)
    lived.serve()
    assert jobs(lived) == OPEN
    assert not list((lived.site / "spool").glob("*+done+*"))
    assert "refs/heads/outputs/rachel/done" not in vault(lived)
    sound(lived)


def test_refs_that_a_crash_left_of_a_closed_job_go_before_anything_is_made_of_them(lived: Town) -> None:
    before = lived.refs()
    tidy.tidy(premises(lived), time() + LATER)
    name = "refs/heads/requests/rachel/done"
    ok("git", "update-ref", name, before[name], cwd=lived.repository)
    lived.serve()
    assert jobs(lived) == OPEN
    sound(lived)


def test_a_gc_that_fails_is_said_and_stops_neither_the_runner_nor_the_next_one(town: Town) -> None:
    site, said = Site(town.site), []
    desk = RunnerDesk(site, lambda text, **about: said.append(text))
    lock = site.memory("gc.lock")
    lock.mkdir()
    for _ in range(2):
        site.remember("tidied", "1")
        upkeep.daily(desk)
        assert desk.upkeep is not None
        desk.upkeep.result(60)
    assert [text.split(":")[0] for text in said] == ["gc did not end"] * 2
    assert str(lock) in said[0]


def test_gc_at_will_before_the_runner_verified_anything_says_what_first(town: Town) -> None:
    site = Site(town.site)
    site.memory("verified.json").unlink(missing_ok=True)
    ended = town.gitqueue("gc")
    assert ended.code == 5
    assert "has verified nothing here yet" in ended.err
    assert "serve --once" in ended.err
    town.serve()
    done(town.gitqueue("gc"))


def test_gc_at_will_goes_by_the_sites_own_retention(lived: Town) -> None:
    said = done(lived.gitqueue("gc")).out
    assert "0 jobs closed" in said
    assert jobs(lived) == OVER | OPEN
    done(lived.desk("owen").gitqueue("policy", "set", "retention=1s"))
    lived.serve()
    while "closed rachel/done" not in said:
        said = done(lived.gitqueue("gc")).out
    sound(lived)


def test_gc_removes_programs_of_older_versions_that_no_run_names(lived: Town) -> None:
    spool, run_ = lived.site / "spool", lived.site / "spool" / "rachel+held+1"
    here = {place.name for place in (*spool.glob("checks-*"), *spool.glob("tools/*"))}
    assert here, "of this version, used a moment ago"
    for name in ("checks-older", "checks-waiting", "tools/older", "tools/recent"):
        (spool / name / "lib").mkdir(parents=True)
        os.utime(spool / name, (0, time() - (0 if "recent" in name else 8 * 86400)))
    (run_ / "analysis").mkdir(parents=True)
    (run_ / "analysis" / "plan.json").write_text(f'{{"programs": "{spool}/checks-waiting"}}')
    assert tidy.tidy(premises(lived), time()).programs == ("checks-older", "older")
    left = {place.name for place in (*spool.glob("checks-*"), *spool.glob("tools/*"))}
    assert left == here | {"checks-waiting", "recent"}


def test_a_backup_taken_under_load_brings_up_a_site_that_verifies_and_goes_on(lived: Town, tmp_path: Path) -> None:
    done(lived.gitqueue("resume"))
    copies: list[Path] = []

    def work() -> None:
        rolf, owen = lived.desk("rolf"), lived.desk("owen", "other")
        for number in range(2):
            owen.approve(rolf.request(f"rolf/job-{number}", {"job.yaml": JOB, "main.py": FINE}))
            lived.serve()

    worker = threading.Thread(target=work)
    worker.start()
    while not copies or not copies[-1].name.endswith("after"):
        copies.append(tmp_path / f"backup-{len(copies)}-{'while' if worker.is_alive() else 'after'}")
        done(lived.gitqueue("backup", copies[-1]))
    for at in sorted({len(copies) // 2, len(copies) - 1}):
        site = lived.path / f"restored-{at}"
        assert "verify from the root" in done(call("backup", copies[at], "--restore", site)).out
        ok("git", "-C", site / "private" / "vault.git", "fsck", "--strict", cwd=site)
        assert (site / "private" / "keys" / "runner").stat().st_mode & 0o077 == 0
        assert not list((site / "spool").iterdir())
    _goes_on(site)


def _goes_on(site: Path) -> None:
    """The last copy has all that was done; what was approved and had not run, runs in it once, after resume."""
    assert "restored from the backup" in done(call("-C", site, "status")).out
    done(call("-C", site, "doctor", "--fix"))
    done(call("-C", site, "resume"))
    ended = call("-C", site, "serve", "--once")
    assert ended.code == 0, ended.err
    rows = {row["id"]: row["state"] for row in json.loads(done(call("-C", site, "list", "--all", "--json")).out)}
    assert rows["rachel/next"] == rows["rolf/job-1"] == "completed"
    assert rows["rachel/held"] == "held"
    done(call("-C", site, "verify"))


def test_a_site_restored_for_trials_runs_nothing_before_its_owners_named_it_so(lived: Town, tmp_path: Path) -> None:
    done(lived.gitqueue("backup", tmp_path / "copy"))
    trial = lived.path / "trial"
    done(call("backup", tmp_path / "copy", "--restore", trial, "--as", "trial"))
    assert "policy set site=trial" in call("-C", trial, "resume").err
    desk = lived.path / "trial-desk"
    ok("git", "clone", "-q", trial / "site.git", desk, cwd=lived.path)
    configure(desk, "owen", lived.key("owen"))
    done(Desk("owen", desk).gitqueue("policy", "set", "site=trial"))
    done(call("-C", trial, "resume"))


def test_half_a_backup_is_none(town: Town, tmp_path: Path) -> None:
    done(town.gitqueue("backup", tmp_path / "copy"))
    assert "is there already" in town.gitqueue("backup", tmp_path / "copy").err
    (tmp_path / "copy" / "backup.json").unlink()
    said = call("backup", tmp_path / "copy", "--restore", tmp_path / "site")
    assert (said.code, "no whole backup" in said.err) == (5, True)
    assert not (tmp_path / "site").exists()


def test_recover_goes_on_from_the_last_commit_that_verifies(lived: Town) -> None:
    good = lived.refs()[refs.APPROVED]
    forged = run("git", "commit-tree", f"{good}^{{tree}}", "-p", good, "-m", "Trust me", cwd=lived.repository, env=WHO)
    ok("git", "update-ref", refs.APPROVED, forged.out.strip(), cwd=lived.repository)
    ok("git", "update-ref", "-d", "refs/heads/results/rachel/broken", cwd=lived.repository)
    assert lived.once().code == 4
    said = done(lived.gitqueue("recover", "--to", good)).out
    assert "results/rachel/broken is taken as it is now (gone)" in said
    assert lived.refs()[refs.APPROVED] == good
    done(lived.gitqueue("recover", "--to", good))
    ended = lived.once()
    assert "rachel/broken ran, but its branch" not in ended.out
    assert "the operator put approved back" in done(lived.gitqueue("audit")).out


def test_recover_to_an_older_commit_is_in_the_audit_and_verifies(town: Town) -> None:
    old = town.refs()[refs.APPROVED]
    owen, rachel = town.desk("owen"), town.desk("rachel")
    owen.approve(rachel.request("rachel/job", {"job.yaml": JOB, "main.py": FINE}))
    done(town.gitqueue("pause", "-m", "for a test"))
    town.serve()
    done(town.gitqueue("recover", "--to", old))
    sound(town)
    town.serve()
    assert json.loads(town.gitqueue("show", "rachel/job", "--json").out)["state"] == "pending"


def test_recover_takes_no_commit_whose_chain_does_not_hold(town: Town) -> None:
    tip = town.refs()[refs.APPROVED]
    forged = run("git", "commit-tree", f"{tip}^{{tree}}", "-p", tip, "-m", "Trust me", cwd=town.repository, env=WHO)
    said = town.gitqueue("recover", "--to", forged.out.strip())
    assert (said.code, "is not signed" in said.err) == (4, True)
    assert "full id" in town.gitqueue("recover", "--to", tip[:12]).err


WHO = {f"GIT_{part}_{what}": "eve@x" for part in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def test_two_gc_do_not_meet(town: Town) -> None:
    with tidy._alone(Site(town.site)), pytest.raises(OperatorNeeded, match="at work"):
        tidy.tidy(premises(town), time())
