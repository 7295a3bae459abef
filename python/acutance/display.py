"""A picture for the eye: windowed, its contrast adapted to each region. Never what is stored or measured.

Contrast-limited adaptive histogram equalisation: Zuiderveld, Graphics Gems IV, 1994, VIII.5, as scikit-image does it.
"""

from __future__ import annotations

import dataclasses
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import UsageError
from .geometry import Frame, robust_range

CLIP = 0.01
"""Part of a region's samples that may share one gray: more raises noise."""

REGIONS = 8
"""Regions a side."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a picture is shown.

    Attributes
    ----------
    window : (float, float), optional
        Centre and width in real values; that of the picture's header when not given, else its robust range.
    clip : float
    """

    window: tuple[float, float] | None = None
    clip: float = CLIP

    def window_of(self, frame: Frame) -> tuple[float, float]:
        """Return centre and width for a picture."""
        found = self.window or frame.window
        if found is not None:
            return found
        low, high = frame.value_range or robust_range([frame])
        return (low + high) / 2, max(high - low, 1e-6)

    def describe(self, frame: Frame) -> str:
        """Return in one sentence how a picture is shown."""
        if frame.pixels.ndim == 3:
            return f"contrast adapted (CLAHE, clip {self.clip:g}, {REGIONS} x {REGIONS} regions)"
        centre, width = self.window_of(frame)
        return (
            f"window {centre:g}, {width:g}, contrast adapted (CLAHE, clip {self.clip:g}, {REGIONS} x {REGIONS} regions)"
        )


def shown(frame: Frame, settings: Settings) -> NDArray[np.uint8]:
    """Return a picture for the eye.

    Parameters
    ----------
    frame : Frame
    settings : Settings

    Returns
    -------
    ndarray of uint8
        ``[rows, cols]`` or ``[rows, cols, 3]``; black is 0, also for MONOCHROME1. Missing samples are black.

    Raises
    ------
    UsageError
        scikit-image is not installed.
    """
    try:
        from skimage import exposure
    except ModuleNotFoundError as e:
        raise UsageError(f"--display needs {e.name}: pip install 'acutance[display]'") from None
    if frame.pixels.ndim == 3:
        most = frame.limits[1] if np.isfinite(frame.limits[1]) else max(float(frame.pixels.max()), 1e-6)
        values = np.clip(frame.pixels / most, 0, 1)
    else:
        values = _windowed(frame, *settings.window_of(frame))
    sides = [max(1, -(-n // REGIONS)) for n in frame.pixels.shape[:2]]
    # It stretches what it gets and gives to the whole range: a further row with black and white keeps the window.
    ends = values[-1:].copy()
    ends[0, 0], ends[0, -1] = 0.0, 1.0
    adapted = exposure.equalize_adapthist(np.vstack([values, ends]), kernel_size=sides, clip_limit=settings.clip)[:-1]
    out: NDArray[np.uint8] = np.rint(255 * np.clip(adapted, 0, 1)).astype(np.uint8)
    missing = frame.missing()
    if missing is not None:
        out[missing] = 0
    return out


def png(frame: Frame, window: tuple[float, float]) -> bytes:
    """Return a picture as a PNG file of 8 bits: windowed, each colour for itself, and nothing else.

    Parameters
    ----------
    frame : Frame
    window : (float, float)
        Centre and width in real values.
    """
    shown = np.rint(255 * _windowed(frame, *window)).astype(np.uint8)
    missing = frame.missing()
    if missing is not None:
        shown[missing] = 0
    file = io.BytesIO()
    Image.fromarray(shown).save(file, "PNG")
    return file.getvalue()


def _windowed(frame: Frame, centre: float, width: float) -> NDArray[np.float64]:
    """Return 0 to 1 by the linear function of a window (PS3.3 C.11.2.1.2.1)."""
    real = frame.pixels.astype(np.float64) * frame.slope + frame.intercept
    real = np.nan_to_num(real, nan=centre - width)
    shifted = (real - (centre - 0.5)) / (width - 1) if width > 1 else (real - centre) / width
    values: NDArray[np.float64] = np.clip(shifted + 0.5, 0.0, 1.0)
    return 1.0 - values if frame.inverted else values
