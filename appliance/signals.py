"""What a signal does meanwhile."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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


def ended_in_order() -> AbstractContextManager[None]:
    """SIGTERM ends the body as Ctrl-C does: with a KeyboardInterrupt, so that what it opened is closed."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    return handled(interrupt, signal.SIGTERM)
