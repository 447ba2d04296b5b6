"""`show --sandbox`: what walls stand around a job, each with its reason, before its run and after."""

import json

from conftest import JOB, MAIN, Town, done


def words(document: str) -> list[str]:
    return [word for group in json.loads(document)["arguments"] for word in group["words"]]


def test_before_it_runs_anybody_reads_what_would_stand_around_it(town: Town) -> None:
    town.desk("rachel").request("rachel/job")
    said = done(town.desk("rachel").gitqueue("show", "rachel/job", "--sandbox")).out
    assert "as it would run now" in said
    assert "--unshare-net\n    # no network" in said
    assert "--ro-bind '<cancer features>' /data/cancer/features.csv" in said
    assert said.rstrip().endswith("python main.py\n    # what the job asked for")


def test_after_it_ran_an_owner_reads_the_very_arguments(town: Town) -> None:
    town.desk("owen").approve(town.desk("rachel").request("rachel/job"))
    town.serve()
    said = done(town.desk("owen").gitqueue("show", "rachel/job", "--sandbox")).out
    assert "as it ran" in said
    assert "/data/features.csv /data/cancer/features.csv\n    # data and environment" in said
    assert "# multiprocessing's semaphores" in said
    assert "limit of memory: " in said
    document = done(town.gitqueue("show", "rachel/job", "--sandbox", "--json")).out
    held = json.loads(done(town.gitqueue("outputs", "rachel/job", "--json")).out)
    assert json.loads(document)["ran"] is True
    assert words(document)[:3] == ["bwrap", "--unshare-user", "--disable-userns"]
    assert held["reason"] == ""


def test_a_command_that_looks_like_arguments_explains_itself_away_from_nothing(town: Town) -> None:
    job = JOB.replace(b"python main.py", b"python main.py --bind /etc /tmp --bind x /output --nproc=7")
    town.desk("owen").approve(town.desk("rachel").request("rachel/job", {"job.yaml": job, "main.py": MAIN}))
    town.serve()
    said = done(town.gitqueue("show", "rachel/job", "--sandbox")).out
    assert "# the one way out" in said
    assert "# what the job asked for" in said
