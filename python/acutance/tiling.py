"""How a picture is cut into tiles of one fixed size: integers and nothing else.

Along each axis tile ``i`` starts at ``min(i * step, max(size - core, 0)) - halo``: the last tile is shifted inward
instead of shrunk, and what lies beyond the picture's edge is mirrored (``numpy.pad(mode="symmetric")``). The output of
input pixel ``r`` belongs to tile ``min(r // step, count - 1)``. With ``overlap`` 0 (exact stitching) that is its only
tile; with more (feather) the first ``overlap`` input pixels of a tile after the first are blended with the tile before.
"""

from __future__ import annotations

import dataclasses

from .errors import UsageError


@dataclasses.dataclass(frozen=True)
class Axis:
    """Tiles along one axis, in input pixels.

    Attributes
    ----------
    size : int
        Pixels of the picture.
    tile : int
        Pixels the network sees, halo included.
    halo : int
        Rim on each side that is thrown away.
    overlap : int
        Pixels over which neighbouring tiles are blended; 0 for exact stitching.
    """

    size: int
    tile: int
    halo: int
    overlap: int

    @property
    def core(self) -> int:
        """Pixels of a tile that are used."""
        return self.tile - 2 * self.halo

    @property
    def step(self) -> int:
        """Distance of neighbouring tiles, but for the last."""
        return self.core - self.overlap

    @property
    def count(self) -> int:
        """Number of tiles."""
        return 1 if self.size <= self.core else -(-(self.size - self.overlap) // self.step)

    def origin(self, i: int) -> int:
        """Return the picture coordinate of tile ``i``'s first pixel, halo included; may be negative."""
        return min(i * self.step, max(self.size - self.core, 0)) - self.halo

    def owned(self, i: int) -> tuple[int, int]:
        """Return the half-open range of picture pixels of tile ``i``, its blend with the tile before included."""
        return i * self.step, self.size if i == self.count - 1 else (i + 1) * self.step


@dataclasses.dataclass(frozen=True)
class Plan:
    """The tiles of one picture, numbered row by row.

    Attributes
    ----------
    rows, cols : Axis
    scale : int
    """

    rows: Axis
    cols: Axis
    scale: int

    @property
    def count(self) -> int:
        """Number of tiles."""
        return self.rows.count * self.cols.count

    @property
    def input_shape(self) -> tuple[int, int]:
        return (self.rows.size, self.cols.size)

    @property
    def output_shape(self) -> tuple[int, int]:
        return (self.rows.size * self.scale, self.cols.size * self.scale)

    @property
    def tile_shape(self) -> tuple[int, int]:
        return (self.rows.tile, self.cols.tile)


def plan(
    rows: int,
    cols: int,
    tile: int | tuple[int, int],
    halo: int,
    scale: int,
    overlap: int = 0,
) -> Plan:
    """Plan the tiles of a picture.

    Parameters
    ----------
    rows, cols : int
        Size of the picture.
    tile : int or (int, int)
        Side (or rows and columns) that the network sees, halo included.
    halo : int
        Rim thrown away on each side; for exact stitching at least the network's receptive radius.
    scale : int
        2, 3 or 4 (1 plans without enlarging).
    overlap : int
        Width in input pixels over which neighbouring tiles are blended; 0 stitches exactly.

    Raises
    ------
    UsageError
        A size is not positive, or the tile is too small for its halo and overlap.
    """
    tile_rows, tile_cols = (tile, tile) if isinstance(tile, int) else tile
    if min(rows, cols) < 1 or scale < 1 or halo < 0 or overlap < 0:
        raise UsageError(f"cannot plan {rows}x{cols} pixels with halo {halo}, overlap {overlap} and scale {scale}")
    for side in (tile_rows, tile_cols):
        wanted = 2 * halo + max(2 * overlap, 1)
        if side < wanted:
            raise UsageError(
                f"tile {side} is too small for halo {halo} and overlap {overlap}: wanted at least {wanted}"
            )
    return Plan(Axis(rows, tile_rows, halo, overlap), Axis(cols, tile_cols, halo, overlap), scale)
