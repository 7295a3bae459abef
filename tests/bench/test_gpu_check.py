"""bench/gpu_check.sh: with programs in the place of those of a GPU host, some of which fail or take too long."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "bench" / "gpu_check.sh"

PYTHON = f"""#!/bin/sh
echo "python $*" "path $PYTHONPATH" >>"$CALLS"
case "$*" in
    *gpu_table*) exec {sys.executable} "$@" ;;
    *"-m pip install"*) test "$ACUTANCE_CUDA $ACUTANCE_CUDA_ARCHITECTURES" = "ON 90" ;;
    *gpu_probe*) echo "SM90 is refused"; exit 3 ;;
    *bench\\ latency*int8*) sleep 60 ;;
    *bench\\ peers*) echo "no MONAI" >&2; exit 1 ;;
esac
"""


def program(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def host(tmp_path: Path) -> dict[str, str]:
    """Environment of a host with a GPU of compute capability 9.0, whose Python only writes down what it was asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program(folder / "python3", PYTHON)
    program(folder / "nvidia-smi", "#!/bin/sh\necho 9.0\n")
    program(folder / "compute-sanitizer", '#!/bin/sh\necho "sanitizer $*" >>"$CALLS"\n')
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHON", "PYTHONPATH", "ACUTANCE_SITE")}
    return {**environment, "PATH": f"{folder}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls")}


def run(environment: dict[str, str], *arguments: str | Path) -> tuple[int, str, list[str]]:
    """Run the script; return its status, what it printed, and the calls of programs."""
    done = subprocess.run(
        ["bash", SCRIPT, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    calls = Path(environment["CALLS"])
    return done.returncode, done.stdout + done.stderr, calls.read_text().splitlines() if calls.exists() else []


def test_goes_on_after_what_fails_and_ends_in_time(host: dict[str, str], tmp_path: Path) -> None:
    site, out = tmp_path / "site", tmp_path / "out"
    site.mkdir()
    start = time.monotonic()
    status, said, calls = run(host, "--site", site, "--limit", "12", out)
    assert status == 1 and time.monotonic() - start < 40
    steps = {x["step"]: x["result"] for x in json.loads((out / "steps.json").read_text())}
    assert list(steps)[:6] == ["build", "engine", "tests", "memcheck", "racecheck", "initcheck"]
    assert steps["build"] == steps["tests"] == steps["memcheck"] == steps["latency fp16"] == "ok"
    assert steps["engine"] == "failed with status 3" and "SM90 is refused" in said
    assert steps["latency int8"].startswith("stopped after")
    assert steps["peers"] == "skipped: no time was left"
    assert all(str(site) in x.split("path ")[1] for x in calls if x.startswith("python -m pytest"))
    tools = [x.split()[2] for x in calls if x.startswith("sanitizer")]
    assert tools == ["memcheck", "racecheck", "initcheck"]
    assert "latency int8: stopped after" in said and len(said.split("ok: build")[1].splitlines()) <= 60
    assert "no MONAI" not in said


def test_all_is_asked_for(host: dict[str, str], tmp_path: Path) -> None:
    program(tmp_path / "bin" / "python3", PYTHON.replace("sleep 60", "true").replace("exit 3", "exit 0"))
    status, said, calls = run(host, tmp_path / "out")
    assert status == 1 and "no MONAI" in said  # peers alone fails
    assert {x["step"]: x["result"] for x in json.loads((tmp_path / "out" / "steps.json").read_text())} == {
        **dict.fromkeys(("build", "engine", "tests", "memcheck", "racecheck", "initcheck"), "ok"),
        **dict.fromkeys(("latency fp16", "latency int8", "kernels", "engines", "latency 512"), "ok"),
        "peers": "failed with status 1",
    }
    latency = [x for x in calls if "bench latency" in x]
    assert [("int8" in x, "--sizes 512,1024,2048" in x) for x in latency] == [
        (False, True),
        (True, True),
        (False, False),
    ]


def test_without_a_build_nothing_else_runs(host: dict[str, str], tmp_path: Path) -> None:
    program(tmp_path / "bin" / "nvidia-smi", "#!/bin/sh\nexit 9\n")
    status, said, calls = run(host, tmp_path / "out")
    assert status == 1 and "build: skipped: nvidia-smi names no GPU" in said
    assert [x for x in calls if "gpu_table" not in x] == []


def test_wrong_arguments_show_the_usage(host: dict[str, str]) -> None:
    for arguments in ((), ("--what", "out"), ("a", "b")):
        status, said, calls = run(host, *arguments)
        assert status == 2 and "bench/gpu_check.sh [--site DIR]" in said and not calls


def test_table_fits_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    table: Any = runpy.run_path(str(ROOT / "bench" / "gpu_table.py"))["table"]
    ms = {"n": 9, "p50": 0.5, "p90": 0.6, "p99": 0.75, "p99.9": 0.8, "max": 0.9, "samples": [0.5]}
    stages = {"gather": {"p50": 0.1}, "network": {"p50": 0.25}}
    rows = [{"case": f"case {i}", "ms": ms, "of_memcpy": 0.875, "wanted": None, "stages": stages} for i in range(80)]
    machine = {"gpu": {"name": "NVIDIA Something"}}
    for name in ("kernels", "peers"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"bench": name, "machine": machine, "rows": rows}))
    (tmp_path / "torn.json").write_text('{"bench": ')
    steps = [{"step": "build", "result": "ok", "seconds": 7}, {"step": "peers", "result": "failed", "seconds": 1}]
    (tmp_path / "steps.json").write_text(json.dumps(steps))
    lines = table(tmp_path)
    assert len(lines) == 60 and lines[:2] == ["ok: build (7 s)", "peers: failed"]
    assert lines[2] == "kernels.json: kernels on NVIDIA Something"
    assert (
        lines[3]
        == "  case 0, ms: p50 0.500 p99 0.750 p99.9 0.800 max 0.900, of_memcpy 0.875, gather 0.100, network 0.250"
    )
    cut = [x for x in lines if "more in the file" in x]
    assert len(cut) == 2 and sum(int(x.split()[1]) for x in cut) + sum("case " in x for x in lines) == 160
    assert lines[-1] == "torn.json: cannot be read (JSONDecodeError)"
