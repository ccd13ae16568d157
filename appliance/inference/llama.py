"""The llama.cpp generator: one thread owns the model, a bounded queue leads to it."""

import hashlib
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from appliance.errors import ApplianceError, InvalidRequest, ModelError, Overloaded
from appliance.inference.llama_native import CHUNK, NativeModel
from appliance.inference.spare_cores import SpareCores
from appliance.inference.text_stream import TextStream
from appliance.telemetry.metrics import GENERATED_TOKENS
from appliance.types import CancelToken, Generated, GenerationRequest, TokenSink, Usage

POLL_S = 0.05  # how often a waiting caller looks at its cancel token and deadline
LOOKS = 4  # at the host's load before a chunk of the prompt, which takes much longer than a token


@dataclass(slots=True, eq=False)
class _Job:
    """One request on its way: set `done` when `result` or `error` is there."""

    request: GenerationRequest
    cancel: CancelToken
    on_text: TokenSink | None
    done: threading.Event = field(default_factory=threading.Event)
    result: Generated | None = None
    error: Exception | None = None

    def stop_reason(self) -> str | None:
        """Why to stop now, if at all: checked before every chunk of the prompt and every token."""
        if self.cancel.is_set():
            return "cancelled"
        return "deadline" if time.monotonic() >= self.request.deadline else None


