#!/bin/sh
# Builds the CPU core with AddressSanitizer and UndefinedBehaviorSanitizer and runs the tests of the ops on it, and on the
# CUDA sources compiled for the host likewise.
# Wants cmake, ninja and, in $PYTHON (default python3), acutance with its test requirements and pybind11.
# Further arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
build=build/sanitize
mkdir -p build

cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DACUTANCE_SANITIZE=address,undefined -DACUTANCE_CUDA=OFF \
  -DPython_EXECUTABLE="$("$python" -c 'import sys; print(sys.executable)')" \
  -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" >"$build.log" || { cat "$build.log"; exit 1; }
cmake --build "$build" --target _core

# libstdc++ as well: AddressSanitizer looks for the throw of exceptions in what is loaded before it. Python's own
# allocator would hide an array's end from it; what the interpreter never frees is no leak of ours.
LD_PRELOAD="$(c++ -print-file-name=libasan.so) $(c++ -print-file-name=libstdc++.so)" \
  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc \
  CXXFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=all" \
  "$python" - "$build" "$@" <<'EOF'
import importlib.util
import pathlib
import sys

import pytest

built = next(pathlib.Path(sys.argv[1]).resolve().glob("_core*.so"))
assert b"__asan_report_load" in built.read_bytes() and b"__ubsan_handle" in built.read_bytes(), "not sanitized"
spec = importlib.util.spec_from_file_location("acutance._core", built)
core = sys.modules["acutance._core"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(core)

import acutance
from acutance import _native

acutance._core = core
assert _native.core is core and pathlib.Path(core.__file__) == built, "another core is imported"
print(f"testing {built}", flush=True)
# Without capture: the report of a sanitizer is the last thing that this process writes.
tests = [f"tests/test_{name}.py" for name in ("ops", "fill", "gather", "assemble")]
sys.exit(pytest.main(["-q", "-s", "-p", "no:cacheprovider", *tests, *sys.argv[2:]]))
EOF
