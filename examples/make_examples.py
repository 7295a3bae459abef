"""Rebuild the example slices from the data set in ``ACUTANCE_DATA``: always the same bytes.

    python examples/make_examples.py [FOLDER]

Writes ``ct-abdomen.dcm``, ``mr-brain.dcm`` and ``xr-chest.dcm`` (default: beside this file). The samples are the
publishers'; only the containers and the crop named in ``README.md`` are ours.
"""

from __future__ import annotations

import os
import sys
import uuid
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
CR_IMAGE = "1.2.840.10008.5.1.4.1.1.1"
IMPLEMENTATION = "2.25.116387034208563412046270246302498437465"
DATE, TIME = "20200101", "120000"

CT_CREDIT = (
    "COVID-19-NY-SBU, The Cancer Imaging Archive, Saltz J. et al. 2021, doi:10.7937/TCIA.BBAG-2923, CC BY 4.0. "
    "Subject A062055, one axial slice; HU below -1024 clipped; its position in the patient is not known."
)
MR_CREDIT = (
    "studyforrest, subject 02, T1 0.67 mm, Hanke M. et al., Sci Data 2014;1:140003, PDDL 1.0. "
    "One sagittal slice as acquired; defaced by the publisher."
)
XR_CREDIT = (
    "COVID-19 Image Repository, Institute for Diagnostic and Interventional Radiology, Hannover Medical School, "
    "doi:10.25835/0090041, CC BY 3.0. Image e1446fe8, 8 bit, 640 px wide as published, cropped to 616 x 572."
)


def uid(*parts: str) -> str:
    """Return a UID that is always the same for the same parts (DICOM PS3.5 B.2, UUID version 5)."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_URL, '/'.join(('urn:acutance:examples', *parts))).int}"


def header(name: str, sop_class: str, modality: str, credit: str, **attributes: Any) -> FileDataset:
    """Return the data set that the three examples share: patient, study, series, origin.

    Parameters
    ----------
    name : str
        Part of every UID.
    credit : str
        Source, licence and attribution; goes into Image Comments and Contributing Equipment.
    **attributes
        Further attributes by DICOM keyword.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = uid(name, "instance")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION
    meta.ImplementationVersionName = "ACUTANCE_EXAMPLE"
    ds = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    common = {
        "SOPClassUID": sop_class,
        "SOPInstanceUID": uid(name, "instance"),
        "StudyInstanceUID": uid(name, "study"),
        "SeriesInstanceUID": uid(name, "series"),
        "Modality": modality,
        "PatientName": f"Example^{modality}",
        "PatientID": f"ACUTANCE-EXAMPLE-{modality}",
        "PatientBirthDate": "",
        "PatientSex": "",
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethod": "Published without identity; header written anew",
        "StudyDate": DATE,
        "StudyTime": TIME,
        "StudyID": "1",
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "SeriesNumber": 1,
        "AcquisitionNumber": 1,
        "InstanceNumber": 1,
        "ContentDate": DATE,
        "ContentTime": TIME,
        "BurnedInAnnotation": "NO",
        "LossyImageCompression": "00",
        "ImageComments": credit,
    }
    for keyword, value in {**common, **attributes}.items():
        setattr(ds, keyword, value)
    ds.ContributingEquipmentSequence = [_converter(credit)]
    return ds


def _converter(credit: str) -> Dataset:
    """Return who put the samples into a DICOM file (CID 7005, 109103: Modifying Equipment)."""
    purpose = Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = "109103", "DCM", "Modifying Equipment"
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [purpose]
    item.Manufacturer = "acutance"
    item.ContributionDescription = credit
    return item


def set_pixels(ds: Dataset, pixels: NDArray[Any], bits_stored: int) -> Dataset:
    """Put ``pixels`` ``[rows, cols]`` of uint8 or uint16 into ``ds``."""
    bits = 8 * pixels.dtype.itemsize
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = bits, bits_stored, bits_stored - 1
    ds.PixelRepresentation = 0
    data = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("<"))).tobytes()
    ds.add_new(0x7FE00010, "OB" if bits == 8 else "OW", data + b"\0" * (len(data) % 2))
    return ds


