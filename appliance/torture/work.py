"""What keeps the server busy: threads that write, replace, delete, rebuild and ask until it ends or they must."""

import random
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from appliance.torture import texts
from appliance.torture.journal import ABSENT, Journal
from appliance.torture.report import Report
from appliance.torture.server import Caller, Died, Refused

WRITERS = 2
DOCUMENTS = 30  # of one writer; beyond it deletes and replacements outweigh
FOLDER_FILES = 8
TASK_S = 120.0
LATER = 0.3  # share of tasks whose end the writer does not wait for at once
PASSING = frozenset({"overloaded", "ingest_queue_full", "too_many_requests", "too_many_questions", "closing"})
FULL = "disk_full"


class Work:
    """All threads on one server. `favoured` is an operation that half of the turns go to."""

    def __init__(self, caller: Caller, journal: Journal, report: Report, folder: Path, seed: str) -> None:
        self.caller, self.journal, self.report = caller, journal, report
        self._stopped = threading.Event()
        self.full = threading.Event()  # the server has said that its disk is full: refused a request, or a task waits
        roles = [Writer(self, f"w{number}", folder, f"{seed}/{number}") for number in range(WRITERS)]
        self._turns: list[Callable[[], None]] = [*(role.turn for role in roles), Upkeep(self, seed).turn]
        self._threads: list[threading.Thread] = []
        self.favoured = ""

    def start(self, favoured: str = "") -> None:
        self.favoured = favoured
        self._threads = [threading.Thread(target=self._loop, args=(turn,), daemon=True) for turn in self._turns]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Every thread ends with its turn."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def _loop(self, turn: Callable[[], None]) -> None:
        while not self._stopped.is_set():
            try:
                turn()
            except Died:
                return
            except Refused as error:
                self.refused(error)
            except Exception as error:  # noqa: BLE001 - a thread of ours must not end unseen: it is a problem of the run
                self.report.problem(f"the torture itself failed: {error!r}")
                return

    def refused(self, error: Refused) -> None:
        """A refusal that may come under load or on a full disk; any other is a problem."""
        if error.code == FULL:
            self.full.set()
            time.sleep(0.1)
        elif error.code in PASSING:
            time.sleep(0.05)
        else:
            self.report.problem(f"refused: {error}")


