"""Which settings were measured fastest for a picture's size on a GPU, kept beside the engines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pydantic

from ..beside import beside
from ..errors import InputError
from . import trusted
from .device import Device
from .options import Options, make

NAME = "best.json"
"""File in the engine store's folder."""

DAMAGED = "is damaged; remove it and measure again with `acutance bench engines`"


MEASURED = {"tile", "batches", "channels_last"}
"""Settings that are measured; the precision is the user's to choose."""


class Best(pydantic.BaseModel):
    """The fastest of a sweep.

    Attributes
    ----------
    tile : int or (int, int)
    batches : tuple of int
    channels_last : bool
        As in :class:`Options`.
    p50_ms : float
        Median of a frame from host memory to host memory.
    flavour : str
        Flavour and version of TensorRT that it was measured with.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    tile: int | tuple[int, int]
    batches: tuple[int, ...]
    channels_last: bool
    p50_ms: float = pydantic.Field(gt=0)
    flavour: str

    def apply(self, options: Options) -> Options:
        """Return options with these settings in place of their own.

        Raises
        ------
        UsageError
        """
        mine = self.model_dump(include=MEASURED)
        return make(**{**options.model_dump(), **mine})


def left_open(options: Options) -> bool:
    """Say whether the user has set none of what is measured."""
    return not options.model_fields_set & MEASURED


def name(model: str, precision: str, device: Device, shape: tuple[int, int]) -> str:
    """Return what a measurement is kept under: model, precision, GPU and the picture's size."""
    return f"{model}.{precision}.{device.slug}.{shape[0]}x{shape[1]}"


def find(folder: Path, model: str, precision: str, device: Device, shape: tuple[int, int]) -> Best | None:
    """Return the fastest settings kept for a picture of ``shape``, or None where nothing was measured.

    Raises
    ------
    InputError
        The file is damaged.
    """
    found = _read(folder / NAME).get(name(model, precision, device, shape))
    if found is None:
        return None
    try:
        return Best.model_validate(found)
    except pydantic.ValidationError:
        raise InputError(DAMAGED, folder / NAME) from None


def keep(folder: Path, model: str, precision: str, device: Device, shape: tuple[int, int], best: Best) -> None:
    """Keep the fastest settings, in place of those kept before.

    Raises
    ------
    OutputError, InputError, BackendError
        The file cannot be written, is damaged, or the folder is not the user's own.
    """
    trusted.open_folder(folder)
    path = folder / NAME
    with trusted.lock(path):
        said = {**_read(path), name(model, precision, device, shape): best.model_dump(mode="json")}
        with beside(path) as file:
            file.write(json.dumps(said, indent=1, sort_keys=True).encode() + b"\n")


def _read(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror})", path) from None
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise InputError(DAMAGED, path)
    return said
