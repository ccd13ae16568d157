"""One llama.cpp model with one context, over the C interface: load, tokenise, decode, sample. Not thread-safe but for
`tokenise`, which only reads.

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

CHUNK = 256  # prompt tokens a decode call; also the grain at which a repeated prefix is kept
SEED = 20_240_601
TOP_K, TOP_P, MIN_P = 40, 0.95, 0.05  # llama.cpp's own defaults, used above temperature 0
ERROR_LEVEL = 4  # GGML_LOG_LEVEL_ERROR
DEFAULT_CONTEXT = 2_048  # when a file does not say what it was trained for


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


class NativeModel:
    """A GGUF file opened by llama.cpp. `vocab_only` loads no weights: enough to check a file and to tokenise."""

    def __init__(self, path: Path, *, threads: int = 1, context_tokens: int = 512, vocab_only: bool = False) -> None:
        import llama_cpp

        self._api: Any = llama_cpp
        self._name = path.name
        self._model: Any = None
        self._context: Any = None
        self._held: list[int] = []  # tokens whose keys and values the context holds
        self._held_whole = 0  # how many of them were decoded in whole chunks
        self._errors = _log()[0]
        self._errors.clear()
        llama_cpp.llama_backend_init()
        self._load(path, vocab_only)
        self._vocab: Any = llama_cpp.llama_model_get_vocab(self._model)
        trained = int(llama_cpp.llama_model_n_ctx_train(self._model)) or DEFAULT_CONTEXT
        self.context_tokens = min(context_tokens, trained)
        self._template = self._chat_template()
        if not vocab_only:
            self._open_context(threads)

    def close(self) -> None:
        """Free the context and the model."""
        if self._context is not None:
            self._api.llama_free(self._context)
            self._context = None
        if self._model is not None:
            self._api.llama_model_free(self._model)
            self._model = None

    def tokenise(self, text: str, *, control: bool = False) -> list[int]:
        """Token ids; control tokens written out in `text` are read as such only when `control`. Raises nothing."""
        raw = text.encode("utf-8", "replace")
        room = len(raw) + 8
        ids = (self._api.llama_token * room)()
        count = self._api.llama_tokenize(self._vocab, raw, len(raw), ids, room, False, control)
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

    def keep_prefix(self, tokens: Sequence[int]) -> int:
        """Forget what differs from `tokens`; -> how many leading tokens need not be decoded again.

        Whole chunks only, never the last token: the rest is then decoded in the same pieces as on a fresh context,
        so a repeated prompt gives the same logits to the last bit.
        """
        common = 0
        for held, token in zip(self._held, tokens[:-1], strict=False):
            if held != token:
                break
            common += 1
        kept = min(common, self._held_whole) // CHUNK * CHUNK
        memory = self._api.llama_get_memory(self._context)
        if kept == 0 or not self._api.llama_memory_seq_rm(memory, 0, kept, -1):
            self._api.llama_memory_clear(memory, True)
            kept = 0
        del self._held[kept:]
        self._held_whole = kept
        return kept

    def decode(self, tokens: Sequence[int]) -> None:
        """Append at most CHUNK tokens to the context. Raises ModelError when llama.cpp cannot."""
        if not 0 < len(tokens) <= CHUNK or len(self._held) + len(tokens) > self.context_tokens:
            raise InvalidRequest("the prompt does not fit the model's context")  # llama.cpp would abort the process
        ids = (self._api.llama_token * len(tokens))(*tokens)
        status = self._api.llama_decode(self._context, self._api.llama_batch_get_one(ids, len(tokens)))
        if status != 0:
            raise ModelError(f"{self._name}: llama.cpp failed to decode (status {status})", code="generation_failed")
        if len(tokens) == CHUNK and self._held_whole == len(self._held):
            self._held_whole += CHUNK
        self._held += tokens

    def set_threads(self, threads: int) -> None:
        """Threads of the next decode. For a single token behind 512 others flash attention adds up in another order for
        every number of threads, so the logits differ a little; those of a prompt do not.
        """
        self._api.llama_set_n_threads(self._context, threads, threads)

    def sampler(self, temperature: float) -> Any:
        """A chain that picks tokens: the most likely one at temperature 0. Free it with free_sampler."""
        api = self._api
        chain = api.llama_sampler_chain_init(api.llama_sampler_chain_default_params())
        if temperature <= 0:
            api.llama_sampler_chain_add(chain, api.llama_sampler_init_greedy())
            return chain
        for part in (
            api.llama_sampler_init_top_k(TOP_K),
            api.llama_sampler_init_top_p(TOP_P, 1),
            api.llama_sampler_init_min_p(MIN_P, 1),
            api.llama_sampler_init_temp(temperature),
            api.llama_sampler_init_dist(SEED),
        ):
            api.llama_sampler_chain_add(chain, part)
        return chain

    def free_sampler(self, sampler: Any) -> None:
        self._api.llama_sampler_free(sampler)

    def sample(self, sampler: Any) -> int | None:
        """The next token after the last decode, None when the model has finished."""
        token = int(self._api.llama_sampler_sample(sampler, self._context, -1))
        return None if self._api.llama_vocab_is_eog(self._vocab, token) else token

    def piece(self, token: int) -> bytes:
        """The bytes of a token: a part of a character at times; nothing for control tokens."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = int(self._api.llama_token_to_piece(self._vocab, token, buffer, size, 0, False))
            if count >= 0:
                return buffer.raw[:count]
            size = -count

    def _load(self, path: Path, vocab_only: bool) -> None:
        parameters = self._api.llama_model_default_params()
        parameters.vocab_only = vocab_only
        self._model = self._api.llama_model_load_from_file(str(path).encode(), parameters)
        if not self._model:
            self._model = None
            reason = "; ".join(self._errors).replace(f"{path.parent}/", "") or "llama.cpp gives no reason"
            hint = "Put the right file in its place; `rag-appliance models verify` checks all of them."
            raise ModelError(f"{self._name}: not a usable GGUF model ({reason})", code="model_foreign", hint=hint)

    def _open_context(self, threads: int) -> None:
        parameters = self._api.llama_context_default_params()
        parameters.n_ctx = self.context_tokens
        parameters.n_batch = parameters.n_ubatch = CHUNK
        parameters.n_threads = parameters.n_threads_batch = threads
        parameters.flash_attn_type = self._api.LLAMA_FLASH_ATTN_TYPE_ENABLED
        parameters.no_perf = True
        self._context = self._api.llama_init_from_model(self._model, parameters)
        if not self._context:
            self._context = None
            self.close()
            reason = "; ".join(self._errors) or "too little memory?"
            hint = "Lower the context size or choose a smaller model."
            raise ModelError(f"{self._name}: no context of {self.context_tokens} tokens ({reason})", hint=hint)
        self.context_tokens = min(self.context_tokens, int(self._api.llama_n_ctx(self._context)))

    def _chat_template(self) -> Any:
        from llama_cpp.llama_chat_format import Jinja2ChatFormatter

        raw = self._api.llama_model_chat_template(self._model, None)
        if not raw:
            self.close()
            hint = "Use an instruction-tuned file: its metadata holds tokenizer.chat_template."
            raise ModelError(f"{self._name}: it has no chat template", code="model_foreign", hint=hint)
        bos, eos = (self._token_text(token) for token in self._edge_tokens())
        return Jinja2ChatFormatter(template=raw.decode("utf-8", "replace"), eos_token=eos, bos_token=bos)

    def _edge_tokens(self) -> tuple[int, int]:
        return int(self._api.llama_vocab_bos(self._vocab)), int(self._api.llama_vocab_eos(self._vocab))

    def _token_text(self, token: int) -> str:
        return self._api.llama_vocab_get_text(self._vocab, token).decode("utf-8", "replace") if token >= 0 else ""
