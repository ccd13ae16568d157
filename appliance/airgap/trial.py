"""Every way out of a process, tried: the lock is shown by what the kernel answers, not by what we say of it.

The addresses are those that documentation may use (RFC 5737, RFC 3849): no host has them. Nothing is tried where no
lock is in force, since then it could leave.
"""

import ctypes
import errno
import os
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from appliance import seccomp
from appliance.airgap.lock import in_force

_V4, _V6 = ("192.0.2.1", 443), ("2001:db8::1", 443)
_MPTCP = 262
_REFUSALS = frozenset({errno.EACCES, errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT})  # of ours, or of systemd's


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way out; `outcome` names the kernel's error, or what was not refused."""

    way: str
    refused: bool
    outcome: str


def _connect(family: int, address: tuple[str, int] | str) -> None:
    with closing(socket.socket(family, socket.SOCK_STREAM)) as made:
        made.setblocking(False)
        made.connect(address)


def _open(family: int, kind: int, protocol: int = 0) -> None:
    socket.socket(family, kind, protocol).close()


def _fast_open() -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as made:
        made.setblocking(False)
        made.sendto(b"x", socket.MSG_FASTOPEN, _V4)


def _ring() -> None:
    parameters = ctypes.create_string_buffer(120)  # struct io_uring_params
    made = ctypes.CDLL(None, use_errno=True).syscall(seccomp.IO_URING_SETUP[0], 1, parameters)
    if made < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    os.close(made)


_WAYS: dict[str, Callable[[], None]] = {
    "TCP over IPv4": lambda: _connect(socket.AF_INET, _V4),
    "TCP over IPv6": lambda: _connect(socket.AF_INET6, _V6),
    "TCP to this host": lambda: _connect(socket.AF_INET, ("127.0.0.1", 9)),
    "TCP Fast Open": _fast_open,
    "Multipath TCP": lambda: _open(socket.AF_INET, socket.SOCK_STREAM, _MPTCP),
    "UDP over IPv4 (DNS)": lambda: _open(socket.AF_INET, socket.SOCK_DGRAM),
    "UDP over IPv6": lambda: _open(socket.AF_INET6, socket.SOCK_DGRAM),
    "raw IP": lambda: _open(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "packets": lambda: _open(socket.AF_PACKET, socket.SOCK_RAW),
    "netlink": lambda: _open(socket.AF_NETLINK, socket.SOCK_RAW),
    "virtual machine sockets": lambda: _open(socket.AF_VSOCK, socket.SOCK_STREAM),
    "Unix socket of another process": lambda: _connect(socket.AF_UNIX, "/nonexistent"),
    "io_uring": _ring,
}


def attempts() -> list[Attempt]:
    """Each way out, tried in a thread of its own as a library would; [] where no lock is in force."""
    if in_force().filters == 0:
        return []
    found: list[Attempt] = []
    thread = threading.Thread(target=lambda: found.extend(_attempt(way, go) for way, go in _WAYS.items()))
    thread.start()
    thread.join()
    return found


def _attempt(way: str, go: Callable[[], None]) -> Attempt:
    try:
        go()
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, str(error))
        return Attempt(way, error.errno in _REFUSALS, name)
    return Attempt(way, False, "not refused")
