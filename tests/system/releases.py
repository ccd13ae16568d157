"""The release under test, and others made of its files: a later version, and ones that must not come into force."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from appliance.trust import SigningKey, generate_key, sign

ROOT = Path(__file__).resolve().parents[2]
HANGS = '#!/bin/sh\n[ "$1" = serve ] && exec sleep 1000\nexec "${0%/*}/rag-appliance-program" "$@"\n'


@dataclass(frozen=True, slots=True)
class Releases:
    """Files that were signed with `key`, but for `unsigned`."""

    key: SigningKey
    good: Path
    later: Path
    unsigned: Path
    failing: Path  # a model file is torn: its self-test finds that
    hanging: Path  # passes its self-test, and never gets ready

    @classmethod
    def make(cls, binary: Path, folder: Path) -> "Releases":
        """Unpack the release, change its files, and pack them again behind the same launcher."""
        key = generate_key("system test")
        tree = _unpack(binary, folder / "unpacked")
        launcher = _launcher(binary, folder / "launcher")
        made = {}
        for name, version in (("later", "9.0.1"), ("failing", "9.0.2"), ("hanging", "9.0.3")):
            changed = folder / f"{name}-tree"
            subprocess.run(["cp", "-al", str(tree), str(changed)], check=True)
            _stamp(changed, version)
            _CHANGES.get(name, lambda _: None)(changed)
            made[name] = _pack(changed, launcher, version, folder / name / "rag-appliance")
            shutil.rmtree(changed)
        for path in (binary, made["later"]):
            target = folder / ("good" if path is binary else "unsigned") / "rag-appliance"
            target.parent.mkdir()
            shutil.copy2(path, target)
            made[target.parent.name] = target
        for name in ("good", "later", "failing", "hanging"):
            sign(made[name], key)
        return cls(key, **made)


def _replace(path: Path, content: bytes, mode: int = 0o444) -> None:
    """The tree's files are hard links: a new one takes the place of the old."""
    path.unlink()
    path.write_bytes(content)
    path.chmod(mode)


def _stamp(tree: Path, version: str) -> None:
    path = tree / "_internal/appliance/release.json"
    told = json.loads(path.read_text())
    _replace(path, json.dumps(told | {"version": version}).encode())


def _tear_a_model(tree: Path) -> None:
    path = next((tree / "_internal/models/out").glob("minilm-l6-v2.int8*.onnx"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    _replace(path, bytes(content))


def _hang(tree: Path) -> None:
    program = tree / "rag-appliance"
    program.rename(tree / "rag-appliance-program")
    program.write_text(HANGS)
    program.chmod(0o555)


_CHANGES = {"failing": _tear_a_model, "hanging": _hang}


def _unpack(binary: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, mode=0o755)
    environment = {"PATH": "/usr/bin:/bin", "RAG_APPLIANCE_UNPACK_DIR": str(folder), "LC_ALL": "C.UTF-8"}
    subprocess.run([str(binary), "version"], env=environment, check=True, capture_output=True)
    return next(path.parent for path in folder.glob("*/MANIFEST"))


def _packer() -> None:
    sys.path.insert(0, str(ROOT / "build" / "binary"))


def _launcher(binary: Path, target: Path) -> Path:
    """The launcher's own bytes: everything before the archive (see the trailer in pack.py)."""
    _packer()
    from pack import TRAILER

    content = binary.read_bytes()
    offset = TRAILER.unpack(content[-TRAILER.size :])[1]
    target.write_bytes(content[:offset])
    return target


def _pack(tree: Path, launcher: Path, version: str, target: Path) -> Path:
    _packer()
    import pack

    pack.LEVEL = 1
    pack.pack(tree, launcher, version, target)
    return target
