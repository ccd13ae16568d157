"""What tests of a change do with an appliance."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.app import Appliance
from appliance.config import load_settings
from appliance.ingest.spec import IngestSpec
from appliance.reembed import ChangeSpec, ChangeStatus
from appliance.types import Query

INT8, FP32 = "minilm-l6-v2.int8", "minilm-l6-v2.fp32"
QUESTION = "How do I make a backup?"


def opened(data: Path, **settings: object) -> Appliance:
    arguments = {"data_dir": data, "generator": "none", "threads": 1, "abstain_below": -1.0, **settings}
    return Appliance.open(load_settings(arguments), purpose="tests")


def take_in(appliance: Appliance, folder: Path) -> None:
    task = appliance.ingestion.submit(IngestSpec(directory=folder, sync=True))
    status = appliance.ingestion.wait(task.id, 120)
    assert status.finished_at is not None
    assert status.error is None


def ended(appliance: Appliance, status: ChangeStatus) -> ChangeStatus:
    status = appliance.reembedding.wait(status.id, 200)
    assert status.finished_at is not None, status
    return status


def change(appliance: Appliance, model: str, spec: ChangeSpec | None = None) -> ChangeStatus:
    return ended(appliance, appliance.reembedding.submit("default", model, spec or ChangeSpec()))


def serving(appliance: Appliance) -> str:
    return appliance.collections.embedder("default").name


def assert_whole(appliance: Appliance) -> None:
    assert appliance.store.documents.check() == []
    assert appliance.collections.index("default").verify() == []


@contextmanager
def asked_all_the_while(appliance: Appliance) -> Iterator[None]:
    """Ask in another thread until the block ends; no answer may be missing or fail."""
    done, failed = threading.Event(), list[BaseException]()

    def ask() -> None:
        try:
            while not done.is_set():
                answer = appliance.answer(Query(QUESTION, k=5), cancel=threading.Event())
                assert answer.claims
                time.sleep(0.05)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failed.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        done.set()
        asking.join()
    assert not failed
