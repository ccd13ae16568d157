"""The list of all metrics: for the handbook, and for the tests that hold rules and dashboards against it."""

from dataclasses import dataclass

from appliance.telemetry import gauges, metrics
from appliance.telemetry.exposition import Sampled


@dataclass(frozen=True, slots=True)
class Declared:
    """A metric: the name that is exported, its kind (counter, gauge, histogram), its labels and what it is."""

    exported: str
    kind: str
    labels: tuple[str, ...]
    documentation: str


def declared() -> list[Declared]:
    """Those that grow as things happen, then those that are looked up."""
    found = [
        _of(collector._name, collector._type, collector._labelnames, collector._documentation)
        for collector in vars(metrics).values()
        if str(getattr(collector, "_name", "")).startswith("rag_")
    ]
    sampled = [made for made in vars(gauges).values() if isinstance(made, Sampled)]
    return found + [_of(made.name, made.kind, made.labels, made.documentation) for made in sampled]


def _of(name: str, kind: str, labels: tuple[str, ...], documentation: str) -> Declared:
    return Declared(f"{name}_total" if kind == "counter" else name, kind, tuple(labels), documentation)
