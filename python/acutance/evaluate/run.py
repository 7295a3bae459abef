"""Every truth slice of a split, every degradation, every method: measured, shared out to processes."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import degrade
from ..errors import UsageError
from ..geometry import Array
from . import edge, haarpsi, lesions, metrics, scans, score, vif
from .methods import Input, Method, enlarge, usable
from .report import Record

CHUNK = 16
"""Truth slices per task."""

COSTLY_SLICES = 8
"""Truths of a scan, spread evenly, on which the costly scores are taken."""

LESION_SLICES = 2
"""Truths of a scan that the lesion test is made on."""

NOISE = {"CT": 20.0, "MR": 0.02, "PET": 0.02, "NM": 0.02}
"""Standard deviation of the noise whose way through a method is measured: HU for CT, else a part of the range."""

NOISE_8BIT = 3.0
"""Gray levels."""

EDGE_SIDE, EDGE_MARGIN = 192, 24
"""Pixels of the slanted edge, and those along its border that are not measured: k-space repeats beyond it."""

EDGE_LEVELS = {"CT": (-100, 300), "MR": (200, 700), "PET": (200, 700), "NM": (200, 700)}
"""Stored values on both sides of the slanted edge: HU for CT, of a range of 0 to 1000 for MR, PET and NM."""

EDGE_LEVELS_8BIT = (60, 190)

EDGE_SPACING = {"PET": (4.7, 4.7), "NM": (4.7, 4.7)}

F32 = NDArray[np.float32]
Place = TypeVar("Place")


@dataclasses.dataclass(frozen=True)
class Task:
    """Some truth slices of one scan, by their places among its truths.

    Attributes
    ----------
    costly, lesions : frozenset of int
        Those of the places with the costly scores, and with the lesion test.
    noise : bool
        Whether the rows with noise are measured too.
    """

    scan: scans.Scan
    methods: tuple[Method, ...]
    scale: int
    places: tuple[int, ...]
    costly: frozenset[int] = frozenset()
    lesions: frozenset[int] = frozenset()
    noise: bool = True


def plan(
    data: Path, split: str, modality: str, methods: Sequence[Method], scale: int, limit: int = 0, noise: bool = True
) -> list[Task]:
    """Cut a modality's truths into tasks.

    Parameters
    ----------
    limit : int
        Take at most so many truths of each scan, spread evenly; 0 takes all, which the protocol wants.
    noise : bool
        As of :class:`Task`.
    """
    found = tuple(usable(methods, modality, scale))
    out = []
    for scan in scans.find(data, split, modality):
        series = scans.load(scan)
        if series is None:
            continue
        places = spread(range(len(series.truths(scale))), limit)
        costly, marked = frozenset(spread(places, COSTLY_SLICES)), frozenset(spread(places, LESION_SLICES))
        for k in range(0, len(places), CHUNK):
            part = tuple(places[k : k + CHUNK])
            out.append(Task(scan, found, scale, part, costly.intersection(part), marked.intersection(part), noise))
    return out


def spread(places: Sequence[Place], limit: int) -> list[Place]:
    """Return at most ``limit`` of the places, spread evenly; all of them for 0."""
    count = len(places)
    if not limit or count <= limit:
        return list(places)
    return [places[(2 * k + 1) * count // (2 * limit)] for k in range(limit)]


Measured = tuple[list[Record], list[lesions.Finding]]


def run(tasks: Sequence[Task], jobs: int, done: Callable[[int], None] = lambda _: None) -> Measured:
    """Measure all tasks, in this process for one job.

    Parameters
    ----------
    jobs : int
        Processes.
    done : callable
        Told how many slices were just finished.
    """
    records: list[Record] = []
    findings: list[lesions.Finding] = []
    with _mapper(min(jobs, len(tasks))) as each:
        for task, (found, seen) in zip(tasks, each(tasks), strict=True):
            records += found
            findings += seen
            done(len(task.places))
    return records, findings


@contextlib.contextmanager
def _mapper(jobs: int) -> Iterator[Callable[[Sequence[Task]], Iterator[Measured]]]:
    if jobs <= 1:
        yield lambda tasks: map(measure_task, tasks)
        return
    # Spawned, not forked: ONNX Runtime's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(jobs, mp_context=context) as pool:
        yield lambda tasks: pool.map(measure_task, tasks)


def default_jobs() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def measure_task(task: Task) -> Measured:
    """Degrade, enlarge and measure the slices of a task."""
    series = _series(task.scan)
    modality, subject, scale = task.scan.modality, task.scan.subject, task.scale
    records, findings = [], []
    rows = score.degradations_of(modality)
    for degradation in (*rows, *(score.noise_rows_of(modality) if task.noise else ())):
        for place in task.places:
            index, truth = _truths(task.scan, scale)[place]
            picture = _input(task.scan, degradation, scale, index)
            clean = degradation if degradation in rows else None
            costly = Costly(clean, series.spacing, degradation == rows[0]) if place in task.costly else None
            name = f"{task.scan.path.name}#{index:04d}"
            for method, scores, fell_back in measure(truth, picture, series.value_range, task.methods, costly):
                records.append(Record(modality, degradation.name, method.name, subject, name, scores, fell_back, scale))
    shown = score.shown(modality)
    for place in sorted(task.lesions):
        index, truth = _truths(task.scan, scale)[place]
        small = _input(task.scan, shown, scale, index)
        case = lesions.Case.of(truth, small, shown, series.spacing, series.value_range, turn=place)
        for name, seen, false, lost in lesions.examine(case, task.methods):
            findings.append(lesions.Finding(scale, modality, shown.name, name, subject, seen, false, lost))
    return records, findings


def _input(scan: scans.Scan, degradation: score.Degradation, scale: int, index: int) -> Input:
    """Return the degraded picture of a scan's slice."""
    spacing = _series(scan).spacing
    pictures, value_range = degraded(scan, degradation, scale)
    enlarged = None if spacing is None else (spacing[0] * scale, spacing[1] * scale)
    return Input(pictures[index], scan.modality, scale, enlarged, value_range)


