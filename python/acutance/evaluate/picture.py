"""One PNG per modality: crops of truth slices beside what each method made of them, and their errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, binary_fill_holes, gaussian_filter, label, uniform_filter

from ..geometry import Array
from . import scans, score
from .methods import Input, Method, enlarge
from .run import degraded
from .table import TITLES

matplotlib.use("Agg")

from matplotlib import patches, pyplot
from matplotlib.layout_engine import ConstrainedLayoutEngine

SIDE = 80
"""Rows and columns of a crop, in truth pixels; less in slices of less than twice that."""

SAMPLES = 2
"""Crops per modality, of different subjects."""

ERROR_PERCENTILE = 99.5

MOST_DETAIL = 0.05
"""Part of the data range beyond which structure counts no more, so that one bright edge does not decide."""

SKIN = 8
"""Pixels along the edge of the foreground in which no structure counts."""

F32 = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """One place worth a look.

    Attributes
    ----------
    scan : scans.Scan
    truth : ndarray
        The whole slice, ``[rows, cols]``.
    corner : (int, int)
        First row and column of the crop.
    detail : float
        How much fine structure the crop has.
    """

    scan: scans.Scan
    series: scans.Series
    truth: Array
    corner: tuple[int, int]
    detail: float


def best_rival(report: Mapping[str, Any], scale: int, modality: str, degradation: str) -> str | None:
    """Return the rival with the highest mean PSNR at a scale, cubic not counted, which is shown anyway."""
    found = [
        (row["scores"]["psnr"]["mean"], row["method"])
        for row in report["rows"]
        if (row["scale"], row["modality"]) == (scale, modality)
        and row["degradation"] == degradation
        and row["kind"] == "rival"
        and row["method"] != "cubic"
    ]
    return max(found)[1] if found else None


def samples(data: Path, split: str, modality: str, scale: int, count: int = SAMPLES) -> list[Sample]:
    """Choose crops with much fine structure, by the truth alone: no method has a say.

    Of each scan the middle truth slice is searched for the window whose structure between Gaussians of 1 and 3 pixels
    has the largest mean magnitude; the ``count`` subjects with the largest are taken. The outer fifth of pictures that
    are no volumes, where text is burnt in, is left out.
    """
    best: dict[str, Sample] = {}
    for scan in scans.find(data, split, modality):
        series = scans.load(scan)
        truths = series.truths(scale) if series is not None else []
        if series is None or not truths:
            continue
        found = _sample(scan, series, truths[len(truths) // 2][1], scale)
        if scan.subject not in best or found.detail > best[scan.subject].detail:
            best[scan.subject] = found
    ranked = sorted(best.values(), key=lambda s: (-s.detail, s.scan.subject))
    return ranked[:count]


def _sample(scan: scans.Scan, series: scans.Series, truth: Array, scale: int) -> Sample:
    low, high = series.value_range
    x = np.asarray(truth, dtype=np.float32)
    band = gaussian_filter(x, 1.0) - gaussian_filter(x, 3.0)  # finer than organs, coarser than noise
    fine = np.minimum(np.abs(band) / np.float32(high - low), np.float32(MOST_DETAIL))
    fine *= _inside(score.foreground(scan.modality, truth, series.value_range))
    side = _side(truth, scale)
    mean = uniform_filter(fine, side, mode="constant")
    rim = [2 * scale if series.spacing else min(max(2 * scale, n // 5), (n - side) // 2) for n in truth.shape]
    rows, cols = (slice(r + side // 2, n - r - side // 2 + 1) for r, n in zip(rim, truth.shape, strict=True))
    row, col = np.unravel_index(int(np.argmax(mean[rows, cols])), mean[rows, cols].shape)
    corner = (int(row) + rim[0]) // scale * scale, (int(col) + rim[1]) // scale * scale
    return Sample(scan, series, truth, corner, float(mean[rows, cols].max()))


def _side(truth: Array, scale: int) -> int:
    smallest: int = min(truth.shape)
    return min(SIDE, smallest // 2) // (2 * scale) * (2 * scale)


def _inside(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the inside of the largest piece of a foreground, without its skin: no couch, no edge against air."""
    if mask.all():
        return mask
    pieces, count = label(mask)
    if count == 0:
        return mask
    largest = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    inside: NDArray[np.bool_] = binary_erosion(binary_fill_holes(largest), iterations=SKIN)
    return inside


def draw(
    path: Path,
    modality: str,
    chosen: Sequence[Sample],
    shown: Sequence[tuple[str, Method]],
    scale: int,
) -> None:
    """Draw the crops of a modality.

    Parameters
    ----------
    path : Path
        The PNG to write.
    shown : sequence of (str, Method)
        Title and method of each column, between the input and the truth.
    """
    degradation = score.shown(modality)
    columns = len(shown) + 3
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, hspace=0, wspace=0, rect=(0, 0, 1, 0.985))
    figure = pyplot.figure(figsize=(2.1 * columns + 0.8, 4.75 * len(chosen) + 0.6), layout=layout)
    grid = figure.add_gridspec(2 * len(chosen), columns, width_ratios=[1.4, *[1.0] * (columns - 1)])
    views = [_View.of(sample, shown, degradation, scale) for sample in chosen]
    limit = max(max(float(np.percentile(np.abs(e), ERROR_PERCENTILE)) for v in views for e in v.errors), 1e-6)
    for k, view in enumerate(views):
        _draw_whole(figure.add_subplot(grid[2 * k : 2 * k + 2, 0]), view)
        _draw_crops(figure, grid[2 * k, 1:], view, [title for title, _ in shown])
        _draw_errors(figure, grid[2 * k + 1, 1:], view, limit, score.unit(modality))
    figure.suptitle(f"{TITLES.get(modality, modality)}, degraded by {degradation.name}, scale {scale}", fontsize=12)
    figure.savefig(path, dpi=100, metadata={"Software": "acutance evaluate"})
    pyplot.close(figure)


