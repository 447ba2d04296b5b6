"""Findings where people meet them: at home, in the owner's report, in the rehearsal; seen inside the real sandbox."""

import json
from pathlib import Path

import pytest
from conftest import JOB, MAIN, Desk, Town, done, ok

from gitqueue.adapters import analysis, preparation, sandbox
from gitqueue.adapters.preparation import Code
from gitqueue.refs import JobId
from gitqueue.rules import findings
from gitqueue.rules.findings import Facts, Verdict
from gitqueue.rules.tree import File

LEAK = MAIN + b"print(rows[:3])\n"
TAGGED = JOB + b"tags: [aggregate-analysis]\n"


def test_a_requester_reads_at_home_what_owners_will_read_and_how_to_mend_it(town: Town, rachel: Desk) -> None:
    rachel.request("rachel/job", {"job.yaml": TAGGED, "main.py": LEAK}, push=False)
    said = done(rachel.gitqueue("check"))
    assert "main.py:5: row-level output (certain): prints to the log" in said.err
    assert "to mend it: aggregate it" in said.err
    assert "beside a recommendation: reject" in said.err
    kept = list((rachel.path / ".git" / "gitqueue" / "findings").iterdir())
    assert len(kept) == 1
    row = json.loads(done(rachel.gitqueue("check", "--json")).out)
    assert [one["category"] for one in row["findings"]] == ["contradicts its tags", "row-level output"]
    assert (row["ok"], row["recommendation"], row["score"]) == (True, "reject", -2)
    rachel.write({"jobs/rachel/job/main.py": MAIN})
    assert done(rachel.gitqueue("check")).err == ""
    assert len(list(kept[0].parent.iterdir())) == 2, "other files are looked at anew"


def test_owners_read_it_in_the_report_and_the_runner_says_it_in_its_note(town: Town, rachel: Desk, owen: Desk) -> None:
    rachel.request(
        "rachel/job", {"job.yaml": JOB, "main.py": LEAK + b"x = '\\x1b[31m\xe2\x80\xa6'; open('/etc/' + 'shadow')\n"}
    )
    report = done(owen.gitqueue("review", "rachel/job")).out
    section = report.partition("What its code would do\n")[2].partition("\n\n")[0]
    assert "the analysis says reject (score -2), and you decide\n! main.py:6 files outside, certain\n" in section
    assert "? main.py:5 row-level output, certain\n" in section
    markdown = done(owen.gitqueue("review", "rachel/job", "--markdown")).out
    assert "**danger** main&#46;py" in markdown or "**danger** main.py" in markdown
    row = json.loads(done(rachel.gitqueue("show", "job", "--json")).out)
    assert [(one["file"], one["line"], one["grade"]) for one in row["findings"]] == [
        ("main.py", 6, "danger"),
        ("main.py", 5, "doubt"),
    ]
    assert row["recommendation"] == "reject"
    town.serve()
    note = ok("git", "log", "-1", "--format=%B", "reviews/rachel/job", cwd=town.repository)
    assert "code       reject (score -2)\n           main.py:6: files outside (certain): names '/etc/shadow'" in note


def test_where_nothing_can_be_sandboxed_nothing_is_parsed_and_that_is_said(
    rachel: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rachel.request("rachel/job", {"job.yaml": JOB, "main.py": LEAK}, push=False)
    monkeypatch.setattr(sandbox, "PROGRAM", str(tmp_path / "bwrap"))
    said = done(rachel.gitqueue("check"))
    assert (
        "not analysed (certain): the code was not analysed: this machine has no sandbox (bubblewrap is missing"
        in said.err
    )
    assert "row-level" not in said.err
    assert "recommendation: review" in said.err
    monkeypatch.undo()
    assert "row-level output" in done(rachel.gitqueue("check")).err, "what could not be seen is not kept"


def verdict(files: dict[str, bytes]) -> Verdict:
    """Of a job's files, in the sandbox that this machine has."""
    held = tuple(File(name, 0o100644, len(data), data) for name, data in files.items())
    code: Code = preparation.code(JobId("rachel", "job"), held)
    return findings.judge(Facts(held, code.asked, analysis.at_home(preparation.at_home(), code, {})))


def test_files_that_break_parsers_hide_nothing_of_the_others() -> None:
    """Each in a process of its own, within limits, inside the sandbox."""
    seen = verdict(
        {
            "job.yaml": JOB,
            "deep.py": b"x = " + b"[" * 90_000 + b"]" * 90_000,
            "wide.py": b"x = 1" + b" + 1" * 200_000,
            "large.py": b"x = 1\n" * 1_700_000,
            "nul.py": b"import os\0",
            "odd.ipynb": b'{"cells": [[[[{"a": 3}',
            "deep.sh": b"$(" * 9000 + b")" * 9000,
            "main.py": b"import socket\nsocket.socket()\n",
        }
    )
    found = {(one.file, str(one.category)) for one in seen.findings}
    unread = {file for file, category in found if category == "not analysed"}
    assert unread == {"deep.py", "wide.py", "large.py", "nul.py", "odd.ipynb", "deep.sh"}
    assert ("main.py", "network") in found
    assert (str(seen.recommendation)) == "reject"


@pytest.mark.parametrize(
    ("limits", "why"), [({"time": 0.05}, "it took too long"), ({"memory": 12 << 20}, "it took too much memory")]
)
def test_an_analyser_that_is_late_or_dies_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, limits: dict[str, int], why: str
) -> None:
    from dataclasses import replace

    monkeypatch.setattr(analysis, "LIMITS", replace(analysis.LIMITS, **limits))
    seen = verdict({"job.yaml": JOB, "main.py": MAIN})
    assert [str(one.category) for one in seen.findings] == ["not analysed"]
    assert why in seen.findings[0].why
    assert str(seen.recommendation) == "review"
