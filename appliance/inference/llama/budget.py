"""How much of the host the generator takes: threads, answers at once, cells of keys and values, memory for prefixes.

One plan from one budget of processor and memory, chosen when a model is opened and shown by `doctor`.
"""

from dataclasses import dataclass

GRAIN = 64  # tokens of a prompt that are computed and shared together: llama.cpp's flash attention works in such tiles
BATCH = 4 * GRAIN  # tokens of prompts a step: a tenth faster than half of it; more holds up who is already writing
CELL_STEP = 256  # llama.cpp rounds up to a multiple of it
MOST_SLOTS = 16
SLOTS_A_THREAD = 4
MEMORY_SHARE = 8  # by default an eighth of the host's memory may hold keys and values
F16_BYTES = 2.0
Q8_0_BYTES = 34 / 32  # 32 numbers and their scale
MOST_STATE_BYTES = 256 * 1024**2  # twenty prompts of 500 tokens with the bundled model


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a model: the context it was trained for, and `token_numbers`, the numbers it keeps of one token.

    `copies` is False where a sequence cannot be copied up to a place: such states are not shared.
    """

    trained_context: int
    token_numbers: int
    copies: bool = True


@dataclass(frozen=True, slots=True)
class Budget:
    """What was chosen. `context_tokens` are those of one request, prompt and answer; a slot has `cells` for them."""

    threads: int
    slots: int
    context_tokens: int
    cells: int
    kv_type: str  # f16 | q8_0
    kv_bytes: int
    state_bytes: int

    def __str__(self) -> str:
        kv, states = self.kv_bytes / 1024**2, self.state_bytes / 1024**2
        return (
            f"{self.slots} answers at once, {self.threads} thread(s), context {self.context_tokens} tokens, "
            f"keys and values {self.kv_type} ({kv:.0f} MiB), up to {states:.0f} MiB of prefixes"
        )


def choose(shape: Shape, *, threads: int, context_tokens: int, slots: int, memory_bytes: int) -> Budget:
    """The plan for a model; with `slots` 0 by threads. `memory_bytes` are for keys, values and kept prefixes together.

    Half of the memory is for answers at work, each with cells for a whole context. Where that is too much, keys and
    values are kept as q8_0; then there are fewer slots. One there is always.
    """
    slots = slots or min(MOST_SLOTS, SLOTS_A_THREAD * threads)
    context = min(context_tokens, shape.trained_context)
    cells = -(-context // CELL_STEP) * CELL_STEP
    half, numbers = memory_bytes // 2, max(1, cells * shape.token_numbers)
    size, kv_type = (F16_BYTES, "f16") if slots * numbers * F16_BYTES <= half else (Q8_0_BYTES, "q8_0")
    slots = max(1, min(slots, int(half / (numbers * size))))
    kv_bytes = int(slots * numbers * size)
    states = max(0, min(MOST_STATE_BYTES, memory_bytes - kv_bytes))
    return Budget(threads, slots, context, cells, kv_type, kv_bytes, states)
