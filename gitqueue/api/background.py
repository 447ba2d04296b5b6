"""A site's runner beside a notebook: a process of its own that stops when the notebook does."""

import os
import signal
import sys
from functools import partial
from pathlib import Path
from threading import Thread

import msgspec

from gitqueue import runner
from gitqueue.adapters.settings import Site
from gitqueue.rules.documents import Seconds
from gitqueue.rules.policy import OwnCaps, RunnerSettings


def lowered(settings: RunnerSettings, jobs: int, seconds: float) -> RunnerSettings:
    """The operator's settings, with at most `jobs` at once, each for at most `seconds`."""
    executor = msgspec.structs.replace(settings.executor, jobs=min(settings.executor.jobs, jobs))
    time = Seconds(min(settings.limits.time or seconds, seconds))
    return msgspec.structs.replace(settings, executor=executor, limits=OwnCaps(time=time))


def _stop_with_parent() -> None:
    """The pipe ends when whoever started us has gone, however that came."""
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _say(text: str, /, **_: object) -> None:
    print(text, flush=True)


def main(folder: str, jobs: str, seconds: str, once: str = "") -> int:
    Thread(target=_stop_with_parent, daemon=True).start()
    cap = partial(lowered, jobs=int(jobs), seconds=float(seconds))
    alarm = runner.serve(Site(Path(folder)), _say, bool(once), cap)
    for line in alarm.lines() if alarm else ():
        _say(line)
    return alarm.exit_code if alarm else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
