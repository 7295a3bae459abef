"""From a checkpoint to the metadata of the model file."""

from __future__ import annotations

import dataclasses
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..evaluate import score
from ..evaluate.scans import Scan
from ..model import DataSource, Metadata, Scores, Training
from ..networks import Network
from .recipe import Degradation, Recipe

if TYPE_CHECKING:
    from .validate import Line


def sources(scans: Iterable[Scan]) -> list[dict[str, Any]]:
    """Return the sources of scans with their licences and number of subjects, as JSON."""
    subjects: dict[tuple[str, str], set[str]] = {}
    for scan in scans:
        subjects.setdefault((scan.source, scan.licence), set()).add(scan.subject)
    return [{"source": s, "licence": li, "subjects": len(who)} for (s, li), who in sorted(subjects.items())]


def commit(folder: str | os.PathLike[str] | None = None) -> str:
    """Return the commit of the source this runs from, or an empty string outside a checkout."""
    where = Path(folder) if folder is not None else Path(__file__).parent
    try:
        said = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=where, capture_output=True, text=True)
    except OSError:
        return ""
    return said.stdout.strip() if said.returncode == 0 else ""


def device(where: torch.device, count: int = 1) -> str:
    """Name what a training runs on: the GPU's name, or the CPU's architecture and threads."""
    if where.type == "cuda":
        name = torch.cuda.get_device_name(where)
    else:
        threads = torch.get_num_threads()
        name = f"{platform.machine()} CPU, {threads} thread{'s' if threads > 1 else ''}"
    return f"{count} x {name}" if count > 1 else name


def degradation(recipe: Recipe) -> str:
    """Say in one line how small pictures were made."""
    d, s = recipe.degradation, recipe.model.scale
    said = _shrunk(d, s)
    if d.speckled:
        said += f"; {d.speckled:.0%} of truths with more speckle"
    if d.noisy and d.kind != "endoscope":
        said += f"; {d.noisy:.0%} with {_NOISE[d.noise_kind].format(low=d.noise[0], high=d.noise[1])}"
    if d.missing:
        said += f"; {d.missing:.0%} with dead lines or padding, filled"
    if d.jitter != (1.0, 1.0):
        said += f"; range times {d.jitter[0]:g} to {d.jitter[1]:g}"
    return said


_NOISE = {
    "mapped": "noise of {low:g} to {high:g} of the range",
    "stored": "noise of {low:g} to {high:g} of the data range, rounded and clamped",
    "rician": "Rician noise of {low:g} to {high:g} of the data range",
    "ct": "noise of filtered back-projection, {low:g} to {high:g} HU in the middle of 300 mm of water",
    "x-ray": "Poisson noise of {low:g} to {high:g} of the data range where the picture is black",
    "counts": "Poisson noise of {low:g} to {high:g} of the brightest pixel",
}


def _shrunk(d: Degradation, s: int) -> str:
    low, high = d.sigma
    blur = f"point spread of sigma {low:g} to {high:g}"
    whole = f"({d.sharp:.0%} of slices: none), area mean by {s}"
    if d.kind == "area":
        return f"{blur} truth pixels {whole}"
    if d.kind == "ultrasound":
        wide = f"{d.lateral[0]:g} to {d.lateral[1]:g}"
        return f"envelope under a {blur} truth pixels along the beam and {wide} times that across it {whole}"
    if d.kind == "emission":
        return f"{blur} mm {whole}"
    if d.kind == "endoscope":
        power = f"{d.strength[0]:g} to {d.strength[1]:g}"
        return f"blur, resize, noise and JPEG twice, at {power} of Real-ESRGAN's strength, to 1/{s} of the size"
    said = f"k-space truncated by {s}, on the grid"
    said += f"; {d.limited:.0%} of truths limited to {d.limit[0]:g} to {d.limit[1]:g} of k-space"
    said += f"; {1 - d.sharp:.0%} blurred by sigma {low:g} to {high:g}"
    if d.lossy:
        said += f"; {d.lossy:.0%} without {d.lost[0]:g} to {d.lost[1]:g} of their lines"
    return said


def metadata(
    network: Network, recipe: Recipe, data: Sequence[dict[str, Any]], lines: Sequence[Line], code: str
) -> Metadata:
    """Return what the model file says of itself; its scores are those on the validation split.

    Parameters
    ----------
    data : sequence of dict
        As :func:`sources`.
    code : str
        As :func:`commit`.
    """
    target, kind = recipe.model, recipe.network.kind
    rows = tuple({k: v if isinstance(v, str) else round(v, 4) for k, v in dataclasses.asdict(x).items()} for x in lines)
    return Metadata(
        name=recipe.name,
        version=target.version,
        scale=target.scale,
        network=kind,
        frames=network.frames,
        inputs=network.inputs,
        outputs=network.outputs,
        halo=network.radius,
        modalities=target.modalities,
        base=target.base,
        guard=target.guard,
        denoises=target.denoises,
        precision="fp32",
        mapping=target.mapping,
        spacing_mm=target.spacing_mm,
        training=Training(
            data=tuple(DataSource(**d) for d in data),
            recipe=f"{recipe.name}.toml",
            commit=code,
            degradation=degradation(recipe),
        ),
        scores=Scores(protocol=score.PROTOCOL, split="val", rows=rows),
    )
