"""A guide on the grid of the result."""

from __future__ import annotations

import dataclasses

import nibabel
import numpy as np
import pytest

import acutance
from acutance.errors import InputError
from acutance.geometry import Frame, Plane
from acutance.guide import Flat, Volume


def turned(seed: int) -> np.ndarray:
    """Return a rotation."""
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


def field(points: np.ndarray) -> np.ndarray:
    """Return a linear field of the patient, which linear interpolation gives back exactly."""
    return 500 + 3 * points[..., 0] - 2 * points[..., 1] + 1.5 * points[..., 2]


def stack(axes: np.ndarray, centre, shape, steps, *, thickness=None, reference="1.2.3") -> list[Frame]:
    """Return slices of :func:`field`: ``shape`` and ``steps`` along slices, rows and columns; axes are rows."""
    through, down, right = axes * np.array(steps)[:, None]
    first = np.array(centre) - sum((n - 1) / 2 * v for n, v in zip(shape, (through, down, right), strict=True))
    frames = []
    for k in range(shape[0]):
        origin = first + k * through
        r, c = np.mgrid[: shape[1], : shape[2]]
        values = field(origin + r[..., None] * down + c[..., None] * right).astype(np.float32)
        plane = Plane(tuple(origin), tuple(down), tuple(right), thickness, reference)
        frames.append(Frame(values, modality="MR", plane=plane))
    return frames


def wanted(frame: Frame, scale: int, span: tuple[float, float]) -> np.ndarray:
    plane = frame.plane.refined(scale)
    points = [[plane.at(r, c) for c in range(frame.cols * scale)] for r in range(frame.rows * scale)]
    return (field(np.array(points)) - span[0]) / (span[1] - span[0])


def span_of(frames: list[Frame]) -> tuple[float, float]:
    low, high = np.percentile([f.pixels for f in frames], [0.1, 99.9])
    return float(low), float(high)


@pytest.mark.parametrize("seed", range(4))
def test_a_turned_volume_lies_where_its_header_says(seed):
    guide = stack(turned(seed), (10, -20, 30), (40, 44, 48), (1.1, 0.9, 1.0))
    (frame,) = stack(turned(seed + 50), (12, -19, 31), (1, 10, 14), (4.0, 0.8, 0.7), thickness=4.0)
    volume = Volume([guide[i] for i in np.random.default_rng(seed).permutation(40)])
    assert volume.reaches(frame)
    got = volume.on(frame, 2)
    assert got.dtype == np.float32 and got.shape == (20, 28)
    np.testing.assert_allclose(got, wanted(frame, 2, span_of(guide)), atol=2e-5)


def test_slices_with_uneven_distances_and_gantry_tilt():
    frames = stack(np.eye(3), (0, 0, 0), (20, 30, 30), (1.0, 1.0, 1.0))
    moved = []
    for k, f in enumerate(frames):
        shift = np.array([0.3 * (k % 2), 0.2 * k, 0.1 * k])
        origin = tuple(np.array(f.plane.origin) + shift)
        plane = dataclasses.replace(f.plane, origin=origin)
        r, c = np.mgrid[:30, :30]
        points = np.array(origin) + r[..., None] * np.array(plane.down) + c[..., None] * np.array(plane.right)
        moved.append(dataclasses.replace(f, pixels=field(points).astype(np.float32), plane=plane))
    (frame,) = stack(np.eye(3), (0.35, 0, 0), (1, 8, 8), (1.0, 1.0, 1.0))
    np.testing.assert_allclose(Volume(moved).on(frame, 2), wanted(frame, 2, span_of(moved)), atol=2e-5)


def test_outside_the_guide_and_where_samples_are_missing_it_is_zero():
    guide = stack(np.eye(3), (0, 0, 0), (5, 20, 20), (2.0, 1.0, 1.0))
    (frame,) = stack(np.eye(3), (0, 6, 0), (1, 20, 20), (2.0, 1.0, 1.0), thickness=2.0)
    got = Volume(guide).on(frame, 2)
    inside = 2 * 14  # the frame begins 6 pixels further down and ends 6 pixels outside
    np.testing.assert_allclose(got[:inside], wanted(frame, 2, span_of(guide))[:inside], atol=0.03)
    assert (got[inside:] == 0).all() and (got[:inside] != 0).all()
    holed = [dataclasses.replace(f, mask=np.zeros((20, 20), bool)) for f in guide]
    holed[2].mask[10:12, 5:7] = True
    hole = Volume(holed).on(frame, 2)
    assert (hole == 0).sum() > (got == 0).sum() and np.isfinite(hole).all()
    for shift, reached in (((0, 0, 0), True), ((0, 16, 0), False), ((5.2, 0, 0), True), ((7, 0, 0), False)):
        far = dataclasses.replace(frame.plane, origin=tuple(np.add(frame.plane.origin, shift)))
        far = dataclasses.replace(frame, plane=far)
        assert Volume(guide).reaches(far) is reached
        if not reached:
            assert (Volume(guide).on(far, 2) == 0).all()


