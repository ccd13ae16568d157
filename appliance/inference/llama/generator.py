"""The llama.cpp generator as others see it: callers wait in a fair queue, one owner thread does the work of all."""

import hashlib
import queue
import threading
import time
from pathlib import Path

import numpy as np

from appliance import cgroup
from appliance.errors import InvalidRequest, ModelError
from appliance.inference.llama import kernels, refusals
from appliance.inference.llama.admission import AnswerTime, FairQueue
from appliance.inference.llama.breaker import Breaker
from appliance.inference.llama.budget import BATCH, GRAIN, Budget
from appliance.inference.llama.engine import Engine
from appliance.inference.llama.job import Job, trace_job
from appliance.inference.llama.loading import LazyModel
from appliance.inference.llama.spare_cores import SpareCores
from appliance.priority import lower_priority
from appliance.pulse import IDLE_S, Pulse
from appliance.types import CancelToken, Generated, GenerationRequest, GeneratorState, TokenSink, Usage, Waiting

POLL_S = 0.05  # how often a waiting caller looks at its cancel token, its deadline and its place in the queue
PATIENCE_S = 0.05  # given to the batch under way before it is broken off for a request that must stop
NICE = 5  # of the owner and llama.cpp's threads: searching comes first, what is done in the background (10) after
LOADING_S = 1800.0  # what loading a model of many gigabytes from a slow disk may take


