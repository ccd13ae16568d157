"""The metrics page: every collector of ours is there, named as Prometheus asks, with bounded labels."""

import re

from prometheus_client.parser import text_string_to_metric_families

from appliance.telemetry import metrics
from appliance.telemetry.declared import declared
from appliance.telemetry.exposition import Readings
from appliance.telemetry.process import process_readings


def test_every_collector_has_our_prefix_and_help() -> None:
    families = list(text_string_to_metric_families(metrics.render().decode()))
    assert families
    for family in families:
        assert family.name.startswith(("rag_", "process_")), family.name
        assert family.documentation


def test_no_name_is_declared_twice() -> None:
    names = [metric.exported for metric in declared()]
    assert len(names) == len(set(names))


def test_no_label_is_one_that_prometheus_gives() -> None:
    for metric in declared():
        assert not {"job", "instance", "le"} & set(metric.labels), metric.exported


def test_no_created_series() -> None:
    metrics.QUERIES.labels("query", "ok").inc()
    assert "_created" not in metrics.render().decode()


def test_counts_show() -> None:
    before = _value("rag_ingested_chunks_total")
    metrics.INGESTED_CHUNKS.inc(3)
    assert _value("rag_ingested_chunks_total") == before + 3


def test_memory_of_the_process_is_there() -> None:
    readings = {sampled: [(labels, value)] for sampled, labels, value in process_readings()}
    assert _value("process_resident_memory_bytes", readings) > 1_000_000
    assert _value("process_cpu_seconds_total", readings) > 0


def _value(name: str, readings: Readings | None = None) -> float:
    found = re.search(rf"^{name} (\S+)$", metrics.render(readings).decode(), re.MULTILINE)
    assert found, name
    return float(found[1])
