"""Enhance the example slices: ``make demo``, or

    python examples/demo.py [FOLDER]

Each picture is enhanced as it is (a derived DICOM file and a before-and-after picture), and once degraded by 2 and
brought back, where the truth is known (a comparison and the PSNR of the cubic base and of the model).
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
from pathlib import Path

import figures
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

import acutance
from acutance.evaluate import score

HERE = Path(__file__).resolve().parent
SCALE = 2
SIDE = 384
"""Pixels of a panel's side."""


@dataclasses.dataclass(frozen=True)
class Example:
    """One file and what to show of it.

    Attributes
    ----------
    name : str
        Of the file, without ``.dcm``.
    modality : str
        As the scores' protocol calls it.
    box : (int, int, int, int)
        Top, left, rows and columns of the part that is shown.
    window : (float, float)
        Centre and width of what is shown between black and white, in real values.
    unit : str
        Of the real values.
    """

    name: str
    modality: str
    box: tuple[int, int, int, int]
    window: tuple[float, float]
    unit: str


EXAMPLES = (
    Example("ct-abdomen", "CT", (260, 192, 96, 96), (250, 1300), "HU"),
    Example("mr-brain", "MR", (120, 200, 96, 96), (42, 84), ""),
    Example("xr-chest", "XR", (50, 84, 96, 96), (110, 180), "of 255"),
)


def as_it_is(example: Example, frame: acutance.Frame, enhancer: acutance.Enhancer, out: Path) -> acutance.Result:
    """Enhance the picture itself: ``NAME_x2.dcm`` and ``NAME_before_after.png``."""
    result = enhancer.run(frame)
    acutance.write(out / f"{example.name}_x2.dcm", result.frame)
    before, finer = figures.gray(real(frame), example.window), tuple(SCALE * v for v in example.box)
    row = [
        ("whole picture", figures.overview(before, example.box, SIDE)),
        ("as it is", figures.enlarged(figures.crop(before, example.box), SIDE)),
    ]
    for label, enhanced in with_cubic(frame, result):
        after = figures.gray(real(enhanced), example.window)
        row.append((label, figures.enlarged(figures.crop(after, finer), SIDE)))
    title = f"{example.name}: {frame.rows} x {frame.cols} enlarged to {result.frame.rows} x {result.frame.cols}"
    figures.sheet([row], title, SIDE).save(out / f"{example.name}_before_after.png", optimize=True)
    return result


def brought_back(
    example: Example, truth: acutance.Frame, enhancer: acutance.Enhancer, out: Path
) -> tuple[float, float]:
    """Degrade the picture by 2, bring it back, and return the PSNR in dB of cubic and of ours.

    Writes ``NAME_brought_back.png``; the colours of its error maps are the same for both.
    """
    low = degraded(example, truth)
    coarse = tuple(v // SCALE for v in example.box)
    right = figures.crop(real(truth), example.box)
    start = figures.crop(figures.gray(real(low), example.window), coarse)
    seen = [(f"degraded by {SCALE}", figures.enlarged(start, SIDE))]
    errors, psnr = [], []
    for label, frame in with_cubic(low, enhancer.run(low)):
        psnr.append(psnr_of(example, truth, frame))
        picture = figures.crop(real(frame), example.box)
        errors.append((f"error of {label}", picture - right))
        seen.append((f"{label}, {psnr[-1]:.2f} dB", figures.enlarged(figures.gray(picture, example.window), SIDE)))
    seen.append(("truth", figures.enlarged(figures.gray(right, example.window), SIDE)))
    largest = float(np.percentile(np.abs(errors[0][1]), 99.5))
    below = [("whole picture", figures.overview(figures.gray(real(truth), example.window), example.box, SIDE))]
    below += [(label, figures.enlarged(figures.heat(e, largest), SIDE)) for label, e in errors]
    below.append(("", figures.scale_bar(largest, example.unit, SIDE)))
    title = f"{example.name}: degraded by {SCALE} and brought back"
    figures.sheet([seen, below], title, SIDE).save(out / f"{example.name}_brought_back.png", optimize=True)
    return psnr[0], psnr[-1]


def degraded(example: Example, truth: acutance.Frame) -> acutance.Frame:
    """Return the small picture that the protocol makes of a truth: the first degradation of its modality."""
    pixels = score.degradations_of(example.modality)[0].apply(truth.pixels, SCALE)
    spacing = None if truth.spacing is None else (SCALE * truth.spacing[0], SCALE * truth.spacing[1])
    return dataclasses.replace(truth, pixels=pixels, spacing=spacing, source=None)


def psnr_of(example: Example, truth: acutance.Frame, result: acutance.Frame) -> float:
    """Return the PSNR in dB over the foreground, by the protocol."""
    right = real(truth)
    low, high = score.data_range(example.modality, [right])
    mask = score.foreground(example.modality, right, (low, high))
    return score.psnr(*(score.inner(x, SCALE) for x in (right, real(result))), high - low, score.inner(mask, SCALE))


def with_cubic(frame: acutance.Frame, result: acutance.Result) -> list[tuple[str, acutance.Frame]]:
    """Return the cubic base of ``frame`` and, unless it is the base as well, our result, each with its name."""
    cubic = ("cubic", acutance.Enhancer(model="base", scale=SCALE).run(frame).frame)
    return [cubic] if result.model == "base" else [cubic, (result.model, result.frame)]


def real(frame: acutance.Frame) -> figures.Array:
    """Return the real values of a picture, HU for CT."""
    return frame.pixels * frame.slope + frame.intercept


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    table = Table("file", "model", "backend", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in ("milliseconds", "PSNR cubic", "PSNR ours"):
        table.add_column(heading, justify="right")
    notes = []
    with acutance.Enhancer(scale=SCALE) as enhancer:
        for example in EXAMPLES:
            (frame,) = acutance.read(HERE / f"{example.name}.dcm")
            cubic, ours = brought_back(example, frame, enhancer, out)
            result = as_it_is(example, frame, enhancer, out)
            milliseconds = statistics.median(enhancer.run(frame).milliseconds for _ in range(3))
            if result.fell_back:
                notes.append(f"{example.name}.dcm got the base: {result.fell_back}")
            numbers = (f"{milliseconds:.0f}", f"{cubic:.2f} dB", f"{ours:.2f} dB")
            table.add_row(f"{example.name}.dcm", result.model, result.backend, *numbers)
    console = Console()
    console.print(table)
    for note in notes:
        console.print(note)
    console.print(f"PSNR: degraded by {SCALE} and brought back. DICOM files and pictures are in {out}/", soft_wrap=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("out/demo"))
