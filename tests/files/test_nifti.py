"""NIfTI volumes: slices along the acquisition axis in, a volume on the same corners out."""

from __future__ import annotations

import dataclasses
import gzip
import os
import struct
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acutance.errors import InputError, OutputError, UsageError
from acutance.files import nifti, record
from acutance.geometry import Derivation, Frame

DERIVATION = Derivation("base", "0.1", "", "fp32", "base", 2, "cubic", "none")
AFFINE = np.array([[-0.7, 0.02, 0.1, 90], [0.01, 0.8, -0.3, -80], [0.05, 0.2, 2.9, 20], [0, 0, 0, 1]])


def volume(*shape: int, dtype: Any = np.int16) -> Any:
    return (np.arange(np.prod(shape)) % 251).reshape(shape).astype(dtype)


def save(path: Path, data: Any, affine: Any = AFFINE, **header: Any) -> Any:
    image = nibabel.Nifti1Image(data, affine)
    for name, value in header.items():
        image.header[name] = value
    nibabel.save(image, path)
    return image


def enlarged(frames: list[Frame], scale: int = 2) -> list[Frame]:
    done = dataclasses.replace(DERIVATION, scale=scale)
    return [dataclasses.replace(f, pixels=f.pixels.repeat(scale, 0).repeat(scale, 1), derivation=done) for f in frames]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_slices_lie_across_the_axis_of_the_largest_spacing(tmp_path: Path, axis: int, suffix: str) -> None:
    spacing = [0.7, 0.9, 0.8]
    spacing[axis] = 3.0
    data = volume(5, 6, 7)
    save(tmp_path / f"a{suffix}", data, np.diag([*spacing, 1]))
    frames = nifti.read(tmp_path / f"a{suffix}", modality="MR")
    assert len(frames) == data.shape[axis]
    across = [i for i in range(3) if i != axis]
    for k, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.pixels, data.take(k, axis).T)
        assert frame.pixels.flags.c_contiguous
        assert frame.spacing == pytest.approx((spacing[across[1]], spacing[across[0]]))
        assert frame.modality == "MR" and frame.source is not None and frame.source.index == k
    assert len({f.value_range for f in frames}) == 1 and frames[0].value_range is not None


@pytest.mark.parametrize(
    ("shape", "spacing", "said", "axis"),
    [
        ((9, 9, 9), (1, 1, 3), None, 2),
        ((9, 9, 9), (1, 3, 1), None, 1),
        ((9, 9, 9), (1, 1, 1), None, 2),
        ((9, 9, 9), (1.0004, 1, 1), None, 2),
        ((9, 9, 9), (0.8, 0.8, 0.5), None, 2),
        ((9, 9, 9), (0.7, 0.66, 0.66), None, 0),
        ((9, 9, 9), (0.5, 0.66, 0.66), None, 0),
        ((9, 9, 9), (0.8, 0.7, 0.6), None, 0),
        ((9, 9, 9), (0.8, 0.7, 0.6), 1, 1),
        ((9, 1, 9), (0.8, 0.7, 3.0), 2, 1),
        ((1, 9, 1), (0.8, 0.7, 0.6), None, 2),
        ((9, 9, 9), None, None, 2),
    ],
)
def test_the_acquisition_axis(shape: Any, spacing: Any, said: int | None, axis: int) -> None:
    assert nifti.acquisition_axis(shape, spacing, said) == axis


def test_volumes_in_time_come_one_after_the_other(tmp_path: Path) -> None:
    data = volume(4, 5, 3, 2)
    save(tmp_path / "a.nii", data, np.diag([1, 1, 3, 1]))
    frames = nifti.read(tmp_path / "a.nii")
    assert len(frames) == 6
    np.testing.assert_array_equal(frames[4].pixels, data[:, :, 1, 1].T)
    nifti.write(tmp_path / "b.nii", enlarged(frames))
    out = nibabel.load(tmp_path / "b.nii")
    assert out.shape == (8, 10, 3, 2)
    np.testing.assert_array_equal(np.asarray(out.dataobj)[1::2, ::2], data)


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 1, 1), (6, 5, 1, 1, 1), (1, 6, 5), (6, 1, 5)])
def test_one_slice_is_read_in_any_dress_and_keeps_it(tmp_path: Path, shape: tuple[int, ...]) -> None:
    data = volume(*shape)
    save(tmp_path / "a.nii", data)
    (frame,) = nifti.read(tmp_path / "a.nii")
    np.testing.assert_array_equal(frame.pixels, data.reshape(6, 5).T)
    assert frame.value_range is None
    nifti.write(tmp_path / "b.nii", enlarged([frame]))
    out = nibabel.load(tmp_path / "b.nii")
    assert out.shape == tuple(2 * n if n > 1 else n for n in shape)


