"""Hostile programs, each of which must fail to do its harm and be reported as what it was."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gitqueue.adapters import checks, sandbox
from gitqueue.adapters.executors import local, spool
from gitqueue.model import Bind, Indexed, Inspection

from .conftest import IS_ROOT, LIMITS, NORMAL_USER, SANDBOX_USER, SECRET, Ran, Site, facts

pytestmark = pytest.mark.slow  # many real pushes and runs: `make quick` leaves them to `make test`

Attack = Callable[..., Ran]
TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
BRIEF = replace(LIMITS, time=1)

READING = """
import os
def read(path):
    try:
        found = os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(100)
    except OSError:
        return
    if found:
        print("HARM", path, found)
for path in %r:
    read(path)
print("tried")
"""


def test_a_job_that_does_nothing_completes(site: Site) -> None:
    ran = site.run("print('hello')")
    assert (ran.ended.reason, ran.ended.exit_code) == ("", 0), ran.because
    assert "hello" in ran.said


def test_the_declared_output_comes_back_with_its_digest(site: Site) -> None:
    ran = site.run("open('/output/means.csv', 'w').write('a,b\\n1,2\\n')")
    assert [output.name for output in ran.ended.outputs] == ["means.csv"], ran.because
    assert (ran.folder / "outputs/means.csv").read_text() == "a,b\n1,2\n"


def test_the_data_are_where_the_environment_says(attack: Attack) -> None:
    ran = attack(
        "import os\n"
        "print(open(os.environ['GITQUEUE_DATA'] + '/people/people.csv').read())\n"
        "print(os.environ['GITQUEUE_OUTPUT'], os.getcwd())\n"
        "print('tried')"
    )
    assert SECRET in ran.log
    assert "/output /job" in ran.log


def test_an_environment_is_used_where_it_is_shown(attack: Attack, site: Site) -> None:
    made = site.spool.parent / "env"
    subprocess.run(("/usr/bin/python3", "-m", "venv", "--without-pip", made), check=True)
    packages = next(made.glob("lib/python3*/site-packages"))
    (packages / "installed.py").write_text("answer = 42\n")
    ran = attack(
        "import sys, installed\nprint(sys.prefix, installed.answer)\nprint('tried')",
        binds=(Bind(str(made), "/env"),),
        environment=(("PATH", "/env/bin:" + sandbox.PATH), ("VIRTUAL_ENV", "/env")),
    )
    assert "/env 42" in ran.said


def test_no_network_of_any_kind_is_there(attack: Attack, site: Site) -> None:
    with socket.socket() as listener, socket.socket(socket.AF_UNIX) as abstract:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        abstract.bind(f"\0gitqueue-{os.getpid()}-{site.as_root}")
        abstract.listen()
        attack(f"""
import socket
def reach(family, address, kind=socket.SOCK_STREAM):
    try:
        with socket.socket(family, kind) as there:
            there.settimeout(0.3)
            there.connect(address)
            there.send(b"x")
        print("HARM", address)
    except OSError:
        pass
reach(socket.AF_INET, ("127.0.0.1", {listener.getsockname()[1]}))
reach(socket.AF_INET, ("8.8.8.8", 53), socket.SOCK_DGRAM)
reach(socket.AF_INET6, ("2001:4860:4860::8888", 53), socket.SOCK_DGRAM)
reach(socket.AF_UNIX, "\\0gitqueue-{os.getpid()}-{site.as_root}")
for family in (socket.AF_VSOCK, socket.AF_PACKET, socket.AF_ALG, socket.AF_CAN, 29, 31, 38, 40, 44):
    try:
        socket.socket(family, socket.SOCK_STREAM)
        print("HARM", family)
    except OSError as error:
        pass
try:
    print("HARM", socket.getaddrinfo("example.org", 80))
except OSError:
    print("tried")
""")


def test_pools_of_workers_still_run(attack: Attack) -> None:
    attack("""
from multiprocessing import Pool
import socket
if __name__ == "__main__":
    with Pool(2) as pool:
        assert pool.map(abs, [-1, -2]) == [1, 2]
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
    print("tried")
