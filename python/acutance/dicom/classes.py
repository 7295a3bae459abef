"""Which DICOM objects are pictures that this package enhances."""

from __future__ import annotations

import os

from pydicom.uid import UID

from ..errors import InputError

_STORAGE = "1.2.840.10008.5.1.4.1.1."

ENHANCED_CT, ENHANCED_MR = _STORAGE + "2.1", _STORAGE + "4.1"

SECONDARY_CAPTURE = tuple(_STORAGE + x for x in ("7", "7.1", "7.2", "7.3", "7.4"))
"""Single-frame, and multi-frame of single bits, bytes, words and true color (PS3.3 A.8)."""

IMAGE_CLASSES: dict[str, str] = {
    _STORAGE + "1": "CR",
    _STORAGE + "1.1": "DX",
    _STORAGE + "1.1.1": "DX",
    _STORAGE + "1.2": "MG",
    _STORAGE + "1.2.1": "MG",
    _STORAGE + "2": "CT",
    ENHANCED_CT: "CT",
    _STORAGE + "3.1": "US",
    _STORAGE + "4": "MR",
    ENHANCED_MR: "MR",
    _STORAGE + "6.1": "US",
    _STORAGE + "7": "OT",
    _STORAGE + "7.1": "OT",
    _STORAGE + "7.2": "OT",
    _STORAGE + "7.3": "OT",
    _STORAGE + "7.4": "OT",
    _STORAGE + "12.1": "XA",
    _STORAGE + "12.2": "RF",
    _STORAGE + "20": "NM",
    _STORAGE + "77.1.1": "ES",
    _STORAGE + "128": "PT",
}
"""SOP Class UIDs of the allow-list (PS3.4 B.5), with the modality of an object that does not say its own.

Computed radiography, digital X-ray and mammography (for presentation and for processing), CT and enhanced CT,
ultrasound multi-frame, MR and enhanced MR, ultrasound, secondary capture and its multi-frame kinds (single bit, which
is refused for its bits, grayscale byte, grayscale word, true color), X-ray angiography and fluoroscopy, nuclear
medicine, endoscopy, PET.
"""

WANTED = "CT, MR, CR, DX, MG, XA, RF, US, NM, PT, secondary capture or endoscopy"

MODALITIES = frozenset(
    (
        *("AR", "BDUS", "BI", "BMD", "CR", "CT", "DG", "DX", "ES", "GM", "HC", "IO", "IVOCT", "IVUS", "KER"),
        *("LEN", "LS", "M3D", "MG", "MR", "NM", "OAM", "OCT", "OP", "OPM", "OPT", "OPTBSV", "OPTENF", "OPV"),
        *("OT", "PA", "PT", "PX", "RF", "RG", "RTDOSE", "RTIMAGE", "SEG", "SM", "SRF", "TG", "US", "VA", "XA", "XC"),
        *("CD", "CF", "CP", "CS", "DD", "DF", "DM", "DS", "EC", "FA", "FS", "LP", "MA", "MS", "OPR", "ST", "VF"),
    )
)
"""Modalities of pictures (PS3.3 C.7.3.1.1.1), the last ones retired."""

PHOTOMETRIC = ("MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
"""Photometric Interpretations that are read (PS3.3 C.7.6.3.1.2)."""

OTHER_PHOTOMETRIC = ("HSV", "ARGB", "CMYK", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "XYB")
"""Those that are not, beside PALETTE COLOR."""


def name(uid: str) -> str:
    """Return the name of a UID as the standard gives it, the UID where it gives none."""
    found = UID(uid)
    return str(found.name) if found.is_valid else "(not a valid UID)"


def check_class(uid: str | None, path: str | os.PathLike[str] | None) -> None:
    """Raise InputError unless ``uid`` is the SOP Class of a picture; the message says what the object is."""
    if not uid:
        raise InputError("has no SOP Class UID, so what it is cannot be told; wanted a DICOM image", path)
    if uid not in IMAGE_CLASSES:
        retired = " (retired)" if UID(uid).is_valid and not UID(uid).is_private and UID(uid).is_retired else ""
        raise InputError(f"is a DICOM object of the class {name(uid)}{retired}; wanted an image ({WANTED})", path)
