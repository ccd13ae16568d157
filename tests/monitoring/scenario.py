"""Three appliances, broken in every way that an alert is there for, under the eyes of a Prometheus."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from appliance.inference.registry import ModelRegistry
from appliance.paths import BUNDLED_MODELS, HANDBOOK, DataPaths
from appliance.store import Store
from tests.monitoring.site import MEMORY_GROUPS, Site

MIB = 1024**2
WORDS = (HANDBOOK / "search.md").read_text().split()


class Scenario:
    """`busy` generates, `cold` is asked what nobody asked before and has little memory, `sick` has a small disk."""

    def __init__(self, folder: Path, disk: Path) -> None:
        self.disk = disk
        self.busy = Site(folder, "busy", query_concurrency=4, query_timeout_s=6)
        self.cold = Site(folder, "cold", embedder="hash", generator="broken", abstain_below=-1.0)
        self.sick = Site(
            folder, "sick", disk / "sick", embedder="hash", generator="absent", backup_every=0.01, ingest_queue=5
        )
        self.sites = (self.busy, self.cold, self.sick)
        self.began = time.monotonic()
        self._fillers: list[threading.Thread] = []
        self._ended = threading.Event()

    def prepare(self) -> None:
        """Everything that is well: models, a few documents, three servers."""
        self.cold.run("models", "add", str(BUNDLED_MODELS / _generator_file()), "--name", "broken")
        for site in (self.busy, self.cold):
            site.run("ingest", str(HANDBOOK / "search.md"), str(HANDBOOK / "backups.md"))
        self.busy.start()
        self.cold.start(memory_group=MEMORY_GROUPS.is_dir())
        self.sick.start()

    # --- faults ------------------------------------------------------------------------------------------------------

    def at_once(self) -> None:
        """Slow answers, no repeats, a broken model, a disk that fills, a component missing."""
        self.busy.ask(lambda n: _question(n) | {"mode": "generative"}, every_s=0, at_once=4)
        self.cold.ask(_question, every_s=1.0)
        self._break_model()
        self.cold.ask(lambda n: _question(n) | {"mode": "generative"}, every_s=2.0)
        self._in_thread(self._fill_and_queue_up)

    def refuse(self) -> None:
        """More questions than `busy` takes: those beyond are answered with 503."""
        self.busy.ask(_question, every_s=0.1, at_once=4)

    def surge(self) -> None:
        """Many times the questions that `cold` has had."""
        self.cold.ask(_question, every_s=0.05)
        self.cold.ask(_question, every_s=0.05)

    def starve(self) -> None:
        """The memory of `cold` is nearly used up."""
        self.cold.limit_memory(0.9)

    def forget_rows(self) -> None:
        """A foreign process deletes documents of `cold` below the server, which so does not know of it."""
        store = Store.open(DataPaths(self.cold.data).database)
        store.documents.delete("default", [info.id for info in store.documents.list("default")][:1])
        store.close()

    def kill(self) -> None:
        """`cold` is killed and comes back; `forget_rows` and what it counted are gone then."""
        self.cold.free_memory()
        self.cold.kill()
        self.cold.start()

    def end(self) -> None:
        """`cold` goes for good."""
        self.cold.kill()

    def stop(self) -> None:
        self._ended.set()
        for thread in self._fillers:
            thread.join()
        for site in self.sites:
            site.stop()

    def show_logs(self) -> None:
        """The end of what each server has said."""
        for site in self.sites:
            print(f"--- {site.name}\n" + "\n".join(site.log.read_text().splitlines()[-5:]))

    # --- how ---------------------------------------------------------------------------------------------------------

    def _break_model(self) -> None:
        """The file of a model that was whole at the start is cut short before it is loaded."""
        model = next(
            m for m in ModelRegistry(BUNDLED_MODELS, DataPaths(self.cold.data).models).list() if m.name == "broken"
        )
        model.path.chmod(0o600)
        os.truncate(model.path, MIB)

    def _fill_and_queue_up(self) -> None:
        """One after the other: tasks that write fill the disk before anybody has seen it fill."""
        self._fill()
        self._queue_up()

    def _fill(self) -> None:
        """To two thirds at once, then slowly, to all but a tenth of what was left."""
        with (self.disk / "filler").open("wb", buffering=0) as filler:
            size = os.statvfs(self.disk).f_blocks * os.statvfs(self.disk).f_frsize
            while not self._ended.is_set():
                free = os.statvfs(self.disk).f_bavail * os.statvfs(self.disk).f_frsize
                if free > 0.36 * size:
                    filler.write(bytes(MIB))
                elif free > 0.06 * size:
                    filler.write(bytes(MIB // 4))
                    self._ended.wait(0.5)
                else:
                    return

    def _queue_up(self) -> None:
        """More text than the disk holds, then more tasks: the first waits for room, the others for it."""
        folder = self.disk.with_name("texts")
        folder.mkdir()
        for number in range(400):
            (folder / f"{number}.txt").write_text(
                "\n\n".join(f"{number} {n} {' '.join(WORDS[:300])}" for n in range(60))
            )
        for _ in range(5):
            self.sick.post("/ingest", {"directory": str(folder)})

    def _in_thread(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._fillers.append(thread)
        thread.start()


def _question(number: int) -> dict[str, object]:
    """One that was never asked before."""
    first, second = WORDS[number % len(WORDS)], WORDS[(number * 7) % len(WORDS)]
    return {"question": f"How does search number {number} treat {first} and {second}?"}


def _generator_file() -> str:
    registry = ModelRegistry(BUNDLED_MODELS, BUNDLED_MODELS / "none")
    return next(model.path.name for model in registry.list() if model.kind == "generator" and "q8" in model.name)