""")


def test_the_hosts_files_are_not_there(attack: Attack, site: Site) -> None:
    other = site.spool / "another"
    other.mkdir()
    (other / "outputs.csv").write_text(SECRET)
    paths = ["/etc/shadow", "/etc/ssh", "/root", "/home", "/var", "/srv", "/mnt", "/run", "/sys", "/boot", "/opt/pkg"]
    paths += [
        str(site.spool),
        str(other / "outputs.csv"),
        str(site.data),
        "/proc/1/root/etc/shadow",
        "/proc/1/root/root",
    ]
    paths += ["/dev/vda", "/dev/sda", "/dev/mem", "/dev/kmsg", "/proc/kcore", "/lost+found", "/work", "/etc/hostname"]
    attack(READING % paths)


def test_the_hosts_processes_are_not_there(attack: Attack) -> None:
    attack("""
import os
pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
if len(pids) > 4:
    print("HARM", pids)
for pid in range(1, 3000):
    if pid not in pids:
        try:
            os.kill(pid, 0)
            print("HARM", pid)
        except ProcessLookupError:
            pass
print("tried")
""")


def test_nothing_of_the_runners_environment_leaks(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    ran = attack("import os, json\nprint(json.dumps(dict(os.environ)))\nprint('tried')")
    names = set(json.loads(next(line for line in ran.said if line.startswith("{"))))
    assert names - {"LC_CTYPE", "PWD"} == {"PATH", "HOME", "LANG", "TZ", "GITQUEUE_DATA", "GITQUEUE_OUTPUT"}


def test_only_three_descriptors_are_open(attack: Attack, tmp_path: Path) -> None:
    leaky = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(leaky, True)
    try:
        attack("""
import os, stat
for fd in range(3, 1024):
    try:
        os.fstat(fd)
        print("HARM", fd, os.readlink(f"/proc/self/fd/{fd}"))
    except OSError:
        pass
if os.read(0, 1):
    print("HARM stdin")
print("tried")
""")
    finally:
        os.close(leaky)


def test_data_code_and_system_cannot_be_written(attack: Attack) -> None:
    attack("""
import os, glob
paths = ["/data/people/people.csv", "/data/people/new", "/data/new", "/job/main.py", "/job/new", "/usr/new",
         "/etc/passwd", "/etc/new", "/new", "/dev/new", "/opt/gitqueue/bin/new", "/proc/sys/kernel/core_pattern",
         "/proc/sysrq-trigger",
         "/proc/sys/kernel/hostname", "/proc/self/oom_score_adj", "/bin/new", "/dev/pts/new"]
for path in paths:
    for flags in (os.O_WRONLY, os.O_RDWR | os.O_CREAT):
        try:
            os.close(os.open(path, flags))
            print("HARM", path)
        except OSError:
            pass
    for act in (os.unlink, lambda p: os.chmod(p, 0o777), lambda p: os.rename(p, "/tmp/x"), lambda p: os.mkdir(p)):
        try:
            act(path)
            print("HARM", act, path)
        except OSError:
            pass
print("tried")
""")


def test_there_is_no_way_to_more_rights(attack: Attack) -> None:
    attack("""
import os, subprocess
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
    if int(status[name], 16):
        print("HARM", name, status[name])
if status["NoNewPrivs"].strip() != "1" or status["Seccomp"].strip() != "2":
    print("HARM", status["NoNewPrivs"], status["Seccomp"])
if os.getuid() != 1000 or os.getgroups() not in ([], [1000]):
    print("HARM", os.getuid(), os.getgroups())
for act in (lambda: os.setuid(0), lambda: os.setgroups([0]), lambda: os.chroot("/tmp"), lambda: os.chown("/tmp", 0, 0)):
    try:
        act()
        print("HARM", act)
    except OSError:
        pass
for words in (["unshare", "-U", "true"], ["unshare", "-n", "true"], ["mount", "-t", "tmpfs", "x", "/tmp"],
              ["bwrap", "--unshare-user", "--ro-bind", "/", "/", "true"], ["nsenter", "-t", "1", "-m", "true"]):
    try:
        if subprocess.run(words, capture_output=True).returncode == 0:
            print("HARM", words)
    except OSError:
        pass
