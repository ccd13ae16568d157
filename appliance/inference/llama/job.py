"""One request on its way through the generator: the caller waits on it, the owner thread writes to it."""

import queue
import threading
import time
from dataclasses import dataclass, field

from appliance.inference.llama.context import Tokens
from appliance.telemetry.tracing import record
from appliance.types import CancelToken, Generated, GenerationRequest, Usage

TELL_EVERY_S = 0.05  # each telling wakes the caller's thread, and what stands behind it


@dataclass(slots=True, eq=False)
class Job:
    """`tokens` is the prompt, `limit` the most tokens to write. `pieces` are text, then None when it has ended."""

    request: GenerationRequest
    cancel: CancelToken
    tokens: Tokens
    limit: int
    pieces: "queue.SimpleQueue[str | None]" = field(default_factory=queue.SimpleQueue)
    ended: threading.Event = field(default_factory=threading.Event)
    result: Generated | None = None
    error: Exception | None = None
    queued: float = field(default_factory=time.monotonic)  # when it was made
    began: float = 0.0  # when it got a slot
    wrote: float = 0.0  # when its first token was there; times in time.monotonic() seconds, 0 for never
    given_up: bool = False
    untold: str = ""
    told_at: float = 0.0

    def stop_reason(self) -> str | None:
        """Why to stop now, if at all."""
        if self.given_up or self.cancel.is_set():
            return "cancelled"
        return "deadline" if time.monotonic() >= self.request.deadline else None

    def give_up(self) -> None:
        """Let it stop: its caller is no longer there."""
        self.given_up = True

    def tell(self, text: str) -> None:
        """Pass on text: the first at once, then not more often than every TELL_EVERY_S."""
        self.untold += text
        now = time.monotonic()
        if now - self.told_at >= TELL_EVERY_S:
            self.told_at = now
            self.pieces.put(self.untold)
            self.untold = ""

    def end(self, result: Generated | None, error: Exception | None = None) -> None:
        """Hand over the outcome; the first one counts."""
        if not self.ended.is_set():
            self.result, self.error = result, error
            self.ended.set()
            if self.untold:
                self.pieces.put(self.untold)
            self.pieces.put(None)


def trace_job(job: Job) -> None:
    """What a request spent its time on in the generator, as spans of the question: waiting, reading, writing."""
    ended = time.monotonic()
    began, wrote = job.began or ended, job.wrote or ended
    usage = job.result.usage if job.result is not None else Usage()
    record("queue", job.queued, began)
    if job.began:
        record("prompt", began, wrote, tokens=len(job.tokens))
    if job.wrote:
        reason = job.result.finish_reason if job.result is not None else None
        record("decode", wrote, ended, tokens=usage.completion_tokens, finish_reason=reason)
