"""The registry: hashes before use, files refused by name, an operator's own models."""

import json
import os
import shutil
import struct
from pathlib import Path

import pytest

from appliance.errors import Conflict, InvalidRequest, ModelError, NotFound
from appliance.inference.embed import OnnxEmbedder
from appliance.inference.registry import LOCK, ModelRegistry
from appliance.paths import BUNDLED_MODELS

INT8 = "minilm-l6-v2.int8"
GGUF = "smollm2-135m-instruct.iq4_nl.gguf"


@pytest.fixture
def registry(bundled: Path, tmp_path: Path) -> ModelRegistry:
    return ModelRegistry(bundled, tmp_path / "models")


@pytest.fixture
def copied(bundled: Path, tmp_path: Path) -> Path:
    """A bundled folder of our own to damage: the int8 embedder alone."""
    folder = tmp_path / "bundled"
    folder.mkdir()
    lock = json.loads((bundled / LOCK).read_text("utf-8"))
    lock["files"] = [entry for entry in lock["files"] if entry["name"] in {INT8, "minilm-l6-v2.tokenizer"}]
    for entry in lock["files"]:
        shutil.copyfile(bundled / entry["file"], folder / entry["file"])
    (folder / LOCK).write_text(json.dumps(lock), "utf-8")
    return folder


@pytest.mark.slow
def test_bundled_models_are_listed_and_intact(registry: ModelRegistry) -> None:
    names = {(model.name, model.kind, model.origin) for model in registry.verify()}
    assert (INT8, "embedder", "bundled") in names
    assert ("smollm2-135m-instruct.q8_0", "generator", "bundled") in names
    assert all(model.path.stat().st_size == model.size and model.licence for model in registry.list())


@pytest.mark.parametrize("damaged", [f"{INT8}.onnx", "minilm-l6-v2.tokenizer.json"])
@pytest.mark.parametrize("damage", ["torn", "flipped", "missing"])
def test_damaged_files_are_refused_by_name(copied: Path, tmp_path: Path, damaged: str, damage: str) -> None:
    path = copied / damaged
    raw = path.read_bytes()
    middle = len(raw) // 2
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(
            raw[:middle] if damage == "torn" else raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :]
        )
    registry = ModelRegistry(copied, tmp_path / "models")
    for attempt in (lambda: registry.resolve(INT8, "embedder"), lambda: registry.verify(INT8)):
        with pytest.raises(ModelError, match=damaged.replace(".", r"\.")) as caught:
            attempt()
        assert "make models" in caught.value.hint


def test_damage_after_a_check_is_seen(copied: Path, tmp_path: Path) -> None:
    registry = ModelRegistry(copied, tmp_path / "models")
    model = registry.resolve(INT8, "embedder")
    with model.path.open("r+b") as stream:
        stream.write(b"\x00" * 16)
    with pytest.raises(ModelError, match="expected"):
        registry.resolve(INT8, "embedder")


def test_no_models_at_all_says_what_to_do(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path / "none", tmp_path / "models")
    assert registry.list() == ()
    with pytest.raises(ModelError) as caught:
        registry.resolve(INT8, "embedder")
    assert "make models" in caught.value.hint
    with pytest.raises(ModelError, match="no bundled models"):
        registry.verify()


def test_unknown_names_and_other_kinds(registry: ModelRegistry) -> None:
    with pytest.raises(NotFound):
        registry.verify("nothing")
    with pytest.raises(ModelError, match="no generator named"):
        registry.resolve(INT8, "generator")


def test_a_torn_list_is_refused(copied: Path, tmp_path: Path) -> None:
    (copied / LOCK).write_text('{"files": [{"name": "x"', "utf-8")
    with pytest.raises(ModelError, match="list of models is torn"):
        ModelRegistry(copied, tmp_path / "models").list()


@pytest.mark.slow
def test_an_added_embedder_works_and_stays(registry: ModelRegistry, bundled: Path, tmp_path: Path) -> None:
    source = tmp_path / "export" / "model.onnx"
    source.parent.mkdir()
    shutil.copyfile(bundled / f"{INT8}.onnx", source)
    shutil.copyfile(bundled / "minilm-l6-v2.tokenizer.json", source.with_name("tokenizer.json"))
    added = registry.add(source, name="ours")
    assert added.origin == "added"
    shutil.rmtree(source.parent)
    found = ModelRegistry(bundled, tmp_path / "models").resolve("ours", "embedder")
    assert found == added
    assert found.tokenizer is not None
    assert OnnxEmbedder.open(found.path, found.tokenizer, threads=1).dimensions == 384


