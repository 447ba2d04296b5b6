"""The same checks at a real site: on mock data at home, on real data at the site, and who is told what."""

import json
import re

import pytest
from conftest import Town, done, ok

NOTE = b"""import csv, os
rows = list(csv.DictReader(open(os.environ["GITQUEUE_DATA"] + "/cancer/features.csv")))
with open(os.environ["GITQUEUE_OUTPUT"] + "/note.txt", "w") as out:
    out.write(f"Of {len(rows)} records, the one of {rows[17]['patient_id']} came first.\\n")
"""
JOB = b"name: Who came first\nrun: python main.py\ndatasets: [cancer]\noutputs: [note.txt]\n"


@pytest.mark.slow
def test_an_id_in_a_sentence_is_seen_at_home_and_held_at_the_site_and_only_owners_are_told(town: Town) -> None:
    rachel, owen = town.desk("rachel"), town.desk("owen")
    commit = rachel.request("rachel/first", {"job.yaml": JOB, "main.py": NOTE})
    tested = done(rachel.gitqueue("test")).out
    assert "stand in the private column 'cancer/features: patient_id'" in tested
    assert "m17" in tested, "the cell, of mock data"
    assert "to mend it: write aggregates over groups" in tested

    owen.approve(commit)
    town.serve()
    told = json.loads(done(town.gitqueue("outputs", "rachel/first", "--json")).out)
    (flag,) = told["flags"]
    assert (flag["check"], flag["file"], flag["cells"]) == ("private_values", "note.txt", ["line 1: p17"])
    assert "p17" in done(town.gitqueue("outputs", "rachel/first")).out
    everything = ok("git", "cat-file", "--batch-all-objects", "--batch", cwd=town.repository)
    assert "p17" not in everything
    shown = json.loads(done(rachel.gitqueue("show", "first", "--json")).out)
    assert shown["state"] == "held"
    assert "private" not in json.dumps(shown)

    (index,) = (town.site / "private" / "indexes").glob("*/0.parquet")
    assert index.parent.parent.stat().st_mode & 0o077 == 0
    assert b"p17" not in index.read_bytes()
    written = index.stat().st_mtime_ns
    owen.approve(rachel.request("rachel/second", {"job.yaml": JOB, "main.py": NOTE}))
    town.serve()
    assert json.loads(done(town.gitqueue("outputs", "rachel/second", "--json")).out)["flags"] == told["flags"]
    assert [path.stat().st_mtime_ns for path in (town.site / "private" / "indexes").glob("*/0.parquet")] == [written]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["python", "function", "shell", "r"])
def test_a_template_runs_as_it_is_and_nothing_of_it_would_be_held(town: Town, kind: str) -> None:
    rachel = town.desk("rachel")
    done(rachel.gitqueue("new", "mine", "--template", kind))
    done(rachel.gitqueue("check"))
    said = done(rachel.gitqueue("test")).out
    assert re.search(r"outputs +(summary\.csv|counts\.csv|result\.json) \(", said)
    assert "to mend it" not in said
