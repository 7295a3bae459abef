"""``python -m acutance.evaluate.volume DATA -o volume.json``: thick slices made thin, against interpolation.

The slices of a CT or MR volume are made thick (:func:`acutance.degrade.thick_slices`), rounded as a scanner stores
them, and brought back to the truth's slices by each method. Scored is the PSNR over the foreground of the protocol, the
range the same, without the slices within one thick slice of the ends; a mean for each subject, then over subjects.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import degrade, io, volume
from ..cli.ending import end
from ..enhancer import Enhancer
from ..errors import UsageError
from ..files import nifti
from ..geometry import SCALES, Array
from ..volume import along
from . import scans, score, statistics
from .section import give

MODALITIES = ("CT", "MR")
LEAST = 24
"""Slices of a volume that is scored."""

SIDE = 128
"""Rows and columns about the middle that are scored, so that a run takes minutes."""

METHODS = ("linear", "cubic", "spline", "cubic, means put right", "network")


@dataclasses.dataclass(frozen=True)
class Thick:
    """A way to make slices thick: ``ratio`` truth slices apart and ``width`` wide."""

    ratio: float
    width: float

    @property
    def name(self) -> str:
        kind = "" if self.width == self.ratio else ", gap" if self.width < self.ratio else ", overlap"
        return f"{self.ratio:g} apart, {self.width:g} thick{kind}"


KINDS = (Thick(2, 2), Thick(3.3, 3.3), Thick(4, 4), Thick(4, 3), Thick(3, 4.5))


@dataclasses.dataclass(frozen=True, eq=False)
class Truth:
    """A volume as it was measured.

    Attributes
    ----------
    subject, modality : str
    voxels : ndarray
        ``[slices, rows, cols]`` as stored.
    distance : float
        Between slices, mm.
    spacing : (float, float)
    value_range : (float, float)
    """

    subject: str
    modality: str
    voxels: Array
    distance: float
    spacing: tuple[float, float]
    value_range: tuple[float, float]


def load(scan: scans.Scan, side: int = SIDE) -> Truth | None:
    """Read a volume, its middle ``side`` rows and columns; None where it has too few slices or is 8-bit CT."""
    if not scan.path.name.endswith((".nii", ".nii.gz")):
        return None
    frames = io.read(scan.path, scan.modality)
    first = frames[0]
    if len(frames) < LEAST or first.spacing is None or first.source is None:
        return None
    distance = nifti.distance(first.source.header)
    if distance is None or (scan.modality == "CT" and first.pixels.dtype != np.int16):
        return None
    pixels = [f.pixels for f in frames]
    top, left = (max((n - side) // 2, 0) for n in first.pixels.shape)
    voxels = np.stack([p[top : top + side, left : left + side] for p in pixels])
    span = score.data_range(scan.modality, pixels)
    return Truth(scan.subject, scan.modality, voxels, distance, first.spacing, span)


def measure(truth: Truth, kind: Thick, enhancers: Mapping[int, Enhancer]) -> dict[str, Any]:
    """Return the score of each method in dB, and how far the network's slices average from the thick ones.

    Returns
    -------
    dict
        ``scores`` by method, ``deviation`` (largest and root mean square, in stored units), ``model``.
    """
    thick = score.rounded(degrade.thick_slices(truth.voxels, kind.ratio, kind.width), truth.voxels.dtype)
    places = ((np.arange(len(thick), dtype=np.float64) + 0.5) * kind.ratio - 0.5) * truth.distance
    stack = volume.Stack(
        thick.astype(np.float32),
        places,
        kind.width * truth.distance,
        truth.spacing,
        truth.modality,
        _range(thick),
    )
    grid = volume.plan(places, stack.thickness, truth.distance)
    free = volume.isotropic(stack, grid, {2: Enhancer("base")})
    made = volume.isotropic(stack, grid, enhancers)
    results = {
        "linear": _linear(stack, grid),
        "cubic": along.apply(along.cubic(places, grid.targets), stack.voxels),
        "spline": _spline(stack, grid),
        "cubic, means put right": free.voxels,
        "network": made.voxels,
    }
    count, rim = min(grid.count, len(truth.voxels)), int(np.ceil(kind.ratio))
    seen = slice(rim, count - rim)
    shown = np.stack([score.foreground(truth.modality, s, truth.value_range) for s in truth.voxels[seen]])
    peak = 4095.0 if truth.modality == "CT" else truth.value_range[1] - truth.value_range[0]
    dtype = truth.voxels.dtype
    scores = {
        name: score.psnr(truth.voxels[seen], score.rounded(voxels[seen], dtype), peak, shown)
        for name, voxels in results.items()
    }
    said = volume.derivation(stack, grid, enhancers)
    return {"scores": scores, "deviation": list(made.deviation), "model": said.model}


def _range(thick: Array) -> tuple[float, float]:
    low, high = np.percentile(thick, (0.1, 99.9))
    return float(low), float(high)


def _linear(stack: volume.Stack, grid: volume.Grid) -> along.F32:
    weights = [np.interp(grid.targets, stack.places, unit) for unit in np.eye(len(stack.places))]
    return along.apply(np.stack(weights, axis=1), stack.voxels)


def _spline(stack: volume.Stack, grid: volume.Grid) -> along.F32:
    """Return the cubic spline through the slices (not-a-knot)."""
    from scipy.interpolate import make_interp_spline

    within = np.clip(grid.targets, stack.places[0], stack.places[-1])
    return np.asarray(make_interp_spline(stack.places, stack.voxels, 3)(within), np.float32)


def report(
    data: Path, split: str, model: str = "auto", side: int = SIDE, tell: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Score every volume of a split, and return what :func:`acutance.evaluate.section.read` reads.

    Raises
    ------
    UsageError
        The split has no volume that can be scored.
    """
    found = {m: [(s.path.name, load(s, side)) for s in scans.find(data, split, m)] for m in MODALITIES}
    truths = [(name, t) for listed in found.values() for name, t in listed if t is not None]
    if not truths:
        raise UsageError(f"{data} has no {split} volume of {LEAST} slices of {' or '.join(MODALITIES)}")
    enhancers = {s: Enhancer(model, "onnxruntime", scale=s, threads=1) for s in _scales(model)}
    rows = []
    for name, truth in truths:
        for kind in KINDS:
            row = measure(truth, kind, enhancers)
            rows.append({"scan": name, "subject": truth.subject, "modality": truth.modality, "kind": kind.name, **row})
            tell(f"{name}: {kind.name}: " + ", ".join(f"{k} {v:.2f}" for k, v in row["scores"].items()))
    return {
        "title": "Thick slices made thin",
        "text": _text(split, side),
        "heads": [
            "modality",
            "slices",
            "subjects",
            "model",
            *METHODS,
            "over the best interpolation",
            "means differ by",
        ],
        "lines": _lines(rows),
        "rows": rows,
    }


