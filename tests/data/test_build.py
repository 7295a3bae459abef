"""A folder of scans becomes a data set that training and evaluation read, and nothing of the people stands in it."""

from __future__ import annotations

import csv
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

pytest.importorskip("dicomanonymizer")

from acutance import dicom, io
from acutance.data import sources
from acutance.evaluate import methods, scans, score, shards

Build = Callable[..., Any]


def manifest(folder: Path) -> list[dict[str, str]]:
    with (folder / "MANIFEST.csv").open(newline="") as f:
        return list(csv.DictReader(f))


def series(folder: Path, modality: str = "CT") -> list[scans.Series]:
    found = [scans.load(s) for split in scans.SPLITS for s in scans.find(folder, split, modality)]
    return [x for x in found if x is not None]


def everything(folder: Path) -> bytes:
    """Return names and contents of all that lies in a folder."""
    names = sorted(folder.rglob("*"))
    return b"\n".join(str(p.relative_to(folder)).encode() + (p.read_bytes() if p.is_file() else b"") for p in names)


def test_series_are_sorted_split_and_listed(build: Build, ward: Path, tmp_path: Path) -> None:
    said = build(ward, "-o", tmp_path / "set")
    assert said.code == 0 and not said.err, said.err
    assert "6 series written, 0 already there, 0 left out" in said.out
    rows = manifest(tmp_path / "set")
    assert len(rows) == 6 and len({r["subject_id"] for r in rows}) == 5
    assert {(r["source"], r["licence"]) for r in rows} == {("ward 7", "study agreement 12")}
    splits: dict[str, set[str]] = {}
    for r in rows:
        splits.setdefault(r["subject_id"], set()).add(r["split"])
    assert all(len(s) == 1 for s in splits.values())
    for found in series(tmp_path / "set"):
        assert [s.shape for s in found.slices] == [(64, 72)] * 2 and found.slices[0].dtype == np.int16
        assert found.shard is not None and found.shard.spacing_mm == (3.0, *(found.spacing or ()))


def test_slices_are_the_sources_in_hu_and_in_their_order(build: Build, ward: Path, tmp_path: Path) -> None:
    build(ward / "3", "-o", tmp_path / "set")
    (found,) = series(tmp_path / "set")
    wanted = [dicom.read(ward / "3" / f"IM{1 - i}")[0] for i in range(2)]
    for got, frame in zip(found.slices, wanted, strict=True):
        np.testing.assert_array_equal(got, frame.pixels * frame.slope + frame.intercept)
    assert found.value_range == score.data_range("CT", found.slices)
    truths = [i for i, s in enumerate(found.slices) if score.is_truth("CT", s, found.value_range)]
    assert [i for i, _ in found.truths(2)] == truths != []
    assert isinstance(found.slices[0].base, np.memmap) or isinstance(found.slices[0], np.memmap)


def test_nothing_of_the_people_is_in_the_data_set_or_said(build: Build, ward: Path, tmp_path: Path) -> None:
    header = pydicom.dcmread(ward / "3" / "IM0")
    secrets = [str(e.value) for e in header.iterall() if e.VR in ("PN", "UI", "DA", "TM", "DT", "LO", "SH", "ST")]
    secrets = [x for x in secrets if len(x) > 3 and x != "acutance" and not x.startswith("1.2.840.10008.")]
    secrets += ["Mustermann", "Erika", "Privatgeheimnis", "PAT-00", "1.2.826."]
    assert {"19640812", "Charlottenhospital", header.StudyInstanceUID} <= set(secrets)
    (ward / "3" / "cut").write_bytes((ward / "3" / "IM0").read_bytes()[:3000])
    said = build(ward, "-o", tmp_path / "set")
    assert said.code == 3
    held = everything(tmp_path / "set")
    for secret in secrets:
        assert secret.encode() not in held, secret
        assert secret not in said.out + said.err, secret
    names = {p.name for p in ward.rglob("*") if p.is_file()}
    assert not [n for n in names if n.startswith("IM") and n.encode() in held]
    assert b"EchoTime" in held  # numbers of the acquisition stay


def test_the_same_people_come_out_under_the_same_key_alone(build: Build, ward: Path, tmp_path: Path) -> None:
    for name, key in (("a", "one"), ("b", "one"), ("c", "two")):
        build(ward, "-o", tmp_path / name, "--key", tmp_path / key)
    subjects = [{r["subject_id"] for r in manifest(tmp_path / n)} for n in "abc"]
    assert subjects[0] == subjects[1] and not subjects[0] & subjects[2]
    assert everything(tmp_path / "a") == everything(tmp_path / "b")
    assert (tmp_path / "one").stat().st_mode & 0o077 == 0
    said = build(ward, "-o", tmp_path / "a", "--key", tmp_path / "two")
    assert said.code == 2 and "is another key than" in said.err


