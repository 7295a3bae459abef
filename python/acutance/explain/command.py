"""``acutance explain``: where a network looked for the detail at one place, what it added, and whether that agrees."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from .. import io, ops, tiling
from .. import model as models
from ..enhancer import Enhancer
from ..errors import InputError, ModelError, UsageError
from ..geometry import Array, Frame
from ..model import Model
from ..networks.weights import network_of
from . import lam, picture

app = typer.Typer()

UNITS = {"CT": "HU"}
"""Units of real values by modality, where it tells them."""


@app.command()
def explain(
    path: Annotated[Path, typer.Argument(metavar="IN", help="A DICOM file, NIfTI volume or picture.")],
    at: Annotated[str, typer.Option(metavar="ROW,COL", help="Pixel of the input, counted from 0.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="PNG to write; else IN-explained.png here.")
    ] = None,
    model: Annotated[str, typer.Option(metavar="auto|NAME|FILE", help="In fp32, as `acutance enhance`.")] = "auto",
    scale: Annotated[int, typer.Option(min=2, max=4, help="With --model auto.")] = 2,
    slice_: Annotated[int, typer.Option("--slice", min=0, help="Of a volume or of many frames, counted from 0.")] = 0,
    modality: Annotated[
        str | None, typer.Option(metavar="CODE", help="CT, MR, ...: of pictures whose file does not say it.")
    ] = None,
) -> None:
    """Show where the detail at one place of the result comes from, in one picture, and say it in numbers."""
    place, frame = _place(at), _frame(path, slice_, modality)
    found = explained(frame, _model(model, frame, scale), place)
    out = output or Path(f"{path.name.partition('.')[0]}-explained.png")
    picture.draw(found, out)
    for name, text in found.numbers():
        typer.echo(f"{name}: {text}")
    typer.echo(f"written to {out}")


def explained(frame: Frame, model: Model, at: tuple[int, int]) -> picture.Explained:
    """Return all that is known about a place of a picture.

    The network's own pixels are attributed, before guard and rounding; the other maps are of the result as it is
    written.

    Raises
    ------
    UsageError
        The place is not within the picture.
    ModelError
        The model wants more than one picture, is not in fp32, or sees all of it at once.
    InputError
        The model has nothing to add to this picture.
    """
    meta = model.meta
    if [i.role for i in meta.inputs] != ["lr"]:
        raise ModelError(f"{meta.name} wants more than one picture; what it looks at is not explained", model.path)
    if meta.precision != "fp32":
        raise ModelError(
            f"is {meta.precision}; wanted the fp32 file, whose gradients are those of training", model.path
        )
    with Enhancer(model, "onnxruntime") as enhancer:
        result = enhancer.run(frame)
    if result.fell_back is not None:
        raise InputError(f"is given its base: {result.fell_back}", frame.source.path if frame.source else None)
    missing = frame.missing()
    pixels = np.ascontiguousarray(frame.pixels if missing is None else ops.fill(frame.pixels, missing))
    low, high, _ = model.range_of(frame)
    gain, bias = models.affine(frame, low, high)
    whole = tiling.plan(frame.rows, frame.cols, (frame.rows, frame.cols), 0, meta.scale)
    seen = ops.gather(pixels, whole, gain=gain, bias=bias)[0, 0]
    attribution = lam.attribute(network_of(model), seen, at, meta.base)
    base = _real(frame, ops.assemble(None, pixels, whole, base=meta.base)[0])
    before, after = _real(frame, pixels), _real(frame, result.pixels)
    blocks = after.reshape(frame.rows, meta.scale, frame.cols, meta.scale).mean((1, 3))
    assert meta.halo is not None and result.frame.derivation is not None
    return picture.Explained(
        title=f"{meta.name} {meta.version}, {frame.modality}, guard {result.frame.derivation.guard}",
        unit=UNITS.get(frame.modality, ""),
        scale=meta.scale,
        halo=meta.halo,
        at=at,
        attribution=attribution,
        before=before,
        after=after,
        residual=after - base,
        consistency=np.abs(blocks - before),
    )


def _real(frame: Frame, pixels: Array) -> picture.F64:
    """Return real values ``[rows, cols]``; of colour the mean of the channels."""
    values = pixels.astype(np.float64) * frame.slope + frame.intercept
    return values.mean(2) if values.ndim == 3 else values


def _frame(path: Path, number: int, modality: str | None) -> Frame:
    frames = io.read(path, modality=modality)
    if number >= len(frames):
        raise UsageError(f"--slice {number} is not there; it holds {len(frames)}, counted from 0", path)
    return frames[number]


def _model(name: str, frame: Frame, scale: int) -> Model:
    if name != "auto":
        return models.load(name)
    found = models.choose(frame.modality, scale)
    if found is None:
        raise UsageError(f"no model enlarges {frame.modality} by {scale}; name one by --model, or the --modality")
    return found


def _place(text: str) -> tuple[int, int]:
    try:
        row, col = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--at '{text}' is no place; wanted ROW,COL as 120,84") from None
    return row, col
