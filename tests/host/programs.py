"""Small programs in the form of a release's tree: scripts in the place of the frozen program where slots are tested."""

import hashlib
from pathlib import Path

from appliance.host.program import Program, read_program

ROOT = Path(__file__).resolve().parents[2]


def make_program(folder: Path, version: str, script: str = "#!/bin/sh\necho hello\n") -> Program:
    """A tree at `folder` with an executable, the shipped units and a manifest."""
    files = {"rag-appliance": script.encode()}
    files |= {
        f"_internal/systemd/{path.name}": path.read_bytes() for path in (ROOT / "systemd").iterdir() if path.is_file()
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o555 if name == "rag-appliance" else 0o444)
    lines = [f"# rag-appliance {version}: kind, mode, size, BLAKE2b-256 or target, path\n"]
    for name, content in sorted(files.items()):
        digest = hashlib.blake2b(content, digest_size=32).hexdigest()
        lines.append(f"f\t{0o555 if name == 'rag-appliance' else 0o444:o}\t{len(content)}\t{digest}\t{name}\n")
    (folder / "MANIFEST").write_text("".join(lines))
    return read_program(folder)
