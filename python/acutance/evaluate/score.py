"""The protocol: which slices are truths, how they are degraded, and what part of them is scored.

Every table of quality and every choice in training uses these functions. The numbers of the protocol stand here and
nowhere else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import degrade as degradations
from ..errors import UsageError
from ..geometry import Array

PROTOCOL = 1
"""Raised whenever a number below changes."""

F32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

LEAST_FOREGROUND = 0.05
"""Part of a slice that must be foreground for it to be a truth."""

CT_WIDTH = 4095.0
"""HU from -1024 to 3071."""

CT_FOREGROUND = -533.0
"""HU above which a sample is foreground."""

PET_PSF_MM = 5.0
"""Full width at half maximum."""

FWHM = 2 * float(np.sqrt(2 * np.log(2)))
"""Full width at half maximum of a Gaussian of sigma 1."""


@dataclasses.dataclass(frozen=True)
class Degradation:
    """One row of a modality's table.

    Attributes
    ----------
    name : str
    kind : str
        ``"area"`` (point spread, then area mean) or ``"k-space"``.
    sigma : float
        Of the point spread, in truth pixels, or in mm with ``in_mm``.
    in_mm : bool
    """

    name: str
    kind: str = "area"
    sigma: float = 0.0
    in_mm: bool = False

    def apply(self, truth: Array, scale: int, spacing: Sequence[float] | None = None) -> Array:
        """Return the small picture of a truth ``[rows * s, cols * s]``.

        Parameters
        ----------
        spacing : 2 floats, optional
            Of the truth in mm; needed with ``in_mm``.

        Returns
        -------
        ndarray
            ``[rows, cols]`` of the truth's dtype, rounded half to even and clamped; float32 from k-space and for
            float truths.

        Raises
        ------
        UsageError
            A side is no multiple of ``scale``, or the spacing is needed and missing.
        """
        if self.kind == "k-space":
            return degradations.truncate(truth, scale)
        sigma = self.sigma
        if self.in_mm:
            if spacing is None:
                raise UsageError(f"degradation '{self.name}' is in mm; wanted the spacing of the truth")
            sigma /= float(np.mean(spacing))
        return rounded(degradations.area_mean(truth, scale, sigma), truth.dtype)


def _psf(*sigmas: float) -> tuple[Degradation, ...]:
    return tuple(Degradation(f"psf {s:g}", sigma=s) for s in sigmas)


_EIGHT_BIT = _psf(0.0, 0.8)
_TABLE = {
    "CT": _psf(0.0, 0.4, 0.8, 1.2),
    "MR": (Degradation("k-space", kind="k-space"),),
    "XR": _EIGHT_BIT,
    "US": _EIGHT_BIT,
    "ENDO": _EIGHT_BIT,
    "PET": (Degradation("psf 5 mm", sigma=PET_PSF_MM / FWHM, in_mm=True),),
    "NM": (Degradation("psf 5 mm", sigma=PET_PSF_MM / FWHM, in_mm=True),),
}

MODALITIES = tuple(_TABLE)
"""Modalities that the protocol knows; 8-bit pictures are XR, US and ENDO."""


def degradations_of(modality: str) -> tuple[Degradation, ...]:
    """Return the rows of a modality's table.

    Raises
    ------
    UsageError
        The protocol says nothing of this modality.
    """
    if modality not in _TABLE:
        raise UsageError(f"no protocol for modality {modality}; wanted one of {', '.join(_TABLE)}")
    return _TABLE[modality]


_SHOWN = {"CT": "psf 0.4", "MR": "k-space", "XR": "psf 0.8", "US": "psf 0.8", "ENDO": "psf 0.8"}


def shown(modality: str) -> Degradation:
    """Return the row that pictures show and lesions are looked for in."""
    rows = degradations_of(modality)
    return next((d for d in rows if d.name == _SHOWN.get(modality)), rows[0])


def acquisition_axis(shape: Sequence[int], spacing: Sequence[float]) -> int:
    """Return the axis of a volume along which its slices lie.

    A volume of one slice has it where it is one thick. Else it is the axis whose spacing is unlike the two others,
    which agree; where none is, the last.
    """
    if 1 in shape:
        return list(shape).index(1)
    for axis in (2, 1, 0):
        a, b = (spacing[i] for i in range(3) if i != axis)
        if abs(a - b) <= 0.005 * a and abs(spacing[axis] - a) > 0.01 * a:
            return axis
    return 2


def data_range(modality: str, series: Sequence[Array]) -> tuple[float, float]:
    """Return the real values ``(low, high)`` whose difference is the peak of PSNR.

    Parameters
    ----------
    series : sequence of ndarray
        All slices of the truth series, before any is left out.
    """
    if modality == "CT":
        return -1024.0, -1024.0 + CT_WIDTH
    if modality in ("XR", "US", "ENDO"):
        return 0.0, 255.0
    values = np.concatenate([np.asarray(s).ravel() for s in series])
    low, high = np.percentile(values, (0.1, 99.9))
    return float(low), float(high)


def unit(modality: str) -> str:
    """Return the unit in which differences of a modality's values are told."""
    if modality == "CT":
        return "HU"
    return "gray levels" if modality in ("XR", "US", "ENDO") else "% of range"


