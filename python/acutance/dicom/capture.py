"""Pictures for the eye as DICOM secondary captures, marked for presentation."""

from __future__ import annotations

import copy

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from ..errors import UsageError
from ..geometry import Frame
from . import provenance
from .layout import integer, text
from .uids import IMPLEMENTATION, capture_series_uid, capture_uid

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

_KEPT = (
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "StudyInstanceUID",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
    "Modality",
    "BodyPartExamined",
    "Laterality",
    "PatientOrientation",
    "BurnedInAnnotation",
)
"""Elements of patient and study that a capture shares with its source."""

_SERIES_STEP, _IS_MAX, _LO, _ST = 100, 2**31 - 1, 64, 1024


def capture(frame: Frame, picture: NDArray[np.uint8], how: str) -> FileDataset:
    """Return a Secondary Capture Image (PS3.3 A.8.1) of one picture for the eye.

    It stands in a series of its own in the source's study, has no rescale, no window and no place in the patient, and
    says that it is for presentation only.

    Parameters
    ----------
    frame : Frame
        What is shown, read from DICOM and enhanced.
    picture : ndarray of uint8
        ``[rows, cols]`` or ``[rows, cols, 3]``.
    how : str
        One sentence on how it was made.

    Raises
    ------
    UsageError
        The picture was not read from DICOM and enhanced.
    """
    if frame.source is None or frame.source.kind != "dicom" or frame.derivation is None:
        raise UsageError("a DICOM capture is made of pictures that were read from DICOM and enhanced; write .png")
    header, number = frame.source.header, frame.source.index + 1
    out = Dataset()
    for keyword in _KEPT:
        if keyword in header:
            out.add(copy.deepcopy(header[keyword]))
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime"):
        if keyword not in out:
            setattr(out, keyword, None)
    for keyword in ("AccessionNumber", "ReferringPhysicianName", "PatientOrientation"):
        if keyword not in out:
            setattr(out, keyword, None)
    out.SOPClassUID = SECONDARY_CAPTURE
    out.SOPInstanceUID = capture_uid(header, frame.derivation, frame.source.index, how)
    out.SeriesInstanceUID = capture_series_uid(header, frame.derivation, how)
    out.SeriesNumber = min(abs(integer(header, "SeriesNumber", 0) or 0) * _SERIES_STEP + 90, _IS_MAX)
    out.InstanceNumber = (integer(header, "InstanceNumber", 0) or 0) if _single(header) else number
    mark = f"[acutance {provenance.label(frame.derivation)} for presentation]"
    before = text(header, "SeriesDescription")[: max(_LO - len(mark) - 1, 0)]
    out.SeriesDescription = f"{before} {mark}".strip()[-_LO:]
    out.ConversionType = "WSD"
    out.ImageType = ["DERIVED", "SECONDARY"]
    out.PresentationIntentType = "FOR PRESENTATION"
    out.ImageComments = "For presentation only: gray values were changed and must not be measured"
    said = f"For presentation: {how}; {provenance.describe(frame.derivation)}"
    out.DerivationDescription = said if len(said) <= _ST else said[: _ST - 3] + "..."
    provenance.name_source(out, header, None if _single(header) else number, frame.derivation)
    _set_pixels(out, picture)
    made = FileDataset(None, out, preamble=bytes(128), is_implicit_VR=False, is_little_endian=True)  # type: ignore[arg-type]
    made.file_meta = FileMetaDataset()
    made.file_meta.MediaStorageSOPClassUID = out.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = out.SOPInstanceUID
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.ImplementationClassUID = IMPLEMENTATION
    made.file_meta.ImplementationVersionName = "ACUTANCE"
    return made


def _single(header: Dataset) -> bool:
    return (integer(header, "NumberOfFrames", 1) or 1) == 1


def _set_pixels(out: Dataset, picture: NDArray[np.uint8]) -> None:
    colour = picture.ndim == 3
    out.SamplesPerPixel = 3 if colour else 1
    out.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        out.PlanarConfiguration = 0
    out.Rows, out.Columns = picture.shape[:2]
    out.BitsAllocated, out.BitsStored, out.HighBit, out.PixelRepresentation = 8, 8, 7, 0
    data = picture.tobytes()
    out.PixelData = data + b"\0" * (len(data) % 2)
    out["PixelData"].VR = "OB"
