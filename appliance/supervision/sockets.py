"""Listening sockets that the supervisor holds open across restarts (sd_listen_fds(3))."""

import os
import socket
from collections.abc import Sequence

from appliance.errors import StorageError


def inherited(descriptors: Sequence[int]) -> list[socket.socket]:
    """The sockets behind inherited descriptors; they are not passed on to children.

    Raises StorageError (code socket_unusable) for one that is no listening TCP socket.
    """
    return [_listening(number) for number in descriptors]


def _listening(number: int) -> socket.socket:
    os.set_inheritable(number, False)
    found = socket.socket(fileno=number)
    internet = found.family in (socket.AF_INET, socket.AF_INET6) and found.type == socket.SOCK_STREAM
    if not internet or not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise StorageError(
            f"Descriptor {number} from the supervisor is no listening TCP socket.",
            code="socket_unusable",
            hint="Give the socket unit ListenStream= with an address and a port, and Accept=no.",
        )
    found.setblocking(False)
    return found