def plane(affine: NDArray[Any], index: tuple[int, int, int], right: NDArray[Any], down: NDArray[Any]) -> dict[str, Any]:
    """Return position, orientation and spacing of a slice of a NIfTI volume.

    Parameters
    ----------
    affine : ndarray
        4 x 4, voxel to RAS mm.
    index : (int, int, int)
        Voxel that becomes row 0, column 0.
    right, down : 3 ints
        Voxel step to the next column and to the next row.
    """
    to_lps = np.diag([-1.0, -1.0, 1.0]) @ affine[:3]
    x, y = to_lps[:, :3] @ right, to_lps[:, :3] @ down
    row, col = x / np.linalg.norm(x), y / np.linalg.norm(y)
    col -= row * (row @ col)
    col /= np.linalg.norm(col)
    position = to_lps @ np.array([*index, 1.0])
    return {
        "ImagePositionPatient": [f"{v:.6f}" for v in position],
        "ImageOrientationPatient": [f"{v:.8f}" for v in (*row, *col)],
        "PixelSpacing": [f"{np.linalg.norm(y):.6f}", f"{np.linalg.norm(x):.6f}"],
        "PositionReferenceIndicator": "",
    }


def ct(data: Path) -> Dataset:
    """Return an axial abdomen, 512 x 512, 0.73 mm, stored as HU + 1024 in 12 bits."""
    volume = nibabel.load(data / "CT/nysbu/A062055_axial_19001127.nii.gz")
    hu = np.asarray(volume.dataobj)[:, :, 0].T
    spacing = [f"{z:.6f}" for z in volume.header.get_zooms()[:2][::-1]]
    ds = header(
        "ct-abdomen",
        CT_IMAGE,
        "CT",
        CT_CREDIT,
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
        SeriesDescription="Abdomen, TCIA COVID-19-NY-SBU, CC BY 4.0",
        BodyPartExamined="ABDOMEN",
        Manufacturer="GE MEDICAL SYSTEMS",
        ManufacturerModelName="LightSpeed VCT",
        FrameOfReferenceUID=uid("ct-abdomen", "frame of reference"),
        PositionReferenceIndicator="",
        PatientPosition="HFS",
        ImagePositionPatient=["0", "0", "0"],
        ImageOrientationPatient=["1", "0", "0", "0", "1", "0"],
        PixelSpacing=spacing,
        SliceThickness="2.5",
        KVP="",
        RescaleIntercept="-1024",
        RescaleSlope="1",
        RescaleType="HU",
        WindowCenter="50",
        WindowWidth="400",
    )
    return set_pixels(ds, (hu.astype(np.int32) + 1024).astype(np.uint16), 12)


def mr(data: Path) -> Dataset:
    """Return a sagittal T1 brain, 274 x 384, 0.67 mm, as acquired."""
    volume = nibabel.load(data / "MR/studyforrest-02_T1.nii.gz")
    i, top = 150, volume.shape[2] - 1
    pixels = np.asarray(volume.dataobj[i])[:, ::-1].T.astype(np.uint16)
    ds = header(
        "mr-brain",
        MR_IMAGE,
        "MR",
        MR_CREDIT,
        ImageType=["ORIGINAL", "PRIMARY", "OTHER"],
        SeriesDescription="T1 brain, studyforrest, PDDL 1.0",
        BodyPartExamined="BRAIN",
        Manufacturer="Philips Medical Systems",
        MagneticFieldStrength="3",
        FrameOfReferenceUID=uid("mr-brain", "frame of reference"),
        PatientPosition="HFS",
        **plane(volume.affine, (i, 0, top), np.array([0, 1, 0]), np.array([0, 0, -1])),
        SliceThickness="0.7",
        ScanningSequence="GR",
        SequenceVariant="MP",
        ScanOptions="",
        MRAcquisitionType="3D",
        EchoTime="",
        EchoTrainLength="",
        RepetitionTime="",
        WindowCenter="42",
        WindowWidth="84",
    )
    return set_pixels(ds, pixels, 12)


def xr(data: Path) -> Dataset:
    """Return an 8-bit chest radiograph, 572 x 616, without pixel spacing; the crop leaves out a printed icon."""
    pixels = np.asarray(Image.open(data / "XR/mhh/7a7f0216_e1446fe8.png"))[4:576, 12:628]
    ds = header(
        "xr-chest",
        CR_IMAGE,
        "CR",
        XR_CREDIT,
        ImageType=["ORIGINAL", "PRIMARY"],
        SeriesDescription="Chest radiograph, MHH, CC BY 3.0",
        BodyPartExamined="CHEST",
        ViewPosition="PA",
        PatientOrientation=["L", "F"],
        Manufacturer="",
        WindowCenter="128",
        WindowWidth="256",
    )
    return set_pixels(ds, pixels, 8)


EXAMPLES = {"ct-abdomen": ct, "mr-brain": mr, "xr-chest": xr}


def main(folder: Path, data: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in EXAMPLES.items():
        make(data).save_as(folder / f"{name}.dcm", enforce_file_format=True)


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    main(
        Path(sys.argv[1]) if len(sys.argv) > 1 else here,
        Path(os.environ.get("ACUTANCE_DATA", here.parents[1] / "shared" / "data")),
    )
