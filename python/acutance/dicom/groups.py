"""Functional groups of enhanced objects (PS3.3 C.7.6.16): per frame first, then shared by all."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

SHARED = "SharedFunctionalGroupsSequence"
PER_FRAME = "PerFrameFunctionalGroupsSequence"


def items(header: Dataset, keyword: str) -> Sequence[Dataset]:
    """Return the items of a sequence, none when it is absent or damaged."""
    try:
        value = header.get(keyword)
        return [x for x in value or () if isinstance(x, Dataset)]
    except Exception:
        return []


def item(header: Dataset, keyword: str, index: int) -> Dataset | None:
    """Return the first item of the functional group ``keyword`` that holds for the 0-based frame ``index``."""
    for group in (*items(header, PER_FRAME)[index : index + 1], *items(header, SHARED)[:1]):
        for found in items(group, keyword)[:1]:
            return found
    return None
