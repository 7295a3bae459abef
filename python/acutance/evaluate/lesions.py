"""The lesion test: what becomes of discs of known size and contrast, and what looks like one where there is none.

Discs are put into the truth before it is degraded. Each method enlarges the degraded picture with and without them; the
difference of the two results is what it makes of the discs alone, whatever lies around them. What the results show
without any disc is searched for blobs that the truth does not have.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, gaussian_laplace, maximum_filter, uniform_filter, zoom
from skimage.feature import peak_local_max

from ..geometry import Array
from . import score
from .methods import Input, Method, enlarge

DIAMETERS = (4.0, 6.0, 10.0)
"""Of the discs, in truth pixels."""

CONTRASTS = {"CT": (40.0, 120.0), "MR": (0.04, 0.12), "PET": (0.04, 0.12), "NM": (0.04, 0.12)}
"""Of the discs: HU for CT, else a part of the protocol's range."""

CONTRASTS_8BIT = (12.0, 36.0)
"""Gray levels."""

APART = 32
"""Least distance of two discs' centres, in truth pixels."""

RING = (2.0, 8.0)
"""Where a disc's surroundings begin and end, in truth pixels beyond its edge."""

SUPERSAMPLING = 8
"""Points a side by which the part of a pixel within a disc is measured."""

ZOOM = 4
"""How much finer an apparent size is measured than by whole pixels."""

SIGMAS = (1.0, 1.5, 2.25, 3.4)
"""Of the blob detector, in truth pixels."""

NEAR = 2
"""Pixels within which a blob of the result and one of the truth are one."""

PEAK = 2 / float(np.e)
"""Largest scale-normalised Laplacian of a disc of contrast 1, at a sigma of its radius over root 2 (Lindeberg 1998)."""

FOUND = 0.5
"""Part of that from which on something is a blob; half of it again is trace enough of one in the other picture."""

F32 = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Disc:
    """One disc.

    Attributes
    ----------
    row, col : float
        Centre in truth pixels; pixel 0's own centre is at 0.
    diameter : float
        In truth pixels.
    contrast : float
        In stored units, added.
    level : int
        Place of the contrast among the modality's, 0 the weakest.
    """

    row: float
    col: float
    diameter: float
    contrast: float
    level: int


@dataclasses.dataclass(frozen=True)
class Seen:
    """What became of one disc.

    Attributes
    ----------
    diameter : float
    level : int
    cnr : float
        (mean within - mean of the ring) / standard deviation of the ring, in the result.
    kept : float
        Contrast in the disc's middle over what was put in.
    size : float
        Apparent diameter, where the response exceeds half its peak, over the true one.
    """

    diameter: float
    level: int
    cnr: float
    kept: float
    size: float


@dataclasses.dataclass(frozen=True)
class Finding:
    """The lesion test of one slice and one method; method ``"truth"`` is the truth itself.

    Attributes
    ----------
    scale : int
    modality, degradation, method, subject : str
    seen : tuple of Seen
    false, lost : int
        Blobs of the disc-free result that the truth lacks, and the reverse.
    """

    scale: int
    modality: str
    degradation: str
    method: str
    subject: str
    seen: tuple[Seen, ...]
    false: int
    lost: int


def contrasts_of(modality: str, value_range: tuple[float, float]) -> tuple[float, float]:
    """Return the two contrasts of a modality's discs in stored units."""
    weak, strong = CONTRASTS.get(modality, CONTRASTS_8BIT)
    width = value_range[1] - value_range[0] if modality in ("MR", "PET", "NM") else 1.0
    return weak * width, strong * width


