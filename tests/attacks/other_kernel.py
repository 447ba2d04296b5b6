"""What only another kernel can show; run inside one by test_other_kernel.py, on control groups of version 2."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gitqueue.adapters import limits, sandbox

from .conftest import LIMITS, NORMAL_USER, Site, _spool

ROOT = Path("/sys/fs/cgroup")
PATIENT = replace(LIMITS, time=20, memory=64 << 20)  # this kernel is a process of another: slow
BOMBS = {
    "memory": ("memory-limit", "kept = []\nwhile True: kept.append(bytearray(b'x' * 4_000_000))"),
    "memory of many": (
        "memory-limit",
        "import os, time\nfor _ in range(9): os.fork()\nkept = bytearray(b'x' * 4_000_000)\ntime.sleep(60)",
    ),
    "shared memory": ("memory-limit", "f = open('/dev/shm/x', 'wb')\nwhile True: f.write(b'x' * 1_000_000)"),
    "processes": ("process-limit", "import os\nwhile True:\n try: os.fork()\n except OSError: pass"),
}


ABORT = """
import ctypes, os, resource
for most in (0, 1 << 30):
    for set_ in (resource.setrlimit, lambda kind, both: resource.prlimit(0, kind, both)):
        try:
            set_(resource.RLIMIT_CORE, (most, most))
        except (OSError, ValueError):
            pass
for kind in (4, 4 | 1 << 32):
    ctypes.CDLL(None).syscall(160, ctypes.c_ulong(kind), (ctypes.c_ulong * 2)(0, 0))
assert resource.getrlimit(resource.RLIMIT_CORE) == (1, 1)
os.abort()
"""


@pytest.fixture(params=["root-started", "normal-user"])
def held(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A site whose runner is root, or has a group delegated to it, as systemd's Delegate=yes gives one."""
    as_root = request.param == "root-started"
    group = ROOT / f"delegated-{time.monotonic_ns()}"
    if not as_root:
        (ROOT / "cgroup.subtree_control").write_text("+memory +pids +cpu")
        group.mkdir(exist_ok=True)
        for name in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
            os.chown(group / name, NORMAL_USER, NORMAL_USER)
    with _spool(as_root) as made:
        yield made if as_root else replace(made, groups=(str(group),))
    assert not list(ROOT.glob("gitqueue/job-*")), "a job's group was left"
    assert not list(group.glob("gitqueue/job-*")), "a job's group was left"


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_stopped_by_its_groups(held: Site, bomb: str) -> None:
    reason, program = BOMBS[bomb]
    ran = held.run(program, replace(PATIENT, processes=600 if "many" in bomb else 32))
    assert ran.ended.reason == reason, ran.because
    assert dict(ran.ended.enforced)["memory"] == "cgroup v2", ran.because
    assert dict(ran.ended.enforced)["processes"] == "cgroup v2", ran.because


def test_cores_are_shared_out(held: Site) -> None:
    program = "import time\nend = time.time() + 2\nwhile time.time() < end: pass\nprint('used', time.process_time())"
    ran = held.run(program, replace(PATIENT, cpus=0.25))
    used = float(next(line for line in ran.said if line.startswith("used")).split()[1])
    assert used < 1.2, ran.because


def test_a_dying_job_writes_no_core_anywhere(held: Site) -> None:
    """A handler in core_pattern runs as the host's root, with the job's memory, whatever a core limit of 0 says."""
    pattern = Path("/proc/sys/kernel/core_pattern")
    before, caught = pattern.read_text(), Path(os.environ["TMPDIR"], "caught")
    handler = Path(os.environ["TMPDIR"], "handler")
    handler.write_text(f"#!/bin/sh\ncat > {caught}\n")
    handler.chmod(0o755)
    pattern.write_text(f"|{handler}")
    try:
        assert held.run(ABORT, PATIENT).ended.reason == "signal"
        assert not caught.exists(), "the job's memory was written to the host"
    finally:
        pattern.write_text(before)


def test_a_switch_that_forbids_user_namespaces_is_named() -> None:
    switch = Path("/proc/sys/kernel/unprivileged_userns_clone")
    if not switch.exists():
        pytest.fail("Debian's kernels have this switch")
    switch.write_text("0")
    try:
        found = sandbox.problems(NORMAL_USER, NORMAL_USER)
        assert any("sysctl -w kernel.unprivileged_userns_clone=1" in reason for reason in found), found
    finally:
        switch.write_text("1")


def test_in_a_container_the_runner_steps_aside_for_its_jobs() -> None:
    """Run last, in a namespace of control groups where the top one holds us ourselves."""
    if not (ROOT / "cgroup.type").exists():
        pytest.skip("not in a container")
    assert dict(limits.enforced(limits.prospect()))["memory"] == "cgroup v2", "doctor would say something else"
    limits.delegate()
    with _spool(True) as made:
        ran = made.run(BOMBS["memory"][1], PATIENT)
    assert (ran.ended.reason, dict(ran.ended.enforced)["memory"]) == ("memory-limit", "cgroup v2"), ran.because
