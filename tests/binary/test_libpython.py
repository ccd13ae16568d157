"""The interpreter's library that is linked again for the one file."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "build" / "binary"))
from libpython import relinked


@pytest.mark.slow
def test_its_calls_are_bound_inside_and_it_tells_nothing_of_where_it_was_built(tmp_path: Path) -> None:
    made = relinked(tmp_path)
    if not made:
        pytest.skip("this Python has no shared library, or brings no archive of its objects")
    [(name, library)] = made
    told = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
    assert "(SYMBOLIC)" in told
    assert f"[{name}]" in told
    assert "RPATH" not in told
    assert "RUNPATH" not in told
    version = ctypes.CDLL(str(library)).Py_GetVersion
    version.restype = ctypes.c_char_p
    assert version().decode() == sys.version