def place(truth: Array, mask: Mask, contrasts: Sequence[float], turn: int = 0) -> list[Disc]:
    """Choose where discs go: the quietest places of the foreground, by the truth alone.

    Parameters
    ----------
    truth : ndarray
        ``[rows, cols]``.
    mask : ndarray of bool
        The foreground.
    contrasts : sequence of float
        From weak to strong; each diameter is put in once with each.
    turn : int
        Which disc comes to the quietest place.

    Returns
    -------
    list of Disc
        Fewer than wanted, or none, where the foreground is too small.
    """
    x = np.asarray(truth, dtype=np.float64)
    side = round(max(DIAMETERS) + 2 * RING[1]) | 1
    mean = uniform_filter(x, side)
    spread = np.sqrt(np.maximum(uniform_filter(x * x, side) - mean * mean, 0))
    free = binary_erosion(mask, np.ones((side, side), dtype=bool))
    wanted = [(d, level) for level in range(len(contrasts)) for d in DIAMETERS]
    rows, cols = np.mgrid[: x.shape[0], : x.shape[1]]
    out: list[Disc] = []
    while free.any() and len(out) < len(wanted):
        row, col = np.unravel_index(int(np.argmin(np.where(free, spread, np.inf))), free.shape)
        free &= np.hypot(rows - row, cols - col) >= APART
        diameter, level = wanted[(len(out) + turn) % len(wanted)]
        # Off the grid by a part of a pixel that differs from disc to disc.
        offset = 0.5 * ((len(out) + turn) % 3) / 3
        out.append(Disc(float(row) + offset, float(col) + offset / 2, diameter, float(contrasts[level]), level))
    return out


def coverage(shape: tuple[int, int], disc: Disc) -> F32:
    """Return the part of each pixel ``[rows, cols]`` that lies within a disc."""
    fine = (np.arange(SUPERSAMPLING) + 0.5) / SUPERSAMPLING - 0.5
    out = np.zeros(shape, dtype=np.float32)
    reach = int(disc.diameter) // 2 + 2
    top, left = round(disc.row) - reach, round(disc.col) - reach
    window = slice(max(top, 0), top + 2 * reach + 1), slice(max(left, 0), left + 2 * reach + 1)
    rows = np.arange(shape[0])[window[0], None] + fine - disc.row
    cols = np.arange(shape[1])[window[1], None] + fine - disc.col
    inside = np.hypot(rows[:, :, None, None], cols[None, None]) <= disc.diameter / 2
    out[window] = inside.mean(axis=(1, 3))
    return out


def insert(truth: Array, discs: Sequence[Disc]) -> Array:
    """Return a truth with discs in it, rounded as its dtype needs."""
    added = sum(((d.contrast * coverage(truth.shape, d)) for d in discs), np.zeros(truth.shape, dtype=np.float32))
    return score.rounded(np.asarray(truth, dtype=np.float32) + added, truth.dtype)


def look(disc: Disc, with_disc: F32, response: F32) -> Seen:
    """Measure one disc.

    Parameters
    ----------
    with_disc : ndarray of float32
        The result ``[rows, cols]`` with all discs.
    response : ndarray of float32
        That less the result without them.
    """
    rows, cols = (np.arange(n) for n in response.shape)
    radius = np.hypot(rows[:, None] - disc.row, cols[None, :] - disc.col)
    half = disc.diameter / 2
    ring = with_disc[(radius >= half + RING[0]) & (radius < half + RING[1])]
    inside = with_disc[radius <= half]
    middle = response[radius <= max(half - 1, 0.75)]
    spread = float(ring.std(dtype=np.float64))
    difference = float(inside.mean(dtype=np.float64) - ring.mean(dtype=np.float64))
    return Seen(
        disc.diameter,
        disc.level,
        difference / spread if spread > 0 else float("nan"),
        float(middle.mean(dtype=np.float64)) / disc.contrast,
        _size(disc, response) / disc.diameter,
    )


def _size(disc: Disc, response: F32) -> float:
    """Return the diameter of a disc with the area in which the response is above half its peak."""
    reach = int(disc.diameter / 2 + RING[1])
    row, col = round(disc.row), round(disc.col)
    window = response[max(row - reach, 0) : row + reach + 1, max(col - reach, 0) : col + reach + 1]
    fine = zoom(window.astype(np.float64) / disc.contrast, ZOOM, order=3, mode="mirror", grid_mode=True)
    peak = float(fine.max())
    return float(2 * np.sqrt((fine > peak / 2).sum() / np.pi) / ZOOM) if peak > 0 else 0.0


