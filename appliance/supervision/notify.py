"""Tells the supervisor how the service is: a datagram a message, as in sd_notify(3). Without a supervisor, nothing."""

import socket
import threading
import time

import structlog

SEND_S = 5.0  # a supervisor that takes nothing for so long does not get this message
STEP_S = 120.0  # what a step of a start may take until it tells of progress
TELL_EVERY_S = 1.0

log = structlog.get_logger(__name__)


class Notifier:
    """Messages to the socket at `address` (a path, or `@name` for an abstract one; "" says nothing). Thread-safe."""

    def __init__(self, address: str) -> None:
        self._socket = _connect(address) if address else None
        self._sending = threading.Lock()
        self._step, self._told_at = "", 0.0
        self._status = ""

    @property
    def heard(self) -> bool:
        """Whether there is somebody to tell."""
        return self._socket is not None

    def starting(self, step: str) -> None:
        """The start has got to `step`, or on with it: a start that goes on may take longer than TimeoutStartSec."""
        now = time.monotonic()
        if step == self._step and now - self._told_at < TELL_EVERY_S:
            return
        self._step, self._told_at = step, now
        self.tell(f"STATUS=Starting: {step}", f"EXTEND_TIMEOUT_USEC={int(STEP_S * 1e6)}")

    def status(self, text: str) -> None:
        """One line for `systemctl status`, sent when it differs from the one before."""
        if text != self._status:
            self._status = text
            self.tell(f"STATUS={text}")

    def tell(self, *assignments: str) -> None:
        """Send `NAME=value` lines. A line break within a value would begin another assignment: it becomes a blank."""
        if self._socket is None:
            return
        message = "\n".join(" ".join(line.split()) for line in assignments)
        try:
            with self._sending:
                self._socket.send(message.encode("utf-8", "replace"))
        except OSError as error:
            log.warning("supervisor_not_told", error=error.strerror or str(error))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _connect(address: str) -> socket.socket | None:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    made.settimeout(SEND_S)
    try:
        made.connect("\0" + address[1:] if address.startswith("@") else address)
    except OSError as error:
        log.warning("supervisor_not_told", error=error.strerror or str(error))
        made.close()
        return None
    return made
