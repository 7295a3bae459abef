"""Our own path as benchmarks call it: one model, one picture, one setting, held open."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

from ..enhancer import Enhancer
from . import rivals


@dataclasses.dataclass(frozen=True)
class Setting:
    """How a model is run.

    Attributes
    ----------
    backend : str
        ``auto``, ``onnxruntime`` or ``tensorrt``.
    threads : int
        CPU threads.
    tile : int or None
        None: the backend's choice.
    """

    backend: str = "auto"
    threads: int = 0
    tile: int | None = None


class Open:
    """An enhancer and the picture that it is given."""

    def __init__(self, enhancer: Enhancer, shown: rivals.Shown, setting: Setting) -> None:
        self._enhancer, self._shown, self._setting = enhancer, shown, setting
        derivation = enhancer.derivation(shown.frame)
        self._about = {"backend": derivation.backend, "precision": derivation.precision}
        rivals.ours(enhancer, shown, derivation.backend)

    def run(self) -> dict[str, float] | None:
        """Run one frame; return its stage times, where the backend measures them."""
        self._enhancer.run(self._shown.frame)
        return None

    def about(self) -> dict[str, Any]:
        """Return what runs it, for a row of results."""
        return dict(self._about)


@contextlib.contextmanager
def opened(shown: rivals.Shown, setting: Setting) -> Iterator[Open]:
    """Hold a model open.

    Raises
    ------
    BackendError
        It falls back to the base or to another backend, whose times would pass for its own.
    """
    with Enhancer(shown.model, setting.backend, tile=setting.tile, threads=setting.threads) as enhancer:
        yield Open(enhancer, shown, setting)
