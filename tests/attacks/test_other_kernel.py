"""Control groups of version 2, which this machine's own kernel may not have: the same code inside another kernel.

User-mode Linux is a kernel that runs as a process: it needs no virtualisation, starts in a second, and shows this
machine's files read-only.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve()
INIT = """#!/bin/sh
unset LD_PRELOAD
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 TMPDIR=/mnt/tmp
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t cgroup2 groups /sys/fs/cgroup
mount -t tmpfs tmp /mnt; mkdir -m 1777 /mnt/tmp
mkdir -p /dev/shm; mount -t tmpfs shm /dev/shm
ip link set lo up
cd {tree}
{pytest} -k "{some}"; echo "ended with $?"
mkdir /sys/fs/cgroup/container; echo $$ > /sys/fs/cgroup/container/cgroup.procs
unshare --cgroup --mount sh -c 'umount /sys/fs/cgroup; mount -t cgroup2 groups /sys/fs/cgroup
  {pytest} -k container; echo "ended with $?"'
echo o > /proc/sysrq-trigger
sleep 9
"""


# A minute for the whole, since each page that a job takes costs this kernel a detour.
@pytest.mark.parametrize(
    "some",
    [
        pytest.param("processes and normal-user", marks=pytest.mark.slow),
        pytest.param("not container", marks=pytest.mark.storm),
    ],
)
def test_version_2_of_control_groups_holds_jobs(tmp_path: Path, some: str) -> None:
    kernel = shutil.which("linux.uml")
    if os.geteuid() != 0 or not kernel:
        pytest.skip("needs root and user-mode-linux (apt-get install user-mode-linux)")
    init = tmp_path / "init"
    tests = HERE.with_name("other_kernel.py")
    pytest_ = f"{sys.executable} -m pytest -q -p no:cacheprovider --no-header --color=no -rs --durations=5 {tests}"
    init.write_text(INIT.format(some=some, tree=HERE.parents[2], pytest=pytest_))
    init.chmod(0o755)
    words = ("mem=1G", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", f"init={init}", "quiet")
    console = ("con=null", "con0=fd:0,fd:1")
    done = subprocess.run(
        (kernel, *words, *console),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=240,
        env={**os.environ, "LD_PRELOAD": str(_registers(tmp_path))},
    )
    said = done.stdout.decode(errors="replace")
    assert said.count("ended with 0") == 2, said


def _registers(folder: Path) -> Path:
    """What lets that kernel run on processors that are newer than it is."""
    made = folder / "registers.so"
    source = HERE.with_name("other_kernel.c")
    subprocess.run(("gcc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", made, source, "-ldl"), check=True)
    return made
