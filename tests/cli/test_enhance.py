"""`acutance enhance` from end to end, with the real Enhancer and the shipped models."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

import acutance
from acutance import enhancer, geometry, model
from acutance.cli import results
from acutance.files import nifti, raster

Run = Callable[..., Any]
Make = Callable[..., Path]


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of every file, to see which were written again."""
    return {n: ((folder / n).read_bytes(), (folder / n).stat().st_mtime_ns) for n in files(folder)}


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_a_dicom_file_becomes_a_derived_one(run: Run, tmp_path: Path, modality: str, make_dicom: Make) -> None:
    source = make_dicom(tmp_path / "a.dcm", modality)
    ran = run("enhance", source, "-o", tmp_path / "b.dcm")
    assert ran.code == 0 and not ran.err
    (wanted,) = acutance.read(source)
    with acutance.Enhancer() as plain:
        result = plain.run(wanted)
    (frame,) = acutance.read(tmp_path / "b.dcm")
    np.testing.assert_array_equal(frame.pixels, result.pixels)
    assert frame.spacing == pytest.approx([v / 2 for v in wanted.spacing or ()])
    written = pydicom.dcmread(tmp_path / "b.dcm")
    assert written.ImageType[0] == "DERIVED" and result.model in written.DerivationDescription
    row = next(line.split() for line in ran.out.splitlines() if str(source) in line)
    assert row[1:3] == [modality, "1"] and result.model in row and result.backend in row and "enhanced" in row
    assert "1 enhanced, 0 already right, 0 skipped" in ran.out


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.png", "a.tif", "a.jpg"])
def test_other_files_become_the_same_kind(run: Run, tmp_path: Path, name: str, make_picture: Make) -> None:
    source = make_picture(tmp_path / name)
    out = tmp_path / f"out{'.png' if name == 'a.jpg' else name[1:]}"
    ran = run("enhance", source, "-o", out, "--modality", "mr")
    assert ran.code == 0 and "mr-rt-x2" in ran.out
    with acutance.Enhancer() as plain:
        wanted = [plain.run(f).frame for f in acutance.read(source, modality="MR")]
    got = acutance.read(out)
    assert len(got) == len(wanted) == (4 if "nii" in name else 1)
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(a.pixels, b.pixels)
        assert a.spacing == (None if b.spacing is None else pytest.approx(b.spacing))
    record = (nifti if "nii" in name else raster).read_record(out)
    assert record is not None and record.derivations == tuple(f.derivation for f in wanted)


def test_a_volume_keeps_its_corners_and_shares_one_range(run: Run, tmp_path: Path, make_picture: Make) -> None:
    source = make_picture(tmp_path / "a.nii.gz")
    assert run("enhance", source, "-o", tmp_path / "b.nii.gz", "--modality", "MR").code == 0
    before, after = nibabel.load(source), nibabel.load(tmp_path / "b.nii.gz")
    assert after.shape == (*(2 * n for n in before.shape[:2]), before.shape[2])
    np.testing.assert_allclose(after.affine @ [-0.5, -0.5, 0, 1], before.affine @ [-0.5, -0.5, 0, 1], atol=1e-5)
    record = nifti.read_record(tmp_path / "b.nii.gz")
    assert record is not None and len(set(record.derivations)) == 1
    low, high = geometry.robust_range(acutance.read(source))
    assert (record.derivations[0].low, record.derivations[0].high) == (low, high)


@pytest.mark.parametrize("name", model.names())
def test_what_a_network_made_is_not_the_base_and_says_so(
    run: Run, tmp_path: Path, name: str, make_picture: Make
) -> None:
    meta = model.load(name).meta
    source = make_picture(tmp_path / "a.nii", rows=48, cols=40)
    image = nibabel.load(source)
    spacing = 1.0 if meta.spacing_mm is None else sum(meta.spacing_mm) / 2
    nibabel.save(
        nibabel.Nifti1Image(np.asarray(image.dataobj).copy(), np.diag([spacing, spacing, 2 * spacing, 1])), source
    )
    pixels = {}
    for which in (name, "base"):
        out = tmp_path / f"{which}.nii"
        ran = run(
            "enhance", source, "-o", out, "--model", which, "--scale", meta.scale, "--modality", meta.modalities[0]
        )
        assert ran.code == 0 and which in ran.out
        record = nifti.read_record(out)
        assert record is not None and {d.model for d in record.derivations} == {which}
        assert {d.fell_back for d in record.derivations} == {None}
        assert {d.sha256 for d in record.derivations} == {model.load(name).sha256 if which == name else ""}
        pixels[which] = np.asarray(nibabel.load(out).dataobj)
    assert (pixels[name] != pixels["base"]).mean() > 0.1


