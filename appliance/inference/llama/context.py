"""A llama.cpp context with several sequences: batches in, tokens out. For one thread, but for `abort`.

What llama.cpp answers with an abort of the process is checked before: tokens a batch, cells, slots, positions.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.errors import InvalidRequest, ModelError
from appliance.inference.llama.budget import BATCH, Budget
from appliance.inference.llama.model import NativeModel, last_errors
from appliance.types import Sampling

SEED = 20_240_601
RANDOM_SEED = 0xFFFFFFFF  # llama.cpp draws one for it; the others are below
TOP_K, TOP_P, MIN_P = 40, 0.95, 0.05  # llama.cpp's own defaults, used above temperature 0

DONE, NO_ROOM, ABORTED = 0, 1, 2  # what llama_decode returns besides errors, which are below 0

Tokens = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens that go to the end of a slot's sequence, which is `start` long; `asks` for the token after them.

    Several go into one batch when each has one token and their slots follow each other: so llama.cpp computes them
    together, and a batch that is broken off has changed nothing.
    """

    slot: int
    start: int
    tokens: Tokens
    asks: bool


class NativeContext:
    """Slots 0 to `budget.slots` - 1 are sequences, each with its own cells.

    With one pool of cells for all, copies of a prefix would cost nothing, but attention would walk over everybody's
    cells: at eight prompts of 500 tokens each step took half as long again, the eighth prompt too.
    """

    def __init__(self, model: NativeModel, budget: Budget) -> None:
        self._api, self._model, self._budget = model.api, model, budget
        self._handle: Any = None
        self._open()
        self._memory = self._api.llama_get_memory(self._handle)
        # llama.cpp asks after every operation of a graph whether to stop. It asks libc's strlen how long `_stop` is: 0,
        # or 1 as soon as `abort` has written a character there. So no compute thread ever waits for Python.
        self._stop = ctypes.create_string_buffer(2)
        asked = ctypes.cast(ctypes.CDLL(None).strlen, self._api.ggml_abort_callback)
        self._api.llama_set_abort_callback(self._handle, asked, ctypes.addressof(self._stop))
        self._tokens, self._places, self._slots, self._ones = (np.ones(BATCH, np.int32) for _ in range(4))
        self._asks = np.zeros(BATCH, np.int8)
        self._batch = self._make_batch()

    def close(self) -> None:
        """Free the context."""
        if self._handle is not None:
            self._api.llama_free(self._handle)
            self._handle = None

    def abort(self) -> None:
        """Let a decode under way return ABORTED within milliseconds, as if it had not begun. From any thread."""
        self._stop[0] = b"\x01"

    def allow(self) -> None:
        """Take back an `abort`."""
        self._stop[0] = b"\x00"

    def decode(self, pieces: Sequence[Piece], threads: int) -> int:
        """Compute the pieces in one batch: DONE, or NO_ROOM or ABORTED with nothing changed.

        Raises InvalidRequest for what does not fit, ModelError when llama.cpp fails: then all sequences are in doubt.
        """
        end = 0
        for piece in pieces:
            begin, end = end, end + len(piece.tokens)
            last = piece.start + len(piece.tokens)
            if not (
                begin < end <= BATCH and last <= self._budget.context_tokens and 0 <= piece.slot < self._budget.slots
            ):
                raise InvalidRequest("the batch does not fit the model's context")  # llama.cpp would abort the process
            self._tokens[begin:end] = piece.tokens
            self._places[begin:end] = np.arange(piece.start, last)
            self._slots[begin:end] = piece.slot
            self._asks[begin:end] = 0
            self._asks[end - 1] = piece.asks
        if end and not 0 <= self._tokens[:end].min() <= self._tokens[:end].max() < self._model.words:
            raise InvalidRequest("a token is not in the model's vocabulary")
        self._batch.n_tokens = end
        self._api.llama_set_n_threads(self._handle, threads, threads)
        status = self._run()
        if status not in (DONE, NO_ROOM, ABORTED):
            message = f"{self._model.name}: llama.cpp failed to decode (status {status})"
            raise ModelError(message, code="generation_failed")
        return status

    def choose(self, index: int, sampler: Any) -> int:
        """The token after the `index`-th token of the last batch: the most likely one, or `sampler`'s."""
        if sampler is not None:
            return int(self._api.llama_sampler_sample(sampler, self._handle, index))
        logits = np.ctypeslib.as_array(self._api.llama_get_logits_ith(self._handle, index), (self._model.words,))
        best = int(logits.argmax())
        if not np.isfinite(logits[best]):
            raise ModelError(f"{self._model.name}: the model computed no number", code="generation_failed")
        return best

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Let `target` begin with the first `tokens` of `source`: some milliseconds, nothing is computed."""
        self.forget(target)
        self.restore(target, self.save(source))
        self.forget(target, tokens)

    def forget(self, slot: int, tokens: int = 0) -> None:
        """Drop all of a sequence but its first `tokens`."""
        if not self._api.llama_memory_seq_rm(self._memory, slot, tokens, -1) and tokens:
            self._api.llama_memory_seq_rm(self._memory, slot, -1, -1)

    def held(self, slot: int) -> int:
        """Tokens that llama.cpp holds of a sequence."""
        return int(self._api.llama_memory_seq_pos_max(self._memory, slot)) + 1

    def state_bytes(self, slot: int) -> int:
        """Size of what `save` gives."""
        return int(self._api.llama_state_seq_get_size(self._handle, slot))

    def save(self, slot: int) -> NDArray[np.uint8]:
        """A sequence as bytes, empty when llama.cpp cannot."""
        data = np.empty(self.state_bytes(slot), np.uint8)
        pointer = data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        written = int(self._api.llama_state_seq_get_data(self._handle, pointer, data.size, slot))
        return data[:written]

    def restore(self, slot: int, data: NDArray[np.uint8]) -> bool:
        """Fill an empty slot with saved bytes; False, and the slot empty, when there is no room."""
        pointer = data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        if self._api.llama_state_seq_set_data(self._handle, pointer, data.size, slot):
            return True
        self.forget(slot)
        return False

    def sampler(self, wanted: Sampling) -> Any:
        """A chain that picks tokens; None where the most likely one is wanted. Free it with free_sampler."""
        api, parts = self._api, list[Any]()
        if wanted.presence_penalty or wanted.frequency_penalty:
            penalties = (wanted.frequency_penalty, wanted.presence_penalty)
            parts.append(api.llama_sampler_init_penalties(self._model.words, self._budget.cells, 1.0, *penalties))
        if wanted.temperature > 0:
            top_p = TOP_P if wanted.top_p is None else wanted.top_p
            seed = SEED if wanted.seed is None else wanted.seed % RANDOM_SEED
            parts += [
                api.llama_sampler_init_top_k(TOP_K),
                api.llama_sampler_init_top_p(top_p, 1),
                api.llama_sampler_init_min_p(MIN_P, 1),
                api.llama_sampler_init_temp(wanted.temperature),
                api.llama_sampler_init_dist(seed),
            ]
        elif parts:
            parts.append(api.llama_sampler_init_greedy())
        else:
            return None
        chain = api.llama_sampler_chain_init(api.llama_sampler_chain_default_params())
        for part in parts:
            api.llama_sampler_chain_add(chain, part)
        return chain

    def free_sampler(self, sampler: Any) -> None:
        if sampler is not None:
            self._api.llama_sampler_free(sampler)

    def _run(self) -> int:
        return int(self._api.llama_decode(self._handle, self._batch))

    def _open(self) -> None:
        budget, api = self._budget, self._api
        parameters = api.llama_context_default_params()
        parameters.n_ctx = budget.slots * budget.cells
        parameters.n_batch = parameters.n_ubatch = BATCH
        parameters.n_seq_max, parameters.kv_unified = budget.slots, False
        parameters.n_threads = parameters.n_threads_batch = budget.threads
        parameters.flash_attn_type = api.LLAMA_FLASH_ATTN_TYPE_ENABLED
        parameters.type_k = parameters.type_v = api.GGML_TYPE_Q8_0 if budget.kv_type == "q8_0" else api.GGML_TYPE_F16
        parameters.no_perf = True
        self._handle = api.llama_init_from_model(self._model.handle, parameters) or None
        if self._handle is None or int(api.llama_n_ctx_seq(self._handle)) < budget.context_tokens:
            self.close()
            reason = last_errors() or "too little memory?"
            hint = "Lower context_tokens or generator_slots, or choose a smaller model."
            raise ModelError(
                f"{self._model.name}: no context of {budget.slots} times {budget.cells} tokens ({reason})", hint=hint
            )

    def _make_batch(self) -> Any:
        """llama.cpp's view of the arrays, which stay where they are."""
        step = self._slots.itemsize
        self._slot_places = (np.arange(BATCH, dtype=np.uint64) * step + self._slots.ctypes.data).astype(np.uint64)
        number, byte = ctypes.POINTER(ctypes.c_int32), ctypes.POINTER(ctypes.c_int8)
        return self._api.llama_batch(
            n_tokens=0,
            token=self._tokens.ctypes.data_as(number),
            embd=None,
            pos=self._places.ctypes.data_as(number),
            n_seq_id=self._ones.ctypes.data_as(number),
            seq_id=self._slot_places.ctypes.data_as(ctypes.POINTER(number)),
            logits=self._asks.ctypes.data_as(byte),
        )