def _scales(model: str) -> Sequence[int]:
    if model in ("auto", "base"):
        return SCALES
    return (Enhancer(model).scale,)


def _text(split: str, side: int) -> str:
    return (
        f"`acutance enhance --isotropic` on the {split} split, the middle {side} x {side} pixels of each volume of at "
        f"least {LEAST} slices; distances and thickness in slices of the truth. PSNR over the foreground in dB, mean "
        "over subjects; beside it the paired gain over the best of linear, cubic and spline interpolation, with its "
        "95 % interval over subjects where there are two or more, and the largest difference between a thick slice and "
        "the mean of the new ones over its profile (real values, before rounding)."
    )


def _lines(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    lines = []
    for modality in MODALITIES:
        for kind in KINDS:
            some = [r for r in rows if r["modality"] == modality and r["kind"] == kind.name]
            if not some:
                continue
            by = {m: statistics.per_subject([(r["subject"], r["scores"][m]) for r in some]) for m in METHODS}
            means = {m: float(np.mean(list(by[m].values()))) for m in METHODS}
            best = max(METHODS[:3], key=lambda m: means[m])
            gain = statistics.summary({s: by["network"][s] - by[best][s] for s in by["network"]})
            interval = "" if np.isnan(gain["low"]) else f" ({gain['low']:+.2f} to {gain['high']:+.2f})"
            lines.append(
                [
                    modality,
                    kind.name,
                    str(len(by["network"])),
                    ", ".join(sorted({r["model"] for r in some})),
                    *(f"{means[m]:.2f}" for m in METHODS),
                    f"{gain['mean']:+.2f}{interval}",
                    f"{max(r['deviation'][0] for r in some):.2g}",
                ]
            )
    return lines


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m acutance.evaluate.volume", description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="folder with MANIFEST.csv")
    parser.add_argument("--split", default="val", help="train, val or test; test is for releases only")
    parser.add_argument("--model", default="auto", help="auto, a shipped name, an .onnx file or base")
    parser.add_argument("--side", type=int, default=SIDE, help="rows and columns about the middle that are scored")
    parser.add_argument("-o", "--output", type=Path, help="JSON file with the section")
    given = parser.parse_args(argv)
    made = report(given.data, given.split, given.model, given.side, lambda text: print(text, flush=True))
    give(made, given.output)


if __name__ == "__main__":
    end(main)
