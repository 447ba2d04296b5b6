"""A job with no wall around it, for `test --no-sandbox` alone: a person's own machine, their own code, mock data.

No runner, executor or supervisor imports this, and it is no executor: what a site runs is always confined.
"""

import os
import select
import shutil
import signal
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path

from gitqueue.adapters import files
from gitqueue.adapters.logs import Log
from gitqueue.model import Ended, Plan

LOG_BYTES = 4 << 20
GRACE = 2.0
PATHS = "/usr/local/bin:/usr/bin:/bin"


def run(folder: Path, plan: Plan) -> None:
    """Run to the end and leave in `folder` what an executor and its supervisor would. Only time is limited."""
    files.write_atomic(folder / "plan.json", files.encode(plan))
    places = _laid_out(folder, plan)
    started, since = time.time(), time.monotonic()
    with closing(Log(str(folder / "log"), LOG_BYTES)) as log:
        stopped, code = _watched(_words(plan, places), _environment(folder, plan, places), plan, log)
    outputs, refused, over = files.collect(folder / "output", plan.declared, plan.types, plan.limits, folder)
    reason = stopped or ("output-limit" if over else "signal" if code < 0 else "exit-code" if code else "")
    seconds = time.monotonic() - since
    enforced = (("time", "this process's clock"), ("all else", "nothing: there was no sandbox"))
    ended = Ended(reason, code, started, time.time(), seconds, outputs, refused, enforced, ("none",))
    files.write_atomic(folder / "ended.json", files.encode(ended))


def _laid_out(folder: Path, plan: Plan) -> dict[str, str]:
    """Where the sandbox's places lie here. The data are links, in folders of the names that they have inside."""
    for name in ("data", "output", "tmp", "bin"):
        (folder / name).mkdir(parents=True)
        if plan.uid is not None and plan.gid is not None:
            os.chown(folder / name, plan.uid, plan.gid)
    (folder / "bin" / "python").symlink_to(shutil.which("python3", path=PATHS) or "/usr/bin/python3")
    own = {"/data": "data", "/output": "output", "/tmp": "tmp", "/opt/gitqueue/bin": "bin"}
    for bind in plan.binds:
        if bind.target.startswith("/data/"):
            link = folder / bind.target.lstrip("/")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(bind.source)
    elsewhere = {bind.target: bind.source for bind in plan.binds if not bind.target.startswith("/data/")}
    return {**{inside: str(folder / name) for inside, name in own.items()}, **elsewhere, "/job": plan.job}


def _here(path: str, places: dict[str, str]) -> str:
    """A path as it is outside, where it is one of the sandbox's."""
    for inside, outside in sorted(places.items(), reverse=True):
        if path == inside or path.startswith(inside + "/"):
            return outside + path[len(inside) :]
    return path


def _words(plan: Plan, places: dict[str, str]) -> list[str]:
    return [_here(word, places) for word in plan.command]


def _environment(folder: Path, plan: Plan, places: dict[str, str]) -> dict[str, str]:
    wanted = {"PATH": f"/opt/gitqueue/bin:{PATHS}", "LANG": "C.UTF-8", "TZ": "UTC", **dict(plan.environment)}
    moved = {name: ":".join(_here(part, places) for part in value.split(":")) for name, value in wanted.items()}
    own = {"HOME": "tmp", "TMPDIR": "tmp", "GITQUEUE_DATA": "data", "GITQUEUE_OUTPUT": "output"}
    return moved | {name: str(folder / place) for name, place in own.items()}


def _watched(words: list[str], environment: dict[str, str], plan: Plan, log: Log) -> tuple[str, int]:
    """Why it was stopped, and its exit code (negative: the signal's number)."""
    program = shutil.which(words[0], path=environment["PATH"])
    if program is None:
        log.note(f"{words[0]}: not found")
        return "", 127
    with subprocess.Popen(
        [program, *words[1:]],
        cwd=plan.job,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        user=plan.uid,
        group=plan.gid,
        extra_groups=[] if plan.uid is not None else None,
    ) as process:
        try:
            late = not _fed(process, log, time.monotonic() + plan.limits.time)
            if late:
                _signal(process, signal.SIGTERM)
                _fed(process, log, time.monotonic() + GRACE)
        finally:
            _signal(process, signal.SIGKILL)  # its children, too, but for those that made a session of their own
        return ("time-limit" if late else ""), process.wait()


def _fed(process: "subprocess.Popen[bytes]", log: Log, until: float) -> bool:
    """Read what it says until it has ended; whether it did in time."""
    assert process.stdout
    while (left := until - time.monotonic()) > 0:
        if select.select([process.stdout], [], [], min(left, 0.1))[0]:
            data = os.read(process.stdout.fileno(), 1 << 16)
            log.feed("out", data)
            if not data:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, until - time.monotonic()))
        elif process.poll() is not None:
            return True
        if process.returncode is not None:
            return True
    return False


def _signal(process: "subprocess.Popen[bytes]", number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