def test_a_picture_that_no_model_fits_is_its_base_and_says_why(run: Run, tmp_path: Path, make_picture: Make) -> None:
    ran = run("enhance", make_picture(tmp_path / "a.png"), "-o", tmp_path / "b.png", "--modality", "xx")
    assert ran.code == 0
    assert "no model enlarges XX by 2 (1 picture)" in ran.out
    record = raster.read_record(tmp_path / "b.png")
    assert record is not None and record.derivations[0].fell_back == "no model enlarges XX by 2"


def test_a_series_shares_one_range_and_a_file_alone_says_that_it_has_its_own(
    run: Run, tmp_path: Path, make_dicom: Make
) -> None:
    paths = [make_dicom(tmp_path / "in" / f"{9 - i}.dcm", index=i) for i in range(3)]
    ran = run("enhance", tmp_path / "in", "-o", tmp_path / "out")
    assert ran.code == 0 and "alone" not in ran.out
    assert f"{paths[-1]} and 2 more" in ran.out
    frames = [acutance.read(p)[0] for p in paths]
    with acutance.Enhancer() as plain:
        for path, frame in zip(paths, geometry.share_range(frames), strict=True):
            (got,) = acutance.read(tmp_path / "out" / f"{path.stem}_x2.dcm")
            np.testing.assert_array_equal(got.pixels, plain.run(frame).pixels)
    alone = run("enhance", paths[0], "-o", tmp_path / "alone.dcm")
    assert "value range from this picture alone (1 picture)" in alone.out
    uids = {pydicom.dcmread(p).SOPInstanceUID for p in (tmp_path / "out" / "9_x2.dcm", tmp_path / "alone.dcm")}
    assert len(uids) == 2


def test_a_series_is_never_held_at_once(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_dicom: Make
) -> None:
    from acutance import io as files_io

    for i in range(4):
        make_dicom(tmp_path / "in" / f"{i}.dcm", index=i)
    log: list[str] = []
    read, write = files_io.read, files_io.write
    monkeypatch.setattr(files_io, "read", lambda *a, **k: (log.append("read"), read(*a, **k))[1])
    monkeypatch.setattr(files_io, "write", lambda *a, **k: (log.append("write"), write(*a, **k))[1])
    assert run("enhance", tmp_path / "in", "-o", tmp_path / "out").code == 0
    assert log == ["read"] * 4 + ["read", "write"] * 4
    log.clear()
    assert run("enhance", tmp_path / "in", "-o", tmp_path / "ct", "--model", "ct-rt-x2").code == 0
    assert log == ["read", "write"] * 4, "a fixed range needs no look ahead"


MIXED = ["ct_x2.dcm", "p/a_x2.png", "p/b_x2.tif", "p/c_x2.png", "s/IM0_x2", "s/IM1_x2", "v_x2.nii.gz"]


def test_a_folder_goes_through_and_what_cannot_be_enhanced_is_named(run: Run, tmp_path: Path, mixed: Path) -> None:
    ran = run("enhance", mixed, "-o", tmp_path / "out")
    assert ran.code == 3
    assert files(tmp_path / "out") == MIXED
    source = tmp_path / "in"
    assert sorted(ran.err) == [
        f"skipped {source / 'cut.png'}: cannot be read (damaged or cut short)",
        f"skipped {source / 'notes.txt'}: is no DICOM, NIfTI, PNG, TIFF or JPEG file",
        f"skipped {source / 's' / 'empty'}: is empty",
    ]
    assert "7 enhanced, 0 already right, 3 skipped" in ran.out
    for name in ("ct-rt-x2", "mr-rt-x2"):
        assert name in ran.out


