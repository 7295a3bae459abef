"""Who imports whom."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import acutance

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(acutance.__file__).parent

SLOW_OR_OPTIONAL = ("torch", "onnxruntime", "pydicom", "nibabel", "matplotlib", "skimage", "scipy")


def lint_imports(config: Path) -> subprocess.CompletedProcess[str]:
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", program, "--config", str(config), "--no-cache"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_contracts_are_kept() -> None:
    if FOLDER.parent == ROOT / "python":
        pytest.skip("acutance is installed editable: its layout is not that of the wheel")
    done = lint_imports(ROOT / "pyproject.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 kept, 0 broken" in done.stdout


def test_every_runtime_module_may_not_import_torch() -> None:
    tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    first, second = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layered = {m.strip(" ()") for layer in first["layers"] for m in layer.replace("|", ":").split(":")}
    held = {m.removeprefix("acutance.") for m in second["source_modules"]}
    assert held == layered | {"degrade", "evaluate"}
    assert {"torch", "acutance.networks", "acutance.train", "acutance.export", "acutance.bench"} <= set(
        second["forbidden_modules"]
    )


@pytest.mark.parametrize("what", ["import acutance", "from acutance.cli import main; main(['--version'])"])
def test_starts_without_the_slow_imports(what: str) -> None:
    program = f"""
import sys
try:
    {what}
except SystemExit:
    pass
print("found:", [m for m in {SLOW_OR_OPTIONAL} if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "found: []"
