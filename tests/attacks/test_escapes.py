"""Every further way out that we could think of, in Python, shell and C: many in one run, since each only tries."""

import shutil
import subprocess
from dataclasses import replace

import pytest

from gitqueue.model import Bind

from .conftest import LIMITS, Site
from .test_sandbox import Attack, compiled

pytestmark = pytest.mark.slow

PYTHON = r"""
import ctypes, fcntl, mmap, os, resource, signal, socket, time
DATA = "/data/people/people.csv"
libc = ctypes.CDLL(None, use_errno=True)
def system(*words):
    if libc.syscall(*words) < 0:
        raise OSError(ctypes.get_errno(), "")
def mapped():
    with open(DATA, "rb") as file:
        mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_WRITE)[0] = 1
def reopened():
    fd = os.open(DATA, os.O_RDONLY)
    os.close(os.open(f"/proc/self/fd/{fd}", os.O_WRONLY))
def hole():
    system(285, os.open(DATA, os.O_RDONLY), 3, 0, 10)
def flags():
    fcntl.ioctl(os.open(DATA, os.O_RDONLY), 0x40086602, b"\x10\0\0\0\0\0\0\0")
def opened(path, how):
    return lambda: os.close(os.open(path, how))
def sent(fd):
    with socket.socketpair()[0] as a:
        socket.send_fds(a, [b"x"], [fd])
WAYS = {
    "writing data by a shared map": mapped,
    "writing data through /proc/self/fd": reopened,
    "punching a hole into data": hole,
    "making data immutable": flags,
    "linking data into the output": lambda: os.link(DATA, "/output/data.csv"),
    "cutting data": lambda: os.truncate(DATA, 0),
    "touching data": lambda: os.utime(DATA),
    "marking data": lambda: os.setxattr(DATA, "user.x", b"x"),
    "moving data": lambda: os.rename("/data/people", "/tmp/people"),
    "an unnamed file beside data": opened("/data/people", os.O_TMPFILE | os.O_RDWR),
    "an unnamed file in /usr": opened("/usr/lib", os.O_TMPFILE | os.O_RDWR),
    "a device in the output": lambda: os.mknod("/output/sda", 0o60666, os.makedev(8, 0)),
    "a device in /tmp": lambda: os.mknod("/tmp/mem", 0o20666, os.makedev(1, 1)),
    "memory of the first process": opened("/proc/1/mem", os.O_RDWR),
    "descriptors of the first process": lambda: [os.readlink(f"/proc/1/fd/{n}") for n in (3, 4, 5, 6)][9],
    "killing the first process": lambda: (os.kill(1, signal.SIGKILL), time.sleep(0.1), os.kill(1, 0), 1 / 0),
    "a map of users of one's own": lambda: open("/proc/self/uid_map", "w").write("0 0 1"),
    "groups of one's own": lambda: open("/proc/self/setgroups", "w").write("allow"),
    "going first at being killed last": lambda: open("/proc/self/oom_score_adj", "w").write("-1000"),
    "real-time priority": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(9)),
    "going first": lambda: os.nice(-5),
    "more open files": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096)),
    "locking memory": lambda: system(151, 1 | 2) or [mmap.mmap(-1, 1 << 24) for _ in range(9)],
    "the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, 0),
    "the host's name": lambda: socket.sethostname("x"),
    "a raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "a route": lambda: socket.create_connection(("10.0.0.1", 80), 0.2),
    "the terminal of the machine": opened("/dev/tty", os.O_RDWR),
    "the console": opened("/dev/console", os.O_RDWR),
    "kernel messages": opened("/dev/kmsg", os.O_RDONLY),
    "fuse": opened("/dev/fuse", os.O_RDWR),
    "virtual machines": opened("/dev/kvm", os.O_RDWR),
    "loop devices": opened("/dev/loop-control", os.O_RDWR),
    "the machine's id": opened("/etc/machine-id", os.O_RDONLY),
    "its hardware": lambda: os.listdir("/sys/class"),
    "its control groups": lambda: os.listdir("/sys/fs/cgroup"),
}
for name, way in WAYS.items():
    try:
        way()
        print("HARM", name)
    except ZeroDivisionError:
        pass
    except (OSError, ValueError, AttributeError, IndexError, PermissionError):
        pass
if socket.gethostname() != "gitqueue" or time.tzname[0] != "UTC":
    print("HARM it knows where it is")
if not os.getsid(0) or not os.getpgid(0):
    print("HARM it is of a session outside, whose terminal it could type into")
if any(not line.endswith(":/\n") for line in open("/proc/self/cgroup")):
    print("HARM it knows its control groups' paths", open("/proc/self/cgroup").read())
if any(len(open(f"/proc/sysvipc/{kind}").readlines()) > 1 for kind in ("shm", "sem", "msg")):
    print("HARM memory shared with the host")
if open("/proc/1/environ", "rb").read():
    print("HARM environment of the first process")
many = []
try:
    while True:
        many.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    if len(many) > 1024:
        print("HARM", len(many), "open files")
print("tried") if len(many) > 100 else print("HARM too few to mean anything")
"""

