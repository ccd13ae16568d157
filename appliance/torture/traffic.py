"""What the threads of one server's work share."""

import threading
from dataclasses import dataclass, field

from appliance.torture import texts
from appliance.torture.journal import Journal
from appliance.torture.report import Report
from appliance.torture.server import Caller, Refused

FULL = "disk_full"


@dataclass(slots=True)
class Traffic:
    """`full`: the server has refused a request because its disk is full, or a task waits for that reason."""

    caller: Caller
    journal: Journal
    report: Report
    models: tuple[str, ...] = ()  # embedding models to change between
    favoured: str = ""
    stopped: threading.Event = field(default_factory=threading.Event)
    full: threading.Event = field(default_factory=threading.Event)
    missing: set[str] = field(default_factory=set)  # operations for which this version has no route

    def offers(self, operation: str) -> bool:
        return operation not in self.missing

    def without_route(self, operation: str, error: Refused) -> bool:
        """Whether the server has no such route; then it is not asked again."""
        if error.code not in ("unknown_route", "method_not_allowed", "not_found"):
            return False
        self.missing.add(operation)
        return True

    def found(self, source: str) -> int | None:
        """The id of a document by its own word, as people find it; None, and a problem, when it is not found."""
        asked = {"question": texts.token(source, self.journal.entry(source).settled), "alpha": 0.0, "k": 1}
        hits = self.caller.post("/search", asked)["hits"]
        if hits and hits[0]["source"] == source:
            return int(hits[0]["document_id"])
        self.report.problem(f"{source}: not found by its keyword under load")
        return None
