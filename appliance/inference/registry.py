"""The model files of this host: the bundled ones and the operator's own, each checked against its hash before use."""

import json
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from appliance.errors import Conflict, InvalidRequest, ModelError, NotFound
from appliance.inference.files import file_sha256
from appliance.inference.inspect_model import TOKENIZER_FILE, ModelKind, check, model_kind
from appliance.paths import sync_path

LOCK = "models.lock.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MAKE_HINT = "Run `make models` to make the bundled models, or `rag-appliance models add FILE` to bring your own."
TORN_HINT = "Restore the file from its source: `make models` for a bundled one, `models add` again for your own."


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model that can be used, with what its files must be. Sizes are bytes."""

    name: str
    kind: ModelKind
    format: str
    path: Path
    sha256: str
    size: int
    licence: str
    origin: Literal["bundled", "added"]
    tokenizer: Path | None = None
    tokenizer_sha256: str = ""

    def files(self) -> tuple[tuple[Path, str], ...]:
        """Every file with its expected sha256."""
        own = ((self.path, self.sha256),)
        return (*own, (self.tokenizer, self.tokenizer_sha256)) if self.tokenizer else own


class ModelRegistry:
    """Two folders, each with a `models.lock.json`: `bundled` is only read, `added` is written by `add`."""

    def __init__(self, bundled: Path, added: Path) -> None:
        self._bundled = bundled
        self._added = added
        self._lock = threading.Lock()
        self._checked: set[tuple[str, str, int, int, int]] = set()  # files of this process's lifetime, by identity

    def list(self) -> tuple[ModelFile, ...]:
        """Bundled models, then added ones. Raises ModelError when a list itself is torn; reads no model file."""
        return (*_read_folder(self._bundled, "bundled"), *_read_folder(self._added, "added"))

    def verify(self, name: str | None = None) -> tuple[ModelFile, ...]:
        """Hash every file (of one model, or of all) anew; -> the models checked.

        Raises ModelError naming the first wrong file with the hash expected and found, NotFound for an unknown name.
        """
        models = self.list()
        if name is not None:
            models = (_named(models, name, None),)
        elif not any(model.origin == "bundled" for model in models):
            raise ModelError("there are no bundled models", code="model_missing", hint=MAKE_HINT)
        for model in models:
            for path, expected in model.files():
                check_file(path, expected)
        return models

    def resolve(self, name: str, kind: ModelKind) -> ModelFile:
        """The model to open, its files checked. Raises ModelError when it is missing, torn or of another kind."""
        models = self.list()
        if not models:
            raise ModelError(f"the model {name} is missing: there are no models", code="model_missing", hint=MAKE_HINT)
        try:
            model = _named(models, name, kind)
        except NotFound as error:
            raise ModelError(str(error), code="model_missing", hint=error.hint) from error
        for path, expected in model.files():
            self._check_once(path, expected)
        return model

    def add(
        self, path: Path, tokenizer: Path | None = None, name: str | None = None, kind: ModelKind | None = None
    ) -> ModelFile:
        """Take an operator's GGUF generator, or ONNX embedder or reranker with its tokenizer.json, into the data
        directory. Without `kind` an ONNX file is an embedder.

        The copy is opened and tried before it counts, then moved into place whole; an added model of that name whose
        file is torn or missing is replaced. Raises Conflict for a name in use, InvalidRequest for a bad name or a
        missing tokenizer, ModelError for a file that does not work.
        """
        kind = model_kind(path, kind)
        name = name or path.stem
        if not NAME.fullmatch(name):
            raise InvalidRequest(f"{name!r} is no model name", hint="Letters, digits, dots, dashes and underscores.")
        if kind != "generator":
            tokenizer = _tokenizer_for(path, tokenizer)
        with self._lock:
            if any(model.name == name and not _is_broken(model) for model in self.list()):
                raise Conflict(f"there is a model named {name} already", hint="Give another with --name.")
            self._added.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._added, prefix=".new-") as folder:
                return self._take_in(path, tokenizer if kind != "generator" else None, name, kind, Path(folder))

    def _take_in(self, path: Path, tokenizer: Path | None, name: str, kind: ModelKind, folder: Path) -> ModelFile:
        suffix = ".gguf" if kind == "generator" else ".onnx"
        copies = {f"{name}{suffix}": _copy(path, folder / "model" / path.name)}
        model = next(iter(copies.values()))
        if tokenizer is not None:
            copies[f"{name}.{TOKENIZER_FILE}"] = _copy(tokenizer, folder / "tokenizer" / tokenizer.name)
        check(kind, *copies.values())
        entry: dict[str, Any] = {
            "name": name,
            "file": f"{name}{suffix}",
            "kind": kind,
            "format": "GGUF" if kind == "generator" else "ONNX",
            "licence": "the operator's own affair",
            "tokenizer": f"{name}.{TOKENIZER_FILE}" if tokenizer is not None else None,
            "sha256": file_sha256(model),
            "size": model.stat().st_size,
        }
        hashes = {file: (file_sha256(copy), copy.stat().st_size) for file, copy in copies.items() if copy != model}
        for file, copy in copies.items():
            copy.replace(self._added / file)
        self._record(entry, hashes)
        return _named(_read_folder(self._added, "added"), name, kind)

    def _record(self, entry: Mapping[str, Any], tokenizers: Mapping[str, tuple[str, int]]) -> None:
        replaced = {entry["file"], *tokenizers}
        entries = [other for other in _read_lock(self._added / LOCK) if other["file"] not in replaced]
        extra = [
            {"name": file.rpartition(".")[0], "file": file, "kind": "tokenizer", "format": "tokenizers JSON",
             "licence": entry["licence"], "tokenizer": None, "sha256": sha256, "size": size}
            for file, (sha256, size) in tokenizers.items()
        ]  # fmt: skip
        text = json.dumps({"format": 1, "files": [*entries, *extra, entry]}, indent=2)
        temporary = self._added / f".{LOCK}.part"
        temporary.write_text(text + "\n", "utf-8")
        sync_path(temporary)
        temporary.replace(self._added / LOCK)
        sync_path(self._added)

    def _check_once(self, path: Path, expected: str) -> None:
        """check_file, unless this very file (path, inode, size, time) has passed in this process."""
        try:
            status = path.stat()
        except OSError:
            check_file(path, expected)  # raises, naming it
            return
        identity = (str(path), expected, status.st_size, status.st_mtime_ns, status.st_ino)
        if identity not in self._checked:
            check_file(path, expected)
            self._checked.add(identity)


def _is_broken(model: ModelFile) -> bool:
    """Whether an added model's files are not what they were when they were added."""
    if model.origin == "bundled":
        return False
    try:
        for path, expected in model.files():
            check_file(path, expected)
    except (ModelError, OSError):
        return True
    return False


