"""An operator's llama-server as a child process, to compare with."""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.config import Settings
from bench.chat_client import Chat

START_S = 120.0


@contextmanager
def llama_server(binary: Path, model: Path, settings: Settings, slots: int) -> Iterator[Chat]:
    """`slots` slots with the context and the threads of `settings`, its other settings as they come.

    Raises RuntimeError when it does not start; ends it in any case.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        *(str(binary), "--model", str(model), "--host", "127.0.0.1", "--port", str(port), "--no-webui"),
        *("--parallel", str(slots), "--ctx-size", str(slots * settings.context_tokens)),
        *("--threads", str(settings.threads), "--flash-attn", "on"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, process)
        yield Chat(url, "none", "model")
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except (OSError, urllib.error.URLError):
            time.sleep(0.2)
    raise RuntimeError(f"llama-server did not start (exit status {process.poll()})")
