"""llama-cpp-python opens lib/libllama.so and lib/libggml.so by path; those need each other by their SONAMEs.

The wheel holds each library three times (name, SONAME, version). Here each is once, under its SONAME, and the two that
are opened by another name are links to it (rag-appliance.spec adds them: a hook can only add files). Backends without
a SONAME, loaded by path at run time, are taken as they are.
"""

from pathlib import Path

from PyInstaller.utils.hooks import get_package_paths

LIBRARIES = Path(get_package_paths("llama_cpp")[1]) / "lib"
binaries = [(str(path), "llama_cpp/lib") for path in sorted(LIBRARIES.glob("*.so.[0-9]*")) if path.name.count(".") == 2]
binaries += [(str(path), "llama_cpp/lib") for path in sorted(LIBRARIES.glob("libggml-cpu-*.so"))]
excludedimports = ["llama_cpp.server", "huggingface_hub", "transformers"]
