"""Guides: what a second contrast of the same subject gains, and what its absence or a wrong place costs.

``python -m acutance.evaluate.guided DATA --split test --model mr-guided-x2 --against mr-rt-x2 -o FILE.json``

Scans of a coregistered group that share one grid are degraded in turn and enlarged with each other scan of the group as
the guide, at full resolution, as the protocol of MR wants it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from .. import degrade
from .. import model as models
from ..cli.ending import end
from ..enhancer import Enhancer
from ..errors import UsageError
from ..geometry import Array, Frame
from ..guide import Guide
from . import rivals, scans, score, statistics
from .methods import CODES, plain, shipped
from .run import degraded
from .section import give

MODALITY = "MR"

OFF = 2
"""Truth pixels by which a guide is displaced, to see what that costs."""

ZERO_FILLED, NO_GUIDE = "zero-filled k-space", "no guide"


class Placed(Guide):
    """A guide on the grid of the result, mapped by a range that is given.

    Parameters
    ----------
    pixels : ndarray
        ``[rows * scale, cols * scale]``.
    span : (float, float)
        Values that are mapped to 0 and 1.
    """

    def __init__(self, pixels: Array, span: tuple[float, float]) -> None:
        self.name = "guide"
        self._mapped = ((np.asarray(pixels, np.float32) - span[0]) / (span[1] - span[0])).astype(np.float32)

    def reaches(self, frame: Frame) -> bool:
        """As :meth:`Guide.reaches`."""
        return True

    def on(self, frame: Frame, scale: int) -> NDArray[np.float32]:
        """As :meth:`Guide.on`."""
        return self._mapped


@dataclasses.dataclass(frozen=True)
class Method:
    """A model, with the guide or without."""

    name: str
    target: str
    guided: bool = False


@dataclasses.dataclass(frozen=True)
class Score:
    """PSNR of the foreground in dB of one slice."""

    subject: str
    target: str
    guide: str
    method: str
    psnr: float


def pairs(folder: Path, split: str) -> list[tuple[scans.Scan, scans.Scan]]:
    """Return each scan of a coregistered group with each other one of it."""
    groups: dict[str, list[scans.Scan]] = defaultdict(list)
    for scan in scans.find(folder, split, MODALITY):
        if scan.group:
            groups[scan.group].append(scan)
    return [pair for group in groups.values() for pair in itertools.permutations(group, 2)]


def methods_of(names: Sequence[str], against: Sequence[str]) -> tuple[list[Method], int]:
    """Return the models that take no guide, and each that does without and with one; the scale.

    Raises
    ------
    UsageError
        A model that is to be guided takes no guide, or they enlarge by different scales.
    """
    out, scales = [], set()
    for target in [*against, *names]:
        meta = models.load(target).meta
        scales.add(meta.scale)
        guided = any(i.role == "guide" for i in meta.inputs)
        if target in names and not guided:
            raise UsageError(f"{meta.name} takes no guide; wanted a model with one, or --against")
        out.append(Method(f"{meta.name}, {NO_GUIDE}" if guided else meta.name, target))
        if guided:
            out.append(Method(meta.name, target, True))
    if len(scales) != 1:
        raise UsageError(f"models enlarge by {', '.join(map(str, sorted(scales)))}; wanted one scale")
    return out, scales.pop()


def measure(
    target: scans.Scan, guide: scans.Scan, methods: Sequence[Method], scale: int, limit: int = 0
) -> Iterator[Score]:
    """Yield the scores of a scan's slices, enlarged with another scan as the guide.

    Parameters
    ----------
    limit : int
        At most so many slices, evenly spread; 0 for all.

    Raises
    ------
    UsageError
        The two do not share one grid.
    """
    series, other = scans.load(target), scans.load(guide)
    assert series is not None and other is not None
    if [x.shape for x in series.slices] != [x.shape for x in other.slices]:
        raise UsageError(f"{target.path.name} and {guide.path.name} have other grids; wanted scans on one")
    (row,) = score.degradations_of(MODALITY)
    pictures, span = degraded(target, row, scale)
    truths = series.truths(scale)
    if limit and len(truths) > limit:
        truths = [truths[i] for i in np.linspace(0, len(truths) - 1, limit).astype(int)]
    spacing = None if series.spacing is None else (series.spacing[0] * scale, series.spacing[1] * scale)
    peak = series.value_range[1] - series.value_range[0]
    with contextlib.ExitStack() as stack:
        enhancers = {
            m.target: stack.enter_context(Enhancer(m.target, "onnxruntime", scale=scale, threads=1)) for m in methods
        }
        for index, truth in truths:
            mask = score.inner(score.foreground(MODALITY, truth, series.value_range), scale)
            frame = Frame(pictures[index], modality=CODES[MODALITY][0], spacing=spacing, value_range=span)
            seen = np.ascontiguousarray(degrade.crop(other.slices[index], scale))
            results = {ZERO_FILLED: rivals.zero_filled(pictures[index], scale)}
            results |= enlarge(frame, seen, other.value_range, methods, enhancers)
            for name, result in results.items():
                found = score.psnr(score.inner(truth, scale), score.inner(result, scale), peak, mask)
                yield Score(target.subject, _contrast(target), _contrast(guide), name, found)


def enlarge(
    frame: Frame,
    seen: Array,
    span: tuple[float, float],
    methods: Sequence[Method],
    enhancers: Mapping[str, Enhancer],
) -> dict[str, Array]:
    """Return the results of each method; those of guided ones with the guide where it belongs, and off.

    Parameters
    ----------
    seen : ndarray
        The guide, ``[rows * scale, cols * scale]``; ``span`` of it is mapped to 0 and 1.

    Raises
    ------
    UsageError
        A model falls back to the base.
    """
    off = np.roll(seen, (OFF, OFF), (0, 1))
    runs: list[tuple[Method, str, Array | None]] = []
    for method in methods:
        given = [("", seen), (f", guide {OFF} pixels off", off)] if method.guided else [("", None)]
        runs += [(method, said, guide) for said, guide in given]
    out = {}
    for method, said, guide in runs:
        placed = None if guide is None else Placed(guide, span)
        result = enhancers[method.target].run(frame, guide=placed)
        if result.fell_back is not None:
            raise UsageError(f"{method.name} gives the base: {result.fell_back}")
        out[method.name + said] = result.pixels
    return out


def _contrast(scan: scans.Scan) -> str:
    """Return what tells scans of a group apart: the last part of the name."""
    return scan.path.name.split(".")[0].rpartition("_")[2]


def section(scores: Sequence[Score], split: str) -> dict[str, Any]:
    """Return a section of ``docs/quality.md`` (see :func:`acutance.evaluate.section.read`), and the means."""
    grouped: dict[tuple[str, str, str], list[tuple[str, float]]] = defaultdict(list)
    for s in scores:
        grouped[s.target, s.guide, s.method].append((s.subject, s.psnr))
    means = {key: statistics.per_subject(found) for key, found in grouped.items()}
    lines = []
    for (target, guide, method), found in means.items():
        over = statistics.paired(found, means[target, guide, ZERO_FILLED])["mean"]
        slices = str(len(grouped[target, guide, method]))
        mean = f"{np.mean(list(found.values())):.2f}"
        lines.append([target, guide, method, str(len(found)), slices, mean, f"{over:+.2f}"])
    subjects = len({s.subject for s in scores})
    who = "1 subject" if subjects == 1 else f"{subjects} subjects"
    text = (
        f"Coregistered scans of the `{split}` split, n = {who}: one contrast is degraded as in the protocol of MR, "
        "another one is the guide at full resolution. PSNR of the foreground in dB, mean over subjects."
    )
    if subjects < 2:
        text += " One subject is no sample: there is no interval."
    heads = ["enlarged", "guide", "method", "subjects", "slices", "PSNR fg", "over zero-filled"]
    return {"title": "Guides", "text": text, "heads": heads, "lines": lines}


def main(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder with MANIFEST.csv.")],
    model: Annotated[
        list[str] | None, typer.Option(help="Guided models: names or .onnx files (default: all shipped).")
    ] = None,
    against: Annotated[
        list[str] | None, typer.Option(help="Models without one to compare with (default: shipped rt and bal).")
    ] = None,
    split: Annotated[str, typer.Option(help="train, val or test; test is for releases only.")] = "val",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="JSON file with the section.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many slices of a scan; 0: all.")] = 0,
) -> None:
    """Score guided models on the coregistered scans of a data set."""
    names = model or shipped("guide")
    if not names:
        typer.echo("no model that comes with the package takes a guide: nothing is scored")
        return
    methods, scale = methods_of(names, plain(names[0], set(CODES[MODALITY])) if against is None else against)
    found = pairs(data, split)
    if not found:
        raise UsageError(f"{data} has no {split} scans of one coregistered group")
    give(section([one for pair in found for one in measure(*pair, methods, scale, limit)], split), output)


if __name__ == "__main__":
    end(lambda: typer.run(main))
