"""Workflows without the forge: valid, clean, and their `run` steps carried out as GitHub would, with hostile words."""

import json
import os
import re
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Done, call, done, ok, reachable, run

ROOT = Path(__file__).parents[1]
SITES = ROOT / "templates" / "forge" / "github" / "files" / ".github" / "workflows"
OURS = ROOT / ".github" / "workflows"
BIN = Path(sys.executable).parent
ALL = sorted([*SITES.glob("*.yml"), *OURS.glob("*.yml"), ROOT / "templates" / "forge" / "github" / "gitqueue-poke.yml"])


def test_every_workflow_is_as_github_reads_it_and_clean_at_the_strictest() -> None:
    schema = (BIN / "check-jsonschema", "--builtin-schema")
    ok(*schema, "vendor.github-workflows", *ALL, cwd=ROOT)
    ok(*schema, "vendor.github-actions", *sorted(ROOT.glob(".github/actions/*/action.yml")), cwd=ROOT)
    ok(*schema, "vendor.gitlab-ci", ROOT / "templates/forge/gitlab/files/.gitlab-ci.yml", cwd=ROOT)
    gitea = ROOT / "templates/forge/gitea/files/.gitea/workflows"
    strictest = ("--offline", "--no-progress", "--strict-collection", "--persona", "auditor")
    ok(BIN / "zizmor", *strictest, *ALL, ROOT / ".github" / "actions", gitea / "gitqueue-request.yml", cwd=ROOT)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_no_workflow_puts_words_into_a_shell_or_keeps_a_token(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {}
    assert "pull_request_target" not in path.read_text()
    for step in (step for job in workflow["jobs"].values() for step in job.get("steps", ())):
        assert "${{" not in step.get("run", "")
        if "uses" in step and not step["uses"].startswith("./"):
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])
        if step.get("uses", "").startswith("actions/checkout"):
            assert step["with"]["persist-credentials"] is False


def test_the_reusable_workflows_do_what_a_sites_own_ones_do() -> None:
    for name in ("request", "watch"):
        own = yaml.safe_load((SITES / f"gitqueue-{name}.yml").read_text())["jobs"]
        text = (OURS / f"{name}.yml").read_text().replace("inputs.root", "vars.GITQUEUE_ROOT")
        for more in ("inputs.commit || ", " || 42"):  # of an example
            text = text.replace(more, "")
        reusable = yaml.safe_load(text)["jobs"]
        for job in reusable.values():
            job["steps"] = [_without_example(step) for step in job["steps"] if step.get("if") != FOR_EXAMPLE]
        assert {name: _without_example(job) for name, job in reusable.items()} == own


FOR_EXAMPLE, FOR_SITE = "inputs.example != ''", "inputs.example == ''"


def _without_example(part: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if (key, value) != ("if", FOR_SITE)}


# GitHub, as far as steps see it