def test_the_key_lies_beside_the_source_and_is_missed(build: Build, ward: Path, tmp_path: Path) -> None:
    said = build(ward, "-o", tmp_path / "set")
    assert f"the key of the pseudonyms is {ward / '.acutance.key'}" in said.out
    (ward / ".acutance.key").unlink()
    said = build(ward, "-o", tmp_path / "set")
    assert said.code == 2 and "is missing" in said.err and "--key" in said.err


UNWANTED = {
    "localiser": {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
    "secondary image": {"ImageType": ["DERIVED", "SECONDARY", "MPR"]},
    "derived image": {"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]},
    "burned into its pixels": {"BurnedInAnnotation": "YES"},
    "secondary capture": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
}


def test_what_is_no_truth_is_named_once_and_counted(
    build: Build, ward: Path, make_slice: Build, tmp_path: Path
) -> None:
    for i, changes in enumerate(UNWANTED.values()):
        for index in range(2):
            make_slice(ward / f"x{i}" / f"{index}", "PAT-001", series=f"9{i}", index=index, **changes)
    make_slice(ward / "scout", "PAT-001", series="95", SeriesDescription="3_PL_LOC")
    said = build(ward, "-o", tmp_path / "set")
    assert said.code == 0
    assert "6 series written, 0 already there, 6 left out" in said.out
    assert len(said.err.splitlines()) == 6
    for i, word in enumerate(UNWANTED):
        (line,) = [x for x in said.err.splitlines() if f"x{i}" in x]
        assert word in line and "and 1 more" in line
    assert "left out 2: is a localiser" in said.out


def test_bad_files_are_named_and_the_rest_goes_on(build: Build, ward: Path, tmp_path: Path) -> None:
    (ward / "notes.txt").write_text("no picture")
    whole = (ward / "2" / "IM1").read_bytes()
    (ward / "2" / "IM1").write_bytes(whole[:-500])
    said = build(ward, "-o", tmp_path / "set")
    assert said.code == 3
    assert [x.split(": ")[0] for x in said.err.splitlines()] == [f"skipped {ward / n}" for n in ("notes.txt", "2/IM1")]
    assert sorted(int(r["shape"].split("x")[0]) for r in manifest(tmp_path / "set")) == [1, 1, *[2] * 4]
    (ward / "2" / "IM1").write_bytes(whole)
    said = build(ward, "-o", tmp_path / "set")
    assert "1 series written, 5 already there, 1 left out" in said.out
    assert sorted(int(r["shape"].split("x")[0]) for r in manifest(tmp_path / "set")) == [1, *[2] * 5]


def test_a_build_of_nothing_fails(build: Build, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    assert build(tmp_path / "in", "-o", tmp_path / "set").code == 1
    assert not (tmp_path / "set" / "MANIFEST.csv").exists()


def test_another_kind_of_data_set_is_left_alone(build: Build, ward: Path, small_data: Path) -> None:
    before = (small_data / "MANIFEST.csv").read_bytes()
    said = build(ward, "-o", small_data)
    assert said.code == 2 and "another kind of data set" in said.err
    assert (small_data / "MANIFEST.csv").read_bytes() == before


def test_a_second_build_adds_and_keeps(build: Build, ward: Path, make_slice: Build, tmp_path: Path) -> None:
    build(ward, "-o", tmp_path / "set", "--split", "train=1")
    before = {r["path"]: r for r in manifest(tmp_path / "set")}
    make_slice(tmp_path / "more" / "a", "PAT-002", "MR", "5")
    make_slice(tmp_path / "more" / "b", "PAT-900")
    said = build(tmp_path / "more", "-o", tmp_path / "set", "--split", "test=1", "--key", ward / ".acutance.key")
    assert said.code == 0 and "2 series written" in said.out
    after = {r["path"]: r for r in manifest(tmp_path / "set")}
    assert {k: after[k] for k in before} == before
    added = [after[k] for k in after.keys() - before.keys()]
    assert sorted((r["modality"], r["split"]) for r in added) == [("CT", "test"), ("MR", "train")]


def test_a_licence_is_mended_without_reading_again(run: Build, build: Build, ward: Path, tmp_path: Path) -> None:
    build(ward, "-o", tmp_path / "set")
    said = run("data", "build", ward, "-o", tmp_path / "set", "--source", "ward 8", "--licence", "none")
    assert "0 series written, 6 already there" in said.out
    assert {(r["source"], r["licence"]) for r in manifest(tmp_path / "set")} == {("ward 8", "none")}


def test_a_second_copy_of_slices_is_left_out(build: Build, ward: Path, tmp_path: Path) -> None:
    build(ward, "-o", tmp_path / "set")
    for i in range(2):
        copy = pydicom.dcmread(ward / "4" / f"IM{i}")
        copy.PatientID, copy.StudyInstanceUID, copy.FrameOfReferenceUID = "OTHER", "1.9.1", "1.9.2"
        copy.SeriesInstanceUID, copy.SOPInstanceUID = "1.9.3", f"1.9.3.{i}"
        (tmp_path / "copy").mkdir(exist_ok=True)
        copy.save_as(tmp_path / "copy" / f"{i}")
    said = build(tmp_path / "copy", ward, "-o", tmp_path / "set", "--key", ward / ".acutance.key")
    assert said.code == 0 and "holds the same slices as another series, of subject s" in said.err
    assert len(manifest(tmp_path / "set")) == 6


def test_an_interrupted_build_goes_on(
    ward: Path, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, count = io.read, itertools.count()

    def interrupted(*arguments: Any, **options: Any) -> Any:
        if next(count) == 3:
            raise KeyboardInterrupt
        return read(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(io, "read", interrupted)
        assert build(ward, "-o", tmp_path / "set").code == 130
    assert_whole(tmp_path / "set", 2)
    said = build(ward, "-o", tmp_path / "set")
    assert said.code == 0 and "4 series written, 2 already there" in said.out
    assert len(manifest(tmp_path / "set")) == 6


def test_a_killed_build_goes_on(ward: Path, build: Build, tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\nimport numpy\nsave, done = numpy.save, []\n"
        "def killed(file, *a, **k):\n    save(file, *a, **k)\n    done.append(1)\n"
        "    if len(done) == 3:\n        file.flush()\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "numpy.save = killed\nfrom acutance.cli import main\nmain(sys.argv[1:])\n"
    )
    command = ["data", "build", str(ward), "-o", str(tmp_path / "set"), "--source", "ward 7", "--licence", "x"]
    ran = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, timeout=120)
    assert ran.returncode == -signal.SIGKILL
    assert_whole(tmp_path / "set", 2)
    assert len(list((tmp_path / "set").rglob(".acutance-*"))) == 1
    said = build(ward, "-o", tmp_path / "set")
    assert said.code == 0 and "4 series written, 2 already there" in said.out
    assert len(manifest(tmp_path / "set")) == 6 and not list((tmp_path / "set").rglob(".acutance-*"))


def assert_whole(folder: Path, count: int) -> None:
    """Every series that is described is there, and no manifest names others."""
    found = list(folder.glob("*/*/*.json"))
    assert len(found) == count and not (folder / "MANIFEST.csv").exists()
    for path in found:
        said = shards.describe(path)
        assert len(shards.slices(path.with_suffix(".npy"), said)) == said.shape[0]


def test_two_builds_at_once_are_refused(build: Build, ward: Path, tmp_path: Path) -> None:
    import fcntl

    (tmp_path / "set").mkdir()
    handle = os.open(tmp_path / "set", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    said = build(ward, "-o", tmp_path / "set")
    os.close(handle)
    assert said.code == 2 and "another build is at work there" in said.err


def test_pictures_of_one_folder_are_one_subject(build: Build, make_picture: Build, tmp_path: Path) -> None:
    for p in range(3):
        for i in range(2):
            make_picture(tmp_path / "us" / f"p{p}" / "deep" / f"{i}.png", 10 * p + i)
    said = build(tmp_path / "us", "-o", tmp_path / "none")
    assert said.code == 1 and "does not say its modality; name it with --modality" in said.err
    said = build(tmp_path / "us", "-o", tmp_path / "set", "--modality", "us")
    assert said.code == 0
    rows = manifest(tmp_path / "set")
    assert len(rows) == 6 and len({r["subject_id"] for r in rows}) == 3
    assert all(s.value_range == (0, 255) and s.slices[0].dtype == np.uint8 for s in series(tmp_path / "set", "US"))


def test_codes_are_those_of_the_protocol() -> None:
    assert {c: m for m, codes in methods.CODES.items() for c in codes} == sources.OF_CODE


def test_the_set_says_what_it_holds(build: Build, ward: Path, tmp_path: Path) -> None:
    build(ward, "-o", tmp_path / "set")
    (path,) = (tmp_path / "set" / "MR").glob("*/*.json")
    said = json.loads(path.read_text())
    assert said["acquisition"]["EchoTime"] == 14 and said["slope"] == 1
    assert "Basic Application Level Confidentiality Profile" in said["deidentified"]
    assert "HMAC-SHA-256" in (tmp_path / "set" / "README.md").read_text()
