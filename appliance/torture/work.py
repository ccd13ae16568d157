"""What keeps the server busy: threads that write, replace, delete, rebuild and ask until it ends or they must."""

import threading
import time
from collections.abc import Callable

from appliance.torture.journal import Journal
from appliance.torture.report import Report
from appliance.torture.server import Caller, Died, Refused, Site
from appliance.torture.traffic import FULL, Traffic
from appliance.torture.upkeep import Upkeep
from appliance.torture.writer import Writer

WRITERS = 2
PASSING = frozenset(
    {"overloaded", "ingest_queue_full", "too_many_requests", "too_many_questions", "closing", "erase_needs_room"}
)


class Work:
    """All threads on one server. `favoured` is an operation that half of the turns of who can do it go to."""

    def __init__(self, caller: Caller, site: Site, journal: Journal, report: Report, seed: str) -> None:
        self._traffic = Traffic(caller, journal, report, site.models)
        folder = site.root / f"{site.name}-folder"
        self._turns: list[Callable[[], None]] = [
            *(Writer(self._traffic, f"w{n}", folder, f"{seed}/{n}").turn for n in range(WRITERS)),
            Upkeep(self._traffic, seed).turn,
        ]
        self._threads: list[threading.Thread] = []

    @property
    def full(self) -> threading.Event:
        """Set once the server has said that its disk is full."""
        return self._traffic.full

    def start(self, favoured: str = "") -> None:
        self._traffic.favoured = favoured
        self._threads = [threading.Thread(target=self._loop, args=(turn,), daemon=True) for turn in self._turns]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Every thread ends with its turn."""
        self._traffic.stopped.set()
        for thread in self._threads:
            thread.join()

    def _loop(self, turn: Callable[[], None]) -> None:
        while not self._traffic.stopped.is_set():
            try:
                turn()
            except Died:
                return
            except Refused as error:
                self._refused(error)
            except Exception as error:  # noqa: BLE001 - a thread of ours must not end unseen: it is a problem of the run
                self._traffic.report.problem(f"the torture itself failed: {error!r}")
                return

    def _refused(self, error: Refused) -> None:
        """A refusal that may come under load or on a full disk; any other is a problem."""
        if error.code == FULL:
            self._traffic.full.set()
            time.sleep(0.1)
        elif error.code in PASSING:
            time.sleep(0.05)
        else:
            self._traffic.report.problem(f"refused: {error}")
