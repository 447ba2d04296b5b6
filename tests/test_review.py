"""What an owner reads before they decide, and how they answer."""

import os
import pty
import re
import select
import subprocess
import sys
import time

from conftest import JOB, REAL, Desk, Town, done, ok

WHOLE = (
    JOB
    + b"""purpose: Which features separate the diagnoses
project: {name: Atlas, description: Means by diagnosis}
tags: [aggregate-analysis, export]
description: |
  Means of one feature.
  <script>alert(1)</script> ``` | a | b
environment: requirements.txt
limits: {time: 5m, memory: 1GiB}
"""
)
LOCK = b"numpy==2.0.0 --hash=sha256:" + b"0" * 64 + b"\n"


def report(desk: Desk, *argv: str) -> str:
    return done(desk.gitqueue("review", *argv)).out


def section(text: str, title: str) -> str:
    """What stands under a heading of the report."""
    return re.search(rf"^{title}[^\n]*\n-+\n(.*?)(?=^\S[^\n]*\n-{{4,}}\n|\Z)", text, re.M | re.S)[1]  # type: ignore[index]


def test_the_report_says_who_what_for_and_what_is_new(town: Town, rachel: Desk) -> None:
    rachel.request("rachel/first", {"job.yaml": WHOLE.replace(b"Means by", b"All about"), "main.py": b"print(1)\n",
                                    "requirements.txt": LOCK})  # fmt: skip
    rachel.request("rachel/job", {"job.yaml": WHOLE, "main.py": b"print(1)\n", "requirements.txt": LOCK})
    owen = town.desk("owen")
    text = report(owen, "rachel/job")
    assert max(map(len, text.partition("The code\n")[0].splitlines())) <= 80
    for line in (
        "earlier    1 other request, the newest:\n           first (pending)\n",
        "purpose    Which features separate the diagnoses\n",
        "project    Atlas: Means by diagnosis\n",
        "cancer/features: 40 rows of mock, 60 rows of real data\n",
        "used       not known: it has not run yet\n",
        "never      the columns patient_id\n",
        "limits     time 5m of 1h, memory 1GiB of 8GiB",
        "packages   1, from requirements.txt; new to this site: numpy\n",
        "  | <script>alert(1)</script> ``` | a | b\n",
        f"{len(LOCK):>9} B  requirements.txt\n",
        "git merge -S --no-ff $R",
        "--trailer Decision=rejected",
    ):
        assert line in text
    against = section(text, "What speaks against it")
    assert "- the tag 'export' is one that this site calls risky\n" in against
    assert "- the project's description is another than in first\n" in against
    for secret in (REAL.splitlines()[1], str(town.path / "data").encode()):
        assert secret not in text.encode()


def test_a_request_that_says_little_is_told_so(town: Town, rachel: Desk) -> None:
    rachel.request("rachel/job")
    text = report(town.desk("owen"), "rachel/job")
    assert "purpose    NOT GIVEN\nproject    NOT GIVEN\n" in text
    assert "- it says no purpose\n- it belongs to no project\n" in section(text, "What speaks against it")
    assert "earlier    none: this is their first request here" in text


def test_a_new_revision_is_shown_against_the_one_that_was_read_even_when_history_was_rewritten(
    town: Town, rachel: Desk
) -> None:
    owen = town.desk("owen")
    rachel.request("rachel/job", {"job.yaml": JOB, "main.py": b"one = 1\ntwo = 2\n"})
    assert "What changed since" not in report(owen, "rachel/job")
    rachel.git("switch", "-q", "requests/rachel/job")
    (rachel.path / "jobs/rachel/job/main.py").write_bytes(b"one = 1\ntwo = 22\n")
    rachel.git("commit", "-q", "-S", "-a", "--amend", "-m", "Another")
    rachel.git("push", "-q", "--force", "origin", "HEAD")
    only = done(owen.gitqueue("diff", "rachel/job", "--new")).out
    assert "-two = 2\n+two = 22\n" in only
    assert "+one" not in only
    rachel.git("commit", "-q", "-S", "--allow-empty", "-m", "Nothing more")
    rachel.git("push", "-q", "origin", "HEAD")
    new = section(report(owen, "rachel/job"), "What changed since")
    assert "nothing but its history" in new
    refused = town.desk("olga").gitqueue("diff", "rachel/job", "--new")
    assert (refused.code, "no earlier revision of rachel/job was reviewed" in refused.err) == (2, True)