CORNERS = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=float)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6), scale=st.sampled_from([2, 3, 4]), codes=st.tuples(st.integers(0, 4), st.integers(0, 4))
)
def test_the_corners_of_the_volume_stay_where_they_are(
    tmp_path_factory: pytest.TempPathFactory, seed: int, scale: int, codes: tuple[int, int]
) -> None:
    rng, folder = np.random.default_rng(seed), tmp_path_factory.mktemp("corners")
    shape = tuple(int(n) for n in rng.integers(2, 7, 3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turn * rng.uniform(0.3, 4, 3)
    affine[:3, 3] = rng.uniform(-100, 100, 3)
    image = nibabel.Nifti1Image(volume(*shape), affine)
    image.header.set_qform(affine, codes[0])
    sheared = affine.copy()
    sheared[:3, 1] += 0.2 * affine[:3, 0]
    image.header.set_sform(sheared, codes[1])
    nibabel.save(image, folder / "a.nii")
    nifti.write(folder / "b.nii", enlarged(nifti.read(folder / "a.nii"), scale))
    before, after = nibabel.load(folder / "a.nii").header, nibabel.load(folder / "b.nii").header
    for name in ("get_sform", "get_qform"):
        old, new = (getattr(h, name)(coded=True) for h in (before, after))
        assert old[1] == new[1]
        if old[0] is None:
            continue
        ends = [np.array(h.get_data_shape()) * CORNERS[:, :3] - 0.5 for h in (before, after)]
        places = [(np.c_[e, np.ones(8)] @ m.T)[:, :3] for e, m in zip(ends, (old[0], new[0]), strict=True)]
        np.testing.assert_allclose(places[1], places[0], atol=2e-4)
    zooms = [np.array(h.get_zooms()) * h.get_data_shape() for h in (before, after)]
    np.testing.assert_allclose(zooms[1], zooms[0], rtol=1e-5)


@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "uint16", "float32", "int8", "int32", "uint32", "float64", ">i2", ">f4", "<u8"]
)
def test_dtype_scaling_and_units_stay(tmp_path: Path, dtype: str) -> None:
    data = volume(4, 5, 3, dtype=dtype) if dtype != "int8" else volume(4, 5, 3, dtype="int16").clip(0, 90).astype("i1")
    header = nibabel.Nifti1Header(endianness=">" if dtype.startswith(">") else "<")
    header.set_data_dtype(dtype)
    image = nibabel.Nifti1Image(data, AFFINE, header)
    image.header.set_slope_inter(0.5, -3)
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = b"kept"
    nibabel.save(image, tmp_path / "a.nii")
    frames = nifti.read(tmp_path / "a.nii")
    assert (frames[0].slope, frames[0].intercept) == (0.5, -3.0)
    assert frames[0].bits_stored == (8 if dtype == "int8" else None)
    stored = nibabel.load(tmp_path / "a.nii").dataobj.get_unscaled()
    np.testing.assert_array_equal(frames[1].pixels, stored[:, :, 1].T)
    nifti.write(tmp_path / "b.nii", enlarged(frames))
    before, after = (nibabel.load(tmp_path / n) for n in ("a.nii", "b.nii"))
    assert after.get_data_dtype() == before.get_data_dtype() == np.dtype(dtype)
    assert (after.dataobj.slope, after.dataobj.inter) == (0.5, -3.0)
    assert after.header.get_xyzt_units() == ("mm", "sec") and bytes(after.header["descrip"]).startswith(b"kept")
    np.testing.assert_array_equal(after.get_fdata()[::2, 1::2], before.get_fdata())


