"""Chats with the official openai client against a real server: answers from the documents, and the generator alone."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from appliance.errors import ModelError
from appliance.inference.scripted import ScriptedGenerator
from appliance.types import GREEDY, CancelToken, Generated, GenerationRequest, Sampling, TokenSink
from appliance.web.sse import EARLY_S
from tests.web.conftest import CORPUS, QUESTION, Gate, Service, until
from tests.web.test_query import leave_in_the_middle


@pytest.fixture
def client(corpus: Service) -> Iterator[openai.OpenAI]:
    with connected(corpus) as made:
        yield made


def connected(service: Service, key: str = "") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{service.url}/v1", api_key=key or service.keys["reader"], max_retries=0)


def ask(client: openai.OpenAI, text: str = QUESTION, *, before: Any = (), **more: Any) -> Any:
    messages = [*before, {"role": "user", "content": text}]
    return client.chat.completions.create(**{"model": "rag-appliance", "messages": messages, **more})


def with_generator(open_service: Callable[..., Service], generator: ScriptedGenerator, **settings: Any) -> Service:
    """A served appliance that holds CORPUS and has a generator of the test's own."""
    service = open_service(generator="scripted", **settings)
    service.appliance.generator = generator
    service.appliance.asking._generator = generator
    for source, text in CORPUS.items():
        service.add(source, text)
    return service


@pytest.mark.slow
def test_an_answer_with_its_citations(corpus: Service, client: openai.OpenAI) -> None:
    made = ask(client)
    message = made.choices[0].message
    assert made.object == "chat.completion"
    assert made.id.startswith("chatcmpl-")
    assert (made.model, made.choices[0].finish_reason, message.role) == ("rag-appliance", "stop", "assistant")
    assert "twelve months" in message.content
    assert message.content == " ".join(claim["text"] for claim in message.claims)
    assert (message.abstained, message.reason, message.mode, message.cache_hit) == (False, None, "extractive", False)
    assert message.sources[0]["source"] == "notes/heating.txt"
    with corpus.client("reader") as plain:
        for place in message.citations:
            text = plain.get(f"/documents/{place['document_id']}/text").json()["text"]
            assert text[place["start"] : place["end"]] == place["quote"]
    usage = made.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens == 0


@pytest.mark.slow
def test_it_is_the_answer_of_query_and_shares_its_cache(corpus: Service, client: openai.OpenAI) -> None:
    with corpus.client("reader") as plain:
        answer = plain.post("/query", json={"question": QUESTION}).json()
    message = ask(client).choices[0].message
    assert message.cache_hit
    assert (message.content, message.claims) == (answer["answer"], answer["claims"])


@pytest.mark.slow
def test_a_stream_says_the_same_and_ends_with_the_grounds(client: openai.OpenAI) -> None:
    whole = ask(client, extra_body={"k": 5}).choices[0].message
    for fresh in ({"k": 4}, {"k": 5}):
        chunks = list(ask(client, stream=True, extra_body=fresh))
        assert len({chunk.id for chunk in chunks}) == 1
        assert chunks[0].choices[0].delta.role == "assistant"
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.content
        last = chunks[-1].choices[0]
        assert last.finish_reason == "stop"
        assert (last.delta.claims, last.delta.sources) == (whole.claims, whole.sources)
        assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
        assert not any(chunk.usage for chunk in chunks)


@pytest.mark.slow
def test_usage_comes_last_where_it_is_asked_for(client: openai.OpenAI) -> None:
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 0
    assert chunks[-2].choices[0].finish_reason == "stop"


@pytest.mark.slow
def test_the_clients_own_accumulation_of_a_stream(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": QUESTION}]
    with client.chat.completions.stream(model="rag-appliance", messages=messages) as stream:
        for _ in stream:
            pass
        message = stream.get_final_completion().choices[0].message
    assert "twelve months" in message.content
    assert message.citations


@pytest.mark.slow
def test_a_conversation_gives_the_question_its_meaning(client: openai.OpenAI) -> None:
    before = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How are the roses pruned?"},
              {"role": "assistant", "content": "In late February."}]  # fmt: skip
    message = ask(client, "And when?", before=before).choices[0].message
    assert "roses" in message.condensed_question
    assert "System messages are not used" in message.notice
    parts = [{"type": "text", "text": "How often must the boiler"}, {"type": "text", "text": "be serviced?"}]
    assert "twelve months" in ask(client, parts).choices[0].message.content  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_chat_of_any_length_is_answered(client: openai.OpenAI) -> None:
    before = [{"role": role, "content": "About tomatoes. " * 90} for _ in range(60) for role in ("user", "assistant")]
    assert "twelve months" in ask(client, before=before).choices[0].message.content


