"""One who writes: puts documents in, replaces, deletes and erases them, and notes what is acknowledged."""

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from appliance.torture import texts
from appliance.torture.journal import ABSENT
from appliance.torture.server import Refused
from appliance.torture.traffic import Traffic

DOCUMENTS = 30  # of one writer; beyond it deletes and replacements outweigh
FOLDER_FILES = 8
TASK_S = 120.0
LATER = 0.3  # share of tasks whose end the writer does not wait for at once


class Writer:
    """Owns the sources that begin with its name. One change of a source at a time."""

    def __init__(self, traffic: Traffic, name: str, folder: Path, seed: str) -> None:
        self._traffic, self._name = traffic, name
        self._folder = folder / name
        self._chance = random.Random(seed)
        self._later: list[tuple[str, list[str]]] = []  # tasks whose end is still to be seen, with their sources

    def turn(self) -> None:
        chosen = self._chance.choices(
            (
                *(self._put, self._put_files, self._delete, self._erase),
                *(self._sync_folder, self._scratch, self._cut_off, self._see_later),
            ),
            (6, 3, 3, 0.2, 1, 0.5, 0.5, 2),
        )[0]
        favoured = {
            "folder": self._sync_folder,
            "scratch": self._scratch,
            "delete": self._delete,
            "erase": self._erase,
        }
        if self._traffic.favoured in favoured and self._chance.random() < 0.5:
            chosen = favoured[self._traffic.favoured]
        chosen()

    # --- operations --------------------------------------------------------------------------------------------------

    def _put(self) -> None:
        [source] = self._sources(1)
        self._send(
            [source], lambda written: self._traffic.caller.post("/ingest", {"text": written[0], "source": source})
        )

    def _put_files(self) -> None:
        sources = self._sources(self._chance.randint(2, 6))
        self._send(
            sources,
            lambda written: self._traffic.caller.upload(dict(zip(sources, written, strict=True)), "default"),
        )

    def _delete(self) -> None:
        """By id, as people do: the id comes from a search for the document's own word."""
        journal = self._traffic.journal
        present = [source for source in self._own() if self._is_settled(source)]
        if not present:
            return self._put()
        source = self._chance.choice(present)
        if (number := self._traffic.found(source)) is None:
            return None
        journal.propose([source], gone=True)
        self._refusable([source], lambda: self._traffic.caller.delete(f"/documents/{number}"))
        return journal.acknowledged([source])

    def _erase(self) -> None:
        """To the last byte: gone for every question when it is accepted, proved later, whatever comes between."""
        journal = self._traffic.journal
        present = [source for source in self._own() if self._is_settled(source)]
        if not present or not self._traffic.offers("erase"):
            return self._see_later()
        source = self._chance.choice(present)
        if (number := self._traffic.found(source)) is None:
            return None
        journal.propose([source], gone=True)
        try:
            body = {"ids": [number], "backups": True}  # those that Upkeep takes hold it as well
            self._refusable([source], lambda: self._traffic.caller.post("/documents/erase", body))
        except Refused as error:
            if self._traffic.without_route("erase", error):
                return None
            raise
        self._traffic.report.count("erasures accepted")
        return journal.acknowledged([source])

    def _sync_folder(self) -> None:
        """Change, add and remove files of a folder, and take it in so that the removed ones go."""
        journal, label = self._traffic.journal, f"{self._name}-folder"
        named = [f"{label}/{number}.txt" for number in range(FOLDER_FILES)]
        known = journal.entries()
        changed = [source for source in named if self._chance.random() < 0.4]
        if any(source in known and known[source].sent is not None for source in named):
            return self._see_later()
        gone = [s for s in changed if s in known and known[s].settled and self._chance.random() < 0.5]
        written = [source for source in changed if source not in gone]
        wanted = {source: entry.settled for source, entry in known.items() if source in named}
        wanted |= journal.propose(gone, gone=True) | journal.propose(written)
        self._write_folder(wanted)
        body = {"directory": str(self._folder), "sync": True, "label": label}
        return self._submit(changed, lambda: self._traffic.caller.post("/ingest", body), files=None)

    def _scratch(self) -> None:
        """A collection of its own, filled and dropped."""
        journal, collection = self._traffic.journal, f"{self._name}-scratch"
        sources = [f"{collection}-{number}.txt" for number in range(3)]
        known = journal.entries()
        if any(source in known and known[source].sent is not None for source in sources):
            return
        written = [texts.text(source, version) for source, version in journal.propose(sources, collection).items()]
        files = dict(zip(sources, written, strict=True))
        self._submit(sources, lambda: self._traffic.caller.upload(files, collection), files=3, wait=True)
        if any(journal.entry(source).sent is not None for source in sources):
            return  # stopped before the task's end
        journal.propose(sources, collection, gone=True)
        self._refusable(sources, lambda: self._traffic.caller.delete(f"/collections/{collection}"))
        journal.acknowledged(sources)

    def _cut_off(self) -> None:
        """An upload that never ends: of it nothing may ever be seen."""
        source = f"{self._name}-cut.txt"
        self._traffic.caller.cut_upload(source, texts.text(source, 1))
        self._traffic.report.count("uploads cut off")

    # --- sending -----------------------------------------------------------------------------------------------------

    def _own(self) -> list[str]:
        plain = f"{self._name}-d"
        return [source for source in self._traffic.journal.entries() if source.startswith(plain)]

    def _is_settled(self, source: str) -> bool:
        entry = self._traffic.journal.entry(source)
        return entry.settled != ABSENT and entry.sent is None

    def _sources(self, count: int) -> list[str]:
        """New ones, or ones to be replaced; none of them with a change under way."""
        entries = self._traffic.journal.entries()
        numbers = self._chance.sample(range(2 * DOCUMENTS), 2 * DOCUMENTS)
        free = [f"{self._name}-d{number}.txt" for number in numbers]
        idle = [source for source in free if source not in entries or entries[source].sent is None]
        return idle[:count]

    def _write_folder(self, wanted: dict[str, int]) -> None:
        """The files of these versions, whatever an earlier turn that was cut off has left."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        for source, version in wanted.items():
            if version != ABSENT:
                path = self._folder / source.rpartition("/")[2]
                path.write_text(texts.text(source, version), encoding="utf-8")

    def _send(self, sources: list[str], send: Callable[[list[str]], dict[str, str]]) -> None:
        if not sources:
            return self._see_later()
        written = [texts.text(source, version) for source, version in self._traffic.journal.propose(sources).items()]
        return self._submit(sources, lambda: send(written), files=len(sources))

    def _submit(
        self, sources: list[str], send: Callable[[], dict[str, str]], *, files: int | None, wait: bool = False
    ) -> None:
        task = self._refusable(sources, send)["task_id"]
        self._traffic.journal.accepted(sources, task)
        if not wait and self._chance.random() < LATER and len(self._later) < 4:
            self._later.append((task, sources))
        else:
            self._see(task, sources, files)

    def _refusable(self, sources: list[str], send: Callable[[], dict[str, str]]) -> dict[str, str]:
        try:
            return send()
        except Refused:
            self._traffic.journal.refused(sources)
            raise

    def _see_later(self) -> None:
        if self._later:
            task, sources = self._later.pop(0)
            self._see(task, sources, None)

    def _see(self, task: str, sources: list[str], files: int | None) -> None:
        """Wait for the end of a task: success acknowledges its documents, each counted once."""
        until = time.monotonic() + TASK_S
        while (told := self._traffic.caller.get(f"/tasks/{task}"))["finished_at"] is None:
            if "disk full" in told["step"]:
                self._traffic.full.set()
            if self._traffic.stopped.is_set() or time.monotonic() > until:
                return
            time.sleep(0.02)
        result = told["result"]
        if told["state"] != "SUCCESS" or result["failed_count"]:
            self._traffic.report.problem(f"task {task} ended with {told['state']}: {told['error'] or result['failed']}")
            return
        dealt_with = result["documents_processed"] + result["documents_skipped"]
        if files is not None and dealt_with != files:
            self._traffic.report.problem(f"task {task} says that it dealt with {dealt_with} documents; it had {files}")
        self._traffic.journal.acknowledged(sources)
