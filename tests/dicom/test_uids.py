"""UIDs follow from what was done: the same for the same, others for anything else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydicom.uid import UID

from acutance import Enhancer, dicom
from acutance.dicom import uids
from acutance.geometry import Derivation, Frame

BASE = Derivation("m", "1", "00", "fp32", "onnxruntime", 2, "cubic", "box", software="1", range_from="series")


def test_same_work_makes_the_same_bytes(objects: ModuleType, convert: Callable[..., Path], tmp_path: Path) -> None:
    for suffix in ("2", "4.1", "6.1"):
        source = objects.save(objects.CLASSES[suffix](), tmp_path / "a.dcm")
        first = convert(source, tmp_path / "b.dcm").read_bytes()
        assert convert(source, tmp_path / "c.dcm").read_bytes() == first
        assert convert(source, tmp_path / "d.dcm", compress="rle").read_bytes() != first


def test_uid_is_known_beforehand(objects: ModuleType, tmp_path: Path) -> None:
    for suffix in ("2", "4.1", "3.1"):
        frames = dicom.read(objects.save(objects.CLASSES[suffix](), tmp_path / "a.dcm"))
        assert frames[0].source is not None
        with Enhancer(model="base") as enhancer:
            planned = dicom.derived_uid(frames[0].source.header, [enhancer.derivation(f) for f in frames])
            made = dicom.derive([enhancer.run(f).frame for f in frames])
        assert made.SOPInstanceUID == planned
        assert planned.startswith("2.25.") and planned.is_valid and len(planned) <= 64


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Derivation)])
def test_every_setting_makes_another_object(objects: ModuleType, field: str) -> None:
    header = objects.ct()
    value = getattr(BASE, field)
    other: Any = "other" if value is None or isinstance(value, str) else value + 1
    assert dicom.derived_uid(header, dataclasses.replace(BASE, **{field: other})) != dicom.derived_uid(header, BASE)


def test_every_source_makes_another_object(objects: ModuleType) -> None:
    one, two = objects.ct(), objects.ct()
    two.SOPInstanceUID += ".1"
    assert dicom.derived_uid(one, BASE) != dicom.derived_uid(two, BASE)


def test_one_derivation_stands_for_all_frames(objects: ModuleType) -> None:
    header = objects.us_multi()
    other = dataclasses.replace(BASE, low=9.0)
    assert dicom.derived_uid(header, BASE) == dicom.derived_uid(header, [BASE, BASE, BASE])
    found = {dicom.derived_uid(header, x) for x in ([BASE, BASE, other], [BASE, other, BASE], [other] * 3)}
    assert len(found | {dicom.derived_uid(header, BASE)}) == 4


def test_pictures_of_a_series_stay_one_series(objects: ModuleType) -> None:
    one, two = objects.ct(), objects.ct()
    two.SOPInstanceUID += ".1"
    ranges = [dataclasses.replace(BASE, low=float(i), high=float(i + 1), range_from="picture") for i in range(3)]
    first = uids.derived_series_uid(one, [BASE])
    assert {uids.derived_series_uid(two, [x]) for x in ranges} == {first}
    two.SeriesInstanceUID += ".1"
    assert uids.derived_series_uid(two, [BASE]) != first
    for changes in ({"model": "n"}, {"guard": "none"}, {"scale": 3}, {"sha256": "11"}, {"software": "2"}):
        assert uids.derived_series_uid(one, [dataclasses.replace(BASE, **changes)]) != first
    assert UID(first).is_valid


def test_parts_of_a_concatenation_stay_together(
    objects: ModuleType, enlarge: Callable[..., list[Frame]], tmp_path: Path
) -> None:
    found = set()
    for part in (1, 2):
        made = objects.enhanced_mr()
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{part}"
        made.ConcatenationUID, made.InConcatenationNumber, made.ConcatenationFrameOffsetNumber = "1.2.9", part, 0
        derived = dicom.derive(enlarge(dicom.read(objects.save(made, tmp_path / "a.dcm"))))
        found.add(derived.ConcatenationUID)
    assert len(found) == 1 and found != {"1.2.9"}
