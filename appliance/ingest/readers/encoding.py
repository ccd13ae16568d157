"""Bytes to characters: marks, declared names, UTF-8, UTF-16 by its zeros, then legacy encodings by plausibility."""

import codecs
import re
import unicodedata

from appliance.errors import DocumentError

SAMPLE = 65536
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Declared names that are looked up: no codec that is not a character set (base64, zlib, unicode_escape, utf-7, idna …).
_KNOWN = re.compile(
    r"(?i)^(us-ascii|ascii|utf-?8|utf-?(16|32)(-?[lb]e)?|iso-?8859-?\d+|iso-2022-\w+|latin-?\d+|windows-\d+|cp\d+|koi8-\w|"
    r"shift[_-]?jis|sjis|ms_kanji|euc[_-]?\w+|gb2312|gbk|gb18030|hz-gb-2312|big5(-?hkscs)?|ks_c_5601-1987|mac-?\w+|tis-620)$"
)
# The most frequent characters of running text, by language (public frequency lists); enough to tell encodings apart.
_CHINESE = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年的個們來為國說時會對這後學過"
    "发"
)
_CYRILLIC = frozenset("оеаинтсрвлкмдпуя ")
_LEGACY = ("shift_jis", "euc_jp", "gb18030", "big5", "euc_kr", "cp1251", "koi8_r", "cp1252")


def decode(data: bytes, declared: str = "") -> str:
    """Text of `data`. Raises DocumentError unsupported when it is not text in any known encoding."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    declared = declared.strip().strip("'\"").lower()
    if _KNOWN.match(declared) and (text := _try(data, declared)) is not None:
        return text
    if (wide := _utf16_by_zeros(data)) and (text := _try(data, wide)) is not None:
        return text
    if (text := _try(data, "utf-8")) is not None:
        return text
    return data.decode(_legacy(data), "replace")


def is_binary(data: bytes) -> bool:
    """Whether the beginning of `data` has so many control characters that it is no text (more than 3 %, or mostly
    NUL).
    """
    sample = data[:SAMPLE]
    if any(sample.startswith(mark) for mark, _ in _MARKS) or _utf16_by_zeros(sample):
        return False
    controls = sum(map(sample.count, (bytes([code]) for code in (*range(9), *range(14, 27), *range(28, 32), 127))))
    return controls > max(len(sample) * 0.03, 2 if len(sample) < 64 else 0)


def text_or_refuse(data: bytes, name: str, declared: str = "") -> str:
    """Like `decode`, but refuses binary data. Raises DocumentError unsupported."""
    if is_binary(data):
        raise DocumentError(
            f"{name} holds binary data, not text",
            code="unsupported",
            hint="Convert it to a document format that is supported.",
        )
    return decode(data, declared)


def _try(data: bytes, encoding: str) -> str | None:
    """Strictly decoded, but for a character cut off at the very end."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if len(data) - error.start > 3 or error.start == 0:
            return None
        return data[: error.start].decode(encoding) + "\ufffd"
    except LookupError:
        return None


def _utf16_by_zeros(data: bytes) -> str:
    """UTF-16 without a mark: in Western text every other byte is zero."""
    sample = data[:4096]
    if len(sample) < 8 or len(data) % 2:
        return ""
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    if odd > 0.6 * half and even < 0.05 * half:
        return "utf-16-le"
    return "utf-16-be" if even > 0.6 * half and odd < 0.05 * half else ""


def _legacy(data: bytes) -> str:
    """The legacy encoding whose decoding looks most like a language; cp1252 where nothing does."""
    sample = data[:SAMPLE]
    high = re.findall(rb"[\x20-\x7f]{0,2}[\x80-\xff][\x40-\xff]*", sample)
    focused = b" ".join(high)[: SAMPLE // 4]
    scores = {encoding: _plausible(sample, encoding, focused) for encoding in _LEGACY}
    best = max(scores, key=lambda encoding: scores[encoding])
    return best if scores[best] > 0.1 else "cp1252"


def _plausible(sample: bytes, encoding: str, focused: bytes) -> float:
    """From 0 to 1: how much the characters beyond ASCII look like running text of the languages of `encoding`."""
    text = sample.decode(encoding, "replace")
    foreign = [character for character in text if character > "\x7f"]
    if not foreign or foreign.count("\ufffd") > max(1, len(foreign) // 50):
        return 0.0
    if encoding in ("shift_jis", "euc_jp"):
        kana = sum("\u3041" <= c <= "\u30fe" for c in foreign) - sum("\uff61" <= c <= "\uff9f" for c in foreign)
        return max(0.0, min(1.0, 2.0 * kana / len(foreign)))
    if encoding in ("gb18030", "big5"):
        return min(1.0, 3.0 * sum(c in _CHINESE for c in foreign) / len(foreign))
    if encoding == "euc_kr":
        return sum("\uac00" <= c <= "\ud7a3" for c in foreign) / len(foreign) * 0.9
    if encoding in ("cp1251", "koi8_r"):
        letters = sum(c in _CYRILLIC for c in foreign) / len(foreign)
        return letters if letters > 0.6 else 0.0
    common = sum(unicodedata.category(c) in ("Ll", "Pi", "Pf", "Pd", "Po") for c in foreign)
    return 0.3 * common / len(foreign)
