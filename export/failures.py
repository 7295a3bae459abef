"""What a card shows beside scores: what the guard costs, and where the model fails, in pictures."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import ndimage

from ..beside import beside
from ..enhancer import Enhancer
from ..evaluate import run, scans, score
from ..evaluate.methods import CODES, Input, Method, enlarge
from ..geometry import Array, Frame
from ..model import Model
from ..train import validate
from . import losses

SUFFIX = ".measured.json"
"""End of the file beside the cards that keeps what was measured, after the model's name."""

PER_SCAN = 3
"""Slices of each scan of `val` that the guard's price is measured on."""

SIDE = 96
"""Side in output pixels of the square that is shown."""


def write(model: Model, data: str | os.PathLike[str], report: Mapping[str, Any] | None, folder: Path) -> None:
    """Measure a model, draw its worst slices to ``folder`` and keep the numbers there.

    Parameters
    ----------
    model : Model
        Of one picture; of others nothing is measured here.
    data : path
        Folder of the scans.
    report : mapping, optional
        Of :mod:`acutance.evaluate.report`; the worst slices are its.
    folder : Path

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    if [i.role for i in model.meta.inputs] != ["lr"]:
        return
    known = report is not None and report["models"].get(model.meta.name, {}).get("sha256") == model.sha256
    found = {
        "sha256": model.sha256,
        "guard": [] if model.meta.denoises else price(model, data),
        "split": report["split"] if report is not None and known else "",
        "failures": [draw(model, data, report, row, folder) for row in worst(model, report)] if known else [],
    }
    with beside(folder / f"{model.meta.name}{SUFFIX}") as file:
        file.write((json.dumps(found, indent=1) + "\n").encode())


def price(model: Model, data: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the foreground's PSNR on `val` with and without the guard, by row, mean over subjects."""
    meta = model.meta
    cases = validate.degraded(data, losses.modalities(meta), meta.scale, meta.mapping, "val", PER_SCAN)
    found: dict[tuple[str, str], dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    with (
        Enhancer(model, "onnxruntime", guard="box", threads=1) as guarded,
        Enhancer(model, "onnxruntime", guard="none", threads=1) as free,
    ):
        for case in cases:
            code = next(c for c in CODES[case.modality] if c in meta.modalities)
            frame = Frame(case.picture, modality=code, value_range=case.span)
            truth, mask = (score.inner(x, meta.scale) for x in (case.truth, case.mask))
            peak = case.value_range[1] - case.value_range[0]
            box, none = (
                score.psnr(truth, score.inner(e.run(frame).pixels, meta.scale), peak, mask) for e in (guarded, free)
            )
            found[case.modality, case.row][case.subject].append((box, none))
    rows = []
    for (modality, row), subjects in found.items():
        box, none = np.mean([np.mean(values, axis=0) for values in subjects.values()], axis=0)
        rows.append({"modality": modality, "row": row, "box": round(float(box), 3), "none": round(float(none), 3)})
    return rows


def worst(model: Model, report: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """Return for each modality the report's row that holds the slice with the smallest gain over cubic."""
    found: dict[str, Mapping[str, Any]] = {}
    for row in report["rows"] if report is not None else ():
        gain = row.get("against", {}).get("cubic", {}).get("psnr", {})
        if row["method"] != model.meta.name or not gain.get("worst_place"):
            continue
        if row.get("noisy") or row["degradation"] not in {d.name for d in score.degradations_of(row["modality"])}:
            continue
        best = found.get(row["modality"])
        if best is None or gain["worst_slice"] < best["against"]["cubic"]["psnr"]["worst_slice"]:
            found[row["modality"]] = row
    return list(found.values())


def draw(
    model: Model, data: str | os.PathLike[str], report: Mapping[str, Any] | None, row: Mapping[str, Any], folder: Path
) -> dict[str, Any]:
    """Draw the worst slice of a row, and return what the card says of it."""
    assert report is not None
    gain, scale, modality = row["against"]["cubic"]["psnr"], model.meta.scale, row["modality"]
    name, _, number = gain["worst_place"].rpartition("#")
    scan = next(s for s in scans.find(data, report["split"], modality) if s.path.name == name)
    series = scans.load(scan)
    assert series is not None
    truth = dict(series.truths(scale))[int(number)]
    degradation = next(d for d in score.degradations_of(modality) if d.name == row["degradation"])
    pictures, value_range = run.degraded(scan, degradation, scale)
    spacing = None if series.spacing is None else (series.spacing[0] * scale, series.spacing[1] * scale)
    picture = Input(pictures[int(number)], modality, scale, spacing, value_range)
    cubic, ours = (
        enlarge(method, picture)[0].astype(np.float64)
        for method in (Method("cubic", "rival"), Method(model.meta.name, "model", os.fspath(model.path)))
    )
    _save(truth.astype(np.float64), cubic, ours, folder / f"{model.meta.name}-{modality.lower()}.png")
    return {"modality": modality, "row": row["degradation"], "gain": round(float(gain["worst_slice"]), 3)}


def _save(truth: Array, cubic: Array, ours: Array, path: Path) -> None:
    """Draw the square where the error grows most."""
    grown = np.abs(ours - truth) - np.abs(cubic - truth)
    side = min(SIDE, *truth.shape)
    blurred = ndimage.uniform_filter(grown, side, mode="constant")
    half = side // 2
    middle = blurred[half : truth.shape[0] - half + 1, half : truth.shape[1] - half + 1]
    top, left = np.unravel_index(int(np.argmax(middle)), middle.shape)
    part = (slice(int(top), int(top) + side), slice(int(left), int(left) + side))
    low, high = np.percentile(truth[part], (0.5, 99.5))
    most = float(np.percentile(np.abs(grown[part]), 99.5)) or 1.0
    figure = Figure(figsize=(11, 3), layout="constrained")
    axes = figure.subplots(1, 4)
    for axis, shown, title in zip(axes[:3], (truth, cubic, ours), ("truth", "cubic", "model"), strict=True):
        axis.imshow(shown[part], cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        axis.set_title(title, fontsize=10)
    change = axes[3].imshow(grown[part], cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest")
    axes[3].set_title("error over cubic's", fontsize=10)
    figure.colorbar(change, ax=axes[3], shrink=0.8)
    for axis in axes:
        axis.set_axis_off()
    with beside(path) as file:
        figure.savefig(file, format="png", dpi=80, metadata={"Software": None})
