"""What a derived object says of its making."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import UID

from ..geometry import Derivation
from . import groups
from .classes import ENHANCED_CT, ENHANCED_MR
from .layout import integer, text
from .uids import derived_concatenation_uid, derived_series_uid

_MAKER = "acutance"
LO, ST = 64, 1024
"""Characters that the value representations LO and ST hold (PS3.5 6.2)."""

_SERIES_STEP = 100
_IS_MAX = 2**31 - 1


_ORIGINAL_ONLY = (
    "PulseSequenceName",
    "MRAcquisitionType",
    "EchoPulseSequence",
    "MultipleSpinEcho",
    "MultiPlanarExcitation",
    "PhaseContrast",
    "TimeOfFlightContrast",
    "SteadyStatePulseSequence",
    "EchoPlanarPulseSequence",
    "SaturationRecovery",
    "SpectrallySelectedSuppression",
    "OversamplingPhase",
    "GeometryOfKSpaceTraversal",
    "RectilinearPhaseEncodeReordering",
    "SegmentedKSpaceTraversal",
    "CoverageOfKSpace",
    "NumberOfKSpaceTrajectories",
    "BulkMotionCompensationTechnique",
)
"""Enhanced MR attributes required of ORIGINAL images (PS3.3 C.8.13.4, C.7.6.18.3).