def check_file(path: Path, expected: str) -> None:
    """Raises ModelError that names the file when its bytes are not those expected."""
    found = file_sha256(path)
    if found != expected:
        raise ModelError(
            f"{path.name}: the file is torn or not the right one: sha256 {found}, expected {expected}",
            code="model_torn",
            hint=TORN_HINT,
        )


def _read_folder(folder: Path, origin: Literal["bundled", "added"]) -> list[ModelFile]:
    entries = _read_lock(folder / LOCK)
    hashes = {entry["file"]: entry["sha256"] for entry in entries}
    return [
        ModelFile(
            name=entry["name"],
            kind=entry["kind"],
            format=entry["format"],
            path=folder / entry["file"],
            sha256=entry["sha256"],
            size=entry["size"],
            licence=entry["licence"],
            origin=origin,
            tokenizer=folder / entry["tokenizer"] if entry["tokenizer"] else None,
            tokenizer_sha256=hashes.get(entry["tokenizer"], "") if entry["tokenizer"] else "",
        )
        for entry in entries
        if entry["kind"] != "tokenizer"
    ]


def _read_lock(path: Path) -> list[dict[str, Any]]:
    """The entries of a lock, none when there is no such file. Raises ModelError when it is torn."""
    wanted = {"name", "file", "kind", "format", "licence", "tokenizer", "sha256", "size"}
    try:
        entries = json.loads(path.read_text("utf-8"))["files"]
        if not all(wanted <= entry.keys() for entry in entries):
            raise ValueError("an entry lacks fields")
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: the list of models is torn ({error})", code="model_torn", hint=TORN_HINT) from error
    return list(entries)


def _named(models: Iterable[ModelFile], name: str, kind: ModelKind | None) -> ModelFile:
    fitting = [model for model in models if kind is None or model.kind == kind]
    for model in fitting:
        if model.name == name:
            return model
    known = ", ".join(model.name for model in fitting) or "none"
    raise NotFound(f"there is no {kind or 'model'} named {name}", hint=f"There are: {known}. {MAKE_HINT}")


def _tokenizer_for(model: Path, given: Path | None) -> Path:
    """The tokenizer given, or the one that lies beside the model or one folder above, as exports put it."""
    places = [given] if given else [model.with_name(TOKENIZER_FILE), model.parent.parent / TOKENIZER_FILE]
    for place in places:
        if place.is_file():
            return place
    named = given.name if given else TOKENIZER_FILE
    raise InvalidRequest(f"{model.name}: its tokenizer {named} is missing", hint="Give it with --tokenizer FILE.")


def _copy(source: Path, target: Path) -> Path:
    """A synced copy under the same name, so that errors name the operator's own file."""
    try:
        target.parent.mkdir()
        with source.open("rb") as reader, target.open("wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
            writer.flush()
            os.fsync(writer.fileno())
    except OSError as error:
        reason = error.strerror or str(error)
        raise ModelError(f"{source.name}: cannot be copied ({reason})", code="model_unreadable") from error
    return target
