"""A guide helps where it lies right, hurts where it does not, and its absence changes nothing."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

nibabel = pytest.importorskip("nibabel")
pytest.importorskip("skimage")

from acutance.errors import UsageError  # noqa: E402
from acutance.evaluate import guided, section  # noqa: E402

PERCENTILE = {"kind": "percentile", "low": 0.1, "high": 99.9}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two scans of one subject that show the same, the second ten times as bright, and one of another subject."""
    out, rows = tmp_path / "data", []
    out.mkdir()
    rng = np.random.default_rng(0)
    blocks = rng.integers(200, 1000, (10, 12, 3)).repeat(5, 0).repeat(5, 1).astype(np.int16)
    for name, factor, subject, group in (("a_T1", 1, "a", "g"), ("a_T2", 10, "a", "g"), ("b_T1", 1, "b", "")):
        nibabel.save(nibabel.Nifti1Image(blocks * factor, np.diag([1.0, 1.0, 3.0, 1.0])), out / f"{name}.nii.gz")
        rows.append([f"{name}.nii.gz", "val", "MR", subject, "source", "licence", group])
    with (out / "MANIFEST.csv").open("w", newline="") as f:
        table = csv.writer(f)
        table.writerow(["path", "split", "modality", "subject_id", "source", "licence", "coregistered_group"])
        table.writerows(rows)
    return out


@pytest.fixture
def helped(make_mixer: Callable[..., Path]) -> str:
    """A model that adds half of the detail of a guide within each block."""
    mean = np.full((4, 4), 0.25)
    residual = np.hstack([np.zeros((4, 1)), 0.5 * (np.eye(4) - mean)])
    changes = {"modalities": ["MR"], "mapping": PERCENTILE}
    return str(make_mixer(("lr", "guide"), {"residual": residual}, "mr-helped-x2", **changes))


def test_scans_of_a_group_are_paired_both_ways(folder: Path) -> None:
    found = [(a.path.name, b.path.name) for a, b in guided.pairs(folder, "val")]
    assert found == [("a_T1.nii.gz", "a_T2.nii.gz"), ("a_T2.nii.gz", "a_T1.nii.gz")]


def test_the_section_shows_what_a_guide_is_worth(folder: Path, helped: str, tmp_path: Path) -> None:
    out = tmp_path / "out" / "guided.json"
    guided.main(folder, [helped], [], "val", out, 0)
    found = section.read(out)
    assert "n = 1 subject:" in found["text"] and "no interval" in found["text"]
    psnr = {(line[0], line[1], line[2]): float(line[5]) for line in found["lines"]}
    for a, b in (("T1", "T2"), ("T2", "T1")):
        right, off = psnr[a, b, "mr-helped-x2"], psnr[a, b, "mr-helped-x2, guide 2 pixels off"]
        assert right > psnr[a, b, "mr-helped-x2, no guide"] + 0.5 > off
        assert psnr[a, b, guided.ZERO_FILLED] > 10
    assert {line[4] for line in found["lines"]} == {"3"}


def test_fewer_slices_are_evenly_spread(folder: Path, helped: str) -> None:
    methods, scale = guided.methods_of([helped], [])
    pair = guided.pairs(folder, "val")[0]
    assert len(list(guided.measure(*pair, methods, scale, limit=2))) == 2 * 4


def test_a_model_without_a_guide_is_refused(make_model: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="tiny-x2 takes no guide"):
        guided.methods_of([str(make_model())], [])


def test_scans_on_other_grids_are_refused(folder: Path, helped: str) -> None:
    path = folder / "a_T2.nii.gz"
    smaller = np.asarray(nibabel.load(path).dataobj)[:-4]
    nibabel.save(nibabel.Nifti1Image(smaller, np.diag([1.0, 1.0, 3.0, 1.0])), path)
    with pytest.raises(UsageError, match="have other grids"):
        guided.main(folder, [helped], [], "val", None, 0)


def test_a_split_without_a_group_is_refused(folder: Path, helped: str) -> None:
    with pytest.raises(UsageError, match="no test scans of one coregistered group"):
        guided.main(folder, [helped], [], "test", None, 0)