def test_integers_beyond_16_bits_become_float32(tmp_path: Path) -> None:
    save(tmp_path / "a.nii", volume(4, 5, 3, dtype=np.int32) * 2000)
    frames = nifti.read(tmp_path / "a.nii")
    assert frames[0].pixels.dtype == np.float32
    nifti.write(tmp_path / "b.nii", enlarged(frames))
    out = nibabel.load(tmp_path / "b.nii")
    assert out.get_data_dtype() == np.float32
    np.testing.assert_array_equal(out.get_fdata()[::2, ::2], nibabel.load(tmp_path / "a.nii").get_fdata())


@pytest.mark.parametrize(("slope", "inter"), [(0.0, 5.0), (np.nan, 5.0), (np.inf, np.nan)])
def test_scaling_that_means_nothing_is_none(tmp_path: Path, slope: float, inter: float) -> None:
    save(tmp_path / "a.nii", volume(4, 5, 3))
    data = bytearray((tmp_path / "a.nii").read_bytes())
    data[112:120] = struct.pack("<ff", slope, inter)
    (tmp_path / "a.nii").write_bytes(data)
    frames = nifti.read(tmp_path / "a.nii")
    assert (frames[0].slope, frames[0].intercept) == (1.0, 0.0)


@pytest.mark.parametrize(("unit", "factor"), [(0, 1.0), (1, 1000.0), (2, 1.0), (3, 0.001), (8 | 3, 0.001)])
def test_spacing_is_in_mm_whatever_the_header_counts_in(tmp_path: Path, unit: int, factor: float) -> None:
    save(tmp_path / "a.nii", volume(4, 5, 3), np.diag([0.5, 0.75, 3, 1]), xyzt_units=unit)
    assert nifti.read(tmp_path / "a.nii")[0].spacing == pytest.approx((0.75 * factor, 0.5 * factor))


def test_a_volume_without_spacing_has_none(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "a.nii", volume(4, 5, 3))
    data = bytearray((tmp_path / "a.nii").read_bytes())
    data[84:88] = bytes(4)
    (tmp_path / "a.nii").write_bytes(data)
    frames = nifti.read(tmp_path / "a.nii")
    assert frames[0].spacing is None and len(frames) == 3
    nifti.write(tmp_path / "b.nii", frames)
    assert (tmp_path / "b.nii").read_bytes()[84:88] == bytes(4)
    assert capfd.readouterr().err == ""


