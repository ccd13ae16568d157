"""Signatures: what was signed is accepted, anything else refused, with the reason."""

import hashlib
import os
import stat
import threading
import tracemalloc
from pathlib import Path

import pytest

from appliance.errors import ApplianceError, Conflict, Forbidden, InvalidRequest, NotFound, Untrusted
from appliance.trust import (
    PublicKey,
    SigningKey,
    check_signature,
    digest_of,
    generate_key,
    read_public_key,
    read_signature,
    read_signing_key,
    sign,
    sign_digest,
    signature_path,
    verify,
)
from appliance.trust.signature import parse_signature

KEY = SigningKey("tests", bytes(range(32)))


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    file = tmp_path / "release"
    file.write_bytes(os.urandom(3_000_000))
    sign(file, KEY)
    return file


def refused(file: Path, *keys: PublicKey) -> str:
    with pytest.raises(ApplianceError) as caught:
        verify(file, None, keys or (KEY.public,))
    assert caught.value.hint
    return caught.value.code


def test_what_was_signed_is_accepted(signed: Path) -> None:
    other = generate_key("other")
    assert verify(signed, None, [other.public, KEY.public]) == KEY.public
    elsewhere = signed.with_name("elsewhere.sig")
    signature_path(signed).rename(elsewhere)
    assert verify(signed, elsewhere, [KEY.public]) == KEY.public


def test_the_signature_is_the_published_algorithm_over_the_lines_before_it(signed: Path) -> None:
    text = signature_path(signed).read_bytes()
    message, _, last = text.partition(b"signature: ")
    digest = hashlib.blake2b(signed.read_bytes()).hexdigest()
    assert message == (
        f"rag-appliance signature 1\nsize: 3000000\ndigest: blake2b-512 {digest}\nkey: {KEY.public.id}\n".encode()
    )
    assert KEY.public.vouches(read_signature(signature_path(signed)).signature, message)
    assert KEY.public.raw.hex() == "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
    assert len(last) == 89


def test_the_same_file_and_key_give_the_same_signature(signed: Path) -> None:
    first = signature_path(signed).read_bytes()
    assert sign(signed, KEY).read_bytes() == first


@pytest.mark.parametrize("place", [0, 1_500_000, 2_999_999])
def test_one_changed_bit_is_seen(signed: Path, place: int) -> None:
    content = bytearray(signed.read_bytes())
    content[place] ^= 1
    signed.write_bytes(content)
    assert refused(signed) == "wrong_digest"


def test_missing_and_added_bytes_are_seen(signed: Path) -> None:
    content = signed.read_bytes()
    signed.write_bytes(content[:-1])
    assert refused(signed) == "wrong_digest"
    signed.write_bytes(content + b"\0")
    assert refused(signed) == "wrong_digest"


def test_a_signature_of_an_unknown_key_is_refused_before_the_file_is_read(signed: Path) -> None:
    signed.unlink()
    assert refused(signed, generate_key("other").public) == "unknown_signing_key"
    assert refused(signed) == "file_not_found"


def test_no_signature_is_a_reason_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"x")
    assert refused(tmp_path / "plain") == "unsigned"


def test_a_signature_cannot_be_made_to_fit_another_file_or_key(signed: Path) -> None:
    """Neither by another digest in it, nor by the name of a trusted key over one's own signature."""
    said = read_signature(signature_path(signed))
    digest, size = digest_of(signed)
    assert (said.digest, said.size) == (digest, size)
    changed = said.text.replace(digest.encode(), b"0" * 128)
    forged = sign_digest(digest, size, generate_key("other"))
    as_ours = forged.text.replace(forged.key_id.encode(), KEY.public.id.encode())
    for text in (changed, as_ours):
        with pytest.raises(Untrusted) as caught:
            check_signature(parse_signature(text), [KEY.public])
        assert caught.value.code == "forged_signature"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"",
        lambda text: text[:-1],
        lambda text: text + b"\n",
        lambda text: text.replace(b"signature 1", b"signature 2"),
        lambda text: text.replace(b"blake2b-512", b"md5"),
        lambda text: text.replace(b"size: 3", b"size: 03"),
        lambda text: text.replace(b"size: 3", b"size: -3"),
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.replace(b"signature: ", b"signature: AAAA"),
        lambda text: text.replace(b"key: ", b"key: ../"),
        lambda text: text + b"comment: more\n",
        lambda text: b"\xff" + text,
        lambda text: text * 100,
    ],
)
def test_malformed_signatures_are_refused(signed: Path, change: "object") -> None:
    path = signature_path(signed)
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]
    assert refused(signed) == "malformed_signature"


def test_a_file_that_is_written_meanwhile_is_not_vouched_for(tmp_path: Path) -> None:
    """A pipe-like race made sure of: the file grows as long as it is read."""
    file = tmp_path / "growing"
    file.write_bytes(bytes(64 << 20))
    stop = threading.Event()

    def write() -> None:
        with file.open("ab") as opened:
            while not stop.is_set():
                opened.write(b"x")
                opened.flush()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(Untrusted) as caught:
            digest_of(file)
    finally:
        stop.set()
        writer.join()
    assert caught.value.code == "file_changed"


@pytest.mark.slow
def test_a_large_file_takes_no_more_memory_than_a_small_one(tmp_path: Path) -> None:
    file = tmp_path / "large"
    with file.open("wb") as opened:
        opened.truncate(256 << 20)
    tracemalloc.start()
    try:
        sign(file, KEY)
        verify(file, None, [KEY.public])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


def test_keys_go_to_files_and_back(tmp_path: Path) -> None:
    path = tmp_path / "signer"
    made = generate_key("the indexer")
    made.write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_signing_key(path) == made
    assert read_public_key(tmp_path / "signer.pub") == made.public
    assert len(made.public.id) == 16
    with pytest.raises(Conflict):
        generate_key("another").write(path)
    assert repr(made) == "SigningKey('the indexer')"


def test_a_secret_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "signer"
    generate_key("x").write(path)
    path.chmod(0o644)
    with pytest.raises(Forbidden) as caught:
        read_signing_key(path)
    assert caught.value.code == "secret_key_exposed"


@pytest.mark.parametrize(
    "content", [b"", b"rag-appliance public key 1\nname: x\nkey: AAAA\n", b"-----BEGIN KEY-----\n"]
)
def test_malformed_keys_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    for read in (read_public_key, read_signing_key):
        with pytest.raises(InvalidRequest):
            read(path)
    with pytest.raises(NotFound):
        read_public_key(tmp_path / "nowhere")
    with pytest.raises(InvalidRequest):
        generate_key("two\nlines")