print("tried")
""")


CALLS = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static void must(const char *name, long result, int wanted) {
    if (result != -1 || errno != wanted) printf("HARM %s gave %ld, %s\n", name, result, strerror(errno));
    errno = 0;
}
#define DENIED(call, ...) must(#call, syscall(SYS_##call, ##__VA_ARGS__), EPERM)
int main(void) {
    char room[256] = {0};
    DENIED(io_uring_setup, 1, room);
    DENIED(keyctl, 0, -3, 1); DENIED(add_key, "user", "k", "v", 1, -3); DENIED(request_key, "user", "k", 0, -3);
    DENIED(ptrace, PTRACE_TRACEME, 0, 0, 0); DENIED(process_vm_readv, getpid(), 0, 0, 0, 0, 0);
    DENIED(bpf, 0, room, 64); DENIED(perf_event_open, room, 0, -1, -1, 0); DENIED(userfaultfd, 0);
    DENIED(unshare, CLONE_NEWUSER); DENIED(unshare, 0); DENIED(setns, 0, 0);
    DENIED(mount, "x", "/tmp", "tmpfs", 0, 0); DENIED(umount2, "/proc", 2); DENIED(pivot_root, ".", ".");
    DENIED(fsopen, "tmpfs", 0); DENIED(fsmount, 0, 0, 0); DENIED(move_mount, 0, "", 0, "", 0);
    DENIED(open_tree, 0, "/", 1); DENIED(mount_setattr, 0, "", 0, room, 32);
    must("statmount", syscall(457, room, room, 8, 0), EPERM);
    DENIED(kexec_load, 0, 0, 0, 0); DENIED(init_module, room, 0, ""); DENIED(finit_module, 0, "", 0);
    DENIED(delete_module, "x", 0); DENIED(open_by_handle_at, 0, room, 0);
    DENIED(name_to_handle_at, 0, "/", room, room, 0); DENIED(personality, 0x40000);
    DENIED(syslog, 3, room, 8); DENIED(reboot, 0, 0, 0, 0); DENIED(fanotify_init, 0, 0); DENIED(kcmp, 1, 1, 0, 0, 0);
    must("clone3", syscall(SYS_clone3, room, 64), ENOSYS);
    int kinds[] = {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP};
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        long child = syscall(SYS_clone, kinds[i] | SIGCHLD, 0, 0, 0, 0);
        if (child == 0) _exit(0);
        must("clone", child, EPERM);
    }
    char c = 'x';
    must("TIOCSTI", ioctl(0, TIOCSTI, &c), EPERM);
    must("TIOCLINUX", ioctl(0, TIOCLINUX, &c), EPERM);
    /* the kernel reads 32 bits of the request: the high ones must not fool the filter (CVE-2019-10063) */
    must("TIOCSTI with high bits", syscall(SYS_ioctl, 0, (1UL << 32) | TIOCSTI, &c), EPERM);
    for (int family = 0; family < 64; family++) {
        if (family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK) continue;
        must("socket", syscall(SYS_socket, family, SOCK_RAW, 0), EAFNOSUPPORT);
        must("socket with high bits", syscall(SYS_socket, (1UL << 32) | family, SOCK_RAW, 0), EAFNOSUPPORT);
    }
    for (int protocol = 1; protocol < 32; protocol++)
        must("netlink", syscall(SYS_socket, AF_NETLINK, SOCK_RAW, protocol), EAFNOSUPPORT);
    puts("tried");
    return 0;
}
"""
FOREIGN = {
    "32-bit calls by int 0x80": 'long r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory");',
    "x32 calls": 'long r; __asm__ volatile("syscall" : "=a"(r) : "a"(0x40000000 | 39) : "rcx", "r11", "memory");',
}


def compiled(site: Site, name: str, source: str) -> Path:
    """A job whose program is C, built outside: a job may bring any binary."""
    if not shutil.which("gcc"):
        pytest.fail("gcc is missing: apt-get install gcc libc6-dev")
    folder = site.job(name, {"main.c": source}, command=("/job/main",))
    subprocess.run(("gcc", "-w", "-O1", "-o", folder / "job/main", folder / "job/main.c"), check=True)
    return folder


def test_dangerous_system_calls_are_denied(site: Site) -> None:
    folder = compiled(site, "calls", CALLS)
    site.start(folder)
    ran = site.wait(folder)
    assert "tried" in ran.said, ran.because
    assert "HARM" not in ran.log, ran.because


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the attack is written for x86-64")
@pytest.mark.parametrize("way", FOREIGN)
def test_calls_of_foreign_architectures_kill(site: Site, way: str) -> None:
    folder = compiled(site, "foreign", f'#include <stdio.h>\nint main(void) {{ {FOREIGN[way]} puts("HARM"); }}')
    site.start(folder)
    ran = site.wait(folder)
    assert (ran.ended.reason, ran.ended.exit_code) == ("signal", 128 + signal.SIGSYS), ran.because
    assert "HARM" not in ran.log


