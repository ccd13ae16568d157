"""Rolling hashes of every window of a block of bytes, and the search for many needles at once.

A needle is known by digests alone, so that what is looked for can be kept without keeping the content: a 32-bit rolling
hash (Karp and Rabin 1987) of its last bytes picks candidates, a keyed BLAKE2b digest of all of it decides.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

WIDTHS = (24, 16, 8)  # bytes of a window: the widest that a needle is long enough for
LONGEST = 4_096  # bytes of a needle
DIGEST_BYTES = 12
FILTER_BITS = (16, 24)  # of the filter, by the number of needles: a small one stays in the processor's cache
_SPREAD = np.uint32(0x9E3779B1)  # Fibonacci hashing: the upper bits depend on all

NEEDLE = np.dtype(
    [("hash", "<u4"), ("width", "u1"), ("kind", "u1"), ("length", "<u2"), ("digest", "u1", (DIGEST_BYTES,))]
)
Needles: TypeAlias = NDArray[np.void]
Hashes: TypeAlias = NDArray[np.uint32]


def width_of(length: int) -> int:
    """The window for a needle of `length` bytes; 0 when it is too short to tell anything."""
    return next((width for width in WIDTHS if width <= length), 0)


def base_of(key: bytes) -> int:
    """The odd base of the rolling hash that a key stands for."""
    return int.from_bytes(hashlib.blake2b(b"base", key=key, digest_size=4).digest(), "little") | 1


def digest_of(key: bytes, content: bytes) -> bytes:
    return hashlib.blake2b(content, key=key, digest_size=DIGEST_BYTES).digest()


def window_hashes(block: NDArray[np.uint8], base: int, widths: Iterable[int] = WIDTHS) -> dict[int, Hashes]:
    """width -> hash of the window at each position of the block; shorter than the block by width - 1.

    hash(b) = sum of (b[i] + 1) base^(width - 1 - i) modulo 2^32, made by doubling:
    h(2m)[i] = h(m)[i] base^m + h(m)[i+m].
    """
    hashes = block.astype(np.uint32) + np.uint32(1)
    found: dict[int, Hashes] = {}
    width, half = 1, hashes
    while width < 16:
        half, width = hashes, width * 2
        hashes = _joined(half, half, width // 2, base, width // 2)
        if width in widths:
            found[width] = hashes
    if 24 in widths:
        eight = half  # the loop ends with windows of 16 made of windows of 8
        found[24] = _joined(hashes, eight, 16, base, 8)
    return found


def hashes_of(windows: Sequence[bytes], base: int) -> Hashes:
    """The hash of each of some windows of one width."""
    matrix = np.frombuffer(b"".join(windows), dtype=np.uint8).reshape(len(windows), -1).astype(np.uint32) + np.uint32(1)
    width = matrix.shape[1]
    powers = np.array([pow(base, width - 1 - place, 2**32) for place in range(width)], dtype=np.uint32)
    return np.asarray((matrix * powers).sum(axis=1, dtype=np.uint32))


def _joined(first: Hashes, second: Hashes, distance: int, base: int, power: int) -> Hashes:
    """first[i] base^power + second[i + distance]."""
    count = max(0, len(second) - distance)
    return first[:count] * np.uint32(pow(base, power, 2**32)) + second[distance : distance + count]


class Matcher:
    """Finds needles in blocks of bytes; a block that follows another must repeat its last `overlap` bytes."""

    def __init__(self, needles: Needles, key: bytes) -> None:
        self._key = key
        self._base = base_of(key)
        self.overlap = max((int(length) for length in needles["length"]), default=1) - 1
        self._groups: dict[int, tuple[NDArray[np.bool_], NDArray[np.uint32], NDArray[np.intp]]] = {}
        for width in WIDTHS:
            chosen = np.flatnonzero(needles["width"] == width)
            if len(chosen):
                order = chosen[np.argsort(needles["hash"][chosen], kind="stable")]
                hashes = needles["hash"][order].astype(np.uint32)
                self._groups[width] = (_filter(hashes), hashes, order)
        self._lengths = needles["length"].astype(np.int64)
        self._digests = [bytes(digest) for digest in needles["digest"]]

    def find(self, block: bytes) -> set[int]:
        """Numbers of the needles that the block holds in whole."""
        found: set[int] = set()
        bytes_ = np.frombuffer(block, dtype=np.uint8)
        if not self._groups or not bytes_.any():
            return found
        for width, rolled in window_hashes(bytes_, self._base, self._groups).items():
            filter_, hashes, order = self._groups[width]
            places = np.flatnonzero(filter_[_slots(rolled, len(filter_))])
            candidates = rolled[places]
            first = np.searchsorted(hashes, candidates, "left")
            last = np.searchsorted(hashes, candidates, "right")
            for at in np.flatnonzero(last > first):
                end = int(places[at]) + width
                for number in order[first[at] : last[at]].tolist():
                    if number not in found and self._is(number, block, end):
                        found.add(number)
        return found

    def _is(self, number: int, block: bytes, end: int) -> bool:
        start = end - int(self._lengths[number])
        return start >= 0 and digest_of(self._key, block[start:end]) == self._digests[number]


def _filter(hashes: Hashes) -> NDArray[np.bool_]:
    """At least 64 slots a needle, so that few windows without a needle pass."""
    least, most = FILTER_BITS
    slots = np.zeros(1 << min(most, max(least, len(hashes).bit_length() + 6)), dtype=np.bool_)
    slots[_slots(hashes, len(slots))] = True
    return slots


def _slots(hashes: Hashes, count: int) -> NDArray[np.uint32]:
    return np.asarray((hashes * _SPREAD) >> np.uint32(33 - count.bit_length()))
