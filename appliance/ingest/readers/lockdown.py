"""What a reading child gives up before it sees a byte: network, new programs, writing, and memory without end.

Where the kernel has no system-call filters, an empty network namespace is tried instead.
"""

import ctypes
import os
import platform
import resource
from pathlib import Path

from appliance import seccomp
from appliance.seccomp import ALLOW, EACCES, ENOSYS, EPERM, errno_result, guarded, jump_equal, jump_set, number_of

_PR_SET_DUMPABLE = 4
_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_THREAD = 0x10000000, 0x40000000, 0x00010000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CLONE, _OPENAT, _TGKILL, _PRLIMIT = (56, 220), (257, 56), (234, 131), (302, 261)
_OPEN_X86 = 2
_ABSENT = {"clone3": (435, 435), "openat2": (437, 437)}  # libc falls back to what can be inspected
_DENIED = {
    "socket": (41, 198), "connect": (42, 203), "accept": (43, 202), "sendto": (44, 206), "sendmsg": (46, 211),
    "bind": (49, 200), "listen": (50, 201), "accept4": (288, 242), "recvmmsg": (299, 243), "sendmmsg": (307, 269),
    "fork": (57, -1), "vfork": (58, -1), "execve": (59, 221), "execveat": (322, 281), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kill": (62, 129), "tkill": (200, 130),
    "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438), "truncate": (76, 45),
    "ftruncate": (77, 46), "rename": (82, -1), "mkdir": (83, -1), "rmdir": (84, -1), "creat": (85, -1),
    "link": (86, -1), "unlink": (87, -1), "symlink": (88, -1), "chmod": (90, -1), "fchmod": (91, 52),
    "chown": (92, -1), "fchown": (93, 55), "lchown": (94, -1), "mknod": (133, -1), "mkdirat": (258, 34),
    "mknodat": (259, 33), "fchownat": (260, 54), "unlinkat": (263, 35), "renameat": (264, 38), "linkat": (265, 37),
    "symlinkat": (266, 36), "fchmodat": (268, 53), "renameat2": (316, 276), "utime": (132, -1), "utimes": (235, -1),
    "utimensat": (280, 88), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "unshare": (272, 97), "setns": (308, 268), "init_module": (175, 105), "finit_module": (313, 273),
    "kexec_load": (246, 104), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "perf_event_open": (298, 241), "bpf": (321, 280), "userfaultfd": (323, 282),
}  # fmt: skip


def drop_privileges() -> str:
    """Closes the ways out for this process and every thread of it; returns what now keeps it from the network."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    machine = platform.machine()
    if seccomp.known(machine) and seccomp.install(filter_program(machine)):
        return "seccomp"
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:
        return "namespace"
    return "none"


def mapped_bytes() -> int:
    """Address space of this process."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()


def limit_memory(total_bytes: int) -> None:
    """Bounds the address space."""
    _lower(resource.RLIMIT_AS, total_bytes)


def limit_cpu(seconds: int) -> None:
    """Ends the process by SIGXCPU once it has used `seconds` of processor time from now on."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource.RLIMIT_CPU, int(usage.ru_utime + usage.ru_stime) + 1 + seconds)


def _lower(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def resident_bytes() -> int:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def filter_program(machine: str) -> bytes:
    """The filter as BPF instructions of eight bytes."""
    wrong = errno_result(EPERM)
    parts = seccomp.beginning(machine)
    if machine == "x86_64":
        parts += guarded(_OPEN_X86, 1, jump_set(_WRITING, 0, 1), errno_result(EACCES), ALLOW)
    for call in (*_ABSENT.values(), seccomp.IO_URING_SETUP):
        parts += seccomp.refused(call, machine, ENOSYS)
    for call in _DENIED.values():
        parts += seccomp.refused(call, machine, EACCES)
    parts += guarded(number_of(_OPENAT, machine), 2, jump_set(_WRITING, 0, 1), errno_result(EACCES), ALLOW)
    parts += guarded(number_of(_CLONE, machine), 0, jump_set(_CLONE_THREAD, 0, 1), ALLOW, wrong)
    parts += guarded(number_of(_TGKILL, machine), 0, jump_equal(os.getpid(), 0, 1), ALLOW, wrong)  # abort() of our own
    parts += guarded(number_of(_PRLIMIT, machine), 0, jump_equal(0, 0, 1), ALLOW, wrong)
    return b"".join([*parts, seccomp.result(ALLOW)])
