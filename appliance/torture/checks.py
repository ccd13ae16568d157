"""What must be true after a start: everything acknowledged is there and whole, and nothing else."""

import hashlib
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.paths import DataPaths
from appliance.torture import texts
from appliance.torture.journal import ABSENT, Entry, Journal
from appliance.torture.report import Report
from appliance.torture.server import Caller, Refused

QUIET_S = 180.0  # that unfinished tasks may take
SPOOL_S = 5.0
SAMPLES = 3
NEAREST = 10


@dataclass(frozen=True, slots=True)
class Listed:
    """A document as GET /documents has it."""

    id: int
    collection: str
    sha256: str
    chunks: int


class Checks:
    """Looks at a server to which nobody else talks. Raises Died when it dies meanwhile; problems go to the report."""

    def __init__(self, caller: Caller, paths: DataPaths, journal: Journal, report: Report) -> None:
        self._caller, self._paths, self._journal, self._report = caller, paths, journal, report

    def run(self, chance: random.Random, *, everything: bool) -> dict[str, Listed]:
        """All counts and names; the content of some documents, or of `everything`; -> source: document."""
        self._report.count("full checks" if everything else "checks")
        self.wait_quiet()
        self._erasures_end()
        self._changes_end()
        self._collections()
        self._no_dead_documents()
        listed = self._listed()
        for problem in compare(listed, self._journal.entries()):
            self._report.problem(problem)
        self._settle(listed)
        self._spool_is_empty()
        present = sorted(source for source in listed if source in self._journal.entries())
        gone = sorted(set(self._journal.entries()) - set(present))
        some = SAMPLES if not everything else len(present) + len(gone)
        for source in chance.sample(present, min(some, len(present))):
            self._document(source, listed[source])
        for source in chance.sample(gone, min(some, len(gone))):
            self._absent(source, self._journal.entry(source))
        return listed

    def wait_quiet(self) -> None:
        """Until no task is unfinished."""
        until = time.monotonic() + QUIET_S
        while unfinished := [t for t in self._caller.get("/tasks", limit=200)["tasks"] if t["finished_at"] is None]:
            if time.monotonic() > until:
                told = [f"{task['task_id']} ({task['state']}, {task['step']})" for task in unfinished[:3]]
                self._report.problem(f"tasks do not finish: {', '.join(told)}")
                return
            time.sleep(0.02)

    def _erasures_end(self) -> None:
        """Those that were accepted, with a proof; nothing to wait for in a version that has none."""
        until = time.monotonic() + QUIET_S
        while True:
            try:
                told = self._caller.get("/documents/erasures", limit=100)["erasures"]
            except Refused:
                return
            if not (left := [one for one in told if one["finished_at"] is None]):
                break
            if time.monotonic() > until:
                self._report.problem(f"an erasure does not end: {left[0]['step']}, {left[0]['waiting']}")
                return
            time.sleep(0.05)
        for one in told:
            if one["receipt"]["verdict"] != "proved":
                found = {part: one["receipt"][part] for part in ("database", "scan")}
                self._report.problem(f"an erasure is not proved: {json.dumps(found)}")

    def _changes_end(self) -> None:
        """Changes of the embedding model: each is done, refused or cancelled, and none for a fault of ours."""
        until = time.monotonic() + QUIET_S
        while True:
            try:
                told = self._caller.get("/admin/models/changes")["changes"]
            except Refused:
                return  # no such route
            if not (left := [one for one in told if one["finished_at"] is None]):
                break
            if time.monotonic() > until:
                self._report.problem(f"a change of model does not end: {left[0]['state']}, {left[0]['step']}")
                return
            time.sleep(0.05)
        for one in told:
            if one["error"] and one["code"] in (None, "internal_error"):
                self._report.problem(f"a change of model failed: {one['error']}")

    def _collections(self) -> None:
        checked = self._caller.post("/admin/database/verify")["problems"]
        for problem in checked:
            self._report.problem(f"database: {problem}")
        for collection in self._caller.get("/collections")["collections"]:
            name = collection["name"]
            for problem in self._caller.post(f"/admin/index/{name}/verify")["problems"]:
                self._report.problem(f"index of {name}: {problem}")

    def _no_dead_documents(self) -> None:
        for dead in self._caller.get("/tasks/dead", limit=10)["documents"]:
            self._report.problem(f"{dead['source']} was given up: {dead['code']}: {dead['message']}")

    def _listed(self) -> dict[str, Listed]:
        found: dict[str, Listed] = {}
        after: int | None = 0
        while after is not None:
            page = self._caller.get("/documents", limit=1000, after=after)
            for one in page["documents"]:
                if one["source"] in found:
                    self._report.problem(f"{one['source']} is there twice")
                found[one["source"]] = Listed(one["id"], one["collection"], one["sha256"], one["chunks"])
            after = page["next"]
        return found

    def _settle(self, listed: dict[str, Listed]) -> None:
        """What is in force is known now: later checks go on from it (a problem is told once)."""
        for source, entry in self._journal.entries().items():
            here = listed.get(source)
            version = version_of(source, here.sha256, entry.versions) if here else ABSENT
            self._journal.observed(source, version if version is not None else entry.settled)

    def _spool_is_empty(self) -> None:
        until = time.monotonic() + SPOOL_S
        while left := [path.name for path in self._paths.spool.iterdir() if path.name != "copies"]:
            if time.monotonic() > until:
                self._report.problem(f"{len(left)} uploads stay in the spool although no task needs them")
                return
            time.sleep(0.05)

    def _document(self, source: str, listed: Listed) -> None:
        """Text, keywords, vectors and an answer of a document that is there; nothing of the versions before it."""
        self._report.count("documents checked")
        entry = self._journal.entry(source)
        text = self._caller.get(f"/documents/{listed.id}/text")["text"]
        if hashlib.sha256(text.encode()).hexdigest() != texts.sha256(source, entry.settled):
            self._report.problem(f"{source}: its text is not that of version {entry.settled}")
            return
        key = texts.token(source, entry.settled)
        hits = self._search(key, entry.collection, alpha=0.0)
        if not any(hit["document_id"] == listed.id and key in hit["text"] for hit in hits):
            self._report.problem(f"{source}: version {entry.settled} is not found by its keyword")
            return
        self._hits_are_exact(source, text, listed, hits)
        self._old_versions(source, entry, hits)
        if not any(key in hit["text"] for hit in self._search(hits[0]["text"], entry.collection, alpha=1.0)):
            self._report.problem(f"{source}: version {entry.settled} is not found by its vector")
        self.answer(source, {entry.settled})

    def _hits_are_exact(self, source: str, text: str, listed: Listed, hits: Sequence[dict[str, Any]]) -> None:
        for hit in hits:
            if hit["document_id"] == listed.id and text[hit["start"] : hit["end"]] != hit["text"]:
                self._report.problem(f"{source}: a passage is not the text at its offsets")

    def _absent(self, source: str, entry: Entry) -> None:
        """Nothing is found of a document that is gone."""
        self._report.count("absences checked")
        self._old_versions(source, entry, ())
        self.answer(source, {ABSENT})

    def _old_versions(self, source: str, entry: Entry, hits: Sequence[dict[str, Any]]) -> None:
        """The newest version that is not in force is found neither by its keyword nor by its text."""
        others = [version for version in range(1, entry.versions + 1) if version != entry.settled]
        for version in others[-1:]:
            key = texts.token(source, version)
            asked = (key, 0.0), (texts.text(source, version)[:400], 1.0)
            found = [hit for question, alpha in asked for hit in self._search(question, entry.collection, alpha=alpha)]
            if any(key in hit["text"] for hit in (*hits, *found)):
                self._report.problem(f"{source}: version {version}, which is gone, is still found")

    def _search(self, question: str, collection: str, *, alpha: float) -> list[dict[str, Any]]:
        body = {"question": question, "collection": collection, "alpha": alpha, "k": NEAREST}
        try:
            hits: list[dict[str, Any]] = self._caller.post("/search", body)["hits"]
        except Refused as error:
            if error.code == "unknown_collection":
                return []
            raise
        return hits

    def answer(self, source: str, allowed: set[int]) -> None:
        """Ask twice, the second time from the cache: an answer may name the tokens of `allowed` versions alone."""
        entry = self._journal.entry(source)
        asked = {"question": texts.question(source), "collection": entry.collection, "mode": "extractive"}
        for _ in range(2):
            try:
                told = self._caller.post("/query", asked)
            except Refused as error:
                if error.code == "unknown_collection":
                    return
                raise
            self._report.count("answers from the cache" if told["cache_hit"] else "answers")
            for version in range(1, entry.versions + 1):
                if texts.token(source, version) in told["answer"]:
                    self._report.count("answers with a key")
                    if version not in allowed:
                        self._report.problem(f"{source}: an answer tells version {version}, in force is {allowed}")


def version_of(source: str, sha256: str, versions: int) -> int | None:
    """Which version has this sha256; None for a text that was never sent."""
    for version in range(versions, 0, -1):
        if texts.sha256(source, version) == sha256:
            return version
    return None


def compare(listed: dict[str, Listed], entries: dict[str, Entry]) -> Iterator[str]:
    """What the listing of all documents has that it must not, or lacks, with no task unfinished."""
    for source in sorted(listed.keys() - entries.keys()):
        yield f"phantom: {source} was never sent whole"
    for source, entry in sorted(entries.items()):
        here = listed.get(source)
        version = version_of(source, here.sha256, entry.versions) if here else ABSENT
        if version is None:
            yield f"{source} is a text that was never sent"
        elif version not in entry.possible:
            yield f"{source}: {_named(version)} is in force, acknowledged is {_named(max(entry.possible))}"
        elif here and here.chunks < 1:
            yield f"{source} has no chunks"


def _named(version: int) -> str:
    return f"version {version}" if version else "nothing"
