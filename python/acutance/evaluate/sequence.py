"""Sequences: what a network that remembers gains over one that does not, and how much results flicker.

``python -m acutance.evaluate.sequence DATA --split test --model gray-seq-x2 --against gray-rt-x2 -o FILE.json``

A clip is three pictures or more of one subject and size; the frames are in the order of their names. Flicker is the
mean absolute difference of neighbours after motion compensation: the result before is moved by the optical flow of the
truths, so that all results are moved alike. The truth's own flicker, of noise, of light and of what is newly seen, is
the floor: what flickers less is blurred.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from scipy import ndimage
from skimage.registration import optical_flow_ilk

from .. import degrade
from .. import model as models
from ..cli.ending import end
from ..enhancer import Enhancer
from ..errors import UsageError
from ..geometry import Array, Frame, robust_range
from ..sequence import Sequence as Memory
from . import scans, score, statistics
from .methods import CODES, plain, shipped
from .section import give

MODALITIES = ("US", "ENDO")
"""That are looked through for clips."""

LEAST_FRAMES = 3
"""Of a clip."""

FLOW_RADIUS = 7
"""Of the window of the optical flow (iterative Lucas-Kanade), in truth pixels."""


@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
    """Truths ``[rows, cols]`` of one subject, in their order."""

    modality: str
    subject: str
    frames: list[Array]


@dataclasses.dataclass(frozen=True)
class Method:
    """One way to enlarge the frames of a clip.

    Attributes
    ----------
    name : str
    target : str
        What the Enhancer is given.
    remembers : bool
        Whether it is told that the frames are a sequence.
    """

    name: str
    target: str
    remembers: bool = False


@dataclasses.dataclass(frozen=True)
class Score:
    """Of one clip, degradation and method: PSNR in dB (mean over the frames but the first), flicker in gray levels."""

    modality: str
    subject: str
    degradation: str
    method: str
    frames: int
    psnr: float
    flicker: float


def clips(folder: Path, split: str, scale: int, most: int = 0) -> list[Clip]:
    """Return the clips of a split.

    Parameters
    ----------
    most : int
        Frames of a clip that are looked at; 0 for all.
    """
    found: dict[tuple[str, str, tuple[int, ...]], list[Array]] = {}
    for modality in MODALITIES:
        for scan in sorted(scans.find(folder, split, modality), key=lambda s: s.path.name):
            series = scans.load(scan)
            if series is None or len(series.slices) != 1:
                continue
            truth = np.ascontiguousarray(degrade.crop(series.slices[0], scale))
            found.setdefault((modality, scan.subject, truth.shape), []).append(truth)
    kept = {key: frames for key, frames in found.items() if len(frames) >= LEAST_FRAMES}
    return [Clip(modality, subject, frames[: most or None]) for (modality, subject, _), frames in kept.items()]


def enlarge(method: Method, pictures: Sequence[Array], modality: str, scale: int, threads: int = 1) -> list[Array]:
    """Return the results of a clip's degraded frames, each mapped by the range of them all.

    Raises
    ------
    UsageError
        The model falls back to the base.
    """
    span = robust_range([Frame(p) for p in pictures])
    out, memory = [], Memory() if method.remembers else None
    with Enhancer(method.target, "onnxruntime", scale=scale, threads=threads) as enhancer:
        for picture in pictures:
            frame = Frame(picture, modality=CODES[modality][0], value_range=span)
            result = enhancer.run(frame, sequence=memory)
            if result.fell_back is not None:
                raise UsageError(f"{method.name} gives the base for {modality}: {result.fell_back}")
            out.append(result.pixels)
    return out


Flow = Callable[[Array], Array]


def flow(truth: Array, before: Array) -> Flow:
    """Return what moves a picture of the frame before to where its content is in this one."""
    pair = truth.astype(np.float32), before.astype(np.float32)
    rows, cols = optical_flow_ilk(*pair, radius=FLOW_RADIUS)  # type: ignore[no-untyped-call]
    at = np.indices(truth.shape).astype(np.float32) + np.stack([rows, cols])
    return lambda picture: np.asarray(ndimage.map_coordinates(picture.astype(np.float32), at, order=1, mode="nearest"))


def flicker(results: Sequence[Array], flows: Sequence[Flow], scale: int) -> float:
    """Return the mean absolute difference of neighbours after motion compensation, in the results' unit."""
    found = [
        np.abs(score.inner(np.asarray(now, np.float32) - moved(before), scale)).mean()
        for (before, now), moved in zip(itertools.pairwise(results), flows, strict=True)
    ]
    return float(np.mean(found))


