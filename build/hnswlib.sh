#!/bin/bash
# Put hnswlib's headers where build/kernel.sh looks for them: build/hnswlib.sh VENV
#
# What is installed from the same archive is its binding for float32, which the tests compare ours with.
set -eu -o pipefail
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

sed -n '/^hnswlib==/,/[^\\]$/p' build/locks/run.lock >"$WORK/hnswlib.lock"
"$1/bin/pip" --disable-pip-version-check -qq download --no-deps --no-binary :all: --no-build-isolation --require-hashes \
  -d "$WORK" -r "$WORK/hnswlib.lock"
mkdir -p "$1/include/hnswlib"
tar -xzf "$WORK"/hnswlib-*.tar.gz -C "$1/include/hnswlib" --strip-components=2 --wildcards '*/hnswlib/*.h'
