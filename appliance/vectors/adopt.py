"""A graph that another machine has built becomes the first generation of a collection that was made in one piece."""

import time
from pathlib import Path

import numpy as np

from appliance.types import Ids, Matrix
from appliance.vectors import generation
from appliance.vectors.build import Form
from appliance.vectors.current import disk_error
from appliance.vectors.graph import Graph, Origin
from appliance.vectors.links import Links, write_graph
from appliance.vectors.source import VectorSource


def adopt(directory: Path, source: VectorSource, form: Form, links: Links, labels: Ids, scratch: Path) -> None:
    """Write the generation that `CollectionIndex.open` will load; vectors come from `source`, links were checked.

    How well it finds is not believed: the index measures it once it serves, and builds another if it finds too little.
    `scratch` is a new file for the time being. Raises DiskFull, StorageError.
    """

    def rows(some: Ids) -> Matrix:
        order = np.argsort(some)
        _, vectors = source.some(some[order])
        placed = np.empty_like(vectors)
        placed[order] = vectors
        return placed

    try:
        write_graph(scratch, links, labels, rows, form.dimensions)
        graph = Graph.load(scratch, form.dimensions, Origin(time.time(), "imported"), threads=form.threads)
        generation.write(directory, graph, form.fingerprint)
    except OSError as error:
        raise disk_error(error, directory) from error