def methods_of(names: Sequence[str], against: Sequence[str]) -> tuple[list[Method], int]:
    """Return the base, the models without a memory, and each that has one frame by frame and as a sequence; the scale.

    Raises
    ------
    UsageError
        A model that is to remember does not, or they enlarge by different scales.
    """
    out, scales = [Method("cubic", "base")], set()
    for target in [*against, *names]:
        meta = models.load(target).meta
        scales.add(meta.scale)
        sequential = any(i.role == "state" for i in meta.inputs)
        if target in names and not sequential:
            raise UsageError(f"{meta.name} remembers nothing; wanted a model with a state, or --against")
        if sequential:
            out += [Method(f"{meta.name}, frame by frame", target), Method(meta.name, target, True)]
        else:
            out.append(Method(meta.name, target))
    if len(scales) != 1:
        raise UsageError(f"models enlarge by {', '.join(map(str, sorted(scales)))}; wanted one scale")
    return out, scales.pop()


def measure(clip: Clip, methods: Sequence[Method], scale: int, threads: int = 1) -> list[Score]:
    """Return a score for the truth and for each method, in each row of the clip's modality."""
    flows = [flow(now, before) for before, now in itertools.pairwise(clip.frames)]
    peak = score.data_range(clip.modality, clip.frames)
    out = []
    for row in score.degradations_of(clip.modality):
        pictures = [row.apply(truth, scale) for truth in clip.frames]
        results = {"truth": clip.frames}
        results |= {m.name: enlarge(m, pictures, clip.modality, scale, threads) for m in methods}
        for name, found in results.items():
            pairs = list(zip(clip.frames, found, strict=True))[1:]
            psnr = [score.psnr(score.inner(t, scale), score.inner(r, scale), peak[1] - peak[0]) for t, r in pairs]
            wavers = flicker(found, flows, scale)
            said = (clip.modality, clip.subject, row.name, name, len(clip.frames))
            out.append(Score(*said, float(np.mean(psnr)), wavers))
    return out


def section(scores: Sequence[Score], split: str) -> dict[str, Any]:
    """Return a section of ``docs/quality.md`` (see :func:`acutance.evaluate.section.read`), and the scores."""
    lines = []
    for key, group in itertools.groupby(scores, key=lambda s: (s.modality, s.degradation, s.method)):
        found = list(group)
        modality, row, method = key
        psnr = statistics.per_subject([(s.subject, s.psnr) for s in found])
        base = statistics.per_subject([(s.subject, s.psnr) for s in _of(scores, modality, row, "cubic")])
        gain = "" if method == "truth" else f"{statistics.paired(psnr, base)['mean']:+.2f}"
        shown = "" if method == "truth" else f"{np.mean(list(psnr.values())):.2f}"
        wavers = f"{np.mean([s.flicker for s in found]):.3f}"
        lines.append([modality, row, method, str(len(psnr)), str(sum(s.frames for s in found)), shown, gain, wavers])
    subjects = len({s.subject for s in scores})
    text = (
        f"Real clips of the `{split}` split, n = {subjects}. PSNR in dB over all frames but the first; flicker: mean "
        "absolute difference of neighbours after motion compensation by the flow of the truths, in gray levels. The "
        "truth's own is the floor: what flickers less is blurred. A clip is no sample of patients: no interval."
    )
    heads = ["modality", "row", "method", "clips", "frames", "PSNR", "over cubic", "flicker"]
    raw = [dataclasses.asdict(s) for s in scores]
    return {"title": "Sequences", "text": text, "heads": heads, "lines": lines, "scores": raw}


def _of(scores: Sequence[Score], modality: str, row: str, method: str) -> list[Score]:
    return [s for s in scores if (s.modality, s.degradation, s.method) == (modality, row, method)]


def main(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder with MANIFEST.csv.")],
    model: Annotated[
        list[str] | None, typer.Option(help="Models with a memory: names or .onnx files (default: all shipped).")
    ] = None,
    against: Annotated[
        list[str] | None, typer.Option(help="Models without one to compare with (default: shipped rt and bal).")
    ] = None,
    split: Annotated[str, typer.Option(help="train, val or test; test is for releases only.")] = "val",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="JSON file with the section.")] = None,
    frames: Annotated[int, typer.Option(help="At most so many frames of a clip; 0: all.")] = 0,
    threads: Annotated[int, typer.Option(help="Threads; 0: one per processor.")] = 0,
) -> None:
    """Score models with a memory on the clips of a data set."""
    names = model or shipped("state")
    if not names:
        typer.echo("no model that comes with the package remembers: nothing is scored")
        return
    methods, scale = methods_of(
        names, plain(names[0], {code for m in MODALITIES for code in CODES[m]}) if against is None else against
    )
    found = clips(data, split, scale, frames)
    if not found:
        raise UsageError(f"{data} has no {split} clip of {' or '.join(MODALITIES)}")
    scores = [one for clip in found for one in measure(clip, methods, scale, threads)]
    scores.sort(key=lambda s: (s.modality, s.degradation))
    give(section(scores, split), output)


if __name__ == "__main__":
    end(lambda: typer.run(main))
