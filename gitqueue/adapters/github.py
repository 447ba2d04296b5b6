"""GitHub's API, by PyGithub (the extra `github`): what a pull request shows of gitqueue. Nothing is decided by it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gitqueue.errors import Mistake, OperatorNeeded

if TYPE_CHECKING:
    from github.Repository import Repository

CONTEXT = "gitqueue"
_MARK = "<!-- gitqueue -->"
_TRIES = 4  # with pauses between; GitHub says how long, where it limits
_PATIENCE = 30  # seconds for one answer


class Hub:
    """One repository on GitHub, as the environment of a workflow names it."""

    def __init__(self, world: Mapping[str, str]) -> None:
        wanted = ("GITHUB_REPOSITORY", "GITHUB_TOKEN")
        missing = [name for name in wanted if not world.get(name)]
        if missing:
            raise Mistake(f"{' and '.join(missing)} not set", step="give the step a token: env: GITHUB_TOKEN")
        self._repository = _repository(world)

    def head(self, number: int) -> str:
        """Where a pull request stands."""
        with _answered():
            return self._repository.get_pull(number).head.sha

    def comment(self, number: int, text: str) -> None:
        """Our one comment on a pull request: written anew, not added to."""
        body = f"{_MARK}\n{text}"
        with _answered():
            pull = self._repository.get_pull(number)
            mine = (one for one in pull.get_issue_comments() if one.user.type == "Bot" and one.body.startswith(_MARK))
            old = next(mine, None)
            if old is None:
                pull.create_issue_comment(body)
            elif old.body != body:
                old.edit(body)

    def status(self, commit: str, state: str, description: str) -> None:
        """What is shown beside a commit: pending, success, failure or error, with a line; posted when it is news."""
        with _answered():
            found = self._repository.get_commit(commit)
            now = next((one for one in found.get_combined_status().statuses if one.context == CONTEXT), None)
            if now is None or (now.state, now.description) != (state, description):
                found.create_status(state=state, description=description, context=CONTEXT)


def _repository(world: Mapping[str, str]) -> "Repository":
    try:
        from github import Auth, Github, GithubRetry
    except ImportError as error:
        raise Mistake("GitHub's client is not installed", step="pip install 'gitqueue[github]'") from error
    url = world.get("GITHUB_API_URL") or "https://api.github.com"
    auth = Auth.Token(world["GITHUB_TOKEN"])
    retry = GithubRetry(total=_TRIES)
    hub = Github(base_url=url, auth=auth, timeout=_PATIENCE, retry=retry, per_page=100, lazy=True)
    return hub.get_repo(world["GITHUB_REPOSITORY"])


@contextmanager
def _answered() -> Iterator[None]:
    from github import GithubException
    from requests import RequestException

    try:
        yield
    except GithubException as error:
        said = error.data.get("message") if isinstance(error.data, dict) else None
        raise OperatorNeeded(
            f"GitHub answered {error.status}: {said or error.message}", step="may the token do it?"
        ) from error
    except RequestException as error:
        raise OperatorNeeded(f"GitHub did not answer: {error}", step="try again later") from error
