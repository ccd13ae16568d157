"""SIGKILL at every step of an erasure: the document is gone for questions at once, and the next start finishes it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appliance import faults
from tests.erasure.conftest import Office, pieces, raw_hits, unique_text

ROOT = Path(__file__).resolve().parents[2]
SECRET, OTHER = unique_text("crash"), unique_text("kept")
STEPS = sorted(step for step in faults.STEPS if step.startswith("erase."))
ERASER = """
import sys
from pathlib import Path
from appliance import faults
from tests.erasure.conftest import Office

office = Office(Path(sys.argv[1]), exact_scan_below=1)
faults.arm(sys.argv[2])
office.erase(office.id_of("secret.txt"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step(tmp_path: Path, step: str) -> None:
    office = Office(tmp_path, exact_scan_below=1)
    office.upload({"secret.txt": SECRET.encode(), "other.txt": OTHER.encode()})
    secret = office.id_of("secret.txt")
    office.close()
    command = [sys.executable, "-c", ERASER, str(tmp_path), step]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    office.open()
    try:
        if step == "erase.rows_removed":  # inside the transaction: as if nobody had asked
            assert office.appliance.store.documents.info(secret).id == secret
            assert office.appliance.eraser.list(10) == []
            return
        assert secret not in {info.id for info in office.appliance.store.documents.list(None)}
        [erasure] = office.appliance.eraser.list(10)
        receipt = office.receipt(erasure.id)
        assert receipt["verdict"] == "proved", json.dumps(receipt)
        assert receipt["documents"][0]["document_id"] == secret
        assert raw_hits(office.data, *pieces(SECRET), b"secret.txt") == {}
        assert office.appliance.store.documents.check() == []
        assert office.appliance.collections.index("default").verify() == []
    finally:
        office.close()