@pytest.mark.slow
def test_filters_and_collection(corpus: Service, client: openai.OpenAI) -> None:
    corpus.add("birds.txt", "Penguins live in the south.", collection="birds")
    found = ask(client, "Where do penguins live?", extra_body={"collection": "birds"}).choices[0].message
    assert found.sources[0]["source"] == "birds.txt"
    filtered = ask(client, extra_body={"filters": 'source = "notes/garden.txt"'}).choices[0].message
    assert {source["source"] for source in filtered.sources} <= {"notes/garden.txt"}


@pytest.mark.slow
def test_a_refusal_says_so_in_words_and_in_a_field(open_service: Callable[..., Service]) -> None:
    service = open_service(abstain_below=1.0)
    service.add("a.txt", "The library opens at nine.")
    with connected(service) as client:
        message = ask(client, "What is the capital of Atlantis?").choices[0].message
        streamed = list(ask(client, "What is the capital of Atlantis?", stream=True))
    assert message.abstained
    assert message.reason
    assert message.content.startswith("I cannot answer this from the documents.")
    assert "Nearest: a.txt." in message.content
    assert message.citations == []
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == message.content


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_text_and_a_bound_cut_the_content(client: openai.OpenAI, stream: bool) -> None:
    def said(**more: Any) -> tuple[str, str]:
        made = ask(client, stream=stream, **more)
        if not stream:
            return made.choices[0].message.content, made.choices[0].finish_reason
        chunks = list(made)
        return "".join(c.choices[0].delta.content or "" for c in chunks), chunks[-1].choices[0].finish_reason

    whole, reason = said()
    assert reason == "stop"
    assert said(stop=["serviced", "never said"]) == (whole[: whole.index("serviced")], "stop")
    assert said(stop="no such text") == (whole, "stop")
    assert said(max_tokens=3) == ("The boiler must", "length")
    assert said(max_completion_tokens=1000, max_tokens=500) == (whole, "stop")


@pytest.mark.slow
def test_the_generator_alone(open_service: Callable[..., Service]) -> None:
    generator = ScriptedGenerator({"ping": "one two three STOP four"}, default="nothing")
    service = with_generator(open_service, generator)
    with connected(service) as client:
        made = ask(client, "ping", model="scripted", before=[{"role": "developer", "content": "Be brief."}])
        assert made.choices[0].message.content == "one two three STOP four"
        assert (made.usage.prompt_tokens, made.usage.completion_tokens, made.usage.total_tokens) == (3, 5, 8)
        assert not hasattr(made.choices[0].message, "citations")
        assert ask(client, "ping", model="scripted", stop=" STOP").choices[0].message.content == "one two three"
        cut = ask(client, "ping", model="scripted", max_tokens=2).choices[0]
        assert (cut.message.content, cut.finish_reason) == ("one two", "length")
        chunks = list(ask(client, "ping", model="scripted", stream=True, stream_options={"include_usage": True}))
    contents = [chunk.choices[0].delta.content for chunk in chunks[:-1]]
    assert contents[1:6] == ["one", " two", " three", " STOP", " four"]
    assert chunks[-1].usage.completion_tokens == 5


@pytest.mark.slow
def test_temperature_and_bound_reach_the_generator(open_service: Callable[..., Service]) -> None:
    generator = ScriptedGenerator(default="The boiler must be serviced every twelve months by a licensed engineer.")
    service = with_generator(open_service, generator)
    seen: list[GenerationRequest] = []
    generate = generator.generate
    generator.generate = lambda request, *more: seen.append(request) or generate(request, *more)  # type: ignore
    with connected(service) as client:
        first = ask(client, model="rag-appliance-generative", max_tokens=50, temperature=0.7).choices[0]
        again = ask(client, model="rag-appliance-generative", max_tokens=50, temperature=0.7).choices[0]
        cut = ask(client, model="rag-appliance-generative", max_tokens=4).choices[0]
    assert (seen[0].max_tokens, seen[0].sampling.temperature) == (50, 0.7)
    assert (seen[2].max_tokens, seen[2].sampling) == (4, GREEDY)
    assert first.message.mode == "generative"
    assert not again.message.cache_hit  # what is left to chance is not kept
    assert cut.finish_reason == "length"