def test_a_second_run_keeps_what_is_right_and_does_the_rest(
    run: Run, tmp_path: Path, make_picture: Make, mixed: Path
) -> None:
    source, out = mixed, tmp_path / "out"
    assert run("enhance", source, "-o", out).code == 3
    before = state(out)
    ran = run("enhance", source, "-o", out)
    assert ran.code == 3 and state(out) == before
    assert "0 enhanced, 7 already right, 3 skipped" in ran.out and "already right" in ran.out
    (out / "p" / "b_x2.tif").unlink()
    make_picture(source / "p" / "a.png", seed=5)
    make_picture(source / "v.nii.gz", seed=5)
    ran = run("enhance", source, "-o", out)
    assert "3 enhanced, 4 already right, 3 skipped" in ran.out
    changed = {n for n, v in state(out).items() if v != before[n]}
    assert changed == {"p/a_x2.png", "p/b_x2.tif", "v_x2.nii.gz"}
    assert state(out)["p/b_x2.tif"][0] == before["p/b_x2.tif"][0], "the same work makes the same bytes"


@pytest.mark.parametrize("change", [["--guard", "box"], ["--model", "base"], ["--stitch", "feather", "--tile", "32"]])
def test_other_settings_are_another_result(run: Run, tmp_path: Path, change: list[str], mixed: Path) -> None:
    out = tmp_path / "out"
    for path in (mixed / "s" / "IM0", mixed / "v.nii.gz", mixed / "p" / "b.tif"):
        out.mkdir()
        command = ["enhance", path, "-o", out, "--modality", "MR"]
        assert run(*command).code == 0
        before = state(out)
        assert "1 already right" in run(*command, "--strict").out, "nothing here is outside what the model knows"
        assert "1 enhanced" in run(*command, *change).out
        assert state(out) != before
        assert "1 already right" in run(*command, *change).out
        assert "1 enhanced" in run(*command).out
        assert {n: data for n, (data, _) in state(out).items()} == {n: data for n, (data, _) in before.items()}
        shutil.rmtree(out)


def test_a_result_that_fell_back_while_running_is_done_again(
    run: Run, tmp_path: Path, make_model: Make, make_dicom: Make, make_picture: Make
) -> None:
    poisoned = make_model(poison=float("nan"), modalities=["MR"])
    for source in (make_dicom(tmp_path / "a.dcm"), make_picture(tmp_path / "a.png"), make_picture(tmp_path / "a.nii")):
        out = tmp_path / f"out{source.suffix}"
        for _ in range(2):
            ran = run("enhance", source, "-o", out, "--model", poisoned, "--modality", "MR")
            assert ran.code == 0 and "1 enhanced" in ran.out
            assert "values that are not finite" in ran.out and " base " in ran.out


def test_overwrite_does_everything_again(run: Run, tmp_path: Path, make_picture: Make) -> None:
    source = make_picture(tmp_path / "a.png")
    command = ["enhance", source, "-o", tmp_path / "b.png"]
    run(*command)
    before = (tmp_path / "b.png").stat().st_mtime_ns
    assert "1 enhanced" in run(*command, "--overwrite").out
    assert (tmp_path / "b.png").stat().st_mtime_ns > before


@pytest.mark.parametrize("name", ["a.png", "a.nii", "a.dcm", "a.tif"])
def test_files_of_others_are_replaced_only_when_asked(
    run: Run, tmp_path: Path, name: str, make_dicom: Make, make_picture: Make
) -> None:
    make = make_dicom if name == "a.dcm" else make_picture
    source, out = make(tmp_path / name), tmp_path / f"out{Path(name).suffix}"
    for content in (b"precious", source.read_bytes()):
        out.write_bytes(content)
        ran = run("enhance", source, "-o", out)
        assert ran.code == 1 and out.read_bytes() == content
        assert ran.err == [f"skipped {source}: {out} is there and not from acutance; --overwrite replaces it"]
    assert run("enhance", source, "-o", out, "--overwrite").code == 0
    assert results.is_result(out)


def test_an_input_is_never_overwritten(run: Run, tmp_path: Path, make_picture: Make) -> None:
    source = make_picture(tmp_path / "a.png")
    other = make_picture(tmp_path / "a_x2.png", seed=3)
    before = state(tmp_path)
    assert run("enhance", source, "-o", source, "--overwrite").code == 1
    ran = run("enhance", source, other, "-o", tmp_path, "--overwrite")
    assert ran.code == 3 and ran.err == [f"skipped {source}: its result would overwrite the input {other}"]
    assert {n: v for n, v in state(tmp_path).items() if n in before} == before
    assert files(tmp_path) == ["a.png", "a_x2.png", "a_x2_x2.png"]


