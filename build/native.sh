# Flags for the native builds, sourced by the Makefile. Portable within x86-64-v3 (AVX2, FMA, F16C, BMI2): the same
# wheel runs on every host of that level, and never dies with SIGILL on one that is older than the build machine.
unset SOURCE_DATE_EPOCH # setting it makes ggml drop to SSE2 without a word
export HNSWLIB_NO_NATIVE=1
common="-DGGML_NATIVE=OFF -DGGML_OPENMP=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAVA_BUILD=OFF -DMTMD_BUILD=OFF -DLLAMA_CURL=OFF"
if [ "$(uname -m)" = x86_64 ]; then
  export CFLAGS="-march=x86-64-v3" CXXFLAGS="-march=x86-64-v3"
  common="$common -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON"
fi
export CMAKE_ARGS="$common"
export CMAKE_BUILD_PARALLEL_LEVEL="$(nproc)"
