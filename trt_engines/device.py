"""The GPU that an engine is built for."""

from __future__ import annotations

import re

import pydantic

from ..errors import BackendError, UsageError


class Device(pydantic.BaseModel):
    """One kind of GPU.

    Attributes
    ----------
    name : str
        As the driver gives it; ``sm86`` for a target that is not in this machine.
    compute_capability : (int, int)
    sm_count : int
        Streaming multiprocessors; 0 for a target.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: str = pydantic.Field(min_length=1)
    compute_capability: tuple[int, int]
    sm_count: int = pydantic.Field(ge=0)

    @property
    def present(self) -> bool:
        """Whether it is a GPU of this machine and not only a target."""
        return self.sm_count > 0

    @property
    def sm(self) -> str:
        """Its compute capability as NVIDIA writes it: ``SM86``."""
        return "SM{}{}".format(*self.compute_capability)

    @property
    def slug(self) -> str:
        """Its name for file names."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-") or self.sm.lower()

    def as_target(self) -> Device:
        """Return the target that stands for every GPU of this compute capability."""
        return Device(name=self.sm.lower(), compute_capability=self.compute_capability, sm_count=0)


def target(text: str) -> Device:
    """Return the device that ``sm86`` (or ``SM86``, ``8.6``, ``86``) names, for builds without that GPU.

    Raises
    ------
    UsageError
    """
    found = re.fullmatch(r"(?:sm)?_?(\d{1,2})\.?(\d)", text.strip().lower())
    if found is None:
        raise UsageError(f"'{text}' is no compute capability; wanted one as sm86 or 8.6")
    capability = int(found[1]), int(found[2])
    return Device(name="sm{}{}".format(*capability), compute_capability=capability, sm_count=0)


def current(index: int = 0) -> Device:
    """Return a GPU of this machine.

    Parameters
    ----------
    index : int
        As the driver counts them.

    Raises
    ------
    BackendError
        PyCUDA is not installed, there is no driver, or no such GPU.
    """
    try:
        import pycuda.driver as cuda
    except ImportError as e:
        raise BackendError(
            f"a GPU can only be asked through PyCUDA, which cannot be imported ({e});"
            " `pip install 'acutance[tensorrt]'`, or build for another machine with --target"
        ) from None
    try:
        cuda.init()
        gpu = cuda.Device(index)
        return Device(
            name=gpu.name(),
            compute_capability=gpu.compute_capability(),
            sm_count=gpu.get_attribute(cuda.device_attribute.MULTIPROCESSOR_COUNT),
        )
    except cuda.Error as e:
        raise BackendError(
            f"GPU {index} cannot be used ({e}); wanted an NVIDIA driver and that GPU;"
            " TensorRT-RTX builds without one with --target"
        ) from None
