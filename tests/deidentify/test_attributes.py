"""What is left of a header."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pydicom
import pytest
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataset import Dataset
from pydicom.tag import Tag

pytest.importorskip("dicomanonymizer")

from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector

from acutance.deidentify import attributes, profile
from acutance.deidentify.key import Key
from acutance.deidentify.objects import Settings, deidentify
from acutance.deidentify.profile import Retain

Someone = Callable[..., Dataset]

SECRET = {
    **dict.fromkeys(("LO", "LT", "PN", "SH", "ST", "UC", "UT", "UR"), "Geheim"),
    **dict.fromkeys(("DA", "DT"), "20231103"),
    **dict.fromkeys(("OB", "OW", "UN"), b"Geheim"),
    "AE": "GEHEIM",
    "CS": "GEHEIM",
    "TM": "094117",
    "AS": "042Y",
    "UI": "1.2.3.4711",
    **dict.fromkeys(("DS", "IS"), "4711"),
    **dict.fromkeys(("FD", "FL", "SL", "SS", "UL", "US"), 4711),
}
"""A value of each representation that gives someone away."""


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return Key.make(tmp_path / "key")


def encoded(dataset: Dataset) -> bytes:
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, implicit_vr=False, little_endian=True, enforce_file_format=False)
    return file.getvalue()


def listed() -> list[Any]:
    """Every single attribute of Table E.1-1 that stands in a data set."""
    tags = dicom_anonymization_database_selector(f"dicomfields_{profile.EDITION}")["ALL_TAGS"]
    found = [Tag(*tag) for tag in tags if len(tag) == 2 and tag[0] >= 8 and dictionary_has_tag(Tag(*tag))]
    assert len(found) > 600
    return found


def test_nothing_that_the_table_names_stays_in_the_data_set_or_in_items(someone: Someone, key: Key) -> None:
    header, nested = someone(), Dataset()
    for tag in listed():
        vr = dictionary_VR(tag).split(" ")[0]
        value: Any = [Dataset()] if vr == "SQ" else SECRET[vr]
        if vr == "SQ":
            value[0].PatientComments = "Geheim"
        for place in (header, nested):
            place.add_new(tag, vr, value)
    header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    header.DerivationCodeSequence = [nested]
    before = len(header)
    out = attributes.clean(header, key)
    assert len(header) == before and header.PatientComments == "Geheim"
    left = out.DerivationCodeSequence[0]
    for place in (out, left):
        for tag in listed():
            if tag in place and place[tag].VR != "SQ" and not place[tag].is_empty:
                assert place[tag].value != SECRET[place[tag].VR], tag
    data = encoded(out)
    for secret in (b"Geheim", b"GEHEIM", b"20231103", b"094117", b"042Y", b"4711"):
        assert secret not in data
    assert {"SOPInstanceUID", "StudyDate", "ContentDate"} <= {x.keyword for x in left}


def test_what_the_table_does_not_name_goes_where_it_may_name_someone(someone: Someone, key: Key) -> None:
    header = someone()
    header.private_block(0x0009, "Maker 1.0", create=True).add_new(1, "LO", "Geheim")
    header.add_new(0x00080FFE, "LO", "Geheim")  # no attribute of the standard
    header.add_new(0x60000022, "LO", "Geheim")  # overlay description
    header.add_new(0x50000040, "SH", "Geheim")  # curve label
    header.PatientBirthDateInAlternativeCalendar = "Geheim"
    header.RequestedProcedureCodeSequence = [Dataset()]
    header.EvaluatorName = "Geheim"
    header.CertifiedTimestampType = "GEHEIM"
    header.SubstanceAdministrationDateTime = "20231103"
    header.SourceImageSequence = [Dataset()]
    header.SourceImageSequence[0].ReferencedSOPInstanceUID = "1.2.3.4711"
    header.RetrieveURI = "https://geheim.example"
    assert header["EvaluatorName"].VR == "PN" and header["SubstanceAdministrationDateTime"].VR == "DT"
    out = attributes.clean(header, key)
    data = encoded(out)
    assert b"Geheim" not in data and b"geheim" not in data and b"20231103" not in data
    assert "RequestedProcedureCodeSequence" not in out and not any(x.is_private for x in out)
    assert out.SourceImageSequence[0].ReferencedSOPInstanceUID == key.uid("1.2.3.4711")


def test_technical_values_stay(someone: Someone, key: Key) -> None:
    header = someone()
    out = attributes.clean(header, key)
    for keyword in ("KVP", "PixelSpacing", "ImagePositionPatient", "RescaleIntercept", "WindowCenter", "Modality"):
        assert out[keyword].value == header[keyword].value, keyword
    assert out.ImageType == header.ImageType and out.Manufacturer == "test" and out.SOPClassUID == header.SOPClassUID


def test_texts_that_quote_the_patient_are_replaced(someone: Someone, key: Key) -> None:
    header = someone(
        WindowCenterWidthExplanation=["SOFT TISSUE", "for mustermann"],
        ConvolutionKernel="B30",
        FilterMaterial="COPPER",
        ReconstructionDescription="erika2 PAT4711-2",
        Manufacturer="Mustermannsche Werke",
    )
    out = attributes.clean(header, key)
    assert out.WindowCenterWidthExplanation == ["SOFT TISSUE", "REMOVED"]
    assert out.ReconstructionDescription == "REMOVED"
    assert out.Manufacturer == "Mustermannsche Werke"  # a longer word, not the name


def test_files_of_a_patient_stay_together(someone: Someone, key: Key, tmp_path: Path) -> None:
    a, b = someone(), someone("mr", PatientName="MUSTERMANN^E")
    b.SourceImageSequence = [Dataset()]
    b.SourceImageSequence[0].ReferencedSOPClassUID = a.SOPClassUID
    b.SourceImageSequence[0].ReferencedSOPInstanceUID = a.SOPInstanceUID
    one, two = attributes.clean(a, key), attributes.clean(b, key)
    assert one.PatientID == one.PatientName == two.PatientID and one.PatientID.startswith("s")
    assert one.StudyInstanceUID == two.StudyInstanceUID and one.FrameOfReferenceUID == two.FrameOfReferenceUID
    assert two.SourceImageSequence[0].ReferencedSOPInstanceUID == one.SOPInstanceUID != a.SOPInstanceUID
    assert two.SourceImageSequence[0].ReferencedSOPClassUID == a.SOPClassUID
    assert pydicom.uid.UID(one.SOPInstanceUID).is_valid
    other = attributes.clean(a, Key.make(tmp_path / "other"))
    assert {other.PatientID, other.StudyInstanceUID}.isdisjoint({one.PatientID, one.StudyInstanceUID})


def test_a_patient_without_a_number_goes_by_name_or_study(someone: Someone, key: Key) -> None:
    def called(**changes: str) -> str:
        return attributes.pseudonym(someone(PatientID="", **changes), key)

    assert called() == called(StudyInstanceUID="1.2.3") != called(PatientName="Doe^John")
    nobody = {"PatientName": "", "PatientBirthDate": ""}
    assert called(**nobody) != called(**nobody, StudyInstanceUID="1.2.3")


@pytest.mark.parametrize(
    "retained, codes, times",
    [
        ((), ["113100"], "REMOVED"),
        ((Retain.dates, Retain.uids), ["113100", "113106", "113110"], "UNMODIFIED"),
        ((Retain.shifted_dates, Retain.patient), ["113100", "113107", "113108"], "MODIFIED"),
        ((Retain.device, Retain.institution), ["113100", "113109", "113112"], "REMOVED"),
    ],
)
def test_the_file_says_by_what_it_was_cleaned(
    someone: Someone, key: Key, retained: tuple[Retain, ...], codes: list[str], times: str
) -> None:
    out = attributes.clean(someone(), key, retained)
    items = out.DeidentificationMethodCodeSequence
    assert [x.CodeValue for x in items] == codes and {x.CodingSchemeDesignator for x in items} == {"DCM"}
    assert items[0].CodeMeaning == "Basic Application Confidentiality Profile"
    assert out.PatientIdentityRemoved == "YES" and out.LongitudinalTemporalInformationModified == times
    assert all(len(x) <= 64 for x in out.DeidentificationMethod) and "PS3.15" in out.DeidentificationMethod[0]
    again = attributes.clean(out, key)
    assert [x.CodeValue for x in again.DeidentificationMethodCodeSequence] == codes
    assert again.DeidentificationMethod == out.DeidentificationMethod
    assert again.LongitudinalTemporalInformationModified == ("REMOVED")


def test_options_keep_what_they_name_and_no_more(someone: Someone, key: Key) -> None:
    header = someone(PatientAge="093Y", PatientWeight="81", EthnicGroup="x", PatientSex="F")
    out = attributes.clean(header, key, (Retain.patient,))
    assert (out.PatientSex, out.PatientAge, out.PatientWeight) == ("F", "090Y", 81)
    assert "StationName" not in out or out.StationName == "REMOVED"
    assert out.StudyDate == ""
    out = attributes.clean(header, key, (Retain.device, Retain.institution, Retain.uids, Retain.dates))
    assert (out.StationName, out.DeviceSerialNumber, out.InstitutionName) == (
        "CTSTATION7",
        "SN990017",
        "Charlottenhospital",
    )
    assert out.SOPInstanceUID == header.SOPInstanceUID and out.StudyDate == "20231103" and out.StudyTime == "101112"
    assert "PatientAge" not in out and out.PatientSex == "" and out.PatientBirthDate == ""
    assert "Mustermann" not in str(out) and "Doktor" not in str(out)


def test_moved_dates_keep_their_distance(someone: Someone, key: Key) -> None:
    header = someone(AcquisitionDateTime="20231105101112.5", SeriesDate="20231231", ContentDate="2023")
    out = attributes.clean(header, key, (Retain.shifted_dates,))
    days = key.days(out.PatientID)
    assert out.StudyDate == attributes.moved("20231103", days) != "20231103"
    assert out.AcquisitionDateTime == attributes.moved("20231105", days) + "101112.5"
    assert out.SeriesDate == attributes.moved("20231231", days) and out.StudyTime == "101112"
    assert out.ContentDate == "19000101" and out.PatientBirthDate == ""
    assert attributes.moved("20240301", 1) == "20240229" and attributes.moved("2024", 1) is None
    assert 1 <= days <= 3650 and days != key.days("s0")


CLASSES = (
    *("1", "1.1", "1.1.1", "1.2", "1.2.1", "2", "2.1", "3.1", "4", "4.1", "6.1"),
    *("7", "7.2", "7.3", "7.4", "12.1", "12.2", "20", "77.1.1", "128"),
)


@pytest.mark.parametrize("suffix", CLASSES)
def test_valid_objects_stay_valid(
    suffix: str, objects: ModuleType, key: Key, tmp_path: Path, tool: Callable[..., str]
) -> None:
    source = objects.save(objects.CLASSES[suffix](), tmp_path / "source.dcm")
    out = deidentify(source, Settings(key, allow_burned_in=True))
    objects.save(out, tmp_path / "out.dcm")

    def errors(path: Path) -> set[str]:
        return {x.strip() for x in tool("dciodvfy", path).splitlines() if "Error" in x}

    assert errors(tmp_path / "out.dcm") <= errors(source)
    dumped = tool("dcmdump", tmp_path / "out.dcm")
    assert "(0012,0062) CS [YES]" in dumped and "W: " not in dumped and "E: " not in dumped


def test_classes_are_all_of_them(objects: ModuleType) -> None:
    assert set(CLASSES) == set(objects.CLASSES)
