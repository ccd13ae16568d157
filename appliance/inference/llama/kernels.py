"""The computing part of llama.cpp, chosen for the processor: ggml-cpu is there once for each of several processors.

`build/llama.sh` puts the files beside llama.cpp's other libraries. ggml would choose among them by what the processor
knows; here it is what the kernel lets programs use, which is less where a hypervisor or a boot option has disabled it.
With AMX, prompts are read two to three times as fast as with AVX-512. ggml asks the kernel for it and does without
where that refuses. gcc needs a correction of ggml's code, which `build/llama.sh` makes.
"""

import ctypes
from functools import cache
from pathlib import Path

from appliance.errors import ModelError

CPUINFO = Path("/proc/cpuinfo")
V3 = frozenset({"avx2", "fma", "f16c", "bmi2"})
AVX512 = V3 | {"avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw"}
VNNI = AVX512 | {"avx512_vnni"}
AMX = VNNI | {"avx512vbmi", "avx512_bf16", "amx_tile", "amx_int8"}
PROCESSORS = {  # ggml's names, best first, with the flags of /proc/cpuinfo that each needs
    "sapphirerapids": AMX,
    "cascadelake": VNNI,
    "skylakex": AVX512,
    "alderlake": V3 | {"avx_vnni"},
    "haswell": V3,
}


def flags(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """What programs may use of the processor; empty where the kernel does not tell."""
    try:
        lines = cpuinfo.read_text("utf-8", "replace").splitlines()
    except OSError:
        return frozenset()
    found = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(found.partition(":")[2].split())


def best(usable: frozenset[str], there: frozenset[str]) -> str | None:
    """The best of PROCESSORS that is `there` and runs with the `usable` flags; the least when those are not known."""
    for name, needed in PROCESSORS.items():
        if name in there and (needed <= usable or needed == V3):
            return name
    return None


@cache
def load() -> str:
    """Load the kernels for this host, once; -> whose they are, "built-in" where llama.cpp was built with one kind.

    To be called before anything else of llama.cpp: without kernels it looks for some in the working directory.
    Raises ModelError.
    """
    from llama_cpp._ggml import libggml, libggml_base_path

    files = {path.stem.removeprefix("libggml-cpu-"): path for path in libggml_base_path.glob("libggml-cpu-*.so")}
    name = best(flags(), frozenset(files))
    if name is None and libggml.ggml_backend_reg_count():
        return "built-in"
    libggml.ggml_backend_load.argtypes, libggml.ggml_backend_load.restype = [ctypes.c_char_p], ctypes.c_void_p
    if name is None or not libggml.ggml_backend_load(str(files[name]).encode()):
        hint = "The processor must be of level x86-64-v3 (2013 or later). Otherwise, install the program again."
        raise ModelError(f"llama.cpp's kernels cannot be loaded: {name or 'none'}", code="model_foreign", hint=hint)
    return name
