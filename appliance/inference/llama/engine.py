"""Continuous batching: all requests at work advance together, one batch after another, on one thread.

A step has two batches at most. The first holds the next token of every sequence that is writing and the last tokens of
prompts, fewer than GRAIN in all; the second whole grains of prompts. They are apart because llama.cpp's flash attention
has two ways of adding up, one for batches below 64 tokens and one above, whose logits differ in the first decimals.

What is common is computed once: a prompt that begins like one that is being computed waits for it and copies its
sequence; else it begins with the state of a finished one. Exact tokens only, in whole grains.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

import numpy as np

from appliance.errors import Overloaded
from appliance.inference.llama.budget import BATCH, GRAIN, Budget
from appliance.inference.llama.context import DONE, NO_ROOM, NativeContext, Piece, Tokens
from appliance.inference.llama.job import Job
from appliance.inference.llama.model import NativeModel
from appliance.inference.llama.spare_cores import SpareCores
from appliance.inference.llama.states import PrefixStates, shared
from appliance.inference.text_stream import TextStream
from appliance.telemetry.metrics import GENERATED_TOKENS
from appliance.types import Generated, Usage

LOOKS = 4  # at the host's load before a chunk of a prompt, which takes much longer than a token


@dataclass(slots=True, eq=False)
class Running:
    """A request in a slot: `computed` tokens of its prompt, or all of them and `written` more; `token` comes next."""

    job: Job
    slot: int
    stream: TextStream
    sampler: Any
    computed: int = 0
    written: int = 0
    token: int | None = None

    @property
    def left(self) -> int:
        """Tokens of the prompt that are not computed yet."""
        return len(self.job.tokens) - self.computed

    def piece(self, size: int) -> Piece:
        """The next `size` tokens: of the prompt, or the one written last."""
        if self.token is not None:
            start = len(self.job.tokens) + self.written - 1
            return Piece(self.slot, start, np.array([self.token], np.int32), asks=True)
        tokens: Tokens = self.job.tokens[self.computed : self.computed + size]
        return Piece(self.slot, self.computed, tokens, asks=size == self.left)


class Engine:
    """Sequences over one context. For one thread, but for `interrupt`. `prefilled` counts prompt tokens computed."""

    def __init__(self, model: NativeModel, budget: Budget, spare: SpareCores) -> None:
        self._model, self._budget, self._spare = model, budget, spare
        self._copies = model.shape.copies
        self.context = NativeContext(model, budget)
        self.states = PrefixStates(budget.state_bytes if self._copies else 0)
        self._running: list[Running] = []
        self._free = list(range(budget.slots))
        self.prefilled = 0

    @property
    def jobs(self) -> list[Job]:
        """At work, in the order in which they began."""
        return [running.job for running in self._running]

    def room_for(self, job: Job) -> bool:
        """Whether there is a slot, and cells even if nothing of it were shared."""
        taken = sum(running.job.cells for running in self._running)
        return bool(self._free) and taken + job.cells <= self._budget.cells

    def start(self, job: Job) -> None:
        """Give a job a slot and what is kept of its prompt."""
        job.began = monotonic()
        stream = TextStream(job.request.stop, job.pieces.put)
        running = Running(job, self._free.pop(0), stream, self.context.sampler(job.request.temperature))
        self._running.append(running)
        known, data = self.states.best(job.tokens)
        being_computed = max((shared(one.tokens, job.tokens) for one in self.jobs[:-1]), default=0)
        if data is not None and known > being_computed and self.context.restore(running.slot, data):
            self.context.forget(running.slot, known)
            running.computed = known

    def interrupt(self) -> None:
        """End the batch under way without its results, so that what must stop can stop. From any thread."""
        if self._copies:  # a recurrent state could not be set back
            self.context.abort()

    def step(self, closing: bool) -> None:
        """Stop what must stop, then compute the next tokens of the rest. Raises ModelError: nothing is left then."""
        self.context.allow()
        for running in list(self._running):
            reason = "cancelled" if closing else running.job.stop_reason()
            if reason:
                self._finish(running, reason)
        waiting = [running for running in self._running if running.token is None and not self._held_back(running)]
        short = [(running, 1) for running in self._running if running.token is not None]
        room = GRAIN - 1 - len(short)
        for running in waiting:
            if running.left < GRAIN and running.left <= room:
                short.append((running, running.left))
                room -= running.left
        long, room = [], BATCH
        for running in waiting:
            if running.left >= GRAIN and room:
                size = min(room, running.left // GRAIN * GRAIN)
                long.append((running, size))
                room -= size
        self._compute(short, looks=1)
        self._compute(long, looks=LOOKS)

    def fail(self, error: Exception) -> None:
        """End all jobs with an error."""
        for running in self._running:
            self.context.free_sampler(running.sampler)
            running.job.end(None, error)
        self._running.clear()

    def close(self) -> None:
        """Free the context."""
        self.context.close()

    def _held_back(self, running: Running) -> bool:
        """Take what an earlier sequence has computed of the same prompt; True to wait for more of it."""
        if not self._copies:
            return False
        for other in self._running:
            if other is running:
                return False
            same = shared(other.job.tokens, running.job.tokens)
            ready = min(same, other.computed // GRAIN * GRAIN)
            if ready > running.computed:
                self.context.forget(running.slot)
                self.context.copy(other.slot, running.slot, ready)
                running.computed = ready
            if same > max(ready, running.computed):
                return True
        return False

    def _compute(self, batch: Sequence[tuple[Running, int]], *, looks: int) -> None:
        batch = [(running, size) for running, size in batch if running in self._running]
        if not batch:
            return
        pieces = [running.piece(size) for running, size in batch]
        status = self.context.decode(pieces, self._spare.threads(looks=looks))
        if status == NO_ROOM:  # the cells of each were counted before, so this is not to be expected
            newest = batch[-1][0]
            self._finish(newest, "cancelled", Overloaded("no room for the answer", code="generator_busy"))
        if status != DONE:
            return
        end = 0
        for (running, size), piece in zip(batch, pieces, strict=True):
            end += len(piece.tokens)
            if running.token is None:
                running.computed += size
                self.prefilled += size
            if piece.asks:
                self._write(running, self.context.choose(end - 1, running.sampler))

    def _write(self, running: Running, token: int) -> None:
        if self._model.ends(token) or running.stream.add(self._model.piece(token)):
            self._finish(running, "stop")
            return
        running.token = token
        running.written += 1
        if running.written == running.job.limit:
            self._finish(running, "length")

    def _finish(self, running: Running, reason: str, error: Exception | None = None) -> None:
        """Free the slot, keep the prompt's state, hand over the outcome."""
        self._running.remove(running)
        self._keep(running)
        self.context.forget(running.slot)
        self._free.append(running.slot)
        self.context.free_sampler(running.sampler)
        GENERATED_TOKENS.inc(running.written)
        usage = Usage(running.computed, running.written)
        running.job.end(None if error else Generated(running.stream.finish(), usage, reason), error)

    def _keep(self, running: Running) -> None:
        size = running.computed // GRAIN * GRAIN
        if not (size and self._copies):
            return
        tokens = running.job.tokens[:size]
        self.context.forget(running.slot, size)
        if self.states.lacks(tokens, self.context.state_bytes(running.slot)):
            self.states.keep(tokens, self.context.save(running.slot))
