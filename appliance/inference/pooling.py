"""Arithmetic on token outputs: padding, means, unit length, sentence spans."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from appliance.types import Matrix

POOLING_VERSION = "mean-late-1"  # part of the fingerprint: raise it when this arithmetic changes its results

Floats = NDArray[np.floating[Any]]
TokenIds = NDArray[np.int64]


def pad(rows: Sequence[Sequence[int]]) -> tuple[TokenIds, TokenIds]:
    """Token lists -> (b, longest) ids padded with 0, and their mask of 1 and 0."""
    longest = max(map(len, rows))
    ids = np.zeros((len(rows), longest), dtype=np.int64)
    mask = np.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return ids, mask


def normalise(rows: Floats) -> Matrix:
    """Rows scaled to length 1; a row of zeros stays zero."""
    values = np.asarray(rows, dtype=np.float32)
    lengths = np.sqrt(np.einsum("...i,...i->...", values, values))
    return np.asarray(values / np.maximum(lengths, np.float32(1e-9))[..., None], dtype=np.float32)


def mean_pool(tokens: Floats, mask: TokenIds) -> Matrix:
    """(b, s, d), (b, s) -> (b, d): mean over the mask, normalised (sentence-transformers Pooling)."""
    return normalise(np.einsum("bsd,bs->bd", tokens, mask.astype(np.float32)))


def token_ranges(encoding: Encoding, sentences: Sequence[tuple[int, int]], shift: int) -> TokenIds:
    """(k, 2) token ranges `[start, end)` of character spans moved by `shift`: the tokens that begin inside each span.

    Special tokens belong to none; a span that was cut off gets an empty range.
    """
    if not len(sentences):
        return np.zeros((0, 2), dtype=np.int64)
    inner = np.flatnonzero(np.array(encoding.special_tokens_mask, dtype=np.int8) == 0)
    if not len(inner):
        return np.zeros((len(sentences), 2), dtype=np.int64)
    first, last = int(inner[0]), int(inner[-1]) + 1
    starts = np.array(encoding.offsets, dtype=np.int64)[first:last, 0]
    found = np.searchsorted(starts, np.asarray(sentences, dtype=np.int64) + shift) + first
    return np.asarray(found, dtype=np.int64)


def sentence_vectors(ranges: TokenIds, vector: NDArray[np.float32], tokens: Floats | None) -> Matrix:
    """(k, 2) ranges, (d,), (s, d) -> (k, d): normalised mean of each range, `vector` where a range is empty."""
    result: Matrix = np.tile(vector, (len(ranges), 1))
    if tokens is None or not len(ranges):
        return result
    full = np.flatnonzero(ranges[:, 1] > ranges[:, 0])
    if len(full):
        sums = [tokens[start:end].sum(axis=0) for start, end in ranges[full]]  # the divisor vanishes in the norm
        result[full] = normalise(np.stack(sums))
    return result
