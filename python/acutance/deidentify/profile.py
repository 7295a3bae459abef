"""The Basic Application Level Confidentiality Profile and its options (PS3.15 Annex E).

What happens to each attribute is in Table E.1-1, which the package dicom-anonymizer holds; here is how the table is
read, and which of its options there are.
"""

from __future__ import annotations

import enum
import functools
import importlib.metadata
from collections.abc import Collection

from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
from pydicom.datadict import dictionary_has_tag
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.tag import BaseTag, Tag

EDITION = "2026c"
"""Of the standard, whose table is used."""

PROFILE = "Basic Application Level Confidentiality Profile"


class Action(enum.Enum):
    """What becomes of an attribute, with the codes of the table that mean it.

    Where the table leaves it to the kind of object whether an attribute may be missing or empty, it stays with a value
    that says nothing, which is right for every kind.
    """

    KEEP = ()
    REMOVE = ("X_TAGS",)
    EMPTY = ("Z_TAGS", "X_Z_TAGS")
    REPLACE = ("D_TAGS", "Z_D_TAGS", "X_D_TAGS", "X_Z_D_TAGS")
    UID = ("U_TAGS",)
    REFER = ("X_Z_U_STAR_TAGS",)


class Retain(str, enum.Enum):
    """Options of the profile that keep more (PS3.15 E.3), by the names that the command line gives them."""

    dates = "dates"
    shifted_dates = "shifted-dates"
    patient = "patient"
    device = "device"
    institution = "institution"
    uids = "uids"


_CID = codes.cid7050

BASIC: Code = _CID.BasicApplicationConfidentialityProfile
CLEAN_PIXELS: Code = _CID.CleanPixelDataOption
CODES: dict[Retain, Code] = {
    Retain.dates: _CID.RetainLongitudinalTemporalInformationFullDatesOption,
    Retain.shifted_dates: _CID.RetainLongitudinalTemporalInformationModifiedDatesOption,
    Retain.patient: _CID.RetainPatientCharacteristicsOption,
    Retain.device: _CID.RetainDeviceIdentityOption,
    Retain.institution: _CID.RetainInstitutionIdentityOption,
    Retain.uids: _CID.RetainUidsOption,
}
"""Codes of PS3.16 CID 7050 that say by what a header was de-identified."""

_RETAINED: dict[Retain, tuple[str, ...]] = {
    Retain.dates: ("TimezoneOffsetFromUTC",),
    Retain.patient: (
        "PatientSex",
        "PatientAge",
        "PatientSize",
        "PatientWeight",
        "PatientSexNeutered",
        "EthnicGroup",
        "EthnicGroupCodeSequence",
        "PregnancyStatus",
        "SmokingStatus",
    ),
    Retain.device: (
        "StationName",
        "DeviceSerialNumber",
        "DeviceUID",
        "UniqueDeviceIdentifier",
        "UDISequence",
        "ManufacturerDeviceClassUID",
        "GantryID",
        "GeneratorID",
        "CassetteID",
        "PlateID",
        "DetectorID",
        "XRayDetectorID",
        "XRayDetectorLabel",
        "XRaySourceID",
        "TransducerIdentificationSequence",
        "SecondaryCaptureDeviceID",
        "LensMake",
        "LensModel",
        "LensSerialNumber",
        "LensSpecification",
    ),
    Retain.institution: (
        "InstitutionName",
        "InstitutionAddress",
        "InstitutionCodeSequence",
        "InstitutionalDepartmentName",
        "InstitutionalDepartmentTypeCodeSequence",
    ),
}
"""Attributes that an option keeps as they are; dates and UIDs go by their value representation."""

_PERSONAL_GROUPS = (0x0010, 0x0032, 0x0038, 0x4008)
"""Patient, study, visit and results: what the table does not name is removed there as well."""

_TIMES = ("DA", "DT", "TM")


def method() -> str:
    """Return by what headers are de-identified, for the manifest of a data set."""
    return f"PS3.15 {EDITION} {PROFILE} ({program()}), of which numbers were kept"


def program() -> str:
    """Return the name and version of the package that holds the table."""
    return f"dicom-anonymizer {importlib.metadata.version('dicom-anonymizer')}"


def action(tag: BaseTag, vr: str, retained: Collection[Retain] = ()) -> Action:
    """Return what becomes of an attribute.

    Parameters
    ----------
    tag : BaseTag
    vr : str
        Its value representation in the data set.
    retained : collection of Retain

    Returns
    -------
    Action
        As the table says. Beyond the table: private and unknown attributes, overlays and curves are removed, as is
        everything about patient, study, visit and results; names of persons are emptied, dates and times replaced, and
        UIDs replaced, wherever they stand.
    """
    if tag in _kept(frozenset(retained)):
        return Action.KEEP
    if tag.is_private or not dictionary_has_tag(tag) or vr == "UN" or tag.group >> 8 in (0x50, 0x60):
        return Action.REMOVE
    found = _table().get(tag) or _beyond(tag, vr)
    if found is Action.UID and Retain.uids in retained:
        return Action.KEEP
    if vr in _TIMES and tag.group != 0x0010 and {Retain.dates, Retain.shifted_dates} & set(retained):
        return Action.KEEP  # and moved, where that was asked for
    return found


def _beyond(tag: BaseTag, vr: str) -> Action:
    """Return what becomes of an attribute that the table does not name."""
    if tag.group in _PERSONAL_GROUPS or vr == "UR":
        return Action.REMOVE
    return {"PN": Action.EMPTY, "UI": Action.UID, **dict.fromkeys(_TIMES, Action.REPLACE)}.get(vr, Action.KEEP)


@functools.cache
def _table() -> dict[int, Action]:
    """Return the table; its ranges (curves, overlays) are whole groups, which :func:`action` removes."""
    said = dicom_anonymization_database_selector(f"dicomfields_{EDITION}")
    return {
        tag[0] << 16 | tag[1]: found for found in Action for name in found.value for tag in said[name] if len(tag) == 2
    }


@functools.cache
def _kept(retained: frozenset[Retain]) -> frozenset[int]:
    return frozenset(Tag(keyword) for option in retained for keyword in _RETAINED.get(option, ()))
