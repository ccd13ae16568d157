"""Conditions on the metadata of documents."""

from dataclasses import dataclass

from appliance.types.arrays import MetadataValue


@dataclass(frozen=True, slots=True)
class Comparison:
    """One condition on a document's metadata: `op` is one of = != < <= > >= in contains exists."""

    field: str
    op: str
    value: MetadataValue


@dataclass(frozen=True, slots=True)
class AllOf:
    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: "Filter"


Filter = Comparison | AllOf | AnyOf | Not
