"""What a reading child gives up before it sees a byte: network, new programs, writing, and memory without end.

The system-call filter is classic BPF (Linux,
Documentation/userspace-api/seccomp_filter.rst); it needs no privilege once
PR_SET_NO_NEW_PRIVS is set. Where the kernel has no seccomp, an empty network namespace is tried instead.
"""

import ctypes
import os
import platform
import resource
import struct
from pathlib import Path

_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_DUMPABLE = 4
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_FILTER_FLAG_TSYNC = 1  # all threads of the process
_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_THREAD = 0x10000000, 0x40000000, 0x00010000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _EACCES, _ENOSYS = 1, 13, 38

# AUDIT_ARCH of each machine, and its column below (numbers from the kernel's unistd.h; -1: no such call there).
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_COLUMNS = {"x86_64": 0, "aarch64": 1}
_SECCOMP, _CLONE, _OPENAT, _TGKILL, _PRLIMIT = (317, 277), (56, 220), (257, 56), (234, 131), (302, 261)
_OPEN_X86 = 2
_X32_BIT = 0x40000000
_ABSENT = {
    "clone3": (435, 435),
    "openat2": (437, 437),
    "io_uring_setup": (425, 425),
}  # libc falls back to what can be inspected
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
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and _install_filter(libc):
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


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _install_filter(libc: ctypes.CDLL) -> bool:
    machine = platform.machine()
    if machine not in _ARCHITECTURES or struct.calcsize("P") != 8:
        return False
    code = filter_program(machine)
    program = _Program(len(code) // 8, code)
    number = _SECCOMP[_COLUMNS[machine]]
    return bool(libc.syscall(number, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC, ctypes.byref(program)) == 0)


def filter_program(machine: str) -> bytes:
    """The filter as BPF instructions of eight bytes.

    Denied calls fail with EACCES or EPERM, so that libraries can carry on.
    """

    def load(offset: int) -> bytes:
        return struct.pack("<HBBI", 0x20, 0, 0, offset)

    def result(value: int) -> bytes:
        return struct.pack("<HBBI", 0x06, 0, 0, value)

    def unless_equal(value: int, skip: int) -> bytes:
        return struct.pack("<HBBI", 0x15, 0, skip, value)

    def unless_set(bits: int, skip: int) -> bytes:
        return struct.pack("<HBBI", 0x45, 0, skip, bits)

    def guarded(call: int, argument: int, test: bytes, matched: int, otherwise: int) -> list[bytes]:
        """For `call`, `matched` where its argument passes `test`, else `otherwise`."""
        return [unless_equal(call, 4), load(16 + 8 * argument), test, result(matched), result(otherwise)]

    column = _COLUMNS[machine]
    denied, wrong = _ERRNO | _EACCES, _ERRNO | _EPERM
    parts = [load(4), struct.pack("<HBBI", 0x15, 1, 0, _ARCHITECTURES[machine]), result(_KILL), load(0)]
    if machine == "x86_64":  # the x32 numbers would go around the list
        parts += [unless_set(_X32_BIT, 1), result(_ERRNO | _ENOSYS)]
        parts += guarded(_OPEN_X86, 1, unless_set(_WRITING, 1), denied, _ALLOW)
    for call in _ABSENT.values():
        parts += [unless_equal(call[column], 1), result(_ERRNO | _ENOSYS)]
    for call in _DENIED.values():
        if call[column] >= 0:
            parts += [unless_equal(call[column], 1), result(denied)]
    parts += guarded(_OPENAT[column], 2, unless_set(_WRITING, 1), denied, _ALLOW)
    parts += guarded(_CLONE[column], 0, unless_set(_CLONE_THREAD, 1), _ALLOW, wrong)
    parts += guarded(_TGKILL[column], 0, unless_equal(os.getpid(), 1), _ALLOW, wrong)  # abort() of our own
    parts += guarded(_PRLIMIT[column], 0, unless_equal(0, 1), _ALLOW, wrong)
    return b"".join([*parts, result(_ALLOW)])
