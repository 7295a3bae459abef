"""How sure a result is, as a DICOM Parametric Map (PS3.3 A.75); needs highdicom, of the extra ``uncertainty``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from ..errors import InputError, UsageError
from ..geometry import Derivation, Frame, Plane
from . import groups, provenance
from .layout import integer, text
from .quiet import quiet
from .uids import uncertainty_uid

LABEL = "HALF WIDTH 90"
"""LUT Label (0040,9210), at most 16 characters."""

EXPLANATION = "Half width of the interval that holds 90 of 100 true values"

_REQUIRED = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
"""Attributes of type 2 that a source may lack and its map must have, empty (PS3.3 C.7.1.1, C.7.2.1)."""


def derive_map(frames: Sequence[Frame], half: Sequence[NDArray[np.float32]]) -> Dataset:
    """Return the Parametric Map of the enhanced Frames of one source object.

    Parameters
    ----------
    frames : sequence of Frame
        As :func:`acutance.dicom.derive` takes them.
    half : sequence of ndarray of float32
        ``[rows, cols]`` for each Frame: half the width of the interval in real values (Hounsfield units for CT).

    Raises
    ------
    UsageError
        highdicom is not installed.
    InputError
        It cannot make a map of this source.
    """
    try:
        import highdicom as hd
        from highdicom.pm import ParametricMap, RealWorldValueMapping
    except ImportError as e:
        raise UsageError(
            f"a DICOM Parametric Map needs {e.name}, which is not installed: pip install 'acutance[uncertainty]'"
        ) from None
    source = frames[0].source
    assert source is not None
    planes = [f.plane for f in frames if f.plane is not None]
    if len(planes) < len(frames) or not planes[0].reference:
        raise InputError(
            "no Parametric Map can be made: it does not say where it lies in a frame of reference", source.path
        )
    if not all(map(planes[0].parallel, planes)):
        raise InputError("no Parametric Map can be made: its frames are not parallel", source.path)
    derivations = [f.derivation for f in frames if f.derivation is not None]
    pixels = np.stack(half)
    most = float(pixels.max())
    with quiet():
        try:
            made: Any = ParametricMap(
                [_complete(source.header)],
                pixels,
                series_instance_uid=uncertainty_uid(source.header, derivations, of_series=True),
                series_number=_series_number(source.header, derivations[0]),
                sop_instance_uid=uncertainty_uid(source.header, derivations),
                instance_number=max(integer(source.header, "InstanceNumber", 1) or 1, 1),
                manufacturer="acutance",
                manufacturer_model_name=provenance.label(derivations[0]),
                software_versions=derivations[0].software,
                device_serial_number="none",
                contains_recognizable_visual_features=text(source.header, "RecognizableVisualFeatures") == "YES",
                real_world_value_mappings=[
                    RealWorldValueMapping(LABEL, EXPLANATION, unit_of(frames[0]), (0.0, max(most, 1e-6)))
                ],
                voi_lut_transformations=[hd.VOILUTTransformation(window_center=most / 2, window_width=max(most, 1e-6))],
                content_label="UNCERTAINTY",
                content_description=EXPLANATION,
                **_places(hd, planes),
            )
        except Exception as e:  # whatever highdicom meets in a header that it does not expect
            raise InputError(f"no Parametric Map can be made of its header ({type(e).__name__})", source.path) from e
    _finish(made, source.header, derivations)
    found: Dataset = made
    return found


def unit_of(frame: Frame) -> Code:
    """Return the unit of a picture's real values as a UCUM code (PS3.16 CID 7181)."""
    said = text(frame.source.header, "Units").upper() if frame.source else ""
    if frame.modality == "CT":
        return Code("[hnsf'U]", "UCUM", "Hounsfield unit")
    if said == "BQML":
        return Code("Bq/ml", "UCUM", "Becquerels/milliliter")
    return Code("1", "UCUM", "no units")


def _complete(header: Dataset) -> Dataset:
    """Return the header as highdicom wants that of a source.

    With empty values where a map must have what a source may lack, and with what all its frames share among the shared
    functional groups, though an enhanced object may say it frame by frame.
    """
    out = Dataset()
    out.update(header)
    if groups.items(header, groups.PER_FRAME):
        shared = Dataset()
        for group in groups.items(header, groups.SHARED)[:1]:
            shared.update(group)
        for keyword in ("PlaneOrientationSequence", "PixelMeasuresSequence"):
            found = groups.item(header, keyword, 0)
            if keyword not in shared and found is not None:
                setattr(shared, keyword, [found])
        setattr(out, groups.SHARED, [shared])
    for keyword in _REQUIRED:
        if keyword not in out:
            setattr(out, keyword, "")
    return out


def _places(hd: Any, planes: Sequence[Plane]) -> dict[str, Any]:
    """Return where the enlarged frames lie, as highdicom wants it."""
    right, down = (np.array(v) for v in (planes[0].right, planes[0].down))
    spacing = tuple(float(np.linalg.norm(v)) for v in (down, right))
    directions = [*(right / spacing[1]), *(down / spacing[0])]
    return {
        "pixel_measures": hd.PixelMeasuresSequence(spacing, planes[0].thickness),
        "plane_orientation": hd.PlaneOrientationSequence("PATIENT", directions),
        "plane_positions": [hd.PlanePositionSequence("PATIENT", p.origin) for p in planes],
    }


def _series_number(header: Dataset, derivation: Derivation) -> int:
    return max(provenance.series_number(header, derivation) + 10, 1)


def _finish(made: Any, header: Dataset, derivations: Sequence[Derivation]) -> None:
    """Say how it was made, and take the times of the source, so that the same work makes the same bytes."""
    made.DerivationDescription = provenance.shortened(
        f"{EXPLANATION}. {provenance.description(derivations)}", provenance.ST
    )
    made.SeriesDescription = provenance.shortened(f"Uncertainty [acutance {provenance.label(derivations[0])}]", 64)
    made.ContributingEquipmentSequence = [provenance.equipment(d) for d in dict.fromkeys(derivations)]
    made.Laterality = text(header, "Laterality")
    for keyword in ("ContentDate", "ContentTime"):
        value = text(header, keyword) or text(header, keyword.replace("Content", "Study"))
        setattr(made, keyword, value or ("19000101" if keyword.endswith("Date") else "000000"))
    for keyword in ("InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "SeriesTime"):
        if keyword in made:
            delattr(made, keyword)
    organization = f"{made.SOPInstanceUID}.1"
    made.DimensionOrganizationSequence[0].DimensionOrganizationUID = organization
    for item in made.DimensionIndexSequence:
        item.DimensionOrganizationUID = organization