# --- limits ---------------------------------------------------------------------------------------------------------

FILL = "f = open('%s', 'wb')\nwhile True: f.write(b'x' * 1_000_000)"
FLOOD = "n = 0\nwhile True:\n open(f'%s/{n}.txt', 'w').close()\n n += 1"
DAEMON = "import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n  time.sleep(100)\n"
LIMITED = {
    "sleeps for ever": ("time-limit", "import time\nwhile True: time.sleep(100)", {"time": 0.3}),
    "spins": ("time-limit", "while True: pass", {"time": 0.4}),
    "spins often": ("time-limit", "import os\nfor _ in range(3): os.fork()\nwhile True: pass", {"time": 0.4}),
    "daemonises": ("time-limit", DAEMON + "time.sleep(100)", {"time": 0.3}),
    "takes memory": ("memory-limit", "kept = []\nwhile True: kept.append(bytearray(b'x' * 10_000_000))", {}),
    "fills /dev/shm": ("memory-limit", FILL % "/dev/shm/x", {}),
    "fills /tmp": ("memory-limit", FILL % "/tmp/x", {}),
    "floods /tmp with inodes": ("memory-limit", FLOOD % "/tmp", {"time": 60}),
    "fills the output": ("output-limit", FILL % "/output/x.txt", {}),
    "floods the output with inodes": ("output-limit", FLOOD % "/output", {"time": 60}),
    "writes too many files": ("output-limit", "for n in range(30): open(f'/output/{n}.txt', 'w').close()", {}),
    "kills itself": ("signal", "import os\nos.kill(os.getpid(), 11)", {}),
    "fails": ("exit-code", "raise SystemExit(3)", {}),
    "fails with a large code": ("exit-code", "import os\nos._exit(100)", {}),
}


@pytest.mark.parametrize("attempt", LIMITED)
def test_a_limit_stops_what(site: Site, attempt: str) -> None:
    reason, program, changes = LIMITED[attempt]
    ran = site.run(program, replace(LIMITS, **changes))
    assert ran.ended.reason == reason, ran.because
    assert ran.ended.seconds < 4


def test_a_fork_bomb_is_stopped(site: Site) -> None:
    if not site.as_root:
        pytest.skip("a bomb that gives up within 20 ms is not seen without control groups; the next one is")
    ran = site.run({"main.sh": "b() { b | b & }; b; while :; do :; done"}, BRIEF)
    assert ran.ended.reason == "process-limit", ran.because


def test_a_fork_bomb_in_python_that_ignores_errors_is_stopped(site: Site) -> None:
    ran = site.run("import os\nwhile True:\n try: os.fork()\n except OSError: pass", BRIEF)
    assert ran.ended.reason == "process-limit", ran.because


@pytest.mark.slow
def test_ignoring_signals_helps_nobody(site: Site) -> None:
    program = """
import signal, time
for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
while True:
    time.sleep(9)
"""
    ran = site.run(program, replace(LIMITS, time=0.3))
    assert ran.ended.reason == "time-limit", ran.because


def test_a_job_that_is_told_to_end_may_tidy_up(site: Site) -> None:
    program = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("tidy", flush=True), sys.exit()))
