"""The protocol's own C++ library takes what the filter sends: Debian's libopenigtlink-dev."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HEADERS = Path("/usr/include/openigtlink")


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    """``reference.cxx``, compiled."""
    if not HEADERS.is_dir() or shutil.which("g++") is None:
        pytest.skip("no libopenigtlink-dev")
    source, program = Path(__file__).with_name("reference.cxx"), tmp_path / "reference"
    # Its headers are older than what compilers now forbid.
    command = ["g++", "-std=c++11", "-fpermissive", "-w", f"-I{HEADERS}", str(source), "-o", str(program)]
    subprocess.run([*command, "-lOpenIGTLink", "-lpthread"], check=True, timeout=120)
    return program


def test_the_library_reads_every_answer(reference: Path, peers: ModuleType, filters: Callable[..., Any]) -> None:
    port = peers.free_port()
    made = filters(source={"role": "client", "port": port}, suffix="_x2")
    command = [str(reference), str(port), str(made.service.receivers.port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{done.returncode}: {done.stdout}"  # 6: the library found a wrong CRC
    place = "spacing 0.25 0.2 2 centre 10 -20 30 i 0 1 0"
    assert sorted(done.stdout.splitlines()) == [
        f"IMAGE Colour_x2 1234.5 size 48x32x1 scalar 3 components 3 {place}",
        f"IMAGE Deep_x2 1234.5 size 48x32x1 scalar 5 components 1 {place}",
        "IMAGE Double 1234.5 size 24x16x1 scalar 11 components 1 spacing 0.5 0.4 2 centre 10 -20 30 i 0 1 0",
        f"IMAGE Gray_x2 1234.5 size 48x32x1 scalar 3 components 1 {place}",
        f"IMAGE Real_x2 1234.5 size 48x32x1 scalar 10 components 1 {place}",
        "STATUS Tracker 0 says ready",
        "TRANSFORM Tool 0 place 10 -20 30",
    ]
