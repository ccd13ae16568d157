"""Tokenising, always on the caller's own thread: `encode` of one text never enters the library's thread pool.

`encode_batch` would, with as many threads as the host has cores, and its only switch is an environment variable.
"""

from collections.abc import Iterator
from pathlib import Path

from tokenizers import Encoding, Tokenizer

from appliance.errors import ModelError

PIECE = 32_768  # characters: a longer text is tokenised in pieces cut at white space, to bound memory
SEARCH = 2_048  # how far back a cut looks for white space


def load_tokenizer(path: Path) -> Tokenizer:
    """A tokenizer.json without its own padding and truncation. Raises ModelError that names the file."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise ModelError(f"{path.name}: not a usable tokenizer.json ({error})", code="model_foreign") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def encode(tokenizer: Tokenizer, text: str, max_tokens: int) -> Encoding:
    """Tokens of `text` with the model's special tokens, cut to `max_tokens` in all (the closing one stays)."""
    encoding = tokenizer.encode(text, add_special_tokens=False)
    room = max_tokens - tokenizer.num_special_tokens_to_add(False)
    if len(encoding) > room:
        encoding.truncate(room)
    return tokenizer.post_process(encoding)


def encode_pair(tokenizer: Tokenizer, question: str, text: str, max_tokens: int) -> Encoding:
    """Question and text as the model reads pairs, with its special tokens and types, cut to `max_tokens` in all.

    The text is cut, and the question only where it alone takes more than half.
    """
    room = max_tokens - tokenizer.num_special_tokens_to_add(True)
    first = tokenizer.encode(question, add_special_tokens=False)
    second = tokenizer.encode(text[:PIECE], add_special_tokens=False)
    if len(first) + len(second) > room:
        first.truncate(max(room // 2, room - len(second)))
        second.truncate(room - len(first))
    return tokenizer.post_process(first, second)


def token_spans(tokenizer: Tokenizer, text: str) -> list[tuple[int, int]]:
    """Character spans of the tokens of `text`, ascending; a text of any length."""
    spans: list[tuple[int, int]] = []
    for start, end in _pieces(text):
        offsets = tokenizer.encode(text[start:end], add_special_tokens=False).offsets
        spans.extend([(start + first, start + last) for first, last in offsets] if start else offsets)
    return spans


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    while len(text) - start > PIECE:
        end = start + PIECE
        cut = next((i for i in range(end, end - SEARCH, -1) if text[i - 1].isspace()), end)
        yield start, cut
        start = cut
    yield start, len(text)