time.sleep(50)
"""
    ran = site.run(program, replace(LIMITS, time=0.5))
    assert ran.ended.reason == "time-limit"
    assert "tidy" in ran.said, ran.because


def test_a_daemon_does_not_outlive_its_job(site: Site) -> None:
    ran = site.run(DAEMON + " os._exit(0)\nos.wait()")
    assert (ran.ended.reason, ran.ended.seconds < 2) == ("", True), ran.because


def test_a_flood_without_newline_is_capped_with_head_and_tail(site: Site) -> None:
    program = (
        "import sys\nprint('first', flush=True)\nfor _ in range(2000): sys.stdout.write('x' * 10_000)\nprint('\\nlast')"
    )
    ran = site.run(program)
    assert (ran.folder / "log").stat().st_size < 6 << 20
    assert "first" in ran.said
    assert "last" in ran.said
    assert "bytes left out" in ran.log


def test_any_bytes_are_safe_in_the_log(site: Site) -> None:
    ran = site.run(r"import sys; sys.stdout.buffer.write(b'\x1b]0;pwned\x07\xff\x00 \xe2\x80\xae ok\n')")
    assert all(byte >= 32 or byte == 10 for byte in (ran.folder / "log").read_bytes())
    assert "\u202e" not in ran.log
    assert "ok" in ran.log


def test_cores_are_shared_out(site: Site) -> None:
    if not site.as_root:
        pytest.skip("needs control groups")
    program = "import time\nend = time.time() + 1\nwhile time.time() < end: pass\nprint('used', time.process_time())"
    ran = site.run(program, replace(LIMITS, cpus=0.25))
    used = float(next(line for line in ran.said if line.startswith("used")).split()[1])
    assert used < 0.5, ran.because


@pytest.mark.parametrize("attempt", ["takes memory", "fills /tmp", "spins"])
def test_a_normal_users_delegated_groups_hold(delegated: Site, attempt: str) -> None:
    reason, program, changes = LIMITED[attempt]
    ran = delegated.run(program, replace(LIMITS, **changes))
    assert ran.ended.reason == reason, ran.because
    assert dict(ran.ended.enforced)["memory"].startswith("cgroup"), ran.because


def test_a_normal_users_delegated_groups_stop_a_fork_bomb(delegated: Site) -> None:
    ran = delegated.run({"main.sh": "b() { b | b & }; b; while :; do :; done"}, BRIEF)
    assert ran.ended.reason == "process-limit", ran.because


def test_large_files_and_core_dumps_are_refused(attack: Attack) -> None:
    attack("""
import resource
for kind, most in ((resource.RLIMIT_CORE, 1), (resource.RLIMIT_NOFILE, 1024), (resource.RLIMIT_FSIZE, 1 << 30)):
    soft, hard = resource.getrlimit(kind)
    if not 0 <= hard <= most:
        print("HARM", kind, soft, hard)
    try:
        resource.setrlimit(kind, (hard + 1, hard + 1))
    except (ValueError, OSError):
        pass
    if resource.getrlimit(kind)[1] > hard:
        print("HARM", kind)
print("tried")
""")


# --- ends that are nobody's fault but ours, or the owner's wish ------------------------------------------------------


def test_a_missing_program_is_the_jobs_own_fault(site: Site) -> None:
    ran = site.run("", command=("no-such-program",))
    assert (ran.ended.reason, ran.ended.exit_code) == ("exit-code", 127), ran.because


def test_missing_data_is_the_sites_fault_and_named(site: Site) -> None:
    ran = site.run("", binds=(Bind("/nowhere/people.csv", "/data/people/people.csv"),))
    assert ran.ended.reason == "site-fault"
    assert "/nowhere/people.csv" in ran.ended.detail


def test_a_bind_over_the_system_is_refused(site: Site) -> None:
    ran = site.run("", binds=(Bind(str(site.data), "/usr/bin/python3"),))
    assert ran.ended.reason == "site-fault"
    assert "would hide" in ran.ended.detail


def test_without_its_filter_nothing_runs(site: Site) -> None:
    ran = _from_nothing(site, lambda folder: (folder / "seccomp.bpf").unlink())
    assert ran.ended.reason == "site-fault"
    assert "seccomp.bpf" in ran.ended.detail


def test_a_scheduler_may_start_the_supervisor_from_nothing(site: Site) -> None:
    ran = _from_nothing(site, lambda _: None)
    assert (ran.ended.reason, "ran" in ran.said) == ("", True), ran.because


def _from_nothing(site: Site, change: Callable[[Path], object]) -> Ran:
    """Run a job's folder again by the command line that a scheduler gets."""
    if not site.as_root:
        pytest.skip("the command line names root's interpreter")
    folder = site.job("cold", "print('ran')")
    site.start(folder)
    site.wait(folder)
    (folder / "ended.json").unlink()
    change(folder)
    subprocess.run(spool.words(folder), check=True, capture_output=True, timeout=30)
    return Ran(local.ended(folder), folder)


def test_cancelling_stops_the_job(site: Site) -> None:
    folder = site.job("cancelled", "import time\ntime.sleep(100)")
    site.start(folder)
    assert local.observe(folder) == "running"
    local.cancel(folder)
    ran = site.wait(folder)
    assert ran.ended.reason == "cancelled", ran.because


