"""Which rule holds for an instance."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Sequence
from pathlib import Path

from ...dicom.classes import IMAGE_CLASSES
from ...dicom.container import Container
from ...dicom.layout import text
from ...errors import InputError
from . import part10
from .settings import RuleSettings

_TAGS = ("Modality", "SeriesDescription")

OTHERWISE = RuleSettings()
"""Of what no rule fits."""


@dataclasses.dataclass(frozen=True)
class Known:
    """What rules look at.

    Attributes
    ----------
    class_uid : str
    modality, series_description : str
        Empty where the header does not say them.
    calling_ae : str
    """

    class_uid: str
    modality: str
    calling_ae: str
    series_description: str

    @property
    def is_picture(self) -> bool:
        """Whether it is of a class that is enhanced."""
        return self.class_uid in IMAGE_CLASSES


def look(path: Path) -> Known:
    """Return what rules look at of an instance; a header that cannot be read says nothing."""
    about = part10.sender(path)
    try:
        with Container(path, _TAGS) as file:
            modality, description = (text(file.header, tag) for tag in _TAGS)
    except InputError:
        modality = description = ""
    if not modality:
        modality = IMAGE_CLASSES.get(about.class_uid, "")
    return Known(about.class_uid, modality, about.calling_ae, description)


def choose(rules: Sequence[RuleSettings], known: Known) -> RuleSettings:
    """Return the first rule that fits an instance, :data:`OTHERWISE` when none does."""
    for rule in rules:
        pairs = (
            (rule.modality, known.modality),
            (rule.calling_ae, known.calling_ae),
            (rule.series_description, known.series_description),
        )
        if all(not patterns or _fits(patterns, value) for patterns, value in pairs):
            return rule
    return OTHERWISE


def _fits(patterns: Sequence[str], value: str) -> bool:
    return any(fnmatch.fnmatchcase(value.casefold(), pattern.casefold()) for pattern in patterns)