The standard now lets derived images keep them; validators that follow its earlier text refuse them there, so they are
left to the source.
"""


Sources = Sequence[Sequence[tuple[Dataset, int]]]
"""For each picture the headers of the objects that it was made of, with the number of the frame from 1."""


def mark(out: Dataset, header: Dataset, derivations: Sequence[Derivation], sources: Sources | None = None) -> None:
    """Write into ``out``, a copy of ``header``, how it was made; of the same frame of ``header`` without ``sources``.

    Image Type (PS3.3 C.7.6.1.1.2, C.8.16.1), derivation and source (C.12.4, per frame C.7.6.16.2.6), equipment
    (C.12.1.1.5), and the series (C.7.3.1) with its number and description.
    """
    if text(header, "SOPClassUID") == ENHANCED_MR and _values(header.get("ImageType"))[:1] != ["DERIVED"]:
        for keyword in _ORIGINAL_ONLY:
            if keyword in out:
                delattr(out, keyword)
    out.ImageType = _derived_type(out.get("ImageType"))
    if text(out, "ContentQualification") == "PRODUCT":
        out.ContentQualification = "RESEARCH"  # not made by approved software, C.8.13.2.1.1
    for group in (*groups.items(out, groups.SHARED), *groups.items(out, groups.PER_FRAME)):
        for keyword in ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence"):
            for item in groups.items(group, keyword):
                item.FrameType = _derived_type(item.get("FrameType"))
    said = description(derivations) + ("" if _valid(header) else "; its source has no valid UID to refer to")
    said = shortened(said, ST)
    before = shortened(text(out, "DerivationDescription"), ST - len(said) - 2)
    out.DerivationDescription = f"{before}; {said}" if before else said
    out.DerivationCodeSequence = [*groups.items(out, "DerivationCodeSequence"), _resampling()]
    sources = sources or [[(header, i + 1)] for i in range(len(derivations))]
    if _valid(header):
        objects = {id(h): h for found in sources for h, _ in found if _valid(h)}
        out.SourceImageSequence = [_source(h) for h in objects.values()]
    elif "SourceImageSequence" in out:
        del out.SourceImageSequence
    _mark_frames(out, header, derivations, sources)
    contributors = [copy.deepcopy(x) for x in groups.items(out, "ContributingEquipmentSequence")]
    out.ContributingEquipmentSequence = [*contributors, *map(equipment, _distinct(derivations))]
    _mark_series(out, header, derivations)


def is_ours(header: Dataset) -> bool:
    """Tell by Image Type and Contributing Equipment whether this package derived an object."""
    if "DERIVED" not in (header.get("ImageType") or ()):
        return False
    return any(str(x.get("Manufacturer", "")) == _MAKER for x in header.get("ContributingEquipmentSequence") or ())


def _values(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [str(x) for x in value] if isinstance(value, Sequence) else []


def _derived_type(value: object) -> list[str]:
    """Return an Image Type or Frame Type with DERIVED first, PRIMARY second unless it says SECONDARY, the rest kept."""
    values = _values(value)
    second = "SECONDARY" if values[1:2] == ["SECONDARY"] else "PRIMARY"
    return ["DERIVED", second, *values[2:]]


def _mark_frames(out: Dataset, header: Dataset, derivations: Sequence[Derivation], sources: Sources) -> None:
    """Give each frame of an enhanced object its Derivation Image item; one shared by all frames makes way."""
    per_frame = groups.items(out, groups.PER_FRAME)
    if not per_frame:
        return
    shared = [x for group in groups.items(out, groups.SHARED) for x in groups.items(group, "DerivationImageSequence")]
    for group in groups.items(out, groups.SHARED):
        if "DerivationImageSequence" in group:
            del group.DerivationImageSequence
    for group, derivation, found in zip(per_frame, derivations, sources, strict=False):
        item = Dataset()
        item.DerivationDescription = shortened(describe(derivation), ST)
        before = [*shared, *groups.items(group, "DerivationImageSequence")]
        codes = [copy.deepcopy(code) for x in before for code in groups.items(x, "DerivationCodeSequence")]
        item.DerivationCodeSequence = [*codes, _resampling()]
        item.SourceImageSequence = [_source(h, number) for h, number in found if _valid(h)]
        group.DerivationImageSequence = [item]
    if _valid(header) and text(header, "SOPClassUID") in (ENHANCED_CT, ENHANCED_MR):
        out.SourceImageEvidenceSequence = [_evidence(header)]


def _mark_series(out: Dataset, header: Dataset, derivations: Sequence[Derivation]) -> None:
    out.SeriesInstanceUID = derived_series_uid(header, derivations)
    for keyword in ("ConcatenationUID", "SOPInstanceUIDOfConcatenationSource"):
        if text(out, keyword):
            setattr(out, keyword, derived_concatenation_uid(text(out, keyword), derivations))
    models = sorted({label(x) for x in derivations})
    mark = f"[{_MAKER} {' and '.join(models)}]"
    before = text(out, "SeriesDescription")
    out.SeriesDescription = f"{shortened(before, LO - len(mark) - 1)} {mark}" if before else shortened(mark, LO)
    out.SeriesNumber = series_number(out, derivations[0])


def series_number(header: Dataset, derivation: Derivation) -> int:
    """Return the Series Number of what is derived from a source, made from that of the source and how it was done."""
    own = derivation.scale + (_SERIES_STEP // 2 if derivation.through_plane else 0)
    number = abs(integer(header, "SeriesNumber", 0) or 0) * _SERIES_STEP + own
    return number if number <= _IS_MAX else own


def label(derivation: Derivation) -> str:
    """Return the name of the model, or of the base with its scale, as a series is marked with it."""
    name = derivation.model if is_network(derivation) else f"base-x{derivation.scale}"
    name = f"{name} GENERATIVE" if derivation.generative and is_network(derivation) else name
    return f"{name} isotropic" if derivation.through_plane else name


def is_network(derivation: Derivation) -> bool:
    """Tell whether a network made the picture; False: it is the base alone."""
    return derivation.model != "base" and derivation.fell_back is None


def describe(derivation: Derivation) -> str:
    """Return one sentence on how a picture was made."""
    d = derivation
    what = "Made isotropic" if d.through_plane and d.scale == 1 else f"Enlarged {d.scale} times"
    start = f"{what} by {_MAKER} {d.software}"
    more = "".join(f"; {x}" for x in (d.through_plane, d.mended) if x)
    if not is_network(d):
        why = f" (network not used: {shortened(d.fell_back, 200)})" if d.fell_back else ""
        return f"{start} by interpolation only, no network: base {d.base}, guard {d.guard}{why}{more}"
    feather = f" with tiles of {d.tile} overlapping by {d.overlap}" if d.overlap else ""
    guide = f", guided by {d.guide}" if d.guide else ""
    sequence = f", in the sequence {d.sequence}" if d.sequence else ""
    warned = "; GENERATIVE: fine detail may be made up" if d.generative else ""
    return (
        f"{start} with the network {d.model} {d.version} (sha256 {d.sha256[:16]}, {d.precision}, {d.backend}) over the "
        f"base {d.base}, guard {d.guard}, stitched {d.stitch}{feather}, values {d.low:.6g} to {d.high:.6g} "
        f"({d.range_from}) mapped to 0 to 1{guide}{sequence}{more}{warned}"
    )


def description(derivations: Sequence[Derivation]) -> str:
    """Return :func:`describe` of every distinct derivation, with its frames where there are several."""
    distinct = _distinct(derivations)
    if len(distinct) == 1:
        return describe(distinct[0])
    parts = []
    for d in distinct:
        numbers = [i + 1 for i, x in enumerate(derivations) if x == d]
        listed = ", ".join(map(str, numbers[:8])) + (" and more" if len(numbers) > 8 else "")
        parts.append(f"Frames {listed}: {describe(d)}")
    return "; ".join(parts)


def _distinct(derivations: Sequence[Derivation]) -> list[Derivation]:
    return list(dict.fromkeys(derivations))


def shortened(value: str | None, length: int) -> str:
    """Return a text that is no longer than ``length``; what is left out is marked by dots."""
    value = value or ""
    return value if len(value) <= length else value[: max(length - 3, 0)] + "..." * (length > 3)


def _code(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
    return code


def _resampling() -> Dataset:
    """PS3.16 CID 7203, Image Derivation."""
    return _code("113085", "Spatial resampling")


def _valid(header: Dataset) -> bool:
    """Tell whether the source has a UID that a reference may hold (PS3.5 9.1)."""
    return UID(text(header, "SOPInstanceUID")).is_valid


def _source(header: Dataset, frame: int | None = None) -> Dataset:
    """Return the Source Image item (PS3.3 C.12.4.1.2) for the source, or for one of its frames counted from 1."""
    item = Dataset()
    item.ReferencedSOPClassUID = text(header, "SOPClassUID")
    item.ReferencedSOPInstanceUID = text(header, "SOPInstanceUID")
    if frame is not None:
        item.ReferencedFrameNumber = frame
    item.PurposeOfReferenceCodeSequence = [_code("121322", "Source image for image processing operation")]  # CID 7202
    item.SpatialLocationsPreserved = "NO"  # magnified, C.7.6.1.1.3
    return item


def name_source(out: Dataset, header: Dataset, frame: int | None, derivation: Derivation) -> None:
    """Write into ``out`` of which object, or frame of it counted from 1, it was made, and by what."""
    if _valid(header):
        out.SourceImageSequence = [_source(header, frame)]
    out.ContributingEquipmentSequence = [equipment(derivation)]


def _evidence(header: Dataset) -> Dataset:
    """Return the item of Source Image Evidence (PS3.3 C.8.13.2.1.2) that enhanced objects want beside Source Image."""
    instance, series, study = Dataset(), Dataset(), Dataset()
    instance.ReferencedSOPClassUID = text(header, "SOPClassUID")
    instance.ReferencedSOPInstanceUID = text(header, "SOPInstanceUID")
    series.ReferencedSOPSequence = [instance]
    series.SeriesInstanceUID = text(header, "SeriesInstanceUID")
    study.ReferencedSeriesSequence = [series]
    study.StudyInstanceUID = text(header, "StudyInstanceUID")
    return study


def equipment(derivation: Derivation) -> Dataset:
    """Return the Contributing Equipment item (PS3.3 C.12.1.1.5; purpose of reference PS3.16 CID 7005)."""
    d = derivation
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [_code("109102", "Processing Equipment")]
    item.Manufacturer = _MAKER
    item.ManufacturerModelName = shortened(label(d), LO)
    item.SoftwareVersions = [x for x in (d.software, d.version) if x] if is_network(d) else d.software
    digest = d.sha256 or "none"
    item.ContributionDescription = shortened(
        f"Model {label(d)} {d.version}, sha256 {digest}, precision {d.precision}, guard {d.guard}. "
        "Not a cleared medical device.",
        ST,
    )
    return item