class LlamaGenerator:
    """A GGUF model behind one owner thread. Nothing is loaded before the first use; safe for concurrent callers.

    It computes with at most `threads`, fewer while other programs keep the cores busy. Where two words are about
    equally likely, the number of threads may decide between them: only with one is every answer reproducible.
    """

    def __init__(self, gguf: Path, *, sha256: str, threads: int, context_tokens: int, queue_limit: int) -> None:
        self._path = gguf
        self._sha256 = sha256
        self._threads = max(1, threads)
        self._spare = SpareCores(self._threads)
        self._wanted_context = context_tokens
        self._queue_limit = max(1, queue_limit)
        self._native: NativeModel | None = None
        self._load_lock = threading.Lock()
        self._condition = threading.Condition()
        self._waiting: deque[_Job] = deque()
        self._owner: threading.Thread | None = None
        self._closing = False

    @classmethod
    def open(cls, gguf: Path, *, sha256: str, threads: int, context_tokens: int, queue_limit: int) -> "LlamaGenerator":
        """`sha256`: of the file, as the registry has checked it; `queue_limit`: requests that may wait behind the
        running one. Raises ModelError when the file is missing.
        """
        if not gguf.is_file():
            hint = "Bundled models are made by `make models`."
            raise ModelError(f"{gguf.name}: the model file is missing", code="model_missing", hint=hint)
        return cls(gguf, sha256=sha256, threads=threads, context_tokens=context_tokens, queue_limit=queue_limit)

    @property
    def name(self) -> str:
        return self._path.name.removesuffix(".gguf")

    @property
    def fingerprint(self) -> str:
        parts = (self._sha256, str(self._wanted_context), str(CHUNK))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    @property
    def context_tokens(self) -> int:
        """Prompt and answer together: as asked for, or less once loading has shown that the model knows less."""
        native = self._native
        return native.context_tokens if native else self._wanted_context

    @property
    def loaded(self) -> bool:
        return self._native is not None

    def count_tokens(self, text: str) -> int:
        """Tokens of plain text, without a chat template. Loads the model at the first use."""
        return len(self._load().tokenise(text))

    def generate(self, request: GenerationRequest, cancel: CancelToken, on_text: TokenSink | None = None) -> Generated:
        """Write an answer; `on_text` gets its pieces on the owner thread.

        A cancelled or late request returns what there is, with that `finish_reason`. Raises Overloaded at once when the
        queue is full, InvalidRequest when the prompt leaves no room in the context, ModelError when the model fails.
        """
        if request.max_tokens < 1:
            raise InvalidRequest("max_tokens must be at least 1")
        job = _Job(request, cancel, on_text)
        self._enqueue(job)
        while not job.done.wait(POLL_S):
            reason = job.stop_reason()
            if reason and self._withdraw(job):
                return Generated("", Usage(), reason)
        if job.error is not None:
            raise job.error
        assert job.result is not None
        return job.result

    def close(self) -> None:
        """Refuse new work, fail what waits, let the running request stop at its next token, free the model."""
        with self._condition:
            self._closing = True
            waiting = list(self._waiting)
            self._waiting.clear()
            self._condition.notify_all()
        for job in waiting:
            job.error = Overloaded("the generator is closing", code="closing")
            job.done.set()
        if self._owner is not None:
            self._owner.join()
        with self._load_lock:
            self._unload()

    def _enqueue(self, job: _Job) -> None:
        with self._condition:
            if self._closing:
                raise Overloaded("the generator is closing", code="closing")
            if len(self._waiting) >= self._queue_limit:
                raise Overloaded(f"{self._queue_limit} requests already wait for the generator", code="generator_busy")
            self._waiting.append(job)
            if self._owner is None:
                self._owner = threading.Thread(target=self._own, name="generator", daemon=True)
                self._owner.start()
            self._condition.notify()

    def _withdraw(self, job: _Job) -> bool:
        """Take a job out of the queue; False when it is running (then the owner stops it) or done."""
        with self._condition:
            if job in self._waiting:
                self._waiting.remove(job)
                return True
            return False

    def _own(self) -> None:
        """The owner thread: one job after another until close()."""
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._waiting or self._closing)
                if self._closing:
                    return
                job = self._waiting.popleft()
            try:
                job.result = self._run(job)
            except Exception as error:  # noqa: BLE001 - raised again in the caller's thread
                job.error = error
            job.done.set()

    def _load(self) -> NativeModel:
        with self._load_lock:
            if self._native is None:
                self._native = NativeModel(self._path, threads=self._threads, context_tokens=self._wanted_context)
            return self._native

    def _unload(self) -> None:
        if self._native is not None:
            self._native.close()
            self._native = None

    def _run(self, job: _Job) -> Generated:
        native = self._load()
        tokens = native.prompt(job.request.messages)
        room = native.context_tokens - len(tokens)
        if room < 1:
            raise InvalidRequest(
                f"the prompt has {len(tokens)} tokens, the model's context {native.context_tokens}",
                code="prompt_too_long",
                hint="Send fewer or shorter passages.",
            )
        try:
            return self._write(native, job, tokens, min(room, job.request.max_tokens))
        except ApplianceError:
            with self._load_lock:
                self._unload()  # its state is in doubt: the next request loads it afresh
            raise

    def _write(self, native: NativeModel, job: _Job, tokens: list[int], limit: int) -> Generated:
        """Prompt in chunks, then token by token; stops for the reasons of `Generated.finish_reason`."""
        done = native.keep_prefix(tokens)
        while done < len(tokens):
            if reason := self._stop_reason(job):
                return Generated("", Usage(done, 0), reason)
            native.set_threads(self._spare.threads(looks=LOOKS))
            native.decode(tokens[done : done + CHUNK])
            done += CHUNK
        stream = TextStream(job.request.stop, job.on_text)
        sampler = native.sampler(job.request.temperature)
        written, reason = 0, "length"
        try:
            while written < limit:
                if stopped := self._stop_reason(job):
                    reason = stopped
                    break
                token = native.sample(sampler)
                native.set_threads(self._spare.threads())
                if token is None or stream.add(native.piece(token)):
                    reason = "stop"
                    break
                written += 1
                if written < limit:
                    native.decode([token])
        finally:
            native.free_sampler(sampler)
            GENERATED_TOKENS.inc(written)
        return Generated(stream.finish(), Usage(len(tokens), written), reason)

    def _stop_reason(self, job: _Job) -> str | None:
        return "cancelled" if self._closing else job.stop_reason()
