"""The lines of design/1-workflow.md, "By plain git", from clones that know nothing but git's own signing."""

import subprocess

from conftest import JOB, MAIN, REAL, Desk, Town, ok, run


def test_a_request_an_approval_and_its_result_need_nothing_but_git(town: Town) -> None:
    rachel, owen = town.desk("rachel"), town.desk("owen")
    rachel.git("switch", "-c", "requests/rachel/bc-mean", "--no-track", "origin/approved")
    rachel.request("rachel/other", push=False)
    rachel.git("switch", "requests/rachel/bc-mean")
    rachel.write({"jobs/rachel/bc-mean/job.yaml": JOB, "jobs/rachel/bc-mean/main.py": MAIN})
    rachel.git("add", "jobs")
    rachel.git("commit", "-S", "-m", "Mean radius by diagnosis")
    pushed = run_git(rachel, "push", "origin", "HEAD")
    assert answer(pushed) == [
        "rachel/bc-mean is pending",
        "next: an owner reads it, and approves, asks for changes or rejects",
        "follow: git fetch && git log origin/reviews/rachel/bc-mean",
    ]

    owen.git("fetch")
    revision = owen.git("rev-parse", "origin/requests/rachel/bc-mean")
    assert "+run: python main.py" in owen.git("diff", "--text", f"origin/approved...{revision}")
    owen.git("switch", "approved")
    owen.git("merge", "--ff-only", "origin/approved")
    owen.git("merge", "-S", "--no-ff", revision, "-m", "Aggregates only")
    assert answer(run_git(owen, "push", "origin", "approved"))[0] == "rachel/bc-mean is approved"

    town.serve()

    rachel.git("fetch")
    assert "State: completed" in rachel.git("log", "-1", "origin/results/rachel/bc-mean")
    shown = rachel.git("show", "origin/results/rachel/bc-mean:results/rachel/bc-mean/outputs/means.csv")
    radii = [int(line.split(b",")[1]) for line in REAL.splitlines()[1:]]
    assert shown.splitlines() == ["feature,mean,n", f"radius,{sum(radii) / len(radii):.2f},{len(radii)}"]
    signers = "gpg.ssh.allowedSignersFile=.gitqueue/allowed_signers"
    assert rachel.git("-c", signers, "log", "--format=%G?", "-1", "origin/results/rachel/bc-mean") == "G"


def test_an_owner_says_no_and_later_fine_on_top_of_the_thread(town: Town) -> None:
    rachel, owen = town.desk("rachel"), town.desk("owen")
    revision = rachel.request("rachel/rows")
    owen.git("fetch")
    owen.git("switch", "--detach", revision)
    no = ("--trailer", "Decision=rejected", "--trailer", f"Revision={revision}")
    owen.git("commit", "-S", "--allow-empty", "-m", "Prints rows", *no)
    pushed = run_git(owen, "push", "origin", "HEAD:refs/heads/reviews/rachel/rows")
    assert answer(pushed)[0] == "rachel/rows: owen said rejected"
    assert "Prints rows" in state_of(town, "rachel/rows")

    owen.git("fetch")
    owen.git("switch", "--detach", revision)
    trailers = f"Decision: comment\nRevision: {revision}"
    owen.git("merge", "-S", "-s", "ours", "origin/reviews/rachel/rows", "-m", "Fine now", "-m", trailers)
    owen.git("push", "origin", "HEAD:refs/heads/reviews/rachel/rows")
    assert "rejected" in state_of(town, "rachel/rows")


def test_sealed_results_open_with_plain_age_and_tar(town: Town) -> None:
    rachel, owen = town.desk("rachel"), town.desk("owen")
    owen.gitqueue("policy", "set", "results=sealed")
    owen.approve(rachel.request("rachel/bc-mean"))
    town.serve()
    rachel.git("fetch")
    sealed = "origin/results/rachel/bc-mean:results/rachel/bc-mean/outputs.tar.age"
    shown = subprocess.run(["git", "show", sealed], cwd=rachel.path, capture_output=True, check=True)
    (rachel.path / "sealed").write_bytes(shown.stdout)
    ok("age", "-d", "-i", town.key("rachel"), "-o", "opened.tar", "sealed", cwd=rachel.path)
    ok("tar", "xf", "opened.tar", cwd=rachel.path)
    assert (rachel.path / "outputs" / "means.csv").read_text().startswith("feature,mean,n\n")
    stranger = run("age", "-d", "-i", town.key("rolf"), "sealed", cwd=rachel.path)
    assert "no identity matched" in stranger.err


def test_a_request_may_be_rewound_by_its_requester(town: Town) -> None:
    rachel = town.desk("rachel")
    first = rachel.request("rachel/bc-mean")
    rachel.write({"jobs/rachel/bc-mean/main.py": b"print(1)\n"})
    rachel.git("commit", "-q", "-S", "--amend", "-a", "-m", "Again")
    rachel.git("push", "--force", "origin", "HEAD")
    assert town.refs()["refs/heads/requests/rachel/bc-mean"] not in (first, "")
    assert "pending" in state_of(town, "rachel/bc-mean")


def answer(said: str) -> list[str]:
    """What the site answered, without git's and our own prefix."""
    lines = (line.removeprefix("remote:").strip() for line in said.splitlines() if line.startswith("remote:"))
    return [line.removeprefix("gitqueue: ") for line in lines if line]


def run_git(desk: Desk, *argv: str) -> str:
    done = run("git", *argv, cwd=desk.path)
    assert done.code == 0, done.err
    return done.err


def state_of(town: Town, job: str) -> str:
    return town.gitqueue("show", job).out.splitlines()[0]