def test_markdown_lets_nothing_of_a_person_be_markup(town: Town, rachel: Desk) -> None:
    yaml = WHOLE.replace(b"purpose: Which", b"purpose: '[x](javascript:1) <img src=x onerror=1> | cell' #")
    rachel.request("rachel/job", {"job.yaml": yaml, "main.py": b"a = '````'\n", "requirements.txt": LOCK})
    text = report(town.desk("owen"), "rachel/job", "--markdown")
    fenced = re.sub(r"^(`{3,})text\n.*?\n\1$", "", text, flags=re.M | re.S)
    assert "<" not in fenced
    assert "](" not in fenced
    assert "alert" not in fenced
    assert "a = '````'" in text


def test_a_comment_names_a_line_that_is_there(town: Town, rachel: Desk) -> None:
    rachel.request("rachel/job", {"job.yaml": JOB, "main.py": b"one = 1\ntwo = 2\n"})
    owen = town.desk("owen")
    for at, why in (
        ("main.py:9", "'main.py' has 3 lines"),
        ("other.py:1", "no file 'other.py'"),
        ("main.py", "no file"),
    ):
        refused = owen.gitqueue("comment", "rachel/job", "--at", at, "-m", "Why two?")
        assert (refused.code, why in refused.err) == (2, True), refused.err
    done(owen.gitqueue("comment", "rachel/job", "--at", "main.py:2", "-m", "Why two?"))
    done(rachel.gitqueue("comment", "rachel/job", "-m", "Because"))
    said = section(report(owen, "rachel/job"), "What was said")
    assert re.sub(r"(?m)^- [\d-]+ ", "- ", said) == (
        "- owen: comment on main.py:2\n  | Why two?\n- rachel: comment\n  | Because\n\n"
    )


def test_an_owner_walks_through_all_that_waits_and_answers(town: Town, rachel: Desk) -> None:
    for name in ("a", "b", "c", "d"):
        rachel.request(f"rachel/{name}")
    owen = town.desk("owen")
    said = typed(owen, ("your answer", "x"), ("your answer", "c"), ("what to change", "Round it"), ("your answer", "l"),
                 ("which line", "main.py:1"), ("what about it", "Why csv?"), ("your answer", "a"), ("why", "Fine"),
                 ("your answer", "n"), ("your answer", "r"), ("why not", "Rows leave"))  # fmt: skip
    assert "1 of 4: rachel/a, by rachel" in said
    assert "that was all" in said
    states = re.findall(r"rachel/(\w+)\s+([\w-]+)", done(owen.gitqueue("list", "--all")).out)
    assert dict(states) == {"a": "changes-requested", "b": "approved", "c": "pending", "d": "rejected"}


def typed(desk: Desk, *answers: tuple[str, str]) -> str:
    """`gitqueue review` on a terminal of its own: each answer is typed when its question stands there."""
    master, slave = pty.openpty()
    call = (sys.executable, "-m", "gitqueue", "-C", str(desk.path), "review")
    env = {**os.environ, "PAGER": "cat", "TERM": "dumb", "COLUMNS": "80"}
    person = subprocess.Popen(call, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True)
    os.close(slave)
    said, seen, left, until = "", 0, list(answers), time.monotonic() + 60
    while time.monotonic() < until:
        ready, _, _ = select.select([master], [], [], 1)
        try:
            said += os.read(master, 65536).decode(errors="replace") if ready else ""
        except OSError:  # the terminal's other end has gone
            break
        if left and left[0][0] in said[seen:]:
            os.write(master, f"{left.pop(0)[1]}\n".encode())
            seen = len(said)
    assert (person.wait(10), left) == (0, []), said
    return said


def test_what_was_asked_for_is_there_for_plain_git_too(town: Town, rachel: Desk) -> None:
    rachel.request("rachel/job")
    done(town.desk("owen").gitqueue("request-changes", "rachel/job", "-m", "Round to five"))
    rachel.git("fetch", "-q")
    assert "Round to five" in ok("git", "log", "-1", "origin/reviews/rachel/job", cwd=rachel.path)
    assert "Round to five" in done(rachel.gitqueue("show", "rachel/job")).out


def test_an_owner_without_mock_data_has_some_drawn_and_is_told_to_look(town: Town) -> None:
    owen = town.desk("owen")
    (owen.path / "columns.yaml").write_text("rows: 20\ncolumns: {age: {range: [18, 90]}, sex: {values: [f, m]}}\n")
    words = ("dataset", "add", "visits", "--mock", "people=auto", "--columns", owen.path / "columns.yaml")
    said = done(owen.gitqueue(*words)).err
    assert "drew people, which everybody of the site can read; its first rows:\nage,sex\n" in said
    mock = ok("git", "show", "approved:datasets/visits/mock/people.csv", cwd=town.repository)
    assert len(mock.splitlines()) == 21
    refused = owen.gitqueue("dataset", "add", "more", "--mock", "people=auto")
    assert (refused.code, "nothing says of what" in refused.err) == (2, True)
