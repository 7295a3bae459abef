"""What ptxas says of the kernels is read right, and a spill is not let pass."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "check_cuda.py"


@pytest.fixture(scope="module")
def check() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(TOOL)))


def log(*kernels: tuple[str, str, int, int, int]) -> str:
    """Return a log as nvcc 13.0 writes it with ``-Xptxas=-v``."""
    lines = ["ptxas info    : 0 bytes gmem"]
    for symbol, architecture, registers, stack, spilled in kernels:
        lines += [
            f"ptxas info    : Compiling entry function '{symbol}' for '{architecture}'",
            f"ptxas info    : Function properties for {symbol}",
            f"    {stack} bytes stack frame, {spilled} bytes spill stores, {spilled} bytes spill loads",
            f"ptxas info    : Used {registers} registers, used 0 barriers, 712 bytes cmem[0], 32 bytes cmem[2]",
            "ptxas info    : Compile time = 5768.977 ms",
        ]
    return "\n".join(lines) + "\n"


def test_reads_registers_stack_and_spills(check: SimpleNamespace) -> None:
    kernels = check.read_log(log(("_Z4gathPf", "sm_80", 32, 0, 0), ("_Z4gathPf", "sm_120", 40, 8, 12)))
    assert [(k.architecture, k.registers, k.stack, k.spilled) for k in kernels] == [(80, 32, 0, 0), (120, 40, 8, 24)]
    lines = check.table(kernels)
    assert lines[0].split()[-2:] == ["sm_80", "sm_120"]
    assert lines[1].split()[-2:] == ["32", "40!8+24"]


def test_names_what_is_wrong(check: SimpleNamespace) -> None:
    kernels = check.read_log(
        log(("clean", "sm_80", 32, 0, 0), ("framed", "sm_86", 32, 8, 0), ("spilt", "sm_86", 32, 0, 4))
    )
    assert check.problems(kernels[:1], [80]) == []
    assert check.problems(kernels, [80, 86, 90]) == [
        "sm_86: 8 bytes of stack and 0 of spills, wanted none: framed",
        "sm_86: 0 bytes of stack and 8 of spills, wanted none: spilt",
        "no kernel was compiled for sm_90",
    ]


def module(check: SimpleNamespace, *entries: tuple[int, int, int, int]) -> bytes:
    """Return a file with a fat binary; entries are kind, architecture, bytes as they lie and once decompressed."""
    body = b""
    for kind, architecture, size, whole in entries:
        body += check.ENTRY.pack(kind, 257, 64, size, size, 0, 0, 9, architecture, 0, 0, 0, 0, whole) + b"\7" * size
    return b"\x7fELF" + check.FATBIN.pack(check.MAGIC, 1, 16, len(body)) + body + b"rest"


def test_code_is_measured_once_decompressed(check: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    """PTX (kind 1) does not count, nor how well code packs; a small one lies as it is."""
    data = module(check, (1, 90, 50, 9_000_000), (2, 80, 30, 2_400_000), (2, 90, 40, 4_000_000), (2, 90, 24, 0))
    sizes = check.code_sizes(data + module(check, (2, 80, 10, 100_000)))
    assert sizes == {80: 2_500_000, 90: 4_000_024}
    assert check.size_problems(sizes) == [f"sm_90: 4000024 bytes of machine code, wanted at most {check.CODE}"]
    assert "sm_80 2.50 MB, sm_90 4.00 MB" in capsys.readouterr().out
    assert check.size_problems(check.code_sizes(b"no CUDA in here")) == ["the CUDA module holds no machine code"]
    with pytest.raises(ValueError, match="wanted version 1, within the file"):
        check.code_sizes(data[:60])


def test_a_log_that_is_not_understood_is_refused(check: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match="names 1 kernels and says of 0"):
        check.read_log(log(("k", "sm_80", 32, 0, 0)).replace("bytes stack frame", "octets of stack"))


def test_reads_the_newest_build(check: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([str(tmp_path)]) == 1
    assert "no kernels were built" in capsys.readouterr().err
    for age, name in enumerate(("new", "old")):
        path = tmp_path / name / "CMakeFiles" / "cuda.cu.o.log"
        path.parent.mkdir(parents=True)
        path.write_text(log((name, "sm_80", 32, 0, 0)))
        os.utime(path, (1000 - age, 1000 - age))
    check.main([str(tmp_path), "90"])
    said = capsys.readouterr()
    assert "new" in said.out and "old" not in said.out
    assert "1 of 1 kernels live in registers alone" in said.out
    assert "no kernel was compiled for sm_90" in said.err
