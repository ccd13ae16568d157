"""A collection about a lighthouse and a pump, embedded by the real small model."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.answer import Answering, answer
from appliance.config import Settings
from appliance.search import search
from appliance.types import Answer, Claim, Embedder, Generator, Query
from bench.corpus import COLLECTION, Corpus, Text, ingested, open_models

LIGHTHOUSE = """The lighthouse at Cape Arran was built between 1871 and 1874 by the engineer Margaret
Sloane. It is 41 metres high.

Its lamp burned whale oil until 1902, when it was replaced by an electric arc. The keeper lived in a cottage on the
north side of the rock, because the south side was flooded every winter.

Since 1988 the lighthouse has not been manned. Visitors can climb the 199 steps from May to September."""
PUMP = """The pump SKU-A1234 moves 40 litres a minute at a pressure of 3.5 bar. Its rubber seal must be replaced
every 18 months.

Never run the pump dry. The warranty does not cover damage by salt water."""
BREAD = """Knead the dough for ten minutes and let it rest overnight. Bake it at 230 degrees for 45 minutes.

A sourdough starter is fed with flour and water every day."""
TEXTS = (
    Text("lighthouse.md", "Cape Arran lighthouse", LIGHTHOUSE),
    Text("pump.md", "Pump manual", PUMP),
    Text("bread.md", "Baking bread", BREAD),
)

Ask = Callable[..., Answer]


def settings_for(folder: Path) -> Settings:
    return Settings(data_dir=folder, threads=1)


ABSTAIN_BELOW = float(Settings.model_fields["abstain_below"].default)


@pytest.fixture(scope="session")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedder]:
    with open_models(settings_for(Path(tmp_path_factory.mktemp("models")))) as opened:
        yield opened


@pytest.fixture(scope="session")
def corpus(embedder: Embedder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    settings = settings_for(Path(tmp_path_factory.mktemp("data")))
    with ingested(TEXTS, embedder, settings, label="samples") as opened:
        yield opened


@pytest.fixture
def ask(corpus: Corpus) -> Ask:
    """Ask the collection; `generator`, `seconds` until the deadline and `on_claim` besides the fields of a Query."""

    def asked(
        text: str,
        *,
        generator: Generator | None = None,
        seconds: float = 30.0,
        on_claim: Callable[[Claim], None] | None = None,
        **parameters: object,
    ) -> Answer:
        query = Query(text, COLLECTION, **parameters)  # type: ignore[arg-type]
        answering = Answering(corpus.store, corpus.embedder, generator, ABSTAIN_BELOW, 160)
        found = search(query, corpus.retrieval)
        deadline = time.monotonic() + seconds
        return answer(query, found, answering, deadline=deadline, cancel=threading.Event(), on_claim=on_claim)

    return asked
