"""A reading child for the tests: the file it is given says how it shall misbehave, once it has locked itself down."""

import ctypes
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from appliance.ingest.readers import lockdown
from appliance.ingest.readers.protocol import LENGTH, Finished, Hello, Read, Started, decode_request, encode
from appliance.types import Block, BlockKind, Page, ReadDocument


def attempt(action: str) -> str:
    """What happens when `action` is tried: "ok" or the name of the error."""
    try:
        result = ACTIONS[action]()
    except OSError as error:
        return type(error).__name__
    return result if isinstance(result, str) else "ok"


def in_a_thread() -> str:
    result: list[str] = []
    thread = threading.Thread(target=lambda: result.append(attempt("connect")))
    thread.start()
    thread.join()
    return result[0]


def ring() -> None:
    """io_uring can open sockets without the call of that name."""
    if ctypes.CDLL(None, use_errno=True).syscall(425, 1, 0) < 0:
        raise OSError(ctypes.get_errno(), "io_uring_setup")


ACTIONS: dict[str, Callable[[], object]] = {
    "connect": lambda: socket.create_connection(("127.0.0.1", 9), timeout=1),
    "udp": lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b"x", ("::1", 9)),
    "unix": lambda: socket.socket(socket.AF_UNIX).connect("/run/systemd/journal/stdout"),
    "thread": in_a_thread,
    "write": lambda: Path("/tmp/written-by-a-reader").write_text("x", encoding="utf-8"),
    "remove": lambda: Path(sys.argv[0]).unlink(),
    "program": lambda: os.execv("/bin/true", ["/bin/true"]),
    "fork": os.fork,
    "kill": lambda: os.kill(os.getppid(), 0),
    "ring": ring,
}


def answer(order: str, source: str) -> None:
    """Obeys one order. Never returns from those that end the process."""
    if order == "hang":
        time.sleep(600)
    elif order == "spin":
        while True:
            pass
    elif order == "hog":
        hoard = []
        while True:
            hoard.append(bytearray(8 << 20))
    elif order == "die":
        os.abort()
    elif order == "garbage":
        os.write(1, LENGTH.pack(5) + b"\xc1oops")
    elif order == "flood":
        os.write(1, LENGTH.pack(0xFFFFFFF0))
    elif order == "outside":
        send(
            Read(
                source,
                ReadDocument("t", "text/plain", "short", (Block(BlockKind.PARAGRAPH, 0, 500),), (Page(1, 0, 5),)),
            )
        )
    else:
        text = attempt(order)
        send(Read("../forged", ReadDocument("t", "text/plain", text)))
    send(Finished(lockdown.resident_bytes()))


def send(message: object) -> None:
    os.write(1, encode(message))


def main() -> None:
    base = lockdown.mapped_bytes()
    send(Hello(lockdown.drop_privileges()))
    while head := sys.stdin.buffer.read(LENGTH.size):
        request = decode_request(sys.stdin.buffer.read(LENGTH.unpack(head)[0]))
        lockdown.limit_memory(base + request.limits.memory_bytes)
        lockdown.limit_cpu(request.limits.cpu_s)
        send(Started(0, request.source))
        answer(Path(os.fsdecode(request.path)).read_text(encoding="utf-8"), request.source)


if __name__ == "__main__":
    main()
