"""Questions come first: what is done in the background gives way to them."""

import contextlib
import os
import threading
import time
from collections.abc import Callable

BACKGROUND = 10  # added to the niceness of background threads
YIELD_S = 0.25  # longest pause before a batch while questions are worked on
YIELD_STEP_S = 0.005


def lower_priority(by: int = BACKGROUND) -> None:
    """Add to the niceness of the calling thread and of what it starts, so that others go first.

    On Linux niceness is a thread's own (setpriority(2)).
    """
    with contextlib.suppress(OSError):
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + by))


def give_way(busy: Callable[[], bool], stopped: threading.Event) -> None:
    """Wait while questions are worked on, for a bounded time."""
    until = time.monotonic() + YIELD_S
    while busy() and time.monotonic() < until and not stopped.is_set():
        time.sleep(YIELD_STEP_S)
