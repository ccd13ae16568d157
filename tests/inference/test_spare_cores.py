"""How many threads compute, by what else runs."""

import math
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.inference.llama.spare_cores import SpareCores, Used, busy_with_others, threads_for


@pytest.mark.parametrize(
    ("others", "cores", "most", "expected"),
    [
        (0.0, 2, 2, 2),
        (0.3, 2, 2, 2),  # callers and the threads that serve them
        (0.8, 2, 2, 1),
        (9.0, 2, 2, 1),
        (0.0, 8, 4, 4),
        (4.5, 8, 4, 3),
        (0.1, 8, 8, 8),
        (0.5, 8, 8, 7),
        (2.0, 8, 8, 6),
    ],
)
def test_as_many_as_get_most_done(others: float, cores: int, most: int, expected: int) -> None:
    assert threads_for(others, cores, most) == expected


def test_others_are_other_programs_and_own_threads_that_do_not_compute() -> None:
    before = Used(at=10.0, host=100.0, process=40.0, threads={"7": 5.0, "8": 1.0})
    after = Used(at=12.0, host=104.0, process=43.0, threads={"7": 5.6, "9": 0.4})
    assert math.isclose(busy_with_others(before, after), (1.0 + 0.6 + 0.4) / 2)
    assert busy_with_others(before, Used(11.0, 100.0, 41.0, {})) == 0  # a kernel that does not tell


def test_a_program_on_a_core_is_seen(tmp_path: Path) -> None:
    spare = SpareCores(2, 2)
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            end = time.monotonic() + 30
            while spare.threads() != 1 and time.monotonic() < end:
                time.sleep(0.05)
            assert spare.threads() == 1
        finally:
            busy.kill()


def test_without_what_the_kernel_tells_there_are_all(tmp_path: Path) -> None:
    spare = SpareCores(4, 2, tmp_path)
    assert spare.threads() == 2
    time.sleep(0.3)
    assert spare.threads() == 2
    assert SpareCores(1, 64).threads() == 1
