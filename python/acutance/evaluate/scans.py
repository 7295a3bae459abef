"""The data set on disk: one scan after the other as slices, by the split of its ``MANIFEST.csv``.

A scan is a volume as NIfTI with scale 1 and offset 0, a picture as PNG or JPEG, or a series as ``acutance data build``
makes it (:mod:`.shards`).
"""

from __future__ import annotations

import csv
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import degrade
from ..errors import InputError, UsageError
from ..geometry import Array
from ..model import Fixed, Percentile
from . import score, shards

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
    group : str
        Shared by scans of one subject and session that lie on one another; "" for none.
    """

    path: Path
    modality: str
    split: str
    subject: str
    source: str
    licence: str
    reformat: bool
    group: str = ""


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
        As :func:`score.data_range`, but the robust range where 8-bit modalities hold more than 8 bits.
    shard : Shard or None
        What a built data set says of it.
    """

    scan: Scan
    slices: list[Array]
    spacing: tuple[float, float] | None
    value_range: tuple[float, float]
    shard: shards.Shard | None = None

    def span(self, mapping: Fixed | Percentile) -> tuple[float, float]:
        """Return the values that a model of this mapping sees as 0 and 1.

        Raises
        ------
        UsageError
            A fixed mapping of 8-bit pictures is wanted and the series holds more.
        """
        if mapping.kind == "fixed":
            if self.shard is not None and self.scan.modality != "CT" and not self.shard.eight_bit:
                raise UsageError(
                    f"{self.scan.path} holds more than 8 bits; wanted a recipe or model that maps a percentile range,"
                    f" not {mapping.low:g} to {mapping.high:g}"
                )
            return mapping.low, mapping.high
        if self.shard is not None and (mapping.low, mapping.high) == score.ROBUST:
            return self.shard.robust_range
        values = np.concatenate([s.ravel() for s in self.slices])
        low, high = np.percentile(values, (mapping.low, mapping.high))
        return float(low), float(high)

    def truths(self, scale: int) -> list[tuple[int, Array]]:
        """Return number and pixels, cropped to a multiple of ``scale``, of each slice that is scored."""
        return [(i, np.ascontiguousarray(degrade.crop(self.slices[i], scale))) for i in self._shown()]

    def _shown(self) -> Sequence[int]:
        """Return the slices that show enough to be scored, as a built data set knows them already."""
        if self.shard is not None and self.shard.protocol == score.PROTOCOL:
            return self.shard.truths
        modality, span = self.scan.modality, self.value_range
        return [i for i, s in enumerate(self.slices) if score.is_truth(modality, s, span)]


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
            who = row["subject_id"], row["source"], row["licence"]
            found.append(Scan(path, modality, split, *who, reformat, row.get("coregistered_group") or ""))
    return found


def load(scan: Scan) -> Series | None:
    """Read a scan; None for a CT that is not int16, which the protocol leaves out.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    if scan.path.suffix == shards.SUFFIX:
        return _shard(scan)
    try:
        slices, spacing = _volume(scan.path) if scan.path.name.endswith(".nii.gz") else _picture(scan.path)
    except (OSError, ValueError) as e:
        raise InputError(f"cannot be read ({type(e).__name__})", scan.path) from None
    if scan.modality == "CT" and slices[0].dtype != np.int16:
        return None
    return Series(scan, slices, spacing, score.data_range(scan.modality, slices))


def _shard(scan: Scan) -> Series:
    said = shards.describe(scan.path)
    slices = shards.slices(scan.path, said)
    span = shards.value_range(scan.modality, said.eight_bit, said.robust_range)
    spacing = None if said.spacing_mm is None else said.spacing_mm[1:]
    return Series(scan, slices, spacing, span, said)


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
