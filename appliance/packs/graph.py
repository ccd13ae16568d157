"""The graph of a collection as a record of a pack, and back again: a machine that only serves need not build it."""

import numpy as np

from appliance.packs import form
from appliance.packs.form import PackedGraph
from appliance.types import Ids
from appliance.vectors import Links, WrongLinksError
from appliance.vectors.links import GROUND_WORDS, UPPER_WORDS


def packed_graph(links: Links, places: Ids) -> tuple[PackedGraph, bytes]:
    """`places` are those of the nodes' chunks among all chunks of the pack."""
    parts = (places.astype("<i4"), links.levels, links.ground.astype("<u4"), links.upper.astype("<u4"))
    made = PackedGraph(nodes=len(places), entry=links.entry, upper=len(links.upper))
    return made, b"".join(part.tobytes() for part in parts)


def unpacked_graph(found: PackedGraph, raw: bytes, chunks: int) -> tuple[Links, Ids]:
    """Links and places, in which nothing leads out of the pack's `chunks`. Raises InvalidRequest (pack_damaged)."""
    count, upper = found.nodes, found.upper
    if len(raw) != 4 * count + count + 4 * GROUND_WORDS * count + 4 * UPPER_WORDS * upper:
        raise form.damaged("its graph is not of its size")
    places = np.frombuffer(raw, "<i4", count).astype(np.int64)
    levels = np.frombuffer(raw, np.uint8, count, 4 * count)
    ground = np.frombuffer(raw, "<u4", GROUND_WORDS * count, 5 * count).reshape(count, GROUND_WORDS)
    rest = 5 * count + 4 * GROUND_WORDS * count
    links = Links(found.entry, levels, ground, np.frombuffer(raw, "<u4", -1, rest).reshape(upper, UPPER_WORDS))
    try:
        links.check()
    except WrongLinksError as error:
        raise form.damaged(f"in its graph {error}") from error
    if int(places.min()) < 0 or int(places.max()) >= chunks or len(np.unique(places)) != count:
        raise form.damaged("its graph holds other chunks than the pack")
    return links, places


def places_of(labels: Ids, ordered: Ids) -> Ids | None:
    """Where each label stands among the chunk ids of the pack in their order; None where one is not there."""
    order = np.argsort(ordered)
    at = np.minimum(np.searchsorted(ordered, labels, sorter=order), max(0, len(ordered) - 1))
    if not len(ordered) or not np.array_equal(ordered[order[at]], labels):
        return None
    places: Ids = order[at]
    return places