def test_a_job_cancelled_before_it_began_says_so(site: Site) -> None:
    folder = site.job("early", "import time\ntime.sleep(100)")
    local.cancel(folder)
    site.start(folder)
    assert site.wait(folder).ended.reason == "cancelled"


def test_a_killed_supervisor_leaves_nothing(site: Site) -> None:
    folder = site.job("orphan", "import os, time\nos.fork()\nprint('up', flush=True)\ntime.sleep(100)")
    site.start(folder)
    _until_up(folder)
    until = time.monotonic() + 10
    for pid in _supervisors(folder):
        os.kill(pid, signal.SIGKILL)
    while local.observe(folder) == "running":
        assert time.monotonic() < until
        time.sleep(0.01)
    assert local.observe(folder) == "dead"
    again = site.run("print('next')")  # which also sweeps the control groups of the dead
    assert "next" in again.said


def test_a_terminated_supervisor_cancels_its_job(site: Site) -> None:
    folder = site.job("terminated", "import time\nprint('up', flush=True)\ntime.sleep(100)")
    site.start(folder)
    _until_up(folder)
    for pid in _supervisors(folder):
        os.kill(pid, signal.SIGTERM)
    assert site.wait(folder).ended.reason == "cancelled"


def test_a_job_survives_its_runner(site: Site) -> None:
    """The runner here is a process that starts the job and is killed at once."""
    if not site.as_root:
        pytest.skip("every job of a normal user's in these tests has lost its runner")
    folder = site.job("survivor", "import time\ntime.sleep(0.3)\nprint('still here')")
    code = (
        "import os, sys; from pathlib import Path; from gitqueue.adapters import files;"
        "from gitqueue.adapters.executors import local; folder = Path(sys.argv[1]);"
        "local.start(folder, files.plan((folder / 'wanted.json').read_bytes())); os.kill(os.getpid(), 9)"
    )
    subprocess.run((sys.executable, "-c", code, folder), check=False, cwd=TEMPLATES.parent)
    assert local.observe(folder) == "running"
    assert "still here" in site.wait(folder).said


def test_a_killed_nursery_is_replaced(site: Site) -> None:
    if not site.as_root:
        pytest.skip("a normal user's runner in these tests starts one job")
    assert site.run("").ended.reason == ""
    nursery = local._nursery._process
    assert nursery
    nursery.kill()
    nursery.wait()
    assert site.run("").ended.reason == ""


def _until_up(folder: Path) -> None:
    until = time.monotonic() + 10
    while not (folder / "log").exists() or "up" not in (folder / "log").read_text():
        assert time.monotonic() < until
        time.sleep(0.01)


def _supervisors(folder: Path) -> list[int]:
    """Whoever holds the lock."""
    found = []
    for path in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if path.readlink() == folder / "lock":
                found.append(int(path.parts[2]))
    return found


def test_a_second_supervisor_for_the_same_folder_is_refused(site: Site) -> None:
    if not site.as_root:
        pytest.skip("the same code")
    folder = site.job("twice", "import time\ntime.sleep(100)")
    site.start(folder)
    with pytest.raises(Exception, match="has a running supervisor"):
        site.start(folder)
    local.cancel(folder)
    site.wait(folder)


@pytest.mark.slow
def test_many_jobs_at_once_do_not_sweep_each_other_away(site: Site) -> None:
    """Five of 250 failed while a start removed groups that a neighbour was just making."""
    if not site.as_root:
        pytest.skip("needs control groups")
    for turn in range(4):
        folders = [site.job(f"job{turn}-{number}", "pass", replace(LIMITS, time=20)) for number in range(12)]
        for folder in folders:
            site.start(folder)
        assert {site.wait(folder).ended.detail for folder in folders} == {""}


def test_root_never_runs_a_job(site: Site) -> None:
    if not site.as_root:
        pytest.skip("a normal user is not root")
    for uid in (None, 0):
        ran = site.run("print('HARM')", uid=uid, gid=uid)
        assert ran.ended.reason == "site-fault"
        assert "sandbox user" in ran.ended.detail or "the job's user" in ran.ended.detail


