# Flags for the native builds, sourced by the Makefile and build/llama.sh. Portable within x86-64-v3 (AVX2, FMA, F16C,
# BMI2): what is built runs on every host of that level, and never dies with SIGILL on one older than the build machine.
unset SOURCE_DATE_EPOCH # setting it makes ggml drop to SSE2 without a word
export HNSWLIB_NO_NATIVE=1
common="-DGGML_NATIVE=OFF -DGGML_OPENMP=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAVA_BUILD=OFF -DMTMD_BUILD=OFF -DLLAMA_CURL=OFF"
if [ "$(uname -m)" = x86_64 ]; then
  export CFLAGS="-march=x86-64-v3" CXXFLAGS="-march=x86-64-v3"
  # each library once, without the names of versions; kernels for several processors as files of their own
  common="$common -DCMAKE_PLATFORM_NO_VERSIONED_SONAME=ON -DGGML_BACKEND_DL=ON -DGGML_CPU_ALL_VARIANTS=ON -DGGML_BACKEND_DIR:STRING=llama_cpp/lib -DCMAKE_INSTALL_RPATH=\$ORIGIN"
fi
export CMAKE_ARGS="$common"
export CMAKE_BUILD_PARALLEL_LEVEL="$(nproc)"