@functools.lru_cache(maxsize=1)
def _series(scan: scans.Scan) -> scans.Series:
    found = scans.load(scan)
    if found is None:
        raise UsageError(f"{scan.path} is no scan of the protocol")
    return found


@functools.lru_cache(maxsize=1)
def _truths(scan: scans.Scan, scale: int) -> list[tuple[int, Array]]:
    return _series(scan).truths(scale)


@functools.lru_cache(maxsize=8)
def degraded(
    scan: scans.Scan, degradation: score.Degradation, scale: int
) -> tuple[dict[int, Array], tuple[float, float] | None]:
    """Return a scan's inputs by slice number, and the robust range of that series where the modality's is not fixed.

    The range is what a user's reader would find: that of the degraded series, the slices that are not scored included.
    """
    series = _series(scan)
    if scan.modality in ("MR", "PET", "NM"):
        cut = [degrade.crop(s, scale) for s in series.slices]
        pictures = {i: degradation.apply(s, scale, series.spacing, series.value_range) for i, s in enumerate(cut)}
        low, high = np.percentile(np.concatenate([p.ravel() for p in pictures.values()]), (0.1, 99.9))
        return pictures, (float(low), float(high))
    truths = _truths(scan, scale)
    return {i: degradation.apply(t, scale, series.spacing, series.value_range) for i, t in truths}, None


@dataclasses.dataclass(frozen=True)
class Costly:
    """What the costly scores of a slice need to know.

    Attributes
    ----------
    degradation : score.Degradation or None
        What made the input of the truth; None where noise was added, which no degradation repeats.
    spacing : (float, float) or None
        Of the truth in mm.
    noise : bool
        Whether the way of noise is measured, which enlarges the picture a second time.
    """

    degradation: score.Degradation | None
    spacing: tuple[float, float] | None
    noise: bool


