"""The kernels that are chosen for a processor."""

from pathlib import Path

import pytest

from appliance.errors import ModelError
from appliance.inference.llama.kernels import PROCESSORS, best, flags, load

EVERY = frozenset(PROCESSORS)
V4 = {"avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw"}
AMX = {"avx512vbmi", "avx512_bf16", "amx_tile", "amx_int8"}
HASWELL = {"fpu", "sse4_2", "avx", "avx2", "fma", "f16c", "bmi2"}


@pytest.mark.parametrize(
    ("usable", "there", "expected"),
    [
        (HASWELL, EVERY, "haswell"),
        (HASWELL | {"avx_vnni"}, EVERY, "alderlake"),
        (HASWELL | V4, EVERY, "skylakex"),
        (HASWELL | V4 | {"avx512_vnni"}, EVERY, "cascadelake"),
        (HASWELL | V4 | {"avx512_vnni"} | AMX, EVERY, "sapphirerapids"),
        (HASWELL | V4 | {"avx512_vnni"} | AMX - {"amx_tile"}, EVERY, "cascadelake"),  # masked by a hypervisor
        (HASWELL | V4 | {"avx512_vnni"} | AMX, EVERY - {"sapphirerapids"}, "cascadelake"),
        (HASWELL | V4 | {"avx512_vnni"}, EVERY - {"cascadelake"}, "skylakex"),
        (HASWELL | V4 - {"avx512bw"} | {"avx512_vnni"}, EVERY, "haswell"),
        (set(), EVERY, "haswell"),  # a kernel that does not tell
        (HASWELL, frozenset(), None),
    ],
)
def test_the_best_that_the_kernel_lets_programs_use(usable: set[str], there: frozenset[str], expected: str) -> None:
    assert best(frozenset(usable), there) == expected


def test_flags_are_those_of_the_first_core(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx2 fma\nbugs\t: none\n\nprocessor\t: 1\nflags\t\t: fpu\n")
    assert flags(cpuinfo) == {"fpu", "avx2", "fma"}
    assert flags(tmp_path / "none") == frozenset()


def test_without_any_kernels_nothing_is_looked_for_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from llama_cpp import _ggml

    class Bare:
        @staticmethod
        def ggml_backend_load(path: bytes) -> None:
            pass

        @staticmethod
        def ggml_backend_reg_count() -> int:
            return 0

    monkeypatch.setattr(_ggml, "libggml", Bare)
    monkeypatch.setattr(_ggml, "libggml_base_path", tmp_path)
    with pytest.raises(ModelError, match="none"):
        load.__wrapped__()


def test_what_is_installed_runs_here() -> None:
    assert load() in {*PROCESSORS, "built-in"}
    assert load() == load()