@pytest.mark.slow
def test_how_tokens_are_drawn_reaches_the_generator(open_service: Callable[..., Service]) -> None:
    generator = ScriptedGenerator(default="The boiler must be serviced every twelve months by a licensed engineer.")
    service = with_generator(open_service, generator)
    seen: list[GenerationRequest] = []
    generate = generator.generate
    generator.generate = lambda request, *more: seen.append(request) or generate(request, *more)  # type: ignore
    drawn: dict[str, Any] = {"top_p": 0.5, "seed": 7, "presence_penalty": 1, "frequency_penalty": -0.5}
    with connected(service) as client:
        for model in ("scripted", "rag-appliance-generative"):
            ask(client, model=model, temperature=0.7, **drawn)
            assert seen.pop().sampling == Sampling(0.7, 0.5, 7, 1.0, -0.5)
        ask(client, model="scripted", top_p=0.5, seed=7, user="me", n=1)
    assert seen.pop().sampling == GREEDY  # nothing is drawn


@pytest.mark.slow
def test_models(open_service: Callable[..., Service]) -> None:
    service = open_service(generator="scripted")
    with connected(service) as client:
        names = [model.id for model in client.models.list()]
        ways = ["rag-appliance", "rag-appliance-extractive", "rag-appliance-generative"]
        assert names == [*ways, "scripted", "hash"]
        assert client.models.retrieve("scripted").object == "model"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt-4o")
    without = open_service()
    with connected(without) as client:
        assert [model.id for model in client.models.list()] == [*ways[:2], "hash"]


@pytest.mark.slow
def test_no_key_is_needed_where_none_is_asked_for(open_service: Callable[..., Service]) -> None:
    service = open_service(auth="off")
    service.add("a.txt", CORPUS["notes/heating.txt"])
    with connected(service, "anything") as client:
        assert "twelve months" in ask(client).choices[0].message.content


@pytest.mark.slow
@pytest.mark.parametrize("model", ["rag-appliance", "scripted"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_the_work(open_service: Callable[..., Service], model: str, stream: bool) -> None:
    generator = ScriptedGenerator(default="word " * 1000, token_delay_s=0.02)
    service = with_generator(open_service, generator, query_concurrency=1)
    ended: list[str] = []
    begun: list[str] = []
    generate = generator.generate

    def watched(*given: Any) -> Any:
        begun.append("x")
        made = generate(*given)
        ended.append(made.finish_reason)
        return made

    generator.generate = watched  # type: ignore
    gate = Gate(service.appliance)
    body = {"model": model, "messages": [{"role": "user", "content": QUESTION}], "stream": stream, "max_tokens": 900}
    leave_in_the_middle(service, body, lambda: bool(begun) or gate.begun == 1, path="/v1/chat/completions")
    assert until(lambda: ended == ["cancelled"] or gate.cancelled == 1)


@pytest.mark.slow
def test_a_fault_of_the_generator_is_told(open_service: Callable[..., Service]) -> None:
    generator = ScriptedGenerator(default="unused")
    service = with_generator(open_service, generator)

    def breaks(request: GenerationRequest, cancel: CancelToken, on_text: TokenSink | None = None) -> Generated:
        if on_text is not None:
            on_text("begun")
            time.sleep(2 * EARLY_S)
        raise ModelError("The model broke.", code="model_torn")

    generator.generate = breaks  # type: ignore[method-assign]
    with connected(service) as client:
        chunks = ask(client, "go", model="scripted", stream=True)
        assert [next(chunks).choices[0].delta.content for _ in range(2)] == ["", "begun"]
        with pytest.raises(openai.APIError) as caught:
            next(chunks)
        assert caught.value.code == "model_torn"
        with pytest.raises(openai.InternalServerError) as caught:
            ask(client, "go", model="scripted")
    assert (caught.value.type, caught.value.code) == ("server_error", "model_torn")
