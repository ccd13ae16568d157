"""A small collection with a real store and a real index, embedded by hashed words."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.config import Settings
from appliance.inference import HashEmbedder
from bench.corpus import Corpus, Text, ingested

TEXTS = (
    Text("pumps.md", "Pumps", "The pump SKU-A1234 moves 40 litres a minute. Its seal is made of rubber."),
    Text("valves.md", "Valves", "The valve SKU-A1234-B closes in a second. Order SKU-B77 for the larger one."),
    Text("errors.md", "Errors", "ERR_CONNECTION_REFUSED means that nobody listens on the port of the server."),
    Text("network.md", "Network", "When a connection is refused, look at the port, the server and the firewall."),
    Text("api.md", "Programming", "Call stripe.checkout.Session.create() to begin a payment in the shop."),
    Text("versions.md", "Versions", "Version 1.2.3 brought the new index. Version 1.20 removed the old one."),
    Text("garden.md", "Garden", "Tomatoes want sun and water. Beans grow up a pole. Plant both in May."),
    Text("kitchen.md", "Kitchen", "A soup of tomatoes and beans needs an hour. Add salt, pepper and basil."),
)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    settings = Settings(data_dir=Path(tmp_path_factory.mktemp("data")), threads=1)
    with ingested(TEXTS, HashEmbedder(), settings, label="samples") as opened:
        yield opened
