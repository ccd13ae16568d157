"""Embeddings with the official openai client: the vectors that search uses, in both encodings, with clear refusals."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import openai
import pytest

from appliance.config import Settings
from tests.web.conftest import Service
from tests.web.test_openai_chat import connected
from tests.web.test_openai_errors import refused

TEXTS = ["The boiler is serviced.", "Roses are pruned in February.", "Ünïcödé, 中文, and 😀."]


@pytest.mark.slow
def test_both_encodings_hold_the_vectors_of_search(corpus: Service) -> None:
    with connected(corpus) as client:
        numbers = client.embeddings.create(model="hash", input=TEXTS, encoding_format="float")
        packed = client.embeddings.create(model="hash", input=TEXTS)  # the client asks for base64 and unpacks it
        single = client.embeddings.create(model="hash", input=TEXTS[1], user="me", dimensions=64)
    assert [item.index for item in numbers.data] == [0, 1, 2]
    assert numbers.usage.total_tokens == numbers.usage.prompt_tokens > 10
    embedder = corpus.appliance.embedders.named("hash")
    for text, one, other in zip(TEXTS, numbers.data, packed.data, strict=True):
        assert len(one.embedding) == 64
        np.testing.assert_allclose(one.embedding, embedder.embed_query(text), atol=1e-6)
        np.testing.assert_allclose(other.embedding, one.embedding, atol=1e-6)
    np.testing.assert_allclose(single.data[0].embedding, numbers.data[1].embedding, atol=1e-6)


@pytest.mark.parametrize(
    ("more", "param", "code"),
    [
        ({"input": [1, 2, 3]}, "input", "unsupported_parameter"),
        ({"input": [[1, 2], [3]]}, "input", "unsupported_parameter"),
        ({"input": []}, "input", "invalid_request"),
        ({"input": ""}, "input[0]", "invalid_request"),
        ({"input": ["a", ""]}, "input[1]", "invalid_request"),
        ({"input": ["a", None]}, "input[1]", "invalid_request"),
        ({"input": {"text": "a"}}, "input", "invalid_request"),
        ({"input": ["a"] * 2049}, "input", "invalid_request"),
        ({"input": ["short", "word " * 300]}, "input[1]", "input_too_long"),
        ({"dimensions": 32}, "dimensions", "unsupported_parameter"),
        ({"encoding_format": "int8"}, "encoding_format", "invalid_request"),
        ({"model": None}, "model", "invalid_request"),
        ({"texts": ["a"]}, "texts", "invalid_request"),
    ],
)
def test_refusals(empty: Service, more: dict[str, Any], param: str, code: str) -> None:
    with empty.client("reader") as client:
        error = refused(client.post("/v1/embeddings", json={"model": "hash", "input": "a", **more}), 400)
    assert (error["param"], error["code"]) == (param, code)


@pytest.mark.slow
def test_unknown_model_and_body_too_large(service: Service) -> None:
    with connected(service) as client, pytest.raises(openai.NotFoundError) as missing:
        client.embeddings.create(model="text-embedding-3-small", input="a")
    assert "hash" in missing.value.message
    with service.client("reader") as client:
        assert refused(client.post("/v1/embeddings", json={"model": "hash", "input": "a" * 5 * 2**20}), 413)


@pytest.mark.slow
def test_a_batch_costs_what_its_threads_take(open_service: Callable[..., Service]) -> None:
    def cost(service: Service, texts: list[str]) -> float:
        began = time.monotonic()
        with connected(service) as client:
            client.embeddings.create(model="hash", input=texts)
        took = time.monotonic() - began
        with service.client("reader") as client:
            spent: float = client.get("/costs").json()["total"]["compute_s"]
        assert spent < 8 * took
        return spent

    texts = [f"word {number} " * 60 for number in range(400)]
    assert cost(open_service(threads=8), texts) > 2 * cost(open_service(threads=1), texts)


@pytest.mark.slow
def test_with_the_real_models(open_service: Callable[..., Service]) -> None:
    fields = Settings.model_fields
    names = {name: fields[name].default for name in ("embedder", "generator", "abstain_below")}
    service = open_service(**names)
    service.add("heating.txt", "The boiler must be serviced every twelve months by a licensed engineer.")
    messages: Any = [{"role": "user", "content": "How often must the boiler be serviced?"}]
    with connected(service) as client:
        made = client.embeddings.create(model=names["embedder"], input=TEXTS)
        near, far = (np.dot(made.data[0].embedding, made.data[i].embedding) for i in (0, 1))
        assert near == pytest.approx(1, abs=1e-3)
        assert far < 0.5
        for model in ("rag-appliance", "rag-appliance-generative"):
            message = client.chat.completions.create(model=model, messages=messages).choices[0].message
            assert "twelve months" in str(message.content)
        bare = names["generator"].removesuffix(".q8_0")
        assert client.models.retrieve(bare).id == names["generator"]
        whole = client.chat.completions.create(model=bare, messages=messages, max_tokens=12)
        chunks = list(client.chat.completions.create(model=bare, messages=messages, max_tokens=12, stream=True))
    assert whole.choices[0].message.content
    assert whole.usage is not None
    assert 0 < whole.usage.completion_tokens <= 12
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == whole.choices[0].message.content
