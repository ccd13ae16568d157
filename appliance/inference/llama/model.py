"""One GGUF file opened by llama.cpp: its vocabulary, its chat template, and what its metadata says. It is only read, so
any thread may call it; not while `close` runs.

The high-level `Llama` class is not used: while it loads quietly it points the whole process's standard error at
/dev/null, it decodes a long prompt without a place to stop, and it reads control tokens out of document text.
"""

import ctypes
from collections import deque
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from appliance.errors import InvalidRequest, ModelError
from appliance.inference.llama import kernels
from appliance.inference.llama.budget import Shape

ERROR_LEVEL = 4  # GGML_LOG_LEVEL_ERROR
DEFAULT_CONTEXT = 2_048  # when a file does not say what it was trained for
META_BYTES = 256  # of a value in a file's metadata that is a number


@cache
def _log() -> tuple[deque[str], Any]:
    """llama.cpp's log goes nowhere but here: its last error lines. Installed once; ctypes needs the callback kept."""
    import llama_cpp

    lines: deque[str] = deque(maxlen=4)

    def receive(level: int, text: bytes | None, _data: Any) -> None:
        if level == ERROR_LEVEL and text:
            lines.append(text.decode("utf-8", "replace").strip())

    callback = llama_cpp.llama_log_callback(receive)
    llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))
    return lines, callback


def last_errors() -> str:
    """What llama.cpp complained of last; empty when of nothing."""
    return "; ".join(_log()[0])


class NativeModel:
    """`handle` is llama.cpp's own. `vocab_only` loads no weights: enough to check a file, to tokenise, to plan.

    Raises ModelError for a file that is no model that can write.
    """

    def __init__(self, path: Path, *, vocab_only: bool = False) -> None:
        import llama_cpp

        self.api: Any = llama_cpp
        self.name = path.name
        self.handle: Any = None
        _log()[0].clear()
        kernels.load()
        llama_cpp.llama_backend_init()
        self._load(path, vocab_only)
        self._vocab: Any = llama_cpp.llama_model_get_vocab(self.handle)
        self.words = int(llama_cpp.llama_vocab_n_tokens(self._vocab))
        self._template = self._chat_template()

    def close(self) -> None:
        """Free it. Its contexts must be closed before."""
        if self.handle is not None:
            self.api.llama_model_free(self.handle)
            self.handle = None

    @property
    def shape(self) -> Shape:
        """What the choice of a budget needs to know, read from the file's metadata."""
        heads = self._number("attention.head_count") or 1
        of_head = self._number("attention.key_length") or self._number("embedding_length") // heads
        keys = self._number("attention.head_count_kv") or heads
        return Shape(
            trained_context=self._number("context_length") or DEFAULT_CONTEXT,
            token_numbers=2 * self._number("block_count") * keys * of_head,
            copies=not (self.api.llama_model_is_recurrent(self.handle) or self.api.llama_model_is_hybrid(self.handle)),
        )

    def tokenise(self, text: str, *, control: bool = False) -> list[int]:
        """Token ids; control tokens written out in `text` are read as such only when `control`. Raises nothing."""
        raw = text.encode("utf-8", "replace")
        room = len(raw) + 8
        ids = (self.api.llama_token * room)()
        count = self.api.llama_tokenize(self._vocab, raw, len(raw), ids, room, False, control)
        return list(ids[: max(0, count)])

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Messages through the file's own chat template. Raises InvalidRequest when the template refuses them.

        Contents are set aside while the template is read, so that text such as `<|im_end|>` inside a document
        stays text and cannot close a message.
        """
        marks = [f"\ue000{index}\ue001" for index in range(len(messages))]
        shaped = [{**message, "content": mark} for message, mark in zip(messages, marks, strict=True)]
        try:
            rendered = self._template(messages=shaped).prompt
        except Exception as error:  # jinja2's errors and whatever a template raises on purpose
            raise InvalidRequest(f"the model's chat template refuses these messages: {error}") from error
        ids: list[int] = []
        for mark, message in zip(marks, messages, strict=True):
            before, found, after = rendered.partition(mark)
            if found:
                ids += self.tokenise(before, control=True) + self.tokenise(message["content"])
                rendered = after
        return ids + self.tokenise(rendered, control=True)

    def piece(self, token: int) -> bytes:
        """The bytes of a token: a part of a character at times; nothing for control tokens."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = int(self.api.llama_token_to_piece(self._vocab, token, buffer, size, 0, False))
            if count >= 0:
                return buffer.raw[:count]
            size = -count

    def ends(self, token: int) -> bool:
        """Whether the model says with it that it has finished."""
        return bool(self.api.llama_vocab_is_eog(self._vocab, token))

    def _load(self, path: Path, vocab_only: bool) -> None:
        parameters = self.api.llama_model_default_params()
        parameters.vocab_only = vocab_only
        self.handle = self.api.llama_model_load_from_file(str(path).encode(), parameters) or None
        reason = last_errors().replace(f"{path.parent}/", "") or "llama.cpp gives no reason"
        if self.handle is not None and self.api.llama_model_has_encoder(self.handle):
            self.close()
            reason = "it has an encoder; a chat model has none"
        if self.handle is None:
            hint = "Put the right file in its place; `rag-appliance models verify` checks all of them."
            raise ModelError(f"{self.name}: not a usable GGUF model ({reason})", code="model_foreign", hint=hint)

    def _number(self, key: str) -> int:
        """A number of the metadata under the architecture's name; the largest where layers differ; 0 without one."""
        found = self._metadata(f"{self._metadata('general.architecture')}.{key}")
        numbers = [int(part) for part in found.strip("[]").split(",") if part.strip().isdecimal()]
        return max(numbers, default=0)

    def _metadata(self, key: str) -> str:
        buffer = ctypes.create_string_buffer(META_BYTES)
        size = self.api.llama_model_meta_val_str(self.handle, key.encode(), buffer, META_BYTES)
        return buffer.value.decode("utf-8", "replace") if size >= 0 else ""

    def _chat_template(self) -> Any:
        from llama_cpp.llama_chat_format import Jinja2ChatFormatter

        raw = self.api.llama_model_chat_template(self.handle, None)
        if not raw:
            self.close()
            hint = "Use an instruction-tuned file: its metadata holds tokenizer.chat_template."
            raise ModelError(f"{self.name}: it has no chat template", code="model_foreign", hint=hint)
        bos, eos = (self._token_text(token) for token in self._edge_tokens())
        return Jinja2ChatFormatter(template=raw.decode("utf-8", "replace"), eos_token=eos, bos_token=bos)

    def _edge_tokens(self) -> tuple[int, int]:
        return int(self.api.llama_vocab_bos(self._vocab)), int(self.api.llama_vocab_eos(self._vocab))

    def _token_text(self, token: int) -> str:
        return self.api.llama_vocab_get_text(self._vocab, token).decode("utf-8", "replace") if token >= 0 else ""