SHELL = r"""
exec 2>&1
must() { if "$@" >/tmp/said 2>&1; then echo "HARM $*"; fi; }
must mount -t proc proc /tmp
must mount --bind /data /tmp
must umount /data
must unshare -r true
must unshare -m true
must nsenter -t 1 -a true
must chroot / true
must ln /data/people/people.csv /output/people.csv
must cp /output/x /usr/bin/x
must mknod /output/d b 8 0
must chown 0:0 /tmp
must su -c true
must sudo -n true
must passwd -d root
must newuidmap $$ 0 0 1
must renice -n -5 $$
must chrt -f 9 true
must ip link add x type dummy
must ip link set lo mtu 9000
must ip addr add 10.0.0.1/8 dev lo
must hostname x
must date -s 2001-01-01
must sysctl -w kernel.hostname=x
must sh -c 'echo b > /proc/sysrq-trigger'
must sh -c 'echo "|/tmp/x" > /proc/sys/kernel/core_pattern'
must sh -c 'echo 0 > /proc/sys/vm/overcommit_memory'
must sh -c 'echo x > /proc/1/comm'
must dmesg
must swapon /tmp/x
must losetup /dev/loop0 /tmp/x
must insmod /tmp/x.ko
must bash -c 'exec 3<>/dev/tcp/127.0.0.1/22'
must bash -c 'echo x > /dev/udp/8.8.8.8/53'
must getent hosts example.org
must getent passwd nobody
must ls /home /root /srv /var/lib /run
must setpriv --reuid=0 true
must strace true
must crontab -l
must at now
must systemctl status
must dbus-send --system /x x.x
must docker ps
must ssh localhost
cp /usr/bin/id /tmp/id && chmod 6755 /tmp/id && [ "$(/tmp/id -u)" = 1000 ] || echo HARM id
ulimit -n 100000 && echo HARM files
ulimit -c unlimited; [ "$(ulimit -c)" = unlimited ] && echo HARM core
echo tried
"""

C = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
static void fails(const char *what, long result) { if (result >= 0) printf("HARM %s gave %ld\n", what, result); }
#define TRY(call, ...) fails(#call, syscall(SYS_##call, ##__VA_ARGS__))
int main(void) {
    char room[4096] = {0};
    for (int fd = 3; fd < 256; fd++) if (fcntl(fd, F_GETFD) >= 0) printf("HARM descriptor %d\n", fd);
    /* the filter cannot be taken off, nor privileges regained by its own means */
    fails("no_new_privs", prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    fails("securebits", prctl(PR_SET_SECUREBITS, 0x2f, 0, 0, 0));
    fails("capbset", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 21, 0, 0));
    uint32_t head[2] = {0x20080522, 0}, caps[6] = {~0u, ~0u, ~0u, ~0u, ~0u, ~0u};
    TRY(capset, head, caps);
    TRY(setresuid, 0, 0, 0); TRY(setresgid, 0, 0, 0); TRY(setgroups, 0, room);
    /* doors to files without a path */
    TRY(open_by_handle_at, AT_FDCWD, room, O_RDONLY);
    TRY(open_tree, AT_FDCWD, "/data", 1); TRY(move_mount, -1, "/data", -1, "/tmp", 0);
    TRY(mount_setattr, AT_FDCWD, "/data", 0, room, 32);
    TRY(fsopen, "ext4", 0); TRY(fspick, AT_FDCWD, "/", 0);
    /* writing to another's memory, and being told of it */
    TRY(process_vm_writev, 1, room, 1, room, 1, 0); TRY(process_madvise, 0, room, 1, 4, 0);
    TRY(pidfd_getfd, syscall(SYS_pidfd_open, 1, 0), 0, 0);
    TRY(ptrace, 16, 1, 0, 0); TRY(ptrace, 0x4206, 1, 0, 0);
    TRY(userfaultfd, 1); TRY(io_uring_setup, 8, room); TRY(io_uring_register, 0, 0, room, 1);
    TRY(bpf, 5, room, 128); TRY(perf_event_open, room, -1, 0, -1, 0); TRY(fanotify_init, 0, 0);
    TRY(vmsplice, 1, room, 1, 0); TRY(acct, "/tmp/x"); TRY(quotactl, 0, "/", 0, room);
    TRY(iopl, 3); TRY(ioperm, 0x60, 1, 1); TRY(modify_ldt, 1, room, 16);
    TRY(kexec_file_load, 0, 0, 0, 0, 0); TRY(init_module, room, 1, ""); TRY(swapon, "/tmp/x", 0);
    TRY(keyctl, 0, -5, 1); TRY(add_key, "user", "a", "b", 1, -5); TRY(lookup_dcookie, 0, room, 8);
    /* a namespace by each call that could make one, high bits included */
    for (int bit = 0; bit < 64; bit++) {
        unsigned long flag = 1UL << bit;
        if (flag & (0x7e020080UL)) { TRY(unshare, flag); TRY(unshare, flag | 1UL << 40); TRY(setns, 0, flag); }
    }
    long child = syscall(SYS_clone, (1UL << 40) | 0x10000000 | 17, 0, 0, 0, 0);
    if (child == 0) _exit(0);
    fails("clone with high bits", child);
    unsigned char clone3[88] = {0};
    TRY(clone3, clone3, 88);
    /* a core limit that would wake a handler on the host */
    struct rlimit none = {0, 0}, now;
    setrlimit(RLIMIT_CORE, &none);
    syscall(SYS_prlimit64, 0, (1UL << 32) | RLIMIT_CORE, &none, 0);
    getrlimit(RLIMIT_CORE, &now);
    if (now.rlim_cur != 1 || now.rlim_max != 1) printf("HARM core limit %ld\n", (long)now.rlim_cur);
    /* left for others to find: the machine is looked at afterwards */
    if (shmget(IPC_PRIVATE, 4096, 0666 | IPC_CREAT) < 0 || semget(IPC_PRIVATE, 1, 0666 | IPC_CREAT) < 0 ||
        msgget(IPC_PRIVATE, 0666 | IPC_CREAT) < 0) puts("HARM the probe is no probe");
    /* a host's socket by its path, through any door that is left open */
    const char *sockets[] = {"/run/dbus/system_bus_socket", "/run/docker.sock", "/var/run/nscd/socket", "/dev/log"};
    for (int i = 0; i < 4; i++) {
        struct sockaddr_un there = {.sun_family = AF_UNIX};
        strcpy(there.sun_path, sockets[i]);
        fails(sockets[i], connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&there, sizeof there));
    }
    puts("tried");
    return 0;
}
"""


def test_no_way_out_in_python(attack: Attack) -> None:
    attack(PYTHON)


def test_no_way_out_in_shell(attack: Attack) -> None:
    attack({"main.sh": SHELL})


def test_no_way_out_in_c(site: Site) -> None:
    folder = compiled(site, "escapes", C)
    site.start(folder)
    ran = site.wait(folder)
    assert "tried" in ran.said, ran.because
    assert "HARM" not in ran.log, ran.because


THREADS = (
    "#include <pthread.h>\n#include <unistd.h>\nstatic void *idle(void *_) { for (;;) pause(); }\nint main(void) {"
)
THREADS += " pthread_t one; for (;;) if (pthread_create(&one, 0, idle, 0)) usleep(1000); }"
ENDED = {
    "threads without end": ("process-limit", THREADS),
    "forks that end at once": (
        "time-limit",
        "#include <unistd.h>\n#include <sys/wait.h>\n"
        "int main(void) { for (;;) { if (!vfork()) _exit(0); while (waitpid(-1, 0, WNOHANG) > 0); } }",
    ),
    "stopping itself": ("time-limit", "#include <signal.h>\nint main(void) { kill(0, SIGSTOP); for (;;); }"),
    "memory that no process has mapped": (
        "memory-limit",
        "#define _GNU_SOURCE\n#include <sys/mman.h>\n#include <unistd.h>\nstatic char room[1 << 20];\n"
        'int main(void) { for (;;) { int fd = memfd_create("x", 0); for (int i = 0; i < 64; i++)'
        " write(fd, room, sizeof room); } }",
    ),
    "a stack without end": (
        "signal",
        "int main(int n, char **v) { char room[9999]; room[n] = n; return main(n + room[n], v); }",
    ),
}


@pytest.mark.parametrize("way", ENDED)
def test_what_does_not_end_by_itself_is_ended_and_named(site: Site, way: str) -> None:
    if "mapped" in way and not site.as_root:
        pytest.skip("needs control groups: docs/security.md says so")
    reason, source = ENDED[way]
    folder = site.job(
        way.replace(" ", "-"),
        {"main.c": source},
        replace(LIMITS, time=1 if reason == "time-limit" else 5),
        command=("/job/main",),
    )
    subprocess.run(("gcc", "-w", "-O0", "-pthread", "-o", folder / "job/main", folder / "job/main.c"), check=True)
    site.start(folder)
    ran = site.wait(folder)
    assert ran.ended.reason == reason, ran.because


def test_a_job_cannot_forge_the_supervisors_or_the_other_streams_lines(site: Site) -> None:
    fake = "2026-01-01T00:00:00.000Z gitqueue all is well"
    ran = site.run(f"print('x\\\\r{fake}\\\\x85{fake}\\\\u2028{fake}\\\\n{fake}')".replace("\\\\", "\\"))
    assert all(line.split(" ")[1] == "out" for line in ran.log.splitlines()), ran.because
    assert len(ran.log.splitlines()) == 2, ran.because


def test_data_in_a_folder_stand_read_only_where_they_lie(attack: Attack, site: Site) -> None:
    folder = site.spool.parent / "folder"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(site.data, folder / "deep/people.csv")
    (folder / "link").symlink_to("deep/people.csv")
    attack(
        """
import os
print(open("/data/people/all/link").read())
for act in (lambda: open("/data/people/all/new", "w"), lambda: os.unlink("/data/people/all/link"),
            lambda: os.rmdir("/data/people/all/deep"), lambda: os.chmod("/data/people/all", 0o777)):
    try:
        act()
        print("HARM")
    except OSError:
        pass
print("tried")
""",
        binds=(Bind(str(folder), "/data/people/all"),),
    )