def test_results_are_not_enhanced_again(run: Run, tmp_path: Path, mixed: Path) -> None:
    source = mixed
    for out in (source / "out", source):
        first = run("enhance", source, "-o", out)
        before = state(source)
        second = run("enhance", source, "-o", out)
        assert first.code == second.code == 3 and state(source) == before
        assert "0 enhanced, 7 already right, 3 skipped" in second.out
        if out != source:
            assert f"skipped {out}: it is where the results go" in second.err
            shutil.rmtree(out)
    ran = run("enhance", source, "-o", tmp_path / "out")
    assert ran.code == 3 and files(tmp_path / "out") == MIXED
    assert sum("is itself a result of acutance" in line for line in ran.err) == 7
    ran = run("enhance", source / "p" / "a_x2.png", "-o", tmp_path / "b.png")
    assert ran.code == 1 and "is itself a result of acutance" in ran.err[0]


def test_results_that_clash_are_named(run: Run, tmp_path: Path, make_picture: Make) -> None:
    one, two = make_picture(tmp_path / "1" / "a.png"), make_picture(tmp_path / "2" / "a.jpg")
    ran = run("enhance", one, two, "-o", tmp_path / "out")
    assert ran.code == 3 and files(tmp_path / "out") == ["a_x2.png"]
    assert ran.err == [
        f"skipped {two}: its result would have the name of that of {one}; enhance it into another folder"
    ]


def test_exit_status_when_nothing_succeeds(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "empty", tmp_path / "none.dcm"):
        ran = run("enhance", source, "-o", tmp_path / "out")
        assert ran.code == 1 and not (tmp_path / "out").exists()
    assert ran.err == [f"skipped {tmp_path / 'none.dcm'}: cannot be read (No such file or directory)"]


def test_a_list_comes_from_stdin(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mixed: Path) -> None:
    assert mixed.is_dir()
    monkeypatch.chdir(tmp_path)
    (mixed / "p" / "c.jpg").rename(mixed / "p" / os.fsdecode(b"\xff.jpg"))
    listed = b"in/p/a.png\nin/s\n./in/p/\xff.jpg\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(listed)))
    ran = run("enhance", "-", "-o", "out")
    assert ran.code == 3
    assert files(tmp_path / "out") == ["in/p/a_x2.png", "in/p/\udcff_x2.png", "in/s/IM0_x2", "in/s/IM1_x2"]


def test_scale_is_part_of_the_name(run: Run, tmp_path: Path, make_picture: Make) -> None:
    ran = run("enhance", make_picture(tmp_path / "a.png"), "-o", f"{tmp_path}/", "--scale", "3")
    assert ran.code == 0
    with Image.open(tmp_path / "a_x3.png") as image:
        assert image.size == (90, 60)


def test_options_reach_what_they_are_for(run: Run, tmp_path: Path, make_dicom: Make, make_picture: Make) -> None:
    source = make_dicom(tmp_path / "a.dcm", BurnedInAnnotation="YES")
    refused = run("enhance", source, "-o", tmp_path / "b.dcm")
    assert refused.code == 1 and "burned into its pixels" in refused.err[0]
    common = ["enhance", source, "-o", tmp_path / "b.dcm", "--allow-burned-in"]
    assert run(*common).code == 0
    plain = pydicom.dcmread(tmp_path / "b.dcm")
    for compress, syntax in (("jpeg2000", "1.2.840.10008.1.2.4.90"), ("rle", "1.2.840.10008.1.2.5")):
        assert "1 enhanced" in run(*common, "--compress", compress).out
        packed = pydicom.dcmread(tmp_path / "b.dcm")
        assert packed.file_meta.TransferSyntaxUID == syntax and packed.SOPInstanceUID == plain.SOPInstanceUID
        np.testing.assert_array_equal(packed.pixel_array, plain.pixel_array)
        assert "1 already right" in run(*common, "--compress", compress).out
    for path in (
        source,
        make_picture(tmp_path / "a.png"),
        make_picture(tmp_path / "a.nii"),
        make_picture(tmp_path / "a.tif"),
    ):
        ran = run("enhance", path, "-o", f"{tmp_path}/c/", "--max-pixels", "500")
        assert ran.code == 1 and "500" in ran.err[0] and "pixels" in ran.err[0]


