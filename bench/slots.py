"""What can only be seen inside the process: how soon a cancelled request frees its slot, and whether texts repeat."""

import statistics
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from appliance.config import Settings
from appliance.inference.llama import LlamaGenerator
from appliance.types import GenerationRequest

TRIES = 5
TEXT_TOKENS = 24
WORDS = "pump valve boiler gauge pipe meter crane pressure seal"


def opened(model: Path, settings: Settings, threads: int | None = None) -> LlamaGenerator:
    return LlamaGenerator.open(
        model, sha256="", threads=threads or settings.threads, context_tokens=settings.context_tokens,
        queue_limit=settings.generator_queue,
    )  # fmt: skip


def request(text: str, max_tokens: int) -> GenerationRequest:
    messages = ({"role": "system", "content": "Answer from the passages."}, {"role": "user", "content": text})
    return GenerationRequest(messages, max_tokens, time.monotonic() + 300)


def cancelling(model: Path, settings: Settings) -> dict[str, float]:
    """Milliseconds from a cancel to a free slot, median and worst: while a prompt is read, and while writing."""
    generator = opened(model, settings)
    generator.generate(request("Say yes.", 2), threading.Event())
    reading = [_cancelled(generator, f"{number} {WORDS} " * 120, 0.15 + 0.02 * number) for number in range(TRIES)]
    writing = [_cancelled(generator, f"Tell story {number}.", 0.4 + 0.02 * number) for number in range(TRIES)]
    generator.close()
    return {
        "cancel to free slot while a prompt is read (median)": statistics.median(reading),
        "cancel to free slot while a prompt is read (worst)": max(reading),
        "cancel to free slot while writing (median)": statistics.median(writing),
        "cancel to free slot while writing (worst)": max(writing),
    }


def _cancelled(generator: LlamaGenerator, text: str, after_s: float) -> float:
    cancel, at = threading.Event(), [0.0]

    def leave() -> None:
        at[0] = time.perf_counter()
        cancel.set()

    timer = threading.Timer(after_s, leave)
    timer.start()
    generator.generate(request(text, 900), cancel)
    ended = time.perf_counter()
    timer.cancel()
    return (ended - at[0]) * 1000 if at[0] else 0.0


def same_text(model: Path, settings: Settings, prompts: Sequence[str], threads: int) -> float:
    """The share of prompts whose greedy text beside all others is that of each alone."""
    generator = opened(model, settings, threads)
    alone = [generator.generate(request(prompt, TEXT_TOKENS), threading.Event()).text for prompt in prompts]
    together: dict[int, str] = {}

    def send(index: int) -> None:
        together[index] = generator.generate(request(prompts[index], TEXT_TOKENS), threading.Event()).text

    workers = [threading.Thread(target=send, args=(index,)) for index in range(len(prompts))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    generator.close()
    return statistics.mean(together.get(index) == text for index, text in enumerate(alone))
