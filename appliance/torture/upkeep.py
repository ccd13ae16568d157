"""One who looks after the indexes and asks questions."""

import random
import time
from typing import Any

from appliance.torture import texts
from appliance.torture.server import Refused
from appliance.torture.traffic import Traffic

WEIGHTS = {"ask": 8.0, "rebuild": 1.0, "compact": 1.0, "rollback": 0.5, "verify": 0.5, "database": 0.5, "model": 0.3,
           "backup": 0.3}  # fmt: skip
JOB_S = 60.0  # that a job of an index may take


class Upkeep:
    """Rebuilds, checks and asks questions that are asked again and again, so that answers come from the cache."""

    def __init__(self, traffic: Traffic, seed: str) -> None:
        self._traffic = traffic
        self._chance = random.Random(f"{seed}/upkeep")

    def turn(self) -> None:
        [chosen] = self._chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
        if self._traffic.favoured in WEIGHTS and self._chance.random() < 0.5:
            chosen = self._traffic.favoured
        if chosen == "ask" or not self._traffic.offers(chosen) or (chosen == "model" and not self._traffic.models):
            self._ask()
        elif chosen == "model":
            self._change_model()
        elif chosen == "backup":
            self._back_up()
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
            if "job" in told:
                self._follow(told)
            for problem in told.get("problems", ()):
                self._traffic.report.problem(f"{what} under load: {problem}")

    def _follow(self, told: dict[str, Any]) -> None:
        """A job that was begun, until its end."""
        until = time.monotonic() + JOB_S
        while told["index"].get("job") is not None and time.monotonic() < until and not self._traffic.stopped.is_set():
            time.sleep(0.02)
            told = self._traffic.caller.get("/admin/index/default")

    def _change_model(self) -> None:
        """To another embedding model, or back to the one before, or away with its vectors."""
        use = [f"/admin/models/{name}/use" for name in self._traffic.models]
        path = self._chance.choice([*use, *use, *use, "/admin/models/rollback", "/admin/models/discard"])
        try:
            self._traffic.caller.post(path, {"force": True} if path in use else {})
        except Refused as error:
            if error.status != 409 and not self._traffic.without_route("model", error):  # 409: busy, or in use already
                raise
        else:
            self._traffic.report.count(f"model {path.rpartition('/')[2]}")
            time.sleep(self._chance.uniform(0, 0.5))

    def _back_up(self) -> None:
        """Take a backup and keep two, or prove the newest."""
        proves = self._chance.random() < 0.2
        path = "/admin/backups/latest/verify" if proves else "/admin/backups"
        try:
            job = self._traffic.caller.post(path, {} if proves else {"keep": 2, "full": self._chance.random() < 0.3})
        except Refused as error:  # 409: an erasure or another backup; 404: there is none yet
            if error.status not in (404, 409) and not self._traffic.without_route("backup", error):
                raise
            return
        until = time.monotonic() + JOB_S
        while (
            job["state"] in ("PENDING", "PROGRESS") and time.monotonic() < until and not self._traffic.stopped.is_set()
        ):
            time.sleep(0.02)
            job = self._traffic.caller.get(f"/admin/backups/jobs/{job['id']}")
        self._traffic.report.count(f"backup {job['name']}")
        for problem in (job["result"] or {}).get("problems", ()):
            self._traffic.report.problem(f"backup under load: {problem}")

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
