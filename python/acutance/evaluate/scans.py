"""The data set on disk: one scan after the other as slices, by the split of its ``MANIFEST.csv``.

The set's format stands in its README: volumes as NIfTI with scale 1 and offset 0, pictures as PNG or JPEG.
"""

from __future__ import annotations

import csv
import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np

from .. import degrade
from ..errors import InputError, UsageError
from ..geometry import Array
from ..model import Fixed, Percentile
from . import score

SPLITS = ("train", "val", "test")


@dataclasses.dataclass(frozen=True)
class Scan:
    """One file of the data set.

    Attributes
    ----------
    path : Path
    modality : str
        ``CT``, ``MR``, ``PET``, ``XR``, ``US`` or ``ENDO``.
    split : str
    subject, source, licence : str
    reformat : bool
        The scanner's own sagittal or coronal reformat, which is interpolated.
    """

    path: Path
    modality: str
    split: str
    subject: str
    source: str
    licence: str
    reformat: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """The slices of one scan.

    Attributes
    ----------
    scan : Scan
    slices : list of ndarray
        ``[rows, cols]``; integers as stored, float32 where luma or an area mean was taken.
    spacing : (float, float) or None
        Of a slice in mm.
    value_range : (float, float)
        As :func:`score.data_range`.
    """

    scan: Scan
    slices: list[Array]
    spacing: tuple[float, float] | None
    value_range: tuple[float, float]

    def span(self, mapping: Fixed | Percentile) -> tuple[float, float]:
        """Return the values that a model of this mapping sees as 0 and 1."""
        if mapping.kind == "fixed":
            return mapping.low, mapping.high
        values = np.concatenate([s.ravel() for s in self.slices])
        low, high = np.percentile(values, (mapping.low, mapping.high))
        return float(low), float(high)

    def truths(self, scale: int) -> list[tuple[int, Array]]:
        """Return number and pixels, cropped to a multiple of ``scale``, of each slice that is scored."""
        modality = self.scan.modality
        return [
            (i, np.ascontiguousarray(degrade.crop(s, scale)))
            for i, s in enumerate(self.slices)
            if score.is_truth(modality, s, self.value_range)
        ]


def find(folder: str | os.PathLike[str], split: str, modality: str, reformats: bool = False) -> list[Scan]:
    """Return the scans of one split and modality, in the order of the manifest.

    Parameters
    ----------
    folder : path
        Where ``MANIFEST.csv`` lies.
    reformats : bool
        Whether sagittal and coronal reformats are wanted; the protocol leaves them out.

    Raises
    ------
    InputError
        There is no manifest.
    UsageError
        The split is not train, val or test.
    """
    if split not in SPLITS:
        raise UsageError(f"split is '{split}'; wanted one of {', '.join(SPLITS)}")
    manifest = Path(folder) / "MANIFEST.csv"
    try:
        rows = list(csv.DictReader(manifest.open(encoding="utf-8", newline="")))
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror}); wanted the folder of the data set", manifest) from None
    found = []
    for row in rows:
        reformat = "_sagittal_" in row["path"] or "_coronal_" in row["path"]
        if row["split"] == split and row["modality"] == modality and (reformats or not reformat):
            path = Path(folder) / row["path"]
            found.append(Scan(path, modality, split, row["subject_id"], row["source"], row["licence"], reformat))
    return found


def load(scan: Scan) -> Series | None:
    """Read a scan; None for a CT that is not int16, which the protocol leaves out.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    try:
        slices, spacing = _volume(scan.path) if scan.path.name.endswith(".nii.gz") else _picture(scan.path)
    except (OSError, ValueError) as e:
        raise InputError(f"cannot be read ({type(e).__name__})", scan.path) from None
    if scan.modality == "CT" and slices[0].dtype != np.int16:
        return None
    return Series(scan, slices, spacing, score.data_range(scan.modality, slices))


def _volume(path: Path) -> tuple[list[Array], tuple[float, float]]:
    import nibabel

    image: Any = nibabel.load(path)
    pixels = np.asanyarray(image.dataobj)
    spacing = [float(x) for x in image.header.get_zooms()]
    axis = score.acquisition_axis(pixels.shape, spacing)
    in_plane = [x for i, x in enumerate(spacing) if i != axis]
    return [np.ascontiguousarray(s) for s in np.moveaxis(pixels, axis, 0)], (in_plane[0], in_plane[1])


def _picture(path: Path) -> tuple[list[Array], None]:
    """Read a picture as luma (ITU-R BT.601); one from JPEG is area-meaned by 2, to be rid of its blocks."""
    import PIL.Image

    with PIL.Image.open(path) as image:
        jpeg = image.format == "JPEG"
        if image.mode in ("RGB", "RGBA", "P", "CMYK"):
            rgb = np.asarray(image.convert("RGB"), dtype=np.float32)
            pixels: Array = rgb @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
        else:
            pixels = np.asarray(image.convert("L"))
    if jpeg:
        pixels = degrade.area_mean(degrade.crop(pixels, 2), 2)
    return [pixels], None
