"""The locks: a system-call filter for every thread and child, and Landlock's rule for TCP where the kernel has it.

What serves keeps: TCP sockets that listen or were accepted, and Unix datagrams (systemd's notifications). What is
gone: connect(2) of any kind, UDP, raw, packet and netlink sockets, other protocols, TCP Fast Open, and io_uring.
"""

import ctypes
import platform
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from appliance import seccomp
from appliance.errors import ApplianceError
from appliance.seccomp import ALLOW, EACCES, ENOSYS, errno_result, guarded, jump_equal, jump_set, number_of

_SOCKET, _CONNECT = (41, 198), (42, 203)
_FLAGS_OF = {(44, 206): 3, (46, 211): 2, (307, 269): 3}  # sendto, sendmsg, sendmmsg: the argument that holds the flags
_TYPE_BITS = 0xF  # the kernel's SOCK_TYPE_MASK
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446  # the same number on every machine
_LANDLOCK_VERSION, _CONNECT_TCP, _WITH_NETWORK = 1, 1 << 1, 4


@dataclass(frozen=True, slots=True)
class Lock:
    """What is in force: the number of system-call filters, and Landlock's version (0: not used)."""

    filters: int
    landlock: int = 0


def enforce(mode: str) -> Lock:
    """Lock this process; `mode` is require, try or off. Call it before the first thread is started.

    Raises ApplianceError (airgap_unavailable) where the kernel cannot and `mode` is require.
    """
    if mode == "off":
        return in_force()
    machine = platform.machine()
    done = seccomp.known(machine) and seccomp.install(_filter_program(machine))
    if not done and mode == "require":
        raise ApplianceError(
            "This kernel has no system-call filters, so connections cannot be ruled out.",
            code="airgap_unavailable",
            hint="Set airgap to try, and let the service manager or the firewall refuse them.",
        )
    return Lock(in_force().filters, _forbid_tcp() if done else 0)


def in_force() -> Lock:
    """As the kernel says; Landlock is not told by it."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text("utf-8").splitlines())
    return Lock(int(status.get("Seccomp_filters", status.get("Seccomp", "0")).strip()))


def _filter_program(machine: str) -> bytes:
    denied = errno_result(EACCES)
    parts = seccomp.beginning(machine) + _only_listening(number_of(_SOCKET, machine), denied)
    parts += seccomp.refused(_CONNECT, machine, EACCES) + seccomp.refused(seccomp.IO_URING_SETUP, machine, ENOSYS)
    for call, flags in _FLAGS_OF.items():
        parts += guarded(number_of(call, machine), flags, jump_set(socket.MSG_FASTOPEN, 0, 1), denied, ALLOW)
    return b"".join([*parts, seccomp.result(ALLOW)])


def _only_listening(call: int, denied: int) -> list[bytes]:
    """Of socket(2) pass Unix sockets and TCP over IPv4 and IPv6."""
    return [
        jump_equal(call, 0, 12),
        seccomp.load_argument(0),
        jump_equal(socket.AF_UNIX, 8, 0),
        jump_equal(socket.AF_INET, 1, 0),
        jump_equal(socket.AF_INET6, 0, 7),
        seccomp.load_argument(1),
        seccomp.keep_bits(_TYPE_BITS),
        jump_equal(socket.SOCK_STREAM, 0, 4),
        seccomp.load_argument(2),
        jump_equal(0, 1, 0),
        jump_equal(socket.IPPROTO_TCP, 0, 1),
        seccomp.result(ALLOW),
        seccomp.result(denied),
    ]


def _forbid_tcp() -> int:
    """A second lock behind the first (Linux, Documentation/userspace-api/landlock.rst): no TCP connect at all."""
    libc = ctypes.CDLL(None, use_errno=True)
    version = int(libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _LANDLOCK_VERSION))
    if version < _WITH_NETWORK:
        return 0
    rules = struct.pack("=QQ", 0, _CONNECT_TCP)
    ruleset = int(libc.syscall(_LANDLOCK_CREATE, rules, ctypes.c_size_t(len(rules)), 0))
    if ruleset < 0:
        return 0
    try:
        return version if libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0) == 0 else 0
    finally:
        libc.close(ruleset)