@pytest.mark.slow
def test_an_added_generator_round_trip(registry: ModelRegistry, bundled: Path, tmp_path: Path) -> None:
    added = registry.add(bundled / GGUF, name="small")
    assert registry.resolve("small", "generator") == added
    with pytest.raises(Conflict, match="small"):
        registry.add(bundled / GGUF, name="small")
    with pytest.raises(Conflict):
        registry.add(bundled / GGUF)  # its own name is a bundled one's
    assert [path.name for path in sorted((tmp_path / "models").iterdir())] == [LOCK, "small.gguf"]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("words.gguf", b"hello"),
        ("junk.gguf", b"GGUF\x03\x00\x00\x00" + b"\xff" * 4096),
        ("old.gguf", b"GGUF\x01\x00\x00\x00" + b"\x00" * 64),
        ("junk.onnx", b"\x08\x07junk" * 50),
        ("empty.onnx", b""),
    ],
)
def test_foreign_files_are_not_added(
    registry: ModelRegistry, bundled: Path, tmp_path: Path, file: str, content: bytes
) -> None:
    (tmp_path / file).write_bytes(content)
    before = registry.list()
    with pytest.raises(ModelError, match=file.replace(".", r"\.")):
        registry.add(tmp_path / file, bundled / "minilm-l6-v2.tokenizer.json", "foreign")
    assert registry.list() == before
    assert not [path for path in (tmp_path / "models").glob("*") if path.is_file()]


@pytest.mark.slow
def test_a_torn_gguf_is_not_added(registry: ModelRegistry, bundled: Path, tmp_path: Path) -> None:
    with (bundled / GGUF).open("rb") as stream:
        (tmp_path / "torn.gguf").write_bytes(stream.read(40_000_000))
    with pytest.raises(ModelError, match=r"torn\.gguf"):
        registry.add(tmp_path / "torn.gguf", name="torn")


@pytest.mark.slow
def test_a_gguf_that_makes_llama_cpp_abort_costs_a_child(
    registry: ModelRegistry, bundled: Path, tmp_path: Path
) -> None:
    content = bytearray((bundled / GGUF).read_bytes())
    key = b"llama.attention.layer_norm_rms_epsilon"
    value = content.index(key) + len(key) + 4  # behind the key stands the value's type
    content[value : value + 4] = struct.pack("<f", -1.0)  # llama.cpp asserts that it is not below 0
    (tmp_path / "abort.gguf").write_bytes(content)
    with pytest.raises(ModelError, match=r"abort\.gguf.*SIGABRT"):
        registry.add(tmp_path / "abort.gguf")
    assert "abort" not in [model.name for model in registry.list()]


@pytest.mark.parametrize("name", ["../evil", "", ".hidden", "a/b", "x" * 101])
def test_names_that_are_none(registry: ModelRegistry, bundled: Path, name: str) -> None:
    if name:
        with pytest.raises(InvalidRequest):
            registry.add(bundled / GGUF, name=name)
    else:
        with pytest.raises(Conflict):  # an empty name means the file's own
            registry.add(bundled / GGUF, name=name)


def test_an_embedder_without_tokenizer(registry: ModelRegistry, bundled: Path) -> None:
    with pytest.raises(InvalidRequest, match="tokenizer"):
        registry.add(bundled / f"{INT8}.onnx", name="ours")


@pytest.mark.slow
def test_a_torn_model_is_replaced_under_its_own_name(tmp_path: Path) -> None:
    whole = next(BUNDLED_MODELS.glob("*.iq4_nl.gguf"))
    registry = ModelRegistry(BUNDLED_MODELS, tmp_path / "models")
    added = registry.add(whole, name="mine")
    with pytest.raises(Conflict):
        registry.add(whole, name="mine")
    added.path.chmod(0o600)
    os.truncate(added.path, 1000)
    assert registry.add(whole, name="mine") == added
    assert [model.name for model in registry.list()].count("mine") == 1
    registry.verify("mine")
