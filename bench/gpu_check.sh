#!/usr/bin/env bash
# Builds acutance on a host with an NVIDIA GPU, tests it there, measures it, and prints a table.
#
#   bench/gpu_check.sh [--site DIR] [--trt8 DIR] [--limit SECONDS] [--dry] OUTDIR
#
# From a bare checkout, without a network. Wants nvcc, cmake, ninja, a C++ compiler, and in $PYTHON (default python3)
# scikit-build-core, pybind11, NumPy, torch, ONNX Runtime, pytest, hypothesis, typer and rich.
#   --site DIR   further Python packages: PyCUDA, TensorRT or TensorRT-RTX, pydicom, nibabel, pydantic, MONAI
#                (default: $ACUTANCE_SITE)
#   --trt8 DIR   a Python 3.10 with TensorRT 8.6 (bench/trt8/README.md), which stands in where the other runs no engine here
#   --limit N    seconds for everything (default 530); each step has its share besides
#   --dry        what needs no GPU, with the acutance that $PYTHON has: an engine for SM80, which tests there are, whether
#                every command line is accepted, the table from bench/results
# Goes on after a step that fails. OUTDIR: JSON of each benchmark, steps.json, log.txt. The exit status is 1 when a step
# failed.
set -uo pipefail

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }

python=${PYTHON:-python3} site=${ACUTANCE_SITE:-} trt8='' limit=530 dry='' out=''
while [ $# -gt 0 ]; do
    case $1 in
        --site) site=${2:?--site DIR}; shift ;;
        --trt8) trt8=${2:?--trt8 DIR}; shift ;;
        --limit) limit=${2:?--limit SECONDS}; shift ;;
        --dry) dry=1 ;;
        -*) usage ;;
        *) [ -z "$out" ] || usage; out=$1 ;;
    esac
    shift
done
[ -n "$out" ] || usage

mkdir -p "$out" || exit 2
out=$(cd "$out" && pwd)
repo=$(cd "$(dirname "$0")/.." && pwd)
cd "$repo" || exit 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: >"$out/log.txt"
rm -f "$out"/*.json
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore ACUTANCE_ENGINES=$work/engines
[ -z "$site" ] || PYTHONPATH=$(cd "$site" && pwd)${PYTHONPATH:+:$PYTHONPATH}
[ -n "$dry" ] || PYTHONPATH=$work/installed${PYTHONPATH:+:$PYTHONPATH}
export PYTHONPATH=${PYTHONPATH:-}
steps=() failed=0 target=()

record() { # NAME RESULT SECONDS
    steps+=("{\"step\": \"$1\", \"result\": \"$2\", \"seconds\": $3}")
    printf '%s\n' "${steps[@]}" | paste -sd, | sed 's/.*/[&]/' >"$out/steps.json"
}

skip() { # NAME WHY
    printf '%-20s skipped: %s\n' "$1" "$2"
    record "$1" "skipped: $2" 0
}

step() { # NAME SECONDS COMMAND...: run it within its share and what is left of the whole; the status is the command's
    local name=$1 share=$2 start=$SECONDS left=$((limit - SECONDS)) status result=ok
    shift 2
    [ "$left" -ge 5 ] || { skip "$name" "no time was left"; failed=1; return 1; }
    [ "$share" -le "$left" ] || share=$left
    printf '\n==== %s: %s\n' "$name" "$*" >>"$out/log.txt"
    timeout -k 5 "$share" "$@" >>"$out/log.txt" 2>&1 </dev/null
    status=$?
    case $status in
        0) ;;
        124 | 137) result="stopped after $share s" ;;
        *) result="failed with status $status" ;;
    esac
    [ $status -eq 0 ] || failed=1
    printf '%-20s %s, %d s\n' "$name" "$result" $((SECONDS - start))
    [ $status -eq 0 ] || tail -n 12 "$out/log.txt" | grep -v '[╭╰]' | tail -n 3 | sed 's/^/    /'
    record "$name" "$result" $((SECONDS - start))
    return $status
}

acutance() { # NAME SECONDS ARGUMENTS...: a step of the command; dry: only whether the command line is accepted
    local name=$1 share=$2
    shift 2
    step "$name" "$share" "$python" -c 'from acutance.cli import main; main()' "$@" ${dry:+--help}
}