class Writer:
    """Owns the sources that begin with its name. One change of a source at a time."""

    def __init__(self, work: Work, name: str, folder: Path, seed: str) -> None:
        self._work, self._name = work, name
        self._folder = folder / name
        self._chance = random.Random(seed)
        self._later: list[tuple[str, list[str]]] = []  # tasks whose end is still to be seen, with their sources

    def turn(self) -> None:
        chosen = self._chance.choices(
            (
                self._put,
                self._put_files,
                self._delete,
                self._sync_folder,
                self._scratch,
                self._cut_off,
                self._see_later,
            ),
            (6, 3, 3, 1, 0.5, 0.5, 2),
        )[0]
        favoured = {"folder": self._sync_folder, "scratch": self._scratch, "delete": self._delete}
        if self._work.favoured in favoured and self._chance.random() < 0.5:
            chosen = favoured[self._work.favoured]
        chosen()

    # --- operations --------------------------------------------------------------------------------------------------

    def _put(self) -> None:
        [source] = self._sources(1)
        self._send([source], lambda written: self._work.caller.post("/ingest", {"text": written[0], "source": source}))

    def _put_files(self) -> None:
        sources = self._sources(self._chance.randint(2, 6))
        self._send(
            sources,
            lambda written: self._work.caller.upload(dict(zip(sources, written, strict=True)), "default"),
        )

    def _delete(self) -> None:
        """By id, as people do: the id comes from a search for the document's own word."""
        journal = self._work.journal
        present = [source for source in self._own() if self._is_settled(source)]
        if not present:
            return self._put()
        source = self._chance.choice(present)
        asked = {"question": texts.token(source, journal.entry(source).settled), "alpha": 0.0, "k": 1}
        hits = self._work.caller.post("/search", asked)["hits"]
        if not hits or hits[0]["source"] != source:
            return self._work.report.problem(f"{source}: not found by its keyword before its deletion")
        journal.propose([source], gone=True)
        self._refusable([source], lambda: self._work.caller.delete(f"/documents/{hits[0]['document_id']}"))
        return journal.acknowledged([source])

    def _sync_folder(self) -> None:
        """Change, add and remove files of a folder, and take it in so that the removed ones go."""
        journal, label = self._work.journal, f"{self._name}-folder"
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
        return self._submit(changed, lambda: self._work.caller.post("/ingest", body), files=None)

    def _scratch(self) -> None:
        """A collection of its own, filled and dropped."""
        journal, collection = self._work.journal, f"{self._name}-scratch"
        sources = [f"{collection}-{number}.txt" for number in range(3)]
        known = journal.entries()
        if any(source in known and known[source].sent is not None for source in sources):
            return
        written = [texts.text(source, version) for source, version in journal.propose(sources, collection).items()]
        files = dict(zip(sources, written, strict=True))
        self._submit(sources, lambda: self._work.caller.upload(files, collection), files=3, wait=True)
        if any(journal.entry(source).sent is not None for source in sources):
            return  # stopped before the task's end
        journal.propose(sources, collection, gone=True)
        self._refusable(sources, lambda: self._work.caller.delete(f"/collections/{collection}"))
        journal.acknowledged(sources)

    def _cut_off(self) -> None:
        """An upload that never ends: of it nothing may ever be seen."""
        source = f"{self._name}-cut.txt"
        self._work.caller.cut_upload(source, texts.text(source, 1))
        self._work.report.count("uploads cut off")

    # --- sending -----------------------------------------------------------------------------------------------------

    def _own(self) -> list[str]:
        plain = f"{self._name}-d"
        return [source for source in self._work.journal.entries() if source.startswith(plain)]

    def _is_settled(self, source: str) -> bool:
        entry = self._work.journal.entry(source)
        return entry.settled != ABSENT and entry.sent is None

    def _sources(self, count: int) -> list[str]:
        """New ones, or ones to be replaced; none of them with a change under way."""
        entries = self._work.journal.entries()
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
        written = [texts.text(source, version) for source, version in self._work.journal.propose(sources).items()]
        return self._submit(sources, lambda: send(written), files=len(sources))

    def _submit(
        self, sources: list[str], send: Callable[[], dict[str, str]], *, files: int | None, wait: bool = False
    ) -> None:
        task = self._refusable(sources, send)["task_id"]
        self._work.journal.accepted(sources, task)
        if not wait and self._chance.random() < LATER and len(self._later) < 4:
            self._later.append((task, sources))
        else:
            self._see(task, sources, files)

    def _refusable(self, sources: list[str], send: Callable[[], dict[str, str]]) -> dict[str, str]:
        try:
            return send()
        except Refused:
            self._work.journal.refused(sources)
            raise

    def _see_later(self) -> None:
        if self._later:
            task, sources = self._later.pop(0)
            self._see(task, sources, None)

    def _see(self, task: str, sources: list[str], files: int | None) -> None:
        """Wait for the end of a task: success acknowledges its documents, each counted once."""
        until = time.monotonic() + TASK_S
        while (told := self._work.caller.get(f"/tasks/{task}"))["finished_at"] is None:
            if "disk full" in told["step"]:
                self._work.full.set()
            if self._work.stopped or time.monotonic() > until:
                return
            time.sleep(0.02)
        result = told["result"]
        if told["state"] != "SUCCESS" or result["failed_count"]:
            self._work.report.problem(f"task {task} ended with {told['state']}: {told['error'] or result['failed']}")
            return
        dealt_with = result["documents_processed"] + result["documents_skipped"]
        if files is not None and dealt_with != files:
            self._work.report.problem(f"task {task} says that it dealt with {dealt_with} documents; it had {files}")
        self._work.journal.acknowledged(sources)


class Upkeep:
    """Rebuilds, checks and asks questions that are asked again and again, so that answers come from the cache."""

    def __init__(self, work: Work, seed: str) -> None:
        self._work = work
        self._chance = random.Random(f"{seed}/upkeep")
        self._missing: set[str] = set()

    def turn(self) -> None:
        chosen = self._chance.choices(("ask", "rebuild", "compact", "rollback", "verify"), (8, 1, 1, 0.5, 0.5))[0]
        if self._work.favoured in ("rebuild", "compact", "rollback") and self._chance.random() < 0.5:
            chosen = self._work.favoured
        if chosen == "ask":
            self._ask()
        elif chosen not in self._missing:
            self._index(chosen)

    def _index(self, what: str) -> None:
        try:
            told = self._work.caller.post(f"/admin/index/default/{what}")
        except Refused as error:
            if error.status == 404:
                self._missing.add(what)  # this version has no such route
            elif error.status != 409:  # nothing to roll back to, for example
                raise
        else:
            self._work.report.count(f"index {what}")
            for problem in told.get("problems", ()):
                self._work.report.problem(f"index verify under load: {problem}")

    def _ask(self) -> None:
        """Of a document with no change under way before and after: the answer may tell its version alone."""
        journal = self._work.journal
        idle = [source for source, entry in journal.entries().items() if entry.sent is None and "-d" in source]
        if not idle:
            time.sleep(0.05)
            return
        source = self._chance.choice(sorted(idle)[: max(1, len(idle) // 4)])
        before = journal.entry(source)
        asked = {"question": texts.question(source), "mode": "extractive"}
        told = self._work.caller.post("/query", asked)
        self._work.report.count("answers under load from the cache" if told["cache_hit"] else "answers under load")
        after = journal.entry(source)
        if after != before or after.sent is not None:
            return
        others = [version for version in range(1, after.versions + 1) if version != after.settled]
        if any(texts.token(source, version) in told["answer"] for version in others):
            self._work.report.problem(f"{source}: an answer under load is not that of version {after.settled}")
