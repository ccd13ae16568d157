"""`bench claims`: its claims are what their labels say, its last row the share of false ones among those marked."""

import random

import pytest

from appliance.cli.bench import bench
from appliance.evidence.rank import sentences_of
from appliance.types import Query
from bench.claims import KINDS, Labelled, labelled, told
from bench.corpus import COLLECTION, Corpus, measured


def test_claims_of_a_passage_change_what_their_kind_says(corpus: Corpus) -> None:
    found, _ = measured(Query("Who built the lighthouse at Cape Arran?", COLLECTION), corpus)
    sentences = sentences_of(found.hits, corpus.store)
    said = " ".join(" ".join(one.text.split()) for one in sentences)
    made = [claim for seed in range(10) for claim in labelled(sentences, random.Random(seed))]
    assert {"as it stands", "another number", "denied"} <= {claim.kind for claim in made}
    for claim in made:
        assert claim.supported is KINDS[claim.kind][0]
        assert claim.supported or claim.text not in said


def test_the_last_row_weighs_every_kind_alike() -> None:
    checked = [(Labelled("as it stands", True, "a"), True)] * 8
    checked += [(Labelled("denied", False, "b"), False)] * 3 + [(Labelled("denied", False, "c"), True)]
    rows = told("set", checked)
    assert [row["share"] for row in rows[:2]] == [1.0, 0.25]
    assert rows[-1]["share"] == pytest.approx(0.25 / 1.25)


def test_the_command_line_has_it() -> None:
    assert "claims" in bench.commands
