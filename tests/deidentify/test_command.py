"""``acutance deidentify``: files in, files out, statuses, and no name anywhere."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

pytest.importorskip("dicomanonymizer")

from acutance import dicom

Run = Callable[..., Any]


@pytest.fixture
def ward(tmp_path: Path, someone: Callable[..., Dataset], objects: ModuleType) -> Path:
    """A folder named after a patient, with three slices of two patients, and three files that are refused."""
    folder = tmp_path / "Mustermann"
    folder.mkdir()
    for i, patient in enumerate(("PAT4711", "PAT4711", "PAT0815")):
        made = someone(SOPInstanceUID=f"1.2.3.{i}", PatientID=patient, InstanceNumber=i)
        objects.save(made, folder / f"Mustermann_{i}.dcm")
    objects.save(someone("sc"), folder / "screen.dcm")
    (folder / "report").write_bytes(Path(str(get_testdata_file("test-SR.dcm", download=False))).read_bytes())
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / "a.png")
    return folder


def test_a_folder(ward: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    done = run(ward, "-o", out)
    assert done.code == 3 and "3 de-identified, 3 refused" in done.out
    refused = {Path(x.split(": ")[0]).name: x for x in done.err}
    assert set(refused) == {"screen.dcm", "report", "a.png"}
    assert "Basic Text SR" in refused["report"] or "SR" in refused["report"]
    assert "only DICOM is de-identified" in refused["a.png"]
    files = sorted(out.rglob("*.dcm"))
    assert len(files) == 3 and len(list(out.iterdir())) == 2
    everything = b"".join(p.read_bytes() for p in files) + "".join(map(str, files)).replace(str(tmp_path), "").encode()
    for secret in (b"Mustermann", b"PAT4711", b"PAT0815", b"ACC0815", b"Charlotten", b"20231103", b"1.2.3."):
        assert secret not in everything
    for path in files:
        header = pydicom.dcmread(path)
        assert path == out / header.PatientID / header.StudyInstanceUID / header.SeriesInstanceUID / (
            f"{header.SOPInstanceUID}.dcm"
        )
        assert len(dicom.read(path)) == 1
    key = ward / ".acutance.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and str(key) in done.out
    again = {p: p.read_bytes() for p in files}
    assert run(ward, "-o", out).code == 3
    assert {p: p.read_bytes() for p in sorted(out.rglob("*.dcm"))} == again


def test_one_file(ward: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "x.dcm"
    done = run(ward / "Mustermann_0.dcm", "-o", out, "--key", tmp_path / "key", "--retain", "patient")
    assert done.code == 0 and done.err == [] and pydicom.dcmread(out).PatientIdentityRemoved == "YES"
    assert run(ward / "Mustermann_0.dcm", "-o", out, "--key", tmp_path / "key").code == 0  # the same object again
    before = out.read_bytes()
    foreign = run(ward / "Mustermann_1.dcm", "-o", out, "--key", tmp_path / "key")
    assert foreign.code == 1 and "--overwrite replaces it" in foreign.err[0] and out.read_bytes() == before
    assert run(ward / "Mustermann_1.dcm", "-o", out, "--key", tmp_path / "key", "--overwrite").code == 0


def test_the_input_stays_as_it_is(ward: Path, run: Run) -> None:
    source = ward / "Mustermann_0.dcm"
    before = source.read_bytes()
    done = run(source, "-o", source, "--overwrite")
    assert done.code == 1 and "is the input itself" in done.err[0] and source.read_bytes() == before


def test_copies_are_named(ward: Path, tmp_path: Path, run: Run) -> None:
    (ward / "z.dcm").write_bytes((ward / "Mustermann_0.dcm").read_bytes())
    done = run(ward, "-o", tmp_path / "out")
    (said,) = [x for x in done.err if "z.dcm" in x]
    assert f"holds the same object as {ward / 'Mustermann_0.dcm'}" in said


def test_screens_with_a_rectangle(ward: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "x.dcm"
    assert run(ward / "screen.dcm", "-o", out).code == 1 and not out.exists()
    assert run(ward / "screen.dcm", "-o", out, "--blank", "0,0,4,20", "--blank", "20,0,4,20").code == 0
    pixels = dicom.read(out)[0].pixels
    assert not pixels[:4].any() and not pixels[20:].any() and pixels[4:20].any()


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--blank", "0,0,4"], "ROW,COL,ROWS,COLS"),
        (["--retain", "dates", "--retain", "shifted-dates"], "exclude each other"),
        (["--key", "OUT/key"], "must not lie with the results"),
    ],
)
def test_wrong_usage(ward: Path, tmp_path: Path, run: Run, arguments: list[str], said: str) -> None:
    out = tmp_path / "out"
    done = run(ward, "-o", out, *(a.replace("OUT", str(out)) for a in arguments))
    assert done.code == 2 and said in " ".join(done.err) and not out.exists()
    assert not (ward / ".acutance.key").exists()


def test_a_file_that_is_no_key(ward: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "key").write_text("Mustermann")
    done = run(ward, "-o", tmp_path / "out", "--key", tmp_path / "key")
    assert done.code == 1 and "holds no key" in done.err[0]


def test_what_acutance_derived_still_says_so(ward: Path, tmp_path: Path, run: Run) -> None:
    from acutance import Enhancer, write

    (frame,) = dicom.read(ward / "Mustermann_0.dcm")
    with Enhancer(model="base") as enhancer:
        write(tmp_path / "x2.dcm", enhancer.run(frame).frame)
    assert run(tmp_path / "x2.dcm", "-o", tmp_path / "clean.dcm").code == 0
    header = pydicom.dcmread(tmp_path / "clean.dcm")
    assert header.ImageType[0] == "DERIVED" and header.DerivationCodeSequence[-1].CodeValue == "113085"
    assert header.ContributingEquipmentSequence[0].Manufacturer == "acutance"
    assert "Mustermann" not in str(header)
