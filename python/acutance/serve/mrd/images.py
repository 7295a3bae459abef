"""An MRD image in, a finer one out: pixels, header and attributes."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Hashable, Iterator
from typing import Literal

import numpy as np

from ...enhancer import Enhancer, Result
from ...errors import AcutanceError, InputError
from ...geometry import Array, Frame
from . import protocol
from .attributes import Attributes
from .protocol import Image, ImageHeader, ImageType
from .ranges import PERCENTILES, Ranges
from .settings import MrdSettings

MODALITY = "MR"

MARK = "ACUTANCE"
"""In the processing history and the image type (DICOM CS: capitals, at most 16)."""

BASE_MARK = "BASE"
"""In the image type of an image that is the base, or holds pictures that are."""

QUANTITATIVE = "Quantitative"
"""Value of ``DataRole`` for parametric maps, which the MRD documentation wants left as they are."""

MOST_PIXELS = 65535
"""Along one side: the header counts with 16 bits."""

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What leaves for an image.

    Attributes
    ----------
    image : Image
    outcome : str
        ``"enhanced"``; ``"base"``: all or some pictures of it are; ``"untouched"``: its pixels left as they came, as
        meant; ``"failed"``: they did because nothing else could be made of them.
    reason : str
        Why it was not enhanced.
    restarted : bool
        Whether the range of its series was begun anew.
    """

    image: Image
    outcome: Literal["enhanced", "base", "untouched", "failed"]
    reason: str = ""
    restarted: bool = False


class Enlarger:
    """Enhances images with one Enhancer.

    Parameters
    ----------
    enhancer : Enhancer
    settings : MrdSettings

    Attributes
    ----------
    fallen : int
        Last images in a row that could not be enhanced.
    """

    def __init__(self, enhancer: Enhancer, settings: MrdSettings) -> None:
        self.enhancer, self.fallen, self._settings = enhancer, 0, settings

    def close(self) -> None:
        self.enhancer.close()

    def answer(self, image: Image, ranges: Ranges) -> Answer:
        """Return what leaves for an image; whatever happens, something does.

        Parameters
        ----------
        image : Image
        ranges : Ranges
            Of its connection.
        """
        try:
            found = self._answer(image, ranges)
        except Exception as e:  # the image must not be lost, whatever is wrong with it or with us
            _log.exception("an image cannot even be marked")
            found = Answer(image, "failed", f"it cannot be read ({type(e).__name__})")
        if found.outcome != "untouched":
            self.fallen = self.fallen + 1 if found.reason else 0
        return found

    def _answer(self, image: Image, ranges: Ranges) -> Answer:
        try:
            attributes = Attributes(image.attributes)
        except InputError as e:
            return Answer(image, "failed", e.message)
        reason = self._unfit(image, attributes)
        if reason:
            return Answer(self._untouched(image, attributes, reason), "untouched", reason)
        try:
            return self._enlarge(image, attributes, ranges)
        except AcutanceError as e:
            reason = e.message
        except Exception as e:
            _log.exception("an image cannot be enhanced")
            reason = f"it cannot be enhanced ({type(e).__name__})"
        return Answer(self._untouched(image, attributes, reason), "failed", reason)

    def _unfit(self, image: Image, attributes: Attributes) -> str:
        """Say why an image is left as it is; empty when it is not."""
        head, scale = image.header, self.enhancer.scale
        x, y, z = head.matrix_size
        if not (x and y and z and head.channels):
            return "it has no pixels"
        if max(x, y) * scale > MOST_PIXELS:
            return f"{x} x {y} pixels times {scale} are more than its header can count"
        if head.image_type == ImageType.PHASE:
            return "phase wraps around, and what lies between two phases is not their mean"
        if QUANTITATIVE in attributes.get("DataRole"):
            return "its values are measured quantities"
        if head.image_type == ImageType.RGB and (
            head.channels != 3 or image.pixels.dtype != np.uint16 or image.pixels.max() > 255
        ):
            return "its colours are not three channels of 0 to 255 in uint16"
        return ""

    def _untouched(self, image: Image, attributes: Attributes, reason: str) -> Image:
        """Return an image with its own pixels, and attributes that say why."""
        attributes.set("AcutanceUntouched", reason)
        if self._settings.keep_image_geometry:
            attributes.set("Keep_image_geometry", 1)
        return protocol.image(image.header, attributes.serialize(), image.pixels)

    def _enlarge(self, image: Image, attributes: Attributes, ranges: Ranges) -> Answer:
        head, scale, pixels = image.header, self.enhancer.scale, image.pixels
        spacing = _spacing(head)
        channels, z, y, x = pixels.shape
        out = np.empty((channels, z, y * scale, x * scale), pixels.dtype)
        results: list[Result] = []
        restarted = False
        if head.image_type == ImageType.RGB:
            for k in range(z):
                colours = np.ascontiguousarray(np.moveaxis(pixels[:, k], 0, -1).astype(np.uint8))
                results.append(self._run(Frame(colours, "OT", spacing)))
                out[:, k] = np.moveaxis(results[-1].pixels, -1, 0)
        else:
            kind = pixels.dtype.kind
            signed = kind == "c" or (head.image_type in (ImageType.REAL, ImageType.IMAG) and kind != "u")
            series = ranges.of(_series(head), self.enhancer.percentiles(MODALITY) or PERCENTILES)
            before = series.restarts
            found = series.add(_plain(np.abs(pixels) if kind == "c" else pixels), signed)
            restarted = series.restarts > before
            for source, target in _parts(pixels, out):
                frame = Frame(np.ascontiguousarray(_plain(source)), MODALITY, spacing, value_range=found)
                results.append(self._run(frame))
                target[:] = _stored(results[-1].pixels, target.dtype)
        reasons = list(dict.fromkeys(r.fell_back for r in results if r.fell_back is not None))
        self._mark(attributes, results, reasons, head)
        head.image_series_index = (head.image_series_index + self._settings.series_offset) % (MOST_PIXELS + 1)
        finer = protocol.image(head, attributes.serialize(), out)
        outcome: Literal["base", "enhanced"] = "base" if BASE_MARK in attributes.get("ImageType") else "enhanced"
        return Answer(finer, outcome, "; ".join(reasons), restarted)

    def _run(self, frame: Frame) -> Result:
        """Return one picture enhanced, or its base should that fail in a way the Enhancer does not catch."""
        try:
            return self.enhancer.run(frame)
        except Exception as e:
            if not isinstance(e, AcutanceError):
                _log.exception("a picture cannot be enhanced; it is its base")
            why = e.message if isinstance(e, AcutanceError) else type(e).__name__
            return self.enhancer.base(frame, f"failed: {why}")

    def _mark(self, attributes: Attributes, results: list[Result], reasons: list[str], head: ImageHeader) -> None:
        """Say in the attributes what was done."""
        how = next((r for r in results if r.fell_back is None), results[0]).frame.derivation
        assert how is not None
        if not attributes.get("DataRole"):
            attributes.set("DataRole", "Image")
        attributes.append("ImageProcessingHistory", MARK)
        attributes.append("ImageType", MARK, *([BASE_MARK] if reasons or how.model == "base" else []))
        made_by = f"acutance {how.software}: {how.model} x{how.scale}"
        fallen = sum(r.fell_back is not None for r in results)
        if reasons:
            made_by += f", {fallen} of {len(results)} pictures base only"
        attributes.append("ImageComments", made_by)
        if self._settings.series_suffix:
            for name in ("SeriesDescriptionAdditional", "SequenceDescriptionAdditional"):
                attributes.append(name, self._settings.series_suffix)
        if self._settings.keep_image_geometry:
            attributes.set("Keep_image_geometry", 1)
        for name, direction in (("ImageRowDir", head.read_dir), ("ImageColumnDir", head.phase_dir)):
            if any(direction) and not attributes.get(name):
                attributes.set(name, *(f"{v:.9f}" for v in direction))
        attributes.scale_regions(how.scale)
        attributes.set("AcutanceModel", how.model, how.version)
        attributes.set("AcutanceRange", repr(float(how.low)), repr(float(how.high)))
        attributes.set("AcutanceGuard", how.guard)
        if reasons:
            attributes.set("AcutanceFellBack", *reasons)