@dataclass
class Machine:
    """A hosted machine: a workspace, a folder for what is temporary, and what expressions stand for."""

    path: Path
    forge: Path
    values: dict[str, str]
    world: dict[str, str] = field(default_factory=dict)

    def carry_out(self, workflow: Path, job: str) -> list[Done]:
        """The job's steps in order, up to the first that fails; steps for `always()` after it, too."""
        text = yaml.safe_load(workflow.read_text().replace("@VERSION@", "0"))
        self.path.mkdir(exist_ok=True)
        said: list[Done] = []
        for step in text["jobs"][job]["steps"]:
            if said and said[-1].code and step.get("if") != "always()":
                continue
            if step.get("if") == (FOR_SITE if self.values.get("inputs.example") else FOR_EXAMPLE):
                continue
            outer = {**text.get("env", {}), **text["jobs"][job].get("env", {})}
            said += [self._run(step, outer)] if "run" in step else self._use(step)
        return said

    def _run(self, step: Mapping[str, Any], outer: Mapping[str, str]) -> Done:
        script = self.path / "step.sh"
        script.write_text(step["run"])
        env = {name: self._told(str(value)) for name, value in {**outer, **step.get("env", {})}.items()}
        world = {"GITHUB_STEP_SUMMARY": str(self.path / "summary.md"), "GITHUB_ACTIONS": "true", "CI": "true"}
        world |= {"PATH": f"{self._tools()}:{BIN}:{os.environ['PATH']}", "GITHUB_REPOSITORY": "centre/site"}
        shell = ("bash", "--noprofile", "--norc", "-eo", "pipefail", script)
        return run(*shell, cwd=self.path / "work", env={**world, **self.world, **env})

    def _tools(self) -> Path:
        """What installs, beside what is installed already: `sudo` and `pipx` take note of what they are asked."""
        tools = self.path / "tools"
        tools.mkdir(exist_ok=True)
        for name in ("sudo", "pipx"):
            (tools / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{self.path}/installed\n')
            (tools / name).chmod(0o755)
        return tools

    def _use(self, step: Mapping[str, Any]) -> list[Done]:
        given = {name: self._told(str(value)) for name, value in step.get("with", {}).items()}
        action = step["uses"].split("@")[0]
        if action == "actions/checkout":
            self._checkout(given["ref"])
        elif action == "actions/upload-artifact" and Path(given["path"]).exists():
            shutil.copytree(given["path"], self.forge.parent / given["name"], dirs_exist_ok=True)
        elif action == "actions/download-artifact":
            shutil.copytree(self.forge.parent / given["name"], given["path"], dirs_exist_ok=True)
            (self.path / "work").mkdir(exist_ok=True)
        return []

    def _checkout(self, ref: str) -> None:
        work = self.path / "work"
        ok("git", "init", "-q", work, cwd=self.path)
        ok("git", "remote", "add", "origin", self.forge, cwd=work)
        every = ("+refs/heads/*:refs/remotes/origin/*", "+refs/pull/42/head:refs/remotes/pull/42")
        ok("git", "fetch", "-q", "origin", *every, cwd=work)
        where = ref if re.fullmatch("[0-9a-f]{40}", ref) else f"origin/{ref}"
        ok("git", "checkout", "-q", "--detach", where, cwd=work)

    def _told(self, text: str) -> str:
        return re.sub(r"\$\{\{ ([\w.]+)(?: \|\| ([\w.]+))? \}\}", lambda found: self._either(*found.groups()), text)

    def _either(self, name: str, other: str | None) -> str:
        return self._value(name) or (other if other and other.isdigit() else self._value(other or ""))

    def _value(self, name: str) -> str:
        return str(self.path / "temp") if name == "runner.temp" else self.values.get(name, "")


@pytest.fixture(scope="module")
def example() -> Iterator[Path]:
    """A site on a forge, and a pull request whose title, branch and output try to be run."""
    with reachable() as base:
        world = {"PATH": f"{BIN}:{os.environ['PATH']}"}
        ok("bash", ROOT / "examples" / "pull_request.sh", base / "example", cwd=base, env=world)
        yield base / "example"


def machine(example: Path, name: str, **values: str) -> Machine:
    head = (example / "commit").read_text().strip()
    event = {
        "github.event.pull_request.head.sha": head,
        "github.event.pull_request.number": "42",
        "github.event.pull_request.title": "$(touch pwned)",
        "github.head_ref": "requests/$(touch pwned)`touch pwned`",
        "github.event.workflow_run.head_sha": head,
        "github.token": "secret-token",
    }
    return Machine(example / name, example / "forge.git", {**event, **values})


def test_a_pull_request_is_judged_and_rehearsed_and_none_of_its_words_is_run(example: Path) -> None:
    hosted = machine(example, "request")
    said = hosted.carry_out(SITES / "gitqueue-request.yml", "request")
    assert [step.code for step in said] == [0, 0], said
    assert "pipx install gitqueue==0" in (hosted.path / "installed").read_text()
    assert "userns=0" in (hosted.path / "installed").read_text()
    summary = (hosted.path / "summary.md").read_text()
    assert "rachel/mean: nothing against it" in summary
    assert "Ran on mock data" in summary
    assert summary.index("````text") < summary.index("@everyone") < summary.index("````\n\n#")
    assert (example / "gitqueue-report" / "number").read_text() == "42\n"
    assert not list(example.rglob("pwned"))


def test_the_reusable_workflows_judge_an_example_as_our_own_ci_has_them_do(example: Path) -> None:
    (example / "example").mkdir()
    shutil.copy(example / "site.bundle", example / "example")
    inputs = {"inputs.example": "example", "inputs.commit": (example / "commit").read_text().strip()}
    nothing = {"github.event.pull_request.head.sha": "", "github.event.pull_request.number": ""}  # as on a push
    for name in ("request", "watch"):
        hosted = machine(example, f"reusable-{name}", **inputs, **nothing)
        said = hosted.carry_out(OURS / f"{name}.yml", name)
        assert [step.code for step in said] == [0, 0, 0], said
    assert "the chain holds" in said[-1].out
    assert "rachel/mean: nothing against it" in (example / "reusable-request" / "summary.md").read_text()
    called = yaml.safe_load((OURS / "ci.yml").read_text())["jobs"]
    assert {called[name]["uses"] for name in ("request", "watch")} == {
        f"./.github/workflows/{name}.yml" for name in ("request", "watch")
    }


def test_a_request_that_the_site_would_refuse_fails_with_every_reason(example: Path) -> None:
    other = example / "other"
    shutil.copytree(example / "fork", other)
    (other / "jobs/rachel/mean/job.yaml").write_text("name: x\nrun: python gone.py\ndatasets: [cancre]\nfoo: 1\n")
    ok("git", "commit", "-q", "-am", "Not signed", cwd=other)
    hosted = machine(example, "refused")
    head = ok("git", "rev-parse", "HEAD", cwd=other)
    ok("git", "push", "-q", "origin", f"{head}:refs/pull/42/head", cwd=other)
    try:
        hosted.values["github.event.pull_request.head.sha"] = head
        said = hosted.carry_out(SITES / "gitqueue-request.yml", "request")
    finally:
        ok(
            "git",
            "push",
            "-q",
            "--force",
            "origin",
            f"{(example / 'commit').read_text().strip()}:refs/pull/42/head",
            cwd=other,
        )
    assert said[-1].code == 1
    assert "is not signed" in said[-1].err
    assert "job.yaml" in said[-1].err
    shutil.rmtree(example / "gitqueue-report")


def test_a_merge_by_the_button_is_named_by_the_next_check(example: Path) -> None:
    desk = example / "button"
    ok("git", "clone", "-q", "-b", "approved", example / "forge.git", desk, cwd=example)
    who = ("-c", "user.name=GitHub", "-c", "user.email=noreply@github.com")
    ok("git", *who, "merge", "-q", "--no-ff", (example / "commit").read_text().strip(), "-m", "Merge #42", cwd=desk)
    tip = ok("git", "rev-parse", "origin/approved", cwd=desk)
    ok("git", "push", "-q", "origin", "approved", cwd=desk)
    try:
        for workflow, job in (("gitqueue-request", "request"), ("gitqueue-watch", "watch")):
            said = machine(example, f"button-{job}").carry_out(SITES / f"{workflow}.yml", job)
            assert said[-1].code == 4
            assert "by a forge's button, squash, rebase or queue is signed by no owner and never counts" in said[-1].err
    finally:
        ok("git", "push", "-q", "--force", "origin", f"{tip}:approved", cwd=desk)


# GitHub's API, on this machine


class Api(ThreadingHTTPServer):
    """As much of GitHub as is asked: pages of two, a limit that is hit once, a token that must be there."""

    def __init__(self, head: str) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.head, self.limited, self.forbidden = head, 0, False
        bot = {"type": "Bot", "login": "github-actions[bot]"}
        person = {"type": "User", "login": "mallory"}
        texts = [("<!-- gitqueue -->\nmine, says mallory", person), ("a", person), ("b", person)]
        self.comments = [{"id": at, "body": body, "user": user} for at, (body, user) in enumerate(texts)]
        self.bot = bot
        self.statuses: dict[str, list[dict[str, str]]] = {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, method: str, path: str, query: str, body: dict[str, str]) -> tuple[int, Any]:
        parts = path.strip("/").split("/")[3:]
        match method, parts:
            case "GET", ["pulls", "42"]:
                return 200, {
                    "number": 42,
                    "head": {"sha": self.head},
                    "url": f"{self.url}{path}",
                    "issue_url": f"{self.url}/repos/centre/site/issues/42",
                }
            case "GET", ["issues", "42", "comments"]:
                return 200, self.comments
            case "POST", ["issues", "42", "comments"]:
                self.comments.append({"id": len(self.comments), "user": self.bot, **body})
                return 201, self.comments[-1]
            case "PATCH", ["issues", "comments", number]:
                self.comments[int(number)].update(body)
                return 200, self.comments[int(number)]
            case "GET", ["commits", sha]:
                return 200, {"sha": sha, "url": f"{self.url}{path}"}
            case "GET", ["commits", sha, "status"]:
                return 200, {"sha": sha, "statuses": self.statuses.get(sha, [])[::-1]}
            case "POST", ["statuses", sha]:
                self.statuses.setdefault(sha, []).append(body)
                return 201, body
        return 404, {"message": f"no {method} {path}"}


class _Answers(BaseHTTPRequestHandler):
    server: Api
    protocol_version = "HTTP/1.1"

    def _any(self) -> None:
        path, _, query = self.path.partition("?")
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        limit = self.server.limited > 0
        self.server.limited -= limit
        if self.headers["Authorization"] != "token secret-token" or self.server.forbidden:
            code, said = 403, {"message": "Resource not accessible by integration"}
        elif limit:
            code, said = 403, {"message": "You have exceeded a secondary rate limit"}
        else:
            code, said = self.server.answer(self.command, path, query, body)
        self._send(code, said, path, query, limit)

    def _send(self, code: int, said: Any, path: str, query: str, limit: bool) -> None:
        found = re.search(r"(?:^|&)page=(\d+)", query)
        page, more = int(found[1]) if found else 1, False
        if isinstance(said, list):
            more, said = len(said) > page * 2, said[(page - 1) * 2 : page * 2]
        shown = [self._with_url(one) for one in said] if isinstance(said, list) else self._with_url(said)
        data = json.dumps(shown).encode()
        self.send_response(code)
        if more:
            self.send_header("Link", f'<{self.server.url}{path}?page={page + 1}>; rel="next"')
        if limit:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _with_url(self, one: dict[str, Any]) -> dict[str, Any]:
        return one | (
            {"url": f"{self.server.url}/repos/centre/site/issues/comments/{one['id']}"} if "id" in one else {}
        )

    do_GET = do_POST = do_PATCH = _any

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api(example: Path) -> Iterator[Api]:
    with Api((example / "commit").read_text().strip()) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def _artifact(example: Path, text: str, number: str = "42") -> None:
    folder = example / "gitqueue-report"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "number").write_text(number)
    (folder / "report.txt").write_text(text)


