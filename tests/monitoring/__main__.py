"""`make monitoring-test`: a real Prometheus sees every alert fire while something is really broken.

It takes about four minutes, and root for a small disk and a control group. Times of the rules are divided by FACTOR.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from appliance.monitoring import alerts
from tests.monitoring.dashboards import problems
from tests.monitoring.prometheus import Prometheus
from tests.monitoring.scenario import Scenario
from tests.monitoring.site import MEMORY_GROUPS, small_disk

FACTOR = 30.0
DISK = "96m"
FIRST = {"RagLatencyP95High", "RagLatencyP99High", "RagLatencyBurnFast", "RagLatencyBurnSlow"}
NOT_SEEN, NO_GROUP = "NOT SEEN FIRING      ", "no cgroup v1 here    "
UNPROVEN: set[str] = set() if MEMORY_GROUPS.is_dir() else {"RagMemoryHigh"}
LAST = {"RagRestarted", "RagDown"}
FAULTS = {
    "RagDown": "the server is killed and stays away",
    "RagErrorRateHigh": "more questions than query_concurrency: 503",
    "RagLatencyP95High": "four callers share a generator with one thread",
    "RagLatencyP99High": "the same",
    "RagTrafficHigh": "forty times the questions of the minute before",
    "RagCacheHitRateLow": "questions that nobody asked before",
    "RagRestarted": "SIGKILL, then a start on the same data",
    "RagComponentNotReady": "a generator that is not on this host",
    "RagMemoryHigh": "a control group with a limit just above what is used",
    "RagDiskAlmostFull": "a small file system is filled",
    "RagDiskFillingUp": "the same, while it fills",
    "RagIndexStale": "a foreign process deletes rows below the server",
    "RagQueueBackingUp": "ingestion that waits for room on the full disk",
    "RagTaskWaiting": "the same",
    "RagGeneratorBreakerOpen": "the model's file is cut short before it is loaded",
    "RagBackupOld": "backups every 36 s for which there is no room",
    "RagBackupFailed": "the same",
    "RagAvailabilityBurnFast": "503 as above",
    "RagAvailabilityBurnSlow": "503 as above",
    "RagLatencyBurnFast": "slow answers as above",
    "RagLatencyBurnSlow": "slow answers as above",
}


def main() -> None:
    """Run it, or say why not; exit code 1 when an alert was not seen or a panel is empty."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--prepare", action="store_true", help="Install the Debian package prometheus where it is missing."
    )
    parser.add_argument("--json", type=Path, help="Write what was seen to this file.")
    options = parser.parse_args()
    if options.prepare and os.geteuid() == 0 and not shutil.which("prometheus") and shutil.which("apt-get"):
        _install()
    if reason := _why_not():
        print(f"monitoring test skipped: {reason}")
        return
    with tempfile.TemporaryDirectory(prefix="rag-monitoring-") as made:
        folder = Path(made)
        with small_disk(folder / "disk", DISK) as disk:
            sys.exit(_run(folder, disk, options.json))


def _install() -> None:
    subprocess.run(["apt-get", "update", "-q"], check=False, stdout=subprocess.DEVNULL)
    subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", "prometheus"], check=False,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    subprocess.run(["systemctl", "disable", "--now", "prometheus"], check=False, capture_output=True)


def _why_not() -> str:
    if not shutil.which("prometheus"):
        return "install the package prometheus first, or run it with --prepare"
    return "" if os.geteuid() == 0 else "it mounts a small file system and makes a control group, which needs root"


def _run(folder: Path, disk: Path, told: Path | None) -> int:
    scenario = Scenario(folder, disk)
    try:
        scenario.prepare()
        targets = {site.name: site.address for site in scenario.sites}
        watched = folder / "prometheus"
        watched.mkdir()
        with Prometheus(watched, targets, FACTOR) as prometheus:
            empty = _watch(scenario, prometheus)
            fired = dict(prometheus.fired)
    finally:
        scenario.stop()
    if set(FAULTS) - fired.keys():
        scenario.show_logs()
    if told:
        told.write_text(json.dumps({"factor": FACTOR, "fired": fired, "panels": empty}, indent=1))
    return _report(fired, empty)


def _watch(scenario: Scenario, prometheus: Prometheus) -> list[str]:
    scenario.at_once()
    time.sleep(5)
    prometheus.wait(FIRST, 100)
    scenario.refuse()
    scenario.surge()
    scenario.forget_rows()
    time.sleep(15)
    scenario.starve()
    prometheus.wait(set(FAULTS) - LAST - UNPROVEN, 110)
    empty = problems(prometheus)
    scenario.kill()
    prometheus.wait({"RagRestarted"}, 30)
    scenario.end()
    prometheus.wait({"RagDown"}, 30)
    return empty


def _report(fired: dict[str, dict[str, object]], empty: list[str]) -> int:
    names = [alert.name for alert in alerts()]
    for name in names:
        seen = fired.get(name)
        when = f"firing after {seen['after_s']:>6} s" if seen else NO_GROUP if name in UNPROVEN else NOT_SEEN
        print(f"{name:26} {when}   {FAULTS.get(name, 'no fault is known')}")
    for line in empty:
        print(f"panel without data: {line}")
    missing = set(names) - fired.keys() - UNPROVEN
    print(f"{len(fired.keys() & set(names))} of {len(names)} alerts seen firing; {len(empty)} panels without data.")
    return 1 if missing or empty else 0


if __name__ == "__main__":
    main()
