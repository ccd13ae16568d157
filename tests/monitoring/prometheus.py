"""A real Prometheus on loopback that scrapes real appliances and evaluates the rules."""

import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml

from tests.monitoring.scaled import write_scaled
from tests.monitoring.site import free_port

EVERY = "500ms"


class Prometheus:
    """Watches `targets` (address by name) until the block ends; `fired` are alerts by name, with when and what."""

    def __init__(self, folder: Path, targets: Mapping[str, str], factor: float) -> None:
        self.fired: dict[str, dict[str, Any]] = {}
        self._folder = folder
        self._began = time.monotonic()
        write_scaled(folder, factor)
        job = {
            "job_name": "rag-appliance",
            "static_configs": [{"targets": [at], "labels": {"site": name}} for name, at in targets.items()],
        }
        told = {
            "global": {"scrape_interval": EVERY, "scrape_timeout": EVERY, "evaluation_interval": EVERY},
            "rule_files": ["*-rules.yml"],
            "scrape_configs": [job],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(told))
        self.url = f"http://127.0.0.1:{free_port()}"
        self._http = httpx.Client(base_url=self.url, trust_env=False, timeout=20)
        self._stopped = threading.Event()
        self._watching = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        command = [
            *("prometheus", f"--config.file={self._folder}/prometheus.yml"),
            *(f"--storage.tsdb.path={self._folder}/tsdb", f"--web.listen-address={self.url.removeprefix('http://')}"),
        ]
        log = (self._folder / "prometheus.log").open("wb")
        self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        for _ in range(200):
            try:
                if self._http.get("/-/ready").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        self._watching.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopped.set()
        self._watching.join()
        self._process.terminate()
        self._process.wait()
        self._http.close()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query. Raises ValueError with what Prometheus says against it."""
        answer = self._http.get("/api/v1/query", params={"query": expression}).json()
        if answer["status"] != "success":
            raise ValueError(f"{expression}: {answer['error']}")
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def wait(self, names: set[str], seconds: float) -> set[str]:
        """Until all of these have fired, or so long; those that have not."""
        until = time.monotonic() + seconds
        while names - self.fired.keys() and time.monotonic() < until:
            time.sleep(0.2)
        return names - self.fired.keys()

    def _watch(self) -> None:
        while not self._stopped.wait(0.2):
            for alert in self._http.get("/api/v1/alerts").json()["data"]["alerts"]:
                name = alert["labels"]["alertname"]
                if alert["state"] == "firing" and name not in self.fired:
                    self.fired[name] = alert | {"after_s": round(time.monotonic() - self._began, 1)}
