"""What comes back for a picture."""

from __future__ import annotations

import dataclasses

from ..geometry import Array, Derivation, Frame


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """An enhanced picture and how it was made.

    Attributes
    ----------
    frame : Frame
        The enlarged picture, with its new spacing and its ``derivation``.
    milliseconds : float
        From the call to the pixels, reading and writing of files not included.
    warnings : tuple of str
        What the user should know: a picture outside what the model was trained for, a range from this picture alone,
        another backend than the one that was asked for, a guide that was of no use.
    lower, upper : ndarray or None
        As ``pixels``, which lie between them: the bounds within which the model expects 90 of 100 true values. None but
        for models with quantiles.
    """

    frame: Frame
    milliseconds: float
    warnings: tuple[str, ...] = ()
    lower: Array | None = None
    upper: Array | None = None

    @property
    def pixels(self) -> Array:
        """``[rows * s, cols * s]`` or ``[rows * s, cols * s, 3]`` in the dtype of the input: stored values."""
        return self.frame.pixels

    @property
    def _derivation(self) -> Derivation:
        assert self.frame.derivation is not None
        return self.frame.derivation

    @property
    def model(self) -> str:
        """Name of the model, ``"base"`` without a network."""
        return self._derivation.model

    @property
    def backend(self) -> str:
        """What ran the model, ``"base"`` without a network."""
        return self._derivation.backend

    @property
    def fell_back(self) -> str | None:
        """Why the picture is the base though a network was asked for; None if it is what was asked for."""
        return self._derivation.fell_back
