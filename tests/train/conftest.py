"""A recipe that trains on the small data set in a second."""

from __future__ import annotations

from pathlib import Path

import pytest

RECIPE = """
name = "tiny-x2"

[model]
modalities = ["CT"]
guard = "box"
mapping = { kind = "fixed", unit = "HU", low = -1024.0, high = 3071.0 }

[network]
kind = "rt"
width = 8
depth = 1
expand = 1

[data]
modalities = ["CT"]

[degradation]
sigma = [0.0, 0.6]

[training]
steps = 12
batch = 4
patch = 12
rate = 2e-3
warmup = 4
ema = 0.9
pool = 4
refresh = 2
validate_every = 6
validate_slices = 1
seed = 3
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny-x2.toml"
    path.write_text(RECIPE)
    return path