def test_a_started_job_is_observed_as_running_at_once(site: Site) -> None:
    folder = site.job("seen", "import time\ntime.sleep(0.2)")
    assert local.observe(folder) == "absent"
    site.start(folder)
    assert local.observe(folder) == "running"
    site.wait(folder)


def looked_at(site: Site) -> Inspection:
    """What looks at a job's outputs and compares them with the site's data; its key lies in the job's folder."""
    ready = checks.ready(site.spool.parent)
    return replace(ready, indexed=(Indexed("people/people", "/data/people/people.csv", "0"),))


def test_outputs_are_looked_at_inside_a_second_sandbox(site: Site) -> None:
    program = """
open("/output/a.csv", "w").write("id,age\\n1,2\\n")
open("/output/b.json", "w").write('{"k": [{"l": 1}]}')
"""
    ran = site.run(program, inspect=looked_at(site))
    found = facts(ran)["files"]  # type: ignore[index]
    assert found["a.csv"]["names"] == ["id", "age"], ran.because
    assert found["b.json"]["names"] == ["k", "l"]


def test_a_checker_that_dies_leaves_no_facts(site: Site) -> None:
    ready = looked_at(site)
    bad = site.spool.parent / "bad"
    bad.mkdir(mode=0o755)
    (bad / "check.py").write_text("print('{}')\nraise SystemExit(1)")
    ran = site.run("open('/output/a.csv', 'w').write('x')", inspect=replace(ready, programs=str(bad)))
    assert ran.ended.reason == ""
    assert not (ran.folder / "inspection.json").exists()


def test_the_runner_is_woken(site: Site, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wake:
        path = site.spool.parent / "wake"
        wake.bind(str(path))
        path.chmod(0o666)
        wake.settimeout(5)
        site.run("", wake=str(path))
        assert wake.recv(100)


def test_links_in_the_output_lead_nowhere(site: Site) -> None:
    ran = site.run(
        "import os\nos.symlink('/data/people/people.csv', '/output/a.csv'); os.symlink('/etc/shadow', '/output/b.csv')"
    )
    assert ran.ended.outputs == ()
    assert {refusal.name for refusal in ran.ended.refused} == {"a.csv", "b.csv"}


def test_what_is_enforced_by_what_is_reported(site: Site) -> None:
    ran = site.run("")
    assert {name for name, _ in ran.ended.enforced} >= {"time", "memory", "processes", "output", "log"}
    counted = dict(ran.ended.enforced)["memory"].startswith("cgroup")
    assert (ran.ended.memory or 0) > 100_000 if counted else ran.ended.memory is None
    assert "--disable-userns" in ran.ended.sandbox


# --- whether this machine can -----------------------------------------------------------------------------------------


def test_a_fit_machine_has_no_problems() -> None:
    user = (SANDBOX_USER, SANDBOX_USER) if IS_ROOT else (None, None)
    assert sandbox.problems(*user) == ()


def test_switched_off_user_namespaces_are_said_with_their_remedy() -> None:
    """Really switched off, in a user namespace of the test's own: the count is per namespace."""
    code = "from gitqueue.adapters import sandbox; print(sandbox.problems(None, None))"
    script = 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"'
    mapped = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--keep-caps")
    done = subprocess.run(
        (*mapped, "sh", "-c", script, "sh", sys.executable, "-c", code),
        capture_output=True,
        text=True,
        check=True,
        cwd=TEMPLATES.parent,
    )
    assert "sysctl -w user.max_user_namespaces=15000" in done.stdout, done.stderr


def test_an_unloadable_filter_library_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyseccomp", None)
    assert any("apt-get install libseccomp2" in reason for reason in sandbox.problems(NORMAL_USER, NORMAL_USER))


def test_a_missing_bubblewrap_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sandbox, "PROGRAM", str(tmp_path / "bwrap"))
    assert any("apt-get install bubblewrap" in reason for reason in sandbox.problems(NORMAL_USER, NORMAL_USER))


def test_an_old_and_a_setuid_bubblewrap_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "bwrap"
    old.write_text("#!/bin/sh\necho bubblewrap 0.4.1\n")
    old.chmod(0o4755)
    monkeypatch.setattr(sandbox, "PROGRAM", str(old))
    found = " ".join(sandbox.problems(NORMAL_USER, NORMAL_USER))
    assert "older than 0.8" in found
    assert "chmod ug-s" in found
