"""Thick slices made thin: the scores are of what they say."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from acutance import Enhancer
from acutance.errors import UsageError
from acutance.evaluate import scans, section, volume


def ball(slices: int = 26, side: int = 40) -> np.ndarray:
    z, y, x = np.mgrid[:slices, :side, :side].astype(float)
    soft = np.clip(11.5 - np.sqrt((z - 13) ** 2 + (y - 18.3) ** 2 + (x - 20) ** 2), 0, 1)
    return (-1000 + 1100 * soft + 80 * np.sin(x / 2) * soft).astype(np.int16)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    header = "path,split,modality,subject_id,source,licence\n"
    rows = []
    for i, slices in enumerate((26, 10)):
        nibabel.save(nibabel.Nifti1Image(ball(slices).T, np.diag([1, 1, 1.2, 1])), tmp_path / f"{i}.nii.gz")
        rows.append(f"{i}.nii.gz,val,CT,s{i},x,y\n")
    (tmp_path / "MANIFEST.csv").write_text(header + "".join(rows))
    return tmp_path


def test_a_volume_is_read_in_its_middle(data: Path) -> None:
    first, second = scans.find(data, "val", "CT")
    truth = volume.load(first, side=24)
    assert truth is not None and volume.load(second) is None  # too few slices
    np.testing.assert_array_equal(truth.voxels, ball()[:, 8:32, 8:32])
    assert truth.distance == pytest.approx(1.2) and truth.spacing == (1.0, 1.0) and truth.subject == "s0"


def test_the_network_is_above_interpolation_and_keeps_the_means(data: Path) -> None:
    truth = volume.load(scans.find(data, "val", "CT")[0])
    assert truth is not None
    found = volume.measure(truth, volume.Thick(2, 2), {2: Enhancer("ct-rt-x2", "onnxruntime", threads=1)})
    scores = found["scores"]
    assert set(scores) == set(volume.METHODS)
    assert scores["linear"] < scores["cubic"] < scores["network"]
    assert scores["cubic"] < scores["cubic, means put right"] < scores["network"]
    assert found["deviation"][0] < 0.01 and found["model"] == "ct-rt-x2"


def test_the_report_is_a_section_of_the_page(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume, "KINDS", (volume.Thick(2, 2), volume.Thick(3, 2)))
    volume.main([str(data), "--side", "24", "--model", "base", "-o", str(data / "out" / "v.json")])
    made = section.read(data / "out" / "v.json")
    assert [line[:3] for line in made["lines"]] == [
        ["CT", "2 apart, 2 thick", "1"],
        ["CT", "3 apart, 2 thick, gap", "1"],
    ]
    rows = json.loads((data / "out" / "v.json").read_text())["rows"]
    assert {r["subject"] for r in rows} == {"s0"} and all(r["scores"]["linear"] > 20 for r in rows)
    with pytest.raises(UsageError, match="no train volume"):
        volume.report(data, "train")
