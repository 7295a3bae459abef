"""One ONNX model into one serialised engine.

Precision lives in the model file and networks are strongly typed, so the builder chooses kernels and nothing else.
Calls that not every version has are looked for by ``hasattr``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from typing import Any

from ..errors import BackendError, ModelError
from ..model import Model
from . import options as checks
from .device import Device
from .flavour import Flavour, Messages, title
from .options import Options
from .progress import Progress, monitor
from .tensors import Tensor, describe
from .timing import TimingCache


@dataclasses.dataclass(frozen=True)
class Built:
    """A new engine.

    Attributes
    ----------
    plan : bytes
        What TensorRT deserialises.
    io : tuple of Tensor
    description : str
        What the builder says of the engine's layers, inputs and outputs; it can be read without a GPU.
    seconds : float
    """

    plan: bytes = dataclasses.field(repr=False)
    io: tuple[Tensor, ...]
    description: str = dataclasses.field(repr=False)
    seconds: float


def build(
    model: Model,
    options: Options,
    device: Device,
    *,
    flavour: Flavour,
    progress: Progress | None = None,
    timing: TimingCache | None = None,
) -> Built:
    """Build an engine.

    Parameters
    ----------
    model : Model
        In the precision of the options.
    options : Options
    device : Device
        TensorRT-RTX builds for any that it knows; full TensorRT only for one that is in this machine.
    flavour : Flavour
    progress : Progress, optional
        Told of each phase; it may stop the build.
    timing : TimingCache, optional
        Measured times of kernels from earlier builds; used by full TensorRT.

    Raises
    ------
    BackendError
        The builder fails or is stopped, or does not know the GPU.
    ModelError
        TensorRT cannot read the model, or it is not what its metadata say.
    UsageError
        The options do not fit the model.
    """
    checks.check(model, options)
    _check_device(device, flavour)
    io = describe(model, options)
    start = time.perf_counter()
    with flavour.listen() as messages:
        builder = _call(flavour, messages, "Builder", flavour.logger)
        network = _parse(flavour, builder, model, messages)
        _declare(flavour.trt, network, io, model)
        config = builder.create_builder_config()
        _configure(flavour.trt, config, options)
        _aim(flavour, config, device)
        _add_profiles(builder, config, io, options)
        watched = monitor(flavour.trt, progress)
        if watched is not None and hasattr(config, "progress_monitor"):
            config.progress_monitor = watched
        with _timed(timing, flavour, config):
            plan = builder.build_serialized_network(network, config)
        if watched is not None and watched.stopped is not None:
            raise watched.stopped
        if plan is None:
            raise BackendError(f"{title(flavour.name)} cannot build it: {messages.reason()}", model.path)
        return Built(bytes(plan), io, messages.engine, time.perf_counter() - start)


def _call(flavour: Flavour, messages: Messages, what: str, *args: Any) -> Any:
    """Make an object of TensorRT's, whose constructors fail where there is no usable driver."""
    try:
        made = getattr(flavour.trt, what)(*args)
    except Exception as e:
        raise BackendError(f"{title(flavour.name)} makes no {what} ({messages.reason()}; {_line(e)})") from None
    if made is None:
        raise BackendError(f"{title(flavour.name)} makes no {what} ({messages.reason()})")
    return made


def _check_device(device: Device, flavour: Flavour) -> None:
    if flavour.name == "rtx":
        known = [n for n in dir(flavour.trt.ComputeCapability) if n.startswith("SM")]
        if device.sm not in known:
            raise BackendError(
                f"{title(flavour.name)} {flavour.version} does not build for {device.name} ({device.sm}); it builds for"
                f" {', '.join(sorted(known))}; full TensorRT builds on that GPU itself"
            )
    elif not device.present:
        raise BackendError(
            f"TensorRT times kernels on the GPU, so that it does not build for {device.name} from afar; build on that"
            " machine, or with --flavour rtx"
        )


