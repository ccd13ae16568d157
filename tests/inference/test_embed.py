"""The embedder: spans, sentences, truncation, threads, files that are no models."""

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import ModelError
from appliance.inference.embed import OnnxEmbedder
from appliance.inference.hash_embed import HashEmbedder
from appliance.inference.pooling import pad
from appliance.inference.tokens import encode
from appliance.types import Embedder, Passage, Vector

from .conftest import open_embedder

SENTENCES = ["Pump seven leaks.", "The cat sleeps on the warm roof.", "Close valve V-107 first."]


def passage_of(sentences: list[str], context: str = "") -> Passage:
    spans, at = [], 0
    for sentence in sentences:
        spans.append((at, at + len(sentence)))
        at += len(sentence) + 1
    return Passage(context, " ".join(sentences), spans)


@pytest.fixture(params=["int8", "hash"])
def embedder(request: pytest.FixtureRequest) -> Embedder:
    if request.param == "hash":
        return HashEmbedder()
    chosen: OnnxEmbedder = request.getfixturevalue("int8")
    return chosen


def test_vectors_have_length_one_and_the_stated_width(embedder: Embedder) -> None:
    results = embedder.embed_passages([passage_of(SENTENCES, "Manual > Pumps"), Passage("", "")])
    vectors = [embedder.embed_query("pump"), embedder.embed_query(""), *(result.vector for result in results)]
    for vector in (*vectors, *results[0].sentences):
        assert vector.shape == (embedder.dimensions,)
        assert vector.dtype == np.float32
        assert abs(float(np.linalg.norm(vector)) - 1) < 1e-5
    assert results[0].sentences.shape == (3, embedder.dimensions)
    assert results[1].sentences.shape == (0, embedder.dimensions)


def test_results_come_in_the_order_given(embedder: Embedder) -> None:
    passages = [Passage("", "word " * count) for count in (40, 1, 200, 3, 90, 2, 150, 60, 5, 120, 7)]
    together = embedder.embed_passages(passages)
    for passage, result in zip(passages, together, strict=True):
        alone = embedder.embed_passages([passage])[0].vector
        assert float(alone @ result.vector) > 0.9999


def test_no_passages_give_no_vectors(embedder: Embedder) -> None:
    assert embedder.embed_passages([]) == []


def test_a_question_finds_its_sentence(embedder: Embedder) -> None:
    result = embedder.embed_passages([passage_of(SENTENCES, "Plant handbook")])[0]
    scores = result.sentences @ embedder.embed_query("Which valve do I close? valve V-107")
    assert int(scores.argmax()) == 2


def test_sentence_vector_is_the_mean_of_its_token_outputs(int8: OnnxEmbedder) -> None:
    whole = passage_of(["All of it is one sentence."])
    result = int8.embed_passages([whole])[0]
    # the passage's mean also counts [CLS] and [SEP], so the two are close, not equal
    assert 0.9 < float(result.sentences[0] @ result.vector) < 0.99999


def test_the_context_is_read_but_owns_no_sentence(int8: OnnxEmbedder) -> None:
    bare = int8.embed_passages([passage_of(SENTENCES)])[0]
    placed = int8.embed_passages([passage_of(SENTENCES, "Cats and their habits")])[0]
    assert placed.sentences.shape == bare.sentences.shape
    assert float(bare.vector @ placed.vector) < 0.999
    assert int((placed.sentences @ int8.embed_query("which valve to close")).argmax()) == 2


def test_a_sentence_beyond_the_truncation_gets_the_passage_vector(int8: OnnxEmbedder) -> None:
    result = int8.embed_passages([passage_of(["word " * 300 + "end.", "This one is cut off."])])[0]
    assert np.allclose(result.sentences[1], result.vector)
    assert not np.allclose(result.sentences[0], result.vector)


def test_long_texts_are_cut_at_max_tokens(int8: OnnxEmbedder) -> None:
    ids, _ = int8.prepare([Passage("", "word " * 5000)])[0]
    assert ids.shape == (1, int8.max_tokens)
    assert ids[0, -1] == 102  # [SEP] stays
    assert np.allclose(int8.embed_query("word " * 400), int8.embed_query("word " * 5000))


