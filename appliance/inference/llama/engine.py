"""Continuous batching: all requests at work advance together, step by step, on one thread.

A step computes the next token of every sequence that is writing, in one batch; then the last tokens of prompts and, of
one prompt, whole grains. They are apart because llama.cpp's flash attention has two ways of adding up, one for batches
below 64 tokens and one above, whose logits differ in the first decimals: apart, neighbours do not change the way.

What is common is computed once: a prompt that begins like one that is being computed waits for it and copies its
sequence; else it begins with the state of a finished one. Exact tokens only, each as it would be computed alone.
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
from appliance.telemetry.metrics import GENERATED_TOKENS, GENERATOR_HELD, GENERATOR_REQUESTS
from appliance.types import Generated, Usage


@dataclass(slots=True, eq=False)
class Running:
    """A request in a slot: `computed` tokens of its prompt, or all of them and `written` more; `token` comes next.

    It has `begun` when it has taken what others have computed of its prompt, and computes the rest itself.
    """

    job: Job
    slot: int
    stream: TextStream
    sampler: Any
    begun: bool = False
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

    def has_room(self) -> bool:
        """Whether there is a slot."""
        return bool(self._free)

    def start(self, job: Job) -> None:
        """Give a job a slot."""
        job.began = monotonic()
        stream = TextStream(job.request.stop, job.tell)
        slot = min(self._free)
        self._free.remove(slot)
        self._running.append(Running(job, slot, stream, self.context.sampler(job.request.sampling)))
        GENERATOR_REQUESTS.set(len(self._running))

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
        self._close_gaps()
        self._write_all()
        reading = [running for running in self._running if running.token is None and not self._held_back(running)]
        for running in reading:
            if running.left < GRAIN:
                self._compute([running], running.left)
        long = next((running for running in reading if running.left >= GRAIN), None)
        if long is not None:
            self._compute([long], min(BATCH, long.left // GRAIN * GRAIN))
        self._tell()

    def fail(self, error: Exception) -> None:
        """End all jobs with an error."""
        for running in self._running:
            self.context.free_sampler(running.sampler)
            running.job.end(None, error)
        self._running.clear()
        GENERATOR_REQUESTS.set(0)
        GENERATOR_HELD.set(0)

    def _tell(self) -> None:
        GENERATOR_REQUESTS.set(len(self._running))
        GENERATOR_HELD.set(sum(self.context.held(slot) for slot in range(self._budget.slots)))

    def close(self) -> None:
        """Free the context."""
        self.context.close()

    def _close_gaps(self) -> None:
        """Move sequences to the first slots: those that write are computed together when their slots are in a row."""
        for slot in range(len(self._running) if self._copies else 0):
            if slot in self._free:
                last = max(self._running, key=lambda running: running.slot)
                if last.computed:
                    self.context.copy(last.slot, slot, len(last.job.tokens) + last.written)
                    self.context.forget(last.slot)
                self._free.remove(slot)
                self._free.append(last.slot)
                last.slot = slot

    def _held_back(self, running: Running) -> bool:
        """Take what is known of a prompt; True to wait, because an earlier request is computing more of it."""
        if running.begun or not self._copies:
            return False
        tokens = running.job.tokens
        earlier = self._running[: self._running.index(running)]
        source = max(earlier, key=lambda other: shared(other.job.tokens, tokens), default=running)
        same = 0 if source is running else shared(source.job.tokens, tokens)
        known, data = self.states.best(tokens)
        if same > known and source.computed < same:
            return True
        running.begun = True
        if same > known:
            self.context.copy(source.slot, running.slot, same)
            running.computed = same
        elif data is not None and self.context.restore(running.slot, data):
            self.context.forget(running.slot, known)
            running.computed = known
        return False

    def _write_all(self) -> None:
        """The next token of all that write: a batch for each row of slots."""
        writing = sorted((one for one in self._running if one.token is not None), key=lambda one: one.slot)
        row: list[Running] = []
        for running in writing:
            if row and running.slot != row[-1].slot + 1:
                self._compute(row, 1)
                row = []
            row.append(running)
        self._compute(row, 1)

    def _compute(self, batch: Sequence[Running], size: int) -> None:
        """`size` tokens of each. A batch that was broken off is made anew in the next step."""
        if not batch:
            return
        pieces = [running.piece(size) for running in batch]
        status = self.context.decode(pieces, self._spare.threads())
        if status == NO_ROOM:  # each slot has cells for a whole context, so this is not to be expected
            self._finish(batch[-1], "cancelled", Overloaded("no room for the answer", code="generator_busy"))
        if status != DONE:
            return
        for index, running in enumerate(batch):
            if running.token is None:
                running.computed += size
                self.prefilled += size
            if pieces[index].asks:
                self._write(running, self.context.choose((index + 1) * size - 1, running.sampler))

    def _write(self, running: Running, token: int) -> None:
        if self._model.ends(token) or running.stream.add(self._model.piece(token)):
            self._finish(running, "stop")
            return
        running.job.wrote = running.job.wrote or monotonic()
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
        tokens = running.job.tokens[: running.computed]
        if len(tokens) < GRAIN or not self._copies:
            return
        self.context.forget(running.slot, len(tokens))
        if self.states.lacks(tokens, self.context.state_bytes(running.slot)):
            self.states.keep(tokens, self.context.save(running.slot))
