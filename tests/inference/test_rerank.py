"""Cross-encoders: pair encoding, token types, batches, deadlines, files that are none; and one at work in a search."""

import math
import shutil
import time
from pathlib import Path

import pytest

from appliance.app import Appliance
from appliance.config import load_settings
from appliance.errors import DeadlineExceeded, InvalidRequest, ModelError
from appliance.inference import CrossEncoder, ModelRegistry, open_reranker
from appliance.inference.rerank import BATCH_TOKENS, MAX_TOKENS
from appliance.inference.tokens import encode_pair, load_tokenizer
from appliance.ingest.chunk import chunk_document
from appliance.ingest.unit import Draft, embedded, passages
from appliance.types import NewDocument, Query, ReadDocument
from tests.inference.cross_encoders import headed, overlap

INT8 = "minilm-l6-v2.int8.onnx"
QUESTION = "who changes the filter of the pump"
TEXTS = ("the pump", "an unrelated text about tomatoes", "the filter of the pump is changed by the plumber who owns it")


@pytest.fixture(scope="module")
def tokenizer(bundled: Path) -> Path:
    return bundled / "minilm-l6-v2.tokenizer.json"


@pytest.fixture(scope="module")
def overlapping(tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> CrossEncoder:
    return CrossEncoder.open(overlap(tmp_path_factory.mktemp("overlap") / "overlap.onnx"), tokenizer)


def test_a_pair_has_both_texts_between_its_special_tokens(tokenizer: Path) -> None:
    pair = encode_pair(load_tokenizer(tokenizer), "who asks", "nobody asks today", 64)
    assert pair.tokens == ["[CLS]", "who", "asks", "[SEP]", "nobody", "asks", "today", "[SEP]"]
    assert pair.type_ids == [0, 0, 0, 0, 1, 1, 1, 1]


def test_a_long_text_is_cut_and_the_question_only_beyond_half(tokenizer: Path) -> None:
    loaded = load_tokenizer(tokenizer)
    cut = encode_pair(loaded, "who asks", "word " * 500, 32)
    assert (len(cut.ids), cut.tokens[1:4], cut.tokens[-1]) == (32, ["who", "asks", "[SEP]"], "[SEP]")
    both = encode_pair(loaded, "why " * 500, "word " * 500, 33)
    assert (len(both.ids), both.type_ids.count(0), both.type_ids.count(1)) == (33, 17, 16)
    assert encode_pair(loaded, "why " * 500, "word", 33).tokens.count("word") == 1


def test_scores_are_the_sigmoid_of_the_shared_tokens(overlapping: CrossEncoder) -> None:
    scores = overlapping.score("red pump", ["red pump red", "pump", "blue"])
    assert scores == pytest.approx([1 / (1 + math.exp(-logit)) for logit in (1.0, -1.0, -2.0)])


def test_the_order_follows_and_a_batch_is_as_each_alone(overlapping: CrossEncoder) -> None:
    scores = overlapping.score(QUESTION, TEXTS)
    assert sorted(range(3), key=lambda place: -scores[place]) == [2, 0, 1]
    many = [f"{'filler ' * (number * 7 % 90)} {TEXTS[number % 3]}" for number in range(40)]
    assert sum(len(text.split()) for text in many) > BATCH_TOKENS
    assert overlapping.score(QUESTION, many) == pytest.approx([overlapping.score(QUESTION, [text])[0] for text in many])


def test_a_text_beyond_the_limit_is_cut_there(overlapping: CrossEncoder) -> None:
    before, beyond = "word " * (MAX_TOKENS // 2), "word " * MAX_TOKENS
    inside, outside = overlapping.score("pump pump pump", [f"{before} pump", f"{beyond} pump"])
    assert inside > outside


def test_two_classes_are_a_share(tokenizer: Path, overlapping: CrossEncoder, tmp_path: Path) -> None:
    two = CrossEncoder.open(overlap(tmp_path / "two.onnx", classes=2), tokenizer)
    assert two.score(QUESTION, TEXTS) == pytest.approx(overlapping.score(QUESTION, TEXTS))


def test_a_transformer_with_a_head_scores_pairs(bundled: Path, tokenizer: Path, tmp_path: Path) -> None:
    model = CrossEncoder.open(headed(bundled / INT8, tmp_path / "headed.onnx"), tokenizer)
    scores = model.score(QUESTION, TEXTS)
    assert all(0 < score < 1 for score in scores)
    assert len(set(scores)) == 3
    assert [model.score(QUESTION, [text])[0] for text in TEXTS] == pytest.approx(scores, abs=1e-4)


def test_it_stops_at_the_deadline(overlapping: CrossEncoder) -> None:
    with pytest.raises(DeadlineExceeded):
        overlapping.score(QUESTION, TEXTS, deadline=time.monotonic())


# --- the registry ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_added_reranker_works_and_stays(bundled: Path, tokenizer: Path, tmp_path: Path) -> None:
    registry = ModelRegistry(bundled, tmp_path / "models")
    added = registry.add(overlap(tmp_path / "model.onnx"), tokenizer, "ours", "reranker")
    assert (added.kind, added.origin) == ("reranker", "added")
    reranker = open_reranker(ModelRegistry(bundled, tmp_path / "models"), "ours")
    assert reranker is not None
    assert (reranker.name, reranker.cheap) == ("ours", False)
    assert open_reranker(registry, "none") is None


@pytest.mark.parametrize(
    ("name", "kind"), [("embedder.onnx", "reranker"), ("junk.onnx", "reranker"), ("model.gguf", "reranker")]
)
def test_what_is_no_reranker_is_refused_by_name(
    bundled: Path, tokenizer: Path, tmp_path: Path, name: str, kind: str
) -> None:
    if name == "embedder.onnx":
        shutil.copyfile(bundled / INT8, tmp_path / name)
    else:
        (tmp_path / name).write_bytes(b"\x08\x07junk" * 50 if name == "junk.onnx" else b"GGUF\x03\x00\x00\x00")
    registry = ModelRegistry(bundled, tmp_path / "models")
    with pytest.raises(ModelError, match=name.replace(".", r"\.")):
        registry.add(tmp_path / name, tokenizer, "wrong", kind)  # type: ignore[arg-type]
    assert all(model.name != "wrong" for model in registry.list())


@pytest.mark.slow
def test_a_torn_or_unknown_reranker_is_refused_by_name(bundled: Path, tokenizer: Path, tmp_path: Path) -> None:
    registry = ModelRegistry(bundled, tmp_path / "models")
    added = registry.add(overlap(tmp_path / "model.onnx"), tokenizer, "ours", "reranker")
    added.path.write_bytes(added.path.read_bytes()[:-10])
    with pytest.raises(ModelError, match=r"ours\.onnx") as caught:
        open_reranker(ModelRegistry(bundled, tmp_path / "models"), "ours")
    assert caught.value.code == "model_torn"
    with pytest.raises(ModelError, match="no reranker named nothing"):
        open_reranker(registry, "nothing")


# --- at work ---------------------------------------------------------------------------------------------------------


def opened(tmp_path: Path, reranker: str) -> Appliance:
    arguments = {"data_dir": tmp_path / "data", "embedder": "hash", "generator": "none", "threads": 1}
    return Appliance.open(load_settings({**arguments, "reranker": reranker}), purpose="tests")


def put(appliance: Appliance, texts: tuple[str, ...]) -> None:
    with appliance.collections.serving("default") as serving:
        embedder = serving.embedder
    for number, text in enumerate(texts):
        read = ReadDocument(str(number), "text/plain", text)
        draft = Draft(f"{number}.txt", read, chunk_document(read, embedder.token_spans, max_tokens=200))
        vectors = embedder.embed_passages(list(passages(draft, embedder)))
        chunks = tuple(map(embedded, draft.spans, vectors))
        committed = appliance.store.documents.put("default", [NewDocument(draft.source, str(number), read, chunks, {})])
        added = appliance.store.documents.vector_source("default").some(committed[0].chunk_ids)
        appliance.collections.index("default").add(*added)


@pytest.mark.slow
def test_a_search_is_reranked_unless_too_many_ask(tokenizer: Path, tmp_path: Path) -> None:
    with opened(tmp_path, "none") as appliance:
        appliance.registry.add(overlap(tmp_path / "model.onnx"), tokenizer, "ours", "reranker")
        put(appliance, TEXTS)
        assert not appliance.search(Query(QUESTION)).reranked
        with pytest.raises(InvalidRequest, match="no reranker"):
            appliance.search(Query(QUESTION, rerank=True))
    with opened(tmp_path, "ours") as appliance:
        found = appliance.search(Query(QUESTION))
        assert found.reranked
        assert found.hits[0].chunk.text == TEXTS[2]
        assert [hit.score for hit in found.hits] == [hit.rerank_score for hit in found.hits]
        appliance.asking.asked += 100
        skipped = appliance.search(Query(QUESTION, k=2))  # what was found before is kept
        assert not skipped.reranked
        assert "Many questions" in skipped.notice


def test_a_reranker_that_cannot_be_opened_costs_only_itself(tmp_path: Path) -> None:
    with opened(tmp_path, "missing") as appliance:
        component = appliance.readiness()["reranker"]
        assert (component.ready, component.needed) == (False, False)
        assert "unusable" in component.detail
        assert "missing" in component.detail
        put(appliance, TEXTS)
        assert appliance.search(Query(QUESTION)).hits