class _Scorer:
    """One picture's truth, prepared to be compared with results."""

    def __init__(self, truth: Array, picture: Input, value_range: tuple[float, float], costly: Costly | None) -> None:
        scale = picture.scale
        self.picture, self.value_range, self.costly = picture, value_range, costly
        self.low, self.peak = value_range[0], value_range[1] - value_range[0]
        mask = score.inner(score.foreground(picture.modality, truth, value_range), scale)
        self.part = None if mask.all() else mask
        self.inner = self.cut(truth)
        self.haar = haarpsi.decompose(self.gray(self.inner))
        self.fine = metrics.fine_energy(self.inner, scale)
        self.vif = None if costly is None or min(mask.shape) < vif.SMALLEST else vif.decompose(self.gray(self.inner))
        self.noisy = noisy(picture, value_range) if costly is not None and costly.noise else None

    def cut(self, picture: Array) -> F32:
        return np.ascontiguousarray(score.inner(picture, self.picture.scale), dtype=np.float32)

    def gray(self, picture: F32) -> F32:
        """Return values in 0 to 255."""
        return np.asarray((picture - np.float32(self.low)) * np.float32(255 / self.peak))

    def scores(self, method: Method) -> tuple[dict[str, float], str | None]:
        """Return the scores of a method, and why it gave its base instead."""
        scale, part = self.picture.scale, self.part
        result, fell_back = enlarge(method, self.picture)
        found = self.cut(result)
        haar = haarpsi.decompose(self.gray(found))
        ssim, ssim_fg = metrics.ssim(self.inner, found, self.peak, part)
        out = {
            "psnr": score.psnr(self.inner, found, self.peak),
            "ssim": ssim,
            "haarpsi": haarpsi.similarity(self.haar, haar),
            "fine_energy": metrics.fine_energy(found, scale) / self.fine if self.fine > 0 else float("nan"),
            "level": float((found if part is None else found[part]).mean(dtype=np.float64))
            * score.CT_WIDTH
            / self.peak,
            "block_error": metrics.block_error(result, self.picture.pixels, scale),
        }
        out["psnr_fg"] = out["psnr"] if part is None else score.psnr(self.inner, found, self.peak, part)
        out["ssim_fg"] = ssim if part is None else ssim_fg
        out["haarpsi_fg"] = out["haarpsi"] if part is None else haarpsi.similarity(self.haar, haar, part)
        return out | self._costly(method, result, found), fell_back

    def _costly(self, method: Method, result: Array, found: F32) -> dict[str, float]:
        out = dict.fromkeys(("vif", "consistency", "noise_power"), float("nan"))
        if self.vif is not None:
            out["vif"] = vif.fidelity(self.vif, vif.decompose(self.gray(found)))
        if self.costly is not None and self.costly.degradation is not None:
            error = metrics.consistency(
                result, self.picture.pixels, self.costly.degradation, self.picture.scale, self.costly.spacing
            )
            out["consistency"] = error * score.in_unit(self.picture.modality, self.value_range)
        if self.noisy is not None:
            way = self.cut(enlarge(method, self.noisy)[0]) - found
            added = self.noisy.pixels.astype(np.float32) - self.picture.pixels.astype(np.float32)
            out["noise_power"] = metrics.power(way, self.part) / metrics.power(added)
        return out


def noisy(picture: Input, value_range: tuple[float, float]) -> Input:
    """Return a picture with white Gaussian noise, the same whenever it is asked for, rounded as its dtype needs."""
    sigma = NOISE.get(picture.modality, NOISE_8BIT)
    if picture.modality in ("MR", "PET", "NM"):
        sigma *= value_range[1] - value_range[0]
    noise = np.random.default_rng(0).standard_normal(picture.pixels.shape, dtype=np.float32) * np.float32(sigma)
    pixels = score.rounded(picture.pixels.astype(np.float32) + noise, picture.pixels.dtype)
    return dataclasses.replace(picture, pixels=pixels)


def measure(
    truth: Array,
    picture: Input,
    value_range: tuple[float, float],
    methods: Sequence[Method],
    costly: Costly | None = None,
) -> Iterator[tuple[Method, dict[str, float], str | None]]:
    """Enlarge one picture by each method and score it against the truth; yields method, scores and ``fell_back``.

    Parameters
    ----------
    costly : Costly, optional
        With it ``vif``, ``consistency`` and ``noise_power`` are taken too; else they are NaN.
    """
    scorer = _Scorer(truth, picture, value_range, costly)
    for method in methods:
        yield (method, *scorer.scores(method))


def edges(modality: str, methods: Sequence[Method], scale: int) -> dict[tuple[int, str, str, str], dict[str, float]]:
    """Measure a slanted edge that was degraded and enlarged.

    By (scale, modality, degradation, method): ``mtf50`` in cycles per output pixel and ``overshoot`` as a part of the
    step, the means over an edge near the columns and one near the rows. The sharp edge itself has 0.60, that of a pixel
    as large as an output pixel, and no overshoot.
    """
    levels = EDGE_LEVELS.get(modality, EDGE_LEVELS_8BIT)
    dtype = np.dtype(np.int16 if modality in EDGE_LEVELS else np.uint8)
    side = EDGE_SIDE // scale * scale
    upright = score.rounded(edge.phantom(side, *levels), dtype)
    spacing = EDGE_SPACING.get(modality, (0.8, 0.8))
    out = {}
    for degradation in score.degradations_of(modality):
        for method in usable(methods, modality, scale):
            seen = []
            for turned in (False, True):
                truth = np.ascontiguousarray(upright.T if turned else upright)
                picture = Input(
                    degradation.apply(truth, scale, spacing),
                    modality,
                    scale,
                    (spacing[0] * scale, spacing[1] * scale),
                    (0.0, 1000.0) if modality in ("MR", "PET", "NM") else None,
                )
                result = enlarge(method, picture)[0][EDGE_MARGIN:-EDGE_MARGIN, EDGE_MARGIN:-EDGE_MARGIN]
                seen.append(result.T if turned else result)
            out[scale, modality, degradation.name, method.name] = {
                "mtf50": float(np.mean([edge.mtf50(x) for x in seen])),
                "overshoot": float(np.mean([edge.overshoot(x) for x in seen])),
            }
    return out