def blobs(picture: Array, unit: float) -> F32:
    """Return the blob detector's response, ``[2, rows, cols]``: of bright blobs and of dark ones.

    The largest over :data:`SIGMAS` of the scale-normalised Laplacian of a Gaussian (T. Lindeberg: Feature detection
    with automatic scale selection. Int. J. Computer Vision 30(2), 1998), over what a disc of contrast ``unit`` gives.
    """
    x = np.asarray(picture, dtype=np.float32) / np.float32(unit * PEAK)
    responses = [gaussian_laplace(x, sigma, mode="nearest") * np.float32(sigma**2) for sigma in SIGMAS]
    return np.stack([-np.minimum.reduce(responses), np.maximum.reduce(responses)])


def unmatched(found: F32, known: F32, mask: Mask) -> int:
    """Count blobs of one response that have no trace in another near by.

    Parameters
    ----------
    found, known : ndarray of float32
        From :func:`blobs`.
    mask : ndarray of bool
        ``[rows, cols]``: where blobs count.
    """
    count = 0
    for ours, other in zip(found, known, strict=True):
        peaks = peak_local_max(  # type: ignore[no-untyped-call]
            ours, min_distance=NEAR, threshold_abs=FOUND, exclude_border=False
        )
        trace = maximum_filter(other, 2 * NEAR + 1)
        count += sum(bool(mask[r, c]) and trace[r, c] < FOUND / 2 for r, c in peaks)
    return count


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A slice with its discs, both degraded.

    Attributes
    ----------
    truth : ndarray
        Without discs.
    with_discs : ndarray
    small, small_with_discs : Input
    mask : ndarray of bool
        Foreground without the border that is not scored.
    discs : list of Disc
    unit : float
        The weaker contrast.
    """

    truth: Array
    with_discs: Array
    small: Input
    small_with_discs: Input
    mask: Mask
    discs: list[Disc]
    unit: float

    @classmethod
    def of(
        cls,
        truth: Array,
        small: Input,
        degradation: score.Degradation,
        spacing: Sequence[float] | None,
        value_range: tuple[float, float],
        turn: int = 0,
    ) -> Case:
        """Put discs into a truth whose degraded picture is ``small``."""
        scale = small.scale
        mask = score.foreground(small.modality, truth, value_range)
        border = np.zeros_like(mask)
        score.inner(border, scale)[...] = True
        mask = mask & border
        contrasts = contrasts_of(small.modality, value_range)
        discs = place(truth, mask, contrasts, turn)
        marked = insert(truth, discs)
        pixels = degradation.apply(marked, scale, spacing)
        return cls(truth, marked, small, dataclasses.replace(small, pixels=pixels), mask, discs, contrasts[0])

    @functools.cached_property
    def truth_blobs(self) -> F32:
        return blobs(self.truth, self.unit)

    def test(self, method: Method | None) -> tuple[tuple[Seen, ...], int, int]:
        """Return what becomes of the discs, and how many blobs are false and lost; of the truth itself for None."""
        if method is None:
            plain, marked = self.truth, self.with_discs
        else:
            plain, marked = enlarge(method, self.small)[0], enlarge(method, self.small_with_discs)[0]
        shown = np.asarray(marked, dtype=np.float32)
        response = shown - np.asarray(plain, dtype=np.float32)
        seen = tuple(look(disc, shown, response) for disc in self.discs)
        if method is None:
            return seen, 0, 0
        found = blobs(plain, self.unit)
        return seen, unmatched(found, self.truth_blobs, self.mask), unmatched(self.truth_blobs, found, self.mask)


def examine(case: Case, methods: Sequence[Method]) -> Iterator[tuple[str, tuple[Seen, ...], int, int]]:
    """Yield name, discs, false and lost blobs of the truth and of each method."""
    yield ("truth", *case.test(None))
    for method in methods:
        yield (method.name, *case.test(method))
