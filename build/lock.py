"""Resolve pyproject.toml into hashed locks without addresses: `make lock`."""

import subprocess
import sys
from pathlib import Path

LOCKS = Path("build/locks")
COMPILE = [
    *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--python-version", "3.11"),
    *("--no-emit-index-url", "--no-annotate", "--no-header", "--generate-hashes"),
]


def compile_lock(name: str, *arguments: str) -> None:
    """Write one lock; versions already chosen in it are kept where they still satisfy pyproject.toml."""
    subprocess.run([*COMPILE, *arguments, "--output-file", str(LOCKS / f"{name}.lock")], check=True)


if __name__ == "__main__":
    LOCKS.mkdir(exist_ok=True)
    compile_lock("run", "pyproject.toml")
    compile_lock(
        "build", "--group", "build", "--group", "models", "--group", "binary", "--constraints", str(LOCKS / "run.lock")
    )
    compile_lock("dev", "--group", "dev", "--constraints", str(LOCKS / "run.lock"))
