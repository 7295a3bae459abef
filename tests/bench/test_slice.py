"""What `bench slice` measures in processes of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from acutance.bench import slice as case

from acutance.errors import BackendError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_the_command_is_timed_from_its_start_to_its_file() -> None:
    row = case.command_to_file(EXAMPLES / "mr-brain.dcm", 2)
    assert row["way"] == case.COMMAND and row["input"] == "mr-brain.dcm"
    assert row["ms"]["n"] == row["cpu_ms"]["n"] == 2
    assert row["cpu_ms"]["min"] > 100 and row["ms"]["min"] > 100  # to start Python and to import takes that much


def test_a_command_that_fails_is_no_time(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"no picture")
    with pytest.raises(BackendError, match=r"a\.dcm: `acutance enhance` failed"):
        case.command_to_file(tmp_path / "a.dcm", 1)
