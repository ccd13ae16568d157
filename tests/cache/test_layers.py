"""Search results and question vectors that are kept, in a whole appliance."""

import threading

import numpy as np
import pytest

from appliance.app import Appliance
from appliance.cache import Caches, tags_of
from appliance.inference.hash_embed import HashEmbedder
from appliance.ingest.spec import IngestSpec
from appliance.types import Mode, Query

TEXT = "The boiler must be serviced every twelve months by a licensed engineer."


def add(appliance: Appliance, source: str, text: str) -> None:
    folder = appliance.paths.root.parent / source.partition(".")[0]
    folder.mkdir()
    (folder / source).write_text(text)
    task = appliance.ingestion.submit(IngestSpec(directory=folder, collection="default"))
    assert appliance.ingestion.wait(task.id, 60).documents_processed


@pytest.mark.slow
def test_a_search_is_found_again_until_the_collection_changes(appliance: Appliance) -> None:
    add(appliance, "boiler.txt", TEXT)
    query = Query("How often is the boiler serviced?", principal="one")
    first = appliance.search(query)
    again = appliance.search(query.but(principal="two"))
    assert (first.cached, again.cached) == (False, True)
    assert again.hits == first.hits
    assert list(again.timings) == ["cache"]
    assert not appliance.search(query.but(k=3)).cached
    add(appliance, "roses.txt", "The roses are pruned in late February.")
    assert not appliance.search(query).cached


def test_answers_in_another_mode_share_what_was_found(appliance: Appliance) -> None:
    add(appliance, "boiler.txt", TEXT)
    query = Query("How often is the boiler serviced?", mode=Mode.EXTRACTIVE)
    before = appliance.cache.retrieval.stats().hits
    for temperature in (0.0, 0.5):
        appliance.answer(query.but(answer_tokens=int(20 + temperature)), cancel=threading.Event())
    appliance.answer(query.but(mode=Mode.AUTO), cancel=threading.Event())
    assert appliance.cache.retrieval.stats().hits == before + 2


def test_an_erasure_drops_what_searches_found(appliance: Appliance) -> None:
    add(appliance, "boiler.txt", TEXT)
    appliance.search(Query("boiler"))
    assert appliance.cache.retrieval.stats().entries == 1
    appliance.cache.erase("default")
    assert appliance.cache.retrieval.stats().entries == 0


def test_vectors_of_questions_survive_a_change_of_the_collection(appliance: Appliance) -> None:
    add(appliance, "boiler.txt", TEXT)
    vectors = [appliance.search(Query("boiler")).query_vector]
    add(appliance, "roses.txt", "The roses are pruned in late February.")
    hits = appliance.cache.embeddings.stats().hits
    vectors.append(appliance.search(Query("boiler")).query_vector)
    assert appliance.cache.embeddings.stats().hits == hits + 1
    assert np.array_equal(vectors[0], vectors[1])
    assert np.array_equal(vectors[0], HashEmbedder().embed_query("boiler"))


def test_with_the_cache_off_nothing_is_kept(appliance: Appliance) -> None:
    off = Caches(appliance.paths.cache / "off", appliance.settings.model_copy(update={"cache_bytes": 0}))
    off.answers.put("k", b"v", ttl_s=60, tags=tags_of("default"))
    assert off.answers.get("k") is None
    off.embeddings.over(HashEmbedder(), "default").embed_query("boiler")
    assert all(layer.entries == 0 for layer in off.stats())


def test_a_comparison_of_models_finds_anew(appliance: Appliance) -> None:
    """What is found by a model that is being tried must not come from the one that serves."""
    add(appliance, "boiler.txt", TEXT)
    query = Query("boiler")
    assert appliance.search(query).hits
    assert appliance.search(query).cached
    before = appliance.cache.retrieval.stats()
    with appliance.collections.serving("default") as serving:
        assert not appliance.asking.as_served(query, serving).cached
    assert appliance.cache.retrieval.stats() == before
