"""Coverage counts the truths within, below and above the bounds, subject by subject."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("nibabel")
pytest.importorskip("skimage")

from acutance.errors import UsageError
from acutance.evaluate import coverage, rivals, scans, score, section
from acutance.evaluate.methods import Method

CT = {
    "modalities": ["CT"],
    "mapping": {"kind": "fixed", "unit": "HU", "low": -1024.0, "high": 3071.0},
}


def bounded(make_mixer, below: float, above: float, name: str = "sure-x2") -> Path:
    """Return a model that gives the base and bounds so many HU below and above it."""
    zero = np.zeros((4, 1))
    bounds = {"q05": (zero, np.full(4, -below / 4095)), "q95": (zero, np.full(4, above / 4095))}
    return make_mixer(("lr",), {"residual": zero, **bounds}, name, **CT)


def test_parts_and_width() -> None:
    truth = np.arange(100, dtype=np.int16).reshape(10, 10)
    mask = np.ones((10, 10), bool)
    mask[5, 5] = False
    lower, upper = np.full((10, 10), 34), np.full((10, 10), 64)
    within, below, above, width = coverage.compare(truth, lower, upper, mask, (0, 300), 1)
    inner = truth[2:-2, 2:-2][mask[2:-2, 2:-2]]
    assert below == pytest.approx(100 * (inner < 34).mean()) and above == pytest.approx(100 * (inner > 64).mean())
    assert within == pytest.approx(100 - below - above) and width == pytest.approx(10)
    assert within == pytest.approx(100 * ((inner >= 34) & (inner <= 64)).mean())


def test_what_the_runtime_gives_is_counted(small_data: Path, make_mixer) -> None:
    (scan,) = scans.find(small_data, "val", "CT")
    method = Method("sure-x2", "model", str(bounded(make_mixer, 100.5, 60.5)))
    found = list(coverage.measure(scan, [method], 2, limit=1))
    assert [x.degradation for x in found] == [row.name for row in score.degradations_of("CT")]
    series = scans.load(scan)
    assert series is not None
    truth = series.truths(2)[0][1]
    error = truth - rivals.cubic(score.degradations_of("CT")[0].apply(truth, 2, series.spacing), 2).astype(np.float64)
    inner = score.inner(error, 2)[score.inner(score.foreground("CT", truth, series.value_range), 2)]
    assert found[0].below == pytest.approx(100 * (inner < -100.5).mean(), abs=1.0) and found[0].below > 3
    assert found[0].above == pytest.approx(100 * (inner > 60.5).mean(), abs=1.0) and found[0].above > 3
    assert found[0].width == pytest.approx(100 * 161 / 4095, abs=0.05)


def test_a_model_without_bounds_is_refused(small_data: Path, make_model) -> None:
    (scan,) = scans.find(small_data, "val", "CT")
    with pytest.raises(UsageError, match="tiny-x2 gives no bounds: it has no quantiles"):
        next(coverage.measure(scan, [Method("tiny-x2", "model", str(make_model()))], 2))


def test_the_section_has_a_line_for_each_subject(small_data: Path, make_mixer, tmp_path: Path) -> None:
    path = bounded(make_mixer, 50, 50)
    coverage.main(small_data, [str(path)], "train", tmp_path / "out" / "coverage.json", 1)
    made = section.read(tmp_path / "out" / "coverage.json")
    assert made == json.loads((tmp_path / "out" / "coverage.json").read_text())
    assert [line[3] for line in made["lines"]] == ["a", "b", "mean of 2"] * 4
    a, b, mean = (float(line[5]) for line in made["lines"][:3])
    assert mean == pytest.approx((a + b) / 2, abs=0.1)
    sonography = make_mixer(("lr",), {"residual": np.zeros((4, 1))}, "us-x2", modalities=["US"])
    with pytest.raises(UsageError, match=r"has no val scans of what .*us-x2"):
        coverage.main(small_data, [str(sonography)], "val", None, 1)