tests() { # NAME SECONDS PREFIX... -- ARGUMENTS...: the tests that need a GPU, under a tool
    local name=$1 share=$2 prefix=()
    shift 2
    while [ "$1" != -- ]; do prefix+=("$1"); shift; done
    shift
    step "$name" "$share" ${prefix[@]+"${prefix[@]}"} "$python" -m pytest -q -c "$repo/pyproject.toml" --rootdir "$repo" \
        -p no:cacheprovider -m gpu ${dry:+--collect-only} "$@"
}

sanitized() { # TOOL: the ops and the capture; TensorRT's own kernels are not ours to check
    [ -z "$dry" ] || { skip "$1" "dry"; return; }
    command -v compute-sanitizer >/dev/null || { skip "$1" "no compute-sanitizer"; return; }
    tests "$1" 40 compute-sanitizer --tool "$1" --error-exitcode 9 --target-processes all -- \
        --hypothesis-profile few tests/test_fill.py tests/test_gather.py tests/test_assemble.py tests/test_cuda_graph.py
}

build() {
    local architecture
    if [ -n "$dry" ]; then
        step 'import' 20 "$python" -c 'import acutance; print(acutance.__version__, acutance.__file__)'
        return
    fi
    architecture=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader -i 0 | tr -d '. ')
    [ -n "$architecture" ] || { skip build 'nvidia-smi names no GPU'; failed=1; return 1; }
    ACUTANCE_CUDA=ON ACUTANCE_CUDA_ARCHITECTURES=$architecture step build 120 "$python" -m pip install -q --no-index \
        --no-deps --no-build-isolation --target "$work/installed" "$repo"
}

engine() { # whether TensorRT builds and runs an engine here at all
    if [ -n "$dry" ]; then
        local found
        found=$("$python" -c 'from acutance.trt_engines import flavour; flavour.load("rtx")' 2>&1 | tail -n 1)
        [ -z "$found" ] || { skip 'engine for SM80' 'no TensorRT-RTX'; return; }
        step 'engine for SM80' 100 "$python" -c 'from acutance.cli import main; main()' \
            build ct-rt-x2 --precision fp32 --flavour rtx --target sm80 --batches 1,4
        return
    fi
    step engine 40 "$python" -m acutance.bench.gpu_probe --json "$out/engine.json" && return
    # An engine for SM80 may run where none for this GPU can be built: the benchmarks then use those.
    "$python" -c 'import json, sys; sys.exit(not any(r["for"] == "SM80" and r["right"] for r in json.load(open(sys.argv[1]))["rows"]))' \
        "$out/engine.json" 2>/dev/null || return
    target=(--target sm80)
}

stand_in() { # TensorRT 8.6 where the other has run no engine; its numbers bear that name
    local precision
    [ -n "$trt8" ] || return 0
    for precision in fp16 int8; do
        step "TensorRT 8.6 $precision" 60 bash "$repo/bench/trt8/run.sh" "$python" "$trt8" ct-rt-x2 "$precision" \
            "$out/trt8-$precision.json"
    done
}

benches() {
    local fastest=--fastest latency
    latency=(bench latency --model ct-rt-x2 --backend tensorrt --seconds 2 --rates 60,30 ${target[@]+"${target[@]}"})
    acutance 'latency fp16' 70 "${latency[@]}" --precision fp16 --sizes 512,1024,2048 --loads none,gpu \
        --json "$out/latency-fp16.json"
    acutance 'latency int8' 45 "${latency[@]}" --precision int8 --sizes 512,1024,2048 --loads none \
        --json "$out/latency-int8.json"
    acutance kernels 30 bench kernels --on cuda --json "$out/kernels.json"
    # A sweep that fits: a tile more than the default and the whole picture, the longest ladder, both layouts.
    acutance engines 75 bench engines --model ct-rt-x2 --size 512 --tiles 128,256 --batches 16 --seconds 60 \
        ${target[@]+"${target[@]}"} --json "$out/engines.json" || fastest=''
    acutance 'latency 512' 20 "${latency[@]}" --precision fp16 --sizes 512 --loads none $fastest \
        --json "$out/latency-512.json"
    acutance peers 70 bench peers --model ct-rt-x2 --sizes 512 --backend tensorrt --precision fp16 $fastest \
        ${target[@]+"${target[@]}"} --json "$out/peers.json"
}

if build; then
    engine || stand_in
    tests tests ${dry:+1}60 --
    for tool in memcheck racecheck initcheck; do sanitized $tool; done
    benches
fi
[ -z "$dry" ] || cp bench/results/*.json "$out/"
echo
"$python" bench/gpu_table.py "$out"
exit $failed