def _series(head: ImageHeader) -> Hashable:
    """Return what images of one brightness share; slices, phases and repetitions differ within."""
    return head.measurement_uid, head.image_series_index, head.contrast, head.set, head.image_type, head.data_type


def _spacing(head: ImageHeader) -> tuple[float, float] | None:
    """Return millimetres between rows and between columns, where the header has a field of view."""
    x, y, _ = head.matrix_size
    width, height, _ = head.field_of_view
    return (height / y, width / x) if 0 < width < np.inf and 0 < height < np.inf else None


def _parts(pixels: Array, out: Array) -> Iterator[tuple[Array, Array]]:
    """Go through the pictures of an image and the places of their results; a complex one has two for each."""
    for channel in range(pixels.shape[0]):
        for k in range(pixels.shape[1]):
            source, target = pixels[channel, k], out[channel, k]
            if pixels.dtype.kind != "c":
                yield source, target
            else:
                yield source.real, target.real
                yield source.imag, target.imag


def _plain(values: Array) -> Array:
    """Return values in a dtype that pictures have: 16-bit integers as they are, all else in float32."""
    with np.errstate(over="ignore"):
        return values if values.dtype in (np.uint16, np.int16) else values.astype(np.float32)


def _stored(values: Array, dtype: np.dtype) -> Array:
    """Return the values of a picture in the dtype of its image: integers rounded half to even and clamped."""
    if dtype.kind not in "iu" or values.dtype == dtype:
        return values
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values.astype(np.float64)), limits.min, limits.max)
