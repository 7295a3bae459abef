"""Shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the larger data set: ``ACUTANCE_DATA``, or ``../shared/data`` beside the checkout."""
    named = os.environ.get("ACUTANCE_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not (folder / "MANIFEST.csv").is_file():
        pytest.skip("no ACUTANCE_DATA")
    return folder
