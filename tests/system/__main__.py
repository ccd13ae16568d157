"""`make system-test`: the scenario against a binary, printed as a table; exit code 1 when a step fails."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.system.guest import Failed, Guest, missing
from tests.system.releases import Releases
from tests.system.scenario import Scenario

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Run it, or say why not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary", type=Path, nargs="?", default=ROOT / "dist/rag-appliance")
    parser.add_argument(
        "--cache", type=Path, default=ROOT / "build/system-test", help="Folder of the Debian that is kept."
    )
    parser.add_argument("--steps", help="Only these, with commas between.")
    parser.add_argument("--prepare", action="store_true", help="Install the Debian packages that are missing.")
    options = parser.parse_args()
    if options.prepare and os.geteuid() == 0 and missing() and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-q"], check=False, stdout=subprocess.DEVNULL)
        subprocess.run(["apt-get", "install", "-y", "-q", *missing()], check=False, stdout=subprocess.DEVNULL)
    if reason := _why_not(options.binary):
        print(f"system test skipped: {reason}")
        return
    sys.exit(_run(options.binary, options.cache, options.steps.split(",") if options.steps else None))


def _why_not(binary: Path) -> str:
    if os.geteuid() != 0:
        return "it boots a guest, which needs root"
    if lacking := missing():
        return f"install {', '.join(lacking)} first"
    return "" if binary.is_file() else f"there is no {binary}; `make binary` makes it"


def _run(binary: Path, cache: Path, only: list[str] | None) -> int:
    guest = Guest(cache)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="releases-", dir=cache) as folder:
        try:
            guest.make()
            scenario = Scenario(guest, Releases.make(binary.resolve(), Path(folder)))
            return _steps(scenario, only or scenario.steps())
        finally:
            guest.stop()


def _steps(scenario: Scenario, names: list[str]) -> int:
    passed = 0
    for name in names:
        step = getattr(scenario, name)
        began = time.monotonic()
        try:
            figure, good = step(), True
        except (Failed, KeyError, OSError) as error:
            figure, good = f"{type(error).__name__}: {error}", False
        passed += good
        print(
            f"{'ok  ' if good else 'FAIL'}  {step.__doc__:<52}  {figure}  [{time.monotonic() - began:.0f} s]",
            flush=True,
        )
        if not good:
            print(scenario.host.journal(30) if name != "boot" else "")
            break
    print(f"{passed} passed, {len(names) - passed} failed")
    return 0 if passed == len(names) else 1


if __name__ == "__main__":
    main()
