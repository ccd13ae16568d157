"""The shapes that vectors and metadata have everywhere."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]  # (dimensions,), L2-normalised
Matrix = NDArray[np.float32]  # (n, dimensions), rows L2-normalised
Ids = NDArray[np.int64]  # (n,), ascending chunk ids

MetadataValue = str | int | float | bool | list[str]
Metadata = Mapping[str, MetadataValue]