class LlamaGenerator:
    """A GGUF model behind one owner thread. Nothing is loaded before the first use; safe for concurrent callers.

    At temperature 0 the most likely token is taken, and the same prompt gives the same logits: alone, beside others,
    and behind a prefix that was kept (build/llama.sh leaves out the one way of adding up that depends on it).
    """

    def __init__(
        self, gguf: Path, *, sha256: str, threads: int, context_tokens: int, queue_limit: int,
        slots: int = 0, memory_bytes: int = 0, pulse: Pulse | None = None,
    ) -> None:  # fmt: skip
        self._sha256 = sha256
        self._memory_bytes = memory_bytes
        self._pulse = pulse or Pulse("generator")
        self._model = LazyModel(
            gguf, threads=max(1, threads), context_tokens=context_tokens, slots=slots, memory_bytes=memory_bytes
        )
        self._engine: Engine | None = None  # the owner's
        self._condition = threading.Condition()  # guards what follows
        self._queue = FairQueue(max(1, queue_limit))
        self._breaker = Breaker()
        self._answer_time = AnswerTime()
        self._owner: threading.Thread | None = None
        self._closing = False

    @classmethod
    def open(
        cls, gguf: Path, *, sha256: str, threads: int, context_tokens: int, queue_limit: int,
        slots: int = 0, memory_bytes: int = 0, pulse: Pulse | None = None,
    ) -> "LlamaGenerator":  # fmt: skip
        """`sha256`: of the file, as the registry has checked it; `queue_limit`: requests that may wait for a slot;
        `slots` and `memory_bytes`: 0 chooses for the host. Raises ModelError when the file is missing.
        """
        if not gguf.is_file():
            hint = "Bundled models are made by `make models`."
            raise ModelError(f"{gguf.name}: the model file is missing", code="model_missing", hint=hint)
        return cls(
            gguf, sha256=sha256, threads=threads, context_tokens=context_tokens, queue_limit=queue_limit,
            slots=slots, memory_bytes=memory_bytes, pulse=pulse,
        )  # fmt: skip

    @property
    def name(self) -> str:
        return self._model.path.name.removesuffix(".gguf")

    @property
    def fingerprint(self) -> str:
        parts = (self._sha256, *map(str, (self._model.wanted_context, self._memory_bytes, GRAIN, BATCH)))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    @property
    def context_tokens(self) -> int:
        """Prompt and answer together: as asked for, or less once loading has shown that the model knows less."""
        planned = self._model.planned
        return planned.context_tokens if planned else self._model.wanted_context

    @property
    def loaded(self) -> bool:
        return self._model.loaded

    def state(self) -> GeneratorState:
        """What waits, how many it writes at once, and whether it rests. Loads nothing."""
        planned = self._model.planned
        with self._condition:
            waiting, resting_s = len(self._queue), self._breaker.wait_s()
        return GeneratorState(waiting, planned.slots if planned else 0, self.loaded, resting_s)

    @property
    def budget(self) -> Budget:
        """What it takes of the host. Raises ModelError."""
        return self._model.budget

    @property
    def kernels(self) -> str:
        """The processor that llama.cpp's code was chosen for. Raises ModelError."""
        return kernels.load()

    def count_tokens(self, text: str) -> int:
        """Tokens of plain text, without a chat template. Loads the model at the first use.

        Raises ModelError, Overloaded while it rests after failures.
        """
        if self._model.loaded:
            return self._model.count_tokens(text)
        self._refuse_if_resting()
        with self._breaker.watching(self._condition):
            return self._model.count_tokens(text)

    def generate(self, request: GenerationRequest, cancel: CancelToken, on_text: TokenSink | None = None) -> Generated:
        """Write an answer; `on_text` gets its pieces in the caller's thread.

        A cancelled or late request returns what there is, with that `finish_reason`. Raises Overloaded at once when the
        queue is full, its turn would come too late or the model rests after failures, InvalidRequest when the prompt
        leaves no room in the context, ModelError when the model fails.
        """
        if request.max_tokens < 1:
            raise InvalidRequest("max_tokens must be at least 1")
        self._refuse_if_resting()
        with self._breaker.watching(self._condition):
            job = self._job(request, cancel)
        self._enqueue(job)
        try:
            self._follow(job, on_text)
        except BaseException:
            job.give_up()
            raise
        finally:
            trace_job(job)
        if job.error is not None:
            raise job.error
        assert job.result is not None
        return job.result

    def close(self) -> None:
        """Refuse new work, fail what waits, let running requests stop at once, free the model."""
        with self._condition:
            self._closing = True
            waiting = self._queue.clear()
            self._condition.notify_all()
        for job in waiting:
            job.end(None, refusals.closing())
        if self._owner is not None:
            self._interrupt()
            self._owner.join()
        self._pulse.end()
        self._unload()

    def _job(self, request: GenerationRequest, cancel: CancelToken) -> Job:
        tokens = np.array(self._model.prompt(request.messages), np.int32)
        room = self.context_tokens - len(tokens)
        if room < 1 or not len(tokens):
            raise refusals.too_long(len(tokens), self.context_tokens)
        return Job(request, cancel, tokens, min(room, request.max_tokens))

    def _refuse_if_resting(self) -> None:
        with self._condition:
            wait_s = self._breaker.wait_s()
        if wait_s:
            raise refusals.resting(wait_s)

    def _enqueue(self, job: Job) -> None:
        with self._condition:
            if self._closing:
                raise refusals.closing()
            wait_s = self._expected_s(len(self._queue))
            refused = (
                job if time.monotonic() + wait_s > job.request.deadline > time.monotonic() else self._queue.add(job)
            )
            waiting = len(self._queue)
            if self._owner is None:
                self._owner = threading.Thread(target=self._own, name="generator", daemon=True)
                self._owner.start()
            self._condition.notify()
        if refused is not None:
            refused.end(None, refusals.busy(waiting, wait_s))

    def _follow(self, job: Job, on_text: TokenSink | None) -> None:
        """Pass on the pieces until the job has ended; see to it that it does when it must."""
        position = -1
        stopping_since = 0.0
        while True:
            try:
                piece = job.pieces.get(timeout=POLL_S)
            except queue.Empty:
                position = self._tell_position(job, position)
                if reason := job.stop_reason():
                    stopping_since = stopping_since or time.monotonic()
                    self._stop(job, reason, stopping_since)
                continue
            if piece is None:
                return
            if on_text is not None:
                on_text(piece)

    def _tell_position(self, job: Job, told: int) -> int:
        on_wait = job.request.on_wait
        if on_wait is None:
            return told
        with self._condition:
            position = self._queue.position(job)
            expected_s = self._expected_s(position)
        if position >= 0 and position != told:
            on_wait(Waiting(position, round(expected_s, 1)))
        return position

    def _stop(self, job: Job, reason: str, since: float) -> None:
        """Take a job out of the queue; a running one ends with the batch under way, which is not waited for long."""
        with self._condition:
            waited = self._queue.remove(job)
        if waited:
            job.end(Generated("", Usage(), reason))
        elif time.monotonic() - since >= PATIENCE_S:
            self._interrupt()

    def _expected_s(self, ahead: int) -> float:
        """Seconds until the turn of a job that has so many before it, by the answers so far. Under the lock."""
        planned, at_work = self._model.planned, len(self._at_work())
        return self._answer_time.until_turn_s(ahead, at_work, planned.slots if planned else 1)

    def _interrupt(self) -> None:
        engine = self._engine
        if engine is not None:
            engine.interrupt()

    def _own(self) -> None:
        """The owner thread: one step after another while there is work, until close()."""
        lower_priority(NICE)
        while True:
            self._pulse.beat()
            with self._condition:
                self._condition.wait_for(lambda: self._closing or len(self._queue) or self._at_work(), IDLE_S)
                closing, idle = self._closing, not (len(self._queue) or self._at_work())
            if idle and not closing:
                continue
            if closing and not self._at_work():
                return
            try:
                self._step(closing)
            except Exception as error:  # noqa: BLE001 - raised again in the callers' threads
                self._failed(error)

    def _at_work(self) -> list[Job]:
        return self._engine.jobs if self._engine else []

    def _step(self, closing: bool) -> None:
        if self._engine is None:
            self._pulse.beat(within_s=LOADING_S)
            spare = SpareCores(self._model.threads, cgroup.cores())
            self._engine = Engine(self._model.native(), self._model.budget, spare)
        engine = self._engine
        with self._condition:
            while len(self._queue) and engine.has_room() and not closing:
                engine.start(self._queue.take())
        jobs = engine.jobs
        engine.step(closing)
        for job in jobs:
            if job.ended.is_set() and job.result is not None:
                self._worked(job, len(jobs))

    def _worked(self, job: Job, at_work: int) -> None:
        took = time.monotonic() - job.began
        with self._condition:
            self._breaker.worked()
            if job.result is not None and job.result.finish_reason != "cancelled":
                self._answer_time.took(took, at_work)

    def _failed(self, error: Exception) -> None:
        """End what was at work, or the first that asked for a model that cannot be loaded; the next loads it afresh."""
        with self._condition:
            self._breaker.failed()
            ended = [self._queue.take()] if self._engine is None and len(self._queue) else []
            wait_s = self._breaker.wait_s()
            resting = self._queue.clear() if wait_s else []
        if self._engine is not None:
            self._engine.fail(error)
        for job in ended:
            job.end(None, error)
        for job in resting:
            job.end(None, refusals.resting(wait_s))
        self._unload()

    def _unload(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        self._model.unload()
