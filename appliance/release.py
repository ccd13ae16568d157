"""What this program is: its version, the commit, and in a binary what it was built with and the digest of its files."""

import hashlib
import json
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from appliance import __version__
from appliance.paths import PACKAGE

RELEASE = PACKAGE / "release.json"  # written by the build of a binary, absent in a checkout
SBOM = PACKAGE / "sbom.json"  # likewise


@dataclass(frozen=True, slots=True)
class Release:
    """`digest` is the BLAKE2b-256 of the list of all files (MANIFEST), empty in a checkout; `commit` may be unknown."""

    version: str
    commit: str
    digest: str = ""
    built_with: dict[str, str] = field(default_factory=dict)


@cache
def this_release() -> Release:
    """Of the running program. Raises OSError or ValueError where a binary's own files are gone or torn."""
    if not RELEASE.exists():
        return Release(__version__, _head(PACKAGE.parent / ".git"))
    told = json.loads(RELEASE.read_text("utf-8"))
    manifest = tree() / "MANIFEST"
    digest = hashlib.blake2b(manifest.read_bytes(), digest_size=32).hexdigest() if manifest.exists() else ""
    return Release(told["version"], told["commit"], digest, told["built_with"])


def tree() -> Path:
    """The folder that a binary was unpacked to: its program, MANIFEST and everything else."""
    return Path(sys.executable).resolve().parent


def _head(git: Path) -> str:
    """The commit of a checkout, read without git; `unknown` where that needs more than two files."""
    try:
        if git.is_file():  # a worktree
            git = Path(git.read_text("utf-8").removeprefix("gitdir:").strip())
        head = (git / "HEAD").read_text("utf-8").strip()
        if not head.startswith("ref:"):
            return head
        common = git / "commondir"
        base = (git / common.read_text("utf-8").strip()) if common.exists() else git
        return (base / head.removeprefix("ref:").strip()).read_text("utf-8").strip()
    except OSError:
        return "unknown"
