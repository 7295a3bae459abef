"""Where crops are taken and which way up they are shown."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib")
pytest.importorskip("scipy")

from acutance.evaluate import picture, score
from acutance.evaluate.methods import Method

CUBIC = [("cubic", Method("cubic", "rival"))]


def _set(folder: Path, name: str, modality: str) -> None:
    lines = f"path,split,modality,subject_id,source,licence\n{name},val,{modality},s,x,y\n"
    (folder / "MANIFEST.csv").write_text(lines, encoding="utf-8")


def _volume(folder: Path, affine: np.ndarray) -> None:
    """One structure inside the body, a sharper one (a couch) beside it."""
    voxels = np.full((200, 180, 1), -1000, np.int16)
    voxels[20:150, 20:160] = 40
    voxels[60:80:4, 100:130] = 700
    voxels[170:190:2, 20:160] = 1500
    nibabel.save(nibabel.Nifti1Image(voxels, affine), folder / "a.nii.gz")
    _set(folder, "a.nii.gz", "CT")


def _view(folder: Path) -> picture._View:
    (sample,) = picture.samples(folder, "val", "CT", 2)
    return picture._View.of(sample, CUBIC, score.degradations_of("CT")[0], 2)


def test_the_crop_holds_the_structure_inside_the_body(tmp_path: Path) -> None:
    _volume(tmp_path, np.diag([0.8, 0.8, 3, 1]))
    view = _view(tmp_path)
    top, left = view.sample.corner
    assert (top % 2, left % 2) == (0, 0)
    assert top <= 60 and top + view.side >= 80
    assert left <= 100 and left + view.side >= 130
    assert view.truth.max() == 700
    assert view.small.shape == (view.side // 2, view.side // 2)


@pytest.mark.parametrize(("sign", "up"), [(1, True), (-1, False)])
def test_front_is_up_and_the_box_is_on_the_crop(tmp_path: Path, sign: int, up: bool) -> None:
    _volume(tmp_path, np.diag([0.8, sign * 0.8, 3, 1]))
    view = _view(tmp_path)
    assert view.up is up
    top, left = view.turn_corner()
    whole = view.turn(view.sample.truth)
    assert np.array_equal(whole[top : top + view.side, left : left + view.side], view.turn(view.truth))
    front = view.sample.truth[100, -1 if up else 0]
    assert whole[0, 100] == front


def test_pictures_stay_as_they_are_and_text_at_the_rim_is_left_out(tmp_path: Path) -> None:
    pixels = np.full((220, 200), 100, np.uint8)
    pixels[:30:3, :60:3] = 255
    pixels[100:110, 90:110] = 120
    Image.fromarray(pixels).save(tmp_path / "a.png")
    _set(tmp_path, "a.png", "XR")
    (sample,) = picture.samples(tmp_path, "val", "XR", 2)
    view = picture._View.of(sample, CUBIC, score.shown("XR"), 2)
    assert view.up is None
    assert sample.corner[0] >= 44 - 1 and sample.corner[1] >= 40 - 1
    assert view.truth.max() == 120


def test_best_rival_is_the_one_with_the_highest_psnr_but_cubic() -> None:
    def row(method: str, psnr: float, kind: str = "rival", degradation: str = "psf 0") -> dict:
        scores = {"psnr": {"mean": psnr}}
        return {
            "scale": 2,
            "modality": "CT",
            "degradation": degradation,
            "method": method,
            "kind": kind,
            "scores": scores,
        }

    rows = [row("cubic", 40), row("lanczos", 39), row("nearest", 30), row("ours", 50, "model")]
    rows.append(row("nearest", 45, degradation="psf 1.2"))
    assert picture.best_rival({"rows": rows}, 2, "CT", "psf 0") == "lanczos"
    assert picture.best_rival({"rows": rows}, 2, "MR", "k-space") is None
