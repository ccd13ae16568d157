"""Computing what is asked most before anybody asks again: after a start, and after a collection has changed."""

import threading
import time

import structlog

from appliance.app import Appliance
from appliance.errors import ApplianceError
from appliance.priority import give_way, lower_priority
from appliance.telemetry.metrics import PREWARMED
from appliance.types import Mode, Query
from appliance.web.questions import Questions

log = structlog.get_logger(__name__)

EVERY_S = 1.0
WRITE_EVERY_S = 60.0
SETTLED_S = 3.0  # a collection that changed less long ago may go on changing


class Warming:
    """One thread at low priority. It gives way to every question, and does nothing where the flag `prewarm` is 0."""

    def __init__(self, appliance: Appliance, questions: Questions) -> None:
        self._appliance, self._questions = appliance, questions
        self._stop = threading.Event()
        self._done: dict[str, tuple[object, ...]] = {}  # by collection: the version and flags it was warmed for
        self._thread = threading.Thread(target=self._run, name="prewarm", daemon=True)
        if appliance.settings.keep_questions and appliance.settings.cache_bytes:
            self._thread.start()

    def close(self) -> None:
        """End it after the question under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def is_set(self) -> bool:
        """As a cancel token: the generator is left to whoever asks."""
        return self._stop.is_set() or self._appliance.asking.asked > 1

    def _run(self) -> None:
        lower_priority()
        written = time.monotonic()
        while not self._stop.wait(EVERY_S):
            try:
                for collection in self._appliance.collections.all():
                    self._warm(collection.name)
            except ApplianceError as error:
                log.warning("prewarm_failed", code=error.code, detail=str(error))
            if time.monotonic() - written > WRITE_EVERY_S:
                self._appliance.cache.asked.write()
                written = time.monotonic()

    def _warm(self, name: str) -> None:
        appliance = self._appliance
        choice = appliance.flags.choice(name)
        state = (appliance.collections.published(name), choice.digest, choice.flags.prewarm)
        if (
            not choice.flags.prewarm
            or self._done.get(name) == state
            or not appliance.collections.versions.settled(name, SETTLED_S)
        ):
            return
        for mode, text in appliance.cache.asked.most(name, choice.flags.prewarm):
            while appliance.asking.busy() and not self._stop.is_set():
                give_way(appliance.asking.busy, self._stop)
            if self._stop.is_set():
                return
            query = appliance.settling.chosen(Query(text, name, mode=Mode(mode), principal="system"))
            key = appliance.cache_key(query)
            if key is not None and appliance.cache.answers.get(key) is None:
                try:
                    self._questions.computed(query, key, self)
                    PREWARMED.inc()
                except ApplianceError as error:
                    log.info("prewarm_question_failed", code=error.code)
        self._done[name] = state
