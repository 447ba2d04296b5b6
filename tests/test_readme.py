"""The README's lines, typed in its order by its people into a fresh folder with fresh keys, do what it says."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from gitqueue.rules import manifest, policy
from gitqueue.rules.lifecycle import diagram

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"<!-- (\w+)(?: (\S+))? -->\n```\w+\n(.*?)```", README, re.DOTALL)
EDITOR = """#!/bin/sh
for file; do cp "$FILES/$(basename "$file")" "$file"; done
"""


class Reader:
    """Somebody who types the README's blocks: each person in a shell of their own, which keeps its folder."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.folders: dict[str, Path] = {}
        self.groups: list[int] = []
        files = base / "files"
        files.mkdir()
        for who, name, text in BLOCKS:
            if who == "file":
                (files / name).write_text(text)
        (base / "editor").write_text(EDITOR)
        (base / "editor").chmod(0o755)

    def types(self, who: str, text: str) -> str:
        """Run a block; what it printed, on both channels."""
        end = self.base / "end"
        start = self.folders.get(who, self.folders.get("anybody", self.base))
        with (self.base / "said").open("w+") as said:
            process = subprocess.Popen(
                ["bash", "-eo", "pipefail", "-c", f"{text}\npwd > {end}"],
                cwd=start,
                env=self.environment(who),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.groups.append(process.pid)  # what a block leaves in the background is of this group
            code = process.wait(120)
            said.seek(0)
            words = said.read()
        assert code == 0, f"{who} typed:\n{text}\n{words}"
        self.folders[who] = Path(end.read_text().strip())
        return words

    def environment(self, who: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        home = self.folders.get("anybody", self.base) / who
        path = f"{Path(sys.executable).parent}:{kept['PATH']}"
        own = {"HOME": str(home), "PATH": path, "EDITOR": str(self.base / "editor"), "FILES": str(self.base / "files")}
        return {**kept, **own, "TMPDIR": str(self.base), "GIT_CONFIG_NOSYSTEM": "1", "GIT_PAGER": "cat"}

    def waits(self) -> None:
        """As a person would, until nothing is in the runner's hands."""
        deadline = time.monotonic() + 60
        site = self.folders["anybody"] / "cancer-centre"
        call = [sys.executable, "-m", "gitqueue", "-C", site, "list"]
        while time.monotonic() < deadline:
            listed = subprocess.run(call, capture_output=True, text=True, check=True).stdout
            if not re.search(r"\b(approved|running)\b", listed):
                return
            time.sleep(0.05)
        pytest.fail(f"the runner is still busy:\n{listed}")

    def waits_for(self, ref: str) -> None:
        """As who fetches again until the runner has said how the rehearsal went."""
        deadline = time.monotonic() + 60
        repository = self.folders["anybody"] / "cancer-centre" / "site.git"
        while subprocess.run(
            ["git", "-C", repository, "rev-parse", "-q", "--verify", ref], capture_output=True
        ).returncode:
            assert time.monotonic() < deadline, f"there is no {ref}"
            time.sleep(0.05)

    def leaves(self) -> None:
        for group in self.groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGTERM)


@pytest.fixture(scope="module")
def said() -> Iterator[list[tuple[str, str, str]]]:
    """(who, what they typed, what came of it) of every block in order."""
    with tempfile.TemporaryDirectory(prefix="gitqueue-readme-", dir="/tmp", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        reader = Reader(Path(name))
        try:
            heard = []
            for who, _, text in BLOCKS:
                if who != "file":
                    heard.append((who, text, reader.types(who, text)))
                    if "approve" in text:
                        reader.waits()
                    if "A look at the rows" in text:
                        reader.waits_for("refs/heads/reviews/rachel/rows")
            yield heard
        finally:
            reader.leaves()


def after(said: list[tuple[str, str, str]], line: str) -> str:
    return next(heard for _, text, heard in said if line in text)


@pytest.mark.slow
def test_a_result_comes_back_by_the_commands(said: list[tuple[str, str, str]]) -> None:
    assert "rachel/summary  completed" in after(said, "gitqueue show summary")
    assert "radius,200,15.9" in after(said, "cat ../summary/summary.csv")
    assert "the chain holds" in after(said, "gitqueue verify")


@pytest.mark.slow
def test_a_result_comes_back_by_plain_git(said: list[tuple[str, str, str]]) -> None:
    assert "rachel/bc-mean is pending" in after(said, "Mean radius by diagnosis")
    assert "radius,15.93,200" in after(said, "cat outputs/means.csv")


@pytest.mark.slow
def test_a_refusal_by_plain_git_is_taken(said: list[tuple[str, str, str]]) -> None:
    assert "rachel/rows: owen said rejected" in after(said, "Prints rows")


@pytest.mark.slow
def test_the_operators_lines_show_a_sound_site(said: list[tuple[str, str, str]]) -> None:
    heard = after(said, "gitqueue logs")
    assert "runner: process" in heard
    assert "this site is in order" in heard


def test_the_diagram_is_the_one_of_the_table_that_decides() -> None:
    assert f"```mermaid\n{diagram()}\n```" in README


def test_every_make_target_that_it_names_is_there() -> None:
    made = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^ {4}make ([a-z]+)", README, re.MULTILINE))
    assert {"demo", "test"} <= named <= made


def test_every_page_that_it_links_is_there() -> None:
    pages = [Path(ROOT, link.partition("#")[0]) for link in re.findall(r"\]\((?!http|#)([^)]+)\)", README)]
    assert [str(page) for page in pages if not page.exists()] == []


def test_every_heading_that_it_links_is_there() -> None:
    headings = {
        re.sub(r"[^a-z -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^## (.*)", README, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= headings


def test_what_it_is_for_whom_how_it_works_and_how_to_start_stand_on_one_screen() -> None:
    first = README.split("## Quick start")[0].splitlines()
    assert len(first) <= 36
    assert any("make demo" in line for line in first)


def keys(heading: str) -> set[str]:
    """The keys that docs/files.md lists under a heading."""
    section = (ROOT / "docs" / "files.md").read_text().split(f"## `{heading}`")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)
    return {key for cell in cells for key in re.findall(r"`([^`]+)`", cell)}


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("jobs/<requester>/<job>/job.yaml", manifest.Manifest),
        (".gitqueue/site.yaml", policy.Policy),
        (".gitqueue/people.yaml", policy.Entry),
        ("datasets/<dataset>/dataset.yaml", policy.Dataset),
        ("private/runner.yaml", policy.RunnerSettings),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_page_of_files_lists_exactly_the_keys_that_are_accepted(heading: str, kind: type) -> None:
    assert keys(heading) == {field.encode_name for field in msgspec.structs.fields(kind)}


def test_every_test_that_the_page_of_security_names_is_there() -> None:
    named = set(re.findall(r"`(tests/[^`]+)`", (ROOT / "docs" / "security.md").read_text()))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
