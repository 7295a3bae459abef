"""The protocol: which slices are truths, how they are degraded, and what part of them is scored.

Every table of quality and every choice in training uses these functions. The numbers of the protocol stand here and
nowhere else.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Sequence
from typing import Any, Literal

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

ROBUST = (0.1, 99.9)
"""Percentiles of a series that are its range where that is not fixed."""

CT_WIDTH = 4095.0
"""HU from -1024 to 3071."""

CT_FOREGROUND = -533.0
"""HU above which a sample is foreground."""

PET_PSF_MM = 5.0
"""Full width at half maximum."""

CT_NOISE_HU = (25.0, 50.0)
"""Standard deviation in the middle of 300 mm of water: about a quarter, and a sixteenth, of an abdomen's usual dose."""

NOISE_PARTS = (0.03, 0.06)
"""Of the data range, for MR and 8 bits."""


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
    noise : float
        Standard deviation of what is added to the small picture: in HU in the middle of 300 mm of water for ``"ct"``,
        else as a part of the data range; 0 for none.
    noise_kind : str
        ``"gaussian"``, ``"rician"`` or ``"ct"`` (:func:`acutance.degrade.ct_noise`).
    """

    name: str
    kind: str = "area"
    sigma: float = 0.0
    in_mm: bool = False
    noise: float = 0.0
    noise_kind: Literal["gaussian", "rician", "ct"] = "gaussian"

    def apply(
        self,
        truth: Array,
        scale: int,
        spacing: Sequence[float] | None = None,
        value_range: tuple[float, float] | None = None,
    ) -> Array:
        """Return the small picture of a truth ``[rows * s, cols * s]``.

        Parameters
        ----------
        spacing : 2 floats, optional
            Of the truth in mm; needed with ``in_mm`` and for CT's noise.
        value_range : (float, float), optional
            As :func:`data_range`; needed for other noise.

        Returns
        -------
        ndarray
            ``[rows, cols]`` of the truth's dtype, rounded half to even and clamped; float32 from k-space and for
            float truths.

        Raises
        ------
        UsageError
            A side is no multiple of ``scale``, or the spacing or range is needed and missing.
        """
        if self.kind == "k-space":
            return self._noisy(degradations.truncate(truth, scale), truth, scale, spacing, value_range)
        sigma = self.sigma / self._pixel(spacing) if self.in_mm else self.sigma
        small = degradations.area_mean(truth, scale, sigma)
        return rounded(self._noisy(small, truth, scale, spacing, value_range), truth.dtype)

    def _pixel(self, spacing: Sequence[float] | None) -> float:
        if spacing is None:
            raise UsageError(f"degradation '{self.name}' is in mm; wanted the spacing of the truth")
        return float(np.mean(spacing))

    def _noisy(
        self,
        small: F32,
        truth: Array,
        scale: int,
        spacing: Sequence[float] | None,
        value_range: tuple[float, float] | None,
    ) -> F32:
        """Add the noise; its seed is the truth's samples, so that a slice's noise is always the same."""
        if self.noise == 0:
            return small
        samples = np.ascontiguousarray(truth)
        rng = np.random.default_rng([zlib.crc32(samples.tobytes()), zlib.crc32(self.name.encode())])
        if self.noise_kind == "ct":
            return degradations.ct_noise(small, self.noise, self._pixel(spacing) * scale, rng)
        if value_range is None:
            raise UsageError(f"the noise of '{self.name}' is a part of the data range; wanted the range")
        sigma = self.noise * (value_range[1] - value_range[0])
        if self.noise_kind == "rician":
            return degradations.rician(small, sigma, rng)
        return small + rng.standard_normal(small.shape, dtype=np.float32) * np.float32(sigma)


def _psf(*sigmas: float) -> tuple[Degradation, ...]:
    return tuple(Degradation(f"psf {s:g}", sigma=s) for s in sigmas)


def _gaussian_noise() -> tuple[Degradation, ...]:
    return tuple(Degradation(f"noise {100 * x:g} %", noise=x) for x in NOISE_PARTS)


_EIGHT_BIT = _psf(0.0, 0.8)
_TABLE = {
    "CT": _psf(0.0, 0.4, 0.8, 1.2),
    "MR": (Degradation("k-space", kind="k-space"),),
    "XR": _EIGHT_BIT,
    "US": _EIGHT_BIT,
    "ENDO": _EIGHT_BIT,
    "PET": (Degradation("psf 5 mm", sigma=PET_PSF_MM / degradations.FWHM, in_mm=True),),
    "NM": (Degradation("psf 5 mm", sigma=PET_PSF_MM / degradations.FWHM, in_mm=True),),
}

_NOISE_TABLE = {
    "CT": tuple(Degradation(f"noise {x:g} HU", noise=x, noise_kind="ct") for x in CT_NOISE_HU),
    "MR": tuple(
        Degradation(f"rician {100 * x:g} %", kind="k-space", noise=x, noise_kind="rician") for x in NOISE_PARTS
    ),
    "XR": _gaussian_noise(),
    "US": _gaussian_noise(),
    "ENDO": _gaussian_noise(),
}

MODALITIES = tuple(_TABLE)
"""Modalities that the protocol knows; 8-bit pictures are XR, US and ENDO."""


def degradations_of(modality: str) -> tuple[Degradation, ...]:
    """Return the rows of a modality's table, which are free of noise.

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


def noise_rows_of(modality: str) -> tuple[Degradation, ...]:
    """Return the rows of a modality's table of noise, which stands apart; none for PET and NM.

    Raises
    ------
    UsageError
        The protocol says nothing of this modality.
    """
    degradations_of(modality)
    return _NOISE_TABLE.get(modality, ())


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
    low, high = np.percentile(values, ROBUST)
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