def test_strict_gives_the_base_outside_what_a_model_was_trained_for(run: Run, tmp_path: Path, make_dicom: Make) -> None:
    source = make_dicom(tmp_path / "a.dcm", "CT", PixelSpacing=[9.0, 9.0])
    loose = run("enhance", source, "-o", tmp_path / "b.dcm")
    assert "ct-rt-x2 was trained for pixels of" in loose.out and " ct-rt-x2 " in loose.out
    strict = run("enhance", source, "-o", tmp_path / "b.dcm", "--strict")
    assert "ct-rt-x2 was trained for pixels of" in strict.out and " base " in strict.out


def test_jobs_change_no_byte(run: Run, tmp_path: Path, make_dicom: Make, mixed: Path) -> None:
    source = mixed
    for i in range(6):
        make_dicom(source / "more" / f"{i}.dcm", index=i, series="3", RescaleSlope=1 + i / 7, RescaleIntercept=0)
    made = []
    for jobs in (1, 3):
        assert run("enhance", source, "-o", tmp_path / f"out{jobs}", "--jobs", jobs).code == 3
        made.append({n: data for n, (data, _) in state(tmp_path / f"out{jobs}").items()})
    assert made[0] == made[1] and len(made[0]) == 13


def test_names_of_any_kind_stay_on_one_line(run: Run, tmp_path: Path, make_picture: Make) -> None:
    folder = tmp_path / "in"
    for name in ("[red]x[/red].png", "a\nb.png", "ü\x1b[31m.png", os.fsdecode(b"bad\xff.png")):
        make_picture(folder / name)
        (folder / f"{name}.txt").write_text("none")
    ran = run("enhance", folder, "-o", tmp_path / "out")
    assert ran.code == 3 and len(ran.err) == 4 and len(files(tmp_path / "out")) == 4
    text = "\n".join([ran.out, *ran.err])
    for word in ("[red]x[/red].png", "a\\nb.png", "ü\\x1b[31m.png", "bad\\udcff.png"):
        assert word in text
    assert "\x1b" not in text


def test_a_fault_is_named_without_what_it_says(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_dicom: Make
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Doe^Jane is 44 years old")

    monkeypatch.setattr(enhancer.Enhancer, "run", fail)
    ran = run("enhance", make_dicom(tmp_path / "a.dcm"), "-o", tmp_path / "b.dcm")
    assert ran.code == 1 and len(ran.err) == 1
    assert "RuntimeError at test_enhance.py" in ran.err[0] and "Doe" not in ran.err[0] + ran.out


def test_a_full_disk_is_named_and_leaves_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_dicom: Make, make_picture: Make
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    sources = [make_dicom(tmp_path / "a.dcm"), make_picture(tmp_path / "a.nii.gz"), make_picture(tmp_path / "a.tif")]
    ran = run("enhance", *sources, "-o", tmp_path / "out")
    assert ran.code == 1 and len(ran.err) == 3 and not files(tmp_path / "out")
    assert all("cannot be written" in line for line in ran.err)


def test_nothing_of_the_patient_is_printed(run: Run, tmp_path: Path, make_dicom: Make) -> None:
    secrets = {"PatientName": "Doe^Jane", "PatientID": "4711", "InstitutionName": "Mercy", "StudyDescription": "Knee"}
    make_dicom(tmp_path / "in" / "a.dcm", **secrets)
    make_dicom(tmp_path / "in" / "b.dcm", index=1, series="2", BurnedInAnnotation="YES", **secrets)
    make_dicom(tmp_path / "in" / "c.dcm", index=2, series="3", SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4", **secrets)
    ran = run("enhance", tmp_path / "in", "-o", tmp_path / "out")
    assert ran.code == 3 and len(ran.err) == 2
    text = "\n".join([ran.out, *ran.err])
    for secret in ("Doe", "Jane", "4711", "Mercy", "Knee"):
        assert secret not in text
