"""Feeds the supervisor's watchdog as long as every work loop makes progress, and says which one does not."""

import faulthandler
import sys
import threading
from collections.abc import Callable

import structlog

from appliance.pulse import Pulses
from appliance.supervision.notify import Notifier

FEEDINGS = 4  # in the time after which the supervisor loses patience
STATUS_S = 5.0

log = structlog.get_logger(__name__)


class Watchdog:
    """A thread that feeds every `watchdog_s` / FEEDINGS seconds (0: there is no watchdog) and keeps STATUS up to date.

    `state` says in one line what the service does; `remember` learns when a loop gets stuck, and when all go on.
    """

    def __init__(
        self,
        notifier: Notifier,
        pulses: Pulses,
        watchdog_s: float,
        state: Callable[[], str],
        remember: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._notifier, self._pulses, self._state, self._remember = notifier, pulses, state, remember
        self._every_s = min(STATUS_S, watchdog_s / FEEDINGS) if watchdog_s else STATUS_S
        self._feeds = bool(watchdog_s)
        self._missed: set[str] = set()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Only where somebody listens."""
        if self._notifier.heard:
            self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            self._look()
            if self._stopped.wait(self._every_s):
                return

    def _look(self) -> None:
        late = {pulse.name: pulse.late_s() for pulse in self._pulses.late()}
        for name in late.keys() - self._missed:
            log.error("work_loop_stuck", loop=name, overdue_s=round(late[name], 1), fed=False)
            faulthandler.dump_traceback(file=sys.__stderr__ or 2, all_threads=True)
        for name in self._missed - late.keys():
            log.warning("work_loop_goes_on", loop=name)
        if bool(late) != bool(self._missed):
            self._remember(bool(late))
        self._missed = set(late)
        if late:
            self._notifier.status(f"Stuck: {', '.join(sorted(late))}; the watchdog is not fed")
            return
        if self._feeds:
            self._notifier.tell("WATCHDOG=1")
        self._notifier.status(self._state())