def _parse(flavour: Flavour, builder: Any, model: Model, messages: Messages) -> Any:
    """Return the network of a model. The parser's weights are views into it, so it must outlive the build."""
    flags = flavour.trt.NetworkDefinitionCreationFlag
    # TensorRT 11 has no other networks than strongly typed ones.
    typed = 1 << int(flags.STRONGLY_TYPED) if hasattr(flags, "STRONGLY_TYPED") else 0
    network = builder.create_network(typed)
    parser = _call(flavour, messages, "OnnxParser", network, flavour.logger)
    if not parser.parse(model.data):
        said = [_line(parser.get_error(i).desc()) for i in range(parser.num_errors)]
        raise ModelError(f"{title(flavour.name)} cannot read it: {said[0] if said else messages.reason()}", model.path)
    return network


def _declare(trt: Any, network: Any, io: tuple[Tensor, ...], model: Model) -> None:
    """Check names, types and channels of the network's tensors, and fix the formats of their memory."""
    found: dict[str, tuple[str, Any]] = {}
    for mode, count, get in (
        ("input", network.num_inputs, network.get_input),
        ("output", network.num_outputs, network.get_output),
    ):
        found |= {t.name: (mode, t) for t in map(get, range(count))}
    if {name: mode for name, (mode, _) in found.items()} != {t.name: t.mode for t in io}:
        raise ModelError(f"its tensors are {sorted(found)}; its metadata say {sorted(t.name for t in io)}", model.path)
    for wanted in io:
        tensor = found[wanted.name][1]
        if tensor.dtype != (trt.float16 if wanted.dtype == "half" else trt.float32):
            raise ModelError(
                f"'{wanted.name}' is {tensor.dtype.name}; a {model.meta.precision} model wants "
                f"{wanted.dtype.upper()}; `acutance export --precision` makes one",
                model.path,
            )
        if tensor.shape[1] not in (wanted.channels, -1):
            raise ModelError(
                f"'{wanted.name}' has {tensor.shape[1]} channels; its metadata say {wanted.channels}", model.path
            )
        tensor.allowed_formats = 1 << int(getattr(trt.TensorFormat, wanted.format))


def _configure(trt: Any, config: Any, options: Options) -> None:
    config.builder_optimization_level = options.level
    if not options.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    if options.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
    if options.aux_streams is not None:
        config.max_aux_streams = options.aux_streams
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if options.tiling != "none":
        if not hasattr(config, "tiling_optimization_level"):
            raise BackendError("this TensorRT knows no tiling; wanted 10.8 or newer, or tiling = 'none'")
        config.tiling_optimization_level = getattr(trt.TilingOptimizationLevel, options.tiling.upper())
        if options.tiling_l2 is not None:
            config.l2_limit_for_tiling = options.tiling_l2


def _aim(flavour: Flavour, config: Any, device: Device) -> None:
    """Name the GPU to TensorRT-RTX; full TensorRT builds for the one that is current."""
    if flavour.name == "rtx":
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(flavour.trt.ComputeCapability, device.sm), 0)


def _add_profiles(builder: Any, config: Any, io: tuple[Tensor, ...], options: Options) -> None:
    for k, batch in enumerate(options.batches):
        profile = builder.create_optimization_profile()
        for wanted in io:
            if wanted.mode == "input":
                shape = wanted.shapes[k]
                profile.set_shape(wanted.name, shape, shape, shape)
        if config.add_optimization_profile(profile) != k:
            raise BackendError(f"TensorRT refuses the optimisation profile of batch {batch}")


@contextlib.contextmanager
def _timed(timing: TimingCache | None, flavour: Flavour, config: Any) -> Iterator[None]:
    """Let the build use and add to the timing cache; TensorRT-RTX ignores one."""
    if timing is None or flavour.name == "rtx":
        yield
        return
    cache = timing.attach(config)
    yield
    timing.merge(config, cache)


def _line(e: object) -> str:
    return (str(e).strip() or type(e).__name__).splitlines()[0]
