"""llama-cpp-python opens lib/libllama.so and lib/libggml.so by path; kernels.py opens lib/libggml-cpu-PROCESSOR.so.

build/llama.sh installs each library once. An ordinary build of the package holds each three times, as name, SONAME and
version, and they need each other by SONAME: of those, the file with the SONAME is taken, and rag-appliance.spec adds
the plain name as a link (a hook can only add files).
"""

from pathlib import Path

from PyInstaller.utils.hooks import get_package_paths

LIBRARIES = Path(get_package_paths("llama_cpp")[1]) / "lib"
plain = sorted(LIBRARIES.glob("*.so"))
versioned = {path: path.with_name(f"{path.name}.0") for path in plain}
binaries = [(str(versioned[path] if versioned[path].exists() else path), "llama_cpp/lib") for path in plain]
excludedimports = ["llama_cpp.server", "huggingface_hub", "transformers"]
