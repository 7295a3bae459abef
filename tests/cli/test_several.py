"""`acutance enhance` with a guide, and with sequences in the order of time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

import acutance
from acutance.sequence import Sequence

Run = Callable[..., Any]
Make = Callable[..., Path]

GUIDED = np.concatenate([np.zeros((4, 1)), 0.2 * np.eye(4)], axis=1)


@pytest.fixture
def guided(make_mixer: Callable[..., Path]) -> Path:
    mapping = {"kind": "percentile"}
    return make_mixer(("lr", "guide"), {"residual": GUIDED}, modalities=["MR"], mapping=mapping)


@pytest.fixture
def recurrent(make_mixer: Callable[..., Path]) -> Path:
    rng = np.random.default_rng(5)
    mixes = {"residual": rng.normal(0, 0.1, (4, 8)), "state": rng.normal(0, 0.3, (2, 8))}
    return make_mixer(("lr", "lr_previous", "previous", "state"), mixes, "recurrent-x2", modalities=["US", "OT"])


def volume(path: Path, shape: tuple[int, ...], steps: tuple[float, ...], code: int = 1, seed: int = 0) -> Path:
    """Write a NIfTI volume around the origin."""
    rng = np.random.default_rng(seed)
    data = rng.integers(100, 900, shape).astype(np.int16)
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = [-(n - 1) / 2 * s for n, s in zip(shape, steps, strict=True)]
    image = nibabel.Nifti1Image(data, affine)
    image.set_sform(affine, code)
    nibabel.save(image, path)
    return path


def derivations(path: Path) -> list[dict[str, Any]]:
    image = nibabel.load(path)
    text = next(e.get_content() for e in image.header.extensions if e.get_code() == 6)
    found: list[dict[str, Any]] = json.loads(text)["derivations"]
    return found


def test_a_guide_is_brought_onto_each_slice(run: Run, tmp_path: Path, guided: Path) -> None:
    source = volume(tmp_path / "t2.nii", (20, 16, 3), (1.0, 1.0, 4.0))
    guide = volume(tmp_path / "t1.nii", (24, 24, 24), (0.9, 0.8, 1.1), seed=1)
    command = ("enhance", source, "-o", tmp_path / "out.nii", "--model", guided, "--modality", "MR")
    ran = run(*command, "--guide", guide)
    assert ran.code == 0 and not ran.err
    held = acutance.read_guide(guide)
    with acutance.Enhancer(guided) as enhancer:
        frames = acutance.read(source, "MR")
        wanted = [enhancer.run(f, guide=held) for f in frames]
        without = [enhancer.run(f).pixels for f in frames]
    got = [f.pixels for f in acutance.read(tmp_path / "out.nii")]
    np.testing.assert_array_equal(got, [r.pixels for r in wanted])
    assert (np.array(got) != without).mean() > 0.5
    assert {d["guide"] for d in derivations(tmp_path / "out.nii")} == {held.name} and len(held.name) == 64
    assert "1 already right" in run(*command, "--guide", guide).out
    ran = run(*command)
    assert ran.code == 0 and "1 enhanced" in ran.out, "without the guide it is another picture"
    np.testing.assert_array_equal([f.pixels for f in acutance.read(tmp_path / "out.nii")], without)


def test_a_dicom_guide_lies_in_the_same_frame_of_reference(
    run: Run, tmp_path: Path, guided: Path, make_dicom: Make
) -> None:
    for k in range(3):
        make_dicom(tmp_path / "t1" / f"{k}.dcm", index=k, series="1", FrameOfReferenceUID="1.2.7")
    source = make_dicom(tmp_path / "t2" / "0.dcm", index=1, series="2", FrameOfReferenceUID="1.2.7")
    other = make_dicom(tmp_path / "t2" / "1.dcm", index=1, series="3", FrameOfReferenceUID="1.2.8")
    ran = run("enhance", source, other, "-o", tmp_path / "out", "--model", guided, "--guide", tmp_path / "t1")
    assert ran.code == 3 and len(ran.err) == 1
    assert str(other) in ran.err[0] and "frame of reference 1.2.8, its guide 1.2.7" in ran.err[0]
    made = pydicom.dcmread(tmp_path / "out" / "0_x2.dcm")
    assert "guided by 1.2.3.1" in made.DerivationDescription


def test_guides_that_are_none_are_named_in_one_line(
    run: Run, tmp_path: Path, guided: Path, make_dicom: Make, make_picture: Make
) -> None:
    source = volume(tmp_path / "t2.nii", (20, 16, 3), (1.0, 1.0, 4.0))
    command = ("enhance", source, "-o", tmp_path / "out.nii", "--modality", "MR", "--guide")
    ran = run(*command, source, "--model", "mr-rt-x2")
    assert ran.code == 2 and ran.err == [
        "acutance: --guide: mr-rt-x2 takes no guide; name a model that does with --model"
    ]
    for k in (1, 2):
        make_dicom(tmp_path / "two" / f"{k}.dcm", series=str(k))
    for guide, says in (
        (tmp_path / "two", "holds 2 DICOM series; wanted the one that guides"),
        (make_picture(tmp_path / "a.png"), "does not say where its slices lie"),
        (tmp_path / "none.nii", "cannot be read"),
    ):
        ran = run(*command, guide, "--model", guided)
        assert ran.code == 1 and len(ran.err) == 1 and says in ran.err[0]
    template = volume(tmp_path / "mni.nii", (24, 24, 24), (1.0, 1.0, 1.0), code=4)
    ran = run(*command, template, "--model", guided)
    assert ran.code == 1 and "NIfTI space 1, its guide NIfTI space 4" in ran.err[0]
    assert not (tmp_path / "out.nii").exists()


def test_isotropic_volumes_are_made_of_pictures_alone(run: Run, tmp_path: Path, guided: Path, recurrent: Path) -> None:
    source = volume(tmp_path / "t2.nii", (20, 16, 3), (1.0, 1.0, 4.0))
    command = ("enhance", source, "-o", tmp_path / "out.nii", "--modality", "MR", "--isotropic", "--model")
    for more in ((guided, "--guide", source), (recurrent,)):
        ran = run(*command, *more)
        assert ran.code == 2 and len(ran.err) == 1 and "goes with no guide" in ran.err[0]


def shot(seed: int, side: int = 24) -> np.ndarray:
    y, x = np.mgrid[:side, : side + 8]
    grain = np.random.default_rng(seed).normal(0, 3, x.shape)
    return (120 + 60 * np.sin(x / 3) * np.cos(y / 4) + grain).clip(0, 255).astype(np.uint8)


def in_order(model: Path, sources: list[Path]) -> list[np.ndarray]:
    sequence = Sequence()
    with acutance.Enhancer(model) as enhancer:
        return [enhancer.run(f, sequence=sequence).pixels for path in sources for f in acutance.read(path)]


def test_pictures_of_a_folder_are_a_sequence(run: Run, tmp_path: Path, recurrent: Path) -> None:
    clips = [[tmp_path / "in" / clip / f"f{k}.png" for k in range(8, 13)] for clip in ("a", "b")]
    for i, clip in enumerate(clips):
        clip[0].parent.mkdir(parents=True)
        for k, path in enumerate(clip):
            Image.fromarray(shot(10 * i + k)).save(path)
    out = tmp_path / "out"
    command = ("enhance", tmp_path / "in", "-o", out, "--model", recurrent, "--jobs", 2)
    ran = run(*command)
    assert ran.code == 0 and "10 enhanced" in ran.out
    first = {p: p.read_bytes() for p in sorted(out.rglob("*.png"))}
    for clip in clips:
        made = [out / p.parent.name / f"{p.stem}_x2.png" for p in clip]
        np.testing.assert_array_equal([acutance.read(p)[0].pixels for p in made], in_order(recurrent, clip))
    assert "10 already right" in run(*command).out
    (out / "a" / "f10_x2.png").unlink()
    assert "5 enhanced, 5 already right" in run(*command).out, (
        "what came before is needed: the whole clip is done again"
    )
    assert {p: p.read_bytes() for p in sorted(out.rglob("*.png"))} == first
    assert run("enhance", clips[0][4], "-o", tmp_path / "one.png", "--model", recurrent).code == 0
    assert (acutance.read(tmp_path / "one.png")[0].pixels != acutance.read(out / "a" / "f12_x2.png")[0].pixels).any()


def test_frames_of_a_dicom_clip_are_a_sequence_and_slices_are_not(
    run: Run, tmp_path: Path, recurrent: Path, make_dicom: Make
) -> None:
    clip = make_dicom(tmp_path / "clip.dcm", "CR")
    header = pydicom.dcmread(clip)
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    header.Modality, header.NumberOfFrames, header.FrameTime = "US", 6, 40
    header.FrameIncrementPointer = 0x00181063
    frames = np.stack([shot(k) for k in range(6)])
    header.Rows, header.Columns = frames.shape[1:]
    header.PixelData = frames.tobytes()
    header.save_as(clip)
    assert run("enhance", clip, "-o", tmp_path / "out.dcm", "--model", recurrent).code == 0
    wanted = in_order(recurrent, [clip])
    np.testing.assert_array_equal([f.pixels for f in acutance.read(tmp_path / "out.dcm")], wanted)
    source = volume(tmp_path / "a.nii", (20, 16, 3), (1.0, 1.0, 4.0))
    assert run("enhance", source, "-o", tmp_path / "b.nii", "--model", recurrent).code == 0
    with acutance.Enhancer(recurrent) as enhancer:
        alone = [enhancer.run(f).pixels for f in acutance.read(source)]
    np.testing.assert_array_equal([f.pixels for f in acutance.read(tmp_path / "b.nii")], alone)
