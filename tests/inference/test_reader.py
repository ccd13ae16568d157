"""The reader: int8 against float32 by another implementation, sentences, deadlines, foreign files; as a reranker."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from appliance.errors import DeadlineExceeded, ModelError
from appliance.inference import READER, ModelRegistry, OnnxReader, open_reader, open_reranker
from appliance.inference.passage_reader import UNREAD
from appliance.types import Passage

CASES = json.loads((Path(__file__).parents[1] / "golden" / "minilm_l6_v2_reader.json").read_text("utf-8"))["cases"]
PAIRS = [(case["question"], Passage(case["context"], case["text"], case["sentences"])) for case in CASES]
FAR = float("inf")


@pytest.fixture(scope="module")
def registry(bundled: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelRegistry:
    return ModelRegistry(bundled, tmp_path_factory.mktemp("added"))


@pytest.fixture(scope="module")
def reader(registry: ModelRegistry) -> OnnxReader:
    opened = open_reader(registry, threads=2)
    assert isinstance(opened, OnnxReader)
    return opened


def test_logits_agree_with_the_reference(reader: OnnxReader) -> None:
    found = [reader.read(question, [passage], FAR)[0] for question, passage in PAIRS]
    expected = [np.array(case["logits"]) for case in CASES]
    errors = np.concatenate([np.abs(row - wanted) for row, wanted in zip(found, expected, strict=True)])
    spread = np.concatenate(expected).std()
    assert errors.mean() < 0.1 * spread
    assert [row.argmax() for row in found] == [wanted.argmax() for wanted in expected]


def test_as_a_reranker_it_gives_the_share_against_nothing(registry: ModelRegistry) -> None:
    reranker = open_reranker(registry, READER)
    assert reranker is not None
    for case in CASES:
        text = f"{case['context']}\n{case['text']}" if case["context"] else case["text"]
        score = reranker.score(case["question"], [text])[0]  # type: ignore[attr-defined]
        assert score == pytest.approx(1 / (1 + np.exp(-case["passage"])), abs=0.1)
    reranker.close()


def test_passages_are_read_alike_together_and_alone(reader: OnnxReader) -> None:
    question, passages = PAIRS[0][0], [passage for _, passage in PAIRS]
    together = reader.read(question, passages, FAR)
    for row, passage in zip(together, passages, strict=True):
        assert len(row) == len(passage.sentences)
        assert np.allclose(row, reader.read(question, [passage], FAR)[0], atol=1e-4)


def test_a_sentence_beyond_the_end_is_the_least_likely(reader: OnnxReader) -> None:
    text = "The kiln is hot. " + "It is white and warm and old. " * 100 + "The kiln has 3 doors."
    last = text.index("The kiln has")
    row = reader.read("How many doors?", [Passage("", text, [(0, 16), (last, len(text))])], FAR)[0]
    assert row[1] == UNREAD < row[0]


def test_nothing_is_read_after_the_deadline(reader: OnnxReader) -> None:
    with pytest.raises(DeadlineExceeded):
        reader.read(PAIRS[0][0], [PAIRS[0][1]], time.monotonic() - 1)


def test_a_model_of_another_kind_is_refused_by_name(bundled: Path) -> None:
    foreign = OnnxReader(bundled / "minilm-l6-v2.int8.onnx", bundled / "minilm-l6-v2.tokenizer.json", threads=1)
    with pytest.raises(ModelError, match=r"minilm-l6-v2\.int8\.onnx"):
        foreign.read(PAIRS[0][0], [PAIRS[0][1]], FAR)
