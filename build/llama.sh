#!/bin/bash
# Build llama.cpp and install its Python binding: build/llama.sh VENV/bin/pip
#
# The computing part of llama.cpp (ggml-cpu) is built once for each of the processors below and put beside the other
# libraries in llama_cpp/lib; appliance/inference/llama/kernels.py loads the best that the host can run. Everything else
# is x86-64-v3, so one build runs on every host of that level. ggml's own list has fourteen processors: those below v3
# never run this program, the others differ from one of these in bfloat16 alone.
set -eu -o pipefail
PIP="$1 --disable-pip-version-check"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

source build/native.sh
sed -n '/^llama-cpp-python==/,/[^\\]$/p' build/locks/run.lock >"$WORK/llama.lock"
$PIP -qq download --no-deps --no-binary :all: --no-build-isolation --require-hashes -d "$WORK" -r "$WORK/llama.lock"
tar -xzf "$WORK"/llama_cpp_python-*.tar.gz -C "$WORK" --one-top-level=source --strip-components=1
sed -i 's/LLAMA_BUILD_COMMON ON CACHE/LLAMA_BUILD_COMMON OFF CACHE/' "$WORK/source/CMakeLists.txt" # for programs, of which we build none
# A token computed by itself behind 512 others would have its attention split among the threads and added up in another
# order than beside others: answers at temperature 0 would depend on who else asks. Split by heads it is as fast.
attention="$WORK/source/vendor/llama.cpp/ggml/src/ggml-cpu/ops.cpp"
sed -i 's/\(const bool use_split_kv_path = \).*nek1 >= 512;/\1false;/' "$attention"
grep -q 'const bool use_split_kv_path = false;' "$attention" || {
  echo "ggml's code for attention is not what it was" >&2
  exit 1
}
if [ "$(uname -m)" = x86_64 ]; then
  variants="$WORK/source/vendor/llama.cpp/ggml/src/CMakeLists.txt"
  sed -i -E '/variant\((x64|sse42|sandybridge|ivybridge|piledriver|cannonlake|icelake|cooperlake|zen4)[ )]/d' "$variants"
  # gcc takes the 64 bytes that ldtilecfg reads for 8, leaves out the others, and the first product dies with SIGILL; so
  # the bytes are pinned. They are loaded for each product: ggml trusts a thread to keep what it has loaded once.
  tiles="$WORK/source/vendor/llama.cpp/ggml/src/ggml-cpu/amx/mmq.cpp"
  sed -i -e 's/static thread_local bool done = false;/bool done = false;/' \
    -e 's/^    _tile_loadconfig(&tc);/    __asm__ volatile("" : : "r"(\&tc) : "memory");\n&/' "$tiles"
  [ "$(grep -c -e '    bool done = false;' -e '"r"(&tc) : "memory"' "$tiles")" = 2 ] || {
    echo "ggml's code for AMX is not what it was" >&2
    exit 1
  }
fi
export CFLAGS="${CFLAGS:-} -ffile-prefix-map=$WORK=." CXXFLAGS="${CXXFLAGS:-} -ffile-prefix-map=$WORK=."
$PIP -qq install --no-deps --no-build-isolation --no-index --force-reinstall "$WORK/source"
[ "$(uname -m)" != x86_64 ] || [ "$($PIP show -f llama-cpp-python | grep -c 'llama_cpp/lib/libggml-cpu-')" = 5 ] || {
  echo "llama.cpp's kernels are not where they belong" >&2
  exit 1
}
