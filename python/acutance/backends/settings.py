"""What can be set of a backend on a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pydantic

from ..errors import UsageError
from ..trt_engines.options import Options


class GpuSettings(pydantic.BaseModel):
    """How backend ``tensorrt`` runs; other backends look at none of it.

    Attributes
    ----------
    engine : Options
        Precision, tile, batches, flavour of TensorRT and what else shapes an engine. The precision is for models that
        come with the package; a model file has its own.
        What is not set of tile, batches and layout is taken as `acutance bench engines` found it to be fastest for a
        picture's size on this GPU, where it did and none of the three is set.
    target : str, optional
        Compute capability, as ``sm80``, that TensorRT-RTX builds for in place of the GPU's own.
    store : Path, optional
        Folder of built engines; the user's cache folder when not given.
    device : int
        Number of the GPU, as CUDA counts them.
    wait : {"spin", "block"}
        How a thread waits for a frame: spinning, which is soonest, or asleep, which leaves its core to others. On
        Jetson CUDA's default is to sleep, whatever is asked for here.
    memory_limit : int, optional
        Bytes that the backend may take on the device; weights and what TensorRT holds for itself not counted.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    engine: Options = Options()
    target: str | None = None
    store: Path | None = None
    device: int = pydantic.Field(default=0, ge=0)
    wait: Literal["spin", "block"] = "spin"
    memory_limit: int | None = pydantic.Field(default=None, ge=1)


def gpu_settings(**settings: Any) -> GpuSettings:
    """Return settings, or say in one line which is wrong.

    Raises
    ------
    UsageError
    """
    try:
        return GpuSettings(**settings)
    except pydantic.ValidationError as e:
        first = e.errors()[0]
        name = next((str(x) for x in reversed(first["loc"]) if isinstance(x, str)), "a setting")
        raise UsageError(f"'{name}' is wrong: {first['msg']}; got {first['input']!r}") from None
