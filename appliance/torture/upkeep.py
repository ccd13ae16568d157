"""One who looks after the indexes and asks questions."""

import random
import time

from appliance.torture import texts
from appliance.torture.server import Refused
from appliance.torture.traffic import Traffic

WEIGHTS = {"ask": 8.0, "rebuild": 1.0, "compact": 1.0, "rollback": 0.5, "verify": 0.5, "database": 0.5}


class Upkeep:
    """Rebuilds, checks and asks questions that are asked again and again, so that answers come from the cache."""

    def __init__(self, traffic: Traffic, seed: str) -> None:
        self._traffic = traffic
        self._chance = random.Random(f"{seed}/upkeep")

    def turn(self) -> None:
        [chosen] = self._chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
        if self._traffic.favoured in WEIGHTS and self._chance.random() < 0.5:
            chosen = self._traffic.favoured
        if chosen == "ask" or not self._traffic.offers(chosen):
            self._ask()
        else:
            self._look_after(chosen)

    def _look_after(self, what: str) -> None:
        try:
            path = "/admin/database/verify" if what == "database" else f"/admin/index/default/{what}"
            told = self._traffic.caller.post(path)
        except Refused as error:
            if error.status != 409 and not self._traffic.without_route(what, error):  # 409: nothing to roll back to
                raise
        else:
            self._traffic.report.count(f"{'' if what == 'database' else 'index '}{what}")
            for problem in told.get("problems", ()):
                self._traffic.report.problem(f"{what} under load: {problem}")

    def _ask(self) -> None:
        """Of a document with no change under way before and after: the answer may tell its version alone."""
        journal = self._traffic.journal
        idle = [source for source, entry in journal.entries().items() if entry.sent is None and "-d" in source]
        if not idle:
            time.sleep(0.05)
            return
        source = self._chance.choice(sorted(idle)[: max(1, len(idle) // 4)])
        before = journal.entry(source)
        asked = {"question": texts.question(source), "mode": "extractive"}
        told = self._traffic.caller.post("/query", asked)
        self._traffic.report.count("answers under load from the cache" if told["cache_hit"] else "answers under load")
        after = journal.entry(source)
        if after != before or after.sent is not None:
            return
        others = [version for version in range(1, after.versions + 1) if version != after.settled]
        if any(texts.token(source, version) in told["answer"] for version in others):
            self._traffic.report.problem(f"{source}: an answer under load is not that of version {after.settled}")