def test_rgb_volumes_are_read_and_written(tmp_path: Path) -> None:
    kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    data = volume(4, 5, 2, 3, dtype=np.uint8)
    save(tmp_path / "a.nii.gz", data.copy().view(kind).reshape(4, 5, 2), np.diag([1, 1, 2, 1]))
    frames = nifti.read(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(frames[1].pixels, data[:, :, 1].swapaxes(0, 1))
    nifti.write(tmp_path / "b.nii.gz", enlarged(frames))
    out = nibabel.load(tmp_path / "b.nii.gz")
    assert out.shape == (8, 10, 2) and out.get_data_dtype() == kind
    back = np.ascontiguousarray(np.asarray(out.dataobj)[::2, 1::2]).view(np.uint8).reshape(4, 5, 2, 3)
    np.testing.assert_array_equal(back, data)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_the_record_stands_in_a_comment_and_other_extensions_go(tmp_path: Path, kind: Any, suffix: str) -> None:
    image = kind(volume(4, 5, 3), AFFINE)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"some words"))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("afni", b"<x/>"))
    nibabel.save(image, tmp_path / f"a{suffix}")
    frames = nifti.read(tmp_path / f"a{suffix}")
    assert nifti.read_record(tmp_path / f"a{suffix}") is None
    done = enlarged(frames)
    done[1] = dataclasses.replace(done[1], derivation=dataclasses.replace(DERIVATION, fell_back="a NaN"))
    nifti.write(tmp_path / f"b{suffix}", done)
    out = nibabel.load(tmp_path / f"b{suffix}")
    assert type(out) is kind
    assert [e.get_code() for e in out.header.extensions] == [nifti.COMMENT]
    wanted = record.Record(record.sha256_of(tmp_path / f"a{suffix}"), tuple(f.derivation for f in done))
    assert nifti.read_record(tmp_path / f"b{suffix}") == wanted
    np.testing.assert_array_equal(np.asarray(out.dataobj)[::2, ::2], volume(4, 5, 3))
    nifti.write(tmp_path / f"c{suffix}", done)
    assert (tmp_path / f"c{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_slices_that_are_not_enhanced_are_written_as_they_were(tmp_path: Path) -> None:
    save(tmp_path / "a.nii", volume(4, 5, 3))
    nifti.write(tmp_path / "b.nii", nifti.read(tmp_path / "a.nii"))
    before, after = (nibabel.load(tmp_path / n) for n in ("a.nii", "b.nii"))
    np.testing.assert_array_equal(after.affine, before.affine)
    np.testing.assert_array_equal(np.asarray(after.dataobj), np.asarray(before.dataobj))
    assert nifti.read_record(tmp_path / "b.nii") is None


def test_a_run_of_slices_is_a_smaller_volume_in_its_place(tmp_path: Path) -> None:
    save(tmp_path / "a.nii", volume(4, 5, 6, 2))
    frames = nifti.read(tmp_path / "a.nii")
    nifti.write(tmp_path / "b.nii", frames[8:10])
    before, after = (nibabel.load(tmp_path / n) for n in ("a.nii", "b.nii"))
    assert after.shape == (4, 5, 2)
    np.testing.assert_array_equal(np.asarray(after.dataobj), np.asarray(before.dataobj)[:, :, 2:4, 1])
    np.testing.assert_allclose(after.affine @ [1, 1, 0, 1], before.affine @ [1, 1, 2, 1], atol=1e-4)
    nifti.write(tmp_path / "c.nii", iter(frames))
    assert nibabel.load(tmp_path / "c.nii").shape == (4, 5, 6, 2)


def test_slices_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.nii", volume(4, 5, 6, 2))
    save(tmp_path / "b.nii", volume(4, 5, 6, 2))
    frames, others = nifti.read(tmp_path / "a.nii"), nifti.read(tmp_path / "b.nii")
    out = tmp_path / "c.nii"
    for wrong, word in (
        ([], "at least one"),
        (frames[::-1], "all from one file|no part of one volume"),
        (frames[:2] + frames[3:4], "in their order"),
        ([frames[0], others[1]], "all from one file"),
        (frames[4:8], "no part of one volume"),
        (iter(frames[:-1]), "wanted 12 slices, got 11"),
        ([Frame(frames[0].pixels)], "read from a NIfTI file"),
        ([frames[0], enlarged(frames)[1]], "slices of .* wanted"),
    ):
        with pytest.raises(UsageError, match=word):
            nifti.write(out, wrong)
    assert not out.exists()
    with pytest.raises(OutputError, match="folder does not exist"):
        nifti.write(tmp_path / "none" / "a.nii", frames)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_damaged_files_are_named_and_never_read_in_part(tmp_path: Path, suffix: str) -> None:
    save(tmp_path / f"a{suffix}", np.random.default_rng(0).integers(0, 3000, (20, 20, 5)).astype(np.int16))
    data, path = (tmp_path / f"a{suffix}").read_bytes(), tmp_path / f"b{suffix}"
    for n in (0, 2, 100, 200, 347, 352, len(data) // 2, len(data) - 9, len(data) - 1):
        path.write_bytes(data[:n])
        with pytest.raises(InputError) as e:
            nifti.read(path)
        assert str(path) in str(e.value) and "\n" not in str(e.value)
        assert nifti.read_record(path) is None


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_any_header_is_read_or_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    save(tmp_path / "a.nii", volume(4, 5, 3))
    whole, path = (tmp_path / "a.nii").read_bytes(), tmp_path / "b.nii"
    rng, refused = np.random.default_rng(0), 0
    for at in range(352):
        for value in (255, int(rng.integers(0, 255))):
            path.write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
            try:
                frames = nifti.read(path, max_pixels=1 << 20)
                nifti.write(tmp_path / "c.nii", frames)
            except InputError as e:
                refused += 1
                assert str(path) in str(e) and "\n" not in str(e)
    assert 20 < refused < 500


def test_a_flipped_byte_in_compressed_voxels_is_noticed(tmp_path: Path) -> None:
    save(tmp_path / "a.nii.gz", np.random.default_rng(0).integers(0, 3000, (20, 20, 5)).astype(np.int16))
    data = bytearray((tmp_path / "a.nii.gz").read_bytes())
    data[-6] ^= 1
    (tmp_path / "a.nii.gz").write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        nifti.read(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_headers_that_promise_too_much_are_refused_before_memory_is_taken(tmp_path: Path, suffix: str) -> None:
    save(tmp_path / "a.nii", volume(4, 5, 3))
    data = bytearray((tmp_path / "a.nii").read_bytes())
    data[42:48] = struct.pack("<hhh", 1000, 1000, 200)
    path = tmp_path / f"b{suffix}"
    path.write_bytes(data if suffix == ".nii" else gzip.compress(data))
    with pytest.raises(InputError, match="promises 400000"):
        nifti.read(path)
    with pytest.raises(InputError, match="200000000 pixels, more than the limit of 100000"):
        nifti.read(path, max_pixels=100000)
    data[42:48] = struct.pack("<hhh", 30, 40, 3)
    path.write_bytes(data if suffix == ".nii" else gzip.compress(data))
    with pytest.raises(InputError, match="promises"):
        nifti.read(path)


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(volume(4, 5, 3), AFFINE), tmp_path / "pair.img")
    save(tmp_path / "complex.nii", volume(4, 5, 3).astype(np.complex64))
    save(tmp_path / "vectors.nii", volume(4, 5, 3, 1, 3))
    save(tmp_path / "line.nii", volume(9))
    save(tmp_path / "fine.nii", volume(4, 5, 3) * 0.1)
    for name, word in (
        ("pair.hdr", "half of a header and image pair"),
        ("complex.nii", "complex64 voxels"),
        ("vectors.nii", r"dimensions \(4, 5, 3, 1, 3\)"),
        ("line.nii", "dimensions"),
        ("fine.nii", "float64 values that float32 does not hold"),
        ("none.nii", "No such file"),
    ):
        with pytest.raises(InputError, match=word):
            nifti.read(tmp_path / name)


def test_a_side_that_nifti_1_cannot_count_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.nii", volume(20000, 2, 1))
    with pytest.raises(InputError, match="40000 voxels along an axis; this kind of NIfTI holds 32767"):
        nifti.write(tmp_path / "b.nii", enlarged(nifti.read(tmp_path / "a.nii")))
    nibabel.save(nibabel.Nifti2Image(volume(20000, 2, 1), AFFINE), tmp_path / "c.nii")
    nifti.write(tmp_path / "b.nii", enlarged(nifti.read(tmp_path / "c.nii")))
    assert nibabel.load(tmp_path / "b.nii").shape == (40000, 4, 1)


def test_slice_timing_is_kept_only_while_it_holds(tmp_path: Path) -> None:
    for dimension, kept in ((2, True), (1, False)):
        image = nibabel.Nifti1Image(volume(4, 5, 6), AFFINE)
        image.header.set_dim_info(slice=dimension)
        for name, value in (("slice_end", 4), ("slice_code", 3), ("slice_duration", 0.1)):
            image.header[name] = value
        nibabel.save(image, tmp_path / "a.nii")
        frames = nifti.read(tmp_path / "a.nii")
        assert len(frames) == image.shape[dimension]
        nifti.write(tmp_path / "b.nii", enlarged(frames if kept else frames[:3]))
        assert bool(nibabel.load(tmp_path / "b.nii").header["slice_code"]) == kept


@pytest.mark.parametrize("name", ["MR/fnndsc-adi_T1.nii.gz", "CT/nysbu", "MR/seg3d-mr_T1.nii.gz"])
def test_real_volumes(data_dir: Path, tmp_path: Path, name: str) -> None:
    path = data_dir / name
    path = sorted(path.glob("*.nii.gz"))[0] if path.is_dir() else path
    frames = nifti.read(path)
    axis = 0 if path.name.startswith("seg3d") else 2
    image = nibabel.load(path)
    assert len(frames) == image.shape[axis]
    middle = len(frames) // 2
    np.testing.assert_array_equal(frames[middle].pixels, np.asarray(image.dataobj).take(middle, axis).T)
