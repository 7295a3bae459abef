"""Missing data in what is read: named, and filled where the user asks for it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import io, mend
from ..errors import InputError
from ..geometry import Frame

Masks = tuple[NDArray[np.bool_], ...]
"""One for all pictures of a file, or one for each; True where samples are missing."""


def read_mask(path: str | os.PathLike[str]) -> Masks:
    """Read a mask: a picture or volume that is not 0 where samples are missing.

    Raises
    ------
    InputError
        It cannot be read.
    """
    frames = io.read(path)
    return tuple(np.asarray(f.pixels.any(axis=2) if f.pixels.ndim == 3 else f.pixels != 0) for f in frames)


@dataclasses.dataclass(frozen=True)
class Missing:
    """What the command line says of missing data.

    Attributes
    ----------
    fill : bool
        Whether what is found is filled; else it is only named.
    masks : tuple of ndarray, optional
        Filled in any case.
    """

    fill: bool = False
    masks: Masks | None = None

    def apply(self, frames: Sequence[Frame], path: Path) -> list[Frame]:
        """Return the pictures of a file with what is missing filled, dropped frames of a sequence too.

        Raises
        ------
        InputError
            The masks do not fit.
        """
        done = self.lines(frames, path)
        return mend.sequence(done) if self.fill and len(done) > 1 else done

    def lines(self, frames: Sequence[Frame], path: Path) -> list[Frame]:
        """Return the pictures with lines and masked samples filled, each from itself."""
        if self.masks is not None and len(self.masks) not in (1, len(frames)):
            raise InputError(f"has {len(frames)} pictures, its mask {len(self.masks)}", path)
        if self.masks is None and not self.fill:
            return list(frames)
        masks = self.masks or (None,)
        return [mend.mend(f, masks[i if len(masks) > 1 else 0], self.fill) for i, f in enumerate(frames)]

    def notes(self, frame: Frame) -> tuple[str, ...]:
        """Return what was filled in a picture, and what is missing and was not."""
        found = None if self.fill else mend.find(frame).text()
        left = () if found is None else (f"{found} found; --mend fills what is missing",)
        return (*((frame.mended,) if frame.mended else ()), *left)
