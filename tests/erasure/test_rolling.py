"""The search for many needles: nothing that is there is missed, nothing else is found."""

import random
from pathlib import Path

import numpy as np
import pytest

from appliance.erasure.needles import Kind, NeedleMaker, Sought, text_forms
from appliance.erasure.rolling import WIDTHS, Matcher, base_of, hashes_of, window_hashes
from appliance.erasure.scan import BLOCK_BYTES, scan_directory

KEY = bytes(range(32))


def sought(*contents: bytes) -> Sought:
    maker = NeedleMaker(KEY, 1000, 1)
    for content in contents:
        maker._whole(Kind.NAME, content)
    return maker.made()


def test_every_window_has_the_hash_of_its_bytes() -> None:
    block = random.Random(3).randbytes(500)
    base = base_of(KEY)
    found = window_hashes(np.frombuffer(block, dtype=np.uint8), base)
    for width in WIDTHS:
        windows = [block[start : start + width] for start in range(len(block) - width + 1)]
        by_hand = [
            sum((byte + 1) * base ** (width - 1 - place) for place, byte in enumerate(w)) % 2**32 for w in windows
        ]
        assert found[width].tolist() == by_hand
        assert hashes_of(windows, base).tolist() == by_hand


@pytest.mark.parametrize("length", [8, 9, 15, 16, 23, 24, 25, 300, 4096])
def test_a_needle_is_found_at_every_place(length: int) -> None:
    chance = random.Random(length)
    needle = chance.randbytes(length)
    made = sought(needle)
    matcher = Matcher(made.needles, made.key)
    for before in (0, 1, 7, 1000):
        assert matcher.find(chance.randbytes(before) + needle + chance.randbytes(before)) == {0}
    assert matcher.find(needle[:-1]) == set()
    assert matcher.find(chance.randbytes(1) + needle[1:]) == set(), "its end alone is not the needle"
    assert matcher.find(b"") == matcher.find(bytes(5000)) == set()


def test_needles_across_blocks_are_found(tmp_path: Path) -> None:
    chance = random.Random(5)
    needles = [chance.randbytes(size) for size in (8, 24, 4096)]
    made = sought(*needles)
    places = [BLOCK_BYTES - 4, 2 * BLOCK_BYTES - 23, 3 * BLOCK_BYTES - 4000]
    content = bytearray(chance.randbytes(4 * BLOCK_BYTES + 17))
    for place, needle in zip(places, needles, strict=True):
        content[place : place + len(needle)] = needle
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(content)
    (tmp_path / "link").symlink_to("deep/file")
    seen = []
    scan = scan_directory(tmp_path, made, left_out=lambda _: False, progress=lambda *at: seen.append(at))
    assert scan.hits == {"deep/file": {0, 1, 2}}
    assert (scan.files, scan.bytes, scan.left_out) == (1, len(content), ["link"])
    assert seen[-1] == (len(content), len(content))


def test_what_is_too_short_is_counted_not_looked_for() -> None:
    made = sought(b"short", b"12345678")
    assert (len(made.needles), made.short) == (1, 1)


def test_windows_cover_the_whole_text() -> None:
    text = "".join(chr(random.Random(n).randrange(33, 0x2FF)) for n in range(3000))
    maker = NeedleMaker(KEY, len(text.encode()), 1)
    for form in text_forms(text):
        maker._windows(Kind.TEXT, form, [*range(0, len(form) - 24, 24), len(form) - 24])
    made = maker.made()
    again = Sought.decode(made.encode())
    assert again.needles.tobytes() == made.needles.tobytes()
    matcher = Matcher(again.needles, again.key)
    for form in text_forms(text):
        for start in range(min(400, len(form) - 47)):
            assert matcher.find(form[start : start + 47]), "every run of 47 bytes holds a window"
