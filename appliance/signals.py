"""What a signal does meanwhile."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], None]


@contextmanager
def handled(handler: Handler, *numbers: int) -> Iterator[None]:
    """These signals call `handler`. They go to the main thread: elsewhere nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, one in before.items():
            signal.signal(number, one)


def end_in_order() -> None:
    """From now on SIGTERM ends this process as Ctrl-C does: by a KeyboardInterrupt, so that what is open is closed."""
    signal.signal(signal.SIGTERM, _interrupt)


def closing() -> None:
    """What is open is being closed, and another SIGTERM does not interrupt that; in a process that ends in order."""
    if signal.getsignal(signal.SIGTERM) is _interrupt:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _interrupt(number: int, frame: FrameType | None) -> None:
    closing()
    raise KeyboardInterrupt
