"""Slices of a DICOM series or of an enhanced object as one stack, and the objects of the new slices."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from pydicom.dataset import Dataset, FileDataset
from pydicom.tag import Tag
from pydicom.uid import UID

from ..errors import InputError
from ..geometry import Array, Derivation, Frame, refined_position
from . import groups, pixel_units, provenance
from .derive import check, copied, finished
from .layout import integer, numbers, text
from .pixel_units import decimal
from .quiet import quiet
from .uids import derived_slice_uid, derived_stack_uid

PARALLEL = 1e-3
"""Most by which a direction cosine may differ between the slices of a stack."""

ASIDE = 0.02
"""Part of the slice distance by which a slice may lie beside the line of the others."""

_PER_FRAME_VECTORS = ("FrameTimeVector", "FrameLabelVector", "SliceVector", "FrameIncrementPointer")
"""Attributes with a value for each frame of the source."""


@dataclasses.dataclass(frozen=True, eq=False)
class Located:
    """Where the slices of a stack lie in the patient.

    Attributes
    ----------
    frames : tuple of Frame
        In the order of their places.
    places : ndarray of float64
        Millimetres along the normal of the slices, increasing.
    thickness : float or None
        Slice Thickness in mm.
    origin, direction : ndarray of float64
        Image Position (Patient) at place 0, and its change for each mm along the normal: the normal itself, but for
        slices that are shifted against each other (a tilted gantry).
    orientation : tuple of 6 floats
    """

    frames: tuple[Frame, ...]
    places: Array
    thickness: float | None
    origin: Array
    direction: Array
    orientation: tuple[float, ...]

    def position(self, place: float, scale: int) -> tuple[float, float, float]:
        """Return Image Position (Patient) of a slice at ``place`` whose pixels are ``scale`` times finer."""
        spacing = self.frames[0].spacing
        assert spacing is not None
        return refined_position(list(self.origin + place * self.direction), self.orientation, spacing, scale)


def locate(frames: Sequence[Frame]) -> Located:
    """Put the Frames of one series, as read, into the order of their places.

    Raises
    ------
    InputError
        A slice does not say where it lies, or they are not parallel or do not lie behind each other.
    """
    found = [_plane(f) for f in frames]
    path = frames[0].source.path if frames[0].source else None
    if any(x is None for x in found):
        bad = next(f.source for f, x in zip(frames, found, strict=True) if x is None)
        raise InputError("has slices without Image Position and Orientation (Patient)", bad.path if bad else None)
    positions = np.array([x[0] for x in found if x is not None])
    orientations = np.array([x[1] for x in found if x is not None])
    if np.abs(orientations - orientations[0]).max() > PARALLEL:
        raise InputError("has slices that are not parallel, so they are not one volume", path)
    normal = np.cross(orientations[0][:3], orientations[0][3:])
    normal /= np.linalg.norm(normal)
    places = positions @ normal
    order = np.argsort(places, kind="stable")
    places, positions = places[order], positions[order]
    extent = float(places[-1] - places[0])
    direction = (positions[-1] - positions[0]) / extent if extent > 0 else normal
    origin = positions[0] - places[0] * direction
    aside = np.linalg.norm(positions - origin - places[:, None] * direction, axis=1).max()
    if aside > max(ASIDE * extent / max(len(frames) - 1, 1), 1e-3):
        raise InputError(f"has slices that do not lie behind each other ({aside:.3g} mm aside)", path)
    thickness = _thickness(frames[0])
    ordered = tuple(frames[int(k)] for k in order)
    return Located(ordered, places, thickness, origin, direction, tuple(map(float, orientations[0])))


def _plane(frame: Frame) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    assert frame.source is not None
    header, index = frame.source.header, frame.source.index
    position = numbers(groups.item(header, "PlanePositionSequence", index) or header, "ImagePositionPatient", 3)
    turned = groups.item(header, "PlaneOrientationSequence", index) or header
    orientation = numbers(turned, "ImageOrientationPatient", 6)
    return None if position is None or orientation is None else (position, orientation)


def _thickness(frame: Frame) -> float | None:
    assert frame.source is not None
    measures = groups.item(frame.source.header, "PixelMeasuresSequence", frame.source.index) or frame.source.header
    found = numbers(measures, "SliceThickness", 1)
    return found[0] if found is not None and found[0] > 0 else None


def derive_stack(
    located: Located,
    made: Sequence[Frame],
    near: Sequence[int],
    places: Array,
    step: float,
    *,
    compress: Literal["jpeg2000", "rle"] | None = None,
    allow_burned_in: bool = False,
) -> Iterator[FileDataset]:
    """Yield the derived objects of new slices: one for each slice, or one for all where the source is one object.

    They form one new series in the source's study and frame of reference. Image Position (Patient), Slice Thickness,
    Spacing Between Slices, Slice Location and what counts slices are those of the new ones; see
    :func:`acutance.dicom.derive` for the rest. Each takes its header from the old slice nearest to it and names the
    two about it as its source. Overlays of single slices are left out.

    Parameters
    ----------
    located : Located
    made : sequence of Frame
        The new slices with their derivations.
    near : sequence of int
        The number in ``located.frames`` of the old slice nearest to each.
    places : ndarray
        Of the new slices, mm along the normal.
    step : float
        Distance and thickness of the new slices in mm.
    """
    first = located.frames[0].source
    assert first is not None
    scale = made[0].derivation.scale if made[0].derivation else 1
    if len(_headers(located)) == 1:
        check(first.header, scale, allow_burned_in=allow_burned_in, path=first.path, frames=len(made))
        with quiet():
            whole = _whole(located, made, near, places, step, scale, compress)
        yield whole
        return
    for i, frame in enumerate(made):
        assert frame.source is not None
        check(frame.source.header, scale, allow_burned_in=allow_burned_in, path=frame.source.path)
        with quiet():
            one = _slice(located, frame, i, len(made), float(places[i]), step, scale, compress)
        yield one


def stack_uids(located: Located, derivations: Sequence[Derivation]) -> list[UID]:
    """Return the SOP Instance UIDs of what :func:`derive_stack` yields for the derivations of the new slices."""
    headers = _headers(located)
    if len(headers) == 1:
        return [derived_stack_uid(headers[0], derivations)]
    return [derived_slice_uid(headers, d, i) for i, d in enumerate(derivations)]


def _headers(located: Located) -> list[Dataset]:
    """Return the header of each source object once."""
    return list({id(f.source.header): f.source.header for f in located.frames if f.source}.values())


def _neighbours(located: Located, place: float) -> list[tuple[Dataset, int]]:
    """Return header and frame number, from 1, of the old slices on both sides of a place."""
    after = int(np.searchsorted(located.places, place))
    last = len(located.frames) - 1
    sources = [located.frames[k].source for k in dict.fromkeys((min(max(after - 1, 0), last), min(after, last)))]
    return [(s.header, s.index + 1) for s in sources if s is not None]


def _slice(
    located: Located,
    frame: Frame,
    number: int,
    count: int,
    place: float,
    step: float,
    scale: int,
    compress: Literal["jpeg2000", "rle"] | None,
) -> FileDataset:
    """Return the object of one new slice of a series of single-frame objects."""
    assert frame.source is not None and frame.derivation is not None
    header = frame.source.header
    out = copied(header, swap=header.original_encoding[1] is False)
    pixel_units.rescale(out, scale)
    _drop_overlays(out)
    out.ImagePositionPatient = [decimal(x) for x in located.position(place, scale)]
    out.SliceThickness = decimal(step)
    out.SpacingBetweenSlices = decimal(step)
    out.InstanceNumber = number + 1
    if "SliceLocation" in out:
        out.SliceLocation = decimal(place)
    for keyword, value in (("ImageIndex", number + 1), ("NumberOfSlices", count), ("ImagesInAcquisition", count)):
        if keyword in out:
            setattr(out, keyword, value)
    if text(header, "RescaleSlope"):
        out.RescaleSlope, out.RescaleIntercept = decimal(frame.slope), decimal(frame.intercept)
    out.SOPInstanceUID = derived_slice_uid(_headers(located), frame.derivation, number)
    provenance.mark(out, header, [frame.derivation], [_neighbours(located, place)])
    return finished(out, [frame], compress, frame.source.path)


def _whole(
    located: Located,
    made: Sequence[Frame],
    near: Sequence[int],
    places: Array,
    step: float,
    scale: int,
    compress: Literal["jpeg2000", "rle"] | None,
) -> FileDataset:
    """Return the object of all new slices of a multi-frame object."""
    source = located.frames[0].source
    assert source is not None
    header = source.header
    old_groups = groups.items(header, groups.PER_FRAME)
    swap = header.original_encoding[1] is False
    out = copied(header, swap=swap)
    for keyword in (groups.PER_FRAME, *_PER_FRAME_VECTORS):
        if keyword in out:
            delattr(out, keyword)
    new_groups: list[Dataset] = []
    for k, place in zip(near, places, strict=True):
        old = located.frames[k].source
        assert old is not None
        new_groups.append(copied(old_groups[old.index], swap=swap))
        _set(new_groups[-1], "PlanePositionSequence").ImagePositionPatient = [
            decimal(x) for x in located.position(float(place), scale)
        ]
    out.PerFrameFunctionalGroupsSequence = new_groups
    out.NumberOfFrames = len(made)
    pixel_units.rescale(out, scale)
    _drop_overlays(out)
    shared = groups.items(out, groups.SHARED)
    for group in (*shared, *new_groups):
        for measures in groups.items(group, "PixelMeasuresSequence"):
            measures.SliceThickness, measures.SpacingBetweenSlices = decimal(step), decimal(step)
        for values in groups.items(group, "PixelValueTransformationSequence"):
            values.RescaleSlope, values.RescaleIntercept = decimal(made[0].slope), decimal(made[0].intercept)
    for group in shared:
        if "PlanePositionSequence" in group:
            del group.PlanePositionSequence
    _number(out, new_groups)
    derivations = [f.derivation for f in made if f.derivation is not None]
    out.SOPInstanceUID = derived_stack_uid(header, derivations)
    provenance.mark(out, header, derivations, [_neighbours(located, float(p)) for p in places])
    return finished(out, made, compress, source.path)


def _set(group: Dataset, keyword: str) -> Dataset:
    """Return the first item of a sequence, made if need be."""
    found = groups.items(group, keyword)
    if not found:
        setattr(group, keyword, [Dataset()])
        return groups.items(group, keyword)[0]
    return found[0]


_ALONG = (Tag("InStackPositionNumber"), Tag("ImagePositionPatient"))


def _number(out: Dataset, new_groups: Sequence[Dataset]) -> None:
    """Count the frames along the stack (PS3.3 C.7.6.16.2.2, C.7.6.17): place in the stack, dimension indices."""
    pointers = [x.get("DimensionIndexPointer") for x in groups.items(out, "DimensionIndexSequence")]
    for i, group in enumerate(new_groups):
        for content in groups.items(group, "FrameContentSequence"):
            if integer(content, "InStackPositionNumber") is not None:
                content.InStackPositionNumber = i + 1
            values: Any = content.get("DimensionIndexValues")
            if values is not None and pointers:
                listed = [int(values)] if isinstance(values, int) else [int(v) for v in values]
                content.DimensionIndexValues = [
                    i + 1 if p in _ALONG else v for p, v in zip(pointers, listed, strict=False)
                ]


def _drop_overlays(out: Dataset) -> None:
    for tag in [t for t in out.keys() if t.group in range(0x6000, 0x6100)]:  # noqa: SIM118
        del out[tag]
