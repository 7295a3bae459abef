"""One picture of what is known about a place: input, result, attribution, residual, consistency."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from ..beside import beside
from .lam import WINDOW, Attribution

F64 = NDArray[np.float64]

ROOM = 1.6
"""Half side of the squares that are shown, in radii of what is attributed."""


@dataclasses.dataclass(frozen=True, eq=False)
class Explained:
    """All that is shown and said.

    Attributes
    ----------
    title, unit : str
        Unit of real values, empty where it is not known.
    scale, halo : int
    at : (int, int)
    attribution : Attribution
    before, after : ndarray of float64
        Input ``[rows, cols]`` and result ``[rows * s, cols * s]`` in real values.
    residual : ndarray of float64
        What the result has over the base.
    consistency : ndarray of float64
        ``|mean of the result's block - input|``, ``[rows, cols]``.
    """

    title: str
    unit: str
    scale: int
    halo: int
    at: tuple[int, int]
    attribution: Attribution
    before: F64
    after: F64
    residual: F64
    consistency: F64

    def numbers(self) -> list[tuple[str, str]]:
        """Return what is said, a name and a text each."""
        found, s, (row, col) = self.attribution, self.scale, self.at
        unit = f" {self.unit}" if self.unit else ""
        block = self.residual[row * s : row * s + s, col * s : col * s + s]
        reach, window = found.reach(), 3 * WINDOW / s
        return [
            ("place", f"row {row}, column {col} of the input"),
            ("diffusion index", f"{found.diffusion:.2f} of 100"),
            ("95 % of the attribution", f"within {reach} pixels; halo {self.halo}, window {window:g}"),
            (
                "sum of the attribution",
                f"{found.values.sum():.3g}, wanted {found.gained:.3g} ({100 * found.error:.1f} % off)",
            ),
            ("largest residual there", f"{np.abs(block).max():.3g}{unit}"),
            ("largest residual", f"{np.abs(self.residual).max():.3g}{unit}"),
            ("inconsistency there", f"{self.consistency[row, col]:.3g}{unit}"),
            ("largest inconsistency", f"{self.consistency.max():.3g}{unit}"),
        ]


def draw(what: Explained, path: Path) -> None:
    """Write the picture as PNG.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    figure = Figure(figsize=(13, 8.2), layout="constrained")
    axes = figure.subplots(2, 3)
    figure.suptitle(what.title)
    radius = len(what.attribution.values) // 2
    half = max(round(ROOM * radius), 12)
    low, high = np.percentile(_around(what.before, what.at, half, 1)[0], (0.5, 99.5))
    _show(axes[0, 0], what, what.before, 1, half, "input", cmap="gray", vmin=low, vmax=high)
    _show(axes[0, 1], what, what.after, what.scale, half, "result", cmap="gray", vmin=low, vmax=high)
    _attribution(axes[0, 2], what, half, (low, high))
    most = max(float(np.abs(_around(what.residual, what.at, half, what.scale)[0]).max()), 1e-9)
    shown = _show(
        axes[1, 0],
        what,
        what.residual,
        what.scale,
        half,
        "residual: result less base",
        cmap="RdBu_r",
        vmin=-most,
        vmax=most,
    )
    figure.colorbar(shown, ax=axes[1, 0], label=what.unit, shrink=0.85)
    most = float(_around(what.consistency, what.at, half, 1)[0].max()) or 1.0
    shown = _show(
        axes[1, 1],
        what,
        what.consistency,
        1,
        half,
        "consistency: |block mean less input|",
        cmap="magma",
        vmin=0,
        vmax=most,
    )
    figure.colorbar(shown, ax=axes[1, 1], label=what.unit, shrink=0.85)
    _shares(axes[1, 2], what)
    with beside(path) as file:
        figure.savefig(file, format="png", dpi=110)


def _around(picture: F64, at: tuple[int, int], half: int, scale: int) -> tuple[F64, tuple[float, float, float, float]]:
    """Return the part of a picture around a place, and its edges (left, right, bottom, top) in input pixels."""
    rows, cols = (n // scale for n in picture.shape)
    top, left = max(at[0] - half, 0), max(at[1] - half, 0)
    bottom, right = min(at[0] + half + 1, rows), min(at[1] + half + 1, cols)
    part = picture[top * scale : bottom * scale, left * scale : right * scale]
    return part, (left - 0.5, right - 0.5, bottom - 0.5, top - 0.5)


def _show(axis: Axes, what: Explained, picture: F64, scale: int, half: int, title: str, **colours: Any) -> Any:
    part, edges = _around(picture, what.at, half, scale)
    shown = axis.imshow(part, extent=edges, interpolation="nearest", **colours)
    axis.set_title(title, fontsize=10)
    axis.add_patch(Rectangle((what.at[1] - 2, what.at[0] - 2), 4, 4, fill=False, edgecolor="tab:orange", linewidth=1.2))
    axis.tick_params(labelsize=7)
    return shown


def _attribution(axis: Axes, what: Explained, half: int, window: tuple[float, float]) -> None:
    """Lay the attribution over the input: red where a pixel adds to the detail, blue where it takes from it."""
    _show(
        axis,
        what,
        what.before,
        1,
        half,
        "attribution (root), halo and 95 %",
        cmap="gray",
        vmin=window[0],
        vmax=window[1],
    )
    values = what.attribution.values
    radius = len(values) // 2
    most = max(float(np.abs(values).max()), 1e-300)
    strength = np.sqrt(np.abs(values) / most)
    row, col = what.at
    edges = (col - radius - 0.5, col + radius + 0.5, row + radius + 0.5, row - radius - 0.5)
    axis.imshow(
        np.sign(values) * strength, extent=edges, cmap="RdBu_r", vmin=-1, vmax=1, alpha=np.minimum(1.5 * strength, 1)
    )
    for reach, style in ((what.halo, "-"), (what.attribution.reach(), "--")):
        side = 2 * reach + 1
        corner = (col - reach - 0.5, row - reach - 0.5)
        axis.add_patch(Rectangle(corner, side, side, fill=False, edgecolor="tab:green", linestyle=style))
    shown = _around(what.before, what.at, half, 1)[1]
    axis.set_xlim(shown[0], shown[1])
    axis.set_ylim(shown[2], shown[3])


def _shares(axis: Axes, what: Explained) -> None:
    shares = what.attribution.shares
    axis.plot(np.arange(len(shares)), 100 * shares, color="tab:blue")
    axis.axvline(what.halo, color="tab:green", label=f"halo {what.halo}")
    axis.axvline(
        what.attribution.reach(), color="tab:green", linestyle="--", label=f"95 % within {what.attribution.reach()}"
    )
    axis.set_xlabel("radius in input pixels")
    axis.set_ylabel("attribution within, %")
    axis.set_ylim(0, 101)
    axis.legend(loc="center right", fontsize=8)
    said = "\n".join(f"{name}: {text}" for name, text in what.numbers())
    axis.text(0.98, 0.03, said, transform=axis.transAxes, fontsize=6.5, ha="right", va="bottom")
    axis.set_title("how far it looked", fontsize=10)