@dataclasses.dataclass(frozen=True, eq=False)
class _View:
    """What one sample shows: the crop of input, results and truth, and the results' errors in a modality's unit."""

    sample: Sample
    side: int
    small: Array
    results: list[F32]
    errors: list[F32]
    truth: F32
    psnr: list[float]

    @classmethod
    def of(
        cls, sample: Sample, shown: Sequence[tuple[str, Method]], degradation: score.Degradation, scale: int
    ) -> _View:
        side = _side(sample.truth, scale)
        window = tuple(slice(c, c + side) for c in sample.corner)
        picture = _input(sample, degradation, scale)
        results = [np.asarray(enlarge(method, picture)[0][window], dtype=np.float32) for _, method in shown]
        truth = np.asarray(sample.truth[window], dtype=np.float32)
        peak = sample.series.value_range[1] - sample.series.value_range[0]
        unit = np.float32(score.in_unit(sample.scan.modality, sample.series.value_range))
        small = picture.pixels[tuple(slice(c // scale, (c + side) // scale) for c in sample.corner)]
        ratios = [score.psnr(truth, r, peak) for r in results]
        return cls(sample, side, small, results, [(r - truth) * unit for r in results], truth, ratios)

    def turn(self, pixels: Array) -> Array:
        """Put the head or the front up: slices of volumes have the axis that goes there as their columns."""
        if self.up is None:
            return pixels
        return np.rot90(pixels) if self.up else pixels.T

    def turn_corner(self) -> tuple[int, int]:
        """Return row and column of the crop's first pixel as :meth:`turn` shows it."""
        top, left = self.sample.corner
        if self.up is None:
            return top, left
        return (self.sample.truth.shape[1] - left - self.side if self.up else left), top

    @property
    def up(self) -> bool | None:
        """Whether columns count towards the head or the front; None for pictures, which lie as they should."""
        path = self.sample.scan.path
        if not path.name.endswith(".nii.gz"):
            return None
        image: Any = nibabel.load(path)
        axis = score.acquisition_axis(image.shape, [float(z) for z in image.header.get_zooms()])
        along: Array = np.asarray(image.affine)[:3, 1 if axis == 2 else 2]
        return bool(along[np.argmax(np.abs(along))] > 0)


def _show(axis: Any, pixels: Array, low: float, high: float, cmap: str = "gray") -> Any:
    axis.axis("off")
    return axis.imshow(pixels, cmap=cmap, vmin=low, vmax=high, interpolation="nearest")


def _draw_crops(figure: Any, place: Any, view: _View, titles: Sequence[str]) -> None:
    low, high = (float(x) for x in np.percentile(view.truth, (0.5, 99.5)))
    names = [f"{title}\n{db:.2f} dB" for title, db in zip(titles, view.psnr, strict=True)]
    cells = place.subgridspec(1, len(names) + 2)
    for k, (name, pixels) in enumerate(
        zip(["input", *names, "truth"], [view.small, *view.results, view.truth], strict=True)
    ):
        axis = figure.add_subplot(cells[k])
        axis.set_title(name, fontsize=9)
        _show(axis, view.turn(pixels), low, high)


def _draw_errors(figure: Any, place: Any, view: _View, limit: float, unit: str) -> None:
    cells = place.subgridspec(1, len(view.errors) + 2)
    for k, error in enumerate(view.errors):
        image = _show(figure.add_subplot(cells[k + 1]), view.turn(error), -limit, limit, "RdBu_r")
    last = figure.add_subplot(cells[-1])
    last.axis("off")
    bar = figure.colorbar(image, cax=last.inset_axes((0.08, 0.05, 0.1, 0.9)))
    bar.set_label(f"result - truth ({unit})", fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _draw_whole(axis: Any, view: _View) -> None:
    truth = np.asarray(view.sample.truth, dtype=np.float32)
    low, high = (float(x) for x in np.percentile(truth, (1, 99.5)))
    top, left = view.turn_corner()
    _show(axis, view.turn(truth), low, high)
    box = patches.Rectangle((left - 0.5, top - 0.5), view.side, view.side, fill=False, edgecolor="#ffcc00", linewidth=1)
    axis.add_patch(box)
    axis.set_title(view.sample.scan.path.name.removesuffix(".nii.gz"), fontsize=8)


def _input(sample: Sample, degradation: score.Degradation, scale: int) -> Input:
    series = sample.series
    _, value_range = degraded(sample.scan, degradation, scale)
    spacing = None if series.spacing is None else (series.spacing[0] * scale, series.spacing[1] * scale)
    return Input(
        degradation.apply(sample.truth, scale, series.spacing), sample.scan.modality, scale, spacing, value_range
    )
