#!/bin/bash
# Compile a module of our own: build/kernel.sh VENV/bin/python SOURCE.cpp MODULE.so
#
# Headers of others are in VENV/include.
# No product and sum is contracted to one rounding, unless a file says so: a score has the same last digit however a
# row was reached. -Wno-psabi: a note about calls that pass vectors, of which there are none.
set -eu -o pipefail
source build/native.sh
flags="${CXXFLAGS:-} -O3 -ffp-contract=off -fvisibility=hidden -std=c++17 -Wall -Wextra -Werror -Wno-psabi -shared -fPIC -s"
# shellcheck disable=SC2046,SC2086 # lists of words
g++ $flags -isystem "${1%/bin/*}/include" $("$1" -m pybind11 --includes) "$2" -o "$3.new"
mv "$3.new" "$3"
