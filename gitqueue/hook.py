"""What git's hooks, and sshd, call: `python -Im gitqueue.hook NAME`. Imports little; a hook that fails says no."""

import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

from gitqueue.errors import BUG, GitqueueError, NotAllowed
from gitqueue.model import RefMove
from gitqueue.refs import COMMIT, NONE

if TYPE_CHECKING:
    from gitqueue.adapters.settings import Site

_LONGEST_PUSH = 1 << 20  # bytes of ref lines that are read at all


def main(name: str, *words: str) -> int:
    """Run one hook. Any failure refuses the push: a gate that cannot judge lets nobody in."""
    try:
        return _HOOKS[name](*words)
    except GitqueueError as error:
        say(error.lines())
        return error.exit_code
    except OSError as error:
        say([f"gitqueue: the site cannot take a push now: {error.strerror} ({error.filename}): tell its operator"])
        return 5
    except Exception:  # noqa: BLE001 - the one place: fail closed, and keep the traceback for the operator
        traceback.print_exc()
        say(["gitqueue: this is a bug in gitqueue; nothing was accepted"])
        return BUG


def say(lines: Iterable[str]) -> None:
    """Lines to the person who pushes; git prefixes them with `remote:`."""
    from gitqueue.rules.tree import escape

    for line in lines:
        print(escape(line).replace("\n", " "), file=sys.stderr)


def pre_receive() -> int:
    """Judge the push whole."""
    from gitqueue.adapters import journal, turn
    from gitqueue.adapters.history import History
    from gitqueue.adapters.objects import Objects
    from gitqueue.steps import admit, record
    from gitqueue.steps.receive import Gate, judge

    site = _site()
    moves = _moves()
    sender = admit.sender(site.path, os.environ, time())
    with turn.taken(site.memory("gate.lock")) as mine:
        history = History(Objects(site.repository, pushed=True), site.settings().revoked)
        verdict = judge(Gate(history, site.vault, time(), sender=sender), moves)
        push = record.Push(moves, sender.name if sender else "local", verdict.reasons)
        journal.leave(site.inbox, record.word(history, push, time()))
        if not verdict.reasons:
            turn.keep(mine, site.repository, moves, os.environ.get("GIT_QUARANTINE_PATH"))
    if verdict.reasons:
        say([f"gitqueue: {reason}" for reason in verdict.reasons])
        say(["gitqueue: nothing of this push was kept"])
        return 1
    say([f"gitqueue: {answer}" for answer in verdict.answers])
    return 0


def resident() -> int:
    """Be the judge that the runner keeps warm, and whom hooks/pre-receive asks: `pre_receive` in a fork for each."""
    from gitqueue.adapters.judge import serve

    serve(_load, lambda: main("pre-receive"))
    return 0


def _load() -> None:
    """All that judging a push imports, at once or on its way, so that no fork has to."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

    from gitqueue.adapters import journal, turn
    from gitqueue.steps import admit, receive, record

    _ = ec, ed25519, padding, rsa, journal, turn, admit, receive, record


def post_merge() -> int:
    """In an owner's clone: say what a merge that is not pushed yet approves."""
    from gitqueue.steps.review import after_merge

    say(after_merge(Path.cwd()))
    return 0


# What sshd calls (docs/ssh.md)


def keys(site: str, kind: str = "", key: str = "") -> int:
    """Print the line of authorized_keys for the key that somebody offers, or nothing."""
    from gitqueue.steps import admit

    for line in admit.keys(Path(site), time(), kind, key):
        print(line)
    return 0


def shell(site: str, person: str, fingerprint: str = "") -> int:
    """Turn into the git program that this person's ssh command asks for. There is no shell."""
    from gitqueue.steps import admit

    command, protocol = os.environ.get("SSH_ORIGINAL_COMMAND"), os.environ.get("GIT_PROTOCOL", "")
    for name in set(os.environ) - {"PATH"}:  # a client may have sent them, as far as sshd let them through
        del os.environ[name]
    who = admit.person(Path(site), person, fingerprint, time())
    if command:
        served = admit.serve(Path(site), who, command, protocol)
        os.execvpe(served.argv[0], served.argv, served.environment)
    for line in admit.greeting(who):
        print(f"gitqueue: {line}")
    return 0


def _site() -> "Site":
    from gitqueue.adapters.settings import Site

    site = Site(_folder())
    owner = site.repository.stat().st_uid
    if os.geteuid() != owner:
        raise NotAllowed(
            "this site takes no pushes of other accounts through the file system",
            step="push over ssh: git remote set-url origin ssh://ACCOUNT@HOST/…/site.git",
        )
    if not site.settings_file.exists():
        raise NotAllowed(
            f"{site.repository} takes no pushes, as there is no private/runner.yaml beside it: is it the mirror of a"
            " site that a forge hosts?"
        )
    return site


def _folder() -> Path:
    return Path(os.environ.get("GIT_DIR", ".")).resolve().parent


def _moves() -> list[RefMove]:
    text = sys.stdin.buffer.read(_LONGEST_PUSH + 1)
    if len(text) > _LONGEST_PUSH:
        raise GitqueueError("the push names too many refs at once: push one request at a time")
    # No splitlines: to it U+2028 and U+0085 end a line, too, and a ref's name may hold them.
    lines = [line.split(" ", 2) for line in text.decode("utf-8", "surrogateescape").split("\n") if line]
    # git asks its hooks before it looks whether a name is one: by hand, a line break can be sent in it.
    if not all(len(line) == 3 and COMMIT.fullmatch(line[0]) and COMMIT.fullmatch(line[1]) for line in lines):
        raise NotAllowed("a name with a line break in it is no ref of this site: push requests/<your name>/<job>")
    return [RefMove(name, None if old == NONE else old, None if new == NONE else new) for old, new, name in lines]


_HOOKS: Mapping[str, Callable[..., int]] = {
    "pre-receive": pre_receive,
    "judge": resident,
    "post-merge": post_merge,
    "keys": keys,
    "shell": shell,
}

if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
