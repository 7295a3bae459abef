from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).resolve().parents[2] / "tools" / "check_skips.py"

CASES = """
import pytest
def test_runs(): pass
def test_hardware(): pytest.skip("no GPU: cuInit says 100")
def test_data(): pytest.skip("no ACUTANCE_DATA")
def test_machine(): pytest.skip("no TensorRT-RTX for aarch64: not built for it")
def test_runtime(): pytest.skip("no TensorRT-RTX: not installed")
def test_tool(): pytest.skip("dciodvfy is not installed")
@pytest.mark.xfail(reason="broken")
def test_broken(): assert False
"""


def test_names_each_skip_that_is_not_allowed(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(CASES)
    (tmp_path / "test_b.py").write_text("import pytest\npytest.importorskip('no_such_module')\ndef test_b(): pass\n")
    report = tmp_path / "report.xml"
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", "."]
    subprocess.run(pytest, cwd=tmp_path, stdout=subprocess.DEVNULL, check=True)
    found = runpy.run_path(str(TOOL))["refused"](report)
    assert len(found) == 4
    for part in (
        "test_runtime: no TensorRT-RTX",
        "test_tool: dciodvfy is not installed",
        "test_broken: broken",
        "no_such_module",
    ):
        assert any(part in line for line in found), part
    done = subprocess.run([sys.executable, TOOL, report], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("skip not allowed here") == 4
