"""What of a DICOM header may enter a data set: numbers that the confidentiality profile leaves alone."""

from __future__ import annotations

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from ..deidentify.profile import Action, action
from ..dicom import groups
from ..dicom.layout import numbers
from ..dicom.quiet import quiet

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


def numbers_of(header: Dataset) -> dict[str, float]:
    """Return the numbers of a header that say how its picture was made; what the profile would change is left out."""
    kept: dict[str, float] = {}
    with quiet():
        for keyword, group in KEPT.items():
            tag = Tag(keyword)
            if action(tag, dictionary_VR(tag)) is not Action.KEEP:
                continue
            for place in (header, groups.item(header, group, 0) if group else None):
                found = None if place is None else numbers(place, keyword, 1)
                if found is not None:
                    kept[keyword] = float(found[0])
    return kept
