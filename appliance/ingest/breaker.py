"""Waiting out what is nobody's fault: a circuit breaker around the disk, the model and the reader.

Not pybreaker: it holds its lock during the call, so a commit would wait for an embedding; it knows one fixed reset time
instead of a growing one; and it answers a refused call with an error, where the one caller we have should wait.
"""

import errno
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from appliance.errors import DiskFull, ModelError, StorageError

T = TypeVar("T")

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_SCARCE = frozenset({errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN})
log = structlog.get_logger(__name__)


class Stopped(Exception):
    """The work was called off while it waited."""


def backoff_s(attempt: int, *, base_s: float, longest_s: float) -> float:
    """Seconds to wait after failure number `attempt` (from 1): full jitter over an exponentially growing bound.

    Source: M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015.
    """
    return random.uniform(0, min(longest_s, base_s * 2 ** min(attempt - 1, 30)))


def cause(error: BaseException) -> str:
    """What is wrong with the surroundings, in two or three words; "" when it is not their fault."""
    if isinstance(error, DiskFull) or (isinstance(error, OSError) and error.errno in _FULL):
        return "disk full"
    if isinstance(error, StorageError):
        return "storage unusable"
    if isinstance(error, ModelError):
        return "model unusable"
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _SCARCE):
        return "memory short"
    return ""


class Breaker:
    """Runs work; when the surroundings fail, opens, waits, lets one try through, and closes when that succeeds.

    Waits double from `first_s` to `longest_s`, each shortened by up to half at random; after `give_up_s` without one
    success the failure is raised. `beat` is called before each try. One caller at a time.
    """

    def __init__(
        self,
        name: str,
        *,
        first_s: float = 1.0,
        longest_s: float = 30.0,
        give_up_s: float = 3600.0,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._beat = beat
        self._first_s, self._longest_s, self._give_up_s = first_s, longest_s, give_up_s
        self.waiting = ""  # what it waits for; "" while closed

    def run(self, work: Callable[[], T], stopped: threading.Event) -> T:
        """The result of `work`. Raises what `work` raises when it is not the surroundings' fault; Stopped."""
        opened = time.monotonic()
        tries = 0
        while True:
            self._beat()
            try:
                result = work()
            except Exception as error:
                reason = cause(error)
                if not reason or time.monotonic() - opened >= self._give_up_s:
                    self.waiting = ""
                    raise
                tries += 1
                self.waiting = reason
                log.warning("ingestion_waits", part=self._name, reason=reason, tries=tries, error=str(error))
            else:
                if self.waiting:
                    log.info("ingestion_goes_on", part=self._name, tries=tries)
                self.waiting = ""
                return result
            bound = min(self._longest_s, self._first_s * 2 ** min(tries - 1, 30))
            if stopped.wait(bound * random.uniform(0.5, 1)):
                self.waiting = ""
                raise Stopped
