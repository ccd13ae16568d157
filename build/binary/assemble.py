"""`make binary`: one file with program, models, handbook and licences. Run from the repository root."""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import glibc
import inventory
import sbom
from launcher import compile_launcher
from pack import TREE_TIME, pack

from appliance import __version__
from appliance.trust import SigningKey, generate_key, read_signing_key, sign

WORK, DIST = Path("build/work"), Path("build/dist")
TREE = DIST / "rag-appliance"
INSIDE = TREE / "_internal"
MODELS = Path("models/out")
DEVELOPMENT_KEY = Path("build/keys/development")
DEFAULT = "minilm-l6-v2.int8 minilm-l6-v2-reader.int8 smollm2-135m-instruct.q8_0"
NO_ARM = (
    "The binary is built for x86-64 only. For {machine} it would take: native builds without -march=x86-64-v3 "
    "(build/native.sh: on aarch64 armv8.2-a with dotprod), a launcher whose host.c asks HWCAP instead of CPUID, "
    "wheels of all libraries for {machine} in build/locks, and a machine of that kind to run tests/binary on."
)


def main() -> None:
    """Build, and say what was built."""
    options = _options()
    if platform.machine() != "x86_64":
        sys.exit(NO_ARM.format(machine=platform.machine()))
    started = time.monotonic()
    WORK.mkdir(parents=True, exist_ok=True)
    launcher = compile_launcher(WORK.resolve())
    freeze()
    add_models(options.models.split())
    for folder in ("systemd",):
        shutil.copytree(folder, INSIDE / folder)
    (INSIDE / "appliance/release.json").write_text(json.dumps(release(), indent=2) + "\n")
    listed = add_materials()
    version, needer = glibc.prepare(TREE)
    told = f"needs glibc {version[0]}.{version[1]}"
    if version > glibc.MOST:
        sys.exit(f"{told} ({needer}); it must not be beyond {glibc.MOST[0]}.{glibc.MOST[1]}.")
    key = signing_key()
    (INSIDE / f"appliance/trust/keys/{key.public.id}.pub").write_bytes(key.public.text)
    digest = pack(TREE, launcher, __version__, options.out)
    signature = sign(options.out, key)
    size = options.out.stat().st_size
    seconds = time.monotonic() - started
    print(f"{options.out}: {size / 1e6:.1f} MB, {listed} parts listed, tree {digest[:24]}, {told}, {seconds:.0f} s")
    print(f"{signature}: by {key.public.name} ({key.public.id}), whose public half is pinned inside")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default=DEFAULT, help="Names of models to put in, with spaces between.")
    parser.add_argument("--out", type=Path, default=Path("dist/rag-appliance"))
    return parser.parse_args()


def freeze() -> None:
    """PyInstaller's folder, TREE. Raises CalledProcessError."""
    shutil.rmtree(DIST, ignore_errors=True)
    settings = {
        "SOURCE_DATE_EPOCH": str(TREE_TIME),
        "PYTHONHASHSEED": "0",
        "PYINSTALLER_CONFIG_DIR": str(WORK.resolve()),
    }
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN", "--workpath", str(WORK)]
    command += ["--distpath", str(DIST), "build/binary/rag-appliance.spec"]
    subprocess.run(command, env=os.environ | settings, check=True)


def add_models(names: list[str]) -> None:
    """The files of these models, and a list of just them. Exits where one is not made."""
    lock = json.loads((MODELS / "models.lock.json").read_text("utf-8"))
    missing = set(names) - {entry["name"] for entry in lock["files"]}
    if missing:
        sys.exit(f"These models are not made: {', '.join(sorted(missing))}. See models/out/models.lock.json.")
    chosen = [entry for entry in lock["files"] if entry["name"] in names]
    tokenizers = {entry["tokenizer"] for entry in chosen}
    lock["files"] = [entry for entry in lock["files"] if entry in chosen or entry["file"] in tokenizers]
    folder = INSIDE / "models/out"
    folder.mkdir(parents=True)
    for entry in lock["files"]:
        shutil.copyfile(MODELS / entry["file"], folder / entry["file"])
    (folder / "models.lock.json").write_text(json.dumps(lock, indent=2) + "\n", "utf-8")


def add_materials() -> int:
    """Licence texts and the SBOM; -> how many parts it lists. Raises ValueError for a file of unknown origin."""
    found = inventory.parts(WORK / "inside.json")
    sbom.copy_licences(found, INSIDE / "licenses", WORK / "zstd", Path("LICENSE"))
    when = int(_git("log", "-1", "--format=%ct") or TREE_TIME)
    return sbom.write(INSIDE / "appliance/sbom.json", __version__, _commit(), when, found, INSIDE / "models/out")


def signing_key() -> SigningKey:
    """The one in the file that SIGNING_KEY names, or a key of this checkout alone, made at the first build."""
    given = os.environ.get("SIGNING_KEY")
    if given:
        return read_signing_key(Path(given))
    if not DEVELOPMENT_KEY.exists():
        DEVELOPMENT_KEY.parent.mkdir(mode=0o700, exist_ok=True)
        generate_key("development").write(DEVELOPMENT_KEY)
        print(f"{DEVELOPMENT_KEY}: a new key for development; name that of your releases in SIGNING_KEY")
    return read_signing_key(DEVELOPMENT_KEY)


def release() -> dict[str, object]:
    """What `rag-appliance version` tells: nothing in it depends on when or where this was built."""
    compiler = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True, check=True).stdout.strip()
    return {
        "version": __version__,
        "commit": _commit(),
        "built_with": {
            "python": platform.python_version(),
            "pyinstaller": metadata.version("pyinstaller"),
            "gcc": compiler,
            "processor": "x86-64-v3",
            "glibc": ".".join(map(str, glibc.MOST)),
        },
    }


def _commit() -> str:
    changed = "-changed" if _git("status", "--porcelain", "--untracked-files=no") else ""
    return (_git("rev-parse", "HEAD") or "unknown") + changed


def _git(*arguments: str) -> str:
    """What git says, or "" outside of a checkout."""
    if shutil.which("git") is None:
        return ""
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    main()
