"""A data set of a few small scans, and a recipe that trains on it in a second."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

RECIPE = """
name = "tiny-x2"

[model]
modalities = ["CT"]
guard = "box"
mapping = { kind = "fixed", unit = "HU", low = -1024.0, high = 3071.0 }

[network]
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


def texture(rng: np.random.Generator, side: int, slices: int) -> np.ndarray:
    """Random blocks with sharp edges between -700 and 1500."""
    coarse = rng.integers(-700, 1500, (side // 8, side // 8, slices))
    return (coarse.repeat(8, 0).repeat(8, 1) + rng.integers(-20, 20, (side, side, slices))).astype(np.int16)


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``MANIFEST.csv``, two CT subjects to train on, one each of val and test, an MR and a picture."""
    nibabel = pytest.importorskip("nibabel")
    image = pytest.importorskip("PIL.Image")
    folder, rng, rows = tmp_path_factory.mktemp("data"), np.random.default_rng(5), []

    def add(path: str, split: str, modality: str, subject: str, licence: str = "MIT") -> Path:
        rows.append([path, split, modality, subject, f"source of {subject}", licence])
        return folder / path

    for split, subject in (("train", "a"), ("train", "b"), ("val", "c"), ("test", "d")):
        volume = nibabel.Nifti1Image(texture(rng, 64, 3), np.diag([0.7, 0.7, 2.0, 1.0]))
        nibabel.save(volume, add(f"{subject}.nii.gz", split, "CT", subject))
    reformat = nibabel.Nifti1Image(texture(rng, 64, 1), np.diag([0.7, 0.7, 2.0, 1.0]))
    nibabel.save(reformat, add("a_sagittal_1.nii.gz", "train", "CT", "a"))
    for split, subject in (("train", "m"), ("val", "n")):
        pixels = np.moveaxis(texture(rng, 64, 2) + 700, 2, 0).astype(np.int16)
        volume = nibabel.Nifti1Image(pixels, np.diag([3.0, 0.9, 0.9, 1.0]))
        nibabel.save(volume, add(f"{subject}.nii.gz", split, "MR", subject))
    pixels = rng.integers(0, 255, (41, 60, 3)).astype(np.uint8)
    image.fromarray(pixels).save(add("e.jpg", "train", "ENDO", "e"))
    image.fromarray(pixels[:, :, 0]).save(add("x.png", "train", "XR", "x"))
    with (folder / "MANIFEST.csv").open("w", newline="") as f:
        out = csv.writer(f)
        out.writerow(["path", "split", "modality", "subject_id", "source", "licence"])
        out.writerows(rows)
    return folder


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny-x2.toml"
    path.write_text(RECIPE)
    return path
