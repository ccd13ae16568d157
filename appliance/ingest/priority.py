"""Questions come first: what is done in the background gives way to them."""

import contextlib
import os
import threading
import time
from collections.abc import Callable

NICE = 10  # added to the niceness of background threads
YIELD_S = 0.25  # longest pause before a batch while questions are worked on
YIELD_STEP_S = 0.005


def lower_priority() -> None:
    """Make the calling thread and what it starts give way to others (Linux: niceness is per thread, setpriority(2))."""
    with contextlib.suppress(OSError):
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + NICE))


def give_way(busy: Callable[[], bool], stopped: threading.Event) -> None:
    """Wait while questions are worked on, for a bounded time."""
    until = time.monotonic() + YIELD_S
    while busy() and time.monotonic() < until and not stopped.is_set():
        time.sleep(YIELD_STEP_S)
