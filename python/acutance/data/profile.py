"""What of a DICOM header may enter a data set.

Only the numbers of :data:`KEPT` are taken, and these pass the Basic Application Level Confidentiality Profile (PS3.15
Annex E, Table E.1-1) as the package dicom-anonymizer holds it: what it would remove, empty or replace is left out.
"""

from __future__ import annotations

import functools
import importlib.metadata

import dicomanonymizer
from pydicom.dataset import Dataset

from ..dicom import groups
from ..dicom.layout import numbers
from ..dicom.quiet import quiet

EDITION = "2026c"
"""Of the standard, whose table is used."""

KEPT: dict[str, str] = {
    "SliceThickness": "PixelMeasuresSequence",
    "SpacingBetweenSlices": "PixelMeasuresSequence",
    "EchoTime": "",
    "EffectiveEchoTime": "MREchoSequence",
    "RepetitionTime": "MRTimingAndRelatedParametersSequence",
    "FlipAngle": "MRTimingAndRelatedParametersSequence",
    "InversionTime": "",
    "MagneticFieldStrength": "",
    "KVP": "CTXRayDetailsSequence",
}
"""Numbers that say how a picture was made, and the functional group of enhanced objects that holds them."""


def method() -> str:
    """Return by what the headers are de-identified, for (0012,0063) and its like."""
    program = f"dicom-anonymizer {importlib.metadata.version('dicom-anonymizer')}"
    return f"PS3.15 {EDITION} Basic Application Level Confidentiality Profile ({program}), of which numbers were kept"


def numbers_of(header: Dataset) -> dict[str, float]:
    """Return the numbers of a header that say how its picture was made."""
    kept = Dataset()
    with quiet():
        for keyword, group in KEPT.items():
            for place in (header, groups.item(header, group, 0) if group else None):
                found = None if place is None else numbers(place, keyword, 1)
                if found is not None:
                    setattr(kept, keyword, found[0])
        before = {keyword: numbers(kept, keyword, 1) for keyword in KEPT}
        dicomanonymizer.anonymize_dataset(kept, base_rules_gen=lambda: dict(_table()))
    after = {keyword: numbers(kept, keyword, 1) for keyword in KEPT}
    return {k: float(v[0]) for k, v in after.items() if v is not None and v == before[k]}


@functools.cache
def _table() -> dict[tuple[int, ...], object]:
    found: dict[tuple[int, ...], object] = dicomanonymizer.initialize_actions(f"dicomfields_{EDITION}")
    return found
