#!/bin/bash
# Build llama.cpp and install its Python binding: build/llama.sh VENV/bin/pip
#
# The computing part of llama.cpp (ggml-cpu) is built once for each of the processors below and put beside the other
# libraries in llama_cpp/lib; appliance/inference/llama/kernels.py loads the best that the host can run. Everything else
# is x86-64-v3, so one build runs on every host of that level. ggml's own list has fourteen processors: those below v3
# never run this program, AMX is left out (kernels.py says why), the others differ from one of these in bfloat16 alone.
set -eu -o pipefail
PIP="$1 --disable-pip-version-check"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

source build/native.sh
sed -n '/^llama-cpp-python==/,/[^\\]$/p' build/locks/run.lock >"$WORK/llama.lock"
$PIP -qq download --no-deps --no-binary :all: --no-build-isolation --require-hashes -d "$WORK" -r "$WORK/llama.lock"
tar -xzf "$WORK"/llama_cpp_python-*.tar.gz -C "$WORK" --one-top-level=source --strip-components=1
sed -i 's/LLAMA_BUILD_COMMON ON CACHE/LLAMA_BUILD_COMMON OFF CACHE/' "$WORK/source/CMakeLists.txt" # for programs, of which we build none
if [ "$(uname -m)" = x86_64 ]; then
  variants="$WORK/source/vendor/llama.cpp/ggml/src/CMakeLists.txt"
  sed -i -E '/variant\((x64|sse42|sandybridge|ivybridge|piledriver|cannonlake|icelake|cooperlake|zen4|sapphirerapids)[ )]/d' "$variants"
fi
export CFLAGS="${CFLAGS:-} -ffile-prefix-map=$WORK=." CXXFLAGS="${CXXFLAGS:-} -ffile-prefix-map=$WORK=."
$PIP -qq install --no-deps --no-build-isolation --no-index --force-reinstall "$WORK/source"
[ "$(uname -m)" != x86_64 ] || [ "$($PIP show -f llama-cpp-python | grep -c 'llama_cpp/lib/libggml-cpu-')" = 4 ] || {
  echo "llama.cpp's kernels are not where they belong" >&2
  exit 1
}
