"""Requantises a GGUF file through llama.cpp's own quantiser."""

import os
from pathlib import Path

import llama_cpp

FORMATS = {
    "Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
    "IQ4_NL": llama_cpp.LLAMA_FTYPE_MOSTLY_IQ4_NL,
    "Q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0,
}


def requantise(source: Path, target: Path, quantisation: str) -> None:
    """Write `source` again as one of FORMATS. Raises RuntimeError when llama.cpp refuses."""
    silence = llama_cpp.llama_log_callback(lambda level, text, user_data: None)
    llama_cpp.llama_log_set(silence, None)
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = FORMATS[quantisation]
    parameters.allow_requantize = True
    parameters.nthread = os.cpu_count() or 1  # rows are independent: the bytes do not depend on it
    status = llama_cpp.llama_model_quantize(os.fsencode(source), os.fsencode(target), parameters)
    if status != 0:
        raise RuntimeError(f"{source.name}: llama.cpp cannot requantise it to {quantisation} (status {status})")