def _comment(example: Path, api: Api, name: str) -> Done:
    hosted = machine(example, name)
    hosted.world = {"GITHUB_API_URL": api.url}
    return hosted.carry_out(SITES / "gitqueue-comment.yml", "comment")[-1]


def test_the_comment_is_one_and_what_a_stranger_reports_stays_in_its_block(example: Path, api: Api) -> None:
    _artifact(example, "$(touch pwned) ``` @everyone ````\n<img src=x> \x1b[31m")
    done(_comment(example, api, "first"))
    _artifact(example, "better")
    api.limited = 1
    done(_comment(example, api, "second"))
    mine = [one["body"] for one in api.comments if one["user"]["type"] == "Bot"]
    assert len(mine) == 1
    assert mine[0].startswith("<!-- gitqueue -->\nWhat the check of")
    assert "```text\nbetter\n```" in mine[0]
    assert api.comments[0]["body"].endswith("says mallory")
    _artifact(example, "``` x ````")
    done(_comment(example, api, "third"))
    assert "`````text\n``` x ````\n`````" in api.comments[-1]["body"]
    assert not list(example.rglob("pwned"))


@pytest.mark.parametrize("number", ["43/../42", "$(touch pwned)", "", "042"])
def test_a_report_names_a_pull_request_or_nothing_is_posted(example: Path, api: Api, number: str) -> None:
    _artifact(example, "x", number)
    said = _comment(example, api, f"bad-{abs(hash(number))}")
    assert (said.code, len(api.comments)) == (2, 3), said.err


