"""What the page's scripts are told, and what they ask with."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import pydantic

from ... import display
from ...enhancer import Result
from ...geometry import Frame, Plane, Vector
from ...model import Metadata, cautions, purpose
from .runs import Progress, Run
from .series import Series

Scale = Literal[2, 3, 4]
Guard = Literal["box", "none"]
Identifier = Annotated[str, pydantic.Field(pattern=r"^[0-9a-f]{16}$")]


class Login(pydantic.BaseModel):
    """The token; empty where none is wanted."""

    token: str = pydantic.Field(default="", max_length=1024)


class Wanted(pydantic.BaseModel):
    """How a series is to be enhanced; see :class:`acutance.Enhancer`."""

    model_config = pydantic.ConfigDict(extra="forbid")

    series: Identifier
    model: str = pydantic.Field(default="auto", max_length=200)
    scale: Scale | None = None
    guard: Guard | None = None


class Uploaded(pydantic.BaseModel):
    """Bytes that came, and bytes for which there is room."""

    size: int
    room: int


class SeriesAnswer(pydantic.BaseModel):
    """See :class:`.series.Series`; ``own``: the browser has uploaded it and may close it."""

    id: str
    kind: str
    modality: str
    label: str
    name: str | None
    slices: int
    rows: int
    cols: int
    own: bool

    @classmethod
    def of(cls, series: Series, own: bool, named: bool) -> SeriesAnswer:
        return cls(
            id=series.id,
            kind=series.kind,
            modality=series.modality,
            label=series.label,
            name=(series.name or None) if named else None,
            slices=len(series.slices),
            rows=series.rows,
            cols=series.cols,
            own=own,
        )


class SkippedAnswer(pydantic.BaseModel):
    """A file that is not looked at; ``name`` as the browser gave it."""

    name: str
    reason: str


class Opened(pydantic.BaseModel):
    series: list[SeriesAnswer]
    skipped: list[SkippedAnswer]


class ModelAnswer(pydantic.BaseModel):
    """What the page says of a model."""

    name: str
    scale: int
    modalities: list[str]
    guard: Guard
    denoises: bool
    generative: bool
    bounded: bool
    purpose: str
    cautions: list[str]

    @classmethod
    def of(cls, meta: Metadata) -> ModelAnswer:
        return cls(
            name=meta.name,
            scale=meta.scale,
            modalities=list(meta.modalities),
            guard=meta.guard,
            denoises=meta.denoises,
            generative=meta.generative,
            bounded=meta.bounded,
            purpose=purpose(meta),
            cautions=list(cautions(meta)),
        )


class State(pydantic.BaseModel):
    """What the page shows first; ``opening``: the files that were named are still being read."""

    version: str
    models: list[ModelAnswer]
    model: str
    scale: int | None
    guard: Guard | None
    series: list[SeriesAnswer]
    skipped: int
    opening: bool
    room: int
    files: int
    live: bool


class PlaneAnswer(pydantic.BaseModel):
    """See :class:`acutance.geometry.Plane`; ``letters`` stand at the picture's top, right, bottom and left edge."""

    origin: tuple[float, float, float]
    down: tuple[float, float, float]
    right: tuple[float, float, float]
    letters: tuple[str, str, str, str]


class Picture(pydantic.BaseModel):
    """What is needed beside the pixels to show them: little endian, row by row, colour by pixel.

    ``window`` is that of the header (``windowed``), else the robust range; ``limits`` are the smallest and largest real
    value that is not missing; ``missing`` how many are.
    """

    rows: int
    cols: int
    channels: int
    dtype: str
    slope: float
    intercept: float
    unit: str
    modality: str
    inverted: bool
    spacing: tuple[float, float] | None
    plane: PlaneAnswer | None
    window: tuple[float, float]
    windowed: bool
    limits: tuple[float, float]
    missing: int

    @classmethod
    def of(cls, frame: Frame) -> Picture:
        missing = frame.missing()
        valid = frame.pixels if missing is None else frame.pixels[~missing]
        ends = (float(valid.min()), float(valid.max())) if valid.size else (0.0, 0.0)
        low, high = sorted(frame.slope * x + frame.intercept for x in ends)
        plane = None
        if frame.plane is not None:
            where = frame.plane
            plane = PlaneAnswer(origin=where.origin, down=where.down, right=where.right, letters=edges(where))
        return cls(
            rows=frame.rows,
            cols=frame.cols,
            channels=1 if frame.pixels.ndim == 2 else 3,
            dtype=frame.pixels.dtype.name,
            slope=frame.slope,
            intercept=frame.intercept,
            unit="HU" if frame.modality == "CT" else "",
            modality=frame.modality,
            inverted=frame.inverted,
            spacing=frame.spacing,
            plane=plane,
            window=display.Settings().window_of(frame),
            windowed=frame.window is not None,
            limits=(low, high),
            missing=0 if missing is None else int(missing.sum()),
        )


class RunAnswer(pydantic.BaseModel):
    id: str
    series: str
    state: str
    done: int
    total: int
    error: str | None
    archive: bool

    @classmethod
    def of(cls, run: Run) -> RunAnswer:
        progress: Progress = run.progress
        return cls(
            id=run.id,
            series=run.series.id,
            state=progress.state,
            done=progress.done,
            total=progress.total,
            error=progress.error,
            archive=run.archive() is not None,
        )


class ResultAnswer(pydantic.BaseModel):
    """An enhanced slice and how it was made.

    ``error`` is the largest difference, in real values, between an input pixel and the mean of the output pixels in its
    place.
    """

    picture: Picture
    scale: int
    model: str
    version: str
    precision: str
    backend: str
    guard: Guard
    base: bool
    fell_back: str | None
    generative: bool
    bounded: bool
    milliseconds: float
    warnings: list[str]
    error: float

    @classmethod
    def of(cls, result: Result, error: float) -> ResultAnswer:
        how = result.frame.derivation
        assert how is not None
        return cls(
            picture=Picture.of(result.frame),
            scale=how.scale,
            model=how.model,
            version=how.version,
            precision=how.precision,
            backend=how.backend,
            guard="box" if how.guard == "box" else "none",
            base=how.model == "base",
            fell_back=how.fell_back,
            generative=how.generative,
            bounded=result.lower is not None,
            milliseconds=result.milliseconds,
            warnings=list(result.warnings),
            error=error,
        )


def edges(plane: Plane) -> tuple[str, str, str, str]:
    """Return the letters at the top, right, bottom and left edge of a picture (PS3.3 C.7.6.1.1.1)."""
    down, right = plane.down, plane.right
    (up, left) = ((-x, -y, -z) for x, y, z in (down, right))
    return letters(up), letters(right), letters(down), letters(left)


def letters(direction: Vector) -> str:
    """Return where a direction in patient coordinates leads: the nearest axis first, others that matter after it.

    An axis matters where the direction is less than 75 degrees away from it.
    """
    unit = np.asarray(direction, np.float64)
    length = float(np.linalg.norm(unit))
    if not length:
        return ""
    unit = unit / length
    order = sorted(range(3), key=lambda axis: -abs(unit[axis]))
    return "".join(("RL", "AP", "FH")[a][int(unit[a] > 0)] for a in order if abs(unit[a]) > np.cos(np.deg2rad(75)))
