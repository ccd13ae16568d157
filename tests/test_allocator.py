"""What is freed between two batches stays for the next one, and goes back to the system when it is asked for."""

import json
import subprocess
import sys

import pytest

BLOCK, ROUNDS = 8 << 20, 50  # bytes of an activation, and how often one comes and goes
PAGE = 4096

PROGRAM = f"""
import ctypes, json, os, resource
from appliance.allocator import give_back, settle_allocator

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def touch():
    block = libc.malloc({BLOCK})
    ctypes.memset(block, 1, {BLOCK})
    libc.free(block)

settle_allocator()
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({ROUNDS}):
    touch()
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
kept = resident()
give_back()
print(json.dumps([faults, kept - resident()]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_batches_reuse_memory_and_idle_gives_it_back() -> None:
    shown = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    faults, returned = json.loads(shown)
    assert faults < BLOCK // PAGE  # mapped anew each time it would be ROUNDS times as many
    assert returned >= BLOCK // 2
