"""What git's hooks call: `python -Im gitqueue.hook NAME`. Imports little; a hook that fails says no."""

import os
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

from gitqueue.errors import BUG, GitqueueError
from gitqueue.model import RefMove
from gitqueue.refs import NONE

if TYPE_CHECKING:
    from gitqueue.adapters.settings import Site

_LONGEST_PUSH = 1 << 20  # bytes of ref lines that are read at all


def main(name: str) -> int:
    """Run one hook. Any failure refuses the push: a gate that cannot judge lets nobody in."""
    try:
        return _HOOKS[name]()
    except GitqueueError as error:
        say(error.lines())
        return error.exit_code
    except Exception:  # noqa: BLE001 - the one place: fail closed, and keep the traceback for the operator
        traceback.print_exc()
        say(["gitqueue: this is a bug in gitqueue; nothing was accepted"])
        return BUG


def say(lines: Iterable[str]) -> None:
    """Lines to the person who pushes; git prefixes them with `remote:`."""
    for line in lines:
        print(line, file=sys.stderr)


def pre_receive() -> int:
    """Judge the push whole."""
    from gitqueue.adapters.history import History
    from gitqueue.adapters.objects import Objects
    from gitqueue.steps.receive import Gate, judge

    site = _site()
    moves = _moves()
    history = History(Objects(site.repository, pushed=True), site.settings().revoked)
    verdict = judge(Gate(history, site.vault, time()), moves)
    if verdict.reasons:
        say([f"gitqueue: {reason}" for reason in verdict.reasons])
        say(["gitqueue: nothing of this push was kept"])
        return 1
    say([f"gitqueue: {answer}" for answer in verdict.answers])
    return 0


def post_receive() -> int:
    """Wake the runner, if one is there. A missed wake is harmless: the runner scans."""
    from gitqueue.adapters.wake import wake

    wake(_folder() / "private" / "wake")
    return 0


def post_merge() -> int:
    """In an owner's clone: say what a merge that is not pushed yet approves."""
    from gitqueue.steps.review import after_merge

    say(after_merge(Path.cwd()))
    return 0


def _site() -> "Site":
    from gitqueue.adapters.settings import Site
    from gitqueue.errors import NotAllowed

    site = Site(_folder())
    owner = site.repository.stat().st_uid
    if os.geteuid() != owner:
        raise NotAllowed(
            "this site takes no pushes of other accounts through the file system",
            step="push over ssh: git remote set-url origin ssh://ACCOUNT@HOST/…/site.git",
        )
    return site


def _folder() -> Path:
    return Path(os.environ.get("GIT_DIR", ".")).resolve().parent


def _moves() -> list[RefMove]:
    text = sys.stdin.buffer.read(_LONGEST_PUSH + 1)
    if len(text) > _LONGEST_PUSH:
        raise GitqueueError("the push names too many refs at once: push one request at a time")
    lines = (line.split(" ", 2) for line in text.decode("utf-8", "surrogateescape").splitlines())
    return [RefMove(name, None if old == NONE else old, None if new == NONE else new) for old, new, name in lines]


_HOOKS = {"pre-receive": pre_receive, "post-receive": post_receive, "post-merge": post_merge}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
