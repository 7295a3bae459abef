#!/bin/sh
# Cross-compiles the CPU core and its Python module for 64-bit Arm as the wheel does there, runs the core's checks under
# emulation, and holds their digest against this machine's.
# Wants cmake, ninja, in $PYTHON (default python3) pybind11, and aarch64-linux-gnu-g++ and qemu-aarch64-static (Debian:
# g++-aarch64-linux-gnu, qemu-user-static).
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
build=build/aarch64
mkdir -p build

# Python's headers are the same for both processors.
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64.cmake -DACUTANCE_CUDA=OFF \
  -DPython_EXECUTABLE="$("$python" -c 'import sys; print(sys.executable)')" \
  -DPython_INCLUDE_DIR="$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')" \
  -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" >"$build.log" || { cat "$build.log"; exit 1; }
cmake --build "$build" --target _core check_core
# The functors alone, which give the digest.
(cd csrc && c++ -std=c++17 -O1 -ffp-contract=off -pthread check_core.cpp args.cpp cpu.cpp threads.cpp -o "../$build/here")

qemu-aarch64-static -L /usr/aarch64-linux-gnu "$build/check_core" >"$build.out" || { cat "$build.out"; exit 1; }
cat "$build.out"
grep -q neon "$build.out" || { echo "the rows of NEON instructions were not run" >&2; exit 1; }
wanted=$("$build/here" | tail -n 1)
[ "$(tail -n 1 "$build.out")" = "$wanted" ] || { echo "$(uname -m) has another $wanted" >&2; exit 1; }
echo "the same bits as on $(uname -m)"