def test_batches_stay_within_their_bound(int8: OnnxEmbedder) -> None:
    batches = int8.prepare([Passage("", "word " * (index % 260)) for index in range(100)])
    assert sum(len(ids) for ids, _ in batches) == 100
    assert max(ids.size for ids, _ in batches) <= 512


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=400))
def test_token_spans_lie_in_the_text_and_ascend(int8: OnnxEmbedder, text: str) -> None:
    spans = list(int8.token_spans(text))
    assert all(0 <= start <= end <= len(text) for start, end in spans)
    assert spans == sorted(spans)


@pytest.mark.slow
def test_token_spans_of_a_megabyte_equal_those_of_its_lines(int8: OnnxEmbedder) -> None:
    line = "Überprüfe Pumpe 7 – 圧力を確認する, check valve V-107.\n"
    count = 20_000
    spans = list(int8.token_spans(line * count))
    of_line = list(int8.token_spans(line))
    assert len(spans) == len(of_line) * count
    shift = len(line) * (count - 1)
    assert spans[-len(of_line) :] == [(start + shift, end + shift) for start, end in of_line]


def test_concurrent_questions_get_their_own_answers(int8: OnnxEmbedder) -> None:
    texts = [f"question number {index} about pump {index * 7}" for index in range(16)]
    expected = [int8.embed_query(text) for text in texts]
    wrong: list[str] = []

    def ask(text: str, vector: Vector) -> None:
        for _ in range(10):
            if not np.array_equal(int8.embed_query(text), vector):
                wrong.append(text)

    threads = [threading.Thread(target=ask, args=pair) for pair in zip(texts, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_fingerprints_tell_models_and_settings_apart(bundled: Path, int8: OnnxEmbedder, fp32: OnnxEmbedder) -> None:
    again = open_embedder(bundled, "int8", threads=1)
    files = (bundled / "minilm-l6-v2.int8.onnx", bundled / "minilm-l6-v2.tokenizer.json")
    shorter = OnnxEmbedder.open(*files, threads=1, max_tokens=128)
    assert again.fingerprint == int8.fingerprint
    assert len({int8.fingerprint, fp32.fingerprint, shorter.fingerprint}) == 3


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x0a" + b"\x00" * 100])
def test_foreign_files_are_refused_by_name(bundled: Path, tmp_path: Path, content: bytes) -> None:
    foreign = tmp_path / "foreign.onnx"
    foreign.write_bytes(content)
    with pytest.raises(ModelError, match=r"foreign\.onnx"):
        OnnxEmbedder.open(foreign, bundled / "minilm-l6-v2.tokenizer.json", threads=1)
    with pytest.raises(ModelError, match=r"foreign\.onnx"):
        OnnxEmbedder.open(bundled / "minilm-l6-v2.int8.onnx", foreign, threads=1)


def test_questions_together_get_the_vectors_they_get_alone(embedder: Embedder) -> None:
    questions = ["pump", "Which valve is closed first?", "", "when does the cat sleep on the roof", "pump " * 300]
    together = embedder.embed_queries(questions)
    assert together.shape == (len(questions), embedder.dimensions)
    for vector, question in zip(together, questions, strict=True):
        assert np.abs(vector - embedder.embed_query(question)).max() < 2e-7


def test_the_model_reads_a_question_the_same_alone_and_beside_others(int8: OnnxEmbedder) -> None:
    questions = ["Which valve is closed first?", "pump", "when does the cat sleep on the roof", "leaks of pump seven"]
    rows = [encode(int8._tokenizer, question, 64).ids for question in questions]
    outputs = int8._session.run([int8._graph.token_output], int8._graph.feeds(*pad(rows)))[0]
    for row, tokens in zip(rows, outputs, strict=True):
        alone = int8._session.run([int8._graph.token_output], int8._graph.feeds(*pad([row])))[0]
        assert (tokens[: len(row)] == alone[0]).all()


def test_collections_made_with_the_graph_before_keep_their_vectors(int8: OnnxEmbedder) -> None:
    assert int8.fingerprint == "63a19fa41a110792bf1d96930713d724"  # whose vectors differ by rounding