def test_a_finer_guide_is_averaged_over_the_slice_it_guides():
    guide = stack(np.eye(3), (0, 0, 0), (24, 24, 24), (0.5, 0.5, 0.5))
    for k, f in enumerate(guide):
        f.pixels[:] = 100 + 100 * (k % 2)  # alternates within a slice of 4 mm
    low, high = span_of(guide)
    (frame,) = stack(np.eye(3), (0, 0, 0), (1, 4, 4), (4.0, 1.0, 1.0), thickness=4.0)
    np.testing.assert_allclose(Volume(guide).on(frame, 2), (150 - low) / (high - low), atol=0.05)


def test_spaces_must_agree_in_one_line():
    guide = Volume(stack(np.eye(3), (0, 0, 0), (3, 8, 8), (1, 1, 1)))
    (frame,) = stack(np.eye(3), (0, 0, 0), (1, 8, 8), (1, 1, 1), reference="9.9")
    for bad, says in (
        (frame, "frame of reference 9.9, its guide 1.2.3"),
        (dataclasses.replace(frame, plane=dataclasses.replace(frame.plane, reference="")), "reference none"),
        (dataclasses.replace(frame, plane=None), "does not say where it lies"),
    ):
        for ask in (guide.reaches, lambda f: guide.on(f, 2)):
            with pytest.raises(InputError, match=says) as caught:
                ask(bad)
            assert "\n" not in str(caught.value)


def test_what_is_no_volume_is_refused():
    frames = stack(np.eye(3), (0, 0, 0), (3, 8, 8), (1, 1, 1))
    skew = dataclasses.replace(frames[1].plane, right=(0.0, 0.0, 1.2))
    elsewhere = dataclasses.replace(frames[1].plane, reference="4")
    for bad, says in (
        ([], "no slices"),
        ([dataclasses.replace(frames[0], plane=None)], "does not say where"),
        ([frames[0], dataclasses.replace(frames[1], plane=skew)], "not parallel"),
        ([frames[0], dataclasses.replace(frames[1], pixels=frames[1].pixels[:5])], "of one size"),
        ([frames[0], frames[0]], "at one place"),
        ([frames[0], dataclasses.replace(frames[1], plane=elsewhere)], "share"),
        ([dataclasses.replace(f, pixels=np.full((8, 8), 3, np.int16)) for f in frames], "same value"),
    ):
        with pytest.raises(InputError, match=says):
            Volume(bad)


def test_names_follow_the_values():
    frames = stack(np.eye(3), (0, 0, 0), (3, 8, 8), (1, 1, 1))
    assert Volume(frames).name == Volume(frames[::-1]).name != Volume(frames[:2]).name
    assert Volume(frames, "1.2").name == "1.2"
    assert Flat(frames[0].pixels).name != Flat(frames[1].pixels).name


def test_inverted_pictures_are_seen_bright_as_large():
    frames = stack(np.eye(3), (0, 0, 0), (3, 8, 8), (1, 1, 1))
    (frame,) = stack(np.eye(3), (0, 0, 0), (1, 4, 4), (1, 1, 1))
    inverted = Volume([dataclasses.replace(f, inverted=True) for f in frames])
    np.testing.assert_allclose(inverted.on(frame, 2), 1 - Volume(frames).on(frame, 2), atol=1e-5)


def test_a_picture_keeps_its_corners_when_it_is_refined():
    (frame,) = stack(turned(1), (1, 2, 3), (1, 5, 7), (3.0, 0.9, 0.6))
    for scale in (2, 3, 4):
        fine = frame.plane.refined(scale)
        np.testing.assert_allclose(fine.at(-0.5, -0.5), frame.plane.at(-0.5, -0.5), atol=1e-9)
        rows, cols = 5 * scale - 0.5, 7 * scale - 0.5
        np.testing.assert_allclose(fine.at(rows, cols), frame.plane.at(4.5, 6.5), atol=1e-9)
        result = acutance.Enhancer("base", scale=scale).run(frame)
        assert result.frame.plane == fine


@pytest.mark.parametrize("unit", [2, 3])
def test_planes_of_nifti_follow_its_affine(tmp_path, unit):
    affine = np.eye(4)
    affine[:3, :3] = turned(7) * np.array([0.8, 0.9, 3.0]) * (1000 if unit == 3 else 1)
    affine[:3, 3] = np.array([5, 6, 7]) * (1000 if unit == 3 else 1)
    data = np.random.default_rng(0).integers(0, 900, (9, 8, 4)).astype(np.int16)
    image = nibabel.Nifti1Image(data, affine)
    image.header["xyzt_units"] = unit
    image.set_sform(affine, 2)
    nibabel.save(image, tmp_path / "a.nii")
    frames = acutance.read(tmp_path / "a.nii")
    lps = np.diag([-1, -1, 1]) / (1000 if unit == 3 else 1)
    for k, frame in enumerate(frames):
        for r, c in ((0, 0), (3, 5), (7, 8)):
            np.testing.assert_allclose(frame.plane.at(r, c), lps @ (affine @ [c, r, k, 1])[:3], rtol=1e-5, atol=1e-4)
        assert frame.plane.thickness == pytest.approx(3.0) and frame.plane.reference == "NIfTI space 1"
    image.set_sform(affine, 0)
    image.set_qform(affine, 0)
    nibabel.save(image, tmp_path / "b.nii")
    assert acutance.read(tmp_path / "b.nii")[0].plane is None
