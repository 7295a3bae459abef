"""A recipe: the TOML file that says how a network is trained."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from ..errors import InputError, UsageError
from ..model import Fixed, Percentile, check_guard

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


Span = tuple[float, float]
Part = Annotated[float, pydantic.Field(ge=0, le=1)]


class RtNetwork(_Strict):
    """Arguments of :class:`acutance.networks.Rt`."""

    kind: Literal["rt"] = "rt"
    width: int = pydantic.Field(default=32, gt=0)
    depth: int = pydantic.Field(default=5, ge=0)
    expand: int = pydantic.Field(default=0, ge=0)


class BalNetwork(_Strict):
    """Arguments of :class:`acutance.networks.Bal`."""

    kind: Literal["bal"]
    width: int = pydantic.Field(default=48, gt=0)
    blocks: int = pydantic.Field(default=6, ge=3)
    expand: int = pydantic.Field(default=0, ge=0)


class SeqNetwork(_Strict):
    """Arguments of :class:`acutance.networks.Seq`."""

    kind: Literal["seq"]
    width: int = pydantic.Field(default=64, gt=0)
    depth: int = pydantic.Field(default=5, ge=0)
    state: int = pydantic.Field(default=64, gt=0)
    expand: int = pydantic.Field(default=0, ge=0)


class GuidedNetwork(_Strict):
    """Arguments of :class:`acutance.networks.Guided`."""

    kind: Literal["guided"]
    width: int = pydantic.Field(default=32, gt=0)
    trunk: Annotated[RtNetwork | BalNetwork, pydantic.Field(discriminator="kind")]


class BalQNetwork(BalNetwork):
    """Arguments of :class:`acutance.networks.BalQ`."""

    kind: Literal["bal-q"]  # type: ignore[assignment]


class Target(_Strict):
    """What the model file says of itself, as :class:`acutance.model.Metadata`."""

    version: str = "1.0"
    scale: Literal[2, 3, 4] = 2
    modalities: tuple[str, ...]
    base: Literal["cubic", "lanczos4"] = "cubic"
    guard: Literal["box", "none"] = "none"
    denoises: bool = False
    mapping: Annotated[Fixed | Percentile, pydantic.Field(discriminator="kind")]
    spacing_mm: Span | None = None

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Target:
        check_guard(self.denoises, self.guard)
        return self


class Data(_Strict):
    """Which scans of the train split are seen, by modality of the manifest, and how truths are varied.

    Attributes
    ----------
    modalities : tuple of str
        Each is drawn as often as the others; within it subjects are, and within them slices.
    reformats : bool
        Whether the scanner's sagittal and coronal reformats of CT are seen.
    halve : float
        Part of the truths that are area-meaned by 2 first, so that other spacings are seen.
    """

    modalities: tuple[str, ...]
    reformats: bool = False
    halve: Part = 0.0


class Degradation(_Strict):
    """How a truth becomes small; ranges are drawn from evenly, for each slice anew.

    Attributes
    ----------
    kind : str
        ``"area"``, ``"k-space"``, ``"ultrasound"`` (blur of the envelope), ``"emission"`` (PET and SPECT) or
        ``"endoscope"``, all of :mod:`acutance.degrade`.
    sigma : (float, float)
        Of the point spread in truth pixels; for k-space of the truth's own blur; for emission in mm, of a full width at
        half maximum 2.355 times as large.
    sharp : float
        Part of the slices with sigma 0 whatever the range is.
    limit : (float, float)
        Part of k-space that a truth is first limited to, along each axis; with ``limited`` the part of slices.
    taper : (float, float)
        Of that limit's window, 0 sharp, 1 Hann.
    lateral : (float, float)
        How much wider ultrasound's point spread is across the beam than along it.
    speckled : float
        Part of the truths of ultrasound that get more speckle, which the small picture shows too.
    strength : (float, float)
        Of the endoscope's degradation; 1 for that of Real-ESRGAN.
    lost : (float, float)
        Part of the small picture's k-space lines that is lost; ``lossy`` the part of slices.
    noise_kind : str
        ``"mapped"`` adds normal noise in mapped units, ``"stored"`` in parts of the data range and rounds and clamps as
        8 bits do, ``"rician"`` takes the magnitude with it, ``"ct"`` is in HU in the middle of 300 mm of water,
        ``"x-ray"`` is Poisson's of the level where the picture is black, ``"counts"`` is Poisson's for emission,
        relative to the brightest pixel.
    noise : (float, float)
        Standard deviation of what the small picture gets; ``noisy`` the part of slices.
    missing : float
        Part of the slices that lack lines or what lies outside of a field of view, filled with the nearest samples.
    jitter : (float, float)
        Factor on the width of the mapped range, drawn evenly in its logarithm.
    """

    kind: Literal["area", "k-space", "ultrasound", "emission", "endoscope"] = "area"
    sigma: Span = (0.0, 0.0)
    sharp: Part = 0.0
    limit: Span = (1.0, 1.0)
    limited: Part = 0.0
    taper: Span = (0.0, 0.0)
    lateral: Span = (1.0, 1.0)
    speckled: Part = 0.0
    strength: Span = (0.5, 0.5)
    lost: Span = (0.0, 0.0)
    lossy: Part = 0.0
    noise_kind: Literal["mapped", "stored", "rician", "ct", "x-ray", "counts"] = "mapped"
    noise: Span = (0.0, 0.0)
    noisy: Part = 0.0
    missing: Part = 0.0
    jitter: Span = (1.0, 1.0)

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Degradation:
        if self.noise_kind == "counts" and self.kind != "emission":
            raise ValueError("noise of kind 'counts' belongs to the kind 'emission'")
        return self


class PictureTask(_Strict):
    """:class:`acutance.train.tasks.Picture`."""

    kind: Literal["picture"] = "picture"


class SequenceTask(_Strict):
    """:class:`acutance.train.tasks.Sequence`; motion is per frame, ranges are drawn from for each clip.

    Attributes
    ----------
    frames, unroll : int
        Frames of a clip; frames after which gradients do not reach farther back.
    window : int
        Side of the clips that patches are cut from, in input pixels.
    shift : (float, float)
        Truth pixels.
    turn, zoom : float
        Largest rotation, in degrees, and change of size, as a part.
    bend : (float, float)
        How far waves that run through displace, in truth pixels, root mean square.
    occluded, cut : float
        Part of the clips in which something passes in front, and in which the scene changes at once: half of them with
        what is remembered set to zero there, half without.
    repeated, dropped : float
        Part of the frames that show the one before again, and before which some are lost.
    """

    kind: Literal["sequence"]
    frames: int = pydantic.Field(default=6, ge=2)
    unroll: int = pydantic.Field(default=3, ge=1)
    window: int = pydantic.Field(default=80, gt=0)
    shift: Span = (0.0, 3.0)
    turn: float = pydantic.Field(default=0.5, ge=0)
    zoom: float = pydantic.Field(default=0.005, ge=0)
    bend: Span = (0.0, 1.0)
    occluded: Part = 0.2
    cut: Part = 0.1
    repeated: Part = 0.05
    dropped: Part = 0.05


class GuidedTask(_Strict):
    """:class:`acutance.train.tasks.WithGuide`.

    Attributes
    ----------
    missing : float
        Part of the examples whose guide is zeros.
    real : float
        Part of the examples that are of a coregistered group of the data set: another scan of the same subject is the
        guide. In the others it is made of the truth itself.
    shift : float
        Largest displacement of a guide along each axis, in truth pixels.
    blur, noise : (float, float)
        Sigma of a made guide's point spread in truth pixels, and of its noise in parts of its range.
    """

    kind: Literal["guided"]
    missing: Part = 0.2
    real: Part = 0.0
    shift: float = pydantic.Field(default=2.0, ge=0)
    blur: Span = (0.0, 0.6)
    noise: Span = (0.0, 0.03)


class QuantilesTask(_Strict):
    """:class:`acutance.train.tasks.Quantiles`."""

    kind: Literal["quantiles"]


class GanTask(_Strict):
    """:class:`acutance.train.tasks.Gan`. Errors are in mapped units times ``detail``.

    Attributes
    ----------
    adversary : str
        Loss against the discriminator: ``"hinge"``, or ``"bce"`` for binary cross-entropy.
    width : int
        Channels of the discriminator's first convolution.
    rate : float
        The discriminator's learning rate as a part of the network's.
    detail : float
        What residuals are multiplied by before the discriminator sees them.
    pixels, adversarial, features, frequency, consistency : float
        Weights of the absolute error, of the loss against the discriminator, of the distance of its features, of the
        focal frequency loss, and of the distance of the result, made small again, from the input.
    perceptual : float
        Part of these weights in the exported network, the rest being those that the training started from.
    """

    kind: Literal["gan"]
    adversary: Literal["hinge", "bce"] = "hinge"
    width: int = pydantic.Field(default=32, gt=0)
    rate: float = pydantic.Field(default=1.0, gt=0)
    detail: float = pydantic.Field(default=20.0, gt=0)
    pixels: float = pydantic.Field(default=1.0, ge=0)
    adversarial: float = pydantic.Field(default=0.1, ge=0)
    features: float = pydantic.Field(default=0.1, ge=0)
    frequency: float = pydantic.Field(default=0.1, ge=0)
    consistency: float = pydantic.Field(default=0.5, ge=0)
    perceptual: Part = 0.3


class Training(_Strict):
    """The loop.

    Attributes
    ----------
    steps, batch, patch : int
        Optimizer steps; patches in each (over all devices); side of a patch in input pixels, halo not counted.
    stop : int, optional
        Step after which the training ends though the schedule would go on, because later weights score worse on val.
    rate, warmup, floor : float, int, float
        Peak learning rate, steps up to it, and what is left of it at the end of the cosine, as a part.
    optimizer : str
        ``"adam"`` or ``"muon"`` (:class:`acutance.train.muon.Muon`), which takes about the same rates and up to five
        times as much.
    clip : float
        Largest norm of the gradient.
    ema : float
        Decay of the averaged weights after some thousand steps, which are what is validated and exported; 0 for none.
    loss : str
        ``"l1"``, ``"l2"`` or ``"charbonnier"``.
    context : int, optional
        Rim of input pixels around a patch that the network sees, padded with zeros beyond; what it gives there is not
        scored. None: as wide as the receptive field, so that no trained pixel has seen zero padding.
    start : str
        A shipped model's name, or a path, whose weights are taken wherever name and shape agree; "" for fresh ones.
    project : bool
        Whether the loss sees what the guard makes of the result, where the model has one.
    precision : str
        Of Lightning Fabric: ``"32-true"`` or ``"bf16-mixed"``.
    pool, refresh : int
        Degraded slices in memory, and steps after which the oldest is made anew.
    """

    steps: int = pydantic.Field(gt=0)
    stop: int | None = pydantic.Field(default=None, gt=0)
    batch: int = pydantic.Field(default=16, gt=0)
    patch: int = pydantic.Field(default=32, gt=0)
    rate: float = pydantic.Field(default=5e-4, gt=0)
    warmup: int = pydantic.Field(default=200, ge=0)
    floor: Part = 0.01
    optimizer: Literal["adam", "muon"] = "adam"
    clip: float = pydantic.Field(default=0.5, gt=0)
    ema: float = pydantic.Field(default=0.999, ge=0, lt=1)
    loss: Literal["l1", "l2", "charbonnier"] = "l1"
    context: int | None = pydantic.Field(default=None, ge=0)
    start: str = ""
    project: bool = True
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    seed: int = 0
    pool: int = pydantic.Field(default=64, gt=0)
    refresh: int = pydantic.Field(default=4, gt=0)
    validate_every: int = pydantic.Field(default=2000, gt=0)
    validate_slices: int = pydantic.Field(default=12, gt=0)

    @property
    def last(self) -> int:
        """The step after which the training ends."""
        return min(self.stop or self.steps, self.steps)


class Recipe(_Strict):
    """The whole file."""

    name: str
    network: Annotated[
        RtNetwork | BalNetwork | BalQNetwork | SeqNetwork | GuidedNetwork, pydantic.Field(discriminator="kind")
    ]
    model: Target
    data: Data
    degradation: Degradation = Degradation()
    task: Annotated[
        PictureTask | SequenceTask | GuidedTask | QuantilesTask | GanTask, pydantic.Field(discriminator="kind")
    ] = PictureTask()
    training: Training


def load(path: str | os.PathLike[str], **changes: dict[str, Any]) -> Recipe:
    """Read a recipe by path, or a shipped one by name.

    Parameters
    ----------
    changes : dict
        Table by table what is set otherwise than in the file: ``training={"steps": 100}``.

    Raises
    ------
    UsageError
        There is no such recipe.
    InputError
        It is no TOML, or a field is missing, unknown or wrong; the message names the first such field.
    """
    file = Path(path)
    if file.suffix != ".toml":
        file = Path(__file__).parent / "recipes" / f"{path}.toml"
        if not file.is_file():
            raise UsageError(f"no recipe is named '{path}'; shipped are: {', '.join(names())}; a file ends in .toml")
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
        for table, fields in changes.items():
            said[table] = {**said.get(table, {}), **fields}
        return Recipe.model_validate(said)
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror})", file) from None
    except tomllib.TOMLDecodeError as e:
        raise InputError(f"is no TOML ({e})", file) from None
    except pydantic.ValidationError as e:
        first = e.errors()[0]
        where = ".".join(str(x) for x in first["loc"])
        raise InputError(f"recipe is wrong at {where}: {first['msg']}", file) from None


def names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return sorted(p.stem for p in (Path(__file__).parent / "recipes").glob("*.toml"))
