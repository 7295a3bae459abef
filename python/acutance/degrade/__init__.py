"""How a truth becomes the smaller, noisier or incomplete picture that is enhanced; one module a modality.

Every degradation keeps to the project's grid: pixel ``j`` of the small picture lies at coordinate
``(j + 0.5) * s - 0.5`` of the truth. A function takes ``[rows, cols]`` and gives float32 in the same unit, not rounded.
Chance comes from a NumPy Generator alone: the same seed gives the same picture.
"""

from .ct import ct_noise, projection_noise
from .endoscopy import draw_passes, endoscope
from .grid import FWHM, area_mean, crop, gaussian
from .missing import dead_lines, padded
from .mr import band_limit, lost_lines, rician, thick_slices, truncate
from .nuclear import emission
from .sonography import speckle, ultrasound
from .xray import DEPTH, xray_noise

__all__ = [
    "DEPTH",
    "FWHM",
    "area_mean",
    "band_limit",
    "crop",
    "ct_noise",
    "dead_lines",
    "draw_passes",
    "emission",
    "endoscope",
    "gaussian",
    "lost_lines",
    "padded",
    "projection_noise",
    "rician",
    "speckle",
    "thick_slices",
    "truncate",
    "ultrasound",
    "xray_noise",
]
