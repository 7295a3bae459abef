"""Unique identifiers that follow from what was done, so that doing it twice makes the same object.

All have the form 2.25.<UUID as an integer> (PS3.5 B.2) of a version 5 UUID (RFC 9562 5.5) over a line of JSON.
"""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Sequence
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID

from ..geometry import Derivation
from .layout import integer, text

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/acutance/acutance")

IMPLEMENTATION = UID(f"2.25.{uuid.uuid5(_NAMESPACE, 'implementation').int}")
"""Implementation Class UID of files written (PS3.7 D.3.3.2)."""

_PER_PICTURE = ("low", "high", "range_from", "guide", "fell_back", "mended")
"""Settings that may differ between the pictures of one series."""


def derived_uid(header: Dataset, derivations: Derivation | Sequence[Derivation]) -> UID:
    """Return the SOP Instance UID of what :func:`acutance.dicom.derive` makes.

    Parameters
    ----------
    header : Dataset
        Header of the source.
    derivations : Derivation or sequence of Derivation
        That of each frame in order, or one that holds for all: as planned by ``Enhancer.derivation`` or as done.

    Returns
    -------
    UID
        Over the source's SOP Instance UID and everything in the derivations.
    """
    if isinstance(derivations, Derivation):
        derivations = [derivations] * (integer(header, "NumberOfFrames", 1) or 1)
    settings = [dataclasses.asdict(x) for x in derivations]
    if all(x == settings[0] for x in settings):
        settings = settings[:1]
    return _uid("instance", text(header, "SOPInstanceUID"), settings)


def derived_stack_uid(header: Dataset, derivations: Sequence[Derivation]) -> UID:
    """Return the SOP Instance UID of the object that holds the new slices made of all frames of another."""
    return _uid("stack", text(header, "SOPInstanceUID"), [dataclasses.asdict(x) for x in derivations])


def derived_slice_uid(headers: Sequence[Dataset], derivation: Derivation, index: int) -> UID:
    """Return the SOP Instance UID of the new slice number ``index`` that was made of a stack of objects."""
    sources = [text(header, "SOPInstanceUID") for header in headers]
    return _uid("slice", sources, dataclasses.asdict(derivation), index)


def capture_uid(header: Dataset, derivation: Derivation, index: int, how: str) -> UID:
    """Return the SOP Instance UID of a picture for the eye: of frame ``index``, shown as ``how`` says."""
    return _uid("capture", text(header, "SOPInstanceUID"), dataclasses.asdict(derivation), index, how)


def capture_series_uid(header: Dataset, derivation: Derivation, how: str) -> UID:
    """Return the Series Instance UID of pictures for the eye."""
    series = text(header, "SeriesInstanceUID") or text(header, "SOPInstanceUID")
    return _uid("captures", series, _of_series(derivation), how)


def derived_series_uid(header: Dataset, derivations: Sequence[Derivation]) -> UID:
    """Return the Series Instance UID, the same for all pictures of a series that were made with the same settings.

    Value ranges, guides and reasons do not count; a picture that is its base stands in another series than one that a
    network made.
    """
    found = {json.dumps(_of_series(x), sort_keys=True) for x in derivations}
    series = text(header, "SeriesInstanceUID") or text(header, "SOPInstanceUID")
    return _uid("series", series, sorted(found))


def uncertainty_uid(header: Dataset, derivations: Sequence[Derivation], *, of_series: bool = False) -> UID:
    """Return the SOP Instance UID, or the Series Instance UID, of the map of how sure derived pictures are."""
    derived = derived_series_uid(header, derivations) if of_series else derived_uid(header, derivations)
    return _uid("uncertainty", derived)


def derived_concatenation_uid(uid: str, derivations: Sequence[Derivation]) -> UID:
    """Return the UID that stands for a source's concatenation (PS3.3 C.7.6.16.2.2.4), the same for all of its parts."""
    return _uid("concatenation", uid, sorted({json.dumps(_of_series(x), sort_keys=True) for x in derivations}))


def _of_series(derivation: Derivation) -> dict[str, Any]:
    return {k: v for k, v in dataclasses.asdict(derivation).items() if k not in _PER_PICTURE}


def _uid(*what: Any) -> UID:
    line = json.dumps(what, sort_keys=True, separators=(",", ":"))
    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, line).int}")