def test_a_report_on_a_commit_that_the_pull_request_has_left_is_not_posted(example: Path, api: Api) -> None:
    _artifact(example, "x")
    api.head = "0" * 40
    assert "nothing is said of it" in done(_comment(example, api, "left")).out
    assert len(api.comments) == 3


def test_a_token_that_may_not_is_named(example: Path, api: Api) -> None:
    _artifact(example, "x")
    api.forbidden = True
    said = _comment(example, api, "forbidden")
    assert (said.code, "GitHub answered 403: Resource not accessible" in said.err) == (5, True), said.err


def test_each_request_shows_how_it_stands_and_only_news_is_posted(example: Path, api: Api) -> None:
    done(call("-C", example / "centre", "serve", "--once"))
    hosted = machine(example, "status")
    hosted.world = {"GITHUB_API_URL": api.url}
    for _ in range(2):
        assert hosted.carry_out(SITES / "gitqueue-watch.yml", "status")[-1].code == 0
        shutil.rmtree(hosted.path / "work")
    head = (example / "commit").read_text().strip()
    shown = [{name: one[name] for name in ("state", "description", "context")} for one in api.statuses[head]]
    assert shown == [{"state": "pending", "description": "waits for an owner", "context": "gitqueue"}]
    assert (
        machine(example, "watch").carry_out(SITES / "gitqueue-watch.yml", "watch")[-1].out.count("1 requests wait") == 1
    )
