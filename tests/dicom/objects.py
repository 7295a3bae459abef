"""Valid DICOM objects of every class of the allow-list: constructed headers, real pixels of pydicom's test files."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

STORAGE = "1.2.840.10008.5.1.4.1.1."
ROOT = "1.2.826.0.1.3680043.8.498."

IOP = [0.8, 0.6, 0.0, 0.0, 0.0, -1.0]
IPP = [-30.5, 12.25, 40.0]
SPACING = [0.75, 0.5]


def item(**values: Any) -> Dataset:
    """Return a Dataset with these elements; lists of Datasets become sequences."""
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def code(value: str, scheme: str, meaning: str) -> Dataset:
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


@functools.lru_cache
def gray(signed: bool = False) -> np.ndarray[Any, Any]:
    """``[24, 20]`` of a real CT slice, shifted to 0 and above unless ``signed``; 12 bits."""
    found = pydicom.dcmread(str(get_testdata_file("CT_small.dcm"))).pixel_array[40:64, 50:70].astype(np.int16)
    return found - 1024 if signed else found.clip(0, 4095)


@functools.lru_cache
def colour() -> np.ndarray[Any, Any]:
    """``[24, 20, 3]`` of a real ultrasound picture."""
    return pydicom.dcmread(str(get_testdata_file("examples_rgb_color.dcm"))).pixel_array[100:124, 140:160].copy()


def common(suffix: str, modality: str) -> Dataset:
    made = item(
        SpecificCharacterSet="ISO_IR 100",
        SOPClassUID=STORAGE + suffix,
        SOPInstanceUID=ROOT + suffix + ".1",
        StudyDate="20200102",
        SeriesDate="20200102",
        AcquisitionDate="20200102",
        ContentDate="20200102",
        StudyTime="101112",
        SeriesTime="101112",
        AcquisitionTime="101112",
        ContentTime="101112",
        AccessionNumber="",
        Modality=modality,
        Manufacturer="test",
        ManufacturerModelName="test",
        DeviceSerialNumber="1",
        SoftwareVersions="1",
        ReferringPhysicianName="",
        SeriesDescription="source",
        PatientName="Test^Object",
        PatientID="T1",
        PatientBirthDate="",
        PatientSex="",
        BodyPartExamined="CHEST",
        PatientPosition="HFS",
        StudyInstanceUID=ROOT + "1",
        SeriesInstanceUID=ROOT + suffix + ".2",
        StudyID="1",
        SeriesNumber=3,
        AcquisitionNumber=1,
        InstanceNumber=1,
        PatientOrientation=["L", "F"],
        FrameOfReferenceUID=ROOT + "4",
        PositionReferenceIndicator="",
        ImageType=["ORIGINAL", "PRIMARY"],
        BurnedInAnnotation="NO",
        LossyImageCompression="00",
    )
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    return made


def pixels(made: Dataset, frames: Sequence[np.ndarray[Any, Any]], bits: int = 12, photometric: str = "") -> None:
    first = frames[0]
    color = first.ndim == 3
    made.SamplesPerPixel = 3 if color else 1
    made.PhotometricInterpretation = photometric or ("RGB" if color else "MONOCHROME2")
    if color:
        made.PlanarConfiguration = 0
    made.Rows, made.Columns = first.shape[:2]
    made.BitsAllocated = 8 if bits <= 8 else 16
    made.BitsStored, made.HighBit = bits, bits - 1
    made.PixelRepresentation = int(first.dtype.kind == "i")
    kind = np.dtype(f"<{first.dtype.kind}{made.BitsAllocated // 8}")
    data = np.stack(frames).astype(kind).tobytes()
    made.PixelData = data + b"\0" * (len(data) % 2)
    made["PixelData"].VR = "OB" if bits <= 8 else "OW"


def frames_of(count: int) -> list[np.ndarray[Any, Any]]:
    return [np.roll(gray(), i, axis=1).astype(np.uint16) for i in range(count)]


def _plane(made: Dataset) -> None:
    made.PixelSpacing = SPACING
    made.ImageOrientationPatient = IOP
    made.ImagePositionPatient = IPP
    made.SliceThickness = 2


def ct() -> Dataset:
    made = common("2", "CT")
    made.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    _plane(made)
    made.KVP = "120"
    made.RescaleSlope, made.RescaleIntercept, made.RescaleType = 1, 0, "HU"
    made.WindowCenter, made.WindowWidth = 40, 400
    pixels(made, [gray(signed=True)], bits=13)
    made.SmallestImagePixelValue, made.LargestImagePixelValue = int(gray(True).min()), int(gray(True).max())
    made["SmallestImagePixelValue"].VR = made["LargestImagePixelValue"].VR = "SS"
    return made


def mr() -> Dataset:
    made = common("4", "MR")
    made.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    _plane(made)
    made.ScanningSequence, made.SequenceVariant, made.ScanOptions = "SE", "NONE", ""
    made.MRAcquisitionType, made.EchoTime, made.EchoTrainLength, made.RepetitionTime = "2D", 12, 1, 500
    made.AcquisitionMatrix = [0, 20, 24, 0]
    pixels(made, frames_of(1))
    return made


def _collimator(made: Dataset) -> None:
    made.CollimatorShape = ["RECTANGULAR", "CIRCULAR", "POLYGONAL"]
    made.CollimatorLeftVerticalEdge, made.CollimatorRightVerticalEdge = 1, 20
    made.CollimatorUpperHorizontalEdge, made.CollimatorLowerHorizontalEdge = 3, 24
    made.CenterOfCircularCollimator, made.RadiusOfCircularCollimator = [12, 10], 9
    made.VerticesOfThePolygonalCollimator = [1, 1, 1, 20, 24, 20]


def _shutter(made: Dataset) -> None:
    made.ShutterShape = ["RECTANGULAR", "CIRCULAR", "POLYGONAL"]
    made.ShutterLeftVerticalEdge, made.ShutterRightVerticalEdge = 2, 19
    made.ShutterUpperHorizontalEdge, made.ShutterLowerHorizontalEdge = 1, 24
    made.CenterOfCircularShutter, made.RadiusOfCircularShutter = [12, 10], 8
    made.VerticesOfThePolygonalShutter = [1, 1, 1, 20, 24, 20]
    made.ShutterPresentationValue = 0


def _overlay(made: Dataset) -> None:
    bits = np.zeros((24, 20), np.uint8)
    bits[5:9, 6:12] = 1
    made.add_new(0x60000010, "US", 24)
    made.add_new(0x60000011, "US", 20)
    made.add_new(0x60000040, "CS", "R")
    made.add_new(0x60000050, "SS", [1, 1])
    made.add_new(0x60000100, "US", 1)
    made.add_new(0x60000102, "US", 0)
    made.add_new(0x60001301, "IS", 24)
    made.add_new(0x60003000, "OW", np.packbits(bits, bitorder="little").tobytes())


def cr() -> Dataset:
    made = common("1", "CR")
    made.ViewPosition = "AP"
    made.ImagerPixelSpacing = SPACING
    _overlay(made)
    _shutter(made)
    pixels(made, frames_of(1), photometric="MONOCHROME1")
    return made


def _digital(suffix: str, modality: str) -> Dataset:
    """DX and MG, for presentation or for processing."""
    made = common(suffix, modality)
    processing = suffix.endswith(".1.1") or suffix == "1.2.1"
    made.PresentationIntentType = "FOR PROCESSING" if processing else "FOR PRESENTATION"
    made.ImageType = ["ORIGINAL" if processing else "DERIVED", "PRIMARY", ""]
    made.ImagerPixelSpacing = SPACING
    made.PixelIntensityRelationship, made.PixelIntensityRelationshipSign = ("LIN", 1) if processing else ("LOG", -1)
    made.RescaleSlope, made.RescaleIntercept, made.RescaleType = 1, 0, "US"
    made.PresentationLUTShape = "IDENTITY"
    made.DetectorType, made.DetectorConfiguration = "DIRECT", "AREA"
    made.DetectorElementSpacing, made.DetectorBinning = [0.25, 0.25], [3, 2]
    made.FieldOfViewOrigin, made.FieldOfViewRotation, made.FieldOfViewHorizontalFlip = [4, 6], "0", "NO"
    made.AcquisitionContextSequence = []
    made.AnatomicRegionSequence = [code("51185008", "SCT", "Chest")]
    made.ImageLaterality = "U"
    if not processing:
        made.WindowCenter, made.WindowWidth = 1000, 2000
    made.SpatialResolution = 0.2
    _collimator(made)
    pixels(made, frames_of(1))
    if modality == "DX":
        made.ViewPosition, made.PositionerType = "AP", "NONE"
        made.PatientOrientation = ["L", "F"]
    else:
        _mammography(made)
    return made


def _mammography(made: Dataset) -> None:
    made.BodyPartExamined = "BREAST"
    made.AnatomicRegionSequence = [code("76752008", "SCT", "Breast")]
    made.ImageLaterality, made.OrganExposed = "L", "BREAST"
    made.PatientOrientation = ["P", "L"]
    made.ViewCodeSequence = [code("399162004", "SCT", "cranio-caudal")]
    made.ViewCodeSequence[0].ViewModifierCodeSequence = []
    made.PositionerType, made.PositionerPrimaryAngle = "MAMMOGRAPHIC", 0
    made.BreastImplantPresent, made.PartialView = "NO", "NO"


def us() -> Dataset:
    made = common("6.1", "US")
    made.ImageType = ["ORIGINAL", "PRIMARY", "ABDOMINAL", "0001"]
    made.SequenceOfUltrasoundRegions = [_region()]
    pixels(made, [colour()], bits=8)
    return made


def _region() -> Dataset:
    return item(
        RegionSpatialFormat=1,
        RegionDataType=1,
        RegionFlags=0,
        RegionLocationMinX0=2,
        RegionLocationMinY0=1,
        RegionLocationMaxX1=19,
        RegionLocationMaxY1=23,
        ReferencePixelX0=5,
        ReferencePixelY0=-2,
        PhysicalUnitsXDirection=3,
        PhysicalUnitsYDirection=3,
        ReferencePixelPhysicalValueX=0.5,
        ReferencePixelPhysicalValueY=0.0,
        PhysicalDeltaX=0.05,
        PhysicalDeltaY=0.075,
        TMLinePositionX0=1,
        TMLinePositionY0=2,
        TMLinePositionX1=8,
        TMLinePositionY1=9,
    )


def _cine(made: Dataset, frames: int) -> None:
    made.NumberOfFrames = frames
    made.FrameTime = 40
    made.FrameIncrementPointer = 0x00181063


def us_multi() -> Dataset:
    made = us()
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = STORAGE + "3.1"
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = ROOT + "3.1"
    pixels(made, [np.roll(colour(), i, axis=1) for i in range(3)], bits=8)
    _cine(made, 3)
    return made


def xa(suffix: str = "12.1") -> Dataset:
    made = common(suffix, "XA" if suffix == "12.1" else "RF")
    made.ImageType = ["ORIGINAL", "PRIMARY", "SINGLE PLANE"]
    made.PixelIntensityRelationship = "LIN"
    made.KVP, made.RadiationSetting, made.ExposureTime, made.XRayTubeCurrent = 80, "GR", 10, 100
    made.ImagerPixelSpacing = SPACING
    made.PositionerPrimaryAngle, made.PositionerSecondaryAngle, made.PositionerMotion = 10, 5, "STATIC"
    made.DistanceSourceToPatient, made.DistanceSourceToDetector = 700, 1000
    made.EstimatedRadiographicMagnificationFactor = 1.4
    made.RecommendedViewingMode = "SUB"
    made.MaskSubtractionSequence = [
        item(MaskOperation="AVG_SUB", ApplicableFrameRange=[2, 3], MaskFrameNumbers=1, MaskSubPixelShift=[0.25, -0.5])
    ]
    _collimator(made)
    _shutter(made)
    pixels(made, frames_of(3))
    _cine(made, 3)
    if suffix == "12.2":
        for keyword in ("PositionerPrimaryAngle", "PositionerSecondaryAngle", "PositionerMotion"):
            delattr(made, keyword)
    return made


def nm() -> Dataset:
    made = common("20", "NM")
    made.ImageType = ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"]
    made.PixelSpacing, made.SliceThickness, made.SpacingBetweenSlices = SPACING, 2, 2
    made.FrameIncrementPointer, made.NumberOfFrames = 0x00540080, 2
    made.SliceVector, made.NumberOfSlices = [1, 2], 2
    made.EnergyWindowInformationSequence, made.NumberOfEnergyWindows = [], 1
    made.RadiopharmaceuticalInformationSequence = []
    made.NumberOfDetectors = 1
    made.DetectorInformationSequence = [
        item(CollimatorType="PARA", FocalDistance=0, ImagePositionPatient=IPP, ImageOrientationPatient=IOP)
    ]
    made.PatientOrientationCodeSequence = [code("102538003", "SCT", "recumbent")]
    made.PatientOrientationCodeSequence[0].PatientOrientationModifierCodeSequence = [code("40199007", "SCT", "supine")]
    made.PatientGantryRelationshipCodeSequence = [code("102540008", "SCT", "headfirst")]
    made.CorrectedImage, made.CountsAccumulated = "", ""
    made.NumberOfRotations, made.RotationInformationSequence = 1, []
    del made.PatientPosition
    pixels(made, frames_of(2), bits=16)
    return made


def pt() -> Dataset:
    made = common("128", "PT")
    _plane(made)
    made.SeriesType, made.Units, made.CountsSource = ["STATIC", "IMAGE"], "BQML", "EMISSION"
    made.NumberOfSlices, made.CorrectedImage, made.DecayCorrection = 1, "ATTN", "NONE"
    made.CollimatorType, made.FrameReferenceTime, made.ActualFrameDuration, made.ImageIndex = "NONE", 0, 1000, 1
    made.RadiopharmaceuticalInformationSequence = []
    made.PatientOrientationCodeSequence = [code("102538003", "SCT", "recumbent")]
    made.PatientOrientationCodeSequence[0].PatientOrientationModifierCodeSequence = [code("40199007", "SCT", "supine")]
    made.PatientGantryRelationshipCodeSequence = [code("102540008", "SCT", "headfirst")]
    made.RescaleSlope, made.RescaleIntercept = 0.5, 0
    del made.PatientPosition
    pixels(made, frames_of(1), bits=16)
    return made


def sc() -> Dataset:
    made = common("7", "OT")
    made.ConversionType = "WSD"
    made.NominalScannedPixelSpacing = SPACING
    made.PixelSpacing = SPACING
    pixels(made, [colour()], bits=8)
    return made


def sc_multi(suffix: str) -> Dataset:
    made = common(suffix, "OT")
    made.ConversionType = "DF"
    made.NominalScannedPixelSpacing, made.PixelSpacing = SPACING, SPACING
    made.NumberOfFrames, made.FrameIncrementPointer = 2, 0x00182001
    made.PageNumberVector = [1, 2]
    if suffix == "7.4":
        pixels(made, [colour(), colour()[::-1]], bits=8)
    else:
        bits = 8 if suffix == "7.2" else 12
        pixels(made, [f >> 4 if bits == 8 else f for f in frames_of(2)], bits=bits)
        made.RescaleSlope, made.RescaleIntercept, made.RescaleType = 1, 0, "US"
        made.PresentationLUTShape = "IDENTITY"
    return made


def endoscopy() -> Dataset:
    made = common("77.1.1", "ES")
    made.ImageType = ["ORIGINAL", "PRIMARY"]
    made.AcquisitionContextSequence = []
    made.AnatomicRegionSequence = [code("69695003", "SCT", "Stomach")]
    made.PixelSpacing = SPACING
    pixels(made, [colour()], bits=8)
    return made


CLASSES: dict[str, Callable[[], Dataset]] = {
    "1": cr,
    "1.1": lambda: _digital("1.1", "DX"),
    "1.1.1": lambda: _digital("1.1.1", "DX"),
    "1.2": lambda: _digital("1.2", "MG"),
    "1.2.1": lambda: _digital("1.2.1", "MG"),
    "2": ct,
    "3.1": us_multi,
    "4": mr,
    "6.1": us,
    "7": sc,
    "7.2": lambda: sc_multi("7.2"),
    "7.3": lambda: sc_multi("7.3"),
    "7.4": lambda: sc_multi("7.4"),
    "12.1": xa,
    "12.2": lambda: xa("12.2"),
    "20": nm,
    "77.1.1": endoscopy,
    "128": pt,
}
"""One maker for each class that can be enhanced, by the end of its UID; ``enhanced.py`` adds enhanced CT and MR."""


def save(made: Dataset, path: Path) -> Path:
    made.save_as(path, enforce_file_format=True)
    return path
