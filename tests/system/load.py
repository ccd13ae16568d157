"""Callers that ask without a pause, some over a connection that they keep and some over a new one each time."""

import json
import sys
import threading
import time

import httpx

CALLERS = 8
DEADLINE_S = 120.0


class Load:
    """Counts what was answered and what was not; `longest_s` is the longest that an answer took."""

    def __init__(self, url: str, key: str) -> None:
        self.answered = 0
        self.refused: list[str] = []
        self.longest_s = 0.0
        self._url, self._key = url, key
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    def ask(self, kept: bool) -> None:
        limits = httpx.Limits(max_keepalive_connections=None if kept else 0)
        headers = {"X-API-Key": self._key}
        with httpx.Client(
            base_url=self._url, headers=headers, limits=limits, timeout=DEADLINE_S, trust_env=False
        ) as http:
            number = 0
            while not self._stopped.is_set():
                number += 1
                began = time.monotonic()
                try:
                    reply = http.post("/search", json={"question": f"How is key {number} revoked?"})
                    problem = "" if reply.status_code == 200 else f"{reply.status_code} {reply.text[:200]}"
                except httpx.TransportError as error:
                    problem = repr(error)
                self._count(problem, time.monotonic() - began)

    def _count(self, problem: str, took_s: float) -> None:
        with self._lock:
            self.longest_s = max(self.longest_s, took_s)
            if problem:
                self.refused.append(problem)
            else:
                self.answered += 1

    def run_until_told(self) -> None:
        """Until a line comes on standard input; then prints what was counted as JSON."""
        threads = [threading.Thread(target=self.ask, args=(number % 2 == 0,)) for number in range(CALLERS)]
        for thread in threads:
            thread.start()
        sys.stdin.readline()
        self._stopped.set()
        for thread in threads:
            thread.join()
        print(json.dumps({"answered": self.answered, "refused": len(self.refused), "problems": self.refused[:3],
                          "longest_s": round(self.longest_s, 2)}))  # fmt: skip


if __name__ == "__main__":
    Load(sys.argv[1], sys.argv[2]).run_until_told()
