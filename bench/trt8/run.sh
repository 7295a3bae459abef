#!/usr/bin/env bash
# run.sh PYTHON DIR MODEL PRECISION RESULT.json: see README.md
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$1 dir=$(cd "$2" && pwd) model=$3 precision=$4 result=$5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" "$here/graph.py" "$model" "$precision" "$work/graph.onnx" "$work/tiles.json"
env -u PYTHONPATH LD_LIBRARY_PATH="$dir/stubs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" PYTHONPATH="$dir/site" \
    "$dir/python310/bin/python3.10" "$here/engine.py" "$work/graph.onnx" "$precision" "$work/tiles.json" "$result"
