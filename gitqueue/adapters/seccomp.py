"""Which system calls a job may make: the filter that bubblewrap loads last, built by libseccomp."""

import errno
import os
import resource
from types import ModuleType

TYPE_CHECKING = False  # typing itself would cost each job 5 ms
if TYPE_CHECKING:
    from typing import Any

_DENIED = (
    *("mount", "umount2", "pivot_root", "chroot", "fsopen", "fsconfig", "fsmount", "fspick", "move_mount"),
    *("open_tree", "open_tree_attr", "mount_setattr", "statmount", "listmount"),
    *("unshare", "setns"),
    *("keyctl", "add_key", "request_key"),  # keyrings belong to the host's uid, not to a namespace
    *("ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "process_madvise", "pidfd_getfd"),
    *("perf_event_open", "bpf", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register"),
    *("kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "reboot", "syslog"),
    *("swapon", "swapoff", "acct", "quotactl", "quotactl_fd", "nfsservctl", "lookup_dcookie", "uselib", "vhangup"),
    *("settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "stime", "sethostname", "setdomainname"),
    *("iopl", "ioperm", "modify_ldt", "vm86", "vm86old", "personality", "fanotify_init", "open_by_handle_at"),
    *("name_to_handle_at", "vmsplice", "migrate_pages", "move_pages", "mbind", "set_mempolicy"),
)
_NEW_NAMESPACES = (17, 25, 26, 27, 28, 29, 30)  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}; NEWTIME needs clone3
_TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: type into a terminal
_LOW = 0xFFFFFFFF  # the kernel reads 32 bits here; comparing 64 is how filters were fooled (CVE-2019-10063)
_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16


def seccomp_filter() -> bytes:
    """The filter as bubblewrap takes it (struct sock_filter[]), for this machine's own architecture.

    A list of what is denied, over a kernel whose names are cut away by namespaces. Every other architecture's calls
    (32-bit, x32) kill the process: libseccomp's default. Raises ImportError or RuntimeError where libseccomp is not.
    """
    import pyseccomp as seccomp  # 30 ms, and not needed by the supervisor

    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    no, arg = seccomp.ERRNO(errno.EPERM), seccomp.Arg
    for name in _DENIED:
        _deny(rules, seccomp, name)
    rules.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")  # its flags lie in memory: the C library falls back to clone
    for bit in _NEW_NAMESPACES:
        rules.add_rule(no, "clone", arg(_clone_flags(), seccomp.MASKED_EQ, 1 << bit, 1 << bit))
    for request in _TERMINAL_INPUT:
        rules.add_rule(no, "ioctl", arg(1, seccomp.MASKED_EQ, _LOW, request))
    _no_core(rules, seccomp)
    _sockets(rules, seccomp)
    return _exported(rules)


def _no_core(rules: "Any", seccomp: ModuleType) -> None:
    """A limit of 1 on core dumps must stay 1 (`limits.apply`). Programs that set it to 0 for themselves mean no harm:
    they are told that it was done."""
    done, arg, eq = seccomp.ERRNO(0), seccomp.Arg, seccomp.MASKED_EQ
    rules.add_rule(done, "setrlimit", arg(0, eq, _LOW, resource.RLIMIT_CORE))
    rules.add_rule(done, "prlimit64", arg(1, eq, _LOW, resource.RLIMIT_CORE), arg(2, seccomp.NE, 0))


def _clone_flags() -> int:
    return 1 if os.uname().machine == "s390x" else 0


# Calls younger than Debian 12's libseccomp 2.5.4; from 424 on, numbers are the same on every architecture.
_YOUNG = {"quotactl_fd": 443, "statmount": 457, "listmount": 458, "open_tree_attr": 467}


def _deny(rules: "Any", seccomp: ModuleType, name: str) -> None:
    number = seccomp.resolve_syscall(seccomp.system_arch(), name)
    if number < 0:  # this library does not know it, or this architecture never had it (vm86 on arm64)
        number = _YOUNG.get(name, -1)
    if number >= 0:
        rules.add_rule(seccomp.ERRNO(errno.EPERM), number)


def _sockets(rules: "Any", seccomp: ModuleType) -> None:
    """Families that Python's and R's worker pools use, confined by the empty network namespace; and no other."""
    no, arg, eq = seccomp.ERRNO(errno.EAFNOSUPPORT), seccomp.Arg, seccomp.MASKED_EQ
    for call in ("socket", "socketpair"):
        for family in range(_NETLINK):
            if family not in (_UNIX, _INET, _INET6):
                rules.add_rule(no, call, arg(0, eq, _LOW, family))
        rules.add_rule(no, call, arg(0, seccomp.GT, _NETLINK))
        for protocol in range(1, 32):  # of netlink only protocol 0, routes: getifaddrs asks it
            rules.add_rule(no, call, arg(0, eq, _LOW, _NETLINK), arg(2, eq, _LOW, protocol))


def _exported(rules: "Any") -> bytes:
    fd = os.memfd_create("seccomp")
    with os.fdopen(fd, "w+b") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
