"""What the kernel says of this process, under the names that Prometheus' own clients give it."""

from collections.abc import Iterator
from typing import cast

from prometheus_client import ProcessCollector

from appliance.telemetry.exposition import Kind, Labels, Sampled


def process_readings() -> Iterator[tuple[Sampled, Labels, float]]:
    """Processor time, memory, start and descriptors: files of /proc, whose reading takes milliseconds."""
    for family in ProcessCollector(registry=None).collect():
        sampled = Sampled(family.name, family.documentation, kind=cast("Kind", family.type))
        yield sampled, (), family.samples[0].value
