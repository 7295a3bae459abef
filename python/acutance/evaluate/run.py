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

import numpy as np
from numpy.typing import NDArray

from .. import degrade
from ..errors import UsageError
from ..geometry import Array
from . import edge, haarpsi, metrics, scans, score
from .methods import Input, Method, enlarge, usable
from .report import Record

CHUNK = 16
"""Truth slices per task."""

EDGE_SIDE, EDGE_MARGIN = 192, 24
"""Pixels of the slanted edge, and those along its border that are not measured: k-space repeats beyond it."""

EDGE_LEVELS = {"CT": (-100, 300), "MR": (200, 700), "PET": (200, 700), "NM": (200, 700)}
"""Stored values on both sides of the slanted edge: HU for CT, of a range of 0 to 1000 for MR, PET and NM."""

EDGE_LEVELS_8BIT = (60, 190)

EDGE_SPACING = {"PET": (4.7, 4.7), "NM": (4.7, 4.7)}

F32 = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Task:
    """Some truth slices of one scan, by their places among its truths."""

    scan: scans.Scan
    methods: tuple[Method, ...]
    scale: int
    places: tuple[int, ...]


def plan(data: Path, split: str, modality: str, methods: Sequence[Method], scale: int, limit: int = 0) -> list[Task]:
    """Cut a modality's truths into tasks.

    Parameters
    ----------
    limit : int
        Take at most so many truths of each scan, spread evenly; 0 takes all, which the protocol wants.
    """
    found = tuple(usable(methods, modality, scale))
    out = []
    for scan in scans.find(data, split, modality):
        series = scans.load(scan)
        if series is None:
            continue
        count = len(series.truths(scale))
        places = list(range(count))
        if limit and count > limit:
            places = [(2 * k + 1) * count // (2 * limit) for k in range(limit)]
        out += [Task(scan, found, scale, tuple(places[k : k + CHUNK])) for k in range(0, len(places), CHUNK)]
    return out


def run(tasks: Sequence[Task], jobs: int, done: Callable[[int], None] = lambda _: None) -> list[Record]:
    """Measure all tasks, in this process for one job.

    Parameters
    ----------
    jobs : int
        Processes.
    done : callable
        Told how many slices were just finished.
    """
    out: list[Record] = []
    with _mapper(min(jobs, len(tasks))) as each:
        for task, records in zip(tasks, each(tasks), strict=True):
            out += records
            done(len(task.places))
    return out


@contextlib.contextmanager
def _mapper(jobs: int) -> Iterator[Callable[[Sequence[Task]], Iterator[list[Record]]]]:
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


def measure_task(task: Task) -> list[Record]:
    """Degrade, enlarge and measure the slices of a task."""
    series = _series(task.scan)
    modality, scale, spacing = task.scan.modality, task.scale, series.spacing
    out = []
    for degradation in score.degradations_of(modality):
        pictures, value_range = degraded(task.scan, degradation, scale)
        for place in task.places:
            index, truth = _truths(task.scan, scale)[place]
            picture = Input(
                pictures[index],
                modality,
                scale,
                None if spacing is None else (spacing[0] * scale, spacing[1] * scale),
                value_range,
            )
            subject, name = task.scan.subject, f"{task.scan.path.name}#{index:04d}"
            for method, scores, fell_back in measure(truth, picture, series.value_range, task.methods):
                out.append(Record(modality, degradation.name, method.name, subject, name, scores, fell_back))
    return out


@functools.lru_cache(maxsize=1)
def _series(scan: scans.Scan) -> scans.Series:
    found = scans.load(scan)
    if found is None:
        raise UsageError(f"{scan.path} is no scan of the protocol")
    return found


@functools.lru_cache(maxsize=1)
def _truths(scan: scans.Scan, scale: int) -> list[tuple[int, Array]]:
    return _series(scan).truths(scale)


@functools.lru_cache(maxsize=4)
def degraded(
    scan: scans.Scan, degradation: score.Degradation, scale: int
) -> tuple[dict[int, Array], tuple[float, float] | None]:
    """Return a scan's inputs by slice number, and the robust range of that series where the modality's is not fixed.

    The range is what a user's reader would find: that of the degraded series, the slices that are not scored included.
    """
    series = _series(scan)
    if scan.modality in ("MR", "PET", "NM"):
        cut = [degrade.crop(s, scale) for s in series.slices]
        pictures = dict(enumerate(degradation.apply(s, scale, series.spacing) for s in cut))
        low, high = np.percentile(np.concatenate([p.ravel() for p in pictures.values()]), (0.1, 99.9))
        return pictures, (float(low), float(high))
    return {i: degradation.apply(t, scale, series.spacing) for i, t in _truths(scan, scale)}, None


def measure(
    truth: Array, picture: Input, value_range: tuple[float, float], methods: Sequence[Method]
) -> Iterator[tuple[Method, dict[str, float], str | None]]:
    """Enlarge one picture by each method and score it against the truth; yields method, scores and ``fell_back``."""
    scale = picture.scale
    low, peak = value_range[0], value_range[1] - value_range[0]
    mask = score.inner(score.foreground(picture.modality, truth, value_range), scale)
    inner = np.ascontiguousarray(score.inner(truth, scale), dtype=np.float32)
    haar = haarpsi.decompose((inner - np.float32(low)) * np.float32(255 / peak))
    fine = metrics.fine_energy(inner, scale)
    part = None if mask.all() else mask
    for method in methods:
        result, fell_back = enlarge(method, picture)
        found = np.ascontiguousarray(score.inner(result, scale), dtype=np.float32)
        found_haar = haarpsi.decompose((found - np.float32(low)) * np.float32(255 / peak))
        ssim, ssim_fg = metrics.ssim(inner, found, peak, part)
        scores = {
            "psnr": score.psnr(inner, found, peak),
            "ssim": ssim,
            "haarpsi": haarpsi.similarity(haar, found_haar),
            "fine_energy": metrics.fine_energy(found, scale) / fine if fine > 0 else float("nan"),
            "block_error": metrics.block_error(result, picture.pixels, scale),
        }
        scores["psnr_fg"] = scores["psnr"] if part is None else score.psnr(inner, found, peak, part)
        scores["ssim_fg"] = ssim if part is None else ssim_fg
        scores["haarpsi_fg"] = scores["haarpsi"] if part is None else haarpsi.similarity(haar, found_haar, part)
        yield method, scores, fell_back


def edges(modality: str, methods: Sequence[Method], scale: int) -> dict[tuple[str, str, str], float]:
    """Measure MTF50 of a slanted edge that was degraded and enlarged.

    The mean over an edge near the columns and one near the rows, in cycles per output pixel, by (modality,
    degradation, method). The sharp edge itself has 0.60, that of a pixel as large as an output pixel.
    """
    levels = EDGE_LEVELS.get(modality, EDGE_LEVELS_8BIT)
    dtype = np.dtype(np.int16 if modality in EDGE_LEVELS else np.uint8)
    side = EDGE_SIDE // scale * scale
    upright = score.rounded(edge.phantom(side, *levels), dtype)
    spacing = EDGE_SPACING.get(modality, (0.8, 0.8))
    out = {}
    for degradation in score.degradations_of(modality):
        for method in usable(methods, modality, scale):
            found = []
            for turned in (False, True):
                truth = np.ascontiguousarray(upright.T if turned else upright)
                picture = Input(
                    degradation.apply(truth, scale, spacing),
                    modality,
                    scale,
                    (spacing[0] * scale, spacing[1] * scale),
                    (0.0, 1000.0) if modality in ("MR", "PET", "NM") else None,
                )
                result, _ = enlarge(method, picture)
                seen = result[EDGE_MARGIN:-EDGE_MARGIN, EDGE_MARGIN:-EDGE_MARGIN]
                found.append(edge.mtf50(seen.T if turned else seen))
            out[modality, degradation.name, method.name] = float(np.mean(found))
    return out
