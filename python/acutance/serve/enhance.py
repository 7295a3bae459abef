"""How a service enhances: the table ``[service.enhance]`` of the configuration."""

from __future__ import annotations

from typing import Literal

import pydantic

from ..backends.settings import GpuSettings
from ..enhancer import Enhancer


class EnhanceSettings(pydantic.BaseModel):
    """Settings of an Enhancer, by the same names; see :class:`acutance.Enhancer`.

    Attributes
    ----------
    model : str
        ``auto`` (by modality), a shipped name, a path ending in ``.onnx``, or ``base`` (no network).
    backend : str
    scale : int, optional
    tile : int, optional
    stitch : {"exact", "feather"}
    guard : {"box", "none"}, optional
    strict : bool
    threads : int
    int8 : bool
    gpu : GpuSettings
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    model: str = "auto"
    backend: str = "auto"
    scale: Literal[2, 3, 4] | None = None
    tile: int | None = pydantic.Field(default=None, ge=1)
    stitch: Literal["exact", "feather"] = "exact"
    guard: Literal["box", "none"] | None = None
    strict: bool = False
    threads: int = pydantic.Field(default=0, ge=0, le=1024)
    int8: bool = False
    gpu: GpuSettings = GpuSettings()

    def enhancer(self) -> Enhancer:
        """Return an Enhancer with these settings.

        Raises
        ------
        UsageError, ModelError
            They contradict each other, or there is no such model.
        """
        return Enhancer(
            self.model,
            self.backend,
            scale=self.scale,
            tile=self.tile,
            stitch=self.stitch,
            guard=self.guard,
            strict=self.strict,
            threads=self.threads,
            gpu=self.gpu,
            int8=self.int8,
        )
