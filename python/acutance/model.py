"""A model is one ONNX file that says itself what the runtime must know."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from .errors import ModelError
from .geometry import Frame, robust_range

KEY = "acutance"
"""Key of the JSON value in ``metadata_props``."""

SHIPPED = Path(__file__).parent / "models"
"""Folder of the models that come with the package."""

HOW_TO_MAKE_ONE = "make one with `acutance export CHECKPOINT`, which writes the metadata"


Precision = Literal["fp32", "fp16", "int8-trt", "int8-cpu"]


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Input(_Strict):
    """One input of the graph: tensor ``name`` ``[N, channels, h, w]`` with its role and pixel-unshuffle factor."""

    name: str
    role: Literal["lr", "lr_previous", "previous", "state", "guide"]
    channels: int = pydantic.Field(gt=0)
    unshuffle: int = pydantic.Field(default=1, ge=1)


class Output(_Strict):
    """One output of the graph: tensor ``name`` ``[N, channels, h, w]``."""

    name: str
    role: Literal["residual", "state", "q05", "q95"]
    channels: int = pydantic.Field(gt=0)


class Fixed(_Strict):
    """Real values ``[low, high]`` map to ``[0, 1]``, always the same."""

    kind: Literal["fixed"] = "fixed"
    unit: str
    low: float
    high: float


class Percentile(_Strict):
    """The percentiles ``low`` and ``high`` of the whole series map to 0 and 1."""

    kind: Literal["percentile"] = "percentile"
    low: float = 0.1
    high: float = 99.9


class DataSource(_Strict):
    source: str
    licence: str
    subjects: int = pydantic.Field(ge=1)


class Training(_Strict):
    data: tuple[DataSource, ...] = ()
    recipe: str = ""
    commit: str = ""
    degradation: str = ""
    steps: int = 0
    minutes: float = 0.0
    device: str = ""


class Scores(_Strict):
    """Scores by the protocol of that number; ``rows`` are what ``evaluate`` printed."""

    protocol: int = 1
    split: Literal["train", "val", "test"] = "test"
    rows: tuple[dict[str, Any], ...] = ()


def check_guard(denoises: bool, guard: str) -> None:
    """Raise ValueError where a model that takes noise away has the guard, which puts it back."""
    if denoises and guard == "box":
        raise ValueError("the guard keeps the input's noise, so a model that denoises must have guard 'none'")


class Metadata(_Strict):
    """What the runtime must know of a model. Field by field as in ``docs/model-file.md``."""

    format: Literal[1] = 1
    name: str = pydantic.Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    version: str
    scale: Literal[2, 3, 4]
    network: str
    frames: int = 1
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    halo: int | None = pydantic.Field(default=None, ge=0)
    multiple_of: int = pydantic.Field(default=1, ge=1)
    modalities: tuple[str, ...]
    base: Literal["cubic", "lanczos4"]
    guard: Literal["box", "none"]
    denoises: bool = False
    precision: Precision
    quantisation: str = ""
    mapping: Annotated[Fixed | Percentile, pydantic.Field(discriminator="kind")]
    spacing_mm: tuple[float, float] | None = None
    perceptual: float = pydantic.Field(default=0.0, ge=0, le=1)
    training: Training = Training()
    scores: Scores = Scores()

    @property
    def generative(self) -> bool:
        """Whether it was trained to make detail that looks real, which need not be there."""
        return self.perceptual > 0

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Metadata:
        if [i.role for i in self.inputs].count("lr") != 1:
            raise ValueError("exactly one input must have the role 'lr'")
        residual = [o for o in self.outputs if o.role == "residual"]
        if len(residual) != 1 or residual[0].channels != self.scale**2:
            raise ValueError(f"exactly one output must have the role 'residual', with {self.scale**2} channels")
        if self.mapping.low >= self.mapping.high:
            raise ValueError("mapping.low must be below mapping.high")
        check_guard(self.denoises, self.guard)
        self._check_roles()
        return self

    def _check_roles(self) -> None:
        """Raise ValueError unless what stands beside picture and residual fits together."""
        for listed in (self.inputs, self.outputs):
            roles = [x.role for x in listed]
            if len(set(roles)) < len(roles):
                raise ValueError(f"a role stands twice among {', '.join(roles)}")
        for given in self.inputs:
            side = {"lr_previous": 1, "previous": self.scale, "guide": self.scale}.get(given.role)
            if side is not None and (given.channels, given.unshuffle) != (1, side):
                raise ValueError(f"the input '{given.role}' must have channels 1 and unshuffle {side}")
        made = {o.role: o.channels for o in self.outputs}
        if ("q05" in made) != ("q95" in made) or any(
            made.get(q, self.scale**2) != self.scale**2 for q in ("q05", "q95")
        ):
            raise ValueError(f"q05 and q95 must come together, with {self.scale**2} channels each")
        states = [i.channels for i in self.inputs if i.role == "state"]
        if states != [made[role] for role in made if role == "state"]:
            raise ValueError("a state must be an input and an output of as many channels")
        if self.sequential and self.halo is not None:
            raise ValueError("a network that sees what came before takes a picture as one tile: halo must be null")

    @property
    def sequential(self) -> bool:
        """Whether the network sees what came before in time."""
        return any(i.role in ("lr_previous", "previous", "state") for i in self.inputs)

    @property
    def bounded(self) -> bool:
        """Whether the network gives quantiles."""
        return any(o.role == "q05" for o in self.outputs)

    @property
    def guided(self) -> bool:
        """Whether the network takes a guide."""
        return any(i.role == "guide" for i in self.inputs)


def purpose(meta: Metadata) -> str:
    """Say in one sentence what a model is for."""
    also = " and takes noise away" if meta.denoises else ""
    also += ", with the help of a second, sharper picture of the same subject" if meta.guided else ""
    also += ", frame by frame of a clip" if meta.frames > 1 else ""
    kinds = ", ".join(meta.modalities)
    return f"It enlarges pictures of {kinds} by {meta.scale}{also}, to be looked at beside the original."


def cautions(meta: Metadata) -> tuple[str, ...]:
    """Say what a model is not for, a sentence each."""
    found = ["Not for a diagnosis or a measurement from its result alone: it is not a cleared medical device."]
    if meta.spacing_mm is not None:
        low, high = meta.spacing_mm
        found.append(f"Not for other modalities, nor for pixels outside {low:g} to {high:g} mm: there it guesses.")
    else:
        found.append("Not for other modalities: there it guesses.")
    if meta.denoises:
        found.append(
            "It takes faint detail away with the noise. The guard, which would put the noise back, is refused, and on"
            " pictures without noise the model that does not denoise is nearer to the truth."
        )
    elif meta.guard == "none":
        found.append(
            "Without `--guard box` it changes local means: not for what is read off values, as HU of small things."
        )
    if meta.generative:
        found.append("It adds texture that is likely and was not measured: what it shows need not be there.")
    return tuple(found)


@dataclasses.dataclass(frozen=True)
class Model:
    """One model file, checked.

    Attributes
    ----------
    path : Path
    meta : Metadata
    sha256 : str
        Of the file's bytes, in hex.
    data : bytes
        The ONNX file.
    """

    path: Path
    meta: Metadata
    sha256: str
    data: bytes = dataclasses.field(repr=False)

    def range_of(self, frame: Frame) -> tuple[float, float, str]:
        """Return the real values that map to 0 and 1 for ``frame``, and where they come from (``range_from``)."""
        mapping = self.meta.mapping
        if isinstance(mapping, Fixed):
            return mapping.low, mapping.high, "model"
        if frame.value_range is not None:
            return (*frame.value_range, "series")
        return (*robust_range([frame], mapping.low, mapping.high), "picture")

    def unfit(self, frame: Frame) -> str | None:
        """Say in one line why ``frame`` is outside what the model was trained for, or return None."""
        meta = self.meta
        if frame.modality not in meta.modalities:
            return f"{meta.name} was trained for {', '.join(meta.modalities)}, not for {frame.modality}"
        if frame.spacing is not None and meta.spacing_mm is not None:
            low, high = meta.spacing_mm
            if not all(low <= x <= high for x in frame.spacing):
                got = " x ".join(f"{x:.3g}" for x in frame.spacing)
                return f"{meta.name} was trained for pixels of {low:g} to {high:g} mm, not for {got} mm"
        return None


def affine(frame: Frame, low: float, high: float) -> tuple[float, float]:
    """Return gain and bias with ``gain * stored + bias`` the value that a network sees.

    Real values ``low`` and ``high`` map to 0 and 1, or to 1 and 0 for MONOCHROME1 pictures, so that a network always
    sees bright as large. An empty or non-finite range gives ``(0.0, 0.0)``: there is nothing to enhance but the base.
    """
    width = high - low
    if not np.isfinite(width) or width <= 0:
        return 0.0, 0.0
    gain = frame.slope / width
    bias = (frame.intercept - low) / width
    return (-gain, 1.0 - bias) if frame.inverted else (gain, bias)


def parse(text: str, path: str | os.PathLike[str] | None = None) -> Metadata:
    """Check the JSON text of a model's metadata.

    Raises
    ------
    ModelError
        The text is no JSON, or a field is missing, unknown or wrong; the message names the first such field.
    """
    try:
        return Metadata.model_validate(json.loads(text))
    except json.JSONDecodeError as e:
        raise ModelError(f"its '{KEY}' metadata is no JSON ({e}); {HOW_TO_MAKE_ONE}", path) from None
    except pydantic.ValidationError as e:
        first = e.errors()[0]
        where = ".".join(str(x) for x in first["loc"]) or "metadata"
        raise ModelError(f"its '{KEY}' metadata is wrong at {where}: {first['msg']}; {HOW_TO_MAKE_ONE}", path) from None


@functools.lru_cache(maxsize=32)
def _load(path: Path, _stamp: tuple[int, int]) -> Model:
    import onnxruntime as ort  # slow to import, and only here and in its backend

    data = path.read_bytes()
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as e:
        reason = str(e).strip().splitlines()[0] if str(e).strip() else type(e).__name__
        raise ModelError(f"is not an ONNX model that can be loaded ({reason})", path) from None
    text = session.get_modelmeta().custom_metadata_map.get(KEY)
    if text is None:
        raise ModelError(
            f"has no '{KEY}' metadata, so its scale, range and halo are not known; {HOW_TO_MAKE_ONE}", path
        )
    meta = parse(text, path)
    _check_graph(meta, session, path)
    return Model(path, meta, hashlib.sha256(data).hexdigest(), data)


def _check_graph(meta: Metadata, session: Any, path: Path) -> None:
    """Refuse metadata that does not describe the graph it stands in."""
    for kind, said, found in (
        ("input", meta.inputs, session.get_inputs()),
        ("output", meta.outputs, session.get_outputs()),
    ):
        graph = {x.name: x.shape for x in found}
        if sorted(graph) != sorted(x.name for x in said):
            raise ModelError(
                f"metadata names the {kind}s {[x.name for x in said]}, the graph has {sorted(graph)}", path
            )
        for x in said:
            channels = x.channels * x.unshuffle**2 if isinstance(x, Input) else x.channels
            shape = graph[x.name]
            if len(shape) != 4 or shape[1] != channels:
                raise ModelError(f"{kind} '{x.name}' has shape {shape}; metadata wants [N, {channels}, h, w]", path)


def load(name: str | os.PathLike[str], precision: str | None = None) -> Model:
    """Load and check a model by name (see :func:`names`) or by path.

    Parameters
    ----------
    name : str or path
        A path ends in ``.onnx``.
    precision : str, optional
        One of :func:`precisions`; fp32 when not given. A file by path has the precision it has.

    Raises
    ------
    ModelError
        There is no such model or not in that precision, the file cannot be loaded, it has no metadata, or they do not
        fit its graph.
    """
    path = Path(name)
    if path.suffix != ".onnx":
        path = _shipped_path(os.fspath(name), precision or "fp32")
    try:
        stat = path.stat()
    except OSError as e:
        raise ModelError(f"cannot be read ({e.strerror})", path) from None
    found = _load(path, (stat.st_mtime_ns, stat.st_size))
    if precision not in (None, found.meta.precision):
        raise ModelError(f"is {found.meta.precision}; wanted {precision}; `acutance export --precision` makes it", path)
    return found


def variant(model: Model, precision: str) -> Model:
    """Return a model that comes with the package in another precision; a file of the user's is what it is.

    Raises
    ------
    ModelError
        It does not come in that precision.
    """
    shipped = model.path in _shipped().values()
    return load(model.meta.name, precision) if shipped and precision != model.meta.precision else model


def _shipped_path(name: str, precision: str) -> Path:
    known = names()
    if name not in known:
        listed = ", ".join(known) or "none"
        raise ModelError(f"no model is named '{name}'; shipped are: {listed}; a file must end in .onnx")
    path = _shipped().get((name, precision))
    if path is None:
        made = ", ".join(precisions(name))
        raise ModelError(f"{name} is not shipped in {precision}; there are: {made}; `acutance export` makes others")
    return path


def _shipped() -> dict[tuple[str, str], Path]:
    """Return the files that come with the package by name and precision: ``NAME.onnx``, ``NAME.PRECISION.onnx``."""
    found = {}
    for path in sorted(SHIPPED.glob("*.onnx")):
        name, _, precision = path.stem.partition(".")
        found[name, precision or "fp32"] = path
    return found


def names() -> list[str]:
    """Return the names of the models that come with the package."""
    return sorted({name for name, _ in _shipped()})


def precisions(name: str) -> list[str]:
    """Return the precisions in which a model comes with the package: fp32 and what was made of it."""
    return [p for n, p in _shipped() if n == name]


def choose(
    modality: str, scale: int = 2, spacing: Sequence[float] | None = None, *, guided: bool = False
) -> Model | None:
    """Return the shipped default model for a modality and scale, or None when there is none.

    A default is named ``<something>-rt-x<scale>``; variants carry a further suffix and are taken by name only. With
    ``guided`` a model that takes a guide, ``<something>-guided-x<scale>``, comes first where there is one.
    """
    for network in ("guided", "rt") if guided else ("rt",):
        for name in names():
            if not name.endswith(f"-{network}-x{scale}"):
                continue
            model = load(name)
            if modality in model.meta.modalities and not model.meta.generative:
                return model
    return None
