"""The inputs and outputs of an engine."""

from __future__ import annotations

from typing import Literal

import pydantic

from ..model import Model
from .options import Options

VECTOR = 8
"""Channels that NHWC8 keeps together; where they do not fill it, it would be padding."""


class Tensor(pydantic.BaseModel):
    """One input or output.

    Attributes
    ----------
    name : str
    mode : str
        ``"input"`` or ``"output"``.
    dtype : str
        ``"half"`` or ``"float"``.
    format : str
        ``"HWC8"`` and ``"HWC"``: ``[N, h, w, C]`` in memory; ``"LINEAR"``: ``[N, C, h, w]``.
    channels : int
    shapes : tuple of (int, int, int, int)
        ``[N, C, h, w]`` in each profile.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: str
    mode: Literal["input", "output"]
    dtype: Literal["half", "float"]
    format: Literal["LINEAR", "HWC8", "HWC"]
    channels: int
    shapes: tuple[tuple[int, int, int, int], ...]


def describe(model: Model, options: Options) -> tuple[Tensor, ...]:
    """Return what the engine of a model has for inputs and outputs, in the order of the model's metadata.

    Every tensor has the picture at input resolution: unshuffled pixels are channels.
    """
    rows, cols = options.tile_shape
    half = options.precision != "fp32"
    sides: list[tuple[str, Literal["input", "output"], int]] = [
        *((i.name, "input", i.channels * i.unshuffle**2) for i in model.meta.inputs),
        *((o.name, "output", o.channels) for o in model.meta.outputs),
    ]
    return tuple(
        Tensor(
            name=name,
            mode=mode,
            dtype="half" if half else "float",
            format=_format(mode, channels, half, options.channels_last),
            channels=channels,
            shapes=tuple((batch, channels, rows, cols) for batch in options.batches),
        )
        for name, mode, channels in sides
    )


def _format(mode: str, channels: int, half: bool, channels_last: bool) -> Literal["LINEAR", "HWC8", "HWC"]:
    if half and channels % VECTOR == 0:
        return "HWC8"
    return "HWC" if half and channels_last and mode == "output" else "LINEAR"
