"""How an engine is built: settings, read from recipes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Literal

import pydantic

from .. import model as models
from ..errors import InputError, ModelError, UsageError
from ..model import Metadata, Model

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RECIPES = Path(__file__).parent / "recipes"

MODEL_PRECISION = {"fp32": "fp32", "fp16": "fp16", "int8": "int8-trt"}
"""Precision of the model file that an engine of that precision is built from."""


class Options(pydantic.BaseModel):
    """Everything that shapes an engine beside its model and its GPU.

    Attributes
    ----------
    precision : str
        ``fp32``, ``fp16`` or ``int8``: which file of the model is built. The builder itself changes no types.
    tile : int or (int, int)
        Rows and columns that the network sees, halo included, in input pixels.
    batches : tuple of int
        One optimisation profile for each, with that batch and no other.
    flavour : str
        ``auto``, ``tensorrt`` or ``rtx``.
    level : int
        0 to 5: how long the builder looks for faster kernels.
    tiling : str
        ``none``, ``fast``, ``moderate`` or ``full``: how long it looks for ways to keep several layers in the L2 cache
        (TensorRT 10.8 or newer).
    tiling_l2 : int or None
        Bytes of L2 cache that tiling may count on; None: the builder's choice.
    aux_streams : int or None
        Streams beside the main one that layers may run on at the same time; None: the builder's choice.
    persistent_cache : int
        Bytes of L2 cache that a context keeps for activations while it runs.
    workspace_mib : int or None
        Most scratch memory of a layer in MiB; None: all of the GPU's.
    channels_last : bool
        Half outputs of other than 8 channels (or a multiple) leave as ``[N, h, w, C]`` instead of ``[N, C, h, w]``. The
        last convolution writes in this order, so that TensorRT-RTX 1.7 leaves out a kernel that transposes.
    tf32 : bool
        Let float32 convolutions round their inputs to TF32 (10 bits of mantissa).
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    precision: Literal["fp32", "fp16", "int8"] = "fp16"
    tile: pydantic.PositiveInt | tuple[pydantic.PositiveInt, pydantic.PositiveInt] = 128
    batches: tuple[pydantic.PositiveInt, ...] = pydantic.Field(default=(1, 2, 4, 8, 16), min_length=1)
    flavour: Literal["auto", "tensorrt", "rtx"] = "auto"
    level: int = pydantic.Field(default=3, ge=0, le=5)
    tiling: Literal["none", "fast", "moderate", "full"] = "none"
    tiling_l2: pydantic.PositiveInt | None = None
    aux_streams: int | None = pydantic.Field(default=None, ge=0)
    persistent_cache: int = pydantic.Field(default=0, ge=0)
    workspace_mib: pydantic.PositiveInt | None = None
    channels_last: bool = False
    tf32: bool = False

    @pydantic.field_validator("batches")
    @classmethod
    def _ladder(cls, batches: tuple[int, ...]) -> tuple[int, ...]:
        if list(batches) != sorted(set(batches)):
            raise ValueError("batches must rise, each once, as 1,2,4")
        return batches

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Rows and columns of a tile."""
        return (self.tile, self.tile) if isinstance(self.tile, int) else self.tile

    @property
    def tile_text(self) -> str:
        """The tile for file names: ``128`` or ``480x640``."""
        rows, cols = self.tile_shape
        return str(rows) if rows == cols else f"{rows}x{cols}"

    @property
    def model_precision(self) -> str:
        """What :func:`acutance.model.load` calls the precision."""
        return MODEL_PRECISION[self.precision]

    @classmethod
    def from_toml(cls, recipe: str | os.PathLike[str], **changes: Any) -> Options:
        """Read a recipe.

        Parameters
        ----------
        recipe : str or path
            A file ending in ``.toml``, or the name of one that comes with acutance.
        **changes
            Settings in place of the recipe's.

        Raises
        ------
        InputError
            The recipe cannot be read.
        UsageError
            A setting is wrong; the message names the first.
        """
        path = Path(recipe)
        if path.suffix != ".toml":
            path = RECIPES / f"{os.fspath(recipe)}.toml"
        try:
            said = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as e:
            raise InputError(f"cannot be read ({e.strerror}); shipped are: {', '.join(recipes())}", path) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
            raise InputError(f"is no TOML ({e})", path) from None
        return make(path, **{**said, **changes})


def recipes() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return sorted(p.stem for p in RECIPES.glob("*.toml"))


def make(path: str | os.PathLike[str] | None = None, **settings: Any) -> Options:
    """Return options, or say in one line which setting is wrong.

    Parameters
    ----------
    path : path, optional
        The file that the settings come from.

    Raises
    ------
    UsageError
    """
    try:
        return Options(**settings)
    except pydantic.ValidationError as e:
        first = e.errors()[0]
        raise UsageError(
            f"'{first['loc'][0]}' is wrong: {first['msg'].removeprefix('Value error, ')}; got {first['input']!r}", path
        ) from None


def resolve(name: str | os.PathLike[str], options: Options) -> tuple[Model, Options]:
    """Load the model file that an engine is built from.

    A model that comes with the package is taken in the precision of the options; a file has the precision it has, and
    the options returned say so.

    Raises
    ------
    ModelError
        There is no such model, not in that precision, or it is one that TensorRT does not take.
    """
    if Path(name).suffix != ".onnx":
        return models.load(name, options.model_precision), options
    found = models.load(name)
    return found, options.model_copy(update={"precision": precision_of(found)})


def precision_of(model: Model) -> str:
    """Return the precision of an engine built from ``model``.

    Raises
    ------
    ModelError
        TensorRT does not take it.
    """
    for engine, file in MODEL_PRECISION.items():
        if file == model.meta.precision:
            return engine
    raise ModelError(
        f"is {model.meta.precision}, which TensorRT does not take; `acutance export --precision int8-trt` makes one it"
        " takes",
        model.path,
    )


def check(model: Model, options: Options) -> None:
    """Refuse options that do not fit the model.

    Raises
    ------
    UsageError, ModelError
    """
    if precision_of(model) != options.precision:
        raise UsageError(f"the model is {model.meta.precision}; the options want {options.model_precision}", model.path)
    _check_tile(model.meta, options.tile_shape)


def _check_tile(meta: Metadata, tile: tuple[int, int]) -> None:
    for side in tile:
        if side % meta.multiple_of:
            raise UsageError(f"a tile of {side} is no multiple of {meta.multiple_of}, which {meta.name} needs")
        if meta.halo is not None and side <= 2 * meta.halo:
            raise UsageError(
                f"a tile of {side} is all halo: {meta.name} throws away {meta.halo} pixels at each edge;"
                f" wanted at least {2 * meta.halo + 1}"
            )
