"""What a generated sentence is before it is checked, and what a few words and a number must be to stand."""

from pathlib import Path

import pytest

from appliance.answer.cite import Citer
from appliance.answer.verify import Support, check
from appliance.evidence.rank import sentences_of
from appliance.inference import ScriptedGenerator
from appliance.search import search
from appliance.types import Embedder, Mode, Query
from bench.corpus import COLLECTION, Text, ingested
from tests.answer.conftest import Ask, settings_for

QUESTION = "Who built the lighthouse at Cape Arran?"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("The answer is: Margaret Sloane.", "Margaret Sloane."),
        ("The passage states that its lamp burned whale oil until 1902.", "Its lamp burned whale oil until 1902."),
        ("The answer is: Cape Arran.", ""),  # the question's own words are no answer to it
        ("The answer is: 40 litres.", ""),  # nor is what a sentence says of something else
        ("The passage is about Cape Arran.", ""),
        ("According to the passage, the lighthouse was built by Robert Stevenson.", ""),
    ],
)
def test_what_stands_before_a_claim_is_left_out_and_a_few_words_must_answer(ask: Ask, written: str, shown: str) -> None:
    answered = ask(QUESTION, mode=Mode.GENERATIVE, generator=ScriptedGenerator(default=written))
    assert (answered.text if answered.mode is Mode.GENERATIVE else "") == shown


def test_a_number_is_its_scale_too(embedder: Embedder, tmp_path: Path) -> None:
    text = "The wind carries 43 million tons of dust."
    settings = settings_for(tmp_path)
    with ingested((Text("dust.md", "Dust", text),), embedder, settings, label="dust") as dust:
        [sentence] = sentences_of(search(Query("How much dust?", COLLECTION), dust.served).hits, dust.store)
        support, citer = Support.of("How much dust does the wind carry?", [sentence]), Citer(dust.store)
        assert check(text, support, embedder, citer) is not None
        assert check("The wind carries 43 tons of dust.", support, embedder, citer) is None


def test_no_claim_stands_on_a_heading(embedder: Embedder, tmp_path: Path) -> None:
    text = "Read this before you begin.\n\nHow the backup of the pump works at night\n\nIt copies what has changed."
    settings = settings_for(tmp_path)
    with ingested((Text("pump.md", "Pump", text),), embedder, settings, label="pump") as pump:
        sentences = sentences_of(search(Query("How does the backup work?", COLLECTION), pump.served).hits, pump.store)
        assert [item.text for item in sentences if item.heading] == ["How the backup of the pump works at night"]
        support, citer = Support.of("How does the backup work?", sentences), Citer(pump.store)
        assert check("How the backup of the pump works at night.", support, embedder, citer) is None
        assert check("It copies what has changed.", support, embedder, citer) is not None
