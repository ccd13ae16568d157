"""Requests for the real generator, sent one by one or at once."""

import threading
import time
from collections.abc import Callable, Sequence

from appliance.inference.llama import LlamaGenerator
from appliance.inference.llama.engine import Engine
from appliance.types import Generated, GenerationRequest

NEVER = threading.Event()
SHA256 = "0" * 64
PASSAGES = "".join(
    f"Pump {number} keeps its pressure between {number} and {number + 4} bar; valve V-{100 + number} closes when it "
    "falls. " for number in range(1, 6)
)  # fmt: skip


def ask(text: str, max_tokens: int = 6, seconds: float = 120, **more: object) -> GenerationRequest:
    messages = ({"role": "system", "content": "Answer from the passages."}, {"role": "user", "content": text})
    return GenerationRequest(messages, max_tokens, time.monotonic() + seconds, **more)  # type: ignore[arg-type]


def about(pump: int, max_tokens: int = 8, **more: object) -> GenerationRequest:
    """A question behind the same passages as all others."""
    return ask(f"{PASSAGES}\n\nQuestion: what does pump {pump} do?", max_tokens, **more)  # type: ignore[arg-type]


def together(generator: LlamaGenerator, requests: Sequence[GenerationRequest]) -> list[Generated | Exception]:
    """The outcomes of requests that are sent at the same time."""
    outcomes: list[Generated | Exception] = [RuntimeError("nothing came")] * len(requests)

    def send(index: int) -> None:
        try:
            outcomes[index] = generator.generate(requests[index], NEVER)
        except Exception as error:  # noqa: BLE001 - an outcome, too
            outcomes[index] = error

    threads = [threading.Thread(target=send, args=(index,)) for index in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(200)
    return outcomes


def engine_of(generator: LlamaGenerator) -> Engine:
    """The engine of a generator that has been used."""
    assert generator._engine is not None
    return generator._engine


def all_free(generator: LlamaGenerator) -> bool:
    """Whether no slot is taken and llama.cpp holds no cell."""
    engine = engine_of(generator)
    held = [engine.context.held(slot) for slot in range(generator.budget.slots)]
    return not engine.jobs and not any(held) and sorted(engine._free) == list(range(generator.budget.slots))


def soon(seen: Callable[[], bool]) -> bool:
    """Whether it comes to be so within seconds."""
    end = time.monotonic() + 10
    while not seen() and time.monotonic() < end:
        time.sleep(0.01)
    return seen()