def in_unit(modality: str, value_range: tuple[float, float]) -> float:
    """Return the factor that takes differences of stored values into :func:`unit`."""
    return 100 / (value_range[1] - value_range[0]) if unit(modality).startswith("%") else 1.0


def foreground(modality: str, truth: Array, value_range: tuple[float, float]) -> Mask:
    """Return ``[rows, cols]``, True where a truth shows something that counts (docs/protocol.md)."""
    low, high = value_range
    if modality in ("XR", "US", "ENDO"):
        return np.ones(truth.shape, dtype=bool)
    part = 0.08 if modality == "MR" else 0.05
    above = CT_FOREGROUND if modality == "CT" else low + part * (high - low)
    return _dilated(truth > above, 2) if modality in ("CT", "MR") else np.asarray(truth > above)


def _dilated(mask: Mask, by: int) -> Mask:
    """Grow a mask by a square of ``2 * by + 1`` pixels a side."""
    for axis in (0, 1):
        padded = np.pad(mask, [(by, by) if i == axis else (0, 0) for i in (0, 1)])
        mask = np.asarray(np.lib.stride_tricks.sliding_window_view(padded, 2 * by + 1, axis).any(axis=-1))
    return mask


def is_truth(modality: str, truth: Array, value_range: tuple[float, float]) -> bool:
    """Say whether a slice shows enough to be scored, and is not constant."""
    return bool(foreground(modality, truth, value_range).mean() >= LEAST_FOREGROUND and truth.min() < truth.max())


def inner(picture: Array, scale: int) -> Array:
    """Return a view without ``2 * scale`` pixels at each border."""
    b = 2 * scale
    return picture[b:-b, b:-b]


def psnr(truth: Array, result: Array, peak: float, mask: Mask | None = None) -> float:
    """Return the peak signal-to-noise ratio in dB; infinite for a perfect result.

    Parameters
    ----------
    truth, result : ndarray
        ``[rows, cols]``, borders already taken off by :func:`inner`.
    peak : float
        Width of the data range.
    mask : ndarray of bool, optional
        What is scored; None for all. NaN when it is empty.
    """
    error = np.asarray(result, dtype=np.float64) - np.asarray(truth, dtype=np.float64)
    error = error if mask is None else error[mask]
    if error.size == 0:
        return float("nan")
    square = float(np.mean(error**2))
    return float("inf") if square == 0 else float(10 * np.log10(peak**2 / square))


def rounded(values: Array, dtype: np.dtype[Any]) -> Array:
    """Round half to even and clamp to what an integer dtype holds; to float32 for float ones."""
    if dtype.kind == "f":
        return np.asarray(values, dtype=np.float32)
    info = np.iinfo(dtype)
    return np.clip(np.rint(values), info.min, info.max).astype(dtype)
